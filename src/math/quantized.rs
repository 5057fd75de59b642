//! Grid rows of features as 8-bit integers, for [`super::linear_i8`].

use super::kernels::FeatureRow;
use super::lanes::{Lanes, WIDTH};
use super::pieces::pieces_mut;

/// Neighbouring cells of a grid row that lie together in [`QuantizedRow::points`].
pub const STRIP: usize = 16;
/// Channels of a cell that lie together in a strip.
pub(super) const QUAD: usize = 4;
/// What a byte holds for the whole number 0.
pub(super) const ZERO_POINT: i32 = 128;
/// Cells of smaller magnitude count as zeros: 127 divided by it may not be finite.
const SMALLEST_MAGNITUDE: f32 = 1e-30;
/// Strips that lie together in a row, where there are as many left.
pub(super) const TILE: usize = 4;

/// Four channels of the cells of a strip.
pub type Quad = [u8; STRIP * QUAD];

/// Length of [`QuantizedRow::scales`] in elements.
pub const fn scales_len(width: usize) -> usize {
    width.div_ceil(STRIP).saturating_mul(STRIP)
}

/// Length of [`QuantizedRow::points`] in bytes.
pub const fn points_len(channels: usize, width: usize) -> usize {
    scales_len(width).saturating_mul(channels.div_ceil(QUAD).saturating_mul(QUAD))
}

/// Length of [`quantize`]'s scratch in elements.
pub const fn scratch_len(channels: usize) -> usize {
    channels.saturating_mul(TILE * STRIP)
}

/// One grid row of quantised features. Written by [`quantize`].
#[derive(Clone, Copy)]
pub struct QuantizedRow<'a> {
    /// [`points_len`] bytes, each a whole number plus 128. From the outside in: tiles of four
    /// strips (fewer at the end), groups of four channels, strips of [`STRIP`] neighbouring cells,
    /// cells.
    pub points: &'a [u8],
    /// [`scales_len`] numbers: what one step of a cell's points is worth.
    pub scales: &'a [f32],
}

/// A [`QuantizedRow`] to be written.
pub struct QuantizedRowMut<'a> {
    /// As [`QuantizedRow::points`].
    pub points: &'a mut [u8],
    /// As [`QuantizedRow::scales`].
    pub scales: &'a mut [f32],
}

/// Quantises each cell symmetrically over its channels: with `max` its largest magnitude, a
/// point is `x * (127 / max)` rounded to the nearest whole number (ties to even) and the scale is
/// `max / 127`. NaN counts as zero. A cell whose largest magnitude is infinite or below 1e-30
/// becomes all zeros with scale 0.
///
/// Reads [`scales_len`] cells of each of the `channels` rows, and zeros where `features` ends, so
/// `features` may be a row in the midst of planes. Each cell is read once and kept in `scratch`
/// ([`scratch_len`]): rows of large planes evict one another from caches.
#[inline(always)]
pub fn quantize<L: Lanes>(
    features: FeatureRow<'_>,
    channels: usize,
    scratch: &mut [f32],
    row: QuantizedRowMut<'_>,
) {
    let strip_len = points_len(channels, STRIP);
    let mut rest = row.points;
    for (tile, scales) in row.scales.chunks_mut(TILE * STRIP).enumerate() {
        let strips = scales.len() / STRIP;
        let data = features.data.get(tile * TILE * STRIP..).unwrap_or_default();
        let features = FeatureRow { data, stride: features.stride };
        let Some((points, others)) = rest.split_at_mut_checked(strips.saturating_mul(strip_len))
        else {
            return;
        };
        rest = others;
        let mut tile = Tile { features, channels, points, scales, strips };
        // Processors without wide vectors gain nothing from it.
        if strips == TILE && L::COUNT >= 8 {
            tile.quantize::<L, TILE>(scratch, 0);
            continue;
        }
        for from in 0..strips {
            tile.quantize::<L, 1>(scratch, from);
        }
    }
}

/// Most vectors of a strip; wider ones use the first of them.
const PARTS: usize = STRIP / WIDTH;

/// Neighbouring strips of a row that lie together.
struct Tile<'a> {
    /// From the tile's first cell on.
    features: FeatureRow<'a>,
    channels: usize,
    points: &'a mut [u8],
    scales: &'a mut [f32],
    strips: usize,
}

