//! Vectors at pointers, for depthwise convolutions.

use super::floats::{Avx2, Avx512};
use crate::math::arch::depthwise_f32::Pointed;
use core::arch::x86_64::*;

impl Pointed for Avx512 {
    #[inline(always)]
    unsafe fn read(from: *const f32) -> Self {
        // SAFETY: the caller's.
        Avx512(unsafe { _mm512_loadu_ps(from) })
    }
}

impl Pointed for Avx2 {
    #[inline(always)]
    unsafe fn read(from: *const f32) -> Self {
        // SAFETY: the caller's.
        Avx2(unsafe { _mm256_loadu_ps(from) })
    }
}
