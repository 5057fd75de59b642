use super::*;
use crate::math::arch;
use crate::math::network::kernels::NetworkKernels;
use crate::math::network::testing::{Map, Random};
use proptest::prelude::*;
use std::vec;
use std::vec::Vec;

/// A random layer with its input.
#[derive(Clone, Debug)]
pub(crate) struct Case {
    pub(crate) input: Map<u8>,
    /// Height, width, channels, pixel stride.
    pub(crate) output: [usize; 4],
    window: Window,
    /// `[channel][kernel row][kernel column]`.
    weights: Vec<i8>,
    packed: Vec<i8>,
    bias: Vec<i32>,
    scale: Vec<f32>,
    padding_value: u8,
    range: QuantizedRange,
    table: Option<[u8; 256]>,
}

impl Case {
    pub(crate) fn new(
        window: Window,
        [height, width, channels]: [usize; 3],
        gaps: [usize; 2],
        seed: u64,
    ) -> Case {
        let mut random = Random(seed);
        let taps = window.kernel[0] * window.kernel[1];
        let weights: Vec<i8> = (0..taps * channels).map(|_| random.byte().cast_signed()).collect();
        let mut packed = vec![0; packed_depthwise_len(channels, window.kernel)];
        pack_depthwise_i8(&weights, channels, window.kernel, &mut packed);
        let input = Map::new([height, width, channels, channels + gaps[0]], || random.byte());
        let out = |axis: usize, len: usize| {
            let reach = (window.kernel[axis] - 1) * window.dilation[axis];
            (len + 2 * window.padding[axis]).saturating_sub(reach + 1) / window.stride[axis] + 1
        };
        let ends = [random.byte(), random.byte()];
        let wide = random.next().is_multiple_of(4);
        Case {
            input,
            output: [out(0, height), out(1, width), channels, channels + gaps[1]],
            window,
            weights,
            packed,
            bias: (0..channels)
                .map(|_| if wide { random.next() as i32 } else { random.next() as i32 >> 18 })
                .collect(),
            scale: (0..channels)
                .map(|_| random.float(0.0002, if wide { 90.0 } else { 0.02 }))
                .collect(),
            padding_value: random.byte(),
            range: QuantizedRange {
                zero_point: random.byte(),
                low: ends[0].min(ends[1]) / 2,
                high: ends[0].max(ends[1]).max(100),
            },
            table: (random.next().is_multiple_of(2))
                .then(|| core::array::from_fn(|_| random.byte())),
        }
    }

    pub(crate) fn layer(&self) -> DepthwiseU8<'_> {
        DepthwiseU8 {
            window: self.window,
            weights: &self.packed,
            bias: &self.bias,
            scale: &self.scale,
            padding_value: self.padding_value,
            range: self.range,
            table: self.table.as_ref(),
        }
    }

    fn value(&self, [y, x, c]: [usize; 3]) -> u8 {
        let [kh, kw] = self.window.kernel;
        let mut sum = i64::from(self.bias[c]);
        for ky in 0..kh {
            for kx in 0..kw {
                let at = |axis: usize, out: usize, tap: usize| {
                    let at = out * self.window.stride[axis] + tap * self.window.dilation[axis];
                    at as i64 - self.window.padding[axis] as i64
                };
                let (iy, ix) = (at(0, y, ky), at(1, x, kx));
                let rows = 0..self.input.shape[0] as i64;
                let columns = 0..self.input.shape[1] as i64;
                let value = if rows.contains(&iy) && columns.contains(&ix) {
                    self.input.at([iy as usize, ix as usize, c])
                } else {
                    self.padding_value
                };
                sum += i64::from(value) * i64::from(self.weights[(c * kh + ky) * kw + kx]);
            }
        }
        let steps = (sum as i32) as f32 * self.scale[c];
        let value = steps.round_ties_even() + f32::from(self.range.zero_point);
        let value = value.clamp(f32::from(self.range.low), f32::from(self.range.high)) as u8;
        self.table.map_or(value, |table| table[usize::from(value)])
    }

    /// What rows `rows` of an output filled with 7 become.
    pub(crate) fn expected(&self, rows: Range<usize>) -> Vec<u8> {
        let mut output = Map::new(self.output, || 7);
        output.fill(rows, |at| self.value(at));
        output.data
    }
}

