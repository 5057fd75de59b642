//! Ridge regression and the supervised head.

use crate::altered::swapped;
use crate::scores::{World, accuracy, accuracy_among, assert_resumes, reason, same};
use crate::support::{CHANNELS, CLASSES, DIM, Synthetic, engine, roles};
use zsseg::train::engine::Matrix;
use zsseg::train::methods::{
    Descent, Ridge, RidgeForm, RidgeSettings, Supervised, SupervisedSettings, row_projection,
};
use zsseg::train::{Features, Model, Result, Task, View, run_method};

const UNSEEN: [&str; 2] = ["cow", "sheep"];

fn world(noise: f32) -> World {
    World::new(Synthetic::new(20, noise, &[View::PLAIN], 2), &UNSEEN)
}

fn ridge(task: &Task<'_>, settings: &RidgeSettings) -> Result<Model> {
    run_method(&Ridge::new(&engine(), task, settings.clone())?)
}

fn short() -> SupervisedSettings {
    let descent = Descent { steps: 120, rate: 0.02, ..Descent::default() };
    SupervisedSettings { descent, batch: 64, ..SupervisedSettings::default() }
}

#[test]
fn all_forms_find_classes_that_no_mask_showed() {
    world(0.3).with(|task| {
        for form in [RidgeForm::Embeddings, RidgeForm::Rows, RidgeForm::Prototypes] {
            let settings = RidgeSettings { form, ..RidgeSettings::default() };
            let model = ridge(task, &settings).unwrap();
            assert_eq!(model.classes, [0, 1, 2, 3, 4, 5]);
            assert_eq!(model.seen, [true, true, true, true, false, false]);
            let seen = accuracy(&model, task.features, &[0, 1, 2, 3]);
            let unseen = accuracy_among(&model, task.features, &[4, 5], &[4, 5]);
            println!("{form:?}: seen {seen:.3}, unseen {unseen:.3}");
            assert!(seen > 0.9, "{form:?} {seen}");
            // Guessing one of both finds half.
            assert!(unseen > 0.9, "{form:?} {unseen}");
        }
    });
}

/// The sum that the map makes least, in f64: weighted squares, and the penalty for standardised
/// features.
fn objective(task: &Task<'_>, projection: &Matrix<f32>, lambda: f64) -> f64 {
    let mut cells: Vec<(usize, Vec<f64>)> = Vec::new();
    for &picture in task.inductive() {
        let labels = task.labels(picture).unwrap();
        let rows = task.features.rows(picture, 0).unwrap();
        for (label, row) in zsseg::train::targets(&labels).into_iter().zip(rows.rows()) {
            if label >= 0 {
                cells.push((label as usize, row.iter().map(|&value| value.into()).collect()));
            }
        }
    }
    let count = |class| cells.iter().filter(|cell| cell.0 == class).count() as f64;
    let counts: Vec<f64> = (0..CLASSES.len()).map(count).collect();
    let seen = counts.iter().filter(|count| **count > 0.0).count() as f64;
    let weight = |class: usize| 1.0 / (counts[class] * seen);
    let mut loss = 0.0;
    let (mut mean, mut square) = (vec![0.0; CHANNELS], vec![0.0; CHANNELS]);
    for (class, x) in &cells {
        let embedding = &task.embeddings.values()[class * DIM..(class + 1) * DIM];
        for (number, target) in embedding.iter().enumerate() {
            let mut sum = f64::from(projection.row(CHANNELS).unwrap()[number]);
            for (channel, value) in x.iter().enumerate() {
                sum += value * f64::from(projection.row(channel).unwrap()[number]);
            }
            loss += weight(*class) * (sum - f64::from(*target)).powi(2);
        }
        for channel in 0..CHANNELS {
            mean[channel] += weight(*class) * x[channel];
            square[channel] += weight(*class) * x[channel].powi(2);
        }
    }
    for channel in 0..CHANNELS {
        let variance = square[channel] - mean[channel].powi(2);
        let row = projection.row(channel).unwrap();
        let length: f64 = row.iter().map(|&value| f64::from(value).powi(2)).sum();
        loss += lambda * variance * length;
    }
    loss
}

#[test]
fn the_closed_form_is_the_least() {
    world(0.5).with(|task| {
        let settings = RidgeSettings { lambda: 0.2, ..RidgeSettings::default() };
        let projection = ridge(task, &settings).unwrap().projection.unwrap();
        let least = objective(task, &projection, 0.2);
        for place in (0..projection.values().len()).step_by(7) {
            for change in [-0.01, 0.01] {
                let mut other = projection.clone();
                other.values_mut()[place] += change;
                let found = objective(task, &other, 0.2);
                assert!(found > least + 1e-7, "{place} {change}: {found} {least}");
            }
        }
    });
}

