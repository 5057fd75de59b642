//! Convolutions of u8 maps with s8 weights, as products over gathered input.

use super::conv_gather::Gather;
use super::conv_shape::{ConvDepth, ConvShape, MAX_SIDE};
use super::gemm_out::{GemmOut, Places, Requantize, Residual};
use super::gemm_pack::packed_gemm_i8_len;
use super::gemm_u8::{BLOCK_COLUMNS, GemmU8, GemmU8Fn, PackedI8, RowsU8};
use super::view::{View, ViewMut};
use crate::math::pieces::pieces;
use core::ops::Range;
use core::slice::from_ref;
use zerocopy::FromBytes;

/// Bytes behind the gathered rows that kernels may read.
const READ_SLACK: usize = 64;
/// Gathered pixels are a multiple of this where there is room: a multiple of all kernels' rows.
const PIXEL_STEP: usize = 96;
/// Beyond this many times [`PIXEL_STEP`] speed no longer grows.
const MAX_STEPS: usize = 16;
/// Most kernel rows of a convolution whose taps are skipped.
const MAX_SEGMENTS: usize = 16;

/// A convolution's numbers. Tables "per column" are `[group][columns padded to 16]`.
#[derive(Clone, Copy, Debug)]
pub struct ConvU8<'a> {
    /// Geometry.
    pub shape: ConvShape,
    /// As `pack_conv_i8` writes them.
    pub weights: &'a [i8],
    /// The step that they were packed with: 4, or 64 for matrix units.
    pub depth_step: usize,
    /// Per column: the layer's bias less `input_zero_point * sum of the column's weights`.
    pub bias: &'a [i32],
    /// As `tap_sums_i8` writes them, or empty: then taps in the padding are not skipped.
    pub tap_sums: &'a [i32],
    /// What the padding holds.
    pub input_zero_point: u8,
}

/// Where a convolution's result goes. Scales and biases are per column.
#[derive(Debug)]
pub enum ConvOut<'a> {
    /// Requantised.
    U8 {
        /// Written.
        map: ViewMut<'a, u8>,
        /// Applied to the sums.
        requantize: Requantize<'a>,
        /// Then added. Its places are uniform over all pixels of a map as large as the output.
        residual: Option<Residual<'a>>,
    },
    /// Dequantised.
    F32 {
        /// Written.
        map: ViewMut<'a, f32>,
        /// Factors on the sums.
        scale: &'a [f32],
        /// Added last.
        bias: &'a [f32],
    },
}

/// Bytes of scratch with which `pixels` output pixels are gathered at a time. Any number from 1 on
/// works, see [`conv_u8_pixels`]; the result is the same. None are needed for 1x1 kernels of stride
/// 1 without padding.
pub const fn conv_u8_scratch_len(shape: &ConvShape, depth_step: usize, pixels: usize) -> usize {
    if shape.is_direct() {
        return 0;
    }
    let bias = shape.columns.next_multiple_of(BLOCK_COLUMNS).saturating_mul(size_of::<i32>());
    let rows = shape.depth(depth_step).row_stride().saturating_mul(pixels);
    bias.saturating_add(rows).saturating_add(READ_SLACK)
}

/// Output pixels to gather at a time for speed, where `budget_bytes` (about half of a second-level
/// cache) may be spent on them; at least 96, at most 1536.
pub const fn conv_u8_pixels(shape: &ConvShape, depth_step: usize, budget_bytes: usize) -> usize {
    let Some(pixels) = budget_bytes.checked_div(shape.depth(depth_step).row_stride()) else {
        return PIXEL_STEP;
    };
    let steps = pixels / PIXEL_STEP;
    PIXEL_STEP
        * if steps < 1 {
            1
        } else if steps > MAX_STEPS {
            MAX_STEPS
        } else {
            steps
        }
}

