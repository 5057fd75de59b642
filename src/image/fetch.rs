//! One row of a frame, of any pixel format, as f32 pixels.
//!
//! A pixel is four floats, R G B and an unused one: one vector register, in which every later
//! step of the resize works without shuffling (planar rows measured slower throughout). Values
//! are 0 to 255 in full range, not rounded and clamped at both ends. Gray is repeated in the
//! three channels, alpha is ignored. Chroma is read nearest: the pixels of a 2x2 (or 2x1) block
//! share its sample.

use super::format::{ColorMatrix, ColorRange, Image, PixelFormat};

/// What turns Y, Cb and Cr bytes into R, G and B, in 0..=255 units.
#[derive(Clone, Copy)]
struct YcbcrToRgb {
    luma: f32,
    black: f32,
    red_from_cr: f32,
    green_from_cb: f32,
    green_from_cr: f32,
    blue_from_cb: f32,
}

const BT601_LIMITED: YcbcrToRgb = YcbcrToRgb::derive(0.299, 0.114, 16.0, 219.0, 224.0);
const BT601_FULL: YcbcrToRgb = YcbcrToRgb::derive(0.299, 0.114, 0.0, 255.0, 255.0);
const BT709_LIMITED: YcbcrToRgb = YcbcrToRgb::derive(0.2126, 0.0722, 16.0, 219.0, 224.0);
const BT709_FULL: YcbcrToRgb = YcbcrToRgb::derive(0.2126, 0.0722, 0.0, 255.0, 255.0);

impl YcbcrToRgb {
    /// From `Y = Kr R + Kg G + Kb B`, `Cb = (B - Y) / (2 - 2 Kb)`, `Cr = (R - Y) / (2 - 2 Kr)`,
    /// where Y spans `luma_span` steps from `black` and Cb, Cr span `chroma_span` around 128.
    const fn derive(kr: f64, kb: f64, black: f64, luma_span: f64, chroma_span: f64) -> YcbcrToRgb {
        let kg = 1.0 - kr - kb;
        let chroma = 255.0 / chroma_span;
        let red = 2.0 * (1.0 - kr) * chroma;
        let blue = 2.0 * (1.0 - kb) * chroma;
        YcbcrToRgb {
            luma: (255.0 / luma_span) as f32,
            black: black as f32,
            red_from_cr: red as f32,
            green_from_cb: (blue * kb / kg) as f32,
            green_from_cr: (red * kr / kg) as f32,
            blue_from_cb: blue as f32,
        }
    }

    const fn of(matrix: ColorMatrix, range: ColorRange) -> &'static YcbcrToRgb {
        match (matrix, range) {
            (ColorMatrix::Bt601, ColorRange::Limited) => &BT601_LIMITED,
            (ColorMatrix::Bt601, ColorRange::Full) => &BT601_FULL,
            (ColorMatrix::Bt709, ColorRange::Limited) => &BT709_LIMITED,
            (ColorMatrix::Bt709, ColorRange::Full) => &BT709_FULL,
        }
    }

    /// What a chroma sample adds to the gray of its pixels.
    fn tint(&self, cb: u8, cr: u8) -> Pixel {
        let (cb, cr) = (f32::from(cb) - 128.0, f32::from(cr) - 128.0);
        let green = cb * self.green_from_cb + cr * self.green_from_cr;
        [cr * self.red_from_cr, -green, cb * self.blue_from_cb, 0.0]
    }

    fn pixel(&self, luma: u8, tint: Pixel) -> Pixel {
        let gray = (f32::from(luma) - self.black) * self.luma;
        tint.map(|tint| clamp_to_byte(gray + tint))
    }

    /// Fills `row` from blocks of two pixels. Of the last block of an odd row, and of `tail`, the
    /// first pixel is used.
    fn fill(
        &self,
        row: &mut [Pixel],
        mut blocks: impl Iterator<Item = Block>,
        tail: Option<Block>,
    ) {
        let (pairs, last) = row.as_chunks_mut::<2>();
        for (pair, (luma, cb, cr)) in pairs.iter_mut().zip(&mut blocks) {
            let tint = self.tint(cb, cr);
            *pair = luma.map(|luma| self.pixel(luma, tint));
        }
        for (pixel, ([luma, _], cb, cr)) in last.iter_mut().zip(blocks.chain(tail)) {
            *pixel = self.pixel(luma, self.tint(cb, cr));
        }
    }
}

/// Two neighbouring Y and their Cb and Cr.
type Block = ([u8; 2], u8, u8);

/// R, G, B in 0..=255 units, and an unused element.
pub(super) type Pixel = [f32; 4];

/// `value` clamped to 0..=255, in a form that compiles to two vector instructions.
pub(super) fn clamp_to_byte(value: f32) -> f32 {
    let value = if value > 0.0 { value } else { 0.0 };
    if value < 255.0 { value } else { 255.0 }
}

