//! Frames in every pixel format: what is refused, and that all formats show the same picture.

use proptest::prelude::*;
use zsseg::arena::{AlignedBytes, Arena};
use zsseg::image::{ColorMatrix, ColorRange, Image, PixelFormat, Plane, Preprocessor, Target};
use zsseg::limits::{Limits, MAX_FRAME_SIDE};
use zsseg::map::Layout;
use zsseg::spec::{ChannelOrder, Filter, Fit, Input, InputType, Preprocess};
use zsseg::status::Status;

const COLORS: [(ColorMatrix, ColorRange); 4] = [
    (ColorMatrix::Bt601, ColorRange::Limited),
    (ColorMatrix::Bt601, ColorRange::Full),
    (ColorMatrix::Bt709, ColorRange::Limited),
    (ColorMatrix::Bt709, ColorRange::Full),
];

/// The frame's pixels in 0..255, R G B interleaved: a preprocessor that changes nothing.
fn pixels(image: &Image<'_>) -> Vec<f32> {
    let (width, height) = (image.width(), image.height());
    let input = Input { width, height, layout: Layout::Hwc, element: InputType::F32 };
    let preprocess = Preprocess {
        fit: Fit::Stretch,
        filter: Filter::Bilinear,
        antialias: false,
        order: ChannelOrder::Rgb,
        scale: 1.0,
        mean: [0.0; 3],
        std: [1.0; 3],
        pad: [0.0; 3],
    };
    let limits = Limits::for_frames(width, height);
    let mut counting = Arena::counting();
    Preprocessor::carve(&mut counting, &input, &preprocess, &limits).unwrap();
    let mut memory = AlignedBytes::zeros(counting.used_bytes());
    let mut arena = Arena::over(memory.as_mut_slice()).unwrap();
    let mut preprocessor = Preprocessor::carve(&mut arena, &input, &preprocess, &limits).unwrap();
    let mut out = vec![f32::NAN; (3 * width * height) as usize];
    preprocessor.run(image, Target::F32(&mut out)).unwrap();
    out
}

type Rgb = [u8; 3];

fn luma_weights(matrix: ColorMatrix) -> [f64; 3] {
    match matrix {
        ColorMatrix::Bt601 => [0.299, 0.587, 0.114],
        ColorMatrix::Bt709 => [0.2126, 0.7152, 0.0722],
    }
}

/// Y, Cb, Cr bytes of a colour, rounded.
fn to_ycbcr(rgb: Rgb, matrix: ColorMatrix, range: ColorRange) -> [u8; 3] {
    let [r, g, b] = rgb.map(|value| f64::from(value) / 255.0);
    let [kr, kg, kb] = luma_weights(matrix);
    let y = kr * r + kg * g + kb * b;
    let cb = (b - y) / (2.0 - 2.0 * kb);
    let cr = (r - y) / (2.0 - 2.0 * kr);
    let (black, luma, chroma) = match range {
        ColorRange::Limited => (16.0, 219.0, 224.0),
        ColorRange::Full => (0.0, 255.0, 255.0),
    };
    [black + luma * y, 128.0 + chroma * cb, 128.0 + chroma * cr].map(|v| v.round() as u8)
}

/// A picture of 2x2 blocks of one colour, so that subsampled chroma loses nothing.
#[derive(Clone, Debug)]
struct Picture {
    width: u32,
    height: u32,
    blocks: Vec<Rgb>,
}

impl Picture {
    fn at(&self, x: u32, y: u32) -> Rgb {
        let columns = self.width.div_ceil(2);
        self.blocks[((y / 2) * columns + x / 2) as usize]
    }

