//! Brings a float network into the form that `scheme` reads.

use super::super::guard::{GraphModel, check_tensor, title};
use super::super::load::load_refusal;
use super::fold::fold;
use crate::status::{Result, Status};
use std::format;
use std::vec::Vec;
use tract_onnx::pb::tensor_shape_proto::dimension::Value as Side;
use tract_onnx::pb::type_proto::Value as Type;
use tract_onnx::pb::{GraphProto, NodeProto};

/// First version of ONNX's operators that quantises with a scale per channel.
const PER_CHANNEL_OPSET: i64 = 13;
/// Oldest version that is raised to that.
const RAISED_OPSET: i64 = 11;
/// Operators that mean something else in version 13 than in version 11.
const CHANGED: [&str; 7] =
    ["Softmax", "LogSoftmax", "Hardmax", "Squeeze", "Unsqueeze", "ReduceSum", "Split"];

/// Refuses what cannot be quantised; makes constants initialisers and folds layers.
pub(super) fn prepare(model: &mut GraphModel) -> Result<()> {
    refuse_quantized(&model.graph)?;
    raise_opset(model)?;
    constants(&mut model.graph)?;
    for tensor in &model.graph.initializer {
        check_tensor(tensor, &tensor.name)?;
    }
    fold(&mut model.graph)
}

fn refuse_quantized(graph: &GraphProto) -> Result<()> {
    let is_quantized = |node: &&NodeProto| {
        let operator = &*node.op_type;
        let known = ["QuantizeLinear", "DequantizeLinear", "DynamicQuantizeLinear", "QGemm"];
        known.contains(&operator)
            || operator.starts_with("QLinear")
            || ["ConvInteger", "MatMulInteger", "QAttention"].contains(&operator)
    };
    let Some(node) = graph.node.iter().find(is_quantized) else { return Ok(()) };
    let text = format!(
        "it is quantised already ({} is a {}): `zsseg pack` takes it as it is",
        title(node),
        node.op_type
    );
    Err(Status::Unsupported.about("network").text(text))
}

fn raise_opset(model: &mut GraphModel) -> Result<()> {
    let mut imports = model.proto.opset_import.iter_mut();
    let opset = imports.find(|one| one.domain.is_empty() || one.domain == "ai.onnx");
    let opset = opset.ok_or_else(|| load_refusal("the network states no operator version"))?;
    if opset.version >= PER_CHANNEL_OPSET {
        return Ok(());
    }
    let changed = |node: &&NodeProto| CHANGED.contains(&&*node.op_type);
    let reason = match model.graph.node.iter().find(changed) {
        _ if opset.version < RAISED_OPSET => format!("{RAISED_OPSET} is the oldest taken"),
        Some(node) => format!("{} means something else in {PER_CHANNEL_OPSET}", title(node)),
        None => {
            opset.version = PER_CHANNEL_OPSET;
            return Ok(());
        }
    };
    let text = format!(
        "operator version {} has no quantisation per channel, and {reason}; export it with \
         version {PER_CHANNEL_OPSET} or newer",
        opset.version
    );
    Err(Status::Unsupported.about("network").text(text))
}

/// Tensors of `Constant` nodes become initialisers.
fn constants(graph: &mut GraphProto) -> Result<()> {
    let nodes = core::mem::take(&mut graph.node);
    for node in nodes {
        let tensor = match (&*node.op_type, node.output.first()) {
            ("Constant", Some(output)) => {
                let value = node.attribute.iter().find(|one| one.name == "value");
                value.and_then(|one| one.t.clone()).map(|tensor| (tensor, output.clone()))
            }
            _ => None,
        };
        match tensor {
            Some((mut tensor, name)) => {
                tensor.name = name;
                graph.initializer.push(tensor);
            }
            None => graph.node.push(node),
        }
    }
    Ok(())
}

/// Sides of the input `name` as declared.
pub(super) fn input_sides(graph: &GraphProto, name: &str) -> Vec<Option<usize>> {
    let input = graph.input.iter().find(|input| input.name == name);
    let declared = input.and_then(|input| input.r#type.as_ref()?.value.as_ref());
    let Some(Type::TensorType(tensor)) = declared else { return Vec::new() };
    let dims = tensor.shape.iter().flat_map(|shape| &shape.dim);
    let side = |value: &Option<Side>| match value {
        Some(Side::DimValue(side)) => usize::try_from(*side).ok().filter(|side| *side > 0),
        _ => None,
    };
    dims.map(|dim| side(&dim.value)).collect()
}
