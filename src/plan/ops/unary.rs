//! Functions of single values: activations, and changes between integers and floats.

use super::activation::{activation, check_activation, plain};
use super::site::{Length, Site, check_floats, has_element, same_shape, unsupported};
use super::work::{Work, quantization};
use crate::math::network::elementwise_f32::{unary_f32, unary_in_place_f32};
use crate::math::network::kernels_f32;
use crate::math::network::layout_f32::copy_f32;
use crate::math::network::spans::pixel_mut;
use crate::plan::step::{Activation, Operation};
use crate::plan::tensor::Element;
use crate::status::Result;

/// Checks shapes and constants of Unary.
pub fn check(site: &Site<'_>) -> Result<()> {
    let Operation::Unary { activation } = &site.operation else { return Ok(()) };
    let [input] = site.inputs()?;
    same_shape(input, site.output())?;
    has_element(site.output(), input.element)?;
    if input.element == Element::F32 {
        check_floats()?;
        if plain(activation).is_none() {
            check_activation(activation, true)?;
        }
        let slopes = match activation {
            Activation::Prelu => Length::Exactly(u64::from(input.channels).saturating_mul(4)),
            _ => Length::None,
        };
        site.check_constants(&[slopes])?;
        return site.check_finite(0);
    }
    if *activation != Activation::None {
        return Err(unsupported("activation in integers without a table"));
    }
    site.check_constants(&[Length::Exactly(256)])
}

/// Makes rows of the output of Unary.
pub fn run(site: &Site<'_>, work: Work<'_>) -> Option<()> {
    match site.output().element {
        Element::U8 => run_table(site, work),
        Element::F32 => run_f32(site, work),
    }
}

/// Makes rows by looking up.
pub fn run_table(site: &Site<'_>, mut work: Work<'_>) -> Option<()> {
    let table = site.table(0)?;
    let kernels = work.kernels.bytes;
    if site.is_in_place() {
        (kernels.table_in_place)(&mut work.output::<u8>(site)?, table, work.rows);
        return Some(());
    }
    let input = work.input::<u8>(site, 0)?;
    (kernels.table)(&input, table, &mut work.output::<u8>(site)?, work.rows);
    Some(())
}

fn run_f32(site: &Site<'_>, mut work: Work<'_>) -> Option<()> {
    if !kernels_f32::ARE_BUILT {
        return None;
    }
    let Operation::Unary { activation: function } = &site.operation else { return None };
    let input = if site.is_in_place() { None } else { Some(work.input::<f32>(site, 0)?) };
    let map = &mut work.output::<f32>(site)?;
    let (kernels, rows) = (work.kernels.floats, work.rows);
    if let Some(function) = plain(function) {
        if let Some(input) = input
            && !copy_f32(&input, map, rows.clone())
        {
            return None;
        }
        for index in rows.start * map.width..rows.end * map.width {
            for value in pixel_mut(map, index)? {
                *value = function(*value);
            }
        }
        return Some(());
    }
    let activation = activation(function, site.constant(0))?;
    match input {
        Some(input) => unary_f32(kernels, activation, &input, map, rows).then_some(()),
        None => unary_in_place_f32(kernels, activation, map, rows).then_some(()),
    }
}

/// Checks Quantize and Dequantize.
pub fn check_conversion(site: &Site<'_>) -> Result<()> {
    let [input] = site.inputs()?;
    let (from, to) = match site.operation {
        Operation::Quantize => (Element::F32, Element::U8),
        _ => (Element::U8, Element::F32),
    };
    has_element(input, from)?;
    has_element(site.output(), to)?;
    same_shape(input, site.output())?;
    site.check_constants(&[])
}

/// Makes rows of the output of Quantize.
pub fn run_quantize(site: &Site<'_>, mut work: Work<'_>) -> Option<()> {
    let input = work.input::<f32>(site, 0)?;
    let mut output = work.output::<u8>(site)?;
    (work.kernels.bytes.quantize)(&input, quantization(site.output()), &mut output, work.rows);
    Some(())
}

/// Makes rows of the output of Dequantize.
pub fn run_dequantize(site: &Site<'_>, mut work: Work<'_>) -> Option<()> {
    let [from] = site.inputs().ok()?;
    let input = work.input::<u8>(site, 0)?;
    let mut output = work.output::<f32>(site)?;
    (work.kernels.bytes.dequantize)(&input, quantization(from), &mut output, work.rows);
    Some(())
}
