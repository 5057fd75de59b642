use super::*;
use crate::math::network::testing::{Map, Random};
use proptest::prelude::*;
use std::vec;
use std::vec::Vec;

/// A random pool with its input.
#[derive(Clone, Debug)]
pub(crate) struct Case {
    pub(crate) input: Map<u8>,
    /// Height, width, channels, pixel stride.
    pub(crate) output: [usize; 4],
    pub(crate) window: Window,
    pub(crate) counted: Counted,
    pub(crate) mean: MeanU8,
}

impl Case {
    /// The values under the window of an output position, `None` for padding.
    fn values(&self, [y, x, c]: [usize; 3]) -> Vec<Option<u8>> {
        let at = |axis: usize, out: usize, tap: usize| {
            let at = out * self.window.stride[axis] + tap * self.window.dilation[axis];
            at as i64 - self.window.padding[axis] as i64
        };
        let [h, w] = [self.input.shape[0] as i64, self.input.shape[1] as i64];
        let after = match self.counted {
            Counted::Padded(after) => after.map(|after| after as i64),
            Counted::Inside => [1 << 20; 2],
        };
        let mut values = vec![];
        for ky in 0..self.window.kernel[0] {
            for kx in 0..self.window.kernel[1] {
                let (iy, ix) = (at(0, y, ky), at(1, x, kx));
                if iy >= h + after[0] || ix >= w + after[1] {
                    continue;
                }
                let inside = (0..h).contains(&iy) && (0..w).contains(&ix);
                values.push(inside.then(|| self.input.at([iy as usize, ix as usize, c])));
            }
        }
        values
    }

    fn mean(&self, values: &[Option<u8>]) -> u8 {
        let zero = i32::from(self.mean.zero_point);
        let sum: i32 = values.iter().flatten().map(|value| i32::from(*value) - zero).sum();
        let count = match self.counted {
            Counted::Inside => values.iter().flatten().count(),
            Counted::Padded(_) => values.len(),
        };
        let factor = if count == 0 { 0.0 } else { self.mean.ratio / count as f32 };
        let range = self.mean.range;
        let value = (sum as f32 * factor).round_ties_even() + f32::from(range.zero_point);
        value.clamp(f32::from(range.low), f32::from(range.high)) as u8
    }

    pub(crate) fn expected_max(&self, rows: Range<usize>) -> Vec<u8> {
        let mut output = Map::new(self.output, || 7);
        output.fill(rows, |at| self.values(at).into_iter().flatten().max().unwrap_or(0));
        output.data
    }

    pub(crate) fn expected_mean(&self, rows: Range<usize>) -> Vec<u8> {
        let mut output = Map::new(self.output, || 7);
        output.fill(rows, |at| self.mean(&self.values(at)));
        output.data
    }

    pub(crate) fn expected_global_mean(&self) -> Vec<u8> {
        let [h, w, channels, _] = self.input.shape;
        let case = Case { counted: Counted::Inside, ..self.clone() };
        let all = |c: usize| (0..h * w).map(move |at| Some(self.input.at([at / w, at % w, c])));
        (0..channels).map(|c| case.mean(&all(c).collect::<Vec<_>>())).collect()
    }
}

/// Windows of more values than 16-bit sums hold, of nearly the largest values.
pub(crate) fn large() -> Case {
    let mut random = Random(3);
    Case {
        input: Map::new([20, 40, 300, 300], || 255 - random.byte() % 4),
        output: [2, 2, 300, 301],
        window: Window { kernel: [19, 39], stride: [1, 1], dilation: [1, 1], padding: [0, 0] },
        counted: Counted::Inside,
        mean: MeanU8 { zero_point: 250, ratio: 20.0, range: QuantizedRange::full(100) },
    }
}

/// Cases and rows.
pub(crate) fn cases() -> impl Strategy<Value = (Case, Range<usize>)> {
    let pair = |range: Range<usize>| [range.clone(), range];
    let window = (pair(1..5), pair(1..4), pair(1..3), pair(0..3));
    let gap = || prop_oneof![Just(0usize), 1usize..5];
    let channels = prop_oneof![1usize..9, 1usize..150, 1usize..400];
    let shape = (1usize..12, 1usize..20, channels, [gap(), gap()]);
    let ends = any::<[u8; 2]>();
    (window, shape, pair(0..4), 0.01f32..3.0, ends, any::<u64>()).prop_map(
        |((kernel, stride, dilation, padding), (h, w, c, gaps), after, ratio, ends, seed)| {
            let mut random = Random(seed);
            let window = Window { kernel, stride, dilation, padding };
            let out = |axis: usize, len: usize| {
                let padded = len + padding[axis] + after[axis];
                padded.saturating_sub((kernel[axis] - 1) * dilation[axis] + 1) / stride[axis] + 1
            };
            let zero_point = random.byte();
            let range = QuantizedRange {
                zero_point: random.byte(),
                low: ends[0].min(ends[1]) / 2,
                high: ends[0].max(ends[1]).max(100),
            };
            let counted = if seed % 2 == 0 { Counted::Inside } else { Counted::Padded(after) };
            let output = [out(0, h), out(1, w), c, c + gaps[1]];
            let rows = if seed % 3 == 0 { 1.min(output[0])..output[0] } else { 0..output[0] };
            let input = Map::new([h, w, c, c + gaps[0]], || random.byte());
            let mean = MeanU8 { zero_point, ratio, range };
            (Case { input, output, window, counted, mean }, rows)
        },
    )
}

proptest! {
    #[test]
    fn equals_the_definition((case, rows) in cases()) {
        let input = case.input.view();
        let empty = Map::new(case.output, || 7);
        let mut output = empty.clone();
        max_pool_u8(&input, &case.window, &mut output.view_mut(), rows.clone());
        prop_assert_eq!(output.data, case.expected_max(rows.clone()));
        let mut output = empty;
        let (window, counted) = (&case.window, case.counted);
        avg_pool_u8(&input, window, counted, &case.mean, &mut output.view_mut(), rows.clone());
        prop_assert_eq!(output.data, case.expected_mean(rows));
        let mut output = vec![0; case.output[2]];
        global_avg_pool_u8(&input, &case.mean, &mut output);
        prop_assert_eq!(output, case.expected_global_mean());
    }
}
