//! `zsseg pack`: heads made of embeddings, and what is there for new classes.
#![cfg(feature = "cli")]

mod command;

use command::{BLUE, GREEN, PACK_TOML, Sandbox, read_png};
use half::f16;
use safetensors::Dtype;
use safetensors::tensor::TensorView;
use std::collections::BTreeMap;
use zsseg::bundle::Bundle;
use zsseg::map::Layout;
use zsseg::spec::{
    Decision, EmbeddingSpace, HeadKind, Noise, SecondOutput, Stacking, UnknownScore, WeightType,
    Weights,
};

/// Vectors of the three classes, of two words that nobody is called by, and of a class that is
/// not in the pack file.
const WORDS: &str = "the 9 9 9\nof -9 0 0\nred 2 0 0\ngreen 0 2 0.5\nblue 0 0 2\nzebra 1 1 1\n";

/// A linear head and embeddings of three numbers.
fn linear() -> String {
    PACK_TOML
        .replace("\"logits\"\nalign", "\"pooled\"\nalign")
        .replace("kind = \"logits\"", "kind = \"linear\"")
        + "[embedding]\ndim = 3\n"
}

fn embedded(kind: &str) -> String {
    linear().replace("kind = \"linear\"", kind)
}

fn cosine() -> String {
    embedded("kind = \"cosine\"\ncosine_scale = 10")
}

fn tensors(tensors: &[(&str, &[usize], &[f32])]) -> Vec<u8> {
    let bytes: Vec<Vec<u8>> = tensors
        .iter()
        .map(|(_, _, values)| values.iter().flat_map(|value| value.to_le_bytes()).collect())
        .collect();
    let views: BTreeMap<&str, TensorView<'_>> = tensors
        .iter()
        .zip(&bytes)
        .map(|((name, shape, _), data)| {
            (*name, TensorView::new(Dtype::F32, shape.to_vec(), data).unwrap())
        })
        .collect();
    safetensors::serialize(views, None).unwrap()
}

/// A NumPy file of f16.
fn npy(rows: usize, columns: usize, values: &[f32]) -> Vec<u8> {
    let header =
        format!("{{'descr': '<f2', 'fortran_order': False, 'shape': ({rows}, {columns}), }}");
    let mut bytes = b"\x93NUMPY\x01\x00".to_vec();
    bytes.extend((header.len() as u16).to_le_bytes());
    bytes.extend(header.as_bytes());
    bytes.extend(values.iter().flat_map(|&value| f16::from_f32(value).to_le_bytes()));
    bytes
}

fn sandbox(toml: &str) -> Sandbox {
    let sandbox = Sandbox::with_sources();
    sandbox.write("pack.toml", toml.as_bytes());
    sandbox.write("words.txt", WORDS.as_bytes());
    sandbox.head(
        "head.safetensors",
        &[3, 3],
        &[4.0, 0.0, 0.0, 0.0, 4.0, 0.0, 0.0, 0.0, 4.0],
        &[0.0; 3],
    );
    let rows = [3.0, 4.0, 0.0, 0.0, 2.0, 0.0, 0.0, 0.0, 0.5];
    sandbox.write("rows.safetensors", &tensors(&[("weight", &[3, 3], &rows)]));
    sandbox.write("projection.safetensors", &tensors(&[("projection", &[4, 3], &[0.5; 12])]));
    sandbox.write("generator.safetensors", &generator(2, 5, 3));
    let statistics = statistics(&[3, 3], &[0.0, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0]);
    sandbox.write("statistics.safetensors", &statistics);
    sandbox
}

/// `hidden` rows over `inputs` columns, then `channels` rows.
fn generator(hidden: usize, inputs: usize, channels: usize) -> Vec<u8> {
    tensors(&[
        ("w1", &[hidden, inputs], &vec![0.25; hidden * inputs]),
        ("b1", &[hidden], &vec![1.0; hidden]),
        ("w2", &[channels, hidden], &vec![0.5; channels * hidden]),
        ("b2", &[channels], &vec![2.0; channels]),
    ])
}

fn statistics(shape: &[usize], deviation: &[f32]) -> Vec<u8> {
    let mean: Vec<f32> = deviation.iter().map(|value| -value).collect();
    tensors(&[("mean", shape, &mean), ("deviation", shape, deviation)])
}

fn floats(values: &[zerocopy::little_endian::F32]) -> Vec<f32> {
    values.iter().map(|value| value.get()).collect()
}

