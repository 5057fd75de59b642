//! What `inspect` tells about classes that may be added.

use super::words;
use crate::bundle::Bundle;
use crate::limits::Limits;
use crate::segmenter::{ClassCost, Segmenter};
use crate::spec::{HeadKind, Noise};
use serde::Serialize;
use std::format;
use std::string::{String, ToString};

/// What a bundle brings along for classes that its model was not trained on.
#[derive(Serialize)]
pub struct ZeroShotReport {
    /// The space of the class embeddings.
    embedding: Option<Space>,
    /// The word table.
    words: Option<WordsReport>,
    /// From embeddings to rows of a linear head: its bytes.
    projection_bytes: Option<usize>,
    /// From embeddings to features.
    generator: Option<GeneratorReport>,
    /// How pixels are decided if nothing else is said, in words.
    decision: String,
    /// The network's output for the spectral affinity, in words.
    second_output: Option<String>,
    /// What one more class costs; `null` if the network gives logits, so that none can be added.
    class_cost: Option<Cost>,
}

#[derive(Serialize)]
struct Space {
    /// Numbers of an embedding.
    dim: u32,
    /// Whether embeddings are brought to unit length before use.
    unit: bool,
}

#[derive(Serialize)]
struct WordsReport {
    count: usize,
    bytes: usize,
}

#[derive(Serialize)]
struct GeneratorReport {
    /// Numbers of the noise.
    noise_dim: usize,
    /// Its distribution.
    noise: &'static str,
    /// Width of the hidden layer.
    hidden: usize,
    bytes: usize,
    /// Classes whose features were measured.
    measured_classes: usize,
}

/// What one more class costs.
#[derive(Serialize)]
struct Cost {
    /// Bytes of the arena.
    bytes: u64,
    /// Multiply-adds per frame on the grid of the network's output.
    grid_multiply_adds: u64,
    /// Multiply-adds to make its row from an embedding.
    meaning_multiply_adds: u64,
    /// Most multiply-adds to fit its row to generated features; 0 without a generator.
    generator_multiply_adds: u64,
}

impl From<ClassCost> for Cost {
    fn from(cost: ClassCost) -> Cost {
        Cost {
            bytes: cost.bytes,
            grid_multiply_adds: cost.grid_multiply_adds,
            meaning_multiply_adds: cost.meaning_multiply_adds,
            generator_multiply_adds: cost.generator_multiply_adds,
        }
    }
}

impl ZeroShotReport {
    /// The report for these limits.
    pub fn of(bundle: &Bundle<'_>, limits: &Limits) -> ZeroShotReport {
        let bytes = |name| {
            let section = bundle.sections().find(|section| section.name == name);
            section.map_or(0, |section| section.bytes.len())
        };
        let space = |space: crate::spec::EmbeddingSpace| Space { dim: space.dim, unit: space.unit };
        let generator = bundle.generator().map(|generator| GeneratorReport {
            noise_dim: generator.noise_dim,
            noise: match generator.noise {
                Noise::Uniform => "uniform",
                Noise::Normal => "normal",
            },
            hidden: generator.hidden,
            bytes: bytes("GENERATOR"),
            measured_classes: bundle.feature_statistics().map_or(0, |found| found.classes.len()),
        });
        let extendable = bundle.head().kind != HeadKind::Logits;
        let cost = || Segmenter::class_cost(bundle, limits).ok().map(Cost::from);
        ZeroShotReport {
            embedding: bundle.embedding().map(space),
            words: bundle
                .words()
                .map(|words| WordsReport { count: words.len(), bytes: bytes("WORDS") }),
            projection_bytes: bundle.projection().map(|_| bytes("PROJECTION")),
            generator,
            decision: words::decision(&bundle.decision()),
            second_output: bundle.second_output().map(|output| words::second_output(&output)),
            class_cost: extendable.then(cost).flatten(),
        }
    }

    /// The report for people: lines of a title and its content.
    pub fn text(&self) -> String {
        let mut text = String::new();
        let mut line = |title: &str, content: String| {
            text += &format!("  {title:10} {content}\n");
        };
        line("decision", self.decision.clone());
        if let Some(output) = &self.second_output {
            line("2nd output", output.clone());
        }
        let Some(cost) = &self.class_cost else {
            line("more", "no classes can be added".to_string());
            return text;
        };
        let ways = self.ways();
        line("more", format!("classes can be added by {ways}"));
        if let Some(Space { dim, unit }) = &self.embedding {
            let unit = if *unit { ", brought to unit length" } else { "" };
            line("embeddings", format!("{dim} numbers{unit}"));
        }
        if let Some(WordsReport { count, bytes }) = &self.words {
            line("words", format!("{count} in {bytes} bytes"));
        }
        if let Some(bytes) = self.projection_bytes {
            line("projection", format!("{bytes} bytes"));
        }
        if let Some(generator) = &self.generator {
            line("generator", generator.text());
        }
        line("a class", cost.text());
        text
    }

    /// The ways a class can be added.
    fn ways(&self) -> String {
        let by_meaning = self.embedding.is_some();
        let ways = [
            (true, "row"),
            (by_meaning, "embedding"),
            (by_meaning && self.words.is_some(), "word"),
            (self.generator.is_some(), "generator"),
        ];
        let names = ways.iter().filter(|(there, _)| *there).map(|(_, name)| *name);
        names.collect::<std::vec::Vec<_>>().join(", ")
    }
}

impl GeneratorReport {
    fn text(&self) -> String {
        let GeneratorReport { noise_dim, noise, hidden, bytes, measured_classes } = self;
        format!(
            "{hidden} hidden units, {noise_dim} numbers of {noise} noise, {bytes} bytes; features \
             of {measured_classes} classes measured"
        )
    }
}

impl Cost {
    fn text(&self) -> String {
        let Cost { bytes, grid_multiply_adds, meaning_multiply_adds, .. } = self;
        let mut text = format!(
            "{bytes} bytes of the arena and {grid_multiply_adds} multiply-adds per frame; \
             {meaning_multiply_adds} multiply-adds to add it by its meaning"
        );
        if self.generator_multiply_adds > 0 {
            text += &format!(", at most {} by the generator", self.generator_multiply_adds);
        }
        text
    }
}
