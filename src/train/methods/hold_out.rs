//! Choosing gamma (methods.md 1.11) without a look at the unseen classes: seen ones play them.

use super::linear_model::{Calibration, ScoreSpace};
use super::shuffle::shuffled;
use crate::metrics::{Absent, Confusion, harmonic_mean};
use crate::train::data::{Label, LabelMap, Role, Roles};
use crate::train::engine::{Engine, Matrix, Product};
use crate::train::error::{Error, Result};
use crate::train::model::{HeadForm, Model};
use crate::train::pictures::labels_at;
use crate::train::task::{LabelSetting, Task};
use serde::{Deserialize, Serialize};
use std::format;
use std::string::String;
use std::vec;
use std::vec::Vec;

/// Stream of random numbers that chooses pictures for measuring.
const MEASURED: u32 = 0x5f32;

/// How gamma is chosen.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct HoldOut {
    /// What gamma is taken from. Default probabilities.
    pub space: ScoreSpace,
    /// The values to choose from, at least one, each in its range for `space`. Default 0 to 0.95
    /// in steps of 0.05.
    pub gammas: Vec<f32>,
    /// Of so many pictures one, chosen at random, is for measuring only: 2 or more. Default 4.
    pub measured_every: usize,
    /// Whether the method also learns from the unlabelled pixels of pictures with unseen classes.
    /// If so, pictures with pixels of the classes of a fold are used for training too, those
    /// pixels unlabelled, and only those for measuring are measured. If not, all that show a class
    /// of the fold are measured. In the zero-label setting it is always so. Default no.
    pub transductive: bool,
}

impl Default for HoldOut {
    fn default() -> HoldOut {
        HoldOut {
            space: ScoreSpace::Probabilities,
            gammas: (0..20u8).map(|step| f32::from(step) / 20.0).collect(),
            measured_every: 4,
            transductive: false,
        }
    }
}

impl HoldOut {
    /// Checks the ranges stated at the fields.
    ///
    /// # Errors
    /// [`Error::Config`] naming the field.
    pub fn check(&self) -> Result<()> {
        if self.gammas.is_empty() {
            return Err(Error::config("gammas needs a value"));
        }
        if self.measured_every < 2 {
            return Err(Error::config("measured_every must be at least 2"));
        }
        for &gamma in &self.gammas {
            Calibration { space: self.space, gamma }.decision()?;
        }
        Ok(())
    }
}

/// What a gamma gives.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Score {
    /// The value.
    pub gamma: f32,
    /// Of each fold mean IoU of its seen classes, that of the classes that played the unseen ones,
    /// and the harmonic mean of both; 0 to 1, per cell of the features' grid.
    pub folds: Vec<[f64; 3]>,
    /// Mean over the folds of the harmonic means.
    pub harmonic: f64,
}

/// The gamma with the highest mean, the smallest of equal ones.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Choice {
    /// It.
    pub calibration: Calibration,
    /// All values, ascending.
    pub scores: Vec<Score>,
}

/// Folds of two seen classes each, at most `most`, for [`choose_gamma`]: the classes in the order
/// of the number of training pictures that show them, each with the one half the list further on,
/// so that every fold has a common class and a rare one. The classes named in `without`, such as
/// `background`, are in none.
///
/// # Errors
/// Those of reading labels.
pub fn default_folds(task: &Task<'_>, most: usize, without: &[String]) -> Result<Vec<Vec<usize>>> {
    let shown = shown_classes(task)?;
    let names = task.embeddings.names();
    let mut classes = Vec::new();
    for class in task.seen() {
        let count = shown.iter().filter(|shown| shown.grid.contains(&class)).count();
        let left_out = names.get(class).is_some_and(|name| without.contains(name));
        if count > 0 && !left_out {
            classes.push((usize::MAX - count, class));
        }
    }
    classes.sort_unstable();
    let half = classes.len() / 2;
    let pairs = classes.iter().zip(classes.iter().skip(half));
    let folds = pairs.take(half.min(most)).map(|(common, rare)| vec![common.1, rare.1]);
    Ok(folds.collect())
}