fn rows(bundle: &Bundle<'_>) -> Vec<f32> {
    match bundle.head_weights().unwrap() {
        Weights::F32(values) => floats(values),
        _ => panic!("not f32"),
    }
}

#[test]
fn rows_come_from_a_file_or_from_the_names() {
    let dot = sandbox(&embedded("kind = \"dot\""));
    dot.pack(&["--head", "rows.safetensors"]).expect(0);
    let bytes = dot.read("tiny.zsb");
    let bundle = Bundle::open(&bytes).unwrap();
    assert_eq!(bundle.head().kind, HeadKind::Dot(WeightType::F32));
    assert_eq!(rows(&bundle), [3.0, 4.0, 0.0, 0.0, 2.0, 0.0, 0.0, 0.0, 0.5]);
    assert!(bundle.head_bias().is_none() && bundle.words().is_none());
    assert_eq!(bundle.embedding(), Some(EmbeddingSpace { dim: 3, unit: false }));

    dot.pack(&["--words", "words.txt"]).expect(0);
    let bytes = dot.read("tiny.zsb");
    let wanted = [2.0, 0.0, 0.0, 0.0, 2.0, 0.5, 0.0, 0.0, 2.0];
    assert_eq!(rows(&Bundle::open(&bytes).unwrap()), wanted);

    let unit = sandbox(&(embedded("kind = \"dot\"") + "unit = true\n"));
    unit.pack(&["--words", "words.txt"]).expect(0);
    let bytes = unit.read("tiny.zsb");
    let found = rows(&Bundle::open(&bytes).unwrap());
    assert_eq!((found[0], found[4]), (1.0, (2.0 / 4.25f64.sqrt()) as f32));
}

#[test]
fn rows_of_a_cosine_head_have_unit_length() {
    let sandbox = sandbox(&cosine());
    sandbox.pack(&["--head", "rows.safetensors"]).expect(0);
    let bytes = sandbox.read("tiny.zsb");
    let bundle = Bundle::open(&bytes).unwrap();
    assert_eq!(bundle.head().cosine_scale, 10.0);
    assert_eq!(rows(&bundle), [0.6, 0.8, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0]);
    assert_eq!(bundle.embedding(), Some(EmbeddingSpace { dim: 3, unit: true }));
    for weights in ["f16", "i8"] {
        sandbox.pack(&["--words", "words.txt", "--weights", weights]).expect(0);
    }
}

#[test]
fn classes_are_told_apart_by_their_names_alone() {
    for toml in [embedded("kind = \"dot\""), cosine()] {
        let sandbox = sandbox(&toml);
        sandbox.picture("a.png", (32, 16), BLUE, GREEN);
        for weights in ["f32", "f16", "i8"] {
            sandbox.pack(&["--words", "words.txt", "--weights", weights]).expect(0);
            sandbox.segment(&["a.png", "-o", "mask.png"]).expect(0);
            let mask = read_png(&sandbox.path("mask.png"));
            assert_eq!((mask.data[0], mask.data[31]), (2, 1), "{weights}");
        }
    }
}

#[test]
fn names_of_several_words_are_averaged() {
    let sandbox = sandbox(&embedded("kind = \"dot\"").replace("\"blue\"", "\"Red-Blue_zebra\""));
    sandbox.pack(&["--words", "words.txt"]).expect(0);
    let bytes = sandbox.read("tiny.zsb");
    assert_eq!(rows(&Bundle::open(&bytes).unwrap())[6..], [1.0, 1.0 / 3.0, 1.0]);
}

fn words_of(sandbox: &Sandbox) -> Vec<String> {
    let bytes = sandbox.read("tiny.zsb");
    let words = Bundle::open(&bytes).unwrap().words().unwrap();
    (0..words.len()).map(|index| words.word(index).unwrap().to_string()).collect()
}

