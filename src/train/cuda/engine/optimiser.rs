//! Steps of Adam and of stochastic gradient descent: one launch for all parameters.

use super::super::backend::Backend;
use super::super::sources::{OPTIMISER, Source};
use super::{CudaEngine, Tensor};
use crate::status::Result;
use crate::train::engine::common::{AdamStep, check_shape, invalid};
use crate::train::engine::{AdamPart, SgdPart};
use std::vec::Vec;
use zerocopy::{Immutable, IntoBytes};

/// Numbers that a block steps; `CHUNK` of `optimiser.cu`.
const CHUNK: usize = 1_024;

/// A parameter, as `optimiser.cu` reads it.
#[derive(IntoBytes, Immutable)]
#[repr(C)]
struct AdamEntry {
    /// Addresses of parameters, gradient, first and second moment.
    places: [u64; 4],
    count: u64,
    first_block: u32,
    numbers: [f32; 7],
}

/// A parameter, as `optimiser.cu` reads it.
#[derive(IntoBytes, Immutable)]
#[repr(C)]
struct SgdEntry {
    /// Addresses of parameters, gradient and velocity.
    places: [u64; 3],
    count: u64,
    first_block: u32,
    numbers: [f32; 3],
}

/// Hands out blocks: the first of a parameter of `count` numbers, of which there are some.
fn blocks_of(next: &mut usize, count: usize) -> Result<u32> {
    let first = u32::try_from(*next).map_err(|_| invalid("number of parameters"))?;
    *next += count.div_ceil(CHUNK);
    Ok(first)
}

/// Launches a kernel over the blocks of these parameters, which are among the matrices `held`.
fn launch<B: Backend, T: IntoBytes + Immutable>(
    engine: &CudaEngine<B>,
    source: &'static Source,
    kernel: &'static str,
    entries: &[T],
    held: &[&Tensor<B>],
    blocks: usize,
) -> Result<()> {
    let memory = engine.upload_numbers(entries)?;
    let call = engine.call(source, kernel);
    held.iter()
        .fold(call, |call, tensor| call.holding(tensor))
        .array::<T>(&memory, entries.len())
        .size(entries.len())
        .blocks([blocks, 1, 1], [256, 1, 1], 0)
}

impl<B: Backend> CudaEngine<B> {
    fn address(&self, tensor: &Tensor<B>) -> u64 {
        self.backend.address(tensor.memory())
    }
}

pub(super) fn adam<B: Backend>(
    engine: &CudaEngine<B>,
    parts: &mut [AdamPart<'_, Tensor<B>>],
) -> Result<()> {
    let mut all_steps = Vec::with_capacity(parts.len());
    for AdamPart { parameters, gradient, state, adam } in &*parts {
        adam.check()?;
        for shape in [gradient.shape(), state.first.shape(), state.second.shape()] {
            check_shape(shape, parameters.shape())?;
        }
        all_steps.push(state.steps.checked_add(1).ok_or_else(|| invalid("steps of Adam"))?);
    }
    let (mut entries, mut blocks) = (Vec::with_capacity(parts.len()), 0);
    for (AdamPart { parameters, gradient, state, adam }, steps) in parts.iter_mut().zip(&all_steps)
    {
        for tensor in [&mut **parameters, &mut state.first, &mut state.second] {
            tensor.part(engine)?;
        }
        let AdamStep { step, root, keep, add, epsilon } = AdamStep::<f32>::new(adam, *steps);
        if parameters.count() > 0 {
            let tensors = [&**parameters, *gradient, &state.first, &state.second];
            entries.push(AdamEntry {
                places: tensors.map(|tensor| engine.address(tensor)),
                count: parameters.count() as u64,
                first_block: blocks_of(&mut blocks, parameters.count())?,
                numbers: [step, root, keep[0], keep[1], add[0], add[1], epsilon],
            });
        }
    }
    let held: Vec<_> = parts
        .iter()
        .flat_map(|part| [&*part.parameters, part.gradient, &part.state.first, &part.state.second])
        .collect();
    launch(engine, &OPTIMISER, "adam", &entries, &held, blocks)?;
    for (part, steps) in parts.iter_mut().zip(all_steps) {
        part.state.steps = steps;
    }
    Ok(())
}

pub(super) fn sgd<B: Backend>(
    engine: &CudaEngine<B>,
    parts: &mut [SgdPart<'_, Tensor<B>>],
) -> Result<()> {
    for SgdPart { parameters, gradient, velocity, sgd } in &*parts {
        sgd.check()?;
        check_shape(gradient.shape(), parameters.shape())?;
        check_shape(velocity.shape(), parameters.shape())?;
    }
    let (mut entries, mut blocks) = (Vec::with_capacity(parts.len()), 0);
    for SgdPart { parameters, gradient, velocity, sgd } in &mut *parts {
        parameters.part(engine)?;
        velocity.part(engine)?;
        if parameters.count() > 0 {
            let tensors = [&**parameters, *gradient, &**velocity];
            entries.push(SgdEntry {
                places: tensors.map(|tensor| engine.address(tensor)),
                count: parameters.count() as u64,
                first_block: blocks_of(&mut blocks, parameters.count())?,
                numbers: [sgd.rate, sgd.momentum, sgd.weight_decay].map(|value| value as f32),
            });
        }
    }
    let held: Vec<_> =
        parts.iter().flat_map(|part| [&*part.parameters, part.gradient, &*part.velocity]).collect();
    launch(engine, &OPTIMISER, "sgd", &entries, &held, blocks)
}
