//! Pseudo-labels: unseen classes that a model finds in pictures that may show them
//! (methods.md 2.8 and 4.1).

use super::zs3::{Prepared, PseudoRows, Purpose, Zs3, draw_at, shares};
use crate::train::data::Label;
use crate::train::engine::{Engine, Matrix};
use crate::train::error::{Error, Result};
use crate::train::layers::Linear;
use crate::train::stage::{Report, Stage, State};
use serde::{Deserialize, Serialize};
use std::vec;
use std::vec::Vec;

/// Which cells of a picture with unseen classes may get a pseudo-label, and which one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Candidates {
    /// Every cell without a label, the best unseen class of it. All seen classes being labelled,
    /// it can show no other.
    #[default]
    Unlabelled,
    /// Cells without a label whose best class of all is an unseen one.
    UnlabelledWinners,
    /// All cells whose best class of all is an unseen one: as published for ZS5Net.
    Winners,
}

impl Candidates {
    fn may_have(self, label: Label) -> bool {
        self == Candidates::Winners || label == Label::Unlabelled
    }
}

/// Which guesses of a model count.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum PseudoLabeler {
    /// Of each picture's candidates this share, in percent, with the highest confidence.
    TopPercent(f64),
    /// Candidates with at least this confidence, 0 to 1.
    Threshold(f32),
}

/// A guess.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct PseudoLabel {
    /// Cell of the picture.
    pub cell: usize,
    /// The unseen class, by its number in the data set.
    pub class: usize,
    /// Probability of the class by the softmax over all classes that it could be.
    pub confidence: f32,
}

impl PseudoLabeler {
    /// The `percent` percent (above 0 to 100) of each picture's candidates with the highest
    /// confidence, rounded down; of equal ones the earlier cell goes first. Published for ZS5Net
    /// with 25 on VOC and 75 on Context.
    ///
    /// # Errors
    /// [`Error::Config`] for a percentage out of range.
    pub fn top_percent_per_image(percent: f64) -> Result<PseudoLabeler> {
        if !(percent > 0.0 && percent <= 100.0) {
            return Err(Error::config("percentage of pseudo-labels must be above 0 to 100"));
        }
        Ok(PseudoLabeler::TopPercent(percent))
    }

    /// Candidates with a confidence of at least `least`, 0 to 1.
    ///
    /// # Errors
    /// [`Error::Config`] for a threshold out of range.
    pub fn threshold(least: f32) -> Result<PseudoLabeler> {
        if !(0.0..=1.0).contains(&least) {
            return Err(Error::config("confidence of pseudo-labels must be 0 to 1"));
        }
        Ok(PseudoLabeler::Threshold(least))
    }

    /// Those of the candidates (of [`candidates`]) of a picture that count, in the order of cells.
    pub fn select(&self, mut candidates: Vec<PseudoLabel>) -> Vec<PseudoLabel> {
        match *self {
            PseudoLabeler::Threshold(least) => {
                candidates.retain(|label| label.confidence >= least);
            }
            PseudoLabeler::TopPercent(percent) => {
                let kept = (candidates.len() as f64 * percent / 100.0) as usize;
                candidates.sort_by(|one, other| other.confidence.total_cmp(&one.confidence));
                candidates.truncate(kept);
                candidates.sort_by_key(|label| label.cell);
            }
        }
        candidates
    }
}

/// The candidates of a picture, in the order of cells. `logits` are `[cells, classes]` of
/// `classes`, `labels` what is known of the cells; cells with logits that are not finite are
/// passed over.
pub fn candidates(
    rule: Candidates,
    logits: &Matrix<f32>,
    classes: &[usize],
    unseen: &[usize],
    labels: &[Label],
) -> Vec<PseudoLabel> {
    let is_open = |class| rule != Candidates::Unlabelled || unseen.contains(&class);
    let mut found = Vec::new();
    for (cell, (logits, label)) in logits.rows().zip(labels).enumerate() {
        let open = logits.iter().zip(classes).filter(|(_, class)| is_open(**class));
        let first = (f32::NEG_INFINITY, usize::MAX);
        let best = open.clone().fold(
            first,
            |best, (logit, class)| {
                if *logit > best.0 { (*logit, *class) } else { best }
            },
        );
        let sum: f32 = open.map(|(logit, _)| libm::expf(logit - best.0)).sum();
        let confidence = 1.0 / sum;
        if rule.may_have(*label) && unseen.contains(&best.1) && confidence.is_finite() {
            found.push(PseudoLabel { cell, class: best.1, confidence });
        }
    }
    found
}

