//! The per-row kernels of the head, written once over [`Lanes`].
//!
//! Rows of the grid are stored class after class: class `c` starts at `c * stride`, where
//! `stride` is [`row_stride`] of the grid's width, so that vector loads near the end of a row
//! stay inside it.

use super::lanes::{Lanes, Portable, exp_nonpositive};

/// Most lanes of any implementation; output rows are padded to a multiple of it.
pub const MAX_LANES: usize = 16;
/// Classes that [`linear`] computes together.
pub const CLASS_BLOCK: usize = 4;

/// Length of one class's row on a grid of `width` columns, in elements.
pub const fn row_stride(width: usize) -> usize {
    (width + MAX_LANES).next_multiple_of(2 * MAX_LANES)
}

/// One row of logits, all classes, each [`row_stride`] long.
#[derive(Clone, Copy)]
pub struct GridRow<'a> {
    /// `classes * stride` values.
    pub values: &'a [f32],
    /// Distance between classes, in elements.
    pub stride: usize,
}

/// Where each output pixel of a row lies on the grid; padded to a multiple of [`MAX_LANES`].
#[derive(Clone, Copy)]
pub struct Columns<'a> {
    /// Grid column to the left of the pixel; never decreasing, column + 1 inside the row.
    pub index: &'a [u32],
    /// Distance from that column, 0 to 1.
    pub fraction: &'a [f32],
}

/// Results of [`decide`], as long as [`Columns`].
pub struct Winners<'a> {
    /// Class with the highest logit (the lowest such class on ties), as a whole number.
    pub label: &'a mut [f32],
    /// Its logit.
    pub best: &'a mut [f32],
    /// The second highest logit.
    pub second: &'a mut [f32],
}

/// Operands and results of [`evidence`], as long as [`Columns`].
pub struct Evidence<'a> {
    /// The winner's logit.
    pub best: &'a [f32],
    /// In: the second highest logit. Out: its probability divided by the winner's.
    pub rival: &'a mut [f32],
    /// Out: the inverse of the winner's probability.
    pub sum: &'a mut [f32],
}

/// One grid row of features: channel `d` starts at `d * stride`, where `stride` is
/// [`row_stride`] of the row's width; what lies behind the width is ignored.
#[derive(Clone, Copy)]
pub struct FeatureRow<'a> {
    /// `channels * stride` values.
    pub data: &'a [f32],
    /// Distance between channels, in elements.
    pub stride: usize,
}

/// Weights of up to [`CLASS_BLOCK`] classes.
#[derive(Clone, Copy)]
pub struct ClassBlock<'a> {
    /// One weight per channel for each class; zeros, or at least as many, for absent ones.
    pub weights: [&'a [f32]; CLASS_BLOCK],
    /// Factor on the sum of products, per class.
    pub scale: [f32; CLASS_BLOCK],
    /// Added last, per class.
    pub bias: [f32; CLASS_BLOCK],
}

