//! Lifetimes of tensors, and offsets for them.

use super::super::memory::{Block, layout, lower_bound};
use crate::plan::{NO_TENSOR, Operation, Step, Tensor, TensorIndex, chain_around};
use std::vec;
use std::vec::Vec;

/// Size of the arena and what it could be at best.
pub(super) struct Memory {
    pub(super) bytes: u64,
    pub(super) bound_bytes: u64,
}

/// What a plan's memory follows from.
#[derive(Clone)]
pub(super) struct Network {
    pub(super) tensors: Vec<Tensor>,
    pub(super) steps: Vec<Step>,
    pub(super) input: TensorIndex,
    pub(super) outputs: [TensorIndex; 2],
}

/// First and last moment: the input is written at 0, step `i` works at `i + 1`, outputs are read at
/// the end.
type Life = (usize, usize);

/// Which tensors take memory of their own.
struct Lives {
    /// When tensors without parents live.
    of: Vec<Option<Life>>,
    /// The tensor in whose bytes each tensor without a parent lies.
    home: Vec<usize>,
}

impl Network {
    fn lives(&self) -> Lives {
        let mut lives = self.uses();
        self.share_places(&mut lives);
        lives
    }

    /// From the first to the last use. What the steps of a chain read and write lives as long as
    /// all of them work.
    fn uses(&self) -> Lives {
        let Network { tensors, steps, .. } = self;
        let mut of: Vec<Option<Life>> = vec![None; tensors.len()];
        let root = |index: TensorIndex| match tensors[usize::from(index)].parent {
            NO_TENSOR => usize::from(index),
            parent => usize::from(parent),
        };
        let mut touch = |index: TensorIndex, (first, last): Life| {
            if index != NO_TENSOR {
                let life = of[root(index)].get_or_insert((first, last));
                *life = (life.0.min(first), life.1.max(last));
            }
        };
        touch(self.input, (0, 0));
        for (at, step) in steps.iter().enumerate() {
            let chain = chain_around(steps, tensors, at);
            let used = step.inputs.iter().chain([&step.output]);
            used.for_each(|&index| touch(index, (chain.start + 1, chain.end)));
            touch(step.scratch, (at + 1, at + 1));
        }
        let end = steps.len() + 1;
        self.outputs.iter().for_each(|&index| touch(index, (end, end)));
        Lives { of, home: (0..tensors.len()).collect() }
    }

    /// Lets steps that may work in place do so where their input is not needed any more.
    fn share_places(&self, Lives { of, home }: &mut Lives) {
        let tensors = &self.tensors;
        let mut is_parent = vec![false; tensors.len()];
        for slice in tensors.iter().filter(|slice| slice.parent != NO_TENSOR) {
            is_parent[usize::from(slice.parent)] = true;
        }
        let alone = |index: usize| tensors[index].parent == NO_TENSOR && !is_parent[index];
        for (at, step) in self.steps.iter().enumerate() {
            let (from, to) = (usize::from(step.inputs[0]), usize::from(step.output));
            let in_chain = chain_around(&self.steps, tensors, at).len() > 1;
            if step.inputs[0] == NO_TENSOR || !works_in_place(&step.operation) || in_chain {
                continue;
            }
            let ends = of[home[from]].is_some_and(|(_, last)| last == at + 1);
            let fits = tensors[from].footprint_bytes() == tensors[to].footprint_bytes();
            let uses = step.inputs.iter().filter(|&&index| index == step.inputs[0]).count();
            if alone(from) && alone(to) && ends && fits && uses == 1 {
                home[to] = home[from];
                if let (Some(inner), Some(outer)) = (of[to], &mut of[home[from]]) {
                    outer.1 = outer.1.max(inner.1);
                }
            }
        }
    }

    /// The tensors that take memory of their own, and what they take.
    fn blocks(&self, lives: &Lives) -> (Vec<usize>, Vec<Block>) {
        let blocks = (0..self.tensors.len()).filter_map(|at| {
            let tensor = &self.tensors[at];
            let own = lives.home[at] == at && tensor.parent == NO_TENSOR;
            let (first, last) = lives.of[at].filter(|_| own)?;
            Some((at, Block { bytes: tensor.footprint_bytes(), first, last }))
        });
        blocks.unzip()
    }

    /// Bytes that are needed at each moment.
    pub(super) fn needed_bytes(&self) -> Vec<u64> {
        let (_, blocks) = self.blocks(&self.lives());
        let mut needed = vec![0; self.steps.len() + 2];
        for block in &blocks {
            needed[block.first..=block.last].iter_mut().for_each(|bytes| *bytes += block.bytes);
        }
        needed
    }

    /// Gives every tensor its offset.
    pub(super) fn place(&mut self) -> Memory {
        let lives = self.lives();
        let (homes, blocks) = self.blocks(&lives);
        let layout = layout(&blocks);
        let tensors = &mut self.tensors;
        for (&at, &offset) in homes.iter().zip(&layout.offsets) {
            tensors[at].offset_bytes = offset;
        }
        for at in 0..tensors.len() {
            let place = |index: usize| tensors[lives.home[index]].offset_bytes;
            match tensors[at].parent {
                NO_TENSOR => tensors[at].offset_bytes = place(at),
                parent => tensors[at].offset_bytes += place(usize::from(parent)),
            }
        }
        Memory { bytes: layout.bytes, bound_bytes: lower_bound(&blocks) }
    }
}

fn works_in_place(operation: &Operation) -> bool {
    matches!(operation, Operation::Unary { .. } | Operation::Binary { .. } | Operation::Copy)
}
