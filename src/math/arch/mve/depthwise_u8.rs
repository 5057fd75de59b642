//! Depthwise convolution of bytes: 16 or 8 channels of a pixel at a time, in 32-bit sums. Even and
//! odd channels have vectors of their own until they are bytes.

use super::finish_u8::look_up;
use crate::math::arch::depthwise_runs::{self, Pixels, Run};
use crate::math::network::depthwise_u8::DepthwiseU8;
use crate::math::network::spans::pixel_mut;
use crate::math::network::view::{View, ViewMut};
use core::arch::asm;
use core::mem::offset_of;
use core::ops::Range;

const KERNELS: &depthwise_runs::Kernels = &[(16, sixteen_channels), (8, eight_channels)];

/// As the portable kernel. Returns `false`, and writes nothing, if there are fewer than 8 channels,
/// more than seven kernel rows, a slice is too short or a size out of range.
pub fn depthwise_u8(
    input: &View<'_, u8>,
    layer: &DepthwiseU8<'_>,
    output: &mut ViewMut<'_, u8>,
    rows: Range<usize>,
    _scratch: &mut [u8],
) -> bool {
    if !depthwise_runs::depthwise_u8(KERNELS, input, layer, output, rows.clone()) {
        return false;
    }
    let Some(table) = layer.table else { return true };
    for pixel in rows.start * output.width..rows.end * output.width {
        look_up(table, pixel_mut(output, pixel).unwrap_or_default());
    }
    true
}

/// A kernel: instructions that load biases, add a tap's products, and requantise.
macro_rules! kernel {
    ($name:ident, [$($start:literal),*], [$($tap:literal),*], [$($finish:literal),*]) => {
        /// # Safety
        /// As for `depthwise_runs::PixelsFn`.
        unsafe fn $name(pixels: &mut Pixels) {
            // SAFETY: the caller's. All that it changes is named.
            unsafe {
                asm!(
                    "ldr r0, [{pixels}, #{high}]",
                    "vdup.32 q7, r0",
                    // A pixel.
                    "2:",
                    "ldr r0, [{pixels}, #{bias}]",
                    $($start,)*
                    "ldrd r4, r5, [{pixels}, #{runs}]",
                    "ldrd r1, r2, [{pixels}, #{weights}]",
                    // A run.
                    "3:",
                    "ldrd r0, r3, [r4]",
                    "ldrd lr, r12, [r4, #{run_count}]",
                    "add r12, r0",
                    "str r12, [r4], #{run_len}",
                    "dls lr, lr",
                    // A tap.
                    "4:",
                    $($tap,)*
                    "add r0, r3",
                    "add r1, r2",
                    "le lr, 4b",
                    "subs r5, #1",
                    "bne 3b",
                    "ldr r0, [{pixels}, #{low}]",
                    "vdup.32 q6, r0",
                    "ldr r2, [{pixels}, #{zero_point}]",
                    "ldr r0, [{pixels}, #{scale}]",
                    "ldrd r1, r3, [{pixels}, #{out}]",
                    $($finish,)*
                    "add r1, r3",
                    "str r1, [{pixels}, #{out}]",
                    "ldr r0, [{pixels}, #{count}]",
                    "subs r0, #1",
                    "str r0, [{pixels}, #{count}]",
                    "bne 2b",
                    pixels = in(reg) pixels,
                    high = const offset_of!(Pixels, limits) + 4, low = const offset_of!(Pixels, limits),
                    bias = const offset_of!(Pixels, bias), scale = const offset_of!(Pixels, scale),
                    runs = const offset_of!(Pixels, runs), count = const offset_of!(Pixels, count),
                    weights = const offset_of!(Pixels, weights), out = const offset_of!(Pixels, out),
                    zero_point = const offset_of!(Pixels, zero_point),
                    run_count = const offset_of!(Run, count), run_len = const size_of::<Run>(),
                    out("r0") _, out("r1") _, out("r2") _, out("r3") _, out("r4") _, out("r5") _,
                    out("r12") _, out("lr") _, out("d0") _, out("d1") _, out("d2") _, out("d3") _,
                    out("d4") _, out("d5") _, out("d6") _, out("d7") _, out("d8") _, out("d9") _,
                    out("d10") _, out("d11") _, out("d12") _, out("d13") _, out("d14") _,
                    out("d15") _, options(nostack),
                );
            }
        }
    };
}

