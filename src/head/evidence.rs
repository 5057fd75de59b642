//! The logits of a whole grid, where something has to see all of them before a mask is made:
//! smoothing over time, and whatever the caller does to them.

use crate::arena::Arena;
use crate::limits::product;
use crate::math::kernels::row_stride;
use crate::math::pieces::{pieces, pieces_mut};
use crate::status::{Result, Status};

/// Smoothing over frames: an exponential mean of each class's logits in each cell of the grid.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Smoothing {
    /// Weight of the new frame: above 0, up to 1 (no smoothing).
    pub weight: f32,
    /// The past is dropped when the best class changes in more than this share of the cells: 0 to
    /// 1 (never).
    pub cut: f32,
}

impl Smoothing {
    /// No smoothing.
    pub const OFF: Smoothing = Smoothing { weight: 1.0, cut: 1.0 };

    /// Checks the ranges stated at the fields.
    ///
    /// # Errors
    /// [`Status::InvalidArgument`].
    pub fn check(&self) -> Result<()> {
        if !(self.weight > 0.0 && self.weight <= 1.0) {
            return Err(Status::InvalidArgument.about("weight of the new frame"));
        }
        if !(0.0..=1.0).contains(&self.cut) {
            return Err(Status::InvalidArgument.about("share of changed cells"));
        }
        Ok(())
    }

    pub(super) fn is_off(&self) -> bool {
        self.weight == 1.0
    }
}

/// Logits of the present frame and the mean over past ones, class after class, each `height *
/// width` cells in row-major order.
///
/// # Memory
/// `4 * classes * cells` bytes for the present if it is kept, as many for the past if frames are
/// smoothed.
pub(super) struct Evidence<'a> {
    height: usize,
    width: usize,
    present: &'a mut [f32],
    past: &'a mut [f32],
    /// Whether `past` holds a mean of the classes at hand.
    primed: bool,
    /// Cells whose best class differs from the past's.
    changed: usize,
}

impl<'a> Evidence<'a> {
    pub(super) fn carve(
        arena: &mut Arena<'a>,
        (classes, height, width): (usize, usize, usize),
        (keeps, smooths): (bool, bool),
    ) -> Result<Evidence<'a>> {
        let len = product("logits of the grid", &[classes, height, width])?;
        Ok(Evidence {
            height,
            width,
            present: arena.take(if keeps || smooths { len } else { 0 })?,
            past: arena.take(if smooths { len } else { 0 })?,
            primed: false,
            changed: 0,
        })
    }

    pub(super) fn is_kept(&self) -> bool {
        !self.present.is_empty()
    }

    pub(super) fn can_smooth(&self) -> bool {
        !self.past.is_empty()
    }

    /// Forgets the past.
    pub(super) fn reset(&mut self) {
        self.primed = false;
    }

    pub(super) fn has_past(&self) -> bool {
        self.primed
    }

    fn cells(&self) -> usize {
        self.height * self.width
    }

    /// Logits of the first `classes` classes, class after class.
    pub(super) fn present_mut(&mut self, classes: usize) -> &mut [f32] {
        let len = classes.saturating_mul(self.cells());
        self.present.get_mut(..len).unwrap_or_default()
    }

    /// Takes grid row `y` from class rows [`row_stride`] apart.
    pub(super) fn put(&mut self, y: usize, rows: &[f32]) {
        let (cells, width) = (self.cells(), self.width);
        let planes = pieces_mut(self.present, cells);
        for (plane, row) in planes.zip(pieces(rows, row_stride(width))) {
            let places = row_of_mut(plane, y, width);
            for (place, &logit) in places.iter_mut().zip(row) {
                *place = logit;
            }
        }
    }

    /// Writes grid row `y` into class rows [`row_stride`] apart.
    pub(super) fn get(&self, y: usize, rows: &mut [f32]) {
        let planes = pieces(self.present, self.cells());
        for (plane, row) in planes.zip(pieces_mut(rows, row_stride(self.width))) {
            for (place, &logit) in row.iter_mut().zip(row_of(plane, y, self.width)) {
                *place = logit;
            }
        }
    }

    /// Counts the cells of row `y` whose best class is another than in the past.
    pub(super) fn compare(&mut self, y: usize, classes: usize) {
        if y == 0 {
            self.changed = 0;
        }
        for x in 0..self.width {
            let cell = y * self.width + x;
            let now = best(self.present, cell, self.cells(), classes);
            let then = best(self.past, cell, self.cells(), classes);
            self.changed += usize::from(now != then);
        }
    }

    /// Makes row `y` of present and past the mean of both; after a cut, or without a past, both
    /// become the present.
    pub(super) fn mix(&mut self, y: usize, smoothing: Smoothing) {
        let limit = f64::from(smoothing.cut) * self.cells() as f64;
        let keeps = self.primed && self.changed as f64 <= limit;
        let weight = if keeps { smoothing.weight } else { 1.0 };
        let (cells, width, last) = (self.cells(), self.width, y + 1 == self.height);
        let planes = pieces_mut(self.present, cells).zip(pieces_mut(self.past, cells));
        for (present, past) in planes {
            let rows = row_of_mut(present, y, width).iter_mut();
            for (now, then) in rows.zip(row_of_mut(past, y, width)) {
                let mixed = *then + weight * (*now - *then);
                // What is no finite number in one frame would stay in the mean for good.
                if weight < 1.0 && mixed.is_finite() {
                    *now = mixed;
                }
                *then = *now;
            }
        }
        self.primed |= last;
    }
}

fn row_of(plane: &[f32], y: usize, width: usize) -> &[f32] {
    plane.get(y * width..(y + 1) * width).unwrap_or_default()
}

fn row_of_mut(plane: &mut [f32], y: usize, width: usize) -> &mut [f32] {
    plane.get_mut(y * width..(y + 1) * width).unwrap_or_default()
}

/// The class with the highest logit in a cell, the first of equals.
fn best(planes: &[f32], cell: usize, cells: usize, classes: usize) -> usize {
    let mut best = (f32::NEG_INFINITY, 0);
    for (class, plane) in pieces(planes, cells).take(classes).enumerate() {
        let logit = plane.get(cell).copied().unwrap_or(f32::NEG_INFINITY);
        if logit > best.0 {
            best = (logit, class);
        }
    }
    best.1
}
