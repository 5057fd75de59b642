//! Bundles of the tiny network that take up new classes. Its features are how red, green and blue
//! a cell is, from 0 to 1, and so are the word vectors.

use super::ONNX;
use half::f16;
use zsseg::bundle::{
    ClassStatistics, Contents, GeneratorValues, LinearHead, Manifest, StoredWeights, ZeroShot,
    write,
};
use zsseg::map::Layout;
use zsseg::spec::{
    Backbone, ChannelOrder, Class, Decision, EmbeddingSpace, Filter, Fit, Head, HeadKind, Input,
    InputType, Noise, Precision, Preprocess, WeightType,
};

/// Logit of a cell that is wholly of a class's colour.
const SHARPNESS: f32 = 10.0;

const WORDS: [(&str, [f32; 3]); 7] = [
    ("red", [1.0, 0.0, 0.0]),
    ("green", [0.0, 1.0, 0.0]),
    ("blue", [0.0, 0.0, 1.0]),
    ("azure", [0.0, 0.0, 1.0]),
    ("deep", [0.0, 0.0, 0.5]),
    ("yellow", [0.5, 0.5, 0.0]),
    ("blew", [0.5, 0.5, 0.5]),
];

/// What a tiny bundle is like.
#[derive(Clone, Copy)]
pub struct Tiny {
    pub kind: HeadKind,
    /// Red and green come first; more classes have no meaning and no pixels.
    pub classes: usize,
    pub decision: Decision,
    pub fit: Fit,
    pub order: ChannelOrder,
    pub std: [f32; 3],
    pub words: bool,
    pub generator: bool,
}

impl Tiny {
    pub const LINEAR: Tiny = Tiny {
        kind: HeadKind::Linear(WeightType::F32),
        classes: 2,
        decision: Decision::PLAIN,
        fit: Fit::Stretch,
        order: ChannelOrder::Rgb,
        std: [1.0; 3],
        words: true,
        generator: true,
    };

    /// The bundle: seen classes only, the first of them a background.
    pub fn bundle(&self) -> Vec<u8> {
        let linear = matches!(self.kind, HeadKind::Linear(_));
        let names: Vec<String> = (0..self.classes).map(|i| format!("class {i}")).collect();
        let name = |index: usize| match index {
            0 => "red",
            1 => "green",
            _ => &names[index],
        };
        let class = |index: usize| Class {
            name: name(index),
            color: [200, index as u8, (index / 256) as u8],
            seen: true,
            background: index == 0,
            bias: if index < 2 { 0.0 } else { -100.0 },
        };
        let classes: Vec<Class<'_>> = (0..self.classes).map(class).collect();
        let stored = StoredWeights::round(self.kind, &self.rows(), 3).unwrap();
        let zeros = vec![0.0; self.classes];
        let bias = if linear { &zeros[..] } else { &[] };
        let vectors = WORDS.map(|(_, vector)| vector.map(f16::from_f32));
        let words: Vec<(&str, &[f16])> =
            WORDS.iter().zip(&vectors).map(|((word, _), vector)| (*word, &vector[..])).collect();
        let s = SHARPNESS;
        let projection = [s, 0.0, 0.0, 0.0, s, 0.0, 0.0, 0.0, s, 0.0, 0.0, 0.0];
        let parts = GeneratorParts::new();
        let statistics = [([1.0, 0.0, 0.0], [0.05; 3]), ([0.0, 1.0, 0.0], [0.05; 3])];
        let statistics: Vec<ClassStatistics<'_>> = (0..).zip(&statistics).map(row).collect();
        let generates = linear && self.generator;
        write(&Contents {
            manifest: self.manifest(),
            classes: &classes,
            head: Some(LinearHead { weights: stored.values(), bias }),
            onnx: Some(ONNX),
            model_card: None,
            provenance: None,
            zero_shot: ZeroShot {
                words: if self.words { &words } else { &[] },
                projection: linear.then_some(&projection),
                generator: generates.then(|| parts.view()),
                statistics: generates.then_some(&statistics),
                decision: self.decision,
                second_output: None,
            },
        })
        .unwrap()
    }

    fn rows(&self) -> Vec<f32> {
        let mut rows = vec![0.0; 3 * self.classes];
        (rows[0], rows[4]) = (SHARPNESS, SHARPNESS);
        if matches!(self.kind, HeadKind::Linear(_)) {
            return rows;
        }
        (rows[0], rows[4]) = (1.0, 1.0);
        // Embeddings must not vanish.
        rows.chunks_mut(3).skip(2).for_each(|row| row[0] = -1.0);
        rows
    }

    fn manifest(&self) -> Manifest<'static> {
        let cosine = matches!(self.kind, HeadKind::Cosine(_));
        Manifest {
            model_name: "tiny-zero",
            license: "CC0-1.0",
            input_name: "image",
            output_name: "pooled",
            input: Input { width: 8, height: 8, layout: Layout::Chw, element: InputType::F32 },
            preprocess: Preprocess {
                fit: self.fit,
                filter: Filter::Bilinear,
                antialias: false,
                order: self.order,
                scale: 1.0 / 255.0,
                mean: [0.0; 3],
                std: self.std,
                pad: [0.0; 3],
            },
            head: Head {
                kind: self.kind,
                classes: self.classes as u32,
                channels: 3,
                align_corners: false,
                confidence_scale: 1.0,
                cosine_scale: if cosine { SHARPNESS } else { 1.0 },
            },
            grid_height: 4,
            grid_width: 4,
            output_layout: Layout::Chw,
            backbone: Backbone::Onnx,
            precision: Precision::AsModel,
            embedding: Some(EmbeddingSpace { dim: 3, unit: false }),
        }
    }
}

fn row<'a>((class, (mean, deviation)): (u32, &'a ([f32; 3], [f32; 3]))) -> ClassStatistics<'a> {
    ClassStatistics { class, mean, deviation }
}

/// A generator whose features are the embedding and a tenth of the noise in each channel.
struct GeneratorParts {
    hidden_weights: [f16; 12],
    output_weights: [f16; 9],
}

impl GeneratorParts {
    fn new() -> GeneratorParts {
        let hidden = [1.0, 0.0, 0.0, 0.1, 0.0, 1.0, 0.0, 0.1, 0.0, 0.0, 1.0, 0.1];
        let output = [1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0];
        GeneratorParts {
            hidden_weights: hidden.map(f16::from_f32),
            output_weights: output.map(f16::from_f32),
        }
    }

    fn view(&self) -> GeneratorValues<'_> {
        GeneratorValues {
            noise_dim: 1,
            noise: Noise::Uniform,
            slope: 0.2,
            relu: false,
            hidden_weights: &self.hidden_weights,
            hidden_bias: &[0.0; 3],
            output_weights: &self.output_weights,
            output_bias: &[0.0; 3],
        }
    }
}

/// A NumPy file with a vector.
pub fn npy<T: Copy>(descr: &str, values: &[T], bytes: impl Fn(T) -> Vec<u8>) -> Vec<u8> {
    let len = values.len();
    let header = format!("{{'descr': '{descr}', 'fortran_order': False, 'shape': ({len},), }}\n");
    let start = [b"\x93NUMPY\x01\x00", &(header.len() as u16).to_le_bytes()[..]].concat();
    let data: Vec<u8> = values.iter().flat_map(|&value| bytes(value)).collect();
    [start, header.into_bytes(), data].concat()
}
