//! Reads what a model brings along for classes that it was not trained on, and its decision.

use super::container::Container;
use super::layout::{
    DecisionRecord, GeneratorRecord, SecondOutputRecord, StatisticsRecord, WordsRecord, kind, text,
};
use super::manifest::{FLAGS, LAYOUTS, Manifest, unknown, value, zero};
use super::section::{Fields, absent, all, elements, finite, finite_halves, reserved};
use crate::limits::{MAX_EMBEDDING, product};
use crate::spec::{
    Backbone, Decision, EmbeddingSpace, FeatureStatistics, Generator, HeadKind, Noise, Projection,
    SecondOutput, Stacking, UnknownScore, Words, check_name,
};
use crate::status::{Result, Status};
use zerocopy::little_endian::{F32, U32};

/// Codes of the noise are positions in this table.
pub const NOISES: [Noise; 2] = [Noise::Uniform, Noise::Normal];

// Codes of the values that carry others.
pub const STACKING_OFF: u32 = 0;
pub const STACKING_LOGITS: u32 = 1;
pub const STACKING_PROBABILITIES: u32 = 2;
pub const UNKNOWN_MARGIN: u32 = 0;
pub const UNKNOWN_ENERGY: u32 = 1;

/// The sections from WORDS on.
#[derive(Clone, Copy)]
pub struct ZeroShotParts<'a> {
    pub words: Option<Words<'a>>,
    pub projection: Option<Projection<'a>>,
    pub generator: Option<Generator<'a>>,
    pub statistics: Option<FeatureStatistics<'a>>,
    pub decision: Decision,
    pub second_output: Option<SecondOutput<'a>>,
}

/// Reads the sections that are there and refuses those that the manifest rules out.
pub fn read<'a>(manifest: &Manifest<'_>, container: &Container<'a>) -> Result<ZeroShotParts<'a>> {
    let section = |kind| container.find(kind);
    let parts = ZeroShotParts {
        words: read_words(manifest, section(kind::WORDS))?,
        projection: read_projection(manifest, section(kind::PROJECTION))?,
        generator: read_generator(manifest, section(kind::GENERATOR))?,
        statistics: read_statistics(manifest, section(kind::FEATURE_STATISTICS))?,
        decision: read_decision(section(kind::DECISION))?,
        second_output: read_second_output(manifest, section(kind::SECOND_OUTPUT))?,
    };
    if parts.generator.is_some() && parts.statistics.is_none() {
        let what = "GENERATOR without FEATURE_STATISTICS";
        return Err(Status::BundleContent.about(what));
    }
    Ok(parts)
}

/// A section that has a meaning only where there are embeddings.
fn embedded(
    kind: u32,
    space: Option<EmbeddingSpace>,
    section: Option<&[u8]>,
) -> Result<Option<(&[u8], usize)>> {
    let Some(space) = space else {
        absent(kind, section)?;
        return Ok(None);
    };
    Ok(section.map(|bytes| (bytes, space.dim as usize)))
}

/// A section that has a meaning only for a linear head with embeddings.
fn for_linear<'a>(
    kind: u32,
    manifest: &Manifest<'_>,
    section: Option<&'a [u8]>,
) -> Result<Option<(&'a [u8], usize)>> {
    let linear = matches!(manifest.head.kind, HeadKind::Linear(_));
    embedded(kind, manifest.embedding.filter(|_| linear), section)
}

fn read_words<'a>(manifest: &Manifest<'_>, section: Option<&'a [u8]>) -> Result<Option<Words<'a>>> {
    let Some((section, dim)) = embedded(kind::WORDS, manifest.embedding, section)? else {
        return Ok(None);
    };
    let mut fields = Fields::of("length of WORDS", section);
    let record: &WordsRecord = fields.record()?;
    let count = record.words.get() as usize;
    if count == 0 {
        return Err(Status::BundleContent.about("number of words"));
    }
    reserved("reserved bytes of the words", &record.reserved)?;
    let ends = fields.elements(count)?;
    let vectors = fields.elements(product("length of WORDS", &[count, dim])?)?;
    let text = fields.elements(record.text_bytes.get() as usize)?;
    fields.end()?;
    check_words(ends, text)?;
    finite_halves("a number of a word vector is not finite", vectors)?;
    Ok(Some(Words { ends, text, vectors, dim }))
}

