//! What a fit is made from, and how.

use crate::limits::{MAX_CLASSES, MAX_EMBEDDING, MAX_FEATURES, product};
use crate::spec::{FeatureStatistics, Generator};
use crate::status::{Error, Result, Status};

/// Most positives, and most negatives.
pub const MAX_SAMPLES: usize = 65_536;
/// Most iterations.
pub const MAX_ITERATIONS: usize = 1_000;

/// How a row is fitted.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Settings {
    /// Generated samples of the new class: 1 to [`MAX_SAMPLES`].
    pub positives: usize,
    /// Samples of the old classes, spread evenly and rounded up to a multiple of their number: 1
    /// to [`MAX_SAMPLES`].
    pub negatives: usize,
    /// Most iterations of the search: 1 to [`MAX_ITERATIONS`].
    pub iterations: usize,
    /// The search ends when the loss is within about this share of the least possible: 0 (never)
    /// to 1.
    pub tolerance: f32,
    /// Penalty on the weights: 1e-6 to 1e3.
    pub l2: f32,
    /// Weight of the new class relative to one old class: 1e-3 to 1e3.
    pub weight: f32,
    /// Added to what the embedding says, for other random numbers.
    pub seed: u64,
}

impl Settings {
    /// 512 positives, 2048 negatives, at most 50 iterations (10 are usual), tolerance 3e-4, penalty
    /// 0.1. More samples improve a row little; lower penalties trust a generator too much.
    pub const DEFAULT: Settings = Settings {
        positives: 512,
        negatives: 2_048,
        iterations: 50,
        tolerance: 3e-4,
        l2: 0.1,
        weight: 1.0,
        seed: 0,
    };

    /// Checks the ranges stated at the fields.
    ///
    /// # Errors
    /// [`Status::InvalidArgument`] or [`Status::LimitExceeded`].
    pub fn check(&self) -> Result<()> {
        check_count("generated samples", self.positives, MAX_SAMPLES)?;
        check_count("samples of the old classes", self.negatives, MAX_SAMPLES)?;
        check_count("iterations of the fit", self.iterations, MAX_ITERATIONS)?;
        let ranges = [
            ("tolerance of the fit", self.tolerance, 0.0, 1.0),
            ("penalty on the weights", self.l2, 1e-6, 1e3),
            ("weight of the new class", self.weight, 1e-3, 1e3),
        ];
        for (what, value, low, high) in ranges {
            if !(low..=high).contains(&value) {
                return Err(Status::InvalidArgument.about(what));
            }
        }
        Ok(())
    }
}

impl Default for Settings {
    fn default() -> Settings {
        Settings::DEFAULT
    }
}

/// What a bundle brings for making rows.
#[derive(Clone, Copy, Debug)]
pub struct Sources<'a> {
    /// Makes features of the new class.
    pub generator: Generator<'a>,
    /// Features of the old classes.
    pub statistics: FeatureStatistics<'a>,
}

impl Sources<'_> {
    /// Old classes with statistics.
    pub(super) fn classes(&self) -> usize {
        self.statistics.classes.len()
    }

    /// Checks that the views have the sizes that they claim.
    pub(super) fn check(&self) -> Result<()> {
        let Sources { generator, statistics } = self;
        let largest = MAX_EMBEDDING as usize;
        check_count("numbers of an embedding", generator.dim, largest)?;
        check_count("numbers of the noise", generator.noise_dim, largest)?;
        check_count("width of the generator's hidden layer", generator.hidden, largest)?;
        check_count("channels of the generator", generator.channels, MAX_FEATURES as usize)?;
        check_count("classes with statistics", self.classes(), MAX_CLASSES as usize)?;
        let Generator { dim, noise_dim, hidden, channels, .. } = *generator;
        let sizes = [
            (generator.hidden_weights.len(), product("weights", &[hidden, dim + noise_dim])?),
            (generator.hidden_bias.len(), hidden),
            (generator.output_weights.len(), product("weights", &[channels, hidden])?),
            (generator.output_bias.len(), channels),
            (statistics.channels, channels),
            (statistics.mean.len(), product("means", &[self.classes(), channels])?),
            (statistics.deviation.len(), statistics.mean.len()),
        ];
        match sizes.iter().all(|(found, wanted)| found == wanted) {
            true => Ok(()),
            false => Err(bad_sources()),
        }
    }
}

pub(super) fn bad_sources() -> Error {
    Status::BundleContent.about("generator or feature statistics")
}

pub(super) fn check_count(what: &'static str, value: usize, high: usize) -> Result<()> {
    if value == 0 {
        return Err(Status::InvalidArgument.about(what).numbers(0, 1));
    }
    if value > high {
        return Err(Status::LimitExceeded.about(what).numbers(value as u64, high as u64));
    }
    Ok(())
}
