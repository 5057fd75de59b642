//! Laws of fusion.

use super::support::{Random, exactly};
use proptest::prelude::*;
use zsseg::arena::Arena;
use zsseg::map::Layout;
use zsseg::spectral::{Fuser, Fusion, Scores, Segments, Shape};
use zsseg::status::{Result, Status};

/// Scores cell after cell, and vectors whose signs are the segments.
#[derive(Clone, Debug)]
struct Scene {
    shape: Shape,
    scores: Vec<f32>,
    vectors: Vec<f32>,
}

impl Scene {
    fn cells(&self) -> usize {
        self.shape.height * self.shape.width
    }

    fn labels(&self) -> Vec<usize> {
        labels(&self.scores, self.shape.channels)
    }

    fn fuse(&self, fusion: Fusion) -> Result<(Vec<f32>, usize)> {
        self.fuse_in(fusion, Layout::Hwc)
    }

    fn fuse_in(&self, fusion: Fusion, layout: Layout) -> Result<(Vec<f32>, usize)> {
        let (cells, classes) = (self.cells(), self.shape.channels);
        let mut data = self.scores.clone();
        if layout == Layout::Chw {
            data = (0..data.len()).map(|at| data[at % cells * classes + at / cells]).collect();
        }
        let carve = |arena: &mut Arena<'_>| Fuser::carve(arena, &self.shape).map(drop);
        let changed = exactly(carve, |arena| {
            let mut fuser = Fuser::carve(arena, &self.shape).unwrap();
            let segments = Segments::new(&self.vectors, cells)?;
            fuser.run(fusion, &segments, &mut Scores::new(&mut data, &self.shape, layout)?)
        })?;
        if layout == Layout::Chw {
            data = (0..data.len()).map(|at| data[at % classes * cells + at / classes]).collect();
        }
        Ok((data, changed))
    }
}

/// The best class, the lowest on ties.
pub fn labels(scores: &[f32], classes: usize) -> Vec<usize> {
    let best = |row: &[f32]| {
        let most = row.iter().copied().fold(f32::NEG_INFINITY, f32::max);
        row.iter().position(|score| *score == most).unwrap()
    };
    scores.chunks(classes).map(best).collect()
}

prop_compose! {
    /// Blobs of scores with noise; ties are common, some classes are switched off.
    fn scenes()(
        height in 1usize..14, width in 1usize..14, classes in 1usize..7, segments in 0usize..6,
        off in proptest::option::of(0usize..7), seed: u64,
    ) -> Scene {
        let shape = Shape { height, width, channels: classes };
        let mut random = Random(seed);
        let centers: Vec<(f32, f32)> =
            (0..classes).map(|_| (random.next() * 7.0 + 7.0, random.next() * 7.0 + 7.0)).collect();
        let mut scores = Vec::new();
        for cell in 0..height * width {
            for (class, center) in centers.iter().enumerate() {
                let (x, y) = ((cell % width) as f32 - center.0, (cell / width) as f32 - center.1);
                let score = ((x * x + y * y) * -0.1 + random.next() * 2.0).round();
                let gone = off == Some(class) && classes > 1;
                scores.push(if gone { f32::NEG_INFINITY } else { score });
            }
        }
        let mut vectors = Vec::new();
        for _ in 0..segments {
            let (a, b, c) = (random.next(), random.next(), random.next() * 7.0);
            let value = |cell: usize| {
                a * ((cell % width) as f32 - 7.0) + b * ((cell / width) as f32 - 7.0) + c
            };
            vectors.extend((0..height * width).map(value));
        }
        Scene { shape, scores, vectors }
    }
}

fn fusions() -> impl Strategy<Value = Fusion> {
    prop_oneof![
        (0.0f32..1.0).prop_map(|threshold| Fusion::Select { threshold }),
        (0.0f32..1.0).prop_map(|agreement| Fusion::Vote { agreement }),
        (0.0f32..1.0).prop_map(|mix| Fusion::Soft { mix }),
    ]
}

fn sorted(row: &[f32]) -> Vec<f32> {
    let mut row = row.to_vec();
    row.sort_by(f32::total_cmp);
    row
}

