//! What stands between a C caller and the library: the handle, the panic guard, texts.

use super::frames::Frame;
use super::threads::ProgramThreads;
use super::types::zsseg_t;
use crate::arena::ALIGN_BYTES;
use crate::segmenter::Segmenter;
use crate::status::{Error, Result, Status};
use core::ffi::c_char;
use core::mem::MaybeUninit;
use core::sync::atomic::{AtomicBool, AtomicU32, Ordering};

/// Where the [`Control`] lies in the arena: behind the handle, in a cache line of its own.
const CONTROL_OFFSET: usize = size_of::<Handle>().next_multiple_of(ALIGN_BYTES);
/// Bytes at the start of the arena that handle and control take.
pub(super) const HANDLE_BYTES: usize =
    CONTROL_OFFSET + size_of::<Control>().next_multiple_of(ALIGN_BYTES);

const LIVE: u32 = 0x7a73_6c69;
/// A call works on the handle.
const BUSY: u32 = 0x7a73_6275;
const CLOSED: u32 = 0x7a73_636c;
const POISONED: u32 = 0x7a73_706f;

/// Size of an arena with `segmenter_bytes` for the segmenter: a multiple of the alignment, as C11
/// asks of `aligned_alloc`.
pub(super) fn arena_bytes(segmenter_bytes: usize) -> Option<usize> {
    segmenter_bytes.checked_add(HANDLE_BYTES)?.checked_next_multiple_of(ALIGN_BYTES)
}

/// What another thread or an interrupt may touch while a call works on the handle. It is shared,
/// so it lies outside the handle, of which a call holds the only reference.
pub(super) struct Control {
    state: AtomicU32,
    cancel: AtomicBool,
    threads: ProgramThreads,
}

/// The control of the handle at the start of an arena.
fn control_of(handle: *mut zsseg_t) -> *mut Control {
    handle.cast::<u8>().wrapping_add(CONTROL_OFFSET).cast()
}

/// What a `zsseg_t *` points to, while its control says that it is open.
pub(super) struct Handle {
    pub(super) segmenter: Segmenter<'static>,
    pub(super) last_error: Text,
    /// Bytes that outputs must not touch.
    pub(super) arena: Span,
    pub(super) bundle: Span,
    /// The frame that zsseg_begin() began.
    pub(super) frame: Option<Frame>,
    control: &'static Control,
}

impl Handle {
    /// From here on nothing of the frame at work, if there is one, is read or written.
    pub(super) fn give_up_frame(&mut self) {
        self.segmenter.cancel_frame();
        self.frame = None;
    }

    /// Writes a live handle and its control to the start of an arena, with the segmenter that
    /// `make` writes to its place there. After an error there is no handle.
    ///
    /// # Safety
    /// `arena` starts at a multiple of [`ALIGN_BYTES`]; its first [`HANDLE_BYTES`] are writable
    /// and used by nothing else for as long as the handle is open. `make` leaves a segmenter in its
    /// argument when it succeeds.
    pub(super) unsafe fn place(
        arena: *mut u8,
        (arena_span, bundle): (Span, Span),
        make: impl FnOnce(&mut MaybeUninit<Segmenter<'static>>) -> Result<()>,
    ) -> Result<*mut zsseg_t> {
        let handle = arena.cast::<zsseg_t>();
        let (place, control) = (handle.cast::<Handle>(), control_of(handle));
        // SAFETY: aligned, inside the arena, and nothing else's. Field after field: a copy of the
        // whole would be a large part of a small processor's stack.
        unsafe {
            let segmenter = &raw mut (*place).segmenter;
            make(&mut *segmenter.cast())?;
            control.write(Control {
                state: AtomicU32::new(LIVE),
                cancel: AtomicBool::new(false),
                threads: ProgramThreads::none(),
            });
            // From here on only shared.
            let control: &'static Control = &*control;
            (*segmenter).set_cancel_flag(Some(&control.cancel));
            (&raw mut (*place).last_error).write(Text::EMPTY);
            (&raw mut (*place).arena).write(arena_span);
            (&raw mut (*place).bundle).write(bundle);
            (&raw mut (*place).frame).write(None);
            (&raw mut (*place).control).write(control);
        }
        Ok(handle)
    }

    /// Where the program's threads are noted.
    pub(super) fn threads(&self) -> &'static ProgramThreads {
        &self.control.threads
    }

