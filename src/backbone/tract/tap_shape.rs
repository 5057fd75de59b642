//! Shapes of the tensors that layers are added to, and grids of a transformer's tokens.

use super::load::load_refusal;
use super::{Options, TractBackbone};
use crate::map::Layout;
use crate::spec::{Input, InputType, Precision, Quantization};
use crate::status::{Error, Result};
use std::collections::HashSet;
use std::format;
use std::string::{String, ToString};
use std::vec::Vec;
use tract_onnx::pb::tensor_proto::DataType;
use tract_onnx::pb::tensor_shape_proto::{Dimension, dimension::Value as Side};
use tract_onnx::pb::type_proto::{Tensor as TensorType, Value as Type};
use tract_onnx::pb::{GraphProto, ValueInfoProto};

/// Tokens before those of the cells that a transformer may have: none, a class token, or a class
/// token and four registers.
pub const PREFIX_TOKENS: [usize; 3] = [0, 1, 5];

/// A tensor as a grid of cells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct TapShape {
    pub channels: usize,
    /// Rows and columns.
    pub grid: [usize; 2],
    /// Tokens before those of the cells, if it is `[1, tokens, channels]`.
    pub prefix: Option<usize>,
}

impl TapShape {
    /// That of a tensor of a network, from what the graph declares or else from the engine.
    pub(super) fn find(onnx: &[u8], graph: &GraphProto, tap: &str) -> Result<TapShape> {
        let is_written = graph.node.iter().any(|node| node.output.iter().any(|name| name == tap));
        if tap.is_empty() || !is_written {
            return Err(tap_error(tap, "is written by no node of the network"));
        }
        let known = graph.value_info.iter().chain(&graph.output).find(|info| info.name == tap);
        let sides = match known.and_then(declared_sides) {
            Some(sides) => sides,
            None => inferred_sides(onnx, graph, tap)?,
        };
        match *sides.as_slice() {
            [1, channels, height, width] if !sides.contains(&0) => {
                Ok(TapShape { channels, grid: [height, width], prefix: None })
            }
            [1, tokens, channels] if !sides.contains(&0) => {
                let Input { width, height, .. } = picture(graph, tap)?;
                let (grid, prefix) = token_grid(tokens, [height, width].map(|side| side as usize))
                    .map_err(|reason| tap_error(tap, &reason))?;
                Ok(TapShape { channels, grid, prefix: Some(prefix) })
            }
            _ => {
                let wanted = "[1, channels, height, width] or [1, tokens, channels]";
                Err(tap_error(tap, &format!("is {sides:?}, not {wanted}")))
            }
        }
    }
}

/// The grid of square patches that fill a picture of `[height, width]`, and the tokens before
/// theirs; the reason if there is no such grid, or several.
fn token_grid(
    tokens: usize,
    [height, width]: [usize; 2],
) -> core::result::Result<([usize; 2], usize), String> {
    let patches = (1..=height.min(width)).filter(|side| height % side == 0 && width % side == 0);
    let grids = patches.map(|side| [height / side, width / side]);
    let fits = |grid: [usize; 2]| {
        let prefix = tokens.checked_sub(grid[0] * grid[1])?;
        PREFIX_TOKENS.contains(&prefix).then_some((grid, prefix))
    };
    let found: Vec<([usize; 2], usize)> = grids.filter_map(fits).collect();
    match *found.as_slice() {
        [one] => Ok(one),
        [] => Err(format!(
            "has {tokens} tokens, not those of square patches of {height} x {width} pixels, or 1 \
             or 5 more"
        )),
        [([rows, columns], _), ([others, further], _), ..] => Err(format!(
            "has {tokens} tokens, which may be {rows} x {columns} or {others} x {further} cells \
             and further tokens"
        )),
    }
}

/// A refusal that names a tap.
fn tap_error(tap: &str, reason: &str) -> Error {
    load_refusal(&format!("tap \"{tap}\" {reason}"))
}

fn unknown(tap: &str, reason: &str) -> Error {
    tap_error(tap, &format!("has an unknown shape: {reason}"))
}

