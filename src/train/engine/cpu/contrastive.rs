//! The label-based contrastive loss, block of anchors after block of anchors.

use super::super::real::{sigmoid, softplus};
use super::super::{Contrastive, ContrastiveLoss, Denominator, Labelled, Pairs, Real};
use super::matrix::{Matrix, check, require, view, view_mut};
use crate::status::Result;
use ndarray::linalg::general_mat_mul;
use std::collections::BTreeMap;
use std::vec;
use std::vec::Vec;

/// Anchors of a block.
const BLOCK: usize = 64;

pub(super) fn contrastive<F: Real>(
    pairs: &Pairs<'_, Matrix<F>>,
    settings: &Contrastive,
) -> Result<ContrastiveLoss<Matrix<F>>> {
    let temperature = settings.temperature;
    require(temperature.is_finite() && temperature > 0.0, "temperature")?;
    let [count, columns] = pairs.anchors.rows.shape();
    check_labelled(&pairs.anchors, columns)?;
    check_labelled(&pairs.keys, columns)?;
    pairs.other.as_ref().map_or(Ok(()), |other| check_labelled(other, columns))?;
    if settings.without_self {
        check("number of keys", pairs.keys.rows.shape()[0], count)?;
    }
    let positives = positives(pairs, settings);
    let anchor_count = positives.iter().filter(|count| **count > 0).count();
    let mut side = Side::new(&pairs.keys)?;
    let mut other = pairs.other.as_ref().map(Side::new).transpose()?;
    let mut anchors = Matrix::zeros([count, columns])?;
    let share = 1.0 / (anchor_count.max(1) as f64);
    let scale = F::of(1.0 / temperature);
    let mut sum = 0.0;
    for (block, place) in anchors.values_mut().chunks_mut(BLOCK * columns).enumerate() {
        let start = block * BLOCK;
        let rows = pairs.anchors.rows.block(start, start + BLOCK)?;
        side.products(rows, scale)?;
        other.as_mut().map_or(Ok(()), |other| other.products(rows, scale))?;
        for index in 0..rows.nrows() {
            let anchor = Anchor {
                label: pairs.anchors.labels.get(start + index).copied().unwrap_or(-1),
                left_out: settings.without_self.then_some(start + index),
                positives: positives.get(start + index).copied().unwrap_or(0),
                share,
            };
            let own = side.strip(index);
            let others = other.as_mut().map(|other| other.strip(index)).unwrap_or_default();
            sum += anchor.weigh(settings.denominator, own, others);
        }
        side.gradients(rows, scale, place)?;
        other.as_mut().map_or(Ok(()), |other| other.gradients(rows, scale, place))?;
    }
    Ok(ContrastiveLoss {
        value: sum * share,
        anchor_count,
        anchors,
        keys: side.gradient,
        other: other.map(|other| other.gradient),
    })
}

fn check_labelled<F: Real>(set: &Labelled<'_, Matrix<F>>, columns: usize) -> Result<()> {
    check("columns of the features", set.rows.shape()[1], columns)?;
    check("number of labels", set.labels.len(), set.rows.shape()[0])
}

/// The number of positive pairs of each anchor.
fn positives<F>(pairs: &Pairs<'_, Matrix<F>>, settings: &Contrastive) -> Vec<usize> {
    let mut counts = BTreeMap::<i32, usize>::new();
    let others = pairs.other.as_ref().map(|other| other.labels).unwrap_or_default();
    for label in pairs.keys.labels.iter().chain(others) {
        *counts.entry(*label).or_default() += 1;
    }
    let of = |(index, label): (usize, &i32)| {
        if *label < 0 {
            return 0;
        }
        let all = counts.get(label).copied().unwrap_or(0);
        let itself = settings.without_self && pairs.keys.labels.get(index) == Some(label);
        all - usize::from(itself)
    };
    pairs.anchors.labels.iter().enumerate().map(of).collect()
}

/// Keys, and the products of a block of anchors with them.
struct Side<'a, F> {
    keys: &'a Matrix<F>,
    labels: &'a [i32],
    /// A row per anchor: products, then derivatives by them.
    strip: Vec<F>,
    gradient: Matrix<F>,
}

/// One anchor's products with keys, and the keys' labels.
type Strip<'a, F> = (&'a mut [F], &'a [i32]);

impl<'a, F: Real> Side<'a, F> {
    fn new(set: &Labelled<'a, Matrix<F>>) -> Result<Side<'a, F>> {
        let strip = vec![F::ZERO; BLOCK * set.labels.len()];
        let gradient = Matrix::zeros(set.rows.shape())?;
        Ok(Side { keys: set.rows, labels: set.labels, strip, gradient })
    }

    fn products(&mut self, anchors: ndarray::ArrayView2<'_, F>, scale: F) -> Result<()> {
        let shape = [anchors.nrows(), self.labels.len()];
        let strip = self.strip.get_mut(..shape[0] * shape[1]).unwrap_or_default();
        let mut strip = view_mut(strip, shape)?;
        general_mat_mul(scale, &anchors, &self.keys.view()?.reversed_axes(), F::ZERO, &mut strip);
        Ok(())
    }

    fn strip(&mut self, index: usize) -> Strip<'_, F> {
        let row = crate::math::pieces::piece_mut(&mut self.strip, index, self.labels.len());
        (row.unwrap_or_default(), self.labels)
    }