/// Checks that the words fill the text, that each is a name, and that each is greater than the
/// one before.
fn check_words(ends: &[U32], text: &[u8]) -> Result<()> {
    let wrong = |what: &'static str, index: usize| {
        Err(Status::BundleContent.about(what).numbers(index as u64, ends.len() as u64))
    };
    let (mut start, mut previous): (usize, &[u8]) = (0, &[]);
    for (index, end) in ends.iter().enumerate() {
        let end = end.get() as usize;
        let Some(bytes) = text.get(start..end) else { return wrong("end of a word", index) };
        let word = core::str::from_utf8(bytes);
        if !word.is_ok_and(|word| check_name(word).is_ok()) {
            return wrong("a word is empty, too long or not plain UTF-8", index);
        }
        if bytes <= previous {
            return wrong("order of the words, or a word occurs twice", index);
        }
        (start, previous) = (end, bytes);
    }
    if start != text.len() {
        let error = Status::BundleContent.about("text behind the last word");
        return Err(error.numbers(start as u64, text.len() as u64));
    }
    Ok(())
}

fn read_projection<'a>(
    manifest: &Manifest<'_>,
    section: Option<&'a [u8]>,
) -> Result<Option<Projection<'a>>> {
    let Some((section, dim)) = for_linear(kind::PROJECTION, manifest, section)? else {
        return Ok(None);
    };
    let rows = (manifest.head.channels as usize).saturating_add(1);
    let weights = elements("PROJECTION", Some(section), product("PROJECTION", &[rows, dim])?)?;
    finite("a weight of the projection is not finite", weights)?;
    Ok(Some(Projection { weights, dim }))
}

fn read_generator<'a>(
    manifest: &Manifest<'_>,
    section: Option<&'a [u8]>,
) -> Result<Option<Generator<'a>>> {
    let Some((section, dim)) = for_linear(kind::GENERATOR, manifest, section)? else {
        return Ok(None);
    };
    let channels = manifest.head.channels as usize;
    let mut fields = Fields::of("length of GENERATOR", section);
    let record: &GeneratorRecord = fields.record()?;
    let noise_dim = side("numbers of the generator's noise", record.noise_dim)?;
    let hidden = side("width of the generator's hidden layer", record.hidden)?;
    let slope = record.slope.get();
    if !(0.0..=1.0).contains(&slope) {
        return Err(Status::BundleContent.about("slope of the generator"));
    }
    reserved("reserved bytes of the generator", &record.reserved)?;
    let inputs = dim.saturating_add(noise_dim);
    let generator = Generator {
        dim,
        noise_dim,
        hidden,
        channels,
        noise: value("noise code of the generator", record.noise, &NOISES)?,
        slope,
        relu: value("ReLU flag of the generator", record.relu, &FLAGS)?,
        hidden_bias: fields.elements(hidden)?,
        output_bias: fields.elements(channels)?,
        hidden_weights: fields.elements(product("length of GENERATOR", &[hidden, inputs])?)?,
        output_weights: fields.elements(product("length of GENERATOR", &[channels, hidden])?)?,
    };
    fields.end()?;
    for bias in [generator.hidden_bias, generator.output_bias] {
        finite("a bias of the generator is not finite", bias)?;
    }
    for weights in [generator.hidden_weights, generator.output_weights] {
        finite_halves("a weight of the generator is not finite", weights)?;
    }
    Ok(Some(generator))
}

fn side(what: &'static str, found: U32) -> Result<usize> {
    let found = found.get();
    if found == 0 || found > MAX_EMBEDDING {
        return Err(Status::BundleContent.about(what).numbers(found.into(), MAX_EMBEDDING.into()));
    }
    Ok(found as usize)
}

