//! Masks of all kinds, and resampled ones.

use super::support::Folder;
use png::{BitDepth, ColorType};
use zsseg::train::data::{DataError, Label, MaskCoding, Nearest, read_mask};
use zsseg::train::data::{LabelMap, picture_size, read_picture};

use Label::{Class, Unlabelled, Void};

fn coding() -> MaskCoding {
    MaskCoding::direct(3, &[3, 300], &[255]).unwrap()
}

#[test]
fn numbers_are_read_from_palettes_and_grey_of_every_depth() {
    let folder = Folder::new();
    let wanted = [Class(0), Class(1), Class(2), Unlabelled, Class(2), Class(1)];
    let cases: [(ColorType, BitDepth, &[u8]); 7] = [
        (ColorType::Indexed, BitDepth::Eight, &[0, 1, 2, 3, 2, 1]),
        (ColorType::Indexed, BitDepth::Four, &[0x01, 0x20, 0x32, 0x10]),
        (ColorType::Indexed, BitDepth::Two, &[0b0001_1000, 0b1110_0100]),
        (ColorType::Grayscale, BitDepth::Eight, &[0, 1, 2, 3, 2, 1]),
        (ColorType::Grayscale, BitDepth::Four, &[0x01, 0x20, 0x32, 0x10]),
        (ColorType::Grayscale, BitDepth::Two, &[0b0001_1000, 0b1110_0100]),
        (ColorType::Grayscale, BitDepth::Sixteen, &[0, 0, 0, 1, 0, 2, 1, 44, 0, 2, 0, 1]),
    ];
    for (color, depth, data) in cases {
        let path = folder.mask("m.png", (3, 2), (color, depth), data);
        let map = read_mask(&path, (3, 2), &coding()).unwrap();
        assert_eq!(map.iter().collect::<Vec<_>>(), wanted, "{color:?} {depth:?}");
    }
    let one = (ColorType::Grayscale, BitDepth::One);
    let path = folder.mask("m.png", (9, 1), one, &[0b0100_0001, 0b1000_0000]);
    let map = read_mask(&path, (9, 1), &coding()).unwrap();
    assert_eq!(map.histogram().classes, [6, 3, 0]);
    assert_eq!(map.get(8, 0), Some(Class(1)));
}

#[test]
fn a_number_without_meaning_is_named_with_its_pixel() {
    let folder = Folder::new();
    let path = folder.grey("bad.png", (3, 2), &[0, 1, 255, 2, 77, 99]);
    match read_mask(&path, (3, 2), &coding()).unwrap_err() {
        DataError::MaskValue { path: found, x, y, value, classes } => {
            assert_eq!((found, x, y, value, classes), (path.clone(), 1, 1, 77, 3));
        }
        other => panic!("{other}"),
    }
    let text = read_mask(&path, (3, 2), &coding()).unwrap_err().to_string();
    assert!(text.contains("bad.png: pixel (1, 1) has 77"), "{text}");
    let sixteen = (ColorType::Grayscale, BitDepth::Sixteen);
    let path = folder.mask("wide.png", (2, 1), sixteen, &[0, 1, 255, 255]);
    let error = read_mask(&path, (2, 1), &coding()).unwrap_err();
    assert!(matches!(error, DataError::MaskValue { value: 65_535, x: 1, y: 0, .. }), "{error}");
}

#[test]
fn masks_of_other_sizes_and_kinds_are_refused() {
    let folder = Folder::new();
    let path = folder.grey("m.png", (3, 2), &[0; 6]);
    let error = read_mask(&path, (2, 3), &coding()).unwrap_err();
    assert!(matches!(error, DataError::MaskSize { found: (3, 2), wanted: (2, 3), .. }), "{error}");
    for color in [ColorType::Rgb, ColorType::Rgba, ColorType::GrayscaleAlpha] {
        let data = vec![0; 6 * color.samples()];
        let path = folder.mask("m.png", (3, 2), (color, BitDepth::Eight), &data);
        let error = read_mask(&path, (3, 2), &coding()).unwrap_err();
        assert!(matches!(error, DataError::Mask { .. }), "{error}");
    }
    let missing = folder.root().join("none.png");
    let error = read_mask(&missing, (3, 2), &coding()).unwrap_err();
    assert!(matches!(error, DataError::File { .. }) && error.to_string().contains("none.png"));
}

