//! Real pictures against NumPy and SciPy. The features are patches of pixels.

use super::common::{Picture, repository, shared};
use super::fusion::labels;
use super::support::{angle, exactly, search};
use std::path::Path;
use zsseg::arena::Arena;
use zsseg::image::{Preprocessor, Target};
use zsseg::limits::Limits;
use zsseg::map::{Layout, Map};
use zsseg::spec::{ChannelOrder, Filter, Fit, Input, InputType, Preprocess};
use zsseg::spectral::{Fuser, Fusion, Inputs, Scores, Segments, Settings, Shape};

const GRID: usize = 24;
const CELLS: usize = GRID * GRID;
const PATCH: usize = 8;
/// Largest angle between our span of the first five eigenvectors and theirs.
const MAX_ANGLE: f64 = 1e-3;

/// Reads a .npy file of f32 rows.
fn rows(path: &Path) -> Vec<Vec<f32>> {
    let bytes = std::fs::read(path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    let start = 10 + usize::from(u16::from_le_bytes([bytes[8], bytes[9]]));
    let header = String::from_utf8_lossy(&bytes[10..start]);
    assert!(header.contains("'<f4'") && header.contains(", 576)"), "{header}");
    let values: Vec<f32> =
        bytes[start..].chunks_exact(4).map(|b| f32::from_le_bytes(b.try_into().unwrap())).collect();
    values.chunks_exact(CELLS).map(<[f32]>::to_vec).collect()
}

fn reference(name: &str) -> Vec<Vec<f32>> {
    rows(&repository("tests/reference/spectral").join(name))
}

/// The picture brought to `side` x `side`, (v / 255 - mean) / std, in planes.
fn resized(picture: &Picture, side: usize, mean: f32, std: f32) -> Vec<f32> {
    let input = Input {
        width: side as u32,
        height: side as u32,
        layout: Layout::Chw,
        element: InputType::F32,
    };
    let preprocess = Preprocess {
        fit: Fit::Stretch,
        filter: Filter::Bilinear,
        antialias: true,
        order: ChannelOrder::Rgb,
        scale: 1.0 / 255.0,
        mean: [mean; 3],
        std: [std; 3],
        pad: [0.0; 3],
    };
    let limits = Limits::for_frames(picture.width, picture.height);
    let mut out = vec![0.0; 3 * side * side];
    let carve =
        |arena: &mut Arena<'_>| Preprocessor::carve(arena, &input, &preprocess, &limits).map(drop);
    exactly(carve, |arena| {
        let mut preprocessor = Preprocessor::carve(arena, &input, &preprocess, &limits).unwrap();
        preprocessor.run(&picture.frame(), Target::F32(&mut out)).unwrap();
    });
    out
}

/// 3 x 8 x 8 pixels for each cell, cell after cell.
fn features(picture: &Picture) -> Vec<f32> {
    let side = GRID * PATCH;
    let pixels = resized(picture, side, 0.5, 0.5);
    let mut features = Vec::new();
    for cell in 0..CELLS {
        let (left, top) = (cell % GRID * PATCH, cell / GRID * PATCH);
        for at in 0..3 * PATCH * PATCH {
            let (channel, y, x) = (at / PATCH / PATCH, at / PATCH % PATCH, at % PATCH);
            features.push(pixels[(channel * side + top + y) * side + left + x]);
        }
    }
    features
}

/// Compares the eigenvectors of a picture; the angle and the gap to the next eigenvalue.
fn compare(path: &Path, color_weight: f32, tolerance: f32) -> (f64, f64) {
    let picture = Picture::open(path);
    let features = features(&picture);
    let mut color = resized(&picture, GRID, 0.0, 1.0);
    color.iter_mut().for_each(|value| *value = (*value * 255.0 + 0.4).floor() / 255.0);
    let inputs = Inputs {
        features: Map::new(&features, GRID, GRID, 3 * PATCH * PATCH, Layout::Hwc).unwrap(),
        color: Some(Map::new(&color, GRID, GRID, 3, Layout::Chw).unwrap()),
    };
    let shape = Shape { height: GRID, width: GRID, channels: 3 * PATCH * PATCH };
    let settings = Settings { color_weight, tolerance, ..Settings::DEFAULT };
    let found = search(&shape, &settings, &inputs).unwrap();
    let stem = path.file_stem().unwrap().to_str().unwrap();
    let want = reference(&format!("{stem}{}.npy", if color_weight > 0.0 { "_color" } else { "" }));
    let apart = angle(&found.vectors, &want[..5]);
    let gap = want[5][5] - want[5][4];
    let outcome = found.outcome;
    println!("{stem}: angle {apart:.1e}, gap {gap:.5}, {outcome:?}");
    assert_eq!(outcome.converged, 5, "{stem}");
    for (found, want) in found.values.iter().zip(&want[5]) {
        assert!((found - want).abs() < 1e-5, "{stem}: {found} for {want}");
    }
    (apart, gap.into())
}

/// Compares at the default tolerance and at a tenth of it. A span is only as certain as the
/// residual divided by the gap between its last eigenvalue and the next; with the smaller
/// tolerance that is enough even where the gap is 3e-4 (a picture that is all but white).
fn compare_closely(path: &Path, color_weight: f32) -> f64 {
    let (usual, gap) = compare(path, color_weight, Settings::DEFAULT.tolerance);
    assert!(usual < MAX_ANGLE.max(1e-5 / gap), "{}: angle {usual}, gap {gap}", path.display());
    let (close, _) = compare(path, color_weight, 1e-6);
    assert!(close < MAX_ANGLE, "{}: angle {close}", path.display());
    close
}

#[test]
fn repository_pictures() {
    for name in ["chelsea", "astronaut"] {
        let path = repository("tests/data").join(format!("{name}.png"));
        for color_weight in [0.0, 10.0] {
            compare_closely(&path, color_weight);
        }
    }
}

#[test]
fn twenty_shared_pictures() {
    let sets = [
        ("datasets/camvid/test.txt", "datasets/camvid/test"),
        ("datasets/voc12_animals/val.txt", "datasets/voc12_animals/images"),
    ];
    let mut worst: f64 = 0.0;
    for (list, folder) in sets {
        let (Some(list), Some(folder)) = (shared(list), shared(folder)) else { return };
        let names = std::fs::read_to_string(list).unwrap();
        for name in names.split_whitespace().take(10) {
            worst = worst.max(compare_closely(&folder.join(format!("{name}.jpg")), 0.0));
        }
    }
    println!("worst angle {worst:.1e}");
}

/// The scores that `make_spectral.py` makes up, in planes.
fn scores() -> Vec<f32> {
    let mut scores = Vec::new();
    for at in 0..6 * CELLS {
        let (c, y, x) = (at / CELLS, at / GRID % GRID, at % GRID);
        let (across, down) = (x as f32 - ((11 * c + 5) % GRID) as f32, (7 * c + 3) % GRID);
        let down = y as f32 - down as f32;
        let noise = (at as u64 * 2_654_435_761 % (1 << 32)) >> 27;
        scores.push(-(across * across + down * down) / 8.0 + noise as f32 / 2.0);
    }
    scores
}

#[test]
fn fused_scores() {
    let shape = Shape { height: GRID, width: GRID, channels: 6 };
    let carve = |arena: &mut Arena<'_>| Fuser::carve(arena, &shape).map(drop);
    for name in ["chelsea", "astronaut"] {
        let vectors = reference(&format!("{name}.npy"))[..5].concat();
        let segments = Segments::new(&vectors, CELLS).unwrap();
        let want = reference(&format!("{name}_fused.npy"));
        let fuse = |fusion| {
            let mut data = scores();
            let changed = exactly(carve, |arena| {
                let mut scores = Scores::new(&mut data, &shape, Layout::Chw).unwrap();
                Fuser::carve(arena, &shape).unwrap().run(fusion, &segments, &mut scores).unwrap()
            });
            println!("{name} {fusion:?}: {changed} cells changed");
            data
        };
        let modes = [Fusion::Select { threshold: 0.25 }, Fusion::Vote { agreement: 0.6 }];
        for (fusion, want) in modes.into_iter().zip(&want) {
            let fused = fuse(fusion);
            let cells: Vec<f32> =
                (0..fused.len()).map(|at| fused[at % 6 * CELLS + at / 6]).collect();
            let found: Vec<f32> = labels(&cells, 6).iter().map(|&label| label as f32).collect();
            assert_eq!(found, *want, "{name} {fusion:?}");
        }
        for (found, want) in fuse(Fusion::Soft { mix: 0.5 }).iter().zip(want[2..].iter().flatten())
        {
            assert!((found - want).abs() < 1e-4, "{name}: {found} for {want}");
        }
    }
}
