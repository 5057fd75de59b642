//! Spectral fusion inside the segmenter: from features and logits to the mask.

#[path = "common/external.rs"]
mod external;

use external::*;
use proptest::prelude::*;
use std::ops::Range;
use zsseg::arena::Arena;
use zsseg::limits::{AffinityShape, Limits};
use zsseg::map::{Layout, Map};
use zsseg::segmenter::{Frame, FusionSettings, Segmenter, Source};
use zsseg::spec::{Anchor, Fit, HeadKind, WeightType};
use zsseg::spectral::{Fuser, Fusion, Scores, Segments, Shape};
use zsseg::status::{Result, Status};

const VOTE: FusionSettings =
    FusionSettings { fusion: Fusion::Vote { agreement: 0.5 }, segments: 1 };

fn limits(frame: (u32, u32), affinity: Option<(usize, usize, usize)>) -> Limits {
    let affinity =
        affinity.map(|(height, width, channels)| AffinityShape { height, width, channels });
    Limits { fusion: true, affinity, ..Limits::for_frames(frame.0, frame.1) }
}

/// Features of a grid with one thing left of a slanted line and another right of it, and 1 where
/// a cell lies left. Three channels, planar.
fn two_regions(height: usize, width: usize) -> (Vec<f32>, Vec<bool>) {
    let left = |cell: usize| {
        let (y, x) = ((cell / width) as f32 + 0.5, (cell % width) as f32 + 0.5);
        x / (width as f32) < 0.3 + 0.15 * y / height as f32
    };
    let left: Vec<bool> = (0..height * width).map(left).collect();
    let mut random = Random(3);
    let mut feature = |side: bool| {
        let base = if side { 1.0 } else { 0.0 };
        base + 0.1 * (1.0 + random.next())
    };
    let mut features: Vec<f32> = left.iter().map(|&left| feature(left)).collect();
    let others: Vec<f32> = left.iter().map(|&left| feature(!left)).collect();
    features.extend(others);
    features.extend(left.iter().map(|_| 0.1));
    (features, left)
}

/// Logits of three classes: the first on the left, the second on the right, but for one cell in
/// four, where it is the third.
fn noisy_logits(left: &[bool]) -> Vec<f32> {
    let mut random = Random(5);
    let cells = left.len();
    let mut logits = vec![0.0; 3 * cells];
    for (cell, &left) in left.iter().enumerate() {
        let class = if random.below(4) == 0 { 2 } else { usize::from(!left) };
        logits[class * cells + cell] = 2.0;
    }
    logits
}

fn segment(
    segmenter: &mut Segmenter<'_>,
    (map, affinity): (&Map<'_, f32>, Option<&Map<'_, f32>>),
    (width, height): (u32, u32),
) -> Result<Mask> {
    let source = Source::Features { map, width, height };
    let frame = Frame { source, affinity };
    let mut mask = Mask::new((width * height) as usize);
    let mut output = mask.output(width as usize);
    segmenter.begin(&frame, &output)?;
    while !segmenter.step(&frame, &mut output, 7)? {}
    Ok(mask)
}

#[test]
fn noise_inside_two_regions_is_voted_away() {
    let (height, width) = (12, 15);
    let model = Model::of_logits(3, (height, width));
    let (features, left) = two_regions(height, width);
    let logits = noisy_logits(&left);
    let frame = (width as u32, height as u32);
    let shape = Some((height, width, 3));
    with_segmenter(&model.bundle(), &limits(frame, shape), |segmenter| {
        let affinity = Map::new(&features, height, width, 3, Layout::Chw).unwrap();
        let logits = model.map(&logits);
        let noisy = segment(segmenter, (&logits, Some(&affinity)), frame).unwrap();
        assert!(noisy.labels.iter().filter(|label| **label == 2).count() > 30);
        segmenter.set_fusion(Some(VOTE)).unwrap();
        let voted = segment(segmenter, (&logits, Some(&affinity)), frame).unwrap();
        let want: Vec<u16> = left.iter().map(|&left| u16::from(!left)).collect();
        assert_eq!(voted.labels, want);
        // The scores change places, so that a cell's confidence stays.
        assert_eq!(voted.confidence, noisy.confidence);
        let fusion = Fusion::Soft { mix: 0.9 };
        segmenter.set_fusion(Some(FusionSettings { fusion, segments: 1 })).unwrap();
        let fused = segment(segmenter, (&logits, Some(&affinity)), frame).unwrap();
        assert_eq!(fused.labels, want);
        segmenter.set_fusion(None).unwrap();
        assert_eq!(segment(segmenter, (&logits, Some(&affinity)), frame).unwrap(), noisy);
    });
}

