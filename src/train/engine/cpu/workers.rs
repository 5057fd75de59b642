//! Work on several threads whose results keep their order.

use std::num::NonZeroUsize;
use std::panic::resume_unwind;
use std::thread;
use std::vec::Vec;

/// `work` of each item, in the items' order.
pub(super) fn in_order<T: Sync, R: Send>(
    threads: NonZeroUsize,
    items: &[T],
    work: impl Fn(&T) -> R + Sync,
) -> Vec<R> {
    let share = items.len().div_ceil(threads.get()).max(1);
    let run = |part: &[T]| -> Vec<R> { part.iter().map(&work).collect() };
    let run_ref = &run;
    let mut parts = items.chunks(share);
    thread::scope(|scope| {
        let first = parts.next();
        let others: Vec<_> = parts.map(|part| scope.spawn(move || run_ref(part))).collect();
        let mut results = first.map(run).unwrap_or_default();
        for other in others {
            results.extend(other.join().unwrap_or_else(|panic| resume_unwind(panic)));
        }
        results
    })
}
