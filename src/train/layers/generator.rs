//! ZS3Net's generator of features from embeddings and noise, with and without a graph
//! (methods.md 2.4 and 2.7).

use super::linear::{Linear, LinearGradients};
use super::parameter::{Optimiser, step_all};
use crate::train::engine::{Activation, Adam, Draw, Engine, Matrix, Noise, Product, Real};
use crate::train::error::{Error, Result};
use crate::train::model::GeneratorParts;
use crate::train::stage::State;
use std::format;
use std::vec::Vec;

/// Factor of the hidden layer for numbers below 0 (methods.md 2.4).
pub const GENERATOR_SLOPE: f64 = 0.2;
/// Bias of every layer before the first step (methods.md 2.4).
const FIRST_BIAS: f32 = 0.01;

/// Shape and form of a generator.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct GeneratorForm {
    /// Numbers of an embedding.
    pub dim: usize,
    /// Numbers of noise.
    pub noise_size: usize,
    /// Distribution of the noise.
    pub noise: Noise,
    /// Numbers of the hidden layer; 0 for a single linear layer.
    pub hidden_size: usize,
    /// Numbers of a feature.
    pub channels: usize,
    /// Share of the hidden layer that dropout sets to 0.
    pub dropout: f64,
    /// Whether negative features become 0.
    pub relu: bool,
    /// Weight of the loss of a layer that finds embedding and noise again; 0 for no such layer.
    pub reconstruction: f64,
}

/// Weights `[outputs, inputs]` and biases `[1, outputs]` of a layer.
pub type LayerTensors<'a, T> = [&'a T; 2];

/// What features are generated with.
#[derive(Clone, Copy, Debug)]
pub struct Chain<'a, T> {
    /// The layer before the activation, if there is one.
    pub hidden: Option<LayerTensors<'a, T>>,
    /// The last layer.
    pub output: LayerTensors<'a, T>,
    /// `[rows, rows]`: what every layer's rows are mixed by, where rows are nodes of a graph.
    pub adjacency: Option<&'a T>,
    /// After the hidden layer.
    pub activation: Activation,
    /// Whether negative features become 0.
    pub relu: bool,
}

/// What the gradient of a [`Chain`] needs.
#[derive(Clone, Debug)]
pub struct Trace<T> {
    /// `[rows, inputs]`.
    pub input: T,
    before: Option<T>,
    after: Option<T>,
    raw: T,
    /// `[rows, channels]`: the features.
    pub output: T,
}

/// Gradients of a [`Generator`].
#[derive(Clone, Debug)]
pub struct GeneratorGradients<T> {
    /// Of the hidden layer.
    pub hidden: Option<LinearGradients<T>>,
    /// Of the last layer.
    pub output: LinearGradients<T>,
    /// Of the layer that reconstructs.
    pub reconstruction: Option<LinearGradients<T>>,
}

/// A layer of a graph, `A (X W^T) + b` (methods.md 2.7); without `A` a fully connected one.
///
/// # Errors
/// Those of the engine.
pub fn convolve<F: Real, E: Engine<F>>(
    engine: &E,
    x: &E::Tensor,
    layer: LayerTensors<'_, E::Tensor>,
    adjacency: Option<&E::Tensor>,
) -> Result<E::Tensor> {
    let [weight, bias] = layer;
    let Some(adjacency) = adjacency else {
        return Ok(engine.product(Product::Nt, x, weight, Some(bias))?);
    };
    let own = engine.product(Product::Nt, x, weight, None)?;
    Ok(engine.product(Product::Nn, adjacency, &own, Some(bias))?)
}

/// Gradients of [`convolve`] by the layer and by `x`, given that by its result.
///
/// # Errors
/// Those of the engine.
pub fn convolve_backward<F: Real, E: Engine<F>>(
    engine: &E,
    x: &E::Tensor,
    weight: &E::Tensor,
    adjacency: Option<&E::Tensor>,
    dy: &E::Tensor,
) -> Result<(LinearGradients<E::Tensor>, E::Tensor)> {
    let bias = engine.column_sums(dy)?;
    let mixed = match adjacency {
        Some(adjacency) => engine.product(Product::Tn, adjacency, dy, None)?,
        None => dy.clone(),
    };
    let weight_gradient = engine.product(Product::Tn, &mixed, x, None)?;
    let dx = engine.product(Product::Nn, &mixed, weight, None)?;
    Ok((LinearGradients { weight: weight_gradient, bias }, dx))
}

