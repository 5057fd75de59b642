//! Integer arithmetic where a graph says that it is meant: operations between a dequantisation and
//! a quantisation (the QDQ form) take and give the 8-bit numbers themselves.
//!
//! What does not fit stays in floats, with its quantisation and dequantisation as nodes.

use super::fuse::{skip_reshapes, stride_into_convolution};
use super::graph::{Convolution, Graph, Node, Op, Quantization, ValueId};
use super::tables;
use super::weights::{grid_of, integers_of};
use crate::plan::{Activation, BinaryOp};
use std::collections::HashMap;
use std::sync::Arc;
use std::vec;
use std::vec::Vec;

/// Rewrites what can be.
pub fn quantize(graph: &mut Graph) {
    move_integers(graph);
    strides(graph);
    tables(graph);
    constant_operands(graph);
    for index in 0..graph.nodes.len() {
        if let Some(node) = integer_form(graph, index) {
            graph.nodes[index] = node;
        }
    }
    graph.drop_unread();
    skip_reshapes(graph);
    residuals(graph);
    tables::fuse(graph);
    graph.drop_unread();
    integer_input(graph);
}

/// Where the picture is only ever quantised, whoever writes it writes the 8-bit numbers.
fn integer_input(graph: &mut Graph) {
    let Some(picture) = graph.input else { return };
    let reads = |node: &Node| node.inputs.contains(&picture);
    let readers: Vec<usize> =
        (0..graph.nodes.len()).filter(|&at| reads(&graph.nodes[at])).collect();
    let [reader] = readers[..] else { return };
    if matches!(graph.nodes[reader].op, Op::Quantize) && !graph.outputs.contains(&picture) {
        graph.input = Some(graph.nodes.remove(reader).output);
    }
}

/// Lets operators that only move values move the 8-bit numbers, and dequantises after them.
fn move_integers(graph: &mut Graph) {
    let mut index = 0;
    while index < graph.nodes.len() {
        let moves = matches!(
            graph.nodes[index].op,
            Op::Reshape | Op::Transpose { .. } | Op::Slice { .. } | Op::Broadcast | Op::MaxPool(_)
        );
        if let Some(source) =
            moves.then(|| quantized(graph, graph.nodes[index].inputs[0])).flatten()
        {
            let result = graph.nodes[index].output;
            let mut moved = graph.value(result).clone();
            moved.quantization = graph.value(source).quantization;
            let moved = graph.add_value(moved);
            let node = &mut graph.nodes[index];
            node.inputs[0] = source;
            node.output = moved;
            let name = node.name.clone();
            let inputs = vec![moved];
            graph
                .nodes
                .insert(index + 1, Node { name, op: Op::Dequantize, inputs, output: result });
        }
        index += 1;
    }
    graph.drop_unread();
}

/// Takes strides that lie before a convolution into it, now that only a dequantisation lies
/// between.
fn strides(graph: &mut Graph) {
    let mut index = 0;
    while index < graph.nodes.len() {
        if !stride_through_dequantize(graph, index) {
            index += 1;
        }
    }
    graph.drop_unread();
}

fn stride_through_dequantize(graph: &mut Graph, index: usize) -> bool {
    let Op::Convolution(_) = graph.nodes[index].op else { return false };
    let before = graph.nodes[index].inputs[0];
    let Some(source) = quantized(graph, before) else { return false };
    graph.nodes[index].inputs[0] = source;
    if !stride_into_convolution(graph, index) {
        graph.nodes[index].inputs[0] = before;
        return false;
    }
    // Back to floats, until the convolution itself is made one of integers.
    let source = graph.nodes[index].inputs[0];
    let mut float = graph.value(source).clone();
    float.quantization = None;
    let float = graph.add_value(float);
    graph.nodes[index].inputs[0] = float;
    let name = graph.nodes[index].name.clone();
    let node = Node { name, op: Op::Dequantize, inputs: vec![source], output: float };
    graph.nodes.insert(index, node);
    true
}

/// What was dequantised to `id`.
fn quantized(graph: &Graph, id: ValueId) -> Option<ValueId> {
    let node = &graph.nodes[graph.writer(id)?];
    matches!(node.op, Op::Dequantize).then(|| node.inputs[0])
}

