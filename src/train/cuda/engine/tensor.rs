//! Matrices on a device.

use super::super::backend::Backend;
use super::CudaEngine;
use crate::status::Result;
use crate::train::engine::common::{check, count};
use std::sync::Arc;
use std::vec;
use std::vec::Vec;
use zerocopy::{FromBytes, Immutable, IntoBytes};

/// A matrix on a device, row after row. Clones share their memory until one of them is changed.
#[derive(Debug)]
pub struct Tensor<B: Backend> {
    memory: Arc<B::Memory>,
    shape: [usize; 2],
}

impl<B: Backend> Clone for Tensor<B> {
    fn clone(&self) -> Tensor<B> {
        Tensor { memory: self.memory.clone(), shape: self.shape }
    }
}

impl<B: Backend> Tensor<B> {
    /// The memory is as long as the shape says.
    pub(super) fn new(shape: [usize; 2], memory: B::Memory) -> Tensor<B> {
        Tensor { memory: Arc::new(memory), shape }
    }

    pub(super) fn memory(&self) -> &B::Memory {
        &self.memory
    }

    pub(super) fn shape(&self) -> [usize; 2] {
        self.shape
    }

    pub(super) fn count(&self) -> usize {
        self.shape[0] * self.shape[1]
    }

    /// The same numbers in another shape of as many.
    pub(super) fn shaped(self, shape: [usize; 2]) -> Tensor<B> {
        Tensor { memory: self.memory, shape }
    }

    /// Memory of its own, before it is changed.
    pub(super) fn part(&mut self, engine: &CudaEngine<B>) -> Result<()> {
        if Arc::get_mut(&mut self.memory).is_none() {
            self.memory = Arc::new(engine.backend.copy(&self.memory)?);
        }
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
    ) -> Result<B::Memory> {
        self.backend.upload(values.as_bytes())
    }

    pub(super) fn download_numbers<T: IntoBytes + FromBytes + Clone>(
        &self,
        memory: &B::Memory,
        count: usize,
    ) -> Result<Vec<T>> {
        let mut values = vec![T::new_zeroed(); count];
        self.backend.download(memory, values.as_mut_bytes())?;
        Ok(values)
    }

    /// The sum of so many numbers in f64, in their order.
    pub(super) fn sum(&self, memory: &B::Memory, count: usize) -> Result<f64> {
        Ok(self.download_numbers::<f64>(memory, count)?.iter().sum())
    }

    /// Memory for so many numbers, whose values may be anything.
    pub(super) fn room<T>(&self, count: usize) -> Result<B::Memory> {
        self.backend.allocate(count * size_of::<T>())
    }

    /// Zeros.
    pub(super) fn zeros(&self, shape: [usize; 2]) -> Result<Tensor<B>> {
        let mut memory = self.room::<f32>(count(shape)?)?;
        self.backend.clear(&mut memory)?;
        Ok(Tensor::new(shape, memory))
    }

    /// A matrix whose values may be anything.
    pub(super) fn blank(&self, shape: [usize; 2]) -> Result<Tensor<B>> {
        Ok(Tensor::new(shape, self.room::<f32>(count(shape)?)?))
    }
}
