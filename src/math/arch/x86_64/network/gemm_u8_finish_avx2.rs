//! The fused end of a layer, AVX2: sums of one row and up to 16 columns to u8, f32 or int32.

use crate::math::network::gemm_out::{GemmOut, Requantize, Residual};
use crate::math::network::gemm_u8::BLOCK_COLUMNS;
use crate::math::pieces::copy;
use core::arch::x86_64::*;

/// Writes the first `columns` sums of a row, from `column` on.
///
/// # Safety
/// AVX2.
#[target_feature(enable = "avx2")]
pub unsafe fn finish(
    out: &mut GemmOut<'_>,
    row: usize,
    column: usize,
    columns: usize,
    sums: &[i32; BLOCK_COLUMNS],
) {
    let GemmOut::U8 { data, places, requantize, residual } = out else {
        return out.write(row, column, sums.get(..columns).unwrap_or_default());
    };
    let Some(mut bytes) = quantize(requantize, column, sums) else { return };
    if let Some(table) = requantize.table {
        bytes = bytes.map(|byte| table.get(usize::from(byte)).copied().unwrap_or(0));
    }
    if let Some(residual) = residual {
        let start = residual.places.start(row).saturating_add(column);
        let others = residual.data.get(start..).unwrap_or_default();
        bytes = add(residual, bytes, others.get(..columns).unwrap_or_default());
    }
    let start = places.start(row).saturating_add(column);
    let out = data.get_mut(start..).unwrap_or_default();
    match out.first_chunk_mut::<BLOCK_COLUMNS>() {
        Some(out) if columns == BLOCK_COLUMNS => *out = bytes,
        _ => copy(out, bytes.get(..columns).unwrap_or_default()),
    }
}

/// The sums of 16 columns as u8, without the table.
#[inline]
#[target_feature(enable = "avx2")]
fn quantize(
    requantize: &Requantize<'_>,
    column: usize,
    sums: &[i32; BLOCK_COLUMNS],
) -> Option<[u8; BLOCK_COLUMNS]> {
    let scales = requantize.scale.get(column..)?.first_chunk::<BLOCK_COLUMNS>()?;
    let zero_point = i32::from(requantize.zero_point);
    let high = _mm256_set1_ps((i32::from(requantize.high) - zero_point) as f32);
    let [first, second] = [0, 8].map(|half| {
        // SAFETY: both arrays have 16 values.
        let (sums, scales) = unsafe {
            let sums = _mm256_loadu_si256(sums.as_ptr().add(half).cast());
            (sums, _mm256_loadu_ps(scales.as_ptr().add(half)))
        };
        let value = _mm256_mul_ps(_mm256_cvtepi32_ps(sums), scales);
        _mm256_cvtps_epi32(_mm256_min_ps(value, high))
    });
    let bytes = pack(first, second, zero_point);
    let low = _mm_set1_epi8(requantize.low.cast_signed());
    Some(store(_mm_max_epu8(bytes, low)))
}

/// 16 numbers plus a zero point, limited to bytes.
#[inline]
#[target_feature(enable = "avx2")]
fn pack(first: __m256i, second: __m256i, zero_point: i32) -> __m128i {
    // Columns 0-3, 8-11, 4-7, 12-15; the permutation sorts them.
    let words = _mm256_permute4x64_epi64::<0b11_01_10_00>(_mm256_packs_epi32(first, second));
    let words = _mm256_adds_epi16(words, _mm256_set1_epi16(zero_point as i16));
    _mm_packus_epi16(_mm256_castsi256_si128(words), _mm256_extracti128_si256::<1>(words))
}

#[inline]
#[target_feature(enable = "avx2")]
fn store(bytes: __m128i) -> [u8; BLOCK_COLUMNS] {
    let mut out = [0; BLOCK_COLUMNS];
    // SAFETY: the array has 16 bytes.
    unsafe { _mm_storeu_si128(out.as_mut_ptr().cast(), bytes) };
    out
}

/// Adds a residual to requantised bytes.
#[inline]
#[target_feature(enable = "avx2")]
fn add(residual: &Residual<'_>, bytes: [u8; BLOCK_COLUMNS], others: &[u8]) -> [u8; BLOCK_COLUMNS] {
    let mut padded = [0; BLOCK_COLUMNS];
    match others.first_chunk() {
        Some(others) => padded = *others,
        None => copy(&mut padded, others),
    }
    let zero_point = i32::from(residual.zero_point);
    let limit = |limit: u8| _mm256_set1_ps((i32::from(limit) - zero_point) as f32);
    let (low, high) = (limit(residual.low), limit(residual.high));
    let scale = |bytes: &[u8; BLOCK_COLUMNS], half: usize, zero_point: u8, ratio: f32| {
        // SAFETY: eight of 16 bytes from 0 or 8 on.
        let bytes = unsafe { _mm_loadl_epi64(bytes.as_ptr().add(half).cast()) };
        let zero_point = _mm256_set1_epi32(i32::from(zero_point));
        let value = _mm256_sub_epi32(_mm256_cvtepu8_epi32(bytes), zero_point);
        _mm256_mul_ps(_mm256_cvtepi32_ps(value), _mm256_set1_ps(ratio))
    };
    let [first, second] = [0, 8].map(|half| {
        let q = scale(&bytes, half, residual.zero_point_q, residual.ratio_q);
        let r = scale(&padded, half, residual.zero_point_r, residual.ratio_r);
        let sum = _mm256_min_ps(_mm256_max_ps(_mm256_add_ps(q, r), low), high);
        _mm256_cvtps_epi32(sum)
    });
    store(pack(first, second, zero_point))
}
