//! Classes that are added, changed and taken away at run time.

use super::command::zero_shot::{Tiny, npy};
use super::command::{BLUE, RED, Ran, Sandbox, read_png};
use zsseg::spec::{HeadKind, WeightType};

const SIZE: (u32, u32) = (32, 16);

/// A sandbox with the bundle as `tiny.zsb` and pictures whose right half is blue.
pub fn sandbox(tiny: &Tiny) -> Sandbox {
    let sandbox = Sandbox::new();
    sandbox.write("tiny.zsb", &tiny.bundle());
    sandbox.picture("red_blue.png", SIZE, RED, BLUE);
    sandbox
}

fn hash(ran: Ran) -> String {
    ran.expect(0).json()["images"][0]["mask_sha256"].as_str().unwrap().to_string()
}

fn f32_npy(values: &[f32]) -> Vec<u8> {
    npy("<f4", values, |value| value.to_le_bytes().to_vec())
}

#[test]
fn a_class_is_added_by_name_words_vector_and_generator() {
    let sandbox = sandbox(&Tiny::LINEAR);
    sandbox.write("f4.npy", &f32_npy(&[0.0, 0.0, 1.0]));
    let doubles = npy("<f8", &[0.0f64, 0.0, 1.0], |value| value.to_le_bytes().to_vec());
    sandbox.write("f8.npy", &doubles);
    let halves = npy("<f2", &[0u16, 0, 0x3C00], |value| value.to_le_bytes().to_vec());
    sandbox.write("f2.npy", &halves);
    for (told, name, origin) in [
        ("blue", "blue", "word"),
        ("sky=Azure", "sky", "word"),
        ("sky=azure deep-blue", "sky", "word"),
        ("sky=f4.npy", "sky", "embedding"),
        ("sky=f8.npy", "sky", "embedding"),
        ("sky=f2.npy", "sky", "embedding"),
    ] {
        let output = ["red_blue.png", "--add-class", told, "--json", "-o", "mask.png"];
        let image = sandbox.segment(&output).expect(0).json()["images"][0].clone();
        assert_eq!(image["classes"][0]["name"], "red", "{told}");
        assert_eq!(
            (&image["classes"][0]["seen"], &image["classes"][0]["origin"]),
            (&true.into(), &"bundle".into())
        );
        let added = &image["classes"][1];
        assert_eq!((&added["name"], &added["index"]), (&name.into(), &2.into()), "{told}");
        assert_eq!((&added["seen"], &added["origin"]), (&false.into(), &origin.into()), "{told}");
        let mask = read_png(&sandbox.path("mask.png"));
        assert_eq!((mask.data[0], mask.data[31]), (0, 2), "{told}");
    }
    let plain = sandbox.segment(&["red_blue.png", "--json"]).expect(0).json();
    assert_eq!(plain["images"][0]["classes"].as_array().unwrap().len(), 1, "nothing is blue");
    let ran = sandbox.segment(&["red_blue.png", "--add-class", "blue", "--generate"]).expect(0);
    assert!(ran.out.contains("unseen, by generator"), "{}", ran.out);
    let ran = sandbox.segment(&["red_blue.png", "--add-class", "blue"]).expect(0);
    assert!(ran.out.contains("unseen, by word"), "{}", ran.out);
}

