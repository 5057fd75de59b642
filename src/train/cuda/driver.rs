//! A GPU, by way of cudarc.
//!
//! All work but copies ahead (`copies.rs`) goes to one stream, so it is done in the order in which
//! it was asked for, and memory that is dropped is given back after the work on it. The stream is
//! not the context's default one, on which nothing can be recorded; cudarc's own events between
//! streams, which a record could not have, are off.

use super::backend::{Argument, Backend, Define, Launch, Limits, Multiply, Work, failed};
use super::cache::{fetch, folder, name_of};
use super::copies::Copies;
use super::guard::{DeviceError, LEAST_CAPABILITY, LEAST_DRIVER, caught};
use super::nvrtc::Compiler;
use super::sources::{HEADERS, Source};
use crate::status::{Result, Status};
use crate::train::engine::Product;
use core::ffi::c_int;
use core::fmt;
use cudarc::cublaslt::{CudaBlasLT, Matmul, MatmulConfig, MatmulShared, Workspace};
use cudarc::driver::result::{memcpy_dtod_async, memcpy_htod_async, memset_d8_async};
use cudarc::driver::sys::{
    self as driver_sys, CUdevice_attribute, CUdeviceptr, CUfunction_attribute,
    CUgraphInstantiate_flags, CUresult, CUstreamCaptureMode,
};
use cudarc::driver::{
    CudaContext, CudaEvent, CudaFunction, CudaGraph, CudaSlice, CudaStream, DevicePtr,
    DevicePtrMut, DeviceSlice, DriverError, LaunchConfig, PinnedHostSlice, PushKernelArg,
    SyncOnDrop,
};
use cudarc::nvrtc::Ptx;
use std::borrow::ToOwned;
use std::collections::BTreeMap;
use std::format;
use std::string::{String, ToString};
use std::sync::Arc;
use std::vec::Vec;

/// Dynamic shared memory beyond this a kernel has to ask for.
const PLAIN_SHARED_BYTES: usize = 48 << 10;

/// A GPU.
pub struct Driver {
    stream: Arc<CudaStream>,
    copies: Copies,
    products: Products,
    compiler: Compiler,
    limits: Limits,
    name: String,
}

/// Memory of a GPU.
#[derive(Debug)]
pub struct Memory {
    /// One byte at least, since nothing cannot be allocated.
    slice: CudaSlice<u8>,
    bytes: usize,
}

