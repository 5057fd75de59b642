//! Rewrites of a float graph that leave its values as they are: what several nodes compute becomes
//! one, until nothing changes.

use super::graph::{Convolution, Graph, Node, Op, Value, ValueId};
use crate::plan::{Activation, BinaryOp};
use std::sync::Arc;
use std::vec;
use std::vec::Vec;

type Rule = fn(&mut Graph, usize) -> bool;

/// Fuses what can be.
pub fn fuse(graph: &mut Graph) {
    let functions: [Rule; 5] = [sum_to_mean, limit_to_clip, clips_to_clip, hard_sigmoid, gate];
    let products: [Rule; 8] = [
        pad_into_convolution,
        stride_into_convolution,
        scale_into_convolution,
        shift_into_convolution,
        activation_into_convolution,
        residual_into_convolution,
        factor_into_product,
        layer_norm,
    ];
    apply(graph, &functions);
    apply(graph, &products);
    attention(graph);
    graph.drop_unread();
}

/// Applies rules until none changes anything.
fn apply(graph: &mut Graph, rules: &[Rule]) {
    let mut changed = true;
    while changed {
        skip_reshapes(graph);
        changed = false;
        for index in 0..graph.nodes.len() {
            changed |= rules.iter().any(|rule| rule(graph, index));
        }
        graph.drop_unread();
    }
}

/// Lets nodes that do not look at dims read what was reshaped.
pub(super) fn skip_reshapes(graph: &mut Graph) {
    let writers = graph.writers();
    for index in 0..graph.nodes.len() {
        if !ignores_dims(graph, &graph.nodes[index]) {
            continue;
        }
        for slot in 0..graph.nodes[index].inputs.len() {
            let mut id = graph.nodes[index].inputs[slot];
            while let Some(writer) = writers[id.0].map(|writer| &graph.nodes[writer]) {
                if !matches!(writer.op, Op::Reshape) {
                    break;
                }
                id = writer.inputs[0];
            }
            graph.nodes[index].inputs[slot] = id;
        }
    }
    graph.drop_unread();
}

fn ignores_dims(graph: &Graph, node: &Node) -> bool {
    use Op::{Binary, Convolution, Dequantize, MatrixProduct, Quantize, Reshape, Table, Unary};
    match &node.op {
        Convolution(_) | MatrixProduct(_) | Quantize | Dequantize | Reshape | Table(_) => true,
        Unary { activation, .. } => *activation != Activation::Prelu,
        Binary { .. } => graph.is_scalar(node.inputs[0]) || graph.is_scalar(node.inputs[1]),
        _ => false,
    }
}

impl Graph {
    /// The node that writes `id`.
    pub(super) fn writer(&self, id: ValueId) -> Option<usize> {
        self.nodes.iter().position(|node| node.output == id)
    }

    /// The node that writes `id`, if only one other reads it.
    pub(super) fn private_writer(&self, id: ValueId) -> Option<usize> {
        let reads = |node: &Node| node.inputs.iter().filter(|&&input| input == id).count();
        let count: usize = self.nodes.iter().map(reads).sum();
        let is_output = self.outputs.contains(&id);
        if count == 1 && !is_output { self.writer(id) } else { None }
    }

    /// Whether `id` is one known number.
    fn is_scalar(&self, id: ValueId) -> bool {
        self.value(id).constant.as_ref().is_some_and(|data| data.len() == 1)
    }

    /// What was reshaped to `id`.
    pub(super) fn before_reshapes(&self, id: ValueId) -> ValueId {
        match self.writer(id).map(|at| &self.nodes[at]) {
            Some(Node { op: Op::Reshape, inputs, .. }) => self.before_reshapes(inputs[0]),
            _ => id,
        }
    }

    /// The constant operand of a binary node and which operand it is.
    fn constant_operand(&self, node: &Node) -> Option<(&Value, usize)> {
        let at = node.inputs.iter().position(|&id| self.value(id).constant.is_some())?;
        Some((self.value(node.inputs[at]), at))
    }

