//! C structs in and out: sizes, pointers, numbers.

use super::guard::{Span, Text};
use super::types::*;
use crate::head::{Labels, Output, PlaneMut};
use crate::image::{ColorMatrix, ColorRange, Image, PixelFormat, Plane};
use crate::limits::Limits;
use crate::map::{Layout, Map};
use crate::status::{Result, Status};
use core::mem::MaybeUninit;

/// A struct that starts with its `struct_size`.
///
/// # Safety
/// `repr(C)`, first field `struct_size: u32`, and valid when every byte is zero.
pub(super) unsafe trait Versioned: Sized {
    /// Size of the struct in the first version of the header that had it.
    const OLDEST_BYTES: usize;
}

// SAFETY: `repr(C)`, integers, floats and raw pointers only, `struct_size` first.
unsafe impl Versioned for zsseg_error_t {
    const OLDEST_BYTES: usize = size_of::<Self>();
}

// SAFETY: `repr(C)`, integers, floats and raw pointers only, `struct_size` first.
unsafe impl Versioned for zsseg_limits_t {
    const OLDEST_BYTES: usize = size_of::<Self>();
}

// SAFETY: `repr(C)`, integers, floats and raw pointers only, `struct_size` first.
unsafe impl Versioned for zsseg_bundle_info_t {
    const OLDEST_BYTES: usize = size_of::<Self>();
}

// SAFETY: `repr(C)`, integers, floats and raw pointers only, `struct_size` first.
unsafe impl Versioned for zsseg_class_t {
    const OLDEST_BYTES: usize = size_of::<Self>();
}

// SAFETY: `repr(C)`, integers, floats and raw pointers only, `struct_size` first.
unsafe impl Versioned for zsseg_image_t {
    const OLDEST_BYTES: usize = size_of::<Self>();
}

// SAFETY: `repr(C)`, integers, floats and raw pointers only, `struct_size` first.
unsafe impl Versioned for zsseg_output_t {
    const OLDEST_BYTES: usize = size_of::<Self>();
}

// SAFETY: `repr(C)`, integers, floats and raw pointers only, `struct_size` first.
unsafe impl Versioned for zsseg_features_t {
    const OLDEST_BYTES: usize = size_of::<Self>();
}

/// NULL check with the argument's name.
pub(super) fn not_null<T>(pointer: *const T, what: &'static str) -> Result<()> {
    if pointer.is_null() { Err(Status::NullPointer.about(what)) } else { Ok(()) }
}

