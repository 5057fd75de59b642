//! Tiles of pairs of rows: which ones fit a device, and how work on pairs is shared out.

use super::super::backend::{Define, Limits};
use crate::status::{Result, Status};
use crate::train::engine::Kernel;
use std::format;
use std::string::{String, ToString};
use std::vec;
use std::vec::Vec;

/// The precision of the products of rows in losses of pairs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Precision {
    /// f32 multiply-adds.
    Fp32,
    /// Tensor cores with factors of 10 bits behind the point: gradients to 1e-3.
    Tf32,
    /// Three products on tensor cores: as good as f32.
    #[default]
    Tf32x3,
}

impl Precision {
    /// All of them.
    pub const ALL: [Precision; 3] = [Precision::Fp32, Precision::Tf32, Precision::Tf32x3];

    fn define(self) -> Define {
        let number = match self {
            Precision::Fp32 => 0,
            Precision::Tf32 => 1,
            Precision::Tf32x3 => 2,
        };
        ("ZS_PRECISION", number.to_string())
    }
}

/// Widths are rounded up to a multiple of this.
const WIDTH_STEP: usize = 64;
/// Widest features.
const MOST_WIDTH: usize = 1_024;
/// Sums that a block of threads can keep in registers, at most: a row of features per row.
const MOST_SUMS: usize = 64 * 320;
/// Static shared memory of the kernels, and some for the system.
const STATIC_BYTES: usize = 1_024;

/// A tile of pairs, as `tiles.cuh` describes it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Tile {
    pub(super) rows: usize,
    pub(super) columns: usize,
    parts: usize,
}

/// From the largest to the smallest.
const TILES: [Tile; 9] = [
    Tile { rows: 64, columns: 64, parts: 8 },
    Tile { rows: 64, columns: 32, parts: 8 },
    Tile { rows: 32, columns: 32, parts: 8 },
    Tile { rows: 16, columns: 32, parts: 8 },
    Tile { rows: 16, columns: 16, parts: 8 },
    Tile { rows: 16, columns: 8, parts: 8 },
    Tile { rows: 16, columns: 8, parts: 4 },
    Tile { rows: 16, columns: 8, parts: 2 },
    Tile { rows: 16, columns: 8, parts: 1 },
];

impl Tile {
    /// Bytes of dynamic shared memory.
    pub(super) fn shared_bytes(self, width: usize) -> usize {
        let row_warps = (self.rows / 16).min(2);
        let column_warps = (8 / row_warps).min(self.columns / 8);
        let parts = self.parts.min(8 / (row_warps * column_warps));
        let numbers = (self.rows + self.columns) * (width + 8)
            + parts * self.rows * (self.columns + 4)
            + self.rows
            + 8 * self.columns;
        numbers * size_of::<f32>()
    }
}

/// The width that kernels are compiled for.
pub(super) fn width_of(columns: usize) -> Result<usize> {
    let width = columns.next_multiple_of(WIDTH_STEP);
    if width > MOST_WIDTH {
        let wide = Status::Unsupported.about("columns of features on a GPU");
        return Err(wide.numbers(columns as u64, MOST_WIDTH as u64));
    }
    Ok(width)
}

/// Of each number of rows the largest tile that fits a device. Fewer columns alone fill no more
/// processors, and cost time.
fn fitting(width: usize, limits: Limits) -> Vec<Tile> {
    let most = limits.shared_bytes.saturating_sub(STATIC_BYTES);
    let mut tiles: Vec<Tile> = Vec::new();
    let fits = |tile: &Tile| tile.shared_bytes(width) <= most && tile.rows * width <= MOST_SUMS;
    for tile in TILES.into_iter().filter(fits) {
        if tiles.last().is_none_or(|larger| tile.rows < larger.rows) {
            tiles.push(tile);
        }
    }
    tiles
}

