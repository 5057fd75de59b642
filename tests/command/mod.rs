//! What the tests of the command share: a folder of its own for each test, the tiny network that
//! tells red, green and blue apart, and pictures to show it.
#![allow(dead_code)] // each test file uses its own part

pub mod zero_shot;

use safetensors::Dtype;
use safetensors::tensor::TensorView;
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use tempfile::TempDir;

pub const ONNX: &[u8] = include_bytes!("../models/tiny_rgb.onnx");

pub const PACK_TOML: &str = r#"
name = "tiny"
license = "CC0-1.0"

[provenance]
made_by = "tests/models/make_tiny.py"

[input]
name = "image"
width = 8
height = 8

[preprocess]
fit = "stretch"
antialias = false
order = "rgb"
scale = 0.00392156862745098
mean = [0, 0, 0]
std = [1, 1, 1]

[output]
name = "logits"
align_corners = false

[head]
kind = "logits"

[classes]
list = [
    { name = "red", color = [250, 0, 0], background = true },
    { name = "green", color = [0, 250, 0] },
    { name = "blue", color = [0, 0, 250], seen = false },
]
"#;

pub const RED: [u8; 3] = [255, 0, 0];
pub const GREEN: [u8; 3] = [0, 255, 0];
pub const BLUE: [u8; 3] = [0, 0, 255];

/// What a run of the command gave.
pub struct Ran {
    pub code: Option<i32>,
    pub out: String,
    pub err: String,
}

impl Ran {
    #[track_caller]
    pub fn expect(self, code: i32) -> Ran {
        assert_eq!(self.code, Some(code), "stdout:\n{}\nstderr:\n{}", self.out, self.err);
        assert!(!self.err.contains("panicked"), "{}", self.err);
        self
    }

    /// It failed, and the errors say each of these.
    #[track_caller]
    pub fn expect_error(self, code: i32, texts: &[&str]) {
        let ran = self.expect(code);
        for text in texts {
            assert!(ran.err.contains(text), "no \"{text}\" in:\n{}", ran.err);
        }
    }

    #[track_caller]
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.out).unwrap_or_else(|error| panic!("{error}:\n{}", self.out))
    }
}

/// A folder that the command runs in.
pub struct Sandbox(TempDir);

impl Sandbox {
    pub fn new() -> Sandbox {
        Sandbox(tempfile::tempdir().unwrap())
    }

    /// A sandbox with `tiny.onnx`, `pack.toml` and the bundle `tiny.zsb` made of them.
    /// With a bundle that holds the ONNX network.
    pub fn with_bundle() -> Sandbox {
        let sandbox = Sandbox::with_sources();
        sandbox.pack(&["--engine", "tract"]).expect(0);
        sandbox
    }

    pub fn with_sources() -> Sandbox {
        let sandbox = Sandbox::new();
        sandbox.write("tiny.onnx", ONNX);
        sandbox.write("pack.toml", PACK_TOML.as_bytes());
        sandbox
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    pub fn write(&self, name: &str, bytes: &[u8]) {
        fs::write(self.path(name), bytes).unwrap();
    }

    pub fn read(&self, name: &str) -> Vec<u8> {
        fs::read(self.path(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
    }

    pub fn exists(&self, name: &str) -> bool {
        self.path(name).exists()
    }

    /// The names in a folder, sorted.
    pub fn names(&self, folder: &str) -> Vec<String> {
        let entries = fs::read_dir(self.path(folder)).unwrap();
        let name = |entry: std::io::Result<fs::DirEntry>| {
            entry.unwrap().file_name().to_string_lossy().into_owned()
        };
        let mut names: Vec<String> = entries.map(name).collect();
        names.sort();
        names
    }

    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_zsseg"));
        command.args(arguments).current_dir(self.0.path()).stdin(Stdio::null());
        command.env_remove("ZSSEG_BUNDLE").env_remove("RUST_BACKTRACE");
        command
    }

    pub fn run(&self, arguments: &[&str]) -> Ran {
        ran(&mut self.command(arguments))
    }

    /// Packs `tiny.onnx` by `pack.toml` into `tiny.zsb`.
    pub fn pack(&self, more: &[&str]) -> Ran {
        let start = ["pack", "--onnx", "tiny.onnx", "--config", "pack.toml", "-o", "tiny.zsb"];
        self.run(&[&start, more].concat())
    }

    /// Segments with `tiny.zsb`.
    pub fn segment(&self, more: &[&str]) -> Ran {
        self.run(&[&["segment", "--bundle", "tiny.zsb"], more].concat())
    }

    /// Writes a picture whose columns left of the middle have one colour and the others another.
    pub fn picture(&self, name: &str, (width, height): (u32, u32), left: [u8; 3], right: [u8; 3]) {
        let color = |x, _| image::Rgb(if x < width / 2 { left } else { right });
        image::RgbImage::from_fn(width, height, color).save(self.path(name)).unwrap();
    }

    /// Writes a classifier.
    pub fn head(&self, name: &str, shape: &[usize], weight: &[f32], bias: &[f32]) {
        self.write(name, &head(shape, weight, bias));
    }
}

pub fn ran(command: &mut Command) -> Ran {
    let output = command.output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    Ran { code: output.status.code(), out: text(output.stdout), err: text(output.stderr) }
}

/// A safetensors file with `weight` and `bias`.
pub fn head(shape: &[usize], weight: &[f32], bias: &[f32]) -> Vec<u8> {
    let bytes = |values: &[f32]| values.iter().flat_map(|v| v.to_le_bytes()).collect::<Vec<u8>>();
    let (weights, biases) = (bytes(weight), bytes(bias));
    let tensors = BTreeMap::from([
        ("weight", TensorView::new(Dtype::F32, shape.into(), &weights).unwrap()),
        ("bias", TensorView::new(Dtype::F32, vec![bias.len()], &biases).unwrap()),
    ]);
    safetensors::serialize(tensors, None).unwrap()
}

/// A PNG file as it is stored: nothing expanded.
pub struct RawPng {
    pub color: png::ColorType,
    pub depth: png::BitDepth,
    pub palette: Vec<u8>,
    pub size: (u32, u32),
    pub data: Vec<u8>,
}

pub fn read_png(path: &Path) -> RawPng {
    let file = fs::File::open(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let mut decoder = png::Decoder::new(std::io::BufReader::new(file));
    decoder.set_transformations(png::Transformations::IDENTITY);
    let mut reader = decoder.read_info().unwrap();
    let mut data = vec![0; reader.output_buffer_size().unwrap()];
    reader.next_frame(&mut data).unwrap();
    let info = reader.info();
    RawPng {
        color: info.color_type,
        depth: info.bit_depth,
        palette: info.palette.clone().unwrap_or_default().into_owned(),
        size: info.size(),
        data,
    }
}