/// Kernels that were loaded on a GPU.
#[derive(Debug)]
pub struct Module(BTreeMap<&'static str, CudaFunction>);

/// The number of GPUs, once the driver is known to do.
pub(super) fn count() -> core::result::Result<usize, DeviceError> {
    // SAFETY: looks for a library; the driver's runs no code that could do harm.
    if !unsafe { driver_sys::is_culib_present() } {
        return Err(DeviceError::NoDriver);
    }
    caught("the NVIDIA driver", || {
        let mut version = 0;
        // SAFETY: the place is there.
        let result = unsafe { driver_sys::cuDriverGetVersion(&mut version) };
        result.result().map_err(|error| driver_error(error, "cuDriverGetVersion"))?;
        if version < LEAST_DRIVER {
            return Err(DeviceError::OldDriver { found: version, wanted: LEAST_DRIVER });
        }
        let count = CudaContext::device_count().map_err(|error| driver_error(error, "cuInit"))?;
        match usize::try_from(count) {
            Ok(0) | Err(_) => Err(DeviceError::NoDevice),
            Ok(count) => Ok(count),
        }
    })
}

fn driver_error(error: DriverError, what: &'static str) -> DeviceError {
    match error.0 {
        CUresult::CUDA_ERROR_NO_DEVICE => DeviceError::NoDevice,
        _ => DeviceError::broken(what)(&error),
    }
}

impl Driver {
    /// The GPU of a number.
    ///
    /// # Errors
    /// Each missing or unfit part its own [`DeviceError`].
    pub fn new(index: usize) -> core::result::Result<Driver, DeviceError> {
        let count = count()?;
        if index >= count {
            return Err(DeviceError::NoSuchDevice { index, count });
        }
        // SAFETY: looks for a library; cuBLASLt's runs no code that could do harm.
        if !unsafe { cudarc::cublaslt::sys::is_culib_present() } {
            return Err(DeviceError::NoProducts);
        }
        caught("the GPU", || Driver::open(index))
    }

    fn open(index: usize) -> core::result::Result<Driver, DeviceError> {
        let wrong = |what| move |error| driver_error(error, what);
        let context = CudaContext::new(index).map_err(wrong("the GPU's context"))?;
        let name = context.name().map_err(wrong("the GPU's name"))?;
        let capability = context.compute_capability().map_err(wrong("the GPU's generation"))?;
        let capability = [capability.0, capability.1];
        if capability < LEAST_CAPABILITY {
            return Err(DeviceError::OldDevice { name, capability });
        }
        let compiler = Compiler::new(capability)?;
        check_versions(&compiler)?;
        let limits = limits(&context).map_err(wrong("the GPU's limits"))?;
        // SAFETY: memory is used by one stream alone, but for what `Copies` writes, which that
        // stream waits for.
        unsafe { context.disable_event_tracking() };
        let stream = context.new_stream().map_err(wrong("a stream of the GPU"))?;
        let copies = Copies::new(&context).map_err(wrong("a stream of the GPU"))?;
        let products = CudaBlasLT::new(stream.clone())
            .map_err(|error| DeviceError::broken("cuBLASLt")(&error))?;
        Ok(Driver { stream, copies, products: Products(products), compiler, limits, name })
    }

    /// The GPU's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    #[cfg(feature = "train-nccl")]
    pub(super) fn stream(&self) -> &Arc<CudaStream> {
        &self.stream
    }

    /// The code of a source, from the cache or made now.
    fn image(&self, source: &Source, defines: &[Define]) -> Result<Vec<u8>> {
        let options = self.compiler.options(source, defines);
        let version = format!("NVRTC {:?}", self.compiler.version());
        let mut parts: Vec<&str> = [version.as_str(), source.text].to_vec();
        parts.extend(HEADERS.iter().map(|(_, text)| *text));
        parts.extend(options.iter().map(String::as_str));
        let name = format!("{}.cubin", name_of(&parts));
        let make = || Ok(self.compiler.compile(source, defines)?.image);
        fetch(folder().as_deref(), &name, make)
    }

    fn functions(&self, source: &Source, image: Vec<u8>) -> Result<Module> {
        // PTX is a text, a cubin an ELF file.
        let is_ptx = !image.starts_with(b"\x7fELF");
        let code = match is_ptx {
            true => Ptx::from_src(String::from_utf8_lossy(&image).into_owned()),
            false => Ptx::from_binary(image),
        };
        let module = self.stream.context().load_module(code).map_err(failed("loading kernels"))?;
        let load = |kernel: &&'static str| {
            Ok((*kernel, module.load_function(kernel).map_err(failed("loading a kernel"))?))
        };
        Ok(Module(source.kernels.iter().map(load).collect::<Result<_>>()?))
    }

    fn alloc(&self, bytes: usize) -> Result<CudaSlice<u8>> {
        // SAFETY: the contents are set before they are read: by an upload, a copy, or the kernel
        // or product that the memory is the result of.
        unsafe { self.stream.alloc(bytes.max(1)) }.map_err(failed("memory of the GPU"))
    }
}

fn limits(context: &CudaContext) -> core::result::Result<Limits, DriverError> {
    let of = |attribute| context.attribute(attribute).map(|value| value.max(0) as usize);
    Ok(Limits {
        shared_bytes: of(
            CUdevice_attribute::CU_DEVICE_ATTRIBUTE_MAX_SHARED_MEMORY_PER_BLOCK_OPTIN,
        )?,
        processors: of(CUdevice_attribute::CU_DEVICE_ATTRIBUTE_MULTIPROCESSOR_COUNT)?,
    })
}

/// A driver loads machine code of its own major version of CUDA, and older ones.
fn check_versions(compiler: &Compiler) -> core::result::Result<(), DeviceError> {
    let mut driver = 0;
    // SAFETY: the place is there.
    let result = unsafe { driver_sys::cuDriverGetVersion(&mut driver) };
    result.result().map_err(|error| driver_error(error, "cuDriverGetVersion"))?;
    let (compiler, driver) = (compiler.version()[0], driver / 1000);
    match compiler > driver {
        true => Err(DeviceError::NewCompiler { compiler, driver }),
        false => Ok(()),
    }
}

/// Memory of a GPU that another stream copies to.
#[derive(Debug)]
pub struct Sent {
    memory: Option<Memory>,
    copied: Arc<CudaEvent>,
    stream: Arc<CudaStream>,
}

impl Drop for Sent {
    fn drop(&mut self) {
        // Memory is given back on the stream of the work, which has to wait for the copy.
        if self.memory.is_some() {
            self.stream.context().record_err(self.stream.wait(&self.copied));
        }
    }
}

