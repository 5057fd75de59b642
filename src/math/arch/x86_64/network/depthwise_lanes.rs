//! What the depthwise kernel does with vectors, for AVX-512 VNNI, AVX-VNNI and AVX2.

use super::lanes_avx2::{Bytes256, Floats256};
use super::lanes_avx512::{Bytes512, Floats512};
use crate::math::arch::depthwise_plan::{AVX_VNNI, AVX2, AVX512, Vectors};
use crate::math::network::vector::ByteLanes;
use core::arch::x86_64::*;

/// Sums of products of four vertical taps at a time. All functions are for code compiled for the
/// instructions only; pointers need not be aligned.
pub trait TapLanes {
    /// What the plan needs to know.
    const VECTORS: Vectors;
    /// A vector of bytes.
    type Bytes: ByteLanes;
    /// A vector of dwords: four taps, or a sum.
    type Quads: Copy;
    /// Four taps of a vector's values as `dot` needs them.
    type Values: Copy;

    /// A vector of bytes from memory.
    unsafe fn read_bytes(from: *const u8) -> Self::Bytes;
    /// Byte `i` of each row makes dword `i` of the result.
    unsafe fn interleave(rows: [Self::Bytes; 4]) -> [Self::Quads; 4];
    /// Dwords from memory.
    unsafe fn read(from: *const u8) -> Self::Quads;
    /// Dwords to memory.
    unsafe fn write(quads: Self::Quads, to: *mut u8);
    /// Eight dwords to memory, those from `8 * index` on.
    unsafe fn write_eight(quads: Self::Quads, index: usize, to: *mut u8);
    /// Four signed taps to memory as `dot` reads them.
    unsafe fn write_weights(quads: Self::Quads, to: *mut u8);
    /// Prepares values.
    unsafe fn values(quads: Self::Quads) -> Self::Values;
    /// `sums` plus the products of values and weights.
    unsafe fn dot(sums: Self::Quads, values: Self::Values, weights: *const u8) -> Self::Quads;
    /// Sums times scales.
    unsafe fn steps(sums: Self::Quads, scales: *const u8) -> <Self::Bytes as ByteLanes>::Floats;
}

/// AVX-512 F, BW, VBMI, VNNI.
pub struct Avx512;

// SAFETY (every block below): the caller's; the entry points of `depthwise_u8`, which alone use
// this type, are compiled for these instructions.
impl TapLanes for Avx512 {
    const VECTORS: Vectors = AVX512;
    type Bytes = Bytes512;
    type Quads = __m512i;
    type Values = __m512i;

    #[inline(always)]
    unsafe fn read_bytes(from: *const u8) -> Bytes512 {
        // SAFETY: see above.
        Bytes512(unsafe { _mm512_loadu_si512(from.cast()) })
    }

    #[inline(always)]
    unsafe fn interleave([a, b, c, d]: [Bytes512; 4]) -> [__m512i; 4] {
        // SAFETY: see above.
        unsafe {
            // Unpacking leaves in lane `l` of vector `j` what was dword `j` of lane `l`.
            let order = _mm512_setr_epi32(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15);
            let a = _mm512_permutexvar_epi32(order, a.0);
            let b = _mm512_permutexvar_epi32(order, b.0);
            let c = _mm512_permutexvar_epi32(order, c.0);
            let d = _mm512_permutexvar_epi32(order, d.0);
            let (low, lower) = (_mm512_unpacklo_epi8(a, b), _mm512_unpacklo_epi8(c, d));
            let (high, higher) = (_mm512_unpackhi_epi8(a, b), _mm512_unpackhi_epi8(c, d));
            [
                _mm512_unpacklo_epi16(low, lower),
                _mm512_unpackhi_epi16(low, lower),
                _mm512_unpacklo_epi16(high, higher),
                _mm512_unpackhi_epi16(high, higher),
            ]
        }
    }

