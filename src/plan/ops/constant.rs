//! Values that are known when the plan is made.

use super::site::{Length, Site};
use super::work::Work;
use crate::math::pieces::copy;
use crate::plan::tensor::Element;
use crate::status::Result;

/// Checks that the constant has all values of the output.
pub fn check(site: &Site<'_>) -> Result<()> {
    let [] = site.inputs()?;
    let output = site.output();
    let bytes = output.values().saturating_mul(output.element.bytes());
    site.check_constants(&[Length::Exactly(bytes)])
}

/// Writes rows of the output.
pub fn run(site: &Site<'_>, mut work: Work<'_>) -> Option<()> {
    match site.output().element {
        Element::U8 => write(site.constant::<u8>(0), work.output(site)?, work.rows),
        Element::F32 => write(site.constant::<f32>(0), work.output(site)?, work.rows),
    }
}

fn write<T: Copy>(
    values: &[T],
    output: crate::math::network::view::ViewMut<'_, T>,
    rows: core::ops::Range<usize>,
) -> Option<()> {
    let (channels, stride) = (output.channels, output.pixel_stride);
    for pixel in rows.start.checked_mul(output.width)?..rows.end.checked_mul(output.width)? {
        let from = values.get(pixel.checked_mul(channels)?..)?.get(..channels)?;
        copy(output.data.get_mut(pixel.checked_mul(stride)?..)?, from);
    }
    Some(())
}
