//! What the page, or any other program, can ask for. Bodies and answers are JSON unless said
//! otherwise; a failure has a status from 400 on and `{"error": TEXT, "suggestions": [WORD...]}`.
//!
//! | request | does |
//! |---|---|
//! | `GET /` | the page |
//! | `GET /api/model` | model, classes, vacancies, number of words, decision, fusion |
//! | `GET /api/summary` | picture, share and mean confidence per class, times of the stages |
//! | `GET /api/picture` | the picture as bytes R G B, row by row |
//! | `GET /api/pixels` | labels (16 bits each, little endian), then confidences (8 bits each) |
//! | `GET /api/mask.png` | the mask as `zsseg segment` writes it; likewise `overlay.png` |
//! | `GET /api/confidence.png` | the confidences as `zsseg segment` writes them |
//! | `POST /api/picture` | shows the picture in the body: a file in any format that is read |
//! | `POST /api/sample` | shows the picture that the server was started with |
//! | `POST /api/classes` | `{"name": NAME, "word": WORD}` adds a class; default: the name |
//! | `DELETE /api/classes/NAME` | removes a class |
//! | `POST /api/decision` | the fields of [`DecisionBody`], each optional |
//! | `POST /api/fusion` | `{"mode": "off", "select", "vote" or "soft", "segments": 0 to 5}` |
//!
//! Every `POST` and `DELETE` answers like `GET /api/summary`.

use super::decode;
use super::http::{Failure, Head, Response, percent_decoded};
use super::studio::{Scene, Share, Studio};
use crate::classes::Origin;
use crate::cli::mask::LabelPlane;
use crate::cli::png;
use crate::cli::report::ms;
use crate::segmenter::FusionSettings;
use crate::spec::{Decision, Stacking, UnknownScore};
use crate::spectral::Fusion;
use crate::viz::{Picture, blend};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use std::format;
use std::string::String;
use std::time::Instant;
use std::vec::Vec;

/// Largest picture file, in bytes.
const MAX_PICTURE_BYTES: usize = 32 << 20;
/// Largest JSON document, in bytes.
const MAX_JSON_BYTES: usize = 64 << 10;

/// A request that has a meaning.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Call {
    /// `GET /`
    Page,
    /// `GET /api/model`
    Model,
    /// `GET /api/summary`
    Summary,
    /// `GET /api/picture`
    Picture,
    /// `GET /api/pixels`
    Pixels,
    /// `GET /api/mask.png`
    MaskPng,
    /// `GET /api/overlay.png`
    OverlayPng,
    /// `GET /api/confidence.png`
    ConfidencePng,
    /// `POST /api/picture`
    Show,
    /// `POST /api/sample`
    ShowSample,
    /// `POST /api/classes`
    AddClass,
    /// `DELETE /api/classes/NAME`
    RemoveClass(String),
    /// `POST /api/decision`
    Decide,
    /// `POST /api/fusion`
    Fuse,
}

impl Call {
    /// What a request asks for.
    ///
    /// # Errors
    /// 404 or 405.
    pub fn of(head: &Head) -> Result<Call, Failure> {
        let (get, post, delete) = Call::of_path(&head.path);
        let methods = [("GET", get), ("POST", post), ("DELETE", delete)];
        let allowed = methods.clone().map(|(name, call)| call.map(|_| name));
        let text = match allowed {
            [None, None, None] => return Err(Failure::new(404, "there is nothing at this path")),
            [Some(_), Some(_), _] => "GET, POST",
            [Some(_), ..] => "GET",
            [_, Some(_), _] => "POST",
            _ => "DELETE",
        };
        let mut found = methods.into_iter().filter(|(name, _)| *name == head.method);
        let refused = Failure::new(405, format!("this path takes {text}"));
        let refused = Failure { allow: Some(text), ..refused };
        found.next().and_then(|(_, call)| call).ok_or(refused)
    }

