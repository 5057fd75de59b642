//! AVX2 and AVX-512 kernels.

use crate::math::kernels::{
    self, BlendedRow, ClassBlock, Columns, Evidence, FeatureRow, GridRow, Kernels, Ranking, RowPair,
};
use crate::math::lanes::Lanes;
use core::arch::x86_64::*;

/// The sets that this processor runs, fastest first.
pub fn supported() -> impl Iterator<Item = &'static Kernels> {
    let sets = [(has_avx512f(), &avx512::KERNELS), (has_avx2(), &avx2::KERNELS)];
    sets.into_iter().filter(|(runs, _)| *runs).map(|(_, kernels)| kernels)
}

#[cfg(feature = "std")]
fn has_avx512f() -> bool {
    std::arch::is_x86_feature_detected!("avx512f")
}

#[cfg(feature = "std")]
fn has_avx2() -> bool {
    std::arch::is_x86_feature_detected!("avx2")
}

#[cfg(not(feature = "std"))]
fn has_avx512f() -> bool {
    cfg!(target_feature = "avx512f")
}

#[cfg(not(feature = "std"))]
fn has_avx2() -> bool {
    cfg!(target_feature = "avx2")
}

/// Eight lanes. Values exist only inside functions compiled for AVX2.
#[derive(Clone, Copy)]
struct Avx2(__m256);

// SAFETY (every block below): the intrinsics need AVX2. This type is private and only the entry
// points of `avx2` use it, which `supported` hands out after checking for AVX2. Loads and stores
// touch exactly the eight places of a checked `first_chunk`.
impl Lanes for Avx2 {
    const COUNT: usize = 8;
    type Mask = __m256;
    type Picks = __m256i;

    #[inline(always)]
    fn splat(value: f32) -> Self {
        // SAFETY: see above.
        Avx2(unsafe { _mm256_set1_ps(value) })
    }

    #[inline(always)]
    fn load(values: &[f32]) -> Self {
        let Some(chunk) = values.first_chunk::<8>() else { return Self::splat(0.0) };
        // SAFETY: see above.
        Avx2(unsafe { _mm256_loadu_ps(chunk.as_ptr()) })
    }

    #[inline(always)]
    fn store(self, values: &mut [f32]) {
        let Some(chunk) = values.first_chunk_mut::<8>() else { return };
        // SAFETY: see above.
        unsafe { _mm256_storeu_ps(chunk.as_mut_ptr(), self.0) }
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
    fn max(self, other: Self) -> Self {
        // SAFETY: see above.
        Avx2(unsafe { _mm256_max_ps(self.0, other.0) })
    }

    #[inline(always)]
    fn greater(self, other: Self) -> __m256 {
        // SAFETY: see above.
        unsafe { _mm256_cmp_ps::<_CMP_GT_OQ>(self.0, other.0) }
    }

    #[inline(always)]
    fn select(mask: __m256, yes: Self, no: Self) -> Self {
        // SAFETY: see above.
        Avx2(unsafe { _mm256_blendv_ps(no.0, yes.0, mask) })
    }

    #[inline(always)]
    fn picks(columns: &[u32], base: u32) -> __m256i {
        let columns = columns.first_chunk::<8>().unwrap_or(&[0; 8]);
        // SAFETY: see above; the permutation takes its indices modulo 8.
        unsafe {
            let columns = _mm256_loadu_si256(columns.as_ptr().cast());
            _mm256_sub_epi32(columns, _mm256_set1_epi32(base.cast_signed()))
        }
    }

    #[inline(always)]
    fn pick(self, picks: __m256i) -> Self {
        // SAFETY: see above.
        Avx2(unsafe { _mm256_permutevar8x32_ps(self.0, picks) })
    }

    #[inline(always)]
    fn exp2_whole(self) -> Self {
        // SAFETY: see above.
        unsafe {
            let biased = _mm256_add_epi32(_mm256_cvttps_epi32(self.0), _mm256_set1_epi32(127));
            Avx2(_mm256_castsi256_ps(_mm256_slli_epi32::<23>(biased)))
        }
    }
}

/// Sixteen lanes. Values exist only inside functions compiled for AVX-512F.
#[derive(Clone, Copy)]
struct Avx512(__m512);

// SAFETY (every block below): as for `Avx2`, with AVX-512F and sixteen places.
impl Lanes for Avx512 {
    const COUNT: usize = 16;
    type Mask = __mmask16;
    type Picks = __m512i;

    #[inline(always)]
    fn splat(value: f32) -> Self {
        // SAFETY: see above.
        Avx512(unsafe { _mm512_set1_ps(value) })
    }

