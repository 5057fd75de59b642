//! Writes a network with quantisations.

use super::super::legalise::attribute;
use super::layer::turned;
use super::operators::set_floats;
use super::scheme::limits_of;
use super::{Layer, Numbers, QuantizableNetwork, Quantization, QuantizedWeights};
use crate::status::{Result, Status};
use prost::Message;
use std::collections::{HashMap, HashSet};
use std::format;
use std::string::{String, ToString};
use std::vec;
use std::vec::Vec;
use tract_onnx::pb::attribute_proto::AttributeType;
use tract_onnx::pb::tensor_proto::DataType;
use tract_onnx::pb::{AttributeProto, ModelProto, NodeProto, TensorProto};

/// Writes `network` with `numbers`.
pub(super) fn write(network: &QuantizableNetwork, numbers: &Numbers) -> Result<Vec<u8>> {
    check(network, numbers)?;
    let mut writer = Writer::new(network, numbers);
    for at in 0..network.model.graph.node.len() {
        writer.node(at);
    }
    Ok(writer.finish().encode_to_vec())
}

/// Writes the float network with probes.
pub(super) fn write_probes(
    network: &QuantizableNetwork,
    of_layer: &[Vec<f32>],
) -> Result<(Vec<u8>, Vec<String>)> {
    let lens = |weights: &[f32], layer: &Layer| weights.len() == layer.weights.len();
    let layers = network.layers();
    if of_layer.len() != layers.len()
        || !of_layer.iter().zip(layers).all(|(weights, layer)| lens(weights, layer))
    {
        return Err(other_network());
    }
    let numbers = network.float_numbers();
    let mut writer = Writer::new(network, &numbers);
    let mut names = vec![String::new(); layers.len()];
    for at in 0..network.model.graph.node.len() {
        writer.node(at);
        if let Some(index) = layers.iter().position(|layer| layer.node == at) {
            names[index] = writer.probe(&layers[index], &of_layer[index]);
        }
    }
    Ok((writer.finish().encode_to_vec(), names))
}

fn other_network() -> crate::status::Error {
    Status::InvalidArgument.about("numbers of another network")
}

fn check(network: &QuantizableNetwork, numbers: &Numbers) -> Result<()> {
    let layers = network.layers();
    let fits = |(layer, (weights, bias)): (&Layer, (&Option<QuantizedWeights>, &Vec<f32>))| {
        let whole = weights.as_ref().is_none_or(|weights| {
            weights.steps.len() == layer.weights.len() && weights.scales.len() == layer.channels()
        });
        whole && bias.len() == layer.channels()
    };
    let all = numbers.tensors.len() == network.tensors().len()
        && numbers.weights.len() == layers.len()
        && numbers.biases.len() == layers.len();
    match all && layers.iter().zip(numbers.weights.iter().zip(&numbers.biases)).all(fits) {
        true => Ok(()),
        false => Err(other_network()),
    }
}

struct Writer<'a> {
    network: &'a QuantizableNetwork,
    numbers: &'a Numbers,
    /// Quantisation of each tensor that has one.
    grids: HashMap<&'a str, Quantization>,
    /// Limits that the quantisation of their result makes superfluous, by their place.
    dropped: HashSet<usize>,
    nodes: Vec<NodeProto>,
    constants: Vec<TensorProto>,
    taken: HashSet<String>,
    /// The name under which the network's input is read.
    picture: String,
}

