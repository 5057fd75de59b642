//! Writes a float network with quantised layers, in the QDQ form: what `zsseg quantize` needs of
//! an ONNX file.
//!
//! 1. `prepare`: refuse what is quantised already, fold what follows a convolution into it.
//! 2. `scheme`: which tensors are quantised; `share`: which of them share a grid.
//! 3. `write`: put the quantisations in, with numbers that the caller found.

mod fold;
mod layer;
mod norms;
mod operators;
mod prepare;
mod rescale;
mod scheme;
mod share;
mod write;

use super::guard::{self, GraphModel};
use super::load::{framework, load_refusal};
use crate::status::{Result, Status};
use scheme::Scheme;
use std::format;
use std::string::String;
use std::vec::Vec;

pub use crate::math::network::quantization::Quantization;
pub use rescale::Norm;

/// A convolution or a matrix product with constant weights.
#[derive(Clone, Debug, PartialEq)]
pub struct Layer {
    /// Name of the node.
    pub name: String,
    /// Its operator.
    pub operator: String,
    /// The tensor that it reads.
    pub input: String,
    /// Its own result, before any activation.
    pub sum: String,
    /// The result after the activation that is computed with it; `sum` if there is none.
    pub result: String,
    /// All weights of the first output channel, then those of the second, and so on. Within a
    /// channel those of the first input channel (of the group) come first.
    pub weights: Vec<f32>,
    /// One per output channel.
    pub bias: Vec<f32>,
    /// What that activation limits the result to; infinite where it does not.
    pub limits: [f32; 2],
    /// Input channels that a filter reads.
    pub group_inputs: usize,
    /// Groups of channels.
    pub groups: usize,
    /// Whether the channels of what it reads and gives are the last axis, not the second.
    pub channels_last: bool,
    /// Node in the graph.
    node: usize,
    /// How the weights lie in the file.
    shape: Vec<i64>,
    /// Axis of the output channels there: 0, or 1 of a matrix.
    axis: usize,
}

impl Layer {
    /// Output channels.
    pub fn channels(&self) -> usize {
        self.bias.len()
    }

    /// Weights of one output channel.
    pub fn per_channel(&self) -> usize {
        self.weights.len() / self.channels().max(1)
    }
}

/// A tensor that is quantised.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QuantizedTensor {
    /// Its name.
    pub name: String,
    /// Number of its grid, which it may share with others.
    pub grid: usize,
}

/// Something that is computed in integers, for reports.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unit {
    /// Name of the node.
    pub name: String,
    /// Its operator.
    pub operator: String,
    /// Its result in [`QuantizableNetwork::tensors`]; `None` if the result stays in floats.
    pub tensor: Option<usize>,
    /// Its weights in [`QuantizableNetwork::layers`].
    pub layer: Option<usize>,
}

/// A node that stays in floats.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FloatNode {
    /// Its name.
    pub name: String,
    /// Its operator.
    pub operator: String,
    /// Why.
    pub reason: &'static str,
}

/// Weights in whole steps.
#[derive(Clone, Debug, PartialEq)]
pub struct QuantizedWeights {
    /// In the order of [`Layer::weights`]; -127 to 127.
    pub steps: Vec<i8>,
    /// What a step is worth, per output channel.
    pub scales: Vec<f32>,
}

/// The numbers of a quantised network. What is `None` stays in floats.
#[derive(Clone, Debug, PartialEq)]
pub struct Numbers {
    /// Per tensor of [`QuantizableNetwork::tensors`].
    pub tensors: Vec<Option<Quantization>>,
    /// Per layer of [`QuantizableNetwork::layers`].
    pub weights: Vec<Option<QuantizedWeights>>,
    /// Biases of the layers.
    pub biases: Vec<Vec<f32>>,
}

/// A float network whose tensors and layers can be quantised.
pub struct QuantizableNetwork {
    model: GraphModel,
    scheme: Scheme,
    input: String,
    output: String,
}

/// What of a network is to be quantised.
#[derive(Clone, Copy, Debug, Default)]
pub struct Wanted<'a> {
    /// What leads to this tensor; `None`: to the network's first output.
    pub output: Option<&'a str>,
    /// But not the nodes of these names.
    pub keep_float: &'a [String],
    /// Products of two activations as well.
    pub attention: bool,
}

