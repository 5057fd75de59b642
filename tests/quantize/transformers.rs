//! Linear layers, normalisations and attention.

use super::support::{SIDE, Waves, model, options, quantized, run, settings, source, sqnr_db, tap};
use std::collections::HashMap;
use zsseg::backbone::tract::{Network, QuantizableNetwork, Wanted, lower_network};
use zsseg::compile::{Compiled, compile};
use zsseg::convert::{
    QuantizeSettings, Report, Samples, TakeTap, corrected_biases, quantize_weights,
};
use zsseg::plan::{Element, Operation, Plan, Target};
use zsseg::spec::InputType;
use zsseg::status::Status;

const LAYERS: [&str; 11] = [
    "a_qkv", "a_out", "a_fc1", "a_fc2", "b_query", "b_key", "b_value", "b_out", "b_fc1", "b_fc2",
    "patches",
];

fn onnx() -> Vec<u8> {
    model("transformer_float.onnx")
}

fn network() -> QuantizableNetwork {
    QuantizableNetwork::parse(&onnx(), &Wanted::default()).unwrap()
}

fn automatic() -> QuantizeSettings {
    QuantizeSettings { method: None, ..settings() }
}

fn names(report: &Report, operators: &[&str]) -> Vec<String> {
    let of_kind = |operator: &str| operators.contains(&operator);
    let layers = report.layers.iter().filter(|layer| of_kind(&layer.operator));
    let mut names: Vec<String> = layers.map(|layer| layer.name.clone()).collect();
    names.sort();
    names
}

/// Mean signal-to-noise ratio over pictures that were not calibrated with.
fn held_out_db(quantized: &[u8]) -> f64 {
    let tokens = options("tokens", [16, SIDE / 4, SIDE / 4]);
    let pictures = Waves::new(20, 28);
    let db = |picture: usize| {
        let picture = pictures.values(picture);
        sqnr_db(&run(&onnx(), &tokens, picture), &run(quantized, &tokens, picture))
    };
    (0..pictures.len()).map(db).sum::<f64>() / pictures.len() as f64
}

/// The blocks as a plan, before the class token is cut off.
fn compiled(onnx: &[u8]) -> Compiled {
    let side = SIDE as usize;
    let network = Network {
        input_name: "image",
        element: InputType::F32,
        input_shape: &[1, 3, side, side],
        outputs: &["b_residual2"],
    };
    compile(lower_network(onnx, &network).unwrap(), Target::X86_64, [0; 32]).unwrap()
}

/// Elements of what each step reads first and of what it gives, by the kind of the step.
fn elements(compiled: &Compiled) -> HashMap<&'static str, Vec<[Element; 2]>> {
    let plan = Plan::new(&compiled.bytes).unwrap();
    let element = |index| plan.tensor(index).map_or(Element::F32, |tensor| tensor.element);
    let mut found: HashMap<&str, Vec<[Element; 2]>> = HashMap::new();
    for step in plan.steps() {
        let kind = match step.operation {
            Operation::Convolution { .. } => "layer",
            Operation::MatrixProduct { .. } => "product",
            Operation::Attention { .. } => "attention",
            Operation::Softmax => "softmax",
            Operation::LayerNorm { .. } => "norm",
            Operation::Quantize => "quantize",
            Operation::Dequantize => "dequantize",
            _ => continue,
        };
        found.entry(kind).or_default().push([element(step.inputs[0]), element(step.output)]);
    }
    found
}

#[test]
fn a_transformer_keeps_its_numbers() {
    let found = quantized(&source(&onnx(), None), &automatic()).unwrap();
    let report = &found.report;
    assert_eq!((report.engine, report.method), ("plan", "minmax"));
    let mut layers = LAYERS;
    layers.sort();
    assert_eq!(names(report, &["MatMul", "Gemm", "Conv"]), layers);
    let tract = held_out_db(&found.onnx);
    let plan = report.output_sqnr_db.unwrap();
    println!("tract {tract:.1} dB, plan {plan:.1} dB");
    assert!(tract > 30.0 && plan > 30.0, "{tract} and {plan}");
}

#[test]
fn linear_layers_are_computed_in_integers_and_the_rest_in_floats() {
    let found = quantized(&source(&onnx(), None), &automatic()).unwrap();
    let compiled = compiled(&found.onnx);
    let steps = elements(&compiled);
    let layers = &steps["layer"];
    // Queries, keys and values of the first block are three layers: tract cuts their weights apart.
    assert_eq!(layers.len(), LAYERS.len() + 2);
    assert!(layers.iter().all(|[from, _]| *from == Element::U8), "{layers:?}");
    // All but what a function reads, which is a table in the layer itself.
    assert_eq!(layers.iter().filter(|[_, to]| *to == Element::U8).count(), 2);
    let norm = [Element::F32, Element::U8];
    assert_eq!(steps["norm"], [norm; 4]);
    assert_eq!(steps["quantize"].len(), 2, "what both attentions give");
    assert!(!steps.contains_key("dequantize"));
}

