//! Memory of a segmenter for all that may happen while it runs: exact, bounded, and never taken
//! from the heap.

#[path = "common/external.rs"]
mod external;

use external::*;
use proptest::prelude::*;
use std::alloc::{GlobalAlloc, Layout as Block, System};
use std::cell::Cell;
use zsseg::bundle::Bundle;
use zsseg::classes::NewClass;
use zsseg::head::{Output, Smoothing};
use zsseg::image::{Image, PixelFormat};
use zsseg::limits::{AffinityShape, Limits};
use zsseg::map::{Layout, Map};
use zsseg::segmenter::{ClassSource, Frame, FusionSettings, Meaning, Segmenter, Source};
use zsseg::spec::{Decision, EmbeddingSpace, HeadKind, Stacking, WeightType};
use zsseg::spectral::Fusion;
use zsseg::status::Status;

/// The system's allocator, which counts what each thread asks it for.
struct Counting;

thread_local! {
    static REQUESTS: Cell<usize> = const { Cell::new(0) };
}

// SAFETY: everything is handed on to the system's allocator as it came.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Block) -> *mut u8 {
        REQUESTS.with(|requests| requests.set(requests.get() + 1));
        // SAFETY: the caller keeps the contract of `alloc`.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Block) {
        REQUESTS.with(|requests| requests.set(requests.get() + 1));
        // SAFETY: the caller keeps the contract of `dealloc`.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// Pack file of `models/segmentation_qdq_u8.onnx`.
#[cfg(feature = "cli")]
const SMALL_PACK: &str = r#"
name = "small"
license = "CC0-1.0"
[input]
name = "image"
width = 16
height = 16
[preprocess]
fit = "stretch"
antialias = false
order = "rgb"
scale = 0.00392156862745098
mean = [0, 0, 0]
std = [1, 1, 1]
[output]
name = "probabilities"
align_corners = false
[head]
kind = "logits"
[classes]
list = [{ name = "a" }, { name = "b" }, { name = "c" }, { name = "d" }, { name = "e" }]
"#;

/// Requests of this thread during `work`.
fn requests_of<T>(work: impl FnOnce() -> T) -> usize {
    let before = REQUESTS.with(Cell::get);
    let result = work();
    let requests = REQUESTS.with(Cell::get) - before;
    drop(result);
    requests
}

#[test]
fn the_allocator_counts() {
    assert_eq!(requests_of(|| 7), 0);
    assert!(requests_of(|| Vec::<u8>::with_capacity(100)) > 0);
}

fn kinds() -> impl Strategy<Value = HeadKind> {
    let stored = prop_oneof![Just(WeightType::F32), Just(WeightType::F16), Just(WeightType::I8)];
    (0..4, stored).prop_map(|(kind, stored)| match kind {
        0 => HeadKind::Logits,
        1 => HeadKind::Linear(stored),
        2 => HeadKind::Dot(stored),
        _ => HeadKind::Cosine(stored),
    })
}

fn models() -> impl Strategy<Value = Model> {
    (kinds(), 1usize..20, 1usize..40, (1usize..12, 1usize..20)).prop_map(
        |(kind, classes, channels, grid)| match kind {
            HeadKind::Logits => Model::of_logits(classes, grid),
            _ => Model::new(kind, classes, channels, grid),
        },
    )
}

