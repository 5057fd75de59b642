//! Writes bundles. What it returns has been opened by the reader first.

mod compiled;
mod rewrite;
mod round;
mod zero_shot;

pub use compiled::with_plan;
pub use rewrite::{ClassRow, RowSource, rewrite_classes};
pub use round::StoredWeights;
pub use zero_shot::{ClassStatistics, GeneratorValues, ZeroShot};

use super::layout::{
    CLASS_BACKGROUND, CLASS_SEEN, ClassRecord, FLAG_OPTIONAL, FORMAT_VERSION, HASHED_HEADER_BYTES,
    HeaderRecord, MAGIC, SECTION_ALIGN_BYTES, SectionRecord, kind, text_field,
};
use super::manifest::Manifest;
use super::reader::Bundle;
use crate::limits::MAX_BUNDLE_BYTES;
use crate::spec::{Class, WeightType};
use crate::status::{Result, Status};
use half::f16;
use sha2::{Digest, Sha256};
use std::borrow::Cow;
use std::vec::Vec;
use zerocopy::IntoBytes;

/// Everything that goes into a bundle.
#[derive(Clone, Copy, Debug)]
pub struct Contents<'a> {
    /// What the model says about itself.
    pub manifest: Manifest<'a>,
    /// The classes, as many as `manifest.head.classes`; their names all different.
    pub classes: &'a [Class<'a>],
    /// The classifier; none exactly for [`HeadKind::Logits`](crate::spec::HeadKind::Logits).
    pub head: Option<LinearHead<'a>>,
    /// The network, for [`crate::spec::Backbone::Onnx`] only; not empty. [`with_plan`] puts a
    /// compiled one into its place.
    pub onnx: Option<&'a [u8]>,
    /// Model card, Markdown; not empty.
    pub model_card: Option<&'a str>,
    /// Where the weights come from, JSON; not empty.
    pub provenance: Option<&'a str>,
    /// What is there for classes that the model was not trained on.
    pub zero_shot: ZeroShot<'a>,
}

/// A 1x1 classifier: `logits = W x + b`.
#[derive(Clone, Copy, Debug)]
pub struct LinearHead<'a> {
    /// `W`: classes x channels, row by row; finite. For dot heads no row is zero, for cosine
    /// heads each has unit length.
    pub weights: WeightValues<'a>,
    /// `b`: one finite number per class; empty for dot and cosine heads.
    pub bias: &'a [f32],
}

/// The weights of a classifier in the type they are stored in.
#[derive(Clone, Copy, Debug)]
pub enum WeightValues<'a> {
    /// 32-bit floats.
    F32(&'a [f32]),
    /// 16-bit floats.
    F16(&'a [f16]),
    /// 8-bit integers.
    I8 {
        /// Weights divided by the scale of their class and rounded.
        values: &'a [i8],
        /// One finite number greater than 0 per class.
        scales: &'a [f32],
    },
}

impl WeightValues<'_> {
    /// Storage of one weight.
    pub const fn weight_type(&self) -> WeightType {
        match self {
            WeightValues::F32(_) => WeightType::F32,
            WeightValues::F16(_) => WeightType::F16,
            WeightValues::I8 { .. } => WeightType::I8,
        }
    }
}

/// Writes a bundle. Equal contents give equal bytes.
///
/// The result has passed [`Bundle::open`]; contents that it refuses give its error
/// ([`Status::BundleContent`], [`Status::LimitExceeded`]).
pub fn write(contents: &Contents<'_>) -> Result<Vec<u8>> {
    let stated = contents.manifest.head.kind.weight_type();
    let given = contents.head.map(|head| head.weights.weight_type());
    if given.is_some() && stated.is_some() && given != stated {
        return Err(Status::BundleContent.about("weight type differs from the manifest's"));
    }
    let bytes = assemble(&sections(contents)?)?;
    Bundle::open(&bytes)?;
    Ok(bytes)
}

/// A section that is to be written.
struct Payload<'a> {
    kind: u32,
    flags: u32,
    bytes: Cow<'a, [u8]>,
}

