//! The structs and numbers of `include/zsseg.h`. Rust names are the C names.
#![allow(non_camel_case_types)]

use core::ffi::{c_char, c_void};

/// Outcome of a call: `ZSSEG_OK` or one of the `ZSSEG_E_` numbers. Numbers are never reused.
pub type zsseg_status_t = i32;

/// The call did what it promised.
pub const ZSSEG_OK: i32 = 0;
/// A required pointer is NULL.
pub const ZSSEG_E_NULL_POINTER: i32 = 1;
/// A `struct_size` is smaller than the oldest version of the struct or larger than this library's.
pub const ZSSEG_E_STRUCT_SIZE: i32 = 2;
/// An argument lies outside its documented range.
pub const ZSSEG_E_INVALID_ARGUMENT: i32 = 3;
/// The handle is not in a state for this call: closed, poisoned by an earlier ZSSEG_E_PANIC, at
/// work in another call, or without what the call needs (a frame at work, a clock, features).
pub const ZSSEG_E_INVALID_STATE: i32 = 4;
/// The arena is smaller than zsseg_arena_size() says.
pub const ZSSEG_E_ARENA_TOO_SMALL: i32 = 5;
/// The arena does not start at a multiple of ZSSEG_ARENA_ALIGN.
pub const ZSSEG_E_ARENA_ALIGNMENT: i32 = 6;
/// A plane is too short for its width, height and stride.
pub const ZSSEG_E_BUFFER_TOO_SMALL: i32 = 7;
/// A stride is shorter than a row.
pub const ZSSEG_E_STRIDE_TOO_SHORT: i32 = 8;
/// An output overlaps the arena, the bundle, an input or another output.
pub const ZSSEG_E_OVERLAP: i32 = 9;
/// The frame has no pixels or exceeds the limits given at init.
pub const ZSSEG_E_FRAME_SIZE: i32 = 10;
/// The pixel format is not one of ZSSEG_FORMAT_*.
pub const ZSSEG_E_PIXEL_FORMAT: i32 = 11;
/// The bytes are not a bundle, or end too early.
pub const ZSSEG_E_BUNDLE_FORMAT: i32 = 12;
/// The bundle needs a newer version of this library.
pub const ZSSEG_E_BUNDLE_VERSION: i32 = 13;
/// A checksum of the bundle does not match.
pub const ZSSEG_E_BUNDLE_CHECKSUM: i32 = 14;
/// The bundle says something impossible.
pub const ZSSEG_E_BUNDLE_CONTENT: i32 = 15;
/// A hard limit of this library is exceeded.
pub const ZSSEG_E_LIMIT_EXCEEDED: i32 = 16;
/// This build or this bundle lacks what the call needs.
pub const ZSSEG_E_UNSUPPORTED: i32 = 17;
/// The network cannot be loaded; the text names the node and the reason.
pub const ZSSEG_E_MODEL_LOAD: i32 = 18;
/// The network failed while running.
pub const ZSSEG_E_MODEL_RUN: i32 = 19;
/// The network's shapes or types differ from what the bundle says.
pub const ZSSEG_E_MODEL_SHAPE: i32 = 20;
/// An internal error was caught. The handle is poisoned; other handles are not affected.
pub const ZSSEG_E_PANIC: i32 = 21;
/// No place is left for one more class.
pub const ZSSEG_E_CLASS_TABLE_FULL: i32 = 22;
/// The name or the label of a new class is taken.
pub const ZSSEG_E_CLASS_EXISTS: i32 = 23;
/// A word is not in the bundle's table of word vectors.
pub const ZSSEG_E_UNKNOWN_WORD: i32 = 24;
/// The frame's work was cancelled.
pub const ZSSEG_E_CANCELLED: i32 = 25;
/// The frame's deadline passed before its work was done.
pub const ZSSEG_E_DEADLINE_EXCEEDED: i32 = 26;

/// Version of this interface. It grows when something is added; callers compiled against an
/// older header keep working.
pub const ZSSEG_ABI_VERSION: u32 = 2;
/// Alignment of the arena's first byte, in bytes.
pub const ZSSEG_ARENA_ALIGN: usize = 64;

