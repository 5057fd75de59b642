//! From a model to a bundle.

use super::config::BundleConfig;
use super::tensor_file::encode_plain;
use crate::convert::{self, Config, LayerWeights, Source, Sources, WordTable, ZeroShotSources};
use crate::spec::{Decision, Stacking, UnknownScore, WeightType};
use crate::train::data::EmbeddingTable;
use crate::train::engine::Matrix;
use crate::train::error::{Error, Result};
use crate::train::layers::Decoder;
use crate::train::model::{HeadForm, Model};
use crate::train::pictures::Tap;
use std::borrow::{Cow, ToOwned};
use std::format;
use std::path::Path;
use std::string::{String, ToString};
use std::vec::Vec;
use toml::{Table, Value};

/// What a bundle is made of, beside the model.
#[derive(Clone, Copy, Debug)]
pub struct BundleParts<'a> {
    /// Network, pack file and words.
    pub config: &'a BundleConfig,
    /// Taps that the features are joined from.
    pub taps: &'a [Tap],
    /// Rows and columns of the features.
    pub grid: [usize; 2],
    /// The embeddings that the model was trained with, and the names of all classes.
    pub embeddings: &'a EmbeddingTable,
    /// The class that stands for "none of the others".
    pub background: Option<&'a str>,
}

/// A bundle of a model: the network, the classifier and what is there for classes that come
/// later. The classes, which of them were seen, and the decision are the model's; input,
/// preprocessing, licence, provenance, colours and the confidence scale are the pack file's.
///
/// # Errors
/// Naming the file and the field that does not fit.
pub fn bundle(model: &Model, parts: &BundleParts<'_>) -> Result<Vec<u8>> {
    let BundleConfig { onnx: onnx_path, pack: pack_path, .. } = parts.config;
    let onnx = read(onnx_path)?;
    let mut pack = pack_table(pack_path)?;
    let graph = features_graph(&onnx, model, parts).map_err(about(onnx_path))?;
    fill(&mut pack, model, parts, &graph)?;
    let text = toml::to_string(&pack).map_err(Error::config)?;
    let config = Config::parse(&text).map_err(convert_error).map_err(about(pack_path))?;
    let files = Files::of(model)?;
    let words = parts.config.words.as_deref().map(read_words).transpose()?;
    let card = parts.config.card.as_deref().map(read_text).transpose()?;
    let weights = WeightType::from(parts.config.weights);
    let sources = Sources {
        onnx: Source { name: &name(onnx_path), data: &graph.onnx },
        config: Source { name: &name(pack_path), data: &config },
        head: Some(Source { name: "head", data: &files.head }),
        classes: None,
        card: card.as_deref().map(|data| Source { name: "card", data }),
        weights: Some(weights),
        zero_shot: ZeroShotSources {
            words: words.as_ref().map(|table| Source { name: "words", data: table }),
            word_limit: parts.config.word_limit,
            projection: source("projection", &files.projection),
            generator: source("generator", &files.generator),
            statistics: source("statistics", &files.statistics),
        },
    };
    convert::pack(&sources).map_err(convert_error)
}

/// A network with an output of features.
struct Graph<'a> {
    onnx: Cow<'a, [u8]>,
    output: String,
}

/// The network whose output is what the classifier works on. A single tap that is at the grid
/// already needs nothing more than its name; everything else becomes layers of the network.
fn features_graph<'a>(onnx: &'a [u8], model: &Model, parts: &BundleParts<'_>) -> Result<Graph<'a>> {
    if let ([tap], None, None) = (parts.taps, &model.decoder, &model.alignment)
        && [tap.height, tap.width] == parts.grid
    {
        return Ok(Graph { onnx: Cow::Borrowed(onnx), output: tap.name.clone() });
    }
    let taps: Vec<&str> = parts.taps.iter().map(|tap| tap.name.as_str()).collect();
    let grid = model.decoder.as_ref().map_or(parts.grid, |decoder| decoder.shape().grid);
    let decoder = model.decoder.as_ref().map(Decoder::to_layers);
    let alignment = model.alignment.as_ref().map(|[weight, bias]| LayerWeights {
        weights: weight.values().to_vec(),
        bias: bias.values().to_vec(),
    });
    let added = convert::append_features(onnx, &taps, grid, decoder.as_ref(), alignment.as_ref());
    let onnx = Cow::Owned(added.map_err(convert_error)?);
    Ok(Graph { onnx, output: convert::FEATURES.to_string() })
}

