//! Convolutions of f32 maps as products: no patches are copied. The rows of the left operand are
//! read where they lie in the input, tap by tap; taps that meet only padding are skipped. Where
//! pixels have few channels, rows of the input are first copied between margins of zeros, so that
//! a whole kernel row is one run.

use super::activation_f32::Epilogue;
use super::gemm_f32::{self, LeftRows, Product, Segment, TileKernel, Weights, ZEROS};
use super::view::{View, ViewMut};
use super::window::Window;
use crate::math::pieces;
use core::ops::Range;

/// Channels of a group up to which rows are copied between margins.
const FEW_CHANNELS: usize = 64;
/// Output pixels that a copied slab serves at least.
const SLAB_PIXELS: usize = 96;

/// A convolution's numbers.
#[derive(Clone, Copy, Debug)]
pub struct Conv<'a> {
    /// The kernel's geometry.
    pub window: Window,
    /// Groups of channels; divides the input's and the output's.
    pub groups: usize,
    /// Packed weights of the groups, one after another ([`pack_conv_f32`]).
    pub weights: Weights<'a>,
    /// What is done to the sums.
    pub epilogue: Epilogue<'a>,
}

/// Packed length of a convolution's weights: output channels, input channels per group, taps.
pub const fn packed_conv_len(
    channels_out: usize,
    channels_in_per_group: usize,
    taps: usize,
    groups: usize,
) -> usize {
    let columns = match channels_out.checked_div(groups) {
        Some(columns) => columns,
        None => 0,
    };
    let depth = channels_in_per_group.saturating_mul(taps);
    gemm_f32::packed_len(columns, depth).saturating_mul(groups)
}

/// Packs weights from `[output channel][input channel of the group][tap]`, ONNX's order. False
/// where a slice is too short.
pub fn pack_conv_f32(
    weights: &[f32],
    channels_out: usize,
    channels_in_per_group: usize,
    taps: usize,
    groups: usize,
    packed: &mut [f32],
) -> bool {
    pack_conv(weights, [channels_out, channels_in_per_group, taps, groups], packed, |value| value)
}

/// As [`pack_conv_f32`], as bits of f16.
pub fn pack_conv_f16(
    weights: &[f32],
    channels_out: usize,
    channels_in_per_group: usize,
    taps: usize,
    groups: usize,
    packed: &mut [u16],
) -> bool {
    let convert = |value| half::f16::from_f32(value).to_bits();
    pack_conv(weights, [channels_out, channels_in_per_group, taps, groups], packed, convert)
}

fn pack_conv<T: Copy + Default>(
    weights: &[f32],
    [channels_out, channels, taps, groups]: [usize; 4],
    packed: &mut [T],
    convert: impl Fn(f32) -> T,
) -> bool {
    let Some(columns) = channels_out.checked_div(groups) else { return false };
    let depth = channels.saturating_mul(taps);
    let len = gemm_f32::packed_len(columns, depth);
    let row = |column: usize| weights.get(column.checked_mul(depth)?..)?.get(..depth);
    (0..groups).all(|group| {
        let Some(packed) = pieces::piece_mut(packed, group, len) else { return false };
        gemm_f32::pack(columns, depth, packed, |column, at| {
            let (tap, channel) = (at.checked_div(channels)?, at.checked_rem(channels)?);
            let row = row(group.checked_mul(columns)?.checked_add(column)?)?;
            row.get(channel.checked_mul(taps)?.checked_add(tap)?).copied().map(&convert)
        })
    })
}

/// Where the windows of consecutive output pixels lie in a map.
struct Windows {
    window: Window,
    height: usize,
    width: usize,
    channels: usize,
    pixel_stride: usize,
    first_row: usize,
    out_width: usize,
    /// Whether a whole kernel row is one run.
    whole_rows: bool,
}

impl LeftRows for Windows {
    fn run_len(&self) -> usize {
        let taps = if self.whole_rows { self.window.kernel[1] } else { 1 };
        self.channels.saturating_mul(taps)
    }

