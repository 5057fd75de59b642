//! Vectors of 32 bytes. Values exist only inside functions compiled for AVX2.

use crate::math::network::quantization::QuantizedRange;
use crate::math::network::table_u8::Table;
use crate::math::network::vector::{ByteLanes, FloatLanes};
use core::arch::x86_64::*;

/// 32 bytes.
#[derive(Clone, Copy)]
pub struct Bytes256(pub __m256i);

/// 8 numbers.
#[derive(Clone, Copy)]
pub struct Floats256(pub __m256);

/// A [`QuantizedRange`] in vectors.
#[derive(Clone, Copy)]
pub struct Requantizer256 {
    high: __m256,
    zero_point: __m256i,
    low: __m256i,
    top: __m256i,
}

impl Requantizer256 {
    /// `range.quantize` of 32 values. Dword `4 l + j` of the result holds the values of half `l` of
    /// vector `j`'s.
    ///
    /// Conversion makes the most negative integer of what is out of its range; after the upper
    /// clamp that happens below only, where saturation and the lower clamp are right.
    #[inline(always)]
    pub fn quantize(&self, [a, b, c, d]: [Floats256; 4]) -> __m256i {
        let high = Floats256(self.high);
        let bytes = self.pack([a.min(high), b.min(high), c.min(high), d.min(high)]);
        // SAFETY: as for `Bytes256`.
        unsafe { _mm256_max_epu8(bytes, self.low) }
    }

    /// As `quantize`, for magnitudes below 2^31.
    #[inline(always)]
    pub fn quantize_bounded(&self, steps: [Floats256; 4]) -> __m256i {
        let bytes = self.pack(steps);
        // SAFETY: as for `Bytes256`.
        unsafe { _mm256_min_epu8(_mm256_max_epu8(bytes, self.low), self.top) }
    }

    /// Rounds half to even, adds the zero point, saturates.
    #[inline(always)]
    fn pack(&self, [a, b, c, d]: [Floats256; 4]) -> __m256i {
        // SAFETY: as for `Bytes256`.
        unsafe {
            let first = _mm256_packs_epi32(_mm256_cvtps_epi32(a.0), _mm256_cvtps_epi32(b.0));
            let second = _mm256_packs_epi32(_mm256_cvtps_epi32(c.0), _mm256_cvtps_epi32(d.0));
            let first = _mm256_adds_epi16(first, self.zero_point);
            let second = _mm256_adds_epi16(second, self.zero_point);
            _mm256_packus_epi16(first, second)
        }
    }
}

/// A [`Table`] in vectors: part `i` holds results `16 i..16 i + 16` twice, xor those of part
/// `i - 1` of the same half, so that the parts up to an index's own cancel to its own.
#[derive(Clone, Copy)]
pub struct Table256([__m256i; 16]);

// SAFETY (every block below): the intrinsics need AVX2. Only the entry points of `layers_avx2` and
// the depthwise kernel use this type, which are compiled for it. Loads and stores touch exactly the
// places of a checked `first_chunk`.
impl ByteLanes for Bytes256 {
    const COUNT: usize = 32;
    type Floats = Floats256;
    type Range = Requantizer256;
    type Table = Table256;

    #[inline(always)]
    fn splat(byte: u8) -> Self {
        // SAFETY: see above.
        Bytes256(unsafe { _mm256_set1_epi8(byte.cast_signed()) })
    }

    #[inline(always)]
    fn load(bytes: &[u8]) -> Self {
        let Some(chunk) = bytes.first_chunk::<32>() else { return Self::splat(0) };
        // SAFETY: see above.
        Bytes256(unsafe { _mm256_loadu_si256(chunk.as_ptr().cast()) })
    }

    #[inline(always)]
    fn load_part(bytes: &[u8]) -> Self {
        let mut all = [0; 32];
        crate::math::pieces::copy(&mut all, bytes);
        Self::load(&all)
    }

    #[inline(always)]
    fn store(self, places: &mut [u8]) {
        let Some(chunk) = places.first_chunk_mut::<32>() else { return };
        // SAFETY: see above.
        unsafe { _mm256_storeu_si256(chunk.as_mut_ptr().cast(), self.0) }
    }

    #[inline(always)]
    fn store_part(self, places: &mut [u8]) {
        let mut all = [0; 32];
        self.store(&mut all);
        crate::math::pieces::copy(places, &all);
    }

    #[inline(always)]
    fn max(self, other: Self) -> Self {
        // SAFETY: see above.
        Bytes256(unsafe { _mm256_max_epu8(self.0, other.0) })
    }