proptest! {
    #[test]
    fn no_segments_change_nothing(scene in scenes(), fusion in fusions()) {
        let scene = Scene { vectors: Vec::new(), ..scene };
        prop_assert_eq!(scene.fuse(fusion).unwrap(), (scene.scores, 0));
    }

    #[test]
    fn impossible_thresholds_change_nothing(scene in scenes()) {
        let modes = [
            Fusion::Select { threshold: 1.01 },
            Fusion::Vote { agreement: 1.01 },
            Fusion::Soft { mix: 0.0 },
        ];
        for fusion in modes {
            prop_assert_eq!(scene.fuse(fusion).unwrap(), (scene.scores.clone(), 0));
        }
    }

    #[test]
    fn no_class_is_invented(scene in scenes(), fusion in fusions()) {
        let (fused, changed) = scene.fuse(fusion).unwrap();
        let classes = scene.shape.channels;
        let (before, after) = (scene.labels(), labels(&fused, classes));
        let differing = before.iter().zip(&after).filter(|(a, b)| a != b).count();
        prop_assert_eq!(changed, differing);
        for (old, new) in scene.scores.iter().zip(&fused) {
            prop_assert_eq!(*old == f32::NEG_INFINITY, *new == f32::NEG_INFINITY);
            prop_assert!(!new.is_nan());
        }
        for (cell, &label) in after.iter().enumerate() {
            prop_assert!(scene.scores[cell * classes + label] > f32::NEG_INFINITY);
            if matches!(fusion, Fusion::Vote { .. }) {
                prop_assert!(before.contains(&label));
            }
        }
    }

    #[test]
    fn select_and_vote_exchange_scores(scene in scenes(), bound in 0.0f32..1.0) {
        let classes = scene.shape.channels;
        for fusion in [Fusion::Select { threshold: bound }, Fusion::Vote { agreement: bound }] {
            let (fused, _) = scene.fuse(fusion).unwrap();
            for (old, new) in scene.scores.chunks(classes).zip(fused.chunks(classes)) {
                for (old, new) in sorted(old).iter().zip(sorted(new)) {
                    prop_assert!(new == *old || new == old.next_up(), "{old} {new}");
                }
            }
        }
    }

    #[test]
    fn layouts_agree(scene in scenes(), fusion in fusions()) {
        prop_assert_eq!(scene.fuse_in(fusion, Layout::Chw), scene.fuse(fusion));
    }

    #[test]
    fn unanimous_vote_makes_regions_uniform(scene in scenes()) {
        let (fused, _) = scene.fuse(Fusion::Vote { agreement: 0.0 }).unwrap();
        let cells = scene.cells();
        let after = labels(&fused, scene.shape.channels);
        // Cells of the same signs are never in different regions.
        let signs = |cell: usize| {
            scene.vectors.chunks(cells).map(|vector| vector[cell] > 0.0).collect::<Vec<_>>()
        };
        if !scene.vectors.is_empty() {
            for cell in 1..cells {
                if signs(cell) == signs(0) {
                    prop_assert_eq!(after[cell], after[0]);
                }
            }
        }
    }

    /// Neighbourhood plays no part in `Select`.
    #[test]
    fn select_commutes_with_reversal(scene in scenes(), threshold in 0.0f32..1.0) {
        let fusion = Fusion::Select { threshold };
        let (classes, cells) = (scene.shape.channels, scene.cells());
        let turned = Scene {
            shape: scene.shape,
            scores: scene.scores.chunks(classes).rev().flatten().copied().collect(),
            vectors: scene.vectors.chunks(cells).flat_map(|v| v.iter().rev()).copied().collect(),
        };
        let (one, _) = scene.fuse(fusion).unwrap();
        let (two, _) = turned.fuse(fusion).unwrap();
        let two: Vec<f32> = two.chunks(classes).rev().flatten().copied().collect();
        prop_assert_eq!(one, two);
    }
}

/// A class whose shape is nearly a segment gets the segment; the cell it gives up goes to the
/// second best.
#[test]
fn select_takes_the_segments_shape() {
    let shape = Shape { height: 1, width: 6, channels: 3 };
    let vectors = [1.0, 1.0, 1.0, -1.0, -1.0, -1.0];
    let rows = [[5., 1., 0.], [5., 1., 0.], [1., 2., 0.], [4., 3., 1.], [0., 6., 2.], [0., 6., 2.]];
    let scene = Scene { shape, scores: rows.concat(), vectors: vectors.to_vec() };
    assert_eq!(scene.labels(), [0, 0, 1, 0, 1, 1]);
    let (fused, changed) = scene.fuse(Fusion::Select { threshold: 0.5 }).unwrap();
    assert_eq!((labels(&fused, 3), changed), (vec![0, 0, 0, 1, 1, 1], 2));
    assert_eq!(fused[6..12], [2.0, 1.0, 0.0, 3.0, 4.0, 1.0]);
    assert_eq!(scene.fuse(Fusion::Select { threshold: 0.51 }).unwrap().1, 0);
}

