//! The stage that trains the generator (methods.md 2.5).

use super::Zs3;
use super::prepared::{Prepared, Purpose, draw_at, pick, place, shares};
use super::settings::GeneratorSampling;
use crate::train::engine::{Draw, Engine, Kernel, Mmd, MmdGroup};
use crate::train::error::{Error, Result};
use crate::train::layers::{Generator, GeneratorGradients};
use crate::train::stage::{Report, Stage, State};
use crate::train::task::targets;
use std::vec;
use std::vec::Vec;

/// Name of the generator in a state.
pub(in crate::train::methods) const GENERATOR: &str = "generator";

/// Trains the generator on features of seen classes.
pub(in crate::train::methods) struct GeneratorStage<'s, 'a, E: Engine<f32>> {
    pub zs3: &'s Zs3<'a, E>,
    pub prepared: &'s Prepared,
    pub kernel: Kernel,
    pub generator: Generator<E::Tensor>,
    /// Number of the stage, for its random numbers.
    pub stage: u32,
}

/// A loss and its gradients.
pub(in crate::train::methods) struct Step<T> {
    pub loss: f64,
    pub gradients: GeneratorGradients<T>,
}

/// What a discrepancy compares.
pub(in crate::train::methods) struct Compared<'b, T> {
    /// Real features, those of a class together.
    pub real: &'b T,
    /// Classes and the numbers of their real features and of those to be generated.
    pub classes: &'b [(usize, usize, usize)],
    /// Weights of the real features.
    pub weights: Option<&'b [f32]>,
}

impl<'s, 'a, E: Engine<f32>> GeneratorStage<'s, 'a, E> {
    /// The stage, before its first step or taking over a trained generator.
    pub(in crate::train::methods) fn new(
        zs3: &'s Zs3<'a, E>,
        stage: u32,
        before: Option<&State>,
    ) -> Result<GeneratorStage<'s, 'a, E>> {
        let prepared = zs3.prepared()?;
        let form = zs3.generator_form();
        let generator = match before {
            Some(state) => Generator::load(zs3.engine, GENERATOR, form, state)?,
            None => {
                let draw = draw_at(zs3.task.seed, stage, 0, Purpose::Weights)?;
                Generator::new(zs3.engine, form, draw)?
            }
        };
        let kernel = zs3.settings.kernel_for(form.channels)?;
        Ok(GeneratorStage { zs3, prepared, kernel, generator, stage })
    }

    fn draw(&self, step: u64, purpose: Purpose) -> Result<Draw> {
        draw_at(self.zs3.task.seed, self.stage, step, purpose)
    }

    /// Sum of the discrepancies of some classes.
    pub(in crate::train::methods) fn compare(
        &self,
        compared: &Compared<'_, E::Tensor>,
        draw: Draw,
    ) -> Result<Step<E::Tensor>> {
        let engine = self.zs3.engine;
        let mut groups = Vec::new();
        let (mut generated, mut real) = (0, 0);
        let mut wanted = Vec::new();
        for &(class, reals, fakes) in compared.classes {
            let group =
                MmdGroup { generated: generated..generated + fakes, real: real..real + reals };
            (generated, real) = (group.generated.end, group.real.end);
            groups.push(group);
            wanted.extend(vec![class; fakes]);
        }
        let embeddings = pick(&self.prepared.embeddings, wanted.into_iter())?;
        let trace = self.generator.generate(engine, &embeddings, draw, None)?;
        // Residuals are added: the derivative by what the generator made is that by the sum.
        let features = self.zs3.noisy(&trace.output, draw)?;
        let settings =
            Mmd { kernel: &self.kernel, groups: &groups, real_weights: compared.weights };
        let found = engine.mmd(&features, compared.real, &settings)?;
        let gradients = self.generator.gradients(engine, &trace, &found.gradient, draw, None)?;
        Ok(Step { loss: found.values.iter().sum(), gradients })
    }