/// Two classes that each claim a part of the other's region: select gives each its segment.
#[test]
fn classes_are_given_the_shape_that_fits_them() {
    let (height, width) = (12, 15);
    let model = Model::of_logits(2, (height, width));
    let (features, left) = two_regions(height, width);
    let mut random = Random(6);
    let cells = height * width;
    let mut logits = vec![0.0; 2 * cells];
    for (cell, &left) in left.iter().enumerate() {
        let other = random.below(5) == 0;
        logits[usize::from(left == other) * cells + cell] = 2.0;
    }
    let frame = (width as u32, height as u32);
    with_segmenter(&model.bundle(), &limits(frame, Some((height, width, 3))), |segmenter| {
        let affinity = Map::new(&features, height, width, 3, Layout::Chw).unwrap();
        let fusion = Fusion::Select { threshold: 0.5 };
        segmenter.set_fusion(Some(FusionSettings { fusion, segments: 1 })).unwrap();
        let logits = model.map(&logits);
        let fused = segment(segmenter, (&logits, Some(&affinity)), frame).unwrap();
        let want: Vec<u16> = left.iter().map(|&left| u16::from(!left)).collect();
        assert_eq!(fused.labels, want);
    });
}

/// On finer and coarser grids than the logits', and one too fine for a graph, in both layouts.
#[test]
fn the_features_may_have_another_grid() {
    let (height, width) = (12, 16);
    let model = Model::of_logits(3, (height, width));
    let (_, left) = two_regions(height, width);
    let logits = noisy_logits(&left);
    let frame = (width as u32, height as u32);
    for (rows, columns) in [(12, 16), (24, 32), (48, 64), (6, 8), (33, 43), (50, 70)] {
        let (planar, _) = two_regions(rows, columns);
        for layout in [Layout::Chw, Layout::Hwc] {
            let features =
                if layout == Layout::Hwc { interleave(&planar, 3) } else { planar.clone() };
            let shape = Some((rows, columns, 3));
            let voted = with_segmenter(&model.bundle(), &limits(frame, shape), |segmenter| {
                segmenter.set_fusion(Some(VOTE)).unwrap();
                let affinity = Map::new(&features, rows, columns, 3, layout).unwrap();
                segment(segmenter, (&model.map(&logits), Some(&affinity)), frame).unwrap()
            });
            // Cells that the line divides may go either way.
            let differ =
                voted.labels.iter().zip(&left).filter(|(l, left)| **l != u16::from(!**left));
            let most = if (rows, columns) == (height, width) { 0 } else { 8 };
            assert!(differ.count() <= most, "{rows} x {columns}, {layout:?}");
        }
    }
}

