//! Quantises a float network after training: 8-bit weights and activations, found from pictures.
//!
//! 1. `activations`: the float network runs over the calibration pictures; every tensor that is to
//!    be quantised gets a histogram.
//! 2. `range`: from histograms to grids, by one of three methods.
//! 3. `weights`: a symmetric grid for each output channel.
//! 4. `smooth`: scales the channels between a normalisation and linear layers.
//!    `equalize` (on request): scales neighbouring layers where that lowers their error.
//! 5. `bias`: takes the mean error that rounded weights cause out of the biases.
//! 6. `report`: what it costs, tensor by tensor and layer by layer.
//!
//! `docs/quantize.md` has the formulas. Which tensors are quantised, and how they are written, is
//! up to [`QuantizableNetwork`].

mod activations;
mod bias;
mod engine;
mod equalize;
mod masks;
mod range;
mod report;
mod samples;
mod smooth;
mod weights;

use crate::backbone::tract::{Numbers, QuantizableNetwork, Wanted};
use crate::map::Layout;
use crate::spec::Input;
use anyhow::{Context, Result, ensure};
use engine::Engine;
use std::format;
use std::string::String;
use std::vec::Vec;

pub use activations::Observed;
pub use bias::{RunTaps, TakeTap, corrected_biases};
pub use equalize::{EqualizedPair, balanced_scales, equalized_network};
pub use masks::LabelHead;
pub use range::{Histogram, RangeMethod, grid_of_range, squared_error};
pub use report::{FloatReport, LayerReport, Report, TensorReport};
pub use samples::Samples;
pub use smooth::SmoothedNorm;
pub use weights::quantize_weights;

/// A float network and what is known about it.
#[derive(Clone, Debug)]
pub struct QuantizeSource<'a> {
    /// The ONNX file.
    pub onnx: &'a [u8],
    /// Shape of the input, in floats; `None`: as the network declares it.
    pub input: Option<Input>,
    /// The tensor that is read in the end; `None`: the network's first output.
    pub output: Option<&'a str>,
    /// Order of its elements.
    pub output_layout: Layout,
    /// The classifier behind it, for masks; `None`: its largest channel is the label.
    pub head: Option<LabelHead>,
}

/// How to quantise.
#[derive(Clone, Debug)]
pub struct QuantizeSettings {
    /// How ranges of activations are chosen; `None`: [`RangeMethod::MinMax`] where the network
    /// normalises over channels, else [`RangeMethod::Percentile`] of [`DEFAULT_PERCENTILE`].
    pub method: Option<RangeMethod>,
    /// Whether mean errors are taken out of biases.
    pub bias_correction: bool,
    /// Whether neighbouring layers are scaled where that lowers their error.
    pub equalize: bool,
    /// Whether the channels of normalisations are scaled where that lowers the error of the layers
    /// behind them.
    pub smooth: bool,
    /// Whether products of two activations are quantised, attention above all.
    pub attention: bool,
    /// Nodes that stay in floats, by their names.
    pub keep_float: Vec<String>,
    /// Leave a layer in floats that alone brings the output's signal-to-noise ratio below so many
    /// decibels.
    pub auto_float_db: Option<f64>,
    /// Whether the report has what each layer does alone.
    pub layers_alone: bool,
}

/// Per cent of the values within a range, where nothing else is asked for.
pub const DEFAULT_PERCENTILE: f64 = 99.99;

impl QuantizeSettings {
    /// How ranges of `network` are chosen. What a transformer's largest values say is said by
    /// nothing else, so none is left out.
    fn method_for(&self, network: &QuantizableNetwork) -> RangeMethod {
        let usual = match network.has_norms() {
            true => RangeMethod::MinMax,
            false => RangeMethod::Percentile(DEFAULT_PERCENTILE),
        };
        self.method.unwrap_or(usual)
    }
}

/// The result.
#[derive(Clone, Debug)]
pub struct QuantizedNetwork {
    /// The ONNX file.
    pub onnx: Vec<u8>,
    /// What it costs.
    pub report: Report,
}

