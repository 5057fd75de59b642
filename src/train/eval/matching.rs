//! Names for clusters, to score masks that were learnt without labels (methods.md 7.6).

use crate::metrics::Confusion;
use crate::train::error::{Error, Result};
use std::format;
use std::vec;
use std::vec::Vec;

/// Pixels by true class and found cluster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Clusters {
    classes: usize,
    clusters: usize,
    /// `[classes, clusters + 1]`; the last column counts pixels without a cluster.
    counts: Vec<u64>,
}

impl Clusters {
    /// No pixels yet.
    ///
    /// # Errors
    /// [`Error::Config`] without a class or a cluster.
    pub fn new(classes: usize, clusters: usize) -> Result<Clusters> {
        if classes == 0 || clusters == 0 {
            return Err(Error::config(format!("{clusters} clusters for {classes} classes")));
        }
        Ok(Clusters { classes, clusters, counts: vec![0; classes * (clusters + 1)] })
    }

    /// Counts pixels. A truth that is no class is left out; a number that is no cluster counts as
    /// missed.
    ///
    /// # Errors
    /// [`Error::Config`] if the two differ in length; nothing is counted then.
    pub fn add<L: Copy + Into<u32>>(&mut self, truth: &[L], found: &[L]) -> Result<()> {
        if truth.len() != found.len() {
            let reason = format!("{} clusters of {} pixels", found.len(), truth.len());
            return Err(Error::config(reason));
        }
        for (&truth, &found) in truth.iter().zip(found) {
            let (truth, found) = (truth.into() as usize, found.into() as usize);
            if truth >= self.classes {
                continue;
            }
            let at = truth * (self.clusters + 1) + found.min(self.clusters);
            if let Some(count) = self.counts.get_mut(at) {
                *count += 1;
            }
        }
        Ok(())
    }

    /// The class of every cluster: by [`assign`] on their IoU if there are no more clusters than
    /// classes, else that of most of its pixels ([`Clusters::by_majority`]). `None` for a cluster
    /// without pixels of any class under majority vote.
    pub fn classes_of(&self) -> Vec<Option<usize>> {
        if self.clusters > self.classes {
            return self.by_majority();
        }
        let scores = (0..self.clusters)
            .map(|cluster| (0..self.classes).map(|class| self.iou(class, cluster)).collect());
        let scores: Vec<Vec<f64>> = scores.collect();
        assign(&scores)
    }

    /// For every cluster the class that most of its pixels truly are of, the first of equal ones.
    pub fn by_majority(&self) -> Vec<Option<usize>> {
        let most = |cluster| {
            let mut best = (None, 0);
            for class in 0..self.classes {
                let pixels = self.count(class, cluster);
                if pixels > best.1 {
                    best = (Some(class), pixels);
                }
            }
            best.0
        };
        (0..self.clusters).map(most).collect()
    }

    /// The confusion matrix once clusters have names, as [`Clusters::classes_of`] gives them.
    pub fn confusion(&self, names: &[Option<usize>]) -> Confusion {
        let mut confusion = Confusion::new(self.classes);
        for class in 0..self.classes {
            for cluster in 0..=self.clusters {
                let name = names.get(cluster).copied().flatten().unwrap_or(self.classes);
                confusion.add_count(class, name, self.count(class, cluster));
            }
        }
        confusion
    }

    fn count(&self, class: usize, cluster: usize) -> u64 {
        self.counts.get(class * (self.clusters + 1) + cluster).copied().unwrap_or(0)
    }

    fn iou(&self, class: usize, cluster: usize) -> f64 {
        let shared = self.count(class, cluster);
        let truth: u64 = (0..=self.clusters).map(|cluster| self.count(class, cluster)).sum();
        let found: u64 = (0..self.classes).map(|class| self.count(class, cluster)).sum();
        let united = truth + found - shared;
        if united == 0 { 0.0 } else { shared as f64 / united as f64 }
    }
}

