//! What `inspect` tells: as text and as JSON.

use super::model::ModelFile;
use super::segment::hex;
use super::words;
use super::zero_shot::ZeroShotReport;
use crate::backbone::Coverage;
use crate::bundle::{Bundle, Section};
use crate::image::Preprocessor;
use crate::limits::Limits;
use crate::plan::{Element, Plan};
use crate::segmenter::Segmenter;
use crate::status::Result;
use serde::Serialize;
use sha2::{Digest, Sha256};
use std::format;
use std::string::{String, ToString};
use std::vec::Vec;

/// Lines of the model card that the text shows.
const CARD_LINES: usize = 8;

/// The document of `inspect --json`.
#[derive(Serialize)]
pub struct Description {
    /// The file.
    path: String,
    /// Its length.
    bytes: usize,
    /// Identity of the bundle: SHA-256 of its section table, in hexadecimal.
    sha256: String,
    /// Whether every section matches its checksum.
    pub intact: bool,
    /// Name of the model.
    name: String,
    /// Licence of the weights, an SPDX expression.
    license: String,
    /// The sections in the order of the file.
    sections: Vec<SectionReport>,
    /// The network's input, in words.
    input: String,
    /// How a frame becomes that input, in words.
    preprocessing: String,
    /// The network's output, in words.
    output: String,
    /// What turns it into classes, in words.
    head: String,
    /// What runs the network, in words.
    backbone: String,
    /// What is there for classes that may be added.
    zero_shot: ZeroShotReport,
    /// The classes in the order of their indices.
    classes: Vec<ClassReport>,
    /// What a caller must provide.
    pub arena: Option<Arena>,
    /// What of the network runs in integers; `null` without a network, or if it was not loaded.
    pub integers: Option<Integers>,
    /// Why the network cannot be loaded.
    pub load_error: Option<String>,
    /// The model card, Markdown.
    model_card: Option<String>,
    /// Where the weights come from; a string if it is not the JSON that it should be.
    provenance: Option<serde_json::Value>,
}

#[derive(Serialize)]
struct SectionReport {
    name: &'static str,
    kind: u32,
    offset: u64,
    bytes: usize,
    /// The checksum that the table gives, in hexadecimal.
    sha256: String,
    /// Whether the contents match it.
    intact: bool,
}

impl From<Section<'_>> for SectionReport {
    fn from(section: Section<'_>) -> SectionReport {
        let found: [u8; 32] = Sha256::digest(section.bytes).into();
        SectionReport {
            name: section.name,
            kind: section.kind,
            offset: section.offset,
            bytes: section.bytes.len(),
            sha256: hex(&section.sha256),
            intact: found == section.sha256,
        }
    }
}

#[derive(Serialize)]
struct ClassReport {
    index: u32,
    name: String,
    /// Red, green, blue.
    color: [u8; 3],
    /// Whether it was labelled in training.
    seen: bool,
    /// Whether it stands for "none of the others".
    background: bool,
    /// Added to its logit.
    bias: f32,
}

/// The arena for one size of frames, in bytes.
#[derive(Serialize)]
pub struct Arena {
    max_frame_width: u32,
    max_frame_height: u32,
    /// Classes that may be added.
    extra_classes: u32,
    /// Resampling tables and rows of the frame.
    preprocessing_bytes: usize,
    /// Activations of a compiled network; 0 for an engine with memory of its own.
    network_bytes: usize,
    /// The list of classes, added rows, logits and pixels of a row.
    head_bytes: usize,
    /// What the caller must provide.
    total_bytes: usize,
}

