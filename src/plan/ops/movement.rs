//! Steps that move values and leave them as they are.

use super::site::{Length, Site, has_element, has_shape, invalid};
use super::unary;
use super::work::Work;
use crate::math::network::spans::{copy_rows, pixel, pixel_mut};
use crate::math::network::view::{View, ViewMut};
use crate::math::pieces::{copy, piece};
use crate::plan::step::Operation;
use crate::plan::tensor::{Element, Tensor};
use crate::status::Result;
use core::ops::Range;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// A number in a map: u8 or f32.
trait Value: 'static + Copy + FromBytes + IntoBytes + KnownLayout + Immutable {
    fn of(value: f32) -> Self;
}

impl Value for u8 {
    fn of(value: f32) -> u8 {
        value as u8
    }
}

impl Value for f32 {
    fn of(value: f32) -> f32 {
        value
    }
}

/// Checks Copy, Pad, Transpose, Slice and Broadcast.
pub fn check(site: &Site<'_>) -> Result<()> {
    let [input] = site.inputs()?;
    let output = site.output();
    has_element(output, input.element)?;
    if !matches!(site.operation, Operation::Copy) {
        site.check_constants(&[])?;
        check_quantization(input, output)?;
    }
    match site.operation {
        Operation::Copy => check_copy(site, input),
        Operation::Pad { top, left, value } => {
            if input.element == Element::U8 && f32::from(value as u8) != value {
                return Err(invalid("value of the padding"));
            }
            let fits = |before: u32, inner: u32, outer: u32| {
                before.checked_add(inner).is_some_and(|end| end <= outer)
            };
            let inside = fits(top, input.height, output.height)
                && fits(left, input.width, output.width)
                && input.channels == output.channels;
            if inside { Ok(()) } else { Err(invalid("shape of a padded tensor")) }
        }
        Operation::Transpose { axes } => check_transpose(axes, input, output),
        Operation::Slice { .. } => check_slice(&site.operation, input, output),
        Operation::Broadcast => {
            let mut sides = input.shape().into_iter().zip(output.shape());
            match sides.find(|(from, to)| from != to && *from != 1) {
                None => Ok(()),
                Some((from, to)) => {
                    Err(invalid("shape of a repeated tensor").numbers(from.into(), to.into()))
                }
            }
        }
        _ => Ok(()),
    }
}

fn check_quantization(input: &Tensor, output: &Tensor) -> Result<()> {
    if input.scale != output.scale || input.zero_point != output.zero_point {
        return Err(invalid("quantisation of a moved tensor"));
    }
    Ok(())
}

fn check_copy(site: &Site<'_>, input: &Tensor) -> Result<()> {
    let output = site.output();
    if input.values() != output.values() {
        return Err(invalid("length of a copy").numbers(output.values(), input.values()));
    }
    let is_reshaped = input.shape() != output.shape();
    let channels_differ = input.channels != output.channels;
    if channels_differ && !(input.is_dense() && output.is_dense()) {
        return Err(invalid("shape of a copy with gaps"));
    }
    if input.element == Element::F32 {
        return site.check_constants(&[]);
    }
    if site.constants.iter().all(|constant| constant.is_empty()) {
        return check_quantization(input, output);
    }
    if is_reshaped {
        return has_shape(output, input.shape());
    }
    site.check_constants(&[Length::Exactly(256)])
}

fn check_transpose(axes: [u8; 3], input: &Tensor, output: &Tensor) -> Result<()> {
    let mut sorted = axes;
    sorted.sort_unstable();
    if sorted != [0, 1, 2] {
        return Err(invalid("axes of a transposition"));
    }
    let shape = input.shape();
    has_shape(output, axes.map(|axis| shape.get(usize::from(axis)).copied().unwrap_or(0)))
}

fn check_slice(operation: &Operation, input: &Tensor, output: &Tensor) -> Result<()> {
    let Operation::Slice { stride_y, stride_x, offset_y, offset_x, offset_c } = *operation else {
        return Ok(());
    };
    let axes = [
        (stride_y, offset_y, input.height, output.height),
        (stride_x, offset_x, input.width, output.width),
        (1, offset_c, input.channels, output.channels),
    ];
    for (stride, offset, from, to) in axes {
        if stride == 0 {
            return Err(invalid("stride of a slice").numbers(0, 1));
        }
        let last = u64::from(to).saturating_sub(1) * u64::from(stride) + u64::from(offset);
        if last >= from.into() {
            return Err(invalid("a slice reaches beyond its input").numbers(last, from.into()));
        }
    }
    Ok(())
}

/// Checks Constant.
pub fn check_constant(site: &Site<'_>) -> Result<()> {
    let [] = site.inputs()?;
    let output = site.output();
    site.check_constants(&[Length::Exactly(output.values().saturating_mul(output.element.bytes()))])
}

