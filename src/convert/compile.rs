//! From a bundle with an ONNX network to one with a plan.

use crate::backbone::plan::PlanBackbone;
use crate::backbone::tract::{Options, lower};
use crate::bundle::{Bundle, with_plan};
use crate::compile::{Settings, compile};
use crate::plan::Plan;
use crate::spec::Precision;
use anyhow::{Context, Result, bail};
use sha2::{Digest, Sha256};
use std::vec::Vec;

/// A compiled bundle and what can be said about its plan.
#[derive(Clone, Debug)]
pub struct CompiledBundle {
    /// The bundle.
    pub bytes: Vec<u8>,
    /// Steps of the plan.
    pub steps: usize,
    /// Bytes of the plan, weights included.
    pub plan_bytes: usize,
    /// Bytes that the plan works in.
    pub arena_bytes: usize,
    /// The largest sum of tensors that are needed at the same time.
    pub bound_bytes: u64,
}

/// Compiles the network of a bundle. Equal bundles give equal bytes.
///
/// # Errors
/// Naming the node that no step of a plan can do; for a bundle without an ONNX network; for one
/// that wants the activations of a quantised network in floats.
pub fn compile_bundle(
    bundle: &Bundle<'_>,
    settings: impl Into<Settings>,
) -> Result<CompiledBundle> {
    let Some(onnx) = bundle.onnx() else { bail!("the bundle holds no ONNX network") };
    if bundle.precision() == Precision::FloatActivations {
        bail!("plans round activations as the network says; this bundle leaves them floats");
    }
    let options = Options::of_bundle(bundle, 1);
    let graph = lower(onnx, &options)?;
    let compiled = compile(graph, settings, Sha256::digest(onnx).into())?;
    let plan = Plan::new(&compiled.bytes).context("the finished plan is not taken")?;
    let input = PlanBackbone::input_of(&plan)?;
    Ok(CompiledBundle {
        bytes: with_plan(bundle, &compiled.bytes, input)?,
        steps: plan.step_count(),
        plan_bytes: compiled.bytes.len(),
        arena_bytes: plan.arena_bytes(),
        bound_bytes: compiled.bound_bytes,
    })
}
