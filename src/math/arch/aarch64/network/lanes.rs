//! Vectors of 16 bytes and of four f32.

use crate::math::network::quantization::QuantizedRange;
use crate::math::network::table_u8::Table;
use crate::math::network::vector::{ByteLanes, FloatLanes};
use core::arch::aarch64::*;

/// 16 bytes.
#[derive(Clone, Copy)]
pub struct Bytes128(pub uint8x16_t);

/// Four numbers.
#[derive(Clone, Copy)]
pub struct Floats128(pub float32x4_t);

/// A [`QuantizedRange`] in vectors.
#[derive(Clone, Copy)]
pub struct Requantizer {
    zero_point: int16x8_t,
    low: uint8x16_t,
    high: uint8x16_t,
}

/// A [`Table`] in vectors, 64 results in each.
#[derive(Clone, Copy)]
pub struct Table128([uint8x16x4_t; 4]);

// SAFETY (every block below): the intrinsics need NEON, which this module is compiled for. Loads
// and stores touch exactly the places of a checked `first_chunk`.
impl ByteLanes for Bytes128 {
    const COUNT: usize = 16;
    type Floats = Floats128;
    type Range = Requantizer;
    type Table = Table128;

    #[inline(always)]
    fn splat(byte: u8) -> Self {
        // SAFETY: see above.
        Bytes128(unsafe { vdupq_n_u8(byte) })
    }

    #[inline(always)]
    fn load(bytes: &[u8]) -> Self {
        let Some(chunk) = bytes.first_chunk::<16>() else { return Self::splat(0) };
        // SAFETY: see above.
        Bytes128(unsafe { vld1q_u8(chunk.as_ptr()) })
    }

    #[inline(always)]
    fn load_part(bytes: &[u8]) -> Self {
        let mut all = [0; 16];
        crate::math::pieces::copy(&mut all, bytes);
        Self::load(&all)
    }

    #[inline(always)]
    fn store(self, places: &mut [u8]) {
        let Some(chunk) = places.first_chunk_mut::<16>() else { return };
        // SAFETY: see above.
        unsafe { vst1q_u8(chunk.as_mut_ptr(), self.0) }
    }

    #[inline(always)]
    fn store_part(self, places: &mut [u8]) {
        let mut all = [0; 16];
        self.store(&mut all);
        crate::math::pieces::copy(places, &all);
    }

    #[inline(always)]
    fn max(self, other: Self) -> Self {
        // SAFETY: see above.
        Bytes128(unsafe { vmaxq_u8(self.0, other.0) })
    }

    #[inline(always)]
    fn to_floats(self) -> [Floats128; 4] {
        // SAFETY: see above.
        unsafe {
            let (low, high) = (vmovl_u8(vget_low_u8(self.0)), vmovl_high_u8(self.0));
            [
                Floats128(vcvtq_f32_u32(vmovl_u16(vget_low_u16(low)))),
                Floats128(vcvtq_f32_u32(vmovl_high_u16(low))),
                Floats128(vcvtq_f32_u32(vmovl_u16(vget_low_u16(high)))),
                Floats128(vcvtq_f32_u32(vmovl_high_u16(high))),
            ]
        }
    }

    /// In order.
    #[inline(always)]
    fn spread(self) -> [Floats128; 4] {
        // SAFETY: see above. Each lane becomes the bits of an f32: a byte below those of 2^23.
        unsafe {
            let exponent = vdupq_n_u16(0x4b00);
            let (low, high) = (vmovl_u8(vget_low_u8(self.0)), vmovl_high_u8(self.0));
            [
                Floats128(vreinterpretq_f32_u16(vzip1q_u16(low, exponent))),
                Floats128(vreinterpretq_f32_u16(vzip2q_u16(low, exponent))),
                Floats128(vreinterpretq_f32_u16(vzip1q_u16(high, exponent))),
                Floats128(vreinterpretq_f32_u16(vzip2q_u16(high, exponent))),
            ]
        }
    }

    #[inline(always)]
    fn gather(steps: [Floats128; 4], range: &Requantizer) -> Self {
        Self::quantize(steps, range)
    }

    #[inline(always)]
    fn range(range: QuantizedRange) -> Requantizer {
        // SAFETY: see above.
        unsafe {
            Requantizer {
                zero_point: vdupq_n_s16(i16::from(range.zero_point)),
                low: vdupq_n_u8(range.low),
                high: vdupq_n_u8(range.high),
            }
        }
    }

    /// Conversion rounds half to even; it and every step after it saturate, so that the limits can
    /// come last.
    #[inline(always)]
    fn quantize([a, b, c, d]: [Floats128; 4], range: &Requantizer) -> Self {
        // SAFETY: see above.
        unsafe {
            let low = vqmovn_s32(vcvtnq_s32_f32(a.0));
            let low = vqmovn_high_s32(low, vcvtnq_s32_f32(b.0));
            let high = vqmovn_s32(vcvtnq_s32_f32(c.0));
            let high = vqmovn_high_s32(high, vcvtnq_s32_f32(d.0));
            let bytes = vqmovun_s16(vqaddq_s16(low, range.zero_point));
            let bytes = vqmovun_high_s16(bytes, vqaddq_s16(high, range.zero_point));
            Bytes128(vminq_u8(vmaxq_u8(bytes, range.low), range.high))
        }
    }

    #[inline(always)]
    fn quantize_bounded(steps: [Floats128; 4], range: &Requantizer) -> Self {
        Self::quantize(steps, range)
    }

