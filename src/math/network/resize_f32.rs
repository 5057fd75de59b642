//! Resizing of f32 maps, bilinear and nearest, with ONNX's coordinate rules.

use super::floats::Floats;
use super::kernels_f32::KernelsF32;
use super::view::{View, ViewMut};
use crate::math::pieces;
use core::ops::Range;

/// Where output positions lie in the input.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Coordinates {
    /// Centres of pixels correspond: `(x + 1/2) / scale - 1/2`.
    HalfPixel,
    /// As `HalfPixel`; 0 for outputs of length 1.
    PytorchHalfPixel,
    /// First and last pixels correspond.
    AlignCorners,
    /// `x / scale`.
    Asymmetric,
}

/// How positions between pixels are read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Interpolation {
    /// Bilinear.
    Linear,
    /// The nearest pixel, the lower where two are as near.
    RoundPreferFloor,
    /// The nearest pixel, the upper where two are as near.
    RoundPreferCeil,
    /// The pixel below.
    Floor,
    /// The pixel above.
    Ceil,
}

/// The rule along one axis.
#[derive(Clone, Copy, Debug)]
pub struct Axis {
    /// The coordinate rule.
    pub coordinates: Coordinates,
    /// Output length over input length, as ONNX has it.
    pub scale: f32,
    /// Input length.
    pub input: usize,
    /// Output length.
    pub output: usize,
}

impl Axis {
    /// Where an output position lies in the input.
    #[inline(always)]
    fn position(&self, at: usize) -> f32 {
        let x = at as f32;
        let half = (x + 0.5) / self.scale - 0.5;
        match self.coordinates {
            Coordinates::HalfPixel => half,
            Coordinates::PytorchHalfPixel if self.output > 1 => half,
            Coordinates::PytorchHalfPixel => 0.0,
            Coordinates::AlignCorners if self.output > 1 => {
                x * self.input.saturating_sub(1) as f32 / (self.output - 1) as f32
            }
            Coordinates::AlignCorners => 0.0,
            Coordinates::Asymmetric => x / self.scale,
        }
    }

    /// The pixels on both sides and the weight of the second.
    #[inline(always)]
    fn sides(&self, at: usize) -> (usize, usize, f32) {
        let last = self.input.saturating_sub(1);
        let position = self.position(at).max(0.0).min(last as f32);
        let first = position as usize;
        (first, last.min(first + 1), position - first as f32)
    }

    /// The nearest pixel.
    fn nearest(&self, at: usize, interpolation: Interpolation) -> usize {
        let position = self.position(at);
        let floor = |x: f32| {
            let whole = x as i32 as f32;
            if whole > x { whole - 1.0 } else { whole }
        };
        let rounded = match interpolation {
            Interpolation::RoundPreferFloor => -floor(0.5 - position),
            Interpolation::RoundPreferCeil => floor(position + 0.5),
            Interpolation::Ceil => -floor(-position),
            Interpolation::Linear | Interpolation::Floor => floor(position),
        };
        // A negative number becomes 0.
        (rounded as usize).min(self.input.saturating_sub(1))
    }
}

/// `out = p + (q - p) * t`.
pub type BlendKernel = fn(&[f32], &[f32], f32, &mut [f32]);

/// The kernel over vectors.
#[inline(always)]
pub fn blend<V: Floats>(p: &[f32], q: &[f32], t: f32, out: &mut [f32]) {
    let t = V::splat(t);
    let sides = p.chunks(V::COUNT).zip(q.chunks(V::COUNT));
    for (places, (p, q)) in out.chunks_mut(V::COUNT).zip(sides) {
        let p = V::load(p);
        V::load(q).sub(p).mul_add(t, p).store(places);
    }
}

/// A row of pixels side by side, to be blended to an output row.
#[derive(Debug)]
pub struct BlendRow<'a> {
    /// The input row.
    pub row: &'a [f32],
    /// The rule along it.
    pub axis: Axis,
    /// Values per pixel.
    pub channels: usize,
    /// The output row.
    pub out: &'a mut [f32],
    /// Elements from pixel to pixel of `out`.
    pub out_stride: usize,
}

