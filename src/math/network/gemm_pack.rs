//! Weights in the order in which the kernels of [`super::gemm_u8`] read them.

use super::gemm_u8::{BLOCK_COLUMNS, DEPTH_STEP};
use crate::math::pieces::pieces_mut;

/// Values of weights of `columns` columns packed with a depth of `depth_padded`, a multiple of 4.
pub const fn packed_gemm_i8_len(columns: usize, depth_padded: usize) -> usize {
    columns.next_multiple_of(BLOCK_COLUMNS).saturating_mul(depth_padded)
}

/// Packs row-major weights `[column][depth]` as `[column block of 16][depth / 4][16][4]`, with
/// zeros behind the last column and the last depth. `depth_padded` is a multiple of 4, at least
/// `depth`; of [`super::gemm_u8::TILE_DEPTH`] to let matrix units be used. Returns false if
/// `packed` is shorter than [`packed_gemm_i8_len`] or `weights` shorter than `columns * depth`.
pub fn pack_gemm_i8(
    weights: &[i8],
    columns: usize,
    depth: usize,
    depth_padded: usize,
    packed: &mut [i8],
) -> bool {
    let fits = depth <= depth_padded
        && depth_padded.is_multiple_of(DEPTH_STEP)
        && columns.checked_mul(depth).is_some_and(|len| len <= weights.len())
        && packed_gemm_i8_len(columns, depth_padded) <= packed.len();
    if !fits {
        return false;
    }
    pack_with(columns, depth_padded, packed, |column, place| {
        if place >= depth {
            return 0;
        }
        weights.get(column * depth + place).copied().unwrap_or(0)
    });
    true
}

/// Packs `value(column, depth)`; zeros behind the last column.
pub(super) fn pack_with(
    columns: usize,
    depth_padded: usize,
    packed: &mut [i8],
    value: impl Fn(usize, usize) -> i8,
) {
    let blocks = pieces_mut(packed, depth_padded.saturating_mul(BLOCK_COLUMNS));
    for (block, packed) in blocks.enumerate().take(columns.div_ceil(BLOCK_COLUMNS)) {
        let (steps, _) = packed.as_chunks_mut::<{ BLOCK_COLUMNS * DEPTH_STEP }>();
        for (step, places) in steps.iter_mut().enumerate() {
            for (index, place) in places.iter_mut().enumerate() {
                let column = block * BLOCK_COLUMNS + index / DEPTH_STEP;
                let depth = step * DEPTH_STEP + index % DEPTH_STEP;
                *place = if column < columns { value(column, depth) } else { 0 };
            }
        }
    }
}
