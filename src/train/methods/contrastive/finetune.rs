//! Fine-tuning of the decoder with a classifier.

use super::sampler::{Sampler, Sight};
use super::sum::Sum;
use crate::train::engine::{Draw, Engine, Resize, Targets, cosine_rate};
use crate::train::error::{Error, Result};
use crate::train::layers::decoder::{DecoderTraining, Layers, ScaledTaps};
use crate::train::layers::{Linear, LinearGradients};
use crate::train::stage::{Report, Stage, State};
use crate::train::task::IGNORED;
use std::vec;
use std::vec::Vec;

/// Random numbers of the classifier's weights.
const CLASSIFIER_STREAM: u32 = 0x0c8_0000;

/// Trains decoder and classifier by cross-entropy.
pub(super) struct FineTuning<'a, E: Engine<f32>> {
    sampler: Sampler<'a, E>,
    decoder: DecoderTraining<E::Tensor>,
    classifier: Linear<E::Tensor>,
}

/// What one picture adds to a step.
struct Part<T> {
    loss: f64,
    decoder: Layers<T>,
    classifier: LinearGradients<T>,
}

impl<'a, E: Engine<f32>> FineTuning<'a, E> {
    pub(super) fn new(
        sampler: Sampler<'a, E>,
        decoder: DecoderTraining<E::Tensor>,
    ) -> Result<FineTuning<'a, E>> {
        let shape = [sampler.class_count(), decoder.shape().channels()];
        let draw = Draw { seed: sampler.task.seed, step: 0, stream: CLASSIFIER_STREAM };
        let classifier = Linear::xavier(sampler.engine, shape, 0.0, draw)?;
        Ok(FineTuning { sampler, decoder, classifier })
    }

    /// How logits are enlarged.
    fn resize(&self) -> Resize {
        let from = self.decoder.shape().grid;
        let to = from.map(|side| side * self.sampler.settings.upsample);
        Resize { pictures: 1, from, to, align_corners: false }
    }

    /// A picture's loss and gradients, times `share`.
    fn part(
        &self,
        taps: &ScaledTaps<E::Tensor>,
        labels: &[i32],
        share: f32,
    ) -> Result<Part<E::Tensor>> {
        let engine = self.sampler.engine;
        let pass = self.decoder.forward(engine, taps)?;
        let logits = self.classifier.forward(engine, pass.features())?;
        let resize = self.resize();
        let large = engine.resize(&logits, &resize)?;
        let targets = Targets { labels, class_weights: None, row_weights: None };
        let loss = engine.cross_entropy(&large, &targets)?;
        let gradient = super::sum::scaled(engine, share, &loss.gradient)?;
        let dlogits = engine.resize_backward(&gradient, &resize)?;
        let classifier = self.classifier.gradients(engine, pass.features(), &dlogits)?;
        let dy = self.classifier.backward(engine, &dlogits)?;
        let decoder = self.decoder.backward(engine, taps, &pass, &dy)?;
        Ok(Part { loss: loss.value * f64::from(share), decoder, classifier })
    }
}

impl<E: Engine<f32>> Stage for FineTuning<'_, E> {
    fn steps(&self) -> u64 {
        self.sampler.settings.finetune_steps
    }

    fn step(&mut self, step: u64) -> Result<Report> {
        let engine = self.sampler.engine;
        let rate = cosine_rate(self.sampler.settings.finetune_rate, step, self.steps());
        let sights = self.sampler.batch(step);
        let grid = self.resize().to;
        let targets = |sight: &Sight| self.sampler.targets(sight, grid);
        let targets = sights.iter().map(targets).collect::<Result<Vec<_>>>()?;
        let count = |targets: &Vec<i32>| targets.iter().filter(|one| **one != IGNORED).count();
        let counts: Vec<usize> = targets.iter().map(count).collect();
        let total = counts.iter().sum::<usize>().max(1) as f32;
        let (mut by_decoder, mut by_classifier, mut value) = (Sum::new(), Sum::new(), 0.0);
        let labelled: Vec<_> = sights
            .iter()
            .zip(targets.iter().zip(counts))
            .filter(|(_, (_, count))| *count > 0)
            .collect();
        let places: Vec<_> =
            labelled.iter().map(|(sight, _)| [sight.picture, sight.view]).collect();
        let mut labelled = labelled.iter();
        self.decoder.stream(engine, self.sampler.store(), &places, |taps| {
            let Some((_, (labels, count))) = labelled.next() else { return Ok(()) };
            let part = self.part(&taps, labels, *count as f32 / total)?;
            value += part.loss;
            by_decoder.add_layers(engine, part.decoder)?;
            by_classifier.add_linear(engine, vec![part.classifier])
        })?;
        if !value.is_finite() {
            return Err(Error::NotFinite { loss: "cross_entropy", step });
        }
        let optimiser = self.sampler.settings.optimiser(rate);
        if let (Some(decoder), Some([classifier])) =
            (by_decoder.get(), by_classifier.get().map(Vec::as_slice))
        {
            self.decoder.step(engine, decoder, &optimiser)?;
            self.classifier.step(engine, classifier, &optimiser)?;
        }
        Ok(vec![("cross_entropy", value), ("rate", rate)])
    }

    fn state(&self) -> Result<State> {
        let mut state = State::default();
        self.decoder.save(self.sampler.engine, "decoder", &mut state)?;
        self.classifier.save(self.sampler.engine, "classifier", &mut state)?;
        Ok(state)
    }

    fn restore(&mut self, state: &State) -> Result<()> {
        let engine = self.sampler.engine;
        let shape = self.decoder.shape().clone();
        let decoder = DecoderTraining::load(engine, "decoder", shape, state)?;
        self.classifier = Linear::load(engine, "classifier", self.classifier.shape(), state)?;
        self.decoder = decoder;
        Ok(())
    }
}
