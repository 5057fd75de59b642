//! Pixel formats and borrowed frames.

use crate::limits::MAX_FRAME_SIDE;
use crate::status::{Result, Status};

/// Layout of a frame's pixels in memory. The numbers are part of the C ABI.
///
/// Odd widths and heights are legal for every format: a subsampled axis then holds
/// `(side + 1) / 2` chroma samples.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u32)]
pub enum PixelFormat {
    /// One plane, 3 bytes a pixel: R G B.
    Rgb8 = 1,
    /// One plane, 3 bytes a pixel: B G R.
    Bgr8 = 2,
    /// One plane, 4 bytes a pixel: R G B and an ignored alpha.
    Rgba8 = 3,
    /// One plane, 4 bytes a pixel: B G R and an ignored alpha.
    Bgra8 = 4,
    /// One plane, 1 byte a pixel; the three channels are equal.
    Gray8 = 5,
    /// Two planes: Y; then Cb Cr pairs, one for 2x2 pixels.
    Nv12 = 6,
    /// Two planes: Y; then Cr Cb pairs, one for 2x2 pixels.
    Nv21 = 7,
    /// Three planes: Y; Cb and Cr, one sample for 2x2 pixels each.
    I420 = 8,
    /// One plane, 4 bytes for 2 pixels of a row: Y0 Cb Y1 Cr (YUY2).
    Yuyv = 9,
    /// One plane, 4 bytes for 2 pixels of a row: Cb Y0 Cr Y1.
    Uyvy = 10,
}

/// What one plane of a frame must hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PlaneShape {
    /// Bytes of a row without padding: the least stride.
    pub row_bytes: usize,
    /// Number of rows.
    pub rows: usize,
}

impl PixelFormat {
    /// Every format, in the order of the numbers.
    pub const ALL: [PixelFormat; 10] = [
        PixelFormat::Rgb8,
        PixelFormat::Bgr8,
        PixelFormat::Rgba8,
        PixelFormat::Bgra8,
        PixelFormat::Gray8,
        PixelFormat::Nv12,
        PixelFormat::Nv21,
        PixelFormat::I420,
        PixelFormat::Yuyv,
        PixelFormat::Uyvy,
    ];

    /// The number that crosses the C boundary.
    pub const fn code(self) -> u32 {
        self as u32
    }

    /// The format with number `code`, or [`Status::PixelFormat`].
    pub fn from_code(code: u32) -> Result<PixelFormat> {
        let found = PixelFormat::ALL.into_iter().find(|format| format.code() == code);
        found.ok_or(Status::PixelFormat.about("number of the pixel format"))
    }

    /// Number of planes: 1 to 3.
    pub const fn planes(self) -> usize {
        match self {
            PixelFormat::Nv12 | PixelFormat::Nv21 => 2,
            PixelFormat::I420 => 3,
            _ => 1,
        }
    }

    /// Shape of plane number `plane` of a frame of `width` x `height` pixels (both at most
    /// [`MAX_FRAME_SIDE`]); all zero for a plane that the format does not have.
    pub const fn plane_shape(self, plane: usize, width: u32, height: u32) -> PlaneShape {
        if plane >= self.planes() {
            return PlaneShape { row_bytes: 0, rows: 0 };
        }
        let (width, height) = (width as usize, height as usize);
        let row_bytes = match self {
            PixelFormat::Rgb8 | PixelFormat::Bgr8 => width.saturating_mul(3),
            PixelFormat::Rgba8 | PixelFormat::Bgra8 => width.saturating_mul(4),
            PixelFormat::Yuyv | PixelFormat::Uyvy => width.div_ceil(2).saturating_mul(4),
            PixelFormat::Nv12 | PixelFormat::Nv21 if plane == 1 => {
                width.div_ceil(2).saturating_mul(2)
            }
            PixelFormat::I420 if plane > 0 => width.div_ceil(2),
            _ => width,
        };
        let rows = if plane == 0 { height } else { height.div_ceil(2) };
        PlaneShape { row_bytes, rows }
    }
}

