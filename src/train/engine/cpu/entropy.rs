//! Losses of logits against labels or against other logits.

use super::super::real::{sigmoid, softplus};
use super::super::{CrossEntropy, Loss, Real, Targets};
use super::matrix::{Matrix, check, check_shape, check_weights, invalid, require, weight_at};
use crate::status::Result;
use std::vec;
use std::vec::Vec;

pub(super) fn cross_entropy<F: Real>(
    logits: &Matrix<F>,
    targets: &Targets<'_, F>,
) -> Result<CrossEntropy<Matrix<F>>> {
    let [count, classes] = logits.shape();
    check("number of labels", targets.labels.len(), count)?;
    check_weights(targets.class_weights, classes, "weights of the classes")?;
    check_weights(targets.row_weights, count, "weights of the rows")?;
    let mut gradient = logits.clone();
    let mut rows = Matrix::zeros([count, 1])?;
    let (mut sum, mut weight_sum) = (0.0, 0.0);
    let places = gradient.rows_mut().zip(rows.values_mut()).zip(targets.labels);
    for (index, ((row, loss), label)) in places.enumerate() {
        let Ok(label) = usize::try_from(*label) else {
            row.fill(F::ZERO);
            continue;
        };
        let logit = *row
            .get(label)
            .ok_or_else(|| invalid("label").numbers(label as u64, classes as u64))?;
        let weight =
            weight_at(targets.class_weights, label) * weight_at(targets.row_weights, index);
        *loss = log_softmax(row) - logit;
        if let Some(place) = row.get_mut(label) {
            *place = *place - F::ONE;
        }
        row.iter_mut().for_each(|value| *value *= weight);
        // An infinite loss of a row without weight says nothing.
        if weight > F::ZERO {
            sum += weight.to_f64() * loss.to_f64();
        }
        weight_sum += weight.to_f64();
    }
    let value = mean(&mut gradient, sum, weight_sum);
    Ok(CrossEntropy { value, weight: weight_sum, rows, gradient })
}

/// Divides the gradient, and the sum of losses, which is given back.
fn mean<F: Real>(gradient: &mut Matrix<F>, sum: f64, weight: f64) -> f64 {
    if weight == 0.0 {
        return 0.0;
    }
    let factor = F::of(1.0 / weight);
    gradient.values_mut().iter_mut().for_each(|value| *value *= factor);
    sum / weight
}

/// Replaces logits by probabilities; gives the logarithm of the sum of the logits' powers.
fn log_softmax<F: Real>(row: &mut [F]) -> F {
    let most = row.iter().fold(F::of(f64::NEG_INFINITY), |most, value| most.at_least(*value));
    let mut sum = F::ZERO;
    for value in row.iter_mut() {
        *value = (*value - most).exp();
        sum += *value;
    }
    row.iter_mut().for_each(|value| *value = *value / sum);
    most + sum.ln()
}

pub(super) fn hardest<F: Real>(losses: &Matrix<F>, labels: &[i32], share: f64) -> Result<Vec<F>> {
    let [count, columns] = losses.shape();
    check("columns of the rows' losses", columns, 1)?;
    check("number of labels", labels.len(), count)?;
    require((0.0..=1.0).contains(&share), "share of the hardest rows")?;
    let paired = losses.values().iter().zip(labels).enumerate();
    let valid = paired.filter(|(_, (_, label))| **label >= 0);
    let mut order: Vec<(usize, f64)> =
        valid.map(|(index, (loss, _))| (index, loss.to_f64())).collect();
    order.sort_by(|a, b| b.1.total_cmp(&a.1));
    let wanted = (share * count as f64) as usize;
    let mut weights = vec![F::ZERO; count];
    for (index, _) in order.into_iter().take(wanted) {
        if let Some(weight) = weights.get_mut(index) {
            *weight = F::ONE;
        }
    }
    Ok(weights)
}

pub(super) fn balanced<F: Real>(logits: &Matrix<F>, targets: &[i32]) -> Result<Loss<Matrix<F>>> {
    check("number of targets", targets.len(), logits.values().len())?;
    let number = |wanted: i32| targets.iter().filter(|target| **target == wanted).count() as f64;
    let (positives, negatives) = (number(1), number(0));
    let both = (positives + negatives).max(1.0);
    let count = (targets.len() as f64).max(1.0);
    let mut gradient = logits.clone();
    let mut sum = 0.0;
    for (value, target) in gradient.values_mut().iter_mut().zip(targets) {
        let (weight, wanted) = match target {
            1 => (negatives / both, F::ONE),
            0 => (positives / both, F::ZERO),
            _ => (0.0, F::ZERO),
        };
        let logit = *value;
        // Of a positive, the loss is that of a negative with the opposite logit.
        let signed = if *target == 1 { -logit } else { logit };
        if weight > 0.0 {
            sum += weight * softplus(signed).to_f64();
        }
        *value = F::of(weight / count) * (sigmoid(logit) - wanted);
    }
    Ok(Loss { value: sum / count, gradient })
}

pub(super) fn divergence<F: Real>(
    teacher: &Matrix<F>,
    student: &Matrix<F>,
    row_weights: Option<&[F]>,
) -> Result<Loss<Matrix<F>>> {
    check_shape(teacher.shape(), student.shape())?;
    check_weights(row_weights, student.shape()[0], "weights of the rows")?;
    let (mut target, mut gradient) = (teacher.clone(), student.clone());
    let (mut sum, mut weight_sum) = (0.0, 0.0);
    let logits = teacher.rows().zip(student.rows());
    let places = target.rows_mut().zip(gradient.rows_mut()).zip(logits);
    for (index, ((target, gradient), (teacher, student))) in places.enumerate() {
        let (log_teacher, log_student) = (log_softmax(target), log_softmax(gradient));
        let weight = weight_at(row_weights, index);
        let mut loss = F::ZERO;
        for ((wanted, found), (t, s)) in
            target.iter().zip(gradient.iter_mut()).zip(teacher.iter().zip(student))
        {
            loss += *wanted * ((*t - log_teacher) - (*s - log_student));
            *found = weight * (*found - *wanted);
        }
        if weight > F::ZERO {
            sum += weight.to_f64() * loss.to_f64();
        }
        weight_sum += weight.to_f64();
    }
    let value = mean(&mut gradient, sum, weight_sum);
    Ok(Loss { value, gradient })
}

pub(super) fn squared_error<F: Real>(
    teacher: &Matrix<F>,
    student: &Matrix<F>,
) -> Result<Loss<Matrix<F>>> {
    check_shape(teacher.shape(), student.shape())?;
    let count = (student.values().len() as f64).max(1.0);
    let factor = F::of(2.0 / count);
    let mut gradient = student.clone();
    let mut sum = 0.0;
    for (value, wanted) in gradient.values_mut().iter_mut().zip(teacher.values()) {
        let difference = *value - *wanted;
        sum += (difference * difference).to_f64();
        *value = factor * difference;
    }
    Ok(Loss { value: sum / count, gradient })
}
