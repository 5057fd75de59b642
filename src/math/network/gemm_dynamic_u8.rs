//! Products of two activations (attention): the right operand is packed at run time.
//!
//! With `b' = b - 128` and its zero point `z_b' = z_b - 128`,
//! `sum (a - z_a)(b - z_b) = sum a b' - z_b' sum a - z_a (sum b' - depth z_b')`:
//! a product of u8 and s8, a correction per row and one per column.

use super::gemm_pack::packed_gemm_i8_len;
use super::gemm_u8::{BLOCK_COLUMNS, DEPTH_STEP, RowsU8, rows_fit};
use crate::math::pieces::pieces_mut;

/// Flips the sign bit: the same number less 128, as s8.
pub const SIGN: u8 = 0x80;

/// An activation as a right operand.
#[derive(Clone, Copy, Debug)]
pub struct DynamicU8<'a> {
    /// `[depth][columns]`, or `[columns][depth]` where `by_column` is set.
    pub data: &'a [u8],
    /// Elements from row to row of `data`.
    pub stride: usize,
    /// Whether a row of `data` is one column.
    pub by_column: bool,
    /// Columns of the product.
    pub columns: usize,
    /// Depth of the product.
    pub depth: usize,
    /// Of these activations.
    pub zero_point: u8,
    /// Of the left operand.
    pub left_zero_point: u8,
}

