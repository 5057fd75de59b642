//! Counts of an evaluation: all that is kept of a picture once it has been looked at.

use super::predictor::{Found, Predictor, Space};
use super::protocol::{Protocol, Void};
use super::reliability::Reliability;
use super::subject::{Scored, Subject};
use crate::metrics::Confusion;
use crate::train::data::{LabelMap, LabelPlane};
use crate::train::error::{Error, Result};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::format;
use std::string::{String, ToString};
use std::vec;
use std::vec::Vec;

/// Number of the form of the counts in files.
const FORMAT: u32 = 1;

/// What is evaluated, and how.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Setup {
    /// Which model, such as its name and hash, and how it decides of itself. Only counts of the
    /// same model can be merged.
    pub model: String,
    /// The classes.
    pub subject: Subject,
    /// The protocol.
    pub protocol: Protocol,
    /// Where the handicaps of the sweep are taken from.
    pub space: Space,
    /// Handicaps of the seen classes that are tried beside the model's own decision; may be empty.
    pub gammas: Vec<f32>,
    /// What else has to be known to read the figures.
    pub notes: Vec<String>,
}

/// Pixels of a picture: true class, found class (the number of classes for none), count. The
/// number of classes stands for void as a true class. 8 bytes each, and only those above 0 are
/// kept: rarely more than 30 a picture.
pub type Cell = (u16, u16, u32);

/// Counts of an evaluation. They do not depend on the order of the pictures: parts of a data set,
/// evaluated anywhere, can be merged.
///
/// # Memory
/// 8 bytes per picture and pair of classes that meet in it, for the bootstrap, and its name; the
/// square of the classes per handicap. Nothing of a picture's size.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Evaluation {
    format: u32,
    setup: Setup,
    /// By name.
    pictures: BTreeMap<String, Vec<Cell>>,
    /// Names of pictures that could not be evaluated, and why.
    failed: BTreeMap<String, String>,
    /// Per handicap: true class, found class, pixels.
    sweep: Vec<Vec<(u16, u16, u64)>>,
    seen: Reliability,
    unseen: Reliability,
}

impl Evaluation {
    /// An evaluation without pictures.
    ///
    /// # Errors
    /// [`Error::Config`] for a protocol with an oracle, for more than 65,534 classes, and for a
    /// handicap that is not finite, or no share of a probability where it has to be one.
    pub fn new(setup: Setup) -> Result<Evaluation> {
        if setup.protocol.oracle {
            let reason = "an oracle needs several masks of a picture, and a model gives one";
            return Err(Error::config(reason));
        }
        if !setup.subject.is_whole() || setup.subject.class_count() >= usize::from(u16::MAX) {
            return Err(Error::config("the classes of an evaluation do not fit together"));
        }
        for &gamma in &setup.gammas {
            let is_share = (0.0..=1.0).contains(&gamma);
            if !gamma.is_finite() || setup.space == Space::Probabilities && !is_share {
                let space = setup.space;
                return Err(Error::config(format!("a handicap of {gamma} for {space:?}")));
            }
        }
        let sweep = vec![Vec::new(); setup.gammas.len()];
        Ok(Evaluation {
            format: FORMAT,
            setup,
            pictures: BTreeMap::new(),
            failed: BTreeMap::new(),
            sweep,
            seen: Reliability::default(),
            unseen: Reliability::default(),
        })
    }

    /// Reads counts that were written as JSON.
    ///
    /// # Errors
    /// [`Error::Config`] for text that is none of this form, or whose numbers do not fit together.
    pub fn from_json(text: &str) -> Result<Evaluation> {
        let read: Evaluation = serde_json::from_str(text).map_err(Error::config)?;
        read.checked()
    }

    /// Checks what the types do not say.
    pub(super) fn checked(self) -> Result<Evaluation> {
        let empty = Evaluation::new(self.setup.clone())?;
        let classes = self.setup.subject.class_count();
        let fits = |truth: u16, found: u16| truth.max(found) as usize <= classes;
        let cells = self.pictures.values().flatten().map(|cell| (cell.0, cell.1));
        let totals = self.sweep.iter().flatten().map(|cell| (cell.0, cell.1));
        let is_whole = self.format == FORMAT
            && self.sweep.len() == empty.sweep.len()
            && cells.chain(totals).all(|(truth, found)| fits(truth, found));
        if !is_whole {
            return Err(Error::config("the counts of an evaluation do not fit together"));
        }
        Ok(self)
    }

