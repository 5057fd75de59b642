//! Bad input gives a typed error; table and mask stay as they are, bit for bit.

use crate::external::*;
use crate::support::*;
use proptest::prelude::*;
use zsseg::bundle::Bundle;
use zsseg::classes::{ClassTable, NewClass};
use zsseg::limits::Limits;
use zsseg::segmenter::{ClassSource, Meaning, Segmenter};
use zsseg::spec::{EmbeddingSpace, HeadKind, WeightType};
use zsseg::status::{Result, Status};

/// Runs `attempt`, which must fail so, and checks that it left nothing behind.
#[track_caller]
fn refuse<T: std::fmt::Debug>(
    segmenter: &mut Segmenter<'_>,
    (model, features): (&Model, &[f32]),
    wanted: Status,
    attempt: impl FnOnce(&mut Segmenter<'_>) -> Result<T>,
) {
    let map = model.map(features);
    let (listed, before) = (list(segmenter), run(segmenter, &map));
    assert_eq!(attempt(segmenter).unwrap_err().status(), wanted);
    assert_eq!(list(segmenter), listed);
    assert_eq!(run(segmenter, &map), before);
}

#[test]
fn a_full_table_stays_as_it_is() {
    let model = model();
    let features = features(&model);
    let scene = (&model, &features[..]);
    with_segmenter(&model.bundle(), &limits(2), |segmenter| {
        add(segmenter, "a", &row(1, 16));
        segmenter.replace_class(0, &ClassSource::Row { weights: &row(2, 16), bias: 0.0 }).unwrap();
        assert_eq!(segmenter.vacancies(), 0);
        let new = row(3, 16);
        let source = ClassSource::Row { weights: &new, bias: 9.0 };
        for label in [None, Some(7), Some(8), Some(u16::MAX)] {
            let class = NewClass { label, ..NewClass::named("b") };
            refuse(segmenter, scene, Status::ClassTableFull, |s| s.add_class(&class, &source));
        }
        refuse(segmenter, scene, Status::ClassTableFull, |s| s.replace_class(1, &source));
        // Those that have a place of their own may still be replaced.
        segmenter.replace_class(6, &source).unwrap();
        segmenter.replace_class(0, &source).unwrap();
        // Removing one of the model's own makes a label free, but no place for a row.
        segmenter.remove_class(3).unwrap();
        let class = NewClass::named("b");
        refuse(segmenter, scene, Status::ClassTableFull, |s| s.add_class(&class, &source));
        segmenter.remove_class(0).unwrap();
        assert_eq!(segmenter.add_class(&class, &source).unwrap(), 0);
    });
    with_segmenter(&model.bundle(), &limits(0), |segmenter| {
        let source = ClassSource::Row { weights: &row(3, 16), bias: 0.0 };
        let class = NewClass::named("b");
        refuse(segmenter, scene, Status::ClassTableFull, |s| s.add_class(&class, &source));
        refuse(segmenter, scene, Status::ClassTableFull, |s| s.replace_class(0, &source));
    });
}

#[test]
fn there_is_no_class_4097() {
    let kind = HeadKind::Dot(WeightType::I8);
    let model = Model::new(kind, 4095, 2, (2, 2));
    let bytes = model.bundle();
    let limits = Limits { extra_classes: 1, ..Limits::for_frames(4, 4) };
    with_segmenter(&bytes, &limits, |segmenter| {
        let source = ClassSource::Row { weights: &[60.0, 70.0], bias: 0.0 };
        let label = segmenter.add_class(&NewClass::named("the 4096th"), &source).unwrap();
        assert_eq!(label, 4095);
        let features = [1.0; 8];
        let before = mask(segmenter, &model.map(&features), (4, 4));
        assert_eq!(before.labels, [4095; 16]);
        let class = NewClass::named("the 4097th");
        let source = ClassSource::Row { weights: &[600.0, 700.0], bias: 0.0 };
        let error = segmenter.add_class(&class, &source).unwrap_err();
        assert_eq!(error.status(), Status::ClassTableFull);
        assert_eq!(mask(segmenter, &model.map(&features), (4, 4)), before);
    });
    let bundle = Bundle::open(&bytes).unwrap();
    let more = Limits { extra_classes: 2, ..limits };
    let error = Segmenter::arena_bytes(&bundle, &more).unwrap_err();
    assert_eq!(error.status(), Status::LimitExceeded);
    assert!(error.to_string().contains("(found 4097, wanted 4096)"), "{error}");
    let mut memory = Memory::new(1 << 20);
    let error = Segmenter::new(&bundle, &more, memory.bytes()).err().unwrap();
    assert_eq!(error.status(), Status::LimitExceeded);
    let many = Limits { extra_classes: u32::MAX, ..limits };
    let error = Segmenter::arena_bytes(&bundle, &many).unwrap_err();
    assert_eq!(error.status(), Status::LimitExceeded);
    let carved = ClassTable::carve(
        &mut zsseg::arena::Arena::counting(),
        u32::MAX,
        [].into_iter(),
        usize::MAX,
    );
    assert_eq!(carved.err().unwrap().status(), Status::LimitExceeded);
}

#[test]
fn names_and_labels_are_given_once() {
    let model = model();
    let features = features(&model);
    let scene = (&model, &features[..]);
    with_segmenter(&model.bundle(), &limits(2), |segmenter| {
        add(segmenter, "new", &row(1, 16));
        let new = row(2, 16);
        let source = ClassSource::Row { weights: &new, bias: 0.0 };
        let mut add = |name: &str, label, wanted| {
            let class = NewClass { label, ..NewClass::named(name) };
            refuse(segmenter, scene, wanted, |s| s.add_class(&class, &source));
        };
        add("new", None, Status::ClassExists);
        add("class 3", None, Status::ClassExists);
        add("class 3", Some(7), Status::ClassExists);
        add("other", Some(6), Status::ClassExists);
        add("other", Some(0), Status::ClassExists);
        add("other", Some(8), Status::InvalidArgument);
        add("other", Some(u16::MAX), Status::InvalidArgument);
        let rename = |s: &mut Segmenter<'_>| s.rename_class(6, "class 0");
        refuse(segmenter, scene, Status::ClassExists, rename);
        // A class that does not take part keeps its name.
        segmenter.enable_class(6, false).unwrap();
        let class = NewClass::named("new");
        refuse(segmenter, scene, Status::ClassExists, |s| s.add_class(&class, &source));
        segmenter.remove_class(6).unwrap();
        assert_eq!(segmenter.add_class(&class, &source).unwrap(), 6);
    });
}

#[test]
fn names_have_1_to_63_bytes_without_control_characters() {
    let model = model();
    let features = features(&model);
    let scene = (&model, &features[..]);
    with_segmenter(&model.bundle(), &limits(2), |segmenter| {
        let new = row(2, 16);
        let source = ClassSource::Row { weights: &new, bias: 0.0 };
        let (long, wide) = ("x".repeat(64), "ä".repeat(32));
        for name in ["", "a\nb", "\0", "tab\t", "del\u{7f}", "c1\u{85}", &long, &wide] {
            let class = NewClass::named(name);
            refuse(segmenter, scene, Status::InvalidArgument, |s| s.add_class(&class, &source));
            refuse(segmenter, scene, Status::InvalidArgument, |s| s.rename_class(0, name));
        }
        let (longest, widest) = ("x".repeat(63), format!("{}x", "ä".repeat(31)));
        let label = segmenter.add_class(&NewClass::named(&longest), &source).unwrap();
        assert_eq!(segmenter.class(label).unwrap().name, longest);
        segmenter.rename_class(label, &widest).unwrap();
        assert_eq!(segmenter.class(label).unwrap().name, widest);
        assert_eq!(segmenter.find_class(&widest), Some(label));
    });
}

#[test]
fn classes_that_are_not_there_cannot_be_changed() {
    let model = model();
    let features = features(&model);
    let scene = (&model, &features[..]);
    with_segmenter(&model.bundle(), &limits(2), |segmenter| {
        segmenter.remove_class(4).unwrap();
        let new = row(2, 16);
        let source = ClassSource::Row { weights: &new, bias: 0.0 };
        for label in [4, 6, 8, u16::MAX] {
            let wanted = Status::InvalidArgument;
            assert_eq!(segmenter.class(label).unwrap_err().status(), wanted);
            refuse(segmenter, scene, wanted, |s| s.remove_class(label));
            refuse(segmenter, scene, wanted, |s| s.replace_class(label, &source));
            refuse(segmenter, scene, wanted, |s| s.rename_class(label, "name"));
            refuse(segmenter, scene, wanted, |s| s.enable_class(label, true));
            refuse(segmenter, scene, wanted, |s| s.set_class_bias(label, 1.0));
            refuse(segmenter, scene, wanted, |s| s.set_class_prior(label, 1.0));
        }
    });
}

/// Attempts with a row and, for heads whose rows are embeddings, with an embedding.
fn refuse_numbers(segmenter: &mut Segmenter<'_>, scene: (&Model, &[f32]), row: &[f32], bias: f32) {
    let by_row = ClassSource::Row { weights: row, bias };
    let by_embedding = ClassSource::Meaning(Meaning::Embedding(row));
    let class = NewClass::named("new");
    let wanted = Status::InvalidArgument;
    let embeds = scene.0.embedding.is_some() && bias == 0.0;
    for source in [by_row, by_embedding].into_iter().take(1 + usize::from(embeds)) {
        refuse(segmenter, scene, wanted, |s| s.add_class(&class, &source));
        refuse(segmenter, scene, wanted, |s| s.replace_class(1, &source));
    }
}

#[test]
fn impossible_rows_are_refused() {
    let (nan, infinite) = (f32::NAN, f32::INFINITY);
    for stored in [WeightType::F32, WeightType::F16, WeightType::I8] {
        for kind in [HeadKind::Linear(stored), HeadKind::Dot(stored), HeadKind::Cosine(stored)] {
            let model = Model::new(kind, 4, 5, (3, 4));
            let features = features(&model);
            with_segmenter(&model.bundle(), &limits(2), |segmenter| {
                let mut bad = |row: &[f32], bias| {
                    refuse_numbers(segmenter, (&model, &features), row, bias);
                };
                bad(&[1.0, nan, 1.0, 1.0, 1.0], 0.0);
                bad(&[1.0, 1.0, 1.0, 1.0, infinite], 0.0);
                bad(&[-infinite, 1.0, 1.0, 1.0, 1.0], 0.0);
                bad(&[1.0; 4], 0.0);
                bad(&[1.0; 6], 0.0);
                bad(&[], 0.0);
                bad(&[1.0; 5], nan);
                bad(&[1.0; 5], infinite);
                if !matches!(kind, HeadKind::Linear(_)) {
                    bad(&[0.0; 5], 0.0);
                    bad(&[-0.0; 5], 0.0);
                    bad(&[1.0; 5], 0.5);
                }
                // Numbers that 16 bits cannot hold.
                if stored == WeightType::F16 && !matches!(kind, HeadKind::Cosine(_)) {
                    bad(&[1.0, 1.0, 1.0, 1.0, 65_520.0], 0.0);
                }
                if kind == HeadKind::Dot(WeightType::F16) {
                    bad(&[1e-9; 5], 0.0);
                }
                let class = NewClass { bias: nan, ..NewClass::named("new") };
                let source = ClassSource::Row { weights: &[1.0; 5], bias: 0.0 };
                let scene = (&model, &features[..]);
                let attempt = |s: &mut Segmenter<'_>| s.add_class(&class, &source);
                refuse(segmenter, scene, Status::InvalidArgument, attempt);
            });
        }
    }
}

#[test]
fn impossible_embeddings_are_refused() {
    let space = |unit| Some(EmbeddingSpace { dim: 3, unit });
    for unit in [false, true] {
        let projection = Some(Random(3).take(17 * 3, 0.5));
        let model = Model { embedding: space(unit), projection, ..model() };
        let features = features(&model);
        let scene = (&model, &features[..]);
        with_segmenter(&model.bundle(), &limits(2), |segmenter| {
            let class = NewClass::named("new");
            let bad: [&[f32]; 7] = [
                &[],
                &[1.0; 2],
                &[1.0; 4],
                &[0.0; 3],
                &[1.0, f32::NAN, 1.0],
                &[1.0, 1.0, f32::INFINITY],
                &[f32::NEG_INFINITY, 1.0, 1.0],
            ];
            for embedding in bad {
                let source = ClassSource::Meaning(Meaning::Embedding(embedding));
                let wanted = Status::InvalidArgument;
                refuse(segmenter, scene, wanted, |s| s.add_class(&class, &source));
                refuse(segmenter, scene, wanted, |s| s.replace_class(0, &source));
            }
        });
    }
}

#[test]
fn a_projection_that_leaves_the_range_of_floats_is_refused() {
    let embedding = Some(EmbeddingSpace { dim: 3, unit: false });
    let model = Model { embedding, projection: Some(vec![2.0; 17 * 3]), ..model() };
    let features = features(&model);
    with_segmenter(&model.bundle(), &limits(2), |segmenter| {
        let source = ClassSource::Meaning(Meaning::Embedding(&[f32::MAX; 3]));
        let attempt = |s: &mut Segmenter<'_>| s.add_class(&NewClass::named("new"), &source);
        refuse(segmenter, (&model, &features), Status::InvalidArgument, attempt);
    });
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    /// Any bits at all: either a class whose mask has its own labels only, or a typed error.
    #[test]
    fn any_numbers_give_a_class_or_an_error(
        bits in proptest::collection::vec(any::<u32>(), 5),
        bias in any::<u32>(),
        kind in 0usize..9,
    ) {
        let stored = [WeightType::F32, WeightType::F16, WeightType::I8][kind / 3];
        let kind = match kind % 3 {
            0 => HeadKind::Linear(stored),
            1 => HeadKind::Dot(stored),
            _ => HeadKind::Cosine(stored),
        };
        let model = Model::new(kind, 4, 5, (3, 4));
        let features = features(&model);
        let row: Vec<f32> = bits.into_iter().map(f32::from_bits).collect();
        let bias = match kind {
            HeadKind::Linear(_) => f32::from_bits(bias),
            _ => 0.0,
        };
        with_segmenter(&model.bundle(), &limits(1), |segmenter| {
            let source = ClassSource::Row { weights: &row, bias };
            let (listed, before) = (list(segmenter), run(segmenter, &model.map(&features)));
            match segmenter.add_class(&NewClass::named("new"), &source) {
                Ok(label) => {
                    let got = run(segmenter, &model.map(&features));
                    prop_assert!(got.labels.iter().all(|found| *found <= label));
                    segmenter.remove_class(label).unwrap();
                }
                Err(error) => prop_assert_eq!(error.status(), Status::InvalidArgument),
            }
            prop_assert_eq!(list(segmenter), listed);
            prop_assert_eq!(run(segmenter, &model.map(&features)), before);
            Ok(())
        })?;
    }
}
