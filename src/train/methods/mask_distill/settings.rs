//! Settings of MaskDistill.

use crate::spectral::{ObjectSettings, Scoring};
use crate::train::error::{Error, Result};
use serde::{Deserialize, Serialize};
use std::format;
use std::string::{String, ToString};

/// How the class token's attention is scored (methods.md 7.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Attention {
    /// Softmax of `q . k / sqrt(d)`.
    Softmax,
    /// `q . k`: the published code.
    Raw,
}

/// What happens where masks of a picture overlap (methods.md 7.4).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Overlap {
    /// The mask of the higher score is seen.
    PaintLowFirst,
    /// A mask that overlaps one of a higher score is left out: the paper.
    SkipIfOverlap,
    /// The published code: in falling order of scores, a mask is left out if anything has been
    /// painted in the first row (second row) while it has a cell outside (inside); others are
    /// painted over what is there.
    Repro,
}

/// Settings of MaskDistill (methods.md 7).
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct MaskDistillSettings {
    /// Tap with the queries of the last block, `[patches, heads * d]`; read only where there is no
    /// `class_query`.
    pub queries: String,
    /// Tap with its keys, of the same shape.
    pub keys: String,
    /// Tap of one cell with the class token's query. Without one the mean of the patches' queries
    /// stands for it.
    pub class_query: Option<String>,
    /// Tap of one cell with the class token's key. Without one the mean of the patches' keys
    /// stands for it.
    pub class_key: Option<String>,
    /// Tap whose mean over a mask describes it; the keys without one. Ours, in place of the class
    /// token of the crop (7.2).
    pub descriptor: Option<String>,
    /// Attention heads, which divide the channels evenly: 1 or more (7.1).
    pub heads: usize,
    /// Of these, how many give scores: 1 to `heads`.
    pub scoring_heads: usize,
    /// Share of the attention that the kept patches hold: 0 to 1.
    pub mass: f32,
    /// Share of the patches that may join the source: 0 to 1.
    pub candidates: f32,
    /// How attention is scored. [`Attention::Raw`] allows one object only.
    pub attention: Attention,
    /// Most objects of a picture: at least 1. The published step 1 finds one; the others stand in
    /// for Mask R-CNN (7.3).
    pub objects: usize,
    /// Least share of the patches for an object after the first: 0 to 1.
    pub least_area: f32,
    /// Number of clusters: 2 or more. The paper's is 20 for VOC (7.2).
    pub clusters: usize,
    /// Whether only the best mask of each picture is clustered; the others then get the nearest
    /// cluster.
    pub most_confident: bool,
    /// Rows of a step of k-means: at least 1. With no more rows than that every step takes all.
    pub cluster_batch: usize,
    /// Steps of k-means from each start: at least 1.
    pub cluster_steps: u64,
    /// Starts of k-means, of which the best counts: at least 1.
    pub cluster_starts: u64,
    /// Masks of a lower score are left out, but for the best of a picture: 0 to 1 (7.4).
    pub least_score: f32,
    /// What happens where masks overlap.
    pub overlap: Overlap,
    /// Whether features are brought to mean 0 and deviation 1 first. Ours.
    pub standardise: bool,
    /// Share of the cells, hardest first, that the loss counts: above 0 to 1 (7.5).
    pub hardest: f64,
    /// Passes over the pictures: at least 1; the paper's is 45.
    pub epochs: u64,
    /// From this epoch on the rate is a tenth; the paper's is 40.
    pub slow_epoch: u64,
    /// Pictures of a step: at least 1; the paper's is 16.
    pub batch: usize,
    /// Learning rate of stochastic gradient descent: above 0. The paper's is 0.002.
    pub rate: f64,
    /// Momentum: 0 to below 1.
    pub momentum: f64,
    /// Weight decay: 0 or more.
    pub weight_decay: f64,
    /// Trainings of the head: 1, or more, each after the first on the masks of the one before.
    pub rounds: usize,
}

impl Default for MaskDistillSettings {
    fn default() -> MaskDistillSettings {
        MaskDistillSettings {
            queries: "queries".to_string(),
            keys: "keys".to_string(),
            class_query: None,
            class_key: None,
            descriptor: None,
            heads: 6,
            scoring_heads: 5,
            mass: 0.5,
            candidates: 0.4,
            attention: Attention::Softmax,
            objects: 3,
            least_area: 0.01,
            clusters: 20,
            most_confident: true,
            cluster_batch: 1000,
            cluster_steps: 100,
            cluster_starts: 3,
            least_score: 0.9,
            overlap: Overlap::PaintLowFirst,
            standardise: true,
            hardest: 0.2,
            epochs: 45,
            slow_epoch: 40,
            batch: 16,
            rate: 0.01,
            momentum: 0.9,
            weight_decay: 1e-4,
            rounds: 1,
        }
    }
}

impl MaskDistillSettings {
    /// Checks the ranges stated at the fields.
    ///
    /// # Errors
    /// [`Error::Config`] naming the field.
    pub fn check(&self) -> Result<()> {
        let unit = 0.0..=1.0f32;
        let above = |value: f64| value.is_finite() && value > 0.0;
        let fields = [
            ("heads", self.heads > 0),
            ("scoring_heads", (1..=self.heads).contains(&self.scoring_heads)),
            ("mass", unit.contains(&self.mass)),
            ("candidates", unit.contains(&self.candidates)),
            ("objects", self.objects > 0),
            ("least_area", unit.contains(&self.least_area)),
            ("clusters", (2..60_000).contains(&self.clusters)),
            ("cluster_batch", self.cluster_batch > 0),
            ("cluster_steps", self.cluster_steps > 0),
            ("cluster_starts", self.cluster_starts > 0),
            ("least_score", unit.contains(&self.least_score)),
            ("hardest", above(self.hardest) && self.hardest <= 1.0),
            ("epochs", self.epochs > 0),
            ("batch", self.batch > 0),
            ("rate", above(self.rate)),
            ("momentum", (0.0..1.0).contains(&self.momentum)),
            ("weight_decay", self.weight_decay.is_finite() && self.weight_decay >= 0.0),
            ("rounds", self.rounds > 0),
        ];
        if let Some((name, _)) = fields.iter().find(|(_, fits)| !fits) {
            return Err(Error::config(format!("MaskDistill: {name} is out of range")));
        }
        if self.attention == Attention::Raw && self.objects > 1 {
            let reason = "MaskDistill: raw attention finds one object, so `objects` must be 1";
            return Err(Error::config(reason));
        }
        Ok(())
    }

    /// What the search for an object takes.
    pub(super) fn object(&self) -> ObjectSettings {
        ObjectSettings {
            heads: self.heads,
            scoring_heads: self.scoring_heads,
            mass: self.mass,
            candidates: self.candidates,
            scoring: match self.attention {
                Attention::Softmax => Scoring::Softmax,
                Attention::Raw => Scoring::Raw,
            },
        }
    }
}
