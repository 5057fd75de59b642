//! Masks against ONNX Runtime's (`tests/reference/`, made by `make_reference.py`).
#![cfg(feature = "cli")]

mod common;

use common::{
    Picture, agreement, labels, mask, repository, shared, shipped, shipped_float, with_limits,
    with_segmenter,
};
use std::path::PathBuf;
use zsseg::classes::NewClass;
use zsseg::convert::{Config, Source, Sources, ZeroShotSources};
use zsseg::limits::Limits;
use zsseg::segmenter::{ClassSource, Meaning};

/// Least share of equal pixels for networks computed in floats.
const FLOAT: f64 = 0.999;
/// Least share of equal pixels for quantised networks: a pixel of the resized frame that lies
/// between two integers may be rounded the other way than by the reference, which resizes in
/// float64, and such networks amplify that.
const INT8: f64 = 0.990;

/// Segments `pictures` and compares each with the reference mask of the same name.
fn compare(title: &str, bundle: &[u8], pictures: &[PathBuf], references: &str, least: f64) {
    let pictures: Vec<_> = pictures.iter().map(|path| (path, Picture::open(path))).collect();
    let width = pictures.iter().map(|(_, picture)| picture.width).max().unwrap();
    let height = pictures.iter().map(|(_, picture)| picture.height).max().unwrap();
    let mut worst: f64 = 1.0;
    let mut sum = 0.0;
    with_segmenter(bundle, (width, height), |segmenter| {
        for (path, picture) in &pictures {
            let name = path.with_extension("png");
            let name = name.file_name().unwrap().to_str().unwrap();
            let want = mask(&repository(references).join(name));
            let share = agreement(&labels(segmenter, &picture.frame()), &want);
            println!("{title} {name}: {:.3} % of pixels equal", 100.0 * share);
            worst = worst.min(share);
            sum += share;
        }
    });
    let mean = 100.0 * sum / pictures.len() as f64;
    println!("{title}: mean {mean:.3} %, worst {:.3} % of {}", 100.0 * worst, pictures.len());
    assert!(worst >= least, "{title}: {worst} < {least}");
}

/// A class that no training mask showed, by its name, and then removed again: the picture's mask is
/// the reference's with the class, and bit for bit the one of before without it.
#[test]
fn shipped_model_with_a_cat() {
    for path in shipped_pictures() {
        let picture = Picture::open(&path);
        let stem = path.file_stem().unwrap().to_str().unwrap();
        let file = format!("tests/reference/voc11-lite0-zs/int8/{stem}_cat.png");
        let want = mask(&repository(&file));
        let frames = Limits::for_frames(picture.width, picture.height);
        let limits = Limits { extra_classes: 1, ..frames };
        with_limits(&shipped(), limits, |segmenter| {
            let before = labels(segmenter, &picture.frame());
            let cat = ClassSource::Meaning(Meaning::Word("cat"));
            let label = segmenter.add_class(&NewClass::named("cat"), &cat).unwrap();
            let share = agreement(&labels(segmenter, &picture.frame()), &want);
            println!("{stem} with a cat: {:.3} % of pixels equal", 100.0 * share);
            assert!(share >= INT8, "{stem}: {share}");
            let cats = |mask: &[u8]| mask.iter().filter(|found| **found == label as u8).count();
            assert_eq!((cats(&want) > before.len() / 2, cats(&before)), (stem == "chelsea", 0));
            segmenter.remove_class(label).unwrap();
            assert_eq!(labels(segmenter, &picture.frame()), before);
        });
    }
}

fn shipped_pictures() -> [PathBuf; 2] {
    [repository("tests/data/chelsea.png"), repository("tests/data/astronaut.png")]
}

#[test]
fn shipped_model_int8() {
    let references = "tests/reference/voc11-lite0-zs/int8";
    compare("voc11-lite0-zs int8", &shipped(), &shipped_pictures(), references, INT8);
}

#[test]
fn shipped_model_float() {
    let references = "tests/reference/voc11-lite0-zs/float";
    compare("voc11-lite0-zs float", &shipped_float(), &shipped_pictures(), references, FLOAT);
}

/// The shared DeepLabv3 network as a bundle, with the pack file changed by `edit`.
fn deeplabv3(edit: impl Fn(&str) -> String) -> Option<Vec<u8>> {
    let path = shared("models/deeplabv3_voc21/deeplabv3_257_mv_gpu.onnx")?;
    let onnx = std::fs::read(path).unwrap();
    let config = std::fs::read_to_string(repository("models/deeplabv3_voc21.toml")).unwrap();
    let config = Config::parse(&edit(&config)).unwrap();
    let sources = Sources {
        onnx: Source { name: "deeplabv3.onnx", data: &onnx },
        config: Source { name: "deeplabv3_voc21.toml", data: &config },
        head: None,
        classes: None,
        card: None,
        weights: None,
        zero_shot: ZeroShotSources::default(),
    };
    Some(zsseg::convert::pack(&sources).unwrap())
}

/// The first frames of a shared list.
fn frames(list: &str, folder: &str, count: usize) -> Option<Vec<PathBuf>> {
    let names = std::fs::read_to_string(shared(list)?).unwrap();
    let folder = shared(folder)?;
    let names = names.split_whitespace().take(count);
    Some(names.map(|name| folder.join(format!("{name}.jpg"))).collect())
}

fn compare_deeplabv3(title: &str, bundle: &[u8], references: &str, count: usize) {
    let sets = [
        ("CamVid", "datasets/camvid/test.txt", "datasets/camvid/test"),
        ("VOC", "datasets/voc12_animals/val.txt", "datasets/voc12_animals/images"),
    ];
    for (name, list, folder) in sets {
        let Some(pictures) = frames(list, folder, count) else { return };
        compare(&format!("{title} {name}"), bundle, &pictures, references, FLOAT);
    }
}

#[test]
fn shared_deeplabv3_stretched() {
    let Some(bundle) = deeplabv3(str::to_string) else { return };
    compare_deeplabv3("deeplabv3", &bundle, "tests/reference/deeplabv3_voc21", 20);
}

#[test]
fn shared_deeplabv3_letterboxed_with_antialias() {
    let letterbox = "profile = \"deeplab-tf\"\nfit = \"letterbox\"\nantialias = true\n\
                     pad = [127.5, 127.5, 127.5]";
    let edit = |config: &str| config.replace("profile = \"deeplab-tf\"", letterbox);
    let Some(bundle) = deeplabv3(edit) else { return };
    let references = "tests/reference/deeplabv3_voc21_letterbox";
    compare_deeplabv3("deeplabv3 letterbox", &bundle, references, 10);
}
