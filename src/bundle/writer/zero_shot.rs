//! Writes what is there for classes that the model was not trained on.

use super::{Payload, float_bytes, half_bytes};
use crate::bundle::layout::{
    DecisionRecord, GeneratorRecord, SecondOutputRecord, StatisticsRecord, WordsRecord, kind,
    text_field,
};
use crate::bundle::manifest::{FLAGS, LAYOUTS, Manifest, code};
use crate::bundle::zero_shot::{
    NOISES, STACKING_LOGITS, STACKING_OFF, STACKING_PROBABILITIES, UNKNOWN_ENERGY, UNKNOWN_MARGIN,
};
use crate::spec::{Decision, Noise, SecondOutput, Stacking, UnknownScore};
use crate::status::{Error, Result, Status};
use half::f16;
use std::vec::Vec;
use zerocopy::IntoBytes;
use zerocopy::little_endian::U32;

/// What a bundle brings along for classes that the model was not trained on, and its decision.
/// The default is nothing and the plain decision.
#[derive(Clone, Copy, Debug, Default)]
pub struct ZeroShot<'a> {
    /// Words and their vectors, each as long as an embedding, in any order; no word twice. Words
    /// have 1 to 63 bytes without control characters. None: no table.
    pub words: &'a [(&'a str, &'a [f16])],
    /// From embeddings to rows of a linear head: (channels + 1) x dim, row by row, the last row
    /// for the bias.
    pub projection: Option<&'a [f32]>,
    /// From embeddings to features, for linear heads; needs `statistics`.
    pub generator: Option<GeneratorValues<'a>>,
    /// Mean and deviation of the features of some classes, in any order; no class twice.
    pub statistics: Option<&'a [ClassStatistics<'a>]>,
    /// From logits to a class, or to none; stored unless it is [`Decision::PLAIN`].
    pub decision: Decision,
    /// The network's output for the spectral affinity, for [`crate::spec::Backbone::Onnx`] only.
    pub second_output: Option<SecondOutput<'a>>,
}

/// A feature generator: for an embedding `a` of E numbers and noise `z` of Z,
/// `W2 leaky(W1 [a; z] + b1) + b2`.
#[derive(Clone, Copy, Debug)]
pub struct GeneratorValues<'a> {
    /// Z: 1 to [`crate::limits::MAX_EMBEDDING`].
    pub noise_dim: u32,
    /// Distribution of the noise.
    pub noise: Noise,
    /// Factor on negative values of the hidden layer: 0 to 1.
    pub slope: f32,
    /// Whether negative outputs become 0.
    pub relu: bool,
    /// `W1`: H x (E + Z), row by row.
    pub hidden_weights: &'a [f16],
    /// `b1`: H numbers.
    pub hidden_bias: &'a [f32],
    /// `W2`: channels x H, row by row.
    pub output_weights: &'a [f16],
    /// `b2`: as many numbers as there are channels.
    pub output_bias: &'a [f32],
}

/// Features of one class.
#[derive(Clone, Copy, Debug)]
pub struct ClassStatistics<'a> {
    /// Index of the class.
    pub class: u32,
    /// Mean of each channel.
    pub mean: &'a [f32],
    /// Standard deviation of each channel, not negative.
    pub deviation: &'a [f32],
}

/// The sections in ascending order of their kinds. What their lengths cannot tell the reader is
/// checked here; the rest is the reader's.
pub(super) fn sections<'a>(
    manifest: &Manifest<'_>,
    parts: &ZeroShot<'a>,
) -> Result<Vec<Payload<'a>>> {
    let (channels, dim) = (manifest.head.channels, manifest.embedding.map_or(0, |space| space.dim));
    let (channels, dim) = (channels as usize, dim as usize);
    let mut sections = Vec::new();
    if !parts.words.is_empty() {
        sections.push(Payload::new(kind::WORDS, words(parts.words, dim)?));
    }
    if let Some(weights) = parts.projection {
        sections.push(Payload::new(kind::PROJECTION, float_bytes(weights)));
    }
    if let Some(values) = &parts.generator {
        sections.push(Payload::new(kind::GENERATOR, generator(values, dim, channels)?));
    }
    if let Some(rows) = parts.statistics {
        sections.push(Payload::new(kind::FEATURE_STATISTICS, statistics(rows, channels)?));
    }
    if parts.decision != Decision::PLAIN {
        let record = decision(&parts.decision);
        sections.push(Payload::new(kind::DECISION, record.as_bytes().to_vec()));
    }
    if let Some(output) = &parts.second_output {
        let record = second_output(output)?;
        sections.push(Payload::new(kind::SECOND_OUTPUT, record.as_bytes().to_vec()));
    }
    Ok(sections)
}

fn wrong_length(what: &'static str, found: usize, wanted: usize) -> Error {
    Status::BundleContent.about(what).numbers(found as u64, wanted as u64)
}

