//! Folds what follows a convolution, channel by channel, into its weights and its bias.

use super::super::guard::title;
use super::operators::{floats_of, set_floats};
use crate::status::{Result, Status};
use std::collections::HashMap;
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
}

/// Folds batch norms, and products and sums with a constant per channel.
pub(super) fn fold(graph: &mut GraphProto) -> Result<()> {
    let mut at = 0;
    while at < graph.node.len() {
        if !fold_into_writer(graph, at)? {
            at += 1;
        }
    }
    Ok(())
}

/// Whether node `at` was folded into the convolution that it reads, and is gone.
fn fold_into_writer(graph: &mut GraphProto, at: usize) -> Result<bool> {
    let Some((x, affine)) = affine_of(graph, &graph.node[at]) else { return Ok(false) };
    let reads = graph.node.iter().flat_map(|node| &node.input).filter(|name| **name == x).count();
    let is_output = graph.output.iter().any(|output| output.name == x);
    let writer = graph.node.iter().position(|node| node.output.first() == Some(&x));
    let Some(writer) = writer.filter(|_| reads == 1 && !is_output) else { return Ok(false) };
    let node = &graph.node[writer];
    if node.op_type != "Conv" {
        return Ok(false);
    }
    let constants: HashMap<&str, &TensorProto> =
        graph.initializer.iter().map(|one| (&*one.name, one)).collect();
    let constant = |index: usize| -> Option<&TensorProto> {
        constants.get(&**node.input.get(index)?).copied()
    };
    let Some((weights, mut values)) = constant(1).and_then(|one| Some((one, floats_of(one)?)))
    else {
        return Ok(false);
    };
    let channels = weights.dims.first().map_or(0, |side| *side as usize);
    // Sides of a tensor without elements may be of any size.
    if values.is_empty() {
        return Ok(false);
    }
    let has_bias = node.input.get(2).is_some_and(|name| !name.is_empty());
    let bias = match has_bias {
        true => constant(2).and_then(floats_of),
        false => Some(vec![0.0; channels]),
    };
    let Some(mut bias) = bias.filter(|bias| bias.len() == channels) else { return Ok(false) };
    let fits = |values: &Vec<f64>| values.len() == channels || values.len() == 1;
    if channels == 0 || !fits(&affine.scale) || !fits(&affine.shift) {
        return Ok(false);
    }
    let of = |values: &[f64], channel: usize| values[channel.min(values.len() - 1)];
    let per_channel = values.len() / channels;
    for (channel, filter) in values.chunks_mut(per_channel.max(1)).enumerate() {
        let scale = of(&affine.scale, channel);
        filter.iter_mut().for_each(|weight| *weight = (f64::from(*weight) * scale) as f32);
        bias[channel] = (f64::from(bias[channel]) * scale + of(&affine.shift, channel)) as f32;
    }
    if values.iter().chain(&bias).any(|value| !value.is_finite()) {
        let text = format!("{} folded into {}", title(&graph.node[at]), title(node));
        return Err(Status::InvalidArgument.about("weights that are not finite").text(text));
    }
    let weights = weights.clone();
    let result = graph.node[at].output.clone();
    replace(graph, writer, weights, &values, &bias);
    graph.node[writer].output = result;
    graph.node.remove(at);
    Ok(true)
}

/// Gives a convolution new weights and a new bias; the old ones may have other readers.
fn replace(
    graph: &mut GraphProto,
    writer: usize,
    mut weights: TensorProto,
    values: &[f32],
    bias: &[f32],
) {
    let stem = graph.node[writer].output.first().cloned().unwrap_or_default();
    set_floats(&mut weights, free_name(graph, &format!("{stem}_folded_weight")), values);
    let dims = vec![bias.len() as i64];
    let mut bias_tensor = TensorProto { dims, ..TensorProto::default() };
    set_floats(&mut bias_tensor, free_name(graph, &format!("{stem}_folded_bias")), bias);
    let node = &mut graph.node[writer];
    node.input.truncate(1);
    node.input.extend([weights.name.clone(), bias_tensor.name.clone()]);
    graph.initializer.extend([weights, bias_tensor]);
}

/// `stem`, or the first of its longer forms that no tensor has.
fn free_name(graph: &GraphProto, stem: &str) -> String {
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
        return Some((node.input.first()?.clone(), Affine { scale: factor, shift }));
    }
    let [left, right] = &node.input[..] else { return None };
    let (x, dims, values, is_left) = match (constant(left), constant(right)) {
        (None, Some((dims, values))) => (left, dims, values, true),
        (Some((dims, values)), None) => (right, dims, values, false),
        _ => return None,
    };
    // Channels are the second of four axes.
    let per_channel = matches!(dims[..], [_, 1, 1] | [1, _, 1, 1]) && values.len() > 1;
    if !per_channel {
        return None;
    }
    let values: Vec<f64> = values.into_iter().map(f64::from).collect();
    let (ones, zeros) = (vec![1.0], vec![0.0]);
    let affine = match (&*node.op_type, is_left) {
        ("Mul", _) => Affine { scale: values, shift: zeros },
        ("Div", true) => {
            Affine { scale: values.iter().map(|one| 1.0 / one).collect(), shift: zeros }
        }
        ("Add", _) => Affine { scale: ones, shift: values },
        ("Sub", true) => Affine { scale: ones, shift: values.iter().map(|one| -one).collect() },
        _ => return None,
    };
    Some((x.clone(), affine))
}
