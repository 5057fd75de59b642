//! `zsseg pack`: what it makes, and how it says what does not fit.
#![cfg(feature = "cli")]

mod command;
mod common;

use command::{BLUE, GREEN, PACK_TOML, RED, Ran, Sandbox, head, read_png};
use zsseg::bundle::Bundle;
use zsseg::convert::{Config, Source, Sources, ZeroShotSources};
use zsseg::map::Layout;
use zsseg::plan::{Plan, Target};
use zsseg::spec::{Backbone, HeadKind, WeightType, Weights};

/// The pack file for a classifier over the network's features.
fn linear_toml() -> String {
    PACK_TOML
        .replace("\"logits\"\nalign", "\"pooled\"\nalign")
        .replace("kind = \"logits\"", "kind = \"linear\"")
}

/// Red, green and blue in this order, and a bit of each other.
const WEIGHT: [f32; 9] = [10.0, -0.5, 0.1, 0.2, 10.0, 0.3, -0.2, 0.1, 10.0];

fn linear_sandbox() -> Sandbox {
    let sandbox = Sandbox::with_sources();
    sandbox.write("pack.toml", linear_toml().as_bytes());
    sandbox.head("head.safetensors", &[3, 3], &WEIGHT, &[0.0; 3]);
    sandbox
}

/// Packs with `pack.toml` changed; the result must not be there afterwards if it failed.
fn pack_changed(from: &str, to: &str) -> Ran {
    let sandbox = Sandbox::with_sources();
    assert!(PACK_TOML.contains(from), "{from}");
    sandbox.write("pack.toml", PACK_TOML.replace(from, to).as_bytes());
    let ran = sandbox.pack(&[]);
    assert_eq!(sandbox.exists("tiny.zsb"), ran.code == Some(0));
    ran
}

#[test]
fn the_bundle_says_what_the_pack_file_says() {
    let sandbox = Sandbox::with_sources();
    sandbox.write("card.md", b"# Tiny\n");
    let ran = sandbox.pack(&["--card", "card.md"]).expect(0);
    assert!(ran.out.contains("runs"), "{}", ran.out);
    let bytes = sandbox.read("tiny.zsb");
    let bundle = Bundle::open(&bytes).unwrap();
    assert_eq!((bundle.model_name(), bundle.license()), ("tiny", "CC0-1.0"));
    assert_eq!((bundle.grid_width(), bundle.grid_height()), (4, 4));
    assert_eq!((bundle.backbone(), bundle.output_layout()), (Backbone::Plan, Layout::Hwc));
    assert_eq!(bundle.head().kind, HeadKind::Logits);
    assert_eq!(bundle.class(2).unwrap().name, "blue");
    assert!(bundle.class(0).unwrap().background);
    assert_eq!(bundle.model_card(), Some("# Tiny\n"));
    let provenance: serde_json::Value = serde_json::from_str(bundle.provenance().unwrap()).unwrap();
    assert_eq!(provenance["packed"]["network"]["file"], "tiny.onnx");
    assert_eq!(provenance["packed"]["network"]["sha256"].as_str().unwrap().len(), 64);

    sandbox.pack(&["--card", "card.md"]).expect(0);
    assert_eq!(sandbox.read("tiny.zsb"), bytes, "equal sources give equal bytes");
}

#[test]
fn packing_compiles_and_compiling_what_was_packed_gives_the_same() {
    let sandbox = Sandbox::with_sources();
    sandbox.picture("a.png", (32, 16), BLUE, GREEN);
    sandbox.pack(&[]).expect(0);
    let compiled = sandbox.read("tiny.zsb");
    sandbox.segment(&["a.png", "-o", "plan.png"]).expect(0);
    sandbox.pack(&["--engine", "tract"]).expect(0);
    let packed = sandbox.read("tiny.zsb");
    let bundle = Bundle::open(&packed).unwrap();
    assert_eq!((bundle.backbone(), bundle.output_layout()), (Backbone::Onnx, Layout::Chw));
    sandbox.segment(&["a.png", "-o", "tract.png"]).expect(0);
    assert_eq!(sandbox.read("plan.png"), sandbox.read("tract.png"));
    let ran = sandbox.run(&["compile", "tiny.zsb", "-o", "again.zsb"]).expect(0);
    assert!(ran.out.contains("steps for") && ran.out.contains("runs"), "{}", ran.out);
    assert!(sandbox.read("again.zsb") == compiled);
    for target in Target::ALL {
        let name = target.name();
        sandbox.run(&["compile", "tiny.zsb", "-o", "other.zsb", "--target", name]).expect(0);
        let bytes = sandbox.read("other.zsb");
        let plan = Plan::new(Bundle::open(&bytes).unwrap().plan().unwrap()).map(|p| p.target());
        assert_eq!(plan.unwrap(), target);
    }
}

