//! Tiles of f32 products in registers.

use super::floats::{Avx2, Avx512, first_bits};
use super::kernels_f32;
use crate::math::network::activation_f32::{
    Activation, Clip, Epilogue, Function, HardSwish, Identity,
};
use crate::math::network::floats::Floats;
use crate::math::network::gemm_f32::{BLOCK, Tile, TileKernel, Weights};
use crate::math::network::vector::tile_f32::{read_sums, rows_of, starts, write_sums};
use core::arch::x86_64::*;

/// The kernel for AVX-512F: 6 rows of 4 column blocks, 8 of 3, 12 of 2, 12 of 1. Only for
/// processors that have it.
pub const AVX512: TileKernel = TileKernel {
    run: |tile| {
        if tile.fits(12, 4) {
            // SAFETY: this kernel is handed out only where the processor has AVX-512F; the tile's
            // slices hold all that it touches.
            unsafe { tile_avx512(tile) }
        }
    },
    rows: &[12, 12, 8, 6],
};

/// The kernel for AVX2, FMA and F16C: 6 rows of a column block. Only for processors that have them.
pub const AVX2: TileKernel = TileKernel {
    run: |tile| {
        if tile.fits(6, 1) {
            // SAFETY: as for `AVX512`.
            unsafe { tile_avx2(tile) }
        }
    },
    rows: &[6],
};

/// Weights as a kernel reads them: a line of 16 at a time.
trait Lines: Copy {
    /// The pointer to the line `lines` further on.
    fn line(self, lines: usize) -> Self;
    /// Sixteen lanes from `half * 8` on, or eight.
    ///
    /// # Safety
    /// The line must be readable, and the processor able to.
    unsafe fn read_512(self) -> __m512;
    /// Half of a line.
    ///
    /// # Safety
    /// The line must be readable, and the processor able to.
    unsafe fn read_256(self, half: usize) -> __m256;
}

impl Lines for *const f32 {
    #[inline(always)]
    fn line(self, lines: usize) -> Self {
        self.wrapping_add(lines * BLOCK)
    }

    #[inline(always)]
    unsafe fn read_512(self) -> __m512 {
        // SAFETY: the caller's.
        unsafe { _mm512_loadu_ps(self) }
    }

    #[inline(always)]
    unsafe fn read_256(self, half: usize) -> __m256 {
        // SAFETY: the caller's.
        unsafe { _mm256_loadu_ps(self.add(half * 8)) }
    }
}

impl Lines for *const u16 {
    #[inline(always)]
    fn line(self, lines: usize) -> Self {
        self.wrapping_add(lines * BLOCK)
    }

    #[inline(always)]
    unsafe fn read_512(self) -> __m512 {
        // SAFETY: the caller's.
        unsafe { _mm512_cvtph_ps(_mm256_loadu_si256(self.cast())) }
    }

    #[inline(always)]
    unsafe fn read_256(self, half: usize) -> __m256 {
        // SAFETY: the caller's.
        unsafe { _mm256_cvtph_ps(_mm_loadu_si128(self.add(half * 8).cast())) }
    }
}

/// # Safety
/// The processor must have AVX-512F, and the tile must fit.
#[target_feature(enable = "avx512f")]
unsafe fn tile_avx512(tile: &mut Tile<'_>) {
    // SAFETY: the caller's; every arm takes as many rows and blocks as the tile has, or more rows.
    unsafe {
        match tile.weights {
            Weights::F32(weights) => by_size_512(tile, weights.as_ptr()),
            Weights::F16(weights) => by_size_512(tile, weights.as_ptr()),
        }
    }
}

/// # Safety
/// As for [`tile_avx512`]; `weights` are the tile's.
#[target_feature(enable = "avx512f")]
unsafe fn by_size_512<L: Lines>(tile: &mut Tile<'_>, weights: L) {
    // SAFETY: the caller's.
    unsafe {
        match (tile.blocks(), tile.rows) {
            (4, 1) => sums_512::<1, 4, L>(tile, weights),
            (4, ..=6) => sums_512::<6, 4, L>(tile, weights),
            (3, ..=8) => sums_512::<8, 3, L>(tile, weights),
            (2, ..=6) => sums_512::<6, 2, L>(tile, weights),
            (2, ..=12) => sums_512::<12, 2, L>(tile, weights),
            (1, ..=12) => sums_512::<12, 1, L>(tile, weights),
            _ => {}
        }
    }
}

