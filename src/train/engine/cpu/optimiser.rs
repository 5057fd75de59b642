//! Steps of Adam and of stochastic gradient descent.

use super::super::{Adam, AdamState, Real, Sgd};
use super::matrix::{Matrix, check_shape, invalid, require};
use crate::status::Result;

pub(super) fn adam_state<F: Real>(shape: [usize; 2]) -> Result<AdamState<Matrix<F>>> {
    Ok(AdamState { first: Matrix::zeros(shape)?, second: Matrix::zeros(shape)?, steps: 0 })
}

pub(super) fn adam<F: Real>(
    parameters: &mut Matrix<F>,
    gradient: &Matrix<F>,
    state: &mut AdamState<Matrix<F>>,
    adam: &Adam,
) -> Result<()> {
    adam.check()?;
    for shape in [gradient.shape(), state.first.shape(), state.second.shape()] {
        check_shape(shape, parameters.shape())?;
    }
    state.steps = state.steps.checked_add(1).ok_or_else(|| invalid("steps of Adam"))?;
    let AdamStep { step, root, keep: [b1, b2], add: [new1, new2], epsilon } =
        AdamStep::new(adam, state.steps);
    let moments = state.first.values_mut().iter_mut().zip(state.second.values_mut());
    let values = parameters.values_mut().iter_mut().zip(gradient.values());
    for ((value, g), (first, second)) in values.zip(moments) {
        *first = b1 * *first + new1 * *g;
        *second = b2 * *second + new2 * *g * *g;
        *value = *value - step * *first / (second.sqrt() * root + epsilon);
    }
    Ok(())
}

/// What one step of Adam does to every number.
pub(in crate::train) struct AdamStep<F> {
    /// The learning rate, with the first moment's bias taken out.
    pub(in crate::train) step: F,
    /// 1 by the root of what is missing of the second moment.
    pub(in crate::train) root: F,
    /// The moments' decays.
    pub(in crate::train) keep: [F; 2],
    /// 1 less them.
    pub(in crate::train) add: [F; 2],
    pub(in crate::train) epsilon: F,
}

impl<F: Real> AdamStep<F> {
    /// Of step number `steps`, counted from 1.
    pub(in crate::train) fn new(adam: &Adam, steps: u32) -> AdamStep<F> {
        let Adam { rate, beta1, beta2, epsilon } = *adam;
        let steps = f64::from(steps);
        AdamStep {
            step: F::of(rate / (1.0 - libm::pow(beta1, steps))),
            root: F::of(1.0 / libm::sqrt(1.0 - libm::pow(beta2, steps))),
            keep: [beta1, beta2].map(F::of),
            add: [1.0 - beta1, 1.0 - beta2].map(F::of),
            epsilon: F::of(epsilon),
        }
    }
}

impl Adam {
    pub(in crate::train) fn check(&self) -> Result<()> {
        let Adam { rate, beta1, beta2, epsilon } = *self;
        require(rate.is_finite(), "learning rate")?;
        require([beta1, beta2].iter().all(|beta| (0.0..1.0).contains(beta)), "decay of Adam")?;
        require(epsilon.is_finite() && epsilon > 0.0, "epsilon of Adam")
    }
}

impl Sgd {
    pub(in crate::train) fn check(&self) -> Result<()> {
        let settings = [self.rate, self.momentum, self.weight_decay];
        require(settings.iter().all(|value| value.is_finite()), "settings of gradient descent")
    }
}

pub(super) fn sgd<F: Real>(
    parameters: &mut Matrix<F>,
    gradient: &Matrix<F>,
    velocity: &mut Matrix<F>,
    sgd: &Sgd,
) -> Result<()> {
    let settings = [sgd.rate, sgd.momentum, sgd.weight_decay];
    sgd.check()?;
    check_shape(gradient.shape(), parameters.shape())?;
    check_shape(velocity.shape(), parameters.shape())?;
    let [rate, momentum, decay] = settings.map(F::of);
    let values = parameters.values_mut().iter_mut().zip(gradient.values());
    for ((value, g), speed) in values.zip(velocity.values_mut()) {
        *speed = momentum * *speed + (*g + decay * *value);
        *value = *value - rate * *speed;
    }
    Ok(())
}
