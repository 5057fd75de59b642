//! Threads that the caller brings.
//!
//! The core starts no thread. Work that can be cut is cut into [`Part`]s, and a [`ThreadPool`] runs
//! them.

use crate::arena::{ALIGN_BYTES, Arena};
#[cfg(feature = "threads")]
use crate::limits::Limits;
use crate::limits::{MAX_PARTS, product};
use crate::status::Result;
#[cfg(feature = "threads")]
use crate::status::Status;

/// Whether this processor may have several cores.
pub(crate) const HAS_THREADS: bool = !cfg!(all(target_arch = "arm", target_os = "none"));

/// One thread's share of a picture, a layer or a mask.
pub trait Part: Send {
    /// Does it.
    fn run(&mut self);
}

/// Threads that run parts side by side.
pub trait ThreadPool: Sync {
    /// Runs every part once, on any threads, the calling one perhaps among them, and returns when
    /// all have run. At most [`crate::limits::MAX_PARTS`] parts, several times per frame.
    ///
    /// A part that was left out is run on the calling thread afterwards.
    fn run(&self, parts: &mut [&mut dyn Part]);
}

/// Whether pictures and masks are cut, as layers are: not in builds that are to be small.
const CUTS_FRAMES: bool = HAS_THREADS && cfg!(feature = "std");

/// What a part has to do.
pub(crate) trait Task: Send {
    /// Does it; `None` if it could not be done.
    fn run(self) -> Option<()>;
}

/// A part that does its task once, however often it is run.
pub(crate) struct Share<T> {
    task: Option<T>,
    is_done: bool,
}

/// Parts that are run together; those without a task have nothing to do.
pub(crate) type Shares<T> = [Share<T>; MAX_PARTS];

impl<T: Task> Share<T> {
    /// No part.
    pub(crate) const NONE: Share<T> = Share { task: None, is_done: false };

    pub(crate) fn of(task: T) -> Share<T> {
        Share { task: Some(task), is_done: false }
    }
}

impl<T: Task> Part for Share<T> {
    fn run(&mut self) {
        let Some(task) = self.task.take() else { return };
        self.is_done = task.run().is_some();
    }
}

/// Has the first `count` parts run by `pool`, and those that it leaves out by this thread. `None`
/// if one could not be done.
pub(crate) fn run_shares<T: Task>(
    pool: &dyn ThreadPool,
    shares: &mut Shares<T>,
    count: usize,
) -> Option<()> {
    let mut parts = shares.each_mut().map(|share| share as &mut dyn Part);
    pool.run(parts.get_mut(..count)?);
    let mut shares = shares.iter_mut().take(count);
    shares
        .all(|share| {
            share.run();
            share.is_done
        })
        .then_some(())
}

/// The caller's threads for pictures and masks, and memory for all of them but the calling one.
pub(crate) struct Crew<'a> {
    pool: Option<&'a dyn ThreadPool>,
    threads: usize,
    /// `part_bytes` for each thread but one.
    memory: &'a mut [u8],
    part_bytes: usize,
}

impl<'a> Crew<'a> {
    /// Takes as many bytes as `carve` takes from an arena, for each of `threads` threads but the
    /// calling one. They work once there is a pool.
    pub(crate) fn carve(
        arena: &mut Arena<'a>,
        threads: u32,
        carve: impl FnOnce(&mut Arena<'static>) -> Result<()>,
    ) -> Result<Crew<'a>> {
        let threads = if CUTS_FRAMES { (threads as usize).clamp(1, MAX_PARTS) } else { 1 };
        let mut counting = Arena::counting();
        if threads > 1 {
            carve(&mut counting)?;
        }
        let part_bytes = counting.used_bytes().next_multiple_of(ALIGN_BYTES);
        let memory = arena.take(product("memory of threads", &[part_bytes, threads - 1])?)?;
        Ok(Crew { pool: None, threads, memory, part_bytes })
    }

    pub(crate) fn set_pool(&mut self, pool: Option<&'a dyn ThreadPool>) {
        self.pool = pool;
    }

    /// How many parts `work` is cut into: at most one for each thread, and none with less than
    /// `least`.
    pub(crate) fn count(&self, work: usize, least: usize) -> usize {
        if !CUTS_FRAMES || self.pool.is_none() {
            return 1;
        }
        self.threads.min(work.checked_div(least).unwrap_or(1)).max(1)
    }

    /// The threads, and memory for each part but one.
    pub(crate) fn split(&mut self) -> Option<(&'a dyn ThreadPool, &mut [u8], usize)> {
        Some((self.pool?, self.memory, self.part_bytes))
    }
}

/// Threads of the standard library, kept from frame to frame.
#[cfg(feature = "threads")]
pub struct Workers(Option<rayon_core::ThreadPool>);

#[cfg(feature = "threads")]
impl Workers {
    /// `threads` threads that work side by side, the calling one among them: 1 to
    /// [`crate::limits::MAX_THREADS`].
    ///
    /// # Errors
    /// [`Status::InvalidArgument`], [`Status::LimitExceeded`] for another number;
    /// [`Status::LimitExceeded`] also if the system does not start them.
    pub fn new(threads: u32) -> Result<Workers> {
        Limits { threads, ..Limits::for_frames(1, 1) }.check()?;
        if threads == 1 {
            return Ok(Workers(None));
        }
        let builder = rayon_core::ThreadPoolBuilder::new().num_threads(threads as usize - 1);
        let pool = builder.thread_name(|index| std::format!("zsseg-{index}")).build();
        pool.map(|pool| Workers(Some(pool))).map_err(|error| {
            Status::LimitExceeded.about("threads").text(std::string::ToString::to_string(&error))
        })
    }
}

#[cfg(feature = "threads")]
impl ThreadPool for Workers {
    fn run(&self, parts: &mut [&mut dyn Part]) {
        let (Some(pool), [first, others @ ..]) = (&self.0, parts) else { return };
        pool.in_place_scope(|scope| {
            for part in others {
                scope.spawn(|_| part.run());
            }
            first.run();
        });
    }
}
