//! Scores of masks against the truth, exactly as in methods.md section 1.2.
//!
//! Everything follows from one [`Confusion`] matrix. What published tables leave open, such as how
//! a class that occurs nowhere counts, is an argument here.

use crate::status::{Result, Status};
use std::vec;
use std::vec::Vec;

/// How a class that occurs neither in the truth nor in the masks enters a mean.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Absent {
    /// Not at all ("nan" in methods.md): the mean is over the other classes.
    Skip,
    /// As a score of 0 ("zero", the ZS3 protocol).
    Zero,
}

/// Pixel counts by true class (rows) and found class (columns).
///
/// Pixels whose true label is not a class (the ignore label) are not counted at all. A pixel that
/// has a true class but was left unlabelled counts as missed: it enlarges the union of its true
/// class and of no other.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Confusion {
    classes: usize,
    /// `classes` rows of `classes + 1` counts; the last column counts unlabelled pixels.
    counts: Vec<u64>,
}

impl Confusion {
    /// An empty matrix.
    pub fn new(classes: usize) -> Confusion {
        Confusion { classes, counts: vec![0; classes * (classes + 1)] }
    }

    /// Number of classes.
    pub fn classes(&self) -> usize {
        self.classes
    }

    /// Counts the pixels of one mask: `truth` and `found` hold one label per pixel, in the same
    /// order. Any label that is not a class, such as 255, is "ignore" in `truth` and "unlabelled"
    /// in `found`.
    ///
    /// # Errors
    /// [`Status::InvalidArgument`] if the two differ in length; nothing is counted then.
    pub fn add<L: Copy + Into<u32>>(&mut self, truth: &[L], found: &[L]) -> Result<()> {
        if truth.len() != found.len() {
            let error = Status::InvalidArgument.about("pixels of a mask and of its truth");
            return Err(error.numbers(found.len() as u64, truth.len() as u64));
        }
        for (&truth, &found) in truth.iter().zip(found) {
            let (truth, found) = (truth.into() as usize, found.into() as usize);
            if truth < self.classes {
                self.counts[truth * (self.classes + 1) + found.min(self.classes)] += 1;
            }
        }
        Ok(())
    }

    /// Counts `pixels` pixels of one true class that were found as one class; `found` is any
    /// number from [`Confusion::classes`] on for unlabelled ones. Nothing is counted if `truth` is
    /// no class.
    pub fn add_count(&mut self, truth: usize, found: usize, pixels: u64) {
        if truth < self.classes {
            let at = truth * (self.classes + 1) + found.min(self.classes);
            if let Some(count) = self.counts.get_mut(at) {
                *count += pixels;
            }
        }
    }

    /// Adds the counts of another matrix.
    ///
    /// # Errors
    /// [`Status::InvalidArgument`] if it has another number of classes; nothing is counted then.
    pub fn merge(&mut self, other: &Confusion) -> Result<()> {
        if self.classes != other.classes {
            let error = Status::InvalidArgument.about("classes of two confusion matrices");
            return Err(error.numbers(other.classes as u64, self.classes as u64));
        }
        self.counts.iter_mut().zip(&other.counts).for_each(|(sum, count)| *sum += count);
        Ok(())
    }

