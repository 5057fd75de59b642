//! Quantised activations of a network that computes in floats.
//!
//! A QDQ network says where its activations are rounded to integers by a quantisation followed
//! by a dequantisation. tract runs such a network in floats, so the pair comes down to moving
//! each value to its grid, which is done in one pass in place. Where `integers` has been at
//! work, the dequantisation may be to steps, and what is quantised may be steps already.

use super::quantize::{Dequantize, Grid, Quantize, clamp};
use super::requantize::steps_limits;
use crate::spec::Precision;
use std::boxed::Box;
use std::format;
use std::string::String;
use tract_core::internal::*;
use tract_core::ops::binary::TypedBinOp;
use tract_core::ops::element_wise::ElementWiseOp;
use tract_core::ops::math::{Max, Min, mul};
use tract_linalg::multithread::par_chunks_mut;

/// Moves values to their grid: `(clamp(round(x / scale)) - zero_point) * unit`.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct FakeQuantize {
    grid: Grid,
    /// The scale, or 1 for the steps themselves.
    unit: f32,
}

impl Eq for FakeQuantize {}

impl ElementWiseMiniOp for FakeQuantize {
    fn name(&self) -> String {
        "FakeQuantize".into()
    }

    fn eval_in_place(&self, t: &mut Tensor, _: Option<DatumType>) -> TractResult<()> {
        in_parallel(t, |values| self.grid.snap(values, self.unit))
    }
}

/// Limits values to the range of their grid without rounding them.
#[derive(Clone, Debug, PartialEq)]
struct Saturate {
    low: f32,
    high: f32,
}

impl Eq for Saturate {}

impl ElementWiseMiniOp for Saturate {
    fn name(&self) -> String {
        "Saturate".into()
    }

    fn eval_in_place(&self, t: &mut Tensor, _: Option<DatumType>) -> TractResult<()> {
        let (low, high) = (self.low, self.high);
        in_parallel(t, |values| {
            for value in values {
                *value = clamp(*value, low, high);
            }
        })
    }
}

/// Runs `change` on pieces of `t`, on as many threads as the plan has.
fn in_parallel(t: &mut Tensor, change: impl Fn(&mut [f32]) + Sync + Send) -> TractResult<()> {
    let mut view = t.try_as_plain_ram_mut()?;
    let values = view.as_slice_mut::<f32>()?;
    let len = values.len();
    par_chunks_mut(values, 1, len, |_, values| {
        change(values);
        Ok(())
    })
}

/// Replaces every quantisation that is followed by a dequantisation.
///
/// With [`Precision::FloatActivations`] only the limits of the integer range remain: quantisers
/// drop a ReLU whose effect the smallest integer has, so the limits belong to the network.
pub(super) fn emulate(model: &mut TypedModel, precision: Precision) -> TractResult<()> {
    for id in 0..model.nodes().len() {
        let Some(Pair { mut source, grid, unit }) = pair(model, model.node(id)) else { continue };
        let (low, high) = grid.range(unit);
        let op: Box<dyn ElementWiseMiniOp> = match precision {
            Precision::AsModel if is_in_steps(model, source, grid) => {
                scale_steps(model, id, source, unit)?;
                continue;
            }
            Precision::AsModel => Box::new(FakeQuantize { grid, unit }),
            Precision::FloatActivations if unit != grid.scale => continue,
            Precision::FloatActivations => Box::new(Saturate { low, high }),
        };
        while let Some(earlier) = before_limit(model, source, (low, high), &*op)? {
            source = earlier;
        }
        let op = ElementWiseOp(op, None);
        let node = model.node(id);
        TypedModelPatch::replace_single_op(model, node, &[source], op)?.apply(model)?;
    }
    model.compact()
}

/// Whether `values` are whole steps of `grid` already.
fn is_in_steps(model: &TypedModel, values: OutletId, grid: Grid) -> bool {
    let (low, high) = grid.steps();
    let limits = steps_limits(model.node(values.node));
    grid.scale == 1.0 && limits.is_some_and(|[least, most]| low <= least && most <= high)
}

/// Replaces node `id` by the steps times `unit`.
fn scale_steps(model: &mut TypedModel, id: usize, steps: OutletId, unit: f32) -> TractResult<()> {
    let node = model.node(id);
    let mut patch = TypedModelPatch::default();
    let mut values = patch.tap_model(model, steps)?;
    if unit != 1.0 {
        let unit = tensor0(unit).broadcast_into_rank(node.outputs[0].fact.rank())?;
        let unit = patch.add_const(format!("{}.unit", node.name), unit)?;
        values = patch.wire_node(&node.name, mul(), &[values, unit])?[0];
    }
    patch.shunt_outside(model, OutletId::new(id, 0), values)?;
    patch.apply(model)
}

