//! Every kind of damage is refused, with the number of the step that could not be run.

use crate::convolutions::Conv;
use crate::layers::{dense, window};
use crate::support::{Builder, Bytes, Noise, f32_tensor, u8_tensor};
use zsseg::plan::layout::{HeaderRecord, StepRecord, TensorRecord};
use zsseg::plan::{
    Activation, BinaryOp, Constant, NO_TENSOR, Operation, Plan, Tensor, Window, encode,
};
use zsseg::status::{Error, Place, Status};

/// Input 0; step 0: a convolution to 1 (working memory 2); step 1: a look-up to 3; step 2: a
/// convolution to the slice 5 of 4, which adds nothing; step 3: one to the slice 6 of 4; step 4: adds
/// 4 and 4's other form 10 ... and so on: see the body.
struct Good {
    builder: Builder,
    conv_scratch: usize,
    slices: [usize; 2],
    whole: usize,
    table: usize,
    sum: usize,
    float: usize,
}

fn good() -> Good {
    let noise = &mut Noise(11);
    let mut builder = Builder::new(u8_tensor([6, 5, 4], 0.02, 100));
    let first = builder.tensor(u8_tensor([6, 5, 8], 0.03, 90));
    builder.conv_u8(noise, 0, first, Conv::of(window(3, 1, 1)));
    let conv_scratch = builder.tensors.len() - 1;
    let table = builder.tensor(u8_tensor([6, 5, 8], 0.05, 80));
    builder.table_u8(noise, first, table);
    let whole = builder.tensor(u8_tensor([6, 5, 8], 0.03, 70));
    let slices = [builder.slice(whole, 0, 3), builder.slice(whole, 3, 5)];
    builder.conv_u8(noise, table, slices[0], Conv::of(Window::POINT));
    builder.conv_u8(noise, table, slices[1], Conv::of(Window::POINT));
    let sum = builder.tensor(u8_tensor([6, 5, 8], 0.04, 60));
    builder.binary_u8(BinaryOp::Add, false, [whole, table], sum);
    let float = builder.tensor(f32_tensor([6, 5, 2]));
    builder.conv_u8(noise, sum, float, Conv::of(Window::POINT));
    let index = |tensor: u16| usize::from(tensor);
    Good {
        conv_scratch,
        slices: slices.map(index),
        whole: index(whole),
        table: index(table),
        sum: index(sum),
        float: index(float),
        builder: builder.finish(float),
    }
}

const TABLE: usize = 1;
const FIRST_SLICE: usize = 2;
const SECOND_SLICE: usize = 3;
const SUM: usize = 4;
const FLOAT: usize = 5;

fn opened(builder: &Builder) -> Result<(), Error> {
    Plan::new(&builder.encode()).map(|_| ())
}

/// The error of a plan after `change`.
fn refused(change: impl FnOnce(&mut Good)) -> Error {
    let mut plan = good();
    change(&mut plan);
    opened(&plan.builder).unwrap_err()
}

/// The plan is refused with this status, at this step, for this reason.
fn expect(step: usize, status: Status, reason: &str, change: impl FnOnce(&mut Good)) {
    let error = refused(change);
    assert_eq!(error.status(), status, "{error}");
    assert_eq!(error.place(), Some(Place::step(step)), "{error}");
    assert!(error.what().contains(reason), "{error}, not {reason}");
}

fn expect_content(step: usize, reason: &str, change: impl FnOnce(&mut Good)) {
    expect(step, Status::BundleContent, reason, change);
}

#[test]
fn the_undamaged_plan_is_good() {
    opened(&good().builder).unwrap();
}

#[test]
fn places_outside_the_arena() {
    expect_content(TABLE, "outside the arena", |plan| {
        let end = plan.builder.arena_bytes;
        plan.builder.tensors[plan.table].offset_bytes = end - 64;
    });
    expect_content(TABLE, "outside the arena", |plan| {
        plan.builder.tensors[plan.table].offset_bytes = u64::MAX - 63;
    });
    expect_content(FLOAT, "outside the arena", |plan| plan.builder.arena_bytes -= 64);
    expect_content(TABLE, "multiple of 64", |plan| {
        plan.builder.tensors[plan.table].offset_bytes += 4;
    });
    let error = refused(|plan| plan.builder.arena_bytes += 64);
    assert_eq!(error.what(), "arena of the plan");
    let error = refused(|plan| plan.builder.arena_bytes += 1);
    assert_eq!(error.what(), "arena of the plan");
    let error = refused(|plan| plan.builder.arena_bytes = 1 << 63);
    assert_eq!(error.status(), Status::LimitExceeded);
}

