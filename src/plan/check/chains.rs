//! Chains: that their steps can take turns, and that buffers hold the rows that they need.

use super::invalid;
use crate::plan::chain::Link;
use crate::plan::layout::StepRecord;
use crate::plan::reader::Plan;
use crate::plan::step::{MAX_CHAIN_STEPS, Step};
use crate::plan::tensor::{NO_TENSOR, Tensor, TensorIndex};
use crate::status::{Error, Place, Result, Status};
use core::ops::Range;

/// Checks every chain, and that nothing else looks like a part of one. Steps and tensors exist.
pub fn check(plan: &Plan<'_>) -> Result<()> {
    check_buffers(plan)?;
    let mut start = 0;
    while start < plan.step_count() {
        let chain = plan.chain(start);
        start = chain.end;
        check_chain(plan, &chain).map_err(|error| error.at(Place::step(chain.start)))?;
    }
    Ok(())
}

/// A buffer belongs to two steps: the one that writes it, and the next, whose first input it is.
fn check_buffers(plan: &Plan<'_>) -> Result<()> {
    for index in 0..plan.tensor_count() as TensorIndex {
        let tensor = plan.tensor(index)?;
        if !tensor.is_buffered() {
            continue;
        }
        let alone = tensor.parent == NO_TENSOR
            && index != plan.input()
            && plan.outputs().all(|output| output != index)
            && plan.tensors.iter().all(|other| other.parent.get() != index);
        let mut users = plan.steps.iter().enumerate().filter(|(_, step)| uses(step, index) > 0);
        let [writer, reader, other] = core::array::from_fn(|_| users.next());
        let follows = match (writer, reader, other) {
            (Some((written, writer)), Some((read, reader)), None) => {
                let [first, ..] = reader.inputs;
                let once = uses(writer, index) == 1 && uses(reader, index) == 1;
                once && read == written + 1 && writer.output.get() == index && first.get() == index
            }
            _ => false,
        };
        if !alone || !follows || tensor.buffered_rows > tensor.height {
            let error = invalid("a tensor of which only some rows are in memory");
            let place = writer.map_or(0, |(step, _)| step);
            return Err(error.numbers(index.into(), tensor.height.into()).at(Place::step(place)));
        }
    }
    Ok(())
}

/// How often a step names a tensor.
fn uses(step: &StepRecord, index: TensorIndex) -> usize {
    let named = step.inputs.iter().chain([&step.output, &step.scratch]);
    named.filter(|named| named.get() == index).count()
}

fn check_chain(plan: &Plan<'_>, chain: &Range<usize>) -> Result<()> {
    let last = chain.end.saturating_sub(1);
    for step in chain.clone() {
        let strip_rows = plan.step(step)?.strip_rows;
        let in_chain = chain.len() > 1 && step == last;
        if (strip_rows != 0) != in_chain {
            return Err(invalid("rows of a strip").numbers(strip_rows.into(), in_chain.into()));
        }
    }
    if chain.len() < 2 {
        return Ok(());
    }
    if chain.len() > MAX_CHAIN_STEPS {
        let error = Status::LimitExceeded.about("steps of a chain");
        return Err(error.numbers(chain.len() as u64, MAX_CHAIN_STEPS as u64));
    }
    check_rows(plan, chain)
}

/// From the last step to the first: what its buffer must hold.
fn check_rows(plan: &Plan<'_>, chain: &Range<usize>) -> Result<()> {
    let mut rows = 0;
    for step in chain.clone().rev().map(|step| plan.step(step)) {
        let Step { operation, inputs: [input, ..], output, strip_rows, .. } = step?;
        let input = plan.tensor(input).map_err(|_| unchained())?;
        let output = plan.tensor(output)?;
        if strip_rows != 0 {
            rows = strip_rows as usize;
        }
        let held = if output.is_buffered() { output.buffered_rows } else { output.height };
        if rows > held as usize {
            return Err(invalid("rows in memory").numbers(held.into(), rows as u64));
        }
        let Some(link) = Link::of(operation, input.height).filter(|_| can_take_turns(&output))
        else {
            return Err(unchained());
        };
        rows = link.span(rows);
        if !can_take_turns(&input) {
            return Err(unchained());
        }
    }
    Ok(())
}

/// Whether rows of a tensor can be told apart: a single row of pixels counts as a column.
fn can_take_turns(tensor: &Tensor) -> bool {
    tensor.height > 1
}

fn unchained() -> Error {
    invalid("a step that cannot be part of a chain")
}
