//! Checked, zero-copy view of a bundle. No allocation, no panic, no alignment demanded.

use super::layout::{
    ClassRecord, FLAG_OPTIONAL, FORMAT_VERSION, HASHED_HEADER_BYTES, HeaderRecord, MAGIC,
    ManifestRecord, SECTION_ALIGN_BYTES, SectionRecord, kind,
};
use super::manifest::Manifest;
use crate::limits::{MAX_BUNDLE_BYTES, MAX_SECTIONS, product};
use crate::map::Layout;
use crate::spec::{
    Backbone, Class, Head, HeadKind, Input, Precision, Preprocess, WeightType, Weights,
};
use crate::status::{Result, Status};
use core::fmt;
use sha2::{Digest, Sha256};
use zerocopy::FromBytes;
use zerocopy::little_endian::{F32, U16};

/// A model in the caller's bytes, checked. Copying it copies references only.
#[derive(Clone, Copy)]
pub struct Bundle<'a> {
    bytes: &'a [u8],
    header: &'a HeaderRecord,
    table: &'a [SectionRecord],
    manifest: Manifest<'a>,
    classes: &'a [ClassRecord],
    weights: Option<Weights<'a>>,
    bias: Option<&'a [F32]>,
    scales: Option<&'a [F32]>,
    onnx: Option<&'a [u8]>,
    model_card: Option<&'a str>,
    provenance: Option<&'a str>,
}

/// One section of the file.
#[derive(Clone, Copy)]
pub struct Section<'a> {
    /// Number of the kind.
    pub kind: u32,
    /// Name of the kind, "UNKNOWN" for an optional one that this version does not know.
    pub name: &'static str,
    /// Whether a reader that does not know the kind may skip the section.
    pub optional: bool,
    /// Start in the file, in bytes.
    pub offset: u64,
    /// SHA-256 that the table gives for `bytes`; compared by [`Bundle::verify`].
    pub sha256: [u8; 32],
    /// Contents; their length is the section's.
    pub bytes: &'a [u8],
}

impl<'a> Bundle<'a> {
    /// Checks and opens a bundle: [`Bundle::parse`] and then [`Bundle::verify`].
    ///
    /// After this every byte of the file has been accounted for: it was covered by a check of the
    /// structure, by the hash of the table or by the hash of its section.
    pub fn open(bytes: &'a [u8]) -> Result<Bundle<'a>> {
        let bundle = Bundle::parse(bytes)?;
        bundle.verify()?;
        Ok(bundle)
    }

    /// Checks everything except the hashes of the sections: the structure, the hash of the table,
    /// the manifest, the classes and the numbers of the head.
    ///
    /// `bytes` is the whole file and nothing more, at any address. Time is linear in its length;
    /// of the network itself not a byte is read. Errors are those of the [module](super).
    pub fn parse(bytes: &'a [u8]) -> Result<Bundle<'a>> {
        let header = read_header(bytes)?;
        let table = read_table(bytes, header)?;
        check_table(bytes, table)?;
        let section = |wanted| find(bytes, table, wanted);

        let manifest = Manifest::decode(read_manifest(section(kind::MANIFEST))?)?;
        let (weights, bias, scales) = read_head(&manifest.head, section)?;
        Ok(Bundle {
            bytes,
            header,
            table,
            manifest,
            classes: read_classes(section(kind::CLASSES), manifest.head.classes)?,
            weights,
            bias,
            scales,
            onnx: read_network(section(kind::BACKBONE_ONNX), manifest.backbone)?,
            model_card: read_text("MODEL_CARD is not UTF-8", section(kind::MODEL_CARD))?,
            provenance: read_text("PROVENANCE is not UTF-8", section(kind::PROVENANCE))?,
        })
    }

    /// Compares the SHA-256 of every section with the table; [`Status::BundleChecksum`] names the
    /// first one that differs. Reads the whole file once.
    pub fn verify(&self) -> Result<()> {
        for section in self.sections() {
            let found: [u8; 32] = Sha256::digest(section.bytes).into();
            if found != section.sha256 {
                return Err(Status::BundleChecksum.about(section.name));
            }
        }
        Ok(())
    }

    /// Everything the manifest says.
    pub fn manifest(&self) -> &Manifest<'a> {
        &self.manifest
    }

    /// Name of the model.
    pub fn model_name(&self) -> &'a str {
        self.manifest.model_name
    }

