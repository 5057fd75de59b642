//! How depthwise convolutions of bytes walk over the taps: as runs of taps that lie at one distance
//! from each other. Taps outside the map are runs that stand still on padding.

use crate::math::network::depthwise_u8::DepthwiseU8;
use crate::math::network::spans::holds;
use crate::math::network::view::{View, ViewMut};
use crate::math::network::window::Window;
use core::ops::Range;

/// Kernel rows at most.
const MOST_ROWS: usize = 7;
/// Runs at most: the padding before, the map, the padding behind.
const MOST_RUNS: usize = 3 * MOST_ROWS;
/// No dimension is larger than this, so that no product of two overflows 32 bits.
const LIMIT: usize = 1 << 15;
/// Channels of the padding: those that a kernel reads at once.
const MOST_CHANNELS: usize = 16;

/// Taps at one distance from each other.
#[derive(Clone, Copy)]
#[repr(C)]
pub struct Run {
    /// The first tap.
    pub first: *const u8,
    /// Bytes from tap to tap.
    pub step: usize,
    /// Taps, at least 1.
    pub count: usize,
    /// Bytes from this pixel's taps to the next one's.
    pub advance: usize,
}

/// Pixels whose taps are the same runs, each `advance` further.
#[repr(C)]
pub struct Pixels {
    /// In the order of the weights.
    pub runs: *mut Run,
    /// How many.
    pub run_count: usize,
    /// Pixels, at least 1.
    pub count: usize,
    /// Of the first tap and channel.
    pub weights: *const i8,
    /// Bytes from tap to tap.
    pub weight_step: usize,
    /// Of the first channel.
    pub bias: *const i32,
    /// Of the first channel.
    pub scale: *const f32,
    /// The first pixel's first channel.
    pub out: *mut u8,
    /// Bytes from pixel to pixel.
    pub out_step: usize,
    /// What the output may be, less the zero point.
    pub limits: [f32; 2],
    /// Added last.
    pub zero_point: u32,
}

/// A kernel for some channels of some pixels.
///
/// # Safety
/// All taps, weights and tables hold the kernel's channels, and so do the places of the output.
pub type PixelsFn = unsafe fn(&mut Pixels);

/// Kernels for channels that are next to each other: how many, and which.
pub type Kernels = [(usize, PixelsFn)];

/// As the portable kernel, but without the table. Of `kernels`, ordered by channels, the first that
/// fits does as many channels as it can, and so on; the last channels may overlap those before.
/// Returns `false`, and writes nothing, if there are fewer channels than the last kernel has, more
/// than seven kernel rows, a slice is too short or a size out of range.
#[inline(always)]
pub fn depthwise_u8(
    kernels: &Kernels,
    input: &View<'_, u8>,
    layer: &DepthwiseU8<'_>,
    output: &mut ViewMut<'_, u8>,
    rows: Range<usize>,
) -> bool {
    let least = kernels.last().map_or(usize::MAX, |(channels, _)| *channels);
    if input.channels < least || !fits(input, layer, output, &rows) {
        return false;
    }
    let padding = [layer.padding_value; MOST_CHANNELS];
    let mut work = Work { input, layer, output, padding: &padding, runs: Runs::new() };
    for y in rows {
        let mut channel = 0;
        while channel < input.channels {
            let left = input.channels - channel;
            let fitting = kernels.iter().find(|(channels, _)| left >= *channels);
            let Some((channels, kernel)) = fitting.or(kernels.last()) else { break };
            let first = channel.min(input.channels - channels);
            // SAFETY: `fits` has checked the slices; the channels exist.
            unsafe { work.row(y, first, *kernel) };
            channel = first + channels;
        }
    }
    true
}

fn fits(
    input: &View<'_, u8>,
    layer: &DepthwiseU8<'_>,
    output: &ViewMut<'_, u8>,
    rows: &Range<usize>,
) -> bool {
    let (channels, window) = (input.channels, &layer.window);
    let from = [input.height, input.width, channels, input.pixel_stride];
    let to = [output.height, output.width, channels, output.pixel_stride];
    let in_range = |values: [usize; 2]| values.iter().all(|value| (1..=LIMIT).contains(value));
    window.kernel[0] <= MOST_ROWS
        && in_range(window.kernel)
        && in_range(window.stride)
        && in_range(window.dilation)
        && window.padding.iter().all(|padding| *padding <= LIMIT)
        && [input.height, input.width, output.height].iter().all(|size| *size <= LIMIT)
        && output.width <= LIMIT
        && output.channels == channels
        && rows.end <= output.height
        && holds(input.data, from, 0)
        && holds(output.data, to, 0)
        && layer.weights.len() / channels.max(1) >= window.kernel[0] * window.kernel[1]
        && layer.bias.len() >= channels
        && layer.scale.len() >= channels
}

