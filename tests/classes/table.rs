//! What adding, replacing, removing, renaming and disabling do to masks and to the list.

use crate::external::*;
use crate::support::*;
use proptest::prelude::*;
use zsseg::classes::{NewClass, Origin, voc_color};
use zsseg::limits::Limits;
use zsseg::segmenter::{ClassSource, Segmenter};
use zsseg::spec::{Decision, HeadKind, Stacking, WeightType};

#[test]
fn a_new_class_is_listed_as_it_was_given() {
    let model = model();
    with_segmenter(&model.bundle(), &limits(3), |segmenter| {
        assert_eq!((segmenter.vacancies(), segmenter.label_capacity()), (3, 9));
        let class = NewClass {
            label: Some(8),
            color: Some([9, 8, 7]),
            seen: true,
            bias: 0.5,
            ..NewClass::named("Straße №1")
        };
        let source = ClassSource::Row { weights: &row(1, 16), bias: 0.0 };
        assert_eq!(segmenter.add_class(&class, &source).unwrap(), 8);
        let info = segmenter.class(8).unwrap();
        assert_eq!((info.label, info.name, info.color), (8, "Straße №1", [9, 8, 7]));
        assert_eq!((info.seen, info.background, info.enabled), (true, false, true));
        assert_eq!((info.bias, info.prior, info.origin), (0.5, 1.0, Origin::Row));
        // The lowest free label, and the colour that goes with it.
        assert_eq!(add(segmenter, "second", &row(2, 16)), 6);
        let info = segmenter.class(6).unwrap();
        assert_eq!((info.color, info.seen), (voc_color(6), false));
        assert_eq!(segmenter.find_class("Straße №1"), Some(8));
        assert_eq!(segmenter.find_class("class 5"), Some(5));
        assert_eq!(segmenter.find_class("class 6"), None);
        let labels: Vec<u16> = segmenter.classes().map(|class| class.label).collect();
        assert_eq!(labels, [0, 1, 2, 3, 4, 5, 6, 8]);
        assert_eq!(segmenter.vacancies(), 1);
    });
}

#[test]
fn the_colour_map_is_that_of_voc() {
    assert_eq!(voc_color(0), [0, 0, 0]);
    assert_eq!(voc_color(1), [128, 0, 0]);
    assert_eq!(voc_color(8), [64, 0, 0]);
    assert_eq!(voc_color(15), [192, 128, 128]);
    assert_eq!(voc_color(20), [0, 64, 128]);
}

#[test]
fn removing_and_adding_again_gives_the_same_mask() {
    let model = model();
    let (features, new) = (features(&model), row(3, 16));
    with_segmenter(&model.bundle(), &limits(2), |segmenter| {
        let map = model.map(&features);
        let before = run(segmenter, &map);
        let label = add(segmenter, "new", &new);
        let (with, listed) = (run(segmenter, &map), list(segmenter));
        assert_ne!(with, before);
        for _ in 0..5 {
            segmenter.remove_class(label).unwrap();
            assert_eq!(run(segmenter, &map), before);
            assert_eq!(add(segmenter, "new", &new), label);
            assert_eq!((run(segmenter, &map), list(segmenter)), (with.clone(), listed.clone()));
        }
    });
}

/// Also one of the model's own: its row may be given back.
#[test]
fn a_class_of_the_model_can_be_removed_and_given_back() {
    let model = model();
    let features = features(&model);
    with_segmenter(&model.bundle(), &limits(1), |segmenter| {
        let map = model.map(&features);
        let whole = run(segmenter, &map);
        segmenter.remove_class(2).unwrap();
        let without = run(segmenter, &map);
        assert!(whole.labels.contains(&2) && !without.labels.contains(&2));
        let class = NewClass { seen: true, ..NewClass::named("class 2") };
        let source = ClassSource::Row { weights: &model.rows[2], bias: model.bias[2] };
        assert_eq!(segmenter.add_class(&class, &source).unwrap(), 2);
        assert_eq!(run(segmenter, &map), whole);
        segmenter.remove_class(2).unwrap();
        assert_eq!(run(segmenter, &map), without);
        assert_eq!(segmenter.vacancies(), 1);
    });
}

