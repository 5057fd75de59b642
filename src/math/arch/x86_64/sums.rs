//! Sums of 8-bit products: AVX2, and the dot product instructions of AVX-512 VNNI.

use super::{Avx2, Avx512};
use crate::math::lanes::Lanes;
use crate::math::linear_i8::{Affine, Sums};
use crate::math::quantized::{Quad, STRIP};
use core::arch::x86_64::*;

/// Sixteen sums in two vectors. Values exist only inside functions compiled for AVX2.
#[derive(Clone, Copy)]
pub struct Avx2Sums([__m256i; 2]);

/// Eight cells: channels 0 and 2, channels 1 and 3, widened to 16 bits.
type Pairs = [__m256i; 2];

// SAFETY (every block below): the intrinsics need AVX2. Only entry points that are compiled for
// AVX2 or more use this type, which `supported` hands out after checking. Loads and stores touch
// whole arrays of the vectors' size.
impl Sums for Avx2Sums {
    const WIDE: bool = false;
    type Points<'a> = [Pairs; 2];
    type Weights = Pairs;

    #[inline(always)]
    fn splat(value: i32) -> Self {
        // SAFETY: see above.
        Avx2Sums([unsafe { _mm256_set1_epi32(value) }; 2])
    }

    #[inline(always)]
    fn points(quad: &Quad) -> [Pairs; 2] {
        let pointer = quad.as_ptr().cast::<__m256i>();
        // SAFETY: see above; the array has 64 bytes.
        unsafe {
            let (left, right) = (_mm256_loadu_si256(pointer), _mm256_loadu_si256(pointer.add(1)));
            let low_byte = _mm256_set1_epi16(0xff);
            [
                [_mm256_and_si256(left, low_byte), _mm256_srli_epi16::<8>(left)],
                [_mm256_and_si256(right, low_byte), _mm256_srli_epi16::<8>(right)],
            ]
        }
    }

    #[inline(always)]
    fn weights(quad: [i8; 4]) -> Pairs {
        // SAFETY: see above.
        unsafe {
            let all = _mm256_set1_epi32(i32::from_le_bytes(quad.map(i8::cast_unsigned)));
            let even = _mm256_srai_epi16::<8>(_mm256_slli_epi16::<8>(all));
            [even, _mm256_srai_epi16::<8>(all)]
        }
    }

    #[inline(always)]
    fn add_products(self, points: [Pairs; 2], weights: Pairs) -> Self {
        let mut sums = self.0;
        for (sum, cells) in sums.iter_mut().zip(points) {
            for (cells, weights) in cells.into_iter().zip(weights) {
                // SAFETY: see above; products of 255 and 128 twice over fit 32 bits.
                *sum = unsafe { _mm256_add_epi32(*sum, _mm256_madd_epi16(cells, weights)) };
            }
        }
        Avx2Sums(sums)
    }

    #[inline(always)]
    fn write(self, affine: Affine<'_>, cells: &mut [f32; STRIP]) {
        let scales = affine.cell_scales.as_chunks::<8>().0;
        let places = cells.as_chunks_mut::<8>().0.iter_mut().zip(scales);
        for ((cells, scales), sum) in places.zip(self.0) {
            // SAFETY: see above.
            let sum = Avx2(unsafe { _mm256_cvtepi32_ps(sum) });
            finish(sum, affine, scales, cells);
        }
    }
}

/// Sixteen sums. Values exist only inside functions compiled for AVX-512 VNNI.
#[derive(Clone, Copy)]
pub struct VnniSums(__m512i);

// SAFETY (every block below): as for `Avx2Sums`, with AVX-512F, AVX-512 VNNI and `linear_i8_vnni`.
impl Sums for VnniSums {
    const WIDE: bool = true;
    type Points<'a> = __m512i;
    type Weights = __m512i;

    #[inline(always)]
    fn splat(value: i32) -> Self {
        // SAFETY: see above.
        VnniSums(unsafe { _mm512_set1_epi32(value) })
    }

    #[inline(always)]
    fn points(quad: &Quad) -> __m512i {
        // SAFETY: see above; the array has 64 bytes.
        unsafe { _mm512_loadu_si512(quad.as_ptr().cast()) }
    }

    #[inline(always)]
    fn weights(quad: [i8; 4]) -> __m512i {
        // SAFETY: see above.
        unsafe { _mm512_set1_epi32(i32::from_le_bytes(quad.map(i8::cast_unsigned))) }
    }

    #[inline(always)]
    fn add_products(self, points: __m512i, weights: __m512i) -> Self {
        // SAFETY: see above; this instruction does not saturate.
        VnniSums(unsafe { _mm512_dpbusd_epi32(self.0, points, weights) })
    }

    #[inline(always)]
    fn write(self, affine: Affine<'_>, cells: &mut [f32; STRIP]) {
        // SAFETY: see above.
        let sum = Avx512(unsafe { _mm512_cvtepi32_ps(self.0) });
        finish(sum, affine, affine.cell_scales, cells);
    }
}

#[inline(always)]
fn finish<L: Lanes>(sum: L, affine: Affine<'_>, cell_scales: &[f32], cells: &mut [f32]) {
    let value = sum.mul(L::splat(affine.scale)).mul(L::load(cell_scales));
    value.add(L::splat(affine.bias)).store(cells);
}
