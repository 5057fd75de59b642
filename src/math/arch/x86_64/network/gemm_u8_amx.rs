//! Products of u8 and s8 in the matrix unit of Intel processors (AMX): two by two tiles of 16 rows
//! and 16 columns.

use super::gemm_u8_finish::{Part, Requantizer, TILE_COLUMNS, Target};
use super::gemm_u8_vnni::{gemm_rows, gemm_vnni, group_columns};
#[cfg(target_os = "linux")]
use crate::math::arch::x86_64::cpu::Cpu;
use crate::math::network::gemm_u8::{BLOCK_COLUMNS, GemmU8, TILE_DEPTH, rows_fit};
use core::arch::asm;
use core::mem::MaybeUninit;
use core::ops::Range;

/// Rows of a pair of tiles.
const TILE_ROWS: usize = 32;
/// Sums of a pair of tiles.
const SUMS: usize = TILE_ROWS * TILE_COLUMNS;
/// Bytes of rows that meet all columns of a group while they stay in the first-level cache.
const PANEL_BYTES: usize = 16 << 10;

/// Whether the processor has AMX-INT8 and the system lets this process use it, which Linux is asked
/// for.
#[cfg(target_os = "linux")]
pub fn is_permitted() -> bool {
    Cpu::detect().amx_int8 && request()
}

/// Without a system to ask, never.
#[cfg(not(target_os = "linux"))]
pub fn is_permitted() -> bool {
    false
}

/// Asks Linux for the use of tile data: `arch_prctl(ARCH_REQ_XCOMP_PERM, XFEATURE_XTILEDATA)`.
#[cfg(target_os = "linux")]
fn request() -> bool {
    const ARCH_PRCTL: i64 = 158;
    const ARCH_REQ_XCOMP_PERM: i64 = 0x1023;
    const XFEATURE_XTILEDATA: i64 = 18;
    let result: i64;
    // SAFETY: a system call that touches no memory of this process; the kernel overwrites rcx and
    // r11.
    unsafe {
        asm!(
            "syscall",
            inlateout("rax") ARCH_PRCTL => result,
            in("rdi") ARCH_REQ_XCOMP_PERM,
            in("rsi") XFEATURE_XTILEDATA,
            lateout("rcx") _,
            lateout("r11") _,
            options(nostack)
        );
    }
    result == 0
}

/// Tile shapes: eight tiles of 16 rows of 64 bytes.
#[repr(C, align(64))]
struct Configuration {
    palette: u8,
    start_row: u8,
    reserved: [u8; 14],
    row_bytes: [u16; 16],
    rows: [u8; 16],
}

static CONFIGURATION: Configuration = Configuration {
    palette: 1,
    start_row: 0,
    reserved: [0; 14],
    row_bytes: [64, 64, 64, 64, 64, 64, 64, 64, 0, 0, 0, 0, 0, 0, 0, 0],
    rows: [16, 16, 16, 16, 16, 16, 16, 16, 0, 0, 0, 0, 0, 0, 0, 0],
};

/// Whether all segments start and end at steps of 64, and the last row has bytes to be read.
fn suits_tiles(gemm: &GemmU8<'_>) -> bool {
    let aligned = |segment: &Range<usize>| {
        segment.is_empty()
            || segment.start.is_multiple_of(TILE_DEPTH)
                && (segment.end.is_multiple_of(TILE_DEPTH) || segment.end == gemm.right.depth)
    };
    let read = gemm.depth_end().next_multiple_of(TILE_DEPTH);
    gemm.left.rows >= TILE_ROWS
        && gemm.right.depth_padded.is_multiple_of(TILE_DEPTH)
        && gemm.segments.iter().all(aligned)
        && rows_fit(gemm.left.data.len(), gemm.left.rows, gemm.left.stride, read)
}

/// The product. Rows that are too few for tiles, and depths that do not suit them, go to AVX-512.
///
/// # Safety
/// AVX-512 F, BW, VL, VBMI and VNNI, AMX-INT8 permitted; `target` was made of `gemm`.
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni,avx512vbmi")]
pub unsafe fn gemm_amx(gemm: &GemmU8<'_>, target: &Target<'_>) {
    if !suits_tiles(gemm) {
        // SAFETY: the caller's promises.
        return unsafe { gemm_vnni(gemm, target) };
    }
    let rows = gemm.left.rows;
    let depth: usize = gemm.segments.iter().map(|segment| segment.len()).sum();
    let panel = (PANEL_BYTES / depth.max(1) / TILE_ROWS).max(1) * TILE_ROWS;
    let group = group_columns(gemm);
    // SAFETY: the caller's promises; rows and columns lie within the result. Tiles are released
    // before anything else can run on this thread's behalf.
    unsafe {
        asm!("ldtilecfg [{}]", in(reg) &raw const CONFIGURATION, options(nostack, readonly));
        for first in (0..gemm.right.columns).step_by(group) {
            let columns = first..gemm.right.columns.min(first + group);
            for row in (0..rows).step_by(panel) {
                panel_tiles(gemm, target, row..rows.min(row + panel), columns.clone());
            }
        }
        asm!("tilerelease", options(nostack, nomem));
    }
}

