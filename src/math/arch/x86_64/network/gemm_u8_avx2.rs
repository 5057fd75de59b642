//! Products of u8 and s8 in 256-bit vectors: AVX-VNNI, or AVX2 with weights and activations widened
//! to 16 bits (the 8-bit multiply-add of AVX2 saturates).

use super::gemm_u8_finish_avx2::finish;
use crate::math::network::gemm_out::GemmOut;
use crate::math::network::gemm_u8::{BLOCK_COLUMNS, DEPTH_STEP, GemmU8};
use core::arch::x86_64::*;
use core::ops::Range;

/// Most rows of a tile.
const TILE_ROWS: usize = 6;
/// Bytes of weights that are used for all rows before the next are.
const GROUP_BYTES: usize = 256 << 10;

/// Sums of a tile.
pub type Sums = [[i32; BLOCK_COLUMNS]; TILE_ROWS];

/// Operands of one tile: some rows and one block of 16 columns.
struct Tile<'a> {
    left: *const u8,
    stride: usize,
    weights: *const i8,
    bias: *const i32,
    segments: &'a [Range<usize>],
}

/// A kernel for tiles of a number of rows.
type Multiply = unsafe fn(&Tile<'_>, &mut Sums);

/// The product by AVX-VNNI.
///
/// # Safety
/// AVX2 and AVX-VNNI; the product is valid.
pub unsafe fn gemm_avx_vnni(gemm: &GemmU8<'_>, out: &mut GemmOut<'_>) {
    let kernels: [(usize, Multiply); 3] =
        [(6, multiply_vnni::<6>), (3, multiply_vnni::<3>), (1, multiply_vnni::<1>)];
    // SAFETY: the caller's promises.
    unsafe { gemm_tiles(gemm, out, &kernels) };
}

/// The product by AVX2.
///
/// # Safety
/// AVX2; the product is valid.
pub unsafe fn gemm_avx2(gemm: &GemmU8<'_>, out: &mut GemmOut<'_>) {
    let kernels: [(usize, Multiply); 2] = [(2, multiply_wide::<2>), (1, multiply_wide::<1>)];
    // SAFETY: the caller's promises.
    unsafe { gemm_tiles(gemm, out, &kernels) };
}

/// The product, tile by tile. `kernels` are by falling number of rows, the last for one.
unsafe fn gemm_tiles(gemm: &GemmU8<'_>, out: &mut GemmOut<'_>, kernels: &[(usize, Multiply)]) {
    let depth: usize = gemm.segments.iter().map(|segment| segment.len()).sum();
    let group = (GROUP_BYTES / (depth * BLOCK_COLUMNS).max(1)).max(1);
    let blocks = gemm.right.blocks();
    for first in (0..blocks).step_by(group) {
        let mut row = 0;
        while row < gemm.left.rows {
            let rest = gemm.left.rows - row;
            let Some((rows, multiply)) = kernels.iter().find(|(rows, _)| *rows <= rest) else {
                return;
            };
            for block in first..blocks.min(first + group) {
                // SAFETY: the rows and the block exist in the valid product.
                unsafe { run_tile(gemm, out, row..row + rows, block, *multiply) };
            }
            row += rows;
        }
    }
}

unsafe fn run_tile(
    gemm: &GemmU8<'_>,
    out: &mut GemmOut<'_>,
    rows: Range<usize>,
    block: usize,
    multiply: Multiply,
) {
    let mut sums = [[0; BLOCK_COLUMNS]; TILE_ROWS];
    let column = block * BLOCK_COLUMNS;
    let columns = (gemm.right.columns - column).min(BLOCK_COLUMNS);
    // SAFETY: the caller gives rows and a block of a valid product, whose biases are padded.
    unsafe {
        let tile = Tile {
            left: gemm.left.data.as_ptr().add(rows.start * gemm.left.stride),
            stride: gemm.left.stride,
            weights: gemm.right.data.as_ptr().add(block * gemm.right.block_len()),
            bias: gemm.bias.as_ptr().add(column),
            segments: gemm.segments,
        };
        multiply(&tile, &mut sums);
        for (row, sums) in rows.zip(&mut sums) {
            if let Some(bias) = gemm.row_bias.get(row) {
                sums.iter_mut().for_each(|sum| *sum = sum.wrapping_add(*bias));
            }
            finish(out, row, column, columns, sums);
        }
    }
}

/// AVX-VNNI: two accumulators of eight columns per row.
#[target_feature(enable = "avx2,avxvnni")]
unsafe fn multiply_vnni<const ROWS: usize>(tile: &Tile<'_>, sums: &mut Sums) {
    // SAFETY: the caller gives rows, a block and biases that exist.
    unsafe {
        let bias = [0, 8].map(|half| _mm256_loadu_si256(tile.bias.add(half).cast()));
        let mut totals = [bias; ROWS];
        for segment in tile.segments {
            let mut left = tile.left.add(segment.start);
            let end = tile.left.add(segment.end);
            let mut weights = tile.weights.add(segment.start * BLOCK_COLUMNS);
            while left < end {
                let halves = [0, 32].map(|half| _mm256_loadu_si256(weights.add(half).cast()));
                for (row, [first, second]) in totals.iter_mut().enumerate() {
                    let values = left.add(row * tile.stride).cast::<i32>().read_unaligned();
                    let values = _mm256_set1_epi32(values);
                    *first = _mm256_dpbusd_avx_epi32(*first, values, halves[0]);
                    *second = _mm256_dpbusd_avx_epi32(*second, values, halves[1]);
                }
                left = left.add(DEPTH_STEP);
                weights = weights.add(DEPTH_STEP * BLOCK_COLUMNS);
            }
        }
        for (sums, [first, second]) in sums.iter_mut().zip(totals) {
            _mm256_storeu_si256(sums.as_mut_ptr().cast(), first);
            _mm256_storeu_si256(sums.as_mut_ptr().add(8).cast(), second);
        }
    }
}

/// AVX2: four accumulators per row, each of the pairs of four columns.
#[target_feature(enable = "avx2")]
unsafe fn multiply_wide<const ROWS: usize>(tile: &Tile<'_>, sums: &mut Sums) {
    // SAFETY: the caller gives rows, a block and biases that exist.
    unsafe {
        let mut totals = [[_mm256_setzero_si256(); 4]; ROWS];
        for segment in tile.segments {
            let mut left = tile.left.add(segment.start);
            let end = tile.left.add(segment.end);
            let mut weights = tile.weights.add(segment.start * BLOCK_COLUMNS);
            while left < end {
                let quarters = [0, 16, 32, 48].map(|quarter| {
                    _mm256_cvtepi8_epi16(_mm_loadu_si128(weights.add(quarter).cast()))
                });
                for (row, totals) in totals.iter_mut().enumerate() {
                    let values = left.add(row * tile.stride).cast::<i32>().read_unaligned();
                    let values = _mm256_cvtepu8_epi16(_mm_set1_epi32(values));
                    for (total, weights) in totals.iter_mut().zip(quarters) {
                        *total = _mm256_add_epi32(*total, _mm256_madd_epi16(values, weights));
                    }
                }
                left = left.add(DEPTH_STEP);
                weights = weights.add(DEPTH_STEP * BLOCK_COLUMNS);
            }
        }
        for (sums, [a, b, c, d]) in sums.iter_mut().zip(totals) {
            for (half, pair) in [(0, [a, b]), (8, [c, d])] {
                let [first, second] = pair;
                // Sums of pairs: columns 0 1 4 5 2 3 6 7.
                let mixed = _mm256_hadd_epi32(first, second);
                let ordered = _mm256_permute4x64_epi64::<0b11_01_10_00>(mixed);
                let bias = _mm256_loadu_si256(tile.bias.add(half).cast());
                let to = sums.as_mut_ptr().add(half).cast();
                _mm256_storeu_si256(to, _mm256_add_epi32(ordered, bias));
            }
        }
    }
}
