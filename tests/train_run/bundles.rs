//! Bundles made of models.

use crate::support::normal;
use std::path::{Path, PathBuf};
use zsseg::arena::AlignedBytes;
use zsseg::bundle::Bundle;
use zsseg::convert::WeightTypeName;
use zsseg::head::Output;
use zsseg::image::{Image, PixelFormat};
use zsseg::limits::Limits;
use zsseg::segmenter::Segmenter;
use zsseg::spec::{Decision, Stacking};
use zsseg::train::data::EmbeddingTable;
use zsseg::train::engine::Matrix;
use zsseg::train::run::{BundleConfig, BundleParts, bundle};
use zsseg::train::{Head, HeadForm, Model, Tap};

/// Shows an 8 x 8 picture as means of 2 x 2 pixels, "pooled".
const ONNX: &[u8] = include_bytes!("../models/tiny_rgb.onnx");
const PACK: &str = r#"
name = "tiny"
license = "CC0-1.0"
[provenance]
made_by = "a test"
[input]
name = "image"
width = 8
height = 8
[preprocess]
fit = "stretch"
antialias = false
order = "rgb"
scale = 0.00392156862745098
mean = [0, 0, 0]
std = [1, 1, 1]
[classes]
list = [{ name = "green", color = [0, 250, 0] }]
"#;
const CELLS: usize = 4;

fn config(folder: &Path) -> BundleConfig {
    let (onnx, pack) = (folder.join("tiny.onnx"), folder.join("pack.toml"));
    std::fs::write(&onnx, ONNX).unwrap();
    std::fs::write(&pack, PACK).unwrap();
    let weights = WeightTypeName::F32;
    BundleConfig { onnx, pack, words: None, word_limit: None, card: None, weights }
}

fn tap() -> Tap {
    Tap { name: "pooled".into(), height: CELLS, width: CELLS, channels: 3 }
}

/// Three classes out of four, the last one unseen.
fn model() -> Model {
    Model {
        classes: vec![0, 1, 3],
        seen: vec![true, true, false],
        head: Head {
            form: HeadForm::Linear,
            weights: Matrix::new([3, 3], vec![3.0, -1.0, -1.1, -1.2, 3.1, -0.9, -1.0, -0.8, 2.9])
                .unwrap(),
            bias: Matrix::new([1, 3], vec![0.1, 0.2, -0.1]).unwrap(),
        },
        decoder: None,
        alignment: None,
        decision: Decision { stacking: Stacking::Logits(0.25), ..Decision::PLAIN },
        projection: Some(normal([4, 2], 3, 0)),
        generator: None,
        statistics: None,
    }
}

fn embeddings() -> EmbeddingTable {
    let names = ["red", "green", "grey", "blue"].map(String::from).to_vec();
    EmbeddingTable::new(names, 2, normal([4, 2], 4, 0).into_values()).unwrap()
}

fn made(model: &Model, taps: &[Tap], config: &BundleConfig) -> zsseg::train::Result<Vec<u8>> {
    let embeddings = embeddings();
    let grid = [CELLS; 2];
    bundle(
        model,
        &BundleParts { config, taps, grid, embeddings: &embeddings, background: Some("red") },
    )
}

/// The label of each pixel by hand: logits of the pooled picture, seen ones less gamma, brought
/// to the picture's size bilinearly. A picture of four flat quarters of 4 x 4 pixels has its
/// corners far from any edge.
fn corner_label(model: &Model, color: [u8; 3]) -> u16 {
    let logit = |class: usize| -> f32 {
        let row = model.head.weights.row(class).unwrap();
        let product: f32 = row.iter().zip(color).map(|(w, c)| w * f32::from(c) / 255.0).sum();
        product + model.head.bias.values()[class] - if model.seen[class] { 0.25 } else { 0.0 }
    };
    (0..3u16).max_by(|a, b| logit((*a).into()).total_cmp(&logit((*b).into()))).unwrap()
}

