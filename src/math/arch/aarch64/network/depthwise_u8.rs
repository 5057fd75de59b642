//! Depthwise convolution of bytes: four pixels of 16 or 8 channels at a time, in 32-bit sums of
//! 16-bit products.
//!
//! Where channels are no multiple of the vectors, the last vector overlaps the one before, so that
//! nothing is read or written beside the pixels. Taps outside the map read a vector of padding.

use super::lanes::{Bytes128, Floats128};
use crate::math::network::depthwise_u8::DepthwiseU8;
use crate::math::network::spans::holds;
use crate::math::network::vector::{ByteLanes, FloatLanes};
use crate::math::network::view::{View, ViewMut};
use core::arch::aarch64::*;
use core::ops::Range;

/// Kernel rows and columns at most.
const MOST_TAPS: usize = 15;
/// No dimension is larger than this, so that no product of four overflows.
const LIMIT: usize = 1 << 15;
/// Channels of half a vector.
const HALF: usize = 8;
/// Pixels that share weights.
const PIXELS: usize = 4;

/// As the portable kernel. Returns `false`, and writes nothing, if there are fewer than 8 channels,
/// a slice is too short or a size out of range.
pub fn depthwise_u8(
    input: &View<'_, u8>,
    layer: &DepthwiseU8<'_>,
    output: &mut ViewMut<'_, u8>,
    rows: Range<usize>,
    _scratch: &mut [u8],
) -> bool {
    if input.channels < HALF || !fits(input, layer, output, &rows) {
        return false;
    }
    let work = Work {
        input,
        layer,
        padding: [layer.padding_value; 16],
        range: Bytes128::range(layer.range),
        table: layer.table.map(Bytes128::table),
    };
    for y in rows {
        let mut channel = 0;
        while channel < input.channels {
            let left = input.channels - channel;
            // SAFETY: `fits` has checked the slices; the channels exist.
            unsafe {
                if left > HALF && input.channels >= 2 * HALF {
                    work.row::<2>(y, channel.min(input.channels - 2 * HALF), output);
                    channel += 2 * HALF;
                } else {
                    work.row::<1>(y, channel.min(input.channels - HALF), output);
                    channel += HALF;
                }
            }
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
    let in_range = |values: [usize; 2], most: usize| values.iter().all(|v| (1..=most).contains(v));
    in_range(window.kernel, MOST_TAPS)
        && in_range(window.stride, LIMIT)
        && in_range(window.dilation, LIMIT)
        && window.padding.iter().all(|padding| *padding <= LIMIT)
        && [input.height, input.width, output.height].iter().all(|size| *size <= LIMIT)
        && output.width <= LIMIT
        && output.channels == channels
        && rows.end <= output.height
        && holds(input.data, from, 0)
        && holds(output.data, to, 0)
        && layer.weights.len() >= window.kernel[0] * window.kernel[1] * channels
        && layer.bias.len() >= channels
        && layer.scale.len() >= channels
}

/// Values of `HALVES` times eight channels.
type Values<const HALVES: usize> = [int16x8_t; HALVES];
/// Their sums.
type Sums<const HALVES: usize> = [[int32x4_t; 2]; HALVES];

struct Work<'a> {
    input: &'a View<'a, u8>,
    layer: &'a DepthwiseU8<'a>,
    /// What stands outside the map.
    padding: [u8; 16],
    range: <Bytes128 as ByteLanes>::Range,
    table: Option<<Bytes128 as ByteLanes>::Table>,
}

/// A row of taps: where the input column -padding would be, or the padding, which stands still.
#[derive(Clone, Copy)]
struct Line {
    start: *const u8,
    moves: bool,
}

/// Some channels of an output row.
struct RowOf {
    lines: [Line; MOST_TAPS],
    channel: usize,
    /// Where the first pixel goes.
    out: *mut u8,
}

impl Work<'_> {
    /// Some channels of an output row.
    ///
    /// # Safety
    /// The layer fits, and the row and `8 * HALVES` channels from `channel` on exist.
    #[inline(never)]
    unsafe fn row<const HALVES: usize>(
        &self,
        y: usize,
        channel: usize,
        output: &mut ViewMut<'_, u8>,
    ) {
        let (window, width) = (&self.layer.window, output.width);
        let out = y * width * output.pixel_stride + channel;
        let row = RowOf {
            lines: self.lines(y, channel),
            channel,
            out: output.data.as_mut_ptr().wrapping_add(out),
        };
        let inner = self.inner(width);
        let mut x = 0;
        while x < width {
            let sums_of_four = inner.contains(&x) && inner.len() >= PIXELS;
            if sums_of_four {
                // The last four overlap those before.
                x = x.min(inner.end - PIXELS);
            }
            // SAFETY: the caller's; all taps of pixels of `inner` lie inside the input's columns.
            unsafe {
                if sums_of_four {
                    let sums = match (window.kernel[1], window.stride[1], window.dilation[1]) {
                        (3, 1, 1) => self.shared::<HALVES, 3, 1>(&row, x),
                        (3, 2, 1) => self.shared::<HALVES, 3, 2>(&row, x),
                        (5, 1, 1) => self.shared::<HALVES, 5, 1>(&row, x),
                        (5, 2, 1) => self.shared::<HALVES, 5, 2>(&row, x),
                        _ => self.apart::<HALVES>(&row, x),
                    };
                    for (pixel, sums) in (x..).zip(sums) {
                        self.finish(sums, &row, pixel * output.pixel_stride);
                    }
                } else {
                    let sums = self.single::<HALVES>(&row, x);
                    self.finish(sums, &row, x * output.pixel_stride);
                }
            }
            x += if sums_of_four { PIXELS } else { 1 };
        }
    }

    /// The rows of taps that an output row meets.
    #[inline(always)]
    fn lines(&self, y: usize, channel: usize) -> [Line; MOST_TAPS] {
        let (input, window) = (self.input, &self.layer.window);
        let mut lines = [Line { start: self.padding.as_ptr(), moves: false }; MOST_TAPS];
        for (tap, line) in lines.iter_mut().enumerate().take(window.kernel[0]) {
            if let Some(row) = window.input_row(y, tap, input.height) {
                let pixel = (row * input.width).wrapping_sub(window.padding[1]);
                let at = pixel.wrapping_mul(input.pixel_stride).wrapping_add(channel);
                *line = Line { start: input.data.as_ptr().wrapping_add(at), moves: true };
            }
        }
        lines
    }

    /// The output columns all of whose taps lie inside the input's columns.
    #[inline(always)]
    fn inner(&self, width: usize) -> Range<usize> {
        let window = &self.layer.window;
        // `fits` has checked that the stride is not 0.
        let (stride, [_, padding]) = (window.stride[1].max(1), window.padding);
        let last = (window.kernel[1] - 1) * window.dilation[1];
        let start = padding.div_ceil(stride).min(width);
        let end = (self.input.width + padding).saturating_sub(last).div_ceil(stride).min(width);
        start..end.max(start)
    }

    /// The biases.
    ///
    /// # Safety
    /// The layer has the channels.
    #[inline(always)]
    unsafe fn biases<const HALVES: usize>(&self, channel: usize) -> Sums<HALVES> {
        // SAFETY: the caller's.
        unsafe {
            let mut sums = [[vdupq_n_s32(0); 2]; HALVES];
            for (half, sums) in sums.iter_mut().enumerate() {
                let bias = self.layer.bias.as_ptr().add(channel + half * HALF);
                *sums = [vld1q_s32(bias), vld1q_s32(bias.add(4))];
            }
            sums
        }
    }

    /// Sums of [`PIXELS`] pixels, `K` taps wide and `STRIDE` apart, which meet up to 11 columns.
    /// Columns are written out, since sums stay in registers only where no loop is left.
    ///
    /// # Safety
    /// As for [`Work::row`]; all taps lie inside the input's columns.
    #[inline(always)]
    unsafe fn shared<const HALVES: usize, const K: usize, const STRIDE: usize>(
        &self,
        row: &RowOf,
        x: usize,
    ) -> [Sums<HALVES>; PIXELS] {
        let (kernel_rows, channels) = (self.layer.window.kernel[0], self.input.channels);
        // SAFETY: the caller's.
        unsafe {
            let mut sums = [self.biases::<HALVES>(row.channel); PIXELS];
            let mut weights = self.layer.weights.as_ptr().add(row.channel);
            for line in row.lines.iter().take(kernel_rows) {
                let mut filters = [[vdupq_n_s16(0); HALVES]; K];
                for filter in &mut filters {
                    *filter = read_weights::<HALVES>(weights);
                    weights = weights.wrapping_add(channels);
                }
                let step = if line.moves { self.input.pixel_stride } else { 0 };
                let from = line.start.wrapping_add(x * STRIDE * step);
                let mut column = Column { from, step, filters };
                column.add::<STRIDE, 0>(&mut sums);
                column.add::<STRIDE, 1>(&mut sums);
                column.add::<STRIDE, 2>(&mut sums);
                column.add::<STRIDE, 3>(&mut sums);
                column.add::<STRIDE, 4>(&mut sums);
                column.add::<STRIDE, 5>(&mut sums);
                column.add::<STRIDE, 6>(&mut sums);
                column.add::<STRIDE, 7>(&mut sums);
                column.add::<STRIDE, 8>(&mut sums);
                column.add::<STRIDE, 9>(&mut sums);
                column.add::<STRIDE, 10>(&mut sums);
            }
            sums
        }
    }

    /// Sums of [`PIXELS`] pixels.
    ///
    /// # Safety
    /// As for [`Work::shared`].
    #[inline(always)]
    unsafe fn apart<const HALVES: usize>(&self, row: &RowOf, x: usize) -> [Sums<HALVES>; PIXELS] {
        let (window, channels) = (&self.layer.window, self.input.channels);
        // SAFETY: the caller's.
        unsafe {
            let mut sums = [self.biases::<HALVES>(row.channel); PIXELS];
            let mut weights = self.layer.weights.as_ptr().add(row.channel);
            for line in row.lines.iter().take(window.kernel[0]) {
                let step = if line.moves { self.input.pixel_stride } else { 0 };
                let mut from = line.start.wrapping_add(x * window.stride[1] * step);
                for _ in 0..window.kernel[1] {
                    let filter = read_weights::<HALVES>(weights);
                    for (pixel, sums) in sums.iter_mut().enumerate() {
                        let from = from.wrapping_add(pixel * window.stride[1] * step);
                        add_products(sums, read_values::<HALVES>(from), filter);
                    }
                    weights = weights.wrapping_add(channels);
                    from = from.wrapping_add(window.dilation[1] * step);
                }
            }
            sums
        }
    }

    /// Sums of a pixel at any place.
    ///
    /// # Safety
    /// As for [`Work::row`].
    #[inline(always)]
    unsafe fn single<const HALVES: usize>(&self, row: &RowOf, x: usize) -> Sums<HALVES> {
        let (window, channels) = (&self.layer.window, self.input.channels);
        // SAFETY: the caller's.
        unsafe {
            let mut sums = self.biases::<HALVES>(row.channel);
            let mut weights = self.layer.weights.as_ptr().add(row.channel);
            for line in row.lines.iter().take(window.kernel[0]) {
                for tap in 0..window.kernel[1] {
                    let column = window.input_column(x, tap, self.input.width);
                    let from = match column.filter(|_| line.moves) {
                        Some(column) => {
                            let column = column.wrapping_add(window.padding[1]);
                            line.start.wrapping_add(column.wrapping_mul(self.input.pixel_stride))
                        }
                        None => self.padding.as_ptr(),
                    };
                    let filter = read_weights::<HALVES>(weights);
                    add_products(&mut sums, read_values::<HALVES>(from), filter);
                    weights = weights.wrapping_add(channels);
                }
            }
            sums
        }
    }

    /// Writes a pixel, `place` bytes after the row's first.
    ///
    /// # Safety
    /// As for [`Work::row`].
    #[inline(always)]
    unsafe fn finish<const HALVES: usize>(&self, sums: Sums<HALVES>, row: &RowOf, place: usize) {
        let mut steps = [Floats128::splat(0.0); 4];
        let scales = self.layer.scale.as_ptr().wrapping_add(row.channel);
        for ((index, step), sums) in steps.iter_mut().enumerate().zip(sums.as_flattened()) {
            // SAFETY: the layer has the channels.
            *step = unsafe {
                let scales = Floats128(vld1q_f32(scales.add(4 * index)));
                Floats128(vcvtq_f32_s32(*sums)).mul(scales)
            };
        }
        let mut bytes = Bytes128::quantize(steps, &self.range);
        if let Some(table) = &self.table {
            bytes = bytes.look_up(table);
        }
        let to = row.out.wrapping_add(place);
        // SAFETY: the caller's.
        unsafe {
            match HALVES {
                1 => vst1_u8(to, vget_low_u8(bytes.0)),
                _ => vst1q_u8(to, bytes.0),
            }
        }
    }
}

