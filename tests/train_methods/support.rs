//! Made-up pictures: rectangles of classes, whose features are a fixed linear map of the class's
//! embedding plus noise, so that an unseen class can be known by its name.

use std::num::NonZeroUsize;
use zsseg::train::data::{ClassList, EmbeddingTable, Label, LabelMap, Roles};
use zsseg::train::engine::{CpuEngine, Draw, Engine, Matrix, Noise, Product};
use zsseg::train::{Joined, Pictures, Result, Tap, View};

/// Classes, the last two of which are usually unseen.
pub const CLASSES: [&str; 6] = ["ground", "cat", "dog", "horse", "cow", "sheep"];
/// Numbers of an embedding.
pub const DIM: usize = 6;
/// Channels of the features.
pub const CHANNELS: usize = 16;
/// Rows and columns of the features' grid; the frame is eight times as large.
pub const GRID: [usize; 2] = [8, 10];
const FRAME: [usize; 2] = [GRID[0] * 8, GRID[1] * 8];

/// An engine with one thread.
pub fn engine() -> CpuEngine {
    CpuEngine::new(NonZeroUsize::MIN)
}

/// Normal numbers.
pub fn normal(shape: [usize; 2], seed: u64, stream: u32) -> Matrix<f32> {
    let draw = Draw { seed, step: 0, stream };
    engine().noise(shape, Noise::Normal, draw).unwrap()
}

/// One embedding of length 1 per class of [`CLASSES`].
pub fn embeddings() -> EmbeddingTable {
    let rows = normal([CLASSES.len(), DIM], 5, 0);
    let names = CLASSES.map(String::from).to_vec();
    EmbeddingTable::new(names, DIM, rows.into_values()).unwrap().normalized().unwrap()
}

/// The list of [`CLASSES`].
pub fn class_list() -> ClassList {
    ClassList::new(&CLASSES).unwrap()
}

/// Roles with these classes unseen.
pub fn roles(unseen: &[&str]) -> Roles {
    Roles::with_unseen(&class_list(), unseen).unwrap()
}

/// Pictures in memory.
pub struct Synthetic {
    names: Vec<String>,
    taps: Vec<Tap>,
    views: Vec<View>,
    labels: Vec<LabelMap>,
    /// By picture, then view.
    features: Vec<Vec<Matrix<f32>>>,
}

impl Synthetic {
    /// `count` pictures, each of a ground and one class, which takes turns. `noise` is the
    /// deviation of the features.
    pub fn new(count: usize, noise: f32, views: &[View], seed: u64) -> Synthetic {
        let map = normal([DIM, CHANNELS], 9, 1);
        let prototypes = engine().product(Product::Nn, &matrix(&embeddings()), &map, None).unwrap();
        let labels: Vec<LabelMap> = (0..count).map(labels_of).collect();
        let features = (0..count)
            .map(|picture| {
                let of_view = |(place, view): (usize, &View)| {
                    let shown = seen_through(&labels[picture], view);
                    let stream = (picture * views.len() + place) as u32 + 2;
                    cells_of(&shown, &prototypes, noise, seed, stream)
                };
                views.iter().enumerate().map(of_view).collect()
            })
            .collect();
        let name = "taps".to_string();
        let tap = Tap { name, height: GRID[0], width: GRID[1], channels: CHANNELS };
        let names = (0..count).map(|picture| format!("picture{picture}")).collect();
        Synthetic { names, taps: vec![tap], views: views.to_vec(), labels, features }
    }

    /// The features at their own grid.
    pub fn joined(&self) -> Joined<'_> {
        Joined::new(self, GRID).unwrap()
    }
}

impl Pictures for Synthetic {
    fn len(&self) -> usize {
        self.names.len()
    }

    fn name(&self, picture: usize) -> &str {
        self.names.get(picture).map_or("", String::as_str)
    }

    fn frame(&self) -> [usize; 2] {
        FRAME
    }

    fn taps(&self) -> &[Tap] {
        &self.taps
    }

    fn views(&self) -> &[View] {
        &self.views
    }

    fn tap(&self, picture: usize, view: usize, tap: usize) -> Result<Matrix<f32>> {
        assert_eq!(tap, 0);
        Ok(self.features[picture][view].clone())
    }

    fn labels(&self, picture: usize) -> Result<LabelMap> {
        Ok(self.labels[picture].clone())
    }
}

fn matrix(table: &EmbeddingTable) -> Matrix<f32> {
    Matrix::new([table.len(), table.dim()], table.values().to_vec()).unwrap()
}

/// A rectangle of one class on the ground, with a border of void, at whole cells.
fn labels_of(picture: usize) -> LabelMap {
    let class = 1 + (picture % (CLASSES.len() - 1)) as u16;
    let (left, top) = (1 + picture % 3, 1 + picture % 2);
    let (right, bottom) = (left + 4 + picture % 2, top + 4);
    let mut labels = Vec::with_capacity(FRAME[0] * FRAME[1]);
    for y in 0..FRAME[0] {
        for x in 0..FRAME[1] {
            let (column, row) = (x / 8, y / 8);
            let inside = (left..right).contains(&column) && (top..bottom).contains(&row);
            let edge = inside && column == left && row == top;
            labels.push(match (inside, edge) {
                (_, true) => Label::Void,
                (true, _) => Label::Class(class),
                _ => Label::Class(0),
            });
        }
    }
    let [height, width] = FRAME.map(|side| side as u32);
    LabelMap::new(width, height, CLASSES.len(), &labels).unwrap()
}

/// The labels that a view shows, one per cell of the grid.
fn seen_through(labels: &LabelMap, view: &View) -> Vec<Label> {
    let mut cells = Vec::with_capacity(GRID[0] * GRID[1]);
    for row in 0..GRID[0] {
        for column in 0..GRID[1] {
            let column = if view.flip { GRID[1] - 1 - column } else { column };
            let place = |cell: usize, cells: usize, start: f32, side: usize| {
                let share = start + view.window.side * (cell as f32 + 0.5) / cells as f32;
                ((share * side as f32) as usize).min(side - 1) as u32
            };
            let x = place(column, GRID[1], view.window.left, FRAME[1]);
            let y = place(row, GRID[0], view.window.top, FRAME[0]);
            cells.push(labels.get(x, y).unwrap());
        }
    }
    cells
}

fn cells_of(
    labels: &[Label],
    prototypes: &Matrix<f32>,
    noise: f32,
    seed: u64,
    stream: u32,
) -> Matrix<f32> {
    let mut cells = normal([labels.len(), CHANNELS], seed, stream);
    for (row, label) in cells.rows_mut().zip(labels) {
        let class = match label {
            Label::Class(class) => usize::from(*class),
            _ => 0,
        };
        let prototype = prototypes.row(class).unwrap();
        row.iter_mut().zip(prototype).for_each(|(value, mean)| *value = mean + noise * *value);
    }
    cells
}
