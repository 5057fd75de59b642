//! Vectors of eight and sixteen f32.

use crate::math::network::floats::Floats;
use core::arch::x86_64::*;

/// Eight lanes. Values exist only inside functions compiled for AVX2, FMA and F16C.
#[derive(Clone, Copy)]
pub struct Avx2(pub __m256);

/// Lanes of `_mm256_maskload_ps` for the first so many values.
#[inline(always)]
fn first_lanes(count: usize) -> __m256i {
    let count = i32::try_from(count).unwrap_or(8);
    // SAFETY: as for `Avx2`.
    unsafe {
        let lanes = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);
        _mm256_cmpgt_epi32(_mm256_set1_epi32(count), lanes)
    }
}

// SAFETY (every block below): the intrinsics need AVX2, FMA and F16C. Only entry points compiled
// for them use this type, and they are handed out only after checking that the processor has them.
// Loads and stores touch the eight places of a checked `first_chunk`, or, masked, only those of
// the slice.
impl Floats for Avx2 {
    const COUNT: usize = 8;

    #[inline(always)]
    fn splat(value: f32) -> Self {
        // SAFETY: see above.
        Avx2(unsafe { _mm256_set1_ps(value) })
    }

    #[inline(always)]
    fn load(values: &[f32]) -> Self {
        if let Some(all) = values.first_chunk::<8>() {
            // SAFETY: see above.
            return Avx2(unsafe { _mm256_loadu_ps(all.as_ptr()) });
        }
        // A masked load at an address that cannot be read faults inside the processor, slowly.
        if values.is_empty() {
            return Self::splat(0.0);
        }
        // SAFETY: see above.
        Avx2(unsafe { _mm256_maskload_ps(values.as_ptr(), first_lanes(values.len())) })
    }

    #[inline(always)]
    fn store(self, places: &mut [f32]) {
        if let Some(all) = places.first_chunk_mut::<8>() {
            // SAFETY: see above.
            return unsafe { _mm256_storeu_ps(all.as_mut_ptr(), self.0) };
        }
        // SAFETY: see above.
        unsafe { _mm256_maskstore_ps(places.as_mut_ptr(), first_lanes(places.len()), self.0) }
    }

    #[inline(always)]
    fn add(self, other: Self) -> Self {
        // SAFETY: see above.
        Avx2(unsafe { _mm256_add_ps(self.0, other.0) })
    }

    #[inline(always)]
    fn sub(self, other: Self) -> Self {
        // SAFETY: see above.
        Avx2(unsafe { _mm256_sub_ps(self.0, other.0) })
    }

    #[inline(always)]
    fn mul(self, other: Self) -> Self {
        // SAFETY: see above.
        Avx2(unsafe { _mm256_mul_ps(self.0, other.0) })
    }

    #[inline(always)]
    fn div(self, other: Self) -> Self {
        // SAFETY: see above.
        Avx2(unsafe { _mm256_div_ps(self.0, other.0) })
    }

    #[inline(always)]
    fn mul_add(self, factor: Self, summand: Self) -> Self {
        // SAFETY: see above.
        Avx2(unsafe { _mm256_fmadd_ps(self.0, factor.0, summand.0) })
    }

    #[inline(always)]
    fn max(self, other: Self) -> Self {
        // SAFETY: see above.
        Avx2(unsafe { _mm256_max_ps(self.0, other.0) })
    }

    #[inline(always)]
    fn min(self, other: Self) -> Self {
        // SAFETY: see above.
        Avx2(unsafe { _mm256_min_ps(self.0, other.0) })
    }

    #[inline(always)]
    fn abs(self) -> Self {
        // SAFETY: see above.
        Avx2(unsafe { _mm256_andnot_ps(_mm256_set1_ps(-0.0), self.0) })
    }

    #[inline(always)]
    fn sqrt(self) -> Self {
        // SAFETY: see above.
        Avx2(unsafe { _mm256_sqrt_ps(self.0) })
    }

    #[inline(always)]
    fn if_greater(self, other: Self, yes: Self, no: Self) -> Self {
        // SAFETY: see above.
        unsafe {
            let mask = _mm256_cmp_ps::<_CMP_GT_OQ>(self.0, other.0);
            Avx2(_mm256_blendv_ps(no.0, yes.0, mask))
        }
    }

    #[inline(always)]
    fn with_sign_of(self, sign: Self) -> Self {
        // SAFETY: see above.
        unsafe {
            let bit = _mm256_set1_ps(-0.0);
            Avx2(_mm256_or_ps(_mm256_andnot_ps(bit, self.0), _mm256_and_ps(bit, sign.0)))
        }
    }

    #[inline(always)]
    fn times_power_of_two(self, whole: Self) -> Self {
        // SAFETY: see above. In two steps, so that results beyond the normal numbers come out
        // right.
        unsafe {
            let whole = _mm256_cvtps_epi32(whole.0);
            let one = _mm256_srai_epi32::<1>(whole);
            let [one, two] = [one, _mm256_sub_epi32(whole, one)].map(|whole| {
                let biased = _mm256_add_epi32(whole, _mm256_set1_epi32(127));
                _mm256_castsi256_ps(_mm256_slli_epi32::<23>(biased))
            });
            Avx2(_mm256_mul_ps(_mm256_mul_ps(self.0, one), two))
        }
    }

    #[inline(always)]
    fn reciprocal(self) -> Self {
        Self::splat(1.0).div(self)
    }

    #[inline(always)]
    fn sum(self) -> f32 {
        // SAFETY: see above.
        unsafe {
            let four =
                _mm_add_ps(_mm256_castps256_ps128(self.0), _mm256_extractf128_ps::<1>(self.0));
            let two = _mm_add_ps(four, _mm_movehl_ps(four, four));
            _mm_cvtss_f32(_mm_add_ss(two, _mm_shuffle_ps::<1>(two, two)))
        }
    }

