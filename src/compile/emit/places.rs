//! Lifetimes of tensors, and offsets for them.

use super::super::memory::{Block, layout, lower_bound};
use crate::plan::{NO_TENSOR, Operation, Step, Tensor, TensorIndex};
use std::vec;
use std::vec::Vec;

/// Size of the arena and what it could be at best.
pub(super) struct Memory {
    pub(super) bytes: u64,
    pub(super) bound_bytes: u64,
}

/// Gives every tensor its offset. Steps that may work in place do so where their input is not
/// needed any more.
pub(super) fn place(
    tensors: &mut [Tensor],
    steps: &[Step],
    input: TensorIndex,
    outputs: &[TensorIndex],
) -> Memory {
    let root = |index: TensorIndex| match tensors[usize::from(index)].parent {
        NO_TENSOR => usize::from(index),
        parent => usize::from(parent),
    };
    // Moments: the input is written at 0, step i works at i + 1, outputs are read at the end.
    let mut life: Vec<Option<(usize, usize)>> = vec![None; tensors.len()];
    let mut touch = |index: TensorIndex, moment: usize| {
        if index != NO_TENSOR {
            let span = life[root(index)].get_or_insert((moment, moment));
            *span = (span.0.min(moment), span.1.max(moment));
        }
    };
    touch(input, 0);
    for (at, step) in steps.iter().enumerate() {
        let used = step.inputs.iter().chain([&step.output, &step.scratch]);
        used.for_each(|&index| touch(index, at + 1));
    }
    outputs.iter().for_each(|&index| touch(index, steps.len() + 1));
    let mut home: Vec<usize> = (0..tensors.len()).collect();
    let children: Vec<bool> = {
        let mut has = vec![false; tensors.len()];
        for tensor in tensors.iter().filter(|tensor| tensor.parent != NO_TENSOR) {
            has[usize::from(tensor.parent)] = true;
        }
        has
    };
    for (at, step) in steps.iter().enumerate() {
        let (from, to) = (usize::from(step.inputs[0]), usize::from(step.output));
        if step.inputs[0] == NO_TENSOR || !works_in_place(&step.operation) {
            continue;
        }
        let alone = |index: usize| tensors[index].parent == NO_TENSOR && !children[index];
        let ends = life[home[from]].is_some_and(|(_, last)| last == at + 1);
        let fits = tensors[from].footprint_bytes() == tensors[to].footprint_bytes();
        let only_once = step.inputs.iter().filter(|&&index| index == step.inputs[0]).count() == 1;
        if alone(from) && alone(to) && ends && fits && only_once {
            home[to] = home[from];
            if let (Some(inner), Some(outer)) = (life[to], &mut life[home[from]]) {
                outer.1 = outer.1.max(inner.1);
            }
        }
    }
    let homes: Vec<usize> = (0..tensors.len())
        .filter(|&at| home[at] == at && tensors[at].parent == NO_TENSOR && life[at].is_some())
        .collect();
    let block = |&at: &usize| {
        let (first, last) = life[at].unwrap_or((0, 0));
        Block { bytes: tensors[at].footprint_bytes(), first, last }
    };
    let blocks: Vec<Block> = homes.iter().map(block).collect();
    let layout = layout(&blocks);
    for (&at, &offset) in homes.iter().zip(&layout.offsets) {
        tensors[at].offset_bytes = offset;
    }
    for at in 0..tensors.len() {
        match tensors[at].parent {
            NO_TENSOR => tensors[at].offset_bytes = tensors[home[at]].offset_bytes,
            parent => tensors[at].offset_bytes += tensors[home[usize::from(parent)]].offset_bytes,
        }
    }
    Memory { bytes: layout.bytes, bound_bytes: lower_bound(&blocks) }
}

fn works_in_place(operation: &Operation) -> bool {
    matches!(operation, Operation::Unary { .. } | Operation::Binary { .. } | Operation::Copy)
}
