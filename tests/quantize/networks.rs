//! Whole networks.

use super::support::{SIDE, Waves, model, options, quantized, run, settings, source, sqnr_db};
use prost::Message;
use tract_onnx::pb::{ModelProto, NodeProto};
use zsseg::backbone::tract::{QuantizableNetwork, Wanted, lower};
use zsseg::compile::compile;
use zsseg::convert::{QuantizeSettings, RangeMethod};
use zsseg::plan::{Element, Plan, Target};
use zsseg::status::Status;

/// Whether a file has this text anywhere.
fn holds(bytes: &[u8], text: &str) -> bool {
    bytes.windows(text.len()).any(|window| window == text.as_bytes())
}

#[test]
fn a_small_network_keeps_its_numbers() {
    let onnx = model("chain_float.onnx");
    let logits = options("logits", [5, SIDE, SIDE]);
    let pictures = Waves::new(20, 24);
    for method in [RangeMethod::MinMax, RangeMethod::Percentile(99.99), RangeMethod::Mse] {
        let settings = QuantizeSettings { method: Some(method), ..settings() };
        let found = quantized(&source(&onnx, None), &settings).unwrap();
        assert!(!holds(&found.onnx, "BatchNormalization"), "batch norms are folded");
        assert_eq!(found.report.engine, "plan");
        assert!(found.report.held_out);
        for picture in 0..4 {
            let picture = pictures.values(picture);
            let (float, ours) = (run(&onnx, &logits, picture), run(&found.onnx, &logits, picture));
            let sqnr = sqnr_db(&float, &ours);
            println!("{} {sqnr:.1} dB", method.name());
            assert!(sqnr > 25.0, "{}: {sqnr}", method.name());
        }
        assert!(found.report.output_sqnr_db.unwrap() > 25.0);
        assert!(found.report.mask_disagreement < 0.1, "{}", found.report.mask_disagreement);
    }
}

#[test]
fn what_stays_in_floats_is_named() {
    let onnx = model("chain_float.onnx");
    let keep = ["narrow".to_string(), "gate".to_string()];
    let settings = QuantizeSettings { keep_float: keep.to_vec(), ..settings() };
    let found = quantized(&source(&onnx, None), &settings).unwrap();
    let float = &found.report.float_nodes;
    let names: Vec<&str> = float.iter().map(|node| &*node.name).collect();
    assert_eq!(names, ["gate", "narrow", "soft"]);
    assert_eq!(float[1].reason, "kept on request");
    assert!(float[2].reason.contains("no integer form"), "{}", float[2].reason);
    assert!(!holds(&found.onnx, "narrow_weight_quantized"));
    assert!(holds(&found.onnx, "expand_weight_quantized"));
}

#[test]
fn reading_sides_is_not_called_computing_in_floats() {
    let mut model = ModelProto::decode(&model("chain_float.onnx")[..]).unwrap();
    let graph = model.graph.as_mut().unwrap();
    let writer = graph.node.iter_mut().find(|node| node.output[0] == "logits").unwrap();
    (writer.name, writer.output[0]) = ("same".into(), "same".into());
    let node = |operator: &str, inputs: &[&str], output: &str| NodeProto {
        op_type: operator.into(),
        input: inputs.iter().map(|name| (*name).into()).collect(),
        output: vec![output.into()],
        ..NodeProto::default()
    };
    let at = graph.node.iter().position(|node| node.output[0] == "same").unwrap() + 1;
    graph.node.insert(at, node("Reshape", &["same", "sides"], "logits"));
    graph.node.insert(at, node("Shape", &["same"], "sides"));
    let found = quantized(&source(&model.encode_to_vec(), Some("logits")), &settings()).unwrap();
    let names: Vec<&str> = found.report.float_nodes.iter().map(|node| &*node.name).collect();
    assert!(!names.contains(&"sides"), "{names:?}");
}

#[test]
fn up_to_what_has_no_integer_form_everything_is_in_integers() {
    let onnx = model("chain_float.onnx");
    let found = quantized(&source(&onnx, Some("half_relu")), &settings()).unwrap();
    assert_eq!((found.report.engine, found.report.float_nodes.len()), ("plan", 0));
    let half = options("half_relu", [8, SIDE / 2, SIDE / 2]);
    let graph = lower(&found.onnx, &half).unwrap();
    let compiled = compile(graph, Target::X86_64, [0; 32]).unwrap();
    let plan = Plan::new(&compiled.bytes).unwrap();
    let is_float = |index| plan.tensor(index).unwrap().element == Element::F32;
    let steps: Vec<bool> = plan.steps().map(|step| is_float(step.output)).collect();
    let floats = steps.iter().filter(|is_float| **is_float).count();
    assert_eq!((floats, steps.last()), (1, Some(&true)), "only the result is in floats");
    assert!(!is_float(plan.input()), "the picture is read as 8-bit numbers");
}

