//! Operators of two operands.

use super::activation::{activation, check_activation};
use super::convolution::check_clamp;
use super::site::{Length, Site, check_floats, check_ratio, has_element, has_shape, unsupported};
use super::work::{Work, range};
use crate::math::network::elementwise_f32::{
    Binary, Right, binary_f32, binary_in_place_f32, unary_in_place_f32,
};
use crate::math::network::elementwise_u8::{AddU8, MulU8, OperandU8};
use crate::math::network::kernels_f32;
use crate::math::network::spans::copy_rows;
use crate::math::network::view::{View, ViewMut};
use crate::plan::step::{Activation, BinaryOp, Operation};
use crate::plan::tensor::{Element, Tensor};
use crate::status::Result;
use core::ops::Range;

/// How the second operand is repeated over the first.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Repeat {
    Not,
    /// One pixel.
    Pixel,
    /// One channel.
    Plane,
    /// One value.
    Value,
}

/// How a second operand of this shape is repeated, if it can be.
fn repeat_of(shape: [u32; 3], [height, width, channels]: [u32; 3]) -> Option<Repeat> {
    match shape {
        whole if whole == [height, width, channels] => Some(Repeat::Not),
        [1, 1, 1] => Some(Repeat::Value),
        [1, 1, other] if other == channels => Some(Repeat::Pixel),
        plane if plane == [height, width, 1] => Some(Repeat::Plane),
        _ => None,
    }
}

/// Checks shapes and constants.
pub fn check(site: &Site<'_>) -> Result<()> {
    let Operation::Binary { op, activation, low, high, .. } = site.operation else {
        return Ok(());
    };
    let (first, second) = site.one_or_two()?;
    let output = site.output();
    has_shape(first, output.shape())?;
    has_element(output, first.element)?;
    if let Some(second) = second {
        has_element(second, first.element)?;
        if repeat_of(second.shape(), output.shape()).is_none() {
            return has_shape(second, output.shape());
        }
    }
    match (first.element, second) {
        (Element::U8, Some(second)) => {
            if activation != Activation::None {
                return Err(unsupported("activation of an operator in integers"));
            }
            check_clamp(low, high)?;
            site.check_constants(&[])?;
            check_ratios(op, [first, second], output)
        }
        (Element::U8, None) => Err(unsupported("operator of integers and a constant")),
        (Element::F32, second) => {
            check_floats()?;
            check_activation(&activation, false)?;
            if second.is_some() { site.check_constants(&[]) } else { check_constant(site) }
        }
    }
}

/// The constant operand: one number, one per channel, or all.
fn check_constant(site: &Site<'_>) -> Result<()> {
    let output = site.output();
    let bytes = |values: u64| Length::Exactly(values.saturating_mul(4));
    let found = site.constant::<f32>(0).len() as u64;
    let channels = u64::from(output.channels);
    let values = [1, channels].into_iter().find(|&values| found == values);
    site.check_constants(&[bytes(values.unwrap_or(output.values()))])
}

fn check_ratios(op: BinaryOp, [first, second]: [&Tensor; 2], output: &Tensor) -> Result<()> {
    match op {
        BinaryOp::Add | BinaryOp::Subtract => {
            check_ratio(first.scale / output.scale)?;
            check_ratio(second.scale / output.scale)
        }
        BinaryOp::Multiply => check_ratio(first.scale * second.scale / output.scale),
        _ => Err(unsupported("operator in integers")),
    }
}

/// Makes rows of the output.
pub fn run(site: &Site<'_>, work: Work<'_>) -> Option<()> {
    match site.output().element {
        Element::U8 => run_u8(site, work),
        Element::F32 => run_f32(site, work),
    }
}

