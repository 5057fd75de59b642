//! Launching a kernel with arguments that are long enough.
//!
//! A device reads what an address points at, whatever that is. So memory goes into a call only
//! with the number of values that the kernel will take it for, and a call with memory that is
//! shorter is not made.

use super::super::backend::{Argument, Backend, Define, Launch, Work};
use super::super::sources::Source;
use super::{CudaEngine, Tensor};
use crate::status::{Error, Result};
use crate::train::engine::common::invalid;
use std::sync::Arc;
use std::vec::Vec;

/// Threads of a block of kernels that work on single numbers.
const THREADS: usize = 256;
/// Most blocks along the first axis, and along the others.
const MOST_BLOCKS: [usize; 2] = [0x7fff_ffff, 65_535];

/// A call of a kernel, argument by argument.
pub(super) struct Call<'a, B: Backend> {
    engine: &'a CudaEngine<B>,
    source: &'static Source,
    kernel: &'static str,
    defines: Vec<Define>,
    arguments: Vec<Argument<B::Memory>>,
    held: Vec<Arc<B::Memory>>,
    wrong: Option<Error>,
}

impl<B: Backend> CudaEngine<B> {
    /// A call of a kernel of a source.
    pub(super) fn call<'a>(&'a self, source: &'static Source, kernel: &'static str) -> Call<'a, B> {
        let (defines, arguments, held) = (Vec::new(), Vec::new(), Vec::new());
        Call { engine: self, source, kernel, defines, arguments, held, wrong: None }
    }
}

impl<'a, B: Backend> Call<'a, B> {
    fn with(mut self, argument: Argument<B::Memory>) -> Self {
        self.arguments.push(argument);
        self
    }

    /// With constants that the source is compiled with.
    pub(super) fn defined(mut self, defines: &[Define]) -> Self {
        self.defines = defines.to_vec();
        self
    }

    fn refused(mut self, what: &'static str) -> Self {
        self.wrong.get_or_insert_with(|| invalid(what));
        self
    }

    /// Memory with `count` values of type `T` at least.
    pub(super) fn array<T>(self, memory: &Arc<B::Memory>, count: usize) -> Self {
        let found = self.engine.backend.length(memory);
        let fits = count.checked_mul(size_of::<T>()).is_some_and(|wanted| wanted <= found);
        let call = if fits { self } else { self.refused("memory of a kernel's argument") };
        call.with(Argument::Memory(memory.clone()))
    }

    /// A matrix.
    pub(super) fn tensor(self, tensor: &Tensor<B>) -> Self {
        self.array::<f32>(tensor.memory(), tensor.count())
    }

    /// Memory with `count` values of type `T` at least, or the null pointer.
    pub(super) fn array_or_null<T>(self, memory: Option<&Arc<B::Memory>>, count: usize) -> Self {
        match memory {
            Some(memory) => self.array::<T>(memory, count),
            None => self.with(Argument::Null),
        }
    }

    /// A matrix whose address is in memory that the kernel reads.
    pub(super) fn holding(mut self, tensor: &Tensor<B>) -> Self {
        self.held.push(tensor.memory().clone());
        self
    }

    /// A matrix, or the null pointer.
    pub(super) fn tensor_or_null(self, tensor: Option<&Tensor<B>>) -> Self {
        match tensor {
            Some(tensor) => self.tensor(tensor),
            None => self.with(Argument::Null),
        }
    }

    /// A size, as `unsigned int`.
    pub(super) fn size(self, value: usize) -> Self {
        match u32::try_from(value) {
            Ok(value) => self.word(value),
            Err(_) => self.refused("size for a kernel").word(0),
        }
    }

    /// `unsigned int`.
    pub(super) fn word(self, value: u32) -> Self {
        self.with(Argument::U32(value))
    }

    /// `float`.
    pub(super) fn float(self, value: f32) -> Self {
        self.with(Argument::F32(value))
    }

    /// `double`.
    pub(super) fn double(self, value: f64) -> Self {
        self.with(Argument::F64(value))
    }

    /// `unsigned long long`.
    pub(super) fn long(self, value: usize) -> Self {
        self.with(Argument::U64(value as u64))
    }

    /// Launches a thread for each of `count` numbers, 256 to a block. Nothing is launched for none.
    pub(super) fn each(self, count: usize) -> Result<()> {
        let blocks = count.div_ceil(THREADS);
        self.blocks([blocks, 1, 1], [THREADS as u32, 1, 1], 0)
    }

    /// Launches a warp for each of `rows`, eight to a block.
    pub(super) fn warps(self, rows: usize) -> Result<()> {
        self.blocks([rows.div_ceil(8), 1, 1], [THREADS as u32, 1, 1], 0)
    }

    /// Launches blocks. Nothing is launched for none.
    pub(super) fn blocks(
        self,
        grid: [usize; 3],
        block: [u32; 3],
        shared_bytes: usize,
    ) -> Result<()> {
        if let Some(wrong) = self.wrong {
            return Err(wrong);
        }
        if grid.contains(&0) {
            return Ok(());
        }
        let most = [MOST_BLOCKS[0], MOST_BLOCKS[1], MOST_BLOCKS[1]];
        if grid.iter().zip(most).any(|(found, most)| *found > most) {
            return Err(invalid("size for a kernel"));
        }
        let grid = grid.map(|count| count as u32);
        let launch = Launch { kernel: self.kernel, grid, block, shared_bytes };
        let module = self.engine.module(self.source, &self.defines)?;
        let Call { arguments, held, .. } = self;
        self.engine.perform(Work::Launch { module, launch, arguments, held })
    }
}
