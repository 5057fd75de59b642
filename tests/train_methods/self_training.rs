//! ZS5Net and recursive training with ZS-MMD, on made-up pictures.

use crate::altered::{Altered, swapped};
use crate::support::{GRID, Synthetic, embeddings, engine, roles};
use crate::zs3::{UNSEEN, brief, found, numbers, resuming_is_not_stopping, settings, train};
use zsseg::train::data::Label;
use zsseg::train::engine::{Engine, Kernel, Matrix, Mmd, MmdGroup, Noise};
use zsseg::train::methods::{
    Candidates, Feedback, PseudoLabel, PseudoLabeler, Zs3Settings, Zs5, Zs5Settings, ZsMmd,
    ZsMmdSettings, candidates,
};
use zsseg::train::{Joined, Method, Task, View, run_method};

fn zs5() -> Zs5Settings {
    Zs5Settings { steps: 200, batch: 128, zs3: settings(), ..Zs5Settings::default() }
}

fn zs_mmd() -> ZsMmdSettings {
    ZsMmdSettings {
        threshold: 0.6,
        least_cells: 4,
        batch: 32,
        beta: 1.0,
        ramp_steps: 30,
        generator_steps: 150,
        classifier_steps: 100,
        zs3: settings(),
        ..ZsMmdSettings::default()
    }
}

/// Few steps, but enough weight that unseen classes are guessed.
fn brief_zs3() -> Zs3Settings {
    let mut zs3 = brief();
    zs3.classifier.unseen_weight = 20.0;
    zs3.classifier.steps = 20;
    zs3
}

fn brief_zs5() -> Zs5Settings {
    Zs5Settings { steps: 5, rounds: 2, percent: 60.0, zs3: brief_zs3(), ..zs5() }
}

fn brief_zs_mmd(feedback: Feedback) -> ZsMmdSettings {
    ZsMmdSettings {
        threshold: 0.0,
        least_cells: 1,
        // The running mean must follow within a few steps.
        decay: 0.5,
        most_drop: 1.0,
        rounds: 2,
        ramp_steps: 2,
        generator_steps: 5,
        classifier_steps: 5,
        feedback,
        zs3: brief_zs3(),
        ..zs_mmd()
    }
}

fn label(cell: usize, confidence: f32) -> PseudoLabel {
    PseudoLabel { cell, class: 4, confidence }
}

#[test]
fn the_surest_of_a_picture_are_kept() {
    let all = [label(0, 0.5), label(1, 0.9), label(2, 0.5), label(5, 0.7), label(9, 0.5)];
    let kept = |percent| {
        let labeler = PseudoLabeler::top_percent_per_image(percent).unwrap();
        labeler.select(all.to_vec()).iter().map(|label| label.cell).collect::<Vec<_>>()
    };
    assert_eq!(kept(100.0), [0, 1, 2, 5, 9]);
    assert_eq!(kept(60.0), [0, 1, 5]);
    assert_eq!(kept(59.0), [1, 5]);
    assert!(kept(19.0).is_empty());
    let sure = PseudoLabeler::threshold(0.7).unwrap().select(all.to_vec());
    assert_eq!(sure, [label(1, 0.9), label(5, 0.7)]);
    for percent in [0.0, 100.1, f64::NAN] {
        assert!(PseudoLabeler::top_percent_per_image(percent).is_err());
    }
    assert!(PseudoLabeler::threshold(f32::NAN).is_err());
}

#[test]
fn a_cell_is_a_candidate_for_what_it_can_be() {
    let nan = f32::NAN;
    let rows =
        [[2.0, 1.0, 0.0], [0.0, 1.0, 2.0], [0.0, 2.0, 1.0], [0.0, 1.0, 2.0], [0.0, nan, 2.0]];
    let logits = Matrix::new([5, 3], rows.concat()).unwrap();
    let labels =
        [Label::Unlabelled, Label::Unlabelled, Label::Class(1), Label::Void, Label::Unlabelled];
    let of = |rule| {
        let found = candidates(rule, &logits, &[1, 4, 7], &[4, 7], &labels);
        let [e1, e2] = [1f32, 2.0].map(f32::exp);
        for label in &found {
            let sum = if rule == Candidates::Unlabelled { e1 } else { e1 + 1.0 };
            let sum = if label.cell == 0 { 1.0 + e1 } else { sum + e2 };
            let most = if label.cell == 0 { e1 } else { e2 };
            assert!((label.confidence - most / sum).abs() < 1e-6, "{label:?}");
        }
        found.iter().map(|label| (label.cell, label.class)).collect::<Vec<_>>()
    };
    assert_eq!(of(Candidates::Unlabelled), [(0, 4), (1, 7)]);
    assert_eq!(of(Candidates::UnlabelledWinners), [(1, 7)]);
    assert_eq!(of(Candidates::Winners), [(1, 7), (2, 4), (3, 7)]);
}