#[test]
fn the_limit_spares_the_names_of_the_classes() {
    let sandbox = sandbox(&linear());
    let head = ["--head", "head.safetensors", "--words", "words.txt"];
    let ran = sandbox.pack(&head).expect(0);
    // 16 + 6 ends + 18 halves + the letters.
    assert!(
        ran.out.contains("words: 6 of 6 from words.txt, 3 numbers each, 98 bytes"),
        "{}",
        ran.out
    );
    assert_eq!(words_of(&sandbox), ["blue", "green", "of", "red", "the", "zebra"]);
    let ran = sandbox.pack(&[&head[..], &["--word-limit", "1"]].concat()).expect(0);
    assert!(ran.out.contains("words: 4 of 6"), "{}", ran.out);
    assert_eq!(words_of(&sandbox), ["blue", "green", "red", "the"]);
    let bytes = sandbox.read("tiny.zsb");
    let bundle = Bundle::open(&bytes).unwrap();
    let words = bundle.words().unwrap();
    assert_eq!(words.vector(1).collect::<Vec<_>>(), [0.0, 2.0, 0.5]);
    let provenance: serde_json::Value = serde_json::from_str(bundle.provenance().unwrap()).unwrap();
    assert_eq!(provenance["packed"]["words"]["file"], "words.txt");
}

#[test]
fn a_numpy_table_has_its_words_beside_it() {
    let sandbox = sandbox(&cosine());
    let values = [0.0, 0.0, 2.0, 2.0, 0.0, 0.0, 0.0, 2.0, 0.0, 5.0, 5.0, 5.0];
    sandbox.write("table.npy", &npy(4, 3, &values));
    let long = "w".repeat(64);
    sandbox.write("table.txt", format!("blue\nred\ngreen\n{long}\n").as_bytes());
    let ran = sandbox.pack(&["--words", "table.npy"]).expect(0);
    assert!(ran.out.contains("1 are too long"), "{}", ran.out);
    assert_eq!(words_of(&sandbox), ["blue", "green", "red"]);
    let bytes = sandbox.read("tiny.zsb");
    let wanted = [1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0];
    assert_eq!(rows(&Bundle::open(&bytes).unwrap()), wanted);
}

#[test]
fn projection_generator_and_statistics_are_stored() {
    let toml = linear() + "[generator]\nnoise = \"normal\"\nslope = 0.5\nrelu = true\n";
    let sandbox = sandbox(&toml);
    let head = ["--head", "head.safetensors", "--projection", "projection.safetensors"];
    let more = ["--generator", "generator.safetensors", "--statistics", "statistics.safetensors"];
    sandbox.pack(&[head, more].concat()).expect(0);
    let bytes = sandbox.read("tiny.zsb");
    let bundle = Bundle::open(&bytes).unwrap();
    assert_eq!(floats(bundle.projection().unwrap().weights), [0.5; 12]);
    let generator = bundle.generator().unwrap();
    assert_eq!((generator.dim, generator.noise_dim, generator.hidden), (3, 2, 2));
    assert_eq!((generator.noise, generator.slope, generator.relu), (Noise::Normal, 0.5, true));
    assert_eq!(floats(generator.hidden_bias), [1.0; 2]);
    assert_eq!(floats(generator.output_bias), [2.0; 3]);
    let half = f16::from_f32(0.5).to_bits();
    assert!(generator.output_weights.iter().all(|bits| bits.get() == half));
    // Blue is unseen: what the file says of it was not measured in training.
    let statistics = bundle.feature_statistics().unwrap();
    assert!(statistics.find(2).is_none());
    let (mean, deviation) = statistics.find(1).unwrap();
    assert_eq!((floats(mean), floats(deviation)), (vec![-3.0, -4.0, -5.0], vec![3.0, 4.0, 5.0]));
}

#[test]
fn decision_and_second_output_are_stored() {
    let toml = PACK_TOML.to_string()
        + "[decision]\nstacking = \"probabilities\"\ngamma = 0.25\nmin_margin = 0.125\n\
           unknown = \"energy\"\nreference = 1.5\nmax_unknown = 0.75\n\
           [second_output]\nname = \"pixels\"\nlayout = \"hwc\"\n";
    let sandbox = sandbox(&toml);
    sandbox.pack(&[]).expect(0);
    let bytes = sandbox.read("tiny.zsb");
    let bundle = Bundle::open(&bytes).unwrap();
    let decision = Decision {
        stacking: Stacking::Probabilities(0.25),
        min_confidence: 0.0,
        min_margin: 0.125,
        unknown: UnknownScore::Energy { reference: 1.5 },
        max_unknown: 0.75,
    };
    assert_eq!(bundle.decision(), decision);
    let second = SecondOutput {
        name: "pixels",
        grid_height: 4,
        grid_width: 4,
        channels: 3,
        layout: Layout::Hwc,
    };
    assert_eq!(bundle.second_output(), Some(second));
}

