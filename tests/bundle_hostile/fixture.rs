//! Sample bundles, and the container built a second time, by hand, so that each attack reaches the
//! check it is meant for: hashes are recomputed after the damage is done.

use half::f16;
use sha2::{Digest, Sha256};
use zsseg::bundle::{
    Bundle, ClassStatistics, Contents, GeneratorValues, LinearHead, Manifest, StoredWeights,
    WeightValues, ZeroShot, write,
};
use zsseg::map::Layout;
use zsseg::spec::{
    Anchor, Backbone, ChannelOrder, Class, Decision, EmbeddingSpace, Filter, Fit, Head, HeadKind,
    Input, InputType, Noise, Precision, Preprocess, Quantization, SecondOutput, Stacking,
    UnknownScore, WeightType, Weights,
};
use zsseg::status::{Result, Status};

pub const MANIFEST: u32 = 1;
pub const CLASSES: u32 = 2;
pub const HEAD_WEIGHTS: u32 = 3;
pub const HEAD_BIAS: u32 = 4;
pub const HEAD_SCALES: u32 = 5;
pub const BACKBONE_ONNX: u32 = 6;
pub const MODEL_CARD: u32 = 7;
pub const PROVENANCE: u32 = 8;
pub const WORDS: u32 = 9;
pub const PROJECTION: u32 = 10;
pub const GENERATOR: u32 = 11;
pub const FEATURE_STATISTICS: u32 = 12;
pub const DECISION: u32 = 13;
pub const SECOND_OUTPUT: u32 = 14;

/// Error about a section that the manifest rules out.
pub const UNWANTED: &str = "a section is not wanted by the manifest";

pub const HEADER_BYTES: usize = 64;
pub const ENTRY_BYTES: usize = 64;
pub const CLASS_BYTES: usize = 80;

pub fn class(name: &str) -> Class<'_> {
    Class { name, color: [1, 2, 3], seen: true, background: false, bias: 0.0 }
}

pub fn manifest(kind: HeadKind, classes: u32, channels: u32) -> Manifest<'static> {
    Manifest {
        model_name: "sample",
        license: "MIT OR Apache-2.0",
        input_name: "pixels",
        output_name: "features",
        input: Input {
            width: 32,
            height: 24,
            layout: Layout::Hwc,
            element: InputType::U8(Quantization { scale: 0.5, zero_point: 128 }),
        },
        preprocess: Preprocess {
            fit: Fit::ShortSide { size: 24, anchor: Anchor::TopLeft },
            filter: Filter::Bicubic,
            antialias: true,
            order: ChannelOrder::Bgr,
            scale: 1.0 / 255.0,
            mean: [0.485, 0.456, 0.406],
            std: [0.229, 0.224, 0.225],
            pad: [1.0, 2.0, 3.0],
        },
        head: Head {
            kind,
            classes,
            channels,
            align_corners: true,
            confidence_scale: 2.0,
            cosine_scale: 1.0,
        },
        grid_height: 3,
        grid_width: 4,
        output_layout: Layout::Hwc,
        backbone: Backbone::Onnx,
        precision: Precision::FloatActivations,
        embedding: None,
    }
}

pub const NAMES: [&str; 3] = ["road", "Straße", "cat"];
pub const WEIGHTS: [i8; 6] = [1, -2, 3, -4, 127, -128];

/// A bundle that takes up no new classes: three of them, two channels, 8-bit weights.
pub fn sample() -> Vec<u8> {
    let background = Class { background: true, bias: -0.5, ..class(NAMES[1]) };
    let classes = [class(NAMES[0]), background, Class { seen: false, ..class(NAMES[2]) }];
    let weights = WeightValues::I8 { values: &WEIGHTS, scales: &[0.1, 0.2, 0.3] };
    let contents = Contents {
        manifest: manifest(HeadKind::Linear(WeightType::I8), 3, 2),
        classes: &classes,
        head: Some(LinearHead { weights, bias: &[0.0, 1.0, -1.0] }),
        onnx: Some(b"onnx"),
        model_card: Some("# Sample\n"),
        provenance: Some("{}"),
        zero_shot: ZeroShot::default(),
    };
    write(&contents).unwrap()
}

