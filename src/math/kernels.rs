//! The per-row kernels of the head, written once over [`Lanes`].
//!
//! Rows of the grid are stored class after class: class `c` starts at `c * stride`, where
//! `stride` is [`row_stride`] of the grid's width, so that vector loads near the end of a row
//! stay inside it.

use super::groups::{Visitor, groups};
use super::lanes::{Lanes, Portable, exp_nonpositive};
use super::linear_i8::{self, ClassRowsI8, PortableSums};
use super::pieces::{pieces, pieces_mut};
use super::prune::{self, Candidates, CellRow, Survivors};
use super::quantized::{self, QuantizedRow, QuantizedRowMut};

/// Most lanes of any implementation; output rows are padded to a multiple of it.
pub const MAX_LANES: usize = 16;
/// Classes that [`linear`] computes together.
pub const CLASS_BLOCK: usize = 4;

/// Length of one class's row on a grid of `width` columns, in elements.
pub const fn row_stride(width: usize) -> usize {
    (width + MAX_LANES).next_multiple_of(2 * MAX_LANES)
}

/// One row of logits, all classes, each [`row_stride`] long. Written by [`blend`].
#[derive(Clone, Copy)]
pub struct GridRow<'a> {
    /// `classes * stride` values.
    pub values: &'a [f32],
    /// As many: the next column's value minus this one's.
    pub steps: &'a [f32],
    /// Distance between classes, in elements.
    pub stride: usize,
}

impl<'a> GridRow<'a> {
    /// The first `classes` classes, and the others.
    pub fn split(self, classes: usize) -> (GridRow<'a>, GridRow<'a>) {
        let at = classes.saturating_mul(self.stride);
        let (first, others) = self.values.split_at_checked(at).unwrap_or((self.values, &[]));
        let (first_steps, other_steps) = self.steps.split_at_checked(at).unwrap_or_default();
        (
            GridRow { values: first, steps: first_steps, stride: self.stride },
            GridRow { values: others, steps: other_steps, stride: self.stride },
        )
    }
}

/// Two neighbouring rows of the grid and the place between them.
#[derive(Clone, Copy)]
pub struct RowPair<'a> {
    /// Logits of the upper row.
    pub upper: &'a [f32],
    /// Logits of the lower row.
    pub lower: &'a [f32],
    /// Distance from the upper row, 0 to 1.
    pub fraction: f32,
}

/// A [`GridRow`] to be written.
pub struct BlendedRow<'a> {
    /// As [`GridRow::values`].
    pub values: &'a mut [f32],
    /// As [`GridRow::steps`].
    pub steps: &'a mut [f32],
}

/// Where each output pixel of a row lies on the grid; padded to a multiple of [`MAX_LANES`].
#[derive(Clone, Copy)]
pub struct Columns<'a> {
    /// Grid column to the left of the pixel; never decreasing, column + 1 inside the row.
    pub index: &'a [u32],
    /// Distance from that column, 0 to 1.
    pub fraction: &'a [f32],
}

/// The two best classes of each pixel, as long as [`Columns`].
pub struct Ranking<'a> {
    /// Class with the highest logit (the lowest such class on ties), as a whole number.
    pub label: &'a mut [f32],
    /// Its logit.
    pub best: &'a mut [f32],
    /// The second highest logit.
    pub second: &'a mut [f32],
}

