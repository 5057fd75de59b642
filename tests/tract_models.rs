//! The tract engine against onnxruntime, and against models that are not what they should be.

#![cfg(feature = "tract")]

use std::fs;
use std::path::{Path, PathBuf};
use zsseg::backbone::Backbone;
use zsseg::backbone::tract::{Options, TractBackbone};
use zsseg::image::Target;
use zsseg::map::Layout;
use zsseg::spec::{Input, InputType, Precision, SecondOutput};
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

/// A line of cases.txt.
#[derive(Clone)]
struct Case {
    stem: String,
    output: String,
    channels: u32,
    height: u32,
    width: u32,
    tolerance: f32,
}

impl Case {
    fn all() -> Vec<Case> {
        let text = String::from_utf8(read("cases.txt")).unwrap();
        text.lines().map(Case::parse).collect()
    }

    fn named(stem: &str) -> Case {
        Case::all().into_iter().find(|case| case.stem == stem).unwrap()
    }

    fn parse(line: &str) -> Case {
        let words: Vec<&str> = line.split(' ').collect();
        Case {
            stem: words[0].into(),
            output: words[1].into(),
            channels: words[2].parse().unwrap(),
            height: words[3].parse().unwrap(),
            width: words[4].parse().unwrap(),
            tolerance: words[5].parse().unwrap(),
        }
    }

    fn model(&self) -> Vec<u8> {
        read(&format!("{}.onnx", self.stem))
    }

    fn options(&self) -> Options<'_> {
        Options {
            input: Input {
                width: SIDE,
                height: SIDE,
                layout: Layout::Chw,
                element: InputType::F32,
            },
            input_name: "image",
            output_name: &self.output,
            channels: self.channels,
            grid_height: self.height,
            grid_width: self.width,
            output_layout: Layout::Chw,
            second: None,
            precision: Precision::AsModel,
            threads: 1,
        }
    }
}

fn segment(backbone: &mut TractBackbone, image: &[f32]) -> Vec<f32> {
    let Target::F32(target) = backbone.input().unwrap() else { panic!("not a float input") };
    target.copy_from_slice(image);
    backbone.run().unwrap();
    backbone.output().unwrap().data().to_vec()
}

fn largest_difference(a: &[f32], b: &[f32]) -> f32 {
    assert_eq!(a.len(), b.len());
    a.iter().zip(b).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max)
}

#[test]
fn every_form_agrees_with_onnxruntime_within_a_step() {
    let image = floats("image.input");
    for case in Case::all() {
        let mut backbone = TractBackbone::load(&case.model(), &case.options())
            .unwrap_or_else(|error| panic!("{}: {error}", case.stem));
        let found = segment(&mut backbone, &image);
        let expected = floats(&format!("{}.expected", case.stem));
        let difference = largest_difference(&found, &expected);
        println!("{} {difference:e} of {:e} {:?}", case.stem, case.tolerance, backbone.coverage());
        assert!(difference <= 1.001 * case.tolerance, "{}: {difference}", case.stem);
    }
}

#[test]
fn quantised_layers_give_onnxruntime_s_integers() {
    let image = floats("image.input");
    // Whole networks, and what of two others comes before an average and a softmax, which
    // onnxruntime computes in integers of its own.
    let scaled = "scaled_DequantizeLinear_Output";
    for (stem, inner) in [
        ("classifier_qdq_u8", None),
        ("classifier_qdq_s8", None),
        ("reordered_qdq_forth", None),
        ("segmentation_qdq_u8", Some(("scaled_qdq_u8", scaled))),
        ("segmentation_qdq_s8", Some(("scaled_qdq_s8", scaled))),
    ] {
        let case = Case::named(stem);
        let (expected, options) = match inner {
            None => (stem, case.options()),
            Some((expected, output_name)) => {
                let shape =
                    Options { channels: 16, grid_height: 16, grid_width: 16, ..case.options() };
                (expected, Options { output_name, ..shape })
            }
        };
        let mut backbone = TractBackbone::load(&case.model(), &options).unwrap();
        let found = segment(&mut backbone, &image);
        assert_eq!(found, floats(&format!("{expected}.expected")), "{stem}");
    }
}

#[test]
fn the_order_of_summation_makes_no_difference() {
    let image = floats("image.input");
    let [forth, back] = ["reordered_qdq_forth", "reordered_qdq_back"].map(|stem| {
        let case = Case::named(stem);
        let mut backbone = TractBackbone::load(&case.model(), &case.options()).unwrap();
        segment(&mut backbone, &image)
    });
    assert_eq!(forth, back);
}

