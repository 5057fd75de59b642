//! Pseudo-labels: a guess at unlabelled pixels (methods.md 3.3, 3.4).

use crate::train::data::{Label, LabelMap};
use crate::train::engine::Matrix;
use crate::train::error::{Error, Result};
use crate::train::task::IGNORED;
use std::vec;
use std::vec::Vec;

/// When a guess is kept.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct PseudoRules {
    /// Least probability among the unseen classes, 0 to 1.
    pub min_confidence: f32,
    /// Highest probability of a seen class among all classes, 0 to 1.
    pub tau_seen: f32,
}

/// The places that all views agree on: the first view's, unless another view that shows the cell
/// (its entry is not `None`) has another. A further view can only remove places.
pub fn agreed(views: &[Vec<Option<usize>>]) -> Vec<Option<usize>> {
    let Some((first, others)) = views.split_first() else { return Vec::new() };
    let mut kept = first.clone();
    for view in others {
        for (kept, found) in kept.iter_mut().zip(view) {
            if found.is_some() && found != kept {
                *kept = None;
            }
        }
    }
    kept
}

/// The best of the columns of each cell of each view; of equal ones the first. `logits` has
/// those over the unseen classes of each view, with the cells that it shows.
pub(super) fn best(logits: &Matrix<f32>, shown: &[bool]) -> Vec<Option<usize>> {
    let cells = logits.rows().zip(shown);
    cells.map(|(row, shown)| shown.then(|| best_of(row)).flatten()).collect()
}

fn best_of(row: &[f32]) -> Option<usize> {
    let mut best: Option<(usize, f32)> = None;
    for (place, &value) in row.iter().enumerate() {
        if best.is_none_or(|(_, most)| value > most) {
            best = Some((place, value));
        }
    }
    best.map(|(place, _)| place)
}

/// Pseudo-labels of a picture, as places among the unseen classes. `views` has for each view the
/// teacher's logits over the unseen classes at the picture's own cells, and which cells the view
/// shows; the first is the picture as it is. `seen` has its logits over the seen classes there.
///
/// # Errors
/// [`Error::Config`] without a view, and if the numbers of cells differ.
pub fn pseudo_labels(
    views: &[(Matrix<f32>, Vec<bool>)],
    seen: &Matrix<f32>,
    rules: &PseudoRules,
) -> Result<Vec<Option<usize>>> {
    let Some((plain, _)) = views.first() else {
        return Err(Error::config("pseudo-labels need a view"));
    };
    let cells = plain.shape()[0];
    let fits = |(logits, shown): &(Matrix<f32>, Vec<bool>)| {
        logits.shape()[0] == cells && shown.len() == cells
    };
    if !views.iter().all(fits) || seen.shape()[0] != cells {
        return Err(Error::config("views of a picture with different numbers of cells"));
    }
    let found: Vec<_> = views.iter().map(|(logits, shown)| best(logits, shown)).collect();
    let mut kept = agreed(&found);
    for ((kept, unseen), seen) in kept.iter_mut().zip(plain.rows()).zip(seen.rows()) {
        if !rules.keep(unseen, seen) {
            *kept = None;
        }
    }
    Ok(kept)
}

impl PseudoRules {
    fn keep(&self, unseen: &[f32], seen: &[f32]) -> bool {
        let highest = |row: &[f32]| row.iter().copied().fold(f32::NEG_INFINITY, f32::max);
        let (best, best_seen) = (highest(unseen), highest(seen));
        let sum = |row: &[f32], most: f32| -> f32 {
            row.iter().map(|value| libm::expf(value - most)).sum()
        };
        let confidence = 1.0 / sum(unseen, best);
        let most = best.max(best_seen);
        let of_seen = libm::expf(best_seen - most) / (sum(unseen, most) + sum(seen, most));
        confidence >= self.min_confidence && of_seen <= self.tau_seen
    }
}

/// What the student should say: known labels as they are, on unlabelled pixels the pseudo-label,
/// [`IGNORED`] elsewhere. `unseen` has the class number of each place.
///
/// With `void_as_unlabelled` void pixels get pseudo-labels too (methods.md 3.7).
pub fn completed(
    labels: &LabelMap,
    pseudo: &[Option<usize>],
    unseen: &[usize],
    void_as_unlabelled: bool,
) -> Vec<i32> {
    let guess = |place: &Option<usize>| {
        let class = place.and_then(|place| unseen.get(place));
        class.map_or(IGNORED, |&class| class as i32)
    };
    let target = |(label, place)| match label {
        Label::Class(class) => i32::from(class),
        Label::Unlabelled => guess(place),
        Label::Void if void_as_unlabelled => guess(place),
        Label::Void => IGNORED,
    };
    labels.iter().zip(pseudo).map(target).collect()
}

/// Weights by which a class of `n` rows weighs `n^(1 - balance)` in all.
pub(super) fn class_weights(labels: &[i32], classes: usize, balance: f32) -> Vec<f32> {
    let mut counts = vec![0u32; classes];
    for &label in labels.iter().filter(|label| **label >= 0) {
        counts.iter_mut().skip(label as usize).take(1).for_each(|count| *count += 1);
    }
    let weight = |count: u32| if count == 0 { 0.0 } else { libm::powf(count as f32, -balance) };
    counts.into_iter().map(weight).collect()
}