    /// The picture's planes, each with rows of `pad` garbage bytes more than needed.
    fn encode(
        &self,
        format: PixelFormat,
        color: (ColorMatrix, ColorRange),
        pad: usize,
    ) -> Vec<(Vec<u8>, usize)> {
        let encode_plane = |plane| {
            let shape = format.plane_shape(plane, self.width, self.height);
            let stride = shape.row_bytes + pad;
            let mut data = Vec::new();
            for row in 0..shape.rows {
                data.extend(self.encode_row(format, color, plane, row as u32));
                assert_eq!(data.len(), row * stride + shape.row_bytes);
                if row + 1 < shape.rows {
                    data.extend((0..pad).map(|i| (i * 77 + row * 13) as u8));
                }
            }
            (data, stride)
        };
        (0..format.planes()).map(encode_plane).collect()
    }

    fn encode_row(
        &self,
        format: PixelFormat,
        (matrix, range): (ColorMatrix, ColorRange),
        plane: usize,
        row: u32,
    ) -> Vec<u8> {
        use PixelFormat::*;
        let rgb = (0..self.width).map(|x| self.at(x, row));
        let ycc = |x: u32, y: u32| to_ycbcr(self.at(x.min(self.width - 1), y), matrix, range);
        let chroma_y = (2 * row).min(self.height - 1);
        let blocks = (0..self.width.div_ceil(2)).map(|block| 2 * block);
        match (format, plane) {
            (Rgb8, _) => rgb.flatten().collect(),
            (Bgr8, _) => rgb.flat_map(|[r, g, b]| [b, g, r]).collect(),
            (Rgba8, _) => rgb.flat_map(|[r, g, b]| [r, g, b, r ^ 0x5a]).collect(),
            (Bgra8, _) => rgb.flat_map(|[r, g, b]| [b, g, r, g ^ 0x5a]).collect(),
            (Gray8, _) => rgb.map(|[r, _, _]| r).collect(),
            (Nv12 | Nv21 | I420, 0) => (0..self.width).map(|x| ycc(x, row)[0]).collect(),
            (Nv12, _) => blocks.flat_map(|x| [ycc(x, chroma_y)[1], ycc(x, chroma_y)[2]]).collect(),
            (Nv21, _) => blocks.flat_map(|x| [ycc(x, chroma_y)[2], ycc(x, chroma_y)[1]]).collect(),
            (I420, plane) => blocks.map(|x| ycc(x, chroma_y)[plane]).collect(),
            (Yuyv, _) => {
                let quad = |x| [ycc(x, row)[0], ycc(x, row)[1], ycc(x + 1, row)[0], ycc(x, row)[2]];
                blocks.flat_map(quad).collect()
            }
            (Uyvy, _) => {
                let quad = |x| [ycc(x, row)[1], ycc(x, row)[0], ycc(x, row)[2], ycc(x + 1, row)[0]];
                blocks.flat_map(quad).collect()
            }
        }
    }
}

fn image_of<'a>(
    picture: &Picture,
    format: PixelFormat,
    (matrix, range): (ColorMatrix, ColorRange),
    planes: &'a [(Vec<u8>, usize)],
) -> Image<'a> {
    let planes: Vec<Plane<'a>> = planes
        .iter()
        .map(|(data, stride_bytes)| Plane { data, stride_bytes: *stride_bytes })
        .collect();
    Image::new(format, picture.width, picture.height, &planes, matrix, range).unwrap()
}

fn pictures() -> impl Strategy<Value = Picture> {
    (1u32..12, 1u32..12).prop_flat_map(|(width, height)| {
        let count = (width.div_ceil(2) * height.div_ceil(2)) as usize;
        let blocks = proptest::collection::vec(any::<Rgb>(), count);
        blocks.prop_map(move |blocks| Picture { width, height, blocks })
    })
}

