//! Pools and means.

use super::site::{
    Site, check_floats, check_ratio, check_window, has_element, has_shape, invalid, kernel_window,
    unsupported,
};
use super::work::{Work, range};
use crate::math::network::kernels_f32;
use crate::math::network::pool_f32::{Pool, mean_over_pixels_f32, pool_f32};
use crate::math::network::pool_u8::{Counted, MeanU8};
use crate::math::network::spans::{pixel, pixel_mut};
use crate::plan::step::{Operation, Window};
use crate::plan::tensor::{Element, Tensor};
use crate::status::Result;

/// Most values of a mean: sums stay exact.
const MAX_MEAN: u64 = 1 << 23;

/// Checks MaxPool and AveragePool.
pub fn check(site: &Site<'_>) -> Result<()> {
    let (window, is_mean) = match &site.operation {
        Operation::MaxPool { window } => (window, false),
        Operation::AveragePool { window, .. } => (window, true),
        _ => return Ok(()),
    };
    let [input] = site.inputs()?;
    let output = site.output();
    check_window(window, input, output)?;
    check_reach(window, input)?;
    has_shape(output, [output.height, output.width, input.channels])?;
    has_element(output, input.element)?;
    site.check_constants(&[])?;
    if input.element == Element::F32 {
        return check_floats();
    }
    if is_mean {
        return check_mean(window.taps() as u64, input, output);
    }
    if input.scale != output.scale || input.zero_point != output.zero_point {
        return Err(invalid("quantisation of a pool's output"));
    }
    Ok(())
}

/// A pool's window is not much larger than the input: work is bounded.
fn check_reach(window: &Window, input: &Tensor) -> Result<()> {
    let axes = [
        [window.kernel_height, window.dilation_y, window.stride_y, window.pad_top],
        [window.kernel_width, window.dilation_x, window.stride_x, window.pad_left],
    ];
    for ([kernel, dilation, stride, pad], side) in axes.into_iter().zip([input.height, input.width])
    {
        let span = u64::from(kernel).saturating_sub(1) * u64::from(dilation) + 1;
        let (side, pad) = (u64::from(side), u64::from(pad));
        let most = side.saturating_add(2 * pad).saturating_add(stride.into());
        if span > most || pad > side {
            return Err(invalid("window of a pool").numbers(span, most));
        }
    }
    Ok(())
}

fn check_mean(count: u64, input: &Tensor, output: &Tensor) -> Result<()> {
    if count > MAX_MEAN {
        return Err(unsupported("values of a mean").numbers(count, MAX_MEAN));
    }
    check_ratio(input.scale / output.scale)
}

/// Checks GlobalAverage.
pub fn check_global(site: &Site<'_>) -> Result<()> {
    let [input] = site.inputs()?;
    let output = site.output();
    has_shape(output, [1, 1, input.channels])?;
    has_element(output, input.element)?;
    site.check_constants(&[])?;
    match input.element {
        Element::U8 => check_mean(input.pixels(), input, output),
        Element::F32 => {
            check_floats()?;
            site.check_scratch(scratch_bytes(&site.operation, input))
        }
    }
}

/// Bytes of working memory of a mean.
pub fn scratch_bytes(operation: &Operation, input: &Tensor) -> usize {
    match (operation, input.element) {
        (Operation::GlobalAverage, Element::F32) => {
            (input.channels as usize).saturating_mul(size_of::<f32>())
        }
        _ => 0,
    }
}

/// Checks ChannelMean.
pub fn check_channel_mean(site: &Site<'_>) -> Result<()> {
    check_floats()?;
    let [input] = site.inputs()?;
    has_shape(site.output(), [input.height, input.width, 1])?;
    has_element(input, Element::F32)?;
    has_element(site.output(), Element::F32)?;
    site.check_constants(&[])
}

fn mean_of(input: &Tensor, output: &Tensor) -> MeanU8 {
    let ratio = input.scale / output.scale;
    MeanU8 { zero_point: input.zero_point, ratio, range: range(output, u8::MIN, u8::MAX) }
}