#[test]
fn attention_is_computed_in_integers_on_request() {
    let settings = QuantizeSettings { attention: true, ..automatic() };
    let found = quantized(&source(&onnx(), None), &settings).unwrap();
    let products = ["a_mixed", "a_scores", "b_mixed", "b_scores"];
    let report = names(&found.report, &["MatMul"]);
    assert!(products.iter().all(|name| report.contains(&name.to_string())), "{report:?}");
    let compiled = compiled(&found.onnx);
    let steps = elements(&compiled);
    let (scores, mixed) = ([Element::U8, Element::F32], [Element::U8; 2]);
    assert_eq!(steps["product"], [scores, mixed, scores, mixed]);
    assert_eq!(steps["softmax"], [[Element::F32, Element::U8]; 2]);
    assert!(!steps.contains_key("quantize") && !steps.contains_key("dequantize"));
    let (tract, plan) = (held_out_db(&found.onnx), found.report.output_sqnr_db.unwrap());
    println!("tract {tract:.1} dB, plan {plan:.1} dB");
    assert!(tract > 25.0 && plan > 25.0, "{tract} and {plan}");
}

#[test]
fn smoothing_changes_no_bit_of_the_float_network() {
    let (before, mut network) = (network(), network());
    let float = |network: &QuantizableNetwork| network.write(&network.float_numbers()).unwrap();
    let norms = network.norms();
    let tensors: Vec<&str> = norms.iter().map(|norm| &*norm.tensor).collect();
    // The last one is read by no layer.
    assert_eq!(tensors, ["a_norm1", "a_norm2", "b_norm1", "b_norm2"]);
    assert_eq!(norms[2].layers.len(), 3);
    for (at, norm) in norms.iter().enumerate() {
        let factors: Vec<f32> =
            (0..norm.channels).map(|one| 2f32.powi(one as i32 % 7 - 3)).collect();
        network.scale_norm(at, &factors).unwrap();
    }
    let picture = Waves::new(0, 1);
    let of = |onnx: &[u8], name: &str| tap(onnx, name, picture.values(0));
    let (one, other) = (float(&before), float(&network));
    assert_eq!(of(&one, "tokens"), of(&other, "tokens"));
    for (at, norm) in norms.iter().enumerate() {
        let (one, other) = (of(&one, &norm.tensor), of(&other, &norm.tensor));
        let scaled: Vec<f32> = one
            .iter()
            .enumerate()
            .map(|(place, value)| value * 2f32.powi((place % norm.channels) as i32 % 7 - 3))
            .collect();
        assert_eq!(scaled, other, "norm {at}");
    }
}

#[test]
fn smoothing_leaves_small_channels_more_steps() {
    let with = quantized(&source(&onnx(), None), &automatic()).unwrap();
    let without = QuantizeSettings { smooth: false, ..automatic() };
    let without = quantized(&source(&onnx(), None), &without).unwrap();
    let smoothed = &with.report.smoothed;
    assert_eq!((smoothed.len(), without.report.smoothed.len()), (4, 0));
    for norm in smoothed {
        assert!(norm.strength > 0.0 && norm.error_after < 0.5 * norm.error_before, "{norm:?}");
    }
    let (with, without) = (held_out_db(&with.onnx), held_out_db(&without.onnx));
    println!("{with:.1} dB with, {without:.1} dB without");
    assert!(with > without + 3.0, "{with} and {without}");
}

#[test]
fn factors_that_make_no_sense_are_refused() {
    let mut network = network();
    let good = vec![2.0; 16];
    let refused = |network: &mut QuantizableNetwork, at: usize, factors: &[f32]| {
        let error = network.scale_norm(at, factors).unwrap_err();
        assert_eq!(error.status(), Status::InvalidArgument);
    };
    refused(&mut network, 4, &good);
    refused(&mut network, 0, &good[1..]);
    for bad in [0.0, -1.0, f32::NAN, f32::INFINITY] {
        let factors = [&good[1..], &[bad]].concat();
        refused(&mut network, 0, &factors);
    }
    network.scale_norm(0, &good).unwrap();
}

#[test]
fn folded_and_rewritten_layers_give_what_the_network_gave() {
    let network = network();
    let written = network.write(&network.float_numbers()).unwrap();
    let scale = ["b_scale1", "b_scale2"].map(str::as_bytes);
    let holds = |name: &&[u8]| written.windows(name.len()).any(|window| window == *name);
    assert!(!scale.iter().any(holds), "LayerScale is folded");
    let keep: Vec<String> = ["a_fc1", "b_fc1"].map(String::from).to_vec();
    let wanted = Wanted { keep_float: &keep, ..Wanted::default() };
    let kept = QuantizableNetwork::parse(&onnx(), &wanted).unwrap();
    assert_eq!(kept.layers().len(), LAYERS.len() - 2);
    let picture = Waves::new(3, 4);
    let of = |onnx: &[u8]| tap(onnx, "tokens", picture.values(0));
    let found = [of(&written), of(&kept.write(&kept.float_numbers()).unwrap())];
    for found in found {
        let db = sqnr_db(&of(&onnx()), &found);
        assert!(db > 110.0, "{db}");
    }
}

