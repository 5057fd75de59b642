//! One label per cell from the masks of a picture (methods.md 7.4).

use super::settings::Overlap;
use std::vec;
use std::vec::Vec;

/// A mask with its class.
#[derive(Clone, Copy, Debug)]
pub struct Found<'m> {
    /// Whether each cell belongs to it.
    pub mask: &'m [bool],
    /// Number of its cluster, from 0.
    pub cluster: usize,
    /// 0 to 1.
    pub score: f32,
}

/// Labels of cells: 0 for the background, else 1 more than the cluster. Masks with a score below
/// `least_score` are left out; if all are below, the best one stays. `width` is the number of
/// columns.
pub fn merge(found: &[Found<'_>], width: usize, least_score: f32, overlap: Overlap) -> Vec<i32> {
    let mut sorted: Vec<&Found<'_>> = found.iter().collect();
    sorted.sort_by(|a, b| b.score.total_cmp(&a.score));
    let sure = sorted.iter().filter(|found| found.score >= least_score).count();
    sorted.truncate(sure.max(1));
    let cells = found.iter().map(|found| found.mask.len()).max().unwrap_or(0);
    let mut canvas = vec![0; cells];
    if overlap == Overlap::PaintLowFirst {
        sorted.reverse();
    }
    for found in sorted {
        let skipped = match overlap {
            Overlap::PaintLowFirst => false,
            Overlap::SkipIfOverlap => {
                canvas.iter().zip(found.mask).any(|(label, inside)| *label != 0 && *inside)
            }
            Overlap::Repro => rows_hold_paint(&canvas, found.mask, width),
        };
        if skipped {
            continue;
        }
        let label = i32::try_from(found.cluster).unwrap_or(i32::MAX - 1) + 1;
        let inside = canvas.iter_mut().zip(found.mask).filter(|(_, inside)| **inside);
        inside.for_each(|(place, _)| *place = label);
    }
    canvas
}

/// The published test for overlaps: a mask of bytes, 0 and 1, as an index takes rows 0 and 1 of
/// the canvas, not the cells of the mask.
fn rows_hold_paint(canvas: &[i32], mask: &[bool], width: usize) -> bool {
    let painted = |row: usize| canvas.iter().skip(row * width).take(width).any(|label| *label != 0);
    (mask.contains(&false) && painted(0)) || (mask.contains(&true) && painted(1))
}