    #[inline(always)]
    unsafe fn read(from: *const u8) -> __m512i {
        // SAFETY: see above.
        unsafe { _mm512_loadu_si512(from.cast()) }
    }

    #[inline(always)]
    unsafe fn write(quads: __m512i, to: *mut u8) {
        // SAFETY: see above.
        unsafe { _mm512_storeu_si512(to.cast(), quads) }
    }

    #[inline(always)]
    unsafe fn write_eight(quads: __m512i, index: usize, to: *mut u8) {
        // SAFETY: see above.
        unsafe {
            let eight = match index {
                0 => _mm512_castsi512_si256(quads),
                _ => _mm512_extracti64x4_epi64::<1>(quads),
            };
            _mm256_storeu_si256(to.cast(), eight);
        }
    }

    #[inline(always)]
    unsafe fn write_weights(quads: __m512i, to: *mut u8) {
        // SAFETY: see above.
        unsafe { Self::write(quads, to) }
    }

    #[inline(always)]
    unsafe fn values(quads: __m512i) -> __m512i {
        quads
    }

    #[inline(always)]
    unsafe fn dot(sums: __m512i, values: __m512i, weights: *const u8) -> __m512i {
        // SAFETY: see above.
        unsafe { _mm512_dpbusd_epi32(sums, values, Self::read(weights)) }
    }

    #[inline(always)]
    unsafe fn steps(sums: __m512i, scales: *const u8) -> Floats512 {
        // SAFETY: see above.
        unsafe {
            let scales = _mm512_loadu_ps(scales.cast());
            Floats512(_mm512_mul_ps(_mm512_cvtepi32_ps(sums), scales))
        }
    }
}

/// Byte `i` of each row makes dword `i` of the result.
#[inline(always)]
unsafe fn interleave256([a, b, c, d]: [Bytes256; 4]) -> [__m256i; 4] {
    // SAFETY: the caller's.
    unsafe {
        let order = _mm256_setr_epi32(0, 2, 4, 6, 1, 3, 5, 7);
        let a = _mm256_permutevar8x32_epi32(a.0, order);
        let b = _mm256_permutevar8x32_epi32(b.0, order);
        let c = _mm256_permutevar8x32_epi32(c.0, order);
        let d = _mm256_permutevar8x32_epi32(d.0, order);
        let (low, lower) = (_mm256_unpacklo_epi8(a, b), _mm256_unpacklo_epi8(c, d));
        let (high, higher) = (_mm256_unpackhi_epi8(a, b), _mm256_unpackhi_epi8(c, d));
        [
            _mm256_unpacklo_epi16(low, lower),
            _mm256_unpackhi_epi16(low, lower),
            _mm256_unpacklo_epi16(high, higher),
            _mm256_unpackhi_epi16(high, higher),
        ]
    }
}

#[inline(always)]
unsafe fn steps256(sums: __m256i, scales: *const u8) -> Floats256 {
    // SAFETY: the caller's.
    unsafe {
        let scales = _mm256_loadu_ps(scales.cast());
        Floats256(_mm256_mul_ps(_mm256_cvtepi32_ps(sums), scales))
    }
}

/// AVX2 with AVX-VNNI.
pub struct AvxVnni;

// SAFETY (every block below): as for `Avx512`.
impl TapLanes for AvxVnni {
    const VECTORS: Vectors = AVX_VNNI;
    type Bytes = Bytes256;
    type Quads = __m256i;
    type Values = __m256i;

    #[inline(always)]
    unsafe fn read_bytes(from: *const u8) -> Bytes256 {
        // SAFETY: see above.
        Bytes256(unsafe { Self::read(from) })
    }

    #[inline(always)]
    unsafe fn interleave(rows: [Bytes256; 4]) -> [__m256i; 4] {
        // SAFETY: see above.
        unsafe { interleave256(rows) }
    }

    #[inline(always)]
    unsafe fn read(from: *const u8) -> __m256i {
        // SAFETY: see above.
        unsafe { _mm256_loadu_si256(from.cast()) }
    }

