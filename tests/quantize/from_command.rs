//! The command itself.

use super::command::{GREEN, PACK_TOML, RED, Ran, Sandbox};
use super::support::model;
use zsseg::bundle::Bundle;

/// A pack file for 16 x 16 pictures and five classes.
fn chain_toml() -> String {
    let (start, _) = PACK_TOML.split_once("[classes]").unwrap();
    let start = start.replace("width = 8\nheight = 8", "width = 16\nheight = 16");
    start + "[classes]\nbackground = \"a\"\nnames = [\"a\", \"b\", \"c\", \"d\", \"e\"]\n"
}

/// A network, its pack file and a folder of three pictures.
fn sandbox() -> Sandbox {
    let sandbox = Sandbox::new();
    sandbox.write("chain.onnx", &model("chain_float.onnx"));
    sandbox.write("chain.toml", chain_toml().as_bytes());
    std::fs::create_dir(sandbox.path("pictures")).unwrap();
    sandbox.picture("pictures/a.png", (20, 16), RED, GREEN);
    sandbox.picture("pictures/b.png", (16, 24), GREEN, [9, 200, 90]);
    sandbox.picture("pictures/c.jpg", (33, 31), [250, 250, 10], RED);
    sandbox.write("pictures/notes.txt", b"no picture");
    sandbox
}

fn quantize(sandbox: &Sandbox, more: &[&str]) -> Ran {
    let start = ["quantize", "chain.onnx", "--calibration", "pictures", "-o", "int8.onnx"];
    sandbox.run(&[&start, more].concat())
}

const CONFIG: [&str; 2] = ["--config", "chain.toml"];

#[test]
fn a_quantised_network_is_packed_and_segments() {
    let sandbox = sandbox();
    let more = ["--report", "report.json", "--pictures", "2", "--check-pictures", "1"];
    let ran = quantize(&sandbox, &[&CONFIG[..], &more].concat()).expect(0);
    for text in ["SQNR", "stem", "in floats: soft (Softplus)", "1 other pictures", "int8.onnx"] {
        assert!(ran.out.contains(text), "no \"{text}\" in:\n{}", ran.out);
    }
    let report: serde_json::Value = serde_json::from_slice(&sandbox.read("report.json")).unwrap();
    assert_eq!((&report["method"], &report["percentile"]), (&"percentile".into(), &99.99.into()));
    assert_eq!(
        (&report["calibration_pictures"], &report["check_pictures"]),
        (&2.into(), &1.into())
    );
    assert_eq!(report["held_out"], true);
    let layers = report["layers"].as_array().unwrap();
    assert!(layers.iter().all(|layer| layer["mask_disagreement"].is_number()), "{layers:?}");

    let pack = ["pack", "--onnx", "int8.onnx", "--config", "chain.toml", "-o", "tiny.zsb"];
    sandbox.run(&pack).expect(0);
    Bundle::open(&sandbox.read("tiny.zsb")).unwrap();
    sandbox.segment(&["pictures/a.png", "-o", "mask.png"]).expect(0);
    assert!(sandbox.exists("mask.png"));
}

#[test]
fn reports_of_layers_are_tables_too() {
    let sandbox = sandbox();
    let more = ["--report", "report.csv", "--no-layers", "--quiet", "--method", "minmax"];
    let ran = quantize(&sandbox, &[&CONFIG[..], &more].concat()).expect(0);
    assert_eq!(ran.err, "");
    let table = String::from_utf8(sandbox.read("report.csv")).unwrap();
    let lines: Vec<&str> = table.lines().collect();
    assert!(lines[0].starts_with("layer,operator,tensor,sqnr_db"), "{}", lines[0]);
    assert!(lines[2].starts_with("stem,Conv,stem_relu,"), "{}", lines[2]);
    assert!(lines.iter().all(|line| line.split(',').count() == 6), "{table}");
}

