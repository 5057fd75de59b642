//! Regions of a grid: cells that lie on the same side of every segment (methods.md 6.10, vote).

use super::{MAX_SEGMENTS, Segments};
use crate::arena::Arena;
use crate::status::Result;
use core::ops::Range;

/// Most regions: one for each pattern of signs.
pub(super) const MAX_REGIONS: usize = 1 << MAX_SEGMENTS;
/// Regions with a smaller share of the cells, in percent, are merged.
const MIN_AREA_PERCENT: usize = 1;
/// Stands for "no region".
const NO_REGION: u16 = u16::MAX;

/// The rows and columns of a grid that take part.
pub(super) struct Window {
    grid_width: usize,
    rows: Range<usize>,
    columns: Range<usize>,
}

impl Window {
    /// All of a grid.
    pub(super) fn whole(height: usize, width: usize) -> Window {
        Window { grid_width: width, rows: 0..height, columns: 0..width }
    }

    /// The part of this window's grid in these rows and columns.
    pub(super) fn part(&self, rows: Range<usize>, columns: Range<usize>) -> Window {
        Window { grid_width: self.grid_width, rows, columns }
    }

    pub(super) fn holds(&self, cell: usize) -> bool {
        let width = self.grid_width.max(1);
        self.rows.contains(&(cell / width)) && self.columns.contains(&(cell % width))
    }

    pub(super) fn cells(&self) -> usize {
        self.rows.len() * self.columns.len()
    }
}

/// Divides a grid into regions, small ones merged with the neighbour that they share most border
/// with.
pub(super) struct Regions<'a> {
    height: usize,
    width: usize,
    /// Region of each cell: (cells).
    region: &'a mut [u16],
    /// Cells of each region: (MAX_REGIONS).
    area: &'a mut [u32],
    /// Border with each region, in cell sides: (MAX_REGIONS).
    border: &'a mut [u32],
}

impl<'a> Regions<'a> {
    pub(super) fn carve(arena: &mut Arena<'a>, height: usize, width: usize) -> Result<Regions<'a>> {
        Ok(Regions {
            height,
            width,
            region: arena.take(height * width)?,
            area: arena.take(MAX_REGIONS)?,
            border: arena.take(MAX_REGIONS)?,
        })
    }

    /// Region of each cell; none of [`Regions::areas`] for one that takes no part.
    pub(super) fn of_cells(&self) -> &[u16] {
        self.region
    }

    /// Cells of each region, 0 for numbers that no region has.
    pub(super) fn areas(&self) -> &[u32] {
        self.area
    }

    /// Divides the part of the grid that takes part. At most [`MAX_REGIONS`] passes over it: each
    /// merge removes one region.
    pub(super) fn divide(&mut self, segments: &Segments<'_>, window: &Window) {
        self.area.fill(0);
        for (cell, region) in self.region.iter_mut().enumerate() {
            let sides = (0..segments.count()).map(|k| u16::from(segments.contains(k, cell)) << k);
            *region = if window.holds(cell) { sides.sum() } else { NO_REGION };
            add(self.area, *region, 1);
        }
        let limit = window.cells() * MIN_AREA_PERCENT;
        for _ in 0..MAX_REGIONS {
            let Some(small) = self.smallest(limit) else { return };
            self.measure_border(small);
            let Some(target) = largest(self.border) else { return };
            self.merge(small, target);
        }
    }

    /// The smallest region below `limit` hundredths of a cell, the lowest of equals.
    fn smallest(&self, limit: usize) -> Option<u16> {
        let mut best: Option<(u32, u16)> = None;
        for (region, &area) in (0..).zip(self.area.iter()) {
            let small = area > 0 && (area as usize) * 100 < limit;
            if small && best.is_none_or(|(least, _)| area < least) {
                best = Some((area, region));
            }
        }
        best.map(|(_, region)| region)
    }

    fn measure_border(&mut self, small: u16) {
        self.border.fill(0);
        let cells = self.height * self.width;
        for (cell, &own) in self.region.iter().enumerate() {
            let right = (cell + 1) % self.width.max(1) != 0;
            let below = cell + self.width < cells;
            for (inside, step) in [(right, 1), (below, self.width)] {
                let Some(&other) = self.region.get(cell + step).filter(|_| inside) else {
                    continue;
                };
                if own == small && other != small {
                    add(self.border, other, 1);
                } else if other == small && own != small {
                    add(self.border, own, 1);
                }
            }
        }
    }

    fn merge(&mut self, small: u16, target: u16) {
        let mut moved = 0;
        for region in self.region.iter_mut().filter(|region| **region == small) {
            *region = target;
            moved += 1;
        }
        add(self.area, target, moved);
        if let Some(area) = self.area.get_mut(usize::from(small)) {
            *area = 0;
        }
    }
}

fn add(counts: &mut [u32], index: u16, amount: u32) {
    if let Some(count) = counts.get_mut(usize::from(index)) {
        *count += amount;
    }
}

/// The lowest index of the largest count; `None` if all are 0.
pub(super) fn largest(counts: &[u32]) -> Option<u16> {
    let mut best: Option<(u32, u16)> = None;
    for (index, &count) in (0..).zip(counts) {
        if count > 0 && best.is_none_or(|(most, _)| count > most) {
            best = Some((count, index));
        }
    }
    best.map(|(_, index)| index)
}
