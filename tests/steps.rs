//! A frame in pieces: however it is divided the mask is the same; cancelling, deadlines, and what
//! is refused in the middle.

#[path = "common/external.rs"]
mod external;
#[path = "steps/preprocessing.rs"]
mod preprocessing;

use external::*;
use proptest::prelude::*;
use std::cell::Cell;
use std::sync::atomic::{AtomicBool, Ordering};
use zsseg::bundle::Bundle;
use zsseg::classes::NewClass;
use zsseg::head::Smoothing;
use zsseg::image::{Image, PixelFormat};
use zsseg::limits::Limits;
use zsseg::map::{Layout, Map};
use zsseg::segmenter::{ClassSource, Frame, FusionSettings, Segmenter, Source};
use zsseg::spec::{Decision, HeadKind, Stacking, WeightType};
use zsseg::spectral::Fusion;
use zsseg::status::Status;
use zsseg::trace::Clock;

const FRAME: (u32, u32) = (40, 24);

fn model() -> Model {
    let seen = (0..7).map(|class| class % 3 > 0).collect();
    Model { seen, ..Model::new(HeadKind::Cosine(WeightType::I8), 7, 20, (9, 12)) }
}

fn features(model: &Model, seed: u64) -> Vec<f32> {
    Random(seed).take(model.channels * model.cells(), 2.0)
}

fn all_limits() -> Limits {
    Limits {
        extra_classes: 2,
        smoothing: true,
        fusion: true,
        ..Limits::for_frames(FRAME.0, FRAME.1)
    }
}

fn frame_of<'f>(map: &'f Map<'f, f32>) -> Frame<'f> {
    let source = Source::Features { map, width: FRAME.0, height: FRAME.1 };
    Frame { source, affinity: None }
}

fn pixels() -> usize {
    (FRAME.0 * FRAME.1) as usize
}

/// Everything that takes time, switched on.
fn switch_on(segmenter: &mut Segmenter<'_>) {
    let stacking = Stacking::Probabilities(0.1);
    segmenter.set_decision(Decision { stacking, min_margin: 0.01, ..Decision::PLAIN }).unwrap();
    segmenter.set_smoothing(Smoothing { weight: 0.4, cut: 0.9 }).unwrap();
    let fusion = FusionSettings::of(Fusion::Vote { agreement: 0.5 });
    segmenter.set_fusion(Some(fusion)).unwrap();
}

/// The masks of three frames, each in one go.
fn whole(segmenter: &mut Segmenter<'_>, model: &Model) -> Vec<Mask> {
    let one = |seed| mask(segmenter, &model.map(&features(model, seed)), FRAME);
    (0..3).map(one).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]

    #[test]
    fn however_a_frame_is_divided_the_mask_is_the_same(
        budgets in proptest::collection::vec(0u32..40, 1..30),
        everything: bool,
    ) {
        let model = model();
        let bytes = model.bundle();
        let start = |segmenter: &mut Segmenter<'_>| {
            if everything {
                switch_on(segmenter);
            }
        };
        let want = with_segmenter(&bytes, &all_limits(), |segmenter| {
            start(segmenter);
            whole(segmenter, &model)
        });
        let got = with_segmenter(&bytes, &all_limits(), |segmenter| {
            start(segmenter);
            let mut budgets = budgets.iter().copied().chain([1]).cycle();
            let one = |seed| {
                let features = features(&model, seed);
                let map = model.map(&features);
                let mut mask = Mask::new(pixels());
                let mut output = mask.output(FRAME.0 as usize);
                segmenter.begin(&frame_of(&map), &output).unwrap();
                loop {
                    let budget = budgets.next().unwrap();
                    if segmenter.step(&frame_of(&map), &mut output, budget).unwrap() {
                        break;
                    }
                    assert!(segmenter.is_working());
                }
                assert!(!segmenter.is_working());
                mask
            };
            (0..3).map(one).collect::<Vec<_>>()
        });
        prop_assert_eq!(got, want);
    }
}

