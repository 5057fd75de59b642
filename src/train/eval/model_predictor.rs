//! Trained models over stored features, in the network's frame.

use super::fusing::Fusing;
use super::predictor::{Found, NO_CLASS, Predictor};
use super::protocol::Resolution;
use crate::segmenter::FusionSettings;
use crate::spec::{Decision, Stacking};
use crate::train::data::{LabelMap, Nearest};
use crate::train::engine::{CpuEngine, Engine, Matrix, Resize};
use crate::train::error::{Error, Result};
use crate::train::model::{Head, Model};
use crate::train::pictures::Features;
use std::format;

use std::vec::Vec;

/// Predicts from stored features: logits at their grid, resized bilinearly (half-pixel centres,
/// methods.md 1.9) to the network's frame. For sweeps and choices between methods: the product
/// runs at the picture's own size and in the bundle's number types, which is what
/// [`super::BundlePredictor`] measures.
///
/// Memory: 4 bytes per class and pixel of a frame, for one picture at a time.
pub struct ModelPredictor<'a> {
    features: &'a dyn Features,
    engine: CpuEngine,
    /// With the rows of the classes that compete.
    head: Head,
    classes: Vec<Class>,
    decision: Decision,
    pixels: Vec<Pixel>,
    fusing: Option<Fusing<'a>>,
    fusion: Option<FusionSettings>,
    latest: Option<Looked>,
}

/// The picture that was looked at.
struct Looked {
    picture: usize,
    /// At the grid, before fusion.
    logits: Matrix<f32>,
    /// How the pixels were made of them, if they were: by which fusion, and what seen classes
    /// lost before it.
    pixels: Option<(Option<FusionSettings>, f32)>,
}

/// A class that competes.
#[derive(Clone, Copy)]
struct Class {
    number: u16,
    is_seen: bool,
}

/// The best class of one side at a pixel.
#[derive(Clone, Copy)]
struct Best {
    class: u16,
    logit: f32,
}

/// What any handicap can be decided from.
#[derive(Clone, Copy)]
struct Pixel {
    seen: Best,
    unseen: Best,
    /// Highest logit.
    top: f32,
    /// Sum of the softmax's exponentials relative to it.
    sum: f32,
}

impl Best {
    const NONE: Best = Best { class: NO_CLASS, logit: f32::NEG_INFINITY };
}