/// The classifier and its company as files.
struct Files {
    head: Vec<u8>,
    projection: Option<Vec<u8>>,
    generator: Option<Vec<u8>>,
    statistics: Option<Vec<u8>>,
}

impl Files {
    fn of(model: &Model) -> Result<Files> {
        let (head, linear) = (&model.head, model.head.form == HeadForm::Linear);
        let row =
            |matrix: &Matrix<f32>| (std::vec![matrix.values().len()], matrix.values().to_vec());
        let plane = |matrix: &Matrix<f32>| (matrix.shape().to_vec(), matrix.values().to_vec());
        let mut classifier = std::vec![("weight", plane(&head.weights))];
        classifier.extend(linear.then(|| ("bias", row(&head.bias))));
        // Rows of other heads are embeddings: nothing needs to make them.
        let projection = model.projection.as_ref().filter(|_| linear);
        let projection = projection.map(|matrix| encode_plain(&[("projection", plane(matrix))]));
        let generator = model.generator.as_ref().filter(|_| linear);
        let generator = generator.map(|parts| {
            let (w1, w2) = (plane(&parts.w1), plane(&parts.w2));
            let (b1, b2) = (row(&parts.b1), row(&parts.b2));
            encode_plain(&[("w1", w1), ("b1", b1), ("w2", w2), ("b2", b2)])
        });
        let statistics = model.statistics.as_ref().map(|[mean, deviation]| {
            encode_plain(&[("mean", plane(mean)), ("deviation", plane(deviation))])
        });
        Ok(Files {
            head: encode_plain(&classifier)?,
            projection: projection.transpose()?,
            generator: generator.transpose()?,
            statistics: statistics.transpose()?,
        })
    }
}

fn source<'a>(name: &'a str, bytes: &'a Option<Vec<u8>>) -> Option<Source<'a, &'a [u8]>> {
    bytes.as_deref().map(|data| Source { name, data })
}

/// Puts what the model says into the pack file.
fn fill(pack: &mut Table, model: &Model, parts: &BundleParts<'_>, graph: &Graph<'_>) -> Result<()> {
    let classes = class_tables(pack, model, parts)?;
    let output = table(pack, "output")?;
    output.insert("name".to_owned(), Value::String(graph.output.clone()));
    output.entry("align_corners").or_insert(Value::Boolean(false));
    let head = table(pack, "head")?;
    let (kind, scale) = match model.head.form {
        HeadForm::Linear => ("linear", None),
        HeadForm::Dot => ("dot", None),
        HeadForm::Cosine { scale } => ("cosine", Some(Value::Float(scale.into()))),
    };
    head.insert("kind".to_owned(), kind.into());
    head.remove("cosine_scale");
    head.extend(scale.map(|scale| ("cosine_scale".to_owned(), scale)));
    let mut list = Table::new();
    list.insert("list".to_owned(), Value::Array(classes));
    pack.insert("classes".to_owned(), Value::Table(list));
    pack.insert("decision".to_owned(), Value::Table(decision_table(&model.decision)));
    let mut embedding = Table::new();
    embedding.insert("dim".to_owned(), integer(parts.embeddings.dim())?);
    embedding.insert("unit".to_owned(), Value::Boolean(unit(model, parts.embeddings)));
    pack.insert("embedding".to_owned(), Value::Table(embedding));
    pack.remove("generator");
    if let Some(generator) = model.generator.as_ref().filter(|_| kind == "linear") {
        let mut table = Table::new();
        let noise = if generator.normal_noise { "normal" } else { "uniform" };
        table.insert("noise".to_owned(), noise.into());
        table.insert("slope".to_owned(), Value::Float(generator.slope.into()));
        table.insert("relu".to_owned(), Value::Boolean(generator.relu));
        pack.insert("generator".to_owned(), Value::Table(table));
    }
    Ok(())
}

