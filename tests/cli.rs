//! The command as a user meets it: files, exit codes, messages.
#![cfg(feature = "cli")]

#[path = "cli/classes.rs"]
mod classes;
mod command;
#[path = "cli/decision.rs"]
mod decision;
#[cfg(feature = "train")]
#[path = "cli/eval.rs"]
mod eval;
#[cfg(feature = "train")]
#[path = "cli/features.rs"]
mod features;
#[cfg(feature = "train")]
#[path = "cli/train.rs"]
mod train;

use command::{BLUE, GREEN, ONNX, RED, Sandbox, ran, read_png};
use png::{BitDepth, ColorType};
use sha2::{Digest, Sha256};
use std::fs;
use std::process::Stdio;
use zsseg::bundle::Bundle;
use zsseg::plan::{NO_TENSOR, Plan};

const SIZE: (u32, u32) = (32, 16);

fn sandbox() -> Sandbox {
    let sandbox = Sandbox::with_bundle();
    sandbox.picture("a.png", SIZE, RED, GREEN);
    sandbox
}

#[test]
fn masks_hold_class_indices_and_a_palette() {
    let sandbox = sandbox();
    let black = [0, 0, 0];
    for (name, colors) in [
        ("bundle", [[250, 0, 0], [0, 250, 0], [0, 0, 250]]),
        ("voc", [black, [128, 0, 0], [0, 128, 0]]),
        ("cityscapes", [[128, 64, 128], [244, 35, 232], [70, 70, 70]]),
    ] {
        sandbox.segment(&["a.png", "-o", "mask.png", "--palette", name]).expect(0);
        let mask = read_png(&sandbox.path("mask.png"));
        assert_eq!((mask.color, mask.depth), (ColorType::Indexed, BitDepth::Eight));
        assert_eq!(mask.size, SIZE);
        assert_eq!(mask.palette[..9], colors.concat());
        assert_eq!(mask.palette.len(), 3 * 256);
        for row in mask.data.chunks(SIZE.0 as usize) {
            let wanted: Vec<u8> = (0..SIZE.0).map(|x| u8::from(x >= SIZE.0 / 2)).collect();
            assert_eq!(row, wanted);
        }
    }
}

#[test]
fn overlays_mix_mask_and_picture_above_a_legend() {
    let sandbox = sandbox();
    sandbox.picture("blue.png", SIZE, BLUE, BLUE);
    sandbox.segment(&["blue.png", "--overlay", "plain.png", "--no-legend"]).expect(0);
    let plain = image::open(sandbox.path("plain.png")).unwrap().into_rgb8();
    assert_eq!(plain.dimensions(), SIZE);
    assert!(plain.pixels().all(|pixel| pixel.0 == [0, 0, 252]));

    sandbox.segment(&["blue.png", "--overlay", "legend.png"]).expect(0);
    let legend = image::open(sandbox.path("legend.png")).unwrap().into_rgb8();
    assert!(legend.height() > SIZE.1);
    assert_eq!(legend.get_pixel(31, 15).0, [0, 0, 252]);
    assert!(legend.pixels().any(|pixel| pixel.0 == [0, 0, 250]), "no swatch");
}

#[test]
fn evidence_is_grey_and_high_where_the_picture_is_plain() {
    let sandbox = sandbox();
    sandbox.segment(&["a.png", "--confidence", "c.png", "--margin", "m.png"]).expect(0);
    for name in ["c.png", "m.png"] {
        let grey = read_png(&sandbox.path(name));
        assert_eq!(
            (grey.color, grey.depth, grey.size),
            (ColorType::Grayscale, BitDepth::Eight, SIZE)
        );
        assert!(grey.data[0] > 250, "{name}: {}", grey.data[0]);
        assert!(grey.data[15] < grey.data[0], "{name}: less sure beside the edge");
    }
}

