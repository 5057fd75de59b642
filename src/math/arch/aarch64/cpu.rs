//! What the processor can do. NEON is part of every processor that this module is compiled for.

/// Instruction sets beyond NEON that the kernels use.
#[derive(Clone, Copy, Debug, Default)]
pub struct Cpu {
    /// Dot products of signed bytes (`sdot`), Armv8.2: Cortex-A55, A76 and later.
    pub dotprod: bool,
    /// Matrix products of bytes (`usmmla`), Armv8.6: Cortex-A510, A710 and later. Set only where
    /// `dotprod` is.
    pub i8mm: bool,
}

impl Cpu {
    /// Asks the system, or, where it is not known how, what the crate is compiled for.
    pub fn detect() -> Cpu {
        let found = from_system();
        let dotprod = found.dotprod || cfg!(target_feature = "dotprod");
        let i8mm = found.i8mm || cfg!(target_feature = "i8mm");
        Cpu { dotprod, i8mm: dotprod && i8mm }
    }
}

/// Reads what the kernel of Linux passes to every process. The C library has the function; builds
/// without Rust's standard library are linked with it too.
///
/// The processor's own identification registers would tell the same, but kernels before 4.11, which
/// many phones run, end a process that reads them.
#[cfg(any(target_os = "linux", target_os = "android"))]
fn from_system() -> Cpu {
    use core::ffi::c_ulong;
    const AT_HWCAP: c_ulong = 16;
    const AT_HWCAP2: c_ulong = 26;
    unsafe extern "C" {
        fn getauxval(kind: c_ulong) -> c_ulong;
    }
    // SAFETY: the function takes any number, and gives 0 for those it does not know.
    let [first, second] = [AT_HWCAP, AT_HWCAP2].map(|kind| unsafe { getauxval(kind) });
    Cpu { dotprod: first >> 20 & 1 == 1, i8mm: second >> 13 & 1 == 1 }
}

#[cfg(not(any(target_os = "linux", target_os = "android")))]
fn from_system() -> Cpu {
    Cpu::default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::arch::is_aarch64_feature_detected as detected;

    #[test]
    fn agrees_with_the_standard_library() {
        let cpu = Cpu::detect();
        assert_eq!(cpu.dotprod, detected!("dotprod"));
        assert_eq!(cpu.i8mm, detected!("dotprod") && detected!("i8mm"));
    }
}
