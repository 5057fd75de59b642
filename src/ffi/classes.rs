//! The functions of `include/zsseg.h` about a segmenter's classes.

use super::convert::{
    check_out, floats, label, name, no_such, not_null, phrase, put, read, unused, write,
};
use super::guard::{Handle, Span, with_handle};
use super::types::*;
use super::types_classes::*;
use crate::classes::{ClassInfo, NewClass, Origin};
use crate::segmenter::{ClassSource, Meaning};
use crate::status::{Result, Status};
use core::ffi::c_char;

impl zsseg_new_class_t {
    /// # Safety
    /// `name` is NULL or NUL-terminated.
    unsafe fn to_class<'a>(&self) -> Result<NewClass<'a>> {
        const KNOWN: u32 = ZSSEG_NEW_CLASS_SEEN | ZSSEG_NEW_CLASS_LABEL | ZSSEG_NEW_CLASS_COLOR;
        if self.flags & !KNOWN != 0 {
            return Err(no_such("flags of a new class", self.flags, KNOWN));
        }
        unused(self.reserved, "reserved of a new class")?;
        let label = match self.flags & ZSSEG_NEW_CLASS_LABEL {
            0 => None,
            _ => Some(label(self.label)?),
        };
        let [red, green, blue, _] = self.color;
        let colored = self.flags & ZSSEG_NEW_CLASS_COLOR != 0;
        Ok(NewClass {
            // SAFETY: as promised by the caller.
            name: unsafe { name(self.name)? },
            label,
            color: colored.then_some([red, green, blue]),
            seen: self.flags & ZSSEG_NEW_CLASS_SEEN != 0,
            bias: self.bias,
        })
    }
}

/// Adds a class from `source` and writes its label.
///
/// # Safety
/// The pointers are NULL or valid.
unsafe fn add(
    handle: &mut Handle,
    class: *const zsseg_new_class_t,
    source: impl FnOnce(&NewClass<'static>, &Handle) -> Result<ClassSource<'static>>,
    label: *mut u32,
) -> Result<()> {
    not_null(label, "label")?;
    // SAFETY: as promised by the caller.
    let class = unsafe { read(class, "class")?.to_class()? };
    let source = source(&class, handle)?;
    let given = handle.segmenter.add_class(&class, &source)?;
    // SAFETY: not NULL.
    unsafe { put(label, given.into()) }
}

/// Numbers for a class, outside the arena, which changes meanwhile.
///
/// # Safety
/// `values` is NULL or leads to `len` readable values.
unsafe fn numbers<'a>(
    handle: &Handle,
    values: *const f32,
    len: usize,
    what: &'static str,
) -> Result<&'a [f32]> {
    if Span::new(values, len.saturating_mul(size_of::<f32>())).overlaps(handle.arena) {
        return Err(Status::Overlap.about(what));
    }
    // SAFETY: as promised by the caller.
    unsafe { floats(values, len, what) }
}

fn source(meaning: Meaning<'_>, method: u32) -> Result<ClassSource<'_>> {
    match method {
        ZSSEG_METHOD_DIRECT => Ok(ClassSource::Meaning(meaning)),
        ZSSEG_METHOD_GENERATOR => Ok(ClassSource::Generated(meaning)),
        other => Err(no_such("method", other, ZSSEG_METHOD_GENERATOR)),
    }
}

/// Adds a class by its row of the classifier, from the next frame on. `len` is
/// zsseg_bundle_info_t.channels; `bias` is 0 for ZSSEG_HEAD_DOT and ZSSEG_HEAD_COSINE, whose rows
/// are embeddings. This and the next two calls give up a frame at work and forget the past that
/// frames are smoothed with; on an error nothing has changed. They never allocate.
///
/// # Safety
/// `handle` came from zsseg_init() and no other thread uses it; `class_info` and `weights`
/// are NULL or valid.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn zsseg_class_add_row(
    handle: *mut zsseg_t,
    class_info: *const zsseg_new_class_t,
    weights: *const f32,
    len: usize,
    bias: f32,
    label: *mut u32,
) -> zsseg_status_t {
    let call = |handle: &mut Handle| {
        let source = |_: &NewClass<'static>, handle: &Handle| {
            // SAFETY: as promised by the caller.
            let weights = unsafe { numbers(handle, weights, len, "weights of a class")? };
            Ok(ClassSource::Row { weights, bias })
        };
        // SAFETY: as promised by the caller.
        unsafe { add(handle, class_info, source, label) }
    };
    // SAFETY: as promised by the caller.
    unsafe { with_handle(handle, call) }
}