/// Chooses gamma for a method. In each fold its classes, which must be seen ones, play the unseen
/// ones: `train` gets a task without the pictures that show them (and never one that shows a
/// truly unseen class), and its model is measured on pictures that it did not learn from. Seen
/// classes that no training picture is left of sit the fold out.
///
/// Costs a training per fold. Models with a decoder or an alignment cannot be measured here.
///
/// # Errors
/// [`Error::Config`] for settings out of their range, without a fold, for a fold of other than
/// seen classes or none that is measured, and for a model with a decoder or an alignment; those of `train`.
pub fn choose_gamma<E: Engine<f32>>(
    engine: &E,
    task: &Task<'_>,
    settings: &HoldOut,
    folds: &[Vec<usize>],
    train: &dyn Fn(&Task<'_>) -> Result<Model>,
) -> Result<Choice> {
    settings.check()?;
    if folds.is_empty() {
        return Err(Error::config("choosing gamma needs a fold"));
    }
    let mut gammas = settings.gammas.clone();
    gammas.sort_unstable_by(f32::total_cmp);
    let shown = shown_classes(task)?;
    let blank = |&gamma: &f32| Score { gamma, folds: Vec::new(), harmonic: 0.0 };
    let mut scores: Vec<Score> = gammas.iter().map(blank).collect();
    for fold in folds {
        let plan = Plan::new(task, settings, fold, &shown)?;
        let (table, features) = (task.embeddings, task.features);
        let setting = task.setting();
        let fold_task = Task::with_setting(&plan.roles, table, features, task.seed, setting)?;
        let model = train(&fold_task.with_pictures(&plan.trained)?)?;
        let confusions = measure(engine, task, &plan, &model, settings.space, &gammas)?;
        for (score, confusion) in scores.iter_mut().zip(&confusions) {
            score.folds.push(plan.scores(confusion)?);
        }
    }
    let mut best: Option<(f64, f32)> = None;
    for score in &mut scores {
        score.harmonic = score.folds.iter().map(|fold| fold[2]).sum::<f64>() / folds.len() as f64;
        if best.is_none_or(|(harmonic, _)| score.harmonic > harmonic) {
            best = Some((score.harmonic, score.gamma));
        }
    }
    let gamma = best.map_or(0.0, |(_, gamma)| gamma);
    Ok(Choice { calibration: Calibration { space: settings.space, gamma }, scores })
}

/// A picture without unseen classes, and the classes that it shows.
struct Shown {
    picture: usize,
    /// In its frame.
    frame: Vec<usize>,
    /// In the cells of the features.
    grid: Vec<usize>,
}

fn shown_classes(task: &Task<'_>) -> Result<Vec<Shown>> {
    let classes = |labels: LabelMap| {
        let counts = labels.histogram().classes;
        let found = counts.iter().enumerate().filter(|(_, count)| **count > 0);
        found.map(|(class, _)| class).collect()
    };
    let mut shown = Vec::with_capacity(task.inductive().len());
    for &picture in task.inductive() {
        let labels = task.frame_labels(picture)?;
        let grid = classes(labels_at(&labels, task.features.grid())?);
        shown.push(Shown { picture, frame: classes(labels), grid });
    }
    Ok(shown)
}

/// Who plays what in a fold.
struct Plan {
    roles: Roles,
    trained: Vec<usize>,
    measured: Vec<usize>,
}

impl Plan {
    fn new(task: &Task<'_>, settings: &HoldOut, fold: &[usize], shown: &[Shown]) -> Result<Plan> {
        let mut roles = task.roles.as_slice().to_vec();
        for role in &mut roles {
            *role = if *role == Role::Unseen { Role::HeldOut } else { *role };
        }
        for &class in fold {
            match roles.get_mut(class) {
                Some(role) if *role == Role::Seen => *role = Role::Unseen,
                _ => {
                    let reason = format!("class {class} of a fold is not seen, or is there twice");
                    return Err(Error::config(reason));
                }
            }
        }
        let only_measured = shuffled(task.inductive(), task.seed, MEASURED);
        let count = only_measured.len() / settings.measured_every;
        let only_measured = only_measured.get(..count).unwrap_or_default();
        let keeps = settings.transductive || task.setting() == LabelSetting::ZeroLabel;
        let (mut trained, mut measured) = (Vec::new(), Vec::new());
        let mut learnt = vec![false; roles.len()];
        for shown in shown {
            let shows_fold = shown.frame.iter().any(|class| fold.contains(class));
            let is_measured = only_measured.contains(&shown.picture);
            if is_measured || (shows_fold && !keeps) {
                measured.push(shown.picture);
                continue;
            }
            trained.push(shown.picture);
            let is_learnt = !shows_fold || task.setting() == LabelSetting::ZeroLabel;
            for &class in shown.grid.iter().filter(|_| is_learnt) {
                learnt.iter_mut().skip(class).take(1).for_each(|found| *found = true);
            }
        }
        for (role, learnt) in roles.iter_mut().zip(learnt) {
            *role = if *role == Role::Seen && !learnt { Role::Outside } else { *role };
        }
        let roles = Roles::from_roles(roles)?;
        Ok(Plan { roles, trained, measured })
    }

    fn scores(&self, confusion: &Confusion) -> Result<[f64; 3]> {
        let mean = |role| confusion.mean_iou_of(self.roles.places(role), Absent::Skip);
        let missing = || Error::config("no measured picture shows a class of a fold");
        let seen = mean(Role::Seen).ok_or_else(missing)?;
        let unseen = mean(Role::Unseen).ok_or_else(missing)?;
        Ok([seen, unseen, harmonic_mean(seen, unseen)])
    }
}

/// Counts by gamma.
fn measure<E: Engine<f32>>(
    engine: &E,
    task: &Task<'_>,
    plan: &Plan,
    model: &Model,
    space: ScoreSpace,
    gammas: &[f32],
) -> Result<Vec<Confusion>> {
    if model.decoder.is_some() || model.alignment.is_some() {
        let reason = "gamma cannot be chosen for a head with layers of its own before it";
        return Err(Error::config(reason));
    }
    let mut confusions = vec![Confusion::new(task.class_count()); gammas.len()];
    for &picture in &plan.measured {
        let labels = task.features.pictures().labels(picture)?;
        let labels = plan.roles.for_evaluation(&labels)?;
        let labels = labels_at(&labels, task.features.grid())?;
        let truth: Vec<u32> = labels
            .iter()
            .map(|label| match label {
                Label::Class(class) => class.into(),
                Label::Unlabelled | Label::Void => u32::MAX,
            })
            .collect();
        let leads = leads(engine, model, &task.features.rows(picture, 0)?, space)?;
        for (confusion, &gamma) in confusions.iter_mut().zip(gammas) {
            let found: Vec<u32> = leads.iter().map(|lead| lead.class(gamma)).collect();
            confusion.add(&truth, &found)?;
        }
    }
    Ok(confusions)
}

/// The best seen and the best unseen class of a cell, each with its score.
struct Lead {
    seen: (f64, u32),
    unseen: (f64, u32),
}

impl Lead {
    /// The winner with this handicap; of equal scores the class of the smaller number.
    fn class(&self, gamma: f32) -> u32 {
        let seen = self.seen.0 - f64::from(gamma);
        match seen.total_cmp(&self.unseen.0) {
            core::cmp::Ordering::Greater => self.seen.1,
            core::cmp::Ordering::Less => self.unseen.1,
            core::cmp::Ordering::Equal => self.seen.1.min(self.unseen.1),
        }
    }
}

fn leads<E: Engine<f32>>(
    engine: &E,
    model: &Model,
    rows: &Matrix<f32>,
    space: ScoreSpace,
) -> Result<Vec<Lead>> {
    let upload = |matrix: &Matrix<f32>| engine.upload(matrix.shape(), matrix.values());
    let (mut x, mut scale) = (upload(rows)?, 1.0);
    let (mut weights, bias) = (upload(&model.head.weights)?, upload(&model.head.bias)?);
    if let HeadForm::Cosine { scale: factor } = model.head.form {
        x = engine.normalise(&x)?.rows;
        weights = engine.normalise(&weights)?.rows;
        scale = f64::from(factor);
    }
    let logits = engine.product(Product::Nt, &x, &weights, Some(&bias))?;
    let logits = engine.download(&logits)?;
    let lead = |logits: &[f32]| {
        let values = logits.iter().map(|&logit| f64::from(logit) * scale);
        let most = values.clone().fold(f64::NEG_INFINITY, f64::max);
        let sum: f64 = values.clone().map(|value| libm::exp(value - most)).sum();
        let score = |value: f64| match space {
            ScoreSpace::Logits => value,
            ScoreSpace::Probabilities => libm::exp(value - most) / sum,
        };
        let mut lead = Lead { seen: (f64::NEG_INFINITY, 0), unseen: (f64::NEG_INFINITY, 0) };
        for ((value, &class), &seen) in values.zip(&model.classes).zip(&model.seen) {
            let best = if seen { &mut lead.seen } else { &mut lead.unseen };
            if score(value) > best.0 {
                *best = (score(value), class as u32);
            }
        }
        lead
    };
    Ok(logits.chunks(model.classes.len().max(1)).map(lead).collect())
}
