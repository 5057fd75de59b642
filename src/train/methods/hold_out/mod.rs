//! Choosing gamma (methods.md 1.11) without a look at the unseen classes: seen ones play them.

mod leads;
mod plan;

use self::leads::Looker;
use self::plan::{Plan, sample, shown_classes};
use super::linear_model::{Calibration, ScoreSpace};
use crate::metrics::Confusion;
use crate::train::data::{Role, Roles};
use crate::train::engine::CpuEngine;
use crate::train::error::{Error, Result};
use crate::train::model::Model;
use crate::train::task::Task;
use serde::{Deserialize, Serialize};
use std::string::String;
use std::vec;
use std::vec::Vec;

/// What is carried from the folds over to the model.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Carry {
    /// The share of seen cells that are lost: gamma is the value at which the model gives as many
    /// of the cells of seen classes in its training pictures to unseen ones as the models of the
    /// folds do in theirs. A model that knows more classes, or guesses more of them, has scores on
    /// another scale than those of the folds; the share does not depend on it. For a model
    /// without unseen classes the value is carried.
    #[default]
    Share,
    /// The value of gamma itself.
    Value,
}

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
    /// What is carried over from the folds. Default the share.
    pub carry: Carry,
}

impl Default for HoldOut {
    fn default() -> HoldOut {
        HoldOut {
            space: ScoreSpace::Probabilities,
            gammas: (0..20u8).map(|step| f32::from(step) / 20.0).collect(),
            measured_every: 4,
            transductive: false,
            carry: Carry::Share,
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
    /// Mean over the folds of the share of cells of seen classes, in pictures that were trained
    /// on, that an unseen class takes: 0 to 1.
    pub lost: f64,
}

/// What the folds say.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Choice {
    /// The handicap for the model.
    pub calibration: Calibration,
    /// The gamma with the highest mean in the folds, the smallest of equal ones.
    pub best: f32,
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

/// Chooses gamma for `model`, which `train` made of `task`. In each fold its classes, which must be
/// seen ones, play the unseen ones: `train` gets a task without the pictures that show them (and
/// never one that shows a truly unseen class), and its model is measured on pictures that it did
/// not learn from. Seen classes that no training picture is left of sit the fold out.
///
/// Costs a training per fold.
///
/// # Errors
/// [`Error::Config`] for settings out of their range, without a fold, and for a fold of other than
/// seen classes or none that is measured; those of `train`.
pub fn choose_gamma(
    engine: &CpuEngine,
    task: &Task<'_>,
    settings: &HoldOut,
    folds: &[Vec<usize>],
    model: &Model,
    train: &dyn Fn(&Task<'_>) -> Result<Model>,
) -> Result<Choice> {
    settings.check()?;
    if folds.is_empty() {
        return Err(Error::config("choosing gamma needs a fold"));
    }
    let mut gammas = settings.gammas.clone();
    gammas.sort_unstable_by(f32::total_cmp);
    let shown = shown_classes(task)?;
    let blank = |&gamma: &f32| Score { gamma, folds: Vec::new(), harmonic: 0.0, lost: 0.0 };
    let mut scores: Vec<Score> = gammas.iter().map(blank).collect();
    for fold in folds {
        let plan = Plan::new(task, settings, fold, &shown)?;
        let roles = &plan.roles;
        let (table, features) = (task.embeddings, task.features);
        let fold_task = Task::with_setting(roles, table, features, task.seed, task.setting())?;
        let model = train(&fold_task.with_pictures(&plan.trained)?)?;
        let looker = Looker::new(engine, task, &model, settings.space)?;
        let mut confusions = vec![Confusion::new(task.class_count()); gammas.len()];
        for &measured in &plan.measured {
            looker.count(measured, roles, &gammas, &mut confusions)?;
        }
        let margins = margins(&looker, roles, &plan.trained, settings, task.seed)?;
        for (score, confusion) in scores.iter_mut().zip(&confusions) {
            score.folds.push(plan.scores(confusion)?);
            score.lost += lost(&margins, score.gamma) / folds.len() as f64;
        }
    }
    for score in &mut scores {
        score.harmonic = score.folds.iter().map(|fold| fold[2]).sum::<f64>() / folds.len() as f64;
    }
    let (best, share) = best(&scores);
    let has_unseen = model.seen.contains(&false);
    let gamma = match settings.carry {
        Carry::Share if has_unseen => {
            let looker = Looker::new(engine, task, model, settings.space)?;
            let all = task.inductive();
            let margins = margins(&looker, task.roles, all, settings, task.seed)?;
            value_of(&margins, share, &gammas)
        }
        Carry::Share | Carry::Value => best,
    };
    Ok(Choice { calibration: Calibration { space: settings.space, gamma }, best, scores })
}

/// The gamma with the highest mean, and the share of seen cells that it loses.
fn best(scores: &[Score]) -> (f32, f64) {
    let mut best: Option<&Score> = None;
    for score in scores {
        if best.is_none_or(|best| score.harmonic > best.harmonic) {
            best = Some(score);
        }
    }
    best.map_or((0.0, 0.0), |score| (score.gamma, score.lost))
}

/// By how much seen classes lead in the cells of seen classes of some pictures, ascending.
fn margins(
    looker: &Looker<'_>,
    roles: &Roles,
    pictures: &[usize],
    settings: &HoldOut,
    seed: u64,
) -> Result<Vec<f64>> {
    let seen = roles.places(Role::Seen);
    let mut margins = Vec::new();
    for picture in sample(pictures, settings.measured_every, seed) {
        let (leads, truth) = looker.look(picture, roles)?;
        let of_seen =
            leads.iter().zip(&truth).filter(|(_, truth)| seen.contains(&(**truth as usize)));
        margins.extend(of_seen.map(|(lead, _)| lead.margin()));
    }
    margins.sort_unstable_by(f64::total_cmp);
    Ok(margins)
}

/// The share of cells that unseen classes take.
fn lost(margins: &[f64], gamma: f32) -> f64 {
    let count = margins.partition_point(|margin| *margin < f64::from(gamma));
    count as f64 / margins.len().max(1) as f64
}

/// The gamma that loses this share, between the least and the greatest of `gammas`.
fn value_of(margins: &[f64], share: f64, gammas: &[f32]) -> f32 {
    let place = libm::round(share * margins.len() as f64) as usize;
    let margin = margins.get(place).or(margins.last()).copied().unwrap_or(0.0);
    let (least, most) = (gammas.first().copied(), gammas.last().copied());
    (margin as f32).max(least.unwrap_or(0.0)).min(most.unwrap_or(0.0))
}