    #[inline(always)]
    fn load(values: &[f32]) -> Self {
        let Some(chunk) = values.first_chunk::<16>() else { return Self::splat(0.0) };
        // SAFETY: see above.
        Avx512(unsafe { _mm512_loadu_ps(chunk.as_ptr()) })
    }

    #[inline(always)]
    fn store(self, values: &mut [f32]) {
        let Some(chunk) = values.first_chunk_mut::<16>() else { return };
        // SAFETY: see above.
        unsafe { _mm512_storeu_ps(chunk.as_mut_ptr(), self.0) }
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
    fn max(self, other: Self) -> Self {
        // SAFETY: see above.
        Avx512(unsafe { _mm512_max_ps(self.0, other.0) })
    }

    #[inline(always)]
    fn greater(self, other: Self) -> __mmask16 {
        // SAFETY: see above.
        unsafe { _mm512_cmp_ps_mask::<_CMP_GT_OQ>(self.0, other.0) }
    }

    #[inline(always)]
    fn select(mask: __mmask16, yes: Self, no: Self) -> Self {
        // SAFETY: see above.
        Avx512(unsafe { _mm512_mask_blend_ps(mask, no.0, yes.0) })
    }

    #[inline(always)]
    fn picks(columns: &[u32], base: u32) -> __m512i {
        let columns = columns.first_chunk::<16>().unwrap_or(&[0; 16]);
        // SAFETY: see above; the permutation takes its indices modulo 16.
        unsafe {
            let columns = _mm512_loadu_si512(columns.as_ptr().cast());
            _mm512_sub_epi32(columns, _mm512_set1_epi32(base.cast_signed()))
        }
    }

    #[inline(always)]
    fn pick(self, picks: __m512i) -> Self {
        // SAFETY: see above.
        Avx512(unsafe { _mm512_permutexvar_ps(picks, self.0) })
    }

    #[inline(always)]
    fn exp2_whole(self) -> Self {
        // SAFETY: see above.
        unsafe {
            let biased = _mm512_add_epi32(_mm512_cvttps_epi32(self.0), _mm512_set1_epi32(127));
            Avx512(_mm512_castsi512_ps(_mm512_slli_epi32::<23>(biased)))
        }
    }
}

/// Entry points compiled for one instruction set. A macro, since a function's target feature is
/// an attribute and cannot be a parameter.
macro_rules! entry_points {
    ($module:ident, $lanes:ty, $feature:literal) => {
        mod $module {
            use super::*;

            pub static KERNELS: Kernels = Kernels {
                name: $feature,
                blend: |rows, blended| {
                    // SAFETY: `supported` hands this table out only after checking that the
                    // processor has the feature.
                    unsafe { blend(rows, blended) }
                },
                decide: |grid, columns, labels| {
                    // SAFETY: see above.
                    unsafe { decide(grid, columns, labels) }
                },
                rank: |grid, columns, ranking| {
                    // SAFETY: see above.
                    unsafe { rank(grid, columns, ranking) }
                },
                evidence: |grid, columns, scale, operands| {
                    // SAFETY: see above.
                    unsafe { evidence(grid, columns, scale, operands) }
                },
                linear: |features, block, out| {
                    // SAFETY: see above.
                    unsafe { linear(features, block, out) }
                },
            };

            #[target_feature(enable = $feature)]
            fn blend(rows: RowPair<'_>, blended: BlendedRow<'_>) {
                kernels::blend(rows, blended);
            }

            #[target_feature(enable = $feature)]
            fn decide(grid: GridRow<'_>, columns: Columns<'_>, labels: &mut [f32]) {
                kernels::decide::<$lanes>(grid, columns, labels);
            }

            #[target_feature(enable = $feature)]
            fn rank(grid: GridRow<'_>, columns: Columns<'_>, ranking: Ranking<'_>) {
                kernels::rank::<$lanes>(grid, columns, ranking);
            }

            #[target_feature(enable = $feature)]
            fn evidence(
                grid: GridRow<'_>,
                columns: Columns<'_>,
                scale: f32,
                operands: Evidence<'_>,
            ) {
                kernels::evidence::<$lanes>(grid, columns, scale, operands);
            }

            #[target_feature(enable = $feature)]
            fn linear(features: FeatureRow<'_>, block: ClassBlock<'_>, out: &mut [f32]) {
                kernels::linear::<$lanes>(features, block, out);
            }
        }
    };
}

entry_points!(avx2, Avx2, "avx2");
entry_points!(avx512, Avx512, "avx512f");
