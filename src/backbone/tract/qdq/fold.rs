//! Folds what follows a layer, channel by channel, into its weights and its bias.
//!
//! The bias of a `MatMul` is an `Add` behind it. Here it becomes the third input that a `MatMul`
//! has not in ONNX, so that a linear layer is one node; `write` makes two of it again.

use super::super::guard::title;
use super::super::legalise::integer;
use super::operators::{floats_of, set_floats};
use crate::status::{Result, Status};
use std::format;
use std::string::String;
use std::vec;
use std::vec::Vec;
use tract_onnx::pb::{GraphProto, NodeProto, TensorProto};

/// Default of BatchNormalization's `epsilon`.
const EPSILON: f32 = 1e-5;

/// `y = scale * x + shift`, per channel.
struct Affine {
    scale: Vec<f64>,
    shift: Vec<f64>,
    /// Whether channels are the last axis; else they are the second of four.
    channels_last: bool,
}

/// Folds batch norms, biases, and products and sums with a constant per channel.
pub(super) fn fold(graph: &mut GraphProto) -> Result<()> {
    let mut at = 0;
    while at < graph.node.len() {
        if !fold_into_writer(graph, at)? {
            at += 1;
        }
    }
    Ok(())
}

/// Whether node `at` was folded into the layer that it reads, and is gone.
fn fold_into_writer(graph: &mut GraphProto, at: usize) -> Result<bool> {
    let Some((x, affine)) = affine_of(graph, &graph.node[at]) else { return Ok(false) };
    let Some(before) = private_writer(graph, &x) else { return Ok(false) };
    let Some(writer) = layer_before(graph, before) else { return Ok(false) };
    let node = &graph.node[writer];
    if affine.channels_last == (node.op_type == "Conv") {
        return Ok(false);
    }
    let Some(mut layer) = Weights::of(graph, node) else { return Ok(false) };
    let channels = layer.bias.len();
    if writer != before && !keeps_channels(graph, &graph.node[before], channels) {
        return Ok(false);
    }
    let fits = |values: &Vec<f64>| values.len() == channels || values.len() == 1;
    if channels == 0 || !fits(&affine.scale) || !fits(&affine.shift) {
        return Ok(false);
    }
    layer.scale(&affine);
    if layer.values.iter().chain(&layer.bias).any(|value| !value.is_finite()) {
        let text = format!("{} folded into {}", title(&graph.node[at]), title(node));
        return Err(Status::InvalidArgument.about("weights that are not finite").text(text));
    }
    let result = graph.node[at].output.clone();
    replace(graph, writer, &layer);
    graph.node[before].output = result;
    graph.node.remove(at);
    Ok(true)
}

/// The node that writes `x`, if only one other reads that.
fn private_writer(graph: &GraphProto, x: &str) -> Option<usize> {
    let reads = graph.node.iter().flat_map(|node| &node.input).filter(|name| **name == x).count();
    let is_output = graph.output.iter().any(|output| output.name == x);
    let writer = graph.node.iter().position(|node| node.output.first().is_some_and(|one| one == x));
    writer.filter(|_| reads == 1 && !is_output)
}

/// The layer that node `at` is, or whose result it reshapes.
fn layer_before(graph: &GraphProto, at: usize) -> Option<usize> {
    let is_layer = |at: usize| match &*graph.node[at].op_type {
        "Conv" | "MatMul" => true,
        "Gemm" => {
            let attributes = &graph.node[at].attribute;
            attributes.iter().all(|one| !matches!(&*one.name, "alpha" | "beta") || one.f == 1.0)
        }
        _ => false,
    };
    if is_layer(at) {
        return Some(at);
    }
    let node = &graph.node[at];
    let writer = private_writer(graph, node.input.first()?)?;
    let is_product = is_layer(writer) && graph.node[writer].op_type != "Conv";
    (node.op_type == "Reshape" && is_product).then_some(writer)
}

/// Whether a reshape leaves `channels` as the last axis.
pub(super) fn keeps_channels(graph: &GraphProto, reshape: &NodeProto, channels: usize) -> bool {
    let sides = graph.initializer.iter().find(|one| Some(&one.name) == reshape.input.get(1));
    let last = sides.and_then(|sides| match sides.raw_data.is_empty() {
        true => sides.int64_data.last().copied(),
        false => sides.raw_data.as_chunks().0.last().map(|bytes| i64::from_le_bytes(*bytes)),
    });
    last == i64::try_from(channels).ok()
}

/// Weights and bias of a layer.
struct Weights {
    tensor: TensorProto,
    values: Vec<f32>,
    bias: Vec<f32>,
    /// Whether output channels are the weights' last axis, not the first.
    turned: bool,
}

