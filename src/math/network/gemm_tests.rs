//! Every product kernel against plain loops, bit for bit.

use super::gemm_dynamic_u8::{
    DynamicU8, PackDynamicU8Fn, RowBiasU8Fn, pack_gemm_dynamic_u8, row_bias_dynamic_u8,
};
use super::gemm_out::{GemmOut, Places, Requantize, Residual};
use super::gemm_pack::{pack_gemm_i8, packed_gemm_i8_len};
use super::gemm_u8::{GemmU8, GemmU8Fn, PackedI8, RowsU8};
use super::kernels::NetworkKernels;
use core::ops::Range;
use proptest::prelude::*;
use std::vec;
use std::vec::Vec;

/// The portable kernel and those that this processor runs.
pub(super) fn kernels() -> Vec<(&'static str, GemmU8Fn)> {
    NetworkKernels::all().map(|set| (set.name, set.gemm_u8)).collect()
}

/// Kernels for right operands packed at run time.
fn dynamic_kernels() -> Vec<(PackDynamicU8Fn, RowBiasU8Fn)> {
    NetworkKernels::all().map(|set| (set.pack_dynamic_u8, set.row_bias_u8)).collect()
}

/// A small generator of bytes, extreme values among them.
pub(super) struct Bytes(pub u64);

impl Bytes {
    pub fn next(&mut self) -> u64 {
        self.0 =
            self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        self.0 >> 33
    }

    pub fn u8s(&mut self, len: usize) -> Vec<u8> {
        (0..len)
            .map(|_| [self.next() as u8, 0, 255, self.next() as u8][self.next() as usize % 4])
            .collect()
    }

    pub fn i8s(&mut self, len: usize) -> Vec<i8> {
        let mut next =
            || [self.next() as i8, -128, 127, self.next() as i8][self.next() as usize % 4];
        (0..len).map(|_| next()).collect()
    }

    pub fn unit(&mut self) -> f32 {
        (self.next() % 100_000) as f32 / 100_000.0
    }

    pub fn scales(&mut self, len: usize) -> Vec<f32> {
        (0..len).map(|_| (self.unit() * 9.0 - 14.0).exp2()).collect()
    }
}

/// Rounds to the nearest whole number, ties to even, in f64.
fn round(value: f32) -> f64 {
    f64::from(value).round_ties_even()
}

pub(super) fn requantized(sum: i32, scale: f32, requantize: &Requantize<'_>) -> u8 {
    let zero_point = f64::from(requantize.zero_point);
    let value = round(sum as f32 * scale) + zero_point;
    let value = value.clamp(f64::from(requantize.low), f64::from(requantize.high)) as u8;
    requantize.table.map_or(value, |table| table[usize::from(value)])
}

pub(super) fn added(q: u8, r: u8, residual: &Residual<'_>) -> u8 {
    let q = (f32::from(q) - f32::from(residual.zero_point_q)) * residual.ratio_q;
    let r = (f32::from(r) - f32::from(residual.zero_point_r)) * residual.ratio_r;
    let value = round(q + r) + f64::from(residual.zero_point);
    value.clamp(f64::from(residual.low), f64::from(residual.high)) as u8
}

struct Case {
    left: Vec<u8>,
    stride: usize,
    weights: Vec<i8>,
    packed: Vec<i8>,
    bias: Vec<i32>,
    row_bias: Vec<i32>,
    segments: Vec<Range<usize>>,
    shape: [usize; 3],
    depth_padded: usize,
}

impl Case {
    fn new(bytes: &mut Bytes, [rows, columns, depth]: [usize; 3], step: usize, gap: usize) -> Self {
        let depth_padded = depth.next_multiple_of(step);
        let stride = depth + gap;
        let left = bytes.u8s(rows * stride + 128);
        let mut weights = bytes.i8s(columns * depth);
        if bytes.next().is_multiple_of(2) {
            // As most quantisers make them; kernels may do less for such weights.
            weights.iter_mut().for_each(|weight| *weight = (*weight).max(-127));
        }
        let mut packed = vec![99; packed_gemm_i8_len(columns, depth_padded)];
        assert!(pack_gemm_i8(&weights, columns, depth, depth_padded, &mut packed));
        let padded = columns.next_multiple_of(16);
        let bias = (0..padded).map(|_| bytes.next() as i32 % 100_000).collect();
        let row_bias = (0..rows).map(|_| bytes.next() as i32 % 100_000).collect();
        let row_bias = if bytes.next().is_multiple_of(2) { Vec::new() } else { row_bias };
        let end = depth.next_multiple_of(4);
        let cut = |place: u64| (place as usize % (end + 1)) / step * step;
        let (one, two) = (cut(bytes.next()), cut(bytes.next()));
        let segments = match bytes.next() % 3 {
            0 => vec![one.min(two)..one.max(two), end..end],
            1 => vec![0..one.min(two), one.max(two)..end],
            _ => vec![0..end, end..end],
        };
        let shape = [rows, columns, depth];
        Case { left, stride, weights, packed, bias, row_bias, segments, shape, depth_padded }
    }

