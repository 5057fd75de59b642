//! The geometry of a convolution and the order of its depth, which packer and kernel share.

use super::gemm_pack::{pack_with, packed_gemm_i8_len};
use super::gemm_u8::{BLOCK_COLUMNS, DEPTH_STEP, TILE_DEPTH};
use crate::math::pieces::{pieces, pieces_mut};
use core::ops::Range;

/// Longest side of a map, kernel, stride, dilation or padding.
pub const MAX_SIDE: usize = 1 << 15;
/// Bytes that short copies may write behind a row's depth.
const COPY_SLACK: usize = 15;
/// Alignment of gathered rows.
const LINE: usize = 64;
/// Taps in the padding are skipped from this dilation on; below, too few are.
const MIN_SKIP_DILATION: usize = 3;

/// A convolution's geometry. Pairs are (vertical, horizontal).
#[derive(Clone, Copy, Debug)]
pub struct ConvShape {
    /// Taps.
    pub kernel: [usize; 2],
    /// Input pixels from output pixel to output pixel.
    pub stride: [usize; 2],
    /// Input pixels from tap to tap.
    pub dilation: [usize; 2],
    /// Rows above and columns to the left of the input, filled with its zero point. What is needed
    /// below and to the right follows from the output's size.
    pub padding: [usize; 2],
    /// Groups.
    pub groups: usize,
    /// Input channels of a group.
    pub channels: usize,
    /// Output channels of a group.
    pub columns: usize,
}

/// The order of a convolution's depth: chunks one after another. With a horizontal dilation of 1 a
/// chunk is one kernel row, `[kernel column][channel]`; else one tap, `[channel]`, kernel row by
/// kernel row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ConvDepth {
    /// Taps of a chunk.
    pub chunk_taps: usize,
    /// Chunks.
    pub chunks: usize,
    /// Values of a chunk in use.
    pub chunk_len: usize,
    /// Values from chunk to chunk: a multiple of 4; of 64 for long chunks of dilated kernels, so
    /// that matrix units can skip them.
    pub chunk_stride: usize,
    /// Depth of the product: `chunks * chunk_stride`.
    pub depth: usize,
    /// Depth of a block of packed weights: a multiple of the packer's step.
    pub depth_padded: usize,
}

impl ConvShape {
    /// The order of the depth for weights packed in steps of `step`: 4, or 64 for matrix units.
    pub const fn depth(&self, step: usize) -> ConvDepth {
        let [rows, columns] = self.kernel;
        let by_row = self.dilation[1] == 1 || columns == 1;
        let chunk_taps = if by_row { columns } else { 1 };
        let chunks = if by_row { rows } else { rows.saturating_mul(columns) };
        let chunk_len = chunk_taps.saturating_mul(self.channels);
        let tiles = step == TILE_DEPTH && self.dilation[0] >= MIN_SKIP_DILATION;
        let align = if tiles && chunk_len > TILE_DEPTH { TILE_DEPTH } else { DEPTH_STEP };
        let chunk_stride = chunk_len.next_multiple_of(align);
        let depth = chunks.saturating_mul(chunk_stride);
        let step = if step == TILE_DEPTH { TILE_DEPTH } else { DEPTH_STEP };
        let depth_padded = depth.next_multiple_of(step);
        ConvDepth { chunk_taps, chunks, chunk_len, chunk_stride, depth, depth_padded }
    }

    /// Whether each output pixel needs just the input pixel in its place: nothing is gathered.
    pub const fn is_direct(&self) -> bool {
        let ([1, 1], [1, 1]) = (self.kernel, self.stride) else { return false };
        self.padding[0] == 0 && self.padding[1] == 0
    }

    /// Whether all sides are in range.
    pub fn is_valid(&self) -> bool {
        let sides = [self.kernel, self.stride, self.dilation].into_iter().flatten();
        sides.chain([self.groups]).all(|side| (1..=MAX_SIDE).contains(&side))
            && [self.channels, self.columns].iter().all(|count| *count <= MAX_SIDE)
            && self.padding.iter().all(|side| *side <= MAX_SIDE)
            && self.kernel[0] * self.kernel[1] <= MAX_SIDE
    }

    /// Which taps along `axis` meet the input (of `size` pixels) at output `position`.
    pub fn taps(&self, axis: usize, position: usize, size: usize) -> Range<usize> {
        let get = |pair: [usize; 2]| pair.get(axis).copied().unwrap_or(1);
        let (padding, dilation) = (get(self.padding), get(self.dilation));
        let place = position.saturating_mul(get(self.stride));
        let first = ceil_div(padding.saturating_sub(place), dilation);
        let last = ceil_div(size.saturating_add(padding).saturating_sub(place), dilation);
        let last = last.min(get(self.kernel));
        first.min(last)..last
    }

