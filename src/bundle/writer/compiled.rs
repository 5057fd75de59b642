//! Gives a bundle a compiled network in place of its ONNX file.

use super::{Payload, assemble};
use crate::bundle::layout::{FLAG_OPTIONAL, SecondOutputRecord, kind};
use crate::bundle::manifest::{LAYOUTS, Manifest};
use crate::bundle::reader::Bundle;
use crate::map::Layout;
use crate::spec::{Backbone, Input};
use crate::status::{Result, Status};
use std::borrow::Cow;
use std::vec::Vec;
use zerocopy::{FromBytes, IntoBytes};

/// The bundle with `plan` as its network, which reads `input` and writes its outputs channels
/// last. Everything else is kept byte for byte.
///
/// # Errors
/// [`Status::Unsupported`] if the bundle holds no ONNX network; [`Status::BundleContent`] if the
/// reader refuses the result.
pub fn with_plan(bundle: &Bundle<'_>, plan: &[u8], input: Input) -> Result<Vec<u8>> {
    if bundle.backbone() != Backbone::Onnx {
        return Err(Status::Unsupported.about("compiling what is no ONNX network"));
    }
    let manifest = Manifest {
        input,
        output_layout: Layout::Hwc,
        backbone: Backbone::Plan,
        ..*bundle.manifest()
    };
    let manifest = manifest.encode()?;
    let mut sections = Vec::new();
    for section in bundle.sections() {
        let bytes: Cow<'_, [u8]> = match section.kind {
            kind::BACKBONE_ONNX => continue,
            kind::MANIFEST => Cow::Borrowed(manifest.as_bytes()),
            kind::SECOND_OUTPUT => second_output(section.bytes)?.into(),
            _ => Cow::Borrowed(section.bytes),
        };
        let flags = if section.optional { FLAG_OPTIONAL } else { 0 };
        sections.push(Payload { kind: section.kind, flags, bytes });
    }
    sections.push(Payload::new(kind::BACKBONE_PLAN, plan));
    sections.sort_by_key(|section| section.kind);
    let bytes = assemble(&sections)?;
    Bundle::open(&bytes)?;
    Ok(bytes)
}

fn second_output(section: &[u8]) -> Result<Vec<u8>> {
    let record = SecondOutputRecord::read_from_bytes(section);
    let mut record = record.map_err(|_| Status::BundleContent.about("length of SECOND_OUTPUT"))?;
    let code = LAYOUTS.iter().zip(0u32..).find(|(layout, _)| **layout == Layout::Hwc);
    record.layout = code.map_or(0, |(_, code)| code).into();
    Ok(record.as_bytes().to_vec())
}