impl Weights {
    /// `None` if they are not constant floats.
    fn of(graph: &GraphProto, node: &NodeProto) -> Option<Weights> {
        let constant = |index: usize| {
            let name = node.input.get(index)?;
            graph.initializer.iter().find(|one| one.name == *name)
        };
        let tensor = constant(1)?.clone();
        // Sides of a tensor without elements may be of any size.
        let values = floats_of(&tensor).filter(|values| !values.is_empty())?;
        let is_product = node.op_type != "Conv";
        if is_product && tensor.dims.len() != 2 {
            return None;
        }
        let turned = is_product && integer(node, "transB").unwrap_or(0) == 0;
        let side = if turned { tensor.dims.last() } else { tensor.dims.first() };
        let channels = side.map_or(0, |side| *side as usize);
        let has_bias = node.input.get(2).is_some_and(|name| !name.is_empty());
        let bias = match has_bias {
            true => constant(2).and_then(floats_of),
            false => Some(vec![0.0; channels]),
        };
        let bias = bias.filter(|bias| bias.len() == channels)?;
        Some(Weights { tensor, values, bias, turned })
    }

    /// What they are when the layer's result goes through `affine`.
    fn scale(&mut self, affine: &Affine) {
        let of = |values: &[f64], channel: usize| values[channel.min(values.len() - 1)];
        let channels = self.bias.len();
        let per_channel = (self.values.len() / channels).max(1);
        for (at, weight) in self.values.iter_mut().enumerate() {
            let channel = if self.turned { at % channels } else { at / per_channel };
            *weight = (f64::from(*weight) * of(&affine.scale, channel)) as f32;
        }
        for (channel, bias) in self.bias.iter_mut().enumerate() {
            let scaled = f64::from(*bias) * of(&affine.scale, channel);
            *bias = (scaled + of(&affine.shift, channel)) as f32;
        }
    }
}

/// Gives a layer new weights and a new bias; the old ones may have other readers.
fn replace(graph: &mut GraphProto, writer: usize, layer: &Weights) {
    let stem = graph.node[writer].output.first().cloned().unwrap_or_default();
    let mut weights = layer.tensor.clone();
    set_floats(&mut weights, free_name(graph, &format!("{stem}_folded_weight")), &layer.values);
    let dims = vec![layer.bias.len() as i64];
    let mut bias = TensorProto { dims, ..TensorProto::default() };
    set_floats(&mut bias, free_name(graph, &format!("{stem}_folded_bias")), &layer.bias);
    let node = &mut graph.node[writer];
    node.input.truncate(1);
    node.input.extend([weights.name.clone(), bias.name.clone()]);
    graph.initializer.extend([weights, bias]);
}

/// `stem`, or the first of its longer forms that no tensor has.
pub(super) fn free_name(graph: &GraphProto, stem: &str) -> String {
    let taken = |name: &String| {
        graph.initializer.iter().any(|one| one.name == *name)
            || graph.node.iter().any(|node| node.output.contains(name))
    };
    let mut name = String::from(stem);
    while taken(&name) {
        name.push('_');
    }
    name
}

/// The tensor that a node reads, and what it does to each channel.
fn affine_of(graph: &GraphProto, node: &NodeProto) -> Option<(String, Affine)> {
    let constant = |name: &String| {
        let tensor = graph.initializer.iter().find(|one| one.name == *name)?;
        Some((tensor.dims.clone(), floats_of(tensor)?))
    };
    if node.op_type == "BatchNormalization" {
        let values = |at: usize| node.input.get(at).and_then(constant).map(|(_, values)| values);
        let [scale, bias, mean, variance] = [values(1)?, values(2)?, values(3)?, values(4)?];
        let epsilon = node.attribute.iter().find(|one| one.name == "epsilon");
        let epsilon = f64::from(epsilon.map_or(EPSILON, |one| one.f));
        let factor: Vec<f64> = scale
            .iter()
            .zip(&variance)
            .map(|(&scale, &variance)| f64::from(scale) / (f64::from(variance) + epsilon).sqrt())
            .collect();
        let shift = bias.iter().zip(&mean).zip(&factor);
        let shift =
            shift.map(|((&bias, &mean), factor)| f64::from(bias) - f64::from(mean) * factor);
        let shift = shift.collect();
        let affine = Affine { scale: factor, shift, channels_last: false };
        return Some((node.input.first()?.clone(), affine));
    }
    let [left, right] = &node.input[..] else { return None };
    let (x, dims, values, is_left) = match (constant(left), constant(right)) {
        (None, Some((dims, values))) => (left, dims, values, true),
        (Some((dims, values)), None) => (right, dims, values, false),
        _ => return None,
    };
    if values.len() < 2 {
        return None;
    }
    let channels_last = match dims[..] {
        [_, 1, 1] | [1, _, 1, 1] => false,
        [ref others @ .., _] if others.iter().all(|side| *side == 1) => true,
        _ => return None,
    };
    let values: Vec<f64> = values.into_iter().map(f64::from).collect();
    let (ones, zeros) = (vec![1.0], vec![0.0]);
    let (scale, shift) = match (&*node.op_type, is_left) {
        ("Mul", _) => (values, zeros),
        ("Div", true) => (values.iter().map(|one| 1.0 / one).collect(), zeros),
        ("Add", _) => (ones, values),
        ("Sub", true) => (ones, values.iter().map(|one| -one).collect()),
        _ => return None,
    };
    Some((x.clone(), Affine { scale, shift, channels_last }))
}
