//! Steps in floats.

use crate::layers::{sides, window};
use crate::reference::{Values, for_each_tap, quantize};
use crate::support::{Builder, Noise, check_exactly, check_nearly, f32_tensor, u8_tensor};
use zsseg::math::network::depthwise_f32::{pack_depthwise_f32, packed_depthwise_len};
use zsseg::plan::{Activation, BinaryOp, Constant, Operation, Plan, Tensor, TensorIndex, Window};
use zsseg::status::Status;

/// The formula of an activation.
fn formula(activation: Activation, x: f64, slope: f64) -> f64 {
    let sigmoid = |x: f64| 1.0 / (1.0 + (-x).exp());
    let erf = |x: f64| f64::from(libm::erf(x) as f32);
    match activation {
        Activation::None => x,
        Activation::Clip { low, high } => x.clamp(low.into(), high.into()),
        Activation::HardSwish => x * (x / 6.0 + 0.5).clamp(0.0, 1.0),
        Activation::HardSigmoid { alpha, beta } => {
            (f64::from(alpha) * x + f64::from(beta)).clamp(0.0, 1.0)
        }
        Activation::Sigmoid => sigmoid(x),
        Activation::Silu => x * sigmoid(x),
        Activation::Tanh => x.tanh(),
        Activation::Gelu => x * 0.5 * (1.0 + erf(x / 2f64.sqrt())),
        Activation::GeluTanh => {
            let inner = (2.0 / std::f64::consts::PI).sqrt() * (x + 0.044715 * x * x * x);
            x * 0.5 * (1.0 + inner.tanh())
        }
        Activation::LeakyRelu { slope } => {
            if x < 0.0 {
                f64::from(slope) * x
            } else {
                x
            }
        }
        Activation::Prelu => {
            if x < 0.0 {
                slope * x
            } else {
                x
            }
        }
        Activation::Exp => x.exp(),
        Activation::Sqrt => x.sqrt(),
        Activation::ReciprocalSqrt => 1.0 / x.sqrt(),
        Activation::Reciprocal => 1.0 / x,
        Activation::Abs => x.abs(),
        Activation::Negate => -x,
        Activation::Square => x * x,
        Activation::Erf => erf(x),
        Activation::Log => x.ln(),
    }
}

const ACTIVATIONS: [Activation; 20] = [
    Activation::Clip { low: -0.5, high: f32::INFINITY },
    Activation::Clip { low: 0.0, high: 0.5 },
    Activation::HardSwish,
    Activation::HardSigmoid { alpha: 0.3, beta: 0.4 },
    Activation::Sigmoid,
    Activation::Silu,
    Activation::Tanh,
    Activation::Gelu,
    Activation::GeluTanh,
    Activation::LeakyRelu { slope: 0.1 },
    Activation::Prelu,
    Activation::Exp,
    Activation::Sqrt,
    Activation::ReciprocalSqrt,
    Activation::Reciprocal,
    Activation::Abs,
    Activation::Negate,
    Activation::Square,
    Activation::Erf,
    Activation::Log,
];

impl Builder {
    /// A function of single values, in place or not.
    fn unary_f32(
        &mut self,
        noise: &mut Noise,
        input: TensorIndex,
        activation: Activation,
        in_place: bool,
    ) -> TensorIndex {
        let from = self.of(input);
        let output = self.tensors.len() as TensorIndex;
        if in_place {
            self.tensors.push(from);
        } else {
            self.tensor(f32_tensor(from.shape()));
        }
        let mut constants = Vec::new();
        let slopes: Vec<f32> = (0..from.channels).map(|_| noise.unit()).collect();
        if activation == Activation::Prelu {
            constants.push(self.floats(&slopes));
        }
        self.step(
            Operation::Unary { activation },
            &[input],
            output,
            &constants,
            Box::new(move |inputs| {
                let mut values = inputs[0].clone();
                values.fill(|y, x, c| formula(activation, inputs[0].at(y, x, c), slopes[c].into()));
                values
            }),
        )
    }