impl<'a> Writer<'a> {
    fn new(network: &'a QuantizableNetwork, numbers: &'a Numbers) -> Writer<'a> {
        let graph = &network.model.graph;
        let grids: HashMap<&str, Quantization> = network
            .tensors()
            .iter()
            .zip(&numbers.tensors)
            .filter_map(|(tensor, grid)| Some((&*tensor.name, (*grid)?)))
            .collect();
        let written = graph.node.iter().flat_map(|node| &node.output);
        let constants = graph.initializer.iter().map(|one| &one.name);
        let inputs = graph.input.iter().map(|one| &one.name);
        let mut writer = Writer {
            network,
            numbers,
            dropped: dropped(network, &grids),
            grids,
            nodes: Vec::new(),
            constants: Vec::new(),
            taken: written.chain(constants).chain(inputs).cloned().collect(),
            picture: network.input.clone(),
        };
        if let Some(&grid) = writer.grids.get(&*network.input) {
            let result = writer.name(&network.input, "DequantizeLinear_Output");
            writer.quantize(&network.input, &network.input, result.clone(), grid);
            writer.picture = result;
        }
        writer
    }

    /// A name that no tensor has.
    fn name(&mut self, stem: &str, part: &str) -> String {
        let mut name = format!("{stem}_{part}");
        while !self.taken.insert(name.clone()) {
            name.push('_');
        }
        name
    }

    /// Copies node `at`, with its layer's numbers and with its results quantised.
    fn node(&mut self, at: usize) {
        if self.dropped.contains(&at) {
            return;
        }
        let network = self.network;
        let mut node = network.model.graph.node[at].clone();
        for input in &mut node.input {
            if *input == network.input {
                input.clone_from(&self.picture);
            }
        }
        if let Some(index) = network.layers().iter().position(|layer| layer.node == at) {
            node.input.truncate(1);
            node.input.extend(self.layer(index));
        }
        // The limit after it is gone, and what it gave comes from here.
        let clip = network
            .scheme
            .fused
            .iter()
            .find(|(clip, before)| **before == at && self.dropped.contains(clip));
        if let Some((&clip, _)) = clip {
            node.output.clone_from(&network.model.graph.node[clip].output);
        }
        let mut quantized = Vec::new();
        for output in &mut node.output {
            if let Some(&grid) = self.grids.get(&**output) {
                let float = self.name(output, "QuantizeLinear_Input");
                quantized.push((core::mem::replace(output, float.clone()), float, grid));
            }
        }
        self.push_node(node);
        for (result, float, grid) in quantized {
            self.quantize(&result, &float, result.clone(), grid);
        }
    }

    /// Adds a node; a `MatMul` with a bias, which ONNX has not, as the two nodes that it stands
    /// for.
    fn push_node(&mut self, mut node: NodeProto) {
        let has_bias = node.op_type == "MatMul" && node.input.len() == 3;
        let (Some(bias), Some(output)) = (node.input.get(2).cloned(), node.output.first().cloned())
        else {
            return self.nodes.push(node);
        };
        if !has_bias {
            return self.nodes.push(node);
        }
        let product = self.name(&output, "product");
        node.input.truncate(2);
        node.output = vec![product.clone()];
        self.nodes.push(node);
        self.push("Add", vec![product, bias], output, None);
    }

    /// Quantises the tensor `from` and dequantises it as `to`; `stem` begins all names.
    fn quantize(&mut self, stem: &str, from: &str, to: String, grid: Quantization) {
        let scale = self.name(stem, "scale");
        self.floats(scale.clone(), Vec::new(), &[grid.scale]);
        let zero_point = self.name(stem, "zero_point");
        self.bytes(zero_point.clone(), DataType::Uint8, Vec::new(), vec![grid.zero_point]);
        let whole = self.name(stem, "QuantizeLinear_Output");
        let inputs = [from, &scale, &zero_point].map(String::from);
        self.push("QuantizeLinear", inputs.to_vec(), whole.clone(), None);
        self.push("DequantizeLinear", vec![whole, scale, zero_point], to, None);
    }

    /// Names of the weights and the bias of a layer.
    fn layer(&mut self, index: usize) -> [String; 2] {
        let layer = &self.network.layers()[index];
        let bias = &self.numbers.biases[index];
        let stem = &*layer.sum;
        let Some(weights) = &self.numbers.weights[index] else {
            let names = ["weight", "bias"].map(|part| self.name(stem, part));
            self.floats(
                names[0].clone(),
                layer.shape.clone(),
                &in_file_order(layer, &layer.weights),
            );
            self.floats(names[1].clone(), vec![bias.len() as i64], bias);
            return names;
        };
        let channels = vec![layer.channels() as i64];
        let names = ["weight_quantized", "weight_scale", "weight_zero_point", "weight"];
        let [whole, scale, zero_point, weight] = names.map(|part| self.name(stem, part));
        let steps = in_file_order(layer, &weights.steps);
        let steps = steps.iter().map(|step| step.to_le_bytes()[0]).collect();
        self.bytes(whole.clone(), DataType::Int8, layer.shape.clone(), steps);
        self.floats(scale.clone(), channels.clone(), &weights.scales);
        let zeros = vec![0; layer.channels()];
        self.bytes(zero_point.clone(), DataType::Int8, channels, zeros);
        let inputs = vec![whole, scale, zero_point];
        self.push("DequantizeLinear", inputs, weight.clone(), Some(layer.axis));
        let bias_name = match self.grids.get(&*layer.input) {
            Some(&input) => self.whole_bias(stem, bias, input, &weights.scales),
            None => {
                let name = self.name(stem, "bias");
                self.floats(name.clone(), vec![bias.len() as i64], bias);
                name
            }
        };
        [weight, bias_name]
    }

    /// The bias in steps of the sums.
    fn whole_bias(
        &mut self,
        stem: &str,
        bias: &[f32],
        input: Quantization,
        scales: &[f32],
    ) -> String {
        let units: Vec<f32> = scales.iter().map(|scale| input.scale * scale).collect();
        // Numbers outside of i32 become its ends.
        let steps = |(bias, unit): (&f32, &f32)| {
            (f64::from(*bias) / f64::from(*unit)).round_ties_even() as i32
        };
        let steps = bias.iter().zip(&units).map(steps).flat_map(i32::to_le_bytes).collect();
        let [whole, scale, name] =
            ["bias_quantized", "bias_scale", "bias"].map(|part| self.name(stem, part));
        let dims = vec![bias.len() as i64];
        self.bytes(whole.clone(), DataType::Int32, dims.clone(), steps);
        self.floats(scale.clone(), dims, &units);
        self.push("DequantizeLinear", vec![whole, scale], name.clone(), Some(0));
        name
    }

    /// Adds the layer once more, with other weights and no bias.
    fn probe(&mut self, layer: &Layer, weights: &[f32]) -> String {
        let weight = self.name(&layer.sum, "probe_weight");
        self.floats(weight.clone(), layer.shape.clone(), &in_file_order(layer, weights));
        let mut node = self.network.model.graph.node[layer.node].clone();
        let name = self.name(&layer.sum, "probe");
        node.name.clone_from(&name);
        node.input.truncate(1);
        node.input.push(weight);
        node.output = vec![name.clone()];
        self.nodes.push(node);
        name
    }

    fn push(&mut self, operator: &str, input: Vec<String>, output: String, axis: Option<usize>) {
        let axis = axis.map(|axis| attribute("axis", AttributeType::Int, axis as i64, 0.0));
        self.nodes.push(NodeProto {
            name: output.clone() + "_node",
            op_type: operator.to_string(),
            input,
            output: vec![output],
            attribute: axis.into_iter().collect::<Vec<AttributeProto>>(),
            ..NodeProto::default()
        });
    }

    fn floats(&mut self, name: String, dims: Vec<i64>, values: &[f32]) {
        let mut tensor = TensorProto { dims, ..TensorProto::default() };
        set_floats(&mut tensor, name, values);
        self.constants.push(tensor);
    }

    fn bytes(&mut self, name: String, element: DataType, dims: Vec<i64>, raw_data: Vec<u8>) {
        let data_type = element as i32;
        self.constants.push(TensorProto {
            name,
            dims,
            data_type,
            raw_data,
            ..TensorProto::default()
        });
    }

    fn finish(self) -> ModelProto {
        let mut graph = self.network.model.graph.clone();
        graph.node = self.nodes;
        let before: HashSet<String> =
            graph.initializer.iter().map(|one| one.name.clone()).collect();
        graph.initializer.extend(self.constants);
        let read = graph.node.iter().flat_map(super::super::cut::reads).map(|read| read.name);
        let outputs = graph.output.iter().map(|output| &*output.name);
        let read: HashSet<String> = read.chain(outputs).map(String::from).collect();
        graph.initializer.retain(|tensor| read.contains(&tensor.name));
        // Old files list their constants among the inputs.
        graph.input.retain(|input| !before.contains(&input.name) || read.contains(&input.name));
        // Sides of tensors that may be gone; engines find them again.
        graph.value_info.clear();
        graph.quantization_annotation.clear();
        ModelProto { graph: Some(graph), ..self.network.model.proto.clone() }
    }
}

/// Values with their output channels first, as they lie in the file.
fn in_file_order<T: Copy>(layer: &Layer, values: &[T]) -> Vec<T> {
    match layer.axis {
        0 => values.to_vec(),
        _ => turned(values, layer.per_channel()),
    }
}

/// Limits that clip nothing which the grid of their result would not clip as well.
fn dropped(network: &QuantizableNetwork, grids: &HashMap<&str, Quantization>) -> HashSet<usize> {
    let graph = &network.model.graph;
    let constants = graph.initializer.iter().map(|one| (&*one.name, one)).collect();
    let is_superfluous = |clip: &usize| {
        let node = &graph.node[*clip];
        let grid = node.output.first().and_then(|name| grids.get(&**name));
        let (Some(grid), Some([low, high])) = (grid, limits_of(node, &constants)) else {
            return false;
        };
        let steps =
            |value: f32| (value / grid.scale).round_ties_even() + f32::from(grid.zero_point);
        steps(low) <= 0.0 && steps(high) >= 255.0
    };
    network.scheme.fused.keys().copied().filter(is_superfluous).collect()
}
