//! The two types of numbers that the operations are written for.

use ndarray::LinalgScalar;
use std::fmt::Debug;
use std::ops::{AddAssign, MulAssign, Neg};

/// `f32` for training, `f64` for finite differences and reference values.
///
/// Functions come from `libm`, so that every processor gives the same bits.
pub trait Real:
    LinalgScalar + AddAssign + MulAssign + Neg<Output = Self> + PartialOrd + Debug + Send + Sync
{
    /// 0.
    const ZERO: Self;
    /// 1.
    const ONE: Self;
    /// The nearest number.
    fn of(value: f64) -> Self;
    /// The same number.
    fn to_f64(self) -> f64;
    /// `e` to the power of the number.
    fn exp(self) -> Self;
    /// Natural logarithm.
    fn ln(self) -> Self;
    /// Natural logarithm of one more, exact near 0.
    fn ln_1p(self) -> Self;
    /// Square root.
    fn sqrt(self) -> Self;

    /// Without its sign.
    fn abs(self) -> Self {
        if self < Self::ZERO { -self } else { self }
    }

    /// The larger one; `self` if `other` is not a number.
    fn at_least(self, other: Self) -> Self {
        if other > self { other } else { self }
    }
}

impl Real for f32 {
    const ZERO: f32 = 0.0;
    const ONE: f32 = 1.0;
    fn of(value: f64) -> f32 {
        value as f32
    }
    fn to_f64(self) -> f64 {
        self.into()
    }
    fn exp(self) -> f32 {
        libm::expf(self)
    }
    fn ln(self) -> f32 {
        libm::logf(self)
    }
    fn ln_1p(self) -> f32 {
        libm::log1pf(self)
    }
    fn sqrt(self) -> f32 {
        libm::sqrtf(self)
    }
}

impl Real for f64 {
    const ZERO: f64 = 0.0;
    const ONE: f64 = 1.0;
    fn of(value: f64) -> f64 {
        value
    }
    fn to_f64(self) -> f64 {
        self
    }
    fn exp(self) -> f64 {
        libm::exp(self)
    }
    fn ln(self) -> f64 {
        libm::log(self)
    }
    fn ln_1p(self) -> f64 {
        libm::log1p(self)
    }
    fn sqrt(self) -> f64 {
        libm::sqrt(self)
    }
}

/// `ln(1 + e^x)`, without overflow.
pub(super) fn softplus<F: Real>(x: F) -> F {
    x.at_least(F::ZERO) + (-x.abs()).exp().ln_1p()
}

/// `1 / (1 + e^-x)`, without overflow.
pub(super) fn sigmoid<F: Real>(x: F) -> F {
    let power = (-x.abs()).exp();
    let small = power / (F::ONE + power);
    if x < F::ZERO { small } else { F::ONE - small }
}