    /// Runs `call` and notes its error. A panic poisons the handle.
    fn enter(&mut self, call: impl FnOnce(&mut Handle) -> Result<()>) -> i32 {
        let result = catch(|| call(self));
        let error = result.err();
        let panicked = error.as_ref().is_some_and(|error| error.status() == Status::Panic);
        self.last_error = error.as_ref().map_or(Text::EMPTY, Text::of);
        self.control.state.store(if panicked { POISONED } else { LIVE }, Ordering::Release);
        error.map_or(Status::Ok.code(), |error| error.status().code())
    }
}

/// Runs `call` on a live handle and notes its error. Whoever comes while another call works on it,
/// from an interrupt or a callback say, is sent away.
///
/// # Safety
/// `handle` is NULL or leads to an arena as [`Handle::place`] left it, closed or not, or to as
/// many other bytes; nothing but [`cancel`] uses it at the same time.
pub(super) unsafe fn with_handle(
    handle: *mut zsseg_t,
    call: impl FnOnce(&mut Handle) -> Result<()>,
) -> i32 {
    if handle.is_null() {
        return Status::NullPointer.code();
    }
    // SAFETY: as promised by the caller.
    if !unsafe { make_busy(handle) } {
        return Status::InvalidState.code();
    }
    // SAFETY: it was live, so there is a handle; nobody else has a reference to it.
    unsafe { &mut *handle.cast::<Handle>() }.enter(call)
}

/// The handle if it has not been closed; a poisoned one still answers questions.
///
/// # Safety
/// As for [`with_handle`].
pub(super) unsafe fn open_handle<'h>(handle: *const zsseg_t) -> Result<&'h Handle> {
    if handle.is_null() {
        return Err(Status::NullPointer.about("handle"));
    }
    // SAFETY: as promised by the caller.
    match unsafe { state_of(handle.cast_mut()) } {
        // SAFETY: open, so there is a handle.
        LIVE | POISONED => Ok(unsafe { &*handle.cast::<Handle>() }),
        _ => Err(Status::InvalidState.about("handle")),
    }
}

/// Asks the call that works on the handle to stop.
///
/// # Safety
/// As for [`with_handle`], but other calls may use the handle at the same time, except for
/// [`close`].
pub(super) unsafe fn cancel(handle: *mut zsseg_t) -> i32 {
    if handle.is_null() {
        return Status::NullPointer.code();
    }
    // SAFETY: as promised by the caller.
    if !matches!(unsafe { state_of(handle) }, LIVE | BUSY) {
        return Status::InvalidState.code();
    }
    // SAFETY: open, so there is a control, and it is never referred to exclusively.
    unsafe { &*control_of(handle) }.cancel.store(true, Ordering::Relaxed);
    Status::Ok.code()
}

/// Closes a handle and drops what it holds.
///
/// # Safety
/// As for [`with_handle`]; not even [`cancel`] uses the handle at the same time.
pub(super) unsafe fn close(handle: *mut zsseg_t) -> i32 {
    // SAFETY: as promised by the caller.
    if let Err(error) = unsafe { open_handle(handle) } {
        return error.status().code();
    }
    // SAFETY: open, so there is a control.
    unsafe { &*control_of(handle) }.state.store(CLOSED, Ordering::Release);
    let result = catch(|| {
        // SAFETY: it was open, so the segmenter has not been dropped yet; it never will be again.
        unsafe { core::ptr::drop_in_place(&raw mut (*handle.cast::<Handle>()).segmenter) };
        Ok(())
    });
    result.map_or_else(|error| error.status().code(), |()| Status::Ok.code())
}

/// From live to busy; false where it was not live.
///
/// # Safety
/// As for [`with_handle`]; `handle` is not NULL.
unsafe fn make_busy(handle: *mut zsseg_t) -> bool {
    // SAFETY: as promised by the caller; any four bytes are a number.
    let state = unsafe { &(*control_of(handle)).state };
    #[cfg(target_has_atomic = "32")]
    return state.compare_exchange(LIVE, BUSY, Ordering::AcqRel, Ordering::Relaxed).is_ok();
    // An interrupt between the two finds the handle live, and leaves it so.
    #[cfg(not(target_has_atomic = "32"))]
    {
        let is_live = state.load(Ordering::Acquire) == LIVE;
        if is_live {
            state.store(BUSY, Ordering::Release);
        }
        is_live
    }
}

