//! Elu, Celu and Selu, which tract computes by a condition, as sums of two functions.

use super::super::guard::title;
use super::super::load::load_refusal;
use super::{Rewriter, attribute, input};
use crate::status::Result;
use std::format;
use std::string::String;
use std::vec;
use std::vec::Vec;
use tract_onnx::pb::NodeProto;
use tract_onnx::pb::attribute_proto::AttributeType;

impl Rewriter {
    /// `(max(x, 0) + alpha * (exp(min(x, 0) / width) - 1)) * gamma`.
    pub(super) fn exponential(
        &mut self,
        node: &NodeProto,
        [alpha, width, gamma]: [f32; 3],
    ) -> Result<()> {
        let (Some(x), Some(result)) = (input(node, 0), node.output.first()) else {
            return Err(load_refusal(&format!("{} lacks an input or output", title(node))));
        };
        let pair = |rewriter: &mut Rewriter, operator: &str, x: String, value: f32| {
            let value = attribute("value_float", AttributeType::Float, 0, value);
            let number = rewriter.push(node, "Constant", Vec::new(), vec![value]);
            rewriter.push(node, operator, vec![x, number], Vec::new())
        };
        let above = self.push(node, "Relu", vec![x.into()], Vec::new());
        let mut below = pair(self, "Min", x.into(), 0.0);
        if width != 1.0 {
            below = pair(self, "Div", below, width);
        }
        let below = self.push(node, "Exp", vec![below], Vec::new());
        let below = pair(self, "Sub", below, 1.0);
        let below = pair(self, "Mul", below, alpha);
        let mut sum = self.push(node, "Add", vec![above, below], Vec::new());
        if gamma != 1.0 {
            sum = pair(self, "Mul", sum, gamma);
        }
        self.rename_last(sum, result);
        Ok(())
    }
}