#[test]
fn words_and_classes_that_are_not_known_are_named_with_similar_ones() {
    let sandbox = sandbox(&Tiny::LINEAR);
    let wrong = |option, told, code, texts: &[&str]| {
        let ran = sandbox.segment(&["red_blue.png", "-o", "mask.png", option, told]);
        ran.expect_error(code, texts);
        assert!(!sandbox.exists("mask.png"), "{option} {told}");
    };
    wrong("--add-class", "blu", 1, &["no word \"blu\"", "did you mean blue"]);
    wrong("--add-class", "x=deep yelow", 1, &["class \"x\"", "\"yelow\"", "did you mean yellow?"]);
    wrong("--add-class", "rhinoceros", 1, &["no word \"rhinoceros\"\n"]);
    wrong("--add-class", "red", 1, &["\"red\" already"]);
    wrong("--add-class", "=red", 2, &["--add-class"]);
    wrong("--add-class", "x=", 2, &["--add-class"]);
    wrong("--add-class", "a\u{7}=red", 2, &["control character"]);
    wrong("--add-class", "_-", 1, &["without words"]);
    wrong("--disable-class", "gren", 1, &["\"gren\"", "did you mean green?"]);
    wrong("--only-class", "blue", 1, &["\"blue\""]);
    wrong("--replace-class", "blue", 1, &["\"blue\""]);
    wrong("--class-bias", "rde=1", 1, &["\"rde\"", "did you mean red?"]);
    wrong("--class-bias", "red=x", 2, &["x is not a number"]);
    wrong("--class-bias", "red=inf", 2, &["not finite"]);
    wrong("--class-prior", "red=0", 1, &["--class-prior red=0", "prior"]);
    let ran = sandbox.segment(&["red_blue.png", "--generate"]);
    ran.expect_error(2, &["--generate", "--add-class"]);

    sandbox.write("tiny.zsb", &Tiny { words: false, generator: false, ..Tiny::LINEAR }.bundle());
    wrong("--add-class", "blue", 1, &["words, with this bundle"]);
    let ran = sandbox.segment(&["red_blue.png", "--add-class", "blue", "--generate"]);
    ran.expect_error(1, &["generator"]);
    sandbox.write("v.npy", &f32_npy(&[0.0, 0.0, 1.0]));
    sandbox.segment(&["red_blue.png", "--add-class", "sky=v.npy"]).expect(0);
}

#[test]
fn vectors_that_do_not_fit_are_explained() {
    let sandbox = sandbox(&Tiny::LINEAR);
    let wrong = |bytes: &[u8], texts: &[&str]| {
        sandbox.write("v.npy", bytes);
        sandbox.segment(&["red_blue.png", "--add-class", "x=v.npy"]).expect_error(1, texts);
    };
    wrong(&f32_npy(&[1.0; 4]), &["v.npy", "found 4, wanted 3"]);
    wrong(&f32_npy(&[0.0, f32::NAN, 1.0]), &["v.npy", "not finite"]);
    wrong(&f32_npy(&[0.0, f32::INFINITY, 1.0]), &["v.npy", "not finite"]);
    wrong(&f32_npy(&[0.0; 3]), &["v.npy", "length of an embedding"]);
    let doubles = npy("<f8", &[1e300f64, 0.0, 1.0], |value| value.to_le_bytes().to_vec());
    wrong(&doubles, &["v.npy", "not finite"]);
    wrong(b"", &["v.npy", "not an .npy file"]);
    wrong(&f32_npy(&[1.0; 3])[..60], &["v.npy"]);
    let ran = sandbox.segment(&["red_blue.png", "--add-class", "x=gone.npy"]);
    ran.expect_error(1, &["gone.npy", "cannot be read"]);
}

#[test]
fn classes_are_left_out_weighed_and_replaced() {
    let sandbox = sandbox(&Tiny::LINEAR);
    let labels = |options: &[&str]| {
        let start = ["red_blue.png", "-o", "mask.png", "--add-class", "blue"];
        sandbox.segment(&[&start[..], options].concat()).expect(0);
        let mask = read_png(&sandbox.path("mask.png"));
        (mask.data[0], mask.data[31])
    };
    assert_eq!(labels(&[]), (0, 2));
    assert_eq!(labels(&["--disable-class", "red"]), (1, 2));
    assert_eq!(labels(&["--disable-class", "blue", "--disable-class", "red"]), (1, 1));
    assert_eq!(labels(&["--only-class", "green", "--only-class", "blue"]), (1, 2));
    let none = ["--disable-class", "red", "--disable-class", "green", "--disable-class", "blue"];
    assert_eq!(labels(&none), (255, 255));
    assert_eq!(labels(&["--class-bias", "green=11"]), (1, 1));
    assert_eq!(labels(&["--class-bias", "green=9"]), (0, 2));
    assert_eq!(labels(&["--class-prior", "green=100000"]), (1, 1));
    assert_eq!(labels(&["--replace-class", "green=red", "--class-bias", "red=-1"]), (1, 2));
    assert_eq!(labels(&["--replace-class", "red=green", "--disable-class", "green"]), (0, 2));
}

