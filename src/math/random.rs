//! Random numbers by counter: Philox4x32-10 (Salmon et al., "Parallel random numbers: as easy as
//! 1, 2, 3", SC 2011). Any number can be had without those before it, and all are the same bits
//! on every processor.

use core::f32::consts::PI;

/// A family of streams of random numbers.
#[derive(Clone, Copy, Default)]
pub(crate) struct Random {
    key: [u32; 2],
}

impl Random {
    /// The family of `seed` and `values`: equal ones give equal numbers.
    pub(crate) fn new(seed: u64, values: &[f32]) -> Random {
        // FNV-1a, 64 bits. A negative zero counts as a zero.
        let bytes = values.iter().flat_map(|&value| (value + 0.0).to_bits().to_le_bytes());
        let hash = seed.to_le_bytes().into_iter().chain(bytes).fold(0xcbf2_9ce4_8422_2325, mix);
        Random { key: [hash as u32, (hash >> 32) as u32] }
    }

    /// The key of the family.
    #[cfg(feature = "train-cuda")]
    pub(crate) fn key(&self) -> [u32; 2] {
        self.key
    }

    /// Numbers `4 * block..4 * block + 4` of sample `sample` of stream `stream`, uniform between
    /// 0 (possible) and 1 (not possible), in steps of `2^-24`.
    pub(crate) fn uniform(&self, block: u32, sample: u32, stream: u32) -> [f32; 4] {
        philox([block, sample, stream, 0], self.key).map(|word| (word >> 8) as f32 * UNIT)
    }

    /// As [`Random::uniform`], but Gaussian with mean 0 and deviation 1, by Box and Muller's
    /// method. No number lies outside -5.8 to 5.8.
    pub(crate) fn normal(&self, block: u32, sample: u32, stream: u32) -> [f32; 4] {
        let [a, b, c, d] = self.uniform(block, sample, stream);
        let ([a, b], [c, d]) = (gauss(a, b), gauss(c, d));
        [a, b, c, d]
    }
}

const UNIT: f32 = 1.0 / 16_777_216.0;

fn mix(hash: u64, byte: u8) -> u64 {
    (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
}

fn gauss(radius: f32, angle: f32) -> [f32; 2] {
    // From (0, 1], so that the logarithm is finite.
    let radius = libm::sqrtf(-2.0 * libm::logf(radius + UNIT));
    let (sine, cosine) = libm::sincosf(2.0 * PI * angle);
    [radius * cosine, radius * sine]
}

fn philox(mut counter: [u32; 4], mut key: [u32; 2]) -> [u32; 4] {
    for _ in 0..10 {
        let [a, b, c, d] = counter;
        let left = u64::from(a) * 0xd251_1f53;
        let right = u64::from(c) * 0xcd9e_8d57;
        let [low, high] = key;
        let first = (right >> 32) as u32 ^ b ^ low;
        let third = (left >> 32) as u32 ^ d ^ high;
        counter = [first, right as u32, third, left as u32];
        key = [low.wrapping_add(0x9e37_79b9), high.wrapping_add(0xbb67_ae85)];
    }
    counter
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Of Random123's file `kat_vectors`.
    #[test]
    fn philox_gives_the_published_answers() {
        let ones = u32::MAX;
        let pi = [0x243f_6a88, 0x85a3_08d3, 0x1319_8a2e, 0x0370_7344];
        let cases = [
            ([0; 4], [0; 2], [0x6627_e8d5, 0xe169_c58d, 0xbc57_ac4c, 0x9b00_dbd8]),
            ([ones; 4], [ones; 2], [0x408f_276d, 0x41c8_3b0e, 0xa20b_c7c6, 0x6d54_51fd]),
            (pi, [0xa409_3822, 0x299f_31d0], [0xd16c_fe09, 0x94fd_cceb, 0x5001_e420, 0x2412_6ea1]),
        ];
        for (counter, key, want) in cases {
            assert_eq!(philox(counter, key), want);
        }
    }

    #[test]
    fn numbers_have_the_moments_of_their_distributions() {
        let random = Random::new(7, &[0.5, -1.0]);
        let count = 40_000;
        let (mut uniform, mut normal) = ([0.0f64; 2], [0.0f64; 5]);
        for sample in 0..count / 4 {
            for value in random.uniform(3, sample, 1).map(f64::from) {
                assert!((0.0..1.0).contains(&value));
                uniform = [uniform[0] + value, uniform[1] + value * value];
            }
            for value in random.normal(3, sample, 2).map(f64::from) {
                assert!(value.abs() < 5.8);
                let mut power = 1.0;
                for sum in &mut normal {
                    *sum += power;
                    power *= value;
                }
            }
        }
        // Five deviations of each mean.
        let near = |sum: f64, want: f64, deviation: f64| {
            let error = (sum / f64::from(count) - want).abs();
            assert!(error < 5.0 * deviation / f64::from(count).sqrt(), "{sum} {want}");
        };
        near(uniform[0], 0.5, 0.289);
        near(uniform[1], 1.0 / 3.0, 0.298);
        near(normal[1], 0.0, 1.0);
        near(normal[2], 1.0, 1.414);
        near(normal[3], 0.0, 3.873);
        near(normal[4], 3.0, 9.8);
    }

    #[test]
    fn extreme_words_give_finite_numbers() {
        for radius in [0.0, 1.0 - UNIT] {
            for angle in [0.0, 0.25, 1.0 - UNIT] {
                assert!(gauss(radius, angle).iter().all(|value| value.abs() < 5.8));
            }
        }
    }

    #[test]
    fn streams_samples_seeds_and_values_differ() {
        let first = Random::new(0, &[1.0, 2.0]);
        let draw = first.uniform(0, 0, 0);
        assert_eq!(draw, Random::new(0, &[1.0, 2.0]).uniform(0, 0, 0));
        assert_eq!(Random::new(0, &[0.0]).key, Random::new(0, &[-0.0]).key);
        let others = [
            Random::new(1, &[1.0, 2.0]).uniform(0, 0, 0),
            Random::new(0, &[2.0, 1.0]).uniform(0, 0, 0),
            first.uniform(1, 0, 0),
            first.uniform(0, 1, 0),
            first.uniform(0, 0, 1),
        ];
        assert!(others.iter().all(|other| *other != draw));
    }
}