/// Work that was recorded on a GPU.
pub struct Graph {
    graph: CudaGraph,
    /// Where its uploads take their bytes from.
    staged: Vec<PinnedHostSlice<u8>>,
    /// Of the last time that it was done.
    done: CudaEvent,
}

impl Drop for Graph {
    fn drop(&mut self) {
        // The staged bytes may still be read.
        self.done.context().record_err(self.done.synchronize());
    }
}

// SAFETY: it may be used on any thread, by one at a time: all its methods take it as `&mut`.
unsafe impl Send for Graph {}

impl fmt::Debug for Graph {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Graph").field("uploads", &self.staged.len()).finish_non_exhaustive()
    }
}

impl Backend for Driver {
    type Memory = Memory;
    type Module = Module;
    type Sent = Sent;
    type Graph = Graph;

    fn limits(&self) -> Limits {
        self.limits
    }

    fn allocate(&self, bytes: usize) -> Result<Memory> {
        Ok(Memory { slice: self.alloc(bytes)?, bytes })
    }

    fn length(&self, memory: &Memory) -> usize {
        memory.bytes
    }

    fn address(&self, memory: &Memory) -> u64 {
        memory.slice.device_ptr(&self.stream).0
    }

    fn upload(&self, bytes: &[u8], memory: &Memory) -> Result<()> {
        self.write(bytes, memory)
    }

    fn send(&self, bytes: &[u8]) -> Result<Sent> {
        let memory = self.allocate(bytes.len())?;
        let address = self.address(&memory);
        // SAFETY: the memory is as long, and neither read nor given back before the copy: whoever
        // has the result waits for it.
        let copied = unsafe { self.copies.send(&self.stream, bytes, address) }?;
        Ok(Sent { memory: Some(memory), copied, stream: self.stream.clone() })
    }

    fn receive(&self, mut sent: Sent) -> Result<Memory> {
        self.stream.wait(&sent.copied).map_err(failed("copying to the GPU"))?;
        sent.memory.take().ok_or_else(|| Status::InvalidState.about("memory of the GPU"))
    }

    fn download(&self, memory: &Memory, bytes: &mut [u8]) -> Result<()> {
        let wrong = failed("copying from the GPU");
        if bytes.is_empty() {
            return Ok(());
        }
        let view = memory.slice.try_slice(..bytes.len());
        let view = view.ok_or_else(|| Status::InvalidArgument.about("memory of the GPU"))?;
        self.stream.memcpy_dtoh(&view, bytes).map_err(&wrong)?;
        self.stream.synchronize().map_err(&wrong)
    }

    fn load(&self, source: &Source, defines: &[Define]) -> Result<Module> {
        self.functions(source, self.image(source, defines)?)
    }

    fn perform(&self, work: &Work<Driver>) -> Result<()> {
        match work {
            Work::Launch { module, launch, arguments, .. } => {
                self.launch(module, launch, arguments)
            }
            Work::Multiply(multiply) => self.multiply(multiply),
            Work::Copy { from, to } => self.copy(from, to),
            Work::Clear(memory) => self.clear(memory),
            Work::Upload { bytes, to, .. } => self.write(bytes, to),
        }
    }

    /// By capturing the stream. Uploads become copies from pinned memory, whose bytes are put there
    /// before the record is done.
    fn record(&self, works: &[Work<Driver>]) -> Result<Graph> {
        let wrong = failed("recording for the GPU");
        let context = self.stream.context();
        let mut staged: Vec<PinnedHostSlice<u8>> = Vec::new();
        for work in works {
            if let Some(bytes) = work.changing() {
                // SAFETY: the bytes are set here, and before each time that the record is done.
                let mut place =
                    unsafe { context.alloc_pinned(bytes.len().max(1)) }.map_err(&wrong)?;
                place.as_mut_slice().map_err(&wrong)?.fill(0);
                staged.push(place);
            }
        }
        let done = context.new_event(None).map_err(&wrong)?;
        // Asked for now: it waits for an event, which a thread that captures must not.
        let places = staged.iter().map(|place| place.as_slice().map_err(&wrong));
        let places = places.collect::<Result<Vec<&[u8]>>>()?;
        let mode = CUstreamCaptureMode::CU_STREAM_CAPTURE_MODE_THREAD_LOCAL;
        self.stream.begin_capture(mode).map_err(&wrong)?;
        let captured = self.capture(works, &places);
        // The capture ends whatever came of it.
        let graph = self.stream.end_capture(CUgraphInstantiate_flags(0));
        captured?;
        let graph = graph.map_err(&wrong)?;
        let graph = graph.ok_or_else(|| wrong(DriverError(CUresult::CUDA_ERROR_UNKNOWN)))?;
        Ok(Graph { graph, staged, done })
    }