    fn offsets(&self, segment: Segment, first: usize, offsets: &mut [u32]) {
        let Window { kernel, stride, dilation, padding } = self.window;
        let run = self.run_len();
        let run_number = segment.start.checked_div(run).unwrap_or(0);
        let inside = segment.start.checked_rem(run).unwrap_or(0);
        let runs_per_row = if self.whole_rows { 1 } else { kernel[1] };
        let down = run_number.checked_div(runs_per_row).unwrap_or(0) * dilation[0];
        let right = run_number.checked_rem(runs_per_row).unwrap_or(0) * dilation[1];
        let mut row = first.checked_div(self.out_width).unwrap_or(0) + self.first_row;
        let mut column = first.checked_rem(self.out_width).unwrap_or(0);
        let mut rest = offsets;
        while !rest.is_empty() && self.out_width > 0 {
            let len = rest.len().min(self.out_width - column);
            let (places, others) = rest.split_at_mut_checked(len).unwrap_or_default();
            // Positions in the padding wrap to numbers beyond every map.
            let y = (row * stride[0] + down).wrapping_sub(padding[0]);
            let x = (column * stride[1] + right).wrapping_sub(padding[1]);
            self.locate(y, x, inside, places);
            (rest, row, column) = (others, row + 1, 0);
        }
    }
}

impl Windows {
    /// Offsets of positions in row `y` from `x` on, as far apart as windows are.
    fn locate(&self, y: usize, x: usize, inside: usize, places: &mut [u32]) {
        let step = self.window.stride[1];
        let last = x.wrapping_add(places.len().wrapping_sub(1).wrapping_mul(step));
        if y >= self.height {
            return places.fill(ZEROS);
        }
        let start = y * self.width * self.pixel_stride + inside;
        if x < self.width && last < self.width && last >= x {
            // Maps have fewer than 2^32 elements: `multiply` checks it.
            let mut offset = (start + x * self.pixel_stride) as u32;
            let step = (step * self.pixel_stride) as u32;
            for place in places {
                *place = offset;
                offset = offset.wrapping_add(step);
            }
            return;
        }
        let mut x = x;
        for place in places {
            let offset = start.wrapping_add(x.wrapping_mul(self.pixel_stride));
            *place = if x < self.width { offset as u32 } else { ZEROS };
            x = x.wrapping_add(step);
        }
    }
}

/// Whether no window reaches over the left or right end of the input.
fn inside_columns(window: &Window, width: usize, out_width: usize) -> bool {
    window.padding[1] == 0 && window.span(1, out_width) <= width
}

/// Whether rows are copied between margins first.
const fn copies(window: &Window, channels_in_per_group: usize) -> bool {
    let one_tap = window.kernel[1] == 1;
    channels_in_per_group <= FEW_CHANNELS && window.dilation[1] == 1 && !one_tap
}

/// Output rows that a copied slab serves.
const fn slab_rows(out_width: usize) -> usize {
    match SLAB_PIXELS.checked_div(out_width) {
        Some(rows) => rows + 1,
        None => 1,
    }
}

/// Elements of scratch that [`conv_f32`] needs.
pub const fn conv_f32_scratch_len(
    window: &Window,
    channels_in_per_group: usize,
    out_width: usize,
) -> usize {
    let pixels = if copies(window, channels_in_per_group) {
        let rows = window.span(0, slab_rows(out_width));
        rows.saturating_mul(window.span(1, out_width))
    } else {
        window.kernel[1]
    };
    pixels.saturating_mul(channels_in_per_group)
}

/// Convolution: makes the given rows of `out`. False, with nothing written, where a slice is too
/// short or the channels do not divide into groups.
pub fn conv_f32(
    kernel: &TileKernel,
    conv: &Conv<'_>,
    input: &View<'_, f32>,
    out: &mut ViewMut<'_, f32>,
    rows: Range<usize>,
    scratch: &mut [f32],
) -> bool {
    let channels = input.channels.checked_div(conv.groups).unwrap_or(0);
    let columns = out.channels.checked_div(conv.groups).unwrap_or(0);
    let taps = conv.window.kernel[0].saturating_mul(conv.window.kernel[1]);
    let weights_len = gemm_f32::packed_len(columns, channels.saturating_mul(taps));
    let fits = channels.saturating_mul(conv.groups) == input.channels
        && columns.saturating_mul(conv.groups) == out.channels
        && rows.end <= out.height
        && input.fits()
        && out.fits()
        && conv.weights.len() >= weights_len.saturating_mul(conv.groups)
        && scratch.len() >= conv_f32_scratch_len(&conv.window, channels, out.width);
    if !fits || rows.is_empty() || out.width == 0 {
        return fits;
    }
    (0..conv.groups).all(|group| {
        let first_out = group.saturating_mul(columns);
        let work = Work {
            kernel,
            window: conv.window,
            product: Product {
                left: input.data.get(group.saturating_mul(channels)..).unwrap_or_default(),
                zeros: &[],
                rows: 0,
                depth: channels.saturating_mul(taps),
                columns,
                weights: conv.weights.from(group.saturating_mul(weights_len)),
                epilogue: conv.epilogue.from(0, first_out),
            },
            input: *input,
            channels,
            out_width: out.width,
            out_stride: out.pixel_stride,
        };
        work.run(rows.clone(), out.data.get_mut(first_out..).unwrap_or_default(), scratch)
    })
}

