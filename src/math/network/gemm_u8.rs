//! Matrix products of unsigned activations and signed weights, int8 x int8 into int32, with the
//! requantisation, activation and residual addition of a layer fused in.

use super::gemm_out::GemmOut;
use crate::math::pieces::{piece, pieces};
use core::ops::Range;

/// Columns of a block of packed weights.
pub const BLOCK_COLUMNS: usize = 16;
/// Depth that one step of the inner product takes.
pub const DEPTH_STEP: usize = 4;
/// Depth that one step of a matrix unit (AMX) takes; weights padded to it can use one.
pub const TILE_DEPTH: usize = 64;

/// Rows of activations at one distance from each other.
#[derive(Clone, Copy, Debug)]
pub struct RowsU8<'a> {
    /// From row 0 on. Up to 63 bytes behind the last row's depth are read where they exist.
    pub data: &'a [u8],
    /// Bytes from row to row; may be less than the depth (rows then overlap).
    pub stride: usize,
    /// Rows.
    pub rows: usize,
}

/// Weights as `pack_gemm_i8` writes them: `[column block of 16][depth / 4][16 columns][4 depth]`,
/// zeros where the columns or the depth end within a block.
#[derive(Clone, Copy, Debug)]
pub struct PackedI8<'a> {
    /// At least `column_blocks * depth_padded * 16` values.
    pub data: &'a [i8],
    /// Columns in use.
    pub columns: usize,
    /// Depth in use, a multiple of 4.
    pub depth: usize,
    /// Depth of a block, a multiple of 4, at least `depth`.
    pub depth_padded: usize,
}

impl PackedI8<'_> {
    /// Blocks of 16 columns.
    pub const fn blocks(&self) -> usize {
        self.columns.div_ceil(BLOCK_COLUMNS)
    }

    /// Values of one block.
    pub const fn block_len(&self) -> usize {
        self.depth_padded.saturating_mul(BLOCK_COLUMNS)
    }
}

/// A product `left * right + bias`, in wrapping int32.
#[derive(Clone, Copy, Debug)]
pub struct GemmU8<'a> {
    /// Activations, one row per row of the result.
    pub left: RowsU8<'a>,
    /// Weights.
    pub right: PackedI8<'a>,
    /// One per column, padded to a multiple of 16.
    pub bias: &'a [i32],
    /// Added to every column of a row: one per row, or empty for none.
    pub row_bias: &'a [i32],
    /// The parts of the depth that are summed: ascending, apart, within `right.depth`, borders at
    /// multiples of 4. What lies between them is neither read nor counted.
    pub segments: &'a [Range<usize>],
}

impl GemmU8<'_> {
    /// The highest depth that is read.
    pub fn depth_end(&self) -> usize {
        self.segments.iter().map(|segment| segment.end).max().unwrap_or(0)
    }

    /// Whether every slice is long enough for this product and the fields agree.
    pub fn is_valid(&self) -> bool {
        let right = &self.right;
        let segment_fits = |segment: &Range<usize>| {
            segment.start <= segment.end
                && segment.start.is_multiple_of(DEPTH_STEP)
                && segment.end.is_multiple_of(DEPTH_STEP)
        };
        let weights = right.blocks().checked_mul(right.block_len());
        right.depth <= right.depth_padded
            && self.depth_end() <= right.depth
            && self.segments.iter().all(segment_fits)
            && weights.is_some_and(|len| len <= right.data.len())
            && rows_fit(self.left.data.len(), self.left.rows, self.left.stride, self.depth_end())
            && right.blocks().saturating_mul(BLOCK_COLUMNS) <= self.bias.len()
            && (self.row_bias.is_empty() || self.left.rows <= self.row_bias.len())
    }
}

/// Whether `rows` rows of `width` elements, `stride` apart, lie within `len` elements.
pub fn rows_fit(len: usize, rows: usize, stride: usize, width: usize) -> bool {
    let Some(last) = rows.checked_sub(1) else { return true };
    let end = last.checked_mul(stride).and_then(|start| start.checked_add(width));
    end.is_some_and(|end| end <= len)
}

/// A kernel for [`GemmU8`]: [`gemm_u8`] or one equal to it bit for bit.
pub type GemmU8Fn = fn(&GemmU8<'_>, &mut GemmOut<'_>) -> bool;

/// The product, written to `out`. Portable reference. Cost: rows x columns x depth multiplications.
/// Returns false, having written nothing, when a slice is too short or fields disagree.
pub fn gemm_u8(gemm: &GemmU8<'_>, out: &mut GemmOut<'_>) -> bool {
    if !gemm.is_valid() || !out.is_valid(gemm.left.rows, gemm.right.columns) {
        return false;
    }
    for row in 0..gemm.left.rows {
        let Some(left) = gemm.left.data.get(row.saturating_mul(gemm.left.stride)..) else {
            return false;
        };
        let row_bias = gemm.row_bias.get(row).copied().unwrap_or(0);
        let blocks = pieces(gemm.right.data, gemm.right.block_len());
        for (block, weights) in blocks.take(gemm.right.blocks()).enumerate() {
            let column = block.saturating_mul(BLOCK_COLUMNS);
            let bias = piece(gemm.bias, block, BLOCK_COLUMNS).unwrap_or_default();
            let mut sums = [row_bias; BLOCK_COLUMNS];
            for (sum, bias) in sums.iter_mut().zip(bias) {
                *sum = sum.wrapping_add(*bias);
            }
            for segment in gemm.segments {
                add_products(left, weights, segment, &mut sums);
            }
            let columns = gemm.right.columns.saturating_sub(column).min(BLOCK_COLUMNS);
            out.write(row, column, sums.get(..columns).unwrap_or_default());
        }
    }
    true
}

/// Adds one segment's products of a row with a block of 16 columns.
fn add_products(
    left: &[u8],
    weights: &[i8],
    segment: &Range<usize>,
    sums: &mut [i32; BLOCK_COLUMNS],
) {
    let left = left.get(segment.clone()).unwrap_or_default();
    let weights = weights.get(segment.start.saturating_mul(BLOCK_COLUMNS)..).unwrap_or_default();
    let (left, _) = left.as_chunks::<DEPTH_STEP>();
    let (weights, _) = weights.as_chunks::<{ BLOCK_COLUMNS * DEPTH_STEP }>();
    for (values, weights) in left.iter().zip(weights) {
        let [a, b, c, d] = values.map(i32::from);
        let (columns, _) = weights.as_chunks::<DEPTH_STEP>();
        for (sum, column) in sums.iter_mut().zip(columns) {
            let [p, q, r, s] = column.map(i32::from);
            *sum = sum.wrapping_add(a * p + b * q + c * r + d * s);
        }
    }
}