/// Output rows `rows` of a convolution, by `gemm`. `scratch` is 4-byte aligned and has
/// [`conv_u8_scratch_len`] bytes. Cost: the product's, plus one copy of each input byte per tap.
/// Returns false when fields disagree or a slice is too short; the output is then unspecified.
pub fn conv_u8(
    conv: &ConvU8<'_>,
    gemm: GemmU8Fn,
    input: View<'_, u8>,
    out: &mut ConvOut<'_>,
    rows: Range<usize>,
    scratch: &mut [u8],
) -> bool {
    let [height, width, ..] = out.sides();
    let rows = rows.start.min(height)..rows.end.min(height);
    if !conv.is_valid(&input, out) {
        return false;
    }
    if rows.is_empty() || width == 0 {
        return true;
    }
    let depth = conv.shape.depth(conv.depth_step);
    (0..conv.shape.groups).all(|index| {
        let Some(group) = Group::new(conv, depth, gemm, input, index) else { return false };
        match conv.shape.is_direct() {
            true => group.direct(out, rows.clone()),
            false => group.gathered(out, rows.clone(), scratch),
        }
    })
}

impl ConvU8<'_> {
    fn is_valid(&self, input: &View<'_, u8>, out: &ConvOut<'_>) -> bool {
        let shape = &self.shape;
        let channels = shape.channels.checked_mul(shape.groups);
        let columns = shape.columns.checked_mul(shape.groups);
        let [height, width, out_channels, out_stride] = out.sides();
        let sides = [input.height, input.width, input.pixel_stride, height, width, out_stride];
        shape.is_valid()
            && channels == Some(input.channels)
            && columns == Some(out_channels)
            && input.channels <= input.pixel_stride
            && out_channels <= out_stride
            && sides.iter().all(|side| *side <= MAX_SIDE)
    }
}

impl ConvOut<'_> {
    /// Height, width, channels, pixel stride.
    fn sides(&self) -> [usize; 4] {
        match self {
            ConvOut::U8 { map, .. } => [map.height, map.width, map.channels, map.pixel_stride],
            ConvOut::F32 { map, .. } => [map.height, map.width, map.channels, map.pixel_stride],
        }
    }

    /// The part that starts at a pixel, of one group's channels. `places` gives the run.
    fn part(&mut self, pixel: usize, columns: Range<usize>, places: Places) -> Option<GemmOut<'_>> {
        let padded = columns.len().next_multiple_of(BLOCK_COLUMNS);
        let group = columns.start.checked_div(columns.len()).unwrap_or(0);
        let table = group * padded..(group + 1) * padded;
        match self {
            ConvOut::U8 { map, requantize, residual } => {
                let start = pixel.checked_mul(map.pixel_stride)? + columns.start;
                let residual = match residual {
                    None => None,
                    Some(residual) => Some(part_of(residual, pixel, columns.start, places)?),
                };
                let requantize = Requantize { scale: requantize.scale.get(table)?, ..*requantize };
                Some(GemmOut::U8 { data: map.data.get_mut(start..)?, places, requantize, residual })
            }
            ConvOut::F32 { map, scale, bias } => {
                let start = pixel.checked_mul(map.pixel_stride)? + columns.start;
                let data = map.data.get_mut(start..)?;
                let (scale, bias) = (scale.get(table.clone())?, bias.get(table)?);
                Some(GemmOut::F32 { data, places, scale, bias })
            }
        }
    }
}

fn part_of<'a>(
    residual: &Residual<'a>,
    pixel: usize,
    column: usize,
    places: Places,
) -> Option<Residual<'a>> {
    let stride = residual.places.stride;
    let start = pixel.checked_mul(stride)?.checked_add(column)?;
    let width = places.run_stride.checked_div(places.stride).unwrap_or(0);
    let places = Places { stride, run: places.run, run_stride: width.checked_mul(stride)? };
    Some(Residual { data: residual.data.get(start..)?, places, ..*residual })
}

/// One group of a convolution.
struct Group<'a> {
    shape: &'a ConvShape,
    gemm: GemmU8Fn,
    depth: ConvDepth,
    right: PackedI8<'a>,
    bias: &'a [i32],
    tap_sums: &'a [i32],
    zero_point: u8,
    input: View<'a, u8>,
    columns: Range<usize>,
}

/// Output pixels with the same taps in the input.
struct Area {
    ys: Range<usize>,
    xs: Range<usize>,
    taps: [Range<usize>; 2],
}

