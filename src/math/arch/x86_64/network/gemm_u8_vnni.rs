//! Products of u8 and s8, AVX-512 VNNI: tiles of 12 rows and 32 columns, 24 accumulators.

use super::gemm_u8_finish::{Part, TILE_COLUMNS, Target};
use crate::math::network::gemm_u8::{BLOCK_COLUMNS, DEPTH_STEP, GemmU8};
use core::arch::x86_64::*;
use core::mem::MaybeUninit;
use core::ops::Range;

/// Rows of a full tile.
const TILE_ROWS: usize = 12;
/// Bytes of weights that are used for all rows before the next are: half of a second-level cache.
pub const GROUP_BYTES: usize = 1 << 20;

/// Operands of one tile.
struct Tile<'a> {
    left: *const u8,
    stride: usize,
    weights: *const i8,
    block_len: usize,
    bias: *const i32,
    segments: &'a [Range<usize>],
}

/// Columns of one group of weights: whole pairs of blocks of at most [`GROUP_BYTES`].
pub fn group_columns(gemm: &GemmU8<'_>) -> usize {
    let depth: usize = gemm.segments.iter().map(|segment| segment.len()).sum();
    let pairs = GROUP_BYTES / (depth * TILE_COLUMNS).max(1);
    pairs.max(1) * TILE_COLUMNS
}

/// The product.
///
/// # Safety
/// AVX-512 F, BW, VL, VBMI and VNNI; `target` was made of `gemm`.
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni,avx512vbmi")]
pub unsafe fn gemm_vnni(gemm: &GemmU8<'_>, target: &Target<'_>) {
    let group = group_columns(gemm);
    let columns = gemm.right.columns;
    for first in (0..columns).step_by(group) {
        let columns = first..columns.min(first + group);
        // SAFETY: the caller's promises; the columns are those of the result.
        unsafe { gemm_rows(gemm, target, 0..gemm.left.rows, columns) };
    }
}

/// Some rows and columns of the product; columns start at a multiple of 16.
///
/// # Safety
/// As for [`gemm_vnni`]; rows and columns lie within the result.
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni,avx512vbmi")]
pub unsafe fn gemm_rows(
    gemm: &GemmU8<'_>,
    target: &Target<'_>,
    rows: Range<usize>,
    columns: Range<usize>,
) {
    let mut row = rows.start;
    while row < rows.end {
        let rest = rows.end - row;
        let height = match rest {
            1 => 1,
            2..=3 => 3,
            4..=6 => 6,
            _ => TILE_ROWS,
        };
        // The last tile may overlap the one before; with too few rows smaller ones are taken.
        let height = match height {
            height if height <= rows.end - rows.start => height,
            TILE_ROWS => 6,
            6 => 3,
            _ => 1,
        };
        let first = if rest < height { rows.end - height } else { row };
        // SAFETY: rows `first..first + height` are within `rows`.
        unsafe { row_tiles(gemm, target, first..first + height, columns.clone()) };
        row = first + height;
    }
}

/// One tile after another of 1, 3, 6 or 12 rows.
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni,avx512vbmi")]
unsafe fn row_tiles(
    gemm: &GemmU8<'_>,
    target: &Target<'_>,
    rows: Range<usize>,
    columns: Range<usize>,
) {
    let mut sums = MaybeUninit::<[i32; TILE_ROWS * TILE_COLUMNS]>::uninit();
    let sums = sums.as_mut_ptr().cast::<i32>();
    let block_len = gemm.right.block_len();
    for column in columns.clone().step_by(TILE_COLUMNS) {
        let width = (columns.end - column).min(TILE_COLUMNS);
        // SAFETY: `Target::new` has checked that the rows lie in `left`, the blocks of these
        // columns in `right` and their biases, padded to 16, in `bias`; a second block is read
        // only where there is one.
        unsafe {
            let tile = Tile {
                left: gemm.left.data.as_ptr().add(rows.start * gemm.left.stride),
                stride: gemm.left.stride,
                weights: gemm.right.data.as_ptr().add(column / BLOCK_COLUMNS * block_len),
                block_len,
                bias: gemm.bias.as_ptr().add(column),
                segments: gemm.segments,
            };
            let run = match (rows.len(), width > BLOCK_COLUMNS) {
                (TILE_ROWS, true) => multiply::<TILE_ROWS, 2>,
                (TILE_ROWS, false) => multiply::<TILE_ROWS, 1>,
                (6, true) => multiply::<6, 2>,
                (6, false) => multiply::<6, 1>,
                (3, true) => multiply::<3, 2>,
                (3, false) => multiply::<3, 1>,
                (_, true) => multiply::<1, 2>,
                (_, false) => multiply::<1, 1>,
            };
            run(&tile, sums);
            let part = Part { row: rows.start, rows: rows.len(), column, columns: width };
            target.finish(part, sums);
        }
    }
}

/// Sums of `ROWS` rows and `BLOCKS` blocks of 16 columns.
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni,avx512vbmi")]
unsafe fn multiply<const ROWS: usize, const BLOCKS: usize>(tile: &Tile<'_>, sums: *mut i32) {
    // SAFETY: the caller gives rows, blocks and biases that exist, and room for the sums.
    unsafe {
        let mut totals = [[_mm512_setzero_si512(); BLOCKS]; ROWS];
        for row in &mut totals {
            for (block, total) in row.iter_mut().enumerate() {
                *total = _mm512_loadu_si512(tile.bias.add(block * BLOCK_COLUMNS).cast());
            }
        }
        for segment in tile.segments {
            let mut left = tile.left.add(segment.start);
            let end = tile.left.add(segment.end);
            let mut weights = tile.weights.add(segment.start * BLOCK_COLUMNS);
            while left < end {
                let mut blocks = [_mm512_setzero_si512(); BLOCKS];
                for (index, block) in blocks.iter_mut().enumerate() {
                    *block = _mm512_loadu_si512(weights.add(index * tile.block_len).cast());
                }
                for (row, totals) in totals.iter_mut().enumerate() {
                    let values = left.add(row * tile.stride).cast::<i32>().read_unaligned();
                    let values = _mm512_set1_epi32(values);
                    for (total, block) in totals.iter_mut().zip(&blocks) {
                        *total = _mm512_dpbusd_epi32(*total, values, *block);
                    }
                }
                left = left.add(DEPTH_STEP);
                weights = weights.add(DEPTH_STEP * BLOCK_COLUMNS);
            }
        }
        for (row, totals) in totals.iter().enumerate() {
            for (block, total) in totals.iter().enumerate() {
                let to = sums.add(row * TILE_COLUMNS + block * BLOCK_COLUMNS);
                _mm512_storeu_si512(to.cast(), *total);
            }
        }
    }
}
