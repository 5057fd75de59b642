//! The functions of `include/zsseg.h` around the life of a segmenter.

use super::convert::{bundle_bytes, check_out, not_null, put, read, report, write};
use super::frames::{Frame, Input};
use super::guard::{self, HANDLE_BYTES, Handle, Span, catch, copy_text, open_handle, with_handle};
use super::types::*;
use crate::bundle::Bundle;
use crate::limits::{Limits, product};
use crate::map::Layout;
use crate::segmenter::Segmenter;
use crate::status::{Result, Status};
use core::ffi::{c_char, c_void};

/// Exact number of arena bytes that zsseg_init() will need for this bundle and these limits; a
/// multiple of ZSSEG_ARENA_ALIGN.
/// Known before anything is loaded; one byte less is an error there.
///
/// # Safety
/// `bundle` leads to `bundle_bytes` readable bytes; the others are NULL or valid.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn zsseg_arena_size(
    bundle: *const c_void,
    bundle_bytes: usize,
    limits: *const zsseg_limits_t,
    arena_bytes: *mut usize,
    error: *mut zsseg_error_t,
) -> zsseg_status_t {
    let result = catch(|| {
        not_null(arena_bytes, "arena_bytes")?;
        // SAFETY: as promised by the caller.
        let limits = unsafe { read(limits, "limits")? }.to_limits()?;
        // SAFETY: as promised by the caller.
        let bytes = unsafe { self::bundle_bytes(bundle, bundle_bytes)? };
        let need = arena_need(&Bundle::parse(bytes)?, &limits)?;
        // SAFETY: not NULL.
        unsafe { put(arena_bytes, need) }
    });
    // SAFETY: as promised by the caller.
    unsafe { report(result, error) }
}

fn arena_need(bundle: &Bundle<'_>, limits: &Limits) -> Result<usize> {
    let own = Segmenter::arena_bytes(bundle, limits)?;
    guard::arena_bytes(own).ok_or(Status::LimitExceeded.about("arena"))
}