    /// What is evaluated, and how.
    pub fn setup(&self) -> &Setup {
        &self.setup
    }

    /// Cells of the pictures, by their names' order.
    pub fn pictures(&self) -> impl ExactSizeIterator<Item = (&str, &[Cell])> {
        self.pictures.iter().map(|(name, cells)| (name.as_str(), cells.as_slice()))
    }

    /// Pictures that could not be evaluated, and why.
    pub fn failed(&self) -> &BTreeMap<String, String> {
        &self.failed
    }

    /// The confusion matrix of the model's own decision.
    pub fn confusion(&self) -> Confusion {
        let mut confusion = Confusion::new(self.setup.subject.class_count());
        for (truth, found, pixels) in self.pictures.values().flatten() {
            confusion.add_count((*truth).into(), (*found).into(), (*pixels).into());
        }
        confusion
    }

    /// The confusion matrix of a handicap, by its place in [`Setup::gammas`]; empty if there is
    /// none.
    pub fn confusion_at(&self, gamma: usize) -> Confusion {
        let mut confusion = Confusion::new(self.setup.subject.class_count());
        for (truth, found, pixels) in self.sweep.get(gamma).into_iter().flatten() {
            confusion.add_count((*truth).into(), (*found).into(), *pixels);
        }
        confusion
    }

    /// Confidences of pixels that were given a class, by what they truly are: of seen classes, of
    /// unseen ones, and all.
    pub fn reliability(&self) -> [Reliability; 3] {
        let mut all = self.seen;
        all.merge(&self.unseen);
        [self.seen, self.unseen, all]
    }

    /// Evaluates a picture: `name` is its name, which no other has.
    ///
    /// # Errors
    /// Those of the predictor, and [`Error::Config`] for a name that was there before or for
    /// predictions of another size than the truth. Nothing is counted then.
    pub fn add(&mut self, picture: usize, name: &str, predictor: &mut dyn Predictor) -> Result<()> {
        if self.pictures.contains_key(name) {
            return Err(Error::config(format!("picture \"{name}\" was evaluated twice")));
        }
        let truth = predictor.look(picture)?;
        let mut found = Found::default();
        let mut sweep = Vec::new();
        for &gamma in &self.setup.gammas {
            predictor.decide(Some(self.setup.space.stacking(gamma)), &mut found)?;
            sweep.push(self.counted(&truth, &found)?);
        }
        predictor.decide(None, &mut found)?;
        let cells = self.counted(&truth, &found)?;
        self.count_confidences(&truth, &found)?;

        for (sum, cells) in self.sweep.iter_mut().zip(sweep) {
            *sum = added(sum, &cells);
        }
        self.pictures.insert(name.to_string(), cells);
        self.failed.remove(name);
        Ok(())
    }

    /// Notes that a picture could not be evaluated.
    pub fn add_failed(&mut self, name: &str, reason: &str) {
        self.failed.insert(name.to_string(), reason.to_string());
    }

    /// Adds the counts of other pictures.
    ///
    /// # Errors
    /// [`Error::Config`] for counts of something else, and for a picture that both have. Nothing
    /// is added then.
    pub fn merge(&mut self, other: Evaluation) -> Result<()> {
        if self.setup != other.setup {
            let reason = "the counts are of other models, classes, protocols or handicaps";
            return Err(Error::config(reason));
        }
        let has =
            |name: &&String| self.pictures.contains_key(*name) || self.failed.contains_key(*name);
        if let Some(name) = other.pictures.keys().chain(other.failed.keys()).find(has) {
            return Err(Error::config(format!("picture \"{name}\" was evaluated twice")));
        }
        for (sum, cells) in self.sweep.iter_mut().zip(&other.sweep) {
            *sum = added(sum, cells);
        }
        self.pictures.extend(other.pictures);
        self.failed.extend(other.failed);
        self.seen.merge(&other.seen);
        self.unseen.merge(&other.unseen);
        Ok(())
    }

