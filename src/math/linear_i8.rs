//! The classifier in 8-bit integers with 32-bit sums.
//!
//! Features are quantised cell by cell, weights lie in the bundle as signed bytes. Sums of their
//! products are whole numbers, so every order of summation and every processor gives the same
//! bits; the few float operations around them are done in one fixed order.

use super::pieces::{piece, piece_mut, pieces};
use super::quantized::{QUAD, Quad, QuantizedRow, STRIP, TILE, ZERO_POINT, points_len};

/// Classes that are summed together.
const BLOCK: usize = 4;

/// Sum of a class's weights, with which [`linear_i8`] takes the points' 128 back out.
pub fn weights_total(weights: &[i8]) -> i32 {
    weights.iter().fold(0, |sum, &weight| sum.wrapping_add(i32::from(weight)))
}

/// Any number of classes with 8-bit weights; as many as there are scales.
#[derive(Clone, Copy)]
pub struct ClassRowsI8<'a> {
    /// `classes * channels` weights, class after class.
    pub weights: &'a [i8],
    /// Number of channels, at most 65,536 (so that sums fit 32 bits).
    pub channels: usize,
    /// [`weights_total`] of each class's weights.
    pub totals: &'a [i32],
    /// What one step of a class's weights is worth.
    pub scales: &'a [f32],
    /// Added last, per class.
    pub bias: &'a [f32],
}

/// From sums to logits.
#[derive(Clone, Copy)]
pub struct Affine<'a> {
    /// The class's scale.
    pub scale: f32,
    /// The cells' scales.
    pub cell_scales: &'a [f32; STRIP],
    /// The class's bias.
    pub bias: f32,
}

/// The sums of products of the cells of a strip, in 32-bit integers.
pub trait Sums: Copy {
    /// Whether registers hold the sums of a whole tile for four classes.
    const WIDE: bool;
    /// A [`Quad`] made ready for products.
    type Points<'a>: Copy;
    /// Four weights of one class made ready for products.
    type Weights: Copy;

    /// The same value for every cell.
    fn splat(value: i32) -> Self;
    /// What the sums of a class start from whose weights sum to `total`: less what the points' 128
    /// will add.
    #[inline(always)]
    fn start(total: i32) -> Self {
        Self::splat(total.wrapping_mul(-ZERO_POINT))
    }
    /// Takes the points as they are stored, 128 included.
    fn points(quad: &Quad) -> Self::Points<'_>;
    /// Takes the weights of four channels.
    fn weights(quad: [i8; QUAD]) -> Self::Weights;
    /// Adds the four products of each cell, exactly; of its points less 128 where `start` is 0.
    fn add_products(self, points: Self::Points<'_>, weights: Self::Weights) -> Self;
    /// Writes `sum as f32 * scale * cell scale + bias`.
    fn write(self, affine: Affine<'_>, cells: &mut [f32; STRIP]);
}

/// Logits of one grid row: `(sum over d of w[d] * q[d]) as f32 * class scale * cell scale + bias`,
/// in this order, where `q` are the features' points less 128. Class `c` starts at `c * stride` of
/// `out`; [`scales_len`](super::quantized::scales_len) cells of each class are written.
#[inline(always)]
pub fn linear_i8<S: Sums>(
    row: QuantizedRow<'_>,
    classes: ClassRowsI8<'_>,
    out: &mut [f32],
    stride: usize,
) {
    let strip_len = points_len(classes.channels, STRIP);
    let mut rest = row.points;
    for (index, scales) in row.scales.chunks(TILE * STRIP).enumerate() {
        let strips = scales.len() / STRIP;
        let Some((points, others)) = rest.split_at_checked(strips.saturating_mul(strip_len)) else {
            return;
        };
        rest = others;
        let tile = Tile { points, scales, start: index * TILE * STRIP };
        match (S::WIDE, strips) {
            (true, 4) => tile.linear::<S, 4>(strips, classes, out, stride),
            (true, 3) => tile.linear::<S, 3>(strips, classes, out, stride),
            (true, 2) => tile.linear::<S, 2>(strips, classes, out, stride),
            _ => tile.linear::<S, 1>(strips, classes, out, stride),
        }
    }
}

/// Neighbouring strips of a quantised row.
struct Tile<'a> {
    points: &'a [u8],
    scales: &'a [f32],
    start: usize,
}

impl Tile<'_> {
    /// All classes, `BLOCK` classes times `AT_ONCE` strips at a time.
    #[inline(always)]
    fn linear<S: Sums, const AT_ONCE: usize>(
        &self,
        strips: usize,
        classes: ClassRowsI8<'_>,
        out: &mut [f32],
        stride: usize,
    ) {
        let count = classes.scales.len();
        let groups = Groups { quads: self.points.as_chunks().0, strips };
        for first in (0..count).step_by(BLOCK) {
            // Where classes end, the last one is summed again and not written.
            let weights: [&[i8]; BLOCK] = core::array::from_fn(|class| {
                let class = (first + class).min(count.saturating_sub(1));
                piece(classes.weights, class, classes.channels).unwrap_or_default()
            });
            let totals = classes.totals.get(first..).unwrap_or_default();
            for from in (0..strips).step_by(AT_ONCE) {
                let mut sums = [[S::splat(0); AT_ONCE]; BLOCK];
                for (sums, total) in sums.iter_mut().zip(totals) {
                    *sums = [S::start(*total); AT_ONCE];
                }
                let sums = add_all_products(sums, groups, from, weights);
                for (class, sums) in (first..count).zip(&sums) {
                    let row = piece_mut(out, class, stride).unwrap_or_default();
                    self.write(classes, class, from, sums, row);
                }
            }
        }
    }

