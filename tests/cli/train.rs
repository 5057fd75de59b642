//! `zsseg train` and `zsseg sweep`.

use crate::command::{PACK_TOML, Sandbox};
use image::{GrayImage, Luma, Rgb, RgbImage};

const CONFIG: &str = r#"
[data]
layout = "folder"
root = "pictures"
lists = ["train"]
[classes]
unseen = ["cow"]
[features]
stores = ["features.store"]
grid = [8, 8]
[embeddings]
tables = [{ format = "text", file = "words.txt" }]
"#;

#[test]
fn what_is_wrong_is_named() {
    let sandbox = Sandbox::new();
    sandbox.write("run.toml", CONFIG.as_bytes());
    let train = |arguments: &[&str]| {
        let start = ["train", "nonesuch", "--config", "run.toml", "-o", "run"];
        sandbox.run(&[&start, arguments].concat())
    };
    train(&[]).expect_error(1, &["no method \"nonesuch\""]);
    train(&["--set", "features.gird=1"]).expect_error(1, &["run.toml", "gird"]);
    train(&["--set", "features"]).expect_error(2, &["--set", "table.field=value"]);
    train(&["--preset", "best"]).expect_error(2, &["--preset", "paper"]);
    sandbox
        .run(&["train", "x", "--config", "none.toml", "-o", "run"])
        .expect_error(1, &["none.toml"]);
    let sweep = ["sweep", "nonesuch", "--config", "run.toml", "-o", "runs"];
    sandbox.run(&[&sweep[..], &["--vary", "seed="]].concat()).expect_error(2, &["--vary", "seed"]);
    sandbox.run(&[&sweep[..], &["--vary", "seed=1,2"]].concat()).expect_error(1, &["nonesuch"]);
    assert!(!sandbox.exists("run") && !sandbox.exists("runs"));
}

/// Colours that are classes, and the embeddings of their names.
const COLOURS: [(&str, [u8; 3]); 5] = [
    ("ground", [128, 128, 128]),
    ("red", [255, 0, 0]),
    ("green", [0, 255, 0]),
    ("blue", [0, 0, 255]),
    ("yellow", [255, 255, 0]),
];

const COLOURED: &str = r#"
[data]
layout = "folder"
root = "data"
lists = ["train"]
[validation]
layout = "folder"
root = "data"
lists = ["val"]
[classes]
unseen = ["yellow"]
background = "ground"
[features]
stores = ["train.st"]
validation_stores = ["val.st"]
grid = [4, 4]
[embeddings]
tables = [{ format = "text", file = "words.txt" }]
[method]
lambda = 1e-4
[bundle]
onnx = "tiny.onnx"
pack = "pack.toml"
words = "words.txt"
"#;

/// A data set of pictures that are ground on the left and a colour on the right, in the sandbox of
/// the tiny network.
fn coloured() -> Sandbox {
    let sandbox = Sandbox::with_sources();
    let (tables, _) = PACK_TOML.split_once("[output]").unwrap();
    sandbox.write("pack.toml", tables.as_bytes());
    for folder in ["data", "data/images", "data/masks"] {
        std::fs::create_dir(sandbox.path(folder)).unwrap();
    }
    let names: Vec<&str> = COLOURS.iter().map(|(name, _)| *name).collect();
    sandbox.write("data/classes.txt", names.join("\n").as_bytes());
    let shades = |name: &str, place: usize| {
        let of =
            |[r, g, b]: [u8; 3], shade: usize| Rgb([r, g, b].map(|it| it - it / 16 * shade as u8));
        let picture = RgbImage::from_fn(16, 16, |x, _| match x < 8 {
            true => of(COLOURS[0].1, place % 3),
            false => of(COLOURS[place % 5].1, place % 4),
        });
        let mask =
            GrayImage::from_fn(16, 16, |x, _| Luma([if x < 8 { 0 } else { place % 5 } as u8]));
        picture.save(sandbox.path(&format!("data/images/{name}.png"))).unwrap();
        mask.save(sandbox.path(&format!("data/masks/{name}.png"))).unwrap();
    };
    for (list, start) in [("train", 1), ("val", 50)] {
        let names: Vec<String> = (start..start + 15).map(|place| format!("p{place}")).collect();
        names.iter().zip(start..).for_each(|(name, place)| shades(name, place));
        sandbox.write(&format!("data/{list}.txt"), names.join("\n").as_bytes());
        let store = format!("{list}.st");
        let features = ["features", "tiny.onnx", "--config", "pack.toml", "--tap", "pooled"];
        let data = ["--data", "data", "--list", list, "-o", &store];
        sandbox.run(&[&features[..], &data].concat()).expect(0);
    }
    let line = |(name, rgb): &(&str, [u8; 3])| format!("{name} {} {} {}\n", rgb[0], rgb[1], rgb[2]);
    let words: String = COLOURS.iter().map(line).collect();
    sandbox.write("words.txt", (words + "purple 200 0 200\n").as_bytes());
    sandbox.write("run.toml", COLOURED.as_bytes());
    sandbox
}

