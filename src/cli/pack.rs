//! `zsseg pack`.

use super::compile::{PlanOptions, summary};
use super::model::{arena_for, read_capped};
use super::{Outcome, write};
use crate::bundle::Bundle;
use crate::compile::Settings;
use crate::convert::{
    self, CompiledBundle, Config, Source, Sources, WeightTypeName, WordTable, ZeroShotSources,
    compile_bundle,
};
use crate::head::Output;
use crate::image::{Image, PixelFormat};
use crate::limits::{Limits, MAX_BUNDLE_BYTES};
use crate::segmenter::Segmenter;
use crate::spec::WeightType;
use anyhow::{Context, Result};
use std::borrow::ToOwned;
use std::format;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::string::{String, ToString};
use std::vec;
use std::vec::Vec;

/// Longest pack file, class list or model card, in bytes.
const MAX_TEXT_BYTES: u64 = 1 << 22;
/// Side of the grey frame that a finished bundle is tried on.
const TRIAL_SIDE: u32 = 64;

/// Pack a network, a classifier and a list of classes into a bundle.
///
/// The pack file is described in docs/pack.md. The network is compiled to a plan (docs/plan.md).
/// The finished bundle is opened, its network loaded and a grey frame segmented before anything is
/// written.
#[derive(clap::Args)]
pub struct Args {
    /// The network.
    #[arg(long, value_name = "MODEL.onnx")]
    onnx: PathBuf,
    /// The pack file.
    #[arg(long, value_name = "PACK.toml")]
    config: PathBuf,
    /// The classifier: tensors `weight` and, for `kind = "linear"`, `bias`.
    #[arg(long, value_name = "HEAD.safetensors")]
    head: Option<PathBuf>,
    /// Class names, one per line, where the pack file has none.
    #[arg(long, value_name = "CLASSES.txt")]
    classes: Option<PathBuf>,
    /// How the classifier's weights are stored; overrides the pack file.
    #[arg(long, value_enum)]
    weights: Option<WeightTypeName>,
    /// Model card, Markdown.
    #[arg(long, value_name = "CARD.md")]
    card: Option<PathBuf>,
    /// Word vectors: lines of a word and its numbers (GloVe), or a NumPy table TABLE.npy with the
    /// words, one per line, in TABLE.txt beside it.
    #[arg(long, value_name = "TABLE")]
    words: Option<PathBuf>,
    /// Take only so many words, the first of the table, beside those of the classes' names.
    #[arg(long, value_name = "N")]
    word_limit: Option<usize>,
    /// From embeddings to rows of a linear head: tensor `projection`, [channels + 1, dim].
    #[arg(long, value_name = "FILE.safetensors")]
    projection: Option<PathBuf>,
    /// From embeddings and noise to features: tensors `w1`, `b1`, `w2`, `b2`.
    #[arg(long, value_name = "FILE.safetensors")]
    generator: Option<PathBuf>,
    /// Features of the classes: tensors `mean` and `deviation`, [classes, channels].
    #[arg(long, value_name = "FILE.safetensors")]
    statistics: Option<PathBuf>,
    /// The bundle to write.
    #[arg(short = 'o', long = "output", value_name = "BUNDLE.zsb")]
    output: PathBuf,
    /// What runs the network.
    #[arg(long, value_enum, default_value_t = EngineName::Plan)]
    engine: EngineName,
    #[command(flatten)]
    plan: PlanOptions,
    /// Write the bundle without trying it.
    #[arg(long)]
    no_check: bool,
}

/// What runs the network of a bundle.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum EngineName {
    /// The network is compiled to a plan: fast, in the arena, on any device.
    Plan,
    /// The ONNX file goes into the bundle and tract runs it: on workstations, slower, with a heap.
    Tract,
}

