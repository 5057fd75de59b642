//! Every kernel with every list of constants, compiled by NVRTC for every generation of devices.
//!
//! NVRTC needs no driver and no GPU; `scripts/test_cuda.sh` gets it from PyPI. Without it the tests
//! say so and end, unless `ZSSEG_REQUIRE_NVRTC=1` makes that a failure.

use std::collections::BTreeMap;
use zsseg::train::cuda::{
    Compiler, DeviceError, Limits, PairDefines, Precision, Resources, SOURCES, Source, pair_defines,
};
use zsseg::train::engine::Kernel;

/// Compute capabilities, and bytes of shared memory that a block of such a device can have.
const DEVICES: [([i32; 2], usize); 5] =
    [([8, 0], 163), ([8, 6], 99), ([8, 9], 99), ([9, 0], 227), ([12, 0], 99)];
/// Columns of features: so many that every tile is used on one device or another.
const WIDTHS: [usize; 6] = [128, 192, 320, 512, 832, 1_024];

/// The compiler of a device; none where NVRTC is missing and may be.
fn compiler(capability: [i32; 2]) -> Option<Compiler> {
    match Compiler::new(capability) {
        Ok(compiler) => Some(compiler),
        Err(DeviceError::NoCompiler) => {
            let must = std::env::var_os("ZSSEG_REQUIRE_NVRTC").is_some_and(|value| value == "1");
            assert!(!must, "ZSSEG_REQUIRE_NVRTC=1, and {}", DeviceError::NoCompiler);
            println!("not tested: {}", DeviceError::NoCompiler);
            None
        }
        Err(error) => panic!("{error}"),
    }
}

fn source(name: &str) -> &'static Source {
    SOURCES.iter().find(|source| source.name == name).unwrap()
}

/// Compiles a source. What its kernels need, after a look at it.
fn compiled(compiler: &Compiler, source: &Source, defines: &PairDefines) -> Vec<Resources> {
    let what = || format!("{} for {} with {defines:?}", source.name, compiler.target());
    let compiled = compiler.compile(source, defines).unwrap();
    assert!(!compiled.is_ptx && compiled.image.starts_with(b"\x7fELF"), "{}", what());
    assert!(!compiled.log.contains("warning"), "{}: {}", what(), compiled.log);
    let resources = compiled.resources();
    let found: BTreeMap<&str, &Resources> =
        resources.iter().map(|kernel| (kernel.kernel.as_str(), kernel)).collect();
    for kernel in source.kernels {
        let found = found.get(kernel).unwrap_or_else(|| panic!("{kernel} is not in {}", what()));
        assert_eq!(found.spilled_bytes, 0, "{kernel} spills registers in {}", what());
        assert_eq!(found.stack_bytes, 0, "{kernel} has a stack in {}", what());
        assert!((8..=255).contains(&found.registers), "{found:?}");
    }
    assert_eq!(found.len(), source.kernels.len(), "kernels of {} are not listed", what());
    resources
}

/// Without constants.
fn is_plain(source: &Source) -> bool {
    !["mmd.cu", "contrastive.cu"].contains(&source.name)
}

#[test]
fn plain_kernels_compile_for_every_device() {
    for (capability, _) in DEVICES {
        let Some(compiler) = compiler(capability) else { return };
        let [major, minor] = capability;
        assert_eq!(compiler.target(), format!("sm_{major}{minor}"));
        for source in SOURCES.iter().filter(|source| is_plain(source)) {
            let resources = compiled(&compiler, source, &Vec::new());
            let most = resources.iter().map(|kernel| kernel.registers).max();
            println!("{} {}: at most {:?} registers", compiler.target(), source.name, most);
        }
    }
}

