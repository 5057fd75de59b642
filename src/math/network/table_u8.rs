//! Functions of one 8-bit value as tables of their 256 results, and their application to maps.

use super::quantization::Quantization;
use super::spans::Spans;
use super::view::{View, ViewMut};
use core::ops::Range;

/// One result per 8-bit value.
pub type Table = [u8; 256];

/// The result for `value`.
#[inline(always)]
pub fn look_up(table: &Table, value: u8) -> u8 {
    table.get(usize::from(value)).copied().unwrap_or(0)
}

/// The table of `function` between two quantisations: `input` to real, `function`, real to
/// `output`. A table of `|x| x` changes the quantisation.
pub fn build_table(
    function: impl Fn(f32) -> f32,
    input: Quantization,
    output: Quantization,
) -> Table {
    let mut table = [0; 256];
    for (value, place) in (0u8..=255).zip(&mut table) {
        *place = output.quantized(function(input.real(value)));
    }
    table
}

/// `output = table[input]` on rows `rows` of two maps of the same size: the portable reference.
pub fn table_u8(
    input: &View<'_, u8>,
    table: &Table,
    output: &mut ViewMut<'_, u8>,
    rows: Range<usize>,
) {
    let strides = [input.pixel_stride, output.pixel_stride];
    let spans = Spans::new(output.width, output.channels, &strides, rows);
    for index in 0..spans.count {
        let from = spans.get(input.data, input.pixel_stride, index);
        let to = spans.get_mut(output.data, output.pixel_stride, index);
        let Some((from, to)) = from.zip(to) else { return };
        for (to, from) in to.iter_mut().zip(from) {
            *to = look_up(table, *from);
        }
    }
}

/// As [`table_u8`], in place.
pub fn table_in_place_u8(map: &mut ViewMut<'_, u8>, table: &Table, rows: Range<usize>) {
    let spans = Spans::new(map.width, map.channels, &[map.pixel_stride], rows);
    for index in 0..spans.count {
        let Some(values) = spans.get_mut(map.data, map.pixel_stride, index) else { return };
        for value in values {
            *value = look_up(table, *value);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::vec;
    use std::vec::Vec;

    #[test]
    fn tables_hold_the_rounded_function() {
        let input = Quantization { scale: 0.1, zero_point: 128 };
        let output = Quantization { scale: 0.05, zero_point: 10 };
        let table = build_table(|x| x.max(0.0), input, output);
        // 1.0 is ten steps of the input and twenty of the output.
        assert_eq!([table[0], table[128], table[138], table[255]], [10, 10, 30, 255]);
        let output = Quantization { scale: 1.0 / 256.0, zero_point: 0 };
        let sigmoid = build_table(|x| 1.0 / (1.0 + libm::expf(-x)), input, output);
        assert_eq!([sigmoid[128], sigmoid[0], sigmoid[255]], [128, 0, 255]);
    }

    proptest! {
        #[test]
        fn looks_up_every_value(
            [height, width, channels] in [1usize..5, 1usize..6, 1usize..40],
            gaps in [0usize..3, 0usize..3],
            seed: u64,
        ) {
            let mut random = crate::math::network::testing::Random(seed);
            let strides = gaps.map(|gap| channels + gap);
            let input = random.bytes(height * width * strides[0]);
            let table: Table = core::array::from_fn(|_| random.byte());
            let mut output = vec![3u8; height * width * strides[1]];
            let expected: Vec<u8> = (0..output.len())
                .map(|at| match (at / strides[1], at % strides[1]) {
                    (pixel, c) if c < channels && pixel >= width =>
                        table[usize::from(input[pixel * strides[0] + c])],
                    _ => 3,
                })
                .collect();
            let from = View { data: &input, height, width, channels, pixel_stride: strides[0] };
            let mut to =
                ViewMut { data: &mut output, height, width, channels, pixel_stride: strides[1] };
            table_u8(&from, &table, &mut to, 1..height);
            prop_assert_eq!(&output, &expected);
            let mut copy = input.clone();
            let mut map =
                ViewMut { data: &mut copy, height, width, channels, pixel_stride: strides[0] };
            table_in_place_u8(&mut map, &table, 0..height);
            for (at, (new, old)) in copy.iter().zip(&input).enumerate() {
                let inside = at % strides[0] < channels;
                prop_assert_eq!(*new, if inside { table[usize::from(*old)] } else { *old });
            }
        }
    }
}
