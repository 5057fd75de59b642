//! A classifier row for a class that no training picture showed, fitted on the device (methods.md
//! 2.4, 2.6, 2.10 and 9.1).
//!
//! The bundle brings ZS3Net's generator, which turns a class embedding and noise into features
//! such a class would have, and the mean and deviation of the old classes' features. [`Fitter`]
//! draws samples of both kinds and fits one row, weights and bias, that tells the generated ones
//! from the others. The old rows stay as they are. Minimised is the softmax cross-entropy over
//! the old logits and the new one, whose only unknowns are the new row's: logistic regression of
//! the new logit's lead over `log sum exp` of the old ones,
//!
//! ```text
//! sum over samples i of weight_i log(1 + exp(-+ lead_i)) + l2/2 sum over d of (deviation_d w_d)^2
//! ```
//!
//! where `deviation_d` is channel d's deviation over all old classes, so that the penalty does
//! not depend on the channels' units. All old classes weigh the same, the new one
//! [`Settings::weight`] times as much, together 1. The problem is convex; its solution is unique.
//!
//! All memory comes from the caller's arena, all work is bounded, equal embeddings give equal
//! rows, and every processor gives the same bits.
//!
//! # Memory
//! In bytes, for N samples, D channels, noise Z, hidden layer H, each buffer rounded up to 64:
//!
//! | what | bytes |
//! |---|---|
//! | samples | 2 N D |
//! | their leads | 8 N |
//! | generator | 64 Z + 68 H |
//! | scales and search | 88 D |
//!
//! # Cost
//! [`Fitter::most_work`], told by `Fitter::work` afterwards.

mod samples;
mod settings;
mod solver;
mod vector;

pub use settings::{MAX_ITERATIONS, MAX_SAMPLES, Settings, Sources};

use crate::arena::Arena;
use crate::limits::MAX_CLASSES;
use crate::spec::Generator;
use crate::status::{Result, Status};
use samples::{BLOCK, Samples};
use settings::{bad_sources, check_count};
use solver::{Solver, TILE, TRIALS};

/// The classifier rows that a new one stands against: of all classes that can win, those without
/// statistics included.
pub trait OldRows {
    /// Their number.
    fn count(&self) -> usize;

    /// Whether the bundle's class `class` is one of them. If not, the new class is not held
    /// against it, and none of its features are drawn.
    fn holds(&self, class: u32) -> bool;

    /// Writes the weights of row `index`, one per channel, and returns its bias.
    fn read(&self, index: usize, weights: &mut [f32]) -> f32;
}

/// How many samples of which kind, and their weights, which add up to 1.
#[derive(Clone, Copy)]
struct Mix {
    positives: usize,
    classes: usize,
    per_class: usize,
    positive_weight: f64,
    negative_weight: f64,
}

impl Mix {
    /// For `classes` old classes.
    fn new(classes: usize, settings: &Settings) -> Mix {
        let per_class = settings.negatives.div_ceil(classes.max(1));
        let mix = Mix {
            positives: settings.positives,
            classes,
            per_class,
            positive_weight: 0.0,
            negative_weight: 0.0,
        };
        mix.with(classes, settings)
    }

    /// With only `classes` of the old classes, and as many samples of each.
    fn with(self, classes: usize, settings: &Settings) -> Mix {
        let weight = f64::from(settings.weight);
        let total = weight + classes as f64;
        Mix {
            classes,
            positive_weight: weight / total / self.positives as f64,
            negative_weight: 1.0 / total / self.per_class as f64,
            ..self
        }
    }

    fn count(&self) -> usize {
        self.positives + self.classes * self.per_class
    }

    fn is_positive(&self, sample: usize) -> bool {
        sample < self.positives
    }

    fn weight(&self, sample: usize) -> f64 {
        if self.is_positive(sample) { self.positive_weight } else { self.negative_weight }
    }
}

