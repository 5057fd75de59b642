//! What a decoder looks like.

use super::parts::{Block, Dense, Layers};
use crate::train::error::{Error, Result};
use crate::train::pictures::Tap;
use serde::{Deserialize, Serialize};
use std::format;
use std::vec::Vec;

/// Most cells of the grid that is taken when none is stated.
const MOST_CELLS: usize = 1600;
/// Most channels of a layer.
const MOST_CHANNELS: usize = 4096;
/// Most blocks.
const MOST_BLOCKS: usize = 16;

/// Settings of a decoder. The design is this library's own; no paper of methods.md has one.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct DecoderSettings {
    /// Rows and columns of its grid. Without, the finest grid of a tap with at most 1,600 cells,
    /// or the coarsest grid if all have more.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub grid: Option<[usize; 2]>,
    /// Channels that each tap is brought to: 1 to 4,096.
    pub tap_channels: usize,
    /// Blocks after the taps are joined: 1 to 16.
    pub blocks: usize,
    /// Channels of each block, and of the features: 1 to 4,096.
    pub channels: usize,
    /// Distance of the places of the 3x3 kernels, in cells: 1 to 64.
    pub dilation: usize,
    /// Whether a block adds its input, where that has as many channels.
    pub residual: bool,
    /// Whether the last block has a ReLU. Without, features have both signs.
    pub final_relu: bool,
}

impl Default for DecoderSettings {
    fn default() -> DecoderSettings {
        DecoderSettings {
            grid: None,
            tap_channels: 64,
            blocks: 2,
            channels: 128,
            dilation: 1,
            residual: false,
            final_relu: false,
        }
    }
}

impl DecoderSettings {
    /// The decoder of these settings over taps.
    ///
    /// # Errors
    /// [`Error::Config`] for settings out of their range, and without taps.
    pub fn shape(&self, taps: &[Tap]) -> Result<DecoderShape> {
        let settings = self.clone();
        let grid = self.grid.or_else(|| grid_of(taps)).unwrap_or_default();
        let shape = DecoderShape { taps: taps.to_vec(), grid, settings };
        shape.check()?;
        Ok(shape)
    }
}

/// The finest grid with at most [`MOST_CELLS`] cells, else the coarsest.
fn grid_of(taps: &[Tap]) -> Option<[usize; 2]> {
    let cells = |tap: &&Tap| tap.height.saturating_mul(tap.width);
    let small = taps.iter().filter(|tap| cells(tap) <= MOST_CELLS).max_by_key(cells);
    let tap = small.or_else(|| taps.iter().min_by_key(cells))?;
    Some([tap.height, tap.width])
}

/// A decoder without its weights.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DecoderShape {
    /// What it reads, at least one.
    pub taps: Vec<Tap>,
    /// Rows and columns of the features.
    pub grid: [usize; 2],
    /// Everything else; the grid in there is not looked at.
    pub settings: DecoderSettings,
}

impl DecoderShape {
    /// An error unless everything is in its range.
    pub(super) fn check(&self) -> Result<()> {
        let DecoderSettings { tap_channels, blocks, channels, dilation, .. } = self.settings;
        let empty = |tap: &Tap| tap.height == 0 || tap.width == 0 || tap.channels == 0;
        if self.taps.is_empty() || self.taps.iter().any(empty) || self.grid.contains(&0) {
            return Err(Error::config("a decoder needs a tap, and grids with cells"));
        }
        let within = |name: &str, value: usize, most: usize| {
            if (1..=most).contains(&value) {
                return Ok(());
            }
            Err(Error::config(format!("decoder.{name} is {value}, must be 1 to {most}")))
        };
        within("tap_channels", tap_channels, MOST_CHANNELS)?;
        within("blocks", blocks, MOST_BLOCKS)?;
        within("channels", channels, MOST_CHANNELS)?;
        within("dilation", dilation, 64)
    }

    /// Channels of the features.
    pub fn channels(&self) -> usize {
        self.settings.channels
    }

    /// Cells of the grid.
    pub fn cells(&self) -> usize {
        self.grid[0] * self.grid[1]
    }

    /// Rows and columns of each parameter.
    pub fn parameters(&self) -> Layers<[usize; 2]> {
        let DecoderSettings { tap_channels, blocks, channels, .. } = self.settings;
        let dense =
            |inputs: usize, outputs: usize| Dense { weight: [outputs, inputs], bias: [1, outputs] };
        let taps = self.taps.iter().map(|tap| dense(tap.channels, tap_channels)).collect();
        let block = |index: usize| {
            let inputs = if index == 0 { self.taps.len() * tap_channels } else { channels };
            let depthwise = Dense { weight: [9, inputs], bias: [1, inputs] };
            Block { depthwise, pointwise: dense(inputs, channels) }
        };
        Layers { taps, blocks: (0..blocks).map(block).collect() }
    }

    /// Whether block `index` has a ReLU.
    pub(super) fn is_rectified(&self, index: usize) -> bool {
        self.settings.final_relu || index + 1 < self.settings.blocks
    }

    /// Whether a block with that many inputs adds them.
    pub(super) fn adds(&self, inputs: usize) -> bool {
        self.settings.residual && inputs == self.settings.channels
    }
}