    /// Pairs of true and found class of a picture.
    fn counted(&self, truth: &LabelMap, found: &Found) -> Result<Vec<Cell>> {
        let Setup { subject, protocol, .. } = &self.setup;
        check_size(truth, found.labels.len(), subject)?;
        let keep_void = protocol.few_shot && protocol.void == Void::AlwaysWrong;
        let rows = Rows::new(subject);
        let mut counts = vec![0u32; rows.width * rows.width];
        match truth.plane() {
            LabelPlane::U8(plane) => rows.count(plane, &found.labels, &mut counts),
            LabelPlane::U16(plane) => rows.count(plane, &found.labels, &mut counts),
        }
        let cell = |(at, &pixels): (usize, &u32)| {
            let (truth, found) = (at / rows.width, at % rows.width);
            let is_kept = pixels > 0 && (keep_void || truth < subject.class_count());
            is_kept.then_some((truth as u16, found as u16, pixels))
        };
        Ok(counts.iter().enumerate().filter_map(cell).collect())
    }

    fn count_confidences(&mut self, truth: &LabelMap, found: &Found) -> Result<()> {
        if found.confidences.len() != found.labels.len() {
            return Err(Error::config("predictions without a confidence each"));
        }
        let subject = &self.setup.subject;
        let scored: Vec<Scored> =
            (0..subject.class_count()).map(|class| subject.scored(class)).collect();
        let judge = |truth: usize, label: u16, confidence: u16| {
            if scored.get(usize::from(label)).is_none_or(|scored| *scored == Scored::No) {
                return;
            }
            let is_correct = truth == usize::from(label);
            match scored.get(truth) {
                Some(Scored::Seen) => self.seen.add(confidence, is_correct),
                Some(Scored::Unseen) => self.unseen.add(confidence, is_correct),
                Some(Scored::No) | None => {}
            }
        };
        match truth.plane() {
            LabelPlane::U8(plane) => each(plane, found, judge),
            LabelPlane::U16(plane) => each(plane, found, judge),
        }
        Ok(())
    }
}

fn each<L: Copy + Into<usize>>(truth: &[L], found: &Found, mut f: impl FnMut(usize, u16, u16)) {
    for ((&truth, &label), &confidence) in truth.iter().zip(&found.labels).zip(&found.confidences) {
        f(truth.into(), label, confidence);
    }
}

fn check_size(truth: &LabelMap, labels: usize, subject: &Subject) -> Result<()> {
    let pixels = u64::from(truth.width()) * u64::from(truth.height());
    if labels as u64 != pixels {
        return Err(Error::config(format!("{labels} predictions for {pixels} pixels")));
    }
    if truth.classes() != subject.class_count() {
        let (found, wanted) = (truth.classes(), subject.class_count());
        return Err(Error::config(format!("labels of {found} classes, not of {wanted}")));
    }
    Ok(())
}

/// Place of every label in a matrix: a class's number if it is scored, or the last row or column.
struct Rows {
    places: Vec<u32>,
    width: usize,
}

impl Rows {
    fn new(subject: &Subject) -> Rows {
        let last = subject.class_count();
        let place = |class: usize| match subject.scored(class) {
            Scored::No => last as u32,
            Scored::Seen | Scored::Unseen => class as u32,
        };
        Rows { places: (0..=last).map(place).collect(), width: last + 1 }
    }

    fn count<L: Copy + Into<usize>>(&self, truth: &[L], found: &[u16], counts: &mut [u32]) {
        let last = self.width - 1;
        let place = |label: usize| self.places.get(label.min(last)).map_or(last, |at| *at as usize);
        for (&truth, &found) in truth.iter().zip(found) {
            let at = place(truth.into()) * self.width + place(found.into());
            if let Some(count) = counts.get_mut(at) {
                *count += 1;
            }
        }
    }
}

/// The sum of two sparse matrices in the order of their places.
fn added<N: Copy + Into<u64>>(
    sum: &[(u16, u16, u64)],
    more: &[(u16, u16, N)],
) -> Vec<(u16, u16, u64)> {
    let mut total: BTreeMap<(u16, u16), u64> = BTreeMap::new();
    let more = more.iter().map(|&(truth, found, pixels)| (truth, found, pixels.into()));
    for (truth, found, pixels) in sum.iter().copied().chain(more) {
        *total.entry((truth, found)).or_default() += pixels;
    }
    total.into_iter().map(|((truth, found), pixels)| (truth, found, pixels)).collect()
}