/// Names in a state.
const CELLS: &str = "cells";
const CONFIDENCE: &str = "confidence";
const MEANS: &str = "confidence by class";

/// Finds pseudo-labels in the pictures that show unseen classes, one picture per step.
pub(super) struct PseudoStage<'s, 'a, E: Engine<f32>> {
    zs3: &'s Zs3<'a, E>,
    prepared: &'s Prepared,
    classifier: Linear<E::Tensor>,
    labeler: PseudoLabeler,
    rule: Candidates,
    pictures: Vec<usize>,
    /// Picture, cell and class of each, one after the other.
    cells: Vec<u64>,
    confidences: Vec<f32>,
    /// Of each class of the data set: sum of the confidences of all candidates, and their number.
    sums: Vec<(f64, u64)>,
}

impl<'s, 'a, E: Engine<f32>> PseudoStage<'s, 'a, E> {
    pub(super) fn new(
        zs3: &'s Zs3<'a, E>,
        classifier: Linear<E::Tensor>,
        labeler: PseudoLabeler,
        rule: Candidates,
    ) -> Result<PseudoStage<'s, 'a, E>> {
        Ok(PseudoStage {
            prepared: zs3.prepared()?,
            pictures: zs3.task.dropped().to_vec(),
            sums: vec![(0.0, 0); zs3.task.class_count()],
            zs3,
            classifier,
            labeler,
            rule,
            cells: Vec::new(),
            confidences: Vec::new(),
        })
    }
}

impl<E: Engine<f32>> Stage for PseudoStage<'_, '_, E> {
    fn steps(&self) -> u64 {
        self.pictures.len() as u64
    }

    fn step(&mut self, step: u64) -> Result<Report> {
        let (task, engine) = (self.zs3.task, self.zs3.engine);
        let picture = self.pictures.get(step as usize).copied();
        let picture = picture.ok_or_else(|| Error::config("a step without a picture"))?;
        let rows = self.prepared.rows(task, picture)?;
        let rows = engine.upload(rows.shape(), rows.values())?;
        let logits = self.zs3.matrix(&self.classifier.forward(engine, &rows)?)?;
        let labels = task.labels(picture)?;
        let labels: Vec<Label> = labels.iter().collect();
        let (classes, unseen) = (self.zs3.classes(), task.unseen());
        let found = candidates(self.rule, &logits, &classes, &unseen, &labels);
        for label in &found {
            if let Some(sum) = self.sums.get_mut(label.class) {
                *sum = (sum.0 + f64::from(label.confidence), sum.1 + 1);
            }
        }
        let kept = self.labeler.select(found);
        for label in &kept {
            self.cells.extend([picture, label.cell, label.class].map(|number| number as u64));
            self.confidences.push(label.confidence);
        }
        Ok(vec![("pseudo-labels", kept.len() as f64)])
    }

    fn state(&self) -> Result<State> {
        let mut state = State::default();
        let confidences = Matrix::new([self.confidences.len(), 1], self.confidences.clone())?;
        state.put(CONFIDENCE, confidences);
        state.put_numbers(CELLS, self.cells.clone());
        let sums = self.sums.iter().flat_map(|(sum, count)| [sum.to_bits(), *count]);
        state.put_numbers(MEANS, sums.collect());
        Ok(state)
    }

    fn restore(&mut self, state: &State) -> Result<()> {
        let found = Found::of(state, self.sums.len())?;
        let triples = found.labels.iter();
        let cells = triples.flat_map(|(picture, label)| [*picture, label.cell, label.class]);
        self.cells = cells.map(|number| number as u64).collect();
        self.confidences = found.labels.iter().map(|(_, label)| label.confidence).collect();
        self.sums = found.sums;
        Ok(())
    }
}

