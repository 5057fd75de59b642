//! Choosing gamma on seen classes that play unseen ones.

use crate::altered::swapped;
use crate::scores::{World, reason};
use crate::support::{Synthetic, engine};
use std::cell::RefCell;
use zsseg::train::data::{Label, Role};
use zsseg::train::methods::{
    Choice, HoldOut, Ridge, RidgeSettings, ScoreSpace, choose_gamma, default_folds,
};
use zsseg::train::{Error, Model, Result, Task, View, run_method};

const UNSEEN: [&str; 1] = ["sheep"];

fn pictures() -> Synthetic {
    Synthetic::new(30, 0.5, &[View::PLAIN], 2)
}

fn train(task: &Task<'_>) -> Result<Model> {
    let settings = RidgeSettings { lambda: 0.02, ..RidgeSettings::default() };
    run_method(&Ridge::new(&engine(), task, settings)?)
}

fn chosen(task: &Task<'_>, settings: &HoldOut, folds: &[Vec<usize>]) -> Result<Choice> {
    choose_gamma(&engine(), task, settings, folds, &train)
}

fn folds() -> Vec<Vec<usize>> {
    vec![vec![1], vec![2], vec![3, 4]]
}

#[test]
fn the_best_mean_wins_and_the_table_says_why() {
    World::new(pictures(), &UNSEEN).with(|task| {
        let choice = chosen(task, &HoldOut::default(), &folds()).unwrap();
        assert_eq!(choice.scores.len(), 20);
        let mut best = &choice.scores[0];
        for score in &choice.scores {
            println!("{:.2} {:.3} {:.2?}", score.gamma, score.harmonic, score.folds);
            assert_eq!(score.folds.len(), 3);
            let mean = score.folds.iter().map(|fold| fold[2]).sum::<f64>() / 3.0;
            assert!((mean - score.harmonic).abs() < 1e-12);
            for [seen, unseen, harmonic] in &score.folds {
                let want =
                    if seen + unseen > 0.0 { 2.0 * seen * unseen / (seen + unseen) } else { 0.0 };
                assert!((harmonic - want).abs() < 1e-12);
            }
            if score.harmonic > best.harmonic {
                best = score;
            }
        }
        assert_eq!(choice.calibration.gamma, best.gamma);
        assert_eq!(choice.calibration.space, ScoreSpace::Probabilities);
        // Without a handicap seen classes win too often.
        assert!(best.gamma > 0.0 && best.harmonic > choice.scores[0].harmonic + 0.05);
    });
}

#[test]
fn of_equal_ones_the_smaller_wins() {
    World::new(pictures(), &UNSEEN).with(|task| {
        // So large that no seen class is ever found.
        let gammas = vec![1e9, 1e7, 1e8];
        let settings = HoldOut { gammas, space: ScoreSpace::Logits, ..HoldOut::default() };
        let choice = chosen(task, &settings, &folds()).unwrap();
        assert_eq!(choice.calibration.gamma, 1e7);
        let gammas: Vec<f32> = choice.scores.iter().map(|score| score.gamma).collect();
        assert_eq!(gammas, [1e7, 1e8, 1e9]);
    });
}

#[test]
fn truly_unseen_labels_are_not_looked_at() {
    let unseen = ["cow", "sheep"];
    let [one, other] = [false, true].map(|swap| {
        let replace = if swap { swapped } else { |label| label };
        let world = World::relabelled(pictures(), &unseen, replace);
        let folds = [vec![1], vec![2, 3]];
        world.with(|task| chosen(task, &HoldOut::default(), &folds).unwrap())
    });
    assert_eq!(one, other);
}

#[test]
fn a_fold_learns_from_no_picture_that_it_must_not_see() {
    for transductive in [false, true] {
        World::new(pictures(), &UNSEEN).with(|task| {
            let seen_tasks = RefCell::new(0);
            let look = |fold: &Task<'_>| {
                *seen_tasks.borrow_mut() += 1;
                assert_eq!(fold.unseen(), [2, 4]);
                assert_eq!(fold.roles.places(Role::HeldOut), [5]);
                assert_eq!(fold.seen(), [0, 1, 3]);
                for &picture in fold.pictures() {
                    let truth = fold.features.pictures().labels(picture).unwrap();
                    assert!(!truth.contains(|class| class == 5));
                    let shows_fold = truth.contains(|class| class == 2 || class == 4);
                    assert!(transductive || !shows_fold);
                    assert_eq!(fold.inductive().contains(&picture), !shows_fold);
                    let known = fold.labels(picture).unwrap();
                    assert!(!known.contains(|class| [2, 4, 5].contains(&class)));
                    let unlabelled = known.iter().any(|label| label == Label::Unlabelled);
                    assert_eq!(unlabelled, shows_fold);
                }
                // Of the 24 pictures without a sheep 6 are for measuring.
                assert_eq!(fold.pictures().len() > fold.inductive().len(), transductive);
                assert!(fold.pictures().len() <= 18);
                assert!(!transductive || fold.pictures().len() == 18);
                train(fold)
            };
            let settings = HoldOut { transductive, ..HoldOut::default() };
            choose_gamma(&engine(), task, &settings, &[vec![2, 4]], &look).unwrap();
            assert_eq!(*seen_tasks.borrow(), 1);
        });
    }
}

#[test]
fn a_class_without_pictures_sits_out() {
    let only = |label| match label {
        Label::Class(3) => Label::Class(2),
        other => other,
    };
    let world = World::relabelled(pictures(), &UNSEEN, only);
    world.with(|task| {
        // No picture shows a horse.
        let choice = chosen(task, &HoldOut::default(), &[vec![1]]).unwrap();
        assert!(choice.scores[0].folds[0][0] > 0.9, "{:?}", choice.scores[0]);
        assert!(reason(chosen(task, &HoldOut::default(), &[vec![5]])).contains("not seen"));
    });
}

#[test]
fn default_folds_pair_common_and_rare_classes() {
    // Of 28 pictures 6 show a cat, 6 a dog, 6 a horse, 5 a cow; 23 the ground.
    World::new(Synthetic::new(28, 0.5, &[View::PLAIN], 2), &UNSEEN).with(|task| {
        let without = ["ground".to_string()];
        assert_eq!(default_folds(task, 9, &without).unwrap(), [[1, 3], [2, 4]]);
        assert_eq!(default_folds(task, 1, &without).unwrap(), [[1, 3]]);
        assert_eq!(default_folds(task, 9, &[]).unwrap(), [[0, 2], [1, 3]]);
    });
}

#[test]
fn what_does_not_fit_is_refused() {
    World::new(pictures(), &UNSEEN).with(|task| {
        let refused = |settings: &HoldOut, folds: &[Vec<usize>]| {
            assert!(matches!(chosen(task, settings, folds), Err(Error::Config { .. })));
        };
        let all = HoldOut::default();
        refused(&all, &[]);
        refused(&all, &[vec![1, 1]]);
        refused(&all, &[vec![99]]);
        assert!(chosen(task, &all, &[vec![0, 1, 2, 3, 4]]).is_err());
        refused(&HoldOut { gammas: Vec::new(), ..all.clone() }, &folds());
        refused(&HoldOut { gammas: vec![1.5], ..all.clone() }, &folds());
        refused(&HoldOut { measured_every: 1, ..all.clone() }, &folds());
        let failing = |_: &Task<'_>| Err(Error::config("no"));
        assert!(choose_gamma(&engine(), task, &all, &folds(), &failing).is_err());
    });
}