#[test]
fn sizes_out_of_range() {
    for side in 0..4 {
        let change = |value: u32| {
            move |plan: &mut Good| {
                let tensor = &mut plan.builder.tensors[plan.table];
                let sides = [
                    &mut tensor.height,
                    &mut tensor.width,
                    &mut tensor.channels,
                    &mut tensor.pixel_stride,
                ];
                *sides.into_iter().nth(side).unwrap() = value;
            }
        };
        expect_content(TABLE, "side of a tensor", change(0));
        expect(TABLE, Status::LimitExceeded, "side of a tensor", change((1 << 20) + 1));
        expect(TABLE, Status::LimitExceeded, "side of a tensor", change(u32::MAX));
    }
    expect_content(TABLE, "outside the arena", |plan| {
        let side = 1 << 20;
        let tensor = &mut plan.builder.tensors[plan.table];
        *tensor = Tensor { pixel_stride: side, ..dense(*tensor, [side, side, side]) };
    });
    expect_content(TABLE, "pixel stride", |plan| {
        plan.builder.tensors[plan.table].pixel_stride -= 1
    });
}

#[test]
fn quantisation_that_is_none() {
    for scale in [0.0, -1.0, f32::NAN, f32::INFINITY, 1e-40] {
        expect_content(TABLE, "quantisation", |plan| {
            plan.builder.tensors[plan.table].scale = scale
        });
    }
    expect_content(FLOAT, "quantisation", |plan| plan.builder.tensors[plan.float].scale = 2.0);
    expect_content(FLOAT, "quantisation", |plan| plan.builder.tensors[plan.float].zero_point = 1);
    expect_content(SUM, "ratio of two scales", |plan| plan.builder.tensors[plan.sum].scale = 1e-35);
}

#[test]
fn slices_that_are_none() {
    expect_content(FIRST_SLICE, "differs from its parent", |plan| {
        plan.builder.tensors[plan.slices[0]].scale *= 2.0;
    });
    expect_content(FIRST_SLICE, "differs from its parent", |plan| {
        plan.builder.tensors[plan.slices[0]].pixel_stride += 1;
    });
    expect_content(SECOND_SLICE, "beyond its parent", |plan| {
        plan.builder.tensors[plan.slices[1]].offset_bytes += 1;
    });
    expect_content(FIRST_SLICE, "offset of a slice", |plan| {
        plan.builder.tensors[plan.slices[0]].offset_bytes -= 64;
    });
    expect_content(FIRST_SLICE, "parent of a tensor", |plan| {
        plan.builder.tensors[plan.slices[0]].parent = 999;
    });
    expect_content(SECOND_SLICE, "parent of a tensor is a slice", |plan| {
        plan.builder.tensors[plan.slices[1]].parent = plan.slices[0] as u16;
    });
    // A gap, and an overlap, between the slices of a tensor.
    expect_content(SUM, "read before it is written", |plan| {
        let first = &mut plan.builder.tensors[plan.slices[0]];
        first.channels -= 1;
    });
    expect_content(SECOND_SLICE, "same bytes", |plan| {
        let second = &mut plan.builder.tensors[plan.slices[1]];
        second.offset_bytes -= 1;
        second.channels += 1;
    });
}

#[test]
fn order_of_steps() {
    expect_content(TABLE, "read before it is written", |plan| {
        plan.builder.steps[TABLE].inputs[0] = plan.sum as u16;
    });
    expect_content(TABLE, "read before it is written", |plan| {
        plan.builder.steps[TABLE].inputs[0] = plan.table as u16;
    });
    expect_content(TABLE, "read before it is written", |plan| {
        plan.builder.steps[TABLE].inputs[0] = plan.whole as u16;
    });
    // Nobody writes working memory that could be read.
    expect_content(TABLE, "read before it is written", |plan| {
        plan.builder.steps[TABLE].inputs[0] = plan.conv_scratch as u16;
    });
    expect_content(0, "outside its lifetime", |plan| {
        plan.builder.steps[0].output = plan.table as u16
    });
    expect_content(TABLE, "index of a tensor", |plan| plan.builder.steps[TABLE].inputs[0] = 999);
    expect_content(TABLE, "index of a tensor", |plan| plan.builder.steps[TABLE].output = NO_TENSOR);
    expect_content(SUM, "inputs of a step", |plan| {
        plan.builder.steps[SUM].inputs = [NO_TENSOR, plan.whole as u16, plan.table as u16];
    });
    let error = refused(|plan| plan.builder.input = 999);
    assert_eq!(error.what(), "input of the plan");
    for output in [999, NO_TENSOR] {
        let error = refused(|plan| plan.builder.outputs[0] = output);
        assert_eq!(error.what(), "output of the plan");
    }
    let error = refused(|plan| plan.builder.outputs[1] = plan.conv_scratch as u16);
    assert_eq!(error.what(), "output of the plan");
}

