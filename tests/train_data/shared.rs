//! The real sets, which are not part of the repository. Counts are those of NumPy.

use std::path::{Path, PathBuf};
use zsseg::train::data::{
    ClassList, DataSet, EmbeddingTable, FileSet, FolderNumbers, VOC_ALIASES, camvid, folder,
    names::VOC_21,
};

/// As in the other tests: `None`, with a message, when the data is not there; a failure when
/// `ZSSEG_REQUIRE_SHARED=1` is set.
fn shared(path: &str) -> Option<PathBuf> {
    let found = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/data").join(path);
    if found.exists() {
        return Some(found);
    }
    let required = std::env::var_os("ZSSEG_REQUIRE_SHARED").is_some_and(|value| value == "1");
    assert!(!required, "ZSSEG_REQUIRE_SHARED=1, but there is no {}", found.display());
    println!("NOT TESTED: there is no {}", found.display());
    None
}

/// Pixels of each class, unlabelled and void ones, of one sample.
fn counts(set: &FileSet, name: &str) -> (Vec<u64>, u64, u64) {
    let index = (0..set.len()).find(|&index| set.name(index) == Some(name)).unwrap();
    let sample = set.load(index).unwrap();
    assert_eq!(set.load_labels(index).unwrap(), sample.labels);
    let found = sample.labels.histogram();
    (found.classes, found.unlabelled, found.void)
}

/// The same of all samples together; pictures are decoded too if `pictures` says so.
fn total(set: &FileSet, pictures: bool) -> (Vec<u64>, u64, u64) {
    let mut total = (vec![0; set.classes().len()], 0, 0);
    for index in 0..set.len() {
        let labels = match pictures {
            true => set.load(index).map(|sample| sample.labels),
            false => set.load_labels(index),
        };
        let found = labels.unwrap_or_else(|error| panic!("{error}")).histogram();
        total.0.iter_mut().zip(&found.classes).for_each(|(sum, count)| *sum += count);
        total.1 += found.unlabelled;
        total.2 += found.void;
    }
    total
}

fn sparse(len: usize, counts: &[(usize, u64)]) -> Vec<u64> {
    let mut all = vec![0; len];
    counts.iter().for_each(|&(place, count)| all[place] = count);
    all
}

#[test]
fn all_of_camvid_loads() {
    let Some(root) = shared("datasets/camvid") else { return };
    let set = camvid(&root, "train").unwrap();
    assert_eq!((set.len(), set.missing().len()), (367, 0));
    let of_first = vec![23726, 64726, 1904, 16139, 11897, 2303, 2543, 0, 40851, 731, 0];
    assert_eq!(counts(&set, "0001TP_006690"), (of_first, 7980, 0));
    let classes = vec![
        10682767, 14750079, 623349, 20076880, 2845085, 6166762, 743859, 714595, 3719877, 405385,
        184967,
    ];
    assert_eq!(total(&set, true), (classes, 2503995, 0));
    let set = camvid(&root, "val").unwrap();
    let of_first = vec![15008, 52841, 383, 49063, 15252, 25472, 716, 4141, 6054, 912, 2279];
    assert_eq!((set.len(), counts(&set, "0016E5_07959")), (101, (of_first, 679, 0)));
    let classes = vec![
        1601620, 4531180, 98499, 5053176, 1521751, 2851125, 155724, 537197, 304716, 113531, 387010,
    ];
    assert_eq!(total(&set, true), (classes, 297271, 0));
    let set = camvid(&root, "test").unwrap();
    let classes = vec![
        3470318, 4964899, 243409, 5196055, 1862519, 2245737, 201872, 247710, 799075, 136324, 28344,
    ];
    assert_eq!((set.len(), total(&set, true)), (117, (classes, 821338, 0)));
}

