//! The kernel of the maximum mean discrepancy: a sum of Gaussians.

use super::Real;
use crate::status::{Result, Status};
use std::vec::Vec;

/// Greatest power of the widest Gaussian that a narrower one is computed as.
const MOST_POWER: u32 = 64;

/// `k(x, y) = sum over v of exp(-|x - y|^2 / (2 v))`, for a list of variances `v`.
///
/// A Gaussian whose variance divides the largest one evenly is a power of the widest Gaussian, so
/// the list of the published code costs one exponential (relative error in f32 below 1e-5).
#[derive(Clone, Debug)]
pub struct Kernel {
    widest: f64,
    terms: Vec<Term>,
}

#[derive(Clone, Copy, Debug)]
struct Term {
    inverse: f64,
    /// 0: not a power of the widest one.
    power: u32,
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
        let term = |v: f64| {
            let power = (1..=MOST_POWER).find(|power| widest == v * f64::from(*power));
            Term { inverse: 1.0 / v, power: power.unwrap_or(0) }
        };
        Kernel { widest, terms: list.into_iter().map(term).collect() }
    }

    /// `k` and `sum of k_v / v` at the squared distance `square`.
    pub(super) fn at<F: Real>(&self, square: F) -> (F, F) {
        let base = (square * F::of(-0.5 / self.widest)).exp();
        let (mut value, mut slope) = (F::ZERO, F::ZERO);
        for term in &self.terms {
            let gaussian = match term.power {
                0 => (square * F::of(-0.5 * term.inverse)).exp(),
                power => raise(base, power),
            };
            value += gaussian;
            slope += gaussian * F::of(term.inverse);
        }
        (value, slope)
    }
}

fn raise<F: Real>(base: F, power: u32) -> F {
    let (mut result, mut square, mut left) = (F::ONE, base, power);
    while left > 1 {
        if left & 1 == 1 {
            result *= square;
        }
        square = square * square;
        left >>= 1;
    }
    result * square
}
