//! Labels in the network's frame.

use crate::image::Geometry;
use crate::map::Layout;
use crate::math::resample::Placement;
use crate::spec::{Fit, Input, InputType};
use crate::train::data::{Label, LabelMap, Nearest};
use crate::train::error::{Error, Result};
use core::ops::Range;
use std::format;
use std::vec;
use std::vec::Vec;

/// Labels of a picture where the preprocessing puts its pixels, in a frame of `[rows, columns]`:
/// the nearest pixel under each centre (Pillow's rule); padding is void.
///
/// # Errors
/// [`Error::Compute`] for labels so long and thin that no frame shows them; [`Error::Config`] for a
/// frame of impossible sides.
pub fn labels_in_frame(labels: &LabelMap, fit: Fit, frame: [usize; 2]) -> Result<LabelMap> {
    let place = placed(labels, fit, frame)?;
    let (columns, rows) = (sources(&place.x), sources(&place.y));
    let mut framed = Vec::with_capacity(columns.len() * rows.len());
    for row in rows {
        let label =
            |column: &Option<u32>| Some((*column, row?)).and_then(|(x, y)| labels.get(x?, y));
        framed.extend(columns.iter().map(label).map(|label| label.unwrap_or(Label::Void)));
    }
    Ok(LabelMap::new(place.x.input(), place.y.input(), labels.classes(), &framed)?)
}

/// Rows and columns of the frame that show pixels of a picture with these labels.
///
/// # Errors
/// As [`labels_in_frame`].
pub(super) fn shown_in_frame(
    labels: &LabelMap,
    fit: Fit,
    frame: [usize; 2],
) -> Result<[Range<u32>; 2]> {
    let place = placed(labels, fit, frame)?;
    Ok([place.y.filled(), place.x.filled()])
}

fn placed(labels: &LabelMap, fit: Fit, frame: [usize; 2]) -> Result<Geometry> {
    let side = |side: usize| {
        u32::try_from(side).map_err(|_| Error::config(format!("a frame with a side of {side}")))
    };
    let (height, width) = (side(frame[0])?, side(frame[1])?);
    let input = Input { width, height, layout: Layout::Chw, element: InputType::F32 };
    Ok(Geometry::new(fit, labels.width(), labels.height(), &input)?)
}

/// The pixel that each pixel of the input shows; `None` for padding.
fn sources(place: &Placement) -> Vec<Option<u32>> {
    let mut sources = vec![None; place.input() as usize];
    let content = Nearest::Pillow.sources(place.frame(), place.content());
    let shown = content.iter().skip(place.shown().start as usize);
    let filled = sources.iter_mut().skip(place.filled().start as usize);
    filled.zip(shown).for_each(|(slot, source)| *slot = Some(*source));
    sources
}
