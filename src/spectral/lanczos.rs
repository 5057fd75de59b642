//! The largest eigenvalues of a symmetric matrix whose largest is known: Lanczos with full
//! re-orthogonalisation (methods.md 6.9 and appendix B).
//!
//! The known eigenvector is deflated: every vector is kept orthogonal to it. The basis is f32,
//! everything else f64. The start vector comes from a fixed random sequence.
//!
//! When the next vector vanishes, the basis spans an invariant subspace. The search goes on from
//! another random vector orthogonal to it, for the subspace may lack wanted eigenvectors: of a
//! multiple eigenvalue it holds one. It ends when a further subspace has changed nothing.

use super::tridiagonal::diagonalize;
use super::vector::{normalize, subtract};
use super::{MAX_SEGMENTS, Settings};
use crate::arena::Arena;
use crate::limits::product;
use crate::math::pieces::{copy, piece, piece_mut, pieces, pieces_mut};
use crate::math::sums::dot;
use crate::status::Result;

/// Vectors shorter than this have vanished (the matrix's norm is 1, its products are f32).
const VANISHED: f64 = 1e-6;
/// Steps that a search begun anew is given before its results count.
const PROBE_STEPS: usize = 8;

pub(super) struct Lanczos<'a> {
    cells: usize,
    wanted: usize,
    tolerance: f64,
    /// Most steps: as set, and no more than there are dimensions.
    limit: usize,
    /// The known eigenvector: (cells).
    known: &'a mut [f32],
    /// Orthonormal vectors: (limit, cells).
    basis: &'a mut [f32],
    /// The latest product: (cells).
    product: &'a mut [f32],
    /// The matrix in the basis, tridiagonal, and a copy for its diagonalisation: (limit) each.
    alpha: &'a mut [f64],
    beta: &'a mut [f64],
    diagonal: &'a mut [f64],
    side: &'a mut [f64],
    /// Its eigenvectors, or their last components: (limit, limit).
    rows: &'a mut [f64],
    steps: usize,
    /// Steps since the last random vector, and how many there were.
    fresh_steps: usize,
    starts: usize,
    /// Of the random sequence, which goes on from one random vector to the next.
    random: u64,
    /// Sum of the wanted eigenvalues when a vector last vanished.
    vanished_sum: f64,
}

/// One eigenpair of the matrix in the basis.
#[derive(Clone, Copy, Default)]
pub(super) struct Pair {
    pub(super) value: f64,
    /// Bound on `|M u - value u|` but for rounding.
    pub(super) residual: f64,
    column: usize,
}