impl<'a> ModelPredictor<'a> {
    /// Predicts with those classes of `model` that `competes` names by their numbers in the data
    /// set. `features` are those that its head works on.
    ///
    /// # Errors
    /// [`Error::Config`] for a resolution other than the frame, a model whose parts do not fit
    /// together or to the features, a decision that rejects pixels (which is measured on bundles),
    /// and if no class is left.
    pub fn new(
        model: &Model,
        features: &'a dyn Features,
        resolution: Resolution,
        competes: impl Fn(usize) -> bool,
        engine: CpuEngine,
    ) -> Result<ModelPredictor<'a>> {
        if resolution != Resolution::Frame {
            return Err(Error::config("stored features are evaluated in the network's frame only"));
        }
        let Decision { min_confidence, min_margin, max_unknown, .. } = model.decision;
        if min_confidence > 0.0 || min_margin > 0.0 || max_unknown < 1.0 {
            return Err(Error::config("a decision that rejects pixels is evaluated with a bundle"));
        }
        check_shapes(model, features.channels())?;
        let (mut rows, mut classes) = (Vec::new(), Vec::new());
        for (row, (&class, &is_seen)) in model.classes.iter().zip(&model.seen).enumerate() {
            if competes(class) {
                let number = u16::try_from(class).ok().filter(|number| *number != NO_CLASS);
                let number = number.ok_or_else(|| Error::config(format!("a class {class}")))?;
                rows.push(row);
                classes.push(Class { number, is_seen });
            }
        }
        if rows.is_empty() {
            return Err(Error::config("none of the model's classes competes"));
        }
        let Head { form, weights, bias } = &model.head;
        let weights = engine.gather_rows(weights, &rows)?;
        let bias = rows.iter().map(|row| bias.values().get(*row).copied().unwrap_or(0.0)).collect();
        Ok(ModelPredictor {
            features,
            head: Head { form: *form, weights, bias: Matrix::new([1, rows.len()], bias)? },
            classes,
            decision: model.decision,
            pixels: Vec::new(),
            fusing: None,
            fusion: None,
            latest: None,
            engine,
        })
    }

    /// Number of the classes that compete.
    pub fn class_count(&self) -> usize {
        self.classes.len()
    }

    /// Gives the predictor what fuses logits at the grid with segments. It is made for the same
    /// features and for [`ModelPredictor::class_count`] classes.
    pub fn with_fusing(self, fusing: Fusing<'a>) -> ModelPredictor<'a> {
        ModelPredictor { fusing: Some(fusing), latest: None, ..self }
    }

    /// Moves masks towards segments from the next [`Predictor::look`] on, or no longer. Looking at
    /// the same picture again costs neither its logits nor its segments again. A handicap in
    /// logits is taken before fusion then, and confidences are those after it.
    ///
    /// # Errors
    /// [`Error::Config`] without [`ModelPredictor::with_fusing`].
    pub fn set_fusion(&mut self, fusion: Option<FusionSettings>) -> Result<()> {
        if fusion.is_some() && self.fusing.is_none() {
            return Err(Error::config("fusion without features to find segments from"));
        }
        self.fusion = fusion;
        Ok(())
    }

    /// The segments that the picture was fused with last, none before: for every pixel of the
    /// frame whether it lies in the segment.
    pub(super) fn segments(&self) -> Vec<Vec<bool>> {
        let sources = |from: usize, to: usize| Nearest::Torch.sources(from as u32, to as u32);
        let ([rows, columns], [height, width]) =
            (self.features.grid(), self.features.pictures().frame());
        let (ys, xs) = (sources(rows, height), sources(columns, width));
        let of_row = |y: &u32| {
            let start = *y as usize * columns;
            xs.iter().map(move |x| start + *x as usize)
        };
        let cells: Vec<usize> = ys.iter().flat_map(of_row).collect();
        let mask = |segment: Vec<bool>| -> Vec<bool> {
            cells.iter().map(|cell| segment.get(*cell) == Some(&true)).collect()
        };
        self.fusing.iter().flat_map(Fusing::segments).map(mask).collect()
    }

    /// Logits of a picture before fusion.
    fn read(&mut self, picture: usize) -> Result<Looked> {
        let rows = self.features.rows(picture, 0)?;
        let logits = self.head.logits(&self.engine, &rows)?;
        if let Some(fusing) = &mut self.fusing {
            fusing.begin(picture, &rows)?;
        }
        Ok(Looked { picture, logits, pixels: None })
    }

    /// Makes sure of what every pixel of the frame is decided from, and tells what handicap the
    /// decision has yet to take. One in logits comes before fusion, as on a device: it decides
    /// which class a cell has when it meets the segments.
    fn prepare(&mut self, stacking: Stacking) -> Result<Stacking> {
        let looked = self.latest.take();
        let mut looked = looked.ok_or_else(|| Error::config("no picture was looked at"))?;
        let (before, rest) = match (self.fusion, stacking) {
            (Some(_), Stacking::Logits(gamma)) => (gamma, Stacking::Off),
            _ => (0.0, stacking),
        };
        let wanted = Some((self.fusion, before));
        if looked.pixels != wanted {
            self.summarise(&looked.logits, before)?;
            looked.pixels = wanted;
        }
        self.latest = Some(looked);
        Ok(rest)
    }

    fn summarise(&mut self, logits: &Matrix<f32>, before: f32) -> Result<()> {
        let to = self.features.pictures().frame();
        let from = self.features.grid();
        let resize = Resize { pictures: 1, from, to, align_corners: false };
        let logits = match (self.fusion, &mut self.fusing) {
            (Some(fusion), Some(fusing)) => {
                let mut fused = logits.clone();
                for row in fused.rows_mut() {
                    let seen = row.iter_mut().zip(&self.classes).filter(|(_, class)| class.is_seen);
                    seen.for_each(|(logit, _)| *logit -= before);
                }
                fusing.run(fusion, &mut fused)?;
                self.engine.resize(&fused, &resize)?
            }
            _ => self.engine.resize(logits, &resize)?,
        };
        self.pixels.clear();
        self.pixels.extend(logits.rows().map(|row| summary(row, &self.classes)));
        Ok(())
    }
}

