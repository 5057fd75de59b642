//! Networks compiled to plans: the same numbers as ONNX Runtime's and the tract engine's.

#![cfg(feature = "cli")]

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use zsseg::arena::AlignedBytes;
use zsseg::backbone::Backbone;
use zsseg::backbone::tract::{Options, TractBackbone, lower};
use zsseg::bundle::Bundle;
use zsseg::compile::graph::{Convolution, Graph, Op, Quantization, ValueId, Window};
use zsseg::compile::{Settings, compile};
use zsseg::convert::compile_bundle;
use zsseg::head::Output;
use zsseg::image::{Image, PixelFormat, Target as InputTarget};
use zsseg::limits::Limits;
use zsseg::map::Layout;
use zsseg::math::network::kernels::NetworkKernels;
use zsseg::plan::{
    Activation, BinaryOp, CoordinateMode, Element, Interpolation, Operation, Plan, Runner, Target,
};
use zsseg::segmenter::{Frame, Segmenter};
use zsseg::spec::{Input, InputType, Precision};
use zsseg::status::Status;

const SIDE: u32 = 16;

fn models() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/models")
}

fn read(name: &str) -> Vec<u8> {
    fs::read(models().join(name)).unwrap()
}

fn floats(name: &str) -> Vec<f32> {
    let bytes = read(name);
    bytes.chunks_exact(4).map(|four| f32::from_le_bytes(four.try_into().unwrap())).collect()
}

fn options<'a>(output_name: &'a str, channels: u32, height: u32, width: u32) -> Options<'a> {
    let input = Input { width: SIDE, height: SIDE, layout: Layout::Chw, element: InputType::F32 };
    Options {
        input,
        input_name: "image",
        output_name,
        channels,
        grid_height: height,
        grid_width: width,
        output_layout: Layout::Chw,
        second: None,
        precision: Precision::AsModel,
        threads: 1,
    }
}

/// An arena that holds anything.
fn arena(len: usize) -> AlignedBytes {
    let mut arena = AlignedBytes::zeros(len);
    arena.as_mut_slice().fill(0xA5);
    arena
}

/// The output, channels last, of a plan for a picture of f32, channels last.
fn run(plan_bytes: &[u8], kernels: NetworkKernels, picture: &[f32]) -> Vec<f32> {
    let plan = Plan::new(plan_bytes).unwrap();
    let mut memory = arena(plan.arena_bytes());
    let input = plan.tensor(plan.input()).unwrap();
    assert_eq!(input.values(), picture.len() as u64);
    let output = plan.tensor(plan.outputs().next().unwrap()).unwrap();
    assert_eq!(output.element, Element::F32);
    let start = input.offset_bytes as usize;
    let bytes: Vec<u8> = match input.element {
        Element::F32 => picture.iter().flat_map(|value| value.to_le_bytes()).collect(),
        Element::U8 => {
            let steps = |value: &f32| (value / input.scale).round_ties_even();
            let zero_point = f32::from(input.zero_point);
            picture
                .iter()
                .map(|value| (steps(value) + zero_point).clamp(0.0, 255.0) as u8)
                .collect()
        }
    };
    memory.as_mut_slice()[start..start + bytes.len()].copy_from_slice(&bytes);
    Runner::with_kernels(plan, kernels).run(memory.as_mut_slice()).unwrap();
    let start = output.offset_bytes as usize;
    let pixels = memory.as_mut_slice()[start..start + output.extent_bytes() as usize]
        .chunks(output.pixel_stride as usize * 4);
    let floats = pixels.flat_map(|pixel| pixel[..output.channels as usize * 4].chunks_exact(4));
    floats.map(|four| f32::from_le_bytes(four.try_into().unwrap())).collect()
}

/// From channels x pixels to pixels x channels.
fn channels_last(planes: &[f32], channels: usize) -> Vec<f32> {
    let pixels = planes.len() / channels;
    let pixel = |pixel: usize| (0..channels).map(move |c| planes[c * pixels + pixel]);
    (0..pixels).flat_map(pixel).collect()
}

fn largest_difference(a: &[f32], b: &[f32]) -> f32 {
    assert_eq!(a.len(), b.len());
    a.iter().zip(b).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max)
}

fn plan_of(onnx: &[u8], options: &Options<'_>) -> Vec<u8> {
    plan_for(onnx, options, Target::X86_64.into())
}

