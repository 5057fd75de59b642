//! The structs and numbers of `include/zsseg.h` about frames in pieces, segments and objects. Rust
//! names are the C names.
#![allow(non_camel_case_types)]

use super::types::{zsseg_features_t, zsseg_image_t};
use core::ffi::c_void;

/// A class takes the shape of the segment that fits it best. `parameter` is the least
/// intersection over union, usually 0.5.
pub const ZSSEG_FUSION_SELECT: u32 = 1;
/// A region in which enough cells have the same class gets that class. `parameter` is their least
/// share, usually 0.6.
pub const ZSSEG_FUSION_VOTE: u32 = 2;
/// Scores are mixed with their mean over the region. `parameter` is the share of the mean, 0 to
/// 1, usually 0.5.
pub const ZSSEG_FUSION_SOFT: u32 = 3;

/// Attention is a softmax over all tokens, as in the transformer itself.
pub const ZSSEG_SCORING_SOFTMAX: u32 = 0;
/// Attention is the bare product of query and key, as in MaskDistill's code.
pub const ZSSEG_SCORING_RAW: u32 = 1;

/// A frame for zsseg_begin(): pixels for the bundle's network, or features that the caller
/// computed; the other pointer is NULL.
#[repr(C)]
pub struct zsseg_frame_t {
    /// sizeof(zsseg_frame_t), set by the caller.
    pub struct_size: u32,
    /// Width of the frame that the features are of, in pixels; 0 with `image`.
    pub width: u32,
    /// Height of the frame that the features are of, in pixels; 0 with `image`.
    pub height: u32,
    /// Always 0.
    pub reserved: u32,
    /// The frame's pixels, or NULL.
    pub image: *const zsseg_image_t,
    /// The frame's features, or NULL.
    pub features: *const zsseg_features_t,
    /// Features to find the segments of ZSSEG_USE_FUSION from, in the shape that the limits
    /// state; NULL for those of the network.
    pub affinity: *const zsseg_features_t,
}

/// How masks are moved towards spectral segments.
#[repr(C)]
pub struct zsseg_fusion_t {
    /// sizeof(zsseg_fusion_t), set by the caller.
    pub struct_size: u32,
    /// One of ZSSEG_FUSION_*.
    pub mode: u32,
    /// See ZSSEG_FUSION_*; at least 0.
    pub parameter: f32,
    /// Segments: 0 (nothing changes) to 5.
    pub segments: u32,
}

/// Calls `part(parts, i)` for each `i` from 0 to `count` - 1 once, on any threads, the calling one
/// perhaps among them, and returns when all these calls have returned. `count` is at most 16. It
/// calls no function of this header and does not unwind.
pub type zsseg_run_parts_t = Option<
    unsafe extern "C" fn(
        context: *mut c_void,
        part: extern "C" fn(parts: *mut c_void, index: u32),
        parts: *mut c_void,
        count: u32,
    ),
>;

/// Threads of the program, for zsseg_set_thread_pool().
#[repr(C)]
pub struct zsseg_thread_pool_t {
    /// sizeof(zsseg_thread_pool_t), set by the caller.
    pub struct_size: u32,
    /// Always 0.
    pub reserved: u32,
    /// Handed to `run`.
    pub context: *mut c_void,
    /// Runs parts side by side.
    pub run: zsseg_run_parts_t,
}

/// Where the time of a frame went, in nanoseconds; zeros without a clock.
#[repr(C)]
pub struct zsseg_times_t {
    /// sizeof(zsseg_times_t), set by the caller.
    pub struct_size: u32,
    /// Always 0.
    pub reserved: u32,
    /// From the frame to the network's input.
    pub fetch_ns: u64,
    /// The network.
    pub backbone_ns: u64,
    /// From features to class scores; with threads these are part of `upsample_ns`.
    pub head_ns: u64,
    /// Segments and their fusion with the scores.
    pub fusion_ns: u64,
    /// From scores to labels on the frame.
    pub upsample_ns: u64,
}

/// A vision transformer's last block, as zsseg_object_mask() needs it. The values of MaskDistill
/// are named.
#[repr(C)]
pub struct zsseg_object_settings_t {
    /// sizeof(zsseg_object_settings_t), set by the caller.
    pub struct_size: u32,
    /// Rows of patches: at least 1, with at most 16384 patches in all.
    pub grid_height: u32,
    /// Columns of patches: at least 1.
    pub grid_width: u32,
    /// Numbers of a key, all attention heads together: 1 to 4096.
    pub channels: u32,
    /// Attention heads, which divide the channels evenly: 6.
    pub heads: u32,
    /// Of these, how many are looked at, from the first on: 5.
    pub scoring_heads: u32,
    /// Share of the attention that the kept patches hold, 0 to 1: 0.5.
    pub mass: f32,
    /// Share of the patches that may join the first, 0 to 1: 0.4.
    pub candidates: f32,
    /// One of ZSSEG_SCORING_*.
    pub scoring: u32,
}

/// The object that zsseg_object_mask() found.
#[repr(C)]
pub struct zsseg_object_t {
    /// sizeof(zsseg_object_t), set by the caller.
    pub struct_size: u32,
    /// The patch that is attended to most: row * grid_width + column.
    pub source: u32,
    /// Patches in the mask.
    pub area: u32,
    /// 1 when the patches like the source did not include the source itself; the mask is then
    /// the source and those of the best patches that are like it, connected or not.
    pub fallback: u32,
}
