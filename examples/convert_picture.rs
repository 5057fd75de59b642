//! Converts a picture to another format, chosen by the ending: the C examples read PPM.
//!
//! ```sh
//! cargo run --release --example convert_picture -- tests/data/chelsea.png chelsea.ppm
//! ```

use image::codecs::pnm::{PnmEncoder, PnmSubtype, SampleEncoding};
use std::error::Error;

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [source, target] = arguments.as_slice() else {
        return Err("usage: convert_picture SOURCE TARGET".into());
    };
    let picture = image::open(source)?.to_rgb8();
    if !target.ends_with(".ppm") {
        return Ok(picture.save(target)?);
    }
    let file = std::fs::File::create(target)?;
    let encoder = PnmEncoder::new(file).with_subtype(PnmSubtype::Pixmap(SampleEncoding::Binary));
    Ok(picture.write_with_encoder(encoder)?)
}
