//! A trained decoder and classifier that label pictures without labels.

use super::settings::ContrastiveSettings;
use crate::train::data::{Label, LabelMap};
use crate::train::engine::{Engine, Resize};
use crate::train::error::{Error, Result};
use crate::train::layers::Linear;
use crate::train::layers::decoder::DecoderTraining;
use crate::train::pictures::Pictures;
use crate::train::task::Task;
use std::vec::Vec;

/// What labels pictures without labels (methods.md 5.7).
pub(super) struct Teacher<'a, E: Engine<f32>> {
    pub(super) engine: &'a E,
    pub(super) task: &'a Task<'a>,
    pub(super) settings: &'a ContrastiveSettings,
    pub(super) decoder: DecoderTraining<E::Tensor>,
    pub(super) classifier: Linear<E::Tensor>,
}

impl<E: Engine<f32>> Teacher<'_, E> {
    /// Labels of a picture at the enlarged grid: the likeliest class where it is likely enough,
    /// else void.
    pub(super) fn labels(&self, pictures: &dyn Pictures, picture: usize) -> Result<LabelMap> {
        let taps = self.decoder.read(self.engine, pictures, picture, 0)?;
        let features = self.decoder.forward(self.engine, &taps)?.into_features();
        let logits = self.classifier.forward(self.engine, &features)?;
        let from = self.decoder.shape().grid;
        let to = from.map(|side| side * self.settings.upsample);
        let resize = Resize { pictures: 1, from, to, align_corners: false };
        let logits = self.engine.resize(&logits, &resize)?;
        let values = self.engine.download(&logits)?;
        let seen = self.task.seen();
        let thresholds = self.thresholds(&seen);
        let labels: Vec<Label> = values
            .chunks_exact(seen.len().max(1))
            .map(|logits| likely(logits, &thresholds, &seen))
            .collect();
        let side = |side: usize| u32::try_from(side).map_err(|_| Error::config("a giant grid"));
        Ok(LabelMap::new(side(to[1])?, side(to[0])?, self.task.class_count(), &labels)?)
    }

    /// Least probability of each seen class.
    fn thresholds(&self, seen: &[usize]) -> Vec<f64> {
        let names = self.task.embeddings.names();
        let of = |class: &usize| match names.get(*class) {
            Some(name) if *name == self.settings.background => self.settings.background_threshold,
            _ => self.settings.threshold,
        };
        seen.iter().map(of).collect()
    }
}

/// The class with the largest logit, if its probability is above its threshold.
fn likely(logits: &[f32], thresholds: &[f64], seen: &[usize]) -> Label {
    let mut best = (f32::NEG_INFINITY, 0);
    for (place, &logit) in logits.iter().enumerate() {
        if logit > best.0 {
            best = (logit, place);
        }
    }
    let sum: f64 = logits.iter().map(|logit| libm::exp(f64::from(*logit - best.0))).sum();
    let (threshold, class) = (thresholds.get(best.1), seen.get(best.1));
    match (threshold, class.and_then(|class| u16::try_from(*class).ok())) {
        (Some(threshold), Some(class)) if 1.0 / sum > *threshold => Label::Class(class),
        _ => Label::Void,
    }
}
