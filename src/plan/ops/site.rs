//! A step with its tensors: what the checks and the kernels of an operation look at.

use crate::math::network::kernels_f32;
use crate::math::network::window::Window as KernelWindow;
use crate::plan::reader::Plan;
use crate::plan::step::{MAX_CONSTANTS, MAX_INPUTS, Operation, Step, Window};
use crate::plan::tensor::{Element, NO_TENSOR, Tensor, TensorIndex};
use crate::status::{Error, Result, Status};
use core::ops::Range;
use zerocopy::{FromBytes, Immutable};

/// A tensor, and the bytes from its first element in memory to the end of the tail.
#[derive(Clone, Debug)]
pub struct Located {
    pub tensor: Tensor,
    pub start: usize,
    pub end: usize,
    /// The rows in memory.
    held: Range<usize>,
}

impl Located {
    fn of(plan: &Plan<'_>, index: TensorIndex) -> Result<Located> {
        let tensor = plan.tensor(index)?;
        let root = if tensor.parent == NO_TENSOR { tensor } else { plan.tensor(tensor.parent)? };
        let end = root.offset_bytes.saturating_add(root.footprint_bytes());
        let held = 0..tensor.height as usize;
        Ok(Located { tensor, start: tensor.offset_bytes as usize, end: end as usize, held })
    }

    pub fn bytes(&self) -> Range<usize> {
        self.start..self.end
    }

    /// Bytes from row to row.
    pub fn row_bytes(&self) -> usize {
        let elements = u64::from(self.tensor.width).saturating_mul(self.tensor.pixel_stride.into());
        elements.saturating_mul(self.tensor.element.bytes()) as usize
    }

    /// Says that only these rows are in memory, from the tensor's place on.
    pub fn hold(&mut self, rows: Range<usize>) {
        self.held = rows;
    }

    /// Leaves some rows alone, of those in memory; `None` if the first of them is not.
    pub fn keep_rows(&mut self, rows: Range<usize>) -> Option<()> {
        if rows.start > rows.end || rows.end > self.tensor.height as usize {
            return None;
        }
        let skipped = rows.start.checked_sub(self.held.start)?;
        let height = rows.end.min(self.held.end).checked_sub(rows.start)?;
        self.start = self.start.checked_add(skipped.checked_mul(self.row_bytes())?)?;
        self.tensor.height = height as u32;
        self.held = 0..height;
        Some(())
    }

    /// As [`Located::keep_rows`] of a map with `height` rows; one with a single row, which is
    /// repeated, stays as it is.
    pub fn keep_rows_of(&mut self, height: u32, rows: &Range<usize>) -> Option<()> {
        match self.tensor.height {
            found if found == height => self.keep_rows(rows.clone()),
            1 => Some(()),
            _ => None,
        }
    }
}

/// A step, its tensors and its constants.
#[derive(Clone)]
pub struct Site<'p> {
    pub operation: Operation,
    pub inputs: [Option<Located>; MAX_INPUTS],
    pub output: Located,
    pub scratch: Option<Located>,
    pub constants: [&'p [u8]; MAX_CONSTANTS],
}

/// Whether a pixel of an operation's output needs no other pixels of its inputs than its own.
pub fn is_by_pixel(operation: &Operation) -> bool {
    match operation {
        Operation::Convolution { window, .. } => *window == Window::POINT,
        Operation::Binary { .. }
        | Operation::Unary { .. }
        | Operation::ChannelMean
        | Operation::Softmax
        | Operation::LayerNorm { .. }
        | Operation::Quantize
        | Operation::Dequantize => true,
        _ => false,
    }
}

/// How long a constant must be, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Length {
    /// There is none.
    None,
    /// This long.
    Exactly(u64),
    /// This long, or there is none.
    Perhaps(u64),
}

pub fn invalid(what: &'static str) -> Error {
    Status::BundleContent.about(what)
}

pub fn unsupported(what: &'static str) -> Error {
    Status::Unsupported.about(what)
}

