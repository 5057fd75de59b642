//! The demo's server with a small model, and a client that may say anything.

use half::f16;
use serde_json::Value;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use tempfile::TempDir;
use zsseg::bundle::{Contents, LinearHead, Manifest, WeightValues, ZeroShot, write};
use zsseg::map::Layout;
use zsseg::spec::{
    Backbone, ChannelOrder, Class, Decision, EmbeddingSpace, Filter, Fit, Head, HeadKind, Input,
    InputType, Precision, Preprocess, WeightType,
};

const ONNX: &[u8] = include_bytes!("../models/tiny_rgb.onnx");
pub const SIZE: (u32, u32) = (64, 48);

/// A model that tells colours apart: features are red, green and blue, and classes are vectors in
/// this space. Blue was never seen; yellow, cyan and others are known as words only.
pub fn bundle() -> Vec<u8> {
    let class = |name, color, seen| Class { name, color, seen, background: false, bias: 0.0 };
    let classes = [
        class("red", [200, 30, 30], true),
        class("green", [30, 160, 60], true),
        class("blue", [40, 70, 220], false),
    ];
    let words: [(&str, [f32; 3]); 7] = [
        ("red", [10.0, 0.0, 0.0]),
        ("green", [0.0, 10.0, 0.0]),
        ("blue", [0.0, 0.0, 10.0]),
        ("yellow", [7.0, 7.0, -7.0]),
        ("cyan", [-7.0, 7.0, 7.0]),
        ("black", [-10.0, -10.0, -10.0]),
        ("bright", [10.0, 10.0, 10.0]),
    ];
    let words = words.map(|(word, vector)| (word, vector.map(f16::from_f32)));
    let words: Vec<(&str, &[f16])> =
        words.iter().map(|(word, vector)| (*word, &vector[..])).collect();
    let weights = [10.0, 0.0, 0.0, 0.0, 10.0, 0.0, 0.0, 0.0, 10.0];
    let contents = Contents {
        manifest: manifest(),
        classes: &classes,
        head: Some(LinearHead { weights: WeightValues::F32(&weights), bias: &[] }),
        onnx: Some(ONNX),
        model_card: None,
        provenance: None,
        zero_shot: ZeroShot { words: &words, decision: Decision::PLAIN, ..ZeroShot::default() },
    };
    write(&contents).unwrap()
}

fn manifest() -> Manifest<'static> {
    Manifest {
        model_name: "colours",
        license: "CC0-1.0",
        input_name: "image",
        output_name: "pooled",
        input: Input { width: 8, height: 8, layout: Layout::Chw, element: InputType::F32 },
        preprocess: Preprocess {
            fit: Fit::Stretch,
            filter: Filter::Bilinear,
            antialias: true,
            order: ChannelOrder::Rgb,
            scale: 1.0 / 255.0,
            mean: [0.0; 3],
            std: [1.0; 3],
            pad: [0.0; 3],
        },
        head: Head {
            kind: HeadKind::Dot(WeightType::F32),
            classes: 3,
            channels: 3,
            align_corners: false,
            confidence_scale: 1.0,
            cosine_scale: 1.0,
        },
        grid_height: 4,
        grid_width: 4,
        output_layout: Layout::Chw,
        backbone: Backbone::Onnx,
        precision: Precision::AsModel,
        embedding: Some(EmbeddingSpace { dim: 3, unit: false }),
    }
}

/// From the left: a quarter red, a half that goes from green to blue, a quarter yellow.
pub fn picture() -> Vec<u8> {
    let image = image::RgbImage::from_fn(SIZE.0, SIZE.1, |x, _| {
        let blue = (f64::from(x - x.min(16)) * 255.0 / 31.0) as u8;
        image::Rgb(match x {
            0..16 => [255, 0, 0],
            16..48 => [0, 255 - blue, blue],
            _ => [255, 255, 0],
        })
    });
    png_file(&image)
}

/// Colours that differ from cell to cell of the network's output.
pub fn patches() -> Vec<u8> {
    png_file(&image::RgbImage::from_fn(SIZE.0, SIZE.1, |x, y| {
        let (column, row) = (x / 16, y / 12);
        let value =
            |factor: u32| ((column * column * 37 + row * 59 + column * row * 11) * factor) as u8;
        image::Rgb([value(1), value(3), value(7)])
    }))
}

fn png_file(image: &image::RgbImage) -> Vec<u8> {
    let mut file = std::io::Cursor::new(Vec::new());
    image.write_to(&mut file, image::ImageFormat::Png).unwrap();
    file.into_inner()
}

/// A folder with the model, and the server when it is started.
pub struct Sandbox(TempDir);