    #[inline(always)]
    unsafe fn write(quads: __m256i, to: *mut u8) {
        // SAFETY: see above.
        unsafe { _mm256_storeu_si256(to.cast(), quads) }
    }

    #[inline(always)]
    unsafe fn write_eight(quads: __m256i, _index: usize, to: *mut u8) {
        // SAFETY: see above.
        unsafe { Self::write(quads, to) }
    }

    #[inline(always)]
    unsafe fn write_weights(quads: __m256i, to: *mut u8) {
        // SAFETY: see above.
        unsafe { Self::write(quads, to) }
    }

    #[inline(always)]
    unsafe fn values(quads: __m256i) -> __m256i {
        quads
    }

    #[inline(always)]
    unsafe fn dot(sums: __m256i, values: __m256i, weights: *const u8) -> __m256i {
        // SAFETY: see above.
        unsafe { _mm256_dpbusd_avx_epi32(sums, values, Self::read(weights)) }
    }

    #[inline(always)]
    unsafe fn steps(sums: __m256i, scales: *const u8) -> Floats256 {
        // SAFETY: see above.
        unsafe { steps256(sums, scales) }
    }
}

/// AVX2 alone: products of 16-bit numbers, since those of bytes would saturate.
pub struct Avx2;

// SAFETY (every block below): as for `Avx512`.
impl TapLanes for Avx2 {
    const VECTORS: Vectors = AVX2;
    type Bytes = Bytes256;
    type Quads = __m256i;
    /// Even taps, odd taps.
    type Values = [__m256i; 2];

    #[inline(always)]
    unsafe fn read_bytes(from: *const u8) -> Bytes256 {
        // SAFETY: see above.
        Bytes256(unsafe { Self::read(from) })
    }

    #[inline(always)]
    unsafe fn interleave(rows: [Bytes256; 4]) -> [__m256i; 4] {
        // SAFETY: see above.
        unsafe { interleave256(rows) }
    }

    #[inline(always)]
    unsafe fn read(from: *const u8) -> __m256i {
        // SAFETY: see above.
        unsafe { _mm256_loadu_si256(from.cast()) }
    }

    #[inline(always)]
    unsafe fn write(quads: __m256i, to: *mut u8) {
        // SAFETY: see above.
        unsafe { _mm256_storeu_si256(to.cast(), quads) }
    }

    #[inline(always)]
    unsafe fn write_eight(quads: __m256i, _index: usize, to: *mut u8) {
        // SAFETY: see above.
        unsafe { Self::write(quads, to) }
    }

    #[inline(always)]
    unsafe fn write_weights(quads: __m256i, to: *mut u8) {
        // SAFETY: see above.
        unsafe {
            Self::write(_mm256_srai_epi16::<8>(_mm256_slli_epi16::<8>(quads)), to);
            Self::write(_mm256_srai_epi16::<8>(quads), to.add(32));
        }
    }

    #[inline(always)]
    unsafe fn values(quads: __m256i) -> [__m256i; 2] {
        // SAFETY: see above.
        unsafe { [_mm256_and_si256(quads, _mm256_set1_epi16(0xff)), _mm256_srli_epi16::<8>(quads)] }
    }

    #[inline(always)]
    unsafe fn dot(sums: __m256i, [even, odd]: [__m256i; 2], weights: *const u8) -> __m256i {
        // SAFETY: see above.
        unsafe {
            let even = _mm256_madd_epi16(even, Self::read(weights));
            let odd = _mm256_madd_epi16(odd, Self::read(weights.add(32)));
            _mm256_add_epi32(sums, _mm256_add_epi32(even, odd))
        }
    }

    #[inline(always)]
    unsafe fn steps(sums: __m256i, scales: *const u8) -> Floats256 {
        // SAFETY: see above.
        unsafe { steps256(sums, scales) }
    }
}