    /// The constant operand of `op`, if all its elements are equal and it does not stand first
    /// where that matters.
    fn scalar_operand(&self, node: &Node, wanted: BinaryOp) -> Option<(f32, ValueId)> {
        let Op::Binary { op, activation: Activation::None } = node.op else { return None };
        let (value, at) = self.constant_operand(node)?;
        let data = value.constant.as_deref()?;
        let first = *data.first()?;
        let commutes = at == 1
            || matches!(
                op,
                BinaryOp::Add | BinaryOp::Multiply | BinaryOp::Minimum | BinaryOp::Maximum
            );
        let keeps_shape = self.value(node.inputs[1 - at]).element_count()
            == self.value(node.output).element_count();
        let same = data.iter().all(|&value| value.to_bits() == first.to_bits());
        (op == wanted && commutes && keeps_shape && same).then(|| (first, node.inputs[1 - at]))
    }

    /// The constant operand of `op` along the channels of the other, which has `channels` of them
    /// for whoever made it: one value per channel.
    fn channel_operand(
        &self,
        node: &Node,
        wanted: BinaryOp,
        channels_of: impl Fn(ValueId) -> Option<usize>,
    ) -> Option<(Vec<f32>, ValueId)> {
        let Op::Binary { op, activation: Activation::None } = node.op else { return None };
        let (value, at) = self.constant_operand(node)?;
        let other = self.value(node.inputs[1 - at]);
        let channels = channels_of(node.inputs[1 - at])?;
        let keeps_shape = other.element_count() == self.value(node.output).element_count();
        let data = value.constant.as_deref()?;
        // The last dim is another one where an axis of length 1 was left out, or channels are
        // split.
        let last = [&value.dims, &other.dims].map(|dims| dims.last() == Some(&channels));
        let per_channel = data.len() == 1 || (data.len() == channels && last == [true; 2]);
        let commutes = matches!(op, BinaryOp::Add | BinaryOp::Multiply) || at == 1;
        if op != wanted || !per_channel || !keeps_shape || !commutes {
            return None;
        }
        let data = if data.len() == 1 { vec![data[0]; channels] } else { data.clone() };
        Some((data, node.inputs[1 - at]))
    }

    /// Replaces node `index` by `op` on `inputs`.
    fn become_op(&mut self, index: usize, op: Op, inputs: Vec<ValueId>) -> bool {
        self.nodes[index].op = op;
        self.nodes[index].inputs = inputs;
        true
    }

    /// Moves node `from` into the place of node `to`, whose output it writes from now on.
    fn absorb(&mut self, from: usize, to: usize, op: Op, inputs: Vec<ValueId>) -> bool {
        let name = self.nodes[from].name.clone();
        self.nodes[to].name = name;
        self.become_op(to, op, inputs)
    }
}

/// A sum times one over the number of its terms.
fn sum_to_mean(graph: &mut Graph, index: usize) -> bool {
    let node = &graph.nodes[index];
    let Some((factor, id)) = graph.scalar_operand(node, BinaryOp::Multiply) else { return false };
    let Some(writer) = graph.private_writer(id).map(|at| &graph.nodes[at]) else { return false };
    let Op::Sum { dims } = &writer.op else { return false };
    let from = graph.value(writer.inputs[0]);
    let count: usize = dims.iter().map(|&dim| from.dims[dim]).product();
    if (factor * count as f32 - 1.0).abs() > 1e-5 {
        return false;
    }
    let (op, inputs) = (Op::Mean { dims: dims.clone() }, writer.inputs.clone());
    graph.become_op(index, op, inputs)
}

/// A maximum or minimum with a number.
fn limit_to_clip(graph: &mut Graph, index: usize) -> bool {
    let node = &graph.nodes[index];
    let low = graph.scalar_operand(node, BinaryOp::Maximum);
    let high = graph.scalar_operand(node, BinaryOp::Minimum);
    let (low, high, id) = match (low, high) {
        (Some((low, id)), _) => (low, f32::INFINITY, id),
        (_, Some((high, id))) => (f32::NEG_INFINITY, high, id),
        _ => return false,
    };
    let activation = Activation::Clip { low, high };
    graph.become_op(index, Op::Unary { activation, slopes: Vec::new() }, vec![id])
}

/// The limits of a clip node.
fn clip_of(node: &Node) -> Option<(f32, f32)> {
    match node.op {
        Op::Unary { activation: Activation::Clip { low, high }, .. } => Some((low, high)),
        _ => None,
    }
}

