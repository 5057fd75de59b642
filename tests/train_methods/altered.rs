//! Made-up pictures with other labels.

use crate::support::Synthetic;
use std::borrow::Borrow;
use zsseg::train::data::{Label, LabelMap};
use zsseg::train::engine::Matrix;
use zsseg::train::{Pictures, Result, Tap, View};

/// What a label becomes, given the picture and the cell (column and row) that its pixel lies in.
pub type Alter = Box<dyn Fn(usize, [u32; 2], Label) -> Label + Sync>;

/// Pictures whose labels are told otherwise.
pub struct Altered<P> {
    pub pictures: P,
    pub alter: Alter,
}

/// Exchanges the last two classes, which are the unseen ones.
pub fn swapped(label: Label) -> Label {
    match label {
        Label::Class(4) => Label::Class(5),
        Label::Class(5) => Label::Class(4),
        other => other,
    }
}

impl<P: Borrow<Synthetic> + Sync> Pictures for Altered<P> {
    fn len(&self) -> usize {
        self.pictures.borrow().len()
    }

    fn name(&self, picture: usize) -> &str {
        self.pictures.borrow().name(picture)
    }

    fn frame(&self) -> [usize; 2] {
        self.pictures.borrow().frame()
    }

    fn taps(&self) -> &[Tap] {
        self.pictures.borrow().taps()
    }

    fn views(&self) -> &[View] {
        self.pictures.borrow().views()
    }

    fn tap(&self, picture: usize, view: usize, tap: usize) -> Result<Matrix<f32>> {
        self.pictures.borrow().tap(picture, view, tap)
    }

    fn labels(&self, picture: usize) -> Result<LabelMap> {
        let map = self.pictures.borrow().labels(picture)?;
        let width = map.width();
        let cell = |pixel: u32| [pixel % width / 8, pixel / width / 8];
        let labels = map.iter().zip(0u32..);
        let labels: Vec<Label> =
            labels.map(|(label, pixel)| (self.alter)(picture, cell(pixel), label)).collect();
        Ok(LabelMap::new(width, map.height(), map.classes(), &labels)?)
    }
}
