//! Random plans, random damage.

use crate::convolutions::Conv;
use crate::layers::{sides, window};
use crate::support::{
    Builder, Bytes, Expected, Noise, Threads, arena, arena_for, f32_tensor, output, run, u8_tensor,
};
use proptest::prelude::*;
use zsseg::math::network::kernels::{NetworkKernels, PORTABLE};
use zsseg::plan::{
    Activation, BinaryOp, CoordinateMode, Interpolation, MatrixStrides, Operation, Plan, Runner,
    TensorIndex, Window,
};

/// A plan of `count` random layers in integers.
pub fn random(seed: u64, count: usize) -> Builder {
    let noise = &mut Noise(seed);
    let shape = [3 + noise.below(8), 3 + noise.below(8), 1 + noise.below(6)];
    let mut builder = Builder::new(u8_tensor(shape, 0.02, noise.next() as u8));
    let mut last = 0;
    for _ in 0..count {
        last = layer(&mut builder, noise, last);
    }
    builder.finish(last)
}

fn layer(builder: &mut Builder, noise: &mut Noise, input: TensorIndex) -> TensorIndex {
    match noise.below(11) {
        0 | 1 => conv(builder, noise, input),
        2 => concatenation(builder, noise, input),
        3 | 4 => {
            let window = any_window(noise);
            let with_table = noise.below(2) == 1;
            builder.depthwise_u8(noise, input, window, with_table)
        }
        5 => {
            let from = builder.of(input);
            let output = builder.tensor(u8_tensor(from.shape(), 0.04, 77));
            builder.table_u8(noise, input, output)
        }
        6 => squeeze_and_excite(builder, noise, input),
        7 => {
            let mean = [None, Some(false), Some(true)][noise.below(3) as usize];
            let window = any_window(noise);
            builder.pool_u8(input, Window { dilation_y: 1, dilation_x: 1, ..shrunk(window) }, mean)
        }
        8 => builder.there_and_back(input),
        9 => residual(builder, noise, input),
        _ => moved(builder, noise, input),
    }
}

pub fn any_window(noise: &mut Noise) -> Window {
    window(1 + 2 * noise.below(3) as u16, 1 + noise.below(2) as u16, 1 + noise.below(2) as u16)
}

/// With at most 3 x 3 taps, so that it is not larger than the smallest map.
pub fn shrunk(window: Window) -> Window {
    let kernel = window.kernel_height.min(3);
    let pad = kernel / 2;
    Window { kernel_height: kernel, kernel_width: kernel, pad_top: pad, pad_left: pad, ..window }
}

fn conv(builder: &mut Builder, noise: &mut Noise, input: TensorIndex) -> TensorIndex {
    let window = any_window(noise);
    let from = builder.of(input);
    let [height, width] = sides(&from, &window);
    let groups = if from.channels.is_multiple_of(2) { 1 + noise.below(2) } else { 1 };
    let channels = groups * (1 + noise.below(20));
    let output = builder.tensor(u8_tensor([height, width, channels], 0.03, noise.next() as u8));
    let conv = Conv {
        groups,
        depth_align: [4, 64][noise.below(2) as usize],
        skips_taps: noise.below(2) == 1,
        table: noise.below(2) == 1,
        ..Conv::of(window)
    };
    builder.conv_u8(noise, input, output, conv)
}

/// Two convolutions side by side, written in place.
fn concatenation(builder: &mut Builder, noise: &mut Noise, input: TensorIndex) -> TensorIndex {
    let from = builder.of(input);
    let channels = [1 + noise.below(9), 1 + noise.below(9)];
    let shape = [from.height, from.width, channels[0] + channels[1]];
    let whole = builder.tensor(u8_tensor(shape, 0.03, noise.next() as u8));
    let first = builder.slice(whole, 0, channels[0]);
    let second = builder.slice(whole, channels[0], channels[1]);
    builder.conv_u8(noise, input, first, Conv::of(window(3, 1, 1)));
    builder.conv_u8(noise, input, second, Conv::of(Window::POINT));
    whole
}

/// Multiplies all channels by numbers made from their means.
fn squeeze_and_excite(builder: &mut Builder, noise: &mut Noise, input: TensorIndex) -> TensorIndex {
    let from = builder.of(input);
    let mean = builder.global_average_u8(input);
    let gate = builder.tensor(u8_tensor([1, 1, from.channels], 1.0 / 255.0, 0));
    builder.conv_u8(noise, mean, gate, Conv::of(Window::POINT));
    let output = builder.tensor(u8_tensor(from.shape(), from.scale * 0.6, noise.next() as u8));
    builder.binary_u8(BinaryOp::Multiply, false, [input, gate], output)
}

