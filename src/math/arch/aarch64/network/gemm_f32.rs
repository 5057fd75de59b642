//! Tiles of f32 products in registers: four rows of a column block, 16 accumulators.

use crate::math::arch::aarch64::lanes::Neon;
use crate::math::network::activation_f32::{
    self, Activation, Clip, Epilogue, Function, HardSwish, Identity,
};
use crate::math::network::floats::Floats;
use crate::math::network::gemm_f32::{BLOCK, Tile, TileKernel, Weights};
use crate::math::network::vector::tile_f32::{read_sums, rows_of, starts, write_sums};
use core::arch::aarch64::*;
use core::arch::asm;

/// Rows of a tile.
const ROWS: usize = 4;

/// The kernel.
pub const NEON: TileKernel = TileKernel {
    run: |tile| {
        if !tile.fits(ROWS, 1) {
            return;
        }
        // SAFETY: the tile's slices hold all that the kernel touches.
        unsafe {
            match tile.weights {
                Weights::F32(weights) => by_size(tile, weights.as_ptr()),
                Weights::F16(weights) => by_size(tile, weights.as_ptr()),
            }
        }
    },
    rows: &[ROWS],
};

/// The values of a line of 16.
type Line = [float32x4_t; 4];

/// Weights as the kernel reads them: a line at a time.
trait Lines: Copy {
    /// The line `lines` further on.
    ///
    /// # Safety
    /// It must be readable.
    unsafe fn read_line(self, lines: usize) -> Line;
    /// The pointer to it.
    fn line(self, lines: usize) -> Self;
}

impl Lines for *const f32 {
    #[inline(always)]
    unsafe fn read_line(self, lines: usize) -> Line {
        // SAFETY: the caller's.
        unsafe {
            let from = self.add(lines * BLOCK);
            [
                vld1q_f32(from),
                vld1q_f32(from.add(4)),
                vld1q_f32(from.add(8)),
                vld1q_f32(from.add(12)),
            ]
        }
    }

    #[inline(always)]
    fn line(self, lines: usize) -> Self {
        self.wrapping_add(lines * BLOCK)
    }
}

impl Lines for *const u16 {
    #[inline(always)]
    unsafe fn read_line(self, lines: usize) -> Line {
        // SAFETY: the caller's.
        unsafe {
            let from = self.add(lines * BLOCK);
            let (low, high) = (vld1q_u16(from), vld1q_u16(from.add(8)));
            [
                widen(vget_low_u16(low)),
                widen(vget_high_u16(low)),
                widen(vget_low_u16(high)),
                widen(vget_high_u16(high)),
            ]
        }
    }

    #[inline(always)]
    fn line(self, lines: usize) -> Self {
        self.wrapping_add(lines * BLOCK)
    }
}

/// f16 to f32. The intrinsic is not stable in every compiler that this crate supports.
#[inline(always)]
fn widen(bits: uint16x4_t) -> float32x4_t {
    let wide: float32x4_t;
    // SAFETY: every processor with NEON has the instruction, which touches its operands only.
    unsafe {
        asm!(
            "fcvtl {wide:v}.4s, {bits:v}.4h",
            wide = lateout(vreg) wide,
            bits = in(vreg) bits,
            options(pure, nomem, nostack, preserves_flags),
        );
    }
    wide
}

/// # Safety
/// The tile fits; `weights` are its own.
#[inline(always)]
unsafe fn by_size<L: Lines>(tile: &mut Tile<'_>, weights: L) {
    // SAFETY: the caller's; every arm takes as many rows as the tile has, or more.
    unsafe {
        match tile.rows {
            1 => tile_of::<1, L>(tile, weights),
            2 => tile_of::<2, L>(tile, weights),
            _ => tile_of::<ROWS, L>(tile, weights),
        }
    }
}

/// # Safety
/// As for [`by_size`]; the tile has at most `ROWS` rows.
#[inline(never)]
unsafe fn tile_of<const ROWS: usize, L: Lines>(tile: &mut Tile<'_>, weights: L) {
    // SAFETY: the intrinsics need NEON, which this module is compiled for.
    let mut sums = [[unsafe { vdupq_n_f32(0.0) }; 4]; ROWS];
    if tile.accumulate {
        let buffer = read_sums::<ROWS, 1>(tile);
        for (sums, [buffer]) in sums.iter_mut().zip(&buffer) {
            // SAFETY: the array is a line.
            *sums = unsafe { buffer.as_ptr().read_line(0) };
        }
    }
    for (index, segment) in tile.panel.segments() {
        let Some(rows) = starts::<ROWS>(tile, index) else { continue };
        // SAFETY: the rows are as long as the segment; the tile's weights hold a block of its
        // depth, inside which the segment ends.
        unsafe { add_segment(rows, segment.len, weights.line(segment.start), &mut sums) };
    }
    let epilogue = tile.epilogue.unwrap_or(Epilogue::NONE);
    if tile.rows == ROWS && tile.columns == BLOCK && epilogue.is_plain() {
        // SAFETY: the tile has all the rows and columns, and its output holds it.
        return unsafe { write_plain(tile, &epilogue, sums) };
    }
    let mut buffer = [[[0.0; BLOCK]; 1]; ROWS];
    for (sums, [buffer]) in sums.iter().zip(&mut buffer) {
        for (sum, places) in sums.iter().zip(buffer.as_chunks_mut::<4>().0) {
            // SAFETY: the array has four places.
            unsafe { vst1q_f32(places.as_mut_ptr(), *sum) };
        }
    }
    write_sums(tile, &buffer);
    if tile.epilogue.is_some() {
        activation_f32::finish::<Neon>(&epilogue, rows_of(tile));
    }
}

