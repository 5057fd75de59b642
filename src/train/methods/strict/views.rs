//! What was computed for a view of a picture, brought back to the picture's own grid.

use crate::train::engine::Matrix;
use crate::train::error::{Error, Result};
use crate::train::pictures::View;
use std::vec::Vec;

/// Rows that were computed at `[rows, columns]` cells of a view, at the same number of cells of
/// the picture as it is: bilinear with half-pixel centres (methods.md 3.3), unmirrored. Beside
/// them, which cells the view shows; others are 0. The plain view gives its very bits, and the
/// mirrored one in reverse order.
///
/// # Errors
/// [`Error::Config`] for another number of rows, or a window without a side.
pub fn to_base(
    values: &Matrix<f32>,
    grid: [usize; 2],
    view: &View,
) -> Result<(Matrix<f32>, Vec<bool>)> {
    let [rows, columns] = grid;
    let [count, width] = values.shape();
    if Some(count) != rows.checked_mul(columns) {
        return Err(Error::config("a view needs a row per cell of the grid"));
    }
    let window = view.window;
    if !(window.side > 0.0 && window.side <= 1.0) {
        return Err(Error::config("the window of a view has no side"));
    }
    let across: Vec<Option<Place>> = (0..columns)
        .map(|column| {
            let place = Place::of(column, columns, window.left, window.side)?;
            Some(if view.flip { place.mirrored(columns) } else { place })
        })
        .collect();
    let mut base = Matrix::zeros([count, width])?;
    let mut shown = Vec::with_capacity(count);
    let mut targets = base.rows_mut();
    for row in 0..rows {
        let down = Place::of(row, rows, window.top, window.side);
        for across in &across {
            let target = targets.next().unwrap_or_default();
            let (Some(down), Some(across)) = (&down, across) else {
                shown.push(false);
                continue;
            };
            shown.push(true);
            for (row, share) in [(down.first, 1.0 - down.share), (down.second, down.share)] {
                for (column, part) in
                    [(across.first, 1.0 - across.share), (across.second, across.share)]
                {
                    let from = values.row(row * columns + column).unwrap_or_default();
                    add(target, share * part, from);
                }
            }
        }
    }
    drop(targets);
    Ok((base, shown))
}

/// Nothing for a factor of 0, so that a number beside the picture cannot matter, not even one
/// that is not finite.
fn add(target: &mut [f32], factor: f32, from: &[f32]) {
    if factor != 0.0 {
        target.iter_mut().zip(from).for_each(|(sum, value)| *sum += factor * value);
    }
}

/// Between which two cells of a view's row or column a cell of the picture lies.
struct Place {
    first: usize,
    second: usize,
    /// How far towards the second, 0 to below 1.
    share: f32,
}

impl Place {
    /// `None` if the centre of the picture's cell is not in the window.
    fn of(cell: usize, cells: usize, start: f32, side: f32) -> Option<Place> {
        let centre = (cell as f64 + 0.5) / cells as f64;
        let inside = (centre - f64::from(start)) / f64::from(side);
        if !(0.0..=1.0).contains(&inside) {
            return None;
        }
        // A rounding error must not mix two cells where centres meet.
        let at = (inside * cells as f64 - 0.5).clamp(0.0, (cells - 1) as f64);
        let nearest = libm::round(at);
        let at = if (at - nearest).abs() < 1.0e-6 { nearest } else { at };
        let first = at as usize;
        let second = (first + 1).min(cells - 1);
        Some(Place { first, second, share: (at - first as f64) as f32 })
    }

    fn mirrored(self, cells: usize) -> Place {
        let mirror = |cell: usize| cells - 1 - cell;
        Place { first: mirror(self.first), second: mirror(self.second), share: self.share }
    }
}
