//! By how much the best seen class of a cell leads the best unseen one.

use super::ScoreSpace;
use crate::metrics::Confusion;
use crate::train::data::{Label, Roles};
use crate::train::engine::CpuEngine;
use crate::train::error::Result;
use crate::train::model::Model;
use crate::train::pictures::{Features, labels_at};
use crate::train::task::Task;
use std::boxed::Box;
use std::vec::Vec;

/// The best seen and the best unseen class of a cell, each with its score.
pub(super) struct Lead {
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

    /// The handicap from which on the unseen class wins.
    pub fn margin(&self) -> f64 {
        self.seen.0 - self.unseen.0
    }
}

/// A model and the features that its head works on.
pub(super) struct Looker<'a> {
    engine: &'a CpuEngine,
    model: &'a Model,
    features: Box<dyn Features + 'a>,
    space: ScoreSpace,
}

impl<'a> Looker<'a> {
    pub fn new(
        engine: &'a CpuEngine,
        task: &'a Task<'_>,
        model: &'a Model,
        space: ScoreSpace,
    ) -> Result<Looker<'a>> {
        let features = model.features_from(task.features, *engine)?;
        Ok(Looker { engine, model, features, space })
    }

    /// Leads and true classes of the cells of a picture; no class is [`u32::MAX`].
    pub fn look(&self, picture: usize, roles: &Roles) -> Result<(Vec<Lead>, Vec<u32>)> {
        let labels = self.features.pictures().labels(picture)?;
        let labels = labels_at(&roles.for_evaluation(&labels)?, self.features.grid())?;
        let truth = labels.iter().map(|label| match label {
            Label::Class(class) => class.into(),
            Label::Unlabelled | Label::Void => u32::MAX,
        });
        let rows = self.features.rows(picture, 0)?;
        let logits = self.model.head.logits(self.engine, &rows)?;
        Ok((logits.rows().map(|logits| self.lead(logits)).collect(), truth.collect()))
    }

    /// Adds the cells of a picture to the counts by gamma, so many times.
    pub fn count(
        &self,
        (picture, times): (usize, u64),
        roles: &Roles,
        gammas: &[f32],
        confusions: &mut [Confusion],
    ) -> Result<()> {
        let (leads, truth) = self.look(picture, roles)?;
        for (confusion, &gamma) in confusions.iter_mut().zip(gammas) {
            let pairs = leads.iter().zip(&truth).filter(|(_, truth)| **truth != u32::MAX);
            for (lead, &truth) in pairs {
                confusion.add_count(truth as usize, lead.class(gamma) as usize, times);
            }
        }
        Ok(())
    }

    fn lead(&self, logits: &[f32]) -> Lead {
        let values = logits.iter().map(|&logit| f64::from(logit));
        let most = values.clone().fold(f64::NEG_INFINITY, f64::max);
        let sum: f64 = values.clone().map(|value| libm::exp(value - most)).sum();
        let score = |value: f64| match self.space {
            ScoreSpace::Logits => value,
            ScoreSpace::Probabilities => libm::exp(value - most) / sum,
        };
        let mut lead = Lead { seen: (f64::NEG_INFINITY, 0), unseen: (f64::NEG_INFINITY, 0) };
        let Model { classes, seen, .. } = self.model;
        for ((value, &class), &seen) in values.zip(classes).zip(seen) {
            let best = if seen { &mut lead.seen } else { &mut lead.unseen };
            if score(value) > best.0 {
                *best = (score(value), class as u32);
            }
        }
        lead
    }
}
