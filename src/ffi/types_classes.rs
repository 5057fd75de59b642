//! The structs and numbers of `include/zsseg.h` about classes. Rust names are the C names.
#![allow(non_camel_case_types)]

use core::ffi::c_char;

/// Flag of a new class: pixels of it were labelled in training.
pub const ZSSEG_NEW_CLASS_SEEN: u32 = 1;
/// Flag of a new class: `label` is given. Otherwise it gets the lowest free label.
pub const ZSSEG_NEW_CLASS_LABEL: u32 = 2;
/// Flag of a new class: `color` is given. Otherwise it gets that of its label in PASCAL VOC.
pub const ZSSEG_NEW_CLASS_COLOR: u32 = 4;

/// The row is the embedding itself (dot, cosine), or the bundle's projection makes it (linear).
pub const ZSSEG_METHOD_DIRECT: u32 = 0;
/// The bundle's generator makes features from the embedding, and the row is fitted to them here.
/// For linear heads; needs ZSSEG_USE_GENERATOR.
pub const ZSSEG_METHOD_GENERATOR: u32 = 1;

/// The row of a class is the bundle's.
pub const ZSSEG_ORIGIN_BUNDLE: u32 = 0;
/// The row of a class was handed in.
pub const ZSSEG_ORIGIN_ROW: u32 = 1;
/// The row of a class comes from an embedding.
pub const ZSSEG_ORIGIN_EMBEDDING: u32 = 2;
/// The row of a class comes from the embedding of a phrase.
pub const ZSSEG_ORIGIN_WORD: u32 = 3;
/// The row of a class was fitted to generated features.
pub const ZSSEG_ORIGIN_GENERATOR: u32 = 4;

/// No handicap for the classes that were labelled in training.
pub const ZSSEG_STACKING_OFF: u32 = 0;
/// `gamma` is taken from the logits of these classes.
pub const ZSSEG_STACKING_LOGITS: u32 = 1;
/// `gamma` is taken from the probabilities of these classes.
pub const ZSSEG_STACKING_PROBABILITIES: u32 = 2;

/// Unknown score: one minus the winner's lead over the runner-up, in probabilities.
pub const ZSSEG_UNKNOWN_MARGIN: u32 = 0;
/// Unknown score: probability of one more class whose logit is `reference` everywhere.
pub const ZSSEG_UNKNOWN_ENERGY: u32 = 1;

/// One class, of a bundle or of a segmenter.
#[repr(C)]
pub struct zsseg_class_t {
    /// sizeof(zsseg_class_t), set by the caller.
    pub struct_size: u32,
    /// ZSSEG_CLASS_* bits.
    pub flags: u32,
    /// NUL-terminated UTF-8, at most 63 bytes. From zsseg_bundle_class() it lies in the bundle;
    /// from zsseg_class_info() in the arena, until the class is renamed, removed or replaced.
    pub name: *const c_char,
    /// Red, green, blue, 0.
    pub color: [u8; 4],
    /// Added to the class's logit.
    pub bias: f32,
    /// How likely the class is beforehand, in any unit; 1 unless zsseg_class_set_prior() was
    /// called.
    pub prior: f32,
    /// One of ZSSEG_ORIGIN_*.
    pub origin: u32,
    /// Its value in masks.
    pub label: u32,
    /// Always 0.
    pub reserved: u32,
}

/// A class that is to be added. With all but `struct_size` and `name` zero it is an unseen class
/// with a free label, a colour of its own and no bias.
#[repr(C)]
pub struct zsseg_new_class_t {
    /// sizeof(zsseg_new_class_t), set by the caller.
    pub struct_size: u32,
    /// ZSSEG_NEW_CLASS_* bits.
    pub flags: u32,
    /// NUL-terminated UTF-8: 1 to 63 bytes without control characters, unlike all other names.
    pub name: *const c_char,
    /// Its value in masks, with ZSSEG_NEW_CLASS_LABEL: a free one below zsseg_label_capacity().
    pub label: u32,
    /// Red, green, blue and an unused byte, with ZSSEG_NEW_CLASS_COLOR.
    pub color: [u8; 4],
    /// Added to the class's logit; finite.
    pub bias: f32,
    /// Always 0.
    pub reserved: u32,
}

/// What each class that may be added costs.
#[repr(C)]
pub struct zsseg_class_cost_t {
    /// sizeof(zsseg_class_cost_t), set by the caller.
    pub struct_size: u32,
    /// Always 0.
    pub reserved: u32,
    /// Bytes of the arena. Buffers are rounded up to 64 bytes, so that a whole table takes at
    /// most 1 KiB more, beside the memory for making rows, which is set aside once.
    pub bytes: u64,
    /// Multiply-adds in each frame, before the frame's own pixels.
    pub grid_multiply_adds: u64,
    /// Multiply-adds to make its row from an embedding; 0 where the row is the embedding.
    pub meaning_multiply_adds: u64,
    /// Most multiply-adds to fit its row to generated features, against as many classes as there
    /// is room for; 0 where the bundle has no generator.
    pub generator_multiply_adds: u64,
}

/// From class scores to a class, or to none. All zero but `max_unknown` = 1: the class with the
/// highest score, always.
#[repr(C)]
pub struct zsseg_decision_t {
    /// sizeof(zsseg_decision_t), set by the caller.
    pub struct_size: u32,
    /// One of ZSSEG_STACKING_*.
    pub stacking: u32,
    /// Handicap of the classes labelled in training: finite for logits, 0 to 1 for
    /// probabilities, not looked at for ZSSEG_STACKING_OFF.
    pub gamma: f32,
    /// Pixels whose confidence is lower get no class: 0 (none) to 1.
    pub min_confidence: f32,
    /// Pixels whose margin is lower get no class: 0 (none) to 1.
    pub min_margin: f32,
    /// One of ZSSEG_UNKNOWN_*.
    pub unknown: u32,
    /// Logit of ZSSEG_UNKNOWN_ENERGY: finite; not looked at for ZSSEG_UNKNOWN_MARGIN.
    pub reference: f32,
    /// Pixels whose unknown score is higher get no class: 0 to 1 (none).
    pub max_unknown: f32,
}
