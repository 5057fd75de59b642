//! Linear resizing of planes, in place of tract's.
//!
//! tract widens the rows last and does so one value at a time through a general window. This
//! narrows or widens the source's rows first, which are fewer when enlarging, and blends whole
//! rows afterwards.

use std::vec;
use std::vec::Vec;
use tract_core::internal::*;
use tract_core::ops::nn::resize::{AxisPlan, Interpolator, Resize};
use tract_linalg::multithread::par_chunks_mut;

/// Replaces tract's linear resizes of the last two axes of f32 tensors.
pub(super) fn replace(model: &mut TypedModel) -> TractResult<()> {
    for id in 0..model.nodes().len() {
        let Some(op) = linear(model, model.node(id))? else { continue };
        let node = model.node(id);
        TypedModelPatch::replace_single_op(model, node, &node.inputs[..1], op)?.apply(model)?;
    }
    model.compact()
}

/// The replacement of a node, if it is such a resize.
fn linear(model: &TypedModel, node: &TypedNode) -> TractResult<Option<LinearResize>> {
    let Some(op) = node.op_as::<Resize>() else { return Ok(None) };
    let (before, after) =
        (model.outlet_fact(node.inputs[0])?, model.outlet_fact(OutletId::new(node.id, 0))?);
    let (Some(from), Some(to)) = (before.shape.as_concrete(), after.shape.as_concrete()) else {
        return Ok(None);
    };
    let rank = from.len();
    let is_plane = rank >= 2 && from[..rank - 2] == to[..rank - 2];
    let is_linear = matches!(op.interpolator, Interpolator::Linear);
    if !is_plane || !is_linear || before.datum_type != DatumType::F32 {
        return Ok(None);
    }
    let scales = op.optional_scales_input.and_then(|index| node.inputs.get(index));
    let scales = match scales {
        Some(outlet) => model.outlet_fact(*outlet)?.konst.clone(),
        None => None,
    };
    let scales = scales.filter(|scales| scales.len() == rank);
    let taps = |axis: usize| -> TractResult<Taps> {
        let scale = match &scales {
            Some(scales) => scales.cast_to::<f32>()?.try_as_plain_ram()?.as_slice::<f32>()?[axis],
            None => to[axis] as f32 / from[axis] as f32,
        };
        Taps::new(&op.plan_axis(scale, from[axis], to[axis]))
    };
    Ok(Some(LinearResize { rows: taps(rank - 2)?, columns: taps(rank - 1)? }))
}

/// The two sources of each target along an axis with their weights.
#[derive(Clone, Debug, PartialEq)]
struct Taps(Vec<(usize, f32, usize, f32)>);

impl Taps {
    fn new(plan: &AxisPlan) -> TractResult<Taps> {
        ensure!(plan.window == 2 && !plan.extrapolated.contains(&true), "not a linear resize");
        let pairs = plan.indices.chunks_exact(2).zip(plan.weights.chunks_exact(2));
        Ok(Taps(pairs.map(|(at, weight)| (at[0], weight[0], at[1], weight[1])).collect()))
    }
}

/// `[.., from height, from width]` to `[.., rows, columns]`, f32.
#[derive(Clone, Debug, PartialEq)]
struct LinearResize {
    rows: Taps,
    columns: Taps,
}

impl Eq for LinearResize {}

impl LinearResize {
    /// One plane; `widened` has room for the source's rows at the target's width.
    fn plane(&self, source: &[f32], width: usize, widened: &mut [f32], target: &mut [f32]) {
        let columns = self.columns.0.len();
        for (row, wide) in source.chunks_exact(width).zip(widened.chunks_exact_mut(columns)) {
            for (value, &(a, weight_a, b, weight_b)) in wide.iter_mut().zip(&self.columns.0) {
                *value = weight_a * row[a] + weight_b * row[b];
            }
        }
        for (row, &(a, weight_a, b, weight_b)) in target.chunks_exact_mut(columns).zip(&self.rows.0)
        {
            let (above, below) = (&widened[a * columns..], &widened[b * columns..]);
            for ((value, above), below) in row.iter_mut().zip(above).zip(below) {
                *value = weight_a * above + weight_b * below;
            }
        }
    }
}

impl Op for LinearResize {
    fn name(&self) -> StaticName {
        "LinearResize".into()
    }

    op_as_typed_op!();
}

impl EvalOp for LinearResize {
    op_out_of_plan!();

    fn eval(&self, _: &EvalContext, inputs: TVec<TValue>) -> TractResult<TVec<TValue>> {
        let input = args_1!(inputs);
        let rank = input.rank();
        let (height, width) = (input.shape()[rank - 2], input.shape()[rank - 1]);
        let (rows, columns) = (self.rows.0.len(), self.columns.0.len());
        let mut shape: TVec<usize> = input.shape().into();
        shape[rank - 2..].copy_from_slice(&[rows, columns]);
        let mut output = Tensor::zero::<f32>(&shape)?;
        let source = input.try_as_plain_ram()?.as_slice::<f32>()?;
        let mut view = output.try_as_plain_ram_mut()?;
        let target = view.as_slice_mut::<f32>()?;
        let total = target.len();
        par_chunks_mut(target, rows * columns, total, |first, planes| {
            let mut widened = vec![0.0; height * columns];
            let sources = source.chunks_exact(height * width).skip(first);
            for (source, target) in sources.zip(planes.chunks_exact_mut(rows * columns)) {
                self.plane(source, width, &mut widened, target);
            }
            Ok(())
        })?;
        Ok(tvec!(output.into_tvalue()))
    }
}

impl TypedOp for LinearResize {
    fn output_facts(&self, inputs: &[&TypedFact]) -> TractResult<TVec<TypedFact>> {
        let mut shape = inputs[0].shape.to_tvec();
        let rank = shape.len();
        shape[rank - 2] = self.rows.0.len().to_dim();
        shape[rank - 1] = self.columns.0.len().to_dim();
        Ok(tvec!(f32::fact(&shape)))
    }

    as_op!();
}