/// Pieces of one frame.
fn count(segmenter: &mut Segmenter<'_>, model: &Model) -> usize {
    let features = features(model, 1);
    let map = model.map(&features);
    let mut mask = Mask::new(pixels());
    let mut output = mask.output(FRAME.0 as usize);
    segmenter.begin(&frame_of(&map), &output).unwrap();
    (1..).find(|_| segmenter.step(&frame_of(&map), &mut output, 1).unwrap()).unwrap()
}

#[test]
fn pieces_are_rows_and_bounded_searches() {
    let model = model();
    let (grid, rows) = (model.grid.0, FRAME.1 as usize);
    with_segmenter(&model.bundle(), &all_limits(), |segmenter| {
        assert_eq!(count(segmenter, &model), rows);
        segmenter.set_smoothing(Smoothing { weight: 0.5, cut: 1.0 }).unwrap();
        assert_eq!(count(segmenter, &model), rows + 2 * grid, "without a past");
        assert_eq!(count(segmenter, &model), rows + 3 * grid);
        segmenter.set_smoothing(Smoothing::OFF).unwrap();
        let fusion = FusionSettings::of(Fusion::Vote { agreement: 0.5 });
        segmenter.set_fusion(Some(fusion)).unwrap();
        // The graph has a cell per cell of the grid: rows of it, a search, a fusion.
        let cells = model.cells();
        let settings = zsseg::spectral::Settings::DEFAULT;
        let search = cells / 16 + settings.iterations + 5;
        let pieces = count(segmenter, &model);
        assert!(pieces > rows + 2 * grid + 1, "{pieces}");
        assert!(pieces <= rows + 2 * grid + search + 1, "{pieces}");
    });
}

/// Begins a frame and carries it on by a few pieces.
fn begin(segmenter: &mut Segmenter<'_>, frame: &Frame<'_>, mask: &mut Mask, pieces: u32) {
    let mut output = mask.output(FRAME.0 as usize);
    segmenter.begin(frame, &output).unwrap();
    assert!(!segmenter.step(frame, &mut output, pieces).unwrap());
    assert!(segmenter.is_working());
}

fn step(segmenter: &mut Segmenter<'_>, frame: &Frame<'_>, mask: &mut Mask) -> Status {
    let done = segmenter.step(frame, &mut mask.output(FRAME.0 as usize), u32::MAX);
    done.map_or_else(|error| error.status(), |_| Status::Ok)
}

#[test]
fn without_a_frame_there_is_nothing_to_carry_on() {
    let model = model();
    let features = features(&model, 1);
    let map = model.map(&features);
    let frame = frame_of(&map);
    with_segmenter(&model.bundle(), &all_limits(), |segmenter| {
        let mut mask = Mask::new(pixels());
        assert!(!segmenter.is_working());
        assert_eq!(step(segmenter, &frame, &mut mask), Status::InvalidState);
        begin(segmenter, &frame, &mut mask, 3);
        segmenter.cancel_frame();
        assert_eq!(step(segmenter, &frame, &mut mask), Status::InvalidState);
        begin(segmenter, &frame, &mut mask, 3);
        assert_eq!(step(segmenter, &frame, &mut mask), Status::Ok);
        assert_eq!(step(segmenter, &frame, &mut mask), Status::InvalidState);
    });
}

