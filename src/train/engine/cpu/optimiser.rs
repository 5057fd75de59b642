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
    let Adam { rate, beta1, beta2, epsilon } = *adam;
    require(rate.is_finite(), "learning rate")?;
    require([beta1, beta2].iter().all(|beta| (0.0..1.0).contains(beta)), "decay of Adam")?;
    require(epsilon.is_finite() && epsilon > 0.0, "epsilon of Adam")?;
    for shape in [gradient.shape(), state.first.shape(), state.second.shape()] {
        check_shape(shape, parameters.shape())?;
    }
    state.steps = state.steps.checked_add(1).ok_or_else(|| invalid("steps of Adam"))?;
    let steps = f64::from(state.steps);
    let step = F::of(rate / (1.0 - libm::pow(beta1, steps)));
    let root = F::of(1.0 / libm::sqrt(1.0 - libm::pow(beta2, steps)));
    let (b1, b2, epsilon) = (F::of(beta1), F::of(beta2), F::of(epsilon));
    let (new1, new2) = (F::of(1.0 - beta1), F::of(1.0 - beta2));
    let moments = state.first.values_mut().iter_mut().zip(state.second.values_mut());
    let values = parameters.values_mut().iter_mut().zip(gradient.values());
    for ((value, g), (first, second)) in values.zip(moments) {
        *first = b1 * *first + new1 * *g;
        *second = b2 * *second + new2 * *g * *g;
        *value = *value - step * *first / (second.sqrt() * root + epsilon);
    }
    Ok(())
}

pub(super) fn sgd<F: Real>(
    parameters: &mut Matrix<F>,
    gradient: &Matrix<F>,
    velocity: &mut Matrix<F>,
    sgd: &Sgd,
) -> Result<()> {
    let settings = [sgd.rate, sgd.momentum, sgd.weight_decay];
    require(settings.iter().all(|value| value.is_finite()), "settings of gradient descent")?;
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