/// As [`sample`], with other weights.
pub fn sample_with(weights: WeightValues<'_>) -> Vec<u8> {
    let contents = Contents {
        manifest: manifest(HeadKind::Linear(weights.weight_type()), 3, 2),
        classes: &NAMES.map(class),
        head: Some(LinearHead { weights, bias: &[0.0; 3] }),
        onnx: Some(b"onnx"),
        model_card: None,
        provenance: None,
        zero_shot: ZeroShot::default(),
    };
    write(&contents).unwrap()
}

/// Numbers of an embedding of [`full`].
pub const DIM: usize = 3;

pub const DECISION_OF_FULL: Decision = Decision {
    stacking: Stacking::Probabilities(0.25),
    min_confidence: 0.5,
    min_margin: 0.125,
    unknown: UnknownScore::Energy { reference: -2.0 },
    max_unknown: 0.75,
};

pub const SECOND_OF_FULL: SecondOutput<'static> =
    SecondOutput { name: "keys", grid_height: 2, grid_width: 5, channels: 7, layout: Layout::Chw };

pub const PROJECTION_OF_FULL: [f32; 9] = [1.0, 2.0, 3.0, -1.0, -2.0, -3.0, 0.5, 0.25, 0.0];

const fn halves<const N: usize>(values: [f32; N]) -> [f16; N] {
    let mut halves = [f16::ZERO; N];
    let mut index = 0;
    while index < N {
        halves[index] = f16::from_f32_const(values[index]);
        index += 1;
    }
    halves
}

pub fn manifest_of_full() -> Manifest<'static> {
    Manifest {
        embedding: Some(EmbeddingSpace { dim: DIM as u32, unit: true }),
        ..manifest(HeadKind::Linear(WeightType::I8), 3, 2)
    }
}

/// Words, a projection, a generator (noise of two numbers, four hidden), statistics of classes 0
/// and 2, a decision and a second output.
pub fn parts_of_full() -> ZeroShot<'static> {
    const WORDS: [(&str, &[f16]); 4] = [
        ("tree", &halves([1.0, -2.0, 0.5])),
        ("cat", &halves([0.0, 0.25, 4.0])),
        ("Straße", &halves([-1.0, 0.0, 1.0])),
        ("a b", &halves([2.0, 2.0, 2.0])),
    ];
    const STATISTICS: [ClassStatistics<'_>; 2] = [
        ClassStatistics { class: 2, mean: &[3.0, 4.0], deviation: &[0.0, 1.5] },
        ClassStatistics { class: 0, mean: &[1.0, 2.0], deviation: &[0.5, 0.25] },
    ];
    let generator = GeneratorValues {
        noise_dim: 2,
        noise: Noise::Normal,
        slope: 0.25,
        relu: true,
        hidden_weights: &const { halves([0.5; 4 * 5]) },
        hidden_bias: &[1.0, 2.0, 3.0, 4.0],
        output_weights: &[f16::ONE; 2 * 4],
        output_bias: &[5.0, 6.0],
    };
    ZeroShot {
        words: &WORDS,
        projection: Some(&PROJECTION_OF_FULL),
        generator: Some(generator),
        statistics: Some(&STATISTICS),
        decision: DECISION_OF_FULL,
        second_output: Some(SECOND_OF_FULL),
    }
}

/// A bundle with every section there is: [`sample`] and what is there for new classes.
pub fn full() -> Vec<u8> {
    write_full(manifest_of_full(), parts_of_full()).unwrap()
}

/// As [`full`], with these parts.
pub fn write_full(manifest: Manifest<'_>, zero_shot: ZeroShot<'_>) -> Result<Vec<u8>> {
    let weights = WeightValues::I8 { values: &WEIGHTS, scales: &[0.1, 0.2, 0.3] };
    write(&Contents {
        manifest,
        classes: &NAMES.map(class),
        head: Some(LinearHead { weights, bias: &[0.0, 1.0, -1.0] }),
        onnx: Some(b"onnx"),
        model_card: Some("# Full\n"),
        provenance: Some("{}"),
        zero_shot,
    })
}

