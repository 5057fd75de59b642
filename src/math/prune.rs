//! Exact pruning: classes that cannot win between two grid rows are left out.
//!
//! Between four neighbouring cells of the grid, a class's interpolated logit lies between its
//! lowest and its highest corner. A class whose highest corner is below another class's lowest
//! one wins none of the pixels in between. In real maps few classes are left, in most places one.

use super::groups::groups;
use super::kernels::{BlendedRow, Columns, GridRow, RowPair, Top};
use super::lanes::Lanes;
use super::pieces::{piece, pieces, pieces_mut};

/// Most classes that a row pair is pruned to: one bit each.
pub const MAX_ACTIVE: usize = 64;

/// What rounding may add to the difference of two classes, per unit of the largest magnitude `m`
/// of all corners of the cell: 32 units of roundoff (`e = 2^-24`).
///
/// One interpolation `a + t * (b - a)` with `|a|, |b| <= m` and `0 <= t <= 1` is off by at most
/// `2me` from the difference, `2me(1 + e)` from the product and `m(1 + 4e)e` from the sum,
/// together less than `5.1me`. Vertical and horizontal interpolation make `10.3me` per class, and
/// `20.6me` for two classes. Rounding the threshold adds `1.1me`. The rest is slack.
const ROUNDING: f32 = 32.0 / 16_777_216.0;
/// Covers rounding below the normal numbers, where errors are absolute and near 2^-149.
const UNDERFLOW: f32 = f32::MIN_POSITIVE;
/// Magnitudes from here on are not pruned: differences might overflow.
const LIMIT: f32 = 1e37;

/// Row pairs that are not tried after one that could not be pruned.
pub const PAUSE: u32 = 3;

/// The grid rows above and below some output rows: all classes, `stride` apart.
#[derive(Clone, Copy)]
pub struct CellRow<'a> {
    /// `classes * stride` logits.
    pub upper: &'a [f32],
    /// As many.
    pub lower: &'a [f32],
    /// Distance between classes: [`super::kernels::row_stride`] of the grid's width.
    pub stride: usize,
    /// Grid columns that pixels may lie behind: the highest column index that [`Columns`] holds,
    /// plus one.
    pub cells: usize,
}

/// Which classes may win where; scratch for [`prune`].
pub struct Candidates<'a> {
    /// One per cell, `stride` long: a bit for each active class that may win behind that column.
    pub masks: &'a mut [u64],
    /// Scratch of `stride` floats.
    pub thresholds: &'a mut [f32],
    /// Class numbers of the active classes, ascending.
    pub active: &'a mut [u16; MAX_ACTIVE],
    /// Number of active classes.
    pub count: usize,
    /// Row pairs that will not be tried because an earlier one failed; 0 at first.
    pub pause: u32,
}

/// What [`decide_pruned`] needs of [`Candidates`].
#[derive(Clone, Copy)]
pub struct Survivors<'a> {
    /// As [`Candidates::masks`].
    pub masks: &'a [u64],
    /// As many active classes as there are rows in the [`GridRow`].
    pub active: &'a [u16],
}

impl Candidates<'_> {
    /// The outcome of a successful [`prune`].
    pub fn survivors(&self) -> Survivors<'_> {
        let active = self.active.get(..self.count).unwrap_or_default();
        Survivors { masks: self.masks, active }
    }
}

/// Finds the classes that may win between two grid rows. False where pruning would not pay or
/// cannot be exact: more than [`MAX_ACTIVE`] classes are left, or a quarter of all pairs of
/// classes and cells, or a logit is not finite or beyond 1e37; then [`super::kernels::decide`]
/// is to be used. Two passes over the rows; after a failure, which says little good of the rows
/// below, the next [`PAUSE`] pairs are not tried.
#[inline(always)]
pub fn prune<L: Lanes>(row: CellRow<'_>, candidates: &mut Candidates<'_>) -> bool {
    candidates.count = 0;
    if let Some(left) = candidates.pause.checked_sub(1) {
        candidates.pause = left;
        return false;
    }
    candidates.masks.fill(0);
    let pruned = find_thresholds::<L>(row, candidates.thresholds) && mark::<L>(row, candidates);
    candidates.pause = if pruned { 0 } else { PAUSE };
    pruned
}

