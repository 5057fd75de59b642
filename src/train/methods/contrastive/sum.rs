//! Sums of gradients over the pictures of a step.

use crate::train::engine::Engine;
use crate::train::error::Result;
use crate::train::layers::LinearGradients;
use crate::train::layers::decoder::Layers;
use std::vec;
use std::vec::Vec;

/// A sum of lists of tensors of the same shapes.
pub(super) struct Sum<T> {
    parts: Option<T>,
}

impl<T> Sum<T> {
    pub(super) fn new() -> Sum<T> {
        Sum { parts: None }
    }

    pub(super) fn get(&self) -> Option<&T> {
        self.parts.as_ref()
    }
}

/// `factor * x`.
pub(super) fn scaled<E: Engine<f32>>(engine: &E, factor: f32, x: &E::Tensor) -> Result<E::Tensor> {
    let [rows, columns] = engine.shape(x);
    let mut result = engine.upload([rows, columns], &vec![0.0; rows * columns])?;
    engine.add_scaled(&mut result, factor, x)?;
    Ok(result)
}

impl<T: Clone> Sum<T> {
    /// Adds `factor * x`.
    pub(super) fn add<E>(&mut self, engine: &E, factor: f32, x: &T) -> Result<()>
    where
        E: Engine<f32, Tensor = T>,
    {
        match &mut self.parts {
            Some(sum) => engine.add_scaled(sum, factor, x)?,
            None => self.parts = Some(scaled(engine, factor, x)?),
        }
        Ok(())
    }
}

impl<T: Clone> Sum<Layers<T>> {
    /// Adds gradients of a decoder.
    pub(super) fn add_layers<E>(&mut self, engine: &E, layers: Layers<T>) -> Result<()>
    where
        E: Engine<f32, Tensor = T>,
    {
        let Some(sum) = &mut self.parts else {
            self.parts = Some(layers);
            return Ok(());
        };
        for (sum, (_, part)) in sum.each_mut().zip(layers.named()) {
            engine.add_scaled(sum, 1.0, part)?;
        }
        Ok(())
    }
}

impl<T: Clone> Sum<Vec<LinearGradients<T>>> {
    /// Adds gradients of linear layers.
    pub(super) fn add_linear<E>(
        &mut self,
        engine: &E,
        gradients: Vec<LinearGradients<T>>,
    ) -> Result<()>
    where
        E: Engine<f32, Tensor = T>,
    {
        let Some(sums) = &mut self.parts else {
            self.parts = Some(gradients);
            return Ok(());
        };
        for (sum, part) in sums.iter_mut().zip(&gradients) {
            engine.add_scaled(&mut sum.weight, 1.0, &part.weight)?;
            engine.add_scaled(&mut sum.bias, 1.0, &part.bias)?;
        }
        Ok(())
    }
}
