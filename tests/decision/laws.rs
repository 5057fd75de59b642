//! Laws of decisions on random logits.

use crate::external::*;
use proptest::prelude::*;
use zsseg::limits::Limits;
use zsseg::segmenter::Segmenter;
use zsseg::spec::{Decision, Stacking, UnknownScore};

const FRAME: (u32, u32) = (33, 21);
const PLAIN: Decision = Decision::PLAIN;

#[derive(Debug)]
struct Scene {
    model: Model,
    logits: Vec<f32>,
}

impl Scene {
    fn new(classes: usize, grid: (usize, usize), unseen: usize, seed: u64) -> Scene {
        let seen = (0..classes).map(|class| class % unseen != 0).collect();
        let model = Model { seen, confidence_scale: 0.75, ..Model::of_logits(classes, grid) };
        let logits = Random(seed).take(classes * model.cells(), 3.0);
        Scene { model, logits }
    }

    fn run<T>(&self, work: impl FnOnce(&mut Segmenter<'_>) -> T) -> T {
        with_segmenter(&self.model.bundle(), &Limits::for_frames(FRAME.0, FRAME.1), work)
    }

    fn mask(&self, segmenter: &mut Segmenter<'_>) -> Mask {
        mask(segmenter, &self.model.map(&self.logits), FRAME)
    }

    /// The mask of a decision.
    fn of(&self, decision: Decision) -> Mask {
        self.run(|segmenter| {
            segmenter.set_decision(decision).unwrap();
            self.mask(segmenter)
        })
    }
}

fn scene() -> impl Strategy<Value = Scene> {
    (2usize..12, (1usize..6, 1usize..20), 2usize..5, any::<u64>())
        .prop_map(|(classes, grid, unseen, seed)| Scene::new(classes, grid, unseen, seed))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn no_handicap_is_off(scene in scene()) {
        let off = scene.of(PLAIN);
        for stacking in [Stacking::Probabilities(0.0), Stacking::Logits(0.0)] {
            prop_assert_eq!(scene.of(Decision { stacking, ..PLAIN }), off.clone());
        }
    }

    /// SPNet's handicap takes as much from all classes if all are seen, and nothing if none is.
    #[test]
    fn a_handicap_needs_both_kinds_of_classes(scene in scene(), gamma in 0.0f32..=1.0) {
        let off = scene.of(PLAIN);
        for all in [true, false] {
            let seen = vec![all; scene.model.names.len()];
            let model = Model { seen, ..scene.model.clone() };
            let scene = Scene { model, logits: scene.logits.clone() };
            let stacking = Stacking::Probabilities(gamma);
            prop_assert_eq!(scene.of(Decision { stacking, ..PLAIN }), off.clone());
        }
    }

    /// Whoever is unseen without a handicap stays so with one, and the more the greater it is.
    #[test]
    fn handicaps_only_help_unseen_classes(scene in scene(), gamma in 0.0f32..0.5) {
        let unseen = |mask: &Mask| -> Vec<bool> {
            mask.labels.iter().map(|&label| !scene.model.seen[usize::from(label)]).collect()
        };
        for stacking in [Stacking::Probabilities, Stacking::Logits] {
            let masks = [0.0, gamma, 2.0 * gamma]
                .map(|gamma| unseen(&scene.of(Decision { stacking: stacking(gamma), ..PLAIN })));
            for pair in masks.windows(2) {
                prop_assert!(pair[0].iter().zip(&pair[1]).all(|(before, after)| after >= before));
            }
        }
    }

    #[test]
    fn a_handicap_on_logits_is_a_bias_of_the_seen_classes(scene in scene(), gamma in -2.0f32..2.0) {
        let handicap = scene.of(Decision { stacking: Stacking::Logits(gamma), ..PLAIN });
        let biased = scene.run(|segmenter| {
            let seen = (0..).zip(&scene.model.seen).filter(|(_, seen)| **seen);
            for (label, _) in seen {
                segmenter.set_class_bias(label, -gamma).unwrap();
            }
            scene.mask(segmenter)
        });
        prop_assert_eq!(handicap, biased);
    }

    #[test]
    fn a_bias_of_zero_is_none(scene in scene()) {
        let plain = scene.of(PLAIN);
        let biased = scene.run(|segmenter| {
            for label in 0..scene.model.names.len() as u16 {
                segmenter.set_class_bias(label, 2.0).unwrap();
                segmenter.set_class_bias(label, 0.0).unwrap();
                segmenter.set_class_prior(label, 1.0).unwrap();
            }
            scene.mask(segmenter)
        });
        prop_assert_eq!(plain, biased);
    }

    /// A bias equals logits with the bias in them; a prior multiplies the probabilities.
    #[test]
    fn biases_and_priors_equal_other_logits(
        scene in scene(),
        class in 0usize..12,
        bias in -3.0f32..3.0,
        prior in 0.01f32..100.0,
    ) {
        let class = class % scene.model.names.len();
        let got = scene.run(|segmenter| {
            segmenter.set_class_bias(class as u16, bias).unwrap();
            segmenter.set_class_prior(class as u16, prior).unwrap();
            scene.mask(segmenter)
        });
        let mut other = scene.logits.clone();
        let cells = scene.model.cells();
        let term = bias + libm::logf(prior) / scene.model.confidence_scale;
        other[class * cells..][..cells].iter_mut().for_each(|logit| *logit += term);
        let want = scene.run(|s| mask(s, &scene.model.map(&other), FRAME));
        prop_assert_eq!(got, want);
    }

    /// Rejection takes labels away and changes nothing else.
    #[test]
    fn rejection_only_takes_labels_away(
        scene in scene(),
        gamma in 0.0f32..0.4,
        least in 0.0f32..=1.0,
        reference in -2.0f32..2.0,
    ) {
        let base = Decision {
            stacking: Stacking::Probabilities(gamma),
            unknown: UnknownScore::Energy { reference },
            ..PLAIN
        };
        let all = scene.of(base);
        let limit = f64::from(least) * 255.0;
        let values = [&all.confidence, &all.margin, &all.unknown];
        let decisions = [
            Decision { min_confidence: least, ..base },
            Decision { min_margin: least, ..base },
            Decision { max_unknown: least, ..base },
        ];
        for (which, (decision, values)) in decisions.into_iter().zip(values).enumerate() {
            let got = scene.of(decision);
            let tell = |mask: &Mask| {
                (mask.confidence.clone(), mask.margin.clone(), mask.unknown.clone())
            };
            prop_assert_eq!(tell(&got), tell(&all));
            for (pixel, &value) in values.iter().enumerate() {
                let above = f64::from(value) - limit;
                let rejected = if which == 2 { above > 0.0 } else { above < 0.0 };
                let want = if rejected { u16::MAX } else { all.labels[pixel] };
                // The planes are rounded to eight bits, the limits are not.
                let sure = above.abs() > 0.51;
                prop_assert!(!sure || got.labels[pixel] == want, "pixel {}", pixel);
            }
        }
    }

    /// The margin's score is what the margin leaves.
    #[test]
    fn a_margin_and_its_unknown_score_add_up(scene in scene()) {
        let mask = scene.of(PLAIN);
        for (margin, unknown) in mask.margin.iter().zip(&mask.unknown) {
            let sum = i32::from(*margin) + i32::from(*unknown);
            prop_assert!((sum - 255).abs() <= 1);
        }
    }
}

/// Numbers near the ends of f32 in every place where a bias may come from.
#[test]
fn extreme_biases_leave_the_others_as_they_are() {
    let scene = Scene::new(5, (4, 6), 2, 9);
    let most = f32::MAX;
    let decisions = [
        PLAIN,
        Decision { stacking: Stacking::Logits(most), ..PLAIN },
        Decision { stacking: Stacking::Probabilities(0.5), ..PLAIN },
        Decision { unknown: UnknownScore::Energy { reference: -most }, ..PLAIN },
        Decision { unknown: UnknownScore::Energy { reference: most }, ..PLAIN },
    ];
    for decision in decisions {
        let (without, with) = scene.run(|segmenter| {
            segmenter.set_decision(decision).unwrap();
            // A seen class, so that a handicap comes on top of the bias.
            segmenter.enable_class(3, false).unwrap();
            let without = scene.mask(segmenter);
            segmenter.enable_class(3, true).unwrap();
            segmenter.set_class_bias(3, -most).unwrap();
            segmenter.set_class_prior(3, f32::from_bits(1)).unwrap();
            (without, scene.mask(segmenter))
        });
        assert_eq!(with, without, "{decision:?}");
        assert!(with.labels.iter().all(|label| *label < 5), "{decision:?}");
    }
    let certain = scene.run(|segmenter| {
        segmenter.set_class_bias(2, most).unwrap();
        segmenter.set_class_prior(2, most).unwrap();
        scene.mask(segmenter)
    });
    assert!(certain.labels.iter().all(|label| *label == 2));
    assert!(certain.confidence.iter().chain(&certain.margin).all(|share| *share == 255));
}

#[test]
fn ties_go_to_the_lowest_label_in_every_decision() {
    let classes = 6;
    let seen = vec![false, true, false, true, true, false];
    let model = Model { seen, ..Model::of_logits(classes, (2, 2)) };
    let logits = vec![0.5; classes * 4];
    let limits = Limits::for_frames(5, 5);
    with_segmenter(&model.bundle(), &limits, |segmenter| {
        for stacking in [Stacking::Off, Stacking::Logits(0.0), Stacking::Probabilities(0.0)] {
            segmenter.set_decision(Decision { stacking, ..PLAIN }).unwrap();
            assert_eq!(labels(segmenter, &model.map(&logits), (5, 5)), [0; 25]);
        }
        segmenter.enable_class(0, false).unwrap();
        segmenter.set_decision(PLAIN).unwrap();
        assert_eq!(labels(segmenter, &model.map(&logits), (5, 5)), [1; 25]);
        let stacking = Stacking::Probabilities(0.001);
        segmenter.set_decision(Decision { stacking, ..PLAIN }).unwrap();
        assert_eq!(labels(segmenter, &model.map(&logits), (5, 5)), [2; 25]);
    });
}

/// Nothing is known of a pixel without finite logits, and every threshold leaves it open.
#[test]
fn what_is_no_number_passes_no_threshold() {
    let stackings = [Stacking::Off, Stacking::Logits(0.5), Stacking::Probabilities(0.5)];
    let unknowns = [UnknownScore::Margin, UnknownScore::Energy { reference: 0.0 }];
    let thresholds = [
        Decision { min_confidence: 0.01, ..PLAIN },
        Decision { min_margin: 0.01, ..PLAIN },
        Decision { max_unknown: 0.99, ..PLAIN },
    ];
    for value in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
        let mut scene = Scene::new(5, (3, 4), 2, 7);
        scene.logits.fill(value);
        for (stacking, unknown) in stackings.into_iter().flat_map(|s| unknowns.map(|u| (s, u))) {
            for threshold in thresholds {
                let mask = scene.of(Decision { stacking, unknown, ..threshold });
                let case = format!("{value} {stacking:?} {unknown:?} {threshold:?}");
                assert!(mask.labels.iter().all(|&label| label == u16::MAX), "{case}");
                assert!(mask.confidence.iter().chain(&mask.margin).all(|&v| v == 0), "{case}");
                assert!(mask.unknown.iter().all(|&unknown| unknown == 255), "{case}");
            }
        }
    }
}
