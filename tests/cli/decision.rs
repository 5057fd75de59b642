//! How pixels are decided, and masks that follow segments.

use super::classes::sandbox;
use super::command::zero_shot::Tiny;
use super::command::{RED, Sandbox, read_png};
use zsseg::spec::{Anchor, ChannelOrder, Decision, Fit, Stacking};

const SIZE: (u32, u32) = (32, 16);
/// A little more red than blue.
const PURPLE: [u8; 3] = [140, 0, 128];

/// Labels of the first and the last pixel of a red and purple picture, with blue added.
fn labels(sandbox: &Sandbox, options: &[&str]) -> (u8, u8) {
    let start = ["red_purple.png", "-o", "mask.png", "--add-class", "blue"];
    sandbox.segment(&[&start[..], options].concat()).expect(0);
    let mask = read_png(&sandbox.path("mask.png"));
    (mask.data[0], mask.data[31])
}

fn purple(stacking: Stacking) -> Sandbox {
    let decision = Decision { stacking, ..Decision::PLAIN };
    let sandbox = sandbox(&Tiny { decision, ..Tiny::LINEAR });
    sandbox.picture("red_purple.png", SIZE, RED, PURPLE);
    sandbox
}

#[test]
fn seen_classes_give_way_in_the_space_of_the_model() {
    let plain = purple(Stacking::Off);
    assert_eq!(labels(&plain, &[]), (0, 0));
    assert_eq!(labels(&plain, &["--unseen-bias", "0.3"]), (0, 2));
    assert_eq!(labels(&plain, &["--unseen-bias", "0"]), (0, 0));
    plain.segment(&["red_purple.png", "--unseen-bias", "1.5"]).expect_error(2, &["--unseen-bias"]);
    plain.segment(&["red_purple.png", "--unseen-bias", "nan"]).expect_error(2, &["not finite"]);
    plain.segment(&["red_purple.png", "--unseen-bias", "-0.1"]).expect_error(2, &["handicap"]);

    let own = purple(Stacking::Probabilities(0.3));
    assert_eq!(labels(&own, &[]), (0, 2));
    assert_eq!(labels(&own, &["--unseen-bias", "0.01"]), (0, 0));
    assert_eq!(labels(&own, &["--unseen-bias", "0"]), (0, 0));

    let logits = purple(Stacking::Logits(0.0));
    assert_eq!(labels(&logits, &["--unseen-bias", "1.5"]), (0, 2));
    assert_eq!(labels(&logits, &["--unseen-bias", "15"]), (2, 2));
    assert_eq!(labels(&logits, &["--unseen-bias", "-15"]), (0, 0));
}

#[test]
fn unsure_pixels_get_no_class() {
    let sandbox = purple(Stacking::Off);
    assert_eq!(labels(&sandbox, &["--reject", "0.9"]), (0, 255));
    assert_eq!(labels(&sandbox, &["--reject", "0.2"]), (0, 0));
    assert_eq!(labels(&sandbox, &["--reject-margin", "0.5"]), (0, 255));
    assert_eq!(labels(&sandbox, &["--reject-unknown", "0.5"]), (0, 255));
    assert_eq!(labels(&sandbox, &["--reject-unknown", "1"]), (0, 0));
    for option in ["--reject", "--reject-margin", "--reject-unknown"] {
        for wrong in ["1.1", "-0.1", "nan", "x"] {
            sandbox.segment(&["red_purple.png", option, wrong]).expect_error(2, &[option]);
        }
    }
    let start = ["red_purple.png", "--add-class", "blue", "--reject", "0.9"];
    let json = sandbox.segment(&[&start[..], &["--json"]].concat()).expect(0).json();
    let unlabeled = json["images"][0]["unlabeled_pixels"].as_u64().unwrap();
    assert!((200..=300).contains(&unlabeled), "{unlabeled} of 512");
    assert!(sandbox.segment(&start).expect(0).out.contains("(no class)"));
}

#[test]
fn unknown_scores_are_a_grey_picture() {
    let sandbox = purple(Stacking::Off);
    let start =
        ["red_purple.png", "--add-class", "blue", "--unknown", "u.png", "--margin", "m.png"];
    let report = sandbox.segment(&[&start[..], &["--json"]].concat()).expect(0).json();
    assert_eq!(report["images"][0]["outputs"]["unknown"], "u.png");
    let (unknown, margin) = (read_png(&sandbox.path("u.png")), read_png(&sandbox.path("m.png")));
    assert_eq!(unknown.size, SIZE);
    assert!(unknown.data[0] < 10 && unknown.data[31] > 100);
    for (unknown, margin) in unknown.data.iter().zip(&margin.data) {
        assert!((254..=256).contains(&(u16::from(*unknown) + u16::from(*margin))));
    }
    let same = ["red_purple.png", "--unknown", "x.png", "--margin", "x.png"];
    sandbox.segment(&same).expect_error(2, &["both"]);
}

