//! GStreamer's frames as the library's: formats, colorimetry, strides and crops.

use crate::problem::Problem;
use gst_video::prelude::*;
use gst_video::{
    VideoColorMatrix, VideoColorRange, VideoCropMeta, VideoFormat, VideoFrameRef, VideoInfo,
};
use zsseg::image::{ColorMatrix, ColorRange, Image, PixelFormat, Plane};

/// GStreamer's formats and the library's, cheapest to read first.
const FORMATS: [(VideoFormat, PixelFormat); 12] = [
    (VideoFormat::Nv12, PixelFormat::Nv12),
    (VideoFormat::Rgb, PixelFormat::Rgb8),
    (VideoFormat::Bgr, PixelFormat::Bgr8),
    (VideoFormat::Rgba, PixelFormat::Rgba8),
    (VideoFormat::Rgbx, PixelFormat::Rgba8),
    (VideoFormat::Bgra, PixelFormat::Bgra8),
    (VideoFormat::Bgrx, PixelFormat::Bgra8),
    (VideoFormat::I420, PixelFormat::I420),
    (VideoFormat::Nv21, PixelFormat::Nv21),
    (VideoFormat::Yuy2, PixelFormat::Yuyv),
    (VideoFormat::Uyvy, PixelFormat::Uyvy),
    (VideoFormat::Gray8, PixelFormat::Gray8),
];

/// The formats that frames may come in.
pub fn formats() -> impl Iterator<Item = VideoFormat> {
    FORMATS.into_iter().map(|(format, _)| format)
}

/// How pixels are to be read.
#[derive(Clone, Copy, Debug)]
pub struct Reading {
    format: PixelFormat,
    matrix: ColorMatrix,
    range: ColorRange,
}

impl Reading {
    /// From caps.
    ///
    /// # Errors
    /// For a format that is none of [`formats`].
    pub fn of(info: &VideoInfo) -> Result<Reading, Problem> {
        let found = FORMATS.into_iter().find(|(format, _)| *format == info.format());
        let (_, format) = found.ok_or_else(|| Problem::frame("this video format is not read"))?;
        let colorimetry = info.colorimetry();
        // The nearest of the two that the library has: those of BT.2020 and SMPTE 240M differ from
        // BT.709's by less than from BT.601's.
        let matrix = match colorimetry.matrix() {
            VideoColorMatrix::Bt709 | VideoColorMatrix::Bt2020 | VideoColorMatrix::Smpte240m => {
                ColorMatrix::Bt709
            }
            _ => ColorMatrix::Bt601,
        };
        let range = match colorimetry.range() {
            VideoColorRange::Range0_255 => ColorRange::Full,
            _ => ColorRange::Limited,
        };
        Ok(Reading { format, matrix, range })
    }
}

/// The part of a frame that is shown, in pixels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Crop {
    pub x: u32,
    pub y: u32,
    pub width: u32,
    pub height: u32,
}

impl Crop {
    /// The crop of a frame whose caps say `width` x `height` pixels. Where chroma has fewer
    /// columns or rows than luma, a crop begins at an even one: it moves by up to one pixel.
    ///
    /// # Errors
    /// For a crop of another size, or one that leaves the frame.
    pub fn of(
        frame: &VideoFrameRef<&gst::BufferRef>,
        reading: &Reading,
        (width, height): (u32, u32),
    ) -> Result<Crop, Problem> {
        let meta = frame.buffer().meta::<VideoCropMeta>();
        let (x, y, cropped_width, cropped_height) =
            meta.map_or((0, 0, width, height), |meta| meta.rect());
        if (cropped_width, cropped_height) != (width, height) {
            return Err(Problem::frame(format!(
                "a crop of {cropped_width} x {cropped_height} pixels, and caps of {width} x {height}"
            )));
        }
        let inside = |start: u32, len: u32, whole: u32| {
            start.checked_add(len).is_some_and(|end| end <= whole)
        };
        if !inside(x, width, frame.width()) || !inside(y, height, frame.height()) {
            let (whole, high) = (frame.width(), frame.height());
            return Err(Problem::frame(format!(
                "{width} x {height} pixels from ({x}, {y}) of a frame of {whole} x {high}"
            )));
        }
        let (halves_x, halves_y) = match reading.format {
            PixelFormat::Nv12 | PixelFormat::Nv21 | PixelFormat::I420 => (true, true),
            PixelFormat::Yuyv | PixelFormat::Uyvy => (true, false),
            _ => (false, false),
        };
        let even = |at: u32, halves: bool| if halves { at - at % 2 } else { at };
        Ok(Crop { x: even(x, halves_x), y: even(y, halves_y), width, height })
    }
}

/// The cropped frame, in place.
///
/// # Errors
/// For rows that run backwards, and those of [`Image::new`].
pub fn image<'f>(
    frame: &'f VideoFrameRef<&gst::BufferRef>,
    reading: &Reading,
    crop: &Crop,
) -> Result<Image<'f>, Problem> {
    let Reading { format, matrix, range } = *reading;
    let mut planes = [Plane::default(); 3];
    let planes = &mut planes[..format.planes()];
    for (index, plane) in planes.iter_mut().enumerate() {
        let stride = frame.plane_stride().get(index).copied().unwrap_or(0);
        // Asked before the data, whose length GStreamer's bindings make from the stride.
        let Ok(stride_bytes @ 1..) = usize::try_from(stride) else {
            return Err(Problem::frame(format!("a stride of {stride} bytes")));
        };
        let data = frame.plane_data(index as u32).map_err(Problem::frame)?;
        // What lies left of and above a crop that starts at whole chroma samples.
        let before = format.plane_shape(index, crop.x, crop.y);
        let skip = before.rows * stride_bytes + before.row_bytes;
        *plane = Plane { data: data.get(skip..).unwrap_or_default(), stride_bytes };
    }
    let image = Image::new(format, crop.width, crop.height, planes, matrix, range);
    image.map_err(|error| Problem::running(&error))
}