/// The values before a maximum or minimum with a constant (a ReLU, a ReLU6), if `op` makes it
/// redundant by moving that constant to the end of its own range.
fn before_limit(
    model: &TypedModel,
    values: OutletId,
    range: (f32, f32),
    op: &dyn ElementWiseMiniOp,
) -> TractResult<Option<OutletId>> {
    let node = model.node(values.node);
    let Some(binary) = node.op_as::<TypedBinOp>() else { return Ok(None) };
    let end = match (binary.0.is::<Max>(), binary.0.is::<Min>()) {
        (true, _) => range.0,
        (_, true) => range.1,
        _ => return Ok(None),
    };
    let facts = model.node_input_facts(node.id)?;
    let same_shape = facts[0].shape == node.outputs[0].fact.shape;
    let Some(limit) = facts[1].uniform.as_ref().filter(|_| same_shape) else { return Ok(None) };
    let mut moved = tensor1(&[limit.cast_to_scalar::<f32>()?]);
    op.eval_in_place(&mut moved, None)?;
    let is_redundant = moved.try_as_plain_ram()?.as_slice::<f32>()? == [end];
    Ok(is_redundant.then_some(node.inputs[0]))
}

/// A quantisation and the dequantisation after it.
struct Pair {
    /// The values that are quantised.
    source: OutletId,
    grid: Grid,
    /// What the dequantisation makes of a step.
    unit: f32,
}

/// The pair that `node` ends.
fn pair(model: &TypedModel, node: &TypedNode) -> Option<Pair> {
    let Dequantize { scale, zero_point } = *mini_op::<Dequantize>(node)?;
    let before = model.node(node.inputs.first()?.node);
    let grid = mini_op::<Quantize>(before)?.grid;
    let source = *before.inputs.first()?;
    (grid.zero_point == zero_point).then_some(Pair { source, grid, unit: scale })
}

/// The element-wise operator of a node.
pub(super) fn mini_op<T: ElementWiseMiniOp>(node: &TypedNode) -> Option<&T> {
    node.op_as::<ElementWiseOp>()?.0.downcast_ref::<T>()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::vec::Vec;
    use tract_core::ops::konst::Const;
    use tract_core::ops::math::{max, min};

    /// A network of a ReLU6 and a quantisation in steps of `scale`.
    fn network(scale: f32) -> TypedModel {
        let mut model = TypedModel::default();
        let grid = Grid { scale, zero_point: 0, low: 0, high: 255 };
        let mut wire = tvec!(model.add_source("source", f32::fact([64])).unwrap());
        for (name, op, limit) in [("max", max(), 0f32), ("min", min(), 6.0)] {
            let limit = model.add_const(format!("{name}.limit"), tensor1(&[limit])).unwrap();
            wire = model.wire_node(name, op, &[wire[0], limit]).unwrap();
        }
        let quantize = ElementWiseOp(Box::new(Quantize { grid }), None);
        wire = model.wire_node("quantize", quantize, &wire).unwrap();
        let dequantize = ElementWiseOp(Box::new(Dequantize { scale, zero_point: 0 }), None);
        wire = model.wire_node("dequantize", dequantize, &wire).unwrap();
        model.select_output_outlets(&wire).unwrap();
        model
    }

    fn run(model: &TypedModel) -> Tensor {
        let values: Vec<f32> = (-32..32).map(|step| step as f32 * 0.31).collect();
        let plan = TypedSimplePlan::new(model.clone()).unwrap();
        plan.run(tvec!(tensor1(&values).into_tvalue())).unwrap().remove(0).into_tensor()
    }

    #[test]
    fn limits_are_dropped_only_where_the_grid_has_them() {
        // Ends above 6: the minimum stays. Below and at 6: the grid's last step is the limit.
        for (scale, nodes) in [(0.03, 5), (6.0 / 255.0, 2), (0.02, 2)] {
            let plain = network(scale);
            let mut emulated = plain.clone();
            emulate(&mut emulated, Precision::AsModel).unwrap();
            let kept = emulated.nodes().iter().filter(|node| !node.op_is::<Const>()).count();
            assert_eq!(kept + usize::from(nodes > 2), nodes, "scale {scale}");
            assert_eq!(run(&plain), run(&emulated), "scale {scale}");
        }
    }

    #[test]
    fn float_activations_are_limited_and_not_rounded() {
        let mut model = network(0.02);
        emulate(&mut model, Precision::FloatActivations).unwrap();
        let values = run(&model);
        let values = values.try_as_plain_ram().unwrap().as_slice::<f32>().unwrap();
        for (step, value) in (-32..32).zip(values) {
            assert_eq!(*value, (step as f32 * 0.31).clamp(0.0, 0.02 * 255.0));
        }
    }
}
