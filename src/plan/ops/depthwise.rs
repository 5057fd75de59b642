//! Depthwise convolutions.

use super::activation::{activation, check_activation};
use super::convolution::check_clamp;
use super::site::{
    Length, Site, check_floats, check_window, has_element, invalid, kernel_window, unsupported,
};
use super::work::Work;
use crate::math::arch::depthwise_plan::depthwise_u8_scratch_len;
use crate::math::network::depthwise_f32::{
    self, Depthwise, depthwise_f32, depthwise_f32_scratch_len,
};
use crate::math::network::depthwise_u8::{DepthwiseU8, packed_depthwise_len};
use crate::math::network::kernels::PORTABLE;
use crate::math::network::kernels_f32;
use crate::math::network::quantization::QuantizedRange;
use crate::plan::reader::Target;
use crate::plan::step::{Activation, Operation, Window};
use crate::plan::tensor::{Element, Tensor};
use crate::status::Result;

/// Checks shapes, constants and working memory.
pub fn check(site: &Site<'_>) -> Result<()> {
    let Operation::Depthwise { window, activation, low, high, .. } = &site.operation else {
        return Ok(());
    };
    let [input] = site.inputs()?;
    let output = site.output();
    check_window(window, input, output)?;
    if input.channels != output.channels {
        let error = invalid("channels of a depthwise convolution");
        return Err(error.numbers(output.channels.into(), input.channels.into()));
    }
    has_element(output, input.element)?;
    if input.element == Element::F32 {
        return check_f32(site, window, activation);
    }
    if *activation != Activation::None {
        return Err(unsupported("activation of a convolution in integers"));
    }
    check_clamp(*low, *high)?;
    let weights = packed_depthwise_len(input.channels as usize, kernel_window(window).kernel);
    let per_channel = Length::Exactly(u64::from(input.channels).saturating_mul(4));
    let weights = Length::Exactly(weights as u64);
    site.check_constants(&[weights, per_channel, per_channel, Length::None, Length::Perhaps(256)])?;
    site.check_scales(2)
}

fn check_f32(site: &Site<'_>, window: &Window, activation: &Activation) -> Result<()> {
    check_floats()?;
    check_activation(activation, true)?;
    let channels = site.output().channels as usize;
    let weights = depthwise_f32::packed_depthwise_len(channels, window.taps()) as u64;
    let per_channel = Length::Exactly((channels as u64).saturating_mul(4));
    let slopes = if *activation == Activation::Prelu { per_channel } else { Length::None };
    let weights = Length::Exactly(weights.saturating_mul(4));
    site.check_constants(&[weights, per_channel, Length::None, Length::None, slopes])?;
    site.check_finite(1)?;
    site.check_finite(4)?;
    site.check_scratch(scratch_f32(window, channels))
}

fn scratch_f32(window: &Window, channels: usize) -> usize {
    let len = depthwise_f32_scratch_len(&kernel_window(window), channels);
    len.saturating_mul(size_of::<f32>())
}

/// Bytes of working memory with which it runs at full speed on the target, whatever processor asks.
pub fn scratch_bytes(
    target: Target,
    operation: &Operation,
    input: &Tensor,
    output: &Tensor,
) -> usize {
    match (operation, input.element) {
        (Operation::Depthwise { .. }, Element::U8) if target != Target::X86_64 => 0,
        (Operation::Depthwise { window, .. }, Element::U8) => depthwise_u8_scratch_len(
            &kernel_window(window),
            input.channels as usize,
            output.width as usize,
        ),
        (Operation::Depthwise { window, .. }, Element::F32) => {
            scratch_f32(window, input.channels as usize)
        }
        _ => 0,
    }
}

/// Makes rows of the output.
pub fn run(site: &Site<'_>, work: Work<'_>) -> Option<()> {
    match site.output().element {
        Element::U8 => run_u8(site, work),
        Element::F32 => run_f32(site, work),
    }
}

fn run_f32(site: &Site<'_>, mut work: Work<'_>) -> Option<()> {
    if !kernels_f32::ARE_BUILT {
        return None;
    }
    let Operation::Depthwise { window, activation: function, .. } = &site.operation else {
        return None;
    };
    let layer = Depthwise {
        window: kernel_window(window),
        weights: site.constant(0),
        bias: site.constant(1),
        activation: activation(function, site.constant(4))?,
    };
    let (input, scratch) = (work.input::<f32>(site, 0)?, work.scratch::<f32>()?);
    let output = &mut work.output::<f32>(site)?;
    let kernels = work.kernels.floats;
    depthwise_f32(kernels, &layer, &input, output, work.rows, scratch).then_some(())
}

fn run_u8(site: &Site<'_>, mut work: Work<'_>) -> Option<()> {
    let Operation::Depthwise { window, low, high, inner_zero_point, .. } = site.operation else {
        return None;
    };
    let [input] = site.inputs().ok()?;
    let table = site.table(4);
    let zero_point = if table.is_some() { inner_zero_point } else { site.output().zero_point };
    let layer = DepthwiseU8 {
        window: kernel_window(&window),
        weights: site.constant(0),
        bias: site.constant(1),
        scale: site.constant(2),
        padding_value: input.zero_point,
        range: QuantizedRange { zero_point, low, high },
        table,
    };
    let (input, scratch) = (work.input::<u8>(site, 0)?, work.scratch::<u8>()?);
    let mut output = work.output::<u8>(site)?;
    let rows = work.rows;
    if (work.kernels.depthwise_u8)(&input, &layer, &mut output, rows.clone(), scratch) {
        return Some(());
    }
    (PORTABLE.depthwise_u8)(&input, &layer, &mut output, rows, scratch).then_some(())
}
