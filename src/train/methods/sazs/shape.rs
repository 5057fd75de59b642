//! How well the shape of predicted edges fits (methods.md 6.7).

use crate::status::Result;
use crate::train::engine::{Activation, Draw, Engine, Loss, Product, Real, Resize};
use crate::train::error;
use std::format;
use std::ops::Range;
use std::path::Path;
use std::vec;
use std::vec::Vec;

/// Lengths below this count as 0, and so does their derivative.
const LEAST_LENGTH: f64 = 1e-12;

/// Edges of pictures of one grid, picture after picture.
#[derive(Clone, Copy, Debug)]
pub struct EdgeMaps<'a, F> {
    /// Rows and columns of the grid.
    pub grid: [usize; 2],
    /// Predicted edges before the sigmoid, one per cell.
    pub logits: &'a [F],
    /// 1 for an edge, 0 for none; other cells take no part.
    pub targets: &'a [i32],
}

/// Difference of the moments of predicted and true edges, tile by tile: the ratios of their
/// extents less 1 and the distance of their centres, in halves of the tile's sides. The mean over
/// the tiles with at least `least_cells` edge cells of the length of those four numbers; 0 without
/// such a tile. An edge cell counts as a square, not as a point, so that straight edges have an
/// extent across. The gradient is by the logits. All sums are in f64.
///
/// It is 0 for edges that are right, but not only for those: moments say nothing about how many
/// edges there are. That is what the cross-entropy of edges is for.
pub fn moment_loss<F: Real>(
    maps: &EdgeMaps<'_, F>,
    tiles: [usize; 2],
    least_cells: f64,
) -> Loss<Vec<F>> {
    let [height, width] = maps.grid;
    let mut gradient = vec![0.0; maps.logits.len()];
    let (mut sum, mut count) = (0.0, 0usize);
    for first in (0..maps.logits.len()).step_by((height * width).max(1)) {
        for row in 0..tiles[0] {
            for column in 0..tiles[1] {
                let rows = part(row, tiles[0], height);
                let columns = part(column, tiles[1], width);
                let cells = cells_of(maps, first, &rows, &columns);
                let Some(length) = tile_loss(&cells, least_cells, &mut gradient) else {
                    continue;
                };
                sum += length;
                count += 1;
            }
        }
    }
    let share = 1.0 / count.max(1) as f64;
    let gradient = gradient.into_iter().map(|value| F::of(value * share)).collect();
    Loss { value: sum * share, gradient }
}

fn part(index: usize, parts: usize, side: usize) -> Range<usize> {
    let parts = parts.max(1);
    index * side / parts..(index + 1) * side / parts
}

/// A cell of a tile: its number, its place from -1 to 1 along x and y, edges found and wanted.
struct Cell {
    index: usize,
    place: [f64; 2],
    found: f64,
    wanted: f64,
}

/// Cells of a tile, and the variance of a cell's own extent along x and y.
struct Tile {
    cells: Vec<Cell>,
    spread: [f64; 2],
}

fn cells_of<F: Real>(
    maps: &EdgeMaps<'_, F>,
    first: usize,
    rows: &Range<usize>,
    columns: &Range<usize>,
) -> Tile {
    let width = maps.grid[1];
    let place = |at: usize, range: &Range<usize>| {
        (2 * (at - range.start) + 1) as f64 / range.len().max(1) as f64 - 1.0
    };
    let mut cells = Vec::with_capacity(rows.len() * columns.len());
    for y in rows.clone() {
        for x in columns.clone() {
            let index = first + y * width + x;
            let target = maps.targets.get(index).copied().filter(|target| matches!(target, 0 | 1));
            if let (Some(target), Some(logit)) = (target, maps.logits.get(index)) {
                let place = [place(x, columns), place(y, rows)];
                let found = sigmoid(logit.to_f64());
                cells.push(Cell { index, place, found, wanted: f64::from(target) });
            }
        }
    }
    let spread = [columns, rows].map(|side| {
        let side = 2.0 / side.len().max(1) as f64;
        side * side / 12.0
    });
    Tile { cells, spread }
}