/// What a fit costs. Work that does not grow with the number of samples is left out: `60 D`
/// multiply-adds per iteration and `2 D` per old class, under 2 in 100 of the rest from 2000
/// samples on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Work {
    /// Products of weights with samples, and those inside the generator.
    pub multiply_adds: u64,
    /// Uniform or Gaussian random numbers.
    pub random_numbers: u64,
    /// Exponentials.
    pub exponentials: u64,
}

/// How a fit ended.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Fitted {
    /// Iterations taken.
    pub iterations: usize,
    /// Whether the tolerance is met, as far as the gradient tells.
    pub converged: bool,
    /// The loss that was minimised.
    pub loss: f64,
}

/// Where a fit stands.
#[derive(Clone, Copy)]
enum Stage {
    Idle,
    Generate {
        block: usize,
    },
    /// `row` of the statistics is the `class`-th of a class that is one of the old rows.
    Draw {
        row: usize,
        class: usize,
        block: usize,
    },
    Score {
        row: usize,
        tile: usize,
    },
    Descend {
        tile: usize,
    },
    Project {
        tile: usize,
    },
    Search,
    Done(Fitted),
}

/// Fits rows. See the module's text for the problem, memory and cost.
pub struct Fitter<'a> {
    sources: Sources<'a>,
    settings: Settings,
    mix: Mix,
    samples: Samples<'a>,
    solver: Solver<'a>,
    stage: Stage,
    iterations: usize,
    work: Work,
}