#[test]
fn json_tells_everything_and_nothing_else_is_printed() {
    let sandbox = sandbox();
    let ran = sandbox.segment(&["a.png", "--json", "-o", "mask.png"]).expect(0);
    assert_eq!(ran.err, "");
    let report = ran.json();
    assert_eq!(report["bundle"]["name"], "tiny");
    assert_eq!(report["failed"].as_array().unwrap().len(), 0);
    let image = &report["images"][0];
    assert_eq!((&image["width"], &image["height"]), (&32.into(), &16.into()));
    assert_eq!(image["outputs"]["mask"], "mask.png");
    assert_eq!(image["classes"][0]["pixels"], 256);
    assert_eq!(image["classes"][1]["share"], 0.5);
    assert_eq!(image["classes"][0]["name"], "red");
    assert_eq!(image["unlabeled_pixels"], 0);
    assert!(image["times_ms"]["backbone"].as_f64().unwrap() > 0.0);
    let labels = read_png(&sandbox.path("mask.png")).data;
    let hash: String = Sha256::digest(&labels).iter().map(|byte| format!("{byte:02x}")).collect();
    assert_eq!(image["mask_sha256"], hash);
}

#[test]
fn without_outputs_only_the_summary_is_given() {
    let sandbox = sandbox();
    let before = sandbox.names(".");
    let ran = sandbox.segment(&["a.png"]).expect(0);
    assert!(ran.out.contains("green") && ran.out.contains("50.0 %"), "{}", ran.out);
    assert!(!ran.out.contains("blue"));
    assert_eq!(sandbox.names("."), before);
}

#[test]
fn a_bad_picture_does_not_keep_the_others_from_being_done() {
    let sandbox = sandbox();
    sandbox.picture("b.bmp", (8, 40), BLUE, RED);
    sandbox.write("bad.png", b"not a picture");
    let whole = sandbox.read("a.png");
    sandbox.write("cut.png", &whole[..whole.len() - 20]);
    let pictures = ["bad.png", "a.png", "cut.png", "gone.png", "b.bmp"];
    let ran = sandbox.segment(&[&pictures[..], &["-o", "masks", "--overlay", "over"]].concat());
    let ran = ran.expect(1);
    for name in ["bad.png", "cut.png", "gone.png"] {
        assert!(ran.err.contains(&format!("error: {name}")), "{}", ran.err);
    }
    assert_eq!(sandbox.names("masks"), ["a.png", "b.png"]);
    assert_eq!(sandbox.names("over"), ["a.png", "b.png"]);
    assert_eq!(read_png(&sandbox.path("masks/b.png")).size, (8, 40));

    let report = sandbox.segment(&[&pictures[..], &["--json"]].concat()).expect(1).json();
    assert_eq!(report["images"].as_array().unwrap().len(), 2);
    assert_eq!(report["failed"][0]["path"], "bad.png");
}

#[test]
fn a_bundle_among_the_pictures_is_told_where_it_belongs() {
    let sandbox = sandbox();
    sandbox.write("model.zsb", b"any");
    sandbox.segment(&["model.zsb"]).expect_error(1, &["model.zsb", "--bundle"]);
}

#[test]
fn colliding_outputs_are_refused_before_any_work() {
    let sandbox = sandbox();
    fs::create_dir(sandbox.path("other")).unwrap();
    sandbox.picture("other/a.jpg", SIZE, RED, RED);
    sandbox.segment(&["a.png", "other/a.jpg", "-o", "masks"]).expect_error(2, &["both"]);
    sandbox.segment(&["a.png", "-o", "x.png", "--overlay", "x.png"]).expect_error(2, &["both"]);
    sandbox.segment(&["a.png", "-o", "./a.png"]).expect_error(2, &["the picture a.png"]);
    sandbox.segment(&["a.png", "other/a.jpg", "-o", "a.png"]).expect_error(2, &["folder"]);
    assert!(!sandbox.exists("masks") && !sandbox.exists("x.png"));
}

#[test]
fn outputs_that_cannot_be_written_leave_nothing_behind() {
    let sandbox = sandbox();
    sandbox.segment(&["a.png", "-o", "no/where.png"]).expect_error(1, &["no/where.png"]);
    assert!(!sandbox.exists("no"));
}

