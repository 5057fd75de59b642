//! `zsseg eval`.

use super::command::{BLUE, GREEN, RED, Ran, Sandbox};
use std::fs;
use std::path::{Path, PathBuf};

const SIZE: (u32, u32) = (32, 16);

/// A data set of pictures that are red on the left and green on the right, with true masks.
fn data_set(classes: &str, pictures: &[&str]) -> Sandbox {
    let sandbox = Sandbox::with_bundle();
    for folder in ["set", "set/images", "set/masks"] {
        fs::create_dir(sandbox.path(folder)).unwrap();
    }
    sandbox.write("set/classes.txt", classes.as_bytes());
    sandbox.write("set/val.txt", pictures.join("\n").as_bytes());
    for name in pictures {
        sandbox.picture(&format!("set/images/{name}.png"), SIZE, RED, GREEN);
        mask(&sandbox, name, |x| u8::from(x >= SIZE.0 / 2));
    }
    sandbox
}

fn mask(sandbox: &Sandbox, name: &str, label: impl Fn(u32) -> u8) {
    let mask = image::GrayImage::from_fn(SIZE.0, SIZE.1, |x, _| image::Luma([label(x)]));
    mask.save(sandbox.path(&format!("set/masks/{name}.png"))).unwrap();
}

fn eval(sandbox: &Sandbox, more: &[&str]) -> Ran {
    let start = ["eval", "tiny.zsb", "--data", "set", "--list", "val", "--void", "255"];
    sandbox.run(&[&start, more].concat())
}

#[test]
fn reports_are_written_and_printed() {
    let sandbox = data_set("red\ngreen\nblue\n", &["a", "b"]);
    sandbox.picture("set/images/b.png", SIZE, RED, BLUE);
    let sweep = ["--gamma-sweep", "0,0.5,1", "--protocol", "zs3"];
    let options = [&["--report", "out", "--json"][..], &sweep].concat();
    let report = eval(&sandbox, &options).expect(0).json();
    assert_eq!(
        sandbox.names("out"),
        ["confusion.png", "metrics.json", "reliability.png", "report.md"]
    );
    let written: serde_json::Value =
        serde_json::from_slice(&sandbox.read("out/metrics.json")).unwrap();
    assert_eq!(written, report);
    for name in ["out/confusion.png", "out/reliability.png"] {
        assert!(image::open(sandbox.path(name)).unwrap().width() > 200);
    }
    assert_eq!(report["protocol"]["absent_class"], "zero");
    assert_eq!(report["pictures"], 2);
    let scores = &report["scores"];
    let found = |class: usize| &scores["classes"][class];
    assert_eq!((&found(2)["name"], &found(2)["scored"]), (&"blue".into(), &"unseen".into()));
    // Short side 513: the halves stay halves, but for what lies between the colours.
    assert!(found(0)["iou"].as_f64().unwrap() > 0.9, "{}", found(0));
    assert!(found(1)["iou"].as_f64().unwrap() < 0.6, "{}", found(1));
    assert_eq!(found(2)["iou"], 0.0);
    assert_eq!(report["sweep"]["rows"].as_array().unwrap().len(), 3);
    assert_eq!(report["sweep"]["space"], "probabilities");
    let text = String::from_utf8(sandbox.read("out/report.md")).unwrap();
    for part in ["| green", "never on the unseen classes", "short_side = 513", "calibration error"]
    {
        assert!(text.contains(part), "no \"{part}\" in:\n{text}");
    }
    assert_eq!(eval(&sandbox, &sweep).expect(0).out, text);
}

#[test]
fn true_masks_are_found_at_their_own_size() {
    let sandbox = data_set("green\nred\nblue\n", &["a"]);
    // The data set's order is not the model's: names decide.
    mask(&sandbox, "a", |x| u8::from(x < SIZE.0 / 2));
    let report = eval(&sandbox, &["--json"]).expect(0).json();
    assert_eq!(report["scores"]["all"]["mean_iou"], 1.0);
    assert_eq!(report["scores"]["all"]["pixels"], 512);
    assert_eq!(report["scores"]["unseen"]["mean_iou"], serde_json::Value::Null);
    let report = eval(&sandbox, &["--json", "--unseen", "green"]).expect(0).json();
    assert_eq!(report["scores"]["harmonic"]["iou"], 1.0);
    assert!(report["counts"]["setup"]["notes"][0].as_str().unwrap().contains("green, blue"));
}

