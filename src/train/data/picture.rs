//! Pictures of a data set.

use super::error::{DataError, Result};
use crate::limits::MAX_FRAME_SIDE;
use crate::viz::Picture;
use image::{DynamicImage, ImageDecoder, ImageError, ImageReader, Limits};
use std::io::Cursor;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::string::{String, ToString};

/// Most memory that a decoder may take: the largest frame as R G B A bytes.
const MAX_DECODER_BYTES: u64 = 4 * MAX_FRAME_SIDE as u64 * MAX_FRAME_SIDE as u64;

/// Decodes a picture: 8 bits a channel, transparency ignored, grey repeated.
///
/// A camera's orientation mark is not applied: masks were drawn on the pixels as they are stored,
/// which is also how Pillow and OpenCV's raw mode show them.
///
/// # Errors
/// [`DataError::File`] or [`DataError::Picture`], naming the file; also for a JPEG that was cut
/// off, which decoders fill with grey. Damage that still decodes cannot be noticed.
pub fn read_picture(path: &Path) -> Result<Picture> {
    let bytes = std::fs::read(path).map_err(DataError::file(path))?;
    guarded(path, || {
        if is_cut_off_jpeg(&bytes) {
            return Err("the JPEG ends too early".to_string());
        }
        let mut decoder = decoder(&bytes).map_err(|error| error.to_string())?;
        let mut limits = limits();
        limits.reserve(decoder.total_bytes()).map_err(|error| error.to_string())?;
        decoder.set_limits(limits).map_err(|error| error.to_string())?;
        let decoded = DynamicImage::from_decoder(decoder).map_err(|error| error.to_string())?;
        let rgb = decoded.into_rgb8();
        let (width, height) = rgb.dimensions();
        Picture::new(width, height, rgb.into_raw()).map_err(|error| error.to_string())
    })
}

/// Width and height of a picture in pixels, from the start of its file.
///
/// # Errors
/// As [`read_picture`], but only what can be seen there.
pub fn picture_size(path: &Path) -> Result<(u32, u32)> {
    let reader = ImageReader::open(path).map_err(DataError::file(path))?;
    guarded(path, || {
        let mut reader = reader.with_guessed_format().map_err(|error| error.to_string())?;
        reader.limits(limits());
        reader.into_dimensions().map_err(|error| error.to_string())
    })
}

fn decoder(bytes: &[u8]) -> core::result::Result<impl ImageDecoder + '_, ImageError> {
    let mut reader = ImageReader::new(Cursor::new(bytes)).with_guessed_format()?;
    reader.limits(limits());
    reader.into_decoder()
}

fn limits() -> Limits {
    let mut limits = Limits::no_limits();
    limits.max_image_width = Some(MAX_FRAME_SIDE);
    limits.max_image_height = Some(MAX_FRAME_SIDE);
    limits.max_alloc = Some(MAX_DECODER_BYTES);
    limits
}

/// Turns errors, and panics of a decoder, into an error about this file.
fn guarded<T>(path: &Path, read: impl FnOnce() -> core::result::Result<T, String>) -> Result<T> {
    let outcome = catch_unwind(AssertUnwindSafe(read));
    let outcome = outcome.unwrap_or_else(|_| Err("its decoder failed".to_string()));
    outcome.map_err(|reason| DataError::picture(path, reason))
}

/// Whether the bytes are the start of a JPEG file without its end mark. The mark is looked for
/// behind the start of the scan, since a thumbnail before it has one of its own.
fn is_cut_off_jpeg(bytes: &[u8]) -> bool {
    let Some(mut rest) = bytes.strip_prefix(b"\xFF\xD8") else { return false };
    loop {
        let Some(([0xFF, marker], after)) = rest.split_first_chunk() else {
            // Fill bytes or damage: that is for the decoder to judge.
            return rest.len() < 2;
        };
        let Some((len, _)) = after.split_first_chunk() else { return true };
        let Some(next) = after.get(usize::from(u16::from_be_bytes(*len))..) else { return true };
        if *marker == 0xDA {
            return !next.windows(2).any(|pair| pair == b"\xFF\xD9");
        }
        rest = next;
    }
}

/// Endings that are tried for a picture's name, in this order.
pub(super) const EXTENSIONS: [&str; 9] =
    ["jpg", "png", "jpeg", "JPG", "JPEG", "PNG", "ppm", "webp", "bmp"];

/// The endings, for a message.
pub(super) fn extensions() -> String {
    EXTENSIONS.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_end_of_a_jpeg_is_behind_its_scan() {
        let header = b"\xFF\xD8\xFF\xE1\0\x04\xFF\xD9\xFF\xDA\0\x03\x01";
        assert!(is_cut_off_jpeg(header));
        assert!(is_cut_off_jpeg(&[header.as_slice(), b"abc\xFF\0d"].concat()));
        assert!(!is_cut_off_jpeg(&[header.as_slice(), b"abc\xFF\xD9"].concat()));
        assert!(!is_cut_off_jpeg(&[header.as_slice(), b"abc\xFF\xD9trailing"].concat()));
        for len in 2..header.len() {
            assert!(is_cut_off_jpeg(header.get(..len).unwrap()), "{len}");
        }
        assert!(!is_cut_off_jpeg(b"\x89PNG"));
    }
}