/// Adds a class by its embedding. `dim` is zsseg_bundle_info_t.embedding_dim, `method` one of
/// ZSSEG_METHOD_*.
///
/// # Safety
/// `handle` came from zsseg_init() and no other thread uses it; `class_info` and `values`
/// are NULL or valid.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn zsseg_class_add_embedding(
    handle: *mut zsseg_t,
    class_info: *const zsseg_new_class_t,
    values: *const f32,
    dim: usize,
    method: u32,
    label: *mut u32,
) -> zsseg_status_t {
    let call = |handle: &mut Handle| {
        let source = |_: &NewClass<'static>, handle: &Handle| {
            // SAFETY: as promised by the caller.
            let values = unsafe { numbers(handle, values, dim, "embedding of a class")? };
            source(Meaning::Embedding(values), method)
        };
        // SAFETY: as promised by the caller.
        unsafe { add(handle, class_info, source, label) }
    };
    // SAFETY: as promised by the caller.
    unsafe { with_handle(handle, call) }
}

/// Adds a class by the embedding of a phrase, or of its name if `text` is NULL: the vector of the
/// phrase, or else the mean of the vectors of its words, which blanks, hyphens and underscores
/// divide. ZSSEG_E_UNKNOWN_WORD, whose text tells which. `method` is one of ZSSEG_METHOD_*.
///
/// # Safety
/// `handle` came from zsseg_init() and no other thread uses it; `class_info` is NULL or
/// valid, `text` is NULL or NUL-terminated.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn zsseg_class_add_word(
    handle: *mut zsseg_t,
    class_info: *const zsseg_new_class_t,
    text: *const c_char,
    method: u32,
    label: *mut u32,
) -> zsseg_status_t {
    let call = |handle: &mut Handle| {
        let source = |class: &NewClass<'static>, _: &Handle| {
            let phrase = match text.is_null() {
                true => class.name,
                // SAFETY: as promised by the caller.
                false => unsafe { phrase(text)? },
            };
            source(Meaning::Word(phrase), method)
        };
        // SAFETY: as promised by the caller.
        unsafe { add(handle, class_info, source, label) }
    };
    // SAFETY: as promised by the caller.
    unsafe { with_handle(handle, call) }
}

/// Gives a class, also one of the bundle's, another row. Takes one of zsseg_limits_t.extra_classes
/// unless the class has one already. Otherwise as zsseg_class_add_row().
///
/// # Safety
/// `handle` came from zsseg_init() and no other thread uses it; `weights` is NULL or
/// valid.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn zsseg_class_replace_row(
    handle: *mut zsseg_t,
    label: u32,
    weights: *const f32,
    len: usize,
    bias: f32,
) -> zsseg_status_t {
    let call = |handle: &mut Handle| {
        let label = self::label(label)?;
        // SAFETY: as promised by the caller.
        let weights = unsafe { numbers(handle, weights, len, "weights of a class")? };
        handle.segmenter.replace_class(label, &ClassSource::Row { weights, bias })
    };
    // SAFETY: as promised by the caller.
    unsafe { with_handle(handle, call) }
}

