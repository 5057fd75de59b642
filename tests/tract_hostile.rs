//! Models that are not what they should be: a typed error each, never a panic or a hang.

#![cfg(feature = "tract")]

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};
use zsseg::backbone::Backbone;
use zsseg::backbone::tract::{Options, TractBackbone};
use zsseg::map::Layout;
use zsseg::spec::{Input, InputType, Precision, Quantization};
use zsseg::status::{Error, Status};

/// Far more than any tiny model takes, loaded or refused, on a busy machine.
const PATIENCE: Duration = Duration::from_secs(20);

fn read(name: &str) -> Vec<u8> {
    fs::read(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/models").join(name)).unwrap()
}

fn options() -> Options<'static> {
    let (layout, element) = (Layout::Chw, InputType::F32);
    Options {
        input: Input { width: 16, height: 16, layout, element },
        input_name: "image",
        output_name: "probabilities",
        channels: 5,
        grid_height: 8,
        grid_width: 8,
        output_layout: Layout::Chw,
        second: None,
        precision: Precision::AsModel,
        threads: 1,
    }
}

/// Loads a model that must be refused as one that cannot be loaded, with a text that has `part`.
fn refused(onnx: &[u8], part: &str) {
    let error = refusal(onnx, &options());
    assert_eq!(error.status(), Status::ModelLoad, "{error}");
    assert!(error.to_string().contains(part), "{error}");
}

fn refusal(onnx: &[u8], options: &Options<'_>) -> Error {
    let start = Instant::now();
    let error = TractBackbone::load(onnx, options).err().expect("the model must be refused");
    assert!(start.elapsed() < PATIENCE, "{error} took {:?}", start.elapsed());
    let text = error.to_string();
    assert!(text.len() < 500 && !text.contains('\n'), "{text}");
    error
}

fn replace(bytes: &[u8], from: &[u8], to: &[u8]) -> Vec<u8> {
    assert_eq!(from.len(), to.len());
    let mut bytes = bytes.to_vec();
    for start in 0..bytes.len() - from.len() {
        if bytes[start..].starts_with(from) {
            bytes[start..start + to.len()].copy_from_slice(to);
        }
    }
    bytes
}

/// As much of the protobuf wire format as hand-made models need.
mod wire {
    pub fn int(field: u8, value: u64) -> Vec<u8> {
        let mut bytes = vec![field << 3];
        varint(value, &mut bytes);
        bytes
    }

    pub fn bytes(field: u8, payload: &[u8]) -> Vec<u8> {
        let mut bytes = vec![(field << 3) | 2];
        varint(payload.len() as u64, &mut bytes);
        bytes.extend_from_slice(payload);
        bytes
    }

    fn varint(mut value: u64, bytes: &mut Vec<u8>) {
        while value >= 128 {
            bytes.push(value as u8 | 128);
            value >>= 7;
        }
        bytes.push(value as u8);
    }

    pub fn node(operator: &str, inputs: &[&str], outputs: &[&str], rest: &[u8]) -> Vec<u8> {
        let inputs = inputs.iter().flat_map(|name| bytes(1, name.as_bytes()));
        let outputs = outputs.iter().flat_map(|name| bytes(2, name.as_bytes()));
        let operator = bytes(4, operator.as_bytes());
        let all: Vec<u8> = inputs.chain(outputs).chain(operator).collect();
        bytes(1, &[&all, rest].concat())
    }

    /// A tensor of f32 (1) or i64 (7) without its own field number.
    pub fn tensor(name: &str, sides: &[u64], element: u64, data: &[u8]) -> Vec<u8> {
        let sides = sides.iter().flat_map(|side| int(1, *side));
        let rest = [int(2, element), bytes(8, name.as_bytes()), bytes(9, data)];
        sides.chain(rest.concat()).collect()
    }

    /// An attribute that is a tensor (4) or a graph (5) in `field` 5 or 6.
    pub fn attribute(name: &str, kind: u8, field: u8, payload: &[u8]) -> Vec<u8> {
        let kind = [0xa0, 0x01, kind];
        let all = [bytes(1, name.as_bytes()), bytes(field, payload), kind.to_vec()].concat();
        bytes(5, &all)
    }

