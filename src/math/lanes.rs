//! Vectors of f32 as the kernels see them.
//!
//! A kernel is written once over [`Lanes`] and compiled for every instruction set. Only
//! operations that IEEE 754 rounds exactly are offered (no fused multiply-add, no reciprocal
//! estimates), so that every implementation gives the same bits.

/// A vector of [`Lanes::COUNT`] f32 values.
pub trait Lanes: Copy {
    /// Number of values.
    const COUNT: usize;
    /// A bit for every lane.
    const LANES: u32 = u32::MAX >> (32 - Self::COUNT);
    /// Result of a comparison, one truth value per lane.
    type Mask: Copy;
    /// Lane numbers for [`Lanes::pick`].
    type Picks: Copy;

    /// The same value in every lane.
    fn splat(value: f32) -> Self;
    /// The first `COUNT` values; zeros when there are fewer.
    fn load(values: &[f32]) -> Self;
    /// Writes the first `COUNT` places; writes nothing when there are fewer.
    fn store(self, values: &mut [f32]);
    /// Lane-wise sum.
    fn add(self, other: Self) -> Self;
    /// Lane-wise difference.
    fn sub(self, other: Self) -> Self;
    /// Lane-wise product.
    fn mul(self, other: Self) -> Self;
    /// The greater of the two; `other` where either is NaN or both are zero.
    fn max(self, other: Self) -> Self;
    /// The lesser of the two; `other` where either is NaN or both are zero.
    fn min(self, other: Self) -> Self;
    /// The magnitude.
    fn abs(self) -> Self;
    /// True where `self > other`; false where either is NaN.
    fn greater(self, other: Self) -> Self::Mask;
    /// A bit per lane, that of the first lane lowest.
    fn bits(mask: Self::Mask) -> u32;
    /// `yes` where the mask is true, else `no`.
    fn select(mask: Self::Mask, yes: Self, no: Self) -> Self;
    /// Lane numbers from the first `COUNT` of `columns`, counted from `base`. Each must be less
    /// than `COUNT`; higher ones are taken modulo `COUNT`.
    fn picks(columns: &[u32], base: u32) -> Self::Picks;
    /// Lane `i` of the result is lane `picks[i]` of `self`.
    fn pick(self, picks: Self::Picks) -> Self;
    /// 2 to the power of each lane, which must be a whole number from -126 to 127.
    fn exp2_whole(self) -> Self;
    /// Rounds numbers of magnitude up to 127 to whole ones (ties to even; NaN becomes 0), adds 128
    /// and writes them as bytes, those of a lane side by side. Writes the first `4 * COUNT` places;
    /// nothing when there are fewer.
    fn store_points(four: [Self; 4], points: &mut [u8]);
}

/// Lanes of [`Portable`]: a register of the narrowest vectors there are, or one value where there
/// are none, and in builds without `std`, which are made for size: every further lane is more code.
pub const WIDTH: usize = if cfg!(any(target_arch = "arm", not(feature = "std"))) { 1 } else { 4 };

/// The portable implementation, and the reference that the others are tested against.
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

impl Lanes for Portable {
    const COUNT: usize = WIDTH;
    type Mask = [bool; WIDTH];
    type Picks = [u32; WIDTH];

    #[inline(always)]
    fn splat(value: f32) -> Self {
        Portable([value; WIDTH])
    }

    #[inline(always)]
    fn load(values: &[f32]) -> Self {
        Portable(values.first_chunk().copied().unwrap_or_default())
    }

