//! Pools.

use super::{ByteLanes, FloatLanes, cut_mut};
use crate::math::network::pool_u8::{Counted, MeanU8, window_counts};
use crate::math::network::spans;
use crate::math::network::view::{View, ViewMut};
use crate::math::network::window::Window;
use crate::math::pieces::{pieces, pieces_mut};
use core::ops::Range;

/// Bytes that fit into 16-bit sums.
const SUMMANDS: usize = 256;
/// Vectors of channels that are summed at a time.
const COLUMNS: usize = 4;

/// The taps of one window that are inside the map.
struct Inside {
    /// First element of the first tap's pixel.
    start: usize,
    /// Taps in each direction.
    counts: [usize; 2],
    /// Elements from tap to tap in each direction.
    steps: [usize; 2],
}

impl Inside {
    #[inline(always)]
    fn new(input: &View<'_, u8>, window: &Window, [y, x]: [usize; 2]) -> Self {
        let rows = inside(window, 0, y, input.height);
        let columns = inside(window, 1, x, input.width);
        let row_len = input.width * input.pixel_stride;
        Inside {
            start: rows[0] * row_len + columns[0] * input.pixel_stride,
            counts: [rows[1], columns[1]],
            steps: [window.dilation[0] * row_len, window.dilation[1] * input.pixel_stride],
        }
    }
}

/// The first position inside, and how many there are.
#[inline(always)]
fn inside(window: &Window, axis: usize, output: usize, len: usize) -> [usize; 2] {
    let pick = |pair: [usize; 2]| if axis == 0 { pair[0] } else { pair[1] };
    let (start, padding) = (output * pick(window.stride), pick(window.padding));
    let dilation = pick(window.dilation).max(1);
    let before = padding.saturating_sub(start).div_ceil(dilation);
    let up_to_end = (len + padding).saturating_sub(start).div_ceil(dilation);
    let count = up_to_end.min(pick(window.kernel)).saturating_sub(before);
    [(start + before * dilation).saturating_sub(padding), count]
}

/// As the portable `max_pool_u8`.
#[inline(always)]
pub fn max_pool_u8<V: ByteLanes>(
    input: &View<'_, u8>,
    window: &Window,
    output: &mut ViewMut<'_, u8>,
    rows: Range<usize>,
) {
    for y in rows {
        for x in 0..output.width {
            let taps = Inside::new(input, window, [y, x]);
            let at = y * output.width + x;
            let Some(to) = spans::pixel_mut(output, at) else { return };
            let (wide, narrow) = cut_mut(to, V::COUNT * COLUMNS);
            let first = wide.len();
            for (block, to) in pieces_mut(wide, V::COUNT * COLUMNS).enumerate() {
                wide_max::<V>(input, &taps, block * V::COUNT * COLUMNS, to);
            }
            for (block, to) in spans::cuts_mut(narrow, V::COUNT).enumerate() {
                let mut largest = V::splat(0);
                for row in 0..taps.counts[0] {
                    let row = taps.start + row * taps.steps[0] + first + block * V::COUNT;
                    for column in 0..taps.counts[1] {
                        let at = row + column * taps.steps[1];
                        largest = largest.max(load::<V>(input.data, at, to.len()));
                    }
                }
                store(largest, to);
            }
        }
    }
}

/// The largest values of four vectors of channels from `start` on.
#[inline(always)]
fn wide_max<V: ByteLanes>(input: &View<'_, u8>, taps: &Inside, start: usize, to: &mut [u8]) {
    let mut largest = [V::splat(0); COLUMNS];
    for row in 0..taps.counts[0] {
        let row = taps.start + row * taps.steps[0] + start;
        for column in 0..taps.counts[1] {
            let values = input.data.get(row + column * taps.steps[1]..);
            let Some(values) = values.and_then(|values| values.get(..to.len())) else { return };
            for (largest, values) in largest.iter_mut().zip(pieces(values, V::COUNT)) {
                *largest = largest.max(V::load(values));
            }
        }
    }
    for (to, largest) in pieces_mut(to, V::COUNT).zip(largest) {
        largest.store(to);
    }
}

