//! Few-shot scores: one class at a time against everything else (methods.md 1.2, 6.11).

use super::evaluation::Evaluation;
use super::protocol::Void;
use super::subject::Scored;
use crate::metrics::oracle_shape;
use crate::train::error::Result;
use serde::Serialize;
use std::collections::BTreeMap;
use std::string::{String, ToString};
use std::vec::Vec;

/// Intersections and unions of one class's foreground and background.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Sides {
    shared: [u64; 2],
    united: [u64; 2],
}

/// Binary foreground and background, summed over the episodes of each class.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Episodes {
    void: Void,
    classes: BTreeMap<usize, Sides>,
}

/// Few-shot scores.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct FewShot {
    /// Mean over the classes of their foreground's IoU.
    pub mean_iou: Option<f64>,
    /// Mean of the IoU of foreground and background, each over all classes: FB-IoU.
    pub fb_iou: Option<f64>,
    /// Name and foreground IoU of the classes that had episodes.
    pub classes: Vec<(String, Option<f64>)>,
}

impl Episodes {
    /// No episodes yet.
    pub fn new(void: Void) -> Episodes {
        Episodes { void, classes: BTreeMap::new() }
    }

    /// Counts an episode of a class: for every pixel whether it truly is of the class (`None`:
    /// void), and whether it was found to be. The longer of the two is cut off.
    pub fn add(&mut self, class: usize, truth: &[Option<bool>], found: &[bool]) {
        let mut sides = Sides::default();
        for (&truth, &found) in truth.iter().zip(found) {
            match truth {
                Some(truth) => sides.add(truth, found, 1),
                None if self.void == Void::AlwaysWrong => sides.add_wrong(found, 1),
                None => {}
            }
        }
        self.add_sides(class, &sides);
    }

    /// As [`Episodes::add`], of the mask among `found` and `segments` that overlaps the truth
    /// most: the oracle of SAZS's published figures (methods.md 6.10). Void pixels are no part
    /// of that choice.
    ///
    /// # Errors
    /// [`crate::train::Error::Compute`] for masks of another size than the truth.
    pub fn add_with_oracle(
        &mut self,
        class: usize,
        truth: &[Option<bool>],
        found: &[bool],
        segments: &[&[bool]],
    ) -> Result<()> {
        let shape: Vec<bool> = truth.iter().map(|truth| *truth == Some(true)).collect();
        let is_void = |at: usize| truth.get(at).is_some_and(Option::is_none);
        let masked = |mask: &[bool]| -> Vec<bool> {
            mask.iter().enumerate().map(|(at, set)| *set && !is_void(at)).collect()
        };
        let candidates: Vec<Vec<bool>> = segments.iter().map(|mask| masked(mask)).collect();
        let candidates: Vec<&[bool]> = candidates.iter().map(Vec::as_slice).collect();
        let prediction = masked(found);
        let best = oracle_shape(&shape, &prediction, &candidates)?;
        let place = candidates.iter().position(|mask| core::ptr::eq(*mask, best));
        let best = place.and_then(|place| segments.get(place)).copied().unwrap_or(found);
        self.add(class, truth, best);
        Ok(())
    }

    fn add_sides(&mut self, class: usize, more: &Sides) {
        let sides = self.classes.entry(class).or_default();
        for side in 0..2 {
            if let (Some(sum), Some(more)) = (sides.shared.get_mut(side), more.shared.get(side)) {
                *sum += more;
            }
            if let (Some(sum), Some(more)) = (sides.united.get_mut(side), more.united.get(side)) {
                *sum += more;
            }
        }
    }

    /// The scores of all episodes.
    pub fn scores(&self, name: impl Fn(usize) -> String) -> FewShot {
        let ious = self.classes.iter().map(|(class, sides)| (name(*class), sides.foreground()));
        let classes: Vec<(String, Option<f64>)> = ious.collect();
        let found: Vec<f64> = classes.iter().filter_map(|(_, iou)| *iou).collect();
        let mut total = Sides::default();
        for sides in self.classes.values() {
            for (sum, more) in total.shared.iter_mut().zip(sides.shared) {
                *sum += more;
            }
            for (sum, more) in total.united.iter_mut().zip(sides.united) {
                *sum += more;
            }
        }
        let sides: Vec<f64> = total
            .shared
            .iter()
            .zip(total.united)
            .filter_map(|(shared, united)| ratio(*shared, united))
            .collect();
        FewShot { mean_iou: mean(&found), fb_iou: mean(&sides), classes }
    }
}

impl Sides {
    fn add(&mut self, truth: bool, found: bool, pixels: u64) {
        if truth == found {
            let side = usize::from(truth);
            self.shared.iter_mut().skip(side).take(1).for_each(|sum| *sum += pixels);
            self.united.iter_mut().skip(side).take(1).for_each(|sum| *sum += pixels);
        } else {
            self.united.iter_mut().for_each(|sum| *sum += pixels);
        }
    }

    /// Pixels that are in the predicted side, and truly in none.
    fn add_wrong(&mut self, found: bool, pixels: u64) {
        self.united.iter_mut().skip(usize::from(found)).take(1).for_each(|sum| *sum += pixels);
    }

    fn foreground(&self) -> Option<f64> {
        let [_, shared] = self.shared;
        let [_, united] = self.united;
        ratio(shared, united)
    }
}

/// Few-shot scores of an evaluation's unseen classes: every picture is one episode of every unseen
/// class that it shows, and the mask is where the class won among all classes. The published
/// protocol draws 1,000 episodes and lets only the class and "others" compete, so these figures
/// are stricter.
pub fn few_shot(evaluation: &Evaluation) -> FewShot {
    let setup = evaluation.setup();
    let subject = &setup.subject;
    let void = subject.class_count();
    let mut episodes = Episodes::new(setup.protocol.void);
    for (_, cells) in evaluation.pictures() {
        for class in subject.places(Scored::Unseen) {
            if !cells.iter().any(|cell| usize::from(cell.0) == class) {
                continue;
            }
            let mut sides = Sides::default();
            for &(truth, found, pixels) in cells {
                let is_found = usize::from(found) == class;
                match usize::from(truth) {
                    truth if truth == void => sides.add_wrong(is_found, pixels.into()),
                    truth => sides.add(truth == class, is_found, pixels.into()),
                }
            }
            episodes.add_sides(class, &sides);
        }
    }
    episodes.scores(|class| subject.name(class).to_string())
}

fn ratio(part: u64, whole: u64) -> Option<f64> {
    (whole > 0).then(|| part as f64 / whole as f64)
}

fn mean(values: &[f64]) -> Option<f64> {
    (!values.is_empty()).then(|| values.iter().sum::<f64>() / values.len() as f64)
}
