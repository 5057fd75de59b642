//! Another list of classes for a bundle.

use crate::fixture::*;
use half::f16;
use zsseg::bundle::{Bundle, ClassRow, RowSource, StoredWeights, WeightValues, rewrite_classes};
use zsseg::limits::MAX_CLASSES;
use zsseg::spec::{Class, HeadKind, WeightType};
use zsseg::status::Status;

/// The classes of a bundle as they are.
fn kept<'a>(bundle: &Bundle<'a>) -> Vec<ClassRow<'a>> {
    let row = |(class, index)| ClassRow { class, source: RowSource::Kept(index) };
    bundle.classes().zip(0..).map(row).collect()
}

fn new<'a>(name: &'a str, weights: &'a [f32], bias: f32) -> ClassRow<'a> {
    let source = RowSource::New { weights: WeightValues::F32(weights), bias };
    ClassRow { class: Class { seen: false, ..class(name) }, source }
}

/// The sections that do not depend on the classes.
fn unchanged(bytes: &[u8]) -> Vec<(u32, u32, Vec<u8>)> {
    let dependent = [MANIFEST, CLASSES, HEAD_WEIGHTS, HEAD_BIAS, HEAD_SCALES, FEATURE_STATISTICS];
    let sections = raw_sections(bytes).into_iter();
    let others = sections.filter(|section| !dependent.contains(&section.kind));
    others.map(|section| (section.kind, section.flags, section.bytes)).collect()
}

#[test]
fn the_same_classes_give_the_same_file() {
    let rows = [3.0, 4.0, -1.0, 0.0, 0.5, 0.25];
    let dot = embedded(HeadKind::Dot(WeightType::F16), &rows);
    let cosine = embedded(HeadKind::Cosine(WeightType::I8), &rows);
    let floats = sample_with(WeightValues::F32(&rows));
    for bytes in [full(), sample(), smallest(), dot, cosine, floats] {
        let bundle = Bundle::open(&bytes).unwrap();
        assert_eq!(rewrite_classes(&bundle, &kept(&bundle)).unwrap(), bytes);
    }
}

#[test]
fn an_added_class_leaves_the_others_as_they_are() {
    let before = full();
    let bundle = Bundle::open(&before).unwrap();
    let mut classes = kept(&bundle);
    classes.push(new("zebra", &[-0.5, 0.25], 7.0));
    let after = rewrite_classes(&bundle, &classes).unwrap();
    assert_eq!(unchanged(&after), unchanged(&before));

    let found = Bundle::open(&after).unwrap();
    assert_eq!(found.head().classes, 4);
    assert_eq!(found.class(3).unwrap(), Class { seen: false, ..class("zebra") });
    assert_eq!(found.classes().take(3).collect::<Vec<_>>(), bundle.classes().collect::<Vec<_>>());
    let values = [&WEIGHTS[..], &[-127, 64]].concat();
    let scales = vec![0.1, 0.2, 0.3, 0.5 / 127.0];
    assert_eq!(stored(&found), Some(StoredWeights::I8 { values, scales }));
    assert_eq!(floats(found.head_bias()), [0.0, 1.0, -1.0, 7.0]);
    let statistics = found.feature_statistics().unwrap();
    assert_eq!(statistics.classes.iter().map(|class| class.get()).collect::<Vec<_>>(), [0, 2]);

    // Taking it away again gives the file from before.
    let rows = &kept(&found)[..3];
    assert_eq!(rewrite_classes(&found, rows).unwrap(), before);
}

#[test]
fn removed_and_moved_classes_take_their_rows_along() {
    let before = full();
    let bundle = Bundle::open(&before).unwrap();
    let classes = kept(&bundle);
    let after = rewrite_classes(&bundle, &[classes[2], classes[1]]).unwrap();
    assert_eq!(unchanged(&after), unchanged(&before));
    let found = Bundle::open(&after).unwrap();
    let names: Vec<&str> = found.classes().map(|class| class.name).collect();
    assert_eq!(names, ["cat", "Straße"]);
    let values = vec![127, -128, 3, -4];
    assert_eq!(stored(&found), Some(StoredWeights::I8 { values, scales: vec![0.3, 0.2] }));
    assert_eq!(floats(found.head_bias()), [-1.0, 1.0]);
    let statistics = found.feature_statistics().unwrap();
    let (mean, deviation) = statistics.find(0).unwrap();
    assert_eq!((floats(Some(mean)), floats(Some(deviation))), (vec![3.0, 4.0], vec![0.0, 1.5]));
    assert!(statistics.find(1).is_none());
    // The last class with statistics goes; the generator, which needs the section, stays.
    let after = rewrite_classes(&bundle, &[classes[1]]).unwrap();
    let found = Bundle::open(&after).unwrap();
    assert!(found.feature_statistics().unwrap().classes.is_empty());
    assert!(found.generator().is_some());
}

#[test]
fn rows_are_stored_in_the_type_of_the_bundle() {
    for kind in [HeadKind::Dot(WeightType::F16), HeadKind::Cosine(WeightType::F16)] {
        let bytes = embedded(kind, &[1.0; 6]);
        let bundle = Bundle::open(&bytes).unwrap();
        let mut classes = kept(&bundle);
        classes.push(new("floats", &[3.0, -4.0], 0.0));
        let given = StoredWeights::round(kind, &[0.0, 2.0], 2).unwrap();
        let source = RowSource::New { weights: given.values(), bias: 0.0 };
        classes.push(ClassRow { class: class("halves"), source });
        let bytes = rewrite_classes(&bundle, &classes).unwrap();
        let Some(StoredWeights::F16(values)) = stored(&Bundle::open(&bytes).unwrap()) else {
            panic!("not halves")
        };
        let unit = matches!(kind, HeadKind::Cosine(_));
        let wanted = if unit { [0.6, -0.8, 0.0, 1.0] } else { [3.0, -4.0, 0.0, 2.0] };
        assert_eq!(values[6..], wanted.map(f16::from_f32));
    }
}