impl Tile<'_> {
    /// Quantises `AT_ONCE` strips from strip `from` on.
    #[inline(always)]
    fn quantize<L: Lanes, const AT_ONCE: usize>(&mut self, scratch: &mut [f32], from: usize) {
        let cells = scratch.as_chunks_mut().0.as_chunks_mut::<AT_ONCE>().0;
        let cells = cells.get_mut(..self.channels).unwrap_or_default();
        let mut largest = [[L::splat(0.0); PARTS]; AT_ONCE];
        for (channel, cells) in cells.iter_mut().enumerate() {
            let first = channel.saturating_mul(self.features.stride).saturating_add(from * STRIP);
            let row = self.features.data.get(first..).unwrap_or_default();
            if let Some(whole) = row.as_chunks().0.first_chunk() {
                keep(whole, cells, &mut largest);
                continue;
            }
            let mut part = [[0.0; STRIP]; AT_ONCE];
            part.as_flattened_mut().iter_mut().zip(row).for_each(|(place, &x)| *place = x);
            keep(&part, cells, &mut largest);
        }
        let mut factors = [[0.0; STRIP]; AT_ONCE];
        let scales = self.scales.as_chunks_mut().0.get_mut(from..).unwrap_or_default();
        for ((factors, scales), largest) in factors.iter_mut().zip(scales).zip(&largest) {
            *factors = factors_of(largest, scales);
        }
        let (whole, rest) = cells.as_chunks::<QUAD>();
        let mut groups = pieces_mut(self.points.as_chunks_mut().0, self.strips)
            .map(|group| group.get_mut(from..).unwrap_or_default());
        for (four, group) in whole.iter().zip(&mut groups) {
            write_points::<L, AT_ONCE>(four, &factors, group);
        }
        if let Some(group) = groups.next() {
            let mut four = [[[0.0; STRIP]; AT_ONCE]; QUAD];
            four.iter_mut().zip(rest).for_each(|(place, cells)| *place = *cells);
            write_points::<L, AT_ONCE>(&four, &factors, group);
        }
    }
}

/// Copies the cells of a channel and notes their magnitudes.
#[inline(always)]
fn keep<L: Lanes, const STRIPS: usize>(
    from: &[[f32; STRIP]; STRIPS],
    to: &mut [[f32; STRIP]; STRIPS],
    largest: &mut [[L; PARTS]; STRIPS],
) {
    for ((from, to), largest) in from.iter().zip(to).zip(largest) {
        let parts = from.chunks_exact(L::COUNT).zip(to.chunks_exact_mut(L::COUNT));
        for ((from, to), most) in parts.zip(largest) {
            let x = L::load(from);
            *most = x.abs().max(*most);
            x.store(to);
        }
    }
}

/// What to multiply the cells of a strip with; writes their scales.
#[inline(always)]
fn factors_of<L: Lanes>(largest: &[L; PARTS], scales: &mut [f32; STRIP]) -> [f32; STRIP] {
    for (part, scales) in largest.iter().zip(scales.chunks_exact_mut(L::COUNT)) {
        part.store(scales);
    }
    let mut factors = [0.0; STRIP];
    for (factor, scale) in factors.iter_mut().zip(scales) {
        let usable = (SMALLEST_MAGNITUDE..f32::INFINITY).contains(scale);
        *factor = if usable { 127.0 / *scale } else { 0.0 };
        *scale = if usable { *scale / 127.0 } else { 0.0 };
    }
    factors
}

/// Four channels of neighbouring strips as points.
#[inline(always)]
fn write_points<L: Lanes, const STRIPS: usize>(
    [first, second, third, fourth]: &[[[f32; STRIP]; STRIPS]; QUAD],
    factors: &[[f32; STRIP]; STRIPS],
    group: &mut [Quad],
) {
    let cells = first.iter().zip(second).zip(third.iter().zip(fourth));
    for ((((a, b), (c, d)), factors), quad) in cells.zip(factors).zip(group) {
        let cells = [a, b, c, d].map(|cells| cells.as_slice());
        for (from, quad) in (0..).step_by(L::COUNT).zip(quad.chunks_exact_mut(L::COUNT * QUAD)) {
            let factor = L::load(factors.get(from..).unwrap_or_default());
            let mut four = [factor; QUAD];
            for (x, cells) in four.iter_mut().zip(cells) {
                *x = L::load(cells.get(from..).unwrap_or_default()).mul(factor);
            }
            L::store_points(four, quad);
        }
    }
}

