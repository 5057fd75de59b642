//! Steps and tensors come back from bytes as they were.

use crate::support::{Builder, Noise, u8_tensor};
use proptest::prelude::*;
use zerocopy::FromBytes;
use zsseg::plan::layout::{HeaderRecord, StepRecord, TensorRecord};
use zsseg::plan::{
    Activation, BinaryOp, CoordinateMode, Interpolation, MatrixStrides, Nearest, Operation, Plan,
    Window,
};

fn numbers() -> impl Strategy<Value = f32> {
    prop_oneof![Just(0.0), Just(1.0), -1e30f32..1e30, -1.0f32..1.0]
}

fn windows() -> impl Strategy<Value = Window> {
    any::<[u16; 8]>().prop_map(|[a, b, c, d, e, f, g, h]| Window {
        kernel_height: a,
        kernel_width: b,
        stride_y: c,
        stride_x: d,
        dilation_y: e,
        dilation_x: f,
        pad_top: g,
        pad_left: h,
    })
}

fn activations() -> impl Strategy<Value = Activation> {
    prop_oneof![
        prop::sample::select(vec![
            Activation::None,
            Activation::HardSwish,
            Activation::Sigmoid,
            Activation::Silu,
            Activation::Tanh,
            Activation::Gelu,
            Activation::GeluTanh,
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
            Activation::Clip { low: 0.0, high: f32::INFINITY },
        ]),
        [numbers(), numbers()].prop_map(|[low, high]| Activation::Clip { low, high }),
        [numbers(), numbers()].prop_map(|[alpha, beta]| Activation::HardSigmoid { alpha, beta }),
        numbers().prop_map(|slope| Activation::LeakyRelu { slope }),
    ]
}

fn strides() -> impl Strategy<Value = MatrixStrides> {
    any::<[u32; 3]>().prop_map(|[batch, row, column]| MatrixStrides { batch, row, column })
}

fn products() -> impl Strategy<Value = Operation> {
    prop_oneof![
        (windows(), any::<u32>(), any::<[bool; 2]>(), activations(), any::<[u8; 4]>(), numbers())
            .prop_map(
                |(window, groups, [f16, after], activation, [low, high, zero, align], scale)| {
                    Operation::Convolution {
                        window,
                        groups,
                        weights_f16: f16,
                        activation,
                        low,
                        high,
                        inner_scale: scale,
                        inner_zero_point: zero,
                        residual_after_activation: after,
                        depth_align: align,
                    }
                }
            ),
        (windows(), activations(), any::<[u8; 3]>()).prop_map(
            |(window, activation, [low, high, inner_zero_point])| {
                Operation::Depthwise { window, activation, low, high, inner_zero_point }
            }
        ),
        (any::<[u32; 4]>(), [strides(), strides(), strides()], numbers()).prop_map(
            |([batch, rows, depth, columns], [left, right, output], factor)| {
                Operation::MatrixProduct {
                    batch,
                    rows,
                    depth,
                    columns,
                    left,
                    right,
                    output,
                    factor,
                }
            }
        ),
        (any::<[u32; 2]>(), numbers()).prop_map(|([heads, head_channels], factor)| {
            Operation::Attention { heads, head_channels, factor }
        }),
    ]
}

fn interpolations() -> impl Strategy<Value = Interpolation> {
    prop::sample::select(vec![
        Interpolation::Bilinear,
        Interpolation::Nearest(Nearest::Floor),
        Interpolation::Nearest(Nearest::Ceil),
        Interpolation::Nearest(Nearest::RoundPreferFloor),
        Interpolation::Nearest(Nearest::RoundPreferCeil),
    ])
}

fn coordinates() -> impl Strategy<Value = CoordinateMode> {
    prop::sample::select(vec![
        CoordinateMode::HalfPixel,
        CoordinateMode::AlignCorners,
        CoordinateMode::Asymmetric,
        CoordinateMode::PytorchHalfPixel,
    ])
}

fn operators() -> impl Strategy<Value = BinaryOp> {
    prop::sample::select(vec![
        BinaryOp::Add,
        BinaryOp::Subtract,
        BinaryOp::Multiply,
        BinaryOp::Divide,
        BinaryOp::Minimum,
        BinaryOp::Maximum,
        BinaryOp::Power,
    ])
}