impl<'a> Group<'a> {
    fn new(
        conv: &'a ConvU8<'a>,
        depth: ConvDepth,
        gemm: GemmU8Fn,
        input: View<'a, u8>,
        index: usize,
    ) -> Option<Self> {
        let shape = &conv.shape;
        let len = packed_gemm_i8_len(shape.columns, depth.depth_padded);
        let data = conv.weights.get(index.checked_mul(len)?..)?.get(..len)?;
        let right = PackedI8 {
            data,
            columns: shape.columns,
            depth: depth.depth,
            depth_padded: depth.depth_padded,
        };
        let padded = shape.columns.next_multiple_of(BLOCK_COLUMNS);
        let bias = conv.bias.get(index.checked_mul(padded)?..)?.get(..padded)?;
        let sums_len = depth.chunks.checked_mul(padded)?;
        let tap_sums = match conv.tap_sums {
            [] => &[],
            sums => sums.get(index.checked_mul(sums_len)?..)?.get(..sums_len)?,
        };
        let data = input.data.get(index.checked_mul(shape.channels)?..)?;
        let input = View { data, channels: shape.channels, ..input };
        let columns = index * shape.columns..(index + 1) * shape.columns;
        let zero_point = conv.input_zero_point;
        Some(Group { shape, gemm, depth, right, bias, tap_sums, zero_point, input, columns })
    }

    /// 1x1 kernels read the map in place.
    fn direct(&self, out: &mut ConvOut<'_>, rows: Range<usize>) -> bool {
        let [_, width, _, out_stride] = out.sides();
        if rows.end > self.input.height || width != self.input.width {
            return false;
        }
        let pixel = rows.start * width;
        let start = pixel * self.input.pixel_stride;
        let Some(data) = self.input.data.get(start..) else { return false };
        let left = RowsU8 { data, stride: self.input.pixel_stride, rows: rows.len() * width };
        let places = Places { run_stride: width * out_stride, ..Places::uniform(out_stride) };
        let whole = 0..self.depth.depth;
        self.multiply(left, self.bias, from_ref(&whole), out, pixel, places)
    }

    fn gathered(&self, out: &mut ConvOut<'_>, rows: Range<usize>, scratch: &mut [u8]) -> bool {
        let [_, width, ..] = out.sides();
        let padded = self.columns.len().next_multiple_of(BLOCK_COLUMNS);
        let Ok((bias, panel)) = <[i32]>::mut_from_prefix_with_elems(scratch, padded) else {
            return false;
        };
        let room = panel.len().saturating_sub(READ_SLACK);
        let pixels = room.checked_div(self.depth.row_stride()).unwrap_or(0);
        let pixels = if pixels < PIXEL_STEP { pixels } else { pixels / PIXEL_STEP * PIXEL_STEP };
        if pixels == 0 {
            return false;
        }
        let skips = !self.tap_sums.is_empty() && self.shape.kernel[0] <= MAX_SEGMENTS;
        let mut y = rows.start;
        while y < rows.end {
            let (end_y, vertical) = self.span(skips, 0, y..rows.end, self.input.height);
            let mut x = 0;
            while x < width {
                let (end_x, horizontal) = self.span(skips, 1, x..width, self.input.width);
                let taps = [vertical.clone(), horizontal];
                let area = Area { ys: y..end_y, xs: x..end_x, taps };
                if !self.area(&area, pixels, bias, panel, out) {
                    return false;
                }
                x = end_x;
            }
            y = end_y;
        }
        true
    }

    fn span(
        &self,
        skips: bool,
        axis: usize,
        range: Range<usize>,
        size: usize,
    ) -> (usize, Range<usize>) {
        let all = self.shape.kernel.get(axis).copied().unwrap_or(1);
        match skips {
            true => self.shape.span(axis, range, size),
            false => (range.end, 0..all),
        }
    }

    /// Blocks of at most `pixels` output pixels. Whole rows of the map are cut anywhere; of a
    /// narrower area whole rows, or parts of one, are taken.
    fn area(
        &self,
        area: &Area,
        pixels: usize,
        bias: &mut [i32],
        panel: &mut [u8],
        out: &mut ConvOut<'_>,
    ) -> bool {
        let [_, map_width, _, out_stride] = out.sides();
        let bias = self.corrected_bias(area, bias);
        let mut segments = [const { 0..0 }; MAX_SEGMENTS];
        let segments = self.segments(area, &mut segments);
        let width = area.xs.len();
        let whole = width == map_width;
        let count = width * area.ys.len();
        let rows = pixels.checked_div(width).unwrap_or(0);
        let step = if whole || rows == 0 { pixels } else { rows * width };
        let mut first = 0;
        while first < count {
            let (y, x) = (first / width.max(1), first % width.max(1));
            let row_rest = if whole || step >= width { count - first } else { width - x };
            let taken = row_rest.min(step);
            self.gather(area, first..first + taken, panel);
            let data: &[u8] = panel;
            let left = RowsU8 { data, stride: self.depth.row_stride(), rows: taken };
            let pixel = (area.ys.start + y) * map_width + area.xs.start + x;
            let run = if whole { usize::MAX } else { width };
            let places = Places { stride: out_stride, run, run_stride: map_width * out_stride };
            if !self.multiply(left, bias, segments, out, pixel, places) {
                return false;
            }
            first += taken;
        }
        true
    }