/// Means of three seeds: ZS3Net 0.52 of the unseen cells, ZS5Net 0.65, ZS-MMD 1.0 (its feedback
/// is strong here; made-up classes are far apart).
#[test]
fn self_training_finds_more_of_unseen_classes() {
    let pictures = Synthetic::new(30, 0.3, &[View::PLAIN], 1);
    let test = Synthetic::new(30, 0.3, &[View::PLAIN], 2);
    let (joined, roles, table) = (pictures.joined(), roles(&UNSEEN), embeddings());
    let engine = engine();
    let mut sums = [[0.0; 2]; 3];
    for seed in 0..3 {
        let task = Task::new(&roles, &table, &joined, seed).unwrap();
        let zs5 = run_method(&Zs5::new(&engine, &task, zs5()).unwrap()).unwrap();
        let zs_mmd = run_method(&ZsMmd::new(&engine, &task, zs_mmd()).unwrap()).unwrap();
        let models = [train(&settings(), &table, seed), zs5, zs_mmd];
        for (sum, model) in sums.iter_mut().zip(&models) {
            let shares = found(model, &test);
            *sum = [sum[0] + shares[0] / 3.0, sum[1] + shares[1] / 3.0];
        }
    }
    assert!(sums[1][1] > sums[0][1] + 0.05, "ZS5Net: {sums:?}");
    assert!(sums[2][1] > sums[0][1] + 0.05, "ZS-MMD: {sums:?}");
    assert!(sums.iter().all(|[seen, _]| *seen > 0.85), "{sums:?}");
}

#[test]
fn every_stage_can_be_stopped() {
    let pictures = Synthetic::new(10, 0.3, &[View::PLAIN], 1);
    let (joined, roles, table) = (pictures.joined(), roles(&UNSEEN), embeddings());
    let task = Task::new(&roles, &table, &joined, 3).unwrap();
    let engine = engine();
    let one =
        Zs5::new(&engine, &task, Zs5Settings { candidates: Candidates::Winners, ..brief_zs5() });
    resuming_is_not_stopping(&one.unwrap());
    for feedback in [Feedback::Drawn, Feedback::All] {
        let method = ZsMmd::new(&engine, &task, brief_zs_mmd(feedback)).unwrap();
        resuming_is_not_stopping(&method);
    }
}

/// Number of pseudo-labels of the first round.
fn guesses(method: &dyn Method) -> usize {
    let mut done = Vec::new();
    for index in 0..method.stages().len() {
        let mut stage = method.begin(index, &done).unwrap();
        let mut count = 0.0;
        for step in 0..stage.steps() {
            let report = stage.step(step).unwrap();
            let labels = report.iter().filter(|entry| entry.0 == "pseudo-labels");
            count += labels.map(|entry| entry.1).sum::<f64>();
        }
        if count > 0.0 {
            return count as usize;
        }
        done.push(stage.state().unwrap());
    }
    0
}

#[test]
fn labels_of_unseen_classes_are_never_read() {
    let pictures = Synthetic::new(10, 0.3, &[View::PLAIN], 1);
    let other = Altered { pictures: &pictures, alter: Box::new(|_, _, label| swapped(label)) };
    let (roles, table, engine) = (roles(&UNSEEN), embeddings(), engine());
    let [one, two] = [pictures.joined(), Joined::new(&other, GRID).unwrap()].map(|joined| {
        let task = Task::new(&roles, &table, &joined, 3).unwrap();
        let zs5 = Zs5::new(&engine, &task, brief_zs5()).unwrap();
        assert!(guesses(&zs5) > 0, "there is nothing to be told");
        let zs5 = run_method(&zs5).unwrap();
        let settings = brief_zs_mmd(Feedback::Drawn);
        let zs_mmd = run_method(&ZsMmd::new(&engine, &task, settings).unwrap()).unwrap();
        [numbers(&zs5), numbers(&zs_mmd)]
    });
    assert_eq!(one, two);
}

