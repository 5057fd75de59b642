//! Contrastive pre-training of the decoder.

use super::pairing::{Couple, step_loss};
use super::projection::{Projection, ProjectionPass};
use super::sampler::{Sampler, Sight};
use super::sum::Sum;
use crate::train::engine::{Draw, Engine, Labelled, Normalised, Resize, cosine_rate};
use crate::train::error::{Error, Result};
use crate::train::layers::decoder::{DecoderTraining, Pass, ScaledTaps};
use crate::train::stage::{Report, Stage, State};
use std::vec;
use std::vec::Vec;

/// Random numbers of the projection's weights.
const PROJECTION_STREAM: u32 = 0x0c7_0000;

/// Trains decoder and projection by the contrastive loss.
pub(super) struct Pretraining<'a, E: Engine<f32>> {
    sampler: Sampler<'a, E>,
    decoder: DecoderTraining<E::Tensor>,
    projection: Projection<E::Tensor>,
    /// Rows and columns of the loss.
    grid: [usize; 2],
}

/// A view of a picture on its way through decoder and projection.
pub(super) struct Shown<T> {
    taps: ScaledTaps<T>,
    pass: Pass<T>,
    projected: ProjectionPass<T>,
    /// What the loss compares.
    pub(super) rows: Normalised<T>,
    /// Class of each row.
    pub(super) targets: Vec<i32>,
}

/// All views of a step, and which belong together.
type AllShown<T> = (Vec<Shown<T>>, Vec<Couple>);

impl<T> Shown<T> {
    pub(super) fn labelled(&self) -> Labelled<'_, T> {
        Labelled { rows: &self.rows.rows, labels: &self.targets }
    }
}

impl<'a, E: Engine<f32>> Pretraining<'a, E> {
    pub(super) fn new(
        sampler: Sampler<'a, E>,
        decoder: DecoderTraining<E::Tensor>,
    ) -> Result<Pretraining<'a, E>> {
        let settings = sampler.settings;
        let shape = [settings.projection_layers, settings.projection_channels];
        let draw = Draw { seed: sampler.task.seed, step: 0, stream: PROJECTION_STREAM };
        let projection = Projection::new(sampler.engine, decoder.shape().channels(), shape, draw)?;
        let grid = decoder.shape().grid.map(|side| side.min(settings.loss_side));
        Ok(Pretraining { sampler, decoder, projection, grid })
    }

    /// How projected features come to the grid of the loss; none if they have it.
    fn resize(&self) -> Option<Resize> {
        let (from, to) = (self.decoder.shape().grid, self.grid);
        (from != to).then_some(Resize { pictures: 1, from, to, align_corners: true })
    }

    fn show(&self, sight: &Sight, taps: ScaledTaps<E::Tensor>) -> Result<Shown<E::Tensor>> {
        let engine = self.sampler.engine;
        let pass = self.decoder.forward(engine, &taps)?;
        let (mut features, projected) = self.projection.forward(engine, pass.features())?;
        if let Some(resize) = self.resize() {
            features = engine.resize(&features, &resize)?;
        }
        let rows = engine.normalise(&features)?;
        let targets = self.sampler.targets(sight, self.grid)?;
        Ok(Shown { taps, pass, projected, rows, targets })
    }

    /// Sends all views of a step through decoder and projection.
    fn show_all(&self, sights: &[Sight]) -> Result<AllShown<E::Tensor>> {
        let (mut views, mut couples) = (Vec::new(), Vec::new());
        for sight in sights {
            let first = views.len();
            views.push((sight, sight.view));
            views.extend(sight.recoloured.map(|view| (sight, view)));
            couples.push([first, views.len() - 1]);
        }
        let places: Vec<_> = views.iter().map(|(sight, view)| [sight.picture, *view]).collect();
        let mut shown = Vec::with_capacity(views.len());
        let mut views = views.into_iter();
        let engine = self.sampler.engine;
        self.decoder.stream(engine, self.sampler.store(), &places, |taps| {
            let Some((sight, _)) = views.next() else { return Ok(()) };
            shown.push(self.show(sight, taps)?);
            Ok(())
        })?;
        Ok((shown, couples))
    }

    /// Goes back from the loss to all parameters, and steps them.
    fn descend(
        &mut self,
        shown: &[Shown<E::Tensor>],
        gradients: Vec<Option<E::Tensor>>,
        rate: f64,
    ) -> Result<()> {
        let engine = self.sampler.engine;
        let (mut by_decoder, mut by_projection) = (Sum::new(), Sum::new());
        for (shown, gradient) in shown.iter().zip(gradients) {
            let Some(gradient) = gradient else { continue };
            let mut dy = engine.normalise_backward(&shown.rows, &gradient)?;
            if let Some(resize) = self.resize() {
                dy = engine.resize_backward(&dy, &resize)?;
            }
            let (by, dy) = self.projection.backward(engine, &shown.projected, dy)?;
            by_projection.add_linear(engine, by)?;
            let by = self.decoder.backward(engine, &shown.taps, &shown.pass, &dy)?;
            by_decoder.add_layers(engine, by)?;
        }
        let optimiser = self.sampler.settings.optimiser(rate);
        if let (Some(decoder), Some(projection)) = (by_decoder.get(), by_projection.get()) {
            self.decoder.step(engine, decoder, &optimiser)?;
            self.projection.step(engine, projection, &optimiser)?;
        }
        Ok(())
    }
}

impl<E: Engine<f32>> Stage for Pretraining<'_, E> {
    fn steps(&self) -> u64 {
        self.sampler.settings.pretrain_steps
    }

    fn step(&mut self, step: u64) -> Result<Report> {
        let sights = self.sampler.batch(step);
        let (shown, couples) = self.show_all(&sights)?;
        let loss = step_loss(&self.sampler, &shown, &couples, step)?;
        if !loss.value.is_finite() {
            return Err(Error::NotFinite { loss: "contrastive", step });
        }
        let rate = cosine_rate(self.sampler.settings.pretrain_rate, step, self.steps());
        self.descend(&shown, loss.gradients, rate)?;
        Ok(vec![("contrastive", loss.value), ("rate", rate)])
    }

    fn state(&self) -> Result<State> {
        let mut state = State::default();
        self.decoder.save(self.sampler.engine, "decoder", &mut state)?;
        self.projection.save(self.sampler.engine, &mut state)?;
        Ok(state)
    }

    fn restore(&mut self, state: &State) -> Result<()> {
        let engine = self.sampler.engine;
        let shape = self.decoder.shape().clone();
        let decoder = DecoderTraining::load(engine, "decoder", shape, state)?;
        self.projection = self.projection.loaded(engine, state)?;
        self.decoder = decoder;
        Ok(())
    }
}
