//! Ranges of activations: from a histogram to a scale and a zero point.

use crate::backbone::tract::Quantization;
use std::vec;
use std::vec::Vec;

/// Bins on each side of 0.
const HALF_BINS: usize = 1 << 13;
/// Steps between the smallest and the largest 8-bit number.
const STEPS: f32 = 255.0;
/// Parts that the search divides a side of a range into, and each of those once more.
const PARTS: u32 = 40;
/// Where a histogram begins to grow: 2^-100, whose reciprocal is far from infinite.
const LEAST_LIMIT: f32 = f32::MIN_POSITIVE * (1 << 26) as f32;
/// How often the search goes over both sides.
const ROUNDS: usize = 2;

/// How the range of a tensor is chosen.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum RangeMethod {
    /// From the smallest value to the largest.
    MinMax,
    /// The middle so many per cent of the values: as many are left out above as below.
    Percentile(f64),
    /// The range with the least mean squared error.
    Mse,
}

impl RangeMethod {
    /// Its name, as the command line has it.
    pub fn name(self) -> &'static str {
        match self {
            RangeMethod::MinMax => "minmax",
            RangeMethod::Percentile(_) => "percentile",
            RangeMethod::Mse => "mse",
        }
    }
}

/// The grid of 256 numbers from `low` to `high`, both moved to have 0 between them:
/// `scale = (high - low) / 255`, `zero_point = round(-low / scale)`. 0 is one of its numbers, and
/// what lies between `low` and `high` is at most half a step from its nearest one. A range of one
/// point has scale 1.
pub fn grid_of_range(low: f32, high: f32) -> Quantization {
    let (low, high) = (low.min(0.0), high.max(0.0));
    // In halves, since a range may be wider than the largest float.
    let scale = (high / STEPS) - (low / STEPS);
    if !(scale.is_finite() && scale >= f32::MIN_POSITIVE) {
        return Quantization { scale: 1.0, zero_point: 0 };
    }
    Quantization { scale, zero_point: (-low / scale).round_ties_even().clamp(0.0, STEPS) as u8 }
}

/// How often values occur. It grows with them, by powers of two, so nothing about them must be
/// known before.
#[derive(Clone, Debug, PartialEq)]
pub struct Histogram {
    /// Values lie between `-limit` and `limit`, a power of two.
    limit: f32,
    counts: Vec<u64>,
    zeros: u64,
    low: f32,
    high: f32,
}

impl Default for Histogram {
    fn default() -> Histogram {
        Histogram {
            limit: LEAST_LIMIT,
            counts: vec![0; 2 * HALF_BINS],
            zeros: 0,
            low: 0.0,
            high: 0.0,
        }
    }
}

impl Histogram {
    /// Smallest and largest value; 0 lies between them.
    pub fn ends(&self) -> [f32; 2] {
        [self.low, self.high]
    }

    /// Counts values, which must be finite: `false`, and nothing is counted, if one is not.
    pub fn add(&mut self, values: &[f32]) -> bool {
        let ends = values
            .iter()
            .fold([0.0f32; 2], |[low, high], value| [low.min(*value), high.max(*value)]);
        // Minimum and maximum pass over NaN.
        if values.iter().any(|value| !value.is_finite()) {
            return false;
        }
        self.low = self.low.min(ends[0]);
        self.high = self.high.max(ends[1]);
        self.grow(self.high.max(-self.low));
        let factor = HALF_BINS as f32 / self.limit;
        for &value in values {
            match value == 0.0 {
                true => self.zeros += 1,
                false => self.counts[bin(value * factor)] += 1,
            }
        }
        true
    }

    /// Counts what the other one has counted.
    pub fn merge(&mut self, other: &Histogram) {
        let mut other = other.clone();
        self.grow(other.limit / 2.0);
        other.grow(self.limit / 2.0);
        self.counts.iter_mut().zip(&other.counts).for_each(|(count, more)| *count += more);
        self.zeros += other.zeros;
        self.low = self.low.min(other.low);
        self.high = self.high.max(other.high);
    }