/// Packing by this pack file fails and says each of these; nothing is written.
#[track_caller]
fn wrong(toml: &str, arguments: &[&str], texts: &[&str]) {
    let sandbox = sandbox(toml);
    sandbox.pack(arguments).expect_error(1, texts);
    assert!(!sandbox.exists("tiny.zsb"));
}

#[test]
fn heads_that_do_not_fit_are_explained() {
    let (dot, words) = (embedded("kind = \"dot\""), ["--words", "words.txt"]);
    wrong(&dot, &[], &["pack.toml", "--head or --words"]);
    wrong(&dot, &["--head", "head.safetensors"], &["head.safetensors", "`bias` is not known"]);
    let four = dot.replace("dim = 3", "dim = 4");
    wrong(&four, &["--head", "rows.safetensors"], &["rows.safetensors", "3 columns", "`dim` is 4"]);
    wrong(&four, &words, &["words.txt", "3 numbers", "pack.toml", "`dim` is 4"]);
    wrong(&dot.replace("dim = 3", "dim = 0"), &words, &["pack.toml", "[embedding]"]);
    let without = dot.replace("[embedding]\ndim = 3\n", "");
    wrong(&without, &["--head", "rows.safetensors"], &["pack.toml", "[embedding] is missing"]);
    wrong(&without, &words, &["words.txt", "[embedding]", "pack.toml"]);
    wrong(
        &dot.replace("\"blue\"", "\"sky blue\""),
        &words,
        &["\"sky blue\"", "words.txt", ": sky"],
    );
    let scale = |text: &str| embedded(&format!("kind = \"cosine\"{text}"));
    wrong(&scale(""), &words, &["[head]", "needs `cosine_scale`"]);
    wrong(&scale("\ncosine_scale = 0"), &words, &["[head]", "scale of the cosines"]);
    let dot_scale = embedded("kind = \"dot\"\ncosine_scale = 1");
    wrong(&dot_scale, &words, &["[head]", "only"]);
}

#[test]
fn rows_of_nothing_are_explained() {
    let sandbox = sandbox(&cosine());
    sandbox.write("rows.safetensors", &tensors(&[("weight", &[3, 3], &[0.0; 9])]));
    let failed = sandbox.pack(&["--head", "rows.safetensors"]);
    failed.expect_error(1, &["rows.safetensors", "row 0", "zero"]);
    sandbox.write("words.txt", WORDS.replace("red 2 0 0", "red 0 0 0").as_bytes());
    sandbox.pack(&["--words", "words.txt"]).expect_error(1, &["words.txt", "\"red\"", "zero"]);
    assert!(!sandbox.exists("tiny.zsb"));
}

#[test]
fn word_tables_that_do_not_fit_are_explained() {
    let sandbox = sandbox(&linear());
    let pack = |table: &str| sandbox.pack(&["--head", "head.safetensors", "--words", table]);
    sandbox.write("bad.txt", b"red 1 2 3\ngreen 1 2\n");
    pack("bad.txt").expect_error(1, &["bad.txt", "line 2", "2 numbers"]);
    sandbox.write("bad.txt", b"red 1 2 3\nred 1 2 3\n");
    pack("bad.txt").expect_error(1, &["bad.txt", "line 2", "\"red\" was there before"]);
    sandbox.write("bad.txt", b"red 1 2 inf\n");
    pack("bad.txt").expect_error(1, &["bad.txt", "inf"]);
    pack("nonesuch.npy").expect_error(1, &["nonesuch.npy", "cannot be read"]);
    sandbox.write("alone.npy", &npy(1, 3, &[1.0; 3]));
    pack("alone.npy").expect_error(1, &["alone.txt", "cannot be read"]);
    sandbox.write("alone.txt", b"red\ngreen\n");
    pack("alone.npy").expect_error(1, &["alone.npy", "1 rows", "2 words"]);
    sandbox.write("alone.npy", &npy(9, 3, &[1.0; 3]));
    pack("alone.npy").expect_error(1, &["alone.npy", "6 bytes"]);
    let limit = ["--head", "head.safetensors", "--word-limit", "3"];
    sandbox.pack(&limit).expect_error(1, &["--word-limit", "--words"]);
    assert!(!sandbox.exists("tiny.zsb"));
}