    fn of_path(path: &str) -> (Option<Call>, Option<Call>, Option<Call>) {
        match path {
            "/" => (Some(Call::Page), None, None),
            "/api/model" => (Some(Call::Model), None, None),
            "/api/summary" => (Some(Call::Summary), None, None),
            "/api/picture" => (Some(Call::Picture), Some(Call::Show), None),
            "/api/pixels" => (Some(Call::Pixels), None, None),
            "/api/mask.png" => (Some(Call::MaskPng), None, None),
            "/api/overlay.png" => (Some(Call::OverlayPng), None, None),
            "/api/confidence.png" => (Some(Call::ConfidencePng), None, None),
            "/api/sample" => (None, Some(Call::ShowSample), None),
            "/api/classes" => (None, Some(Call::AddClass), None),
            "/api/decision" => (None, Some(Call::Decide), None),
            "/api/fusion" => (None, Some(Call::Fuse), None),
            _ => {
                let name = path.strip_prefix("/api/classes/").filter(|name| !name.contains('/'));
                (None, None, name.and_then(percent_decoded).map(Call::RemoveClass))
            }
        }
    }

    /// Most bytes of the body.
    pub fn max_body_bytes(&self) -> usize {
        if *self == Call::Show { MAX_PICTURE_BYTES } else { MAX_JSON_BYTES }
    }
}

/// Body of `POST /api/classes`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ClassBody {
    name: String,
    word: Option<String>,
}

/// Body of `POST /api/decision`; what is left out stays as it is.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DecisionBody {
    /// Handicap of the seen classes: none, on logits, or on probabilities.
    stacking: Option<StackingName>,
    /// How large the handicap is.
    gamma: Option<f32>,
    /// Least confidence, 0 to 1.
    min_confidence: Option<f32>,
    /// Least lead over the runner-up, 0 to 1.
    min_margin: Option<f32>,
    /// Highest unknown score, 0 to 1.
    max_unknown: Option<f32>,
}

#[derive(Clone, Copy, Deserialize, PartialEq)]
#[serde(rename_all = "lowercase")]
enum StackingName {
    Off,
    Logits,
    Probabilities,
}

impl DecisionBody {
    fn over(&self, before: Decision) -> Decision {
        let (kind, gamma) = stacking(before.stacking);
        let gamma = self.gamma.unwrap_or(gamma);
        Decision {
            stacking: match self.stacking.unwrap_or(kind) {
                StackingName::Off => Stacking::Off,
                StackingName::Logits => Stacking::Logits(gamma),
                StackingName::Probabilities => Stacking::Probabilities(gamma),
            },
            min_confidence: self.min_confidence.unwrap_or(before.min_confidence),
            min_margin: self.min_margin.unwrap_or(before.min_margin),
            unknown: before.unknown,
            max_unknown: self.max_unknown.unwrap_or(before.max_unknown),
        }
    }
}

fn stacking(stacking: Stacking) -> (StackingName, f32) {
    match stacking {
        Stacking::Off => (StackingName::Off, 0.0),
        Stacking::Logits(gamma) => (StackingName::Logits, gamma),
        Stacking::Probabilities(gamma) => (StackingName::Probabilities, gamma),
    }
}

/// Body of `POST /api/fusion`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct FusionBody {
    mode: FusionName,
    segments: Option<u32>,
}

#[derive(Clone, Copy, Deserialize)]
#[serde(rename_all = "lowercase")]
enum FusionName {
    Off,
    Select,
    Vote,
    Soft,
}

impl FusionBody {
    /// With the usual value of each rule (methods.md 6.10).
    fn settings(&self) -> Option<FusionSettings> {
        let fusion = match self.mode {
            FusionName::Off => return None,
            FusionName::Select => Fusion::Select { threshold: 0.5 },
            FusionName::Vote => Fusion::Vote { agreement: 0.6 },
            FusionName::Soft => Fusion::Soft { mix: 0.5 },
        };
        let usual = FusionSettings::of(fusion);
        Some(FusionSettings { segments: self.segments.unwrap_or(usual.segments), ..usual })
    }
}

