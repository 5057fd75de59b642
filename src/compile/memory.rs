//! Where tensors lie in the arena: offsets so that tensors that live at the same time do not
//! overlap, in as few bytes as the best of several known heuristics needs.

use std::vec;
use std::vec::Vec;

/// A piece of memory that is needed from one moment to another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Block {
    /// A multiple of 64.
    pub bytes: u64,
    /// First moment.
    pub first: usize,
    /// Last moment, not before the first.
    pub last: usize,
}

impl Block {
    fn lives_with(&self, other: &Block) -> bool {
        self.first <= other.last && other.first <= self.last
    }
}

/// Offsets of blocks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Layout {
    /// Start of each block.
    pub offsets: Vec<u64>,
    /// Bytes of all together.
    pub bytes: u64,
}

/// Turns that a random change of the order is tried.
const TRIES: usize = 2000;

/// The best layout found. Time grows with the square of the number of blocks.
pub fn layout(blocks: &[Block]) -> Layout {
    let bound = lower_bound(blocks);
    let moments = |block: &Block| block.last - block.first + 1;
    let mut orders: Vec<Vec<usize>> = Vec::new();
    let mut sorted = |key: &dyn Fn(&Block) -> u64| {
        let mut order: Vec<usize> = (0..blocks.len()).collect();
        order.sort_by_key(|&at| (core::cmp::Reverse(key(&blocks[at])), at));
        orders.push(order);
    };
    sorted(&|block| block.bytes);
    sorted(&|block| block.bytes * moments(block) as u64);
    sorted(&|block| moments(block) as u64);
    sorted(&|block| u64::MAX - block.first as u64);
    orders.push(by_breadth(blocks));
    let known = orders.into_iter().map(|order| (place(blocks, &order), order));
    let Some((mut best, mut order)) = known.min_by_key(|(layout, _)| layout.bytes) else {
        return Layout { offsets: Vec::new(), bytes: 0 };
    };
    let mut state = 1u64;
    let mut random = |below: usize| {
        state =
            state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        ((state >> 33) as usize) % below
    };
    for _ in 0..TRIES {
        if best.bytes == bound || blocks.len() < 2 {
            break;
        }
        let mut changed = order.clone();
        let moved = changed.remove(random(blocks.len()));
        changed.insert(random(blocks.len()), moved);
        let layout = place(blocks, &changed);
        if layout.bytes <= best.bytes {
            (best, order) = (layout, changed);
        }
    }
    best
}

/// The largest sum of blocks that live at the same moment: no layout needs less.
pub fn lower_bound(blocks: &[Block]) -> u64 {
    let at = |moment: usize| {
        let alive = blocks.iter().filter(|block| block.first <= moment && moment <= block.last);
        alive.map(|block| block.bytes).sum::<u64>()
    };
    blocks.iter().map(|block| at(block.first)).max().unwrap_or(0)
}

/// Blocks of the fullest moments first, the largest of a moment first.
fn by_breadth(blocks: &[Block]) -> Vec<usize> {
    let breadth = |moment: usize| {
        let alive = blocks.iter().filter(|block| block.first <= moment && moment <= block.last);
        alive.map(|block| block.bytes).sum::<u64>()
    };
    let mut order: Vec<usize> = (0..blocks.len()).collect();
    let widest = |block: &Block| (block.first..=block.last).map(breadth).max().unwrap_or(0);
    let keys: Vec<(u64, u64)> = blocks.iter().map(|block| (widest(block), block.bytes)).collect();
    order.sort_by_key(|&at| (core::cmp::Reverse(keys[at]), at));
    order
}

/// Puts each block in turn into the lowest gap that is large enough.
fn place(blocks: &[Block], order: &[usize]) -> Layout {
    let mut offsets = vec![0; blocks.len()];
    let mut placed: Vec<usize> = Vec::with_capacity(blocks.len());
    let mut bytes = 0;
    for &at in order {
        let block = &blocks[at];
        let mut start = 0;
        for &other in &placed {
            if !block.lives_with(&blocks[other]) {
                continue;
            }
            if start + block.bytes <= offsets[other] {
                break;
            }
            start = start.max(offsets[other] + blocks[other].bytes);
        }
        offsets[at] = start;
        bytes = bytes.max(start + block.bytes);
        let place = placed.partition_point(|&other| offsets[other] <= start);
        placed.insert(place, at);
    }
    Layout { offsets, bytes }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn blocks() -> impl Strategy<Value = Vec<Block>> {
        let block = (1u64..200, 0usize..30, 0usize..8).prop_map(|(units, first, moments)| Block {
            bytes: units * 64,
            first,
            last: first + moments,
        });
        proptest::collection::vec(block, 0..40)
    }

    proptest! {
        #[test]
        fn blocks_that_live_together_do_not_overlap(blocks in blocks()) {
            let layout = layout(&blocks);
            for (at, block) in blocks.iter().enumerate() {
                let start = layout.offsets[at];
                prop_assert!(start.is_multiple_of(64) && start + block.bytes <= layout.bytes);
                for (other, second) in blocks.iter().enumerate().skip(at + 1) {
                    let apart = start + block.bytes <= layout.offsets[other]
                        || layout.offsets[other] + second.bytes <= start;
                    prop_assert!(apart || !block.lives_with(second));
                }
            }
            prop_assert!(layout.bytes >= lower_bound(&blocks));
        }
    }

    #[test]
    fn a_chain_needs_its_two_largest_neighbours() {
        let block = |at: usize, units: u64| Block { bytes: units * 64, first: at, last: at + 1 };
        let chain = [block(0, 5), block(1, 8), block(2, 2), block(3, 9), block(4, 1)];
        let layout = layout(&chain);
        assert_eq!(layout.bytes, lower_bound(&chain));
        assert_eq!(layout.bytes, 13 * 64);
    }
}
