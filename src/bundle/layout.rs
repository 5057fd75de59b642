//! The records of the file, byte for byte, and the text fields in them.
//!
//! Every record has alignment 1 and little-endian fields, so it is read in place from any byte
//! slice on any CPU. Offsets are in bytes from the start of the record.

use crate::spec::Class;
use crate::status::{Result, Status};
use zerocopy::little_endian::{F32, I32, U32, U64};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

/// First bytes of every bundle. The high bit, the line ends and the end-of-file character catch
/// transfers that were not binary.
pub const MAGIC: [u8; 8] = [0x89, b'Z', b'S', b'B', 0x0D, 0x0A, 0x1A, 0x0A];
/// Version that this library writes, and the newest it reads.
pub const FORMAT_VERSION: u32 = 1;
/// Every section starts at a multiple of this many bytes.
pub const SECTION_ALIGN_BYTES: u64 = 64;
/// Section flag: a reader that does not know the kind may skip the section.
pub const FLAG_OPTIONAL: u32 = 1;
/// Class flag: labelled in training.
pub const CLASS_SEEN: u32 = 1;
/// Class flag: stands for "none of the others".
pub const CLASS_BACKGROUND: u32 = 2;

/// Kinds of sections.
pub mod kind {
    /// One [`ManifestRecord`](super::ManifestRecord).
    pub const MANIFEST: u32 = 1;
    /// One [`ClassRecord`](super::ClassRecord) per class.
    pub const CLASSES: u32 = 2;
    /// Classifier: classes x channels, row by row, in the weight type.
    pub const HEAD_WEIGHTS: u32 = 3;
    /// Linear classifier: one f32 per class.
    pub const HEAD_BIAS: u32 = 4;
    /// Classifier with 8-bit weights: one positive f32 per class.
    pub const HEAD_SCALES: u32 = 5;
    /// The network as an ONNX file.
    pub const BACKBONE_ONNX: u32 = 6;
    /// Model card: UTF-8, Markdown.
    pub const MODEL_CARD: u32 = 7;
    /// Where the weights come from: UTF-8, JSON.
    pub const PROVENANCE: u32 = 8;
    /// Word vectors: a [`WordsRecord`](super::WordsRecord) and what it counts.
    pub const WORDS: u32 = 9;
    /// From embeddings to classifier rows: (channels + 1) x dim f32.
    pub const PROJECTION: u32 = 10;
    /// Feature generator: a [`GeneratorRecord`](super::GeneratorRecord) and its weights.
    pub const GENERATOR: u32 = 11;
    /// Mean and deviation of features: a [`StatisticsRecord`](super::StatisticsRecord) and rows.
    pub const FEATURE_STATISTICS: u32 = 12;
    /// One [`DecisionRecord`](super::DecisionRecord).
    pub const DECISION: u32 = 13;
    /// One [`SecondOutputRecord`](super::SecondOutputRecord).
    pub const SECOND_OUTPUT: u32 = 14;
    /// The network as a plan: [`Plan`](crate::plan::Plan), made by `compile`.
    pub const BACKBONE_PLAN: u32 = 15;
    /// The last kind that this version knows.
    pub const LAST: u32 = BACKBONE_PLAN;