#[test]
fn removed_and_impossible_classes_change_no_pixel() {
    let sandbox = sandbox(&Tiny::LINEAR);
    let mask =
        |options: &[&str]| hash(sandbox.segment(&[&["red_blue.png", "--json"], options].concat()));
    let plain = mask(&[]);
    assert_eq!(mask(&["--add-class", "blue", "--disable-class", "blue"]), plain);
    assert_eq!(mask(&["--add-class", "blue", "--class-bias", "blue=-1000"]), plain);
    assert_eq!(mask(&["--class-bias", "red=0", "--unseen-bias", "0", "--reject", "0"]), plain);
    assert_ne!(mask(&["--add-class", "blue"]), plain);
}

#[test]
fn room_for_more_than_255_classes_makes_masks_wide() {
    let sandbox = sandbox(&Tiny { classes: 254, ..Tiny::LINEAR });
    let added = ["red_blue.png", "-o", "mask.png", "--add-class", "blue"];
    sandbox.segment(&added).expect(0);
    let mask = read_png(&sandbox.path("mask.png"));
    assert_eq!((mask.depth, mask.data[31]), (png::BitDepth::Eight, 254));
    sandbox.segment(&[&added[..], &["--add-class", "azure"]].concat()).expect(0);
    let mask = read_png(&sandbox.path("mask.png"));
    assert_eq!(mask.depth, png::BitDepth::Sixteen);
    assert_eq!(mask.data[62..64], 254u16.to_be_bytes());
}

#[test]
fn new_classes_get_colors_of_their_own_and_a_mark() {
    let sandbox = sandbox(&Tiny::LINEAR);
    let legend = |options: &[&str]| {
        let start = ["red_blue.png", "--overlay", "o.png", "-o", "m.png"];
        sandbox.segment(&[&start[..], options].concat()).expect(0);
        (image::open(sandbox.path("o.png")).unwrap().into_rgb8(), read_png(&sandbox.path("m.png")))
    };
    let (picture, mask) = legend(&["--add-class", "blue"]);
    let color: [u8; 3] = mask.palette[6..9].try_into().unwrap();
    assert!(color != [200, 0, 0] && color != [200, 1, 0] && color != [0, 0, 0], "{color:?}");
    assert!(picture.pixels().any(|pixel| pixel.0 == color), "no swatch of {color:?}");
    let mixed = [color[0] / 2, color[1] / 2, (u16::from(color[2]) + 255).div_euclid(2) as u8];
    assert_eq!(picture.get_pixel(31, 8).0, mixed);
    // The footnote is a line more than the two classes.
    let (without, _) = legend(&["--class-bias", "green=0"]);
    let lines = |picture: &image::RgbImage| (picture.height() - SIZE.1 - 12) / 19;
    assert_eq!((lines(&without), lines(&picture)), (1, 3));
}

/// Masks of classes that were added to the bundle and to the command line.
fn baked_and_added(kind: HeadKind, options: &[&str]) -> (String, String) {
    let sandbox = sandbox(&Tiny { kind, ..Tiny::LINEAR });
    // Colours in between, so that a small difference of a row shows.
    let shade = |x: u32, y: u32| image::Rgb([(x * 4) as u8, (y * 4) as u8, 255 - (x * 3) as u8]);
    image::RgbImage::from_fn(64, 64, shade).save(sandbox.path("shades.png")).unwrap();
    let add =
        [&["classes", "add", "tiny.zsb", "blue", "sun=red yellow"], options, &["-o", "b.zsb"]];
    sandbox.run(&add.concat()).expect(0);
    let baked = sandbox.run(&["segment", "--bundle", "b.zsb", "shades.png", "--json"]);
    let add = ["shades.png", "--json", "--add-class", "blue", "--add-class", "sun=red yellow"];
    (hash(baked), hash(sandbox.segment(&[&add[..], options].concat())))
}

#[test]
fn a_class_in_the_bundle_gives_the_mask_of_one_added_at_run_time() {
    for stored in [WeightType::F32, WeightType::F16, WeightType::I8] {
        for kind in [HeadKind::Linear(stored), HeadKind::Dot(stored), HeadKind::Cosine(stored)] {
            let (baked, added) = baked_and_added(kind, &[]);
            assert_eq!(baked, added, "{kind:?}");
        }
        let (baked, added) = baked_and_added(HeadKind::Linear(stored), &["--generate"]);
        assert_eq!(baked, added, "{stored:?}, generated");
    }
}