/// Verifies the bundle, loads its network and sets up a segmenter inside `arena`, which starts
/// at a multiple of ZSSEG_ARENA_ALIGN. `*handle` is written on ZSSEG_OK only; after an error
/// there is nothing to close and the arena may be used again. The bundle's bytes and the arena
/// must stay in place until zsseg_close(). A bundle with a compiled network starts at a multiple of
/// 4 bytes, else this and zsseg_arena_size() are ZSSEG_E_INVALID_ARGUMENT; at a multiple of 64 it
/// runs up to a tenth faster. Of an arena larger than needed only the first zsseg_arena_size()
/// bytes are touched.
///
/// # Safety
/// `bundle` leads to `bundle_bytes` readable bytes, `arena` to `arena_bytes` writable
/// ones; the others are NULL or valid.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn zsseg_init(
    bundle: *const c_void,
    bundle_bytes: usize,
    limits: *const zsseg_limits_t,
    arena: *mut c_void,
    arena_bytes: usize,
    handle: *mut *mut zsseg_t,
    error: *mut zsseg_error_t,
) -> zsseg_status_t {
    let result = catch(|| {
        not_null(handle, "handle")?;
        not_null(arena, "arena")?;
        // SAFETY: as promised by the caller.
        let limits = unsafe { read(limits, "limits")? }.to_limits()?;
        // SAFETY: as promised by the caller.
        let bytes = unsafe { self::bundle_bytes::<'static>(bundle, bundle_bytes)? };
        let spans = (Span::new(arena, arena_bytes), Span::new(bundle, bundle_bytes));
        // SAFETY: as promised by the caller.
        let created = unsafe { create(bytes, &limits, arena.cast(), arena_bytes, spans)? };
        // SAFETY: not NULL.
        unsafe { put(handle, created) }
    });
    // SAFETY: as promised by the caller.
    unsafe { report(result, error) }
}

/// # Safety
/// `arena` leads to `arena_bytes` writable bytes for as long as the handle lives, `bytes` stays
/// unchanged for as long.
unsafe fn create(
    bytes: &'static [u8],
    limits: &Limits,
    arena: *mut u8,
    arena_bytes: usize,
    (arena_span, bundle_span): (Span, Span),
) -> Result<*mut zsseg_t> {
    let bundle = Bundle::parse(bytes)?;
    let need = arena_need(&bundle, limits)?;
    if !arena.addr().is_multiple_of(ZSSEG_ARENA_ALIGN) {
        return Err(Status::ArenaAlignment.about("arena"));
    }
    if arena_bytes < need {
        let error = Status::ArenaTooSmall.about("arena");
        return Err(error.numbers(arena_bytes as u64, need as u64));
    }
    if arena_span.overlaps(bundle_span) {
        return Err(Status::Overlap.about("arena and bundle"));
    }
    // SAFETY: `need` bytes are writable; the handle's part is kept apart from the buffers'.
    let buffers =
        unsafe { core::slice::from_raw_parts_mut(arena.add(HANDLE_BYTES), need - HANDLE_BYTES) };
    // SAFETY: aligned to 64; the handle's part is used by nothing else.
    unsafe {
        Handle::place(arena, (arena_span, bundle_span), |place| {
            Segmenter::new_in(place, &bundle, limits, buffers)?;
            Ok(())
        })
    }
}

/// Segments one frame. The planes of `output` are written on ZSSEG_OK only (but see
/// zsseg_cancel() and zsseg_set_deadline_us()), and of them only the pixels: never the bytes
/// between rows. ZSSEG_E_UNSUPPORTED when the bundle holds no network. A frame at work is given
/// up, whatever this call returns.
///
/// # Safety
/// `handle` came from zsseg_init() and no other thread uses it; `image` and
/// `output` describe memory that exists.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn zsseg_segment(
    handle: *mut zsseg_t,
    image: *const zsseg_image_t,
    output: *const zsseg_output_t,
) -> zsseg_status_t {
    let call = |handle: &mut Handle| {
        handle.give_up_frame();
        // SAFETY: as promised by the caller.
        let input = Input::Image(unsafe { read(image, "image")? });
        // SAFETY: as promised by the caller.
        unsafe { segment(handle, input, output) }
    };
    // SAFETY: as promised by the caller.
    unsafe { with_handle(handle, call) }
}

/// # Safety
/// `input` and `output` describe memory that exists.
unsafe fn segment(handle: &mut Handle, input: Input, output: *const zsseg_output_t) -> Result<()> {
    // SAFETY: as promised by the caller.
    let output = unsafe { read(output, "output")? };
    // SAFETY: as promised by the caller.
    let frame = unsafe { Frame::new(handle, input, None, output)? };
    let segmenter = &mut handle.segmenter;
    // SAFETY: as promised by the caller; checked for overlap.
    unsafe {
        frame.with(|frame, output| {
            segmenter.begin(frame, output)?;
            while !segmenter.step(frame, output, u32::MAX)? {}
            Ok(())
        })
    }
}

/// Segments a frame of `width` x `height` pixels whose features (or logits) the caller computed,
/// for example on an NPU, after the preprocessing that the bundle states. Works with every
/// bundle, also with one that holds a network. Outputs as for zsseg_segment().
///
/// # Safety
/// `handle` came from zsseg_init() and no other thread uses it; `features` and
/// `output` describe memory that exists.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn zsseg_segment_features(
    handle: *mut zsseg_t,
    features: *const zsseg_features_t,
    width: u32,
    height: u32,
    output: *const zsseg_output_t,
) -> zsseg_status_t {
    let call = |handle: &mut Handle| {
        handle.give_up_frame();
        // SAFETY: as promised by the caller.
        let features = unsafe { read(features, "features")? };
        let input = Input::Features { features, width, height };
        // SAFETY: as promised by the caller.
        unsafe { segment(handle, input, output) }
    };
    // SAFETY: as promised by the caller.
    unsafe { with_handle(handle, call) }
}

