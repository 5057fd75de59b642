//! Pictures and masks in bands of rows: the same bits for every number of threads, whatever the
//! pool does, in as much memory as was counted.

#[path = "common/external.rs"]
mod external;

use external::*;
use proptest::prelude::*;
use std::sync::atomic::{AtomicUsize, Ordering};
use zsseg::arena::Arena;
use zsseg::bundle::Bundle;
use zsseg::head::Smoothing;
use zsseg::image::{Image, PixelFormat, Preprocessor, Target};
use zsseg::limits::{Limits, MAX_PARTS};
use zsseg::map::Layout;
use zsseg::segmenter::{Frame, FusionSettings, Segmenter, Source};
use zsseg::spec::{
    Anchor, ChannelOrder, Decision, Filter, Fit, HeadKind, Input, InputType, Preprocess,
    Quantization, Stacking, WeightType,
};
use zsseg::spectral::Fusion;
use zsseg::status::Status;
use zsseg::threads::{Part, ThreadPool};

/// A thread for each part.
#[derive(Default)]
struct Threads {
    calls: AtomicUsize,
    parts: AtomicUsize,
}

impl ThreadPool for Threads {
    fn run(&self, parts: &mut [&mut dyn Part]) {
        self.calls.fetch_add(1, Ordering::Relaxed);
        self.parts.fetch_add(parts.len(), Ordering::Relaxed);
        std::thread::scope(|scope| {
            for part in parts {
                scope.spawn(|| part.run());
            }
        });
    }
}

/// Runs some parts, from the last to the first and twice each, others never.
struct Unreliable;

impl ThreadPool for Unreliable {
    fn run(&self, parts: &mut [&mut dyn Part]) {
        for part in parts.iter_mut().rev().step_by(2) {
            part.run();
            part.run();
        }
    }
}

const THREADS: [u32; 4] = [2, 3, 5, 40];

/// Where masks differ in how they are made.
#[derive(Clone, Debug)]
struct Case {
    model: Model,
    frame: (u32, u32),
    decision: Decision,
    /// Labels alone.
    plain: bool,
    smooths: bool,
    fuses: bool,
}

fn kinds() -> impl Strategy<Value = HeadKind> {
    let weights = prop_oneof![Just(WeightType::F32), Just(WeightType::F16), Just(WeightType::I8)];
    (0..3, weights).prop_map(|(kind, weights)| match kind {
        0 => HeadKind::Logits,
        1 => HeadKind::Linear(weights),
        _ => HeadKind::Cosine(weights),
    })
}

prop_compose! {
    fn cases()(
        kind in kinds(), classes in 2usize..30, channels in 1usize..40,
        grid in (1usize..30, 1usize..30), frame in (100u32..250, 100u32..250),
        is_last: bool, align_corners: bool, fit in 0..3,
        stacking in 0..3, plain: bool, smooths: bool, fuses: bool,
    ) -> Case {
        let channels = if kind == HeadKind::Logits { classes } else { channels };
        let mut model = Model::new(kind, classes, channels, grid);
        model.layout = if is_last { Layout::Hwc } else { Layout::Chw };
        model.align_corners = align_corners;
        model.fit = match fit {
            0 => Fit::Stretch,
            1 => Fit::Letterbox(Anchor::Center),
            _ => Fit::ShortSide { size: 40, anchor: Anchor::Center },
        };
        model.seen = (0..classes).map(|class| class % 3 > 0).collect();
        let decision = match stacking {
            0 => Decision::PLAIN,
            1 => Decision { stacking: Stacking::Logits(0.5), ..Decision::PLAIN },
            _ => Decision {
                stacking: Stacking::Probabilities(0.1), min_margin: 0.01, ..Decision::PLAIN
            },
        };
        Case { model, frame, decision, plain, smooths, fuses }
    }
}

impl Case {
    fn limits(&self, threads: u32) -> Limits {
        let (width, height) = self.frame;
        let (smoothing, fusion) = (self.smooths, self.fuses);
        Limits { threads, smoothing, fusion, ..Limits::for_frames(width + 3, height) }
    }