/// Capability: networks in ONNX form can be run (the tract engine is built in).
pub const ZSSEG_CAPABILITY_TRACT: u32 = 1;
/// Capability: the tract engine keeps the network and its activations on its own heap, outside
/// the arena. Without this bit nothing is ever allocated.
pub const ZSSEG_CAPABILITY_ENGINE_HEAP: u32 = 2;
/// Capability: compiled networks may have layers in floats, not in integers only.
pub const ZSSEG_CAPABILITY_FLOAT_LAYERS: u32 = 4;
/// Capability: masks can be fused with spectral segments (ZSSEG_USE_FUSION).
pub const ZSSEG_CAPABILITY_FUSION: u32 = 8;

/// R, G, B bytes.
pub const ZSSEG_FORMAT_RGB8: u32 = 1;
/// B, G, R bytes.
pub const ZSSEG_FORMAT_BGR8: u32 = 2;
/// R, G, B, A bytes; alpha is ignored.
pub const ZSSEG_FORMAT_RGBA8: u32 = 3;
/// B, G, R, A bytes; alpha is ignored.
pub const ZSSEG_FORMAT_BGRA8: u32 = 4;
/// One brightness byte.
pub const ZSSEG_FORMAT_GRAY8: u32 = 5;
/// Y plane, then interleaved U, V at half width and height.
pub const ZSSEG_FORMAT_NV12: u32 = 6;
/// Y plane, then interleaved V, U at half width and height.
pub const ZSSEG_FORMAT_NV21: u32 = 7;
/// Y, U and V planes; U and V at half width and height.
pub const ZSSEG_FORMAT_I420: u32 = 8;
/// Y0, U, Y1, V for two pixels.
pub const ZSSEG_FORMAT_YUYV: u32 = 9;
/// U, Y0, V, Y1 for two pixels.
pub const ZSSEG_FORMAT_UYVY: u32 = 10;

/// YCbCr as in ITU-R BT.601.
pub const ZSSEG_MATRIX_BT601: u32 = 0;
/// YCbCr as in ITU-R BT.709.
pub const ZSSEG_MATRIX_BT709: u32 = 1;
/// Y 16..235, Cb and Cr 16..240.
pub const ZSSEG_RANGE_LIMITED: u32 = 0;
/// Y, Cb and Cr 0..255.
pub const ZSSEG_RANGE_FULL: u32 = 1;

/// One byte per pixel; labels up to 254.
pub const ZSSEG_LABELS_U8: u32 = 1;
/// Two bytes per pixel, native byte order.
pub const ZSSEG_LABELS_U16: u32 = 2;
/// Label of a pixel without a class, one byte.
pub const ZSSEG_UNLABELED_U8: u32 = 255;
/// Label of a pixel without a class, two bytes.
pub const ZSSEG_UNLABELED_U16: u32 = 65535;

/// Channel planes one after another (NCHW with N = 1).
pub const ZSSEG_LAYOUT_CHW: u32 = 0;
/// Channels of a cell side by side (NHWC with N = 1).
pub const ZSSEG_LAYOUT_HWC: u32 = 1;

/// Features or logits come from the caller, through zsseg_segment_features().
pub const ZSSEG_BACKBONE_EXTERNAL: u32 = 0;
/// The bundle holds an ONNX network.
pub const ZSSEG_BACKBONE_ONNX: u32 = 1;
/// The bundle holds a compiled network, which runs in the arena.
pub const ZSSEG_BACKBONE_PLAN: u32 = 2;

/// Class flag: labelled in training (otherwise known by its embedding only).
pub const ZSSEG_CLASS_SEEN: u32 = 1;
/// Class flag: stands for "none of the others".
pub const ZSSEG_CLASS_BACKGROUND: u32 = 2;
/// Class flag: takes part. Told by zsseg_class_info() only.
pub const ZSSEG_CLASS_ENABLED: u32 = 4;