/// The network's output for the latest frame of zsseg_segment(). `features->data` stays valid
/// until the next call with this handle that segments or closes.
///
/// # Safety
/// `handle` came from zsseg_init() and no other thread uses it; `features` is NULL
/// or valid.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn zsseg_features(
    handle: *mut zsseg_t,
    features: *mut zsseg_features_t,
) -> zsseg_status_t {
    let call = |handle: &mut Handle| {
        check_out(features, "features")?;
        let map = handle.segmenter.features()?;
        let value = zsseg_features_t {
            struct_size: 0,
            layout: layout_code(map.layout()),
            data: map.data().as_ptr(),
            len: product("features", &[map.height(), map.width(), map.channels()])?,
            grid_height: map.height() as u32,
            grid_width: map.width() as u32,
            channels: map.channels() as u32,
            reserved: 0,
        };
        // SAFETY: checked above.
        unsafe { write(features, &value) }
    };
    // SAFETY: as promised by the caller.
    unsafe { with_handle(handle, call) }
}

/// ZSSEG_LAYOUT_* of a layout.
pub(super) fn layout_code(layout: Layout) -> u32 {
    match layout {
        Layout::Chw => ZSSEG_LAYOUT_CHW,
        Layout::Hwc => ZSSEG_LAYOUT_HWC,
    }
}

/// Copies the text of the latest error of this handle, shortened to fit and always
/// NUL-terminated; empty when the latest call that works on it succeeded. 504 bytes hold
/// every text.
///
/// # Safety
/// `handle` came from zsseg_init() and no other thread uses it; `text` leads to
/// `text_bytes` writable bytes, at least 1.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn zsseg_last_error(
    handle: *const zsseg_t,
    text: *mut c_char,
    text_bytes: usize,
) -> zsseg_status_t {
    if handle.is_null() || text.is_null() {
        return ZSSEG_E_NULL_POINTER;
    }
    if text_bytes == 0 || text_bytes > isize::MAX as usize {
        return ZSSEG_E_INVALID_ARGUMENT;
    }
    // SAFETY: as promised by the caller.
    let Ok(handle) = (unsafe { open_handle(handle) }) else { return ZSSEG_E_INVALID_STATE };
    let message = handle.last_error.as_str();
    // SAFETY: as promised by the caller. Only the bytes written need to be initialised.
    unsafe {
        core::ptr::write_bytes(text, 0, text_bytes.min(message.len() + 1));
        let len = text_bytes.min(message.len() + 1);
        let buffer = core::slice::from_raw_parts_mut(text.cast::<u8>(), len);
        copy_text(message, buffer, 0);
    }
    ZSSEG_OK
}

/// Bytes of the arena in use. They never change after zsseg_init() and equal zsseg_arena_size().
///
/// # Safety
/// `handle` came from zsseg_init() and no other thread uses it; `arena_bytes` is
/// NULL or valid.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn zsseg_arena_peak(
    handle: *const zsseg_t,
    arena_bytes: *mut usize,
) -> zsseg_status_t {
    if handle.is_null() || arena_bytes.is_null() {
        return ZSSEG_E_NULL_POINTER;
    }
    // SAFETY: as promised by the caller.
    let Ok(handle) = (unsafe { open_handle(handle) }) else { return ZSSEG_E_INVALID_STATE };
    let Some(used) = guard::arena_bytes(handle.segmenter.arena_used_bytes()) else {
        return ZSSEG_E_LIMIT_EXCEEDED;
    };
    // SAFETY: not NULL.
    unsafe { arena_bytes.write_unaligned(used) };
    ZSSEG_OK
}

/// Closes a handle. The engine's own heap, if it has one, is given back; the arena and the
/// bundle are the caller's again. Builds without ZSSEG_CAPABILITY_ENGINE_HEAP have nothing to
/// give back, so there the call may be left out. As long as the arena's bytes stay as they are,
/// every later call with the handle, a second zsseg_close() included, gives
/// ZSSEG_E_INVALID_STATE.
///
/// # Safety
/// `handle` came from zsseg_init() and no other thread uses it, not even for
/// zsseg_cancel().
#[unsafe(no_mangle)]
pub unsafe extern "C" fn zsseg_close(handle: *mut zsseg_t) -> zsseg_status_t {
    // SAFETY: as promised by the caller.
    unsafe { guard::close(handle) }
}