/// The input along a row of taps, and the taps' weights.
struct Column<const HALVES: usize, const K: usize> {
    from: *const u8,
    step: usize,
    filters: [Values<HALVES>; K],
}

impl<const HALVES: usize, const K: usize> Column<HALVES, K> {
    /// Adds what column `COLUMN` gives the pixels, if any meets it, and moves on.
    ///
    /// # Safety
    /// The column is readable if a pixel meets it.
    #[inline(always)]
    unsafe fn add<const STRIDE: usize, const COLUMN: usize>(
        &mut self,
        sums: &mut [Sums<HALVES>; PIXELS],
    ) {
        if COLUMN >= (PIXELS - 1) * STRIDE + K {
            return;
        }
        // SAFETY: the caller's.
        let values = unsafe { read_values::<HALVES>(self.from) };
        self.from = self.from.wrapping_add(self.step);
        for (pixel, sums) in sums.iter_mut().enumerate() {
            if let Some(filter) = self.filters.get(COLUMN.wrapping_sub(pixel * STRIDE)) {
                add_products(sums, values, *filter);
            }
        }
    }
}

/// Values widened to 16 bits.
///
/// # Safety
/// They are readable.
#[inline(always)]
unsafe fn read_values<const HALVES: usize>(from: *const u8) -> Values<HALVES> {
    let mut values = [zeros(); HALVES];
    // SAFETY: the caller's.
    unsafe {
        match values.as_mut_slice() {
            [low, high] => {
                let bytes = vld1q_u8(from);
                *low = vreinterpretq_s16_u16(vmovl_u8(vget_low_u8(bytes)));
                *high = vreinterpretq_s16_u16(vmovl_high_u8(bytes));
            }
            [only] => *only = vreinterpretq_s16_u16(vmovl_u8(vld1_u8(from))),
            _ => {}
        }
    }
    values
}

