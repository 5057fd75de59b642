//! What kernels of f32 products do around their sums.

use crate::math::network::activation_f32::Rows;
use crate::math::network::gemm_f32::{BLOCK, Tile, ZEROS};
use crate::math::pieces;

/// Starts of the rows along a segment; rows beyond the tile's repeat the panel's first. `None`
/// where all are zeros.
#[inline(always)]
pub fn starts<const ROWS: usize>(tile: &Tile<'_>, segment: usize) -> Option<[*const f32; ROWS]> {
    let (offsets, present) = tile.panel.rows::<ROWS>(segment, tile.first_row)?;
    let left = tile.left.as_ptr();
    if present == u32::MAX >> (32 - ROWS) {
        return Some(offsets.map(|offset| left.wrapping_add(offset as usize)));
    }
    let zeros = tile.zeros.as_ptr();
    Some(offsets.map(
        |offset| {
            if offset == ZEROS { zeros } else { left.wrapping_add(offset as usize) }
        },
    ))
}

/// Sums of rows and column blocks, outside registers.
pub type Buffer<const ROWS: usize, const BLOCKS: usize> = [[[f32; BLOCK]; BLOCKS]; ROWS];

/// The sums that the tile's output has so far.
#[inline]
pub fn read_sums<const ROWS: usize, const BLOCKS: usize>(tile: &Tile<'_>) -> Buffer<ROWS, BLOCKS> {
    let mut sums = [[[0.0; BLOCK]; BLOCKS]; ROWS];
    for (row, places) in sums.iter_mut().enumerate().take(tile.rows) {
        let from = tile.out.get(row * tile.out_stride..).unwrap_or_default();
        pieces::copy(places.as_flattened_mut(), from.get(..tile.columns).unwrap_or_default());
    }
    sums
}

/// Writes sums to the tile's output as they are.
#[inline]
pub fn write_sums<const ROWS: usize, const BLOCKS: usize>(
    tile: &mut Tile<'_>,
    sums: &Buffer<ROWS, BLOCKS>,
) {
    for (row, values) in sums.iter().enumerate().take(tile.rows) {
        let places = tile.out.get_mut(row * tile.out_stride..).unwrap_or_default();
        pieces::copy(places.get_mut(..tile.columns).unwrap_or_default(), values.as_flattened());
    }
}

/// What is left to be done to sums that have been written.
#[inline]
pub fn rows_of<'a>(tile: &'a mut Tile<'_>) -> Rows<'a> {
    let (rows, columns, stride) = (tile.rows, tile.columns, tile.out_stride);
    Rows { data: tile.out, rows, columns, stride }
}