#[test]
fn the_model_is_looked_for_where_help_says() {
    let sandbox = sandbox();
    let message = ["--bundle", "ZSSEG_BUNDLE", "voc11-lite0-zs.zsb"];
    sandbox.run(&["segment", "a.png"]).expect_error(1, &message);
    sandbox.segment(&["a.png", "--bundle", "gone.zsb"]).expect(2);
    sandbox.run(&["segment", "a.png", "--bundle", "gone.zsb"]).expect_error(1, &["gone.zsb"]);

    ran(sandbox.command(&["segment", "a.png"]).env("ZSSEG_BUNDLE", "tiny.zsb")).expect(0);
    fs::create_dir(sandbox.path("models")).unwrap();
    fs::copy(sandbox.path("tiny.zsb"), sandbox.path("models/voc11-lite0-zs.zsb")).unwrap();
    sandbox.run(&["segment", "a.png"]).expect(0);
}

#[test]
fn wrong_command_lines_exit_with_2() {
    let sandbox = sandbox();
    sandbox.segment(&["a.png", "--nonesuch"]).expect_error(2, &["--nonesuch"]);
    sandbox.run(&["segment"]).expect_error(2, &["IMAGE"]);
    sandbox.run(&[]).expect(2);
    sandbox.segment(&["a.png", "--threads", "0"]).expect(2);
    sandbox.run(&["inspect", "tiny.zsb", "--max-frame", "0x5"]).expect(2);
    assert!(sandbox.run(&["--version"]).expect(0).out.contains(env!("CARGO_PKG_VERSION")));
    for command in ["segment", "inspect", "classes", "pack", "bench"] {
        assert!(sandbox.run(&[command, "--help"]).expect(0).out.contains("Usage"));
    }
}

#[test]
fn sections_come_out_as_they_went_in() {
    let sandbox = sandbox();
    sandbox.run(&["inspect", "tiny.zsb", "--extract", "backbone_onnx", "out.onnx"]).expect(0);
    assert_eq!(sandbox.read("out.onnx"), ONNX);
    let ran = sandbox.run(&["inspect", "tiny.zsb", "--extract", "PROVENANCE", "-"]).expect(0);
    assert_eq!(ran.json()["made_by"], "tests/models/make_tiny.py");
    let ran = sandbox.run(&["inspect", "tiny.zsb", "--extract", "nonesuch", "x"]);
    ran.expect_error(2, &["nonesuch", "MANIFEST"]);
}

#[test]
fn inspect_shows_the_model() {
    let sandbox = sandbox();
    let text = sandbox.run(&["inspect", "tiny.zsb"]).expect(0).out;
    for word in ["CC0-1.0", "all match", "BACKBONE_ONNX", "stretched", "unseen", "#00fa00", "arena"]
    {
        assert!(text.contains(word), "no \"{word}\" in:\n{text}");
    }
    let large = sandbox.run(&["inspect", "tiny.zsb", "--json"]).expect(0).json();
    assert_eq!(large["classes"][2]["seen"], false);
    assert_eq!(large["integers"]["float_nodes"], 1);
    let small = sandbox.run(&["inspect", "tiny.zsb", "--json", "--max-frame", "64x48"]);
    let small = small.expect(0).json();
    let bytes =
        |document: &serde_json::Value, field: &str| document["arena"][field].as_u64().unwrap();
    assert!(bytes(&small, "total_bytes") < bytes(&large, "total_bytes"));
    assert_eq!(
        bytes(&small, "preprocessing_bytes") + bytes(&small, "head_bytes"),
        bytes(&small, "total_bytes")
    );
}