impl Arena {
    /// The arena of a model.
    pub fn of(bundle: &Bundle<'_>, limits: &Limits) -> Result<Arena> {
        let total_bytes = Segmenter::arena_bytes(bundle, limits)?;
        let mut arena = crate::arena::Arena::counting();
        Preprocessor::carve(&mut arena, &bundle.input(), &bundle.preprocess(), limits)?;
        let preprocessing_bytes = arena.used_bytes();
        let plan = bundle.plan().map(Plan::new).transpose()?;
        let network_bytes = plan.map_or(0, |plan| plan.arena_bytes());
        Ok(Arena {
            max_frame_width: limits.max_frame_width,
            max_frame_height: limits.max_frame_height,
            extra_classes: limits.extra_classes,
            preprocessing_bytes,
            network_bytes,
            head_bytes: total_bytes.saturating_sub(preprocessing_bytes + network_bytes),
            total_bytes,
        })
    }
}

/// What arithmetic a network runs in.
#[derive(Serialize)]
pub struct Integers {
    /// Convolutions and matrix products in integer instructions.
    integer_nodes: u32,
    /// Those of whole numbers carried by floats, with the integers' results.
    exact_nodes: u32,
    /// Those in floating point.
    float_nodes: u32,
    /// Multiply-accumulates per frame of each of the three.
    integer_macs: u64,
    exact_macs: u64,
    float_macs: u64,
    /// Activations rounded to integers while carried by floats.
    emulated_quantizations: u32,
}

impl From<Coverage> for Integers {
    fn from(coverage: Coverage) -> Integers {
        Integers {
            integer_nodes: coverage.integer_nodes,
            exact_nodes: coverage.exact_nodes,
            float_nodes: coverage.float_nodes,
            integer_macs: coverage.integer_macs,
            exact_macs: coverage.exact_macs,
            float_macs: coverage.float_macs,
            emulated_quantizations: coverage.emulated_quantizations,
        }
    }
}

impl Integers {
    /// Of a compiled network: every step is what it says.
    ///
    /// # Errors
    /// None for a plan that was checked.
    pub fn of_plan(plan: &Plan<'_>) -> Result<Integers> {
        let mut coverage = Coverage::default();
        for step in plan.steps().filter(|step| step.macs > 0) {
            let (nodes, macs) = match plan.tensor(step.inputs[0])?.element {
                Element::U8 => (&mut coverage.integer_nodes, &mut coverage.integer_macs),
                Element::F32 => (&mut coverage.float_nodes, &mut coverage.float_macs),
            };
            *nodes += 1;
            *macs += step.macs;
        }
        Ok(Integers::from(coverage))
    }
}

impl Description {
    /// Everything that needs no network; the rest is empty.
    pub fn of(file: &ModelFile, bundle: &Bundle<'_>, limits: &Limits) -> Description {
        let sections: Vec<SectionReport> = bundle.sections().map(SectionReport::from).collect();
        let manifest = bundle.manifest();
        Description {
            path: file.path.display().to_string(),
            bytes: file.bytes().len(),
            sha256: hex(&bundle.sha256()),
            intact: sections.iter().all(|section| section.intact),
            name: bundle.model_name().to_string(),
            license: bundle.license().to_string(),
            sections,
            input: words::input(manifest),
            preprocessing: words::preprocessing(manifest),
            output: words::output(manifest),
            head: words::head(manifest),
            backbone: words::backbone(manifest),
            zero_shot: ZeroShotReport::of(bundle, limits),
            classes: classes(bundle),
            arena: None,
            integers: None,
            load_error: None,
            model_card: bundle.model_card().map(str::to_string),
            provenance: bundle.provenance().map(|text| {
                serde_json::from_str(text).unwrap_or(serde_json::Value::String(text.to_string()))
            }),
        }
    }

    /// The description for people.
    pub fn text(&self) -> String {
        let verdict = if self.intact { "all match" } else { "DAMAGED" };
        let mut text = format!(
            "{}\n  model      {}\n  licence    {}\n  size       {} bytes\n  identity   {}\n  \
             checksums  {verdict}\n\n",
            self.path, self.name, self.license, self.bytes, self.sha256
        );
        text += &self.sections_text();
        for (title, content) in [
            ("input", &self.input),
            ("preprocess", &self.preprocessing),
            ("network", &self.backbone),
            ("output", &self.output),
            ("head", &self.head),
        ] {
            text += &format!("  {title:10} {content}\n");
        }
        text += &self.zero_shot.text();
        text += &self.integers_text();
        text += &self.arena_text();
        text += &self.classes_text();
        text += &self.card_text();
        text
    }