/// Negative numbers become 0.
fn rectifier() -> Activation {
    Activation { slope: 0.0, dropout: 0.0, draw: Draw { seed: 0, step: 0, stream: 0 } }
}

impl<T: Clone> Chain<'_, T> {
    /// Features of `[rows, inputs]`.
    ///
    /// # Errors
    /// Those of the engine.
    pub fn forward<F: Real, E: Engine<F, Tensor = T>>(
        &self,
        engine: &E,
        input: T,
    ) -> Result<Trace<T>> {
        let (mut before, mut after) = (None, None);
        if let Some(hidden) = self.hidden {
            let x = convolve(engine, &input, hidden, self.adjacency)?;
            after = Some(engine.activate(&x, &self.activation)?);
            before = Some(x);
        }
        let last = after.as_ref().unwrap_or(&input);
        let raw = convolve(engine, last, self.output, self.adjacency)?;
        let output = match self.relu {
            true => engine.activate(&raw, &rectifier())?,
            false => raw.clone(),
        };
        Ok(Trace { input, before, after, raw, output })
    }

    /// Gradients by the layers, given that by the features.
    ///
    /// # Errors
    /// Those of the engine.
    pub fn backward<F: Real, E: Engine<F, Tensor = T>>(
        &self,
        engine: &E,
        trace: &Trace<T>,
        dy: &T,
    ) -> Result<GeneratorGradients<T>> {
        let dy = match self.relu {
            true => engine.activate_backward(&trace.raw, dy, &rectifier())?,
            false => dy.clone(),
        };
        let last = trace.after.as_ref().unwrap_or(&trace.input);
        let (output, dh) = convolve_backward(engine, last, self.output[0], self.adjacency, &dy)?;
        let mut hidden = None;
        if let (Some([weight, _]), Some(before)) = (self.hidden, &trace.before) {
            let dx = engine.activate_backward(before, &dh, &self.activation)?;
            let (gradients, _) =
                convolve_backward(engine, &trace.input, weight, self.adjacency, &dx)?;
            hidden = Some(gradients);
        }
        Ok(GeneratorGradients { hidden, output, reconstruction: None })
    }
}

impl<T: Clone> GeneratorGradients<T> {
    /// Adds `factor` times other ones of the same generator.
    ///
    /// # Errors
    /// Those of the engine.
    pub fn add<E>(&mut self, engine: &E, factor: f32, other: &GeneratorGradients<T>) -> Result<()>
    where
        E: Engine<f32, Tensor = T>,
    {
        let add = |to: &mut LinearGradients<T>, from: &LinearGradients<T>| -> Result<()> {
            engine.add_scaled(&mut to.weight, factor, &from.weight)?;
            Ok(engine.add_scaled(&mut to.bias, factor, &from.bias)?)
        };
        add(&mut self.output, &other.output)?;
        if let (Some(to), Some(from)) = (&mut self.hidden, &other.hidden) {
            add(to, from)?;
        }
        if let (Some(to), Some(from)) = (&mut self.reconstruction, &other.reconstruction) {
            add(to, from)?;
        }
        Ok(())
    }
}

/// A generator that is learnt.
#[derive(Clone, Debug)]
pub struct Generator<T> {
    form: GeneratorForm,
    hidden: Option<Linear<T>>,
    output: Linear<T>,
    reconstruction: Option<Linear<T>>,
}

impl GeneratorForm {
    fn inputs(&self) -> usize {
        self.dim + self.noise_size
    }

    /// Shapes of the hidden layer, the last one and the one that reconstructs.
    fn shapes(&self) -> (Option<[usize; 2]>, [usize; 2], Option<[usize; 2]>) {
        let hidden = (self.hidden_size > 0).then_some([self.hidden_size, self.inputs()]);
        let last = if self.hidden_size > 0 { self.hidden_size } else { self.inputs() };
        let back = (self.reconstruction > 0.0).then_some([self.inputs(), self.channels]);
        (hidden, [self.channels, last], back)
    }
}