#[test]
fn a_backbone_gives_the_same_for_the_same_picture_and_keeps_its_input_where_it_is() {
    let image = floats("image.input");
    let case = Case::named("segmentation_qdq_u8");
    let mut backbone = TractBackbone::load(&case.model(), &case.options()).unwrap();
    let mut address = || match backbone.input().unwrap() {
        Target::F32(values) => values.as_ptr() as usize,
        _ => 0,
    };
    let before = address();
    let first = segment(&mut backbone, &image);
    let other: Vec<f32> = image.iter().map(|value| value * -0.5).collect();
    assert_ne!(first, segment(&mut backbone, &other));
    assert_eq!(first, segment(&mut backbone, &image));
    let Target::F32(values) = backbone.input().unwrap() else { panic!() };
    assert_eq!(before, values.as_ptr() as usize);
}

#[test]
fn any_number_of_threads_gives_the_same() {
    let image = floats("image.input");
    for stem in ["segmentation_float", "segmentation_qdq_u8", "segmentation_qop_s8"] {
        let case = Case::named(stem);
        let mut results = [1, 3].map(|threads| {
            let options = Options { threads, ..case.options() };
            let mut backbone = TractBackbone::load(&case.model(), &options).unwrap();
            segment(&mut backbone, &image)
        });
        let [one, three] = &mut results;
        assert_eq!(one, three, "{stem}");
    }
    let case = Case::named("segmentation_float");
    let none = TractBackbone::load(&case.model(), &Options { threads: 0, ..case.options() });
    assert_eq!(none.err().unwrap().status(), Status::InvalidArgument);
}

#[test]
fn output_comes_after_the_first_run_only() {
    let case = Case::named("classifier_float");
    let mut backbone = TractBackbone::load(&case.model(), &case.options()).unwrap();
    assert_eq!(backbone.output().unwrap_err().status(), Status::InvalidState);
    backbone.run().unwrap();
    assert_eq!(backbone.output().unwrap().channels(), 10);
}

#[test]
fn numbers_that_are_not_finite_do_no_harm() {
    for case in Case::all() {
        let mut backbone = TractBackbone::load(&case.model(), &case.options()).unwrap();
        for value in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY, f32::MAX] {
            segment(&mut backbone, &vec![value; 3 * (SIDE * SIDE) as usize]);
        }
        let image = floats("image.input");
        let difference = largest_difference(
            &segment(&mut backbone, &image),
            &floats(&format!("{}.expected", case.stem)),
        );
        assert!(difference <= 1.001 * case.tolerance, "{}: {difference}", case.stem);
    }
}

#[test]
fn the_output_may_be_any_tensor() {
    let image = floats("image.input");
    let whole = Case::named("segmentation_float");
    let mut backbone = TractBackbone::load(&whole.model(), &whole.options()).unwrap();
    let probabilities = segment(&mut backbone, &image);
    let options = Options { output_name: "logits", ..whole.options() };
    let mut backbone = TractBackbone::load(&whole.model(), &options).unwrap();
    let mut logits = segment(&mut backbone, &image);
    let cells = logits.len() / 5;
    for cell in 0..cells {
        let sum: f32 = (0..5).map(|c| logits[c * cells + cell].exp()).sum();
        (0..5).for_each(|c| logits[c * cells + cell] = logits[c * cells + cell].exp() / sum);
    }
    assert!(largest_difference(&logits, &probabilities) < 1e-5);
}

#[test]
fn an_integer_output_is_dequantised() {
    let image = floats("image.input");
    for (stem, integers) in [
        ("segmentation_qop_u8", "probabilities_quantized"),
        ("segmentation_qdq_s8", "probabilities_QuantizeLinear_Output"),
        ("segmentation_qop_s8", "logits_quantized"),
    ] {
        let case = Case::named(stem);
        let options = Options { output_name: integers, ..case.options() };
        let mut backbone = TractBackbone::load(&case.model(), &options)
            .unwrap_or_else(|error| panic!("{stem}: {error}"));
        let found = segment(&mut backbone, &image);
        if integers.starts_with("probabilities") {
            let expected = floats(&format!("{stem}.expected"));
            assert!(largest_difference(&found, &expected) <= 1.001 * case.tolerance);
        }
    }
}

#[test]
fn float_activations_keep_the_limits_that_stand_for_a_relu() {
    let image = floats("image.input");
    let float = floats("segmentation_float.expected");
    for stem in ["segmentation_qdq_u8", "segmentation_qdq_s8"] {
        let case = Case::named(stem);
        let options = Options { precision: Precision::FloatActivations, ..case.options() };
        let mut backbone = TractBackbone::load(&case.model(), &options).unwrap();
        assert_eq!(backbone.coverage().emulated_quantizations, 0);
        let difference = largest_difference(&segment(&mut backbone, &image), &float);
        println!("{stem} {difference}");
        // What is left are the rounded weights and values beyond those of the calibration.
        assert!(difference < 0.05, "{stem}: {difference}");
    }
}

