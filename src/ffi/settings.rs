//! The functions of `include/zsseg.h` that set how masks are made.

use super::convert::{check_out, no_such, read, write};
use super::guard::{Handle, with_handle};
use super::types::*;
use super::types_classes::*;
use super::types_work::*;
use crate::head::Smoothing;
use crate::segmenter::FusionSettings;
use crate::spec::{Decision, Stacking, UnknownScore};
use crate::spectral::Fusion;
use crate::status::Result;
use crate::trace::Clock;

impl zsseg_decision_t {
    fn of(decision: &Decision) -> zsseg_decision_t {
        let (stacking, gamma) = match decision.stacking {
            Stacking::Off => (ZSSEG_STACKING_OFF, 0.0),
            Stacking::Logits(gamma) => (ZSSEG_STACKING_LOGITS, gamma),
            Stacking::Probabilities(gamma) => (ZSSEG_STACKING_PROBABILITIES, gamma),
        };
        let (unknown, reference) = match decision.unknown {
            UnknownScore::Margin => (ZSSEG_UNKNOWN_MARGIN, 0.0),
            UnknownScore::Energy { reference } => (ZSSEG_UNKNOWN_ENERGY, reference),
        };
        zsseg_decision_t {
            struct_size: 0,
            stacking,
            gamma,
            min_confidence: decision.min_confidence,
            min_margin: decision.min_margin,
            unknown,
            reference,
            max_unknown: decision.max_unknown,
        }
    }

    fn to_decision(&self) -> Result<Decision> {
        Ok(Decision {
            stacking: match self.stacking {
                ZSSEG_STACKING_OFF => Stacking::Off,
                ZSSEG_STACKING_LOGITS => Stacking::Logits(self.gamma),
                ZSSEG_STACKING_PROBABILITIES => Stacking::Probabilities(self.gamma),
                other => return Err(no_such("stacking", other, ZSSEG_STACKING_PROBABILITIES)),
            },
            min_confidence: self.min_confidence,
            min_margin: self.min_margin,
            unknown: match self.unknown {
                ZSSEG_UNKNOWN_MARGIN => UnknownScore::Margin,
                ZSSEG_UNKNOWN_ENERGY => UnknownScore::Energy { reference: self.reference },
                other => return Err(no_such("unknown score", other, ZSSEG_UNKNOWN_ENERGY)),
            },
            max_unknown: self.max_unknown,
        })
    }
}

impl zsseg_fusion_t {
    fn to_settings(&self) -> Result<FusionSettings> {
        let fusion = match self.mode {
            ZSSEG_FUSION_SELECT => Fusion::Select { threshold: self.parameter },
            ZSSEG_FUSION_VOTE => Fusion::Vote { agreement: self.parameter },
            ZSSEG_FUSION_SOFT => Fusion::Soft { mix: self.parameter },
            other => return Err(no_such("fusion", other, ZSSEG_FUSION_SOFT)),
        };
        Ok(FusionSettings { fusion, segments: self.segments })
    }
}

/// How pixels are decided: after zsseg_init() as the bundle says.
///
/// # Safety
/// `handle` came from zsseg_init() and no other thread uses it; `decision` is NULL or
/// valid.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn zsseg_decision(
    handle: *mut zsseg_t,
    decision: *mut zsseg_decision_t,
) -> zsseg_status_t {
    let call = |handle: &mut Handle| {
        check_out(decision, "decision")?;
        let value = zsseg_decision_t::of(&handle.segmenter.decision());
        // SAFETY: checked above.
        unsafe { write(decision, &value) }
    };
    // SAFETY: as promised by the caller.
    unsafe { with_handle(handle, call) }
}

/// Changes how pixels are decided, from the next frame on. A frame at work is given up, and the
/// past that frames are smoothed with is forgotten. ZSSEG_E_INVALID_ARGUMENT, and nothing changed,
/// for numbers outside their ranges.
///
/// # Safety
/// `handle` came from zsseg_init() and no other thread uses it; `decision` is NULL or
/// valid.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn zsseg_set_decision(
    handle: *mut zsseg_t,
    decision: *const zsseg_decision_t,
) -> zsseg_status_t {
    let call = |handle: &mut Handle| {
        // SAFETY: as promised by the caller.
        let decision = unsafe { read(decision, "decision")? }.to_decision()?;
        handle.segmenter.set_decision(decision)
    };
    // SAFETY: as promised by the caller.
    unsafe { with_handle(handle, call) }
}

