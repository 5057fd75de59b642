//! Stores with labels.

use crate::support::{features, fill, input, meta, preprocess, taps};
use std::fs;
use std::path::{Path, PathBuf};
use tempfile::TempDir;
use zsseg::arena::{AlignedBytes, Arena};
use zsseg::image::{Image, Preprocessor, Target};
use zsseg::limits::Limits;
use zsseg::spec::{Anchor, Fit, Precision};
use zsseg::train::data::{FileSet, FolderNumbers, Label, LabelMap, folder};
use zsseg::train::store::{BackboneRecord, Shard, StoreMeta, StoreWriter, Stored, labels_in_frame};
use zsseg::train::{Pictures, View};

/// Bars of class 1 across one axis.
fn bars(width: u32, height: u32, upright: bool) -> LabelMap {
    let label = |x: u32, y: u32| {
        let (at, side) = if upright { (x, width) } else { (y, height) };
        let at = f64::from(at) / f64::from(side);
        Label::Class(u16::from((0.21..0.37).contains(&at) || (0.53..0.78).contains(&at)))
    };
    let labels: Vec<Label> =
        (0..height).flat_map(|y| (0..width).map(move |x| label(x, y))).collect();
    LabelMap::new(width, height, 2, &labels).unwrap()
}

/// The network's input for a picture that is 200 where the class is 1, else 0; padding is 9.
fn shown(labels: &LabelMap, fit: Fit, frame: [usize; 2]) -> Vec<f32> {
    let colour = |label| if label == Label::Class(1) { 200 } else { 0 };
    let rgb: Vec<u8> = labels.iter().flat_map(|label| [colour(label); 3]).collect();
    let image = Image::rgb8(&rgb, labels.width(), labels.height()).unwrap();
    let [height, width] = frame;
    let input = input(width as u32, height as u32);
    let mut memory = AlignedBytes::zeros(1 << 22);
    let mut arena = Arena::over(memory.as_mut_slice()).unwrap();
    let limits = Limits::for_frames(1000, 1000);
    let mut steps = Preprocessor::carve(&mut arena, &input, &preprocess(fit), &limits).unwrap();
    let mut pixels = vec![0.0; 3 * height * width];
    steps.run(&image, Target::F32(&mut pixels)).unwrap();
    pixels.truncate(height * width);
    pixels
}

#[test]
fn labels_lie_where_the_preprocessing_puts_their_pixels() {
    let fits = [
        Fit::Stretch,
        Fit::Letterbox(Anchor::Center),
        Fit::Letterbox(Anchor::TopLeft),
        Fit::ShortSide { size: 90, anchor: Anchor::Center },
        Fit::ShortSide { size: 60, anchor: Anchor::TopLeft },
    ];
    let sizes = [(333, 250), (120, 211), (50, 40), (96, 80)];
    let frame = [80, 96];
    let cases = sizes.into_iter().flat_map(|size| fits.map(|fit| (size, fit)));
    for ((width, height), fit) in cases {
        for upright in [false, true] {
            let labels = bars(width, height, upright);
            let case = format!("{width}x{height} {fit:?} {upright}");
            check_alignment(&labels, fit, frame, &case);
        }
    }
}

/// A filter that is as long to the left as to the right gives a pixel more than half of a bar
/// exactly if its centre lies on the bar.
fn check_alignment(labels: &LabelMap, fit: Fit, frame: [usize; 2], case: &str) {
    let framed = labels_in_frame(labels, fit, frame).unwrap();
    let pixels = shown(labels, fit, frame);
    let (mut on_edges, mut padded, mut objects) = (0, 0, 0);
    for (label, pixel) in framed.iter().zip(&pixels) {
        match label {
            Label::Void => {
                assert_eq!(*pixel, 9.0, "{case}");
                padded += 1;
            }
            _ if (pixel - 100.0).abs() < 0.01 => on_edges += 1,
            label => {
                let object = label == Label::Class(1);
                objects += usize::from(object);
                assert_eq!(object, *pixel > 100.0, "{case}: {pixel}");
            }
        }
    }
    assert!(on_edges <= 4 * 96 && objects > 300, "{case}: {on_edges} {objects}");
    assert_eq!(padded, pixels.iter().filter(|pixel| **pixel == 9.0).count(), "{case}");
}

#[test]
fn labels_of_the_frame_s_size_stay() {
    let labels = bars(96, 80, true);
    assert_eq!(labels_in_frame(&labels, Fit::Stretch, [80, 96]).unwrap(), labels);
    assert!(labels_in_frame(&labels, Fit::Stretch, [0, 96]).is_err());
    assert!(labels_in_frame(&labels, Fit::Stretch, [80, usize::MAX]).is_err());
}

const NAMES: [&str; 3] = ["a", "b", "c"];

/// A data set of pictures of 16 x 6 whose left half is class 1 and whose right half is void.
fn data(root: &Path) -> FileSet {
    for part in ["images", "masks"] {
        fs::create_dir_all(root.join(part)).unwrap();
    }
    for name in NAMES {
        let pixels = image::RgbImage::from_pixel(16, 6, image::Rgb([1, 2, 3]));
        pixels.save(root.join("images").join(format!("{name}.png"))).unwrap();
        let mask =
            image::GrayImage::from_fn(16, 6, |x, _| image::Luma([if x < 8 { 1 } else { 255 }]));
        mask.save(root.join("masks").join(format!("{name}.png"))).unwrap();
    }
    fs::write(root.join("classes.txt"), "ground\ncat\n").unwrap();
    fs::write(root.join("all.txt"), "c\nb\na\n").unwrap();
    folder(root, "all", FolderNumbers { unlabelled: &[], void: &[255] }).unwrap()
}

