//! Chains of steps that take turns: the values of whole layers, in buffers of a few rows.

use crate::convolutions::Conv;
use crate::layers::{sides, window};
use crate::random::{any_window, shrunk};
use crate::support::{Builder, Noise, check_exactly, f32_tensor, run, u8_tensor};
use proptest::prelude::*;
use zsseg::math::network::kernels::NetworkKernels;
use zsseg::plan::{
    Activation, BinaryOp, MAX_CHAIN_STEPS, NO_TENSOR, Operation, Plan, Runner, TensorIndex, Window,
};
use zsseg::status::{Place, Status};

/// A layer that reads its input by rows, from a map of at least two rows to another.
fn layer(builder: &mut Builder, noise: &mut Noise, input: TensorIndex) -> TensorIndex {
    let from = builder.of(input);
    let mut window = any_window(noise);
    if from.height < 3 {
        window = Window { stride_y: 1, ..window };
    }
    let [height, width] = sides(&from, &window);
    match noise.below(5) {
        0 => {
            let channels = 1 + noise.below(20);
            let output = u8_tensor([height, width, channels], 0.03, noise.next() as u8);
            let output = builder.tensor(output);
            let conv = Conv { skips_taps: noise.below(2) == 1, ..Conv::of(window) };
            builder.conv_u8(noise, input, output, conv)
        }
        1 => {
            let shape = [from.height, from.width, 1 + noise.below(40)];
            let output = builder.tensor(u8_tensor(shape, 0.03, noise.next() as u8));
            let conv = Conv { table: noise.below(2) == 1, ..Conv::of(Window::POINT) };
            builder.conv_u8(noise, input, output, conv)
        }
        2 => {
            let with_table = noise.below(2) == 1;
            builder.depthwise_u8(noise, input, window, with_table)
        }
        3 => {
            let output = builder.tensor(u8_tensor(from.shape(), 0.04, 77));
            builder.table_u8(noise, input, output)
        }
        _ => {
            let mean = [None, Some(false), Some(true)][noise.below(3) as usize];
            let window = Window { dilation_y: 1, dilation_x: 1, ..shrunk(window) };
            builder.pool_u8(input, window, mean)
        }
    }
}

/// A layer, `count` layers in a chain, of which the last may add the chain's input or its own
/// size's, and a layer.
fn chained(seed: u64, count: usize, strip_rows: u32) -> Builder {
    let noise = &mut Noise(seed);
    let shape = [4 + noise.below(24), 3 + noise.below(8), 1 + noise.below(6)];
    let mut builder = Builder::new(u8_tensor(shape, 0.02, noise.next() as u8));
    let read = layer(&mut builder, noise, 0);
    let first = builder.steps.len();
    let mut last = read;
    for _ in 0..count - 1 {
        last = layer(&mut builder, noise, last);
    }
    let [from, to] = [builder.of(read), builder.of(last)];
    last = if from.shape() == to.shape() && count > 1 {
        let output = builder.tensor(u8_tensor(from.shape(), 0.025, noise.next() as u8));
        match noise.below(2) {
            0 => {
                let conv = Conv { residual: Some(read), ..Conv::of(window(3, 1, 1)) };
                builder.conv_u8(noise, last, output, conv)
            }
            _ => builder.binary_u8(BinaryOp::Add, false, [last, read], output),
        }
    } else {
        layer(&mut builder, noise, last)
    };
    let steps = first..builder.steps.len();
    let end = layer(&mut builder, noise, last);
    let strip_rows = strip_rows.min(builder.of(last).height);
    builder.chain(steps, strip_rows);
    builder.finish(end)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn chains_compute_what_their_steps_say(
        seed: u64,
        count in 2usize..=MAX_CHAIN_STEPS,
        strip_rows in 1u32..12,
    ) {
        check_exactly(&chained(seed, count, strip_rows));
    }

    #[test]
    fn a_buffer_with_a_row_less_is_refused(
        seed: u64,
        count in 2usize..=MAX_CHAIN_STEPS,
        strip_rows in 1u32..6,
        which: prop::sample::Index,
    ) {
        let mut builder = chained(seed, count, strip_rows);
        let buffers = builder.tensors.iter_mut().filter(|tensor| tensor.buffered_rows > 1);
        let mut buffers: Vec<_> = buffers.collect();
        prop_assume!(!buffers.is_empty());
        let place = which.index(buffers.len());
        buffers[place].buffered_rows -= 1;
        let error = Plan::new(&builder.encode()).unwrap_err();
        prop_assert_eq!(error.status(), Status::BundleContent);
    }
}

/// Two chains of layers in floats, one behind the other.
fn floats() -> Builder {
    let noise = &mut Noise(8);
    let mut builder = Builder::new(f32_tensor([19, 7, 5]));
    let wide = builder.tensor(f32_tensor([19, 7, 24]));
    builder.conv_f32(noise, 0, wide, (Window::POINT, 1, false), None);
    let deep = builder.depthwise_f32(noise, wide, window(5, 2, 1), Activation::HardSwish);
    let narrow = builder.tensor(f32_tensor([10, 4, 6]));
    builder.conv_f32(noise, deep, narrow, (window(3, 1, 2), 1, false), None);
    let second = builder.tensor(f32_tensor([10, 4, 9]));
    builder.conv_f32(noise, narrow, second, (window(3, 1, 1), 1, true), None);
    let soft = builder.tensor(f32_tensor([10, 4, 9]));
    let unknown = || -> crate::support::Expected { Box::new(|_| unreachable!()) };
    builder.step(Operation::Softmax, &[second], soft, &[], unknown());
    let log = builder.tensor(f32_tensor([10, 4, 9]));
    let operation = Operation::Unary { activation: Activation::Log };
    builder.step(operation, &[soft], log, &[], unknown());
    builder.finish(log)
}

