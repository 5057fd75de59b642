//! The truth near borders only: where a mask's shape is decided.

use crate::train::data::{Label, LabelMap};
use crate::train::error::Result;
use core::ops::Range;
use std::vec;
use std::vec::Vec;

/// Labels with every pixel void that is further than `reach` pixels, by rows and by columns, from
/// a border: from a pixel of the picture with another label, void ones too, beside it or below or
/// above it. VOC draws borders as void, and there the pixels of both sides remain. `shown` are the
/// rows and columns of the picture; where it meets padding is no border.
///
/// # Errors
/// [`crate::train::Error::Data`] does not happen for labels of one picture.
pub fn near_borders(labels: &LabelMap, shown: &[Range<u32>; 2], reach: u32) -> Result<LabelMap> {
    let (width, height) = (labels.width() as usize, labels.height() as usize);
    let all: Vec<Label> = labels.iter().collect();
    let border = borders(&all, (width, height), shown);
    let across = widened(&border, (width, 1), (height, width), reach as usize);
    let near = widened(&across, (height, width), (width, 1), reach as usize);
    let kept = all.iter().zip(&near).map(|(label, near)| if *near { *label } else { Label::Void });
    let kept: Vec<Label> = kept.collect();
    Ok(LabelMap::new(labels.width(), labels.height(), labels.classes(), &kept)?)
}

/// Whether each pixel has a neighbour of another label.
fn borders(
    labels: &[Label],
    (width, height): (usize, usize),
    [rows, columns]: &[Range<u32>; 2],
) -> Vec<bool> {
    let mut border = vec![false; labels.len()];
    let end = |range: &Range<u32>, side: usize| (range.end as usize).min(side);
    let (bottom, right) = (end(rows, height), end(columns, width));
    for y in rows.start as usize..bottom {
        for x in columns.start as usize..right {
            let at = y * width + x;
            let beside = (x + 1 < right).then_some(at + 1);
            let below = (y + 1 < bottom).then_some(at + width);
            for other in [beside, below].into_iter().flatten() {
                if labels.get(at) != labels.get(other) {
                    for place in [at, other] {
                        border.iter_mut().skip(place).take(1).for_each(|set| *set = true);
                    }
                }
            }
        }
    }
    border
}

/// Sets what has a set element at most `reach` away in its line. There are `lines` of `len`
/// elements; `step` and `start` are the distances of elements and of lines.
fn widened(
    set: &[bool],
    (len, step): (usize, usize),
    (lines, start): (usize, usize),
    reach: usize,
) -> Vec<bool> {
    let mut wide = vec![false; set.len()];
    for line in 0..lines {
        let place = |at: usize| line * start + at * step;
        for at in (0..len).filter(|at| set.get(place(*at)) == Some(&true)) {
            for near in at.saturating_sub(reach)..(at + reach + 1).min(len) {
                if let Some(set) = wide.get_mut(place(near)) {
                    *set = true;
                }
            }
        }
    }
    wide
}
