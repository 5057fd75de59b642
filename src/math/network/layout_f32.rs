//! Copies of f32 values: between maps, into margins, between planes and channels last, to and from
//! f16.

use super::activation_f32::Rows;
use super::floats::Floats;
use super::kernels_f32::KernelsF32;
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

/// Copies the given rows and hands them to `job`, some pixels at a time. False, with nothing written,
/// where shapes differ or a slice is too short.
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

/// Copies the input into a larger map, `top` rows and `left` columns from its corner, with `value`
/// around it: makes the given rows of `out`. False, with nothing written, where it does not fit or
/// a slice is too short.
pub fn pad_f32(
    input: &View<'_, f32>,
    [top, left]: [usize; 2],
    value: f32,
    out: &mut ViewMut<'_, f32>,
    rows: Range<usize>,
) -> bool {
    let fits = input.fits()
        && out.fits()
        && input.channels == out.channels
        && rows.end <= out.height
        && top.saturating_add(input.height) <= out.height
        && left.saturating_add(input.width) <= out.width;
    if !fits {
        return false;
    }
    let line = out.width * out.pixel_stride;
    for row in rows {
        let inside = (top..top + input.height).contains(&row);
        let from = if inside { (row - top) * input.width * input.pixel_stride } else { 0 };
        let from = input.data.get(from..).unwrap_or_default();
        let width = if inside { input.width } else { 0 };
        let mut places = out.data.get_mut(row * line..).unwrap_or_default();
        for column in 0..out.width {
            if column < left || column >= left + width {
                places.get_mut(..out.channels).unwrap_or_default().fill(value);
            }
            places = places.get_mut(out.pixel_stride..).unwrap_or_default();
        }
        let first = row * line + left * out.pixel_stride;
        let to = out.data.get_mut(first..).unwrap_or_default();
        copy_pixels(from, input.pixel_stride, to, out.pixel_stride, out.channels, width);
    }
    true
}

/// From planes, one per channel, to channels last: makes the given rows. False, with nothing
/// written, where a slice is too short.
pub fn planes_to_pixels_f32(
    planes: &[f32],
    out: &mut ViewMut<'_, f32>,
    rows: Range<usize>,
) -> bool {
    let plane = out.height.saturating_mul(out.width);
    if !out.fits() || rows.end > out.height || planes.len() < plane.saturating_mul(out.channels) {
        return false;
    }
    let (first, count) = (rows.start * out.width, rows.len() * out.width);
    let stride = out.pixel_stride;
    let to = out.data.get_mut(first * stride..).unwrap_or_default();
    let channel = |number: usize| {
        let plane = planes.get(number * plane + first..).unwrap_or_default();
        plane.get(..count).unwrap_or_default()
    };
    if out.channels == 3 && stride == 3 {
        let (pixels, _) = to.as_chunks_mut::<3>();
        let values = channel(0).iter().zip(channel(1)).zip(channel(2));
        for (pixel, ((&red, &green), &blue)) in pixels.iter_mut().zip(values) {
            *pixel = [red, green, blue];
        }
        return true;
    }
    // Some pixels at a time, so that their cache lines are filled before they leave.
    for start in (0..count).step_by(PIXELS) {
        let end = count.min(start + PIXELS);
        for number in 0..out.channels {
            let values = channel(number).get(start..end).unwrap_or_default();
            let places = to.get_mut(start * stride + number..).unwrap_or_default();
            for (place, value) in places.iter_mut().step_by(stride.max(1)).zip(values) {
                *place = *value;
            }
        }
    }
    true
}

/// Pixels taken at a time between layouts.
const PIXELS: usize = 16;

/// From channels last to planes, one per channel: makes the given rows of each. False, with nothing
/// written, where a slice is too short.
pub fn pixels_to_planes_f32(input: &View<'_, f32>, planes: &mut [f32], rows: Range<usize>) -> bool {
    let plane = input.height.saturating_mul(input.width);
    let len = plane.saturating_mul(input.channels);
    if !input.fits() || rows.end > input.height || planes.len() < len {
        return false;
    }
    let (first, count) = (rows.start * input.width, rows.len() * input.width);
    let stride = input.pixel_stride;
    let from = input.data.get(first * stride..).unwrap_or_default();
    for start in (0..count).step_by(PIXELS) {
        let end = count.min(start + PIXELS);
        for number in 0..input.channels {
            let values = from.get(start * stride + number..).unwrap_or_default();
            let place = number * plane + first;
            let places = planes.get_mut(place + start..place + end).unwrap_or_default();
            for (place, value) in places.iter_mut().zip(values.iter().step_by(stride.max(1))) {
                *place = *value;
            }
        }
    }
    true
}

/// Widens bits of f16 values.
pub type WidenKernel = fn(&[u16], &mut [f32]);
/// Rounds values to bits of f16, ties to even.
pub type NarrowKernel = fn(&[f32], &mut [u16]);

/// The kernel over vectors.
#[inline(always)]
pub fn widen<V: Floats>(bits: &[u16], values: &mut [f32]) {
    let len = values.len().min(bits.len());
    let values = values.get_mut(..len).unwrap_or_default();
    for (places, bits) in values.chunks_mut(V::COUNT).zip(bits.chunks(V::COUNT)) {
        V::load_f16(bits).store(places);
    }
}

/// The kernel over vectors.
#[inline(always)]
pub fn narrow<V: Floats>(values: &[f32], bits: &mut [u16]) {
    let len = values.len().min(bits.len());
    let bits = bits.get_mut(..len).unwrap_or_default();
    for (places, values) in bits.chunks_mut(V::COUNT).zip(values.chunks(V::COUNT)) {
        V::load(values).store_f16(places);
    }
}

/// Widens as many f16 values as both slices hold.
pub fn widen_f16(kernels: &KernelsF32, bits: &[u16], values: &mut [f32]) {
    (kernels.widen)(bits, values);
}

/// Rounds as many values to f16 as both slices hold.
pub fn narrow_f16(kernels: &KernelsF32, values: &[f32], bits: &mut [u16]) {
    (kernels.narrow)(values, bits);
}

#[cfg(test)]
mod tests;