    /// Licence of the weights, an SPDX expression.
    pub fn license(&self) -> &'a str {
        self.manifest.license
    }

    /// Name of the network's input tensor; may be empty for [`Backbone::External`].
    pub fn input_name(&self) -> &'a str {
        self.manifest.input_name
    }

    /// Name of the network's output tensor; may be empty for [`Backbone::External`].
    pub fn output_name(&self) -> &'a str {
        self.manifest.output_name
    }

    /// Shape and type of the network's input.
    pub fn input(&self) -> Input {
        self.manifest.input
    }

    /// How a frame becomes the network's input.
    pub fn preprocess(&self) -> Preprocess {
        self.manifest.preprocess
    }

    /// How the network's output becomes classes.
    pub fn head(&self) -> Head {
        self.manifest.head
    }

    /// Rows of the network's output.
    pub fn grid_height(&self) -> u32 {
        self.manifest.grid_height
    }

    /// Columns of the network's output.
    pub fn grid_width(&self) -> u32 {
        self.manifest.grid_width
    }

    /// Order of the elements of the network's output.
    pub fn output_layout(&self) -> Layout {
        self.manifest.output_layout
    }

    /// What computes the network's output.
    pub fn backbone(&self) -> Backbone {
        self.manifest.backbone
    }

    /// Arithmetic between the network's layers.
    pub fn precision(&self) -> Precision {
        self.manifest.precision
    }

    /// Class `index`; [`Status::InvalidArgument`] when there are not that many.
    pub fn class(&self, index: u32) -> Result<Class<'a>> {
        let found = usize::try_from(index).ok().and_then(|index| self.classes.get(index));
        let Some(record) = found else {
            let error = Status::InvalidArgument.about("index of a class");
            return Err(error.numbers(index.into(), self.classes.len() as u64));
        };
        record.decode()
    }

    /// The classes in the order of their indices.
    pub fn classes(&self) -> impl Iterator<Item = Class<'a>> + Clone + use<'a> {
        self.classes.iter().filter_map(|record| record.decode().ok())
    }

    /// Index of the class called `name`. Takes O(log classes) comparisons.
    pub fn class_index(&self, name: &str) -> Option<u32> {
        let class_at = |rank: &ClassRecord| {
            let index = usize::try_from(rank.by_name.get()).ok()?;
            self.classes.get(index)?.decode().ok()
        };
        let order = |rank: &ClassRecord| class_at(rank).map(|class| class.name).cmp(&Some(name));
        let position = self.classes.binary_search_by(order).ok()?;
        Some(self.classes.get(position)?.by_name.get())
    }

    /// Weights of a [`HeadKind::Linear`]: `classes * channels` of them.
    pub fn head_weights(&self) -> Option<Weights<'a>> {
        self.weights
    }

    /// Biases of a [`HeadKind::Linear`]: one finite number per class.
    pub fn head_bias(&self) -> Option<&'a [F32]> {
        self.bias
    }

    /// Scales of [`Weights::I8`]: one finite number greater than 0 per class.
    pub fn head_scales(&self) -> Option<&'a [F32]> {
        self.scales
    }

    /// The network for [`Backbone::Onnx`]: at least one byte, not looked into.
    pub fn onnx(&self) -> Option<&'a [u8]> {
        self.onnx
    }

    /// The model card, Markdown.
    pub fn model_card(&self) -> Option<&'a str> {
        self.model_card
    }

    /// Where the weights come from, JSON (not looked into).
    pub fn provenance(&self) -> Option<&'a str> {
        self.provenance
    }

    /// The sections in the order of the file, unknown optional ones included.
    pub fn sections(&self) -> impl Iterator<Item = Section<'a>> + Clone + use<'a> {
        let bytes = self.bytes;
        self.table.iter().filter_map(move |record| {
            Some(Section {
                kind: record.kind.get(),
                name: kind::name(record.kind.get()),
                optional: record.flags.get() & FLAG_OPTIONAL != 0,
                offset: record.offset.get(),
                sha256: record.sha256,
                bytes: contents(bytes, record)?,
            })
        })
    }

    /// The hash of the section table, which holds the hashes of the sections: identifies the
    /// bundle.
    pub fn sha256(&self) -> [u8; 32] {
        self.header.table_sha256
    }
}