#[test]
fn parts_make_the_whole() {
    let sandbox = data_set("red\ngreen\nblue\n", &["a", "b", "c"]);
    sandbox.picture("set/images/c.png", SIZE, BLUE, GREEN);
    let options = ["--gamma-sweep", "0,0.9", "--json"];
    let whole = eval(&sandbox, &options).expect(0).out;
    for part in ["1", "2"] {
        let shard = format!("{part}/2");
        let ran = eval(&sandbox, &[&options[..], &["--shard", &shard]].concat()).expect(0);
        sandbox.write(&format!("{part}.json"), ran.out.as_bytes());
        assert_ne!(ran.out, whole);
    }
    assert_eq!(
        sandbox.run(&["eval", "--merge", "2.json", "1.json", "--json"]).expect(0).out,
        whole
    );
    let twice = sandbox.run(&["eval", "--merge", "1.json", "1.json"]);
    twice.expect_error(1, &["1.json", "evaluated twice"]);
    sandbox.write("other.json", b"{\"counts\": 3}");
    sandbox.run(&["eval", "--merge", "1.json", "other.json"]).expect_error(1, &["other.json"]);
}

#[test]
fn a_broken_picture_is_named_and_left_out() {
    let sandbox = data_set("red\ngreen\nblue\n", &["a", "bad", "c"]);
    let whole = sandbox.read("set/images/bad.png");
    sandbox.write("set/images/bad.png", &whole[..whole.len() / 2]);
    let ran = eval(&sandbox, &["--json", "--report", "out"]).expect(1);
    assert!(ran.err.contains("bad.png") && !ran.err.contains("a.png"), "{}", ran.err);
    let report = ran.json();
    assert_eq!(report["pictures"], 2);
    assert!(report["failed"]["bad"].as_str().unwrap().contains("bad.png"));
    assert_eq!(report["scores"]["all"]["mean_iou"], 1.0);
    let text = String::from_utf8(sandbox.read("out/report.md")).unwrap();
    assert!(text.contains("1 left out"), "{text}");
    let ran = eval(&sandbox, &["--limit", "1"]).expect(0);
    assert!(ran.out.contains("1 pictures; 0 left out"), "{}", ran.out);
    sandbox.write("set/val.txt", b"bad");
    eval(&sandbox, &[]).expect_error(1, &["no picture could be evaluated"]);
}

#[test]
fn classes_of_one_side_only_are_no_secret() {
    let sandbox = data_set("red\ngreen\ngrey\n", &["a"]);
    mask(&sandbox, "a", |x| if x < 8 { 2 } else { u8::from(x >= 16) });
    eval(&sandbox, &[]).expect_error(1, &["blue", "--ignore-extra"]);
    let report = eval(&sandbox, &["--ignore-extra", "--json"]).expect(0).json();
    assert_eq!(report["scores"]["classes"][0]["iou"], 0.5);
    assert_eq!(report["scores"]["unseen"]["mean_iou"], 0.0);
    let notes = report["counts"]["setup"]["notes"].to_string();
    assert!(
        notes.contains("blue") && notes.contains("missed") && notes.contains("grey"),
        "{notes}"
    );
    let options = ["--ignore-extra", "--ignore-missing", "--json"];
    let report = eval(&sandbox, &options).expect(0).json();
    assert_eq!(report["scores"]["classes"].as_array().unwrap().len(), 2);
    assert_eq!(report["scores"]["all"]["mean_iou"], 1.0);
    assert_eq!(report["scores"]["all"]["pixels"], 384);
}

