//! Pixels of maps as slices.

use super::view::{View, ViewMut};
use crate::math::pieces::copy;
use core::ops::Range;

/// Channels of pixel number `pixel`, counted row by row; `None` outside the data.
#[inline(always)]
pub fn pixel<'a, T>(view: &View<'a, T>, pixel: usize) -> Option<&'a [T]> {
    view.data.get(pixel.checked_mul(view.pixel_stride)?..)?.get(..view.channels)
}

/// As [`pixel`], to be written.
#[inline(always)]
pub fn pixel_mut<'a, T>(view: &'a mut ViewMut<'_, T>, pixel: usize) -> Option<&'a mut [T]> {
    view.data.get_mut(pixel.checked_mul(view.pixel_stride)?..)?.get_mut(..view.channels)
}

/// How some rows of one or two maps of the same size fall into contiguous pieces: all at once
/// where the pixels of each follow one another without gaps, pixel by pixel otherwise.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Spans {
    /// Number of the first pixel.
    pub first: usize,
    /// Number of pieces.
    pub count: usize,
    /// Elements per piece.
    pub len: usize,
}

impl Spans {
    /// Of rows `rows` of maps of this width and these channels with these pixel strides.
    pub fn new(width: usize, channels: usize, strides: &[usize], rows: Range<usize>) -> Spans {
        let first = rows.start.saturating_mul(width);
        let pixels = rows.len().saturating_mul(width);
        if strides.iter().all(|stride| *stride == channels) {
            return Spans { first, count: 1, len: pixels.saturating_mul(channels) };
        }
        Spans { first, count: pixels, len: channels }
    }

    /// Piece `index` of a map with this pixel stride.
    #[inline(always)]
    pub fn get<'a, T>(&self, data: &'a [T], stride: usize, index: usize) -> Option<&'a [T]> {
        data.get((self.first + index).checked_mul(stride)?..)?.get(..self.len)
    }

    /// As `get`, to be written.
    #[inline(always)]
    pub fn get_mut<'a, T>(
        &self,
        data: &'a mut [T],
        stride: usize,
        index: usize,
    ) -> Option<&'a mut [T]> {
        data.get_mut((self.first + index).checked_mul(stride)?..)?.get_mut(..self.len)
    }
}

/// `output = input` on rows `rows` of the output, pixel by pixel in their order; both have the same
/// channels. `None` where one is too short.
pub fn copy_rows<T: Copy>(
    input: &View<'_, T>,
    output: &mut ViewMut<'_, T>,
    rows: Range<usize>,
) -> Option<()> {
    let strides = [input.pixel_stride, output.pixel_stride];
    let spans = Spans::new(output.width, output.channels, &strides, rows);
    for index in 0..spans.count {
        let from = spans.get(input.data, input.pixel_stride, index)?;
        copy(spans.get_mut(output.data, output.pixel_stride, index)?, from);
    }
    Some(())
}

/// Pieces of `len` elements, to be written; the last may have fewer.
#[inline(always)]
pub fn cuts_mut<T>(slice: &mut [T], len: usize) -> impl Iterator<Item = &mut [T]> {
    let mut rest = slice;
    core::iter::from_fn(move || {
        let all = core::mem::take(&mut rest);
        let (piece, others) = all.split_at_mut_checked(all.len().min(len.max(1)))?;
        rest = others;
        (!piece.is_empty()).then_some(piece)
    })
}

/// Every `stride`-th element from the first on.
#[inline(always)]
pub fn every<T>(slice: &[T], stride: usize) -> impl Iterator<Item = &T> {
    let mut rest = slice;
    core::iter::from_fn(move || {
        let first = rest.first()?;
        rest = rest.get(stride.max(1)..).unwrap_or_default();
        Some(first)
    })
}

/// As [`every`], to be written.
#[inline(always)]
pub fn every_mut<T>(slice: &mut [T], stride: usize) -> impl Iterator<Item = &mut T> {
    let mut rest = slice;
    core::iter::from_fn(move || {
        let (first, others) = core::mem::take(&mut rest).split_first_mut()?;
        rest = others.get_mut(stride.saturating_sub(1)..).unwrap_or_default();
        Some(first)
    })
}

/// Whether `data` holds `height * width` pixels of `channels` elements `stride` apart and `more`
/// elements after the last.
pub fn holds<T>(data: &[T], [height, width, channels, stride]: [usize; 4], more: usize) -> bool {
    let Some(pixels) = height.checked_mul(width) else { return false };
    let Some(last) = pixels.checked_sub(1) else { return true };
    let end = last.checked_mul(stride).and_then(|start| start.checked_add(channels));
    channels <= stride
        && end.and_then(|end| end.checked_add(more)).is_some_and(|end| end <= data.len())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::math::network::testing::{Map, Random};
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn copies_leave_gaps_and_other_rows_as_they_are(
            [h, w, c] in [1usize..5, 1usize..6, 1usize..80],
            gaps in [0usize..3, 0usize..3],
            seed: u64,
        ) {
            let mut random = Random(seed);
            let input = Map::new([h, w, c, c + gaps[0]], || random.byte());
            let mut output = Map::new([h, w, c, c + gaps[1]], || 7);
            let mut expected = output.clone();
            copy_rows(&input.view(), &mut output.view_mut(), 0..h - 1).unwrap();
            expected.fill(0..h - 1, |at| input.at(at));
            prop_assert_eq!(output.data, expected.data);
        }
    }
}
