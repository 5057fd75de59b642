//! What quantisation costs.

use super::QuantizeSettings;
use super::engine::Engine;
use super::equalize::EqualizedPair;
use super::range::RangeMethod;
use super::samples::Samples;
use super::smooth::SmoothedNorm;
use crate::backbone::tract::{Numbers, QuantizableNetwork, Unit};
use anyhow::Result;
use serde::Serialize;
use std::format;
use std::string::{String, ToString};
use std::vec;
use std::vec::Vec;

/// The report of `zsseg quantize`.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// How ranges were chosen.
    pub method: &'static str,
    /// Per cent of the values within them, for the percentile method.
    pub percentile: Option<f64>,
    /// Whether biases were corrected.
    pub bias_correction: bool,
    /// Pictures that ranges and biases come from.
    pub calibration_pictures: usize,
    /// Pictures that errors were measured on.
    pub check_pictures: usize,
    /// Whether none of these are pictures of calibration.
    pub held_out: bool,
    /// What ran the quantised network: `plan`, or `tract` if it cannot be compiled.
    pub engine: &'static str,
    /// Signal-to-noise ratio of the output; `None`: no difference at all.
    pub output_sqnr_db: Option<f64>,
    /// Share of the output's cells that get another class than from the float network.
    pub mask_disagreement: f64,
    /// What is computed in integers, in the order of the graph.
    pub layers: Vec<LayerReport>,
    /// Tensors that are quantised, in the order of the graph.
    pub tensors: Vec<TensorReport>,
    /// Nodes that stay in floats.
    pub float_nodes: Vec<FloatReport>,
    /// Neighbouring layers that were tried for equalisation.
    pub equalized: Vec<EqualizedPair>,
    /// Normalisations whose channels were scaled, or were tried.
    pub smoothed: Vec<SmoothedNorm>,
}

/// A tensor that is quantised.
#[derive(Clone, Debug, Serialize)]
pub struct TensorReport {
    /// Its name.
    pub name: String,
    /// What a step is worth.
    pub scale: f32,
    /// The number that stands for 0.
    pub zero_point: u8,
    /// Signal-to-noise ratio against the float network, everything being quantised; `None`: no
    /// difference at all.
    pub sqnr_db: Option<f64>,
}

/// Something that is computed in integers.
#[derive(Clone, Debug, Serialize)]
pub struct LayerReport {
    /// Name of the node.
    pub name: String,
    /// Its operator; `Input` for the picture itself.
    pub operator: String,
    /// Its result; `None` if that stays in floats.
    pub tensor: Option<String>,
    /// Signal-to-noise ratio of that, everything being quantised; `None`: no difference at all.
    pub sqnr_db: Option<f64>,
    /// Signal-to-noise ratio of the output if only this one's weights and result are quantised;
    /// `None`: no difference at all, or not measured.
    pub output_sqnr_db: Option<f64>,
    /// Share of the output's cells that get another class then; `None`: not measured.
    pub mask_disagreement: Option<f64>,
}

/// A node that stays in floats.
#[derive(Clone, Debug, Serialize)]
pub struct FloatReport {
    /// Its name.
    pub name: String,
    /// Its operator.
    pub operator: String,
    /// Why.
    pub reason: &'static str,
}

/// What is measured.
pub(super) struct Subject<'a> {
    pub(super) network: &'a QuantizableNetwork,
    pub(super) numbers: &'a Numbers,
    pub(super) onnx: &'a [u8],
    pub(super) method: RangeMethod,
}

/// Energy of what should be and of what is wrong with it.
#[derive(Clone, Copy, Default)]
struct Noise {
    signal: f64,
    noise: f64,
}

impl Noise {
    fn add(&mut self, float: &[f32], quantized: &[f32]) {
        for (value, other) in float.iter().zip(quantized) {
            self.signal += f64::from(*value).powi(2);
            self.noise += (f64::from(*value) - f64::from(*other)).powi(2);
        }
    }

    fn decibels(self) -> Option<f64> {
        (self.noise > 0.0).then(|| 10.0 * (self.signal / self.noise).max(f64::MIN_POSITIVE).log10())
    }
}

/// The float network's output on the check pictures.
struct Reference {
    values: Vec<Vec<f32>>,
    labels: Vec<Vec<u16>>,
}

/// What a network's output is off by.
struct Difference {
    engine: &'static str,
    sqnr_db: Option<f64>,
    disagreement: f64,
}

