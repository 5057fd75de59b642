//! The kernel of the maximum mean discrepancy: a sum of Gaussians.

use super::Real;
use crate::status::{Result, Status};
use std::vec::Vec;

/// Greatest power of the widest Gaussian that a narrower one is computed as.
const MOST_POWER: u32 = 64;
/// Logarithm of the smallest Gaussian that is not 0. Its products with weights still are normal
/// numbers of f32.
const LEAST_LOG: f64 = -75.0;
/// Squared distances that are looked at together.
pub(super) const LANES: usize = 16;

/// `k(x, y) = sum over v of exp(-|x - y|^2 / (2 v))`, for a list of variances `v`.
///
/// A Gaussian whose variance divides the largest one evenly is a power of the widest Gaussian, so
/// the list of the published code costs one exponential (relative error in f32 below 1e-5).
/// Gaussians below `e^-75` count as 0: processors are slow at numbers that are yet smaller.
#[derive(Clone, Debug)]
pub struct Kernel {
    widest: f64,
    terms: Vec<Term>,
}

#[derive(Clone, Copy, Debug)]
struct Term {
    variance: f64,
    /// Of the widest one; 0: not a power.
    power: u32,
    /// Where the widest one is smaller, its power counts as 0.
    least: f64,
}

impl Kernel {
    /// As the published code of ZS3Net: variances 2, 5, 10, 20, 40 and 80 (methods.md 2.5).
    pub fn zs3_code() -> Kernel {
        Kernel::of([2.0, 5.0, 10.0, 20.0, 40.0, 80.0].to_vec())
    }

    /// As its paper writes: deviations 2, 5, 10, 20, 40 and 60 (methods.md 2.5).
    pub fn zs3_paper() -> Kernel {
        Kernel::of([2.0, 5.0, 10.0, 20.0, 40.0, 60.0].map(|sigma| sigma * sigma).to_vec())
    }

    /// Any list of variances.
    ///
    /// # Errors
    /// [`Status::InvalidArgument`] for an empty list and for a variance that is not finite and
    /// above 0.
    pub fn variances(list: &[f64]) -> Result<Kernel> {
        if list.is_empty() {
            return Err(Status::InvalidArgument.about("list of the kernel's variances"));
        }
        if list.iter().any(|v| !(v.is_finite() && *v > 0.0)) {
            return Err(Status::InvalidArgument.about("variance of the kernel"));
        }
        Ok(Kernel::of(list.to_vec()))
    }

    fn of(list: Vec<f64>) -> Kernel {
        let widest = list.iter().fold(0.0f64, |most, v| most.max(*v));
        let term = |variance: f64| {
            let power = (1..=MOST_POWER).find(|power| widest == variance * f64::from(*power));
            let power = power.unwrap_or(0);
            Term { variance, power, least: libm::exp(LEAST_LOG / f64::from(power.max(1))) }
        };
        Kernel { widest, terms: list.into_iter().map(term).collect() }
    }

    /// Of each variance, the power of the widest Gaussian that it is computed as; 0: none.
    #[cfg(feature = "train-cuda")]
    pub(in crate::train) fn terms(&self) -> impl Iterator<Item = (f64, u32)> {
        self.terms.iter().map(|term| (term.variance, term.power))
    }

    /// `k` and `sum of k_v / v` at squared distances, all at once so that they become vector
    /// instructions.
    pub(super) fn at<F: Real>(&self, squares: &[F; LANES]) -> ([F; LANES], [F; LANES]) {
        let base = gaussians(squares, self.widest);
        let (mut values, mut slopes) = ([F::ZERO; LANES], [F::ZERO; LANES]);
        for term in &self.terms {
            let gaussians = match term.power {
                0 => gaussians(squares, term.variance),
                _ => term.raise(&base),
            };
            let slope = F::of(1.0 / term.variance);
            for ((value, sum), gaussian) in values.iter_mut().zip(&mut slopes).zip(gaussians) {
                *value += gaussian;
                *sum += gaussian * slope;
            }
        }
        (values, slopes)
    }
}

impl Term {
    /// The widest Gaussian to the term's power.
    fn raise<F: Real>(&self, base: &[F; LANES]) -> [F; LANES] {
        let least = F::of(self.least);
        let mut square = *base;
        for value in &mut square {
            *value = if *value < least { F::ZERO } else { *value };
        }
        let (mut result, mut left) = ([F::ONE; LANES], self.power);
        while left > 1 {
            if left & 1 == 1 {
                multiply(&mut result, &square);
            }
            square.iter_mut().for_each(|value| *value = *value * *value);
            left >>= 1;
        }
        multiply(&mut result, &square);
        result
    }
}

fn gaussians<F: Real>(squares: &[F; LANES], variance: f64) -> [F; LANES] {
    let (factor, least) = (F::of(-0.5 / variance), F::of(LEAST_LOG));
    let mut gaussians = *squares;
    for value in &mut gaussians {
        let log = *value * factor;
        let gaussian = log.exp();
        *value = if log < least { F::ZERO } else { gaussian };
    }
    gaussians
}

fn multiply<F: Real>(values: &mut [F; LANES], factors: &[F; LANES]) {
    for (value, factor) in values.iter_mut().zip(factors) {
        *value *= *factor;
    }
}
