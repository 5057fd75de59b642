//! The functions of `include/zsseg.h`.

use super::convert::{bundle_bytes, check_out, not_null, read, report, write};
use super::guard::{self, HANDLE_BYTES, Handle, Span, catch, copy_text};
use super::types::*;
use crate::bundle::Bundle;
use crate::limits::{Limits, product};
use crate::map::Layout;
use crate::segmenter::Segmenter;
use crate::spec::{Backbone, HeadKind};
use crate::status::{Result, Status};
use core::ffi::{c_char, c_void};

/// Version of the interface that this library has: ZSSEG_ABI_VERSION of its own header.
#[unsafe(no_mangle)]
pub extern "C" fn zsseg_abi_version() -> u32 {
    ZSSEG_ABI_VERSION
}

/// Version of the library, such as "0.1.0". Never NULL.
#[unsafe(no_mangle)]
pub extern "C" fn zsseg_version() -> *const c_char {
    const VERSION: &str = concat!(env!("CARGO_PKG_VERSION"), "\0");
    VERSION.as_ptr().cast()
}

/// What this build can do: ZSSEG_CAPABILITY_* bits.
#[unsafe(no_mangle)]
pub extern "C" fn zsseg_capabilities() -> u32 {
    if cfg!(feature = "tract") { ZSSEG_CAPABILITY_TRACT | ZSSEG_CAPABILITY_ENGINE_HEAP } else { 0 }
}

/// English text for a status; "unknown status" for a number that is none. Never NULL.
#[unsafe(no_mangle)]
pub extern "C" fn zsseg_status_str(status: zsseg_status_t) -> *const c_char {
    Status::from_code(status).map_or(c"unknown status", Status::c_text).as_ptr()
}

/// Checks everything about a bundle that can be checked without running it: structure, numbers,
/// every checksum. Time is linear in its size.
///
/// # Safety
/// `bundle` leads to `bundle_bytes` readable bytes at any address.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn zsseg_bundle_verify(
    bundle: *const c_void,
    bundle_bytes: usize,
    error: *mut zsseg_error_t,
) -> zsseg_status_t {
    let result = catch(|| {
        // SAFETY: as promised by the caller.
        let bytes = unsafe { self::bundle_bytes(bundle, bundle_bytes)? };
        Bundle::open(bytes).map(|_| ())
    });
    // SAFETY: as promised by the caller.
    unsafe { report(result, error) }
}

/// Describes a bundle. The checksums of its sections are not compared: see
/// zsseg_bundle_verify().
///
/// # Safety
/// `bundle` leads to `bundle_bytes` readable bytes, which outlive the use of the
/// pointers in `info`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn zsseg_bundle_info(
    bundle: *const c_void,
    bundle_bytes: usize,
    info: *mut zsseg_bundle_info_t,
    error: *mut zsseg_error_t,
) -> zsseg_status_t {
    let result = catch(|| {
        check_out(info, "info")?;
        // SAFETY: as promised by the caller.
        let bytes = unsafe { self::bundle_bytes(bundle, bundle_bytes)? };
        // SAFETY: checked above.
        unsafe { write(info, &describe(&Bundle::parse(bytes)?)) }
    });
    // SAFETY: as promised by the caller.
    unsafe { report(result, error) }
}

fn describe(bundle: &Bundle<'_>) -> zsseg_bundle_info_t {
    let manifest = bundle.manifest();
    let card = bundle.model_card();
    zsseg_bundle_info_t {
        struct_size: 0,
        class_count: manifest.head.classes,
        model_name: manifest.model_name.as_ptr().cast(),
        license: manifest.license.as_ptr().cast(),
        model_card: card.map_or(core::ptr::null(), |card| card.as_ptr().cast()),
        model_card_bytes: card.map_or(0, str::len),
        backbone: match manifest.backbone {
            Backbone::External => ZSSEG_BACKBONE_EXTERNAL,
            Backbone::Onnx => ZSSEG_BACKBONE_ONNX,
        },
        input_width: manifest.input.width,
        input_height: manifest.input.height,
        grid_width: manifest.grid_width,
        grid_height: manifest.grid_height,
        channels: manifest.head.channels,
        output_layout: layout_code(manifest.output_layout),
        has_classifier: u32::from(manifest.head.kind != HeadKind::Logits),
        sha256: bundle.sha256(),
    }
}

fn layout_code(layout: Layout) -> u32 {
    match layout {
        Layout::Chw => ZSSEG_LAYOUT_CHW,
        Layout::Hwc => ZSSEG_LAYOUT_HWC,
    }
}