    #[inline(always)]
    fn greatest(self) -> f32 {
        // SAFETY: see above.
        unsafe {
            let four =
                _mm_max_ps(_mm256_castps256_ps128(self.0), _mm256_extractf128_ps::<1>(self.0));
            let two = _mm_max_ps(four, _mm_movehl_ps(four, four));
            _mm_cvtss_f32(_mm_max_ss(two, _mm_shuffle_ps::<1>(two, two)))
        }
    }
}

/// Sixteen lanes. Values exist only inside functions compiled for AVX-512F.
#[derive(Clone, Copy)]
pub struct Avx512(pub __m512);

/// A bit for each of the first so many lanes.
#[inline(always)]
pub(super) fn first_bits(count: usize) -> __mmask16 {
    ((1u32 << count.min(16)) - 1) as __mmask16
}

// SAFETY (every block below): as for `Avx2`, with AVX-512F and sixteen places.
impl Floats for Avx512 {
    const COUNT: usize = 16;

    #[inline(always)]
    fn splat(value: f32) -> Self {
        // SAFETY: see above.
        Avx512(unsafe { _mm512_set1_ps(value) })
    }

    #[inline(always)]
    fn load(values: &[f32]) -> Self {
        if let Some(all) = values.first_chunk::<16>() {
            // SAFETY: see above.
            return Avx512(unsafe { _mm512_loadu_ps(all.as_ptr()) });
        }
        // A masked load at an address that cannot be read faults inside the processor, slowly.
        if values.is_empty() {
            return Self::splat(0.0);
        }
        // SAFETY: see above.
        Avx512(unsafe { _mm512_maskz_loadu_ps(first_bits(values.len()), values.as_ptr()) })
    }

    #[inline(always)]
    fn store(self, places: &mut [f32]) {
        if let Some(all) = places.first_chunk_mut::<16>() {
            // SAFETY: see above.
            return unsafe { _mm512_storeu_ps(all.as_mut_ptr(), self.0) };
        }
        // SAFETY: see above.
        unsafe { _mm512_mask_storeu_ps(places.as_mut_ptr(), first_bits(places.len()), self.0) }
    }

    #[inline(always)]
    fn add(self, other: Self) -> Self {
        // SAFETY: see above.
        Avx512(unsafe { _mm512_add_ps(self.0, other.0) })
    }

    #[inline(always)]
    fn sub(self, other: Self) -> Self {
        // SAFETY: see above.
        Avx512(unsafe { _mm512_sub_ps(self.0, other.0) })
    }

    #[inline(always)]
    fn mul(self, other: Self) -> Self {
        // SAFETY: see above.
        Avx512(unsafe { _mm512_mul_ps(self.0, other.0) })
    }

    #[inline(always)]
    fn div(self, other: Self) -> Self {
        // SAFETY: see above.
        Avx512(unsafe { _mm512_div_ps(self.0, other.0) })
    }

    #[inline(always)]
    fn mul_add(self, factor: Self, summand: Self) -> Self {
        // SAFETY: see above.
        Avx512(unsafe { _mm512_fmadd_ps(self.0, factor.0, summand.0) })
    }

    #[inline(always)]
    fn max(self, other: Self) -> Self {
        // SAFETY: see above.
        Avx512(unsafe { _mm512_max_ps(self.0, other.0) })
    }

    #[inline(always)]
    fn min(self, other: Self) -> Self {
        // SAFETY: see above.
        Avx512(unsafe { _mm512_min_ps(self.0, other.0) })
    }

    #[inline(always)]
    fn abs(self) -> Self {
        // SAFETY: see above.
        Avx512(unsafe { _mm512_abs_ps(self.0) })
    }

    #[inline(always)]
    fn sqrt(self) -> Self {
        // SAFETY: see above.
        Avx512(unsafe { _mm512_sqrt_ps(self.0) })
    }

    #[inline(always)]
    fn if_greater(self, other: Self, yes: Self, no: Self) -> Self {
        // SAFETY: see above.
        unsafe {
            let mask = _mm512_cmp_ps_mask::<_CMP_GT_OQ>(self.0, other.0);
            Avx512(_mm512_mask_blend_ps(mask, no.0, yes.0))
        }
    }

    #[inline(always)]
    fn with_sign_of(self, sign: Self) -> Self {
        // SAFETY: see above; 0xca takes the second operand where the first has ones, else the
        // third.
        unsafe {
            let bit = _mm512_set1_epi32(i32::MIN);
            let (sign, size) = (_mm512_castps_si512(sign.0), _mm512_castps_si512(self.0));
            Avx512(_mm512_castsi512_ps(_mm512_ternarylogic_epi32::<0xca>(bit, sign, size)))
        }
    }

    #[inline(always)]
    fn times_power_of_two(self, whole: Self) -> Self {
        // SAFETY: see above.
        Avx512(unsafe { _mm512_scalef_ps(self.0, whole.0) })
    }

    #[inline(always)]
    fn reciprocal(self) -> Self {
        // SAFETY: see above. Newton's step squares the estimate's relative error of 2^-14.
        unsafe {
            let estimate = _mm512_rcp14_ps(self.0);
            let error = _mm512_fnmadd_ps(self.0, estimate, _mm512_set1_ps(1.0));
            Avx512(_mm512_fmadd_ps(estimate, error, estimate))
        }
    }

    #[inline(always)]
    fn sum(self) -> f32 {
        // SAFETY: see above.
        unsafe { _mm512_reduce_add_ps(self.0) }
    }

    #[inline(always)]
    fn greatest(self) -> f32 {
        // SAFETY: see above.
        unsafe { _mm512_reduce_max_ps(self.0) }
    }
}