#[test]
fn what_cannot_be_compiled_is_refused_and_nothing_is_written() {
    let sandbox = Sandbox::with_sources();
    sandbox.pack(&[]).expect(0);
    let ran = sandbox.run(&["compile", "tiny.zsb", "-o", "out.zsb"]);
    ran.expect_error(1, &["tiny.zsb", "no ONNX network"]);
    sandbox.run(&["compile", "tiny.zsb", "-o", "out.zsb", "--target", "z80"]).expect(2);
    sandbox.run(&["compile", "nonesuch.zsb", "-o", "out.zsb"]).expect_error(1, &["nonesuch.zsb"]);
    assert!(!sandbox.exists("out.zsb"));
}

#[test]
fn every_weight_type_gives_the_same_mask() {
    let sandbox = linear_sandbox();
    sandbox.picture("a.png", (32, 16), BLUE, GREEN);
    for (name, weight_type) in
        [("f32", WeightType::F32), ("f16", WeightType::F16), ("i8", WeightType::I8)]
    {
        sandbox.pack(&["--head", "head.safetensors", "--weights", name]).expect(0);
        let bytes = sandbox.read("tiny.zsb");
        let bundle = Bundle::open(&bytes).unwrap();
        assert_eq!(bundle.head().kind, HeadKind::Linear(weight_type));
        sandbox.segment(&["a.png", "-o", "mask.png"]).expect(0);
        let mask = read_png(&sandbox.path("mask.png"));
        assert_eq!((mask.data[0], mask.data[31]), (2, 1), "{name}");
    }
    let bytes = sandbox.read("tiny.zsb");
    let bundle = Bundle::open(&bytes).unwrap();
    let Some(Weights::I8(weights)) = bundle.head_weights() else { panic!("not 8-bit") };
    assert_eq!(weights, [127, -6, 1, 3, 127, 4, -3, 1, 127]);
    assert_eq!(bundle.head_scales().unwrap()[0].get(), 10.0 / 127.0);
}

#[test]
fn channels_may_come_last() {
    let sandbox = Sandbox::with_sources();
    let text = PACK_TOML.replace("name = \"logits\"", "name = \"pixels\"\nlayout = \"hwc\"");
    sandbox.write("pack.toml", text.as_bytes());
    sandbox.pack(&[]).expect(0);
    sandbox.picture("a.png", (32, 16), RED, BLUE);
    sandbox.segment(&["a.png", "-o", "mask.png"]).expect(0);
    let mask = read_png(&sandbox.path("mask.png"));
    assert_eq!((mask.data[0], mask.data[31]), (0, 2));
    let bytes = sandbox.read("tiny.zsb");
    assert_eq!(Bundle::open(&bytes).unwrap().output_layout(), Layout::Hwc);
}

