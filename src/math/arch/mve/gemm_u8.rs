//! Products of bytes: tiles of two rows and four columns, 16 of the depth at a time.
//!
//! The instructions multiply signed bytes, so activations are moved by 128 and the sums start with
//! 128 times the sum of a column's weights. The weights of a column lie in words 64 bytes apart,
//! which a vector of addresses reads at once.

use super::finish_u8;
use crate::math::network::gemm_out::GemmOut;
use crate::math::network::gemm_u8::{self as portable, BLOCK_COLUMNS, GemmU8};
use crate::math::pieces::{piece, pieces};
use core::arch::asm;

/// Rows of a tile.
const ROWS: usize = 2;
/// Columns of a tile.
const COLUMNS: usize = 4;
/// Bytes that addresses of weights move by for 16 of the depth. They move before a load.
const STEP: usize = 256;

/// One number per column of a block.
type Columns = [i32; BLOCK_COLUMNS];
type Sums = [Columns; ROWS];

/// See [`portable::gemm_u8`].
pub fn gemm_u8(gemm: &GemmU8<'_>, out: &mut GemmOut<'_>) -> bool {
    if !gemm.right.data.as_ptr().cast::<u32>().is_aligned() {
        return portable::gemm_u8(gemm, out);
    }
    if !gemm.is_valid() || !out.is_valid(gemm.left.rows, gemm.right.columns) {
        return false;
    }
    let blocks = pieces(gemm.right.data, gemm.right.block_len());
    for (block, weights) in blocks.take(gemm.right.blocks()).enumerate() {
        let start = start_sums(gemm, block, weights);
        let mut sums = [[0; BLOCK_COLUMNS]; ROWS];
        for row in (0..gemm.left.rows).step_by(ROWS) {
            row_pair(gemm, out, [row, block], weights, &start, &mut sums);
        }
    }
    true
}

/// Two rows of a block of columns.
#[inline(always)]
fn row_pair(
    gemm: &GemmU8<'_>,
    out: &mut GemmOut<'_>,
    [first, block]: [usize; 2],
    weights: &[i8],
    start: &Columns,
    sums: &mut Sums,
) {
    // Of an odd number of rows the last is computed twice.
    let second = (first + 1).min(gemm.left.rows - 1);
    let rows = [first, second];
    let column = block * BLOCK_COLUMNS;
    let columns = gemm.right.columns.saturating_sub(column).min(BLOCK_COLUMNS);
    for (row, sums) in rows.into_iter().zip(&mut *sums) {
        move_to(start, gemm.row_bias.get(row).copied().unwrap_or(0), sums);
    }
    let left = rows.map(|row| gemm.left.data.get(row * gemm.left.stride..).unwrap_or_default());
    for segment in gemm.segments {
        let left = left.map(|row| row.get(segment.clone()).unwrap_or_default());
        let weights = weights.get(segment.start * BLOCK_COLUMNS..).unwrap_or_default();
        add_products(left, weights, columns, sums);
    }
    for (row, sums) in rows.into_iter().zip(&*sums).take(1 + second - first) {
        finish_u8::write(out, row, column, sums.get(..columns).unwrap_or_default());
    }
}

/// A block's biases, and what moves activations back.
fn start_sums(gemm: &GemmU8<'_>, block: usize, weights: &[i8]) -> Columns {
    let mut sums = [0; BLOCK_COLUMNS];
    for segment in gemm.segments {
        let weights = weights.get(segment.start * BLOCK_COLUMNS..).unwrap_or_default();
        for (tile, sums) in sums.as_chunks_mut::<COLUMNS>().0.iter_mut().enumerate() {
            let weights = weights.get(tile * COLUMNS * 4..).unwrap_or_default();
            add_weights(weights, segment.len(), sums);
        }
    }
    let biases = piece(gemm.bias, block, BLOCK_COLUMNS).unwrap_or_default();
    for (sum, bias) in sums.iter_mut().zip(biases) {
        *sum = bias.wrapping_add(*sum << 7);
    }
    sums
}

/// All numbers, plus one.
#[inline(always)]
fn move_to(numbers: &Columns, by: i32, sums: &mut Columns) {
    // SAFETY: reads and writes 16 words of each array. All that it changes is named.
    unsafe {
        asm!(
            "vldrw.u32 q0, [{from}]",
            "vldrw.u32 q1, [{from}, #16]",
            "vldrw.u32 q2, [{from}, #32]",
            "vldrw.u32 q3, [{from}, #48]",
            "vadd.i32 q0, q0, {by}",
            "vadd.i32 q1, q1, {by}",
            "vadd.i32 q2, q2, {by}",
            "vadd.i32 q3, q3, {by}",
            "vstrw.32 q0, [{to}]",
            "vstrw.32 q1, [{to}, #16]",
            "vstrw.32 q2, [{to}, #32]",
            "vstrw.32 q3, [{to}, #48]",
            from = in(reg) numbers.as_ptr(), to = in(reg) sums.as_mut_ptr(), by = in(reg) by,
            out("d0") _, out("d1") _, out("d2") _, out("d3") _, out("d4") _, out("d5") _,
            out("d6") _, out("d7") _, options(nostack),
        );
    }
}

