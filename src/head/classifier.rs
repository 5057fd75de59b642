//! Logits of one grid row: copied from the network, or made by the 1x1 classifier.

use super::rows::Rows;
use crate::arena::Arena;
use crate::limits::product;
use crate::map::{Layout, Map};
use crate::math::kernels::{CLASS_BLOCK, ClassBlock, FeatureRow, Kernels, MAX_LANES, row_stride};
use crate::math::linear_i8::ClassRowsI8;
use crate::math::pieces::{copy, piece_mut, pieces, pieces_mut};
use crate::math::quantized::{QuantizedRow, QuantizedRowMut, points_len, scales_len, scratch_len};
use crate::spec::{Head, HeadKind, WeightType};
use crate::status::Result;

/// Most classes with 8-bit weights in one call of the kernel.
const MAX_RUN: usize = 128;

/// Cells that are transposed at a time: a line of the cache.
const TRANSPOSED: usize = 16;

/// Makes rows of logits.
///
/// A row of features is packed once, channel after channel: in the network's own planes the same
/// row of neighbouring channels often lies a power of two apart, where a cache holds few of them.
/// Weights stay where they are and are widened a few classes at a time.
pub(super) struct Classifier<'a> {
    kind: HeadKind,
    cosine_scale: f32,
    channels: usize,
    kernels: &'static Kernels,
    /// `channels * row_stride(grid width)` features.
    features: &'a mut [f32],
    /// `CLASS_BLOCK * channels` weights.
    weights: &'a mut [f32],
    /// Factor on the products of each cell, for cosines: `row_stride(grid width)`.
    factor: &'a mut [f32],
    /// The row of features in 8 bits, for 8-bit weights.
    points: &'a mut [u8],
    scales: &'a mut [f32],
    scratch: &'a mut [f32],
}

impl<'a> Classifier<'a> {
    pub(super) fn carve(
        arena: &mut Arena<'a>,
        head: &Head,
        grid_width: usize,
        kernels: &'static Kernels,
    ) -> Result<Classifier<'a>> {
        let channels = match head.kind {
            HeadKind::Logits => 0,
            _ => head.channels as usize,
        };
        let factors = match head.kind {
            HeadKind::Cosine(_) => row_stride(grid_width),
            _ => 0,
        };
        let features_len = product("row of features", &[channels, row_stride(grid_width)])?;
        let eight_bit = head.kind.weight_type() == Some(WeightType::I8);
        let blocks = if eight_bit { 0 } else { CLASS_BLOCK };
        let weights_len = product("block of weights", &[channels, blocks])?;
        let of_eight_bit = |len: usize| if eight_bit { len } else { 0 };
        Ok(Classifier {
            kind: head.kind,
            cosine_scale: head.cosine_scale,
            channels,
            kernels,
            features: arena.take(features_len)?,
            weights: arena.take(weights_len)?,
            factor: arena.take(factors)?,
            points: arena.take(of_eight_bit(points_len(channels, grid_width)))?,
            scales: arena.take(of_eight_bit(scales_len(grid_width)))?,
            scratch: arena.take(of_eight_bit(scratch_len(channels)))?,
        })
    }

    /// Writes the logits of `labels` in grid row `y` into rows `row_stride(map.width())` apart.
    pub(super) fn row(
        &mut self,
        map: &Map<'_, f32>,
        y: usize,
        (rows, labels): (&Rows<'_>, &[u16]),
        out: &mut [f32],
    ) {
        let stride = row_stride(map.width());
        if self.kind == HeadKind::Logits {
            let channels = labels.iter().map(|&label| usize::from(label));
            pack_row(map, y, channels, out, stride);
            return;
        }
        if let Some(features) = self.features_in_place(map, y) {
            let row = QuantizedRowMut { points: self.points, scales: self.scales };
            (self.kernels.quantize)(features, self.channels, self.scratch, row);
            self.multiply_i8(stride, (rows, labels), out);
            return;
        }
        pack_row(map, y, 0..self.channels, self.features, stride);
        if rows.are_i8() {
            let features = FeatureRow { data: self.features, stride };
            let row = QuantizedRowMut { points: self.points, scales: self.scales };
            (self.kernels.quantize)(features, self.channels, self.scratch, row);
            self.multiply_i8(stride, (rows, labels), out);
        } else {
            self.multiply(stride, (rows, labels), out);
        }
        if let HeadKind::Cosine(_) = self.kind {
            self.divide_by_norms(labels.len(), stride, out);
        }
    }

    fn multiply(&mut self, stride: usize, (rows, labels): (&Rows<'_>, &[u16]), out: &mut [f32]) {
        let features = FeatureRow { data: self.features, stride };
        let blocks = out.chunks_mut(stride.saturating_mul(CLASS_BLOCK).max(1));
        for (labels, out) in labels.chunks(CLASS_BLOCK).zip(blocks) {
            let block = unpack(rows, labels, self.weights, self.channels);
            (self.kernels.linear)(features, block, out);
        }
    }

    /// The network's own planes, where they can be quantised without being packed first: rows of
    /// whole vectors, and nothing else to be computed from them.
    fn features_in_place<'m>(&self, map: &Map<'m, f32>, y: usize) -> Option<FeatureRow<'m>> {
        let quantizes = !self.points.is_empty() && !matches!(self.kind, HeadKind::Cosine(_));
        if !quantizes || map.layout() != Layout::Chw || !map.width().is_multiple_of(MAX_LANES) {
            return None;
        }
        let data = map.data().get(y.saturating_mul(map.width())..)?;
        Some(FeatureRow { data, stride: map.width() * map.height() })
    }

    fn multiply_i8(&mut self, stride: usize, (rows, labels): (&Rows<'_>, &[u16]), out: &mut [f32]) {
        let row = QuantizedRow { points: self.points, scales: self.scales };
        let (mut rest, mut out) = (labels, out);
        while let Some(&first) = rest.first() {
            let run = rows.run(rest.get(..MAX_RUN).unwrap_or(rest));
            let Some((now, later)) = rest.split_at_checked(run) else { return };
            let mut numbers = ([0.0; MAX_RUN], [0.0; MAX_RUN], [0; MAX_RUN]);
            let places = numbers.0.iter_mut().zip(numbers.1.iter_mut()).zip(numbers.2.iter_mut());
            for (((scale, bias), total), &label) in places.zip(now) {
                (*scale, *bias) = rows.affine(label.into());
                *total = rows.total(label.into());
            }
            let (scales, bias, totals) = &numbers;
            let classes = ClassRowsI8 {
                weights: rows.rows_i8(first.into(), run),
                channels: self.channels,
                totals: totals.get(..run).unwrap_or_default(),
                scales: scales.get(..run).unwrap_or_default(),
                bias: bias.get(..run).unwrap_or_default(),
            };
            (self.kernels.linear_i8)(row, classes, out, stride);
            let Some((_, after)) = out.split_at_mut_checked(run.saturating_mul(stride)) else {
                return;
            };
            (rest, out) = (later, after);
        }
    }

    /// Turns products with unit vectors into scaled cosines; a cell without features gets 0.
    fn divide_by_norms(&mut self, classes: usize, stride: usize, out: &mut [f32]) {
        self.factor.fill(0.0);
        for row in pieces(self.features, stride) {
            for (sum, &value) in self.factor.iter_mut().zip(row) {
                *sum += value * value;
            }
        }
        for factor in self.factor.iter_mut() {
            *factor = match *factor > 0.0 {
                true => self.cosine_scale / libm::sqrtf(*factor),
                false => 0.0,
            };
        }
        for row in pieces_mut(out, stride).take(classes) {
            for (logit, &factor) in row.iter_mut().zip(self.factor.iter()) {
                *logit *= factor;
            }
        }
    }
}

