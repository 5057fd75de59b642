//! Features of several tensors of a network as one tensor of it.

use crate::backbone::tract;
use anyhow::{Context, Result};
use std::vec::Vec;

pub use crate::backbone::tract::{BlockWeights, DecoderLayers, FEATURES, LayerWeights};

/// The network `onnx` with a further output [`FEATURES`] of `[1, channels, rows, columns]`: the
/// tensors `taps` (`[1, channels, height, width]` each) resized bilinearly (half-pixel centres)
/// to `grid` and joined, the first one's channels first, through `decoder` and the 1x1 convolution
/// `alignment` if there are such. Name it as the output in the pack file.
///
/// # Errors
/// A network that is malformed, a tap that is not there or whose shape cannot be found out, names
/// that are taken, a grid without cells, and a decoder that does not fit, named each.
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