/// The kernels compiled for one instruction set. All sets give the same bits.
pub struct Kernels {
    /// Instruction set, for reports.
    pub name: &'static str,
    /// See [`blend`].
    pub blend: fn(&[f32], &[f32], f32, &mut [f32]),
    /// See [`decide`].
    pub decide: fn(GridRow<'_>, Columns<'_>, Winners<'_>),
    /// See [`evidence`].
    pub evidence: fn(GridRow<'_>, Columns<'_>, f32, Evidence<'_>),
    /// See [`linear`].
    pub linear: fn(FeatureRow<'_>, ClassBlock<'_>, &mut [f32]),
}

/// The kernels for any processor.
pub static PORTABLE: Kernels = Kernels {
    name: "portable",
    blend,
    decide: decide::<Portable>,
    evidence: evidence::<Portable>,
    linear: linear::<Portable>,
};

impl Kernels {
    /// The fastest kernels that this processor runs.
    pub fn detect() -> &'static Kernels {
        super::arch::detect().unwrap_or(&PORTABLE)
    }
}

/// `out = upper + fraction * (lower - upper)`, element by element.
#[inline(always)]
pub fn blend(upper: &[f32], lower: &[f32], fraction: f32, out: &mut [f32]) {
    for ((out, &upper), &lower) in out.iter_mut().zip(upper).zip(lower) {
        *out = upper + fraction * (lower - upper);
    }
}

/// For each output pixel: interpolates every class between the two grid columns around it and
/// keeps the best two. `classes * pixels` interpolations.
#[inline(always)]
pub fn decide<L: Lanes>(grid: GridRow<'_>, columns: Columns<'_>, winners: Winners<'_>) {
    let labels = winners.label.chunks_exact_mut(L::COUNT);
    let bests = winners.best.chunks_exact_mut(L::COUNT);
    let seconds = winners.second.chunks_exact_mut(L::COUNT);
    let outputs = labels.zip(bests).zip(seconds);
    for (group, ((label, best), second)) in groups::<L>(columns).zip(outputs) {
        let mut top = TopTwo::<L>::new();
        group.for_each_class(grid, |class, value| top.offer(class, value));
        top.label.store(label);
        top.best.store(best);
        top.second.store(second);
    }
}

/// For each output pixel, over logits multiplied by `scale`: how far the softmax stands behind
/// the winner that [`decide`] found. `classes * pixels` interpolations and exponentials.
#[inline(always)]
pub fn evidence<L: Lanes>(
    grid: GridRow<'_>,
    columns: Columns<'_>,
    scale: f32,
    evidence: Evidence<'_>,
) {
    let bests = evidence.best.chunks_exact(L::COUNT);
    let rivals = evidence.rival.chunks_exact_mut(L::COUNT);
    let sums = evidence.sum.chunks_exact_mut(L::COUNT);
    for (group, ((best, rival), sum)) in groups::<L>(columns).zip(bests.zip(rivals).zip(sums)) {
        let best = L::load(best);
        let mut total = L::splat(0.0);
        group.for_each_class(grid, |_, value| total = total.add(relative(value, best, scale)));
        relative(L::load(rival), best, scale).store(rival);
        total.store(sum);
    }
}

#[inline(always)]
fn relative<L: Lanes>(value: L, best: L, scale: f32) -> L {
    exp_nonpositive(value.sub(best).mul(L::splat(scale)))
}

/// Logits of [`CLASS_BLOCK`] classes for one grid row: `(sum over d of w[d] * x[d]) * scale +
/// bias`, summed in the order of the channels. Writes class rows as far apart as the channels'
/// rows; `out` may hold fewer than [`CLASS_BLOCK`] of them.
#[inline(always)]
pub fn linear<L: Lanes>(features: FeatureRow<'_>, block: ClassBlock<'_>, out: &mut [f32]) {
    for start in (0..features.stride).step_by(2 * L::COUNT) {
        let sums = sums_of::<L>(features, block.weights, start);
        let affine = block.scale.iter().zip(&block.bias);
        let rows = out.chunks_exact_mut(features.stride);
        for ((row, sum), (&scale, &bias)) in rows.zip(sums).zip(affine) {
            for (half, value) in sum.into_iter().enumerate() {
                let value = value.mul(L::splat(scale)).add(L::splat(bias));
                value.store(row.get_mut(start + half * L::COUNT..).unwrap_or_default());
            }
        }
    }
}

/// Weighted sums over the channels for two vectors of neighbouring cells, per class.
#[inline(always)]
fn sums_of<L: Lanes>(
    features: FeatureRow<'_>,
    [first, second, third, fourth]: [&[f32]; CLASS_BLOCK],
    start: usize,
) -> [[L; 2]; CLASS_BLOCK] {
    let mut sums = [[L::splat(0.0); 2]; CLASS_BLOCK];
    let weights = first.iter().zip(second).zip(third.iter().zip(fourth));
    for (row, ((&a, &b), (&c, &d))) in features.data.chunks_exact(features.stride).zip(weights) {
        let cells = row.get(start..).unwrap_or_default();
        let left = L::load(cells);
        let right = L::load(cells.get(L::COUNT..).unwrap_or_default());
        for (sum, weight) in sums.iter_mut().zip([a, b, c, d]) {
            let weight = L::splat(weight);
            *sum = [sum[0].add(left.mul(weight)), sum[1].add(right.mul(weight))];
        }
    }
    sums
}

struct TopTwo<L> {
    label: L,
    best: L,
    second: L,
}

impl<L: Lanes> TopTwo<L> {
    #[inline(always)]
    fn new() -> TopTwo<L> {
        let lowest = L::splat(f32::NEG_INFINITY);
        TopTwo { label: L::splat(0.0), best: lowest, second: lowest }
    }

