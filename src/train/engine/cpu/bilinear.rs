//! Bilinear resizing and its transpose.

use super::super::{Real, Resize};
use super::matrix::{Matrix, check, invalid};
use super::simple::add;
use crate::status::Result;
use std::vec::Vec;

/// What an output pixel reads along one axis: pixel `low` and pixel `high`, the latter with
/// weight `fraction`.
#[derive(Clone, Copy)]
struct Tap {
    low: usize,
    high: usize,
    fraction: f64,
}

fn taps(from: usize, to: usize, align_corners: bool) -> Vec<Tap> {
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

/// The pixels that one output pixel reads, and their weights.
fn readers(resize: &Resize) -> Result<Vec<[(usize, f64); 4]>> {
    let [height, width] = resize.from;
    let vertical = taps(height, resize.to[0], resize.align_corners);
    let horizontal = taps(width, resize.to[1], resize.align_corners);
    let mut result = Vec::with_capacity(pixels(1, resize.to)?);
    for y in &vertical {
        for x in &horizontal {
            result.push([
                (y.low * width + x.low, (1.0 - y.fraction) * (1.0 - x.fraction)),
                (y.low * width + x.high, (1.0 - y.fraction) * x.fraction),
                (y.high * width + x.low, y.fraction * (1.0 - x.fraction)),
                (y.high * width + x.high, y.fraction * x.fraction),
            ]);
        }
    }
    Ok(result)
}

fn pixels(pictures: usize, [height, width]: [usize; 2]) -> Result<usize> {
    let count = pictures.checked_mul(height).and_then(|count| count.checked_mul(width));
    if height == 0 || width == 0 {
        return Err(invalid("side of a picture").numbers(0, 1));
    }
    count.ok_or_else(|| invalid("size of the pictures"))
}

pub(super) fn resize<F: Real>(x: &Matrix<F>, resize: &Resize) -> Result<Matrix<F>> {
    let [rows, columns] = x.shape();
    check("rows of the pictures", rows, pixels(resize.pictures, resize.from)?)?;
    let mut result = Matrix::zeros([pixels(resize.pictures, resize.to)?, columns])?;
    let readers = readers(resize)?;
    let sources = x.values().chunks_exact(pixels(1, resize.from)? * columns);
    let places = result.values_mut().chunks_exact_mut(readers.len() * columns);
    for (source, place) in sources.zip(places) {
        for (pixel, reads) in place.chunks_exact_mut(columns).zip(&readers) {
            for (index, weight) in reads {
                add(pixel, F::of(*weight), row(source, *index, columns));
            }
        }
    }
    Ok(result)
}

pub(super) fn resize_backward<F: Real>(dy: &Matrix<F>, resize: &Resize) -> Result<Matrix<F>> {
    let [rows, columns] = dy.shape();
    check("rows of the pictures", rows, pixels(resize.pictures, resize.to)?)?;
    let mut result = Matrix::zeros([pixels(resize.pictures, resize.from)?, columns])?;
    let readers = readers(resize)?;
    let sources = dy.values().chunks_exact(readers.len() * columns);
    let places = result.values_mut().chunks_exact_mut(pixels(1, resize.from)? * columns);
    for (source, place) in sources.zip(places) {
        for (pixel, reads) in source.chunks_exact(columns).zip(&readers) {
            for (index, weight) in reads {
                let to = crate::math::pieces::piece_mut(place, *index, columns);
                add(to.unwrap_or_default(), F::of(*weight), pixel);
            }
        }
    }
    Ok(result)
}

fn row<F>(picture: &[F], index: usize, columns: usize) -> &[F] {
    crate::math::pieces::piece(picture, index, columns).unwrap_or_default()
}