#[test]
fn the_plan_and_the_tract_engine_agree() {
    let onnx = model("segmentation_float.onnx");
    let settings = QuantizeSettings { layers_alone: true, ..settings() };
    let found = quantized(&source(&onnx, Some("logits")), &settings).unwrap();
    let report = &found.report;
    assert_eq!(report.engine, "plan");
    let logits = options("logits", [5, SIDE / 2, SIDE / 2]);
    let pictures = Waves::new(8, 12);
    let mut total = 0.0;
    for picture in 0..4 {
        let picture = pictures.values(picture);
        total += sqnr_db(&run(&onnx, &logits, picture), &run(&found.onnx, &logits, picture)) / 4.0;
    }
    let plan = report.output_sqnr_db.unwrap();
    println!("tract {total:.2} dB, plan {plan:.2} dB");
    assert!(plan > 25.0 && (plan - total).abs() < 2.0, "{plan} and {total}");
    // No layer alone is worse than all of them, and none is without a trace.
    for layer in &report.layers {
        let alone = layer.output_sqnr_db.unwrap_or(f64::INFINITY);
        assert!(alone > plan - 1.0, "{}: {alone}", layer.name);
        assert!(layer.mask_disagreement.is_some());
    }
    assert!(report.layers.iter().any(|layer| layer.output_sqnr_db.is_some_and(|db| db < 60.0)));
}

#[test]
fn poor_layers_stay_in_floats_on_request() {
    let onnx = model("segmentation_float.onnx");
    let source = source(&onnx, Some("logits"));
    let alone = QuantizeSettings { layers_alone: true, ..settings() };
    let before = quantized(&source, &alone).unwrap();
    let mut found: Vec<f64> =
        before.report.layers.iter().skip(1).filter_map(|layer| layer.output_sqnr_db).collect();
    found.sort_by(f64::total_cmp);
    let threshold = (found[1] + found[2]) / 2.0;
    let after = QuantizeSettings { auto_float_db: Some(threshold), ..settings() };
    let after = quantized(&source, &after).unwrap();
    let kept = after.report.float_nodes.iter().filter(|node| node.reason == "kept on request");
    assert_eq!(kept.count(), 2);
    assert!(after.report.output_sqnr_db > before.report.output_sqnr_db);
}

#[test]
fn equal_networks_and_pictures_give_equal_bytes() {
    let onnx = model("chain_float.onnx");
    let settings = QuantizeSettings { equalize: true, ..settings() };
    let once = quantized(&source(&onnx, None), &settings).unwrap();
    let twice = quantized(&source(&onnx, None), &settings).unwrap();
    assert!(once.onnx == twice.onnx);
    assert_eq!(once.report.equalized.len(), 1);
}

#[test]
fn all_tensors_with_one_grid_have_it() {
    let network =
        QuantizableNetwork::parse(&model("chain_float.onnx"), &Wanted::default()).unwrap();
    let grid = |name: &str| {
        let tensor = network.tensors().iter().find(|tensor| tensor.name == name);
        tensor.map(|tensor| tensor.grid)
    };
    // Read by the concatenation only, and by others too.
    assert!(grid("large").is_some() && grid("large") == grid("both"));
    assert!(grid("residual").is_some() && grid("residual") != grid("both"));
    // In the middle of convolution and limit, of a function, and after the last layer.
    for name in ["stem_norm", "depthwise_norm", "logits", "half"] {
        assert_eq!(grid(name), None, "{name}");
    }
}

#[test]
fn a_network_is_not_quantised_twice() {
    for name in ["segmentation_qdq_u8.onnx", "segmentation_qop_u8.onnx"] {
        let error = QuantizableNetwork::parse(&model(name), &Wanted::default()).err().unwrap();
        assert_eq!(error.status(), Status::Unsupported);
        assert!(error.to_string().contains("quantised already"), "{error}");
        assert!(error.to_string().contains("zsseg pack"), "{error}");
    }
}
