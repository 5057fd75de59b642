//! The manifest as typed values, and its translation from and to the record.

#[cfg(feature = "std")]
use super::layout::text_field;
use super::layout::{ManifestRecord, text};
use crate::limits::MAX_GRID_SIDE;
use crate::map::Layout;
use crate::spec::{
    Anchor, Backbone, ChannelOrder, EmbeddingSpace, Filter, Fit, Head, HeadKind, Input, InputType,
    Precision, Preprocess, Quantization, WeightType,
};
use crate::status::{Result, Status};
use zerocopy::little_endian::{F32, U32};

/// What a model says about itself.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Manifest<'a> {
    /// Name of the model: 1 to 63 bytes of UTF-8 without control characters.
    pub model_name: &'a str,
    /// Licence of the weights as an SPDX expression: 1 to 63 bytes, likewise.
    pub license: &'a str,
    /// Name of the network's input tensor: at most 127 bytes, likewise; empty only for
    /// [`Backbone::External`].
    pub input_name: &'a str,
    /// Name of the network's output tensor: as `input_name`.
    pub output_name: &'a str,
    /// Shape and type of the network's input.
    pub input: Input,
    /// How a frame becomes the network's input.
    pub preprocess: Preprocess,
    /// How the network's output becomes classes.
    pub head: Head,
    /// Rows of the network's output: 1 to [`MAX_GRID_SIDE`].
    pub grid_height: u32,
    /// Columns of the network's output: 1 to [`MAX_GRID_SIDE`].
    pub grid_width: u32,
    /// Order of the elements of the network's output.
    pub output_layout: Layout,
    /// What computes the network's output.
    pub backbone: Backbone,
    /// Arithmetic between the network's layers.
    pub precision: Precision,
    /// The space of the class embeddings. Always there for [`HeadKind::Dot`] and
    /// [`HeadKind::Cosine`], then with as many numbers as the network's output has channels.
    pub embedding: Option<EmbeddingSpace>,
}

// A code in the file is the position of its value in one of these tables.
pub(super) const FLAGS: [bool; 2] = [false, true];
pub(super) const LAYOUTS: [Layout; 2] = [Layout::Chw, Layout::Hwc];
const ANCHORS: [Anchor; 2] = [Anchor::Center, Anchor::TopLeft];
const FILTERS: [Filter; 2] = [Filter::Bilinear, Filter::Bicubic];
const ORDERS: [ChannelOrder; 2] = [ChannelOrder::Rgb, ChannelOrder::Bgr];
const WEIGHT_TYPES: [WeightType; 3] = [WeightType::F32, WeightType::F16, WeightType::I8];
const BACKBONES: [Backbone; 3] = [Backbone::External, Backbone::Onnx, Backbone::Plan];
const PRECISIONS: [Precision; 2] = [Precision::AsModel, Precision::FloatActivations];

// Codes of the values that carry others.
const ELEMENT_F32: u32 = 0;
const ELEMENT_U8: u32 = 1;
const ELEMENT_I8: u32 = 2;
const FIT_STRETCH: u32 = 0;
const FIT_LETTERBOX: u32 = 1;
const FIT_SHORT_SIDE: u32 = 2;
const HEAD_LOGITS: u32 = 0;
const HEAD_LINEAR: u32 = 1;
const HEAD_DOT: u32 = 2;
const HEAD_COSINE: u32 = 3;

