//! Tables, sums, products and copies.

use super::{ByteLanes, FloatLanes, SPREAD, cut, cut_mut};
use crate::math::network::elementwise_u8::{AddU8, MulU8, OperandU8, strides};
use crate::math::network::spans::{self, Spans};
use crate::math::network::table_u8::Table;
use crate::math::network::view::{View, ViewMut};
use crate::math::pieces::{copy, pieces, pieces_mut};
use core::ops::Range;

/// A function of one vector.
trait Unary<V> {
    fn apply(&self, value: V) -> V;
}

/// A function of two vectors.
trait Binary<V> {
    fn apply(&self, a: V, b: V) -> V;
}

struct LookUp<V: ByteLanes>(V::Table);

impl<V: ByteLanes> Unary<V> for LookUp<V> {
    #[inline(always)]
    fn apply(&self, value: V) -> V {
        value.look_up(&self.0)
    }
}

/// A function of two vectors with the second given.
struct With<'a, V, B>(&'a B, V);

impl<V: ByteLanes, B: Binary<V>> Unary<V> for With<'_, V, B> {
    #[inline(always)]
    fn apply(&self, value: V) -> V {
        self.0.apply(value, self.1)
    }
}

struct Add<V: ByteLanes> {
    /// Plus [`SPREAD`]: the difference is exact.
    zero_points: [V::Floats; 2],
    ratios: [V::Floats; 2],
    range: V::Range,
}

impl<V: ByteLanes> Add<V> {
    #[inline(always)]
    fn new(sum: &AddU8) -> Self {
        Add {
            zero_points: sum.zero_points.map(|zero| V::Floats::splat(SPREAD + f32::from(zero))),
            ratios: sum.ratios.map(V::Floats::splat),
            range: V::range(sum.range),
        }
    }
}

impl<V: ByteLanes> Binary<V> for Add<V> {
    #[inline(always)]
    fn apply(&self, a: V, b: V) -> V {
        let ([zero_a, zero_b], [ratio_a, ratio_b]) = (self.zero_points, self.ratios);
        let (mut steps, b) = (a.spread(), b.spread());
        for (a, b) in steps.iter_mut().zip(b) {
            *a = a.sub(zero_a).mul(ratio_a).add(b.sub(zero_b).mul(ratio_b));
        }
        V::gather(steps, &self.range)
    }
}

struct Mul<V: ByteLanes> {
    /// Plus [`SPREAD`]: the difference is exact.
    zero_points: [V::Floats; 2],
    ratio: V::Floats,
    range: V::Range,
}

impl<V: ByteLanes> Mul<V> {
    #[inline(always)]
    fn new(product: &MulU8) -> Self {
        Mul {
            zero_points: product.zero_points.map(|zero| V::Floats::splat(SPREAD + f32::from(zero))),
            ratio: V::Floats::splat(product.ratio),
            range: V::range(product.range),
        }
    }
}

impl<V: ByteLanes> Binary<V> for Mul<V> {
    #[inline(always)]
    fn apply(&self, a: V, b: V) -> V {
        let [zero_a, zero_b] = self.zero_points;
        let (mut steps, b) = (a.spread(), b.spread());
        for (a, b) in steps.iter_mut().zip(b) {
            // Whole numbers below 2^24: exact.
            *a = a.sub(zero_a).mul(b.sub(zero_b)).mul(self.ratio);
        }
        V::gather(steps, &self.range)
    }
}

/// As the portable `table_u8`.
#[inline(always)]
pub fn table_u8<V: ByteLanes>(
    input: &View<'_, u8>,
    table: &Table,
    output: &mut ViewMut<'_, u8>,
    rows: Range<usize>,
) {
    map_view(input, &LookUp::<V>(V::table(table)), output, rows);
}

/// As the portable `table_in_place_u8`.
#[inline(always)]
pub fn table_in_place_u8<V: ByteLanes>(
    map: &mut ViewMut<'_, u8>,
    table: &Table,
    rows: Range<usize>,
) {
    let spans = Spans::new(map.width, map.channels, &[map.pixel_stride], rows);
    let look_up = LookUp::<V>(V::table(table));
    for index in 0..spans.count {
        let Some(values) = spans.get_mut(map.data, map.pixel_stride, index) else { return };
        map_in_place(values, &look_up);
    }
}

/// As the portable `add_in_place_u8`.
#[inline(always)]
pub fn add_in_place_u8<V: ByteLanes>(
    a: &mut ViewMut<'_, u8>,
    b: &OperandU8<'_>,
    sum: &AddU8,
    rows: Range<usize>,
) {
    zip_views(a, b, &Add::<V>::new(sum), rows);
}

/// As the portable `mul_in_place_u8`.
#[inline(always)]
pub fn mul_in_place_u8<V: ByteLanes>(
    a: &mut ViewMut<'_, u8>,
    b: &OperandU8<'_>,
    product: &MulU8,
    rows: Range<usize>,
) {
    zip_views(a, b, &Mul::<V>::new(product), rows);
}

