//! Softmax and normalisation of rows of channels.

use super::activation_f32::Rows;
use super::floats::Floats;
use super::functions_f32::exp;
use super::kernels_f32::KernelsF32;
use super::layout_f32::copy_and_change;
use super::view::{View, ViewMut};
use core::ops::Range;

/// Replaces rows by their softmax. Places beyond the slice are left out.
pub type SoftmaxKernel = fn(Rows<'_>);

/// `exp(x - greatest) / sum` of each row, in place; zeros where all values are minus infinity.
#[inline(always)]
pub fn softmax<V: Floats>(rows: Rows<'_>) {
    let mut rest = rows.data;
    for _ in 0..rows.rows {
        let Some(row) = rest.get_mut(..rows.columns) else { return };
        softmax_row::<V>(row);
        rest = rest.get_mut(rows.stride..).unwrap_or_default();
    }
}

#[inline(always)]
fn softmax_row<V: Floats>(row: &mut [f32]) {
    let mut greatest = V::splat(f32::NEG_INFINITY);
    let (vectors, rest) = whole(row, V::COUNT);
    for values in vectors.chunks(V::COUNT) {
        greatest = greatest.max(V::load(values));
    }
    let greatest = rest.iter().fold(greatest.greatest(), |most, &value| most.max(value));
    // A row of nothing but minus infinity would give NaN.
    let shift = V::splat(greatest.max(f32::MIN));
    let mut sum = V::splat(0.0);
    let mut last = 0.0;
    for places in row.chunks_mut(V::COUNT) {
        let values = exp(V::load(places).sub(shift));
        values.store(places);
        if places.len() < V::COUNT {
            last = V::load(places).sum();
        } else {
            sum = sum.add(values);
        }
    }
    let sum = sum.sum() + last;
    let factor = V::splat(if sum > 0.0 { 1.0 / sum } else { 0.0 });
    for places in row.chunks_mut(V::COUNT) {
        V::load(places).mul(factor).store(places);
    }
}

/// How rows are normalised.
#[derive(Clone, Copy, Debug)]
pub struct Norm<'a> {
    /// Added to the variance.
    pub epsilon: f32,
    /// Factor per channel; channels beyond the slice have 0.
    pub scale: &'a [f32],
    /// Summand per channel; channels beyond the slice have 0.
    pub bias: &'a [f32],
    /// Whether the mean is subtracted: yes for layer normalisation, no for root mean square.
    pub centred: bool,
}

/// Normalises rows. Places beyond the slice are left out.
pub type NormKernel = fn(&Norm<'_>, Rows<'_>);

/// `(x - mean) / sqrt(variance + epsilon) * scale + bias` of each row, in place.
#[inline(always)]
pub fn layer_norm<V: Floats>(norm: &Norm<'_>, rows: Rows<'_>) {
    let mut rest = rows.data;
    for _ in 0..rows.rows {
        let Some(row) = rest.get_mut(..rows.columns) else { return };
        norm_row::<V>(norm, row);
        rest = rest.get_mut(rows.stride..).unwrap_or_default();
    }
}

#[inline(always)]
fn norm_row<V: Floats>(norm: &Norm<'_>, row: &mut [f32]) {
    let factor = 1.0 / row.len().max(1) as f32;
    let mean = if norm.centred { total::<V>(row) * factor } else { 0.0 };
    let mean = V::splat(mean);
    let variance = squares::<V>(row, mean) * factor;
    let deviation = V::splat(1.0).div(V::splat(variance + norm.epsilon).sqrt());
    for (index, places) in row.chunks_mut(V::COUNT).enumerate() {
        let first = index * V::COUNT;
        let scale = V::load(norm.scale.get(first..).unwrap_or_default()).mul(deviation);
        let bias = V::load(norm.bias.get(first..).unwrap_or_default());
        V::load(places).sub(mean).mul_add(scale, bias).store(places);
    }
}

/// The sum of all values.
#[inline(always)]
fn total<V: Floats>(row: &[f32]) -> f32 {
    let mut sums = [V::splat(0.0); 4];
    for four in row.chunks(4 * V::COUNT) {
        for (sum, values) in sums.iter_mut().zip(four.chunks(V::COUNT)) {
            *sum = sum.add(V::load(values));
        }
    }
    let [a, b, c, d] = sums;
    a.add(b).add(c.add(d)).sum()
}

/// The sum of squared differences from `mean`.
#[inline(always)]
fn squares<V: Floats>(row: &[f32], mean: V) -> f32 {
    let (vectors, rest) = whole(row, V::COUNT);
    let mut sums = [V::splat(0.0); 4];
    for four in vectors.chunks(4 * V::COUNT) {
        for (sum, values) in sums.iter_mut().zip(four.chunks(V::COUNT)) {
            let difference = V::load(values).sub(mean);
            *sum = difference.mul_add(difference, *sum);
        }
    }
    let [a, b, c, d] = sums;
    let difference = V::load(rest).sub(mean);
    let mut last = [0.0; 16];
    difference.mul(difference).store(last.get_mut(..rest.len()).unwrap_or_default());
    a.add(b).add(c.add(d)).sum() + total::<V>(&last)
}

/// The part of full vectors, and the rest.
#[inline(always)]
fn whole(row: &[f32], count: usize) -> (&[f32], &[f32]) {
    row.split_at_checked(row.len() - row.len() % count).unwrap_or_default()
}

/// The pixels of the given rows of a map.
fn pixels<'a>(map: &'a mut ViewMut<'_, f32>, rows: &Range<usize>) -> Option<Rows<'a>> {
    if !map.fits() || rows.end > map.height {
        return None;
    }
    let (columns, stride) = (map.channels, map.pixel_stride);
    let first = rows.start.saturating_mul(map.width).saturating_mul(stride);
    let data = map.data.get_mut(first..).unwrap_or_default();
    Some(Rows { data, rows: rows.len().saturating_mul(map.width), columns, stride })
}

/// Softmax over the channels of the given rows, in place. False where the slice is too short.
pub fn softmax_in_place_f32(
    kernels: &KernelsF32,
    map: &mut ViewMut<'_, f32>,
    rows: Range<usize>,
) -> bool {
    pixels(map, &rows).map(kernels.softmax).is_some()
}

/// Softmax over the channels of the given rows. False, with nothing written, where shapes differ or
/// a slice is too short.
pub fn softmax_f32(
    kernels: &KernelsF32,
    input: &View<'_, f32>,
    out: &mut ViewMut<'_, f32>,
    rows: Range<usize>,
) -> bool {
    copy_and_change(input, out, rows, kernels.softmax)
}

/// Normalisation over the channels of the given rows, in place. False where the slice is too short.
pub fn layer_norm_in_place_f32(
    kernels: &KernelsF32,
    norm: &Norm<'_>,
    map: &mut ViewMut<'_, f32>,
    rows: Range<usize>,
) -> bool {
    pixels(map, &rows).map(|rows| (kernels.layer_norm)(norm, rows)).is_some()
}

/// Normalisation over the channels of the given rows. False, with nothing written, where shapes
/// differ or a slice is too short.
pub fn layer_norm_f32(
    kernels: &KernelsF32,
    norm: &Norm<'_>,
    input: &View<'_, f32>,
    out: &mut ViewMut<'_, f32>,
    rows: Range<usize>,
) -> bool {
    copy_and_change(input, out, rows, |rows| (kernels.layer_norm)(norm, rows))
}

#[cfg(test)]
mod tests;