    fn replay(&self, graph: &mut Graph, uploads: &[&[u8]]) -> Result<()> {
        let wrong = failed("what was recorded for the GPU");
        let other = || Status::InvalidArgument.about("bytes of recorded uploads");
        if uploads.len() != graph.staged.len() {
            return Err(other());
        }
        // The time before may still be reading.
        graph.done.synchronize().map_err(&wrong)?;
        for (bytes, staged) in uploads.iter().zip(&mut graph.staged) {
            let place = staged.as_mut_slice().map_err(&wrong)?;
            place.get_mut(..bytes.len()).ok_or_else(other)?.copy_from_slice(bytes);
        }
        graph.graph.launch().map_err(&wrong)?;
        graph.done.record(&self.stream).map_err(&wrong)
    }
}

impl Driver {
    fn write(&self, bytes: &[u8], memory: &Memory) -> Result<()> {
        let wrong = failed("copying to the GPU");
        if bytes.len() > memory.bytes {
            return Err(Status::InvalidArgument.about("memory of the GPU"));
        }
        if bytes.is_empty() {
            return Ok(());
        }
        self.stream.context().bind_to_thread().map_err(&wrong)?;
        // SAFETY: the memory is long enough. Bytes that are not pinned have been read when the
        // call returns.
        let sent =
            unsafe { memcpy_htod_async(self.address(memory), bytes, self.stream.cu_stream()) };
        sent.map_err(wrong)
    }

    fn clear(&self, memory: &Memory) -> Result<()> {
        let wrong = failed("memory of the GPU");
        if memory.bytes == 0 {
            return Ok(());
        }
        self.stream.context().bind_to_thread().map_err(&wrong)?;
        let (address, stream) = (self.address(memory), self.stream.cu_stream());
        // SAFETY: so many bytes are there.
        unsafe { memset_d8_async(address, 0, memory.bytes, stream) }.map_err(wrong)
    }

    fn copy(&self, from: &Memory, to: &Memory) -> Result<()> {
        let wrong = failed("copying on the GPU");
        if from.bytes != to.bytes {
            return Err(Status::InvalidArgument.about("memory of the GPU"));
        }
        if from.bytes == 0 {
            return Ok(());
        }
        self.stream.context().bind_to_thread().map_err(&wrong)?;
        let (source, place) = (self.address(from), self.address(to));
        // SAFETY: both are as long.
        unsafe { memcpy_dtod_async(place, source, from.bytes, self.stream.cu_stream()) }
            .map_err(wrong)
    }

    /// Does work on a stream that is captured.
    fn capture(&self, works: &[Work<Driver>], staged: &[&[u8]]) -> Result<()> {
        let mut staged = staged.iter();
        for work in works.iter().filter(|work| !work.is_constant()) {
            let Work::Upload { bytes, to, .. } = work else {
                self.perform(work)?;
                continue;
            };
            let missing = || Status::InvalidArgument.about("bytes of recorded uploads");
            // One byte is staged even of none.
            let place = staged.next().and_then(|place| place.get(..bytes.len()));
            self.write(place.ok_or_else(missing)?, to)?;
        }
        Ok(())
    }

    fn launch(
        &self,
        module: &Module,
        launch: &Launch,
        arguments: &[Argument<Memory>],
    ) -> Result<()> {
        let wrong = failed(launch.kernel);
        let missing = || Status::InvalidArgument.about(launch.kernel);
        let function = module.0.get(launch.kernel).ok_or_else(missing)?;
        if launch.shared_bytes > PLAIN_SHARED_BYTES {
            let attribute = CUfunction_attribute::CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES;
            let bytes = c_int::try_from(launch.shared_bytes).map_err(|_| missing())?;
            function.set_attribute(attribute, bytes).map_err(&wrong)?;
        }
        let mut call = self.stream.launch_builder(function);
        for argument in arguments {
            match argument {
                Argument::Memory(memory) => call.arg(&memory.slice),
                Argument::Null => call.arg(&0u64),
                Argument::U32(value) => call.arg(value),
                Argument::U64(value) => call.arg(value),
                Argument::F32(value) => call.arg(value),
                Argument::F64(value) => call.arg(value),
            };
        }
        let [grid, block] = [launch.grid, launch.block].map(|[x, y, z]| (x, y, z));
        let shared = u32::try_from(launch.shared_bytes).map_err(|_| missing())?;
        let config = LaunchConfig { grid_dim: grid, block_dim: block, shared_mem_bytes: shared };
        // SAFETY: the engine's launches give each kernel of this crate the arguments that it
        // declares, and memory at least as long as its documentation says (`engine::call`).
        unsafe { call.launch(config) }.map(|_| ()).map_err(&wrong)
    }

