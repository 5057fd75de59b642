//! Quantised operators (onnxruntime's QOperator format) in the QDQ form: dequantise, compute in
//! floats, quantise.
//!
//! Most of them tract has not. QLinearConv it has, in integers, but ten times slower than the QDQ
//! form, which [`super::super::integers`] computes just as exactly.

use super::super::guard::title;
use super::super::load::load_refusal;
use super::{Rewriter, attribute, input, integer};
use crate::status::Result;
use std::format;
use std::string::{String, ToString};
use std::vec;
use std::vec::Vec;
use tract_onnx::pb::attribute_proto::AttributeType;
use tract_onnx::pb::tensor_proto::DataType;
use tract_onnx::pb::{AttributeProto, GraphProto, NodeProto, TensorProto};

/// Names of the tensors that an integer tensor comes with.
#[derive(Clone, Debug)]
struct Quantized {
    tensor: String,
    scale: String,
    /// Empty if there is none.
    zero_point: String,
}

impl Rewriter {
    /// Inputs: x, scale, zero point, weights, scale, zero point, result's scale and zero point,
    /// and optionally the i32 bias in steps of the product of both scales. Without constant
    /// scales the node stays as it is.
    pub(super) fn convolution(&mut self, node: NodeProto) -> Result<()> {
        let scales = |at| input(&node, at).and_then(|name| self.scales.get(name));
        let (Some([x_scale]), Some(weight_scales)) = (scales(1).map(|one| &one[..]), scales(4))
        else {
            self.nodes.push(node);
            return Ok(());
        };
        let bias_scales: Vec<f32> = weight_scales.iter().map(|scale| x_scale * scale).collect();
        let channels = || Some(attribute("axis", AttributeType::Int, 0, 0.0));
        let x = self.dequantize(&node, quantized(&node, 0)?, None);
        let mut inputs = vec![x, self.dequantize(&node, quantized(&node, 3)?, channels())];
        if let Some(bias) = input(&node, 8) {
            let (tensor, zero_point) = (String::from(bias), String::new());
            let scale = format!("{bias}\u{1}scale{}", self.constants.len());
            self.constants.push(scale_tensor(scale.clone(), bias_scales));
            let bias = Quantized { tensor, scale, zero_point };
            inputs.push(self.dequantize(&node, bias, channels()));
        }
        self.compute(&node, "Conv", inputs, node.attribute.clone(), 6)
    }

    /// Inputs: a, scale, zero point, b, scale, zero point, result's scale and zero point.
    pub(super) fn binary(&mut self, node: &NodeProto, operator: &str) -> Result<()> {
        let a = self.dequantize(node, quantized(node, 0)?, None);
        let b = self.dequantize(node, quantized(node, 3)?, None);
        self.compute(node, operator, vec![a, b], Vec::new(), 6)
    }

    /// Whether these inputs are one known number each.
    pub(super) fn has_scales(&self, node: &NodeProto, inputs: &[usize]) -> bool {
        let is_number = |name| self.scales.get(name).is_some_and(|scales| scales.len() == 1);
        inputs.iter().all(|&at| input(node, at).is_some_and(is_number))
    }

    /// Whether the zero points of a product of integers are known, if there are any.
    pub(super) fn has_zero_points(&self, node: &NodeProto) -> bool {
        [2, 3].iter().all(|&at| input(node, at).is_none_or(|name| self.known.contains(name)))
    }

    /// Inputs: a, b, and optionally their zero points. The result, i32 in the model, is the same
    /// numbers in floats, exact below 2^24.
    pub(super) fn integers(&mut self, node: &NodeProto, operator: &str) -> Result<()> {
        let scale = format!("{}\u{1}one", node.output.first().map_or("", |output| output));
        self.constants.push(scale_tensor(scale.clone(), vec![1.0]));
        let mut inputs = Vec::new();
        for at in 0..2 {
            let Some(tensor) = input(node, at) else {
                return Err(load_refusal(&format!("{} lacks an input", title(node))));
            };
            let zero_point = input(node, at + 2).unwrap_or("").to_string();
            let source = Quantized { tensor: tensor.into(), scale: scale.clone(), zero_point };
            inputs.push(self.dequantize(node, source, None));
        }
        self.compute(node, operator, inputs, node.attribute.clone(), usize::MAX)
    }

    /// Inputs: x, scale, zero point, result's scale and zero point.
    pub(super) fn unary(&mut self, node: &NodeProto, operator: &str) -> Result<()> {
        if integer(node, "channels_last").unwrap_or(0) != 0 {
            return Err(load_refusal(&format!("{}: channels_last is not supported", title(node))));
        }
        let x = self.dequantize(node, quantized(node, 0)?, None);
        // A softmax looks at the version of ONNX that it was made for.
        let attributes = node.attribute.iter().filter(|one| one.name != "channels_last");
        self.compute(node, operator, vec![x], attributes.cloned().collect(), 3)
    }

