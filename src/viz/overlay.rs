//! A mask laid over its picture.

use super::palette::{Color, Palette};
use crate::limits::product;
use crate::status::{Result, Status};
use std::vec;
use std::vec::Vec;

/// A picture in memory: rows of red, green, blue bytes without padding.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Picture {
    width: u32,
    height: u32,
    rgb: Vec<u8>,
}

impl Picture {
    /// A picture of the given pixels: `width * height * 3` bytes.
    ///
    /// # Errors
    /// [`Status::InvalidArgument`] for another number of bytes.
    pub fn new(width: u32, height: u32, rgb: Vec<u8>) -> Result<Picture> {
        let bytes = product("picture", &[width as usize, height as usize, 3])?;
        if rgb.len() != bytes {
            let error = Status::InvalidArgument.about("bytes of a picture");
            return Err(error.numbers(rgb.len() as u64, bytes as u64));
        }
        Ok(Picture { width, height, rgb })
    }

    /// A picture of one colour.
    pub fn filled(width: u32, height: u32, color: Color) -> Result<Picture> {
        let pixels = product("picture", &[width as usize, height as usize])?;
        let mut rgb = vec![0; product("picture", &[pixels, 3])?];
        for pixel in rgb.chunks_exact_mut(3) {
            pixel.copy_from_slice(&color);
        }
        Ok(Picture { width, height, rgb })
    }

    /// Columns.
    pub fn width(&self) -> u32 {
        self.width
    }

    /// Rows.
    pub fn height(&self) -> u32 {
        self.height
    }

    /// All bytes.
    pub fn rgb(&self) -> &[u8] {
        &self.rgb
    }

    /// The colour of a pixel; `None` outside.
    pub fn pixel(&self, x: u32, y: u32) -> Option<Color> {
        let at = self.offset(x, y)?;
        self.rgb.get(at..at + 3)?.try_into().ok()
    }

    /// Sets a pixel; nothing happens outside.
    pub fn set_pixel(&mut self, x: u32, y: u32, color: Color) {
        let Some(at) = self.offset(x, y) else { return };
        if let Some(pixel) = self.rgb.get_mut(at..at + 3) {
            pixel.copy_from_slice(&color);
        }
    }

    fn offset(&self, x: u32, y: u32) -> Option<usize> {
        let inside = x < self.width && y < self.height;
        inside.then(|| (y as usize * self.width as usize + x as usize) * 3)
    }
}

/// Mixes the colour of every pixel's class into the picture: half of each. Pixels without a class
/// (a label that is none of the `classes`) stay as they are. `labels` holds one label per pixel.
///
/// # Errors
/// [`Status::InvalidArgument`] if there are more or fewer labels than pixels.
pub fn blend<L: Copy + Into<u32>>(
    picture: &Picture,
    labels: &[L],
    classes: usize,
    palette: &Palette,
) -> Result<Picture> {
    let mut rgb = picture.rgb.clone();
    if labels.len() * 3 != rgb.len() {
        let error = Status::InvalidArgument.about("pixels of a mask and of its picture");
        return Err(error.numbers(labels.len() as u64, (rgb.len() / 3) as u64));
    }
    tint(&mut rgb, labels, classes, palette, WHOLE_TINT / 2);
    Ok(Picture { rgb, ..*picture })
}

/// Weight with which [`tint`] leaves nothing of the picture.
pub const WHOLE_TINT: u16 = 256;

/// Mixes the colours of classes into pixels of red, green, blue bytes, in place: a row, or a whole
/// picture without padding. `weight` is the colours' share, 0 to [`WHOLE_TINT`]; more counts as
/// that. Pixels without a class, or without a label, stay as they are.
pub fn tint<L: Copy + Into<u32>>(
    rgb: &mut [u8],
    labels: &[L],
    classes: usize,
    palette: &Palette,
    weight: u16,
) {
    let weight = weight.min(WHOLE_TINT);
    let mix = |value: u8, color: u8| {
        let sum = u16::from(value) * (WHOLE_TINT - weight) + u16::from(color) * weight;
        (sum / WHOLE_TINT) as u8
    };
    for (pixel, &label) in rgb.chunks_exact_mut(3).zip(labels) {
        let label = label.into() as usize;
        if label >= classes {
            continue;
        }
        for (value, color) in pixel.iter_mut().zip(palette.color(label)) {
            *value = mix(*value, color);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn classes_are_mixed_in_and_other_pixels_kept() {
        let picture = Picture::filled(3, 1, [100, 200, 0]).unwrap();
        let palette = Palette::of_classes([[0, 0, 0], [200, 0, 100]]);
        let overlay = blend(&picture, &[0u8, 1, 255], 2, &palette).unwrap();
        assert_eq!(overlay.rgb(), [50, 100, 0, 150, 100, 50, 100, 200, 0]);
        assert!(blend(&picture, &[0u8; 2], 2, &palette).is_err());
    }

    #[test]
    fn a_tint_goes_from_nothing_to_the_colour_itself() {
        let palette = Palette::of_classes([[0, 200, 255]]);
        let tinted = |weight| {
            let mut rgb = [100, 100, 255, 9, 9, 9, 7, 7, 7];
            tint(&mut rgb, &[0u8, 255], 1, &palette, weight);
            assert_eq!(rgb[3..], [9, 9, 9, 7, 7, 7]);
            [rgb[0], rgb[1], rgb[2]]
        };
        assert_eq!(tinted(0), [100, 100, 255]);
        assert_eq!(tinted(64), [75, 125, 255]);
        assert_eq!(tinted(WHOLE_TINT), [0, 200, 255]);
        assert_eq!(tinted(u16::MAX), [0, 200, 255]);
    }

    #[test]
    fn pixels_outside_are_none() {
        let mut picture = Picture::filled(2, 2, [1, 2, 3]).unwrap();
        picture.set_pixel(2, 0, [9; 3]);
        picture.set_pixel(1, 1, [7; 3]);
        assert_eq!(picture.pixel(2, 0), None);
        assert_eq!(picture.pixel(1, 1), Some([7; 3]));
        assert_eq!(picture.pixel(0, 1), Some([1, 2, 3]));
        assert!(Picture::new(2, 2, vec![0; 11]).is_err());
    }
}