fn clips_to_clip(graph: &mut Graph, index: usize) -> bool {
    let node = &graph.nodes[index];
    let Some((low, high)) = clip_of(node) else { return false };
    let Some(writer) = graph.private_writer(node.inputs[0]) else { return false };
    let Some((inner_low, inner_high)) = clip_of(&graph.nodes[writer]) else { return false };
    let (low, high) = (inner_low.max(low).min(high), inner_high.max(low).min(high));
    let inputs = graph.nodes[writer].inputs.clone();
    let activation = Activation::Clip { low, high };
    graph.become_op(index, Op::Unary { activation, slopes: Vec::new() }, inputs)
}

/// `clip(x * alpha + beta, 0, 1)`.
fn hard_sigmoid(graph: &mut Graph, index: usize) -> bool {
    let node = &graph.nodes[index];
    let Some((0.0, 1.0)) = clip_of(node) else { return false };
    let Some(sum) = graph.private_writer(node.inputs[0]) else { return false };
    let Some((beta, id)) = graph.scalar_operand(&graph.nodes[sum], BinaryOp::Add) else {
        return false;
    };
    let Some(product) = graph.private_writer(id) else { return false };
    let Some((alpha, x)) = graph.scalar_operand(&graph.nodes[product], BinaryOp::Multiply) else {
        return false;
    };
    let activation = Activation::HardSigmoid { alpha, beta };
    graph.become_op(index, Op::Unary { activation, slopes: Vec::new() }, vec![x])
}

/// `x * f(x)`: hard-swish and SiLU.
fn gate(graph: &mut Graph, index: usize) -> bool {
    let node = &graph.nodes[index];
    let Op::Binary { op: BinaryOp::Multiply, activation: Activation::None } = node.op else {
        return false;
    };
    for (x, gate) in [(node.inputs[0], node.inputs[1]), (node.inputs[1], node.inputs[0])] {
        let Some(writer) = graph.private_writer(gate).map(|at| &graph.nodes[at]) else { continue };
        if writer.inputs[0] != x {
            continue;
        }
        let activation = match writer.op {
            Op::Unary { activation: Activation::Sigmoid, .. } => Activation::Silu,
            Op::Unary { activation: Activation::HardSigmoid { alpha, beta }, .. }
                if (alpha * 6.0 - 1.0).abs() < 1e-6 && beta == 0.5 =>
            {
                Activation::HardSwish
            }
            _ => continue,
        };
        return graph.become_op(index, Op::Unary { activation, slopes: Vec::new() }, vec![x]);
    }
    false
}

/// The convolution that alone writes `id`, with no activation yet.
fn linear_convolution(graph: &Graph, id: ValueId) -> Option<(usize, Convolution)> {
    let at = graph.private_writer(id)?;
    match &graph.nodes[at].op {
        Op::Convolution(one) if one.activation == Activation::None => Some((at, one.clone())),
        _ => None,
    }
}

/// Channels of the convolution that alone writes `id`.
fn filters_of(graph: &Graph, id: ValueId) -> Option<usize> {
    linear_convolution(graph, id).map(|(_, convolution)| convolution.bias.len())
}

/// The convolution that alone writes `id`, with nothing after it yet.
fn bare_convolution(graph: &Graph, id: ValueId) -> Option<(usize, Convolution)> {
    linear_convolution(graph, id).filter(|(at, _)| graph.nodes[*at].inputs.len() == 1)
}

