//! Threads that the caller brings.
//!
//! The core starts no thread. Work that can be cut is cut into [`Part`]s, and a [`ThreadPool`] runs
//! them.

#[cfg(feature = "threads")]
use crate::limits::Limits;
#[cfg(feature = "threads")]
use crate::status::{Result, Status};

/// One thread's share of a layer.
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