/// A panel of rows with a group of columns. Tiles of sums alternate between two buffers: while the
/// matrix unit fills one, the other is requantised.
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni,avx512vbmi")]
unsafe fn panel_tiles(
    gemm: &GemmU8<'_>,
    target: &Target<'_>,
    rows: Range<usize>,
    columns: Range<usize>,
) {
    let mut buffers = Buffers(MaybeUninit::uninit());
    let buffers = buffers.0.as_mut_ptr().cast::<i32>();
    let mut waiting: Option<Part> = None;
    let mut turn = 0;
    let rest = rows.len() % TILE_ROWS;
    // A few rows at the end are cheaper without tiles; more are covered by overlapping the last.
    let overlap = rest > 8;
    let tiled = if overlap { rows.end } else { rows.end - rest };
    // SAFETY: all tiles lie within the rows and columns of the result: `rows.end` is at least 32.
    unsafe {
        for column in columns.clone().step_by(TILE_COLUMNS) {
            let width = (columns.end - column).min(TILE_COLUMNS);
            for row in (rows.start..tiled).step_by(TILE_ROWS) {
                let row = row.min(rows.end - TILE_ROWS);
                let part = Part { row, rows: TILE_ROWS, column, columns: width };
                let (sums, last) = (buffers.add(turn * SUMS), buffers.add((1 - turn) * SUMS));
                tile(gemm, target, (part, sums), waiting.replace(part).map(|part| (part, last)));
                turn = 1 - turn;
            }
        }
        if let Some(part) = waiting {
            target.finish(part, buffers.add((1 - turn) * SUMS));
        }
        if tiled < rows.end {
            gemm_rows(gemm, target, tiled..rows.end, columns);
        }
    }
}

#[repr(align(64))]
struct Buffers(MaybeUninit<[[i32; SUMS]; 2]>);

/// A part of the result and its sums.
type Sums = (Part, *mut i32);

/// Sums of a tile, while those of the last are finished.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni,avx512vbmi")]
unsafe fn tile(gemm: &GemmU8<'_>, target: &Target<'_>, now: Sums, last: Option<Sums>) {
    let wide = |part: Part| part.columns > BLOCK_COLUMNS;
    let Some(last) = last.filter(|(part, _)| wide(*part) == wide(now.0)) else {
        // SAFETY: the caller's promises.
        unsafe {
            if let Some((part, sums)) = last {
                target.finish(part, sums);
            }
            return match wide(now.0) {
                true => multiply::<true>(gemm, now, || {}),
                false => multiply::<false>(gemm, now, || {}),
            };
        }
    };
    // SAFETY: the caller's promises.
    unsafe {
        match (target.has_table(), wide(now.0)) {
            (false, false) => tile_beside::<false, false>(gemm, target, now, last),
            (false, true) => tile_beside::<false, true>(gemm, target, now, last),
            (true, false) => tile_beside::<true, false>(gemm, target, now, last),
            (true, true) => tile_beside::<true, true>(gemm, target, now, last),
        }
    }
}

/// Sums of a tile; pieces of the last one's requantisation are put between the matrix unit's
/// instructions. The processor looks ahead too little to overlap the two by itself.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni,avx512vbmi")]
unsafe fn tile_beside<const TABLE: bool, const WIDE: bool>(
    gemm: &GemmU8<'_>,
    target: &Target<'_>,
    now: Sums,
    (part, sums): Sums,
) {
    // SAFETY: the caller's promises; `requantizer` is of the last part.
    unsafe {
        let Some(mut requantizer) = target.requantizer::<TABLE, WIDE>(part, sums) else {
            target.finish(part, sums);
            return multiply::<WIDE>(gemm, now, || {});
        };
        let steps: usize =
            gemm.segments.iter().map(|segment| segment.len().div_ceil(TILE_DEPTH)).sum();
        let places = steps * if WIDE { 4 } else { 2 };
        let pieces = TILE_ROWS / Requantizer::<TABLE, WIDE>::ROWS;
        let share = pieces.div_ceil(places.max(1));
        multiply::<WIDE>(gemm, now, || {
            for _ in 0..share {
                requantizer.next();
            }
        });
        requantizer.rest();
    }
}