#[test]
fn another_frame_in_the_middle_is_refused_and_the_next_one_is_right() {
    let model = model();
    let features = features(&model, 1);
    let map = model.map(&features);
    let frame = frame_of(&map);
    let size = |width, height| Frame {
        source: Source::Features { map: &map, width, height },
        affinity: None,
    };
    let rgb = vec![9u8; 3 * pixels()];
    let image = Image::packed(PixelFormat::Rgb8, &rgb, FRAME.0, FRAME.1).unwrap();
    let other_map = Map::new(&features, 9, 20, 12, Layout::Chw).unwrap();
    let layout = Map::new(&features, 9, 12, 20, Layout::Hwc).unwrap();
    let others = [
        (size(FRAME.0 - 1, FRAME.1), Status::InvalidArgument),
        (size(FRAME.0, FRAME.1 - 1), Status::InvalidArgument),
        (size(FRAME.1, FRAME.0), Status::InvalidArgument),
        (Frame::of(&image), Status::InvalidArgument),
        (frame_of(&other_map), Status::ModelShape),
        (frame_of(&layout), Status::ModelShape),
    ];
    with_segmenter(&model.bundle(), &all_limits(), |segmenter| {
        let want = mask(segmenter, &map, FRAME);
        for (other, wanted) in others {
            let mut got = Mask::new(pixels());
            begin(segmenter, &frame, &mut got, 3);
            assert_eq!(step(segmenter, &other, &mut got), wanted);
            assert_eq!(step(segmenter, &frame, &mut got), Status::InvalidState, "given up");
            assert_eq!(mask(segmenter, &map, FRAME), want);
        }
        // An output that is too small, in the middle.
        let mut got = Mask::new(pixels());
        begin(segmenter, &frame, &mut got, 3);
        assert_eq!(step(segmenter, &frame, &mut Mask::new(pixels() - 1)), Status::BufferTooSmall);
        assert_eq!(step(segmenter, &frame, &mut got), Status::InvalidState);
        assert_eq!(mask(segmenter, &map, FRAME), want);
    });
}

#[test]
fn a_beginning_that_is_refused_writes_nothing_and_gives_up_what_was_at_work() {
    let model = model();
    let features = features(&model, 1);
    let map = model.map(&features);
    let frame = frame_of(&map);
    let rgb = vec![9u8; 3 * pixels()];
    let image = Image::packed(PixelFormat::Rgb8, &rgb, FRAME.0, FRAME.1).unwrap();
    let size = |width, height| Frame {
        source: Source::Features { map: &map, width, height },
        affinity: None,
    };
    let refused = [
        (size(FRAME.0 + 1, FRAME.1), Status::FrameSize),
        (size(FRAME.0, FRAME.1 + 1), Status::FrameSize),
        (size(0, 5), Status::FrameSize),
        (Frame::of(&image), Status::Unsupported),
    ];
    with_segmenter(&model.bundle(), &all_limits(), |segmenter| {
        for (other, wanted) in refused {
            let mut mask = Mask::new(pixels());
            begin(segmenter, &frame, &mut mask, 0);
            let error = segmenter.begin(&other, &mask.output(FRAME.0 as usize)).unwrap_err();
            assert_eq!(error.status(), wanted);
            assert!(!segmenter.is_working());
            assert_eq!(mask, Mask::new(pixels()));
        }
    });
}

/// Something done to a segmenter, and its name.
type Change<'c> = (&'static str, &'c dyn Fn(&mut Segmenter<'_>));