    #[inline(always)]
    fn table(table: &Table) -> Table128 {
        // SAFETY: see above; the table has four times 64 places.
        Table128([0, 64, 128, 192].map(|at| unsafe {
            let from = table.as_ptr().add(at);
            uint8x16x4_t(
                vld1q_u8(from),
                vld1q_u8(from.add(16)),
                vld1q_u8(from.add(32)),
                vld1q_u8(from.add(48)),
            )
        }))
    }

    /// The instructions look up 64 results and leave lanes whose index lies beyond them.
    #[inline(always)]
    fn look_up(self, table: &Table128) -> Self {
        let [first, second, third, fourth] = table.0;
        // SAFETY: see above.
        unsafe {
            let step = vdupq_n_u8(64);
            let found = vqtbl4q_u8(first, self.0);
            let index = vsubq_u8(self.0, step);
            let found = vqtbx4q_u8(found, second, index);
            let index = vsubq_u8(index, step);
            let found = vqtbx4q_u8(found, third, index);
            let index = vsubq_u8(index, step);
            Bytes128(vqtbx4q_u8(found, fourth, index))
        }
    }

    #[inline(always)]
    fn add_to(self, [even, odd]: [Self; 2]) -> [Self; 2] {
        // SAFETY: see above.
        unsafe {
            let bytes = vreinterpretq_u16_u8(self.0);
            let low = vandq_u16(bytes, vdupq_n_u16(0xff));
            let even = vaddq_u16(vreinterpretq_u16_u8(even.0), low);
            let odd = vsraq_n_u16::<8>(vreinterpretq_u16_u8(odd.0), bytes);
            [Bytes128(vreinterpretq_u8_u16(even)), Bytes128(vreinterpretq_u8_u16(odd))]
        }
    }

    #[inline(always)]
    fn mean([even, odd]: [Self; 2], [zero, factor]: [Floats128; 2], range: &Requantizer) -> Self {
        // SAFETY: see above.
        unsafe {
            let even = vreinterpretq_u16_u8(even.0);
            let odd = vreinterpretq_u16_u8(odd.0);
            let (low, high) = (vzip1q_u16(even, odd), vzip2q_u16(even, odd));
            let sums = [
                vmovl_u16(vget_low_u16(low)),
                vmovl_high_u16(low),
                vmovl_u16(vget_low_u16(high)),
                vmovl_high_u16(high),
            ];
            let steps = sums.map(|sums| Floats128(vcvtq_f32_u32(sums)).sub(zero).mul(factor));
            Self::quantize(steps, range)
        }
    }
}

// SAFETY (every block below): as for `Bytes128`.
impl FloatLanes for Floats128 {
    const COUNT: usize = 4;

    #[inline(always)]
    fn splat(value: f32) -> Self {
        // SAFETY: see above.
        Floats128(unsafe { vdupq_n_f32(value) })
    }

    #[inline(always)]
    fn load(values: &[f32]) -> Self {
        let Some(chunk) = values.first_chunk::<4>() else { return Self::splat(0.0) };
        // SAFETY: see above.
        Floats128(unsafe { vld1q_f32(chunk.as_ptr()) })
    }

    #[inline(always)]
    fn store(self, places: &mut [f32]) {
        let Some(chunk) = places.first_chunk_mut::<4>() else { return };
        // SAFETY: see above.
        unsafe { vst1q_f32(chunk.as_mut_ptr(), self.0) }
    }

    #[inline(always)]
    fn add(self, other: Self) -> Self {
        // SAFETY: see above.
        Floats128(unsafe { vaddq_f32(self.0, other.0) })
    }

    #[inline(always)]
    fn sub(self, other: Self) -> Self {
        // SAFETY: see above.
        Floats128(unsafe { vsubq_f32(self.0, other.0) })
    }

    #[inline(always)]
    fn mul(self, other: Self) -> Self {
        // SAFETY: see above.
        Floats128(unsafe { vmulq_f32(self.0, other.0) })
    }

    #[inline(always)]
    fn div(self, other: Self) -> Self {
        // SAFETY: see above.
        Floats128(unsafe { vdivq_f32(self.0, other.0) })
    }

    #[inline(always)]
    fn abs(self) -> Self {
        // SAFETY: see above.
        Floats128(unsafe { vabsq_f32(self.0) })
    }

    #[inline(always)]
    fn round(self) -> Self {
        // SAFETY: see above.
        Floats128(unsafe { vrndnq_f32(self.0) })
    }

    #[inline(always)]
    fn min(self, other: Self) -> Self {
        // SAFETY: see above.
        unsafe { Floats128(vbslq_f32(vcltq_f32(self.0, other.0), self.0, other.0)) }
    }

    #[inline(always)]
    fn max(self, other: Self) -> Self {
        // SAFETY: see above.
        unsafe { Floats128(vbslq_f32(vcgtq_f32(self.0, other.0), self.0, other.0)) }
    }

    #[inline(always)]
    fn number(self) -> Self {
        // SAFETY: see above.
        unsafe {
            let bits = vandq_u32(vceqq_f32(self.0, self.0), vreinterpretq_u32_f32(self.0));
            Floats128(vreinterpretq_f32_u32(bits))
        }
    }

    #[inline(always)]
    fn any_above(self, limit: Self) -> bool {
        // SAFETY: see above.
        unsafe { vmaxvq_u32(vcgtq_f32(self.0, limit.0)) != 0 }
    }
}