fn plan_for(onnx: &[u8], options: &Options<'_>, settings: Settings) -> Vec<u8> {
    let graph = lower(onnx, options).unwrap_or_else(|error| panic!("{error}"));
    compile(graph, settings, [0; 32]).unwrap_or_else(|error| panic!("{error}")).bytes
}

fn tract(onnx: &[u8], options: &Options<'_>, planes: &[f32]) -> Vec<f32> {
    let mut backbone = TractBackbone::load(onnx, options).unwrap();
    let InputTarget::F32(target) = backbone.input().unwrap() else { panic!("not a float input") };
    target.copy_from_slice(planes);
    backbone.run().unwrap();
    backbone.output().unwrap().data().to_vec()
}

#[test]
fn every_form_agrees_with_onnxruntime_on_every_processor() {
    let picture = channels_last(&floats("image.input"), 3);
    let cases = String::from_utf8(read("cases.txt")).unwrap();
    for line in cases.lines() {
        let words: Vec<&str> = line.split(' ').collect();
        let [channels, height, width] = [2, 3, 4].map(|at| words[at].parse::<u32>().unwrap());
        let tolerance: f32 = words[5].parse().unwrap();
        let stem = words[0];
        let onnx = read(&format!("{stem}.onnx"));
        let plan = plan_of(&onnx, &options(words[1], channels, height, width));
        let expected = channels_last(&floats(&format!("{stem}.expected")), channels as usize);
        for kernels in NetworkKernels::all() {
            let found = run(&plan, kernels, &picture);
            let difference = largest_difference(&found, &expected);
            println!("{stem} {} {difference:e} of {tolerance:e}", kernels.name);
            assert!(difference <= 1.001 * tolerance, "{stem} {}: {difference}", kernels.name);
        }
    }
}

#[test]
fn quantised_layers_give_the_same_bits_on_every_processor() {
    let picture = channels_last(&floats("image.input"), 3);
    let onnx = read("segmentation_qdq_u8.onnx");
    let scaled = Options { ..options("scaled_DequantizeLinear_Output", 16, 16, 16) };
    let plan = plan_of(&onnx, &scaled);
    let expected = channels_last(&floats("scaled_qdq_u8.expected"), 16);
    for kernels in NetworkKernels::all() {
        assert_eq!(run(&plan, kernels, &picture), expected, "{}", kernels.name);
    }
}

#[test]
fn the_shipped_network_gives_the_tract_engine_s_integers() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("models/voc11-lite0-zs-onnx.zsb");
    let bytes = fs::read(path).unwrap();
    let bundle = Bundle::parse(&bytes).unwrap();
    let manifest = bundle.manifest();
    let options = Options::of_bundle(&bundle, 1);
    let onnx = bundle.onnx().unwrap();
    let plan = plan_of(onnx, &options);
    let pixels = (manifest.input.width * manifest.input.height) as usize;
    let planes: Vec<f32> =
        (0..3 * pixels).map(|at| ((at * 7919 % 1021) as f32 / 510.5 - 1.0) * 0.9).collect();
    let expected = tract(onnx, &options, &planes);
    let expected = channels_last(&expected, manifest.head.channels as usize);
    let picture = channels_last(&planes, 3);
    let mut first: Option<Vec<f32>> = None;
    for kernels in NetworkKernels::all() {
        let found = run(&plan, kernels, &picture);
        let equal = found.iter().zip(&expected).filter(|(a, b)| (*a - *b).abs() < 1e-6).count();
        let share = equal as f64 / expected.len() as f64;
        println!("{}: {share:.6} of the values are equal", kernels.name);
        assert!(share > 0.999, "{}: {share}", kernels.name);
        assert!(first.get_or_insert_with(|| found.clone()) == &found, "{}", kernels.name);
    }
}

