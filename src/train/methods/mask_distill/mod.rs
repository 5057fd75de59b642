//! MaskDistill: classes without labels (methods.md 7).
//!
//! Attention of a self-supervised vision transformer gives masks of objects; vectors of the masks
//! are clustered; masks with their clusters become one label map per picture; a linear head over
//! the frozen features learns these. Labels are never read, so all pictures take part, whatever
//! they show.
//!
//! The classes of the model are 0 for the background and 1 more than the cluster for the others,
//! not those of the data set: who evaluates it matches them first.

mod clustering;
mod clusters;
mod head;
mod masks;
mod merge;
mod objects;
mod settings;

pub use clusters::{KMeans, deviations, whiten};
pub use masks::{AttentionProposer, Descriptor, MaskProposer, MeanOfTap, Proposal};
pub use merge::{Found, merge};
pub use settings::{Attention, MaskDistillSettings, Overlap};

use crate::spec::Decision;
use crate::train::engine::{Engine, Matrix};
use crate::train::error::{Error, Result};
use crate::train::model::{Head, HeadForm, Model};
use crate::train::stage::{Method, Stage, State};
use crate::train::task::Task;
use clustering::Clustering;
use head::{Distillation, trained};
use objects::{Objects, Search};
use std::boxed::Box;
use std::format;
use std::string::{String, ToString};
use std::vec;
use std::vec::Vec;

/// MaskDistill on the pictures of a task. Of the task only features and seed are read.
pub struct MaskDistill<'a, E> {
    engine: &'a E,
    task: &'a Task<'a>,
    settings: MaskDistillSettings,
    proposer: Box<dyn MaskProposer + 'a>,
    descriptor: Box<dyn Descriptor + 'a>,
}

impl<'a, E: Engine<f32>> MaskDistill<'a, E> {
    /// The method, with masks from attention ([`AttentionProposer`]) and their mean features
    /// ([`MeanOfTap`]).
    ///
    /// # Errors
    /// [`Error::Config`] for settings out of range and taps that are not there.
    pub fn new(
        engine: &'a E,
        task: &'a Task<'a>,
        settings: MaskDistillSettings,
    ) -> Result<MaskDistill<'a, E>> {
        let proposer = Box::new(AttentionProposer::new(&settings));
        let descriptor = Box::new(MeanOfTap::new(&settings));
        let named = [&settings.class_query, &settings.class_key, &settings.descriptor];
        for name in named.into_iter().flatten() {
            masks::find_tap(task.features.pictures(), name)?;
        }
        if settings.class_query.is_none() {
            masks::find_tap(task.features.pictures(), &settings.queries)?;
        }
        MaskDistill::with(engine, task, settings, proposer, descriptor)
    }

    /// The method, with masks and descriptions of another making.
    ///
    /// # Errors
    /// [`Error::Config`] for settings out of range, and if the pictures lack what the search for
    /// masks needs.
    pub fn with(
        engine: &'a E,
        task: &'a Task<'a>,
        settings: MaskDistillSettings,
        proposer: Box<dyn MaskProposer + 'a>,
        descriptor: Box<dyn Descriptor + 'a>,
    ) -> Result<MaskDistill<'a, E>> {
        settings.check()?;
        proposer.grid(task.features.pictures())?;
        Ok(MaskDistill { engine, task, settings, proposer, descriptor })
    }
}

impl<E: Engine<f32>> Method for MaskDistill<'_, E> {
    fn stages(&self) -> Vec<String> {
        let mut stages = vec!["masks".to_string(), "clusters".to_string()];
        stages.extend((1..=self.settings.rounds).map(|round| format!("head{round}")));
        stages
    }

    fn begin<'s>(&'s self, stage: usize, done: &[State]) -> Result<Box<dyn Stage + 's>> {
        match (stage, done) {
            (0, _) => Ok(Box::new(Search::new(self)?)),
            (1, [first, ..]) => {
                let grid = self.proposer.grid(self.task.features.pictures())?;
                let objects = Objects::load(first, grid[0] * grid[1])?;
                Ok(Box::new(Clustering::new(self, &objects)?))
            }
            (2.., _) if stage < 2 + self.settings.rounds && done.len() == stage => {
                Ok(Box::new(Distillation::new(self, stage - 2, done)?))
            }
            _ => Err(Error::config(format!("MaskDistill has no stage {stage}"))),
        }
    }

    fn finish(&self, done: &[State]) -> Result<Model> {
        let [_, _, .., last] = done else {
            return Err(Error::config("MaskDistill's model comes after all of its stages"));
        };
        let (scaling, [weight, bias]) = trained(self, last)?;
        let (weights, bias) = scaling.folded(&weight, &bias)?;
        let classes: Vec<usize> = (0..=self.settings.clusters).collect();
        Ok(Model {
            seen: vec![true; classes.len()],
            classes,
            head: Head { form: HeadForm::Linear, weights, bias },
            decoder: None,
            alignment: None,
            decision: Decision::PLAIN,
            projection: None,
            generator: None,
            statistics: None::<[Matrix<f32>; 2]>,
        })
    }
}
