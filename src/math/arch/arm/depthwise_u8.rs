//! Depthwise convolution of bytes: four channels of a pixel at a time.

use super::finish_u8::{Limits, quantize};
use crate::math::arch::depthwise_runs::{self, Pixels};
use crate::math::network::depthwise_u8::DepthwiseU8;
use crate::math::network::spans::pixel_mut;
use crate::math::network::table_u8::look_up;
use crate::math::network::view::{View, ViewMut};
use core::arch::asm;
use core::ops::Range;

/// Channels of a kernel.
const CHANNELS: usize = 4;
const KERNELS: &depthwise_runs::Kernels = &[(CHANNELS, four_channels)];

/// As the portable kernel. Returns `false`, and writes nothing, if there are fewer than 4 channels,
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
        for value in pixel_mut(output, pixel).unwrap_or_default() {
            *value = look_up(table, *value);
        }
    }
    true
}

/// # Safety
/// As for `depthwise_runs::PixelsFn`.
unsafe fn four_channels(pixels: &mut Pixels) {
    let zero_point = pixels.zero_point as u8;
    let [low, high] = pixels.limits.map(|limit| (limit + f32::from(zero_point)) as u8);
    let limits = Limits::new(zero_point, low, high);
    // SAFETY: the caller's: biases, scales and places of four channels exist.
    unsafe {
        let bias = pixels.bias.cast::<[i32; CHANNELS]>().read();
        let scale = pixels.scale.cast::<[f32; CHANNELS]>().read();
        for _ in 0..pixels.count {
            let sums = add_taps(pixels, bias);
            pixels.out.cast::<[u8; CHANNELS]>().write(quantize(&sums, &scale, limits));
            pixels.out = pixels.out.wrapping_add(pixels.out_step);
        }
    }
}

/// Adds the products of all taps of a pixel, and moves the runs to the next one.
///
/// # Safety
/// As for `depthwise_runs::PixelsFn`.
#[inline(always)]
unsafe fn add_taps(pixels: &mut Pixels, bias: [i32; CHANNELS]) -> [i32; CHANNELS] {
    let [mut first, mut second, mut third, mut fourth] = bias;
    // SAFETY: the caller's. All that it changes is named, or saved.
    unsafe {
        asm!(
            "push {{r1, r6, r7, r11}}",
            "mov r11, r0",
            // A run.
            "2:",
            "ldr r0, [r11]",
            "ldr r1, [r11, #4]",
            "ldr r2, [r11, #8]",
            "ldr r12, [r11, #12]",
            "add r12, r12, r0",
            "str r12, [r11], #16",
            // A tap.
            "3:",
            "ldr r12, [r0]",
            "ldr r6, [r3]",
            "uxtb16 lr, r12",
            "uxtb16 r12, r12, ror #8",
            "sxtb16 r7, r6",
            "sxtb16 r6, r6, ror #8",
            "smlabb r5, lr, r7, r5",
            "smlatt r9, lr, r7, r9",
            "smlabb r8, r12, r6, r8",
            "smlatt r10, r12, r6, r10",
            "add r0, r0, r1",
            "add r3, r3, r4",
            "subs r2, r2, #1",
            "bne 3b",
            "ldr r12, [sp]",
            "cmp r11, r12",
            "bne 2b",
            "pop {{r1, r6, r7, r11}}",
            inout("r0") pixels.runs => _, inout("r1") pixels.runs.wrapping_add(pixels.run_count) => _,
            inout("r3") pixels.weights => _, in("r4") pixels.weight_step,
            inout("r5") first, inout("r8") second, inout("r9") third, inout("r10") fourth,
            out("r2") _, out("r12") _, out("lr") _,
        );
    }
    [first, second, third, fourth]
}