#[test]
fn chains_give_the_bits_of_whole_layers() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("models/voc11-lite0-zs-onnx.zsb");
    let bytes = fs::read(path).unwrap();
    let bundle = Bundle::parse(&bytes).unwrap();
    let options = Options::of_bundle(&bundle, 1);
    let onnx = bundle.onnx().unwrap();
    let input = bundle.manifest().input;
    let values = 3 * (input.width * input.height) as usize;
    let picture: Vec<f32> =
        (0..values).map(|at| ((at * 6151 % 1021) as f32 / 510.5 - 1.0) * 0.9).collect();
    for target in [Target::X86_64, Target::CortexM] {
        let whole = plan_for(onnx, &options, Settings { chains: false, ..target.into() });
        let chained = plan_for(onnx, &options, target.into());
        let [whole_bytes, chained_bytes] =
            [&whole, &chained].map(|plan| Plan::new(plan).unwrap().arena_bytes());
        println!("{}: {whole_bytes} bytes, {chained_bytes} in chains", target.name());
        assert!(chained_bytes < whole_bytes);
        let strips = Plan::new(&chained).unwrap().steps().filter(|step| step.strip_rows != 0);
        assert!(strips.count() > 0);
        let want = run(&whole, NetworkKernels::detect(), &picture);
        for kernels in NetworkKernels::all() {
            assert!(run(&chained, kernels, &picture) == want, "{}", kernels.name);
        }
    }
}

#[test]
fn the_shared_network_agrees_with_the_tract_engine() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/data/models");
    let path = folder.join("deeplabv3_voc21/deeplabv3_257_mv_gpu.onnx");
    let Ok(onnx) = fs::read(&path) else {
        assert!(std::env::var_os("ZSSEG_REQUIRE_SHARED").is_none(), "{path:?} is missing");
        println!("{path:?} is missing: not tested");
        return;
    };
    let options = Options {
        input: Input { width: 257, height: 257, layout: Layout::Hwc, element: InputType::F32 },
        input_name: "sub_7",
        ..options("logits/semantic/BiasAdd", 21, 33, 33)
    };
    let picture: Vec<f32> = (0..257 * 257 * 3).map(|at| (at % 511) as f32 / 255.5 - 1.0).collect();
    let expected = channels_last(&tract(&onnx, &options, &picture), 21);
    let plan = plan_of(&onnx, &options);
    let largest = expected.iter().fold(0.0f32, |largest, value| largest.max(value.abs()));
    for kernels in NetworkKernels::all() {
        let difference = largest_difference(&run(&plan, kernels, &picture), &expected);
        println!("{}: {difference:e} of {largest}", kernels.name);
        assert!(difference <= 1e-4 * largest, "{}: {difference}", kernels.name);
    }
}

#[test]
fn weights_of_16_bits_take_half_the_bytes_and_cost_little() {
    let picture = channels_last(&floats("image.input"), 3);
    let expected = channels_last(&floats("segmentation_float.expected"), 5);
    let compiled = |weights_f16| {
        let graph = lower(&read("segmentation_float.onnx"), &options("probabilities", 5, 8, 8));
        let settings = Settings { weights_f16, ..Target::X86_64.into() };
        compile(graph.unwrap(), settings, [0; 32]).unwrap().bytes
    };
    let (whole, half) = (compiled(false), compiled(true));
    let constants = |bytes: &[u8]| Plan::new(bytes).unwrap().constants().len() as f64;
    assert!(constants(&half) < 0.7 * constants(&whole));
    for kernels in NetworkKernels::all() {
        let difference = largest_difference(&run(&half, kernels, &picture), &expected);
        println!("{}: {difference:e}", kernels.name);
        assert!(difference > 0.0 && difference < 2e-3, "{}: {difference}", kernels.name);
    }
}

#[test]
fn weights_beyond_16_bits_are_refused_by_name() {
    let mut graph = Graph::default();
    let picture = graph.add_activation("image", vec![4, 4, 3]);
    graph.input = Some(picture);
    let huge = Convolution {
        window: Window::POINT,
        transposed: false,
        groups: 1,
        input: [4, 4, 3],
        output: [4, 4, 1],
        weights: Arc::new(vec![1e6; 3]),
        bias: vec![0.0],
        activation: Activation::None,
        slopes: Vec::new(),
        inner: None,
        residual_after_activation: false,
        table: None,
    };
    let out = graph.add_node("huge", Op::Convolution(huge), vec![picture], vec![4, 4, 1]);
    graph.outputs.push(out);
    let settings = Settings { weights_f16: true, ..Target::X86_64.into() };
    let error = compile(graph, settings, [0; 32]).err().unwrap();
    assert!(error.to_string().contains("huge"), "{error}");
}

