//! Compares two masks and fails when fewer than the stated share of pixels are equal.
//!
//! ```sh
//! cargo run --release --example compare_masks -- MASK REFERENCE 0.99
//! ```

use std::error::Error;

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [mask, reference, least] = arguments.as_slice() else {
        return Err("usage: compare_masks MASK REFERENCE LEAST_SHARE".into());
    };
    let least: f64 = least.parse()?;
    let share = agreement(mask, reference)?;
    println!("{mask}: {:.3} % of pixels equal to {reference}", 100.0 * share);
    if share < least {
        return Err(format!("fewer than {:.1} % of pixels are equal", 100.0 * least).into());
    }
    Ok(())
}

fn agreement(mask: &str, reference: &str) -> Result<f64, Box<dyn Error>> {
    let (mask, reference) = (indices(mask)?, indices(reference)?);
    if mask.dimensions() != reference.dimensions() {
        return Err("the masks have different sizes".into());
    }
    let equal = mask.pixels().zip(reference.pixels()).filter(|(a, b)| a == b).count();
    Ok(equal as f64 / mask.len() as f64)
}

/// The class indices of a mask: the palette indices of a palette PNG, or grey values.
fn indices(path: &str) -> Result<image::GrayImage, Box<dyn Error>> {
    if !path.ends_with(".png") {
        return Ok(image::open(path)?.into_luma8());
    }
    let file = std::io::BufReader::new(std::fs::File::open(path)?);
    let mut decoder = png::Decoder::new(file);
    decoder.set_transformations(png::Transformations::IDENTITY);
    let mut reader = decoder.read_info()?;
    let mut pixels = vec![0; reader.output_buffer_size().ok_or("a PNG too large")?];
    let info = reader.next_frame(&mut pixels)?;
    if info.bit_depth != png::BitDepth::Eight || info.line_size != info.width as usize {
        return Err(format!("{path} has not one byte a pixel").into());
    }
    let image = image::GrayImage::from_raw(info.width, info.height, pixels);
    Ok(image.ok_or("a PNG with too few pixels")?)
}
