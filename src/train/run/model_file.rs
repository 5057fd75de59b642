//! A model as a file: matrices in safetensors, the rest in its metadata. Bits survive.

use super::tensor_file::{decode, encode};
use crate::spec::{Decision, Stacking, UnknownScore};
use crate::train::engine::Matrix;
use crate::train::error::{Error, Result};
use crate::train::layers::{Decoder, DecoderShape};
use crate::train::model::{GeneratorParts, Head, HeadForm, Model};
use crate::train::stage::State;
use serde::{Deserialize, Serialize};
use std::path::Path;
use std::string::String;
use std::vec::Vec;

/// What is not a matrix. Numbers are f64, in which every f32 has its place, so that reading the
/// text gives the same bits.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Note {
    zsseg_model: u32,
    classes: Vec<usize>,
    names: Vec<String>,
    seen: Vec<bool>,
    form: Form,
    decision: Choice,
    decoder: Option<DecoderShape>,
    generator: Option<Generator>,
}

/// Version of the format.
const VERSION: u32 = 1;

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Form {
    Linear,
    Dot,
    Cosine { scale: f64 },
}

#[derive(Serialize, Deserialize)]
struct Choice {
    stacking: Stacked,
    min_confidence: f64,
    min_margin: f64,
    /// Of the energy; of the margin without.
    reference: Option<f64>,
    max_unknown: f64,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Stacked {
    Off,
    Logits { gamma: f64 },
    Probabilities { gamma: f64 },
}

#[derive(Serialize, Deserialize)]
struct Generator {
    slope: f64,
    normal_noise: bool,
    relu: bool,
}

/// The bytes of a model's file. `names` are those of all classes of the data set.
///
/// # Errors
/// [`Error::Config`] for a class without a name.
pub fn encode_model(model: &Model, names: &[String]) -> Result<Vec<u8>> {
    let name = |class: &usize| names.get(*class).cloned();
    let names: Option<Vec<String>> = model.classes.iter().map(name).collect();
    let note = Note {
        zsseg_model: VERSION,
        classes: model.classes.clone(),
        names: names.ok_or_else(|| Error::config("a class of the model has no name"))?,
        seen: model.seen.clone(),
        form: match model.head.form {
            HeadForm::Linear => Form::Linear,
            HeadForm::Dot => Form::Dot,
            HeadForm::Cosine { scale } => Form::Cosine { scale: scale.into() },
        },
        decision: Choice::of(&model.decision),
        decoder: model.decoder.as_ref().map(|decoder| decoder.shape().clone()),
        generator: model.generator.as_ref().map(|generator| Generator {
            slope: generator.slope.into(),
            normal_noise: generator.normal_noise,
            relu: generator.relu,
        }),
    };
    encode(&note, &matrices(model))
}

fn matrices(model: &Model) -> State {
    let mut state = State::default();
    state.put("head.weight", model.head.weights.clone());
    state.put("head.bias", model.head.bias.clone());
    if let Some(decoder) = &model.decoder {
        decoder.save("decoder", &mut state);
    }
    if let Some([weight, bias]) = &model.alignment {
        state.put("alignment.weight", weight.clone());
        state.put("alignment.bias", bias.clone());
    }
    if let Some(projection) = &model.projection {
        state.put("projection", projection.clone());
    }
    if let Some(GeneratorParts { w1, b1, w2, b2, .. }) = &model.generator {
        for (name, matrix) in [("w1", w1), ("b1", b1), ("w2", w2), ("b2", b2)] {
            state.put(&std::format!("generator.{name}"), matrix.clone());
        }
    }
    if let Some([mean, deviation]) = &model.statistics {
        state.put("statistics.mean", mean.clone());
        state.put("statistics.deviation", deviation.clone());
    }
    state
}

/// The model of a file, and the names of its classes. `path` is for errors.
///
/// # Errors
/// [`Error::Broken`] unless it is what [`encode_model`] gave, every bit of it.
pub fn decode_model(path: &Path, bytes: &[u8]) -> Result<(Model, Vec<String>)> {
    let (note, state): (Note, State) = decode(path, bytes)?;
    if note.zsseg_model != VERSION {
        return Err(Error::broken(path, std::format!("it has format {}", note.zsseg_model)));
    }
    model_of(note, &state).map_err(|error| Error::broken(path, error))
}

fn model_of(note: Note, state: &State) -> Result<(Model, Vec<String>)> {
    let count = note.classes.len();
    if note.seen.len() != count || note.names.len() != count {
        return Err(Error::config("its lists of classes have different lengths"));
    }
    let weights = state.get("head.weight")?.clone();
    let channels = weights.shape()[1];
    let bias = state.get_shaped("head.bias", [1, count])?.clone();
    let head = Head {
        form: match note.form {
            Form::Linear => HeadForm::Linear,
            Form::Dot => HeadForm::Dot,
            Form::Cosine { scale } => HeadForm::Cosine { scale: scale as f32 },
        },
        weights: shaped(weights, [count, channels])?,
        bias,
    };
    let part = |name: &str| state.matrices.get(name).cloned();
    let model = Model {
        classes: note.classes,
        seen: note.seen,
        head,
        decoder: note.decoder.map(|shape| Decoder::load("decoder", shape, state)).transpose()?,
        alignment: part("alignment.weight").zip(part("alignment.bias")).map(<[_; 2]>::from),
        decision: note.decision.decision(),
        projection: part("projection"),
        generator: note.generator.map(|generator| generator_of(&generator, state)).transpose()?,
        statistics: part("statistics.mean").zip(part("statistics.deviation")).map(<[_; 2]>::from),
    };
    Ok((model, note.names))
}

fn shaped(matrix: Matrix<f32>, shape: [usize; 2]) -> Result<Matrix<f32>> {
    match matrix.shape() == shape {
        true => Ok(matrix),
        false => Err(Error::config("the classifier has not one row per class")),
    }
}

fn generator_of(note: &Generator, state: &State) -> Result<GeneratorParts> {
    let part = |name: &str| Ok::<_, Error>(state.get(&std::format!("generator.{name}"))?.clone());
    Ok(GeneratorParts {
        w1: part("w1")?,
        b1: part("b1")?,
        w2: part("w2")?,
        b2: part("b2")?,
        slope: note.slope as f32,
        normal_noise: note.normal_noise,
        relu: note.relu,
    })
}

impl Choice {
    fn of(decision: &Decision) -> Choice {
        Choice {
            stacking: match decision.stacking {
                Stacking::Off => Stacked::Off,
                Stacking::Logits(gamma) => Stacked::Logits { gamma: gamma.into() },
                Stacking::Probabilities(gamma) => Stacked::Probabilities { gamma: gamma.into() },
            },
            min_confidence: decision.min_confidence.into(),
            min_margin: decision.min_margin.into(),
            reference: match decision.unknown {
                UnknownScore::Margin => None,
                UnknownScore::Energy { reference } => Some(reference.into()),
            },
            max_unknown: decision.max_unknown.into(),
        }
    }

    fn decision(&self) -> Decision {
        Decision {
            stacking: match self.stacking {
                Stacked::Off => Stacking::Off,
                Stacked::Logits { gamma } => Stacking::Logits(gamma as f32),
                Stacked::Probabilities { gamma } => Stacking::Probabilities(gamma as f32),
            },
            min_confidence: self.min_confidence as f32,
            min_margin: self.min_margin as f32,
            unknown: match self.reference {
                None => UnknownScore::Margin,
                Some(reference) => UnknownScore::Energy { reference: reference as f32 },
            },
            max_unknown: self.max_unknown as f32,
        }
    }
}
