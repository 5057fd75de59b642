//! The two types of numbers that the operations are written for.

use ndarray::LinalgScalar;
use std::fmt::Debug;
use std::ops::{AddAssign, MulAssign, Neg};

/// `f32` for training, `f64` for finite differences and reference values.
///
/// Functions come from `libm` or are written here, so that every processor gives the same bits.
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
    /// `e` to the power of the number. In f32: relative error below 2e-7, and 0 below -86.9.
    fn exp(self) -> Self;
    /// Natural logarithm.
    fn ln(self) -> Self;
    /// Natural logarithm of one more, exact near 0.
    fn ln_1p(self) -> Self;
    /// Square root.
    fn sqrt(self) -> Self;

    /// Without its sign.
    #[inline(always)]
    fn abs(self) -> Self {
        if self < Self::ZERO { -self } else { self }
    }

    /// The larger one; `self` if `other` is not a number.
    #[inline(always)]
    fn at_least(self, other: Self) -> Self {
        if other > self { other } else { self }
    }
}

impl Real for f32 {
    const ZERO: f32 = 0.0;
    const ONE: f32 = 1.0;
    #[inline(always)]
    fn of(value: f64) -> f32 {
        value as f32
    }
    #[inline(always)]
    fn to_f64(self) -> f64 {
        self.into()
    }
    #[inline(always)]
    fn exp(self) -> f32 {
        exponential(self)
    }
    fn ln(self) -> f32 {
        libm::logf(self)
    }
    fn ln_1p(self) -> f32 {
        libm::log1pf(self)
    }
    #[inline(always)]
    fn sqrt(self) -> f32 {
        // A processor's root is the nearest number, as IEEE 754 asks.
        f32::sqrt(self)
    }
}

impl Real for f64 {
    const ZERO: f64 = 0.0;
    const ONE: f64 = 1.0;
    #[inline(always)]
    fn of(value: f64) -> f64 {
        value
    }
    #[inline(always)]
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
    #[inline(always)]
    fn sqrt(self) -> f64 {
        f64::sqrt(self)
    }
}

/// `e^x`, by the range reduction and the polynomial of Cephes, in products, sums and selections
/// alone: a loop over it becomes vector instructions, with the same bits.
#[inline(always)]
fn exponential(x: f32) -> f32 {
    // Added and taken away again, it leaves the nearest whole number.
    const ROUNDER: f32 = 12_582_912.0;
    const LN_2: [f32; 2] = [0.693_359_4, -2.121_944_4e-4];
    const SERIES: [f32; 5] = [1.398_199_9e-3, 8.333_452e-3, 4.166_579_6e-2, 1.666_666_5e-1, 0.5];
    // The power is infinite there; not a number stays so.
    let bounded = if x > 89.0 { 89.0 } else { x };
    let rounded = bounded * core::f32::consts::LOG2_E + ROUNDER;
    let whole = rounded - ROUNDER;
    let rest = bounded - whole * LN_2[0] - whole * LN_2[1];
    let series = SERIES.iter().fold(1.987_569_1e-4, |sum, factor| sum * rest + factor);
    let value = series * (rest * rest) + rest + 1.0;
    // Half of 2^whole: the last bits of `rounded` are `whole`, the exponent's bias is 127.
    let half = f32::from_bits(rounded.to_bits().wrapping_add(126) << 23);
    if x < -86.9 { 0.0 } else { value * half * 2.0 }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exponentials_are_close() {
        let mut most = 0.0f64;
        for step in -869_000..887_000 {
            let x = step as f32 * 1e-4;
            let exact = libm::exp(x.into());
            most = most.max((f64::from(Real::exp(x)) - exact).abs() / exact);
        }
        assert!(most < 2e-7, "{most:e}");
        assert_eq!(Real::exp(0.0f32), 1.0);
    }

    #[test]
    fn exponentials_of_extremes() {
        for x in [-87.0, -1e30, f32::NEG_INFINITY] {
            assert_eq!(Real::exp(x), 0.0);
        }
        for x in [88.73, 1e30, f32::INFINITY] {
            assert_eq!(Real::exp(x), f32::INFINITY);
        }
        assert!(Real::exp(f32::NAN).is_nan());
    }
}
