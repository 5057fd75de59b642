//! Cuts a graph down to what lies between one input and one tensor.

use super::guard::{subgraphs, title};
use super::load::{Source, load_refusal};
use crate::spec::InputType;
use crate::status::{Result, Status};
use std::collections::{HashMap, HashSet};
use std::format;
use std::string::String;
use std::vec::Vec;
use tract_onnx::pb::tensor_proto::DataType;
use tract_onnx::pb::tensor_shape_proto::dimension::Value as Side;
use tract_onnx::pb::type_proto::Value as Type;
use tract_onnx::pb::{GraphProto, NodeProto, ValueInfoProto};

/// Most names listed in an error.
const MAX_LISTED: usize = 8;

/// Leaves of `graph` the input, and the nodes and the initialisers that the tensors called
/// `wanted` need, which become its outputs in that order.
///
/// # Errors
/// [`Status::ModelLoad`] if a name is not found, if a node reads what no earlier node writes, or
/// if the output needs another input; [`Status::ModelShape`] if the input is declared with
/// another shape or type.
pub(super) fn cut(graph: &mut GraphProto, source: &Source<'_>, wanted: &[&str]) -> Result<()> {
    check_input(graph, source)?;
    let kept = needed(graph, source, wanted)?;
    let mut at = kept.nodes.iter();
    graph.node.retain(|_| at.next() == Some(&true));
    graph.initializer.retain(|tensor| kept.constants.contains(&tensor.name));
    graph.input.retain(|input| input.name == source.name);
    let named = |name: &str| ValueInfoProto { name: name.into(), ..ValueInfoProto::default() };
    graph.output = wanted.iter().copied().map(named).collect();
    // Symbolic shapes and hints: tract derives every shape from the input's.
    graph.input.iter_mut().for_each(strip_shape);
    graph.value_info.clear();
    graph.sparse_initializer.clear();
    graph.quantization_annotation.clear();
    Ok(())
}

fn strip_shape(input: &mut ValueInfoProto) {
    let declared = input.r#type.as_mut().and_then(|declared| declared.value.as_mut());
    if let Some(Type::TensorType(tensor)) = declared {
        tensor.shape = None;
    }
}

fn check_input(graph: &GraphProto, source: &Source<'_>) -> Result<()> {
    let constants: HashSet<&str> = graph.initializer.iter().map(|one| &*one.name).collect();
    let mut fed = graph.input.iter().filter(|input| !constants.contains(&*input.name));
    let Some(input) = fed.clone().find(|input| input.name == source.name) else {
        let names = list(fed.by_ref().map(|input| &*input.name));
        let text = format!("no input is named \"{}\"; there are {names}", source.name);
        return Err(load_refusal(&text));
    };
    let declared = input.r#type.as_ref().and_then(|declared| declared.value.as_ref());
    let Some(Type::TensorType(tensor)) = declared else {
        return Err(load_refusal(&format!("input \"{}\" has no type", input.name)));
    };
    let element = match source.element {
        InputType::F32 => DataType::Float,
        InputType::U8(_) => DataType::Uint8,
        InputType::I8(_) => DataType::Int8,
    };
    let mismatch = |text: String| Err(Status::ModelShape.about("network's input").text(text));
    if tensor.elem_type != element as i32 {
        let found = DataType::try_from(tensor.elem_type).unwrap_or(DataType::Undefined);
        let (found, wanted) = (found.as_str_name(), element.as_str_name());
        return mismatch(format!("found elements of type {found}, wanted {wanted}"));
    }
    let Some(shape) = &tensor.shape else { return Ok(()) };
    let wanted = &source.shape;
    let fits = |(found, wanted): (&Option<i64>, &usize)| found.is_none_or(|n| n == *wanted as i64);
    let found = shape.dim.iter().map(|dim| match dim.value {
        Some(Side::DimValue(side)) if side > 0 => Some(side),
        _ => None,
    });
    let found: Vec<Option<i64>> = found.take(wanted.len() + 1).collect();
    if found.len() == wanted.len() && found.iter().zip(wanted).all(fits) {
        return Ok(());
    }
    let side = |side: &Option<i64>| side.map_or("?".into(), |side| format!("{side}"));
    let found = found.iter().map(side).collect::<Vec<String>>().join(", ");
    mismatch(format!("found [{found}], wanted {wanted:?}"))
}

