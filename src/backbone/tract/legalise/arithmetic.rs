//! Elu, Celu and Selu, which tract computes by a condition, as sums of two functions; and Softplus,
//! whose exponential would overflow.

use super::super::guard::title;
use super::super::load::load_refusal;
use super::{Rewriter, attribute, input};
use crate::status::Result;
use std::format;
use std::string::{String, ToString};
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
        let above = self.push(node, "Relu", vec![x.into()], Vec::new());
        let mut below = self.with_number(node, "Min", x.into(), 0.0);
        if width != 1.0 {
            below = self.with_number(node, "Div", below, width);
        }
        let below = self.push(node, "Exp", vec![below], Vec::new());
        let below = self.with_number(node, "Sub", below, 1.0);
        let below = self.with_number(node, "Mul", below, alpha);
        let mut sum = self.push(node, "Add", vec![above, below], Vec::new());
        if gamma != 1.0 {
            sum = self.with_number(node, "Mul", sum, gamma);
        }
        self.rename_last(sum, result);
        Ok(())
    }

    /// `max(x, 0) + log(1 + exp(-|x|))`.
    pub(super) fn softplus(&mut self, node: &NodeProto) -> Result<()> {
        let (Some(x), Some(result)) = (input(node, 0), node.output.first()) else {
            return Err(load_refusal(&format!("{} lacks an input or output", title(node))));
        };
        let above = self.push(node, "Relu", vec![x.into()], Vec::new());
        let mut rest = x.to_string();
        for operator in ["Abs", "Neg", "Exp"] {
            rest = self.push(node, operator, vec![rest], Vec::new());
        }
        let rest = self.with_number(node, "Add", rest, 1.0);
        let rest = self.push(node, "Log", vec![rest], Vec::new());
        let sum = self.push(node, "Add", vec![above, rest], Vec::new());
        self.rename_last(sum, result);
        Ok(())
    }

    /// An operator on `x` and a number.
    fn with_number(&mut self, node: &NodeProto, operator: &str, x: String, number: f32) -> String {
        let value = attribute("value_float", AttributeType::Float, 0, number);
        let number = self.push(node, "Constant", Vec::new(), vec![value]);
        self.push(node, operator, vec![x, number], Vec::new())
    }
}