#[test]
fn a_constant_channel_does_no_harm() {
    let world = world(0.3);
    world.with(|task| {
        let constant = Constant(task.features);
        let other = Task::new(task.roles, task.embeddings, &constant, task.seed).unwrap();
        for form in [RidgeForm::Embeddings, RidgeForm::Rows] {
            let settings = RidgeSettings { form, ..RidgeSettings::default() };
            let model = ridge(&other, &settings).unwrap();
            let found = accuracy(&model, &constant, &[0, 1, 2, 3]);
            assert!(found > 0.9, "{form:?} {found}");
        }
    });
}

/// Features whose first channel is always 3.
struct Constant<'a>(&'a dyn Features);

impl Features for Constant<'_> {
    fn grid(&self) -> [usize; 2] {
        self.0.grid()
    }

    fn channels(&self) -> usize {
        self.0.channels()
    }

    fn pictures(&self) -> &dyn zsseg::train::Pictures {
        self.0.pictures()
    }

    fn rows(&self, picture: usize, view: usize) -> Result<Matrix<f32>> {
        let mut rows = self.0.rows(picture, view)?;
        rows.rows_mut().for_each(|row| row[0] = 3.0);
        Ok(rows)
    }
}

#[test]
fn the_projection_makes_the_rows() {
    world(0.3).with(|task| {
        let model = ridge(task, &RidgeSettings::default()).unwrap();
        let projection = model.projection.unwrap();
        assert_eq!(projection.shape(), [CHANNELS + 1, DIM]);
        for (place, &class) in model.classes.iter().enumerate() {
            let embedding = &task.embeddings.values()[class * DIM..(class + 1) * DIM];
            let of_row = |row: &[f32]| row.iter().zip(embedding).map(|(a, b)| a * b).sum::<f32>();
            let found: Vec<f32> = projection.rows().map(of_row).collect();
            let weights = model.head.weights.row(place).unwrap();
            let wanted = weights.iter().chain([&model.head.bias.values()[place]]);
            for (found, want) in found.iter().zip(wanted) {
                assert!((found - want).abs() < 1e-5, "{found} {want}");
            }
        }
    });
}

#[test]
fn the_regression_of_rows_is_the_known_one() {
    // By hand: R^T (A A^T + 0.5)^-1 A, where the inverse is [2.5, -1; -1, 1.5] / 2.75.
    let rows = Matrix::new([2, 3], vec![1.0, 2.0, -1.0, 0.0, 4.0, 3.0]).unwrap();
    let embeddings = Matrix::new([2, 2], vec![1.0, 0.0, 1.0, 1.0]).unwrap();
    let found = row_projection(&rows, &embeddings, 0.5).unwrap();
    let want = [6.0, -4.0, 20.0, 16.0, 0.0, 22.0].map(|value: f32| value / 11.0);
    for (found, want) in found.values().iter().zip(want) {
        assert!((found - want).abs() < 1e-6, "{found} {want}");
    }
    assert!(row_projection(&rows, &Matrix::zeros([3, 2]).unwrap(), 0.5).is_err());
}

#[test]
fn a_supervised_head_knows_seen_classes_only() {
    world(0.3).with(|task| {
        let engine = engine();
        let model = run_method(&Supervised::new(&engine, task, short()).unwrap()).unwrap();
        assert_eq!(model.classes, [0, 1, 2, 3]);
        assert!(model.projection.is_none());
        let seen = accuracy(&model, task.features, &[0, 1, 2, 3]);
        assert!(seen > 0.9, "{seen}");
        let settings = SupervisedSettings { project_rows: true, ..short() };
        let model = run_method(&Supervised::new(&engine, task, settings).unwrap()).unwrap();
        let unseen = accuracy_among(&model, task.features, &[4, 5], &[4, 5]);
        println!("projected rows: unseen {unseen:.3}");
        assert_eq!(model.classes, [0, 1, 2, 3, 4, 5]);
        assert!(unseen > 0.9, "{unseen}");
    });
}

#[test]
fn unseen_labels_change_nothing() {
    let [one, other] = [false, true].map(|swap| {
        let pictures = Synthetic::new(20, 0.3, &[View::PLAIN], 2);
        let replace = if swap { swapped } else { |label| label };
        World::relabelled(pictures, &UNSEEN, replace).with(|task| {
            let engine = engine();
            let supervised = Supervised::new(&engine, task, short()).unwrap();
            [ridge(task, &RidgeSettings::default()).unwrap(), run_method(&supervised).unwrap()]
        })
    });
    assert!(same(&one[0], &other[0]) && same(&one[1], &other[1]));
}

#[test]
fn resuming_equals_not_stopping() {
    world(0.3).with(|task| {
        let engine = engine();
        assert_resumes(&Ridge::new(&engine, task, RidgeSettings::default()).unwrap());
        let descent = Descent { steps: 6, ..Descent::default() };
        let settings = SupervisedSettings { descent, ..short() };
        assert_resumes(&Supervised::new(&engine, task, settings).unwrap());
    });
}