/// Use: frames may be smoothed over time, see zsseg_set_smoothing().
pub const ZSSEG_USE_SMOOTHING: u32 = 1;
/// Use: masks may be moved towards spectral segments, see zsseg_set_fusion().
pub const ZSSEG_USE_FUSION: u32 = 2;
/// Use: classes may be added through the bundle's generator, see ZSSEG_METHOD_GENERATOR.
pub const ZSSEG_USE_GENERATOR: u32 = 4;

/// The network gives logits itself; no class can be added.
pub const ZSSEG_HEAD_LOGITS: u32 = 0;
/// One row of weights and one bias per class.
pub const ZSSEG_HEAD_LINEAR: u32 = 1;
/// Product of the features with one embedding per class.
pub const ZSSEG_HEAD_DOT: u32 = 2;
/// Cosine between the features and one embedding per class.
pub const ZSSEG_HEAD_COSINE: u32 = 3;

/// Way to add a class: by its row of the classifier.
pub const ZSSEG_WAY_ROW: u32 = 1;
/// Way to add a class: by its embedding.
pub const ZSSEG_WAY_EMBEDDING: u32 = 2;
/// Way to add a class: by its name or another phrase.
pub const ZSSEG_WAY_WORD: u32 = 4;
/// Way to add a class: by its embedding or a phrase, through the bundle's generator.
pub const ZSSEG_WAY_GENERATOR: u32 = 8;

/// A segmenter. It lies inside the arena that was given to zsseg_init().
pub struct zsseg_t {
    _private: [u8; 0],
}

/// Why a call without a handle failed. Optional everywhere: NULL is allowed, and one with a wrong
/// `struct_size` is left alone.
#[repr(C)]
pub struct zsseg_error_t {
    /// sizeof(zsseg_error_t), set by the caller.
    pub struct_size: u32,
    /// The status that the call returned.
    pub status: zsseg_status_t,
    /// English text, NUL-terminated, shortened to fit; empty after success.
    pub text: [c_char; 504],
}

/// What a segmenter must be ready for. The arena's size follows from it.
#[repr(C)]
pub struct zsseg_limits_t {
    /// sizeof(zsseg_limits_t), set by the caller.
    pub struct_size: u32,
    /// Widest frame, in pixels: 1 to 16384.
    pub max_frame_width: u32,
    /// Highest frame, in pixels: 1 to 16384.
    pub max_frame_height: u32,
    /// Threads that may be used: 1 to 64; those of zsseg_set_thread_pool(), at most 16, or an ONNX
    /// network's own. The arena has working memory for all of them.
    pub threads: u32,
    /// Classes that may be added or given another row; 0 for none. With the bundle's own at most
    /// 4096. zsseg_class_cost() tells what each costs.
    pub extra_classes: u32,
    /// ZSSEG_USE_* bits: what memory is set aside for; 0 for nothing.
    pub uses: u32,
    /// Rows of the features in zsseg_frame_t.affinity; 0, like the next two, when the segments
    /// of ZSSEG_USE_FUSION are to be found from the network's own output.
    pub affinity_height: u32,
    /// Columns of these features.
    pub affinity_width: u32,
    /// Channels of these features.
    pub affinity_channels: u32,
}

/// What a bundle says about itself. Pointers lead into the bundle's bytes.
#[repr(C)]
pub struct zsseg_bundle_info_t {
    /// sizeof(zsseg_bundle_info_t), set by the caller.
    pub struct_size: u32,
    /// Number of classes.
    pub class_count: u32,
    /// Name of the model, NUL-terminated UTF-8.
    pub model_name: *const c_char,
    /// SPDX expression of the weights' licence, NUL-terminated.
    pub license: *const c_char,
    /// Model card in Markdown, UTF-8, NOT NUL-terminated; NULL when there is none.
    pub model_card: *const c_char,
    /// Length of the model card, in bytes.
    pub model_card_bytes: usize,
    /// One of ZSSEG_BACKBONE_*.
    pub backbone: u32,
    /// Width of the network's input, in pixels.
    pub input_width: u32,
    /// Height of the network's input, in pixels.
    pub input_height: u32,
    /// Columns of the network's output.
    pub grid_width: u32,
    /// Rows of the network's output.
    pub grid_height: u32,
    /// Channels of the network's output: features, or one logit per class.
    pub channels: u32,
    /// One of ZSSEG_LAYOUT_*: order of the network's output.
    pub output_layout: u32,
    /// 1 when the bundle holds a classifier over features, 0 when the network gives logits.
    pub has_classifier: u32,
    /// SHA-256 over the bundle's table of sections: identifies the bundle.
    pub sha256: [u8; 32],
    /// One of ZSSEG_HEAD_*.
    pub head: u32,
    /// ZSSEG_WAY_* bits: how classes can be added.
    pub ways: u32,
    /// Numbers of a class's embedding; 0 when the bundle knows no embeddings.
    pub embedding_dim: u32,
    /// Words that the bundle knows.
    pub word_count: u32,
}

