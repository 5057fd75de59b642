//! Reads pictures.

use super::failure::of_panic;
use crate::limits::MAX_FRAME_SIDE;
use crate::viz::Picture;
use anyhow::{Context, Result, ensure};
use image::metadata::Orientation;
use image::{DynamicImage, ImageDecoder, ImageReader, Limits};
use std::format;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

/// Most memory that a decoder may take: the largest frame as R G B A bytes.
const MAX_DECODER_BYTES: u64 = 4 * MAX_FRAME_SIDE as u64 * MAX_FRAME_SIDE as u64;

/// Width and height of a picture as it is to be seen (a camera's orientation mark applied).
/// Reads only the start of the file.
pub fn size(path: &Path) -> Result<(u32, u32)> {
    guarded(path, || {
        let mut decoder = open(path)?;
        let (width, height) = decoder.dimensions();
        Ok(match decoder.orientation()? {
            Orientation::Rotate90
            | Orientation::Rotate270
            | Orientation::Rotate90FlipH
            | Orientation::Rotate270FlipH => (height, width),
            _ => (width, height),
        })
    })
}

/// Decodes a picture: 8 bits a channel, orientation applied, transparency ignored.
pub fn read(path: &Path) -> Result<Picture> {
    guarded(path, || {
        let mut decoder = open(path)?;
        let orientation = decoder.orientation()?;
        let mut limits = decoder_limits();
        limits.reserve(decoder.total_bytes())?;
        decoder.set_limits(limits)?;
        let mut decoded = DynamicImage::from_decoder(decoder)?;
        decoded.apply_orientation(orientation);
        let rgb = decoded.into_rgb8();
        let (width, height) = rgb.dimensions();
        Ok(Picture::new(width, height, rgb.into_raw())?)
    })
}

fn open(path: &Path) -> Result<impl ImageDecoder + use<>> {
    let is_bundle = path.extension().is_some_and(|extension| extension == "zsb");
    ensure!(!is_bundle, "it is a bundle: a model is named with --bundle");
    let mut reader = ImageReader::open(path)?.with_guessed_format()?;
    reader.limits(decoder_limits());
    Ok(reader.into_decoder()?)
}

fn decoder_limits() -> Limits {
    let mut limits = Limits::no_limits();
    limits.max_image_width = Some(MAX_FRAME_SIDE);
    limits.max_image_height = Some(MAX_FRAME_SIDE);
    limits.max_alloc = Some(MAX_DECODER_BYTES);
    limits
}

/// Turns errors, and panics of a decoder, into an error about this picture.
fn guarded<T>(path: &Path, read: impl FnOnce() -> Result<T>) -> Result<T> {
    let outcome = catch_unwind(AssertUnwindSafe(read));
    let outcome = outcome.unwrap_or_else(|panic| Err(of_panic(panic.as_ref())));
    outcome.with_context(|| format!("{} cannot be read as a picture", path.display()))
}