    /// The counts above 0, as true class, found class ([`Confusion::classes`] for unlabelled) and
    /// pixels, row by row.
    pub fn nonzero(&self) -> impl Iterator<Item = (usize, usize, u64)> + '_ {
        let width = self.classes + 1;
        let cells = self.counts.iter().enumerate().filter(|(_, count)| **count > 0);
        cells.map(move |(at, &count)| (at / width, at % width, count))
    }

    /// Pixels of true class `truth` that were given no class.
    pub fn unlabelled(&self, truth: usize) -> u64 {
        self.row(truth).last().copied().unwrap_or(0)
    }

    /// Pixels of true class `truth` that were given class `found`.
    pub fn count(&self, truth: usize, found: usize) -> u64 {
        self.row(truth).get(found).copied().unwrap_or(0)
    }

    /// Pixels of the class that were found: TP.
    pub fn correct(&self, class: usize) -> u64 {
        self.count(class, class)
    }

    /// Pixels that truly are of the class: GT.
    pub fn truth(&self, class: usize) -> u64 {
        self.row(class).iter().sum()
    }

    /// Pixels that were given the class: PR.
    pub fn found(&self, class: usize) -> u64 {
        (0..self.classes).map(|truth| self.count(truth, class)).sum()
    }

    fn row(&self, truth: usize) -> &[u64] {
        let width = self.classes + 1;
        self.counts.get(truth * width..(truth + 1) * width).unwrap_or_default()
    }

    /// Intersection over union of a class; `None` if it occurs neither in the truth nor in the
    /// masks.
    pub fn iou(&self, class: usize) -> Option<f64> {
        let correct = self.correct(class);
        ratio(correct, self.truth(class) + self.found(class) - correct)
    }

    /// Share of a class's true pixels that were found; `None` if it has none.
    pub fn accuracy(&self, class: usize) -> Option<f64> {
        ratio(self.correct(class), self.truth(class))
    }

    /// Mean IoU over all classes; `None` if none is left to average.
    pub fn mean_iou(&self, absent: Absent) -> Option<f64> {
        self.mean_iou_of(0..self.classes, absent)
    }

    /// Mean IoU over some classes, such as the seen ones. The matrix stays that of all classes: a
    /// pixel given to a class outside the subset is still wrong.
    pub fn mean_iou_of(
        &self,
        classes: impl IntoIterator<Item = usize>,
        absent: Absent,
    ) -> Option<f64> {
        mean(classes.into_iter().map(|class| self.iou(class)), absent)
    }

    /// Mean class accuracy over some classes.
    pub fn mean_accuracy_of(
        &self,
        classes: impl IntoIterator<Item = usize>,
        absent: Absent,
    ) -> Option<f64> {
        mean(classes.into_iter().map(|class| self.accuracy(class)), absent)
    }

    /// Share of all pixels that are right; `None` without pixels.
    pub fn pixel_accuracy(&self) -> Option<f64> {
        self.pixel_accuracy_of(0..self.classes)
    }

    /// Share of the pixels of some classes that are right.
    pub fn pixel_accuracy_of(&self, classes: impl IntoIterator<Item = usize>) -> Option<f64> {
        let (mut correct, mut total) = (0, 0);
        for class in classes {
            correct += self.correct(class);
            total += self.truth(class);
        }
        ratio(correct, total)
    }

    /// IoU of every class weighted by its share of the true pixels; `None` without pixels.
    pub fn frequency_weighted_iou(&self) -> Option<f64> {
        self.frequency_weighted_iou_of(0..self.classes)
    }

    /// IoU of some classes, each weighted by its share of their true pixels; `None` without
    /// pixels.
    pub fn frequency_weighted_iou_of(
        &self,
        classes: impl IntoIterator<Item = usize>,
    ) -> Option<f64> {
        let (mut sum, mut total) = (0.0, 0);
        for class in classes {
            let truth = self.truth(class);
            sum += truth as f64 * self.iou(class).unwrap_or(0.0);
            total += truth;
        }
        (total > 0).then(|| sum / total as f64)
    }
}

/// Harmonic mean of a score on the seen and one on the unseen classes; 0 if both are 0.
pub fn harmonic_mean(seen: f64, unseen: f64) -> f64 {
    let sum = seen + unseen;
    if sum == 0.0 { 0.0 } else { 2.0 * seen * unseen / sum }
}

fn ratio(part: u64, whole: u64) -> Option<f64> {
    (whole > 0).then(|| part as f64 / whole as f64)
}

fn mean(scores: impl Iterator<Item = Option<f64>>, absent: Absent) -> Option<f64> {
    let (mut sum, mut count) = (0.0, 0u32);
    for score in scores {
        let score = match absent {
            Absent::Skip => score,
            Absent::Zero => Some(score.unwrap_or(0.0)),
        };
        sum += score.unwrap_or(0.0);
        count += u32::from(score.is_some());
    }
    (count > 0).then(|| sum / f64::from(count))
}

/// Intersection over union of the cells that are true in both masks, which are equally long; 0 if
/// neither has any.
pub fn overlap(one: &[bool], other: &[bool]) -> f64 {
    let pairs = || one.iter().zip(other);
    let shared = pairs().filter(|(a, b)| **a && **b).count();
    let united = pairs().filter(|(a, b)| **a || **b).count();
    if united == 0 { 0.0 } else { shared as f64 / united as f64 }
}