    /// Name of a kind; "UNKNOWN" for one that this version does not know.
    pub const fn name(kind: u32) -> &'static str {
        match kind {
            MANIFEST => "MANIFEST",
            CLASSES => "CLASSES",
            HEAD_WEIGHTS => "HEAD_WEIGHTS",
            HEAD_BIAS => "HEAD_BIAS",
            HEAD_SCALES => "HEAD_SCALES",
            BACKBONE_ONNX => "BACKBONE_ONNX",
            MODEL_CARD => "MODEL_CARD",
            PROVENANCE => "PROVENANCE",
            WORDS => "WORDS",
            PROJECTION => "PROJECTION",
            GENERATOR => "GENERATOR",
            FEATURE_STATISTICS => "FEATURE_STATISTICS",
            DECISION => "DECISION",
            SECOND_OUTPUT => "SECOND_OUTPUT",
            BACKBONE_PLAN => "BACKBONE_PLAN",
            _ => "UNKNOWN",
        }
    }

    /// Whether this version knows a kind.
    pub const fn is_known(kind: u32) -> bool {
        matches!(kind, MANIFEST..=LAST)
    }

    /// Whether the writer lets readers skip a kind that they do not know: masks are right
    /// without it. The first eight kinds were always known.
    #[cfg(feature = "std")]
    pub const fn may_be_skipped(kind: u32) -> bool {
        matches!(kind, WORDS..=FEATURE_STATISTICS | SECOND_OUTPUT)
    }
}

/// Start of the file: 64 bytes.
#[derive(Clone, Copy, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
pub struct HeaderRecord {
    /// 0: [`MAGIC`].
    pub magic: [u8; 8],
    /// 8: [`FORMAT_VERSION`].
    pub format_version: U32,
    /// 12: entries of the section table.
    pub section_count: U32,
    /// 16: length of the whole file.
    pub total_bytes: U64,
    /// 24: zero.
    pub reserved: U64,
    /// 32: SHA-256 over bytes 0..32 of the file and the section table.
    pub table_sha256: [u8; 32],
}

/// Bytes of the header that `table_sha256` covers.
pub const HASHED_HEADER_BYTES: usize = 32;

/// Entry of the section table: 64 bytes.
#[derive(Clone, Copy, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
pub struct SectionRecord {
    /// 0: one of [`kind`], unique in the table.
    pub kind: U32,
    /// 4: [`FLAG_OPTIONAL`] or 0.
    pub flags: U32,
    /// 8: start in the file, a multiple of [`SECTION_ALIGN_BYTES`].
    pub offset: U64,
    /// 16: bytes of the section, at least 1.
    pub length_bytes: U64,
    /// 24: zero.
    pub reserved: U64,
    /// 32: SHA-256 of the section's bytes.
    pub sha256: [u8; 32],
}

/// The MANIFEST section: 576 bytes. Codes are positions in the tables of `manifest.rs`.
#[derive(Clone, Copy, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
pub struct ManifestRecord {
    /// 0: name of the model.
    pub model_name: [u8; 64],
    /// 64: SPDX licence expression.
    pub license: [u8; 64],
    /// 128: name of the network's input tensor.
    pub input_name: [u8; 128],
    /// 256: name of the network's output tensor.
    pub output_name: [u8; 128],
    /// 384: columns of the network's input.
    pub input_width: U32,
    /// 388: rows of the network's input.
    pub input_height: U32,
    /// 392: layout code of the input: 0 planar (CHW), 1 interleaved (HWC).
    pub input_layout: U32,
    /// 396: element code of the input: 0 f32, 1 u8, 2 i8.
    pub input_element: U32,
    /// 400: quantisation step of the input; zero for f32.
    pub input_scale: F32,
    /// 404: quantisation zero point of the input; zero for f32.
    pub input_zero_point: I32,
    /// 408: fit code: 0 stretch, 1 letterbox, 2 short side.
    pub fit: U32,
    /// 412: pixels of the short side; zero for other fits.
    pub short_side: U32,
    /// 416: anchor code: 0 centre, 1 top left; zero for stretch.
    pub anchor: U32,
    /// 420: filter code: 0 bilinear, 1 bicubic.
    pub filter: U32,
    /// 424: 0 or 1.
    pub antialias: U32,
    /// 428: channel order code: 0 RGB, 1 BGR.
    pub order: U32,
    /// 432: factor on the pixel values.
    pub pixel_scale: F32,
    /// 436: subtracted after scaling.
    pub mean: [F32; 3],
    /// 448: divides after subtraction.
    pub std: [F32; 3],
    /// 460: padding colour.
    pub pad: [F32; 3],
    /// 472: head code: 0 logits, 1 linear, 2 dot, 3 cosine.
    pub head_kind: U32,
    /// 476: weight type code: 0 f32, 1 f16, 2 i8; zero for logits.
    pub weight_type: U32,
    /// 480: number of classes.
    pub classes: U32,
    /// 484: channels of the network's output.
    pub channels: U32,
    /// 488: 0 or 1.
    pub align_corners: U32,
    /// 492: factor on the logits for the confidence.
    pub confidence_scale: F32,
    /// 496: rows of the network's output.
    pub grid_height: U32,
    /// 500: columns of the network's output.
    pub grid_width: U32,
    /// 504: layout code of the output, as at 392.
    pub output_layout: U32,
    /// 508: backbone code: 0 external features, 1 ONNX, 2 plan.
    pub backbone: U32,
    /// 512: precision code: 0 as in the model, 1 float activations.
    pub precision: U32,
    /// 516: factor on the cosines; zero for other heads.
    pub cosine_scale: F32,
    /// 520: numbers of an embedding; zero for no embedding space.
    pub embedding_dim: U32,
    /// 524: 0 or 1: whether embeddings are brought to unit length.
    pub embedding_unit: U32,
    /// 528: zero.
    pub reserved: [u8; 48],
}