#[test]
fn what_no_step_can_do_is_refused_by_name() {
    let mut graph = Graph::default();
    let picture = graph.add_activation("image", vec![4, 4, 3]);
    graph.input = Some(picture);
    let columns = Op::Sum { dims: vec![0] };
    let sums = graph.add_node("column_sums", columns, vec![picture], vec![1, 4, 3]);
    graph.outputs.push(sums);
    let error = compile(graph, Target::X86_64, [0; 32]).err().unwrap();
    assert_eq!(error.status(), Status::Unsupported);
    assert!(error.to_string().contains("column_sums"), "{error}");
}

/// `id` on a grid, and back in floats.
fn rounded(graph: &mut Graph, id: ValueId, grid: Quantization) -> ValueId {
    let dims = graph.value(id).dims.clone();
    let integers = graph.add_node("quantize", Op::Quantize, vec![id], dims.clone());
    graph.values[integers.0].quantization = Some(grid);
    graph.add_node("dequantize", Op::Dequantize, vec![integers], dims)
}

#[test]
fn constants_between_quantisations_are_added_in_integers() {
    let from = Quantization { scale: 0.02, zero_point: 100 };
    let to = Quantization { scale: 0.03, zero_point: 77 };
    let offsets = [-0.3, 0.9, 0.06];
    let mut graph = Graph::default();
    let picture = graph.add_activation("image", vec![4, 5, 3]);
    graph.input = Some(picture);
    let x = rounded(&mut graph, picture, from);
    let constant = graph.add_constant("offsets", vec![1, 1, 3], offsets.to_vec());
    let add = Op::Binary { op: BinaryOp::Add, activation: Activation::None };
    let sum = graph.add_node("sum", add, vec![x, constant], vec![4, 5, 3]);
    let output = rounded(&mut graph, sum, to);
    graph.outputs.push(output);
    let bytes = compile(graph, Target::X86_64, [0; 32]).unwrap().bytes;
    let plan = Plan::new(&bytes).unwrap();
    let sums = plan.steps().filter(|step| matches!(step.operation, Operation::Binary { .. }));
    let elements = sums.map(|step| plan.tensor(step.output).unwrap().element);
    assert_eq!(elements.collect::<Vec<_>>(), [Element::U8]);
    let picture: Vec<f32> = (0..60).map(|at| (at * 37 % 61) as f32 * 0.08 - 2.4).collect();
    let want = picture.iter().zip(offsets.iter().cycle()).map(|(value, offset)| {
        let value = from.real(from.quantized(*value));
        to.real(to.quantized(value + offset))
    });
    let want: Vec<f32> = want.collect();
    for kernels in NetworkKernels::all() {
        assert_eq!(run(&bytes, kernels, &picture), want, "{}", kernels.name);
    }
}

/// Labels of a picture, in steps of at most `pieces` pieces.
fn labels(bytes: &[u8], picture: &Image<'_>, pieces: u32) -> Vec<u16> {
    let bundle = Bundle::open(bytes).unwrap();
    let limits = Limits::for_frames(picture.width(), picture.height());
    let mut memory = arena(Segmenter::arena_bytes(&bundle, &limits).unwrap());
    let mut segmenter = Segmenter::new(&bundle, &limits, memory.as_mut_slice()).unwrap();
    let mut labels = vec![0; (picture.width() * picture.height()) as usize];
    let mut output = Output::labels_u16(&mut labels, picture.width() as usize);
    let frame = Frame::of(picture);
    segmenter.begin(&frame, &output).unwrap();
    while !segmenter.step(&frame, &mut output, pieces).unwrap() {}
    labels
}

#[test]
fn the_shipped_plan_is_what_the_shipped_network_compiles_to() {
    let models = Path::new(env!("CARGO_MANIFEST_DIR")).join("models");
    let onnx = fs::read(models.join("voc11-lite0-zs-onnx.zsb")).unwrap();
    let compiled = compile_bundle(&Bundle::parse(&onnx).unwrap(), Target::X86_64).unwrap();
    let shipped = fs::read(models.join("voc11-lite0-zs.zsb")).unwrap();
    assert!(compiled.bytes == shipped, "compile voc11-lite0-zs-onnx.zsb again");
}

