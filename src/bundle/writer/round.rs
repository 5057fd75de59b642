//! Weights in the type they are stored in.

use super::WeightValues;
use crate::spec::{HeadKind, WeightType};
use crate::status::{Result, Status};
use half::f16;
use std::format;
use std::vec::Vec;

/// Largest 8-bit weight.
const MAX_I8: f32 = 127.0;

/// Weights of a classifier in the type they are stored in.
#[derive(Clone, Debug, PartialEq)]
pub enum StoredWeights {
    /// 32-bit floats.
    F32(Vec<f32>),
    /// 16-bit floats.
    F16(Vec<f16>),
    /// 8-bit integers.
    I8 {
        /// Weights divided by the scale of their row and rounded.
        values: Vec<i8>,
        /// One per row.
        scales: Vec<f32>,
    },
}

impl StoredWeights {
    /// Brings `weights`, rows of `channels` each, to the type that `kind` states. Rows of a
    /// cosine head are brought to unit length as well.
    ///
    /// 8-bit weights are symmetric per row: the largest becomes 127, halves go to even.
    ///
    /// # Errors
    /// [`Status::BundleContent`] if a weight does not fit in an f16 or is not finite, if a row
    /// of a cosine head is zero, or if `kind` has no weights.
    pub fn round(kind: HeadKind, weights: &[f32], channels: usize) -> Result<StoredWeights> {
        let Some(weight_type) = kind.weight_type() else {
            return Err(Status::BundleContent.about("weights of a head without weights"));
        };
        if let Some(at) = weights.iter().position(|weight| !weight.is_finite()) {
            return Err(unfit(at, channels, &format!("is {}", weights[at])));
        }
        let unit = matches!(kind, HeadKind::Cosine(_));
        let mut weights = weights.to_vec();
        if unit {
            normalize_rows(&mut weights, channels)?;
        }
        match weight_type {
            WeightType::F32 => Ok(StoredWeights::F32(weights)),
            WeightType::F16 => to_f16(&weights, channels),
            WeightType::I8 => Ok(to_i8(&weights, channels, unit)),
        }
    }

    /// The weights for the writer.
    pub fn values(&self) -> WeightValues<'_> {
        match self {
            StoredWeights::F32(values) => WeightValues::F32(values),
            StoredWeights::F16(values) => WeightValues::F16(values),
            StoredWeights::I8 { values, scales } => WeightValues::I8 { values, scales },
        }
    }
}

fn unfit(at: usize, channels: usize, how: &str) -> crate::status::Error {
    let (row, channel) = (at / channels.max(1), at % channels.max(1));
    Status::BundleContent.about("weights of the head").text(format!("[{row}, {channel}] {how}"))
}

fn normalize_rows(weights: &mut [f32], channels: usize) -> Result<()> {
    for (index, row) in weights.chunks_exact_mut(channels.max(1)).enumerate() {
        let squares: f64 = row.iter().map(|&weight| f64::from(weight) * f64::from(weight)).sum();
        if squares == 0.0 {
            let error = Status::BundleContent.about("weights of the head");
            return Err(error.text(format!("row {index} of a cosine head is zero")));
        }
        let length = libm::sqrt(squares);
        for weight in row {
            *weight = (f64::from(*weight) / length) as f32;
        }
    }
    Ok(())
}

fn to_f16(weights: &[f32], channels: usize) -> Result<StoredWeights> {
    let values: Vec<f16> = weights.iter().map(|&value| f16::from_f32(value)).collect();
    match values.iter().position(|value| !value.is_finite()) {
        Some(at) => Err(unfit(at, channels, &format!("= {} does not fit in an f16", weights[at]))),
        None => Ok(StoredWeights::F16(values)),
    }
}

fn to_i8(weights: &[f32], channels: usize, unit: bool) -> StoredWeights {
    let (mut values, mut scales) = (Vec::new(), Vec::new());
    for row in weights.chunks_exact(channels.max(1)) {
        let largest = row.iter().fold(0.0, |largest: f32, value| largest.max(value.abs()));
        let step = largest / MAX_I8;
        // A class without weights needs some step all the same, and so does one whose step
        // is too small for a float.
        let scale = if step > 0.0 { step } else { f32::MIN_POSITIVE };
        let rounded: Vec<i8> = row.iter().map(|value| libm::rintf(value / scale) as i8).collect();
        // Rounding changes the length of a row; the scale makes up for it.
        scales.push(if unit { 1.0 / length(&rounded) } else { scale });
        values.extend(rounded);
    }
    StoredWeights::I8 { values, scales }
}

fn length(row: &[i8]) -> f32 {
    let squares: u32 = row.iter().map(|&value| u32::from(value.unsigned_abs()).pow(2)).sum();
    libm::sqrt(f64::from(squares)) as f32
}

#[cfg(test)]
mod tests {
    use super::*;

    fn eight_bit(kind: HeadKind, weights: &[f32], channels: usize) -> (Vec<i8>, Vec<f32>) {
        match StoredWeights::round(kind, weights, channels) {
            Ok(StoredWeights::I8 { values, scales }) => (values, scales),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn eight_bit_weights_round_halves_to_even() {
        let weights = [127.0, 2.5, 3.5, -0.4, 0.0, 0.0, 0.0, 0.0, -2.0, 1.0, 0.5, 2.0];
        let (values, scales) = eight_bit(HeadKind::Linear(WeightType::I8), &weights, 4);
        assert_eq!(values, [127, 2, 4, 0, 0, 0, 0, 0, -127, 64, 32, 127]);
        assert_eq!((scales[0], scales[2]), (1.0, 2.0 / 127.0));
        assert!(scales[1] > 0.0);
    }

    #[test]
    fn rows_of_a_cosine_head_get_unit_length() {
        let kind = HeadKind::Cosine(WeightType::F32);
        let rounded = StoredWeights::round(kind, &[3.0, 4.0, 0.0, -1e-30], 2).unwrap();
        assert_eq!(rounded, StoredWeights::F32([0.6, 0.8, 0.0, -1.0].to_vec()));
        // Nearly half a step in each of many channels is lost, but not the length.
        let mut weights = [0.0039; 1000];
        weights[0] = 1.0;
        let (values, scales) = eight_bit(HeadKind::Cosine(WeightType::I8), &weights, 1000);
        assert_eq!((values[0], values[1]), (127, 0));
        assert_eq!(scales, [1.0 / 127.0]);
        assert!(StoredWeights::round(kind, &[1.0, 0.0, 0.0, 0.0], 2).is_err());
    }

    #[test]
    fn weights_that_do_not_fit_are_named() {
        let error = |kind, weights: &[f32]| {
            std::string::ToString::to_string(&StoredWeights::round(kind, weights, 2).unwrap_err())
        };
        let halves = HeadKind::Linear(WeightType::F16);
        assert!(error(halves, &[1.0, 1.0, 1.0, 1e6]).contains("[1, 1] = 1000000"));
        assert!(error(halves, &[1.0, f32::NAN]).contains("[0, 1] is NaN"));
        assert!(error(HeadKind::Logits, &[]).contains("without weights"));
    }
}