impl<'a> Manifest<'a> {
    /// Translates a record and checks every field. [`Status::BundleContent`] names the first
    /// field that is wrong.
    pub(super) fn decode(record: &'a ManifestRecord) -> Result<Manifest<'a>> {
        let backbone = value("backbone code", record.backbone, &BACKBONES)?;
        if record.reserved.iter().any(|&byte| byte != 0) {
            return Err(Status::BundleContent.about("reserved bytes of the manifest"));
        }
        let network_inside = backbone == Backbone::Onnx;
        let head = decode_head(record)?;
        Ok(Manifest {
            model_name: filled("model name", &record.model_name, true)?,
            license: filled("licence", &record.license, true)?,
            input_name: filled("name of the network's input", &record.input_name, network_inside)?,
            output_name: filled(
                "name of the network's output",
                &record.output_name,
                network_inside,
            )?,
            input: decode_input(record)?,
            preprocess: decode_preprocess(record)?,
            head,
            grid_height: grid_side("rows of the network's output", record.grid_height)?,
            grid_width: grid_side("columns of the network's output", record.grid_width)?,
            output_layout: value("layout code of the output", record.output_layout, &LAYOUTS)?,
            backbone,
            precision: value("precision code", record.precision, &PRECISIONS)?,
            embedding: decode_embedding(record, &head)?,
        })
    }
}

fn decode_input(record: &ManifestRecord) -> Result<Input> {
    let quantization =
        Quantization { scale: record.input_scale.get(), zero_point: record.input_zero_point.get() };
    let element = match record.input_element.get() {
        ELEMENT_F32 => {
            zero("quantisation step of a float input", record.input_scale.to_bytes())?;
            zero("zero point of a float input", record.input_zero_point.to_bytes())?;
            InputType::F32
        }
        ELEMENT_U8 => InputType::U8(quantization),
        ELEMENT_I8 => InputType::I8(quantization),
        code => return Err(unknown("element code of the input", code, ELEMENT_I8)),
    };
    let input = Input {
        width: record.input_width.get(),
        height: record.input_height.get(),
        layout: value("layout code of the input", record.input_layout, &LAYOUTS)?,
        element,
    };
    input.check()?;
    Ok(input)
}

fn decode_preprocess(record: &ManifestRecord) -> Result<Preprocess> {
    let preprocess = Preprocess {
        fit: decode_fit(record)?,
        filter: value("filter code", record.filter, &FILTERS)?,
        antialias: value("antialias flag", record.antialias, &FLAGS)?,
        order: value("channel order code", record.order, &ORDERS)?,
        scale: record.pixel_scale.get(),
        mean: record.mean.map(F32::get),
        std: record.std.map(F32::get),
        pad: record.pad.map(F32::get),
    };
    preprocess.check()?;
    Ok(preprocess)
}

fn decode_fit(record: &ManifestRecord) -> Result<Fit> {
    let anchor = value("anchor code", record.anchor, &ANCHORS)?;
    match record.fit.get() {
        FIT_STRETCH => {
            zero("anchor of a stretch", record.anchor.to_bytes())?;
            zero("short side of a stretch", record.short_side.to_bytes())?;
            Ok(Fit::Stretch)
        }
        FIT_LETTERBOX => {
            zero("short side of a letterbox", record.short_side.to_bytes())?;
            Ok(Fit::Letterbox(anchor))
        }
        FIT_SHORT_SIDE => Ok(Fit::ShortSide { size: record.short_side.get(), anchor }),
        code => Err(unknown("fit code", code, FIT_SHORT_SIDE)),
    }
}

fn decode_head(record: &ManifestRecord) -> Result<Head> {
    let weight_type = value("weight type code", record.weight_type, &WEIGHT_TYPES)?;
    let kind = match record.head_kind.get() {
        HEAD_LOGITS => {
            zero("weight type of a head without weights", record.weight_type.to_bytes())?;
            HeadKind::Logits
        }
        HEAD_LINEAR => HeadKind::Linear(weight_type),
        HEAD_DOT => HeadKind::Dot(weight_type),
        HEAD_COSINE => HeadKind::Cosine(weight_type),
        code => return Err(unknown("head code", code, HEAD_COSINE)),
    };
    let cosine_scale = match kind {
        HeadKind::Cosine(_) => record.cosine_scale.get(),
        _ => {
            zero("scale of the cosines of another head", record.cosine_scale.to_bytes())?;
            1.0
        }
    };
    let head = Head {
        kind,
        classes: record.classes.get(),
        channels: record.channels.get(),
        align_corners: value("align_corners flag", record.align_corners, &FLAGS)?,
        confidence_scale: record.confidence_scale.get(),
        cosine_scale,
    };
    head.check()?;
    Ok(head)
}

fn decode_embedding(record: &ManifestRecord, head: &Head) -> Result<Option<EmbeddingSpace>> {
    let is_embedding_head = matches!(head.kind, HeadKind::Dot(_) | HeadKind::Cosine(_));
    let dim = record.embedding_dim.get();
    if is_embedding_head && dim != head.channels {
        let error = Status::BundleContent.about("numbers of an embedding differ from the channels");
        return Err(error.numbers(dim.into(), head.channels.into()));
    }
    if dim == 0 {
        zero("unit length of no embeddings", record.embedding_unit.to_bytes())?;
        return Ok(None);
    }
    let unit = value("unit length flag of embeddings", record.embedding_unit, &FLAGS)?;
    let embedding = EmbeddingSpace { dim, unit };
    embedding.check()?;
    Ok(Some(embedding))
}

/// Value at position `code` of `table`.
pub(super) fn value<T: Copy>(what: &'static str, code: U32, table: &[T]) -> Result<T> {
    let found = usize::try_from(code.get()).ok().and_then(|index| table.get(index));
    let last = table.len().saturating_sub(1) as u32;
    found.copied().ok_or_else(|| unknown(what, code.get(), last))
}

pub(super) fn unknown(what: &'static str, code: u32, last: u32) -> crate::status::Error {
    Status::BundleContent.about(what).numbers(code.into(), last.into())
}

/// A field that has no meaning here must be zero, so that equal models have equal bytes.
pub(super) fn zero(what: &'static str, bytes: [u8; 4]) -> Result<()> {
    if bytes != [0; 4] {
        return Err(Status::BundleContent.about(what));
    }
    Ok(())
}

pub(super) fn filled<'a>(what: &'static str, field: &'a [u8], required: bool) -> Result<&'a str> {
    let text = text(what, field)?;
    if required && text.is_empty() {
        return Err(Status::BundleContent.about(what));
    }
    Ok(text)
}

fn grid_side(what: &'static str, side: U32) -> Result<u32> {
    let side = side.get();
    if side == 0 || side > MAX_GRID_SIDE {
        return Err(Status::BundleContent.about(what).numbers(side.into(), MAX_GRID_SIDE.into()));
    }
    Ok(side)
}

#[cfg(feature = "std")]
impl Manifest<'_> {
    /// The record for these values. Only what the record cannot hold is checked here; the writer
    /// reads back what it wrote.
    pub(super) fn encode(&self) -> Result<ManifestRecord> {
        if let Some(space) = self.embedding {
            space.check()?;
        }
        let (input_element, quantization) = match self.input.element {
            InputType::F32 => (ELEMENT_F32, Quantization { scale: 0.0, zero_point: 0 }),
            InputType::U8(quantization) => (ELEMENT_U8, quantization),
            InputType::I8(quantization) => (ELEMENT_I8, quantization),
        };
        let (fit, short_side, anchor) = match self.preprocess.fit {
            Fit::Stretch => (FIT_STRETCH, 0, Anchor::Center),
            Fit::Letterbox(anchor) => (FIT_LETTERBOX, 0, anchor),
            Fit::ShortSide { size, anchor } => (FIT_SHORT_SIDE, size, anchor),
        };
        let (head_kind, weight_type) = match self.head.kind {
            HeadKind::Logits => (HEAD_LOGITS, WeightType::F32),
            HeadKind::Linear(weight_type) => (HEAD_LINEAR, weight_type),
            HeadKind::Dot(weight_type) => (HEAD_DOT, weight_type),
            HeadKind::Cosine(weight_type) => (HEAD_COSINE, weight_type),
        };
        let cosine_scale = match self.head.kind {
            HeadKind::Cosine(_) => self.head.cosine_scale,
            _ if self.head.cosine_scale == 1.0 => 0.0,
            _ => return Err(Status::BundleContent.about("scale of the cosines of another head")),
        };
        let (embedding_dim, embedding_unit) =
            self.embedding.map_or((0, false), |space| (space.dim, space.unit));
        Ok(ManifestRecord {
            model_name: text_field("model name", self.model_name)?,
            license: text_field("licence", self.license)?,
            input_name: text_field("name of the network's input", self.input_name)?,
            output_name: text_field("name of the network's output", self.output_name)?,
            input_width: self.input.width.into(),
            input_height: self.input.height.into(),
            input_layout: code(self.input.layout, &LAYOUTS)?,
            input_element: input_element.into(),
            input_scale: quantization.scale.into(),
            input_zero_point: quantization.zero_point.into(),
            fit: fit.into(),
            short_side: short_side.into(),
            anchor: code(anchor, &ANCHORS)?,
            filter: code(self.preprocess.filter, &FILTERS)?,
            antialias: code(self.preprocess.antialias, &FLAGS)?,
            order: code(self.preprocess.order, &ORDERS)?,
            pixel_scale: self.preprocess.scale.into(),
            mean: self.preprocess.mean.map(F32::new),
            std: self.preprocess.std.map(F32::new),
            pad: self.preprocess.pad.map(F32::new),
            head_kind: head_kind.into(),
            weight_type: code(weight_type, &WEIGHT_TYPES)?,
            classes: self.head.classes.into(),
            channels: self.head.channels.into(),
            align_corners: code(self.head.align_corners, &FLAGS)?,
            confidence_scale: self.head.confidence_scale.into(),
            grid_height: self.grid_height.into(),
            grid_width: self.grid_width.into(),
            output_layout: code(self.output_layout, &LAYOUTS)?,
            backbone: code(self.backbone, &BACKBONES)?,
            precision: code(self.precision, &PRECISIONS)?,
            cosine_scale: cosine_scale.into(),
            embedding_dim: embedding_dim.into(),
            embedding_unit: code(embedding_unit, &FLAGS)?,
            reserved: [0; 48],
        })
    }
}

/// Position of `value` in `table`.
#[cfg(feature = "std")]
pub(super) fn code<T: PartialEq>(value: T, table: &[T]) -> Result<U32> {
    let index = table.iter().position(|entry| *entry == value);
    let code = index.and_then(|index| u32::try_from(index).ok());
    code.map(U32::new).ok_or(Status::BundleContent.about("value without a code"))
}
