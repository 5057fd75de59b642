//! `Softmax` and `LogSoftmax`, in place of tract's own.
//!
//! tract takes any axis, and sums over several where ONNX before version 13 makes one of all axes
//! from a first one on. Here these are made one indeed, which is what plans compute.

use std::boxed::Box;
use std::format;
use std::string::String;
use std::vec;
use std::vec::Vec;
use tract_core::internal::*;
use tract_core::ops::math::{exp, ln, sub};
use tract_core::ops::nn::{Reduce, Reducer, Softmax};
use tract_onnx::model::{OnnxOpRegister, ParsingContext};
use tract_onnx::pb::NodeProto;
use tract_onnx::tract_hir::infer::*;
use tract_onnx::tract_hir::internal::{Expansion, expand};

/// The first version of ONNX in which a softmax is along one axis.
const ALONG_ONE_AXIS: i64 = 13;

pub(super) fn register(operators: &mut OnnxOpRegister) {
    operators.insert("Softmax", |context, node| softmax(context, node, false));
    operators.insert("LogSoftmax", |context, node| softmax(context, node, true));
}

fn softmax(
    context: &ParsingContext<'_>,
    node: &NodeProto,
    is_logarithm: bool,
) -> TractResult<(Box<dyn InferenceOp>, Vec<String>)> {
    // QLinearSoftmax says the version that it is of.
    let version = node.get_attr_opt::<i64>("opset")?;
    let is_one_axis = version.unwrap_or(context.onnx_operator_set_version) >= ALONG_ONE_AXIS;
    let axis = node.get_attr_opt::<i64>("axis")?.unwrap_or(if is_one_axis { -1 } else { 1 });
    Ok((expand(Along { axis, is_one_axis, is_logarithm }), Vec::new()))
}

#[derive(Clone, Debug)]
struct Along {
    axis: i64,
    /// Else the axes behind it belong to it.
    is_one_axis: bool,
    is_logarithm: bool,
}

impl Expansion for Along {
    fn name(&self) -> StaticName {
        if self.is_logarithm { "LogSoftmax".into() } else { "Softmax".into() }
    }

    fn rules<'r, 'p: 'r, 's: 'r>(
        &'s self,
        solver: &mut Solver<'r>,
        inputs: &'p [TensorProxy],
        outputs: &'p [TensorProxy],
    ) -> InferenceResult {
        check_input_arity(inputs, 1)?;
        check_output_arity(outputs, 1)?;
        solver.equals(&inputs[0].datum_type, &outputs[0].datum_type)?;
        solver.equals(&inputs[0].shape, &outputs[0].shape)
    }

    fn wire(
        &self,
        prefix: &str,
        model: &mut TypedModel,
        inputs: &[OutletId],
    ) -> TractResult<TVec<OutletId>> {
        let fact = model.outlet_fact(inputs[0])?.clone();
        let rank = fact.rank() as i64;
        let axis = if self.axis < 0 { self.axis + rank } else { self.axis };
        ensure!((0..rank).contains(&axis), "axis {} is not one of {rank} axes", self.axis);
        let axis = axis as usize;
        let joined = &fact.shape[axis..];
        let is_split = !self.is_one_axis && joined.iter().skip(1).any(|side| !side.is_one());
        let whole: TVec<TDim> = tvec!(joined.iter().product());
        let mut wire = inputs[0];
        if is_split {
            let join = AxisOp::Reshape(axis, joined.into(), whole.clone());
            wire = model.wire_node(format!("{prefix}.joined"), join, &[wire])?[0];
        }
        wire = match self.is_logarithm {
            true => logarithm(prefix, model, wire, axis)?,
            false => {
                let quant_output_dt = Some(fact.datum_type).filter(|element| !element.is_float());
                let op = Softmax { axes: tvec!(axis), quant_output_dt, ..Softmax::default() };
                model.wire_node(format!("{prefix}.softmax"), op, &[wire])?[0]
            }
        };
        if is_split {
            let split = AxisOp::Reshape(axis, whole, joined.into());
            wire = model.wire_node(format!("{prefix}.split"), split, &[wire])?[0];
        }
        Ok(tvec!(wire))
    }
}

/// `y - log(sum(exp(y)))` with `y = x - max(x)`: the logarithm of a softmax is none where the
/// softmax is too small for a float.
fn logarithm(
    prefix: &str,
    model: &mut TypedModel,
    x: OutletId,
    axis: usize,
) -> TractResult<OutletId> {
    let mut wire = |name: &str, op: Box<dyn TypedOp>, inputs: &[OutletId]| {
        Ok(model.wire_node(format!("{prefix}.{name}"), op, inputs)?[0]) as TractResult<OutletId>
    };
    let reduce = |reducer| Box::new(Reduce::new(tvec!(axis), reducer));
    let largest = wire("largest", reduce(Reducer::Max), &[x])?;
    let below = wire("below", Box::new(sub()), &[x, largest])?;
    let exponentials = wire("exponentials", Box::new(exp()), &[below])?;
    let total = wire("sum", reduce(Reducer::Sum), &[exponentials])?;
    let total = wire("logarithm", Box::new(ln()), &[total])?;
    wire("result", Box::new(sub()), &[below, total])
}
