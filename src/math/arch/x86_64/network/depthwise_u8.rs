//! Depthwise convolution with AVX-512 VNNI, AVX-VNNI and AVX2; see `depthwise_plan` for the method.

use super::depthwise_lanes::{Avx2, Avx512, AvxVnni, TapLanes};
use super::depthwise_tile::{ROWS, Source, Tile, interleave_run};
use crate::math::arch::depthwise_plan::{Plan, scratch_len};
use crate::math::network::depthwise_u8::DepthwiseU8;
use crate::math::network::spans::holds;
use crate::math::network::vector::ByteLanes;
use crate::math::network::view::{View, ViewMut};
use crate::math::pieces::pieces_mut;
use core::marker::PhantomData;
use core::ops::Range;

/// Combinations of horizontal tap and group at most.
const TAPS: usize = 240;

/// As the portable kernel, with AVX-512 VNNI. `scratch` has `depthwise_u8_scratch_len` bytes; 63
/// bytes after the input's last value are readable. Returns `false`, and writes nothing, if a slice
/// is too short or a size out of range.
///
/// # Safety
/// None but that the processor has the features.
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni,avx512vbmi")]
pub fn depthwise_u8_avx512(
    input: &View<'_, u8>,
    layer: &DepthwiseU8<'_>,
    output: &mut ViewMut<'_, u8>,
    rows: Range<usize>,
    scratch: &mut [u8],
) -> bool {
    run::<Avx512>(input, layer, output, rows, scratch)
}

/// As [`depthwise_u8_avx512`], with AVX-VNNI.
///
/// # Safety
/// None but that the processor has the features.
#[target_feature(enable = "avx2,avxvnni")]
pub fn depthwise_u8_avx_vnni(
    input: &View<'_, u8>,
    layer: &DepthwiseU8<'_>,
    output: &mut ViewMut<'_, u8>,
    rows: Range<usize>,
    scratch: &mut [u8],
) -> bool {
    run::<AvxVnni>(input, layer, output, rows, scratch)
}

/// As [`depthwise_u8_avx512`], with AVX2.
///
/// # Safety
/// None but that the processor has the features.
#[target_feature(enable = "avx2")]
pub fn depthwise_u8_avx2(
    input: &View<'_, u8>,
    layer: &DepthwiseU8<'_>,
    output: &mut ViewMut<'_, u8>,
    rows: Range<usize>,
    scratch: &mut [u8],
) -> bool {
    run::<Avx2>(input, layer, output, rows, scratch)
}

#[inline(always)]
fn run<L: TapLanes>(
    input: &View<'_, u8>,
    layer: &DepthwiseU8<'_>,
    output: &mut ViewMut<'_, u8>,
    rows: Range<usize>,
    scratch: &mut [u8],
) -> bool {
    let (channels, window) = (input.channels, &layer.window);
    let dense = input.pixel_stride == channels && output.pixel_stride == channels;
    let plan = Plan::new(L::VECTORS, window, channels, output.width, dense);
    let Some(plan) = plan.filter(|plan| plan.groups * window.kernel[1] <= TAPS) else {
        return false;
    };
    if scratch.len() < scratch_len(window, Some(plan)) || !fits(input, layer, output, &rows) {
        return false;
    }
    let start = scratch.as_mut_ptr();
    let mut area = start.wrapping_add(start.align_offset(64) % 64);
    let mut take = |len: usize| {
        let taken = area;
        area = area.wrapping_add(len);
        taken
    };
    let run = Run::<L> {
        plan: &plan,
        layer,
        input,
        out: output.data.as_mut_ptr(),
        out_size: [output.width, output.pixel_stride],
        tables: take(plan.tables_len()),
        buffer: take(plan.buffer_len()),
        padding: take(64),
        repeated: take(plan.repeated_len() * window.kernel[0] * window.kernel[1]),
        bounded: bounded(layer, channels),
        lanes: PhantomData,
    };
    // SAFETY: `fits` checked the lengths of all slices, the areas lie one after another in the
    // scratch, whose length is that of all plus 64 for the alignment; the features are enabled.
    unsafe {
        run.padding.write_bytes(layer.padding_value, 64);
        run.fill_tables();
        run.all_rows(rows);
    }
    true
}

