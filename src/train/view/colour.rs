//! Distortion of colours: brightness, contrast, saturation and hue, in this order (Chen et al.,
//! "A simple framework for contrastive learning of visual representations", ICML 2020, appendix A;
//! methods.md 5.6).

use crate::math::random::Random;
use sha2::{Digest, Sha256};

/// Largest change of brightness, contrast and saturation at strength 1, as a share.
const JITTER: f32 = 0.8;
/// Largest change of hue at strength 1, as a share of the circle.
const HUE: f32 = 0.2;
/// Luma weights of BT.601.
const LUMA: [f32; 3] = [0.299, 0.587, 0.114];

/// Distorts R G B bytes. The numbers depend on the picture's name, not on its place in a list, so
/// that shards and the whole agree.
pub(super) fn distort(rgb: &mut [u8], strength: f32, seed: u64, name: &str, place: usize) {
    let random = Random::new(seed, &[]);
    let sample = Sha256::digest(name.as_bytes());
    let sample = sample.first_chunk().map_or(0, |bytes| u32::from_le_bytes(*bytes));
    let [brightness, contrast, saturation, hue] =
        random.uniform(0, sample, place as u32).map(|value| 2.0 * value - 1.0);
    let factor = |value: f32| 1.0 + JITTER * strength * value;
    let bytes = |value: f32| (value * 255.0 + 0.5).clamp(0.0, 255.0) as u8;
    let unit = |value: u8| f32::from(value) / 255.0;

    let (pixels, _) = rgb.as_chunks_mut::<3>();
    let brightness = factor(brightness);
    let lumas = pixels.iter().map(|pixel| f64::from(luma(pixel.map(unit).map(|v| v * brightness))));
    let mean = (lumas.sum::<f64>() / pixels.len().max(1) as f64) as f32;
    let (contrast, saturation) = (factor(contrast), factor(saturation));
    for pixel in pixels {
        let value = pixel.map(unit).map(|value| (value * brightness).clamp(0.0, 1.0));
        let value = value.map(|value| (mean + contrast * (value - mean)).clamp(0.0, 1.0));
        let grey = luma(value);
        let value = value.map(|value| (grey + saturation * (value - grey)).clamp(0.0, 1.0));
        *pixel = turned(value, HUE * strength * hue).map(bytes);
    }
}

fn luma(rgb: [f32; 3]) -> f32 {
    rgb.iter().zip(LUMA).map(|(value, weight)| value * weight).sum()
}

/// The colour with its hue turned by a share of the circle; its brightest and darkest channel stay.
fn turned([red, green, blue]: [f32; 3], by: f32) -> [f32; 3] {
    let (high, low) = (red.max(green).max(blue), red.min(green).min(blue));
    let range = high - low;
    if range <= 0.0 {
        return [red, green, blue];
    }
    let sixths = match high {
        high if high == red => (green - blue) / range,
        high if high == green => 2.0 + (blue - red) / range,
        _ => 4.0 + (red - green) / range,
    };
    let sixths = sixths + 6.0 * by;
    // Of each channel its distance on the circle from where it is brightest.
    [0.0, 2.0, 4.0].map(|peak| {
        let turn = (sixths - peak) / 6.0;
        let away = (turn - libm::roundf(turn)).abs() * 6.0;
        low + range * (2.0 - away).clamp(0.0, 1.0)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_third_of_the_circle_moves_the_channels_on() {
        let near = |found: [f32; 3], wanted: [f32; 3]| {
            assert!(found.iter().zip(wanted).all(|(a, b)| (a - b).abs() < 1e-5), "{found:?}");
        };
        let colour = [0.9, 0.3, 0.5];
        near(turned(colour, 0.0), colour);
        near(turned(colour, 1.0), colour);
        near(turned(colour, 1.0 / 3.0), [0.5, 0.9, 0.3]);
        near(turned(colour, -1.0 / 3.0), [0.3, 0.5, 0.9]);
        near(turned([0.4; 3], 0.3), [0.4; 3]);
    }

    #[test]
    fn what_is_distorted_depends_on_seed_name_and_view_only() {
        let rgb: [u8; 30] = core::array::from_fn(|i| (i * 37 % 256) as u8);
        let of = |strength, seed, name, place| {
            let mut own = rgb;
            distort(&mut own, strength, seed, name, place);
            own
        };
        let first = of(0.5, 1, "a", 1);
        assert_eq!(first, of(0.5, 1, "a", 1));
        assert_eq!(rgb, of(0.0, 1, "a", 1));
        for other in [of(0.5, 2, "a", 1), of(0.5, 1, "b", 1), of(0.5, 1, "a", 2), rgb] {
            assert!(other != first);
        }
    }
}
