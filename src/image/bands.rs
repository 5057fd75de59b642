//! The network's input cut into bands of rows, for several threads. Each has a ring of its own.

use super::format::Image;
use super::preprocess::{Kit, Preprocessor, Target, TargetRows, Work};
use super::resize::Ring;
use crate::arena::Arena;
use crate::limits::MAX_PARTS;
use crate::status::{Result, Status};
use crate::threads::{Share, Task, run_shares};
use core::ops::Range;

/// Pixels of a band at least: about as much work as it takes to wake a thread.
const LEAST_PIXELS: usize = 1 << 13;
/// Rows of a band at most: between turns the caller may look at the clock and the flag.
const MOST_ROWS: usize = 256;

/// Who makes a band.
enum Hand<'b, 'a> {
    /// The preprocessor's own ring.
    Own(&'b mut Ring<'a>),
    /// A ring in memory of its own.
    Other(&'b mut [u8]),
}

/// Rows of the input, to be written to the first rows of `target`.
struct Band<'b, 'a> {
    kit: &'b Kit<'a>,
    image: &'b Image<'b>,
    work: &'b Work,
    hand: Hand<'b, 'a>,
    rows: Range<u32>,
    target: TargetRows<'b>,
}

impl Task for Band<'_, '_> {
    fn run(self) -> Option<()> {
        let Band { kit, image, work, hand, rows, mut target } = self;
        let write = |ring: &mut Ring<'_>| {
            for (row, y) in rows.enumerate() {
                kit.write_row((image, work), (y, row), ring, &mut target);
            }
        };
        match hand {
            Hand::Own(ring) => write(ring),
            Hand::Other(memory) => {
                let mut arena = Arena::over(memory).ok()?;
                let (input, preprocess) = (&kit.input, &kit.preprocess);
                let mut ring = Ring::carve(&mut arena, input, preprocess, &kit.limits).ok()?;
                write(&mut ring);
            }
        }
        Some(())
    }
}

impl Preprocessor<'_> {
    /// As [`Preprocessor::step`], but as many rows as threads may write side by side in one go.
    /// Without threads it is the same.
    ///
    /// # Errors
    /// As [`Preprocessor::step`]; [`Status::Panic`] if a thread could not do its part.
    pub fn step_in_bands(&mut self, image: &Image<'_>, target: &mut Target<'_>) -> Result<bool> {
        let work = self.checked(image, target)?;
        let (start, height) = (work.next, self.kit.input.height);
        let left = height.saturating_sub(start) as usize;
        let pixels = left.saturating_mul(self.kit.input.width as usize);
        let count = self.crew.count(pixels, LEAST_PIXELS).min(left);
        if count < 2 {
            return self.step(image, target);
        }
        let turns = left.div_ceil(count.saturating_mul(MOST_ROWS).max(1));
        let end = start.saturating_add(left.div_ceil(turns.max(1)) as u32).min(height);
        self.write_bands((image, &work), start..end, count, target)
            .ok_or(Status::Panic.about("a part of the network's input"))?;
        Ok(self.proceed(end))
    }

    /// Writes rows of the input in `count` bands of about as many rows each.
    fn write_bands(
        &mut self,
        (image, work): (&Image<'_>, &Work),
        rows: Range<u32>,
        count: usize,
        target: &mut Target<'_>,
    ) -> Option<()> {
        let Preprocessor { kit, ring, crew, .. } = self;
        let (pool, mut memory, part_bytes) = crew.split()?;
        let mut target = kit.rows(target);
        target.split_off(rows.start as usize);
        let mut bands = [const { Share::NONE }; MAX_PARTS];
        let (last, others) = bands.get_mut(..count)?.split_last_mut()?;
        let band = |hand, rows, target| Share::of(Band { kit, image, work, hand, rows, target });
        let mut start = rows.start;
        for (index, place) in others.iter_mut().enumerate() {
            let done = rows.len().checked_mul(index + 1)?.checked_div(count)?;
            let end = rows.start.checked_add(done as u32)?;
            let (part, rest) = memory.split_at_mut_checked(part_bytes)?;
            let target = target.split_off(end.checked_sub(start)? as usize);
            *place = band(Hand::Other(part), start..end, target);
            (memory, start) = (rest, end);
        }
        *last = band(Hand::Own(ring), start..rows.end, target);
        run_shares(pool, &mut bands, count)
    }
}