    fn binary_f32(
        &mut self,
        operation: Operation,
        inputs: &[TensorIndex],
        output: TensorIndex,
        constant: Vec<f32>,
    ) -> TensorIndex {
        let Operation::Binary { op, swapped, activation, .. } = operation else { unreachable!() };
        let to = self.of(output);
        let mut constants = Vec::new();
        if !constant.is_empty() {
            constants.push(self.floats(&constant));
        }
        let expected = move |inputs: &[Values]| {
            let mut values = Values::zeros(&to);
            values.fill(|y, x, c| {
                let a = inputs[0].at(y, x, c);
                let b = match inputs.get(1) {
                    Some(other) => {
                        let [height, width, channels] = other.shape;
                        other.at(y.min(height - 1), x.min(width - 1), c.min(channels - 1))
                    }
                    None if constant.len() == 1 => constant[0].into(),
                    None if constant.len() == to.channels as usize => constant[c].into(),
                    None => {
                        let pixel = y * to.width as usize + x;
                        constant[pixel * to.channels as usize + c].into()
                    }
                };
                let (a, b) = if swapped { (b, a) } else { (a, b) };
                let result = match op {
                    BinaryOp::Add => a + b,
                    BinaryOp::Subtract => a - b,
                    BinaryOp::Multiply => a * b,
                    BinaryOp::Divide => a / b,
                    BinaryOp::Minimum => a.min(b),
                    BinaryOp::Maximum => a.max(b),
                    BinaryOp::Power => a.powf(b),
                };
                formula(activation, result, 0.0)
            });
            values
        };
        self.step(operation, inputs, output, &constants, Box::new(expected))
    }

    pub fn depthwise_f32(
        &mut self,
        noise: &mut Noise,
        input: TensorIndex,
        window: Window,
        activation: Activation,
    ) -> TensorIndex {
        let from = self.of(input);
        let [height, width] = sides(&from, &window);
        let output = self.tensor(f32_tensor([height, width, from.channels]));
        let (to, channels, taps) = (self.of(output), from.channels as usize, window.taps());
        let weights: Vec<f32> = (0..channels * taps).map(|_| noise.unit()).collect();
        let bias: Vec<f32> = (0..channels).map(|_| noise.unit()).collect();
        let slopes: Vec<f32> = (0..channels).map(|_| noise.unit()).collect();
        let mut packed = vec![0.0; packed_depthwise_len(channels, taps)];
        assert!(pack_depthwise_f32(&weights, channels, taps, &mut packed));
        let mut constants = [Constant::default(); 5];
        constants[0] = self.floats(&packed);
        constants[1] = self.floats(&bias);
        if activation == Activation::Prelu {
            constants[4] = self.floats(&slopes);
        }
        let operation =
            Operation::Depthwise { window, activation, low: 0, high: 255, inner_zero_point: 0 };
        let expected = move |inputs: &[Values]| {
            let mut values = Values::zeros(&to);
            values.fill(|y, x, c| {
                let mut sum = f64::from(bias[c]);
                for_each_tap(&window, y, x, |[ky, kx], [py, px]| {
                    let tap = ky * usize::from(window.kernel_width) + kx;
                    let value = inputs[0].inside(py, px, c).unwrap_or(0.0);
                    sum += value * f64::from(weights[c * taps + tap]);
                });
                formula(activation, sum, slopes[c].into())
            });
            values
        };
        self.step(operation, &[input], output, &constants, Box::new(expected))
    }
}

/// A map of numbers of which logarithms and roots exist.
fn positive(builder: &mut Builder, input: TensorIndex) -> TensorIndex {
    let output = builder.tensor(f32_tensor(builder.of(input).shape()));
    let operation = Operation::Binary {
        op: BinaryOp::Add,
        swapped: false,
        activation: Activation::None,
        low: 0,
        high: 255,
    };
    builder.binary_f32(operation, &[input], output, vec![1.25])
}

#[test]
fn all_activations() {
    let noise = &mut Noise(20);
    for activation in ACTIVATIONS {
        for (shape, in_place) in [([3, 5, 19], false), ([1, 7, 4], true)] {
            let mut builder = Builder::new(f32_tensor(shape));
            let first = match activation {
                Activation::Sqrt
                | Activation::ReciprocalSqrt
                | Activation::Reciprocal
                | Activation::Log => positive(&mut builder, 0),
                _ => 0,
            };
            let last = builder.unary_f32(noise, first, activation, in_place);
            check_nearly(&builder.finish(last));
        }
    }
}

#[test]
fn all_operators() {
    let noise = &mut Noise(21);
    let shape = [4, 5, 7];
    let operators = [
        BinaryOp::Add,
        BinaryOp::Subtract,
        BinaryOp::Multiply,
        BinaryOp::Divide,
        BinaryOp::Minimum,
        BinaryOp::Maximum,
        BinaryOp::Power,
    ];
    for op in operators {
        for swapped in [false, true] {
            let activation = Activation::Clip { low: 0.01, high: 3.0 };
            let operation = Operation::Binary { op, swapped, activation, low: 0, high: 255 };
            for values in [1, 7, 140] {
                let mut builder = Builder::new(f32_tensor(shape));
                let first = positive(&mut builder, 0);
                let constant = (0..values).map(|_| noise.unit() + 1.5).collect();
                let output = builder.tensor(f32_tensor(shape));
                let last = builder.binary_f32(operation, &[first], output, constant);
                check_nearly(&builder.finish(last));
            }
            for other in [[4, 5, 7], [1, 1, 7], [4, 5, 1], [1, 1, 1]] {
                let mut builder = Builder::new(f32_tensor(shape));
                let first = positive(&mut builder, 0);
                let constant: Vec<f32> =
                    (0..other.iter().product()).map(|_| noise.unit() + 1.5).collect();
                let second = builder.constant_f32(other, &constant);
                // In place.
                let output = builder.tensors.len() as TensorIndex;
                builder.tensors.push(Tensor { ..builder.of(first) });
                let last = builder.binary_f32(operation, &[first, second], output, Vec::new());
                check_nearly(&builder.finish(last));
            }
        }
    }
}