/// For each cell: below this a class's highest corner cannot win.
#[inline(always)]
fn find_thresholds<L: Lanes>(row: CellRow<'_>, thresholds: &mut [f32]) -> bool {
    for start in (0..row.cells).step_by(2 * L::COUNT) {
        let mut bounds = [Bound::<L>::new(), Bound::<L>::new()];
        for (upper, lower) in pieces(row.upper, row.stride).zip(pieces(row.lower, row.stride)) {
            for (start, bound) in (start..).step_by(L::COUNT).zip(&mut bounds) {
                bound.add(Corners::load(upper, lower, start));
            }
        }
        for (start, bound) in (start..).step_by(L::COUNT).zip(bounds) {
            let (threshold, unusable) = bound.threshold();
            if unusable & valid_lanes(row.cells.saturating_sub(start)) != 0 {
                return false;
            }
            threshold.store(thresholds.get_mut(start..).unwrap_or_default());
        }
    }
    true
}

/// Sets the bits of the classes that reach the thresholds.
#[inline(always)]
fn mark<L: Lanes>(row: CellRow<'_>, candidates: &mut Candidates<'_>) -> bool {
    let mut budget = (row.upper.len() / row.stride.max(1)).saturating_mul(row.cells) / 4;
    budget = budget.max(2 * row.cells);
    let rows = pieces(row.upper, row.stride).zip(pieces(row.lower, row.stride));
    for (class, (upper, lower)) in (0..).zip(rows) {
        let bit = 1u64.checked_shl(candidates.count as u32).unwrap_or(0);
        let mut found = 0;
        let masks = candidates.masks.chunks_exact_mut(L::COUNT);
        let vectors = masks.zip(candidates.thresholds.chunks_exact(L::COUNT));
        for (start, (masks, thresholds)) in (0..row.cells).step_by(L::COUNT).zip(vectors) {
            let highest = Corners::<L>::load(upper, lower, start).highest();
            let below = L::bits(L::load(thresholds).greater(highest));
            let kept = valid_lanes(row.cells - start) & L::LANES & !below;
            if kept == 0 {
                continue;
            }
            found += kept.count_ones() as usize;
            for (lane, mask) in masks.iter_mut().enumerate() {
                *mask |= if kept >> lane & 1 == 1 { bit } else { 0 };
            }
        }
        if found == 0 {
            continue;
        }
        let Some(place) = candidates.active.get_mut(candidates.count) else { return false };
        *place = class;
        candidates.count += 1;
        let Some(rest) = budget.checked_sub(found) else { return false };
        budget = rest;
    }
    true
}

/// A bit for each of the first `count` lanes.
#[inline(always)]
fn valid_lanes(count: usize) -> u32 {
    if count < 32 { (1 << count) - 1 } else { u32::MAX }
}

/// The logits of one class around neighbouring cells.
struct Corners<L> {
    upper: [L; 2],
    lower: [L; 2],
}

impl<L: Lanes> Corners<L> {
    #[inline(always)]
    fn load(upper: &[f32], lower: &[f32], start: usize) -> Corners<L> {
        let at = |row: &[f32], column: usize| L::load(row.get(column..).unwrap_or_default());
        Corners {
            upper: [at(upper, start), at(upper, start + 1)],
            lower: [at(lower, start), at(lower, start + 1)],
        }
    }

    #[inline(always)]
    fn highest(&self) -> L {
        let ([a, b], [c, d]) = (self.upper, self.lower);
        a.max(b).max(c.max(d))
    }

    #[inline(always)]
    fn lowest(&self) -> L {
        let ([a, b], [c, d]) = (self.upper, self.lower);
        a.min(b).min(c.min(d))
    }
}

