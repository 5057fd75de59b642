//! The classifier: from a safetensors file to the bundle's weights.

use crate::bundle::WeightValues;
use crate::spec::WeightType;
use anyhow::{Context, Result, bail, ensure};
use half::f16;
use safetensors::tensor::TensorView;
use safetensors::{Dtype, SafeTensors};
use std::format;
use std::vec::Vec;

/// Largest 8-bit weight.
const MAX_I8: f32 = 127.0;

/// A classifier in floats.
pub(super) struct Classifier {
    pub(super) classes: usize,
    pub(super) channels: usize,
    weight: Vec<f32>,
    pub(super) bias: Vec<f32>,
}

/// Weights in the type they are stored in.
pub(super) enum Stored {
    F32(Vec<f32>),
    F16(Vec<f16>),
    I8 { values: Vec<i8>, scales: Vec<f32> },
}

impl Stored {
    pub(super) fn values(&self) -> WeightValues<'_> {
        match self {
            Stored::F32(values) => WeightValues::F32(values),
            Stored::F16(values) => WeightValues::F16(values),
            Stored::I8 { values, scales } => WeightValues::I8 { values, scales },
        }
    }
}

impl Classifier {
    /// Reads tensors `weight` ([C, D] or [C, D, 1, 1]) and `bias` ([C]), each f32 or f16.
    ///
    /// # Errors
    /// Naming the tensor that is missing, unknown, of another type or shape, or not finite.
    pub(super) fn read(bytes: &[u8]) -> Result<Classifier> {
        let file = SafeTensors::deserialize(bytes).context("not a safetensors file")?;
        for name in file.names() {
            ensure!(matches!(name, "weight" | "bias"), "tensor `{name}` is not known");
        }
        let weight = file.tensor("weight").context("tensor `weight` is missing")?;
        let bias = file.tensor("bias").context("tensor `bias` is missing (zeros for none)")?;
        let (classes, channels) = match *weight.shape() {
            [classes, channels] | [classes, channels, 1, 1] => (classes, channels),
            ref shape => bail!("`weight` has shape {shape:?}, not [classes, channels]"),
        };
        ensure!(classes > 0 && channels > 0, "`weight` is empty");
        ensure!(
            bias.shape() == [classes],
            "`bias` has shape {:?}, but `weight` has {classes} rows",
            bias.shape()
        );
        let weight = floats("weight", &weight)?;
        let bad = weight.iter().position(|value| !value.is_finite());
        if let Some(at) = bad {
            let (class, channel) = (at / channels, at % channels);
            bail!("`weight` [{class}, {channel}] is {}", weight[at]);
        }
        let bias = floats("bias", &bias)?;
        if let Some(at) = bias.iter().position(|value| !value.is_finite()) {
            bail!("`bias` [{at}] is {}", bias[at]);
        }
        Ok(Classifier { classes, channels, weight, bias })
    }

    /// The weights in another type.
    ///
    /// # Errors
    /// If a weight is too large for an f16.
    pub(super) fn store(&self, weight_type: WeightType) -> Result<Stored> {
        match weight_type {
            WeightType::F32 => Ok(Stored::F32(self.weight.clone())),
            WeightType::F16 => self.store_f16(),
            WeightType::I8 => Ok(self.store_i8()),
        }
    }

    fn store_f16(&self) -> Result<Stored> {
        let values: Vec<f16> = self.weight.iter().map(|&value| f16::from_f32(value)).collect();
        if let Some(at) = values.iter().position(|value| !value.is_finite()) {
            let (class, channel) = (at / self.channels, at % self.channels);
            bail!("`weight` [{class}, {channel}] = {} does not fit in an f16", self.weight[at]);
        }
        Ok(Stored::F16(values))
    }