impl fmt::Debug for Bundle<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut debug = f.debug_struct("Bundle");
        debug.field("manifest", &self.manifest).field("total_bytes", &self.bytes.len());
        debug.finish_non_exhaustive()
    }
}

/// Checks every field of the header except the hash.
fn read_header(bytes: &[u8]) -> Result<&HeaderRecord> {
    let found_bytes = bytes.len() as u64;
    let Ok((header, _)) = HeaderRecord::ref_from_prefix(bytes) else {
        let error = Status::BundleFormat.about("header is cut off");
        return Err(error.numbers(found_bytes, size_of::<HeaderRecord>() as u64));
    };
    if header.magic != MAGIC {
        return Err(Status::BundleFormat.about("magic number"));
    }
    let version = header.format_version.get();
    if version > FORMAT_VERSION {
        let error = Status::BundleVersion.about("format version");
        return Err(error.numbers(version.into(), FORMAT_VERSION.into()));
    }
    if version == 0 || header.reserved.get() != 0 {
        return Err(Status::BundleFormat.about("format version or reserved bytes of the header"));
    }
    let total_bytes = header.total_bytes.get();
    if total_bytes > MAX_BUNDLE_BYTES {
        let error = Status::LimitExceeded.about("length of the bundle");
        return Err(error.numbers(total_bytes, MAX_BUNDLE_BYTES));
    }
    if total_bytes != found_bytes {
        let error = Status::BundleFormat.about("length of the bundle");
        return Err(error.numbers(found_bytes, total_bytes));
    }
    Ok(header)
}

/// The section table, if its hash matches.
fn read_table<'a>(bytes: &'a [u8], header: &HeaderRecord) -> Result<&'a [SectionRecord]> {
    let count = header.section_count.get();
    if count == 0 {
        return Err(Status::BundleFormat.about("number of sections"));
    }
    if count > MAX_SECTIONS {
        let error = Status::LimitExceeded.about("number of sections");
        return Err(error.numbers(count.into(), MAX_SECTIONS.into()));
    }
    let cut_off = || Status::BundleFormat.about("section table is cut off");
    let (_, rest) = bytes.split_at_checked(size_of::<HeaderRecord>()).ok_or_else(cut_off)?;
    let (table, _) = <[SectionRecord]>::ref_from_prefix_with_elems(rest, count as usize)
        .map_err(|_| cut_off())?;
    let (hashed, _) = bytes.split_at_checked(HASHED_HEADER_BYTES).ok_or_else(cut_off)?;
    let mut hash = Sha256::new_with_prefix(hashed);
    for record in table {
        hash.update(zerocopy::IntoBytes::as_bytes(record));
    }
    let found: [u8; 32] = hash.finalize().into();
    if found != header.table_sha256 {
        return Err(Status::BundleChecksum.about("section table"));
    }
    Ok(table)
}

