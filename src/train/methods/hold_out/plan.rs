//! Who plays what while a fold's classes play the unseen ones.

use super::HoldOut;
use crate::metrics::{Absent, Confusion, harmonic_mean};
use crate::train::data::{LabelMap, Role, Roles};
use crate::train::error::{Error, Result};
use crate::train::methods::shuffle::shuffled;
use crate::train::pictures::labels_at;
use crate::train::task::{LabelSetting, Task};
use std::format;
use std::vec;
use std::vec::Vec;

/// Stream of random numbers that chooses pictures for measuring.
const MEASURED: u32 = 0x5f32;

/// A picture without unseen classes, and the classes that it shows.
pub(super) struct Shown {
    picture: usize,
    /// In its frame.
    frame: Vec<usize>,
    /// In the cells of the features.
    pub grid: Vec<usize>,
}

pub(super) fn shown_classes(task: &Task<'_>) -> Result<Vec<Shown>> {
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

/// One picture of `every` of these, at random and at least one.
pub(super) fn sample(pictures: &[usize], every: usize, seed: u64) -> Vec<usize> {
    let mut sample = shuffled(pictures, seed, MEASURED);
    sample.truncate((pictures.len() / every.max(1)).max(1));
    sample.sort_unstable();
    sample
}

/// Who plays what in a fold.
pub(super) struct Plan {
    pub roles: Roles,
    pub trained: Vec<usize>,
    /// Pictures to measure on, and how often each counts. Those with a class of the fold may all
    /// be measured, of the others only a sample: that one counts more, so that classes are as
    /// common as they are among all pictures.
    pub measured: Vec<(usize, u64)>,
}

impl Plan {
    pub fn new(
        task: &Task<'_>,
        settings: &HoldOut,
        fold: &[usize],
        shown: &[Shown],
    ) -> Result<Plan> {
        let mut roles = roles_of(task, fold)?;
        let sample = sample(task.inductive(), settings.measured_every, task.seed);
        let is_zero_label = task.setting() == LabelSetting::ZeroLabel;
        let keeps = settings.transductive || is_zero_label;
        let every = u64::try_from(settings.measured_every).unwrap_or(u64::MAX);
        let (mut trained, mut measured) = (Vec::new(), Vec::new());
        let mut learnt = vec![false; roles.len()];
        for shown in shown {
            let shows_fold = shown.frame.iter().any(|class| fold.contains(class));
            if shows_fold && !keeps {
                measured.push((shown.picture, 1));
                continue;
            }
            if sample.binary_search(&shown.picture).is_ok() {
                measured.push((shown.picture, if keeps { 1 } else { every }));
                continue;
            }
            trained.push(shown.picture);
            let is_learnt = !shows_fold || is_zero_label;
            for &class in shown.grid.iter().filter(|_| is_learnt) {
                learnt.iter_mut().skip(class).take(1).for_each(|found| *found = true);
            }
        }
        for (role, learnt) in roles.iter_mut().zip(learnt) {
            *role = if *role == Role::Seen && !learnt { Role::Outside } else { *role };
        }
        Ok(Plan { roles: Roles::from_roles(roles)?, trained, measured })
    }

    /// Mean IoU of the seen classes, that of the fold's, and the harmonic mean.
    pub fn scores(&self, confusion: &Confusion) -> Result<[f64; 3]> {
        let mean = |role| confusion.mean_iou_of(self.roles.places(role), Absent::Skip);
        let missing = || Error::config("no measured picture shows a class of a fold");
        let seen = mean(Role::Seen).ok_or_else(missing)?;
        let unseen = mean(Role::Unseen).ok_or_else(missing)?;
        Ok([seen, unseen, harmonic_mean(seen, unseen)])
    }
}

/// The classes of the fold are unseen, truly unseen ones are held out.
fn roles_of(task: &Task<'_>, fold: &[usize]) -> Result<Vec<Role>> {
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
    Ok(roles)
}
