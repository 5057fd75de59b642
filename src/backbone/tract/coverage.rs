//! What arithmetic a network runs in.

use super::fake_quantize::{FakeQuantize, mini_op};
use super::quantize::{Dequantize, Quantize};
use super::requantize::{Requantize, steps_limits};
use crate::backbone::Coverage;
use tract_core::internal::*;
use tract_core::ops::cnn::{Conv, Deconv};
use tract_core::ops::einsum::EinSum;

/// Coverage of a decluttered model: there a convolution is still one node, and its costs are
/// those of the network as it was trained, before tract picks a way to compute it.
pub(super) fn of(model: &TypedModel) -> TractResult<Coverage> {
    let mut coverage = Coverage::default();
    for node in model.nodes() {
        let is_emulated = mini_op::<FakeQuantize>(node).is_some() || steps_limits(node).is_some();
        if is_emulated || is_pair(model, node) {
            coverage.emulated_quantizations += 1;
        }
        let Some((is_integer, macs)) = products(model, node)? else { continue };
        let (nodes, total) = if is_integer {
            (&mut coverage.integer_nodes, &mut coverage.integer_macs)
        } else if is_exact(model, node)? {
            (&mut coverage.exact_nodes, &mut coverage.exact_macs)
        } else {
            (&mut coverage.float_nodes, &mut coverage.float_macs)
        };
        *nodes += 1;
        *total += macs;
    }
    Ok(coverage)
}

/// Whether what `node` computes is requantised, perhaps after its axes were moved: only products
/// of whole numbers are.
fn is_exact(model: &TypedModel, node: &TypedNode) -> TractResult<bool> {
    let mut next = model.single_succ(node.id)?;
    while let Some(axes) = next.filter(|next| next.op_is::<AxisOp>()) {
        next = model.single_succ(axes.id)?;
    }
    Ok(next.is_some_and(|next| next.op_is::<Requantize>()))
}

/// Whether `node` dequantises what the node before it quantised (with another zero point or in
/// floats, or it would have become a [`FakeQuantize`]).
fn is_pair(model: &TypedModel, node: &TypedNode) -> bool {
    let before = node.inputs.first().map(|input| model.node(input.node));
    mini_op::<Dequantize>(node).is_some()
        && before.is_some_and(|before| mini_op::<Quantize>(before).is_some())
}

/// Whether a node multiplies and accumulates in integers and how often; `None` for other nodes.
fn products(model: &TypedModel, node: &TypedNode) -> TractResult<Option<(bool, u64)>> {
    let facts = model.node_input_facts(node.id)?;
    let is_sum = node.op_is::<EinSum>() && node.inputs.len() > 1;
    let macs = if let Some(op) = node.op_as::<Deconv>() {
        // Each position of the input meets the whole kernel; tract does not cost this one.
        facts[0].shape.volume() / op.pool_spec.input_channels as i64 * facts[1].shape.volume()
    } else if node.op_is::<Conv>() || is_sum {
        let costs = node.op.cost(&facts)?.into_iter();
        costs.filter(|(cost, _)| matches!(cost, Cost::FMA(_))).map(|(_, count)| count).sum()
    } else {
        return Ok(None);
    };
    let is_integer = facts[0].datum_type.unquantized().is_integer();
    Ok(Some((is_integer, macs.to_i64()?.unsigned_abs())))
}
