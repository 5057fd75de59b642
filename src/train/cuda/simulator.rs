//! Runs the kernels on the processor, for tests on machines without a GPU.
//!
//! Compiles the same sources with g++, in front of them `sim`, whose headers give CUDA's words a
//! meaning. Slow, but what it computes is what a GPU computes, up to rounding where kernels may
//! fuse products and sums.

use super::backend::{Argument, Backend, Define, Launch, Limits, Multiply, Work, failed};
use super::cache::{folder, name_of};
use super::sources::{HEADERS, Source};
use crate::status::{Result, Status};
use crate::train::engine::{CpuEngine, Engine, Matrix, Product};
use core::ffi::{CStr, c_char, c_int, c_uint, c_void};
use libloading::{Library, Symbol};
use std::alloc::{Layout, alloc, dealloc};
use std::env;
use std::ffi::CString;
use std::format;
use std::fs;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::ptr::{NonNull, copy_nonoverlapping, write_bytes};
use std::string::String;
use std::sync::Arc;
use std::vec;
use std::vec::Vec;
use zerocopy::IntoBytes;

/// What gives CUDA's words a meaning: name and text. The first includes the others.
const SHIM: [(&str, &str); 8] = [
    ("shim.h", include_str!("sim/shim.h")),
    ("language.h", include_str!("sim/language.h")),
    ("fibers.h", include_str!("sim/fibers.h")),
    ("memory.h", include_str!("sim/memory.h")),
    ("tensor_core.h", include_str!("sim/tensor_core.h")),
    ("warp.h", include_str!("sim/warp.h")),
    ("launch.h", include_str!("sim/launch.h")),
    ("numbers.h", include_str!("sim/numbers.h")),
];
/// Of memory. malloc gives it, so AddressSanitizer sees the very end of what was allocated.
const ALIGN_BYTES: usize = 16;

/// A processor that runs CUDA kernels.
#[derive(Clone, Copy, Debug)]
pub struct Simulator {
    limits: Limits,
}

impl Simulator {
    /// One with the limits of a device, such as 99 KiB of shared memory for consumer cards.
    pub fn new(limits: Limits) -> Simulator {
        Simulator { limits }
    }
}

/// Memory that kernels write to through its address.
#[derive(Debug)]
pub struct Memory {
    start: NonNull<u8>,
    bytes: usize,
}

impl Memory {
    fn layout(bytes: usize) -> Option<Layout> {
        Layout::from_size_align(bytes.max(1), ALIGN_BYTES).ok()
    }

    /// Filled with not-a-numbers, so that a kernel which leaves something out shows.
    fn new(bytes: usize) -> Result<Memory> {
        let none = || Status::Unsupported.about("memory");
        let layout = Memory::layout(bytes).ok_or_else(none)?;
        // SAFETY: the layout has a length of 1 at least.
        let start = NonNull::new(unsafe { alloc(layout) }).ok_or_else(none)?;
        // SAFETY: so many bytes are there.
        unsafe { write_bytes(start.as_ptr(), 0xff, bytes) };
        Ok(Memory { start, bytes })
    }

    fn write(&self, bytes: &[u8]) -> Result<()> {
        if bytes.len() > self.bytes {
            return Err(Status::InvalidArgument.about("memory"));
        }
        // SAFETY: as many bytes are there, and no kernel is running: `launch` waits for its end.
        unsafe { copy_nonoverlapping(bytes.as_ptr(), self.start.as_ptr(), bytes.len()) };
        Ok(())
    }

    fn read(&self, bytes: &mut [u8]) -> Result<()> {
        if bytes.len() > self.bytes {
            return Err(Status::InvalidArgument.about("memory"));
        }
        // SAFETY: as many bytes are there, and no kernel is running: `launch` waits for its end.
        unsafe { copy_nonoverlapping(self.start.as_ptr(), bytes.as_mut_ptr(), bytes.len()) };
        Ok(())
    }
}

impl Drop for Memory {
    fn drop(&mut self) {
        if let Some(layout) = Memory::layout(self.bytes) {
            // SAFETY: allocated with this layout.
            unsafe { dealloc(self.start.as_ptr(), layout) };
        }
    }
}