/// [`pack_gemm_dynamic_u8`] or a kernel equal to it bit for bit.
pub type PackDynamicU8Fn = fn(&DynamicU8<'_>, usize, &mut [i8], &mut [i32]) -> bool;
/// [`row_bias_dynamic_u8`] or a kernel equal to it bit for bit.
pub type RowBiasU8Fn = fn(&RowsU8<'_>, usize, u8, &mut [i32]) -> bool;

impl DynamicU8<'_> {
    /// Whether the data, and the packed operand and its biases, are long enough.
    pub fn fits(&self, depth_padded: usize, packed: &[i8], bias: &[i32]) -> bool {
        let (rows, width) = match self.by_column {
            true => (self.columns, self.depth),
            false => (self.depth, self.columns),
        };
        rows_fit(self.data.len(), rows, self.stride, width)
            && self.depth <= depth_padded
            && depth_padded.is_multiple_of(DEPTH_STEP)
            && packed_gemm_i8_len(self.columns, depth_padded) <= packed.len()
            && self.columns.next_multiple_of(BLOCK_COLUMNS) <= bias.len()
    }

    /// The correction of a column whose values, less 128, have this sum.
    pub fn column_bias(&self, sum: i32) -> i32 {
        let depth = i32::try_from(self.depth).unwrap_or(i32::MAX);
        let offset = depth.wrapping_mul(i32::from(self.zero_point) - i32::from(SIGN));
        i32::from(self.left_zero_point).wrapping_mul(offset.wrapping_sub(sum))
    }
}

/// Packs an activation for `GemmU8::right` (`depth_padded` as for `pack_gemm_i8`) and writes the
/// corrections per column, one per column padded to 16, for `GemmU8::bias`. Returns false when a
/// slice is too short.
pub fn pack_gemm_dynamic_u8(
    right: &DynamicU8<'_>,
    depth_padded: usize,
    packed: &mut [i8],
    bias: &mut [i32],
) -> bool {
    if !right.fits(depth_padded, packed, bias) {
        return false;
    }
    let blocks = pieces_mut(packed, depth_padded.saturating_mul(BLOCK_COLUMNS));
    let biases = pieces_mut(bias, BLOCK_COLUMNS);
    let blocks = blocks.zip(biases).take(right.columns.div_ceil(BLOCK_COLUMNS));
    for (block, (packed, bias)) in blocks.enumerate() {
        let (steps, _) = packed.as_chunks_mut();
        let mut sums = [0; BLOCK_COLUMNS];
        match right.by_column {
            true => pack_columns(right, block * BLOCK_COLUMNS, steps, &mut sums),
            false => pack_rows(right, block * BLOCK_COLUMNS, steps, &mut sums),
        }
        for (bias, sum) in bias.iter_mut().zip(sums) {
            *bias = right.column_bias(sum);
        }
    }
    true
}

/// Four depths of 16 columns.
type Step = [i8; BLOCK_COLUMNS * DEPTH_STEP];

/// Packs a block from `[columns][depth]` and sums its columns.
fn pack_columns(right: &DynamicU8<'_>, first: usize, steps: &mut [Step], sums: &mut [i32; 16]) {
    for (column, sum) in sums.iter_mut().enumerate() {
        let place = column * DEPTH_STEP;
        let exists = first + column < right.columns;
        let start = (first + column).saturating_mul(right.stride);
        let values = right.data.get(start..).and_then(|data| data.get(..right.depth));
        let values = values.filter(|_| exists).unwrap_or_default();
        let (fours, rest) = values.as_chunks::<DEPTH_STEP>();
        let mut places = steps
            .iter_mut()
            .filter_map(|step| step.get_mut(place..)?.first_chunk_mut::<DEPTH_STEP>());
        for (to, four) in places.by_ref().take(fours.len()).zip(fours) {
            *to = four.map(signed);
            *sum += to.iter().map(|value| i32::from(*value)).sum::<i32>();
        }
        let mut last = [0; DEPTH_STEP];
        for (to, value) in last.iter_mut().zip(rest) {
            *to = signed(*value);
            *sum += i32::from(*to);
        }
        for to in places {
            *to = last;
            last = [0; DEPTH_STEP];
        }
    }
}

/// Packs a block from `[depth][columns]` and sums its columns.
fn pack_rows(right: &DynamicU8<'_>, first: usize, steps: &mut [Step], sums: &mut [i32; 16]) {
    let columns = right.columns.saturating_sub(first).min(BLOCK_COLUMNS);
    for (step, to) in steps.iter_mut().enumerate() {
        let mut rows = [[0; BLOCK_COLUMNS]; DEPTH_STEP];
        for (index, row) in rows.iter_mut().enumerate() {
            let depth = step * DEPTH_STEP + index;
            if depth < right.depth {
                let start = depth.saturating_mul(right.stride).saturating_add(first);
                *row = load_row(right.data.get(start..).unwrap_or_default(), columns);
            }
        }
        let [a, b, c, d] = &rows;
        let (places, _) = to.as_chunks_mut::<DEPTH_STEP>();
        let rows = a.iter().zip(b).zip(c.iter().zip(d));
        for ((place, sum), ((a, b), (c, d))) in places.iter_mut().zip(sums.iter_mut()).zip(rows) {
            *place = [*a, *b, *c, *d];
            *sum += i32::from(*a) + i32::from(*b) + i32::from(*c) + i32::from(*d);
        }
    }
}

/// 16 values less 128; zeros behind the last column.
fn load_row(values: &[u8], columns: usize) -> [i8; BLOCK_COLUMNS] {
    if let (Some(values), BLOCK_COLUMNS) = (values.first_chunk(), columns) {
        return values.map(signed);
    }
    let mut row = [0; BLOCK_COLUMNS];
    for (to, value) in row.iter_mut().zip(values).take(columns) {
        *to = signed(*value);
    }
    row
}

#[inline(always)]
fn signed(value: u8) -> i8 {
    (value ^ SIGN).cast_signed()
}

/// Corrections per row for `GemmU8::row_bias`: `-(zero_point - 128) * sum of the row`, of the
/// right operand's zero point. All are 0 for a zero point of 128: none are then needed. Returns
/// false when a slice is too short.
pub fn row_bias_dynamic_u8(
    left: &RowsU8<'_>,
    depth: usize,
    zero_point: u8,
    row_bias: &mut [i32],
) -> bool {
    if !rows_fit(left.data.len(), left.rows, left.stride, depth) || left.rows > row_bias.len() {
        return false;
    }
    let factor = i32::from(SIGN) - i32::from(zero_point);
    for (row, bias) in row_bias.iter_mut().enumerate().take(left.rows) {
        let values = left.data.get(row.saturating_mul(left.stride)..).unwrap_or_default();
        let values = values.get(..depth).unwrap_or_default();
        let sum: i32 = values.iter().map(|value| i32::from(*value)).sum();
        *bias = sum.wrapping_mul(factor);
    }
    true
}
