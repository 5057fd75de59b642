//! The stage that trains the generator (methods.md 2.5).

use super::Zs3;
use super::prepared::{Prepared, Purpose, draw_at, pick, place, shares};
use super::settings::GeneratorSampling;
use crate::train::engine::{Draw, Engine, Kernel, Matrix, Mmd, MmdGroup, Repeated};
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

/// Losses and their gradients.
pub(in crate::train::methods) struct Step<T, V> {
    /// A loss for each class.
    pub losses: V,
    pub gradients: GeneratorGradients<T>,
}

/// What a discrepancy compares.
#[derive(Clone, Copy)]
pub(in crate::train::methods) struct Compared<'b> {
    /// Real features, those of a class together.
    pub real: &'b Matrix<f32>,
    /// Classes and the numbers of their real features and of those to be generated.
    pub classes: &'b [(usize, usize, usize)],
    /// Weights of the real features.
    pub weights: Option<&'b [f32]>,
}

/// Real features of random seen classes, and the draw of what they are compared with.
pub(in crate::train::methods) struct Seen {
    real: Matrix<f32>,
    classes: Vec<(usize, usize, usize)>,
    pub draw: Draw,
}

impl Seen {
    /// To be compared.
    pub(in crate::train::methods) fn compared(&self) -> Compared<'_> {
        Compared { real: &self.real, classes: &self.classes, weights: None }
    }
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
        compared: &Compared<'_>,
        draw: Draw,
    ) -> Result<Step<E::Tensor, E::Values>> {
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
        let real = engine.upload(compared.real.shape(), compared.real.values())?;
        let found = engine.mmd(&features, &real, &settings)?;
        let gradients = self.generator.gradients(engine, &trace, &found.gradient, draw, None)?;
        Ok(Step { losses: found.values, gradients })
    }

    /// Steps the generator by discrepancies. Their sum.
    fn learn(&mut self, compared: &Compared<'_>, draw: Draw) -> Result<f64> {
        let engine = self.zs3.engine;
        let of_class = |&(_, reals, fakes): &(usize, usize, usize)| [reals, fakes];
        let sizes: Vec<usize> = compared.classes.iter().flat_map(of_class).collect();
        let what = Repeated { name: "step of a generator", sizes: &sizes };
        let losses = engine.repeated(&what, || -> Result<_> {
            let found = self.compare(compared, draw)?;
            self.apply(&found.gradients)?;
            Ok(found.losses)
        })?;
        self.sum(&losses)
    }

    /// The sum of losses.
    pub(in crate::train::methods) fn sum(&self, losses: &E::Values) -> Result<f64> {
        Ok(self.zs3.engine.read(losses)?.iter().sum())
    }

    /// Random seen classes, and real features of them.
    pub(in crate::train::methods) fn seen(&self, step: u64) -> Result<Seen> {
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
        Ok(Seen { real, classes, draw: self.draw(step, Purpose::Noise)? })
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
        let task = self.zs3.task;
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
            let classes = [(class as usize, batch, batch)];
            // A picture's classes share the step's number: the seed tells their noise apart.
            let draw = self.draw(step, Purpose::Noise)?;
            let draw = Draw { seed: draw.seed ^ ((class as u64 + 1) << 32), ..draw };
            let compared = Compared { real: &real, classes: &classes, weights: None };
            loss += self.learn(&compared, draw)?;
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
                let seen = self.seen(step)?;
                let loss = finite(self.learn(&seen.compared(), seen.draw)?, LOSS, step)?;
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
