//! How alike the cells are: `W = relu(F F^T) + color_weight * W_c` (methods.md 6.9 steps 2, 3),
//! in memory or computed anew for every product.
//!
//! W is made in blocks of 4 rows by 32 columns with the head's classifier kernel: the block's
//! rows are its classes. Only blocks that reach the diagonal or above are computed.

use super::Storage;
use super::cells::element;
use super::color::ColorGraph;
use super::vector::dot_f32;
use crate::arena::Arena;
use crate::limits::product;
use crate::map::{Layout, Map};
use crate::math::kernels::{CLASS_BLOCK, ClassBlock, FeatureRow, Kernels};
use crate::math::pieces::{piece, piece_mut, pieces, pieces_mut};
use crate::math::sums::dot;
use crate::status::{Result, Status};

/// Columns of W that are made together.
pub(super) const TILE: usize = 32;
/// Shorter cells are divided by this instead of their length, as torch's `normalize` does; so
/// zeros stay zeros.
const MIN_LENGTH: f64 = 1e-12;
/// Longer cells could overflow a product.
const MAX_LENGTH: f64 = 1e30;

/// W, or what it takes to compute it.
pub(super) struct Affinity<'a> {
    kernels: &'static Kernels,
    cells: usize,
    channels: usize,
    /// One divided by the length of each cell's features: (cells).
    inverse: &'a mut [f32],
    /// Normalised features of [`TILE`] cells: (channels, TILE).
    tile: &'a mut [f32],
    /// Features of [`CLASS_BLOCK`] cells, when they do not lie side by side: (4, channels).
    rows: &'a mut [f32],
    /// W: (cells, cells), empty when computed on the fly.
    dense: &'a mut [f32],
    color: ColorGraph<'a>,
}