/// Every other row and column of what a convolution of single pixels reads.
pub(super) fn stride_into_convolution(graph: &mut Graph, index: usize) -> bool {
    let node = &graph.nodes[index];
    let Op::Convolution(convolution) = &node.op else { return false };
    let Some(at) = graph.writer(node.inputs[0]) else { return false };
    let Op::Slice { start, stride } = &graph.nodes[at].op else { return false };
    let from = &graph.value(graph.nodes[at].inputs[0]).dims;
    let rank = from.len();
    let window = convolution.window;
    let is_point = window.kernel == [1, 1]
        && window.pad_before == [0, 0]
        && window.pad_after == [0, 0]
        && !convolution.transposed;
    let strides = |dim: usize| stride[dim] != 1;
    let inside = (0..rank).all(|dim| !strides(dim) || dim + 3 == rank || dim + 2 == rank);
    let cuts = (0..rank).any(|dim| {
        let to = graph.value(graph.nodes[at].output).dims[dim];
        stride[dim] == 1 && from[dim] != to
    });
    let all = (0..rank).any(strides) && start.iter().all(|&start| start == 0);
    let is_read = graph.value(node.inputs[0]).dims.ends_with(&convolution.input);
    if rank < 3 || !is_point || !inside || !all || cuts || !is_read {
        return false;
    }
    let mut convolution = convolution.clone();
    for (axis, dim) in [rank - 3, rank - 2].into_iter().enumerate() {
        // With stride s before and t here, every s*t-th row is read.
        convolution.window.stride[axis] *= stride[dim];
        convolution.input[axis] = from[dim];
    }
    let mut inputs = node.inputs.clone();
    inputs[0] = graph.nodes[at].inputs[0];
    graph.become_op(index, Op::Convolution(convolution), inputs)
}

fn pad_into_convolution(graph: &mut Graph, index: usize) -> bool {
    let node = &graph.nodes[index];
    let Op::Convolution(convolution) = &node.op else { return false };
    let Some(at) = graph.writer(node.inputs[0]) else { return false };
    let Op::Pad { before, after, value: 0.0 } = &graph.nodes[at].op else { return false };
    let rank = before.len();
    let padded = &graph.value(node.inputs[0]).dims;
    if convolution.transposed || !padded.ends_with(&convolution.input) {
        return false;
    }
    let outside = (0..rank).filter(|&dim| rank < 3 || dim < rank - 3 || dim == rank - 1);
    if rank < 3 || outside.clone().any(|dim| before[dim] + after[dim] != 0) {
        return false;
    }
    let mut convolution = convolution.clone();
    for (axis, dim) in [rank - 3, rank - 2].into_iter().enumerate() {
        convolution.window.pad_before[axis] += before[dim];
        convolution.window.pad_after[axis] += after[dim];
        convolution.input[axis] -= before[dim] + after[dim];
        if !convolution.window.fits_padding(axis) {
            return false;
        }
    }
    let mut inputs = node.inputs.clone();
    inputs[0] = graph.nodes[at].inputs[0];
    graph.become_op(index, Op::Convolution(convolution), inputs)
}

fn scale_into_convolution(graph: &mut Graph, index: usize) -> bool {
    let node = &graph.nodes[index];
    let channels = |id| filters_of(graph, id);
    let operand = graph.channel_operand(node, BinaryOp::Multiply, channels);
    let Some((scales, id)) = operand else { return false };
    let Some((at, mut convolution)) = bare_convolution(graph, id) else { return false };
    let per_output = convolution.weights_per_output();
    let mut weights = convolution.weights.to_vec();
    for (channel, scale) in weights.chunks_mut(per_output).zip(&scales) {
        channel.iter_mut().for_each(|weight| *weight *= scale);
    }
    convolution.weights = Arc::new(weights);
    convolution.bias.iter_mut().zip(&scales).for_each(|(bias, scale)| *bias *= scale);
    let inputs = graph.nodes[at].inputs.clone();
    graph.absorb(at, index, Op::Convolution(convolution), inputs)
}

fn shift_into_convolution(graph: &mut Graph, index: usize) -> bool {
    let node = &graph.nodes[index];
    let channels = |id| filters_of(graph, id);
    let shift = graph.channel_operand(node, BinaryOp::Add, channels);
    let negative = graph.channel_operand(node, BinaryOp::Subtract, channels);
    let negative = negative.map(|(mut shift, id)| {
        shift.iter_mut().for_each(|shift| *shift = -*shift);
        (shift, id)
    });
    let Some((shift, id)) = shift.or(negative) else { return false };
    let Some((at, mut convolution)) = linear_convolution(graph, id) else { return false };
    convolution.bias.iter_mut().zip(&shift).for_each(|(bias, shift)| *bias += shift);
    let inputs = graph.nodes[at].inputs.clone();
    graph.absorb(at, index, Op::Convolution(convolution), inputs)
}