/// Whether embeddings of classes that come later are to have length 1: as those of the classes of
/// the model had, rows of zeros aside, which stand for classes outside.
fn unit(model: &Model, embeddings: &EmbeddingTable) -> bool {
    let norms: Vec<f64> = embeddings.norms().collect();
    model.classes.iter().filter_map(|class| norms.get(*class)).all(|norm| (norm - 1.0).abs() < 1e-3)
}

/// The classes of the model in the pack file's colours.
fn class_tables(pack: &Table, model: &Model, parts: &BundleParts<'_>) -> Result<Vec<Value>> {
    let listed = pack.get("classes").and_then(|classes| classes.get("list")?.as_array());
    let color_of = |name: &str| {
        let mut entries = listed.into_iter().flatten();
        entries.find(|entry| entry.get("name").and_then(Value::as_str) == Some(name))?.get("color")
    };
    let mut tables = Vec::new();
    for (&class, &seen) in model.classes.iter().zip(&model.seen) {
        let name = parts.embeddings.names().get(class);
        let name = name.ok_or_else(|| Error::config(format!("class {class} has no name")))?;
        let mut table = Table::new();
        table.insert("name".to_owned(), Value::String(name.clone()));
        table.insert("seen".to_owned(), Value::Boolean(seen));
        let is_background = parts.background == Some(name.as_str());
        table.insert("background".to_owned(), Value::Boolean(is_background));
        let [red, green, blue] = crate::viz::Palette::voc(class + 1).color(class);
        let standard: Value = std::vec![i64::from(red), i64::from(green), i64::from(blue)].into();
        let color = color_of(name).cloned().unwrap_or(standard);
        table.insert("color".to_owned(), color);
        tables.push(Value::Table(table));
    }
    Ok(tables)
}

fn decision_table(decision: &Decision) -> Table {
    let mut table = Table::new();
    let mut put = |name: &str, value: Value| table.insert(name.to_owned(), value);
    let stacking = match decision.stacking {
        Stacking::Off => None,
        Stacking::Logits(gamma) => Some(("logits", gamma)),
        Stacking::Probabilities(gamma) => Some(("probabilities", gamma)),
    };
    if let Some((stacking, gamma)) = stacking {
        put("stacking", stacking.into());
        put("gamma", Value::Float(gamma.into()));
    }
    if let UnknownScore::Energy { reference } = decision.unknown {
        put("unknown", "energy".into());
        put("reference", Value::Float(reference.into()));
    }
    put("min_confidence", Value::Float(decision.min_confidence.into()));
    put("min_margin", Value::Float(decision.min_margin.into()));
    put("max_unknown", Value::Float(decision.max_unknown.into()));
    table
}

fn table<'t>(pack: &'t mut Table, name: &str) -> Result<&'t mut Table> {
    let entry = pack.entry(name).or_insert_with(|| Value::Table(Table::new()));
    entry.as_table_mut().ok_or_else(|| Error::config(format!("[{name}] is no table")))
}

fn integer(number: usize) -> Result<Value> {
    Ok(Value::Integer(i64::try_from(number).map_err(Error::config)?))
}

fn pack_table(path: &Path) -> Result<Table> {
    read_text(path)?.parse().map_err(|error| Error::broken(path, error))
}

fn read(path: &Path) -> Result<Vec<u8>> {
    std::fs::read(path).map_err(Error::file(path))
}

fn read_text(path: &Path) -> Result<String> {
    std::fs::read_to_string(path).map_err(Error::file(path))
}

/// A NumPy table with its words beside it, or lines of words and numbers.
fn read_words(path: &Path) -> Result<WordTable> {
    let bytes = read(path)?;
    let table = match path.extension().is_some_and(|extension| extension == "npy") {
        true => WordTable::from_npy(&bytes, &read_text(&path.with_extension("txt"))?),
        false => WordTable::from_text(&bytes),
    };
    table.map_err(convert_error).map_err(about(path))
}

fn name(path: &Path) -> String {
    path.file_name().unwrap_or(path.as_os_str()).to_string_lossy().to_string()
}

fn convert_error(error: anyhow::Error) -> Error {
    Error::config(format!("{error:#}"))
}

fn about(path: &Path) -> impl FnOnce(Error) -> Error + '_ {
    move |error| Error::config(format!("{}: {error}", path.display()))
}