#[test]
fn bundles_get_and_lose_classes() {
    let sandbox = sandbox(&Tiny::LINEAR);
    let before = sandbox.read("tiny.zsb");
    let list = |bundle: &str| {
        let list = sandbox.run(&["classes", "list", bundle, "--json"]).expect(0).json();
        let classes = list["classes"].as_array().unwrap().clone();
        let class = |class: &serde_json::Value| {
            format!("{} {} {}", class["label"], class["name"].as_str().unwrap(), class["seen"])
        };
        classes.iter().map(class).collect::<Vec<String>>()
    };
    let run = |arguments: &[&str]| sandbox.run(&[&["classes"], arguments].concat());
    run(&["add", "tiny.zsb", "blue", "sun=yellow", "-o", "more.zsb"]).expect(0);
    assert_eq!(sandbox.read("tiny.zsb"), before);
    assert_eq!(list("more.zsb"), ["0 red true", "1 green true", "2 blue false", "3 sun false"]);
    run(&["remove", "more.zsb", "green", "--in-place"]).expect(0);
    assert_eq!(list("more.zsb"), ["0 red true", "1 blue false", "2 sun false"]);
    run(&["rename", "more.zsb", "sun", "the sun", "-o", "more.zsb"]).expect(0);
    assert_eq!(list("more.zsb"), ["0 red true", "1 blue false", "2 the sun false"]);
    let text = run(&["list", "more.zsb"]).expect(0).out;
    for word in ["the sun", "unseen", "background", "#c80000", "decision: the highest logit"] {
        assert!(text.contains(word), "no \"{word}\" in:\n{text}");
    }
    run(&["add", "tiny.zsb", "blue", "-o", "blue.zsb"]).expect(0);
    run(&["remove", "blue.zsb", "blue", "-o", "as_before.zsb"]).expect(0);
    assert_eq!(sandbox.read("as_before.zsb"), before, "byte for byte");
    sandbox.run(&["inspect", "more.zsb"]).expect(0);
}

#[test]
fn bundles_that_cannot_be_changed_stay_as_they_are() {
    let sandbox = sandbox(&Tiny::LINEAR);
    let before = sandbox.read("tiny.zsb");
    let names = sandbox.names(".");
    let wrong = |arguments: &[&str], code, texts: &[&str]| {
        sandbox.run(&[&["classes"], arguments].concat()).expect_error(code, texts);
        assert!(sandbox.read("tiny.zsb") == before, "{arguments:?}");
        assert_eq!(sandbox.names("."), names, "{arguments:?}");
    };
    wrong(&["add", "tiny.zsb", "bluu", "--in-place"], 1, &["did you mean blue"]);
    wrong(&["add", "tiny.zsb", "red", "--in-place"], 1, &["already"]);
    wrong(&["add", "tiny.zsb", "blue", "blue", "--in-place"], 1, &["already"]);
    wrong(&["add", "tiny.zsb", "blue"], 2, &["--in-place"]);
    wrong(&["add", "tiny.zsb", "blue", "--in-place", "-o", "x.zsb"], 2, &["--in-place"]);
    wrong(&["add", "tiny.zsb", "blue", "-o", "no/where.zsb"], 1, &["no/where.zsb"]);
    wrong(&["add", "tiny.zsb", "--in-place"], 2, &["NAME"]);
    wrong(&["remove", "tiny.zsb", "gren", "--in-place"], 1, &["did you mean green?"]);
    wrong(&["remove", "tiny.zsb", "red", "green", "--in-place"], 1, &["number of classes"]);
    wrong(&["rename", "tiny.zsb", "red", "green", "--in-place"], 1, &["already"]);
    wrong(&["rename", "tiny.zsb", "red", "a\nb", "--in-place"], 2, &["control character"]);
    wrong(&["rename", "tiny.zsb", "red", &"x".repeat(64), "--in-place"], 2, &["bytes"]);
    wrong(&["list", "gone.zsb"], 1, &["gone.zsb"]);

    let logits = Sandbox::with_bundle();
    let add = ["classes", "add", "tiny.zsb", "pink", "--in-place"];
    logits.run(&add).expect_error(1, &["pink"]);
    logits
        .run(&["classes", "remove", "tiny.zsb", "red", "--in-place"])
        .expect_error(1, &["logits"]);
    logits.run(&["classes", "rename", "tiny.zsb", "red", "rose", "--in-place"]).expect(0);
    assert!(logits.run(&["classes", "list", "tiny.zsb"]).expect(0).out.contains("rose"));
}

