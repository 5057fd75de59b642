//! Steps of Adam and of stochastic gradient descent.

use super::super::backend::Backend;
use super::super::sources::OPTIMISER;
use super::{CudaEngine, Tensor};
use crate::status::Result;
use crate::train::engine::common::{AdamStep, check_shape, invalid};
use crate::train::engine::{Adam, AdamState, Sgd};

pub(super) fn adam<B: Backend>(
    engine: &CudaEngine<B>,
    parameters: &mut Tensor<B>,
    gradient: &Tensor<B>,
    state: &mut AdamState<Tensor<B>>,
    adam: &Adam,
) -> Result<()> {
    adam.check()?;
    for shape in [gradient.shape(), state.first.shape(), state.second.shape()] {
        check_shape(shape, parameters.shape())?;
    }
    let steps = state.steps.checked_add(1).ok_or_else(|| invalid("steps of Adam"))?;
    for tensor in [&mut *parameters, &mut state.first, &mut state.second] {
        tensor.part(engine)?;
    }
    let AdamStep { step, root, keep, add, epsilon } = AdamStep::<f32>::new(adam, steps);
    let count = parameters.count();
    engine
        .call(&OPTIMISER, "adam")
        .tensor(parameters)
        .tensor(gradient)
        .tensor(&state.first)
        .tensor(&state.second)
        .float(step)
        .float(root)
        .float(keep[0])
        .float(keep[1])
        .float(add[0])
        .float(add[1])
        .float(epsilon)
        .long(count)
        .each(count)?;
    state.steps = steps;
    Ok(())
}

pub(super) fn sgd<B: Backend>(
    engine: &CudaEngine<B>,
    parameters: &mut Tensor<B>,
    gradient: &Tensor<B>,
    velocity: &mut Tensor<B>,
    sgd: &Sgd,
) -> Result<()> {
    sgd.check()?;
    check_shape(gradient.shape(), parameters.shape())?;
    check_shape(velocity.shape(), parameters.shape())?;
    parameters.part(engine)?;
    velocity.part(engine)?;
    let count = parameters.count();
    engine
        .call(&OPTIMISER, "sgd")
        .tensor(parameters)
        .tensor(gradient)
        .tensor(velocity)
        .float(sgd.rate as f32)
        .float(sgd.momentum as f32)
        .float(sgd.weight_decay as f32)
        .long(count)
        .each(count)
}
