//! Small stores.

use std::path::Path;
use zsseg::map::Layout;
use zsseg::spec::{Anchor, ChannelOrder, Filter, Fit, Input, InputType, Precision, Preprocess};
use zsseg::train::engine::Matrix;
use zsseg::train::store::{BackboneRecord, Network, Shard, StoreMeta, StoreWriter};
use zsseg::train::{Tap, View};

pub const ONNX: &[u8] = include_bytes!("../models/tiny_rgb.onnx");

/// Rows, columns and channels of the taps.
pub const SIDES: [[usize; 3]; 2] = [[2, 3, 4], [1, 2, 1]];

pub fn preprocess(fit: Fit) -> Preprocess {
    Preprocess {
        fit,
        filter: Filter::Bilinear,
        antialias: true,
        order: ChannelOrder::Rgb,
        scale: 1.0,
        mean: [0.0; 3],
        std: [1.0; 3],
        pad: [9.0; 3],
    }
}

pub fn input(width: u32, height: u32) -> Input {
    Input { width, height, layout: Layout::Chw, element: InputType::F32 }
}

/// The tiny network, which is 8 x 8 and says how red, green and blue a cell of 2 x 2 is.
pub fn tiny(fit: Fit) -> Network {
    Network {
        onnx: ONNX.to_vec(),
        input_name: "image".to_string(),
        input: input(8, 8),
        preprocess: preprocess(fit),
        precision: Precision::AsModel,
    }
}

pub fn taps() -> Vec<Tap> {
    let tap = |(place, [height, width, channels]): (usize, [usize; 3])| Tap {
        name: format!("tap{place}"),
        height,
        width,
        channels,
    };
    SIDES.into_iter().enumerate().map(tap).collect()
}

pub fn letterbox() -> BackboneRecord {
    let fit = Fit::Letterbox(Anchor::Center);
    BackboneRecord::new(&input(8, 6), &preprocess(fit), Precision::AsModel)
}

/// Metadata of pictures with these names.
pub fn meta(names: &[&str], views: &[View]) -> StoreMeta {
    let names = names.iter().map(|name| name.to_string()).collect();
    let backbone = ("ab".repeat(32), letterbox());
    StoreMeta::new(backbone, &taps(), (views, 0), Shard::WHOLE, names)
}

/// Features that tell where they are from.
pub fn features(picture: usize, view: usize) -> Vec<Matrix<f32>> {
    let start = (20 * picture + 5 * view) as f32;
    let matrix = |[rows, columns, channels]: [usize; 3]| {
        let count = rows * columns * channels;
        let values = (0..count).map(|i| start + i as f32 / 8.0).collect();
        Matrix::new([rows * columns, channels], values).unwrap()
    };
    SIDES.into_iter().map(matrix).collect()
}

/// A complete store.
pub fn fill(path: &Path, meta: StoreMeta) {
    let [pictures, views] = [meta.pictures().len(), meta.views().len()];
    let writer = StoreWriter::create(path, meta).unwrap();
    for picture in 0..pictures {
        for view in 0..views {
            writer.put(picture, view, &features(picture, view)).unwrap();
        }
    }
    writer.finish().unwrap();
}
