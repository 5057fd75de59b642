//! What makes no sense is an error that says so.

use super::support::{Waves, model, quantized, settings, source};
use zsseg::backbone::tract::{Numbers, QuantizableNetwork, Wanted};
use zsseg::convert::{QuantizeSettings, quantize};
use zsseg::status::Status;

#[test]
fn files_that_are_no_networks() {
    let chain = model("chain_float.onnx");
    for bytes in [&b""[..], b"nonsense", &chain[..chain.len() / 2]] {
        let error = QuantizableNetwork::parse(bytes, &Wanted::default()).err().unwrap();
        assert_eq!(error.status(), Status::ModelLoad, "{error}");
    }
}

#[test]
fn names_that_are_not_there() {
    let chain = model("chain_float.onnx");
    let error =
        QuantizableNetwork::parse(&chain, &Wanted { output: Some("nowhere"), ..Wanted::default() })
            .err()
            .unwrap();
    assert!(error.to_string().contains("\"nowhere\""), "{error}");
    let error = QuantizableNetwork::parse(
        &chain,
        &Wanted { keep_float: &["nobody".into()], ..Wanted::default() },
    )
    .err()
    .unwrap();
    assert_eq!(error.status(), Status::InvalidArgument);
    assert!(error.to_string().contains("\"nobody\""), "{error}");
}

#[test]
fn networks_without_layers() {
    let chain = model("chain_float.onnx");
    let all = ["stem", "depthwise", "project", "expand", "squeeze", "narrow", "half", "logits"];
    let all = all.map(String::from);
    // The batch norms go into the layers, which then have their names.
    let error =
        QuantizableNetwork::parse(&chain, &Wanted { keep_float: &all, ..Wanted::default() })
            .err()
            .unwrap();
    assert_eq!(error.status(), Status::Unsupported);
    assert!(error.to_string().contains("weights"), "{error}");
}

#[test]
fn weights_that_are_not_finite() {
    let mut chain = model("chain_float.onnx");
    let bias = QuantizableNetwork::parse(&chain, &Wanted::default()).unwrap();
    let bias = bias.layers().iter().find(|layer| layer.name == "narrow").unwrap().bias[0];
    let at = chain.windows(4).position(|four| four == bias.to_le_bytes()).unwrap();
    chain[at..at + 4].copy_from_slice(&f32::NAN.to_le_bytes());
    let error = QuantizableNetwork::parse(&chain, &Wanted::default()).err().unwrap();
    assert_eq!(error.status(), Status::InvalidArgument);
    assert!(error.to_string().contains("\"narrow\""), "{error}");
}

#[test]
fn numbers_of_another_network() {
    let network =
        QuantizableNetwork::parse(&model("chain_float.onnx"), &Wanted::default()).unwrap();
    let good = network.float_numbers();
    let short = |change: fn(&mut Numbers)| {
        let mut numbers = good.clone();
        change(&mut numbers);
        network.write(&numbers).unwrap_err().status()
    };
    let shorter: [fn(&mut Numbers); 3] = [
        |numbers| numbers.tensors.truncate(1),
        |numbers| numbers.weights.truncate(1),
        |numbers| numbers.biases[0].truncate(1),
    ];
    for change in shorter {
        assert_eq!(short(change), Status::InvalidArgument);
    }
    assert_eq!(network.write_probes(&[]).unwrap_err().status(), Status::InvalidArgument);
}

#[test]
fn pictures_that_are_missing_or_broken() {
    let chain = model("chain_float.onnx");
    let source = source(&chain, None);
    let (none, some) = (Waves::new(0, 0), Waves::new(0, 2));
    let error = quantize(&source, &none, &some, &settings(), &mut |_| {}).unwrap_err();
    assert!(error.to_string().contains("no pictures"), "{error}");
    let mut broken = Waves::new(0, 2);
    broken.values_mut(1)[5] = f32::NAN;
    let error = quantize(&source, &broken, &some, &settings(), &mut |_| {}).unwrap_err();
    assert!(error.to_string().contains("wave 1"), "{error}");
    assert!(error.to_string().contains("not finite"), "{error}");
}

#[test]
fn constant_pictures_are_well_defined() {
    let chain = model("chain_float.onnx");
    let mut grey = Waves::new(0, 2);
    grey.values_mut(0).fill(0.0);
    grey.values_mut(1).fill(0.0);
    for equalize in [false, true] {
        let settings = QuantizeSettings { equalize, ..settings() };
        let found = quantize(&source(&chain, None), &grey, &grey, &settings, &mut |_| {}).unwrap();
        assert!(!found.report.held_out);
        assert_eq!(found.report.tensors[0].scale, 1.0, "the picture's range is one point");
    }
    assert!(quantized(&source(&chain, Some("stem_relu")), &settings()).is_ok());
}