    /// Doubles the limit until it lies above `largest`.
    fn grow(&mut self, largest: f32) {
        let is_empty = self.counts.iter().all(|count| *count == 0);
        while self.limit <= largest && self.limit < f32::MAX / 2.0 {
            self.limit *= 2.0;
            if is_empty {
                continue;
            }
            let mut counts = vec![0; 2 * HALF_BINS];
            for (at, count) in self.counts.iter().enumerate() {
                // Two neighbours on the same side of 0 become one.
                counts[HALF_BINS / 2 + at / 2] += count;
            }
            self.counts = counts;
        }
    }

    /// The middle of each bin that has values, with their number.
    fn bins(&self) -> Vec<(f32, u64)> {
        let width = self.limit / HALF_BINS as f32;
        let middle = |at: usize| (at as f32 - HALF_BINS as f32 + 0.5) * width;
        let counts = self.counts.iter().enumerate().filter(|(_, count)| **count > 0);
        counts.map(|(at, &count)| (middle(at).clamp(self.low, self.high), count)).collect()
    }

    /// The grid by `method`.
    pub fn grid(&self, method: RangeMethod) -> Quantization {
        let [low, high] = match method {
            RangeMethod::MinMax => self.ends(),
            RangeMethod::Percentile(share) => self.percentile(share),
            RangeMethod::Mse => self.least_error(),
        };
        grid_of_range(low, high)
    }

    /// The ends of the middle `share` per cent of the values.
    fn percentile(&self, share: f64) -> [f32; 2] {
        let total = self.zeros + self.counts.iter().sum::<u64>();
        let cut = ((1.0 - share.clamp(0.0, 100.0) / 100.0) / 2.0 * total as f64) as u64;
        let bins = self.bins();
        let end = |bins: &mut dyn Iterator<Item = &(f32, u64)>, limit: f32| {
            let mut left_out = 0;
            for (value, count) in bins {
                left_out += count;
                if left_out > cut {
                    return *value;
                }
            }
            limit
        };
        if cut == 0 {
            return self.ends();
        }
        let below = end(&mut bins.iter().filter(|(value, _)| *value < 0.0), 0.0);
        let above = end(&mut bins.iter().rev().filter(|(value, _)| *value > 0.0), 0.0);
        [below, above]
    }

    /// Shrinks one side of the range after the other to where the squared error is least.
    fn least_error(&self) -> [f32; 2] {
        let bins = self.bins();
        let error = |[low, high]: [f32; 2]| squared_error(&bins, grid_of_range(low, high));
        let whole = self.ends();
        let mut best = (error(whole), whole);
        for _ in 0..ROUNDS {
            for side in [1, 0] {
                let mut fractions: Vec<f32> =
                    (1..=PARTS).map(|part| part as f32 / PARTS as f32).collect();
                for round in 0..2 {
                    for &fraction in &fractions {
                        let mut ends = best.1;
                        ends[side] = whole[side] * fraction;
                        let found = error(ends);
                        if found < best.0 {
                            best = (found, ends);
                        }
                    }
                    if round == 0 && whole[side] != 0.0 {
                        let middle = best.1[side] / whole[side];
                        let part = (PARTS * PARTS) as f32 / 2.0;
                        let fine = |step: u32| middle + (step as f32 - PARTS as f32 / 2.0) / part;
                        fractions = (0..=PARTS).map(fine).filter(|one| *one <= 1.0).collect();
                    }
                }
            }
        }
        best.1
    }
}

fn bin(steps: f32) -> usize {
    (steps.floor() + HALF_BINS as f32).clamp(0.0, (2 * HALF_BINS - 1) as f32) as usize
}

/// Sum of the squared errors of values, each with its number, on a grid.
pub fn squared_error(values: &[(f32, u64)], grid: Quantization) -> f64 {
    let inverse = 1.0 / f64::from(grid.scale);
    let (low, high) = (-f64::from(grid.zero_point), f64::from(STEPS) - f64::from(grid.zero_point));
    let error = |&(value, count): &(f32, u64)| {
        let steps = f64::from(value) * inverse;
        let away = (steps - steps.round_ties_even().clamp(low, high)) * f64::from(grid.scale);
        away * away * count as f64
    };
    values.iter().map(error).sum()
}