/// Which luma weights a YCbCr frame was made with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum ColorMatrix {
    /// Kr = 0.299, Kb = 0.114 (JPEG, most webcams).
    Bt601 = 0,
    /// Kr = 0.2126, Kb = 0.0722 (HD video).
    Bt709 = 1,
}

impl ColorMatrix {
    /// The matrix with number `code`, or [`Status::InvalidArgument`].
    pub fn from_code(code: u32) -> Result<ColorMatrix> {
        match code {
            0 => Ok(ColorMatrix::Bt601),
            1 => Ok(ColorMatrix::Bt709),
            _ => Err(Status::InvalidArgument.about("colour matrix").numbers(code.into(), 1)),
        }
    }
}

/// Which part of 0..=255 a YCbCr frame uses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum ColorRange {
    /// Luma 16..=235, chroma 16..=240 (video).
    Limited = 0,
    /// 0..=255 for all (JPEG).
    Full = 1,
}

impl ColorRange {
    /// The range with number `code`, or [`Status::InvalidArgument`].
    pub fn from_code(code: u32) -> Result<ColorRange> {
        match code {
            0 => Ok(ColorRange::Limited),
            1 => Ok(ColorRange::Full),
            _ => Err(Status::InvalidArgument.about("colour range").numbers(code.into(), 1)),
        }
    }
}

/// Bytes of one plane.
#[derive(Clone, Copy, Debug, Default)]
pub struct Plane<'a> {
    /// From the first pixel on; the last row need not have its padding.
    pub data: &'a [u8],
    /// Distance from a row to the next, in bytes.
    pub stride_bytes: usize,
}

/// A borrowed frame whose planes are known to be long enough.
#[derive(Clone, Copy, Debug)]
pub struct Image<'a> {
    format: PixelFormat,
    width: u32,
    height: u32,
    planes: [Plane<'a>; 3],
    matrix: ColorMatrix,
    range: ColorRange,
}

impl<'a> Image<'a> {
    /// Wraps a frame of `width` x `height` pixels (1 to [`MAX_FRAME_SIDE`] each). `matrix` and
    /// `range` matter only for the YCbCr formats.
    ///
    /// # Errors
    /// [`Status::FrameSize`] for a side out of range, [`Status::InvalidArgument`] for a wrong
    /// number of planes, [`Status::StrideTooShort`] and [`Status::BufferTooSmall`] for a plane
    /// that cannot hold its rows, with the bytes found and wanted.
    pub fn new(
        format: PixelFormat,
        width: u32,
        height: u32,
        planes: &[Plane<'a>],
        matrix: ColorMatrix,
        range: ColorRange,
    ) -> Result<Image<'a>> {
        check_sides(width, height)?;
        if planes.len() != format.planes() {
            let error = Status::InvalidArgument.about("number of planes");
            return Err(error.numbers(planes.len() as u64, format.planes() as u64));
        }
        let mut own = [Plane::default(); 3];
        for (index, (slot, plane)) in own.iter_mut().zip(planes).enumerate() {
            check_plane(plane, format.plane_shape(index, width, height))?;
            *slot = *plane;
        }
        Ok(Image { format, width, height, planes: own, matrix, range })
    }

