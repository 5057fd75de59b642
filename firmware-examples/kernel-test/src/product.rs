//! Products of bytes.

use crate::random::Random;
use core::ops::Range;
use zsseg::math::network::gemm_out::{GemmOut, Places, Requantize, Residual};
use zsseg::math::network::gemm_u8::{GemmU8, PackedI8, RowsU8};
use zsseg::math::network::kernels::{NetworkKernels, PORTABLE};

const ROWS: usize = 9;
const COLUMNS: usize = 48;
const DEPTH: usize = 100;
const GAP: usize = 8;
const RESULTS: usize = ROWS * (COLUMNS + GAP) + 64;

/// Aligned as a plan's weights.
#[repr(align(4))]
struct Aligned<T>(T);

/// Whether two sets give the same results of a random product.
pub fn equal(kernels: &NetworkKernels, random: &mut Random) -> bool {
    let [rows, columns, depth] =
        [1 + random.below(ROWS), 1 + random.below(COLUMNS), 4 + random.below(DEPTH / 4) * 4];
    let mut left = [0; ROWS * (DEPTH + GAP)];
    random.fill(&mut left, Random::byte);
    let mut weights = Aligned([0; COLUMNS * DEPTH + 4]);
    random.fill(&mut weights.0, Random::weight);
    let first = if random.below(16) == 0 { 1 } else { 0 };
    let (mut bias, mut row_bias) = ([0; COLUMNS], [0; ROWS]);
    random.fill(&mut bias, Random::bias);
    random.fill(&mut row_bias, Random::bias);
    let segments = segments(depth, random);
    let gemm = GemmU8 {
        left: RowsU8 { data: &left, stride: depth + random.below(GAP), rows },
        right: PackedI8 { data: &weights.0[first..], columns, depth, depth_padded: depth },
        bias: &bias,
        row_bias: if random.coin() { &row_bias } else { &[] },
        segments: &segments,
    };
    let places = places(rows, columns, random);
    let bytes = bytes_equal(kernels, &gemm, places, random);
    bytes && sums_equal(kernels, &gemm, places)
}

/// Two ascending parts of the depth, which may be empty.
fn segments(depth: usize, random: &mut Random) -> [Range<usize>; 2] {
    if random.coin() {
        return [0..depth, depth..depth];
    }
    let mut cut = || random.below(depth / 4 + 1) * 4;
    let (one, two) = (cut(), cut());
    [0..one.min(two), one.max(two)..depth]
}

fn places(rows: usize, columns: usize, random: &mut Random) -> Places {
    let stride = columns + random.below(GAP);
    if random.coin() {
        return Places::uniform(stride);
    }
    let run = 1 + random.below(rows);
    Places { stride, run, run_stride: run * stride + random.below(64 / rows) }
}

fn bytes_equal(
    kernels: &NetworkKernels,
    gemm: &GemmU8<'_>,
    places: Places,
    random: &mut Random,
) -> bool {
    let mut scale = [0.0; COLUMNS];
    random.fill(&mut scale, |random| random.factor(0.01));
    let (mut table, mut others) = ([0; 256], [0; RESULTS]);
    random.fill(&mut table, Random::byte);
    random.fill(&mut others, Random::byte);
    let [low, high] = [random.byte() / 3, random.byte() / 3 + 170];
    let zero_point = random.byte();
    let table = random.coin().then_some(&table);
    let requantize = Requantize { scale: &scale, zero_point, low, high, table };
    let residual = Residual {
        data: &others,
        places,
        zero_point_q: random.byte(),
        ratio_q: random.factor(2.0),
        zero_point_r: random.byte(),
        ratio_r: random.factor(2.0) - 0.5,
        zero_point: random.byte(),
        low: high / 4,
        high,
    };
    let residual = random.coin().then_some(residual);
    let results = [kernels, &PORTABLE].map(|set| {
        let mut data = [7; RESULTS];
        let mut out = GemmOut::U8 { data: &mut data, places, requantize, residual };
        (set.gemm_u8)(gemm, &mut out).then_some(data)
    });
    results[0].is_some() && results[0] == results[1]
}

fn sums_equal(kernels: &NetworkKernels, gemm: &GemmU8<'_>, places: Places) -> bool {
    let results = [kernels, &PORTABLE].map(|set| {
        let mut data = [7; RESULTS];
        let mut out = GemmOut::I32 { data: &mut data, places };
        (set.gemm_u8)(gemm, &mut out).then_some(data)
    });
    results[0].is_some() && results[0] == results[1]
}