proptest! {
    /// Rounding Y by half a step moves a value by at most 0.5 * 255 / 219, rounding a chroma
    /// sample by at most 0.5 * 2 (1 - Kb) * 255 / 224 (blue, BT.709): 1.64 together.
    #[test]
    fn every_format_shows_the_same_picture(picture in pictures(), pad in 0usize..9) {
        for format in PixelFormat::ALL {
            for color in COLORS {
                let planes = picture.encode(format, color, pad);
                let found = pixels(&image_of(&picture, format, color, &planes));
                let mut found = found.chunks_exact(3);
                let (width, height) = (picture.width, picture.height);
                for (x, y) in (0..height).flat_map(|y| (0..width).map(move |x| (x, y))) {
                    let [r, g, b] = picture.at(x, y).map(f32::from);
                    let (wanted, bound) = match format {
                        PixelFormat::Gray8 => ([r; 3], 0.0),
                        _ if format.code() < 5 => ([r, g, b], 0.0),
                        _ => ([r, g, b], 1.65),
                    };
                    for (found, wanted) in found.next().unwrap().iter().zip(wanted) {
                        prop_assert!((found - wanted).abs() <= bound,
                            "{format:?} {color:?} at {x},{y}: {found} for {wanted}");
                    }
                }
            }
        }
    }

    #[test]
    fn padding_between_rows_is_never_read(picture in pictures(), pad in 1usize..40) {
        for format in PixelFormat::ALL {
            let tight = picture.encode(format, COLORS[0], 0);
            let padded = picture.encode(format, COLORS[0], pad);
            let joined: Vec<u8> = tight.iter().flat_map(|(data, _)| data.clone()).collect();
            let packed = Image::packed(format, &joined, picture.width, picture.height).unwrap();
            let expected = pixels(&packed);
            prop_assert_eq!(&pixels(&image_of(&picture, format, COLORS[0], &tight)), &expected);
            prop_assert_eq!(&pixels(&image_of(&picture, format, COLORS[0], &padded)), &expected);
        }
    }

    /// One byte less in any plane, or a stride one shorter than a row, is refused.
    #[test]
    fn every_byte_of_a_plane_is_needed(width in 1u32..40, height in 1u32..40, pad in 0usize..5) {
        for format in PixelFormat::ALL {
            for short in 0..format.planes() {
                let shape = |plane| format.plane_shape(plane, width, height);
                let bytes = |plane: usize, less: usize| {
                    let shape = shape(plane);
                    vec![0u8; (shape.rows - 1) * (shape.row_bytes + pad) + shape.row_bytes - less]
                };
                let attempt = |less: usize, shorter: usize| {
                    let data: Vec<Vec<u8>> = (0..format.planes())
                        .map(|plane| bytes(plane, if plane == short { less } else { 0 }))
                        .collect();
                    let planes: Vec<Plane<'_>> = (0..format.planes()).map(|plane| Plane {
                        data: &data[plane],
                        stride_bytes: match plane == short && shorter > 0 {
                            true => shape(plane).row_bytes - shorter,
                            false => shape(plane).row_bytes + pad,
                        },
                    }).collect();
                    let (matrix, range) = COLORS[0];
                    Image::new(format, width, height, &planes, matrix, range)
                        .map(|_| ()).map_err(|error| error.status())
                };
                prop_assert_eq!(attempt(0, 0), Ok(()));
                prop_assert_eq!(attempt(1, 0), Err(Status::BufferTooSmall));
                prop_assert_eq!(attempt(0, 1), Err(Status::StrideTooShort));
            }
        }
    }
}

#[test]
fn numbers_of_the_formats_are_fixed() {
    for (index, format) in PixelFormat::ALL.into_iter().enumerate() {
        assert_eq!(format.code(), index as u32 + 1);
        assert_eq!(PixelFormat::from_code(format.code()).unwrap(), format);
    }
    for code in [0, 11, u32::MAX] {
        assert_eq!(PixelFormat::from_code(code).unwrap_err().status(), Status::PixelFormat);
    }
    assert_eq!(ColorMatrix::from_code(1).unwrap(), ColorMatrix::Bt709);
    assert_eq!(ColorRange::from_code(1).unwrap(), ColorRange::Full);
    assert!(ColorMatrix::from_code(2).is_err() && ColorRange::from_code(2).is_err());
}

