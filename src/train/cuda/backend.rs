//! What the engine needs of a device.

use super::sources::Source;
use crate::status::{Error, Result, Status};
use crate::train::engine::Product;
use std::fmt::{Debug, Display};
use std::string::{String, ToString};
use std::sync::Arc;
use std::vec::Vec;

/// A constant that a source is compiled with: its name and its text.
pub type Define = (&'static str, String);

/// What a device has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of shared memory that a block can have when it asks for them.
    pub shared_bytes: usize,
    /// Multiprocessors.
    pub processors: usize,
}

/// How a kernel is launched. Only the engine makes them: a kernel believes its arguments.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Launch {
    /// Its name.
    pub(super) kernel: &'static str,
    /// Blocks; none of them 0.
    pub(super) grid: [u32; 3],
    /// Threads of a block; none of them 0, 1,024 together at most.
    pub(super) block: [u32; 3],
    /// Bytes of dynamic shared memory.
    pub(super) shared_bytes: usize,
}

/// An argument of a kernel.
#[derive(Debug)]
pub enum Argument<M> {
    /// Address of memory.
    Memory(Arc<M>),
    /// The null pointer.
    Null,
    /// `int` and `unsigned int`.
    U32(u32),
    /// `unsigned long long`.
    U64(u64),
    /// `float`.
    F32(f32),
    /// `double`.
    F64(f64),
}

/// A product of matrices in f32, row after row.
#[derive(Debug)]
pub struct Multiply<M> {
    /// Which factor is transposed.
    pub form: Product,
    /// Rows and columns of the result, and what the sums are over; none of them 0.
    pub shape: [usize; 3],
    /// First factor.
    pub a: Arc<M>,
    /// Second factor.
    pub b: Arc<M>,
    /// Added to each row.
    pub bias: Option<Arc<M>>,
    /// Where it goes.
    pub result: Arc<M>,
}

/// Something that a device does, with the memory that it does it in.
#[derive(Debug)]
pub enum Work<B: Backend> {
    /// A kernel. The engine, which alone can make a [`Launch`], sees to it that the arguments are
    /// those of the kernel, and that it stays within its memory with them.
    Launch {
        /// Where the kernel is.
        module: Arc<B::Module>,
        /// Which it is, and how many threads it has.
        launch: Launch,
        /// What it is told.
        arguments: Vec<Argument<B::Memory>>,
        /// Memory that it finds without an argument.
        held: Vec<Arc<B::Memory>>,
    },
    /// A product of matrices whose memory is as long as its shape says.
    Multiply(Multiply<B::Memory>),
    /// A copy of memory to other memory, which is as long.
    Copy {
        /// What is read.
        from: Arc<B::Memory>,
        /// What is written.
        to: Arc<B::Memory>,
    },
    /// Zeros.
    Clear(Arc<B::Memory>),
    /// Bytes, to memory that is as long.
    Upload {
        /// The bytes.
        bytes: Vec<u8>,
        /// What is written.
        to: Arc<B::Memory>,
        /// Whether nothing else writes there, and equal work has equal bytes.
        is_constant: bool,
    },
}

impl<B: Backend> Work<B> {
    /// The bytes of an upload that may have others when it is done again.
    pub(super) fn changing(&self) -> Option<&[u8]> {
        match self {
            Work::Upload { bytes, is_constant: false, .. } => Some(bytes),
            _ => None,
        }
    }

    /// Whether a record can do without: what was uploaded is still there.
    pub(super) fn is_constant(&self) -> bool {
        matches!(self, Work::Upload { is_constant: true, .. })
    }
}

/// A device that runs kernels. Work is done in the order in which it was asked for; only
/// [`Backend::download`] waits for it.
///
/// # Errors
/// `Status::Unsupported` with the device's own words, of every call.
pub trait Backend: Sized {
    /// Memory of the device, which is given back when dropped and all work on it is done.
    type Memory: Debug;
    /// A compiled source.
    type Module: Debug;
    /// Memory whose bytes are on their way.
    type Sent: Debug;
    /// Recorded work. It has addresses of memory, and does not keep it.
    type Graph;

    /// What the device has.
    fn limits(&self) -> Limits;

    /// Memory whose contents may be anything. A length of 0 is fine.
    fn allocate(&self, bytes: usize) -> Result<Self::Memory>;

    /// The length of memory in bytes.
    fn length(&self, memory: &Self::Memory) -> usize;

    /// Where memory lies, as kernels address it; as long as it is there.
    fn address(&self, memory: &Self::Memory) -> u64;

    /// Writes bytes to memory that is as long.
    fn upload(&self, bytes: &[u8], memory: &Self::Memory) -> Result<()>;

    /// Starts to copy bytes to new memory, beside the work that was asked for before.
    fn send(&self, bytes: &[u8]) -> Result<Self::Sent>;

    /// That memory; work that is asked for from now on waits for the copy.
    fn receive(&self, sent: Self::Sent) -> Result<Self::Memory>;

    /// The first bytes of memory, as many as there is room for; no more than it has.
    fn download(&self, memory: &Self::Memory, bytes: &mut [u8]) -> Result<()>;

    /// Compiles a source, or takes it from the cache of compiled ones.
    fn load(&self, source: &Source, defines: &[Define]) -> Result<Self::Module>;

    /// Does something.
    fn perform(&self, work: &Work<Self>) -> Result<()>;

    /// Records a list of work, without doing it. All of it has been done before, so constant
    /// uploads need not come again.
    fn record(&self, works: &[Work<Self>]) -> Result<Self::Graph>;

    /// Does what was recorded; the caller keeps its memory. `uploads` are the bytes of the
    /// uploads in it that are not constant, in their order and as long as when it was recorded.
    fn replay(&self, graph: &mut Self::Graph, uploads: &[&[u8]]) -> Result<()>;
}

/// The error of a call that a device refused, in its own words.
pub(super) fn failed<E: Display>(what: &'static str) -> impl Fn(E) -> Error {
    move |error| Status::Unsupported.about(what).text(error.to_string())
}
