//! Settings of SAZS.

use crate::train::error::{Error, Result};
use crate::train::methods::OptimiserKind;
use serde::{Deserialize, Serialize};
use std::format;
use std::path::PathBuf;
use std::string::String;

/// What the pixels of a picture are classified into (methods.md 6.5).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Episode {
    /// All seen classes.
    MultiClass,
    /// One class of the picture, drawn anew at each step, and "others": the published code.
    Pairs,
}

/// Which pixels are the boundary (methods.md 6.6).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum EdgeRule {
    /// Where two labels meet, 2 pixels wide to each side, then the maximum of a cell.
    Boundary,
    /// The published code: at most 2 pixels from the border of any class but the last, with an
    /// edge at the picture's sides; one pixel per cell.
    Distance,
}

/// What the edge logit is computed from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum EdgeInput {
    /// The aligned features, which the boundary then shapes: the paper.
    Aligned,
    /// The frozen features: the boundary shapes nothing but the edge head.
    Features,
}

/// How the shape of the edges is compared (methods.md 6.7).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum ShapeMode {
    /// Moments of tiles; needs no weights.
    Surrogate,
    /// InverseForm's network on `sigmoid(E)`; needs its weights.
    Sigmoid,
    /// The published code, whose term is a constant: it is left out.
    Dead,
}

/// Settings of SAZS (methods.md 6).
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct SazsSettings {
    /// Whether logits are cosines. Without it they are products, and the model is a linear head
    /// (6.4).
    pub normalize: bool,
    /// Factor of the logits: above 0. 100 for cosines, 1 for products (6.4).
    pub scale: f32,
    /// What pixels are classified into (6.5).
    pub episode: Episode,
    /// Name of the class of the data set whose embedding stands for "others"; needed for pairs.
    pub others: Option<String>,
    /// With pairs, whether void and unlabelled pixels are "others" too, as in the published code.
    pub others_take_all: bool,
    /// Whether pictures that show unseen classes are used; their unseen pixels are unlabelled.
    pub all_pictures: bool,
    /// Whether features are brought to mean 0 and deviation 1 first, which the model's numbers
    /// then contain. Ours; the published code trains the layers before, too.
    pub standardise: bool,
    /// Which pixels are the boundary (6.6).
    pub edge_rule: EdgeRule,
    /// For [`EdgeRule::Boundary`], how far labels are carried into void from its sides before
    /// they are compared, in pixels of the frame: 0 or more. VOC draws all borders as void, 5
    /// pixels wide.
    pub void_reach: usize,
    /// What the edge logit is computed from (6.2).
    pub edge_input: EdgeInput,
    /// Edge logits above this are looked at twice (6.7): finite; the paper's is 0.8.
    pub attention_threshold: f32,
    /// Weight of the loss of classes: 0 or more, as are the other three (6.7).
    pub segmentation_weight: f64,
    /// Weight of the loss of edges.
    pub edge_weight: f64,
    /// Weight of the loss of classes at edges.
    pub attention_weight: f64,
    /// Weight of the loss of shapes.
    pub shape_weight: f64,
    /// How shapes are compared (6.7).
    pub shape: ShapeMode,
    /// Rows and columns of tiles that the shape is compared in: at least 1 each (6.7).
    pub tiles: [usize; 2],
    /// For the surrogate, least number of edge cells of a tile: above 0. Ours is in cells of the
    /// grid; 6.7 has 8 pixels of 224 x 224.
    pub least_edge_cells: f64,
    /// For [`ShapeMode::Sigmoid`], a safetensors file with `w1`, `b1`, `w2`, `b2`, `w3`, `b3`.
    pub inverse_form: Option<PathBuf>,
    /// Passes over the pictures: at least 1; the paper's is 20 for a vision transformer (6.8).
    pub epochs: u64,
    /// Pictures of a step: at least 1; the paper's is 6.
    pub batch: usize,
    /// What changes the parameters.
    pub optimiser: OptimiserKind,
    /// Learning rate of the first epoch; it falls as `(1 - epoch / epochs)^0.9`. Above 0.
    pub rate: f64,
    /// Momentum of SGD: 0 to below 1.
    pub momentum: f64,
    /// Weight decay of SGD: 0 or more.
    pub weight_decay: f64,
}

impl Default for SazsSettings {
    fn default() -> SazsSettings {
        SazsSettings {
            normalize: true,
            scale: 100.0,
            episode: Episode::MultiClass,
            others: None,
            others_take_all: false,
            all_pictures: false,
            standardise: true,
            edge_rule: EdgeRule::Boundary,
            void_reach: 4,
            edge_input: EdgeInput::Aligned,
            attention_threshold: 0.8,
            segmentation_weight: 1.0,
            edge_weight: 0.3,
            attention_weight: 0.1,
            shape_weight: 0.3,
            shape: ShapeMode::Surrogate,
            tiles: [3, 6],
            least_edge_cells: 2.0,
            inverse_form: None,
            epochs: 20,
            batch: 6,
            optimiser: OptimiserKind::Adam,
            rate: 1e-3,
            momentum: 0.9,
            weight_decay: 1e-4,
        }
    }
}

impl SazsSettings {
    /// Checks the ranges stated at the fields.
    ///
    /// # Errors
    /// [`Error::Config`] naming the field.
    pub fn check(&self) -> Result<()> {
        let weight = |value: f64| value.is_finite() && value >= 0.0;
        let above = |value: f64| value.is_finite() && value > 0.0;
        let fields = [
            ("scale", above(self.scale.into())),
            ("attention_threshold", self.attention_threshold.is_finite()),
            ("segmentation_weight", weight(self.segmentation_weight)),
            ("edge_weight", weight(self.edge_weight)),
            ("attention_weight", weight(self.attention_weight)),
            ("shape_weight", weight(self.shape_weight)),
            ("tiles", !self.tiles.contains(&0)),
            ("least_edge_cells", above(self.least_edge_cells)),
            ("epochs", self.epochs > 0),
            ("batch", self.batch > 0),
            ("rate", above(self.rate)),
            ("momentum", (0.0..1.0).contains(&self.momentum)),
            ("weight_decay", weight(self.weight_decay)),
        ];
        if let Some((name, _)) = fields.iter().find(|(_, fits)| !fits) {
            return Err(Error::config(format!("SAZS: {name} is out of range")));
        }
        if self.episode == Episode::Pairs && self.others.is_none() {
            let reason = "SAZS: pairs need `others`, the name of the row that stands for others";
            return Err(Error::config(reason));
        }
        if self.shape == ShapeMode::Sigmoid && self.inverse_form.is_none() {
            let reason = "SAZS: `shape = \"sigmoid\"` needs `inverse_form`, a file of weights";
            return Err(Error::config(reason));
        }
        Ok(())
    }
}
