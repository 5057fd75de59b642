//! Whether confidences mean what they say.

use serde::{Deserialize, Serialize};
use std::vec::Vec;

/// Number of bins: 15 equal ones, as Guo et al. ("On calibration of modern neural networks",
/// ICML 2017) take.
pub const BINS: usize = 15;
/// Units of a confidence of 1.
const ONE: u32 = u16::MAX as u32;

/// Pixels of one interval of confidences.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
pub struct Bin {
    /// Their number.
    pub pixels: u64,
    /// How many of them have the right class.
    pub correct: u64,
    /// Sum of their confidences in units of 1/65,535: a whole number, so that the order of
    /// pictures changes nothing.
    pub confidence: u64,
}

impl Bin {
    /// Share of its pixels that are right; `None` if it has none.
    pub fn accuracy(&self) -> Option<f64> {
        (self.pixels > 0).then(|| self.correct as f64 / self.pixels as f64)
    }

    /// Mean of its confidences; `None` if it has no pixels.
    pub fn mean_confidence(&self) -> Option<f64> {
        let sum = self.confidence as f64 / f64::from(ONE);
        (self.pixels > 0).then(|| sum / self.pixels as f64)
    }
}

/// Pixels by their confidence: bin `i` of [`BINS`] holds those from `i / 15` to below
/// `(i + 1) / 15`, the last also 1.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
pub struct Reliability {
    /// The bins, the least sure first.
    pub bins: [Bin; BINS],
}

impl Reliability {
    /// Counts a pixel.
    pub fn add(&mut self, confidence: u16, is_correct: bool) {
        let place = (u32::from(confidence) * BINS as u32 / ONE).min(BINS as u32 - 1);
        if let Some(bin) = self.bins.get_mut(place as usize) {
            bin.pixels += 1;
            bin.correct += u64::from(is_correct);
            bin.confidence += u64::from(confidence);
        }
    }

    /// Adds the pixels of another count.
    pub fn merge(&mut self, other: &Reliability) {
        for (bin, more) in self.bins.iter_mut().zip(&other.bins) {
            bin.pixels += more.pixels;
            bin.correct += more.correct;
            bin.confidence += more.confidence;
        }
    }

    /// Expected calibration error: the mean over the pixels of the distance between their bin's
    /// accuracy and its mean confidence, 0 to 1; `None` without pixels.
    pub fn calibration_error(&self) -> Option<f64> {
        let total: u64 = self.bins.iter().map(|bin| bin.pixels).sum();
        let distance = |bin: &Bin| {
            let (accuracy, confidence) = (bin.accuracy()?, bin.mean_confidence()?);
            Some((accuracy - confidence).abs() * bin.pixels as f64)
        };
        let sum: f64 = self.bins.iter().filter_map(distance).sum();
        (total > 0).then(|| sum / total as f64)
    }

    /// The bins as a table.
    pub fn rows(&self) -> Vec<BinRow> {
        let row = |(place, bin): (usize, &Bin)| BinRow {
            from: place as f64 / BINS as f64,
            to: (place + 1) as f64 / BINS as f64,
            pixels: bin.pixels,
            confidence: bin.mean_confidence(),
            accuracy: bin.accuracy(),
        };
        self.bins.iter().enumerate().map(row).collect()
    }
}

/// A bin in a report.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct BinRow {
    /// Least confidence.
    pub from: f64,
    /// Confidences are below this.
    pub to: f64,
    /// Number of pixels.
    pub pixels: u64,
    /// Their mean confidence.
    pub confidence: Option<f64>,
    /// Share of them that are right.
    pub accuracy: Option<f64>,
}