#[test]
fn chains_of_floats_give_the_bits_of_whole_layers() {
    let whole = floats();
    let bytes = whole.encode();
    let input = Noise(4).values(&whole.tensors[0]);
    for strip_rows in [1, 2, 3, 7, 10] {
        let mut chained = floats();
        chained.chain(0..3, strip_rows);
        chained.chain(3..6, strip_rows);
        let chained_bytes = chained.encode();
        let (plan, chained) = (Plan::new(&bytes).unwrap(), Plan::new(&chained_bytes).unwrap());
        assert!(strip_rows == 10 || chained.arena_bytes() < plan.arena_bytes());
        for kernels in NetworkKernels::all() {
            let want = run(&mut Runner::with_kernels(plan, kernels), &input).unwrap();
            let found = run(&mut Runner::with_kernels(chained, kernels), &input).unwrap();
            assert_eq!(want, found, "{}", kernels.name);
        }
    }
}

/// Three layers with 9 rows of output, in strips of two rows.
fn good() -> Builder {
    let noise = &mut Noise(3);
    let mut builder = Builder::new(u8_tensor([17, 5, 4], 0.02, 100));
    let wide = builder.tensor(u8_tensor([17, 5, 24], 0.03, 90));
    builder.conv_u8(noise, 0, wide, Conv::of(Window::POINT));
    let deep = builder.depthwise_u8(noise, wide, window(3, 2, 1), false);
    let narrow = builder.tensor(u8_tensor([9, 3, 6], 0.03, 70));
    builder.conv_u8(noise, deep, narrow, Conv::of(Window::POINT));
    builder.chain(0..3, 2);
    builder.finish(narrow)
}

fn expect(step: usize, status: Status, reason: &str, change: impl FnOnce(&mut Builder)) {
    let mut builder = good();
    change(&mut builder);
    let error = Plan::new(&builder.encode()).unwrap_err();
    assert_eq!((error.status(), error.place()), (status, Some(Place::step(step))), "{error}");
    assert!(error.what().contains(reason), "{error}, not {reason}");
}

#[test]
fn broken_chains_are_refused() {
    let builder = good();
    check_exactly(&builder);
    let [wide, deep, narrow] = [0, 1, 2].map(|step| usize::from(builder.steps[step].output));
    let content = Status::BundleContent;
    expect(0, content, "rows of a strip", |plan| plan.steps[2].strip_rows = 0);
    expect(0, content, "rows of a strip", |plan| plan.steps[1].strip_rows = 1);
    expect(0, content, "rows in memory", |plan| plan.steps[2].strip_rows = 3);
    expect(0, content, "rows in memory", |plan| plan.steps[2].strip_rows = 10);
    expect(0, content, "rows in memory", |plan| plan.tensors[wide].buffered_rows = 4);
    expect(0, content, "some rows", |plan| plan.tensors[wide].buffered_rows = 18);
    expect(2, content, "some rows", |plan| plan.tensors[narrow].buffered_rows = 9);
    expect(0, content, "some rows", |plan| plan.tensors[0].buffered_rows = 17);
    expect(0, content, "some rows", |plan| plan.outputs[1] = wide as TensorIndex);
    expect(1, content, "some rows", |plan| {
        let slice = plan.slice(deep as TensorIndex, 0, 4);
        plan.steps[2].inputs[1] = slice;
    });
    expect(1, content, "some rows", |plan| {
        plan.steps[2].inputs[1] = deep as TensorIndex;
    });
    expect(1, content, "before it is written", |plan| plan.steps.swap(1, 2));
    assert_ne!(builder.steps[1].scratch, NO_TENSOR);
    expect(1, content, "working memory", |plan| plan.steps[1].scratch = wide as TensorIndex);
}

#[test]
fn buffers_that_meet_anything_of_their_chain_are_refused() {
    let builder = good();
    let [wide, deep, narrow] = [0, 1, 2].map(|step| usize::from(builder.steps[step].output));
    // None of these meet in a plan of whole layers.
    for [one, other] in [[0, deep], [0, narrow], [wide, narrow]] {
        let mut builder = good();
        builder.tensors[one].offset_bytes = builder.tensors[other].offset_bytes;
        let error = Plan::new(&builder.encode()).unwrap_err();
        assert_eq!(error.status(), Status::BundleContent, "{error}");
    }
}

#[test]
fn steps_that_need_all_rows_and_long_chains_are_refused() {
    let noise = &mut Noise(5);
    let mut builder = Builder::new(u8_tensor([6, 5, 4], 0.02, 100));
    let mut last = 0;
    for _ in 0..=MAX_CHAIN_STEPS {
        let output = builder.tensor(u8_tensor([6, 5, 4], 0.03, 70));
        last = builder.table_u8(noise, last, output);
    }
    builder.chain(0..MAX_CHAIN_STEPS + 1, 1);
    let error = Plan::new(&builder.finish(last).encode()).unwrap_err();
    assert_eq!(error.status(), Status::LimitExceeded, "{error}");

    let mut builder = Builder::new(u8_tensor([6, 5, 4], 0.02, 100));
    let wide = builder.tensor(u8_tensor([6, 5, 4], 0.03, 70));
    builder.table_u8(noise, 0, wide);
    let turned = builder.moved(
        Operation::Transpose { axes: [1, 0, 2] },
        wide,
        [5, 6, 4],
        0.0,
        |[y, x, c]| Some([x, y, c]),
    );
    builder.chain(0..2, 5);
    let error = Plan::new(&builder.finish(turned).encode()).unwrap_err();
    assert_eq!(error.status(), Status::BundleContent, "{error}");
    assert!(error.what().contains("cannot be part of a chain"), "{error}");
}
