//! Segmentation networks with random weights as plans, against ONNX Runtime's numbers.
//!
//! Floats are compared at the output. In 8 bits a difference of one step anywhere grows through
//! random weights, so every layer is compared by itself: plans run step by step, and what a step
//! has written is compared with ONNX Runtime's tensor of the same name and then replaced by it.
//! `scripts/test_onnx.sh` makes the networks and runs this.

#![cfg(feature = "tract")]

use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};
use zsseg::backbone::tract::{Network, lower_network};
use zsseg::compile::{Compiled, Settings, compile};
use zsseg::math::network::kernels::NetworkKernels;
use zsseg::plan::{Element, Plan, Runner, Target, Tensor};
use zsseg::spec::InputType;

/// Largest error of a float, of the largest value of the output.
const FLOAT_ERROR: f32 = 1e-4;
/// Largest difference of an 8-bit number, in steps.
const MOST_STEPS: u8 = 1;
/// Least share of 8-bit numbers that must be equal.
const EQUAL: f64 = 0.99;
/// Least share of the multiply-accumulates that must be done in integers.
const IN_INTEGERS: f64 = 0.98;
/// Least share of the network's quantised tensors that a plan must have, to be compared.
const COMPARED: f64 = 0.5;

/// What ONNX Runtime computed.
struct Reference {
    element: Element,
    shape: Vec<usize>,
    bytes: Vec<u8>,
}

impl Reference {
    fn len(&self) -> usize {
        self.shape.iter().product()
    }
}

/// A network with its input and its tensors, in the order of the file.
struct Case {
    name: String,
    onnx: Vec<u8>,
    input: Vec<u8>,
    tensors: Vec<(String, Reference)>,
}

impl Case {
    fn read(folder: &Path, name: &str) -> Case {
        let file = |kind: &str| fs::read(folder.join(format!("{name}.{kind}"))).unwrap();
        let data = file("data");
        let lines = String::from_utf8(file("txt")).unwrap();
        let tensor = |line: &str| {
            let words: Vec<&str> = line.split(' ').collect();
            let element = if words[1] == "u8" { Element::U8 } else { Element::F32 };
            let shape: Vec<usize> = words[2].split(',').map(|side| side.parse().unwrap()).collect();
            let start: usize = words[3].parse().unwrap();
            let len = shape.iter().product::<usize>() * element.bytes() as usize;
            let bytes = data[start..start + len].to_vec();
            (words[0].to_string(), Reference { element, shape, bytes })
        };
        let tensors = lines.lines().map(tensor).collect();
        Case { name: name.into(), onnx: file("onnx"), input: file("input"), tensors }
    }

    /// The network's own output.
    fn output(&self) -> &(String, Reference) {
        self.tensors.last().unwrap()
    }

    /// Compiled with layers as a whole, or in chains where that saves memory.
    fn compiled(&self, chains: bool) -> Compiled {
        let side = ((self.input.len() / 12) as f64).sqrt() as usize;
        let network = Network {
            input_name: "image",
            element: InputType::F32,
            input_shape: &[1, 3, side, side],
            outputs: &[&self.output().0],
        };
        let name = &self.name;
        let graph = lower_network(&self.onnx, &network);
        let graph = graph.unwrap_or_else(|error| panic!("{name}: {error}"));
        let settings = Settings { chains, ..Target::X86_64.into() };
        compile(graph, settings, [0; 32]).unwrap_or_else(|error| panic!("{name}: {error}"))
    }
}

fn cases(kind: &str) -> Vec<Case> {
    let variable = "ZSSEG_NETWORKS";
    let folder = std::env::var_os(variable).unwrap_or_else(|| panic!("{variable} names no folder"));
    let folder = PathBuf::from(folder);
    let stem = |path: PathBuf| path.file_stem().unwrap().to_str().unwrap().to_string();
    let entries = fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path());
    let is_network = |path: &PathBuf| path.extension().is_some_and(|kind| kind == "onnx");
    let mut names: Vec<String> = entries.filter(is_network).map(stem).collect();
    names.retain(|name| name.ends_with(kind));
    names.sort();
    assert!(!names.is_empty(), "no network in {folder:?}");
    names.iter().map(|name| Case::read(&folder, name)).collect()
}

/// Bytes at a multiple of 64, with a margin behind that nothing may touch.
struct Arena {
    bytes: Vec<u8>,
    start: usize,
    len: usize,
}

const MARGIN: usize = 4096;
const NOISE: u8 = 0xA5;

impl Arena {
    fn new(len: usize) -> Arena {
        let bytes = vec![NOISE; len + 64 + MARGIN];
        let start = bytes.as_ptr().align_offset(64);
        Arena { bytes, start, len }
    }