/// A softmax relative to some logit of each pixel, as long as [`Columns`].
#[derive(Clone, Copy)]
pub struct Softmax<'a> {
    /// That logit: the highest of all classes.
    pub best: &'a [f32],
    /// Factor on the logits.
    pub scale: f32,
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
    pub blend: fn(RowPair<'_>, BlendedRow<'_>),
    /// See [`decide`].
    pub decide: fn(GridRow<'_>, Columns<'_>, &mut [f32]),
    /// See [`rank`].
    pub rank: fn(GridRow<'_>, Columns<'_>, Ranking<'_>),
    /// See [`total`].
    pub total: fn(GridRow<'_>, Columns<'_>, Softmax<'_>, &mut [f32]),
    /// See [`relative`].
    pub relative: fn(Softmax<'_>, &mut [f32]),
    /// See [`prune::prune`].
    pub prune: fn(CellRow<'_>, &mut Candidates<'_>) -> bool,
    /// See [`prune::blend_active`].
    pub blend_active: fn(RowPair<'_>, usize, &[u16], BlendedRow<'_>),
    /// See [`prune::decide_pruned`].
    pub decide_pruned: fn(GridRow<'_>, Columns<'_>, Survivors<'_>, &mut [f32]),
    /// See [`linear`].
    pub linear: fn(FeatureRow<'_>, ClassBlock<'_>, &mut [f32]),
    /// See [`quantized::quantize`].
    pub quantize: fn(FeatureRow<'_>, usize, &mut [f32], QuantizedRowMut<'_>),
    /// See [`linear_i8::linear_i8`].
    pub linear_i8: fn(QuantizedRow<'_>, ClassRowsI8<'_>, &mut [f32], usize),
}

/// The kernels for any processor.
pub static PORTABLE: Kernels = Kernels {
    name: "portable",
    blend,
    decide: decide::<Portable>,
    rank: rank::<Portable>,
    total: total::<Portable>,
    relative: relative::<Portable>,
    prune: prune::prune::<Portable>,
    blend_active: prune::blend_active,
    decide_pruned: prune::decide_pruned::<Portable>,
    linear: linear::<Portable>,
    quantize: quantized::quantize::<Portable>,
    linear_i8: linear_i8::linear_i8::<PortableSums>,
};

impl Kernels {
    /// The fastest kernels that this processor runs.
    pub fn detect() -> &'static Kernels {
        super::arch::detect().unwrap_or(&PORTABLE)
    }
}

/// `values = upper + fraction * (lower - upper)`, element by element, and the steps from each
/// value to the next. All of one length; the last step is left as it is.
#[inline(always)]
pub fn blend(rows: RowPair<'_>, blended: BlendedRow<'_>) {
    let BlendedRow { values, steps } = blended;
    for ((value, &upper), &lower) in values.iter_mut().zip(rows.upper).zip(rows.lower) {
        *value = upper + rows.fraction * (lower - upper);
    }
    let next = values.get(1..).unwrap_or_default();
    for ((step, &value), &next) in steps.iter_mut().zip(values.iter()).zip(next) {
        *step = next - value;
    }
}

/// For each output pixel: interpolates every class between the two grid columns around it and
/// writes the class with the highest logit (the lowest such class on ties), as a whole number.
/// `classes * pixels` interpolations.
#[inline(always)]
pub fn decide<L: Lanes>(grid: GridRow<'_>, columns: Columns<'_>, labels: &mut [f32]) {
    for (group, label) in groups::<L>(columns).zip(labels.chunks_exact_mut(L::COUNT)) {
        let mut top = Top::<L>::new();
        group.visit_classes(grid, &mut top);
        top.label.store(label);
    }
}

/// As [`decide`], and the logits of the best two classes.
#[inline(always)]
pub fn rank<L: Lanes>(grid: GridRow<'_>, columns: Columns<'_>, ranking: Ranking<'_>) {
    let labels = ranking.label.chunks_exact_mut(L::COUNT);
    let bests = ranking.best.chunks_exact_mut(L::COUNT);
    let seconds = ranking.second.chunks_exact_mut(L::COUNT);
    let outputs = labels.zip(bests).zip(seconds);
    for (group, ((label, best), second)) in groups::<L>(columns).zip(outputs) {
        let mut ranks = TopTwo::<L> { top: Top::new(), second: L::splat(f32::NEG_INFINITY) };
        group.visit_classes(grid, &mut ranks);
        ranks.top.label.store(label);
        ranks.top.best.store(best);
        ranks.second.store(second);
    }
}

/// For each output pixel: the sum of the softmax's exponentials, each relative to the best
/// logit, so the inverse of that logit's probability. `classes * pixels` interpolations and
/// exponentials.
#[inline(always)]
pub fn total<L: Lanes>(
    grid: GridRow<'_>,
    columns: Columns<'_>,
    softmax: Softmax<'_>,
    sums: &mut [f32],
) {
    let bests = softmax.best.chunks_exact(L::COUNT);
    let sums = sums.chunks_exact_mut(L::COUNT);
    for (group, (best, sum)) in groups::<L>(columns).zip(bests.zip(sums)) {
        let best = L::load(best);
        let mut total = Total { best, scale: L::splat(softmax.scale), sum: L::splat(0.0) };
        group.visit_classes(grid, &mut total);
        total.sum.store(sum);
    }
}

/// Turns logits, none above the best, into their probabilities divided by the best one's.
#[inline(always)]
pub fn relative<L: Lanes>(softmax: Softmax<'_>, values: &mut [f32]) {
    let scale = L::splat(softmax.scale);
    let bests = softmax.best.chunks_exact(L::COUNT);
    for (best, value) in bests.zip(values.chunks_exact_mut(L::COUNT)) {
        exp_nonpositive(L::load(value).sub(L::load(best)).mul(scale)).store(value);
    }
}

/// Logits of [`CLASS_BLOCK`] classes for one grid row: `(sum over d of w[d] * x[d]) * scale +
/// bias`, summed in the order of the channels. Writes class rows as far apart as the channels'
/// rows; `out` may hold fewer than [`CLASS_BLOCK`] of them.
#[inline(always)]
pub fn linear<L: Lanes>(features: FeatureRow<'_>, block: ClassBlock<'_>, out: &mut [f32]) {
    for start in (0..features.stride).step_by(2 * L::COUNT) {
        let sums = sums_of::<L>(features, block.weights, start);
        let affine = block.scale.iter().zip(&block.bias);
        let rows = pieces_mut(out, features.stride);
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
    for (row, ((&a, &b), (&c, &d))) in pieces(features.data, features.stride).zip(weights) {
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

/// The best class so far.
pub(super) struct Top<L> {
    pub(super) label: L,
    best: L,
}

impl<L: Lanes> Top<L> {
    #[inline(always)]
    pub(super) fn new() -> Top<L> {
        Top { label: L::splat(0.0), best: L::splat(f32::NEG_INFINITY) }
    }
}

impl<L: Lanes> Visitor<L> for Top<L> {
    #[inline(always)]
    fn visit(&mut self, class: f32, value: L) {
        self.label = L::select(value.greater(self.best), L::splat(class), self.label);
        self.best = value.max(self.best);
    }
}

/// The best class and the second best logit so far.
struct TopTwo<L> {
    top: Top<L>,
    second: L,
}

impl<L: Lanes> Visitor<L> for TopTwo<L> {
    #[inline(always)]
    fn visit(&mut self, class: f32, value: L) {
        let loser = L::select(value.greater(self.top.best), self.top.best, value);
        self.second = loser.max(self.second);
        self.top.visit(class, value);
    }
}

/// The sum of the softmax's exponentials so far, relative to the best class.
struct Total<L> {
    best: L,
    scale: L,
    sum: L,
}

impl<L: Lanes> Visitor<L> for Total<L> {
    #[inline(always)]
    fn visit(&mut self, _class: f32, value: L) {
        self.sum = self.sum.add(exp_nonpositive(value.sub(self.best).mul(self.scale)));
    }
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

    /// The plainest possible statement of `rank` and `total`.
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
        let (mut values, mut steps) = (vec![0.0; case.values.len()], vec![0.0; case.values.len()]);
        let rows = RowPair { upper: &case.values, lower: &case.values, fraction: 0.3 };
        (kernels.blend)(rows, BlendedRow { values: &mut values, steps: &mut steps });
        let grid = GridRow { values: &values, steps: &steps, stride: row_stride(case.width) };
        let columns = Columns { index: &case.index, fraction: &case.fraction };
        (kernels.decide)(grid, columns, &mut label);
        let mut ranked = vec![0.0; len];
        let ranking = Ranking { label: &mut ranked, best: &mut best, second: &mut second };
        (kernels.rank)(grid, columns, ranking);
        assert_eq!(ranked, label, "{}", kernels.name);
        let mut rival = second.clone();
        let softmax = Softmax { best: &best, scale: 0.7 };
        (kernels.total)(grid, columns, softmax, &mut sum);
        (kernels.relative)(softmax, &mut rival);
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
                let mut label = [9.0; MAX_LANES];
                let steps = vec![0.0; values.len()];
                let grid = GridRow { values: &values, steps: &steps, stride };
                (kernels.decide)(grid, columns, &mut label);
                assert_eq!(label, [0.0; MAX_LANES], "{}", kernels.name);
            }
            values.fill(f32::NAN);
        }
    }
}
