//! The picture on show and the segmenter that works on it.
//!
//! The network runs once per picture. Its features are kept, so that a change of classes, decision
//! or fusion takes the head and the mask only.

use super::http::Failure;
use crate::bundle::Bundle;
use crate::classes::NewClass;
use crate::cli::model::arena_for;
use crate::cli::suggest::{nearest_words, unknown_word};
use crate::head::{Output, UNLABELED_U16};
use crate::image::Image;
use crate::limits::{Limits, MAX_CLASSES};
use crate::map::Map;
use crate::segmenter::{ClassSource, FusionSettings, Meaning, Segmenter};
use crate::spec::{Decision, HeadKind};
use crate::status::{Error, Result, Status};
use crate::trace::StageTimes;
use crate::viz::{Palette, Picture};
use std::string::{String, ToString};
use std::vec::Vec;
use std::{format, vec};

/// Classes that can be added.
const EXTRA_CLASSES: u32 = 64;

/// Limits for pictures up to `max_side` pixels a side; with fusion and added classes where the
/// model allows them.
pub fn limits(bundle: &Bundle<'_>, max_side: u32, threads: u32) -> Limits {
    let head = bundle.head();
    let plain = Limits { threads, ..Limits::for_frames(max_side, max_side) };
    let extra_classes = match head.kind {
        HeadKind::Logits => 0,
        _ => EXTRA_CLASSES.min(MAX_CLASSES.saturating_sub(head.classes)),
    };
    let wanted = Limits { extra_classes, fusion: true, ..plain };
    match arena_for(bundle, &wanted) {
        Ok(_) => wanted,
        Err(_) => Limits { fusion: false, ..wanted },
    }
}

/// A class as it occurs in the mask.
pub struct Share {
    /// Its label; `None` for the pixels without a class.
    pub label: Option<u16>,
    /// Its name.
    pub name: String,
    /// Its pixels.
    pub pixels: u64,
    /// Mean confidence of its pixels, 0 to 1.
    pub mean_confidence: f64,
}

/// The picture on show.
pub struct Scene {
    /// Its pixels.
    pub picture: Picture,
    /// File to pixels, in milliseconds.
    pub decode_ms: f64,
    /// Times of the network's latest run, and what came before it.
    pub network: StageTimes,
    /// Times of the latest head and mask.
    pub decided: StageTimes,
    /// The class of every pixel.
    pub labels: Vec<u16>,
    /// Its probability, 255 = 1.
    pub confidence: Vec<u8>,
    features: Vec<f32>,
}

impl Scene {
    /// Columns and rows.
    pub fn size(&self) -> (u32, u32) {
        (self.picture.width(), self.picture.height())
    }
}

/// What the page works on.
pub struct Studio<'a> {
    segmenter: Segmenter<'a>,
    fusible: bool,
    fusion: Option<FusionSettings>,
    scene: Option<Scene>,
    network_runs: u64,
}

impl<'a> Studio<'a> {
    /// An empty studio. `fusible` as the segmenter's limits say.
    pub fn new(segmenter: Segmenter<'a>, fusible: bool) -> Studio<'a> {
        Studio { segmenter, fusible, fusion: None, scene: None, network_runs: 0 }
    }

    /// The segmenter, to be asked only.
    pub fn segmenter(&self) -> &Segmenter<'a> {
        &self.segmenter
    }

    /// Whether masks can be fused with segments.
    pub fn fusible(&self) -> bool {
        self.fusible
    }

    /// How masks are fused with segments.
    pub fn fusion(&self) -> Option<FusionSettings> {
        self.fusion
    }

    /// How often the network has run.
    pub fn network_runs(&self) -> u64 {
        self.network_runs
    }

    /// The picture on show.
    ///
    /// # Errors
    /// 409 before the first.
    pub fn scene(&self) -> core::result::Result<&Scene, Failure> {
        let none = || Failure::new(409, "there is no picture yet: POST one to /api/picture");
        self.scene.as_ref().ok_or_else(none)
    }

    /// Takes the picture away, as after an internal error.
    pub fn clear(&mut self) {
        self.scene = None;
    }

    /// Shows another picture; the one before stays on an error.
    pub fn show(&mut self, picture: Picture, decode_ms: f64) -> Result<()> {
        let pixels = picture.width() as usize * picture.height() as usize;
        let mut scene = Scene {
            picture,
            decode_ms,
            network: StageTimes::default(),
            decided: StageTimes::default(),
            labels: vec![UNLABELED_U16; pixels],
            confidence: vec![0; pixels],
            features: Vec::new(),
        };
        self.run_network(&mut scene)?;
        self.scene = Some(scene);
        Ok(())
    }

    fn run_network(&mut self, scene: &mut Scene) -> Result<()> {
        let Scene { picture, labels, confidence, .. } = scene;
        let width = picture.width() as usize;
        let frame = Image::rgb8(picture.rgb(), picture.width(), picture.height())?;
        let mut output = Output::labels_u16(labels, width).with_confidence(confidence, width);
        self.segmenter.segment(&frame, &mut output)?;
        self.network_runs += 1;
        scene.network = self.segmenter.stage_times();
        scene.decided = scene.network;
        scene.features.clear();
        scene.features.extend_from_slice(self.segmenter.features()?.data());
        Ok(())
    }

