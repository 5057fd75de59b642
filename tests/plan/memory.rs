//! What a run needs: nothing but its arena.

use crate::random::random;
use crate::support::{Noise, arena};
use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use zsseg::plan::{Plan, Runner};

/// The system's allocator, which counts what each thread asks it for.
struct Counting;

thread_local! {
    static REQUESTS: Cell<usize> = const { Cell::new(0) };
}

// SAFETY: everything is handed on to the system's allocator as it came.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        REQUESTS.with(|requests| requests.set(requests.get() + 1));
        // SAFETY: the caller keeps the contract of `alloc`.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: the caller keeps the contract of `dealloc`.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

#[test]
fn opening_and_running_take_nothing_from_the_heap() {
    let builder = random(5, 6);
    let bytes = builder.encode();
    let input = Noise(3).values(&builder.tensors[0]);
    let mut arena = arena(&Plan::new(&bytes).unwrap(), &input);
    let mut work = || {
        let plan = Plan::new(&bytes).unwrap();
        let mut runner = Runner::new(plan);
        runner.run(arena.as_mut()).unwrap();
        while !runner.run_pieces(arena.as_mut(), 2).unwrap() {}
        runner.run(arena.as_mut()).unwrap();
    };
    work();
    let before = REQUESTS.with(Cell::get);
    for _ in 0..1_000 {
        work();
    }
    assert_eq!(REQUESTS.with(Cell::get), before);
    drop(vec![1]);
    assert!(REQUESTS.with(Cell::get) > before, "the allocator counts");
}