fn read_statistics<'a>(
    manifest: &Manifest<'_>,
    section: Option<&'a [u8]>,
) -> Result<Option<FeatureStatistics<'a>>> {
    if manifest.head.kind == HeadKind::Logits {
        absent(kind::FEATURE_STATISTICS, section)?;
    }
    let Some(section) = section else { return Ok(None) };
    let mut fields = Fields::of("length of FEATURE_STATISTICS", section);
    let record: &StatisticsRecord = fields.record()?;
    reserved("reserved bytes of the statistics", &record.reserved)?;
    let (rows, most) = (record.rows.get(), manifest.head.classes);
    if rows > most {
        let error = Status::BundleContent.about("rows of the statistics");
        return Err(error.numbers(rows.into(), most.into()));
    }
    let channels = manifest.head.channels as usize;
    let len = product("length of FEATURE_STATISTICS", &[rows as usize, channels])?;
    let classes = fields.elements(rows as usize)?;
    let (mean, deviation) = (fields.elements(len)?, fields.elements(len)?);
    fields.end()?;
    check_indices(classes, most)?;
    finite("a mean of the statistics is not finite", mean)?;
    let not_negative = |value: &F32| value.get().is_finite() && value.get() >= 0.0;
    all("a deviation is not finite or is negative", deviation, not_negative)?;
    Ok(Some(FeatureStatistics { classes, mean, deviation, channels }))
}

/// Checks that the indices are strictly ascending and below `classes`.
fn check_indices(indices: &[U32], classes: u32) -> Result<()> {
    let mut least = 0;
    for index in indices.iter().map(|index| index.get()) {
        if index < least || index >= classes {
            let error = Status::BundleContent.about("class of a row of the statistics");
            return Err(error.numbers(index.into(), classes.into()));
        }
        least = index.saturating_add(1);
    }
    Ok(())
}

fn read_decision(section: Option<&[u8]>) -> Result<Decision> {
    let Some(section) = section else { return Ok(Decision::PLAIN) };
    let mut fields = Fields::of("length of DECISION", section);
    let record: &DecisionRecord = fields.record()?;
    fields.end()?;
    let gamma = record.gamma.get();
    let stacking = match record.stacking.get() {
        STACKING_OFF => {
            zero("handicap without stacking", record.gamma.to_bytes())?;
            Stacking::Off
        }
        STACKING_LOGITS => Stacking::Logits(gamma),
        STACKING_PROBABILITIES => Stacking::Probabilities(gamma),
        code => return Err(unknown("stacking code", code, STACKING_PROBABILITIES)),
    };
    let unknown_score = match record.unknown.get() {
        UNKNOWN_MARGIN => {
            zero("reference of a margin", record.reference.to_bytes())?;
            UnknownScore::Margin
        }
        UNKNOWN_ENERGY => UnknownScore::Energy { reference: record.reference.get() },
        code => return Err(unknown("code of the unknown score", code, UNKNOWN_ENERGY)),
    };
    zero("reserved bytes of the decision", record.reserved.to_bytes())?;
    let decision = Decision {
        stacking,
        min_confidence: record.min_confidence.get(),
        min_margin: record.min_margin.get(),
        unknown: unknown_score,
        max_unknown: record.max_unknown.get(),
    };
    decision.check().map_err(|error| Status::BundleContent.about(error.what()))?;
    Ok(decision)
}

fn read_second_output<'a>(
    manifest: &Manifest<'_>,
    section: Option<&'a [u8]>,
) -> Result<Option<SecondOutput<'a>>> {
    if manifest.backbone == Backbone::External {
        absent(kind::SECOND_OUTPUT, section)?;
    }
    let Some(section) = section else { return Ok(None) };
    let mut fields = Fields::of("length of SECOND_OUTPUT", section);
    let record: &SecondOutputRecord = fields.record()?;
    fields.end()?;
    let what = "name of the second output";
    let name = text(what, &record.name)?;
    if name.is_empty() || name == manifest.output_name {
        return Err(Status::BundleContent.about(what));
    }
    reserved("reserved bytes of the second output", &record.reserved)?;
    let output = SecondOutput {
        name,
        grid_height: record.grid_height.get(),
        grid_width: record.grid_width.get(),
        channels: record.channels.get(),
        layout: value("layout code of the second output", record.layout, &LAYOUTS)?,
    };
    output.check()?;
    Ok(Some(output))
}