fn store(folder: &TempDir, name: &str, meta: StoreMeta) -> PathBuf {
    let path = folder.path().join(name);
    fill(&path, meta);
    path
}

fn refused(stores: &[PathBuf], set: FileSet) -> String {
    Stored::open(stores, set).map(|_| ()).unwrap_err().to_string()
}

#[test]
fn pictures_have_features_and_labels_by_name() {
    let folder = tempfile::tempdir().unwrap();
    let set = data(folder.path());
    let flip = View { flip: true, ..View::PLAIN };
    let views = [View::PLAIN, flip];
    let path = store(&folder, "one", meta(&["b", "c"], &views));
    let stored = Stored::open(std::slice::from_ref(&path), set).unwrap();
    assert_eq!((stored.len(), stored.name(0), stored.name(1), stored.name(2)), (2, "b", "c", ""));
    assert_eq!((stored.frame(), stored.views(), stored.taps()), ([6, 8], &views[..], &taps()[..]));
    assert_eq!((stored.sample(0), stored.sample(1), stored.sample(2)), (Some(1), Some(0), None));
    assert_eq!(stored.tap(1, 1, 1).unwrap().values(), features(1, 1)[1].values());
    assert!(stored.tap(1, 1, 2).is_err() && stored.tap(2, 0, 0).is_err());

    // 16 x 6 in 8 x 6: three rows of content between one and two rows of padding.
    let labels = stored.labels(0).unwrap();
    assert_eq!((labels.width(), labels.height()), (8, 6));
    for (place, label) in labels.iter().enumerate() {
        let content = (1..4).contains(&(place / 8)) && place % 8 < 4;
        assert_eq!(label, if content { Label::Class(1) } else { Label::Void }, "{place}");
    }
    assert!(stored.labels(2).is_err());
    // Read once only.
    fs::remove_dir_all(folder.path().join("masks")).unwrap();
    assert_eq!(stored.labels(0).unwrap(), labels);
    assert!(stored.labels(1).unwrap_err().to_string().contains("c.png"));
}

#[test]
fn taps_of_several_stores_follow_one_another() {
    let folder = tempfile::tempdir().unwrap();
    let set = data(folder.path());
    let first = store(&folder, "one", meta(&["a", "b"], &[View::PLAIN]));
    let names = || vec!["a".to_string(), "b".to_string()];
    let fit = Fit::Letterbox(Anchor::Center);
    let other = |input, fit, views: &[View], names| {
        let record = BackboneRecord::new(&input, &preprocess(fit), Precision::AsModel);
        let backbone = ("cd".repeat(32), record);
        StoreMeta::new(backbone, &taps()[1..], (views, 0), Shard::WHOLE, names)
    };
    let empty = |name: &str, meta: StoreMeta| {
        let path = folder.path().join(name);
        let writer = StoreWriter::create(&path, meta).unwrap();
        for picture in 0..writer.meta().pictures().len() {
            for view in 0..writer.meta().views().len() {
                writer.put(picture, view, &features(picture + 2, view)[1..]).unwrap();
            }
        }
        path
    };
    // Twice the size: the same part of every picture.
    let second = empty("two", other(input(16, 12), fit, &[View::PLAIN], names()));
    let stored = Stored::open(&[first.clone(), second], set.clone()).unwrap();
    let [a, b] = [&taps()[..], &taps()[1..]];
    assert_eq!(stored.taps(), [a, b].concat());
    assert_eq!(stored.tap(1, 0, 1).unwrap().values(), features(1, 0)[1].values());
    assert_eq!(stored.tap(1, 0, 2).unwrap().values(), features(3, 0)[1].values());
    assert_eq!(stored.frame(), [6, 8]);

    let square = empty("square", other(input(16, 16), fit, &[View::PLAIN], names()));
    assert!(refused(&[first.clone(), square], set.clone()).contains("parts of the pictures"));
    let stretched = empty("stretched", other(input(8, 6), Fit::Stretch, &[View::PLAIN], names()));
    assert!(refused(&[first.clone(), stretched], set.clone()).contains("parts of the pictures"));
    let flip = [View::PLAIN, View { flip: true, ..View::PLAIN }];
    let views = empty("views", other(input(8, 6), fit, &flip, names()));
    assert!(refused(&[first.clone(), views], set.clone()).contains("different views"));
    let turned = vec!["b".to_string(), "a".to_string()];
    let order = empty("order", other(input(8, 6), fit, &[View::PLAIN], turned));
    assert!(refused(&[first, order], set).contains("different pictures"));
}

#[test]
fn stores_that_do_not_fit_the_data_set_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let set = data(folder.path());
    assert!(refused(&[], set.clone()).contains("no feature store"));
    let stranger = store(&folder, "stranger", meta(&["a", "zebra"], &[View::PLAIN]));
    assert!(refused(&[stranger], set.clone()).contains("\"zebra\""));
    let none = store(&folder, "none", meta(&[], &[View::PLAIN]));
    assert!(refused(&[none], set.clone()).contains("no pictures"));
    let part = folder.path().join("part");
    drop(StoreWriter::create(&part, meta(&["a"], &[View::PLAIN])).unwrap());
    assert!(refused(&[part], set.clone()).contains("lacks picture \"a\""));
    assert!(refused(&[folder.path().join("gone")], set).contains("gone"));
}
