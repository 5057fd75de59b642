//! Views, there and back.

use zsseg::train::data::{Label, LabelMap};
use zsseg::train::engine::Matrix;
use zsseg::train::view::{Placed, WindowPixels, views_of};
use zsseg::train::{View, Window};
use zsseg::viz::Picture;

fn zoomed(left: f32, top: f32, side: f32, flip: bool) -> View {
    View { window: Window { left, top, side }, flip, colour: 0.0 }
}

/// A map whose labels say where they are.
fn numbered(width: u32, height: u32) -> LabelMap {
    let labels: Vec<Label> = (0..width * height).map(|i| Label::Class(i as u16)).collect();
    LabelMap::new(width, height, (width * height) as usize, &labels).unwrap()
}

fn classes(labels: &LabelMap) -> Vec<u16> {
    let class = |label| match label {
        Label::Class(class) => class,
        other => panic!("{other:?}"),
    };
    labels.iter().map(class).collect()
}

#[test]
fn labels_are_shown_as_the_window_shows_them() {
    let labels = numbered(4, 2);
    assert_eq!(View::PLAIN.labels(&labels).unwrap(), labels);
    let flipped = zoomed(0.0, 0.0, 1.0, true).labels(&labels).unwrap();
    assert_eq!(classes(&flipped), [3, 2, 1, 0, 7, 6, 5, 4]);
    let corner = zoomed(0.5, 0.5, 0.5, false).labels(&labels).unwrap();
    assert_eq!(classes(&corner), [6, 6, 7, 7, 6, 6, 7, 7]);
    let corner = zoomed(0.5, 0.5, 0.5, true).labels(&labels).unwrap();
    assert_eq!(classes(&corner), [7, 7, 6, 6, 7, 7, 6, 6]);
}

#[test]
fn pixels_and_labels_are_cut_from_the_same_place() {
    let (width, height) = (12u32, 8u32);
    let rgb: Vec<u8> = (0..width * height).flat_map(|i| [i as u8, 0, 255 - i as u8]).collect();
    let frame = Picture::new(width, height, rgb).unwrap();
    for view in [zoomed(0.0, 0.25, 0.5, false), zoomed(0.5, 0.0, 0.5, true)] {
        let seen = view.cut(&frame, 0, "a", 1).unwrap();
        assert_eq!((seen.width(), seen.height()), (6, 4));
        let labels = view.labels(&numbered(width, height)).unwrap();
        for (x, y) in (0..height).flat_map(|y| (0..width).map(move |x| (x, y))) {
            let color = seen.pixel(x / 2, y / 2).unwrap();
            assert_eq!(labels.get(x, y), Some(Label::Class(u16::from(color[0]))), "{x} {y}");
        }
    }
}

#[test]
fn what_every_view_says_comes_back_to_its_place() {
    // A plane over the picture, sampled at the cells that each view has.
    let (grid, frame) = ([6, 8], [48, 64]);
    let plane = |x: f32, y: f32| 3.0 * x - 2.0 * y;
    let mut placed = Placed::new(grid, frame, 1).unwrap();
    let views = views_of(&["flip", "zoom:2", "zoom:2,flip"], 0).unwrap();
    assert_eq!(views.len(), 10);
    for view in &views {
        let from = [12, 16];
        let mut values = Vec::new();
        for (row, column) in (0..from[0]).flat_map(|r| (0..from[1]).map(move |c| (r, c))) {
            let across = (column as f32 + 0.5) / from[1] as f32;
            let across = if view.flip { 1.0 - across } else { across };
            let down = (row as f32 + 0.5) / from[0] as f32;
            let at = |start: f32, share: f32| start + view.window.side * share;
            values.push(plane(at(view.window.left, across), at(view.window.top, down)));
        }
        let values = Matrix::new([from[0] * from[1], 1], values).unwrap();
        placed.add(view, &values, from).unwrap();
    }
    for (cell, count) in placed.count.iter().enumerate() {
        // The two whole ones, and each corner's two.
        assert_eq!(*count, 4, "{cell}");
        let x = ((cell % 8) as f32 + 0.5) / 8.0;
        let y = ((cell / 8) as f32 + 0.5) / 6.0;
        let found = placed.sum.row(cell).unwrap()[0] / *count as f32;
        assert!((found - plane(x, y)).abs() < 1e-5, "{cell}: {found}");
    }
}

