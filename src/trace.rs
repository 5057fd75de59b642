//! Stage times by the caller's clock.
//!
//! The core has no clock of its own. With [`Clock::NONE`] every time is 0 and nothing is called.

/// A monotonic clock that the caller provides.
#[derive(Clone, Copy, Debug)]
pub struct Clock(Reader);

#[derive(Clone, Copy, Debug)]
enum Reader {
    None,
    Rust(fn() -> u64),
    C(extern "C" fn() -> u64),
}

impl Clock {
    /// No clock.
    pub const NONE: Clock = Clock(Reader::None);

    /// A clock that returns nanoseconds since any fixed moment.
    pub const fn new(now_ns: fn() -> u64) -> Clock {
        Clock(Reader::Rust(now_ns))
    }

    /// As [`Clock::new`], of a C program.
    pub const fn of_c(now_ns: extern "C" fn() -> u64) -> Clock {
        Clock(Reader::C(now_ns))
    }

    /// Whether there is a clock.
    pub fn runs(&self) -> bool {
        !matches!(self.0, Reader::None)
    }

    /// Nanoseconds since the clock's moment; 0 without a clock.
    pub fn now_ns(&self) -> u64 {
        match self.0 {
            Reader::None => 0,
            Reader::Rust(now_ns) => now_ns(),
            Reader::C(now_ns) => now_ns(),
        }
    }
}

/// Where the time of one frame went, in nanoseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct StageTimes {
    /// Frame to network input: fetch, resize, normalise, quantise.
    pub fetch_ns: u64,
    /// The network.
    pub backbone_ns: u64,
    /// Features to logits on the grid; with threads these are part of `upsample_ns`, since the
    /// clock is asked on one thread alone.
    pub head_ns: u64,
    /// Spectral segments and their fusion with the logits.
    pub fusion_ns: u64,
    /// Logits on the grid to labels on the frame.
    pub upsample_ns: u64,
}
