//! Sums and products of 8-bit maps.

use super::quantization::QuantizedRange;
use super::spans::Spans;
use super::view::{View, ViewMut};
use core::ops::Range;

/// `quantize((a - zero_points[0]) * ratios[0] + (b - zero_points[1]) * ratios[1])`: two products,
/// each rounded to f32, then their sum, rounded to f32. A negative ratio subtracts.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct AddU8 {
    /// Of `a` and `b`.
    pub zero_points: [u8; 2],
    /// Scale of `a` and of `b` over the scale of the output; magnitude below 1e30.
    pub ratios: [f32; 2],
    /// What the output may be.
    pub range: QuantizedRange,
}

impl AddU8 {
    /// One result.
    #[inline(always)]
    pub fn apply(&self, a: u8, b: u8) -> u8 {
        let [a, b] = [a, b].map(i16::from);
        let [zero_a, zero_b] = self.zero_points.map(i16::from);
        let [ratio_a, ratio_b] = self.ratios;
        self.range.quantize(f32::from(a - zero_a) * ratio_a + f32::from(b - zero_b) * ratio_b)
    }
}

/// `quantize(((a - zero_points[0]) * (b - zero_points[1])) * ratio)`, the first product exact.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct MulU8 {
    /// Of `a` and `b`.
    pub zero_points: [u8; 2],
    /// Scale of `a` times scale of `b` over the scale of the output; magnitude below 1e30.
    pub ratio: f32,
    /// What the output may be.
    pub range: QuantizedRange,
}

impl MulU8 {
    /// One result.
    #[inline(always)]
    pub fn apply(&self, a: u8, b: u8) -> u8 {
        let [a, b] = [a, b].map(i32::from);
        let [zero_a, zero_b] = self.zero_points.map(i32::from);
        self.range.quantize(((a - zero_a) * (b - zero_b)) as f32 * self.ratio)
    }
}

/// The right operand, by how it is spread over the left one.
#[derive(Clone, Copy, Debug)]
pub enum OperandU8<'a> {
    /// A map of the same size.
    Map(View<'a, u8>),
    /// One pixel, `[1, 1, channels]`, for all pixels.
    Pixel(&'a [u8]),
    /// One value per pixel, `[height, width, 1]`.
    Plane(View<'a, u8>),
    /// One value for all.
    Value(u8),
}

/// `a = a + b` on rows `rows`: the portable reference.
pub fn add_in_place_u8(
    a: &mut ViewMut<'_, u8>,
    b: &OperandU8<'_>,
    sum: &AddU8,
    rows: Range<usize>,
) {
    zip_in_place(a, b, rows, |a, b| sum.apply(a, b));
}

/// `a = a * b` on rows `rows`: the portable reference.
pub fn mul_in_place_u8(
    a: &mut ViewMut<'_, u8>,
    b: &OperandU8<'_>,
    product: &MulU8,
    rows: Range<usize>,
) {
    zip_in_place(a, b, rows, |a, b| product.apply(a, b));
}

/// The strides by which [`Spans`] cuts a map and `b`: to pixels where `b` differs by channel or by
/// pixel.
pub(crate) fn strides(map: &ViewMut<'_, u8>, b: &OperandU8<'_>) -> [usize; 2] {
    match b {
        OperandU8::Map(b) => [map.pixel_stride, b.pixel_stride],
        OperandU8::Value(_) => [map.pixel_stride; 2],
        OperandU8::Pixel(_) | OperandU8::Plane(_) => [usize::MAX; 2],
    }
}

#[inline(always)]
fn zip_in_place(
    a: &mut ViewMut<'_, u8>,
    b: &OperandU8<'_>,
    rows: Range<usize>,
    operation: impl Fn(u8, u8) -> u8,
) {
    let spans = Spans::new(a.width, a.channels, &strides(a, b), rows);
    for index in 0..spans.count {
        let Some(values) = spans.get_mut(a.data, a.pixel_stride, index) else { return };
        match operand(b, &spans, index) {
            Some(Piece::One(b)) => {
                for a in values {
                    *a = operation(*a, b);
                }
            }
            Some(Piece::Each(b)) => {
                for (a, b) in values.iter_mut().zip(b) {
                    *a = operation(*a, *b);
                }
            }
            None => return,
        }
    }
}

/// What meets a piece of the left operand.
enum Piece<'a> {
    Each(&'a [u8]),
    One(u8),
}

#[inline(always)]
fn operand<'a>(b: &OperandU8<'a>, spans: &Spans, index: usize) -> Option<Piece<'a>> {
    match b {
        OperandU8::Map(b) => spans.get(b.data, b.pixel_stride, index).map(Piece::Each),
        OperandU8::Pixel(b) => Some(Piece::Each(b)),
        OperandU8::Plane(b) => {
            b.data.get((spans.first + index).checked_mul(b.pixel_stride)?).copied().map(Piece::One)
        }
        OperandU8::Value(b) => Some(Piece::One(*b)),
    }
}

#[cfg(test)]
pub(crate) mod tests;
