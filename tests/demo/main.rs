//! `zsseg demo` as its clients meet it. `scripts/test_demo.sh` runs the browser's part as well.
#![cfg(feature = "cli")]

mod fixture;
mod hostile;

use fixture::{SIZE, Sandbox, Server, patches, picture};
use serde_json::{Value, json};
use std::io::Read;
use std::process::Command;

const PIXELS: usize = (SIZE.0 * SIZE.1) as usize;

#[test]
fn the_page_may_load_nothing_from_elsewhere() {
    let server = Server::start();
    let page = server.get("/").expect(200);
    let text = String::from_utf8(page.body).unwrap();
    assert!(page.head.contains("text/html; charset=utf-8"), "{}", page.head);
    assert!(page.head.contains("default-src 'none'; script-src 'sha256-"), "{}", page.head);
    assert!(page.head.contains("Cross-Origin-Resource-Policy: same-origin"), "{}", page.head);
    assert!(!text.contains("http://") && !text.contains("https://"));
    assert_eq!(server.get("/?a=b").expect(200).body, text.as_bytes());
}

#[test]
fn the_model_is_described() {
    let server = Server::start();
    let model = server.json("/api/model");
    assert_eq!((&model["name"], &model["words"]), (&json!("colours"), &json!(7)));
    assert_eq!((&model["sample"], &model["fusible"]), (&json!(true), &json!(true)));
    let blue = json!({"label": 2, "name": "blue", "color": "#2846dc", "seen": false,
        "background": false, "enabled": true, "origin": "bundle"});
    assert_eq!(model["classes"][2], blue);
    assert_eq!(model["decision"]["stacking"], "off");
    assert_eq!(server.json("/api/summary")["picture"], Value::Null);
    server.get("/api/mask.png").expect_error(409, "no picture");
}

#[test]
fn a_picture_is_segmented_and_shown() {
    let server = Server::with_picture();
    let summary = server.json("/api/summary");
    assert_eq!(summary["picture"], json!({"width": SIZE.0, "height": SIZE.1}));
    assert!(summary["times_ms"]["network"].as_f64().unwrap() > 0.0);
    let shares =
        summary["classes"].as_array().unwrap().iter().map(|c| c["share"].as_f64().unwrap());
    assert!((shares.sum::<f64>() - 1.0).abs() < 1e-9);

    let pixels = server.pixels();
    assert_eq!(pixels.len(), 3 * PIXELS);
    let mask = server.get("/api/mask.png").expect(200).body;
    let mut decoder = png::Decoder::new(std::io::Cursor::new(&mask));
    decoder.set_transformations(png::Transformations::IDENTITY);
    let mut reader = decoder.read_info().unwrap();
    let mut labels = vec![0; reader.output_buffer_size().unwrap()];
    reader.next_frame(&mut labels).unwrap();
    let wide: Vec<u8> = labels.iter().flat_map(|&label| u16::from(label).to_le_bytes()).collect();
    assert_eq!(pixels[..2 * PIXELS], wide);
    assert_eq!((labels[0], labels[40]), (0, 2), "red at the left, blue right of the middle");

    let grey =
        image::load_from_memory(&server.get("/api/confidence.png").expect(200).body).unwrap();
    assert_eq!(grey.into_luma8().into_raw(), pixels[2 * PIXELS..]);
    let overlay =
        image::load_from_memory(&server.get("/api/overlay.png").expect(200).body).unwrap();
    assert_eq!(overlay.into_rgb8().get_pixel(0, 0).0, [227, 15, 15]);
    let shown = server.get("/api/picture").expect(200).body;
    assert_eq!(shown, image::load_from_memory(&picture()).unwrap().into_rgb8().into_raw());
}

#[test]
fn the_sample_gives_what_its_upload_gives() {
    let server = Server::start();
    server.post("/api/sample", b"").expect(200);
    let sample = server.pixels();
    server.post("/api/picture", &picture()).expect(200);
    assert_eq!(server.pixels(), sample);
    let without = Server::with(&["--listen", "127.0.0.1:0"]);
    assert_eq!(without.json("/api/model")["sample"], false);
    without.post("/api/sample", b"").expect_error(409, "without a picture");
}