fn words(words: &[(&str, &[f16])], dim: usize) -> Result<Vec<u8>> {
    let mut sorted = words.to_vec();
    sorted.sort_by_key(|&(word, _)| word);
    if let Some(pair) = sorted.windows(2).find(|pair| pair[0].0 == pair[1].0) {
        return Err(Status::BundleContent.about("a word occurs twice").text(pair[0].0));
    }
    let mut ends: Vec<U32> = Vec::new();
    let mut text = Vec::new();
    let mut vectors = Vec::new();
    for (word, vector) in sorted {
        if vector.len() != dim {
            return Err(wrong_length("numbers of a word vector", vector.len(), dim));
        }
        text.extend_from_slice(word.as_bytes());
        ends.push(count("bytes of the words", text.len())?);
        vectors.extend_from_slice(&half_bytes(vector));
    }
    let record = WordsRecord {
        words: count("number of words", ends.len())?,
        text_bytes: count("bytes of the words", text.len())?,
        reserved: [0; 8],
    };
    Ok([record.as_bytes(), ends.as_bytes(), &vectors, &text].concat())
}

fn count(what: &'static str, len: usize) -> Result<U32> {
    u32::try_from(len).map(U32::new).map_err(|_| Status::LimitExceeded.about(what))
}

fn generator(values: &GeneratorValues<'_>, dim: usize, channels: usize) -> Result<Vec<u8>> {
    let hidden = values.hidden_bias.len();
    let inputs = dim.saturating_add(values.noise_dim as usize);
    for (what, found, wanted) in [
        ("weights of the hidden layer", values.hidden_weights.len(), hidden.checked_mul(inputs)),
        ("weights of the generator", values.output_weights.len(), hidden.checked_mul(channels)),
        ("biases of the generator", values.output_bias.len(), Some(channels)),
    ] {
        if Some(found) != wanted {
            return Err(wrong_length(what, found, wanted.unwrap_or(usize::MAX)));
        }
    }
    let record = GeneratorRecord {
        noise_dim: values.noise_dim.into(),
        hidden: count("width of the generator's hidden layer", hidden)?,
        noise: code(values.noise, &NOISES)?,
        relu: code(values.relu, &FLAGS)?,
        slope: values.slope.into(),
        reserved: [0; 12],
    };
    Ok([
        record.as_bytes(),
        &float_bytes(values.hidden_bias),
        &float_bytes(values.output_bias),
        &half_bytes(values.hidden_weights),
        &half_bytes(values.output_weights),
    ]
    .concat())
}

pub(super) fn statistics(rows: &[ClassStatistics<'_>], channels: usize) -> Result<Vec<u8>> {
    let mut sorted = rows.to_vec();
    sorted.sort_by_key(|row| row.class);
    let (mut classes, mut means, mut deviations) = (Vec::new(), Vec::new(), Vec::new());
    for row in sorted {
        for values in [row.mean, row.deviation] {
            if values.len() != channels {
                return Err(wrong_length(
                    "numbers of a class's statistics",
                    values.len(),
                    channels,
                ));
            }
        }
        classes.push(U32::new(row.class));
        means.extend_from_slice(&float_bytes(row.mean));
        deviations.extend_from_slice(&float_bytes(row.deviation));
    }
    let rows = count("rows of the statistics", classes.len())?;
    let record = StatisticsRecord { rows, reserved: [0; 12] };
    Ok([record.as_bytes(), classes.as_bytes(), &means, &deviations].concat())
}

fn decision(decision: &Decision) -> DecisionRecord {
    let (stacking, gamma) = match decision.stacking {
        Stacking::Off => (STACKING_OFF, 0.0),
        Stacking::Logits(gamma) => (STACKING_LOGITS, gamma),
        Stacking::Probabilities(gamma) => (STACKING_PROBABILITIES, gamma),
    };
    let (unknown, reference) = match decision.unknown {
        UnknownScore::Margin => (UNKNOWN_MARGIN, 0.0),
        UnknownScore::Energy { reference } => (UNKNOWN_ENERGY, reference),
    };
    DecisionRecord {
        stacking: stacking.into(),
        gamma: gamma.into(),
        min_confidence: decision.min_confidence.into(),
        min_margin: decision.min_margin.into(),
        unknown: unknown.into(),
        reference: reference.into(),
        max_unknown: decision.max_unknown.into(),
        reserved: 0.into(),
    }
}

fn second_output(output: &SecondOutput<'_>) -> Result<SecondOutputRecord> {
    Ok(SecondOutputRecord {
        name: text_field("name of the second output", output.name)?,
        grid_height: output.grid_height.into(),
        grid_width: output.grid_width.into(),
        channels: output.channels.into(),
        layout: code(output.layout, &LAYOUTS)?,
        reserved: [0; 16],
    })
}
