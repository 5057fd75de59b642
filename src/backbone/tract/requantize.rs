//! Operators that bring whole sums back to the steps of a grid (`integers` has the why).
//!
//! Both take and give steps: `integer - zero_point`, a whole number in an f32. Their arithmetic
//! is onnxruntime's, so that the same sums give the same steps.

use super::quantize::{ROUNDER, clamp};
use std::boxed::Box;
use std::string::String;
use std::vec;
use std::vec::Vec;
use tract_core::broadcast::multi_broadcast;
use tract_core::internal::*;
use tract_core::ops::change_axes::wire_rank_broadcast;
use tract_linalg::multithread::par_chunks_mut;
use tract_onnx::model::{OnnxOpRegister, ParsingContext};
use tract_onnx::pb::NodeProto;
use tract_onnx::tract_hir::infer::*;
use tract_onnx::tract_hir::internal::{Expansion, expand};

/// Name of [`Requantize`] in a graph: inputs are the sums, the multipliers and the biases.
pub(super) const REQUANTIZE: &str = "ZssegRequantize";
/// Name of [`AddSteps`] in a graph.
pub(super) const ADD_STEPS: &str = "ZssegAddSteps";

/// `round_half_even((sum + bias[c]) * multiplier[c])` limited to `low..=high`, what QLinearConv
/// does to its accumulator. The bias is added here because that of a channel whose weights are
/// nearly zero may be near 2^31: inside the sum it would make the order matter.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Requantize {
    multipliers: Arc<[f32]>,
    biases: Arc<[f32]>,
    /// Axis of the channels.
    axis: usize,
    pub(super) limits: [f32; 2],
}

impl Eq for Requantize {}

impl Requantize {
    fn step(&self, sum: f32, bias: f32, multiplier: f32) -> f32 {
        clamp((sum + bias) * multiplier, self.limits[0], self.limits[1]) + ROUNDER - ROUNDER
    }

    /// Whole pixels, channels last.
    fn pixels(&self, sums: &mut [f32]) {
        for pixel in sums.chunks_exact_mut(self.multipliers.len()) {
            let parameters = self.biases.iter().zip(&*self.multipliers);
            for (sum, (&bias, &multiplier)) in pixel.iter_mut().zip(parameters) {
                *sum = self.step(*sum, bias, multiplier);
            }
        }
    }

    /// Whole planes of `len` values, the first of them number `first`.
    fn planes(&self, first: usize, sums: &mut [f32], len: usize) {
        for (plane, sums) in (first..).zip(sums.chunks_exact_mut(len)) {
            let channel = plane % self.multipliers.len();
            let (bias, multiplier) = (self.biases[channel], self.multipliers[channel]);
            for sum in sums {
                *sum = self.step(*sum, bias, multiplier);
            }
        }
    }
}

impl Op for Requantize {
    fn name(&self) -> StaticName {
        "Requantize".into()
    }

    op_as_typed_op!();
}

impl EvalOp for Requantize {
    op_out_of_plan!();

    fn eval(&self, _: &EvalContext, inputs: TVec<TValue>) -> TractResult<TVec<TValue>> {
        let mut tensor = args_1!(inputs).into_tensor();
        let channels = self.multipliers.len();
        ensure!(tensor.shape().get(self.axis) == Some(&channels), "wrong number of channels");
        let len: usize = tensor.shape()[self.axis + 1..].iter().product();
        let mut view = tensor.try_as_plain_ram_mut()?;
        let sums = view.as_slice_mut::<f32>()?;
        let total = sums.len();
        match len {
            0 => {}
            1 => par_chunks_mut(sums, channels, total, |_, sums| {
                self.pixels(sums);
                Ok(())
            })?,
            _ => par_chunks_mut(sums, len, total, |first, sums| {
                self.planes(first, sums, len);
                Ok(())
            })?,
        }
        Ok(tvec!(tensor.into_tvalue()))
    }
}

impl TypedOp for Requantize {
    fn output_facts(&self, inputs: &[&TypedFact]) -> TractResult<TVec<TypedFact>> {
        Ok(tvec!(inputs[0].clone().without_value()))
    }

