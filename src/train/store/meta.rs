//! What a store says about itself.

use super::file::{Contents, Plane};
use crate::limits::{MAX_FEATURES, MAX_GRID_SIDE, MAX_INPUT_SIDE};
use crate::map::Layout;
use crate::spec::{
    Anchor, ChannelOrder, Filter, Fit, Input, InputType, Precision, Preprocess, Quantization,
};
use crate::train::pictures::{Tap, View, Window};
use safetensors::Dtype;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::collections::BTreeSet;
use std::format;
use std::string::{String, ToString};
use std::vec;
use std::vec::Vec;

/// Version of the format.
const FORMAT: u32 = 1;

/// The metadata of a store.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StoreMeta {
    format: u32,
    /// Version of this library that made the file.
    zsseg: String,
    /// SHA-256 in hexadecimal of the network and of how pictures are given to it.
    backbone_sha256: String,
    /// How pictures are given to the network.
    backbone: BackboneRecord,
    /// Of the random choices of views.
    seed: u64,
    /// Which part of the pictures these are.
    shard: Shard,
    taps: Vec<TapRecord>,
    views: Vec<ViewRecord>,
    /// Names of the pictures.
    pictures: Vec<String>,
}

/// A part of a list of pictures: those whose place in it, counted from 0, gives `number - 1` when
/// divided by `of`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Shard {
    /// From 1 to `of`.
    pub number: usize,
    /// How many parts there are.
    pub of: usize,
}

impl Shard {
    /// All pictures.
    pub const WHOLE: Shard = Shard { number: 1, of: 1 };