#[test]
fn unknown_sections_are_kept() {
    let mut sections = raw_sections(&full());
    sections.insert(3, RawSection { kind: 99, flags: 1, bytes: vec![7; 100] });
    let before = container(&sections);
    let bundle = Bundle::open(&before).unwrap();
    let after = rewrite_classes(&bundle, &kept(&bundle)[1..]).unwrap();
    assert_eq!(unchanged(&after), unchanged(&before));
    assert_eq!(raw_sections(&after)[3].bytes, [7; 100]);
}

#[track_caller]
fn refused(bytes: &[u8], status: Status, what: &str, change: impl Fn(&mut Vec<ClassRow<'_>>)) {
    let bundle = Bundle::open(bytes).unwrap();
    let mut classes = kept(&bundle);
    change(&mut classes);
    let error = rewrite_classes(&bundle, &classes).expect_err(what);
    assert_eq!((error.status(), error.what()), (status, what));
}

#[test]
fn lists_that_do_not_fit_are_refused() {
    let bytes = full();
    let content = |what, change: fn(&mut Vec<ClassRow<'_>>)| {
        refused(&bytes, Status::BundleContent, what, change);
    };
    content("number of classes", |classes| classes.clear());
    let twice = "order of the class names, or a name occurs twice";
    content(twice, |classes| classes.push(new("cat", &[1.0, 2.0], 0.0)));
    content("class name", |classes| classes.push(new("a\nb", &[1.0, 2.0], 0.0)));
    content("class name is empty", |classes| classes.push(new("", &[1.0, 2.0], 0.0)));
    content("weights of the head", |classes| classes.push(new("a", &[1.0, f32::NAN], 0.0)));
    let bias = "a bias of the head is not finite";
    content(bias, |classes| classes.push(new("a", &[1.0, 1.0], f32::INFINITY)));

    let argument = |what, change: fn(&mut Vec<ClassRow<'_>>)| {
        refused(&bytes, Status::InvalidArgument, what, change);
    };
    argument("index of a class", |classes| classes[0].source = RowSource::Kept(3));
    argument("weights of a new class", |classes| classes.push(new("a", &[1.0; 3], 0.0)));
    argument("weights of a new class", |classes| {
        let weights = WeightValues::I8 { values: &[1, 2], scales: &[] };
        classes[0].source = RowSource::New { weights, bias: 0.0 };
    });
    argument("weight type of a new class", |classes| {
        let weights = WeightValues::F16(&[f16::ONE; 2]);
        classes[0].source = RowSource::New { weights, bias: 0.0 };
    });
}

#[test]
fn heads_refuse_what_they_cannot_have() {
    let dot = embedded(HeadKind::Dot(WeightType::F32), &[1.0; 6]);
    let what = "bias of a class of a head without biases";
    refused(&dot, Status::InvalidArgument, what, |classes| {
        classes.push(new("a", &[1.0, 1.0], 0.5));
    });
    refused(&dot, Status::BundleContent, "a row of a dot head is zero", |classes| {
        classes.push(new("a", &[0.0, 0.0], 0.0));
    });
    let cosine = embedded(HeadKind::Cosine(WeightType::F32), &[1.0; 6]);
    refused(&cosine, Status::BundleContent, "weights of the head", |classes| {
        classes.push(new("a", &[0.0, 0.0], 0.0));
    });
}

#[test]
fn a_network_that_gives_logits_keeps_its_classes() {
    let bytes = smallest();
    let what = "classes of a network that gives logits";
    refused(&bytes, Status::Unsupported, what, |classes| classes.truncate(1));
    refused(&bytes, Status::Unsupported, what, |classes| classes.swap(0, 1));
    refused(&bytes, Status::Unsupported, what, |classes| classes.push(new("a", &[1.0; 2], 0.0)));
    refused(&bytes, Status::Unsupported, what, |classes| classes[0] = new("a", &[1.0; 2], 0.0));
    let bundle = Bundle::open(&bytes).unwrap();
    let mut classes = kept(&bundle);
    classes[1].class = Class { name: "curb", bias: -1.0, ..classes[1].class };
    let after = rewrite_classes(&bundle, &classes).unwrap();
    let found = Bundle::open(&after).unwrap().class(1).unwrap();
    assert_eq!((found.name, found.bias), ("curb", -1.0));
}

#[test]
fn there_is_room_for_4096_classes_and_no_more() {
    let bytes = full();
    let bundle = Bundle::open(&bytes).unwrap();
    let names: Vec<String> = (0..=MAX_CLASSES).map(|index| format!("class {index}")).collect();
    let row = |name| ClassRow { class: class(name), source: RowSource::Kept(1) };
    let classes: Vec<ClassRow<'_>> = names.iter().map(|name| row(name)).collect();
    let error = rewrite_classes(&bundle, &classes).unwrap_err();
    assert_eq!((error.status(), error.what()), (Status::LimitExceeded, "number of classes"));
    let largest = rewrite_classes(&bundle, &classes[1..]).unwrap();
    assert_eq!(Bundle::open(&largest).unwrap().class_index("class 4096"), Some(4095));
}