#[test]
fn inspect_tells_what_a_class_costs() {
    let sandbox = sandbox(&Tiny::LINEAR);
    let inspect = |extra: &str| {
        let arguments = ["inspect", "tiny.zsb", "--json", "--extra-classes", extra];
        sandbox.run(&arguments).expect(0).json()
    };
    let (few, many) = (inspect("64"), inspect("128"));
    let arena = |report: &serde_json::Value| report["arena"]["total_bytes"].as_u64().unwrap();
    let cost = &few["zero_shot"]["class_cost"];
    assert_eq!(arena(&many) - arena(&few), 64 * cost["bytes"].as_u64().unwrap());
    assert_eq!(cost["grid_multiply_adds"], 3 * 4 * 4);
    assert_eq!(cost["meaning_multiply_adds"], (3 + 1) * 3);
    assert!(cost["generator_multiply_adds"].as_u64().unwrap() > 1_000);
    let zero_shot = &few["zero_shot"];
    assert_eq!(zero_shot["embedding"]["dim"], 3);
    assert_eq!(zero_shot["words"]["count"], 7);
    assert_eq!(zero_shot["projection_bytes"], 4 * 4 * 3);
    assert_eq!(zero_shot["generator"]["hidden"], 3);
    let text = sandbox.run(&["inspect", "tiny.zsb"]).expect(0).out;
    for word in ["row, embedding, word, generator", "7 in", "multiply-adds", "0 more classes"] {
        assert!(text.contains(word), "no \"{word}\" in:\n{text}");
    }
    let logits = Sandbox::with_bundle();
    let report = logits.run(&["inspect", "tiny.zsb", "--json"]).expect(0).json();
    assert!(report["zero_shot"]["class_cost"].is_null());
}

#[test]
fn bench_measures_every_way_to_add_a_class() {
    let sandbox = sandbox(&Tiny::LINEAR);
    let start = ["bench", "tiny.zsb", "--frames", "1", "--warmup", "0", "--extra-classes", "5"];
    let report = sandbox.run(&[&start[..], &["--json"]].concat()).expect(0).json();
    let adding = report["adding"].as_array().unwrap();
    let ways: Vec<&str> = adding.iter().map(|adding| adding["way"].as_str().unwrap()).collect();
    assert_eq!(ways, ["row", "embedding", "word", "generator"]);
    for adding in adding {
        assert!(adding["classes"].as_u64().unwrap() >= 1, "{adding}");
        assert!(adding["microseconds_per_class"].as_f64().unwrap() > 0.0, "{adding}");
        assert!(adding["bytes_per_class"].as_u64().unwrap() > 84, "{adding}");
    }
    assert!(adding[3]["scratch_bytes"].as_u64().unwrap() > 1_000);
    let text = sandbox.run(&start).expect(0).out;
    assert!(text.contains("us/class") && text.contains("generator"), "{text}");
}

/// The first command of the README: a cat that no training mask showed, by its name.
#[test]
fn the_shipped_model_finds_a_cat_by_its_name() {
    let sandbox = Sandbox::new();
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
    let bundle = root.join("models/voc11-lite0-zs.zsb");
    let picture = root.join("tests/data/chelsea.png");
    let (bundle, picture) = (bundle.to_str().unwrap(), picture.to_str().unwrap());
    let start = ["segment", "--bundle", bundle, picture, "--json"];
    let plain = sandbox.run(&start).expect(0).json();
    let names = |report: &serde_json::Value| -> Vec<String> {
        let classes = report["images"][0]["classes"].as_array().unwrap();
        classes.iter().map(|class| class["name"].as_str().unwrap().to_string()).collect()
    };
    assert!(!names(&plain).contains(&"cat".to_string()), "cat must not be a class of the model");
    let report = sandbox.run(&[&start[..], &["--add-class", "cat"]].concat()).expect(0).json();
    let classes = report["images"][0]["classes"].as_array().unwrap();
    let cat = classes.iter().find(|class| class["name"] == "cat").expect("a cat");
    assert_eq!((&cat["seen"], &cat["origin"]), (&false.into(), &"word".into()));
    assert!(cat["share"].as_f64().unwrap() > 0.4, "{cat}");
}
