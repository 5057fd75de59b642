//! Requests that no page would send. Each gets its answer, and the server goes on.

use super::fixture::{Answer, SIZE, Server, picture};
use serde_json::json;
use std::io::Write;
use std::time::{Duration, Instant};

/// It still does its work.
#[track_caller]
fn alive(server: &Server) {
    let summary = server.post("/api/picture", &picture()).expect(200).json();
    assert_eq!(summary["picture"]["width"], SIZE.0);
}

/// The first bytes of a PNG file of this size.
fn png_header(width: u32, height: u32) -> Vec<u8> {
    let mut file = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR".to_vec();
    file.extend([width.to_be_bytes(), height.to_be_bytes()].concat());
    file.extend([8, 2, 0, 0, 0]);
    let crc = file[12..].iter().fold(u32::MAX, |crc, &byte| {
        (0..8).fold(crc ^ u32::from(byte), |crc, _| {
            (crc >> 1) ^ (0xedb8_8320 & (crc & 1).wrapping_neg())
        })
    });
    file.extend((!crc).to_be_bytes());
    file.extend(b"\0\0\0\x08IDAT\x78\x9c\x03\0\0\0\0\x01\0\0\0\0\0\0\0\0IEND\xae\x42\x60\x82");
    file
}

#[test]
fn what_is_no_picture_is_refused_and_the_one_on_show_stays() {
    let server = Server::with_picture();
    let before = server.pixels();
    let file = picture();
    for wrong in
        [&b""[..], b"not a picture", &file[..file.len() - 30], &file[..40], b"P6\n9 9\n255\n"]
    {
        server.post("/api/picture", wrong).expect_error(415, "picture");
    }
    for (width, height) in [(40_000, 40_000), (16_385, 1), (16_000, 16_000), (u32::MAX, u32::MAX)] {
        let answer = server.post("/api/picture", &png_header(width, height));
        let status = if width == u32::MAX { 415 } else { 413 };
        assert!([413, status].contains(&answer.status), "{width}: {answer:?}");
        answer.json()["error"].as_str().unwrap();
    }
    let huge = b"P6\n4000000000 4000000000\n255\n";
    assert!([413, 415].contains(&server.post("/api/picture", huge).status));
    for seed in 1..40usize {
        let mut damaged = file.clone();
        for step in 1..6 {
            let place = seed * step * 7919 % damaged.len();
            damaged[place] ^= (seed * 31 + step) as u8 | 1;
        }
        let status = server.post("/api/picture", &damaged).status;
        assert!([200, 413, 415].contains(&status), "seed {seed}: {status}");
        if status == 200 {
            server.post("/api/picture", &file).expect(200);
        }
    }
    assert_eq!(server.pixels(), before);
}

#[test]
fn bodies_beyond_the_cap_are_refused_before_they_come() {
    let server = Server::start();
    let host = &server.address;
    for (path, length) in [
        ("/api/picture", "33554433"),
        ("/api/picture", "18446744073709551615"),
        ("/api/classes", "65537"),
        ("/api/decision", "99999999999"),
    ] {
        let head =
            format!("POST {path} HTTP/1.1\r\nHost: {host}\r\nContent-Length: {length}\r\n\r\n");
        let start = Instant::now();
        server.raw(head.as_bytes(), false).expect_error(413, length);
        assert!(start.elapsed() < Duration::from_secs(5));
    }
    let sent = server.post("/api/picture", &vec![7; (32 << 20) + 1]);
    sent.expect_error(413, "33554433");
    server.post("/api/picture", &vec![7; 32 << 20]).expect_error(415, "picture");
    alive(&server);
}

#[test]
fn requests_that_end_early_are_refused() {
    let server = Server::start();
    let file = picture();
    let (host, length) = (&server.address, file.len());
    let head =
        format!("POST /api/picture HTTP/1.1\r\nHost: {host}\r\nContent-Length: {length}\r\n\r\n");
    let whole = [head.as_bytes(), &file].concat();
    server.raw(&whole[..whole.len() - 1], true).expect_error(400, "the body ends after");
    server.raw(head.as_bytes(), true).expect_error(400, "0 of");
    server.raw(&head.as_bytes()[..head.len() - 2], true).expect_error(400, "within its headers");
    server.raw(b"GET", true).expect_error(400, "within its headers");
    // Without a byte there is nothing to answer.
    drop(server.connect());
    alive(&server);
}

#[test]
fn paths_and_methods_that_are_none_are_refused() {
    let server = Server::start();
    for path in [
        "/../../etc/passwd",
        "/..%2f..%2fetc/passwd",
        "/api/../../Cargo.toml",
        "//",
        "/page.html",
        "/api",
        "/api/classes/a/b",
        "/api/classes/%FF",
        "/api/classes/%4",
        "http://127.0.0.1/api/model",
        "*",
    ] {
        server.get(path).expect_error(404, "nothing");
        server.send("DELETE", path, b"").expect_error(404, "nothing");
    }
    for (method, path, allow) in [
        ("POST", "/", "GET"),
        ("PUT", "/api/picture", "GET, POST"),
        ("GET", "/api/classes", "POST"),
        ("DELETE", "/api/model", "GET"),
        ("GET", "/api/classes/red", "DELETE"),
        ("HEAD", "/api/model", "GET"),
        ("OPTIONS", "/api/decision", "POST"),
        ("get", "/api/model", "GET"),
    ] {
        let answer = server.send(method, path, b"");
        let told = format!("Allow: {allow}");
        assert!(answer.head.split("\r\n").any(|line| line == told), "{}", answer.head);
        answer.expect_error(405, allow);
    }
    alive(&server);
}