fn run_u8(site: &Site<'_>, mut work: Work<'_>) -> Option<()> {
    let Operation::Binary { op, swapped, low, high, .. } = site.operation else { return None };
    let [first, second] = site.inputs().ok()?;
    let output = site.output();
    let other = work.input::<u8>(site, 1)?;
    let operand = operand_u8(other, repeat_of(second.shape(), output.shape())?)?;
    let zero_points = [first.zero_point, second.zero_point];
    let range = range(output, low, high);
    let input = if site.is_in_place() { None } else { Some(work.input::<u8>(site, 0)?) };
    let map = &mut work.output::<u8>(site)?;
    let (kernels, rows) = (work.kernels.bytes, work.rows);
    let ratio = first.scale * second.scale / output.scale;
    let product = MulU8 { zero_points, ratio, range };
    let sum = AddU8 { zero_points, ratios: ratios(op, swapped, [first, second], output), range };
    let combine = |map: &mut ViewMut<'_, u8>, rows: Range<usize>| match op {
        BinaryOp::Multiply => (kernels.mul_in_place)(map, &operand, &product, rows),
        _ => (kernels.add_in_place)(map, &operand, &sum, rows),
    };
    let Some(input) = input else {
        combine(map, rows);
        return Some(());
    };
    // Row by row, which is then still in the cache.
    for row in rows {
        copy_rows(&input, map, row..row + 1)?;
        combine(map, row..row + 1);
    }
    Some(())
}

/// Factors of the operands; negative for the one that is subtracted.
fn ratios(op: BinaryOp, swapped: bool, inputs: [&Tensor; 2], output: &Tensor) -> [f32; 2] {
    let [first, second] = inputs.map(|input| input.scale / output.scale);
    match (op, swapped) {
        (BinaryOp::Subtract, false) => [first, -second],
        (BinaryOp::Subtract, true) => [-first, second],
        _ => [first, second],
    }
}

fn operand_u8(map: View<'_, u8>, repeat: Repeat) -> Option<OperandU8<'_>> {
    Some(match repeat {
        Repeat::Not => OperandU8::Map(map),
        Repeat::Pixel => OperandU8::Pixel(map.data.get(..map.channels)?),
        Repeat::Plane => OperandU8::Plane(map),
        Repeat::Value => OperandU8::Value(*map.data.first()?),
    })
}

fn kernel_of(op: BinaryOp, swapped: bool) -> Binary {
    match (op, swapped) {
        (BinaryOp::Add, _) => Binary::Add,
        (BinaryOp::Subtract, false) => Binary::Sub,
        (BinaryOp::Subtract, true) => Binary::SubFrom,
        (BinaryOp::Multiply, _) => Binary::Mul,
        (BinaryOp::Divide, false) => Binary::Div,
        (BinaryOp::Divide, true) => Binary::DivInto,
        (BinaryOp::Minimum, _) => Binary::Min,
        (BinaryOp::Maximum, _) => Binary::Max,
        (BinaryOp::Power, false) => Binary::Pow,
        (BinaryOp::Power, true) => Binary::PowOf,
    }
}

fn run_f32(site: &Site<'_>, mut work: Work<'_>) -> Option<()> {
    if !kernels_f32::ARE_BUILT {
        return None;
    }
    let Operation::Binary { op, swapped, activation: function, .. } = site.operation else {
        return None;
    };
    let right = right_f32(site, &work)?;
    let op = kernel_of(op, swapped);
    let input = if site.is_in_place() { None } else { Some(work.input::<f32>(site, 0)?) };
    let map: &mut ViewMut<'_, f32> = &mut work.output::<f32>(site)?;
    let (kernels, rows) = (work.kernels.floats, work.rows);
    let done = match input {
        Some(input) => binary_f32(kernels, op, &input, &right, map, rows.clone()),
        None => binary_in_place_f32(kernels, op, &right, map, rows.clone()),
    };
    if !done || function == Activation::None {
        return done.then_some(());
    }
    unary_in_place_f32(kernels, activation(&function, &[])?, map, rows).then_some(())
}

/// The second operand: an input or the constant.
fn right_f32<'w>(site: &Site<'w>, work: &Work<'w>) -> Option<Right<'w>> {
    let output = site.output();
    let (_, second) = site.one_or_two().ok()?;
    let Some(second) = second else {
        return Some(match site.constant::<f32>(0) {
            [value] => Right::Scalar(*value),
            values if values.len() == output.channels as usize => Right::PerChannel(values),
            data => {
                let [height, width, channels] = output.shape().map(|side| side as usize);
                Right::Map(View { data, height, width, channels, pixel_stride: channels })
            }
        });
    };
    let map = work.input::<f32>(site, 1)?;
    Some(match repeat_of(second.shape(), output.shape())? {
        Repeat::Not => Right::Map(map),
        Repeat::Pixel => Right::PerChannel(map.data.get(..map.channels)?),
        Repeat::Plane => Right::PerPixel(map),
        Repeat::Value => Right::Scalar(*map.data.first()?),
    })
}
