//! Kernels for 32-bit ARM with the DSP instructions: Cortex-M4, M7 and every ARMv7-A. Equal to the
//! portable ones bit for bit.

use crate::math::network::gemm_out::GemmOut;
use crate::math::network::gemm_u8::{BLOCK_COLUMNS, DEPTH_STEP, GemmU8};
use crate::math::network::kernels::{NetworkKernels, PORTABLE};
use crate::math::pieces::{piece, pieces};
use core::arch::asm;

/// Rows of the result that share what is loaded of the weights.
const ROWS: usize = 2;

/// Four values of a row's depth, or four weights of a column.
type Quad<T> = [T; DEPTH_STEP];
/// Weights of one step of depth.
type Step = [Quad<i8>; BLOCK_COLUMNS];
type Sums = [[i32; BLOCK_COLUMNS]; ROWS];

/// The kernels with DSP instructions.
pub const DSP: NetworkKernels = NetworkKernels { name: "dsp", gemm_u8, ..PORTABLE };

/// Four bytes as two pairs of 16 bits. Fields, not an array: a loop over two would not be unrolled
/// where code is to be small.
#[derive(Clone, Copy)]
struct Pairs {
    even: u32,
    odd: u32,
}

impl Pairs {
    #[inline(always)]
    fn unsigned(bytes: Quad<u8>) -> Pairs {
        let word = u32::from_le_bytes(bytes);
        let (even, odd);
        // SAFETY: touches two registers only.
        unsafe {
            asm!("uxtb16 {}, {}", out(reg) even, in(reg) word,
                options(pure, nomem, nostack, preserves_flags));
            asm!("uxtb16 {}, {}, ror #8", out(reg) odd, in(reg) word,
                options(pure, nomem, nostack, preserves_flags));
        }
        Pairs { even, odd }
    }

    #[inline(always)]
    fn signed(bytes: Quad<i8>) -> Pairs {
        let word = u32::from_le_bytes(bytes.map(i8::cast_unsigned));
        let (even, odd);
        // SAFETY: touches two registers only.
        unsafe {
            asm!("sxtb16 {}, {}", out(reg) even, in(reg) word,
                options(pure, nomem, nostack, preserves_flags));
            asm!("sxtb16 {}, {}, ror #8", out(reg) odd, in(reg) word,
                options(pure, nomem, nostack, preserves_flags));
        }
        Pairs { even, odd }
    }

    /// `sum` with the four products added.
    #[inline(always)]
    fn add_products(self, other: Pairs, sum: i32) -> i32 {
        add_pair(self.odd, other.odd, add_pair(self.even, other.even, sum))
    }
}

/// `sum` with the products of two pairs added. It wraps, as the portable kernel's does; the flag Q,
/// in which that would show, is nobody's.
#[inline(always)]
fn add_pair(left: u32, right: u32, mut sum: i32) -> i32 {
    // SAFETY: touches registers and flags only.
    unsafe {
        asm!("smlad {sum}, {left}, {right}, {sum}", sum = inout(reg) sum,
            left = in(reg) left, right = in(reg) right, options(pure, nomem, nostack));
    }
    sum
}

/// See [`crate::math::network::gemm_u8::gemm_u8`].
pub fn gemm_u8(gemm: &GemmU8<'_>, out: &mut GemmOut<'_>) -> bool {
    if !gemm.is_valid() || !out.is_valid(gemm.left.rows, gemm.right.columns) {
        return false;
    }
    for first in (0..gemm.left.rows).step_by(ROWS) {
        // Of an odd number of rows the last is computed twice.
        let second = (first + 1).min(gemm.left.rows - 1);
        let rows = [first, second];
        let left = rows.map(|row| {
            let start = row.saturating_mul(gemm.left.stride);
            gemm.left.data.get(start..).unwrap_or_default()
        });
        let blocks = pieces(gemm.right.data, gemm.right.block_len());
        for (block, weights) in blocks.take(gemm.right.blocks()).enumerate() {
            let column = block.saturating_mul(BLOCK_COLUMNS);
            let mut sums = start_sums(gemm, rows, block);
            for segment in gemm.segments {
                let left = left.map(|row| row.get(segment.clone()).unwrap_or_default());
                let start = segment.start.saturating_mul(BLOCK_COLUMNS);
                add_products(left, weights.get(start..).unwrap_or_default(), &mut sums);
            }
            let columns = gemm.right.columns.saturating_sub(column).min(BLOCK_COLUMNS);
            for (row, sums) in rows.into_iter().zip(&sums).take(1 + second - first) {
                out.write(row, column, sums.get(..columns).unwrap_or_default());
            }
        }
    }
    true
}

/// The biases of a block's columns, for two rows.
fn start_sums(gemm: &GemmU8<'_>, rows: [usize; ROWS], block: usize) -> Sums {
    let bias = piece(gemm.bias, block, BLOCK_COLUMNS).unwrap_or_default();
    rows.map(|row| {
        let mut sums = [gemm.row_bias.get(row).copied().unwrap_or(0); BLOCK_COLUMNS];
        for (sum, bias) in sums.iter_mut().zip(bias) {
            *sum = sum.wrapping_add(*bias);
        }
        sums
    })
}

/// Adds one segment's products of two rows with a block of 16 columns.
fn add_products(left: [&[u8]; ROWS], weights: &[i8], sums: &mut Sums) {
    let left = left.map(|row| row.as_chunks::<DEPTH_STEP>().0);
    let (columns, _) = weights.as_chunks::<DEPTH_STEP>();
    let (steps, _) = columns.as_chunks::<BLOCK_COLUMNS>();
    add_columns::<0>(left, steps, sums);
    add_columns::<2>(left, steps, sums);
    add_columns::<4>(left, steps, sums);
    add_columns::<6>(left, steps, sums);
    add_columns::<8>(left, steps, sums);
    add_columns::<10>(left, steps, sums);
    add_columns::<12>(left, steps, sums);
    add_columns::<14>(left, steps, sums);
}

/// Adds the products with two columns, whose sums stay in registers over the whole depth.
#[inline(always)]
fn add_columns<const FIRST: usize>(
    [upper, lower]: [&[Quad<u8>]; ROWS],
    steps: &[Step],
    [upper_sums, lower_sums]: &mut Sums,
) {
    let mut upper_first = upper_sums[FIRST];
    let mut upper_second = upper_sums[FIRST + 1];
    let mut lower_first = lower_sums[FIRST];
    let mut lower_second = lower_sums[FIRST + 1];
    for ((upper, lower), step) in upper.iter().zip(lower).zip(steps) {
        let (upper, lower) = (Pairs::unsigned(*upper), Pairs::unsigned(*lower));
        let first = Pairs::signed(step[FIRST]);
        upper_first = upper.add_products(first, upper_first);
        lower_first = lower.add_products(first, lower_first);
        let second = Pairs::signed(step[FIRST + 1]);
        upper_second = upper.add_products(second, upper_second);
        lower_second = lower.add_products(second, lower_second);
    }
    upper_sums[FIRST] = upper_first;
    upper_sums[FIRST + 1] = upper_second;
    lower_sums[FIRST] = lower_first;
    lower_sums[FIRST + 1] = lower_second;
}
