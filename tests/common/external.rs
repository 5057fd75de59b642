//! Small models whose features the caller hands in, and memory for their segmenters.
#![allow(dead_code)] // each test file uses its own part

use half::f16;
use zsseg::arena::ALIGN_BYTES;
use zsseg::bundle::{Bundle, Contents, LinearHead, Manifest, StoredWeights, ZeroShot, write};
use zsseg::head::Output;
use zsseg::limits::Limits;
use zsseg::map::{Layout, Map};
use zsseg::segmenter::Segmenter;
use zsseg::spec::{
    Backbone, ChannelOrder, Class, Decision, EmbeddingSpace, Filter, Fit, Head, HeadKind, Input,
    InputType, Precision, Preprocess,
};

/// An integer random sequence: multiples of 1/1024 from -1 to 1, exact in 16 bits. The reference
/// scripts have the same.
pub struct Random(pub u64);

impl Random {
    pub fn next(&mut self) -> f32 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005);
        self.0 = self.0.wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 53) as f32 / 1024.0 - 1.0
    }

    pub fn take(&mut self, len: usize, scale: f32) -> Vec<f32> {
        (0..len).map(|_| self.next() * scale).collect()
    }

    /// A whole number below `end`.
    pub fn below(&mut self, end: usize) -> usize {
        ((self.next() + 1.0) * 1024.0) as usize % end
    }
}

/// A model without a network.
#[derive(Clone, Debug)]
pub struct Model {
    pub kind: HeadKind,
    pub channels: usize,
    /// Rows and columns of the grid.
    pub grid: (usize, usize),
    pub layout: Layout,
    /// Rows and columns of the network's input.
    pub input: (u32, u32),
    pub fit: Fit,
    pub align_corners: bool,
    pub confidence_scale: f32,
    pub cosine_scale: f32,
    /// Rows of weights, before they are brought to the stored type; none for logits.
    pub rows: Vec<Vec<f32>>,
    /// Of the rows.
    pub bias: Vec<f32>,
    pub names: Vec<String>,
    pub class_bias: Vec<f32>,
    pub seen: Vec<bool>,
    pub embedding: Option<EmbeddingSpace>,
    pub words: Vec<(&'static str, Vec<f32>)>,
    pub projection: Option<Vec<f32>>,
    pub decision: Decision,
}

impl Model {
    /// `classes` seen classes named `class 0`, `class 1`, and so on, with random rows, on a grid
    /// of these rows and columns, eight pixels of input to a cell.
    pub fn new(kind: HeadKind, classes: usize, channels: usize, grid: (usize, usize)) -> Model {
        let mut random = Random((classes * 31 + channels) as u64);
        let mut row = |_| {
            let mut row = random.take(channels, 0.37);
            // No row of a dot or cosine head is zero.
            if row.iter().all(|weight| *weight == 0.0) {
                row.fill(0.25);
            }
            row
        };
        let embeds = matches!(kind, HeadKind::Dot(_) | HeadKind::Cosine(_));
        Model {
            kind,
            channels,
            grid,
            layout: Layout::Chw,
            input: (8 * grid.0 as u32, 8 * grid.1 as u32),
            fit: Fit::Stretch,
            align_corners: false,
            confidence_scale: 1.0,
            cosine_scale: if matches!(kind, HeadKind::Cosine(_)) { 20.0 } else { 1.0 },
            rows: (0..classes).map(&mut row).collect(),
            bias: (0..classes).map(|class| (class % 5) as f32 / 16.0).collect(),
            names: (0..classes).map(|class| format!("class {class}")).collect(),
            class_bias: vec![0.0; classes],
            seen: vec![true; classes],
            embedding: embeds.then_some(EmbeddingSpace { dim: channels as u32, unit: false }),
            words: Vec::new(),
            projection: None,
            decision: Decision::PLAIN,
        }
    }

    /// A model whose network gives the logits of `classes` classes.
    pub fn of_logits(classes: usize, grid: (usize, usize)) -> Model {
        Model::new(HeadKind::Logits, classes, classes, grid)
    }

    pub fn cells(&self) -> usize {
        self.grid.0 * self.grid.1
    }