    fn gemm(&self) -> GemmU8<'_> {
        let [rows, columns, depth] = self.shape;
        GemmU8 {
            left: RowsU8 { data: &self.left, stride: self.stride, rows },
            right: PackedI8 {
                data: &self.packed,
                columns,
                depth: depth.next_multiple_of(4),
                depth_padded: self.depth_padded,
            },
            bias: &self.bias,
            row_bias: &self.row_bias,
            segments: &self.segments,
        }
    }

    fn sum(&self, row: usize, column: usize) -> i32 {
        let depth = self.shape[2];
        let places = self.segments.iter().cloned().flatten().filter(|place| *place < depth);
        let products = places.map(|place| {
            let left = i32::from(self.left[row * self.stride + place]);
            left * i32::from(self.weights[column * depth + place])
        });
        let start = self.bias[column] + self.row_bias.get(row).copied().unwrap_or(0);
        products.fold(start, i32::wrapping_add)
    }
}

fn shapes() -> impl Strategy<Value = [usize; 3]> {
    (1usize..100, 1usize..80, 1usize..300).prop_map(|(rows, columns, depth)| [rows, columns, depth])
}

proptest! {
    #[test]
    fn u8_results(shape in shapes(), seed: u64, tiles: bool, gap in 0usize..70, runs: bool) {
        let mut bytes = Bytes(seed);
        let case = Case::new(&mut bytes, shape, if tiles { 64 } else { 4 }, gap);
        let [rows, columns, _] = shape;
        let scale = bytes.scales(case.bias.len());
        let table: Vec<u8> = bytes.u8s(256);
        let (low, high) = (bytes.next() as u8 % 100, 100 + bytes.next() as u8 % 156);
        let requantize = Requantize {
            scale: &scale,
            zero_point: bytes.next() as u8,
            low: [0, low][usize::from(gap % 2 == 0)],
            high: [255, high][usize::from(gap % 3 == 0)],
            table: bytes.next().is_multiple_of(2).then(|| table.as_slice().try_into().unwrap()),
        };
        let run = 1 + bytes.next() as usize % 20;
        let places = Places { stride: columns + gap, run, run_stride: (columns + gap) * run + 5 };
        let places = if runs { places } else { Places::uniform(columns + gap) };
        let len = places.start(rows - 1) + columns;
        let other = bytes.u8s(len);
        let residual = Residual {
            data: &other,
            places,
            zero_point_q: bytes.next() as u8,
            ratio_q: bytes.unit(),
            zero_point_r: bytes.next() as u8,
            ratio_r: bytes.unit() * 2.0,
            zero_point: bytes.next() as u8,
            low,
            high,
        };
        let residual = bytes.next().is_multiple_of(2).then_some(residual);
        let mut expected = vec![7; len];
        for row in 0..rows {
            for (column, scale) in scale.iter().enumerate().take(columns) {
                let q = requantized(case.sum(row, column), *scale, &requantize);
                let place = places.start(row) + column;
                expected[place] = residual.map_or(q, |residual| added(q, other[place], &residual));
            }
        }
        for (name, kernel) in kernels() {
            let mut data = vec![7; len];
            let mut out = GemmOut::U8 { data: &mut data, places, requantize, residual };
            prop_assert!(kernel(&case.gemm(), &mut out));
            prop_assert!(data == expected, "{name}");
        }
    }

    #[test]
    fn wide_results(shape in shapes(), seed: u64, tiles: bool, gap in 0usize..70) {
        let mut bytes = Bytes(seed);
        let case = Case::new(&mut bytes, shape, if tiles { 64 } else { 4 }, gap);
        let [rows, columns, _] = shape;
        let (scale, bias) = (bytes.scales(case.bias.len()), bytes.scales(case.bias.len()));
        let places = Places::uniform(columns + gap);
        let len = places.start(rows - 1) + columns;
        let (mut sums, mut floats) = (vec![7; len], vec![7.0; len]);
        for row in 0..rows {
            for column in 0..columns {
                let sum = case.sum(row, column);
                sums[places.start(row) + column] = sum;
                floats[places.start(row) + column] = sum as f32 * scale[column] + bias[column];
            }
        }
        for (name, kernel) in kernels() {
            let mut data = vec![7; len];
            let mut out = GemmOut::I32 { data: &mut data, places };
            prop_assert!(kernel(&case.gemm(), &mut out));
            prop_assert!(data == sums, "{name}");
            let mut data = vec![7.0; len];
            let (scale, bias) = (&scale, &bias);
            let mut out = GemmOut::F32 { data: &mut data, places, scale, bias };
            prop_assert!(kernel(&case.gemm(), &mut out));
            prop_assert!(data == floats, "{name}");
        }
    }

    #[test]
    fn short_slices_are_refused(shape in shapes(), seed: u64, short in 0usize..6) {
        let case = Case::new(&mut Bytes(seed), shape, 4, 0);
        let [rows, columns, _] = shape;
        let mut gemm = case.gemm();
        let whole = 0..gemm.right.depth;
        gemm.segments = std::slice::from_ref(&whole);
        let mut len = rows * columns;
        match short {
            0 => {
                let len = (rows - 1) * case.stride + gemm.right.depth;
                gemm.left.data = &gemm.left.data[..len - 1];
            }
            1 => gemm.right.data = &gemm.right.data[..gemm.right.data.len() - 1],
            2 => gemm.bias = &gemm.bias[..gemm.bias.len() - 1],
            3 => gemm.right.depth = gemm.right.depth_padded - 4,
            4 => gemm.right.depth_padded -= 4,
            _ => len -= 1,
        }
        for (name, kernel) in kernels() {
            let mut data = vec![7; len];
            let places = Places::uniform(columns);
            let done = kernel(&gemm, &mut GemmOut::I32 { data: &mut data, places });
            prop_assert!(!done && data.iter().all(|value| *value == 7), "{name}");
        }
    }
}

