//! Linear, dot and cosine heads in every stored type: against NumPy in float64
//! (`tests/reference/zero_shot/`), against a plain restatement, and the portable kernels against
//! the processor's own.

use crate::external::*;
use half::f16;
use proptest::prelude::*;
use zsseg::arena::Arena;
use zsseg::bundle::{Bundle, StoredWeights};
use zsseg::head::{ActiveClass, Decoder, Grid, Linear, Placements};
use zsseg::limits::Limits;
use zsseg::map::Layout;
use zsseg::math::kernels::{Kernels, PORTABLE};
use zsseg::math::resample::Placement;
use zsseg::spec::{Decision, HeadKind, Stacking, UnknownScore, WeightType};

pub const TYPES: [WeightType; 3] = [WeightType::F32, WeightType::F16, WeightType::I8];

pub fn kinds() -> impl Iterator<Item = HeadKind> {
    let of = |stored| [HeadKind::Linear(stored), HeadKind::Dot(stored), HeadKind::Cosine(stored)];
    TYPES.into_iter().flat_map(of)
}

fn name_of(kind: HeadKind) -> String {
    let (name, stored) = match kind {
        HeadKind::Logits => ("logits", None),
        HeadKind::Linear(stored) => ("linear", Some(stored)),
        HeadKind::Dot(stored) => ("dot", Some(stored)),
        HeadKind::Cosine(stored) => ("cosine", Some(stored)),
    };
    let stored = match stored {
        None => "",
        Some(WeightType::F32) => "_f32",
        Some(WeightType::F16) => "_f16",
        Some(WeightType::I8) => "_i8",
    };
    format!("{name}{stored}")
}

#[test]
fn masks_equal_those_of_numpy() {
    for kind in kinds() {
        for layout in [Layout::Chw, Layout::Hwc] {
            let model = Model { layout, confidence_scale: 0.5, ..Model::new(kind, 11, 24, (5, 7)) };
            let features = whole_features(24, model.cells(), 7);
            let features: Vec<f32> = features.iter().map(|value| value / 64.0).collect();
            let features = model.arranged(&features);
            let limits = Limits::for_frames(GOLDEN_FRAME.0, GOLDEN_FRAME.1);
            let got = with_segmenter(&model.bundle(), &limits, |segmenter| {
                mask(segmenter, &model.map(&features), GOLDEN_FRAME)
            });
            let name = name_of(kind);
            Golden::read(&name).check(&format!("{name}, {layout:?}"), &got);
        }
    }
}

/// The rows as the stored type holds them.
fn values_of(model: &Model) -> Vec<f64> {
    let channels = model.channels;
    match StoredWeights::round(model.kind, &model.rows.concat(), channels).unwrap() {
        StoredWeights::F32(values) => values.iter().map(|&v| v.into()).collect(),
        StoredWeights::F16(values) => values.iter().map(|v| f16::to_f64(*v)).collect(),
        StoredWeights::I8 { values, scales } => {
            let value = |(at, &v): (usize, &i8)| f64::from(v) * f64::from(scales[at / channels]);
            values.iter().enumerate().map(value).collect()
        }
    }
}

/// Logits of one cell, in f64.
fn logits_of(model: &Model, values: &[f64], feature: &[f64]) -> Vec<f64> {
    let product = |row: &[f64]| row.iter().zip(feature).map(|(w, x)| w * x).sum::<f64>();
    let rows = values.chunks(model.channels).map(product);
    let length = feature.iter().map(|x| x * x).sum::<f64>().sqrt();
    match model.kind {
        HeadKind::Cosine(_) if length == 0.0 => rows.map(|_| 0.0).collect(),
        HeadKind::Cosine(_) => {
            rows.map(|sum| f64::from(model.cosine_scale) * sum / length).collect()
        }
        HeadKind::Linear(_) => {
            rows.zip(&model.bias).map(|(sum, &bias)| sum + f64::from(bias)).collect()
        }
        _ => rows.collect(),
    }
}

