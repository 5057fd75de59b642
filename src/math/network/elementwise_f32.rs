//! Operations on each value of f32 maps: activations, and two operands with broadcasting.

use super::activation_f32::{Activation, Epilogue, Rows};
use super::floats::Floats;
use super::kernels_f32::KernelsF32;
use super::layout_f32::copy_and_change;
use super::view::{View, ViewMut};
use core::ops::Range;

/// An operation of two operands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Binary {
    /// Sum.
    Add,
    /// Left minus right.
    Sub,
    /// Right minus left.
    SubFrom,
    /// Product.
    Mul,
    /// Left over right.
    Div,
    /// Right over left.
    DivInto,
    /// The lesser.
    Min,
    /// The greater.
    Max,
    /// Left to the power of right.
    Pow,
    /// Right to the power of left.
    PowOf,
}

/// The right operand.
#[derive(Clone, Copy, Debug)]
pub enum Right<'a> {
    /// A map of the same shape.
    Map(View<'a, f32>),
    /// A value per channel, the same for all pixels. Channels beyond the slice have 0.
    PerChannel(&'a [f32]),
    /// A value per pixel, the same for all channels.
    PerPixel(View<'a, f32>),
    /// One value.
    Scalar(f32),
}

/// A row of the right operand.
#[derive(Clone, Copy, Debug)]
pub enum RightRow<'a> {
    /// A value per value.
    Values(&'a [f32]),
    /// One for all.
    Scalar(f32),
}

/// Applies an operation to a row: `out = op(left or else out, right)`. Values missing are 0.
pub type BinaryKernel = fn(Binary, Option<&[f32]>, RightRow<'_>, &mut [f32]);

/// An operation on vectors.
trait Operation: Copy {
    fn apply<V: Floats>(self, left: V, right: V) -> V;
}

#[derive(Clone, Copy)]
struct Add;

impl Operation for Add {
    #[inline(always)]
    fn apply<V: Floats>(self, left: V, right: V) -> V {
        left.add(right)
    }
}

#[derive(Clone, Copy)]
struct Sub;

impl Operation for Sub {
    #[inline(always)]
    fn apply<V: Floats>(self, left: V, right: V) -> V {
        left.sub(right)
    }
}

#[derive(Clone, Copy)]
struct SubFrom;

impl Operation for SubFrom {
    #[inline(always)]
    fn apply<V: Floats>(self, left: V, right: V) -> V {
        right.sub(left)
    }
}

#[derive(Clone, Copy)]
struct Mul;

impl Operation for Mul {
    #[inline(always)]
    fn apply<V: Floats>(self, left: V, right: V) -> V {
        left.mul(right)
    }
}

#[derive(Clone, Copy)]
struct Div;

impl Operation for Div {
    #[inline(always)]
    fn apply<V: Floats>(self, left: V, right: V) -> V {
        left.div(right)
    }
}

#[derive(Clone, Copy)]
struct DivInto;

impl Operation for DivInto {
    #[inline(always)]
    fn apply<V: Floats>(self, left: V, right: V) -> V {
        right.div(left)
    }
}

#[derive(Clone, Copy)]
struct Min;

impl Operation for Min {
    #[inline(always)]
    fn apply<V: Floats>(self, left: V, right: V) -> V {
        left.min(right)
    }
}

#[derive(Clone, Copy)]
struct Max;

impl Operation for Max {
    #[inline(always)]
    fn apply<V: Floats>(self, left: V, right: V) -> V {
        left.max(right)
    }
}

/// The kernel over vectors.
#[inline(always)]
pub fn binary<V: Floats>(op: Binary, left: Option<&[f32]>, right: RightRow<'_>, out: &mut [f32]) {
    match op {
        Binary::Add => row::<V>(left, right, out, Add),
        Binary::Sub => row::<V>(left, right, out, Sub),
        Binary::SubFrom => row::<V>(left, right, out, SubFrom),
        Binary::Mul => row::<V>(left, right, out, Mul),
        Binary::Div => row::<V>(left, right, out, Div),
        Binary::DivInto => row::<V>(left, right, out, DivInto),
        Binary::Min => row::<V>(left, right, out, Min),
        Binary::Max => row::<V>(left, right, out, Max),
        Binary::Pow => value_by_value(left, right, out, libm::powf),
        Binary::PowOf => value_by_value(left, right, out, |left, right| libm::powf(right, left)),
    }
}

/// An operation that vectors have not, with the same bits everywhere.
fn value_by_value(
    left: Option<&[f32]>,
    right: RightRow<'_>,
    out: &mut [f32],
    op: impl Fn(f32, f32) -> f32,
) {
    if let Some(left) = left {
        crate::math::pieces::copy(out, left);
    }
    match right {
        RightRow::Scalar(right) => out.iter_mut().for_each(|place| *place = op(*place, right)),
        RightRow::Values(right) => {
            for (place, right) in out.iter_mut().zip(right) {
                *place = op(*place, *right);
            }
        }
    }
}

/// The operands are told apart at every vector: a loop for each pair of them would take four times
/// the code.
#[inline(always)]
fn row<V: Floats>(left: Option<&[f32]>, right: RightRow<'_>, out: &mut [f32], op: impl Operation) {
    for (index, place) in out.chunks_mut(V::COUNT).enumerate() {
        let from = index * V::COUNT;
        let left = match left {
            Some(left) => V::load(left.get(from..).unwrap_or_default()),
            None => V::load(place),
        };
        let right = match right {
            RightRow::Values(right) => V::load(right.get(from..).unwrap_or_default()),
            RightRow::Scalar(right) => V::splat(right),
        };
        op.apply(left, right).store(place);
    }
}

/// Whether the maps' shapes are equal.
fn same_shape(left: [usize; 3], out: &ViewMut<'_, f32>) -> bool {
    left == [out.height, out.width, out.channels]
}

impl Right<'_> {
    fn fits(&self, out: &ViewMut<'_, f32>) -> bool {
        match self {
            Right::Map(map) => map.fits() && same_shape([map.height, map.width, map.channels], out),
            Right::PerPixel(map) => {
                map.fits() && same_shape([map.height, map.width, out.channels], out)
            }
            Right::PerChannel(values) => values.len() >= out.channels,
            Right::Scalar(_) => true,
        }
    }

    /// Whether its values lie as those of a map without gaps.
    fn is_flat(&self) -> bool {
        match self {
            Right::Map(map) => map.pixel_stride == map.channels,
            Right::PerChannel(_) | Right::PerPixel(_) => false,
            Right::Scalar(_) => true,
        }
    }

    /// What the values of some pixels from `pixel` on meet.
    fn row(&self, pixel: usize, len: usize) -> RightRow<'_> {
        match self {
            Right::Map(map) => RightRow::Values(from(map.data, pixel, map.pixel_stride, len)),
            Right::PerChannel(values) => RightRow::Values(values.get(..len).unwrap_or_default()),
            Right::PerPixel(map) => RightRow::Scalar(
                from(map.data, pixel, map.pixel_stride, 1).first().copied().unwrap_or(0.0),
            ),
            Right::Scalar(value) => RightRow::Scalar(*value),
        }
    }
}

fn from(data: &[f32], pixel: usize, stride: usize, len: usize) -> &[f32] {
    data.get(pixel.saturating_mul(stride)..).and_then(|data| data.get(..len)).unwrap_or_default()
}

/// `out = op(left, right)` in the given rows. False, with nothing written, where shapes differ or a
/// slice is too short.
pub fn binary_f32(
    kernels: &KernelsF32,
    op: Binary,
    left: &View<'_, f32>,
    right: &Right<'_>,
    out: &mut ViewMut<'_, f32>,
    rows: Range<usize>,
) -> bool {
    let fits = left.fits() && same_shape([left.height, left.width, left.channels], out);
    fits && apply(kernels, op, Some(left), right, out, rows)
}

/// `out = op(out, right)` in the given rows. False, with nothing written, where shapes differ or a
/// slice is too short.
pub fn binary_in_place_f32(
    kernels: &KernelsF32,
    op: Binary,
    right: &Right<'_>,
    out: &mut ViewMut<'_, f32>,
    rows: Range<usize>,
) -> bool {
    apply(kernels, op, None, right, out, rows)
}

fn apply(
    kernels: &KernelsF32,
    op: Binary,
    left: Option<&View<'_, f32>>,
    right: &Right<'_>,
    out: &mut ViewMut<'_, f32>,
    rows: Range<usize>,
) -> bool {
    if !out.fits() || !right.fits(out) || rows.end > out.height {
        return false;
    }
    let flat = out.pixel_stride == out.channels
        && right.is_flat()
        && left.is_none_or(|left| left.pixel_stride == left.channels);
    let pixels = rows.start * out.width..rows.end * out.width;
    let together = if flat { pixels.len().max(1) } else { 1 };
    let len = together * out.channels;
    for pixel in pixels.step_by(together) {
        let left = left.map(|left| from(left.data, pixel, left.pixel_stride, len));
        let places = out.data.get_mut(pixel * out.pixel_stride..).unwrap_or_default();
        let places = places.get_mut(..len).unwrap_or_default();
        (kernels.binary)(op, left, right.row(pixel, len), places);
    }
    true
}

/// Applies an activation to the given rows in place. False where a slice is too short.
pub fn unary_in_place_f32(
    kernels: &KernelsF32,
    activation: Activation<'_>,
    map: &mut ViewMut<'_, f32>,
    rows: Range<usize>,
) -> bool {
    if !map.fits() || rows.end > map.height {
        return false;
    }
    let (stride, columns) = (map.pixel_stride, map.channels);
    let data = map.data.get_mut(rows.start * map.width * stride..).unwrap_or_default();
    activate(kernels, activation, Rows { data, rows: rows.len() * map.width, columns, stride });
    true
}

/// Rows without gaps are taken as one.
fn activate(kernels: &KernelsF32, activation: Activation<'_>, rows: Rows<'_>) {
    let epilogue = Epilogue { activation, ..Epilogue::NONE };
    let per_channel = matches!(activation, Activation::Prelu { .. });
    if rows.stride == rows.columns && !per_channel {
        let columns = rows.rows * rows.columns;
        (kernels.finish)(&epilogue, Rows { rows: 1, columns, stride: columns, ..rows });
    } else {
        (kernels.finish)(&epilogue, rows);
    }
}

/// `out = activation(input)` in the given rows. False, with nothing written, where shapes differ or
/// a slice is too short.
pub fn unary_f32(
    kernels: &KernelsF32,
    activation: Activation<'_>,
    input: &View<'_, f32>,
    out: &mut ViewMut<'_, f32>,
    rows: Range<usize>,
) -> bool {
    copy_and_change(input, out, rows, |rows| activate(kernels, activation, rows))
}

#[cfg(test)]
mod tests;
