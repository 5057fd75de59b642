//! The label-based contrastive loss, block of anchors after block of anchors.
//!
//! Each thread has a block of its own. The gradient by the keys comes after, key rows shared out
//! over the threads, blocks in their order, so that the number of threads changes no bit.

mod anchor;

use super::super::{Contrastive, ContrastiveLoss, Labelled, Pairs, Real};
use super::matrix::{Matrix, check, require, view, view_mut};
use super::workers::each;
use crate::status::Result;
use anchor::{Anchor, Strip};
use ndarray::linalg::general_mat_mul;
use ndarray::{ArrayView2, s};
use std::collections::BTreeMap;
use std::num::NonZeroUsize;
use std::vec;
use std::vec::Vec;

/// Anchors of a block, and what the key rows of a thread are a multiple of.
const BLOCK: usize = 64;
/// Pairs times columns below which a second thread costs more than it saves.
const LEAST_WORK: usize = 1 << 20;

pub(super) fn contrastive<F: Real>(
    threads: NonZeroUsize,
    pairs: &Pairs<'_, Matrix<F>>,
    settings: &Contrastive,
) -> Result<ContrastiveLoss<Matrix<F>>> {
    check_pairs(pairs, settings)?;
    let [count, columns] = pairs.anchors.rows.shape();
    let others = pairs.other.as_ref().map(|other| other.labels);
    let positives =
        positive_counts(pairs.anchors.labels, pairs.keys.labels, others, settings.without_self);
    let anchor_count = positives.iter().filter(|count| **count > 0).count();
    let share = 1.0 / (anchor_count.max(1) as f64);
    let task = Task { pairs, settings, positives: &positives, share };
    let threads = task.threads(threads);
    let mut anchors = Matrix::zeros([count, columns])?;
    let mut keys = Matrix::zeros(pairs.keys.rows.shape())?;
    let other = pairs.other.as_ref().map(|other| Matrix::zeros(other.rows.shape()));
    let mut other = other.transpose()?;
    let mut blocks: Vec<Block<F>> = (0..threads).map(|_| Block::new(pairs)).collect();
    let mut sum = 0.0;
    for (round, places) in anchors.values_mut().chunks_mut(threads * BLOCK * columns).enumerate() {
        let places = places.chunks_mut(BLOCK * columns);
        let used = places.len();
        let starts = (round * threads..).map(|block| block * BLOCK);
        let work = blocks.iter_mut().zip(starts).zip(places);
        each(work, |((block, start), place)| block.run(&task, start, place))?;
        let blocks = blocks.get(..used).unwrap_or_default();
        blocks.iter().for_each(|block| sum += block.sum);
        task.add_gradient(threads, blocks, |block| &block.own, &mut keys)?;
        if let Some(other) = &mut other {
            task.add_gradient(threads, blocks, |block| &block.other, other)?;
        }
    }
    Ok(ContrastiveLoss { value: sum * share, anchor_count, anchors, keys, other })
}

fn check_pairs<F: Real>(pairs: &Pairs<'_, Matrix<F>>, settings: &Contrastive) -> Result<()> {
    let temperature = settings.temperature;
    require(temperature.is_finite() && temperature > 0.0, "temperature")?;
    let [count, columns] = pairs.anchors.rows.shape();
    check_labelled(&pairs.anchors, columns)?;
    check_labelled(&pairs.keys, columns)?;
    pairs.other.as_ref().map_or(Ok(()), |other| check_labelled(other, columns))?;
    if settings.without_self {
        check("number of keys", pairs.keys.rows.shape()[0], count)?;
    }
    Ok(())
}

fn check_labelled<F: Real>(set: &Labelled<'_, Matrix<F>>, columns: usize) -> Result<()> {
    check("columns of the features", set.rows.shape()[1], columns)?;
    check("number of labels", set.labels.len(), set.rows.shape()[0])
}

/// The number of positive pairs of each anchor.
pub(in crate::train) fn positive_counts(
    anchors: &[i32],
    keys: &[i32],
    others: Option<&[i32]>,
    without_self: bool,
) -> Vec<usize> {
    let mut counts = BTreeMap::<i32, usize>::new();
    for label in keys.iter().chain(others.unwrap_or_default()) {
        *counts.entry(*label).or_default() += 1;
    }
    let of = |(index, label): (usize, &i32)| {
        if *label < 0 {
            return 0;
        }
        let all = counts.get(label).copied().unwrap_or(0);
        let itself = without_self && keys.get(index) == Some(label);
        all - usize::from(itself)
    };
    anchors.iter().enumerate().map(of).collect()
}

/// What is the same for all blocks.
struct Task<'a, F> {
    pairs: &'a Pairs<'a, Matrix<F>>,
    settings: &'a Contrastive,
    /// The number of positive pairs of each anchor.
    positives: &'a [usize],
    /// Of each anchor in the loss.
    share: f64,
}