/// Gives constant operands of operators between quantisations a quantisation of their own, where
/// all their values are whole steps of one.
fn constant_operands(graph: &mut Graph) {
    let mut index = 0;
    while index < graph.nodes.len() {
        let Some((at, slot, grid)) = constant_operand(graph, index) else {
            index += 1;
            continue;
        };
        let id = graph.nodes[at].inputs[slot];
        let mut value = graph.value(id).clone();
        let name = value.name.clone();
        let dims = value.dims.clone();
        value.quantization = Some(grid);
        let quantized = graph.add_value(value);
        // Its only reader is the operator, which is made one of integers now.
        let float = graph.add_activation(&name, dims);
        graph.nodes[at].inputs[slot] = float;
        let node = Node { name, op: Op::Dequantize, inputs: vec![quantized], output: float };
        graph.nodes.insert(at, node);
    }
    graph.drop_unread();
}

/// The operator that node `index` quantises, which of its operands is constant, and on which grid.
fn constant_operand(graph: &Graph, index: usize) -> Option<(usize, usize, Quantization)> {
    let node = &graph.nodes[index];
    let Op::Quantize = node.op else { return None };
    let at = graph.private_writer(node.inputs[0])?;
    let source = &graph.nodes[at];
    let Op::Binary { op, activation } = source.op else { return None };
    let slot = source.inputs.iter().position(|&id| graph.value(id).constant.is_some())?;
    let data = graph.value(source.inputs[slot]).constant.as_ref()?;
    quantized(graph, *source.inputs.get(1 - slot)?)?;
    has_integer_form(op, activation).then(|| grid_of(data)).flatten().map(|grid| (at, slot, grid))
}

/// The node that quantises to node `index`'s output, in integers.
fn integer_form(graph: &Graph, index: usize) -> Option<Node> {
    let node = &graph.nodes[index];
    match &node.op {
        Op::Convolution(convolution) => return float_result(graph, node, convolution),
        Op::Resize { .. } | Op::LayerNorm { .. } | Op::MatrixProduct(_) => {
            return integer_operands(graph, node);
        }
        _ => {}
    }
    if !matches!(node.op, Op::Quantize) {
        return None;
    }
    let target = graph.value(node.output).quantization?;
    let source = &graph.nodes[graph.private_writer(node.inputs[0])?];
    // Of floats too: pixel by pixel, so there is no second pass over all of them.
    let by_pixel = matches!(source.op, Op::LayerNorm { .. } | Op::Softmax);
    if by_pixel && quantized(graph, source.inputs[0]).is_none() {
        return Some(Node { output: node.output, ..source.clone() });
    }
    let inputs: Option<Vec<ValueId>> =
        source.inputs.iter().map(|&id| quantized(graph, id)).collect();
    let inputs = inputs?;
    let first = graph.value(*inputs.first()?).quantization?;
    let op = match &source.op {
        Op::Convolution(convolution) if source.inputs.len() == 1 => {
            Op::Convolution(integer_convolution(convolution)?)
        }
        Op::Binary { op, activation } if has_integer_form(*op, *activation) => source.op.clone(),
        Op::MatrixProduct(_) | Op::Mean { .. } | Op::AveragePool { .. } => source.op.clone(),
        Op::Resize { .. } | Op::LayerNorm { .. } | Op::Softmax => source.op.clone(),
        Op::MaxPool(_) | Op::Reshape | Op::Transpose { .. } | Op::Slice { .. } | Op::Broadcast
            if first == target =>
        {
            source.op.clone()
        }
        Op::Pad { value: 0.0, .. } if first == target => source.op.clone(),
        Op::Concat { .. } => source.op.clone(),
        _ => return None,
    };
    Some(Node { name: source.name.clone(), op, inputs, output: node.output })
}

fn has_integer_form(op: BinaryOp, activation: Activation) -> bool {
    let known = matches!(op, BinaryOp::Add | BinaryOp::Subtract | BinaryOp::Multiply);
    known && matches!(activation, Activation::None)
}