/// A library of kernels.
#[derive(Debug)]
pub struct Module(Library);

type LaunchKernel = unsafe extern "C" fn(
    *const c_char,
    *const c_uint,
    *const c_uint,
    c_uint,
    *mut *mut c_void,
) -> c_int;
type LastError = unsafe extern "C" fn() -> *const c_char;

/// Compiles a source to a library, unless that is there already.
fn library(source: &Source, defines: &[Define]) -> Result<PathBuf> {
    let under_asan = env::var_os("ZSSEG_SIM_ASAN").is_some_and(|value| value == "1");
    let mut options = vec!["-std=c++17", "-O2", "-shared", "-fPIC", "-ffp-contract=off"];
    // Libraries share nothing, and can be unloaded.
    options.extend(["-fvisibility=hidden", "-fno-gnu-unique"]);
    if under_asan {
        options.extend(["-fsanitize=address", "-fsanitize-sections=zs_shared", "-g"]);
    }
    let defines: Vec<String> =
        defines.iter().map(|(name, value)| format!("-D{name}={value}")).collect();
    let mut parts = vec!["g++", source.text];
    parts.extend(SHIM.iter().chain(HEADERS).map(|(_, text)| *text));
    parts.extend(options.iter().copied().chain(defines.iter().map(String::as_str)));
    let folder = folder().unwrap_or_else(env::temp_dir);
    let file = folder.join(format!("{}.so", name_of(&parts)));
    if file.exists() {
        return Ok(file);
    }
    fs::create_dir_all(&folder).map_err(failed("folder of compiled kernels"))?;
    let work = tempfile::tempdir_in(&folder).map_err(failed("folder of compiled kernels"))?;
    for (name, text) in SHIM.iter().chain(HEADERS).chain([&(source.name, source.text)]) {
        fs::write(work.path().join(name), text).map_err(failed("source of kernels"))?;
    }
    let mut command = Command::new("g++");
    command.args(&options).args(&defines).args(["-include", "shim.h", "-x", "c++", source.name]);
    let made = compile(command, work.path())?;
    fs::rename(made, &file).map_err(failed("compiled kernels"))?;
    Ok(file)
}

/// Runs the compiler in its folder. The library that it makes.
fn compile(mut command: Command, folder: &Path) -> Result<PathBuf> {
    let made = folder.join("kernels.so");
    // What runs in front of this program is not for the compiler.
    command.env_remove("LD_PRELOAD");
    let output = command.arg("-o").arg(&made).current_dir(folder).output();
    let output = output.map_err(failed("g++"))?;
    if !output.status.success() {
        let words = String::from_utf8_lossy(&output.stderr).into_owned();
        return Err(Status::Unsupported.about("g++").text(words));
    }
    Ok(made)
}

/// Bytes by their address.
#[derive(Clone, Copy, Debug)]
struct Place {
    address: u64,
    bytes: usize,
}

impl Place {
    fn of(memory: &Memory) -> Place {
        Place { address: address_of(memory), bytes: memory.bytes }
    }

    fn pointer(self) -> *mut u8 {
        std::ptr::with_exposed_provenance_mut(self.address as usize)
    }

    /// # Safety
    /// The bytes are there.
    unsafe fn floats(self) -> Vec<f32> {
        let mut numbers = vec![0.0f32; self.bytes / size_of::<f32>()];
        let bytes = numbers.as_mut_bytes();
        // SAFETY: as many bytes are there, by the caller's word.
        unsafe { copy_nonoverlapping(self.pointer(), bytes.as_mut_ptr(), bytes.len()) };
        numbers
    }

    /// # Safety
    /// The bytes are there.
    unsafe fn write(self, bytes: &[u8]) -> Result<()> {
        if bytes.len() > self.bytes {
            return Err(Status::InvalidArgument.about("memory"));
        }
        // SAFETY: as many bytes are there, by the caller's word.
        unsafe { copy_nonoverlapping(bytes.as_ptr(), self.pointer(), bytes.len()) };
        Ok(())
    }
}

