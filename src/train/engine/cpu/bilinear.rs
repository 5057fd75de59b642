//! Bilinear resizing and its transpose, along one axis after the other.

use super::super::{Real, Resize};
use super::matrix::{Matrix, check, invalid};
use super::simple::add;
use super::workers::each;
use crate::math::pieces::{piece, piece_mut};
use crate::status::Result;
use std::num::NonZeroUsize;
use std::vec;
use std::vec::Vec;

/// Numbers of the larger pictures below which a second thread costs more than it saves.
const LEAST_WORK: usize = 1 << 17;

/// What an output pixel reads along one axis: pixel `low` and pixel `high`, the latter with
/// weight `fraction`.
#[derive(Clone, Copy)]
pub(in crate::train) struct Tap {
    pub(in crate::train) low: usize,
    pub(in crate::train) high: usize,
    pub(in crate::train) fraction: f64,
}

/// What each pixel reads along an axis of `from` pixels that becomes one of `to`.
pub(in crate::train) fn taps(from: usize, to: usize, align_corners: bool) -> Vec<Tap> {
    let last = from.saturating_sub(1);
    let at = |index: usize| -> f64 {
        match (align_corners, to) {
            (true, 1) => 0.0,
            (true, _) => index as f64 * last as f64 / (to - 1) as f64,
            (false, _) => ((index as f64 + 0.5) * from as f64 / to as f64 - 0.5).max(0.0),
        }
    };
    let tap = |index: usize| {
        let place = at(index);
        let low = (place as usize).min(last);
        Tap { low, high: (low + 1).min(last), fraction: (place - low as f64).min(1.0) }
    };
    (0..to).map(tap).collect()
}

/// The number of all pictures' pixels.
pub(in crate::train) fn pixels(pictures: usize, [height, width]: [usize; 2]) -> Result<usize> {
    let count = pictures.checked_mul(height).and_then(|count| count.checked_mul(width));
    if height == 0 || width == 0 {
        return Err(invalid("side of a picture").numbers(0, 1));
    }
    count.ok_or_else(|| invalid("size of the pictures"))
}

/// A resizing, on that many threads.
struct Plan<'a> {
    resize: &'a Resize,
    threads: usize,
}

impl Plan<'_> {
    fn new<'a>(threads: NonZeroUsize, resize: &'a Resize, columns: usize) -> Result<Plan<'a>> {
        let larger = pixels(resize.pictures, resize.from)?.max(pixels(resize.pictures, resize.to)?);
        let small = larger.saturating_mul(columns) < LEAST_WORK;
        Ok(Plan { resize, threads: if small { 1 } else { threads.get() } })
    }

    /// The taps from one side to another: 0 for the height, 1 for the width.
    fn taps(&self, axis: usize) -> Vec<Tap> {
        let Resize { from, to, align_corners, .. } = *self.resize;
        taps(from[axis], to[axis], align_corners)
    }

    /// Calls `fill` with the number of each row of `length` numbers, and the row, on the threads.
    fn rows<F: Real>(
        &self,
        rows: &mut Matrix<F>,
        length: usize,
        fill: impl Fn(usize, &mut [F]) + Sync,
    ) -> Result<()> {
        let count = rows.values().len() / length;
        let share = count.div_ceil(self.threads).max(1);
        let parts = rows.values_mut().chunks_mut(share * length).enumerate();
        each(parts, |(part, values)| {
            for (index, row) in values.chunks_exact_mut(length).enumerate() {
                fill(part * share + index, row);
            }
            Ok(())
        })
    }
}

pub(super) fn resize<F: Real>(
    threads: NonZeroUsize,
    x: &Matrix<F>,
    resize: &Resize,
) -> Result<Matrix<F>> {
    let [rows, columns] = x.shape();
    check("rows of the pictures", rows, pixels(resize.pictures, resize.from)?)?;
    let plan = Plan::new(threads, resize, columns)?;
    let ([height, width], [new_height, new_width]) = (resize.from, resize.to);
    let mut result = Matrix::zeros([pixels(resize.pictures, resize.to)?, columns])?;
    let mut wide = Matrix::zeros([pixels(resize.pictures, [height, new_width])?, columns])?;
    let (vertical, horizontal) = (plan.taps(0), plan.taps(1));
    plan.rows(&mut wide, new_width * columns, |index, row| {
        let source = piece(x.values(), index, width * columns).unwrap_or_default();
        for (pixel, tap) in row.chunks_exact_mut(columns).zip(&horizontal) {
            blend(pixel, tap, source);
        }
    })?;
    plan.rows(&mut result, new_width * columns, |index, row| {
        let size = height * row.len();
        let picture = piece(wide.values(), index / new_height, size).unwrap_or_default();
        if let Some(tap) = vertical.get(index % new_height) {
            blend(row, tap, picture);
        }
    })?;
    Ok(result)
}

/// Fills `place` from the two pieces of `source` that a tap reads.
fn blend<F: Real>(place: &mut [F], tap: &Tap, source: &[F]) {
    let [low, high] = [tap.low, tap.high].map(|index| piece(source, index, place.len()));
    let (low_weight, weight) = (F::of(1.0 - tap.fraction), F::of(tap.fraction));
    let sources = low.unwrap_or_default().iter().zip(high.unwrap_or_default());
    for (value, (low, high)) in place.iter_mut().zip(sources) {
        *value = low_weight * *low + weight * *high;
    }
}

pub(super) fn resize_backward<F: Real>(
    threads: NonZeroUsize,
    dy: &Matrix<F>,
    resize: &Resize,
) -> Result<Matrix<F>> {
    let [rows, columns] = dy.shape();
    check("rows of the pictures", rows, pixels(resize.pictures, resize.to)?)?;
    let plan = Plan::new(threads, resize, columns)?;
    let ([height, width], [new_height, new_width]) = (resize.from, resize.to);
    let mut result = Matrix::zeros([pixels(resize.pictures, resize.from)?, columns])?;
    let (readers, horizontal) = (readers(&plan.taps(0), height), plan.taps(1));
    plan.rows(&mut result, width * columns, |index, row| {
        let mut wide = vec![F::ZERO; new_width * columns];
        let picture = piece(dy.values(), index / height, new_height * wide.len());
        for (reader, weight) in readers.get(index % height).into_iter().flatten() {
            let source = piece(picture.unwrap_or_default(), *reader, wide.len());
            add(&mut wide, F::of(*weight), source.unwrap_or_default());
        }
        for (pixel, tap) in wide.chunks_exact(columns).zip(&horizontal) {
            for (index, weight) in [(tap.low, 1.0 - tap.fraction), (tap.high, tap.fraction)] {
                add(piece_mut(row, index, columns).unwrap_or_default(), F::of(weight), pixel);
            }
        }
    })?;
    Ok(result)
}

/// Of each of `count` rows, the rows that read it, and with what weight.
pub(in crate::train) fn readers(taps: &[Tap], count: usize) -> Vec<Vec<(usize, f64)>> {
    let mut readers = vec![Vec::new(); count];
    for (index, tap) in taps.iter().enumerate() {
        for (row, weight) in [(tap.low, 1.0 - tap.fraction), (tap.high, tap.fraction)] {
            if let Some(list) = readers.get_mut(row) {
                list.push((index, weight));
            }
        }
    }
    readers
}
