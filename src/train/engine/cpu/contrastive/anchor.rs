//! One anchor of the contrastive loss.
//!
//! Loops over all keys are free of branches, so that they become vector instructions; positive
//! pairs, which are few, are listed.

use super::super::super::real::{sigmoid, softplus};
use super::super::super::{Denominator, Real};
use std::vec::Vec;

/// Keys that are added up as one number of type `F`.
const PIECE: usize = 256;
const LANES: usize = 16;

/// An anchor's products with keys, and the keys' labels.
pub(super) struct Strip<'a, F> {
    pub(super) products: &'a mut [F],
    pub(super) labels: &'a [i32],
}

pub(super) struct Anchor {
    pub(super) label: i32,
    /// The key that is the anchor itself.
    pub(super) left_out: Option<usize>,
    /// The number of positive pairs.
    pub(super) positives: usize,
    /// Of each anchor in the loss.
    pub(super) share: f64,
}

impl Anchor {
    /// The anchor's loss; its products become derivatives of the whole loss. Keys of another
    /// picture, `other`, give no negative pairs.
    pub(super) fn weigh<'a, F: Real>(
        &self,
        form: Denominator,
        mut own: Strip<'a, F>,
        mut other: Strip<'a, F>,
    ) -> f64 {
        if self.positives == 0 {
            own.products.fill(F::ZERO);
            other.products.fill(F::ZERO);
            return 0.0;
        }
        match form {
            Denominator::AllKeys => self.against_all(&mut own, &mut other),
            Denominator::PositiveAndNegatives => self.against_negatives(&mut own, &mut other),
        }
    }

    /// The places of the positive pairs, and their products.
    fn positives<F: Real>(&self, strip: &Strip<'_, F>, left_out: Option<usize>) -> Vec<(usize, F)> {
        let pairs = strip.labels.iter().zip(strip.products.iter()).enumerate();
        let positive = |(index, (label, product)): (usize, (&i32, &F))| {
            (*label == self.label && left_out != Some(index)).then_some((index, *product))
        };
        pairs.filter_map(positive).collect()
    }

    /// `log sum exp - mean of the positives`.
    fn against_all<'a, F: Real>(&self, own: &mut Strip<'a, F>, other: &mut Strip<'a, F>) -> f64 {
        let lists = [self.positives(own, self.left_out), self.positives(other, None)];
        self.leave_out(own);
        let alike = |label: i32| label == self.label;
        let most = own.largest(labelled).at_least(other.largest(alike));
        let sum = own.raise(most, labelled) + other.raise(most, alike);
        let log_sum = most.to_f64() + sum.ln();
        let one = F::of(self.share / self.positives as f64);
        let factor = F::of(self.share / sum);
        let mut loss = 0.0;
        for (strip, list) in [own, other].into_iter().zip(&lists) {
            strip.products.iter_mut().for_each(|product| *product *= factor);
            for (index, product) in list {
                loss += log_sum - product.to_f64();
                if let Some(place) = strip.products.get_mut(*index) {
                    *place = *place - one;
                }
            }
        }
        loss / self.positives as f64
    }

    /// `mean of softplus(z - positive)`, `z` the logarithm of the negatives' sum.
    fn against_negatives<'a, F: Real>(
        &self,
        own: &mut Strip<'a, F>,
        other: &mut Strip<'a, F>,
    ) -> f64 {
        let mut lists = [self.positives(own, self.left_out), self.positives(other, None)];
        self.leave_out(own);
        other.products.fill(F::ZERO);
        let negative = |label: i32| label >= 0 && label != self.label;
        let most = own.largest(negative);
        if most == F::of(f64::NEG_INFINITY) {
            // Without a negative pair, but for one that is left out, the loss is 0.
            own.products.fill(F::ZERO);
            return 0.0;
        }
        let sum = own.raise(most, negative);
        let log_sum = most + F::of(sum.ln());
        let (mut loss, mut pull) = (0.0, 0.0);
        for (_, product) in lists.iter_mut().flatten() {
            let distance = log_sum - *product;
            loss += softplus(distance).to_f64();
            // From here on the slope.
            *product = sigmoid(distance);
            pull += product.to_f64();
        }
        let factor = self.share / self.positives as f64;
        let (pulled, factor) = (F::of(factor * pull / sum), F::of(factor));
        own.products.iter_mut().for_each(|power| *power *= pulled);
        for (strip, list) in [own, other].into_iter().zip(&lists) {
            for (index, slope) in list {
                if let Some(place) = strip.products.get_mut(*index) {
                    *place = -factor * *slope;
                }
            }
        }
        loss / self.positives as f64
    }

    /// The anchor itself shall count for nothing: its power is 0.
    fn leave_out<F: Real>(&self, own: &mut Strip<'_, F>) {
        if let Some(place) = self.left_out.and_then(|index| own.products.get_mut(index)) {
            *place = F::of(f64::NEG_INFINITY);
        }
    }
}

impl<F: Real> Strip<'_, F> {
    /// The largest of the products whose labels count; minus infinity without any.
    fn largest(&self, counts: impl Fn(i32) -> bool) -> F {
        let least = F::of(f64::NEG_INFINITY);
        let mut most = [least; LANES];
        let mut look = |products: &[F], labels: &[i32]| {
            for (most, (product, label)) in most.iter_mut().zip(products.iter().zip(labels)) {
                let product = if counts(*label) { *product } else { least };
                *most = most.at_least(product);
            }
        };
        // Pieces of a length that is known, for vector instructions.
        let (products, rest) = self.products.as_chunks::<LANES>();
        let (labels, labels_rest) = self.labels.as_chunks::<LANES>();
        products.iter().zip(labels).for_each(|(products, labels)| look(products, labels));
        look(rest, labels_rest);
        most.iter().fold(least, |most, value| most.at_least(*value))
    }

    /// Replaces products by `exp(product - most)`, and by 0 where the label does not count. Gives
    /// the sum.
    fn raise(&mut self, most: F, counts: impl Fn(i32) -> bool) -> f64 {
        let mut sum = 0.0;
        let pairs = self.products.chunks_mut(PIECE).zip(self.labels.chunks(PIECE));
        for (products, labels) in pairs {
            for (product, label) in products.iter_mut().zip(labels) {
                let power = (*product - most).exp();
                *product = if counts(*label) { power } else { F::ZERO };
            }
            sum += add_up(products);
        }
        sum
    }
}

/// The sum, in an order that vector instructions can keep.
fn add_up<F: Real>(values: &[F]) -> f64 {
    let mut sums = [F::ZERO; LANES];
    let mut add = |values: &[F]| {
        for (sum, value) in sums.iter_mut().zip(values) {
            *sum += *value;
        }
    };
    let (pieces, rest) = values.as_chunks::<LANES>();
    pieces.iter().for_each(|piece| add(piece));
    add(rest);
    sums.iter().map(|sum| sum.to_f64()).sum()
}

fn labelled(label: i32) -> bool {
    label >= 0
}
