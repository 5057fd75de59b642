//! Sample bundles, and the container built a second time, by hand, so that each attack reaches the
//! check it is meant for: hashes are recomputed after the damage is done.

use sha2::{Digest, Sha256};
use zsseg::bundle::{Bundle, Contents, LinearHead, Manifest, WeightValues, write};
use zsseg::map::Layout;
use zsseg::spec::{
    Anchor, Backbone, ChannelOrder, Class, Filter, Fit, Head, HeadKind, Input, InputType,
    Precision, Preprocess, Quantization, WeightType,
};
use zsseg::status::Status;

pub const MANIFEST: u32 = 1;
pub const CLASSES: u32 = 2;
pub const HEAD_WEIGHTS: u32 = 3;
pub const HEAD_BIAS: u32 = 4;
pub const HEAD_SCALES: u32 = 5;
pub const BACKBONE_ONNX: u32 = 6;
pub const MODEL_CARD: u32 = 7;
pub const PROVENANCE: u32 = 8;

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
        head: Head { kind, classes, channels, align_corners: true, confidence_scale: 2.0 },
        grid_height: 3,
        grid_width: 4,
        output_layout: Layout::Hwc,
        backbone: Backbone::Onnx,
        precision: Precision::FloatActivations,
    }
}

pub const NAMES: [&str; 3] = ["road", "Straße", "cat"];
pub const WEIGHTS: [i8; 6] = [1, -2, 3, -4, 127, -128];

/// A bundle with every known section: three classes, two channels, 8-bit weights.
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
            },
            grid_height: 1,
            grid_width: 1,
            output_layout: Layout::Chw,
            backbone: Backbone::External,
            precision: Precision::AsModel,
        },
        classes: &[
            Class { color: [128, 64, 128], ..class("road") },
            Class { color: [70, 130, 180], seen: false, bias: 0.5, ..class("kerb") },
        ],
        head: None,
        onnx: None,
        model_card: None,
        provenance: None,
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

pub fn floats(values: Option<&[zerocopy::little_endian::F32]>) -> Vec<f32> {
    values.unwrap().iter().map(|value| value.get()).collect()
}