impl Predictor for ModelPredictor<'_> {
    fn look(&mut self, picture: usize) -> Result<LabelMap> {
        let latest = self.latest.take();
        let truth = self.features.pictures().labels(picture)?;
        if [truth.height() as usize, truth.width() as usize] != self.features.pictures().frame() {
            return Err(Error::config("labels of another size than the frame"));
        }
        let looked = match latest.filter(|latest| latest.picture == picture) {
            Some(latest) => latest,
            None => self.read(picture)?,
        };
        self.latest = Some(looked);
        self.prepare(self.decision.stacking)?;
        Ok(truth)
    }

    fn decide(&mut self, handicap: Option<Stacking>, found: &mut Found) -> Result<()> {
        let stacking = handicap.unwrap_or(self.decision.stacking);
        Decision { stacking, ..self.decision }.check()?;
        let stacking = self.prepare(stacking)?;
        found.labels.clear();
        found.confidences.clear();
        for pixel in &self.pixels {
            let best = pixel.decided(stacking);
            let confidence = libm::expf(best.logit - pixel.top) / pixel.sum;
            found.labels.push(best.class);
            found.confidences.push((confidence * f32::from(u16::MAX) + 0.5) as u16);
        }
        Ok(())
    }
}

impl Pixel {
    /// The better of the best seen and the best unseen class; of equal ones that with the lower
    /// number, as on the device.
    fn decided(&self, stacking: Stacking) -> Best {
        let probability = |logit: f32| libm::expf(logit - self.top) / self.sum;
        let (seen, unseen) = match stacking {
            Stacking::Off => (self.seen.logit, self.unseen.logit),
            Stacking::Logits(gamma) => (self.seen.logit - gamma, self.unseen.logit),
            Stacking::Probabilities(_) if self.unseen.class == NO_CLASS => return self.seen,
            Stacking::Probabilities(_) if self.seen.class == NO_CLASS => return self.unseen,
            Stacking::Probabilities(gamma) => {
                (probability(self.seen.logit) - gamma, probability(self.unseen.logit))
            }
        };
        let seen_wins = match seen == unseen {
            true => self.seen.class < self.unseen.class,
            false => seen > unseen,
        };
        if seen_wins { self.seen } else { self.unseen }
    }
}

fn summary(logits: &[f32], classes: &[Class]) -> Pixel {
    let (mut seen, mut unseen) = (Best::NONE, Best::NONE);
    for (&logit, class) in logits.iter().zip(classes) {
        let best = if class.is_seen { &mut seen } else { &mut unseen };
        if logit > best.logit {
            *best = Best { class: class.number, logit };
        }
    }
    let top = if seen.logit > unseen.logit { seen.logit } else { unseen.logit };
    let sum = logits.iter().map(|logit| libm::expf(logit - top)).sum();
    Pixel { seen, unseen, top, sum }
}

fn check_shapes(model: &Model, channels: usize) -> Result<()> {
    let classes = model.classes.len();
    let Head { weights, bias, .. } = &model.head;
    if weights.shape() != [classes, channels] || model.seen.len() != classes {
        let shape = weights.shape();
        let reason = format!("a head of {shape:?} for {classes} classes and {channels} channels");
        return Err(Error::config(reason));
    }
    if bias.shape() != [1, classes] {
        return Err(Error::config("a head without a bias for each class"));
    }
    Ok(())
}
