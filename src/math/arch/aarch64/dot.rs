//! Products of bytes summed in 32-bit lanes: the instructions of `dotprod` and `i8mm`.
//!
//! Their intrinsics are not stable in every compiler that this crate supports, hence assembly: one
//! instruction per function, which the compiler schedules and allocates registers for as for any.

use core::arch::aarch64::*;
use core::arch::asm;

/// `sums[i] + sum over k of left[4 i + k] * right[4 i + k]`.
///
/// # Safety
/// The processor has `dotprod`.
#[inline(always)]
pub unsafe fn dot(mut sums: int32x4_t, left: int8x16_t, right: int8x16_t) -> int32x4_t {
    // SAFETY: the caller's; the instruction touches nothing but its operands.
    unsafe {
        asm!(
            ".arch_extension dotprod",
            "sdot {sums:v}.4s, {left:v}.16b, {right:v}.16b",
            sums = inout(vreg) sums,
            left = in(vreg) left,
            right = in(vreg) right,
            options(pure, nomem, nostack, preserves_flags),
        );
    }
    sums
}

/// `sums[i] + sum over k of left[4 i + k] * right[4 LANE + k]`.
///
/// # Safety
/// The processor has `dotprod`.
#[inline(always)]
pub unsafe fn dot_lane<const LANE: usize>(
    mut sums: int32x4_t,
    left: int8x16_t,
    right: int8x16_t,
) -> int32x4_t {
    // SAFETY: the caller's; the instruction touches nothing but its operands.
    unsafe {
        asm!(
            ".arch_extension dotprod",
            "sdot {sums:v}.4s, {left:v}.16b, {right:v}.4b[{lane}]",
            sums = inout(vreg) sums,
            left = in(vreg) left,
            right = in(vreg) right,
            lane = const LANE,
            options(pure, nomem, nostack, preserves_flags),
        );
    }
    sums
}

/// `sums[2 i + j] + sum over k of left[8 i + k] * right[8 j + k]`, `left` unsigned: the product of
/// a 2x8 and an 8x2 matrix.
///
/// # Safety
/// The processor has `i8mm`.
#[inline(always)]
pub unsafe fn matrix_product(mut sums: int32x4_t, left: uint8x16_t, right: int8x16_t) -> int32x4_t {
    // SAFETY: the caller's; the instruction touches nothing but its operands.
    unsafe {
        asm!(
            ".arch_extension i8mm",
            "usmmla {sums:v}.4s, {left:v}.16b, {right:v}.16b",
            sums = inout(vreg) sums,
            left = in(vreg) left,
            right = in(vreg) right,
            options(pure, nomem, nostack, preserves_flags),
        );
    }
    sums
}
