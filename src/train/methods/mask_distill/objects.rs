//! The first stage: objects of all pictures.

use super::MaskDistill;
use super::masks::Proposal;
use crate::train::engine::{Engine, Matrix};
use crate::train::error::{Error, Result};
use crate::train::stage::{Report, Stage, State};
use std::format;
use std::vec::Vec;

/// Names in the state: objects of each picture, bits of the masks, and what follows its name.
const COUNTS: &str = "objects";
const MASKS: &str = "masks";
const SCORES: &str = "scores";
const DESCRIPTORS: &str = "descriptors";

/// Objects, picture after picture.
#[derive(Clone, Debug, Default)]
pub(super) struct Objects {
    /// Of each picture so far.
    pub counts: Vec<usize>,
    pub proposals: Vec<Proposal>,
    /// Vectors of all objects, one after another.
    pub vectors: Vec<f32>,
}

impl Objects {
    /// Places of a picture's objects.
    pub fn of_picture(&self, picture: usize) -> core::ops::Range<usize> {
        let start = self.counts.iter().take(picture).sum();
        start..start + self.counts.get(picture).copied().unwrap_or(0)
    }

    /// One vector per object. Without objects there are no rows.
    pub fn descriptors(&self) -> Result<Matrix<f32>> {
        let count = self.proposals.len();
        let length = self.vectors.len().checked_div(count).unwrap_or(0).max(1);
        Ok(Matrix::new([count, length], self.vectors.clone())?)
    }

    /// Place of the first object with the best score of each picture that has one.
    pub fn best(&self) -> Vec<usize> {
        let mut start = 0;
        let mut best = Vec::new();
        for &count in &self.counts {
            let mut most: Option<(usize, f32)> = None;
            for (place, proposal) in self.proposals.iter().enumerate().skip(start).take(count) {
                if most.is_none_or(|(_, score)| proposal.score > score) {
                    most = Some((place, proposal.score));
                }
            }
            best.extend(most.map(|(place, _)| place));
            start += count;
        }
        best
    }

    fn save(&self) -> Result<State> {
        let mut state = State::default();
        let counts = self.counts.iter().map(|&count| count as u64);
        state.put_numbers(COUNTS, counts.collect());
        let bits = self.proposals.iter().flat_map(|proposal| {
            let word = |cells: &[bool]| {
                let bits = cells.iter().enumerate();
                bits.fold(0u64, |word, (bit, &inside)| word | (u64::from(inside) << bit))
            };
            proposal.mask.chunks(64).map(word)
        });
        state.put_numbers(MASKS, bits.collect());
        let scores = self.proposals.iter().map(|proposal| proposal.score).collect();
        state.put(SCORES, Matrix::new([self.proposals.len(), 1], scores)?);
        state.put(DESCRIPTORS, self.descriptors()?);
        Ok(state)
    }

    /// Reads what [`Objects::save`] wrote for masks of `cells` cells.
    pub fn load(state: &State, cells: usize) -> Result<Objects> {
        let counts: Vec<usize> =
            state.get_numbers(COUNTS)?.iter().map(|&count| count as usize).collect();
        let total = counts.iter().fold(0usize, |sum, &count| sum.saturating_add(count));
        let words = state.get_numbers(MASKS)?;
        let of_mask = cells.div_ceil(64).max(1);
        if total.checked_mul(of_mask) != Some(words.len()) {
            let reason = format!("the state has {} words for {total} masks", words.len());
            return Err(Error::config(reason));
        }
        let scores = state.get_shaped(SCORES, [total, 1])?;
        let descriptors = state.get(DESCRIPTORS)?;
        if descriptors.shape()[0] != total {
            return Err(Error::config("the state has another number of descriptors than masks"));
        }
        let proposals = words.chunks(of_mask).zip(scores.values()).map(|(words, &score)| {
            let bits = words.iter().flat_map(|word| (0..64).map(move |bit| word >> bit & 1 == 1));
            Proposal { mask: bits.take(cells).collect(), score }
        });
        let proposals = proposals.collect();
        Ok(Objects { counts, proposals, vectors: descriptors.values().to_vec() })
    }
}

/// Finds the objects, one picture per step.
pub(super) struct Search<'a, E> {
    method: &'a MaskDistill<'a, E>,
    grid: [usize; 2],
    objects: Objects,
}

impl<'a, E: Engine<f32>> Search<'a, E> {
    pub fn new(method: &'a MaskDistill<'a, E>) -> Result<Search<'a, E>> {
        let grid = method.proposer.grid(method.task.features.pictures())?;
        Ok(Search { method, grid, objects: Objects::default() })
    }
}

impl<E: Engine<f32>> Stage for Search<'_, E> {
    fn steps(&self) -> u64 {
        self.method.task.features.pictures().len() as u64
    }

    fn step(&mut self, step: u64) -> Result<Report> {
        let pictures = self.method.task.features.pictures();
        let picture = usize::try_from(step).unwrap_or(usize::MAX);
        let proposals = self.method.proposer.propose(pictures, picture)?;
        for proposal in &proposals {
            let cells = self.grid[0] * self.grid[1];
            if proposal.mask.len() != cells || !(0.0..=1.0).contains(&proposal.score) {
                return Err(Error::config("a proposal has another grid, or no score of 0 to 1"));
            }
            let (mask, grid) = (&proposal.mask, self.grid);
            let vector = self.method.descriptor.describe(pictures, picture, mask, grid)?;
            self.objects.vectors.extend(vector);
        }
        let best = proposals.iter().fold(0.0f32, |best, proposal| best.max(proposal.score));
        let report = [("objects", proposals.len() as f64), ("best_score", best.into())];
        self.objects.counts.push(proposals.len());
        self.objects.proposals.extend(proposals);
        Ok(Vec::from(report))
    }

    fn state(&self) -> Result<State> {
        self.objects.save()
    }

    fn restore(&mut self, state: &State) -> Result<()> {
        self.objects = Objects::load(state, self.grid[0] * self.grid[1])?;
        Ok(())
    }
}
