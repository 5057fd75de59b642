//! A plan as the network of a segmenter.

use crate::convolutions::Conv;
use crate::layers::window;
use crate::reference::Values;
use crate::support::{Builder, Bytes, Noise, f32_tensor, u8_tensor};
use zsseg::arena::Arena;
use zsseg::backbone::Backbone;
use zsseg::backbone::plan::PlanBackbone;
use zsseg::image::Target;
use zsseg::map::{Layout, Map};
use zsseg::plan::{NO_TENSOR, Operation, Plan, Tensor, Window};
use zsseg::spec::{InputType, Quantization};
use zsseg::status::Status;

/// Features and logits from a picture of bytes.
fn network() -> Builder {
    let noise = &mut Noise(40);
    let mut builder = Builder::new(u8_tensor([8, 10, 3], 0.02, 114));
    let first = builder.tensor(u8_tensor([4, 5, 16], 0.03, 30));
    builder.conv_u8(noise, 0, first, Conv::of(window(3, 2, 1)));
    let features = builder.tensor(f32_tensor([4, 5, 16]));
    builder.step(Operation::Dequantize, &[first], features, &[], Box::new(|_| unreachable!()));
    let logits = builder.tensor(f32_tensor([4, 5, 7]));
    builder.conv_u8(noise, first, logits, Conv::of(Window::POINT));
    let mut builder = builder.finish(logits);
    builder.outputs[1] = features;
    builder
}

fn of_map(map: &Map<'_, f32>) -> Values {
    assert_eq!(map.layout(), Layout::Hwc);
    let data = map.data().iter().map(|value| f64::from(*value)).collect();
    Values { shape: [map.height(), map.width(), map.channels()], data }
}

#[test]
fn a_picture_becomes_logits_and_features() {
    let builder = network();
    let bytes = builder.encode();
    let plan = Plan::new(&bytes).unwrap();
    let input = PlanBackbone::input_of(&plan).unwrap();
    assert_eq!((input.width, input.height, input.layout), (10, 8, Layout::Hwc));
    let quantization = Quantization { scale: 0.02, zero_point: 114 };
    assert_eq!(input.element, InputType::U8(quantization));
    let mut counting = Arena::counting();
    PlanBackbone::carve(&mut counting, plan, 1).unwrap();
    assert_eq!(counting.used_bytes(), plan.arena_bytes());
    let mut memory = Bytes::zeros(counting.used_bytes());
    let mut arena = Arena::over(memory.as_mut()).unwrap();
    let mut backbone = PlanBackbone::carve(&mut arena, plan, 1).unwrap();
    assert_eq!(backbone.output_shape(), [4, 5, 7]);
    assert_eq!(backbone.second_shape(), Some([4, 5, 16]));
    assert_eq!(backbone.output().unwrap_err().status(), Status::InvalidState);
    let picture = Noise(41).values(&builder.tensors[0]);
    let fill = |backbone: &mut PlanBackbone<'_>| {
        let Target::U8(values) = backbone.input().unwrap() else { unreachable!() };
        assert_eq!(values.len(), picture.data.len());
        for (place, value) in values.iter_mut().zip(&picture.data) {
            *place = *value as u8;
        }
    };
    fill(&mut backbone);
    backbone.run().unwrap();
    let logits = of_map(&backbone.output().unwrap());
    let features = of_map(&backbone.second_output().unwrap().unwrap());
    assert_eq!((logits.shape, features.shape), ([4, 5, 7], [4, 5, 16]));
    assert!(logits.data.iter().any(|value| value.abs() > 0.1));
    // In pieces, after a frame that was given up.
    fill(&mut backbone);
    assert!(!backbone.run_pieces(1).unwrap());
    fill(&mut backbone);
    assert_eq!(backbone.output().unwrap_err().status(), Status::InvalidState);
    while !backbone.run_pieces(1).unwrap() {
        assert_eq!(backbone.output().unwrap_err().status(), Status::InvalidState);
    }
    assert_eq!(of_map(&backbone.output().unwrap()), logits);
    assert_eq!(of_map(&backbone.second_output().unwrap().unwrap()), features);
}

#[test]
fn floats_in_floats_out() {
    let mut builder = Builder::new(f32_tensor([4, 4, 3]));
    let output = builder.tensor(f32_tensor([4, 4, 3]));
    builder.step(Operation::Softmax, &[0], output, &[], Box::new(|_| unreachable!()));
    let bytes = builder.finish(output).encode();
    let plan = Plan::new(&bytes).unwrap();
    let mut memory = Bytes::zeros(plan.arena_bytes());
    let mut arena = Arena::over(memory.as_mut()).unwrap();
    let mut backbone = PlanBackbone::carve(&mut arena, plan, 1).unwrap();
    let Target::F32(values) = backbone.input().unwrap() else { unreachable!() };
    values.fill(2.0);
    backbone.run().unwrap();
    let map = backbone.output().unwrap();
    assert!(map.data().iter().all(|value| (value - 1.0 / 3.0).abs() < 1e-6));
    assert!(backbone.second_output().unwrap().is_none());
}

#[test]
fn plans_that_are_no_network_of_a_segmenter() {
    let refused = |input: Tensor, output: Tensor| {
        let mut builder = Builder::new(input);
        let output = builder.tensor(output);
        builder.step(Operation::Copy, &[0], output, &[], Box::new(|_| unreachable!()));
        let bytes = builder.finish(output).encode();
        let plan = Plan::new(&bytes).unwrap();
        let error = PlanBackbone::carve(&mut Arena::counting(), plan, 1).err().unwrap();
        assert_eq!(error.status(), Status::ModelShape);
        error.what()
    };
    let four = f32_tensor([4, 4, 4]);
    assert_eq!(refused(four, four), "channels of the plan's input");
    let bytes = u8_tensor([4, 4, 3], 1.0, 0);
    assert_eq!(refused(bytes, bytes), "output of the plan");
    let builder = network();
    assert_ne!(builder.outputs[1], NO_TENSOR);
    let bytes = builder.encode();
    let plan = Plan::new(&bytes).unwrap();
    let mut memory = Bytes::zeros(plan.arena_bytes() - 64);
    let mut arena = Arena::over(memory.as_mut()).unwrap();
    let error = PlanBackbone::carve(&mut arena, plan, 1).err().unwrap();
    assert_eq!(error.status(), Status::ArenaTooSmall);
}
