//! Made-up pictures with other labels.

use crate::support::Synthetic;
use zsseg::train::data::{Label, LabelMap};
use zsseg::train::engine::Matrix;
use zsseg::train::{Pictures, Result, Tap, View};

/// The pictures with labels that a function changes, given the picture and the cell (column and
/// row) that a pixel lies in.
pub struct Altered<'a> {
    pub pictures: &'a Synthetic,
    pub alter: fn(usize, [u32; 2], Label) -> Label,
}

/// Exchanges the last two classes, which are the unseen ones.
pub fn swap_unseen(_: usize, _: [u32; 2], label: Label) -> Label {
    match label {
        Label::Class(4) => Label::Class(5),
        Label::Class(5) => Label::Class(4),
        other => other,
    }
}

impl Pictures for Altered<'_> {
    fn len(&self) -> usize {
        self.pictures.len()
    }

    fn name(&self, picture: usize) -> &str {
        self.pictures.name(picture)
    }

    fn frame(&self) -> [usize; 2] {
        self.pictures.frame()
    }

    fn taps(&self) -> &[Tap] {
        self.pictures.taps()
    }

    fn views(&self) -> &[View] {
        self.pictures.views()
    }

    fn tap(&self, picture: usize, view: usize, tap: usize) -> Result<Matrix<f32>> {
        self.pictures.tap(picture, view, tap)
    }

    fn labels(&self, picture: usize) -> Result<LabelMap> {
        let map = self.pictures.labels(picture)?;
        let width = map.width();
        let cell = |pixel: u32| [pixel % width / 8, pixel / width / 8];
        let labels = map.iter().zip(0u32..);
        let labels: Vec<Label> =
            labels.map(|(label, pixel)| (self.alter)(picture, cell(pixel), label)).collect();
        Ok(LabelMap::new(width, map.height(), map.classes(), &labels)?)
    }
}