fn all_limits() -> impl Strategy<Value = Limits> {
    let affinity = proptest::option::of((1usize..70, 1usize..70, 1usize..9));
    let sides = (1u32..70, 1u32..70);
    (sides, 0u32..70, any::<bool>(), any::<bool>(), affinity).prop_map(
        |((width, height), extra_classes, smoothing, fusion, affinity)| Limits {
            extra_classes,
            smoothing,
            fusion,
            affinity: affinity.map(|(height, width, channels)| AffinityShape {
                height,
                width,
                channels,
            }),
            ..Limits::for_frames(width, height)
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn the_arena_is_exact(model in models(), limits in all_limits()) {
        let bytes = model.bundle();
        let bundle = Bundle::open(&bytes).unwrap();
        let need = Segmenter::arena_bytes(&bundle, &limits).unwrap();
        let mut memory = Memory::new(need);
        let mut segmenter = Segmenter::new(&bundle, &limits, memory.bytes()).unwrap();
        prop_assert_eq!(segmenter.arena_used_bytes(), need);
        // And it is enough for a frame with all that the limits ask for.
        let features = Random(1).take(model.channels * model.cells(), 1.0);
        if limits.smoothing {
            segmenter.set_smoothing(Smoothing { weight: 0.5, cut: 0.5 }).unwrap();
        }
        let shape = limits.affinity.filter(|_| limits.fusion);
        let keys = shape.map(|shape| {
            let len = shape.height * shape.width * shape.channels;
            (shape, Random(2).take(len, 1.0))
        });
        let keys = keys.as_ref().map(|(shape, keys)| {
            Map::new(keys, shape.height, shape.width, shape.channels, Layout::Hwc).unwrap()
        });
        if limits.fusion {
            let fusion = FusionSettings::of(Fusion::Soft { mix: 0.5 });
            segmenter.set_fusion(Some(fusion)).unwrap();
        }
        let (width, height) = (limits.max_frame_width, limits.max_frame_height);
        let map = model.map(&features);
        let source = Source::Features { map: &map, width, height };
        let frame = Frame { source, affinity: keys.as_ref() };
        for _ in 0..2 {
            let mut mask = Mask::new((width * height) as usize);
            let mut output = mask.output(width as usize);
            segmenter.begin(&frame, &output).unwrap();
            while !segmenter.step(&frame, &mut output, u32::MAX).unwrap() {}
            let classes = model.names.len() as u16;
            prop_assert!(mask.labels.iter().all(|label| *label < classes));
        }
        prop_assert_eq!(segmenter.arena_used_bytes(), need);
        let mut short = Memory::new(need - 1);
        let error = Segmenter::new(&bundle, &limits, short.bytes()).err().unwrap();
        prop_assert_eq!(error.status(), Status::ArenaTooSmall);
    }

    /// What a class costs is what the arena grows by, but for rounding to cache lines.
    #[test]
    fn a_class_costs_what_is_told(model in models(), limits in all_limits(), n in 1u32..60) {
        let bytes = model.bundle();
        let bundle = Bundle::open(&bytes).unwrap();
        if bundle.head().kind == HeadKind::Logits {
            let error = Segmenter::class_cost(&bundle, &limits).unwrap_err();
            prop_assert_eq!(error.status(), Status::Unsupported);
            return Ok(());
        }
        let cost = Segmenter::class_cost(&bundle, &limits).unwrap();
        let need = |extra_classes| {
            Segmenter::arena_bytes(&bundle, &Limits { extra_classes, ..limits }).unwrap() as u64
        };
        let (one, all) = (need(1), need(1 + n));
        let exact = cost.bytes * u64::from(n);
        prop_assert!(all <= one + exact + 1024, "{} more than {exact}", all - one);
        prop_assert!(all + 1024 >= one + exact, "{} less than {exact}", all - one);
        prop_assert_eq!(need(1 + 64 * n) - one, 64 * exact, "whole cache lines");
        let cells = model.cells() as u64;
        prop_assert_eq!(cost.grid_multiply_adds, model.channels as u64 * cells);
    }
}

#[test]
fn a_full_table_costs_what_is_told() {
    let embedding = Some(EmbeddingSpace { dim: 50, unit: false });
    let linear = HeadKind::Linear(WeightType::F16);
    let model = Model {
        embedding,
        projection: Some(Random(1).take(257 * 50, 0.1)),
        ..Model::new(linear, 96, 256, (16, 16))
    };
    let bytes = model.bundle();
    let bundle = Bundle::open(&bytes).unwrap();
    let limits = Limits { smoothing: true, ..Limits::for_frames(64, 64) };
    let cost = Segmenter::class_cost(&bundle, &limits).unwrap();
    assert_eq!(cost.grid_multiply_adds, 256 * 256);
    assert_eq!(cost.meaning_multiply_adds, 257 * 50);
    let none = Segmenter::arena_bytes(&bundle, &limits).unwrap() as u64;
    let full = Limits { extra_classes: 4000, ..limits };
    let scratch = 4 * (256 + 50);
    let told = cost.bytes * 4000 + scratch;
    let more = Segmenter::arena_bytes(&bundle, &full).unwrap() as u64 - none;
    println!("{} bytes and {} multiply-adds per class", cost.bytes, cost.grid_multiply_adds);
    assert!(more.abs_diff(told) <= 1024, "{more} is not {told}");
    // Every place can be used, and the mask is right at the last one.
    with_segmenter(&bytes, &full, |segmenter| {
        let used = segmenter.arena_used_bytes();
        for number in 0..4000u32 {
            let row = Random(u64::from(number) + 9).take(256, 0.1);
            let bias = if number == 3999 { 50.0 } else { -50.0 };
            let source = ClassSource::Row { weights: &row, bias };
            segmenter.add_class(&NewClass::named(&format!("new {number}")), &source).unwrap();
        }
        assert_eq!((segmenter.vacancies(), segmenter.arena_used_bytes()), (0, used));
        let features = Random(2).take(256 * 256, 0.5);
        let got = labels(segmenter, &model.map(&features), (64, 64));
        assert!(got.iter().all(|label| *label == 4095));
    });
}

#[test]
fn nothing_is_taken_from_the_heap_after_init() {
    const DIM: usize = 4;
    let space = |dim| Some(EmbeddingSpace { dim, unit: true });
    let words = || vec![("cat", vec![1.0, 0.5, 0.0, 0.0]), ("cow", vec![0.0, 1.0, 0.5, 0.0])];
    let linear = Model {
        embedding: space(DIM as u32),
        words: words(),
        projection: Some(Random(1).take(25 * DIM, 0.5)),
        ..Model::new(HeadKind::Linear(WeightType::I8), 6, 24, (9, 12))
    };
    let cosine = Model {
        embedding: space(DIM as u32),
        words: words(),
        ..Model::new(HeadKind::Cosine(WeightType::F16), 6, DIM, (9, 12))
    };
    for model in [linear, cosine] {
        let bytes = model.bundle();
        let limits = Limits {
            extra_classes: 4,
            smoothing: true,
            fusion: true,
            ..Limits::for_frames(40, 30)
        };
        with_segmenter(&bytes, &limits, |segmenter| {
            let features = Random(2).take(model.channels * model.cells(), 1.0);
            let row = Random(3).take(model.channels, 1.0);
            let mut mask = Mask::new(40 * 30);
            let requests = requests_of(|| session(segmenter, &model, (&features, &row), &mut mask));
            assert_eq!(requests, 0);
            assert!(mask.labels.iter().all(|label| *label != 7777));
        });
    }
}

/// Frames of a compiled network: whole and in pieces.
fn frames(bytes: &[u8], count: usize) {
    let (width, height) = (48, 32);
    let pixels: Vec<u8> = (0..3 * width * height).map(|at| (at * 31 % 251) as u8).collect();
    with_segmenter(bytes, &Limits::for_frames(width, height), |segmenter| {
        let picture = Image::packed(PixelFormat::Rgb8, &pixels, width, height).unwrap();
        let mut labels = vec![7777u16; (width * height) as usize];
        let mut output = Output::labels_u16(&mut labels, width as usize);
        let frame = Frame::of(&picture);
        let requests = requests_of(|| {
            for number in 0..count {
                segmenter.begin(&frame, &output).unwrap();
                let pieces = if number % 2 == 0 { u32::MAX } else { 5 };
                while !segmenter.step(&frame, &mut output, pieces).unwrap() {}
            }
        });
        assert_eq!(requests, 0);
        assert!(labels.iter().all(|label| *label != 7777));
    });
}

#[test]
fn the_shipped_network_takes_nothing_from_the_heap() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/models/voc11-lite0-zs.zsb");
    frames(&std::fs::read(path).unwrap(), 10);
}

#[cfg(feature = "cli")]
#[test]
fn a_thousand_frames_of_a_compiled_network_take_nothing_from_the_heap() {
    use zsseg::convert::{Config, Source, Sources, ZeroShotSources, compile_bundle, pack};
    use zsseg::plan::Target;
    let config = Config::parse(SMALL_PACK).unwrap();
    let onnx = include_bytes!("models/segmentation_qdq_u8.onnx");
    let packed = pack(&Sources {
        onnx: Source { name: "segmentation_qdq_u8.onnx", data: onnx },
        config: Source { name: "pack.toml", data: &config },
        head: None,
        classes: None,
        card: None,
        weights: None,
        zero_shot: ZeroShotSources::default(),
    });
    let packed = packed.unwrap();
    let compiled = compile_bundle(&Bundle::parse(&packed).unwrap(), Target::host()).unwrap();
    frames(&compiled.bytes, 1000);
}

/// Everything a caller may do with a segmenter, what fails included.
fn session(
    segmenter: &mut Segmenter<'_>,
    model: &Model,
    (features, row): (&[f32], &[f32]),
    mask: &mut Mask,
) {
    let map = model.map(features);
    let mut output = mask.output(40);
    segmenter.segment_features(&map, 40, 30, &mut output).unwrap();
    let add = |segmenter: &mut Segmenter<'_>, name, source: &ClassSource<'_>| {
        segmenter.add_class(&NewClass::named(name), source)
    };
    let by_row = ClassSource::Row { weights: row, bias: 0.0 };
    let by_word = ClassSource::Meaning(Meaning::Word("Cat cow"));
    add(segmenter, "a", &by_row).unwrap();
    add(segmenter, "b", &by_word).unwrap();
    add(segmenter, "c", &ClassSource::Meaning(Meaning::Embedding(&[1.0, 2.0, 3.0, 4.0]))).unwrap();
    segmenter.replace_class(0, &by_word).unwrap();
    let full = add(segmenter, "d", &by_row).unwrap_err();
    assert_eq!(full.status(), Status::ClassTableFull);
    segmenter.remove_class(6).unwrap();
    add(segmenter, "e", &ClassSource::Meaning(Meaning::Word("dog"))).unwrap_err();
    add(segmenter, "b", &by_row).unwrap_err();
    segmenter.rename_class(7, "renamed").unwrap();
    segmenter.enable_class(1, false).unwrap();
    segmenter.set_class_bias(2, 0.5).unwrap();
    segmenter.set_class_prior(2, 0.5).unwrap();
    assert_eq!(segmenter.classes().count(), 8);
    let stacking = Stacking::Probabilities(0.1);
    segmenter.set_decision(Decision { stacking, min_margin: 0.01, ..Decision::PLAIN }).unwrap();
    segmenter.set_smoothing(Smoothing { weight: 0.5, cut: 0.9 }).unwrap();
    let modes = [
        Fusion::Select { threshold: 0.2 },
        Fusion::Vote { agreement: 0.3 },
        Fusion::Soft { mix: 0.5 },
    ];
    let source = Source::Features { map: &map, width: 40, height: 30 };
    let frame = Frame { source, affinity: None };
    for fusion in modes {
        segmenter.set_fusion(Some(FusionSettings::of(fusion))).unwrap();
        segmenter.begin(&frame, &output).unwrap();
        segmenter.step(&frame, &mut output, 30).unwrap();
        segmenter.cancel_frame();
        segmenter.segment_features(&map, 40, 30, &mut output).unwrap();
    }
    segmenter.forget();
    segmenter.segment_features(&map, 99, 30, &mut output).unwrap_err();
}