#[test]
fn tensors_in_the_same_bytes() {
    // The table is read until the sum is made.
    expect_content(FIRST_SLICE, "same bytes", |plan| {
        let offset = plan.builder.tensors[plan.table].offset_bytes;
        for tensor in [plan.whole, plan.slices[0]] {
            plan.builder.tensors[tensor].offset_bytes = offset;
        }
        plan.builder.tensors[plan.slices[1]].offset_bytes = offset + 3;
    });
    // Only the tails overlap.
    expect_content(FIRST_SLICE, "same bytes", |plan| {
        for tensor in [plan.whole, plan.slices[0], plan.slices[1]] {
            plan.builder.tensors[tensor].offset_bytes -= 64;
        }
    });
    expect_content(SUM, "writes where it reads", |plan| {
        plan.builder.tensors[plan.sum].offset_bytes -= 64;
    });
    // Working memory in the input.
    expect_content(0, "same bytes", |plan| {
        plan.builder.tensors[plan.conv_scratch].offset_bytes = 0;
    });
    // A convolution cannot run in place.
    expect_content(FLOAT, "writes where it reads", |plan| {
        let offset = plan.builder.tensors[plan.sum].offset_bytes;
        plan.builder.tensors[plan.float].offset_bytes = offset;
        let end = offset + plan.builder.tensors[plan.float].footprint_bytes();
        let sum_end = offset + plan.builder.tensors[plan.sum].footprint_bytes();
        plan.builder.arena_bytes = end.max(sum_end);
    });
    // In place, but of the second input, or of both.
    for inputs in [[0, 1], [1, 1]] {
        let mut builder = Builder::new(u8_tensor([2, 2, 4], 1.0, 0));
        let first = builder.tensor(u8_tensor([2, 2, 4], 1.0, 0));
        builder.table_u8(&mut Noise(1), 0, first);
        let again = builder.tensors.len() as u16;
        builder.tensors.push(builder.of(first));
        builder.binary_u8(BinaryOp::Add, false, inputs, again);
        let error = opened(&builder.finish(again)).unwrap_err();
        assert_eq!(
            (error.place(), error.what()),
            (Some(Place::Step(1)), "a step writes where it reads")
        );
    }
    // A step cannot read a slice and write another of the same tensor.
    expect_content(SECOND_SLICE, "writes where it reads", |plan| {
        plan.builder.steps[SECOND_SLICE].inputs[0] = plan.slices[0] as u16;
    });
}

#[test]
fn constants_that_do_not_fit() {
    let constant = |step: usize, index: usize, change: fn(&mut Constant)| {
        move |plan: &mut Good| change(&mut plan.builder.steps[step].constants[index])
    };
    for index in 0..3 {
        let short = |constant: &mut Constant| constant.len_bytes -= 4;
        let long = |constant: &mut Constant| constant.len_bytes += 4;
        let none = |found: &mut Constant| *found = Constant::default();
        expect_content(0, "length of a constant", constant(0, index, short));
        expect_content(0, "length of a constant", constant(0, index, long));
        expect_content(0, "length of a constant", constant(0, index, none));
    }
    expect_content(TABLE, "length of a constant", constant(TABLE, 0, |c| c.len_bytes = 255));
    expect_content(TABLE, "beyond the constants", constant(TABLE, 0, |c| c.offset_bytes = 1 << 20));
    expect_content(TABLE, "beyond the constants", constant(TABLE, 0, |c| c.len_bytes = 1 << 31));
    expect_content(TABLE, "offset of a constant", constant(TABLE, 0, |c| c.offset_bytes += 4));
    expect_content(TABLE, "offset of a constant", constant(TABLE, 4, |c| c.offset_bytes = 64));
    let too_far = refused_by_writer(constant(TABLE, 0, |c| c.offset_bytes = 1 << 32));
    assert_eq!(too_far.status(), Status::LimitExceeded);
    for scale in [f32::NAN, 0.0, -1.0, f32::INFINITY] {
        expect_content(0, "scale", |plan| {
            let start = plan.builder.steps[0].constants[2].offset_bytes as usize + 8;
            plan.builder.constants[start..start + 4].copy_from_slice(&scale.to_le_bytes());
        });
    }
    expect_content(FLOAT, "number in a constant", |plan| {
        let start = plan.builder.steps[FLOAT].constants[1].offset_bytes as usize;
        plan.builder.constants[start..start + 4].copy_from_slice(&f32::NAN.to_le_bytes());
    });
}

