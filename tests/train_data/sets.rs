//! The layouts of folders.

use super::support::Folder;
use zsseg::train::data::{
    CityscapesMasks, DataError, DataSet, FileSet, FolderNumbers, Label, VocMasks, camvid,
    cityscapes, coco_stuff, folder, voc,
};

use Label::{Class, Unlabelled, Void};

const SIZE: (u32, u32) = (2, 1);

fn labels(set: &FileSet, index: usize) -> Vec<Label> {
    let sample = set.load(index).unwrap_or_else(|error| panic!("{error}"));
    assert_eq!((sample.picture.width(), sample.picture.height()), SIZE);
    assert_eq!(set.load_labels(index).unwrap(), sample.labels);
    sample.labels.iter().collect()
}

fn names(set: &FileSet) -> Vec<&str> {
    (0..set.len()).map(|index| set.name(index).unwrap()).collect()
}

#[test]
fn voc_with_and_without_sbd() {
    let files = Folder::new();
    for (name, value) in [("2007_1", 15), ("2007_2", 255)] {
        files.picture(&format!("JPEGImages/{name}.jpg"), SIZE);
        files.grey(&format!("SegmentationClass/{name}.png"), SIZE, &[0, value]);
        files.grey(&format!("SegmentationClassAug/{name}.png"), SIZE, &[20, value]);
    }
    let list = "\u{FEFF}2007_2\r\n\r\n  2007_1  \r\n";
    files.write("ImageSets/Segmentation/train.txt", list);
    let aug = "/JPEGImages/2007_1.jpg /SegmentationClassAug/2007_1.png\n";
    files.write("ImageSets/Segmentation/aug.txt", aug);
    let set = voc(files.root(), "train", VocMasks::Plain).unwrap();
    assert_eq!(names(&set), ["2007_2", "2007_1"]);
    assert_eq!(
        (labels(&set, 0), labels(&set, 1)),
        (vec![Class(0), Void], vec![Class(0), Class(15)])
    );
    assert_eq!((set.classes().len(), set.classes().place("person")), (21, Some(15)));
    assert_eq!((set.name(2), set.load(2).is_err()), (None, true));
    let set = voc(files.root(), "aug", VocMasks::Augmented).unwrap();
    assert_eq!((names(&set), labels(&set, 0)), (vec!["2007_1"], vec![Class(20), Class(15)]));
}

#[test]
fn camvid_has_one_number_without_label() {
    let files = Folder::new();
    files.picture("val/0001TP_1.png", SIZE);
    files.grey("valannot/0001TP_1.png", SIZE, &[11, 10]);
    let line = "/SegNet/CamVid/val/0001TP_1.png /SegNet/CamVid/valannot/0001TP_1.png";
    files.write("val.txt", line);
    let set = camvid(files.root(), "val").unwrap();
    assert_eq!(labels(&set, 0), [Unlabelled, Class(10)]);
    files.grey("valannot/0001TP_1.png", SIZE, &[0, 12]);
    assert!(matches!(set.load(0).unwrap_err(), DataError::MaskValue { value: 12, x: 1, .. }));
}

#[test]
fn coco_stuff_in_both_layouts() {
    let (first, second) = (Folder::new(), Folder::new());
    for (files, pictures, masks) in [
        (&first, "images/val2017", "annotations/val2017"),
        (&second, "val2017", "stuffthingmaps/val2017"),
    ] {
        for (name, value) in [("000000000139", 181), ("000000000285", 255)] {
            files.picture(&format!("{pictures}/{name}.jpg"), SIZE);
            files.grey(&format!("{masks}/{name}.png"), SIZE, &[20, value]);
        }
        let set = coco_stuff(files.root(), "val2017", None).unwrap();
        assert_eq!(names(&set), ["000000000139", "000000000285"]);
        assert_eq!(labels(&set, 0), [Class(20), Class(181)]);
        assert_eq!(labels(&set, 1), [Class(20), Void]);
        assert_eq!(set.classes().place("cow"), Some(20));
        let list = files.write("list.txt", "000000000285\n");
        let set = coco_stuff(files.root(), "val2017", Some(&list)).unwrap();
        assert_eq!(names(&set), ["000000000285"]);
    }
    let error = coco_stuff(first.root(), "test", None).unwrap_err().to_string();
    assert!(error.contains("images/test"), "{error}");
}

