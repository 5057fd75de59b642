//! Threads that the caller brings.
//!
//! The core starts no thread. Work that can be cut is cut into [`Part`]s, and a [`ThreadPool`] runs
//! them.

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
