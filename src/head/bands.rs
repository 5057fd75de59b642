//! A mask cut into bands of rows, for several threads. Each has a painter of its own.

use super::painter::{Painter, Scene};
use super::{Decoder, Output, Placements, Progress, Stage};
use crate::arena::Arena;
use crate::limits::MAX_PARTS;
use crate::map::Map;
use crate::status::{Result, Status};
use crate::threads::{Share, Task, run_shares};
use crate::trace::Clock;
use core::ops::Range;

/// Pixels of a band at least: about as much work as it takes to wake a thread.
const LEAST_PIXELS: usize = 1 << 13;
/// Rows of a band at most: between turns the caller may look at the clock and the flag.
const MOST_ROWS: usize = 256;

/// Who makes a band.
enum Hand<'b, 'a> {
    /// The decoder's own painter.
    Own(&'b mut Painter<'a>),
    /// A painter in memory of its own.
    Other(&'b mut [u8]),
}

/// Rows of a mask, to be written to the first rows of `output`.
struct Band<'b, 'a> {
    scene: Scene<'b, 'a>,
    hand: Hand<'b, 'a>,
    rows: Range<u32>,
    prunes: bool,
    max_width: usize,
    output: Output<'b>,
}

impl Task for Band<'_, '_> {
    fn run(mut self) -> Option<()> {
        match self.hand {
            Hand::Own(painter) => paint(painter, &self.scene, self.rows, &mut self.output),
            Hand::Other(memory) => {
                let setup = self.scene.setup;
                let classes = setup.order.len();
                let mut arena = Arena::over(memory).ok()?;
                let shape = (&setup.head, setup.grid.width, classes);
                let mut painter =
                    Painter::carve(&mut arena, shape, self.max_width, setup.kernels).ok()?;
                painter.begin(self.prunes);
                paint(&mut painter, &self.scene, self.rows, &mut self.output);
            }
        }
        Some(())
    }
}

fn paint(
    painter: &mut Painter<'_>,
    scene: &Scene<'_, '_>,
    rows: Range<u32>,
    output: &mut Output<'_>,
) {
    for (row, y) in rows.enumerate() {
        painter.write_row(scene, y, row, output);
    }
}

impl Decoder<'_> {
    /// As [`Decoder::step`], but of a frame as many rows as threads may make side by side in one
    /// go. Without threads it is the same.
    ///
    /// # Errors
    /// As [`Decoder::step`].
    pub fn step_in_bands(
        &mut self,
        map: &Map<'_, f32>,
        placements: Placements<'_>,
        output: &mut Output<'_>,
    ) -> Result<Progress> {
        let Stage::Write(start) = self.stage else { return self.step(map, placements, output) };
        let height = placements.rows.frame();
        let left = height.saturating_sub(start) as usize;
        let width = placements.columns.frame() as usize;
        let count = self.crew.count(left.saturating_mul(width), LEAST_PIXELS).min(left);
        if count < 2 {
            return self.step(map, placements, output);
        }
        self.check_map(map)?;
        self.check_output(placements, output)?;
        let turns = left.div_ceil(count.saturating_mul(MOST_ROWS).max(1));
        let end = start.saturating_add(left.div_ceil(turns.max(1)) as u32).min(height);
        self.paint_bands((map, placements), start..end, count, output)
            .ok_or(Status::Panic.about("a part of the mask"))?;
        self.stage = if end < height { Stage::Write(end) } else { Stage::Idle };
        Ok(if end < height { Progress::More } else { Progress::Done })
    }

    /// Writes rows of the mask in `count` bands of about as many rows each.
    fn paint_bands(
        &mut self,
        (map, placements): (&Map<'_, f32>, Placements<'_>),
        rows: Range<u32>,
        count: usize,
        output: &mut Output<'_>,
    ) -> Option<()> {
        let kept = self.is_kept();
        let prunes = self.prunes(placements.rows);
        let Decoder { setup, painter, evidence, crew, max_width, .. } = self;
        let scene = Scene { setup, map, placements, kept: kept.then_some(evidence) };
        let (pool, mut memory, part_bytes) = crew.split()?;
        // The program's clock is for one thread.
        let clock = core::mem::replace(&mut painter.clock, Clock::NONE);
        let mut output = output.borrow();
        output.split_off(rows.start as usize);
        let mut bands = [const { Share::NONE }; MAX_PARTS];
        let mut start = rows.start;
        let (last, others) = bands.get_mut(..count)?.split_last_mut()?;
        let band = |hand, rows: Range<u32>, output| {
            Share::of(Band { scene, hand, rows, prunes, max_width: *max_width, output })
        };
        for (index, place) in others.iter_mut().enumerate() {
            let done = rows.len().checked_mul(index + 1)?.checked_div(count)?;
            let end = rows.start.checked_add(done as u32)?;
            let (part, rest) = memory.split_at_mut_checked(part_bytes)?;
            let output = output.split_off(end.checked_sub(start)? as usize);
            *place = band(Hand::Other(part), start..end, output);
            (memory, start) = (rest, end);
        }
        *last = band(Hand::Own(&mut *painter), start..rows.end, output);
        let done = run_shares(pool, &mut bands, count);
        painter.clock = clock;
        done
    }
}
