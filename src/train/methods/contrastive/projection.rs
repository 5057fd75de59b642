//! The projection head, which only pre-training has.

use crate::train::engine::{Activation, Draw, Engine};
use crate::train::error::Result;
use crate::train::layers::{Linear, LinearGradients, Optimiser, step_all};
use crate::train::stage::State;
use std::format;
use std::vec::Vec;

/// ReLU.
const RELU: Activation =
    Activation { slope: 0.0, dropout: 0.0, draw: Draw { seed: 0, step: 0, stream: 0 } };

/// 1x1 convolutions, with a ReLU after all but the last (methods.md 5.1).
pub(super) struct Projection<T> {
    layers: Vec<Linear<T>>,
}

/// What a forward pass leaves for the backward pass.
pub(super) struct ProjectionPass<T> {
    /// What each layer was given.
    inputs: Vec<T>,
    /// What each ReLU was given.
    linear: Vec<T>,
}

impl<T: Clone> Projection<T> {
    /// A head of `[layers, channels]` over features of `inputs` channels.
    pub(super) fn new<E>(
        engine: &E,
        inputs: usize,
        [count, channels]: [usize; 2],
        draw: Draw,
    ) -> Result<Projection<T>>
    where
        E: Engine<f32, Tensor = T>,
    {
        let mut layers = Vec::with_capacity(count);
        for index in 0..count {
            let inputs = if index == 0 { inputs } else { channels };
            let draw = Draw { stream: draw.stream + index as u32, ..draw };
            layers.push(Linear::xavier(engine, [channels, inputs], 0.0, draw)?);
        }
        Ok(Projection { layers })
    }

    pub(super) fn forward<E>(&self, engine: &E, x: &T) -> Result<(T, ProjectionPass<T>)>
    where
        E: Engine<f32, Tensor = T>,
    {
        let mut pass = ProjectionPass { inputs: Vec::new(), linear: Vec::new() };
        let mut x = x.clone();
        for (index, layer) in self.layers.iter().enumerate() {
            let y = layer.forward(engine, &x)?;
            pass.inputs.push(x);
            if index + 1 == self.layers.len() {
                return Ok((y, pass));
            }
            x = engine.activate(&y, &RELU)?;
            pass.linear.push(y);
        }
        Ok((x, pass))
    }

    /// Gradients by the parameters, and by what the head was given.
    pub(super) fn backward<E>(
        &self,
        engine: &E,
        pass: &ProjectionPass<T>,
        dy: T,
    ) -> Result<(Vec<LinearGradients<T>>, T)>
    where
        E: Engine<f32, Tensor = T>,
    {
        let mut dy = dy;
        let mut gradients = Vec::with_capacity(self.layers.len());
        for (index, (layer, x)) in self.layers.iter().zip(&pass.inputs).enumerate().rev() {
            if let Some(linear) = pass.linear.get(index) {
                dy = engine.activate_backward(linear, &dy, &RELU)?;
            }
            gradients.push(layer.gradients(engine, x, &dy)?);
            dy = layer.backward(engine, &dy)?;
        }
        gradients.reverse();
        Ok((gradients, dy))
    }

    pub(super) fn step<E>(
        &mut self,
        engine: &E,
        gradients: &[LinearGradients<T>],
        optimiser: &Optimiser,
    ) -> Result<()>
    where
        E: Engine<f32, Tensor = T>,
    {
        let layers = self.layers.iter_mut().zip(gradients);
        step_all(engine, layers.flat_map(|(layer, by)| layer.updates(by, optimiser)))
    }

    pub(super) fn save<E>(&self, engine: &E, state: &mut State) -> Result<()>
    where
        E: Engine<f32, Tensor = T>,
    {
        for (index, layer) in self.layers.iter().enumerate() {
            layer.save(engine, &format!("projection{index}"), state)?;
        }
        Ok(())
    }

    /// Reads what [`Projection::save`] wrote for a head like this one.
    pub(super) fn loaded<E>(&self, engine: &E, state: &State) -> Result<Projection<T>>
    where
        E: Engine<f32, Tensor = T>,
    {
        let load = |(index, layer): (usize, &Linear<T>)| {
            Linear::load(engine, &format!("projection{index}"), layer.shape(), state)
        };
        Ok(Projection { layers: self.layers.iter().enumerate().map(load).collect::<Result<_>>()? })
    }
}
