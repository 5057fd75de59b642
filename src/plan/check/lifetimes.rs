//! When tensors are written, and that the moments in their records are true.

use super::{end_of, invalid, moments_of};
use crate::plan::layout::{NEVER, TensorRecord};
use crate::plan::reader::Plan;
use crate::plan::tensor::{Element, NO_TENSOR, TensorIndex};
use crate::status::Result;

/// Where a tensor's values come from.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// The caller, or the step that has it as its output.
    Written,
    /// Other tensors in the same bytes: its slices, or what it is a slice of.
    View,
    /// Nowhere: working memory.
    Scratch,
}

/// The role that a record claims.
pub fn role(plan: &Plan<'_>, index: TensorIndex, record: &TensorRecord) -> Role {
    let ready = record.ready.get();
    if ready == NEVER {
        return Role::Scratch;
    }
    let Some(step) = usize::from(ready).checked_sub(1) else {
        return if index == plan.input() { Role::Written } else { Role::View };
    };
    let output = plan.steps.get(step).map(|step| step.output.get());
    if output == Some(index) { Role::Written } else { Role::View }
}

/// Checks the moments of tensor `index`, given that steps use tensors between them.
pub fn check(plan: &Plan<'_>, index: TensorIndex) -> Result<()> {
    let Some(record) = plan.tensors.get(usize::from(index)) else {
        return Err(invalid("index of a tensor"));
    };
    let (first, ready, last) = (record.first.get(), record.ready.get(), record.last.get());
    let role = role(plan, index, record);
    if first > last || last > end_of(plan) {
        return Err(invalid("lifetime of a tensor").numbers(first.into(), last.into()));
    }
    match role {
        Role::Scratch => return check_scratch(record),
        Role::Written if first != first_of_chain(plan, ready) => {
            return Err(invalid("lifetime of a tensor").numbers(first.into(), ready.into()));
        }
        _ if first > ready || ready > last => {
            return Err(invalid("lifetime of a tensor").numbers(ready.into(), last.into()));
        }
        _ => {}
    }
    if record.parent.get() != NO_TENSOR {
        return check_slice(plan, record, role);
    }
    if role == Role::View { check_complete(plan, index, record) } else { Ok(()) }
}

/// The moment of the first step of the chain that works at a moment.
fn first_of_chain(plan: &Plan<'_>, moment: u16) -> u16 {
    let step = usize::from(moment).checked_sub(1);
    step.map_or(moment, |step| moments_of(plan, step).0)
}

/// Working memory is a row of bytes.
fn check_scratch(record: &TensorRecord) -> Result<()> {
    let tensor = record.decode()?;
    let row = tensor.height == 1 && tensor.is_dense() && tensor.element == Element::U8;
    if !row || tensor.parent != NO_TENSOR {
        return Err(invalid("a tensor is never written, and no working memory"));
    }
    Ok(())
}

/// A slice lives while its parent does. It is written in place of the parent, or read from what was
/// written.
fn check_slice(plan: &Plan<'_>, slice: &TensorRecord, role_of_slice: Role) -> Result<()> {
    let parent_index = slice.parent.get();
    let Some(parent) = plan.tensors.get(usize::from(parent_index)) else {
        return Err(invalid("parent of a tensor"));
    };
    let (first, last) = (parent.first.get(), parent.last.get());
    if slice.first.get() < first || slice.last.get() > last {
        let error = invalid("a slice outlives its parent");
        return Err(error.numbers(slice.last.get().into(), last.into()));
    }
    let role_of_parent = role(plan, parent_index, parent);
    let valid = match (role_of_slice, role_of_parent) {
        (_, Role::Scratch) => false,
        (Role::Written, parent_role) => parent_role == Role::View,
        (_, Role::Written) => slice.ready.get() >= parent.ready.get(),
        (_, Role::View) => lies_in_written_slice(plan, slice),
    };
    if valid { Ok(()) } else { Err(invalid("a slice of values that nobody has written")) }
}

/// Whether one written slice of the same parent holds all channels of `slice`, and in time.
fn lies_in_written_slice(plan: &Plan<'_>, slice: &TensorRecord) -> bool {
    let (start, end) = range_of(slice);
    written_slices(plan, slice.parent.get()).any(|other| {
        let (other_start, other_end) = range_of(other);
        other_start <= start && end <= other_end && other.ready.get() <= slice.ready.get()
    })
}

/// A tensor that nobody writes as a whole: written slices cover all its channels.
fn check_complete(plan: &Plan<'_>, index: TensorIndex, whole: &TensorRecord) -> Result<()> {
    let (mut covered, end) = range_of(whole);
    while covered < end {
        let next = written_slices(plan, index).find(|slice| {
            let (slice_start, slice_end) = range_of(slice);
            let in_time = slice.ready.get() <= whole.ready.get();
            in_time && slice_start <= covered && covered < slice_end
        });
        let Some(slice) = next else {
            return Err(invalid("a tensor is read before it is written"));
        };
        covered = range_of(slice).1;
    }
    Ok(())
}

/// Bytes that the first pixel takes, from the start of the arena, inside of which it lies.
fn range_of(record: &TensorRecord) -> (u64, u64) {
    let start = record.offset_bytes.get();
    let bytes = record.decode().map_or(1, |tensor| tensor.element.bytes());
    (start, start.wrapping_add(u64::from(record.channels.get()).wrapping_mul(bytes)))
}

fn written_slices<'a>(
    plan: &Plan<'a>,
    parent: TensorIndex,
) -> impl Iterator<Item = &'a TensorRecord> {
    let plan = *plan;
    let indexed = plan.tensors.iter().zip(0 as TensorIndex..);
    indexed
        .filter(move |&(record, index)| {
            record.parent.get() == parent && role(&plan, index, record) == Role::Written
        })
        .map(|(record, _)| record)
}