#[test]
fn parts_that_do_not_fit_are_explained() {
    let sandbox = sandbox(&linear());
    let pack = |option: &str, bytes: &[u8]| {
        sandbox.write("part.safetensors", bytes);
        let all = ["--head", "head.safetensors", option, "part.safetensors"];
        let statistics = ["--statistics", "statistics.safetensors"];
        match option == "--generator" {
            true => sandbox.pack(&[&all[..], &statistics].concat()),
            false => sandbox.pack(&all),
        }
    };
    let projection = tensors(&[("projection", &[3, 3], &[0.5; 9])]);
    let failed = pack("--projection", &projection);
    failed.expect_error(1, &["part.safetensors", "[3, 3]", "[4, 3]"]);
    let nan = tensors(&[("projection", &[4, 3], &[f32::NAN; 12])]);
    pack("--projection", &nan).expect_error(1, &["`projection` [0, 0] is NaN"]);
    pack("--projection", b"").expect_error(1, &["part.safetensors", "not a safetensors file"]);
    let other = tensors(&[("matrix", &[4, 3], &[0.5; 12])]);
    pack("--projection", &other).expect_error(1, &["`matrix` is not known"]);

    pack("--generator", &generator(2, 3, 3)).expect_error(1, &["`w1` has 3 columns"]);
    pack("--generator", &generator(2, 5, 4)).expect_error(1, &["`w2`", "[4, 2]", "3 channels"]);
    let without = tensors(&[("w1", &[2, 5], &[0.5; 10]), ("w2", &[3, 2], &[0.5; 6])]);
    pack("--generator", &without).expect_error(1, &["`b1` is missing"]);

    let statistics =
        |shape: &[usize], deviation: &[f32]| pack("--statistics", &statistics(shape, deviation));
    statistics(&[2, 3], &[1.0; 6]).expect_error(1, &["`mean`", "[2, 3]", "[3, 3]"]);
    let negative = [1.0, 1.0, 1.0, 1.0, -1.0, 1.0, 1.0, 1.0, 1.0];
    statistics(&[3, 3], &negative).expect_error(1, &["`deviation` [1, 1] is -1"]);
    assert!(!sandbox.exists("tiny.zsb"));
}

#[test]
fn parts_without_a_use_are_explained() {
    let words = ["--words", "words.txt"];
    let projection = ["--projection", "projection.safetensors"];
    let generator = ["--generator", "generator.safetensors"];
    let linear_head = ["--head", "head.safetensors"];
    let dot = embedded("kind = \"dot\"");
    for part in [projection, generator] {
        wrong(&dot, &[words, part].concat(), &[part[1], "\"linear\"` only"]);
        let without = linear().replace("[embedding]\ndim = 3\n", "");
        wrong(&without, &[linear_head, part].concat(), &[part[1], "[embedding]"]);
    }
    wrong(&linear(), &[linear_head, generator].concat(), &["needs feature statistics"]);
    let table = linear() + "[generator]\nrelu = true\n";
    wrong(&table, &linear_head, &["[generator] has no use"]);
    let statistics = ["--statistics", "statistics.safetensors"];
    wrong(PACK_TOML, &statistics, &["statistics.safetensors", "logits"]);
    let slope = linear() + "[generator]\nslope = 2\n";
    let all = [linear_head, generator, statistics].concat();
    wrong(&slope, &all, &["pack.toml", "slope of the generator"]);
}

#[test]
fn tables_that_do_not_fit_are_explained() {
    let with = |table: &str| PACK_TOML.to_string() + table;
    let decision = |field: &str| with(&format!("[decision]\n{field}\n"));
    wrong(&decision("gamma = 1"), &[], &["pack.toml", "[decision]", "needs a `stacking`"]);
    wrong(&decision("stacking = \"on\""), &[], &["pack.toml", "on"]);
    wrong(&decision("min_confidence = 2"), &[], &["[decision]", "least confidence"]);
    let second = |fields: &str| with(&format!("[second_output]\n{fields}\n"));
    wrong(&second("name = \"nonesuch\""), &[], &["tiny.onnx", "nonesuch"]);
    wrong(&second("name = \"logits\""), &[], &["pack.toml", "name of the second output"]);
    let grid = second("name = \"pixels\"\ngrid = [2, 8]");
    wrong(&grid, &[], &["[second_output] \"pixels\"", "`grid`"]);
    wrong(&second(""), &[], &["pack.toml", "missing field `name`"]);
}