/// Makes rows of the output of Constant.
pub fn run_constant(site: &Site<'_>, work: Work<'_>) -> Option<()> {
    match site.output().element {
        Element::U8 => write_constant::<u8>(site, work),
        Element::F32 => write_constant::<f32>(site, work),
    }
}

fn write_constant<T: Value>(site: &Site<'_>, mut work: Work<'_>) -> Option<()> {
    let to = &mut work.output::<T>(site)?;
    for index in work.rows.start * to.width..work.rows.end * to.width {
        let pixel = piece(site.constant::<T>(0), index, to.channels)?;
        copy(pixel_mut(to, index)?, pixel);
    }
    Some(())
}

/// Makes rows of the output.
pub fn run(site: &Site<'_>, work: Work<'_>) -> Option<()> {
    match site.output().element {
        Element::U8 => run_of::<u8>(site, work),
        Element::F32 => run_of::<f32>(site, work),
    }
}

fn run_of<T: Value>(site: &Site<'_>, mut work: Work<'_>) -> Option<()> {
    if matches!(site.operation, Operation::Copy) {
        return run_copy::<T>(site, work);
    }
    let from = &work.input::<T>(site, 0)?;
    let to = &mut work.output::<T>(site)?;
    let rows = work.rows;
    match site.operation {
        Operation::Pad { top, left, value } => {
            let value = T::of(value);
            for_each_pixel(to, rows, |[y, x], to| {
                let row = y.checked_sub(top as usize).filter(|row| *row < from.height);
                let column = x.checked_sub(left as usize).filter(|column| *column < from.width);
                match row.zip(column).and_then(|place| at(from, place.into())) {
                    Some(pixel) => copy(to, pixel),
                    None => to.fill(value),
                }
            });
        }
        Operation::Slice { stride_y, stride_x, offset_y, offset_x, offset_c } => {
            let [offset_y, offset_x, offset_c] = [offset_y, offset_x, offset_c].map(|o| o as usize);
            let strides = [usize::from(stride_y), usize::from(stride_x)];
            for_each_pixel(to, rows, |[y, x], to| {
                let place = [y * strides[0] + offset_y, x * strides[1] + offset_x];
                let pixel = at(from, place).and_then(|pixel| pixel.get(offset_c..));
                copy(to, pixel.unwrap_or_default());
            });
        }
        Operation::Broadcast => for_each_pixel(to, rows, |[y, x], to| {
            let place = [y.min(from.height.saturating_sub(1)), x.min(from.width.saturating_sub(1))];
            match at(from, place).unwrap_or_default() {
                [value] => to.fill(*value),
                pixel => copy(to, pixel),
            }
        }),
        Operation::Transpose { axes } => transpose(from, to, axes, rows),
        _ => return None,
    }
    Some(())
}

fn at<'a, T>(map: &View<'a, T>, [y, x]: [usize; 2]) -> Option<&'a [T]> {
    pixel(map, y.checked_mul(map.width)?.checked_add(x)?)
}

fn for_each_pixel<T>(
    map: &mut ViewMut<'_, T>,
    rows: Range<usize>,
    mut make: impl FnMut([usize; 2], &mut [T]),
) {
    let width = map.width;
    for y in rows {
        for x in 0..width {
            if let Some(pixel) = pixel_mut(map, y * width + x) {
                make([y, x], pixel);
            }
        }
    }
}

/// Rows of a map whose axes are those of another in another order.
fn transpose<T: Copy>(
    from: &View<'_, T>,
    to: &mut ViewMut<'_, T>,
    axes: [u8; 3],
    rows: Range<usize>,
) {
    // Elements from neighbour to neighbour along each axis of the input, then of the output.
    let steps = [from.width * from.pixel_stride, from.pixel_stride, 1];
    let [down, right, deep] = axes.map(|axis| steps.get(usize::from(axis)).copied().unwrap_or(1));
    for_each_pixel(to, rows, |[y, x], to| {
        let start = y * down + x * right;
        let values = from.data.get(start..).unwrap_or_default().iter().step_by(deep.max(1));
        for (to, value) in to.iter_mut().zip(values) {
            *to = *value;
        }
    });
}

/// Copies in the order of the elements. Shapes of other channels are dense: then it is one run.
fn run_copy<T: Value>(site: &Site<'_>, mut work: Work<'_>) -> Option<()> {
    let has_table = site.table(0).is_some();
    if has_table {
        return unary::run_table(site, work);
    }
    if site.is_in_place() {
        return Some(());
    }
    let from = work.input::<T>(site, 0)?;
    let mut to = work.output::<T>(site)?;
    if from.channels == to.channels {
        return copy_rows(&from, &mut to, work.rows);
    }
    let row = to.width * to.channels;
    let values = work.rows.start * row..work.rows.end * row;
    copy(to.data.get_mut(values.clone())?, from.data.get(values)?);
    Some(())
}
