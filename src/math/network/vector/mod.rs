//! Kernels written once for all vector instructions: over the operations of [`ByteLanes`], which
//! `math/arch` implements. Results equal those of the portable kernels bit for bit.

pub mod elementwise_u8;
pub mod pool_u8;
pub mod quantize_u8;
pub mod resize_u8;
pub mod tile_f32;

use super::quantization::QuantizedRange;
use super::table_u8::Table;

/// A vector of bytes. All methods are for functions compiled for the instructions only.
pub trait ByteLanes: Copy {
    /// Bytes in a vector, at most 64.
    const COUNT: usize;
    /// A quarter as many f32.
    type Floats: FloatLanes;
    /// A [`QuantizedRange`].
    type Range: Copy;
    /// A [`Table`].
    type Table: Copy;

    /// The same byte everywhere.
    fn splat(byte: u8) -> Self;
    /// The first `COUNT` of at least as many bytes.
    fn load(bytes: &[u8]) -> Self;
    /// Fewer bytes, then zeros.
    fn load_part(bytes: &[u8]) -> Self;
    /// To the first `COUNT` of at least as many places.
    fn store(self, places: &mut [u8]);
    /// To fewer places.
    fn store_part(self, places: &mut [u8]);
    /// The larger of each two.
    fn max(self, other: Self) -> Self;
    /// As real numbers, in order.
    fn to_floats(self) -> [Self::Floats; 4];
    /// 2^23 plus each byte, in the order of `gather`: cheaper than `to_floats`.
    fn spread(self) -> [Self::Floats; 4];
    /// As `quantize`, of numbers in the order of `spread`.
    fn gather(steps: [Self::Floats; 4], range: &Self::Range) -> Self;
    /// `range` as `quantize` needs it.
    fn range(range: QuantizedRange) -> Self::Range;
    /// `QuantizedRange::quantize` of each. No number may be NaN.
    fn quantize(steps: [Self::Floats; 4], range: &Self::Range) -> Self;
    /// As `quantize`, for magnitudes below 2^31.
    fn quantize_bounded(steps: [Self::Floats; 4], range: &Self::Range) -> Self;
    /// `table` as `look_up` needs it.
    fn table(table: &Table) -> Self::Table;
    /// The results of a table.
    fn look_up(self, table: &Self::Table) -> Self;
    /// Adds the even bytes to the 16-bit numbers `sums[0]`, the odd ones to `sums[1]`.
    fn add_to(self, sums: [Self; 2]) -> [Self; 2];
    /// Such sums, less `terms[0]`, times `terms[1]`, quantised.
    fn mean(sums: [Self; 2], terms: [Self::Floats; 2], range: &Self::Range) -> Self;
}

/// What `ByteLanes::spread` adds.
pub const SPREAD: f32 = 8_388_608.0;

/// A vector of f32.
pub trait FloatLanes: Copy {
    /// Numbers in a vector.
    const COUNT: usize;

    /// The same number everywhere.
    fn splat(value: f32) -> Self;
    /// The first `COUNT` of at least as many numbers.
    fn load(values: &[f32]) -> Self;
    /// To the first `COUNT` of at least as many places.
    fn store(self, places: &mut [f32]);
    /// Sums.
    fn add(self, other: Self) -> Self;
    /// Differences.
    fn sub(self, other: Self) -> Self;
    /// Products.
    fn mul(self, other: Self) -> Self;
    /// Quotients.
    fn div(self, other: Self) -> Self;
    /// Magnitudes.
    fn abs(self) -> Self;
    /// Whole numbers, halves to even; for magnitudes below 2^22.
    fn round(self) -> Self;
    /// The smaller of each two, `other` where one is NaN.
    fn min(self, other: Self) -> Self;
    /// The larger of each two, `other` where one is NaN.
    fn max(self, other: Self) -> Self;
    /// Zero instead of NaN.
    fn number(self) -> Self;
    /// Whether any is larger than `limit`'s.
    fn any_above(self, limit: Self) -> bool;
}

/// The whole pieces of `count` elements, and the rest.
#[inline(always)]
pub(crate) fn cut<T>(slice: &[T], count: usize) -> (&[T], &[T]) {
    slice.split_at_checked(slice.len() / count.max(1) * count).unwrap_or((&[], &[]))
}

/// As [`cut`], to be written.
#[inline(always)]
pub(crate) fn cut_mut<T>(slice: &mut [T], count: usize) -> (&mut [T], &mut [T]) {
    let whole = slice.len() / count.max(1) * count;
    slice.split_at_mut_checked(whole).unwrap_or((&mut [], &mut []))
}