/// Describes class `index` of a bundle; its index is its label in masks.
/// ZSSEG_E_INVALID_ARGUMENT when there are not that many. Checksums are not compared.
///
/// # Safety
/// `bundle` leads to `bundle_bytes` readable bytes, which outlive the use of the
/// pointers in `info`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn zsseg_bundle_class(
    bundle: *const c_void,
    bundle_bytes: usize,
    index: u32,
    info: *mut zsseg_class_t,
    error: *mut zsseg_error_t,
) -> zsseg_status_t {
    let result = catch(|| {
        check_out(info, "info")?;
        // SAFETY: as promised by the caller.
        let bytes = unsafe { self::bundle_bytes(bundle, bundle_bytes)? };
        let class = Bundle::parse(bytes)?.class(index)?;
        let [red, green, blue] = class.color;
        let seen = if class.seen { ZSSEG_CLASS_SEEN } else { 0 };
        let background = if class.background { ZSSEG_CLASS_BACKGROUND } else { 0 };
        let value = zsseg_class_t {
            struct_size: 0,
            flags: seen | background,
            name: class.name.as_ptr().cast(),
            color: [red, green, blue, 0],
            bias: class.bias,
        };
        // SAFETY: checked above.
        unsafe { write(info, &value) }
    });
    // SAFETY: as promised by the caller.
    unsafe { report(result, error) }
}

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
        let limits = unsafe { read(limits, "limits")? }.to_limits();
        // SAFETY: as promised by the caller.
        let bytes = unsafe { self::bundle_bytes(bundle, bundle_bytes)? };
        let need = arena_need(&Bundle::parse(bytes)?, &limits)?;
        // SAFETY: not NULL.
        unsafe { arena_bytes.write_unaligned(need) };
        Ok(())
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
/// must stay in place until zsseg_close(). Of an arena larger than needed only the first
/// zsseg_arena_size() bytes are touched.
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
        let limits = unsafe { read(limits, "limits")? }.to_limits();
        // SAFETY: as promised by the caller.
        let bytes = unsafe { self::bundle_bytes::<'static>(bundle, bundle_bytes)? };
        let spans = (Span::new(arena, arena_bytes), Span::new(bundle, bundle_bytes));
        // SAFETY: as promised by the caller.
        let created = unsafe { create(bytes, &limits, arena.cast(), arena_bytes, spans)? };
        // SAFETY: not NULL.
        unsafe { handle.write_unaligned(created.cast()) };
        Ok(())
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
) -> Result<*mut Handle> {
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
    let segmenter = Segmenter::new(&bundle, limits, buffers)?;
    let place = arena.cast::<Handle>();
    // SAFETY: aligned to 64 and inside the arena.
    unsafe { place.write(Handle::new(segmenter, arena_span, bundle_span)) };
    Ok(place)
}

/// Runs `call` on the handle that `handle` leads to.
///
/// # Safety
/// `handle` is NULL or came from zsseg_init(), and no other thread uses it.
unsafe fn with_handle(
    handle: *mut zsseg_t,
    call: impl FnOnce(&mut Handle) -> Result<()>,
) -> zsseg_status_t {
    if handle.is_null() {
        return ZSSEG_E_NULL_POINTER;
    }
    // SAFETY: as promised by the caller.
    unsafe { &mut *handle.cast::<Handle>() }.enter(call)
}

/// Segments one frame. The planes of `output` are written on ZSSEG_OK only, and of them only
/// the pixels: never the bytes between rows. ZSSEG_E_UNSUPPORTED when the bundle holds no
/// network.
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
        // SAFETY: as promised by the caller.
        let image = unsafe { read(image, "image")? };
        // SAFETY: as promised by the caller.
        let output = unsafe { read(output, "output")? };
        let [first, second, third] = image.spans();
        output.check_overlap(&[handle.arena, handle.bundle, first, second, third])?;
        // SAFETY: as promised by the caller; checked for overlap.
        let (image, mut output) = unsafe { (image.to_image()?, output.to_output()?) };
        handle.segmenter.segment(&image, &mut output)
    };
    // SAFETY: as promised by the caller.
    unsafe { with_handle(handle, call) }
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
        // SAFETY: as promised by the caller.
        let features = unsafe { read(features, "features")? };
        // SAFETY: as promised by the caller.
        let output = unsafe { read(output, "output")? };
        output.check_overlap(&[handle.arena, handle.bundle, features.span()])?;
        // SAFETY: as promised by the caller; checked for overlap.
        let (map, mut output) = unsafe { (features.to_map()?, output.to_output()?) };
        handle.segmenter.segment_features(&map, width, height, &mut output)
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

/// Copies the text of the latest error of this handle, shortened to fit and always
/// NUL-terminated; empty when the latest call that works on frames succeeded. 504 bytes hold
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
    let handle = unsafe { &*handle.cast::<Handle>() };
    if !handle.is_open() {
        return ZSSEG_E_INVALID_STATE;
    }
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
    let handle = unsafe { &*handle.cast::<Handle>() };
    if !handle.is_open() {
        return ZSSEG_E_INVALID_STATE;
    }
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
/// `handle` came from zsseg_init() and no other thread uses it.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn zsseg_close(handle: *mut zsseg_t) -> zsseg_status_t {
    if handle.is_null() {
        return ZSSEG_E_NULL_POINTER;
    }
    // SAFETY: as promised by the caller.
    let handle = unsafe { &mut *handle.cast::<Handle>() };
    if !handle.close() {
        return ZSSEG_E_INVALID_STATE;
    }
    let result = catch(|| {
        // SAFETY: the handle was open, so the segmenter has not been dropped yet; it never will
        // be again.
        unsafe { core::ptr::drop_in_place(&raw mut handle.segmenter) };
        Ok(())
    });
    result.map_or_else(|error| error.status().code(), |()| ZSSEG_OK)
}
