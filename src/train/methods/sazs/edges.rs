//! Where the boundaries of a picture are (methods.md 6.6).

use super::settings::EdgeRule;
use crate::train::data::LabelMap;
use crate::train::task::IGNORED;
use std::vec;
use std::vec::Vec;

/// Distance in pixels up to which a pixel counts as boundary.
const RADIUS: isize = 2;

/// Labels of pixels with their sides.
struct Plane {
    height: usize,
    width: usize,
    /// Class, or [`IGNORED`].
    labels: Vec<i32>,
}

impl Plane {
    fn of(map: &LabelMap) -> Plane {
        let labels = crate::train::task::targets(map);
        Plane { height: map.height() as usize, width: map.width() as usize, labels }
    }

    /// The pixel at an offset; `None` outside.
    fn beside(&self, pixel: usize, [down, right]: [isize; 2]) -> Option<usize> {
        let width = self.width.max(1);
        let row = (pixel / width).checked_add_signed(down)?;
        let column = (pixel % width).checked_add_signed(right)?;
        (row < self.height && column < self.width).then_some(row * width + column)
    }

    fn label(&self, pixel: usize) -> i32 {
        self.labels.get(pixel).copied().unwrap_or(IGNORED)
    }
}

/// The four neighbours of a pixel.
const SIDES: [[isize; 2]; 4] = [[-1, 0], [0, -1], [0, 1], [1, 0]];

/// For each cell of a grid 1 if a boundary lies there, else 0; [`IGNORED`] where nothing of the
/// cell has a label (with [`EdgeRule::Boundary`] only). `labels` is of the frame; unlabelled
/// pixels count as void.
pub fn edge_targets(
    labels: &LabelMap,
    grid: [usize; 2],
    rule: EdgeRule,
    void_reach: usize,
) -> Vec<i32> {
    let plane = Plane::of(labels);
    match rule {
        EdgeRule::Boundary => {
            let filled = filled(&plane, void_reach);
            let edges = dilated(&plane, &borders(&filled));
            pooled(&plane, &edges, grid)
        }
        EdgeRule::Distance => {
            let last = i32::try_from(labels.classes()).unwrap_or(i32::MAX) - 1;
            sampled(&plane, &near_borders(&plane, last), grid)
        }
    }
}

/// The labels, with those at the sides of void carried into it by up to `reach` pixels. Where two
/// arrive at once the one from above or the left stays.
fn filled(plane: &Plane, reach: usize) -> Plane {
    let mut labels = plane.labels.clone();
    for _ in 0..reach {
        let before = Plane { height: plane.height, width: plane.width, labels: labels.clone() };
        let void = labels.iter_mut().enumerate().filter(|(_, label)| **label == IGNORED);
        for (pixel, label) in void {
            let mut beside = SIDES.iter().filter_map(|&side| before.beside(pixel, side));
            let found = beside.find(|&other| before.label(other) != IGNORED);
            *label = found.map_or(IGNORED, |other| before.label(other));
        }
    }
    Plane { height: plane.height, width: plane.width, labels }
}

/// Pixels beside one of another class.
fn borders(plane: &Plane) -> Vec<bool> {
    let differs = |pixel: usize| {
        let own = plane.label(pixel);
        let beside = SIDES.iter().filter_map(|&side| plane.beside(pixel, side));
        let mut others = beside.map(|other| plane.label(other));
        own != IGNORED && others.any(|other| other != IGNORED && other != own)
    };
    (0..plane.labels.len()).map(differs).collect()
}

/// Offsets of at most [`RADIUS`] pixels.
fn disc() -> Vec<[isize; 2]> {
    let side = || -RADIUS..=RADIUS;
    let all = side().flat_map(|down| side().map(move |right| [down, right]));
    all.filter(|[down, right]| down * down + right * right <= RADIUS * RADIUS).collect()
}

fn dilated(plane: &Plane, edges: &[bool]) -> Vec<bool> {
    let disc = disc();
    let mut wide = vec![false; edges.len()];
    for pixel in edges.iter().enumerate().filter_map(|(pixel, edge)| edge.then_some(pixel)) {
        for place in disc.iter().filter_map(|&offset| plane.beside(pixel, offset)) {
            wide.iter_mut().skip(place).take(1).for_each(|edge| *edge = true);
        }
    }
    wide
}

/// The published rule: at most 2 pixels from a pixel that is not of the same class, for each class
/// but the last; beyond the picture's sides there is no class. It is the union over the classes of
/// the Euclidean distance maps of the class and of what it is not.
fn near_borders(plane: &Plane, last: i32) -> Vec<bool> {
    let counts = |label: i32| label != IGNORED && label < last;
    let disc = disc();
    let near = |pixel: usize| {
        let own = plane.label(pixel);
        disc.iter().any(|&offset| match plane.beside(pixel, offset) {
            None => counts(own),
            Some(other) => {
                let other = plane.label(other);
                other != own && (counts(own) || counts(other))
            }
        })
    };
    (0..plane.labels.len()).map(near).collect()
}

/// Pixels `start..end` of a side that cell `cell` of `cells` covers, at least one.
fn span(cell: usize, cells: usize, side: usize) -> core::ops::Range<usize> {
    let cells = cells.max(1);
    let start = cell * side / cells;
    start..((cell + 1) * side).div_ceil(cells).max(start + 1)
}

fn pooled(plane: &Plane, edges: &[bool], [rows, columns]: [usize; 2]) -> Vec<i32> {
    let mut targets = Vec::with_capacity(rows * columns);
    for row in 0..rows {
        for column in 0..columns {
            let mut target = IGNORED;
            for y in span(row, rows, plane.height) {
                for x in span(column, columns, plane.width) {
                    let pixel = y * plane.width + x;
                    let edge = edges.get(pixel).copied().unwrap_or(false);
                    let known = plane.label(pixel) != IGNORED;
                    target = target.max(if edge { 1 } else { i32::from(known) - 1 });
                }
            }
            targets.push(target);
        }
    }
    targets
}

/// The pixel that OpenCV's nearest neighbour takes.
fn sampled(plane: &Plane, edges: &[bool], [rows, columns]: [usize; 2]) -> Vec<i32> {
    let places = (0..rows).flat_map(|row| (0..columns).map(move |column| [row, column]));
    let edge = |[row, column]: [usize; 2]| {
        let (y, x) = (row * plane.height / rows.max(1), column * plane.width / columns.max(1));
        i32::from(edges.get(y * plane.width + x).copied().unwrap_or(false))
    };
    places.map(edge).collect()
}

/// Weights of classes in the loss at edges (methods.md 6.7): `2 - share` of the kept cells for a
/// class that there are any of, 1 for others. `kept` has the label of each kept cell; negative
/// ones do not count.
pub fn attention_weights(kept: &[i32], classes: usize) -> Vec<f64> {
    let mut counts = vec![0u64; classes];
    for &label in kept {
        let count = usize::try_from(label).ok().and_then(|label| counts.get_mut(label));
        count.into_iter().for_each(|count| *count += 1);
    }
    let total = counts.iter().sum::<u64>() as f64;
    let weight = |count: u64| if count == 0 { 1.0 } else { 2.0 - count as f64 / total };
    counts.into_iter().map(weight).collect()
}
