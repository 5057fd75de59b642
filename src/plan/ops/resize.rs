//! Resampling.

use super::site::{Length, Site, check_floats, check_ratio, has_element, has_shape, invalid};
use super::work::{Work, carve, quantization, range};
use crate::math::network::kernels_f32;
use crate::math::network::quantization::Quantization;
use crate::math::network::resample_axis::{Coordinates, Nearest as Near, ResampleAxis, Tap};
use crate::math::network::resize_f32::{self, Resize, resize_f32, resize_f32_scratch_len};
use crate::math::network::resize_u8::{NearestRows, RescaleU8, resize_scratch_len};
use crate::math::network::table_u8::build_table;
use crate::plan::step::{CoordinateMode, Interpolation, Nearest, Operation};
use crate::plan::tensor::{Element, Tensor};
use crate::status::Result;

/// Checks shapes and scales.
pub fn check(site: &Site<'_>) -> Result<()> {
    let Operation::Resize { scale_y, scale_x, .. } = site.operation else { return Ok(()) };
    let [input] = site.inputs()?;
    let output = site.output();
    has_shape(output, [output.height, output.width, input.channels])?;
    if output.element == Element::F32 {
        check_floats()?;
    }
    if input.element == Element::F32 {
        has_element(output, Element::F32)?;
    } else if output.element == Element::U8 {
        check_ratio(input.scale / output.scale)?;
    }
    for scale in [scale_y, scale_x] {
        if !(scale.is_normal() && scale > 0.0) {
            return Err(invalid("scale of a resize"));
        }
    }
    let table = match (input.element, output.element) {
        (Element::U8, Element::U8) => Length::Perhaps(256),
        _ => Length::None,
    };
    site.check_constants(&[table])?;
    site.check_scratch(scratch_bytes(&site.operation, input, output))
}

/// Bytes of working memory: a row of the input in floats, and where each output column lies.
pub fn scratch_bytes(operation: &Operation, input: &Tensor, output: &Tensor) -> usize {
    let Operation::Resize { interpolation, .. } = operation else { return 0 };
    let (width, channels) = (input.width as usize, input.channels as usize);
    let columns = output.width as usize;
    let len = |values: usize| values.saturating_mul(size_of::<f32>());
    match (input.element, interpolation) {
        (Element::F32, _) => len(resize_f32_scratch_len(width, channels)),
        (Element::U8, Interpolation::Bilinear) => {
            let taps = columns.saturating_mul(size_of::<Tap>());
            let row = len(resize_scratch_len(width, channels));
            taps.next_multiple_of(64).saturating_add(row)
        }
        (Element::U8, Interpolation::Nearest(_)) => len(columns),
    }
}

/// Makes rows of the output.
pub fn run(site: &Site<'_>, work: Work<'_>) -> Option<()> {
    let Operation::Resize { interpolation, coordinates, scale_y, scale_x } = site.operation else {
        return None;
    };
    let [input] = site.inputs().ok()?;
    if input.element == Element::F32 {
        return run_f32(site, work, interpolation, coordinates, [scale_y, scale_x]);
    }
    let output = site.output();
    let axis = |scale: f32, input: u32, output: u32| ResampleAxis {
        input: input as usize,
        output: output as usize,
        scale,
        coordinates: match coordinates {
            CoordinateMode::HalfPixel => Coordinates::HalfPixel,
            CoordinateMode::AlignCorners => Coordinates::AlignCorners,
            CoordinateMode::Asymmetric => Coordinates::Asymmetric,
            CoordinateMode::PytorchHalfPixel => Coordinates::PytorchHalfPixel,
        },
    };
    let axes =
        [axis(scale_y, input.height, output.height), axis(scale_x, input.width, output.width)];
    match interpolation {
        Interpolation::Bilinear => run_bilinear(site, work, axes),
        Interpolation::Nearest(nearest) => run_nearest(site, work, axes, nearest),
    }
}