fn parsed<T: DeserializeOwned>(body: &[u8]) -> Result<T, Failure> {
    let bad =
        |error| Failure::new(400, format!("the body is not the JSON that is wanted: {error}"));
    serde_json::from_slice(body).map_err(bad)
}

/// Answers calls, one after another.
pub struct Api<'a> {
    /// What is worked on.
    pub studio: Studio<'a>,
    /// The picture of `POST /api/sample`.
    pub sample: Option<Picture>,
}

impl Api<'_> {
    /// Answers a call.
    ///
    /// # Errors
    /// 400, 409, 413, 415 or 422 for what cannot be done, 500 for an internal error.
    pub fn answer(&mut self, call: &Call, body: &[u8]) -> Result<Response, Failure> {
        match call {
            Call::Page => return Err(Failure::new(404, "the page lies elsewhere")),
            Call::Model => return Ok(Response::json(200, &self.model())),
            Call::Summary => {}
            Call::Picture => return self.raw_picture(),
            Call::Pixels => return self.pixels(),
            Call::MaskPng | Call::OverlayPng | Call::ConfidencePng => return self.png(call),
            Call::Show => self.show(body)?,
            Call::ShowSample => self.show_sample()?,
            Call::AddClass => {
                let ClassBody { name, word } = parsed(body)?;
                self.studio.add_class(&name, word.as_deref().unwrap_or(&name))?;
            }
            Call::RemoveClass(name) => self.studio.remove_class(name)?,
            Call::Decide => {
                let changes: DecisionBody = parsed(body)?;
                let decision = changes.over(self.studio.segmenter().decision());
                self.studio.set_decision(decision)?;
            }
            Call::Fuse => {
                let settings = parsed::<FusionBody>(body)?.settings();
                self.studio.set_fusion(settings)?;
            }
        }
        Ok(Response::json(200, &self.summary()))
    }

    fn show(&mut self, file: &[u8]) -> Result<(), Failure> {
        let start = Instant::now();
        let picture = decode::picture(file)?;
        Ok(self.studio.show(picture, start.elapsed().as_secs_f64() * 1e3)?)
    }

    fn show_sample(&mut self) -> Result<(), Failure> {
        let none = Failure::new(409, "the server was started without a picture");
        let sample = self.sample.clone().ok_or(none)?;
        Ok(self.studio.show(sample, 0.0)?)
    }

    fn model(&self) -> Value {
        let segmenter = self.studio.segmenter();
        let bundle = segmenter.bundle();
        let class = |class: crate::classes::ClassInfo<'_>| {
            let [red, green, blue] = class.color;
            json!({
                "label": class.label,
                "name": class.name,
                "color": format!("#{red:02x}{green:02x}{blue:02x}"),
                "seen": class.seen,
                "background": class.background,
                "enabled": class.enabled,
                "origin": origin(class.origin),
            })
        };
        let classes: Vec<Value> = segmenter.classes().map(class).collect();
        json!({
            "name": bundle.model_name(),
            "license": bundle.license(),
            "version": env!("CARGO_PKG_VERSION"),
            "classes": classes,
            "vacancies": segmenter.vacancies(),
            "words": bundle.words().map_or(0, |words| words.len()),
            "decision": decision(&segmenter.decision()),
            "fusible": self.studio.fusible(),
            "fusion": fusion(self.studio.fusion()),
            "sample": self.sample.is_some(),
        })
    }

    fn summary(&self) -> Value {
        let network_runs = self.studio.network_runs();
        let Ok(scene) = self.studio.scene() else {
            return json!({ "picture": null, "classes": [], "network_runs": network_runs });
        };
        let (width, height) = scene.size();
        let pixels = scene.labels.len() as f64;
        let share = |share: Share| {
            json!({
                "label": share.label,
                "name": share.label.map(|_| share.name),
                "pixels": share.pixels,
                "share": share.pixels as f64 / pixels,
                "mean_confidence": share.mean_confidence,
            })
        };
        let classes: Vec<Value> = self.studio.shares(scene).into_iter().map(share).collect();
        let sum: u64 = scene.confidence.iter().map(|&value| u64::from(value)).sum();
        json!({
            "picture": { "width": width, "height": height },
            "classes": classes,
            "mean_confidence": sum as f64 / (255.0 * pixels),
            "network_runs": network_runs,
            "times_ms": times(scene),
        })
    }

    fn raw_picture(&self) -> Result<Response, Failure> {
        let picture = &self.studio.scene()?.picture;
        Ok(Response::ok("application/octet-stream", picture.rgb().into()))
    }

    fn pixels(&self) -> Result<Response, Failure> {
        let scene = self.studio.scene()?;
        let mut bytes: Vec<u8> =
            scene.labels.iter().flat_map(|label| label.to_le_bytes()).collect();
        bytes.extend_from_slice(&scene.confidence);
        Ok(Response::ok("application/octet-stream", bytes))
    }

    fn png(&self, call: &Call) -> Result<Response, Failure> {
        let scene = self.studio.scene()?;
        let palette = self.studio.palette();
        let places = self.studio.segmenter().label_capacity();
        let bytes = match call {
            Call::MaskPng => {
                let labels = label_plane(&scene.labels, places);
                png::of_labels(&labels, scene.size(), &palette)
            }
            Call::OverlayPng => {
                png::of_picture(&blend(&scene.picture, &scene.labels, places, &palette)?)
            }
            _ => png::of_grey(&scene.confidence, scene.size()),
        };
        let bytes = bytes.map_err(|error| Failure::new(500, format!("{error:#}")))?;
        Ok(Response::ok("image/png", bytes))
    }
}