/// Checks that the sections follow one another without overlap, hole or rest, that what pads them
/// is zero, and that every kind is known or optional and occurs once.
fn check_table(bytes: &[u8], table: &[SectionRecord]) -> Result<()> {
    let invalid = |what: &'static str| Status::BundleFormat.about(what);
    let mut end = size_of::<HeaderRecord>().saturating_add(size_of_val(table)) as u64;
    for (index, record) in table.iter().enumerate() {
        let found = record.kind.get();
        if table.iter().take(index).any(|earlier| earlier.kind.get() == found) {
            return Err(invalid("a kind of section occurs twice").numbers(found.into(), 1));
        }
        check_entry(record)?;
        let offset = record.offset.get();
        let start = end.checked_next_multiple_of(SECTION_ALIGN_BYTES);
        if start != Some(offset) {
            let error = invalid("offset of a section");
            return Err(error.numbers(offset, start.unwrap_or(u64::MAX)));
        }
        let padding = range(bytes, end, offset).ok_or(invalid("offset of a section"))?;
        if padding.iter().any(|&byte| byte != 0) {
            return Err(invalid("padding between sections is not zero"));
        }
        contents(bytes, record).ok_or(invalid("a section reaches past the end"))?;
        end = offset.saturating_add(record.length_bytes.get());
    }
    if end != bytes.len() as u64 {
        return Err(invalid("bytes after the last section").numbers(bytes.len() as u64, end));
    }
    Ok(())
}

/// Checks what an entry of the table says by itself.
fn check_entry(record: &SectionRecord) -> Result<()> {
    let (found, flags) = (record.kind.get(), record.flags.get());
    if found == 0 {
        return Err(Status::BundleFormat.about("kind of a section"));
    }
    if flags & !FLAG_OPTIONAL != 0 || record.reserved.get() != 0 {
        return Err(Status::BundleFormat.about("flags or reserved bytes of a section"));
    }
    if record.length_bytes.get() == 0 {
        return Err(Status::BundleFormat.about("a section is empty"));
    }
    if !kind::is_known(found) && flags & FLAG_OPTIONAL == 0 {
        let error = Status::Unsupported.about("unknown section that may not be skipped");
        return Err(error.numbers(found.into(), kind::PROVENANCE.into()));
    }
    Ok(())
}

fn range(bytes: &[u8], start: u64, end: u64) -> Option<&[u8]> {
    bytes.get(usize::try_from(start).ok()?..usize::try_from(end).ok()?)
}

fn contents<'a>(bytes: &'a [u8], record: &SectionRecord) -> Option<&'a [u8]> {
    let start = record.offset.get();
    range(bytes, start, start.checked_add(record.length_bytes.get())?)
}

fn find<'a>(bytes: &'a [u8], table: &[SectionRecord], wanted: u32) -> Option<&'a [u8]> {
    let record = table.iter().find(|record| record.kind.get() == wanted)?;
    contents(bytes, record)
}

fn read_manifest(section: Option<&[u8]>) -> Result<&ManifestRecord> {
    let bytes = section.ok_or(Status::BundleContent.about("MANIFEST is missing"))?;
    ManifestRecord::ref_from_bytes(bytes).map_err(|_| {
        let error = Status::BundleContent.about("length of MANIFEST");
        error.numbers(bytes.len() as u64, size_of::<ManifestRecord>() as u64)
    })
}

/// The class records, each checked, and all names different.
fn read_classes(section: Option<&[u8]>, classes: u32) -> Result<&[ClassRecord]> {
    let records: &[ClassRecord] = elements("CLASSES", section, classes as usize)?;
    for record in records {
        record.decode()?;
    }
    check_names(records)?;
    Ok(records)
}

/// Checks that the names are strictly ascending in the order that `by_name` gives. As many
/// strictly ascending names as there are classes are all of the names, and no two are equal.
fn check_names(records: &[ClassRecord]) -> Result<()> {
    let invalid = Status::BundleContent.about("order of the class names, or a name occurs twice");
    let mut previous: Option<&[u8; 64]> = None;
    for record in records {
        let index = usize::try_from(record.by_name.get()).ok();
        let named = index.and_then(|index| records.get(index));
        let Some(named) = named else { return Err(invalid) };
        if previous.is_some_and(|previous| *previous >= named.name) {
            return Err(invalid);
        }
        previous = Some(&named.name);
    }
    Ok(())
}

type HeadParts<'a> = (Option<Weights<'a>>, Option<&'a [F32]>, Option<&'a [F32]>);

