//! Runs of depthwise convolutions, several pixels per weight, over the vectors of any processor.

use crate::math::network::depthwise_f32::Run;
use crate::math::network::floats::Floats;
use core::ops::Range;

/// Vectors at pointers.
pub trait Pointed: Floats {
    /// `COUNT` values from a pointer on.
    ///
    /// # Safety
    /// They must be readable, and the processor must have the instruction set.
    unsafe fn read(from: *const f32) -> Self;
}

/// `COUNT` values from a pointer on, or the first `count` where that is less.
///
/// # Safety
/// They must be readable, and the processor must have the instruction set.
#[inline(always)]
unsafe fn read_some<V: Pointed>(from: *const f32, count: usize) -> V {
    // SAFETY: the caller's.
    unsafe {
        if count >= V::COUNT {
            return V::read(from);
        }
        V::load(core::slice::from_raw_parts(from, count))
    }
}

/// The kernel over vectors; writes nothing where a slice is too short for the run.
///
/// # Safety
/// The processor must have the vectors' instruction set.
#[inline(always)]
pub unsafe fn run<V: Pointed>(run: &mut Run<'_>) {
    if !run.fits() {
        return;
    }
    // Taps as far apart as pixels, or a multiple of it: pixels of the same remainder share inputs.
    let apart = match run.taps[1] {
        3 | 5 => run.tap_steps[1].checked_div(run.pixel_step).unwrap_or(0),
        _ => 0,
    };
    if apart > 0 && apart * run.pixel_step == run.tap_steps[1] {
        let step = channels_at_once::<V>(run);
        for channel in (0..run.channels).step_by(step) {
            let channels = channel..run.channels.min(channel + step);
            for first in 0..apart.min(run.pixels) {
                // SAFETY: the run fits.
                unsafe { every::<V>(run, first, apart, channels.clone()) };
            }
        }
        return;
    }
    let mut pixel = 0;
    while pixel < run.pixels {
        let left = run.pixels - pixel;
        // SAFETY: the run fits, and has so many pixels from `pixel` on.
        pixel += unsafe {
            match left {
                8.. => pixels::<V, 8>(run, pixel),
                4.. => pixels::<V, 4>(run, pixel),
                2.. => pixels::<V, 2>(run, pixel),
                _ => pixels::<V, 1>(run, pixel),
            }
        };
    }
}

/// Channels whose inputs stay in the first-level cache from one row of taps to the next, whole
/// vectors, and no fewer than share two cache lines.
#[inline(always)]
fn channels_at_once<V: Floats>(run: &Run<'_>) -> usize {
    const VALUES: usize = 8 << 10;
    let pixels = run.taps[0].saturating_mul(run.pixels).max(1);
    (VALUES / pixels).max(32) / V::COUNT * V::COUNT
}

/// The pixels from `first` on, `apart` pixels apart, where taps are as far apart.
///
/// # Safety
/// The run must fit.
#[inline(always)]
unsafe fn every<V: Pointed>(run: &mut Run<'_>, first: usize, apart: usize, channels: Range<usize>) {
    let mut pixel = first;
    while pixel < run.pixels {
        let left = (run.pixels - pixel).div_ceil(apart);
        let channels = channels.clone();
        // SAFETY: the caller's, and there are so many pixels.
        let done = unsafe {
            match (run.taps[1], left) {
                (3, 8..) if V::COUNT == 16 => shared::<V, 8, 3>(run, pixel, apart, channels),
                (3, 4..) => shared::<V, 4, 3>(run, pixel, apart, channels),
                (3, _) => shared::<V, 1, 3>(run, pixel, apart, channels),
                (_, 8..) if V::COUNT == 16 => shared::<V, 8, 5>(run, pixel, apart, channels),
                (_, 4..) => shared::<V, 4, 5>(run, pixel, apart, channels),
                _ => shared::<V, 1, 5>(run, pixel, apart, channels),
            }
        };
        pixel += done * apart;
    }
}

/// Channels of `P` pixels, `apart` pixels apart, with `K` taps across, as far apart; `P`.
///
/// # Safety
/// The run must fit, have the pixels and so many taps across.
#[inline(always)]
unsafe fn shared<V: Pointed, const P: usize, const K: usize>(
    run: &mut Run<'_>,
    pixel: usize,
    apart: usize,
    channels: Range<usize>,
) -> usize {
    let mut channel = channels.start;
    while channel < channels.end {
        let count = V::COUNT.min(channels.end - channel);
        // SAFETY: the caller's, and so many channels are left.
        let sums = unsafe {
            if count == V::COUNT {
                shared_sums::<V, P, K, true>(run, pixel, channel, count)
            } else {
                shared_sums::<V, P, K, false>(run, pixel, channel, count)
            }
        };
        write(run, sums, [pixel, apart], channel, count);
        channel += V::COUNT;
    }
    P
}

