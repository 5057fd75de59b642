//! Writes the smallest useful bundles: no network, a classifier of 3 classes over 4 features on a
//! grid of 5 x 3 cells. The C tests run on them, and they show how a bundle for an NPU is written.
//!
//! `cargo run --example write_tiny_bundle -- OUT.zsb [words | cosine]`
//!
//! With `words` the list of classes is open: there are word vectors, a projection from them to
//! rows, a generator with feature statistics, and a decision that favours unseen classes. With
//! `cosine` rows are embeddings.

#[cfg(feature = "std")]
fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let usage = "usage: write_tiny_bundle OUT.zsb [words | cosine]";
    let path = arguments.next().ok_or(usage)?;
    let bytes = match (arguments.next().as_deref(), arguments.next()) {
        (None, _) => tiny::plain()?,
        (Some("words"), None) => tiny::words()?,
        (Some("cosine"), None) => tiny::cosine()?,
        _ => return Err(usage.into()),
    };
    std::fs::write(path, bytes)?;
    Ok(())
}

#[cfg(not(feature = "std"))]
fn main() {}

#[cfg(feature = "std")]
mod tiny {
    use half::f16;
    use zsseg::bundle::{
        ClassStatistics, Contents, GeneratorValues, LinearHead, Manifest, StoredWeights,
        WeightValues, ZeroShot, write,
    };
    use zsseg::map::Layout;
    use zsseg::spec::{
        Backbone, ChannelOrder, Class, Decision, EmbeddingSpace, Filter, Fit, Head, HeadKind,
        Input, InputType, Noise, Precision, Preprocess, Stacking, UnknownScore, WeightType,
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

    /// Numbers of an embedding for the linear head; a cosine head has as many as features.
    const DIM: usize = 3;

    /// Words and their embeddings for the linear head.
    const WORDS: [(&str, [f32; DIM]); 6] = [
        ("dog", [1.0, -0.5, 2.0]),
        ("grey", [0.0, 1.0, 0.5]),
        ("hot", [-1.0, 0.25, 0.0]),
        ("hot dog", [0.5, 0.5, -2.0]),
        ("kočka", [0.25, 2.0, 0.25]),
        ("wolf", [1.0, -1.0, 1.5]),
    ];

    /// One row per feature and one for the bias, one column per number of an embedding.
    #[rustfmt::skip]
    const PROJECTION: [f32; 15] = [
        0.5, 0.0, 0.0,
        0.0, 0.5, 0.0,
        0.0, 0.0, 0.5,
        0.5, 0.5, 0.5,
        0.25, 0.0, 0.0,
    ];

    pub fn plain() -> Result<Vec<u8>> {
        write_linear(None, ZeroShot::default())
    }

    pub fn words() -> Result<Vec<u8>> {
        let vectors = WORDS.map(|(_, vector)| vector.map(f16::from_f32));
        let words: Vec<(&str, &[f16])> =
            WORDS.iter().zip(&vectors).map(|((word, _), vector)| (*word, &vector[..])).collect();
        let (noise_dim, hidden) = (2, 4);
        let pattern = |index: usize| f16::from_f32((index * 7 % 11) as f32 / 8.0 - 0.5);
        let hidden_weights: Vec<f16> = (0..hidden * (DIM + noise_dim)).map(pattern).collect();
        let output_weights: Vec<f16> = (0..4 * hidden).map(pattern).collect();
        let statistics = [0, 1].map(|class| ClassStatistics {
            class,
            mean: &WEIGHTS[4 * class as usize..][..4],
            deviation: &[0.25; 4],
        });
        let zero_shot = ZeroShot {
            words: &words,
            projection: Some(&PROJECTION),
            generator: Some(GeneratorValues {
                noise_dim: noise_dim as u32,
                noise: Noise::Normal,
                slope: 0.2,
                relu: false,
                hidden_weights: &hidden_weights,
                hidden_bias: &[0.0; 4],
                output_weights: &output_weights,
                output_bias: &[0.0; 4],
            }),
            statistics: Some(&statistics),
            decision: Decision {
                stacking: Stacking::Probabilities(0.125),
                min_confidence: 0.25,
                min_margin: 0.03125,
                unknown: UnknownScore::Energy { reference: -2.5 },
                max_unknown: 0.875,
            },
            second_output: None,
        };
        write_linear(Some(EmbeddingSpace { dim: DIM as u32, unit: false }), zero_shot)
    }

    fn write_linear(embedding: Option<EmbeddingSpace>, zero_shot: ZeroShot<'_>) -> Result<Vec<u8>> {
        let head = LinearHead { weights: WeightValues::F32(&WEIGHTS), bias: &[0.0, 0.1, 0.2] };
        write(&contents(Manifest { embedding, ..manifest() }, head, zero_shot))
    }

    pub fn cosine() -> Result<Vec<u8>> {
        let kind = HeadKind::Cosine(WeightType::I8);
        let rows = StoredWeights::round(kind, &WEIGHTS, 4)?;
        let manifest = Manifest {
            head: Head { kind, cosine_scale: 4.0, ..manifest().head },
            embedding: Some(EmbeddingSpace { dim: 4, unit: true }),
            ..manifest()
        };
        let wolf = [0.5, -0.5, 0.25, 1.0].map(f16::from_f32);
        let zero_shot = ZeroShot { words: &[("wolf", &wolf)], ..ZeroShot::default() };
        let head = LinearHead { weights: rows.values(), bias: &[] };
        write(&contents(manifest, head, zero_shot))
    }

    fn contents<'a>(
        manifest: Manifest<'a>,
        head: LinearHead<'a>,
        zero_shot: ZeroShot<'a>,
    ) -> Contents<'a> {
        Contents {
            manifest,
            classes: &CLASSES,
            head: Some(head),
            onnx: None,
            model_card: Some("# tiny\n\nFor tests: knows nothing.\n"),
            provenance: Some("{\"made_by\": \"write_tiny_bundle\"}"),
            zero_shot,
        }
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
                cosine_scale: 1.0,
            },
            grid_height: 3,
            grid_width: 5,
            output_layout: Layout::Hwc,
            backbone: Backbone::External,
            precision: Precision::AsModel,
            embedding: None,
        }
    }
}
