//! Resize and normalisation from the formulas alone: two-dimensional, pixel by pixel, in f64.

use zsseg::image::{ColorMatrix, ColorRange, Image, PixelFormat};
use zsseg::spec::{Anchor, ChannelOrder, Filter, Fit, Input, Preprocess};

/// R, G, B of one pixel of a packed frame, decoded from its bytes alone.
fn decode(image: &Image<'_>, x: usize, y: usize) -> [f64; 3] {
    let byte = |plane: usize, row: usize, at: usize| {
        let plane = image.planes()[plane];
        f64::from(plane.data[row * plane.stride_bytes + at])
    };
    let ycc = match image.format() {
        PixelFormat::Rgb8 => return [0, 1, 2].map(|c| byte(0, y, 3 * x + c)),
        PixelFormat::Bgr8 => return [2, 1, 0].map(|c| byte(0, y, 3 * x + c)),
        PixelFormat::Rgba8 => return [0, 1, 2].map(|c| byte(0, y, 4 * x + c)),
        PixelFormat::Bgra8 => return [2, 1, 0].map(|c| byte(0, y, 4 * x + c)),
        PixelFormat::Gray8 => return [byte(0, y, x); 3],
        PixelFormat::Nv12 => [(0, y, x), (1, y / 2, x / 2 * 2), (1, y / 2, x / 2 * 2 + 1)],
        PixelFormat::Nv21 => [(0, y, x), (1, y / 2, x / 2 * 2 + 1), (1, y / 2, x / 2 * 2)],
        PixelFormat::I420 => [(0, y, x), (1, y / 2, x / 2), (2, y / 2, x / 2)],
        PixelFormat::Yuyv => [(0, y, 2 * x), (0, y, x / 2 * 4 + 1), (0, y, x / 2 * 4 + 3)],
        PixelFormat::Uyvy => [(0, y, 2 * x + 1), (0, y, x / 2 * 4), (0, y, x / 2 * 4 + 2)],
    };
    let [luma, cb, cr] = ycc.map(|(plane, row, at)| byte(plane, row, at));
    let (kr, kb) = match image.matrix() {
        ColorMatrix::Bt601 => (0.299, 0.114),
        ColorMatrix::Bt709 => (0.2126, 0.0722),
    };
    let (gray, chroma) = match image.range() {
        ColorRange::Limited => ((luma - 16.0) * 255.0 / 219.0, 255.0 / 224.0),
        ColorRange::Full => (luma, 1.0),
    };
    let red = gray + 2.0 * (1.0 - kr) * chroma * (cr - 128.0);
    let blue = gray + 2.0 * (1.0 - kb) * chroma * (cb - 128.0);
    let green = (gray - kr * red - kb * blue) / (1.0 - kr - kb);
    [red, green, blue].map(|value| value.clamp(0.0, 255.0))
}

/// Content and offset of both axes, from the formulas.
pub fn place(fit: Fit, frame: [f64; 2], input: [f64; 2]) -> ([f64; 2], [f64; 2]) {
    let rounded = |side: f64, to: f64, from: f64| (side * to / from + 0.5).floor().max(1.0);
    let (content, anchor) = match fit {
        Fit::Stretch => return (input, [0.0; 2]),
        Fit::Letterbox(anchor) => {
            let limiting = usize::from(input[1] / frame[1] < input[0] / frame[0]);
            let (to, from) = (input[limiting], frame[limiting]);
            ([0, 1].map(|axis| rounded(frame[axis], to, from).min(input[axis])), anchor)
        }
        Fit::ShortSide { size, anchor } => {
            let short = frame[0].min(frame[1]);
            ([0, 1].map(|axis| rounded(frame[axis], size.into(), short)), anchor)
        }
    };
    let offset = [0, 1].map(|axis| match anchor {
        Anchor::Center => ((input[axis] - content[axis]) / 2.0).floor(),
        Anchor::TopLeft => 0.0,
    });
    (content, offset)
}

fn kernel(filter: Filter, x: f64) -> f64 {
    let x = x.abs();
    match filter {
        Filter::Bilinear => (1.0 - x).max(0.0),
        Filter::Bicubic if x <= 1.0 => 1.5 * x.powi(3) - 2.5 * x.powi(2) + 1.0,
        Filter::Bicubic if x < 2.0 => -0.5 * x.powi(3) + 2.5 * x.powi(2) - 4.0 * x + 2.0,
        Filter::Bicubic => 0.0,
    }
}

/// (pixel, weight) pairs of output `i`; a pixel may occur more than once.
fn taps(i: f64, frame: f64, content: f64, preprocess: &Preprocess) -> Vec<(usize, f64)> {
    let radius = if preprocess.filter == Filter::Bilinear { 1.0 } else { 2.0 };
    let scale = if preprocess.antialias { (frame / content).max(1.0) } else { 1.0 };
    let centre = (i + 0.5) * frame / content;
    let low = (centre - radius * scale).floor() as i64 - 1;
    let high = (centre + radius * scale).ceil() as i64 + 1;
    let mut found = Vec::new();
    for j in low..=high {
        let inside = j.clamp(0, frame as i64 - 1);
        if preprocess.antialias && inside != j {
            continue;
        }
        let weight = kernel(preprocess.filter, (j as f64 + 0.5 - centre) / scale);
        found.push((inside as usize, weight));
    }
    let total: f64 = found.iter().map(|(_, weight)| weight).sum();
    found.into_iter().map(|(pixel, weight)| (pixel, weight / total)).collect()
}

/// Normalised values before quantisation, planar, channels in the order of the network.
pub fn reference(image: &Image<'_>, input: &Input, preprocess: &Preprocess) -> Vec<f64> {
    let frame = [f64::from(image.width()), f64::from(image.height())];
    let size = [f64::from(input.width), f64::from(input.height)];
    let (content, offset) = place(preprocess.fit, frame, size);
    let (width, height) = (input.width as usize, input.height as usize);
    let mut out = vec![0.0; 3 * width * height];
    for (y, x) in (0..height).flat_map(|y| (0..width).map(move |x| (y, x))) {
        let (i, j) = (x as f64 - offset[0], y as f64 - offset[1]);
        let inside = (0.0..content[0]).contains(&i) && (0.0..content[1]).contains(&j);
        let mut rgb = [0.0; 3];
        if inside {
            let columns = taps(i, frame[0], content[0], preprocess);
            for (row, down) in taps(j, frame[1], content[1], preprocess) {
                for &(column, across) in &columns {
                    let pixel = decode(image, column, row);
                    for (sum, value) in rgb.iter_mut().zip(pixel) {
                        *sum += down * across * value;
                    }
                }
            }
        }
        for c in 0..3 {
            let source = if preprocess.order == ChannelOrder::Rgb { c } else { 2 - c };
            let value = match inside {
                true => rgb[source].clamp(0.0, 255.0),
                false => preprocess.pad[c].into(),
            };
            let [scale, mean, std] = [preprocess.scale, preprocess.mean[c], preprocess.std[c]];
            out[(c * height + y) * width + x] =
                (value * f64::from(scale) - f64::from(mean)) / f64::from(std);
        }
    }
    out
}