/// Weights widened to 16 bits.
///
/// # Safety
/// They are readable.
#[inline(always)]
unsafe fn read_weights<const HALVES: usize>(from: *const i8) -> Values<HALVES> {
    let mut values = [zeros(); HALVES];
    // SAFETY: the caller's.
    unsafe {
        match values.as_mut_slice() {
            [low, high] => {
                let bytes = vld1q_s8(from);
                *low = vmovl_s8(vget_low_s8(bytes));
                *high = vmovl_high_s8(bytes);
            }
            [only] => *only = vmovl_s8(vld1_s8(from)),
            _ => {}
        }
    }
    values
}

#[inline(always)]
fn zeros() -> int16x8_t {
    // SAFETY: every processor that runs this has NEON.
    unsafe { vdupq_n_s16(0) }
}

#[inline(always)]
fn add_products<const HALVES: usize>(
    sums: &mut Sums<HALVES>,
    values: Values<HALVES>,
    weights: Values<HALVES>,
) {
    for ((sums, values), weights) in sums.iter_mut().zip(values).zip(weights) {
        let [low, high] = sums;
        // SAFETY: every processor that runs this has NEON.
        unsafe {
            *low = vmlal_s16(*low, vget_low_s16(values), vget_low_s16(weights));
            *high = vmlal_high_s16(*high, values, weights);
        }
    }
}
