use super::*;
use crate::math::network::testing::{Map, Random};
use proptest::prelude::*;
use std::vec::Vec;

/// Operands of all kinds.
#[derive(Clone, Debug)]
pub(crate) struct Case {
    pub(crate) a: Map<u8>,
    b: Map<u8>,
    /// Which operand `b` is.
    kind: u8,
    pub(crate) sum: AddU8,
    pub(crate) product: MulU8,
}

impl Case {
    pub(crate) fn new(
        [height, width, channels]: [usize; 3],
        gaps: [usize; 2],
        kind: u8,
        seed: u64,
    ) -> Case {
        let mut random = Random(seed);
        let [gap_a, gap_b] = gaps;
        let a = Map::new([height, width, channels, channels + gap_a], || random.byte());
        let b = match kind {
            0 => Map::new([height, width, channels, channels + gap_b], || random.byte()),
            1 | 3 => Map::new([1, 1, channels, channels], || random.byte()),
            _ => Map::new([height, width, 1, 1 + gap_b], || random.byte()),
        };
        let zero_points = [random.byte(), random.byte()];
        let ends = [random.byte(), random.byte()];
        let range = QuantizedRange {
            zero_point: random.byte(),
            low: ends[0].min(ends[1]) / 2,
            high: ends[0].max(ends[1]).max(100),
        };
        let huge = if random.next().is_multiple_of(8) { 1e9 } else { 1.0 };
        // Halves make ties.
        let ratios = match random.next() % 3 {
            0 => [0.5, -0.5],
            _ => [random.float(-2.0, 2.0), random.float(-2.0, 2.0)],
        };
        let sum = AddU8 { zero_points, ratios: ratios.map(|ratio| ratio * huge), range };
        let ratio =
            if random.next().is_multiple_of(3) { 0.5 } else { random.float(-0.05, 0.05) } * huge;
        let product = MulU8 { zero_points, ratio, range };
        Case { a, b, kind, sum, product }
    }

    pub(crate) fn b(&self) -> OperandU8<'_> {
        match self.kind {
            0 => OperandU8::Map(self.b.view()),
            1 => OperandU8::Pixel(&self.b.data),
            2 => OperandU8::Plane(self.b.view()),
            _ => OperandU8::Value(self.b.data[0]),
        }
    }

    fn values(&self, [y, x, c]: [usize; 3]) -> [i32; 2] {
        let b = match self.kind {
            0 => self.b.at([y, x, c]),
            1 => self.b.at([0, 0, c]),
            2 => self.b.at([y, x, 0]),
            _ => self.b.data[0],
        };
        let [a_zero, b_zero] = self.sum.zero_points.map(i32::from);
        [i32::from(self.a.at([y, x, c])) - a_zero, i32::from(b) - b_zero]
    }

    fn clamped(&self, steps: f32) -> u8 {
        let range = self.sum.range;
        let value = steps.round_ties_even() + f32::from(range.zero_point);
        value.clamp(f32::from(range.low), f32::from(range.high)) as u8
    }

    /// The sums in rows `rows` of `output`.
    pub(crate) fn expected_sum(&self, mut output: Map<u8>, rows: Range<usize>) -> Vec<u8> {
        let [ratio_a, ratio_b] = self.sum.ratios;
        output.fill(rows, |at| {
            let [a, b] = self.values(at);
            self.clamped(a as f32 * ratio_a + b as f32 * ratio_b)
        });
        output.data
    }

    /// The products in rows `rows` of `output`.
    pub(crate) fn expected_product(&self, mut output: Map<u8>, rows: Range<usize>) -> Vec<u8> {
        output.fill(rows, |at| {
            let [a, b] = self.values(at);
            self.clamped((a * b) as f32 * self.product.ratio)
        });
        output.data
    }
}

/// Cases and rows.
pub(crate) fn cases() -> impl Strategy<Value = (Case, Range<usize>)> {
    let gap = || prop_oneof![Just(0usize), 1usize..5];
    let channels = prop_oneof![1usize..9, 1usize..150];
    let shape = (1usize..6, 1usize..9, channels);
    (shape, [gap(), gap()], 0u8..4, any::<u64>()).prop_map(|((h, w, c), gaps, kind, seed)| {
        let rows = if h > 2 && seed % 2 == 0 { 1..h - 1 } else { 0..h };
        (Case::new([h, w, c], gaps, kind, seed), rows)
    })
}

proptest! {
    #[test]
    fn equals_the_definition((case, rows) in cases()) {
        let b = case.b();
        let mut output = case.a.clone();
        add_in_place_u8(&mut output.view_mut(), &b, &case.sum, rows.clone());
        prop_assert_eq!(output.data, case.expected_sum(case.a.clone(), rows.clone()));
        let mut output = case.a.clone();
        mul_in_place_u8(&mut output.view_mut(), &b, &case.product, rows.clone());
        prop_assert_eq!(output.data, case.expected_product(case.a.clone(), rows));
    }
}
