//! The outputs of the network: their shapes, found by loading it.

use super::pack::Sources;
use super::tables::sides;
use crate::backbone::tract::{Options, TractBackbone};
use crate::map::Layout;
use crate::spec::{Input, SecondOutput};
use anyhow::{Context, Result, bail};
use std::format;
use std::vec::Vec;

/// Rows and columns of the output, which must have `channels` channels.
///
/// # Errors
/// Naming the network and its output, and what says how many channels there must be.
pub(super) fn grid(sources: &Sources<'_>, input: Input, channels: usize) -> Result<(u32, u32)> {
    let output = &sources.config.data.output;
    let (file, name) = (sources.onnx.name, &output.name);
    let shape = shape(sources, input, name)?;
    let found = sides(&shape, output.layout, output.grid);
    let (found, rows, columns) = found.with_context(|| format!("{file}: output \"{name}\""))?;
    if found == channels {
        return Ok((u32::try_from(rows)?, u32::try_from(columns)?));
    }
    let wanted = match (sources.head, sources.zero_shot.words) {
        (Some(head), _) => format!("`weight` in {} has {channels} columns", head.name),
        (None, Some(words)) if !sources.config.data.head.is_logits() => {
            format!("the vectors in {} have {channels} numbers", words.name)
        }
        _ => format!("{} names {channels} classes", sources.config.name),
    };
    let hint = match (Layout::from(output.layout), &shape[..]) {
        (Layout::Chw, &[_, _, _, last]) if last == channels => {
            "; do the channels come last (`layout = \"hwc\"`)?"
        }
        (Layout::Hwc, &[_, first, _, _]) if first == channels => {
            "; do the channels come first (`layout = \"chw\"`)?"
        }
        _ => "",
    };
    bail!("{file}: output \"{name}\" has shape {shape:?}, so {found} channels, but {wanted}{hint}")
}

/// The output for the spectral affinity, if the pack file names one.
///
/// # Errors
/// Naming the network and the output.
pub(super) fn second<'a>(sources: &Sources<'a>, input: Input) -> Result<Option<SecondOutput<'a>>> {
    let Some(table) = &sources.config.data.second_output else { return Ok(None) };
    let context = || {
        let (file, network) = (sources.config.name, sources.onnx.name);
        format!("{network} with {file}: [second_output] \"{}\"", table.name)
    };
    let shape = shape(sources, input, &table.name)?;
    let found = sides(&shape, table.layout, table.grid);
    let (channels, rows, columns) = found.with_context(context)?;
    let output = SecondOutput {
        name: &table.name,
        grid_height: u32::try_from(rows)?,
        grid_width: u32::try_from(columns)?,
        channels: u32::try_from(channels)?,
        layout: table.layout.into(),
    };
    output.check().with_context(context)?;
    Ok(Some(output))
}

fn shape(sources: &Sources<'_>, input: Input, name: &str) -> Result<Vec<usize>> {
    let config = sources.config.data;
    let options = Options {
        input,
        input_name: &config.input.name,
        output_name: name,
        channels: 0,
        grid_height: 0,
        grid_width: 0,
        output_layout: Layout::Chw,
        second: None,
        precision: config.output.precision(),
        threads: 1,
    };
    let shape = TractBackbone::output_shape(sources.onnx.data, &options);
    shape.with_context(|| format!("{} with {}", sources.onnx.name, sources.config.name))
}
