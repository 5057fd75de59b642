//! Products of u8 and s8 in AVX2, AVX-VNNI, AVX-512 VNNI and AMX.

use super::gemm_u8_finish::Target;
use super::gemm_u8_vnni::gemm_vnni;
use super::{gemm_u8_amx, gemm_u8_avx2};
use crate::math::network::gemm_out::GemmOut;
use crate::math::network::gemm_u8::{GemmU8, GemmU8Fn};

/// The kernels that this processor runs, fastest first.
pub fn supported() -> impl Iterator<Item = (&'static str, GemmU8Fn)> {
    let kernels: [(bool, &'static str, GemmU8Fn); 4] = [
        (has_vnni() && gemm_u8_amx::is_permitted(), "amxint8", gemm_u8_amx_checked),
        (has_vnni(), "avx512vnni", gemm_u8_vnni_checked),
        (has_avx2() && has_avx_vnni(), "avxvnni", gemm_u8_avx_vnni_checked),
        (has_avx2(), "avx2", gemm_u8_avx2_checked),
    ];
    kernels.into_iter().filter(|(runs, ..)| *runs).map(|(_, name, kernel)| (name, kernel))
}

/// Only to be called where [`has_vnni`] and `is_permitted` hold.
fn gemm_u8_amx_checked(gemm: &GemmU8<'_>, out: &mut GemmOut<'_>) -> bool {
    let Some(target) = Target::new(gemm, out) else { return false };
    // SAFETY: `supported` hands this function out only after checking the features; `Target::new`
    // has checked all lengths.
    unsafe { gemm_u8_amx::gemm_amx(gemm, &target) };
    true
}

/// Only to be called where [`has_vnni`] holds.
fn gemm_u8_vnni_checked(gemm: &GemmU8<'_>, out: &mut GemmOut<'_>) -> bool {
    let Some(target) = Target::new(gemm, out) else { return false };
    // SAFETY: `supported` hands this function out only after checking the features; `Target::new`
    // has checked all lengths.
    unsafe { gemm_vnni(gemm, &target) };
    true
}

/// Only to be called where [`has_avx2`] and [`has_avx_vnni`] hold.
fn gemm_u8_avx_vnni_checked(gemm: &GemmU8<'_>, out: &mut GemmOut<'_>) -> bool {
    if !gemm.is_valid() || !out.is_valid(gemm.left.rows, gemm.right.columns) {
        return false;
    }
    // SAFETY: `supported` hands this function out only after checking the features; lengths are
    // checked above.
    unsafe { gemm_u8_avx2::gemm_avx_vnni(gemm, out) };
    true
}

/// Only to be called where [`has_avx2`] holds.
fn gemm_u8_avx2_checked(gemm: &GemmU8<'_>, out: &mut GemmOut<'_>) -> bool {
    if !gemm.is_valid() || !out.is_valid(gemm.left.rows, gemm.right.columns) {
        return false;
    }
    // SAFETY: `supported` hands this function out only after checking the features; lengths are
    // checked above.
    unsafe { gemm_u8_avx2::gemm_avx2(gemm, out) };
    true
}

#[cfg(feature = "std")]
fn has_avx2() -> bool {
    std::arch::is_x86_feature_detected!("avx2")
}

#[cfg(not(feature = "std"))]
fn has_avx2() -> bool {
    cfg!(target_feature = "avx2")
}

#[cfg(feature = "std")]
fn has_avx_vnni() -> bool {
    std::arch::is_x86_feature_detected!("avxvnni")
}

#[cfg(not(feature = "std"))]
fn has_avx_vnni() -> bool {
    cfg!(target_feature = "avxvnni")
}

/// Ice Lake, Zen 4 and later.
#[cfg(feature = "std")]
pub(super) fn has_vnni() -> bool {
    use std::arch::is_x86_feature_detected as has;
    has!("avx512f")
        && has!("avx512bw")
        && has!("avx512vl")
        && has!("avx512vnni")
        && has!("avx512vbmi")
}

#[cfg(not(feature = "std"))]
pub(super) fn has_vnni() -> bool {
    cfg!(all(
        target_feature = "avx512f",
        target_feature = "avx512bw",
        target_feature = "avx512vl",
        target_feature = "avx512vnni",
        target_feature = "avx512vbmi"
    ))
}