/// What the classes seen so far say about neighbouring cells.
struct Bound<L> {
    /// The highest of the classes' lowest corners.
    floor: L,
    highest: L,
    lowest: L,
    /// Not finite once a corner was not.
    sum: L,
}

impl<L: Lanes> Bound<L> {
    #[inline(always)]
    fn new() -> Bound<L> {
        let (least, most) = (L::splat(f32::NEG_INFINITY), L::splat(f32::INFINITY));
        Bound { floor: least, highest: least, lowest: most, sum: L::splat(0.0) }
    }

    #[inline(always)]
    fn add(&mut self, corners: Corners<L>) {
        let (lowest, highest) = (corners.lowest(), corners.highest());
        self.floor = lowest.max(self.floor);
        self.highest = highest.max(self.highest);
        self.lowest = lowest.min(self.lowest);
        let ([a, b], [c, d]) = (corners.upper, corners.lower);
        self.sum = self.sum.add(a.add(b).add(c.add(d)));
    }

    /// The threshold, and the lanes that have none.
    #[inline(always)]
    fn threshold(&self) -> (L, u32) {
        let limit = L::splat(LIMIT);
        let magnitude = self.highest.abs().max(self.lowest.abs());
        let margin = magnitude.mul(L::splat(ROUNDING)).add(L::splat(UNDERFLOW));
        let usable = L::bits(limit.greater(magnitude));
        let finite = L::bits(L::splat(f32::INFINITY).greater(self.sum.abs()));
        (self.floor.sub(margin), L::LANES & !(usable & finite))
    }
}

/// As [`super::kernels::blend`] for the active classes, whose rows become neighbours.
#[inline(always)]
pub fn blend_active(rows: RowPair<'_>, stride: usize, active: &[u16], blended: BlendedRow<'_>) {
    let outputs = pieces_mut(blended.values, stride).zip(pieces_mut(blended.steps, stride));
    for (&class, (values, steps)) in active.iter().zip(outputs) {
        let upper = piece(rows.upper, class.into(), stride).unwrap_or_default();
        let lower = piece(rows.lower, class.into(), stride).unwrap_or_default();
        let rows = RowPair { upper, lower, fraction: rows.fraction };
        super::kernels::blend(rows, BlendedRow { values, steps });
    }
}

/// As [`super::kernels::decide`] with equal labels, on the rows that [`blend_active`] made. Where
/// one class is left, nothing is interpolated.
#[inline(always)]
pub fn decide_pruned<L: Lanes>(
    grid: GridRow<'_>,
    columns: Columns<'_>,
    survivors: Survivors<'_>,
    labels: &mut [f32],
) {
    for (group, label) in groups::<L>(columns).zip(labels.chunks_exact_mut(L::COUNT)) {
        let candidates = group.candidates(survivors.masks);
        if candidates.is_power_of_two() {
            let number = candidates.trailing_zeros() as usize;
            let class = survivors.active.get(number).copied().unwrap_or_default();
            L::splat(class.into()).store(label);
            continue;
        }
        let mut top = Top::<L>::new();
        group.visit_candidates(grid, candidates, survivors.active, &mut top);
        top.label.store(label);
    }
}

#[cfg(test)]
mod tests {
    use super::super::arch;
    use super::super::kernels::{Kernels, MAX_LANES, PORTABLE, row_stride};
    use super::*;
    use proptest::prelude::*;
    use std::vec::Vec;