    /// The end of the positions from `range.start` on at which the same taps along `axis` meet the
    /// input, and these taps; the whole range and all taps where skipping does not pay.
    pub fn span(&self, axis: usize, range: Range<usize>, size: usize) -> (usize, Range<usize>) {
        let dilation = self.dilation.get(axis).copied().unwrap_or(1);
        let all = 0..self.kernel.get(axis).copied().unwrap_or(1);
        if dilation < MIN_SKIP_DILATION || all.len() < 2 {
            return (range.end, all);
        }
        let taps = self.taps(axis, range.start, size);
        let same = |position: &usize| self.taps(axis, *position, size) == taps;
        let count = range.clone().skip(1).take_while(same).count();
        (range.start.saturating_add(count).saturating_add(1).min(range.end), taps)
    }
}

impl ConvDepth {
    /// Bytes from row to row of gathered input: whole cache lines, an odd number of them so that
    /// rows do not compete for the same cache sets.
    pub const fn row_stride(&self) -> usize {
        (self.depth.saturating_add(COPY_SLACK).div_ceil(LINE) | 1).saturating_mul(LINE)
    }

    /// Where a tap starts in the depth.
    pub fn tap_start(&self, kernel_columns: usize, row: usize, column: usize) -> usize {
        if self.chunks != 1 && self.chunk_taps == 1 {
            return (row * kernel_columns + column) * self.chunk_stride;
        }
        let channels = self.chunk_len.checked_div(self.chunk_taps).unwrap_or(0);
        row * self.chunk_stride + column * channels
    }
}

/// Division rounding up; 0 by 0.
pub fn ceil_div(dividend: usize, divisor: usize) -> usize {
    let up = dividend.saturating_add(divisor.saturating_sub(1));
    up.checked_div(divisor).unwrap_or(0)
}

/// Values of a convolution's packed weights, all groups.
pub const fn packed_conv_i8_len(shape: &ConvShape, step: usize) -> usize {
    let depth = shape.depth(step);
    packed_gemm_i8_len(shape.columns, depth.depth_padded).saturating_mul(shape.groups)
}

/// Entries of [`tap_sums_i8`].
pub const fn tap_sums_len(shape: &ConvShape, step: usize) -> usize {
    let columns = shape.columns.next_multiple_of(BLOCK_COLUMNS);
    shape.depth(step).chunks.saturating_mul(columns).saturating_mul(shape.groups)
}

/// Packs weights `[group][column][kernel row][kernel column][channel]`, each group as
/// [`super::gemm_pack::pack_gemm_i8`] does, in the order of [`ConvShape::depth`] (`step` 4 or 64).
/// Returns false when a slice is too short.
pub fn pack_conv_i8(shape: &ConvShape, weights: &[i8], step: usize, packed: &mut [i8]) -> bool {
    let depth = shape.depth(step);
    let taps = shape.kernel[0].saturating_mul(shape.kernel[1]);
    let row = taps.saturating_mul(shape.channels);
    let group_len = row.saturating_mul(shape.columns);
    let fits = shape.is_valid()
        && group_len.saturating_mul(shape.groups) <= weights.len()
        && packed_conv_i8_len(shape, step) <= packed.len();
    let packed_len = packed_gemm_i8_len(shape.columns, depth.depth_padded);
    if !fits || packed_len == 0 || group_len == 0 {
        return fits;
    }
    let groups = pieces_mut(packed, packed_len).zip(pieces(weights, group_len));
    for (packed, weights) in groups.take(shape.groups) {
        pack_with(shape.columns, depth.depth_padded, packed, |column, place| {
            let chunk = place.checked_div(depth.chunk_stride).unwrap_or(0);
            let within = place.checked_rem(depth.chunk_stride).unwrap_or(0);
            if chunk >= depth.chunks || within >= depth.chunk_len {
                return 0;
            }
            let source = column * row + chunk * depth.chunk_len + within;
            weights.get(source).copied().unwrap_or(0)
        });
    }
    true
}

/// Sums of each chunk's weights, `[group][chunk][columns padded to 16]`, from weights as
/// [`pack_conv_i8`] takes them: what a skipped chunk's zero points would have added. Returns false
/// when a slice is too short.
pub fn tap_sums_i8(shape: &ConvShape, weights: &[i8], step: usize, sums: &mut [i32]) -> bool {
    let depth = shape.depth(step);
    let padded = shape.columns.next_multiple_of(BLOCK_COLUMNS);
    let row = depth.chunks.saturating_mul(depth.chunk_len);
    let group_len = row.saturating_mul(shape.columns);
    let fits = shape.is_valid()
        && group_len.saturating_mul(shape.groups) <= weights.len()
        && tap_sums_len(shape, step) <= sums.len();
    if !fits || padded == 0 {
        return fits;
    }
    let rows = pieces_mut(sums, padded).take(depth.chunks.saturating_mul(shape.groups));
    for (index, sums) in rows.enumerate() {
        let group = index.checked_div(depth.chunks).unwrap_or(0);
        let chunk = index.checked_rem(depth.chunks).unwrap_or(0);
        for (column, sum) in sums.iter_mut().enumerate() {
            let start = (group * shape.columns + column) * row + chunk * depth.chunk_len;
            let weights = weights.get(start..start + depth.chunk_len).unwrap_or_default();
            let used = column < shape.columns;
            *sum = if used { weights.iter().map(|weight| i32::from(*weight)).sum() } else { 0 };
        }
    }
    true
}
