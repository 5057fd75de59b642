//! Reads a layer's weights.

use super::super::legalise::integer;
use super::Layer;
use super::operators::floats_of;
use crate::status::{Result, Status};
use std::collections::HashMap;
use std::format;
use std::string::String;
use std::vec;
use std::vec::Vec;
use tract_onnx::pb::{NodeProto, TensorProto};

/// Node number `at` as a layer; `None` if its weights are not constant floats.
pub(super) fn layer_of(
    node: &NodeProto,
    at: usize,
    constants: &HashMap<&str, &TensorProto>,
) -> Result<Option<Layer>> {
    let constant = |index: usize| constants.get(&**node.input.get(index)?).copied();
    let Some(tensor) = constant(1) else { return Ok(None) };
    // Sides of a tensor without elements may be of any size.
    let Some(values) = floats_of(tensor).filter(|values| !values.is_empty()) else {
        return Ok(None);
    };
    let integer = |name| integer(node, name);
    let is_product = node.op_type != "Conv";
    let is_turned = is_product && integer("transB").unwrap_or(0) == 0;
    let axis = usize::from(is_turned);
    let sides: Vec<usize> = tensor.dims.iter().map(|side| *side as usize).collect();
    let is_no_matrix = is_product && sides.len() != 2;
    let (Some(&channels), false) = (sides.get(axis), is_no_matrix) else { return Ok(None) };
    let has_bias = node.input.get(2).is_some_and(|name| !name.is_empty());
    let bias = match has_bias {
        true => constant(2).and_then(floats_of),
        false => Some(vec![0.0; channels]),
    };
    let Some(bias) = bias.filter(|bias| bias.len() == channels) else { return Ok(None) };
    let name = name_of(node);
    if values.iter().chain(&bias).any(|value| !value.is_finite()) {
        let text = format!("weights or bias of \"{name}\"");
        return Err(Status::InvalidArgument.about("numbers that are not finite").text(text));
    }
    let weights = if is_turned { turned(&values, channels) } else { values };
    let sum = node.output.first().cloned().unwrap_or_default();
    Ok(Some(Layer {
        name,
        operator: node.op_type.clone(),
        input: node.input.first().cloned().unwrap_or_default(),
        result: sum.clone(),
        limits: [f32::NEG_INFINITY, f32::INFINITY],
        sum,
        weights,
        bias,
        group_inputs: if is_turned { sides[0] } else { sides.get(1).copied().unwrap_or(1) },
        groups: integer("group").unwrap_or(1).max(1) as usize,
        channels_last: is_product,
        node: at,
        shape: tensor.dims.clone(),
        axis,
    }))
}

/// A matrix of `columns` columns with its columns as rows.
pub(super) fn turned<T: Copy>(values: &[T], columns: usize) -> Vec<T> {
    let column = |column: usize| values.iter().skip(column).step_by(columns.max(1)).copied();
    (0..columns).flat_map(column).collect()
}

/// A node's name, or its first result's if it has none.
pub(super) fn name_of(node: &NodeProto) -> String {
    match node.name.is_empty() {
        true => node.output.first().cloned().unwrap_or_default(),
        false => node.name.clone(),
    }
}