#[cfg(test)]
pub(super) use tests::{place, random, sets};

#[cfg(test)]
mod tests {
    use super::super::arch;
    use super::super::kernels::{Kernels, PORTABLE};
    use super::*;
    use proptest::prelude::*;
    use std::vec::Vec;

    pub fn sets() -> impl Iterator<Item = &'static Kernels> {
        arch::all().chain([&PORTABLE])
    }

    pub fn random(state: &mut u64) -> u32 {
        *state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        (*state >> 33) as u32
    }

    /// Mostly ordinary numbers, of very different sizes from cell to cell.
    fn feature(state: &mut u64, x: usize) -> f32 {
        let size = [1.0, 1e-35, 3e37, 1e-3, 40.0][x % 5];
        match random(state) % 64 {
            0 => f32::NAN,
            1 if x % 7 == 3 => f32::NEG_INFINITY,
            2 => -0.0,
            // Ties between whole numbers.
            3 => size * 127.0,
            4 => size * 2.5,
            _ => (random(state) as f32 / 2f32.powi(30) - 1.0) * size,
        }
    }

    fn quantized(
        kernels: &Kernels,
        features: FeatureRow<'_>,
        shape: [usize; 2],
    ) -> (Vec<u8>, Vec<f32>) {
        let [channels, width] = shape;
        let mut scratch = vec![7.0; scratch_len(channels)];
        let (mut points, mut scales) =
            (vec![9; points_len(channels, width)], vec![9.0; scales_len(width)]);
        let row = QuantizedRowMut { points: &mut points, scales: &mut scales };
        (kernels.quantize)(features, channels, &mut scratch, row);
        (points, scales)
    }

    /// Place of a point in a row.
    pub fn place(channels: usize, width: usize, channel: usize, x: usize) -> usize {
        let (tile, strips) = (x / 64, (scales_len(width) / 16 - x / 64 * 4).min(4));
        let quads = channels.div_ceil(4);
        let group = tile * 4 * quads + channel / 4 * strips;
        ((group + x / 16 % 4) * 16 + x % 16) * 4 + channel % 4
    }

    /// The plainest possible statement of `quantize` for one cell.
    fn quantize_cell(cell: &[f32]) -> (f32, Vec<i32>) {
        let largest = cell.iter().filter(|x| !x.is_nan()).fold(0.0f32, |most, x| most.max(x.abs()));
        if largest < 1e-30 || largest.is_infinite() {
            return (0.0, vec![0; cell.len()]);
        }
        let factor = 127.0 / largest;
        let round = |x: &f32| (x * factor).round_ties_even() as i32;
        (largest / 127.0, cell.iter().map(round).collect())
    }

    proptest! {
        #[test]
        fn every_set_quantizes_like_the_reference(
            channels in 1usize..70, width in 1usize..150, planes: bool, seed: u64,
        ) {
            let mut state = seed;
            // A packed row, or the last row of planes, where the last channel ends early.
            let stride = if planes { 3 * width } else { width + 11 };
            let skip = if planes { 2 * width } else { 0 };
            let data: Vec<f32> =
                (0..channels * stride).map(|i| feature(&mut state, i % stride % width)).collect();
            let features = FeatureRow { data: &data[skip..], stride };
            for kernels in sets() {
                let (points, scales) = quantized(kernels, features, [channels, width]);
                for x in 0..scales.len() {
                    let cell: Vec<f32> = (0..channels)
                        .map(|d| features.data.get(d * stride + x).copied().unwrap_or(0.0))
                        .collect();
                    let (scale, want) = quantize_cell(&cell);
                    prop_assert_eq!(scales[x].to_bits(), scale.to_bits(), "{}", kernels.name);
                    let got: Vec<i32> = (0..channels)
                        .map(|d| i32::from(points[place(channels, width, d, x)]) - 128)
                        .collect();
                    prop_assert_eq!(got, want, "{} cell {}", kernels.name, x);
                }
            }
        }
    }

    #[test]
    fn short_buffers_are_left_alone() {
        for kernels in sets() {
            let features = FeatureRow { data: &[1.0; 64], stride: 16 };
            let (mut points, mut scales) = ([9; 63], [9.0; STRIP]);
            let row = QuantizedRowMut { points: &mut points, scales: &mut scales };
            (kernels.quantize)(features, 4, &mut [0.0; 256], row);
            assert_eq!((points, scales), ([9; 63], [9.0; STRIP]));
        }
    }
}