fn fusions() -> impl Strategy<Value = Fusion> {
    prop_oneof![
        (0.0f32..1.5).prop_map(|threshold| Fusion::Select { threshold }),
        (0.0f32..1.5).prop_map(|agreement| Fusion::Vote { agreement }),
        (0.0f32..=1.0).prop_map(|mix| Fusion::Soft { mix }),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    #[test]
    fn no_segments_and_impossible_thresholds_change_nothing(
        fusion in fusions(),
        (height, width) in (1usize..8, 1usize..12),
        channels in 1usize..9,
        seed: u64,
    ) {
        let kind = HeadKind::Linear(WeightType::F16);
        let model = Model::new(kind, 6, channels, (height, width));
        let features = Random(seed).take(channels * model.cells(), 2.0);
        let frame = (21, 17);
        with_segmenter(&model.bundle(), &limits(frame, None), |segmenter| {
            let map = model.map(&features);
            let off = mask(segmenter, &map, frame);
            let settings = [
                FusionSettings { fusion, segments: 0 },
                FusionSettings::of(Fusion::Select { threshold: 1.001 }),
                FusionSettings::of(Fusion::Vote { agreement: 1.001 }),
                FusionSettings::of(Fusion::Soft { mix: 0.0 }),
            ];
            for settings in settings {
                segmenter.set_fusion(Some(settings)).unwrap();
                prop_assert_eq!(&mask(segmenter, &map, frame), &off, "{:?}", settings);
            }
            Ok(())
        })?;
    }

    /// Whatever the padding holds: it belongs to no frame. One pixel per cell, so that no pixel is
    /// interpolated with it.
    #[test]
    fn padding_takes_no_part(
        fusion in fusions(),
        upright: bool,
        top_left: bool,
        segments in 1u32..=5,
        seed: u64,
    ) {
        let (height, width) = (16, 16);
        let anchor = if top_left { Anchor::TopLeft } else { Anchor::Center };
        let model = Model {
            input: (16, 16),
            fit: Fit::Letterbox(anchor),
            ..Model::of_logits(3, (height, width))
        };
        let frame = if upright { (7, 16) } else { (16, 7) };
        let start = if top_left { 0 } else { 4 };
        let shown = |cell: usize| {
            let place = if upright { cell % width } else { cell / width };
            (start..start + 7).contains(&place)
        };
        let (features, left) = two_regions(height, width);
        let logits = noisy_logits(&left);
        let mut random = Random(seed);
        let mut spoil = |values: &[f32]| -> Vec<f32> {
            let cells = height * width;
            let value = |(at, &value): (usize, &f32)| {
                let other = random.next() * 9.0;
                if shown(at % cells) { value } else { other }
            };
            values.iter().enumerate().map(value).collect()
        };
        let spoiled = (spoil(&features), spoil(&logits));
        let run = |features: &[f32], logits: &[f32]| {
            let shape = Some((height, width, 3));
            with_segmenter(&model.bundle(), &limits(frame, shape), |segmenter| {
                segmenter.set_fusion(Some(FusionSettings { fusion, segments })).unwrap();
                let affinity = Map::new(features, height, width, 3, Layout::Chw).unwrap();
                segment(segmenter, (&model.map(logits), Some(&affinity)), frame).unwrap()
            })
        };
        prop_assert_eq!(run(&spoiled.0, &spoiled.1), run(&features, &logits));
    }
}

/// Fuses `classes` classes in a window of a grid, or in a grid as large as the window.
fn fuse(
    fusion: Fusion,
    (height, width, classes): (usize, usize, usize),
    (segments, scores): (&[f32], &[f32]),
    window: Option<&(Range<usize>, Range<usize>)>,
) -> (usize, Vec<f32>) {
    let shape = Shape { height, width, channels: classes };
    let mut arena = Arena::counting();
    Fuser::carve(&mut arena, &shape).unwrap();
    let mut memory = Memory::new(arena.used_bytes());
    let mut arena = Arena::over(memory.bytes()).unwrap();
    let mut fuser = Fuser::carve(&mut arena, &shape).unwrap();
    if let Some((rows, columns)) = window {
        fuser.set_window(rows.clone(), columns.clone());
    }
    let mut data = scores.to_vec();
    let mut scores = Scores::new(&mut data, &shape, Layout::Chw).unwrap();
    let segments = Segments::new(segments, height * width).unwrap();
    let changed = fuser.run(fusion, &segments, &mut scores).unwrap();
    (changed, data)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn a_window_is_a_grid_of_its_own(
        fusion in fusions(),
        (height, width) in (1usize..14, 1usize..14),
        (top, bottom, left, right) in (0usize..14, 0usize..14, 0usize..14, 0usize..14),
        (classes, count) in (1usize..6, 0usize..5),
        seed: u64,
    ) {
        let rows = top.min(height - 1)..(top.min(height - 1) + 1 + bottom).min(height);
        let columns = left.min(width - 1)..(left.min(width - 1) + 1 + right).min(width);
        let window = (rows, columns);
        let inside: Vec<usize> = (0..height * width)
            .filter(|cell| window.0.contains(&(cell / width)) && window.1.contains(&(cell % width)))
            .collect();
        let crop = |data: &[f32]| -> Vec<f32> {
            let planes = data.chunks(height * width);
            planes.flat_map(|plane| inside.iter().map(|&cell| plane[cell])).collect()
        };
        let mut random = Random(seed);
        let segments = random.take(count * height * width, 1.0);
        let scores = random.take(classes * height * width, 3.0);
        let shape = (height, width, classes);
        let (changed, got) = fuse(fusion, shape, (&segments, &scores), Some(&window));
        let own = (window.0.len(), window.1.len(), classes);
        let want = fuse(fusion, own, (&crop(&segments), &crop(&scores)), None);
        prop_assert_eq!((changed, crop(&got)), want);
        for (at, (after, before)) in got.iter().zip(&scores).enumerate() {
            let cell = at % (height * width);
            prop_assert!(inside.contains(&cell) || after == before, "cell {cell} takes no part");
        }
    }
}

/// Padding of one class all over, larger than the region beside it, outvotes nobody.
#[test]
fn padding_has_no_vote() {
    let (height, width) = (16, 16);
    let model = Model {
        input: (16, 16),
        fit: Fit::Letterbox(Anchor::TopLeft),
        ..Model::of_logits(3, (height, width))
    };
    let (features, left) = two_regions(height, width);
    let mut logits = noisy_logits(&left);
    let cells = height * width;
    for cell in 6 * width..cells {
        logits[cell] = 0.0;
        logits[cells + cell] = 0.0;
        logits[2 * cells + cell] = 9.0;
    }
    let (frame, shape) = ((16, 6), Some((height, width, 3)));
    with_segmenter(&model.bundle(), &limits(frame, shape), |segmenter| {
        segmenter.set_fusion(Some(VOTE)).unwrap();
        let affinity = Map::new(&features, height, width, 3, Layout::Chw).unwrap();
        let got = segment(segmenter, (&model.map(&logits), Some(&affinity)), frame).unwrap();
        let want: Vec<u16> = left.iter().take(6 * width).map(|&left| u16::from(!left)).collect();
        assert_eq!(got.labels, want);
    });
}

#[test]
fn what_does_not_fit_is_refused_and_the_next_frame_is_right() {
    let model = Model::new(HeadKind::Dot(WeightType::F32), 4, 8, (6, 7));
    let features = Random(9).take(8 * 42, 1.0);
    let (frame, shape) = ((14, 12), Some((6, 7, 3)));
    let (good, _) = two_regions(6, 7);
    let (mut poisoned, mut endless) = (good.clone(), features.clone());
    (poisoned[20], endless[20]) = (f32::NAN, f32::INFINITY);
    let map = |data, height, width, channels| {
        Map::new(data, height, width, channels, Layout::Chw).unwrap()
    };
    with_segmenter(&model.bundle(), &limits(frame, shape), |segmenter| {
        segmenter.set_fusion(Some(VOTE)).unwrap();
        let affinity = map(&good, 6, 7, 3);
        let fits = model.map(&features);
        let want = segment(segmenter, (&fits, Some(&affinity)), frame).unwrap();
        let refused = [
            (fits, Some(map(&good, 7, 6, 3)), Status::ModelShape),
            (fits, Some(map(&good, 6, 21, 1)), Status::ModelShape),
            // Without features of their own the segments get those of the head.
            (fits, None, Status::ModelShape),
            (fits, Some(map(&poisoned, 6, 7, 3)), Status::InvalidArgument),
            (model.map(&endless), Some(affinity), Status::InvalidArgument),
        ];
        for (map, affinity, wanted) in refused {
            let mut mask = Mask::new(14 * 12);
            let source = Source::Features { map: &map, width: 14, height: 12 };
            let refused = Frame { source, affinity: affinity.as_ref() };
            let mut output = mask.output(14);
            segmenter.begin(&refused, &output).unwrap();
            let error = segmenter.step(&refused, &mut output, u32::MAX).unwrap_err();
            assert_eq!(error.status(), wanted);
            assert_eq!(mask, Mask::new(14 * 12), "nothing is written");
            let next = segment(segmenter, (&fits, Some(&good_map(&good))), frame).unwrap();
            assert_eq!(next, want);
        }
        let bad = [
            FusionSettings { segments: 6, ..VOTE },
            FusionSettings::of(Fusion::Vote { agreement: f32::NAN }),
            FusionSettings::of(Fusion::Select { threshold: -0.1 }),
            FusionSettings::of(Fusion::Soft { mix: 1.1 }),
        ];
        for settings in bad {
            let error = segmenter.set_fusion(Some(settings)).unwrap_err();
            assert_eq!(error.status(), Status::InvalidArgument);
        }
        assert_eq!(segment(segmenter, (&fits, Some(&good_map(&good))), frame).unwrap(), want);
    });
}

fn good_map(features: &[f32]) -> Map<'_, f32> {
    Map::new(features, 6, 7, 3, Layout::Chw).unwrap()
}

/// By default the segments come from the head's own features.
#[test]
fn the_network_s_own_features_serve() {
    let model = Model::new(HeadKind::Dot(WeightType::F32), 3, 3, (12, 15));
    let (features, _) = two_regions(12, 15);
    let frame = (15, 12);
    let own = with_segmenter(&model.bundle(), &limits(frame, None), |segmenter| {
        segmenter.set_fusion(Some(VOTE)).unwrap();
        mask(segmenter, &model.map(&features), frame)
    });
    let shape = Some((12, 15, 3));
    let given = with_segmenter(&model.bundle(), &limits(frame, shape), |segmenter| {
        segmenter.set_fusion(Some(VOTE)).unwrap();
        let map = model.map(&features);
        segment(segmenter, (&map, Some(&map)), frame).unwrap()
    });
    assert_eq!(own, given);
}
