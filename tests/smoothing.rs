//! Smoothing over time against a plain restatement: an exponential mean of each class's logits in
//! each cell, which starts anew after a cut and when the classes change.

#[path = "common/external.rs"]
mod external;

use external::*;
use proptest::prelude::*;
use zsseg::bundle::Bundle;
use zsseg::head::Smoothing;
use zsseg::limits::Limits;
use zsseg::segmenter::{Frame, FusionSettings, Segmenter, Source};
use zsseg::spectral::Fusion;
use zsseg::status::Status;

const FRAME: (u32, u32) = (26, 18);
const CLASSES: usize = 5;

fn model() -> Model {
    Model { confidence_scale: 0.6, ..Model::of_logits(CLASSES, (4, 6)) }
}

fn limits(smoothing: bool) -> Limits {
    Limits { smoothing, extra_classes: 1, ..Limits::for_frames(FRAME.0, FRAME.1) }
}

fn run(segmenter: &mut Segmenter<'_>, logits: &[f32]) -> Mask {
    mask(segmenter, &model().map(logits), FRAME)
}

/// The mask of logits as they are.
fn plain(logits: &[f32]) -> Mask {
    with_segmenter(&model().bundle(), &limits(false), |segmenter| run(segmenter, logits))
}

/// Frames that change little from one to the next, but for those numbered in `cuts`.
fn frames(count: usize, cuts: &[usize], seed: u64) -> Vec<Vec<f32>> {
    let mut random = Random(seed);
    let len = CLASSES * model().cells();
    let mut scene = random.take(len, 2.0);
    let one = |frame: usize| {
        if cuts.contains(&frame) {
            scene = random.take(len, 2.0);
        }
        scene.iter().map(|logit| logit + random.next() * 0.5).collect()
    };
    (0..count).map(one).collect()
}

/// The exponential mean, frame by frame.
struct Mean {
    smoothing: Smoothing,
    past: Option<Vec<f32>>,
}

impl Mean {
    fn best(logits: &[f32], cell: usize) -> usize {
        let of = |class: usize| logits[class * model().cells() + cell];
        (0..CLASSES).fold(0, |best, class| if of(class) > of(best) { class } else { best })
    }

    fn add(&mut self, logits: &[f32]) -> Vec<f32> {
        let cells = model().cells();
        let changed = |past: &[f32]| {
            (0..cells).filter(|&cell| Mean::best(past, cell) != Mean::best(logits, cell)).count()
        };
        let share = |past: &Vec<f32>| changed(past) as f64 / cells as f64;
        let kept = self.past.take().filter(|past| share(past) <= f64::from(self.smoothing.cut));
        let weight = self.smoothing.weight;
        let mixed: Vec<f32> = match kept {
            Some(past) => past.iter().zip(logits).map(|(p, l)| p + weight * (l - p)).collect(),
            None => logits.to_vec(),
        };
        self.past = Some(mixed.clone());
        mixed
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn masks_are_those_of_the_mean(
        weight in 0.01f32..1.0,
        cut in prop_oneof![Just(0.0f32), Just(1.0), 0.0f32..1.0],
        seed: u64,
        cuts in proptest::collection::vec(0usize..12, 0..3),
    ) {
        let smoothing = Smoothing { weight, cut };
        let mut mean = Mean { smoothing, past: None };
        with_segmenter(&model().bundle(), &limits(true), |segmenter| {
            segmenter.set_smoothing(smoothing).unwrap();
            for (number, logits) in frames(12, &cuts, seed).iter().enumerate() {
                let want = plain(&mean.add(logits));
                prop_assert_eq!(run(segmenter, logits), want, "frame {}", number);
            }
            Ok(())
        })?;
    }

    #[test]
    fn a_weight_of_one_is_off(seed: u64, cut in 0.0f32..=1.0) {
        with_segmenter(&model().bundle(), &limits(true), |segmenter| {
            segmenter.set_smoothing(Smoothing { weight: 1.0, cut }).unwrap();
            for logits in frames(4, &[2], seed) {
                prop_assert_eq!(run(segmenter, &logits), plain(&logits));
            }
            Ok(())
        })?;
    }
}

#[test]
fn a_cut_is_more_than_the_stated_share_of_changed_cells() {
    // Class 0 everywhere, then class 1 in six of the 24 cells.
    let cells = model().cells();
    let first: Vec<f32> =
        (0..CLASSES * cells).map(|at| if at < cells { 8.0 } else { 0.0 }).collect();
    let mut second = first.clone();
    (0..6).for_each(|cell| (second[cell], second[cells + cell]) = (0.0, 8.0));
    let at = |cut| {
        with_segmenter(&model().bundle(), &limits(true), |segmenter| {
            segmenter.set_smoothing(Smoothing { weight: 0.25, cut }).unwrap();
            run(segmenter, &first);
            run(segmenter, &second)
        })
    };
    let mixed: Vec<f32> = first.iter().zip(&second).map(|(p, l)| p + 0.25 * (l - p)).collect();
    assert_eq!(at(0.25), plain(&mixed));
    assert_eq!(at(0.249), plain(&second));
    assert_eq!(at(0.0), plain(&second));
    assert_ne!(plain(&mixed), plain(&second));
}

/// Something done to a segmenter, and its name.
type Change<'c> = (&'static str, &'c dyn Fn(&mut Segmenter<'_>));

