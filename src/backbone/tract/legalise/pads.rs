//! Pads below 0, which crop: tract takes them for giant ones.

use super::super::guard::title;
use super::super::load::load_refusal;
use super::{Rewriter, attribute, input};
use crate::status::Result;
use std::format;
use std::string::String;
use std::vec;
use std::vec::Vec;
use tract_onnx::pb::attribute_proto::AttributeType;
use tract_onnx::pb::tensor_proto::DataType;
use tract_onnx::pb::{AttributeProto, NodeProto, TensorProto};

/// The first version of ONNX in which Pad reads its pads as an input.
const PADS_AS_INPUT: i64 = 11;
/// The first version of ONNX in which Slice reads its limits as inputs.
const LIMITS_AS_INPUTS: i64 = 10;

impl Rewriter {
    /// Crops by what is below 0 before anything is added. Pads that are not known stay.
    pub(super) fn pad(&mut self, mut node: NodeProto) -> Result<()> {
        let pads = self.pads(&node).unwrap_or_default();
        if pads.iter().all(|&pad| pad >= 0) {
            self.nodes.push(node);
            return Ok(());
        }
        let mode = node.attribute.iter().find(|one| one.name == "mode");
        if mode.is_some_and(|mode| mode.s != b"constant") {
            let text = format!("{}: negative pads are for mode constant only", title(&node));
            return Err(load_refusal(&text));
        }
        let Some(axes) = self.padded_axes(&node, pads.len() / 2) else {
            return Err(load_refusal(&format!("{}: its axes are not known", title(&node))));
        };
        let Some(x) = input(&node, 0).map(String::from) else {
            return Err(load_refusal(&format!("{} lacks an input", title(&node))));
        };
        let (before, after) = pads.split_at(pads.len() / 2);
        let mut crop = Crop::default();
        for ((&axis, &before), &after) in axes.iter().zip(before).zip(after) {
            if before < 0 || after < 0 {
                crop.axes.push(axis);
                crop.starts.push(before.min(0).saturating_neg());
                crop.ends.push(if after < 0 { after } else { i64::MAX });
            }
        }
        let cropped = self.crop(&node, x, crop);
        let added: Vec<i64> = pads.iter().map(|&pad| pad.max(0)).collect();
        node.input[0] = cropped;
        if self.version < PADS_AS_INPUT {
            node.attribute.retain(|one| one.name != "pads");
            node.attribute.push(list("pads", added));
        } else {
            node.input[1] = self.integers_constant(&node, "pads", added);
        }
        self.nodes.push(node);
        Ok(())
    }

    fn pads(&self, node: &NodeProto) -> Option<Vec<i64>> {
        if self.version < PADS_AS_INPUT {
            let pads = node.attribute.iter().find(|one| one.name == "pads");
            return pads.map(|pads| pads.ints.clone());
        }
        self.lists.get(input(node, 1)?).cloned()
    }

    /// The axes that pads are for, if these are as many.
    fn padded_axes(&self, node: &NodeProto, count: usize) -> Option<Vec<i64>> {
        match input(node, 3) {
            Some(axes) => self.lists.get(axes).filter(|axes| axes.len() == count).cloned(),
            None => Some((0..count as i64).collect()),
        }
    }

    fn crop(&mut self, node: &NodeProto, x: String, crop: Crop) -> String {
        let limits = [("starts", crop.starts), ("ends", crop.ends), ("axes", crop.axes)];
        if self.version < LIMITS_AS_INPUTS {
            let attributes = limits.map(|(name, values)| list(name, values));
            return self.push(node, "Slice", vec![x], attributes.into());
        }
        let mut inputs = vec![x];
        for (name, values) in limits {
            inputs.push(self.integers_constant(node, name, values));
        }
        self.push(node, "Slice", inputs, Vec::new())
    }

    /// A new initialiser for `node`.
    fn integers_constant(&mut self, node: &NodeProto, what: &str, values: Vec<i64>) -> String {
        let stem = node.output.first().map_or("", |output| output);
        let name = format!("{stem}\u{1}{what}");
        self.constants.push(TensorProto {
            name: name.clone(),
            dims: vec![values.len() as i64],
            data_type: DataType::Int64 as i32,
            int64_data: values,
            ..TensorProto::default()
        });
        name
    }
}

/// What a slice takes.
#[derive(Default)]
struct Crop {
    axes: Vec<i64>,
    starts: Vec<i64>,
    ends: Vec<i64>,
}

fn list(name: &str, ints: Vec<i64>) -> AttributeProto {
    AttributeProto { ints, ..attribute(name, AttributeType::Ints, 0, 0.0) }
}
