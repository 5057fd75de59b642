//! `zsseg features`.

use super::command::{PACK_TOML, Sandbox};
use std::fs;
use std::process::Stdio;
use std::time::{Duration, Instant};

const NAMES: [&str; 5] = ["a", "b", "c", "d", "e"];

/// A data set in `data`, and a network with a pack file that says no more than `features` reads.
fn sandbox(names: &[&str]) -> Sandbox {
    let sandbox = Sandbox::with_sources();
    let (tables, _) = PACK_TOML.split_once("[output]").unwrap();
    let (_, tables) = tables.split_once("[input]").unwrap();
    sandbox.write("network.toml", format!("[input]{tables}").as_bytes());
    fs::create_dir_all(sandbox.path("data/images")).unwrap();
    fs::create_dir(sandbox.path("data/masks")).unwrap();
    for (place, name) in names.iter().enumerate() {
        let (red, blue) = (40 * (place % 6) as u8, 255 - place as u8);
        sandbox.picture(&format!("data/images/{name}.png"), (20, 12), [red, 9, 80], [0, 200, blue]);
    }
    sandbox.write("data/classes.txt", b"ground\ncat\n");
    sandbox.write("data/all.txt", names.join("\n").as_bytes());
    sandbox
}

const START: [&str; 11] = [
    "features",
    "tiny.onnx",
    "--config",
    "network.toml",
    "--tap",
    "pooled",
    "--data",
    "data",
    "--list",
    "all",
    "-o",
];