    /// Symmetric per class: the largest weight of a class becomes 127, halves go to even.
    fn store_i8(&self) -> Stored {
        let (mut values, mut scales) = (Vec::new(), Vec::new());
        for row in self.weight.chunks_exact(self.channels) {
            let largest = row.iter().fold(0.0, |largest: f32, value| largest.max(value.abs()));
            let step = largest / MAX_I8;
            // A class without weights needs some step all the same, and so does one whose step
            // is too small for a float.
            let scale = if step > 0.0 { step } else { f32::MIN_POSITIVE };
            let quantize = |value: &f32| (value / scale).round_ties_even() as i8;
            values.extend(row.iter().map(quantize));
            scales.push(scale);
        }
        Stored::I8 { values, scales }
    }
}

fn floats(name: &str, tensor: &TensorView<'_>) -> Result<Vec<f32>> {
    let data = tensor.data();
    match tensor.dtype() {
        Dtype::F32 => Ok(elements(data).map(f32::from_le_bytes).collect()),
        Dtype::F16 => Ok(elements(data).map(|raw| f16::from_le_bytes(raw).to_f32()).collect()),
        other => Err(anyhow::anyhow!(format!("`{name}` is {other:?}, not F32 or F16"))),
    }
}

fn elements<const N: usize>(data: &[u8]) -> impl Iterator<Item = [u8; N]> {
    data.chunks_exact(N).filter_map(|raw| raw.try_into().ok())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;
    use std::string::String;

    fn file(shape: &[usize], weight: &[f32], bias: &[f32]) -> Vec<u8> {
        let bytes = |values: &[f32]| -> Vec<u8> {
            values.iter().flat_map(|value| value.to_le_bytes()).collect()
        };
        let (weight, biases) = (bytes(weight), bytes(bias));
        let view = |shape: &[usize], data| TensorView::new(Dtype::F32, shape.into(), data).unwrap();
        let tensors = BTreeMap::from([
            ("weight", view(shape, &weight)),
            ("bias", view(&[bias.len()], &biases)),
        ]);
        safetensors::serialize(tensors, None).unwrap()
    }

    fn error(bytes: &[u8]) -> String {
        format!("{:#}", Classifier::read(bytes).err().unwrap())
    }

    #[test]
    fn eight_bit_weights_round_halves_to_even() {
        let weight = [127.0, 2.5, 3.5, -0.4, 0.0, 0.0, 0.0, 0.0, -2.0, 1.0, 0.5, 2.0];
        let classifier = Classifier::read(&file(&[3, 4], &weight, &[0.0; 3])).unwrap();
        let Stored::I8 { values, scales } = classifier.store(WeightType::I8).unwrap() else {
            panic!("not 8-bit")
        };
        assert_eq!(values, [127, 2, 4, 0, 0, 0, 0, 0, -127, 64, 32, 127]);
        assert_eq!((scales[0], scales[2]), (1.0, 2.0 / 127.0));
        assert!(scales[1] > 0.0);
    }

    #[test]
    fn convolution_weights_are_taken_too() {
        let classifier = Classifier::read(&file(&[1, 2, 1, 1], &[1.0, 2.0], &[0.5])).unwrap();
        assert_eq!((classifier.classes, classifier.channels), (1, 2));
        let Stored::F16(values) = classifier.store(WeightType::F16).unwrap() else {
            panic!("not f16")
        };
        assert_eq!(values, [f16::ONE, f16::from_f32(2.0)]);
    }

    #[test]
    fn every_mismatch_names_its_tensor() {
        assert!(error(b"nonsense").contains("safetensors"));
        assert!(error(&file(&[4], &[1.0; 4], &[0.0])).contains("`weight` has shape [4]"));
        assert!(error(&file(&[2, 2], &[1.0; 4], &[0.0])).contains("`bias` has shape [1]"));
        let nan = file(&[2, 2], &[1.0, 1.0, 1.0, f32::NAN], &[0.0; 2]);
        assert!(error(&nan).contains("`weight` [1, 1] is NaN"));
        let infinite = file(&[1, 1], &[1.0], &[f32::INFINITY]);
        assert!(error(&infinite).contains("`bias` [0] is inf"));
        let large = Classifier::read(&file(&[1, 1], &[1e6], &[0.0])).unwrap();
        assert!(large.store(WeightType::F16).is_err());
    }
}
