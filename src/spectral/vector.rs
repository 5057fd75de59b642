//! Sums of products in a fixed order, so that every processor gives the same bits.

/// Sum of products, in f64.
pub(super) fn dot(left: &[f32], right: &[f32]) -> f64 {
    let (left, left_rest) = left.as_chunks::<8>();
    let (right, right_rest) = right.as_chunks::<8>();
    let mut sums = [0.0f64; 8];
    for (left, right) in left.iter().zip(right) {
        for ((sum, &a), &b) in sums.iter_mut().zip(left).zip(right) {
            *sum += f64::from(a) * f64::from(b);
        }
    }
    for ((sum, &a), &b) in sums.iter_mut().zip(left_rest).zip(right_rest) {
        *sum += f64::from(a) * f64::from(b);
    }
    let [a, b, c, d, e, f, g, h] = sums;
    ((a + e) + (b + f)) + ((c + g) + (d + h))
}

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
    let mut half = 16;
    while half > 0 {
        let (low, high) = sums.split_at_mut_checked(half).unwrap_or_default();
        for (low, &high) in low.iter_mut().zip(high.iter()) {
            *low += high;
        }
        half /= 2;
    }
    let [sum, ..] = sums;
    sum
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