    #[inline(always)]
    fn offer(&mut self, class: f32, value: L) {
        let wins = value.greater(self.best);
        let runner_up = L::select(value.greater(self.second), value, self.second);
        self.second = L::select(wins, self.best, runner_up);
        self.best = L::select(wins, value, self.best);
        self.label = L::select(wins, L::splat(class), self.label);
    }
}

/// Neighbouring output pixels, one per lane.
struct Group<'a, L: Lanes> {
    index: &'a [u32],
    base: usize,
    picks: L::Picks,
    fraction: L,
    reach: Reach,
}

/// How many grid columns the pixels of a group lie between.
#[derive(Clone, Copy, PartialEq)]
enum Reach {
    /// The same two columns.
    One,
    /// No more than a vector holds.
    Vector,
    /// More: the grid is finer than the output.
    Far,
}

#[inline(always)]
fn groups<'a, L: Lanes>(columns: Columns<'a>) -> impl Iterator<Item = Group<'a, L>> {
    let indices = columns.index.chunks_exact(L::COUNT);
    indices.zip(columns.fraction.chunks_exact(L::COUNT)).map(|(index, fraction)| {
        let first = index.first().copied().unwrap_or(0);
        let last = index.last().copied().unwrap_or(first);
        let span = last.saturating_sub(first) as usize;
        let reach = match span {
            0 => Reach::One,
            _ if span < L::COUNT => Reach::Vector,
            _ => Reach::Far,
        };
        let picks = L::picks(index, first);
        Group { index, base: first as usize, picks, fraction: L::load(fraction), reach }
    })
}

impl<L: Lanes> Group<'_, L> {
    /// Calls `take` with each class's number and interpolated values.
    #[inline(always)]
    fn for_each_class(&self, grid: GridRow<'_>, mut take: impl FnMut(f32, L)) {
        let mut class = 0.0;
        for row in grid.values.chunks_exact(grid.stride) {
            let near = row.get(self.base..).unwrap_or_default();
            let (left, right) = match self.reach {
                Reach::One => pair_of(near),
                Reach::Vector => {
                    let next = near.get(1..).unwrap_or_default();
                    (L::load(near).pick(self.picks), L::load(next).pick(self.picks))
                }
                Reach::Far => self.gather(row),
            };
            take(class, left.add(self.fraction.mul(right.sub(left))));
            class += 1.0;
        }
    }

    #[inline(always)]
    fn gather(&self, row: &[f32]) -> (L, L) {
        let (mut left, mut right) = ([0.0; MAX_LANES], [0.0; MAX_LANES]);
        for ((left, right), &index) in left.iter_mut().zip(&mut right).zip(self.index) {
            let near = row.get(index as usize..).unwrap_or_default();
            *left = near.first().copied().unwrap_or_default();
            *right = near.get(1).copied().unwrap_or_default();
        }
        (L::load(&left), L::load(&right))
    }
}

