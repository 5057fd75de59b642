//! Bundles that are in order: what is written is what is read.

use crate::fixture::*;
use half::f16;
use sha2::{Digest, Sha256};
use zsseg::bundle::{Bundle, Contents, LinearHead, Manifest, WeightValues, ZeroShot, write};
use zsseg::spec::{Backbone, Class, HeadKind, WeightType, Weights};
use zsseg::status::Status;

#[test]
fn the_writer_and_the_hand_built_container_agree() {
    for bytes in [sample(), smallest(), full()] {
        assert_eq!(container(&raw_sections(&bytes)), bytes);
    }
    assert_eq!(sample(), sample());
}

#[test]
fn everything_written_is_read_back() {
    let bytes = sample();
    let bundle = Bundle::open(&bytes).unwrap();
    let expected = manifest(HeadKind::Linear(WeightType::I8), 3, 2);
    assert_eq!(*bundle.manifest(), expected);
    assert_eq!(bundle.model_name(), expected.model_name);
    assert_eq!(bundle.license(), expected.license);
    assert_eq!(bundle.input_name(), expected.input_name);
    assert_eq!(bundle.output_name(), expected.output_name);
    assert_eq!(bundle.input(), expected.input);
    assert_eq!(bundle.preprocess(), expected.preprocess);
    assert_eq!(bundle.head(), expected.head);
    assert_eq!((bundle.grid_height(), bundle.grid_width()), (3, 4));
    assert_eq!(bundle.output_layout(), expected.output_layout);
    assert_eq!(bundle.backbone(), expected.backbone);
    assert_eq!(bundle.precision(), expected.precision);
    assert_eq!(bundle.onnx(), Some(&b"onnx"[..]));
    assert_eq!(bundle.model_card(), Some("# Sample\n"));
    assert_eq!(bundle.provenance(), Some("{}"));
    let Some(Weights::I8(weights)) = bundle.head_weights() else { panic!("weights") };
    assert_eq!(weights, WEIGHTS);
    assert_eq!(floats(bundle.head_bias()), [0.0, 1.0, -1.0]);
    assert_eq!(floats(bundle.head_scales()), [0.1, 0.2, 0.3]);
    assert_eq!(bundle.sha256(), bytes[32..64]);
}

#[test]
fn classes_are_found_by_index_and_name() {
    let bytes = sample();
    let bundle = Bundle::open(&bytes).unwrap();
    let names: Vec<&str> = bundle.classes().map(|class| class.name).collect();
    assert_eq!(names, NAMES);
    let second = bundle.class(1).unwrap();
    assert!(second.background && second.seen && second.bias == -0.5);
    assert_eq!(second.color, [1, 2, 3]);
    assert!(!bundle.class(2).unwrap().seen);
    let error = bundle.class(3).unwrap_err();
    assert_eq!(error.status(), Status::InvalidArgument);
    assert_eq!(bundle.class(u32::MAX).unwrap_err().status(), Status::InvalidArgument);
    for (index, name) in NAMES.iter().enumerate() {
        assert_eq!(bundle.class_index(name), Some(index as u32));
    }
    for name in ["", "dog", "roa", "roads", "zebra"] {
        assert_eq!(bundle.class_index(name), None);
    }
}

#[test]
fn sections_are_listed_in_file_order() {
    let bytes = sample();
    let bundle = Bundle::open(&bytes).unwrap();
    let names: Vec<&str> = bundle.sections().map(|section| section.name).collect();
    let expected = ["MANIFEST", "CLASSES", "HEAD_WEIGHTS", "HEAD_BIAS", "HEAD_SCALES"];
    assert_eq!(names[..5], expected);
    assert_eq!(names[5..], ["BACKBONE_ONNX", "MODEL_CARD", "PROVENANCE"]);
    for section in bundle.sections() {
        assert_eq!(section.offset % 64, 0);
        assert!(!section.optional);
        let start = section.offset as usize;
        assert_eq!(section.bytes, &bytes[start..start + section.bytes.len()]);
        assert_eq!(section.sha256, Sha256::digest(section.bytes)[..]);
    }
}

