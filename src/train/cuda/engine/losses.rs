//! Losses of logits, and the selection of the hardest rows.

use super::super::backend::Backend;
use super::super::sources::{ENTROPY, SELECT};
use super::{CudaEngine, Tensor};
use crate::status::Result;
use crate::train::engine::common::{
    check, check_shape, check_weights, invalid, require, weight_at,
};
use crate::train::engine::{CrossEntropy, Loss, Targets};
use std::sync::Arc;
use std::vec;
use std::vec::Vec;

/// Numbers that a block adds up.
const BLOCK: usize = 4_096;
/// Threads of the block that selects.
const SELECTING_THREADS: u32 = 1_024;

/// 1 by a sum of weights, which the gradient is multiplied with; 1 for none.
fn factor_of(weight: f64) -> f32 {
    if weight == 0.0 { 1.0 } else { (1.0 / weight) as f32 }
}

/// The mean of losses by their weights.
fn mean<B: Backend>(
    engine: &CudaEngine<B>,
    losses: &Tensor<B>,
    weights: &Arc<B::Memory>,
    weight: f64,
) -> Result<f64> {
    if weight == 0.0 {
        return Ok(0.0);
    }
    let count = losses.count();
    let blocks = count.div_ceil(BLOCK);
    let sums = engine.room::<f64>(blocks)?;
    engine
        .call(&ENTROPY, "weighted_sums")
        .tensor(losses)
        .array::<f32>(weights, count)
        .array::<f64>(&sums, blocks)
        .long(count)
        .blocks([blocks, 1, 1], [256, 1, 1], 0)?;
    Ok(engine.sum(&sums, blocks)? / weight)
}

/// The weight of each row, 0 where ignored.
fn weights_of(targets: &Targets<'_, f32>, classes: usize) -> Result<Vec<f32>> {
    let weight = |(row, label): (usize, &i32)| {
        let Ok(label) = usize::try_from(*label) else { return Ok(0.0) };
        if label >= classes {
            return Err(invalid("label").numbers(label as u64, classes as u64));
        }
        Ok(weight_at(targets.class_weights, label) * weight_at(targets.row_weights, row))
    };
    targets.labels.iter().enumerate().map(weight).collect()
}

pub(super) fn cross_entropy<B: Backend>(
    engine: &CudaEngine<B>,
    logits: &Tensor<B>,
    targets: &Targets<'_, f32>,
) -> Result<CrossEntropy<Tensor<B>>> {
    let [count, classes] = logits.shape();
    check("number of labels", targets.labels.len(), count)?;
    check_weights(targets.class_weights, classes, "weights of the classes")?;
    check_weights(targets.row_weights, count, "weights of the rows")?;
    let weights = weights_of(targets, classes)?;
    let weight: f64 = weights.iter().map(|weight| f64::from(*weight)).sum();
    let labels = engine.upload_numbers(targets.labels)?;
    let weights = engine.upload_numbers(&weights)?;
    let (rows, gradient) = (engine.blank([count, 1])?, engine.blank(logits.shape())?);
    engine
        .call(&ENTROPY, "cross_entropy")
        .tensor(logits)
        .array::<i32>(&labels, count)
        .array::<f32>(&weights, count)
        .float(factor_of(weight))
        .size(count)
        .size(classes)
        .tensor(&rows)
        .tensor(&gradient)
        .warps(count)?;
    let value = mean(engine, &rows, &weights, weight)?;
    Ok(CrossEntropy { value, weight, rows, gradient })
}

