//! What a bundle brings along for classes that its model was not trained on.

use super::config::{Config, HeadKindName};
use super::pack::Source;
use super::tensors::{Tensors, halves};
use super::words::WordTable;
use crate::bundle::{ClassStatistics, GeneratorValues, ZeroShot};
use crate::spec::{Class, Decision, EmbeddingSpace, Noise, SecondOutput};
use anyhow::{Context, Result, bail, ensure};
use half::f16;
use std::format;
use std::string::ToString;
use std::vec::Vec;

/// The files that are about new classes; all may be left out.
#[derive(Clone, Copy, Debug, Default)]
pub struct ZeroShotSources<'a> {
    /// Word vectors. Where they make the rows of a dot or cosine head, there is no classifier.
    pub words: Option<Source<'a, &'a WordTable>>,
    /// How many of the first words are taken, beside those of the classes' names; all if not
    /// given.
    pub word_limit: Option<usize>,
    /// Tensor `projection`, [channels + 1, dim], a safetensors file.
    pub projection: Option<Source<'a, &'a [u8]>>,
    /// Tensors `w1` (H x dim + Z), `b1` (H), `w2` (channels x H), `b2` (channels).
    pub generator: Option<Source<'a, &'a [u8]>>,
    /// Tensors `mean` and `deviation`, [classes, channels]; rows of unseen classes are left out.
    pub statistics: Option<Source<'a, &'a [u8]>>,
}

/// The parts as they will be stored.
pub(super) struct Parts<'a> {
    pub(super) words: Vec<(&'a str, &'a [f16])>,
    projection: Option<Vec<f32>>,
    generator: Option<GeneratorParts>,
    statistics: Option<Vec<Row>>,
    decision: Decision,
}

struct GeneratorParts {
    noise_dim: u32,
    noise: Noise,
    slope: f32,
    relu: bool,
    hidden_weights: Vec<f16>,
    hidden_bias: Vec<f32>,
    output_weights: Vec<f16>,
    output_bias: Vec<f32>,
}

struct Row {
    class: u32,
    mean: Vec<f32>,
    deviation: Vec<f32>,
}

/// What the parts must fit.
pub(super) struct Model<'a> {
    pub(super) space: Option<EmbeddingSpace>,
    pub(super) classes: &'a [Class<'a>],
    pub(super) channels: usize,
}

/// The words that will be stored.
///
/// # Errors
/// If there is no embedding space or its vectors are longer or shorter.
pub(super) fn words<'a>(
    config: Source<'_, &Config>,
    sources: &ZeroShotSources<'a>,
    space: Option<EmbeddingSpace>,
    classes: &'a [Class<'a>],
) -> Result<Vec<(&'a str, &'a [f16])>> {
    let Some(Source { name, data: table }) = sources.words else {
        ensure!(sources.word_limit.is_none(), "--word-limit has no use without --words");
        return Ok(Vec::new());
    };
    let space = need_space(config.name, name, space)?;
    let dim = space.dim as usize;
    ensure!(
        table.dim() == dim,
        "{name}: its vectors have {} numbers, but {}: [embedding] `dim` is {dim}",
        table.dim(),
        config.name
    );
    let words = table.first(sources.word_limit, classes.iter().map(|class| class.name));
    ensure!(!words.is_empty(), "{name}: --word-limit leaves no words");
    Ok(words)
}

impl<'a> Parts<'a> {
    /// Reads everything but the words.
    ///
    /// # Errors
    /// Naming the file, or the table of the pack file, that does not fit.
    pub(super) fn read(
        config: Source<'_, &Config>,
        sources: &ZeroShotSources<'a>,
        words: Vec<(&'a str, &'a [f16])>,
        model: &Model<'_>,
    ) -> Result<Parts<'a>> {
        let Source { name: file, data: tables } = config;
        let decision = tables.decision.map_or(Ok(Decision::PLAIN), |table| table.to_decision());
        let unused = tables.generator.is_some() && sources.generator.is_none();
        ensure!(!unused, "{file}: [generator] has no use without --generator");
        let projection = for_linear(config, sources.projection, model, |bytes, dim| {
            projection(bytes, dim, model.channels)
        })?;
        let generator = for_linear(config, sources.generator, model, |bytes, dim| {
            generator(tables, bytes, dim, model.channels)
        })?;
        if let (Some(source), None) = (sources.generator, sources.statistics) {
            bail!("{}: a generator needs feature statistics: give --statistics", source.name);
        }
        let statistics = match sources.statistics {
            None => None,
            Some(source) if tables.head.kind == HeadKindName::Logits => {
                bail!("{}: the network gives logits, which have no use for features", source.name)
            }
            Some(source) => {
                Some(statistics(source.data, model).with_context(|| source.name.to_string())?)
            }
        };
        Ok(Parts {
            words,
            projection,
            generator,
            statistics,
            decision: decision.with_context(|| format!("{file}: [decision]"))?,
        })
    }

    /// The rows of the statistics, for [`Parts::zero_shot`].
    pub(super) fn statistics(&self) -> Option<Vec<ClassStatistics<'_>>> {
        Some(self.statistics.as_ref()?.iter().map(Row::view).collect())
    }

    /// The parts for the writer.
    pub(super) fn zero_shot<'b>(
        &'b self,
        statistics: Option<&'b [ClassStatistics<'b>]>,
        second_output: Option<SecondOutput<'b>>,
    ) -> ZeroShot<'b> {
        ZeroShot {
            words: &self.words,
            projection: self.projection.as_deref(),
            generator: self.generator.as_ref().map(GeneratorParts::view),
            statistics,
            decision: self.decision,
            second_output,
        }
    }
}

