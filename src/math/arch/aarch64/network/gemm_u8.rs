//! Products of u8 and s8: the division into tiles that the kernels share.
//!
//! Kernels whose instructions take signed bytes only move activations by 128; what that takes away
//! from a column's sums, 128 times the sum of its weights, is added to its bias once per product.

use super::gemm_u8_dotprod::DotProducts;
use super::gemm_u8_finish::finish;
use super::gemm_u8_i8mm::MatrixProducts;
use super::gemm_u8_neon::WideProducts;
use crate::math::arch::aarch64::cpu::Cpu;
use crate::math::network::gemm_out::GemmOut;
use crate::math::network::gemm_u8::{BLOCK_COLUMNS, GemmU8, GemmU8Fn};
use core::ops::Range;

/// Most rows of a tile.
pub const TILE_ROWS: usize = 8;
/// Blocks of columns that are used for all rows before the next are.
const GROUP_BLOCKS: usize = 16;
/// Bytes of weights of these at most, but for one block: half of a small second-level cache.
const GROUP_BYTES: usize = 128 << 10;

/// Sums of a tile.
pub type Sums = [[i32; BLOCK_COLUMNS]; TILE_ROWS];

/// Weights of 16 columns.
#[derive(Clone, Copy)]
pub struct Block<'a> {
    pub weights: *const i8,
    pub segments: &'a [Range<usize>],
}

/// What is known of a block before its products.
#[derive(Clone, Copy)]
pub struct Start {
    /// What the sums of each row start from.
    pub sums: [i32; BLOCK_COLUMNS],
    /// Whether two products of a weight and an activation less 128 always fit 16 bits: no weight is
    /// -128.
    pub pairs_fit: bool,
}

/// Some rows of the left operand.
#[derive(Clone, Copy)]
pub struct RowsAt {
    pub start: *const u8,
    pub stride: usize,
}

/// A way to multiply.
pub trait Products {
    /// What the sums of a block start from, given its biases.
    ///
    /// # Safety
    /// The processor has the instructions; the block is one of a valid product.
    unsafe fn start(block: Block<'_>, bias: [i32; BLOCK_COLUMNS]) -> Start;

    /// The sums of some of `rows` rows from the first on; how many, at least one.
    ///
    /// # Safety
    /// As for `start`; the left operand has so many rows, at least one.
    unsafe fn multiply(
        left: RowsAt,
        rows: usize,
        block: Block<'_>,
        start: &Start,
        sums: &mut Sums,
    ) -> usize;
}

/// The kernels that this processor runs, fastest first.
pub fn supported() -> impl Iterator<Item = (&'static str, GemmU8Fn)> {
    let cpu = Cpu::detect();
    let kernels: [(bool, &'static str, GemmU8Fn); 3] = [
        (cpu.i8mm, "i8mm", |gemm, out| {
            // SAFETY: handed out only where the processor has the instructions.
            unsafe { gemm_u8::<MatrixProducts>(gemm, out) }
        }),
        (cpu.dotprod, "dotprod", |gemm, out| {
            // SAFETY: see above.
            unsafe { gemm_u8::<DotProducts>(gemm, out) }
        }),
        (true, "neon", |gemm, out| {
            // SAFETY: NEON is what this module is compiled for.
            unsafe { gemm_u8::<WideProducts>(gemm, out) }
        }),
    ];
    kernels.into_iter().filter(|(runs, ..)| *runs).map(|(_, name, kernel)| (name, kernel))
}

/// # Safety
/// The processor has the instructions of the products.
unsafe fn gemm_u8<P: Products>(gemm: &GemmU8<'_>, out: &mut GemmOut<'_>) -> bool {
    if !gemm.is_valid() || !out.is_valid(gemm.left.rows, gemm.right.columns) {
        return false;
    }
    let depth: usize = gemm.segments.iter().map(|segment| segment.len()).sum();
    let group = (GROUP_BYTES / (depth * BLOCK_COLUMNS).max(1)).clamp(1, GROUP_BLOCKS);
    for first in (0..gemm.right.blocks()).step_by(group) {
        let blocks = first..gemm.right.blocks().min(first + group);
        // SAFETY: the product is valid, and these are some of its blocks.
        unsafe { multiply_group::<P>(gemm, out, blocks) };
    }
    true
}

/// All rows of at most [`GROUP_BLOCKS`] blocks.
///
/// # Safety
/// As for [`gemm_u8`]; the product is valid and has the blocks.
unsafe fn multiply_group<P: Products>(
    gemm: &GemmU8<'_>,
    out: &mut GemmOut<'_>,
    blocks: Range<usize>,
) {
    let nothing = Start { sums: [0; BLOCK_COLUMNS], pairs_fit: false };
    let mut starts = [nothing; GROUP_BLOCKS];
    let (biases, _) = gemm.bias.as_chunks::<BLOCK_COLUMNS>();
    for ((index, start), bias) in
        blocks.clone().zip(&mut starts).zip(biases.iter().skip(blocks.start))
    {
        // SAFETY: the caller's.
        *start = unsafe { P::start(block_of(gemm, index), *bias) };
    }
    let mut sums = [[0; BLOCK_COLUMNS]; TILE_ROWS];
    let mut row = 0;
    while row < gemm.left.rows {
        let mut done = 1;
        for (index, start) in blocks.clone().zip(&starts) {
            let left = RowsAt {
                start: gemm.left.data.as_ptr().wrapping_add(row * gemm.left.stride),
                stride: gemm.left.stride,
            };
            // SAFETY: the caller's, and so many rows are left.
            done = unsafe {
                P::multiply(left, gemm.left.rows - row, block_of(gemm, index), start, &mut sums)
            };
            let made = sums.get_mut(..done).unwrap_or_default();
            for (sums, bias) in made.iter_mut().zip(gemm.row_bias.get(row..).unwrap_or_default()) {
                sums.iter_mut().for_each(|sum| *sum = sum.wrapping_add(*bias));
            }
            let column = index * BLOCK_COLUMNS;
            let columns = (gemm.right.columns - column).min(BLOCK_COLUMNS);
            finish(out, row, [column, columns], made);
        }
        row += done;
    }
}

/// A block of the weights, which must exist.
fn block_of<'a>(gemm: &GemmU8<'a>, index: usize) -> Block<'a> {
    let weights = gemm.right.data.as_ptr().wrapping_add(index * gemm.right.block_len());
    Block { weights, segments: gemm.segments }
}
