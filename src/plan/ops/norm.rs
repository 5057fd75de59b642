//! Softmax and layer normalisation over the channels of each pixel.

use super::site::{Length, Site, check_floats, invalid, same_shape};
use super::work::{Work, quantization};
use crate::math::network::kernels::NetworkKernels;
use crate::math::network::kernels_f32;
use crate::math::network::layout_f32::copy_f32;
use crate::math::network::norm_f32::{
    Norm, layer_norm_f32, layer_norm_in_place_f32, softmax_f32, softmax_in_place_f32,
};
use crate::math::network::view::{View, ViewMut};
use crate::plan::step::Operation;
use crate::plan::tensor::{Element, Tensor};
use crate::status::Result;
use core::ops::Range;

/// Checks Softmax and LayerNorm.
pub fn check(site: &Site<'_>) -> Result<()> {
    check_floats()?;
    let [input] = site.inputs()?;
    let output = site.output();
    same_shape(input, output)?;
    if let Operation::LayerNorm { epsilon } = site.operation {
        if epsilon < 0.0 {
            return Err(invalid("epsilon of a normalisation"));
        }
        let per_channel = Length::Exactly(u64::from(input.channels).saturating_mul(4));
        site.check_constants(&[per_channel, per_channel])?;
        site.check_finite(0)?;
        site.check_finite(1)?;
    } else {
        site.check_constants(&[])?;
    }
    site.check_scratch(scratch_bytes(&site.operation, output))
}

/// Bytes of working memory: a pixel in floats, where it is quantised.
pub fn scratch_bytes(operation: &Operation, output: &Tensor) -> usize {
    match (operation, output.element) {
        (Operation::Softmax | Operation::LayerNorm { .. }, Element::U8) => {
            (output.channels as usize).saturating_mul(size_of::<f32>())
        }
        _ => 0,
    }
}

/// What is done to pixels.
enum Function<'a> {
    Softmax,
    Norm(Norm<'a>),
}

impl Function<'_> {
    fn in_place(
        &self,
        kernels: &NetworkKernels,
        map: &mut ViewMut<'_, f32>,
        rows: Range<usize>,
    ) -> Option<()> {
        let kernels = kernels.floats;
        let done = match self {
            Function::Softmax => softmax_in_place_f32(kernels, map, rows),
            Function::Norm(norm) => layer_norm_in_place_f32(kernels, norm, map, rows),
        };
        done.then_some(())
    }

    fn apply(
        &self,
        kernels: &NetworkKernels,
        input: &View<'_, f32>,
        output: &mut ViewMut<'_, f32>,
        rows: Range<usize>,
    ) -> Option<()> {
        let kernels = kernels.floats;
        let done = match self {
            Function::Softmax => softmax_f32(kernels, input, output, rows),
            Function::Norm(norm) => layer_norm_f32(kernels, norm, input, output, rows),
        };
        done.then_some(())
    }
}

/// Makes rows of the output of Softmax or LayerNorm.
pub fn run(site: &Site<'_>, mut work: Work<'_>) -> Option<()> {
    if !kernels_f32::ARE_BUILT {
        return None;
    }
    let function = match site.operation {
        Operation::Softmax => Function::Softmax,
        Operation::LayerNorm { epsilon } => Function::Norm(Norm {
            epsilon,
            scale: site.constant(0),
            bias: site.constant(1),
            centred: true,
        }),
        _ => return None,
    };
    let [from] = site.inputs().ok()?;
    let (kernels, rows) = (work.kernels, work.rows.clone());
    match (from.element, site.output().element) {
        (Element::F32, Element::F32) if site.is_in_place() => {
            function.in_place(kernels, &mut work.output(site)?, rows)
        }
        (Element::F32, Element::F32) => {
            let input = work.input(site, 0)?;
            function.apply(kernels, &input, &mut work.output(site)?, rows)
        }
        (Element::U8, Element::F32) => {
            let input = work.input(site, 0)?;
            let output = &mut work.output(site)?;
            (kernels.bytes.dequantize)(&input, quantization(from), output, rows.clone());
            function.in_place(kernels, output, rows)
        }
        (_, Element::U8) => run_quantized(site, work, &function),
    }
}

/// Pixel by pixel through floats.
fn run_quantized(site: &Site<'_>, mut work: Work<'_>, function: &Function<'_>) -> Option<()> {
    let [from] = site.inputs().ok()?;
    let line = work.scratch::<f32>()?;
    let output = work.output::<u8>(site)?;
    let bytes = if from.element == Element::U8 { Some(work.input::<u8>(site, 0)?) } else { None };
    let floats = if bytes.is_none() { Some(work.input::<f32>(site, 0)?) } else { None };
    let kernels = work.kernels;
    for index in work.rows.start * output.width..work.rows.end * output.width {
        let channels = output.channels;
        let mut pixel = one_pixel_mut(line, channels, index, 0);
        if let Some(input) = &bytes {
            let input = one_pixel(input, index)?;
            (kernels.bytes.dequantize)(&input, quantization(from), &mut pixel, 0..1);
        }
        if let Some(input) = &floats
            && !copy_f32(&one_pixel(input, index)?, &mut pixel, 0..1)
        {
            return None;
        }
        function.in_place(kernels, &mut pixel, 0..1)?;
        let pixel = View { data: &*line, height: 1, width: 1, channels, pixel_stride: channels };
        let mut to = one_pixel_mut(output.data, channels, index, output.pixel_stride);
        (kernels.bytes.quantize)(&pixel, quantization(site.output()), &mut to, 0..1);
    }
    Some(())
}

fn one_pixel<'a, T>(map: &View<'a, T>, index: usize) -> Option<View<'a, T>> {
    let data = map.data.get(index.checked_mul(map.pixel_stride)?..)?;
    Some(View { data, height: 1, width: 1, ..*map })
}

/// Pixel `index` of a map; of a line, if `stride` is 0.
fn one_pixel_mut<T>(
    data: &mut [T],
    channels: usize,
    index: usize,
    stride: usize,
) -> ViewMut<'_, T> {
    let data = data.get_mut(index.saturating_mul(stride)..).unwrap_or_default();
    ViewMut { data, height: 1, width: 1, channels, pixel_stride: channels }
}
