//! Sums in a fixed order, so that every processor gives the same bits.

/// Sum of products in f64: 8 partial sums of every 8th product.
pub fn dot(left: &[f32], right: &[f32]) -> f64 {
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

/// Sum of a power of two of numbers: the second half is added to the first until one is left.
#[inline(always)]
pub fn sum_in_halves<const N: usize>(mut sums: [f32; N]) -> f32 {
    let mut half = N / 2;
    while half > 0 {
        let (low, high) = sums.split_at_mut_checked(half).unwrap_or_default();
        for (low, &high) in low.iter_mut().zip(high.iter()) {
            *low += high;
        }
        half /= 2;
    }
    sums.first().copied().unwrap_or(0.0)
}
