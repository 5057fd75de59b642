//! Contrastive pre-training, fine-tuning and pseudo-labels.

use crate::support::{CLASSES, GRID, embeddings, engine, roles};
use crate::two_taps::TwoTaps;
use std::collections::BTreeMap;
use zsseg::train::data::{Label, LabelMap};
use zsseg::train::engine::{CpuEngine, Matrix};
use zsseg::train::layers::DecoderSettings;
use zsseg::train::layers::decoder::DecoderTraining;
use zsseg::train::methods::OptimiserKind;
use zsseg::train::methods::contrastive::{Form, Variant};
use zsseg::train::methods::{ContrastiveSettings, ContrastiveTraining};
use zsseg::train::{
    Decoded, Error, Features, Joined, Method, Model, Pictures, Result, State, Tap, Task, View,
    run_method,
};

const COLOURED: View = View { colour: 1.0, ..View::PLAIN };
const FLIPPED: View = View { flip: true, ..View::PLAIN };
const UNSEEN: [&str; 2] = ["cow", "sheep"];

fn settings() -> ContrastiveSettings {
    let decoder = DecoderSettings {
        tap_channels: 8,
        channels: 12,
        grid: Some([4, 5]),
        ..DecoderSettings::default()
    };
    ContrastiveSettings {
        decoder,
        projection_channels: 16,
        pictures: 3,
        pretrain_steps: 12,
        pretrain_rate: 1e-2,
        finetune_steps: 12,
        finetune_rate: 1e-2,
        batch_pixels: 30,
        upsample: 2,
        ..ContrastiveSettings::default()
    }
}

