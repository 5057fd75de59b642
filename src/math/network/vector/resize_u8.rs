//! Bilinear resizing.

use super::{ByteLanes, FloatLanes, cut, cut_mut};
use crate::math::network::resample_axis::{ResampleAxis, Tap};
use crate::math::network::resize_u8::{RescaleU8, resize_scratch_len};
use crate::math::network::spans;
use crate::math::network::view::{View, ViewMut};
use crate::math::pieces::{copy, pieces, pieces_mut};
use core::ops::Range;

/// A [`RescaleU8`] in vectors.
struct Finish<V: ByteLanes> {
    zero_point: V::Floats,
    ratio: V::Floats,
    range: V::Range,
}

/// As the portable `resize_bilinear_u8`.
#[inline(always)]
pub fn resize_bilinear_u8<V: ByteLanes>(
    input: &View<'_, u8>,
    vertical: &ResampleAxis,
    columns: &[Tap],
    rescale: &RescaleU8,
    output: &mut ViewMut<'_, u8>,
    rows: Range<usize>,
    scratch: &mut [f32],
) {
    let len = resize_scratch_len(input.width, input.channels);
    let Some(blended) = scratch.get_mut(..len) else { return };
    let finish = Finish::<V> {
        zero_point: V::Floats::splat(f32::from(rescale.zero_point)),
        ratio: V::Floats::splat(rescale.ratio),
        range: V::range(rescale.range),
    };
    let mut last = None;
    for y in rows {
        let tap = vertical.bilinear(y);
        if last != Some(tap) {
            let len = input.width * input.channels;
            blend_rows::<V>(input, tap, blended.get_mut(..len).unwrap_or_default());
            last = Some(tap);
        }
        let start = y.saturating_mul(output.width).saturating_mul(output.pixel_stride);
        let Some(places) = output.data.get_mut(start..) else { return };
        let size = [output.width, output.channels, output.pixel_stride];
        if input.width == 1 {
            finish.repeat(blended, places, size);
        } else {
            finish.row(blended, columns, places, size);
        }
    }
}

impl<V: ByteLanes> Finish<V> {
    #[inline(always)]
    fn row(&self, blended: &[f32], columns: &[Tap], to: &mut [u8], size: [usize; 3]) {
        let [width, channels, stride] = size;
        for (x, tap) in columns.iter().take(width).enumerate() {
            let first = blended.get(tap.index as usize * channels..);
            let second = blended.get(tap.next as usize * channels..);
            let to = to.get_mut(x * stride..).and_then(|to| to.get_mut(..channels));
            let (Some(first), Some(second), Some(to)) = (first, second, to) else { return };
            self.pixel(first, second, tap.fraction, to);
        }
    }

    /// A row of one pixel, which is the same for all columns.
    #[inline(always)]
    fn repeat(&self, blended: &[f32], to: &mut [u8], [width, channels, stride]: [usize; 3]) {
        let Some((first, others)) = to.split_at_mut_checked(channels) else { return };
        self.pixel(blended, blended, 0.0, first);
        let gap = stride.saturating_sub(channels);
        for place in (0..width.saturating_sub(1)).map(|x| x * stride + gap) {
            copy(others.get_mut(place..).unwrap_or_default(), first);
        }
    }

    /// As many values as there are places; a vector is readable from the last `COUNT` of them on.
    #[inline(always)]
    fn pixel(&self, first: &[f32], second: &[f32], fraction: f32, to: &mut [u8]) {
        let weight = V::Floats::splat(fraction);
        let values = pieces(first, V::COUNT).zip(pieces(second, V::COUNT));
        for (to, (p, q)) in spans::cuts_mut(to, V::COUNT).zip(values) {
            let mut steps = [weight; 4];
            let values = pieces(p, V::Floats::COUNT).zip(pieces(q, V::Floats::COUNT));
            for (steps, (p, q)) in steps.iter_mut().zip(values) {
                let (p, q) = (V::Floats::load(p), V::Floats::load(q));
                let value = p.add(q.sub(p).mul(weight));
                *steps = value.sub(self.zero_point).mul(self.ratio);
            }
            let values = V::quantize(steps, &self.range);
            if to.len() == V::COUNT {
                values.store(to);
            } else {
                values.store_part(to);
            }
        }
    }
}

#[inline(always)]
fn blend_rows<V: ByteLanes>(input: &View<'_, u8>, tap: Tap, blended: &mut [f32]) {
    let row = |row: u32| {
        let start = (row as usize).saturating_mul(input.width).saturating_mul(input.pixel_stride);
        input.data.get(start..).unwrap_or_default()
    };
    let (first, second) = (row(tap.index), row(tap.next));
    if input.pixel_stride == input.channels {
        return blend::<V>(first, second, tap.fraction, blended);
    }
    let pixels = pieces_mut(blended, input.channels);
    for (x, to) in pixels.enumerate() {
        let start = x * input.pixel_stride;
        let first = first.get(start..).unwrap_or_default();
        let second = second.get(start..).unwrap_or_default();
        blend::<V>(first, second, tap.fraction, to);
    }
}

/// As many values as there are places.
#[inline(always)]
fn blend<V: ByteLanes>(first: &[u8], second: &[u8], fraction: f32, to: &mut [f32]) {
    let weight = V::Floats::splat(fraction);
    let (Some(first), Some(second)) = (first.get(..to.len()), second.get(..to.len())) else {
        return;
    };
    let ((first, first_rest), (second, second_rest)) =
        (cut(first, V::COUNT), cut(second, V::COUNT));
    let (to, to_rest) = cut_mut(to, V::COUNT);
    let values = pieces(first, V::COUNT).zip(pieces(second, V::COUNT));
    for ((p, q), to) in values.zip(pieces_mut(to, V::COUNT)) {
        let values = V::load(p).to_floats().into_iter().zip(V::load(q).to_floats());
        for (part, (p, q)) in values.enumerate() {
            let value = p.add(q.sub(p).mul(weight));
            value.store(to.get_mut(part * V::Floats::COUNT..).unwrap_or_default());
        }
    }
    for ((to, p), q) in to_rest.iter_mut().zip(first_rest).zip(second_rest) {
        let [p, q] = [*p, *q].map(f32::from);
        *to = p + (q - p) * fraction;
    }
}