#[test]
fn all_of_voc12_animals_loads() {
    let Some(root) = shared("datasets/voc12_animals") else { return };
    let numbers = FolderNumbers { unlabelled: &[], void: &[255] };
    let read = |list| folder(&root, list, numbers).unwrap();
    let train = read("train");
    assert_eq!((train.len(), train.missing().len()), (300, 0));
    assert_eq!(train.classes().names(), VOC_21);
    let classes = sparse(21, &[(0, 72224), (9, 78930), (12, 27632)]);
    assert_eq!(counts(&train, "2007_000063"), (classes, 0, 8714));
    let classes = vec![
        33586459, 0, 219091, 70735, 22228, 26066, 887, 218483, 2928160, 1288359, 1772800, 636911,
        2250372, 1629403, 59578, 1414760, 248215, 1396658, 1547342, 20833, 322776,
    ];
    assert_eq!(total(&train, true), (classes, 0, 2810353));
    let extra = read("train_extra");
    let classes = vec![
        108906406, 0, 0, 1963, 0, 218050, 0, 1207645, 8210418, 3268142, 7521886, 229340, 6664561,
        6757237, 0, 5640172, 845838, 6914667, 5048474, 0, 713665,
    ];
    assert_eq!((extra.len(), total(&extra, false)), (900, (classes, 0, 521545)));
    let val = read("val");
    let classes = sparse(21, &[(0, 66686), (10, 95757)]);
    assert_eq!((val.len(), counts(&val, "2007_000491")), (95, (classes, 0, 4557)));
    let (_, unlabelled, void) = total(&val, true);
    assert_eq!((unlabelled, void), (0, 929131));
}

/// Pictures without a full decode are still checked for their sizes above; here all of them are
/// decoded. It is by itself so that the harness can run it beside the others.
#[test]
fn all_extra_pictures_of_voc12_animals_decode() {
    let Some(root) = shared("datasets/voc12_animals") else { return };
    let set = folder(&root, "train_extra", FolderNumbers { unlabelled: &[], void: &[255] });
    let set = set.unwrap();
    for index in 0..set.len() {
        let sample = set.load(index).unwrap_or_else(|error| panic!("{error}"));
        let size = (sample.labels.width(), sample.labels.height());
        assert_eq!((sample.picture.width(), sample.picture.height()), size);
    }
}

#[test]
fn real_tables_tell_whether_they_are_normalised() {
    let Some(root) = shared("embeddings") else { return };
    let read = |name: &str| {
        let npy = root.join(format!("{name}.npy"));
        EmbeddingTable::read_npy(&npy, &root.join(format!("{name}.txt"))).unwrap()
    };
    for (name, rows, dim, unit) in [
        ("zs3/pascal_voc21_w2v300", 21, 300, false),
        ("zs3/pascal_context60_w2v300", 60, 300, false),
        ("spnet/voc21_word2vec300", 21, 300, true),
        ("spnet/voc21_fasttext300", 21, 300, true),
        ("spnet/cocostuff182_word2vec300", 182, 300, true),
        ("spnet/cocostuff182_fasttext300", 182, 300, true),
        ("clip_vitb16_text/voc20_single_f16", 20, 512, true),
        ("clip_vitb16_text/cocostuff171_single_f16", 171, 512, true),
        ("clip_vitb16_text/cocostuff171_multi_f16", 171, 512, true),
        ("glove6b_50d/glove6b50_top20k_f16", 20_014, 50, false),
    ] {
        let table = read(name);
        assert_eq!((table.len(), table.dim(), table.is_normalized()), (rows, dim, unit), "{name}");
    }
    let norms: Vec<f64> = read("zs3/pascal_voc21_w2v300").norms().collect();
    for (place, norm) in [(15, 0.683), (8, 0.910), (14, 1.000)] {
        assert!((norms[place] - norm).abs() < 5e-4, "{} has {}", VOC_21[place], norms[place]);
    }
    let voc = ClassList::new(&VOC_21).unwrap();
    let glove = read("glove6b_50d/glove6b50_top20k_f16");
    assert_eq!(glove.of_classes(&voc, &VOC_ALIASES).unwrap().len(), 21);
    let fasttext = read("spnet/voc21_fasttext300");
    let both = fasttext.beside(&read("spnet/voc21_word2vec300")).unwrap();
    assert_eq!((both.dim(), both.is_normalized()), (600, false));
    assert!(both.normalized().unwrap().is_normalized());
}
