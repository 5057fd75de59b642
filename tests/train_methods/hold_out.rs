//! Choosing gamma on seen classes that play unseen ones.

use crate::altered::swapped;
use crate::scores::{World, reason};
use crate::support::{Synthetic, engine};
use std::cell::RefCell;
use zsseg::train::data::{Label, Role};
use zsseg::train::engine::{Engine, Product};
use zsseg::train::methods::{
    Carry, Choice, HoldOut, Ridge, RidgeSettings, ScoreSpace, choose_gamma, default_folds,
};
use zsseg::train::{Error, Head, HeadForm, Model, Result, Task, View, run_method};

const UNSEEN: [&str; 1] = ["sheep"];

fn pictures() -> Synthetic {
    Synthetic::new(30, 0.5, &[View::PLAIN], 2)
}

fn train(task: &Task<'_>) -> Result<Model> {
    let settings = RidgeSettings { lambda: 0.02, ..RidgeSettings::default() };
    run_method(&Ridge::new(&engine(), task, settings)?)
}

fn chosen(task: &Task<'_>, settings: &HoldOut, folds: &[Vec<usize>]) -> Result<Choice> {
    choose_gamma(&engine(), task, settings, folds, &train(task)?, &train)
}

/// Carries gamma over as it is.
fn by_value() -> HoldOut {
    HoldOut { carry: Carry::Value, ..HoldOut::default() }
}

fn folds() -> Vec<Vec<usize>> {
    vec![vec![1], vec![2], vec![3, 4]]
}

#[test]
fn the_best_mean_wins_and_the_table_says_why() {
    World::new(pictures(), &UNSEEN).with(|task| {
        let choice = chosen(task, &by_value(), &folds()).unwrap();
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
        assert_eq!((choice.best, choice.calibration.gamma), (best.gamma, best.gamma));
        assert!(choice.scores.is_sorted_by(|one, other| one.lost <= other.lost));
        assert!(best.lost > 0.0 && best.lost < 0.5, "{}", best.lost);
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
        let settings = HoldOut { gammas, space: ScoreSpace::Logits, ..by_value() };
        let choice = chosen(task, &settings, &folds()).unwrap();
        assert_eq!(choice.calibration.gamma, 1e7);
        let gammas: Vec<f32> = choice.scores.iter().map(|score| score.gamma).collect();
        assert_eq!(gammas, [1e7, 1e8, 1e9]);
    });
}

/// The model with all its scores times `factor`.
fn scaled(model: &Model, factor: f32) -> Model {
    let mut model = model.clone();
    for matrix in [&mut model.head.weights, &mut model.head.bias] {
        matrix.values_mut().iter_mut().for_each(|value| *value *= factor);
    }
    model
}

#[test]
fn a_gamma_carried_by_its_share_follows_the_scale_of_the_scores() {
    World::new(pictures(), &UNSEEN).with(|task| {
        let gammas: Vec<f32> = (0..400u16).map(|step| f32::from(step) / 200.0).collect();
        let settings = HoldOut { gammas, space: ScoreSpace::Logits, ..HoldOut::default() };
        let model = train(task).unwrap();
        let carried = |factor, settings: &HoldOut| {
            let model = scaled(&model, factor);
            choose_gamma(&engine(), task, settings, &folds(), &model, &train).unwrap()
        };
        let one = carried(1.0, &settings);
        let three = carried(3.0, &settings).calibration.gamma;
        assert!(one.calibration.gamma > 0.0 && one.calibration.gamma < 0.5, "{one:?}");
        assert!((three / one.calibration.gamma - 3.0).abs() < 1e-3, "{three}");
        let by_value = HoldOut { carry: Carry::Value, ..settings.clone() };
        assert_eq!(carried(3.0, &by_value).calibration.gamma, one.best);

        // The share of seen cells that the model loses at its gamma is that of the folds.
        let best = one.scores.iter().find(|score| score.gamma == one.best).unwrap();
        let lost = lost_cells(task, &model, one.calibration.gamma);
        assert!((lost - best.lost).abs() < 0.02, "{lost} {}", best.lost);
        // A model without unseen classes loses nothing: it gets the value.
        let seen_only = Model { seen: vec![true; model.seen.len()], ..model.clone() };
        let chosen =
            choose_gamma(&engine(), task, &settings, &folds(), &seen_only, &train).unwrap();
        assert_eq!(chosen.calibration.gamma, one.best);
        // Never beyond the values to choose from.
        let narrow = HoldOut { gammas: vec![0.0, 0.001], ..settings };
        assert!(carried(1.0, &narrow).calibration.gamma <= 0.001);
    });
}