/// Layers of all kinds; with `LIMIT` at least 1 gap-free ones are frequent.
pub(crate) fn cases() -> impl Strategy<Value = (Case, Range<usize>)> {
    let pair = |range: Range<usize>| [range.clone(), range];
    let window = (pair(1..6), pair(1..4), pair(1..4), pair(0..4));
    let channels = prop_oneof![1usize..150, (1usize..20).prop_map(|eighths| eighths * 8)];
    let size = (1usize..14, 1usize..30, channels);
    let gap = || prop_oneof![Just(0usize), Just(0), 1usize..70];
    let square = any::<[bool; 3]>();
    (window, size, [gap(), gap()], any::<u64>(), square, [0.0..1.0, 0.0..1.0f64]).prop_map(
        |((kernel, stride, dilation, padding), (h, w, c), gaps, seed, square, ends)| {
            let kernel = if square[0] { [3 + 2 * (kernel[0] % 2); 2] } else { kernel };
            let stride = if square[1] { [1 + stride[0] % 2; 2] } else { stride };
            let dilation = if square[2] { [1; 2] } else { dilation };
            let window = Window { kernel, stride, dilation, padding };
            let case = Case::new(window, [h, w, c], gaps, seed);
            let ends = ends.map(|end| (end * (case.output[0] + 1) as f64) as usize);
            let rows = ends[0].min(ends[1])..ends[0].max(ends[1]);
            let rows = if seed % 2 == 0 { 0..case.output[0] } else { rows };
            (case, rows)
        },
    )
}

proptest! {
    #[test]
    fn equals_the_naive_convolution((case, rows) in cases()) {
        let mut output = Map::new(case.output, || 7);
        depthwise_u8(&case.input.view(), &case.layer(), &mut output.view_mut(), rows.clone());
        prop_assert_eq!(output.data, case.expected(rows));
    }
}

proptest! {
    #[test]
    fn every_set_equals_the_naive_convolution((case, rows) in cases()) {
        let (input, layer) = (case.input.view(), case.layer());
        let len = arch::depthwise_plan::depthwise_u8_scratch_len(&layer.window, case.output[2], case.output[1]);
        let expected = case.expected(rows.clone());
        for set in NetworkKernels::all() {
            let (mut output, mut scratch) = (Map::new(case.output, || 7), vec![0; len]);
            let kernel = set.depthwise_u8;
            let made = kernel(&input, &layer, &mut output.view_mut(), rows.clone(), &mut scratch);
            let left_alone = output.data.iter().all(|value| *value == 7);
            prop_assert!(if made { output.data == expected } else { left_alone }, "{}", set.name);
            prop_assert!(made || case.output[2] < 8, "{} leaves a layer", set.name);
        }
    }
}

#[test]
fn short_slices_are_no_fault() {
    let window = Window { kernel: [3, 3], stride: [1, 1], dilation: [1, 1], padding: [1, 1] };
    let case = Case::new(window, [4, 5, 70], [0, 0], 1);
    let mut output = Map::new(case.output, || 7);
    let layer = case.layer();
    for short in [
        DepthwiseU8 { weights: &layer.weights[..100], ..layer },
        DepthwiseU8 { bias: &layer.bias[..3], ..layer },
        DepthwiseU8 { scale: &[], ..layer },
    ] {
        depthwise_u8(&case.input.view(), &short, &mut output.view_mut(), 0..9);
    }
    let view = View { data: &case.input.data[..64], ..case.input.view() };
    depthwise_u8(&view, &layer, &mut output.view_mut(), 0..4);
}

/// A plan for x86-64 is the same wherever it is compiled.
#[test]
fn every_processor_counts_the_memory_that_x86_64_wants() {
    let window = Window { kernel: [3; 2], stride: [1; 2], dilation: [1; 2], padding: [1; 2] };
    assert_eq!(arch::depthwise_plan::depthwise_u8_scratch_len(&window, 32, 256), 27_840);
}