/// One column for every row so that the sum of their scores is the largest possible, no column
/// twice (Kuhn, 1955; in the form with potentials of Jonker and Volgenant, 1987). Rows beyond the
/// number of columns, and missing or infinite scores, get `None`; of equal sums any may come, but
/// always the same. `rows^2 * columns` steps.
pub fn assign(scores: &[Vec<f64>]) -> Vec<Option<usize>> {
    let columns = scores.iter().map(Vec::len).max().unwrap_or(0);
    let mut search = Search::new(scores, columns.max(scores.len()));
    for row in 1..=scores.len() {
        search.place(row);
    }
    let mut found = vec![None; scores.len()];
    for (column, &row) in search.row_of.iter().enumerate().skip(1) {
        let is_real = |column: &usize| {
            let row = row.checked_sub(1).and_then(|row| scores.get(row));
            row.and_then(|row| row.get(*column)).is_some_and(|score| score.is_finite())
        };
        let place = Some(column - 1).filter(is_real);
        if let Some(found) = row.checked_sub(1).and_then(|row| found.get_mut(row)) {
            *found = place;
        }
    }
    found
}

/// Rows and columns count from 1; 0 is "none".
struct Search<'s> {
    scores: &'s [Vec<f64>],
    row_potential: Vec<f64>,
    column_potential: Vec<f64>,
    /// Row that each column was given to.
    row_of: Vec<usize>,
}

impl<'s> Search<'s> {
    fn new(scores: &'s [Vec<f64>], columns: usize) -> Search<'s> {
        Search {
            scores,
            row_potential: vec![0.0; scores.len() + 1],
            column_potential: vec![0.0; columns + 1],
            row_of: vec![0; columns + 1],
        }
    }

    /// What it costs to give a column to a row, less the potentials.
    fn cost(&self, row: usize, column: usize) -> f64 {
        let score = self.scores.get(row.wrapping_sub(1)).and_then(|row| row.get(column - 1));
        let cost = score.filter(|score| score.is_finite()).map_or(0.0, |score| -score);
        cost - at(&self.row_potential, row) - at(&self.column_potential, column)
    }

    /// Gives a column to one more row, by the shortest augmenting path.
    fn place(&mut self, row: usize) {
        let len = self.row_of.len();
        let (mut least, mut before) = (vec![f64::INFINITY; len], vec![0usize; len]);
        let mut used = vec![false; len];
        set(&mut self.row_of, 0, row);
        let mut column = 0;
        loop {
            set(&mut used, column, true);
            let here = at(&self.row_of, column);
            let (mut step, mut next) = (f64::INFINITY, 0);
            for other in (1..len).filter(|other| !at(&used, *other)) {
                let cost = self.cost(here, other);
                if cost < at(&least, other) {
                    set(&mut least, other, cost);
                    set(&mut before, other, column);
                }
                if at(&least, other) < step {
                    (step, next) = (at(&least, other), other);
                }
            }
            self.shift(&used, &mut least, step);
            column = next;
            if at(&self.row_of, column) == 0 {
                break;
            }
        }
        while column != 0 {
            let previous = at(&before, column);
            let row = at(&self.row_of, previous);
            set(&mut self.row_of, column, row);
            column = previous;
        }
    }

    /// Moves the potentials so that the next column costs nothing.
    fn shift(&mut self, used: &[bool], least: &mut [f64], step: f64) {
        for (column, &used) in used.iter().enumerate() {
            if used {
                let row = at(&self.row_of, column);
                let potential = at(&self.row_potential, row) + step;
                set(&mut self.row_potential, row, potential);
                let potential = at(&self.column_potential, column) - step;
                set(&mut self.column_potential, column, potential);
            } else if let Some(least) = least.get_mut(column) {
                *least -= step;
            }
        }
    }
}

fn at<T: Copy + Default>(values: &[T], place: usize) -> T {
    values.get(place).copied().unwrap_or_default()
}

fn set<T>(values: &mut [T], place: usize, value: T) {
    if let Some(old) = values.get_mut(place) {
        *old = value;
    }
}