impl<'a> Payload<'a> {
    fn new(kind: u32, bytes: impl Into<Cow<'a, [u8]>>) -> Payload<'a> {
        let flags = if kind::may_be_skipped(kind) { FLAG_OPTIONAL } else { 0 };
        Payload { kind, flags, bytes: bytes.into() }
    }
}

/// The sections in ascending order of their kinds.
fn sections<'a>(contents: &Contents<'a>) -> Result<Vec<Payload<'a>>> {
    let manifest = contents.manifest.encode()?;
    let classes = class_records(contents.classes.iter())?;
    let mut sections = Vec::from([
        Payload::new(kind::MANIFEST, manifest.as_bytes().to_vec()),
        Payload::new(kind::CLASSES, classes.as_bytes().to_vec()),
    ]);
    if let Some(head) = contents.head {
        sections.push(Payload::new(kind::HEAD_WEIGHTS, weight_bytes(head.weights)));
        if !head.bias.is_empty() {
            sections.push(Payload::new(kind::HEAD_BIAS, float_bytes(head.bias)));
        }
        if let WeightValues::I8 { scales, .. } = head.weights {
            sections.push(Payload::new(kind::HEAD_SCALES, float_bytes(scales)));
        }
    }
    if let Some(onnx) = contents.onnx {
        sections.push(Payload::new(kind::BACKBONE_ONNX, onnx));
    }
    if let Some(text) = contents.model_card {
        sections.push(Payload::new(kind::MODEL_CARD, text.as_bytes()));
    }
    if let Some(text) = contents.provenance {
        sections.push(Payload::new(kind::PROVENANCE, text.as_bytes()));
    }
    sections.extend(zero_shot::sections(&contents.manifest, &contents.zero_shot)?);
    Ok(sections)
}

fn class_records<'a>(
    classes: impl Iterator<Item = &'a Class<'a>> + Clone,
) -> Result<Vec<ClassRecord>> {
    let mut order: Vec<(&str, u32)> = classes.clone().map(|class| class.name).zip(0..).collect();
    order.sort_unstable();
    let ranked = classes.zip(order);
    ranked.map(|(class, (_, by_name))| class_record(class, by_name)).collect()
}

fn class_record(class: &Class<'_>, by_name: u32) -> Result<ClassRecord> {
    let seen = if class.seen { CLASS_SEEN } else { 0 };
    let background = if class.background { CLASS_BACKGROUND } else { 0 };
    Ok(ClassRecord {
        name: text_field("class name", class.name)?,
        color: class.color,
        reserved: 0,
        flags: (seen | background).into(),
        bias: class.bias.into(),
        by_name: by_name.into(),
    })
}

fn float_bytes(values: &[f32]) -> Cow<'_, [u8]> {
    values.iter().flat_map(|value| value.to_le_bytes()).collect()
}

fn half_bytes(values: &[f16]) -> Cow<'_, [u8]> {
    values.iter().flat_map(|value| value.to_le_bytes()).collect()
}

fn weight_bytes(weights: WeightValues<'_>) -> Cow<'_, [u8]> {
    match weights {
        WeightValues::F32(values) => float_bytes(values),
        WeightValues::F16(values) => half_bytes(values),
        WeightValues::I8 { values, .. } => Cow::Borrowed(values.as_bytes()),
    }
}

/// Puts header, table, padding and sections together.
fn assemble(sections: &[Payload<'_>]) -> Result<Vec<u8>> {
    let too_large = || Status::LimitExceeded.about("length of the bundle");
    let mut end = (size_of::<HeaderRecord>() + size_of::<SectionRecord>() * sections.len()) as u64;
    let mut table = Vec::new();
    for Payload { kind, flags, bytes } in sections {
        let offset = end.next_multiple_of(SECTION_ALIGN_BYTES);
        end = offset.checked_add(bytes.len() as u64).ok_or_else(too_large)?;
        table.push(SectionRecord {
            kind: (*kind).into(),
            flags: (*flags).into(),
            offset: offset.into(),
            length_bytes: (bytes.len() as u64).into(),
            reserved: 0.into(),
            sha256: Sha256::digest(bytes).into(),
        });
    }
    if end > MAX_BUNDLE_BYTES {
        return Err(too_large().numbers(end, MAX_BUNDLE_BYTES));
    }
    let mut bytes = header(&table, end).as_bytes().to_vec();
    bytes.extend_from_slice(table.as_bytes());
    for section in sections {
        bytes.resize(bytes.len().next_multiple_of(SECTION_ALIGN_BYTES as usize), 0);
        bytes.extend_from_slice(&section.bytes);
    }
    Ok(bytes)
}

fn header(table: &[SectionRecord], total_bytes: u64) -> HeaderRecord {
    let mut header = HeaderRecord {
        magic: MAGIC,
        format_version: FORMAT_VERSION.into(),
        section_count: (table.len() as u32).into(),
        total_bytes: total_bytes.into(),
        reserved: 0.into(),
        table_sha256: [0; 32],
    };
    let hash = Sha256::new_with_prefix(&header.as_bytes()[..HASHED_HEADER_BYTES]);
    header.table_sha256 = hash.chain_update(table.as_bytes()).finalize().into();
    header
}