fn operations() -> impl Strategy<Value = Operation> {
    prop_oneof![
        products(),
        prop::sample::select(vec![
            Operation::GlobalAverage,
            Operation::ChannelMean,
            Operation::Softmax,
            Operation::Quantize,
            Operation::Dequantize,
            Operation::Copy,
            Operation::Broadcast,
        ]),
        (operators(), any::<bool>(), activations(), any::<[u8; 2]>()).prop_map(
            |(op, swapped, activation, [low, high])| {
                Operation::Binary { op, swapped, activation, low, high }
            }
        ),
        activations().prop_map(|activation| Operation::Unary { activation }),
        windows().prop_map(|window| Operation::MaxPool { window }),
        (windows(), any::<bool>()).prop_map(|(window, count_include_pad)| {
            Operation::AveragePool { window, count_include_pad }
        }),
        (interpolations(), coordinates(), [numbers(), numbers()]).prop_map(
            |(interpolation, coordinates, [scale_y, scale_x])| {
                Operation::Resize { interpolation, coordinates, scale_y, scale_x }
            }
        ),
        numbers().prop_map(|epsilon| Operation::LayerNorm { epsilon }),
        (any::<[u32; 2]>(), numbers())
            .prop_map(|([top, left], value)| { Operation::Pad { top, left, value } }),
        any::<[u8; 3]>().prop_map(|axes| Operation::Transpose { axes }),
        (any::<[u16; 2]>(), any::<[u32; 3]>()).prop_map(
            |([stride_y, stride_x], [offset_y, offset_x, offset_c])| {
                Operation::Slice { stride_y, stride_x, offset_y, offset_x, offset_c }
            }
        ),
    ]
}

/// The only step of a plan with other parameters.
fn with_operation(operation: Operation) -> Vec<u8> {
    let mut builder = copying();
    builder.steps[0].operation = operation;
    builder.steps[0].macs = 12_345_678_901;
    builder.encode().to_vec()
}

/// A plan of one step.
fn copying() -> Builder {
    let mut builder = Builder::new(u8_tensor([3, 4, 5], 0.5, 9));
    let output = builder.tensor(u8_tensor([3, 4, 5], 0.25, 10));
    builder.table_u8(&mut Noise(1), 0, output);
    builder.finish(output)
}

proptest! {
    #[test]
    fn operations_come_back(operation in operations()) {
        let bytes = with_operation(operation);
        let start = size_of::<HeaderRecord>() + 2 * size_of::<TensorRecord>();
        let record = &bytes[start..start + size_of::<StepRecord>()];
        let step = StepRecord::read_from_bytes(record).unwrap().decode().unwrap();
        prop_assert_eq!(step.operation, operation);
        prop_assert_eq!(step.macs, 12_345_678_901);
        prop_assert_eq!(with_operation(step.operation), bytes);
    }
}

#[test]
fn a_plan_comes_back() {
    let builder = copying();
    let bytes = builder.encode();
    let plan = Plan::new(&bytes).unwrap();
    assert_eq!(plan.tensor_count(), 2);
    assert_eq!(plan.arena_bytes() as u64, builder.arena_bytes);
    assert_eq!(plan.source_sha256(), [7; 32]);
    assert_eq!(plan.input(), 0);
    assert_eq!(plan.outputs().collect::<Vec<_>>(), [1]);
    for (index, tensor) in builder.tensors.iter().enumerate() {
        assert_eq!(plan.tensor(index as u16).unwrap(), *tensor);
    }
    assert_eq!(plan.steps().collect::<Vec<_>>(), builder.steps);
    let table = plan.constant(&builder.steps[0].constants[0]).unwrap();
    assert_eq!(table, &builder.constants[..256]);
    let lifetime = plan.lifetime(0).unwrap();
    assert_eq!((lifetime.first, lifetime.last), (0, 1));
    let lifetime = plan.lifetime(1).unwrap();
    assert_eq!((lifetime.first, lifetime.last), (1, 2));
    assert!(plan.tensor(2).is_err() && plan.step(1).is_err());
}
