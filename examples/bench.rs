//! Milliseconds per frame, as the C, C++ and Python examples of the same name measure them.
//!
//! ```sh
//! cargo run --release --example bench -- models/voc11-lite0-zs.zsb tests/data/chelsea.png 20 2
//! ```

use std::error::Error;
use std::time::Instant;
use zsseg::arena::AlignedBytes;
use zsseg::bundle::Bundle;
use zsseg::head::Output;
use zsseg::image::Image;
use zsseg::limits::{Limits, MAX_BUNDLE_BYTES};
use zsseg::segmenter::Segmenter;
use zsseg::threads::Workers;

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let (bundle_path, picture_path, numbers) = match arguments.as_slice() {
        [bundle, picture, numbers @ ..] if numbers.len() <= 2 => (bundle, picture, numbers),
        _ => return Err("usage: bench BUNDLE PICTURE [FRAMES [THREADS]]".into()),
    };
    let frames = numbers.first().map_or(Ok(20), |number| number.parse::<usize>())?.max(1);
    let threads = numbers.get(1).map_or(Ok(1), |number| number.parse::<u32>())?;
    let file = AlignedBytes::read(bundle_path.as_ref(), MAX_BUNDLE_BYTES)?;
    let picture = image::open(picture_path)?.to_rgb8();
    let (width, height) = picture.dimensions();
    let bundle = Bundle::open(file.as_slice())?;
    let limits = Limits { threads, ..Limits::for_frames(width, height) };
    let workers = Workers::new(threads)?;
    let arena_bytes = Segmenter::arena_bytes(&bundle, &limits)?;
    let mut arena = AlignedBytes::zeros(arena_bytes);
    let mut segmenter = Segmenter::new(&bundle, &limits, arena.as_mut_slice())?;
    segmenter.set_thread_pool(Some(&workers));

    let frame = Image::rgb8(&picture, width, height)?;
    let mut labels = vec![0u8; (width * height) as usize];
    let mut times_ms = Vec::with_capacity(frames);
    for _ in 0..frames {
        let started = Instant::now();
        segmenter.segment(&frame, &mut Output::labels_u8(&mut labels, width as usize))?;
        times_ms.push(started.elapsed().as_secs_f64() * 1e3);
    }
    times_ms.sort_by(f64::total_cmp);
    let median = times_ms[frames / 2];
    println!("{median:.2} ms median, {:.2} ms least, of {frames}", times_ms[0]);
    Ok(())
}
