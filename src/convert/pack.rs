//! Puts the parts of a model together.

use super::classes;
use super::config::{Config, HeadKindName};
use super::head::{Classifier, Stored};
use crate::backbone::tract::{Options, TractBackbone};
use crate::bundle::{Contents, LinearHead, Manifest, write};
use crate::map::Layout;
use crate::spec::{Backbone, Head, HeadKind, Input, WeightType};
use anyhow::{Context, Result, anyhow, bail, ensure};
use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};
use std::format;
use std::string::{String, ToString};
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
    /// The classifier, a safetensors file; exactly for `kind = "linear"`.
    pub head: Option<Source<'a, &'a [u8]>>,
    /// Names of the classes, one per line, if the pack file does not hold them.
    pub classes: Option<Source<'a, &'a str>>,
    /// Model card, Markdown.
    pub card: Option<Source<'a, &'a str>>,
    /// Weight type of the classifier; overrides the pack file's.
    pub weights: Option<WeightType>,
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
    let head = Packed::read(sources, classes.len())?;
    let shape = output_shape(sources, input)?;
    let (layout, grid_height, grid_width) = locate_channels(sources, shape, head.channels)?;

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
        },
        grid_height: u32::try_from(grid_height)?,
        grid_width: u32::try_from(grid_width)?,
        output_layout: layout,
        backbone: Backbone::Onnx,
        precision: config.output.precision(),
    };
    manifest.head.check().with_context(in_file("head"))?;
    let provenance = provenance(sources)?;
    let contents = Contents {
        manifest,
        classes: &classes,
        head: head.linear(),
        onnx: Some(sources.onnx.data),
        model_card: sources.card.map(|card| card.data),
        provenance: Some(&provenance),
    };
    write(&contents).with_context(|| file.to_string())
}

/// The head as it will be stored.
struct Packed {
    kind: HeadKind,
    channels: usize,
    weights: Option<(Stored, Vec<f32>)>,
}

impl Packed {
    fn read(sources: &Sources<'_>, classes: usize) -> Result<Packed> {
        let Source { name: file, data: config } = sources.config;
        if config.head.kind == HeadKindName::Logits {
            let unused =
                "the network gives logits, so a classifier and its weight type have no use";
            ensure!(
                sources.head.is_none() && sources.weights.is_none(),
                "--head, --weights: {unused}"
            );
            ensure!(config.head.weights.is_none(), "{file}: [head] `weights`: {unused}");
            return Ok(Packed { kind: HeadKind::Logits, channels: classes, weights: None });
        }
        let Some(source) = sources.head else {
            bail!("{file}: [head] `kind = \"linear\"` needs a classifier: give --head");
        };
        let classifier = Classifier::read(source.data).with_context(|| source.name.to_string())?;
        ensure!(
            classifier.classes == classes,
            "{}: `weight` has {} rows, but there are {classes} classes",
            source.name,
            classifier.classes
        );
        let stated = sources.weights.or(config.head.weights.map(WeightType::from));
        let weight_type = stated.unwrap_or(WeightType::F32);
        let stored = classifier.store(weight_type).with_context(|| source.name.to_string())?;
        Ok(Packed {
            kind: HeadKind::Linear(weight_type),
            channels: classifier.channels,
            weights: Some((stored, classifier.bias)),
        })
    }

    fn linear(&self) -> Option<LinearHead<'_>> {
        let (stored, bias) = self.weights.as_ref()?;
        Some(LinearHead { weights: stored.values(), bias })
    }
}

/// Sides of the network's output behind the first, which is 1.
fn output_shape(sources: &Sources<'_>, input: Input) -> Result<[usize; 3]> {
    let config = sources.config.data;
    let options = Options {
        input,
        input_name: &config.input.name,
        output_name: &config.output.name,
        channels: 0,
        grid_height: 0,
        grid_width: 0,
        output_layout: Layout::Chw,
        precision: config.output.precision(),
        threads: 1,
    };
    let context = || format!("{} with {}", sources.onnx.name, sources.config.name);
    let shape = TractBackbone::output_shape(sources.onnx.data, &options).with_context(context)?;
    let [1, first, second, third] = *shape else {
        let name = &config.output.name;
        return Err(anyhow!(
            "output \"{name}\" has shape {shape:?}; wanted is 1 x channels x rows x columns, or \
             1 x rows x columns x channels"
        ))
        .with_context(context);
    };
    Ok([first, second, third])
}

/// Layout, rows and columns of an output that must have `channels` channels.
fn locate_channels(
    sources: &Sources<'_>,
    [first, second, third]: [usize; 3],
    channels: usize,
) -> Result<(Layout, usize, usize)> {
    let output = &sources.config.data.output;
    let layout = Layout::from(output.layout);
    let (found, rows, columns) = match layout {
        Layout::Chw => (first, second, third),
        Layout::Hwc => (third, first, second),
    };
    if found == channels {
        return Ok((layout, rows, columns));
    }
    let wanted = match sources.head {
        Some(head) => format!("`weight` in {} has {channels} columns", head.name),
        None => format!("{} names {channels} classes", sources.config.name),
    };
    let hint = match layout {
        Layout::Chw if third == channels => "; do the channels come last (`layout = \"hwc\"`)?",
        Layout::Hwc if first == channels => "; do the channels come first (`layout = \"chw\"`)?",
        _ => "",
    };
    let (file, name) = (sources.onnx.name, &output.name);
    let shape = [1, first, second, third];
    bail!("{file}: output \"{name}\" has shape {shape:?}, so {found} channels, but {wanted}{hint}")
}

/// The pack file's `[provenance]` as JSON, and under `packed` what went into the bundle.
fn provenance(sources: &Sources<'_>) -> Result<String> {
    let file = sources.config.name;
    let mut document: Map<String, Value> = Map::new();
    for (key, value) in &sources.config.data.provenance {
        ensure!(key != "packed", "{file}: [provenance] `packed` is written by this command");
        document.insert(key.clone(), to_json(value));
    }
    let described = |source: Source<'_, &[u8]>| {
        json!({
            "file": source.name,
            "bytes": source.data.len(),
            "sha256": hex(&Sha256::digest(source.data)),
        })
    };
    let packed = json!({
        "by": concat!("zsseg ", env!("CARGO_PKG_VERSION")),
        "network": described(sources.onnx),
        "classifier": sources.head.map(described),
    });
    document.insert("packed".to_string(), packed);
    Ok(serde_json::to_string_pretty(&document)?)
}

fn to_json(value: &toml::Value) -> Value {
    match value {
        toml::Value::String(text) => json!(text),
        toml::Value::Integer(number) => json!(number),
        toml::Value::Float(number) => json!(number),
        toml::Value::Boolean(flag) => json!(flag),
        toml::Value::Datetime(moment) => json!(moment.to_string()),
        toml::Value::Array(values) => values.iter().map(to_json).collect(),
        toml::Value::Table(table) => {
            Value::Object(table.iter().map(|(key, value)| (key.clone(), to_json(value))).collect())
        }
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
