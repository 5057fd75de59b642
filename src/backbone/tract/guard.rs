//! Refuses models that tract must not see, before it sees them.
//!
//! A model is untrusted data. tract allocates what a tensor's dimensions say before it looks at
//! the data, opens files that a model names and evaluates whatever is constant, so each of these
//! is bounded here.

use super::load::{load_refusal, tract_error};
use crate::limits::MAX_BUNDLE_BYTES;
use crate::status::{Result, Status};
use std::collections::HashMap;
use std::format;
use std::string::String;
use std::vec::Vec;
use tract_core::prelude::*;
use tract_onnx::Onnx;
use tract_onnx::pb::tensor_proto::{DataLocation, DataType};
use tract_onnx::pb::{AttributeProto, GraphProto, ModelProto, NodeProto, TensorProto};

/// Most nodes, those of subgraphs included.
const MAX_NODES: usize = 8_192;
/// Deepest nesting of subgraphs.
const MAX_DEPTH: usize = 4;
/// Most dimensions of a tensor.
const MAX_RANK: usize = 8;
/// Most elements of a tensor that an operator makes from constants.
const MAX_ELEMENTS: u64 = 1 << 28;
/// Largest pad, stride, dilation and side of a kernel.
const MAX_WINDOW: i64 = 1 << 14;
/// Most taps of a kernel.
const MAX_TAPS: i64 = 1 << 20;

/// Parses the bytes of a model.
pub(super) fn parse(framework: &Onnx, mut onnx: &[u8]) -> Result<GraphModel> {
    if onnx.len() as u64 > MAX_BUNDLE_BYTES {
        let error = Status::LimitExceeded.about("bytes of the network");
        return Err(error.numbers(onnx.len() as u64, MAX_BUNDLE_BYTES));
    }
    let proto = framework.proto_model_for_read(&mut onnx);
    let mut proto =
        proto.map_err(|error| tract_error(Status::ModelLoad, "parsing the network", &error))?;
    let graph = proto.graph.take().ok_or_else(|| load_refusal("the model has no graph"))?;
    let nodes = count_nodes(&graph, 0)?;
    if nodes > MAX_NODES {
        let error = Status::LimitExceeded.about("nodes of the network");
        return Err(error.numbers(nodes as u64, MAX_NODES as u64));
    }
    Ok(GraphModel { graph, proto })
}

/// A model taken apart: its graph, and everything else.
pub(super) struct GraphModel {
    /// The graph.
    pub(super) graph: GraphProto,
    /// The model without its graph.
    pub(super) proto: ModelProto,
}

impl GraphModel {
    /// The version of ONNX that its operators are of.
    pub(super) fn version(&self) -> i64 {
        let is_onnx = |domain: &str| matches!(domain, "" | "ai.onnx");
        let import = self.proto.opset_import.iter().find(|import| is_onnx(&import.domain));
        import.map_or(0, |import| import.version)
    }

    /// Puts the model together again, without what only tools read.
    pub(super) fn into_proto(self) -> ModelProto {
        ModelProto {
            graph: Some(self.graph),
            ir_version: self.proto.ir_version,
            opset_import: self.proto.opset_import,
            ..ModelProto::default()
        }
    }
}

fn count_nodes(graph: &GraphProto, depth: usize) -> Result<usize> {
    if depth > MAX_DEPTH {
        return Err(load_refusal(&format!("subgraphs are nested more than {MAX_DEPTH} deep")));
    }
    let mut nodes = graph.node.len();
    for subgraph in graph.node.iter().flat_map(subgraphs) {
        nodes += count_nodes(subgraph, depth + 1)?;
    }
    Ok(nodes)
}

/// The graphs in the attributes of a node.
pub(super) fn subgraphs(node: &NodeProto) -> impl Iterator<Item = &GraphProto> {
    node.attribute.iter().flat_map(|attribute| attribute.g.iter().chain(&attribute.graphs))
}

/// Checks every tensor, operator and attribute of a graph.
pub(super) fn check(framework: &Onnx, graph: &GraphProto) -> Result<()> {
    for tensor in &graph.initializer {
        check_tensor(tensor, &tensor.name)?;
    }
    let constants = integer_constants(graph);
    for node in &graph.node {
        check_operator(framework, node)?;
        check_places(graph, node)?;
        for attribute in &node.attribute {
            check_attribute(node, attribute)?;
        }
        check_made_size(node, &constants)?;
        check_meaning(node, &constants)?;
        for subgraph in subgraphs(node) {
            check(framework, subgraph)?;
        }
    }
    Ok(())
}

