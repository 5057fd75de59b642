//! Features of several tensors of a network as one tensor of it.

use crate::backbone::tract;
use anyhow::{Context, Result};
use std::vec::Vec;

pub use crate::backbone::tract::{BlockWeights, DecoderLayers, FEATURES, LayerWeights};

/// The network `onnx` with a further output [`FEATURES`] of `[1, channels, rows, columns]`: the
/// tensors `taps` resized bilinearly (half-pixel centres) to `grid` and joined, the first one's
/// channels first, through `decoder` and the 1x1 convolution `alignment` if there are such. Name it
/// as the output in the pack file.
///
/// A tap is `[1, channels, height, width]`, or `[1, tokens, channels]` of a transformer: the cells
/// row by row, of square patches that fill the picture, after 0, 1 or 5 other tokens (class token,
/// registers), which are dropped.
///
/// # Errors
/// A network that is malformed, a tap that is not there, whose shape cannot be found out or whose
/// tokens fit no grid or several, names that are taken, a grid without cells, and a decoder that
/// does not fit, named each.
pub fn append_features(
    onnx: &[u8],
    taps: &[&str],
    grid: [usize; 2],
    decoder: Option<&DecoderLayers>,
    alignment: Option<&LayerWeights>,
) -> Result<Vec<u8>> {
    tract::append_features(onnx, taps, grid, decoder, alignment)
        .context("adding features to the network")
}