/// Narrow labels where they suffice; "no class" is the highest of either type.
fn label_plane(labels: &[u16], places: usize) -> LabelPlane {
    match places <= usize::from(u8::MAX) {
        true => {
            LabelPlane::U8(labels.iter().map(|&label| label.min(u8::MAX.into()) as u8).collect())
        }
        false => LabelPlane::U16(labels.into()),
    }
}

fn origin(origin: Origin) -> &'static str {
    match origin {
        Origin::Bundle => "bundle",
        Origin::Row => "row",
        Origin::Embedding => "embedding",
        Origin::Word => "word",
        Origin::Generator => "generator",
    }
}

fn decision(decision: &Decision) -> Value {
    let (kind, gamma) = stacking(decision.stacking);
    let name = match kind {
        StackingName::Off => "off",
        StackingName::Logits => "logits",
        StackingName::Probabilities => "probabilities",
    };
    let unknown = match decision.unknown {
        UnknownScore::Margin => json!("margin"),
        UnknownScore::Energy { reference } => json!({ "reference": reference }),
    };
    json!({
        "stacking": name,
        "gamma": gamma,
        "min_confidence": decision.min_confidence,
        "min_margin": decision.min_margin,
        "unknown": unknown,
        "max_unknown": decision.max_unknown,
    })
}

fn fusion(settings: Option<FusionSettings>) -> Value {
    let Some(FusionSettings { fusion, segments }) = settings else {
        return json!({ "mode": "off" });
    };
    let mode = match fusion {
        Fusion::Select { .. } => "select",
        Fusion::Vote { .. } => "vote",
        Fusion::Soft { .. } => "soft",
    };
    json!({ "mode": mode, "segments": segments })
}

/// The network's times are those of its latest run; the others those of the mask on show.
fn times(scene: &Scene) -> Value {
    let Scene { network, decided, .. } = scene;
    json!({
        "decode": scene.decode_ms,
        "fetch": ms(network.fetch_ns),
        "network": ms(network.backbone_ns),
        "head": ms(decided.head_ns),
        "fusion": ms(decided.fusion_ns),
        "mask": ms(decided.upsample_ns),
    })
}
