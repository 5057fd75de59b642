//! Depthwise convolutions of f32 maps, one filter per channel. Weights are packed
//! `[tap][channels padded to 16]`.
//!
//! Every output row is cut into runs of pixels whose windows meet the input with the same taps, so
//! that kernels know no padding. Where pixels are few channels wide and lie side by side, several
//! of them are taken as one with more channels, so that vectors are full.

use super::activation_f32::{Activation, Epilogue, Rows};
use super::floats::{Floats, Portable};
use super::gemm_f32::BLOCK;
use super::kernels_f32::KernelsF32;
use super::view::{View, ViewMut};
use super::window::Window;
use crate::math::pieces;
use core::ops::Range;

/// Channels up to which pixels are taken together.
const FEW_CHANNELS: usize = 72;
/// Channels that pixels taken together have at most.
const MOST_CHANNELS: usize = 144;

/// A depthwise convolution's numbers.
#[derive(Clone, Copy, Debug)]
pub struct Depthwise<'a> {
    /// The kernel's geometry.
    pub window: Window,
    /// Packed weights ([`pack_depthwise_f32`]).
    pub weights: &'a [f32],
    /// A summand per channel; channels beyond the slice have 0.
    pub bias: &'a [f32],
    /// The activation.
    pub activation: Activation<'a>,
}

/// Channels with their padding.
const fn padded(channels: usize) -> usize {
    channels.div_ceil(BLOCK).saturating_mul(BLOCK)
}

/// Packed length of weights of so many channels and taps.
pub const fn packed_depthwise_len(channels: usize, taps: usize) -> usize {
    padded(channels).saturating_mul(taps)
}

/// Packs weights from `[channel][tap]`. False where a slice is too short.
pub fn pack_depthwise_f32(
    weights: &[f32],
    channels: usize,
    taps: usize,
    packed: &mut [f32],
) -> bool {
    let Some(packed) = packed.get_mut(..packed_depthwise_len(channels, taps)) else { return false };
    let Some(weights) = weights.get(..channels.saturating_mul(taps)) else { return false };
    packed.fill(0.0);
    for (tap, line) in pieces::pieces_mut(packed, padded(channels)).enumerate() {
        for (place, filter) in line.iter_mut().zip(pieces::pieces(weights, taps)) {
            *place = filter.get(tap).copied().unwrap_or_default();
        }
    }
    true
}

/// Consecutive pixels of an output row whose windows meet the same taps.
#[derive(Debug)]
pub struct Run<'a> {
    /// The input from the first pixel's first tap on.
    pub input: &'a [f32],
    /// Rows and columns of taps.
    pub taps: [usize; 2],
    /// Elements of the input from tap to tap: down, right.
    pub tap_steps: [usize; 2],
    /// Elements of the input from output pixel to output pixel.
    pub pixel_step: usize,
    /// Weights from the first tap on.
    pub weights: &'a [f32],
    /// Elements of the weights from tap to tap: down, right.
    pub weight_steps: [usize; 2],
    /// A summand per channel.
    pub bias: &'a [f32],
    /// Least and greatest value.
    pub bounds: [f32; 2],
    /// Number of channels.
    pub channels: usize,
    /// Number of pixels.
    pub pixels: usize,
    /// Where the first pixel goes.
    pub out: &'a mut [f32],
    /// Elements from pixel to pixel of `out`.
    pub out_step: usize,
}

/// The end of what steps reach, from the first element on.
fn reach(taps: [usize; 2], steps: [usize; 2], count: usize, step: usize, last: usize) -> usize {
    let [down, right] = taps;
    let down = down.saturating_sub(1).saturating_mul(steps[0]);
    let right = right.saturating_sub(1).saturating_mul(steps[1]);
    let along = count.saturating_sub(1).saturating_mul(step);
    down.saturating_add(right).saturating_add(along).saturating_add(last)
}

impl Run<'_> {
    /// Whether everything that a kernel touches lies inside the slices. Kernels read weights and
    /// biases in full blocks.
    pub fn fits(&self) -> bool {
        let Run { taps, channels, pixels, .. } = *self;
        let padded = padded(channels);
        let any_taps = !taps.contains(&0);
        (!any_taps
            || (reach(taps, self.tap_steps, pixels, self.pixel_step, channels) <= self.input.len()
                && reach(taps, self.weight_steps, 1, 0, padded) <= self.weights.len()))
            && reach([1, 1], [0, 0], pixels, self.out_step, channels) <= self.out.len()
    }
}

