//! Pooling of f32 maps: greatest and mean values under a window, and means over a whole map.

use super::depthwise_f32::met;
use super::floats::Floats;
use super::kernels_f32::KernelsF32;
use super::view::{View, ViewMut};
use super::window::Window;
use core::ops::Range;

/// What becomes of the values under a window.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pool {
    /// The greatest.
    Max,
    /// The mean of those inside the map.
    Mean,
    /// Their sum over the window's size, as if the padding were zeros.
    MeanWithPadding,
}

/// Consecutive pixels of an output row whose windows meet the same taps.
#[derive(Debug)]
pub struct PoolRun<'a> {
    /// The input from the first pixel's first tap on.
    pub input: &'a [f32],
    /// Rows and columns of taps.
    pub taps: [usize; 2],
    /// Elements of the input from tap to tap: down, right.
    pub tap_steps: [usize; 2],
    /// Elements of the input from output pixel to output pixel.
    pub pixel_step: usize,
    /// Factor of the sum of the taps; `None` for the greatest.
    pub factor: Option<f32>,
    /// Number of channels.
    pub channels: usize,
    /// Number of pixels.
    pub pixels: usize,
    /// Where the first pixel goes.
    pub out: &'a mut [f32],
    /// Elements from pixel to pixel of `out`.
    pub out_step: usize,
}

