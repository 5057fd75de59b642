//! `zsseg pack`.

use super::model::{Memory, read_capped};
use super::{Outcome, write};
use crate::bundle::Bundle;
use crate::convert::{self, Config, Source, Sources, WeightTypeName};
use crate::head::Output;
use crate::image::{Image, PixelFormat};
use crate::limits::{Limits, MAX_BUNDLE_BYTES};
use crate::segmenter::Segmenter;
use crate::spec::WeightType;
use anyhow::{Context, Result};
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
/// The pack file is described in docs/pack.md. The finished bundle is opened, its network loaded
/// and a grey frame segmented before anything is written.
#[derive(clap::Args)]
pub struct Args {
    /// The network.
    #[arg(long, value_name = "MODEL.onnx")]
    onnx: PathBuf,
    /// The pack file.
    #[arg(long, value_name = "PACK.toml")]
    config: PathBuf,
    /// The classifier: tensors `weight` and `bias`. For `kind = "linear"`.
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
    /// The bundle to write.
    #[arg(short = 'o', long = "output", value_name = "BUNDLE.zsb")]
    output: PathBuf,
    /// Write the bundle without trying it.
    #[arg(long)]
    no_check: bool,
}

/// Runs the command.
pub fn run(args: &Args, out: &mut dyn Write) -> Result<Outcome> {
    let onnx = read_capped(&args.onnx, MAX_BUNDLE_BYTES)?;
    let head = optional(&args.head, |path| read_capped(path, MAX_BUNDLE_BYTES))?;
    let classes = optional(&args.classes, read_text)?;
    let card = optional(&args.card, read_text)?;
    let config_name = name(&args.config);
    let config = Config::parse(&read_text(&args.config)?).with_context(|| config_name.clone())?;

    let bytes = convert::pack(&Sources {
        onnx: Source { name: &name(&args.onnx), data: &onnx },
        config: Source { name: &config_name, data: &config },
        head: source(&head),
        classes: source(&classes),
        card: source(&card),
        weights: args.weights.map(WeightType::from),
    })?;
    if !args.no_check {
        check_runs(&bytes).context("the finished bundle does not run; nothing was written")?;
    }
    write::atomically(&args.output, &bytes)?;
    let bundle = Bundle::parse(&bytes)?;
    let (head, path) = (bundle.head(), args.output.display());
    writeln!(
        out,
        "{path}: {}, {} classes, {} bytes{}",
        bundle.model_name(),
        head.classes,
        bytes.len(),
        if args.no_check { " (not tried)" } else { ", runs" }
    )?;
    Ok(Outcome::Done)
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

fn read_text(path: &Path) -> Result<String> {
    let bytes: Vec<u8> = read_capped(path, MAX_TEXT_BYTES)?;
    String::from_utf8(bytes).with_context(|| format!("{} is not UTF-8", path.display()))
}

/// Opens the bundle, loads its network and segments a grey frame.
fn check_runs(bytes: &[u8]) -> Result<()> {
    let bundle = Bundle::open(bytes)?;
    let limits = Limits::for_frames(TRIAL_SIDE, TRIAL_SIDE);
    let mut memory = Memory::for_model(&bundle, &limits)?;
    let mut segmenter = Segmenter::new(&bundle, &limits, memory.arena())?;
    let pixels = (TRIAL_SIDE * TRIAL_SIDE) as usize;
    let (grey, mut labels) = (vec![128; pixels], vec![0; pixels]);
    let frame = Image::packed(PixelFormat::Gray8, &grey, TRIAL_SIDE, TRIAL_SIDE)?;
    segmenter.segment(&frame, &mut Output::labels_u16(&mut labels, TRIAL_SIDE as usize))?;
    Ok(())
}