impl<T: Clone> Generator<T> {
    /// A generator with random weights (Glorot and Bengio's, uniform); uses streams
    /// `draw.stream..draw.stream + 3`.
    ///
    /// # Errors
    /// Those of the engine.
    pub fn new<E>(engine: &E, form: GeneratorForm, draw: Draw) -> Result<Generator<T>>
    where
        E: Engine<f32, Tensor = T>,
    {
        let (hidden, output, back) = form.shapes();
        let layer = |shape: [usize; 2], place: u32| {
            let draw = Draw { stream: draw.stream + place, ..draw };
            Linear::xavier(engine, shape, FIRST_BIAS, draw)
        };
        Ok(Generator {
            form,
            hidden: hidden.map(|shape| layer(shape, 0)).transpose()?,
            output: layer(output, 1)?,
            reconstruction: back.map(|shape| layer(shape, 2)).transpose()?,
        })
    }

    /// Shape and form.
    pub fn form(&self) -> &GeneratorForm {
        &self.form
    }

    /// `[rows, dim + noise_size]`: embeddings `[rows, dim]` with noise beside them.
    ///
    /// # Errors
    /// [`Error::Config`] for embeddings of another length.
    pub fn input<E>(&self, engine: &E, embeddings: &Matrix<f32>, draw: Draw) -> Result<T>
    where
        E: Engine<f32, Tensor = T>,
    {
        let [rows, dim] = embeddings.shape();
        let form = &self.form;
        if dim != form.dim {
            let reason = format!("embeddings of {dim} numbers for a generator of {}", form.dim);
            return Err(Error::config(reason));
        }
        if form.noise_size == 0 {
            return Ok(engine.upload([rows, dim], embeddings.values())?);
        }
        let noise = engine.noise([rows, form.noise_size], form.noise, draw)?;
        let embeddings = engine.upload([rows, dim], embeddings.values())?;
        Ok(engine.join_columns(&[&embeddings, &noise])?)
    }

    /// The layers; `draw` is dropout's, and `adjacency` a graph's.
    pub fn chain<'g>(&'g self, draw: Draw, adjacency: Option<&'g T>) -> Chain<'g, T> {
        let tensors = |layer: &'g Linear<T>| [layer.weight.value(), layer.bias.value()];
        let dropout = self.form.dropout;
        Chain {
            hidden: self.hidden.as_ref().map(tensors),
            output: tensors(&self.output),
            adjacency,
            activation: Activation { slope: GENERATOR_SLOPE, dropout, draw },
            relu: self.form.relu,
        }
    }

    /// Features of classes with these embeddings `[rows, dim]`; uses streams `draw.stream` (the
    /// noise) and `draw.stream + 1` (dropout).
    ///
    /// # Errors
    /// As [`Generator::input`].
    pub fn generate<E>(
        &self,
        engine: &E,
        embeddings: &Matrix<f32>,
        draw: Draw,
        adjacency: Option<&T>,
    ) -> Result<Trace<T>>
    where
        E: Engine<f32, Tensor = T>,
    {
        let input = self.input(engine, embeddings, draw)?;
        let dropout = Draw { stream: draw.stream + 1, ..draw };
        self.chain(dropout, adjacency).forward(engine, input)
    }

