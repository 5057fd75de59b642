//! From f32 to 8 bits.

use super::{ByteLanes, FloatLanes, cut, cut_mut};
use crate::math::network::quantization::{Quantization, QuantizedRange};
use crate::math::network::spans::Spans;
use crate::math::network::view::{View, ViewMut};
use crate::math::pieces::{pieces, pieces_mut};
use core::ops::Range;

/// Products with the reciprocal differ from quotients by less than 1e-4 within the range of 8 bits,
/// so that both round to the same number unless they are close to a half.
const SAFE_DISTANCE: f32 = 0.499;

/// A [`Quantization`] in vectors.
struct Quantizer<V: ByteLanes> {
    scale: V::Floats,
    reciprocal: V::Floats,
    /// Largest distance from a whole number at which the reciprocal may be used.
    distance: V::Floats,
    limits: [V::Floats; 2],
    range: V::Range,
    quantization: Quantization,
}

impl<V: ByteLanes> Quantizer<V> {
    #[inline(always)]
    fn new(quantization: Quantization) -> Self {
        let range = QuantizedRange::full(quantization.zero_point);
        let reciprocal = 1.0 / quantization.scale;
        let usable = quantization.scale.is_normal() && reciprocal.is_normal();
        Quantizer {
            scale: V::Floats::splat(quantization.scale),
            reciprocal: V::Floats::splat(reciprocal),
            distance: V::Floats::splat(if usable { SAFE_DISTANCE } else { -1.0 }),
            limits: range.limits().map(V::Floats::splat),
            range: V::range(range),
            quantization,
        }
    }

    /// As many values as a vector has bytes.
    #[inline(always)]
    fn quantize(&self, values: &[f32]) -> V {
        let mut steps = [V::Floats::splat(0.0); 4];
        for (steps, values) in steps.iter_mut().zip(pieces(values, V::Floats::COUNT)) {
            *steps = self.steps(V::Floats::load(values).number());
        }
        V::quantize(steps, &self.range)
    }

    #[inline(always)]
    fn steps(&self, values: V::Floats) -> V::Floats {
        let [low, high] = self.limits;
        let steps = values.mul(self.reciprocal).max(low).min(high);
        if steps.sub(steps.round()).abs().any_above(self.distance) {
            return values.div(self.scale).max(low).min(high);
        }
        steps
    }

    #[inline(always)]
    fn quantize_slice(&self, from: &[f32], to: &mut [u8]) {
        let len = from.len().min(to.len());
        let (Some(from), Some(to)) = (from.get(..len), to.get_mut(..len)) else { return };
        let ((from, from_rest), (to, to_rest)) = (cut(from, V::COUNT), cut_mut(to, V::COUNT));
        for (from, to) in pieces(from, V::COUNT).zip(pieces_mut(to, V::COUNT)) {
            self.quantize(from).store(to);
        }
        for (to, from) in to_rest.iter_mut().zip(from_rest) {
            *to = self.quantization.quantized(*from);
        }
    }
}

/// As the portable `quantize_u8`.
#[inline(always)]
pub fn quantize_u8<V: ByteLanes>(
    input: &View<'_, f32>,
    quantization: Quantization,
    output: &mut ViewMut<'_, u8>,
    rows: Range<usize>,
) {
    let quantizer = Quantizer::<V>::new(quantization);
    let strides = [input.pixel_stride, output.pixel_stride];
    let spans = Spans::new(output.width, output.channels, &strides, rows);
    for index in 0..spans.count {
        let from = spans.get(input.data, input.pixel_stride, index);
        let to = spans.get_mut(output.data, output.pixel_stride, index);
        let Some((from, to)) = from.zip(to) else { return };
        quantizer.quantize_slice(from, to);
    }
}