/// The reports of the first round's generator, and its last state's numbers.
fn feedback(change: impl Fn(&mut ZsMmdSettings)) -> (usize, Vec<f32>) {
    let pictures = Synthetic::new(10, 0.3, &[View::PLAIN], 1);
    let (joined, roles, table) = (pictures.joined(), roles(&UNSEEN), embeddings());
    let task = Task::new(&roles, &table, &joined, 3).unwrap();
    let engine = engine();
    let mut settings = brief_zs_mmd(Feedback::Drawn);
    change(&mut settings);
    let method = ZsMmd::new(&engine, &task, settings).unwrap();
    let mut done = Vec::new();
    let place = method.stages().iter().position(|name| name == "generator 1").unwrap();
    for index in 0..=place {
        let mut stage = method.begin(index, &done).unwrap();
        let mut names = 0;
        for step in 0..stage.steps() {
            names = stage.step(step).unwrap().len();
        }
        let state = stage.state().unwrap();
        if index == place {
            let all = state.matrices.values();
            return (names, all.flat_map(|matrix| matrix.values()).copied().collect());
        }
        done.push(state);
    }
    unreachable!("the loop returns");
}

#[test]
fn without_weight_or_cells_there_is_no_feedback() {
    let (both, with) = feedback(|_| ());
    let (_, weightless) = feedback(|settings| settings.beta = 0.0);
    let (one, without) = feedback(|settings| settings.least_cells = 1_000_000);
    assert_eq!((both, one), (2, 1));
    assert_eq!(weightless, without);
    assert_ne!(with, without);
}

/// The law that ZS-MMD stands on: with equal weights it is the plain discrepancy.
#[test]
fn equal_weights_give_the_plain_discrepancy() {
    let engine = engine();
    let random = |rows, stream| -> Matrix<f64> {
        let draw = zsseg::train::engine::Draw { seed: 8, step: 0, stream };
        engine.noise([rows, 5], Noise::Normal, draw).unwrap()
    };
    let (generated, real, kernel) = (random(9, 0), random(7, 1), Kernel::zs3_code());
    let groups = [MmdGroup { generated: 0..9, real: 0..7 }];
    let of = |weights: Option<&[f64]>| {
        let settings = Mmd { kernel: &kernel, groups: &groups, real_weights: weights };
        engine.mmd(&generated, &real, &settings).unwrap()
    };
    let (plain, equal) = (of(None), of(Some(&[0.9; 7])));
    assert!((plain.values[0] - equal.values[0]).abs() < 1e-12);
    let pairs = plain.gradient.values().iter().zip(equal.gradient.values());
    assert!(pairs.map(|(a, b)| (a - b).abs()).all(|error| error < 1e-12));
    let unequal = of(Some(&[0.9, 0.1, 0.9, 0.1, 0.9, 0.1, 0.9]));
    assert!((plain.values[0] - unequal.values[0]).abs() > 1e-4);
}

#[test]
fn settings_out_of_range_are_refused() {
    let changes: [fn(&mut Zs5Settings); 5] = [
        |settings| settings.percent = 0.0,
        |settings| settings.rounds = 0,
        |settings| settings.steps = 0,
        |settings| settings.batch = 0,
        |settings| settings.zs3.bag_limit = 0,
    ];
    for change in changes {
        let mut settings = zs5();
        change(&mut settings);
        assert!(settings.check().is_err(), "{settings:?}");
    }
    let changes: [fn(&mut ZsMmdSettings); 6] = [
        |settings| settings.threshold = 1.5,
        |settings| settings.rounds = 0,
        |settings| settings.beta = f32::NAN,
        |settings| settings.decay = 1.0,
        |settings| settings.most_drop = -0.1,
        |settings| settings.zs3.layout = zsseg::train::methods::Layout::GtMap,
    ];
    for change in changes {
        let mut settings = zs_mmd();
        change(&mut settings);
        assert!(settings.check().is_err(), "{settings:?}");
    }
    assert!(zs5().check().is_ok() && zs_mmd().check().is_ok());
}
