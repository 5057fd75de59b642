//! Sums of products as bytes: four at a time, the last ones by predication.

use crate::math::network::gemm_out::{GemmOut, Requantize, Residual};
use crate::math::network::quantization::QuantizedRange;
use crate::math::network::table_u8::Table;
use core::arch::asm;

/// As `GemmOut::write`.
pub fn write(out: &mut GemmOut<'_>, row: usize, column: usize, sums: &[i32]) {
    let GemmOut::U8 { data, places, requantize, residual } = out else {
        return out.write(row, column, sums);
    };
    let start = places.start(row).saturating_add(column);
    let Some(to) = part_mut(data, start, sums.len()) else { return };
    let Some(scale) = part(requantize.scale, column, sums.len()) else { return };
    quantize(sums, scale, requantize, to);
    if let Some(table) = requantize.table {
        look_up(table, to);
    }
    let Some(residual) = residual else { return };
    let start = residual.places.start(row).saturating_add(column);
    let Some(others) = part(residual.data, start, sums.len()) else { return };
    add(others, residual, to);
}

fn part<T>(slice: &[T], start: usize, len: usize) -> Option<&[T]> {
    slice.get(start..)?.get(..len)
}

fn part_mut<T>(slice: &mut [T], start: usize, len: usize) -> Option<&mut [T]> {
    slice.get_mut(start..)?.get_mut(..len)
}

/// Sums, each with a scale and a place, within the range.
#[inline(always)]
fn quantize(sums: &[i32], scale: &[f32], range: &Requantize<'_>, to: &mut [u8]) {
    let Requantize { zero_point, low, high, .. } = *range;
    let [low, high] = QuantizedRange { zero_point, low, high }.limits();
    let len = sums.len().min(scale.len()).min(to.len());
    // SAFETY: reads and writes `len` elements of each slice; lanes beyond are off. All that it
    // changes is named.
    unsafe {
        asm!(
            "vdup.32 q2, {low}",
            "vdup.32 q3, {high}",
            "wlstp.32 lr, {len}, 3f",
            "2:",
            "vldrw.u32 q0, [{sums}], #16",
            "vldrw.u32 q1, [{scale}], #16",
            "vcvt.f32.s32 q0, q0",
            "vmul.f32 q0, q0, q1",
            "vmaxnm.f32 q0, q0, q2",
            "vminnm.f32 q0, q0, q3",
            "vcvtn.s32.f32 q0, q0",
            "vadd.i32 q0, q0, {zero_point}",
            "vstrb.32 q0, [r0], #4",
            "letp lr, 2b",
            "3:",
            low = in(reg) low.to_bits(), high = in(reg) high.to_bits(), len = in(reg) len,
            sums = inout(reg) sums.as_ptr() => _, scale = inout(reg) scale.as_ptr() => _,
            inout("r0") to.as_mut_ptr() => _, zero_point = in(reg) u32::from(zero_point),
            out("lr") _, out("d0") _, out("d1") _, out("d2") _, out("d3") _, out("d4") _,
            out("d5") _, out("d6") _, out("d7") _, options(nostack),
        );
    }
}

/// Each byte's result in the table.
#[inline(always)]
pub fn look_up(table: &Table, bytes: &mut [u8]) {
    // SAFETY: reads and writes the bytes, lanes beyond are off; a byte is an index of the table.
    // All that it changes is named.
    unsafe {
        asm!(
            "wlstp.8 lr, {len}, 3f",
            "2:",
            "vldrb.u8 q0, [{bytes}]",
            "vldrb.u8 q1, [{table}, q0]",
            "vstrb.8 q1, [{bytes}], #16",
            "letp lr, 2b",
            "3:",
            len = in(reg) bytes.len(), bytes = inout(reg) bytes.as_mut_ptr() => _,
            table = in(reg) table.as_ptr(),
            out("lr") _, out("d0") _, out("d1") _, out("d2") _, out("d3") _, options(nostack),
        );
    }
}

/// Adds a residual's bytes.
#[inline(always)]
fn add(others: &[u8], residual: &Residual<'_>, to: &mut [u8]) {
    let Residual { zero_point, low, high, .. } = *residual;
    let [low, high] = QuantizedRange { zero_point, low, high }.limits();
    // SAFETY: reads and writes as many bytes as both slices have; lanes beyond are off. All that it
    // changes is named.
    unsafe {
        asm!(
            "vdup.32 q2, {low}",
            "vdup.32 q3, {high}",
            "wlstp.32 lr, {len}, 3f",
            "2:",
            "vldrb.u32 q0, [r0]",
            "vsub.i32 q0, q0, {zero_point_q}",
            "vcvt.f32.s32 q0, q0",
            "vmul.f32 q0, q0, {ratio_q}",
            "vldrb.u32 q1, [r1], #4",
            "vsub.i32 q1, q1, {zero_point_r}",
            "vcvt.f32.s32 q1, q1",
            "vmul.f32 q1, q1, {ratio_r}",
            "vadd.f32 q0, q0, q1",
            "vmaxnm.f32 q0, q0, q2",
            "vminnm.f32 q0, q0, q3",
            "vcvtn.s32.f32 q0, q0",
            "vadd.i32 q0, q0, {zero_point}",
            "vstrb.32 q0, [r0], #4",
            "letp lr, 2b",
            "3:",
            low = in(reg) low.to_bits(), high = in(reg) high.to_bits(),
            len = in(reg) others.len().min(to.len()),
            inout("r0") to.as_mut_ptr() => _, inout("r1") others.as_ptr() => _,
            zero_point_q = in(reg) u32::from(residual.zero_point_q),
            ratio_q = in(reg) residual.ratio_q.to_bits(),
            zero_point_r = in(reg) u32::from(residual.zero_point_r),
            ratio_r = in(reg) residual.ratio_r.to_bits(), zero_point = in(reg) u32::from(zero_point),
            out("lr") _, out("d0") _, out("d1") _, out("d2") _, out("d3") _, out("d4") _,
            out("d5") _, out("d6") _, out("d7") _, options(nostack),
        );
    }
}