impl<'a> Affinity<'a> {
    pub(super) fn carve(
        arena: &mut Arena<'a>,
        (height, width, channels): (usize, usize, usize),
        storage: Storage,
        color_weight: f32,
        kernels: &'static Kernels,
    ) -> Result<Affinity<'a>> {
        let cells = product("cells", &[height, width])?;
        let dense_len = match storage {
            Storage::Dense => product("affinity matrix", &[cells, cells])?,
            Storage::MatrixFree => 0,
        };
        Ok(Affinity {
            kernels,
            cells,
            channels,
            inverse: arena.take(cells)?,
            tile: arena.take(product("tile of features", &[channels, TILE])?)?,
            rows: arena.take(product("rows of features", &[channels, CLASS_BLOCK])?)?,
            dense: arena.take(dense_len)?,
            color: ColorGraph::carve(arena, (height, width), color_weight)?,
        })
    }

    pub(super) fn wants_color(&self) -> bool {
        self.color.wanted()
    }

    /// Tiles that make up W.
    pub(super) fn tiles(&self) -> usize {
        self.cells.div_ceil(TILE)
    }

    /// Whether [`Affinity::fill_tile`] must be called for each tile.
    pub(super) fn is_dense(&self) -> bool {
        !self.dense.is_empty()
    }

    /// Measures each cell's features, which must be finite.
    pub(super) fn measure(&mut self, features: &Map<'_, f32>) -> Result<()> {
        for (cell, inverse) in self.inverse.iter_mut().enumerate() {
            let square = match features.layout() {
                Layout::Hwc => {
                    let row = piece(features.data(), cell, self.channels).unwrap_or_default();
                    dot(row, row)
                }
                Layout::Chw => (0..self.channels).fold(0.0, |sum, channel| {
                    let value = f64::from(element(features, cell, channel));
                    sum + value * value
                }),
            };
            let length = libm::sqrt(square);
            if length > MAX_LENGTH {
                let error = Status::InvalidArgument.about("length of a cell's features");
                return Err(error.numbers(cell as u64, 0));
            }
            *inverse = (1.0 / length.max(MIN_LENGTH)) as f32;
        }
        Ok(())
    }

    /// Finds the colour neighbours of the cells of tile `tile`.
    pub(super) fn find_color(&mut self, color: &Map<'_, f32>, tile: usize) {
        for cell in (tile * TILE..self.cells).take(TILE) {
            self.color.find(color, cell);
        }
    }

    /// Writes the columns of tile `tile` of a dense W, and as many rows, from the diagonal up.
    pub(super) fn fill_tile(&mut self, features: &Map<'_, f32>, tile: usize) {
        let cells = self.cells;
        let dense = core::mem::take(&mut self.dense);
        self.visit_tile(features, tile, |row, first, values| {
            if let Some(columns) = piece_mut(dense, row, cells) {
                let columns = columns.get_mut(first..).unwrap_or_default();
                columns.iter_mut().zip(values).for_each(|(place, &value)| *place = value);
            }
            let below = dense.get_mut(first * cells..).unwrap_or_default();
            for (mirrored, &value) in pieces_mut(below, cells).zip(values) {
                if let Some(place) = mirrored.get_mut(row) {
                    *place = value;
                }
            }
        });
        self.dense = dense;
    }

    /// Adds the colour graph to a dense W.
    pub(super) fn add_color(&mut self) {
        for (i, j, weight) in self.color.edges() {
            for at in [i * self.cells + j, j * self.cells + i] {
                if let Some(place) = self.dense.get_mut(at) {
                    *place += weight;
                }
            }
        }
    }

    /// `out = W x`.
    pub(super) fn apply(&mut self, features: &Map<'_, f32>, x: &[f32], out: &mut [f32]) {
        if self.is_dense() {
            for (value, row) in out.iter_mut().zip(pieces(self.dense, self.cells)) {
                *value = dot_f32(row, x);
            }
            return;
        }
        out.fill(0.0);
        for tile in 0..self.tiles() {
            self.visit_tile(features, tile, |row, first, values| {
                add_products(row, first, values, x, out);
            });
        }
        for (i, j, weight) in self.color.edges() {
            for (to, from) in [(i, j), (j, i)] {
                if let (Some(value), Some(&x)) = (out.get_mut(to), x.get(from)) {
                    *value += weight * x;
                }
            }
        }
    }

    /// Hands `relu(f_i . f_j)` to `visit(i, first j, values)` for the cells j of tile `tile` and
    /// all i <= j: for each i the values from the first such j to the tile's end.
    fn visit_tile(
        &mut self,
        features: &Map<'_, f32>,
        tile: usize,
        mut visit: impl FnMut(usize, usize, &[f32]),
    ) {
        self.pack_tile(features, tile);
        let start = tile * TILE;
        let end = self.cells.min(start + TILE);
        for first_row in (0..end).step_by(CLASS_BLOCK) {
            if features.layout() == Layout::Chw {
                pack_rows(features, first_row, self.channels, self.rows);
            }
            let weights = |at: usize| match features.layout() {
                Layout::Hwc => piece(features.data(), first_row + at, self.channels),
                Layout::Chw => piece(self.rows, at, self.channels),
            };
            let scale = |at: usize| self.inverse.get(first_row + at).copied().unwrap_or(0.0);
            let block = ClassBlock {
                weights: [0, 1, 2, 3].map(|at| weights(at).unwrap_or(&*self.rows)),
                scale: [0, 1, 2, 3].map(scale),
                bias: [0.0; CLASS_BLOCK],
            };
            let mut values = [0.0f32; CLASS_BLOCK * TILE];
            let row = FeatureRow { data: self.tile, stride: TILE };
            (self.kernels.linear)(row, block, &mut values);
            values.iter_mut().for_each(|value| *value = if *value > 0.0 { *value } else { 0.0 });
            for (row, values) in (first_row..end).zip(values.as_chunks::<TILE>().0) {
                let first = row.max(start);
                visit(row, first, values.get(first - start..end - start).unwrap_or_default());
            }
        }
    }

    fn pack_tile(&mut self, features: &Map<'_, f32>, tile: usize) {
        let start = tile * TILE;
        for (channel, places) in pieces_mut(self.tile, TILE).enumerate() {
            let inverse = self.inverse.get(start..).unwrap_or_default();
            places.fill(0.0);
            for (at, (place, &inverse)) in places.iter_mut().zip(inverse).enumerate() {
                *place = element(features, start + at, channel) * inverse;
            }
        }
    }
}

/// Copies the features of [`CLASS_BLOCK`] cells, each cell's side by side.
fn pack_rows(features: &Map<'_, f32>, first: usize, channels: usize, rows: &mut [f32]) {
    let cells = features.height() * features.width();
    let present = CLASS_BLOCK.min(cells.saturating_sub(first));
    for (channel, plane) in pieces(features.data(), cells).enumerate() {
        let values = plane.get(first..).unwrap_or_default();
        for (at, &value) in values.iter().take(present).enumerate() {
            if let Some(place) = rows.get_mut(at * channels + channel) {
                *place = value;
            }
        }
    }
}

/// Adds the products with `values`, which lie in row `row` from column `first` on, and with
/// their mirror images.
fn add_products(row: usize, first: usize, values: &[f32], x: &[f32], out: &mut [f32]) {
    let own = x.get(row).copied().unwrap_or(0.0);
    let others = x.get(first..).unwrap_or_default();
    let sum = dot_f32(values, others.get(..values.len()).unwrap_or_default());
    if let Some(value) = out.get_mut(row) {
        *value += sum;
    }
    // The diagonal counts once.
    let skip = usize::from(first == row);
    let places = out.get_mut(first..).unwrap_or_default();
    for (place, &value) in places.iter_mut().zip(values).skip(skip) {
        *place += value * own;
    }
}