fn with<'a>(output: &'a str, more: &[&'a str]) -> Vec<&'a str> {
    [&START[..], &[output], more].concat()
}

#[test]
fn any_number_of_threads_and_a_cache_give_the_same_bytes() {
    let sandbox = sandbox(&NAMES);
    let views = ["--view", "flip", "--view", "zoom:1.5,colour:0.5", "--view", "crop:2"];
    let ran = sandbox.run(&with("one", &[&views[..], &["--json"]].concat())).expect(0);
    let report = ran.json();
    assert_eq!((&report["pictures"], &report["done"]), (&5.into(), &5.into()));
    assert_eq!((&report["views"], &report["done_before"]), (&8.into(), &0.into()));
    assert_eq!(
        (&report["taps"][0]["rows"], &report["taps"][0]["channels"]),
        (&4.into(), &3.into())
    );
    assert_eq!(ran.err, "");

    let threads = [&views[..], &["--threads", "3"]].concat();
    sandbox.run(&with("three", &threads)).expect(0);
    assert!(sandbox.read("one") == sandbox.read("three"));
    for output in ["written", "read"] {
        sandbox.run(&with(output, &[&views[..], &["--cache", "cache"]].concat())).expect(0);
        assert!(sandbox.read("one") == sandbox.read(output), "{output}");
    }
    let seed = [&views[..], &["--seed", "1"]].concat();
    sandbox.run(&with("seed", &seed)).expect(0);
    assert!(sandbox.read("one") != sandbox.read("seed"));
}

#[test]
fn a_cache_is_read_and_knows_its_pictures() {
    let sandbox = sandbox(&NAMES);
    sandbox.run(&with("first", &["--cache", "cache"])).expect(0);
    // The file says what is in the store, whatever the decoder would.
    let before = sandbox.read("cache");
    let mut turned = before.clone();
    let data = 8 + u64::from_le_bytes(before[..8].try_into().unwrap()) as usize;
    turned[data..data + 4].copy_from_slice(&1e3f32.to_le_bytes());
    sandbox.write("cache", &turned);
    sandbox.run(&with("second", &["--cache", "cache"])).expect(0);
    assert!(sandbox.read("first") != sandbox.read("second"));

    sandbox.write("cache", &before);
    sandbox.picture("data/images/c.png", (21, 12), [1, 2, 3], [4, 5, 6]);
    let ran = sandbox.run(&with("third", &["--cache", "cache"]));
    ran.expect_error(1, &["cache: ", "\"c\" was changed"]);
    sandbox.write("data/all.txt", b"a\nb\n");
    let ran = sandbox.run(&with("fourth", &["--cache", "cache"]));
    ran.expect_error(1, &["5 pictures, not 2"]);
    sandbox.write("cut", &before[..data]);
    sandbox.run(&with("fifth", &["--cache", "cut"])).expect_error(1, &["cut: no picture cache"]);
}

#[test]
fn a_corrupt_picture_is_named_and_the_others_are_done() {
    let sandbox = sandbox(&NAMES);
    let whole = sandbox.read("data/images/c.png");
    sandbox.run(&with("clean", &[])).expect(0);
    sandbox.write("data/images/c.png", &whole[..whole.len() / 2]);
    let ran = sandbox.run(&with("store", &["--json", "--threads", "2"])).expect(1);
    assert!(ran.err.contains("error: c: ") && ran.err.contains("c.png"), "{}", ran.err);
    let report = ran.json();
    assert_eq!((&report["done"], &report["failed"][0]["name"]), (&4.into(), &"c".into()));

    sandbox.write("data/images/c.png", &whole);
    let report = sandbox.run(&with("store", &["--json"])).expect(0).json();
    assert_eq!((&report["done_before"], &report["done"]), (&4.into(), &5.into()));
    assert!(sandbox.read("clean") == sandbox.read("store"));
}

#[test]
fn what_was_killed_is_carried_on() {
    let names: Vec<String> = (0..120).map(|place| format!("picture{place}")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let sandbox = sandbox(&names);
    let views = ["--view", "zoom:2", "--view", "flip"];
    sandbox.run(&with("whole", &views)).expect(0);
    let whole = sandbox.read("whole");
    let done = |bytes: &[u8]| bytes.iter().rev().take(120 * 6).filter(|flag| **flag == 1).count();
    assert_eq!(done(&whole), 120 * 6);

    let mut command = sandbox.command(&with("killed", &views));
    let mut child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    let start = Instant::now();
    let flags = || if sandbox.exists("killed") { done(&sandbox.read("killed")) } else { 0 };
    while flags() < 20 {
        assert!(start.elapsed() < Duration::from_secs(60), "nothing is written");
        std::thread::sleep(Duration::from_millis(2));
    }
    // The other one goes on meanwhile.
    let ran = sandbox.run(&with("killed", &views));
    ran.expect_error(1, &["killed: another process is writing"]);
    child.kill().unwrap();
    child.wait().unwrap();
    let before = flags();
    assert!((20..120 * 6).contains(&before), "{before}");

    let ran = sandbox.run(&with("killed", &[&views[..], &["--json"]].concat()));
    assert!(ran.expect(0).json()["done_before"].as_u64().unwrap() >= 3);
    assert!(sandbox.read("killed") == whole);
    assert!(!sandbox.names(".").iter().any(|name| name.starts_with(".zsseg-")));
}

#[test]
fn shards_are_put_together_to_the_same_bytes() {
    let sandbox = sandbox(&NAMES);
    let views = ["--view", "colour:1"];
    sandbox.run(&with("whole", &views)).expect(0);
    for shard in ["1/2", "2/2"] {
        let output = format!("part{}", &shard[..1]);
        sandbox.run(&with(&output, &[&views[..], &["--shard", shard]].concat())).expect(0);
    }
    sandbox.run(&["features", "--merge", "part2", "part1", "-o", "merged"]).expect(0);
    assert!(sandbox.read("whole") == sandbox.read("merged"));
    let ran = sandbox.run(&["features", "--merge", "part2", "-o", "other"]);
    ran.expect_error(1, &["part2 is shard 2 of 2"]);
}

#[test]
fn a_bundle_s_network_needs_no_more_options() {
    let sandbox = sandbox(&NAMES);
    let start = ["features", "tiny.zsb", "--data", "data", "--list", "all", "-o"];
    sandbox.pack(&[]).expect(0);
    let ran = sandbox.run(&[&start[..], &["bundle"]].concat());
    ran.expect_error(1, &["tiny.zsb", "compiled", "ONNX file"]);
    sandbox.pack(&["--engine", "tract"]).expect(0);
    sandbox.run(&[&start[..], &["bundle"]].concat()).expect(0);
    let mut plain = with("network", &[]);
    plain[5] = "logits";
    sandbox.run(&plain).expect(0);
    assert!(sandbox.read("bundle") == sandbox.read("network"));
    let ran = sandbox.run(&[&start[..], &["x", "--config", "network.toml"]].concat());
    ran.expect_error(2, &["bundle"]);
}

#[test]
fn stores_of_another_network_are_refused() {
    let sandbox = sandbox(&NAMES);
    sandbox.run(&with("store", &[])).expect(0);
    let before = sandbox.read("store");
    let mut onnx = sandbox.read("tiny.onnx");
    // The sharpness of the logits: 10 becomes 20.
    let ten = 10f32.to_le_bytes();
    let at = onnx.windows(4).position(|window| window == ten).unwrap();
    onnx[at..at + 4].copy_from_slice(&20f32.to_le_bytes());
    sandbox.write("tiny.onnx", &onnx);
    let ran = sandbox.run(&with("store", &[]));
    ran.expect_error(1, &["store: made by another backbone: sha256"]);
    assert!(sandbox.read("store") == before);
}

#[test]
fn features_that_f16_cannot_hold_are_an_error_of_their_picture() {
    let sandbox = sandbox(&NAMES);
    let text = String::from_utf8(sandbox.read("network.toml")).unwrap();
    sandbox.write("network.toml", text.replace("0.00392156862745098", "400.0").as_bytes());
    // Dark enough for its features to fit.
    sandbox.picture("data/images/b.png", (20, 12), [1, 2, 3], [3, 2, 1]);
    let ran = sandbox.run(&with("store", &["--json"])).expect(1);
    assert_eq!(ran.json()["done"], 1);
    assert!(ran.err.contains("error: a: picture \"a\", view 0: tap \"pooled\""), "{}", ran.err);
}

#[test]
fn command_lines_without_sense_exit_with_2() {
    let sandbox = sandbox(&NAMES);
    for more in [&["--view", "flop"][..], &["--shard", "3/2"], &["--shard", "0/2"]] {
        sandbox.run(&with("store", more)).expect_error(2, &[more[1]]);
    }
    sandbox.run(&["features", "-o", "store"]).expect_error(2, &["MODEL"]);
    sandbox.run(&["features", "tiny.onnx", "-o", "store"]).expect_error(2, &["--data"]);
    let no_tap: Vec<&str> = with("store", &[]);
    let no_tap = [&no_tap[..4], &no_tap[6..]].concat();
    sandbox.run(&no_tap).expect_error(2, &["--tap"]);
    let merge = with("store", &["--merge", "a"]);
    sandbox.run(&merge).expect_error(2, &["--merge"]);
    let mut nonesuch = with("store", &[]);
    nonesuch[5] = "nonesuch";
    sandbox.run(&nonesuch).expect_error(1, &["tiny.onnx", "\"nonesuch\""]);
    assert!(!sandbox.exists("store"));
}