    /// The bundle's bytes.
    pub fn bundle(&self) -> Vec<u8> {
        let classes = self.names.iter().zip(&self.class_bias).zip(&self.seen);
        let classes: Vec<_> = classes
            .map(|((name, &bias), &seen)| Class {
                name,
                color: [1, 2, 3],
                seen,
                background: false,
                bias,
            })
            .collect();
        let weights = match self.kind {
            HeadKind::Logits => None,
            kind => Some(StoredWeights::round(kind, &self.rows.concat(), self.channels).unwrap()),
        };
        let has_bias = matches!(self.kind, HeadKind::Linear(_));
        let bias = if has_bias { &self.bias[..] } else { &[] };
        let vectors: Vec<(&str, Vec<f16>)> = self
            .words
            .iter()
            .map(|(word, vector)| (*word, vector.iter().map(|&v| f16::from_f32(v)).collect()))
            .collect();
        let words: Vec<(&str, &[f16])> =
            vectors.iter().map(|(word, vector)| (*word, &vector[..])).collect();
        let contents = Contents {
            manifest: self.manifest(),
            classes: &classes,
            head: weights.as_ref().map(|rows| LinearHead { weights: rows.values(), bias }),
            onnx: None,
            model_card: None,
            provenance: None,
            zero_shot: ZeroShot {
                words: &words,
                projection: self.projection.as_deref(),
                decision: self.decision,
                ..ZeroShot::default()
            },
        };
        write(&contents).unwrap()
    }

    fn manifest(&self) -> Manifest<'static> {
        Manifest {
            model_name: "external",
            license: "CC0-1.0",
            input_name: "",
            output_name: "",
            input: Input {
                height: self.input.0,
                width: self.input.1,
                layout: Layout::Chw,
                element: InputType::F32,
            },
            preprocess: Preprocess {
                fit: self.fit,
                filter: Filter::Bilinear,
                antialias: false,
                order: ChannelOrder::Rgb,
                scale: 1.0,
                mean: [0.0; 3],
                std: [1.0; 3],
                pad: [0.0; 3],
            },
            head: Head {
                kind: self.kind,
                classes: self.names.len() as u32,
                channels: self.channels as u32,
                align_corners: self.align_corners,
                confidence_scale: self.confidence_scale,
                cosine_scale: self.cosine_scale,
            },
            grid_height: self.grid.0 as u32,
            grid_width: self.grid.1 as u32,
            output_layout: self.layout,
            backbone: Backbone::External,
            precision: Precision::AsModel,
            embedding: self.embedding,
        }
    }

    /// Features (planar) in the model's layout.
    pub fn arranged(&self, planar: &[f32]) -> Vec<f32> {
        match self.layout {
            Layout::Chw => planar.to_vec(),
            Layout::Hwc => interleave(planar, self.channels),
        }
    }

    pub fn map<'m>(&self, arranged: &'m [f32]) -> Map<'m, f32> {
        Map::new(arranged, self.grid.0, self.grid.1, self.channels, self.layout).unwrap()
    }
}

/// Planes to pixels.
pub fn interleave(planar: &[f32], channels: usize) -> Vec<f32> {
    let cells = planar.len() / channels;
    (0..planar.len()).map(|at| planar[(at % channels) * cells + at / channels]).collect()
}

/// Whole numbers from -127 to 127, planar, with 127 in the first channel of every cell: eight
/// bits hold them exactly.
pub fn whole_features(channels: usize, cells: usize, seed: u64) -> Vec<f32> {
    let mut random = Random(seed);
    let mut features: Vec<f32> =
        (0..channels * cells).map(|_| (random.next() * 127.0).round()).collect();
    features[..cells].fill(127.0);
    features
}

/// Aligned bytes for an arena.
pub struct Memory {
    bytes: Vec<u8>,
    len: usize,
}

impl Memory {
    pub fn new(len: usize) -> Memory {
        Memory { bytes: vec![0xA5; len + ALIGN_BYTES], len }
    }

    pub fn bytes(&mut self) -> &mut [u8] {
        let start = self.bytes.as_ptr().align_offset(ALIGN_BYTES);
        &mut self.bytes[start..start + self.len]
    }
}

/// Runs `work` with a segmenter in an arena of exactly the size it asked for.
pub fn with_segmenter<T>(
    bytes: &[u8],
    limits: &Limits,
    work: impl FnOnce(&mut Segmenter<'_>) -> T,
) -> T {
    let bundle = Bundle::open(bytes).unwrap();
    let mut memory = Memory::new(Segmenter::arena_bytes(&bundle, limits).unwrap());
    let mut segmenter = Segmenter::new(&bundle, limits, memory.bytes()).unwrap();
    work(&mut segmenter)
}

/// The four planes of a mask.
#[derive(Clone, PartialEq, Eq)]
pub struct Mask {
    pub labels: Vec<u16>,
    pub confidence: Vec<u8>,
    pub margin: Vec<u8>,
    pub unknown: Vec<u8>,
}

impl std::fmt::Debug for Mask {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut found = self.labels.clone();
        found.sort_unstable();
        found.dedup();
        write!(
            f,
            "a mask of {} pixels with labels {found:?}, hash {:x}",
            self.labels.len(),
            self.hash()
        )
    }
}