/// Sums of 32 rows and 32 columns (`WIDE`) or 16. `beside` runs after each product of tiles.
///
/// Tile registers 0 to 3 hold sums, 4 and 5 rows, 6 and 7 weights. They keep their values from one
/// block of assembly to the next: the compiler has no use of its own for tile registers, and
/// `beside` does not touch them.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni,avx512vbmi")]
unsafe fn multiply<const WIDE: bool>(
    gemm: &GemmU8<'_>,
    (part, sums): Sums,
    mut beside: impl FnMut(),
) {
    let stride = gemm.left.stride;
    // SAFETY: `Target::new` and `suits_tiles` have checked rows, blocks and biases; a second block
    // is used only where there is one; the buffer has 32 rows of 32 sums. Tiles are configured.
    unsafe {
        let left = gemm.left.data.as_ptr().add(part.row * stride);
        let block_len = gemm.right.block_len();
        let weights = gemm.right.data.as_ptr().add(part.column / BLOCK_COLUMNS * block_len);
        let bias = gemm.bias.as_ptr().add(part.column);
        load_bias::<0, 2>(bias);
        if WIDE {
            load_bias::<1, 3>(bias.add(BLOCK_COLUMNS));
        }
        for segment in gemm.segments {
            for depth in segment.clone().step_by(TILE_DEPTH) {
                let first = left.add(depth);
                let block = weights.add(depth * BLOCK_COLUMNS);
                multiply_first(first, stride, block);
                beside();
                if WIDE {
                    multiply_second(block.add(block_len));
                    beside();
                }
                multiply_third(first.add(stride * 16), stride);
                beside();
                if WIDE {
                    multiply_fourth();
                    beside();
                }
            }
        }
        store_sums::<0, 2>(sums);
        if WIDE {
            store_sums::<1, 3>(sums.add(BLOCK_COLUMNS));
        }
    }
}

/// Starts two tiles of sums with 16 biases: every row is loaded from the same place.
#[inline(always)]
unsafe fn load_bias<const UPPER: usize, const LOWER: usize>(bias: *const i32) {
    // SAFETY: the caller gives 16 biases.
    unsafe {
        asm!(
            "tileloadd tmm{upper}, [{bias} + {zero}]",
            "tileloadd tmm{lower}, [{bias} + {zero}]",
            upper = const UPPER,
            lower = const LOWER,
            bias = in(reg) bias,
            zero = in(reg) 0usize,
            options(nostack, readonly, preserves_flags)
        );
    }
}

/// Rows 0 to 15 with the first block of weights.
#[inline(always)]
unsafe fn multiply_first(left: *const u8, stride: usize, weights: *const i8) {
    // SAFETY: the caller gives 16 rows of 64 bytes and 1,024 weights.
    unsafe {
        asm!(
            "tileloadd tmm4, [{left} + {stride}]",
            "tileloadd tmm6, [{weights} + {row}]",
            "tdpbusd tmm0, tmm4, tmm6",
            left = in(reg) left,
            stride = in(reg) stride,
            weights = in(reg) weights,
            row = in(reg) 64usize,
            options(nostack, readonly, preserves_flags)
        );
    }
}

/// The same rows with the second block.
#[inline(always)]
unsafe fn multiply_second(weights: *const i8) {
    // SAFETY: the caller gives 1,024 weights.
    unsafe {
        asm!(
            "tileloadd tmm7, [{weights} + {row}]",
            "tdpbusd tmm1, tmm4, tmm7",
            weights = in(reg) weights,
            row = in(reg) 64usize,
            options(nostack, readonly, preserves_flags)
        );
    }
}

/// Rows 16 to 31 with the first block.
#[inline(always)]
unsafe fn multiply_third(left: *const u8, stride: usize) {
    // SAFETY: the caller gives 16 rows of 64 bytes.
    unsafe {
        asm!(
            "tileloadd tmm5, [{left} + {stride}]",
            "tdpbusd tmm2, tmm5, tmm6",
            left = in(reg) left,
            stride = in(reg) stride,
            options(nostack, readonly, preserves_flags)
        );
    }
}

/// Rows 16 to 31 with the second block.
#[inline(always)]
unsafe fn multiply_fourth() {
    // SAFETY: only tile registers change.
    unsafe { asm!("tdpbusd tmm3, tmm5, tmm7", options(nostack, nomem, preserves_flags)) };
}

/// Stores two tiles of sums, one above the other.
#[inline(always)]
unsafe fn store_sums<const UPPER: usize, const LOWER: usize>(sums: *mut i32) {
    // SAFETY: the caller gives 32 rows of 16 sums, TILE_COLUMNS apart.
    unsafe {
        asm!(
            "tilestored [{sums} + {row}], tmm{upper}",
            "tilestored [{sums} + {row} + 2048], tmm{lower}",
            upper = const UPPER,
            lower = const LOWER,
            sums = in(reg) sums,
            row = in(reg) TILE_COLUMNS * size_of::<i32>(),
            options(nostack, preserves_flags)
        );
    }
}