/// Weights, biases and scales: present exactly when the kind of head needs them.
fn read_head<'a>(head: &Head, section: impl Fn(u32) -> Option<&'a [u8]>) -> Result<HeadParts<'a>> {
    let HeadKind::Linear(weight_type) = head.kind else {
        for unwanted in [kind::HEAD_WEIGHTS, kind::HEAD_BIAS, kind::HEAD_SCALES] {
            absent(unwanted, section(unwanted))?;
        }
        return Ok((None, None, None));
    };
    let classes = head.classes as usize;
    let len = product("HEAD_WEIGHTS", &[classes, head.channels as usize])?;
    let weights = read_weights(section(kind::HEAD_WEIGHTS), weight_type, len)?;
    let bias = elements("HEAD_BIAS", section(kind::HEAD_BIAS), classes)?;
    all("a bias of the head is not finite", bias, |bias: &F32| bias.get().is_finite())?;
    if weight_type != WeightType::I8 {
        absent(kind::HEAD_SCALES, section(kind::HEAD_SCALES))?;
        return Ok((Some(weights), Some(bias), None));
    }
    let scales = elements("HEAD_SCALES", section(kind::HEAD_SCALES), classes)?;
    let positive = |scale: &F32| scale.get().is_finite() && scale.get() > 0.0;
    all("a scale of the head is not finite and positive", scales, positive)?;
    Ok((Some(weights), Some(bias), Some(scales)))
}

fn read_weights(
    section: Option<&[u8]>,
    weight_type: WeightType,
    len: usize,
) -> Result<Weights<'_>> {
    const HALF_EXPONENT: u16 = 0x7C00;
    let (name, what) = ("HEAD_WEIGHTS", "a weight of the head is not finite");
    match weight_type {
        WeightType::F32 => {
            let weights = elements(name, section, len)?;
            all(what, weights, |weight: &F32| weight.get().is_finite())?;
            Ok(Weights::F32(weights))
        }
        WeightType::F16 => {
            let weights = elements(name, section, len)?;
            all(what, weights, |bits: &U16| bits.get() & HALF_EXPONENT != HALF_EXPONENT)?;
            Ok(Weights::F16(weights))
        }
        WeightType::I8 => Ok(Weights::I8(elements(name, section, len)?)),
    }
}

/// The network: present exactly when the manifest says so.
fn read_network(section: Option<&[u8]>, backbone: Backbone) -> Result<Option<&[u8]>> {
    if backbone == Backbone::External {
        absent(kind::BACKBONE_ONNX, section)?;
    } else if section.is_none() {
        return Err(Status::BundleContent.about("BACKBONE_ONNX is missing"));
    }
    Ok(section)
}

fn read_text<'a>(what: &'static str, section: Option<&'a [u8]>) -> Result<Option<&'a str>> {
    let Some(bytes) = section else { return Ok(None) };
    core::str::from_utf8(bytes).map(Some).map_err(|_| Status::BundleContent.about(what))
}

/// A section that holds exactly `len` elements of type `T`.
fn elements<'a, T>(name: &'static str, section: Option<&'a [u8]>, len: usize) -> Result<&'a [T]>
where
    T: FromBytes + zerocopy::Immutable + zerocopy::Unaligned,
{
    let bytes = section.ok_or(Status::BundleContent.about(name))?;
    <[T]>::ref_from_bytes_with_elems(bytes, len).map_err(|_| {
        let want_bytes = (len as u64).saturating_mul(size_of::<T>() as u64);
        Status::BundleContent.about(name).numbers(bytes.len() as u64, want_bytes)
    })
}

fn all<T>(what: &'static str, values: &[T], valid: impl Fn(&T) -> bool) -> Result<()> {
    let Some(index) = values.iter().position(|value| !valid(value)) else { return Ok(()) };
    Err(Status::BundleContent.about(what).numbers(index as u64, values.len() as u64))
}

fn absent(unwanted: u32, section: Option<&[u8]>) -> Result<()> {
    if section.is_some() {
        let error = Status::BundleContent.about("a section is not wanted by the manifest");
        return Err(error.numbers(unwanted.into(), 0));
    }
    Ok(())
}