#[test]
fn a_linear_layer_is_the_product_of_its_integers() {
    let network = network();
    let found = quantized(
        &source(&onnx(), None),
        &QuantizeSettings { smooth: false, bias_correction: false, ..automatic() },
    );
    let found = found.unwrap();
    let picture = Waves::new(30, 31);
    let of = |name: &str| tap(&found.onnx, name, picture.values(0));
    for name in ["a_qkv", "a_out", "a_fc2", "b_query", "b_out"] {
        let layer = network.layers().iter().find(|layer| layer.name == name).unwrap();
        let (read, given) = (of(&layer.input), of(&layer.result));
        let weights = quantize_weights(layer, None);
        let grid = found.report.tensors.iter().find(|tensor| tensor.name == layer.input).unwrap();
        let inputs = layer.per_channel();
        let (mut error, mut energy) = (0.0f64, 0.0f64);
        for (row, given) in read.chunks(inputs).zip(given.chunks(layer.channels())) {
            let filters = weights.steps.chunks(inputs).zip(&weights.scales).zip(&layer.bias);
            for (((steps, scale), bias), given) in filters.zip(given) {
                let products = steps.iter().zip(row).map(|(w, x)| f64::from(*w) * f64::from(*x));
                let unit = f64::from(grid.scale) * f64::from(*scale);
                let bias = (f64::from(*bias) / unit).round() * unit;
                let value = products.sum::<f64>() * f64::from(*scale) + bias;
                error += (value - f64::from(*given)).powi(2);
                energy += value.powi(2);
            }
        }
        // Floats of the result are rounded, nothing else.
        let db = 10.0 * (energy / error).log10();
        println!("{name}: {db:.1} dB");
        assert!(db > 110.0, "{name}: {db}");
    }
}

#[test]
fn biases_of_products_take_the_mean_error_of_each_channel_out() {
    let network = network();
    let pictures = Waves::new(0, 6);
    let mut numbers = network.float_numbers();
    for (weights, layer) in numbers.weights.iter_mut().zip(network.layers()) {
        let mut coarse = quantize_weights(layer, None);
        coarse.steps.iter_mut().for_each(|step| *step = *step / 16 * 16);
        *weights = Some(coarse);
    }
    let mut run = |onnx: &[u8], names: &[&str], take: &mut TakeTap<'_>| {
        for picture in 0..pictures.len() {
            for (at, name) in names.iter().enumerate() {
                take(picture, at, &[&tap(onnx, name, pictures.values(picture))])?;
            }
        }
        Ok(())
    };
    let corrected = corrected_biases(&network, &numbers, &mut run).unwrap();
    let means = |onnx: &[u8], name: &str, channels: usize| {
        let mut sums = vec![0.0f64; channels];
        for picture in 0..pictures.len() {
            let values = tap(onnx, name, pictures.values(picture));
            let rows = (values.len() / channels) as f64;
            for (at, value) in values.iter().enumerate() {
                sums[at % channels] += f64::from(*value) / rows;
            }
        }
        sums
    };
    let float = network.write(&network.float_numbers()).unwrap();
    for (at, layer) in network.layers().iter().enumerate() {
        if layer.operator == "Conv" {
            continue;
        }
        let wanted = means(&float, &layer.sum, layer.channels());
        let mut alone = network.float_numbers();
        alone.weights[at].clone_from(&numbers.weights[at]);
        let mut error = |bias: &[f32]| {
            alone.biases[at] = bias.to_vec();
            let found = means(&network.write(&alone).unwrap(), &layer.sum, layer.channels());
            found.iter().zip(&wanted).map(|(found, wanted)| (found - wanted).abs()).sum::<f64>()
        };
        let (before, after) = (error(&layer.bias), error(&corrected[at]));
        assert!(after < 0.01 * before, "{}: {before:e} to {after:e}", layer.name);
    }
}

#[test]
fn weights_of_products_that_are_not_finite() {
    let mut onnx = onnx();
    let network = network();
    let layer = network.layers().iter().find(|layer| layer.name == "a_fc2").unwrap();
    let first = layer.weights[0].to_le_bytes();
    let at = onnx.windows(4).position(|four| four == first).unwrap();
    onnx[at..at + 4].copy_from_slice(&f32::NAN.to_le_bytes());
    let error = QuantizableNetwork::parse(&onnx, &Wanted::default()).err().unwrap();
    assert_eq!(error.status(), Status::InvalidArgument);
    assert!(error.to_string().contains("a_fc2"), "{error}");
}
