//! Logits of one grid row: copied from the network, or made by the 1x1 classifier.

use crate::arena::Arena;
use crate::limits::product;
use crate::map::{Layout, Map};
use crate::math::kernels::{CLASS_BLOCK, ClassBlock, FeatureRow, Kernels, row_stride};
use crate::math::pieces::{pieces, pieces_mut};
use crate::spec::{Head, HeadKind, Weights};
use crate::status::Result;
use half::f16;
use zerocopy::little_endian::F32;

/// The numbers of a linear head, in place in the bundle.
#[derive(Clone, Copy, Debug)]
pub struct Linear<'a> {
    /// `classes * channels` weights, class after class.
    pub weights: Weights<'a>,
    /// One factor per class for 8-bit weights, else empty.
    pub scales: &'a [F32],
    /// One bias per class.
    pub bias: &'a [F32],
}

/// Makes rows of logits.
///
/// A row of features is packed once, channel after channel: in the network's own planes the same
/// row of neighbouring channels often lies a power of two apart, where a cache holds few of them.
/// Weights stay in the bundle and are widened a few classes at a time.
pub(super) struct Classifier<'a> {
    linear: Option<Linear<'a>>,
    channels: usize,
    kernels: &'static Kernels,
    /// `channels * row_stride(grid width)` features.
    features: &'a mut [f32],
    /// `CLASS_BLOCK * channels` weights.
    weights: &'a mut [f32],
}

impl<'a> Classifier<'a> {
    pub(super) fn carve(
        arena: &mut Arena<'a>,
        head: &Head,
        grid_width: usize,
        linear: Option<Linear<'a>>,
        kernels: &'static Kernels,
    ) -> Result<Classifier<'a>> {
        let channels = match head.kind {
            HeadKind::Logits => 0,
            HeadKind::Linear(_) => head.channels as usize,
        };
        let features_len = product("row of features", &[channels, row_stride(grid_width)])?;
        let weights_len = product("block of weights", &[channels, CLASS_BLOCK])?;
        let features = arena.take(features_len)?;
        let weights = arena.take(weights_len)?;
        Ok(Classifier { linear, channels, kernels, features, weights })
    }

    /// Writes the logits of grid row `y` into class rows `row_stride(map.width())` apart.
    pub(super) fn row(&mut self, map: &Map<'_, f32>, y: usize, out: &mut [f32]) {
        let stride = row_stride(map.width());
        let Some(linear) = self.linear else {
            pack_row(map, y, out, stride);
            return;
        };
        pack_row(map, y, self.features, stride);
        let features = FeatureRow { data: self.features, stride };
        let blocks = out.chunks_mut(stride.saturating_mul(CLASS_BLOCK));
        for (first, out) in (0..).step_by(CLASS_BLOCK).zip(blocks) {
            let rows = pieces_mut(self.weights, self.channels);
            for (class, row) in (first..).zip(rows) {
                unpack(linear.weights, class, row);
            }
            let mut rows = pieces(self.weights, self.channels);
            let block = ClassBlock {
                weights: core::array::from_fn(|_| rows.next().unwrap_or_default()),
                scale: per_class(linear.scales, first, 1.0),
                bias: per_class(linear.bias, first, 0.0),
            };
            (self.kernels.linear)(features, block, out);
        }
    }
}

/// Copies row `y` of every channel of `map` into rows `stride` apart.
fn pack_row(map: &Map<'_, f32>, y: usize, rows: &mut [f32], stride: usize) {
    match map.layout() {
        Layout::Chw => {
            for (channel, row) in pieces_mut(rows, stride).enumerate() {
                let cells = map.plane_row(channel, y);
                if let Some(row) = row.get_mut(..cells.len()) {
                    row.copy_from_slice(cells);
                }
            }
        }
        Layout::Hwc => {
            for (x, cell) in pieces(map.pixel_row(y), map.channels()).enumerate() {
                for (row, &value) in pieces_mut(rows, stride).zip(cell) {
                    if let Some(place) = row.get_mut(x) {
                        *place = value;
                    }
                }
            }
        }
    }
}

/// Widens the weights of one class; zeros for a class that does not exist.
fn unpack(weights: Weights<'_>, class: usize, row: &mut [f32]) {
    match weights {
        Weights::F32(all) => widen(all, class, row, |weight| weight.get()),
        Weights::F16(all) => {
            widen(all, class, row, |bits| f16::from_bits(bits.get()).to_f32());
        }
        Weights::I8(all) => widen(all, class, row, |&weight| f32::from(weight)),
    }
}

fn widen<T>(all: &[T], class: usize, row: &mut [f32], convert: impl Fn(&T) -> f32) {
    let start = class.saturating_mul(row.len());
    let stored = all.get(start..start.saturating_add(row.len()));
    let Some(stored) = stored else {
        row.fill(0.0);
        return;
    };
    for (place, weight) in row.iter_mut().zip(stored) {
        *place = convert(weight);
    }
}

fn per_class(values: &[F32], first: usize, default: f32) -> [f32; CLASS_BLOCK] {
    let mut out = [default; CLASS_BLOCK];
    for (place, value) in out.iter_mut().zip(values.get(first..).unwrap_or_default()) {
        *place = value.get();
    }
    out
}
