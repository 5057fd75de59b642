//! What stands between a C caller and the library: the handle, the panic guard, texts.

use crate::arena::ALIGN_BYTES;
use crate::segmenter::Segmenter;
use crate::status::{Error, Result, Status};
use core::ffi::c_char;

/// Bytes at the start of the arena that the handle takes.
pub(super) const HANDLE_BYTES: usize = size_of::<Handle>().next_multiple_of(ALIGN_BYTES);

const LIVE: u64 = 0x7a73_7365_675f_6c69;
const CLOSED: u64 = 0x7a73_7365_675f_636c;
const POISONED: u64 = 0x7a73_7365_675f_706f;

/// Size of an arena with `segmenter_bytes` for the segmenter: a multiple of the alignment, as C11
/// asks of `aligned_alloc`.
pub(super) fn arena_bytes(segmenter_bytes: usize) -> Option<usize> {
    segmenter_bytes.checked_add(HANDLE_BYTES)?.checked_next_multiple_of(ALIGN_BYTES)
}

/// What a `zsseg_t *` points to.
pub(super) struct Handle {
    state: u64,
    pub(super) segmenter: Segmenter<'static>,
    pub(super) last_error: Text,
    /// Bytes that outputs must not touch.
    pub(super) arena: Span,
    pub(super) bundle: Span,
}

impl Handle {
    pub(super) fn new(segmenter: Segmenter<'static>, arena: Span, bundle: Span) -> Handle {
        Handle { state: LIVE, segmenter, last_error: Text::EMPTY, arena, bundle }
    }

    /// Runs `call` on a live handle and notes its error. A panic poisons the handle.
    pub(super) fn enter(&mut self, call: impl FnOnce(&mut Handle) -> Result<()>) -> i32 {
        if self.state != LIVE {
            return Status::InvalidState.code();
        }
        let result = catch(|| call(self));
        self.last_error = Text::EMPTY;
        let Err(error) = result else { return Status::Ok.code() };
        if error.status() == Status::Panic {
            self.state = POISONED;
        }
        self.last_error = Text::of(&error);
        error.status().code()
    }

    /// Whether the handle has not been closed; a poisoned one still answers questions.
    pub(super) fn is_open(&self) -> bool {
        self.state == LIVE || self.state == POISONED
    }

    /// Marks the handle closed; false if it was not open.
    pub(super) fn close(&mut self) -> bool {
        let open = self.is_open();
        self.state = CLOSED;
        open
    }
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