/// Gives a class another row by an embedding. Otherwise as zsseg_class_replace_row() and
/// zsseg_class_add_embedding().
///
/// # Safety
/// `handle` came from zsseg_init() and no other thread uses it; `values` is NULL or valid.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn zsseg_class_replace_embedding(
    handle: *mut zsseg_t,
    label: u32,
    values: *const f32,
    dim: usize,
    method: u32,
) -> zsseg_status_t {
    let call = |handle: &mut Handle| {
        let label = self::label(label)?;
        // SAFETY: as promised by the caller.
        let values = unsafe { numbers(handle, values, dim, "embedding of a class")? };
        handle.segmenter.replace_class(label, &source(Meaning::Embedding(values), method)?)
    };
    // SAFETY: as promised by the caller.
    unsafe { with_handle(handle, call) }
}

/// Gives a class another row by a phrase. Otherwise as zsseg_class_replace_row() and
/// zsseg_class_add_word(), but `text` is required.
///
/// # Safety
/// `handle` came from zsseg_init() and no other thread uses it; `text` is NULL or
/// NUL-terminated.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn zsseg_class_replace_word(
    handle: *mut zsseg_t,
    label: u32,
    text: *const c_char,
    method: u32,
) -> zsseg_status_t {
    let call = |handle: &mut Handle| {
        let label = self::label(label)?;
        // SAFETY: as promised by the caller.
        let phrase = unsafe { phrase(text)? };
        handle.segmenter.replace_class(label, &source(Meaning::Word(phrase), method)?)
    };
    // SAFETY: as promised by the caller.
    unsafe { with_handle(handle, call) }
}

/// Removes a class from the next frame on. Its label is free for another. ZSSEG_E_INVALID_ARGUMENT,
/// as of the next calls, when no class has this label. A class of the bundle is back after the next
/// zsseg_init().
///
/// # Safety
/// `handle` came from zsseg_init() and no other thread uses it.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn zsseg_class_remove(handle: *mut zsseg_t, label: u32) -> zsseg_status_t {
    let call = |handle: &mut Handle| handle.segmenter.remove_class(self::label(label)?);
    // SAFETY: as promised by the caller.
    unsafe { with_handle(handle, call) }
}

/// Gives a class another name: as for zsseg_new_class_t. The frame at work goes on.
///
/// # Safety
/// `handle` came from zsseg_init() and no other thread uses it; `new_name` is NULL or
/// NUL-terminated.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn zsseg_class_rename(
    handle: *mut zsseg_t,
    label: u32,
    new_name: *const c_char,
) -> zsseg_status_t {
    let call = |handle: &mut Handle| {
        // SAFETY: as promised by the caller.
        handle.segmenter.rename_class(self::label(label)?, unsafe { name(new_name)? })
    };
    // SAFETY: as promised by the caller.
    unsafe { with_handle(handle, call) }
}

/// Lets a class take part (1), or not (0), from the next frame on.
///
/// # Safety
/// `handle` came from zsseg_init() and no other thread uses it.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn zsseg_class_enable(
    handle: *mut zsseg_t,
    label: u32,
    enabled: u32,
) -> zsseg_status_t {
    let call = |handle: &mut Handle| {
        if enabled > 1 {
            return Err(no_such("enabled", enabled, 1));
        }
        handle.segmenter.enable_class(self::label(label)?, enabled == 1)
    };
    // SAFETY: as promised by the caller.
    unsafe { with_handle(handle, call) }
}

/// Sets what is added to a class's logit; finite.
///
/// # Safety
/// `handle` came from zsseg_init() and no other thread uses it.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn zsseg_class_set_bias(
    handle: *mut zsseg_t,
    label: u32,
    bias: f32,
) -> zsseg_status_t {
    let call = |handle: &mut Handle| handle.segmenter.set_class_bias(self::label(label)?, bias);
    // SAFETY: as promised by the caller.
    unsafe { with_handle(handle, call) }
}

/// Sets how likely a class is beforehand: greater than 0, in any unit that is the same for all.
///
/// # Safety
/// `handle` came from zsseg_init() and no other thread uses it.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn zsseg_class_set_prior(
    handle: *mut zsseg_t,
    label: u32,
    prior: f32,
) -> zsseg_status_t {
    let call = |handle: &mut Handle| handle.segmenter.set_class_prior(self::label(label)?, prior);
    // SAFETY: as promised by the caller.
    unsafe { with_handle(handle, call) }
}

