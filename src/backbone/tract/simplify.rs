//! tract's simplification of a graph, and what is left of it where tract gives up.
//!
//! One of its passes ends in an error on networks that are right: a matrix product that reads the
//! concatenation of tokens with a repeated one (DPT's readout). Such networks do without it.

use std::format;
use tract_core::internal::*;
use tract_core::optim::Optimizer;

/// Declutters `model`; without the pass that fails on some networks if that does not end well.
///
/// # Errors
/// tract's first one, if less does not help either.
pub(super) fn simplify(model: &mut TypedModel) -> TractResult<()> {
    let untouched = model.clone();
    let Err(error) = model.declutter() else { return Ok(()) };
    *model = untouched;
    let mut optimizer = Optimizer::declutter();
    optimizer.passes.retain(|pass| !format!("{pass:?}").starts_with("ConcatThenEinsum"));
    optimizer.optimize(model).map_err(|_| error)
}
