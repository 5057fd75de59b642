//! Vectors of 64 bytes. Values exist only inside functions compiled for AVX-512 F, BW and VBMI.

use super::avx512::{Requantizer, TableRegisters, first_lanes, transpose_dwords};
use crate::math::network::quantization::QuantizedRange;
use crate::math::network::table_u8::Table;
use crate::math::network::vector::{ByteLanes, FloatLanes};
use core::arch::x86_64::*;

/// 64 bytes.
#[derive(Clone, Copy)]
pub struct Bytes512(pub __m512i);

/// 16 numbers.
#[derive(Clone, Copy)]
pub struct Floats512(pub __m512);

// SAFETY (every block below): the intrinsics need AVX-512 F, BW and VBMI. Only the entry points of
// `layers_avx512` use this type, which are compiled for these. Loads and stores touch exactly the
// places of a checked `first_chunk`, or those that a mask made of the slice's length allows.
impl ByteLanes for Bytes512 {
    const COUNT: usize = 64;
    type Floats = Floats512;
    type Range = Requantizer;
    type Table = TableRegisters;

    #[inline(always)]
    fn splat(byte: u8) -> Self {
        // SAFETY: see above.
        Bytes512(unsafe { _mm512_set1_epi8(byte.cast_signed()) })
    }

    #[inline(always)]
    fn load(bytes: &[u8]) -> Self {
        let Some(chunk) = bytes.first_chunk::<64>() else { return Self::splat(0) };
        // SAFETY: see above.
        Bytes512(unsafe { _mm512_loadu_si512(chunk.as_ptr().cast()) })
    }

    #[inline(always)]
    fn load_part(bytes: &[u8]) -> Self {
        // SAFETY: see above.
        Bytes512(unsafe {
            _mm512_maskz_loadu_epi8(first_lanes(bytes.len()), bytes.as_ptr().cast())
        })
    }

    #[inline(always)]
    fn store(self, places: &mut [u8]) {
        let Some(chunk) = places.first_chunk_mut::<64>() else { return };
        // SAFETY: see above.
        unsafe { _mm512_storeu_si512(chunk.as_mut_ptr().cast(), self.0) }
    }

    #[inline(always)]
    fn store_part(self, places: &mut [u8]) {
        let mask = first_lanes(places.len());
        // SAFETY: see above.
        unsafe { _mm512_mask_storeu_epi8(places.as_mut_ptr().cast(), mask, self.0) }
    }

    #[inline(always)]
    fn max(self, other: Self) -> Self {
        // SAFETY: see above.
        Bytes512(unsafe { _mm512_max_epu8(self.0, other.0) })
    }

    #[inline(always)]
    fn to_floats(self) -> [Floats512; 4] {
        // SAFETY: see above.
        unsafe {
            let float = |bytes| Floats512(_mm512_cvtepi32_ps(_mm512_cvtepu8_epi32(bytes)));
            [
                float(_mm512_castsi512_si128(self.0)),
                float(_mm512_extracti32x4_epi32::<1>(self.0)),
                float(_mm512_extracti32x4_epi32::<2>(self.0)),
                float(_mm512_extracti32x4_epi32::<3>(self.0)),
            ]
        }
    }

    #[inline(always)]
    fn spread(self) -> [Floats512; 4] {
        // SAFETY: see above. Each dword becomes the bits of an f32: a byte below those of 2^23.
        unsafe {
            let nothing = _mm512_setzero_si512();
            let exponent = _mm512_set1_epi16(0x4b00);
            let low = _mm512_unpacklo_epi8(self.0, nothing);
            let high = _mm512_unpackhi_epi8(self.0, nothing);
            [
                Floats512(_mm512_castsi512_ps(_mm512_unpacklo_epi16(low, exponent))),
                Floats512(_mm512_castsi512_ps(_mm512_unpackhi_epi16(low, exponent))),
                Floats512(_mm512_castsi512_ps(_mm512_unpacklo_epi16(high, exponent))),
                Floats512(_mm512_castsi512_ps(_mm512_unpackhi_epi16(high, exponent))),
            ]
        }
    }

    #[inline(always)]
    fn gather([a, b, c, d]: [Floats512; 4], range: &Requantizer) -> Self {
        // SAFETY: see above.
        Bytes512(unsafe { range.quantize([a.0, b.0, c.0, d.0]) })
    }

    #[inline(always)]
    fn range(range: QuantizedRange) -> Requantizer {
        // SAFETY: see above.
        unsafe { Requantizer::new(range) }
    }

    #[inline(always)]
    fn quantize([a, b, c, d]: [Floats512; 4], range: &Requantizer) -> Self {
        // SAFETY: see above.
        Bytes512(unsafe { transpose_dwords(range.quantize([a.0, b.0, c.0, d.0])) })
    }