/// Three classes with these embeddings of two numbers, for a dot or a cosine head.
pub fn embedded(kind: HeadKind, rows: &[f32; 6]) -> Vec<u8> {
    let base = manifest(kind, 3, 2);
    let cosine_scale = if matches!(kind, HeadKind::Cosine(_)) { 20.0 } else { 1.0 };
    let weights = StoredWeights::round(kind, rows, 2).unwrap();
    let contents = Contents {
        manifest: Manifest {
            head: Head { cosine_scale, ..base.head },
            embedding: Some(EmbeddingSpace { dim: 2, unit: false }),
            ..base
        },
        classes: &NAMES.map(class),
        head: Some(LinearHead { weights: weights.values(), bias: &[] }),
        onnx: Some(b"onnx"),
        model_card: None,
        provenance: None,
        zero_shot: ZeroShot::default(),
    };
    write(&contents).unwrap()
}

/// The smallest bundle, the worked example of docs/bundle.md.
pub fn smallest() -> Vec<u8> {
    let head = HeadKind::Logits;
    let contents = Contents {
        manifest: Manifest {
            model_name: "tiny",
            license: "CC0-1.0",
            input_name: "",
            output_name: "",
            input: Input { width: 8, height: 8, layout: Layout::Chw, element: InputType::F32 },
            preprocess: Preprocess {
                fit: Fit::Stretch,
                filter: Filter::Bilinear,
                antialias: false,
                order: ChannelOrder::Rgb,
                scale: 1.0,
                mean: [0.0; 3],
                std: [1.0; 3],
                pad: [0.0; 3],
            },
            head: Head {
                kind: head,
                classes: 2,
                channels: 2,
                align_corners: false,
                confidence_scale: 1.0,
                cosine_scale: 1.0,
            },
            grid_height: 1,
            grid_width: 1,
            output_layout: Layout::Chw,
            backbone: Backbone::External,
            precision: Precision::AsModel,
            embedding: None,
        },
        classes: &[
            Class { color: [128, 64, 128], ..class("road") },
            Class { color: [70, 130, 180], seen: false, bias: 0.5, ..class("kerb") },
        ],
        head: None,
        onnx: None,
        model_card: None,
        provenance: None,
        zero_shot: ZeroShot::default(),
    };
    write(&contents).unwrap()
}

pub fn le(value: u32) -> Vec<u8> {
    value.to_le_bytes().to_vec()
}

#[derive(Clone)]
pub struct RawSection {
    pub kind: u32,
    pub flags: u32,
    pub bytes: Vec<u8>,
}

pub fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(bytes[at..at + 4].try_into().unwrap())
}

pub fn u64_at(bytes: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(bytes[at..at + 8].try_into().unwrap())
}

pub fn put(bytes: &mut [u8], at: usize, value: &[u8]) {
    bytes[at..at + value.len()].copy_from_slice(value);
}

/// Position of entry `index` of the table.
pub fn entry(index: usize) -> usize {
    HEADER_BYTES + index * ENTRY_BYTES
}

/// Index in the table of the section of this kind.
pub fn index_of(bytes: &[u8], kind: u32) -> usize {
    let count = u32_at(bytes, 12) as usize;
    (0..count).find(|&index| u32_at(bytes, entry(index)) == kind).unwrap()
}

/// Position in the file of the section of this kind.
pub fn start_of(bytes: &[u8], kind: u32) -> usize {
    u64_at(bytes, entry(index_of(bytes, kind)) + 8) as usize
}

pub fn raw_sections(bytes: &[u8]) -> Vec<RawSection> {
    let one = |index: usize| {
        let at = entry(index);
        let start = u64_at(bytes, at + 8) as usize;
        let len = u64_at(bytes, at + 16) as usize;
        RawSection {
            kind: u32_at(bytes, at),
            flags: u32_at(bytes, at + 4),
            bytes: bytes[start..start + len].to_vec(),
        }
    };
    (0..u32_at(bytes, 12) as usize).map(one).collect()
}

/// Recomputes every hash that can be: of sections that lie in the file, then of the table.
pub fn seal(bytes: &mut [u8]) {
    if bytes.len() < HEADER_BYTES {
        return;
    }
    let table_room = (bytes.len() - HEADER_BYTES) / ENTRY_BYTES;
    let count = (u32_at(bytes, 12) as usize).min(table_room);
    for at in (0..count).map(entry) {
        let (start, len) = (u64_at(bytes, at + 8), u64_at(bytes, at + 16));
        let Some(end) = start.checked_add(len) else { continue };
        let Some(section) = bytes.get(start as usize..end as usize) else { continue };
        let hash = Sha256::digest(section);
        put(bytes, at + 32, &hash);
    }
    let mut hash = Sha256::new_with_prefix(&bytes[..32]);
    hash.update(&bytes[HEADER_BYTES..entry(count)]);
    put(bytes, 32, &hash.finalize());
}