#[test]
fn a_class_can_be_replaced_and_keeps_the_rest() {
    let model = model();
    let features = features(&model);
    let mut other = model.clone();
    other.rows[3] = row(77, 16);
    other.bias[3] = -0.125;
    let want = with_segmenter(&other.bundle(), &limits(0), |segmenter| {
        run(segmenter, &other.map(&features))
    });
    with_segmenter(&model.bundle(), &limits(1), |segmenter| {
        let map = model.map(&features);
        let source = ClassSource::Row { weights: &other.rows[3], bias: -0.125 };
        let before = list(segmenter);
        segmenter.replace_class(3, &source).unwrap();
        assert_eq!(run(segmenter, &map), want);
        let mut expected = before.clone();
        expected.classes[3].5 = Origin::Row;
        expected.vacancies = 0;
        assert_eq!(list(segmenter), expected);
        // A second time it needs no second place.
        let source = ClassSource::Row { weights: &row(78, 16), bias: 0.0 };
        segmenter.replace_class(3, &source).unwrap();
        assert_ne!(run(segmenter, &map), want);
        let source = ClassSource::Row { weights: &other.rows[3], bias: -0.125 };
        segmenter.replace_class(3, &source).unwrap();
        assert_eq!(run(segmenter, &map), want);
    });
}

#[test]
fn renaming_changes_no_pixel() {
    let model = model();
    let features = features(&model);
    with_segmenter(&model.bundle(), &limits(1), |segmenter| {
        let map = model.map(&features);
        let before = run(segmenter, &map);
        segmenter.rename_class(1, "another name, with commas").unwrap();
        segmenter.rename_class(1, "another name, with commas").unwrap();
        segmenter.rename_class(0, "class 1").unwrap();
        assert_eq!(segmenter.class(1).unwrap().name, "another name, with commas");
        assert_eq!(segmenter.find_class("class 1"), Some(0));
        assert_eq!(segmenter.find_class("class 0"), None);
        // A shorter name leaves nothing of the longer one behind.
        segmenter.rename_class(1, "b").unwrap();
        assert_eq!(segmenter.class(1).unwrap().name, "b");
        assert_eq!(run(segmenter, &map), before);
    });
}

#[test]
fn a_disabled_class_is_as_good_as_absent() {
    let model = model();
    let features = features(&model);
    for decision in [
        Decision::PLAIN,
        Decision { stacking: Stacking::Probabilities(0.1), min_margin: 0.05, ..Decision::PLAIN },
    ] {
        with_segmenter(&model.bundle(), &limits(2), |segmenter| {
            let map = model.map(&features);
            segmenter.set_decision(decision).unwrap();
            let before = run(segmenter, &map);
            let label = add(segmenter, "new", &row(3, 16));
            let with = run(segmenter, &map);
            segmenter.enable_class(label, false).unwrap();
            assert_eq!(run(segmenter, &map), before);
            assert!(!segmenter.class(label).unwrap().enabled);
            segmenter.enable_class(label, true).unwrap();
            assert_eq!(run(segmenter, &map), with);
            segmenter.enable_class(2, false).unwrap();
            let disabled = run(segmenter, &map);
            segmenter.remove_class(2).unwrap();
            assert_eq!(run(segmenter, &map), disabled);
        });
    }
}

#[test]
fn without_classes_no_pixel_has_a_label() {
    let model = model();
    let features = features(&model);
    with_segmenter(&model.bundle(), &limits(0), |segmenter| {
        let map = model.map(&features);
        let before = run(segmenter, &map);
        for label in 0..6 {
            segmenter.enable_class(label, false).unwrap();
        }
        let none = run(segmenter, &map);
        assert!(none.labels.iter().all(|label| *label == u16::MAX));
        assert!(none.confidence.iter().chain(&none.margin).all(|value| *value == 0));
        assert!(none.unknown.iter().all(|value| *value == 255));
        for label in 0..6 {
            segmenter.enable_class(label, true).unwrap();
        }
        assert_eq!(run(segmenter, &map), before);
        (0..6).for_each(|label| segmenter.remove_class(label).unwrap());
        assert_eq!(segmenter.classes().count(), 0);
        assert_eq!(run(segmenter, &map), none);
    });
}

#[test]
fn high_labels_need_wide_planes() {
    let model = model();
    let features = features(&model);
    with_segmenter(&model.bundle(), &limits(300), |segmenter| {
        let map = model.map(&features);
        let pixels = (FRAME.0 * FRAME.1) as usize;
        let mut bytes = vec![77u8; pixels];
        let mut narrow = |segmenter: &mut Segmenter<'_>| {
            let mut output = zsseg::head::Output::labels_u8(&mut bytes, FRAME.0 as usize);
            segmenter.segment_features(&map, FRAME.0, FRAME.1, &mut output)
        };
        let source = ClassSource::Row { weights: &row(3, 16), bias: 100.0 };
        let at = |label| NewClass { label: Some(label), ..NewClass::named("high") };
        segmenter.add_class(&at(254), &source).unwrap();
        narrow(segmenter).unwrap();
        segmenter.remove_class(254).unwrap();
        for label in [255, 305] {
            segmenter.add_class(&at(label), &source).unwrap();
            let error = narrow(segmenter).unwrap_err();
            assert_eq!(error.status(), zsseg::status::Status::InvalidArgument);
            assert!(run(segmenter, &map).labels.iter().all(|found| *found == label));
            // What takes no part needs no room.
            segmenter.enable_class(label, false).unwrap();
            narrow(segmenter).unwrap();
            segmenter.remove_class(label).unwrap();
        }
        assert!(bytes.iter().all(|label| *label < 6));
    });
}

