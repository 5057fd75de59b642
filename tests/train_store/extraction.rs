//! From pictures to features.

use crate::support::tiny;
use zsseg::arena::{AlignedBytes, Arena};
use zsseg::backbone::Backbone;
use zsseg::backbone::tract::{Options, TractBackbone, TractTaps};
use zsseg::image::{Image, Preprocessor};
use zsseg::limits::Limits;
use zsseg::map::Layout;
use zsseg::spec::{Anchor, Fit};
use zsseg::train::engine::Matrix;
use zsseg::train::store::{Extractor, Network, Scratch, TapSource};
use zsseg::train::view::views_of;
use zsseg::train::{Error, View};
use zsseg::viz::Picture;

fn sources(names: &[&str]) -> Vec<TapSource> {
    names.iter().map(|name| TapSource::parse(name)).collect()
}

/// A picture in which no two pixels are alike.
fn picture(width: u32, height: u32) -> Picture {
    let rgb = (0..3 * width * height).map(|i| (i * 7919 % 251) as u8).collect();
    Picture::new(width, height, rgb).unwrap()
}

fn options(network: &Network) -> Options<'_> {
    Options {
        input: network.input,
        input_name: &network.input_name,
        output_name: "logits",
        channels: 3,
        grid_height: 4,
        grid_width: 4,
        output_layout: Layout::Chw,
        second: None,
        precision: network.precision,
        threads: 1,
    }
}

/// The output "logits", channels first, as the segmenter computes it.
fn on_a_device(network: &Network, picture: &Picture) -> Vec<f32> {
    let limits = Limits::for_frames(100, 100);
    let mut memory = AlignedBytes::zeros(1 << 20);
    let mut arena = Arena::over(memory.as_mut_slice()).unwrap();
    let mut steps =
        Preprocessor::carve(&mut arena, &network.input, &network.preprocess, &limits).unwrap();
    let mut backbone = TractBackbone::load(&network.onnx, &options(network)).unwrap();
    let image = Image::rgb8(picture.rgb(), picture.width(), picture.height()).unwrap();
    steps.run(&image, backbone.input().unwrap()).unwrap();
    backbone.run().unwrap();
    backbone.output().unwrap().data().to_vec()
}

fn features(network: &Network, names: &[&str], view: (&View, usize)) -> Vec<Matrix<f32>> {
    let mut scratch = Scratch::new(network).unwrap();
    let mut extractor = Extractor::new(network, &sources(names), 5, &mut scratch).unwrap();
    let prepared = extractor.prepare(&picture(31, 22)).unwrap();
    extractor.features(&prepared, "a", view.0, view.1).unwrap()
}

#[test]
fn the_plain_view_has_a_device_s_features_to_the_bit() {
    for fit in [Fit::Stretch, Fit::Letterbox(Anchor::Center)] {
        let network = tiny(fit);
        let wanted = on_a_device(&network, &picture(31, 22));
        let found = features(&network, &["logits"], (&View::PLAIN, 0));
        for (cell, row) in found[0].rows().enumerate() {
            for (channel, value) in row.iter().enumerate() {
                assert_eq!(value.to_bits(), wanted[16 * channel + cell].to_bits());
            }
        }
    }
}

#[test]
fn several_tensors_are_read_in_one_run() {
    let network = tiny(Fit::Stretch);
    let found = features(&network, &["pooled", "pixels@hwc", "logits"], (&View::PLAIN, 0));
    let [pooled, pixels, logits] = &found[..] else { panic!("{} taps", found.len()) };
    assert_eq!(pixels.values(), logits.values());
    let sharpened: Vec<f32> = pooled.values().iter().map(|value| 10.0 * value).collect();
    assert_eq!(logits.values(), sharpened);
    assert!(pooled.values().iter().any(|value| *value > 1.0));
    assert_eq!(found[0].values(), features(&network, &["pooled"], (&View::PLAIN, 0))[0].values());
}

