//! Packing of weights, ahead of time.

use super::BLOCK;

/// Packed length of weights of so many columns and rows.
pub const fn packed_len(columns: usize, depth: usize) -> usize {
    columns.div_ceil(BLOCK).saturating_mul(BLOCK).saturating_mul(depth)
}

/// Packs `weights` from `[column][depth]`. False where a slice is too short.
pub fn pack_gemm_f32(weights: &[f32], columns: usize, depth: usize, packed: &mut [f32]) -> bool {
    pack(columns, depth, packed, |column, at| at_index(weights, column, depth, at))
}

/// Packs `weights` from `[depth][column]`. False where a slice is too short.
pub fn pack_gemm_transposed_f32(
    weights: &[f32],
    columns: usize,
    depth: usize,
    packed: &mut [f32],
) -> bool {
    pack(columns, depth, packed, |column, at| at_index(weights, at, columns, column))
}

/// Packs `weights` from `[column][depth]` as bits of f16. False where a slice is too short.
pub fn pack_gemm_f16(weights: &[f32], columns: usize, depth: usize, packed: &mut [u16]) -> bool {
    pack(columns, depth, packed, |column, at| {
        at_index(weights, column, depth, at).map(|value| half::f16::from_f32(value).to_bits())
    })
}

/// Packs `weights` from `[depth][column]` as bits of f16. False where a slice is too short.
pub fn pack_gemm_transposed_f16(
    weights: &[f32],
    columns: usize,
    depth: usize,
    packed: &mut [u16],
) -> bool {
    pack(columns, depth, packed, |column, at| {
        at_index(weights, at, columns, column).map(|value| half::f16::from_f32(value).to_bits())
    })
}

fn at_index(weights: &[f32], row: usize, stride: usize, column: usize) -> Option<f32> {
    weights.get(row.checked_mul(stride)?.checked_add(column)?).copied()
}

/// Packs the values that `weight(column, depth)` gives.
pub(in crate::math::network) fn pack<T: Copy + Default>(
    columns: usize,
    depth: usize,
    packed: &mut [T],
    weight: impl Fn(usize, usize) -> Option<T>,
) -> bool {
    let Some(packed) = packed.get_mut(..packed_len(columns, depth)) else { return false };
    let (lines, _) = packed.as_chunks_mut::<BLOCK>();
    let places = (0..columns.div_ceil(BLOCK)).flat_map(|block| {
        let first = block * BLOCK;
        (0..depth).map(move |at| (first, at))
    });
    for (line, (first, at)) in lines.iter_mut().zip(places) {
        for (place, column) in line.iter_mut().zip(first..) {
            *place = T::default();
            if column < columns {
                let Some(value) = weight(column, at) else { return false };
                *place = value;
            }
        }
    }
    true
}
