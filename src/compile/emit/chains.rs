//! Which steps take turns: chains, where they make the arena smaller.
//!
//! A greedy search. While a chain around the fullest moment makes it less full, the best one is
//! taken; those that hardly matter in the end are dropped; then strips are made as tall as they can
//! be at no cost in memory, or within the nearest large cache at little.

use super::places::Network;
use crate::plan::{
    Link, MAX_CHAIN_STEPS, NO_TENSOR, Step, Target, Tensor, TensorIndex, gather_bytes,
};
use core::cmp::Reverse;
use core::ops::Range;
use std::vec::Vec;

/// A chain must save one part in so many of the arena.
const LEAST_SAVING: u64 = 64;
/// Taller strips may take one part in so many of the arena.
const MOST_FOR_SPEED: u64 = 32;

/// A chain to be.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Chain {
    steps: Range<usize>,
    strip_rows: u32,
}

/// Lets steps take turns where that saves memory.
pub(super) fn choose(network: &mut Network, target: Target) {
    let follows: Vec<bool> = (0..network.steps.len()).map(|at| follows(network, at)).collect();
    let mut chains = Vec::new();
    let mut needed = fullest(network);
    while let Some((less, with)) = better(network, &follows, &chains) {
        if less >= needed {
            break;
        }
        (needed, chains) = (less, with);
    }
    drop_idle(network, &mut chains);
    grow(network, &mut chains, target);
    *network = with_chains(network, &chains);
}

/// The fullest moment: how full it is, and how many are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Fullest {
    bytes: u64,
    count: usize,
}

fn fullest(network: &Network) -> Fullest {
    let needed = network.needed_bytes();
    let bytes = needed.iter().copied().max().unwrap_or(0);
    Fullest { bytes, count: needed.iter().filter(|&&other| other == bytes).count() }
}

/// Whether step `at` may take turns with the one before it, whose output nobody else reads.
fn follows(network: &Network, at: usize) -> bool {
    let Network { tensors, steps, .. } = network;
    let Some(before) = at.checked_sub(1) else { return false };
    let (between, step) = (steps[before].output, &steps[at]);
    let uses = steps.iter().flat_map(|step| step.inputs.iter().chain([&step.output]));
    let alone = tensors[usize::from(between)].parent == NO_TENSOR
        && tensors.iter().all(|tensor| tensor.parent != between)
        && network.input != between
        && !network.outputs.contains(&between)
        && uses.filter(|&&index| index == between).count() == 2;
    let by_rows = [&steps[before], step].into_iter().all(|step| link(tensors, step).is_some());
    alone && step.inputs[0] == between && by_rows
}

/// How a step reads rows; `None` where it cannot be part of a chain.
fn link(tensors: &[Tensor], step: &Step) -> Option<Link> {
    let input = tensors.get(usize::from(step.inputs[0]))?;
    let heights = [input.height, tensors[usize::from(step.output)].height];
    let has_rows = heights.iter().all(|height| (2..=u16::MAX.into()).contains(height));
    Link::of(step.operation, input.height).filter(|_| has_rows)
}

/// The chain that helps most at the fullest moment, with all others, and how full it is then.
fn better(network: &Network, follows: &[bool], chains: &[Chain]) -> Option<(Fullest, Vec<Chain>)> {
    let needed = with_chains(network, chains).needed_bytes();
    let moments = needed.iter().enumerate();
    let (fullest_moment, _) = moments.max_by_key(|&(moment, bytes)| (bytes, Reverse(moment)))?;
    let tried = around(fullest_moment.checked_sub(1)?, follows).filter_map(|steps| {
        let apart = |other: &Range<usize>| other.end <= steps.start || steps.end <= other.start;
        let inside = |other: &Range<usize>| steps.start <= other.start && other.end <= steps.end;
        let known = chains.iter().all(|chain| apart(&chain.steps) || inside(&chain.steps));
        let others = chains.iter().filter(|chain| apart(&chain.steps)).cloned();
        let new = Chain { steps: steps.clone(), strip_rows: 1 };
        let with: Vec<Chain> = others.chain([new]).collect();
        known.then(|| (fullest(&with_chains(network, &with)), steps.len(), with))
    });
    let best = tried.min_by_key(|(needed, len, _)| (*needed, *len));
    best.map(|(needed, _, with)| (needed, with))
}

/// Every chain that step `at` could be a part of.
fn around(at: usize, follows: &[bool]) -> impl Iterator<Item = Range<usize>> {
    let before = (1..=at).rev().take_while(|&step| follows.get(step) == Some(&true)).count();
    let behind = follows.iter().skip(at + 1).take_while(|&&follows| follows).count();
    let (first, last) = (at - before, at + behind);
    (first..=at)
        .flat_map(move |start| (at..=last).map(move |end| start..end + 1))
        .filter(|steps| (2..=MAX_CHAIN_STEPS).contains(&steps.len()))
}

/// Takes chains away without which the fullest moment is hardly fuller.
fn drop_idle(network: &Network, chains: &mut Vec<Chain>) {
    let needed = fullest(&with_chains(network, chains)).bytes;
    let enough = needed + needed / LEAST_SAVING;
    for at in (0..chains.len()).rev() {
        let mut others = chains.clone();
        others.remove(at);
        if fullest(&with_chains(network, &others)).bytes <= enough {
            *chains = others;
        }
    }
}

/// Makes strips taller.
fn grow(network: &Network, chains: &mut [Chain], target: Target) {
    let needed = fullest(&with_chains(network, chains)).bytes;
    let most = needed + needed / MOST_FOR_SPEED;
    for at in 0..chains.len() {
        let last = &network.steps[chains[at].steps.end - 1];
        let height = network.tensors[usize::from(last.output)].height;
        loop {
            let known = chains[at].strip_rows;
            chains[at].strip_rows = known * 2;
            let with = with_chains(network, chains);
            let buffers = with.steps[chains[at].steps.clone()].iter();
            let buffers = buffers.map(|step| &with.tensors[usize::from(step.output)]);
            let bytes: u64 =
                buffers.filter(|map| map.is_buffered()).map(Tensor::extent_bytes).sum();
            let needs = fullest(&with).bytes;
            let free = needs <= needed || (needs <= most && bytes <= gather_bytes(target) as u64);
            if known * 2 > height || !free {
                chains[at].strip_rows = known;
                break;
            }
        }
    }
}

/// The network with these chains.
fn with_chains(network: &Network, chains: &[Chain]) -> Network {
    let mut network = network.clone();
    for Chain { steps, strip_rows } in chains {
        network.steps[steps.end - 1].strip_rows = *strip_rows;
        let mut rows = *strip_rows as usize;
        for at in steps.clone().skip(1).rev() {
            let step = &network.steps[at];
            let Some(link) = link(&network.tensors, step) else { continue };
            rows = link.span(rows);
            let between: TensorIndex = step.inputs[0];
            network.tensors[usize::from(between)].buffered_rows = rows as u32;
        }
    }
    network
}