#[test]
fn coverage_counts_what_a_hand_counts() {
    // Inputs x outputs x taps x positions of the five convolutions; depthwise has one input each.
    let macs = 3 * 8 * 9 * 256 + 8 * 9 * 256 + 8 * 8 * 256 + 16 * 16 + 16 * 5 * 64;
    for case in Case::all() {
        let backbone = TractBackbone::load(&case.model(), &case.options()).unwrap();
        let coverage = backbone.coverage();
        let is_quantized = case.stem.contains("_q");
        assert_eq!(coverage.emulated_quantizations > 0, is_quantized, "{}", case.stem);
        if !case.stem.starts_with("segmentation") {
            continue;
        }
        let exact = (coverage.exact_nodes, coverage.exact_macs);
        let float = (coverage.float_nodes, coverage.float_macs);
        let (all, none) = if is_quantized { (exact, float) } else { (float, exact) };
        assert_eq!((all, none), ((5, macs), (0, 0)), "{}", case.stem);
        assert_eq!((coverage.integer_nodes, coverage.integer_macs), (0, 0), "{}", case.stem);
    }
}

#[test]
fn the_shared_network_runs() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/data/models");
    let path = folder.join("deeplabv3_voc21/deeplabv3_257_mv_gpu.onnx");
    let Ok(model) = fs::read(&path) else {
        assert!(std::env::var_os("ZSSEG_REQUIRE_SHARED").is_none(), "{path:?} is missing");
        println!("{path:?} is missing: not tested");
        return;
    };
    let input = Input { width: 257, height: 257, layout: Layout::Hwc, element: InputType::F32 };
    let options = Options {
        input,
        input_name: "sub_7",
        output_name: "logits/semantic/BiasAdd",
        channels: 21,
        grid_height: 33,
        grid_width: 33,
        output_layout: Layout::Chw,
        second: None,
        precision: Precision::AsModel,
        threads: 1,
    };
    let mut backbone = TractBackbone::load(&model, &options).unwrap();
    assert_eq!(backbone.coverage().integer_nodes, 0);
    // tract splits the convolution behind the concatenation in two.
    assert_eq!(backbone.coverage().float_nodes, 56);
    let image: Vec<f32> = (0..257 * 257 * 3).map(|at| (at % 511) as f32 / 255.5 - 1.0).collect();
    assert!(segment(&mut backbone, &image).iter().all(|logit| logit.is_finite()));
    let options = Options {
        output_name: "ResizeBilinear_3",
        grid_height: 257,
        grid_width: 257,
        output_layout: Layout::Hwc,
        ..options
    };
    let mut backbone = TractBackbone::load(&model, &options).unwrap();
    assert_eq!(segment(&mut backbone, &image).len(), 257 * 257 * 21);
    let main = Options {
        output_name: "Relu__94:0",
        channels: 256,
        grid_height: 33,
        grid_width: 33,
        output_layout: Layout::Chw,
        ..options
    };
    a_second_output_is_what_it_is_alone(&model, &main, &image);
}

/// `alone` reads another tensor than the network's logits.
fn a_second_output_is_what_it_is_alone(model: &[u8], alone: &Options<'_>, image: &[f32]) {
    let mut backbone = TractBackbone::load(model, alone).unwrap();
    let wanted = segment(&mut backbone, image);
    assert!(backbone.second_output().unwrap().is_none());
    let second = SecondOutput {
        name: alone.output_name,
        grid_height: alone.grid_height,
        grid_width: alone.grid_width,
        channels: alone.channels,
        layout: alone.output_layout,
    };
    let both = Options {
        output_name: "logits/semantic/BiasAdd",
        channels: 21,
        second: Some(second),
        ..*alone
    };
    let mut backbone = TractBackbone::load(model, &both).unwrap();
    assert_eq!(segment(&mut backbone, image).len(), 21 * 33 * 33);
    assert_eq!(backbone.second_output().unwrap().unwrap().data(), wanted);
    let other = SecondOutput { channels: 255, ..second };
    let wrong = TractBackbone::load(model, &Options { second: Some(other), ..both });
    assert_eq!(wrong.err().unwrap().status(), Status::ModelShape);
    let other = SecondOutput { name: "nowhere", ..second };
    let wrong = TractBackbone::load(model, &Options { second: Some(other), ..both });
    assert_eq!(wrong.err().unwrap().status(), Status::ModelLoad);
}