fn check_operator(framework: &Onnx, node: &NodeProto) -> Result<()> {
    let (name, operator) = (title(node), &node.op_type);
    if !matches!(&*node.domain, "" | "ai.onnx" | "com.microsoft") {
        let text = format!("{name}: operator {operator} of domain {} is not known", node.domain);
        return Err(load_refusal(&text));
    }
    if !framework.op_register.0.contains_key(operator) {
        return Err(load_refusal(&format!("{name}: operator {operator} is not supported")));
    }
    Ok(())
}

/// Refuses what tract computes without an end, by a panic, or as something else.
fn check_meaning(node: &NodeProto, constants: &HashMap<&str, Vec<i64>>) -> Result<()> {
    let refuse = |reason: &str| Err(load_refusal(&format!("{}: {reason}", title(node))));
    let list = |name: &str| node.attribute.iter().find(|one| one.name == name);
    match &*node.op_type {
        "Transpose" => {
            let mut axes = list("perm").map_or(Vec::new(), |perm| perm.ints.clone());
            axes.sort_unstable();
            if !axes.iter().copied().eq(0..axes.len() as i64) {
                return refuse("its perm does not name every axis once");
            }
        }
        "Range" => {
            let step = node.input.get(2).and_then(|name| constants.get(&**name));
            if step.is_some_and(|step| step.contains(&0)) {
                return refuse("its step is 0");
            }
        }
        "GlobalLpPool" => return refuse("GlobalLpPool is not supported"),
        _ => {}
    }
    Ok(())
}

/// Refuses pools that tell where their values were, for max-unpooling as SegNet and ENet do it.
fn check_places(graph: &GraphProto, node: &NodeProto) -> Result<()> {
    let places = node.output.get(1).filter(|_| node.op_type == "MaxPool");
    let is_read = |name: &String| graph.node.iter().any(|reader| reader.input.contains(name));
    if !places.is_some_and(|name| !name.is_empty() && is_read(name)) {
        return Ok(());
    }
    let text = "the places that MaxPool gives are not supported; enlarge by Resize or ConvTranspose \
                instead of max-unpooling";
    Err(load_refusal(&format!("{}: {text}", title(node))))
}

/// What a node is called in an error: its name, else its first output.
pub(super) fn title(node: &NodeProto) -> String {
    let name = match node.name.is_empty() {
        true => node.output.first().map_or("", |output| output),
        false => &node.name,
    };
    format!("node \"{name}\"")
}

fn check_attribute(node: &NodeProto, attribute: &AttributeProto) -> Result<()> {
    let name = format!("{}, attribute {}", title(node), attribute.name);
    for tensor in attribute.t.iter().chain(&attribute.tensors) {
        check_tensor(tensor, &name)?;
    }
    if attribute.sparse_tensor.is_some() || !attribute.sparse_tensors.is_empty() {
        return Err(load_refusal(&format!("{name}: sparse tensors are not supported")));
    }
    let lowest = match &*attribute.name {
        "pads" | "output_padding" => -MAX_WINDOW,
        "kernel_shape" | "strides" | "dilations" => 1,
        "group" if attribute.i < 1 => return Err(load_refusal(&format!("{name} is below 1"))),
        "blocksize" | "num_groups" if !(1..=MAX_WINDOW).contains(&attribute.i) => {
            return Err(load_refusal(&format!("{name} is out of range")));
        }
        _ => return Ok(()),
    };
    if attribute.ints.iter().any(|value| !(lowest..=MAX_WINDOW).contains(value)) {
        return Err(load_refusal(&format!("{name} is out of range")));
    }
    let taps = attribute.ints.iter().try_fold(1i64, |taps, &side| taps.checked_mul(side));
    if attribute.name == "kernel_shape" && taps.is_none_or(|taps| taps > MAX_TAPS) {
        return Err(load_refusal(&format!("{name} is out of range")));
    }
    Ok(())
}