/// The sides that a graph declares for a tensor of floats, the first 1 if it is left open.
fn declared_sides(info: &ValueInfoProto) -> Option<Vec<usize>> {
    let Some(Type::TensorType(tensor)) = info.r#type.as_ref()?.value.as_ref() else { return None };
    if tensor.elem_type != DataType::Float as i32 {
        return None;
    }
    sides(tensor)
}

fn sides(tensor: &TensorType) -> Option<Vec<usize>> {
    let side = |(place, one): (usize, &Dimension)| match one.value {
        Some(Side::DimValue(side)) if side > 0 => usize::try_from(side).ok(),
        _ if place == 0 => Some(1),
        _ => None,
    };
    tensor.shape.as_ref()?.dim.iter().enumerate().map(side).collect()
}

/// The network's input, which must be a picture.
fn picture(graph: &GraphProto, tap: &str) -> Result<Input> {
    let input = only_input(graph, tap)?;
    let shape = network_input(input).filter(|shape| shape.check().is_ok());
    shape.ok_or_else(|| {
        let name = &input.name;
        unknown(tap, &format!("the network's input \"{name}\" is no picture of a fixed size"))
    })
}

fn only_input<'g>(graph: &'g GraphProto, tap: &str) -> Result<&'g ValueInfoProto> {
    let constants: HashSet<&str> = graph.initializer.iter().map(|one| &*one.name).collect();
    let mut fed = graph.input.iter().filter(|input| !constants.contains(&*input.name));
    match (fed.next(), fed.next()) {
        (Some(input), None) => Ok(input),
        _ => Err(unknown(tap, "the network has not exactly one input")),
    }
}

/// The sides that the engine finds.
fn inferred_sides(onnx: &[u8], graph: &GraphProto, tap: &str) -> Result<Vec<usize>> {
    let options = Options {
        input: picture(graph, tap)?,
        input_name: &only_input(graph, tap)?.name,
        output_name: tap,
        channels: 1,
        grid_height: 1,
        grid_width: 1,
        output_layout: Layout::Chw,
        second: None,
        precision: Precision::FloatActivations,
        threads: 1,
    };
    TractBackbone::output_shape(onnx, &options).map_err(|error| unknown(tap, &error.to_string()))
}

fn network_input(input: &ValueInfoProto) -> Option<Input> {
    let Some(Type::TensorType(tensor)) = input.r#type.as_ref()?.value.as_ref() else { return None };
    let any = Quantization { scale: 1.0, zero_point: 0 };
    let element = match DataType::try_from(tensor.elem_type).ok()? {
        DataType::Float => InputType::F32,
        DataType::Uint8 => InputType::U8(any),
        DataType::Int8 => InputType::I8(any),
        _ => return None,
    };
    let (height, width, layout) = match sides(tensor)?.as_slice() {
        [1, 3, height, width] => (*height, *width, Layout::Chw),
        [1, height, width, 3] => (*height, *width, Layout::Hwc),
        _ => return None,
    };
    let [width, height] = [u32::try_from(width).ok()?, u32::try_from(height).ok()?];
    Some(Input { width, height, layout, element })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_are_square_patches_of_the_picture() {
        assert_eq!(token_grid(1_024, [448, 448]), Ok(([32, 32], 0)));
        assert_eq!(token_grid(785, [448, 448]), Ok(([28, 28], 1)));
        assert_eq!(token_grid(789, [448, 448]), Ok(([28, 28], 5)));
        assert_eq!(token_grid(40 * 28 + 1, [640, 448]), Ok(([40, 28], 1)));
        assert_eq!(token_grid(40 * 28, [448, 640]), Ok(([28, 40], 0)));
    }

    #[test]
    fn tokens_that_fit_no_grid_or_several_are_refused() {
        for tokens in [0, 1_022, 1_026, 1_028, 30 * 30] {
            let reason = token_grid(tokens, [448, 448]).unwrap_err();
            assert!(reason.contains("not those of square patches"), "{tokens}: {reason}");
        }
        let reason = token_grid(9, [12, 12]).unwrap_err();
        assert!(reason.contains("3 x 3 or 2 x 2"), "{reason}");
    }
}