    fn multiply(&self, multiply: &Multiply<Memory>) -> Result<()> {
        let [m, n, k] = multiply.shape;
        let has = |memory: &Memory, rows: usize, columns: usize| {
            rows.checked_mul(columns) == Some(memory.bytes / size_of::<f32>())
        };
        let fits = has(&multiply.a, m, k)
            && has(&multiply.b, k, n)
            && has(&multiply.result, m, n)
            && multiply.bias.as_ref().is_none_or(|bias| has(bias, 1, n));
        if !fits {
            return Err(Status::InvalidArgument.about("size of a product"));
        }
        self.products.run(multiply, &self.stream)
    }
}

/// Memory as numbers for a library: any bytes are numbers, and memory is aligned to 256 bytes.
pub(super) struct Place<'a> {
    pub(super) memory: &'a Memory,
    pub(super) stream: &'a Arc<CudaStream>,
}

impl DeviceSlice<f32> for Place<'_> {
    fn len(&self) -> usize {
        self.memory.bytes / size_of::<f32>()
    }

    fn stream(&self) -> &Arc<CudaStream> {
        self.stream
    }
}

impl DevicePtr<f32> for Place<'_> {
    fn device_ptr<'a>(&'a self, stream: &'a CudaStream) -> (CUdeviceptr, SyncOnDrop<'a>) {
        self.memory.slice.device_ptr(stream)
    }
}

impl DevicePtrMut<f32> for Place<'_> {
    fn device_ptr_mut<'a>(&'a mut self, stream: &'a CudaStream) -> (CUdeviceptr, SyncOnDrop<'a>) {
        self.memory.slice.device_ptr(stream)
    }
}

/// cuBLASLt with products in f32 as they are; cudarc's own choice for f32 is TF32.
struct Products(CudaBlasLT);

impl MatmulShared for Products {
    fn handle(&self) -> &cudarc::cublaslt::sys::cublasLtHandle_t {
        self.0.handle()
    }

    fn workspace(&self) -> &Workspace {
        self.0.workspace()
    }

    fn stream(&self) -> &Arc<CudaStream> {
        self.0.stream()
    }
}

impl Matmul<f32> for Products {
    fn matrix_type() -> cudarc::cublaslt::sys::cudaDataType {
        cudarc::cublaslt::sys::cudaDataType_t::CUDA_R_32F
    }

    fn compute_type() -> cudarc::cublaslt::sys::cublasComputeType_t {
        cudarc::cublaslt::sys::cublasComputeType_t::CUBLAS_COMPUTE_32F
    }
}

impl Products {
    /// cuBLAS has columns where this crate has rows, so the transposed product is asked for:
    /// `C^T = B^T A^T`. The lengths have been checked.
    fn run(&self, multiply: &Multiply<Memory>, stream: &Arc<CudaStream>) -> Result<()> {
        let [m, n, k] = multiply.shape.map(|size| size as i64);
        // The leading dimension is the columns of the matrix as it is stored.
        let (lda, ldb) = match multiply.form {
            Product::Nn => (n, k),
            Product::Nt => (k, k),
            Product::Tn => (n, m),
        };
        let config = MatmulConfig {
            transa: multiply.form == Product::Nt,
            transb: multiply.form == Product::Tn,
            transc: false,
            m: n as u64,
            n: m as u64,
            k: k as u64,
            alpha: 1.0,
            lda,
            ldb,
            beta: 0.0,
            ldc: n,
            stride_a: None,
            stride_b: None,
            stride_c: None,
            stride_bias: None,
            batch_size: None,
        };
        let place = |memory| Place { memory, stream };
        let (left, right) = (place(&*multiply.b), place(&*multiply.a));
        let bias = multiply.bias.as_deref().map(place);
        let mut result = place(&*multiply.result);
        // SAFETY: shapes and leading dimensions are those of the memory, which was checked.
        unsafe { self.matmul(config, &left, &right, &mut result, bias.as_ref(), None) }
            .map_err(|error| Status::Unsupported.about("matrix product").text(error.to_string()))
    }
}

impl fmt::Debug for Driver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Driver").field("name", &self.name.to_owned()).finish_non_exhaustive()
    }
}