/// A camera frame, read in place. Odd sides are legal: half of 5 pixels is 3 samples.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct zsseg_image_t {
    /// sizeof(zsseg_image_t), set by the caller.
    pub struct_size: u32,
    /// One of ZSSEG_FORMAT_*.
    pub format: u32,
    /// Width, in pixels.
    pub width: u32,
    /// Height, in pixels.
    pub height: u32,
    /// First byte of each plane; unused ones are ignored.
    pub planes: [*const u8; 3],
    /// Distance between rows of each plane, in bytes.
    pub stride_bytes: [usize; 3],
    /// Length of each plane, in bytes. The last row needs no padding.
    pub plane_bytes: [usize; 3],
    /// One of ZSSEG_MATRIX_*, for YCbCr formats.
    pub color_matrix: u32,
    /// One of ZSSEG_RANGE_*, for YCbCr formats.
    pub color_range: u32,
}

/// Where a mask goes. Every plane has the frame's size.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct zsseg_output_t {
    /// sizeof(zsseg_output_t), set by the caller.
    pub struct_size: u32,
    /// ZSSEG_LABELS_U8 or ZSSEG_LABELS_U16.
    pub label_type: u32,
    /// Label of every pixel's class; ZSSEG_UNLABELED_* outside the network's view and where the
    /// decision rejects a pixel. Required; 2-byte aligned for ZSSEG_LABELS_U16.
    pub labels: *mut c_void,
    /// Distance between rows, in bytes; even for ZSSEG_LABELS_U16.
    pub labels_stride_bytes: usize,
    /// Length of the plane, in bytes.
    pub labels_bytes: usize,
    /// Softmax probability of the winning class, 255 = 1; NULL when not wanted.
    pub confidence: *mut u8,
    /// Distance between rows, in bytes.
    pub confidence_stride_bytes: usize,
    /// Length of the plane, in bytes.
    pub confidence_bytes: usize,
    /// Probability of the winner minus that of the runner-up, 255 = 1; NULL when not wanted.
    pub margin: *mut u8,
    /// Distance between rows, in bytes.
    pub margin_stride_bytes: usize,
    /// Length of the plane, in bytes.
    pub margin_bytes: usize,
    /// How much the pixel looks like none of the classes, 255 = 1, see zsseg_decision_t.unknown;
    /// NULL when not wanted.
    pub unknown: *mut u8,
    /// Distance between rows, in bytes.
    pub unknown_stride_bytes: usize,
    /// Length of the plane, in bytes.
    pub unknown_bytes: usize,
}

/// A network's output: features, or logits for a bundle without a classifier.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct zsseg_features_t {
    /// sizeof(zsseg_features_t), set by the caller.
    pub struct_size: u32,
    /// One of ZSSEG_LAYOUT_*.
    pub layout: u32,
    /// The values, 4-byte aligned.
    pub data: *const f32,
    /// Number of values: grid_height * grid_width * channels.
    pub len: usize,
    /// Rows.
    pub grid_height: u32,
    /// Columns.
    pub grid_width: u32,
    /// Values per cell.
    pub channels: u32,
    /// Always 0.
    pub reserved: u32,
}