/// A convolution that adds its input, or an operator that does.
fn residual(builder: &mut Builder, noise: &mut Noise, input: TensorIndex) -> TensorIndex {
    let from = builder.of(input);
    let output = builder.tensor(u8_tensor(from.shape(), 0.025, noise.next() as u8));
    let window = window(3, 1, 1);
    if noise.below(2) == 0 {
        let conv = Conv { residual: Some(input), table: true, ..Conv::of(window) };
        return builder.conv_u8(noise, input, output, conv);
    }
    let other = builder.depthwise_u8(noise, input, window, false);
    let op = [BinaryOp::Add, BinaryOp::Subtract][noise.below(2) as usize];
    builder.binary_u8(op, noise.below(2) == 1, [input, other], output)
}

fn moved(builder: &mut Builder, noise: &mut Noise, input: TensorIndex) -> TensorIndex {
    let [height, width, channels] = builder.of(input).shape();
    match noise.below(4) {
        0 => {
            let shape = [height + 3, width + 2, channels];
            let operation = Operation::Pad { top: 2, left: 1, value: 7.0 };
            let inside = (height as usize, width as usize);
            builder.moved(operation, input, shape, 7.0, move |[y, x, c]| {
                let (y, x) = (y.checked_sub(2)?, x.checked_sub(1)?);
                (y < inside.0 && x < inside.1).then_some([y, x, c])
            })
        }
        1 => builder.moved(
            Operation::Transpose { axes: [1, 0, 2] },
            input,
            [width, height, channels],
            0.0,
            |[y, x, c]| Some([x, y, c]),
        ),
        2 if height > 2 && width > 2 => {
            let operation = Operation::Slice {
                stride_y: 2,
                stride_x: 1,
                offset_y: 1,
                offset_x: 2,
                offset_c: channels - 1,
            };
            builder.moved(operation, input, [height / 2, width - 2, 1], 0.0, move |[y, x, c]| {
                Some([2 * y + 1, x + 2, c + channels as usize - 1])
            })
        }
        _ => builder.moved(
            Operation::Copy,
            input,
            [1, height * width, channels],
            0.0,
            move |[_, x, c]| Some([x / width as usize, x % width as usize, c]),
        ),
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn plans_compute_what_their_steps_say(seed: u64, count in 1usize..7) {
        let builder = random(seed, count);
        let bytes = builder.encode();
        let plan = Plan::new(&bytes).unwrap();
        let input = Noise(seed ^ 1).values(&builder.tensors[0]);
        let want = builder.reference(&input);
        for kernels in NetworkKernels::all() {
            let found = run(&mut Runner::with_kernels(plan, kernels), &input).unwrap();
            prop_assert_eq!(&found, &want, "{}", kernels.name);
        }
    }

    #[test]
    fn a_run_in_pieces_or_parts_gives_the_same_bits(
        seed: u64,
        count in 1usize..7,
        pieces in 1usize..5,
        threads in 2usize..6,
    ) {
        let pool = Threads::default();
        let mut builder = random(seed, count);
        // Steps that seem long are cut row by row.
        builder.steps.iter_mut().for_each(|step| step.macs = u64::MAX);
        let bytes = builder.encode();
        let plan = Plan::new(&bytes).unwrap();
        let input = Noise(seed ^ 2).values(&builder.tensors[0]);
        for kernels in NetworkKernels::all() {
            let mut runner = Runner::with_kernels(plan, kernels);
            let mut whole = arena(&plan, &input);
            runner.run(whole.as_mut()).unwrap();
            let mut sliced = arena(&plan, &input);
            let mut calls = 1;
            while !runner.run_pieces(sliced.as_mut(), pieces).unwrap() {
                calls += 1;
            }
            prop_assert!(calls * pieces >= builder.steps.len());
            prop_assert_eq!(output(&plan, &whole), output(&plan, &sliced), "{}", kernels.name);

            runner.set_threads(Some(&pool), threads);
            let mut cut = arena_for(&plan, &input, threads);
            runner.run(cut.as_mut()).unwrap();
            prop_assert_eq!(output(&plan, &whole), output(&plan, &cut), "{}", kernels.name);

            let mut stepped = arena(&plan, &input);
            let mut done = runner.run_pieces(stepped.as_mut(), 1).unwrap();
            let mut calls = usize::from(done);
            while !done {
                done = runner.run_steps(stepped.as_mut(), 1).unwrap();
                calls += 1;
            }
            prop_assert!((builder.steps.len() - 1..=builder.steps.len()).contains(&calls));
            prop_assert_eq!(output(&plan, &whole), output(&plan, &stepped), "{}", kernels.name);
        }
    }
}

/// A plan of layers in floats.
fn floats() -> Builder {
    let noise = &mut Noise(30);
    let mut builder = Builder::new(f32_tensor([6, 5, 12]));
    let whole = builder.tensor(f32_tensor([6, 5, 18]));
    let (left, right) = (builder.slice(whole, 0, 12), builder.slice(whole, 12, 6));
    builder.conv_f32(noise, 0, left, (window(3, 1, 1), 1, true), Some(0));
    builder.conv_f32(noise, 0, right, (Window::POINT, 3, false), None);
    let mut last = builder.depthwise_f32(noise, whole, window(3, 1, 2), Activation::Prelu);
    let operations = [
        (Operation::Softmax, [6, 5, 18]),
        (Operation::Unary { activation: Activation::Log }, [6, 5, 18]),
        (Operation::Unary { activation: Activation::Gelu }, [6, 5, 18]),
        (Operation::AveragePool { window: window(3, 1, 1), count_include_pad: true }, [6, 5, 18]),
        (
            Operation::Resize {
                interpolation: Interpolation::Bilinear,
                coordinates: CoordinateMode::HalfPixel,
                scale_y: 0.5,
                scale_x: 1.4,
            },
            [3, 7, 18],
        ),
        (Operation::Transpose { axes: [2, 0, 1] }, [18, 3, 7]),
        (Operation::Copy, [1, 21, 18]),
    ];
    for (operation, shape) in operations {
        let output = builder.tensor(f32_tensor(shape));
        last = builder.step(operation, &[last], output, &[], unknown());
    }
    let slices = [0, 6, 12].map(|first| builder.slice(last, first, 6));
    let attended = builder.tensor(f32_tensor([1, 21, 6]));
    let operation = Operation::Attention { heads: 2, head_channels: 3, factor: 0.5 };
    builder.step(operation, &slices, attended, &[], unknown());
    let squares = products(&mut builder, attended);
    let means = builder.tensor(f32_tensor([1, 1, 6]));
    builder.step(Operation::GlobalAverage, &[attended], means, &[], unknown());
    let sum = builder.tensor(f32_tensor([1, 21, 6]));
    let operation = Operation::Binary {
        op: BinaryOp::Divide,
        swapped: true,
        activation: Activation::Tanh,
        low: 0,
        high: 255,
    };
    builder.step(operation, &[attended, means], sum, &[], unknown());
    let mut builder = builder.finish(sum);
    builder.outputs[1] = squares;
    builder
}

/// Products of an activation with itself, in floats and then in bytes.
fn products(builder: &mut Builder, attended: TensorIndex) -> TensorIndex {
    let products = builder.tensor(f32_tensor([2, 21, 21]));
    let strides = |batch, row, column| MatrixStrides { batch, row, column };
    let operation = Operation::MatrixProduct {
        batch: 2,
        rows: 21,
        depth: 3,
        columns: 21,
        left: strides(3, 6, 1),
        right: strides(3, 1, 6),
        output: strides(441, 21, 1),
        factor: 0.5,
    };
    builder.step(operation, &[attended, attended], products, &[], unknown());
    let bytes = builder.tensor(u8_tensor([2, 21, 21], 0.1, 7));
    builder.step(Operation::Quantize, &[products], bytes, &[], unknown());
    let squares = builder.tensor(u8_tensor([2, 21, 21], 0.2, 70));
    let operation = Operation::MatrixProduct {
        batch: 2,
        rows: 21,
        depth: 21,
        columns: 21,
        left: strides(441, 21, 1),
        right: strides(441, 21, 1),
        output: strides(441, 21, 1),
        factor: 0.1,
    };
    builder.step(operation, &[bytes, bytes], squares, &[], unknown());
    squares
}

/// What a step computes that is only run.
fn unknown() -> Expected {
    Box::new(|_| unreachable!())
}

type Damage = (Vec<(prop::sample::Index, u8)>, Option<prop::sample::Index>);

/// Some bytes changed, most of them in the tables, and perhaps an end too early.
fn damages() -> impl Strategy<Value = Damage> {
    let bytes = prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4);
    (bytes, prop::option::weighted(0.1, any::<prop::sample::Index>()))
}