#[test]
fn what_does_not_fit_is_refused() {
    world(0.3).with(|task| {
        let engine = engine();
        let wrong: [fn(&mut RidgeSettings); 4] = [
            |settings| settings.lambda = 0.0,
            |settings| settings.balance = 1.5,
            |settings| settings.row_lambda = f32::NAN,
            |settings| settings.calibration.gamma = 2.0,
        ];
        for change in wrong {
            let mut settings = RidgeSettings::default();
            change(&mut settings);
            assert!(Ridge::new(&engine, task, settings).is_err());
        }
        let settings = SupervisedSettings { batch: 0, ..short() };
        assert!(Supervised::new(&engine, task, settings).is_err());
        let left_out = CLASSES.map(String::from).to_vec();
        let settings = RidgeSettings { form: RidgeForm::Rows, left_out, ..Default::default() };
        assert!(reason(ridge(task, &settings)).contains("left_out"));
    });
    // Of four pictures only one shows no unseen class, and none of those a dog.
    let world = World::new(Synthetic::new(1, 0.3, &[View::PLAIN], 2), &UNSEEN);
    world.with(|task| {
        let text = reason(ridge(task, &RidgeSettings::default()));
        assert!(text.ends_with("shows dog, horse"), "{text}");
    });
}

#[test]
fn presets_are_the_defaults() {
    let ridge: RidgeSettings =
        toml::from_str(include_str!("../../src/train/presets/ridge.toml")).unwrap();
    assert_eq!(ridge, RidgeSettings::default());
    let supervised: SupervisedSettings =
        toml::from_str(include_str!("../../src/train/presets/supervised.toml")).unwrap();
    assert_eq!(supervised, SupervisedSettings::default());
    assert!(toml::from_str::<RidgeSettings>("lamda = 1.0").is_err());
}

#[test]
fn some_pictures_of_a_task() {
    world(0.3).with(|task| {
        let few = task.with_pictures(&[19, 3, 2, 0]).unwrap();
        assert_eq!(few.pictures(), [0, 2, 3, 19]);
        assert_eq!(few.inductive(), [0, 2]);
        assert!(task.with_pictures(&[3, 4]).is_err());
        assert!(few.with_pictures(&[1]).is_err());
    });
    assert!(zsseg::train::data::Roles::from_roles(vec![zsseg::train::data::Role::Unseen]).is_err());
    let copied = roles(&UNSEEN).as_slice().to_vec();
    assert_eq!(zsseg::train::data::Roles::from_roles(copied).unwrap(), roles(&UNSEEN));
}

/// Gaussians of one covariance are equally likely half-way between their means.
#[test]
fn prototypes_meet_half_way() {
    world(0.3).with(|task| {
        let settings = RidgeSettings { form: RidgeForm::Prototypes, ..RidgeSettings::default() };
        let model = ridge(task, &settings).unwrap();
        let mut sums = vec![(vec![0.0f64; CHANNELS], 0.0); 4];
        for &picture in task.inductive() {
            let labels = zsseg::train::targets(&task.labels(picture).unwrap());
            let rows = task.features.rows(picture, 0).unwrap();
            for (label, row) in labels.into_iter().zip(rows.rows()).filter(|cell| cell.0 >= 0) {
                let (sum, count) = &mut sums[label as usize];
                sum.iter_mut().zip(row).for_each(|(sum, value)| *sum += f64::from(*value));
                *count += 1.0;
            }
        }
        let mean = |class: usize| -> Vec<f64> {
            let (sum, count) = &sums[class];
            sum.iter().map(|value| value / count).collect()
        };
        let logit = |class: usize, x: &[f64]| -> f64 {
            let row = model.head.weights.row(class).unwrap();
            let product: f64 = row.iter().zip(x).map(|(w, x)| f64::from(*w) * x).sum();
            product + f64::from(model.head.bias.values()[class])
        };
        for (one, other) in [(0, 1), (0, 2), (1, 3), (2, 3)] {
            let (at_mean, there) = (mean(one), mean(other));
            let middle: Vec<f64> = at_mean.iter().zip(&there).map(|(a, b)| (a + b) / 2.0).collect();
            let gap = |x: &[f64]| logit(one, x) - logit(other, x);
            assert!(gap(&at_mean) > 1.0, "{}", gap(&at_mean));
            assert!(
                gap(&middle).abs() < 1e-4 * gap(&at_mean),
                "{} {}",
                gap(&middle),
                gap(&at_mean)
            );
        }
    });
}

#[test]
fn decay_makes_weights_small() {
    world(0.3).with(|task| {
        let square = |weight_decay: f64| {
            let descent = Descent { weight_decay, ..short().descent };
            let settings = SupervisedSettings { descent, ..short() };
            let method = Supervised::new(&engine(), task, settings).map(|it| run_method(&it));
            let model = method.unwrap().unwrap();
            model.head.weights.values().iter().map(|value| value * value).sum::<f32>()
        };
        let (free, held) = (square(0.0), square(1.0));
        assert!(held < 0.5 * free, "{held} {free}");
    });
}