/// Inputs of a row of taps: eight pixels with five taps need so many.
const INPUTS: usize = 12;

/// The sums of [`shared`] for `count` channels, a full vector if `FULL`. Every input is read once
/// per row of taps.
///
/// # Safety
/// As for [`shared`]; the run must have so many channels from `channel` on.
#[inline(always)]
unsafe fn shared_sums<V: Pointed, const P: usize, const K: usize, const FULL: bool>(
    run: &Run<'_>,
    pixel: usize,
    channel: usize,
    count: usize,
) -> [V; P] {
    let mut sums = [V::load(run.bias.get(channel..).unwrap_or_default()); P];
    let step = run.tap_steps[1];
    let count = if FULL { V::COUNT } else { count };
    let mut from = run.input.as_ptr().wrapping_add(pixel * run.pixel_step + channel);
    let mut weights = run.weights.as_ptr().wrapping_add(channel);
    for _ in 0..run.taps[0] {
        // SAFETY: the run fits: weights are padded to full vectors, and the last tap of the last
        // pixel's last channel is inside the input.
        unsafe {
            let mut filters = [V::splat(0.0); K];
            for (right, filter) in filters.iter_mut().enumerate() {
                *filter = V::read(weights.wrapping_add(right * run.weight_steps[1]));
            }
            let mut inputs = [V::splat(0.0); INPUTS];
            for (at, input) in inputs.iter_mut().enumerate().take(P + K - 1) {
                *input = read_some::<V>(from.wrapping_add(at * step), count);
            }
            for (sum, inputs) in sums.iter_mut().zip(inputs.windows(K)) {
                for (filter, input) in filters.iter().zip(inputs) {
                    *sum = input.mul_add(*filter, *sum);
                }
            }
        }
        from = from.wrapping_add(run.tap_steps[0]);
        weights = weights.wrapping_add(run.weight_steps[0]);
    }
    sums
}

/// Bounds and writes `count` channels of pixels, the first and how far apart given.
#[inline(always)]
fn write<V: Floats, const P: usize>(
    run: &mut Run<'_>,
    sums: [V; P],
    [pixel, apart]: [usize; 2],
    channel: usize,
    count: usize,
) {
    let [low, high] = run.bounds.map(V::splat);
    for (index, sum) in sums.into_iter().enumerate() {
        let place = (pixel + index * apart) * run.out_step + channel;
        let out = run.out.get_mut(place..).and_then(|out| out.get_mut(..count)).unwrap_or_default();
        sum.max(low).min(high).store(out);
    }
}

/// All channels of `P` pixels; `P`.
///
/// # Safety
/// The run must fit and have `P` pixels from `pixel` on.
#[inline(always)]
unsafe fn pixels<V: Pointed, const P: usize>(run: &mut Run<'_>, pixel: usize) -> usize {
    let mut channel = 0;
    while channel + V::COUNT <= run.channels {
        // SAFETY: the caller's, and so many channels are left.
        unsafe { vectors::<V, P>(run, pixel, channel, V::COUNT) };
        channel += V::COUNT;
    }
    if channel < run.channels {
        // SAFETY: as above.
        unsafe { vectors::<V, P>(run, pixel, channel, run.channels - channel) };
    }
    P
}

/// `count` channels, a vector at most, of `P` pixels.
///
/// # Safety
/// As for [`pixels`]; the run must have so many channels from `channel` on.
#[inline(always)]
unsafe fn vectors<V: Pointed, const P: usize>(
    run: &mut Run<'_>,
    pixel: usize,
    channel: usize,
    count: usize,
) {
    let mut sums = [V::load(run.bias.get(channel..).unwrap_or_default()); P];
    let first = run.input.as_ptr().wrapping_add(pixel * run.pixel_step + channel);
    let mut starts = [first; P];
    for (index, start) in starts.iter_mut().enumerate() {
        *start = first.wrapping_add(index * run.pixel_step);
    }
    let weights = run.weights.as_ptr().wrapping_add(channel);
    for down in 0..run.taps[0] {
        for right in 0..run.taps[1] {
            let weight =
                weights.wrapping_add(down * run.weight_steps[0] + right * run.weight_steps[1]);
            let offset = down * run.tap_steps[0] + right * run.tap_steps[1];
            // SAFETY: the run fits: the last tap of the last pixel's last channel is inside the
            // input, and weights are padded to full vectors.
            unsafe {
                let weight = V::read(weight);
                for (sum, start) in sums.iter_mut().zip(starts) {
                    *sum = read_some::<V>(start.wrapping_add(offset), count).mul_add(weight, *sum);
                }
            }
        }
    }
    write(run, sums, [pixel, 1], channel, count);
}
