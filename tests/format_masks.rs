//! Every pixel format gives the mask of the RGB8 frame.
//!
//! Formats that hold the same RGB bytes give the same mask, bit for bit. YCbCr formats hold a
//! rounded and, but for the test's flat blocks, subsampled picture: their masks are compared with
//! that of the picture they hold, decoded to RGB8 (whose rounding to whole numbers is the only
//! difference left), and at least [`ROUNDED`] of the pixels are equal. The network runs with
//! float activations here, since quantised ones amplify the least difference. Grey pictures in
//! full range need no rounding: there every YCbCr format gives the mask of Gray8, bit for bit.
#![cfg(feature = "cli")]

mod common;

use common::{Picture, agreement, labels, repository, shipped, shipped_float, with_segmenter};
use zsseg::image::{ColorMatrix, ColorRange, Image, PixelFormat, Plane};

/// Least share of equal pixels between a YCbCr frame and its decoded RGB8 form.
const ROUNDED: f64 = 0.99;

type Pixel = [f64; 3];

fn matrix_weights(matrix: ColorMatrix) -> (f64, f64) {
    match matrix {
        ColorMatrix::Bt601 => (0.299, 0.114),
        ColorMatrix::Bt709 => (0.2126, 0.0722),
    }
}

/// Y, Cb, Cr in 0..=255 units, not rounded.
fn to_ycbcr([r, g, b]: Pixel, matrix: ColorMatrix, range: ColorRange) -> Pixel {
    let (kr, kb) = matrix_weights(matrix);
    let y = kr * r + (1.0 - kr - kb) * g + kb * b;
    let (cb, cr) = ((b - y) / (2.0 - 2.0 * kb), (r - y) / (2.0 - 2.0 * kr));
    match range {
        ColorRange::Full => [y, 128.0 + cb, 128.0 + cr],
        ColorRange::Limited => {
            [16.0 + y * 219.0 / 255.0, 128.0 + cb * 224.0 / 255.0, 128.0 + cr * 224.0 / 255.0]
        }
    }
}

fn to_rgb([y, cb, cr]: Pixel, matrix: ColorMatrix, range: ColorRange) -> Pixel {
    let (kr, kb) = matrix_weights(matrix);
    let (y, cb, cr) = match range {
        ColorRange::Full => (y, cb - 128.0, cr - 128.0),
        ColorRange::Limited => {
            ((y - 16.0) * 255.0 / 219.0, (cb - 128.0) * 255.0 / 224.0, (cr - 128.0) * 255.0 / 224.0)
        }
    };
    let (r, b) = (y + cr * (2.0 - 2.0 * kr), y + cb * (2.0 - 2.0 * kb));
    [r, (y - kr * r - kb * b) / (1.0 - kr - kb), b]
}

fn byte(value: f64) -> u8 {
    value.round().clamp(0.0, 255.0) as u8
}

/// A picture in Y, Cb and Cr planes with one chroma sample for `block` pixels.
struct Ycbcr {
    y: Vec<u8>,
    cb: Vec<u8>,
    cr: Vec<u8>,
    width: usize,
    height: usize,
    block: (usize, usize),
}

impl Ycbcr {
    fn of(
        picture: &Picture,
        block: (usize, usize),
        matrix: ColorMatrix,
        range: ColorRange,
    ) -> Ycbcr {
        let (width, height) = (picture.width as usize, picture.height as usize);
        let at = |x: usize, y: usize| -> Pixel {
            let start = (y.min(height - 1) * width + x.min(width - 1)) * 3;
            let rgb = &picture.rgb[start..start + 3];
            to_ycbcr([rgb[0].into(), rgb[1].into(), rgb[2].into()], matrix, range)
        };
        let mut planes = Ycbcr { y: vec![], cb: vec![], cr: vec![], width, height, block };
        for y in 0..height {
            planes.y.extend((0..width).map(|x| byte(at(x, y)[0])));
        }
        for y in (0..height).step_by(block.1) {
            for x in (0..width).step_by(block.0) {
                let cells = (0..block.1).flat_map(|dy| (0..block.0).map(move |dx| (dx, dy)));
                let values: Vec<Pixel> = cells.map(|(dx, dy)| at(x + dx, y + dy)).collect();
                let mean =
                    |k: usize| values.iter().map(|v| v[k]).sum::<f64>() / values.len() as f64;
                planes.cb.push(byte(mean(1)));
                planes.cr.push(byte(mean(2)));
            }
        }
        planes
    }