#[test]
fn every_weight_type_is_read_back() {
    let values = [1.0, -2.0, 0.5, 0.0, 65504.0, -0.25];
    let bytes = sample_with(WeightValues::F32(&values));
    let bundle = Bundle::open(&bytes).unwrap();
    let Some(Weights::F32(found)) = bundle.head_weights() else { panic!("weights") };
    assert_eq!(floats(Some(found)), values);
    assert!(bundle.head_scales().is_none());

    let halves = values.map(f16::from_f32);
    let bytes = sample_with(WeightValues::F16(&halves));
    let bundle = Bundle::open(&bytes).unwrap();
    assert_eq!(bundle.head_weights().unwrap().weight_type(), WeightType::F16);
    let Some(Weights::F16(found)) = bundle.head_weights() else { panic!("weights") };
    let found: Vec<f32> = found.iter().map(|bits| f16::from_bits(bits.get()).to_f32()).collect();
    assert_eq!(found, values);
}

#[test]
fn a_head_of_logits_has_no_weights() {
    let bytes = smallest();
    let bundle = Bundle::open(&bytes).unwrap();
    assert!(bundle.head_weights().is_none());
    assert!(bundle.head_bias().is_none() && bundle.head_scales().is_none());
    assert!(bundle.onnx().is_none() && bundle.model_card().is_none());
    assert!(bundle.provenance().is_none());
}

#[test]
fn any_address_will_do() {
    let bytes = sample();
    for shift in 0..16 {
        let mut shifted = vec![0; shift];
        shifted.extend_from_slice(&bytes);
        let bundle = Bundle::open(&shifted[shift..]).unwrap();
        assert_eq!(bundle.class(2).unwrap().name, "cat");
    }
}

#[test]
fn unknown_optional_sections_are_skipped_and_still_hashed() {
    let mut sections = raw_sections(&sample());
    sections.insert(0, RawSection { kind: 99, flags: 1, bytes: vec![7; 100] });
    sections.push(RawSection { kind: u32::MAX, flags: 1, bytes: vec![8] });
    let mut bytes = container(&sections);
    let bundle = Bundle::open(&bytes).unwrap();
    let first = bundle.sections().next().unwrap();
    assert_eq!((first.kind, first.name, first.optional), (99, "UNKNOWN", true));
    assert_eq!(first.bytes, [7; 100]);
    let start = start_of(&bytes, 99);
    bytes[start] = 0;
    assert!(Bundle::parse(&bytes).is_ok());
    expect(&bytes, Status::BundleChecksum, "UNKNOWN");
}

#[test]
fn the_optional_flag_means_nothing_on_a_known_section() {
    let mut sections = raw_sections(&sample());
    for section in &mut sections {
        section.flags = 1;
    }
    assert_eq!(status(&container(&sections)), Status::Ok);
}

#[test]
fn sections_may_come_in_any_order_of_kinds() {
    let mut sections = raw_sections(&sample());
    sections.reverse();
    assert_eq!(status(&container(&sections)), Status::Ok);
}

#[test]
fn the_worked_example_is_the_documented_one() {
    let doc = include_str!("../../docs/bundle.md");
    let bytes = smallest();
    let hex = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    assert!(doc.contains(&format!("{} bytes", bytes.len())), "length: {}", bytes.len());
    let digest = hex(&Sha256::digest(&bytes));
    assert!(doc.contains(&digest), "the format changed: SHA-256 of the example is {digest}");
    let documented = doc.lines().filter_map(|line| line.strip_prefix("0x"));
    let mut rows = 0;
    for row in documented {
        let (address, values) = row.split_once("  ").unwrap();
        let address = usize::from_str_radix(address, 16).unwrap();
        let values = values.split("  ").next().unwrap().replace(' ', "");
        assert_eq!(hex(&bytes[address..address + values.len() / 2]), values, "{address:#x}");
        rows += 1;
    }
    assert!(rows >= 10, "rows of the example: {rows}");
}