    #[inline(always)]
    fn quantize_bounded([a, b, c, d]: [Floats512; 4], range: &Requantizer) -> Self {
        // SAFETY: see above.
        Bytes512(unsafe { transpose_dwords(range.quantize_bounded([a.0, b.0, c.0, d.0])) })
    }

    #[inline(always)]
    fn table(table: &Table) -> TableRegisters {
        // SAFETY: see above.
        unsafe { TableRegisters::new(table) }
    }

    #[inline(always)]
    fn look_up(self, table: &TableRegisters) -> Self {
        // SAFETY: see above.
        Bytes512(unsafe { table.look_up(self.0) })
    }

    #[inline(always)]
    fn add_to(self, [even, odd]: [Self; 2]) -> [Self; 2] {
        // SAFETY: see above.
        unsafe {
            let low = _mm512_and_si512(self.0, _mm512_set1_epi16(0xff));
            let high = _mm512_srli_epi16::<8>(self.0);
            [Bytes512(_mm512_add_epi16(even.0, low)), Bytes512(_mm512_add_epi16(odd.0, high))]
        }
    }

    #[inline(always)]
    fn mean([even, odd]: [Self; 2], terms: [Floats512; 2], range: &Requantizer) -> Self {
        // SAFETY: see above.
        unsafe {
            let nothing = _mm512_setzero_si512();
            let low = _mm512_unpacklo_epi16(even.0, odd.0);
            let high = _mm512_unpackhi_epi16(even.0, odd.0);
            let sums = [
                _mm512_unpacklo_epi16(low, nothing),
                _mm512_unpackhi_epi16(low, nothing),
                _mm512_unpacklo_epi16(high, nothing),
                _mm512_unpackhi_epi16(high, nothing),
            ];
            let [zero, factor] = terms;
            let mut steps = [zero.0; 4];
            for (step, sum) in steps.iter_mut().zip(sums) {
                *step = _mm512_mul_ps(_mm512_sub_ps(_mm512_cvtepi32_ps(sum), zero.0), factor.0);
            }
            Bytes512(range.quantize(steps))
        }
    }
}

// SAFETY (every block below): as for `Bytes512`.
impl FloatLanes for Floats512 {
    const COUNT: usize = 16;

    #[inline(always)]
    fn splat(value: f32) -> Self {
        // SAFETY: see above.
        Floats512(unsafe { _mm512_set1_ps(value) })
    }

    #[inline(always)]
    fn load(values: &[f32]) -> Self {
        let Some(chunk) = values.first_chunk::<16>() else { return Self::splat(0.0) };
        // SAFETY: see above.
        Floats512(unsafe { _mm512_loadu_ps(chunk.as_ptr()) })
    }

    #[inline(always)]
    fn store(self, places: &mut [f32]) {
        let Some(chunk) = places.first_chunk_mut::<16>() else { return };
        // SAFETY: see above.
        unsafe { _mm512_storeu_ps(chunk.as_mut_ptr(), self.0) }
    }

    #[inline(always)]
    fn add(self, other: Self) -> Self {
        // SAFETY: see above.
        Floats512(unsafe { _mm512_add_ps(self.0, other.0) })
    }

    #[inline(always)]
    fn sub(self, other: Self) -> Self {
        // SAFETY: see above.
        Floats512(unsafe { _mm512_sub_ps(self.0, other.0) })
    }

    #[inline(always)]
    fn mul(self, other: Self) -> Self {
        // SAFETY: see above.
        Floats512(unsafe { _mm512_mul_ps(self.0, other.0) })
    }

    #[inline(always)]
    fn div(self, other: Self) -> Self {
        // SAFETY: see above.
        Floats512(unsafe { _mm512_div_ps(self.0, other.0) })
    }

    #[inline(always)]
    fn abs(self) -> Self {
        // SAFETY: see above.
        Floats512(unsafe { _mm512_abs_ps(self.0) })
    }

    #[inline(always)]
    fn round(self) -> Self {
        // SAFETY: see above.
        Floats512(unsafe { _mm512_roundscale_ps::<0>(self.0) })
    }

    #[inline(always)]
    fn min(self, other: Self) -> Self {
        // SAFETY: see above.
        Floats512(unsafe { _mm512_min_ps(self.0, other.0) })
    }

    #[inline(always)]
    fn max(self, other: Self) -> Self {
        // SAFETY: see above.
        Floats512(unsafe { _mm512_max_ps(self.0, other.0) })
    }

    #[inline(always)]
    fn number(self) -> Self {
        // SAFETY: see above.
        unsafe {
            let number = _mm512_cmp_ps_mask::<_CMP_ORD_Q>(self.0, self.0);
            Floats512(_mm512_maskz_mov_ps(number, self.0))
        }
    }

    #[inline(always)]
    fn any_above(self, limit: Self) -> bool {
        // SAFETY: see above.
        unsafe { _mm512_cmp_ps_mask::<_CMP_GT_OQ>(self.0, limit.0) != 0 }
    }
}