/// The largest tile that gives every processor work, or else the one of the fewest rows. `blocks`
/// tells how many blocks of threads a tile can give work to.
///
/// # Errors
/// `Status::Unsupported` for a device without room for any.
pub(super) fn choose(width: usize, limits: Limits, blocks: impl Fn(Tile) -> usize) -> Result<Tile> {
    let tiles = fitting(width, limits);
    let enough = |tile: &&Tile| blocks(**tile) >= wanted_blocks(limits);
    tiles.iter().find(enough).or(tiles.last()).copied().ok_or_else(|| {
        let bytes = limits.shared_bytes as u64;
        Status::Unsupported.about("shared memory of the GPU").text(format!("{bytes} bytes"))
    })
}

/// Blocks of threads that keep a device busy.
pub(super) fn wanted_blocks(limits: Limits) -> usize {
    2 * limits.processors
}

/// What a source of tiles is compiled with.
pub(super) fn defines(width: usize, tile: Tile, precision: Precision) -> Vec<Define> {
    vec![
        ("ZS_WIDTH", width.to_string()),
        ("ZS_TILE_ROWS", tile.rows.to_string()),
        ("ZS_TILE_COLUMNS", tile.columns.to_string()),
        ("ZS_PARTS", tile.parts.to_string()),
        precision.define(),
    ]
}

/// The variances of a kernel, as its source takes them.
pub(super) fn kernel_defines(kernel: &Kernel) -> [Define; 2] {
    let list = |texts: Vec<String>| texts.join(",");
    let variances = kernel.terms().map(|(variance, _)| format!("{variance:e}")).collect();
    let powers = kernel.terms().map(|(_, power)| power.to_string()).collect();
    [("ZS_VARIANCES", list(variances)), ("ZS_POWERS", list(powers))]
}

/// A list of constants that a source is compiled with.
pub type PairDefines = Vec<Define>;

/// Every list of constants that features of a width are compiled with on a device, in a precision:
/// those of the contrastive loss, or with a kernel those of the discrepancy.
///
/// # Errors
/// `Status::Unsupported` for features that are too wide.
pub fn pair_defines(
    columns: usize,
    limits: Limits,
    precision: Precision,
    kernel: Option<&Kernel>,
) -> Result<Vec<PairDefines>> {
    let width = width_of(columns)?;
    let with_kernel = |tile| {
        let mut defines = defines(width, tile, precision);
        defines.extend(kernel.into_iter().flat_map(kernel_defines));
        defines
    };
    Ok(fitting(width, limits).into_iter().map(with_kernel).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn largest(columns: usize, kibibytes: usize) -> [usize; 2] {
        let limits = Limits { shared_bytes: kibibytes << 10, processors: 1 };
        let tile = choose(width_of(columns).unwrap(), limits, |_| 100).unwrap();
        [tile.rows, tile.columns]
    }

    #[test]
    fn tiles_fit_each_generation() {
        // The last generations of servers, those before, and cards for consumers.
        let wanted = [
            (100, [[64, 64], [64, 64], [64, 64]]),
            (256, [[64, 64], [64, 64], [32, 32]]),
            (512, [[32, 32], [32, 32], [16, 16]]),
            (1_024, [[16, 32], [16, 16], [16, 8]]),
        ];
        for (columns, tiles) in wanted {
            let found = [227, 163, 99].map(|kibibytes| largest(columns, kibibytes));
            assert_eq!(found, tiles, "{columns} columns");
        }
        assert!(width_of(1_025).is_err());
    }

    #[test]
    fn small_work_takes_small_tiles() {
        let limits = Limits { shared_bytes: 227 << 10, processors: 132 };
        let tile = choose(256, limits, |tile| 256 / tile.rows * (512 / tile.columns)).unwrap();
        assert_eq!(tile.rows, 16);
        let tile = choose(256, limits, |tile| 8_192 / tile.rows * (16_384 / tile.columns)).unwrap();
        assert_eq!((tile.rows, tile.columns), (64, 64));
    }
}
