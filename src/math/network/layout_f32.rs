//! Copies of f32 maps.

use super::activation_f32::Rows;
use super::view::{View, ViewMut};
use crate::math::pieces;
use core::ops::Range;

/// Copies the given rows. False, with nothing written, where shapes differ or a slice is too short.
pub fn copy_f32(input: &View<'_, f32>, out: &mut ViewMut<'_, f32>, rows: Range<usize>) -> bool {
    copy_and_change(input, out, rows, |_| ())
}

/// Values copied at a time before they are worked on, so that they are still in the first-level
/// cache.
const AT_ONCE: usize = 2048;

/// Copies the given rows and hands them to `job`, some pixels at a time. False, with nothing
/// written, where shapes differ or a slice is too short.
pub(super) fn copy_and_change(
    input: &View<'_, f32>,
    out: &mut ViewMut<'_, f32>,
    rows: Range<usize>,
    job: impl Fn(Rows<'_>),
) -> bool {
    let same = [input.height, input.width, input.channels] == [out.height, out.width, out.channels];
    if !same || !input.fits() || !out.fits() || rows.end > out.height {
        return false;
    }
    let most = AT_ONCE.checked_div(out.channels).unwrap_or(1).max(1);
    let (columns, stride) = (out.channels, out.pixel_stride);
    let end = rows.end.saturating_mul(out.width);
    let mut pixel = rows.start.saturating_mul(out.width);
    while pixel < end {
        let count = most.min(end - pixel);
        let from = input.data.get(pixel.saturating_mul(input.pixel_stride)..).unwrap_or_default();
        let to = out.data.get_mut(pixel.saturating_mul(stride)..).unwrap_or_default();
        copy_pixels(from, input.pixel_stride, to, stride, columns, count);
        job(Rows { data: to, rows: count, columns, stride });
        pixel += count;
    }
    true
}

/// Copies `count` pixels.
fn copy_pixels(
    from: &[f32],
    from_stride: usize,
    to: &mut [f32],
    to_stride: usize,
    channels: usize,
    count: usize,
) {
    if from_stride == channels && to_stride == channels {
        let len = count.saturating_mul(channels);
        return pieces::copy(to.get_mut(..len).unwrap_or_default(), from);
    }
    let (mut from, mut to) = (from, to);
    for _ in 0..count {
        let (Some(values), Some(places)) = (from.get(..channels), to.get_mut(..channels)) else {
            return;
        };
        pieces::copy(places, values);
        from = from.get(from_stride..).unwrap_or_default();
        to = to.get_mut(to_stride..).unwrap_or_default();
    }
}

#[cfg(test)]
mod tests;
