//! Sums of 8-bit products: `sdot`, and widening products for processors without it.

use super::dot::dot;
use super::lanes::Neon;
use crate::math::lanes::Lanes;
use crate::math::linear_i8::{Affine, Sums};
use crate::math::quantized::{Quad, STRIP};
use core::arch::aarch64::*;

/// Sixteen sums by `sdot`. Values exist only where the processor has it.
#[derive(Clone, Copy)]
pub struct DotSums([int32x4_t; 4]);

// SAFETY (every block below): `supported` hands out the table whose entry uses this type only where
// the processor has `dotprod`. Loads touch whole arrays of the vectors' size.
impl Sums for DotSums {
    const WIDE: bool = false;
    /// Less 128, as the instruction takes signed bytes.
    type Points<'a> = [int8x16_t; 4];
    type Weights = int8x16_t;

    #[inline(always)]
    fn splat(value: i32) -> Self {
        // SAFETY: see above.
        DotSums([unsafe { vdupq_n_s32(value) }; 4])
    }

    /// The points have lost their 128 already.
    #[inline(always)]
    fn start(_: i32) -> Self {
        Self::splat(0)
    }

    #[inline(always)]
    fn points(quad: &Quad) -> [int8x16_t; 4] {
        // SAFETY: see above; the array has four times 16 bytes.
        [0, 16, 32, 48].map(|first| unsafe {
            let points = vld1q_u8(quad.as_ptr().add(first));
            vreinterpretq_s8_u8(veorq_u8(points, vdupq_n_u8(0x80)))
        })
    }

    #[inline(always)]
    fn weights(quad: [i8; 4]) -> int8x16_t {
        let quad = u32::from_le_bytes(quad.map(i8::cast_unsigned));
        // SAFETY: see above.
        unsafe { vreinterpretq_s8_u32(vdupq_n_u32(quad)) }
    }

    #[inline(always)]
    fn add_products(self, points: [int8x16_t; 4], weights: int8x16_t) -> Self {
        let mut sums = self.0;
        for (sum, points) in sums.iter_mut().zip(points) {
            // SAFETY: see above.
            *sum = unsafe { dot(*sum, points, weights) };
        }
        DotSums(sums)
    }

    #[inline(always)]
    fn write(self, affine: Affine<'_>, cells: &mut [f32; STRIP]) {
        finish(self.0, affine, cells);
    }
}

/// Sixteen sums by widening products of 16 bits.
#[derive(Clone, Copy)]
pub struct WideSums([int32x4_t; 4]);

// SAFETY (every block below): the intrinsics need NEON, which this module is compiled for. Loads
// touch whole arrays of the vectors' size.
impl Sums for WideSums {
    const WIDE: bool = false;
    /// Channel by channel, cells 0 to 7 and 8 to 15.
    type Points<'a> = [[int16x8_t; 2]; 4];
    type Weights = int16x4_t;

    #[inline(always)]
    fn splat(value: i32) -> Self {
        // SAFETY: see above.
        WideSums([unsafe { vdupq_n_s32(value) }; 4])
    }

    #[inline(always)]
    fn points(quad: &Quad) -> [[int16x8_t; 2]; 4] {
        // SAFETY: see above; the array has 64 bytes.
        unsafe {
            let uint8x16x4_t(a, b, c, d) = vld4q_u8(quad.as_ptr());
            [a, b, c, d].map(|cells| {
                let low = vreinterpretq_s16_u16(vmovl_u8(vget_low_u8(cells)));
                [low, vreinterpretq_s16_u16(vmovl_high_u8(cells))]
            })
        }
    }

    #[inline(always)]
    fn weights(quad: [i8; 4]) -> int16x4_t {
        let quad = u32::from_le_bytes(quad.map(i8::cast_unsigned));
        // SAFETY: see above.
        unsafe { vget_low_s16(vmovl_s8(vcreate_s8(u64::from(quad)))) }
    }

    #[inline(always)]
    fn add_products(self, [a, b, c, d]: [[int16x8_t; 2]; 4], weights: int16x4_t) -> Self {
        let sums = add_channel::<0>(self.0, a, weights);
        let sums = add_channel::<1>(sums, b, weights);
        let sums = add_channel::<2>(sums, c, weights);
        WideSums(add_channel::<3>(sums, d, weights))
    }

    #[inline(always)]
    fn write(self, affine: Affine<'_>, cells: &mut [f32; STRIP]) {
        finish(self.0, affine, cells);
    }
}

/// Adds the products of one channel's cells with lane `LANE` of the weights.
#[inline(always)]
fn add_channel<const LANE: i32>(
    [a, b, c, d]: [int32x4_t; 4],
    [low, high]: [int16x8_t; 2],
    weights: int16x4_t,
) -> [int32x4_t; 4] {
    // SAFETY: the intrinsics need NEON, which this module is compiled for.
    unsafe {
        [
            vmlal_lane_s16::<LANE>(a, vget_low_s16(low), weights),
            vmlal_high_lane_s16::<LANE>(b, low, weights),
            vmlal_lane_s16::<LANE>(c, vget_low_s16(high), weights),
            vmlal_high_lane_s16::<LANE>(d, high, weights),
        ]
    }
}

#[inline(always)]
fn finish([a, b, c, d]: [int32x4_t; 4], affine: Affine<'_>, cells: &mut [f32; STRIP]) {
    let scales = affine.cell_scales.as_chunks::<8>().0;
    let places = cells.as_chunks_mut::<8>().0.iter_mut().zip(scales);
    for ((cells, scales), halves) in places.zip([[a, b], [c, d]]) {
        // SAFETY: the intrinsics need NEON, which this module is compiled for.
        let sums = Neon(halves.map(|half| unsafe { vcvtq_f32_s32(half) }));
        let value = sums.mul(Neon::splat(affine.scale)).mul(Neon::load(scales));
        value.add(Neon::splat(affine.bias)).store(cells);
    }
}