fn fits(
    input: &View<'_, u8>,
    layer: &DepthwiseU8<'_>,
    output: &ViewMut<'_, u8>,
    rows: &Range<usize>,
) -> bool {
    let channels = input.channels;
    let from = [input.height, input.width, channels, input.pixel_stride];
    let to = [output.height, output.width, channels, output.pixel_stride];
    let taps = layer.window.kernel[0] * layer.window.kernel[1];
    let small = [input.height, input.width, output.height].iter().all(|size| *size <= 1 << 15);
    small
        && output.channels == channels
        && rows.end <= output.height
        && holds(input.data, from, 63)
        && holds(output.data, to, 0)
        && layer.weights.len() >= taps * channels
        && layer.bias.len() >= channels
        && layer.scale.len() >= channels
}

/// Whether no sum times its scale is near 2^31.
#[inline(always)]
fn bounded(layer: &DepthwiseU8<'_>, channels: usize) -> bool {
    let taps = layer.window.kernel[0] * layer.window.kernel[1];
    let products = taps as f32 * 32640.0;
    let mut largest = 0f32;
    for (bias, scale) in layer.bias.iter().zip(layer.scale).take(channels) {
        largest = largest.max(((*bias as f32).abs() + products) * scale);
    }
    largest < 2e9
}

struct Run<'a, L> {
    plan: &'a Plan,
    layer: &'a DepthwiseU8<'a>,
    input: &'a View<'a, u8>,
    out: *mut u8,
    /// Columns, pixel stride.
    out_size: [usize; 2],
    tables: *mut u8,
    buffer: *mut u8,
    /// A vector of padding.
    padding: *mut u8,
    repeated: *mut u8,
    /// Whether no scaled sum exceeds the integers.
    bounded: bool,
    lanes: PhantomData<L>,
}