impl Sandbox {
    pub fn new() -> Sandbox {
        let sandbox = Sandbox(tempfile::tempdir().unwrap());
        std::fs::write(sandbox.path("colours.zsb"), bundle()).unwrap();
        std::fs::write(sandbox.path("picture.png"), picture()).unwrap();
        sandbox
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// Runs a server that is expected to refuse its command line.
    #[track_caller]
    pub fn refused(&self, more: &[&str], code: i32, text: &str) {
        let mut child = self.command(more).spawn().unwrap();
        let start = Instant::now();
        while child.try_wait().unwrap().is_none() {
            if start.elapsed() > Duration::from_secs(30) {
                child.kill().unwrap();
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        let output = child.wait_with_output().unwrap();
        let told = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(code), "{told}");
        assert!(told.contains(text), "no {text:?} in {told:?}");
    }

    pub fn command(&self, more: &[&str]) -> Command {
        let mut command = program();
        command.args(["demo", "--bundle", "colours.zsb"]).args(more);
        command.current_dir(self.0.path()).stdin(Stdio::null()).stdout(Stdio::piped());
        command.env_remove("ZSSEG_BUNDLE").env_remove("RUST_BACKTRACE").stderr(Stdio::piped());
        command
    }
}

/// The program, ready to be ended by Ctrl-C: tests that run in the background inherit from the
/// shell that the signal is ignored.
fn program() -> Command {
    let program = env!("CARGO_BIN_EXE_zsseg");
    if !cfg!(target_os = "linux") {
        return Command::new(program);
    }
    let mut command = Command::new("env");
    command.args(["--default-signal=INT", program]);
    command
}

/// A running server; it is ended when this goes.
pub struct Server {
    pub child: Child,
    pub address: String,
    _sandbox: Sandbox,
}

impl Server {
    pub fn start() -> Server {
        Server::with(&["--listen", "127.0.0.1:0", "picture.png"])
    }

    pub fn with(arguments: &[&str]) -> Server {
        let sandbox = Sandbox::new();
        let mut child = sandbox.command(arguments).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.as_mut().unwrap()).read_line(&mut line).unwrap();
        let address = line.split_once("http://").and_then(|(_, rest)| rest.split_once('/'));
        let address = address.unwrap_or_else(|| panic!("no address in {line:?}")).0.to_string();
        Server { child, address, _sandbox: sandbox }
    }

    /// How it ended; `None` if it did not.
    pub fn wait_ten_seconds(&mut self) -> Option<std::process::ExitStatus> {
        let start = Instant::now();
        while start.elapsed() < Duration::from_secs(10) {
            if let Some(status) = self.child.try_wait().unwrap() {
                return Some(status);
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        None
    }

    pub fn with_picture() -> Server {
        let server = Server::start();
        server.post("/api/picture", &picture()).expect(200);
        server
    }

    pub fn folder(&self) -> &Path {
        self._sandbox.0.path()
    }

    pub fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect(&self.address).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
        stream
    }

    /// Sends these bytes and reads the answer; the sending side is closed then, if asked for.
    pub fn raw(&self, bytes: &[u8], close: bool) -> Answer {
        let mut stream = self.connect();
        // The server may refuse what comes last before it has come.
        let _ = stream.write_all(bytes);
        if close {
            stream.shutdown(std::net::Shutdown::Write).unwrap();
        }
        Answer::read(stream)
    }

    pub fn send(&self, method: &str, path: &str, body: &[u8]) -> Answer {
        let length = body.len();
        let address = &self.address;
        let head = format!(
            "{method} {path} HTTP/1.1\r\nHost: {address}\r\nContent-Length: {length}\r\n\r\n"
        );
        self.raw(&[head.as_bytes(), body].concat(), false)
    }

    pub fn get(&self, path: &str) -> Answer {
        self.send("GET", path, b"")
    }

    pub fn post(&self, path: &str, body: &[u8]) -> Answer {
        self.send("POST", path, body)
    }

    pub fn json(&self, path: &str) -> Value {
        self.get(path).expect(200).json()
    }

    /// Names of the classes in the picture; `null` for pixels without one.
    pub fn found(&self) -> Vec<Value> {
        let summary = self.json("/api/summary");
        summary["classes"].as_array().unwrap().iter().map(|class| class["name"].clone()).collect()
    }

    /// Labels and confidences.
    pub fn pixels(&self) -> Vec<u8> {
        self.get("/api/pixels").expect(200).body
    }

    pub fn network_runs(&self) -> u64 {
        self.json("/api/summary")["network_runs"].as_u64().unwrap()
    }

    pub fn share(&self, name: &str) -> f64 {
        let summary = self.json("/api/summary");
        let classes = summary["classes"].as_array().unwrap();
        classes
            .iter()
            .find(|class| class["name"] == name)
            .map_or(0.0, |c| c["share"].as_f64().unwrap())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// What the server answered.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub head: String,
    pub body: Vec<u8>,
}

impl Answer {
    #[track_caller]
    pub fn read(mut stream: TcpStream) -> Answer {
        let mut bytes = Vec::new();
        stream.read_to_end(&mut bytes).unwrap();
        let end = bytes.windows(4).position(|four| four == b"\r\n\r\n");
        let end = end.unwrap_or_else(|| panic!("no head in {:?}", String::from_utf8_lossy(&bytes)));
        let head = String::from_utf8(bytes[..end].to_vec()).unwrap();
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        Answer { status, head, body: bytes[end + 4..].to_vec() }
    }

    #[track_caller]
    pub fn expect(self, status: u16) -> Answer {
        let text = String::from_utf8_lossy(&self.body);
        assert_eq!(self.status, status, "{}\n{text}", self.head);
        self
    }

    /// It is an error with this status, and its text has this in it.
    #[track_caller]
    pub fn expect_error(self, status: u16, text: &str) -> Value {
        let value = self.expect(status).json();
        let error = value["error"].as_str().unwrap_or_else(|| panic!("no error in {value}"));
        assert!(error.contains(text), "no {text:?} in {error:?}");
        value
    }

    #[track_caller]
    pub fn json(&self) -> Value {
        assert!(self.head.contains("Content-Type: application/json"), "{}", self.head);
        serde_json::from_slice(&self.body).unwrap()
    }
}
