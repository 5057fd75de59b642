//! Scales the channels of a normalisation's result, and the weights that read them.
//!
//! A normalisation ends with a factor and a summand per channel, and where only linear layers read
//! its result, a channel may be multiplied by `s` there and the weights on it divided by `s`.

use super::QuantizableNetwork;
use super::fold::{free_name, keeps_channels};
use super::norms::Readers;
use super::operators::{floats_of, set_floats};
use super::scheme::Scheme;
use crate::status::{Result, Status};
use std::collections::HashSet;
use std::format;
use std::string::String;
use std::vec;
use std::vec::Vec;
use tract_onnx::pb::{GraphProto, NodeProto, TensorProto};

/// A normalisation whose result only linear layers read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Norm {
    /// Its result; channels are the last axis.
    pub tensor: String,
    /// The layers that read it, in [`QuantizableNetwork::layers`].
    pub layers: Vec<usize>,
    /// Number of channels.
    pub channels: usize,
    /// Constants per channel that the result is made with: node and input.
    constants: Vec<[usize; 2]>,
}

/// Finds them.
pub(super) fn norms(graph: &GraphProto, scheme: &Scheme) -> Vec<Norm> {
    let finder = Finder { graph, scheme, readers: Readers::of(graph) };
    (0..graph.node.len()).filter_map(|at| finder.norm(at)).collect()
}

struct Finder<'a> {
    graph: &'a GraphProto,
    scheme: &'a Scheme,
    readers: Readers<'a>,
}

impl<'a> Finder<'a> {
    /// The normalisation that node `at` ends.
    fn norm(&self, at: usize) -> Option<Norm> {
        let node = &self.graph.node[at];
        let constants = match &*node.op_type {
            "LayerNormalization" if self.is_over_last(node) => {
                (1..node.input.len()).map(|input| [at, input]).collect()
            }
            "Add" => self.spelled_out(at)?,
            _ => return None,
        };
        let lens: Option<HashSet<usize>> =
            constants.iter().map(|&[node, input]| self.row(node, input)).collect();
        let channels = lens.filter(|lens| lens.len() == 1)?.into_iter().next()?;
        let tensor = node.output.first()?.clone();
        let layers = self.layers_that_read(&tensor, channels)?;
        Some(Norm { tensor, layers, channels, constants })
    }

    fn is_over_last(&self, node: &NodeProto) -> bool {
        let axis = node.attribute.iter().find(|one| one.name == "axis");
        axis.is_none_or(|axis| axis.i == -1)
    }

    /// `x * scale + shift`, with both constant: in a network of linear layers the end of a
    /// normalisation, and in any other of something as linear.
    fn spelled_out(&self, at: usize) -> Option<Vec<[usize; 2]>> {
        let shift = (0..2).find(|&input| self.row(at, input).is_some())?;
        let product = self.graph.node[at].input.get(1 - shift)?;
        let [only] = self.readers.of_tensor(product)[..] else { return None };
        let writer = self.graph.node[..only].iter().position(|one| one.output.contains(product))?;
        let is_product = self.graph.node[writer].op_type == "Mul" && only == at;
        let scale = (0..2).find(|&input| is_product && self.row(writer, input).is_some())?;
        Some(vec![[writer, scale], [at, shift]])
    }

    /// Length of a constant with one float per index of the last axis.
    fn row(&self, node: usize, input: usize) -> Option<usize> {
        let tensor = initializer(self.graph, self.graph.node[node].input.get(input)?)?;
        let (_, others) = tensor.dims.split_last()?;
        let len = floats_of(tensor)?.len();
        (len > 1 && others.iter().all(|side| *side == 1)).then_some(len)
    }

    /// The layers that read `tensor`, as it is or reshaped; `None` if something else does.
    fn layers_that_read(&self, tensor: &'a str, channels: usize) -> Option<Vec<usize>> {
        let mut found = Vec::new();
        let mut open = vec![tensor];
        while let Some(tensor) = open.pop() {
            let readers = self.readers.of_tensor(tensor);
            if readers.len() != self.scheme.readers.get(tensor).copied().unwrap_or(0) {
                return None;
            }
            for &at in readers {
                let node = &self.graph.node[at];
                let layer = self.scheme.layers.iter().position(|layer| layer.node == at);
                match layer.map(|index| (index, &self.scheme.layers[index])) {
                    Some((index, layer))
                        if layer.channels_last && layer.group_inputs == channels =>
                    {
                        found.push(index);
                    }
                    None if node.op_type == "Reshape"
                        && keeps_channels(self.graph, node, channels) =>
                    {
                        open.push(node.output.first()?);
                    }
                    _ => return None,
                }
            }
        }
        (!found.is_empty()).then_some(found)
    }
}

fn initializer<'a>(graph: &'a GraphProto, name: &str) -> Option<&'a TensorProto> {
    graph.initializer.iter().find(|one| one.name == name)
}

/// Multiplies the channels of a normalisation by `factors` and divides the weights on them.
pub(super) fn scale(network: &mut QuantizableNetwork, at: usize, factors: &[f32]) -> Result<()> {
    let norms = norms(&network.model.graph, &network.scheme);
    let are_positive = factors.iter().all(|factor| factor.is_normal() && *factor > 0.0);
    let fits = |norm: &&Norm| norm.channels == factors.len() && are_positive;
    let Some(norm) = norms.get(at).filter(fits) else {
        return Err(Status::InvalidArgument.about("factors of channels"));
    };
    for &[node, input] in &norm.constants {
        let graph = &mut network.model.graph;
        let old = graph.node[node].input[input].clone();
        let Some(mut tensor) = initializer(graph, &old).cloned() else { continue };
        let values = floats_of(&tensor).unwrap_or_default();
        let values: Vec<f32> = values.iter().zip(factors).map(|(value, s)| value * s).collect();
        // Others may read the old one.
        let name = free_name(graph, &format!("{old}_scaled"));
        set_floats(&mut tensor, name.clone(), &values);
        graph.initializer.push(tensor);
        graph.node[node].input[input] = name;
    }
    for &layer in &norm.layers {
        for row in network.scheme.layers[layer].weights.chunks_mut(norm.channels) {
            row.iter_mut().zip(factors).for_each(|(weight, factor)| *weight /= factor);
        }
    }
    Ok(())
}