    fn get(&mut self) -> &mut [u8] {
        &mut self.bytes[self.start..self.start + self.len]
    }

    fn is_intact(&self) -> bool {
        self.bytes[self.start + self.len..].iter().all(|byte| *byte == NOISE)
    }
}

/// Writes the picture, quantised where the plan reads integers.
fn write_input(plan: &Plan<'_>, input: &[u8], arena: &mut [u8]) {
    let tensor = plan.tensor(plan.input()).unwrap();
    let start = tensor.offset_bytes as usize;
    let zero_point = f32::from(tensor.zero_point);
    let quantized = |value: f32| ((value / tensor.scale).round_ties_even() + zero_point) as u8;
    let floats = input.chunks_exact(4).map(|four| f32::from_le_bytes(four.try_into().unwrap()));
    let bytes: Vec<u8> = match tensor.element {
        Element::F32 => input.to_vec(),
        Element::U8 => floats.map(quantized).collect(),
    };
    assert_eq!(tensor.extent_bytes(), bytes.len() as u64);
    arena[start..start + bytes.len()].copy_from_slice(&bytes);
}

/// Where the pixels of a tensor lie in the arena.
fn pixels(tensor: &Tensor) -> impl Iterator<Item = std::ops::Range<usize>> {
    let size = tensor.element.bytes() as usize;
    let (start, len) = (tensor.offset_bytes as usize, tensor.channels as usize * size);
    let stride = tensor.pixel_stride as usize * size;
    (0..tensor.pixels() as usize).map(move |pixel| {
        let start = start + pixel * stride;
        start..start + len
    })
}

fn read(tensor: &Tensor, arena: &[u8]) -> Vec<u8> {
    pixels(tensor).flat_map(|range| arena[range].to_vec()).collect()
}

fn floats(bytes: &[u8]) -> Vec<f32> {
    bytes.chunks_exact(4).map(|four| f32::from_le_bytes(four.try_into().unwrap())).collect()
}

#[test]
#[ignore = "needs networks made by Python: scripts/test_onnx.sh"]
fn floats_agree_with_onnxruntime() {
    for case in cases("_f32") {
        let compiled = case.compiled(true);
        let plan = Plan::new(&compiled.bytes).unwrap();
        let want = floats(&case.output().1.bytes);
        let largest = want.iter().fold(0.0f32, |most, value| most.max(value.abs()));
        for kernels in NetworkKernels::all() {
            let mut arena = Arena::new(plan.arena_bytes());
            write_input(&plan, &case.input, arena.get());
            Runner::with_kernels(plan, kernels).run(arena.get()).unwrap();
            assert!(arena.is_intact(), "{} {} writes behind its arena", case.name, kernels.name);
            let tensor = plan.tensor(plan.outputs().next().unwrap()).unwrap();
            let found = floats(&read(&tensor, arena.get()));
            assert_eq!(found.len(), want.len());
            let differences = found.iter().zip(&want).map(|(a, b)| (a - b).abs());
            let error = differences.fold(0.0f32, f32::max) / largest;
            println!("{} {}: {error:e} of {largest}", case.name, kernels.name);
            assert!(error <= FLOAT_ERROR, "{} {}: {error:e}", case.name, kernels.name);
        }
    }
}

/// What comparing a plan's steps found.
#[derive(Default)]
struct Found {
    tensors: usize,
    values: usize,
    equal: usize,
    /// The worst difference in steps, and where.
    worst: (u8, String),
    /// All that was compared, for other kernels to give again.
    bytes: Vec<u8>,
}

/// Share of the multiply-accumulates whose step reads 8-bit numbers.
fn share_in_integers(plan: &Plan<'_>) -> f64 {
    let reads_integers = |index| plan.tensor(index).is_ok_and(|one| one.element == Element::U8);
    let all: u64 = plan.steps().map(|step| step.macs).sum();
    let integers = plan.steps().filter(|step| reads_integers(step.inputs[0]));
    integers.map(|step| step.macs).sum::<u64>() as f64 / all as f64
}