#[test]
fn changes_in_the_middle_give_up_the_frame() {
    let model = model();
    let features = features(&model, 1);
    let map = model.map(&features);
    let frame = frame_of(&map);
    let row = Random(8).take(20, 1.0);
    let changes: [Change<'_>; 11] = [
        ("add", &|s| {
            let source = ClassSource::Row { weights: &row, bias: 0.0 };
            s.add_class(&NewClass::named("new"), &source).unwrap();
        }),
        ("replace", &|s| {
            s.replace_class(7, &ClassSource::Row { weights: &row, bias: 0.0 }).unwrap();
        }),
        ("remove", &|s| s.remove_class(7).unwrap()),
        ("enable", &|s| s.enable_class(0, false).unwrap()),
        ("bias", &|s| s.set_class_bias(1, 1.0).unwrap()),
        ("prior", &|s| s.set_class_prior(1, 2.0).unwrap()),
        ("decision", &|s| s.set_decision(Decision { min_margin: 0.2, ..Decision::PLAIN }).unwrap()),
        ("smoothing", &|s| s.set_smoothing(Smoothing { weight: 0.5, cut: 0.5 }).unwrap()),
        ("no smoothing", &|s| s.set_smoothing(Smoothing::OFF).unwrap()),
        ("fusion", &|s| {
            let fusion = FusionSettings::of(Fusion::Soft { mix: 0.5 });
            s.set_fusion(Some(fusion)).unwrap();
        }),
        ("no fusion", &|s| s.set_fusion(None).unwrap()),
    ];
    with_segmenter(&model.bundle(), &all_limits(), |segmenter| {
        for (name, change) in changes {
            for pieces in [0, 1, 5] {
                if pieces > 0 && matches!(name, "add" | "replace" | "remove") {
                    continue;
                }
                let mut got = Mask::new(pixels());
                begin(segmenter, &frame, &mut got, pieces);
                change(segmenter);
                assert!(!segmenter.is_working(), "{name}");
                assert_eq!(step(segmenter, &frame, &mut got), Status::InvalidState, "{name}");
            }
            mask(segmenter, &map, FRAME);
        }
        // A name is no part of a mask.
        let mut got = Mask::new(pixels());
        begin(segmenter, &frame, &mut got, 3);
        segmenter.rename_class(2, "renamed").unwrap();
        assert_eq!(step(segmenter, &frame, &mut got), Status::Ok);
        assert_eq!(mask(segmenter, &map, FRAME), got);
        // Neither is what was refused.
        begin(segmenter, &frame, &mut got, 3);
        segmenter.remove_class(99).unwrap_err();
        segmenter.set_decision(Decision { min_margin: 2.0, ..Decision::PLAIN }).unwrap_err();
        segmenter.set_smoothing(Smoothing { weight: 0.0, cut: 0.5 }).unwrap_err();
        let fusion =
            FusionSettings { segments: 6, ..FusionSettings::of(Fusion::Soft { mix: 0.5 }) };
        segmenter.set_fusion(Some(fusion)).unwrap_err();
        assert_eq!(step(segmenter, &frame, &mut got), Status::Ok);
        assert_eq!(mask(segmenter, &map, FRAME), got);
    });
}

#[test]
fn another_thread_can_stop_a_frame() {
    let model = model();
    let features = features(&model, 1);
    let bytes = model.bundle();
    let bundle = Bundle::open(&bytes).unwrap();
    let flag = AtomicBool::new(false);
    let limits = all_limits();
    let mut memory = Memory::new(Segmenter::arena_bytes(&bundle, &limits).unwrap());
    let mut segmenter = Segmenter::new(&bundle, &limits, memory.bytes()).unwrap();
    let map = model.map(&features);
    let frame = frame_of(&map);
    let want = mask(&mut segmenter, &map, FRAME);
    segmenter.set_cancel_flag(Some(&flag));
    let mut got = Mask::new(pixels());
    begin(&mut segmenter, &frame, &mut got, 3);
    std::thread::scope(|scope| {
        scope.spawn(|| flag.store(true, Ordering::Relaxed));
    });
    assert_eq!(step(&mut segmenter, &frame, &mut got), Status::Cancelled);
    assert!(!segmenter.is_working());
    assert_eq!(step(&mut segmenter, &frame, &mut got), Status::InvalidState);
    // The next frame is whole, and the flag is down.
    assert_eq!(mask(&mut segmenter, &map, FRAME), want);
    assert!(!flag.load(Ordering::Relaxed));
    // While frames run one after another, a frame is either whole or cancelled.
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for _ in 0..200 {
                flag.store(true, Ordering::Relaxed);
                std::thread::yield_now();
            }
        });
        for _ in 0..200 {
            let mut got = Mask::new(pixels());
            let mut output = got.output(FRAME.0 as usize);
            match segmenter.segment_features(&map, FRAME.0, FRAME.1, &mut output) {
                Ok(()) => assert_eq!(got, want),
                Err(error) => assert_eq!(error.status(), Status::Cancelled),
            }
        }
    });
    flag.store(true, Ordering::Relaxed);
    segmenter.set_cancel_flag(None);
    begin(&mut segmenter, &frame, &mut got, 3);
    assert_eq!(step(&mut segmenter, &frame, &mut got), Status::Ok);
}