#[test]
fn the_writer_refuses_what_the_reader_would() {
    let weights = WeightValues::I8 { values: &WEIGHTS, scales: &[0.1; 3] };
    let head = Some(LinearHead { weights, bias: &[0.0; 3] });
    let classes = NAMES.map(class);
    let good = Contents {
        manifest: manifest(HeadKind::Linear(WeightType::I8), 3, 2),
        classes: &classes,
        head,
        onnx: Some(b"onnx"),
        model_card: None,
        provenance: None,
        zero_shot: ZeroShot::default(),
    };
    assert!(write(&good).is_ok());
    let refused = |what: &str, contents: Contents<'_>| {
        let error = write(&contents).expect_err(what);
        assert_eq!(error.status(), Status::BundleContent, "{what}: {error}");
    };
    let with = |manifest| Contents { manifest, ..good };
    let long = "n".repeat(64);
    let renamed = |name| Manifest { model_name: name, ..good.manifest };
    refused("NUL", with(renamed("ends in a NUL\0")));
    refused("control", with(renamed("tab\t")));
    refused("empty", with(renamed("")));
    refused("long", Contents { manifest: Manifest { license: &long, ..good.manifest }, ..good });
    let too_long = write(&with(renamed(&long))).unwrap_err();
    assert!(too_long.to_string().ends_with("model name (found 64, wanted 63)"));
    refused("unnamed", with(Manifest { output_name: "", ..good.manifest }));
    refused("classes", Contents { classes: &NAMES.map(class)[..2], ..good });
    refused("duplicate", Contents { classes: &["a", "b", "a"].map(class), ..good });
    refused("long class", Contents { classes: &["a", &long, "b"].map(class), ..good });
    refused("no head", Contents { head: None, ..good });
    refused("no network", Contents { onnx: None, ..good });
    let grid = Manifest { grid_width: 0, ..good.manifest };
    refused("grid", with(grid));
    let floats = LinearHead { weights: WeightValues::F32(&[0.0; 6]), bias: &[0.0; 3] };
    refused("type", Contents { head: Some(floats), ..good });
    let infinite = LinearHead { weights, bias: &[0.0, f32::INFINITY, 0.0] };
    refused("bias", Contents { head: Some(infinite), ..good });
    let external = Manifest { backbone: Backbone::External, ..good.manifest };
    refused("external with a network", with(external));
    for empty in [Contents { onnx: Some(b""), ..good }, Contents { model_card: Some(""), ..good }] {
        assert_eq!(write(&empty).unwrap_err().status(), Status::BundleFormat);
    }
}

#[test]
fn a_type_of_the_same_length_is_not_taken_for_another() {
    // Twelve halves are as long as six floats.
    let weights = WeightValues::F16(&[f16::ZERO; 12]);
    let contents = Contents {
        manifest: manifest(HeadKind::Linear(WeightType::F32), 3, 2),
        classes: &NAMES.map(class),
        head: Some(LinearHead { weights, bias: &[0.0; 3] }),
        onnx: Some(b"onnx"),
        model_card: None,
        provenance: None,
        zero_shot: ZeroShot::default(),
    };
    let error = write(&contents).unwrap_err();
    assert_eq!(error.what(), "weight type differs from the manifest's");
}

#[test]
fn longest_texts_fit() {
    let (short, long) = ("n".repeat(63), "t".repeat(127));
    let classes = [Class { name: &short, ..class("") }];
    let contents = Contents {
        manifest: Manifest {
            model_name: &short,
            license: &short,
            input_name: &long,
            output_name: &long,
            ..manifest(HeadKind::Logits, 1, 1)
        },
        classes: &classes,
        head: None,
        onnx: Some(b"x"),
        model_card: None,
        provenance: None,
        zero_shot: ZeroShot::default(),
    };
    let bytes = write(&contents).unwrap();
    let bundle = Bundle::open(&bytes).unwrap();
    assert_eq!(*bundle.manifest(), contents.manifest);
    assert_eq!(bundle.class(0).unwrap().name, short);
}