/// What lets the past go: the frame after it is as if it were the first.
#[test]
fn changes_let_the_past_go() {
    let frames = frames(3, &[1], 4);
    let smoothing = Smoothing { weight: 0.2, cut: 1.0 };
    let changes: [Change<'_>; 8] = [
        ("forget", &|s| s.forget()),
        ("bias", &|s| s.set_class_bias(1, 0.0).unwrap()),
        ("prior", &|s| s.set_class_prior(1, 1.0).unwrap()),
        ("enable", &|s| s.enable_class(2, true).unwrap()),
        ("remove", &|s| s.remove_class(4).unwrap()),
        ("decision", &|s| s.set_decision(s.decision()).unwrap()),
        ("smoothing", &|s| s.set_smoothing(smoothing).unwrap()),
        ("off and on", &|s| {
            s.set_smoothing(Smoothing::OFF).unwrap();
            s.set_smoothing(smoothing).unwrap();
        }),
    ];
    for (name, change) in changes {
        let after = |warm: bool| {
            with_segmenter(&model().bundle(), &limits(true), |segmenter| {
                segmenter.set_smoothing(smoothing).unwrap();
                if warm {
                    run(segmenter, &frames[0]);
                }
                change(segmenter);
                [run(segmenter, &frames[1]), run(segmenter, &frames[2])]
            })
        };
        assert_eq!(after(true), after(false), "{name}");
    }
    // A name does not, and neither does what is refused.
    let keeps = |change: &dyn Fn(&mut Segmenter<'_>)| {
        with_segmenter(&model().bundle(), &limits(true), |segmenter| {
            segmenter.set_smoothing(smoothing).unwrap();
            run(segmenter, &frames[0]);
            change(segmenter);
            run(segmenter, &frames[1])
        })
    };
    let want = keeps(&|_| ());
    assert_ne!(want, plain(&frames[1]));
    assert_eq!(keeps(&|s| s.rename_class(1, "renamed").unwrap()), want);
    assert_eq!(keeps(&|s| drop(s.remove_class(77).unwrap_err())), want);
    assert_eq!(
        keeps(&|s| drop(s.set_smoothing(Smoothing { weight: 2.0, cut: 1.0 }).unwrap_err())),
        want
    );
}

/// A frame that is given up counts as none, or as whole, or its past is let go; nothing is half.
#[test]
fn a_frame_that_is_given_up_is_not_mixed_in_by_halves() {
    let model = model();
    let frames = frames(3, &[1], 4);
    let smoothing = Smoothing { weight: 0.2, cut: 1.0 };
    let after = |given_up: &dyn Fn(&mut Segmenter<'_>)| {
        with_segmenter(&model.bundle(), &limits(true), |segmenter| {
            segmenter.set_smoothing(smoothing).unwrap();
            run(segmenter, &frames[0]);
            given_up(segmenter);
            run(segmenter, &frames[2])
        })
    };
    let none = after(&|_| ());
    let whole = after(&|segmenter| drop(run(segmenter, &frames[1])));
    let fresh = plain(&frames[2]);
    assert!(none != whole && none != fresh && whole != fresh);
    let map = model.map(&frames[1]);
    let source = Source::Features { map: &map, width: FRAME.0, height: FRAME.1 };
    let frame = Frame { source, affinity: None };
    let rows = model.grid.0 as u32;
    for pieces in 0..3 * rows + 4 {
        let got = after(&|segmenter| {
            let mut mask = Mask::new((FRAME.0 * FRAME.1) as usize);
            let mut output = mask.output(FRAME.0 as usize);
            segmenter.begin(&frame, &output).unwrap();
            assert!(!segmenter.step(&frame, &mut output, pieces).unwrap());
            segmenter.cancel_frame();
        });
        let want = match pieces {
            _ if pieces <= 2 * rows => &none,
            _ if pieces < 3 * rows => &fresh,
            _ => &whole,
        };
        assert!(got == *want, "after {pieces} pieces");
    }
}

