//! Everything that must hold before a plan may run.
//!
//! In this order: each tensor by itself (`tensors`), the tensors of each step (`steps`), steps that
//! take turns (`chains`), when tensors are written and read (`lifetimes`), that no two live in the
//! same bytes (`memory`), and of each step its aliases (`steps`), its shapes and constants
//! (`plan::ops`).

mod chains;
mod lifetimes;
mod memory;
mod steps;
mod tensors;

use super::ops;
use super::reader::Plan;
use super::tensor::{NO_TENSOR, TensorIndex};
use crate::status::{Error, Place, Result, Status};

/// Checks a plan whose tables are in place.
pub fn check(plan: &Plan<'_>) -> Result<()> {
    for index in 0..plan.tensors.len() as TensorIndex {
        tensors::check(plan, index).map_err(|error| error_of_tensor(plan, index, error))?;
    }
    check_arena(plan)?;
    check_ends(plan)?;
    for (index, record) in plan.steps.iter().enumerate() {
        let in_step = |error: Error| error.at(Place::step(index));
        let step = record.decode().map_err(in_step)?;
        steps::check(plan, &step, index).map_err(in_step)?;
    }
    chains::check(plan)?;
    for index in 0..plan.tensors.len() as TensorIndex {
        lifetimes::check(plan, index).map_err(|error| error_of_tensor(plan, index, error))?;
    }
    memory::check(plan)?;
    for (index, record) in plan.steps.iter().enumerate() {
        let in_step = |error: Error| error.at(Place::step(index));
        let step = record.decode().map_err(in_step)?;
        steps::check_aliases(plan, &step).map_err(in_step)?;
        ops::check(plan, &step).map_err(in_step)?;
    }
    Ok(())
}

/// The arena ends with the last tensor.
fn check_arena(plan: &Plan<'_>) -> Result<()> {
    let mut end = 0;
    for record in plan.tensors {
        let tensor = record.decode()?;
        if tensor.parent == NO_TENSOR {
            end = end.max(tensor.offset_bytes.saturating_add(tensor.footprint_bytes()));
        }
    }
    let found = plan.arena_bytes() as u64;
    if found != end {
        return Err(invalid("arena of the plan").numbers(found, end));
    }
    Ok(())
}

/// The error's place: the first step that the tensor takes part in, or the tensor.
fn error_of_tensor(plan: &Plan<'_>, index: TensorIndex, error: Error) -> Error {
    let uses = plan.steps.iter().position(|step| {
        let inputs = step.inputs.iter().any(|input| input.get() == index);
        inputs || step.output.get() == index || step.scratch.get() == index
    });
    match uses {
        Some(step) => error.at(Place::step(step)),
        None => error.at(Place::Tensor(index)),
    }
}

/// The input and the outputs exist, and live when they must.
fn check_ends(plan: &Plan<'_>) -> Result<()> {
    let record = |index: TensorIndex| plan.tensors.get(usize::from(index));
    let input = plan.input();
    let Some(found) = record(input) else {
        return Err(Status::BundleContent
            .about("input of the plan")
            .numbers(input.into(), plan.tensors.len() as u64));
    };
    if found.ready.get() != 0 || found.first.get() != 0 || found.parent.get() != NO_TENSOR {
        return Err(Status::BundleContent.about("input of the plan").numbers(input.into(), 0));
    }
    let [first, second] = plan.header.outputs.map(|output| output.get());
    let end = end_of(plan);
    for output in [first, second] {
        if output == NO_TENSOR && second == NO_TENSOR && first != NO_TENSOR {
            continue;
        }
        let alive = |record: &&super::layout::TensorRecord| {
            record.ready.get() < end && record.last.get() >= end
        };
        if record(output).filter(alive).is_none() {
            let error = Status::BundleContent.about("output of the plan");
            return Err(error.numbers(output.into(), plan.tensors.len() as u64));
        }
    }
    Ok(())
}

/// The moment at which the outputs are read.
fn end_of(plan: &Plan<'_>) -> u16 {
    (plan.steps.len() as u16).saturating_add(1)
}

/// The moments of the first and the last step of the chain that a step belongs to.
fn moments_of(plan: &Plan<'_>, step: usize) -> (u16, u16) {
    let chain = plan.chain(step);
    ((chain.start as u16).saturating_add(1), chain.end as u16)
}

/// The tensor without parent that a tensor lies in.
fn root_of(plan: &Plan<'_>, index: TensorIndex) -> TensorIndex {
    match plan.tensors.get(usize::from(index)).map(|record| record.parent.get()) {
        Some(parent) if parent != NO_TENSOR => parent,
        _ => index,
    }
}

fn invalid(what: &'static str) -> Error {
    Status::BundleContent.about(what)
}