fn checked_size<T: Versioned>(pointer: *const T, what: &'static str) -> Result<usize> {
    not_null(pointer, what)?;
    // SAFETY: not NULL, and the caller's struct starts with its size.
    let size = unsafe { pointer.cast::<u32>().read_unaligned() } as usize;
    if size < T::OLDEST_BYTES || size > size_of::<T>() {
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

impl zsseg_limits_t {
    pub(super) fn to_limits(&self) -> Limits {
        Limits {
            max_frame_width: self.max_frame_width,
            max_frame_height: self.max_frame_height,
            threads: self.threads,
        }
    }
}

impl zsseg_image_t {
    /// # Safety
    /// The planes of the format are NULL or lead to `plane_bytes` readable bytes each.
    pub(super) unsafe fn to_image<'a>(&self) -> Result<Image<'a>> {
        let format = PixelFormat::from_code(self.format)?;
        let matrix = ColorMatrix::from_code(self.color_matrix)?;
        let range = ColorRange::from_code(self.color_range)?;
        let mut planes = [Plane::default(); 3];
        let sizes = self.stride_bytes.iter().zip(&self.plane_bytes);
        let sources = self.planes.iter().zip(sizes).take(format.planes());
        for (plane, (&data, (&stride_bytes, &len))) in planes.iter_mut().zip(sources) {
            not_null(data, "plane of the frame")?;
            if len > isize::MAX as usize {
                return Err(Status::LimitExceeded.about("plane of the frame"));
            }
            // SAFETY: as promised by the caller.
            let data = unsafe { core::slice::from_raw_parts(data, len) };
            *plane = Plane { data, stride_bytes };
        }
        let planes = planes.get(..format.planes()).unwrap_or_default();
        Image::new(format, self.width, self.height, planes, matrix, range)
    }

    /// Addresses that are read.
    pub(super) fn spans(&self) -> [Span; 3] {
        let count = PixelFormat::from_code(self.format).map_or(0, PixelFormat::planes);
        let mut spans = [Span::new(core::ptr::null::<u8>(), 0); 3];
        let planes = self.planes.iter().zip(&self.plane_bytes).take(count);
        for (span, (&data, &len)) in spans.iter_mut().zip(planes) {
            *span = Span::new(data, len);
        }
        spans
    }
}

impl zsseg_features_t {
    /// # Safety
    /// `data` is NULL or leads to `len` readable values.
    pub(super) unsafe fn to_map<'a>(&self) -> Result<Map<'a, f32>> {
        not_null(self.data, "features")?;
        if !self.data.is_aligned() || self.len > isize::MAX as usize / size_of::<f32>() {
            return Err(Status::InvalidArgument.about("features"));
        }
        let layout = match self.layout {
            ZSSEG_LAYOUT_CHW => Layout::Chw,
            ZSSEG_LAYOUT_HWC => Layout::Hwc,
            other => {
                return Err(Status::InvalidArgument.about("layout").numbers(other.into(), 1));
            }
        };
        // SAFETY: as promised by the caller.
        let data = unsafe { core::slice::from_raw_parts(self.data, self.len) };
        let (height, width) = (self.grid_height as usize, self.grid_width as usize);
        Map::new(data, height, width, self.channels as usize, layout)
    }

    pub(super) fn span(&self) -> Span {
        Span::new(self.data, self.len.saturating_mul(size_of::<f32>()))
    }
}

impl zsseg_output_t {
    /// Addresses that are written.
    fn spans(&self) -> [Span; 3] {
        let optional = |data: *mut u8, len| Span::new(data, if data.is_null() { 0 } else { len });
        [
            Span::new(self.labels, self.labels_bytes),
            optional(self.confidence, self.confidence_bytes),
            optional(self.margin, self.margin_bytes),
        ]
    }

    /// Checks that no output overlaps another or any of `others`.
    pub(super) fn check_overlap(&self, others: &[Span]) -> Result<()> {
        let spans = self.spans();
        for (number, &span) in spans.iter().enumerate() {
            let later = spans.iter().skip(number + 1);
            if others.iter().chain(later).any(|&other| span.overlaps(other)) {
                return Err(Status::Overlap.about("output plane"));
            }
        }
        Ok(())
    }

    /// # Safety
    /// The planes are NULL or lead to as many writable bytes as stated, and
    /// [`zsseg_output_t::check_overlap`] passed.
    pub(super) unsafe fn to_output<'a>(&self) -> Result<Output<'a>> {
        not_null(self.labels, "label plane")?;
        let labels_bytes = checked_len(self.labels_bytes)?;
        let labels = match self.label_type {
            ZSSEG_LABELS_U8 => {
                // SAFETY: as promised by the caller.
                Labels::U8(unsafe {
                    plane(self.labels.cast(), labels_bytes, self.labels_stride_bytes)
                })
            }
            ZSSEG_LABELS_U16 => {
                let data = self.labels.cast::<u16>();
                if !data.is_aligned() || !self.labels_stride_bytes.is_multiple_of(2) {
                    return Err(Status::InvalidArgument.about("alignment of u16 labels"));
                }
                // SAFETY: as promised by the caller; aligned.
                Labels::U16(unsafe { plane(data, labels_bytes / 2, self.labels_stride_bytes / 2) })
            }
            other => {
                return Err(Status::InvalidArgument.about("label type").numbers(other.into(), 2));
            }
        };
        let optional = |data: *mut u8, len, stride| -> Result<Option<PlaneMut<'a, u8>>> {
            if data.is_null() {
                return Ok(None);
            }
            // SAFETY: as promised by the caller.
            Ok(Some(unsafe { plane(data, checked_len(len)?, stride) }))
        };
        Ok(Output {
            labels,
            confidence: optional(
                self.confidence,
                self.confidence_bytes,
                self.confidence_stride_bytes,
            )?,
            margin: optional(self.margin, self.margin_bytes, self.margin_stride_bytes)?,
        })
    }
}

fn checked_len(len: usize) -> Result<usize> {
    if len > isize::MAX as usize {
        return Err(Status::LimitExceeded.about("output plane"));
    }
    Ok(len)
}

/// # Safety
/// `data` leads to `len` aligned, writable elements that nothing else uses for `'a`.
unsafe fn plane<'a, T: Copy>(data: *mut T, len: usize, stride: usize) -> PlaneMut<'a, T> {
    // SAFETY: as promised by the caller.
    PlaneMut::new(unsafe { core::slice::from_raw_parts_mut(data, len) }, stride)
}
