//! Convolutions, in integers and in floats.

use super::activation::{activation, check_activation};
use super::site::{
    Length, Site, check_addresses, check_floats, check_ratio, check_window, has_element, invalid,
    kernel_window, same_shape, unsupported,
};
use super::work::Work;
use crate::math::network::activation_f32::{Epilogue, Residual as ResidualF32};
use crate::math::network::conv_f32::{Conv, conv_f32, conv_f32_scratch_len, packed_conv_len};
use crate::math::network::conv_shape::{ConvShape, MAX_SIDE, packed_conv_i8_len, tap_sums_len};
use crate::math::network::conv_u8::{
    ConvOut, ConvU8, conv_u8, conv_u8_pixels, conv_u8_scratch_len,
};
use crate::math::network::gemm_f32::Weights;
use crate::math::network::gemm_out::{Places, Requantize, Residual};
use crate::math::network::gemm_u8::{BLOCK_COLUMNS, TILE_DEPTH};
use crate::math::network::kernels_f32;
use crate::plan::step::{Activation, Operation, Window};
use crate::plan::tensor::{Element, Tensor};
use crate::status::Result;

/// The fields of [`Operation::Convolution`].
#[derive(Clone, Copy)]
struct Fields {
    window: Window,
    groups: u32,
    weights_f16: bool,
    activation: Activation,
    low: u8,
    high: u8,
    inner_scale: f32,
    inner_zero_point: u8,
    residual_after_activation: bool,
    depth_align: u8,
}

impl Fields {
    fn of(operation: &Operation) -> Option<Fields> {
        let Operation::Convolution {
            window,
            groups,
            weights_f16,
            activation,
            low,
            high,
            inner_scale,
            inner_zero_point,
            residual_after_activation,
            depth_align,
        } = *operation
        else {
            return None;
        };
        Some(Fields {
            window,
            groups,
            weights_f16,
            activation,
            low,
            high,
            inner_scale,
            inner_zero_point,
            residual_after_activation,
            depth_align,
        })
    }

    /// The shape of the integer convolution.
    fn shape(&self, input: &Tensor, output: &Tensor) -> ConvShape {
        let window = kernel_window(&self.window);
        let of_group = |channels: u32| channels.checked_div(self.groups).unwrap_or(0) as usize;
        ConvShape {
            kernel: window.kernel,
            stride: window.stride,
            dilation: window.dilation,
            padding: window.padding,
            groups: self.groups as usize,
            channels: of_group(input.channels),
            columns: of_group(output.channels),
        }
    }
}

/// Checks shapes, constants and working memory.
pub fn check(site: &Site<'_>) -> Result<()> {
    let Some(fields) = Fields::of(&site.operation) else { return Ok(()) };
    let (input, residual) = site.one_or_two()?;
    let output = site.output();
    check_window(&fields.window, input, output)?;
    let divides = |channels: u32| channels.checked_rem(fields.groups) == Some(0);
    if !divides(input.channels) || !divides(output.channels) {
        return Err(invalid("groups").numbers(fields.groups.into(), input.channels.into()));
    }
    if let Some(residual) = residual {
        same_shape(residual, output)?;
        has_element(residual, input.element)?;
        has_element(output, input.element)?;
    }
    match input.element {
        Element::U8 => check_u8(site, &fields, input, residual),
        Element::F32 => check_f32(site, &fields, input),
    }
}