    /// Makes the mask anew from the kept features.
    fn decide(&mut self) -> Result<()> {
        let Some(mut scene) = self.scene.take() else { return Ok(()) };
        // Segments from a second output of the network need what the kept features do not hold.
        let second = self.segmenter.bundle().second_output().is_some();
        let done = match self.fusion.is_some() && second {
            true => self.run_network(&mut scene),
            false => self.run_head(&mut scene),
        };
        self.scene = Some(scene);
        done
    }

    fn run_head(&mut self, scene: &mut Scene) -> Result<()> {
        let Scene { picture, labels, confidence, features, .. } = scene;
        let manifest = self.segmenter.bundle().manifest();
        let map = Map::new(
            features,
            manifest.grid_height as usize,
            manifest.grid_width as usize,
            manifest.head.channels as usize,
            manifest.output_layout,
        )?;
        let (width, height) = (picture.width(), picture.height());
        let stride = width as usize;
        let mut output = Output::labels_u16(labels, stride).with_confidence(confidence, stride);
        self.segmenter.segment_features(&map, width, height, &mut output)?;
        scene.decided = self.segmenter.stage_times();
        Ok(())
    }

    /// Adds a class by a word.
    pub fn add_class(&mut self, name: &str, word: &str) -> core::result::Result<(), Failure> {
        let source = ClassSource::Meaning(Meaning::Word(word));
        let class = NewClass::named(name);
        match self.segmenter.add_class(&class, &source) {
            Ok(_) => Ok(self.decide()?),
            Err(error) if error.status() == Status::UnknownWord => Err(self.unknown_word(word)),
            Err(error) if error.status() == Status::ClassExists => {
                Err(Failure::new(409, format!("there is a class called \"{name}\" already")))
            }
            Err(error) => Err(error.into()),
        }
    }

    fn unknown_word(&self, phrase: &str) -> Failure {
        let Some(words) = self.segmenter.bundle().words() else {
            return Failure::new(422, "the model has no word table");
        };
        let word = unknown_word(&words, phrase).unwrap_or(phrase);
        let near = nearest_words(&words, word).into_iter().map(ToString::to_string).collect();
        let text = format!("the model's table has no word \"{word}\"");
        Failure { suggestions: near, ..Failure::new(422, text) }
    }

    /// Removes a class.
    pub fn remove_class(&mut self, name: &str) -> core::result::Result<(), Failure> {
        let none = || Failure::new(404, format!("there is no class called \"{name}\""));
        let label = self.segmenter.find_class(name).ok_or_else(none)?;
        self.segmenter.remove_class(label)?;
        Ok(self.decide()?)
    }

    /// Changes how pixels are decided.
    pub fn set_decision(&mut self, decision: Decision) -> Result<()> {
        self.segmenter.set_decision(decision)?;
        self.decide()
    }

    /// Changes how masks are fused with segments.
    pub fn set_fusion(&mut self, fusion: Option<FusionSettings>) -> Result<()> {
        self.segmenter.set_fusion(fusion)?;
        self.fusion = fusion;
        self.decide()
    }

    /// Colours by label.
    pub fn palette(&self) -> Palette {
        let mut colors = vec![[0; 3]; self.segmenter.label_capacity()];
        for class in self.segmenter.classes() {
            if let Some(color) = colors.get_mut(usize::from(class.label)) {
                *color = class.color;
            }
        }
        Palette::of_classes(colors)
    }

    /// The classes that occur, the largest first, and last the pixels without a class.
    pub fn shares(&self, scene: &Scene) -> Vec<Share> {
        let places = self.segmenter.label_capacity();
        let mut sums = vec![(0u64, 0u64); places + 1];
        for (&label, &confidence) in scene.labels.iter().zip(&scene.confidence) {
            if let Some((pixels, sum)) = sums.get_mut(usize::from(label).min(places)) {
                *pixels += 1;
                *sum += u64::from(confidence);
            }
        }
        let share = |label: Option<u16>, name: &str| {
            let (pixels, sum) = sums.get(label.map_or(places, usize::from)).copied()?;
            let mean_confidence = sum as f64 / (255.0 * pixels as f64);
            let name = name.to_string();
            (pixels > 0).then_some(Share { label, name, pixels, mean_confidence })
        };
        let classes = self.segmenter.classes();
        let mut found: Vec<Share> =
            classes.filter_map(|class| share(Some(class.label), class.name)).collect();
        found.sort_by_key(|share| (core::cmp::Reverse(share.pixels), share.label));
        found.extend(share(None, ""));
        found
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Failure {
        let status = match error.status() {
            Status::ClassTableFull | Status::ClassExists => 409,
            Status::FrameSize | Status::LimitExceeded => 413,
            Status::InvalidArgument | Status::Unsupported | Status::UnknownWord => 422,
            _ => 500,
        };
        Failure::new(status, error.to_string())
    }
}
