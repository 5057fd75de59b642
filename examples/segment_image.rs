//! Segments a picture and prints the classes found, as the C, C++ and Python examples of the same
//! name do.
//!
//! ```sh
//! cargo run --release --example segment_image -- models/voc11-lite0-zs.zsb tests/data/chelsea.png
//! ```

use std::error::Error;
use zsseg::arena::AlignedBytes;
use zsseg::bundle::Bundle;
use zsseg::head::Output;
use zsseg::image::{Image, PixelFormat};
use zsseg::limits::{Limits, MAX_BUNDLE_BYTES};
use zsseg::segmenter::Segmenter;

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let (Some(bundle_path), Some(picture_path)) = (arguments.next(), arguments.next()) else {
        return Err("usage: segment_image BUNDLE PICTURE".into());
    };
    let file = AlignedBytes::read(bundle_path.as_ref(), MAX_BUNDLE_BYTES)?;
    let picture = image::open(picture_path)?.to_rgb8();
    let (width, height) = picture.dimensions();

    // The bundle says how much memory frames of this size need; the caller provides it.
    let bundle = Bundle::open(file.as_slice())?;
    let limits = Limits::for_frames(width, height);
    let arena_bytes = Segmenter::arena_bytes(&bundle, &limits)?;
    let mut arena = AlignedBytes::zeros(arena_bytes);
    let mut segmenter = Segmenter::new(&bundle, &limits, arena.as_mut_slice())?;

    let frame = Image::packed(PixelFormat::Rgb8, &picture, width, height)?;
    let mut labels = vec![0u8; (width * height) as usize];
    segmenter.segment(&frame, &mut Output::labels_u8(&mut labels, width as usize))?;

    println!("{} ({width} x {height}, arena {arena_bytes} bytes)", bundle.model_name());
    for (index, class) in bundle.classes().enumerate() {
        let pixels = labels.iter().filter(|&&label| usize::from(label) == index).count();
        if pixels > 0 {
            println!("{:>6.2} %  {}", 100.0 * pixels as f64 / labels.len() as f64, class.name);
        }
    }
    Ok(())
}