    fn sets() -> impl Iterator<Item = &'static Kernels> {
        arch::all().chain([&PORTABLE])
    }

    /// Random numbers from 0 to 1.
    struct Random(u64);

    impl Random {
        fn next(&mut self) -> f32 {
            self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            (self.0 >> 40) as f32 / 16_777_216.0
        }
    }

    struct Case {
        upper: Vec<f32>,
        lower: Vec<f32>,
        stride: usize,
        index: Vec<u32>,
        fraction: Vec<f32>,
    }

    impl Case {
        fn new(width: usize, pixels: usize, [upper, lower]: [Vec<f32>; 2]) -> Case {
            let last = width.saturating_sub(2) as u32;
            let step = width.saturating_sub(1) as f32 / pixels as f32;
            let at = |i: usize| i.min(pixels) as f32 * step;
            let padded = pixels.next_multiple_of(MAX_LANES);
            let index: Vec<u32> = (0..padded).map(|i| (at(i) as u32).min(last)).collect();
            let fraction = (0..padded).map(|i| (at(i) - index[i] as f32).min(1.0)).collect();
            Case { upper, lower, stride: row_stride(width), index, fraction }
        }

        /// Labels without and with pruning; whether it was possible.
        fn labels(&self, kernels: &Kernels, fraction: f32) -> (Vec<f32>, Option<Vec<f32>>) {
            let (mut values, mut steps) =
                (vec![0.0; self.upper.len()], vec![0.0; self.upper.len()]);
            let rows = RowPair { upper: &self.upper, lower: &self.lower, fraction };
            let columns = Columns { index: &self.index, fraction: &self.fraction };
            let stride = self.stride;
            (kernels.blend)(rows, BlendedRow { values: &mut values, steps: &mut steps });
            let mut plain = vec![-1.0; self.index.len()];
            let grid = GridRow { values: &values, steps: &steps, stride };
            (kernels.decide)(grid, columns, &mut plain);

            let cells = self.index.last().map_or(0, |&last| last as usize + 1);
            let row = CellRow { upper: &self.upper, lower: &self.lower, stride, cells };
            let (mut masks, mut thresholds) = (vec![!0; stride], vec![f32::NAN; stride]);
            let mut candidates = Candidates {
                masks: &mut masks,
                thresholds: &mut thresholds,
                active: &mut [9; MAX_ACTIVE],
                count: 9,
                pause: 0,
            };
            if !(kernels.prune)(row, &mut candidates) {
                return (plain, None);
            }
            let survivors = candidates.survivors();
            let (mut values, mut steps) =
                (vec![f32::NAN; values.len()], vec![f32::NAN; values.len()]);
            let blended = BlendedRow { values: &mut values, steps: &mut steps };
            (kernels.blend_active)(rows, stride, survivors.active, blended);
            let mut pruned = vec![-1.0; self.index.len()];
            let grid = GridRow { values: &values, steps: &steps, stride };
            (kernels.decide_pruned)(grid, columns, survivors, &mut pruned);
            (plain, Some(pruned))
        }
    }

    /// Two rows of logits: bumps of the classes over a level that all share, with noise of a few
    /// units in the last place of the largest number.
    fn rows(classes: usize, width: usize, random: &mut Random) -> [Vec<f32>; 2] {
        let level = [0.0, 1.0, 1000.0][(random.next() * 3.0) as usize];
        let noise = [0.0, level * 2.4e-7, 0.3][(random.next() * 3.0) as usize];
        let bumps: Vec<[f32; 3]> = (0..classes)
            .map(|_| [random.next() * width as f32, random.next() * 9.0, 1.0 + random.next() * 9.0])
            .collect();
        [0.0, 0.4].map(|shift| {
            let mut row = vec![f32::NAN; classes * row_stride(width)];
            for (row, [centre, height, spread]) in row.chunks_mut(row_stride(width)).zip(&bumps) {
                for (x, value) in row[..width.max(2)].iter_mut().enumerate() {
                    let away = (x as f32 + shift - centre) / spread;
                    let bump = height * (1.0 - away * away).max(0.0);
                    *value = level + bump + noise * (random.next() - 0.5);
                }
            }
            row
        })
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(400))]

        #[test]
        fn labels_are_those_without_pruning(
            classes in 1usize..90, width in 1usize..70, scale in 1usize..6, seed: u64,
        ) {
            let mut random = Random(seed);
            let case = Case::new(width, width * scale, rows(classes, width, &mut random));
            for fraction in [0.0, random.next(), 1.0] {
                let (want, reference) = case.labels(&PORTABLE, fraction);
                for kernels in sets() {
                    let (plain, pruned) = case.labels(kernels, fraction);
                    prop_assert_eq!(&plain, &want);
                    prop_assert_eq!(&pruned, &reference, "{}", kernels.name);
                    if let Some(pruned) = pruned {
                        prop_assert_eq!(pruned, plain, "{}", kernels.name);
                    }
                }
            }
        }

        /// Class A's corners are far apart, so that its interpolation is rounded coarsely; class B
        /// is flat and a few roundings below or above A's lowest corner.
        #[test]
        fn near_ties_are_kept(seed: u64) {
            let mut random = Random(seed);
            let stride = row_stride(2);
            for _ in 0..40 {
                let size = [1.0, 1e3, 1e-3, 1e30, 1e-40][(random.next() * 5.0) as usize];
                let corners: [f32; 4] = core::array::from_fn(|_| {
                    let far = if random.next() < 0.5 { 1.0 } else { 1e-3 };
                    (random.next() - 0.5) * size * far
                });
                let lowest = corners.into_iter().fold(f32::INFINITY, f32::min);
                let flat = lowest - size * 6e-8 * (random.next() * 24.0 - 4.0).round() / 2.0;
                let swap = usize::from(random.next() < 0.5);
                let row = |a: &[f32]| {
                    let mut row = vec![0.0; 2 * stride];
                    row[swap * stride..][..2].copy_from_slice(a);
                    row[(1 - swap) * stride..][..2].fill(flat);
                    row
                };
                let mut case = Case::new(2, 32, [row(&corners[..2]), row(&corners[2..])]);
                case.fraction.iter_mut().step_by(2).for_each(|t| *t = 1.0 - *t);
                for fraction in [1.0, 1.0 - random.next() * 1e-6, random.next()] {
                    for kernels in sets() {
                        let (plain, pruned) = case.labels(kernels, fraction);
                        prop_assert_eq!(pruned.unwrap(), plain, "{}", kernels.name);
                    }
                }
            }
        }
    }

    #[test]
    fn pruning_leaves_one_class_where_one_is_highest() {
        let stride = row_stride(20);
        let mut upper = vec![0.0; 100 * stride];
        upper[70 * stride..][..10].fill(3.0);
        upper[80 * stride..][10..20].fill(2.0);
        let row = CellRow { upper: &upper, lower: &upper, stride, cells: 19 };
        for kernels in sets() {
            let (mut masks, mut thresholds) = (vec![0; stride], vec![0.0; stride]);
            let mut candidates = Candidates {
                masks: &mut masks,
                thresholds: &mut thresholds,
                active: &mut [0; MAX_ACTIVE],
                count: 0,
                pause: 0,
            };
            // Between columns 9 and 10 both classes fall to 0, so all 100 classes reach it.
            assert!(!(kernels.prune)(row, &mut candidates), "{}", kernels.name);
            let left = CellRow { cells: 9, ..row };
            for _ in 0..PAUSE {
                assert!(!(kernels.prune)(left, &mut candidates), "{}", kernels.name);
            }
            assert!((kernels.prune)(left, &mut candidates), "{}", kernels.name);
            let Survivors { masks, active } = candidates.survivors();
            assert_eq!((active, &masks[..9], masks[9]), (&[70][..], &[1; 9][..], 0));
        }
    }

    #[test]
    fn numbers_that_may_overflow_are_not_pruned() {
        for bad in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY, 2e37, -2e37] {
            for (place, spoils) in [(0, true), (4, true), (5, false)] {
                let stride = row_stride(5);
                let mut upper = vec![1.0; 3 * stride];
                upper[stride + place] = bad;
                upper[..5].fill(2.0);
                let mut lower = vec![0.0; 3 * stride];
                lower[..5].fill(2.0);
                for rows in [[upper.clone(), lower.clone()], [lower.clone(), upper.clone()]] {
                    let case = Case::new(5, 20, rows);
                    for kernels in sets() {
                        let (_, pruned) = case.labels(kernels, 0.5);
                        assert_eq!(pruned.is_none(), spoils, "{} {bad} {place}", kernels.name);
                    }
                }
            }
        }
    }
}