fn refused_by_writer(change: impl FnOnce(&mut Good)) -> Error {
    let mut plan = good();
    change(&mut plan);
    encode(&plan.builder.parts()).unwrap_err()
}

#[test]
fn working_memory_that_does_not_fit() {
    expect_content(0, "working memory", |plan| {
        plan.builder.steps[0].scratch = NO_TENSOR;
        plan.builder.steps[TABLE].scratch = plan.conv_scratch as u16;
    });
    expect_content(0, "working memory", |plan| {
        plan.builder.tensors[plan.conv_scratch] =
            dense(plan.builder.tensors[plan.conv_scratch], [1, 1, 16]);
        plan.builder.tensors[plan.conv_scratch].offset_bytes = plan.builder.arena_bytes;
        plan.builder.arena_bytes += 128;
    });
    expect_content(0, "working memory of a step", |plan| plan.builder.steps[0].scratch = 0);
    expect_content(0, "index of a tensor", |plan| plan.builder.steps[0].scratch = 999);
    expect_content(0, "no working memory", |plan| {
        let scratch = &mut plan.builder.tensors[plan.conv_scratch];
        *scratch = Tensor { height: scratch.channels, channels: 1, pixel_stride: 1, ..*scratch };
    });
}

#[test]
fn shapes_and_types_that_do_not_fit() {
    let conv = |change: fn(&mut Window)| {
        move |plan: &mut Good| {
            let Operation::Convolution { window, .. } = &mut plan.builder.steps[0].operation else {
                unreachable!()
            };
            change(window);
        }
    };
    expect_content(0, "number of a window", conv(|window| window.kernel_height = 0));
    expect_content(0, "number of a window", conv(|window| window.stride_x = 0));
    expect_content(0, "number of a window", conv(|window| window.dilation_y = 0));
    expect_content(0, "padding of a window", conv(|window| window.pad_top = 3));
    expect_content(0, "windows beyond the input", conv(|window| window.stride_y = 2));
    expect_content(0, "length of a constant", conv(|window| window.kernel_width = 2));
    // A product at every pixel, whose kernel walks input and output side by side.
    expect_content(FIRST_SLICE, "columns of a convolution of single pixels", |plan| {
        plan.builder.tensors[plan.slices[0]].width -= 1;
        plan.builder.tensors[plan.slices[1]].width -= 1;
        plan.builder.tensors[plan.whole].width -= 1;
    });
    let fields = |change: fn(&mut u32, &mut Activation, &mut u8, &mut u8)| {
        move |plan: &mut Good| {
            let Operation::Convolution { groups, activation, low, depth_align, .. } =
                &mut plan.builder.steps[0].operation
            else {
                unreachable!()
            };
            change(groups, activation, low, depth_align);
        }
    };
    expect_content(0, "groups", fields(|groups, _, _, _| *groups = 0));
    expect_content(0, "groups", fields(|groups, _, _, _| *groups = 3));
    expect_content(0, "bounds", fields(|_, _, low, _| *low = 255));
    expect_content(0, "depth step", fields(|_, _, _, align| *align = 8));
    expect(
        0,
        Status::Unsupported,
        "activation",
        fields(|_, activation, _, _| {
            *activation = Activation::HardSwish;
        }),
    );
    expect_content(SUM, "shape of a tensor", |plan| {
        plan.builder.steps[SUM].inputs[1] = 0;
    });
    expect_content(TABLE, "number of inputs", |plan| {
        plan.builder.steps[TABLE].inputs[1] = 0;
    });
    expect(TABLE, Status::Unsupported, "element type", |plan| {
        plan.builder.steps[TABLE].operation = Operation::Dequantize;
    });
    expect(SUM, Status::Unsupported, "operator in integers", |plan| {
        let Operation::Binary { op, .. } = &mut plan.builder.steps[SUM].operation else {
            unreachable!()
        };
        *op = BinaryOp::Power;
    });
}