/// One class in the CLASSES section: 80 bytes.
#[derive(Clone, Copy, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
pub struct ClassRecord {
    /// 0: name, unique.
    pub name: [u8; 64],
    /// 64: red, green, blue.
    pub color: [u8; 3],
    /// 67: zero.
    pub reserved: u8,
    /// 68: [`CLASS_SEEN`], [`CLASS_BACKGROUND`].
    pub flags: U32,
    /// 72: added to the logit.
    pub bias: F32,
    /// 76: with the names in ascending byte order, the index of the class whose name comes at
    /// this record's position. Proves in one pass, without memory, that no name occurs twice.
    pub by_name: U32,
}

/// Start of the WORDS section: 16 bytes. Behind it lie `words` u32, the end of each word in the
/// text; `words` x dim f16, the vectors; and the text.
#[derive(Clone, Copy, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
pub struct WordsRecord {
    /// 0: number of words, at least 1.
    pub words: U32,
    /// 4: bytes of the text.
    pub text_bytes: U32,
    /// 8: zero.
    pub reserved: [u8; 8],
}

/// Start of the GENERATOR section: 32 bytes. Behind it lie, for E numbers of an embedding, Z of
/// noise, H hidden and D channels: H f32, D f32, H x (E + Z) f16, D x H f16.
#[derive(Clone, Copy, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
pub struct GeneratorRecord {
    /// 0: numbers of the noise: Z.
    pub noise_dim: U32,
    /// 4: width of the hidden layer: H.
    pub hidden: U32,
    /// 8: noise code: 0 uniform, 1 normal.
    pub noise: U32,
    /// 12: 0 or 1: whether negative outputs become 0.
    pub relu: U32,
    /// 16: factor on negative values of the hidden layer.
    pub slope: F32,
    /// 20: zero.
    pub reserved: [u8; 12],
}

/// Start of the FEATURE_STATISTICS section: 16 bytes. Behind it lie `rows` u32, the classes;
/// `rows` x channels f32, the means; and as many f32, the deviations.
#[derive(Clone, Copy, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
pub struct StatisticsRecord {
    /// 0: classes that have statistics.
    pub rows: U32,
    /// 4: zero.
    pub reserved: [u8; 12],
}