/// Makes rows of the output of MaxPool or AveragePool.
pub fn run(site: &Site<'_>, work: Work<'_>) -> Option<()> {
    match (&site.operation, site.output().element) {
        (Operation::MaxPool { window }, Element::U8) => run_max_u8(site, work, window),
        (Operation::MaxPool { window }, _) => run_f32(site, work, Pool::Max, window),
        (Operation::AveragePool { window, count_include_pad }, Element::U8) => {
            run_mean_u8(site, work, window, *count_include_pad)
        }
        (Operation::AveragePool { window, count_include_pad: false }, _) => {
            run_f32(site, work, Pool::Mean, window)
        }
        (Operation::AveragePool { window, count_include_pad: true }, _) => {
            run_f32(site, work, Pool::MeanWithPadding, window)
        }
        _ => None,
    }
}

fn run_f32(site: &Site<'_>, mut work: Work<'_>, pool: Pool, window: &Window) -> Option<()> {
    if !kernels_f32::ARE_BUILT {
        return None;
    }
    let input = work.input::<f32>(site, 0)?;
    let output = &mut work.output::<f32>(site)?;
    let kernels = work.kernels.floats;
    pool_f32(kernels, pool, &kernel_window(window), &input, output, work.rows).then_some(())
}

fn run_max_u8(site: &Site<'_>, mut work: Work<'_>, window: &Window) -> Option<()> {
    let input = work.input::<u8>(site, 0)?;
    let output = &mut work.output::<u8>(site)?;
    (work.kernels.bytes.max_pool)(&input, &kernel_window(window), output, work.rows);
    Some(())
}

fn run_mean_u8(
    site: &Site<'_>,
    mut work: Work<'_>,
    window: &Window,
    with_padding: bool,
) -> Option<()> {
    let [from] = site.inputs().ok()?;
    let mean = mean_of(from, site.output());
    let input = work.input::<u8>(site, 0)?;
    let output = &mut work.output::<u8>(site)?;
    let counted = match with_padding {
        true => Counted::Padded(padding_after(window, from, site.output())),
        false => Counted::Inside,
    };
    let window = &kernel_window(window);
    (work.kernels.bytes.avg_pool)(&input, window, counted, &mean, output, work.rows);
    Some(())
}

/// Padding below and to the right, as far as the last window reaches.
fn padding_after(window: &Window, input: &Tensor, output: &Tensor) -> [usize; 2] {
    let window = kernel_window(window);
    let after = |axis: usize, input: u32, output: u32| {
        let get = |pair: [usize; 2]| pair.get(axis).copied().unwrap_or(1);
        let last = (output as usize).saturating_sub(1).saturating_mul(get(window.stride));
        let span = get(window.kernel).saturating_sub(1).saturating_mul(get(window.dilation));
        let end = last.saturating_add(span).saturating_add(1);
        end.saturating_sub((input as usize).saturating_add(get(window.padding)))
    };
    [after(0, input.height, output.height), after(1, input.width, output.width)]
}

/// Makes the output of GlobalAverage.
pub fn run_global(site: &Site<'_>, mut work: Work<'_>) -> Option<()> {
    let [from] = site.inputs().ok()?;
    if kernels_f32::ARE_BUILT && from.element == Element::F32 {
        let (input, scratch) = (work.input::<f32>(site, 0)?, work.scratch::<f32>()?);
        let output = work.output::<f32>(site)?;
        let kernels = work.kernels.floats;
        return mean_over_pixels_f32(kernels, &input, output.data, scratch).then_some(());
    }
    let mean = mean_of(from, site.output());
    let input = work.input::<u8>(site, 0)?;
    let output = work.output::<u8>(site)?;
    let output = output.data.get_mut(..output.channels)?;
    (work.kernels.bytes.global_avg_pool)(&input, &mean, output);
    Some(())
}

/// Makes rows of the output of ChannelMean.
pub fn run_channel_mean(site: &Site<'_>, mut work: Work<'_>) -> Option<()> {
    let input = work.input::<f32>(site, 0)?;
    let output = &mut work.output::<f32>(site)?;
    let factor = 1.0 / input.channels as f32;
    for index in work.rows.start * output.width..work.rows.end * output.width {
        let sum: f32 = pixel(&input, index)?.iter().sum();
        *pixel_mut(output, index)?.first_mut()? = sum * factor;
    }
    Some(())
}
