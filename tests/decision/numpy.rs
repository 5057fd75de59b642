//! Against NumPy in float64: `tests/reference/zero_shot/`, made by `make_zero_shot.py`, and the
//! worked example of calibrated stacking.

use crate::external::*;
use zsseg::limits::Limits;
use zsseg::segmenter::Segmenter;
use zsseg::spec::{Decision, Stacking, UnknownScore};

const CLASSES: usize = 11;
const PLAIN: Decision = Decision::PLAIN;

fn model() -> Model {
    let seen = (0..CLASSES).map(|class| class % 3 != 2).collect();
    Model { seen, confidence_scale: 0.5, ..Model::of_logits(CLASSES, (5, 7)) }
}

fn logits() -> Vec<f32> {
    Random(11).take(CLASSES * 35, 4.0)
}

fn set_biases_and_priors(segmenter: &mut Segmenter<'_>) {
    for label in 0..CLASSES as u16 {
        let bias = f32::from(label % 3) / 4.0 - 0.25;
        segmenter.set_class_bias(label, bias).unwrap();
        segmenter.set_class_prior(label, f32::from(1 + label % 4)).unwrap();
    }
}

/// Also where nothing but the labels is wanted, which may take a shorter way.
fn check_biased(name: &str, decision: Decision, biased: bool) {
    let limits = Limits::for_frames(GOLDEN_FRAME.0, GOLDEN_FRAME.1);
    let (model, logits) = (model(), logits());
    with_segmenter(&model.bundle(), &limits, |segmenter| {
        segmenter.set_decision(decision).unwrap();
        if biased {
            set_biases_and_priors(segmenter);
        }
        let got = mask(segmenter, &model.map(&logits), GOLDEN_FRAME);
        Golden::read(name).check(name, &got);
        assert_eq!(labels(segmenter, &model.map(&logits), GOLDEN_FRAME), got.labels, "{name}");
    });
    if !biased {
        let bytes = Model { decision, ..model.clone() }.bundle();
        let got = with_segmenter(&bytes, &limits, |segmenter| {
            assert_eq!(segmenter.decision(), decision);
            mask(segmenter, &model.map(&logits), GOLDEN_FRAME)
        });
        Golden::read(name).check(&format!("{name}, from the bundle"), &got);
    }
}

fn check(name: &str, decision: Decision) {
    check_biased(name, decision, false);
}

#[test]
fn handicaps_equal_numpy() {
    check("plain", PLAIN);
    check("probabilities_005", Decision { stacking: Stacking::Probabilities(0.05), ..PLAIN });
    check("probabilities_012", Decision { stacking: Stacking::Probabilities(0.12), ..PLAIN });
    check("probabilities_06", Decision { stacking: Stacking::Probabilities(0.6), ..PLAIN });
    check("logits_05", Decision { stacking: Stacking::Logits(0.5), ..PLAIN });
    check("logits_2", Decision { stacking: Stacking::Logits(2.0), ..PLAIN });
}

#[test]
fn rejection_equals_numpy() {
    check("confidence", Decision { min_confidence: 0.25, ..PLAIN });
    check("margin", Decision { min_margin: 0.06, ..PLAIN });
    check("margin_unknown", Decision { max_unknown: 0.9, ..PLAIN });
    let energy = |reference| UnknownScore::Energy { reference };
    check("energy_low", Decision { unknown: energy(-1.0), ..PLAIN });
    check("energy_high", Decision { unknown: energy(6.0), ..PLAIN });
    check("energy_reject", Decision { unknown: energy(3.0), max_unknown: 0.25, ..PLAIN });
}

#[test]
fn biases_and_priors_equal_numpy() {
    check_biased("biased", PLAIN, true);
    let everything = Decision {
        stacking: Stacking::Probabilities(0.2),
        min_confidence: 0.1,
        min_margin: 0.02,
        unknown: UnknownScore::Energy { reference: 1.0 },
        max_unknown: 0.3,
    };
    check_biased("everything", everything, true);
}

/// Logits (2, 1.5, 1), whose third class is unseen: the handicaps on either side of the place where
/// it wins (golden vector G3).
#[test]
fn a_handicap_turns_the_worked_example() {
    let model = Model { seen: vec![true, true, false], ..Model::of_logits(3, (1, 1)) };
    let decide = |stacking| {
        with_segmenter(&model.bundle(), &Limits::for_frames(1, 1), |segmenter| {
            segmenter.set_decision(Decision { stacking, ..PLAIN }).unwrap();
            mask(segmenter, &model.map(&[2.0, 1.5, 1.0]), (1, 1))
        })
    };
    let told = |mask: &Mask| (mask.labels[0], mask.confidence[0], mask.margin[0]);
    let eight_bits = |share: f64| (share * 255.0).round() as u8;
    let off = decide(Stacking::Off);
    assert_eq!(told(&off), (0, eight_bits(0.5064804), eight_bits(0.5064804 - 0.3071959)));
    let kept = decide(Stacking::Probabilities(0.3));
    assert_eq!(told(&kept), (0, eight_bits(0.5064804), eight_bits(0.2064804 - 0.1863237)));
    let turned = decide(Stacking::Probabilities(0.35));
    assert_eq!(told(&turned), (2, eight_bits(0.1863237), eight_bits(0.1863237 - 0.1564804)));
    // On logits the third class wins when the handicap exceeds the difference, 1.
    assert_eq!(decide(Stacking::Logits(0.99)).labels, [0]);
    assert_eq!(decide(Stacking::Logits(1.01)).labels, [2]);
}