impl QuantizableNetwork {
    /// Reads a float network.
    ///
    /// # Errors
    /// [`Status::Unsupported`] for a network that is quantised already or whose operators are too
    /// old; [`Status::InvalidArgument`] for a name in `keep_float` that no node has and for
    /// weights that are not finite; [`Status::ModelLoad`] for a malformed network.
    pub fn parse(onnx: &[u8], wanted: &Wanted<'_>) -> Result<QuantizableNetwork> {
        let mut model = guard::parse(&framework(), onnx)?;
        prepare::prepare(&mut model)?;
        let graph = &model.graph;
        let first = graph.output.first().map(|output| output.name.clone());
        let output = wanted.output.map(String::from).or(first);
        let output = output.ok_or_else(|| load_refusal("the network has no output"))?;
        let is_constant = |name: &str| graph.initializer.iter().any(|one| one.name == name);
        let mut fed = graph.input.iter().filter(|input| !is_constant(&input.name));
        let (Some(input), None) = (fed.next(), fed.next()) else {
            return Err(load_refusal("the network has not one input"));
        };
        let input = input.name.clone();
        let scheme = Scheme::of(graph, &input, &output, wanted)?;
        if scheme.layers.is_empty() {
            let text = format!("nothing before \"{output}\" has weights to quantise");
            return Err(Status::Unsupported.about("network").text(text));
        }
        Ok(QuantizableNetwork { model, scheme, input, output })
    }

    /// Name of the network's input.
    pub fn input(&self) -> &str {
        &self.input
    }

    /// Sides of the input as the network declares them; `None` for one that is open.
    pub fn input_sides(&self) -> Vec<Option<usize>> {
        prepare::input_sides(&self.model.graph, &self.input)
    }

    /// Name of the tensor up to which the network is quantised.
    pub fn output(&self) -> &str {
        &self.output
    }

    /// What is quantised, in the order of the graph.
    pub fn tensors(&self) -> &[QuantizedTensor] {
        &self.scheme.tensors
    }

    /// Number of different grids.
    pub fn grids(&self) -> usize {
        self.scheme.grids
    }

    /// Layers with weights.
    pub fn layers(&self) -> &[Layer] {
        &self.scheme.layers
    }

    /// Weights and biases of the layers, to be changed. Their number must stay.
    pub fn layers_mut(&mut self) -> &mut [Layer] {
        &mut self.scheme.layers
    }

    /// What is computed in integers.
    pub fn units(&self) -> &[Unit] {
        &self.scheme.units
    }

    /// What is not.
    pub fn float_nodes(&self) -> &[FloatNode] {
        &self.scheme.float_nodes
    }

    /// Normalisations over channels whose results only linear layers read.
    pub fn norms(&self) -> Vec<Norm> {
        rescale::norms(&self.model.graph, &self.scheme)
    }

    /// Multiplies the channels of the result of a normalisation, a place in [`Self::norms`], by
    /// `factors` and divides the weights that read them by those. With powers of two the network
    /// keeps its numbers.
    ///
    /// # Errors
    /// [`Status::InvalidArgument`] for factors that are not positive, or not one for each channel.
    pub fn scale_norm(&mut self, at: usize, factors: &[f32]) -> Result<()> {
        rescale::scale(self, at, factors)
    }

    /// Whether it normalises over channels, as transformers do.
    pub fn has_norms(&self) -> bool {
        self.scheme.has_norms
    }

    /// How often each tensor is read, as an output of the network too.
    pub fn readers(&self, tensor: &str) -> usize {
        self.scheme.readers.get(tensor).copied().unwrap_or(0)
    }

    /// Numbers with which nothing is quantised.
    pub fn float_numbers(&self) -> Numbers {
        Numbers {
            tensors: self.tensors().iter().map(|_| None).collect(),
            weights: self.layers().iter().map(|_| None).collect(),
            biases: self.layers().iter().map(|layer| layer.bias.clone()).collect(),
        }
    }

    /// The network with `numbers`, as an ONNX file. Every tensor that is quantised keeps its name
    /// for what comes out of its dequantisation (the network's input excepted). Equal numbers
    /// give equal bytes.
    ///
    /// # Errors
    /// [`Status::InvalidArgument`] for numbers of another network.
    pub fn write(&self, numbers: &Numbers) -> Result<Vec<u8>> {
        write::write(self, numbers)
    }

    /// The float network with a further tensor for each layer: what the layer computes of its
    /// input with the weights `of_layer` alone. The names of these tensors come too.
    ///
    /// # Errors
    /// [`Status::InvalidArgument`] for weights of another network.
    pub fn write_probes(&self, of_layer: &[Vec<f32>]) -> Result<(Vec<u8>, Vec<String>)> {
        write::write_probes(self, of_layer)
    }
}
