//! What the float network's tensors hold on the calibration pictures.

use super::engine::Engine;
use super::range::{Histogram, RangeMethod};
use super::samples::Samples;
use crate::backbone::tract::{QuantizableNetwork, Quantization};
use anyhow::{Result, ensure};
use std::vec;
use std::vec::Vec;

/// A histogram for each tensor that is to be quantised.
pub struct Observed {
    histograms: Vec<Histogram>,
}

impl Observed {
    /// Runs the float network over `samples`.
    pub(super) fn of(
        network: &QuantizableNetwork,
        engine: &Engine<'_>,
        samples: &dyn Samples,
    ) -> Result<Observed> {
        let names = network.tensors().iter().map(|tensor| &*tensor.name);
        let names: Vec<&str> = names.collect();
        let mut histograms = vec![Histogram::default(); names.len()];
        let onnx = network.write(&network.float_numbers())?;
        engine.each_tap(&[&onnx], &names, samples, &mut |sample, tensor, values| {
            let (name, picture) = (names[tensor], samples.name(sample));
            let is_finite = values.iter().all(|values| histograms[tensor].add(values));
            ensure!(is_finite, "{picture}: tensor \"{name}\" has values that are not finite");
            Ok(())
        })?;
        Ok(Observed { histograms })
    }

    /// Grids by their number; tensors that share one are counted together.
    pub fn grids(&self, network: &QuantizableNetwork, method: RangeMethod) -> Vec<Quantization> {
        let mut merged: Vec<Option<Histogram>> = vec![None; network.grids()];
        for (tensor, histogram) in network.tensors().iter().zip(&self.histograms) {
            match &mut merged[tensor.grid] {
                Some(sum) => sum.merge(histogram),
                none => *none = Some(histogram.clone()),
            }
        }
        merged.into_iter().map(|one| one.unwrap_or_default().grid(method)).collect()
    }
}
