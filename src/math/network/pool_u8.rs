//! Pooling of 8-bit maps.

use super::quantization::QuantizedRange;
use super::spans;
use super::view::{View, ViewMut};
use super::window::Window;
use core::ops::Range;

/// Channels whose sums are kept at a time.
const BLOCK: usize = 64;

/// Largest value under each window; what lies outside the map does not count. A window wholly
/// outside gives 0.
pub fn max_pool_u8(
    input: &View<'_, u8>,
    window: &Window,
    output: &mut ViewMut<'_, u8>,
    rows: Range<usize>,
) {
    for y in rows {
        for x in 0..output.width {
            let at = y * output.width + x;
            let Some(to) = spans::pixel_mut(output, at) else { return };
            to.fill(0);
            for_each_tap(input, window, [y, x], |pixel| {
                for (to, value) in to.iter_mut().zip(pixel) {
                    *to = (*to).max(*value);
                }
            });
        }
    }
}

/// Which positions under a window an average divides by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Counted {
    /// Those inside the map.
    Inside,
    /// Those inside the map padded by `window.padding` before it and this much after it; the
    /// padding is 0.
    Padded([usize; 2]),
}

/// An average and its quantisation:
/// `quantize(sum of (input - zero_point) as f32 * (ratio / count))`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct MeanU8 {
    /// Of the input.
    pub zero_point: u8,
    /// Scale of the input over the scale of the output; positive, finite.
    pub ratio: f32,
    /// What the output may be.
    pub range: QuantizedRange,
}

impl MeanU8 {
    /// The factor of a sum of `count` values; 0 for none.
    #[inline(always)]
    pub fn factor(&self, count: usize) -> f32 {
        if count == 0 { 0.0 } else { self.ratio / count as f32 }
    }

    /// The mean of values whose sum is `sum`, of which `inside` are real.
    #[inline(always)]
    pub fn apply(&self, sum: u32, inside: usize, factor: f32) -> u8 {
        let zero = (inside as u32).wrapping_mul(u32::from(self.zero_point));
        self.range.quantize(sum.wrapping_sub(zero).cast_signed() as f32 * factor)
    }
}

/// Means under each window, of at most 2^23 values: the portable reference.
pub fn avg_pool_u8(
    input: &View<'_, u8>,
    window: &Window,
    counted: Counted,
    mean: &MeanU8,
    output: &mut ViewMut<'_, u8>,
    rows: Range<usize>,
) {
    for y in rows {
        for x in 0..output.width {
            let size = [input.height, input.width];
            let [inside, count] = window_counts(window, counted, size, [y, x]);
            let factor = mean.factor(count);
            let at = y * output.width + x;
            let Some(to) = spans::pixel_mut(output, at) else { return };
            for (block, to) in spans::cuts_mut(to, BLOCK).enumerate() {
                let mut sums = [0u32; BLOCK];
                for_each_tap(input, window, [y, x], |pixel| {
                    add(&mut sums, pixel.get(block * BLOCK..).unwrap_or_default());
                });
                for (to, sum) in to.iter_mut().zip(sums) {
                    *to = mean.apply(sum, inside, factor);
                }
            }
        }
    }
}

/// Means of each channel over all rows and columns, of at most 2^23 pixels: the portable reference.
/// As many channels as `output` has are made.
pub fn global_avg_pool_u8(input: &View<'_, u8>, mean: &MeanU8, output: &mut [u8]) {
    let count = input.height.saturating_mul(input.width);
    let factor = mean.factor(count);
    for (block, to) in spans::cuts_mut(output, BLOCK).enumerate() {
        let mut sums = [0u32; BLOCK];
        for index in 0..count {
            let Some(pixel) = spans::pixel(input, index) else { return };
            add(&mut sums, pixel.get(block * BLOCK..).unwrap_or_default());
        }
        for (to, sum) in to.iter_mut().zip(sums) {
            *to = mean.apply(sum, count, factor);
        }
    }
}

#[inline(always)]
fn add(sums: &mut [u32; BLOCK], values: &[u8]) {
    if let Some(values) = values.first_chunk::<BLOCK>() {
        for (sum, value) in sums.iter_mut().zip(values) {
            *sum += u32::from(*value);
        }
        return;
    }
    for (sum, value) in sums.iter_mut().zip(values) {
        *sum += u32::from(*value);
    }
}

/// Calls `visit` with the input's pixels under the window of output position (y, x).
#[inline(always)]
fn for_each_tap<'a>(
    input: &View<'a, u8>,
    window: &Window,
    [y, x]: [usize; 2],
    mut visit: impl FnMut(&'a [u8]),
) {
    for ky in 0..window.kernel[0] {
        let Some(row) = window.input_row(y, ky, input.height) else { continue };
        for kx in 0..window.kernel[1] {
            let Some(column) = window.input_column(x, kx, input.width) else { continue };
            if let Some(pixel) = spans::pixel(input, row * input.width + column) {
                visit(pixel);
            }
        }
    }
}

/// Positions under the window of output position (y, x) that are inside a map of `size`, and those
/// that are counted.
pub fn window_counts(
    window: &Window,
    counted: Counted,
    size: [usize; 2],
    [y, x]: [usize; 2],
) -> [usize; 2] {
    let mut counts = [1, 1];
    for (axis, (position, len)) in [y, x].into_iter().zip(size).enumerate() {
        let [inside, counted] = axis_counts(window, counted, axis, [position, len]);
        counts = [counts[0] * inside, counts[1] * counted];
    }
    counts
}

fn axis_counts(
    window: &Window,
    counted: Counted,
    axis: usize,
    [position, len]: [usize; 2],
) -> [usize; 2] {
    let pick = |pair: [usize; 2]| if axis == 0 { pair[0] } else { pair[1] };
    let (padding, start) = (pick(window.padding), position * pick(window.stride));
    let taps = || (0..pick(window.kernel)).map(|tap| start + tap * pick(window.dilation));
    let inside = taps().filter(|at| (padding..padding + len).contains(at)).count();
    match counted {
        Counted::Inside => [inside, inside],
        Counted::Padded(after) => {
            let end = padding + len + pick(after);
            [inside, taps().filter(|at| *at < end).count()]
        }
    }
}

#[cfg(test)]
pub(crate) mod tests;