/// Work by addresses, as a GPU's records have it.
#[derive(Debug)]
enum Recorded {
    Launch {
        module: Arc<Module>,
        launch: Launch,
        words: Vec<u64>,
    },
    Multiply {
        form: Product,
        shape: [usize; 3],
        factors: [Place; 2],
        bias: Option<Place>,
        to: Place,
    },
    Copy {
        from: Place,
        to: Place,
    },
    Clear(Place),
    Upload(Place),
}

impl Recorded {
    fn of(work: &Work<Simulator>) -> Recorded {
        match work {
            Work::Launch { module, launch, arguments, .. } => Recorded::Launch {
                module: module.clone(),
                launch: *launch,
                words: arguments.iter().map(word).collect(),
            },
            Work::Multiply(Multiply { form, shape, a, b, bias, result }) => Recorded::Multiply {
                form: *form,
                shape: *shape,
                factors: [Place::of(a), Place::of(b)],
                bias: bias.as_deref().map(Place::of),
                to: Place::of(result),
            },
            Work::Copy { from, to } => Recorded::Copy { from: Place::of(from), to: Place::of(to) },
            Work::Clear(memory) => Recorded::Clear(Place::of(memory)),
            Work::Upload { to, .. } => Recorded::Upload(Place::of(to)),
        }
    }

    /// Does it; an upload takes the next of the bytes.
    ///
    /// # Safety
    /// The memory is there.
    unsafe fn perform<'b>(
        &self,
        limits: Limits,
        uploads: &mut impl Iterator<Item = &'b [u8]>,
    ) -> Result<()> {
        match self {
            Recorded::Launch { module, launch, words } => {
                if launch.shared_bytes > limits.shared_bytes {
                    let error = Status::Unsupported.about(launch.kernel);
                    return Err(error.text("too much shared memory"));
                }
                // SAFETY: the memory is there by the caller's word.
                unsafe { run(module, launch, words.clone()) }
            }
            Recorded::Multiply { form, shape, factors, bias, to } => {
                // SAFETY: the memory is there by the caller's word.
                unsafe { multiply(*form, *shape, *factors, *bias, *to) }
            }
            Recorded::Copy { from, to } => {
                let bytes = from.bytes.min(to.bytes);
                // SAFETY: as many bytes are there, by the caller's word.
                unsafe { std::ptr::copy(from.pointer(), to.pointer(), bytes) };
                Ok(())
            }
            Recorded::Clear(place) => {
                // SAFETY: as many bytes are there, by the caller's word.
                unsafe { write_bytes(place.pointer(), 0, place.bytes) };
                Ok(())
            }
            Recorded::Upload(place) => {
                let missing = || Status::InvalidArgument.about("bytes of recorded uploads");
                // SAFETY: the memory is there by the caller's word.
                unsafe { place.write(uploads.next().ok_or_else(missing)?) }
            }
        }
    }
}

/// # Safety
/// The words are the arguments of the kernel, and the memory that they point at is there.
unsafe fn run(module: &Module, launch: &Launch, mut words: Vec<u64>) -> Result<()> {
    let name = CString::new(launch.kernel).map_err(failed("name of a kernel"))?;
    let mut pointers: Vec<*mut c_void> =
        words.iter_mut().map(|word| std::ptr::from_mut(word).cast()).collect();
    // SAFETY: the shim exports both with these types. The engine's launches give each kernel of
    // this crate the arguments that it declares, and memory at least as long as its documentation
    // says (`engine::call`); each argument's word lasts until the launch is done.
    unsafe {
        let run: Symbol<'_, LaunchKernel> =
            module.0.get(b"zs_sim_launch").map_err(failed("zs_sim_launch"))?;
        let code = run(
            name.as_ptr(),
            launch.grid.as_ptr(),
            launch.block.as_ptr(),
            launch.shared_bytes as c_uint,
            pointers.as_mut_ptr(),
        );
        if code == 0 {
            return Ok(());
        }
        let error: Symbol<'_, LastError> =
            module.0.get(b"zs_sim_error").map_err(failed("zs_sim_error"))?;
        let words = CStr::from_ptr(error()).to_string_lossy().into_owned();
        Err(Status::Unsupported.about(launch.kernel).text(words))
    }
}