fn sigmoid(x: f64) -> f64 {
    1.0 / (1.0 + libm::exp(-x))
}

/// Mass, centre and variance of a weighting of cells along an axis.
struct Moments {
    mass: f64,
    centre: f64,
    variance: f64,
}

fn moments(tile: &Tile, axis: usize, weight: impl Fn(&Cell) -> f64) -> Moments {
    let at = |cell: &Cell| cell.place.get(axis).copied().unwrap_or(0.0);
    let spread = tile.spread.get(axis).copied().unwrap_or(1.0);
    let mass: f64 = tile.cells.iter().map(&weight).sum();
    let centre = tile.cells.iter().map(|cell| weight(cell) * at(cell)).sum::<f64>() / mass;
    let squares = tile.cells.iter().map(|cell| {
        let distance = at(cell) - centre;
        weight(cell) * distance * distance
    });
    Moments { mass, centre, variance: squares.sum::<f64>() / mass + spread }
}

/// The length of a tile's difference, whose derivative is added to `gradient`; `None` for a tile
/// that takes no part.
fn tile_loss(tile: &Tile, least_cells: f64, gradient: &mut [f64]) -> Option<f64> {
    let wanted = [0, 1].map(|axis| moments(tile, axis, |cell| cell.wanted));
    let found = [0, 1].map(|axis| moments(tile, axis, |cell| cell.found));
    let enough = wanted[0].mass >= least_cells && found[0].mass > f64::MIN_POSITIVE;
    if !enough {
        return None;
    }
    let pairs = || found.iter().zip(&wanted);
    let extents: Vec<f64> =
        pairs().map(|(f, w)| libm::sqrt(f.variance / w.variance) - 1.0).collect();
    let shifts: Vec<f64> = pairs().map(|(f, w)| f.centre - w.centre).collect();
    let all = extents.iter().chain(&shifts);
    let length = libm::sqrt(all.map(|value| value * value).sum::<f64>());
    if length < LEAST_LENGTH {
        return Some(0.0);
    }
    for cell in &tile.cells {
        let mut slope = 0.0;
        let axes = pairs().zip(&tile.spread).zip(cell.place).zip(extents.iter().zip(&shifts));
        for ((((f, w), spread), place), (extent, shift)) in axes {
            let distance = place - f.centre;
            let by_variance = 0.5 / libm::sqrt(f.variance * w.variance);
            let variance = (distance * distance - (f.variance - spread)) / f.mass;
            slope += extent * by_variance * variance + shift * distance / f.mass;
        }
        slope *= cell.found * (1.0 - cell.found) / length;
        gradient.iter_mut().skip(cell.index).take(1).for_each(|value| *value += slope);
    }
    Some(length)
}

/// InverseForm's network: from a pair of tiles to the numbers of the transformation between them,
/// three layers with ReLU. Its weights are not ours to give; users bring them.
#[derive(Clone, Debug)]
pub struct InverseForm<T> {
    /// Weight `[outputs, inputs]` and bias `[1, outputs]` of each layer.
    layers: [[T; 2]; 3],
    /// Sides of a tile, in pixels.
    side: usize,
}

impl<T: Clone> InverseForm<T> {
    /// A network of weights `[outputs, inputs]` and biases `[1, outputs]`. The first layer has
    /// `2 * side * side` inputs: the predicted tile, then the true one.
    ///
    /// # Errors
    /// [`error::Error::Config`] for layers that do not fit.
    pub fn new<F: Real, E>(engine: &E, layers: [[T; 2]; 3]) -> error::Result<InverseForm<T>>
    where
        E: Engine<F, Tensor = T>,
    {
        let shapes = layers.each_ref().map(|layer| layer.each_ref().map(|x| engine.shape(x)));
        let [[first, _], [second, _], [third, _]] = shapes;
        let fits = second[1] == first[0] && third[1] == second[0];
        let biases = shapes.iter().all(|[weight, bias]| *bias == [1, weight[0]]);
        let side = libm::sqrt(first[1] as f64 / 2.0) as usize;
        if !fits || !biases || side == 0 || 2 * side * side != first[1] {
            let reason = format!("InverseForm: layers of shapes {shapes:?} do not fit");
            return Err(error::Error::config(reason));
        }
        Ok(InverseForm { layers, side })
    }