    #[inline(always)]
    fn to_floats(self) -> [Floats256; 4] {
        // SAFETY: see above.
        unsafe {
            let low = _mm256_castsi256_si128(self.0);
            let high = _mm256_extracti128_si256::<1>(self.0);
            [
                Floats256(_mm256_cvtepi32_ps(_mm256_cvtepu8_epi32(low))),
                Floats256(_mm256_cvtepi32_ps(_mm256_cvtepu8_epi32(_mm_unpackhi_epi64(low, low)))),
                Floats256(_mm256_cvtepi32_ps(_mm256_cvtepu8_epi32(high))),
                Floats256(_mm256_cvtepi32_ps(_mm256_cvtepu8_epi32(_mm_unpackhi_epi64(high, high)))),
            ]
        }
    }

    #[inline(always)]
    fn spread(self) -> [Floats256; 4] {
        // SAFETY: see above. Each dword becomes the bits of an f32: a byte below those of 2^23.
        unsafe {
            let nothing = _mm256_setzero_si256();
            let exponent = _mm256_set1_epi16(0x4b00);
            let low = _mm256_unpacklo_epi8(self.0, nothing);
            let high = _mm256_unpackhi_epi8(self.0, nothing);
            [
                Floats256(_mm256_castsi256_ps(_mm256_unpacklo_epi16(low, exponent))),
                Floats256(_mm256_castsi256_ps(_mm256_unpackhi_epi16(low, exponent))),
                Floats256(_mm256_castsi256_ps(_mm256_unpacklo_epi16(high, exponent))),
                Floats256(_mm256_castsi256_ps(_mm256_unpackhi_epi16(high, exponent))),
            ]
        }
    }

    #[inline(always)]
    fn gather([a, b, c, d]: [Floats256; 4], range: &Requantizer256) -> Self {
        Bytes256(range.quantize([a, b, c, d]))
    }

    #[inline(always)]
    fn range(range: QuantizedRange) -> Requantizer256 {
        // SAFETY: see above.
        unsafe {
            Requantizer256 {
                high: _mm256_set1_ps(range.limits()[1]),
                zero_point: _mm256_set1_epi16(i16::from(range.zero_point)),
                low: _mm256_set1_epi8(range.low.cast_signed()),
                top: _mm256_set1_epi8(range.high.cast_signed()),
            }
        }
    }

    #[inline(always)]
    fn quantize(steps: [Floats256; 4], range: &Requantizer256) -> Self {
        // SAFETY: see above.
        Bytes256(unsafe { in_order(range.quantize(steps)) })
    }

    #[inline(always)]
    fn quantize_bounded(steps: [Floats256; 4], range: &Requantizer256) -> Self {
        // SAFETY: see above.
        Bytes256(unsafe { in_order(range.quantize_bounded(steps)) })
    }

    #[inline(always)]
    fn table(table: &Table) -> Table256 {
        let zero = Self::splat(0).0;
        let mut parts = [zero; 16];
        let mut before = zero;
        for (index, results) in table.as_chunks::<16>().0.iter().enumerate() {
            let Some(part) = parts.get_mut(index) else { break };
            // SAFETY: see above.
            unsafe {
                let results = _mm_loadu_si128(results.as_ptr().cast());
                let results = _mm256_broadcastsi128_si256(results);
                *part = _mm256_xor_si256(results, if index == 8 { zero } else { before });
                before = results;
            }
        }
        Table256(parts)
    }

    /// The shuffle gives 0 for an index with the highest bit set, so subtracting 16 again and again
    /// takes in each part up to the index's own, which cancel to that. Indices from 128 on do so in
    /// the second half.
    #[inline(always)]
    fn look_up(self, table: &Table256) -> Self {
        // SAFETY: see above.
        unsafe {
            let step = _mm256_set1_epi8(16);
            let mut index = self.0;
            let mut low = _mm256_setzero_si256();
            let mut high = _mm256_setzero_si256();
            let mut upper = _mm256_xor_si256(self.0, _mm256_set1_epi8(-128));
            let (first, second) = table.0.split_at(8);
            for part in first {
                low = _mm256_xor_si256(low, _mm256_shuffle_epi8(*part, index));
                index = _mm256_sub_epi8(index, step);
            }
            for part in second {
                high = _mm256_xor_si256(high, _mm256_shuffle_epi8(*part, upper));
                upper = _mm256_sub_epi8(upper, step);
            }
            Bytes256(_mm256_blendv_epi8(low, high, self.0))
        }
    }

