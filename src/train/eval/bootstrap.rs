//! How much scores owe to the choice of pictures.

use super::evaluation::Evaluation;
use super::scores::Scores;
use crate::math::random::Random;
use crate::metrics::Confusion;
use serde::Serialize;
use std::vec;
use std::vec::Vec;

/// Rounds unless told otherwise.
pub const ROUNDS: u32 = 1_000;
/// Share of the rounds that an interval holds.
pub const SHARE: f64 = 0.95;

/// What random numbers are for.
const STREAM: u32 = 0x626f_6f74;

/// An interval that holds the middle 95 % of the rounds; ends are interpolated linearly between
/// rounds.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Interval {
    /// Its lower end.
    pub low: f64,
    /// Its upper end.
    pub high: f64,
    /// Rounds that had the score: a class may be in none of a round's pictures.
    pub rounds: u32,
}

/// Intervals of IoU of a class and of the means.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Intervals {
    /// Number that the draws followed from.
    pub seed: u64,
    /// Number of rounds.
    pub rounds: u32,
    /// mIoU of the seen classes.
    pub seen: Option<Interval>,
    /// mIoU of the unseen classes.
    pub unseen: Option<Interval>,
    /// mIoU of all classes.
    pub all: Option<Interval>,
    /// Their harmonic mean.
    pub harmonic: Option<Interval>,
    /// pAcc of all classes.
    pub pixel_accuracy: Option<Interval>,
    /// IoU of the classes, in the order of [`Scores::classes`].
    pub classes: Vec<Option<Interval>>,
}

/// Percentile bootstrap (Efron, 1979): in every round as many pictures as there are, drawn with
/// replacement. The draws follow from `seed` and the names' order alone. `None` without pictures
/// or rounds.
///
/// Costs `rounds` times the pictures' cells and `4 classes^2`.
pub fn bootstrap(evaluation: &Evaluation, rounds: u32, seed: u64) -> Option<Intervals> {
    let count = evaluation.pictures().len();
    if count == 0 || rounds == 0 {
        return None;
    }
    let mut columns = Vec::new();
    for round in 0..rounds {
        let scores = resampled(evaluation, &draw(count, round, seed));
        let means = [
            scores.seen.mean_iou,
            scores.unseen.mean_iou,
            scores.all.mean_iou,
            scores.harmonic.iou,
            scores.all.pixel_accuracy,
        ];
        let values = means.into_iter().chain(scores.classes.iter().map(|class| class.iou));
        for (place, value) in values.enumerate() {
            if columns.len() <= place {
                columns.push(Vec::new());
            }
            if let (Some(column), Some(value)) = (columns.get_mut(place), value) {
                column.push(value);
            }
        }
    }
    let mut intervals = columns.into_iter().map(interval);
    let mut next = || intervals.next().flatten();
    let [seen, unseen, all] = [next(), next(), next()];
    let [harmonic, pixel_accuracy] = [next(), next()];
    let classes = intervals.collect();
    Some(Intervals { seed, rounds, seen, unseen, all, harmonic, pixel_accuracy, classes })
}

/// How often every picture is drawn in a round.
fn draw(count: usize, round: u32, seed: u64) -> Vec<u32> {
    let random = Random::new(seed, &[]);
    let mut times = vec![0; count];
    for block in 0..count.div_ceil(4) {
        let uniform = random.uniform(block as u32, round, STREAM);
        for share in uniform.into_iter().take(count - 4 * block) {
            let place = (f64::from(share) * count as f64) as usize;
            if let Some(times) = times.get_mut(place) {
                *times += 1;
            }
        }
    }
    times
}

fn resampled(evaluation: &Evaluation, times: &[u32]) -> Scores {
    let setup = evaluation.setup();
    let mut confusion = Confusion::new(setup.subject.class_count());
    for ((_, cells), &times) in evaluation.pictures().zip(times) {
        for &(truth, found, pixels) in cells.iter().filter(|_| times > 0) {
            let pixels = u64::from(pixels) * u64::from(times);
            confusion.add_count(truth.into(), found.into(), pixels);
        }
    }
    Scores::new(&confusion, &setup.subject, setup.protocol.absent_class.into())
}

fn interval(mut values: Vec<f64>) -> Option<Interval> {
    values.sort_by(f64::total_cmp);
    let at = |share: f64| {
        let position = share * (values.len().checked_sub(1)? as f64);
        let low = values.get(position as usize)?;
        let high = values.get(position as usize + 1).unwrap_or(low);
        Some(low + (high - low) * (position - libm::floor(position)))
    };
    let tail = (1.0 - SHARE) / 2.0;
    Some(Interval { low: at(tail)?, high: at(1.0 - tail)?, rounds: values.len() as u32 })
}