#[test]
fn json_that_is_none_is_refused() {
    let server = Server::with_picture();
    let before = (server.json("/api/model"), server.pixels());
    let deep = "[".repeat(60_000);
    for (path, body) in [
        ("/api/classes", ""),
        ("/api/classes", "{"),
        ("/api/classes", "[]"),
        ("/api/classes", r#"{"word": "red"}"#),
        ("/api/classes", r#"{"name": 3}"#),
        ("/api/classes", r#"{"name": "red 2", "word": "red", "more": 1}"#),
        ("/api/classes", r#"{"name": "\ud800"}"#),
        ("/api/classes", &deep),
        ("/api/decision", r#"{"gamma": NaN}"#),
        ("/api/decision", r#"{"gamma": 1e999}"#),
        ("/api/decision", r#"{"stacking": "on"}"#),
        ("/api/decision", r#"{"gama": 1}"#),
        ("/api/fusion", r#"{"mode": "vote", "segments": -1}"#),
        ("/api/fusion", r#"{"segments": 1}"#),
        ("/api/fusion", "null"),
    ] {
        server.post(path, body.as_bytes()).expect_error(400, "JSON");
    }
    server.post("/api/classes", b"{\"name\": \"\xff\"}").expect_error(400, "JSON");
    for name in ["", "a\nb", &"x".repeat(64)] {
        let body = json!({ "name": name, "word": "red" }).to_string();
        server.post("/api/classes", body.as_bytes()).expect_error(422, "name");
    }
    server
        .post("/api/classes", br#"{"name": "a", "word": " - "}"#)
        .expect_error(422, "without words");
    let infinite = br#"{"stacking": "logits", "gamma": 1e39}"#;
    server.post("/api/decision", infinite).expect_error(422, "handicap");
    assert_eq!((server.json("/api/model"), server.pixels()), before);
}

#[test]
fn pages_from_elsewhere_are_refused() {
    let server = Server::start();
    let own = &server.address;
    let port = own.rsplit_once(':').unwrap().1;
    let ask =
        |headers: &str| server.raw(format!("GET / HTTP/1.1\r\n{headers}\r\n").as_bytes(), false);
    for host in
        ["evil.example", "127.0.0.1.evil.example", "localhost.evil.example", "", "[::1", "@"]
    {
        ask(&format!("Host: {host}:{port}\r\n")).expect_error(403, "Host");
    }
    ask("").expect_error(400, "Host");
    ask(&format!("Host: {own}\r\nHost: evil.example\r\n")).expect_error(400, "twice");
    for host in [&format!("localhost:{port}"), &format!("[::1]:{port}"), own] {
        ask(&format!("Host: {host}\r\n")).expect(200);
        ask(&format!("Host: {host}\r\nOrigin: http://{host}\r\n")).expect(200);
    }
    for origin in ["http://evil.example", "null", "https://127.0.0.1", "http://127.0.0.1:1", ""] {
        ask(&format!("Host: {own}\r\nOrigin: {origin}\r\n")).expect_error(403, "another site");
    }
}

#[test]
fn what_is_no_http_is_refused() {
    let server = Server::start();
    let host = &server.address;
    for text in [
        "\x16\x03\x01\x02\r\n\r\n",
        "GET /\r\n\r\n",
        "GET / HTTP/2.0\r\n\r\n",
        "\u{e9} / x\r\n\r\n",
    ] {
        server.raw(text.as_bytes(), true).expect_error(400, "HTTP request");
    }
    let get = |headers: &str| {
        let text = format!("GET /api/model HTTP/1.1\r\nHost: {host}\r\n{headers}\r\n");
        server.raw(text.as_bytes(), false)
    };
    get("A b: c\r\n").expect_error(400, "HTTP request");
    get(&"A: b\r\n".repeat(200)).expect_error(431, "headers");
    get(&format!("A: {}\r\n", "b".repeat(1 << 20))).expect_error(431, "headers");
    get("Transfer-Encoding: chunked\r\n").expect_error(411, "Content-Length");
    for length in ["-1", "1x", "", "+1", "0x10", "99999999999999999999999"] {
        get(&format!("Content-Length: {length}\r\n")).expect_error(400, "Content-Length");
    }
    get("Content-Length: 0\r\nContent-Length: 1\r\n").expect_error(400, "twice");
    let continued = get("Expect: 100-continue\r\n");
    assert_eq!(continued.status, 200, "no body, nothing to wait for");
    alive(&server);
}

#[test]
fn slow_and_silent_clients_keep_nobody_waiting() {
    let server = Server::start();
    let host = server.address.clone();
    let mut slow = server.connect();
    let head =
        format!("POST /api/picture HTTP/1.1\r\nHost: {host}\r\nContent-Length: 1000\r\n\r\nx");
    slow.write_all(head.as_bytes()).unwrap();
    let silent: Vec<_> = (0..10).map(|_| server.connect()).collect();
    let start = Instant::now();
    alive(&server);
    assert!(start.elapsed() < Duration::from_secs(8));
    drop(silent);
    let start = Instant::now();
    Answer::read(slow).expect_error(408, "too long");
    assert!(start.elapsed() < Duration::from_secs(20));
}

#[test]
fn too_many_connections_are_turned_away() {
    let server = Server::start();
    let many: Vec<_> = (0..16).map(|_| server.connect()).collect();
    server.get("/api/model").expect_error(503, "too many");
    drop(many);
    let start = Instant::now();
    while server.get("/api/model").status != 200 {
        assert!(start.elapsed() < Duration::from_secs(5));
        std::thread::sleep(Duration::from_millis(20));
    }
}