#[test]
fn classes_are_added_by_words_and_removed_without_the_network() {
    let server = Server::with_picture();
    let before = server.pixels();
    assert!(!server.found().contains(&json!("yellow")));
    let summary = server.post("/api/classes", br#"{"name": "yellow"}"#).expect(200).json();
    assert_eq!(summary["network_runs"], 1);
    assert!(server.share("yellow") > 0.15, "{summary}");
    let model = server.json("/api/model");
    let class = &model["classes"][3];
    assert_eq!((&class["name"], &class["seen"]), (&json!("yellow"), &json!(false)));
    assert_eq!((&class["origin"], &class["color"]), (&json!("word"), &json!("#808000")));

    server.post("/api/classes", br#"{"name": "yellow"}"#).expect_error(409, "yellow");
    server.send("DELETE", "/api/classes/yellow", b"").expect(200);
    assert_eq!(server.pixels(), before);
    server.post("/api/classes", br#"{"name": "Zitrone /%", "word": "Bright-yellow"}"#).expect(200);
    assert!(server.found().contains(&json!("Zitrone /%")));
    server.send("DELETE", "/api/classes/Zitrone%20%2F%25", b"").expect(200);
    assert_eq!(server.pixels(), before);
    server.send("DELETE", "/api/classes/yellow", b"").expect_error(404, "yellow");
    assert_eq!(server.network_runs(), 1);
}

#[test]
fn unknown_words_are_answered_with_known_ones() {
    let server = Server::with_picture();
    let before = (server.json("/api/model"), server.pixels());
    for (name, word, suggestions) in [
        ("yelow", "yelow", json!(["yellow"])),
        ("bleu", "bleu", json!(["blue"])),
        ("bright gren", "gren", json!(["green"])),
        ("submarine", "submarine", json!([])),
    ] {
        let body = json!({ "name": name }).to_string();
        let told = server.post("/api/classes", body.as_bytes()).expect_error(422, word);
        assert_eq!(told["suggestions"], suggestions, "{name}");
    }
    assert_eq!((server.json("/api/model"), server.pixels()), before);
}

#[test]
fn a_full_table_takes_no_more() {
    let server = Server::start();
    let vacancies = server.json("/api/model")["vacancies"].as_u64().unwrap();
    for number in 0..vacancies {
        let body = json!({ "name": format!("red {number}"), "word": "red" }).to_string();
        server.post("/api/classes", body.as_bytes()).expect(200);
    }
    server
        .post("/api/classes", br#"{"name": "blue 2", "word": "blue"}"#)
        .expect_error(409, "place");
    server.send("DELETE", "/api/classes/red%200", b"").expect(200);
    server.post("/api/classes", br#"{"name": "blue 2", "word": "blue"}"#).expect(200);
}

#[test]
fn sliders_change_the_mask_without_the_network() {
    let server = Server::with_picture();
    let plain = server.pixels();
    let labels = |pixels: &[u8]| pixels[..2 * PIXELS].to_vec();
    let decide = |body: Value| server.post("/api/decision", body.to_string().as_bytes());

    decide(json!({"stacking": "probabilities", "gamma": 0.0})).expect(200);
    assert_eq!(labels(&server.pixels()), labels(&plain), "no handicap, no change");
    let blue = server.share("blue");
    decide(json!({"gamma": 0.5})).expect(200);
    assert!(server.share("blue") > blue);
    assert_eq!(server.json("/api/model")["decision"]["gamma"], 0.5);
    decide(json!({"stacking": "logits", "gamma": 15.0})).expect(200);
    assert_eq!(server.found(), ["blue"]);
    decide(json!({"stacking": "off", "min_confidence": 0.9})).expect(200);
    let found = server.found();
    assert!(found.len() > 1 && found.last() == Some(&Value::Null), "{found:?}");
    decide(json!({"min_confidence": 0.0})).expect(200);
    assert_eq!(server.pixels(), plain);
    assert_eq!(server.network_runs(), 1);

    decide(json!({"min_confidence": 0.25})).expect(200);
    for wrong in [
        json!({"stacking": "probabilities", "gamma": 1.5}),
        json!({"min_confidence": -0.1}),
        json!({"min_confidence": 1.1}),
        json!({"min_margin": 2}),
        json!({"max_unknown": -1}),
    ] {
        decide(wrong).expect_error(422, "out of range");
    }
    assert_eq!(server.json("/api/model")["decision"]["min_confidence"], 0.25);
}

#[test]
fn masks_are_fused_with_segments() {
    let server = Server::start();
    server.post("/api/picture", &patches()).expect(200);
    let plain = server.pixels();
    let fuse = |body: Value| server.post("/api/fusion", body.to_string().as_bytes());
    fuse(json!({"mode": "vote", "segments": 0})).expect(200);
    assert_eq!(server.pixels()[..2 * PIXELS], plain[..2 * PIXELS], "no segments, no change");
    for mode in ["select", "vote", "soft"] {
        let summary = fuse(json!({"mode": mode})).expect(200).json();
        assert!(summary["times_ms"]["fusion"].as_f64().unwrap() > 0.0, "{mode}");
        assert_eq!(server.json("/api/model")["fusion"], json!({"mode": mode, "segments": 5}));
    }
    assert_ne!(server.pixels(), plain, "soft mixes scores");
    fuse(json!({"mode": "vote", "segments": 6})).expect_error(422, "segments");
    fuse(json!({"mode": "oracle"})).expect_error(400, "oracle");
    fuse(json!({"mode": "off"})).expect(200);
    assert_eq!(server.pixels(), plain);
    assert_eq!(server.network_runs(), 1);
}

#[test]
fn only_this_machine_is_served_unless_asked_for() {
    Sandbox::new().refused(&["--listen", "0.0.0.0:0"], 2, "--allow-remote");
    let mut server = Server::with(&["--listen", "0.0.0.0:0", "--allow-remote"]);
    server.child.kill().unwrap();
    let mut warning = String::new();
    server.child.stderr.take().unwrap().read_to_string(&mut warning).unwrap();
    assert!(warning.contains("everyone"), "{warning}");

    let taken = Server::start();
    Sandbox::new().refused(&["--listen", &taken.address], 1, &taken.address);
    Sandbox::new().refused(&["--listen", "127.0.0.1:0", "gone.png"], 1, "gone.png");
}

#[cfg(unix)]
#[test]
fn ctrl_c_ends_it() {
    let mut server = Server::start();
    let id = server.child.id().to_string();
    assert!(Command::new("kill").args(["-INT", &id]).status().unwrap().success());
    use std::os::unix::process::ExitStatusExt;
    assert_eq!(server.wait_ten_seconds().and_then(|status| status.signal()), Some(2));
}

/// The page in a real browser: needs python3, chromium and chromedriver.
#[test]
#[ignore = "needs a browser; scripts/test_demo.sh runs it"]
fn a_browser_drives_the_page() {
    let server = Server::start();
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/demo/browser.py");
    let picture = server.folder().join("picture.png");
    let mut command = Command::new("python3");
    command.arg("-B").arg(script).arg(&server.address).arg(picture);
    command.args(std::env::var_os("SCREENSHOTS"));
    let status = command.status();
    assert!(status.unwrap().success());
}