/// The share of cells of seen classes that unseen ones take, over all training pictures.
fn lost_cells(task: &Task<'_>, model: &Model, gamma: f32) -> f64 {
    let engine = engine();
    let (mut lost, mut all) = (0, 0);
    for &picture in task.inductive() {
        let rows = task.features.rows(picture, 0).unwrap();
        let Head { weights, bias, .. } = &model.head;
        let logits = engine.product(Product::Nt, &rows, weights, Some(bias)).unwrap();
        let labels = task.labels(picture).unwrap();
        for (label, logits) in labels.iter().zip(logits.rows()) {
            let best = |seen| {
                let of_kind =
                    logits.iter().zip(&model.seen).filter(|(_, is_seen)| **is_seen == seen);
                of_kind.map(|(logit, _)| *logit).fold(f32::NEG_INFINITY, f32::max)
            };
            if matches!(label, Label::Class(_)) {
                all += 1;
                lost += usize::from(best(true) - gamma < best(false));
            }
        }
    }
    lost as f64 / all as f64
}

#[test]
fn classes_weigh_as_often_as_they_are_shown() {
    // Where everything is called a cat, IoU of cats is their share of all cells. Pictures of the
    // fold's class are all measured, others every fourth, which must not make cats commoner.
    World::new(Synthetic::new(60, 0.5, &[View::PLAIN], 2), &UNSEEN).with(|task| {
        let model = train(task).unwrap();
        let only_cats = |task: &Task<'_>| {
            let mut model = train(task)?;
            let cat = model.classes.iter().position(|class| *class == 1);
            model.head.form = HeadForm::Linear;
            model.head.weights.values_mut().fill(0.0);
            model.head.bias.values_mut()[cat.unwrap()] = 10.0;
            Ok(model)
        };
        let settings = HoldOut { gammas: vec![0.0], space: ScoreSpace::Logits, ..by_value() };
        let choice =
            choose_gamma(&engine(), task, &settings, &[vec![1]], &model, &only_cats).unwrap();
        let labels = |picture: &usize| task.labels(*picture).unwrap();
        let all: Vec<Label> = task
            .inductive()
            .iter()
            .flat_map(|one| labels(one).iter().collect::<Vec<_>>())
            .collect();
        let of_class = all.iter().filter(|label| matches!(label, Label::Class(_))).count();
        let cats = all.iter().filter(|label| **label == Label::Class(1)).count();
        let share = cats as f64 / of_class as f64;
        let found = choice.scores[0].folds[0][1];
        assert!((found / share - 1.0).abs() < 0.2, "{found} {share}");
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
            choose_gamma(&engine(), task, &settings, &[vec![2, 4]], &train(task).unwrap(), &look)
                .unwrap();
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
        let model = World::new(pictures(), &UNSEEN).with(|task| train(task).unwrap());
        let choose =
            |fold: usize| choose_gamma(&engine(), task, &by_value(), &[vec![fold]], &model, &train);
        let choice = choose(1).unwrap();
        assert!(choice.scores[0].folds[0][0] > 0.9, "{:?}", choice.scores[0]);
        assert!(reason(choose(5)).contains("not seen"));
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
        assert!(
            choose_gamma(&engine(), task, &all, &folds(), &train(task).unwrap(), &failing).is_err()
        );
    });
}
