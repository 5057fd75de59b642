//! A step at work: its maps in the arena, and the rows to be made.

use super::site::{Site, elements};
use crate::arena::ALIGN_BYTES;
use crate::math::network::kernels::NetworkKernels;
use crate::math::network::quantization::{Quantization, QuantizedRange};
use crate::math::network::view::{View, ViewMut};
use crate::plan::regions::Regions;
use crate::plan::tensor::Tensor;
use core::ops::Range;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// Memory, kernels and rows of a step.
pub struct Work<'w> {
    pub kernels: &'w NetworkKernels,
    /// Rows of the output, or what else the step is made of.
    pub rows: Range<usize>,
    regions: Regions<'w>,
}

impl<'w> Work<'w> {
    /// `None` where the arena is too short or the step's bytes overlap.
    pub fn new(
        site: &Site<'_>,
        arena: &'w mut [u8],
        kernels: &'w NetworkKernels,
        rows: Range<usize>,
    ) -> Option<Work<'w>> {
        let scratch = site.scratch.as_ref().map_or(0..0, |scratch| scratch.bytes());
        let regions = Regions::split(arena, site.output.bytes(), scratch)?;
        Some(Work::of(regions, kernels, rows))
    }

    /// With memory that was split already.
    pub fn of(regions: Regions<'w>, kernels: &'w NetworkKernels, rows: Range<usize>) -> Work<'w> {
        Work { kernels, rows, regions }
    }

    /// Input `index` of the step.
    pub fn input<T: FromBytes + Immutable>(
        &self,
        site: &Site<'_>,
        index: usize,
    ) -> Option<View<'w, T>> {
        let input = site.inputs.get(index)?.as_ref()?;
        let (tensor, data) = (&input.tensor, elements(self.regions.input(input.bytes())?)?);
        Some(View {
            data,
            height: tensor.height as usize,
            width: tensor.width as usize,
            channels: tensor.channels as usize,
            pixel_stride: tensor.pixel_stride as usize,
        })
    }

    /// The output; only once.
    pub fn output<T>(&mut self, site: &Site<'_>) -> Option<ViewMut<'w, T>>
    where
        T: FromBytes + IntoBytes + KnownLayout + Immutable,
    {
        let tensor = site.output();
        Some(ViewMut {
            data: elements_mut(core::mem::take(&mut self.regions.output))?,
            height: tensor.height as usize,
            width: tensor.width as usize,
            channels: tensor.channels as usize,
            pixel_stride: tensor.pixel_stride as usize,
        })
    }

    /// The working memory; only once.
    pub fn scratch<T>(&mut self) -> Option<&'w mut [T]>
    where
        T: FromBytes + IntoBytes + KnownLayout + Immutable,
    {
        elements_mut(core::mem::take(&mut self.regions.scratch))
    }
}

fn elements_mut<T>(bytes: &mut [u8]) -> Option<&mut [T]>
where
    T: FromBytes + IntoBytes + KnownLayout + Immutable,
{
    let count = bytes.len().checked_div(size_of::<T>())?;
    <[T]>::mut_from_prefix_with_elems(bytes, count).ok().map(|(elements, _)| elements)
}

/// Scale and zero point of a U8 tensor.
pub fn quantization(tensor: &Tensor) -> Quantization {
    Quantization { scale: tensor.scale, zero_point: tensor.zero_point }
}

/// What values of a U8 tensor may be.
pub fn range(tensor: &Tensor, low: u8, high: u8) -> QuantizedRange {
    QuantizedRange { zero_point: tensor.zero_point, low, high }
}

/// Takes `len` elements from the front of working memory that starts at a multiple of 64 bytes;
/// what is left does too.
pub fn carve<'w, T>(rest: &mut &'w mut [u8], len: usize) -> Option<&'w mut [T]>
where
    T: FromBytes + IntoBytes + KnownLayout + Immutable,
{
    let bytes = len.checked_mul(size_of::<T>())?;
    let taken = bytes.checked_next_multiple_of(ALIGN_BYTES)?.min(rest.len());
    let (front, back) = core::mem::take(rest).split_at_mut_checked(taken)?;
    *rest = back;
    elements_mut::<T>(front.get_mut(..bytes)?)
}
