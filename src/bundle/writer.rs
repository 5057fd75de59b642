//! Writes bundles. What it returns has been opened by the reader first.

use super::layout::{
    CLASS_BACKGROUND, CLASS_SEEN, ClassRecord, FORMAT_VERSION, HASHED_HEADER_BYTES, HeaderRecord,
    MAGIC, SECTION_ALIGN_BYTES, SectionRecord, kind, text_field,
};
use super::manifest::Manifest;
use super::reader::Bundle;
use crate::limits::MAX_BUNDLE_BYTES;
use crate::spec::{Class, HeadKind, WeightType};
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
    /// The classifier, for [`HeadKind::Linear`] only.
    pub head: Option<LinearHead<'a>>,
    /// The network, for [`crate::spec::Backbone::Onnx`] only; not empty.
    pub onnx: Option<&'a [u8]>,
    /// Model card, Markdown; not empty.
    pub model_card: Option<&'a str>,
    /// Where the weights come from, JSON; not empty.
    pub provenance: Option<&'a str>,
}

/// A 1x1 classifier: `logits = W x + b`.
#[derive(Clone, Copy, Debug)]
pub struct LinearHead<'a> {
    /// `W`: classes x channels, row by row; finite.
    pub weights: WeightValues<'a>,
    /// `b`: one finite number per class.
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
    if let (HeadKind::Linear(stated), Some(head)) = (contents.manifest.head.kind, contents.head)
        && head.weights.weight_type() != stated
    {
        return Err(Status::BundleContent.about("weight type differs from the manifest's"));
    }
    let bytes = assemble(&sections(contents)?)?;
    Bundle::open(&bytes)?;
    Ok(bytes)
}

type Payload<'a> = (u32, Cow<'a, [u8]>);

/// The sections in ascending order of their kinds.
fn sections<'a>(contents: &Contents<'a>) -> Result<Vec<Payload<'a>>> {
    let manifest = contents.manifest.encode()?;
    let mut sections = Vec::from([
        (kind::MANIFEST, Cow::Owned(manifest.as_bytes().to_vec())),
        (kind::CLASSES, Cow::Owned(class_records(contents.classes)?.as_bytes().to_vec())),
    ]);
    if let Some(head) = contents.head {
        sections.push((kind::HEAD_WEIGHTS, weight_bytes(head.weights)));
        sections.push((kind::HEAD_BIAS, float_bytes(head.bias)));
        if let WeightValues::I8 { scales, .. } = head.weights {
            sections.push((kind::HEAD_SCALES, float_bytes(scales)));
        }
    }
    if let Some(onnx) = contents.onnx {
        sections.push((kind::BACKBONE_ONNX, Cow::Borrowed(onnx)));
    }
    if let Some(text) = contents.model_card {
        sections.push((kind::MODEL_CARD, Cow::Borrowed(text.as_bytes())));
    }
    if let Some(text) = contents.provenance {
        sections.push((kind::PROVENANCE, Cow::Borrowed(text.as_bytes())));
    }
    Ok(sections)
}

fn class_records(classes: &[Class<'_>]) -> Result<Vec<ClassRecord>> {
    let mut order: Vec<(&str, u32)> = classes.iter().map(|class| class.name).zip(0..).collect();
    order.sort_unstable();
    let ranked = classes.iter().zip(order);
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

fn weight_bytes(weights: WeightValues<'_>) -> Cow<'_, [u8]> {
    match weights {
        WeightValues::F32(values) => float_bytes(values),
        WeightValues::F16(values) => values.iter().flat_map(|value| value.to_le_bytes()).collect(),
        WeightValues::I8 { values, .. } => Cow::Borrowed(values.as_bytes()),
    }
}

/// Puts header, table, padding and sections together.
fn assemble(sections: &[Payload<'_>]) -> Result<Vec<u8>> {
    let too_large = || Status::LimitExceeded.about("length of the bundle");
    let mut end = (size_of::<HeaderRecord>() + size_of::<SectionRecord>() * sections.len()) as u64;
    let mut table = Vec::new();
    for (kind, payload) in sections {
        let offset = end.next_multiple_of(SECTION_ALIGN_BYTES);
        end = offset.checked_add(payload.len() as u64).ok_or_else(too_large)?;
        table.push(SectionRecord {
            kind: (*kind).into(),
            flags: 0.into(),
            offset: offset.into(),
            length_bytes: (payload.len() as u64).into(),
            reserved: 0.into(),
            sha256: Sha256::digest(payload).into(),
        });
    }
    if end > MAX_BUNDLE_BYTES {
        return Err(too_large().numbers(end, MAX_BUNDLE_BYTES));
    }
    let mut bytes = header(&table, end).as_bytes().to_vec();
    bytes.extend_from_slice(table.as_bytes());
    for (_, payload) in sections {
        bytes.resize(bytes.len().next_multiple_of(SECTION_ALIGN_BYTES as usize), 0);
        bytes.extend_from_slice(payload);
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