pub(super) fn hardest<B: Backend>(
    engine: &CudaEngine<B>,
    losses: &Tensor<B>,
    labels: &[i32],
    share: f64,
) -> Result<Vec<f32>> {
    let [count, columns] = losses.shape();
    check("columns of the rows' losses", columns, 1)?;
    check("number of labels", labels.len(), count)?;
    require((0.0..=1.0).contains(&share), "share of the hardest rows")?;
    let valid = labels.iter().filter(|label| **label >= 0).count();
    let wanted = ((share * count as f64) as usize).min(valid);
    if wanted == 0 {
        return Ok(vec![0.0; count]);
    }
    let labels = engine.upload_numbers(labels)?;
    let weights = engine.room::<f32>(count)?;
    engine
        .call(&SELECT, "hardest_rows")
        .tensor(losses)
        .array::<i32>(&labels, count)
        .size(count)
        .size(wanted)
        .array::<f32>(&weights, count)
        .blocks([1, 1, 1], [SELECTING_THREADS, 1, 1], 0)?;
    engine.download_numbers(&weights, count)
}

pub(super) fn balanced<B: Backend>(
    engine: &CudaEngine<B>,
    logits: &Tensor<B>,
    targets: &[i32],
) -> Result<Loss<Tensor<B>>> {
    let count = logits.count();
    check("number of targets", targets.len(), count)?;
    let number = |wanted: i32| targets.iter().filter(|target| **target == wanted).count() as f64;
    let (positives, negatives) = (number(1), number(0));
    let both = (positives + negatives).max(1.0);
    let all = (count as f64).max(1.0);
    // A positive weighs the share of the negatives, and the other way round.
    let (positive, negative) = (negatives / both, positives / both);
    let targets = engine.upload_numbers(targets)?;
    let gradient = engine.blank(logits.shape())?;
    let blocks = count.div_ceil(BLOCK);
    let sums = engine.room::<f64>(blocks)?;
    engine
        .call(&ENTROPY, "balanced_cross_entropy")
        .tensor(logits)
        .array::<i32>(&targets, count)
        .double(positive)
        .double(negative)
        .float((positive / all) as f32)
        .float((negative / all) as f32)
        .tensor(&gradient)
        .array::<f64>(&sums, blocks)
        .long(count)
        .blocks([blocks, 1, 1], [256, 1, 1], 0)?;
    Ok(Loss { value: engine.sum(&sums, blocks)? / all, gradient })
}

pub(super) fn divergence<B: Backend>(
    engine: &CudaEngine<B>,
    teacher: &Tensor<B>,
    student: &Tensor<B>,
    row_weights: Option<&[f32]>,
) -> Result<Loss<Tensor<B>>> {
    check_shape(teacher.shape(), student.shape())?;
    let [count, columns] = student.shape();
    check_weights(row_weights, count, "weights of the rows")?;
    let weights: Vec<f32> = (0..count).map(|row| weight_at(row_weights, row)).collect();
    let weight: f64 = weights.iter().map(|weight| f64::from(*weight)).sum();
    let weights = engine.upload_numbers(&weights)?;
    let (rows, gradient) = (engine.blank([count, 1])?, engine.blank(student.shape())?);
    engine
        .call(&ENTROPY, "divergence")
        .tensor(teacher)
        .tensor(student)
        .array::<f32>(&weights, count)
        .float(factor_of(weight))
        .size(count)
        .size(columns)
        .tensor(&rows)
        .tensor(&gradient)
        .warps(count)?;
    Ok(Loss { value: mean(engine, &rows, &weights, weight)?, gradient })
}

pub(super) fn squared_error<B: Backend>(
    engine: &CudaEngine<B>,
    teacher: &Tensor<B>,
    student: &Tensor<B>,
) -> Result<Loss<Tensor<B>>> {
    check_shape(teacher.shape(), student.shape())?;
    let count = student.count();
    let all = (count as f64).max(1.0);
    let gradient = engine.blank(student.shape())?;
    let blocks = count.div_ceil(BLOCK);
    let sums = engine.room::<f64>(blocks)?;
    engine
        .call(&ENTROPY, "squared_error")
        .tensor(teacher)
        .tensor(student)
        .float((2.0 / all) as f32)
        .tensor(&gradient)
        .array::<f64>(&sums, blocks)
        .long(count)
        .blocks([blocks, 1, 1], [256, 1, 1], 0)?;
    Ok(Loss { value: engine.sum(&sums, blocks)? / all, gradient })
}