proptest! {
    #[test]
    fn two_activations(
        shape in shapes(),
        seed: u64,
        tiles: bool,
        gap in 0usize..70,
        by_column: bool,
    ) {
        let mut bytes = Bytes(seed);
        let [rows, columns, depth] = shape;
        let (za, zb) = (bytes.next() as u8, bytes.next() as u8);
        let left = bytes.u8s(rows * (depth + gap) + 128);
        let (lines, width) = if by_column { (columns, depth) } else { (depth, columns) };
        let stride = width + gap;
        let data = bytes.u8s(lines * stride);
        let right = DynamicU8 {
            data: &data, stride, by_column, columns, depth, zero_point: zb, left_zero_point: za,
        };
        let depth_padded = depth.next_multiple_of(if tiles { 64 } else { 4 });
        let mut packed = vec![99; packed_gemm_i8_len(columns, depth_padded)];
        let mut bias = vec![99; columns.next_multiple_of(16)];
        prop_assert!(pack_gemm_dynamic_u8(&right, depth_padded, &mut packed, &mut bias));
        for (pack, _) in dynamic_kernels() {
            let (mut others, mut biases) = (vec![88; packed.len()], vec![88; bias.len()]);
            prop_assert!(pack(&right, depth_padded, &mut others, &mut biases));
            prop_assert!(others == packed && biases == bias);
        }
        let left = RowsU8 { data: &left, stride: depth + gap, rows };
        let mut row_bias = vec![99; rows];
        prop_assert!(row_bias_dynamic_u8(&left, depth, zb, &mut row_bias));
        for (_, sum) in dynamic_kernels() {
            let mut others = vec![88; rows];
            prop_assert!(sum(&left, depth, zb, &mut others));
            prop_assert!(others == row_bias);
        }
        let mut expected = vec![0; rows * columns];
        for (place, sum) in expected.iter_mut().enumerate() {
            let (row, column) = (place / columns, place % columns);
            for depth in 0..depth {
                let at = if by_column { column * stride + depth } else { depth * stride + column };
                let a = i32::from(left.data[row * left.stride + depth]) - i32::from(za);
                *sum += a * (i32::from(data[at]) - i32::from(zb));
            }
        }
        let depth = depth.next_multiple_of(4);
        let right = PackedI8 { data: &packed, columns, depth, depth_padded };
        let whole = 0..depth;
        let segments = std::slice::from_ref(&whole);
        let gemm = GemmU8 { left, right, bias: &bias, row_bias: &row_bias, segments };
        for (name, kernel) in kernels() {
            let mut data = vec![7; expected.len()];
            let places = Places::uniform(columns);
            let mut out = GemmOut::I32 { data: &mut data, places };
            prop_assert!(kernel(&gemm, &mut out));
            prop_assert!(data == expected, "{name}");
        }
    }
}
