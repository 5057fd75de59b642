//! Puts the parts of a model together.

use super::config::{Config, HeadKindName};
use super::head::Classifier;
use super::provenance::provenance;
use super::words::embeddings;
use super::zero_shot::{self, Model, Parts, ZeroShotSources};
use super::{classes, output};
use crate::bundle::{Contents, LinearHead, Manifest, StoredWeights, write};
use crate::spec::{Backbone, Class, EmbeddingSpace, Head, HeadKind, WeightType};
use anyhow::{Context, Result, bail, ensure};
use half::f16;
use std::format;
use std::string::ToString;
use std::vec::Vec;

/// A file: its name, for errors and the provenance, and its contents.
#[derive(Clone, Copy, Debug)]
pub struct Source<'a, T> {
    /// Name without folders.
    pub name: &'a str,
    /// Contents.
    pub data: T,
}

/// Everything that goes into a bundle.
#[derive(Clone, Copy, Debug)]
pub struct Sources<'a> {
    /// The network.
    pub onnx: Source<'a, &'a [u8]>,
    /// The pack file.
    pub config: Source<'a, &'a Config>,
    /// The classifier, a safetensors file: for every head but `kind = "logits"`. Rows of dot and
    /// cosine heads may come from the word table instead.
    pub head: Option<Source<'a, &'a [u8]>>,
    /// Names of the classes, one per line, if the pack file does not hold them.
    pub classes: Option<Source<'a, &'a str>>,
    /// Model card, Markdown.
    pub card: Option<Source<'a, &'a str>>,
    /// Weight type of the classifier; overrides the pack file's.
    pub weights: Option<WeightType>,
    /// What is there for classes that the model was not trained on.
    pub zero_shot: ZeroShotSources<'a>,
}

/// Makes a bundle. Equal sources give equal bytes.
///
/// The network is loaded to find the size of its output, but not run.
///
/// # Errors
/// With the file and the field that is wrong.
pub fn pack(sources: &Sources<'_>) -> Result<Vec<u8>> {
    let Source { name: file, data: config } = sources.config;
    let in_file = |table: &'static str| move || format!("{file}: [{table}]");
    let input = config.input.to_input().with_context(in_file("input"))?;
    let preprocess = config.preprocess.to_preprocess().with_context(in_file("preprocess"))?;
    let names = sources.classes.map(|source| source.data);
    let list = classes::list(&config.classes, names).with_context(in_file("classes"))?;
    let classes = classes::with_colors(&list, config.classes.palette);
    let space = config.embedding.map(|table| table.to_space(config.head.kind)).transpose();
    let space = space.with_context(in_file("embedding"))?;
    let words = zero_shot::words(sources.config, &sources.zero_shot, space, &classes)?;
    let head = Packed::read(sources, &classes, space, &words)?;
    let (grid_height, grid_width) = output::grid(sources, input, head.channels)?;
    let second_output = output::second(sources, input)?;
    let model = Model { space, classes: &classes, channels: head.channels };
    let parts = Parts::read(sources.config, &sources.zero_shot, words, &model)?;

    let manifest = Manifest {
        model_name: &config.name,
        license: &config.license,
        input_name: &config.input.name,
        output_name: &config.output.name,
        input,
        preprocess,
        head: Head {
            kind: head.kind,
            classes: u32::try_from(classes.len())?,
            channels: u32::try_from(head.channels)?,
            align_corners: config.output.align_corners,
            confidence_scale: config.head.confidence_scale,
            cosine_scale: config.head.cosine_scale().with_context(in_file("head"))?,
        },
        grid_height,
        grid_width,
        output_layout: config.output.layout.into(),
        backbone: Backbone::Onnx,
        precision: config.output.precision(),
        embedding: space,
    };
    manifest.head.check().with_context(in_file("head"))?;
    let (provenance, statistics) = (provenance(sources)?, parts.statistics());
    let contents = Contents {
        manifest,
        classes: &classes,
        head: head.linear(),
        onnx: Some(sources.onnx.data),
        model_card: sources.card.map(|card| card.data),
        provenance: Some(&provenance),
        zero_shot: parts.zero_shot(statistics.as_deref(), second_output),
    };
    write(&contents).with_context(|| file.to_string())
}