    /// Gradients for what [`Generator::generate`] gave with the same `draw` and graph, given that
    /// by the features. Adds the loss of the layer that reconstructs, if there is one.
    ///
    /// # Errors
    /// Those of the engine.
    pub fn gradients<E>(
        &self,
        engine: &E,
        trace: &Trace<T>,
        dy: &T,
        draw: Draw,
        adjacency: Option<&T>,
    ) -> Result<GeneratorGradients<T>>
    where
        E: Engine<f32, Tensor = T>,
    {
        let chain = self.chain(Draw { stream: draw.stream + 1, ..draw }, adjacency);
        let Some(layer) = &self.reconstruction else {
            return chain.backward(engine, trace, dy);
        };
        let found = layer.forward(engine, &trace.output)?;
        let loss = engine.squared_error(&trace.input, &found)?;
        let mut scaled = engine.upload(engine.shape(&found), &zeros(engine.shape(&found)))?;
        engine.add_scaled(&mut scaled, self.form.reconstruction as f32, &loss.gradient)?;
        let mut dy = dy.clone();
        engine.add_scaled(&mut dy, 1.0, &layer.backward(engine, &scaled)?)?;
        let mut gradients = chain.backward(engine, trace, &dy)?;
        gradients.reconstruction = Some(layer.gradients(engine, &trace.output, &scaled)?);
        Ok(gradients)
    }

    /// Steps all layers.
    ///
    /// # Errors
    /// Those of the engine.
    pub fn step<E>(
        &mut self,
        engine: &E,
        gradients: &GeneratorGradients<T>,
        adam: Adam,
    ) -> Result<()>
    where
        E: Engine<f32, Tensor = T>,
    {
        let optimiser = Optimiser::Adam(adam);
        let optional = [
            (&mut self.hidden, &gradients.hidden),
            (&mut self.reconstruction, &gradients.reconstruction),
        ];
        let layers = optional
            .into_iter()
            .filter_map(|(layer, gradients)| Some((layer.as_mut()?, gradients.as_ref()?)))
            .chain([(&mut self.output, &gradients.output)]);
        step_all(engine, layers.flat_map(|(layer, by)| layer.updates(by, &optimiser)))
    }

    /// Writes all layers into a state, under names that start with `name`.
    ///
    /// # Errors
    /// Those of the engine.
    pub fn save<E>(&self, engine: &E, name: &str, state: &mut State) -> Result<()>
    where
        E: Engine<f32, Tensor = T>,
    {
        if let Some(layer) = &self.hidden {
            layer.save(engine, &format!("{name}.hidden"), state)?;
        }
        if let Some(layer) = &self.reconstruction {
            layer.save(engine, &format!("{name}.reconstruction"), state)?;
        }
        self.output.save(engine, &format!("{name}.output"), state)
    }

    /// Reads what [`Generator::save`] wrote for a generator of this form.
    ///
    /// # Errors
    /// [`Error::Config`] if there is no such generator, or one of another shape.
    pub fn load<E>(
        engine: &E,
        name: &str,
        form: GeneratorForm,
        state: &State,
    ) -> Result<Generator<T>>
    where
        E: Engine<f32, Tensor = T>,
    {
        let (hidden, output, back) = form.shapes();
        let layer = |part: &str, shape: [usize; 2]| {
            Linear::load(engine, &format!("{name}.{part}"), shape, state)
        };
        Ok(Generator {
            form,
            hidden: hidden.map(|shape| layer("hidden", shape)).transpose()?,
            output: layer("output", output)?,
            reconstruction: back.map(|shape| layer("reconstruction", shape)).transpose()?,
        })
    }

    /// The layers as matrices, for the model; `None` without a hidden layer, which the bundle's
    /// form of a generator needs.
    ///
    /// # Errors
    /// Those of the engine.
    pub fn parts<E>(&self, engine: &E) -> Result<Option<GeneratorParts>>
    where
        E: Engine<f32, Tensor = T>,
    {
        let Some(hidden) = &self.hidden else { return Ok(None) };
        let matrix = |tensor: &T| -> Result<Matrix<f32>> {
            Ok(Matrix::new(engine.shape(tensor), engine.download(tensor)?)?)
        };
        Ok(Some(GeneratorParts {
            w1: matrix(hidden.weight.value())?,
            b1: matrix(hidden.bias.value())?,
            w2: matrix(self.output.weight.value())?,
            b2: matrix(self.output.bias.value())?,
            slope: GENERATOR_SLOPE as f32,
            normal_noise: self.form.noise == Noise::Normal,
            relu: self.form.relu,
        }))
    }
}

fn zeros(shape: [usize; 2]) -> Vec<f32> {
    std::vec![0.0; shape[0] * shape[1]]
}
