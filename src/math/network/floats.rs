//! Vectors of f32 as the kernels of float layers see them.
//!
//! A kernel is written once over [`Floats`] and compiled for every instruction set. Unlike
//! [`Lanes`](crate::math::lanes::Lanes) these may fuse a product and a sum, so results of different
//! instruction sets differ in their last bits.

use crate::math::lanes::WIDTH;
use crate::math::pieces;
use crate::math::sums::sum_in_halves;

/// A vector of [`Floats::COUNT`] f32 values.
pub trait Floats: Copy {
    /// Number of values; a divisor of 16.
    const COUNT: usize;

    /// The same value in every lane.
    fn splat(value: f32) -> Self;
    /// The first `COUNT` values; zeros beyond the end of the slice.
    fn load(values: &[f32]) -> Self;
    /// Writes the first `COUNT` places, or as many as there are.
    fn store(self, places: &mut [f32]);
    /// Lane-wise sum.
    fn add(self, other: Self) -> Self;
    /// Lane-wise difference.
    fn sub(self, other: Self) -> Self;
    /// Lane-wise product.
    fn mul(self, other: Self) -> Self;
    /// Lane-wise quotient.
    fn div(self, other: Self) -> Self;
    /// `self * factor + summand`, rounded once or twice.
    fn mul_add(self, factor: Self, summand: Self) -> Self;
    /// The greater of the two; `other` where either is NaN or both are zero.
    fn max(self, other: Self) -> Self;
    /// The lesser of the two; `other` where either is NaN or both are zero.
    fn min(self, other: Self) -> Self;
    /// The magnitude.
    fn abs(self) -> Self;
    /// The square root.
    fn sqrt(self) -> Self;
    /// `yes` where `self > other`, else `no`.
    fn if_greater(self, other: Self, yes: Self, no: Self) -> Self;
    /// The magnitude of `self` with the sign of `sign`.
    fn with_sign_of(self, sign: Self) -> Self;
    /// `self` times 2 to the power of `whole`, a whole number from -200 to 200.
    fn times_power_of_two(self, whole: Self) -> Self;
    /// `1 / self`, relative error below 2e-7, of numbers from 1e-37 to 1e37.
    fn reciprocal(self) -> Self;
    /// The sum of the lanes.
    fn sum(self) -> f32;
    /// The greatest of the lanes.
    fn greatest(self) -> f32;
}

/// The portable implementation.
#[derive(Clone, Copy)]
pub struct Portable([f32; WIDTH]);

impl Portable {
    #[inline(always)]
    fn zip(self, other: Self, op: impl Fn(f32, f32) -> f32) -> Self {
        let mut out = self.0;
        for (value, right) in out.iter_mut().zip(other.0) {
            *value = op(*value, right);
        }
        Portable(out)
    }
}

/// The ends of rows: apart, since it would be compiled into every loop of every kernel.
#[inline(never)]
fn load_short(values: &[f32]) -> Portable {
    let mut out = [0.0; WIDTH];
    pieces::copy(&mut out, values);
    Portable(out)
}

/// As [`load_short`].
#[inline(never)]
fn store_short(values: Portable, places: &mut [f32]) {
    pieces::copy(places, &values.0);
}

impl Floats for Portable {
    const COUNT: usize = WIDTH;

    #[inline(always)]
    fn splat(value: f32) -> Self {
        Portable([value; WIDTH])
    }

    #[inline(always)]
    fn load(values: &[f32]) -> Self {
        if let Some(all) = values.first_chunk() {
            return Portable(*all);
        }
        load_short(values)
    }

    #[inline(always)]
    fn store(self, places: &mut [f32]) {
        if let Some(all) = places.first_chunk_mut() {
            *all = self.0;
            return;
        }
        store_short(self, places);
    }

    #[inline(always)]
    fn add(self, other: Self) -> Self {
        self.zip(other, |a, b| a + b)
    }

    #[inline(always)]
    fn sub(self, other: Self) -> Self {
        self.zip(other, |a, b| a - b)
    }

    #[inline(always)]
    fn mul(self, other: Self) -> Self {
        self.zip(other, |a, b| a * b)
    }

    #[inline(always)]
    fn div(self, other: Self) -> Self {
        self.zip(other, |a, b| a / b)
    }

    #[inline(always)]
    fn mul_add(self, factor: Self, summand: Self) -> Self {
        self.mul(factor).add(summand)
    }

    #[inline(always)]
    fn max(self, other: Self) -> Self {
        self.zip(other, |a, b| if a > b { a } else { b })
    }

    #[inline(always)]
    fn min(self, other: Self) -> Self {
        self.zip(other, |a, b| if a < b { a } else { b })
    }

    #[inline(always)]
    fn abs(self) -> Self {
        Portable(self.0.map(f32::abs))
    }

    #[inline(always)]
    fn sqrt(self) -> Self {
        Portable(self.0.map(libm::sqrtf))
    }

    #[inline(always)]
    fn if_greater(self, other: Self, yes: Self, no: Self) -> Self {
        let mut out = no.0;
        for (((value, yes), left), right) in out.iter_mut().zip(yes.0).zip(self.0).zip(other.0) {
            *value = if left > right { yes } else { *value };
        }
        Portable(out)
    }

    #[inline(always)]
    fn with_sign_of(self, sign: Self) -> Self {
        self.zip(sign, f32::copysign)
    }

    #[inline(always)]
    fn times_power_of_two(self, whole: Self) -> Self {
        // In two steps, so that results beyond the normal numbers come out right.
        self.zip(whole, |value, whole| {
            // Beside 1.5 * 2^23 only whole numbers exist: the sum's last bits are the number.
            let whole = (whole + 12_582_912.0).to_bits() as i32 - 0x4b40_0000;
            let (one, two) = (whole >> 1, whole - (whole >> 1));
            let power = |whole: i32| f32::from_bits(((whole + 127) as u32) << 23);
            value * power(one) * power(two)
        })
    }

    #[inline(always)]
    fn reciprocal(self) -> Self {
        Self::splat(1.0).div(self)
    }

    #[inline(always)]
    fn sum(self) -> f32 {
        sum_in_halves(self.0)
    }

    #[inline(always)]
    fn greatest(self) -> f32 {
        self.0.into_iter().fold(f32::NEG_INFINITY, |greatest, value| greatest.max(value))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn short_slices_are_padded_with_zeros_and_written_in_part() {
        let mut out = [5.0; WIDTH];
        Portable::load(&[1.0; WIDTH - 1]).store(&mut out);
        let (last, others) = out.split_last().unwrap();
        assert!(*last == 0.0 && others.iter().all(|&value| value == 1.0));
        let mut short = [5.0; WIDTH - 1];
        Portable::splat(1.0).store(&mut short);
        assert_eq!(short, [1.0; WIDTH - 1]);
    }

    #[test]
    fn powers_of_two_are_exact_up_to_the_ends() {
        for power in -149i16..=128 {
            let mut out = [0.0; WIDTH];
            let whole = Portable::splat(f32::from(power));
            Portable::splat(1.0).times_power_of_two(whole).store(&mut out);
            assert_eq!(out[0], libm::exp2(f64::from(power)) as f32);
        }
    }

    #[test]
    fn sums_and_greatest_take_every_lane() {
        let powers: [f32; WIDTH] = core::array::from_fn(|lane| (1 << lane) as f32);
        let lanes = Portable::load(&powers);
        let greatest = powers[WIDTH - 1];
        assert_eq!((lanes.sum(), lanes.greatest()), (2.0 * greatest - 1.0, greatest));
    }
}