    /// Inputs: result's scale and zero point, then each x with its scale and zero point.
    pub(super) fn concat(&mut self, node: &NodeProto) -> Result<()> {
        let mut inputs = Vec::new();
        for first in (2..node.input.len()).step_by(3) {
            inputs.push(self.dequantize(node, quantized(node, first)?, None));
        }
        self.compute(node, "Concat", inputs, node.attribute.clone(), 0)
    }

    /// Inputs: a, scale, zero point, b, scale, zero point, and optionally the i32 bias in steps
    /// of the product of both scales and `alpha`, result's scale, zero point.
    pub(super) fn gemm(&mut self, node: &NodeProto) -> Result<()> {
        let (a, b) = (quantized(node, 0)?, quantized(node, 3)?);
        let (a_scale, b_scale) = (a.scale.clone(), b.scale.clone());
        // One scale per column of the product.
        let columns = i64::from(integer(node, "transB").unwrap_or(0) == 0);
        let mut inputs = vec![
            self.dequantize(node, a, None),
            self.dequantize(node, b, Some(attribute("axis", AttributeType::Int, columns, 0.0))),
        ];
        if let Some(bias) = input(node, 6) {
            let to_f32 = attribute("to", AttributeType::Int, 1, 0.0);
            let steps = self.push(node, "Cast", vec![bias.into()], vec![to_f32]);
            let step = self.push(node, "Mul", vec![a_scale, b_scale], Vec::new());
            let bias = self.push(node, "Mul", vec![steps, step], Vec::new());
            let alpha = node.attribute.iter().find(|one| one.name == "alpha");
            let alpha = alpha.map_or(1.0, |one| one.f);
            let value = attribute("value_float", AttributeType::Float, 0, alpha);
            let alpha = self.push(node, "Constant", Vec::new(), vec![value]);
            inputs.push(self.push(node, "Mul", vec![bias, alpha], Vec::new()));
        }
        self.compute(node, "Gemm", inputs, node.attribute.clone(), 7)
    }

    /// Appends the float operator and the quantisation of its result, whose scale is the input
    /// number `scale`; without one the result stays in floats.
    fn compute(
        &mut self,
        node: &NodeProto,
        operator: &str,
        inputs: Vec<String>,
        attributes: Vec<AttributeProto>,
        scale: usize,
    ) -> Result<()> {
        let Some(result) = node.output.first() else {
            return Err(load_refusal(&format!("{} has no output", title(node))));
        };
        let Some(scale_name) = input(node, scale) else {
            let float = self.push(node, operator, inputs, attributes);
            self.rename_last(float, result);
            return Ok(());
        };
        let float = self.push(node, operator, inputs, attributes);
        let mut inputs = vec![float, scale_name.to_string()];
        inputs.extend(input(node, scale + 1).map(String::from));
        let integer = self.push(node, "QuantizeLinear", inputs, Vec::new());
        self.rename_last(integer, result);
        Ok(())
    }

    fn dequantize(
        &mut self,
        node: &NodeProto,
        source: Quantized,
        axis: Option<AttributeProto>,
    ) -> String {
        let mut inputs = vec![source.tensor, source.scale];
        inputs.extend(Some(source.zero_point).filter(|name| !name.is_empty()));
        self.push(node, "DequantizeLinear", inputs, axis.into_iter().collect())
    }

    pub(super) fn dequantize_output(&mut self, graph: &mut GraphProto) {
        let Some(output) = graph.output.first_mut() else { return };
        let writer = self.nodes.iter().find(|node| node.output.contains(&output.name));
        let Some(writer) = writer.cloned() else { return };
        let scale = match &*writer.op_type {
            "QuantizeLinear" => 1,
            "QLinearConv" | "QLinearMatMul" => 6, // those left as they are
            _ => return,
        };
        let Some(scale_name) = input(&writer, scale) else { return };
        let source = Quantized {
            tensor: output.name.clone(),
            scale: scale_name.into(),
            zero_point: input(&writer, scale + 1).unwrap_or("").into(),
        };
        output.name = self.dequantize(&writer, source, None);
    }
}

/// One scale as a scalar, several as a vector.
fn scale_tensor(name: String, scales: Vec<f32>) -> TensorProto {
    let dims = if scales.len() == 1 { Vec::new() } else { vec![scales.len() as i64] };
    let data_type = DataType::Float as i32;
    TensorProto { name, dims, data_type, float_data: scales, ..TensorProto::default() }
}

/// The tensor at input `first` with the scale and zero point that follow it.
fn quantized(node: &NodeProto, first: usize) -> Result<Quantized> {
    let (Some(tensor), Some(scale)) = (input(node, first), input(node, first + 1)) else {
        let text = format!("{}: {} lacks an input", title(node), node.op_type);
        return Err(load_refusal(&text));
    };
    let zero_point = input(node, first + 2).unwrap_or("");
    Ok(Quantized { tensor: tensor.into(), scale: scale.into(), zero_point: zero_point.into() })
}