fn check_u8(
    site: &Site<'_>,
    fields: &Fields,
    input: &Tensor,
    residual: Option<&Tensor>,
) -> Result<()> {
    let output = site.output();
    if fields.activation != Activation::None || fields.weights_f16 {
        return Err(unsupported("activation of a convolution in integers"));
    }
    let step = usize::from(fields.depth_align);
    if step != 4 && step != TILE_DEPTH {
        return Err(invalid("depth step of packed weights").numbers(step as u64, 4));
    }
    check_clamp(fields.low, fields.high)?;
    let shape = fields.shape(input, output);
    let sides = [input, output].map(|map| map.height.max(map.width).max(map.pixel_stride));
    if !shape.is_valid() || sides.iter().any(|side| *side as usize > MAX_SIDE) {
        return Err(unsupported("sides of a convolution"));
    }
    if shape.is_direct() && output.width != input.width {
        let error = invalid("columns of a convolution of single pixels");
        return Err(error.numbers(output.width.into(), input.width.into()));
    }
    let columns = shape.columns.next_multiple_of(BLOCK_COLUMNS).saturating_mul(shape.groups);
    let per_column = Length::Exactly((columns as u64).saturating_mul(4));
    let last = match output.element {
        Element::U8 => Length::Perhaps(256),
        Element::F32 => per_column,
    };
    site.check_constants(&[
        Length::Exactly(packed_conv_i8_len(&shape, step) as u64),
        per_column,
        per_column,
        Length::Perhaps((tap_sums_len(&shape, step) as u64).saturating_mul(4)),
        last,
    ])?;
    site.check_scales(2)?;
    if output.element == Element::F32 {
        site.check_finite(1)?;
    }
    if let Some(residual) = residual {
        check_ratio(fields.inner_scale / output.scale)?;
        check_ratio(residual.scale / output.scale)?;
    }
    site.check_scratch(conv_u8_scratch_len(&shape, step, 1))
}

fn check_f32(site: &Site<'_>, fields: &Fields, input: &Tensor) -> Result<()> {
    check_floats()?;
    let output = site.output();
    has_element(output, Element::F32)?;
    check_addresses(site)?;
    check_activation(&fields.activation, true)?;
    let taps = fields.window.taps();
    let groups = fields.groups as usize;
    let channels = (input.channels as usize).checked_div(groups).unwrap_or(0);
    let weights = packed_conv_len(output.channels as usize, channels, taps, groups) as u64;
    let bytes = if fields.weights_f16 { 2 } else { 4 };
    let per_channel = u64::from(output.channels).saturating_mul(4);
    let slopes = match fields.activation {
        Activation::Prelu => Length::Exactly(per_channel),
        _ => Length::None,
    };
    site.check_constants(&[
        Length::Exactly(weights.saturating_mul(bytes)),
        Length::Exactly(per_channel),
        Length::None,
        Length::None,
        slopes,
    ])?;
    site.check_finite(1)?;
    site.check_finite(4)?;
    let len = conv_f32_scratch_len(&kernel_window(&fields.window), channels, output.width as usize);
    site.check_scratch(len.saturating_mul(size_of::<f32>()))
}

/// Checks that some values are left.
pub fn check_clamp(low: u8, high: u8) -> Result<()> {
    if low > high {
        return Err(invalid("bounds of the result").numbers(low.into(), high.into()));
    }
    Ok(())
}

/// Bytes of working memory with which it runs at full speed: an integer convolution gathers about
/// `gather_bytes` of input at a time.
pub fn scratch_bytes(
    operation: &Operation,
    input: &Tensor,
    output: &Tensor,
    gather_bytes: usize,
) -> usize {
    let Some(fields) = Fields::of(operation) else { return 0 };
    let shape = fields.shape(input, output);
    match input.element {
        Element::U8 => {
            let step = fields.depth_align.into();
            let pixels = usize::try_from(output.pixels()).unwrap_or(usize::MAX);
            let pixels = pixels.min(conv_u8_pixels(&shape, step, gather_bytes));
            conv_u8_scratch_len(&shape, step, pixels)
        }
        Element::F32 => {
            let window = kernel_window(&fields.window);
            let len = conv_f32_scratch_len(&window, shape.channels, output.width as usize);
            len.saturating_mul(size_of::<f32>())
        }
    }
}

/// Makes rows of the output.
pub fn run(site: &Site<'_>, work: Work<'_>) -> Option<()> {
    let fields = Fields::of(&site.operation)?;
    let (input, _) = site.one_or_two().ok()?;
    match (input.element, site.output().element) {
        (Element::U8, Element::U8) => run_u8(site, &fields, work),
        (Element::U8, Element::F32) => run_u8_f32(site, &fields, work),
        (Element::F32, Element::F32) => run_f32(site, &fields, work),
        (Element::F32, Element::U8) => None,
    }
}