impl Mask {
    /// FNV-1a over all planes.
    pub fn hash(&self) -> u64 {
        let labels = self.labels.iter().flat_map(|label| label.to_le_bytes());
        let planes = [&self.confidence, &self.margin, &self.unknown].into_iter().flatten();
        let step = |hash: u64, byte: u8| (hash ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3);
        labels.chain(planes.copied()).fold(0xcbf2_9ce4_8422_2325, step)
    }

    pub fn new(pixels: usize) -> Mask {
        Mask {
            labels: vec![7777; pixels],
            confidence: vec![77; pixels],
            margin: vec![77; pixels],
            unknown: vec![77; pixels],
        }
    }

    pub fn output(&mut self, width: usize) -> Output<'_> {
        Output::labels_u16(&mut self.labels, width)
            .with_confidence(&mut self.confidence, width)
            .with_margin(&mut self.margin, width)
            .with_unknown(&mut self.unknown, width)
    }
}

/// All planes of one frame of `width` x `height` pixels.
pub fn mask(
    segmenter: &mut Segmenter<'_>,
    map: &Map<'_, f32>,
    (width, height): (u32, u32),
) -> Mask {
    let mut mask = Mask::new((width * height) as usize);
    segmenter.segment_features(map, width, height, &mut mask.output(width as usize)).unwrap();
    mask
}

/// Labels alone of one frame: the decoder's short way.
pub fn labels(
    segmenter: &mut Segmenter<'_>,
    map: &Map<'_, f32>,
    (width, height): (u32, u32),
) -> Vec<u16> {
    let mut labels = vec![7777; (width * height) as usize];
    let mut output = Output::labels_u16(&mut labels, width as usize);
    segmenter.segment_features(map, width, height, &mut output).unwrap();
    labels
}

/// Frame of the reference masks: columns and rows.
pub const GOLDEN_FRAME: (u32, u32) = (37, 23);

/// A mask of `tests/reference/zero_shot/`, made by `make_zero_shot.py`.
pub struct Golden {
    pub labels: Vec<u8>,
    /// Distance of each pixel to the nearest other outcome.
    pub distance: Vec<f32>,
    pub confidence: Vec<f32>,
    pub margin: Vec<f32>,
    /// Empty for heads.
    pub unknown: Vec<f32>,
}

impl Golden {
    pub fn read(name: &str) -> Golden {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/reference/zero_shot");
        let bytes = std::fs::read(format!("{folder}/{name}.bin")).unwrap();
        let pixels = (GOLDEN_FRAME.0 * GOLDEN_FRAME.1) as usize;
        let (labels, numbers) = bytes.split_at(pixels);
        let number = |raw: &[u8]| f32::from_le_bytes(raw.try_into().unwrap());
        let numbers: Vec<f32> = numbers.chunks(4).map(number).collect();
        let plane = |index: usize| {
            let planes: Vec<&[f32]> = numbers.chunks(pixels).collect();
            planes.get(index).map_or(Vec::new(), |plane| plane.to_vec())
        };
        Golden {
            labels: labels.to_vec(),
            distance: plane(0),
            confidence: plane(1),
            margin: plane(2),
            unknown: plane(3),
        }
    }

    /// Every label is the same but where two outcomes are closer than 1e-5, and every number but
    /// for rounding to eight bits.
    #[track_caller]
    pub fn check(&self, name: &str, mask: &Mask) {
        let label = |label: u8| if label == u8::MAX { u16::MAX } else { label.into() };
        let pairs = self.labels.iter().zip(&mask.labels).zip(&self.distance);
        let other = pairs.filter(|((want, got), _)| label(**want) != **got);
        let distances: Vec<f32> = other.map(|(_, &distance)| distance).collect();
        let equal = 100.0 * (1.0 - distances.len() as f64 / self.labels.len() as f64);
        println!("{name}: {equal:.3} % of the labels agree with float64");
        assert!(distances.iter().all(|distance| *distance < 1e-5), "{name}: {distances:?}");
        let planes = [
            ("confidence", &self.confidence, &mask.confidence),
            ("margin", &self.margin, &mask.margin),
            ("unknown", &self.unknown, &mask.unknown),
        ];
        for (plane, want, got) in planes {
            for (pixel, (want, got)) in want.iter().zip(got).enumerate() {
                let near = (f64::from(*want) * 255.0 - f64::from(*got)).abs() < 0.503;
                // A tie between two labels may end either way, and so may what is told of them.
                let tied = self.distance[pixel] < 1e-5;
                assert!(near || tied, "{name}: {plane} of {pixel}: {want} is not {got}/255");
            }
        }
    }
}
