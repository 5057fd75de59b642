//! Features of random cells of each class.

use crate::math::random::Random;
use crate::train::engine::Matrix;
use crate::train::error::{Error, Result};
use crate::train::task::{IGNORED, Task, targets};
use std::format;
use std::ops::Range;
use std::vec;
use std::vec::Vec;

/// Features of random cells, those of a class together.
#[derive(Clone, Debug)]
pub struct Bag {
    /// `[cells, channels]`.
    pub rows: Matrix<f32>,
    /// Class of each cell, ascending.
    pub labels: Vec<i32>,
    /// Picture of each cell, ascending within a class.
    pub pictures: Vec<usize>,
    /// Cells of each class of the data set, empty for those without one.
    pub classes: Vec<Range<usize>>,
    /// How many cells of each class the pictures have in all.
    pub counts: Vec<u64>,
}

/// How likely the classes of a bag are drawn.
#[derive(Clone, Debug)]
pub struct Chances {
    classes: Vec<Range<usize>>,
    /// For each class the sum of the chances up to it.
    sums: Vec<f64>,
}

impl Chances {
    /// Class and row of a random cell of the bag, of two numbers from 0 to below 1. Cells of a
    /// class are equally likely.
    pub fn cell(&self, class: f32, cell: f32) -> (usize, usize) {
        let chosen = f64::from(class) * self.sums.last().copied().unwrap_or(0.0);
        let class = self.sums.partition_point(|&sum| sum <= chosen);
        let cells = self.classes.get(class).cloned().unwrap_or(0..0);
        let offset = (f64::from(cell) * cells.len() as f64) as usize;
        (class, cells.start + offset.min(cells.len().saturating_sub(1)))
    }
}

/// Where a cell is, and its place in a random order.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Cell {
    key: u32,
    picture: u32,
    cell: u32,
}

impl Bag {
    /// At most `limit` cells of each seen class of these pictures, all equally likely. Which
    /// depends on the task's seed and `stream` only. Reads the labels of all pictures, then the
    /// features of those with a chosen cell.
    ///
    /// # Errors
    /// [`Error::Config`] if a seen class has no cell, naming all such classes by number; those of
    /// reading labels and features.
    pub fn collect(task: &Task<'_>, pictures: &[usize], limit: usize, stream: u32) -> Result<Bag> {
        let (chosen, counts) = choose(task, pictures, limit, stream)?;
        let empty: Vec<usize> = task
            .seen()
            .into_iter()
            .filter(|&class| chosen.get(class).is_none_or(Vec::is_empty))
            .collect();
        if !empty.is_empty() {
            let names = task.embeddings.names();
            let names: Vec<&str> = empty
                .iter()
                .filter_map(|&class| names.get(class))
                .map(|name| name.as_str())
                .collect();
            let reason = format!("no cell of the training pictures shows {}", names.join(", "));
            return Err(Error::config(reason));
        }
        gather(task, chosen, counts)
    }

    /// Chances of the classes: in proportion to the pictures' cells to the power of
    /// `1 - balance`. 0 draws classes as often as they are, 1 equally often, whatever part of them
    /// is in the bag.
    pub fn chances(&self, balance: f64) -> Chances {
        let mut sum = 0.0;
        let counts = self.counts.iter().zip(&self.classes);
        let sums = counts.map(|(&count, cells)| {
            let chance = libm::pow(count as f64, 1.0 - balance);
            sum += if cells.is_empty() { 0.0 } else { chance };
            sum
        });
        Chances { sums: sums.collect(), classes: self.classes.clone() }
    }
}

/// For each class the cells with the smallest keys, in the order of pictures and cells, and the
/// number of all.
fn choose(
    task: &Task<'_>,
    pictures: &[usize],
    limit: usize,
    stream: u32,
) -> Result<(Vec<Vec<Cell>>, Vec<u64>)> {
    let random = Random::new(task.seed, &[]);
    let mut chosen: Vec<Vec<Cell>> = vec![Vec::new(); task.class_count()];
    let mut counts = vec![0; task.class_count()];
    for &picture in pictures {
        let place = u32::try_from(picture).map_err(|_| Error::config("too many pictures"))?;
        let labels = targets(&task.labels(picture)?);
        for (cell, label) in (0u32..).zip(labels) {
            if label == IGNORED {
                continue;
            }
            let four = random.uniform(cell / 4, place, stream);
            let key = four.get(cell as usize % 4).copied().unwrap_or(0.0).to_bits();
            if let Some(cells) = chosen.get_mut(label as usize) {
                cells.push(Cell { key, picture: place, cell });
            }
            if let Some(count) = counts.get_mut(label as usize) {
                *count += 1;
            }
        }
        for cells in &mut chosen {
            keep_smallest(cells, 2 * limit, limit);
        }
    }
    for cells in &mut chosen {
        keep_smallest(cells, limit, limit);
        cells.sort_unstable_by_key(|cell| (cell.picture, cell.cell));
    }
    Ok((chosen, counts))
}

/// Leaves the `limit` smallest if there are more than `most`.
fn keep_smallest(cells: &mut Vec<Cell>, most: usize, limit: usize) {
    if cells.len() > most && limit > 0 {
        cells.select_nth_unstable(limit - 1);
        cells.truncate(limit);
    }
}

fn gather(task: &Task<'_>, chosen: Vec<Vec<Cell>>, counts: Vec<u64>) -> Result<Bag> {
    let mut classes = Vec::with_capacity(chosen.len());
    let mut labels = Vec::new();
    let mut pictures = Vec::new();
    // (picture, cell, row of the bag)
    let mut wanted = Vec::new();
    for (class, cells) in chosen.into_iter().enumerate() {
        let start = labels.len();
        for cell in cells {
            wanted.push((cell.picture as usize, cell.cell as usize, labels.len()));
            pictures.push(cell.picture as usize);
            labels.push(class as i32);
        }
        classes.push(start..labels.len());
    }
    wanted.sort_unstable();
    let mut rows = Matrix::zeros([labels.len(), task.features.channels()])?;
    for group in wanted.chunk_by(|one, other| one.0 == other.0) {
        let picture = group.first().map_or(0, |first| first.0);
        let features = task.features.rows(picture, 0)?;
        for &(_, cell, row) in group {
            if let (Some(to), Some(from)) = (rows.row_mut(row), features.row(cell)) {
                to.copy_from_slice(from);
            }
        }
    }
    Ok(Bag { rows, labels, pictures, classes, counts })
}
