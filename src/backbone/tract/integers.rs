//! Exact integer arithmetic carried in floats, for the QDQ form of quantised networks.
//!
//! Such a network dequantises activations and weights, convolves, and quantises the result. In
//! floats the order of summation, and with it the CPU, would decide which way a value near a tie
//! is rounded. So convolutions, matrix products and sums between a dequantisation and a
//! quantisation are given the integers themselves: steps (`integer - zero_point`) of the
//! activations, and the integers of the weights, both in f32. Every product and partial sum is
//! then a whole number, and exact in any order while below 2^24: equal bits on every CPU, and the
//! integers that onnxruntime's QLinearConv accumulates. `requantize` brings the sums back to
//! steps.
//!
//! 2^24 is far: with inputs of 255 steps and weights of 127 it takes more than 518 of them, all
//! extreme and of one sign. A layer whose weights could reach it is rewritten all the same: a sum
//! beyond is rounded like any sum of floats, so it is no less exact than without rewriting.

use super::cut::reads;
use super::quantize::Grid;
use super::requantize::{ADD_STEPS, REQUANTIZE};
use std::collections::HashMap;
use std::format;
use std::string::String;
use std::vec;
use std::vec::Vec;
use tract_core::prelude::*;
use tract_onnx::data_resolver::MmapDataResolver;
use tract_onnx::pb::attribute_proto::AttributeType;
use tract_onnx::pb::tensor_proto::DataType;
use tract_onnx::pb::{AttributeProto, GraphProto, NodeProto, TensorProto};
use tract_onnx::tensor::load_tensor;

/// Names of the constants that this file adds; the control character keeps them apart from the
/// model's.
const ONE: &str = "\u{1}one";
/// Largest error of a bias's scale, which is to be the product of two others.
const SCALE_ERROR: f32 = 1e-5;

/// Rewrites what can be of a checked graph.
pub(super) fn rewrite(graph: &mut GraphProto) {
    let mut added = vec![f32_tensor(ONE.into(), None, &[1.0])];
    let mut replacements = HashMap::new();
    let index = Index::new(graph);
    for (at, node) in graph.node.iter().enumerate() {
        let Some(end) = End::of(&index, node) else { continue };
        if let Some(nodes) = end.product(&mut added).or_else(|| end.sum()) {
            replacements.insert(at, nodes);
        }
    }
    let nodes = core::mem::take(&mut graph.node).into_iter().enumerate();
    let nodes = nodes.flat_map(|(at, node)| replacements.remove(&at).unwrap_or(vec![node]));
    let nodes: Vec<NodeProto> = nodes.collect();
    graph.node = nodes;
    graph.initializer.append(&mut added);
    drop_unread(graph);
}

/// Leaves out the nodes that only fed what was replaced.
fn drop_unread(graph: &mut GraphProto) {
    let mut read: Vec<String> = graph.output.iter().map(|output| output.name.clone()).collect();
    let mut kept = Vec::with_capacity(graph.node.len());
    for node in core::mem::take(&mut graph.node).into_iter().rev() {
        if node.output.iter().any(|output| read.contains(output)) {
            read.extend(super::cut::reads(&node).iter().map(|read| read.name.into()));
            kept.push(node);
        }
    }
    kept.reverse();
    graph.node = kept;
    graph.initializer.retain(|tensor| read.contains(&tensor.name));
}
