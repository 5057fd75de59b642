//! The second stage: clusters of the objects' vectors.

use super::MaskDistill;
use super::clusters::{KMeans, deviations, whiten};
use super::objects::Objects;
use crate::train::engine::{Engine, Matrix};
use crate::train::error::{Error, Result};
use crate::train::stage::{Report, Stage, State};
use std::vec::Vec;

/// Names in the state.
const CENTRES: &str = "centres";
const COUNTS: &str = "counts";
const BEST: &str = "best";
const INERTIA: &str = "inertia";
const DEVIATIONS: &str = "deviations";

/// Runs k-means from several starts.
pub(super) struct Clustering<'a, E> {
    method: &'a MaskDistill<'a, E>,
    rows: Matrix<f32>,
    deviations: Matrix<f32>,
    now: Option<KMeans>,
    /// Centres of the best start so far, and their inertia.
    best: Option<(Matrix<f32>, f64)>,
}

impl<'a, E: Engine<f32>> Clustering<'a, E> {
    pub fn new(method: &'a MaskDistill<'a, E>, objects: &Objects) -> Result<Clustering<'a, E>> {
        let mut rows = objects.descriptors()?;
        if method.settings.most_confident {
            rows = method_rows(&rows, &objects.best())?;
        }
        let clusters = method.settings.clusters;
        if rows.shape()[0] < clusters {
            let reason = std::format!(
                "MaskDistill: {} objects cannot be divided into {clusters} clusters",
                rows.shape()[0]
            );
            return Err(Error::config(reason));
        }
        let deviations = deviations(&rows)?;
        whiten(&mut rows, &deviations);
        Ok(Clustering { method, rows, deviations, now: None, best: None })
    }
}

/// The rows at these places.
fn method_rows(rows: &Matrix<f32>, places: &[usize]) -> Result<Matrix<f32>> {
    let chosen = places.iter().filter_map(|&place| rows.row(place));
    let values: Vec<f32> = chosen.flatten().copied().collect();
    Ok(Matrix::new([places.len(), rows.shape()[1]], values)?)
}

/// The cluster of each object, by the last state of [`Clustering`].
pub(super) fn assign(state: &State, objects: &Objects) -> Result<Vec<usize>> {
    let mut rows = objects.descriptors()?;
    let centres = state.get(BEST)?.clone();
    let columns = centres.shape()[1];
    let deviations = state.get_shaped(DEVIATIONS, [1, columns])?;
    if rows.shape()[0] == 0 {
        return Ok(Vec::new());
    }
    if rows.shape()[1] != columns {
        return Err(Error::config("clusters of other vectors than those of the objects"));
    }
    whiten(&mut rows, deviations);
    let nearest = KMeans { counts: std::vec![0; centres.shape()[0]], centres };
    Ok(rows.rows().map(|row| nearest.nearest(row).0).collect())
}

impl<E: Engine<f32>> Stage for Clustering<'_, E> {
    fn steps(&self) -> u64 {
        let settings = &self.method.settings;
        settings.cluster_starts.saturating_mul(settings.cluster_steps)
    }

    fn step(&mut self, step: u64) -> Result<Report> {
        let settings = &self.method.settings;
        let seed = self.method.task.seed;
        let place = [step / settings.cluster_steps, step % settings.cluster_steps];
        let [start, of_start] = place.map(|number| number as u32);
        let mut means = match self.now.take() {
            Some(means) if of_start > 0 => means,
            _ => KMeans::start(&self.rows, settings.clusters, seed, start)?,
        };
        means.step(&self.rows, settings.cluster_batch, seed, [start, of_start]);
        let inertia = means.inertia(&self.rows);
        if !inertia.is_finite() {
            return Err(Error::NotFinite { loss: INERTIA, step });
        }
        let last = place[1] + 1 == settings.cluster_steps;
        if last && self.best.as_ref().is_none_or(|(_, least)| inertia < *least) {
            self.best = Some((means.centres.clone(), inertia));
        }
        self.now = Some(means);
        Ok(Vec::from([(INERTIA, inertia)]))
    }

    fn state(&self) -> Result<State> {
        let mut state = State::default();
        state.put(DEVIATIONS, self.deviations.clone());
        if let Some(now) = &self.now {
            state.put(CENTRES, now.centres.clone());
            state.put_numbers(COUNTS, now.counts.clone());
        }
        if let Some((centres, inertia)) = &self.best {
            state.put(BEST, centres.clone());
            state.put_numbers(INERTIA, Vec::from([inertia.to_bits()]));
        }
        Ok(state)
    }

    fn restore(&mut self, state: &State) -> Result<()> {
        let shape = [self.method.settings.clusters, self.rows.shape()[1]];
        state.get_shaped(DEVIATIONS, [1, shape[1]])?;
        let mut now = None;
        if state.matrices.contains_key(CENTRES) {
            let counts = state.get_numbers(COUNTS)?.to_vec();
            if counts.len() != shape[0] {
                return Err(Error::config("the state has counts of other clusters"));
            }
            now = Some(KMeans { centres: state.get_shaped(CENTRES, shape)?.clone(), counts });
        }
        let mut best = None;
        if state.matrices.contains_key(BEST) {
            let bits = state.get_numbers(INERTIA)?.first().copied();
            let inertia = f64::from_bits(bits.unwrap_or(f64::INFINITY.to_bits()));
            best = Some((state.get_shaped(BEST, shape)?.clone(), inertia));
        }
        (self.now, self.best) = (now, best);
        Ok(())
    }
}
