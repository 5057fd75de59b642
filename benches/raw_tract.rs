//! The bare way with tract, for comparison: resize with the `image` crate, run the whole graph
//! (network, classifier, Resize, ArgMax) through tract, bring the mask back with nearest
//! resampling. Prints one JSON object. `benches/compare.py` makes the graph and runs this.
//!
//! ```sh
//! cargo run --release --example raw_tract -- GRAPH.onnx PICTURE FRAMES
//! ```

use image::imageops::{FilterType, crop_imm, resize};
use std::error::Error;
use std::time::Instant;
use tract_onnx::prelude::*;

/// Side of the network's input, and the letterbox's colour.
const SIDE: u32 = 512;
const PAD: u8 = 127;

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [graph, picture, frames] = arguments.as_slice() else {
        return Err("usage: raw_tract GRAPH.onnx PICTURE FRAMES".into());
    };
    let picture = image::open(picture)?.to_rgb8();
    let model = onnx()
        .model_for_path(graph)?
        .with_input_fact(0, f32::fact([1, 3, SIDE as usize, SIDE as usize]).into())?
        .into_optimized()?
        .into_runnable()?;
    let mut times_ms = Vec::new();
    for frame in 0..frames.parse::<usize>()? + 2 {
        let start = Instant::now();
        let mask = segment(&model, &picture)?;
        if frame >= 2 {
            times_ms.push(start.elapsed().as_secs_f64() * 1e3);
        }
        assert_eq!(mask.dimensions(), picture.dimensions());
    }
    println!("{{\"times_ms\": {times_ms:?}, \"peak_bytes\": {}}}", peak_bytes()?);
    Ok(())
}

fn segment(
    model: &Arc<TypedRunnableModel>,
    picture: &image::RgbImage,
) -> Result<image::GrayImage, Box<dyn Error>> {
    let (width, height) = picture.dimensions();
    let scale = f64::from(SIDE) / f64::from(width.max(height));
    let content = |side: u32| ((f64::from(side) * scale + 0.5) as u32).clamp(1, SIDE);
    let (content_width, content_height) = (content(width), content(height));
    let (left, top) = ((SIDE - content_width) / 2, (SIDE - content_height) / 2);
    let small = resize(picture, content_width, content_height, FilterType::Triangle);
    let mut input = image::RgbImage::from_pixel(SIDE, SIDE, image::Rgb([PAD; 3]));
    image::imageops::replace(&mut input, &small, left.into(), top.into());
    let cells = (SIDE * SIDE) as usize;
    let mut values = vec![0f32; 3 * cells];
    for (at, pixel) in input.pixels().enumerate() {
        for channel in 0..3 {
            values[channel * cells + at] = (f32::from(pixel[channel]) - 127.0) / 128.0;
        }
    }
    let tensor = Tensor::from_shape(&[1, 3, SIDE as usize, SIDE as usize], &values)?;
    let output = model.run(tvec!(tensor.into()))?;
    let labels = output[0].cast_to::<u8>()?;
    let labels = labels.as_bytes().to_vec();
    let labels = image::GrayImage::from_raw(SIDE, SIDE, labels).ok_or("a mask of another size")?;
    let labels = crop_imm(&labels, left, top, content_width, content_height).to_image();
    Ok(resize(&labels, width, height, FilterType::Nearest))
}

fn peak_bytes() -> Result<u64, Box<dyn Error>> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kib = line.and_then(|line| line.split_whitespace().next()).ok_or("no VmHWM")?;
    Ok(kib.parse::<u64>()? * 1024)
}
