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
use super::legalise::{attribute, integer};
use super::quantize::{Grid, clamp};
use super::requantize::{ADD_STEPS, REQUANTIZE};
use std::collections::{HashMap, HashSet};
use std::format;
use std::string::String;
use std::vec;
use std::vec::Vec;
use tract_onnx::data_resolver::MmapDataResolver;
use tract_onnx::pb::attribute_proto::AttributeType;
use tract_onnx::pb::tensor_proto::DataType;
use tract_onnx::pb::{AttributeProto, GraphProto, NodeProto, TensorProto};
use tract_onnx::tensor::load_tensor;

/// Name of the scale of what is in steps. Its control character keeps the names of this file
/// apart from the model's.
const ONE: &str = "\u{1}one";
/// Largest relative error of a bias's scale, which is to be the product of two others.
const SCALE_ERROR: f32 = 1e-5;
/// Most values that a tensor of parameters has.
const MAX_PARAMETERS: i64 = 1 << 16;

/// Rewrites what can be of a checked graph.
pub(super) fn rewrite(graph: &mut GraphProto) {
    let mut constants = vec![parameters(ONE.into(), &[1.0])];
    let index = Index::of(graph);
    let mut replace = |node| {
        let end = End::of(&index, node)?;
        end.product(&mut constants).or_else(|| end.sum())
    };
    let replacements: Vec<_> = graph.node.iter().map(&mut replace).collect();
    let nodes = core::mem::take(&mut graph.node).into_iter().zip(replacements);
    graph.node = nodes.flat_map(|(node, new)| new.unwrap_or_else(|| vec![node])).collect();
    graph.initializer.append(&mut constants);
    drop_unread(graph);
}

/// Leaves out what only fed the nodes that were replaced.
fn drop_unread(graph: &mut GraphProto) {
    let mut read: HashSet<String> = graph.output.iter().map(|one| one.name.clone()).collect();
    let mut kept = Vec::with_capacity(graph.node.len());
    for node in core::mem::take(&mut graph.node).into_iter().rev() {
        if node.output.iter().any(|output| read.contains(output)) {
            read.extend(reads(&node).iter().map(|read| String::from(read.name)));
            kept.push(node);
        }
    }
    kept.reverse();
    graph.node = kept;
    graph.initializer.retain(|tensor| read.contains(&tensor.name));
}

/// Finds nodes and constants by the names of tensors.
struct Index<'a> {
    writers: HashMap<&'a str, &'a NodeProto>,
    constants: HashMap<&'a str, &'a TensorProto>,
    /// How often each tensor is read, as the graph's output too.
    readers: HashMap<&'a str, u32>,
}

impl<'a> Index<'a> {
    fn of(graph: &'a GraphProto) -> Index<'a> {
        let outputs = |node: &'a NodeProto| node.output.iter().map(move |name| (&**name, node));
        let read = graph.node.iter().flat_map(reads).map(|read| read.name);
        let mut readers: HashMap<&str, u32> = HashMap::new();
        for name in read.chain(graph.output.iter().map(|output| &*output.name)) {
            *readers.entry(name).or_default() += 1;
        }
        Index {
            writers: graph.node.iter().flat_map(outputs).collect(),
            constants: graph.initializer.iter().map(|one| (&*one.name, one)).collect(),
            readers,
        }
    }

    /// The node that writes the first input of `node`, if nothing else reads it.
    fn before(&self, node: &NodeProto) -> Option<&'a NodeProto> {
        let name = node.input.first()?;
        (self.readers.get(&**name) == Some(&1)).then(|| self.writers.get(&**name).copied())?
    }

    /// The values of a constant that is no larger than parameters are.
    fn values(&self, name: &str) -> Option<Vec<f32>> {
        let made = self.writers.get(name).filter(|node| node.op_type == "Constant");
        let made = made.and_then(|node| node.attribute.iter().find_map(|one| one.t.as_ref()));
        parameters_of(self.constants.get(name).copied().or(made)?)
    }

    fn scalar(&self, name: &str) -> Option<f32> {
        self.values(name).filter(|values| values.len() == 1).map(|values| values[0])
    }

    /// The grid of an activation that `node` quantises or dequantises.
    fn grid(&self, node: &NodeProto) -> Option<Grid> {
        let (scale, zero_point) = (node.input.get(1)?, node.input.get(2)?);
        let element = DataType::try_from(self.constants.get(&**zero_point)?.data_type).ok()?;
        let zero_point = self.scalar(zero_point)? as i32;
        Grid::of(element.try_into().ok()?, self.scalar(scale)?, zero_point).ok()
    }