impl Row {
    fn view(&self) -> ClassStatistics<'_> {
        ClassStatistics { class: self.class, mean: &self.mean, deviation: &self.deviation }
    }
}

impl GeneratorParts {
    fn view(&self) -> GeneratorValues<'_> {
        GeneratorValues {
            noise_dim: self.noise_dim,
            noise: self.noise,
            slope: self.slope,
            relu: self.relu,
            hidden_weights: &self.hidden_weights,
            hidden_bias: &self.hidden_bias,
            output_weights: &self.output_weights,
            output_bias: &self.output_bias,
        }
    }
}

fn need_space(file: &str, user: &str, space: Option<EmbeddingSpace>) -> Result<EmbeddingSpace> {
    space.with_context(|| format!("{user} needs a table [embedding] in {file}"))
}

/// Reads a part that only linear heads have.
fn for_linear<T>(
    config: Source<'_, &Config>,
    source: Option<Source<'_, &[u8]>>,
    model: &Model<'_>,
    read: impl FnOnce(&[u8], usize) -> Result<T>,
) -> Result<Option<T>> {
    let Some(Source { name, data }) = source else { return Ok(None) };
    ensure!(
        config.data.head.kind == HeadKindName::Linear,
        "{name} is for [head] `kind = \"linear\"` only: rows of other heads are embeddings"
    );
    let space = need_space(config.name, name, model.space)?;
    read(data, space.dim as usize).map(Some).with_context(|| name.to_string())
}

fn projection(bytes: &[u8], dim: usize, channels: usize) -> Result<Vec<f32>> {
    let matrix = Tensors::open(bytes, &["projection"])?
        .matrix("projection", "[channels + 1, numbers of an embedding]")?;
    let (found, wanted) = ([matrix.rows, matrix.columns], [channels + 1, dim]);
    ensure!(
        found == wanted,
        "`projection` has shape {found:?}, but {channels} channels, a bias and {dim} numbers of an \
         embedding make {wanted:?}"
    );
    Ok(matrix.values)
}

fn generator(tables: &Config, bytes: &[u8], dim: usize, channels: usize) -> Result<GeneratorParts> {
    let file = Tensors::open(bytes, &["w1", "b1", "w2", "b2"])?;
    let hidden = file.matrix("w1", "[hidden, numbers of an embedding and of noise]")?;
    let noise_dim = hidden.columns.checked_sub(dim).filter(|&noise_dim| noise_dim > 0);
    let noise_dim = noise_dim.with_context(|| {
        format!(
            "`w1` has {} columns, which {dim} numbers of an embedding and some of noise do \
                 not fill",
            hidden.columns
        )
    })?;
    let output = file.matrix("w2", "[channels, hidden]")?;
    let (found, wanted) = ([output.rows, output.columns], [channels, hidden.rows]);
    ensure!(
        found == wanted,
        "`w2` has shape {found:?}, but there are {channels} channels and `w1` has {} rows",
        hidden.rows
    );
    let table = tables.generator.unwrap_or_default();
    let of_hidden = format!("`w1` has {} rows", hidden.rows);
    Ok(GeneratorParts {
        noise_dim: u32::try_from(noise_dim)?,
        noise: table.noise(),
        slope: table.slope,
        relu: table.relu,
        hidden_weights: halves("w1", &hidden.values)?,
        hidden_bias: file.vector("b1", hidden.rows, &of_hidden)?,
        output_weights: halves("w2", &output.values)?,
        output_bias: file.vector("b2", channels, &format!("there are {channels} channels"))?,
    })
}

/// One row for each class that was seen in training.
fn statistics(bytes: &[u8], model: &Model<'_>) -> Result<Vec<Row>> {
    let file = Tensors::open(bytes, &["mean", "deviation"])?;
    let mean = file.matrix("mean", "[classes, channels]")?;
    let deviation = file.matrix("deviation", "[classes, channels]")?;
    let wanted = [model.classes.len(), model.channels];
    for (name, found) in [("mean", &mean), ("deviation", &deviation)] {
        let found = [found.rows, found.columns];
        ensure!(
            found == wanted,
            "`{name}` has shape {found:?}, but {} classes and {} channels make {wanted:?}",
            wanted[0],
            wanted[1]
        );
    }
    if let Some(at) = deviation.values.iter().position(|&value| value < 0.0) {
        let (class, channel) = (at / model.channels, at % model.channels);
        bail!("`deviation` [{class}, {channel}] is {}, less than 0", deviation.values[at]);
    }
    let rows = mean.values.chunks(model.channels).zip(deviation.values.chunks(model.channels));
    let mut seen = Vec::new();
    for ((class, rows), index) in model.classes.iter().zip(rows).zip(0..) {
        if class.seen {
            seen.push(Row { class: index, mean: rows.0.to_vec(), deviation: rows.1.to_vec() });
        }
    }
    Ok(seen)
}