#[test]
fn plane_shapes_round_chroma_up() {
    let shape = |format: PixelFormat, plane| {
        let shape = format.plane_shape(plane, 5, 3);
        (shape.row_bytes, shape.rows)
    };
    assert_eq!(shape(PixelFormat::Rgb8, 0), (15, 3));
    assert_eq!(shape(PixelFormat::Bgra8, 0), (20, 3));
    assert_eq!(shape(PixelFormat::Nv12, 0), (5, 3));
    assert_eq!(shape(PixelFormat::Nv12, 1), (6, 2));
    assert_eq!(shape(PixelFormat::I420, 2), (3, 2));
    assert_eq!(shape(PixelFormat::Yuyv, 0), (12, 3));
    assert_eq!(shape(PixelFormat::Rgb8, 1), (0, 0));
}

#[test]
fn known_colors_of_limited_bt601() {
    let show = |y: u8, cb: u8, cr: u8| {
        pixels(&Image::packed(PixelFormat::I420, &[y, cb, cr], 1, 1).unwrap())
    };
    assert_eq!(show(16, 128, 128), [0.0; 3]);
    assert_eq!(show(235, 128, 128), [255.0; 3]);
    // Beyond white and black, values are clamped, not wrapped.
    assert_eq!(show(255, 128, 128), [255.0; 3]);
    assert_eq!(show(0, 128, 128), [0.0; 3]);
    // BT.601 red is (81, 90, 240), blue (41, 240, 110), within rounding.
    for (found, wanted) in show(81, 90, 240).into_iter().zip([255.0, 0.0, 0.0]) {
        assert!((found - wanted).abs() < 1.65, "{found}");
    }
    for (found, wanted) in show(41, 240, 110).into_iter().zip([0.0, 0.0, 255.0]) {
        assert!((found - wanted).abs() < 1.65, "{found}");
    }
}

#[test]
fn impossible_frames_are_refused() {
    let data = [0u8; 64];
    let plane = Plane { data: &data, stride_bytes: 16 };
    let (matrix, range) = COLORS[0];
    let attempt = |format, width, height, planes: &[Plane<'_>]| {
        Image::new(format, width, height, planes, matrix, range).map(|_| ()).map_err(|e| e.status())
    };
    assert_eq!(attempt(PixelFormat::Gray8, 4, 4, &[plane]), Ok(()));
    assert_eq!(attempt(PixelFormat::Gray8, 0, 4, &[plane]), Err(Status::FrameSize));
    assert_eq!(attempt(PixelFormat::Gray8, 4, 0, &[plane]), Err(Status::FrameSize));
    let high = MAX_FRAME_SIDE + 1;
    assert_eq!(attempt(PixelFormat::Gray8, 4, high, &[plane]), Err(Status::FrameSize));
    assert_eq!(attempt(PixelFormat::Gray8, 4, 4, &[]), Err(Status::InvalidArgument));
    assert_eq!(attempt(PixelFormat::Gray8, 4, 4, &[plane; 2]), Err(Status::InvalidArgument));
    assert_eq!(attempt(PixelFormat::Nv12, 4, 4, &[plane]), Err(Status::InvalidArgument));
    assert_eq!(attempt(PixelFormat::I420, 4, 4, &[plane; 4]), Err(Status::InvalidArgument));
    let huge = Plane { data: &data, stride_bytes: usize::MAX };
    assert_eq!(attempt(PixelFormat::Gray8, 4, 4, &[huge]), Err(Status::BufferTooSmall));
    assert_eq!(attempt(PixelFormat::Gray8, 4, 1, &[huge]), Ok(()));
    assert!(Image::rgb8(&data[..47], 4, 4).is_err());
    assert!(Image::rgb8(&data[..48], 4, 4).is_ok());
    let error = Image::packed(PixelFormat::Nv12, &data[..23], 4, 4).unwrap_err();
    assert_eq!(
        error.to_string(),
        "a buffer is too short: plane of a packed frame (found 7, wanted 8)"
    );
}