/// The plan's bytes after `change`, opened.
fn opened_bytes(change: impl FnOnce(&mut Vec<u8>)) -> Error {
    let mut bytes = good().builder.encode().to_vec();
    change(&mut bytes);
    Plan::new(&Bytes::of(&bytes)).map(|_| ()).unwrap_err()
}

#[test]
fn headers_that_are_none() {
    let changed = |at: usize, value: u8| opened_bytes(|bytes| bytes[at] = value);
    assert_eq!(changed(0, b'X').status(), Status::BundleFormat);
    assert_eq!(changed(8, 2).status(), Status::BundleVersion);
    assert_eq!(changed(12, 200).status(), Status::Unsupported);
    assert_eq!(changed(54, 1).what(), "reserved bytes of the plan");
    assert_eq!(changed(127, 1).what(), "reserved bytes of the plan");
    assert_eq!(changed(24, 0).what(), "tensors of the plan");
    assert_eq!(changed(26, 1).status(), Status::LimitExceeded);
    assert_eq!(changed(30, 1).status(), Status::LimitExceeded);
    assert_eq!(changed(28, 0).what(), "steps of the plan");
    assert_eq!(changed(28, 200).status(), Status::BundleFormat);
    assert_eq!(changed(32, 1).what(), "start of the constants");
    assert_eq!(changed(40, 1).what(), "length of the constants");
}

#[test]
fn records_that_are_none() {
    let header = size_of::<HeaderRecord>();
    let tensors = good().builder.tensors.len();
    let steps = header + tensors * size_of::<TensorRecord>();
    let in_step = |step: usize, at: usize, value: u8| {
        let error =
            opened_bytes(|bytes| bytes[steps + step * size_of::<StepRecord>() + at] = value);
        assert_eq!(error.place(), Some(Place::step(step)), "{error}");
        error.what()
    };
    assert_eq!(in_step(2, 0, 200), "kind of a step");
    assert_eq!(in_step(2, 0, 0), "kind of a step");
    assert_eq!(in_step(2, 124, 1), "rows of a strip");
    assert_eq!(in_step(2, 126, 1), "reserved bytes of a step");
    assert_eq!(in_step(2, 75, 1), "reserved bytes of an operation");
    assert_eq!(in_step(4, 12, 77), "operator");
    assert_eq!(in_step(4, 13, 2), "flag of an operation");
    assert_eq!(in_step(4, 14, 99), "activation");
    let tensor = header + good().table * size_of::<TensorRecord>();
    let in_tensor = |at: usize, value: u8| {
        let error = opened_bytes(|bytes| bytes[tensor + at] = value);
        assert_eq!(error.place(), Some(Place::step(TABLE)), "{error}");
        error.what()
    };
    assert_eq!(in_tensor(28, 2), "element type of a tensor");
    // Moments that are not true: first, ready, last.
    assert_eq!(in_tensor(32, 0), "a tensor is written outside its lifetime");
    assert_eq!(in_tensor(34, 1), "a tensor is written outside its lifetime");
    // A tensor of two slices cannot be complete before the second.
    let whole = header + good().whole * size_of::<TensorRecord>();
    let error = opened_bytes(|bytes| bytes[whole + 34] -= 1);
    assert_eq!(error.what(), "a tensor is read before it is written");
    let error = opened_bytes(|bytes| bytes[tensor + 36] = 2);
    assert_eq!(error.what(), "a tensor is read after its end");
    assert_eq!(in_tensor(36, 200), "lifetime of a tensor");
}

#[test]
fn every_length_but_the_right_one() {
    let bytes = good().builder.encode().to_vec();
    for len in 0..bytes.len() {
        assert!(Plan::new(&Bytes::of(&bytes[..len])).is_err(), "{len}");
    }
    let longer: Vec<u8> = bytes.iter().copied().chain([0]).collect();
    assert!(Plan::new(&Bytes::of(&longer)).is_err());
    let mut moved = Bytes::zeros(bytes.len() + 1);
    moved.as_mut()[1..].copy_from_slice(&bytes);
    assert_eq!(Plan::new(&moved[1..]).unwrap_err().status(), Status::InvalidArgument);
}
