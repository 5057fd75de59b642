//! Normalisations over channels: layer norms and root-mean-square norms, as one operator or as the
//! nodes that older files spell them out with.
//!
//! They stay in floats: their sums are small beside their largest channels. So do the sums that
//! they read, the residual stream of a transformer: it is rounded in every block, and 8 bits of it
//! cost more than those of all else together (`docs/quantize.md`).

use super::operators::{Kind, kind_of};
use std::collections::{HashMap, HashSet};
use std::vec::Vec;
use tract_onnx::pb::tensor_proto::DataType;
use tract_onnx::pb::{GraphProto, NodeProto, TensorProto};

/// Whether a node is a mean over one axis: a step of a normalisation, not a pool.
pub(super) fn is_statistic(node: &NodeProto, constants: &HashMap<&str, &TensorProto>) -> bool {
    if node.op_type != "ReduceMean" {
        return false;
    }
    match node.input.get(1).filter(|name| !name.is_empty()) {
        Some(name) => constants.get(&**name).is_some_and(|axes| {
            axes.data_type == DataType::Int64 as i32 && axes.dims.iter().product::<i64>() == 1
        }),
        None => node.attribute.iter().any(|one| one.name == "axes" && one.ints.len() == 1),
    }
}

/// Which nodes read each tensor.
pub(super) struct Readers<'a>(HashMap<&'a str, Vec<usize>>);

impl<'a> Readers<'a> {
    pub(super) fn of(graph: &'a GraphProto) -> Readers<'a> {
        let mut readers: HashMap<&str, Vec<usize>> = HashMap::new();
        for (at, node) in graph.node.iter().enumerate() {
            for name in &node.input {
                readers.entry(name).or_default().push(at);
            }
        }
        Readers(readers)
    }

    /// Nodes that read `tensor`, once for each input that it is.
    pub(super) fn of_tensor(&self, tensor: &str) -> &[usize] {
        self.0.get(tensor).map_or(&[], |readers| readers)
    }

    /// Whether a normalisation reads `tensor`, as it is or moved.
    pub(super) fn feed_norm(
        &self,
        graph: &'a GraphProto,
        constants: &HashMap<&str, &TensorProto>,
        tensor: &'a str,
    ) -> bool {
        let mut open = Vec::from([tensor]);
        let mut seen = HashSet::new();
        while let Some(tensor) = open.pop() {
            for &at in self.of_tensor(tensor).iter().filter(|&&at| seen.insert(at)) {
                let node = &graph.node[at];
                let is_first = node.input.first().is_some_and(|name| name == tensor);
                let is_norm = node.op_type == "LayerNormalization" && is_first;
                if is_norm || is_statistic(node, constants) {
                    return true;
                }
                if kind_of(node).0 == Kind::Move {
                    open.extend(node.output.iter().map(|name| &**name));
                }
            }
        }
        false
    }
}
