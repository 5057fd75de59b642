//! Adds a class by its name and segments a picture with it, as the C, C++ and Python examples of
//! the same name do.
//!
//! ```sh
//! cargo run --release --example add_class -- models/voc11-lite0-zs.zsb tests/data/chelsea.png cat
//! ```

use std::error::Error;
use zsseg::arena::AlignedBytes;
use zsseg::bundle::Bundle;
use zsseg::classes::NewClass;
use zsseg::head::Output;
use zsseg::image::Image;
use zsseg::limits::{Limits, MAX_BUNDLE_BYTES};
use zsseg::segmenter::{ClassSource, Meaning, Segmenter};

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [bundle_path, picture_path, name] = arguments.as_slice() else {
        return Err("usage: add_class BUNDLE PICTURE NAME".into());
    };
    let file = AlignedBytes::read(bundle_path.as_ref(), MAX_BUNDLE_BYTES)?;
    let picture = image::open(picture_path)?.to_rgb8();
    let (width, height) = picture.dimensions();

    // Room for one more class is part of what the arena is sized for.
    let bundle = Bundle::open(file.as_slice())?;
    let limits = Limits { extra_classes: 1, ..Limits::for_frames(width, height) };
    let arena_bytes = Segmenter::arena_bytes(&bundle, &limits)?;
    let mut arena = AlignedBytes::zeros(arena_bytes);
    let mut segmenter = Segmenter::new(&bundle, &limits, arena.as_mut_slice())?;

    let source = ClassSource::Meaning(Meaning::Word(name));
    let label = segmenter.add_class(&NewClass::named(name), &source)?;

    let mut labels = vec![0u16; (width * height) as usize];
    let frame = Image::rgb8(&picture, width, height)?;
    segmenter.segment(&frame, &mut Output::labels_u16(&mut labels, width as usize))?;
    let pixels = labels.iter().filter(|&&found| found == label).count();
    let share = 100.0 * pixels as f64 / labels.len() as f64;
    println!("{share:.2} % of the pixels are {name}, label {label}");
    Ok(())
}