    /// Writes the logits of a class from its sums.
    #[inline(always)]
    fn write<S: Sums>(
        &self,
        classes: ClassRowsI8<'_>,
        class: usize,
        from: usize,
        sums: &[S],
        row: &mut [f32],
    ) {
        let scale = classes.scales.get(class).copied().unwrap_or_default();
        let bias = classes.bias.get(class).copied().unwrap_or_default();
        let cells = row.get_mut(self.start + from * STRIP..).unwrap_or_default();
        let strips = cells.as_chunks_mut::<STRIP>().0.iter_mut();
        let cell_scales = self.scales.as_chunks::<STRIP>().0.iter().skip(from);
        for ((cells, sums), cell_scales) in strips.zip(sums).zip(cell_scales) {
            sums.write(Affine { scale, cell_scales, bias }, cells);
        }
    }
}

/// The groups of four channels of a tile.
#[derive(Clone, Copy)]
struct Groups<'a> {
    quads: &'a [Quad],
    /// Quads of a group.
    strips: usize,
}

impl<'a> Groups<'a> {
    /// The groups from `first` on, each from strip `from` on.
    #[inline(always)]
    fn from(self, first: usize, from: usize) -> impl Iterator<Item = &'a [Quad]> {
        let quads = self.quads.get(first.saturating_mul(self.strips)..).unwrap_or_default();
        pieces(quads, self.strips).map(move |group| group.get(from..).unwrap_or_default())
    }
}

/// Adds the products of all channels for `AT_ONCE` strips.
#[inline(always)]
fn add_all_products<S: Sums, const AT_ONCE: usize>(
    sums: [[S; AT_ONCE]; BLOCK],
    groups: Groups<'_>,
    from: usize,
    weights: [&[i8]; BLOCK],
) -> [[S; AT_ONCE]; BLOCK] {
    let whole = weights.map(|weights| weights.as_chunks::<QUAD>().0);
    let sums = add_products(sums, groups.from(0, from), whole);
    let done = whole.first().map_or(0, |quads| quads.len());
    let mut last = [[[0; QUAD]]; BLOCK];
    for (quad, weights) in last.as_flattened_mut().iter_mut().zip(weights) {
        let rest = weights.as_chunks::<QUAD>().1;
        quad.iter_mut().zip(rest).for_each(|(place, &weight)| *place = weight);
    }
    let [a, b, c, d] = &last;
    add_products(sums, groups.from(done, from), [a, b, c, d])
}

/// Adds the products of the groups of channels, as many as there are of both. Sums are handed on by
/// value: behind a reference they would be stored at every step.
#[inline(always)]
fn add_products<'a, S: Sums, const AT_ONCE: usize>(
    mut sums: [[S; AT_ONCE]; BLOCK],
    groups: impl Iterator<Item = &'a [Quad]>,
    [first, second, third, fourth]: [&[[i8; QUAD]]; BLOCK],
) -> [[S; AT_ONCE]; BLOCK] {
    let weights = first.iter().zip(second).zip(third.iter().zip(fourth));
    for (strips, ((&a, &b), (&c, &d))) in groups.zip(weights) {
        let Some(strips) = strips.first_chunk::<AT_ONCE>() else { break };
        let points = strips.each_ref().map(S::points);
        for (sums, weights) in sums.iter_mut().zip([a, b, c, d]) {
            let weights = S::weights(weights);
            for (sum, points) in sums.iter_mut().zip(points) {
                *sum = sum.add_products(points, weights);
            }
        }
    }
    sums
}

/// The portable implementation, and the reference that the others are tested against.
#[derive(Clone, Copy)]
pub struct PortableSums([i32; STRIP]);

