//! Groups of neighbouring output pixels and the ways they read a row of the grid.

use super::kernels::{Columns, GridRow, MAX_LANES};
use super::lanes::Lanes;
use super::pieces::{piece, pieces};

/// What is kept of a group of pixels while its classes pass by. Traits rather than closures:
/// their methods can be inlined by force, without which vectors would pass through memory.
pub(super) trait Visitor<L> {
    /// Takes the values of one class, whose number is whole.
    fn visit(&mut self, class: f32, value: L);
}

/// Neighbouring output pixels, one per lane.
pub(super) struct Group<'a, L: Lanes> {
    index: &'a [u32],
    base: usize,
    picks: L::Picks,
    fraction: L,
    reach: Reach,
}

/// How many grid columns the pixels of a group lie between.
#[derive(Clone, Copy, PartialEq)]
enum Reach {
    /// The same two columns.
    One,
    /// No more than a vector holds.
    Vector,
    /// More: the grid is finer than the output.
    Far,
}

/// The groups of a row, from left to right.
#[inline(always)]
pub(super) fn groups<'a, L: Lanes>(columns: Columns<'a>) -> impl Iterator<Item = Group<'a, L>> {
    let indices = columns.index.chunks_exact(L::COUNT);
    indices.zip(columns.fraction.chunks_exact(L::COUNT)).map(|(index, fraction)| {
        let first = index.first().copied().unwrap_or(0);
        let last = index.last().copied().unwrap_or(first);
        let span = last.saturating_sub(first) as usize;
        let reach = match span {
            0 => Reach::One,
            _ if span < L::COUNT => Reach::Vector,
            _ => Reach::Far,
        };
        let picks = L::picks(index, first);
        Group { index, base: first as usize, picks, fraction: L::load(fraction), reach }
    })
}

impl<L: Lanes> Group<'_, L> {
    /// Shows the visitor each class's number and interpolated values.
    #[inline(always)]
    pub(super) fn visit_classes(&self, grid: GridRow<'_>, visitor: &mut impl Visitor<L>) {
        match self.reach {
            Reach::One => self.walk(grid, Uniform, visitor),
            Reach::Vector => self.walk(grid, Near { picks: self.picks }, visitor),
            Reach::Far => self.walk(grid, Far { index: self.index, base: self.base }, visitor),
        }
    }

    /// The classes that any pixel of the group may belong to, given those of each grid column.
    #[inline(always)]
    pub(super) fn candidates(&self, masks: &[u64]) -> u64 {
        let last = self.index.last().map_or(self.base, |&last| last as usize);
        let masks = masks.get(self.base..=last).unwrap_or_default();
        masks.iter().fold(0, |all, mask| all | mask)
    }

    /// As [`Group::visit_classes`] for the rows with a bit in `set`, lowest first, which are those
    /// of the classes `numbers`.
    #[inline(always)]
    pub(super) fn visit_candidates(
        &self,
        grid: GridRow<'_>,
        set: u64,
        numbers: &[u16],
        visitor: &mut impl Visitor<L>,
    ) {
        let chosen = Chosen { set, numbers };
        match self.reach {
            Reach::One => self.walk_chosen(grid, chosen, Uniform, visitor),
            Reach::Vector => self.walk_chosen(grid, chosen, Near { picks: self.picks }, visitor),
            Reach::Far => {
                let reader = Far { index: self.index, base: self.base };
                self.walk_chosen(grid, chosen, reader, visitor);
            }
        }
    }

    #[inline(always)]
    fn walk_chosen(
        &self,
        grid: GridRow<'_>,
        mut chosen: Chosen<'_>,
        reader: impl Reader<L>,
        visitor: &mut impl Visitor<L>,
    ) {
        while let Some((row, class)) = chosen.next() {
            let values = piece(grid.values, row, grid.stride).unwrap_or_default();
            let steps = piece(grid.steps, row, grid.stride).unwrap_or_default();
            let value = reader.read(values.get(self.base..).unwrap_or_default());
            let step = reader.read(steps.get(self.base..).unwrap_or_default());
            visitor.visit(class, value.add(self.fraction.mul(step)));
        }
    }

    #[inline(always)]
    fn walk(&self, grid: GridRow<'_>, reader: impl Reader<L>, visitor: &mut impl Visitor<L>) {
        let mut class = 0.0;
        let rows = pieces(grid.values, grid.stride).zip(pieces(grid.steps, grid.stride));
        for (values, steps) in rows {
            let value = reader.read(values.get(self.base..).unwrap_or_default());
            let step = reader.read(steps.get(self.base..).unwrap_or_default());
            visitor.visit(class, value.add(self.fraction.mul(step)));
            class += 1.0;
        }
    }
}

/// Rows of a grid, one per bit, and the numbers of their classes.
struct Chosen<'a> {
    set: u64,
    numbers: &'a [u16],
}

impl Chosen<'_> {
    /// The lowest row left and its class.
    #[inline(always)]
    fn next(&mut self) -> Option<(usize, f32)> {
        if self.set == 0 {
            return None;
        }
        let row = self.set.trailing_zeros() as usize;
        self.set &= self.set.wrapping_sub(1);
        Some((row, self.numbers.get(row).copied().unwrap_or_default().into()))
    }
}

/// Takes the lanes' values from a row that starts at the group's first column.
trait Reader<L> {
    fn read(&self, row: &[f32]) -> L;
}

struct Uniform;

impl<L: Lanes> Reader<L> for Uniform {
    #[inline(always)]
    fn read(&self, row: &[f32]) -> L {
        L::splat(row.first().copied().unwrap_or_default())
    }
}

struct Near<L: Lanes> {
    picks: L::Picks,
}

impl<L: Lanes> Reader<L> for Near<L> {
    #[inline(always)]
    fn read(&self, row: &[f32]) -> L {
        L::load(row).pick(self.picks)
    }
}

struct Far<'a> {
    index: &'a [u32],
    base: usize,
}

impl<L: Lanes> Reader<L> for Far<'_> {
    #[inline(always)]
    fn read(&self, row: &[f32]) -> L {
        let mut lanes = [0.0; MAX_LANES];
        for (lane, &index) in lanes.iter_mut().zip(self.index) {
            let column = (index as usize).saturating_sub(self.base);
            *lane = row.get(column).copied().unwrap_or_default();
        }
        L::load(&lanes)
    }
}