/// What kernels of convolutions apply to their results.
fn is_epilogue(activation: Activation) -> bool {
    use Activation::{
        Clip, Gelu, GeluTanh, HardSigmoid, HardSwish, LeakyRelu, Prelu, Sigmoid, Silu, Tanh,
    };
    matches!(
        activation,
        Clip { .. }
            | HardSwish
            | HardSigmoid { .. }
            | Sigmoid
            | Silu
            | Tanh
            | Gelu
            | GeluTanh
            | LeakyRelu { .. }
            | Prelu
    )
}

fn activation_into_convolution(graph: &mut Graph, index: usize) -> bool {
    let node = &graph.nodes[index];
    let Op::Unary { activation, slopes } = &node.op else { return false };
    let Some(at) = graph.private_writer(node.inputs[0]) else { return false };
    let Op::Convolution(convolution) = &graph.nodes[at].op else { return false };
    let per_channel = *activation != Activation::Prelu || slopes.len() == convolution.bias.len();
    if !is_epilogue(*activation) || convolution.activation != Activation::None || !per_channel {
        return false;
    }
    let mut convolution = convolution.clone();
    convolution.activation = *activation;
    convolution.slopes.clone_from(slopes);
    let inputs = graph.nodes[at].inputs.clone();
    graph.absorb(at, index, Op::Convolution(convolution), inputs)
}

/// Whether 8-bit numbers were dequantised to `id`: what reads it may be computed in integers, which
/// cannot add floats.
fn is_dequantized(graph: &Graph, id: ValueId) -> bool {
    let writer = graph.writer(graph.before_reshapes(id)).map(|at| &graph.nodes[at].op);
    matches!(writer, Some(Op::Dequantize))
}

/// The sum of a convolution and a tensor of its shape. The later one of two convolutions takes the
/// other's result, so that both are there when it runs.
fn residual_into_convolution(graph: &mut Graph, index: usize) -> bool {
    let node = &graph.nodes[index];
    let Op::Binary { op: BinaryOp::Add, activation: Activation::None } = node.op else {
        return false;
    };
    let [left, right] = [node.inputs[0], node.inputs[1]];
    let lens = [left, right, node.output].map(|id| graph.value(id).element_count());
    let constants = [left, right].iter().any(|&id| graph.value(id).constant.is_some());
    if lens[0] != lens[2] || lens[1] != lens[2] || constants || left == right {
        return false;
    }
    let takes = |id: ValueId| {
        let at = graph.private_writer(id)?;
        let Op::Convolution(convolution) = &graph.nodes[at].op else { return None };
        let free = graph.nodes[at].inputs.len() == 1
            && !convolution.is_depthwise()
            && !convolution.transposed;
        let fits = free && !is_dequantized(graph, graph.nodes[at].inputs[0]);
        (fits && convolution.groups == 1).then_some(at)
    };
    let candidates = [(takes(left), right), (takes(right), left)];
    let best = candidates
        .into_iter()
        .filter_map(|(at, other)| at.map(|at| (at, other)))
        .max_by_key(|(at, _)| *at);
    let Some((at, other)) = best else { return false };
    let Op::Convolution(convolution) = &graph.nodes[at].op else { return false };
    let mut convolution = convolution.clone();
    convolution.residual_after_activation = convolution.activation != Activation::None;
    let inputs = vec![graph.nodes[at].inputs[0], other];
    graph.absorb(at, index, Op::Convolution(convolution), inputs)
}

/// An operand times a number.
fn factor_into_product(graph: &mut Graph, index: usize) -> bool {
    let node = &graph.nodes[index];
    let Op::MatrixProduct(product) = node.op else { return false };
    for slot in 0..2 {
        let Some(at) = graph.private_writer(node.inputs[slot]) else { continue };
        let Some((factor, x)) = graph.scalar_operand(&graph.nodes[at], BinaryOp::Multiply) else {
            continue;
        };
        let mut inputs = node.inputs.clone();
        inputs[slot] = x;
        let op = super::graph::MatrixProduct { factor: product.factor * factor, ..product };
        return graph.become_op(index, Op::MatrixProduct(op), inputs);
    }
    false
}

