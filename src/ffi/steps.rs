//! The functions of `include/zsseg.h` that work on a frame in pieces.

use super::convert::{check_out, not_null, put, write};
use super::frames::Frame;
use super::guard::{self, Handle, with_handle};
use super::types::*;
use super::types_work::*;
use crate::status::Status;

/// Begins a frame that zsseg_step() carries on. Everything that `frame` and `output` describe
/// stays in place and is not changed by others until zsseg_step() says that the mask is complete
/// or returns an error, or another call gives the frame up; the structs themselves are copied. A
/// frame that was at work is given up, whatever this call returns, but for a handle that is not
/// there or at work in another call. Errors are those of zsseg_segment().
///
/// # Safety
/// `handle` came from zsseg_init() and no other thread uses it; `frame` and `output`
/// describe memory that exists.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn zsseg_begin(
    handle: *mut zsseg_t,
    frame: *const zsseg_frame_t,
    output: *const zsseg_output_t,
) -> zsseg_status_t {
    let call = |handle: &mut Handle| {
        handle.give_up_frame();
        // SAFETY: as promised by the caller.
        let frame = unsafe { Frame::read(handle, frame, output)? };
        let segmenter = &mut handle.segmenter;
        // SAFETY: as promised by the caller; checked for overlap.
        unsafe { frame.with(|frame, output| segmenter.begin(frame, output))? };
        handle.frame = Some(frame);
        Ok(())
    };
    // SAFETY: as promised by the caller.
    unsafe { with_handle(handle, call) }
}

/// Carries the frame on by at most `pieces` pieces, at least 1; `*done` becomes 1 when the mask is
/// complete, else 0. A piece is a row of the network's input, of its output or of the frame, 32
/// columns of an affinity matrix, one step of an eigenvalue search, a fusion, some rows of a layer
/// of a compiled network, or an ONNX network as a whole. Small pieces of a network are slower: its
/// weights are read for each; UINT32_MAX pieces go layer by layer. However a frame is divided, the
/// mask is the same; before the end what is in the output has no meaning. ZSSEG_E_INVALID_STATE
/// when no frame is at work; ZSSEG_E_CANCELLED, ZSSEG_E_DEADLINE_EXCEEDED; ZSSEG_E_MODEL_SHAPE for
/// features of another shape than the bundle's or the limits'. After an error the frame is given
/// up, but for ZSSEG_E_INVALID_ARGUMENT when `pieces` is 0 and ZSSEG_E_NULL_POINTER.
///
/// # Safety
/// `handle` came from zsseg_init() and no other thread uses it; `done` is NULL or valid.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn zsseg_step(
    handle: *mut zsseg_t,
    pieces: u32,
    done: *mut u32,
) -> zsseg_status_t {
    let call = |handle: &mut Handle| {
        not_null(done, "done")?;
        if pieces == 0 {
            return Err(Status::InvalidArgument.about("pieces").numbers(0, 1));
        }
        let idle = Status::InvalidState.about("no frame has begun");
        let frame = handle.frame.filter(|_| handle.segmenter.is_working()).ok_or(idle)?;
        let segmenter = &mut handle.segmenter;
        // SAFETY: zsseg_begin()'s caller promised that it stays so; checked for overlap there.
        let complete =
            unsafe { frame.with(|frame, output| segmenter.step(frame, output, pieces))? };
        // SAFETY: not NULL.
        unsafe { put(done, complete.into()) }
    };
    // SAFETY: as promised by the caller.
    unsafe { with_handle(handle, call) }
}

/// Stops the frame at work. May be called from any thread and from an interrupt, also while
/// another thread works on the handle: that call, or else the next zsseg_step(), returns
/// ZSSEG_E_CANCELLED after its present piece (in zsseg_segment(): layer; an ONNX network runs in
/// one piece), the frame is given up, and its output has no meaning. Without a frame at work
/// nothing happens: each beginning of a frame forgets earlier calls.
///
/// # Safety
/// `handle` came from zsseg_init(), and zsseg_close() is not called before this
/// returns.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn zsseg_cancel(handle: *mut zsseg_t) -> zsseg_status_t {
    // SAFETY: as promised by the caller.
    unsafe { guard::cancel(handle) }
}

/// Where the time of the latest frame went.
///
/// # Safety
/// `handle` came from zsseg_init() and no other thread uses it; `times` is NULL or valid.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn zsseg_stage_times(
    handle: *mut zsseg_t,
    times: *mut zsseg_times_t,
) -> zsseg_status_t {
    let call = |handle: &mut Handle| {
        check_out(times, "times")?;
        let found = handle.segmenter.stage_times();
        let value = zsseg_times_t {
            struct_size: 0,
            reserved: 0,
            fetch_ns: found.fetch_ns,
            backbone_ns: found.backbone_ns,
            head_ns: found.head_ns,
            fusion_ns: found.fusion_ns,
            upsample_ns: found.upsample_ns,
        };
        // SAFETY: checked above.
        unsafe { write(times, &value) }
    };
    // SAFETY: as promised by the caller.
    unsafe { with_handle(handle, call) }
}
