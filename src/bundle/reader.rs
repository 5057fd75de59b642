//! Checked, zero-copy view of a bundle. No allocation, no panic, no alignment demanded.

use super::container::{Container, contents};
use super::head::{self, HeadParts};
use super::layout::{ClassRecord, FLAG_OPTIONAL, ManifestRecord, kind};
use super::manifest::Manifest;
use super::section::{absent, elements};
use super::zero_shot::{self, ZeroShotParts};
use crate::map::Layout;
use crate::spec::{
    Backbone, Class, Decision, EmbeddingSpace, FeatureStatistics, Generator, Head, Input,
    Precision, Preprocess, Projection, SecondOutput, Weights, Words,
};
use crate::status::{Result, Status};
use core::fmt;
use sha2::{Digest, Sha256};
use zerocopy::FromBytes;
use zerocopy::little_endian::F32;

/// A model in the caller's bytes, checked. Copying it copies references only.
#[derive(Clone, Copy)]
pub struct Bundle<'a> {
    container: Container<'a>,
    manifest: Manifest<'a>,
    classes: &'a [ClassRecord],
    head: HeadParts<'a>,
    zero_shot: ZeroShotParts<'a>,
    onnx: Option<&'a [u8]>,
    plan: Option<&'a [u8]>,
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
    /// the manifest, the classes, the numbers of the head and what is there for new classes.
    ///
    /// `bytes` is the whole file and nothing more, at any address. Time is linear in its length;
    /// of the network itself not a byte is read. Errors are those of the [module](super).
    pub fn parse(bytes: &'a [u8]) -> Result<Bundle<'a>> {
        let container = Container::open(bytes)?;
        let section = |wanted| container.find(wanted);
        let manifest = Manifest::decode(read_manifest(section(kind::MANIFEST))?)?;
        let head = head::read(&manifest.head, &container)?;
        Ok(Bundle {
            container,
            manifest,
            classes: read_classes(section(kind::CLASSES), manifest.head.classes)?,
            head,
            zero_shot: zero_shot::read(&manifest, &container)?,
            onnx: read_network(&container, &manifest, Backbone::Onnx, kind::BACKBONE_ONNX)?,
            plan: read_network(&container, &manifest, Backbone::Plan, kind::BACKBONE_PLAN)?,
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

    /// Weights of the classifier: `classes * channels` of them. `None` if the network gives
    /// logits. No row of a dot head is zero; rows of a cosine head have unit length.
    pub fn head_weights(&self) -> Option<Weights<'a>> {
        self.head.weights
    }

    /// Biases of a [`HeadKind::Linear`]: one finite number per class.
    ///
    /// [`HeadKind::Linear`]: crate::spec::HeadKind::Linear
    pub fn head_bias(&self) -> Option<&'a [F32]> {
        self.head.bias
    }

    /// Scales of [`Weights::I8`]: one finite number greater than 0 per class.
    pub fn head_scales(&self) -> Option<&'a [F32]> {
        self.head.scales
    }

    /// The space of the class embeddings.
    pub fn embedding(&self) -> Option<EmbeddingSpace> {
        self.manifest.embedding
    }

    /// Word vectors; at least one. Only where [`Bundle::embedding`] is there.
    pub fn words(&self) -> Option<Words<'a>> {
        self.zero_shot.words
    }

    /// From embeddings to rows of a linear head. Only where [`Bundle::embedding`] is there.
    pub fn projection(&self) -> Option<Projection<'a>> {
        self.zero_shot.projection
    }

    /// From embeddings to features for a linear head. Only where [`Bundle::embedding`] and
    /// [`Bundle::feature_statistics`] are there.
    pub fn generator(&self) -> Option<Generator<'a>> {
        self.zero_shot.generator
    }

    /// Mean and deviation of the features of some classes, perhaps of none.
    pub fn feature_statistics(&self) -> Option<FeatureStatistics<'a>> {
        self.zero_shot.statistics
    }

    /// From logits to a class, or to none; [`Decision::PLAIN`] if the bundle does not say.
    pub fn decision(&self) -> Decision {
        self.zero_shot.decision
    }

    /// The network's output for the spectral affinity. None for [`Backbone::External`].
    pub fn second_output(&self) -> Option<SecondOutput<'a>> {
        self.zero_shot.second_output
    }

    /// The network for [`Backbone::Onnx`]: at least one byte, not looked into.
    pub fn onnx(&self) -> Option<&'a [u8]> {
        self.onnx
    }

    /// The network for [`Backbone::Plan`]: at least one byte, not looked into.
    pub fn plan(&self) -> Option<&'a [u8]> {
        self.plan
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
        let Container { bytes, table, .. } = self.container;
        table.iter().filter_map(move |record| {
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
        self.container.header.table_sha256
    }
}

impl fmt::Debug for Bundle<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut debug = f.debug_struct("Bundle");
        debug.field("manifest", &self.manifest).field("total_bytes", &self.container.bytes.len());
        debug.finish_non_exhaustive()
    }
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

/// The network of a kind: present exactly when the manifest says so.
fn read_network<'a>(
    container: &Container<'a>,
    manifest: &Manifest<'_>,
    form: Backbone,
    section_kind: u32,
) -> Result<Option<&'a [u8]>> {
    let section = container.find(section_kind);
    if manifest.backbone != form {
        absent(section_kind, section)?;
    } else if section.is_none() {
        let missing = match form {
            Backbone::Plan => "BACKBONE_PLAN is missing",
            _ => "BACKBONE_ONNX is missing",
        };
        return Err(Status::BundleContent.about(missing));
    }
    Ok(section)
}

fn read_text<'a>(what: &'static str, section: Option<&'a [u8]>) -> Result<Option<&'a str>> {
    let Some(bytes) = section else { return Ok(None) };
    core::str::from_utf8(bytes).map(Some).map_err(|_| Status::BundleContent.about(what))
}