/// Runs a plan step by step, each on what ONNX Runtime has.
fn by_layers(case: &Case, compiled: &Compiled, kernels: NetworkKernels) -> Found {
    let plan = Plan::new(&compiled.bytes).unwrap();
    let known: HashMap<&str, &Reference> =
        case.tensors.iter().map(|(name, reference)| (&**name, reference)).collect();
    let mut arena = Arena::new(plan.arena_bytes());
    write_input(&plan, &case.input, arena.get());
    let mut runner = Runner::with_kernels(plan, kernels);
    let mut found = Found::default();
    for (index, step) in plan.steps().enumerate() {
        while runner.next_step() == index && !runner.run_pieces(arena.get(), 1).unwrap() {}
        let tensor = plan.tensor(step.output).unwrap();
        let Some(reference) = known.get(&*compiled.tensors[index]) else { continue };
        // Names of nodes that became several steps stand for parts as well.
        let is_whole = compiled.tensors.get(index + 1) != Some(&compiled.tensors[index])
            && reference.len() as u64 == tensor.values()
            && reference.shape.last() == Some(&(tensor.channels as usize));
        if !is_whole || reference.element != Element::U8 || tensor.element != Element::U8 {
            continue;
        }
        let bytes = read(&tensor, arena.get());
        for (&found_step, &want) in bytes.iter().zip(&reference.bytes) {
            let difference = found_step.abs_diff(want);
            found.equal += usize::from(difference == 0);
            if difference > found.worst.0 {
                found.worst =
                    (difference, format!("{} {}", compiled.tensors[index], compiled.names[index]));
            }
        }
        found.tensors += 1;
        found.values += bytes.len();
        found.bytes.extend(bytes);
        let mut wanted = reference.bytes.chunks(tensor.channels as usize);
        for range in pixels(&tensor) {
            arena.get()[range].copy_from_slice(wanted.next().unwrap());
        }
    }
    assert!(arena.is_intact(), "{} {} writes behind its arena", case.name, kernels.name);
    found
}

#[test]
#[ignore = "needs networks made by Python: scripts/test_onnx.sh"]
fn every_layer_in_integers_agrees_with_onnxruntime() {
    let mut failures = Vec::new();
    for case in cases("_int8") {
        let compiled = case.compiled(false);
        let share = share_in_integers(&Plan::new(&compiled.bytes).unwrap());
        println!("{}: {share:.4} of the multiply-accumulates in integers", case.name);
        if share < IN_INTEGERS {
            failures.push(format!("{}: {share} in integers", case.name));
        }
        let mut first: Option<Vec<u8>> = None;
        for kernels in NetworkKernels::all() {
            let found = by_layers(&case, &compiled, kernels);
            let equal = found.equal as f64 / found.values as f64;
            let share = found.tensors as f64 / case.tensors.len() as f64;
            println!(
                "{} {}: {} of {} tensors, {equal:.5} of the values equal, worst {:?}",
                case.name,
                kernels.name,
                found.tensors,
                case.tensors.len(),
                found.worst
            );
            if found.worst.0 > MOST_STEPS || equal < EQUAL || share < COMPARED {
                failures.push(format!("{} {}", case.name, kernels.name));
            }
            let same = first.get_or_insert_with(|| found.bytes.clone()) == &found.bytes;
            assert!(same, "{} {}: other bits", case.name, kernels.name);
        }
    }
    assert!(failures.is_empty(), "{failures:?}");
}

#[test]
#[ignore = "needs networks made by Python: scripts/test_onnx.sh"]
fn the_arena_is_what_the_tensors_need() {
    for case in cases("").iter().filter(|case| case.name.ends_with("_int8")) {
        let compiled = case.compiled(true);
        let plan = Plan::new(&compiled.bytes).unwrap();
        let bytes = plan.arena_bytes() as u64;
        println!("{}: {bytes} bytes, at least {}", case.name, compiled.bound_bytes);
        assert!(bytes >= compiled.bound_bytes);
        assert!(bytes as f64 <= 1.1 * compiled.bound_bytes as f64, "{}", case.name);
    }
}

#[test]
#[ignore = "needs networks made by Python: scripts/test_onnx.sh"]
fn chains_give_the_bits_of_whole_layers_in_less_memory() {
    let mut smaller = 0;
    for case in cases("") {
        let [whole, chained] = [false, true].map(|chains| case.compiled(chains));
        let [whole, chained] = [&whole, &chained].map(|one| Plan::new(&one.bytes).unwrap());
        println!("{}: {} bytes, {}", case.name, whole.arena_bytes(), chained.arena_bytes());
        assert!(chained.arena_bytes() <= whole.arena_bytes(), "{}", case.name);
        smaller += usize::from(chained.arena_bytes() < whole.arena_bytes());
        for kernels in NetworkKernels::all() {
            let [want, found] = [whole, chained].map(|plan| {
                let mut arena = Arena::new(plan.arena_bytes());
                write_input(&plan, &case.input, arena.get());
                Runner::with_kernels(plan, kernels).run(arena.get()).unwrap();
                assert!(arena.is_intact(), "{} writes behind its arena", case.name);
                read(&plan.tensor(plan.outputs().next().unwrap()).unwrap(), arena.get())
            });
            assert!(want == found, "{} {}", case.name, kernels.name);
        }
    }
    assert!(smaller > 0);
}