    /// The loss of edges: both maps are resized to `tiles` tiles, each pair goes through the
    /// network, and the lengths of what comes out are averaged. The gradient is by the logits.
    ///
    /// # Errors
    /// Those of the engine.
    pub fn loss<F: Real, E>(
        &self,
        engine: &E,
        maps: &EdgeMaps<'_, F>,
        tiles: [usize; 2],
    ) -> Result<Loss<Vec<F>>>
    where
        E: Engine<F, Tensor = T>,
    {
        let cells = (maps.grid[0] * maps.grid[1]).max(1);
        let pictures = maps.logits.len() / cells;
        let to = tiles.map(|count| count * self.side);
        let resize = Resize { pictures, from: maps.grid, to, align_corners: false };
        let counts = |target: &i32| matches!(target, 0 | 1);
        let pairs = || maps.logits.iter().zip(maps.targets);
        let sigmoids: Vec<F> = pairs()
            .map(|(logit, target)| match counts(target) {
                true => F::of(sigmoid(logit.to_f64())),
                false => F::ZERO,
            })
            .collect();
        let truths: Vec<F> =
            pairs().map(|(_, target)| if *target == 1 { F::ONE } else { F::ZERO }).collect();
        let large = |values: &[F]| {
            let map = engine.upload([values.len(), 1], values)?;
            engine.download(&engine.resize(&map, &resize)?)
        };
        let rows = self.cut(&large(&sigmoids)?, &large(&truths)?, to);
        let (value, rows) = self.of_tiles(engine, &rows)?;
        let spread = self.put_together(&rows, pictures, to);
        let spread = engine.upload([spread.len(), 1], &spread)?;
        let small = engine.download(&engine.resize_backward(&spread, &resize)?)?;
        let slopes = small.iter().zip(&sigmoids).zip(maps.targets);
        let gradient = slopes.map(|((slope, e), target)| match counts(target) {
            true => *slope * *e * (F::ONE - *e),
            false => F::ZERO,
        });
        Ok(Loss { value, gradient: gradient.collect() })
    }

    /// Pixels of tiles, in the order of the network's inputs: (tile, place in it, pixel).
    fn places(&self, pixels: usize, [height, width]: [usize; 2]) -> Vec<usize> {
        let side = self.side;
        let pictures = pixels / (height * width).max(1);
        let mut places = Vec::with_capacity(pixels);
        for top in (0..pictures * height).step_by(side) {
            for left in (0..width).step_by(side) {
                for row in top..top + side {
                    places.extend((left..left + side).map(|column| row * width + column));
                }
            }
        }
        places
    }

    fn cut<F: Real>(&self, found: &[F], wanted: &[F], to: [usize; 2]) -> Vec<F> {
        let area = self.side * self.side;
        let mut rows = Vec::with_capacity(2 * found.len());
        for tile in self.places(found.len(), to).chunks(area) {
            for map in [found, wanted] {
                rows.extend(tile.iter().map(|&pixel| map.get(pixel).copied().unwrap_or(F::ZERO)));
            }
        }
        rows
    }

    /// The predicted halves of the tiles' rows as maps: the opposite of [`InverseForm::cut`].
    fn put_together<F: Real>(&self, rows: &[F], pictures: usize, to: [usize; 2]) -> Vec<F> {
        let area = self.side * self.side;
        let mut map = vec![F::ZERO; pictures * to[0] * to[1]];
        let places = self.places(map.len(), to);
        for (tile, row) in places.chunks(area).zip(rows.chunks(2 * area)) {
            for (&pixel, &value) in tile.iter().zip(row) {
                map.iter_mut().skip(pixel).take(1).for_each(|place| *place = value);
            }
        }
        map
    }