#[test]
fn cityscapes_ids_become_train_ids() {
    let files = Folder::new();
    for (city, name) in [("ulm", "ulm_000001_000019"), ("bonn", "bonn_000002_000019")] {
        files.picture(&format!("leftImg8bit/val/{city}/{name}_leftImg8bit.png"), (17, 2));
        let ids: Vec<u8> = (0..34).collect();
        let mask = format!("gtFine/val/{city}/{name}_gtFine_labelIds.png");
        files.grey(&mask, (17, 2), &ids);
        let mask = format!("gtFine/val/{city}/{name}_gtFine_labelTrainIds.png");
        files.grey(&mask, (17, 2), &[[18; 33].as_slice(), &[255]].concat());
    }
    let set = cityscapes(files.root(), "val", CityscapesMasks::LabelIds).unwrap();
    assert_eq!(names(&set), ["bonn_000002_000019", "ulm_000001_000019"]);
    let found = set.load(1).unwrap().labels;
    // Road, building, pole, traffic light, sky, person, train, bicycle by their official ids.
    let at = |id: u32| found.get(id % 17, id / 17).unwrap();
    let name = |label| match label {
        Class(id) => set.classes().names()[usize::from(id)].as_str(),
        _ => "",
    };
    for (id, class) in [
        (7, "road"),
        (8, "sidewalk"),
        (11, "building"),
        (17, "pole"),
        (19, "traffic light"),
        (23, "sky"),
        (24, "person"),
        (28, "bus"),
        (31, "train"),
        (33, "bicycle"),
    ] {
        assert_eq!(name(at(id)), class, "{id}");
    }
    assert_eq!((at(0), at(18), at(29), at(30)), (Void, Void, Void, Void));
    let counts = found.histogram();
    assert_eq!((counts.classes, counts.void), (vec![1; 19], 15));
    let set = cityscapes(files.root(), "val", CityscapesMasks::LabelTrainIds).unwrap();
    let counts = set.load(0).unwrap().labels.histogram();
    assert_eq!((counts.classes[18], counts.void), (33, 1));
}

#[test]
fn folders_take_numbers_from_lines_and_names_with_blanks() {
    let files = Folder::new();
    files.write("classes.txt", "sky\r\nroad\r\nnothing\r\n");
    files.write("train.txt", "day 1/a.b.jpg\n");
    files.picture("images/day 1/a.b.jpg", SIZE);
    files.grey("masks/day 1/a.b.png", SIZE, &[1, 2]);
    let numbers = FolderNumbers { unlabelled: &[2], void: &[255] };
    let set = folder(files.root(), "train", numbers).unwrap();
    assert_eq!((names(&set), labels(&set, 0)), (vec!["day 1/a.b"], vec![Class(1), Unlabelled]));
    assert_eq!(set.classes().names(), ["sky", "road"]);
    let all = folder(files.root(), "train", FolderNumbers::default()).unwrap();
    assert_eq!((labels(&all, 0), all.classes().len()), (vec![Class(1), Class(2)], 3));
    let shifting = FolderNumbers { unlabelled: &[], void: &[0] };
    let error = folder(files.root(), "train", shifting).unwrap_err().to_string();
    assert!(error.contains("classes.txt, line 2"), "{error}");
}

#[test]
fn lists_that_cannot_be_are_explained() {
    let files = Folder::new();
    files.write("classes.txt", "a\nb\n");
    let error = |list: &str| {
        files.write("train.txt", list);
        folder(files.root(), "train", FolderNumbers::default()).unwrap_err().to_string()
    };
    assert!(error("\r\n \n").contains("no names"));
    assert!(error("x\n\ny\nx\n").contains("line 4: \"x\" was in line 1"));
    for outside in ["../x", "/x", "a/../../x", "."] {
        assert!(error(outside).contains("line 1"), "{outside}");
    }
    files.write("classes.txt", "a\n\nb\n");
    assert!(error("x").contains("class 1 has no name"));
    let missing = camvid(files.root(), "test").unwrap_err();
    assert!(matches!(&missing, DataError::File { .. }) && missing.to_string().contains("test.txt"));
}

#[test]
fn broken_samples_do_not_stop_the_others() {
    let files = Folder::new();
    for name in ["good", "cut", "bare", "large", "last"] {
        files.picture(&format!("train/{name}.jpg"), SIZE);
        files.grey(&format!("trainannot/{name}.png"), SIZE, &[1, 2]);
    }
    let cut = std::fs::read(files.root().join("train/cut.jpg")).unwrap();
    files.write("train/cut.jpg", &cut[..cut.len() - 20]);
    std::fs::remove_file(files.root().join("trainannot/bare.png")).unwrap();
    files.grey("trainannot/large.png", (3, 1), &[1; 3]);
    files.write("train.txt", "good\ncut\nbare\nlarge\nabsent\nlast\n");
    let set = camvid(files.root(), "train").unwrap();
    assert_eq!(set.missing(), ["bare", "absent"]);
    let outcomes: Vec<String> = (0..set.len())
        .map(|index| set.load(index).map_or_else(|error| error.to_string(), |_| String::new()))
        .collect();
    let wanted = ["", "cut.jpg", "bare.png", "large.png", "absent", ""];
    for (found, wanted) in outcomes.iter().zip(wanted) {
        assert!(found.is_empty() == wanted.is_empty() && found.contains(wanted), "{found}");
    }
    assert!(matches!(set.load_labels(3).unwrap_err(), DataError::MaskSize { .. }));
}