    fn change_axes(
        &self,
        model: &TypedModel,
        node: &TypedNode,
        _: InOut,
        change: &AxisOp,
    ) -> TractResult<Option<AxisChangeConsequence>> {
        let Some(axis) = change.transform_axis(self.axis) else { return Ok(None) };
        let op = Box::new(Requantize { axis, ..self.clone() });
        Ok(Some(AxisChangeConsequence::new(model, node, Some(op), change)))
    }

    as_op!();
}

/// The sum of two activations of different grids, what QLinearAdd does: with the integers, zero
/// points not taken off, `round_half_even(ratio_a * a + (ratio_b * b + offset))` limited to
/// `low..=high`, each product and sum in one rounding.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct AddSteps {
    /// Steps of the result per step of a and b.
    ratios: [f32; 2],
    /// Of a, b and the result.
    zero_points: [f32; 3],
    pub(super) limits: [f32; 2],
}

impl Eq for AddSteps {}

impl AddSteps {
    /// What is left of the zero points when `a`, `b` and the result are integers.
    fn offset(&self) -> f32 {
        let ([ratio_a, ratio_b], [a, b, result]) = (self.ratios, self.zero_points);
        result - fused(ratio_a, a, ratio_b * b)
    }

    /// The sum in the place of `a`.
    fn add(&self, a: &mut [f32], b: &[f32]) {
        let ([ratio_a, ratio_b], [zero_a, zero_b, zero]) = (self.ratios, self.zero_points);
        let (offset, [low, high]) = (self.offset(), self.limits.map(|limit| limit + zero));
        for (a, b) in a.iter_mut().zip(b) {
            let sum = fused(*a + zero_a, ratio_a, fused(*b + zero_b, ratio_b, offset));
            *a = clamp(sum, low, high) + ROUNDER - ROUNDER - zero;
        }
    }
}

/// `a * b + c` rounded once, for an `a` of few bits: then an f64 has the product and, unless it
/// is 2^20 times `c` or less than that part of it, the sum exactly. `f32::mul_add` is a call
/// where the instruction cannot be relied upon.
fn fused(a: f32, b: f32, c: f32) -> f32 {
    (f64::from(a) * f64::from(b) + f64::from(c)) as f32
}

impl Op for AddSteps {
    fn name(&self) -> StaticName {
        "AddSteps".into()
    }

    op_as_typed_op!();
}

impl EvalOp for AddSteps {
    op_out_of_plan!();

    fn eval(&self, _: &EvalContext, inputs: TVec<TValue>) -> TractResult<TVec<TValue>> {
        let (a, b) = args_2!(inputs);
        let shape = multi_broadcast(&[a.shape(), b.shape()])?;
        let mut sum = match a.shape() == &*shape {
            true => a.into_tensor(),
            false => a.broadcast_to_shape(&shape)?,
        };
        let b = match b.shape() == &*shape {
            true => b,
            false => b.broadcast_to_shape(&shape)?.into_tvalue(),
        };
        let mut view = sum.try_as_plain_ram_mut()?;
        let (a, b) = (view.as_slice_mut::<f32>()?, b.try_as_plain_ram()?.as_slice::<f32>()?);
        let total = a.len();
        par_chunks_mut(a, 1, total, |first, a| {
            self.add(a, &b[first..]);
            Ok(())
        })?;
        Ok(tvec!(sum.into_tvalue()))
    }
}

impl TypedOp for AddSteps {
    fn output_facts(&self, inputs: &[&TypedFact]) -> TractResult<TVec<TypedFact>> {
        let shape = multi_broadcast(&[&inputs[0].shape, &inputs[1].shape])?;
        Ok(tvec!(f32::fact(shape)))
    }

    fn change_axes(
        &self,
        model: &TypedModel,
        node: &TypedNode,
        _: InOut,
        change: &AxisOp,
    ) -> TractResult<Option<AxisChangeConsequence>> {
        let facts = model.node_input_facts(node.id)?;
        // A reshape or a removed axis may not fit both inputs.
        let fits = facts[0].shape == facts[1].shape || matches!(change, AxisOp::Move(..));
        Ok(fits.then(|| AxisChangeConsequence::new(model, node, None, change)))
    }

    as_op!();
}

/// The limits of the steps if a node gives steps.
pub(super) fn steps_limits(node: &TypedNode) -> Option<[f32; 2]> {
    let sums = node.op_as::<Requantize>().map(|op| op.limits);
    sums.or_else(|| node.op_as::<AddSteps>().map(|op| op.limits))
}