#[inline(always)]
fn map_view<V: ByteLanes>(
    input: &View<'_, u8>,
    function: &impl Unary<V>,
    output: &mut ViewMut<'_, u8>,
    rows: Range<usize>,
) {
    let strides = [input.pixel_stride, output.pixel_stride];
    let spans = Spans::new(output.width, output.channels, &strides, rows);
    for index in 0..spans.count {
        let from = spans.get(input.data, input.pixel_stride, index);
        let to = spans.get_mut(output.data, output.pixel_stride, index);
        let Some((from, to)) = from.zip(to) else { return };
        map_slice(from, to, function);
    }
}

#[inline(always)]
fn map_slice<V: ByteLanes>(from: &[u8], to: &mut [u8], function: &impl Unary<V>) {
    let len = from.len().min(to.len());
    let (Some(from), Some(to)) = (from.get(..len), to.get_mut(..len)) else { return };
    let (from, from_rest) = cut(from, V::COUNT);
    let (to, to_rest) = cut_mut(to, V::COUNT);
    for (from, to) in pieces(from, V::COUNT).zip(pieces_mut(to, V::COUNT)) {
        function.apply(V::load(from)).store(to);
    }
    if !from_rest.is_empty() {
        function.apply(V::load_part(from_rest)).store_part(to_rest);
    }
}

#[inline(always)]
fn map_in_place<V: ByteLanes>(values: &mut [u8], function: &impl Unary<V>) {
    let (values, rest) = cut_mut(values, V::COUNT);
    for values in pieces_mut(values, V::COUNT) {
        function.apply(V::load(values)).store(values);
    }
    if !rest.is_empty() {
        function.apply(V::load_part(rest)).store_part(rest);
    }
}

#[inline(always)]
fn zip_in_place<V: ByteLanes>(a: &mut [u8], b: &[u8], function: &impl Binary<V>) {
    let len = a.len().min(b.len());
    let (Some(a), Some(b)) = (a.get_mut(..len), b.get(..len)) else { return };
    let ((a, a_rest), (b, b_rest)) = (cut_mut(a, V::COUNT), cut(b, V::COUNT));
    for (a, b) in pieces_mut(a, V::COUNT).zip(pieces(b, V::COUNT)) {
        function.apply(V::load(a), V::load(b)).store(a);
    }
    if !a_rest.is_empty() {
        function.apply(V::load_part(a_rest), V::load_part(b_rest)).store_part(a_rest);
    }
}

/// `map = function(map, b)`.
#[inline(always)]
fn zip_views<V: ByteLanes>(
    map: &mut ViewMut<'_, u8>,
    b: &OperandU8<'_>,
    function: &impl Binary<V>,
    rows: Range<usize>,
) {
    let mut repeated = [0; REPEATED];
    let channels = map.channels;
    if let OperandU8::Pixel(pixel) = b
        && map.pixel_stride == channels
        && let Some(repeated) = repeat(pixel, channels, &mut repeated)
    {
        return zip_dense(map, repeated, function, rows);
    }
    let spans = Spans::new(map.width, channels, &strides(map, b), rows);
    for index in 0..spans.count {
        let Some(values) = spans.get_mut(map.data, map.pixel_stride, index) else { return };
        let each = match b {
            OperandU8::Map(b) => spans.get(b.data, b.pixel_stride, index),
            OperandU8::Pixel(b) => b.get(..channels),
            OperandU8::Plane(b) => b.data.get((spans.first + index) * b.pixel_stride..),
            OperandU8::Value(b) => Some(core::slice::from_ref(b)),
        };
        let Some(each) = each else { return };
        if let OperandU8::Map(_) | OperandU8::Pixel(_) = b {
            zip_in_place(values, each, function);
            continue;
        }
        let Some(one) = each.first() else { return };
        map_in_place(values, &With(function, V::splat(*one)));
    }
}

/// Bytes of a pixel repeated.
const REPEATED: usize = 1 << 10;

/// As many copies of a pixel as there is room for, if more than one.
#[inline(always)]
fn repeat<'a>(pixel: &[u8], channels: usize, places: &'a mut [u8; REPEATED]) -> Option<&'a [u8]> {
    let copies = REPEATED.checked_div(channels)?;
    let pixel = pixel.get(..channels).filter(|_| copies > 1)?;
    let used = places.get_mut(..copies * channels)?;
    for places in pieces_mut(used, channels) {
        copy(places, pixel);
    }
    Some(used)
}

/// `map = function(map, b)` with pixels without gaps and `b` repeated over them.
#[inline(always)]
fn zip_dense<V: ByteLanes>(
    map: &mut ViewMut<'_, u8>,
    b: &[u8],
    function: &impl Binary<V>,
    rows: Range<usize>,
) {
    let row_len = map.width * map.channels;
    let range = rows.start.saturating_mul(row_len)..rows.end.saturating_mul(row_len);
    for values in spans::cuts_mut(map.data.get_mut(range).unwrap_or_default(), b.len()) {
        zip_in_place(values, b, function);
    }
}
