//! Settings of contrastive pre-training and fine-tuning.

use crate::train::engine::{Contrastive, Denominator};
use crate::train::error::{Error, Result};
use crate::train::layers::{DecoderSettings, Optimiser};
use crate::train::methods::OptimiserKind;
use serde::{Deserialize, Serialize};
use std::borrow::ToOwned;
use std::format;
use std::string::String;

/// Which pixels are compared with which.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Variant {
    /// Those of one picture (methods.md 5.2).
    WithinImage,
    /// Those of one picture, and positive pairs of another picture of the batch (5.3).
    CrossImage,
    /// Random ones of the whole batch in one bag (5.4).
    Batch,
}

/// What a positive pair stands against.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Form {
    /// All keys; a view's pixels are compared with those of the view in other colours.
    Paper,
    /// That pair and the negative ones; each view's pixels are compared with themselves, and the
    /// losses of both views are added (the published code).
    Google,
}

/// Settings of contrastive pre-training and fine-tuning (methods.md 5).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ContrastiveSettings {
    /// What is trained between the taps and the classifier.
    pub decoder: DecoderSettings,
    /// Which pixels are compared.
    pub variant: Variant,
    /// What a positive pair stands against. `google` goes with `within_image` and `batch`.
    pub form: Form,
    /// Divides cosines; finite and above 0. The paper's is 0.07.
    pub temperature: f64,
    /// Channels of each layer of the projection head: 1 to 4,096. The paper's are 256.
    pub projection_channels: usize,
    /// Layers of the projection head: 1 to 8. The paper's are 3, the published code's 2.
    pub projection_layers: usize,
    /// Longest side of the grid of the loss, in cells: 1 to 1,024. The paper's is 65.
    pub loss_side: usize,
    /// Pixels of a bag of the batch variant: 2 to 1,000,000. The paper's are 10,000.
    pub batch_pixels: usize,
    /// Pictures of a step: 1 to 1,024; at least 2 across images. The paper's are 16 on each of 8
    /// machines.
    pub pictures: usize,
    /// Steps of pre-training; 0 trains with cross-entropy only. The paper's are 300,000.
    pub pretrain_steps: u64,
    /// Learning rate at the start of pre-training, which falls as a cosine to 0. The paper's is
    /// 0.1, with SGD.
    pub pretrain_rate: f64,
    /// Steps of fine-tuning, at least 1. The paper's are 300,000, or 50,000 with few labels.
    pub finetune_steps: u64,
    /// Learning rate at the start of fine-tuning, which falls as a cosine to 0. The paper's is
    /// 0.007, and 0.03 without pre-training, with SGD.
    pub finetune_rate: f64,
    /// How parameters are stepped. The paper's is SGD.
    pub optimiser: OptimiserKind,
    /// Momentum of SGD: 0 to below 1. The paper's is 0.9.
    pub momentum: f64,
    /// Weight decay of SGD: 0 to 1. The paper's is 4e-5.
    pub weight_decay: f64,
    /// Logits are enlarged that many times before the cross-entropy: 1 to 16. The paper's is 4.
    pub upsample: usize,
    /// Whether views without changed colours beside the plain one (flips, windows) are used.
    pub augment: bool,
    /// Share of the pictures whose labels are used: above 0 to 1. At least one is.
    pub label_share: f64,
    /// Whether pictures without labels are labelled by the trained model, and all is trained
    /// again (methods.md 5.7). Needs a `label_share` below 1.
    pub pseudo_labels: bool,
    /// Least probability of a pseudo-label: 0 to 1. The paper's is 0.8.
    pub threshold: f64,
    /// Least probability of a pseudo-label of the class `background`: 0 to 1. The paper's is 0.97.
    pub background_threshold: f64,
    /// Name of that class; a name that no class has is no error.
    pub background: String,
}