#[test]
fn broken_files_are_errors_that_name_them() {
    let folder = Folder::new();
    let mask = std::fs::read(folder.grey("m.png", (40, 30), &[1; 1200])).unwrap();
    for len in [0, 4, 20, mask.len() / 2 + 4] {
        let path = folder.write("cut.png", &mask[..len]);
        let error = read_mask(&path, (40, 30), &coding()).unwrap_err();
        assert!(matches!(error, DataError::Mask { .. }), "{len}: {error}");
        assert!(error.to_string().contains("cut.png"));
    }
    for ending in ["jpg", "png"] {
        let name = format!("p.{ending}");
        let picture = std::fs::read(folder.picture(&name, (200, 150))).unwrap();
        for len in [0, 2, 10, picture.len() / 2, picture.len() * 9 / 10] {
            let path = folder.write(&name, &picture[..len]);
            let error = read_picture(&path).unwrap_err();
            assert!(matches!(error, DataError::Picture { .. }), "{ending} {len}: {error}");
            assert!(error.to_string().contains(&name));
        }
    }
    let text = folder.write("text.jpg", "no picture");
    assert!(matches!(picture_size(&text).unwrap_err(), DataError::Picture { .. }));
}

#[test]
fn codings_contradict_themselves_never() {
    assert!(MaskCoding::direct(3, &[4, 5], &[5]).is_err());
    assert!(MaskCoding::direct(70_000, &[], &[]).is_err());
}

fn row(len: u16) -> LabelMap {
    let labels: Vec<Label> = (0..len).map(Class).collect();
    LabelMap::new(len.into(), 1, 600, &labels).unwrap()
}

fn taken(n: u16, m: u32, nearest: Nearest) -> Vec<u16> {
    let map = row(n).resized(m, 1, nearest).unwrap();
    let class = |label| match label {
        Class(id) => id,
        other => panic!("{other:?}"),
    };
    map.iter().map(class).collect()
}

/// Figures of Pillow's own `resize(..., NEAREST)`. In the last three a centre lies on the border
/// of two pixels, where whole numbers would tell otherwise.
#[test]
fn pillow_takes_the_pixel_under_the_centre() {
    assert_eq!(taken(5, 3, Nearest::Pillow), [0, 2, 4]);
    assert_eq!(taken(3, 5, Nearest::Pillow), [0, 0, 1, 2, 2]);
    assert_eq!(taken(10, 7, Nearest::Pillow), [0, 2, 3, 5, 6, 7, 9]);
    let found = taken(500, 33, Nearest::Pillow);
    assert_eq!(found[..8], [7, 22, 37, 53, 68, 83, 98, 113]);
    assert_eq!(found[28..], [431, 446, 462, 477, 492]);
    assert_eq!(taken(2, 7, Nearest::Pillow), [0, 0, 0, 0, 1, 1, 1]);
    assert_eq!(taken(4, 6, Nearest::Pillow), [0, 1, 1, 2, 2, 3]);
    let found = taken(6, 20, Nearest::Pillow);
    assert_eq!(found, [0, 0, 0, 1, 1, 1, 1, 2, 2, 2, 3, 3, 3, 4, 4, 4, 4, 5, 5, 5]);
}

#[test]
fn torch_takes_the_pixel_under_the_corner() {
    assert_eq!(taken(5, 3, Nearest::Torch), [0, 1, 3]);
    assert_eq!(taken(3, 5, Nearest::Torch), [0, 0, 1, 1, 2]);
    assert_eq!(taken(10, 7, Nearest::Torch), [0, 1, 2, 4, 5, 7, 8]);
    for n in 1..40 {
        for m in 1..40 {
            for nearest in [Nearest::Torch, Nearest::Pillow] {
                let found = nearest.sources(n, m);
                assert!(found.len() == m as usize && found.iter().all(|&source| source < n));
                assert!(found.is_sorted());
            }
        }
    }
}

#[test]
fn both_sides_are_resampled_and_all_states_kept() {
    let labels = [Class(0), Void, Class(2), Unlabelled, Class(1), Void];
    let map = LabelMap::new(3, 2, 3, &labels).unwrap();
    assert_eq!(map.resized(3, 2, Nearest::Torch).unwrap(), map);
    assert_eq!(map.resized(3, 2, Nearest::Pillow).unwrap(), map);
    let small = map.resized(2, 1, Nearest::Torch).unwrap();
    assert_eq!(small.iter().collect::<Vec<_>>(), [Class(0), Void]);
    let small = map.resized(2, 1, Nearest::Pillow).unwrap();
    assert_eq!(small.iter().collect::<Vec<_>>(), [Unlabelled, Void]);
    assert!(map.resized(0, 1, Nearest::Torch).is_err());
}