/// Reads row `y` of `image` from column `first` on into `row`. `first` is even, so that it
/// starts a chroma block. Columns beyond the frame are left as they are.
pub(super) fn fetch_row(image: &Image<'_>, y: usize, first: usize, row: &mut [Pixel]) {
    let packed = |pixel_bytes: usize| image.row(0, y, first * pixel_bytes);
    let format = image.format();
    let blue_first = matches!(format, PixelFormat::Bgr8 | PixelFormat::Bgra8);
    let rgb = |a, g, c| if blue_first { [c, g, a, 0] } else { [a, g, c, 0] };
    match format {
        PixelFormat::Rgb8 | PixelFormat::Bgr8 => widen(packed(3), row, |&[a, g, c]| rgb(a, g, c)),
        PixelFormat::Rgba8 | PixelFormat::Bgra8 => {
            widen(packed(4), row, |&[a, g, c, _]| rgb(a, g, c));
        }
        PixelFormat::Gray8 => widen(packed(1), row, |&[gray]| [gray, gray, gray, 0]),
        _ => fetch_ycbcr(image, y, first, row),
    }
}

/// Splits `bytes` into pixels of `BYTES` bytes and widens them.
fn widen<const BYTES: usize>(
    bytes: &[u8],
    row: &mut [Pixel],
    rgb: impl Fn(&[u8; BYTES]) -> [u8; 4],
) {
    let (pixels, _) = bytes.as_chunks::<BYTES>();
    for (out, pixel) in row.iter_mut().zip(pixels) {
        *out = rgb(pixel).map(f32::from);
    }
}

fn fetch_ycbcr(image: &Image<'_>, y: usize, first: usize, row: &mut [Pixel]) {
    let quads = || image.row(0, y, first * 2).as_chunks::<4>().0.iter();
    let pairs = || image.row(1, y / 2, first).as_chunks::<2>().0.iter();
    let single = |plane| image.row(plane, y / 2, first / 2).iter();
    let matrix = YcbcrToRgb::of(image.matrix(), image.range());
    match image.format() {
        PixelFormat::Nv12 => fill_planar(image, y, first, row, pairs().map(|&[cb, cr]| (cb, cr))),
        PixelFormat::Nv21 => fill_planar(image, y, first, row, pairs().map(|&[cr, cb]| (cb, cr))),
        PixelFormat::I420 => {
            let chroma = single(1).zip(single(2)).map(|(&cb, &cr)| (cb, cr));
            fill_planar(image, y, first, row, chroma);
        }
        PixelFormat::Yuyv => {
            matrix.fill(row, quads().map(|&[a, cb, b, cr]| ([a, b], cb, cr)), None)
        }
        _ => matrix.fill(row, quads().map(|&[cb, a, cr, b]| ([a, b], cb, cr)), None),
    }
}

/// Luma in plane 0 and (Cb, Cr), one for two columns, from `chroma`.
fn fill_planar(
    image: &Image<'_>,
    y: usize,
    first: usize,
    row: &mut [Pixel],
    chroma: impl DoubleEndedIterator<Item = (u8, u8)> + ExactSizeIterator + Clone,
) {
    let (pairs, odd) = image.row(0, y, first).as_chunks::<2>();
    let last_chroma = chroma.clone().next_back();
    let tail = odd.first().zip(last_chroma).map(|(&luma, (cb, cr))| ([luma; 2], cb, cr));
    let blocks = pairs.iter().zip(chroma).map(|(&luma, (cb, cr))| (luma, cb, cr));
    YcbcrToRgb::of(image.matrix(), image.range()).fill(row, blocks, tail);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn coefficients_are_the_published_ones() {
        let close = |found: f32, wanted: f32| assert!((found - wanted).abs() < 1e-5, "{found}");
        close(BT601_FULL.red_from_cr, 1.402);
        close(BT601_FULL.green_from_cb, 0.344136);
        close(BT601_FULL.green_from_cr, 0.714136);
        close(BT601_FULL.blue_from_cb, 1.772);
        close(BT709_FULL.red_from_cr, 1.5748);
        close(BT709_FULL.green_from_cb, 0.187324);
        close(BT709_FULL.green_from_cr, 0.468124);
        close(BT709_FULL.blue_from_cb, 1.8556);
        close(BT601_LIMITED.luma, 1.164384);
        close(BT601_LIMITED.red_from_cr, 1.596027);
        close(BT709_LIMITED.blue_from_cb, 2.112402);
    }

    #[test]
    fn rows_start_at_even_columns_and_end_with_odd_frames() {
        // 5 x 1: Y 0 10 20 30 40 without chroma, full range.
        let bytes = [0, 128, 10, 128, 20, 128, 30, 128, 40, 128, 99, 128];
        let image = Image::packed(PixelFormat::Yuyv, &bytes, 5, 1).unwrap();
        let image = image.with_color(ColorMatrix::Bt601, ColorRange::Full);
        let mut row = [[0.0; 4]; 3];
        fetch_row(&image, 0, 2, &mut row);
        assert_eq!(row.map(|[r, g, b, _]| [r, g, b]), [[20.0; 3], [30.0; 3], [40.0; 3]]);
        let mut short = [[0.0; 4]; 1];
        fetch_row(&image, 0, 2, &mut short);
        assert_eq!(short, [[20.0, 20.0, 20.0, short[0][3]]]);
    }

    #[test]
    fn clamping_covers_both_ends() {
        assert_eq!(
            [-1.0, 0.0, 7.5, 255.0, 300.0].map(clamp_to_byte),
            [0.0, 0.0, 7.5, 255.0, 255.0]
        );
        assert_eq!(clamp_to_byte(f32::NAN), 0.0);
    }
}
