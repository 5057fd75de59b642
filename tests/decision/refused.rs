//! Decisions outside their ranges change nothing.

use crate::external::*;
use zsseg::limits::Limits;
use zsseg::spec::{Decision, Stacking, UnknownScore};
use zsseg::status::Status;

#[test]
fn numbers_out_of_range_are_named_and_change_nothing() {
    let plain = Decision::PLAIN;
    let stacking = |stacking| Decision { stacking, ..plain };
    let energy = |reference| Decision { unknown: UnknownScore::Energy { reference }, ..plain };
    let handicap = "handicap of the seen classes";
    let reference = "reference of the unknown score";
    let (nan, infinite) = (f32::NAN, f32::INFINITY);
    let bad = [
        (handicap, stacking(Stacking::Probabilities(nan))),
        (handicap, stacking(Stacking::Probabilities(-0.01))),
        (handicap, stacking(Stacking::Probabilities(1.01))),
        (handicap, stacking(Stacking::Logits(nan))),
        (handicap, stacking(Stacking::Logits(-infinite))),
        (reference, energy(nan)),
        (reference, energy(infinite)),
        ("least confidence", Decision { min_confidence: nan, ..plain }),
        ("least confidence", Decision { min_confidence: 1.5, ..plain }),
        ("least margin", Decision { min_margin: -0.5, ..plain }),
        ("least margin", Decision { min_margin: infinite, ..plain }),
        ("highest unknown score", Decision { max_unknown: nan, ..plain }),
        ("highest unknown score", Decision { max_unknown: -1.0, ..plain }),
    ];
    let seen = vec![true, false, true, false];
    let model = Model { seen, ..Model::of_logits(4, (3, 3)) };
    let logits = Random(5).take(4 * 9, 2.0);
    with_segmenter(&model.bundle(), &Limits::for_frames(9, 9), |segmenter| {
        let kept = Decision { min_margin: 0.1, ..stacking(Stacking::Probabilities(0.2)) };
        segmenter.set_decision(kept).unwrap();
        let want = mask(segmenter, &model.map(&logits), (9, 9));
        for (what, decision) in bad {
            let error = segmenter.set_decision(decision).unwrap_err();
            assert_eq!((error.status(), error.what()), (Status::InvalidArgument, what));
            assert_eq!(segmenter.decision(), kept);
            assert_eq!(mask(segmenter, &model.map(&logits), (9, 9)), want, "{decision:?}");
        }
        for bias in [nan, infinite, -infinite] {
            let error = segmenter.set_class_bias(1, bias).unwrap_err();
            assert_eq!(
                (error.status(), error.what()),
                (Status::InvalidArgument, "bias of a class")
            );
        }
        for prior in [nan, infinite, 0.0, -1.0] {
            let error = segmenter.set_class_prior(1, prior).unwrap_err();
            assert_eq!(
                (error.status(), error.what()),
                (Status::InvalidArgument, "prior of a class")
            );
        }
        assert_eq!(segmenter.set_class_bias(4, 0.0).unwrap_err().status(), Status::InvalidArgument);
        assert_eq!(
            segmenter.set_class_prior(4, 1.0).unwrap_err().status(),
            Status::InvalidArgument
        );
        assert_eq!(mask(segmenter, &model.map(&logits), (9, 9)), want);
    });
}