/// Computes a run; writes nothing where a slice is too short for it.
pub type RunKernel = fn(&mut Run<'_>);

/// The portable kernel.
pub fn run_portable(run: &mut Run<'_>) {
    if !run.fits() {
        return;
    }
    let mut channel = 0;
    while channel < run.channels {
        let mut pixel = 0;
        while pixel < run.pixels {
            four_pixels(run, pixel, channel);
            pixel += 4;
        }
        channel += Portable::COUNT;
    }
}

/// Up to four pixels of up to eight channels.
fn four_pixels(run: &mut Run<'_>, pixel: usize, channel: usize) {
    let count = Portable::COUNT.min(run.channels - channel);
    let bias = Portable::load(run.bias.get(channel..).unwrap_or_default());
    let mut sums = [bias; 4];
    for down in 0..run.taps[0] {
        for right in 0..run.taps[1] {
            let place = down * run.weight_steps[0] + right * run.weight_steps[1] + channel;
            let weights = Portable::load(run.weights.get(place..).unwrap_or_default());
            let place = down * run.tap_steps[0] + right * run.tap_steps[1] + channel;
            for (sum, pixel) in sums.iter_mut().zip(pixel..run.pixels) {
                let from = run.input.get(place + pixel * run.pixel_step..).unwrap_or_default();
                let values = Portable::load(from.get(..count).unwrap_or_default());
                *sum = values.mul_add(weights, *sum);
            }
        }
    }
    let [low, high] = run.bounds.map(Portable::splat);
    for (sum, pixel) in sums.into_iter().zip(pixel..run.pixels) {
        let out = run.out.get_mut(pixel * run.out_step + channel..).unwrap_or_default();
        sum.max(low).min(high).store(out.get_mut(..count).unwrap_or_default());
    }
}

/// Pixels to take together, 1 for none, where the map's pixels lie side by side.
const fn together(window: &Window, channels: usize) -> usize {
    let mut count = 1;
    while !(channels * count).is_multiple_of(BLOCK) {
        count *= 2;
    }
    let suits = window.stride[1] == 1 && channels <= FEW_CHANNELS;
    if suits && channels * count <= MOST_CHANNELS { count } else { 1 }
}

/// Elements of scratch that [`depthwise_f32`] needs.
pub const fn depthwise_f32_scratch_len(window: &Window, channels: usize) -> usize {
    let count = together(window, channels);
    if count == 1 {
        return 0;
    }
    let taps = window.kernel[0].saturating_mul(window.kernel[1]);
    channels.saturating_mul(count).saturating_mul(taps.saturating_add(1))
}

/// Depthwise convolution: makes the given rows of `out`. False, with nothing written, where a
/// slice is too short.
pub fn depthwise_f32(
    kernels: &KernelsF32,
    depthwise: &Depthwise<'_>,
    input: &View<'_, f32>,
    out: &mut ViewMut<'_, f32>,
    rows: Range<usize>,
    scratch: &mut [f32],
) -> bool {
    let Window { kernel, .. } = depthwise.window;
    let channels = input.channels;
    let taps = kernel[0].saturating_mul(kernel[1]);
    let fits = out.channels == channels
        && rows.end <= out.height
        && input.fits()
        && out.fits()
        && depthwise.weights.len() >= packed_depthwise_len(channels, taps)
        && scratch.len() >= depthwise_f32_scratch_len(&depthwise.window, channels);
    if !fits || channels == 0 {
        return fits;
    }
    let side_by_side = input.pixel_stride == channels && out.pixel_stride == channels;
    let count = if side_by_side { together(&depthwise.window, channels) } else { 1 };
    let wide = channels.saturating_mul(count);
    let len = if count > 1 { taps.saturating_mul(wide) } else { 0 };
    let (weights, bias) = scratch.split_at_mut_checked(len).unwrap_or_default();
    if count > 1 {
        repeat(depthwise.weights, padded(channels), channels, wide, weights);
        repeat(depthwise.bias, channels, channels, wide, bias);
    }
    let work = Work { kernels, depthwise, input, count, wide: weights, wide_bias: bias };
    for row in rows {
        work.row(row, out);
    }
    true
}

/// Fills lines of `wide` values each with the first `used` values of the given lines, repeated;
/// lines missing are zeros.
fn repeat(lines: &[f32], len: usize, used: usize, wide: usize, places: &mut [f32]) {
    places.fill(0.0);
    for (place, line) in pieces::pieces_mut(places, wide).zip(lines.chunks(len.max(1))) {
        for place in place.chunks_mut(used.max(1)) {
            pieces::copy(place, line);
        }
    }
}

struct Work<'a> {
    kernels: &'a KernelsF32,
    depthwise: &'a Depthwise<'a>,
    input: &'a View<'a, f32>,
    /// Pixels taken together.
    count: usize,
    /// Weights and biases of pixels taken together.
    wide: &'a [f32],
    wide_bias: &'a [f32],
}