    #[inline(always)]
    fn add_to(self, [even, odd]: [Self; 2]) -> [Self; 2] {
        // SAFETY: see above.
        unsafe {
            let low = _mm256_and_si256(self.0, _mm256_set1_epi16(0xff));
            let high = _mm256_srli_epi16::<8>(self.0);
            [Bytes256(_mm256_add_epi16(even.0, low)), Bytes256(_mm256_add_epi16(odd.0, high))]
        }
    }

    #[inline(always)]
    fn mean([even, odd]: [Self; 2], terms: [Floats256; 2], range: &Requantizer256) -> Self {
        // SAFETY: see above.
        unsafe {
            let nothing = _mm256_setzero_si256();
            let low = _mm256_unpacklo_epi16(even.0, odd.0);
            let high = _mm256_unpackhi_epi16(even.0, odd.0);
            let sums = [
                _mm256_unpacklo_epi16(low, nothing),
                _mm256_unpackhi_epi16(low, nothing),
                _mm256_unpacklo_epi16(high, nothing),
                _mm256_unpackhi_epi16(high, nothing),
            ];
            let [zero, factor] = terms;
            let mut steps = [zero; 4];
            for (step, sum) in steps.iter_mut().zip(sums) {
                *step = Floats256(_mm256_cvtepi32_ps(sum)).sub(zero).mul(factor);
            }
            Bytes256(range.quantize(steps))
        }
    }
}

/// Moves dword `4 l + j` to place `2 j + l`.
#[inline(always)]
unsafe fn in_order(bytes: __m256i) -> __m256i {
    // SAFETY: the caller's.
    unsafe { _mm256_permutevar8x32_epi32(bytes, _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7)) }
}

// SAFETY (every block below): as for `Bytes256`.
impl FloatLanes for Floats256 {
    const COUNT: usize = 8;

    #[inline(always)]
    fn splat(value: f32) -> Self {
        // SAFETY: see above.
        Floats256(unsafe { _mm256_set1_ps(value) })
    }

    #[inline(always)]
    fn load(values: &[f32]) -> Self {
        let Some(chunk) = values.first_chunk::<8>() else { return Self::splat(0.0) };
        // SAFETY: see above.
        Floats256(unsafe { _mm256_loadu_ps(chunk.as_ptr()) })
    }

    #[inline(always)]
    fn store(self, places: &mut [f32]) {
        let Some(chunk) = places.first_chunk_mut::<8>() else { return };
        // SAFETY: see above.
        unsafe { _mm256_storeu_ps(chunk.as_mut_ptr(), self.0) }
    }

    #[inline(always)]
    fn add(self, other: Self) -> Self {
        // SAFETY: see above.
        Floats256(unsafe { _mm256_add_ps(self.0, other.0) })
    }

    #[inline(always)]
    fn sub(self, other: Self) -> Self {
        // SAFETY: see above.
        Floats256(unsafe { _mm256_sub_ps(self.0, other.0) })
    }

    #[inline(always)]
    fn mul(self, other: Self) -> Self {
        // SAFETY: see above.
        Floats256(unsafe { _mm256_mul_ps(self.0, other.0) })
    }

    #[inline(always)]
    fn div(self, other: Self) -> Self {
        // SAFETY: see above.
        Floats256(unsafe { _mm256_div_ps(self.0, other.0) })
    }

    #[inline(always)]
    fn abs(self) -> Self {
        // SAFETY: see above.
        Floats256(unsafe { _mm256_andnot_ps(_mm256_set1_ps(-0.0), self.0) })
    }

    #[inline(always)]
    fn round(self) -> Self {
        // SAFETY: see above.
        Floats256(unsafe { _mm256_round_ps::<0>(self.0) })
    }

    #[inline(always)]
    fn min(self, other: Self) -> Self {
        // SAFETY: see above.
        Floats256(unsafe { _mm256_min_ps(self.0, other.0) })
    }

    #[inline(always)]
    fn max(self, other: Self) -> Self {
        // SAFETY: see above.
        Floats256(unsafe { _mm256_max_ps(self.0, other.0) })
    }

    #[inline(always)]
    fn number(self) -> Self {
        // SAFETY: see above.
        unsafe {
            let number = _mm256_cmp_ps::<_CMP_ORD_Q>(self.0, self.0);
            Floats256(_mm256_and_ps(number, self.0))
        }
    }

    #[inline(always)]
    fn any_above(self, limit: Self) -> bool {
        // SAFETY: see above.
        unsafe { _mm256_movemask_ps(_mm256_cmp_ps::<_CMP_GT_OQ>(self.0, limit.0)) != 0 }
    }
}