/// The head as it will be stored.
struct Packed {
    kind: HeadKind,
    channels: usize,
    weights: Option<(StoredWeights, Vec<f32>)>,
}

impl Packed {
    fn read(
        sources: &Sources<'_>,
        classes: &[Class<'_>],
        space: Option<EmbeddingSpace>,
        words: &[(&str, &[f16])],
    ) -> Result<Packed> {
        let Source { name: file, data: config } = sources.config;
        if config.head.kind == HeadKindName::Logits {
            let unused =
                "the network gives logits, so a classifier and its weight type have no use";
            ensure!(
                sources.head.is_none() && sources.weights.is_none(),
                "--head, --weights: {unused}"
            );
            ensure!(config.head.weights.is_none(), "{file}: [head] `weights`: {unused}");
            let channels = classes.len();
            return Ok(Packed { kind: HeadKind::Logits, channels, weights: None });
        }
        let stated = sources.weights.or(config.head.weights.map(WeightType::from));
        let kind = config.head.kind.with(stated.unwrap_or(WeightType::F32));
        let (name, classifier) = classifier(sources, classes, space, words)?;
        let Classifier { channels, weight, bias, .. } = classifier;
        let stored = StoredWeights::round(kind, &weight, channels);
        let stored = stored.with_context(|| name.to_string())?;
        Ok(Packed { kind, channels, weights: Some((stored, bias)) })
    }

    fn linear(&self) -> Option<LinearHead<'_>> {
        let (stored, bias) = self.weights.as_ref()?;
        Some(LinearHead { weights: stored.values(), bias })
    }
}

/// The classifier in floats, and the name of the file it comes from.
fn classifier<'a>(
    sources: &Sources<'a>,
    classes: &[Class<'_>],
    space: Option<EmbeddingSpace>,
    words: &[(&str, &[f16])],
) -> Result<(&'a str, Classifier)> {
    let Source { name: file, data: config } = sources.config;
    let linear = config.head.kind == HeadKindName::Linear;
    if linear && sources.head.is_none() {
        bail!("{file}: [head] `kind = \"linear\"` needs a classifier: give --head");
    }
    let space = match space {
        None if !linear => {
            bail!("{file}: the rows of this [head] are embeddings: [embedding] is missing")
        }
        space => space,
    };
    let (name, classifier) = match (sources.head, sources.zero_shot.words) {
        (Some(source), _) => {
            let read = Classifier::read(source.data, linear);
            (source.name, read.with_context(|| source.name.to_string())?)
        }
        (None, Some(table)) => {
            let read = from_words(words, classes, space);
            (table.name, read.with_context(|| table.name.to_string())?)
        }
        (None, None) => bail!("{file}: [head] needs its rows: give --head or --words"),
    };
    let (rows, columns) = (classifier.classes, classifier.channels);
    ensure!(
        rows == classes.len(),
        "{name}: `weight` has {rows} rows, but there are {} classes",
        classes.len()
    );
    if let Some(space) = space.filter(|_| !linear) {
        ensure!(
            columns == space.dim as usize,
            "{name}: `weight` has {columns} columns, but {file}: [embedding] `dim` is {}",
            space.dim
        );
    }
    Ok((name, classifier))
}

fn from_words(
    words: &[(&str, &[f16])],
    classes: &[Class<'_>],
    space: Option<EmbeddingSpace>,
) -> Result<Classifier> {
    let space = space.context("there are no embeddings")?;
    let names: Vec<&str> = classes.iter().map(|class| class.name).collect();
    Ok(Classifier {
        classes: names.len(),
        channels: space.dim as usize,
        weight: embeddings(words, &names, space)?,
        bias: Vec::new(),
    })
}