/// Measures everything; `samples` are those of calibration and those to measure on.
pub(super) fn measure(
    subject: &Subject<'_>,
    engine: &Engine<'_>,
    (calibration, check): (&dyn Samples, &dyn Samples),
    settings: &QuantizeSettings,
    progress: &mut dyn FnMut(&str),
) -> Result<Report> {
    let network = subject.network;
    progress(&format!("measuring on {} pictures", check.len()));
    let reference = Reference::of(network, engine, check)?;
    let whole = reference.compare(subject.onnx, engine, check)?;
    let tensors = tensor_reports(subject, engine, check)?;
    let mut layers = Vec::new();
    for (at, unit) in network.units().iter().enumerate() {
        let (mut output_sqnr_db, mut mask_disagreement) = (None, None);
        if settings.layers_alone || settings.auto_float_db.is_some() {
            progress(&format!("layer {} of {}: {}", at + 1, network.units().len(), unit.name));
            let onnx = network.write(&alone(subject, unit))?;
            let found = reference.compare(&onnx, engine, check)?;
            (output_sqnr_db, mask_disagreement) = (found.sqnr_db, Some(found.disagreement));
        }
        let tensor = unit.tensor.and_then(|at| tensors.get(at));
        layers.push(LayerReport {
            name: unit.name.clone(),
            operator: unit.operator.clone(),
            tensor: tensor.map(|tensor| tensor.name.clone()),
            sqnr_db: tensor.and_then(|tensor| tensor.sqnr_db),
            output_sqnr_db,
            mask_disagreement,
        });
    }
    let float_nodes = network.float_nodes().iter().map(|node| FloatReport {
        name: node.name.clone(),
        operator: node.operator.clone(),
        reason: node.reason,
    });
    Ok(Report {
        method: subject.method.name(),
        percentile: match subject.method {
            RangeMethod::Percentile(share) => Some(share),
            _ => None,
        },
        bias_correction: settings.bias_correction,
        calibration_pictures: calibration.len(),
        check_pictures: check.len(),
        held_out: !(0..check.len()).any(|one| is_among(check.name(one), calibration)),
        engine: whole.engine,
        output_sqnr_db: whole.sqnr_db,
        mask_disagreement: whole.disagreement,
        layers,
        tensors,
        float_nodes: float_nodes.collect(),
        equalized: Vec::new(),
        smoothed: Vec::new(),
    })
}

fn is_among(name: &str, samples: &dyn Samples) -> bool {
    (0..samples.len()).any(|one| samples.name(one) == name)
}

/// Numbers with which only `unit` is quantised.
fn alone(subject: &Subject<'_>, unit: &Unit) -> Numbers {
    let mut numbers = subject.network.float_numbers();
    if let Some(tensor) = unit.tensor {
        numbers.tensors[tensor] = subject.numbers.tensors[tensor];
    }
    if let Some(layer) = unit.layer {
        numbers.weights[layer].clone_from(&subject.numbers.weights[layer]);
        numbers.biases[layer].clone_from(&subject.numbers.biases[layer]);
    }
    numbers
}

impl Reference {
    fn of(
        network: &QuantizableNetwork,
        engine: &Engine<'_>,
        check: &dyn Samples,
    ) -> Result<Reference> {
        let mut reference = Reference { values: Vec::new(), labels: Vec::new() };
        let float = network.write(&network.float_numbers())?;
        engine.each_output(&float, check, &mut |_, output| {
            reference.values.push(engine.in_pixel_order(&output));
            reference.labels.push(engine.labels(&output));
            Ok(())
        })?;
        Ok(reference)
    }

    fn compare(&self, onnx: &[u8], engine: &Engine<'_>, check: &dyn Samples) -> Result<Difference> {
        let (mut noise, mut different) = (Noise::default(), 0);
        let name = engine.each_output(onnx, check, &mut |sample, output| {
            noise.add(&self.values[sample], &engine.in_pixel_order(&output));
            let labels = engine.labels(&output);
            different += labels.iter().zip(&self.labels[sample]).filter(|(a, b)| a != b).count();
            Ok(())
        })?;
        let cells: usize = self.labels.iter().map(Vec::len).sum();
        let disagreement = different as f64 / cells.max(1) as f64;
        Ok(Difference { engine: name, sqnr_db: noise.decibels(), disagreement })
    }
}

fn tensor_reports(
    subject: &Subject<'_>,
    engine: &Engine<'_>,
    check: &dyn Samples,
) -> Result<Vec<TensorReport>> {
    let network = subject.network;
    let names: Vec<&str> = network.tensors().iter().map(|tensor| &*tensor.name).collect();
    let mut noise = vec![Noise::default(); names.len()];
    let float = network.write(&network.float_numbers())?;
    engine.each_tap(&[&float, subject.onnx], &names, check, &mut |_, tensor, values| {
        let [float, quantized] = values else { return Ok(()) };
        match subject.numbers.tensors[tensor] {
            // The input keeps its name for the floats.
            Some(grid) if names[tensor] == network.input() => {
                let rounded: Vec<f32> =
                    float.iter().map(|value| grid.real(grid.quantized(*value))).collect();
                noise[tensor].add(float, &rounded);
            }
            _ => noise[tensor].add(float, quantized),
        }
        Ok(())
    })?;
    let numbers = subject.numbers.tensors.iter().zip(&noise).zip(&names);
    Ok(numbers
        .filter_map(|((grid, noise), name)| {
            let grid = (*grid)?;
            Some(TensorReport {
                name: name.to_string(),
                scale: grid.scale,
                zero_point: grid.zero_point,
                sqnr_db: noise.decibels(),
            })
        })
        .collect())
}
