//! Products of bytes by `sdot`: tiles of four rows and 16 columns, 16 accumulators.

use super::gemm_u8::{Block, Products, RowsAt, Start, Sums};
use crate::math::arch::aarch64::dot::{dot, dot_lane};
use crate::math::network::gemm_u8::{BLOCK_COLUMNS, DEPTH_STEP};
use core::arch::aarch64::*;
use core::ops::Range;

/// Bytes of a step of weights.
const STEP: usize = BLOCK_COLUMNS * DEPTH_STEP;
/// Depth of a vector of activations.
const VECTOR: usize = 16;

/// The instructions of `dotprod`.
pub struct DotProducts;

impl Products for DotProducts {
    #[inline(always)]
    unsafe fn start(block: Block<'_>, bias: [i32; BLOCK_COLUMNS]) -> Start {
        // SAFETY: the caller's; a segment has a step of weights per four of its depth.
        unsafe {
            // Products with -128 are what moving activations by 128 takes away.
            let taken = vdupq_n_s8(-128);
            let mut sums = load_sums(&[0; BLOCK_COLUMNS]);
            for segment in block.segments {
                let mut weights = block.weights.add(segment.start * BLOCK_COLUMNS);
                for _ in 0..segment.len() / DEPTH_STEP {
                    for (part, sum) in sums.iter_mut().enumerate() {
                        *sum = dot(*sum, vld1q_s8(weights.add(part * 16)), taken);
                    }
                    weights = weights.add(STEP);
                }
            }
            let bias = load_sums(&bias);
            for (sum, bias) in sums.iter_mut().zip(bias) {
                *sum = vsubq_s32(bias, *sum);
            }
            let mut start = Start { sums: [0; BLOCK_COLUMNS], pairs_fit: true };
            store_sums(sums, &mut start.sums);
            start
        }
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
                4.. => tile::<4>(left, block, start, sums),
                2.. => tile::<2>(left, block, start, sums),
                _ => tile::<1>(left, block, start, sums),
            }
        }
    }
}

/// The sums of a row in four vectors.
type Row = [int32x4_t; 4];

#[inline(always)]
pub unsafe fn load_sums(sums: &[i32; BLOCK_COLUMNS]) -> Row {
    let from = sums.as_ptr();
    // SAFETY: the array has 16 places.
    unsafe {
        [vld1q_s32(from), vld1q_s32(from.add(4)), vld1q_s32(from.add(8)), vld1q_s32(from.add(12))]
    }
}

#[inline(always)]
pub unsafe fn store_sums([a, b, c, d]: Row, sums: &mut [i32; BLOCK_COLUMNS]) {
    let to = sums.as_mut_ptr();
    // SAFETY: the array has 16 places.
    unsafe {
        vst1q_s32(to, a);
        vst1q_s32(to.add(4), b);
        vst1q_s32(to.add(8), c);
        vst1q_s32(to.add(12), d);
    }
}

/// Sums of `ROWS` rows; `ROWS`.
///
/// # Safety
/// As for `Products::multiply`; there are so many rows.
#[inline(never)]
unsafe fn tile<const ROWS: usize>(
    left: RowsAt,
    block: Block<'_>,
    start: &Start,
    sums: &mut Sums,
) -> usize {
    // SAFETY: the caller's.
    unsafe {
        let mut totals = [load_sums(&start.sums); ROWS];
        for segment in block.segments {
            add_segment(left, block.weights, segment, &mut totals);
        }
        for (sums, totals) in sums.iter_mut().zip(totals) {
            store_sums(totals, sums);
        }
    }
    ROWS
}

/// # Safety
/// As for [`tile`].
#[inline(always)]
unsafe fn add_segment<const ROWS: usize>(
    left: RowsAt,
    weights: *const i8,
    segment: &Range<usize>,
    totals: &mut [Row; ROWS],
) {
    // SAFETY: the caller's; rows are read up to the segment's end, weights as far.
    unsafe {
        let sign = vdupq_n_u8(0x80);
        let mut from = left.start.add(segment.start);
        let mut weights = weights.add(segment.start * BLOCK_COLUMNS);
        let mut values = [vdupq_n_s8(0); ROWS];
        for _ in 0..segment.len() / VECTOR {
            for (row, values) in values.iter_mut().enumerate() {
                let bytes = vld1q_u8(from.add(row * left.stride));
                *values = vreinterpretq_s8_u8(veorq_u8(bytes, sign));
            }
            add_step::<ROWS, 0>(totals, weights, &values);
            add_step::<ROWS, 1>(totals, weights.add(STEP), &values);
            add_step::<ROWS, 2>(totals, weights.add(2 * STEP), &values);
            add_step::<ROWS, 3>(totals, weights.add(3 * STEP), &values);
            from = from.add(VECTOR);
            weights = weights.add(4 * STEP);
        }
        for _ in 0..segment.len() % VECTOR / DEPTH_STEP {
            for (row, values) in values.iter_mut().enumerate() {
                let four = from.add(row * left.stride).cast::<u32>().read_unaligned();
                *values =
                    vreinterpretq_s8_u8(veorq_u8(vreinterpretq_u8_u32(vdupq_n_u32(four)), sign));
            }
            add_step::<ROWS, 0>(totals, weights, &values);
            from = from.add(DEPTH_STEP);
            weights = weights.add(STEP);
        }
    }
}

/// The products of four depths: those of lane `LANE` of the rows' values.
///
/// # Safety
/// A step of weights is readable.
#[inline(always)]
unsafe fn add_step<const ROWS: usize, const LANE: usize>(
    totals: &mut [Row; ROWS],
    weights: *const i8,
    values: &[int8x16_t; ROWS],
) {
    // SAFETY: the caller's.
    unsafe {
        let weights = [
            vld1q_s8(weights),
            vld1q_s8(weights.add(16)),
            vld1q_s8(weights.add(32)),
            vld1q_s8(weights.add(48)),
        ];
        for (totals, values) in totals.iter_mut().zip(values) {
            for (total, weights) in totals.iter_mut().zip(weights) {
                *total = dot_lane::<LANE>(*total, weights, *values);
            }
        }
    }
}