pub fn container(sections: &[RawSection]) -> Vec<u8> {
    let mut bytes = vec![0; entry(sections.len())];
    put(&mut bytes, 0, b"\x89ZSB\r\n\x1A\n");
    put(&mut bytes, 8, &1u32.to_le_bytes());
    put(&mut bytes, 12, &(sections.len() as u32).to_le_bytes());
    for (index, section) in sections.iter().enumerate() {
        bytes.resize(bytes.len().next_multiple_of(64), 0);
        let start = bytes.len() as u64;
        put(&mut bytes, entry(index), &section.kind.to_le_bytes());
        put(&mut bytes, entry(index) + 4, &section.flags.to_le_bytes());
        put(&mut bytes, entry(index) + 8, &start.to_le_bytes());
        put(&mut bytes, entry(index) + 16, &(section.bytes.len() as u64).to_le_bytes());
        bytes.extend_from_slice(&section.bytes);
    }
    let total = bytes.len() as u64;
    put(&mut bytes, 16, &total.to_le_bytes());
    seal(&mut bytes);
    bytes
}

pub fn status(bytes: &[u8]) -> Status {
    Bundle::open(bytes).map_or_else(|error| error.status(), |_| Status::Ok)
}

/// Status and subject of the error that these bytes give.
#[track_caller]
pub fn expect(bytes: &[u8], wanted: Status, what: &str) {
    let error = Bundle::open(bytes).expect_err(what);
    assert_eq!((error.status(), error.what()), (wanted, what));
}

/// The sample after `edit`, with its hashes recomputed, gives this error.
#[track_caller]
pub fn expect_edit(wanted: Status, what: &str, edit: impl FnOnce(&mut Vec<u8>)) {
    let mut bytes = sample();
    edit(&mut bytes);
    seal(&mut bytes);
    expect(&bytes, wanted, what);
}

/// The full bundle after `edit` of a section, with its hashes recomputed, gives
/// [`Status::BundleContent`] about `what`.
#[track_caller]
pub fn expect_full(kind: u32, at: usize, value: &[u8], what: &str) {
    let mut bytes = full();
    let start = start_of(&bytes, kind);
    put(&mut bytes, start + at, value);
    seal(&mut bytes);
    expect(&bytes, Status::BundleContent, what);
}

/// The sample with other sections gives this error.
#[track_caller]
pub fn expect_sections(wanted: Status, what: &str, edit: impl FnOnce(&mut Vec<RawSection>)) {
    let mut sections = raw_sections(&sample());
    edit(&mut sections);
    expect(&container(&sections), wanted, what);
}

pub fn replace(sections: &mut [RawSection], kind: u32, bytes: Vec<u8>) {
    sections.iter_mut().find(|section| section.kind == kind).unwrap().bytes = bytes;
}

pub fn seal_table_only(bytes: &mut [u8]) {
    let count = u32_at(bytes, 12) as usize;
    let mut hash = Sha256::new_with_prefix(&bytes[..32]);
    hash.update(&bytes[HEADER_BYTES..entry(count)]);
    put(bytes, 32, &hash.finalize());
}

/// The classifier of a bundle as it was given to the writer.
pub fn stored(bundle: &Bundle<'_>) -> Option<StoredWeights> {
    Some(match bundle.head_weights()? {
        Weights::F32(values) => StoredWeights::F32(floats(Some(values))),
        Weights::F16(values) => {
            StoredWeights::F16(values.iter().map(|bits| f16::from_bits(bits.get())).collect())
        }
        Weights::I8(values) => {
            StoredWeights::I8 { values: values.to_vec(), scales: floats(bundle.head_scales()) }
        }
    })
}

pub fn floats(values: Option<&[zerocopy::little_endian::F32]>) -> Vec<f32> {
    values.unwrap().iter().map(|value| value.get()).collect()
}