/// Quantises a network. Equal sources and pictures give equal bytes. Errors are measured on
/// `check`; `progress` is told what is being done.
///
/// # Errors
/// Those of [`QuantizableNetwork::parse`]; a network that does not run; pictures that cannot be
/// read; activations that are not finite, named with the picture.
pub fn quantize(
    source: &QuantizeSource<'_>,
    calibration: &dyn Samples,
    check: &dyn Samples,
    settings: &QuantizeSettings,
    progress: &mut dyn FnMut(&str),
) -> Result<QuantizedNetwork> {
    ensure!(
        !calibration.is_empty() && !check.is_empty(),
        "there are no pictures to calibrate with"
    );
    let first = quantize_once(source, calibration, check, settings, progress)?;
    let Some(threshold) = settings.auto_float_db else { return Ok(first) };
    let poor = first.report.layers.iter().filter(|layer| {
        layer.operator != "Input" && layer.output_sqnr_db.is_some_and(|found| found < threshold)
    });
    let poor: Vec<String> = poor.map(|layer| layer.name.clone()).collect();
    if poor.is_empty() {
        return Ok(first);
    }
    progress(&format!("once more with {} layers in floats", poor.len()));
    let mut settings = settings.clone();
    settings.keep_float.extend(poor);
    quantize_once(source, calibration, check, &settings, progress)
}

fn quantize_once(
    source: &QuantizeSource<'_>,
    calibration: &dyn Samples,
    check: &dyn Samples,
    settings: &QuantizeSettings,
    progress: &mut dyn FnMut(&str),
) -> Result<QuantizedNetwork> {
    let wanted = Wanted {
        output: source.output,
        keep_float: &settings.keep_float,
        attention: settings.attention,
    };
    let mut network = QuantizableNetwork::parse(source.onnx, &wanted)?;
    let engine = Engine::new(source, &network)?;
    let method = settings.method_for(&network);
    let mut smoothed = Vec::new();
    if settings.smooth && !network.norms().is_empty() {
        progress("smoothing the channels of normalisations");
        smoothed = smooth::smooth(&mut network, &engine, calibration, method)?;
    }
    progress(&format!("calibrating with {} pictures", calibration.len()));
    let mut observed = Observed::of(&network, &engine, calibration)?;
    let mut pairs = Vec::new();
    if settings.equalize {
        progress("equalising neighbouring layers");
        pairs = equalize::equalize(&mut network, &engine, calibration, method)?;
        if pairs.iter().any(|pair| pair.kept) {
            observed = Observed::of(&network, &engine, calibration)?;
        }
    }
    let mut numbers = numbers_of(&network, &observed, method);
    if settings.bias_correction {
        progress("correcting biases");
        let mut run = |onnx: &[u8], names: &[&str], take: &mut TakeTap<'_>| {
            engine.each_tap(&[onnx], names, calibration, take)
        };
        numbers.biases = corrected_biases(&network, &numbers, &mut run)?;
    }
    let onnx = network.write(&numbers)?;
    let subject = report::Subject { network: &network, numbers: &numbers, onnx: &onnx, method };
    let report = report::measure(&subject, &engine, (calibration, check), settings, progress);
    let mut report = report.context("measuring the quantised network")?;
    report.equalized = pairs;
    report.smoothed = smoothed;
    Ok(QuantizedNetwork { onnx, report })
}

/// Grids for all tensors and weights in whole steps; biases as they are.
fn numbers_of(network: &QuantizableNetwork, observed: &Observed, method: RangeMethod) -> Numbers {
    let grids = observed.grids(network, method);
    let tensors: Vec<_> = network.tensors().iter().map(|one| Some(grids[one.grid])).collect();
    let input_of = |name: &str| {
        let place = network.tensors().iter().position(|tensor| tensor.name == name);
        place.and_then(|place| tensors[place])
    };
    let layers = network.layers().iter();
    let weights = layers.map(|layer| Some(quantize_weights(layer, input_of(&layer.input))));
    let weights = weights.collect();
    Numbers { weights, tensors, ..network.float_numbers() }
}