    /// Whether the picture at `place` in the whole list belongs to this part.
    pub fn has(&self, place: usize) -> bool {
        place.checked_rem(self.of).is_some_and(|rest| rest + 1 == self.number)
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct TapRecord {
    name: String,
    rows: usize,
    columns: usize,
    channels: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct ViewRecord {
    left: f32,
    top: f32,
    side: f32,
    flip: bool,
    colour: f32,
}

/// How pictures are given to a network, as text and numbers.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BackboneRecord {
    height: u32,
    width: u32,
    channels_last: bool,
    /// `f32`, `u8` or `i8`.
    element: String,
    /// Scale and zero point of a quantised input.
    quantization: Option<(f32, i32)>,
    float_activations: bool,
    /// `stretch`, `letterbox` or `short_side`.
    fit: String,
    short_side: Option<u32>,
    top_left: bool,
    bicubic: bool,
    antialias: bool,
    bgr: bool,
    scale: f32,
    mean: [f32; 3],
    std: [f32; 3],
    pad: [f32; 3],
}

impl BackboneRecord {
    /// What `input` and `preprocess` say, and how the network computes.
    pub fn new(input: &Input, preprocess: &Preprocess, precision: Precision) -> BackboneRecord {
        let (element, quantization) = match input.element {
            InputType::F32 => ("f32", None),
            InputType::U8(Quantization { scale, zero_point }) => ("u8", Some((scale, zero_point))),
            InputType::I8(Quantization { scale, zero_point }) => ("i8", Some((scale, zero_point))),
        };
        let (fit, short_side, anchor) = match preprocess.fit {
            Fit::Stretch => ("stretch", None, Anchor::TopLeft),
            Fit::Letterbox(anchor) => ("letterbox", None, anchor),
            Fit::ShortSide { size, anchor } => ("short_side", Some(size), anchor),
        };
        BackboneRecord {
            height: input.height,
            width: input.width,
            channels_last: input.layout == Layout::Hwc,
            element: element.to_string(),
            quantization,
            float_activations: precision == Precision::FloatActivations,
            fit: fit.to_string(),
            short_side,
            top_left: anchor == Anchor::TopLeft,
            bicubic: preprocess.filter == Filter::Bicubic,
            antialias: preprocess.antialias,
            bgr: preprocess.order == ChannelOrder::Bgr,
            scale: preprocess.scale,
            mean: preprocess.mean,
            std: preprocess.std,
            pad: preprocess.pad,
        }
    }

    /// Rows and columns of the network's input.
    pub fn frame(&self) -> [usize; 2] {
        [self.height as usize, self.width as usize]
    }

    /// Whether the elements of the input have their channels last.
    pub(super) fn channels_last(&self) -> bool {
        self.channels_last
    }

    /// Type of the input's elements.
    pub(super) fn dtype(&self) -> Dtype {
        match self.element.as_str() {
            "u8" => Dtype::U8,
            "i8" => Dtype::I8,
            _ => Dtype::F32,
        }
    }

    /// Whether the frames of two networks show the same part of every picture: both stretch it,
    /// or bring it in the same way to frames that differ in scale only.
    pub(super) fn shows_the_same_as(&self, other: &BackboneRecord) -> bool {
        let same_way = self.fit == other.fit && self.top_left == other.top_left;
        let cross = |a: u32, b: u32| u64::from(a) * u64::from(b);
        let same_frame = cross(self.width, other.height) == cross(self.height, other.width);
        let same_side = match (self.short_side, other.short_side) {
            (Some(own), Some(others)) => cross(own, other.height) == cross(others, self.height),
            (None, None) => true,
            _ => false,
        };
        self.fit == "stretch" && same_way || same_way && same_frame && same_side
    }

    /// How pictures are brought to that size; `None` for a text that names no such way.
    pub fn fit(&self) -> Option<Fit> {
        let anchor = if self.top_left { Anchor::TopLeft } else { Anchor::Center };
        match (self.fit.as_str(), self.short_side) {
            ("stretch", None) => Some(Fit::Stretch),
            ("letterbox", None) => Some(Fit::Letterbox(anchor)),
            ("short_side", Some(size)) => Some(Fit::ShortSide { size, anchor }),
            _ => None,
        }
    }
}

/// SHA-256, in hexadecimal, of the bytes of a network and of how pictures are given to it.
pub fn backbone_sha256(onnx: &[u8], record: &BackboneRecord) -> String {
    let text = serde_json::to_vec(record).unwrap_or_default();
    let mut hash = Sha256::new();
    hash.update(Sha256::digest(onnx));
    hash.update(text);
    hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
}

impl StoreMeta {
    /// Metadata of a store of `pictures` (a part of them if `shard` is one), with the views and
    /// the seed that colours are distorted by.
    pub fn new(
        (backbone_sha256, backbone): (String, BackboneRecord),
        taps: &[Tap],
        (views, seed): (&[View], u64),
        shard: Shard,
        pictures: Vec<String>,
    ) -> StoreMeta {
        let tap = |tap: &Tap| TapRecord {
            name: tap.name.clone(),
            rows: tap.height,
            columns: tap.width,
            channels: tap.channels,
        };
        let view = |view: &View| ViewRecord {
            left: view.window.left,
            top: view.window.top,
            side: view.window.side,
            flip: view.flip,
            colour: view.colour,
        };
        StoreMeta {
            format: FORMAT,
            zsseg: env!("CARGO_PKG_VERSION").to_string(),
            backbone_sha256,
            backbone,
            seed,
            shard,
            taps: taps.iter().map(tap).collect(),
            views: views.iter().map(view).collect(),
            pictures,
        }
    }

    /// SHA-256 in hexadecimal of the network and of how pictures are given to it.
    pub fn backbone_sha256(&self) -> &str {
        &self.backbone_sha256
    }

    /// How pictures are given to the network.
    pub fn backbone(&self) -> &BackboneRecord {
        &self.backbone
    }

    /// Names of the pictures.
    pub fn pictures(&self) -> &[String] {
        &self.pictures
    }

    /// Of the random choices of views.
    pub fn seed(&self) -> u64 {
        self.seed
    }

    /// Which part of a list of pictures these are.
    pub fn shard(&self) -> Shard {
        self.shard
    }

    /// The tensors that features were read from.
    pub fn taps(&self) -> Vec<Tap> {
        let tap = |tap: &TapRecord| Tap {
            name: tap.name.clone(),
            height: tap.rows,
            width: tap.columns,
            channels: tap.channels,
        };
        self.taps.iter().map(tap).collect()
    }

    /// The views.
    pub fn views(&self) -> Vec<View> {
        let view = |view: &ViewRecord| View {
            window: Window { left: view.left, top: view.top, side: view.side },
            flip: view.flip,
            colour: view.colour,
        };
        self.views.iter().map(view).collect()
    }

    /// The same for other pictures.
    pub(super) fn of_pictures(&self, shard: Shard, pictures: Vec<String>) -> StoreMeta {
        StoreMeta { shard, pictures, ..self.clone() }
    }

    /// What differs between two stores, beside their pictures.
    pub(super) fn differs_in(&self, wanted: &StoreMeta) -> Option<String> {
        if self.backbone_sha256 != wanted.backbone_sha256 || self.backbone != wanted.backbone {
            return Some(format!(
                "made by another backbone: sha256 {}, this one is {}",
                self.backbone_sha256, wanted.backbone_sha256
            ));
        }
        if self.taps != wanted.taps {
            let names = |taps: &[TapRecord]| {
                taps.iter().map(|tap| tap.name.as_str()).collect::<Vec<_>>().join(", ")
            };
            let (found, other) = (names(&self.taps), names(&wanted.taps));
            return Some(format!("it has the taps {found}, not {other}, or at other grids"));
        }
        if self.views != wanted.views || self.seed != wanted.seed {
            return Some("it has other views, or views of another seed".to_string());
        }
        (self.zsseg != wanted.zsseg)
            .then(|| format!("made by zsseg {}, this is {}", self.zsseg, wanted.zsseg))
    }
}

impl Contents for StoreMeta {
    const KIND: &'static str = "feature store";

    fn rows(&self) -> [usize; 2] {
        [self.pictures.len(), self.views.len()]
    }

    fn planes(&self) -> Vec<Plane> {
        let plane = |tap: &TapRecord| Plane {
            name: format!("tap.{}", tap.name),
            dtype: Dtype::F16,
            sides: vec![tap.rows, tap.columns, tap.channels],
        };
        self.taps.iter().map(plane).collect()
    }

    fn check(&self) -> Result<(), String> {
        if self.format != FORMAT {
            return Err(format!("format {}; this library reads {FORMAT}", self.format));
        }
        if self.shard.of == 0 || self.shard.number == 0 || self.shard.number > self.shard.of {
            return Err(format!("shard {} of {}", self.shard.number, self.shard.of));
        }
        let most = MAX_INPUT_SIDE as usize;
        if self.backbone.frame().iter().any(|side| *side == 0 || *side > most) {
            return Err("a frame of impossible sides".to_string());
        }
        if self.backbone.fit().is_none() {
            return Err(format!("no way to fit pictures is called \"{}\"", self.backbone.fit));
        }
        check_taps(&self.taps)?;
        if self.views().first() != Some(&View::PLAIN) {
            return Err("the first view is not the plain picture".to_string());
        }
        let unsound = |view: &View| view.check().is_err();
        if let Some(view) = self.views().iter().find(|view| unsound(view)) {
            return Err(format!("an impossible view: {view:?}"));
        }
        let mut names = BTreeSet::new();
        match self.pictures.iter().find(|name| name.is_empty() || !names.insert(name.as_str())) {
            Some(name) => Err(format!("picture \"{name}\" has no name, or is there twice")),
            None => Ok(()),
        }
    }

    fn difference(&self, wanted: &StoreMeta) -> Option<String> {
        if let Some(reason) = self.differs_in(wanted) {
            return Some(reason);
        }
        if self.shard != wanted.shard {
            let Shard { number, of } = self.shard;
            return Some(format!("it has shard {number} of {of}"));
        }
        let mut pairs = self.pictures.iter().zip(&wanted.pictures);
        if let Some((found, other)) = pairs.find(|(found, other)| found != other) {
            return Some(format!("it has other pictures: \"{found}\" where \"{other}\" should be"));
        }
        let (found, other) = (self.pictures.len(), wanted.pictures.len());
        (found != other).then(|| format!("it has {found} pictures, not {other}"))
    }
}

fn check_taps(taps: &[TapRecord]) -> Result<(), String> {
    let mut names = BTreeSet::new();
    for tap in taps {
        let sides =
            [tap.rows, tap.columns].map(|side| (1..=MAX_GRID_SIDE as usize).contains(&side));
        let channels = (1..=MAX_FEATURES as usize).contains(&tap.channels);
        if !names.insert(&tap.name) || sides.contains(&false) || !channels {
            return Err(format!("tap \"{}\" is there twice, or of impossible size", tap.name));
        }
    }
    match taps.is_empty() {
        true => Err("no taps".to_string()),
        false => Ok(()),
    }
}
