//! Rows that are added at run time against the same rows in the bundle.

use crate::external::*;
use crate::kinds::kinds;
use proptest::prelude::*;
use zsseg::classes::NewClass;
use zsseg::limits::Limits;
use zsseg::map::Layout;
use zsseg::segmenter::{ClassSource, Meaning, Segmenter};
use zsseg::spec::{HeadKind, WeightType};

const FRAME: (u32, u32) = (29, 19);

/// The first `count` classes of a model.
fn first(model: &Model, count: usize) -> Model {
    let mut model = model.clone();
    model.rows.truncate(count);
    model.bias.truncate(count);
    model.names.truncate(count);
    model.class_bias.truncate(count);
    model.seen.truncate(count);
    model
}

fn bias_of(model: &Model, class: usize) -> f32 {
    if matches!(model.kind, HeadKind::Linear(_)) { model.bias[class] } else { 0.0 }
}

/// Adds the classes that `segmenter` lacks of `model`, as rows.
fn add_others(segmenter: &mut Segmenter<'_>, model: &Model) {
    for class in segmenter.classes().count()..model.names.len() {
        let new = NewClass {
            seen: model.seen[class],
            bias: model.class_bias[class],
            ..NewClass::named(&model.names[class])
        };
        let source = ClassSource::Row { weights: &model.rows[class], bias: bias_of(model, class) };
        assert_eq!(segmenter.add_class(&new, &source).unwrap(), class as u16);
    }
}

fn limits(extra_classes: u32) -> Limits {
    Limits { extra_classes, ..Limits::for_frames(32, 19) }
}

fn check(model: &Model, kept: usize, seed: u64) {
    let features = whole_features(model.channels, model.cells(), seed);
    let want = with_segmenter(&model.bundle(), &limits(0), |segmenter| {
        mask(segmenter, &model.map(&features), FRAME)
    });
    let extra = (model.names.len() - kept) as u32;
    with_segmenter(&first(model, kept).bundle(), &limits(extra), |segmenter| {
        add_others(segmenter, model);
        assert_eq!(mask(segmenter, &model.map(&features), FRAME), want, "{:?}", model.kind);
    });
}

#[test]
fn added_rows_make_the_mask_of_those_in_the_bundle() {
    for kind in kinds() {
        check(&Model::new(kind, 9, 37, (5, 6)), 4, 5);
        check(&Model::new(kind, 2, 1, (3, 3)), 1, 6);
    }
}

/// Two classes of a bundle have the same row, and one of them gets it a second time, from the
/// caller. If a single bit of them differed, some cells would go to the one and some to the other;
/// where they tie, all go to the first.
#[track_caller]
fn check_twins(kind: HeadKind, rows: &[Vec<f32>]) {
    let mut model = Model::new(kind, 2, rows[0].len(), (16, 32));
    let features = Random(9).take(model.channels * model.cells(), 1.0);
    for row in rows {
        model.rows = vec![row.clone(), row.clone()];
        model.bias = vec![0.1875; 2];
        let bytes = model.bundle();
        for label in 0..2 {
            with_segmenter(&bytes, &limits(1), |segmenter| {
                let source = ClassSource::Row { weights: row, bias: bias_of(&model, 0) };
                segmenter.replace_class(label, &source).unwrap();
                let got = mask(segmenter, &model.map(&features), (32, 16));
                assert!(got.labels.iter().all(|label| *label == 0), "{kind:?}, label {label}");
                assert!(got.margin.iter().all(|margin| *margin == 0), "{kind:?}");
            });
        }
    }
}

#[test]
fn a_row_is_stored_bit_for_bit_as_the_bundle_has_it() {
    for kind in kinds() {
        let rows: Vec<Vec<f32>> = (0..40).map(|seed| Random(100 + seed).take(23, 0.37)).collect();
        check_twins(kind, &rows);
    }
}

#[test]
fn rows_of_any_magnitude_are_stored_as_in_the_bundle() {
    for kind in kinds() {
        let stored = kind.weight_type().unwrap();
        let cosine = matches!(kind, HeadKind::Cosine(_));
        let scales: &[f32] = match stored {
            WeightType::F16 if !cosine => &[1e-3, 1.0, 1e4],
            _ => &[1e-36, 1e-12, 1.0, 1e12],
        };
        let row = |&scale: &f32| Random(7).take(23, scale);
        check_twins(kind, &scales.iter().map(row).collect::<Vec<_>>());
    }
}

#[test]
fn the_tiniest_and_the_largest_embeddings_have_a_direction() {
    for kind in kinds().filter(|kind| matches!(kind, HeadKind::Cosine(_))) {
        let rows = [1e-42f32, 1e-39, 1e5, 3e38].map(|x| vec![x, 0.0, -x, 0.5 * x]);
        check_twins(kind, &rows);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn any_part_of_a_model_may_come_later(
        number in 0usize..9,
        (classes, channels) in (2usize..12, 1usize..40),
        (height, width) in (1usize..6, 1usize..20),
        interleaved: bool,
        share in 0.0f64..1.0,
        seed: u64,
    ) {
        let model = Model::new(kinds().nth(number).unwrap(), classes, channels, (height, width));
        let layout = if interleaved { Layout::Hwc } else { Layout::Chw };
        let model = Model { layout, confidence_scale: 0.3, ..model };
        let kept = 1 + ((classes - 1) as f64 * share) as usize;
        let features = Random(seed).take(channels * model.cells(), 3.0);
        let want = with_segmenter(&model.bundle(), &limits(0), |segmenter| {
            mask(segmenter, &model.map(&features), FRAME)
        });
        with_segmenter(&first(&model, kept).bundle(), &limits(12), |segmenter| {
            add_others(segmenter, &model);
            let got = mask(segmenter, &model.map(&features), FRAME);
            prop_assert_eq!(got, want);
            Ok(())
        })?;
    }
}

#[test]
fn embeddings_are_rows_of_dot_and_cosine_heads() {
    for kind in kinds().filter(|kind| !matches!(kind, HeadKind::Linear(_))) {
        let model = Model::new(kind, 5, 13, (4, 4));
        let features = Random(5).take(13 * 16, 1.0);
        let want = with_segmenter(&model.bundle(), &limits(0), |segmenter| {
            mask(segmenter, &model.map(&features), FRAME)
        });
        with_segmenter(&first(&model, 4).bundle(), &limits(1), |segmenter| {
            let source = ClassSource::Meaning(Meaning::Embedding(&model.rows[4]));
            segmenter.add_class(&NewClass::named("class 4"), &source).unwrap();
            assert_eq!(mask(segmenter, &model.map(&features), FRAME), want, "{kind:?}");
        });
    }
}