/// # Safety
/// As for [`with_handle`]; `handle` is not NULL.
unsafe fn state_of(handle: *mut zsseg_t) -> u32 {
    // SAFETY: as promised by the caller; any four bytes are a number.
    unsafe { &(*control_of(handle)).state }.load(Ordering::Acquire)
}

/// Runs `call`; a panic becomes [`Status::Panic`] where there is an unwinder.
#[cfg(feature = "std")]
pub(super) fn catch(call: impl FnOnce() -> Result<()>) -> Result<()> {
    let caught = std::panic::catch_unwind(std::panic::AssertUnwindSafe(call));
    caught.unwrap_or_else(|_| Err(Status::Panic.about("call")))
}

/// Runs `call`. Without `std` a panic ends in `zsseg_on_panic`.
#[cfg(not(feature = "std"))]
pub(super) fn catch(call: impl FnOnce() -> Result<()>) -> Result<()> {
    call()
}

/// A range of addresses.
#[derive(Clone, Copy)]
pub(super) struct Span {
    start: usize,
    len: usize,
}

impl Span {
    pub(super) fn new<T>(start: *const T, len_bytes: usize) -> Span {
        Span { start: start.addr(), len: len_bytes }
    }

    pub(super) fn overlaps(self, other: Span) -> bool {
        let ends_before = |a: Span, b: Span| a.start.saturating_add(a.len) <= b.start;
        self.len > 0 && other.len > 0 && !ends_before(self, other) && !ends_before(other, self)
    }
}

/// A NUL-terminated text of fixed size.
#[derive(Clone, Copy)]
pub(super) struct Text([u8; 504]);

impl Text {
    pub(super) const EMPTY: Text = Text([0; 504]);

    /// The error's text, cut at a character's border if it is too long.
    pub(super) fn of(error: &Error) -> Text {
        let mut text = Text::EMPTY;
        let mut used = 0;
        error.describe(&mut |piece| used += copy_text(piece, &mut text.0, used));
        text
    }

    pub(super) fn as_chars(&self) -> [c_char; 504] {
        self.0.map(|byte| byte as c_char)
    }

    /// Bytes before the NUL.
    pub(super) fn as_str(&self) -> &str {
        let end = self.0.iter().position(|&byte| byte == 0).unwrap_or(self.0.len());
        core::str::from_utf8(self.0.get(..end).unwrap_or_default()).unwrap_or_default()
    }
}

/// Copies as much of `piece` as fits behind `used` bytes with a NUL after it; the bytes copied.
pub(super) fn copy_text(piece: &str, buffer: &mut [u8], used: usize) -> usize {
    let room = buffer.len().saturating_sub(used).saturating_sub(1);
    let fits = (0..=room.min(piece.len())).rev().find(|&end| piece.is_char_boundary(end));
    let bytes = piece.as_bytes().get(..fits.unwrap_or(0)).unwrap_or_default();
    for (place, &byte) in buffer.iter_mut().skip(used).zip(bytes) {
        *place = byte;
    }
    bytes.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_overlap_only_when_they_share_a_byte() {
        let span = |start, len| Span { start, len };
        assert!(span(10, 5).overlaps(span(14, 1)));
        assert!(!span(10, 5).overlaps(span(15, 1)));
        assert!(!span(10, 0).overlaps(span(8, 9)));
        assert!(span(8, 9).overlaps(span(10, 1)));
    }

    #[test]
    fn long_texts_are_cut_between_characters() {
        let mut buffer = [1u8; 6];
        buffer.fill(0);
        assert_eq!(copy_text("aé", &mut buffer, 0), 3);
        assert_eq!(copy_text("éé", &mut buffer, 3), 2);
        assert_eq!(&buffer, "aéé\0".as_bytes());
        let error = Status::ModelLoad.about("network").text("é".repeat(400));
        let text = Text::of(&error);
        assert!(text.as_str().len() >= 502 && text.as_str().ends_with('é'));
    }
}