/// Left half dark, right half bright blue; red everywhere but for one cell on the left, which is
/// green.
fn speckled(sandbox: &Sandbox) {
    let color = |x: u32, y: u32| {
        let blue = if x < 16 { 0 } else { 255 };
        let speck = (8..16).contains(&x) && (8..16).contains(&y);
        image::Rgb(if speck { [0, 200, blue] } else { [120, 60, blue] })
    };
    image::RgbImage::from_fn(32, 32, color).save(sandbox.path("speckled.png")).unwrap();
}

#[test]
fn masks_follow_segments_of_another_network() {
    // The model itself does not see blue.
    let blind = Tiny { std: [1.0, 1.0, 1e6], ..Tiny::LINEAR };
    let sandbox = sandbox(&blind);
    speckled(&sandbox);
    let green = |options: &[&str]| {
        let run =
            sandbox.segment(&[&["speckled.png", "--json"], options].concat()).expect(0).json();
        let image = &run["images"][0];
        let classes = image["classes"].as_array().unwrap();
        let green = classes.iter().find(|class| class["name"] == "green");
        (green.map_or(0, |class| class["pixels"].as_u64().unwrap()), image["times_ms"].clone())
    };
    let (plain, times) = green(&[]);
    assert!(plain > 10, "{plain}");
    assert_eq!((&times["fusion"], &times["affinity"]), (&0.0.into(), &0.0.into()));
    for rule in ["select", "vote", "soft", "vote=0.9"] {
        assert_eq!(green(&["--fuse", rule, "--segments", "0"]).0, plain, "{rule}, no segments");
    }
    assert_eq!(green(&["--fuse", "vote=1.1"]).0, plain, "no region agrees so much");

    // These keys see blue alone.
    let keys = Tiny { std: [1e6, 1e6, 1.0], ..Tiny::LINEAR };
    sandbox.write("keys.zsb", &keys.bundle());
    let by_keys = ["--fuse", "vote", "--affinity-bundle", "keys.zsb", "--segments", "1"];
    let (smooth, times) = green(&by_keys);
    assert_eq!(smooth, 0);
    assert_eq!(green(&["--fuse", "vote", "--segments", "1"]).0, plain, "the speck is a segment");
    assert!(times["fusion"].as_f64().unwrap() > 0.0 && times["affinity"].as_f64().unwrap() > 0.0);

    // The same features in another order give the same segments.
    let turned = Tiny { order: ChannelOrder::Bgr, std: [1e6, 1.0, 1.0], ..blind };
    sandbox.write("keys.zsb", &turned.bundle());
    let own = green(&["--fuse", "soft"]).0;
    assert_eq!(green(&["--fuse", "soft", "--affinity-bundle", "keys.zsb"]).0, own);
}

#[test]
fn fusion_that_makes_no_sense_is_refused() {
    let sandbox = sandbox(&Tiny::LINEAR);
    let wrong = |options: &[&str], code, texts: &[&str]| {
        sandbox.segment(&[&["red_blue.png"], options].concat()).expect_error(code, texts);
    };
    wrong(&["--fuse", "oracle"], 2, &["select, vote and soft"]);
    wrong(&["--fuse", "soft=2"], 2, &["mix of soft"]);
    wrong(&["--fuse", "vote", "--segments", "6"], 2, &["--segments"]);
    wrong(&["--segments", "2"], 2, &["--fuse"]);
    wrong(&["--affinity-bundle", "tiny.zsb"], 2, &["--fuse"]);
    wrong(&["--fuse", "vote", "--affinity-bundle", "gone.zsb"], 1, &["gone.zsb"]);
    let boxed = Tiny { fit: Fit::Letterbox(Anchor::Center), ..Tiny::LINEAR };
    sandbox.write("boxed.zsb", &boxed.bundle());
    let options = ["--fuse", "vote", "--affinity-bundle", "boxed.zsb"];
    wrong(&options, 1, &["sees another part of a picture"]);
}