    /// The mean length of the network's answers, and its derivative by the rows.
    fn of_tiles<F: Real, E>(&self, engine: &E, rows: &[F]) -> Result<(f64, Vec<F>)>
    where
        E: Engine<F, Tensor = T>,
    {
        let inputs = 2 * self.side * self.side;
        let draw = Draw { seed: 0, step: 0, stream: 0 };
        let relu = Activation { slope: 0.0, dropout: 0.0, draw };
        let [[w1, b1], [w2, b2], [w3, b3]] = &self.layers;
        let x = engine.upload([rows.len() / inputs.max(1), inputs], rows)?;
        let first = engine.product(Product::Nt, &x, w1, Some(b1))?;
        let active = engine.activate(&first, &relu)?;
        let second = engine.product(Product::Nt, &active, w2, Some(b2))?;
        let active = engine.activate(&second, &relu)?;
        let third = engine.product(Product::Nt, &active, w3, Some(b3))?;
        let shape = engine.shape(&third);
        let loss = inverse_form_distance(&engine.download(&third)?, shape[1]);
        let slope = engine.upload(shape, &loss.gradient)?;
        let slope = engine.product(Product::Nn, &slope, w3, None)?;
        let slope = engine.activate_backward(&second, &slope, &relu)?;
        let slope = engine.product(Product::Nn, &slope, w2, None)?;
        let slope = engine.activate_backward(&first, &slope, &relu)?;
        let slope = engine.product(Product::Nn, &slope, w1, None)?;
        Ok((loss.value, engine.download(&slope)?))
    }
}

impl<T: Clone> InverseForm<T> {
    /// Reads `w1`, `b1`, `w2`, `b2`, `w3`, `b3` of a safetensors file: weights
    /// `[outputs, inputs]`, as PyTorch has them, and biases `[outputs]`.
    ///
    /// # Errors
    /// [`error::Error::File`] and [`error::Error::Broken`] naming the file, and those of
    /// [`InverseForm::new`].
    pub fn read<E>(engine: &E, path: &Path) -> error::Result<InverseForm<T>>
    where
        E: Engine<f32, Tensor = T>,
    {
        let bytes = std::fs::read(path).map_err(error::Error::file(path))?;
        let broken = |reason: anyhow::Error| error::Error::broken(path, format!("{reason:#}"));
        let known = ["w1", "b1", "w2", "b2", "w3", "b3"];
        let file = crate::convert::Tensors::open(&bytes, &known).map_err(broken)?;
        let layer = |weight: &str, bias: &str| -> error::Result<[T; 2]> {
            let matrix = file.matrix(weight, "[outputs, inputs]").map_err(broken)?;
            let outputs = matrix.rows;
            let whose = format!("`{weight}` has {outputs} rows");
            let bias = file.vector(bias, outputs, &whose).map_err(broken)?;
            let weight = engine.upload([outputs, matrix.columns], &matrix.values)?;
            Ok([weight, engine.upload([1, outputs], &bias)?])
        };
        InverseForm::new(engine, [layer("w1", "b1")?, layer("w2", "b2")?, layer("w3", "b3")?])
    }
}

/// The mean length of rows of `columns` numbers, with its derivative by each; 0 without rows.
pub fn inverse_form_distance<F: Real>(rows: &[F], columns: usize) -> Loss<Vec<F>> {
    let columns = columns.max(1);
    let count = (rows.len() / columns).max(1) as f64;
    let mut sum = 0.0;
    let mut gradient = Vec::with_capacity(rows.len());
    for row in rows.chunks(columns) {
        let squares: f64 = row.iter().map(|value| value.to_f64() * value.to_f64()).sum();
        let length = libm::sqrt(squares);
        sum += length;
        let factor = if length < LEAST_LENGTH { 0.0 } else { 1.0 / (length * count) };
        gradient.extend(row.iter().map(|value| F::of(value.to_f64() * factor)));
    }
    Loss { value: sum / count, gradient }
}
