//! A case as a plan, on every set of kernels.

use crate::case::{Case, Values, Wanted};
use prost::Message;
use tract_onnx::pb::tensor_proto::DataType;
use zsseg::arena::AlignedBytes;
use zsseg::backbone::tract::{Network, lower_network};
use zsseg::compile::compile;
use zsseg::math::network::kernels::NetworkKernels;
use zsseg::plan::{Element, Plan, Runner, Target, Tensor};
use zsseg::spec::{InputType, Quantization};

/// Largest relative error of a float.
const RELATIVE: f32 = 1e-4;
/// Largest error relative to the largest value.
const OF_LARGEST: f32 = 1e-6;
/// Outputs of a plan.
const MOST_OUTPUTS: usize = 2;

/// Runs a case; the error says why it cannot be run, or what it gave instead.
pub fn check(case: &Case) -> Result<(), String> {
    if case.input.data.is_empty() || case.outputs.iter().any(|one| one.values.data.is_empty()) {
        return Err("a tensor is empty".into());
    }
    case.outputs.chunks(MOST_OUTPUTS).try_for_each(|outputs| check_outputs(case, outputs))
}

fn check_outputs(case: &Case, outputs: &[Wanted]) -> Result<(), String> {
    let unknown = Quantization { scale: 1.0, zero_point: 0 };
    let element = match case.input.element {
        DataType::Uint8 => InputType::U8(unknown),
        DataType::Int8 => InputType::I8(unknown),
        _ => InputType::F32,
    };
    let names: Vec<&str> = outputs.iter().map(|output| &*output.name).collect();
    let network = Network {
        input_name: &case.input_name,
        element,
        input_shape: &case.input.shape,
        outputs: &names,
    };
    let onnx = case.model.encode_to_vec();
    let graph = lower_network(&onnx, &network).map_err(|error| error.to_string())?;
    let compiled = compile(graph, Target::X86_64, [0; 32]).map_err(|error| error.to_string())?;
    let plan =
        Plan::new(&compiled.bytes).map_err(|error| format!("the plan is refused: {error}"))?;
    // The portable kernels first: what they cannot do is no fault of a processor's own, and reads
    // alike on all of them.
    let with = |kernels| compare_all(&run(plan, kernels, &case.input), outputs);
    let mut sets: Vec<NetworkKernels> = NetworkKernels::all().collect();
    with(sets.pop().expect("the portable set comes last"))?;
    for kernels in sets {
        with(kernels).map_err(|reason| format!("{}: {reason}", kernels.name))?;
    }
    Ok(())
}

fn compare_all(found: &[Vec<f32>], wanted: &[Wanted]) -> Result<(), String> {
    found.iter().zip(wanted).try_for_each(|(found, wanted)| compare(found, wanted))
}

/// The outputs, channels last.
fn run(plan: Plan<'_>, kernels: NetworkKernels, input: &Values) -> Vec<Vec<f32>> {
    let mut memory = AlignedBytes::zeros(plan.arena_bytes());
    let arena = memory.as_mut_slice();
    arena.fill(0xA5);
    let tensor = plan.tensor(plan.input()).unwrap();
    let bytes = input_bytes(&tensor, input);
    let at = tensor.offset_bytes as usize;
    arena[at..at + bytes.len()].copy_from_slice(&bytes);
    Runner::with_kernels(plan, kernels).run(arena).unwrap();
    plan.outputs().map(|index| output(&plan.tensor(index).unwrap(), arena)).collect()
}

/// The input as the plan reads it. Floats are quantised where the plan reads integers; signed
/// integers are moved by 128.
fn input_bytes(tensor: &Tensor, input: &Values) -> Vec<u8> {
    let data = channels_last(&input.data, &input.shape);
    assert_eq!(tensor.values(), data.len() as u64);
    if tensor.element == Element::F32 {
        return data.iter().flat_map(|value| value.to_le_bytes()).collect();
    }
    let zero_point = f32::from(tensor.zero_point);
    let quantized = |value: &f32| (value / tensor.scale).round_ties_even() + zero_point;
    let integer = |value: &f32| match input.element {
        DataType::Uint8 => *value as u8,
        DataType::Int8 => (*value + 128.0) as u8,
        _ => quantized(value).clamp(0.0, 255.0) as u8,
    };
    data.iter().map(integer).collect()
}

fn output(tensor: &Tensor, arena: &[u8]) -> Vec<f32> {
    assert_eq!(tensor.element, Element::F32);
    let start = tensor.offset_bytes as usize;
    let bytes = &arena[start..start + tensor.extent_bytes() as usize];
    let pixels = bytes.chunks(tensor.pixel_stride as usize * 4);
    let floats = pixels.flat_map(|pixel| pixel[..tensor.channels as usize * 4].chunks_exact(4));
    floats.map(|four| f32::from_le_bytes(four.try_into().unwrap())).collect()
}

/// Four axes with the second one last; others as they are.
fn channels_last(data: &[f32], shape: &[usize]) -> Vec<f32> {
    let [batch, channels, height, width] = *shape else { return data.to_vec() };
    let pixels = height * width;
    let places = (0..batch * pixels).flat_map(|at| {
        let (picture, pixel) = (at / pixels, at % pixels);
        (0..channels).map(move |channel| (picture * channels + channel) * pixels + pixel)
    });
    places.map(|place| data[place]).collect()
}

fn compare(found: &[f32], wanted: &Wanted) -> Result<(), String> {
    let want = channels_last(&wanted.values.data, &wanted.values.shape);
    if found.len() != want.len() {
        return Err(format!("{} values instead of {}", found.len(), want.len()));
    }
    let integer = |value: f32| match wanted.grid {
        Some([scale, zero_point]) => (value / scale).round_ties_even() + zero_point,
        None => value,
    };
    let is_float = wanted.values.element == DataType::Float;
    let finite = want.iter().filter(|value| value.is_finite());
    let largest = finite.fold(0.0f32, |most, value| most.max(value.abs()));
    for (at, (&found, &want)) in found.iter().zip(&want).enumerate() {
        let tolerance = RELATIVE * want.abs() + OF_LARGEST * largest;
        let same = if is_float {
            found == want || (found.is_nan() && want.is_nan()) || (found - want).abs() <= tolerance
        } else {
            integer(found) == want
        };
        if !same {
            return Err(format!("value {at} is {found} instead of {want}"));
        }
    }
    Ok(())
}
