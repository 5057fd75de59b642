//! `zsseg quantize`.

#[path = "quantize/pictures.rs"]
mod pictures;
#[path = "quantize/table.rs"]
mod table;

use super::failure::Usage;
use super::model::read_capped;
use super::{Outcome, write};
use crate::convert::{
    DEFAULT_PERCENTILE, LabelHead, NetworkConfig, QuantizeSettings, QuantizeSource, RangeMethod,
    Report, quantize,
};
use crate::limits::MAX_BUNDLE_BYTES;
use crate::map::Layout;
use anyhow::{Context, Result};
use clap::{ArgAction, ValueEnum};
use pictures::Pictures;
use std::format;
use std::io::Write;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::string::{String, ToString};
use std::vec::Vec;

/// Longest pack file, in bytes.
const MAX_TEXT_BYTES: u64 = 1 << 22;

/// Quantise a float network after training: 8-bit weights and activations.
///
/// The result is an ONNX file in the QDQ form, for `zsseg pack` and `zsseg compile`, and for ONNX
/// Runtime. Options and formulas are described in docs/quantize.md.
#[derive(clap::Args)]
pub struct Args {
    /// The float network.
    #[arg(value_name = "MODEL.onnx")]
    model: PathBuf,
    /// Folder of pictures, or of inputs as NumPy arrays, that ranges come from.
    #[arg(long, value_name = "DIR")]
    calibration: PathBuf,
    /// Pack file with the tables [input] and [preprocess], and the name of the [output]. Not needed
    /// for NumPy arrays if the network states its sizes.
    #[arg(long, value_name = "PACK.toml")]
    config: Option<PathBuf>,
    /// Quantise up to this tensor; overrides the pack file. Default: the network's first output.
    #[arg(long, value_name = "TENSOR")]
    tensor: Option<String>,
    /// The classifier behind the network, for the masks of the report. Without one the largest
    /// channel counts.
    #[arg(long, value_name = "HEAD.safetensors")]
    head: Option<PathBuf>,
    /// How ranges of activations are chosen. Default: minmax for networks with layer norms,
    /// percentile for all others.
    #[arg(long, value_enum)]
    method: Option<MethodName>,
    /// Per cent of the values that lie within a range, for `--method percentile`. Default: 99.99.
    #[arg(long, value_name = "PERCENT", value_parser = per_cent)]
    percentile: Option<f64>,
    /// Most pictures to calibrate with, evenly spread over the folder.
    #[arg(long, value_name = "N", default_value = "32")]
    pictures: NonZeroUsize,
    /// Most pictures to measure errors on: of those left over, or some of the same if there are
    /// none.
    #[arg(long, value_name = "N", default_value = "4")]
    check_pictures: NonZeroUsize,
    /// Take the mean error of rounded weights out of biases.
    #[arg(long, value_name = "BOOL", default_value_t = true, action = ArgAction::Set)]
    bias_correction: bool,
    /// Scale neighbouring layers where that lowers their error.
    #[arg(long)]
    equalize: bool,
    /// Scale the channels that layer norms give where that lowers the error of the layers behind.
    #[arg(long, value_name = "BOOL", default_value_t = true, action = ArgAction::Set)]
    smooth: bool,
    /// Quantise products of two activations too, as attention has them: faster, and less exact.
    #[arg(long)]
    attention: bool,
    /// Leave this node in floats; may be given several times.
    #[arg(long, value_name = "NODE")]
    keep_float: Vec<String>,
    /// Leave layers in floats that alone bring the output's signal-to-noise ratio below so many
    /// decibels.
    #[arg(long, value_name = "DECIBELS")]
    auto_float: Option<f64>,
    /// Do not measure what each layer does alone, which takes a run for each.
    #[arg(long)]
    no_layers: bool,
    /// Write the report to a file too: JSON, or a table of the layers if it ends in .csv.
    #[arg(long, value_name = "FILE")]
    report: Option<PathBuf>,
    /// The quantised network to write.
    #[arg(short = 'o', long = "output", value_name = "OUT.onnx")]
    output: PathBuf,
    /// Show no progress.
    #[arg(long)]
    quiet: bool,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum MethodName {
    /// From the smallest value to the largest.
    Minmax,
    /// The middle values, without some at both ends.
    Percentile,
    /// The least mean squared error.
    Mse,
}

fn per_cent(text: &str) -> core::result::Result<f64, String> {
    let number: Option<f64> = text.parse().ok();
    let number = number.filter(|number| *number > 50.0 && *number <= 100.0);
    number.ok_or_else(|| "a number above 50 and up to 100".to_string())
}

/// Runs the command.
pub fn run(args: &Args, out: &mut dyn Write) -> Result<Outcome> {
    let onnx = read_capped(&args.model, MAX_BUNDLE_BYTES)?;
    let config = args.config.as_deref().map(read_config).transpose()?;
    let head = args.head.as_deref().map(read_head).transpose()?;
    let in_config =
        || args.config.as_ref().map_or(String::new(), |path| path.display().to_string());
    let input = config.as_ref().map(NetworkConfig::input).transpose().with_context(in_config)?;
    let preprocess = config.as_ref().map(NetworkConfig::preprocess).transpose();
    let preprocess = preprocess.with_context(in_config)?;
    let how = input.zip(preprocess);
    let (calibration, check) =
        Pictures::open(&args.calibration, how, args.pictures, args.check_pictures)?;
    let stated = config.as_ref().and_then(NetworkConfig::output_name);
    let source = QuantizeSource {
        onnx: &onnx,
        input,
        output: args.tensor.as_deref().or(stated),
        output_layout: config.as_ref().map_or(Layout::Chw, NetworkConfig::output_layout),
        head,
    };
    let mut progress = |text: &str| {
        if !args.quiet {
            // Where standard error is closed nobody waits for it.
            let _ = writeln!(std::io::stderr(), "{text}");
        }
    };
    let settings = settings(args)?;
    let found = quantize(&source, &calibration, &check, &settings, &mut progress);
    let found = found.with_context(|| args.model.display().to_string())?;
    let bytes = args.report.as_deref().map(|path| report_file(path, &found.report)).transpose()?;
    write::atomically(&args.output, &found.onnx)?;
    if let (Some(path), Some(bytes)) = (&args.report, bytes) {
        write::atomically(path, &bytes)?;
    }
    out.write_all(table::text(&found.report).as_bytes())?;
    writeln!(out, "{}: {} bytes", args.output.display(), found.onnx.len())?;
    Ok(Outcome::Done)
}

fn settings(args: &Args) -> Result<QuantizeSettings> {
    if let Some(threshold) = args.auto_float.filter(|threshold| !threshold.is_finite()) {
        return Err(Usage(format!("--auto-float {threshold} is no number of decibels")).into());
    }
    Ok(QuantizeSettings {
        method: match (args.method, args.percentile) {
            (Some(MethodName::Minmax), _) => Some(RangeMethod::MinMax),
            (Some(MethodName::Mse), _) => Some(RangeMethod::Mse),
            (Some(MethodName::Percentile), share) => {
                Some(RangeMethod::Percentile(share.unwrap_or(DEFAULT_PERCENTILE)))
            }
            (None, share) => share.map(RangeMethod::Percentile),
        },
        bias_correction: args.bias_correction,
        equalize: args.equalize,
        smooth: args.smooth,
        attention: args.attention,
        keep_float: args.keep_float.clone(),
        auto_float_db: args.auto_float,
        layers_alone: !args.no_layers,
    })
}

fn report_file(path: &Path, report: &Report) -> Result<Vec<u8>> {
    Ok(match path.extension().is_some_and(|extension| extension == "csv") {
        true => table::csv(report).into_bytes(),
        false => {
            let mut bytes = serde_json::to_vec_pretty(report)?;
            bytes.push(b'\n');
            bytes
        }
    })
}

fn read_config(path: &Path) -> Result<NetworkConfig> {
    let text = String::from_utf8(read_capped(path, MAX_TEXT_BYTES)?);
    let text = text.with_context(|| format!("{} is not UTF-8", path.display()))?;
    NetworkConfig::parse(&text).with_context(|| path.display().to_string())
}

fn read_head(path: &Path) -> Result<LabelHead> {
    let head = LabelHead::read(&read_capped(path, MAX_BUNDLE_BYTES)?);
    head.with_context(|| path.display().to_string())
}
