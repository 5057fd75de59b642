//! The resize: columns first, then rows, over a ring of already narrowed rows.
//!
//! A frame row is fetched once, narrowed to the columns shown in the input, and kept in a ring
//! of as many rows as the row filter reads. An output row is a weighted sum over the ring.

use super::fetch::{Pixel, fetch_row};
use super::format::Image;
use super::geometry::{Geometry, max_taps};
use crate::arena::Arena;
use crate::limits::{Limits, product};
use crate::math::pieces::{piece, piece_mut};
use crate::math::resample::{Placement, Taps};
use crate::spec::{Input, Preprocess};
use crate::status::{Result, Status};

/// The column taps of the resize, and how rows are filtered. All sizes follow from the input and
/// the limits.
pub(super) struct Resizer<'a> {
    preprocess: Preprocess,
    /// First frame column of each output column: (input width).
    starts: &'a mut [u32],
    /// Column weights: (input width, column taps).
    weights: &'a mut [f32],
    columns: Option<Columns>,
}

/// Working memory of the resize, in which rows are made from the top to the bottom.
pub(super) struct Ring<'a> {
    /// Weights of the current output row: (row taps).
    row_weights: &'a mut [f32],
    /// The fetched frame row: (max frame width).
    source: &'a mut [Pixel],
    /// Narrowed frame rows, frame row y in slot y modulo the slots: (row taps, input width).
    slots: &'a mut [Pixel],
    /// The output row: (input width).
    blended: &'a mut [Pixel],
    /// Frame rows below this are in their slots, as far as they are still needed.
    fetched: usize,
}

/// The column taps of one placement, whose starts and weights lie in the buffers.
#[derive(Clone, Copy)]
struct Columns {
    placement: Placement,
    /// Columns shown in the input: 1 or more.
    shown: usize,
    taps: usize,
    /// Frame columns that are fetched; the first is even, and `starts` counts from it.
    first: usize,
    span: usize,
}

/// Rows of one frame: what [`Resizer::begin`] hands to [`Resizer::row`].
#[derive(Clone, Copy)]
pub(super) struct Rows {
    taps: Taps,
    columns: Columns,
}

impl<'a> Ring<'a> {
    /// Takes the buffers; the amounts are exact for frames within `limits`.
    pub(super) fn carve(
        arena: &mut Arena<'a>,
        input: &Input,
        preprocess: &Preprocess,
        limits: &Limits,
    ) -> Result<Ring<'a>> {
        let (_, row_taps) = max_taps(preprocess, input, limits);
        let width = input.width as usize;
        Ok(Ring {
            row_weights: arena.take(row_taps)?,
            source: arena.take(limits.max_frame_width as usize)?,
            slots: arena.take(product("ring of rows", &[row_taps, width])?)?,
            blended: arena.take(width)?,
            fetched: 0,
        })
    }

    /// Begins with a frame; one that needs more than was carved is an error.
    pub(super) fn begin(&mut self, rows: &Rows) -> Result<()> {
        let ring_len = rows.taps.count().saturating_mul(rows.columns.shown);
        let has_rows = rows.taps.count() <= self.row_weights.len() && ring_len <= self.slots.len();
        if !has_rows {
            return Err(Status::FrameSize.about("rows of the resize"));
        }
        if rows.columns.shown > self.blended.len() || rows.columns.span > self.source.len() {
            return Err(Status::FrameSize.about("width of the resize"));
        }
        self.fetched = 0;
        Ok(())
    }
}

