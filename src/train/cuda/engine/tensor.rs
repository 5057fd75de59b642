//! Matrices on a device.

use super::super::backend::{Backend, Work};
use super::{CudaEngine, rows};
use crate::status::Result;
use crate::train::engine::common::{check, count};
use std::sync::Arc;
use std::vec;
use std::vec::Vec;
use zerocopy::{FromBytes, Immutable, IntoBytes};

/// A matrix on a device, row after row. Clones share their memory until one of them is changed.
#[derive(Debug)]
pub struct Tensor<B: Backend> {
    memory: Arc<Shared<B>>,
    shape: [usize; 2],
}

/// Memory that tensors share. Work that is still to be done has the memory without this, and does
/// not count as sharing it: it comes before any change that is asked for later.
#[derive(Debug)]
struct Shared<B: Backend>(Arc<B::Memory>);

impl<B: Backend> Clone for Tensor<B> {
    fn clone(&self) -> Tensor<B> {
        Tensor { memory: self.memory.clone(), shape: self.shape }
    }
}

impl<B: Backend> Tensor<B> {
    /// The memory is as long as the shape says.
    pub(super) fn new(shape: [usize; 2], memory: Arc<B::Memory>) -> Tensor<B> {
        Tensor { memory: Arc::new(Shared(memory)), shape }
    }

    pub(in crate::train::cuda) fn memory(&self) -> &Arc<B::Memory> {
        &self.memory.0
    }

    pub(in crate::train::cuda) fn shape(&self) -> [usize; 2] {
        self.shape
    }

    pub(in crate::train::cuda) fn count(&self) -> usize {
        self.shape[0] * self.shape[1]
    }

    /// The same numbers in another shape of as many.
    pub(super) fn shaped(self, shape: [usize; 2]) -> Tensor<B> {
        Tensor { memory: self.memory, shape }
    }

    /// Memory of its own, before it is changed.
    pub(super) fn part(&mut self, engine: &CudaEngine<B>) -> Result<()> {
        if Arc::get_mut(&mut self.memory).is_some() {
            return Ok(());
        }
        let from = self.memory().clone();
        let to = engine.room_of_bytes(engine.backend.length(&from))?;
        engine.perform(Work::Copy { from, to: to.clone() })?;
        self.memory = Arc::new(Shared(to));
        Ok(())
    }
}

impl<B: Backend> CudaEngine<B> {
    pub(super) fn upload_tensor(&self, shape: [usize; 2], values: &[f32]) -> Result<Tensor<B>> {
        check("number of values", values.len(), count(shape)?)?;
        Ok(Tensor::new(shape, self.upload_numbers(values)?))
    }

    pub(super) fn upload_numbers<T: IntoBytes + Immutable>(
        &self,
        values: &[T],
    ) -> Result<Arc<B::Memory>> {
        self.upload_bytes(values.as_bytes(), false)
    }

    /// Numbers that only shapes and settings decide, and that kernels only read.
    pub(super) fn upload_constant<T: IntoBytes + Immutable>(
        &self,
        values: &[T],
    ) -> Result<Arc<B::Memory>> {
        self.upload_bytes(values.as_bytes(), true)
    }

    fn upload_bytes(&self, bytes: &[u8], is_constant: bool) -> Result<Arc<B::Memory>> {
        let to = self.room_of_bytes(bytes.len())?;
        if !self.is_repeating() {
            self.backend.upload(bytes, &to)?;
            return Ok(to);
        }
        self.perform(Work::Upload { bytes: bytes.to_vec(), to: to.clone(), is_constant })?;
        Ok(to)
    }

    /// Waits for all work on the memory.
    pub(super) fn download_numbers<T: IntoBytes + FromBytes + Clone>(
        &self,
        memory: &B::Memory,
        count: usize,
    ) -> Result<Vec<T>> {
        self.flush()?;
        let mut values = vec![T::new_zeroed(); count];
        self.backend.download(memory, values.as_mut_bytes())?;
        Ok(values)
    }