impl Default for ContrastiveSettings {
    fn default() -> ContrastiveSettings {
        ContrastiveSettings {
            decoder: DecoderSettings::default(),
            variant: Variant::WithinImage,
            form: Form::Paper,
            temperature: 0.07,
            projection_channels: 256,
            projection_layers: 3,
            loss_side: 65,
            batch_pixels: 10_000,
            pictures: 4,
            pretrain_steps: 300,
            pretrain_rate: 1e-3,
            finetune_steps: 4000,
            finetune_rate: 1e-3,
            optimiser: OptimiserKind::Adam,
            momentum: 0.9,
            weight_decay: 4e-5,
            upsample: 4,
            augment: true,
            label_share: 1.0,
            pseudo_labels: false,
            threshold: 0.8,
            background_threshold: 0.97,
            background: "background".to_owned(),
        }
    }
}

impl ContrastiveSettings {
    /// An error unless every setting is in its range.
    ///
    /// # Errors
    /// [`Error::Config`] naming the first setting that is not.
    pub fn check(&self) -> Result<()> {
        whole("projection_channels", self.projection_channels, 1, 4096)?;
        whole("projection_layers", self.projection_layers, 1, 8)?;
        whole("loss_side", self.loss_side, 1, 1024)?;
        whole("batch_pixels", self.batch_pixels, 2, 1_000_000)?;
        whole("pictures", self.pictures, 1, 1024)?;
        whole("upsample", self.upsample, 1, 16)?;
        let counts = [
            ("pretrain_steps", self.pretrain_steps, 0),
            ("finetune_steps", self.finetune_steps, 1),
        ];
        for (name, steps, least) in counts {
            if steps < least || steps > u64::from(u32::MAX) {
                return Err(Error::config(format!(
                    "{name} is {steps}, must be {least} to 2^32 - 1"
                )));
            }
        }
        let zero_to_one = 0.0..=1.0;
        ratio("threshold", self.threshold, zero_to_one.contains(&self.threshold))?;
        let background = self.background_threshold;
        ratio("background_threshold", background, zero_to_one.contains(&background))?;
        ratio("weight_decay", self.weight_decay, zero_to_one.contains(&self.weight_decay))?;
        ratio("momentum", self.momentum, (0.0..1.0).contains(&self.momentum))?;
        let share = self.label_share;
        ratio("label_share", share, share > 0.0 && share <= 1.0)?;
        let positives = [
            ("temperature", self.temperature),
            ("pretrain_rate", self.pretrain_rate),
            ("finetune_rate", self.finetune_rate),
        ];
        for (name, value) in positives {
            ratio(name, value, value.is_finite() && value > 0.0)?;
        }
        self.check_together()
    }

    fn check_together(&self) -> Result<()> {
        if self.variant == Variant::CrossImage && self.form == Form::Google {
            return Err(Error::config(
                "form = \"google\" does not go with variant = \"cross_image\"",
            ));
        }
        if self.variant == Variant::CrossImage && self.pictures < 2 {
            return Err(Error::config("variant = \"cross_image\" needs pictures of at least 2"));
        }
        if self.pseudo_labels && self.label_share >= 1.0 {
            return Err(Error::config("pseudo_labels needs a label_share below 1"));
        }
        Ok(())
    }

    /// Settings of the loss.
    pub(super) fn loss(&self) -> Contrastive {
        let denominator = match self.form {
            Form::Paper => Denominator::AllKeys,
            Form::Google => Denominator::PositiveAndNegatives,
        };
        Contrastive { temperature: self.temperature, denominator, without_self: false }
    }

    /// How parameters are stepped at a learning rate.
    pub(super) fn optimiser(&self, rate: f64) -> Optimiser {
        self.optimiser.at(rate, self.momentum, self.weight_decay)
    }
}

fn whole(name: &str, value: usize, least: usize, most: usize) -> Result<()> {
    if (least..=most).contains(&value) {
        return Ok(());
    }
    Err(Error::config(format!("{name} is {value}, must be {least} to {most}")))
}

fn ratio(name: &str, value: f64, fits: bool) -> Result<()> {
    if fits { Ok(()) } else { Err(Error::config(format!("{name} is {value}, out of its range"))) }
}