/// Calls `f` with a task of these pictures.
fn with_task<R>(pictures: &dyn Pictures, f: impl FnOnce(&Task<'_>) -> R) -> R {
    let (embeddings, roles) = (embeddings(), roles(&UNSEEN));
    let joined = Joined::new(pictures, GRID).unwrap();
    f(&Task::new(&roles, &embeddings, &joined, 7).unwrap())
}

fn pictures(count: usize, noise: f32) -> TwoTaps {
    TwoTaps::new(count, noise, &[View::PLAIN, COLOURED, FLIPPED], 1)
}

fn trained(pictures: &dyn Pictures, settings: &ContrastiveSettings) -> Model {
    with_task(pictures, |task| {
        run_method(&ContrastiveTraining::new(&engine(), task, settings.clone()).unwrap()).unwrap()
    })
}

/// The mean of a loss over the first and the last steps of the first stage.
fn losses(pictures: &dyn Pictures, settings: &ContrastiveSettings) -> (f64, f64) {
    with_task(pictures, |task| {
        let engine = engine();
        let method = ContrastiveTraining::new(&engine, task, settings.clone()).unwrap();
        let mut stage = method.begin(0, &[]).unwrap();
        let values: Vec<f64> =
            (0..stage.steps()).map(|step| stage.step(step).unwrap()[0].1).collect();
        let mean = |values: &[f64]| values.iter().sum::<f64>() / values.len() as f64;
        (mean(&values[..5]), mean(&values[values.len() - 5..]))
    })
}

#[test]
fn every_variant_lowers_its_loss() {
    let pictures = pictures(30, 1.0);
    let variants = [
        (Variant::WithinImage, Form::Paper),
        (Variant::WithinImage, Form::Google),
        (Variant::CrossImage, Form::Paper),
        (Variant::Batch, Form::Paper),
        (Variant::Batch, Form::Google),
    ];
    for (variant, form) in variants {
        let settings = ContrastiveSettings { variant, form, pretrain_steps: 60, ..settings() };
        let (first, last) = losses(&pictures, &settings);
        assert!(last < 0.9 * first, "{variant:?} {form:?}: {first} {last}");
    }
    let sgd = ContrastiveSettings {
        optimiser: OptimiserKind::Sgd,
        pretrain_rate: 0.03,
        pretrain_steps: 60,
        ..settings()
    };
    let (first, last) = losses(&pictures, &sgd);
    assert!(last < 0.9 * first, "{first} {last}");
}

/// Class of each cell, none for void.
fn cells(labels: &LabelMap, grid: [usize; 2]) -> Vec<Option<usize>> {
    let labels = zsseg::train::labels_at(labels, grid).unwrap();
    let class = |label| match label {
        Label::Class(class) => Some(usize::from(class)),
        _ => None,
    };
    labels.iter().map(class).collect()
}

/// Share of the cells of some pictures whose nearest mean is that of their own class, where means
/// are of a few other pictures.
fn nearest_mean_accuracy(features: &dyn Features, means_of: &[usize], tested: &[usize]) -> f64 {
    let mut sums: BTreeMap<usize, (Vec<f32>, f32)> = BTreeMap::new();
    let read = |picture: usize| {
        let labels = cells(&features.pictures().labels(picture).unwrap(), features.grid());
        (features.rows(picture, 0).unwrap(), labels)
    };
    for &picture in means_of {
        let (rows, labels) = read(picture);
        for (row, class) in rows.rows().zip(labels) {
            let Some(class) = class else { continue };
            let sum = sums.entry(class).or_insert_with(|| (vec![0.0; features.channels()], 0.0));
            sum.0.iter_mut().zip(row).for_each(|(sum, value)| *sum += value);
            sum.1 += 1.0;
        }
    }
    let (mut right, mut all) = (0, 0);
    for &picture in tested {
        let (rows, labels) = read(picture);
        for (row, class) in rows.rows().zip(labels) {
            let Some(class) = class.filter(|class| sums.contains_key(class)) else { continue };
            let distance = |(sum, count): &(Vec<f32>, f32)| -> f32 {
                sum.iter().zip(row).map(|(sum, value)| (sum / count - value).powi(2)).sum()
            };
            let best = sums.iter().min_by(|a, b| distance(a.1).total_cmp(&distance(b.1)));
            right += usize::from(*best.unwrap().0 == class);
            all += 1;
        }
    }
    f64::from(u32::try_from(right).unwrap()) / f64::from(u32::try_from(all).unwrap())
}

#[test]
fn pretrained_features_separate_classes_better_than_random_ones() {
    let pictures = pictures(60, 2.0);
    let settings = ContrastiveSettings { pretrain_steps: 200, ..settings() };
    // Pictures whose number modulo 5 is below 3 show no unseen class.
    let accuracy = |steps: u64| {
        with_task(&pictures, |task| {
            let engine = engine();
            let method = ContrastiveTraining::new(&engine, task, settings.clone()).unwrap();
            let mut stage = method.begin(0, &[]).unwrap();
            (0..steps).for_each(|step| drop(stage.step(step).unwrap()));
            let state = stage.state().unwrap();
            let shape = settings.decoder.shape(pictures.taps()).unwrap();
            let decoder: DecoderTraining<Matrix<f32>> =
                DecoderTraining::load(&engine, "decoder", shape, &state).unwrap();
            let decoder = decoder.decoder(&engine).unwrap();
            // Other noise than that of the training.
            let others = TwoTaps::new(60, 2.0, &[View::PLAIN], 2);
            let decoded = Decoded::new(&others, &decoder, engine).unwrap();
            nearest_mean_accuracy(&decoded, &[0, 1, 2], &[5, 6, 7, 10, 11, 12, 15, 16, 17])
        })
    };
    let (random, pretrained) = (accuracy(0), accuracy(200));
    assert!(pretrained > random + 0.05, "{random} {pretrained}");
}

/// Share of the cells of pictures of seen classes that a model gets right.
fn accuracy(model: &Model, pictures: &dyn Pictures) -> f64 {
    let decoder = model.decoder.as_ref().unwrap();
    let decoded = Decoded::new(pictures, decoder, engine()).unwrap();
    let (mut right, mut all) = (0, 0);
    for picture in (0..pictures.len()).filter(|picture| picture % 5 < 3) {
        let rows = decoded.rows(picture, 0).unwrap();
        let labels = cells(&pictures.labels(picture).unwrap(), decoded.grid());
        for (row, class) in rows.rows().zip(labels) {
            let logit = |place: &usize| -> f32 {
                let weights = model.head.weights.row(*place).unwrap();
                let dot: f32 = weights.iter().zip(row).map(|(weight, value)| weight * value).sum();
                dot + model.head.bias.values()[*place]
            };
            let best = (0..model.classes.len()).max_by(|a, b| logit(a).total_cmp(&logit(b)));
            let Some(class) = class else { continue };
            right += usize::from(model.classes[best.unwrap()] == class);
            all += 1;
        }
    }
    f64::from(u32::try_from(right).unwrap()) / f64::from(u32::try_from(all).unwrap())
}

#[test]
fn the_model_knows_the_seen_classes() {
    let pictures = pictures(30, 0.5);
    for pretrain_steps in [0, 30] {
        let settings = ContrastiveSettings { pretrain_steps, finetune_steps: 80, ..settings() };
        let model = trained(&pictures, &settings);
        assert_eq!(
            (model.classes.as_slice(), model.seen.as_slice()),
            (&[0, 1, 2, 3][..], &[true; 4][..])
        );
        assert_eq!(model.head.weights.shape(), [4, 12]);
        let others = TwoTaps::new(20, 0.5, &[View::PLAIN], 2);
        let found = accuracy(&model, &others);
        assert!(found > 0.9, "{pretrain_steps} steps: {found}");
    }
}

/// The last state of every stage, and each stage put down and taken up again in the middle.
fn resumed(method: &ContrastiveTraining<'_, CpuEngine>) -> (Vec<State>, Vec<State>) {
    let (mut whole, mut broken) = (Vec::new(), Vec::new());
    for index in 0..method.stages().len() {
        let mut stage = method.begin(index, &whole).unwrap();
        (0..stage.steps()).for_each(|step| drop(stage.step(step).unwrap()));
        whole.push(stage.state().unwrap());
        let mut first = method.begin(index, &broken).unwrap();
        let half = first.steps() / 2;
        (0..half).for_each(|step| drop(first.step(step).unwrap()));
        let state = first.state().unwrap();
        let mut second = method.begin(index, &broken).unwrap();
        second.restore(&state).unwrap();
        (half..second.steps()).for_each(|step| drop(second.step(step).unwrap()));
        broken.push(second.state().unwrap());
    }
    (whole, broken)
}

#[test]
fn resuming_equals_not_stopping() {
    let pictures = pictures(20, 0.5);
    let pseudo =
        ContrastiveSettings { label_share: 0.5, pseudo_labels: true, threshold: 0.3, ..settings() };
    let batch = ContrastiveSettings { variant: Variant::Batch, ..settings() };
    let crossed = ContrastiveSettings { variant: Variant::CrossImage, ..settings() };
    for (settings, count) in [(pseudo, 4), (batch, 2), (crossed, 2)] {
        with_task(&pictures, |task| {
            let engine = engine();
            let method = ContrastiveTraining::new(&engine, task, settings.clone()).unwrap();
            let (whole, broken) = resumed(&method);
            assert_eq!(whole.len(), count);
            assert!(whole == broken, "{settings:?}");
            assert!(whole[0] != whole[1]);
            assert!(matches!(
                method.begin(0, &[]).unwrap().restore(&State::default()),
                Err(Error::Config { .. })
            ));
            assert!(matches!(method.begin(count, &whole), Err(Error::Config { .. })));
            assert!(matches!(method.begin(1, &[]), Err(Error::Config { .. })));
        });
    }
}

/// Pictures some of which have other labels.
struct Relabelled {
    inner: TwoTaps,
    changed: Vec<usize>,
}

impl Pictures for Relabelled {
    fn len(&self) -> usize {
        self.inner.len()
    }

    fn name(&self, picture: usize) -> &str {
        self.inner.name(picture)
    }

    fn frame(&self) -> [usize; 2] {
        self.inner.frame()
    }

    fn taps(&self) -> &[Tap] {
        self.inner.taps()
    }

    fn views(&self) -> &[View] {
        self.inner.views()
    }

    fn tap(&self, picture: usize, view: usize, tap: usize) -> Result<Matrix<f32>> {
        self.inner.tap(picture, view, tap)
    }

    fn labels(&self, picture: usize) -> Result<LabelMap> {
        let labels = self.inner.labels(picture)?;
        if !self.changed.contains(&picture) {
            return Ok(labels);
        }
        // Seen classes stay seen, and unseen ones unseen.
        Ok(labels.relabelled(CLASSES.len(), |class| {
            Label::Class(if class < 4 { 3 - class } else { class })
        })?)
    }
}

#[test]
fn hidden_labels_change_nothing() {
    let settings = ContrastiveSettings {
        label_share: 0.3,
        pseudo_labels: true,
        threshold: 0.3,
        pretrain_steps: 4,
        finetune_steps: 8,
        ..settings()
    };
    let labelled = with_task(&pictures(20, 0.5), |task| {
        let engine = engine();
        let method = ContrastiveTraining::new(&engine, task, settings.clone()).unwrap();
        assert_eq!(method.stages(), ["pretrain", "finetune", "pseudo-pretrain", "pseudo-finetune"]);
        method.labelled().to_vec()
    });
    // 0.3 of the 12 pictures without an unseen class.
    assert_eq!(labelled.len(), 4);
    let run = |changed: &[usize]| {
        let pictures = Relabelled { inner: pictures(20, 0.5), changed: changed.to_vec() };
        let model = trained(&pictures, &settings);
        (model.head.weights, model.decoder)
    };
    let hidden: Vec<usize> = (0..20).filter(|picture| !labelled.contains(picture)).collect();
    let plain = run(&[]);
    assert!(run(&hidden) == plain);
    assert!(run(&labelled[..1]) != plain);
}

#[test]
fn pseudo_labels_are_taken_where_they_are_likely() {
    let pictures = pictures(20, 0.5);
    let weights = |threshold: f64| {
        let settings = ContrastiveSettings {
            label_share: 0.3,
            pseudo_labels: true,
            threshold,
            pretrain_steps: 0,
            ..settings()
        };
        trained(&pictures, &settings).head.weights
    };
    // No probability is above 1: pictures without labels add nothing but empty steps.
    assert!(weights(1.0) != weights(0.3));
}

#[test]
fn settings_out_of_range_are_refused() {
    let good = settings();
    good.check().unwrap();
    for wrong in [
        ContrastiveSettings { temperature: 0.0, ..good.clone() },
        ContrastiveSettings { temperature: f64::NAN, ..good.clone() },
        ContrastiveSettings { projection_channels: 0, ..good.clone() },
        ContrastiveSettings { projection_layers: 9, ..good.clone() },
        ContrastiveSettings { loss_side: 0, ..good.clone() },
        ContrastiveSettings { batch_pixels: 1, ..good.clone() },
        ContrastiveSettings { pictures: 0, ..good.clone() },
        ContrastiveSettings { finetune_steps: 0, ..good.clone() },
        ContrastiveSettings { pretrain_steps: 1 << 40, ..good.clone() },
        ContrastiveSettings { pretrain_rate: -1.0, ..good.clone() },
        ContrastiveSettings { finetune_rate: f64::INFINITY, ..good.clone() },
        ContrastiveSettings { momentum: 1.0, ..good.clone() },
        ContrastiveSettings { weight_decay: 2.0, ..good.clone() },
        ContrastiveSettings { upsample: 0, ..good.clone() },
        ContrastiveSettings { label_share: 0.0, ..good.clone() },
        ContrastiveSettings { label_share: 1.1, ..good.clone() },
        ContrastiveSettings { threshold: 1.1, ..good.clone() },
        ContrastiveSettings { background_threshold: -0.1, ..good.clone() },
        ContrastiveSettings { pseudo_labels: true, ..good.clone() },
        ContrastiveSettings { variant: Variant::CrossImage, form: Form::Google, ..good.clone() },
        ContrastiveSettings { variant: Variant::CrossImage, pictures: 1, ..good.clone() },
    ] {
        assert!(matches!(wrong.check(), Err(Error::Config { .. })), "{wrong:?}");
    }
}

#[test]
fn presets_are_the_defaults_and_the_paper() {
    let default: ContrastiveSettings =
        toml::from_str(include_str!("../../src/train/presets/contrastive.toml")).unwrap();
    assert_eq!(default, ContrastiveSettings::default());
    let paper: ContrastiveSettings =
        toml::from_str(include_str!("../../src/train/presets/contrastive-paper.toml")).unwrap();
    paper.check().unwrap();
    assert_eq!((paper.pretrain_rate, paper.finetune_rate), (0.1, 0.007));
    assert_eq!((paper.optimiser, paper.temperature), (OptimiserKind::Sgd, 0.07));
    assert!(toml::from_str::<ContrastiveSettings>("rate = 1").is_err());
}
