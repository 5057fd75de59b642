//! Features and decoders added to ONNX networks, run by the engine, against the training's own.

#![cfg(feature = "train")]

use std::fs;
use std::num::NonZeroUsize;
use std::path::Path;
use zsseg::backbone::Backbone;
use zsseg::backbone::tract::{Options, TractBackbone};
use zsseg::convert::{DecoderLayers, FEATURES, append_features};
use zsseg::image::Target;
use zsseg::map::Layout;
use zsseg::spec::{ChannelOrder, Filter, Fit, Input, InputType, Precision, Preprocess};
use zsseg::train::data::LabelMap;
use zsseg::train::engine::{CpuEngine, Draw, Engine, Matrix, Noise};
use zsseg::train::layers::{Decoder, DecoderSettings};
use zsseg::train::store::{Extractor, Network, Scratch, TapSource};
use zsseg::train::{Decoded, Error, Features, Joined, Pictures, Result, Tap, View};
use zsseg::viz::Picture;

const SIDE: u32 = 16;

fn read(name: &str) -> Vec<u8> {
    fs::read(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/models").join(name)).unwrap()
}

fn engine() -> CpuEngine {
    CpuEngine::new(NonZeroUsize::MIN)
}

/// `[channels, rows, columns]` of a tensor of a network, for the test's picture.
fn run(onnx: &[u8], output: &str, [channels, rows, columns]: [usize; 3]) -> Vec<f32> {
    let [width, height] = [SIDE; 2];
    let options = Options {
        input: Input { width, height, layout: Layout::Chw, element: InputType::F32 },
        input_name: "image",
        output_name: output,
        channels: channels as u32,
        grid_height: rows as u32,
        grid_width: columns as u32,
        output_layout: Layout::Chw,
        second: None,
        precision: Precision::AsModel,
        threads: 1,
    };
    let mut backbone = TractBackbone::load(onnx, &options).unwrap();
    let image = read("image.input");
    let image = image.chunks_exact(4).map(|four| f32::from_le_bytes(four.try_into().unwrap()));
    let Target::F32(target) = backbone.input().unwrap() else { panic!("not a float input") };
    target.iter_mut().zip(image).for_each(|(place, value)| *place = value);
    backbone.run().unwrap();
    backbone.output().unwrap().data().to_vec()
}

/// Rows of cells from planes of channels.
fn rows(planes: &[f32], channels: usize) -> Matrix<f32> {
    let cells = planes.len() / channels;
    let at = |index: usize| planes[index % channels * cells + index / channels];
    Matrix::new([cells, channels], (0..planes.len()).map(at).collect()).unwrap()
}

/// One picture whose taps are tensors of a network.
struct OnePicture {
    frame: [usize; 2],
    taps: Vec<Tap>,
    values: Vec<Matrix<f32>>,
}

impl OnePicture {
    fn of(onnx: &[u8], taps: &[(&str, usize, usize, usize)]) -> OnePicture {
        let tap = |(name, channels, height, width): &(&str, usize, usize, usize)| Tap {
            name: name.to_string(),
            height: *height,
            width: *width,
            channels: *channels,
        };
        let taps: Vec<Tap> = taps.iter().map(tap).collect();
        let value = |tap: &Tap| {
            rows(&run(onnx, &tap.name, [tap.channels, tap.height, tap.width]), tap.channels)
        };
        let frame = [SIDE as usize; 2];
        OnePicture { frame, values: taps.iter().map(value).collect(), taps }
    }

    /// The taps as a store has them, of the network of tokens and a picture whose pixels differ.
    fn stored(onnx: &[u8], taps: &[&str]) -> OnePicture {
        let (width, height) = (24, 8);
        let network = Network {
            onnx: onnx.to_vec(),
            input_name: "image".to_string(),
            input: Input { width, height, layout: Layout::Chw, element: InputType::F32 },
            preprocess: Preprocess {
                fit: Fit::Stretch,
                filter: Filter::Bilinear,
                antialias: true,
                order: ChannelOrder::Rgb,
                scale: 1.0 / 255.0,
                mean: [0.0; 3],
                std: [1.0; 3],
                pad: [0.0; 3],
            },
            precision: Precision::AsModel,
        };
        let rgb = (0..3 * width * height).map(|i| (i * 7919 % 251) as u8).collect();
        let picture = Picture::new(width, height, rgb).unwrap();
        let sources: Vec<TapSource> = taps.iter().map(|text| TapSource::parse(text)).collect();
        let mut scratch = Scratch::new(&network).unwrap();
        let mut extractor = Extractor::new(&network, &sources, 0, &mut scratch).unwrap();
        let prepared = extractor.prepare(&picture).unwrap();
        let values = extractor.features(&prepared, "picture", &View::PLAIN, 0).unwrap();
        OnePicture { frame: network.frame(), taps: extractor.taps(), values }
    }

    fn names(&self) -> Vec<&str> {
        self.taps.iter().map(|tap| tap.name.as_str()).collect()
    }
}

impl Pictures for OnePicture {
    fn len(&self) -> usize {
        1
    }

    fn name(&self, _: usize) -> &str {
        "picture"
    }

    fn frame(&self) -> [usize; 2] {
        self.frame
    }

    fn taps(&self) -> &[Tap] {
        &self.taps
    }

    fn views(&self) -> &[View] {
        &[View::PLAIN]
    }

    fn tap(&self, _: usize, _: usize, tap: usize) -> Result<Matrix<f32>> {
        Ok(self.values[tap].clone())
    }

    fn labels(&self, _: usize) -> Result<LabelMap> {
        Err(Error::config("the picture has no labels"))
    }
}

fn decoder(pictures: &OnePicture, settings: &DecoderSettings) -> Decoder {
    let shape = settings.shape(&pictures.taps).unwrap();
    let mut stream = 0;
    let random = |_: &str, shape: &[usize; 2]| -> Result<Matrix<f32>> {
        stream += 1;
        Ok(engine().noise(*shape, Noise::Normal, Draw { seed: 1, step: 0, stream })?)
    };
    Decoder::new(shape.clone(), shape.parameters().try_map(random).unwrap()).unwrap()
}

/// Compares the added features of a network with those of the training.
#[track_caller]
fn check(onnx: &[u8], names: &[&str], layers: Option<&DecoderLayers>, features: &dyn Features) {
    let grid = features.grid();
    let appended = append_features(onnx, names, grid, layers, None).unwrap();
    let shape = [features.channels(), grid[0], grid[1]];
    same(&rows(&run(&appended, FEATURES, shape), features.channels()), features);
}

#[track_caller]
fn same(found: &Matrix<f32>, features: &dyn Features) {
    let wanted = features.rows(0, 0).unwrap();
    assert_eq!(found.shape(), wanted.shape());
    let largest = wanted.values().iter().fold(0.0f32, |most, value| most.max(value.abs()));
    assert!(largest > 0.0);
    let pairs = found.values().iter().zip(wanted.values());
    let error = pairs.map(|(a, b)| (a - b).abs()).fold(0.0f32, f32::max) / largest;
    assert!(error < 1e-4, "{error} of {largest}");
}

/// Compares the features added to the network of tokens with those of a store of its taps.
#[track_caller]
fn check_tokens(pictures: &OnePicture, layers: Option<&DecoderLayers>, features: &dyn Features) {
    let names = pictures.names();
    let appended = append_features(&read(TOKENS), &names, features.grid(), layers, None).unwrap();
    same(&OnePicture::stored(&appended, &[FEATURES]).values[0], features);
}

const SEGMENTATION: [(&str, usize, usize, usize); 3] =
    [("stem_relu", 8, 16, 16), ("leaky", 16, 8, 8), ("logits", 5, 8, 8)];

#[test]
fn joined_taps_are_those_of_the_training() {
    let onnx = read("segmentation_float.onnx");
    let pictures = OnePicture::of(&onnx, &SEGMENTATION);
    for grid in [[8, 8], [16, 16], [5, 11]] {
        check(&onnx, &pictures.names(), None, &Joined::new(&pictures, grid).unwrap());
    }
    let one = OnePicture::of(&onnx, &SEGMENTATION[1..2]);
    check(&onnx, &["leaky"], None, &Joined::new(&one, [8, 8]).unwrap());
}

#[test]
fn decoders_are_those_of_the_training() {
    let onnx = read("segmentation_float.onnx");
    let pictures = OnePicture::of(&onnx, &SEGMENTATION);
    let plain = DecoderSettings { tap_channels: 6, channels: 10, ..DecoderSettings::default() };
    let residual = DecoderSettings { blocks: 3, residual: true, final_relu: true, ..plain.clone() };
    let dilated = DecoderSettings { dilation: 2, grid: Some([8, 8]), ..residual.clone() };
    let open = DecoderSettings { residual: true, grid: Some([12, 9]), ..plain.clone() };
    let single = DecoderSettings { blocks: 1, ..plain.clone() };
    for settings in [plain, residual, dilated, open, single] {
        let decoder = decoder(&pictures, &settings);
        let features = Decoded::new(&pictures, &decoder, engine()).unwrap();
        check(&onnx, &pictures.names(), Some(&decoder.to_layers()), &features);
    }
}

/// Two rows of six tokens, after none, one and five others.
const TOKENS: &str = "tokens_float.onnx";
const TOKEN_TAPS: [&str; 4] = ["with_class@2x6", "map", "with_registers@2x6", "cells@2x6"];

#[test]
fn tokens_are_those_of_the_store() {
    for taps in [&TOKEN_TAPS[..1], &TOKEN_TAPS[2..3], &TOKEN_TAPS] {
        let pictures = OnePicture::stored(&read(TOKENS), taps);
        for grid in [[2, 6], [5, 7]] {
            check_tokens(&pictures, None, &Joined::new(&pictures, grid).unwrap());
        }
    }
}

#[test]
fn decoders_over_tokens_are_those_of_the_training() {
    let pictures = OnePicture::stored(&read(TOKENS), &TOKEN_TAPS);
    let settings = DecoderSettings { tap_channels: 6, channels: 10, ..DecoderSettings::default() };
    let decoder = decoder(&pictures, &settings);
    let features = Decoded::new(&pictures, &decoder, engine()).unwrap();
    check_tokens(&pictures, Some(&decoder.to_layers()), &features);
}

#[test]
fn tokens_that_fit_no_grid_are_refused() {
    let add = |onnx: &[u8], tap: &str, grid| append_features(onnx, &[tap], grid, None, None);
    let onnx = read(TOKENS);
    refused(
        add(&onnx, "with_two", [2, 6]),
        "tap \"with_two\" has 14 tokens, not those of square patches of 8 x 24 pixels",
    );
    refused(add(&onnx, "row", [2, 6]), "tap \"row\" has 5 tokens");
    // The version of the operators: 17.
    let version = [0x42, 0x04, 0x0a, 0x00, 0x10, 17];
    let at = onnx.len() - version.len();
    assert_eq!(onnx[at..], version);
    let older = |version: u8| [&onnx[..onnx.len() - 1], &[version]].concat();
    refused(add(&older(9), "with_class", [2, 6]), "operator version 9 cannot slice; 10 can");
    refused(add(&older(10), "with_class", [2, 7]), "operator version 10 cannot resize; 11 can");
    add(&older(10), "with_class", [2, 6]).unwrap();
}

#[test]
fn everything_that_was_there_stays() {
    let onnx = read("segmentation_float.onnx");
    let appended = append_features(&onnx, &["leaky"], [16, 16], None, None).unwrap();
    let of = |onnx: &[u8]| run(onnx, "probabilities", [5, 8, 8]);
    assert_eq!(of(&appended), of(&onnx));
}

#[track_caller]
fn refused(result: anyhow::Result<Vec<u8>>, words: &str) {
    let text = format!("{:#}", result.unwrap_err());
    assert!(text.contains(words), "{text}");
}

#[test]
fn taps_that_do_not_fit_are_named() {
    let onnx = read("segmentation_float.onnx");
    let add = |taps: &[&str]| append_features(&onnx, taps, [8, 8], None, None);
    refused(add(&["leaky", "nowhere"]), "tap \"nowhere\" is written by no node");
    refused(add(&["image"]), "tap \"image\" is written by no node");
    refused(add(&[""]), "is written by no node");
    refused(add(&[]), "no taps");
    refused(append_features(&onnx, &["leaky"], [0, 8], None, None), "empty grid");
    refused(append_features(b"no network", &["leaky"], [8, 8], None, None), "adding features");
    let flat = read("classifier_float.onnx");
    refused(append_features(&flat, &["gemm"], [8, 8], None, None), "tap \"gemm\" is [1, 10]");
    // A second time the name is taken.
    let twice = append_features(&onnx, &["leaky"], [8, 8], None, None).unwrap();
    let again = append_features(&twice, &["leaky"], [8, 8], None, None);
    refused(again, "already has a tensor \"zsseg_features\"");
}

#[test]
fn networks_of_open_size_have_taps_of_unknown_shape() {
    let onnx = read("segmentation_float.onnx");
    // The input's declaration: its sides of 3, 16 and 16 are the only such triple.
    let sides = [0x0a, 0x02, 0x08, 0x03, 0x0a, 0x02, 0x08, 0x10, 0x0a, 0x02, 0x08, 0x10];
    let found: Vec<usize> =
        (0..onnx.len() - sides.len()).filter(|&at| onnx[at..].starts_with(&sides)).collect();
    assert_eq!(found.len(), 1);
    let mut open = onnx;
    open[found[0] + 7] = 0;
    refused(
        append_features(&open, &["leaky"], [8, 8], None, None),
        "tap \"leaky\" has an unknown shape",
    );
}

#[test]
fn decoders_that_do_not_fit_are_refused() {
    let onnx = read("segmentation_float.onnx");
    let pictures = OnePicture::of(&onnx, &SEGMENTATION[1..]);
    let settings = DecoderSettings { tap_channels: 6, channels: 10, ..DecoderSettings::default() };
    let good = decoder(&pictures, &settings).to_layers();
    let add = |taps: &[&str], layers: &DecoderLayers| {
        append_features(&onnx, taps, [8, 8], Some(layers), None)
    };
    add(&["leaky", "logits"], &good).unwrap();
    refused(add(&["leaky"], &good), "1 taps for 2 layers");
    refused(add(&["logits", "leaky"], &good), "tap \"logits\": 96 weights for 5 inputs");
    let mut wrong = good.clone();
    wrong.blocks[0].depthwise.bias.push(0.0);
    refused(add(&["leaky", "logits"], &wrong), "depthwise layer 0");
    let mut wrong = good.clone();
    wrong.blocks[1].pointwise.weights.pop();
    refused(add(&["leaky", "logits"], &wrong), "layer 1: 99 weights");
    let mut wrong = good.clone();
    wrong.blocks[0].adds_input = true;
    refused(add(&["leaky", "logits"], &wrong), "block 0 adds an input of 12 channels");
    let none = DecoderLayers { blocks: Vec::new(), ..good };
    refused(add(&["leaky", "logits"], &none), "decoder");
}