/// A convolution of dequantised numbers whose result stays in floats.
fn float_result(graph: &Graph, node: &Node, convolution: &Convolution) -> Option<Node> {
    let [x] = node.inputs[..] else { return None };
    let x = quantized(graph, x)?;
    let is_quantized_next = graph
        .nodes
        .iter()
        .any(|other| matches!(other.op, Op::Quantize) && other.inputs == [node.output]);
    if is_quantized_next || convolution.is_depthwise() || convolution.activation != Activation::None
    {
        return None;
    }
    let convolution = integer_convolution(convolution)?;
    Some(Node {
        name: node.name.clone(),
        op: Op::Convolution(convolution),
        inputs: vec![x],
        output: node.output,
    })
}

/// An operator that reads 8-bit numbers and gives floats.
fn integer_operands(graph: &Graph, node: &Node) -> Option<Node> {
    let inputs: Option<Vec<ValueId>> = node.inputs.iter().map(|&id| quantized(graph, id)).collect();
    let inputs = inputs?;
    let is_quantized_next = graph
        .nodes
        .iter()
        .any(|other| matches!(other.op, Op::Quantize) && other.inputs == [node.output]);
    if is_quantized_next && graph.private_writer(node.output).is_some() {
        return None;
    }
    Some(Node { inputs, ..node.clone() })
}

/// The convolution with its weights checked to be 8-bit numbers; its activation must be one that
/// limits of the result have.
fn integer_convolution(convolution: &Convolution) -> Option<Convolution> {
    let limits = matches!(convolution.activation, Activation::None | Activation::Clip { .. });
    let is_whole = integers_of(&convolution.weights, convolution.weights_per_output()).is_some();
    (limits && is_whole).then(|| convolution.clone())
}

/// Replaces what is computed of one dequantised tensor, value by value, by a table.
fn tables(graph: &mut Graph) {
    // From the end, so that a table reaches back through roundings that are not tables yet.
    for index in (0..graph.nodes.len()).rev() {
        let Some((source, table)) = table_at(graph, index) else { continue };
        let same_grid =
            graph.value(source).quantization == graph.value(graph.nodes[index].output).quantization;
        let is_identity = table.iter().enumerate().all(|(at, &entry)| usize::from(entry) == at);
        let node = &mut graph.nodes[index];
        node.op = if is_identity && same_grid { Op::Reshape } else { Op::Table(Arc::new(table)) };
        node.inputs = vec![source];
    }
    graph.drop_unread();
}

/// The table from the one quantised tensor that node `index` quantises a function of.
fn table_at(graph: &Graph, index: usize) -> Option<(ValueId, [u8; 256])> {
    let node = &graph.nodes[index];
    let (Op::Quantize, [x]) = (&node.op, &node.inputs[..]) else { return None };
    let mut source = None;
    collect(graph, *x, graph.value(node.output).element_count(), &mut source)?;
    let source = source?;
    let from = graph.value(source).quantization?;
    let to = graph.value(node.output).quantization?;
    let mut known = HashMap::new();
    let entries: Vec<f32> = (0..=255).map(|q| from.real(q)).collect();
    let results = evaluate(graph, *x, source, &entries, &mut known)?;
    let mut table = [0; 256];
    for (entry, value) in table.iter_mut().zip(&results) {
        *entry = to.quantized(*value);
    }
    Some((source, table))
}

/// Finds the one quantised tensor that `id` is a function of. `None`: there is not exactly one, or
/// something on the way is no function of single values.
fn collect(graph: &Graph, id: ValueId, len: usize, source: &mut Option<ValueId>) -> Option<()> {
    let value = graph.value(id);
    if let Some(constant) = &value.constant {
        return (constant.len() == 1).then_some(());
    }
    let node = &graph.nodes[graph.writer(id)?];
    if value.element_count() != len {
        return None;
    }
    match &node.op {
        Op::Dequantize => {
            let quantized = node.inputs[0];
            // Through the rounding in between, as far back as it goes.
            if let Some(inner) = graph.writer(quantized).map(|at| &graph.nodes[at])
                && matches!(inner.op, Op::Quantize)
            {
                let mut further = *source;
                if collect(graph, inner.inputs[0], len, &mut further).is_some() {
                    *source = further;
                    return Some(());
                }
            }
            if source.is_some_and(|other| other != quantized) {
                return None;
            }
            *source = Some(quantized);
            Some(())
        }
        Op::Unary { activation, .. } if *activation != Activation::Prelu => {
            collect(graph, node.inputs[0], len, source)
        }
        Op::Binary { .. } => {
            collect(graph, node.inputs[0], len, source)?;
            collect(graph, node.inputs[1], len, source)
        }
        _ => None,
    }
}

