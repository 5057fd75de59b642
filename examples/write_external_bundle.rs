//! Writes a bundle without a network, whose logits the caller brings, or whose features: for NPUs
//! and benchmarks.
//!
//! ```sh
//! cargo run --release --example write_external_bundle -- \
//!     OUT.zsb CLASSES GRID_SIDE INPUT_SIDE [CLASSIFIER.f32 f32|f16|i8]
//! ```
//!
//! The classifier is a file of little-endian floats: one row of weights per class. Its bias is 0.

use std::error::Error;
use zsseg::bundle::{Contents, LinearHead, Manifest, StoredWeights, ZeroShot, write};
use zsseg::map::Layout;
use zsseg::spec::{
    Backbone, ChannelOrder, Class, Filter, Fit, Head, HeadKind, Input, InputType, Precision,
    Preprocess, WeightType,
};

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [path, classes, grid, side, classifier @ ..] = arguments.as_slice() else {
        return Err("usage: write_external_bundle OUT CLASSES GRID INPUT [CLASSIFIER TYPE]".into());
    };
    let (classes, grid, side): (u32, u32, u32) = (classes.parse()?, grid.parse()?, side.parse()?);
    let (kind, channels, stored) = match classifier {
        [file, name] => {
            let weights = floats(&std::fs::read(file)?);
            let channels = weights.len() / classes as usize;
            let kind = HeadKind::Linear(weight_type(name)?);
            (kind, channels as u32, Some(StoredWeights::round(kind, &weights, channels)?))
        }
        _ => (HeadKind::Logits, classes, None),
    };
    let bias = vec![0.0; classes as usize];
    let manifest = Manifest {
        model_name: "features from outside",
        license: "MIT OR Apache-2.0",
        input_name: "",
        output_name: "",
        input: Input { width: side, height: side, layout: Layout::Chw, element: InputType::F32 },
        preprocess: Preprocess {
            fit: Fit::Stretch,
            filter: Filter::Bilinear,
            antialias: false,
            order: ChannelOrder::Rgb,
            scale: 1.0 / 255.0,
            mean: [0.0; 3],
            std: [1.0; 3],
            pad: [0.0; 3],
        },
        head: Head {
            kind,
            classes,
            channels,
            align_corners: false,
            confidence_scale: 1.0,
            cosine_scale: 1.0,
        },
        grid_height: grid,
        grid_width: grid,
        output_layout: Layout::Chw,
        backbone: Backbone::External,
        precision: Precision::AsModel,
        embedding: None,
    };
    let names: Vec<String> = (0..classes).map(|index| format!("class {index}")).collect();
    let class = |name| Class { name, color: [0; 3], seen: true, background: false, bias: 0.0 };
    let classes: Vec<Class<'_>> = names.iter().map(|name| class(name.as_str())).collect();
    let contents = Contents {
        manifest,
        classes: &classes,
        head: stored.as_ref().map(|stored| LinearHead { weights: stored.values(), bias: &bias }),
        onnx: None,
        model_card: None,
        provenance: None,
        zero_shot: ZeroShot::default(),
    };
    std::fs::write(path, write(&contents)?)?;
    Ok(())
}

fn floats(bytes: &[u8]) -> Vec<f32> {
    let (chunks, _) = bytes.as_chunks::<4>();
    chunks.iter().map(|chunk| f32::from_le_bytes(*chunk)).collect()
}

fn weight_type(name: &str) -> Result<WeightType, Box<dyn Error>> {
    match name {
        "f32" => Ok(WeightType::F32),
        "f16" => Ok(WeightType::F16),
        "i8" => Ok(WeightType::I8),
        _ => Err("the type is f32, f16 or i8".into()),
    }
}
