//! Chains: consecutive steps that take turns, strip after strip of the last one's output, so that
//! what lies between them never exists as a whole.
//!
//! For a strip every step in turn makes those rows of its output that are missing for it, into a
//! buffer from which the rows that nobody reads any more were dropped. Which rows these are follows
//! from the windows alone, so a chain has no state but the number of its strip.

use super::band;
use super::ops::Site;
use super::reader::Plan;
use super::step::{MAX_CHAIN_STEPS, Operation};
#[cfg(feature = "std")]
use super::{step::Step, tensor::Tensor};
use core::ops::Range;

/// The steps of the chain that step `index` belongs to, or that step alone. `is_inner` says of each
/// step whether the next one belongs to its chain.
pub fn range(index: usize, steps: usize, is_inner: impl Fn(usize) -> bool) -> Range<usize> {
    let before = (0..index).rev().take_while(|&step| is_inner(step)).count();
    let behind = (index..steps).take_while(|&step| is_inner(step)).count();
    let end = index.saturating_add(behind).saturating_add(1);
    index.saturating_sub(before)..end.min(steps)
}

/// [`range`] of steps and tensors that are not a plan yet.
#[cfg(feature = "std")]
pub fn around(steps: &[Step], tensors: &[Tensor], index: usize) -> Range<usize> {
    range(index, steps.len(), |step| {
        let output = steps.get(step).and_then(|step| tensors.get(usize::from(step.output)));
        output.is_some_and(Tensor::is_buffered)
    })
}

/// How a step reads rows of the step before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Link {
    /// Rows that are read.
    height: usize,
    /// Rows from window to window.
    stride: usize,
    /// Rows from the first to the last tap of a window, both included.
    reach: usize,
    /// Rows of padding above.
    pad: usize,
}

impl Link {
    /// `None` for an operation that cannot be cut into rows.
    pub fn of(operation: Operation, height: u32) -> Option<Link> {
        let window = band::window(operation)?;
        let taps = usize::from(window.kernel_height).saturating_sub(1);
        Some(Link {
            height: height as usize,
            stride: window.stride_y.into(),
            reach: taps.saturating_mul(window.dilation_y.into()).saturating_add(1),
            pad: window.pad_top.into(),
        })
    }

    /// The first row that is read for row `row` and those below.
    fn start(&self, row: usize) -> usize {
        row.saturating_mul(self.stride).saturating_sub(self.pad).min(self.height)
    }

    /// One behind the last row that is read for the rows above `end`.
    fn end(&self, end: usize) -> usize {
        let Some(last) = end.checked_sub(1) else { return 0 };
        let below = last.saturating_mul(self.stride).saturating_add(self.reach);
        below.saturating_sub(self.pad).min(self.height)
    }

    /// Rows that are read for `rows` neighbouring rows, at most.
    pub fn span(&self, rows: usize) -> usize {
        let strides = rows.saturating_sub(1).saturating_mul(self.stride);
        strides.saturating_add(self.reach).min(self.height)
    }
}

/// Rows of a step's output during one strip.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Rows {
    /// The first in memory: the first that the next step reads.
    pub base: usize,
    /// Those that are made.
    pub made: Range<usize>,
}

/// A chain of a plan.
#[derive(Clone, Copy, Debug)]
pub struct Chain {
    /// Its first step.
    first: usize,
    /// Number of its steps.
    steps: usize,
    /// How the output of each step but the last is read by the next.
    links: [Link; MAX_CHAIN_STEPS],
    /// Rows of the last step's output, in all and in a strip.
    height: usize,
    strip_rows: usize,
}

impl Chain {
    /// The chain that a step belongs to, if any.
    pub fn of(plan: &Plan<'_>, index: usize) -> Option<Chain> {
        let range = plan.chain(index);
        if range.len() < 2 {
            return None;
        }
        let mut links = [Link::default(); MAX_CHAIN_STEPS];
        for (link, step) in links.iter_mut().zip(range.clone().skip(1)) {
            let step = plan.step(step).ok()?;
            let [input, ..] = step.inputs;
            *link = Link::of(step.operation, plan.tensor(input).ok()?.height)?;
        }
        let last = plan.step(range.end.checked_sub(1)?).ok()?;
        Some(Chain {
            first: range.start,
            steps: range.len(),
            links,
            height: plan.tensor(last.output).ok()?.height as usize,
            strip_rows: last.strip_rows as usize,
        })
    }