/// # Safety
/// The rows have `len` values, the weights as many lines.
#[inline(always)]
unsafe fn add_segment<const ROWS: usize, L: Lines>(
    rows: [*const f32; ROWS],
    len: usize,
    weights: L,
    sums: &mut [Line; ROWS],
) {
    // SAFETY: the caller's.
    unsafe {
        let mut values = [vdupq_n_f32(0.0); ROWS];
        let mut at = 0;
        while at + 4 <= len {
            for (values, row) in values.iter_mut().zip(rows) {
                *values = vld1q_f32(row.add(at));
            }
            let weights = weights.line(at);
            add_line::<ROWS, 0>(sums, weights.read_line(0), &values);
            add_line::<ROWS, 1>(sums, weights.read_line(1), &values);
            add_line::<ROWS, 2>(sums, weights.read_line(2), &values);
            add_line::<ROWS, 3>(sums, weights.read_line(3), &values);
            at += 4;
        }
        while at < len {
            for (values, row) in values.iter_mut().zip(rows) {
                *values = vdupq_n_f32(*row.add(at));
            }
            add_line::<ROWS, 0>(sums, weights.read_line(at), &values);
            at += 1;
        }
    }
}

/// The products of a line with lane `LANE` of the rows' values.
#[inline(always)]
fn add_line<const ROWS: usize, const LANE: i32>(
    sums: &mut [Line; ROWS],
    line: Line,
    values: &[float32x4_t; ROWS],
) {
    for (sums, values) in sums.iter_mut().zip(values) {
        for (sum, weights) in sums.iter_mut().zip(line) {
            // SAFETY: the intrinsics need NEON, which this module is compiled for.
            *sum = unsafe { vfmaq_laneq_f32::<LANE>(*sum, weights, *values) };
        }
    }
}

/// Writes sums through an epilogue that is plain.
///
/// # Safety
/// The tile must have `ROWS` rows and a full block, and fit.
#[inline(always)]
unsafe fn write_plain<const ROWS: usize>(
    tile: &mut Tile<'_>,
    epilogue: &Epilogue<'_>,
    sums: [Line; ROWS],
) {
    let scale = <Neon as Floats>::splat(epilogue.scale);
    let bias = [0, 8].map(|at| <Neon as Floats>::load(epilogue.bias.get(at..).unwrap_or_default()));
    let mut values = [[scale; 2]; ROWS];
    for (values, [a, b, c, d]) in values.iter_mut().zip(sums) {
        let ([first, second], [first_bias, second_bias]) = ([Neon([a, b]), Neon([c, d])], bias);
        *values = [first.mul_add(scale, first_bias), second.mul_add(scale, second_bias)];
    }
    let (out, stride) = (tile.out.as_mut_ptr(), tile.out_stride);
    // SAFETY: the caller's.
    unsafe {
        match epilogue.activation {
            Activation::Clip { low, high } => {
                let [low, high] = [low, high].map(<Neon as Floats>::splat);
                write(out, stride, &values, Clip { low, high });
            }
            Activation::HardSwish => write(out, stride, &values, HardSwish),
            _ => write(out, stride, &values, Identity),
        }
    }
}

/// Writes full blocks of values, rows `stride` apart, through a function.
///
/// # Safety
/// The output must have the rows and columns.
#[inline(always)]
unsafe fn write<const ROWS: usize>(
    out: *mut f32,
    stride: usize,
    values: &[[Neon; 2]; ROWS],
    function: impl Function<Neon>,
) {
    for (row, values) in values.iter().enumerate() {
        for (half, value) in values.iter().enumerate() {
            let Neon([low, high]) = function.apply(*value, 0);
            let place = out.wrapping_add(row * stride + half * 8);
            // SAFETY: the caller's.
            unsafe {
                vst1q_f32(place, low);
                vst1q_f32(place.add(4), high);
            }
        }
    }
}
