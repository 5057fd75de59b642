//! Pictures from a request's body, which anybody may have made.

use super::http::Failure;
use crate::cli::failure::of_panic;
use crate::limits::MAX_FRAME_SIDE;
use crate::viz::Picture;
use image::{DynamicImage, ImageDecoder, ImageError, ImageReader, Limits};
use std::format;
use std::io::Cursor;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::string::ToString;

/// Most pixels: more than the cameras of telephones have.
const MAX_PIXELS: u64 = 1 << 26;
/// Most memory that a decoder may take: 16-bit R G B A.
const MAX_DECODER_BYTES: u64 = 8 * MAX_PIXELS;

/// Decodes a picture: 8 bits a channel, orientation applied, transparency ignored.
///
/// # Errors
/// 413 for too many pixels, found in the file's first bytes; 415 for what is no picture.
pub fn picture(file: &[u8]) -> Result<Picture, Failure> {
    let decoded = catch_unwind(AssertUnwindSafe(|| decode(file)));
    decoded.unwrap_or_else(|panic| Err(Failure::new(415, of_panic(panic.as_ref()).to_string())))
}

fn decode(file: &[u8]) -> Result<Picture, Failure> {
    let refused = |error: ImageError| {
        let status = if matches!(error, ImageError::Limits(_)) { 413 } else { 415 };
        Failure::new(status, format!("the body cannot be read as a picture: {error}"))
    };
    let mut reader = ImageReader::new(Cursor::new(file));
    reader = reader.with_guessed_format().map_err(|error| refused(error.into()))?;
    reader.limits(limits());
    let mut decoder = reader.into_decoder().map_err(refused)?;
    let (width, height) = decoder.dimensions();
    if u64::from(width) * u64::from(height) > MAX_PIXELS {
        let text = format!("{width}x{height} is too large; at most {MAX_PIXELS} pixels are taken");
        return Err(Failure::new(413, text));
    }
    let orientation = decoder.orientation().map_err(refused)?;
    decoder.set_limits(limits()).map_err(refused)?;
    let mut decoded = DynamicImage::from_decoder(decoder).map_err(refused)?;
    decoded.apply_orientation(orientation);
    let rgb = decoded.into_rgb8();
    let (width, height) = rgb.dimensions();
    Ok(Picture::new(width, height, rgb.into_raw())?)
}

fn limits() -> Limits {
    let mut limits = Limits::no_limits();
    limits.max_image_width = Some(MAX_FRAME_SIDE);
    limits.max_image_height = Some(MAX_FRAME_SIDE);
    limits.max_alloc = Some(MAX_DECODER_BYTES);
    limits
}