thread_local! {
    static NOW_NS: Cell<u64> = const { Cell::new(0) };
}

fn tick_ns() -> u64 {
    NOW_NS.with(|now| {
        now.set(now.get() + 1);
        now.get()
    })
}

fn advance_ns(by: u64) {
    NOW_NS.with(|now| now.set(now.get() + by));
}

#[test]
fn a_frame_ends_at_its_deadline() {
    let model = model();
    let features = features(&model, 1);
    let map = model.map(&features);
    let frame = frame_of(&map);
    with_segmenter(&model.bundle(), &all_limits(), |segmenter| {
        let error = segmenter.set_deadline_ns(Some(5)).unwrap_err();
        assert_eq!(error.status(), Status::InvalidState);
        let want = mask(segmenter, &map, FRAME);
        segmenter.set_clock(Clock::new(tick_ns));
        segmenter.set_deadline_ns(Some(1_000_000)).unwrap();
        let mut got = Mask::new(pixels());
        begin(segmenter, &frame, &mut got, 3);
        advance_ns(900_000);
        assert!(!segmenter.step(&frame, &mut got.output(FRAME.0 as usize), 1).unwrap());
        advance_ns(100_000);
        let error =
            segmenter.step(&frame, &mut got.output(FRAME.0 as usize), u32::MAX).unwrap_err();
        assert_eq!(error.status(), Status::DeadlineExceeded);
        assert!(error.to_string().contains("wanted 1000000"), "{error}");
        assert_eq!(step(segmenter, &frame, &mut got), Status::InvalidState);
        // Each frame has its own time.
        advance_ns(10_000_000);
        assert_eq!(mask(segmenter, &map, FRAME), want);
        // The frame at work keeps the deadline it began with.
        begin(segmenter, &frame, &mut got, 3);
        segmenter.set_deadline_ns(Some(0)).unwrap();
        assert_eq!(step(segmenter, &frame, &mut got), Status::Ok);
        begin(segmenter, &frame, &mut got, 0);
        assert_eq!(step(segmenter, &frame, &mut got), Status::DeadlineExceeded);
        segmenter.set_deadline_ns(None).unwrap();
        assert_eq!(mask(segmenter, &map, FRAME), want);
        let times = segmenter.stage_times();
        assert!(times.head_ns > 0 && times.upsample_ns > 0, "{times:?}");
        assert_eq!((times.fetch_ns, times.backbone_ns, times.fusion_ns), (0, 0, 0));
        switch_on(segmenter);
        mask(segmenter, &map, FRAME);
        assert!(segmenter.stage_times().fusion_ns > 0);
    });
}

#[test]
fn two_segmenters_on_two_threads_do_not_know_of_each_other() {
    let work = |seed: u64| {
        let model = model();
        with_segmenter(&model.bundle(), &all_limits(), |segmenter| {
            switch_on(segmenter);
            let row = Random(seed).take(20, 1.0);
            let source = ClassSource::Row { weights: &row, bias: 0.0 };
            segmenter.add_class(&NewClass::named("new"), &source).unwrap();
            let one = |frame| mask(segmenter, &model.map(&features(&model, seed ^ frame)), FRAME);
            (0..20).map(one).collect::<Vec<_>>()
        })
    };
    let alone = [work(1), work(2)];
    assert_ne!(alone[0], alone[1]);
    let together = std::thread::scope(|scope| {
        let threads = [1, 2].map(|seed| scope.spawn(move || work(seed)));
        threads.map(|thread| thread.join().unwrap())
    });
    assert_eq!(together, alone);
}
