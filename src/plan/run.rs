//! The interpreter.

use super::chain::Chain;
use super::ops::{self, Site, Work};
use super::parts;
use super::reader::{Plan, Target};
use crate::math::network::kernels::NetworkKernels;
use crate::status::{Error, Place, Result, Status};
use crate::threads::ThreadPool;
use core::ops::Range;

/// Multiply-accumulates, or values moved, that one piece of work is about: a fraction of a
/// millisecond, or on microcontrollers, whose next task cannot wait for more, a few of them.
const PIECE_WORK: u64 = match Target::host() {
    Target::CortexM => 1 << 14,
    Target::X86_64 | Target::Aarch64 | Target::Armv7 => 1 << 20,
};

/// Bands that a piece of work may be cut into within a chain, whose strips have few rows; elsewhere
/// a band is a piece at least. Turns of a chain follow one another so fast that threads stay awake.
const BANDS_OF_PIECE: usize = 8;

/// Runs a plan, step after step, in an arena that the caller hands in each time.
///
/// No call allocates, recurses or can fail once [`Plan::new`] has taken the plan and the arena is
/// long enough. Results do not depend on how a frame is cut into pieces.
#[derive(Clone)]
pub struct Runner<'a> {
    plan: Plan<'a>,
    kernels: NetworkKernels,
    pool: Option<&'a dyn ThreadPool>,
    threads: usize,
    /// The step at work.
    step: usize,
    /// The strip that its chain works on.
    strip: usize,
    /// Its next row, of those of the strip.
    row: usize,
}

/// What is to be done next: a step, or the rows of one that a strip of its chain needs.
struct Turn<'a> {
    site: Site<'a>,
    chain: Option<Chain>,
    /// Rows of the output, or what else it is made of; 0 if nothing is to be done.
    rows: usize,
    /// About one piece of work.
    rows_of_piece: usize,
}

