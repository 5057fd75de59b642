//! Products of bytes: tiles of two rows and two columns, four of the depth at a time. Sums wrap, as
//! the portable kernel's do; the flag Q, in which that would show, is nobody's.

use super::finish_u8;
use crate::math::network::gemm_out::GemmOut;
use crate::math::network::gemm_u8::{BLOCK_COLUMNS, DEPTH_STEP, GemmU8};
use crate::math::pieces::{piece, pieces};
use core::arch::asm;

/// Rows of a tile.
const ROWS: usize = 2;
/// Most of the depth that is widened at a time.
const CHUNK: usize = 128;

/// Pairs of 16 bits: of four of the depth, the upper row's even and odd ones, then the lower row's.
type Pairs = [u32; CHUNK];
type Sums = [[i32; BLOCK_COLUMNS]; ROWS];

/// See [`crate::math::network::gemm_u8::gemm_u8`].
pub fn gemm_u8(gemm: &GemmU8<'_>, out: &mut GemmOut<'_>) -> bool {
    if !gemm.is_valid() || !out.is_valid(gemm.left.rows, gemm.right.columns) {
        return false;
    }
    let (mut sums, mut pairs) = ([[0; BLOCK_COLUMNS]; ROWS], [0; CHUNK]);
    for first in (0..gemm.left.rows).step_by(ROWS) {
        // Of an odd number of rows the last is computed twice.
        let rows = [first, (first + 1).min(gemm.left.rows - 1)];
        let blocks = pieces(gemm.right.data, gemm.right.block_len());
        for (block, weights) in blocks.take(gemm.right.blocks()).enumerate() {
            let column = block.saturating_mul(BLOCK_COLUMNS);
            let columns = gemm.right.columns.saturating_sub(column).min(BLOCK_COLUMNS);
            add_block(gemm, rows, [block, columns], weights, &mut sums, &mut pairs);
            for (row, sums) in rows.into_iter().zip(&sums).take(1 + rows[1] - rows[0]) {
                finish_u8::write(out, row, column, sums, columns);
            }
        }
    }
    true
}

/// The sums of two rows and the first `columns` of a block.
#[inline(always)]
fn add_block(
    gemm: &GemmU8<'_>,
    [upper, lower]: [usize; ROWS],
    [block, columns]: [usize; 2],
    weights: &[i8],
    sums: &mut Sums,
    pairs: &mut Pairs,
) {
    let row_bias = |row: usize| gemm.row_bias.get(row).copied().unwrap_or(0);
    let (upper_bias, lower_bias) = (row_bias(upper), row_bias(lower));
    let bias = piece(gemm.bias, block, BLOCK_COLUMNS).unwrap_or_default();
    let [upper_sums, lower_sums] = &mut *sums;
    for ((upper, lower), bias) in upper_sums.iter_mut().zip(lower_sums).zip(bias) {
        *upper = bias.wrapping_add(upper_bias);
        *lower = bias.wrapping_add(lower_bias);
    }
    for segment in gemm.segments {
        for start in segment.clone().step_by(CHUNK) {
            let depth = (segment.end - start).min(CHUNK);
            let values = |row: usize| {
                let start = row.saturating_mul(gemm.left.stride).saturating_add(start);
                gemm.left.data.get(start..).and_then(|row| row.get(..depth))
            };
            let (Some(upper), Some(lower)) = (values(upper), values(lower)) else { return };
            widen(upper, lower, pairs);
            let weights = weights.get(start.saturating_mul(BLOCK_COLUMNS)..).unwrap_or_default();
            add_products(pairs, depth, weights, columns, sums);
        }
    }
}

/// Two rows' values as pairs, which all columns share.
#[inline(always)]
fn widen(upper: &[u8], lower: &[u8], pairs: &mut Pairs) {
    let steps = upper.len().min(lower.len()).min(CHUNK) / DEPTH_STEP;
    if steps == 0 {
        return;
    }
    // SAFETY: the rows have four values, and there are four pairs, in each of the steps. All that
    // it changes is named.
    unsafe {
        asm!(
            "2:",
            "ldr r4, [r0], #4",
            "ldr r5, [r1], #4",
            "uxtb16 r8, r4",
            "uxtb16 r9, r4, ror #8",
            "uxtb16 r10, r5",
            "uxtb16 r12, r5, ror #8",
            "stm r2!, {{r8, r9, r10, r12}}",
            "subs r3, r3, #1",
            "bne 2b",
            inout("r0") upper.as_ptr() => _, inout("r1") lower.as_ptr() => _,
            inout("r2") pairs.as_mut_ptr() => _, inout("r3") steps => _,
            out("r4") _, out("r5") _, out("r8") _, out("r9") _, out("r10") _, out("r12") _,
            options(nostack),
        );
    }
}

/// Adds the products of two rows with the first `columns` of a block, and the last tile's other
/// column.
#[inline(always)]
fn add_products(pairs: &Pairs, depth: usize, weights: &[i8], columns: usize, sums: &mut Sums) {
    let fits = depth <= CHUNK && weights.len() >= depth.saturating_mul(BLOCK_COLUMNS);
    if !fits || depth < DEPTH_STEP || columns == 0 || columns > BLOCK_COLUMNS {
        return;
    }
    let first = sums.as_mut_ptr().cast::<i32>();
    // SAFETY: there are `depth` pairs, and 16 times as many weights. At most 16 columns of both
    // rows' sums are read and written. What it changes is named, or saved.
    unsafe {
        asm!(
            "push {{r0, r3, r6, r7, r12, lr}}",
            // A tile.
            "2:",
            "ldr r12, [sp, #20]",
            "ldr r4, [r12]",
            "ldr r5, [r12, #4]",
            "ldr r8, [r12, #64]",
            "ldr r9, [r12, #68]",
            // Four of the depth.
            "3:",
            "ldm r0!, {{r6, r10, r12, lr}}",
            "ldr r1, [r2, #4]",
            "sxtb16 r7, r1",
            "sxtb16 r1, r1, ror #8",
            "smlad r5, r6, r7, r5",
            "smlad r9, r12, r7, r9",
            "smlad r5, r10, r1, r5",
            "smlad r9, lr, r1, r9",
            "ldr r1, [r2], #64",
            "sxtb16 r7, r1",
            "sxtb16 r1, r1, ror #8",
            "smlad r4, r6, r7, r4",
            "smlad r8, r12, r7, r8",
            "smlad r4, r10, r1, r4",
            "smlad r8, lr, r1, r8",
            "subs r3, r3, #1",
            "bne 3b",
            "ldr r12, [sp, #20]",
            "str r4, [r12]",
            "str r5, [r12, #4]",
            "str r8, [r12, #64]",
            "str r9, [r12, #68]",
            "add r12, r12, #8",
            "str r12, [sp, #20]",
            "ldr r0, [sp]",
            "ldr r3, [sp, #4]",
            "sub r2, r2, r3, lsl #6",
            "add r2, r2, #8",
            "ldr lr, [sp, #16]",
            "cmp r12, lr",
            "blo 2b",
            "pop {{r0, r3, r6, r7, r12, lr}}",
            in("r0") pairs.as_ptr(), in("r3") depth / DEPTH_STEP,
            inout("r2") weights.as_ptr() => _, inout("lr") first => _,
            in("r12") first.wrapping_add(columns),
            out("r1") _, out("r4") _, out("r5") _, out("r8") _, out("r9") _, out("r10") _,
        );
    }
}