#[inline(always)]
fn pair_of<L: Lanes>(near: &[f32]) -> (L, L) {
    let left = near.first().copied().unwrap_or_default();
    let right = near.get(1).copied().unwrap_or_default();
    (L::splat(left), L::splat(right))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::vec::Vec;

    struct Case {
        classes: usize,
        width: usize,
        values: Vec<f32>,
        index: Vec<u32>,
        fraction: Vec<f32>,
    }

    fn random(state: &mut u64) -> f32 {
        *state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        ((*state >> 40) as f32 / 16_777_216.0 - 0.5) * 16.0
    }

    fn case(classes: usize, width: usize, pixels: usize, seed: u64) -> Case {
        let mut state = seed;
        let stride = row_stride(width);
        let values = (0..classes * stride).map(|_| random(&mut state)).collect();
        let padded = pixels.next_multiple_of(MAX_LANES);
        let step = width as f32 / pixels as f32;
        let position =
            |i: usize| (i.min(pixels - 1) as f32 * step).min(width.saturating_sub(1) as f32);
        let last = width.saturating_sub(2) as u32;
        let index: Vec<u32> = (0..padded).map(|i| (position(i) as u32).min(last)).collect();
        let fraction = (0..padded).map(|i| (position(i) - index[i] as f32).min(1.0)).collect();
        Case { classes, width, values, index, fraction }
    }

    /// The plainest possible statement of `decide` and `evidence`.
    fn reference(case: &Case, pixel: usize, scale: f32) -> (f32, f32, f32, f32) {
        let (index, t) = (case.index[pixel] as usize, case.fraction[pixel]);
        let stride = row_stride(case.width);
        let logits: Vec<f32> = (0..case.classes)
            .map(|c| {
                let (a, b) = (case.values[c * stride + index], case.values[c * stride + index + 1]);
                a + t * (b - a)
            })
            .collect();
        let mut best = 0;
        for (class, logit) in logits.iter().enumerate() {
            if *logit > logits[best] {
                best = class;
            }
        }
        let others = logits.iter().enumerate().filter(|(class, _)| *class != best);
        let second = others.map(|(_, &v)| v).fold(f32::NEG_INFINITY, f32::max);
        let sum = logits.iter().map(|&v| ((v - logits[best]) * scale).exp()).sum();
        (best as f32, logits[best], second, sum)
    }

    fn check(kernels: &Kernels, case: &Case) {
        let len = case.index.len();
        let (mut label, mut best) = (vec![0.0; len], vec![0.0; len]);
        let (mut second, mut sum) = (vec![0.0; len], vec![0.0; len]);
        let grid = GridRow { values: &case.values, stride: row_stride(case.width) };
        let columns = Columns { index: &case.index, fraction: &case.fraction };
        let winners = Winners { label: &mut label, best: &mut best, second: &mut second };
        (kernels.decide)(grid, columns, winners);
        let mut rival = second.clone();
        let evidence = Evidence { best: &best, rival: &mut rival, sum: &mut sum };
        (kernels.evidence)(grid, columns, 0.7, evidence);
        for pixel in 0..len {
            let want = reference(case, pixel, 0.7);
            let got = (label[pixel], best[pixel], second[pixel]);
            assert_eq!(got, (want.0, want.1, want.2), "{} pixel {pixel}", kernels.name);
            assert!((sum[pixel] - want.3).abs() <= 1e-5 * want.3, "{} sum", kernels.name);
            let ratio = ((want.2 - want.1) * 0.7).exp();
            assert!((rival[pixel] - ratio).abs() <= 1e-5, "{} rival", kernels.name);
        }
    }

    proptest! {
        #[test]
        fn every_kernel_decides_like_the_reference(
            classes in 1usize..24, width in 1usize..70, pixels in 1usize..200, seed: u64,
        ) {
            let case = case(classes, width, pixels, seed);
            check(&PORTABLE, &case);
            for kernels in super::super::arch::all() {
                check(kernels, &case);
            }
        }

        #[test]
        fn every_kernel_sums_in_the_same_order(
            channels in 1usize..40, width in 1usize..70, classes in 1usize..=4, seed: u64,
        ) {
            let mut state = seed;
            let stride = row_stride(width);
            let mut take = |len: usize| -> Vec<f32> {
                (0..len).map(|_| random(&mut state)).collect()
            };
            let (data, weights) = (take(channels * stride), take(channels * CLASS_BLOCK));
            let rows = core::array::from_fn(|class| &weights[class * channels..][..channels]);
            let block = ClassBlock { weights: rows, scale: [0.5, 1.0, 2.0, 3.0], bias: [1.0; 4] };
            let mut want = vec![0.0f32; classes * stride];
            for (at, want) in want.iter_mut().enumerate() {
                let (class, x) = (at / stride, at % stride);
                let mut sum = 0.0f32;
                for d in 0..channels {
                    sum += data[d * stride + x] * rows[class][d];
                }
                *want = sum * block.scale[class] + 1.0;
            }
            for kernels in super::super::arch::all().chain([&PORTABLE]) {
                let mut out = vec![0.0f32; classes * stride];
                (kernels.linear)(FeatureRow { data: &data, stride }, block, &mut out);
                prop_assert_eq!(&out, &want, "{}", kernels.name);
            }
        }
    }

    #[test]
    fn ties_and_nan_go_to_the_lowest_class() {
        let stride = row_stride(2);
        let mut values = vec![1.0f32; 3 * stride];
        let (index, fraction) = ([0u32; MAX_LANES], [0.5f32; MAX_LANES]);
        let columns = Columns { index: &index, fraction: &fraction };
        for _ in 0..2 {
            for kernels in super::super::arch::all().chain([&PORTABLE]) {
                let (mut label, mut best) = ([9.0; MAX_LANES], [9.0; MAX_LANES]);
                let mut second = [9.0; MAX_LANES];
                let winners = Winners { label: &mut label, best: &mut best, second: &mut second };
                (kernels.decide)(GridRow { values: &values, stride }, columns, winners);
                assert_eq!(label, [0.0; MAX_LANES], "{}", kernels.name);
            }
            values.fill(f32::NAN);
        }
    }
}