    fn prepare(&self, segmenter: &mut Segmenter<'_>) {
        segmenter.set_decision(self.decision).unwrap();
        if self.smooths {
            segmenter.set_smoothing(Smoothing { weight: 0.4, cut: 0.9 }).unwrap();
        }
        if self.fuses {
            let fusion = FusionSettings::of(Fusion::Vote { agreement: 0.5 });
            segmenter.set_fusion(Some(fusion)).unwrap();
        }
    }

    /// The masks of two frames.
    fn masks(&self, threads: u32, pool: Option<&dyn ThreadPool>) -> Vec<Mask> {
        let bytes = self.model.bundle();
        let bundle = Bundle::open(&bytes).unwrap();
        let limits = self.limits(threads);
        let mut memory = Memory::new(Segmenter::arena_bytes(&bundle, &limits).unwrap());
        let mut segmenter = Segmenter::new(&bundle, &limits, memory.bytes()).unwrap();
        segmenter.set_thread_pool(pool);
        self.prepare(&mut segmenter);
        (1..3).map(|seed| self.mask(&mut segmenter, seed)).collect()
    }

    fn features(&self, seed: u64) -> Vec<f32> {
        let planar = Random(seed).take(self.model.channels * self.model.cells(), 2.0);
        self.model.arranged(&planar)
    }