/// Makes tract read [`REQUANTIZE`] and [`ADD_STEPS`].
pub(super) fn register(operators: &mut OnnxOpRegister) {
    operators.insert(REQUANTIZE, requantize);
    operators.insert(ADD_STEPS, add_steps);
}

type Parsed = TractResult<(Box<dyn InferenceOp>, Vec<String>)>;

fn requantize(_: &ParsingContext<'_>, node: &NodeProto) -> Parsed {
    let limits = floats(node, "limits")?;
    let axis = node.get_attr_opt::<i64>("axis")?.unwrap_or(1);
    Ok((expand(Wired::Requantize { axis, limits }), Vec::new()))
}

fn add_steps(_: &ParsingContext<'_>, node: &NodeProto) -> Parsed {
    let op = AddSteps {
        ratios: floats(node, "ratios")?,
        zero_points: floats(node, "zero_points")?,
        limits: floats(node, "limits")?,
    };
    Ok((expand(Wired::AddSteps(op)), Vec::new()))
}

fn floats<const N: usize>(node: &NodeProto, name: &str) -> TractResult<[f32; N]> {
    let values = node.get_attr_tvec::<f32>(name)?;
    let values = values.as_slice().try_into();
    values.map_err(|_| format_err!("attribute {name} has another length than {N}"))
}

/// The operators as nodes of a graph.
#[derive(Clone, Debug)]
enum Wired {
    Requantize { axis: i64, limits: [f32; 2] },
    AddSteps(AddSteps),
}

impl Expansion for Wired {
    fn name(&self) -> StaticName {
        match self {
            Wired::Requantize { .. } => REQUANTIZE.into(),
            Wired::AddSteps(_) => ADD_STEPS.into(),
        }
    }