/// Adds the weights of four columns, `depth` of each; the slice starts with the first column's.
#[inline(always)]
fn add_weights(weights: &[i8], depth: usize, [first, second, third, fourth]: &mut [i32; COLUMNS]) {
    if depth == 0 || weights.len() < (depth - 4) * BLOCK_COLUMNS + 4 * COLUMNS {
        return;
    }
    // SAFETY: reads words of four columns in every step of four of the depth; the slice has them,
    // lanes beyond are off. All that it changes is named.
    unsafe {
        asm!(
            "movs r12, #0",
            "vidup.u32 q0, r12, #8",
            "vshl.i32 q0, q0, #3",
            "vadd.i32 q0, q0, {weights}",
            "dlstp.8 lr, {depth}",
            "2:",
            "vldrw.u32 q1, [q0, #256]!",
            "vaddva.s8 r0, q1",
            "vldrw.u32 q1, [q0, #4]",
            "vaddva.s8 r2, q1",
            "vldrw.u32 q1, [q0, #8]",
            "vaddva.s8 r4, q1",
            "vldrw.u32 q1, [q0, #12]",
            "vaddva.s8 r8, q1",
            "letp lr, 2b",
            weights = in(reg) weights.as_ptr().wrapping_sub(STEP), depth = in(reg) depth,
            inout("r0") *first, inout("r2") *second, inout("r4") *third, inout("r8") *fourth,
            out("r12") _, out("lr") _, out("d0") _, out("d1") _, out("d2") _, out("d3") _,
            options(nostack, readonly),
        );
    }
}

/// Adds one segment's products of two rows with the first `columns` of a block.
#[inline(always)]
fn add_products(left: [&[u8]; ROWS], weights: &[i8], columns: usize, sums: &mut Sums) {
    let [upper, lower] = left;
    let depth = upper.len().min(lower.len());
    if weights.len() < depth * BLOCK_COLUMNS || columns == 0 || columns > BLOCK_COLUMNS {
        return;
    }
    let first = sums.as_mut_ptr().cast::<i32>();
    // SAFETY: the rows have `depth` values, and the weights 16 times as many; lanes beyond are off.
    // At most 16 columns of both rows' sums are read and written. What it changes is named, or
    // saved.
    unsafe {
        asm!(
            "push {{r1, r3, r5, r6, r12}}",
            "vmov.i8 q7, #0x80",
            "movs r0, #0",
            "vidup.u32 q6, r0, #8",
            "vshl.i32 q6, q6, #3",
            // Four columns.
            "2:",
            "vadd.i32 q0, q6, r9",
            "ldrd r0, r2, [r11]",
            "ldrd r4, r6, [r11, #8]",
            "ldrd r8, r10, [r11, #64]",
            "ldrd r12, lr, [r11, #72]",
            "subs r5, #16",
            "blo 4f",
            // 16 of the depth.
            "3:",
            "vldrb.u8 q2, [r1], #16",
            "vldrb.u8 q3, [r3], #16",
            "veor q2, q2, q7",
            "veor q3, q3, q7",
            "vldrw.u32 q1, [q0, #256]!",
            "vmladava.s8 r0, q2, q1",
            "vmladava.s8 r8, q3, q1",
            "vldrw.u32 q4, [q0, #4]",
            "vmladava.s8 r2, q2, q4",
            "vmladava.s8 r10, q3, q4",
            "vldrw.u32 q1, [q0, #8]",
            "vmladava.s8 r4, q2, q1",
            "vmladava.s8 r12, q3, q1",
            "vldrw.u32 q4, [q0, #12]",
            "vmladava.s8 r6, q2, q4",
            "vmladava.s8 lr, q3, q4",
            "subs r5, #16",
            "bhs 3b",
            // What is left of the depth.
            "4:",
            "adds r5, #16",
            "beq 5f",
            "vctp.8 r5",
            "vpstttt",
            "vldrbt.u8 q2, [r1]",
            "vldrbt.u8 q3, [r3]",
            "veort q2, q2, q7",
            "veort q3, q3, q7",
            "vpstttt",
            "vldrwt.u32 q1, [q0, #256]!",
            "vmladavat.s8 r0, q2, q1",
            "vmladavat.s8 r8, q3, q1",
            "vldrwt.u32 q4, [q0, #4]",
            "vpstttt",
            "vmladavat.s8 r2, q2, q4",
            "vmladavat.s8 r10, q3, q4",
            "vldrwt.u32 q1, [q0, #8]",
            "vmladavat.s8 r4, q2, q1",
            "vpstttt",
            "vmladavat.s8 r12, q3, q1",
            "vldrwt.u32 q4, [q0, #12]",
            "vmladavat.s8 r6, q2, q4",
            "vmladavat.s8 lr, q3, q4",
            "5:",
            "strd r0, r2, [r11]",
            "strd r4, r6, [r11, #8]",
            "strd r8, r10, [r11, #64]",
            "strd r12, lr, [r11, #72]",
            "ldrd r1, r3, [sp]",
            "ldr r5, [sp, #8]",
            "ldr r12, [sp, #16]",
            "add r9, #16",
            "add r11, #16",
            "cmp r11, r12",
            "blo 2b",
            "ldr r6, [sp, #12]",
            "add sp, #20",
            inout("r1") upper.as_ptr() => _, inout("r3") lower.as_ptr() => _,
            inout("r5") depth => _, inout("r9") weights.as_ptr().wrapping_sub(STEP) => _,
            inout("r11") first => _, inout("r12") first.wrapping_add(columns) => _,
            out("r0") _, out("r2") _, out("r4") _, out("r8") _, out("r10") _, out("lr") _,
            out("d0") _, out("d1") _, out("d2") _, out("d3") _, out("d4") _, out("d5") _,
            out("d6") _, out("d7") _, out("d8") _, out("d9") _, out("d12") _, out("d13") _,
            out("d14") _, out("d15") _,
        );
    }
}
