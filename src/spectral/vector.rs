//! Sums of products in a fixed order, so that every processor gives the same bits.

use crate::math::sums::{dot, sum_in_halves};

/// Sum of products, in f32: 32 partial sums of every 32nd product, added up in halves.
pub(super) fn dot_f32(left: &[f32], right: &[f32]) -> f32 {
    let (left, left_rest) = left.as_chunks::<32>();
    let (right, right_rest) = right.as_chunks::<32>();
    let mut sums = [0.0f32; 32];
    for (left, right) in left.iter().zip(right) {
        for ((sum, &a), &b) in sums.iter_mut().zip(left).zip(right) {
            *sum += a * b;
        }
    }
    for ((sum, &a), &b) in sums.iter_mut().zip(left_rest).zip(right_rest) {
        *sum += a * b;
    }
    sum_in_halves(sums)
}

/// `target -= factor * other`, computed in f64.
pub(super) fn subtract(target: &mut [f32], factor: f64, other: &[f32]) {
    for (value, &other) in target.iter_mut().zip(other) {
        *value = (f64::from(*value) - factor * f64::from(other)) as f32;
    }
}

/// Brings `target` to length 1 and returns its former length; leaves it alone at 0.
pub(super) fn normalize(target: &mut [f32]) -> f64 {
    let length = libm::sqrt(dot(target, target));
    if length > 0.0 {
        for value in target.iter_mut() {
            *value = (f64::from(*value) / length) as f32;
        }
    }
    length
}