/// Computes a run. Taps beyond the input count as zeros; places beyond the output are left out.
pub type PoolKernel = fn(&mut PoolRun<'_>);

/// How values under a window are joined.
trait Join<V: Floats>: Copy {
    const START: f32;
    fn join(self, total: V, value: V) -> V;
    fn finish(self, total: V) -> V;
}

#[derive(Clone, Copy)]
struct Greatest;

impl<V: Floats> Join<V> for Greatest {
    const START: f32 = f32::NEG_INFINITY;

    #[inline(always)]
    fn join(self, total: V, value: V) -> V {
        value.max(total)
    }

    #[inline(always)]
    fn finish(self, total: V) -> V {
        total
    }
}

#[derive(Clone, Copy)]
struct Mean<V>(V);

impl<V: Floats> Join<V> for Mean<V> {
    const START: f32 = 0.0;

    #[inline(always)]
    fn join(self, total: V, value: V) -> V {
        total.add(value)
    }

    #[inline(always)]
    fn finish(self, total: V) -> V {
        total.mul(self.0)
    }
}

/// The kernel over vectors.
#[inline(always)]
pub fn pool<V: Floats>(run: &mut PoolRun<'_>) {
    match run.factor {
        Some(factor) => run_with::<V, _>(run, Mean(V::splat(factor))),
        None => run_with::<V, _>(run, Greatest),
    }
}

#[inline(always)]
fn run_with<V: Floats, J: Join<V>>(run: &mut PoolRun<'_>, join: J) {
    for pixel in 0..run.pixels {
        let input = run.input.get(pixel * run.pixel_step..).unwrap_or_default();
        let out = run.out.get_mut(pixel * run.out_step..).unwrap_or_default();
        let len = run.channels.min(out.len());
        let out = out.get_mut(..len).unwrap_or_default();
        // Two vectors at a time hide the latency of joining.
        for (index, places) in out.chunks_mut(2 * V::COUNT).enumerate() {
            let first = index * 2 * V::COUNT;
            let (mut one, mut two) = (V::splat(J::START), V::splat(J::START));
            for down in 0..run.taps[0] {
                for right in 0..run.taps[1] {
                    let tap = down * run.tap_steps[0] + right * run.tap_steps[1] + first;
                    let values = input.get(tap..).unwrap_or_default();
                    let values = values.get(..places.len()).unwrap_or_default();
                    one = join.join(one, V::load(values));
                    two = join.join(two, V::load(values.get(V::COUNT..).unwrap_or_default()));
                }
            }
            let middle = places.len().min(V::COUNT);
            let (first, second) = places.split_at_mut_checked(middle).unwrap_or_default();
            join.finish(one).store(first);
            join.finish(two).store(second);
        }
    }
}

/// Pooling: makes the given rows of `out`. A window that meets nothing gives minus infinity, or 0
/// for means. False, with nothing written, where a slice is too short.
pub fn pool_f32(
    kernels: &KernelsF32,
    pool: Pool,
    window: &Window,
    input: &View<'_, f32>,
    out: &mut ViewMut<'_, f32>,
    rows: Range<usize>,
) -> bool {
    let fits =
        out.channels == input.channels && rows.end <= out.height && input.fits() && out.fits();
    if !fits {
        return false;
    }
    for row in rows {
        pool_row(kernels, pool, window, input, out, row);
    }
    true
}

fn pool_row(
    kernels: &KernelsF32,
    pool: Pool,
    window: &Window,
    input: &View<'_, f32>,
    out: &mut ViewMut<'_, f32>,
    row: usize,
) {
    let Window { kernel, stride, dilation, padding } = *window;
    let pixel = input.pixel_stride;
    let down = met(row.saturating_mul(stride[0]), padding[0], dilation[0], kernel[0], input.height);
    let across = |column: usize| {
        let position = column.saturating_mul(stride[1]);
        met(position, padding[1], dilation[1], kernel[1], input.width)
    };
    let mut first = 0;
    while first < out.width {
        let right = across(first);
        let mut end = first + 1;
        while end < out.width && across(end) == right {
            end += 1;
        }
        let taps = [down.len(), right.len()];
        let count = match pool {
            Pool::Max | Pool::Mean => taps[0] * taps[1],
            Pool::MeanWithPadding => kernel[0] * kernel[1],
        };
        let y = (row * stride[0] + down.start * dilation[0]).wrapping_sub(padding[0]);
        let x = (first * stride[1] + right.start * dilation[1]).wrapping_sub(padding[1]);
        let place = y.wrapping_mul(input.width).wrapping_add(x).wrapping_mul(pixel);
        let to = (row * out.width + first) * out.pixel_stride;
        (kernels.pool)(&mut PoolRun {
            input: input.data.get(place..).unwrap_or_default(),
            taps,
            tap_steps: [dilation[0] * input.width * pixel, dilation[1] * pixel],
            pixel_step: stride[1] * pixel,
            factor: (pool != Pool::Max).then(|| 1.0 / count.max(1) as f32),
            channels: input.channels,
            pixels: end - first,
            out: out.data.get_mut(to..).unwrap_or_default(),
            out_step: out.pixel_stride,
        });
        first = end;
    }
}

/// Adds a row of pixels, `stride` apart, to `sums`, one per channel. Values missing are 0.
pub type SumKernel = fn(&[f32], usize, &mut [f32]);

/// The kernel over vectors.
#[inline(always)]
pub fn sum<V: Floats>(pixels: &[f32], stride: usize, sums: &mut [f32]) {
    let stride = stride.max(1);
    for (index, sums) in sums.chunks_mut(V::COUNT).enumerate() {
        let first = index * V::COUNT;
        let mut totals = [V::splat(0.0); 4];
        let count = sums.len();
        let load = |pixel: &[f32]| {
            let values = pixel.get(first..).unwrap_or_default();
            V::load(values.get(..count).unwrap_or(values))
        };
        for four in pixels.chunks(stride.saturating_mul(4).max(1)) {
            for (total, pixel) in totals.iter_mut().zip(four.chunks(stride)) {
                *total = total.add(load(pixel));
            }
        }
        let [a, b, c, d] = totals;
        V::load(sums).add(a.add(b).add(c.add(d))).store(sums);
    }
}

/// The mean over all pixels, one value per channel (global average pooling). Sums are taken row by
/// row, so that they stay small beside their parts. `scratch` has a place per channel. False, with
/// nothing written, where a slice is too short.
pub fn mean_over_pixels_f32(
    kernels: &KernelsF32,
    input: &View<'_, f32>,
    out: &mut [f32],
    scratch: &mut [f32],
) -> bool {
    let (Some(out), Some(line)) =
        (out.get_mut(..input.channels), scratch.get_mut(..input.channels))
    else {
        return false;
    };
    if !input.fits() {
        return false;
    }
    out.fill(0.0);
    let len = input.width * input.pixel_stride;
    for row in 0..input.height {
        let values = input.data.get(row * len..).unwrap_or_default();
        let reach = (len + input.channels).saturating_sub(input.pixel_stride);
        line.fill(0.0);
        (kernels.sum)(values.get(..reach).unwrap_or_default(), input.pixel_stride, line);
        for (sum, value) in out.iter_mut().zip(&*line) {
            *sum += value;
        }
    }
    let factor = 1.0 / (input.height * input.width).max(1) as f32;
    for value in out {
        *value *= factor;
    }
    true
}

#[cfg(test)]
mod tests;