#[test]
fn transformers_have_options_of_their_own() {
    let sandbox = sandbox();
    sandbox.write("chain.onnx", &model("transformer_float.onnx"));
    let toml = "[input]\nname = \"image\"\nwidth = 16\nheight = 16\n[preprocess]\nprofile = \"imagenet\"\nfit = \"stretch\"\n";
    sandbox.write("chain.toml", toml.as_bytes());
    let run = |more: &[&str]| {
        let always = [&CONFIG[..], &["--no-layers", "--quiet"], more].concat();
        quantize(&sandbox, &always).expect(0).out
    };
    let plain = run(&[]);
    assert!(plain.contains("in floats: a_scores (MatMul)") && plain.contains("ranges by minmax"));
    assert!(plain.contains("smoothed: b_norm2:"), "{plain}");
    let other = run(&["--attention", "--smooth", "false", "--percentile", "99.9"]);
    assert!(!other.contains("a_scores (MatMul)") && !other.contains("smoothed"), "{other}");
    assert!(other.contains("ranges by percentile"), "{other}");
    quantize(&sandbox, &["--smooth", "perhaps"]).expect_error(2, &["perhaps"]);
}

#[test]
fn arrays_need_no_pack_file() {
    let sandbox = sandbox();
    let header = "{'descr': '<f4', 'fortran_order': False, 'shape': (1, 3, 16, 16), }\n";
    let file = |values: &[f32]| {
        let len = (header.len() as u16).to_le_bytes();
        let values: Vec<u8> = values.iter().flat_map(|value| value.to_le_bytes()).collect();
        [b"\x93NUMPY\x01\x00", &len[..], header.as_bytes(), &values].concat()
    };
    std::fs::create_dir(sandbox.path("arrays")).unwrap();
    let values: Vec<f32> = (0..768).map(|at| (at as f32 * 0.7).sin()).collect();
    sandbox.write("arrays/a.npy", &file(&values));
    let start = ["quantize", "chain.onnx", "--calibration", "arrays", "-o", "int8.onnx"];
    let more = ["--no-layers", "--quiet"];
    let ran = sandbox.run(&[&start[..], &more].concat()).expect(0);
    assert!(ran.out.contains("1 of the same pictures"), "{}", ran.out);
    let first = sandbox.read("int8.onnx");
    sandbox.run(&[&start[..], &more].concat()).expect(0);
    assert!(sandbox.read("int8.onnx") == first, "equal inputs give equal bytes");

    sandbox.write("arrays/b.npy", &file(&values[..100]));
    sandbox.run(&[&start[..], &more].concat()).expect_error(1, &["b.npy"]);
    sandbox.write("arrays/b.npy", &file(&[&values[..767], &[f32::NAN]].concat()));
    sandbox.run(&[&start[..], &more].concat()).expect_error(1, &["b.npy", "NaN"]);
}

#[test]
fn bad_inputs_leave_nothing_behind() {
    let sandbox = sandbox();
    quantize(&sandbox, &[]).expect_error(1, &["a.png", "--config"]);
    let with = |more: &[&str]| quantize(&sandbox, &[&CONFIG[..], &["--quiet"], more].concat());
    with(&["--keep-float", "nobody"]).expect_error(1, &["\"nobody\""]);
    with(&["--tensor", "nowhere"]).expect_error(1, &["\"nowhere\""]);
    with(&["--method", "best"]).expect_error(2, &["best"]);
    with(&["--percentile", "3"]).expect_error(2, &["above 50"]);
    with(&["--auto-float", "inf"]).expect_error(2, &["--auto-float"]);
    with(&["--head", "chain.toml"]).expect_error(1, &["chain.toml"]);
    with(&["--calibration", "nowhere"]).expect(2);
    std::fs::create_dir(sandbox.path("empty")).unwrap();
    let of = |model: &str, folder: &str| {
        let start = ["quantize", model, "--calibration", folder, "-o", "int8.onnx", "--quiet"];
        sandbox.run(&[&start, &CONFIG[..]].concat())
    };
    of("chain.onnx", "empty").expect_error(1, &["empty", "no pictures"]);
    of("chain.onnx", "missing").expect_error(1, &["missing"]);
    of("chain.toml", "pictures").expect_error(1, &["chain.toml"]);
    sandbox.write("done.onnx", &model("segmentation_qdq_u8.onnx"));
    of("done.onnx", "pictures").expect_error(1, &["quantised already", "zsseg pack"]);
    sandbox.write("pictures/d.png", b"not a picture");
    of("chain.onnx", "pictures").expect_error(1, &["d.png"]);
    assert!(!sandbox.exists("int8.onnx"));
}
