//! Eight f32 in two vectors: registers enough for all kernels, and twice the work in flight.

use crate::math::lanes::Lanes;
use core::arch::aarch64::*;

/// Eight lanes.
#[derive(Clone, Copy)]
pub struct Neon(pub [float32x4_t; 2]);

impl Neon {
    #[inline(always)]
    fn zip(self, other: Self, op: impl Fn(float32x4_t, float32x4_t) -> float32x4_t) -> Self {
        let ([a, b], [c, d]) = (self.0, other.0);
        Neon([op(a, c), op(b, d)])
    }
}

// SAFETY (every block below): the intrinsics need NEON, which this module is compiled for. Loads
// and stores touch exactly the places of a checked `first_chunk`.
impl Lanes for Neon {
    const COUNT: usize = 8;
    type Mask = [uint32x4_t; 2];
    /// Where each byte of the result comes from.
    type Picks = [uint8x16_t; 2];

    #[inline(always)]
    fn splat(value: f32) -> Self {
        // SAFETY: see above.
        Neon([unsafe { vdupq_n_f32(value) }; 2])
    }

    #[inline(always)]
    fn load(values: &[f32]) -> Self {
        let Some(chunk) = values.first_chunk::<8>() else { return Self::splat(0.0) };
        // SAFETY: see above.
        unsafe { Neon([vld1q_f32(chunk.as_ptr()), vld1q_f32(chunk.as_ptr().add(4))]) }
    }

    #[inline(always)]
    fn store(self, values: &mut [f32]) {
        let Some(chunk) = values.first_chunk_mut::<8>() else { return };
        let [low, high] = self.0;
        // SAFETY: see above.
        unsafe {
            vst1q_f32(chunk.as_mut_ptr(), low);
            vst1q_f32(chunk.as_mut_ptr().add(4), high);
        }
    }

    #[inline(always)]
    fn add(self, other: Self) -> Self {
        // SAFETY: see above.
        self.zip(other, |a, b| unsafe { vaddq_f32(a, b) })
    }

    #[inline(always)]
    fn sub(self, other: Self) -> Self {
        // SAFETY: see above.
        self.zip(other, |a, b| unsafe { vsubq_f32(a, b) })
    }

    #[inline(always)]
    fn mul(self, other: Self) -> Self {
        // SAFETY: see above.
        self.zip(other, |a, b| unsafe { vmulq_f32(a, b) })
    }

    /// NEON's own maximum is NaN where either is.
    #[inline(always)]
    fn max(self, other: Self) -> Self {
        // SAFETY: see above.
        self.zip(other, |a, b| unsafe { vbslq_f32(vcgtq_f32(a, b), a, b) })
    }

    #[inline(always)]
    fn min(self, other: Self) -> Self {
        // SAFETY: see above.
        self.zip(other, |a, b| unsafe { vbslq_f32(vcltq_f32(a, b), a, b) })
    }

    #[inline(always)]
    fn abs(self) -> Self {
        // SAFETY: see above.
        Neon(self.0.map(|half| unsafe { vabsq_f32(half) }))
    }

    #[inline(always)]
    fn greater(self, other: Self) -> [uint32x4_t; 2] {
        let ([a, b], [c, d]) = (self.0, other.0);
        // SAFETY: see above.
        unsafe { [vcgtq_f32(a, c), vcgtq_f32(b, d)] }
    }

    #[inline(always)]
    fn bits([low, high]: [uint32x4_t; 2]) -> u32 {
        const PLACES: [u16; 8] = [1, 2, 4, 8, 16, 32, 64, 128];
        // SAFETY: see above; the array has eight places.
        unsafe {
            let all = vmovn_high_u32(vmovn_u32(low), high);
            u32::from(vaddvq_u16(vandq_u16(all, vld1q_u16(PLACES.as_ptr()))))
        }
    }

    #[inline(always)]
    fn select([low, high]: [uint32x4_t; 2], yes: Self, no: Self) -> Self {
        let ([a, b], [c, d]) = (yes.0, no.0);
        // SAFETY: see above.
        unsafe { Neon([vbslq_f32(low, a, c), vbslq_f32(high, b, d)]) }
    }

    #[inline(always)]
    fn picks(columns: &[u32], base: u32) -> [uint8x16_t; 2] {
        let columns = columns.first_chunk::<8>().unwrap_or(&[0; 8]);
        let [low, high] = [0, 4].map(|first| {
            // SAFETY: see above; four of eight columns from 0 or 4 on.
            unsafe {
                let columns = vld1q_u32(columns.as_ptr().add(first));
                let lanes = vandq_u32(vsubq_u32(columns, vdupq_n_u32(base)), vdupq_n_u32(7));
                // The four bytes of a lane: four times its number, and 0 to 3.
                let bytes = vmulq_u32(lanes, vdupq_n_u32(0x0404_0404));
                vreinterpretq_u8_u32(vaddq_u32(bytes, vdupq_n_u32(0x0302_0100)))
            }
        });
        [low, high]
    }

    #[inline(always)]
    fn pick(self, picks: [uint8x16_t; 2]) -> Self {
        // SAFETY: see above.
        unsafe {
            let [low, high] = self.0.map(|half| vreinterpretq_u8_f32(half));
            let bytes = uint8x16x2_t(low, high);
            Neon(picks.map(|picks| vreinterpretq_f32_u8(vqtbl2q_u8(bytes, picks))))
        }
    }

    #[inline(always)]
    fn exp2_whole(self) -> Self {
        // SAFETY: see above.
        Neon(self.0.map(|half| unsafe {
            let biased = vaddq_s32(vcvtq_s32_f32(half), vdupq_n_s32(127));
            vreinterpretq_f32_s32(vshlq_n_s32::<23>(biased))
        }))
    }

    #[inline(always)]
    fn store_points(four: [Self; 4], points: &mut [u8]) {
        let Some(points) = points.first_chunk_mut::<32>() else { return };
        // SAFETY: see above; the array has 32 bytes. Conversion rounds ties to even and makes 0 of
        // NaN; storing takes a byte of each vector by turns.
        unsafe {
            let [a, b, c, d] = four.map(|Neon([low, high])| {
                let words = vmovn_high_s32(vmovn_s32(vcvtnq_s32_f32(low)), vcvtnq_s32_f32(high));
                veor_u8(vreinterpret_u8_s8(vmovn_s16(words)), vdup_n_u8(0x80))
            });
            vst4_u8(points.as_mut_ptr(), uint8x8x4_t(a, b, c, d));
        }
    }
}
