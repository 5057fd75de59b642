//! C structs, texts and numbers in and out.

use super::guard::Text;
use super::types::*;
use super::types_classes::*;
use super::types_work::*;
use crate::limits::{AffinityShape, Limits, MAX_NAME_BYTES};
use crate::status::{Error, Result, Status};
use core::ffi::{CStr, c_char};
use core::mem::MaybeUninit;

/// A struct that starts with its `struct_size`.
///
/// # Safety
/// `repr(C)`, first field `struct_size: u32`, no padding, and valid when every byte is zero.
pub(super) unsafe trait Versioned: Sized {
    /// Sizes that the struct had in older headers.
    const OLDER_BYTES: &'static [usize] = &[];
}

/// States that structs are [`Versioned`], with the first field that each older header lacked.
macro_rules! versioned {
    ($($name:ident $(without $field:ident)*;)*) => {$(
        // SAFETY: `repr(C)`, integers, floats, raw pointers and optional functions only,
        // `struct_size` first.
        unsafe impl Versioned for $name {
            const OLDER_BYTES: &'static [usize] = &[$(core::mem::offset_of!($name, $field)),*];
        }
    )*};
}

versioned! {
    zsseg_error_t;
    zsseg_limits_t without extra_classes;
    zsseg_bundle_info_t without head;
    zsseg_class_t without prior;
    zsseg_image_t;
    zsseg_output_t without unknown;
    zsseg_features_t;
    zsseg_new_class_t;
    zsseg_class_cost_t;
    zsseg_decision_t;
    zsseg_frame_t;
    zsseg_fusion_t;
    zsseg_thread_pool_t;
    zsseg_times_t;
    zsseg_object_settings_t;
    zsseg_object_t;
}

/// NULL check with the argument's name.
pub(super) fn not_null<T>(pointer: *const T, what: &'static str) -> Result<()> {
    if pointer.is_null() { Err(Status::NullPointer.about(what)) } else { Ok(()) }
}

fn checked_size<T: Versioned>(pointer: *const T, what: &'static str) -> Result<usize> {
    not_null(pointer, what)?;
    // SAFETY: not NULL, and the caller's struct starts with its size.
    let size = unsafe { pointer.cast::<u32>().read_unaligned() } as usize;
    if size != size_of::<T>() && !T::OLDER_BYTES.contains(&size) {
        return Err(Status::StructSize.about(what).numbers(size as u64, size_of::<T>() as u64));
    }
    Ok(size)
}

/// Copies a caller's struct; fields that an older caller does not have are zero.
///
/// # Safety
/// `pointer` is NULL or leads to a struct of `struct_size` readable bytes.
pub(super) unsafe fn read<T: Versioned>(pointer: *const T, what: &'static str) -> Result<T> {
    let size = checked_size(pointer, what)?;
    let mut value = MaybeUninit::<T>::zeroed();
    // SAFETY: `size` is at most the struct's, and zero bytes are a valid struct.
    unsafe {
        core::ptr::copy_nonoverlapping(pointer.cast::<u8>(), value.as_mut_ptr().cast(), size);
        Ok(value.assume_init())
    }
}

/// Refuses a field that has no meaning yet and is not 0.
pub(super) fn unused(field: u32, what: &'static str) -> Result<()> {
    if field == 0 {
        return Ok(());
    }
    Err(Status::InvalidArgument.about(what).numbers(field.into(), 0))
}

/// Checks a struct that is to be written later.
pub(super) fn check_out<T: Versioned>(pointer: *const T, what: &'static str) -> Result<()> {
    checked_size(pointer, what).map(|_| ())
}

/// Writes as much of `value` as the caller's version of the struct holds, keeping its
/// `struct_size`.
///
/// # Safety
/// `pointer` passed [`check_out`] and leads to `struct_size` writable bytes.
pub(super) unsafe fn write<T: Versioned>(pointer: *mut T, value: &T) -> Result<()> {
    let size = checked_size(pointer, "struct")?;
    let skip = size_of::<u32>();
    // SAFETY: both structs hold `size` bytes; the first four stay the caller's.
    unsafe {
        let source = core::ptr::from_ref(value).cast::<u8>().add(skip);
        core::ptr::copy_nonoverlapping(source, pointer.cast::<u8>().add(skip), size - skip);
    }
    Ok(())
}

/// Fills the caller's error struct, if there is one of a known size, and returns the status.
///
/// # Safety
/// `pointer` is NULL or leads to a struct of `struct_size` writable bytes.
pub(super) unsafe fn report(result: Result<()>, pointer: *mut zsseg_error_t) -> zsseg_status_t {
    let (status, text) = match &result {
        Ok(()) => (Status::Ok, Text::EMPTY),
        Err(error) => (error.status(), Text::of(error)),
    };
    let status = status.code();
    let value = zsseg_error_t { struct_size: 0, status, text: text.as_chars() };
    if !pointer.is_null() {
        // SAFETY: as promised by the caller; a wrong `struct_size` writes nothing.
        let _ = unsafe { write(pointer, &value) };
    }
    status
}

