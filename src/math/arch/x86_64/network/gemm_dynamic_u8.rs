//! Activations packed as right operands, AVX-512.

use super::gemm_u8::has_vnni;
use crate::math::network::gemm_dynamic_u8::{DynamicU8, PackDynamicU8Fn, RowBiasU8Fn, SIGN};
use crate::math::network::gemm_u8::{BLOCK_COLUMNS, DEPTH_STEP, RowsU8, rows_fit};
use core::arch::x86_64::*;

/// Bytes of a step of packed weights, and of a vector.
const STEP: usize = BLOCK_COLUMNS * DEPTH_STEP;

/// Kernels for packing and for the corrections per row, if this processor runs them.
pub fn supported() -> Option<(PackDynamicU8Fn, RowBiasU8Fn)> {
    has_vnni().then_some((pack_checked, row_bias_checked))
}

/// Only to be called where [`has_vnni`] holds.
fn pack_checked(
    right: &DynamicU8<'_>,
    depth_padded: usize,
    packed: &mut [i8],
    bias: &mut [i32],
) -> bool {
    if !right.fits(depth_padded, packed, bias) {
        return false;
    }
    // SAFETY: `supported` hands this function out only after checking the features; lengths are
    // checked above.
    unsafe { pack(right, depth_padded, packed, bias) };
    true
}

/// Only to be called where [`has_vnni`] holds.
fn row_bias_checked(left: &RowsU8<'_>, depth: usize, zero_point: u8, bias: &mut [i32]) -> bool {
    if !rows_fit(left.data.len(), left.rows, left.stride, depth) || left.rows > bias.len() {
        return false;
    }
    // SAFETY: as above.
    unsafe { row_bias(left, depth, zero_point, bias) };
    true
}

#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni,avx512vbmi")]
unsafe fn pack(right: &DynamicU8<'_>, depth_padded: usize, packed: &mut [i8], bias: &mut [i32]) {
    for column in (0..right.columns).step_by(BLOCK_COLUMNS) {
        // SAFETY: `fits` has checked that the block lies in `packed` and its biases in `bias`.
        unsafe {
            let to = packed.as_mut_ptr().add(column * depth_padded);
            let sums = match right.by_column {
                true => pack_columns(right, column, depth_padded, to),
                false => pack_rows(right, column, depth_padded, to),
            };
            let mut totals = [0; BLOCK_COLUMNS];
            _mm512_storeu_si512(totals.as_mut_ptr().cast(), sums);
            for (index, total) in totals.into_iter().enumerate() {
                *bias.as_mut_ptr().add(column + index) = right.column_bias(total);
            }
        }
    }
}

/// The lanes of a vector of 64 bytes that lie before `len`.
#[inline(always)]
fn mask(len: usize) -> u64 {
    if len >= STEP { u64::MAX } else { (1 << len) - 1 }
}

/// Adds the columns' four values of a step to their sums.
#[inline]
#[target_feature(enable = "avx512f,avx512vnni")]
fn add_step(sums: __m512i, step: __m512i) -> __m512i {
    _mm512_dpbusd_epi32(sums, _mm512_set1_epi8(1), step)
}

/// A block from `[depth][columns]`: four rows of 16 bytes interleaved.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni")]
unsafe fn pack_rows(
    right: &DynamicU8<'_>,
    column: usize,
    depth_padded: usize,
    to: *mut i8,
) -> __m512i {
    let columns = mask((right.columns - column).min(BLOCK_COLUMNS)) as __mmask16;
    let sign = _mm_maskz_set1_epi8(columns, SIGN.cast_signed());
    let load = |depth: usize| {
        if depth >= right.depth {
            return _mm_setzero_si128();
        }
        // SAFETY: `fits` has checked that the row lies in the data; the load is masked to it.
        let row = unsafe {
            let from = right.data.as_ptr().add(depth * right.stride + column);
            _mm_maskz_loadu_epi8(columns, from.cast())
        };
        _mm_xor_si128(row, sign)
    };
    let mut sums = _mm512_setzero_si512();
    for depth in (0..depth_padded).step_by(DEPTH_STEP) {
        let [a, b, c, d] = [load(depth), load(depth + 1), load(depth + 2), load(depth + 3)];
        let (first, second) = (_mm_unpacklo_epi8(a, b), _mm_unpackhi_epi8(a, b));
        let (third, fourth) = (_mm_unpacklo_epi8(c, d), _mm_unpackhi_epi8(c, d));
        let quarters = [
            _mm_unpacklo_epi16(first, third),
            _mm_unpackhi_epi16(first, third),
            _mm_unpacklo_epi16(second, fourth),
            _mm_unpackhi_epi16(second, fourth),
        ];
        let low = _mm256_set_m128i(quarters[1], quarters[0]);
        let high = _mm256_set_m128i(quarters[3], quarters[2]);
        let step = _mm512_inserti64x4::<1>(_mm512_castsi256_si512(low), high);
        sums = add_step(sums, step);
        // SAFETY: the caller gives room for `depth_padded` depths.
        unsafe { _mm512_storeu_si512(to.add(depth * BLOCK_COLUMNS).cast(), step) };
    }
    sums
}