    /// The node that dequantises input `at` of `node`.
    fn dequantize(&self, node: &NodeProto, at: usize) -> Option<&'a NodeProto> {
        let node = *self.writers.get(&**node.input.get(at)?)?;
        let by_blocks = integer(node, "block_size").unwrap_or(0) != 0;
        (node.op_type == "DequantizeLinear" && !by_blocks).then_some(node)
    }

    /// What a node clips its input to.
    fn clip(&self, node: &NodeProto) -> Option<[f32; 2]> {
        let limit = |at: usize, name: &str, default: f32| match node.input.get(at) {
            Some(limit) if !limit.is_empty() => self.scalar(limit),
            _ => Some(float(node, name).unwrap_or(default)),
        };
        match &*node.op_type {
            "Relu" => Some([0.0, f32::INFINITY]),
            "Clip" => Some([limit(1, "min", f32::MIN)?, limit(2, "max", f32::MAX)?]),
            _ => None,
        }
    }
}

/// The values of a tensor that is no larger than parameters are.
pub(super) fn parameters_of(tensor: &TensorProto) -> Option<Vec<f32>> {
    let len = tensor.dims.iter().try_fold(1i64, |len, &side| len.checked_mul(side))?;
    if len > MAX_PARAMETERS {
        return None;
    }
    let tensor = load_tensor(&MmapDataResolver, tensor, None).ok()?;
    let values = tensor.cast_to::<f32>().ok()?.into_owned();
    Some(values.try_as_plain_ram().ok()?.as_slice::<f32>().ok()?.to_vec())
}

/// A quantisation with what it quantises.
struct End<'a> {
    index: &'a Index<'a>,
    quantize: &'a NodeProto,
    grid: Grid,
    /// Smallest and largest step of the result.
    limits: [f32; 2],
    /// The node that computes the result, up to a clip.
    node: &'a NodeProto,
}

