//! The caller's frames, features and planes.

use super::convert::{floats, no_such, not_null, read, unused};
use super::guard::{Handle, Span};
use super::types::*;
use super::types_work::zsseg_frame_t;
use crate::head::{Labels, Output, PlaneMut};
use crate::image::{ColorMatrix, ColorRange, Image, PixelFormat, Plane};
use crate::map::{Layout, Map};
use crate::segmenter::{self, Source};
use crate::status::{Result, Status};

/// Where the frame's features come from.
#[derive(Clone, Copy)]
pub(super) enum Input {
    Image(zsseg_image_t),
    Features { features: zsseg_features_t, width: u32, height: u32 },
}

/// A frame with its output, in the caller's memory. Kept from begin to the last step.
#[derive(Clone, Copy)]
pub(super) struct Frame {
    input: Input,
    affinity: Option<zsseg_features_t>,
    output: zsseg_output_t,
}

impl Frame {
    /// A frame and its output, which shares no byte with anything that is read.
    ///
    /// # Safety
    /// The structs describe memory that exists.
    pub(super) unsafe fn new(
        handle: &Handle,
        input: Input,
        affinity: Option<zsseg_features_t>,
        output: zsseg_output_t,
    ) -> Result<Frame> {
        let nothing = Span::new(core::ptr::null::<u8>(), 0);
        let [first, second, third] = match &input {
            Input::Image(image) => image.spans(),
            Input::Features { features, .. } => [features.span(), nothing, nothing],
        };
        let fourth = affinity.as_ref().map_or(nothing, zsseg_features_t::span);
        output.check_overlap(&[handle.arena, handle.bundle, first, second, third, fourth])?;
        Ok(Frame { input, affinity, output })
    }

    /// Reads what zsseg_begin() is given.
    ///
    /// # Safety
    /// The pointers are NULL or lead to what they say, and that describes memory that exists.
    pub(super) unsafe fn read(
        handle: &Handle,
        frame: *const zsseg_frame_t,
        output: *const zsseg_output_t,
    ) -> Result<Frame> {
        // SAFETY: as promised by the caller.
        let frame = unsafe { read(frame, "frame")? };
        // SAFETY: as promised by the caller.
        let output = unsafe { read(output, "output")? };
        unused(frame.reserved, "reserved of a frame")?;
        if !frame.image.is_null() {
            unused(frame.width | frame.height, "size beside an image")?;
        }
        let input = match (frame.image.is_null(), frame.features.is_null()) {
            (true, true) => return Err(Status::NullPointer.about("image and features")),
            (false, false) => {
                return Err(Status::InvalidArgument.about("both an image and features"));
            }
            // SAFETY: as promised by the caller.
            (false, true) => Input::Image(unsafe { read(frame.image, "image")? }),
            (true, false) => Input::Features {
                // SAFETY: as promised by the caller.
                features: unsafe { read(frame.features, "features")? },
                width: frame.width,
                height: frame.height,
            },
        };
        let affinity = match frame.affinity.is_null() {
            true => None,
            // SAFETY: as promised by the caller.
            false => Some(unsafe { read(frame.affinity, "affinity")? }),
        };
        // SAFETY: as promised by the caller.
        unsafe { Frame::new(handle, input, affinity, output) }
    }

    /// Hands the frame to `call` as the library's own types.
    ///
    /// # Safety
    /// The memory that the frame describes exists, and nothing uses it meanwhile.
    pub(super) unsafe fn with<T>(
        &self,
        call: impl FnOnce(&segmenter::Frame<'_>, &mut Output<'_>) -> Result<T>,
    ) -> Result<T> {
        let affinity = match &self.affinity {
            // SAFETY: as promised by the caller.
            Some(affinity) => Some(unsafe { affinity.as_map()? }),
            None => None,
        };
        let affinity = affinity.as_ref();
        match &self.input {
            Input::Image(image) => {
                // SAFETY: as promised by the caller.
                let (image, mut output) = unsafe { (image.as_image()?, self.output.as_output()?) };
                let frame = segmenter::Frame { affinity, ..segmenter::Frame::of(&image) };
                call(&frame, &mut output)
            }
            &Input::Features { features, width, height } => {
                // SAFETY: as promised by the caller.
                let (map, mut output) = unsafe { (features.as_map()?, self.output.as_output()?) };
                let source = Source::Features { map: &map, width, height };
                call(&segmenter::Frame { source, affinity }, &mut output)
            }
        }
    }
}

impl zsseg_image_t {
    /// # Safety
    /// The planes of the format are NULL or lead to `plane_bytes` readable bytes each.
    pub(super) unsafe fn as_image<'a>(&self) -> Result<Image<'a>> {
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
    pub(super) unsafe fn as_map<'a>(&self) -> Result<Map<'a, f32>> {
        unused(self.reserved, "reserved of features")?;
        // SAFETY: as promised by the caller.
        let data = unsafe { floats(self.data, self.len, "features")? };
        let layout = match self.layout {
            ZSSEG_LAYOUT_CHW => Layout::Chw,
            ZSSEG_LAYOUT_HWC => Layout::Hwc,
            other => {
                return Err(no_such("layout", other, ZSSEG_LAYOUT_HWC));
            }
        };
        let (height, width) = (self.grid_height as usize, self.grid_width as usize);
        Map::new(data, height, width, self.channels as usize, layout)
    }

    pub(super) fn span(&self) -> Span {
        Span::new(self.data, self.len.saturating_mul(size_of::<f32>()))
    }
}

impl zsseg_output_t {
    /// Addresses that are written.
    fn spans(&self) -> [Span; 4] {
        let optional = |data: *mut u8, len| Span::new(data, if data.is_null() { 0 } else { len });
        [
            Span::new(self.labels, self.labels_bytes),
            optional(self.confidence, self.confidence_bytes),
            optional(self.margin, self.margin_bytes),
            optional(self.unknown, self.unknown_bytes),
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
    pub(super) unsafe fn as_output<'a>(&self) -> Result<Output<'a>> {
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
                return Err(no_such("label type", other, ZSSEG_LABELS_U16));
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
            unknown: optional(self.unknown, self.unknown_bytes, self.unknown_stride_bytes)?,
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