fn unpack<'w>(
    rows: &Rows<'_>,
    labels: &[u16],
    weights: &'w mut [f32],
    channels: usize,
) -> ClassBlock<'w> {
    let (mut scale, mut bias) = ([1.0; CLASS_BLOCK], [0.0; CLASS_BLOCK]);
    let affine = scale.iter_mut().zip(bias.iter_mut());
    for (at, (&label, (scale, bias))) in labels.iter().zip(affine).enumerate() {
        let label = usize::from(label);
        if let Some(row) = piece_mut(weights, at, channels) {
            rows.unpack(label, row);
        }
        (*scale, *bias) = rows.affine(label);
    }
    let mut unpacked = pieces(weights, channels);
    let weights = core::array::from_fn(|_| unpacked.next().unwrap_or_default());
    ClassBlock { weights, scale, bias }
}

/// Copies row `y` of the given channels of `map` into rows `stride` apart.
fn pack_row(
    map: &Map<'_, f32>,
    y: usize,
    channels: impl Iterator<Item = usize> + Clone,
    rows: &mut [f32],
    stride: usize,
) {
    match map.layout() {
        Layout::Chw => {
            for (channel, row) in channels.zip(pieces_mut(rows, stride)) {
                let cells = map.plane_row(channel, y);
                copy(row, cells);
            }
        }
        Layout::Hwc => {
            let blocks = map.pixel_row(y).chunks(map.channels().saturating_mul(TRANSPOSED).max(1));
            for (block, cells) in blocks.enumerate() {
                let column = block * TRANSPOSED;
                transpose(cells, map.channels(), channels.clone(), column, rows, stride);
            }
        }
    }
}

/// Copies up to `TRANSPOSED` cells into places `column..` of the rows: a line of the cache of every
/// row at a time, since the lines of all rows together do not fit into the first-level cache.
fn transpose(
    cells: &[f32],
    cell_len: usize,
    channels: impl Iterator<Item = usize>,
    column: usize,
    rows: &mut [f32],
    stride: usize,
) {
    let mut pixels = pieces(cells, cell_len);
    let pixels: [&[f32]; TRANSPOSED] = core::array::from_fn(|_| pixels.next().unwrap_or_default());
    for (row, channel) in pieces_mut(rows, stride).zip(channels) {
        let values = pixels.map(|pixel| pixel.get(channel).copied().unwrap_or_default());
        copy(row.get_mut(column..).unwrap_or_default(), &values);
    }
}