/// The convolution's numbers; its integer biases are constant `bias`.
fn conv_of<'p>(site: &Site<'p>, fields: &Fields, bias: usize) -> Option<ConvU8<'p>> {
    let (input, _) = site.one_or_two().ok()?;
    Some(ConvU8 {
        shape: fields.shape(input, site.output()),
        weights: site.constant(0),
        depth_step: fields.depth_align.into(),
        bias: site.constant(bias),
        tap_sums: site.constant(3),
        input_zero_point: input.zero_point,
    })
}

fn run_u8(site: &Site<'_>, fields: &Fields, mut work: Work<'_>) -> Option<()> {
    let (_, residual) = site.one_or_two().ok()?;
    let output = site.output();
    let conv = conv_of(site, fields, 1)?;
    let table = site.table(4);
    let mut requantize = Requantize {
        scale: site.constant(2),
        zero_point: if table.is_some() { fields.inner_zero_point } else { output.zero_point },
        low: fields.low,
        high: fields.high,
        table,
    };
    let mut added = None;
    if let Some(residual) = residual {
        let map = work.input::<u8>(site, 1)?;
        requantize.zero_point = fields.inner_zero_point;
        requantize.low = u8::MIN;
        requantize.high = u8::MAX;
        added = Some(Residual {
            data: map.data,
            places: Places::uniform(map.pixel_stride),
            zero_point_q: fields.inner_zero_point,
            ratio_q: fields.inner_scale / output.scale,
            zero_point_r: residual.zero_point,
            ratio_r: residual.scale / output.scale,
            zero_point: output.zero_point,
            low: fields.low,
            high: fields.high,
        });
    }
    let (input, scratch) = (work.input::<u8>(site, 0)?, work.scratch::<u8>()?);
    let mut out = ConvOut::U8 { map: work.output::<u8>(site)?, requantize, residual: added };
    conv_u8(&conv, work.kernels.gemm_u8, input, &mut out, work.rows, scratch).then_some(())
}

fn run_u8_f32(site: &Site<'_>, fields: &Fields, mut work: Work<'_>) -> Option<()> {
    let conv = conv_of(site, fields, 4)?;
    let (input, scratch) = (work.input::<u8>(site, 0)?, work.scratch::<u8>()?);
    let map = work.output::<f32>(site)?;
    let mut out = ConvOut::F32 { map, scale: site.constant(2), bias: site.constant(1) };
    conv_u8(&conv, work.kernels.gemm_u8, input, &mut out, work.rows, scratch).then_some(())
}

fn run_f32(site: &Site<'_>, fields: &Fields, mut work: Work<'_>) -> Option<()> {
    if !kernels_f32::ARE_BUILT {
        return None;
    }
    let mut residual = None;
    if let (_, Some(_)) = site.one_or_two().ok()? {
        let map = work.input::<f32>(site, 1)?;
        residual = Some(ResidualF32 {
            data: map.data,
            stride: map.pixel_stride,
            after_activation: fields.residual_after_activation,
        });
    }
    let weights = match fields.weights_f16 {
        true => Weights::F16(site.constant(0)),
        false => Weights::F32(site.constant(0)),
    };
    let activation = activation(&fields.activation, site.constant(4))?;
    let conv = Conv {
        window: kernel_window(&fields.window),
        groups: fields.groups as usize,
        weights,
        epilogue: Epilogue { scale: 1.0, bias: site.constant(1), residual, activation },
    };
    let (input, scratch) = (work.input::<f32>(site, 0)?, work.scratch::<f32>()?);
    let mut output = work.output::<f32>(site)?;
    let kernel = &work.kernels.floats.tile;
    conv_f32(kernel, &conv, &input, &mut output, work.rows, scratch).then_some(())
}