/// Runs the command.
pub fn run(args: &Args, out: &mut dyn Write) -> Result<Outcome> {
    let onnx = read_capped(&args.onnx, MAX_BUNDLE_BYTES)?;
    let head = optional(&args.head, |path| read_capped(path, MAX_BUNDLE_BYTES))?;
    let classes = optional(&args.classes, read_text)?;
    let card = optional(&args.card, read_text)?;
    let words = optional(&args.words, read_words)?;
    let tensors = |path: &Option<PathBuf>| optional(path, |p| read_capped(p, MAX_BUNDLE_BYTES));
    let (projection, generator) = (tensors(&args.projection)?, tensors(&args.generator)?);
    let statistics = tensors(&args.statistics)?;
    let config_name = name(&args.config);
    let config = Config::parse(&read_text(&args.config)?).with_context(|| config_name.clone())?;

    let packed = convert::pack(&Sources {
        onnx: Source { name: &name(&args.onnx), data: &onnx },
        config: Source { name: &config_name, data: &config },
        head: source(&head),
        classes: source(&classes),
        card: source(&card),
        weights: args.weights.map(WeightType::from),
        zero_shot: ZeroShotSources {
            words: words.as_ref().map(|(name, table)| Source { name, data: table }),
            word_limit: args.word_limit,
            projection: source(&projection),
            generator: source(&generator),
            statistics: source(&statistics),
        },
    })?;
    let compiled = match args.engine {
        EngineName::Plan => Some(compile(&packed, args.plan.settings())?),
        EngineName::Tract => None,
    };
    let bytes = compiled.as_ref().map_or(&packed, |compiled| &compiled.bytes);
    if !args.no_check {
        check_runs(bytes).context("the finished bundle does not run; nothing was written")?;
    }
    write::atomically(&args.output, bytes)?;
    let bundle = Bundle::parse(bytes)?;
    let (head, path) = (bundle.head(), args.output.display());
    writeln!(
        out,
        "{path}: {}, {} classes, {} bytes{}",
        bundle.model_name(),
        head.classes,
        bytes.len(),
        if args.no_check { " (not tried)" } else { ", runs" }
    )?;
    if let Some(compiled) = &compiled {
        writeln!(out, "  network: {}", summary(compiled, args.plan.settings()))?;
    }
    if let Some((name, table)) = &words {
        out.write_all(words_text(&bundle, name, table).as_bytes())?;
    }
    Ok(Outcome::Done)
}

fn compile(packed: &[u8], settings: Settings) -> Result<CompiledBundle> {
    compile_bundle(&Bundle::parse(packed)?, settings)
        .context("the network cannot be compiled to a plan; --engine tract packs it as it is")
}

/// How many of the words went into the bundle, and their size.
fn words_text(bundle: &Bundle<'_>, name: &str, table: &WordTable) -> String {
    let kept = bundle.words().map_or(0, |words| words.len());
    let section = bundle.sections().find(|section| section.name == "WORDS");
    let bytes = section.map_or(0, |section| section.bytes.len());
    let skipped = match table.skipped() {
        0 => String::new(),
        count => format!("; {count} are too long or have control characters"),
    };
    let (all, dim) = (table.len(), table.dim());
    format!("  words: {kept} of {all} from {name}, {dim} numbers each, {bytes} bytes{skipped}\n")
}

type Named<T> = Option<(String, T)>;

fn optional<T>(path: &Option<PathBuf>, read: impl Fn(&Path) -> Result<T>) -> Result<Named<T>> {
    let Some(path) = path else { return Ok(None) };
    Ok(Some((name(path), read(path)?)))
}

fn source<T, B>(named: &Named<T>) -> Option<Source<'_, &B>>
where
    T: AsRef<B>,
    B: ?Sized,
{
    let (name, data) = named.as_ref()?;
    Some(Source { name, data: data.as_ref() })
}

fn name(path: &Path) -> String {
    path.file_name().unwrap_or(path.as_os_str()).to_string_lossy().to_string()
}

/// A NumPy table with its words beside it, or lines of words and numbers.
fn read_words(path: &Path) -> Result<WordTable> {
    let bytes = read_capped(path, MAX_BUNDLE_BYTES)?;
    let table = match path.extension().is_some_and(|extension| extension == "npy") {
        true => {
            let names = read_capped(&path.with_extension("txt"), MAX_BUNDLE_BYTES)?;
            let beside = || format!("{} is not UTF-8", path.with_extension("txt").display());
            WordTable::from_npy(&bytes, core::str::from_utf8(&names).with_context(beside)?)
        }
        false => WordTable::from_text(&bytes),
    };
    table.with_context(|| path.display().to_string())
}

fn read_text(path: &Path) -> Result<String> {
    let bytes: Vec<u8> = read_capped(path, MAX_TEXT_BYTES)?;
    String::from_utf8(bytes).with_context(|| format!("{} is not UTF-8", path.display()))
}

/// Opens the bundle, loads its network and segments a grey frame.
pub fn check_runs(bytes: &[u8]) -> Result<()> {
    let bundle = Bundle::open(bytes)?;
    let limits = Limits::for_frames(TRIAL_SIDE, TRIAL_SIDE);
    let mut memory = arena_for(&bundle, &limits)?;
    let mut segmenter = Segmenter::new(&bundle, &limits, memory.as_mut_slice())?;
    let pixels = (TRIAL_SIDE * TRIAL_SIDE) as usize;
    let (grey, mut labels) = (vec![128; pixels], vec![0; pixels]);
    let frame = Image::packed(PixelFormat::Gray8, &grey, TRIAL_SIDE, TRIAL_SIDE)?;
    segmenter.segment(&frame, &mut Output::labels_u16(&mut labels, TRIAL_SIDE as usize))?;
    Ok(())
}
