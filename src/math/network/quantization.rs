//! From real numbers to quantised ones and back.

/// 1.5 * 2^23: adding it to an f32 of magnitude below 2^22 rounds that number half to even.
const ROUND: f32 = 12_582_912.0;

/// What quantised results may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct QuantizedRange {
    /// The number that stands for 0.
    pub zero_point: u8,
    /// Smallest result, at most `high`.
    pub low: u8,
    /// Largest result.
    pub high: u8,
}

impl QuantizedRange {
    /// All numbers, 0 at `zero_point`.
    pub const fn full(zero_point: u8) -> Self {
        QuantizedRange { zero_point, low: 0, high: u8::MAX }
    }

    /// The range relative to the zero point.
    #[inline(always)]
    pub fn limits(self) -> [f32; 2] {
        let zero_point = f32::from(self.zero_point);
        [f32::from(self.low) - zero_point, f32::from(self.high) - zero_point]
    }

    /// `steps` clamped to the range, rounded half to even, plus the zero point. NaN gives `low`.
    #[inline(always)]
    pub fn quantize(self, steps: f32) -> u8 {
        let [low, high] = self.limits();
        (round(within(steps, low, high)) + i32::from(self.zero_point)) as u8
    }
}

/// `value` clamped to a range; NaN gives `low`. `f32::max` and `min` would do the same, but are
/// calls of a library on processors without such instructions.
#[inline(always)]
pub fn within(value: f32, low: f32, high: f32) -> f32 {
    let value = if value > low { value } else { low };
    if value < high { value } else { high }
}

/// Rounds half to even; for magnitudes below 2^22.
#[inline(always)]
pub fn round(steps: f32) -> i32 {
    (steps + ROUND).to_bits().wrapping_sub(ROUND.to_bits()).cast_signed()
}

/// The scale and the zero point of a quantised tensor: `real = (quantised - zero_point) * scale`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Quantization {
    /// Positive and finite.
    pub scale: f32,
    /// The number that stands for 0.
    pub zero_point: u8,
}

impl Quantization {
    /// `(quantised - zero_point) * scale`.
    #[inline(always)]
    pub fn real(self, quantized: u8) -> f32 {
        f32::from(i16::from(quantized) - i16::from(self.zero_point)) * self.scale
    }

    /// `real / scale`, rounded half to even, plus the zero point, within 0..=255. NaN gives the
    /// zero point.
    #[inline(always)]
    pub fn quantized(self, real: f32) -> u8 {
        let steps = real / self.scale;
        let steps = if steps.is_nan() { 0.0 } else { steps };
        QuantizedRange::full(self.zero_point).quantize(steps)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn quantize_rounds_half_to_even_and_clamps(
            steps in prop_oneof![-600.0f32..600.0, any::<f32>(), (-600i32..600).prop_map(|x| x as f32 / 2.0)],
            zero_point: u8,
            ends: [u8; 2],
        ) {
            let (low, high) = (ends[0].min(ends[1]), ends[0].max(ends[1]));
            let steps = if steps.is_nan() { 0.0 } else { steps };
            let expected = (f64::from(steps).round_ties_even() + f64::from(zero_point))
                .clamp(f64::from(low), f64::from(high)) as u8;
            prop_assert_eq!(QuantizedRange { zero_point, low, high }.quantize(steps), expected);
        }
    }

    #[test]
    fn nan_is_the_zero_point() {
        assert_eq!(Quantization { scale: 0.5, zero_point: 7 }.quantized(f32::NAN), 7);
    }
}
