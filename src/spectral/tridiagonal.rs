//! Eigenvalues and eigenvectors of a symmetric tridiagonal matrix: implicit QL with Wilkinson's
//! shift, as in EISPACK's `imtql2`, in f64.

/// Most QL sweeps spent on one eigenvalue; two or three are usual.
const MAX_SWEEPS: usize = 50;

/// Diagonalises the matrix with diagonal `diagonal` and `side[i]` between rows i and i + 1
/// (`side` as long as `diagonal`, its last element ignored and overwritten).
///
/// Afterwards `diagonal` holds the eigenvalues, in no order. `rows` is a matrix whose column i is
/// stored as `rows[i * height..(i + 1) * height]`; it is multiplied by the matrix of eigenvectors
/// from the right. So the identity becomes the eigenvectors, and the last row of the identity
/// (height 1) becomes the last component of each.
///
/// `false` if an eigenvalue took more than [`MAX_SWEEPS`] sweeps, which numbers that are finite
/// do not do. About `30 n^2 + 6 n^2 * height` operations.
pub(super) fn diagonalize(
    diagonal: &mut [f64],
    side: &mut [f64],
    rows: &mut [f64],
    height: usize,
) -> bool {
    for first in 0..diagonal.len() {
        let mut sweeps = 0;
        loop {
            let last = block_end(diagonal, side, first);
            if last == first {
                break;
            }
            if sweeps == MAX_SWEEPS {
                return false;
            }
            sweeps += 1;
            sweep(diagonal, side, rows, height, first, last);
        }
    }
    true
}

/// The end of the block from `first` on that no negligible side element divides.
fn block_end(diagonal: &[f64], side: &[f64], first: usize) -> usize {
    let mut end = first;
    let pairs = diagonal.iter().zip(diagonal.iter().skip(1)).zip(side).skip(first);
    for ((upper, lower), between) in pairs {
        if between.abs() <= f64::EPSILON * (upper.abs() + lower.abs()) {
            break;
        }
        end += 1;
    }
    end
}

/// One QL sweep over rows `first..=last`, `first < last`.
fn sweep(
    diagonal: &mut [f64],
    side: &mut [f64],
    rows: &mut [f64],
    height: usize,
    first: usize,
    last: usize,
) {
    let shift = (at(diagonal, first + 1) - at(diagonal, first)) / (2.0 * at(side, first));
    let root = libm::copysign(libm::hypot(shift, 1.0), shift);
    let mut g = at(diagonal, last) - at(diagonal, first) + at(side, first) / (shift + root);
    let (mut sine, mut cosine, mut p) = (1.0, 1.0, 0.0);
    for i in (first..last).rev() {
        let f = sine * at(side, i);
        let b = cosine * at(side, i);
        let length = libm::hypot(f, g);
        put(side, i + 1, length);
        if length == 0.0 {
            put(diagonal, i + 1, at(diagonal, i + 1) - p);
            put(side, last, 0.0);
            return;
        }
        sine = f / length;
        cosine = g / length;
        g = at(diagonal, i + 1) - p;
        let r = (at(diagonal, i) - g) * sine + 2.0 * cosine * b;
        p = sine * r;
        put(diagonal, i + 1, g + p);
        g = cosine * r - b;
        rotate(rows, height, i, sine, cosine);
    }
    put(diagonal, first, at(diagonal, first) - p);
    put(side, first, g);
    put(side, last, 0.0);
}

/// Rotates columns `i` and `i + 1`.
fn rotate(rows: &mut [f64], height: usize, i: usize, sine: f64, cosine: f64) {
    let Some(pair) = rows.get_mut(i * height..(i + 2) * height) else { return };
    let Some((left, right)) = pair.split_at_mut_checked(height) else { return };
    for (left, right) in left.iter_mut().zip(right) {
        let before = *right;
        *right = sine * *left + cosine * before;
        *left = cosine * *left - sine * before;
    }
}

fn at(values: &[f64], index: usize) -> f64 {
    values.get(index).copied().unwrap_or(0.0)
}

fn put(values: &mut [f64], index: usize, value: f64) {
    if let Some(place) = values.get_mut(index) {
        *place = value;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::vec;
    use std::vec::Vec;

    proptest! {
        #[test]
        fn eigenpairs_satisfy_their_equation(
            values in proptest::collection::vec((-1.0f64..1.0, prop_oneof![Just(0.0), -1.0f64..1.0]), 1..40),
        ) {
            let n = values.len();
            let (diagonal, side): (Vec<_>, Vec<_>) = values.into_iter().unzip();
            let mut found = diagonal.clone();
            let mut columns = vec![0.0; n * n];
            (0..n).for_each(|i| columns[i * n + i] = 1.0);
            prop_assert!(diagonalize(&mut found, &mut side.clone(), &mut columns, n));
            let mut lasts = vec![0.0; n];
            lasts[n - 1] = 1.0;
            prop_assert!(diagonalize(&mut diagonal.clone(), &mut side.clone(), &mut lasts, 1));
            for (i, vector) in columns.chunks(n).enumerate() {
                prop_assert!((vector[n - 1] - lasts[i]).abs() < 1e-12);
                let length: f64 = vector.iter().map(|v| v * v).sum();
                prop_assert!((length - 1.0).abs() < 1e-12);
                for row in 0..n {
                    let mut product = diagonal[row] * vector[row];
                    if row > 0 {
                        product += side[row - 1] * vector[row - 1];
                    }
                    if row + 1 < n {
                        product += side[row] * vector[row + 1];
                    }
                    prop_assert!((product - found[i] * vector[row]).abs() < 1e-12);
                }
            }
        }
    }

    #[test]
    fn numbers_that_are_not_finite_end_as_a_failure() {
        let mut rows = [0.0; 3];
        assert!(!diagonalize(&mut [f64::NAN; 3], &mut [1.0; 3], &mut rows, 1));
    }
}