#[test]
fn a_compiled_bundle_gives_the_masks_of_the_tract_engine() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let bytes = fs::read(root.join("models/voc11-lite0-zs-onnx.zsb")).unwrap();
    let bundle = Bundle::parse(&bytes).unwrap();
    let compiled = compile_bundle(&bundle, Target::X86_64).unwrap();
    assert!(compiled.arena_bytes as f64 <= 1.1 * compiled.bound_bytes as f64);
    for name in ["chelsea.png", "astronaut.png"] {
        let decoded = image::open(root.join("tests/data").join(name)).unwrap().to_rgb8();
        let (width, height) = decoded.dimensions();
        let picture = Image::packed(PixelFormat::Rgb8, decoded.as_raw(), width, height).unwrap();
        let expected = labels(&bytes, &picture, u32::MAX);
        let found = labels(&compiled.bytes, &picture, u32::MAX);
        let equal = found.iter().zip(&expected).filter(|(a, b)| a == b).count();
        println!("{name}: {equal} of {} pixels", expected.len());
        assert!(equal as f64 >= 0.999 * expected.len() as f64, "{name}: {equal}");
        assert!(labels(&compiled.bytes, &picture, 7) == found, "{name} in pieces");
    }
}

/// A convolution of the picture and a resize of it, on grids of their own, side by side on another.
fn joined(whole: Quantization) -> Graph {
    let from = Quantization { scale: 0.02, zero_point: 100 };
    let mut graph = Graph::default();
    let picture = graph.add_activation("image", vec![1, 4, 5, 3]);
    graph.input = Some(picture);
    let x = rounded(&mut graph, picture, from);
    let convolution = Convolution {
        window: Window::POINT,
        transposed: false,
        groups: 1,
        input: [4, 5, 3],
        output: [4, 5, 2],
        weights: Arc::new(vec![0.5, -0.25, 1.0, 0.75, 0.125, -1.0]),
        bias: vec![0.0; 2],
        activation: Activation::None,
        slopes: Vec::new(),
        inner: None,
        residual_after_activation: false,
        table: None,
    };
    let op = Op::Convolution(convolution);
    let made = graph.add_node("made", op, vec![x], vec![1, 4, 5, 2]);
    let made = rounded(&mut graph, made, Quantization { scale: 0.03, zero_point: 120 });
    let op = Op::Resize {
        interpolation: Interpolation::Bilinear,
        coordinates: CoordinateMode::HalfPixel,
        scale: [1.0, 1.0],
        table: None,
    };
    let resized = graph.add_node("resized", op, vec![x], vec![1, 4, 5, 3]);
    let resized = rounded(&mut graph, resized, from);
    let op = Op::Concat { dim: 3 };
    let both = graph.add_node("both", op, vec![made, resized], vec![1, 4, 5, 5]);
    let both = rounded(&mut graph, both, whole);
    graph.outputs.push(both);
    graph
}

#[test]
fn parts_on_other_grids_are_looked_up_where_they_are_made() {
    let whole = Quantization { scale: 0.04, zero_point: 90 };
    let bytes = compile(joined(whole), Target::X86_64, [0; 32]).unwrap().bytes;
    let plan = Plan::new(&bytes).unwrap();
    let copies = |step: &Operation| matches!(step, Operation::Copy | Operation::Unary { .. });
    assert!(!plan.steps().any(|step| copies(&step.operation)));
    let tables = plan.steps().filter(|step| {
        let place = match step.operation {
            Operation::Convolution { .. } => 4,
            Operation::Resize { .. } => 0,
            _ => return false,
        };
        step.constants[place].len_bytes == 256
    });
    assert_eq!(tables.count(), 2);
    let picture: Vec<f32> = (0..60).map(|at| (at * 37 % 61) as f32 * 0.08 - 2.4).collect();
    let (from, inner) = (
        Quantization { scale: 0.02, zero_point: 100 },
        Quantization { scale: 0.03, zero_point: 120 },
    );
    let round = |grid: Quantization, value: f32| grid.real(grid.quantized(value));
    let want = picture.chunks(3).flat_map(|pixel| {
        let [r, g, b] = [0, 1, 2].map(|at| round(from, pixel[at]));
        let made = [0.5 * r - 0.25 * g + b, 0.75 * r + 0.125 * g - b];
        let made = made.map(|value| round(whole, round(inner, value)));
        [made[0], made[1], round(whole, r), round(whole, g), round(whole, b)]
    });
    let want: Vec<f32> = want.collect();
    for kernels in NetworkKernels::all() {
        let found = run(&bytes, kernels, &picture);
        let differences = found.iter().zip(&want).map(|(a, b)| (a - b).abs());
        let most = differences.fold(0.0, f32::max);
        assert!(most < 1e-6, "{}: {most}", kernels.name);
    }
}
