//! The classifier: from a safetensors file to the bundle's weights.

use super::tensors::Tensors;
use anyhow::Result;
use std::format;
use std::vec::Vec;

/// A classifier in floats.
#[derive(Debug)]
pub(super) struct Classifier {
    pub(super) classes: usize,
    pub(super) channels: usize,
    pub(super) weight: Vec<f32>,
    /// One per class; empty for a classifier without biases.
    pub(super) bias: Vec<f32>,
}

impl Classifier {
    /// Reads tensors `weight` ([C, D] or [C, D, 1, 1]) and, if the head `has_bias`, `bias` ([C]),
    /// each f32 or f16.
    ///
    /// # Errors
    /// Naming the tensor that is missing, unknown, of another type or shape, or not finite.
    pub(super) fn read(bytes: &[u8], has_bias: bool) -> Result<Classifier> {
        let known: &[&str] = if has_bias { &["weight", "bias"] } else { &["weight"] };
        let file = Tensors::open(bytes, known)?;
        let weight = file.matrix("weight", "[classes, channels]")?;
        let classes = weight.rows;
        let bias = match has_bias {
            true => file.vector("bias", classes, &format!("`weight` has {classes} rows"))?,
            false => Vec::new(),
        };
        Ok(Classifier { classes, channels: weight.columns, weight: weight.values, bias })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use safetensors::Dtype;
    use safetensors::tensor::TensorView;
    use std::collections::BTreeMap;
    use std::string::String;
    use std::vec;

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
        format!("{:#}", Classifier::read(bytes, true).unwrap_err())
    }

    #[test]
    fn convolution_weights_are_taken_too() {
        let bytes = file(&[1, 2, 1, 1], &[1.0, 2.0], &[0.5]);
        let classifier = Classifier::read(&bytes, true).unwrap();
        assert_eq!((classifier.classes, classifier.channels), (1, 2));
        assert_eq!((classifier.weight, classifier.bias), (vec![1.0, 2.0], vec![0.5]));
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
        let biased = Classifier::read(&file(&[1, 1], &[1.0], &[0.0]), false).unwrap_err();
        assert!(format!("{biased:#}").contains("`bias` is not known"));
    }
}
