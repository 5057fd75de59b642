//! Products of u8 and s8 in AVX2, AVX-VNNI, AVX-512 VNNI and AMX.

use super::gemm_u8_finish::Target;
use super::gemm_u8_vnni::gemm_vnni;
use super::{gemm_u8_amx, gemm_u8_avx2};
use crate::math::arch::x86_64::cpu::Cpu;
use crate::math::network::gemm_out::GemmOut;
use crate::math::network::gemm_u8::{GemmU8, GemmU8Fn};

/// The kernels that this processor runs, fastest first.
pub fn supported() -> impl Iterator<Item = (&'static str, GemmU8Fn)> {
    let cpu = Cpu::detect();
    let kernels: [(bool, &'static str, GemmU8Fn); 4] = [
        (has_vnni() && gemm_u8_amx::is_permitted(), "amxint8", gemm_u8_amx_checked),
        (has_vnni(), "avx512vnni", gemm_u8_vnni_checked),
        (cpu.avx_vnni, "avxvnni", gemm_u8_avx_vnni_checked),
        (cpu.avx2, "avx2", gemm_u8_avx2_checked),
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

/// Only to be called where `supported` has found AVX-VNNI.
fn gemm_u8_avx_vnni_checked(gemm: &GemmU8<'_>, out: &mut GemmOut<'_>) -> bool {
    if !gemm.is_valid() || !out.is_valid(gemm.left.rows, gemm.right.columns) {
        return false;
    }
    // SAFETY: `supported` hands this function out only after checking the features; lengths are
    // checked above.
    unsafe { gemm_u8_avx2::gemm_avx_vnni(gemm, out) };
    true
}

/// Only to be called where `supported` has found AVX2.
fn gemm_u8_avx2_checked(gemm: &GemmU8<'_>, out: &mut GemmOut<'_>) -> bool {
    if !gemm.is_valid() || !out.is_valid(gemm.left.rows, gemm.right.columns) {
        return false;
    }
    // SAFETY: `supported` hands this function out only after checking the features; lengths are
    // checked above.
    unsafe { gemm_u8_avx2::gemm_avx2(gemm, out) };
    true
}

/// AVX-512 with VNNI and all that byte kernels use: Ice Lake, Zen 4 and later.
pub(super) fn has_vnni() -> bool {
    let cpu = Cpu::detect();
    cpu.avx512_vnni && cpu.avx512_bytes
}
