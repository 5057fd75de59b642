//! The colour graph: which cells look alike and lie near one another.

use super::cells::element;
use crate::arena::Arena;
use crate::limits::product;
use crate::map::Map;
use crate::math::pieces::{piece, piece_mut};
use crate::status::Result;

/// The two graphs of methods.md 6.9 step 3: neighbours of each cell (itself among them), and the
/// weight of position against colour.
const GRAPHS: [(usize, f64); 2] = [(20, 2.0), (10, 0.1)];
/// Neighbours of a cell in both graphs together.
const NEIGHBORS: usize = 30;

/// The nearest neighbours of each cell in (r, g, b, w x, w y), x and y from 0 to 1 across the
/// grid; all cells where there are fewer. Distances are f64; of equally near cells the lower
/// ones are taken.
pub(super) struct ColorGraph<'a> {
    width: usize,
    height: usize,
    /// Added to W at (i, j) and at (j, i) for every neighbour j of i.
    weight: f32,
    /// (cells, NEIGHBORS): in pieces of `found` per cell. Empty when the weight is 0.
    neighbors: &'a mut [u16],
    /// Neighbours per cell, less than NEIGHBORS on small grids.
    found: usize,
}

impl<'a> ColorGraph<'a> {
    pub(super) fn carve(
        arena: &mut Arena<'a>,
        (height, width): (usize, usize),
        weight: f32,
    ) -> Result<ColorGraph<'a>> {
        let cells = product("cells", &[height, width])?;
        let found = GRAPHS.iter().map(|(count, _)| *count.min(&cells)).sum();
        let len = if weight > 0.0 { product("colour graph", &[cells, found])? } else { 0 };
        Ok(ColorGraph { width, height, weight, neighbors: arena.take(len)?, found })
    }

    pub(super) fn wanted(&self) -> bool {
        self.weight > 0.0
    }

    /// Finds the neighbours of `cell`: `cells` distances.
    pub(super) fn find(&mut self, color: &Map<'_, f32>, cell: usize) {
        let (width, height) = (self.width.max(1), self.height);
        let step = |count: usize| 1.0 / count.saturating_sub(1).max(1) as f64;
        let (across, down) = (step(width), step(height));
        let pixel = |cell: usize| [0, 1, 2].map(|c| f64::from(element(color, cell, c)));
        let own = pixel(cell);
        let mut lists = [[(f64::INFINITY, 0u16); NEIGHBORS]; GRAPHS.len()];
        for other in 0..width * height {
            let [r, g, b] = pixel(other);
            let [red, green, blue] = own;
            let (r, g, b) = (r - red, g - green, b - blue);
            let x = (other % width).abs_diff(cell % width) as f64 * across;
            let y = (other / width).abs_diff(cell / width) as f64 * down;
            let (hue, place) = (r * r + g * g + b * b, x * x + y * y);
            for (list, (count, weight)) in lists.iter_mut().zip(GRAPHS) {
                let list = list.get_mut(..count).unwrap_or_default();
                insert(list, (hue + weight * weight * place, other as u16));
            }
        }
        let cells = width * height;
        let nearest = lists.iter().zip(GRAPHS);
        let nearest = nearest.flat_map(|(list, (count, _))| list.iter().take(count.min(cells)));
        let places = piece_mut(self.neighbors, cell, self.found).unwrap_or_default();
        for (place, &(_, neighbor)) in places.iter_mut().zip(nearest) {
            *place = neighbor;
        }
    }

    /// Every edge (i, j) with its weight, once for each time it was found.
    pub(super) fn edges(&self) -> impl Iterator<Item = (usize, usize, f32)> {
        let cells = if self.wanted() { self.width * self.height } else { 0 };
        (0..cells).flat_map(move |cell| {
            let neighbors = piece(self.neighbors, cell, self.found).unwrap_or_default();
            neighbors.iter().map(move |&other| (cell, usize::from(other), self.weight))
        })
    }
}

/// Puts `item` in its place in a list sorted by distance, behind its equals, and drops the last.
fn insert(list: &mut [(f64, u16)], mut item: (f64, u16)) {
    if list.last().is_none_or(|last| item.0 >= last.0) {
        return;
    }
    let at = list.partition_point(|place| place.0 <= item.0);
    for place in list.iter_mut().skip(at) {
        core::mem::swap(place, &mut item);
    }
}