impl<'a> End<'a> {
    fn of(index: &'a Index<'a>, quantize: &'a NodeProto) -> Option<End<'a>> {
        if quantize.op_type != "QuantizeLinear" {
            return None;
        }
        let grid = index.grid(quantize)?;
        let mut limits: [f32; 2] = grid.steps().into();
        let mut node = index.before(quantize)?;
        // Rounding is monotonic: what limits the values limits the steps.
        while let Some(clip) = index.clip(node) {
            let step = |value: f32| (value / grid.scale).round_ties_even();
            limits = clip.map(|limit| clamp(step(limit), limits[0], limits[1]));
            node = index.before(node)?;
        }
        Some(End { index, quantize, grid, limits, node })
    }

    /// The nodes that replace the product of an activation and constant weights.
    fn product(&self, constants: &mut Vec<TensorProto>) -> Option<Vec<NodeProto>> {
        // Axis of the channels in the weights and in the result.
        let (along, axis) = match &*self.node.op_type {
            "Conv" => (0, 1),
            "Gemm" if is_plain(self.node) => (integer(self.node, "transB").unwrap_or(0) ^ 1, -1),
            "MatMul" => (1, -1),
            _ => return None,
        };
        let x = self.index.dequantize(self.node, 0)?;
        let weights = self.index.dequantize(self.node, 1)?;
        let sum_scales = self.sum_scales(self.index.grid(x)?.scale, weights, along)?;
        let biases = self.biases(&sum_scales)?;
        // onnxruntime's order of multiplication and division.
        let multipliers: Vec<f32> = sum_scales.iter().map(|sum| sum / self.grid.scale).collect();
        let (x, weights) = (self.steps("x", x), self.steps("weights", weights));
        let inputs = vec![x.output[0].clone(), weights.output[0].clone()];
        let product = self.named("product", inputs, self.node.clone());
        let attributes =
            vec![attribute("axis", AttributeType::Int, axis, 0.0), floats("limits", &self.limits)];
        let inputs = vec![self.name("product"), self.name("multipliers"), self.name("biases")];
        let requantize = self.named("steps", inputs, node(REQUANTIZE, attributes));
        constants.push(parameters(self.name("multipliers"), &multipliers));
        constants.push(parameters(self.name("biases"), &biases));
        Some(vec![x, weights, product, requantize, self.quantize_steps()])
    }

    /// What one unit of each channel's sum is, if `weights` are u8 or i8 constants with their
    /// channels along an axis.
    fn sum_scales(&self, x_scale: f32, weights: &NodeProto, along: i64) -> Option<Vec<f32>> {
        let integers = self.index.constants.get(&**weights.input.first()?)?;
        let element = DataType::try_from(integers.data_type).ok()?;
        let rank = integers.dims.len() as i64;
        let is_matrix = rank == 2 || self.node.op_type == "Conv";
        if !matches!(element, DataType::Int8 | DataType::Uint8) || !is_matrix {
            return None;
        }
        let channels = usize::try_from(*integers.dims.get(along as usize)?).ok()?;
        let mut scales = self.index.values(weights.input.get(1)?)?;
        let axis = integer(weights, "axis").unwrap_or(1);
        let axis = if axis < 0 { axis + rank } else { axis };
        if scales.len() == 1 && channels as i64 <= MAX_PARAMETERS {
            scales = vec![scales[0]; channels];
        } else if scales.len() != channels || axis != along {
            return None;
        }
        scales.iter_mut().for_each(|scale| *scale *= x_scale);
        scales.iter().all(|scale| scale.is_finite() && *scale > 0.0).then_some(scales)
    }

    /// The bias of each channel in units of its sum, if the network has it in these.
    fn biases(&self, sum_scales: &[f32]) -> Option<Vec<f32>> {
        let channels = sum_scales.len();
        if self.node.input.get(2).is_none_or(|name| name.is_empty()) {
            return Some(vec![0.0; channels]);
        }
        let node = self.index.dequantize(self.node, 2)?;
        let biases = self.index.values(&node.input[0])?;
        let scales = self.index.values(node.input.get(1)?)?;
        let zero_points = node.input.get(2).filter(|name| !name.is_empty());
        let zero_points = zero_points.map_or(Some(Vec::new()), |name| self.index.values(name))?;
        let is_near = |(sum, scale): (&f32, &f32)| (scale / sum - 1.0).abs() < SCALE_ERROR;
        let fits = biases.len() == channels
            && (scales.len() == channels || scales.len() == 1)
            && sum_scales.iter().zip(scales.iter().cycle()).all(is_near)
            && zero_points.iter().all(|zero_point| *zero_point == 0.0);
        fits.then_some(biases)
    }

    /// The nodes that replace the sum of two activations.
    fn sum(&self) -> Option<Vec<NodeProto>> {
        if self.node.op_type != "Add" {
            return None;
        }
        let (a, b) = (self.index.dequantize(self.node, 0)?, self.index.dequantize(self.node, 1)?);
        let (a_grid, b_grid) = (self.index.grid(a)?, self.index.grid(b)?);
        let ratios = [a_grid, b_grid].map(|grid| grid.scale / self.grid.scale);
        let zero_points = [a_grid, b_grid, self.grid].map(|grid| grid.zero_point as f32);
        let attributes = vec![
            floats("ratios", &ratios),
            floats("zero_points", &zero_points),
            floats("limits", &self.limits),
        ];
        let (a, b) = (self.steps("a", a), self.steps("b", b));
        let inputs = vec![a.output[0].clone(), b.output[0].clone()];
        let sum = self.named("steps", inputs, node(ADD_STEPS, attributes));
        Some(vec![a, b, sum, self.quantize_steps()])
    }

    /// `dequantize` with steps for a result.
    fn steps(&self, what: &str, dequantize: &NodeProto) -> NodeProto {
        let mut inputs = dequantize.input.clone();
        inputs[1] = ONE.into();
        self.named(what, inputs, dequantize.clone())
    }

    /// The quantisation, of steps: what it gives has other readers than the ones rewritten.
    fn quantize_steps(&self) -> NodeProto {
        let mut node = self.quantize.clone();
        node.input[0] = self.name("steps");
        node.input[1] = ONE.into();
        node
    }

    /// `node` with other inputs and one output named after what it is.
    fn named(&self, what: &str, input: Vec<String>, node: NodeProto) -> NodeProto {
        NodeProto { name: self.name(what), input, output: vec![self.name(what)], ..node }
    }

    fn name(&self, what: &str) -> String {
        format!("{}\u{1}{what}", self.quantize.output.first().map_or("", |output| output))
    }
}

/// Whether a Gemm is the product of its first two inputs, plus the third.
fn is_plain(node: &NodeProto) -> bool {
    let is_one = |name: &str| float(node, name).is_none_or(|factor| factor == 1.0);
    integer(node, "transA").unwrap_or(0) == 0 && is_one("alpha") && is_one("beta")
}

fn node(operator: &str, attribute: Vec<AttributeProto>) -> NodeProto {
    NodeProto { op_type: operator.into(), attribute, ..NodeProto::default() }
}

fn parameters(name: String, values: &[f32]) -> TensorProto {
    let dims = vec![values.len() as i64];
    let (data_type, float_data) = (DataType::Float as i32, values.to_vec());
    TensorProto { name, dims, data_type, float_data, ..TensorProto::default() }
}

fn float(node: &NodeProto, name: &str) -> Option<f32> {
    node.attribute.iter().find(|one| one.name == name).map(|one| one.f)
}

fn floats(name: &str, values: &[f32]) -> AttributeProto {
    let floats = values.to_vec();
    AttributeProto { floats, ..attribute(name, AttributeType::Floats, 0, 0.0) }
}
