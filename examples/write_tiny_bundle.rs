//! Writes the smallest useful bundle: no network, a classifier of 3 classes over 4 features on a
//! grid of 5 x 3 cells. The C tests run on it, and it shows how a bundle for an NPU is written.
//!
//! `cargo run --example write_tiny_bundle -- OUT.zsb`

#[cfg(feature = "std")]
fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args_os().skip(1);
    let (Some(path), None) = (arguments.next(), arguments.next()) else {
        return Err("usage: write_tiny_bundle OUT.zsb".into());
    };
    std::fs::write(path, tiny::bundle()?)?;
    Ok(())
}

#[cfg(not(feature = "std"))]
fn main() {}

#[cfg(feature = "std")]
mod tiny {
    use zsseg::bundle::{Contents, LinearHead, Manifest, WeightValues, write};
    use zsseg::map::Layout;
    use zsseg::spec::{
        Backbone, ChannelOrder, Class, Filter, Fit, Head, HeadKind, Input, InputType, Precision,
        Preprocess, WeightType,
    };
    use zsseg::status::Result;

    const CLASSES: [Class<'static>; 3] = [
        Class { name: "void", color: [0, 0, 0], seen: true, background: true, bias: 0.25 },
        Class { name: "cat", color: [64, 0, 0], seen: true, background: false, bias: 0.0 },
        Class { name: "zebra", color: [0, 64, 0], seen: false, background: false, bias: -0.5 },
    ];

    /// One row per class, one column per feature.
    #[rustfmt::skip]
    const WEIGHTS: [f32; 12] = [
        1.0, 0.0, 0.0, 0.5,
        0.0, 1.0, 0.0, 0.5,
        0.0, 0.0, 1.0, 0.5,
    ];

    pub fn bundle() -> Result<Vec<u8>> {
        let head = LinearHead { weights: WeightValues::F32(&WEIGHTS), bias: &[0.0, 0.1, 0.2] };
        write(&Contents {
            manifest: manifest(),
            classes: &CLASSES,
            head: Some(head),
            onnx: None,
            model_card: Some("# tiny\n\nFor tests: knows nothing.\n"),
            provenance: Some("{\"made_by\": \"write_tiny_bundle\"}"),
        })
    }

    fn manifest() -> Manifest<'static> {
        Manifest {
            model_name: "tiny",
            license: "CC0-1.0",
            input_name: "",
            output_name: "",
            input: Input { width: 40, height: 24, layout: Layout::Chw, element: InputType::F32 },
            preprocess: Preprocess {
                fit: Fit::Stretch,
                filter: Filter::Bilinear,
                antialias: false,
                order: ChannelOrder::Rgb,
                scale: 1.0 / 255.0,
                mean: [0.5; 3],
                std: [0.5; 3],
                pad: [0.0; 3],
            },
            head: Head {
                kind: HeadKind::Linear(WeightType::F32),
                classes: CLASSES.len() as u32,
                channels: 4,
                align_corners: false,
                confidence_scale: 1.0,
            },
            grid_height: 3,
            grid_width: 5,
            output_layout: Layout::Hwc,
            backbone: Backbone::External,
            precision: Precision::AsModel,
        }
    }
}