impl<F: Real> Task<'_, F> {
    /// As many threads as there are blocks for; one where it is faster alone.
    fn threads(&self, threads: NonZeroUsize) -> usize {
        let [count, columns] = self.pairs.anchors.rows.shape();
        let work = count.saturating_mul(self.pairs.keys.labels.len()).saturating_mul(columns);
        if work < LEAST_WORK { 1 } else { threads.get().min(count.div_ceil(BLOCK)) }
    }

    fn scale(&self) -> F {
        F::of(1.0 / self.settings.temperature)
    }

    fn anchor(&self, index: usize) -> Anchor {
        Anchor {
            label: self.pairs.anchors.labels.get(index).copied().unwrap_or(-1),
            left_out: self.settings.without_self.then_some(index),
            positives: self.positives.get(index).copied().unwrap_or(0),
            share: self.share,
        }
    }

    /// Adds the part of the blocks to a gradient by keys.
    fn add_gradient<'b>(
        &self,
        threads: usize,
        blocks: &'b [Block<F>],
        strips: impl Fn(&'b Block<F>) -> &'b [F] + Sync,
        gradient: &mut Matrix<F>,
    ) -> Result<()> {
        let [count, columns] = gradient.shape();
        let share = count.div_ceil(threads).next_multiple_of(BLOCK).max(BLOCK);
        let parts = gradient.values_mut().chunks_mut(share * columns).enumerate();
        each(parts, |(part, values)| {
            let keys = values.len() / columns;
            let start = part * share;
            let mut place = view_mut(values, [keys, columns])?;
            for block in blocks {
                let anchors = self.pairs.anchors.rows.block(block.start, block.start + BLOCK)?;
                let strips = products(strips(block), [anchors.nrows(), count])?;
                let strips = strips.slice(s![.., start..start + keys]).reversed_axes();
                general_mat_mul(self.scale(), &strips, &anchors, F::ONE, &mut place);
            }
            Ok(())
        })
    }
}

/// The first `[rows, columns]` of a block's strips.
fn products<F>(strips: &[F], [rows, columns]: [usize; 2]) -> Result<ArrayView2<'_, F>> {
    view(strips.get(..rows * columns).unwrap_or_default(), [rows, columns])
}

/// A block of anchors. A strip is an anchor's products with keys, then the derivatives by them.
struct Block<F> {
    /// The first anchor.
    start: usize,
    own: Vec<F>,
    /// With the keys of the other picture.
    other: Vec<F>,
    /// Of the anchors' losses.
    sum: f64,
}

impl<F: Real> Block<F> {
    fn new(pairs: &Pairs<'_, Matrix<F>>) -> Block<F> {
        let others = pairs.other.as_ref().map_or(0, |other| other.labels.len());
        let strips = |keys: usize| vec![F::ZERO; BLOCK * keys];
        Block { start: 0, own: strips(pairs.keys.labels.len()), other: strips(others), sum: 0.0 }
    }

    /// The losses of the anchors from `start` on, and the gradient by them.
    fn run(&mut self, task: &Task<'_, F>, start: usize, place: &mut [F]) -> Result<()> {
        let rows = task.pairs.anchors.rows.block(start, start + BLOCK)?;
        let (keys, others) = (&task.pairs.keys, task.pairs.other.as_ref());
        let other_labels = others.map(|others| others.labels).unwrap_or_default();
        self.start = start;
        multiply(task.scale(), rows, keys, &mut self.own)?;
        others.map_or(Ok(()), |others| multiply(task.scale(), rows, others, &mut self.other))?;
        self.sum = 0.0;
        for index in 0..rows.nrows() {
            let own = strip(&mut self.own, index, keys.labels);
            let other = strip(&mut self.other, index, other_labels);
            self.sum += task.anchor(start + index).weigh(task.settings.denominator, own, other);
        }
        gather(task.scale(), &self.own, keys, place)?;
        others.map_or(Ok(()), |others| gather(task.scale(), &self.other, others, place))
    }
}

fn strip<'a, F>(strips: &'a mut [F], index: usize, labels: &'a [i32]) -> Strip<'a, F> {
    let products = crate::math::pieces::piece_mut(strips, index, labels.len());
    Strip { products: products.unwrap_or_default(), labels }
}

/// The products of anchors with keys.
fn multiply<F: Real>(
    scale: F,
    anchors: ArrayView2<'_, F>,
    keys: &Labelled<'_, Matrix<F>>,
    strips: &mut [F],
) -> Result<()> {
    let shape = [anchors.nrows(), keys.labels.len()];
    let mut strips = view_mut(strips.get_mut(..shape[0] * shape[1]).unwrap_or_default(), shape)?;
    general_mat_mul(scale, &anchors, &keys.rows.view()?.reversed_axes(), F::ZERO, &mut strips);
    Ok(())
}

/// Adds the gradient by anchors to `place`.
fn gather<F: Real>(
    scale: F,
    strips: &[F],
    keys: &Labelled<'_, Matrix<F>>,
    place: &mut [F],
) -> Result<()> {
    let columns = keys.rows.shape()[1];
    let count = place.len() / columns;
    let strips = products(strips, [count, keys.labels.len()])?;
    let mut place = view_mut(place, [count, columns])?;
    general_mat_mul(scale, &strips, &keys.rows.view()?, F::ONE, &mut place);
    Ok(())
}
