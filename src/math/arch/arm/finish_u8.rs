//! Sums of products as bytes, four at a time.

use crate::math::network::gemm_out::GemmOut;
use crate::math::network::gemm_u8::BLOCK_COLUMNS;
use crate::math::pieces::copy;
use core::arch::asm;

/// Results of a step.
const COUNT: usize = 4;

/// What results may be.
#[derive(Clone, Copy)]
pub struct Limits {
    /// The smallest, four times.
    low: u32,
    /// The largest, four times.
    high: u32,
    /// Added last.
    zero_point: i32,
}

impl Limits {
    /// From `low` to `high`.
    pub const fn new(zero_point: u8, low: u8, high: u8) -> Self {
        let low = u32::from_le_bytes([low; COUNT]);
        let high = u32::from_le_bytes([high; COUNT]);
        Limits { low, high, zero_point: zero_point as i32 }
    }
}

/// As `GemmOut::write` of the first `columns` of a block's sums.
pub fn write(
    out: &mut GemmOut<'_>,
    row: usize,
    column: usize,
    sums: &[i32; BLOCK_COLUMNS],
    columns: usize,
) {
    let GemmOut::U8 { data, places, requantize, residual } = out else {
        return out.write(row, column, sums.get(..columns).unwrap_or_default());
    };
    let start = places.start(row).saturating_add(column);
    let to = data.get_mut(start..).and_then(|data| data.get_mut(..columns));
    let Some(to) = to else { return };
    let limits = Limits::new(requantize.zero_point, requantize.low, requantize.high);
    let scale = requantize.scale.get(column..).unwrap_or_default();
    let values = sums.as_chunks::<COUNT>().0.iter().zip(scale.as_chunks::<COUNT>().0);
    let (whole, rest) = to.as_chunks_mut::<COUNT>();
    let mut places = whole.iter_mut();
    for (sums, scale) in values {
        let Some(place) = places.next() else {
            copy(rest, &quantize(sums, scale, limits));
            break;
        };
        *place = quantize(sums, scale, limits);
    }
    requantize.look_up(to);
    if let Some(residual) = residual {
        residual.add(row, column, to);
    }
}

/// `sum * scale`, rounded half to even, plus the zero point, within the limits.
#[inline(always)]
pub fn quantize(sums: &[i32; COUNT], scale: &[f32; COUNT], limits: Limits) -> [u8; COUNT] {
    let [a, b, c, d] = rounded_products(sums, scale);
    // Not a loop over four, which would not be unrolled where code is to be small.
    let [a, b] = [byte(a, limits), byte(b, limits)];
    let [c, d] = [byte(c, limits), byte(d, limits)];
    within(a | b << 8 | c << 16 | d << 24, limits)
}

/// A number plus the zero point, as far as a byte goes.
#[inline(always)]
fn byte(number: i32, limits: Limits) -> u32 {
    number.saturating_add(limits.zero_point).clamp(0, 255).cast_unsigned()
}

/// Conversions round half to even unless they say otherwise, and stop at the ends of 32 bits.
#[cfg(target_abi = "eabihf")]
#[inline(always)]
fn rounded_products(sums: &[i32; COUNT], scale: &[f32; COUNT]) -> [i32; COUNT] {
    let [mut a, mut b, mut c, mut d] = *sums;
    // SAFETY: reads four scales, and changes registers only; a flag of inexact results is nobody's.
    unsafe {
        asm!(
            "vmov s0, s1, {a}, {b}",
            "vmov s2, s3, {c}, {d}",
            "vldmia {scale}, {{s4-s7}}",
            "vcvt.f32.s32 s0, s0",
            "vcvt.f32.s32 s1, s1",
            "vcvt.f32.s32 s2, s2",
            "vcvt.f32.s32 s3, s3",
            "vmul.f32 s0, s0, s4",
            "vmul.f32 s1, s1, s5",
            "vmul.f32 s2, s2, s6",
            "vmul.f32 s3, s3, s7",
            "vcvtr.s32.f32 s0, s0",
            "vcvtr.s32.f32 s1, s1",
            "vcvtr.s32.f32 s2, s2",
            "vcvtr.s32.f32 s3, s3",
            "vmov {a}, {b}, s0, s1",
            "vmov {c}, {d}, s2, s3",
            a = inout(reg) a, b = inout(reg) b, c = inout(reg) c, d = inout(reg) d,
            scale = in(reg) scale.as_ptr(),
            out("d0") _, out("d1") _, out("d2") _, out("d3") _,
            options(pure, readonly, nostack, preserves_flags),
        );
    }
    [a, b, c, d]
}

/// Products beyond bytes stay beyond them.
#[cfg(not(target_abi = "eabihf"))]
#[inline(always)]
fn rounded_products(sums: &[i32; COUNT], scale: &[f32; COUNT]) -> [i32; COUNT] {
    use crate::math::network::quantization::{round, within};
    core::array::from_fn(|place| {
        let (sum, scale) = (sums.get(place), scale.get(place));
        let steps = sum.zip(scale).map_or(0.0, |(sum, scale)| *sum as f32 * scale);
        round(within(steps, -1024.0, 1024.0))
    })
}

/// Four bytes within the limits.
#[inline(always)]
fn within(bytes: u32, limits: Limits) -> [u8; COUNT] {
    let result: u32;
    // SAFETY: touches registers and flags only.
    unsafe {
        asm!(
            "usub8 {unused}, {bytes}, {low}",
            "sel {bytes}, {bytes}, {low}",
            "usub8 {unused}, {high}, {bytes}",
            "sel {bytes}, {bytes}, {high}",
            unused = out(reg) _, bytes = inout(reg) bytes => result, low = in(reg) limits.low,
            high = in(reg) limits.high, options(pure, nomem, nostack),
        );
    }
    result.to_le_bytes()
}
