//! Any bytes as a plan: what the reader takes runs, once as a whole and once in pieces, without a
//! panic. The results may differ: of weights the reader looks at no byte, and where their padding
//! is not zero, it meets whatever lies in working memory.

#![no_main]

use libfuzzer_sys::fuzz_target;
use zsseg::arena::ALIGN_BYTES;
use zsseg::math::network::kernels::PORTABLE;
use zsseg::plan::{Plan, Runner};

/// Larger plans are only read.
const MAX_ARENA_BYTES: usize = 1 << 20;
/// Plans of more products are only read: they take their time, and show nothing that others do not.
const MAX_WORK: u64 = 1 << 26;

/// Bytes at a multiple of [`ALIGN_BYTES`].
struct Aligned {
    bytes: Vec<u8>,
    start: usize,
    len: usize,
}

impl Aligned {
    fn filled(len: usize, fill: impl Fn(usize) -> u8) -> Aligned {
        let mut bytes = vec![0; len + ALIGN_BYTES];
        let start = bytes.as_ptr().align_offset(ALIGN_BYTES);
        bytes.iter_mut().skip(start).enumerate().for_each(|(at, byte)| *byte = fill(at));
        Aligned { bytes, start, len }
    }

    fn get(&mut self) -> &mut [u8] {
        &mut self.bytes[self.start..self.start + self.len]
    }
}

/// An upper bound of what a plan computes, by the values that its steps read and write.
fn work(plan: &Plan<'_>) -> u64 {
    let values = |index| plan.tensor(index).map_or(1, |tensor| tensor.values());
    let steps = (0..plan.step_count()).filter_map(|index| plan.step(index).ok());
    let of_step = steps.map(|step| {
        let constants = step.constants.iter().map(|constant| constant.len_bytes);
        let largest = values(step.inputs[0]).max(constants.max().unwrap_or(0)).max(1);
        values(step.output).saturating_mul(largest)
    });
    of_step.fold(0, u64::saturating_add)
}

fuzz_target!(|data: &[u8]| {
    let mut section = Aligned::filled(data.len(), |at| data.get(at).copied().unwrap_or(0));
    let Ok(plan) = Plan::new(section.get()) else { return };
    if plan.arena_bytes() > MAX_ARENA_BYTES || work(&plan) > MAX_WORK {
        return;
    }
    let noise = |at: usize| (at.wrapping_mul(37) % 251) as u8;
    let mut whole = Aligned::filled(plan.arena_bytes(), noise);
    Runner::with_kernels(plan, PORTABLE).run(whole.get()).expect("a checked plan runs");
    let mut pieces = Aligned::filled(plan.arena_bytes(), noise);
    let mut runner = Runner::with_kernels(plan, PORTABLE);
    while !runner.run_pieces(pieces.get(), 1).expect("a checked plan runs in pieces") {}
});
