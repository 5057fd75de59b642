//! What is evaluated.

use crate::spec::Stacking;
use crate::train::data::LabelMap;
use crate::train::error::Result;
use serde::{Deserialize, Serialize};
use std::vec::Vec;

/// Label of a pixel that was given no class.
pub const NO_CLASS: u16 = u16::MAX;

/// Where the handicap of seen classes is taken from (methods.md 1.11).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize, clap::ValueEnum)]
#[serde(rename_all = "snake_case")]
pub enum Space {
    /// Their logits.
    Logits,
    /// Their probabilities, after a softmax over all classes (SPNet).
    Probabilities,
}

impl Space {
    /// A handicap in this space.
    pub fn stacking(self, gamma: f32) -> Stacking {
        match self {
            _ if gamma == 0.0 => Stacking::Off,
            Space::Logits => Stacking::Logits(gamma),
            Space::Probabilities => Stacking::Probabilities(gamma),
        }
    }
}

/// What was predicted of a picture, row by row.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Found {
    /// Number of each pixel's class in the data set, or [`NO_CLASS`].
    pub labels: Vec<u16>,
    /// Probability of that class, before a handicap, in units of 1/65,535.
    pub confidences: Vec<u16>,
}

/// Something that predicts the classes of pixels, picture after picture.
pub trait Predictor {
    /// Turns to a picture, and returns the truth at the size that predictions have. Nothing is
    /// hidden of it.
    ///
    /// # Errors
    /// Those of reading the picture and of the network; the other pictures are not concerned.
    fn look(&mut self, picture: usize) -> Result<LabelMap>;

    /// Predicts the picture that was looked at last: with a handicap, or as the model decides of
    /// itself. The network is not run again.
    ///
    /// # Errors
    /// [`crate::train::Error::Config`] before a picture was looked at, or for a handicap outside
    /// its range; those of the network.
    fn decide(&mut self, handicap: Option<Stacking>, found: &mut Found) -> Result<()>;
}
