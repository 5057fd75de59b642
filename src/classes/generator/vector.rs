//! Products of samples, kept as the upper halves of f32 (bf16), in a fixed order, so that every
//! processor gives the same bits.

use crate::math::pieces::{piece, pieces};
use crate::math::sums::sum_in_halves;

/// A bf16 as f32; exact.
fn widen(bits: u16) -> f32 {
    f32::from_bits(u32::from(bits) << 16)
}

/// The nearest bf16, to even on ties.
pub(super) fn narrow(value: f32) -> u16 {
    half::bf16::from_f32(value).to_bits()
}

/// Sum of products: 16 partial sums of every 16th product, added up in halves.
pub(super) fn dot_bf16(row: &[u16], vector: &[f32]) -> f32 {
    let (row, row_rest) = row.as_chunks::<16>();
    let (vector, vector_rest) = vector.as_chunks::<16>();
    let mut sums = [0.0f32; 16];
    for (row, vector) in row.iter().zip(vector) {
        for ((sum, &a), &b) in sums.iter_mut().zip(row).zip(vector) {
            *sum += widen(a) * b;
        }
    }
    for ((sum, &a), &b) in sums.iter_mut().zip(row_rest).zip(vector_rest) {
        *sum += widen(a) * b;
    }
    sum_in_halves(sums)
}

/// `target += sum over i of factors[i] * row i`, for rows of `target`'s length one after another.
pub(super) fn add_rows_bf16(target: &mut [f32], factors: &[f32], rows: &[u16]) {
    let len = target.len();
    let (fours, rest) = factors.as_chunks::<4>();
    let (rows, rest_rows) = rows.split_at_checked(fours.len() * 4 * len).unwrap_or_default();
    for (&[a, b, c, d], rows) in fours.iter().zip(pieces(rows, 4 * len)) {
        let [p, q, r, s] = core::array::from_fn(|i| piece(rows, i, len).unwrap_or_default());
        let rows = p.iter().zip(q).zip(r.iter().zip(s));
        for (value, ((&p, &q), (&r, &s))) in target.iter_mut().zip(rows) {
            *value += (a * widen(p) + b * widen(q)) + (c * widen(r) + d * widen(s));
        }
    }
    for (&factor, row) in rest.iter().zip(pieces(rest_rows, len)) {
        for (value, &bits) in target.iter_mut().zip(row) {
            *value += factor * widen(bits);
        }
    }
}

/// `target += factor * other`.
pub(super) fn add(target: &mut [f32], factor: f32, other: &[f32]) {
    for (value, &other) in target.iter_mut().zip(other) {
        *value += factor * other;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::math::sums::dot;
    use proptest::prelude::*;
    use std::vec::Vec;

    fn numbers(len: usize, seed: u32) -> Vec<f32> {
        let word = |i: u32| (i.wrapping_add(seed)).wrapping_mul(2_654_435_761) >> 16;
        (0..len as u32).map(|i| word(i) as f32 / 32_768.0 - 1.0).collect()
    }

    proptest! {
        #[test]
        fn products_are_those_of_a_plain_loop(len in 1usize..70, count in 1usize..11, seed: u32) {
            let rows: Vec<u16> = numbers(len * count, seed).into_iter().map(narrow).collect();
            let vector = numbers(len, seed ^ 1);
            let factors = numbers(count, seed ^ 2);
            let mut target = vector.clone();
            add_rows_bf16(&mut target, &factors, &rows);
            for (at, &value) in target.iter().enumerate() {
                let terms = factors.iter().zip(rows.chunks(len));
                let sum: f64 = terms.map(|(&f, row)| f64::from(f) * f64::from(widen(row[at]))).sum();
                prop_assert!((f64::from(value) - f64::from(vector[at]) - sum).abs() < 1e-5);
            }
            let first: Vec<f32> = rows[..len].iter().map(|&bits| widen(bits)).collect();
            let want: f64 = first.iter().zip(&vector).map(|(&a, &b)| f64::from(a * b)).sum();
            prop_assert!((f64::from(dot_bf16(&rows[..len], &vector)) - want).abs() < 1e-4);
            prop_assert!((dot(&first, &vector) - want).abs() < 1e-4);
        }
    }

    #[test]
    fn narrowing_rounds_to_nearest_and_even() {
        let step = 1.0 / 128.0;
        for (value, want) in
            [(1.0, 1.0), (1.0 + 0.5 * step, 1.0), (1.0 + 1.5 * step, 1.0 + 2.0 * step)]
        {
            assert_eq!(widen(narrow(value)), want);
        }
    }
}