kernel!(
    sixteen_channels,
    [
        "vld20.32 {{q0, q1}}, [r0]",
        "vld21.32 {{q0, q1}}, [r0]!",
        "vld20.32 {{q2, q3}}, [r0]",
        "vld21.32 {{q2, q3}}, [r0]"
    ],
    [
        "vldrb.s16 q4, [r1]",
        "vldrb.u16 q5, [r0]",
        "vmullb.s16 q6, q5, q4",
        "vadd.i32 q0, q0, q6",
        "vmullt.s16 q6, q5, q4",
        "vldrb.s16 q4, [r1, #8]",
        "vadd.i32 q1, q1, q6",
        "vldrb.u16 q5, [r0, #8]",
        "vmullb.s16 q6, q5, q4",
        "vadd.i32 q2, q2, q6",
        "vmullt.s16 q6, q5, q4",
        "vadd.i32 q3, q3, q6"
    ],
    [
        "vld20.32 {{q4, q5}}, [r0]",
        "vcvt.f32.s32 q0, q0",
        "vld21.32 {{q4, q5}}, [r0]!",
        "vcvt.f32.s32 q1, q1",
        "vmul.f32 q0, q0, q4",
        "vmul.f32 q1, q1, q5",
        "vmaxnm.f32 q0, q0, q6",
        "vmaxnm.f32 q1, q1, q6",
        "vminnm.f32 q0, q0, q7",
        "vminnm.f32 q1, q1, q7",
        "vcvtn.s32.f32 q0, q0",
        "vcvtn.s32.f32 q1, q1",
        "vmovnt.i32 q0, q1",
        "vadd.i16 q0, q0, r2",
        "vstrb.16 q0, [r1]",
        "vld20.32 {{q4, q5}}, [r0]",
        "vcvt.f32.s32 q2, q2",
        "vld21.32 {{q4, q5}}, [r0]",
        "vcvt.f32.s32 q3, q3",
        "vmul.f32 q2, q2, q4",
        "vmul.f32 q3, q3, q5",
        "vmaxnm.f32 q2, q2, q6",
        "vmaxnm.f32 q3, q3, q6",
        "vminnm.f32 q2, q2, q7",
        "vminnm.f32 q3, q3, q7",
        "vcvtn.s32.f32 q2, q2",
        "vcvtn.s32.f32 q3, q3",
        "vmovnt.i32 q2, q3",
        "vadd.i16 q2, q2, r2",
        "vstrb.16 q2, [r1, #8]"
    ]
);

kernel!(
    eight_channels,
    ["vld20.32 {{q0, q1}}, [r0]", "vld21.32 {{q0, q1}}, [r0]"],
    [
        "vldrb.s16 q4, [r1]",
        "vldrb.u16 q5, [r0]",
        "vmullb.s16 q6, q5, q4",
        "vadd.i32 q0, q0, q6",
        "vmullt.s16 q6, q5, q4",
        "vadd.i32 q1, q1, q6"
    ],
    [
        "vld20.32 {{q4, q5}}, [r0]",
        "vcvt.f32.s32 q0, q0",
        "vld21.32 {{q4, q5}}, [r0]",
        "vcvt.f32.s32 q1, q1",
        "vmul.f32 q0, q0, q4",
        "vmul.f32 q1, q1, q5",
        "vmaxnm.f32 q0, q0, q6",
        "vmaxnm.f32 q1, q1, q6",
        "vminnm.f32 q0, q0, q7",
        "vminnm.f32 q1, q1, q7",
        "vcvtn.s32.f32 q0, q0",
        "vcvtn.s32.f32 q1, q1",
        "vmovnt.i32 q0, q1",
        "vadd.i16 q0, q0, r2",
        "vstrb.16 q0, [r1]"
    ]
);