/// As the portable `avg_pool_u8`.
#[inline(always)]
pub fn avg_pool_u8<V: ByteLanes>(
    input: &View<'_, u8>,
    window: &Window,
    counted: Counted,
    mean: &MeanU8,
    output: &mut ViewMut<'_, u8>,
    rows: Range<usize>,
) {
    let range = V::range(mean.range);
    for y in rows {
        for x in 0..output.width {
            let taps = Inside::new(input, window, [y, x]);
            let size = [input.height, input.width];
            let [inside, count] = window_counts(window, counted, size, [y, x]);
            let factor = mean.factor(count);
            let at = y * output.width + x;
            let Some(to) = spans::pixel_mut(output, at) else { return };
            for (block, to) in spans::cuts_mut(to, V::COUNT).enumerate() {
                let start = block * V::COUNT;
                if inside > SUMMANDS {
                    let sums = large_sums::<V>(input, &taps, [start, to.len()]);
                    store(sums.mean(mean, inside, factor, &range), to);
                    continue;
                }
                let mut sums = [V::splat(0); 2];
                for row in 0..taps.counts[0] {
                    let row = taps.start + row * taps.steps[0] + start;
                    for column in 0..taps.counts[1] {
                        let at = row + column * taps.steps[1];
                        sums = load::<V>(input.data, at, to.len()).add_to(sums);
                    }
                }
                // Whole numbers below 2^24: their difference is exact.
                let zero = inside as f32 * f32::from(mean.zero_point);
                let terms = [V::Floats::splat(zero), V::Floats::splat(factor)];
                store(V::mean(sums, terms, &range), to);
            }
        }
    }
}

/// Sums of more than [`SUMMANDS`] values of each channel from `start` on.
#[inline(always)]
fn large_sums<V: ByteLanes>(
    input: &View<'_, u8>,
    taps: &Inside,
    [start, len]: [usize; 2],
) -> Sums<V> {
    let mut sums = Sums::<V>::new();
    for row in 0..taps.counts[0] {
        for column in 0..taps.counts[1] {
            let at = taps.start + row * taps.steps[0] + column * taps.steps[1];
            sums.add(load::<V>(input.data, at + start, len));
        }
    }
    sums
}

/// As the portable `global_avg_pool_u8`.
#[inline(always)]
pub fn global_avg_pool_u8<V: ByteLanes>(input: &View<'_, u8>, mean: &MeanU8, output: &mut [u8]) {
    let count = input.height.saturating_mul(input.width);
    let range = V::range(mean.range);
    let factor = mean.factor(count);
    let blocks = spans::cuts_mut(output, V::COUNT * COLUMNS);
    for (block, to) in blocks.enumerate() {
        let first = block * V::COUNT * COLUMNS;
        let mut sums = [(); COLUMNS].map(|()| Sums::<V>::new());
        for start in (0..count).step_by(SUMMANDS) {
            let pixels = start..count.min(start + SUMMANDS);
            if to.len() == V::COUNT * COLUMNS {
                add_pixels(input, pixels, first, &mut sums);
            } else {
                let len = to.len();
                add_ragged_pixels(input, pixels, [first, len], &mut sums);
            }
            for sums in &mut sums {
                sums.flush();
            }
        }
        for (to, sums) in spans::cuts_mut(to, V::COUNT).zip(sums) {
            store(sums.mean(mean, count, factor, &range), to);
        }
    }
}