    /// A frame whose rows have no padding and whose planes follow one another in `data`; BT.601,
    /// limited range. Bytes after the last plane are ignored.
    ///
    /// # Errors
    /// [`Status::FrameSize`] and [`Status::BufferTooSmall`], as for [`Image::new`].
    pub fn packed(
        format: PixelFormat,
        data: &'a [u8],
        width: u32,
        height: u32,
    ) -> Result<Image<'a>> {
        check_sides(width, height)?;
        let mut planes = [Plane::default(); 3];
        let mut rest = data;
        for (index, slot) in planes.iter_mut().enumerate().take(format.planes()) {
            let shape = format.plane_shape(index, width, height);
            let want_bytes = shape.row_bytes.saturating_mul(shape.rows);
            let error = Status::BufferTooSmall.about("plane of a packed frame");
            let (plane, after) = rest
                .split_at_checked(want_bytes)
                .ok_or(error.numbers(rest.len() as u64, want_bytes as u64))?;
            *slot = Plane { data: plane, stride_bytes: shape.row_bytes };
            rest = after;
        }
        let planes = planes.get(..format.planes()).unwrap_or(&[]);
        Image::new(format, width, height, planes, ColorMatrix::Bt601, ColorRange::Limited)
    }

    /// A frame of R G B bytes without padding.
    ///
    /// # Errors
    /// As for [`Image::packed`].
    pub fn rgb8(data: &'a [u8], width: u32, height: u32) -> Result<Image<'a>> {
        Image::packed(PixelFormat::Rgb8, data, width, height)
    }

    /// The same frame, read with another matrix and range.
    pub fn with_color(self, matrix: ColorMatrix, range: ColorRange) -> Image<'a> {
        Image { matrix, range, ..self }
    }

    /// Layout of the pixels.
    pub fn format(&self) -> PixelFormat {
        self.format
    }

    /// Columns, in pixels.
    pub fn width(&self) -> u32 {
        self.width
    }

    /// Rows, in pixels.
    pub fn height(&self) -> u32 {
        self.height
    }

    /// Luma weights of a YCbCr frame.
    pub fn matrix(&self) -> ColorMatrix {
        self.matrix
    }

    /// Value range of a YCbCr frame.
    pub fn range(&self) -> ColorRange {
        self.range
    }

    /// The planes, as many as the format has.
    pub fn planes(&self) -> &[Plane<'a>] {
        self.planes.get(..self.format.planes()).unwrap_or(&[])
    }

    /// Row `row` of plane `plane` without its padding, from byte `skip_bytes` on; empty when
    /// there is no such row.
    pub(super) fn row(&self, plane: usize, row: usize, skip_bytes: usize) -> &'a [u8] {
        let shape = self.format.plane_shape(plane, self.width, self.height);
        if row >= shape.rows {
            return &[];
        }
        let found = self.planes.get(plane).and_then(|plane| {
            let from_row = plane.data.get(row * plane.stride_bytes..)?;
            from_row.get(..shape.row_bytes)?.get(skip_bytes..)
        });
        found.unwrap_or(&[])
    }
}

fn check_sides(width: u32, height: u32) -> Result<()> {
    for (what, side) in [("width of the frame", width), ("height of the frame", height)] {
        if side == 0 {
            return Err(Status::FrameSize.about(what).numbers(0, 1));
        }
        if side > MAX_FRAME_SIDE {
            return Err(Status::FrameSize.about(what).numbers(side.into(), MAX_FRAME_SIDE.into()));
        }
    }
    Ok(())
}

/// The last row needs only its own bytes, not a full stride.
fn check_plane(plane: &Plane<'_>, shape: PlaneShape) -> Result<()> {
    if plane.stride_bytes < shape.row_bytes {
        let error = Status::StrideTooShort.about("stride of a plane");
        return Err(error.numbers(plane.stride_bytes as u64, shape.row_bytes as u64));
    }
    let before_last = shape.rows.saturating_sub(1).checked_mul(plane.stride_bytes);
    let want_bytes = before_last.and_then(|bytes| bytes.checked_add(shape.row_bytes));
    let error = Status::BufferTooSmall.about("bytes of a plane");
    let Some(want_bytes) = want_bytes else {
        return Err(error.numbers(plane.data.len() as u64, u64::MAX));
    };
    if plane.data.len() < want_bytes {
        return Err(error.numbers(plane.data.len() as u64, want_bytes as u64));
    }
    Ok(())
}
