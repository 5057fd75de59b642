//! The network of the command: an ONNX file with a pack file, or a bundle.

use crate::bundle::Bundle;
use crate::cli::failure::Usage;
use crate::cli::model::{ModelFile, read_capped};
use crate::convert::NetworkConfig;
use crate::limits::MAX_BUNDLE_BYTES;
use crate::map::Layout;
use crate::train::store::{Network, TapForm, TapSource};
use anyhow::{Context, Result};
use std::format;
use std::path::Path;
use std::string::{String, ToString};
use std::vec;
use std::vec::Vec;

/// Longest pack file, in bytes.
const MAX_TEXT_BYTES: u64 = 1 << 22;

/// Reads the network, and what is to be read of it.
///
/// # Errors
/// [`Usage`] for options that do not go with the kind of file; naming the file.
pub fn read(
    model: &Path,
    config: Option<&Path>,
    taps: &[String],
) -> Result<(Network, Vec<TapSource>)> {
    let taps = taps.iter().map(|text| TapSource::parse(text)).collect();
    if model.extension().is_some_and(|extension| extension == "zsb") {
        return match config {
            None => of_bundle(model, taps),
            Some(_) => Err(Usage("a bundle has its own --config".to_string()).into()),
        };
    }
    let Some(config) = config else {
        return Err(Usage("a network that is no bundle needs --config".to_string()).into());
    };
    match taps.is_empty() {
        true => Err(Usage("a network that is no bundle needs --tap".to_string()).into()),
        false => Ok((of_onnx(model, config)?, taps)),
    }
}

fn of_onnx(model: &Path, config: &Path) -> Result<Network> {
    let onnx = read_capped(model, MAX_BUNDLE_BYTES)?;
    let in_config = || config.display().to_string();
    let text = String::from_utf8(read_capped(config, MAX_TEXT_BYTES)?);
    let text = text.with_context(|| format!("{} is not UTF-8", config.display()))?;
    let tables = NetworkConfig::parse(&text).with_context(in_config)?;
    Ok(Network {
        onnx,
        input_name: tables.input_name().to_string(),
        input: tables.input().with_context(in_config)?,
        preprocess: tables.preprocess().with_context(in_config)?,
        precision: tables.precision(),
    })
}

fn of_bundle(model: &Path, taps: Vec<TapSource>) -> Result<(Network, Vec<TapSource>)> {
    let file = ModelFile::read(Some(model))?;
    let bundle = Bundle::open(file.bytes()).with_context(|| model.display().to_string())?;
    let Some(onnx) = bundle.onnx() else {
        let what = match bundle.plan() {
            Some(_) => "the network is compiled; give the ONNX file or the bundle it was made from",
            None => "the bundle has no network",
        };
        anyhow::bail!("{}: {what}", model.display());
    };
    let network = Network {
        onnx: onnx.to_vec(),
        input_name: bundle.input_name().to_string(),
        input: bundle.input(),
        preprocess: bundle.preprocess(),
        precision: bundle.precision(),
    };
    let taps = if taps.is_empty() { vec![output_of(&bundle)] } else { taps };
    Ok((network, taps))
}

/// What the bundle's head reads.
fn output_of(bundle: &Bundle<'_>) -> TapSource {
    let form = match bundle.output_layout() {
        Layout::Chw => TapForm::Chw,
        Layout::Hwc => TapForm::Hwc,
    };
    TapSource { name: bundle.output_name().to_string(), form }
}
