//! A trained model over stored features, measured with several rules of fusion at once.

use super::borders::near_borders;
use super::episodes::Episodes;
use super::evaluation::{Evaluation, Setup};
use super::fusing::{AffinityTap, Fusing};
use super::model_predictor::ModelPredictor;
use super::of_model::Measured;
use super::predictor::{Found, Predictor};
use super::protocol::{Resolution, Void};
use super::scores::Scores;
use super::subject::{Scored, Subject};
use crate::metrics::harmonic_mean;
use crate::segmenter::FusionSettings;
use crate::spec::Stacking;
use crate::spectral::Fusion;
use crate::train::data::{Label, LabelMap};
use crate::train::engine::CpuEngine;
use crate::train::error::Result;
use crate::train::model::Model;
use crate::train::pictures::Pictures;
use serde::Serialize;
use std::string::{String, ToString};
use std::vec::Vec;

/// What has to stand beside the oracle's scores.
pub const ORACLE_NOTE: &str = "The truth chose: of every class that a picture shows, the better of \
     the model's mask and of all segments counts, and no other class competes with it. This is how \
     SAZS's published figures came about; no device can do it.";

/// Which rules are compared.
#[derive(Clone, Copy)]
pub struct FusionPlan<'a> {
    /// Rules; no fusion at all is always measured beside them. Without a rule the oracle has
    /// nothing to choose from.
    pub rules: &'a [Fusion],
    /// Segments: 0 (nothing changes) to 5.
    pub segments: u32,
    /// What segments are found from; without, the features that the head works on.
    pub tap: Option<AffinityTap<'a>>,
    /// Scores near borders count pixels at most so far from one, in the frame; 0: no such scores.
    pub border: u32,
}

/// What came of a comparison.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Fused {
    /// As asked.
    pub segments: u32,
    /// As asked.
    pub border: u32,
    /// No fusion, then the rules in their order.
    pub rules: Vec<FusedScores>,
    /// Beside them, what a choice by the truth reaches.
    pub oracle: Oracle,
}

/// Scores of a rule.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct FusedScores {
    /// "none" or the rule with its number, such as "vote=0.6".
    pub rule: String,
    /// Of all pixels.
    pub scores: Scores,
    /// Of those near borders ([`near_borders`]).
    pub near_borders: Option<Scores>,
}

/// IoU of each class's mask in the pictures that show it.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Oracle {
    /// [`ORACLE_NOTE`].
    pub note: &'static str,
    /// Of the model's masks, without fusion.
    pub own: GivenClass,
    /// Of the masks that the truth chose.
    pub chosen: GivenClass,
}

/// Means of IoU over classes, each in the pictures that show it.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct GivenClass {
    /// Of seen classes.
    pub seen: Option<f64>,
    /// Of unseen ones.
    pub unseen: Option<f64>,
    /// Their harmonic mean.
    pub harmonic: Option<f64>,
}

/// Measures a model on all of `pictures` without fusion and with every rule, decided as a device
/// would: logits at the grid (with the handicap, if it is one in logits), fusion there, the resize
/// to the frame, and the argmax (with the handicap, if it is one in probabilities).
///
/// Cost beside [`super::measure_model`]: per picture one eigenvalue search, and per rule one
/// resize and decision.
///
/// # Errors
/// Those of [`super::measure_model`] and [`Fusing::new`]; [`crate::train::Error::Compute`] for a
/// rule or segments outside their ranges.
pub fn measure_fused(
    model: &Model,
    pictures: &dyn Pictures,
    measured: &Measured<'_>,
    plan: &FusionPlan<'_>,
    engine: CpuEngine,
) -> Result<Fused> {
    let setup = Setup { gammas: Vec::new(), ..measured.setup()? };
    let subject = setup.subject.clone();
    let features = model.features(pictures, measured.grid, engine)?;
    let features = features.as_ref();
    let competes = |class| subject.scored(class) != Scored::No;
    let predictor = ModelPredictor::new(model, features, Resolution::Frame, competes, engine)?;
    let classes = predictor.class_count();
    let mut memory = Fusing::memory(features, plan.tap, classes)?;
    let fusing = Fusing::new(features, plan.tap, classes, &mut memory)?;
    let mut predictor = predictor.with_fusing(fusing);
    let mut comparison = Comparison::new(&setup, plan)?;
    for picture in 0..pictures.len() {
        comparison.add(picture, pictures, &mut predictor)?;
    }
    Ok(comparison.scored())
}

struct Comparison<'p> {
    plan: &'p FusionPlan<'p>,
    subject: Subject,
    rules: Vec<Rule>,
    /// Episodes of seen and of unseen classes, for the model's masks and the oracle's.
    own: [Episodes; 2],
    chosen: [Episodes; 2],
}

