//! Which classes may win between two grid rows, where that saves work.

use crate::arena::Arena;
use crate::math::kernels::{Kernels, RowPair, row_stride};
use crate::math::prune::{Candidates, CellRow, MAX_ACTIVE, Survivors};
use crate::status::Result;

/// Candidates of the row pair at hand.
///
/// # Memory
/// 12 bytes per column of the padded grid, and 128.
pub(super) struct Pruning<'a> {
    masks: &'a mut [u64],
    thresholds: &'a mut [f32],
    active: [u16; MAX_ACTIVE],
    count: usize,
    pause: u32,
    /// Whether it may pay: an output row of each grid row would not.
    wanted: bool,
    /// Whether the row pair could be pruned, once that was tried.
    pruned: Option<bool>,
}

impl<'a> Pruning<'a> {
    pub(super) fn carve(arena: &mut Arena<'a>, grid_width: usize) -> Result<Pruning<'a>> {
        let stride = row_stride(grid_width);
        Ok(Pruning {
            masks: arena.take(stride)?,
            thresholds: arena.take(stride)?,
            active: [0; MAX_ACTIVE],
            count: 0,
            pause: 0,
            wanted: false,
            pruned: None,
        })
    }

    /// Begins a frame; `wanted` if several of its rows lie between two grid rows.
    pub(super) fn begin(&mut self, wanted: bool) {
        (self.wanted, self.pause, self.pruned) = (wanted, 0, None);
    }

    /// Forgets the row pair.
    pub(super) fn forget(&mut self) {
        self.pruned = None;
    }

    /// Whether the row pair can be pruned, behind the first `cells` columns.
    pub(super) fn applies(
        &mut self,
        kernels: &Kernels,
        pair: RowPair<'_>,
        (stride, cells): (usize, usize),
    ) -> bool {
        if !self.wanted {
            return false;
        }
        if let Some(pruned) = self.pruned {
            return pruned;
        }
        let row = CellRow { upper: pair.upper, lower: pair.lower, stride, cells };
        let mut candidates = Candidates {
            masks: self.masks,
            thresholds: self.thresholds,
            active: &mut self.active,
            count: 0,
            pause: self.pause,
        };
        let pruned = (kernels.prune)(row, &mut candidates);
        (self.count, self.pause) = (candidates.count, candidates.pause);
        self.pruned = Some(pruned);
        pruned
    }

    /// The classes that may win, after [`Pruning::applies`].
    pub(super) fn survivors(&self) -> Survivors<'_> {
        let active = self.active.get(..self.count).unwrap_or_default();
        Survivors { masks: self.masks, active }
    }
}