    fn sections_text(&self) -> String {
        let mut text = format!("  {:15} {:>10} {:>10}  sha256\n", "section", "offset", "bytes");
        for SectionReport { name, offset, bytes, sha256, intact, .. } in &self.sections {
            let mark = if *intact { "" } else { "  DOES NOT MATCH" };
            text += &format!("  {name:15} {offset:>10} {bytes:>10}  {sha256}{mark}\n");
        }
        text + "\n"
    }

    fn integers_text(&self) -> String {
        if let Some(error) = &self.load_error {
            return format!("  {:10} cannot be loaded: {error}\n", "integers");
        }
        let Some(found) = &self.integers else { return String::new() };
        let total = (found.integer_macs + found.exact_macs + found.float_macs).max(1) as f64;
        let percent = |macs: u64| macs as f64 / total * 100.0;
        format!(
            "  {:10} {:.1} million multiply-accumulates: {:.1} % in integers ({} nodes){}, {:.1} % in \
             floats ({} nodes){}\n",
            "arithmetic",
            total / 1e6,
            percent(found.integer_macs),
            found.integer_nodes,
            match found.exact_nodes {
                0 => String::new(),
                nodes => format!(
                    ", {:.1} % in whole numbers carried exactly by floats ({nodes} nodes)",
                    percent(found.exact_macs)
                ),
            },
            percent(found.float_macs),
            found.float_nodes,
            match found.emulated_quantizations {
                0 => String::new(),
                count => format!("; {count} activations rounded to their grid"),
            }
        )
    }

    fn arena_text(&self) -> String {
        let Some(arena) = &self.arena else { return String::new() };
        let network = match arena.network_bytes {
            0 => "; the engine has memory of its own".to_string(),
            bytes => format!(", network {bytes}"),
        };
        format!(
            "  {:10} {} bytes for frames up to {}x{} and {} more classes: preprocessing {}, head \
             and mask {}{network}\n\n",
            "arena",
            arena.total_bytes,
            arena.max_frame_width,
            arena.max_frame_height,
            arena.extra_classes,
            arena.preprocessing_bytes,
            arena.head_bytes
        )
    }

    fn classes_text(&self) -> String {
        let names = self.classes.iter().map(|class| class.name.chars().count());
        let column = names.chain([5]).max().unwrap_or(0);
        let mut text = format!("  {:>5} {:column$} color   notes\n", "class", "name");
        for ClassReport { index, name, color, seen, background, bias } in &self.classes {
            let mut notes = Vec::new();
            if !seen {
                notes.push("unseen".to_string());
            }
            if *background {
                notes.push("background".to_string());
            }
            if *bias != 0.0 {
                notes.push(format!("bias {bias}"));
            }
            let line = format!("  {index:>5} {name:column$} #{} {}", hex(color), notes.join(", "));
            text += line.trim_end();
            text += "\n";
        }
        text
    }

    fn card_text(&self) -> String {
        let Some(card) = &self.model_card else { return String::new() };
        let mut text = String::from("\n");
        for line in card.lines().take(CARD_LINES) {
            text += &format!("  | {line}\n");
        }
        if card.lines().count() > CARD_LINES {
            text += "  | ... (--extract MODEL_CARD - shows all)\n";
        }
        text
    }
}

fn classes(bundle: &Bundle<'_>) -> Vec<ClassReport> {
    let report = |(class, index): (crate::spec::Class<'_>, u32)| ClassReport {
        index,
        name: class.name.to_string(),
        color: class.color,
        seen: class.seen,
        background: class.background,
        bias: class.bias,
    };
    bundle.classes().zip(0..).map(report).collect()
}
