//! Decides which tensors are quantised.
//!
//! A node with an integer form (`operators`) reads quantised tensors, and its result is quantised
//! too. Three things are left for last, and only happen in integers where such a node needs their
//! result: moves of values, resizing, and functions of one tensor. A limit after a layer belongs
//! to that layer. A function of one tensor, however many nodes it has, is one table in the end,
//! so nothing between its ends is rounded. A dense layer that only floats read gives floats.

use super::super::cut::reads;
use super::super::guard::subgraphs;
use super::super::load::load_refusal;
use super::layer::{layer_of, name_of};
use super::norms::{Readers, is_statistic};
use super::operators::{Kind, floats_of, gives_no_floats, kind_of, reads_sides_only};
use super::share::share_grids;
use super::{FloatNode, Layer, QuantizedTensor, Unit, Wanted};
use crate::status::{Result, Status};
use std::collections::{HashMap, HashSet};
use std::format;
use std::string::{String, ToString};
use std::vec;
use std::vec::Vec;
use tract_onnx::pb::{GraphProto, NodeProto, TensorProto};

/// Why a node of a normalisation stays in floats.
const NORM: &str = "part of a normalisation";

/// What is quantised, and what belongs together.
pub(super) struct Scheme {
    pub(super) tensors: Vec<QuantizedTensor>,
    pub(super) grids: usize,
    pub(super) layers: Vec<Layer>,
    pub(super) units: Vec<Unit>,
    pub(super) float_nodes: Vec<FloatNode>,
    /// How often each tensor is read, as an output too.
    pub(super) readers: HashMap<String, usize>,
    /// Limits that belong to the node before them: from the one's place to the other's.
    pub(super) fused: HashMap<usize, usize>,
    /// Whether a node normalises over channels.
    pub(super) has_norms: bool,
}

/// What is known of the nodes while the scheme is made.
pub(super) struct Analysis<'a> {
    pub(super) graph: &'a GraphProto,
    constants: HashMap<&'a str, &'a TensorProto>,
    pub(super) writers: HashMap<&'a str, usize>,
    readers: HashMap<String, usize>,
    read_by: Readers<'a>,
    /// Tensors of floats that depend on the picture.
    floats: HashSet<&'a str>,
    pub(super) kinds: Vec<Kind>,
    reasons: Vec<&'static str>,
    layers: Vec<Layer>,
    /// The tensor that another one is a function of.
    roots: HashMap<&'a str, &'a str>,
    fused: HashMap<usize, usize>,
    /// Tensors that are quantised.
    pub(super) active: HashSet<&'a str>,
    /// Results in the middle of a table.
    inside: HashSet<&'a str>,
    /// Means of normalisations, and functions of them.
    statistics: HashSet<&'a str>,
}

impl Scheme {
    pub(super) fn of(
        graph: &GraphProto,
        input: &str,
        output: &str,
        wanted: &Wanted<'_>,
    ) -> Result<Scheme> {
        check_names(graph, wanted.keep_float)?;
        let mut analysis = Analysis::new(graph, input);
        let needed = analysis.needed(output)?;
        for (at, &needed) in needed.iter().enumerate() {
            let (kind, reason) = match needed {
                true => analysis.kind(at, wanted)?,
                false => (Kind::Other, ""),
            };
            analysis.settle(at, kind, reason);
        }
        for at in (0..graph.node.len()).rev() {
            analysis.demand(at);
        }
        Ok(analysis.finish(input))
    }
}

fn check_names(graph: &GraphProto, names: &[String]) -> Result<()> {
    let is_known = |name: &String| {
        graph.node.iter().any(|node| node.name == *name || node.output.contains(name))
    };
    match names.iter().find(|name| !is_known(name)) {
        Some(name) => {
            let text = format!("there is no \"{name}\"");
            Err(Status::InvalidArgument.about("node that is to stay in floats").text(text))
        }
        None => Ok(()),
    }
}