/// On the processor, as the CPU engine.
///
/// # Safety
/// The memory is there.
unsafe fn multiply(
    form: Product,
    [m, n, k]: [usize; 3],
    [a, b]: [Place; 2],
    bias: Option<Place>,
    to: Place,
) -> Result<()> {
    let shapes = stored(form, [m, n, k]);
    // SAFETY: the memory is there by the caller's word.
    let matrix = |shape, place: Place| Matrix::new(shape, unsafe { place.floats() });
    let (a, b) = (matrix(shapes[0], a)?, matrix(shapes[1], b)?);
    let bias = bias.map(|bias| matrix([1, n], bias)).transpose()?;
    let engine = CpuEngine::new(NonZeroUsize::MIN);
    let result = engine.product(form, &a, &b, bias.as_ref())?;
    // SAFETY: the memory is there by the caller's word.
    unsafe { to.write(result.values().as_bytes()) }
}

/// Work that was recorded. Only addresses of memory are kept, as a GPU does.
#[derive(Debug)]
pub struct Graph(Vec<Recorded>);

impl Backend for Simulator {
    type Memory = Memory;
    type Module = Module;
    type Sent = Memory;
    type Graph = Graph;

    fn limits(&self) -> Limits {
        self.limits
    }

    fn allocate(&self, bytes: usize) -> Result<Memory> {
        Memory::new(bytes)
    }

    fn length(&self, memory: &Memory) -> usize {
        memory.bytes
    }

    fn address(&self, memory: &Memory) -> u64 {
        address_of(memory)
    }

    fn upload(&self, bytes: &[u8], memory: &Memory) -> Result<()> {
        memory.write(bytes)
    }

    fn send(&self, bytes: &[u8]) -> Result<Memory> {
        let memory = Memory::new(bytes.len())?;
        memory.write(bytes)?;
        Ok(memory)
    }

    fn receive(&self, sent: Memory) -> Result<Memory> {
        Ok(sent)
    }

    fn download(&self, memory: &Memory, bytes: &mut [u8]) -> Result<()> {
        memory.read(bytes)
    }

    fn load(&self, source: &Source, defines: &[Define]) -> Result<Module> {
        let file = library(source, defines)?;
        // SAFETY: what the library does when it is loaded is to list its kernels.
        unsafe { Library::new(file) }.map(Module).map_err(failed("compiled kernels"))
    }

    fn perform(&self, work: &Work<Simulator>) -> Result<()> {
        let bytes = match work {
            Work::Upload { bytes, .. } => Some(bytes.as_slice()),
            _ => None,
        };
        // SAFETY: the work has its memory.
        unsafe { Recorded::of(work).perform(self.limits, &mut bytes.into_iter()) }
    }

    fn record(&self, works: &[Work<Simulator>]) -> Result<Graph> {
        Ok(Graph(works.iter().filter(|work| !work.is_constant()).map(Recorded::of).collect()))
    }

    fn replay(&self, graph: &mut Graph, uploads: &[&[u8]]) -> Result<()> {
        let mut uploads = uploads.iter().copied();
        for work in &graph.0 {
            // SAFETY: the caller keeps the memory.
            unsafe { work.perform(self.limits, &mut uploads) }?;
        }
        Ok(())
    }
}

fn address_of(memory: &Memory) -> u64 {
    memory.start.as_ptr().expose_provenance() as u64
}

/// The bytes of an argument, as a little-endian machine stores them first.
fn word(argument: &Argument<Memory>) -> u64 {
    match argument {
        Argument::Memory(memory) => address_of(memory),
        Argument::Null => 0,
        Argument::U32(value) => u64::from(*value),
        Argument::U64(value) => *value,
        Argument::F32(value) => u64::from(value.to_bits()),
        Argument::F64(value) => value.to_bits(),
    }
}

/// Rows and columns of the factors of a product of `[m, n, k]` as they are stored.
fn stored(form: Product, [m, n, k]: [usize; 3]) -> [[usize; 2]; 2] {
    match form {
        Product::Nn => [[m, k], [k, n]],
        Product::Nt => [[m, k], [n, k]],
        Product::Tn => [[k, m], [k, n]],
    }
}