    /// The picture it holds, as RGB8.
    fn decoded(&self, matrix: ColorMatrix, range: ColorRange) -> Picture {
        let chroma_width = self.width.div_ceil(self.block.0);
        let mut rgb = Vec::new();
        for y in 0..self.height {
            for x in 0..self.width {
                let chroma = (y / self.block.1) * chroma_width + x / self.block.0;
                let luma = self.y[y * self.width + x];
                let pixel = [luma.into(), self.cb[chroma].into(), self.cr[chroma].into()];
                rgb.extend(to_rgb(pixel, matrix, range).map(byte));
            }
        }
        Picture { rgb, width: self.width as u32, height: self.height as u32 }
    }
}

fn interleave(first: &[u8], second: &[u8]) -> Vec<u8> {
    first.iter().zip(second).flat_map(|(&a, &b)| [a, b]).collect()
}

/// Rows of Y0 Cb Y1 Cr (or Cb Y0 Cr Y1) with 6 bytes of rubbish behind each.
fn packed_422(planes: &Ycbcr, luma_first: bool) -> (Vec<u8>, usize) {
    let pairs = planes.width.div_ceil(2);
    let mut data = Vec::new();
    for y in 0..planes.height {
        let row = &planes.y[y * planes.width..][..planes.width];
        for pair in 0..pairs {
            let (cb, cr) = (planes.cb[y * pairs + pair], planes.cr[y * pairs + pair]);
            let (y0, y1) = (row[2 * pair], row[(2 * pair + 1).min(planes.width - 1)]);
            data.extend(if luma_first { [y0, cb, y1, cr] } else { [cb, y0, cr, y1] });
        }
        data.extend([0xEE; 6]);
    }
    (data, pairs * 4 + 6)
}

fn check(format: PixelFormat, matrix: ColorMatrix, range: ColorRange) {
    let bytes = shipped_float();
    let picture = Picture::open(&repository("tests/data/chelsea.png"));
    let subsampled = matches!(format, PixelFormat::Nv12 | PixelFormat::Nv21 | PixelFormat::I420);
    let planes = Ycbcr::of(&picture, (2, if subsampled { 2 } else { 1 }), matrix, range);
    let decoded = planes.decoded(matrix, range);
    let (width, chroma_width) = (planes.width, planes.width.div_ceil(2));
    let uv = interleave(&planes.cb, &planes.cr);
    let vu = interleave(&planes.cr, &planes.cb);
    let packed = match subsampled {
        true => (Vec::new(), 0),
        false => packed_422(&planes, format == PixelFormat::Yuyv),
    };
    let parts: Vec<(&[u8], usize)> = match format {
        PixelFormat::Nv12 => vec![(&planes.y, width), (&uv, 2 * chroma_width)],
        PixelFormat::Nv21 => vec![(&planes.y, width), (&vu, 2 * chroma_width)],
        PixelFormat::I420 => {
            vec![(&planes.y, width), (&planes.cb, chroma_width), (&planes.cr, chroma_width)]
        }
        _ => vec![(&packed.0, packed.1)],
    };
    let parts: Vec<Plane<'_>> =
        parts.into_iter().map(|(data, stride_bytes)| Plane { data, stride_bytes }).collect();
    let (w, h) = (picture.width, picture.height);
    let frame = Image::new(format, w, h, &parts, matrix, range).unwrap();
    with_segmenter(&bytes, (w, h), |segmenter| {
        let rgb = labels(segmenter, &decoded.frame());
        let share = agreement(&labels(segmenter, &frame), &rgb);
        let original = agreement(&rgb, &labels(segmenter, &picture.frame()));
        println!(
            "{format:?} {matrix:?} {range:?}: {:.3} % equal to its RGB8 form, which is {:.3} % \
             equal to the picture before subsampling",
            100.0 * share,
            100.0 * original
        );
        assert!(share >= ROUNDED, "{format:?}: {share}");
    });
}