#[test]
fn pack_files_that_do_not_fit_are_explained() {
    let wrong = |from, to, texts: &[&str]| pack_changed(from, to).expect_error(1, texts);
    wrong("order =", "oder =", &["pack.toml", "unknown field `oder`"]);
    wrong("name = \"tiny\"", "", &["pack.toml", "missing field `name`"]);
    wrong("\"stretch\"", "\"squash\"", &["pack.toml", "squash"]);
    wrong("width = 8", "width = 16", &["tiny.onnx", "input", "16"]);
    wrong("width = 8", "width = 0", &["pack.toml", "[input]"]);
    wrong("name = \"image\"", "name = \"picture\"", &["tiny.onnx", "picture", "image"]);
    wrong("name = \"logits\"", "name = \"nonesuch\"", &["tiny.onnx", "nonesuch", "logits"]);
    wrong("name = \"logits\"", "name = \"pixels\"", &["[1, 4, 4, 3]", "3 classes", "\"hwc\""]);
    wrong("std = [1, 1, 1]", "std = [1, 0, 1]", &["pack.toml", "[preprocess]", "std"]);
    wrong("std = [1, 1, 1]", "std = [1, nan, 1]", &["pack.toml", "[preprocess]"]);
    wrong("kind = \"logits\"", "kind = \"linear\"", &["--head"]);
    wrong("kind = \"logits\"", "kind = \"logits\"\nconfidence_scale = 0", &["[head]"]);
    wrong("name = \"blue\"", "name = \"green\"", &["pack.toml", "occurs twice"]);
    wrong("seen = false },", "seen = false }, { name = \"more\" },", &["tiny.onnx", "4 classes"]);
    wrong("made_by", "packed", &["packed"]);
    let long = "x".repeat(70);
    wrong("\"tiny\"", &format!("\"{long}\""), &["pack.toml", "model name"]);
}

#[test]
fn classifiers_that_do_not_fit_are_explained() {
    let wrong = |bytes: &[u8], texts: &[&str]| {
        let sandbox = linear_sandbox();
        sandbox.write("head.safetensors", bytes);
        sandbox.pack(&["--head", "head.safetensors"]).expect_error(1, texts);
        assert!(!sandbox.exists("tiny.zsb"));
    };
    let mut nan = WEIGHT;
    nan[5] = f32::NAN;
    wrong(&head(&[3, 3], &nan, &[0.0; 3]), &["head.safetensors", "`weight` [1, 2] is NaN"]);
    let infinite = [0.0, f32::INFINITY, 0.0];
    wrong(&head(&[3, 3], &WEIGHT, &infinite), &["head.safetensors", "`bias` [1] is inf"]);
    wrong(&head(&[9], &WEIGHT, &[0.0; 3]), &["head.safetensors", "shape [9]"]);
    wrong(&head(&[3, 3], &WEIGHT, &[0.0; 2]), &["`bias` has shape [2]"]);
    wrong(&head(&[2, 3], &WEIGHT[..6], &[0.0; 2]), &["head.safetensors", "2 rows", "3 classes"]);
    wrong(&head(&[3, 2], &WEIGHT[..6], &[0.0; 3]), &["tiny.onnx", "[1, 3, 4, 4]", "2 columns"]);
    wrong(b"", &["head.safetensors", "safetensors"]);
}

#[test]
fn networks_that_do_not_load_are_explained() {
    let sandbox = Sandbox::with_sources();
    sandbox.write("tiny.onnx", b"not a network");
    sandbox.pack(&[]).expect_error(1, &["tiny.onnx"]);
    std::fs::remove_file(sandbox.path("tiny.onnx")).unwrap();
    sandbox.pack(&[]).expect_error(1, &["tiny.onnx", "cannot be read"]);
    assert!(!sandbox.exists("tiny.zsb"));
}

fn config(path: &str) -> Config {
    Config::parse(&std::fs::read_to_string(common::repository(path)).unwrap()).unwrap()
}

#[test]
fn the_pack_files_of_the_repository_are_read() {
    config("models/voc11-lite0-zs/pack.toml");
    config("models/deeplabv3_voc21.toml");
}

/// The shared DeepLabv3 model through `models/deeplabv3_voc21.toml`.
#[test]
fn the_shared_deeplab_model_is_packed() {
    let path = "models/deeplabv3_voc21/deeplabv3_257_mv_gpu.onnx";
    let Some(path) = common::shared(path) else { return };
    let onnx = std::fs::read(path).unwrap();
    let bytes = zsseg::convert::pack(&Sources {
        onnx: Source { name: "deeplab.onnx", data: &onnx },
        config: Source { name: "pack.toml", data: &config("models/deeplabv3_voc21.toml") },
        head: None,
        classes: None,
        card: None,
        weights: None,
        zero_shot: ZeroShotSources::default(),
    });
    let bytes = bytes.unwrap();
    let bundle = Bundle::open(&bytes).unwrap();
    assert_eq!((bundle.head().classes, bundle.grid_width(), bundle.grid_height()), (21, 33, 33));
    assert_eq!(bundle.class_index("tvmonitor"), Some(20));
}
