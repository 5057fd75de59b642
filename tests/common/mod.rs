//! What the tests of whole masks share.
#![allow(dead_code)] // each test file uses its own part

use std::path::{Path, PathBuf};
use zsseg::arena::ALIGN_BYTES;
use zsseg::bundle::{Bundle, Contents, LinearHead, WeightValues, ZeroShot, write};
use zsseg::head::Output;
use zsseg::image::{Image, PixelFormat};
use zsseg::limits::Limits;
use zsseg::segmenter::Segmenter;
use zsseg::spec::{Precision, Weights};

/// A picture as tightly packed RGB bytes.
pub struct Picture {
    pub rgb: Vec<u8>,
    pub width: u32,
    pub height: u32,
}

impl Picture {
    pub fn open(path: &Path) -> Picture {
        let decoded = image::open(path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
        let decoded = decoded.to_rgb8();
        let (width, height) = decoded.dimensions();
        Picture { rgb: decoded.into_raw(), width, height }
    }

    pub fn frame(&self) -> Image<'_> {
        Image::packed(PixelFormat::Rgb8, &self.rgb, self.width, self.height).unwrap()
    }
}

/// A file of the repository.
pub fn repository(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

/// A file of the shared data, which is not part of the repository. `None`, with a message, when
/// it is not there; a failure instead when `ZSSEG_REQUIRE_SHARED=1` is set.
pub fn shared(path: &str) -> Option<PathBuf> {
    let found = repository("../shared/data").join(path);
    if found.exists() {
        return Some(found);
    }
    let required = std::env::var_os("ZSSEG_REQUIRE_SHARED").is_some_and(|value| value == "1");
    assert!(!required, "ZSSEG_REQUIRE_SHARED=1, but there is no {}", found.display());
    println!("NOT TESTED: there is no {}", found.display());
    None
}

/// The model that ships with the project.
pub fn shipped() -> Vec<u8> {
    std::fs::read(repository("models/voc11-lite0-zs.zsb")).unwrap()
}

/// The same model with its ONNX network, which tract runs.
pub fn shipped_onnx() -> Vec<u8> {
    std::fs::read(repository("models/voc11-lite0-zs-onnx.zsb")).unwrap()
}

/// The shipped model with float activations.
pub fn shipped_float() -> Vec<u8> {
    let bytes = shipped_onnx();
    let bundle = Bundle::open(&bytes).unwrap();
    let mut manifest = *bundle.manifest();
    manifest.precision = Precision::FloatActivations;
    let classes: Vec<_> = bundle.classes().collect();
    let floats = |values: &[zerocopy::little_endian::F32]| -> Vec<f32> {
        values.iter().map(|value| value.get()).collect()
    };
    let Some(Weights::F32(weights)) = bundle.head_weights() else { panic!("an f32 head") };
    let (weights, bias) = (floats(weights), floats(bundle.head_bias().unwrap()));
    let head = LinearHead { weights: WeightValues::F32(&weights), bias: &bias };
    let contents = Contents {
        manifest,
        classes: &classes,
        head: Some(head),
        onnx: bundle.onnx(),
        model_card: None,
        provenance: None,
        zero_shot: ZeroShot::default(),
    };
    write(&contents).unwrap()
}

/// Runs `work` with a segmenter for frames of at most `width` x `height`, in an arena of exactly
/// the size it asked for.
pub fn with_segmenter<T>(
    bytes: &[u8],
    (width, height): (u32, u32),
    work: impl FnOnce(&mut Segmenter<'_>) -> T,
) -> T {
    with_limits(bytes, Limits::for_frames(width, height), work)
}

/// As [`with_segmenter`], with other limits.
pub fn with_limits<T>(
    bytes: &[u8],
    limits: Limits,
    work: impl FnOnce(&mut Segmenter<'_>) -> T,
) -> T {
    let bundle = Bundle::open(bytes).unwrap();
    let need = Segmenter::arena_bytes(&bundle, &limits).unwrap();
    let mut memory = vec![0xA5u8; need + 2 * ALIGN_BYTES];
    let skip = memory.as_ptr().align_offset(ALIGN_BYTES);
    let arena = &mut memory[skip..skip + need];
    let mut segmenter = Segmenter::new(&bundle, &limits, arena).unwrap();
    work(&mut segmenter)
}

/// Labels of one frame.
pub fn labels(segmenter: &mut Segmenter<'_>, frame: &Image<'_>) -> Vec<u8> {
    let width = frame.width() as usize;
    let mut labels = vec![0u8; width * frame.height() as usize];
    segmenter.segment(frame, &mut Output::labels_u8(&mut labels, width)).unwrap();
    labels
}

/// Share of equal pixels, 0 to 1.
pub fn agreement(left: &[u8], right: &[u8]) -> f64 {
    assert_eq!(left.len(), right.len(), "masks of different sizes");
    let equal = left.iter().zip(right).filter(|(a, b)| a == b).count();
    equal as f64 / left.len() as f64
}

/// The indices of a mask PNG.
pub fn mask(path: &Path) -> Vec<u8> {
    let decoded = image::open(path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    decoded.to_luma8().into_raw()
}