    /// The sum of so many numbers in f64, in their order.
    pub(super) fn sum(&self, memory: &B::Memory, count: usize) -> Result<f64> {
        Ok(self.download_numbers::<f64>(memory, count)?.iter().sum())
    }

    /// Memory for so many numbers, whose values may be anything.
    pub(super) fn room<T>(&self, count: usize) -> Result<Arc<B::Memory>> {
        self.room_of_bytes(count * size_of::<T>())
    }

    /// Zeros.
    pub(super) fn zeros(&self, shape: [usize; 2]) -> Result<Tensor<B>> {
        let tensor = self.blank(shape)?;
        self.perform(Work::Clear(tensor.memory().clone()))?;
        Ok(tensor)
    }

    /// A matrix whose values may be anything.
    pub(super) fn blank(&self, shape: [usize; 2]) -> Result<Tensor<B>> {
        Ok(Tensor::new(shape, self.room::<f32>(count(shape)?)?))
    }
}

impl<B: Backend> CudaEngine<B> {
    /// All numbers of these matrices one below the other, `[numbers, 1]`: gradients, to be added to
    /// those of other devices at once.
    ///
    /// # Errors
    /// Those of the device.
    pub fn flat(&self, tensors: &[&Tensor<B>]) -> Result<Tensor<B>> {
        let full = tensors.iter().filter(|tensor| tensor.count() > 0);
        let rows = full.map(|tensor| (*tensor).clone().shaped([1, tensor.count()]));
        let rows: Vec<Tensor<B>> = rows.collect();
        if rows.is_empty() {
            return self.blank([0, 1]);
        }
        let flat = rows::join(self, &rows.iter().collect::<Vec<_>>())?;
        let numbers = flat.count();
        Ok(flat.shaped([numbers, 1]))
    }

    /// What [`CudaEngine::flat`] made of matrices of these shapes.
    ///
    /// # Errors
    /// `Status::InvalidArgument` for other numbers than they have together.
    pub fn unflat(&self, flat: &Tensor<B>, shapes: &[[usize; 2]]) -> Result<Vec<Tensor<B>>> {
        let counts = shapes.iter().map(|shape| count(*shape));
        let counts = counts.collect::<Result<Vec<usize>>>()?;
        check("number of values", counts.iter().sum(), flat.count())?;
        let row = flat.clone().shaped([1, flat.count()]);
        let mut start = 0;
        let part = |(shape, count): (&[usize; 2], usize)| {
            if count == 0 {
                return self.blank(*shape);
            }
            let part = rows::columns(self, &row, start, count)?;
            start += count;
            Ok(part.shaped(*shape))
        };
        shapes.iter().zip(counts).map(part).collect()
    }
}

/// A matrix on its way to a device.
#[derive(Debug)]
pub struct Sent<B: Backend> {
    memory: B::Sent,
    shape: [usize; 2],
}

impl<B: Backend> CudaEngine<B> {
    pub(super) fn send_tensor(&self, shape: [usize; 2], values: &[f32]) -> Result<Sent<B>> {
        check("number of values", values.len(), count(shape)?)?;
        Ok(Sent { memory: self.backend.send(values.as_bytes())?, shape })
    }

    pub(super) fn receive_tensor(&self, sent: Sent<B>) -> Result<Tensor<B>> {
        let memory = self.backend.receive(sent.memory)?;
        Ok(Tensor::new(sent.shape, Arc::new(memory)))
    }
}

/// Numbers in f64 that a device has, or will have once it has done its work.
#[derive(Debug)]
pub struct Numbers<B: Backend> {
    memory: Arc<B::Memory>,
    count: usize,
}

impl<B: Backend> Numbers<B> {
    /// The memory has so many numbers.
    pub(super) fn new(memory: Arc<B::Memory>, count: usize) -> Numbers<B> {
        Numbers { memory, count }
    }

    pub(super) fn read(&self, engine: &CudaEngine<B>) -> Result<Vec<f64>> {
        engine.download_numbers(&self.memory, self.count)
    }
}