    /// The first step.
    pub fn first(&self) -> usize {
        self.first
    }

    /// Whether a step is the last one.
    pub fn ends_with(&self, step: usize) -> bool {
        step.saturating_add(1) == self.first.saturating_add(self.steps)
    }

    /// Number of strips.
    pub fn strips(&self) -> usize {
        self.height
            .checked_div(self.strip_rows)
            .map_or(1, |_| self.height.div_ceil(self.strip_rows))
    }

    /// One behind the last row of each step that is made once `strips` strips are.
    fn ends(&self, strips: usize) -> [usize; MAX_CHAIN_STEPS] {
        let mut end = strips.saturating_mul(self.strip_rows).min(self.height);
        let mut ends = [end; MAX_CHAIN_STEPS];
        for (place, link) in
            ends.iter_mut().zip(&self.links).take(self.steps.saturating_sub(1)).rev()
        {
            end = link.end(end);
            *place = end;
        }
        ends
    }

    /// The rows of step `step` at a strip.
    pub fn rows(&self, step: usize, strip: usize) -> Rows {
        let place = step.saturating_sub(self.first);
        let (before, after) = (self.ends(strip), self.ends(strip.saturating_add(1)));
        let last = self.steps.saturating_sub(1);
        let mut start = before.get(last).copied().unwrap_or(0);
        let mut base = 0;
        let inner = before.iter().zip(&self.links).take(last).enumerate();
        for (_, (made, link)) in inner.rev().take_while(|(inner, _)| *inner >= place) {
            base = link.start(start);
            start = base.max(*made);
        }
        let end = after.get(place).copied().unwrap_or(0);
        Rows { base, made: start..end.max(start) }
    }

    /// Tells a step which rows are in memory at a strip, and cuts it to those that it makes, of
    /// which there are some.
    pub fn cut(&self, site: &mut Site<'_>, step: usize, strip: usize) -> Option<()> {
        let rows = self.rows(step, strip);
        if let (Some(before), [Some(input), ..]) = (step.checked_sub(1), &mut site.inputs)
            && step > self.first
        {
            let read = self.rows(before, strip);
            input.hold(read.base..read.made.end);
        }
        site.output.hold(rows.base..rows.made.end);
        band::cut(site, &rows.made)
    }

    /// Before a step works on a strip: drops the rows of its buffer that the next step has no use
    /// for any more, which brings the others to its start. `None` for one that was not checked.
    pub fn roll(&self, site: &Site<'_>, step: usize, strip: usize, arena: &mut [u8]) -> Option<()> {
        let Some(strip_before) = strip.checked_sub(1) else { return Some(()) };
        let (held, rows) = (self.rows(step, strip_before), self.rows(step, strip));
        let kept = held.made.end.saturating_sub(rows.base);
        let dropped = rows.base.saturating_sub(held.base);
        let row_bytes = site.output.row_bytes();
        let start = dropped.checked_mul(row_bytes)?;
        if kept == 0 || start == 0 {
            return Some(());
        }
        let buffer = arena.get_mut(site.output.bytes())?;
        let end = start.checked_add(kept.checked_mul(row_bytes)?)?;
        move_to_start(buffer.get_mut(..end)?, start)
    }
}

/// Moves what begins at `start` to the front, which is as `copy_within` but has no panic site.
fn move_to_start(mut bytes: &mut [u8], start: usize) -> Option<()> {
    while bytes.len() > start {
        let (to, from) = bytes.split_at_mut_checked(start)?;
        to.iter_mut().zip(&*from).for_each(|(to, from)| *to = *from);
        bytes = from;
    }
    Some(())
}