/// Whether a damaged plan is refused, or else runs to the end with all kernels.
fn survives(builder: &Builder, (changes, length): Damage) -> bool {
    let mut bytes = builder.encode().to_vec();
    let tables = bytes.len() - builder.constants.len();
    for (place, value) in changes {
        let place = place.index(tables + 64).min(bytes.len() - 1);
        bytes[place] ^= value;
    }
    if let Some(length) = length {
        bytes.truncate(length.index(bytes.len()));
    }
    let bytes = Bytes::of(&bytes);
    let Ok(plan) = Plan::new(&bytes) else { return true };
    assert!(plan.arena_bytes() < 1 << 20);
    [NetworkKernels::detect(), PORTABLE].into_iter().all(|kernels| {
        let mut arena = Bytes::zeros(plan.arena_bytes());
        Runner::with_kernels(plan, kernels).run(arena.as_mut()).is_ok()
    })
}

#[test]
fn the_plan_in_floats_is_good() {
    let builder = floats();
    let bytes = builder.encode();
    let plan = Plan::new(&bytes).unwrap();
    let mut arena = Bytes::zeros(plan.arena_bytes());
    Runner::new(plan).run(arena.as_mut()).unwrap();
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn damaged_plans_are_refused_or_run_to_the_end(seed in 0u64..40, damage in damages()) {
        prop_assert!(survives(&random(seed, 4), damage));
    }

    #[test]
    fn damaged_plans_in_floats_are_refused_or_run_to_the_end(damage in damages()) {
        prop_assert!(survives(&floats(), damage));
    }
}