#[test]
fn wrong_command_lines_are_refused() {
    let sandbox = data_set("red\ngreen\nblue\n", &["a"]);
    sandbox.run(&["eval", "tiny.zsb"]).expect_error(2, &["--data", "--list"]);
    eval(&sandbox, &["--merge", "a.json"]).expect_error(2, &["--merge"]);
    eval(&sandbox, &["--protocol", "voc"]).expect_error(2, &["voc", "strict"]);
    eval(&sandbox, &["--shard", "3/2"]).expect_error(2, &["3/2"]);
    eval(&sandbox, &["--segments", "3"]).expect_error(2, &["--fuse"]);
    eval(&sandbox, &["--unseen", "cat"]).expect_error(1, &["no such classes: cat"]);
    eval(&sandbox, &["--gamma-sweep", "1.5"]).expect_error(1, &["1.5"]);
    sandbox.write("own.toml", b"name = \"own\"\n");
    eval(&sandbox, &["--protocol", "own.toml"]).expect_error(1, &["own.toml", "absent_class"]);
}

fn project(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

fn shipped() -> String {
    project("models/voc11-lite0-zs.zsb").display().to_string()
}

/// A cat's face and an astronaut's, of which the middle is labelled.
#[test]
fn the_shipped_model_names_a_cat_that_it_never_saw() {
    let sandbox = data_set("background\nperson\ncat\n", &[]);
    for (name, label) in [("astronaut", 1), ("chelsea", 2)] {
        let picture = image::open(project(&format!("tests/data/{name}.png"))).unwrap();
        let (width, height) = (picture.width(), picture.height());
        picture.save(sandbox.path(&format!("set/images/{name}.png"))).unwrap();
        let middle = |at: u32, side: u32| at > 2 * side / 5 && at < 3 * side / 5;
        let label = |x, y| if middle(x, width) && middle(y, height) { label } else { 255 };
        let mask = image::GrayImage::from_fn(width, height, |x, y| image::Luma([label(x, y)]));
        mask.save(sandbox.path(&format!("set/masks/{name}.png"))).unwrap();
    }
    sandbox.write("set/val.txt", b"astronaut\nchelsea");
    let set = ["--data", "set", "--list", "val", "--void", "255", "--ignore-extra", "--json"];
    let bundle = shipped();
    let ran = sandbox.run(&[&["eval", &bundle], &set[..], &["--add-class", "cat"]].concat());
    let report = ran.expect(0).json();
    let cat = &report["scores"]["classes"][2];
    assert_eq!(cat["scored"], "unseen");
    assert!(cat["accuracy"].as_f64().unwrap() > 0.9, "{cat}");
    let person = &report["scores"]["classes"][1];
    assert!(person["accuracy"].as_f64().unwrap() > 0.5, "{person}");

    let fused = ["--add-class", "cat", "--fuse", "soft"];
    let report = sandbox.run(&[&["eval", &bundle], &set[..], &fused].concat()).expect(0).json();
    let model = report["model"].as_str().unwrap();
    assert!(model.ends_with("fused with 5 segments by soft=0.5"), "{model}");
    assert_ne!(&report["scores"]["classes"][1], person);
}

#[test]
fn real_pictures_are_evaluated() {
    let root = project("../shared/data/datasets/voc12_animals");
    if !root.exists() {
        let required = std::env::var_os("ZSSEG_REQUIRE_SHARED").is_some_and(|value| value == "1");
        assert!(!required, "ZSSEG_REQUIRE_SHARED=1, but there is no {}", root.display());
        println!("NOT TESTED: there is no {}", root.display());
        return;
    }
    let (sandbox, root, bundle) = (Sandbox::new(), root.display().to_string(), shipped());
    let set = ["eval", &bundle, "--data", &root, "--list", "val", "--void", "255", "--limit", "5"];
    let classes = ["--add-class", "cat", "--add-class", "cow", "--ignore-missing", "--json"];
    let report = sandbox.run(&[&set[..], &classes].concat()).expect(0).json();
    assert_eq!(report["pictures"], 5);
    assert_eq!(report["scores"]["seen"]["classes"], 11);
    let unseen = report["scores"]["unseen"]["mean_iou"].as_f64().unwrap();
    let interval = &report["intervals"]["unseen"];
    let (low, high) = (interval["low"].as_f64().unwrap(), interval["high"].as_f64().unwrap());
    assert!(low < unseen && unseen < high && unseen > 0.1, "{low} {unseen} {high}");
}
