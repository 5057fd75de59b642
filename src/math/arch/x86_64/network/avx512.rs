//! Pieces that the AVX-512 kernels share.

use crate::math::network::quantization::QuantizedRange;
use core::arch::x86_64::*;

/// A [`QuantizedRange`] in vectors.
#[derive(Clone, Copy)]
pub struct Requantizer {
    high: __m512,
    zero_point: __m512i,
    low: __m512i,
    top: __m512i,
}

impl Requantizer {
    /// Of `range`.
    #[inline]
    #[target_feature(enable = "avx512f,avx512bw")]
    pub fn new(range: QuantizedRange) -> Self {
        Requantizer {
            high: _mm512_set1_ps(range.limits()[1]),
            zero_point: _mm512_set1_epi16(i16::from(range.zero_point)),
            low: _mm512_set1_epi8(range.low.cast_signed()),
            top: _mm512_set1_epi8(range.high.cast_signed()),
        }
    }

    /// `range.quantize` of 64 values. Dword `4 j + l` of the result holds the values of lane `l` of
    /// vector `j`'s: see [`transpose_dwords`].
    ///
    /// Conversion makes the most negative integer of what is out of its range; after the upper
    /// clamp that happens below only, where saturation and the lower clamp are right.
    #[inline]
    #[target_feature(enable = "avx512f,avx512bw")]
    pub fn quantize(&self, [a, b, c, d]: [__m512; 4]) -> __m512i {
        let (a, b) = (_mm512_min_ps(a, self.high), _mm512_min_ps(b, self.high));
        let (c, d) = (_mm512_min_ps(c, self.high), _mm512_min_ps(d, self.high));
        _mm512_max_epu8(self.pack([a, b, c, d]), self.low)
    }

    /// As `quantize`, for magnitudes below 2^31.
    #[inline]
    #[target_feature(enable = "avx512f,avx512bw")]
    pub fn quantize_bounded(&self, steps: [__m512; 4]) -> __m512i {
        _mm512_min_epu8(_mm512_max_epu8(self.pack(steps), self.low), self.top)
    }

    /// Rounds half to even, adds the zero point, saturates.
    #[inline]
    #[target_feature(enable = "avx512f,avx512bw")]
    fn pack(&self, [a, b, c, d]: [__m512; 4]) -> __m512i {
        let first = _mm512_packs_epi32(_mm512_cvtps_epi32(a), _mm512_cvtps_epi32(b));
        let second = _mm512_packs_epi32(_mm512_cvtps_epi32(c), _mm512_cvtps_epi32(d));
        let first = _mm512_adds_epi16(first, self.zero_point);
        let second = _mm512_adds_epi16(second, self.zero_point);
        _mm512_packus_epi16(first, second)
    }
}

/// Exchanges dword `4 i + j` with dword `4 j + i`.
#[inline]
#[target_feature(enable = "avx512f")]
pub fn transpose_dwords(values: __m512i) -> __m512i {
    let order = _mm512_setr_epi32(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15);
    _mm512_permutexvar_epi32(order, values)
}

/// A table of 256 results in registers.
#[derive(Clone, Copy)]
pub struct TableRegisters([__m512i; 4]);

impl TableRegisters {
    /// Of `table`.
    #[inline]
    #[target_feature(enable = "avx512f")]
    pub fn new(table: &[u8; 256]) -> Self {
        let start = table.as_ptr();
        // SAFETY: the table has 4 times 64 bytes.
        unsafe {
            TableRegisters([
                _mm512_loadu_si512(start.cast()),
                _mm512_loadu_si512(start.add(64).cast()),
                _mm512_loadu_si512(start.add(128).cast()),
                _mm512_loadu_si512(start.add(192).cast()),
            ])
        }
    }

    /// The results for 64 values.
    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,avx512vbmi")]
    pub fn look_up(&self, values: __m512i) -> __m512i {
        let [a, b, c, d] = self.0;
        let low = _mm512_permutex2var_epi8(a, values, b);
        let high = _mm512_permutex2var_epi8(c, values, d);
        _mm512_mask_blend_epi8(_mm512_movepi8_mask(values), low, high)
    }
}

/// The first `count` of 64 mask bits; all from 64 on.
#[inline(always)]
pub fn first_lanes(count: usize) -> u64 {
    if count >= 64 { u64::MAX } else { (1 << count) - 1 }
}
