//! A fully connected layer, which is a 1x1 convolution where rows are pixels.

use super::parameter::{Optimiser, Parameter, Update, step_all};
use crate::train::engine::{Draw, Engine, Matrix, Noise, Product};
use crate::train::error::Result;
use crate::train::stage::State;
use std::format;
use std::vec;
use std::vec::Vec;

/// `y = x W^T + b`.
#[derive(Clone, Debug)]
pub struct Linear<T> {
    /// `[outputs, inputs]`.
    pub weight: Parameter<T>,
    /// `[1, outputs]`.
    pub bias: Parameter<T>,
    shape: [usize; 2],
}

/// Gradients of a [`Linear`].
#[derive(Clone, Debug)]
pub struct LinearGradients<T> {
    /// As the weight.
    pub weight: T,
    /// As the bias.
    pub bias: T,
}

impl<T: Clone> Linear<T> {
    /// A layer of `[outputs, inputs]` with weights uniform in `[low, high)`, all biases equal.
    ///
    /// # Errors
    /// Those of the engine.
    pub fn uniform<E>(
        engine: &E,
        shape: [usize; 2],
        range: [f32; 2],
        bias: f32,
        draw: Draw,
    ) -> Result<Linear<T>>
    where
        E: Engine<f32, Tensor = T>,
    {
        let [low, high] = range;
        let noise = engine.download(&engine.noise(shape, Noise::Uniform, draw)?)?;
        let weights: Vec<f32> = noise.iter().map(|value| low + value * (high - low)).collect();
        let weight = Parameter::new(engine.upload(shape, &weights)?);
        let bias = Parameter::new(engine.upload([1, shape[0]], &vec![bias; shape[0]])?);
        Ok(Linear { weight, bias, shape })
    }

    /// A layer of `[outputs, inputs]` with the weights of Glorot and Bengio (2010), uniform
    /// (methods.md 2.4).
    ///
    /// # Errors
    /// Those of the engine.
    pub fn xavier<E>(engine: &E, shape: [usize; 2], bias: f32, draw: Draw) -> Result<Linear<T>>
    where
        E: Engine<f32, Tensor = T>,
    {
        let bound = libm::sqrtf(6.0 / (shape[0] + shape[1]) as f32);
        Linear::uniform(engine, shape, [-bound, bound], bias, draw)
    }

    /// A layer of given weights `[outputs, inputs]` and biases `[1, outputs]`.
    ///
    /// # Errors
    /// Those of the engine.
    pub fn of<E>(engine: &E, weight: &Matrix<f32>, bias: &Matrix<f32>) -> Result<Linear<T>>
    where
        E: Engine<f32, Tensor = T>,
    {
        let shape = weight.shape();
        let upload = |matrix: &Matrix<f32>| engine.upload(matrix.shape(), matrix.values());
        let (weight, bias) = (Parameter::new(upload(weight)?), Parameter::new(upload(bias)?));
        Ok(Linear { weight, bias, shape })
    }

    /// `[outputs, inputs]`.
    pub fn shape(&self) -> [usize; 2] {
        self.shape
    }

    /// `[rows, outputs]` of `[rows, inputs]`.
    ///
    /// # Errors
    /// Those of the engine.
    pub fn forward<E>(&self, engine: &E, x: &T) -> Result<T>
    where
        E: Engine<f32, Tensor = T>,
    {
        Ok(engine.product(Product::Nt, x, self.weight.value(), Some(self.bias.value()))?)
    }

    /// Gradients by the parameters, given that by the result for `x`.
    ///
    /// # Errors
    /// Those of the engine.
    pub fn gradients<E>(&self, engine: &E, x: &T, dy: &T) -> Result<LinearGradients<T>>
    where
        E: Engine<f32, Tensor = T>,
    {
        let weight = engine.product(Product::Tn, dy, x, None)?;
        Ok(LinearGradients { weight, bias: engine.column_sums(dy)? })
    }

    /// The gradient by `x`, given that by the result.
    ///
    /// # Errors
    /// Those of the engine.
    pub fn backward<E>(&self, engine: &E, dy: &T) -> Result<T>
    where
        E: Engine<f32, Tensor = T>,
    {
        Ok(engine.product(Product::Nn, dy, self.weight.value(), None)?)
    }

    /// Steps both parameters.
    ///
    /// # Errors
    /// Those of the engine.
    pub fn step<E>(
        &mut self,
        engine: &E,
        gradients: &LinearGradients<T>,
        optimiser: &Optimiser,
    ) -> Result<()>
    where
        E: Engine<f32, Tensor = T>,
    {
        step_all(engine, self.updates(gradients, optimiser))
    }

    /// Both parameters with what they are stepped by.
    pub fn updates<'a>(
        &'a mut self,
        gradients: &'a LinearGradients<T>,
        optimiser: &Optimiser,
    ) -> [Update<'a, T>; 2] {
        let (LinearGradients { weight, bias }, optimiser) = (gradients, *optimiser);
        [
            Update { parameter: &mut self.weight, gradient: weight, optimiser },
            Update { parameter: &mut self.bias, gradient: bias, optimiser },
        ]
    }

    /// Writes the layer into a state, under names that start with `name`.
    ///
    /// # Errors
    /// Those of the engine.
    pub fn save<E>(&self, engine: &E, name: &str, state: &mut State) -> Result<()>
    where
        E: Engine<f32, Tensor = T>,
    {
        self.weight.save(engine, &format!("{name}.weight"), state)?;
        self.bias.save(engine, &format!("{name}.bias"), state)
    }

    /// Reads what [`Linear::save`] wrote for a layer of `[outputs, inputs]`.
    ///
    /// # Errors
    /// [`crate::train::Error::Config`] if there is no such layer, or one of another shape.
    pub fn load<E>(engine: &E, name: &str, shape: [usize; 2], state: &State) -> Result<Linear<T>>
    where
        E: Engine<f32, Tensor = T>,
    {
        let weight = Parameter::load(engine, &format!("{name}.weight"), shape, state)?;
        let bias = Parameter::load(engine, &format!("{name}.bias"), [1, shape[0]], state)?;
        Ok(Linear { weight, bias, shape })
    }
}