/// Adds channels from `first` on of at most [`SUMMANDS`] pixels.
#[inline(always)]
fn add_pixels<V: ByteLanes>(
    input: &View<'_, u8>,
    pixels: Range<usize>,
    first: usize,
    sums: &mut [Sums<V>; COLUMNS],
) {
    let mut small = [0, 1, 2, 3].map(|_| [V::splat(0); 2]);
    for pixel in pixels {
        let Some(values) = input.data.get(pixel * input.pixel_stride + first..) else { return };
        let Some(values) = values.get(..V::COUNT * COLUMNS) else { return };
        for (column, small) in small.iter_mut().enumerate() {
            let Some(values) = values.get(column * V::COUNT..) else { return };
            *small = V::load(values).add_to(*small);
        }
    }
    for (sums, small) in sums.iter_mut().zip(small) {
        sums.small = small;
    }
}

/// As `add_pixels` of `len` channels, fewer than four vectors.
#[inline(always)]
fn add_ragged_pixels<V: ByteLanes>(
    input: &View<'_, u8>,
    pixels: Range<usize>,
    [first, len]: [usize; 2],
    sums: &mut [Sums<V>; COLUMNS],
) {
    for (column, sums) in sums.iter_mut().enumerate() {
        let start = column * V::COUNT;
        let Some(len) = len.checked_sub(start).filter(|len| *len > 0) else { return };
        let mut small = [V::splat(0); 2];
        for pixel in pixels.clone() {
            let at = pixel * input.pixel_stride + first + start;
            small = load::<V>(input.data, at, len).add_to(small);
        }
        sums.small = small;
    }
}

/// The first `len` bytes from `at` on, at most a vector; zeros, or any, follow.
#[inline(always)]
fn load<V: ByteLanes>(data: &[u8], at: usize, len: usize) -> V {
    match data.get(at..).unwrap_or_default() {
        values if values.len() >= V::COUNT => V::load(values),
        values => V::load_part(values.get(..len).unwrap_or(values)),
    }
}

#[inline(always)]
fn store<V: ByteLanes>(values: V, to: &mut [u8]) {
    if to.len() >= V::COUNT { values.store(to) } else { values.store_part(to) }
}

/// Sums of bytes.
struct Sums<V> {
    /// 16-bit sums of even and odd bytes.
    small: [V; 2],
    /// Summands in `small`.
    count: usize,
    /// Sums without those in `small`.
    large: [u32; 64],
}

impl<V: ByteLanes> Sums<V> {
    #[inline(always)]
    fn new() -> Self {
        Sums { small: [V::splat(0); 2], count: 0, large: [0; 64] }
    }

    #[inline(always)]
    fn add(&mut self, values: V) {
        if self.count == SUMMANDS {
            self.flush();
        }
        self.small = values.add_to(self.small);
        self.count += 1;
    }

    #[inline(always)]
    fn flush(&mut self) {
        let halves = self.small.map(|small| {
            let mut bytes = [0; 64];
            small.store(&mut bytes);
            bytes
        });
        let [even, odd] = &halves;
        let numbers = even.as_chunks::<2>().0.iter().zip(odd.as_chunks::<2>().0);
        for (large, (even, odd)) in self.large.as_chunks_mut::<2>().0.iter_mut().zip(numbers) {
            large[0] += u32::from(u16::from_le_bytes(*even));
            large[1] += u32::from(u16::from_le_bytes(*odd));
        }
        self.small = [V::splat(0); 2];
        self.count = 0;
    }

    #[inline(always)]
    fn mean(mut self, mean: &MeanU8, inside: usize, factor: f32, range: &V::Range) -> V {
        self.flush();
        let zero = (inside as u32).wrapping_mul(u32::from(mean.zero_point));
        let mut steps = [0.0; 64];
        for (step, sum) in steps.iter_mut().zip(self.large) {
            *step = sum.wrapping_sub(zero).cast_signed() as f32 * factor;
        }
        let mut vectors = [V::Floats::splat(0.0); 4];
        for (vector, steps) in vectors.iter_mut().zip(pieces(&steps, V::Floats::COUNT)) {
            *vector = V::Floats::load(steps);
        }
        V::quantize(vectors, range)
    }
}
