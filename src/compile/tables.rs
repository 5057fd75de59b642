//! Tables of 256 that end up in the step that makes what they look up.

use super::graph::{Graph, Node, Op};
use crate::math::network::table_u8::build_table;
use std::format;
use std::sync::Arc;
use std::vec;

/// Moves tables into convolutions and resizes; parts of concatenations that come on another grid
/// are looked up as well.
pub fn fuse(graph: &mut Graph) {
    requantized_parts(graph);
    into_convolutions(graph);
    into_resizes(graph);
}

/// Moves tables into the convolution that alone makes their input.
fn into_convolutions(graph: &mut Graph) {
    for index in 0..graph.nodes.len() {
        let Op::Table(table) = &graph.nodes[index].op else { continue };
        let table = table.clone();
        let Some(at) = graph.private_writer(graph.nodes[index].inputs[0]) else { continue };
        let Op::Convolution(convolution) = &graph.nodes[at].op else { continue };
        if convolution.table.is_some() || graph.nodes[at].inputs.len() != 1 {
            continue;
        }
        let mut convolution = convolution.clone();
        convolution.table = Some(table);
        convolution.inner = graph.value(graph.nodes[at].output).quantization;
        graph.nodes[index].inputs = graph.nodes[at].inputs.clone();
        graph.nodes[index].op = Op::Convolution(convolution);
    }
}

/// Looks the parts of a concatenation up that come on another grid, so that whoever makes them can.
fn requantized_parts(graph: &mut Graph) {
    let mut index = 0;
    while index < graph.nodes.len() {
        let Some((slot, table)) = other_part(graph, index) else {
            index += 1;
            continue;
        };
        let (part, whole) = (graph.nodes[index].inputs[slot], graph.nodes[index].output);
        let mut value = graph.value(part).clone();
        value.name = format!("{} in {}", value.name, graph.value(whole).name);
        value.quantization = graph.value(whole).quantization;
        let output = graph.add_value(value);
        graph.nodes[index].inputs[slot] = output;
        let name = graph.nodes[index].name.clone();
        let op = Op::Table(Arc::new(table));
        graph.nodes.insert(index, Node { name, op, inputs: vec![part], output });
    }
}

/// A part of the concatenation of channels at node `index` that is on another grid than the whole,
/// and the table from the one to the other.
fn other_part(graph: &Graph, index: usize) -> Option<(usize, [u8; 256])> {
    let Node { op: Op::Concat { dim }, inputs, output, .. } = &graph.nodes[index] else {
        return None;
    };
    let whole = graph.value(*output);
    let to = whole.quantization?;
    if dim + 1 != whole.dims.len() {
        return None;
    }
    let mut parts = inputs.iter().enumerate();
    parts.find_map(|(slot, &part)| {
        let value = graph.value(part);
        let from = value.quantization.filter(|&from| from != to && value.constant.is_none())?;
        Some((slot, build_table(|value| value, from, to)))
    })
}

/// Moves tables into the resize that alone makes their input, if that keeps its own input's grid.
fn into_resizes(graph: &mut Graph) {
    for index in 0..graph.nodes.len() {
        let Op::Table(last) = &graph.nodes[index].op else { continue };
        let last = last.clone();
        let Some(at) = graph.private_writer(graph.nodes[index].inputs[0]) else { continue };
        let mut resize = graph.nodes[at].clone();
        let grids = [resize.inputs[0], resize.output].map(|id| graph.value(id).quantization);
        let Op::Resize { table: table @ None, .. } = &mut resize.op else { continue };
        if grids[0].is_none() || grids[0] != grids[1] {
            continue;
        }
        *table = Some(last);
        graph.nodes[index].op = resize.op;
        graph.nodes[index].inputs = resize.inputs;
    }
}
