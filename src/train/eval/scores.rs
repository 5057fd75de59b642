//! Scores of a confusion matrix (methods.md 1.2).

use super::subject::{Scored, Subject};
use crate::metrics::{Absent, Confusion, harmonic_mean};
use serde::Serialize;
use std::string::{String, ToString};
use std::vec::Vec;

/// Scores of some classes, all from the one matrix of all classes; shares of 1, `None` where there
/// is nothing to divide by.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Means {
    /// Number of the classes.
    pub classes: usize,
    /// Their true pixels.
    pub pixels: u64,
    /// Share of those that were found: pAcc.
    pub pixel_accuracy: Option<f64>,
    /// Mean over the classes of the share of their pixels that was found: mAcc.
    pub mean_accuracy: Option<f64>,
    /// Mean of intersection over union: mIoU.
    pub mean_iou: Option<f64>,
    /// Mean of intersection over union by true pixels: fwIoU.
    pub frequency_weighted_iou: Option<f64>,
}

/// Harmonic means of scores of seen and of unseen classes; `None` if one of the two is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Harmonic {
    /// Of mIoU: hIoU, often called H.
    pub iou: Option<f64>,
    /// Of pAcc: hPA.
    pub pixel_accuracy: Option<f64>,
    /// Of mAcc: hMA.
    pub mean_accuracy: Option<f64>,
}

/// Scores of one class.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ClassScores {
    /// Its number in the data set.
    pub class: usize,
    /// Its name.
    pub name: String,
    /// As what it is scored.
    pub scored: Scored,
    /// Pixels that truly are of it.
    pub pixels: u64,
    /// Pixels that were given it.
    pub found: u64,
    /// Intersection over union.
    pub iou: Option<f64>,
    /// Share of its pixels that were found.
    pub accuracy: Option<f64>,
}

/// All scores.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Scores {
    /// Of the seen classes.
    pub seen: Means,
    /// Of the unseen ones.
    pub unseen: Means,
    /// Of both together.
    pub all: Means,
    /// Harmonic means of seen and unseen.
    pub harmonic: Harmonic,
    /// Of every class that is scored.
    pub classes: Vec<ClassScores>,
}

impl Scores {
    /// The scores of a matrix. Costs about `4 classes^2`.
    pub fn new(confusion: &Confusion, subject: &Subject, absent: Absent) -> Scores {
        let classes = subject.counted().map(|class| ClassScores {
            class,
            name: subject.name(class).to_string(),
            scored: subject.scored(class),
            pixels: confusion.truth(class),
            found: confusion.found(class),
            iou: confusion.iou(class),
            accuracy: confusion.accuracy(class),
        });
        let seen = Means::of(confusion, subject.places(Scored::Seen), absent);
        let unseen = Means::of(confusion, subject.places(Scored::Unseen), absent);
        let harmonic = |of: fn(&Means) -> Option<f64>| {
            of(&seen).zip(of(&unseen)).map(|(seen, unseen)| harmonic_mean(seen, unseen))
        };
        Scores {
            all: Means::of(confusion, subject.counted(), absent),
            harmonic: Harmonic {
                iou: harmonic(|means| means.mean_iou),
                pixel_accuracy: harmonic(|means| means.pixel_accuracy),
                mean_accuracy: harmonic(|means| means.mean_accuracy),
            },
            classes: classes.collect(),
            seen,
            unseen,
        }
    }
}

impl Means {
    fn of(
        confusion: &Confusion,
        classes: impl Iterator<Item = usize> + Clone,
        absent: Absent,
    ) -> Means {
        Means {
            classes: classes.clone().count(),
            pixels: classes.clone().map(|class| confusion.truth(class)).sum(),
            pixel_accuracy: confusion.pixel_accuracy_of(classes.clone()),
            mean_accuracy: confusion.mean_accuracy_of(classes.clone(), absent),
            mean_iou: confusion.mean_iou_of(classes.clone(), absent),
            frequency_weighted_iou: confusion.frequency_weighted_iou_of(classes),
        }
    }
}
