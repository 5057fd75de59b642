//! The control task's trace: when each run began and ended, against when it was due.

use crate::mps2::TICKS_PER_US;

/// Ticks between two runs: 1 kHz.
pub const PERIOD_TICKS: u32 = 1_000 * TICKS_PER_US;
/// A run has to be over so many ticks after it was due: 100 us.
pub const DEADLINE_TICKS: u32 = 100 * TICKS_PER_US;

/// Runs that the trace has room for.
const CAPACITY: usize = 4096;

/// One run, in ticks after it was due. What does not fit is the largest number.
#[derive(Clone, Copy)]
pub struct Run {
    pub began: u16,
    pub ended: u16,
}

pub struct Trace {
    start: u32,
    runs: [Run; CAPACITY],
    len: usize,
}

impl Trace {
    /// Without runs; the first is due a period after `start`.
    pub const fn new(start: u32) -> Trace {
        Trace { start, runs: [Run { began: 0, ended: 0 }; CAPACITY], len: 0 }
    }

    /// Notes a run by the clock at its beginning and end.
    pub fn note(&mut self, began: u32, ended: u32) {
        let due = self.start.wrapping_add((self.len as u32 + 1).wrapping_mul(PERIOD_TICKS));
        let late = |at: u32| u16::try_from(at.wrapping_sub(due)).unwrap_or(u16::MAX);
        if let Some(run) = self.runs.get_mut(self.len) {
            *run = Run { began: late(began), ended: late(ended) };
            self.len += 1;
        }
    }

    pub fn runs(&self) -> &[Run] {
        &self.runs[..self.len]
    }
}

/// A stand-in for a control loop: holds a speed that the road ahead allows.
pub struct Controller {
    speed: i32,
    error_sum: i32,
}

impl Controller {
    pub const fn new() -> Controller {
        Controller { speed: 0, error_sum: 0 }
    }

    /// One step of a proportional-integral controller.
    pub fn step(&mut self, road_percent: u32) {
        let error = road_percent as i32 * 10 - self.speed;
        self.error_sum = (self.error_sum + error).clamp(-100_000, 100_000);
        let throttle = error / 4 + self.error_sum / 64;
        self.speed += (throttle - self.speed / 8) / 16;
    }
}