/// Finds the class that is called `wanted`. ZSSEG_E_INVALID_ARGUMENT when there is none.
///
/// # Safety
/// `handle` came from zsseg_init() and no other thread uses it; `wanted` is NULL or
/// NUL-terminated, `label` NULL or valid.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn zsseg_class_find(
    handle: *mut zsseg_t,
    wanted: *const c_char,
    label: *mut u32,
) -> zsseg_status_t {
    let call = |handle: &mut Handle| {
        not_null(label, "label")?;
        // SAFETY: as promised by the caller.
        let found = handle.segmenter.find_class(unsafe { name(wanted)? });
        let found = found.ok_or(Status::InvalidArgument.about("no class of this name"))?;
        // SAFETY: not NULL.
        unsafe { put(label, found.into()) }
    };
    // SAFETY: as promised by the caller.
    unsafe { with_handle(handle, call) }
}

/// Describes the class with this label. ZSSEG_E_INVALID_ARGUMENT when there is none: to list all,
/// ask for every label below zsseg_label_capacity().
///
/// # Safety
/// `handle` came from zsseg_init() and no other thread uses it; `info` is NULL or valid.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn zsseg_class_info(
    handle: *mut zsseg_t,
    label: u32,
    info: *mut zsseg_class_t,
) -> zsseg_status_t {
    let call = |handle: &mut Handle| {
        check_out(info, "info")?;
        let class = handle.segmenter.class(self::label(label)?)?;
        // SAFETY: checked above.
        unsafe { write(info, &describe(&class)) }
    };
    // SAFETY: as promised by the caller.
    unsafe { with_handle(handle, call) }
}

fn describe(class: &ClassInfo<'_>) -> zsseg_class_t {
    let [red, green, blue] = class.color;
    let flag = |on: bool, bit: u32| if on { bit } else { 0 };
    zsseg_class_t {
        struct_size: 0,
        flags: flag(class.seen, ZSSEG_CLASS_SEEN)
            | flag(class.background, ZSSEG_CLASS_BACKGROUND)
            | flag(class.enabled, ZSSEG_CLASS_ENABLED),
        name: class.name.as_ptr().cast(),
        color: [red, green, blue, 0],
        bias: class.bias,
        prior: class.prior,
        origin: match class.origin {
            Origin::Bundle => ZSSEG_ORIGIN_BUNDLE,
            Origin::Row => ZSSEG_ORIGIN_ROW,
            Origin::Embedding => ZSSEG_ORIGIN_EMBEDDING,
            Origin::Word => ZSSEG_ORIGIN_WORD,
            Origin::Generator => ZSSEG_ORIGIN_GENERATOR,
        },
        label: class.label.into(),
        reserved: 0,
    }
}

/// Number of places for classes: every label is below it, whatever is added.
///
/// # Safety
/// `handle` came from zsseg_init() and no other thread uses it; `capacity` is NULL or
/// valid.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn zsseg_label_capacity(
    handle: *mut zsseg_t,
    capacity: *mut u32,
) -> zsseg_status_t {
    let call = |handle: &mut Handle| {
        not_null(capacity, "capacity")?;
        // SAFETY: not NULL.
        unsafe { put(capacity, handle.segmenter.label_capacity() as u32) }
    };
    // SAFETY: as promised by the caller.
    unsafe { with_handle(handle, call) }
}

/// Number of rows that can still be added or replaced.
///
/// # Safety
/// `handle` came from zsseg_init() and no other thread uses it; `vacancies` is NULL or
/// valid.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn zsseg_class_vacancies(
    handle: *mut zsseg_t,
    vacancies: *mut u32,
) -> zsseg_status_t {
    let call = |handle: &mut Handle| {
        not_null(vacancies, "vacancies")?;
        // SAFETY: not NULL.
        unsafe { put(vacancies, handle.segmenter.vacancies() as u32) }
    };
    // SAFETY: as promised by the caller.
    unsafe { with_handle(handle, call) }
}
