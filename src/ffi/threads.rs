//! The program's threads: `zsseg_set_thread_pool()`.

use super::convert::{read, unused};
use super::guard::{Handle, catch, with_handle};
use super::types::*;
use super::types_work::*;
use crate::limits::MAX_PARTS;
use crate::status::Status;
use crate::threads::{Part, ThreadPool};
use core::ffi::c_void;
use core::ptr::null_mut;
use core::sync::atomic::{AtomicBool, AtomicPtr, AtomicU32, Ordering};

/// What the program gave, in memory that is shared with the segmenter. It changes only while no
/// call works on the handle.
pub(super) struct ProgramThreads {
    run: AtomicPtr<c_void>,
    context: AtomicPtr<c_void>,
}

impl ProgramThreads {
    pub(super) const fn none() -> ProgramThreads {
        ProgramThreads { run: AtomicPtr::new(null_mut()), context: AtomicPtr::new(null_mut()) }
    }

    fn set(&self, run: *mut c_void, context: *mut c_void) {
        self.run.store(run, Ordering::Relaxed);
        self.context.store(context, Ordering::Relaxed);
    }
}

/// Parts that are being run: what the program's threads get a pointer to.
struct Running<'r, 'p> {
    parts: *mut &'r mut (dyn Part + 'p),
    count: u32,
    taken: [AtomicBool; MAX_PARTS],
    finished: AtomicU32,
}

impl Running<'_, '_> {
    /// Runs a part unless it is another's, or there is none of this number.
    fn run(&self, index: u32) {
        let place = index as usize;
        let Some(taken) = self.taken.get(place).filter(|_| index < self.count) else { return };
        if take(taken) {
            return;
        }
        // SAFETY: below `count`, and nobody else has taken it.
        let part = unsafe { &mut *self.parts.add(place) };
        // A part that panicked is not made, which the caller sees.
        let _ = catch(|| {
            part.run();
            Ok(())
        });
        self.finished.fetch_add(1, Ordering::Release);
    }
}

/// Sets a flag; whether it was set before.
#[cfg(target_has_atomic = "8")]
fn take(flag: &AtomicBool) -> bool {
    flag.swap(true, Ordering::AcqRel)
}

/// Sets a flag; whether it was set before. Such processors have one core.
#[cfg(not(target_has_atomic = "8"))]
fn take(flag: &AtomicBool) -> bool {
    let was_set = flag.load(Ordering::Acquire);
    flag.store(true, Ordering::Release);
    was_set
}

/// What the program's threads call.
extern "C" fn run_part(parts: *mut c_void, index: u32) {
    // SAFETY: what `ProgramThreads::run` handed out, and it has not returned.
    unsafe { &*parts.cast::<Running<'_, '_>>() }.run(index);
}

impl ThreadPool for ProgramThreads {
    fn run(&self, parts: &mut [&mut dyn Part]) {
        let run = self.run.load(Ordering::Relaxed);
        let mut running = Running {
            parts: parts.as_mut_ptr(),
            count: parts.len() as u32,
            taken: [const { AtomicBool::new(false) }; MAX_PARTS],
            finished: AtomicU32::new(0),
        };
        // SAFETY: stored from an optional function of this type, of which NULL is none.
        let run = unsafe { core::mem::transmute::<*mut c_void, zsseg_run_parts_t>(run) };
        if let Some(run) = run {
            let context = self.context.load(Ordering::Relaxed);
            // SAFETY: the program's own function and context.
            unsafe { run(context, run_part, (&raw mut running).cast(), running.count) };
        }
        for index in 0..running.count {
            running.run(index);
        }
        // A program that returned too early is waited for.
        while running.finished.load(Ordering::Acquire) < running.count {
            core::hint::spin_loop();
        }
    }
}

/// Has pictures, layers of a compiled network and masks worked on by threads of the program: each
/// is cut into at most as many parts as zsseg_limits_t.threads says, and `pool->run` is called
/// with them on the thread that works on the handle, many times per frame. NULL gives all work to
/// that thread again. The masks are the same. zsseg_step() makes pictures and masks on the calling
/// thread alone but for UINT32_MAX pieces, and builds without std always do; an ONNX network has
/// threads of its own; microcontrollers work on one.
///
/// # Safety
/// `handle` came from zsseg_init() and no other thread uses it; `pool` is NULL, or its
/// function keeps what zsseg_run_parts_t says for as long as it is set.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn zsseg_set_thread_pool(
    handle: *mut zsseg_t,
    pool: *const zsseg_thread_pool_t,
) -> zsseg_status_t {
    let call = |handle: &mut Handle| {
        if pool.is_null() {
            handle.segmenter.set_thread_pool(None);
            return Ok(());
        }
        // SAFETY: as promised by the caller.
        let pool = unsafe { read(pool, "pool")? };
        unused(pool.reserved, "reserved of a pool")?;
        let run = pool.run.ok_or(Status::NullPointer.about("run of the pool"))?;
        let threads = handle.threads();
        threads.set(run as *mut c_void, pool.context);
        handle.segmenter.set_thread_pool(Some(threads));
        Ok(())
    };
    // SAFETY: as promised by the caller.
    unsafe { with_handle(handle, call) }
}
