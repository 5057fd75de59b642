//! Scores by the handicap of the seen classes (methods.md 1.11).

use super::evaluation::Evaluation;
use super::scores::Scores;
use serde::Serialize;
use std::vec::Vec;

/// What has to stand beside every sweep.
pub const SWEEP_NOTE: &str = "These handicaps were tried on the very pictures and classes that \
     are scored here. To choose one, run the sweep on validation pictures with some of the \
     training's own (seen) classes held out, never on the unseen classes of the test: a handicap \
     chosen on those makes every figure with it too good.";

/// Scores at a handicap.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct SweepRow {
    /// The handicap.
    pub gamma: f32,
    /// mIoU of the seen classes.
    pub seen: Option<f64>,
    /// mIoU of the unseen classes.
    pub unseen: Option<f64>,
    /// Their harmonic mean.
    pub harmonic: Option<f64>,
    /// pAcc of all classes.
    pub pixel_accuracy: Option<f64>,
}

/// Scores at every handicap that was tried, in their order.
pub fn sweep(evaluation: &Evaluation) -> Vec<SweepRow> {
    let setup = evaluation.setup();
    let absent = setup.protocol.absent_class.into();
    let row = |(place, &gamma): (usize, &f32)| {
        let scores = Scores::new(&evaluation.confusion_at(place), &setup.subject, absent);
        SweepRow {
            gamma,
            seen: scores.seen.mean_iou,
            unseen: scores.unseen.mean_iou,
            harmonic: scores.harmonic.iou,
            pixel_accuracy: scores.all.pixel_accuracy,
        }
    };
    setup.gammas.iter().enumerate().map(row).collect()
}

/// The row with the highest harmonic mean, the first of equal ones; `None` if none has one.
pub fn best(rows: &[SweepRow]) -> Option<&SweepRow> {
    let mut best: Option<(&SweepRow, f64)> = None;
    for row in rows {
        let Some(harmonic) = row.harmonic else { continue };
        if best.is_none_or(|(_, highest)| harmonic > highest) {
            best = Some((row, harmonic));
        }
    }
    best.map(|(row, _)| row)
}
