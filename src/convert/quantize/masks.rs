//! Labels, for comparing masks.

use crate::convert::head::Classifier;
use crate::map::{Layout, Map};
use anyhow::{Result, ensure};
use std::vec;
use std::vec::Vec;

/// The classifier behind a network that gives features.
#[derive(Clone, Debug)]
pub struct LabelHead {
    channels: usize,
    weight: Vec<f32>,
    bias: Vec<f32>,
}

impl LabelHead {
    /// Reads a head as `zsseg pack` does: tensors `weight` and, if there are biases, `bias`.
    ///
    /// # Errors
    /// Naming the tensor that is missing or wrong.
    pub fn read(bytes: &[u8]) -> Result<LabelHead> {
        let with_bias = Classifier::read(bytes, true);
        let found = with_bias.or_else(|error| Classifier::read(bytes, false).map_err(|_| error))?;
        let Classifier { classes, channels, weight, bias } = found;
        let bias = if bias.is_empty() { vec![0.0; classes] } else { bias };
        Ok(LabelHead { channels, weight, bias })
    }

    pub(super) fn check(&self, channels: usize) -> Result<()> {
        ensure!(
            channels == self.channels,
            "the head reads {} channels, but the network's output has {channels}",
            self.channels
        );
        Ok(())
    }
}

/// The class of each cell.
pub(super) fn labels(output: &Map<'_, f32>, head: Option<&LabelHead>) -> Vec<u16> {
    let (cells, channels) = (output.height() * output.width(), output.channels());
    let data = output.data();
    let mut cell = vec![0.0; channels];
    let mut scores = Vec::new();
    (0..cells)
        .map(|at| {
            for (channel, value) in cell.iter_mut().enumerate() {
                *value = match output.layout() {
                    Layout::Hwc => data[at * channels + channel],
                    Layout::Chw => data[channel * cells + at],
                };
            }
            match head {
                None => largest(&cell),
                Some(head) => {
                    scores.clear();
                    let rows = head.weight.chunks(head.channels).zip(&head.bias);
                    scores.extend(rows.map(|(row, bias)| {
                        bias + row
                            .iter()
                            .zip(&cell)
                            .map(|(weight, value)| weight * value)
                            .sum::<f32>()
                    }));
                    largest(&scores)
                }
            }
        })
        .collect()
}

/// The first of the largest values.
fn largest(values: &[f32]) -> u16 {
    let first = (0, f32::NEG_INFINITY);
    let best = values
        .iter()
        .enumerate()
        .fold(first, |best, (at, &value)| if value > best.1 { (at, value) } else { best });
    best.0 as u16
}