#[test]
fn an_unseen_colour_is_found_from_pictures_to_bundle() {
    let sandbox = coloured();
    let ran = sandbox.run(&["train", "ridge", "--config", "run.toml", "-o", "run", "--json"]);
    let summary = ran.expect(0).json();
    assert_eq!((&summary["pictures"], &summary["inductive_pictures"]), (&15.into(), &12.into()));
    let iou = |report: &serde_json::Value, name: &str| {
        report["scores"][name]["mean_iou"].as_f64().unwrap()
    };
    let stored = &summary["validation"];
    assert!(iou(stored, "unseen") > 0.9 && iou(stored, "seen") > 0.9, "{}", stored["scores"]);

    let data = ["--data", "data", "--list", "val", "--json"];
    let ran = sandbox.run(&[&["eval", "run/model.zsb"][..], &data].concat());
    let whole = ran.expect(0).json();
    assert!(iou(&whole, "unseen") > 0.9 && iou(&whole, "seen") > 0.9, "{}", whole["scores"]);

    let picture = ["segment", "--bundle", "run/model.zsb", "data/images/p4.png", "-o", "mask.png"];
    sandbox.run(&picture).expect(0);
    let mask = image::open(sandbox.path("mask.png")).unwrap().to_rgb8();
    let label = |x| mask.get_pixel(x, 8).0;
    assert!(label(1) != label(14));
    let purple = [&picture[..], &["--add-class", "purple"]].concat();
    sandbox.run(&purple).expect(0);
}

#[test]
fn sweeps_make_a_table_of_scores() {
    let sandbox = coloured();
    let sweep = ["sweep", "ridge", "--config", "run.toml", "-o", "runs"];
    let vary = ["--vary", "method.lambda=1e-4,1e9", "--vary", "seed=1,2"];
    sandbox.run(&[&sweep[..], &vary].concat()).expect(0);
    let table = String::from_utf8(sandbox.read("runs/sweep.md")).unwrap();
    let lines: Vec<&str> = table.lines().collect();
    assert!(lines[0].contains("unseen mIoU") && lines[0].contains("hIoU"), "{table}");
    assert_eq!(lines.len(), 4, "{table}");
}

#[test]
fn a_true_layout_is_warned_of() {
    let sandbox = coloured();
    let train = |name: &str, preset: &str| {
        let few = ["--set", "method.generator.steps=3", "--set", "method.classifier.steps=3"];
        let start = ["train", "zs3net", "--config", "few.toml", "--preset", preset, "-o", name];
        sandbox.run(&[&start[..], &few].concat()).expect(0).err
    };
    let (before, after) = COLOURED.split_once("[method]\nlambda = 1e-4\n").unwrap();
    sandbox.write("few.toml", format!("{before}{after}").as_bytes());
    assert!(!train("default", "default").contains("zero-shot"));
    let told = train("paper", "paper");
    assert!(told.contains("warning") && told.contains("no zero-shot training"), "{told}");
}
