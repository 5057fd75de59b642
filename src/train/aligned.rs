//! Features through a linear layer, such as SAZS's into the space of the text embeddings.

use super::engine::{CpuEngine, Engine, Matrix, Product};
use super::error::Result;
use super::pictures::{Features, Pictures};
use std::boxed::Box;

/// Other features through a linear layer.
pub struct Aligned<'a> {
    features: Box<dyn Features + 'a>,
    weight: &'a Matrix<f32>,
    bias: &'a Matrix<f32>,
    engine: CpuEngine,
}

impl<'a> Aligned<'a> {
    /// `features` through a layer of weights `[outputs, channels]` and biases `[1, outputs]`.
    pub fn new(
        features: Box<dyn Features + 'a>,
        [weight, bias]: &'a [Matrix<f32>; 2],
        engine: CpuEngine,
    ) -> Aligned<'a> {
        Aligned { features, weight, bias, engine }
    }
}

impl Features for Aligned<'_> {
    fn grid(&self) -> [usize; 2] {
        self.features.grid()
    }

    fn channels(&self) -> usize {
        self.weight.shape()[0]
    }

    fn pictures(&self) -> &dyn Pictures {
        self.features.pictures()
    }

    fn rows(&self, picture: usize, view: usize) -> Result<Matrix<f32>> {
        let rows = self.features.rows(picture, view)?;
        Ok(self.engine.product(Product::Nt, &rows, self.weight, Some(self.bias))?)
    }
}