#[test]
fn inspect_shows_the_plan_of_a_compiled_bundle() {
    let sandbox = sandbox();
    sandbox.run(&["inspect", "tiny.zsb", "--plan"]).expect_error(1, &["zsseg compile"]);
    sandbox.run(&["compile", "tiny.zsb", "-o", "plan.zsb"]).expect(0);
    let document = sandbox.run(&["inspect", "plan.zsb", "--json"]).expect(0).json();
    assert_eq!((&document["integers"]["float_nodes"]), &1);
    let bytes = |field: &str| document["arena"][field].as_u64().unwrap();
    assert!(bytes("network_bytes") > 0);
    let parts = bytes("preprocessing_bytes") + bytes("network_bytes") + bytes("head_bytes");
    assert_eq!(parts, bytes("total_bytes"));
    let text = sandbox.run(&["inspect", "plan.zsb"]).expect(0).out;
    assert!(text.contains("BACKBONE_PLAN") && text.contains("plan, in the arena"), "{text}");

    let steps = sandbox.run(&["inspect", "plan.zsb", "--plan"]).expect(0).out;
    assert!(steps.contains("convolution") && steps.contains("bytes of arena"), "{steps}");
    sandbox.run(&["inspect", "plan.zsb", "--arena-picture", "arena.svg"]).expect(0);
    let picture = String::from_utf8(sandbox.read("arena.svg")).unwrap();
    let plan = sandbox.read("plan.zsb");
    let plan = Plan::new(Bundle::open(&plan).unwrap().plan().unwrap()).unwrap();
    let owners = (0..plan.tensor_count() as u16)
        .filter(|index| plan.tensor(*index).unwrap().parent == NO_TENSOR)
        .count();
    let outlines = picture.matches("<rect").count() - 1;
    assert!(picture.starts_with("<svg") && outlines >= 2 * owners, "{outlines} of {owners}");

    let ran = sandbox.run(&["bench", "plan.zsb", "--steps", "--frames", "2"]).expect(0);
    assert_eq!(ran.out.lines().count(), plan.step_count() + 3, "{}", ran.out);
    assert!(ran.out.contains("GMAC/s"), "{}", ran.out);
    sandbox.run(&["bench", "tiny.zsb", "--steps"]).expect_error(1, &["zsseg compile"]);

    let mut damaged = sandbox.read("plan.zsb");
    let len = damaged.len();
    damaged[len - 1] ^= 1;
    sandbox.write("damaged.zsb", &damaged);
    for option in [&["--plan"][..], &["--arena-picture", "x.svg"]] {
        let ran = sandbox.run(&[&["inspect", "damaged.zsb"], option].concat());
        ran.expect_error(1, &["checksum", "BACKBONE_PLAN"]);
    }
    assert!(!sandbox.exists("x.svg"));
}

#[test]
fn damaged_bundles_are_refused() {
    let sandbox = sandbox();
    let whole = sandbox.read("tiny.zsb");
    let mut damaged = whole.clone();
    let onnx = whole.windows(ONNX.len()).position(|window| window == ONNX).unwrap();
    damaged[onnx + ONNX.len() / 2] ^= 1;
    sandbox.write("damaged.zsb", &damaged);
    let ran = sandbox.run(&["inspect", "damaged.zsb"]).expect(1);
    assert!(ran.out.contains("BACKBONE_ONNX") && ran.out.contains("DOES NOT MATCH"), "{}", ran.out);
    let ran = sandbox.run(&["segment", "a.png", "--bundle", "damaged.zsb", "-o", "mask.png"]);
    ran.expect_error(1, &["damaged.zsb", "checksum", "BACKBONE_ONNX"]);
    for len in [0, 7, 64, 100, 1000, whole.len() / 2, whole.len() - 1] {
        sandbox.write("cut.zsb", &whole[..len]);
        sandbox.run(&["inspect", "cut.zsb"]).expect_error(1, &["cut.zsb"]);
        let ran = sandbox.run(&["segment", "a.png", "--bundle", "cut.zsb", "-o", "mask.png"]);
        ran.expect_error(1, &["cut.zsb"]);
    }
    assert!(!sandbox.exists("mask.png"));
}