impl<L: TapLanes> Run<'_, L> {
    /// Weights, biases and scales of each phase or channel block.
    #[inline(always)]
    unsafe fn fill_tables(&self) {
        let (plan, channels) = (self.plan, self.input.channels);
        let [kernel_rows, kernel_columns] = self.layer.window.kernel;
        let row_len = plan.repeated_len();
        // SAFETY: `repeated` has `row_len` bytes for each tap, each table `table_len` bytes.
        unsafe {
            for tap in 0..kernel_rows * kernel_columns {
                let weights = self.layer.weights.as_ptr().add(tap * channels).cast::<u8>();
                repeat(weights, channels, self.repeated.add(tap * row_len), row_len);
            }
            for table in 0..plan.tables {
                self.fill_constants(table);
                let mut place = self.tables.add(table * plan.table_len + plan.constants_len());
                for row in 0..plan.row_count {
                    for group in 0..plan.groups {
                        for kx in 0..kernel_columns {
                            self.fill_weights(table, row, [4 * group, kx], place);
                            place = place.add(plan.tap_len());
                        }
                    }
                }
            }
        }
    }

    /// Weights of four taps from `tap` on as output row `row` of a set meets them.
    #[inline(always)]
    unsafe fn fill_weights(&self, table: usize, row: usize, tap: [usize; 2], place: *mut u8) {
        let (plan, bytes) = (self.plan, L::VECTORS.bytes);
        let [kernel_rows, kernel_columns] = self.layer.window.kernel;
        let mut taps = [L::Bytes::splat(0); 4];
        for (k, weights) in taps.iter_mut().enumerate() {
            let ky = (tap[0] + k).checked_sub(plan.row_shift * row);
            if let Some(ky) = ky.filter(|ky| *ky < kernel_rows) {
                let at = (ky * kernel_columns + tap[1]) * plan.repeated_len() + bytes * table;
                // SAFETY: the repeated weights of a tap are whole vectors.
                *weights = unsafe { L::read_bytes(self.repeated.add(at)) };
            }
        }
        // SAFETY: the place has room for the four parts.
        unsafe {
            let part_len = plan.tap_len() / 4;
            for (part, weights) in L::interleave(taps).into_iter().enumerate() {
                L::write_weights(weights, place.add(part_len * part));
            }
        }
    }

    /// Biases and scales of a table.
    #[inline(always)]
    unsafe fn fill_constants(&self, table: usize) {
        let (channels, bytes) = (self.input.channels, L::VECTORS.bytes);
        // SAFETY: the table starts with a bias and a scale per byte of a vector, at a multiple of
        // 32 bytes.
        unsafe {
            let biases = self.tables.add(table * self.plan.table_len).cast::<i32>();
            let scales = biases.add(bytes).cast::<f32>();
            let mut c = bytes * table;
            if self.plan.flat {
                c %= channels.max(1);
            }
            for lane in 0..bytes {
                *biases.add(lane) = self.layer.bias.get(c).copied().unwrap_or(0);
                *scales.add(lane) = self.layer.scale.get(c).copied().unwrap_or(0.0);
                c += 1;
                if self.plan.flat && c == channels {
                    c = 0;
                }
            }
        }
    }

    #[inline(always)]
    unsafe fn all_rows(&self, rows: Range<usize>) {
        let plan = self.plan;
        let mut taps = [0usize; TAPS];
        let kernel_columns = self.layer.window.kernel[1];
        for (group, taps) in pieces_mut(&mut taps, kernel_columns).take(plan.groups).enumerate() {
            for (kx, place) in taps.iter_mut().enumerate() {
                let column = self.column(kx * self.layer.window.dilation[1]);
                *place = group * plan.planes * plan.plane_len + column;
            }
        }
        let taps = taps.get(..plan.groups * kernel_columns).unwrap_or_default();
        let set = plan.row_count * plan.row_step;
        for first in rows.clone().step_by(set.max(1)) {
            let end = rows.end.min(first + set);
            for y in first..end.min(first + plan.row_step) {
                // SAFETY: rows `y`, `y + row_step`... below `end` are in the output.
                unsafe { self.row_set(y..end, taps) };
            }
        }
    }

    /// Output rows `rows.start`, `rows.start + row_step`... within `rows`.
    #[inline(always)]
    unsafe fn row_set(&self, rows: Range<usize>, taps: &[usize]) {
        let (plan, [columns, out_stride]) = (self.plan, self.out_size);
        let blocks = if plan.flat { 1 } else { plan.tables };
        for block in 0..blocks {
            for column in (0..columns).step_by(plan.tile_columns.max(1)) {
                let count = plan.tile_columns.min(columns - column);
                let mut out = [None; ROWS];
                for (place, y) in out.iter_mut().zip(rows.clone().step_by(plan.row_step.max(1))) {
                    let at = (y * columns + column) * out_stride + L::VECTORS.bytes * block;
                    *place = Some(self.out.wrapping_add(at));
                }
                // SAFETY: the rows and columns are in the maps.
                unsafe {
                    self.interleave_tile(rows.start, column, count, block);
                    self.multiply_tile(count, block, out, taps);
                }
            }
        }
    }

    /// Fills the buffer with the columns that `count` output columns from `column` on meet.
    #[inline(always)]
    unsafe fn interleave_tile(&self, y: usize, column: usize, count: usize, block: usize) {
        let (plan, window, bytes) = (self.plan, &self.layer.window, L::VECTORS.bytes);
        let [_, stride] = window.stride;
        let len = (count - 1) * stride + (window.kernel[1] - 1) * window.dilation[1] + 1;
        // Column `t` of the tile is column `t + origin - padding` of the input.
        let (origin, padding) = (column * stride, window.padding[1]);
        let left = padding.saturating_sub(origin).min(len);
        let right = (self.input.width + padding).saturating_sub(origin).min(len).max(left);
        for group in 0..plan.groups {
            let mut sources = [Source { start: self.padding, moves: 0 }; 4];
            for (k, source) in sources.iter_mut().enumerate() {
                *source = self.source([y, 4 * group + k], left + origin, block);
            }
            let plane = self.buffer.wrapping_add(group * plan.planes * plan.plane_len);
            // SAFETY: columns `left..right` are inside the input, all of the tile in the planes.
            unsafe {
                let to = plane.add(left * plan.positions * 4);
                let values = (right - left) * plan.positions;
                match (plan.flat, plan.planes) {
                    (false, _) => {
                        let step = self.input.pixel_stride;
                        interleave_run::<L>(sources, step, to, right - left);
                    }
                    (true, 1) => interleave_run::<L>(sources, bytes, to, values.div_ceil(bytes)),
                    (true, _) => self.interleave_planes(sources, plane, left..right),
                }
                self.fill_columns(plane, 0..left);
                self.fill_columns(plane, right..len);
            }
        }
    }

    /// The input row that vertical tap `tap` of a set from output row `y` on meets, from the column
    /// that is `column` after the padding's first.
    #[inline(always)]
    fn source(&self, [y, tap]: [usize; 2], column: usize, block: usize) -> Source {
        let (plan, window) = (self.plan, &self.layer.window);
        let used = tap < window.kernel[0] + plan.row_shift * (plan.row_count - 1);
        match window.input_row(y, tap, self.input.height).filter(|_| used) {
            Some(row) => {
                let pixel = (row * self.input.width + column).wrapping_sub(window.padding[1]);
                let at = pixel.wrapping_mul(self.input.pixel_stride);
                let at = at.wrapping_add(L::VECTORS.bytes * block);
                Source { start: self.input.data.as_ptr().wrapping_add(at), moves: 1 }
            }
            None => Source { start: self.padding, moves: 0 },
        }
    }

    /// Interleaves columns of the tile into planes by turns. The channels are a multiple of 8.
    #[inline(always)]
    unsafe fn interleave_planes(
        &self,
        sources: [Source; 4],
        plane: *mut u8,
        columns: Range<usize>,
    ) {
        let (channels, bytes) = (self.plan.positions, L::VECTORS.bytes);
        let len = columns.len() * channels;
        let (mut column, mut left) = (columns.start, channels);
        let mut to = self.column(column);
        for at in (0..len).step_by(bytes) {
            let [a, b, c, d] = sources.map(|row| row.start.wrapping_add(at * row.moves));
            // SAFETY: a vector is readable from any value of the input on. Each eight values go to
            // their column while there is one.
            unsafe {
                let rows = [L::read_bytes(a), L::read_bytes(b), L::read_bytes(c), L::read_bytes(d)];
                for (part, quads) in L::interleave(rows).into_iter().enumerate() {
                    for eight in 0..bytes / 32 {
                        if at + part * bytes / 4 + eight * 8 >= len {
                            return;
                        }
                        L::write_eight(quads, eight, plane.add(to));
                        (to, left) = (to + 32, left - 8);
                        if left == 0 {
                            (column, left) = (column + 1, channels);
                            to = self.column(column);
                        }
                    }
                }
            }
        }
    }

    /// Where a column of the tile is in the planes.
    #[inline(always)]
    fn column(&self, column: usize) -> usize {
        let (plan, column_len) = (self.plan, self.plan.positions * 4);
        match plan.planes {
            1 => column * column_len,
            _ => column % 2 * plan.plane_len + column / 2 * column_len,
        }
    }

    /// Makes columns of the tile padding.
    #[inline(always)]
    unsafe fn fill_columns(&self, plane: *mut u8, columns: Range<usize>) {
        let (plan, value) = (self.plan, self.layer.padding_value);
        let column_len = plan.positions * 4;
        // SAFETY: the columns are in the planes.
        unsafe {
            if plan.planes == 1 {
                plane
                    .add(columns.start * column_len)
                    .write_bytes(value, columns.len() * column_len);
                return;
            }
            for column in columns {
                plane.add(self.column(column)).write_bytes(value, column_len);
            }
        }
    }

    #[inline(always)]
    unsafe fn multiply_tile(
        &self,
        columns: usize,
        block: usize,
        out: [Option<*mut u8>; ROWS],
        taps: &[usize],
    ) {
        let (plan, channels, bytes) = (self.plan, self.input.channels, L::VECTORS.bytes);
        let flat = plan.flat;
        let rest = if flat { columns * channels } else { channels - bytes * block };
        let blocks = if flat { rest.div_ceil(bytes) } else { columns };
        let last = if flat { rest - (blocks - 1) * bytes } else { rest.min(bytes) };
        let step = if flat { 1 } else { self.layer.window.stride[1] };
        let tile = Tile::<L> {
            plan,
            taps,
            table: self.tables.wrapping_add(if flat { 0 } else { block * plan.table_len }),
            tables: if flat { plan.tables } else { 1 },
            buffer: self.buffer,
            blocks,
            block_step: 4 * bytes * step,
            out,
            out_step: if flat { bytes } else { self.out_size[1] },
            lengths: [if flat { bytes } else { last }, last],
            bounded: self.bounded,
            range: L::Bytes::range(self.layer.range),
            look_up: self.layer.table.map(L::Bytes::table),
        };
        // SAFETY: the buffer holds the columns, the tables the weights, the output the pixels.
        unsafe {
            match out.iter().flatten().count() {
                1 => tile.multiply::<1>(),
                2 => tile.multiply::<2>(),
                _ if L::VECTORS.rows > 2 => tile.multiply::<ROWS>(),
                _ => {}
            }
        }
    }
}

/// Fills `to` with copies of `from`.
unsafe fn repeat(from: *const u8, from_len: usize, to: *mut u8, to_len: usize) {
    for at in (0..to_len).step_by(from_len.max(1)) {
        // SAFETY: the caller's.
        unsafe { core::ptr::copy_nonoverlapping(from, to.add(at), from_len.min(to_len - at)) };
    }
}

#[cfg(test)]
mod tests;
