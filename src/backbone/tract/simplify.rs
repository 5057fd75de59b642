//! tract's simplification of a graph, without what is wrong or gives up in it.
//!
//! Three of its rewrites change what a network computes:
//! - A stride that follows a convolution becomes the convolution's, though padding that is to
//!   keep the size depends on it, and the stride's start is lost.
//! - A stride moves before any operator of one result that has its axis, though a softmax or a
//!   norm along that axis then sees only some of the elements. Across reshapes it ends in an
//!   error.
//! - `k - convolution` and `k / convolution` with a number for each channel become the
//!   convolution with another bias, though the weights should change too.
//!
//! Another one ends in an error on networks that are right: a matrix product that reads the
//! concatenation of tokens with a repeated one (DPT's readout). Such networks do without it.

use std::boxed::Box;
use std::format;
use tract_core::internal::*;
use tract_core::ops::Downsample;
use tract_core::ops::binary::TypedBinOp;
use tract_core::ops::cnn::{Conv, PaddingSpec};
use tract_core::ops::dummy::Dummy;
use tract_core::ops::element_wise::ElementWiseOp;
use tract_core::ops::math::{Div, Sub, add, mul, neg, recip};
use tract_core::optim::{Optimizer, OptimizerSession, TypedPass};

/// Declutters `model`; without the pass that fails on some networks if that does not end well.
///
/// # Errors
/// tract's first one, if less does not help either.
pub(super) fn simplify(model: &mut TypedModel) -> TractResult<()> {
    let untouched = model.clone();
    let mut optimizer = repaired(Optimizer::declutter());
    let Err(error) = optimizer.optimize(model) else { return Ok(()) };
    *model = untouched;
    optimizer.passes.retain(|pass| !format!("{pass:?}").starts_with("ConcatThenEinsum"));
    optimizer.optimize(model).map_err(|_| error)
}

/// Chooses how each operator is run, after simplifying.
///
/// # Errors
/// tract's.
pub(super) fn optimize(model: &mut TypedModel) -> TractResult<()> {
    simplify(model)?;
    let optimizer = repaired(Optimizer::codegen());
    model.optimize_with_session(&mut optimizer.session())
}

/// `optimizer` with [`Declutter`] in place of tract's pass of this name.
fn repaired(mut optimizer: Optimizer) -> Optimizer {
    for pass in &mut optimizer.passes {
        if format!("{pass:?}") == "declutter" {
            *pass = Box::new(Declutter::default());
        }
    }
    optimizer
}

/// Lets every operator simplify itself, except where it would change what is computed.
#[derive(Clone, Debug, Default)]
struct Declutter {
    /// The node to go on with.
    next: usize,
}

impl TypedPass for Declutter {
    fn reset(&mut self) -> TractResult<()> {
        self.next = 0;
        Ok(())
    }

    fn next(
        &mut self,
        session: &mut OptimizerSession<'_>,
        model: &TypedModel,
    ) -> TractResult<Option<TypedModelPatch>> {
        for node in model.nodes.iter().skip(self.next) {
            let patch = decluttered(session, model, node);
            if let Some(patch) = patch.with_context(|| format!("simplifying {node}"))? {
                self.next = node.id + usize::from(patch.dont_apply_twice.is_some());
                return Ok(Some(patch));
            }
        }
        Ok(None)
    }
}

fn decluttered(
    session: &mut OptimizerSession<'_>,
    model: &TypedModel,
    node: &TypedNode,
) -> TractResult<Option<TypedModelPatch>> {
    if node.op_is::<Dummy>() || !may_move(model, node)? {
        return Ok(None);
    }
    match inverted(model, node)? {
        Some(patch) => Ok(Some(patch)),
        None => node.op.declutter_with_session(session, model, node),
    }
}

/// Whether what is before a stride may be computed for its elements only. True of all other
/// operators.
fn may_move(model: &TypedModel, node: &TypedNode) -> TractResult<bool> {
    let Some(stride) = node.op_as::<Downsample>().filter(|stride| stride.stride != 1) else {
        return Ok(true);
    };
    let before = model.node(node.inputs[0].node);
    if let Some(conv) = before.op_as::<Conv>() {
        let shape = &model.outlet_fact(before.inputs[0])?.shape;
        let shape = conv.pool_spec.data_format.shape(shape.to_tvec())?;
        let is_fixed =
            matches!(conv.pool_spec.padding, PaddingSpec::Explicit(..) | PaddingSpec::Valid);
        let starts_first = stride.stride > 0 && stride.modulo == 0;
        return Ok(is_fixed && starts_first && shape.hw_axes().contains(&stride.axis));
    }
    Ok(before.op_is::<ElementWiseOp>() || before.op_is::<TypedBinOp>())
}

/// What subtracts or divides by a convolution with a number for each channel, as the sum with the
/// negative or the product with the reciprocal.
fn inverted(model: &TypedModel, node: &TypedNode) -> TractResult<Option<TypedModelPatch>> {
    let Some(conv) = node.op_as::<Conv>() else { return Ok(None) };
    let [reader] = &*node.outputs[0].successors else { return Ok(None) };
    let combination = model.node(reader.node);
    let Some(binary) = combination.op_as::<TypedBinOp>().filter(|_| reader.slot == 1) else {
        return Ok(None);
    };
    let other = model.outlet_fact(combination.inputs[0])?;
    let is_float = model.outlet_fact(combination.inputs[1])?.datum_type.is_float();
    if other.shape.volume() != conv.output_channels().to_dim() || !is_float {
        return Ok(None);
    }
    let (inverse, combine) = match () {
        () if binary.0.is::<Sub>() => (neg(), add()),
        () if binary.0.is::<Div>() => (recip(), mul()),
        () => return Ok(None),
    };
    let mut patch = TypedModelPatch::default();
    let inputs = patch.taps(model, &combination.inputs)?;
    let name = format!("{}.inverse", combination.name);
    let inverse = patch.wire_node(name, inverse, &inputs[1..])?[0];
    let result = patch.wire_node(&combination.name, combine, &[inverse, inputs[0]])?[0];
    patch.shunt_outside(model, OutletId::new(combination.id, 0), result)?;
    Ok(Some(patch))
}