/// All lists of constants of a device, for features of these widths.
fn lists(kibibytes: usize, widths: &[usize], kernel: Option<&Kernel>) -> Vec<PairDefines> {
    let limits = Limits { shared_bytes: kibibytes << 10, processors: 1 };
    let mut lists = Vec::new();
    for columns in widths {
        for precision in Precision::ALL {
            lists.extend(pair_defines(*columns, limits, precision, kernel).unwrap());
        }
    }
    lists
}

/// Compiles a source of pairs with all lists for a device.
fn compile_all(capability: [i32; 2], name: &str, lists: &[PairDefines]) {
    let Some(compiler) = compiler(capability) else { return };
    let most = lists.iter().flat_map(|defines| compiled(&compiler, source(name), defines));
    let most = most.map(|kernel| kernel.registers).max();
    println!("{} {name}: {} lists, at most {most:?} registers", compiler.target(), lists.len());
}

fn check_pairs(device: usize) {
    let (capability, kibibytes) = DEVICES[device];
    let kernel = Kernel::zs3_code();
    compile_all(capability, "mmd.cu", &lists(kibibytes, &WIDTHS, Some(&kernel)));
    // Lists whose Gaussians are no powers of one another, and a single one.
    for kernel in [Kernel::zs3_paper(), Kernel::variances(&[3.0, 7.5]).unwrap()] {
        compile_all(capability, "mmd.cu", &lists(kibibytes, &[256], Some(&kernel)));
    }
    compile_all(capability, "contrastive.cu", &lists(kibibytes, &WIDTHS, None));
}

#[test]
fn kernels_of_pairs_compile_for_sm_80() {
    check_pairs(0);
}

#[test]
fn kernels_of_pairs_compile_for_sm_86() {
    check_pairs(1);
}

#[test]
fn kernels_of_pairs_compile_for_sm_89() {
    check_pairs(2);
}

#[test]
fn kernels_of_pairs_compile_for_sm_90() {
    check_pairs(3);
}

#[test]
fn kernels_of_pairs_compile_for_sm_120() {
    check_pairs(4);
}

/// The tests above see what a kernel does to registers.
#[test]
fn a_spill_is_seen() {
    let Some(compiler) = compiler([9, 0]) else { return };
    let spilling = Source {
        name: "spilling.cu",
        text: "extern \"C\" __global__ void __launch_bounds__(1024) spilling(float* x, int n) {\n\
                   float v[96];\n\
                   #pragma unroll\n\
                   for (int i = 0; i < 96; i++) v[i] = x[threadIdx.x + 1024 * i];\n\
                   for (int k = 0; k < n; k++) {\n\
                       #pragma unroll\n\
                       for (int i = 0; i < 96; i++) v[i] = v[i] * v[(i + 7) % 96] + 1.0f;\n\
                   }\n\
                   #pragma unroll\n\
                   for (int i = 0; i < 96; i++) x[threadIdx.x + 1024 * i] = v[i];\n\
               }\n",
        kernels: &["spilling"],
        is_fused: true,
    };
    let resources = compiler.compile(&spilling, &Vec::new()).unwrap().resources();
    assert!(resources[0].spilled_bytes > 0, "{resources:?}");
}

#[test]
fn errors_show_the_compilers_words() {
    let Some(compiler) = compiler([9, 0]) else { return };
    let broken = Source { name: "broken.cu", text: "what?\n", kernels: &[], is_fused: true };
    let error = compiler.compile(&broken, &Vec::new()).unwrap_err();
    let text = error.to_string();
    assert!(text.contains("broken.cu") && text.contains("error"), "{text}");
}

/// A device of the future gets PTX.
#[test]
fn an_unknown_device_gets_ptx() {
    let Some(compiler) = compiler([99, 0]) else { return };
    assert!(compiler.target().starts_with("compute_"), "{}", compiler.target());
    let compiled = compiler.compile(source("rows.cu"), &Vec::new()).unwrap();
    assert!(compiled.is_ptx);
    let text = String::from_utf8(compiled.image).unwrap();
    assert!(text.contains(".entry column_sums") && !text.contains('\0'));
}