/// Fusion by an oracle, for evaluation only: of the prediction and the segments, the mask that
/// overlaps the truth most (the prediction on ties, then the first segment). SAZS's published
/// figures were made so (methods.md 6.10); a device, which has no truth, cannot do it.
///
/// # Errors
/// [`Status::InvalidArgument`] if a mask differs from the truth in length.
pub fn oracle_shape<'m>(
    truth: &[bool],
    prediction: &'m [bool],
    segments: &[&'m [bool]],
) -> Result<&'m [bool]> {
    let mut best = (prediction, f64::NEG_INFINITY);
    for &mask in core::iter::once(&prediction).chain(segments) {
        if mask.len() != truth.len() {
            let error = Status::InvalidArgument.about("cells of a mask and of its truth");
            return Err(error.numbers(mask.len() as u64, truth.len() as u64));
        }
        let overlap = overlap(truth, mask);
        if overlap > best.1 {
            best = (mask, overlap);
        }
    }
    Ok(best.0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn matrix(classes: usize, truth: &[u8], found: &[u8]) -> Confusion {
        let mut confusion = Confusion::new(classes);
        confusion.add(truth, found).unwrap();
        confusion
    }

    #[track_caller]
    fn assert_near(found: Option<f64>, wanted: f64) {
        assert!((found.unwrap() - wanted).abs() < 1e-7, "{found:?} is not {wanted}");
    }

    /// Golden vector G1 of methods.md section 12.
    #[test]
    fn golden_vector_g1() {
        let truth = [0, 0, 0, 0, 1, 1, 1, 2, 2, 255];
        let found = [0, 0, 0, 1, 1, 1, 2, 2, 0, 1];
        let confusion = matrix(3, &truth, &found);
        let rows: Vec<u64> = (0..9).map(|cell| confusion.count(cell / 3, cell % 3)).collect();
        assert_eq!(rows, [3, 1, 0, 0, 2, 1, 1, 0, 1]);
        for (class, iou, accuracy) in [(0, 0.6, 0.75), (1, 0.5, 2.0 / 3.0), (2, 1.0 / 3.0, 0.5)] {
            assert_near(confusion.iou(class), iou);
            assert_near(confusion.accuracy(class), accuracy);
        }
        assert_near(confusion.pixel_accuracy(), 0.666_666_7);
        assert_near(confusion.mean_iou(Absent::Skip), 0.477_777_8);
        let seen = confusion.mean_iou_of([0, 1], Absent::Skip);
        let unseen = confusion.mean_iou_of([2], Absent::Skip);
        assert_near(seen, 0.55);
        assert_near(unseen, 1.0 / 3.0);
        assert_near(Some(harmonic_mean(seen.unwrap(), unseen.unwrap())), 0.415_094_3);
    }

    /// The second half of G1.
    #[test]
    fn absent_classes_are_skipped_or_count_as_zero() {
        let confusion = matrix(3, &[0, 0, 1, 1], &[0, 0, 1, 0]);
        assert_near(confusion.mean_iou(Absent::Skip), 0.583_333_3);
        assert_near(confusion.mean_iou(Absent::Zero), 0.388_888_9);
        assert_eq!(confusion.iou(2), None);
    }

    #[test]
    fn unlabelled_pixels_are_missed_ones() {
        let confusion = matrix(2, &[0, 0, 1], &[0, 255, 1]);
        assert_near(confusion.iou(0), 0.5);
        assert_near(confusion.iou(1), 1.0);
        assert_near(confusion.pixel_accuracy(), 2.0 / 3.0);
    }

    #[test]
    fn nothing_counted_gives_no_score() {
        let confusion = Confusion::new(4);
        assert_eq!(confusion.pixel_accuracy(), None);
        assert_eq!(confusion.mean_iou(Absent::Skip), None);
        assert_eq!(confusion.frequency_weighted_iou(), None);
        assert_eq!(harmonic_mean(0.0, 0.0), 0.0);
        assert!(Confusion::new(2).add(&[0u8], &[]).is_err());
    }

    proptest! {
        /// The identity that ties the subset means to the whole (methods.md section 1.2).
        #[test]
        fn subset_means_add_up(
            pixels in proptest::collection::vec((0u8..6, 0u8..6), 1..200), split in 1usize..5,
        ) {
            let (truth, found): (Vec<u8>, Vec<u8>) = pixels.into_iter().unzip();
            let confusion = matrix(6, &truth, &found);
            let seen = confusion.mean_iou_of(0..split, Absent::Zero).unwrap() * split as f64;
            let unseen = confusion.mean_iou_of(split..6, Absent::Zero).unwrap();
            let unseen = unseen * (6 - split) as f64;
            let all = confusion.mean_iou(Absent::Zero).unwrap();
            prop_assert!((all - (seen + unseen) / 6.0).abs() < 1e-12);
            let weighted = confusion.frequency_weighted_iou().unwrap();
            prop_assert!(weighted <= confusion.pixel_accuracy().unwrap() + 1e-12);
        }
    }

    #[test]
    fn an_oracle_takes_the_mask_nearest_to_the_truth() {
        let truth = [true, true, false, false];
        let prediction = [true, false, false, true];
        let segments: [&[bool]; 2] = [&[true, true, true, false], &[false, false, true, true]];
        assert_eq!(oracle_shape(&truth, &prediction, &segments).unwrap(), segments[0]);
        assert_eq!(
            oracle_shape(&truth, &truth, &[&truth.clone()]).unwrap().as_ptr(),
            truth.as_ptr()
        );
        assert!(oracle_shape(&truth, &prediction, &[&[true]]).is_err());
        assert_eq!(overlap(&[false], &[false]), 0.0);
    }

    proptest! {
        #[test]
        fn an_oracle_is_never_worse_than_any_candidate(
            masks in proptest::collection::vec(proptest::collection::vec(any::<bool>(), 12), 2..7),
        ) {
            let (truth, rest) = masks.split_first().unwrap();
            let segments: Vec<&[bool]> = rest[1..].iter().map(Vec::as_slice).collect();
            let found = oracle_shape(truth, &rest[0], &segments).unwrap();
            let best = rest.iter().map(|mask| overlap(truth, mask)).fold(0.0, f64::max);
            prop_assert_eq!(overlap(truth, found), best);
        }
    }
}
