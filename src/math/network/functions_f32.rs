//! Transcendental functions by polynomials, on vectors. Relative errors are below 1e-6, and no
//! function of the C library is called, hence they vectorise everywhere. The coefficients are
//! minimax fits on the ranges given.

use super::floats::Floats;
use core::f32::consts::{FRAC_1_SQRT_2, FRAC_2_SQRT_PI, LOG2_E};

/// The polynomial with the given coefficients, highest power first.
#[inline(always)]
fn polynomial<V: Floats, const N: usize>(x: V, coefficients: [f32; N]) -> V {
    let mut sum = V::splat(0.0);
    for (index, coefficient) in coefficients.into_iter().enumerate() {
        let coefficient = V::splat(coefficient);
        sum = if index == 0 { coefficient } else { sum.mul_add(x, coefficient) };
    }
    sum
}

/// `exp(x)`: 0 below -87.3, infinite above 88.7.
#[inline(always)]
pub fn exp<V: Floats>(x: V) -> V {
    // Smaller results would be subnormal numbers, with which processors are slow.
    let low = V::splat(-87.3);
    let inside = x.max(low).min(V::splat(89.0));
    let rounder = V::splat(12_582_912.0);
    let whole = inside.mul_add(V::splat(LOG2_E), rounder).sub(rounder);
    // ln 2 in two parts, the first with so few bits that its product with `whole` is exact.
    let rest = whole.mul_add(V::splat(-0.693_359_4), inside);
    let rest = whole.mul_add(V::splat(2.121_944_4e-4), rest);
    let series = polynomial(rest, [1.395_047_9e-3, 8.368_882e-3, 4.166_620_6e-2, 0.166_665_2, 0.5]);
    let one = V::splat(1.0);
    let value = series.mul_add(rest, one).mul_add(rest, one).times_power_of_two(whole);
    low.if_greater(x, V::splat(0.0), value)
}

/// `1 / (1 + exp(-x))`; 1.8e-35 below -80.
#[inline(always)]
pub fn sigmoid<V: Floats>(x: V) -> V {
    let power = exp(V::splat(0.0).sub(x).min(V::splat(80.0)));
    power.add(V::splat(1.0)).reciprocal()
}

/// The hyperbolic tangent: a polynomial up to 0.625, beyond it `1 - 2 / (exp(2 x) + 1)`.
#[inline(always)]
pub fn tanh<V: Floats>(x: V) -> V {
    let one = V::splat(1.0);
    let size = x.abs();
    let power = exp(size.add(size).min(V::splat(30.0)));
    let far = power.add(one).reciprocal().mul_add(V::splat(-2.0), one);
    let square = x.mul(x);
    let series = polynomial(
        square,
        [-5.717_045e-3, 2.065_058_8e-2, -5.374_349_7e-2, 0.133_314_91, -0.333_332_84],
    );
    let near = series.mul_add(square.mul(size), size);
    size.if_greater(V::splat(0.625), far, near).with_sign_of(x)
}

/// `erfc(x)` of `x >= 0`: the exponential of a polynomial fitted on 0..4.2, where `erfc` ends below
/// the last bit of 1; beyond, it goes on falling to 0.
#[inline(always)]
fn erfc_nonnegative<V: Floats>(x: V) -> V {
    let series = polynomial(
        x.min(V::splat(16.0)),
        [
            2.947_327_9e-7,
            -6.949_001e-6,
            6.978_706e-5,
            -3.743_173_1e-4,
            9.684_338_6e-4,
            9.142_465_4e-4,
            -2.011_419_3e-2,
            0.103_255_28,
            0.636_504_05,
            1.128_388_8,
        ],
    );
    exp(V::splat(0.0).sub(series.mul(x)))
}

/// The error function: a polynomial up to 1, beyond it from `erfc`.
#[inline(always)]
pub fn erf<V: Floats>(x: V) -> V {
    let one = V::splat(1.0);
    let size = x.abs();
    let square = x.mul(x).min(one);
    let series = polynomial(
        square,
        [
            -5.660_154e-4,
            4.924_789e-3,
            -2.671_770_8e-2,
            0.112_804_115,
            -0.376_123_55,
            FRAC_2_SQRT_PI,
        ],
    );
    let far = one.sub(erfc_nonnegative(size));
    size.if_greater(one, far, series.mul(size)).with_sign_of(x)
}

/// `x / 2 * (1 + erf(x / sqrt 2))`, which is `max(x, 0) - |x| / 2 * erfc(|x| / sqrt 2)`.
#[inline(always)]
pub fn gelu<V: Floats>(x: V) -> V {
    let size = x.abs();
    let tail = erfc_nonnegative(size.mul(V::splat(FRAC_1_SQRT_2)));
    let zero = V::splat(0.0);
    x.max(zero).sub(size.mul(V::splat(0.5)).mul(tail))
}

/// `x / 2 * (1 + tanh(sqrt(2 / pi) (x + 0.044715 x^3)))`, which is `x * sigmoid` of twice the
/// argument of `tanh`.
#[inline(always)]
pub fn gelu_tanh<V: Floats>(x: V) -> V {
    let square = x.mul(x);
    let twice = square.mul_add(V::splat(0.071_354_814), V::splat(1.595_769)).mul(x);
    x.mul(sigmoid(twice))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::math::lanes::WIDTH;
    use crate::math::network::floats::Portable;

    fn one(function: fn(Portable) -> Portable, x: f32) -> f64 {
        let mut out = [0.0f32; WIDTH];
        function(Portable::splat(x)).store(&mut out);
        f64::from(out[0])
    }

    /// The greatest error over -30..30, relative down to `floor`.
    fn worst(function: fn(Portable) -> Portable, exact: fn(f64) -> f64, floor: f64) -> f64 {
        (-300_000i32..=300_000).fold(0.0, |worst: f64, step| {
            let x = step as f32 * 1e-4;
            let truth = exact(f64::from(x));
            worst.max((one(function, x) - truth).abs() / truth.abs().max(floor))
        })
    }

    #[test]
    fn functions_are_close_to_the_exact_ones() {
        assert!(worst(exp, libm::exp, 1e-30) < 3e-7);
        assert!(worst(sigmoid, |x| 1.0 / (1.0 + libm::exp(-x)), 1e-30) < 5e-7);
        assert!(worst(tanh, libm::tanh, 1e-30) < 5e-7);
        assert!(worst(erf, libm::erf, 1e-30) < 5e-7);
        let gelu_exact = |x: f64| 0.5 * x * libm::erfc(-x / core::f64::consts::SQRT_2);
        assert!(worst(gelu, gelu_exact, 0.1) < 1e-6);
        let gelu_tanh_exact = |x: f64| {
            let inner = (2.0 / core::f64::consts::PI).sqrt() * (x + 0.044715 * x * x * x);
            0.5 * x * (1.0 + libm::tanh(inner))
        };
        assert!(worst(gelu_tanh, gelu_tanh_exact, 0.1) < 5e-7);
    }

    #[test]
    fn ends_of_the_range() {
        assert_eq!(one(exp, f32::NEG_INFINITY), 0.0);
        assert_eq!(one(exp, 100.0), f64::INFINITY);
        assert_eq!(one(exp, 0.0), 1.0);
        assert!(one(sigmoid, -200.0) < 2e-35);
        assert_eq!(one(sigmoid, 200.0), 1.0);
        assert_eq!(one(gelu, -100.0), 0.0);
        assert_eq!(one(gelu, 100.0), 100.0);
        assert_eq!(one(tanh, 50.0), 1.0);
        assert_eq!(one(erf, -50.0), -1.0);
    }
}
