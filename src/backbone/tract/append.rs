//! Adds layers to an ONNX graph: tensors of it brought to one grid and joined, and a decoder.

use super::guard::{self, GraphModel};
use super::load::{framework, load_refusal};
use super::tap_shape::TapShape;
use crate::status::{Result, Status};
use prost::Message;
use std::collections::HashSet;
use std::format;
use std::string::{String, ToString};
use std::vec;
use std::vec::Vec;
use tract_onnx::pb::attribute_proto::AttributeType;
use tract_onnx::pb::tensor_proto::DataType;
use tract_onnx::pb::tensor_shape_proto::{Dimension, dimension::Value as Side};
use tract_onnx::pb::type_proto::{Tensor as TensorType, Value as Type};
use tract_onnx::pb::{
    AttributeProto, GraphProto, NodeProto, TensorProto, TensorShapeProto, TypeProto, ValueInfoProto,
};

/// Name of the tensor that is added.
pub const FEATURES: &str = "zsseg_features";
/// Name of what an alignment works on.
const ALIGNED: &str = "zsseg_features_before";
/// First version of ONNX's operators whose `Slice` takes its places as tensors.
const SLICE_OPSET: i64 = 10;
/// First version whose `Resize` takes sizes.
const RESIZE_OPSET: i64 = 11;
/// First version whose `Resize` may leave out what is not used.
const OPTIONAL_INPUTS_OPSET: i64 = 13;

/// Weights and biases of a layer.
#[derive(Clone, Debug, PartialEq)]
pub struct LayerWeights {
    /// `[outputs, inputs]` of a 1x1 convolution, row after row; `[9, channels]` of a depthwise
    /// 3x3, a row per place of the kernel.
    pub weights: Vec<f32>,
    /// One per output.
    pub bias: Vec<f32>,
}

/// A block of a decoder.
#[derive(Clone, Debug, PartialEq)]
pub struct BlockWeights {
    /// The depthwise 3x3.
    pub depthwise: LayerWeights,
    /// The 1x1 after it.
    pub pointwise: LayerWeights,
    /// Whether a ReLU follows.
    pub has_relu: bool,
    /// Whether the block's input is added at its end.
    pub adds_input: bool,
}

/// A decoder over several tensors of a network: each goes through a 1x1 convolution and a ReLU;
/// all are resized to one grid and joined; then come blocks.
#[derive(Clone, Debug, PartialEq)]
pub struct DecoderLayers {
    /// The 1x1 of each tensor.
    pub taps: Vec<LayerWeights>,
    /// What comes after they are joined.
    pub blocks: Vec<BlockWeights>,
    /// Distance of the places of the 3x3 kernels; at least 1.
    pub dilation: usize,
}

impl LayerWeights {
    /// Inputs of a 1x1 convolution.
    fn inputs(&self) -> usize {
        self.weights.len() / self.bias.len().max(1)
    }

    fn check(&self, name: &str, inputs: usize) -> Result<()> {
        let wanted = inputs.checked_mul(self.bias.len());
        if self.bias.is_empty() || wanted != Some(self.weights.len()) {
            let (weights, outputs) = (self.weights.len(), self.bias.len());
            let text = format!("{name}: {weights} weights for {inputs} inputs, {outputs} outputs");
            return Err(Status::InvalidArgument.about("decoder").text(text));
        }
        Ok(())
    }
}

