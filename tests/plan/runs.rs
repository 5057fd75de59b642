//! Plans made by hand, against the plainest statement of their steps.

use crate::convolutions::Conv;
use crate::layers::{dense, window};
use crate::reference::Values;
use crate::support::{
    Builder, Noise, Threads, arena, arena_for, check_exactly, check_nearly, f32_tensor, output,
    u8_tensor,
};
use zsseg::plan::{
    BinaryOp, Lifetime, NO_TENSOR, Operation, Plan, Runner, Tensor, TensorIndex, Window,
};
use zsseg::status::{Place, Status};
use zsseg::threads::{Part, ThreadPool};

#[test]
fn steps_in_place() {
    let noise = &mut Noise(4);
    let mut builder = Builder::new(u8_tensor([5, 4, 6], 0.02, 100));
    let other = builder.depthwise_u8(noise, 0, window(3, 1, 1), true);
    let in_place = |builder: &mut Builder, input: TensorIndex, scale: f32| {
        let from = builder.of(input);
        builder.tensors.push(Tensor { scale, ..from });
        builder.tensors.len() as TensorIndex - 1
    };
    let sum = in_place(&mut builder, 0, 0.04);
    builder.binary_u8(BinaryOp::Subtract, true, [0, other], sum);
    let looked_up = in_place(&mut builder, sum, 0.1);
    builder.table_u8(noise, sum, looked_up);
    // Another shape of the same bytes.
    let reshaped = in_place(&mut builder, looked_up, 0.1);
    let shape = [1, 10, 12];
    builder.tensors[usize::from(reshaped)] =
        Tensor { offset_bytes: 0, ..dense(builder.of(looked_up), shape) };
    builder.step(
        Operation::Copy,
        &[looked_up],
        reshaped,
        &[],
        Box::new(|inputs| Values { shape: [1, 10, 12], data: inputs[0].data.clone() }),
    );
    let product = in_place(&mut builder, reshaped, 0.2);
    builder.binary_u8(BinaryOp::Multiply, false, [reshaped, other], product);
    // Which has another shape.
    let bytes = builder.finish(product).encode();
    let error = Plan::new(&bytes).unwrap_err();
    assert_eq!((error.place(), error.what()), (Some(Place::Step(4)), "shape of a tensor"));
}

#[test]
fn a_chain_in_place() {
    let noise = &mut Noise(5);
    let mut builder = Builder::new(u8_tensor([5, 4, 6], 0.02, 100));
    let other = builder.depthwise_u8(noise, 0, window(3, 1, 1), true);
    let mut last = 0;
    for round in 0..4 {
        let from = builder.of(last);
        builder.tensors.push(Tensor { scale: 0.02 * (2 + round) as f32, ..from });
        let next = builder.tensors.len() as TensorIndex - 1;
        match round {
            0 => builder.binary_u8(BinaryOp::Subtract, true, [last, other], next),
            1 => builder.table_u8(noise, last, next),
            2 => builder.binary_u8(BinaryOp::Multiply, false, [last, other], next),
            _ => builder.binary_u8(BinaryOp::Add, false, [last, other], next),
        };
        last = next;
    }
    let builder = builder.finish(last);
    let bytes = builder.encode();
    let plan = Plan::new(&bytes).unwrap();
    assert_eq!(plan.lifetime(0), Some(Lifetime { first: 0, last: 2 }));
    check_exactly(&builder);
}

#[test]
fn all_ways_to_repeat_the_second_operand() {
    let noise = &mut Noise(6);
    for op in [BinaryOp::Add, BinaryOp::Subtract, BinaryOp::Multiply] {
        for shape in [[4, 5, 7], [1, 1, 7], [4, 5, 1], [1, 1, 1]] {
            let mut builder = Builder::new(u8_tensor([4, 5, 7], 0.02, 100));
            let [height, width, channels] = shape.map(|side: u32| side);
            let operation = Operation::Slice {
                stride_y: if height == 1 { 4 } else { 1 },
                stride_x: if width == 1 { 5 } else { 1 },
                offset_y: 0,
                offset_x: 0,
                offset_c: 7 - channels,
            };
            let first = 7 - channels as usize;
            let other =
                builder.moved(operation, 0, shape, 0.0, move |[y, x, c]| Some([y, x, c + first]));
            let sum = builder.tensor(u8_tensor([4, 5, 7], 0.03, noise.next() as u8));
            builder.binary_u8(op, false, [0, other], sum);
            check_exactly(&builder.finish(sum));
        }
    }
}