    /// Gathers pixels of an area, counted row by row.
    fn gather(&self, area: &Area, pixels: Range<usize>, panel: &mut [u8]) {
        let (shape, depth, input) = (self.shape, self.depth, self.input);
        let gather = Gather { shape, depth, input, zero_point: self.zero_point };
        let width = area.xs.len().max(1);
        let mut rest = panel;
        let mut pixel = pixels.start;
        while pixel < pixels.end {
            let (y, x) = (pixel / width, pixel % width);
            let count = (width - x).min(pixels.end - pixel);
            let (rows, others) =
                rest.split_at_mut_checked(count * depth.row_stride()).unwrap_or_default();
            let start = area.xs.start + x;
            gather.run(area.ys.start + y, start..start + count, &area.taps, rows);
            rest = others;
            pixel += count;
        }
    }

    /// The bias with what the skipped chunks' zero points would have added.
    fn corrected_bias<'b>(&'b self, area: &Area, scratch: &'b mut [i32]) -> &'b [i32] {
        let [rows, columns] = self.shape.kernel;
        let [vertical, horizontal] = &area.taps;
        if vertical.len() == rows && horizontal.len() == columns {
            return self.bias;
        }
        for (place, bias) in scratch.iter_mut().zip(self.bias) {
            *place = *bias;
        }
        let chunk_columns = columns.checked_div(self.depth.chunk_taps).unwrap_or(1).max(1);
        let chunks = pieces(self.tap_sums, scratch.len());
        for (chunk, sums) in chunks.enumerate() {
            let (row, column) = (chunk / chunk_columns, chunk % chunk_columns);
            let taken =
                vertical.contains(&row) && (chunk_columns == 1 || horizontal.contains(&column));
            if taken {
                continue;
            }
            for (place, sum) in scratch.iter_mut().zip(sums) {
                *place = place.wrapping_add(sum.wrapping_mul(i32::from(self.zero_point)));
            }
        }
        scratch
    }

    /// The parts of the depth that an area's taps take, joined where they touch.
    fn segments<'b>(
        &self,
        area: &Area,
        segments: &'b mut [Range<usize>; MAX_SEGMENTS],
    ) -> &'b [Range<usize>] {
        let [rows, columns] = self.shape.kernel;
        let [vertical, horizontal] = &area.taps;
        let stride = self.depth.chunk_stride;
        let by_row = self.depth.chunk_taps == columns;
        if vertical.len() == rows && horizontal.len() == columns {
            segments[0] = 0..self.depth.depth;
            return segments.get(..1).unwrap_or_default();
        }
        let mut count = 0usize;
        for row in vertical.clone() {
            let start = if by_row { row } else { row * columns + horizontal.start };
            let taken = if by_row { 1 } else { horizontal.len() };
            let segment = start * stride..(start + taken) * stride;
            let joined = count > 0 && (by_row || horizontal.len() == columns);
            if !joined {
                count += 1;
            }
            let Some(place) = segments.get_mut(count.saturating_sub(1)) else { break };
            *place = if joined { place.start..segment.end } else { segment };
        }
        segments.get(..count).unwrap_or_default()
    }

    fn multiply(
        &self,
        left: RowsU8<'_>,
        bias: &[i32],
        segments: &[Range<usize>],
        out: &mut ConvOut<'_>,
        pixel: usize,
        places: Places,
    ) -> bool {
        let Some(mut part) = out.part(pixel, self.columns.clone(), places) else { return false };
        let gemm = GemmU8 { left, right: self.right, bias, row_bias: &[], segments };
        (self.gemm)(&gemm, &mut part)
    }
}