impl<'a> Resizer<'a> {
    /// Takes the buffers; the amounts are exact for frames within `limits`.
    pub(super) fn carve(
        arena: &mut Arena<'a>,
        input: &Input,
        preprocess: &Preprocess,
        limits: &Limits,
    ) -> Result<Resizer<'a>> {
        let (column_taps, _) = max_taps(preprocess, input, limits);
        let width = input.width as usize;
        Ok(Resizer {
            preprocess: *preprocess,
            starts: arena.take(width)?,
            weights: arena.take(product("column weights", &[width, column_taps])?)?,
            columns: None,
        })
    }

    /// Prepares a frame with this geometry: computes the column taps, unless the last frame
    /// lay in the same place.
    ///
    /// # Errors
    /// [`Status::FrameSize`] if the frame needs more than was carved.
    pub(super) fn begin(&mut self, geometry: &Geometry) -> Result<Rows> {
        let (filter, antialias) = (self.preprocess.filter, self.preprocess.antialias);
        let taps = Taps::new(geometry.y.frame(), geometry.y.content(), filter, antialias);
        let known = self.columns.filter(|columns| columns.placement == geometry.x);
        let columns = match known {
            Some(columns) => columns,
            None => self.write_columns(geometry.x)?,
        };
        Ok(Rows { taps, columns })
    }

    fn write_columns(&mut self, placement: Placement) -> Result<Columns> {
        self.columns = None;
        let (filter, antialias) = (self.preprocess.filter, self.preprocess.antialias);
        let taps = Taps::new(placement.frame(), placement.content(), filter, antialias);
        let outputs = placement.shown();
        let shown = outputs.len();
        let enough =
            shown <= self.starts.len() && shown.saturating_mul(taps.count()) <= self.weights.len();
        if !enough {
            return Err(Status::FrameSize.about("columns of the resize"));
        }
        for ((start, output), index) in self.starts.iter_mut().zip(outputs).zip(0..) {
            let window = piece_mut(self.weights, index, taps.count()).unwrap_or(&mut []);
            *start = taps.write(output, window);
        }
        let starts = self.starts.get_mut(..shown).unwrap_or(&mut []);
        let first = starts.first().map_or(0, |&start| start & !1);
        let last = starts.last().map_or(0, |&start| start.saturating_sub(first));
        for start in starts {
            *start = start.saturating_sub(first);
        }
        let span = (last as usize).saturating_add(taps.count());
        let first = first as usize;
        let columns = Columns { placement, shown, taps: taps.count(), first, span };
        self.columns = Some(columns);
        Ok(columns)
    }

    /// The shown columns of content row `output`. Call with ascending `output`.
    pub(super) fn row<'r>(
        &self,
        image: &Image<'_>,
        rows: &Rows,
        output: u32,
        ring: &'r mut Ring<'_>,
    ) -> &'r [Pixel] {
        let (count, columns) = (rows.taps.count().max(1), rows.columns);
        let Some(weights) = ring.row_weights.get_mut(..count) else { return &[] };
        let Some(source) = ring.source.get_mut(..columns.span) else { return &[] };
        let Some(blended) = ring.blended.get_mut(..columns.shown) else { return &[] };
        let first = rows.taps.write(output, weights) as usize;
        let end = first.saturating_add(count);
        for y in first.max(ring.fetched)..end {
            let slot = piece_mut(ring.slots, y % count, columns.shown).unwrap_or(&mut []);
            fetch_row(image, y, columns.first, source);
            narrow(source, self.starts, self.weights, columns.taps, slot);
        }
        ring.fetched = ring.fetched.max(end);
        blend(ring.slots, weights, first % count, blended);
        blended
    }
}

/// Makes the shown columns of a fetched row.
fn narrow(source: &[Pixel], starts: &[u32], weights: &[f32], taps: usize, out: &mut [Pixel]) {
    match taps {
        2 => narrow_fixed::<2>(source, starts, weights, out),
        4 => narrow_fixed::<4>(source, starts, weights, out),
        taps => narrow_any(source, starts, weights, taps, out),
    }
}

/// The filters without antialias, unrolled.
fn narrow_fixed<const TAPS: usize>(
    source: &[Pixel],
    starts: &[u32],
    weights: &[f32],
    out: &mut [Pixel],
) {
    let (weights, _) = weights.as_chunks::<TAPS>();
    for ((out, &start), weights) in out.iter_mut().zip(starts).zip(weights) {
        let pixels = source.get(start as usize..).and_then(|rest| rest.first_chunk::<TAPS>());
        let Some(pixels) = pixels else { return };
        *out = weighted_sum(pixels, weights);
    }
}

fn narrow_any(source: &[Pixel], starts: &[u32], weights: &[f32], taps: usize, out: &mut [Pixel]) {
    let mut rest = weights;
    for (out, &start) in out.iter_mut().zip(starts) {
        let Some((weights, after)) = rest.split_at_checked(taps) else { return };
        let Some(pixels) = source.get(start as usize..) else { return };
        rest = after;
        *out = weighted_sum(pixels, weights);
    }
}

/// Sum in the order of the taps.
fn weighted_sum(pixels: &[Pixel], weights: &[f32]) -> Pixel {
    let [mut red, mut green, mut blue, mut unused] = [0.0; 4];
    for (&[r, g, b, u], &weight) in pixels.iter().zip(weights) {
        red += r * weight;
        green += g * weight;
        blue += b * weight;
        unused += u * weight;
    }
    [red, green, blue, unused]
}

/// Weighted sum of the rows of `ring`, of which the first to be added is in slot `first`.
fn blend(ring: &[Pixel], weights: &[f32], first: usize, out: &mut [Pixel]) {
    let slots = weights.len().max(1);
    for (index, &weight) in weights.iter().enumerate() {
        let slot = first.saturating_add(index) % slots;
        let row = piece(ring, slot, out.len()).unwrap_or(&[]).as_flattened();
        let sums = out.as_flattened_mut().iter_mut().zip(row);
        match index {
            0 => sums.for_each(|(sum, value)| *sum = value * weight),
            _ => sums.for_each(|(sum, value)| *sum += value * weight),
        }
    }
}