    /// Discrepancies of random seen classes.
    pub(in crate::train::methods) fn seen(&self, step: u64) -> Result<Step<E::Tensor>> {
        let settings = &self.zs3.settings.generator;
        let seen = self.zs3.task.seen();
        let choices = shares(self.draw(step, Purpose::Classes)?, settings.classes_per_step);
        let numbers = settings.classes_per_step * settings.batch;
        let numbers = shares(self.draw(step, Purpose::Cells)?, numbers);
        let (mut classes, mut cells) = (Vec::new(), Vec::new());
        for (choice, shares) in choices.iter().zip(numbers.chunks(settings.batch)) {
            let class = seen.get(place(*choice, seen.len())).copied().unwrap_or_default();
            cells.extend(self.prepared.cells_of(class, shares));
            classes.push((class, settings.batch, settings.batch));
        }
        let real = pick(&self.prepared.bag.rows, cells.into_iter())?;
        let real = self.zs3.engine.upload(real.shape(), real.values())?;
        let compared = Compared { real: &real, classes: &classes, weights: None };
        self.compare(&compared, self.draw(step, Purpose::Noise)?)
    }

    /// Steps the generator.
    pub(in crate::train::methods) fn apply(
        &mut self,
        gradients: &GeneratorGradients<E::Tensor>,
    ) -> Result<()> {
        let adam = self.zs3.settings.generator.adam();
        self.generator.step(self.zs3.engine, gradients, adam)
    }

    /// A step per class of a random picture (the published code).
    fn picture(&mut self, step: u64) -> Result<f64> {
        let (task, engine) = (self.zs3.task, self.zs3.engine);
        let batch = self.zs3.settings.generator.batch;
        let picture = self.zs3.picture_at(self.draw(step, Purpose::Pictures)?);
        let rows = self.prepared.rows(task, picture)?;
        let labels = targets(&task.labels(picture)?);
        let mut present: Vec<i32> = labels.iter().copied().filter(|label| *label >= 0).collect();
        present.sort_unstable();
        present.dedup();
        let numbers = shares(self.draw(step, Purpose::Cells)?, batch * present.len());
        let mut loss = 0.0;
        for (&class, shares) in present.iter().zip(numbers.chunks(batch)) {
            let all = labels.iter().zip(0usize..).filter(|(label, _)| **label == class);
            let all: Vec<usize> = all.map(|(_, cell)| cell).collect();
            let chosen = shares.iter().filter_map(|share| all.get(place(*share, all.len())));
            let real = pick(&rows, chosen.copied())?;
            let real = engine.upload(real.shape(), real.values())?;
            let classes = [(class as usize, batch, batch)];
            // A picture's classes share the step's number: the seed tells their noise apart.
            let draw = self.draw(step, Purpose::Noise)?;
            let draw = Draw { seed: draw.seed ^ ((class as u64 + 1) << 32), ..draw };
            let compared = Compared { real: &real, classes: &classes, weights: None };
            let found = self.compare(&compared, draw)?;
            loss += found.loss;
            self.apply(&found.gradients)?;
        }
        Ok(loss / present.len().max(1) as f64)
    }
}

/// An error for a loss that is no finite number.
pub(in crate::train::methods) fn finite(loss: f64, name: &'static str, step: u64) -> Result<f64> {
    if loss.is_finite() { Ok(loss) } else { Err(Error::NotFinite { loss: name, step }) }
}

impl<E: Engine<f32>> Stage for GeneratorStage<'_, '_, E> {
    fn steps(&self) -> u64 {
        self.zs3.settings.generator.steps
    }

    fn step(&mut self, step: u64) -> Result<Report> {
        const LOSS: &str = "mmd";
        let loss = match self.zs3.settings.generator.sampling {
            GeneratorSampling::Pictures => finite(self.picture(step)?, LOSS, step)?,
            GeneratorSampling::Bag => {
                let found = self.seen(step)?;
                let loss = finite(found.loss, LOSS, step)?;
                self.apply(&found.gradients)?;
                loss / self.zs3.settings.generator.classes_per_step as f64
            }
        };
        Ok(vec![(LOSS, loss)])
    }

    fn state(&self) -> Result<State> {
        let mut state = State::default();
        self.generator.save(self.zs3.engine, GENERATOR, &mut state)?;
        Ok(state)
    }

    fn restore(&mut self, state: &State) -> Result<()> {
        let form = *self.generator.form();
        self.generator = Generator::load(self.zs3.engine, GENERATOR, form, state)?;
        Ok(())
    }
}