/// # Safety
/// As for [`by_size_512`]; the tile has `BLOCKS` blocks and at most `ROWS` rows.
// Loops over sums have short bodies of known count, else they are not unrolled, and the sums not
// kept in registers.
#[target_feature(enable = "avx512f")]
unsafe fn sums_512<const ROWS: usize, const BLOCKS: usize, L: Lines>(
    tile: &mut Tile<'_>,
    weights: L,
) {
    let mut sums = [[_mm512_setzero_ps(); BLOCKS]; ROWS];
    if tile.accumulate {
        let buffer = read_sums::<ROWS, BLOCKS>(tile);
        for (sums, buffer) in sums.iter_mut().zip(&buffer) {
            for (sum, buffer) in sums.iter_mut().zip(buffer) {
                // SAFETY: the array has 16 places.
                *sum = unsafe { _mm512_loadu_ps(buffer.as_ptr()) };
            }
        }
    }
    for (index, segment) in tile.panel.segments() {
        let Some(rows) = starts::<ROWS>(tile, index) else { continue };
        let weights = weights.line(segment.start);
        for at in 0..segment.len {
            let mut lines = [_mm512_setzero_ps(); BLOCKS];
            for (block, line) in lines.iter_mut().enumerate() {
                // SAFETY: the tile's weights hold `BLOCKS` blocks of its depth, and the segment
                // ends inside the depth.
                *line = unsafe { weights.line(block * tile.depth + at).read_512() };
            }
            for (sums, row) in sums.iter_mut().zip(rows) {
                // SAFETY: the rows are as long as the segment.
                let left = _mm512_set1_ps(unsafe { *row.add(at) });
                for (sum, line) in sums.iter_mut().zip(lines) {
                    *sum = _mm512_fmadd_ps(left, line, *sum);
                }
            }
        }
    }
    let epilogue = tile.epilogue.unwrap_or(Epilogue::NONE);
    if tile.rows == ROWS && epilogue.is_plain() {
        // SAFETY: the tile has all the rows, and its output holds it.
        return unsafe { write_plain_512(tile, &epilogue, sums) };
    }
    let mut buffer = [[[0.0; BLOCK]; BLOCKS]; ROWS];
    for (sums, buffer) in sums.iter().zip(&mut buffer) {
        for (sum, buffer) in sums.iter().zip(buffer) {
            // SAFETY: the array has 16 places.
            unsafe { _mm512_storeu_ps(buffer.as_mut_ptr(), *sum) };
        }
    }
    write_sums(tile, &buffer);
    if tile.epilogue.is_some() {
        kernels_f32::avx512::finish(&epilogue, rows_of(tile));
    }
}

/// Writes sums through an epilogue that is plain.
///
/// # Safety
/// The tile must have `ROWS` rows and `BLOCKS` blocks, and fit.
#[target_feature(enable = "avx512f")]
#[inline]
unsafe fn write_plain_512<const ROWS: usize, const BLOCKS: usize>(
    tile: &mut Tile<'_>,
    epilogue: &Epilogue<'_>,
    mut sums: [[__m512; BLOCKS]; ROWS],
) {
    let scale = Avx512::splat(epilogue.scale);
    let mut bias = [Avx512::splat(0.0); BLOCKS];
    for (block, bias) in bias.iter_mut().enumerate() {
        *bias = Avx512::load(epilogue.bias.get(block * BLOCK..).unwrap_or_default());
    }
    for sums in &mut sums {
        for (sum, bias) in sums.iter_mut().zip(bias) {
            *sum = Avx512(*sum).mul_add(scale, bias).0;
        }
    }
    let last = first_bits(tile.columns - (BLOCKS - 1) * BLOCK);
    let out = Output { start: tile.out.as_mut_ptr(), stride: tile.out_stride, last };
    // SAFETY: the caller's.
    unsafe {
        match epilogue.activation {
            Activation::Clip { low, high } => {
                let (low, high) = (Avx512::splat(low), Avx512::splat(high));
                out.write(&sums, Clip { low, high });
            }
            Activation::HardSwish => out.write(&sums, HardSwish),
            _ => out.write(&sums, Identity),
        }
    }
}

/// Rows of an output.
struct Output {
    start: *mut f32,
    stride: usize,
    /// A bit per column of the last block that is written.
    last: __mmask16,
}

impl Output {
    /// Writes values through a function.
    ///
    /// # Safety
    /// The output must have the rows and columns, and the processor AVX-512F.
    #[inline(always)]
    unsafe fn write<const ROWS: usize, const BLOCKS: usize>(
        &self,
        values: &[[__m512; BLOCKS]; ROWS],
        function: impl Function<Avx512>,
    ) {
        for (row, values) in values.iter().enumerate() {
            let place = self.start.wrapping_add(row * self.stride);
            for (block, value) in values.iter().enumerate() {
                let value = function.apply(Avx512(*value), 0);
                let place = place.wrapping_add(block * BLOCK);
                let bits = if block + 1 == BLOCKS { self.last } else { !0 };
                // SAFETY: the caller's.
                unsafe { _mm512_mask_storeu_ps(place, bits, value.0) };
            }
        }
    }
}

