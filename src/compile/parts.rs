//! Operators that no step computes, and that nothing took into another one: in operators that have
//! steps.

use super::graph::{Graph, Node, Op, ValueId};
use crate::plan::{Activation, BinaryOp};
use std::vec;
use std::vec::Vec;

/// Replaces them.
pub fn take_apart(graph: &mut Graph) {
    for node in std::mem::take(&mut graph.nodes) {
        match &node.op {
            Op::Sum { dims } => sum(graph, &node, dims),
            Op::RmsNorm { epsilon } => root_mean_square(graph, &node, *epsilon),
            _ => graph.nodes.push(node),
        }
    }
}

fn unary(activation: Activation) -> Op {
    Op::Unary { activation, slopes: Vec::new() }
}

/// An operator with a number, or with another tensor.
fn binary(op: BinaryOp) -> Op {
    Op::Binary { op, activation: Activation::None }
}

fn number(graph: &mut Graph, node: &Node, rank: usize, value: f32) -> ValueId {
    graph.add_constant(&node.name, vec![1; rank], vec![value])
}

/// A mean times the number of its terms.
fn sum(graph: &mut Graph, node: &Node, dims: &[usize]) {
    let from = &graph.value(node.inputs[0]).dims;
    let count: usize = dims.iter().map(|&dim| from[dim]).product();
    let to = graph.value(node.output).dims.clone();
    let count = number(graph, node, to.len(), count as f32);
    let mean = Op::Mean { dims: dims.to_vec() };
    let mean = graph.add_node(&node.name, mean, node.inputs.clone(), to);
    let inputs = vec![mean, count];
    let op = binary(BinaryOp::Multiply);
    graph.nodes.push(Node { name: node.name.clone(), op, inputs, output: node.output });
}

/// `x * (mean(x^2) + epsilon)^-0.5` over the last dim.
fn root_mean_square(graph: &mut Graph, node: &Node, epsilon: f32) {
    let x = node.inputs[0];
    let dims = graph.value(x).dims.clone();
    let Some(last) = dims.len().checked_sub(1) else { return graph.nodes.push(node.clone()) };
    let mut row = dims.clone();
    row[last] = 1;
    let epsilon = number(graph, node, row.len(), epsilon);
    let name = &*node.name;
    let squares = graph.add_node(name, unary(Activation::Square), vec![x], dims);
    let mean = graph.add_node(name, Op::Mean { dims: vec![last] }, vec![squares], row.clone());
    let sum = graph.add_node(name, binary(BinaryOp::Add), vec![mean, epsilon], row.clone());
    let factor = graph.add_node(name, unary(Activation::ReciprocalSqrt), vec![sum], row);
    let (inputs, op) = (vec![x, factor], binary(BinaryOp::Multiply));
    graph.nodes.push(Node { name: name.into(), op, inputs, output: node.output });
}
