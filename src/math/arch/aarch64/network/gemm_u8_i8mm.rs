//! Products of bytes by `usmmla`, a 2x8 times an 8x2 matrix: tiles of eight rows and eight columns,
//! 16 accumulators.
//!
//! Weights of a column lie in fours; zipping two steps brings the eight of a column together.

use super::gemm_u8::{Block, Products, RowsAt, Start, Sums};
use crate::math::arch::aarch64::dot::matrix_product;
use crate::math::network::gemm_u8::{BLOCK_COLUMNS, DEPTH_STEP};
use core::arch::aarch64::*;
use core::ops::Range;

/// Bytes of a step of weights.
const STEP: usize = BLOCK_COLUMNS * DEPTH_STEP;
/// Columns of a tile, in pairs.
const PAIRS: usize = 4;

/// The instructions of `i8mm`.
pub struct MatrixProducts;

impl Products for MatrixProducts {
    #[inline(always)]
    unsafe fn start(_: Block<'_>, bias: [i32; BLOCK_COLUMNS]) -> Start {
        Start { sums: bias, pairs_fit: true }
    }

    #[inline(always)]
    unsafe fn multiply(
        left: RowsAt,
        rows: usize,
        block: Block<'_>,
        start: &Start,
        sums: &mut Sums,
    ) -> usize {
        // SAFETY: the caller's, and there are so many rows.
        unsafe {
            match rows {
                8.. => tile::<4>(left, 8, block, start, sums),
                4.. => tile::<2>(left, 4, block, start, sums),
                rows => tile::<1>(left, rows.min(2), block, start, sums),
            }
        }
    }
}

/// Sums of two rows and eight columns: of row 0 and row 1 those of two columns, and so on.
type PairOfRows = [int32x4_t; PAIRS];

/// Sums of `rows` rows, `ROW_PAIRS` pairs or one row less; `rows`.
///
/// # Safety
/// As for `Products::multiply`; there are so many rows.
#[inline(never)]
unsafe fn tile<const ROW_PAIRS: usize>(
    left: RowsAt,
    rows: usize,
    block: Block<'_>,
    start: &Start,
    sums: &mut Sums,
) -> usize {
    // A single row is taken twice.
    let left = if rows == 1 { RowsAt { stride: 0, ..left } } else { left };
    let (pairs, _) = sums.as_chunks_mut::<2>();
    for first in [0, BLOCK_COLUMNS / 2] {
        // SAFETY: the caller's; the columns are the block's.
        unsafe {
            let bias = start.sums.as_ptr().add(first);
            let mut totals = [[vdupq_n_s32(0); PAIRS]; ROW_PAIRS];
            for totals in &mut totals {
                for (pair, total) in totals.iter_mut().enumerate() {
                    let bias = vld1_s32(bias.add(2 * pair));
                    *total = vcombine_s32(bias, bias);
                }
            }
            let weights = block.weights.add(first * DEPTH_STEP);
            for segment in block.segments {
                add_segment(left, weights, segment, &mut totals);
            }
            for ([even, odd], totals) in pairs.iter_mut().zip(&totals) {
                store(totals, [even.as_mut_ptr().add(first), odd.as_mut_ptr().add(first)]);
            }
        }
    }
    rows
}

/// Writes eight sums of an even and an odd row.
///
/// # Safety
/// The places are writable.
#[inline(always)]
unsafe fn store([a, b, c, d]: &PairOfRows, [even, odd]: [*mut i32; 2]) {
    // SAFETY: the caller's.
    unsafe {
        let [a, b, c, d] = [a, b, c, d].map(|sums| vreinterpretq_s64_s32(*sums));
        vst1q_s32(even, vreinterpretq_s32_s64(vuzp1q_s64(a, b)));
        vst1q_s32(even.add(4), vreinterpretq_s32_s64(vuzp1q_s64(c, d)));
        vst1q_s32(odd, vreinterpretq_s32_s64(vuzp2q_s64(a, b)));
        vst1q_s32(odd.add(4), vreinterpretq_s32_s64(vuzp2q_s64(c, d)));
    }
}