/// Blends along a row. Places beyond the output are left out.
pub type BlendRowKernel = fn(BlendRow<'_>);

/// The kernel over vectors.
#[inline(always)]
pub fn blend_row<V: Floats>(blend: BlendRow<'_>) {
    let BlendRow { row, axis, channels, out, out_stride } = blend;
    let mut rest = out;
    for at in 0..axis.output {
        let (first, second, t) = axis.sides(at);
        let (Some(p), Some(q), Some(places)) = (
            pieces::piece(row, first, channels),
            pieces::piece(row, second, channels),
            rest.get_mut(..channels),
        ) else {
            return;
        };
        let t = V::splat(t);
        let sides = p.chunks(V::COUNT).zip(q.chunks(V::COUNT));
        for (places, (p, q)) in places.chunks_mut(V::COUNT).zip(sides) {
            let p = V::load(p);
            V::load(q).sub(p).mul_add(t, p).store(places);
        }
        rest = rest.get_mut(out_stride..).unwrap_or_default();
    }
}

/// A resize's rule.
#[derive(Clone, Copy, Debug)]
pub struct Resize {
    /// How positions between pixels are read.
    pub interpolation: Interpolation,
    /// The coordinate rule.
    pub coordinates: Coordinates,
    /// Output over input: height, width.
    pub scales: [f32; 2],
}

impl Resize {
    fn axes(&self, input: &View<'_, f32>, out: &ViewMut<'_, f32>) -> [Axis; 2] {
        let coordinates = self.coordinates;
        let [down, right] = self.scales;
        [
            Axis { coordinates, scale: down, input: input.height, output: out.height },
            Axis { coordinates, scale: right, input: input.width, output: out.width },
        ]
    }
}

/// Elements of scratch that [`resize_f32`] needs.
pub const fn resize_f32_scratch_len(in_width: usize, channels: usize) -> usize {
    in_width.saturating_mul(channels)
}

/// Resizes: makes the given rows of `out`. False, with nothing written, where a slice is too short,
/// channels differ or the input is empty.
pub fn resize_f32(
    kernels: &KernelsF32,
    resize: &Resize,
    input: &View<'_, f32>,
    out: &mut ViewMut<'_, f32>,
    rows: Range<usize>,
    scratch: &mut [f32],
) -> bool {
    let len = resize_f32_scratch_len(input.width, input.channels);
    let Some(line) = scratch.get_mut(..len) else { return false };
    let fits = input.fits()
        && out.fits()
        && rows.end <= out.height
        && input.channels == out.channels
        && input.height > 0
        && input.width > 0;
    if !fits {
        return false;
    }
    let [down, right] = resize.axes(input, out);
    for row in rows {
        let to = row * out.width * out.pixel_stride;
        let places = out.data.get_mut(to..).unwrap_or_default();
        let one_pixel = input.height == 1 && input.width == 1;
        if one_pixel || resize.interpolation != Interpolation::Linear {
            let from = down.nearest(row, resize.interpolation);
            nearest_row(resize, &right, row_of(input, from), input, places, out.pixel_stride);
            continue;
        }
        let (first, second, t) = down.sides(row);
        let (p, q) = (row_of(input, first), row_of(input, second));
        if input.pixel_stride == input.channels {
            (kernels.blend)(p, q, t, line);
        } else {
            let pixels = pieces::pieces_mut(line, input.channels);
            for (pixel, place) in pixels.enumerate() {
                let first = pixel * input.pixel_stride;
                let values = [p, q].map(|row| row.get(first..).unwrap_or_default());
                (kernels.blend)(values[0], values[1], t, place);
            }
        }
        let (channels, out_stride) = (out.channels, out.pixel_stride);
        let blend = BlendRow { row: line, axis: right, channels, out: places, out_stride };
        (kernels.blend_row)(blend);
    }
    true
}

/// A row of the input and what follows.
fn row_of<'a>(input: &View<'a, f32>, row: usize) -> &'a [f32] {
    input.data.get(row * input.width * input.pixel_stride..).unwrap_or_default()
}

fn nearest_row(
    resize: &Resize,
    axis: &Axis,
    row: &[f32],
    input: &View<'_, f32>,
    out: &mut [f32],
    out_stride: usize,
) {
    let mut rest = out;
    for at in 0..axis.output {
        let from = axis.nearest(at, resize.interpolation) * input.pixel_stride;
        let values = row.get(from..).and_then(|row| row.get(..input.channels)).unwrap_or_default();
        pieces::copy(rest, values);
        rest = rest.get_mut(out_stride..).unwrap_or_default();
    }
}

#[cfg(test)]
mod tests;