    fn rules<'r, 'p: 'r, 's: 'r>(
        &'s self,
        solver: &mut Solver<'r>,
        inputs: &'p [TensorProxy],
        outputs: &'p [TensorProxy],
    ) -> InferenceResult {
        check_output_arity(outputs, 1)?;
        solver.equals(&outputs[0].datum_type, f32::datum_type())?;
        solver.equals(&inputs[0].datum_type, f32::datum_type())?;
        match self {
            Wired::Requantize { .. } => {
                check_input_arity(inputs, 3)?;
                solver.equals(&inputs[0].shape, &outputs[0].shape)
            }
            Wired::AddSteps(_) => {
                check_input_arity(inputs, 2)?;
                solver.given_2(&inputs[0].shape, &inputs[1].shape, |solver, a, b| {
                    solver.equals(&outputs[0].shape, multi_broadcast(&[&a, &b])?)
                })
            }
        }
    }

    fn wire(
        &self,
        prefix: &str,
        model: &mut TypedModel,
        inputs: &[OutletId],
    ) -> TractResult<TVec<OutletId>> {
        for &input in inputs {
            ensure!(model.outlet_fact(input)?.datum_type == DatumType::F32, "not in steps");
        }
        match self {
            Wired::AddSteps(op) => {
                let inputs = wire_rank_broadcast(prefix, model, inputs)?;
                model.wire_node(prefix, op.clone(), &inputs)
            }
            Wired::Requantize { axis, limits } => {
                let shape = model.outlet_fact(inputs[0])?.shape.clone();
                let rank = shape.rank() as i64;
                let axis = if *axis < 0 { axis + rank } else { *axis };
                ensure!((0..rank).contains(&axis), "axis {axis} is out of range");
                let axis = axis as usize;
                let list = |input: OutletId| -> TractResult<Arc<[f32]>> {
                    let values = model.outlet_fact(input)?.konst.clone();
                    let values = values.context("parameters are not constant")?;
                    Ok(values.try_as_plain_ram()?.as_slice::<f32>()?.into())
                };
                let (multipliers, biases) = (list(inputs[1])?, list(inputs[2])?);
                let channels = shape[axis].to_usize()?;
                let fits = channels > 0 && multipliers.len() == channels;
                ensure!(fits && biases.len() == channels, "not one parameter per channel");
                let op = Requantize { multipliers, biases, axis, limits: *limits };
                model.wire_node(prefix, op, &inputs[..1])
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Sums around every tie that a multiplier makes, and beyond both ends.
    fn sums() -> Vec<f32> {
        let far = [1e7, -1e7, 16_777_215.0, -16_777_215.0];
        (-1_100..1_100).map(|sum| sum as f32).chain(far).collect()
    }

    /// The step by the book: an i64 for the sum, one f32 product, rounding by hand.
    fn reference(sum: f32, bias: f32, multiplier: f32, limits: [f32; 2]) -> f32 {
        let product = (sum as i64 + bias as i64) as f32 * multiplier;
        let (whole, part) = (product.floor(), product - product.floor());
        let is_odd = whole.rem_euclid(2.0) == 1.0;
        let up = part > 0.5 || (part == 0.5 && is_odd);
        (whole + f32::from(up)).clamp(limits[0], limits[1])
    }

    #[test]
    fn requantizing_is_the_book_s_in_both_layouts() {
        let sums = sums();
        // Ties at every odd sum, at every fourth, and hardly ever.
        let multipliers = [0.5, 0.25, 0.123_456_7, 1.0];
        let biases = [0.0, -3.0, 70_000.0, 1.0];
        for limits in [[0.0, 255.0], [-128.0, 127.0], [-12.0, 243.0], [0.0, 100.0]] {
            let (multipliers, biases) = (multipliers.into(), biases.into());
            let op = Requantize { multipliers, biases, axis: 0, limits };
            let mut planes = sums.repeat(4);
            op.planes(0, &mut planes, sums.len());
            let mut pixels: Vec<f32> = sums.iter().flat_map(|&sum| [sum; 4]).collect();
            op.pixels(&mut pixels);
            for (channel, found) in planes.chunks_exact(sums.len()).enumerate() {
                let (bias, multiplier) = (op.biases[channel], op.multipliers[channel]);
                for (at, (&sum, &found)) in sums.iter().zip(found).enumerate() {
                    let wanted = reference(sum, bias, multiplier, limits);
                    assert_eq!(found, wanted, "({sum} + {bias}) * {multiplier} in {limits:?}");
                    assert_eq!(pixels[4 * at + channel], wanted, "channels last");
                }
            }
        }
    }

    #[test]
    fn any_axis_gives_the_same() {
        let op = |axis| {
            let (multipliers, biases) = ([0.1, 0.3, 0.7].into(), [5.0, 0.0, -5.0].into());
            Requantize { multipliers, biases, axis, limits: [-128.0, 127.0] }
        };
        let run = |axis, tensor: Tensor| {
            let mut model = TypedModel::default();
            let source = model.add_source("source", f32::fact(tensor.shape())).unwrap();
            let outputs = model.wire_node("requantize", op(axis), &[source]).unwrap();
            model.select_output_outlets(&outputs).unwrap();
            let plan = TypedSimplePlan::new(model).unwrap();
            plan.run(tvec!(tensor.into_tvalue())).unwrap().remove(0).into_tensor()
        };
        let values: Vec<f32> = (0..2 * 3 * 20).map(|at| (at * 37 % 501) as f32 - 250.0).collect();
        let first = Tensor::from_shape(&[2, 3, 4, 5], &values).unwrap();
        let last = first.clone().move_axis(1, 3).unwrap();
        assert_eq!(run(1, first).move_axis(1, 3).unwrap(), run(3, last));
    }

    #[test]
    fn sums_of_steps_are_rounded_as_fused_products_are() {
        let (ratios, zero_points) = ([1.1, 0.6], [135.0, 125.0, 130.0]);
        let op = AddSteps { ratios, zero_points, limits: [-130.0, 125.0] };
        let offset = 130.0 - ratios[0].mul_add(135.0, ratios[1] * 125.0);
        for a in 0..=255u8 {
            let (a, b) = (f32::from(a), (0..=255u8).map(f32::from));
            let b: Vec<f32> = b.collect();
            let mut found = vec![a - 135.0; 256];
            op.add(&mut found, &b.iter().map(|b| b - 125.0).collect::<Vec<f32>>());
            for (b, found) in b.iter().zip(found) {
                let sum = a.mul_add(ratios[0], b.mul_add(ratios[1], offset));
                assert_eq!(found, sum.round_ties_even().clamp(0.0, 255.0) - 130.0, "{a} {b}");
            }
        }
    }
}
