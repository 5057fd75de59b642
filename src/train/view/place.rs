//! From a view's grid back to the picture's.

use super::View;
use crate::train::engine::{Matrix, Real};
use crate::train::error::{Error, Result};
use std::format;
use std::vec;
use std::vec::Vec;

/// Sums of what views say about the cells of a picture's grid.
#[derive(Clone, Debug)]
pub struct Placed<F> {
    grid: [usize; 2],
    frame: [usize; 2],
    /// `[rows * columns, channels]`: sum over the views that show the cell.
    pub sum: Matrix<F>,
    /// Number of views that show each cell.
    pub count: Vec<u32>,
}

/// Cells of an axis of a view that a cell of the picture lies between.
#[derive(Clone, Copy)]
struct Between {
    low: usize,
    high: usize,
    fraction: f64,
}

impl<F: Real> Placed<F> {
    /// Nothing yet, for a grid of `[rows, columns]` that spans a frame of `[rows, columns]`.
    ///
    /// # Errors
    /// [`Error::Config`] for a side of 0; [`Error::Compute`] for more numbers than can be counted.
    pub fn new(grid: [usize; 2], frame: [usize; 2], channels: usize) -> Result<Placed<F>> {
        if grid.contains(&0) || frame.contains(&0) || channels == 0 {
            return Err(Error::config(format!("a grid of {grid:?} in a frame of {frame:?}")));
        }
        let cells = grid[0] * grid[1];
        Ok(Placed { grid, frame, sum: Matrix::zeros([cells, channels])?, count: vec![0; cells] })
    }

    /// Adds what a view says, `values` being `[rows * columns, channels]` of its own grid
    /// `from`: unflipped, and resized bilinearly (half-pixel centres) to the window's place.
    /// Cells whose centre lies outside the window get nothing.
    ///
    /// # Errors
    /// [`Error::Config`] for values of another shape, and as [`View::pixels`].
    pub fn add(&mut self, view: &View, values: &Matrix<F>, from: [usize; 2]) -> Result<()> {
        let [_, channels] = self.sum.shape();
        if values.shape() != [from[0] * from[1], channels] || from.contains(&0) {
            let reason = format!("{:?} values of a view's grid {from:?}", values.shape());
            return Err(Error::config(reason));
        }
        let window = view.pixels(self.frame)?;
        let [rows, columns] = self.grid;
        let down = axis((rows, self.frame[0]), (window.top, window.height), from[0], false);
        let across =
            axis((columns, self.frame[1]), (window.left, window.width), from[1], view.flip);
        let cells = down.iter().flat_map(|y| across.iter().map(move |x| (*y, *x)));
        let sums = self.sum.rows_mut().zip(&mut self.count);
        for ((y, x), (sum, count)) in cells.zip(sums) {
            let (Some(y), Some(x)) = (y, x) else { continue };
            *count += 1;
            for (row, weight) in [(y.low, 1.0 - y.fraction), (y.high, y.fraction)] {
                for (column, share) in [(x.low, 1.0 - x.fraction), (x.high, x.fraction)] {
                    let weight = F::of(weight * share);
                    let values = values.row(row * from[1] + column).unwrap_or_default();
                    sum.iter_mut().zip(values).for_each(|(sum, value)| *sum += weight * *value);
                }
            }
        }
        Ok(())
    }
}

/// Where the cells of an axis lie in a view's; `None` outside the window.
fn axis(
    (cells, frame): (usize, usize),
    (start, len): (u32, u32),
    from: usize,
    flip: bool,
) -> Vec<Option<Between>> {
    let place = |cell: usize| {
        let pixel = (cell as f64 + 0.5) * frame as f64 / cells as f64;
        let share = (pixel - f64::from(start)) / f64::from(len);
        if !(0.0..=1.0).contains(&share) {
            return None;
        }
        let share = if flip { 1.0 - share } else { share };
        let position = (share * from as f64 - 0.5).clamp(0.0, from as f64 - 1.0);
        let low = position as usize;
        let high = (low + 1).min(from - 1);
        Some(Between { low, high, fraction: position - low as f64 })
    };
    (0..cells).map(place).collect()
}
