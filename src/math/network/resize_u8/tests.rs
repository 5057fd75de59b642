use super::*;
use crate::math::network::resample_axis::{Coordinates, Nearest};
use crate::math::network::testing::{Map, Random};
use proptest::prelude::*;
use std::vec;
use std::vec::Vec;

/// A random resize.
#[derive(Clone, Debug)]
pub(crate) struct Case {
    pub(crate) input: Map<u8>,
    /// Height, width, channels, pixel stride.
    pub(crate) output: [usize; 4],
    pub(crate) axes: [ResampleAxis; 2],
    pub(crate) nearest: Nearest,
    pub(crate) rescale: RescaleU8,
    pub(crate) scale: f32,
    pub(crate) table: Table,
}

impl Case {
    pub(crate) fn taps(&self) -> Vec<Tap> {
        (0..self.output[1]).map(|x| self.axes[1].bilinear(x)).collect()
    }

    pub(crate) fn positions(&self) -> Vec<u32> {
        (0..self.output[1]).map(|x| self.axes[1].nearest(x, self.nearest) as u32).collect()
    }

    pub(crate) fn quantization(&self) -> Quantization {
        Quantization { scale: self.scale, zero_point: self.rescale.zero_point }
    }

    fn blended(&self, [y, x, c]: [usize; 3]) -> f32 {
        let (row, column) = (self.axes[0].bilinear(y), self.axes[1].bilinear(x));
        let at =
            |row: u32, column: u32| f32::from(self.input.at([row as usize, column as usize, c]));
        let blend = |p: f32, q: f32, t: f32| p + (q - p) * t;
        let vertical = |column| blend(at(row.index, column), at(row.next, column), row.fraction);
        blend(vertical(column.index), vertical(column.next), column.fraction)
            - f32::from(self.rescale.zero_point)
    }

    pub(crate) fn expected_bilinear(&self, rows: Range<usize>) -> Vec<u8> {
        let mut output = Map::new(self.output, || 7);
        let range = self.rescale.range;
        output.fill(rows, |at| {
            let steps = self.blended(at) * self.rescale.ratio;
            let value = steps.round_ties_even() + f32::from(range.zero_point);
            value.clamp(f32::from(range.low), f32::from(range.high)) as u8
        });
        output.data
    }

    pub(crate) fn expected_bilinear_f32(&self, rows: Range<usize>) -> Vec<f32> {
        let mut output = Map::new(self.output, || 7.0);
        output.fill(rows, |at| self.blended(at) * self.scale);
        output.data
    }

    fn copied(&self, [y, x, c]: [usize; 3]) -> u8 {
        let row = self.axes[0].nearest(y, self.nearest);
        self.input.at([row, self.axes[1].nearest(x, self.nearest), c])
    }

    pub(crate) fn expected_nearest(&self, rows: Range<usize>, table: Option<&Table>) -> Vec<u8> {
        let mut output = Map::new(self.output, || 7);
        output.fill(rows, |at| {
            let value = self.copied(at);
            table.map_or(value, |table| table[usize::from(value)])
        });
        output.data
    }

    pub(crate) fn expected_nearest_f32(&self, rows: Range<usize>) -> Vec<f32> {
        let mut output = Map::new(self.output, || 7.0);
        let zero_point = f32::from(self.rescale.zero_point);
        output.fill(rows, |at| (f32::from(self.copied(at)) - zero_point) * self.scale);
        output.data
    }
}

/// Cases and rows.
pub(crate) fn cases() -> impl Strategy<Value = (Case, Range<usize>)> {
    let gap = || prop_oneof![Just(0usize), 1usize..5];
    let channels = prop_oneof![1usize..9, 1usize..150];
    let size = || prop_oneof![Just(1usize), 1usize..9];
    let coordinates = prop_oneof![
        Just(Coordinates::HalfPixel),
        Just(Coordinates::PytorchHalfPixel),
        Just(Coordinates::AlignCorners),
        Just(Coordinates::Asymmetric),
    ];
    let nearest = prop_oneof![
        Just(Nearest::RoundPreferFloor),
        Just(Nearest::RoundPreferCeil),
        Just(Nearest::Floor),
        Just(Nearest::Ceil),
    ];
    let sizes = (size(), size(), 1usize..20, 1usize..20);
    (sizes, channels, [gap(), gap()], coordinates, nearest, any::<u64>()).prop_map(
        |((h, w, oh, ow), c, gaps, coordinates, nearest, seed)| {
            let mut random = Random(seed);
            let axis = |input: usize, output: usize| ResampleAxis {
                input,
                output,
                scale: output as f32 / input as f32,
                coordinates,
            };
            let same = seed % 2 == 0;
            let zero_point = random.byte();
            let range = QuantizedRange {
                zero_point: if same { zero_point } else { random.byte() },
                low: if same { 0 } else { random.byte() / 2 },
                high: 255 - random.byte() / 3,
            };
            let ratio = if same { 1.0 } else { random.float(0.01, 3.0) };
            let rows = if seed % 3 == 0 { oh / 3..oh } else { 0..oh };
            let case = Case {
                input: Map::new([h, w, c, c + gaps[0]], || random.byte()),
                output: [oh, ow, c, c + gaps[1]],
                axes: [axis(h, oh), axis(w, ow)],
                nearest,
                rescale: RescaleU8 { zero_point, ratio, range },
                scale: random.float(0.001, 2.0),
                table: core::array::from_fn(|_| random.byte()),
            };
            (case, rows)
        },
    )
}

proptest! {
    #[test]
    fn equals_the_definition((case, rows) in cases()) {
        let input = case.input.view();
        let vertical = &case.axes[0];
        let taps = case.taps();
        let mut scratch = vec![0.0; resize_scratch_len(input.width, input.channels)];
        let mut output = Map::new(case.output, || 7);
        resize_bilinear_u8(
            &input, vertical, &taps, &case.rescale, &mut output.view_mut(), rows.clone(), &mut scratch,
        );
        prop_assert_eq!(output.data, case.expected_bilinear(rows.clone()));
        let mut output = Map::new(case.output, || 7.0);
        resize_bilinear_u8_f32(
            &input, vertical, &taps, case.quantization(), &mut output.view_mut(), rows.clone(), &mut scratch,
        );
        prop_assert_eq!(output.data, case.expected_bilinear_f32(rows.clone()));
    }

    #[test]
    fn nearest_equals_the_definition((case, rows) in cases()) {
        let input = case.input.view();
        let row = &NearestRows { axis: case.axes[0], nearest: case.nearest };
        let positions = case.positions();
        for table in [None, Some(&case.table)] {
            let mut output = Map::new(case.output, || 7);
            resize_nearest_u8(&input, row, &positions, table, &mut output.view_mut(), rows.clone());
            prop_assert_eq!(output.data, case.expected_nearest(rows.clone(), table));
        }
        let mut output = Map::new(case.output, || 7.0);
        resize_nearest_u8_f32(
            &input, row, &positions, case.quantization(), &mut output.view_mut(), rows.clone(),
        );
        prop_assert_eq!(output.data, case.expected_nearest_f32(rows.clone()));
    }
}