    fn gradients(
        &mut self,
        anchors: ndarray::ArrayView2<'_, F>,
        scale: F,
        place: &mut [F],
    ) -> Result<()> {
        let shape = [anchors.nrows(), self.labels.len()];
        let strip = view(self.strip.get(..shape[0] * shape[1]).unwrap_or_default(), shape)?;
        let mut place = view_mut(place, [anchors.nrows(), anchors.ncols()])?;
        general_mat_mul(scale, &strip, &self.keys.view()?, F::ONE, &mut place);
        let shape = self.gradient.shape();
        let mut gradient = view_mut(self.gradient.values_mut(), shape)?;
        general_mat_mul(scale, &strip.reversed_axes(), &anchors, F::ONE, &mut gradient);
        Ok(())
    }
}

/// What a key is to an anchor.
#[derive(Clone, Copy, PartialEq)]
enum Role {
    Positive,
    Negative,
    None,
}

struct Anchor {
    label: i32,
    /// The key that is the anchor itself.
    left_out: Option<usize>,
    positives: usize,
    /// Of each anchor in the loss.
    share: f64,
}

impl Anchor {
    /// The anchor's loss; its products become derivatives of the whole loss.
    fn weigh<F: Real>(&self, form: Denominator, own: Strip<'_, F>, other: Strip<'_, F>) -> f64 {
        if self.positives == 0 {
            own.0.fill(F::ZERO);
            other.0.fill(F::ZERO);
            return 0.0;
        }
        match form {
            Denominator::AllKeys => self.against_all(own, other),
            Denominator::PositiveAndNegatives => self.against_negatives(own, other),
        }
    }

    fn own_role(&self, index: usize, label: i32) -> Role {
        match label {
            _ if label < 0 || self.left_out == Some(index) => Role::None,
            _ if label == self.label => Role::Positive,
            _ => Role::Negative,
        }
    }

    /// Keys of another picture give no negative pairs.
    fn other_role(&self, label: i32) -> Role {
        if label == self.label { Role::Positive } else { Role::None }
    }

    /// Calls `f` with every product and its key's role.
    fn each<F: Real>(
        &self,
        own: &mut Strip<'_, F>,
        other: &mut Strip<'_, F>,
        mut f: impl FnMut(&mut F, Role),
    ) {
        for (index, (product, label)) in own.0.iter_mut().zip(own.1).enumerate() {
            f(product, self.own_role(index, *label));
        }
        for (product, label) in other.0.iter_mut().zip(other.1) {
            f(product, self.other_role(*label));
        }
    }

    /// `log sum exp - mean of the positives`.
    fn against_all<F: Real>(&self, mut own: Strip<'_, F>, mut other: Strip<'_, F>) -> f64 {
        let log_sum =
            self.log_sum(&mut own, &mut other, |role| role != Role::None).unwrap_or(F::ZERO);
        let one = F::of(1.0 / self.positives as f64);
        let share = F::of(self.share);
        let mut loss = 0.0;
        self.each(&mut own, &mut other, |product, role| {
            let wanted = if role == Role::Positive { one } else { F::ZERO };
            if role == Role::Positive {
                loss += (log_sum - *product).to_f64();
            }
            *product = match role {
                Role::None => F::ZERO,
                _ => share * ((*product - log_sum).exp() - wanted),
            };
        });
        loss / self.positives as f64
    }

    /// `mean of softplus(z - positive)`, `z` the logarithm of the negatives' sum.
    fn against_negatives<F: Real>(&self, mut own: Strip<'_, F>, mut other: Strip<'_, F>) -> f64 {
        let negative = |role: Role| role == Role::Negative;
        let Some(log_sum) = self.log_sum(&mut own, &mut other, negative) else {
            own.0.fill(F::ZERO);
            other.0.fill(F::ZERO);
            return 0.0;
        };
        let factor = F::of(self.share / self.positives as f64);
        let (mut loss, mut pull) = (0.0, F::ZERO);
        self.each(&mut own, &mut other, |product, role| {
            if role == Role::Positive {
                loss += softplus(log_sum - *product).to_f64();
                pull += sigmoid(log_sum - *product);
            }
        });
        self.each(&mut own, &mut other, |product, role| {
            *product = match role {
                Role::Positive => -factor * sigmoid(log_sum - *product),
                Role::Negative => factor * pull * (*product - log_sum).exp(),
                Role::None => F::ZERO,
            };
        });
        loss / self.positives as f64
    }

    /// The logarithm of the sum of powers of the products that count; none if none counts.
    fn log_sum<F: Real>(
        &self,
        own: &mut Strip<'_, F>,
        other: &mut Strip<'_, F>,
        counts: impl Fn(Role) -> bool,
    ) -> Option<F> {
        let mut most: Option<F> = None;
        self.each(own, other, |product, role| {
            if counts(role) {
                most = Some(most.map_or(*product, |most| most.at_least(*product)));
            }
        });
        let most = most?;
        let mut sum = 0.0;
        self.each(own, other, |product, role| {
            if counts(role) {
                sum += (*product - most).exp().to_f64();
            }
        });
        Some(most + F::of(sum).ln())
    }
}
