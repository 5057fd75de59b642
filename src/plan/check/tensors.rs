//! A tensor by itself: its sizes, its place, its numbers.

use super::invalid;
use crate::arena::ALIGN_BYTES;
use crate::limits::MAX_PLAN_SIDE;
use crate::plan::reader::Plan;
use crate::plan::tensor::{Element, NO_TENSOR, Tensor, TensorIndex};
use crate::status::{Result, Status};

/// Checks tensor `index`, which exists.
pub fn check(plan: &Plan<'_>, index: TensorIndex) -> Result<()> {
    let Some(record) = plan.tensors.get(usize::from(index)) else {
        return Err(invalid("index of a tensor"));
    };
    let tensor = record.decode()?;
    check_sides(&tensor)?;
    check_quantization(&tensor)?;
    if tensor.parent == NO_TENSOR { check_place(plan, &tensor) } else { check_slice(plan, &tensor) }
}

fn check_sides(tensor: &Tensor) -> Result<()> {
    let Tensor { height, width, channels, pixel_stride, .. } = *tensor;
    for side in [height, width, channels, pixel_stride] {
        if side == 0 {
            return Err(invalid("side of a tensor").numbers(0, 1));
        }
        if side > MAX_PLAN_SIDE {
            let error = Status::LimitExceeded.about("side of a tensor");
            return Err(error.numbers(side.into(), MAX_PLAN_SIDE.into()));
        }
    }
    Ok(())
}

fn check_quantization(tensor: &Tensor) -> Result<()> {
    let Tensor { element, scale, zero_point, .. } = *tensor;
    let valid = match element {
        Element::U8 => scale.is_normal() && scale > 0.0,
        Element::F32 => scale == 1.0 && zero_point == 0,
    };
    if valid { Ok(()) } else { Err(invalid("quantisation of a tensor")) }
}

/// A tensor without parent: without gaps, aligned, and inside the arena with its tail.
fn check_place(plan: &Plan<'_>, tensor: &Tensor) -> Result<()> {
    if !tensor.is_dense() {
        let error = invalid("pixel stride of a tensor");
        return Err(error.numbers(tensor.pixel_stride.into(), tensor.channels.into()));
    }
    if !tensor.offset_bytes.is_multiple_of(ALIGN_BYTES as u64) {
        let error = invalid("offset of a tensor is no multiple of 64");
        return Err(error.numbers(tensor.offset_bytes, ALIGN_BYTES as u64));
    }
    let end = tensor.offset_bytes.checked_add(tensor.footprint_bytes());
    let arena_bytes = plan.arena_bytes() as u64;
    if end.is_none_or(|end| end > arena_bytes) {
        let error = invalid("a tensor lies outside the arena");
        return Err(error.numbers(end.unwrap_or(u64::MAX), arena_bytes));
    }
    Ok(())
}

/// A slice of channels: as its parent in everything but channels.
fn check_slice(plan: &Plan<'_>, slice: &Tensor) -> Result<()> {
    let parent = plan.tensor(slice.parent).map_err(|_| invalid("parent of a tensor"))?;
    if parent.parent != NO_TENSOR {
        return Err(invalid("parent of a tensor is a slice"));
    }
    let same = Tensor {
        offset_bytes: parent.offset_bytes,
        channels: parent.channels,
        parent: NO_TENSOR,
        ..*slice
    };
    if same != parent {
        return Err(invalid("a slice differs from its parent"));
    }
    let bytes = parent.element.bytes();
    let start = slice.offset_bytes.checked_sub(parent.offset_bytes);
    let channel = start
        .filter(|start| start.is_multiple_of(bytes))
        .and_then(|start| start.checked_div(bytes));
    let Some(channel) = channel else { return Err(invalid("offset of a slice")) };
    let end = channel.saturating_add(slice.channels.into());
    if end > parent.channels.into() {
        let error = invalid("a slice reaches beyond its parent");
        return Err(error.numbers(end, parent.channels.into()));
    }
    Ok(())
}
