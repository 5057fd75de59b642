//! How a layer is stepped: the optimiser and its rate by step.

use crate::train::engine::{Adam, Engine, Sgd, poly_rate};
use crate::train::error::{Error, Result};
use crate::train::layers::{Linear, LinearGradients, Optimiser, Update, step_all};
use serde::{Deserialize, Serialize};
use std::format;

/// An optimiser.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum OptimiserKind {
    /// Adam with decays 0.9 and 0.999.
    Adam,
    /// Stochastic gradient descent with momentum and weight decay.
    Sgd,
}

impl OptimiserKind {
    /// A step's optimiser. Adam has no momentum or weight decay of this kind.
    pub fn at(self, rate: f64, momentum: f64, weight_decay: f64) -> Optimiser {
        match self {
            OptimiserKind::Adam => Optimiser::Adam(Adam { rate, ..Adam::default() }),
            OptimiserKind::Sgd => Optimiser::Sgd(Sgd { rate, momentum, weight_decay }),
        }
    }

    /// Adds to a gradient the weight decay that Adam's step, unlike that of SGD, does not have.
    pub(super) fn add_decay<E: Engine<f32>>(
        self,
        engine: &E,
        gradient: &mut E::Tensor,
        decay: f64,
        weight: &E::Tensor,
    ) -> Result<()> {
        match self {
            OptimiserKind::Adam => Ok(engine.add_scaled(gradient, decay as f32, weight)?),
            OptimiserKind::Sgd => Ok(()),
        }
    }
}

/// How a layer is stepped. The rate falls as `rate * (1 - step / steps)^power` (methods.md 1.6).
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Descent {
    /// The optimiser. Default Adam, which suits a layer over frozen features; SPNet has SGD.
    pub optimiser: OptimiserKind,
    /// Learning rate at the first step, above 0 (0 is allowed, and changes nothing). Default
    /// 0.001; SPNet 0.00025.
    pub rate: f64,
    /// Steps, 1 to 4,294,967,295. Default 2,000.
    pub steps: u64,
    /// Power of the fall, 0 (a constant rate) or more. Default 0.9.
    pub power: f64,
    /// The rate is computed anew every so many steps, 1 or more. Default 1; SPNet 10.
    pub every: u64,
    /// Momentum of SGD, 0 to below 1. Default 0.9.
    pub momentum: f64,
    /// Weight decay, 0 or more, added to the gradient; never of biases. Default 0.003; SPNet
    /// 0.0005.
    pub weight_decay: f64,
    /// The rate of weights is multiplied by this, above 0. Default 1; 10 for SPNet's last layer.
    pub weight_factor: f64,
    /// The rate of biases likewise. Default 1; 20 for SPNet's last layer.
    pub bias_factor: f64,
}

impl Default for Descent {
    fn default() -> Descent {
        Descent {
            optimiser: OptimiserKind::Adam,
            rate: 1e-3,
            steps: 2_000,
            power: 0.9,
            every: 1,
            momentum: 0.9,
            weight_decay: 3e-3,
            weight_factor: 1.0,
            bias_factor: 1.0,
        }
    }
}

impl Descent {
    /// Checks the ranges stated at the fields.
    ///
    /// # Errors
    /// [`Error::Config`] naming the field.
    pub fn check(&self) -> Result<()> {
        let not_negative = |value: f64| value.is_finite() && value >= 0.0;
        let positive = |value: f64| value.is_finite() && value > 0.0;
        let checks = [
            ("rate", not_negative(self.rate)),
            ("steps", self.steps > 0 && u32::try_from(self.steps).is_ok()),
            ("power", not_negative(self.power)),
            ("every", self.every > 0),
            ("momentum", (0.0..1.0).contains(&self.momentum)),
            ("weight_decay", not_negative(self.weight_decay)),
            ("weight_factor", positive(self.weight_factor)),
            ("bias_factor", positive(self.bias_factor)),
        ];
        match checks.iter().find(|(_, holds)| !holds) {
            Some((name, _)) => Err(Error::config(format!("descent.{name} is out of its range"))),
            None => Ok(()),
        }
    }

    /// The rate at a step.
    pub fn rate_at(&self, step: u64) -> f64 {
        let step = step - step % self.every.max(1);
        poly_rate(self.rate, step, self.steps, self.power)
    }

    /// Steps a layer.
    ///
    /// # Errors
    /// Those of the engine.
    pub(super) fn step<E: Engine<f32>>(
        &self,
        engine: &E,
        layer: &mut Linear<E::Tensor>,
        gradients: &LinearGradients<E::Tensor>,
        step: u64,
    ) -> Result<()> {
        let rate = self.rate_at(step);
        let kind = self.optimiser;
        let weights = kind.at(rate * self.weight_factor, self.momentum, self.weight_decay);
        let biases = kind.at(rate * self.bias_factor, self.momentum, 0.0);
        let mut gradient = gradients.weight.clone();
        kind.add_decay(engine, &mut gradient, self.weight_decay, layer.weight.value())?;
        let Linear { weight, bias, .. } = layer;
        let weight = Update { parameter: weight, gradient: &gradient, optimiser: weights };
        let bias = Update { parameter: bias, gradient: &gradients.bias, optimiser: biases };
        step_all(engine, [weight, bias])
    }
}