/// Smooths class scores over frames, from the next one on; the past is forgotten and a frame at
/// work given up. `weight` is that of the new frame: above 0, and 1 for no smoothing. The past is
/// dropped when the best class changes in more than the share `cut` of the cells: 0 to 1 (never).
/// Needs ZSSEG_USE_SMOOTHING.
///
/// # Safety
/// `handle` came from zsseg_init() and no other thread uses it.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn zsseg_set_smoothing(
    handle: *mut zsseg_t,
    weight: f32,
    cut: f32,
) -> zsseg_status_t {
    let call = |handle: &mut Handle| handle.segmenter.set_smoothing(Smoothing { weight, cut });
    // SAFETY: as promised by the caller.
    unsafe { with_handle(handle, call) }
}

/// Forgets the frames that later ones would be smoothed with, as after a change of camera. A frame
/// at work is given up.
///
/// # Safety
/// `handle` came from zsseg_init() and no other thread uses it.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn zsseg_forget(handle: *mut zsseg_t) -> zsseg_status_t {
    let call = |handle: &mut Handle| {
        handle.segmenter.forget();
        Ok(())
    };
    // SAFETY: as promised by the caller.
    unsafe { with_handle(handle, call) }
}

/// Moves masks towards spectral segments, from the next frame on, or no longer if `fusion` is NULL.
/// A frame at work is given up. Needs ZSSEG_USE_FUSION.
///
/// # Safety
/// `handle` came from zsseg_init() and no other thread uses it; `fusion` is NULL or valid.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn zsseg_set_fusion(
    handle: *mut zsseg_t,
    fusion: *const zsseg_fusion_t,
) -> zsseg_status_t {
    let call = |handle: &mut Handle| {
        let settings = match fusion.is_null() {
            true => None,
            // SAFETY: as promised by the caller.
            false => Some(unsafe { read(fusion, "fusion")? }.to_settings()?),
        };
        handle.segmenter.set_fusion(settings)
    };
    // SAFETY: as promised by the caller.
    unsafe { with_handle(handle, call) }
}

/// Gives the segmenter a clock, for zsseg_set_deadline_us() and zsseg_stage_times(): nanoseconds
/// since any fixed moment, never backwards. It is called on the thread that works on the handle, a
/// few times per piece of work. NULL takes clock and deadline away. A frame at work is given up.
///
/// # Safety
/// `handle` came from zsseg_init() and no other thread uses it; `now_ns` is NULL or a
/// function that any thread may call and that does not unwind.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn zsseg_set_clock(
    handle: *mut zsseg_t,
    now_ns: Option<extern "C" fn() -> u64>,
) -> zsseg_status_t {
    let call = |handle: &mut Handle| {
        let clock = match now_ns {
            Some(now_ns) => Clock::of_c(now_ns),
            None => {
                handle.segmenter.set_deadline_ns(None)?;
                Clock::NONE
            }
        };
        handle.segmenter.set_clock(clock);
        Ok(())
    };
    // SAFETY: as promised by the caller.
    unsafe { with_handle(handle, call) }
}

/// Gives every frame at most `deadline_us` microseconds from its beginning; 0 for no deadline. The
/// call that works on a frame when they are over returns ZSSEG_E_DEADLINE_EXCEEDED after its
/// present piece (in zsseg_segment(): layer; an ONNX network runs in one piece), and the frame is
/// given up; its output has no meaning then. ZSSEG_E_INVALID_STATE without a clock.
///
/// # Safety
/// `handle` came from zsseg_init() and no other thread uses it.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn zsseg_set_deadline_us(
    handle: *mut zsseg_t,
    deadline_us: u64,
) -> zsseg_status_t {
    let call = |handle: &mut Handle| {
        let deadline_ns = deadline_us.saturating_mul(1000);
        handle.segmenter.set_deadline_ns((deadline_us > 0).then_some(deadline_ns))
    };
    // SAFETY: as promised by the caller.
    unsafe { with_handle(handle, call) }
}
