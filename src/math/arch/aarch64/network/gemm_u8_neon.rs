//! Products of bytes without `dotprod`: tiles of two rows and 16 columns,
//! 16 accumulators.
//!
//! Activations are moved by 128, so that both factors are signed bytes; products are 16 bits wide,
//! and two of them are added there before they go to the 32-bit sums. That fits unless a weight is
//! -128: blocks that have one take every product to the sums by itself.

use super::gemm_u8::{Block, Products, RowsAt, Start, Sums};
use crate::math::network::gemm_u8::{BLOCK_COLUMNS, DEPTH_STEP};
use core::arch::aarch64::*;
use core::ops::Range;

/// Bytes of a step of weights.
const STEP: usize = BLOCK_COLUMNS * DEPTH_STEP;

/// NEON's widening products.
pub struct WideProducts;

impl Products for WideProducts {
    #[inline(always)]
    unsafe fn start(block: Block<'_>, bias: [i32; BLOCK_COLUMNS]) -> Start {
        // SAFETY: the caller's; a segment has a step of weights per four of its depth.
        unsafe {
            let mut sums = [vdupq_n_s32(0); 4];
            let mut least = vdupq_n_s8(0);
            for segment in block.segments {
                let mut weights = block.weights.add(segment.start * BLOCK_COLUMNS);
                for _ in 0..segment.len() / DEPTH_STEP {
                    for (part, sum) in sums.iter_mut().enumerate() {
                        let weights = vld1q_s8(weights.add(part * 16));
                        least = vminq_s8(least, weights);
                        *sum = vpadalq_s16(*sum, vpaddlq_s8(weights));
                    }
                    weights = weights.add(STEP);
                }
            }
            let mut start = Start { sums: bias, pairs_fit: vminvq_s8(least) > -128 };
            let quarters = start.sums.as_chunks_mut::<4>().0;
            for (places, sums) in quarters.iter_mut().zip(sums) {
                let total = vaddq_s32(vld1q_s32(places.as_ptr()), vshlq_n_s32::<7>(sums));
                vst1q_s32(places.as_mut_ptr(), total);
            }
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
            match (rows, start.pairs_fit) {
                (2.., true) => tile::<2, true>(left, block, start, sums),
                (2.., false) => tile::<2, false>(left, block, start, sums),
                (_, true) => tile::<1, true>(left, block, start, sums),
                (_, false) => tile::<1, false>(left, block, start, sums),
            }
        }
    }
}

/// The sums of a row: of each column in two halves.
type Row = [int32x4_t; 8];

/// Sums of `ROWS` rows; `ROWS`.
///
/// # Safety
/// As for `Products::multiply`; there are so many rows, and two products fit if `PAIRS`.
#[inline(never)]
unsafe fn tile<const ROWS: usize, const PAIRS: bool>(
    left: RowsAt,
    block: Block<'_>,
    start: &Start,
    sums: &mut Sums,
) -> usize {
    // SAFETY: the caller's.
    unsafe {
        let mut totals = [[vdupq_n_s32(0); 8]; ROWS];
        for segment in block.segments {
            add_segment::<ROWS, PAIRS>(left, block.weights, segment, &mut totals);
        }
        for (sums, totals) in sums.iter_mut().zip(&totals) {
            let places = sums.as_chunks_mut::<4>().0.iter_mut();
            let starts = start.sums.as_chunks::<4>().0;
            for ((places, start), [low, high]) in places.zip(starts).zip(totals.as_chunks::<2>().0)
            {
                let total = vaddq_s32(vpaddq_s32(*low, *high), vld1q_s32(start.as_ptr()));
                vst1q_s32(places.as_mut_ptr(), total);
            }
        }
    }
    ROWS
}

/// # Safety
/// As for [`tile`].
#[inline(always)]
unsafe fn add_segment<const ROWS: usize, const PAIRS: bool>(
    left: RowsAt,
    weights: *const i8,
    segment: &Range<usize>,
    totals: &mut [Row; ROWS],
) {
    // SAFETY: the caller's; rows are read up to the segment's end, weights as far.
    unsafe {
        let mut from = left.start.add(segment.start);
        let mut weights = weights.add(segment.start * BLOCK_COLUMNS);
        for _ in 0..segment.len() / (2 * DEPTH_STEP) {
            let mut values = [[vdupq_n_s8(0); 2]; ROWS];
            for (row, values) in values.iter_mut().enumerate() {
                let bytes = veor_u8(vld1_u8(from.add(row * left.stride)), vdup_n_u8(0x80));
                let fours = vreinterpret_s32_u8(bytes);
                let (first, second) = (vdupq_lane_s32::<0>(fours), vdupq_lane_s32::<1>(fours));
                *values = [vreinterpretq_s8_s32(first), vreinterpretq_s8_s32(second)];
            }
            add_eight::<ROWS, PAIRS>(totals, weights, &values);
            from = from.add(2 * DEPTH_STEP);
            weights = weights.add(2 * STEP);
        }
        if !segment.len().is_multiple_of(2 * DEPTH_STEP) {
            for part in 0..4 {
                let weights = vld1q_s8(weights.add(part * 16));
                for (row, totals) in totals.iter_mut().enumerate() {
                    let values = four(from.add(row * left.stride));
                    if let Some([low, high]) = totals.as_chunks_mut::<2>().0.get_mut(part) {
                        *low =
                            vpadalq_s16(*low, vmull_s8(vget_low_s8(weights), vget_low_s8(values)));
                        *high = vpadalq_s16(*high, vmull_high_s8(weights, values));
                    }
                }
            }
        }
    }
}

/// Four values less 128, again and again.
///
/// # Safety
/// They are readable.
#[inline(always)]
unsafe fn four(from: *const u8) -> int8x16_t {
    // SAFETY: the caller's.
    unsafe {
        let four = vreinterpretq_u8_u32(vdupq_n_u32(from.cast::<u32>().read_unaligned()));
        vreinterpretq_s8_u8(veorq_u8(four, vdupq_n_u8(0x80)))
    }
}

/// Adds the products of eight depths.
///
/// # Safety
/// Two steps of weights are readable; two products fit 16 bits if `PAIRS`.
#[inline(always)]
unsafe fn add_eight<const ROWS: usize, const PAIRS: bool>(
    totals: &mut [Row; ROWS],
    weights: *const i8,
    values: &[[int8x16_t; 2]; ROWS],
) {
    // SAFETY: the caller's.
    unsafe {
        for part in 0..4 {
            let first = vld1q_s8(weights.add(part * 16));
            let second = vld1q_s8(weights.add(STEP + part * 16));
            for (totals, [a, b]) in totals.iter_mut().zip(values) {
                let Some([low, high]) = totals.as_chunks_mut::<2>().0.get_mut(part) else {
                    continue;
                };
                let lows = vmull_s8(vget_low_s8(first), vget_low_s8(*a));
                let highs = vmull_high_s8(first, *a);
                if PAIRS {
                    *low = vpadalq_s16(*low, vmlal_s8(lows, vget_low_s8(second), vget_low_s8(*b)));
                    *high = vpadalq_s16(*high, vmlal_high_s8(highs, second, *b));
                } else {
                    let next_lows = vmull_s8(vget_low_s8(second), vget_low_s8(*b));
                    let next_highs = vmull_high_s8(second, *b);
                    *low = vpadalq_s16(vpadalq_s16(*low, lows), next_lows);
                    *high = vpadalq_s16(vpadalq_s16(*high, highs), next_highs);
                }
            }
        }
    }
}