/// The taps that meet `0..len`, where the first is at `position - padding`.
pub(super) fn met(
    position: usize,
    padding: usize,
    dilation: usize,
    taps: usize,
    len: usize,
) -> Range<usize> {
    let step = dilation.max(1);
    let first = padding.saturating_sub(position).div_ceil(step).min(taps);
    let room = len.saturating_add(padding).saturating_sub(position);
    first..room.div_ceil(step).min(taps).max(first)
}

impl Work<'_> {
    fn row(&self, row: usize, out: &mut ViewMut<'_, f32>) {
        let Window { kernel, stride, dilation, padding } = self.depthwise.window;
        let down = met(
            row.saturating_mul(stride[0]),
            padding[0],
            dilation[0],
            kernel[0],
            self.input.height,
        );
        let across = |column: usize| {
            let position = column.saturating_mul(stride[1]);
            met(position, padding[1], dilation[1], kernel[1], self.input.width)
        };
        let mut first = 0;
        while first < out.width {
            let right = across(first);
            let mut end = first + 1;
            while end < out.width && across(end) == right {
                end += 1;
            }
            self.run(row, first..end, [down.clone(), right], out);
            first = end;
        }
        self.activate(row, out);
    }

    /// A run of pixels: those that go together, then the others.
    fn run(
        &self,
        row: usize,
        columns: Range<usize>,
        taps: [Range<usize>; 2],
        out: &mut ViewMut<'_, f32>,
    ) {
        let wide = if self.count > 1 { columns.len() / self.count * self.count } else { 0 };
        let split = columns.start + wide;
        if wide > 0 {
            self.pixels(row, columns.start..split, &taps, self.count, out);
        }
        if split < columns.end {
            self.pixels(row, split..columns.end, &taps, 1, out);
        }
    }

    fn pixels(
        &self,
        row: usize,
        columns: Range<usize>,
        [down, right]: &[Range<usize>; 2],
        count: usize,
        out: &mut ViewMut<'_, f32>,
    ) {
        let Window { kernel, stride, dilation, padding } = self.depthwise.window;
        let (channels, pixel) = (self.input.channels, self.input.pixel_stride);
        let y = (row * stride[0] + down.start * dilation[0]).wrapping_sub(padding[0]);
        let x = (columns.start * stride[1] + right.start * dilation[1]).wrapping_sub(padding[1]);
        let place = y.wrapping_mul(self.input.width).wrapping_add(x).wrapping_mul(pixel);
        let (weights, line, bias) = if count > 1 {
            (self.wide, channels * count, self.wide_bias)
        } else {
            (self.depthwise.weights, padded(channels), self.depthwise.bias)
        };
        let tap = (down.start * kernel[1] + right.start) * line;
        let to = (row * out.width + columns.start) * out.pixel_stride;
        let bounds = match self.depthwise.activation {
            Activation::Clip { low, high } => [low, high],
            _ => [f32::NEG_INFINITY, f32::INFINITY],
        };
        let kernel_row = line * kernel[1];
        (self.kernels.depthwise)(&mut Run {
            input: self.input.data.get(place..).unwrap_or_default(),
            taps: [down.len(), right.len()],
            tap_steps: [dilation[0] * self.input.width * pixel, dilation[1] * pixel],
            pixel_step: stride[1] * pixel * count,
            weights: weights.get(tap..).unwrap_or_default(),
            weight_steps: [kernel_row, line],
            bias,
            bounds,
            channels: channels * count,
            pixels: columns.len() / count.max(1),
            out: out.data.get_mut(to..).unwrap_or_default(),
            out_step: out.pixel_stride * count,
        });
    }

    /// Activations other than bounds, on a row just written.
    fn activate(&self, row: usize, out: &mut ViewMut<'_, f32>) {
        if matches!(self.depthwise.activation, Activation::None | Activation::Clip { .. }) {
            return;
        }
        let first = row * out.width * out.pixel_stride;
        let rows = Rows {
            data: out.data.get_mut(first..).unwrap_or_default(),
            rows: out.width,
            columns: out.channels,
            stride: out.pixel_stride,
        };
        let epilogue = Epilogue { activation: self.depthwise.activation, ..Epilogue::NONE };
        (self.kernels.finish)(&epilogue, rows);
    }
}

#[cfg(test)]
mod tests;