impl<'p> Site<'p> {
    /// The tensors of a step, all of which exist. Where every pixel is worked on by itself, a
    /// single row of pixels becomes a column, so that the step can be cut into pieces.
    pub fn of(plan: &Plan<'p>, step: &Step) -> Result<Site<'p>> {
        let located = |index: TensorIndex| match index {
            NO_TENSOR => Ok(None),
            _ => Located::of(plan, index).map(Some),
        };
        let [first, second, third] = step.inputs;
        let mut site = Site {
            operation: step.operation,
            inputs: [located(first)?, located(second)?, located(third)?],
            output: Located::of(plan, step.output)?,
            scratch: located(step.scratch)?,
            constants: step.constants.map(|c| plan.constant(&c).unwrap_or_default()),
        };
        if site.output.tensor.height == 1 && is_by_pixel(&site.operation) {
            let inputs = site.inputs.iter_mut().flatten();
            for Located { tensor, held, .. } in inputs.chain([&mut site.output]) {
                if tensor.height == 1 {
                    core::mem::swap(&mut tensor.height, &mut tensor.width);
                    *held = 0..tensor.height as usize;
                }
            }
        }
        Ok(site)
    }

    /// Whether the step works in the bytes of its first input.
    pub fn is_in_place(&self) -> bool {
        let [first, ..] = &self.inputs;
        first.as_ref().is_some_and(|input| input.start == self.output.start)
    }

    /// The output.
    pub fn output(&self) -> &Tensor {
        &self.output.tensor
    }

    /// All inputs, of which there must be `N`.
    pub fn inputs<const N: usize>(&self) -> Result<[&Tensor; N]> {
        let count = self.inputs.iter().flatten().count();
        let mut found = self.inputs.iter().flatten().map(|input| &input.tensor);
        let inputs: [Option<&Tensor>; N] = core::array::from_fn(|_| found.next());
        let mut all = [self.output(); N];
        for (place, input) in all.iter_mut().zip(inputs) {
            let wrong = invalid("number of inputs").numbers(count as u64, N as u64);
            *place = input.ok_or(wrong)?;
        }
        if count != N {
            return Err(invalid("number of inputs").numbers(count as u64, N as u64));
        }
        Ok(all)
    }

    /// The first input and perhaps a second one.
    pub fn one_or_two(&self) -> Result<(&Tensor, Option<&Tensor>)> {
        let [first, second, third] = &self.inputs;
        match (first, second, third) {
            (Some(first), second, None) => {
                Ok((&first.tensor, second.as_ref().map(|second| &second.tensor)))
            }
            _ => Err(invalid("number of inputs")),
        }
    }

    /// Checks the lengths of the constants from the first on; behind them are none.
    pub fn check_constants(&self, wanted: &[Length]) -> Result<()> {
        let wanted = wanted.iter().copied().chain(core::iter::repeat(Length::None));
        for (constant, wanted) in self.constants.iter().zip(wanted) {
            let found = constant.len() as u64;
            let (valid, want) = match wanted {
                Length::None => (found == 0, 0),
                Length::Exactly(want) => (found == want, want),
                Length::Perhaps(want) => (found == want || found == 0, want),
            };
            if !valid {
                return Err(invalid("length of a constant").numbers(found, want));
            }
        }
        Ok(())
    }

    /// Constant `index` as numbers; empty where there is none.
    pub fn constant<T: FromBytes + Immutable>(&self, index: usize) -> &'p [T] {
        let bytes = self.constants.get(index).copied().unwrap_or_default();
        elements(bytes).unwrap_or_default()
    }

    /// Constant `index` as a table.
    pub fn table(&self, index: usize) -> Option<&'p [u8; 256]> {
        self.constants.get(index)?.first_chunk()
    }

    /// Checks that the numbers of a constant are finite.
    pub fn check_finite(&self, index: usize) -> Result<()> {
        let values: &[f32] = self.constant(index);
        match values.iter().position(|value| !value.is_finite()) {
            None => Ok(()),
            Some(place) => {
                Err(invalid("number in a constant").numbers(place as u64, values.len() as u64))
            }
        }
    }

    /// Checks that the numbers of a constant are scales: positive and finite.
    pub fn check_scales(&self, index: usize) -> Result<()> {
        let values: &[f32] = self.constant(index);
        match values.iter().position(|value| !(value.is_finite() && *value > 0.0)) {
            None => Ok(()),
            Some(place) => Err(invalid("scale").numbers(place as u64, values.len() as u64)),
        }
    }

    /// Checks that the working memory is long enough; where none is needed there may be some.
    pub fn check_scratch(&self, want_bytes: usize) -> Result<()> {
        let found = self.scratch.as_ref().map_or(0, |scratch| scratch.tensor.extent_bytes());
        if found < want_bytes as u64 {
            return Err(invalid("working memory").numbers(found, want_bytes as u64));
        }
        Ok(())
    }
}