/// # Safety
/// The processor must have AVX2, FMA and F16C, and the tile must fit 6 rows and a block.
#[target_feature(enable = "avx2,fma,f16c")]
unsafe fn tile_avx2(tile: &mut Tile<'_>) {
    // SAFETY: the caller's.
    unsafe {
        match tile.weights {
            Weights::F32(weights) => sums_256::<6, _>(tile, weights.as_ptr()),
            Weights::F16(weights) => sums_256::<6, _>(tile, weights.as_ptr()),
        }
    }
}

/// # Safety
/// As for [`tile_avx2`]; `weights` are the tile's.
#[target_feature(enable = "avx2,fma,f16c")]
unsafe fn sums_256<const ROWS: usize, L: Lines>(tile: &mut Tile<'_>, weights: L) {
    let mut sums = [[_mm256_setzero_ps(); 2]; ROWS];
    if tile.accumulate {
        let buffer = read_sums::<ROWS, 1>(tile);
        for (sums, [buffer]) in sums.iter_mut().zip(&buffer) {
            let (halves, _) = buffer.as_chunks::<8>();
            for (sum, half) in sums.iter_mut().zip(halves) {
                // SAFETY: the array has 8 places.
                *sum = unsafe { _mm256_loadu_ps(half.as_ptr()) };
            }
        }
    }
    for (index, segment) in tile.panel.segments() {
        let Some(rows) = starts::<ROWS>(tile, index) else { continue };
        let weights = weights.line(segment.start);
        for at in 0..segment.len {
            let line = weights.line(at);
            // SAFETY: the tile's weights hold a block of its depth, and the segment ends inside.
            let lines = unsafe { [line.read_256(0), line.read_256(1)] };
            for (sums, row) in sums.iter_mut().zip(rows) {
                // SAFETY: the rows are as long as the segment.
                let left = _mm256_set1_ps(unsafe { *row.add(at) });
                for (sum, line) in sums.iter_mut().zip(lines) {
                    *sum = _mm256_fmadd_ps(left, line, *sum);
                }
            }
        }
    }
    let epilogue = tile.epilogue.unwrap_or(Epilogue::NONE);
    if tile.rows == ROWS && tile.columns == BLOCK && epilogue.is_plain() {
        // SAFETY: the tile has all the rows and columns, and its output holds it.
        return unsafe { write_plain_256(tile, &epilogue, sums) };
    }
    let mut buffer = [[[0.0; BLOCK]; 1]; ROWS];
    for (sums, [buffer]) in sums.iter().zip(&mut buffer) {
        let (halves, _) = buffer.as_chunks_mut::<8>();
        for (sum, half) in sums.iter().zip(halves) {
            // SAFETY: the array has 8 places.
            unsafe { _mm256_storeu_ps(half.as_mut_ptr(), *sum) };
        }
    }
    write_sums(tile, &buffer);
    if tile.epilogue.is_some() {
        kernels_f32::avx2::finish(&epilogue, rows_of(tile));
    }
}

/// Writes sums through an epilogue that is plain.
///
/// # Safety
/// The tile must have `ROWS` rows and a full block, and fit.
#[target_feature(enable = "avx2,fma,f16c")]
#[inline]
unsafe fn write_plain_256<const ROWS: usize>(
    tile: &mut Tile<'_>,
    epilogue: &Epilogue<'_>,
    mut sums: [[__m256; 2]; ROWS],
) {
    let scale = Avx2::splat(epilogue.scale);
    let bias = [0, 8].map(|first| Avx2::load(epilogue.bias.get(first..).unwrap_or_default()));
    for sums in &mut sums {
        for (sum, bias) in sums.iter_mut().zip(bias) {
            *sum = Avx2(*sum).mul_add(scale, bias).0;
        }
    }
    let (out, stride) = (tile.out.as_mut_ptr(), tile.out_stride);
    // SAFETY: the caller's.
    unsafe {
        match epilogue.activation {
            Activation::Clip { low, high } => {
                let (low, high) = (Avx2::splat(low), Avx2::splat(high));
                write_256(out, stride, &sums, Clip { low, high });
            }
            Activation::HardSwish => write_256(out, stride, &sums, HardSwish),
            _ => write_256(out, stride, &sums, Identity),
        }
    }
}

/// Writes full blocks of values, rows `stride` apart, through a function.
///
/// # Safety
/// The output must have the rows and columns, and the processor AVX2.
#[inline(always)]
unsafe fn write_256<const ROWS: usize>(
    out: *mut f32,
    stride: usize,
    values: &[[__m256; 2]; ROWS],
    function: impl Function<Avx2>,
) {
    for (row, values) in values.iter().enumerate() {
        for (half, value) in values.iter().enumerate() {
            let value = function.apply(Avx2(*value), 0);
            // SAFETY: the caller's.
            unsafe { _mm256_storeu_ps(out.wrapping_add(row * stride + half * 8), value.0) };
        }
    }
}