#[test]
fn ycbcr_formats() {
    check(PixelFormat::Nv12, ColorMatrix::Bt601, ColorRange::Limited);
    check(PixelFormat::Nv21, ColorMatrix::Bt709, ColorRange::Limited);
    check(PixelFormat::I420, ColorMatrix::Bt601, ColorRange::Full);
    check(PixelFormat::Yuyv, ColorMatrix::Bt601, ColorRange::Limited);
    check(PixelFormat::Uyvy, ColorMatrix::Bt709, ColorRange::Full);
}

#[test]
fn gray_pictures_are_exact_in_every_ycbcr_format() {
    let picture = Picture::open(&repository("tests/data/astronaut.png"));
    let (width, height) = (picture.width as usize, picture.height as usize);
    let gray: Vec<u8> = picture.rgb.chunks_exact(3).map(|pixel| pixel[1]).collect();
    let neutral = vec![128u8; gray.len()];
    let (w, h) = (picture.width, picture.height);
    let half = width.div_ceil(2);
    let yuyv: Vec<u8> = gray.iter().flat_map(|&luma| [luma, 128]).collect();
    let uyvy: Vec<u8> = gray.iter().flat_map(|&luma| [128, luma]).collect();
    let y = Plane { data: &gray, stride_bytes: width };
    let chroma = |stride_bytes| Plane { data: &neutral, stride_bytes };
    let packed = |data| vec![Plane { data, stride_bytes: 2 * width }];
    assert_eq!(width % 2, 0, "the packed formats below assume whole pairs");
    let frames = [
        (PixelFormat::Nv12, vec![y, chroma(2 * half)]),
        (PixelFormat::Nv21, vec![y, chroma(2 * half)]),
        (PixelFormat::I420, vec![y, chroma(half), chroma(half)]),
        (PixelFormat::Yuyv, packed(&yuyv)),
        (PixelFormat::Uyvy, packed(&uyvy)),
    ];
    with_segmenter(&shipped(), (w, h), |segmenter| {
        let frame = Image::packed(PixelFormat::Gray8, &gray, w, h).unwrap();
        let want = labels(segmenter, &frame);
        assert!(want.iter().any(|&label| label != want[0]), "a mask of one class proves nothing");
        for (format, planes) in frames {
            let (matrix, range) = (ColorMatrix::Bt601, ColorRange::Full);
            let frame = Image::new(format, w, h, &planes, matrix, range).unwrap();
            assert_eq!(labels(segmenter, &frame), want, "{format:?}");
        }
        assert_eq!(want.len(), width * height);
    });
}

#[test]
fn rgb_formats_and_gray_are_exact() {
    let bytes = shipped();
    let picture = Picture::open(&repository("tests/data/chelsea.png"));
    let (width, height) = (picture.width, picture.height);
    let pixels = || picture.rgb.chunks_exact(3);
    let bgr: Vec<u8> = pixels().flat_map(|p| [p[2], p[1], p[0]]).collect();
    let rgba: Vec<u8> = pixels().flat_map(|p| [p[0], p[1], p[2], 9]).collect();
    let bgra: Vec<u8> = pixels().flat_map(|p| [p[2], p[1], p[0], 200]).collect();
    let gray: Vec<u8> = pixels().map(|p| p[1]).collect();
    let gray_rgb: Vec<u8> = gray.iter().flat_map(|&g| [g; 3]).collect();
    with_segmenter(&bytes, (width, height), |segmenter| {
        let mut run = |format, data: &[u8]| {
            labels(segmenter, &Image::packed(format, data, width, height).unwrap())
        };
        let rgb = run(PixelFormat::Rgb8, &picture.rgb);
        assert_eq!(run(PixelFormat::Bgr8, &bgr), rgb);
        assert_eq!(run(PixelFormat::Rgba8, &rgba), rgb);
        assert_eq!(run(PixelFormat::Bgra8, &bgra), rgb);
        assert_eq!(run(PixelFormat::Gray8, &gray), run(PixelFormat::Rgb8, &gray_rgb));
    });
}