impl Builder {
    /// A tensor of numbers that the plan brings.
    pub fn constant_f32(&mut self, shape: [u32; 3], values: &[f32]) -> TensorIndex {
        let output = self.tensor(f32_tensor(shape));
        let to = self.of(output);
        let constant = self.floats(values);
        let data: Vec<f64> = values.iter().map(|value| f64::from(*value)).collect();
        let expected = move |_: &[Values]| {
            let mut values = Values::zeros(&to);
            values.data.clone_from(&data);
            values
        };
        self.step(Operation::Constant, &[], output, &[constant], Box::new(expected))
    }
}

#[test]
fn operators_that_are_refused() {
    let refused = |op: BinaryOp, activation: Activation| {
        let mut builder = Builder::new(f32_tensor([2, 2, 3]));
        let operation = Operation::Binary { op, swapped: false, activation, low: 0, high: 255 };
        let output = builder.tensor(f32_tensor([2, 2, 3]));
        builder.binary_f32(operation, &[0], output, vec![2.0]);
        Plan::new(&builder.finish(output).encode()).unwrap_err().status()
    };
    assert_eq!(refused(BinaryOp::Add, Activation::Prelu), Status::Unsupported);
    assert_eq!(refused(BinaryOp::Add, Activation::Log), Status::Unsupported);
    let clip = Activation::Clip { low: 1.0, high: 0.0 };
    assert_eq!(refused(BinaryOp::Add, clip), Status::BundleContent);
}

#[test]
fn depthwise_convolutions() {
    let noise = &mut Noise(22);
    let cases = [
        ([9, 8, 5], window(3, 1, 1), Activation::None),
        ([9, 8, 16], window(5, 2, 1), Activation::HardSwish),
        ([9, 8, 33], window(3, 1, 3), Activation::Prelu),
        ([1, 8, 80], window(1, 1, 1), Activation::Silu),
    ];
    for (shape, window, activation) in cases {
        let mut builder = Builder::new(f32_tensor(shape));
        let last = builder.depthwise_f32(noise, 0, window, activation);
        check_nearly(&builder.finish(last));
    }
}

#[test]
fn pools_and_means() {
    let windows = [window(3, 2, 1), window(3, 1, 1)];
    for window in windows {
        for mean in [None, Some(false), Some(true)] {
            let mut builder = Builder::new(f32_tensor([7, 6, 5]));
            let [height, width] = sides(&builder.of(0), &window);
            let output = builder.tensor(f32_tensor([height, width, 5]));
            let to = builder.of(output);
            let operation = match mean {
                None => Operation::MaxPool { window },
                Some(count_include_pad) => Operation::AveragePool { window, count_include_pad },
            };
            let expected = move |inputs: &[Values]| {
                let mut values = Values::zeros(&to);
                values.fill(|y, x, c| {
                    let mut found = Vec::new();
                    for_each_tap(&window, y, x, |_, [py, px]| {
                        found.extend(inputs[0].inside(py, px, c));
                    });
                    let sum: f64 = found.iter().sum();
                    match mean {
                        None => found.iter().copied().fold(f64::MIN, f64::max),
                        Some(false) => sum / found.len() as f64,
                        Some(true) => sum / window.taps() as f64,
                    }
                });
                values
            };
            builder.step(operation, &[0], output, &[], Box::new(expected));
            check_nearly(&builder.finish(output));
        }
    }
    for over_channels in [false, true] {
        let mut builder = Builder::new(f32_tensor([7, 6, 5]));
        let (operation, shape) = match over_channels {
            true => (Operation::ChannelMean, [7, 6, 1]),
            false => (Operation::GlobalAverage, [1, 1, 5]),
        };
        let output = builder.tensor(f32_tensor(shape));
        let to = builder.of(output);
        let expected = move |inputs: &[Values]| {
            let mut values = Values::zeros(&to);
            values.fill(|y, x, c| match over_channels {
                true => (0..5).map(|c| inputs[0].at(y, x, c)).sum::<f64>() / 5.0,
                false => inputs[0].data.iter().skip(c).step_by(5).sum::<f64>() / 42.0,
            });
            values
        };
        builder.step(operation, &[0], output, &[], Box::new(expected));
        check_nearly(&builder.finish(output));
    }
}