/// Checks that this build has layers in floats.
pub fn check_floats() -> Result<()> {
    match kernels_f32::ARE_BUILT {
        true => Ok(()),
        false => Err(unsupported("layer in floats, which this build leaves out")),
    }
}

/// Checks that float kernels, which count elements in 32 bits, can address an input.
pub fn check_addresses(site: &Site<'_>) -> Result<()> {
    for input in site.inputs.iter().flatten() {
        let len = input.bytes().len() as u64 / Element::F32.bytes();
        if len >= u32::MAX.into() {
            return Err(unsupported("length of a tensor").numbers(len, u32::MAX.into()));
        }
    }
    Ok(())
}

/// All of the bytes that make whole elements.
pub fn elements<T: FromBytes + Immutable>(bytes: &[u8]) -> Option<&[T]> {
    let count = bytes.len().checked_div(size_of::<T>())?;
    <[T]>::ref_from_prefix_with_elems(bytes, count).ok().map(|(elements, _)| elements)
}

/// Checks that two tensors have one shape.
pub fn same_shape(one: &Tensor, other: &Tensor) -> Result<()> {
    for (found, want) in one.shape().into_iter().zip(other.shape()) {
        if found != want {
            return Err(invalid("shape of a tensor").numbers(found.into(), want.into()));
        }
    }
    Ok(())
}

/// Checks that a tensor has a shape.
pub fn has_shape(tensor: &Tensor, shape: [u32; 3]) -> Result<()> {
    for (found, want) in tensor.shape().into_iter().zip(shape) {
        if found != want {
            return Err(invalid("shape of a tensor").numbers(found.into(), want.into()));
        }
    }
    Ok(())
}

/// Checks the type of a tensor.
pub fn has_element(tensor: &Tensor, element: Element) -> Result<()> {
    if tensor.element == element {
        return Ok(());
    }
    Err(unsupported("element type for this operation"))
}

/// Checks a window's numbers, and that every window of the output meets the input.
pub fn check_window(window: &Window, input: &Tensor, output: &Tensor) -> Result<()> {
    let rows = [window.kernel_height, window.stride_y, window.dilation_y, window.pad_top];
    let columns = [window.kernel_width, window.stride_x, window.dilation_x, window.pad_left];
    check_axis(rows.map(u64::from), input.height.into(), output.height.into())?;
    check_axis(columns.map(u64::from), input.width.into(), output.width.into())
}

fn check_axis([kernel, stride, dilation, pad]: [u64; 4], input: u64, output: u64) -> Result<()> {
    for number in [kernel, stride, dilation] {
        if number == 0 {
            return Err(invalid("number of a window").numbers(0, 1));
        }
    }
    let span = (kernel - 1) * dilation + 1;
    if pad >= span {
        return Err(invalid("padding of a window").numbers(pad, span));
    }
    let last = (output - 1) * stride;
    if last >= input + pad {
        return Err(invalid("windows beyond the input").numbers(last, input + pad));
    }
    Ok(())
}

/// The window as kernels see it.
pub fn kernel_window(window: &Window) -> KernelWindow {
    let pair = |one: u16, other: u16| [usize::from(one), usize::from(other)];
    KernelWindow {
        kernel: pair(window.kernel_height, window.kernel_width),
        stride: pair(window.stride_y, window.stride_x),
        dilation: pair(window.dilation_y, window.dilation_x),
        padding: pair(window.pad_top, window.pad_left),
    }
}

/// Checks the ratio of two scales, which kernels take up to 1e30.
pub fn check_ratio(ratio: f32) -> Result<()> {
    let valid = ratio.is_finite() && ratio > 0.0 && ratio < 1e30;
    if valid { Ok(()) } else { Err(invalid("ratio of two scales")) }
}
