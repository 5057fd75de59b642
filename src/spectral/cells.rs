//! Access to maps by cell number, and the checks that all of this module's inputs pass.

use crate::map::{Layout, Map};
use crate::status::{Result, Status};

/// Channel `channel` of cell `cell`; 0 out of range.
#[inline(always)]
pub(super) fn element(map: &Map<'_, f32>, cell: usize, channel: usize) -> f32 {
    let cells = map.height() * map.width();
    let index = match map.layout() {
        Layout::Chw => channel * cells + cell,
        Layout::Hwc => cell * map.channels() + channel,
    };
    map.data().get(index).copied().unwrap_or(0.0)
}

/// Checks the shape of `map` (height, width, channels), and that every number is finite.
pub(super) fn check_map(
    what: &'static str,
    map: &Map<'_, f32>,
    shape: (usize, usize, usize),
) -> Result<()> {
    check_shape(what, map, shape)?;
    check_finite(what, map.data())
}

/// Checks the shape of `map` only.
pub(super) fn check_shape(
    what: &'static str,
    map: &Map<'_, f32>,
    (height, width, channels): (usize, usize, usize),
) -> Result<()> {
    if (map.height(), map.width(), map.channels()) != (height, width, channels) {
        let found = (map.height() * map.width() * map.channels()) as u64;
        let wanted = (height * width * channels) as u64;
        return Err(Status::ModelShape.about(what).numbers(found, wanted));
    }
    Ok(())
}

/// Checks that every number is finite; the error names the first that is not.
pub(super) fn check_finite(what: &'static str, values: &[f32]) -> Result<()> {
    match values.iter().position(|value| !value.is_finite()) {
        Some(at) => Err(Status::InvalidArgument.about(what).numbers(at as u64, 0)),
        None => Ok(()),
    }
}

/// Checks that `value` lies in `low..=high`.
pub(super) fn check_range(what: &'static str, value: usize, low: usize, high: usize) -> Result<()> {
    if value < low {
        return Err(Status::InvalidArgument.about(what).numbers(value as u64, low as u64));
    }
    if value > high {
        return Err(Status::LimitExceeded.about(what).numbers(value as u64, high as u64));
    }
    Ok(())
}
