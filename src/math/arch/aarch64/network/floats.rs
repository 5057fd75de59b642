//! Vectors of eight f32 for the kernels of float layers.

use crate::math::arch::aarch64::lanes::Neon;
use crate::math::arch::depthwise_f32::Pointed;
use crate::math::lanes::Lanes;
use crate::math::network::floats::Floats;
use crate::math::pieces;
use core::arch::aarch64::*;

impl Pointed for Neon {
    #[inline(always)]
    unsafe fn read(from: *const f32) -> Self {
        // SAFETY: the caller's.
        unsafe { Neon([vld1q_f32(from), vld1q_f32(from.add(4))]) }
    }
}

/// The ends of rows: apart, since it would be compiled into every loop of every kernel.
#[inline(never)]
fn load_short(values: &[f32]) -> Neon {
    let mut all = [0.0; 8];
    pieces::copy(&mut all, values);
    <Neon as Lanes>::load(&all)
}

/// As [`load_short`].
#[inline(never)]
fn store_short(values: Neon, places: &mut [f32]) {
    let mut all = [0.0; 8];
    Lanes::store(values, &mut all);
    pieces::copy(places, &all);
}

// SAFETY (every block below): the intrinsics need NEON, which this module is compiled for.
impl Floats for Neon {
    const COUNT: usize = 8;

    #[inline(always)]
    fn splat(value: f32) -> Self {
        <Neon as Lanes>::splat(value)
    }

    #[inline(always)]
    fn load(values: &[f32]) -> Self {
        match values.len() {
            8.. => <Neon as Lanes>::load(values),
            _ => load_short(values),
        }
    }

    #[inline(always)]
    fn store(self, places: &mut [f32]) {
        match places.len() {
            8.. => Lanes::store(self, places),
            _ => store_short(self, places),
        }
    }

    #[inline(always)]
    fn add(self, other: Self) -> Self {
        Lanes::add(self, other)
    }

    #[inline(always)]
    fn sub(self, other: Self) -> Self {
        Lanes::sub(self, other)
    }

    #[inline(always)]
    fn mul(self, other: Self) -> Self {
        Lanes::mul(self, other)
    }

    #[inline(always)]
    fn div(self, other: Self) -> Self {
        let ([a, b], [c, d]) = (self.0, other.0);
        // SAFETY: see above.
        unsafe { Neon([vdivq_f32(a, c), vdivq_f32(b, d)]) }
    }

    #[inline(always)]
    fn mul_add(self, factor: Self, summand: Self) -> Self {
        let ([a, b], [c, d], [e, f]) = (self.0, factor.0, summand.0);
        // SAFETY: see above.
        unsafe { Neon([vfmaq_f32(e, a, c), vfmaq_f32(f, b, d)]) }
    }

    #[inline(always)]
    fn max(self, other: Self) -> Self {
        Lanes::max(self, other)
    }

    #[inline(always)]
    fn min(self, other: Self) -> Self {
        Lanes::min(self, other)
    }

    #[inline(always)]
    fn abs(self) -> Self {
        Lanes::abs(self)
    }

    #[inline(always)]
    fn sqrt(self) -> Self {
        // SAFETY: see above.
        Neon(self.0.map(|half| unsafe { vsqrtq_f32(half) }))
    }

    #[inline(always)]
    fn if_greater(self, other: Self, yes: Self, no: Self) -> Self {
        Self::select(self.greater(other), yes, no)
    }

    #[inline(always)]
    fn with_sign_of(self, sign: Self) -> Self {
        let ([a, b], [c, d]) = (self.0, sign.0);
        // SAFETY: see above.
        unsafe {
            let bit = vdupq_n_u32(1 << 31);
            Neon([vbslq_f32(bit, c, a), vbslq_f32(bit, d, b)])
        }
    }

    /// In two steps, so that results beyond the normal numbers come out right.
    #[inline(always)]
    fn times_power_of_two(self, whole: Self) -> Self {
        let power = |whole: int32x4_t| {
            // SAFETY: see above.
            unsafe {
                let biased = vaddq_s32(whole, vdupq_n_s32(127));
                vreinterpretq_f32_s32(vshlq_n_s32::<23>(biased))
            }
        };
        let times = |value: float32x4_t, whole: float32x4_t| {
            // SAFETY: see above.
            unsafe {
                let whole = vcvtnq_s32_f32(whole);
                let one = vshrq_n_s32::<1>(whole);
                vmulq_f32(vmulq_f32(value, power(one)), power(vsubq_s32(whole, one)))
            }
        };
        let ([a, b], [c, d]) = (self.0, whole.0);
        Neon([times(a, c), times(b, d)])
    }

    /// An estimate of 8 bits and two steps of Newton's method, each of which doubles them: division
    /// takes several times as long.
    #[inline(always)]
    fn reciprocal(self) -> Self {
        // SAFETY: see above.
        Neon(self.0.map(|half| unsafe {
            let estimate = vrecpeq_f32(half);
            let better = vmulq_f32(estimate, vrecpsq_f32(half, estimate));
            vmulq_f32(better, vrecpsq_f32(half, better))
        }))
    }

    #[inline(always)]
    fn sum(self) -> f32 {
        let [low, high] = self.0;
        // SAFETY: see above.
        unsafe { vaddvq_f32(vaddq_f32(low, high)) }
    }

    #[inline(always)]
    fn greatest(self) -> f32 {
        let [low, high] = self.0;
        // SAFETY: see above.
        unsafe { vmaxnmvq_f32(vmaxnmq_f32(low, high)) }
    }
}