    #[inline(always)]
    fn store(self, values: &mut [f32]) {
        if let Some(place) = values.first_chunk_mut() {
            *place = self.0;
        }
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
    fn greater(self, other: Self) -> [bool; WIDTH] {
        let mut mask = [false; WIDTH];
        for ((truth, left), right) in mask.iter_mut().zip(self.0).zip(other.0) {
            *truth = left > right;
        }
        mask
    }

    #[inline(always)]
    fn bits(mask: [bool; WIDTH]) -> u32 {
        mask.iter().rev().fold(0, |bits, &truth| bits << 1 | u32::from(truth))
    }

    #[inline(always)]
    fn select(mask: [bool; WIDTH], yes: Self, no: Self) -> Self {
        let mut out = no.0;
        for ((value, truth), yes) in out.iter_mut().zip(mask).zip(yes.0) {
            *value = if truth { yes } else { *value };
        }
        Portable(out)
    }

    #[inline(always)]
    fn picks(columns: &[u32], base: u32) -> [u32; WIDTH] {
        let mut picks = [0; WIDTH];
        for (pick, &column) in picks.iter_mut().zip(columns) {
            *pick = column.wrapping_sub(base) % WIDTH as u32;
        }
        picks
    }

    #[inline(always)]
    fn pick(self, picks: [u32; WIDTH]) -> Self {
        let mut out = [0.0; WIDTH];
        for (value, pick) in out.iter_mut().zip(picks) {
            *value = self.0.get(pick as usize).copied().unwrap_or_default();
        }
        Portable(out)
    }

    #[inline(always)]
    fn exp2_whole(self) -> Self {
        let mut out = self.0;
        for value in &mut out {
            *value = f32::from_bits(((*value as i32).wrapping_add(127) as u32) << 23);
        }
        Portable(out)
    }

    #[inline(always)]
    fn store_points([a, b, c, d]: [Self; 4], points: &mut [u8]) {
        let Some(points) = points.first_chunk_mut::<{ 4 * WIDTH }>() else { return };
        let lanes = a.0.into_iter().zip(b.0).zip(c.0.into_iter().zip(d.0));
        for (place, ((a, b), (c, d))) in points.as_chunks_mut().0.iter_mut().zip(lanes) {
            *place = [a, b, c, d].map(point);
        }
    }
}

/// A number of magnitude up to 127 as a whole one plus 128; 128 for NaN.
#[inline(always)]
fn point(x: f32) -> u8 {
    // Beside 1.5 * 2^23 only whole numbers exist, so adding it rounds; its own last byte is 0.
    const ROUNDER: f32 = 12_582_912.0 + 128.0;
    if x.is_nan() { 128 } else { ((x + ROUNDER).to_bits() & 0xff) as u8 }
}

/// `exp(x)` for `x <= 0`, relative error below 2e-7 down to -87; smaller arguments (and NaN) are
/// treated as -87. Cephes' range reduction with a polynomial of degree 5, in plain products and
/// sums, hence equal bits for every [`Lanes`].
#[inline(always)]
pub fn exp_nonpositive<L: Lanes>(x: L) -> L {
    let floor = L::splat(-87.0);
    let x = x.max(floor);
    // Adding and subtracting 1.5 * 2^23 rounds to the nearest whole number.
    let rounder = L::splat(12_582_912.0);
    let whole = x.mul(L::splat(core::f32::consts::LOG2_E)).add(rounder).sub(rounder);
    let rest = x.sub(whole.mul(L::splat(0.693_359_4))).sub(whole.mul(L::splat(-2.121_944_4e-4)));
    let coefficients = [1.398_199_9e-3, 8.333_452e-3, 4.166_579_6e-2, 1.666_666_5e-1, 0.5];
    let mut series = L::splat(1.987_569_1e-4);
    for coefficient in coefficients {
        series = series.mul(rest).add(L::splat(coefficient));
    }
    let value = series.mul(rest.mul(rest)).add(rest).add(L::splat(1.0));
    value.mul(whole.exp2_whole())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exp_is_close_to_the_libm_one() {
        for step in 0..8_700 {
            let x = -(step as f32) * 0.01;
            let mut out = [0.0f32; WIDTH];
            exp_nonpositive(Portable::splat(x)).store(&mut out);
            let exact = libm::exp(f64::from(x));
            let error = (f64::from(out[0]) - exact).abs() / exact;
            assert!(error < 2e-7, "exp({x}) = {}, relative error {error}", out[0]);
        }
    }

    #[test]
    fn short_slices_load_as_zeros_and_are_not_written() {
        let mut out = [5.0; WIDTH];
        Portable::load(&[1.0; WIDTH - 1]).store(&mut out);
        assert_eq!(out, [0.0; WIDTH]);
        let mut short = [5.0; WIDTH - 1];
        Portable::splat(1.0).store(&mut short);
        assert_eq!(short, [5.0; WIDTH - 1]);
    }
}
