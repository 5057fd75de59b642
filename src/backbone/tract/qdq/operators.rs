//! What the operators of ONNX are to quantisation.

use super::super::legalise::integer;
use std::string::String;
use std::vec::Vec;
use tract_onnx::pb::tensor_proto::DataType;
use tract_onnx::pb::{NodeProto, TensorProto};

/// What a node does, as far as quantisation is concerned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// Has weights.
    Layer,
    /// A product of two activations as matrices.
    Product,
    /// Of two activations: a sum, a difference, a product.
    Binary,
    /// Puts tensors together.
    Concat,
    /// Moves values, or leaves some out: the result has the numbers of the input.
    Move,
    /// Means between neighbours.
    Resize,
    /// Means over windows.
    Pool,
    /// Value by value, of one tensor and single numbers.
    Function,
    /// Limits: goes into what computes its input.
    Clip,
    /// Anything else: stays in floats.
    Other,
}

/// The kind by the operator alone, and the reason if it is [`Kind::Other`].
pub(super) fn kind_of(node: &NodeProto) -> (Kind, &'static str) {
    let attribute = |name: &str| node.attribute.iter().find(|one| one.name == name);
    let kind = match &*node.op_type {
        _ if !matches!(&*node.domain, "" | "ai.onnx") => Kind::Other,
        "Conv" | "MatMul" => Kind::Layer,
        "Gemm" => {
            let is_one = |name: &str| attribute(name).is_none_or(|one| one.f == 1.0);
            let plain = is_one("alpha") && is_one("beta");
            if plain && integer(node, "transA").unwrap_or(0) == 0 {
                Kind::Layer
            } else {
                return (Kind::Other, "only plain products of matrices have an integer form");
            }
        }
        "Add" | "Sub" | "Mul" | "Div" | "Min" | "Max" | "Pow" => Kind::Binary,
        "Concat" => Kind::Concat,
        "MaxPool" | "Reshape" | "Transpose" | "Flatten" | "Squeeze" | "Unsqueeze" | "Slice"
        | "Identity" | "Dropout" | "DepthToSpace" | "SpaceToDepth" | "Split" => Kind::Move,
        "Pad" => {
            let mode = attribute("mode").map_or(&b"constant"[..], |one| &one.s[..]);
            // A value that is given is most often 0, but need not be.
            let has_value = node.input.get(2).is_some_and(|name| !name.is_empty());
            match mode == b"constant" && !has_value {
                true => Kind::Move,
                false => return (Kind::Other, "only padding with zeros has an integer form"),
            }
        }
        "Resize" | "Upsample" => {
            let mode = attribute("mode").map_or(&b"nearest"[..], |one| &one.s[..]);
            match mode {
                b"nearest" | b"linear" => Kind::Resize,
                _ => return (Kind::Other, "only linear and nearest resizing have an integer form"),
            }
        }
        "AveragePool" | "GlobalAveragePool" | "ReduceMean" => Kind::Pool,
        "Relu" | "Clip" => Kind::Clip,
        "HardSwish" | "HardSigmoid" | "Sigmoid" | "LeakyRelu" | "Tanh" | "Abs" | "Neg" | "Exp"
        | "Log" | "Sqrt" | "Reciprocal" | "Erf" | "Gelu" => Kind::Function,
        _ => Kind::Other,
    };
    (kind, "the operator has no integer form")
}

/// Whether a node's result is not made of the floats that it reads.
pub(super) fn gives_no_floats(node: &NodeProto) -> bool {
    matches!(
        &*node.op_type,
        "Shape"
            | "Size"
            | "Cast"
            | "ArgMax"
            | "ArgMin"
            | "NonZero"
            | "Equal"
            | "Less"
            | "Greater"
            | "LessOrEqual"
            | "GreaterOrEqual"
            | "Not"
            | "And"
            | "Or"
            | "IsNaN"
            | "IsInf"
    )
}

/// Whether a node reads none of its input's numbers.
pub(super) fn reads_sides_only(node: &NodeProto) -> bool {
    matches!(&*node.op_type, "Shape" | "Size")
}

/// The values of an f32 tensor.
pub(super) fn floats_of(tensor: &TensorProto) -> Option<Vec<f32>> {
    if tensor.data_type != DataType::Float as i32 {
        return None;
    }
    if tensor.raw_data.is_empty() {
        return Some(tensor.float_data.clone());
    }
    let words = tensor.raw_data.as_chunks().0;
    Some(words.iter().map(|word| f32::from_le_bytes(*word)).collect())
}

/// Names a tensor and gives it values; its sides stay.
pub(super) fn set_floats(tensor: &mut TensorProto, name: String, values: &[f32]) {
    tensor.name = name;
    tensor.data_type = DataType::Float as i32;
    tensor.float_data = Vec::new();
    tensor.raw_data = values.iter().flat_map(|value| value.to_le_bytes()).collect();
}