/// The network with a further output [`FEATURES`] of `[1, channels, rows, columns]`: the tensors
/// `taps` resized bilinearly (half-pixel centres) to `grid` and joined, through `decoder` and the
/// 1x1 convolution `alignment` if there are such. A tap is `[1, channels, height, width]` or
/// `[1, tokens, channels]`; tokens are the cells row by row, of square patches that fill the
/// picture, after [`PREFIX_TOKENS`](super::PREFIX_TOKENS) others, which are dropped. Everything
/// that was there stays.
///
/// # Errors
/// [`Status::ModelLoad`] if the network is malformed, naming a tap that is missing, whose shape
/// cannot be found out or is not of those forms, whose tokens fit no grid or several, and a tensor
/// whose name is taken;
/// [`Status::InvalidArgument`] for a grid without cells and for a decoder whose layers do not fit
/// to the taps.
pub fn append_features(
    onnx: &[u8],
    taps: &[&str],
    grid: [usize; 2],
    decoder: Option<&DecoderLayers>,
    alignment: Option<&LayerWeights>,
) -> Result<Vec<u8>> {
    if taps.is_empty() || grid.contains(&0) {
        return Err(Status::InvalidArgument.about("features").text("no taps, or an empty grid"));
    }
    let mut model = guard::parse(&framework(), onnx)?;
    let shapes = taps.iter().map(|tap| TapShape::find(onnx, &model.graph, tap));
    let shapes = shapes.collect::<Result<Vec<_>>>()?;
    if let Some(decoder) = decoder {
        check_decoder(decoder, taps, &shapes)?;
    }
    let joined: usize = shapes.iter().map(|shape| shape.channels).sum();
    let last = decoder.and_then(|decoder| decoder.blocks.last());
    let channels = last.map_or(joined, |block| block.pointwise.bias.len());
    if let Some(layer) = alignment {
        layer.check("alignment", channels)?;
    }
    let mut builder = Builder::new(&mut model)?;
    let name = if alignment.is_some() { ALIGNED } else { FEATURES };
    builder.add_all(taps, &shapes, grid, decoder, name)?;
    let channels = match alignment {
        None => channels,
        Some(layer) => {
            builder.pointwise(FEATURES, name, layer)?;
            layer.bias.len()
        }
    };
    builder.graph.output.push(output(FEATURES, [channels, grid[0], grid[1]]));
    let GraphModel { graph, mut proto } = model;
    proto.graph = Some(graph);
    Ok(proto.encode_to_vec())
}

fn check_decoder(decoder: &DecoderLayers, taps: &[&str], shapes: &[TapShape]) -> Result<()> {
    let refuse = |text: String| Err(Status::InvalidArgument.about("decoder").text(text));
    if decoder.taps.len() != taps.len() || decoder.blocks.is_empty() || decoder.dilation == 0 {
        return refuse(format!("{} taps for {} layers", taps.len(), decoder.taps.len()));
    }
    let mut joined = 0;
    for ((layer, tap), shape) in decoder.taps.iter().zip(taps).zip(shapes) {
        layer.check(&format!("tap \"{tap}\""), shape.channels)?;
        joined += layer.bias.len();
    }
    for (index, block) in decoder.blocks.iter().enumerate() {
        block.depthwise.check(&format!("depthwise layer {index}"), 9)?;
        if block.depthwise.bias.len() != joined {
            return refuse(format!("depthwise layer {index} has not {joined} channels"));
        }
        block.pointwise.check(&format!("layer {index}"), joined)?;
        if block.adds_input && block.pointwise.bias.len() != joined {
            return refuse(format!("block {index} adds an input of {joined} channels"));
        }
        joined = block.pointwise.bias.len();
    }
    Ok(())
}

/// Adds nodes to a graph.
struct Builder<'a> {
    graph: &'a mut GraphProto,
    opset: i64,
    taken: HashSet<String>,
}