/// Refuses a tensor whose data are elsewhere or not as many as its dimensions say.
pub(super) fn check_tensor(tensor: &TensorProto, name: &str) -> Result<()> {
    let refuse = |reason: &str| Err(load_refusal(&format!("tensor \"{name}\" {reason}")));
    let external = tensor.data_location == Some(DataLocation::External as i32);
    if external || !tensor.external_data.is_empty() {
        return refuse("has its data in another file");
    }
    if tensor.dims.len() > MAX_RANK || tensor.segment.is_some() {
        return refuse("has too many dimensions or is in segments");
    }
    let element = DataType::try_from(tensor.data_type).unwrap_or(DataType::Undefined);
    let Some(size_bytes) = element_size(element) else {
        return refuse(&format!("has elements of type {}", element.as_str_name()));
    };
    let elements = tensor
        .dims
        .iter()
        .try_fold(1usize, |elements, &side| elements.checked_mul(usize::try_from(side).ok()?));
    let Some(elements) = elements else { return refuse("has impossible dimensions") };
    let found = match tensor.raw_data.is_empty() {
        true => typed_len(tensor, element).checked_mul(size_bytes),
        false => Some(tensor.raw_data.len()),
    };
    if found != elements.checked_mul(size_bytes) {
        return refuse(&format!("has {elements} elements but data for another number"));
    }
    Ok(())
}

/// Bytes of an element in memory, for the types that tract reads.
fn element_size(element: DataType) -> Option<usize> {
    Some(match element {
        DataType::Bool | DataType::Uint8 | DataType::Int8 => 1,
        DataType::Uint16 | DataType::Int16 | DataType::Float16 => 2,
        DataType::Float | DataType::Int32 | DataType::Uint32 => 4,
        DataType::Double | DataType::Int64 | DataType::Uint64 => 8,
        _ => return None,
    })
}

/// Elements in the typed field that tract reads for this type.
fn typed_len(tensor: &TensorProto, element: DataType) -> usize {
    match element {
        DataType::Float => tensor.float_data.len(),
        DataType::Double => tensor.double_data.len(),
        DataType::Int64 | DataType::Uint64 => tensor.int64_data.len(),
        _ => tensor.int32_data.len(),
    }
}

/// The small integer constants of a graph, by name.
pub(super) fn integer_constants(graph: &GraphProto) -> HashMap<&str, Vec<i64>> {
    let tensors = graph.initializer.iter().map(|tensor| (&*tensor.name, tensor));
    let nodes = graph.node.iter().filter(|node| node.op_type == "Constant");
    let values = nodes.filter_map(|node| {
        Some((&**node.output.first()?, node.attribute.iter().find_map(|one| one.t.as_ref())?))
    });
    let listed = graph.node.iter().filter(|node| node.op_type == "Constant").filter_map(|node| {
        let ints = node.attribute.iter().find(|one| one.name == "value_ints")?;
        Some((&**node.output.first()?, ints.ints.clone()))
    });
    let read = tensors.chain(values).filter_map(|(name, tensor)| Some((name, integers(tensor)?)));
    read.chain(listed).collect()
}

fn integers(tensor: &TensorProto) -> Option<Vec<i64>> {
    if tensor.data_type != DataType::Int64 as i32 || tensor.raw_data.len() > 8 * MAX_RANK * 2 {
        return None;
    }
    if tensor.raw_data.is_empty() {
        return (tensor.int64_data.len() <= 2 * MAX_RANK).then(|| tensor.int64_data.clone());
    }
    let words = tensor.raw_data.chunks_exact(8).filter_map(|word| word.try_into().ok());
    Some(words.map(i64::from_le_bytes).collect())
}

/// Refuses operators that make a giant tensor out of a small constant.
fn check_made_size(node: &NodeProto, constants: &HashMap<&str, Vec<i64>>) -> Result<()> {
    let at = match &*node.op_type {
        "ConstantOfShape" => 0,
        "Expand" | "Tile" | "Pad" | "OneHot" => 1,
        "Resize" => 3,
        "Range" => 1,
        _ => return Ok(()),
    };
    let Some(sides) = node.input.get(at).and_then(|name| constants.get(&**name)) else {
        return Ok(());
    };
    let total = sides.iter().try_fold(1u64, |total, side| {
        let grown = side.unsigned_abs().max(1);
        total.checked_mul(grown).filter(|total| *total <= MAX_ELEMENTS)
    });
    match total {
        Some(_) => Ok(()),
        None => Err(load_refusal(&format!("{}: its result is too large", title(node)))),
    }
}