impl<'a> Runner<'a> {
    /// With the fastest kernels of this processor.
    pub fn new(plan: Plan<'a>) -> Runner<'a> {
        Runner::with_kernels(plan, NetworkKernels::detect())
    }

    /// With other kernels.
    pub fn with_kernels(plan: Plan<'a>, kernels: NetworkKernels) -> Runner<'a> {
        Runner { plan, kernels, pool: None, threads: 1, step: 0, strip: 0, row: 0 }
    }

    /// The plan.
    pub fn plan(&self) -> &Plan<'a> {
        &self.plan
    }

    /// The kernels.
    pub fn kernels(&self) -> &NetworkKernels {
        &self.kernels
    }

    /// Cuts layers into at most `threads` parts that `pool` runs side by side, as far as the arena
    /// has [`Plan::arena_bytes_for`] them; with `None` the caller's thread does all. The
    /// results are the same.
    pub fn set_threads(&mut self, pool: Option<&'a dyn ThreadPool>, threads: usize) {
        self.pool = pool;
        self.threads = threads;
    }

    /// The next step; the number of steps when all are done.
    pub fn next_step(&self) -> usize {
        self.step
    }

    /// Forgets a frame that was begun: the next call starts with the first step.
    pub fn restart(&mut self) {
        self.step = 0;
        self.strip = 0;
        self.row = 0;
    }

    /// Runs all steps that are left; then the outputs lie in the arena, and the next call starts
    /// anew.
    ///
    /// `arena` has [`Plan::arena_bytes`] or more, starts at a multiple of 64, and holds the input
    /// before the first step.
    ///
    /// # Errors
    /// [`Status::ArenaTooSmall`], [`Status::ArenaAlignment`].
    pub fn run(&mut self, arena: &mut [u8]) -> Result<()> {
        self.run_steps(arena, usize::MAX).map(|_| ())
    }

    /// Runs at most `steps` steps, the rest of one that was begun included; `true` when all are
    /// done. The steps of a chain ([`Step::strip_rows`](super::Step::strip_rows)) count once for
    /// each strip.
    ///
    /// # Errors
    /// As [`Runner::run`].
    pub fn run_steps(&mut self, arena: &mut [u8], steps: usize) -> Result<bool> {
        let arena = self.checked(arena)?;
        for _ in 0..steps {
            let turn = self.turn(arena)?;
            if self.make(&turn, arena, turn.rows)? {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Runs at most `pieces` pieces of about equal work; `true` when all steps are done. A piece
    /// is some rows of a step's output, or a whole step that cannot be cut.
    ///
    /// # Errors
    /// As [`Runner::run`].
    pub fn run_pieces(&mut self, arena: &mut [u8], pieces: usize) -> Result<bool> {
        let arena = self.checked(arena)?;
        for _ in 0..pieces {
            let turn = self.turn(arena)?;
            let end = self.row.saturating_add(turn.rows_of_piece).min(turn.rows);
            if self.make(&turn, arena, end)? {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Goes on to the next step, in a chain perhaps of the next strip; `true` if there is none.
    fn finish_turn(&mut self, chain: Option<&Chain>) -> bool {
        self.row = 0;
        match chain {
            Some(chain) if !chain.ends_with(self.step) => self.step += 1,
            Some(chain) if self.strip + 1 < chain.strips() => {
                self.strip += 1;
                self.step = chain.first();
            }
            _ => {
                self.strip = 0;
                self.step += 1;
            }
        }
        let is_last = self.step >= self.plan.step_count();
        if is_last {
            self.restart();
        }
        is_last
    }

    /// The arena, once its place and length are checked.
    fn checked<'m>(&self, arena: &'m mut [u8]) -> Result<&'m mut [u8]> {
        let misalignment = arena.as_ptr().addr() % crate::arena::ALIGN_BYTES;
        if misalignment != 0 {
            let error = Status::ArenaAlignment.about("arena of the plan");
            return Err(error.numbers(misalignment as u64, 0));
        }
        let (found, want) = (arena.len(), self.plan.arena_bytes());
        if found < want {
            let error = Status::ArenaTooSmall.about("arena of the plan");
            return Err(error.numbers(found as u64, want as u64));
        }
        Ok(arena)
    }

    /// What is to be done next, its buffer made ready.
    fn turn(&self, arena: &mut [u8]) -> Result<Turn<'a>> {
        let step = self.plan.step(self.step)?;
        let site = Site::of(&self.plan, &step)?;
        let rows = ops::rows(&site);
        let rows_of_piece = rows_of_piece(step.macs, &site, rows);
        let chain = Chain::of(&self.plan, self.step);
        let mut turn = Turn { site, chain, rows, rows_of_piece };
        if turn.chain.is_some() {
            self.take_strip(&mut turn, arena).ok_or_else(|| self.failed())?;
        }
        Ok(turn)
    }

    /// Leaves of a turn what the strip of its chain needs, once its buffer is ready for that.
    fn take_strip(&self, turn: &mut Turn<'_>, arena: &mut [u8]) -> Option<()> {
        let chain = turn.chain.as_ref()?;
        if self.row == 0 {
            chain.roll(&turn.site, self.step, self.strip, arena)?;
        }
        turn.rows = chain.rows(self.step, self.strip).made.len();
        if turn.rows > 0 {
            chain.cut(&mut turn.site, self.step, self.strip)?;
        }
        Some(())
    }

    fn failed(&self) -> Error {
        Status::ModelRun.about("a step of the plan").at(Place::step(self.step))
    }

    /// Makes the rows up to `end`; `true` if they were the last of all.
    fn make(&mut self, turn: &Turn<'_>, arena: &mut [u8], end: usize) -> Result<bool> {
        let rows = self.row..end;
        if !rows.is_empty() {
            self.make_rows(turn, arena, rows).ok_or_else(|| self.failed())?;
        }
        self.row = end;
        Ok(end == turn.rows && self.finish_turn(turn.chain.as_ref()))
    }

    /// Makes rows of a step; `None` for one that was not checked.
    fn make_rows(&self, turn: &Turn<'_>, arena: &mut [u8], rows: Range<usize>) -> Option<()> {
        let site = &turn.site;
        let (arena, spare) = arena.split_at_mut_checked(self.plan.arena_bytes())?;
        if let Some(pool) = self.pool {
            let bands = if turn.chain.is_some() { BANDS_OF_PIECE } else { 1 };
            let (least, threads) = (turn.rows_of_piece.div_ceil(bands), self.threads);
            let count = parts::count(site, rows.len(), least, threads, spare.len());
            if count > 1 {
                return parts::run(site, (arena, spare), (&self.kernels, pool), rows, count);
            }
        }
        ops::run(site, Work::new(site, arena, &self.kernels, rows)?)
    }
}

/// Rows of a step that are about one piece of work, by what the plan says of its products and by
/// the values that it reads or writes.
fn rows_of_piece(macs: u64, site: &Site<'_>, rows: usize) -> usize {
    let inputs = site.inputs.iter().flatten().map(|input| input.tensor.values());
    let values = inputs.fold(site.output().values(), u64::max);
    let work = macs.max(values);
    let of_row = work.checked_div(rows as u64).unwrap_or(work).max(1);
    let count = PIECE_WORK.checked_div(of_row).unwrap_or(1).max(1);
    usize::try_from(count).unwrap_or(usize::MAX)
}