/// What the output needs.
struct Needed {
    /// One flag per node.
    nodes: Vec<bool>,
    /// Names of initialisers.
    constants: HashSet<String>,
}

fn needed(graph: &GraphProto, source: &Source<'_>, wanted: &[&str]) -> Result<Needed> {
    let writers = writers(graph)?;
    let constants: HashSet<&str> = graph.initializer.iter().map(|one| &*one.name).collect();
    let mut open = Vec::new();
    for &name in wanted {
        let Some(&last) = writers.get(name) else {
            let names = list(graph.output.iter().map(|output| &*output.name));
            let text = format!("no node writes \"{name}\"; the graph's outputs are {names}");
            return Err(load_refusal(&text));
        };
        open.push(last);
    }
    let nodes = core::iter::repeat_n(false, graph.node.len()).collect();
    let mut kept = Needed { nodes, constants: HashSet::new() };
    let mut reads_input = false;
    while let Some(index) = open.pop() {
        if core::mem::replace(&mut kept.nodes[index], true) {
            continue;
        }
        let node = &graph.node[index];
        for read in reads(node) {
            match writers.get(read.name) {
                Some(&writer) if writer < index => open.push(writer),
                _ if constants.contains(read.name) => {
                    kept.constants.insert(read.name.into());
                }
                _ if read.name == source.name => reads_input = true,
                // Most likely a name of the subgraph's own.
                _ if read.inner => {}
                _ => return Err(unwritten(graph, node, read.name)),
            }
        }
    }
    match reads_input {
        true => Ok(kept),
        false => Err(load_refusal("the output does not depend on the input")),
    }
}

fn unwritten(graph: &GraphProto, node: &NodeProto, name: &str) -> crate::status::Error {
    let title = title(node);
    if graph.input.iter().any(|input| input.name == name) {
        return load_refusal(&format!("{title} needs the further input \"{name}\""));
    }
    load_refusal(&format!("{title} reads \"{name}\", which nothing before it writes"))
}

/// The node that writes each tensor.
fn writers(graph: &GraphProto) -> Result<HashMap<&str, usize>> {
    let mut writers = HashMap::new();
    for (index, node) in graph.node.iter().enumerate() {
        for output in node.output.iter().filter(|output| !output.is_empty()) {
            if writers.insert(&**output, index).is_some() {
                return Err(load_refusal(&format!("two nodes write the tensor \"{output}\"")));
            }
        }
    }
    Ok(writers)
}

/// A tensor that a node reads.
pub(super) struct Read<'a> {
    pub(super) name: &'a str,
    /// Whether it is read by a subgraph of the node.
    inner: bool,
}

/// Every tensor that a node reads.
pub(super) fn reads(node: &NodeProto) -> Vec<Read<'_>> {
    let names = node.input.iter().filter(|name| !name.is_empty());
    let mut found: Vec<Read<'_>> = names.map(|name| Read { name, inner: false }).collect();
    let mut open: Vec<&GraphProto> = subgraphs(node).collect();
    while let Some(graph) = open.pop() {
        let inputs = graph.node.iter().flat_map(|inner| &inner.input);
        let outputs = graph.output.iter().map(|output| &output.name);
        found.extend(inputs.chain(outputs).map(|name| Read { name, inner: true }));
        open.extend(graph.node.iter().flat_map(subgraphs));
    }
    found
}

fn list<'a>(names: impl Iterator<Item = &'a str>) -> String {
    let mut text = String::new();
    for (index, name) in names.enumerate() {
        if index == MAX_LISTED {
            text.push_str(", ...");
            break;
        }
        let separator = if index == 0 { "" } else { ", " };
        text.push_str(&format!("{separator}\"{name}\""));
    }
    if text.is_empty() { "none".into() } else { text }
}