/// # Safety
/// As for [`tile`]; `weights` are those of the first column.
#[inline(always)]
unsafe fn add_segment<const ROW_PAIRS: usize>(
    left: RowsAt,
    weights: *const i8,
    segment: &Range<usize>,
    totals: &mut [PairOfRows; ROW_PAIRS],
) {
    // SAFETY: the caller's; rows are read up to the segment's end, weights as far.
    unsafe {
        let mut from = left.start.add(segment.start);
        let mut weights = weights.add(segment.start * BLOCK_COLUMNS);
        let mut rows = [vdupq_n_u8(0); ROW_PAIRS];
        let mut next_rows = rows;
        for _ in 0..segment.len() / 16 {
            for (pair, (rows, next)) in rows.iter_mut().zip(&mut next_rows).enumerate() {
                let even = from.add(2 * pair * left.stride);
                let odd = vreinterpretq_u64_u8(vld1q_u8(even.add(left.stride)));
                let even = vreinterpretq_u64_u8(vld1q_u8(even));
                *rows = vreinterpretq_u8_u64(vzip1q_u64(even, odd));
                *next = vreinterpretq_u8_u64(vzip2q_u64(even, odd));
            }
            add_eight(totals, &rows, load(weights), load(weights.add(STEP)));
            add_eight(totals, &next_rows, load(weights.add(2 * STEP)), load(weights.add(3 * STEP)));
            from = from.add(16);
            weights = weights.add(4 * STEP);
        }
        let rest = segment.len() % 16;
        if rest >= 8 {
            for (pair, rows) in rows.iter_mut().enumerate() {
                let even = from.add(2 * pair * left.stride);
                *rows = vcombine_u8(vld1_u8(even), vld1_u8(even.add(left.stride)));
            }
            add_eight(totals, &rows, load(weights), load(weights.add(STEP)));
            from = from.add(8);
            weights = weights.add(2 * STEP);
        }
        if !rest.is_multiple_of(8) {
            for (pair, rows) in rows.iter_mut().enumerate() {
                let even = from.add(2 * pair * left.stride);
                *rows = vcombine_u8(four(even), four(even.add(left.stride)));
            }
            add_eight(totals, &rows, load(weights), [vdupq_n_s8(0); 2]);
        }
    }
}

/// Weights of eight columns.
///
/// # Safety
/// They are readable.
#[inline(always)]
unsafe fn load(weights: *const i8) -> [int8x16_t; 2] {
    // SAFETY: the caller's.
    unsafe { [vld1q_s8(weights), vld1q_s8(weights.add(16))] }
}

/// Four values, then zeros.
///
/// # Safety
/// They are readable.
#[inline(always)]
unsafe fn four(from: *const u8) -> uint8x8_t {
    // SAFETY: the caller's.
    unsafe { vcreate_u8(u64::from(from.cast::<u32>().read_unaligned())) }
}

/// Adds the products of eight depths: of four columns in each first and second vector.
///
/// # Safety
/// The processor has the instruction.
#[inline(always)]
unsafe fn add_eight<const ROW_PAIRS: usize>(
    totals: &mut [PairOfRows; ROW_PAIRS],
    rows: &[uint8x16_t; ROW_PAIRS],
    first: [int8x16_t; 2],
    second: [int8x16_t; 2],
) {
    // SAFETY: the caller's.
    unsafe {
        let [[a, b], [c, d]] =
            [first.map(|w| vreinterpretq_s32_s8(w)), second.map(|w| vreinterpretq_s32_s8(w))];
        let columns = [vzip1q_s32(a, c), vzip2q_s32(a, c), vzip1q_s32(b, d), vzip2q_s32(b, d)];
        for (totals, rows) in totals.iter_mut().zip(rows) {
            for (total, columns) in totals.iter_mut().zip(columns) {
                *total = matrix_product(*total, *rows, vreinterpretq_s8_s32(columns));
            }
        }
    }
}