fn source(weights: &[f32]) -> ClassSource<'_> {
    ClassSource::Row { weights, bias: 0.0 }
}

fn kinds() -> impl Strategy<Value = HeadKind> {
    let stored = prop_oneof![Just(WeightType::F32), Just(WeightType::F16), Just(WeightType::I8)];
    (0..3, stored).prop_map(|(kind, stored)| match kind {
        0 => HeadKind::Linear(stored),
        1 => HeadKind::Dot(stored),
        _ => HeadKind::Cosine(stored),
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn an_impossible_class_changes_no_pixel(kind in kinds(), seed: u64, gamma in 0.0f32..0.5) {
        let model = Model::new(kind, 5, 12, (4, 7));
        let features = Random(seed).take(12 * 28, 4.0);
        with_segmenter(&model.bundle(), &limits(3), |segmenter| {
            let map = model.map(&features);
            let stacking = Stacking::Probabilities(gamma);
            segmenter.set_decision(Decision { stacking, ..Decision::PLAIN }).unwrap();
            // With a rival of the other kind in both.
            let source = ClassSource::Row { weights: &row(3, 12), bias: 0.0 };
            segmenter.add_class(&NewClass::named("rival"), &source).unwrap();
            let before = run(segmenter, &map);
            for (name, bias, seen) in [("a", -1e30, true), ("b", f32::MIN, false)] {
                let class = NewClass { bias, seen, ..NewClass::named(name) };
                let source = ClassSource::Row { weights: &row(seed ^ 1, 12), bias: 0.0 };
                segmenter.add_class(&class, &source).unwrap();
                prop_assert_eq!(&run(segmenter, &map), &before);
            }
            Ok(())
        })?;
    }

    /// However a table got its classes, the mask is that of a bundle with them.
    #[test]
    fn any_history_leads_to_the_mask_of_its_end(
        kind in kinds(),
        actions in proptest::collection::vec((0u8..4, 0u16..10, 0u64..1000), 0..40),
    ) {
        let mut model = Model { bias: vec![0.0; 6], ..Model::new(kind, 6, 12, (4, 7)) };
        let features = Random(5).take(12 * 28, 4.0);
        let mut rows: Vec<Option<Vec<f32>>> = model.rows.iter().cloned().map(Some).collect();
        rows.resize(10, None);
        let got = with_segmenter(&model.bundle(), &limits(4), |segmenter| {
            for (action, label, seed) in actions {
                let new = row(seed, 12);
                let place = &mut rows[usize::from(label)];
                let done = match action {
                    0 => {
                        let name = format!("added {label}");
                        let class = NewClass { label: Some(label), ..NewClass::named(&name) };
                        let class = NewClass { seen: true, ..class };
                        segmenter.add_class(&class, &source(&new)).map(|_| Some(new.clone()))
                    }
                    1 => segmenter.remove_class(label).map(|()| None),
                    2 => segmenter.replace_class(label, &source(&new)).map(|()| Some(new.clone())),
                    _ => segmenter.rename_class(label, &format!("again {seed} {label}"))
                        .map(|()| place.clone()),
                };
                if let Ok(row) = done {
                    *place = row;
                }
            }
            run(segmenter, &model.map(&features))
        });
        let kept: Vec<u16> = (0..10u16).filter(|&at| rows[usize::from(at)].is_some()).collect();
        if kept.is_empty() {
            prop_assert!(got.labels.iter().all(|label| *label == u16::MAX));
            return Ok(());
        }
        model.rows = rows.into_iter().flatten().collect();
        model.names = kept.iter().map(|label| format!("{label}")).collect();
        model.bias = vec![0.0; kept.len()];
        model.class_bias = vec![0.0; kept.len()];
        model.seen = vec![true; kept.len()];
        let want = with_segmenter(&model.bundle(), &Limits::for_frames(FRAME.0, FRAME.1), |s| {
            run(s, &model.map(&features))
        });
        let labels: Vec<u16> = want.labels.iter().map(|&label| kept[usize::from(label)]).collect();
        prop_assert_eq!(got.labels, labels);
    }
}