#[test]
fn fusion_changes_the_frame_and_not_the_past() {
    let frames = frames(4, &[], 8);
    let limits = Limits { fusion: true, ..limits(true) };
    let smoothing = Smoothing { weight: 0.3, cut: 1.0 };
    let masks = |fused: [bool; 4]| {
        with_segmenter(&model().bundle(), &limits, |segmenter| {
            segmenter.set_smoothing(smoothing).unwrap();
            let one = |(logits, fused): (&Vec<f32>, bool)| {
                let fusion = FusionSettings::of(Fusion::Soft { mix: 1.0 });
                segmenter.set_fusion(fused.then_some(fusion)).unwrap();
                run(segmenter, logits)
            };
            frames.iter().zip(fused).map(one).collect::<Vec<_>>()
        })
    };
    let without = masks([false; 4]);
    let with = masks([true, true, true, false]);
    assert_ne!(with[2], without[2]);
    assert_eq!(with[3], without[3]);
}

#[test]
fn numbers_out_of_range_are_refused_and_so_is_smoothing_without_memory() {
    let bytes = model().bundle();
    let (nan, infinite) = (f32::NAN, f32::INFINITY);
    with_segmenter(&bytes, &limits(true), |segmenter| {
        for weight in [0.0, -0.5, 1.01, nan, infinite] {
            let error = segmenter.set_smoothing(Smoothing { weight, cut: 0.5 }).unwrap_err();
            assert_eq!(error.status(), Status::InvalidArgument);
        }
        for cut in [-0.1, 1.1, nan] {
            let error = segmenter.set_smoothing(Smoothing { weight: 0.5, cut }).unwrap_err();
            assert_eq!(error.status(), Status::InvalidArgument);
        }
    });
    with_segmenter(&bytes, &limits(false), |segmenter| {
        let smoothing = Smoothing { weight: 0.5, cut: 0.5 };
        assert_eq!(segmenter.set_smoothing(smoothing).unwrap_err().status(), Status::Unsupported);
        segmenter.set_smoothing(Smoothing::OFF).unwrap();
        segmenter.forget();
        let fusion = FusionSettings::of(Fusion::Soft { mix: 0.5 });
        assert_eq!(segmenter.set_fusion(Some(fusion)).unwrap_err().status(), Status::Unsupported);
        segmenter.set_fusion(None).unwrap();
    });
}

/// The state is bounded: 8 bytes per class, those to be added included, and cell of the grid.
#[test]
fn smoothing_costs_what_is_stated() {
    let bytes = model().bundle();
    let bundle = Bundle::open(&bytes).unwrap();
    let need = |smoothing| Segmenter::arena_bytes(&bundle, &limits(smoothing)).unwrap();
    let stated = 8 * (CLASSES + 1) * model().cells();
    let more = need(true) - need(false);
    assert!((stated..stated + 3 * 64).contains(&more), "{more} is not {stated}");
}

/// A frame whose features hold what is no number, as a broken accelerator hands it out.
#[test]
fn one_broken_frame_is_forgotten() {
    let mut broken = frames(1, &[], 5).remove(0);
    (broken[3], broken[40]) = (f32::NAN, f32::INFINITY);
    let good = frames(6, &[], 6);
    with_segmenter(&model().bundle(), &limits(true), |segmenter| {
        segmenter.set_smoothing(Smoothing { weight: 0.25, cut: 1.0 }).unwrap();
        run(segmenter, &broken);
        let after: Vec<Mask> = good.iter().map(|logits| run(segmenter, logits)).collect();
        // What was finite in the broken frame is smoothed, and the rest begins with the next.
        let mut start = broken.clone();
        (start[3], start[40]) = (good[0][3], good[0][40]);
        let smoothing = Smoothing { weight: 0.25, cut: 1.0 };
        let mut mean = Mean { smoothing, past: Some(start) };
        for (logits, after) in good.iter().zip(&after) {
            assert_eq!(*after, plain(&mean.add(logits)));
        }
    });
}