/// The bytes of a bundle.
///
/// # Safety
/// `bytes` is NULL or leads to `len` bytes that stay readable and unchanged for `'a`.
pub(super) unsafe fn bundle_bytes<'a>(
    bytes: *const core::ffi::c_void,
    len: usize,
) -> Result<&'a [u8]> {
    not_null(bytes, "bundle")?;
    if len > isize::MAX as usize {
        return Err(Status::LimitExceeded.about("bundle"));
    }
    // SAFETY: as promised by the caller.
    Ok(unsafe { core::slice::from_raw_parts(bytes.cast(), len) })
}

/// Writes a number or a pointer; `pointer` may be unaligned.
///
/// # Safety
/// `pointer` leads to a writable `T`.
pub(super) unsafe fn put<T>(pointer: *mut T, value: T) -> Result<()> {
    // SAFETY: as promised by the caller.
    unsafe { pointer.write_unaligned(value) };
    Ok(())
}

/// Longest phrase, in bytes.
const MAX_PHRASE_BYTES: usize = 1023;
/// What errors call a text, and one that is not UTF-8.
const NAME: (&str, &str) = ("bytes of a class's name", "a class's name that is not UTF-8");
const PHRASE: (&str, &str) = ("bytes of a phrase", "a phrase that is not UTF-8");

/// The name of a class. Never reads beyond its longest length and one byte.
///
/// # Safety
/// `text` is NULL or NUL-terminated, and stays unchanged for `'a`.
pub(super) unsafe fn name<'a>(text: *const c_char) -> Result<&'a str> {
    // SAFETY: as promised by the caller.
    unsafe { bounded_text(text, NAME, MAX_NAME_BYTES) }
}

/// A phrase that is looked up in a word table.
///
/// # Safety
/// As for [`name`].
pub(super) unsafe fn phrase<'a>(text: *const c_char) -> Result<&'a str> {
    // SAFETY: as promised by the caller.
    unsafe { bounded_text(text, PHRASE, MAX_PHRASE_BYTES) }
}

/// # Safety
/// As for [`name`].
unsafe fn bounded_text<'a>(
    text: *const c_char,
    (what, not_utf8): (&'static str, &'static str),
    most: usize,
) -> Result<&'a str> {
    not_null(text, what)?;
    // SAFETY: the text ends with a NUL, and bytes behind one that is not NUL belong to it.
    let ends = (0..=most).any(|at| unsafe { text.add(at).read() } == 0);
    if !ends {
        let error = Status::InvalidArgument.about(what);
        return Err(error.numbers(most as u64 + 1, most as u64));
    }
    // SAFETY: there is a NUL.
    let text = unsafe { CStr::from_ptr(text) };
    text.to_str().map_err(|_| Status::InvalidArgument.about(not_utf8))
}

/// `len` floats of the caller's.
///
/// # Safety
/// `data` is NULL or leads to `len` values that stay readable and unchanged for `'a`.
pub(super) unsafe fn floats<'a>(
    data: *const f32,
    len: usize,
    what: &'static str,
) -> Result<&'a [f32]> {
    not_null(data, what)?;
    if !data.is_aligned() || len > isize::MAX as usize / size_of::<f32>() {
        return Err(Status::InvalidArgument.about(what));
    }
    // SAFETY: as promised by the caller; aligned.
    Ok(unsafe { core::slice::from_raw_parts(data, len) })
}

/// `len` floats of the caller's, to be written.
///
/// # Safety
/// `data` is NULL or leads to `len` writable values that nothing else uses for `'a`.
pub(super) unsafe fn floats_mut<'a>(
    data: *mut f32,
    len: usize,
    what: &'static str,
) -> Result<&'a mut [f32]> {
    // SAFETY: as promised by the caller.
    unsafe { floats(data, len, what)? };
    // SAFETY: as promised by the caller; checked like those that are read.
    Ok(unsafe { core::slice::from_raw_parts_mut(data, len) })
}

/// The label of a class.
pub(super) fn label(label: u32) -> Result<u16> {
    let too_large = Status::InvalidArgument.about("label of a class");
    u16::try_from(label).map_err(|_| too_large.numbers(label.into(), u16::MAX.into()))
}

/// An error about a number that is none of a list whose highest is `last`.
pub(super) fn no_such(what: &'static str, found: u32, last: u32) -> Error {
    Status::InvalidArgument.about(what).numbers(found.into(), last.into())
}

impl zsseg_limits_t {
    pub(super) fn to_limits(&self) -> Result<Limits> {
        const KNOWN: u32 = ZSSEG_USE_SMOOTHING | ZSSEG_USE_FUSION | ZSSEG_USE_GENERATOR;
        if self.uses & !KNOWN != 0 {
            return Err(no_such("uses", self.uses, KNOWN));
        }
        let sides = [self.affinity_height, self.affinity_width, self.affinity_channels];
        let [height, width, channels] = sides.map(|side| side as usize);
        let given = sides != [0; 3];
        Ok(Limits {
            max_frame_width: self.max_frame_width,
            max_frame_height: self.max_frame_height,
            threads: self.threads,
            extra_classes: self.extra_classes,
            smoothing: self.uses & ZSSEG_USE_SMOOTHING != 0,
            fusion: self.uses & ZSSEG_USE_FUSION != 0,
            affinity: given.then_some(AffinityShape { height, width, channels }),
            generator: self.uses & ZSSEG_USE_GENERATOR != 0,
        })
    }
}
