//! The inner loops of the depthwise kernel.

use super::depthwise_lanes::TapLanes;
use crate::math::arch::depthwise_plan::Plan;
use crate::math::network::vector::ByteLanes;

/// Output rows that one interleaving serves at most.
pub const ROWS: usize = 4;

/// One of four rows that are interleaved: where it starts and whether it moves along.
#[derive(Clone, Copy)]
pub struct Source {
    pub start: *const u8,
    pub moves: usize,
}

/// Interleaves `count` vectors of four rows, `step` bytes apart, to consecutive places.
///
/// # Safety
/// A vector is readable at each place of the rows, four are writable at each place.
#[inline(always)]
pub unsafe fn interleave_run<L: TapLanes>(
    sources: [Source; 4],
    step: usize,
    to: *mut u8,
    count: usize,
) {
    let bytes = L::VECTORS.bytes;
    let [mut a, mut b, mut c, mut d] = sources.map(|source| source.start);
    let steps = sources.map(|source| source.moves * step);
    for index in 0..count {
        // SAFETY: the caller's.
        unsafe {
            let rows = [L::read_bytes(a), L::read_bytes(b), L::read_bytes(c), L::read_bytes(d)];
            let place = to.add(4 * bytes * index);
            for (part, quads) in L::interleave(rows).into_iter().enumerate() {
                L::write(quads, place.add(bytes * part));
            }
        }
        (a, b) = (a.wrapping_add(steps[0]), b.wrapping_add(steps[1]));
        (c, d) = (c.wrapping_add(steps[2]), d.wrapping_add(steps[3]));
    }
}

/// Some output columns of some output rows that are made from one interleaving.
pub struct Tile<'a, L: TapLanes> {
    pub plan: &'a Plan,
    /// Where the values of each tap are, from the first column's on.
    pub taps: &'a [usize],
    /// The first table.
    pub table: *const u8,
    /// Tables that the blocks use by turns.
    pub tables: usize,
    pub buffer: *const u8,
    pub blocks: usize,
    /// Bytes of the buffer from block to block.
    pub block_step: usize,
    pub out: [Option<*mut u8>; ROWS],
    /// Bytes of the output from block to block.
    pub out_step: usize,
    /// Bytes written by all but the last block, by the last one.
    pub lengths: [usize; 2],
    /// Whether no scaled sum exceeds the integers.
    pub bounded: bool,
    pub range: <L::Bytes as ByteLanes>::Range,
    pub look_up: Option<<L::Bytes as ByteLanes>::Table>,
}

impl<L: TapLanes> Tile<'_, L> {
    /// All blocks, those of one table after another so that it stays in the cache.
    ///
    /// # Safety
    /// The buffer holds the columns, the tables the weights, and the output the pixels.
    #[inline(always)]
    pub unsafe fn multiply<const COUNT: usize>(&self) {
        for phase in 0..self.tables {
            let table = self.table.wrapping_add(phase * self.plan.table_len);
            for block in (phase..self.blocks).step_by(self.tables.max(1)) {
                // SAFETY: the caller's.
                unsafe {
                    let sums = self.sums::<COUNT>(table, block);
                    self.store(sums, table, block);
                }
            }
        }
    }

    #[inline(always)]
    unsafe fn sums<const COUNT: usize>(
        &self,
        table: *const u8,
        block: usize,
    ) -> [[L::Quads; 4]; COUNT] {
        let bytes = L::VECTORS.bytes;
        let part_len = bytes * L::VECTORS.weight_bytes / 4;
        let row_len = self.taps.len() * self.plan.tap_len();
        // SAFETY: the caller's.
        unsafe {
            let columns = self.buffer.add(block * self.block_step);
            let biases = [
                L::read(table),
                L::read(table.add(bytes)),
                L::read(table.add(2 * bytes)),
                L::read(table.add(3 * bytes)),
            ];
            let mut sums = [biases; COUNT];
            let mut weights = table.add(self.plan.constants_len());
            for tap in self.taps {
                for part in 0..4 {
                    let values = L::values(L::read(columns.add(tap + bytes * part)));
                    for (row, sums) in sums.iter_mut().enumerate() {
                        let weights = weights.add(row * row_len + part * part_len);
                        sums[part] = L::dot(sums[part], values, weights);
                    }
                }
                weights = weights.add(self.plan.tap_len());
            }
            sums
        }
    }

    #[inline(always)]
    unsafe fn store<const COUNT: usize>(
        &self,
        sums: [[L::Quads; 4]; COUNT],
        table: *const u8,
        block: usize,
    ) {
        let bytes = L::VECTORS.bytes;
        let [len, last] = self.lengths;
        let len = if block + 1 == self.blocks { last } else { len };
        let scales = table.wrapping_add(4 * bytes);
        for ([a, b, c, d], out) in sums.into_iter().zip(self.out) {
            let Some(out) = out else { return };
            // SAFETY: the caller's; `len` bytes are the block's.
            let (steps, to) = unsafe {
                let steps = [
                    L::steps(a, scales),
                    L::steps(b, scales.add(bytes)),
                    L::steps(c, scales.add(2 * bytes)),
                    L::steps(d, scales.add(3 * bytes)),
                ];
                let to = out.add(block * self.out_step);
                (steps, core::slice::from_raw_parts_mut(to, len))
            };
            let mut values = if self.bounded {
                L::Bytes::quantize_bounded(steps, &self.range)
            } else {
                L::Bytes::quantize(steps, &self.range)
            };
            if let Some(table) = &self.look_up {
                values = values.look_up(table);
            }
            if len == bytes {
                values.store(to);
            } else {
                values.store_part(to);
            }
        }
    }
}
