//! SPNet's projection.

use crate::altered::swapped;
use crate::scores::{World, accuracy_among, assert_resumes, same};
use crate::support::{CHANNELS, CLASSES, DIM, Synthetic, engine};
use zsseg::spec::Stacking;
use zsseg::train::methods::{Descent, OptimiserKind, ScoreSpace, SpNet, SpNetHead, SpNetSettings};
use zsseg::train::{Model, Result, Task, View, run_method};

const UNSEEN: [&str; 2] = ["cow", "sheep"];

fn world() -> World {
    World::new(Synthetic::new(20, 0.3, &[View::PLAIN], 2), &UNSEEN)
}

fn short() -> SpNetSettings {
    let descent = Descent { steps: 120, rate: 0.02, ..Descent::default() };
    SpNetSettings { descent, batch: 64, ..SpNetSettings::default() }
}

fn spnet(task: &Task<'_>, settings: &SpNetSettings) -> Result<Model> {
    run_method(&SpNet::new(&engine(), task, settings.clone())?)
}

/// Mean over all pairs of classes of how many cells of the pair are told apart, never having been
/// seen; half of them by guessing.
#[test]
fn classes_that_no_mask_showed_are_told_apart() {
    let (mut sum, mut pairs) = (0.0, 0.0);
    for (one, first) in CLASSES.iter().enumerate().skip(1) {
        for (other, second) in CLASSES.iter().enumerate().skip(one + 1) {
            let unseen = [*first, *second];
            let world = World::new(Synthetic::new(20, 0.3, &[View::PLAIN], 2), &unseen);
            sum += world.with(|task| {
                let model = spnet(task, &short()).unwrap();
                let seen = accuracy_among(&model, task.features, &task.seen(), &task.seen());
                assert!(seen > 0.9, "{unseen:?} {seen}");
                accuracy_among(&model, task.features, &[one, other], &[one, other])
            });
            pairs += 1.0;
        }
    }
    println!("unseen {:.3}", sum / pairs);
    assert!(sum / pairs > 0.7, "{}", sum / pairs);
}

#[test]
fn a_cosine_head_finds_the_seen_classes() {
    world().with(|task| {
        let settings = SpNetSettings { head: SpNetHead::Cosine, ..short() };
        let model = spnet(task, &settings).unwrap();
        assert_eq!(model.classes, [0, 1, 2, 3, 4, 5]);
        let seen = accuracy_among(&model, task.features, &[0, 1, 2, 3], &[0, 1, 2, 3]);
        assert!(seen > 0.9, "{seen}");
        assert!(!same(&model, &spnet(task, &short()).unwrap()));
    });
}

#[test]
fn the_loss_falls() {
    world().with(|task| {
        let engine = engine();
        let descent = Descent {
            optimiser: OptimiserKind::Sgd,
            rate: 0.05,
            power: 0.0,
            momentum: 0.0,
            steps: 60,
            ..Descent::default()
        };
        let settings = SpNetSettings { descent, batch: 512, ..short() };
        let method = SpNet::new(&engine, task, settings).unwrap();
        let method: &dyn zsseg::train::Method = &method;
        let mut stage = method.begin(0, &[]).unwrap();
        let losses: Vec<f64> = (0..60).map(|step| stage.step(step).unwrap()[0].1).collect();
        let mean = |losses: &[f64]| losses.iter().sum::<f64>() / losses.len() as f64;
        let thirds: Vec<f64> = losses.chunks(20).map(mean).collect();
        assert!(thirds[0] > thirds[1] && thirds[1] > thirds[2], "{thirds:?}");
    });
}

#[test]
fn the_projection_has_a_row_per_channel_and_the_bias() {
    world().with(|task| {
        let model = spnet(task, &short()).unwrap();
        assert_eq!(model.projection.unwrap().shape(), [CHANNELS + 1, DIM]);
        assert_eq!(model.head.weights.shape(), [6, CHANNELS]);
    });
}

#[test]
fn gamma_goes_into_the_decision() {
    world().with(|task| {
        let mut settings = short();
        settings.calibration.gamma = 0.6;
        assert_eq!(spnet(task, &settings).unwrap().decision.stacking, Stacking::Probabilities(0.6));
        settings.calibration.space = ScoreSpace::Logits;
        settings.calibration.gamma = -2.0;
        assert_eq!(spnet(task, &settings).unwrap().decision.stacking, Stacking::Logits(-2.0));
    });
}

#[test]
fn the_rate_is_computed_anew_every_so_many_steps() {
    let descent = Descent { rate: 1.0, steps: 100, every: 10, ..Descent::default() };
    assert_eq!(descent.rate_at(0), 1.0);
    assert_eq!(descent.rate_at(9), 1.0);
    let want = 0.9f64.powf(0.9);
    assert!((descent.rate_at(10) - want).abs() < 1e-12);
    assert_eq!(descent.rate_at(19), descent.rate_at(10));
    assert!(descent.rate_at(20) < want);
}

#[test]
fn unseen_labels_change_nothing() {
    let [one, other] = [false, true].map(|swap| {
        let pictures = Synthetic::new(20, 0.3, &[View::PLAIN], 2);
        let replace = if swap { swapped } else { |label| label };
        World::relabelled(pictures, &UNSEEN, replace).with(|task| spnet(task, &short()).unwrap())
    });
    assert!(same(&one, &other));
}

#[test]
fn resuming_equals_not_stopping() {
    world().with(|task| {
        let engine = engine();
        for optimiser in [OptimiserKind::Adam, OptimiserKind::Sgd] {
            let descent = Descent { optimiser, steps: 6, ..Descent::default() };
            let settings = SpNetSettings { descent, ..short() };
            assert_resumes(&SpNet::new(&engine, task, settings).unwrap());
        }
    });
}

#[test]
fn settings_out_of_their_range_are_refused() {
    let wrong: [fn(&mut SpNetSettings); 10] = [
        |settings| settings.batch = 0,
        |settings| settings.cells_per_class = 0,
        |settings| settings.balance = -0.1,
        |settings| settings.scale = 0.0,
        |settings| settings.descent.steps = 0,
        |settings| settings.descent.rate = f64::NAN,
        |settings| settings.descent.momentum = 1.0,
        |settings| settings.descent.every = 0,
        |settings| settings.calibration.gamma = 1.5,
        |settings| {
            settings.head = SpNetHead::Cosine;
            settings.calibration.gamma = 0.5;
        },
    ];
    SpNetSettings::default().check().unwrap();
    for (place, change) in wrong.into_iter().enumerate() {
        let mut settings = SpNetSettings::default();
        change(&mut settings);
        assert!(settings.check().is_err(), "{place}");
    }
}

#[test]
fn presets_can_be_read() {
    let own: SpNetSettings =
        toml::from_str(include_str!("../../src/train/presets/spnet.toml")).unwrap();
    assert_eq!(own, SpNetSettings::default());
    let paper: SpNetSettings =
        toml::from_str(include_str!("../../src/train/presets/spnet-paper.toml")).unwrap();
    paper.check().unwrap();
    assert_eq!(paper.descent.optimiser, OptimiserKind::Sgd);
    assert_eq!(paper.descent.rate, 2.5e-4);
    assert_eq!(paper.calibration.gamma, 0.6);
}