#[test]
fn dilated_convolutions_skip_taps() {
    let noise = &mut Noise(7);
    for (align, dilation) in [(4, 3), (64, 5), (64, 6)] {
        let mut builder = Builder::new(u8_tensor([11, 12, 40], 0.02, 100));
        let sum = builder.tensor(u8_tensor([11, 12, 24], 0.03, 20));
        let conv =
            Conv { depth_align: align, skips_taps: true, ..Conv::of(window(3, 1, dilation)) };
        builder.conv_u8(noise, 0, sum, conv);
        check_exactly(&builder.finish(sum));
    }
}

#[test]
fn convolutions_to_floats() {
    let noise = &mut Noise(8);
    for window in [Window::POINT, window(3, 2, 1)] {
        let mut builder = Builder::new(u8_tensor([7, 9, 12], 0.02, 100));
        let [height, width] = crate::layers::sides(&builder.of(0), &window);
        let logits = builder.tensor(f32_tensor([height, width, 21]));
        builder.conv_u8(noise, 0, logits, Conv::of(window));
        check_nearly(&builder.finish(logits));
    }
}

#[test]
fn convolutions_in_floats() {
    let noise = &mut Noise(9);
    for (window, groups, f16) in
        [(Window::POINT, 1, false), (window(3, 1, 1), 1, true), (window(3, 1, 2), 2, false)]
    {
        let mut builder = Builder::new(f32_tensor([7, 9, 12]));
        let first = builder.tensor(f32_tensor([7, 9, 20]));
        builder.conv_f32(noise, 0, first, (window, groups, f16), None);
        let whole = builder.tensor(f32_tensor([7, 9, 28]));
        let (left, right) = (builder.slice(whole, 0, 20), builder.slice(whole, 20, 8));
        builder.conv_f32(noise, first, left, (window, groups, f16), Some(first));
        builder.conv_f32(noise, first, right, (Window::POINT, 1, f16), None);
        let last = builder.tensor(f32_tensor([7, 9, 28]));
        builder.conv_f32(noise, whole, last, (Window::POINT, 1, f16), Some(whole));
        check_nearly(&builder.finish(last));
    }
}

#[test]
fn views_of_written_tensors() {
    let noise = &mut Noise(10);
    let mut builder = Builder::new(u8_tensor([4, 5, 8], 0.02, 100));
    let of_input = builder.slice(0, 2, 5);
    let first = builder.depthwise_u8(noise, of_input, window(3, 1, 1), false);
    let of_first = builder.slice(first, 1, 3);
    let whole = builder.tensor(u8_tensor([4, 5, 9], 0.03, 20));
    let (left, right) = (builder.slice(whole, 0, 6), builder.slice(whole, 6, 3));
    let of_left = builder.slice(whole, 1, 2);
    builder.conv_u8(noise, of_first, left, Conv::of(window(3, 1, 1)));
    // Before the right slice is written.
    let early = builder.depthwise_u8(noise, of_left, window(3, 1, 1), false);
    builder.conv_u8(noise, early, right, Conv::of(window(3, 1, 1)));
    let last = builder.depthwise_u8(noise, whole, window(3, 1, 1), false);
    check_exactly(&builder.finish(last));
}

#[test]
fn memory_is_used_again() {
    let noise = &mut Noise(12);
    let mut builder = Builder::new(u8_tensor([6, 6, 8], 0.02, 100));
    let mut last = 0;
    for _ in 0..6 {
        last = builder.depthwise_u8(noise, last, window(3, 1, 1), true);
    }
    let mut builder = builder.finish(last);
    let spread = builder.arena_bytes;
    // Maps take turns in two places, working memory shares a third.
    let map = builder.of(0).footprint_bytes();
    let mut end = 0;
    let mut turn = 0;
    for tensor in &mut builder.tensors {
        let is_map = tensor.shape() == [6, 6, 8];
        tensor.offset_bytes = if is_map { map * (turn % 2) } else { 2 * map };
        turn += u64::from(is_map);
        end = end.max(tensor.offset_bytes + tensor.footprint_bytes());
    }
    builder.arena_bytes = end;
    assert!(end < spread / 2);
    check_exactly(&builder);
}