/// A block from `[columns][depth]`: 16 rows of 64 bytes, transposed by groups of four.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni")]
unsafe fn pack_columns(
    right: &DynamicU8<'_>,
    column: usize,
    depth_padded: usize,
    to: *mut i8,
) -> __m512i {
    let columns = (right.columns - column).min(BLOCK_COLUMNS);
    let mut sums = _mm512_setzero_si512();
    for depth in (0..depth_padded).step_by(STEP) {
        let used = mask(right.depth.saturating_sub(depth));
        let sign = _mm512_maskz_set1_epi8(used, SIGN.cast_signed());
        let mut rows = [_mm512_setzero_si512(); BLOCK_COLUMNS];
        for (index, row) in rows.iter_mut().enumerate().take(columns) {
            // SAFETY: `fits` has checked that the column lies in the data; the load is masked to
            // its depth.
            let values = unsafe {
                let from =
                    right.data.as_ptr().wrapping_add((column + index) * right.stride + depth);
                _mm512_maskz_loadu_epi8(used, from.cast())
            };
            *row = _mm512_xor_si512(values, sign);
        }
        let steps = (depth_padded - depth).min(STEP) / DEPTH_STEP;
        for (index, step) in transpose(rows).as_flattened().iter().enumerate().take(steps) {
            sums = add_step(sums, *step);
            // SAFETY: the caller gives room for `depth_padded` depths.
            unsafe {
                let to = to.add((depth + index * DEPTH_STEP) * BLOCK_COLUMNS);
                _mm512_storeu_si512(to.cast(), *step);
            }
        }
    }
    sums
}

/// Transposes 16 rows of 16 dwords: first four by four within lanes of 128 bits, then the lanes.
/// Nothing is indexed: at lower optimisation that leaves checks behind.
#[inline]
#[target_feature(enable = "avx512f")]
fn transpose(rows: [__m512i; 16]) -> [[__m512i; 4]; 4] {
    let mut quads = [[_mm512_setzero_si512(); 4]; 4];
    for (quad, [a, b, c, d]) in quads.iter_mut().zip(rows.as_chunks().0) {
        let (ab_low, ab_high) = (_mm512_unpacklo_epi32(*a, *b), _mm512_unpackhi_epi32(*a, *b));
        let (cd_low, cd_high) = (_mm512_unpacklo_epi32(*c, *d), _mm512_unpackhi_epi32(*c, *d));
        *quad = [
            _mm512_unpacklo_epi64(ab_low, cd_low),
            _mm512_unpackhi_epi64(ab_low, cd_low),
            _mm512_unpacklo_epi64(ab_high, cd_high),
            _mm512_unpackhi_epi64(ab_high, cd_high),
        ];
    }
    let [first, second, third, fourth] = quads;
    let mut out = [[_mm512_setzero_si512(); 4]; 4];
    let [out_0, out_1, out_2, out_3] = &mut out;
    let places = out_0.iter_mut().zip(out_1).zip(out_2).zip(out_3);
    let values = first.into_iter().zip(second).zip(third).zip(fourth);
    for ((((o, p), q), r), (((a, b), c), d)) in places.zip(values) {
        let (low, high) = (
            _mm512_shuffle_i32x4::<0b01_00_01_00>(a, b),
            _mm512_shuffle_i32x4::<0b01_00_01_00>(c, d),
        );
        *o = _mm512_shuffle_i32x4::<0b10_00_10_00>(low, high);
        *p = _mm512_shuffle_i32x4::<0b11_01_11_01>(low, high);
        let (low, high) = (
            _mm512_shuffle_i32x4::<0b11_10_11_10>(a, b),
            _mm512_shuffle_i32x4::<0b11_10_11_10>(c, d),
        );
        *q = _mm512_shuffle_i32x4::<0b10_00_10_00>(low, high);
        *r = _mm512_shuffle_i32x4::<0b11_01_11_01>(low, high);
    }
    out
}

#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni")]
unsafe fn row_bias(left: &RowsU8<'_>, depth: usize, zero_point: u8, bias: &mut [i32]) {
    let factor = i32::from(SIGN) - i32::from(zero_point);
    let ones = _mm512_set1_epi8(1);
    for (row, bias) in bias.iter_mut().enumerate().take(left.rows) {
        let mut sums = _mm512_setzero_si512();
        for place in (0..depth).step_by(STEP) {
            // SAFETY: the caller gives rows of `depth` bytes; the load is masked to them.
            let values = unsafe {
                let from = left.data.as_ptr().add(row * left.stride + place);
                _mm512_maskz_loadu_epi8(mask(depth - place), from.cast())
            };
            sums = _mm512_dpbusd_epi32(sums, values, ones);
        }
        *bias = _mm512_reduce_add_epi32(sums).wrapping_mul(factor);
    }
}