    /// A model that reads `image` and gives `probabilities`.
    pub fn model(nodes_and_tensors: &[u8]) -> Vec<u8> {
        let sides = [1, 3, 16, 16].iter().flat_map(|side| bytes(1, &int(1, *side)));
        let shape: Vec<u8> = sides.collect();
        let kind = bytes(1, &[int(1, 1), bytes(2, &shape)].concat());
        let input = bytes(11, &[bytes(1, b"image"), bytes(2, &kind)].concat());
        let output = bytes(12, &bytes(1, b"probabilities"));
        let graph = [nodes_and_tensors, &bytes(2, b"graph"), &input, &output].concat();
        let operators = bytes(8, &[bytes(1, b""), int(2, 17)].concat());
        [int(1, 8), operators, bytes(7, &graph)].concat()
    }
}

use wire::{attribute, bytes, int, node, tensor};

#[test]
fn a_hand_made_model_loads() {
    let add = node("Add", &["image", "one"], &["probabilities"], &[]);
    let one = bytes(5, &tensor("one", &[1], 1, &1f32.to_le_bytes()));
    let onnx = wire::model(&[add, one].concat());
    let options = Options { channels: 3, grid_height: 16, grid_width: 16, ..options() };
    let mut backbone = TractBackbone::load(&onnx, &options).unwrap();
    backbone.run().unwrap();
    assert!(backbone.output().unwrap().data().iter().all(|value| *value == 1.0));
}

#[test]
fn unknown_operators_are_named() {
    let model = read("segmentation_float.onnx");
    let unknown = replace(&model, b"HardSigmoid", b"HardSigmoyd");
    refused(&unknown, "node \"hard_gate\": operator HardSigmoyd is not supported");
    // What lies behind the output is not run, so it may be unknown.
    let behind = replace(&model, b"Softmax", b"Softmix");
    assert!(TractBackbone::load(&behind, &Options { output_name: "logits", ..options() }).is_ok());
    let domain = bytes(7, b"com.example");
    let onnx = wire::model(&node("Relu", &["image"], &["probabilities"], &domain));
    refused(&onnx, "domain com.example");
}

#[test]
fn pools_for_max_unpooling_are_named() {
    let pool = node("MaxPool", &["image"], &["values", "places"], &[]);
    let sum = node("Add", &["values", "places"], &["probabilities"], &[]);
    refused(&wire::model(&[pool, sum].concat()), "node \"values\": the places");
}

#[test]
fn names_that_are_not_there_are_refused_with_those_that_are() {
    let model = read("segmentation_float.onnx");
    let input = refusal(&model, &Options { input_name: "picture", ..options() });
    assert!(input.to_string().contains("\"picture\"; there are \"image\""), "{input}");
    let output = refusal(&model, &Options { output_name: "logit", ..options() });
    assert!(output.to_string().contains("outputs are \"probabilities\""), "{output}");
    for name in ["", "image", "stem_w"] {
        assert_eq!(
            refusal(&model, &Options { output_name: name, ..options() }).status(),
            Status::ModelLoad
        );
    }
}

#[test]
fn other_shapes_and_types_are_refused_with_both() {
    let model = read("segmentation_float.onnx");
    let chw = options().input;
    let others = [
        Options { channels: 6, ..options() },
        Options { grid_width: 9, ..options() },
        Options { output_layout: Layout::Hwc, ..options() },
        Options { input: Input { width: 32, ..chw }, ..options() },
        Options { input: Input { layout: Layout::Hwc, ..chw }, ..options() },
        Options {
            input: Input {
                element: InputType::U8(Quantization { scale: 1.0, zero_point: 0 }),
                ..chw
            },
            ..options()
        },
    ];
    for other in others {
        let error = refusal(&model, &other);
        assert_eq!(error.status(), Status::ModelShape, "{error}");
        assert!(error.to_string().contains("found"), "{error}");
    }
}

#[test]
fn graphs_that_are_not_graphs_are_refused() {
    refused(&[], "no graph");
    refused(b"not a model at all", "parsing");
    let relu = |from: &str, to: &str| node("Relu", &[from], &[to], &[]);
    refused(&wire::model(&relu("image", "elsewhere")), "no node writes");
    refused(&wire::model(&relu("nothing", "probabilities")), "nothing before it writes");
    let circle = [relu("b", "a"), relu("a", "b"), relu("b", "probabilities")].concat();
    refused(&wire::model(&circle), "nothing before it writes");
    let twice = [relu("image", "probabilities"), relu("image", "probabilities")].concat();
    refused(&wire::model(&twice), "two nodes write");
    refused(&wire::model(&node("Relu", &[], &["probabilities"], &[])), "does not depend");
    let many: Vec<u8> = (0..9000).flat_map(|_| relu("image", "")).collect();
    assert_eq!(refusal(&wire::model(&many), &options()).status(), Status::LimitExceeded);
}

