//! What can be missing for a GPU to be used, told before cudarc looks for it.
//!
//! cudarc loads CUDA's libraries when they are first called, and panics where one is missing or
//! too old to have a function. So every library is asked for first, and calls that need a function
//! of it for the first time are made inside [`caught`]. Under `panic = "abort"` only the former
//! helps.

use crate::status::{self, Status};
use core::fmt;
use std::any::Any;
use std::format;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::string::{String, ToString};

/// The oldest version of CUDA that a driver must know, as `1000 * major + 10 * minor`.
pub(super) const LEAST_DRIVER: i32 = 12_000;
/// The oldest compute capability that kernels are compiled for.
pub(super) const LEAST_CAPABILITY: [i32; 2] = [8, 0];

/// Why a GPU cannot be used, or stopped working.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum DeviceError {
    /// There is no driver.
    NoDriver,
    /// The driver knows only an older CUDA: versions as `1000 * major + 10 * minor`.
    OldDriver {
        /// The driver's.
        found: i32,
        /// The oldest that will do.
        wanted: i32,
    },
    /// There is a driver, but no GPU.
    NoDevice,
    /// There are GPUs, but none with this number.
    NoSuchDevice {
        /// The number that was asked for.
        index: usize,
        /// How many there are.
        count: usize,
    },
    /// The GPU is of a generation before those that kernels are compiled for.
    OldDevice {
        /// Its name.
        name: String,
        /// Its compute capability.
        capability: [i32; 2],
    },
    /// The library that compiles kernels is missing.
    NoCompiler,
    /// The library that compiles kernels is newer than the driver, which could not load what it
    /// makes: versions of CUDA.
    NewCompiler {
        /// The library's major version.
        compiler: i32,
        /// The driver's.
        driver: i32,
    },
    /// The library of matrix products is missing.
    NoProducts,
    /// The library that GPUs tell each other their gradients with is missing.
    NoCollectives,
    /// A library is there but cannot be used: it lacks a function, or its own start failed.
    Broken {
        /// What was being done.
        what: &'static str,
        /// The library's words.
        reason: String,
    },
    /// A source does not compile.
    Compile {
        /// The source and how it was compiled.
        what: String,
        /// The compiler's words.
        log: String,
    },
}

impl DeviceError {
    pub(super) fn broken(what: &'static str) -> impl Fn(&dyn fmt::Display) -> DeviceError {
        move |reason| DeviceError::Broken { what, reason: reason.to_string() }
    }
}

fn version(number: i32) -> String {
    format!("{}.{}", number / 1000, number % 1000 / 10)
}

impl fmt::Display for DeviceError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            DeviceError::NoDriver => f.write_str(
                "there is no NVIDIA driver: libcuda.so.1 (nvcuda.dll on Windows) is not installed",
            ),
            DeviceError::OldDriver { found, wanted } => {
                let [found, wanted] = [*found, *wanted].map(version);
                write!(f, "the NVIDIA driver is too old: it knows CUDA {found}, not {wanted}")
            }
            DeviceError::NoDevice => f.write_str("the NVIDIA driver finds no GPU"),
            DeviceError::NoSuchDevice { index, count } => {
                write!(f, "there is no GPU {index}: the NVIDIA driver finds {count}, from 0 on")
            }
            DeviceError::OldDevice { name, capability: [major, minor] } => {
                let [least, least_minor] = LEAST_CAPABILITY;
                write!(f, "{name} has compute capability {major}.{minor}, ")?;
                write!(f, "and {least}.{least_minor} is the least")
            }
            DeviceError::NoCompiler => f.write_str(
                "the library that compiles kernels is not found: install the CUDA toolkit or \
                 `pip install nvidia-cuda-nvrtc`, and name the folder of libnvrtc in \
                 LD_LIBRARY_PATH",
            ),
            DeviceError::NewCompiler { compiler, driver } => write!(
                f,
                "NVRTC {compiler} makes code that this driver, for CUDA {driver}, cannot load: \
                 update the driver or install NVRTC {driver}"
            ),
            DeviceError::NoProducts => f.write_str(
                "the library of matrix products is not found: install the CUDA toolkit or \
                 `pip install nvidia-cublas`, and name the folder of libcublasLt in \
                 LD_LIBRARY_PATH",
            ),
            DeviceError::NoCollectives => f.write_str(
                "NCCL is not found: install it or `pip install nvidia-nccl-cu13`, and name the \
                 folder of libnccl.so in LD_LIBRARY_PATH; where there is only libnccl.so.2, make \
                 libnccl.so a link to it",
            ),
            DeviceError::Broken { what, reason } => write!(f, "{what}: {reason}"),
            DeviceError::Compile { what, log } => write!(f, "{what} does not compile: {log}"),
        }
    }
}

impl core::error::Error for DeviceError {}

impl From<DeviceError> for status::Error {
    fn from(error: DeviceError) -> status::Error {
        Status::Unsupported.about("GPU").text(error.to_string())
    }
}

/// What `call` gives; a panic of a library that lacks a function becomes an error.
pub(super) fn caught<T>(
    what: &'static str,
    call: impl FnOnce() -> Result<T, DeviceError>,
) -> Result<T, DeviceError> {
    // What a panic may leave half done is dropped with the closure.
    match catch_unwind(AssertUnwindSafe(call)) {
        Ok(result) => result,
        Err(panic) => Err(DeviceError::Broken { what, reason: words(panic.as_ref()) }),
    }
}

fn words(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(ToString::to_string);
    text.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_else(|| "panic".to_string())
}

/// The number of GPUs.
///
/// # Errors
/// [`DeviceError::NoDriver`], [`DeviceError::OldDriver`], [`DeviceError::NoDevice`], and
/// [`DeviceError::Broken`] for a driver that does not answer.
pub fn count_devices() -> Result<usize, DeviceError> {
    super::driver::count()
}