#[test]
fn orientation_marks_are_applied() {
    let sandbox = sandbox();
    // TIFF, little endian, one entry: Orientation (0x112), SHORT, one value, 6 = turn right.
    let exif = b"II*\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0\x06\0\0\0\0\0\0\0";
    let mut info = png::Info::with_size(SIZE.0, SIZE.1);
    (info.color_type, info.bit_depth) = (ColorType::Rgb, BitDepth::Eight);
    info.exif_metadata = Some(exif.as_slice().into());
    let file = fs::File::create(sandbox.path("turned.png")).unwrap();
    let mut writer = png::Encoder::with_info(file, info).unwrap().write_header().unwrap();
    let picture = image::open(sandbox.path("a.png")).unwrap().into_rgb8();
    writer.write_image_data(picture.as_raw()).unwrap();
    writer.finish().unwrap();

    sandbox.segment(&["turned.png", "-o", "mask.png"]).expect(0);
    let mask = read_png(&sandbox.path("mask.png"));
    assert_eq!(mask.size, (SIZE.1, SIZE.0));
    assert!(mask.data[..256].iter().all(|&label| label == 0), "red on top");
    assert!(mask.data[256..].iter().all(|&label| label == 1), "green below");
}

#[test]
fn a_decompression_bomb_is_an_error() {
    let sandbox = sandbox();
    for side in [16_385u32, 1 << 30] {
        let file = fs::File::create(sandbox.path("bomb.png")).unwrap();
        let mut encoder = png::Encoder::new(file, side, side);
        encoder.set_color(ColorType::Rgb);
        encoder.set_depth(BitDepth::Eight);
        drop(encoder.write_header().unwrap());
        sandbox.segment(&["bomb.png"]).expect_error(1, &["bomb.png"]);
    }
}

#[test]
fn many_classes_give_16_bit_masks() {
    let sandbox = Sandbox::with_sources();
    let (start, _) = command::PACK_TOML.split_once("[output]").unwrap();
    let text = format!(
        "{start}[output]\nname = \"pooled\"\nalign_corners = false\n[head]\nkind = \"linear\"\n\
         [classes]\n"
    );
    sandbox.write("pack.toml", text.as_bytes());
    let names: String = (0..300).map(|index| format!("class {index}\n")).collect();
    sandbox.write("names.txt", names.as_bytes());
    let mut weight = vec![0.0; 900];
    (weight[3 * 299], weight[3 * 256 + 1]) = (1.0, 1.0); // red is 299, green is 256
    sandbox.head("head.safetensors", &[300, 3], &weight, &[0.0; 300]);
    sandbox.pack(&["--head", "head.safetensors", "--classes", "names.txt"]).expect(0);
    sandbox.picture("a.png", SIZE, RED, GREEN);
    sandbox.segment(&["a.png", "-o", "mask.png"]).expect(0);
    let mask = read_png(&sandbox.path("mask.png"));
    assert_eq!((mask.color, mask.depth), (ColorType::Grayscale, BitDepth::Sixteen));
    assert_eq!(mask.data[..2], 299u16.to_be_bytes());
    assert_eq!(mask.data[62..64], 256u16.to_be_bytes());
}

#[test]
fn bench_measures_every_stage() {
    let sandbox = sandbox();
    let ran = sandbox.run(&["bench", "tiny.zsb", "--json", "--frames", "3", "--warmup", "1"]);
    let report = ran.expect(0).json();
    assert_eq!((&report["image"], &report["width"]), (&"synthetic".into(), &640.into()));
    for stage in ["fetch", "backbone", "upsample", "total"] {
        assert!(report["stages"][stage]["median"].as_f64().unwrap() > 0.0, "{stage}");
    }
    let text = sandbox.run(&["bench", "tiny.zsb", "a.png", "--frames", "2"]).expect(0).out;
    assert!(text.contains("32x16") && text.contains("p95"), "{text}");
    sandbox.run(&["bench", "tiny.zsb", "gone.png"]).expect_error(1, &["gone.png"]);
}

#[test]
fn a_reader_that_goes_away_is_no_error() {
    let sandbox = sandbox();
    let mut command = sandbox.command(&["inspect", "tiny.zsb"]);
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    drop(child.stdout.take());
    let output = child.wait_with_output().unwrap();
    assert_eq!(String::from_utf8(output.stderr).unwrap(), "");
    assert!(output.status.success());
}