/// What a [`PseudoStage`] has found.
pub(super) struct Found {
    /// With the picture of each.
    pub labels: Vec<(usize, PseudoLabel)>,
    sums: Vec<(f64, u64)>,
}

impl Found {
    /// Whether each of these classes has a pseudo-label.
    pub(super) fn has_all(&self, classes: &[usize]) -> bool {
        let has = |class: &usize| self.labels.iter().any(|(_, label)| label.class == *class);
        classes.iter().all(has)
    }

    pub(super) fn of(state: &State, classes: usize) -> Result<Found> {
        let cells = state.get_numbers(CELLS)?;
        let confidences = state.get_shaped(CONFIDENCE, [cells.len() / 3, 1])?;
        let sums = state.get_numbers(MEANS)?;
        if sums.len() != 2 * classes {
            return Err(Error::config("the pseudo-labels are of other classes"));
        }
        let label = |(three, confidence): (&[u64], &f32)| match *three {
            [picture, cell, class] => {
                let (cell, class) = (cell as usize, class as usize);
                Some((picture as usize, PseudoLabel { cell, class, confidence: *confidence }))
            }
            _ => None,
        };
        let labels = cells.chunks_exact(3).zip(confidences.values()).filter_map(label);
        let sum = |two: &[u64]| match *two {
            [sum, count] => Some((f64::from_bits(sum), count)),
            _ => None,
        };
        let sums = sums.chunks_exact(2).filter_map(sum).collect();
        Ok(Found { labels: labels.collect(), sums })
    }

    /// Mean confidence of a class over all its candidates; `None` without any.
    pub(super) fn mean(&self, class: usize) -> Option<f64> {
        let (sum, count) = *self.sums.get(class)?;
        (count > 0).then(|| sum / count as f64)
    }

    /// The labels of a class, random `limit` of them if there are more, in their order.
    fn of_class(&self, class: usize, limit: usize, keys: &[f32]) -> Vec<(usize, PseudoLabel)> {
        let of_class = self.labels.iter().zip(keys).filter(|(label, _)| label.1.class == class);
        let mut keyed: Vec<(u32, usize, &(usize, PseudoLabel))> = of_class
            .enumerate()
            .map(|(place, (label, key))| (key.to_bits(), place, label))
            .collect();
        keyed.sort_unstable_by_key(|entry| (entry.0, entry.1));
        keyed.truncate(limit);
        keyed.sort_unstable_by_key(|entry| entry.1);
        keyed.into_iter().map(|entry| *entry.2).collect()
    }

    /// Scaled features of at most `limit` cells of each unseen class, those of a class together,
    /// with their labels.
    pub(super) fn rows<E: Engine<f32>>(
        &self,
        zs3: &Zs3<'_, E>,
        stage: u32,
        limit: usize,
        batch: usize,
    ) -> Result<(PseudoRows, Vec<f32>)> {
        let draw = draw_at(zs3.task.seed, stage, 0, Purpose::Pseudo)?;
        let keys = shares(draw, self.labels.len());
        let unseen = zs3.task.unseen();
        let chosen = unseen.iter().flat_map(|class| self.of_class(*class, limit, &keys));
        let chosen: Vec<(usize, PseudoLabel)> = chosen.collect();
        let mut order: Vec<usize> = (0..chosen.len()).collect();
        let picture_of = |place: &usize| chosen.get(*place).map_or(0, |label| label.0);
        order.sort_by_key(picture_of);
        let mut rows = Matrix::zeros([chosen.len(), zs3.task.features.channels()])?;
        for group in order.chunk_by(|one, other| picture_of(one) == picture_of(other)) {
            let picture = group.first().map_or(0, picture_of);
            let features = zs3.prepared()?.rows(zs3.task, picture)?;
            for &place in group {
                let cell = chosen.get(place).map_or(0, |label| label.1.cell);
                if let (Some(to), Some(from)) = (rows.row_mut(place), features.row(cell)) {
                    to.copy_from_slice(from);
                }
            }
        }
        let classes = chosen.iter().map(|label| label.1.class).collect();
        let confidences = chosen.iter().map(|label| label.1.confidence).collect();
        Ok((PseudoRows { rows, classes, batch }, confidences))
    }
}