#[test]
fn cells_outside_the_window_get_nothing() {
    let mut placed = Placed::new([2, 2], [8, 8], 2).unwrap();
    let view = zoomed(0.5, 0.0, 0.5, false);
    placed.add(&view, &Matrix::new([1, 2], vec![5.0, 7.0]).unwrap(), [1, 1]).unwrap();
    assert_eq!(placed.count, [0, 1, 0, 0]);
    assert_eq!(placed.sum.values(), [0.0, 0.0, 5.0, 7.0, 0.0, 0.0, 0.0, 0.0]);
    let wrong = Matrix::new([1, 1], vec![5.0f64]).unwrap();
    assert!(Placed::new([2, 2], [8, 8], 2).unwrap().add(&view, &wrong, [1, 1]).is_err());
    assert!(Placed::<f32>::new([0, 2], [8, 8], 2).is_err());
}

#[test]
fn the_same_view_placed_back_is_the_same_to_the_bit() {
    let values: Vec<f32> = (0..24).map(|i| (i as f32 * 1.7).sin()).collect();
    let values = Matrix::new([12, 2], values).unwrap();
    let mut placed = Placed::new([3, 4], [30, 40], 2).unwrap();
    placed.add(&View::PLAIN, &values, [3, 4]).unwrap();
    assert_eq!(placed.sum.values(), values.values());
}

#[test]
fn windows_have_whole_pixels_and_lie_in_the_frame() {
    let found = zoomed(1.0 / 3.0, 1.0 / 3.0, 2.0 / 3.0, false).pixels([10, 512]).unwrap();
    assert_eq!(found, WindowPixels { left: 171, top: 3, width: 341, height: 7 });
    let tiny = zoomed(0.99, 0.99, 0.01, false).pixels([4, 4]).unwrap();
    assert_eq!(tiny, WindowPixels { left: 3, top: 3, width: 1, height: 1 });
    let wrong = [
        zoomed(0.6, 0.0, 0.5, false),
        zoomed(0.0, -0.1, 0.5, false),
        zoomed(0.0, 0.0, 0.0, false),
        zoomed(f32::NAN, 0.0, 0.5, false),
        zoomed(0.0, 0.0, f32::INFINITY, false),
        View { colour: 1.5, ..View::PLAIN },
    ];
    for view in wrong {
        assert!(view.pixels([8, 8]).is_err(), "{view:?}");
    }
    assert!(View::PLAIN.pixels([0, 8]).is_err());
}

#[test]
fn words_name_views() {
    assert_eq!(views_of(&[""; 0], 0).unwrap(), [View::PLAIN]);
    let views = views_of(&["flip", "zoom:2", "flip", "colour:0.5,flip"], 0).unwrap();
    assert_eq!(views.len(), 7);
    assert_eq!(views[1], zoomed(0.0, 0.0, 1.0, true));
    assert_eq!(views[5], zoomed(0.5, 0.5, 0.5, false));
    assert_eq!(views[6], View { flip: true, colour: 0.5, ..View::PLAIN });
    let crops = views_of(&["crop:20"], 3).unwrap();
    assert_eq!(crops, views_of(&["crop:20"], 3).unwrap());
    assert!(crops != views_of(&["crop:20"], 4).unwrap());
    assert_eq!(crops[..6], views_of(&["crop:5"], 3).unwrap());
    assert!(crops[1..].iter().all(|view| (0.5..=1.0).contains(&view.window.side)));
    let flipped = crops[1..].iter().filter(|view| view.flip).count();
    assert!((3..=17).contains(&flipped), "{flipped}");
    for wrong in [
        "",
        "flop",
        "flip:1",
        "flip,flip",
        "zoom",
        "zoom:1",
        "zoom:9",
        "zoom:nan",
        "zoom:-2",
        "crop:0",
        "crop:65",
        "crop:2,flip",
        "crop:1,zoom:2",
        "colour:0",
        "colour:2",
        "colour:nan",
    ] {
        let error = views_of(&[wrong], 0).unwrap_err().to_string();
        assert!(error.contains(wrong), "{error}");
    }
}

#[test]
fn colours_are_distorted_the_more_the_stronger() {
    let rgb: Vec<u8> = (0..3 * 64).map(|i| (i * 53 % 256) as u8).collect();
    let frame = Picture::new(8, 8, rgb.clone()).unwrap();
    let mut last = 0;
    for strength in [0.0, 0.1, 0.5, 1.0] {
        let view = View { colour: strength, ..View::PLAIN };
        let seen = view.cut(&frame, 11, "a", 1).unwrap();
        let pairs = seen.rgb().iter().zip(&rgb);
        let difference: u32 = pairs.map(|(a, b)| u32::from(a.abs_diff(*b))).sum();
        assert!(strength == 0.0 && difference == 0 || difference > last, "{strength}");
        last = difference;
    }
}