impl<'a> Analysis<'a> {
    fn new(graph: &'a GraphProto, input: &'a str) -> Analysis<'a> {
        let mut writers = HashMap::new();
        let mut readers: HashMap<String, usize> = HashMap::new();
        for (at, node) in graph.node.iter().enumerate() {
            for output in node.output.iter().filter(|output| !output.is_empty()) {
                writers.insert(&**output, at);
            }
            for read in reads(node) {
                *readers.entry(read.name.into()).or_default() += 1;
            }
        }
        for output in &graph.output {
            *readers.entry(output.name.clone()).or_default() += 1;
        }
        Analysis {
            graph,
            constants: graph.initializer.iter().map(|one| (&*one.name, one)).collect(),
            writers,
            readers,
            read_by: Readers::of(graph),
            floats: HashSet::from([input]),
            kinds: Vec::new(),
            reasons: Vec::new(),
            layers: Vec::new(),
            roots: HashMap::new(),
            fused: HashMap::new(),
            active: HashSet::new(),
            inside: HashSet::new(),
            statistics: HashSet::new(),
        }
    }

    /// Which nodes `output` depends on.
    fn needed(&self, output: &str) -> Result<Vec<bool>> {
        let Some(&last) = self.writers.get(output) else {
            return Err(load_refusal(&format!("no node writes \"{output}\"")));
        };
        let mut needed = vec![false; self.graph.node.len()];
        let mut open = vec![last];
        while let Some(at) = open.pop() {
            if !core::mem::replace(&mut needed[at], true) {
                let names = reads(&self.graph.node[at]);
                let before = names.iter().filter_map(|read| self.writers.get(read.name));
                // A node is listed after those that it reads; what is not is no valid graph.
                open.extend(before.filter(|&&writer| writer < at));
            }
        }
        Ok(needed)
    }

    /// How often a tensor is read.
    pub(super) fn reads(&self, tensor: &str) -> usize {
        self.readers.get(tensor).copied().unwrap_or(0)
    }

    /// Inputs of a node that are activations.
    pub(super) fn activations(&self, at: usize) -> Vec<&'a str> {
        let inputs = self.graph.node[at].input.iter();
        inputs.map(|name| &**name).filter(|name| self.floats.contains(name)).collect()
    }

    fn root(&self, tensor: &'a str) -> &'a str {
        self.roots.get(tensor).copied().unwrap_or(tensor)
    }

    /// What node `at` is, given those before it.
    fn kind(&mut self, at: usize, wanted: &Wanted<'_>) -> Result<(Kind, &'static str)> {
        let node = &self.graph.node[at];
        let activations = self.activations(at);
        if activations.is_empty() || reads_sides_only(node) {
            return Ok((Kind::Other, ""));
        }
        let is_meant = |name: &String| *name == node.name || node.output.contains(name);
        if wanted.keep_float.iter().any(is_meant) {
            return Ok((Kind::Other, "kept on request"));
        }
        let (kind, reason) = kind_of(node);
        let first = self.floats.contains(&**node.input.first().map_or(&String::new(), |name| name));
        let kind = match kind {
            Kind::Layer => match layer_of(node, at, &self.constants)? {
                Some(layer) if activations.len() == 1 && first => {
                    self.layers.push(layer);
                    Kind::Layer
                }
                _ if activations.len() == 2 && wanted.attention => Kind::Product,
                _ if activations.len() == 2 => {
                    return Ok((Kind::Other, "both operands are activations"));
                }
                _ => return Ok((Kind::Other, "its weights are not constant floats")),
            },
            Kind::Binary => return Ok(self.binary(node, &activations)),
            Kind::Clip if first && self.limits(node).is_none() => {
                return Ok((Kind::Other, "its limits are not constant"));
            }
            Kind::Concat if activations.len() != node.input.len() => {
                return Ok((Kind::Other, "a constant is put beside activations"));
            }
            Kind::Pool if is_statistic(node, &self.constants) => {
                self.statistics.extend(node.output.iter().map(|name| &**name));
                return Ok((Kind::Other, NORM));
            }
            Kind::Other => kind,
            _ if !first || activations.len() != 1 && kind != Kind::Concat => {
                return Ok((Kind::Other, "it reads activations in an unusual way"));
            }
            kind => kind,
        };
        Ok((kind, reason))
    }

    /// A node of two operands.
    fn binary(&self, node: &NodeProto, activations: &[&'a str]) -> (Kind, &'static str) {
        let one_number = |name: &String| {
            let tensor = self.constants.get(&**name);
            tensor.and_then(|tensor| floats_of(tensor)).is_some_and(|values| values.len() == 1)
        };
        let has_integer_form = matches!(&*node.op_type, "Add" | "Sub" | "Mul");
        let others = node.input.iter().filter(|name| !activations.contains(&&***name));
        let normalises = activations.iter().any(|tensor| self.statistics.contains(tensor));
        let result = node.output.first().map_or("", |name| name);
        match activations {
            [_, _] if normalises => (Kind::Other, NORM),
            [left, right] if node.input.len() == 2 => match self.root(left) == self.root(right) {
                true => (Kind::Function, ""),
                false if self.read_by.feed_norm(self.graph, &self.constants, result) => {
                    (Kind::Other, "a normalisation reads the sum")
                }
                false if has_integer_form => (Kind::Binary, ""),
                false => (Kind::Other, "of two tensors the operator has no integer form"),
            },
            [_] if node.input.len() == 2 && others.clone().all(one_number) => (Kind::Function, ""),
            _ => (Kind::Other, "its constant is not a single number"),
        }
    }

    /// Notes what node `at` is, and what follows for its results.
    fn settle(&mut self, at: usize, kind: Kind, reason: &'static str) {
        let node = &self.graph.node[at];
        let activations = self.activations(at);
        let mut kind = kind;
        if kind == Kind::Clip {
            let before = activations.first().and_then(|tensor| self.writers.get(tensor)).copied();
            let alone = activations.first().is_some_and(|tensor| self.reads(tensor) == 1);
            let fits = |before: &usize| {
                matches!(self.kinds.get(*before), Some(Kind::Layer | Kind::Binary))
            };
            match before.filter(|before| alone && fits(before)) {
                Some(before) => {
                    self.fused.insert(at, before);
                }
                None => kind = Kind::Function,
            }
        }
        if let (Kind::Function, Some(tensor), Some(output)) =
            (kind, activations.first(), node.output.first())
        {
            let root = self.root(tensor);
            self.roots.insert(output, root);
            if self.statistics.contains(tensor) {
                self.statistics.insert(output);
            }
        }
        if !activations.is_empty() && !gives_no_floats(node) && subgraphs(node).next().is_none() {
            self.floats.extend(node.output.iter().map(|name| &**name));
        }
        self.kinds.push(kind);
        self.reasons.push(reason);
    }

    /// What a node limits its input to.
    fn limits(&self, node: &NodeProto) -> Option<[f32; 2]> {
        limits_of(node, &self.constants)
    }

    /// The tensor that node `at` gives in the end: that of the limit after it, if there is one.
    fn result(&self, at: usize) -> Option<&'a str> {
        let own = &**self.graph.node[at].output.first()?;
        let clip = self.fused.iter().find(|(_, before)| **before == at);
        match clip {
            Some((&clip, _)) => self.graph.node[clip].output.first().map(|name| &**name),
            None => Some(own),
        }
    }

    /// Marks what node `at` needs quantised; those after it have been looked at.
    fn demand(&mut self, at: usize) {
        let node = &self.graph.node[at];
        let activations = self.activations(at);
        let Some(result) = self.result(at) else { return };
        match self.kinds[at] {
            Kind::Layer => {
                let layer = self.layers.iter().find(|layer| layer.node == at);
                let has_limit = self.fused.values().any(|before| *before == at);
                if has_limit || layer.is_some_and(|layer| layer.groups != 1) {
                    self.active.insert(result);
                }
                self.active.extend(activations);
            }
            Kind::Product => self.active.extend(activations),
            Kind::Binary | Kind::Concat | Kind::Pool => {
                self.active.insert(result);
                self.active.extend(activations);
            }
            Kind::Move | Kind::Resize => {
                if node.output.iter().any(|name| self.active.contains(&**name)) {
                    self.active.extend(activations.first());
                }
            }
            Kind::Function => {
                if self.active.contains(result) || self.inside.contains(result) {
                    for tensor in activations {
                        match self.roots.contains_key(tensor) {
                            true => self.inside.insert(tensor),
                            false => self.active.insert(tensor),
                        };
                    }
                }
            }
            Kind::Clip | Kind::Other => {}
        }
    }

    fn finish(mut self, input: &'a str) -> Scheme {
        let written = self.graph.node.iter().flat_map(|node| &node.output).map(|name| &**name);
        let order: Vec<&str> =
            [input].into_iter().chain(written).filter(|name| self.active.contains(name)).collect();
        let grids = share_grids(&self, &order);
        let tensors: Vec<QuantizedTensor> = order
            .iter()
            .zip(&grids)
            .map(|(name, &grid)| QuantizedTensor { name: name.to_string(), grid })
            .collect();
        let mut units = Vec::new();
        let mut float_nodes = Vec::new();
        let place = |name: &str| order.iter().position(|one| *one == name);
        if let Some(tensor) = place(input) {
            let operator = "Input".to_string();
            units.push(Unit { name: input.into(), operator, tensor: Some(tensor), layer: None });
        }
        for (at, node) in self.graph.node.iter().enumerate() {
            let tensor = self.result(at).and_then(place);
            let layer = self.layers.iter().position(|layer| layer.node == at);
            let (name, operator) = (name_of(node), node.op_type.clone());
            let in_integers = match self.kinds[at] {
                Kind::Layer | Kind::Product | Kind::Binary | Kind::Concat | Kind::Pool => true,
                Kind::Resize | Kind::Function => tensor.is_some(),
                Kind::Move | Kind::Clip => continue,
                Kind::Other => false,
            };
            let is_inside = self.result(at).is_some_and(|name| self.inside.contains(name));
            if in_integers {
                units.push(Unit { name, operator, tensor, layer });
            } else if self.kinds[at] != Kind::Other && !is_inside {
                let reason = "nothing in integers reads its result";
                float_nodes.push(FloatNode { name, operator, reason });
            } else if !self.reasons[at].is_empty() {
                float_nodes.push(FloatNode { name, operator, reason: self.reasons[at] });
            }
        }
        for layer in &mut self.layers {
            let Some((&clip, _)) = self.fused.iter().find(|(_, before)| **before == layer.node)
            else {
                continue;
            };
            let clip = &self.graph.node[clip];
            layer.result = clip.output.first().unwrap_or(&layer.sum).clone();
            layer.limits = limits_of(clip, &self.constants).unwrap_or(layer.limits);
        }
        Scheme {
            tensors,
            grids: grids.iter().max().map_or(0, |last| last + 1),
            layers: self.layers,
            units,
            float_nodes,
            readers: self.readers,
            has_norms: !self.statistics.is_empty()
                || self.graph.node.iter().any(|node| node.op_type == "LayerNormalization"),
            fused: self.fused,
        }
    }
}

/// What a `Relu` or a `Clip` with constant limits limits its input to.
pub(super) fn limits_of(
    node: &NodeProto,
    constants: &HashMap<&str, &TensorProto>,
) -> Option<[f32; 2]> {
    if node.op_type == "Relu" {
        return Some([0.0, f32::INFINITY]);
    }
    let limit = |at: usize, default: f32| match node.input.get(at) {
        Some(name) if !name.is_empty() => {
            let values = floats_of(constants.get(&**name)?)?;
            values.first().copied()
        }
        _ => Some(default),
    };
    Some([limit(1, f32::NEG_INFINITY)?, limit(2, f32::INFINITY)?])
}
