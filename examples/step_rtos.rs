//! Segments a picture in slices, as a task that must not stay away long; as the C, C++ and Python
//! examples of the same name do.
//!
//! ```sh
//! cargo run --release --example step_rtos -- models/voc11-lite0-zs.zsb tests/data/chelsea.png
//! ```

use std::error::Error;
use std::time::{Duration, Instant};
use zsseg::arena::AlignedBytes;
use zsseg::bundle::Bundle;
use zsseg::head::Output;
use zsseg::image::Image;
use zsseg::limits::{Limits, MAX_BUNDLE_BYTES};
use zsseg::segmenter::{Frame, Segmenter};

const PIECES: u32 = 8;

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [bundle_path, picture_path] = arguments.as_slice() else {
        return Err("usage: step_rtos BUNDLE PICTURE".into());
    };
    let file = AlignedBytes::read(bundle_path.as_ref(), MAX_BUNDLE_BYTES)?;
    let picture = image::open(picture_path)?.to_rgb8();
    let (width, height) = picture.dimensions();

    let bundle = Bundle::open(file.as_slice())?;
    let limits = Limits::for_frames(width, height);
    let arena_bytes = Segmenter::arena_bytes(&bundle, &limits)?;
    let mut arena = AlignedBytes::zeros(arena_bytes);
    let mut segmenter = Segmenter::new(&bundle, &limits, arena.as_mut_slice())?;

    let image = Image::rgb8(&picture, width, height)?;
    let mut whole = vec![0u8; (width * height) as usize];
    segmenter.segment(&image, &mut Output::labels_u8(&mut whole, width as usize))?;

    let mut labels = vec![0u8; whole.len()];
    let mut output = Output::labels_u8(&mut labels, width as usize);
    let frame = Frame::of(&image);
    let (mut slices, mut longest) = (0, Duration::ZERO);
    segmenter.begin(&frame, &output)?;
    loop {
        let started = Instant::now();
        let done = segmenter.step(&frame, &mut output, PIECES)?;
        // Here other tasks would have their turn.
        longest = longest.max(started.elapsed());
        slices += 1;
        if done {
            break;
        }
    }
    println!("{slices} slices of {PIECES} pieces, longest {} us", longest.as_micros());
    if labels != whole {
        return Err("another mask in slices".into());
    }
    println!("the same mask as in one call");
    Ok(())
}