#[test]
fn deep_subgraphs_are_refused() {
    let mut inner = node("Relu", &["image"], &["y"], &[]);
    for _ in 0..6 {
        let branch = attribute("then_branch", 5, 6, &inner);
        inner = node("If", &["image"], &["probabilities"], &branch);
    }
    refused(&wire::model(&inner), "nested");
    for _ in 0..200 {
        let branch = attribute("then_branch", 5, 6, &inner);
        inner = node("If", &["image"], &["probabilities"], &branch);
    }
    refused(&wire::model(&inner), "parsing");
}

#[test]
fn data_in_other_files_are_refused() {
    let location = bytes(13, &[bytes(1, b"location"), bytes(2, b"/etc/passwd")].concat());
    let add = node("Add", &["image", "one"], &["probabilities"], &[]);
    for elsewhere in [location, int(14, 1)] {
        let one = [tensor("one", &[1], 1, &[]), elsewhere].concat();
        refused(&wire::model(&[add.clone(), bytes(5, &one)].concat()), "another file");
    }
}

#[test]
fn dimensions_that_promise_more_than_there_is_are_refused() {
    let add = node("Add", &["image", "one"], &["probabilities"], &[]);
    let lots: [&[u64]; 6] =
        [&[1 << 25], &[1 << 20, 1 << 20], &[1 << 62, 4], &[u64::MAX], &[3, u64::MAX - 2], &[1; 40]];
    for sides in lots {
        for data in [&[][..], &[0; 3], &[0; 4]] {
            let one = tensor("one", sides, 1, data);
            let initializer = [add.clone(), bytes(5, &one)].concat();
            refused(&wire::model(&initializer), "tensor \"one\"");
            let constant = attribute("value", 4, 5, &one);
            let constant = node("Constant", &[], &["one"], &constant);
            refused(&wire::model(&[constant, add.clone()].concat()), "attribute value");
        }
    }
    let unknown = bytes(5, &tensor("one", &[1], 99, &[0; 4]));
    refused(&wire::model(&[add, unknown].concat()), "UNDEFINED");
}

#[test]
fn constants_that_make_giants_are_refused() {
    let sides: Vec<u8> = [1i64 << 20, 1 << 20].iter().flat_map(|side| side.to_le_bytes()).collect();
    let shape = bytes(5, &tensor("shape", &[2], 7, &sides));
    let add = node("Add", &["image", "giant"], &["probabilities"], &[]);
    for made in [
        node("ConstantOfShape", &["shape"], &["giant"], &[]),
        node("Expand", &["one", "shape"], &["giant"], &[]),
        node("Tile", &["one", "shape"], &["giant"], &[]),
    ] {
        let one = bytes(5, &tensor("one", &[1, 1], 1, &1f32.to_le_bytes()));
        let onnx = wire::model(&[made, add.clone(), shape.clone(), one].concat());
        refused(&onnx, "too large");
    }
}

#[test]
fn every_truncation_is_refused() {
    for name in ["segmentation_qdq_u8.onnx", "segmentation_qop_s8.onnx"] {
        let model = read(name);
        for len in (0..model.len() - 1).step_by(97) {
            refusal(&model[..len], &options());
        }
    }
}

/// A small generator: the same mutations on every run.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963);
        (self.0 >> 33) as usize % bound
    }
}

#[test]
fn mutations_give_a_model_or_a_typed_error() {
    let mut random = Random(42);
    for name in
        ["classifier_qdq_u8", "classifier_qop_u8", "classifier_float", "segmentation_qop_u8"]
    {
        let model = read(&format!("{name}.onnx"));
        let scores = Options { output_name: "scores", channels: 10, ..options() };
        let scores = Options { grid_height: 1, grid_width: 1, ..scores };
        let options = if name.starts_with("classifier") { scores } else { options() };
        for _ in 0..100 {
            let mut mutant = model.clone();
            for _ in 0..=random.below(3) {
                let at = random.below(mutant.len());
                mutant[at] ^= 1 << random.below(8);
            }
            let start = Instant::now();
            if let Ok(mut backbone) = TractBackbone::load(&mutant, &options) {
                let _ = backbone.run();
                let _ = backbone.output();
            }
            assert!(start.elapsed() < PATIENCE, "{name} took {:?}", start.elapsed());
        }
    }
}