    fn mask(&self, segmenter: &mut Segmenter<'_>, seed: u64) -> Mask {
        let features = self.features(seed);
        let map = self.model.map(&features);
        if !self.plain {
            return mask(segmenter, &map, self.frame);
        }
        let labels = labels(segmenter, &map, self.frame);
        Mask { labels, ..Mask::new(0) }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn masks_are_the_same_for_every_number_of_threads(case in cases()) {
        let want = case.masks(1, None);
        for threads in THREADS {
            prop_assert_eq!(&case.masks(threads, Some(&Threads::default())), &want);
            prop_assert_eq!(&case.masks(threads, Some(&Unreliable)), &want);
            prop_assert_eq!(&case.masks(threads, None), &want);
        }
    }
}

fn large() -> Case {
    Case {
        model: Model::new(HeadKind::Linear(WeightType::I8), 7, 20, (9, 12)),
        frame: (400, 1_000),
        decision: Decision::PLAIN,
        plain: true,
        smooths: false,
        fuses: false,
    }
}

#[test]
fn a_mask_has_a_band_for_each_thread_and_turns_of_bounded_height() {
    let case = large();
    // 1,000 rows in turns of at most 256 for each thread; two masks.
    let want = case.masks(1, None);
    for (threads, turns) in [(1, 0), (2, 2), (3, 2), (5, 1), (40, 1)] {
        let pool = Threads::default();
        assert_eq!(case.masks(threads, Some(&pool)), want);
        let parts = (threads as usize).min(MAX_PARTS);
        assert_eq!(pool.calls.into_inner(), 2 * turns);
        assert_eq!(pool.parts.into_inner(), 2 * turns * parts);
    }
}

#[test]
fn small_masks_are_not_cut() {
    let case = Case { frame: (100, 100), ..large() };
    let pool = Threads::default();
    case.masks(4, Some(&pool));
    assert_eq!(pool.calls.into_inner(), 0);
}

#[test]
fn memory_for_threads_is_counted_and_used_to_the_last_byte() {
    let case = large();
    let bytes = case.model.bundle();
    let bundle = Bundle::open(&bytes).unwrap();
    let bytes_for = |threads| Segmenter::arena_bytes(&bundle, &case.limits(threads)).unwrap();
    let of_thread = bytes_for(3) - bytes_for(2);
    assert!(of_thread > 0);
    assert_eq!(bytes_for(16) - bytes_for(2), 14 * of_thread);
    assert_eq!(bytes_for(40), bytes_for(16));
    let mut memory = Memory::new(bytes_for(3) - 1);
    let error = Segmenter::new(&bundle, &case.limits(3), memory.bytes()).err().unwrap();
    assert_eq!(error.status(), Status::ArenaTooSmall);
}

#[test]
fn pieces_are_rows_for_any_number_of_threads() {
    let case = large();
    let features = case.features(1);
    let map = case.model.map(&features);
    let (width, height) = case.frame;
    let frame = Frame { source: Source::Features { map: &map, width, height }, affinity: None };
    with_segmenter(&case.model.bundle(), &case.limits(3), |segmenter| {
        let pool = Threads::default();
        let want = case.mask(segmenter, 1);
        let mut mask = Mask::new((width * height) as usize);
        let mut output = zsseg::head::Output::labels_u16(&mut mask.labels, width as usize);
        segmenter.begin(&frame, &output).unwrap();
        let pieces = (1..).find(|_| segmenter.step(&frame, &mut output, 1).unwrap()).unwrap();
        assert_eq!((pieces, pool.calls.into_inner()), (height, 0));
        assert_eq!(mask.labels, want.labels);
    });
}

/// The network's input that is made of a picture.
fn input_of(
    (input, preprocess): (&Input, &Preprocess),
    image: &Image<'_>,
    threads: u32,
    pool: Option<&dyn ThreadPool>,
) -> Vec<u8> {
    let limits = Limits { threads, ..Limits::for_frames(image.width() + 1, image.height()) };
    let mut counting = Arena::counting();
    Preprocessor::carve(&mut counting, input, preprocess, &limits).unwrap();
    let mut memory = Memory::new(counting.used_bytes());
    let mut arena = Arena::over(memory.bytes()).unwrap();
    let mut preprocessor = Preprocessor::carve(&mut arena, input, preprocess, &limits).unwrap();
    preprocessor.set_thread_pool(pool);
    let len = (3 * input.width * input.height) as usize;
    match input.element {
        InputType::F32 => {
            let mut values = vec![f32::NAN; len];
            preprocessor.run(image, Target::F32(&mut values)).unwrap();
            values.iter().flat_map(|value| value.to_le_bytes()).collect()
        }
        InputType::U8(_) => {
            let mut values = vec![0xA5; len];
            preprocessor.run(image, Target::U8(&mut values)).unwrap();
            values
        }
        InputType::I8(_) => {
            let mut values = vec![0x5A; len];
            preprocessor.run(image, Target::I8(&mut values)).unwrap();
            values.iter().map(|&value| value as u8).collect()
        }
    }
}

prop_compose! {
    fn inputs()(
        width in 130u32..200, height in prop_oneof![130u32..200, 520u32..600], is_last: bool, element in 0..3,
    ) -> Input {
        let layout = if is_last { Layout::Hwc } else { Layout::Chw };
        let quantization = Quantization { scale: 0.01, zero_point: 3 };
        let element = match element {
            0 => InputType::F32,
            1 => InputType::U8(quantization),
            _ => InputType::I8(quantization),
        };
        Input { width, height, layout, element }
    }
}

prop_compose! {
    fn preprocesses()(fit in 0..3, cubic: bool, antialias: bool, bgr: bool) -> Preprocess {
        Preprocess {
            fit: match fit {
                0 => Fit::Stretch,
                1 => Fit::Letterbox(Anchor::Center),
                _ => Fit::ShortSide { size: 300, anchor: Anchor::Center },
            },
            filter: if cubic { Filter::Bicubic } else { Filter::Bilinear },
            antialias,
            order: if bgr { ChannelOrder::Bgr } else { ChannelOrder::Rgb },
            scale: 1.0 / 255.0,
            mean: [0.4, 0.5, 0.6],
            std: [0.2, 0.3, 0.4],
            pad: [1.0, 2.0, 3.0],
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]

    #[test]
    fn inputs_are_the_same_for_every_number_of_threads(
        input in inputs(), preprocess in preprocesses(), format in 0usize..10,
        width in 20u32..400, height in 20u32..400, seed: u64,
    ) {
        let mut random = Random(seed);
        let data: Vec<u8> = (0..(width + 1) * (height + 1) * 4)
            .map(|_| random.below(256) as u8)
            .collect();
        let image = Image::packed(PixelFormat::ALL[format], &data, width, height).unwrap();
        let how = (&input, &preprocess);
        let want = input_of(how, &image, 1, None);
        for threads in THREADS {
            let pool = Threads::default();
            prop_assert_eq!(&input_of(how, &image, threads, Some(&pool)), &want);
            prop_assert!(pool.parts.into_inner() > 1);
            prop_assert_eq!(&input_of(how, &image, threads, Some(&Unreliable)), &want);
        }
    }
}