fn softmax(input: &Values) -> Values {
    let mut values = input.clone();
    let channels = input.shape[2];
    values.fill(|y, x, c| {
        let all: Vec<f64> = (0..channels).map(|c| input.at(y, x, c)).collect();
        let most = all.iter().copied().fold(f64::MIN, f64::max);
        (all[c] - most).exp() / all.iter().map(|value| (value - most).exp()).sum::<f64>()
    });
    values
}

fn layer_norm(input: &Values, epsilon: f64, scale: &[f32], bias: &[f32]) -> Values {
    let mut values = input.clone();
    let channels = input.shape[2];
    values.fill(|y, x, c| {
        let all: Vec<f64> = (0..channels).map(|c| input.at(y, x, c)).collect();
        let mean = all.iter().sum::<f64>() / channels as f64;
        let squares = all.iter().map(|value| (value - mean) * (value - mean));
        let variance = squares.sum::<f64>() / channels as f64;
        (all[c] - mean) / (variance + epsilon).sqrt() * f64::from(scale[c]) + f64::from(bias[c])
    });
    values
}

/// From quantised values to real ones.
fn real(values: &Values, tensor: &Tensor) -> Values {
    let mut real = values.clone();
    for value in &mut real.data {
        *value = (*value - f64::from(tensor.zero_point)) * f64::from(tensor.scale);
    }
    real
}

#[test]
fn softmax_and_layer_norm() {
    let noise = &mut Noise(23);
    let scale: Vec<f32> = (0..24).map(|_| noise.unit()).collect();
    let bias: Vec<f32> = (0..24).map(|_| noise.unit()).collect();
    for is_norm in [false, true] {
        for (shape, in_place) in [([3, 4, 24], false), ([1, 9, 24], true)] {
            let mut builder = Builder::new(f32_tensor(shape));
            let output = builder.tensors.len() as TensorIndex;
            if in_place {
                builder.tensors.push(builder.of(0));
            } else {
                builder.tensor(f32_tensor(shape));
            }
            let (scale, bias) = (scale.clone(), bias.clone());
            if is_norm {
                let constants = [builder.floats(&scale), builder.floats(&bias)];
                let operation = Operation::LayerNorm { epsilon: 1e-5 };
                let expected = move |inputs: &[Values]| layer_norm(&inputs[0], 1e-5, &scale, &bias);
                builder.step(operation, &[0], output, &constants, Box::new(expected));
            } else {
                let expected = |inputs: &[Values]| softmax(&inputs[0]);
                builder.step(Operation::Softmax, &[0], output, &[], Box::new(expected));
            }
            check_nearly(&builder.finish(output));
        }
    }
}

#[test]
fn softmax_and_layer_norm_through_integers() {
    let noise = &mut Noise(24);
    let scale: Vec<f32> = (0..24).map(|_| noise.unit()).collect();
    let bias: Vec<f32> = (0..24).map(|_| noise.unit()).collect();
    let from = u8_tensor([2, 5, 24], 0.05, 120);
    let to = u8_tensor([2, 5, 24], 0.02, 130);
    // Into floats.
    let mut builder = Builder::new(from);
    let floats = builder.tensor(f32_tensor([2, 5, 24]));
    let constants = [builder.floats(&scale), builder.floats(&bias)];
    let operation = Operation::LayerNorm { epsilon: 1e-5 };
    let (scales, biases) = (scale.clone(), bias.clone());
    let expected =
        move |inputs: &[Values]| layer_norm(&real(&inputs[0], &from), 1e-5, &scales, &biases);
    builder.step(operation, &[0], floats, &constants, Box::new(expected));
    check_nearly(&builder.finish(floats));
    // Into integers, and from integers and floats. No value lies near the middle of two steps.
    for (is_norm, input) in [(true, from), (true, f32_tensor([2, 5, 24])), (false, from)] {
        let mut builder = Builder::new(input);
        let output = builder.tensor(to);
        let (scales, biases) = (scale.clone(), bias.clone());
        let constants = [builder.floats(&scale), builder.floats(&bias)];
        let expected = move |inputs: &[Values]| {
            let values = real(&inputs[0], &input);
            let mut values = if is_norm {
                layer_norm(&values, 1e-5, &scales, &biases)
            } else {
                softmax(&values)
            };
            for value in &mut values.data {
                *value = quantize((*value / f64::from(to.scale)) as f32, to.zero_point, 0, 255);
            }
            values
        };
        let (operation, constants): (_, &[Constant]) = match is_norm {
            true => (operation, &constants),
            false => (Operation::Softmax, &[]),
        };
        builder.step(operation, &[0], output, constants, Box::new(expected));
        check_exactly(&builder.finish(output));
    }
}
