//! Activations of float layers.

use super::site::{invalid, unsupported};
use crate::math::network::activation_f32::Activation as Kernel;
use crate::plan::step::Activation;
use crate::status::Result;

/// Checks an activation's numbers, and that a kernel has it. Prelu only where the step has slopes.
pub fn check_activation(activation: &Activation, has_slopes: bool) -> Result<()> {
    if let Activation::Clip { low, high } = activation {
        return if low <= high { Ok(()) } else { Err(invalid("bounds of an activation")) };
    }
    if (*activation == Activation::Prelu && !has_slopes) || kernel_of(activation, &[]).is_none() {
        return Err(unsupported("activation"));
    }
    Ok(())
}

/// The activation as kernels see it.
pub fn activation<'a>(activation: &Activation, slopes: &'a [f32]) -> Option<Kernel<'a>> {
    kernel_of(activation, slopes)
}

fn kernel_of<'a>(activation: &Activation, slopes: &'a [f32]) -> Option<Kernel<'a>> {
    Some(match *activation {
        Activation::None => Kernel::None,
        Activation::Clip { low, high } => Kernel::Clip { low, high },
        Activation::HardSwish => Kernel::HardSwish,
        Activation::HardSigmoid { alpha, beta } => Kernel::HardSigmoid { alpha, beta },
        Activation::Sigmoid => Kernel::Sigmoid,
        Activation::Silu => Kernel::Silu,
        Activation::Tanh => Kernel::Tanh,
        Activation::Gelu => Kernel::Gelu,
        Activation::GeluTanh => Kernel::GeluTanh,
        Activation::LeakyRelu { slope } => Kernel::LeakyRelu { slope },
        Activation::Prelu => Kernel::Prelu { slopes },
        Activation::Exp => Kernel::Exp,
        Activation::Sqrt => Kernel::Sqrt,
        Activation::Abs => Kernel::Abs,
        Activation::Negate => Kernel::Affine { factor: -1.0, summand: 0.0 },
        Activation::Erf => Kernel::Erf,
        Activation::ReciprocalSqrt
        | Activation::Reciprocal
        | Activation::Square
        | Activation::Log => return None,
    })
}

/// Functions that no vector kernel has, one value at a time.
pub fn plain(activation: &Activation) -> Option<fn(f32) -> f32> {
    match activation {
        Activation::ReciprocalSqrt => Some(|value| 1.0 / libm::sqrtf(value)),
        Activation::Reciprocal => Some(|value| 1.0 / value),
        Activation::Square => Some(|value| value * value),
        Activation::Log => Some(libm::logf),
        _ => None,
    }
}
