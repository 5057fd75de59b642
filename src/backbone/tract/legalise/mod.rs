//! Rewrites operators that tract has not, or computes slowly or wrongly, as others; and those that
//! need to know the sides of their inputs for it replaces by its own.

mod arithmetic;
mod pads;
mod quantized;
mod softmax;
mod transposed;

use super::guard::integer_constants;
use super::integers::parameters_of;
use crate::status::Result;
use std::collections::{HashMap, HashSet};
use std::format;
use std::string::String;
use std::vec;
use std::vec::Vec;
use tract_onnx::model::OnnxOpRegister;
use tract_onnx::pb::attribute_proto::AttributeType;
use tract_onnx::pb::tensor_proto::DataType;
use tract_onnx::pb::{AttributeProto, GraphProto, NodeProto, TensorProto};

/// Registers the operators in place of tract's own.
pub(super) fn register(operators: &mut OnnxOpRegister) {
    softmax::register(operators);
    transposed::register(operators);
}

/// Rewrites `graph`, whose operators are of a version of ONNX. If its output is written by a
/// quantising node, the output becomes the dequantised tensor.
pub(super) fn legalise(graph: &mut GraphProto, version: i64) -> Result<()> {
    let lists = integer_constants(graph).into_iter();
    let lists = lists.map(|(name, values)| (name.into(), values)).collect();
    let nodes = core::mem::take(&mut graph.node);
    let mut rewriter = Rewriter {
        nodes: Vec::with_capacity(nodes.len()),
        constants: Vec::new(),
        version,
        lists,
        scales: graph.initializer.iter().filter_map(scales).collect(),
        known: graph.initializer.iter().map(|tensor| tensor.name.clone()).collect(),
    };
    for node in nodes {
        rewriter.rewrite(node)?;
    }
    rewriter.dequantize_output(graph);
    graph.node = rewriter.nodes;
    graph.initializer.append(&mut rewriter.constants);
    Ok(())
}

struct Rewriter {
    nodes: Vec<NodeProto>,
    /// New initialisers.
    constants: Vec<TensorProto>,
    /// Version of ONNX.
    version: i64,
    /// The model's small constants of integers.
    lists: HashMap<String, Vec<i64>>,
    /// The model's initialisers that may be scales.
    scales: HashMap<String, Vec<f32>>,
    /// Names of the model's initialisers.
    known: HashSet<String>,
}

/// Name and values of an initialiser of few floats.
fn scales(tensor: &TensorProto) -> Option<(String, Vec<f32>)> {
    Some((tensor.name.clone(), parameters_of(tensor).filter(|_| is_float(tensor))?))
}

fn is_float(tensor: &TensorProto) -> bool {
    tensor.data_type == DataType::Float as i32
}

impl Rewriter {
    fn rewrite(&mut self, mut node: NodeProto) -> Result<()> {
        if matches!(&*node.op_type, "MaxPool" | "AveragePool" | "QLinearAveragePool") {
            // tract looks at `ceil_mode` where padding is told in numbers; without any it is 0.
            node.attribute.retain(|one| one.name != "auto_pad" || one.s != b"VALID");
        }
        match &*node.op_type {
            "QLinearConv" => self.convolution(node),
            "QLinearAdd" => self.binary(&node, "Add"),
            "QLinearMul" => self.binary(&node, "Mul"),
            "QLinearMatMul" if self.has_scales(&node, &[1, 4, 6]) => self.binary(&node, "MatMul"),
            "MatMulInteger" if self.has_zero_points(&node) => self.integers(&node, "MatMul"),
            "ConvInteger" if self.has_zero_points(&node) => self.integers(&node, "Conv"),
            "QLinearSigmoid" => self.unary(&node, "Sigmoid"),
            "QLinearLeakyRelu" => self.unary(&node, "LeakyRelu"),
            "QLinearSoftmax" => self.unary(&node, "Softmax"),
            "QLinearAveragePool" => self.unary(&node, "AveragePool"),
            "QLinearGlobalAveragePool" => self.unary(&node, "GlobalAveragePool"),
            "QLinearConcat" => self.concat(&node),
            "QGemm" => self.gemm(&node),
            "Pad" => self.pad(node),
            "Softplus" => self.softplus(&node),
            "Elu" => self.exponential(&node, [float(&node, "alpha", 1.0), 1.0, 1.0]),
            "Celu" => {
                let alpha = float(&node, "alpha", 1.0);
                self.exponential(&node, [alpha, alpha, 1.0])
            }
            "Selu" => {
                let alpha = float(&node, "alpha", 1.673_263_2);
                self.exponential(&node, [alpha, 1.0, float(&node, "gamma", 1.050_701)])
            }
            _ => {
                self.nodes.push(node);
                Ok(())
            }
        }
    }

    /// Appends a node and names its output after the node it is part of.
    fn push(
        &mut self,
        origin: &NodeProto,
        operator: &str,
        input: Vec<String>,
        attribute: Vec<AttributeProto>,
    ) -> String {
        // The control character keeps the name apart from those of the model.
        let stem = origin.output.first().map_or("", |output| output);
        let name = format!("{stem}\u{1}{operator}{}", self.nodes.len());
        self.nodes.push(NodeProto {
            name: name.clone(),
            op_type: operator.into(),
            input,
            output: vec![name.clone()],
            attribute,
            ..NodeProto::default()
        });
        name
    }

    fn rename_last(&mut self, from: String, to: &str) {
        let last = self.nodes.last_mut().filter(|last| last.output == [from]);
        if let Some(last) = last {
            last.output = vec![to.into()];
        }
    }
}

/// The name of an input that is there.
fn input(node: &NodeProto, index: usize) -> Option<&str> {
    node.input.get(index).map(|name| &**name).filter(|name| !name.is_empty())
}

pub(super) fn integer(node: &NodeProto, name: &str) -> Option<i64> {
    node.attribute.iter().find(|one| one.name == name).map(|one| one.i)
}

fn float(node: &NodeProto, name: &str, absent: f32) -> f32 {
    node.attribute.iter().find(|one| one.name == name).map_or(absent, |one| one.f)
}

pub(super) fn attribute(name: &str, kind: AttributeType, i: i64, f: f32) -> AttributeProto {
    AttributeProto { name: name.into(), r#type: kind as i32, i, f, ..AttributeProto::default() }
}