/// The convolution of a group.
struct Work<'a> {
    kernel: &'a TileKernel,
    window: Window,
    product: Product<'a>,
    input: View<'a, f32>,
    channels: usize,
    out_width: usize,
    out_stride: usize,
}

impl Work<'_> {
    fn run(&self, rows: Range<usize>, out: &mut [f32], scratch: &mut [f32]) -> bool {
        let whole_rows = self.whole_rows();
        if whole_rows || !copies(&self.window, self.channels) {
            return self.in_place(rows, whole_rows, out, scratch);
        }
        let mut first = rows.start;
        while first < rows.end {
            let end = rows.end.min(first + slab_rows(self.out_width));
            if !self.by_slab(first..end, out, scratch) {
                return false;
            }
            first = end;
        }
        true
    }

    /// Whether a whole kernel row is one run of the input as it is.
    fn whole_rows(&self) -> bool {
        self.window.dilation[1] == 1
            && self.input.pixel_stride == self.channels
            && inside_columns(&self.window, self.input.width, self.out_width)
    }

    /// Multiplies windows of `left`; the rows' epilogue and places are those of the map.
    fn multiply(
        &self,
        windows: &Windows,
        left: &[f32],
        zeros: &[f32],
        rows: Range<usize>,
        out: &mut [f32],
    ) -> bool {
        let first = rows.start.saturating_mul(self.out_width);
        let product = Product {
            left,
            zeros,
            rows: rows.len().saturating_mul(self.out_width),
            epilogue: self.product.epilogue.from(first, 0),
            ..self.product
        };
        let out = out.get_mut(first.saturating_mul(self.out_stride)..).unwrap_or_default();
        gemm_f32::multiply(self.kernel, windows, &product, out, self.out_stride)
    }

    fn in_place(
        &self,
        rows: Range<usize>,
        whole_rows: bool,
        out: &mut [f32],
        scratch: &mut [f32],
    ) -> bool {
        let windows = Windows {
            window: self.window,
            height: self.input.height,
            width: self.input.width,
            channels: self.channels,
            pixel_stride: self.input.pixel_stride,
            first_row: rows.start,
            out_width: self.out_width,
            whole_rows,
        };
        // Whole rows meet zeros above and below the input only, and are as long as the slab's.
        let Some(zeros) = scratch.get_mut(..windows.run_len()) else { return false };
        zeros.fill(0.0);
        self.multiply(&windows, self.product.left, zeros, rows, out)
    }

    /// Copies the rows of the input that some output rows need between margins of zeros.
    fn by_slab(&self, rows: Range<usize>, out: &mut [f32], scratch: &mut [f32]) -> bool {
        let width = self.window.span(1, self.out_width);
        let height = self.window.span(0, rows.len());
        let len = width.saturating_mul(self.channels);
        let Some(slab) = scratch.get_mut(..height.saturating_mul(len)) else { return false };
        let top = rows.start.saturating_mul(self.window.stride[0]);
        for (down, line) in pieces::pieces_mut(slab, len).enumerate() {
            let row = (top + down).wrapping_sub(self.window.padding[0]);
            self.copy_row(row, line);
        }
        let window = Window { padding: [0, 0], ..self.window };
        let windows = Windows {
            window,
            height,
            width,
            channels: self.channels,
            pixel_stride: self.channels,
            first_row: 0,
            out_width: self.out_width,
            whole_rows: true,
        };
        self.multiply(&windows, slab, &[], rows, out)
    }

    /// A row of the input between margins; zeros where there is no such row.
    fn copy_row(&self, row: usize, line: &mut [f32]) {
        if row >= self.input.height {
            return line.fill(0.0);
        }
        let stride = self.input.pixel_stride;
        let margin = self.window.padding[1].saturating_mul(self.channels).min(line.len());
        let (left, rest) = line.split_at_mut_checked(margin).unwrap_or_default();
        left.fill(0.0);
        let inside = self.input.width.saturating_mul(self.channels).min(rest.len());
        let (places, right) = rest.split_at_mut_checked(inside).unwrap_or_default();
        right.fill(0.0);
        let first = row.saturating_mul(self.input.width).saturating_mul(stride);
        let from = self.product.left.get(first..).unwrap_or_default();
        if stride == self.channels {
            return pieces::copy(places, from);
        }
        for (index, place) in pieces::pieces_mut(places, self.channels).enumerate() {
            pieces::copy(place, from.get(index.saturating_mul(stride)..).unwrap_or_default());
        }
    }
}

#[cfg(test)]
mod tests;
