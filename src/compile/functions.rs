//! The functions of plans in plain f32, for tables and for constants.

use crate::plan::{Activation, BinaryOp};

/// `activation` of one value. [`Activation::Prelu`] needs a channel and is left out: the value
/// comes back.
pub fn apply(activation: Activation, x: f32) -> f32 {
    let sigmoid = |x: f32| 1.0 / (1.0 + libm::expf(-x));
    match activation {
        Activation::None | Activation::Prelu => x,
        Activation::Clip { low, high } => x.max(low).min(high),
        Activation::HardSwish => x * (x / 6.0 + 0.5).clamp(0.0, 1.0),
        Activation::HardSigmoid { alpha, beta } => (x * alpha + beta).clamp(0.0, 1.0),
        Activation::Sigmoid => sigmoid(x),
        Activation::Silu => x * sigmoid(x),
        Activation::Tanh => libm::tanhf(x),
        Activation::Gelu => 0.5 * x * (1.0 + libm::erff(x * core::f32::consts::FRAC_1_SQRT_2)),
        Activation::GeluTanh => {
            let inner = 0.797_884_6 * (x + 0.044_715 * x * x * x);
            0.5 * x * (1.0 + libm::tanhf(inner))
        }
        Activation::LeakyRelu { slope } => {
            if x < 0.0 {
                x * slope
            } else {
                x
            }
        }
        Activation::Exp => libm::expf(x),
        Activation::Sqrt => libm::sqrtf(x),
        Activation::ReciprocalSqrt => 1.0 / libm::sqrtf(x),
        Activation::Reciprocal => 1.0 / x,
        Activation::Abs => x.abs(),
        Activation::Negate => -x,
        Activation::Square => x * x,
        Activation::Erf => libm::erff(x),
        Activation::Log => libm::logf(x),
    }
}

/// `op` of two values.
pub fn apply_binary(op: BinaryOp, left: f32, right: f32) -> f32 {
    match op {
        BinaryOp::Add => left + right,
        BinaryOp::Subtract => left - right,
        BinaryOp::Multiply => left * right,
        BinaryOp::Divide => left / right,
        BinaryOp::Minimum => left.min(right),
        BinaryOp::Maximum => left.max(right),
        BinaryOp::Power => libm::powf(left, right),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn functions_have_their_known_values() {
        let hard_swish = |x| apply(Activation::HardSwish, x);
        assert!((apply(Activation::Gelu, 1.0) - 0.841_345).abs() < 1e-5);
        assert!((hard_swish(1.0) - 2.0 / 3.0).abs() < 1e-6);
        let leaky_relu = apply(Activation::LeakyRelu { slope: 0.25 }, -2.0);
        assert_eq!([hard_swish(-4.0), hard_swish(4.0), leaky_relu], [0.0, 4.0, -0.5]);
    }
}
