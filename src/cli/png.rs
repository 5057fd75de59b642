//! PNG files in memory.

use super::mask::LabelPlane;
use crate::viz::{Palette, Picture};
use anyhow::{Context, Result};
use png::{BitDepth, ColorType, Encoder, Filter};
use std::vec::Vec;

/// The mask: 8-bit indexed for labels of 8 bits, so that viewers show colours and programs read
/// classes; 16-bit grey for wider ones.
pub fn of_labels(labels: &LabelPlane, size: (u32, u32), palette: &Palette) -> Result<Vec<u8>> {
    match labels {
        LabelPlane::U8(labels) => {
            let palette = palette.indexed().concat();
            encode(size, ColorType::Indexed, BitDepth::Eight, Some(palette), labels)
        }
        LabelPlane::U16(labels) => {
            let bytes: Vec<u8> = labels.iter().flat_map(|label| label.to_be_bytes()).collect();
            encode(size, ColorType::Grayscale, BitDepth::Sixteen, None, &bytes)
        }
    }
}

/// 8-bit grey.
pub fn of_grey(values: &[u8], size: (u32, u32)) -> Result<Vec<u8>> {
    encode(size, ColorType::Grayscale, BitDepth::Eight, None, values)
}

/// 8-bit R G B.
pub fn of_picture(picture: &Picture) -> Result<Vec<u8>> {
    let size = (picture.width(), picture.height());
    encode(size, ColorType::Rgb, BitDepth::Eight, None, picture.rgb())
}

fn encode(
    (width, height): (u32, u32),
    color: ColorType,
    depth: BitDepth,
    palette: Option<Vec<u8>>,
    data: &[u8],
) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let mut encoder = Encoder::new(&mut bytes, width, height);
    encoder.set_color(color);
    encoder.set_depth(depth);
    if let Some(palette) = palette {
        encoder.set_palette(palette);
        // Neighbouring class numbers do not resemble one another, so filters do harm.
        encoder.set_filter(Filter::NoFilter);
    }
    let write = || -> core::result::Result<(), png::EncodingError> {
        let mut writer = encoder.write_header()?;
        writer.write_image_data(data)?;
        writer.finish()
    };
    write().context("encoding a PNG file")?;
    Ok(bytes)
}