struct Rule {
    fusion: Option<Fusion>,
    whole: Evaluation,
    borders: Evaluation,
}

impl<'p> Comparison<'p> {
    fn new(setup: &Setup, plan: &'p FusionPlan<'p>) -> Result<Comparison<'p>> {
        let fusions = core::iter::once(None).chain(plan.rules.iter().copied().map(Some));
        let rule = |fusion| {
            let empty = || Evaluation::new(setup.clone());
            Ok(Rule { fusion, whole: empty()?, borders: empty()? })
        };
        let episodes = || [Episodes::new(Void::Masked), Episodes::new(Void::Masked)];
        Ok(Comparison {
            plan,
            subject: setup.subject.clone(),
            rules: fusions.map(rule).collect::<Result<_>>()?,
            own: episodes(),
            chosen: episodes(),
        })
    }

    fn add(
        &mut self,
        picture: usize,
        pictures: &dyn Pictures,
        predictor: &mut ModelPredictor<'_>,
    ) -> Result<()> {
        let FusionPlan { segments, border, .. } = *self.plan;
        let (name, truth) = (pictures.name(picture), pictures.labels(picture)?);
        let near = near_borders(&truth, &pictures.shown(picture)?, border)?;
        for Rule { fusion, whole, borders } in &mut self.rules {
            predictor.set_fusion(fusion.map(|fusion| FusionSettings { fusion, segments }))?;
            whole.add(picture, name, predictor)?;
            if border > 0 {
                borders.add(picture, name, &mut Against { predictor, truth: &near })?;
            }
        }
        self.add_oracle(picture, &truth, predictor)
    }

    /// Counts an episode of every class that the picture shows.
    fn add_oracle(
        &mut self,
        picture: usize,
        truth: &LabelMap,
        predictor: &mut ModelPredictor<'_>,
    ) -> Result<()> {
        let masks = predictor.segments();
        let masks: Vec<&[bool]> = masks.iter().map(Vec::as_slice).collect();
        predictor.set_fusion(None)?;
        predictor.look(picture)?;
        let mut found = Found::default();
        predictor.decide(None, &mut found)?;
        for class in self.subject.counted() {
            let number = class as u16;
            if !truth.contains(|label| label == number) {
                continue;
            }
            let shape = truth.iter().map(|label| match label {
                Label::Class(label) => {
                    let is_counted = self.subject.scored(label.into()) != Scored::No;
                    is_counted.then_some(label == number)
                }
                Label::Unlabelled | Label::Void => None,
            });
            let shape: Vec<Option<bool>> = shape.collect();
            let mask: Vec<bool> = found.labels.iter().map(|label| *label == number).collect();
            let side = usize::from(self.subject.scored(class) == Scored::Unseen);
            if let (Some(own), Some(chosen)) = (self.own.get_mut(side), self.chosen.get_mut(side)) {
                own.add(class, &shape, &mask);
                chosen.add_with_oracle(class, &shape, &mask, &masks)?;
            }
        }
        Ok(())
    }

    fn scored(&self) -> Fused {
        let FusionPlan { segments, border, .. } = *self.plan;
        let scores = |evaluation: &Evaluation| {
            let absent = evaluation.setup().protocol.absent_class.into();
            Scores::new(&evaluation.confusion(), &self.subject, absent)
        };
        let rules = self.rules.iter().map(|rule| FusedScores {
            rule: rule.fusion.map_or_else(|| "none".to_string(), |fusion| fusion.to_string()),
            scores: scores(&rule.whole),
            near_borders: (border > 0).then(|| scores(&rule.borders)),
        });
        let (own, chosen) = (GivenClass::of(&self.own), GivenClass::of(&self.chosen));
        let oracle = Oracle { note: ORACLE_NOTE, own, chosen };
        Fused { segments, border, rules: rules.collect(), oracle }
    }
}

impl GivenClass {
    fn of([seen, unseen]: &[Episodes; 2]) -> GivenClass {
        let mean = |episodes: &Episodes| episodes.scores(|_| String::new()).mean_iou;
        let (seen, unseen) = (mean(seen), mean(unseen));
        let harmonic = seen.zip(unseen).map(|(seen, unseen)| harmonic_mean(seen, unseen));
        GivenClass { seen, unseen, harmonic }
    }
}

/// Another predictor's answers against another truth.
struct Against<'p, 'a> {
    predictor: &'p mut ModelPredictor<'a>,
    truth: &'p LabelMap,
}

impl Predictor for Against<'_, '_> {
    fn look(&mut self, picture: usize) -> Result<LabelMap> {
        self.predictor.look(picture)?;
        Ok(self.truth.clone())
    }

    fn decide(&mut self, handicap: Option<Stacking>, found: &mut Found) -> Result<()> {
        self.predictor.decide(handicap, found)
    }
}
