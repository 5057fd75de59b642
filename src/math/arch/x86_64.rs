//! AVX2 and AVX-512 kernels.

use crate::math::kernels::{
    self, BlendedRow, ClassBlock, Columns, FeatureRow, GridRow, Kernels, Ranking, RowPair, Softmax,
};
use crate::math::lanes::Lanes;
use crate::math::linear_i8::{self, ClassRowsI8};
use crate::math::prune::{self, Candidates, CellRow, Survivors};
use crate::math::quantized::{self, QuantizedRow, QuantizedRowMut};
use core::arch::x86_64::*;
use cpu::Cpu;
use sums::{Avx2Sums, VnniSums};

pub mod cpu;
pub mod network;
mod sums;

static AVX2: Kernels = avx2::KERNELS;
static AVX512: Kernels = avx512::KERNELS;
static AVX512_VNNI: Kernels = Kernels {
    name: "avx512f,avx512vnni",
    linear_i8: |row, classes, out, stride| {
        // SAFETY: `supported` hands this table out only after checking that the processor has
        // both features.
        unsafe { linear_i8_vnni(row, classes, out, stride) }
    },
    ..avx512::KERNELS
};

/// The sets that this processor runs, fastest first.
pub fn supported() -> impl Iterator<Item = &'static Kernels> {
    let cpu = Cpu::detect();
    let sets = [(cpu.avx512_vnni, &AVX512_VNNI), (cpu.avx512f, &AVX512), (cpu.avx2, &AVX2)];
    sets.into_iter().filter(|(runs, _)| *runs).map(|(_, kernels)| kernels)
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
    fn greater(self, other: Self) -> __m256 {
        // SAFETY: see above.
        unsafe { _mm256_cmp_ps::<_CMP_GT_OQ>(self.0, other.0) }
    }

    #[inline(always)]
    fn bits(mask: __m256) -> u32 {
        // SAFETY: see above.
        unsafe { _mm256_movemask_ps(mask).cast_unsigned() }
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

    #[inline(always)]
    fn store_points([a, b, c, d]: [Self; 4], points: &mut [u8]) {
        let Some(points) = points.first_chunk_mut::<32>() else { return };
        // SAFETY: see above; the array has 32 bytes. Conversion rounds ties to even and makes
        // 0x8000_0000 of NaN, whose lower bytes are the whole number 0.
        unsafe {
            let byte = _mm256_set1_epi32(0xff);
            let first = _mm256_and_si256(_mm256_cvtps_epi32(a.0), byte);
            let second = _mm256_and_si256(_mm256_cvtps_epi32(b.0), byte);
            let third = _mm256_and_si256(_mm256_cvtps_epi32(c.0), byte);
            let fourth = _mm256_slli_epi32::<24>(_mm256_cvtps_epi32(d.0));
            let low = _mm256_or_si256(first, _mm256_slli_epi32::<8>(second));
            let high = _mm256_or_si256(_mm256_slli_epi32::<16>(third), fourth);
            let signed = _mm256_or_si256(low, high);
            let all = _mm256_xor_si256(signed, _mm256_set1_epi8(-128));
            _mm256_storeu_si256(points.as_mut_ptr().cast(), all);
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
    fn greater(self, other: Self) -> __mmask16 {
        // SAFETY: see above.
        unsafe { _mm512_cmp_ps_mask::<_CMP_GT_OQ>(self.0, other.0) }
    }

    #[inline(always)]
    fn bits(mask: __mmask16) -> u32 {
        u32::from(mask)
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

    #[inline(always)]
    fn store_points([a, b, c, d]: [Self; 4], points: &mut [u8]) {
        let Some(points) = points.first_chunk_mut::<64>() else { return };
        // SAFETY: see above; the array has 64 bytes. As for `Avx2`, with bits picked in one
        // instruction: 0xca takes the second operand where the first has ones, else the third.
        unsafe {
            let second = _mm512_slli_epi32::<8>(_mm512_cvtps_epi32(b.0));
            let third = _mm512_slli_epi32::<16>(_mm512_cvtps_epi32(c.0));
            let fourth = _mm512_slli_epi32::<24>(_mm512_cvtps_epi32(d.0));
            let (one, two) = (_mm512_set1_epi32(0xff), _mm512_set1_epi32(0xffff));
            let three = _mm512_set1_epi32(0xff_ffff);
            let low = _mm512_ternarylogic_epi32::<0xca>(one, _mm512_cvtps_epi32(a.0), second);
            let high = _mm512_ternarylogic_epi32::<0xca>(three, third, fourth);
            let signed = _mm512_ternarylogic_epi32::<0xca>(two, low, high);
            let all = _mm512_xor_si512(signed, _mm512_set1_epi8(-128));
            _mm512_storeu_si512(points.as_mut_ptr().cast(), all);
        }
    }
}

/// Entry points compiled for one instruction set. A macro, since a function's target feature is
/// an attribute and cannot be a parameter.
macro_rules! entry_points {
    ($module:ident, $lanes:ty, $feature:literal) => {
        mod $module {
            use super::*;

            pub const KERNELS: Kernels = Kernels {
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
                total: |grid, columns, softmax, sums| {
                    // SAFETY: see above.
                    unsafe { total(grid, columns, softmax, sums) }
                },
                relative: |softmax, values| {
                    // SAFETY: see above.
                    unsafe { relative(softmax, values) }
                },
                prune: |row, candidates| {
                    // SAFETY: see above.
                    unsafe { prune(row, candidates) }
                },
                blend_active: |rows, stride, active, blended| {
                    // SAFETY: see above.
                    unsafe { blend_active(rows, stride, active, blended) }
                },
                decide_pruned: |grid, columns, survivors, labels| {
                    // SAFETY: see above.
                    unsafe { decide_pruned(grid, columns, survivors, labels) }
                },
                linear: |features, block, out| {
                    // SAFETY: see above.
                    unsafe { linear(features, block, out) }
                },
                quantize: |features, channels, scratch, row| {
                    // SAFETY: see above.
                    unsafe { quantize(features, channels, scratch, row) }
                },
                linear_i8: |row, classes, out, stride| {
                    // SAFETY: see above; AVX-512 comes with AVX2.
                    unsafe { linear_i8_avx2(row, classes, out, stride) }
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
            fn total(
                grid: GridRow<'_>,
                columns: Columns<'_>,
                softmax: Softmax<'_>,
                sums: &mut [f32],
            ) {
                kernels::total::<$lanes>(grid, columns, softmax, sums);
            }

            #[target_feature(enable = $feature)]
            fn relative(softmax: Softmax<'_>, values: &mut [f32]) {
                kernels::relative::<$lanes>(softmax, values);
            }

            #[target_feature(enable = $feature)]
            fn prune(row: CellRow<'_>, candidates: &mut Candidates<'_>) -> bool {
                prune::prune::<$lanes>(row, candidates)
            }

            #[target_feature(enable = $feature)]
            fn blend_active(
                rows: RowPair<'_>,
                stride: usize,
                active: &[u16],
                blended: BlendedRow<'_>,
            ) {
                prune::blend_active(rows, stride, active, blended);
            }

            #[target_feature(enable = $feature)]
            fn decide_pruned(
                grid: GridRow<'_>,
                columns: Columns<'_>,
                survivors: Survivors<'_>,
                labels: &mut [f32],
            ) {
                prune::decide_pruned::<$lanes>(grid, columns, survivors, labels);
            }

            #[target_feature(enable = $feature)]
            fn linear(features: FeatureRow<'_>, block: ClassBlock<'_>, out: &mut [f32]) {
                kernels::linear::<$lanes>(features, block, out);
            }

            #[target_feature(enable = $feature)]
            fn quantize(
                features: FeatureRow<'_>,
                channels: usize,
                scratch: &mut [f32],
                row: QuantizedRowMut<'_>,
            ) {
                quantized::quantize::<$lanes>(features, channels, scratch, row);
            }
        }
    };
}

entry_points!(avx2, Avx2, "avx2");
entry_points!(avx512, Avx512, "avx512f");

#[target_feature(enable = "avx2")]
fn linear_i8_avx2(row: QuantizedRow<'_>, classes: ClassRowsI8<'_>, out: &mut [f32], stride: usize) {
    linear_i8::linear_i8::<Avx2Sums>(row, classes, out, stride);
}

#[target_feature(enable = "avx512f,avx512vnni")]
fn linear_i8_vnni(row: QuantizedRow<'_>, classes: ClassRowsI8<'_>, out: &mut [f32], stride: usize) {
    linear_i8::linear_i8::<VnniSums>(row, classes, out, stride);
}