/// Classes 0 and 1 fit nothing, 2 does and takes a cell from 0.
#[test]
fn select_leaves_classes_that_fit_nothing() {
    let shape = Shape { height: 1, width: 8, channels: 3 };
    let rows: Vec<[f32; 3]> = [0, 1, 0, 1, 2, 2, 2, 0]
        .map(|best| {
            [0, 1, 2]
                .map(|class| if class == best { 9.0 * (best + 1) as f32 } else { -(class as f32) })
        })
        .to_vec();
    let vectors = [-1.0, -1.0, -1.0, -1.0, 1.0, 1.0, 1.0, 1.0];
    let scene = Scene { shape, scores: rows.concat(), vectors: vectors.to_vec() };
    let (fused, changed) = scene.fuse(Fusion::Select { threshold: 0.6 }).unwrap();
    assert_eq!((labels(&fused, 3), changed), (vec![0, 1, 0, 1, 2, 2, 2, 2], 1));
}

#[test]
fn ties_are_decided_by_one_step() {
    let shape = Shape { height: 1, width: 3, channels: 2 };
    let scores = vec![0.0, 1.0, 0.0, 1.0, 1.0, 1.0];
    let scene = Scene { shape, scores, vectors: vec![1.0; 3] };
    let (fused, changed) = scene.fuse(Fusion::Vote { agreement: 0.6 }).unwrap();
    assert_eq!(changed, 1);
    assert_eq!(fused, [0.0, 1.0, 0.0, 1.0, 1.0, 1.0f32.next_up()]);
}

#[test]
fn bad_input_is_refused_and_changes_nothing() {
    let shape = Shape { height: 2, width: 2, channels: 2 };
    let scene = Scene { shape, scores: vec![1.0; 8], vectors: vec![1.0; 8] };
    let bad_modes = [
        Fusion::Select { threshold: -0.1 },
        Fusion::Select { threshold: f32::NAN },
        Fusion::Vote { agreement: f32::INFINITY },
        Fusion::Soft { mix: 1.1 },
        Fusion::Soft { mix: f32::NAN },
    ];
    for fusion in bad_modes {
        assert_eq!(scene.fuse(fusion).unwrap_err().status(), Status::InvalidArgument);
    }
    let good = Fusion::Vote { agreement: 0.5 };
    for bad in [f32::NAN, f32::INFINITY] {
        let mut scene = scene.clone();
        scene.scores[5] = bad;
        assert_eq!(scene.fuse(good).unwrap_err().status(), Status::InvalidArgument);
    }
    let segments = |vectors: &[f32], cells| Segments::new(vectors, cells).unwrap_err().status();
    assert_eq!(segments(&[1.0; 7], 4), Status::InvalidArgument);
    assert_eq!(segments(&[f32::NAN; 4], 4), Status::InvalidArgument);
    assert_eq!(segments(&[1.0; 36], 4), Status::LimitExceeded);
    assert_eq!(segments(&[], 0), Status::InvalidArgument);
    let mut arena = Arena::counting();
    assert!(Fuser::carve(&mut arena, &Shape { channels: 4097, ..shape }).is_err());
    let mut scores = vec![0.0; 7];
    assert!(Scores::new(&mut scores, &shape, Layout::Chw).is_err());
    let other = Scene { vectors: vec![1.0; 8], ..scene };
    let mut wrong = other.scores.clone();
    let carve = |arena: &mut Arena<'_>| Fuser::carve(arena, &shape).map(drop);
    exactly(carve, |arena| {
        let mut fuser = Fuser::carve(arena, &shape).unwrap();
        let segments = Segments::new(&other.vectors, 8).unwrap();
        let mut scores = Scores::new(&mut wrong, &shape, Layout::Hwc).unwrap();
        let error = fuser.run(good, &segments, &mut scores).unwrap_err();
        assert_eq!(error.status(), Status::ModelShape);
        let flat = Shape { height: 1, width: 2, channels: 4 };
        let mut scores = Scores::new(&mut wrong, &flat, Layout::Hwc).unwrap();
        let segments = Segments::new(&other.vectors, 4).unwrap();
        let error = fuser.run(good, &segments, &mut scores).unwrap_err();
        assert_eq!(error.status(), Status::ModelShape);
    });
}