fn run_bilinear(
    site: &Site<'_>,
    mut work: Work<'_>,
    [down, right]: [ResampleAxis; 2],
) -> Option<()> {
    let [from] = site.inputs().ok()?;
    let to = site.output();
    let mut rest = work.scratch::<u8>()?;
    let taps = carve::<Tap>(&mut rest, to.width as usize)?;
    let row =
        carve::<f32>(&mut rest, resize_scratch_len(from.width as usize, from.channels as usize))?;
    right.fill_bilinear(taps);
    let input = work.input::<u8>(site, 0)?;
    let kernels = work.kernels.bytes;
    if to.element == Element::F32 {
        let output = &mut work.output::<f32>(site)?;
        let quantization = quantization(from);
        (kernels.resize_bilinear_f32)(&input, (&down, taps), quantization, output, work.rows, row);
        return Some(());
    }
    let table = site.table(0);
    let grid = if table.is_some() { from } else { to };
    let rescale = RescaleU8 {
        zero_point: from.zero_point,
        ratio: from.scale / grid.scale,
        range: range(grid, u8::MIN, u8::MAX),
    };
    let output = &mut work.output::<u8>(site)?;
    // A row at a time, so that it is still in the cache when it is looked up.
    for start in work.rows {
        let rows = start..start + 1;
        (kernels.resize_bilinear)(&input, (&down, taps), &rescale, output, rows.clone(), row);
        if let Some(table) = table {
            (kernels.table_in_place)(output, table, rows);
        }
    }
    Some(())
}

fn run_nearest(
    site: &Site<'_>,
    mut work: Work<'_>,
    [down, right]: [ResampleAxis; 2],
    nearest: Nearest,
) -> Option<()> {
    let [from] = site.inputs().ok()?;
    let to = site.output();
    let nearest = match nearest {
        Nearest::Floor => Near::Floor,
        Nearest::Ceil => Near::Ceil,
        Nearest::RoundPreferFloor => Near::RoundPreferFloor,
        Nearest::RoundPreferCeil => Near::RoundPreferCeil,
    };
    let mut rest = work.scratch::<u8>()?;
    let columns = carve::<u32>(&mut rest, to.width as usize)?;
    right.fill_nearest(nearest, columns);
    let rows = NearestRows { axis: down, nearest };
    let input = work.input::<u8>(site, 0)?;
    let kernels = work.kernels.bytes;
    let (from, to): (Quantization, Quantization) = (quantization(from), quantization(to));
    if site.output().element == Element::F32 {
        let output = &mut work.output::<f32>(site)?;
        (kernels.resize_nearest_f32)(&input, &rows, columns, from, output, work.rows);
        return Some(());
    }
    let requantized = (from != to).then(|| build_table(|value| value, from, to));
    let table = site.table(0).or(requantized.as_ref());
    let output = &mut work.output::<u8>(site)?;
    (kernels.resize_nearest)(&input, &rows, columns, table, output, work.rows);
    Some(())
}

fn run_f32(
    site: &Site<'_>,
    mut work: Work<'_>,
    interpolation: Interpolation,
    coordinates: CoordinateMode,
    scales: [f32; 2],
) -> Option<()> {
    if !kernels_f32::ARE_BUILT {
        return None;
    }
    let resize = Resize {
        interpolation: match interpolation {
            Interpolation::Bilinear => resize_f32::Interpolation::Linear,
            Interpolation::Nearest(Nearest::Floor) => resize_f32::Interpolation::Floor,
            Interpolation::Nearest(Nearest::Ceil) => resize_f32::Interpolation::Ceil,
            Interpolation::Nearest(Nearest::RoundPreferFloor) => {
                resize_f32::Interpolation::RoundPreferFloor
            }
            Interpolation::Nearest(Nearest::RoundPreferCeil) => {
                resize_f32::Interpolation::RoundPreferCeil
            }
        },
        coordinates: match coordinates {
            CoordinateMode::HalfPixel => resize_f32::Coordinates::HalfPixel,
            CoordinateMode::AlignCorners => resize_f32::Coordinates::AlignCorners,
            CoordinateMode::Asymmetric => resize_f32::Coordinates::Asymmetric,
            CoordinateMode::PytorchHalfPixel => resize_f32::Coordinates::PytorchHalfPixel,
        },
        scales,
    };
    let (input, scratch) = (work.input::<f32>(site, 0)?, work.scratch::<f32>()?);
    let output = &mut work.output::<f32>(site)?;
    resize_f32(work.kernels.floats, &resize, &input, output, work.rows, scratch).then_some(())
}