impl<'a> Builder<'a> {
    fn new(model: &'a mut GraphModel) -> Result<Builder<'a>> {
        let imports = model.proto.opset_import.iter();
        let opset = imports.filter(|one| one.domain.is_empty() || one.domain == "ai.onnx");
        let opset = opset.map(|one| one.version).max();
        let opset = opset.ok_or_else(|| load_refusal("the network states no operator version"))?;
        let graph = &mut model.graph;
        let written = graph.node.iter().flat_map(|node| &node.output);
        let constants = graph.initializer.iter().map(|one| &one.name);
        let inputs = graph.input.iter().map(|one| &one.name);
        let taken = written.chain(constants).chain(inputs).cloned().collect();
        Ok(Builder { graph, opset, taken })
    }

    fn add_all(
        &mut self,
        taps: &[&str],
        shapes: &[TapShape],
        grid: [usize; 2],
        decoder: Option<&DecoderLayers>,
        last: &str,
    ) -> Result<()> {
        let mut parts = Vec::new();
        for (index, (tap, shape)) in taps.iter().zip(shapes).enumerate() {
            let mut width = shape.channels;
            let mut tensor = match shape.prefix {
                Some(prefix) => self.map_of_tokens(index, tap, shape, prefix)?,
                None => tap.to_string(),
            };
            if let Some(layer) = decoder.and_then(|decoder| decoder.taps.get(index)) {
                width = layer.bias.len();
                tensor = self.pointwise(&format!("{FEATURES}_tap{index}"), &tensor, layer)?;
                tensor = self.simple("Relu", &format!("{FEATURES}_tap{index}_relu"), &[&tensor])?;
            }
            if shape.grid != grid {
                let name = format!("{FEATURES}_tap{index}_resized");
                tensor = self.resize(&name, &tensor, [width, grid[0], grid[1]])?;
            }
            parts.push(tensor);
        }
        let blocks = decoder.map(|decoder| decoder.blocks.as_slice()).unwrap_or_default();
        let name = if blocks.is_empty() { last.into() } else { format!("{FEATURES}_joined") };
        let parts: Vec<&str> = parts.iter().map(String::as_str).collect();
        let mut tensor = self.node("Concat", &name, &parts, vec![int("axis", 1)])?;
        for (index, block) in blocks.iter().enumerate() {
            let dilation = decoder.map_or(1, |decoder| decoder.dilation);
            let name = (index + 1 == blocks.len()).then_some(last);
            tensor = self.block(index, &tensor, block, dilation, name)?;
        }
        Ok(())
    }

    /// A block, whose result has this name if it is given one.
    fn block(
        &mut self,
        index: usize,
        x: &str,
        block: &BlockWeights,
        dilation: usize,
        result: Option<&str>,
    ) -> Result<String> {
        let name = |part: &str| format!("{FEATURES}_block{index}_{part}");
        let steps = 1 + usize::from(block.has_relu) + usize::from(block.adds_input);
        let named = |step: usize, part: &str| {
            result.filter(|_| step == steps).map_or_else(|| name(part), str::to_string)
        };
        let mut tensor = self.depthwise(&name("depthwise"), x, &block.depthwise, dilation)?;
        let mut step = 1;
        tensor = self.pointwise(&named(step, "pointwise"), &tensor, &block.pointwise)?;
        if block.has_relu {
            step += 1;
            tensor = self.simple("Relu", &named(step, "relu"), &[&tensor])?;
        }
        if block.adds_input {
            step += 1;
            tensor = self.simple("Add", &named(step, "sum"), &[&tensor, x])?;
        }
        Ok(tensor)
    }

    fn pointwise(&mut self, name: &str, x: &str, layer: &LayerWeights) -> Result<String> {
        let dims = [layer.bias.len(), layer.inputs(), 1, 1];
        let weight = self.floats(&format!("{name}_weight"), &dims, &layer.weights)?;
        let bias = self.floats(&format!("{name}_bias"), &[layer.bias.len()], &layer.bias)?;
        self.node("Conv", name, &[x, &weight, &bias], vec![ints("kernel_shape", &[1, 1])])
    }

    fn depthwise(
        &mut self,
        name: &str,
        x: &str,
        layer: &LayerWeights,
        dilation: usize,
    ) -> Result<String> {
        let channels = layer.bias.len();
        // From a row per place to a row per channel.
        let column = |channel: usize| layer.weights.iter().skip(channel).step_by(channels);
        let turned: Vec<f32> = (0..channels).flat_map(column).copied().collect();
        let weight = self.floats(&format!("{name}_weight"), &[channels, 1, 3, 3], &turned)?;
        let bias = self.floats(&format!("{name}_bias"), &[channels], &layer.bias)?;
        let dilation = i64::try_from(dilation).unwrap_or(i64::MAX);
        let attributes = vec![
            ints("kernel_shape", &[3, 3]),
            ints("pads", &[dilation; 4]),
            ints("dilations", &[dilation; 2]),
            int("group", channels as i64),
        ];
        self.node("Conv", name, &[x, &weight, &bias], attributes)
    }

    /// Tokens `[1, prefix + rows * columns, channels]` as `[1, channels, rows, columns]`.
    fn map_of_tokens(
        &mut self,
        index: usize,
        tap: &str,
        shape: &TapShape,
        prefix: usize,
    ) -> Result<String> {
        self.require(SLICE_OPSET, "slice")?;
        let name = |part: &str| format!("{FEATURES}_tap{index}_{part}");
        let [rows, columns] = shape.grid;
        let mut tensor = tap.to_string();
        if prefix > 0 {
            let starts = self.integers(&name("first_cell"), &[prefix])?;
            let ends = self.integers(&name("end"), &[prefix + rows * columns])?;
            let axes = self.integers(&name("axis"), &[1])?;
            tensor = self.simple("Slice", &name("cells"), &[&tensor, &starts, &ends, &axes])?;
        }
        let order = vec![ints("perm", &[0, 2, 1])];
        tensor = self.node("Transpose", &name("channels_first"), &[&tensor], order)?;
        let sides = self.integers(&name("sides"), &[1, shape.channels, rows, columns])?;
        self.simple("Reshape", &name("map"), &[&tensor, &sides])
    }

    fn require(&self, least: i64, what: &str) -> Result<()> {
        let opset = self.opset;
        match opset < least {
            true => {
                let text = format!("operator version {opset} cannot {what}; {least} can");
                Err(load_refusal(&text))
            }
            false => Ok(()),
        }
    }

    fn resize(
        &mut self,
        name: &str,
        x: &str,
        [channels, rows, columns]: [usize; 3],
    ) -> Result<String> {
        self.require(RESIZE_OPSET, "resize")?;
        let sizes = self.integers(&format!("{name}_sizes"), &[1, channels, rows, columns])?;
        let unused = match self.opset < OPTIONAL_INPUTS_OPSET {
            true => self.floats(&format!("{name}_unused"), &[0], &[])?,
            false => String::new(),
        };
        let attributes =
            vec![text("mode", "linear"), text("coordinate_transformation_mode", "half_pixel")];
        self.node("Resize", name, &[x, &unused, &unused, &sizes], attributes)
    }

    fn simple(&mut self, operator: &str, name: &str, inputs: &[&str]) -> Result<String> {
        self.node(operator, name, inputs, Vec::new())
    }

    /// Adds a node that writes the tensor `name`.
    fn node(
        &mut self,
        operator: &str,
        name: &str,
        inputs: &[&str],
        attribute: Vec<AttributeProto>,
    ) -> Result<String> {
        self.take(name)?;
        self.graph.node.push(NodeProto {
            name: name.into(),
            op_type: operator.into(),
            input: inputs.iter().map(|input| input.to_string()).collect(),
            output: vec![name.into()],
            attribute,
            ..NodeProto::default()
        });
        Ok(name.into())
    }

    fn floats(&mut self, name: &str, dims: &[usize], values: &[f32]) -> Result<String> {
        let bytes = values.iter().flat_map(|value| value.to_le_bytes()).collect();
        self.constant(name, DataType::Float, dims, bytes)
    }

    fn integers(&mut self, name: &str, values: &[usize]) -> Result<String> {
        let bytes = values.iter().flat_map(|value| (*value as i64).to_le_bytes()).collect();
        self.constant(name, DataType::Int64, &[values.len()], bytes)
    }

    fn constant(
        &mut self,
        name: &str,
        element: DataType,
        dims: &[usize],
        raw_data: Vec<u8>,
    ) -> Result<String> {
        self.take(name)?;
        self.graph.initializer.push(TensorProto {
            name: name.into(),
            data_type: element as i32,
            dims: dims.iter().map(|side| *side as i64).collect(),
            raw_data,
            ..TensorProto::default()
        });
        Ok(name.into())
    }

    fn take(&mut self, name: &str) -> Result<()> {
        match self.taken.insert(name.into()) {
            true => Ok(()),
            false => Err(load_refusal(&format!("the network already has a tensor \"{name}\""))),
        }
    }
}

fn int(name: &str, i: i64) -> AttributeProto {
    let r#type = AttributeType::Int as i32;
    AttributeProto { name: name.into(), r#type, i, ..AttributeProto::default() }
}

fn ints(name: &str, ints: &[i64]) -> AttributeProto {
    let r#type = AttributeType::Ints as i32;
    AttributeProto { name: name.into(), r#type, ints: ints.to_vec(), ..AttributeProto::default() }
}

fn text(name: &str, value: &str) -> AttributeProto {
    let r#type = AttributeType::String as i32;
    AttributeProto { name: name.into(), r#type, s: value.into(), ..AttributeProto::default() }
}

/// The declaration of an output of floats.
fn output(name: &str, shape: [usize; 3]) -> ValueInfoProto {
    let side = |side: usize| Dimension {
        value: Some(Side::DimValue(side as i64)),
        ..Dimension::default()
    };
    let dim = [1].into_iter().chain(shape).map(side).collect();
    let tensor =
        TensorType { elem_type: DataType::Float as i32, shape: Some(TensorShapeProto { dim }) };
    let r#type = TypeProto { value: Some(Type::TensorType(tensor)), ..TypeProto::default() };
    ValueInfoProto { name: name.into(), r#type: Some(r#type), ..ValueInfoProto::default() }
}