/// The values of `id` for each value of the quantised tensor `source`.
fn evaluate(
    graph: &Graph,
    id: ValueId,
    source: ValueId,
    entries: &[f32],
    known: &mut HashMap<ValueId, Vec<f32>>,
) -> Option<Vec<f32>> {
    if let Some(values) = known.get(&id) {
        return Some(values.clone());
    }
    if let Some(constant) = &graph.value(id).constant {
        return Some(vec![constant[0]; entries.len()]);
    }
    let node = &graph.nodes[graph.writer(id)?];
    let values = match &node.op {
        Op::Dequantize if node.inputs[0] == source => entries.to_vec(),
        Op::Dequantize => {
            let inner = &graph.nodes[graph.writer(node.inputs[0])?];
            let grid = graph.value(node.inputs[0]).quantization?;
            let values = evaluate(graph, inner.inputs[0], source, entries, known)?;
            values.iter().map(|&value| grid.real(grid.quantized(value))).collect()
        }
        Op::Unary { activation, .. } => {
            let values = evaluate(graph, node.inputs[0], source, entries, known)?;
            values.iter().map(|&value| super::functions::apply(*activation, value)).collect()
        }
        Op::Binary { op, activation } => {
            let left = evaluate(graph, node.inputs[0], source, entries, known)?;
            let right = evaluate(graph, node.inputs[1], source, entries, known)?;
            let pairs = left.iter().zip(&right);
            let both =
                pairs.map(|(&left, &right)| super::functions::apply_binary(*op, left, right));
            both.map(|value| super::functions::apply(*activation, value)).collect()
        }
        _ => return None,
    };
    known.insert(id, values.clone());
    Some(values)
}

/// Moves quantised sums into the convolution that makes one of their operands.
fn residuals(graph: &mut Graph) {
    for index in 0..graph.nodes.len() {
        if let Some((op, inputs)) = residual_at(graph, index) {
            graph.nodes[index].op = op;
            graph.nodes[index].inputs = inputs;
        }
    }
    graph.drop_unread();
}

fn residual_at(graph: &Graph, index: usize) -> Option<(Op, Vec<ValueId>)> {
    let node = &graph.nodes[index];
    let Op::Binary { op: BinaryOp::Add, activation: Activation::None } = node.op else {
        return None;
    };
    graph.value(node.output).quantization?;
    let len = graph.value(node.output).element_count();
    let [left, right] = node.inputs[..] else { return None };
    if left == right || [left, right].iter().any(|&id| graph.value(id).element_count() != len) {
        return None;
    }
    let takes = |id: ValueId| {
        let at = graph.private_writer(id)?;
        let Op::Convolution(convolution) = &graph.nodes[at].op else { return None };
        let bare = convolution.activation == Activation::None && graph.nodes[at].inputs.len() == 1;
        let fits = convolution.groups == 1 && !convolution.transposed;
        (bare && fits && convolution.table.is_none()).then_some(at)
    };
    let candidates = [(takes(left), right), (takes(right), left)];
    let known = candidates.into_iter().filter_map(|(at, other)| at.map(|at| (at, other)));
    let (at, other) = known.max_by_key(|(at, _)| *at)?;
    let Op::Convolution(convolution) = &graph.nodes[at].op else { return None };
    let mut convolution = convolution.clone();
    convolution.inner = graph.value(graph.nodes[at].output).quantization;
    Some((Op::Convolution(convolution), vec![graph.nodes[at].inputs[0], other]))
}
