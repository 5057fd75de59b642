//! What the processor can do, asked of it directly, so that builds without the standard library
//! choose their kernels at run time too.

use core::arch::x86_64::{__cpuid_count, _xgetbv, CpuidResult};

/// Instruction sets that the kernels use, and whose registers the system saves.
#[derive(Clone, Copy, Debug, Default)]
pub struct Cpu {
    /// AVX2.
    pub avx2: bool,
    /// Fused multiply-add and conversions of f16.
    pub fma_f16c: bool,
    /// AVX-VNNI: byte products in 256-bit vectors.
    pub avx_vnni: bool,
    /// AVX-512 F, with AVX2.
    pub avx512f: bool,
    /// AVX-512 VNNI.
    pub avx512_vnni: bool,
    /// AVX-512 BW, VL and VBMI.
    pub avx512_bytes: bool,
    /// AMX-TILE and AMX-INT8.
    pub amx_int8: bool,
}

impl Cpu {
    /// Asks the processor: some microseconds where a hypervisor answers.
    pub fn detect() -> Cpu {
        const OSXSAVE: u32 = 27;
        let (highest, basic) = (cpuid(0, 0).eax, cpuid(1, 0));
        if highest < 7 || !has(basic.ecx, &[OSXSAVE]) {
            return Cpu::default();
        }
        // SAFETY: OSXSAVE says that the processor has XSAVE and the system has switched it on.
        let saved = unsafe { saved_states() };
        let (vectors, wide, tiles) =
            (has64(saved, &[1, 2]), has64(saved, &[1, 2, 5, 6, 7]), has64(saved, &[17, 18]));
        let leaf = cpuid(7, 0);
        let second = if leaf.eax >= 1 { cpuid(7, 1).eax } else { 0 };
        let avx2 = vectors && has(leaf.ebx, &[5]);
        let avx512f = avx2 && wide && has(leaf.ebx, &[16]);
        Cpu {
            avx2,
            fma_f16c: vectors && has(basic.ecx, &[12, 29]),
            avx_vnni: avx2 && has(second, &[4]),
            avx512f,
            avx512_vnni: avx512f && has(leaf.ecx, &[11]),
            avx512_bytes: avx512f && has(leaf.ebx, &[30, 31]) && has(leaf.ecx, &[1]),
            amx_int8: tiles && has(leaf.edx, &[24, 25]),
        }
    }
}

fn cpuid(leaf: u32, part: u32) -> CpuidResult {
    // Older compilers that this crate supports have it as an unsafe function.
    #[allow(unused_unsafe)]
    // SAFETY: every x86-64 processor has the instruction.
    unsafe {
        __cpuid_count(leaf, part)
    }
}

/// Register states that the system saves (XCR0).
#[target_feature(enable = "xsave")]
fn saved_states() -> u64 {
    // SAFETY: the caller has checked OSXSAVE.
    unsafe { _xgetbv(0) }
}

fn has(word: u32, bits: &[u32]) -> bool {
    has64(word.into(), bits)
}

fn has64(word: u64, bits: &[u32]) -> bool {
    bits.iter().all(|bit| word >> bit & 1 == 1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::arch::is_x86_feature_detected as detected;

    #[test]
    fn agrees_with_the_standard_library() {
        let cpu = Cpu::detect();
        assert_eq!(cpu.avx2, detected!("avx2"));
        assert_eq!(cpu.fma_f16c, detected!("fma") && detected!("f16c"));
        assert_eq!(cpu.avx_vnni, detected!("avxvnni"));
        assert_eq!(cpu.avx512f, detected!("avx512f"));
        assert_eq!(cpu.avx512_vnni, detected!("avx512vnni"));
        let bytes = detected!("avx512bw") && detected!("avx512vl") && detected!("avx512vbmi");
        assert_eq!(cpu.avx512_bytes, bytes);
    }
}
