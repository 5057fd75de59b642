//! What `segment` tells: as text and as JSON.

use crate::classes::{ClassInfo, Origin};
use crate::trace::StageTimes;
use serde::Serialize;
use std::collections::BTreeMap;
use std::format;
use std::string::{String, ToString};
use std::vec::Vec;

/// The document of `segment --json`.
#[derive(Serialize)]
pub struct Report {
    /// Version of zsseg.
    pub version: &'static str,
    /// The model.
    pub bundle: BundleReport,
    /// The pictures that were segmented, in the order of the command line.
    pub images: Vec<ImageReport>,
    /// The others.
    pub failed: Vec<FailedImage>,
}

/// The model that was used.
#[derive(Serialize)]
pub struct BundleReport {
    /// Its file.
    pub path: String,
    /// Its name.
    pub name: String,
    /// Licence of its weights, an SPDX expression.
    pub license: String,
    /// Identity of the bundle: SHA-256 of its section table, in hexadecimal.
    pub sha256: String,
}

/// One picture.
#[derive(Serialize)]
pub struct ImageReport {
    /// Its file.
    pub path: String,
    /// Columns of the picture and of all outputs.
    pub width: u32,
    /// Rows.
    pub height: u32,
    /// Where the time went.
    pub times_ms: Times,
    /// The classes that occur, the largest first.
    pub classes: Vec<ClassShare>,
    /// Pixels that no class was given to.
    pub unlabeled_pixels: u64,
    /// SHA-256, in hexadecimal, of the labels row by row: one byte each, or two (little endian)
    /// where there is room for more than 255 classes.
    pub mask_sha256: String,
    /// The files written, by kind: `mask`, `overlay`, `confidence`, `margin`, `unknown`.
    pub outputs: BTreeMap<&'static str, String>,
}

/// Times of one picture, in milliseconds.
#[derive(Serialize)]
pub struct Times {
    /// File to pixels.
    pub decode: f64,
    /// Pixels to network input.
    pub fetch: f64,
    /// The network.
    pub backbone: f64,
    /// The second network, where one finds the segments.
    pub affinity: f64,
    /// Features to logits.
    pub head: f64,
    /// Spectral segments and their fusion with the logits.
    pub fusion: f64,
    /// Logits to mask and confidence.
    pub upsample: f64,
    /// Encoding and writing of the outputs.
    pub write: f64,
}

impl Times {
    /// Times of the stages, and of what is around them.
    pub fn new(decode: f64, affinity: f64, stages: StageTimes) -> Times {
        Times {
            decode,
            affinity,
            fetch: ms(stages.fetch_ns),
            backbone: ms(stages.backbone_ns),
            head: ms(stages.head_ns),
            fusion: ms(stages.fusion_ns),
            upsample: ms(stages.upsample_ns),
            write: 0.0,
        }
    }

    fn segmenting(&self) -> f64 {
        self.fetch + self.backbone + self.affinity + self.head + self.fusion + self.upsample
    }
}

/// Nanoseconds as milliseconds.
pub fn ms(nanoseconds: u64) -> f64 {
    nanoseconds as f64 / 1e6
}

/// One class of a mask.
#[derive(Clone, Serialize)]
pub struct ClassShare {
    /// Its label.
    pub index: u32,
    /// Its name.
    pub name: String,
    /// Its pixels.
    pub pixels: u64,
    /// Its share of the picture, 0 to 1.
    pub share: f64,
    /// Mean probability of the class over its pixels, 0 to 1.
    pub mean_confidence: f64,
    /// Whether pixels of this class were labelled in training.
    pub seen: bool,
    /// Where its row of the classifier comes from: `bundle`, `row`, `embedding`, `word` or
    /// `generator`.
    pub origin: &'static str,
}

/// The word for an origin.
pub fn origin_name(origin: Origin) -> &'static str {
    match origin {
        Origin::Bundle => "bundle",
        Origin::Row => "row",
        Origin::Embedding => "embedding",
        Origin::Word => "word",
        Origin::Generator => "generator",
    }
}

impl ClassShare {
    /// A class with its pixels, their share of the picture and their mean confidence.
    pub fn of(class: &ClassInfo<'_>, pixels: u64, share: f64, mean_confidence: f64) -> ClassShare {
        ClassShare {
            index: class.label.into(),
            name: class.name.to_string(),
            pixels,
            share,
            mean_confidence,
            seen: class.seen,
            origin: origin_name(class.origin),
        }
    }

    /// What is special about the class: nothing, or that it was not seen in training and where
    /// its row comes from if not from the model.
    fn note(&self) -> String {
        match (self.seen, self.origin) {
            (true, "bundle") => String::new(),
            (false, "bundle") => "unseen".into(),
            (true, origin) => format!("by {origin}"),
            (false, origin) => format!("unseen, by {origin}"),
        }
    }

    /// The share for people.
    pub fn percent(&self) -> String {
        percent(self.share)
    }
}

fn percent(share: f64) -> String {
    match share {
        share if share > 0.0 && share < 0.0005 => "<0.1 %".into(),
        share => format!("{:.1} %", share * 100.0),
    }
}

/// A picture that could not be segmented.
#[derive(Serialize)]
pub struct FailedImage {
    /// Its file.
    pub path: String,
    /// The reason with its causes.
    pub error: String,
}

impl ImageReport {
    /// The summary for people.
    pub fn text(&self) -> String {
        let ImageReport { path, width, height, times_ms: times, .. } = self;
        let (total, network) = (times.segmenting(), times.backbone);
        let mut text =
            format!("{path}: {width}x{height}, {total:.1} ms ({network:.1} ms in the network)\n");
        let names = self.classes.iter().map(|class| class.name.chars().count());
        let column = names.chain([10]).max().unwrap_or(0);
        text +=
            &format!("  {:column$} {:>9} {:>8} {:>11}\n", "class", "pixels", "share", "confidence");
        for class in &self.classes {
            let ClassShare { name, pixels, mean_confidence, .. } = class;
            let (share, note) = (class.percent(), class.note());
            let line =
                format!("  {name:column$} {pixels:>9} {share:>8} {mean_confidence:>11.2}  {note}");
            text += line.trim_end();
            text += "\n";
        }
        if self.unlabeled_pixels > 0 {
            let pixels = f64::from(*width) * f64::from(*height);
            let share = percent(self.unlabeled_pixels as f64 / pixels);
            let count = self.unlabeled_pixels;
            text += &format!("  {:column$} {count:>9} {share:>8}\n", "(no class)");
        }
        for (kind, path) in &self.outputs {
            text += &format!("  {kind}: {path}\n");
        }
        text
    }
}