impl Sums for PortableSums {
    const WIDE: bool = false;
    type Points<'a> = &'a Quad;
    type Weights = [i8; QUAD];

    #[inline(always)]
    fn splat(value: i32) -> Self {
        PortableSums([value; STRIP])
    }

    #[inline(always)]
    fn points(quad: &Quad) -> &Quad {
        quad
    }

    #[inline(always)]
    fn weights(quad: [i8; QUAD]) -> [i8; QUAD] {
        quad
    }

    #[inline(always)]
    fn add_products(self, points: &Quad, weights: [i8; QUAD]) -> Self {
        let mut sums = self.0;
        for (sum, points) in sums.iter_mut().zip(points.as_chunks::<QUAD>().0) {
            for (&point, weight) in points.iter().zip(weights) {
                *sum = sum.wrapping_add(i32::from(point).wrapping_mul(i32::from(weight)));
            }
        }
        PortableSums(sums)
    }

    #[inline(always)]
    fn write(self, affine: Affine<'_>, cells: &mut [f32; STRIP]) {
        let places = cells.iter_mut().zip(affine.cell_scales);
        for ((cell, cell_scale), sum) in places.zip(self.0) {
            *cell = sum as f32 * affine.scale * cell_scale + affine.bias;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::quantized::{place, random, scales_len, sets};
    use super::*;
    use proptest::prelude::*;
    use std::vec::Vec;

    proptest! {
        #[test]
        fn every_set_sums_exactly(
            channels in 1usize..70, width in 1usize..150, classes in 1usize..11, seed: u64,
        ) {
            let mut state = seed;
            let mut bytes = |len: usize| -> Vec<u8> {
                (0..len).map(|_| random(&mut state) as u8).collect()
            };
            let points = bytes(points_len(channels, width));
            let weights: Vec<i8> =
                bytes(classes * channels).into_iter().map(u8::cast_signed).collect();
            let mut numbers = |len: usize| -> Vec<f32> {
                (0..len).map(|_| random(&mut state) as f32 / 2f32.powi(31)).collect()
            };
            let (cells, scales) = (numbers(scales_len(width)), numbers(classes));
            let bias = numbers(classes);
            let totals: Vec<i32> = weights.chunks(channels).map(weights_total).collect();
            let rows = ClassRowsI8 {
                weights: &weights, channels, totals: &totals, scales: &scales, bias: &bias,
            };
            let stride = cells.len() + 5;
            let mut want = vec![4.0f32; classes * stride];
            for (class, weights) in weights.chunks(channels).enumerate() {
                for (x, cell) in cells.iter().enumerate() {
                    let products = weights.iter().enumerate().map(|(d, &weight)| {
                        let point = i64::from(points[place(channels, width, d, x)]) - 128;
                        point * i64::from(weight)
                    });
                    let sum: i64 = products.sum();
                    want[class * stride + x] = sum as f32 * scales[class] * cell + bias[class];
                }
            }
            for kernels in sets() {
                let mut out = vec![4.0f32; classes * stride];
                let row = QuantizedRow { points: &points, scales: &cells };
                (kernels.linear_i8)(row, rows, &mut out, stride);
                prop_assert_eq!(&out, &want, "{}", kernels.name);
            }
        }
    }

    #[test]
    fn the_largest_sums_do_not_saturate() {
        const CHANNELS: usize = 4096;
        for (weight, point) in [(-128, 255), (127, 255), (-128, 1), (127, 1)] {
            let weights = vec![weight; CHANNELS];
            let rows = ClassRowsI8 {
                weights: &weights,
                channels: CHANNELS,
                totals: &[weights_total(&weights)],
                scales: &[1.0],
                bias: &[0.0],
            };
            let want = (i32::from(weight) * (i32::from(point) - 128) * CHANNELS as i32) as f32;
            for kernels in sets() {
                let points = vec![point; points_len(CHANNELS, 1)];
                let mut out = [0.0; STRIP];
                let row = QuantizedRow { points: &points, scales: &[1.0; STRIP] };
                (kernels.linear_i8)(row, rows, &mut out, STRIP);
                assert_eq!(out, [want; STRIP], "{}", kernels.name);
            }
        }
    }

    #[test]
    fn short_buffers_are_left_alone() {
        for kernels in sets() {
            let rows = ClassRowsI8 {
                weights: &[1; 4],
                channels: 4,
                totals: &[4],
                scales: &[1.0],
                bias: &[0.0],
            };
            let mut out = [5.0; STRIP];
            let row = QuantizedRow { points: &[9; 63], scales: &[1.0; STRIP] };
            (kernels.linear_i8)(row, rows, &mut out, STRIP);
            assert_eq!(out, [5.0; STRIP]);
        }
    }
}