#[test]
fn bundles_open_and_decide_as_the_model() {
    let folder = tempfile::tempdir().unwrap();
    let (model, config) = (model(), config(folder.path()));
    let bytes = made(&model, &[tap()], &config).unwrap();
    let bundle = Bundle::open(&bytes).unwrap();
    let classes: Vec<_> =
        bundle.classes().map(|it| (it.name.to_string(), it.seen, it.background)).collect();
    let class = |name: &str, seen, background| (name.to_string(), seen, background);
    let wanted =
        [class("red", true, true), class("green", true, false), class("blue", false, false)];
    assert_eq!(classes, wanted);
    assert_eq!(bundle.class(1).unwrap().color, [0, 250, 0], "the pack file's");
    assert_eq!(bundle.decision(), model.decision);
    assert_eq!((bundle.model_name(), bundle.license()), ("tiny", "CC0-1.0"));

    let limits = Limits::for_frames(8, 8);
    let mut memory = AlignedBytes::zeros(Segmenter::arena_bytes(&bundle, &limits).unwrap());
    let mut segmenter = Segmenter::new(&bundle, &limits, memory.as_mut_slice()).unwrap();
    let mut found = std::collections::BTreeSet::new();
    for round in 0..8 {
        let color = |place: usize| {
            let values: Vec<f32> = normal([1, 3], round * 4 + place as u64, 9).into_values();
            [0, 1, 2].map(|channel| (values[channel] * 80.0 + 128.0).clamp(0.0, 255.0) as u8)
        };
        let quarters = [color(0), color(1), color(2), color(3)];
        let pixels: Vec<u8> = (0..64).flat_map(|at| quarters[at / 32 * 2 + at % 8 / 4]).collect();
        let mut labels = vec![0u16; 64];
        let image = Image::packed(PixelFormat::Rgb8, &pixels, 8, 8).unwrap();
        segmenter.segment(&image, &mut Output::labels_u16(&mut labels, 8)).unwrap();
        for (corner, quarter) in [0, 7, 56, 63].into_iter().zip(quarters) {
            assert_eq!(labels[corner], corner_label(&model, quarter), "{round} {quarter:?}");
            found.insert(labels[corner]);
        }
    }
    assert!(found.len() > 1, "all corners have one class");
}

#[test]
fn heads_of_embeddings_need_no_bias() {
    let folder = tempfile::tempdir().unwrap();
    for form in [HeadForm::Dot, HeadForm::Cosine { scale: 5.0 }] {
        let mut model = model();
        model.head = Head { form, bias: Matrix::zeros([1, 3]).unwrap(), ..model.head };
        let names = embeddings().names().to_vec();
        let rows = normal([4, 3], 4, 0).into_values();
        let embeddings = EmbeddingTable::new(names, 3, rows).unwrap();
        let config = config(folder.path());
        let parts = BundleParts {
            config: &config,
            taps: &[tap()],
            grid: [CELLS; 2],
            embeddings: &embeddings,
            background: None,
        };
        let bytes = bundle(&model, &parts).unwrap();
        let bundle = Bundle::open(&bytes).unwrap();
        let scale = if form == HeadForm::Dot { 1.0 } else { 5.0 };
        assert_eq!(bundle.head().cosine_scale, scale);
        assert!(!bundle.class(0).unwrap().background);
    }
}

#[test]
fn what_does_not_fit_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let config = config(folder.path());
    let error = |taps: &[Tap], config: &BundleConfig| {
        made(&model(), taps, config).map(|_| ()).unwrap_err().to_string()
    };
    let missing = BundleConfig { pack: PathBuf::from("no/pack.toml"), ..config.clone() };
    assert!(error(&[tap()], &missing).contains("no/pack.toml"));
    let other = Tap { name: "nonesuch".into(), ..tap() };
    assert!(error(&[other], &config).contains("nonesuch"));
    std::fs::write(&config.pack, PACK.replace("license", "licence")).unwrap();
    let told = error(&[tap()], &config);
    assert!(told.contains("pack.toml") && told.contains("licence"), "{told}");
    std::fs::write(&config.pack, "name =").unwrap();
    assert!(error(&[tap()], &config).contains("pack.toml"));
}