#[test]
fn arenas_that_do_not_fit() {
    let builder = crate::random::random(3, 2);
    let bytes = builder.encode();
    let plan = Plan::new(&bytes).unwrap();
    let input = Noise(1).values(&builder.tensors[0]);
    let mut runner = Runner::new(plan);
    let mut arena = arena(&plan, &input);
    let len = arena.len();
    let error = runner.run(&mut arena.as_mut()[..len - 1]).unwrap_err();
    assert_eq!(error.status(), Status::ArenaTooSmall);
    let error = runner.run_pieces(&mut arena.as_mut()[1..], 1).unwrap_err();
    assert_eq!(error.status(), Status::ArenaAlignment);
    runner.run(arena.as_mut()).unwrap();
    assert_eq!(output(&plan, &arena), builder.reference(&input));
}

#[test]
fn a_frame_that_is_given_up_leaves_nothing() {
    let builder = crate::random::random(8, 6);
    let bytes = builder.encode();
    let plan = Plan::new(&bytes).unwrap();
    let input = Noise(1).values(&builder.tensors[0]);
    let mut runner = Runner::new(plan);
    assert!(!runner.run_pieces(arena(&plan, &input).as_mut(), 2).unwrap());
    assert!(runner.next_step() > 0);
    runner.restart();
    assert_eq!(runner.next_step(), 0);
    let mut arena = arena(&plan, &input);
    runner.run(arena.as_mut()).unwrap();
    assert_eq!(output(&plan, &arena), builder.reference(&input));
    assert_ne!(plan.outputs().next(), Some(NO_TENSOR));
}

/// Three convolutions of eight rows, with a scale of steps that seem long.
fn long_convolutions() -> Builder {
    let noise = &mut Noise(12);
    let mut builder = Builder::new(u8_tensor([8, 9, 5], 0.1, 120));
    let mut last = 0;
    for _ in 0..3 {
        let output = builder.tensor(u8_tensor([8, 9, 5], 0.1, 120));
        last = builder.conv_u8(noise, last, output, Conv::of(window(3, 1, 1)));
    }
    builder.steps.iter_mut().for_each(|step| step.macs = u64::MAX);
    builder.finish(last)
}

#[test]
fn as_many_parts_as_threads_and_memory_allow() {
    let builder = long_convolutions();
    let bytes = builder.encode();
    let plan = Plan::new(&bytes).unwrap();
    let input = Noise(1).values(&builder.tensors[0]);
    let want = builder.reference(&input);
    assert!(plan.arena_bytes_for(2) > plan.arena_bytes());
    // Memory and threads, and the parts of each convolution; 0 where the pool is not asked.
    for (memory, threads, parts) in
        [(4, 4, 4), (4, 2, 2), (2, 4, 2), (1, 4, 0), (4, 1, 0), (99, 99, 8)]
    {
        let pool = Threads::default();
        let mut runner = Runner::new(plan);
        runner.set_threads(Some(&pool), threads);
        let mut arena = arena_for(&plan, &input, memory);
        runner.run(arena.as_mut()).unwrap();
        assert_eq!(output(&plan, &arena), want);
        assert_eq!(pool.parts.into_inner(), 3 * parts);
    }
}

#[test]
fn steps_that_are_too_short_are_not_cut() {
    let mut builder = long_convolutions();
    builder.steps.iter_mut().for_each(|step| step.macs = 1 << 18);
    let bytes = builder.encode();
    let plan = Plan::new(&bytes).unwrap();
    let input = Noise(1).values(&builder.tensors[0]);
    let pool = Threads::default();
    let mut runner = Runner::new(plan);
    runner.set_threads(Some(&pool), 8);
    let mut arena = arena_for(&plan, &input, 8);
    runner.run(arena.as_mut()).unwrap();
    assert_eq!(output(&plan, &arena), builder.reference(&input));
    assert_eq!(pool.parts.into_inner(), 0);
}

/// Runs some parts, some of them twice, others never.
struct Unreliable;

impl ThreadPool for Unreliable {
    fn run(&self, parts: &mut [&mut dyn Part]) {
        for part in parts.iter_mut().rev().step_by(2) {
            part.run();
            part.run();
        }
    }
}

#[test]
fn parts_that_a_pool_leaves_out_are_made_all_the_same() {
    let builder = long_convolutions();
    let bytes = builder.encode();
    let plan = Plan::new(&bytes).unwrap();
    let input = Noise(1).values(&builder.tensors[0]);
    let mut runner = Runner::new(plan);
    runner.set_threads(Some(&Unreliable), 5);
    let mut arena = arena_for(&plan, &input, 5);
    runner.run(arena.as_mut()).unwrap();
    assert_eq!(output(&plan, &arena), builder.reference(&input));
}