impl<'a> Fitter<'a> {
    /// Checks the arguments and takes all memory. From a counting arena it takes none; such an
    /// object can only be dropped.
    ///
    /// # Errors
    /// Those of [`Settings::check`] and [`Arena::take`]; [`Status::InvalidArgument`],
    /// [`Status::LimitExceeded`] or [`Status::BundleContent`] for sources of impossible sizes,
    /// no old class with statistics included.
    pub fn carve(
        arena: &mut Arena<'a>,
        sources: Sources<'a>,
        settings: &Settings,
    ) -> Result<Fitter<'a>> {
        settings.check()?;
        sources.check()?;
        let mix = Mix::new(sources.classes(), settings);
        Ok(Fitter {
            sources,
            settings: *settings,
            mix,
            samples: Samples::carve(arena, sources, mix)?,
            solver: Solver::carve(arena, sources.generator.channels, mix, settings)?,
            stage: Stage::Idle,
            iterations: 0,
            work: Work::default(),
        })
    }

    /// Most work of one fit against `old_rows` rows. Exact but for the trials of the line search
    /// when all iterations are taken and all classes with statistics are held.
    ///
    /// # Errors
    /// Those of [`Fitter::carve`] but for the arena's; [`Status::LimitExceeded`] for more than
    /// [`MAX_CLASSES`] rows.
    pub fn most_work(sources: &Sources<'_>, settings: &Settings, old_rows: usize) -> Result<Work> {
        settings.check()?;
        sources.check()?;
        check_count("old rows", old_rows, MAX_CLASSES as usize)?;
        let mix = Mix::new(sources.classes(), settings);
        let Generator { dim, noise_dim, hidden, channels, .. } = sources.generator;
        let generated = mix.positives.next_multiple_of(BLOCK) as u64;
        let four = |value: usize| value.next_multiple_of(4) as u64;
        let [dim, wide, hidden, channels] = [dim, noise_dim, hidden, channels].map(|n| n as u64);
        let [rows, passes] = [old_rows, settings.iterations].map(|n| n as u64);
        let samples = mix.count() as u64;
        let drawn = samples.saturating_sub(mix.positives as u64);
        Ok(Work {
            multiply_adds: hidden * dim
                + generated * hidden * (wide + channels)
                + samples * channels * (rows + 2 * passes + 1),
            random_numbers: generated * four(noise_dim) + drawn * four(sources.generator.channels),
            exponentials: samples * (rows + passes + 1 + passes * (TRIALS as u64 + 1)),
        })
    }

    /// Fits a row for the class of `embedding`, which must be as the generator was trained with
    /// (brought to unit length or not). [`Fitter::write_row`] then hands it over.
    ///
    /// # Errors
    /// Those of [`Fitter::begin`] and [`Fitter::step`].
    pub fn run(&mut self, embedding: &[f32], rows: &impl OldRows) -> Result<Fitted> {
        self.begin(embedding, rows)?;
        loop {
            if let Some(fitted) = self.step(rows)? {
                return Ok(fitted);
            }
        }
    }

    /// Begins a fit against `rows` that [`Fitter::step`] carries on. `H E` multiply-adds for an
    /// embedding of E numbers, and one pass over the statistics.
    ///
    /// # Errors
    /// [`Status::InvalidArgument`] for an embedding of another length, of zeros only, or with a
    /// number that is not finite or too large for the generator, and if there is no old row or
    /// none with statistics; [`Status::BundleContent`] for statistics too large to be pooled. A
    /// row found before is then gone.
    pub fn begin(&mut self, embedding: &[f32], rows: &impl OldRows) -> Result<()> {
        self.stage = Stage::Idle;
        let dim = self.sources.generator.dim;
        if embedding.len() != dim {
            let error = Status::InvalidArgument.about("numbers of an embedding");
            return Err(error.numbers(embedding.len() as u64, dim as u64));
        }
        if !embedding.iter().all(|value| value.is_finite()) {
            return Err(Status::InvalidArgument.about("embedding that is not finite"));
        }
        if embedding.iter().all(|&value| value == 0.0) {
            return Err(Status::InvalidArgument.about("embedding of zeros"));
        }
        let held = self.sources.statistics.classes.iter().filter(|class| rows.holds(class.get()));
        let classes = held.count();
        check_count("old classes with statistics", classes, MAX_CLASSES as usize)?;
        check_count("old rows", rows.count(), MAX_CLASSES as usize)?;
        self.mix = self.mix.with(classes, &self.settings);
        (self.work, self.iterations) = (Work::default(), 0);
        let seed = self.settings.seed;
        self.samples.begin(embedding, seed, self.mix, rows, &mut self.work)?;
        self.solver.begin(self.mix);
        self.stage = Stage::Generate { block: 0 };
        Ok(())
    }

    /// Carries a fit on by one bounded piece of work: at most `16 H (Z + D)` multiply-adds for 16
    /// generated samples, `16 D` random numbers for 16 drawn ones, `256 D` multiply-adds for a
    /// pass over 256 samples, or one exponential per sample. `rows` must be the same in all
    /// steps; each is read once. How the fit ended when it is done.
    ///
    /// # Errors
    /// [`Status::InvalidState`] if no fit has begun; [`Status::InvalidArgument`] if an old row is
    /// not finite or generated features are a million deviations away from all old ones.
    pub fn step(&mut self, rows: &impl OldRows) -> Result<Option<Fitted>> {
        let stage = core::mem::replace(&mut self.stage, Stage::Idle);
        self.stage = match stage {
            Stage::Idle => return Err(Status::InvalidState.about("no fit has begun")),
            Stage::Done(_) => stage,
            Stage::Generate { block } => self.generate(block)?,
            Stage::Draw { row, class, block } => self.draw(rows, row, class, block)?,
            Stage::Score { row, tile } => self.score(rows, row, tile)?,
            Stage::Descend { tile } => self.descend(tile),
            Stage::Project { tile } => self.project(tile),
            Stage::Search => self.search(),
        };
        match self.stage {
            Stage::Done(fitted) => Ok(Some(fitted)),
            _ => Ok(None),
        }
    }

    fn generate(&mut self, block: usize) -> Result<Stage> {
        self.samples.generate(block, &mut self.work)?;
        let next = block + 1;
        let more = next * BLOCK < self.mix.positives;
        let draw = Stage::Draw { row: 0, class: 0, block: 0 };
        Ok(if more { Stage::Generate { block: next } } else { draw })
    }

    fn draw(
        &mut self,
        rows: &impl OldRows,
        row: usize,
        class: usize,
        block: usize,
    ) -> Result<Stage> {
        if class == self.mix.classes {
            return Ok(Stage::Score { row: 0, tile: 0 });
        }
        let old = self.sources.statistics.classes.get(row).ok_or_else(bad_sources)?.get();
        if !rows.holds(old) {
            return Ok(Stage::Draw { row: row + 1, class, block: 0 });
        }
        self.samples.draw(old, class, block, &mut self.work)?;
        let next = block + 1;
        Ok(match next * BLOCK < self.mix.per_class {
            true => Stage::Draw { row, class, block: next },
            false => Stage::Draw { row: row + 1, class: class + 1, block: 0 },
        })
    }

    fn score(&mut self, rows: &impl OldRows, row: usize, tile: usize) -> Result<Stage> {
        if tile == 0 {
            self.solver.read_old(|weights| rows.read(row, weights), self.samples.scales());
        }
        self.solver.score(tile, self.samples.tile(tile), &mut self.work);
        if self.has_tile(tile + 1) {
            return Ok(Stage::Score { row, tile: tile + 1 });
        }
        if row + 1 < rows.count() {
            return Ok(Stage::Score { row: row + 1, tile: 0 });
        }
        self.solver.start()?;
        Ok(Stage::Descend { tile: 0 })
    }

    fn has_tile(&self, tile: usize) -> bool {
        tile * TILE < self.mix.count()
    }

    fn descend(&mut self, tile: usize) -> Stage {
        self.solver.descend(tile, self.samples.tile(tile), &mut self.work);
        if self.has_tile(tile + 1) {
            return Stage::Descend { tile: tile + 1 };
        }
        let converged = !self.solver.turn();
        match converged || self.iterations == self.settings.iterations {
            true => self.finish(converged),
            false => Stage::Project { tile: 0 },
        }
    }

    fn project(&mut self, tile: usize) -> Stage {
        self.solver.project(tile, self.samples.tile(tile), &mut self.work);
        if self.has_tile(tile + 1) { Stage::Project { tile: tile + 1 } } else { Stage::Search }
    }

    fn search(&mut self) -> Stage {
        let Some(length) = self.solver.search(&mut self.work) else { return Stage::Search };
        if length == 0.0 {
            // Rounding hides any further descent.
            return self.finish(false);
        }
        self.iterations += 1;
        self.solver.advance(length);
        Stage::Descend { tile: 0 }
    }

    fn finish(&self, converged: bool) -> Stage {
        Stage::Done(Fitted { iterations: self.iterations, converged, loss: self.solver.loss() })
    }

    /// Writes the weights found, one per channel, and returns the bias.
    ///
    /// # Errors
    /// [`Status::InvalidState`] if no fit is done; [`Status::InvalidArgument`] for `weights` of
    /// another length. Nothing is written then.
    pub fn write_row(&self, weights: &mut [f32]) -> Result<f32> {
        let Stage::Done(_) = self.stage else {
            return Err(Status::InvalidState.about("no fit is done"));
        };
        let (scaled, bias) = self.solver.row();
        if weights.len() != scaled.len() {
            let error = Status::InvalidArgument.about("length of a classifier row");
            return Err(error.numbers(weights.len() as u64, scaled.len() as u64));
        }
        let mut bias = f64::from(bias);
        let channels = scaled.iter().zip(self.samples.scales());
        for (weight, (scaled, (mean, deviation))) in weights.iter_mut().zip(channels) {
            *weight = scaled / deviation;
            bias -= f64::from(*weight) * f64::from(mean);
        }
        Ok(bias as f32)
    }

    /// Work since the last beginning.
    pub fn work(&self) -> Work {
        self.work
    }
}
