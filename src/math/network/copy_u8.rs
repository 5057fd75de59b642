//! Copies between 8-bit maps: into the slices of a concatenation, and into a padded map.

use super::spans::{self, Spans};
use super::view::{View, ViewMut};
use crate::math::pieces::copy;
use core::ops::Range;

/// `output = input` on rows `rows` of two maps of the same size. `table_u8` copies with a change of
/// quantisation.
pub fn copy_u8(input: &View<'_, u8>, output: &mut ViewMut<'_, u8>, rows: Range<usize>) {
    let strides = [input.pixel_stride, output.pixel_stride];
    let spans = Spans::new(output.width, output.channels, &strides, rows);
    for index in 0..spans.count {
        let from = spans.get(input.data, input.pixel_stride, index);
        let to = spans.get_mut(output.data, output.pixel_stride, index);
        let Some((from, to)) = from.zip(to) else { return };
        copy(to, from);
    }
}

/// Rows `rows` of the output: the input `before[0]` rows down and `before[1]` columns right, `value`
/// elsewhere. The output's size says how much follows the input.
pub fn pad_u8(
    input: &View<'_, u8>,
    before: [usize; 2],
    value: u8,
    output: &mut ViewMut<'_, u8>,
    rows: Range<usize>,
) {
    for y in rows {
        let row = y.checked_sub(before[0]).filter(|row| *row < input.height);
        for x in 0..output.width {
            let Some(to) = spans::pixel_mut(output, y * output.width + x) else { return };
            let column = x.checked_sub(before[1]).filter(|column| *column < input.width);
            let from = row
                .zip(column)
                .and_then(|(row, column)| spans::pixel(input, row * input.width + column));
            match from {
                Some(from) => copy(to, from),
                None => to.fill(value),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::math::network::testing::{Map, Random};
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn copies_and_pads(
            [h, w, c] in [1usize..5, 1usize..6, 1usize..80],
            gaps in [0usize..3, 0usize..3],
            before in [0usize..3, 0usize..3],
            after in [0usize..3, 0usize..3],
            seed: u64,
        ) {
            let mut random = Random(seed);
            let input = Map::new([h, w, c, c + gaps[0]], || random.byte());
            let mut output = Map::new([h, w, c, c + gaps[1]], || 7);
            let mut expected = output.clone();
            copy_u8(&input.view(), &mut output.view_mut(), 0..h - 1);
            expected.fill(0..h - 1, |at| input.at(at));
            prop_assert_eq!(output.data, expected.data);

            let shape = [h + before[0] + after[0], w + before[1] + after[1], c, c + gaps[1]];
            let mut output = Map::new(shape, || 7);
            let mut expected = output.clone();
            pad_u8(&input.view(), before, 9, &mut output.view_mut(), 1..shape[0]);
            expected.fill(1..shape[0], |[y, x, c]| {
                let inside = (before[0]..before[0] + h).contains(&y)
                    && (before[1]..before[1] + w).contains(&x);
                if inside { input.at([y - before[0], x - before[1], c]) } else { 9 }
            });
            prop_assert_eq!(output.data, expected.data);
        }
    }
}
