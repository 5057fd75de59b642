//! What is to be learnt: which classes are seen, what they are called, and from which pictures.

use super::data::{EmbeddingTable, Label, LabelMap, Role, Roles};
use super::error::{Error, Result};
use super::pictures::{Features, labels_at};
use serde::{Deserialize, Serialize};
use std::format;
use std::vec::Vec;

/// Label of a row that takes no part in a loss.
pub const IGNORED: i32 = -1;

/// What is to be learnt.
///
/// Classes have the numbers of the data set everywhere. Labels of unseen classes never reach a
/// method: [`Task::labels`] hides them.
#[derive(Clone)]
pub struct Task<'a> {
    /// Which classes are seen and which unseen.
    pub roles: &'a Roles,
    /// One row per class of the data set, in its order. Rows of classes outside are not read.
    pub embeddings: &'a EmbeddingTable,
    /// Features and labels of the training pictures.
    pub features: &'a dyn Features,
    /// Number of every random choice.
    pub seed: u64,
    /// Pictures that may be used at all, ascending.
    pictures: Vec<usize>,
    /// Those of them whose labels are learnt from, ascending.
    inductive: Vec<usize>,
    /// Those of them that show a pixel of an unseen class, ascending.
    dropped: Vec<usize>,
    setting: LabelSetting,
}

/// What becomes of training pictures that show an unseen class (methods.md 1.1).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum LabelSetting {
    /// Nothing is learnt from their labels: ZS3's setting.
    #[default]
    ZeroShot,
    /// They stay, and their pixels of unseen classes are unlabelled: SPNet's and STRICT's. For
    /// data sets where nearly every picture shows nearly every class.
    ZeroLabel,
}

impl<'a> Task<'a> {
    /// A task in the zero-shot setting. Reads the labels of every picture once.
    ///
    /// # Errors
    /// [`Error::Config`] unless there are a seen class, a picture to learn from, and as many
    /// embeddings as classes; those of reading labels.
    pub fn new(
        roles: &'a Roles,
        embeddings: &'a EmbeddingTable,
        features: &'a dyn Features,
        seed: u64,
    ) -> Result<Task<'a>> {
        Task::with_setting(roles, embeddings, features, seed, LabelSetting::ZeroShot)
    }

    /// A task in either setting; otherwise as [`Task::new`].
    ///
    /// # Errors
    /// As [`Task::new`].
    pub fn with_setting(
        roles: &'a Roles,
        embeddings: &'a EmbeddingTable,
        features: &'a dyn Features,
        seed: u64,
        setting: LabelSetting,
    ) -> Result<Task<'a>> {
        let classes = roles.as_slice().len();
        if embeddings.len() != classes {
            let reason = format!("{} embeddings for {classes} classes", embeddings.len());
            return Err(Error::config(reason));
        }
        if roles.places(Role::Seen).is_empty() {
            return Err(Error::config("no class is seen"));
        }
        let pictures = features.pictures();
        let (mut inductive, mut dropped) = (Vec::new(), Vec::new());
        for picture in 0..pictures.len() {
            let shows_unseen = roles.shows_unseen(&pictures.labels(picture)?);
            if shows_unseen {
                dropped.push(picture);
            }
            if !shows_unseen || setting == LabelSetting::ZeroLabel {
                inductive.push(picture);
            }
        }
        if inductive.is_empty() {
            let reason = format!(
                "each of the {} pictures shows an unseen class: no picture is left to learn from; \
                 in the setting \"zero-label\" they stay",
                pictures.len()
            );
            return Err(Error::config(reason));
        }
        let pictures = (0..pictures.len()).collect();
        Ok(Task { roles, embeddings, features, seed, pictures, inductive, dropped, setting })
    }

    /// The same with some of its pictures only, such as those of a shard. Pictures that this task
    /// does not use stay unused.
    ///
    /// # Errors
    /// [`Error::Config`] if none of them is without a pixel of an unseen class.
    pub fn with_pictures(&self, pictures: &[usize]) -> Result<Task<'a>> {
        let mut task = self.clone();
        task.pictures.retain(|picture| pictures.contains(picture));
        task.inductive.retain(|picture| pictures.contains(picture));
        task.dropped.retain(|picture| pictures.contains(picture));
        if task.inductive.is_empty() {
            return Err(Error::config("no picture without an unseen class is left"));
        }
        Ok(task)
    }

    /// Numbers of the seen classes, ascending.
    pub fn seen(&self) -> Vec<usize> {
        self.roles.places(Role::Seen)
    }

    /// Numbers of the unseen classes, ascending.
    pub fn unseen(&self) -> Vec<usize> {
        self.roles.places(Role::Unseen)
    }

    /// Number of classes of the data set.
    pub fn class_count(&self) -> usize {
        self.roles.as_slice().len()
    }

    /// Pictures that may be used at all, ascending: what transductive methods go through.
    pub fn pictures(&self) -> &[usize] {
        &self.pictures
    }

    /// What becomes of pictures that show an unseen class.
    pub fn setting(&self) -> LabelSetting {
        self.setting
    }

    /// Pictures that show a pixel of an unseen class, ascending: where self-training finds its
    /// pseudo-labels.
    pub fn dropped(&self) -> &[usize] {
        &self.dropped
    }

    /// Pictures whose labels are learnt from, ascending: in the zero-shot setting those that show
    /// no pixel of an unseen class, in the zero-label setting all.
    pub fn inductive(&self) -> &[usize] {
        &self.inductive
    }

    /// What the training may know of a picture, in its frame: pixels of unseen classes are
    /// unlabelled.
    ///
    /// # Errors
    /// Those of reading labels.
    pub fn frame_labels(&self, picture: usize) -> Result<LabelMap> {
        Ok(self.roles.for_training(&self.features.pictures().labels(picture)?)?)
    }

    /// What the training may know of a picture, at the grid of the features.
    ///
    /// # Errors
    /// Those of reading labels.
    pub fn labels(&self, picture: usize) -> Result<LabelMap> {
        labels_at(&self.frame_labels(picture)?, self.features.grid())
    }
}

/// Labels as losses take them: the class's number, or [`IGNORED`] for unlabelled and void.
pub fn targets(labels: &LabelMap) -> Vec<i32> {
    let target = |label| match label {
        Label::Class(class) => i32::from(class),
        Label::Unlabelled | Label::Void => IGNORED,
    };
    labels.iter().map(target).collect()
}