#[test]
fn taps_that_are_not_there_or_of_another_form_are_refused() {
    let network = tiny(Fit::Stretch);
    let error = |names: &[&str]| {
        let mut scratch = Scratch::new(&network).unwrap();
        let made = Extractor::new(&network, &sources(names), 0, &mut scratch);
        made.map(|_| ()).unwrap_err()
    };
    assert!(error(&["nonesuch"]).to_string().contains("nonesuch"));
    assert!(matches!(error(&["pooled@4x4"]), Error::Config { .. }));
    assert!(error(&["pooled", "pooled"]).to_string().contains("names of taps"));
    assert!(error(&[]).to_string().contains("names of taps"));
    let mut taps = TractTaps::load(&network.onnx, &options(&network), &["pooled"]).unwrap();
    assert_eq!(taps.shapes(), [vec![1, 3, 4, 4]]);
    assert!(taps.output(0).is_err());
    taps.run().unwrap();
    assert!(taps.output(0).is_ok() && taps.output(1).is_err());
}

#[test]
fn a_flipped_view_has_flipped_features() {
    // The frame's pixels are whole numbers when nothing is resized.
    let network = tiny(Fit::Stretch);
    let mut scratch = Scratch::new(&network).unwrap();
    let mut extractor = Extractor::new(&network, &sources(&["pooled"]), 0, &mut scratch).unwrap();
    let prepared = extractor.prepare(&picture(8, 8)).unwrap();
    let plain = extractor.features(&prepared, "a", &View::PLAIN, 0).unwrap();
    let flip = View { flip: true, ..View::PLAIN };
    let flipped = extractor.features(&prepared, "a", &flip, 1).unwrap();
    for cell in 0..16 {
        let mirrored = cell / 4 * 4 + 3 - cell % 4;
        let pairs = plain[0].row(cell).unwrap().iter().zip(flipped[0].row(mirrored).unwrap());
        // Averages of four whole numbers, added in another order.
        assert!(pairs.clone().all(|(a, b)| (a - b).abs() < 1e-4), "{cell}");
    }
    assert!(plain[0].values() != flipped[0].values());
}

#[test]
fn a_corner_view_shows_its_corner() {
    let quarter = |x: u32, y: u32| {
        [[255, 0, 0], [0, 255, 0], [0, 0, 255], [9, 9, 9]][(x / 8 + 2 * (y / 8)) as usize]
    };
    let rgb: Vec<u8> = (0..16 * 16).flat_map(|i| quarter(i % 16, i / 16)).collect();
    let picture = Picture::new(16, 16, rgb).unwrap();
    let network = tiny(Fit::Stretch);
    let mut scratch = Scratch::new(&network).unwrap();
    let mut extractor = Extractor::new(&network, &sources(&["pooled"]), 0, &mut scratch).unwrap();
    let prepared = extractor.prepare(&picture).unwrap();
    let views = views_of(&["zoom:2"], 0).unwrap();
    for (place, wanted) in [(2, [0.0, 255.0, 0.0]), (3, [0.0, 0.0, 255.0])] {
        let found = extractor.features(&prepared, "a", &views[place], place).unwrap();
        // Away from the neighbours, of which the resize to the frame has mixed some in.
        let cell = found[0].row(if place == 2 { 3 } else { 12 }).unwrap();
        assert!(cell.iter().zip(wanted).all(|(a, b)| (a - b).abs() < 1.0), "{place}: {cell:?}");
    }
}

#[test]
fn distorted_colours_follow_from_seed_name_and_view() {
    let network = tiny(Fit::Stretch);
    let view = View { colour: 0.8, ..View::PLAIN };
    let of = |seed: u64, name: &str, place: usize| {
        let mut scratch = Scratch::new(&network).unwrap();
        let taps = sources(&["pooled"]);
        let mut extractor = Extractor::new(&network, &taps, seed, &mut scratch).unwrap();
        let prepared = extractor.prepare(&picture(8, 8)).unwrap();
        extractor.features(&prepared, name, &view, place).unwrap()[0].values().to_vec()
    };
    let first = of(1, "a", 1);
    assert_eq!(first, of(1, "a", 1));
    assert!(first != of(2, "a", 1) && first != of(1, "b", 1) && first != of(1, "a", 2));
}