/// The DECISION section: 32 bytes.
#[derive(Clone, Copy, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
pub struct DecisionRecord {
    /// 0: stacking code: 0 off, 1 on logits, 2 on probabilities.
    pub stacking: U32,
    /// 4: handicap of the seen classes; zero for off.
    pub gamma: F32,
    /// 8: least confidence.
    pub min_confidence: F32,
    /// 12: least margin.
    pub min_margin: F32,
    /// 16: code of the unknown score: 0 margin, 1 energy.
    pub unknown: U32,
    /// 20: reference logit of the energy; zero for margin.
    pub reference: F32,
    /// 24: highest unknown score.
    pub max_unknown: F32,
    /// 28: zero.
    pub reserved: U32,
}

/// The SECOND_OUTPUT section: 160 bytes.
#[derive(Clone, Copy, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
pub struct SecondOutputRecord {
    /// 0: name of the tensor.
    pub name: [u8; 128],
    /// 128: rows.
    pub grid_height: U32,
    /// 132: columns.
    pub grid_width: U32,
    /// 136: channels.
    pub channels: U32,
    /// 140: layout code, as in the manifest.
    pub layout: U32,
    /// 144: zero.
    pub reserved: [u8; 16],
}

const _: () = assert!(size_of::<HeaderRecord>() == 64);
const _: () = assert!(size_of::<SectionRecord>() == 64);
const _: () = assert!(size_of::<ManifestRecord>() == 576);
const _: () = assert!(size_of::<ClassRecord>() == 80);
const _: () = assert!(size_of::<WordsRecord>() == 16);
const _: () = assert!(size_of::<GeneratorRecord>() == 32);
const _: () = assert!(size_of::<StatisticsRecord>() == 16);
const _: () = assert!(size_of::<DecisionRecord>() == 32);
const _: () = assert!(size_of::<SecondOutputRecord>() == 160);

impl ClassRecord {
    /// The class, checked except for the uniqueness of its name.
    pub fn decode(&self) -> Result<Class<'_>> {
        let name = text("class name", &self.name)?;
        if name.is_empty() {
            return Err(Status::BundleContent.about("class name is empty"));
        }
        let flags = self.flags.get();
        if flags & !(CLASS_SEEN | CLASS_BACKGROUND) != 0 {
            return Err(Status::BundleContent.about("class flags").numbers(flags.into(), 3));
        }
        if self.reserved != 0 {
            return Err(Status::BundleContent.about("reserved byte of a class"));
        }
        let bias = self.bias.get();
        if !bias.is_finite() {
            return Err(Status::BundleContent.about("class bias"));
        }
        let seen = flags & CLASS_SEEN != 0;
        let background = flags & CLASS_BACKGROUND != 0;
        Ok(Class { name, color: self.color, seen, background, bias })
    }
}

/// Reads a NUL-padded text field: UTF-8, no control characters, at least one NUL, and nothing but
/// NULs after the first.
pub fn text<'a>(what: &'static str, field: &'a [u8]) -> Result<&'a str> {
    let invalid = Status::BundleContent.about(what);
    let Some(len) = field.iter().position(|&byte| byte == 0) else { return Err(invalid) };
    let Some((used, padding)) = field.split_at_checked(len) else { return Err(invalid) };
    if padding.iter().any(|&byte| byte != 0) {
        return Err(invalid);
    }
    let Ok(text) = core::str::from_utf8(used) else { return Err(invalid) };
    if text.chars().any(char::is_control) {
        return Err(invalid);
    }
    Ok(text)
}

/// Writes a text field: at most `N - 1` bytes, NUL-padded. Control characters are refused here
/// as they are by [`text`], so what is written is what will be read.
#[cfg(feature = "std")]
pub fn text_field<const N: usize>(what: &'static str, text: &str) -> Result<[u8; N]> {
    if text.len() >= N {
        let error = Status::BundleContent.about(what);
        return Err(error.numbers(text.len() as u64, N.saturating_sub(1) as u64));
    }
    if text.chars().any(char::is_control) {
        return Err(Status::BundleContent.about(what));
    }
    let mut field = [0; N];
    for (slot, byte) in field.iter_mut().zip(text.bytes()) {
        *slot = byte;
    }
    Ok(field)
}