struct Work<'a, 'b> {
    input: &'a View<'a, u8>,
    layer: &'a DepthwiseU8<'a>,
    output: &'a mut ViewMut<'b, u8>,
    padding: &'a [u8; MOST_CHANNELS],
    runs: Runs,
}

impl Work<'_, '_> {
    /// Some channels of an output row.
    ///
    /// # Safety
    /// The layer fits, and the row and the kernel's channels from `channel` on exist.
    unsafe fn row(&mut self, y: usize, channel: usize, kernel: PixelsFn) {
        let (layer, width, step) = (self.layer, self.output.width, self.output.pixel_stride);
        let inner = inner(&layer.window, self.input.width, width);
        let out = self.output.data.as_mut_ptr().wrapping_add(y * width * step + channel);
        let mut x = 0;
        while x < width {
            let count = if inner.contains(&x) { inner.end - x } else { 1 };
            self.set_runs([y, x], channel);
            let mut pixels = Pixels {
                runs: self.runs.runs.as_mut_ptr(),
                run_count: self.runs.len,
                count,
                weights: layer.weights.as_ptr().wrapping_add(channel),
                weight_step: self.input.channels,
                bias: layer.bias.as_ptr().wrapping_add(channel),
                scale: layer.scale.as_ptr().wrapping_add(channel),
                out: out.wrapping_add(x * step),
                out_step: step,
                limits: layer.range.limits(),
                zero_point: u32::from(layer.range.zero_point),
            };
            // SAFETY: the caller's; runs lie within the map, or on the padding.
            unsafe { kernel(&mut pixels) };
            x += count;
        }
    }

    /// The runs of an output pixel.
    fn set_runs(&mut self, [y, x]: [usize; 2], channel: usize) {
        let (window, input, runs) = (&self.layer.window, self.input, &mut self.runs);
        runs.len = 0;
        let inside = inside(window, x, input.width);
        let columns = window.kernel[1];
        let step = window.dilation[1] * input.pixel_stride;
        let advance = window.stride[1] * input.pixel_stride;
        let padding = self.padding.as_ptr();
        let standing = |count| Run { first: padding, step: 0, count, advance: 0 };
        for tap in 0..window.kernel[0] {
            let Some(row) = window.input_row(y, tap, input.height) else {
                runs.push(standing(columns));
                continue;
            };
            runs.push(standing(inside.start));
            if let Some(column) = window.input_column(x, inside.start, input.width) {
                let start = (row * input.width + column) * input.pixel_stride + channel;
                let first = input.data.as_ptr().wrapping_add(start);
                runs.push(Run { first, step, count: inside.len(), advance });
            }
            runs.push(standing(columns - inside.end));
        }
    }
}

/// A pixel's runs.
struct Runs {
    runs: [Run; MOST_RUNS],
    len: usize,
}

impl Runs {
    const fn new() -> Self {
        let none = Run { first: core::ptr::null(), step: 0, count: 0, advance: 0 };
        Runs { runs: [none; MOST_RUNS], len: 0 }
    }

    fn push(&mut self, run: Run) {
        let Some(place) = self.runs.get_mut(self.len).filter(|_| run.count > 0) else { return };
        *place = run;
        self.len += 1;
    }
}

/// Steps of `step` that lead from 0 to `end` or beyond.
fn steps_to(end: usize, step: usize) -> usize {
    (end + step - 1).checked_div(step).unwrap_or(0)
}

/// The kernel columns that lie inside the map at output column `x`; where none do, all or none are
/// before it.
fn inside(window: &Window, x: usize, width: usize) -> Range<usize> {
    let (place, dilation, taps) = (x * window.stride[1], window.dilation[1], window.kernel[1]);
    let before = window.padding[1].saturating_sub(place);
    let end = (window.padding[1] + width).saturating_sub(place);
    let start = steps_to(before, dilation).min(taps);
    start..steps_to(end, dilation).clamp(start, taps.max(start))
}

/// The output columns all of whose taps lie inside the map.
fn inner(window: &Window, width: usize, columns: usize) -> Range<usize> {
    let reach = (window.kernel[1] - 1) * window.dilation[1];
    let start = steps_to(window.padding[1], window.stride[1]).min(columns);
    let end = (width + window.padding[1]).saturating_sub(reach);
    start..steps_to(end, window.stride[1]).clamp(start, columns)
}