/// `(x - mean(x)) / sqrt(mean((x - mean(x))^2) + epsilon) * scale + bias`.
fn layer_norm(graph: &mut Graph, index: usize) -> bool {
    let node = &graph.nodes[index];
    if let Op::LayerNorm { epsilon, scale, bias } = &node.op {
        let (epsilon, scale, bias) = (*epsilon, scale.clone(), bias.clone());
        return extend_norm(graph, index, epsilon, scale, bias);
    }
    let Op::RmsNorm { epsilon } = node.op else { return false };
    let Some(difference) = graph.writer(node.inputs[0]).map(|at| &graph.nodes[at]) else {
        return false;
    };
    let Op::Binary { op: BinaryOp::Subtract, activation: Activation::None } = difference.op else {
        return false;
    };
    let (x, mean) = (difference.inputs[0], graph.before_reshapes(difference.inputs[1]));
    let Some(mean) = graph.writer(mean).map(|at| &graph.nodes[at]) else { return false };
    let Op::Mean { dims } = &mean.op else { return false };
    let rank = graph.value(mean.inputs[0]).dims.len();
    if mean.inputs[0] != x || dims[..] != [rank - 1] {
        return false;
    }
    let channels = *graph.value(x).dims.last().unwrap_or(&1);
    let op = Op::LayerNorm { epsilon, scale: vec![1.0; channels], bias: vec![0.0; channels] };
    graph.become_op(index, op, vec![x])
}

/// Takes a scale or bias that follows into the normalisation.
fn extend_norm(
    graph: &mut Graph,
    index: usize,
    epsilon: f32,
    scale: Vec<f32>,
    bias: Vec<f32>,
) -> bool {
    let output = graph.nodes[index].output;
    let readers: Vec<usize> =
        (0..graph.nodes.len()).filter(|&at| graph.nodes[at].inputs.contains(&output)).collect();
    let [reader] = readers[..] else { return false };
    if graph.outputs.contains(&output) {
        return false;
    }
    let node = &graph.nodes[reader];
    let product =
        |one: &[f32], other: &[f32]| one.iter().zip(other).map(|(a, b)| a * b).collect::<Vec<_>>();
    let channels = |_| Some(scale.len());
    let factors = graph.channel_operand(node, BinaryOp::Multiply, channels);
    let op = if let Some((factors, _)) = factors {
        Op::LayerNorm { epsilon, scale: product(&scale, &factors), bias: product(&bias, &factors) }
    } else if let Some((shift, _)) = graph.channel_operand(node, BinaryOp::Add, channels) {
        let bias = bias.iter().zip(&shift).map(|(a, b)| a + b).collect();
        Op::LayerNorm { epsilon, scale, bias }
    } else {
        return false;
    };
    let inputs = graph.nodes[index].inputs.clone();
    graph.absorb(index, reader, op, inputs)
}

/// Products with a softmax between them.
fn attention(graph: &mut Graph) {
    for index in 0..graph.nodes.len() {
        let Some((op, inputs)) = attention_at(graph, index) else { continue };
        graph.become_op(index, op, inputs);
    }
}

fn attention_at(graph: &Graph, index: usize) -> Option<(Op, Vec<ValueId>)> {
    let Op::MatrixProduct(values) = graph.nodes[index].op else { return None };
    let softmax = graph.private_writer(graph.nodes[index].inputs[0])?;
    let Op::Softmax = graph.nodes[softmax].op else { return None };
    let scores_node = graph.private_writer(graph.nodes[softmax].inputs[0])?;
    let Op::MatrixProduct(scores) = graph.nodes[scores_node].op else { return None };
    let (heads, width) = (scores.batch, scores.depth);
    // Heads are neighbouring channels of tokens x (heads * width), in all four.
    let per_token = heads * width;
    let is_heads = |strides: super::graph::Strides, token: usize, channel: usize| {
        strides.batch == width && token == per_token && channel == 1
    };
    let fits = is_heads(scores.left, scores.left.row, scores.left.column)
        && is_heads(scores.right, scores.right.column, scores.right.row)
        && is_heads(values.right, values.right.row, values.right.column)
        && is_heads(values.output, values.output.row, values.output.column)
        && values.batch == heads
        && values.columns == width
        && values.factor == 1.0;
    if !fits {
        return None;
    }
    let [query, key] = [0, 1].map(|slot| graph.nodes[scores_node].inputs[slot]);
    let inputs = vec![query, key, graph.nodes[index].inputs[1]];
    Some((Op::Attention { heads, head_channels: width, factor: scores.factor }, inputs))
}