impl<'a> Lanczos<'a> {
    pub(super) fn carve(
        arena: &mut Arena<'a>,
        cells: usize,
        settings: &Settings,
    ) -> Result<Lanczos<'a>> {
        let limit = settings.iterations.min(cells.saturating_sub(1));
        Ok(Lanczos {
            cells,
            wanted: settings.segments.min(limit),
            tolerance: f64::from(settings.tolerance),
            limit,
            known: arena.take(cells)?,
            basis: arena.take(product("Lanczos basis", &[limit, cells])?)?,
            product: arena.take(cells)?,
            alpha: arena.take(limit)?,
            beta: arena.take(limit)?,
            diagonal: arena.take(limit)?,
            side: arena.take(limit)?,
            rows: arena.take(product("Lanczos eigenvectors", &[limit, limit])?)?,
            steps: 0,
            fresh_steps: 0,
            starts: 0,
            random: 0,
            vanished_sum: 0.0,
        })
    }

    pub(super) fn steps(&self) -> usize {
        self.steps
    }

    /// Begins anew. `known(i)` is element i of the known eigenvector, of any length.
    pub(super) fn begin(&mut self, known: impl Fn(usize) -> f32) {
        self.known.iter_mut().enumerate().for_each(|(i, value)| *value = known(i));
        normalize(self.known);
        (self.steps, self.fresh_steps, self.starts, self.random) = (0, 0, 0, 1);
        self.vanished_sum = f64::NEG_INFINITY;
        self.start();
    }

    /// One product with the matrix, which `apply(x, out)` computes. `true` when done.
    pub(super) fn step(&mut self, mut apply: impl FnMut(&[f32], &mut [f32])) -> bool {
        let Some(vector) = piece(self.basis, self.steps, self.cells) else { return true };
        if self.wanted == 0 || self.steps == self.limit {
            return true;
        }
        apply(vector, self.product);
        let alpha = dot(vector, self.product);
        self.steps += 1;
        self.fresh_steps += 1;
        self.orthogonalize();
        let length = normalize(self.product);
        let vanished = length < self.tolerance.min(VANISHED);
        let beta = if vanished { 0.0 } else { length };
        let last = self.steps - 1;
        put(self.alpha, last, alpha);
        put(self.beta, last, beta);
        if self.steps == self.limit {
            return true;
        }
        if vanished {
            return self.is_exhausted() || !self.start();
        }
        if let Some(next) = piece_mut(self.basis, self.steps, self.cells) {
            copy(next, self.product);
        }
        let settled = self.starts < 2 || self.fresh_steps >= PROBE_STEPS;
        self.steps >= self.wanted && settled && self.is_converged()
    }

    /// Makes the next vector of the basis a random one. `false` if there is no room for it.
    fn start(&mut self) -> bool {
        self.starts += 1;
        self.fresh_steps = 0;
        for value in self.product.iter_mut() {
            self.random = self.random.wrapping_mul(6_364_136_223_846_793_005);
            self.random = self.random.wrapping_add(1_442_695_040_888_963_407);
            *value = (self.random >> 40) as f32 / 8_388_608.0 - 1.0;
        }
        normalize(self.product);
        self.orthogonalize();
        // What a nearly full basis leaves of a random vector is short and rounded roughly.
        let left = normalize(self.product);
        self.orthogonalize();
        normalize(self.product);
        match piece_mut(self.basis, self.steps, self.cells) {
            Some(next) if left > VANISHED => copy(next, self.product),
            _ => return false,
        }
        true
    }

    /// Makes `product` orthogonal to the known eigenvector and the basis; twice, which leaves
    /// nothing but rounding.
    fn orthogonalize(&mut self) {
        for _ in 0..2 {
            subtract(self.product, dot(self.known, self.product), self.known);
            for vector in pieces(self.basis, self.cells).take(self.steps) {
                subtract(self.product, dot(vector, self.product), vector);
            }
        }
    }

    fn is_converged(&mut self) -> bool {
        let Some(pairs) = self.pairs(1) else { return false };
        let tolerance = self.tolerance;
        pairs.iter().take(self.wanted).all(|pair| pair.residual <= tolerance)
    }

    /// Called when a vector vanished: whether the wanted eigenvalues are the same as when one
    /// did before.
    fn is_exhausted(&mut self) -> bool {
        if self.steps < self.wanted {
            return false;
        }
        let Some(pairs) = self.pairs(1) else { return false };
        let sum: f64 = pairs.iter().take(self.wanted).map(|pair| pair.value).sum();
        let unchanged = (sum - self.vanished_sum).abs() <= self.tolerance;
        self.vanished_sum = sum;
        unchanged
    }

    /// Diagonalises the matrix in the basis. The largest `found()` eigenvalues, largest first;
    /// `rows` then holds the last `height` components of all eigenvectors.
    fn pairs(&mut self, height: usize) -> Option<[Pair; MAX_SEGMENTS]> {
        let steps = self.steps;
        let diagonal = self.diagonal.get_mut(..steps)?;
        let side = self.side.get_mut(..steps)?;
        let rows = self.rows.get_mut(..steps * height)?;
        copy(diagonal, self.alpha.get(..steps)?);
        copy(side, self.beta.get(..steps)?);
        rows.fill(0.0);
        for (i, column) in pieces_mut(rows, height).enumerate() {
            let row = (i + height).checked_sub(steps);
            if let Some(place) = row.and_then(|row| column.get_mut(row)) {
                *place = 1.0;
            }
        }
        if !diagonalize(diagonal, side, rows, height) {
            return None;
        }
        let last_beta = self.beta.get(steps.checked_sub(1)?).copied()?;
        let mut pairs = [Pair::default(); MAX_SEGMENTS];
        let mut before: Option<(f64, usize)> = None;
        for pair in pairs.iter_mut().take(self.wanted.min(steps)) {
            let (value, column) = next_largest(diagonal, before)?;
            before = Some((value, column));
            let lowest = piece(rows, column, height)?.last().copied()?;
            *pair = Pair { value, residual: (last_beta * lowest).abs(), column };
        }
        Some(pairs)
    }

    /// The eigenpairs found, largest first: hands each to `take` with its eigenvector, of length
    /// 1. Their number.
    pub(super) fn finish(&mut self, mut take: impl FnMut(usize, Pair, &[f32])) -> usize {
        let found = self.wanted.min(self.steps);
        let Some(pairs) = self.pairs(self.steps) else { return 0 };
        for (at, pair) in pairs.iter().take(found).enumerate() {
            let weights = piece(self.rows, pair.column, self.steps).unwrap_or_default();
            self.product.fill(0.0);
            for (vector, &weight) in pieces(self.basis, self.cells).zip(weights) {
                subtract(self.product, -weight, vector);
            }
            normalize(self.product);
            take(at, *pair, self.product);
        }
        found
    }
}

/// The largest value after `before`, equal ones in the order of their places.
fn next_largest(values: &[f64], before: Option<(f64, usize)>) -> Option<(f64, usize)> {
    let mut best: Option<(f64, usize)> = None;
    for (at, &value) in values.iter().enumerate() {
        let follows =
            before.is_none_or(|(last, place)| value < last || value == last && at > place);
        if follows && best.is_none_or(|(largest, _)| value > largest) {
            best = Some((value, at));
        }
    }
    best
}

fn put(values: &mut [f64], index: usize, value: f64) {
    if let Some(place) = values.get_mut(index) {
        *place = value;
    }
}