fn kind_of(number: usize) -> HeadKind {
    kinds().nth(number).unwrap()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    /// One pixel per cell, so that nothing is interpolated.
    #[test]
    fn each_cell_gets_the_class_of_the_greatest_logit(
        number in 0usize..9,
        (classes, channels) in (1usize..14, 1usize..40),
        (height, width) in (1usize..6, 1usize..40),
        interleaved: bool,
        seed: u64,
    ) {
        let layout = if interleaved { Layout::Hwc } else { Layout::Chw };
        let model = Model::new(kind_of(number), classes, channels, (height, width));
        let model = Model { layout, confidence_scale: 0.25, ..model };
        let cells = model.cells();
        let mut planar = whole_features(channels, cells, seed);
        // A cell without features.
        planar.iter_mut().step_by(cells).for_each(|value| *value = 0.0);
        let frame = (width as u32, height as u32);
        let arranged = model.arranged(&planar);
        let got = with_segmenter(&model.bundle(), &Limits::for_frames(frame.0, frame.1), |s| {
            mask(s, &model.map(&arranged), frame)
        });
        let values = values_of(&model);
        for cell in 0..cells {
            let feature: Vec<f64> =
                planar[cell..].iter().step_by(cells).map(|&x| x.into()).collect();
            let logits = logits_of(&model, &values, &feature);
            let label = usize::from(got.labels[cell]);
            let best = logits.iter().fold(f64::NEG_INFINITY, |a, &b| a.max(b));
            let size = logits.iter().fold(1.0, |a: f64, b| a.max(b.abs()));
            prop_assert!(logits[label] >= best - 1e-4 * size, "cell {cell}: {label} of {logits:?}");
            let sum: f64 = logits.iter().map(|logit| ((logit - best) * 0.25).exp()).sum();
            let confidence = f64::from(got.confidence[cell]) / 255.0;
            prop_assert!((confidence - 1.0 / sum).abs() < 0.01, "cell {cell}: {confidence}");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Features that eight bits do not hold are rounded to the 127th part of the cell's largest: a
    /// logit is off by no more than half such a step times the sum of its weights.
    #[test]
    fn eight_bits_cost_no_more_than_half_a_step(
        number in 6usize..9,
        (classes, channels) in (2usize..14, 1usize..70),
        (height, width) in (1usize..5, 1usize..40),
        seed: u64,
    ) {
        let model = Model::new(kind_of(number), classes, channels, (height, width));
        prop_assert_eq!(model.kind.weight_type(), Some(WeightType::I8));
        let cells = model.cells();
        let planar = Random(seed).take(channels * cells, 3.7);
        let frame = (width as u32, height as u32);
        let got = with_segmenter(&model.bundle(), &Limits::for_frames(frame.0, frame.1), |s| {
            labels(s, &model.map(&planar), frame)
        });
        let values = values_of(&model);
        for cell in 0..cells {
            let feature: Vec<f64> =
                planar[cell..].iter().step_by(cells).map(|&x| x.into()).collect();
            let logits = logits_of(&model, &values, &feature);
            let most = feature.iter().fold(0.0, |a: f64, x| a.max(x.abs()));
            let length = feature.iter().map(|x| x * x).sum::<f64>().sqrt();
            let factor = match model.kind {
                HeadKind::Cosine(_) => f64::from(model.cosine_scale) / length.max(1e-9),
                _ => 1.0,
            };
            let off = |class: usize| {
                let sum: f64 = values[class * channels..][..channels].iter().map(|w| w.abs()).sum();
                1.001 * factor * sum * most / 254.0 + 1e-5
            };
            let label = usize::from(got[cell]);
            for class in 0..classes {
                let room = off(class) + off(label);
                prop_assert!(logits[label] + room >= logits[class], "cell {cell}: {class}");
            }
        }
    }

    /// Where nothing else is wanted the decoder may leave classes and cells out that cannot win.
    #[test]
    fn labels_alone_are_those_of_a_whole_mask(
        number in 0usize..10,
        (classes, channels) in (1usize..40, 1usize..24),
        grid in (1usize..9, 1usize..20),
        frame in (1u32..150, 1u32..90),
        [smooth, align_corners, tied] in any::<[bool; 3]>(),
        seed: u64,
    ) {
        let model = match kinds().nth(number) {
            Some(kind) => Model::new(kind, classes, channels, grid),
            None => Model::of_logits(classes, grid),
        };
        let mut model = Model { align_corners, ..model };
        let half = model.rows.len() / 2;
        if tied && half > 0 {
            model.rows[half..].iter_mut().for_each(|row| row[0] = 0.125);
            model.rows[half] = model.rows[0].clone();
            model.bias[half] = model.bias[0];
        }
        let (channels, cells) = (model.channels, model.cells());
        let mut random = Random(seed);
        let slopes: Vec<f32> = random.take(channels * 2, 1.0);
        let features: Vec<f32> = (0..channels * cells)
            .map(|at| {
                let (channel, cell) = (at / cells, at % cells);
                let (y, x) = ((cell / grid.1) as f32, (cell % grid.1) as f32);
                let plane = slopes[2 * channel] * y + slopes[2 * channel + 1] * x;
                plane + if smooth { 0.0 } else { 3.0 * random.next() }
            })
            .collect();
        with_segmenter(&model.bundle(), &Limits::for_frames(150, 90), |segmenter| {
            let whole = mask(segmenter, &model.map(&features), frame);
            let alone = labels(segmenter, &model.map(&features), frame);
            prop_assert!(alone == whole.labels);
            Ok(())
        })?;
    }

    /// Even features that are no numbers give labels.
    #[test]
    fn any_features_give_a_mask(
        number in 0usize..9,
        wild in proptest::collection::vec((any::<u32>(), any::<u16>()), 0..20),
        gamma in 0.0f32..0.5,
    ) {
        let model = Model::new(kind_of(number), 5, 9, (4, 5));
        let seen = (0..5).map(|class| class % 2 == 0).collect();
        let model = Model { seen, ..model };
        let mut features = Random(1).take(9 * 20, 1.0);
        for (bits, place) in wild {
            features[usize::from(place) % 180] = f32::from_bits(bits);
        }
        let got = with_segmenter(&model.bundle(), &Limits::for_frames(13, 11), |segmenter| {
            let stacking = Stacking::Probabilities(gamma);
            segmenter.set_decision(Decision { stacking, ..Decision::PLAIN }).unwrap();
            mask(segmenter, &model.map(&features), (13, 11))
        });
        prop_assert!(got.labels.iter().all(|label| *label < 5), "{:?}", got);
    }
}

#[test]
fn a_cell_without_features_ties_all_cosines() {
    let model = Model::new(HeadKind::Cosine(WeightType::F32), 3, 4, (1, 1));
    let got = with_segmenter(&model.bundle(), &Limits::for_frames(2, 2), |segmenter| {
        mask(segmenter, &model.map(&[0.0; 4]), (2, 2))
    });
    assert_eq!((got.labels, got.confidence), (vec![0; 4], vec![85; 4]));
}

#[test]
fn cosines_ignore_the_length_of_features() {
    let model = Model::new(HeadKind::Cosine(WeightType::F32), 7, 12, (4, 5));
    let features = Random(3).take(12 * 20, 1.0);
    let scaled = |factor: f32| {
        let features: Vec<f32> = features.iter().map(|value| value * factor).collect();
        with_segmenter(&model.bundle(), &Limits::for_frames(20, 16), |segmenter| {
            mask(segmenter, &model.map(&features), (20, 16))
        })
    };
    // Powers of two change no bit of a mantissa.
    assert_eq!(scaled(1.0), scaled(1024.0));
    assert_eq!(scaled(1.0), scaled(1.0 / 1024.0));
}

/// All planes of a frame that the decoder makes with these kernels.
fn decoded(model: &Model, features: &[f32], decision: Decision, kernels: &'static Kernels) -> Mask {
    let bytes = model.bundle();
    let bundle = Bundle::open(&bytes).unwrap();
    let linear = bundle.head_weights().map(|weights| Linear {
        weights,
        scales: bundle.head_scales().unwrap_or_default(),
        bias: bundle.head_bias().unwrap_or_default(),
    });
    let grid = Grid { height: model.grid.0, width: model.grid.1, layout: model.layout };
    let limits = Limits::for_frames(97, 41);
    let head = bundle.head();
    let mut arena = Arena::counting();
    Decoder::carve(&mut arena, &head, grid, linear, &limits, kernels).unwrap();
    let mut memory = Memory::new(arena.used_bytes());
    let mut arena = Arena::over(memory.bytes()).unwrap();
    let mut decoder = Decoder::carve(&mut arena, &head, grid, linear, &limits, kernels).unwrap();
    let classes = model.seen.iter().zip(&model.class_bias).zip(0..);
    let classes = classes.map(|((&seen, &bias), label)| ActiveClass { label, bias, seen });
    decoder.arrange(classes, decision);
    let rows = Placement::new(41, model.input.0, 0, model.input.0).unwrap();
    let columns = Placement::new(97, model.input.1, 0, model.input.1).unwrap();
    let placements = Placements { rows: &rows, columns: &columns };
    let mut mask = Mask::new(97 * 41);
    decoder.run(&model.map(features), placements, &mut mask.output(97)).unwrap();
    mask
}

#[test]
fn every_processor_makes_the_same_mask() {
    let decisions = [
        Decision::PLAIN,
        Decision { stacking: Stacking::Probabilities(0.2), ..Decision::PLAIN },
        Decision { stacking: Stacking::Logits(1.5), min_confidence: 0.3, ..Decision::PLAIN },
        Decision {
            stacking: Stacking::Probabilities(0.1),
            min_margin: 0.05,
            unknown: UnknownScore::Energy { reference: 0.5 },
            max_unknown: 0.4,
            ..Decision::PLAIN
        },
    ];
    let mut hashes = Vec::new();
    for kind in kinds().chain([HeadKind::Logits]) {
        let channels = if kind == HeadKind::Logits { 21 } else { 45 };
        let model = Model::new(kind, 21, channels, (9, 35));
        let seen = (0..21).map(|class| class % 3 > 0).collect();
        let model = Model { confidence_scale: 0.7, seen, ..model };
        let features = Random(channels as u64).take(channels * model.cells(), 4.0);
        for decision in decisions {
            let portable = decoded(&model, &features, decision, &PORTABLE).hash();
            let detected = decoded(&model, &features, decision, Kernels::detect()).hash();
            assert_eq!(portable, detected, "{kind:?}, {decision:?}, {}", Kernels::detect().name);
            hashes.push(portable);
        }
    }
    let all = hashes.len();
    hashes.sort_unstable();
    hashes.dedup();
    assert_eq!(hashes.len(), all, "each head and decision has a mask of its own");
}
