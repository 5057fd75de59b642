//! The portable kernel of tiles.

use super::{BLOCK, PANEL, Tile, Weights, ZEROS};
use crate::math::network::activation_f32::{Rows, finish_portable};
use crate::math::pieces;

/// Rows that the portable kernel keeps in registers.
const PORTABLE_ROWS: usize = if cfg!(target_arch = "aarch64") { 4 } else { 2 };

/// Computes a tile.
pub fn tile(tile: &mut Tile<'_>) {
    if !tile.fits(PANEL, 1) {
        return;
    }
    let mut row = 0;
    while row < tile.rows {
        let mut sums = [[0.0; BLOCK]; PORTABLE_ROWS];
        let rows = PORTABLE_ROWS.min(tile.rows - row);
        if tile.accumulate {
            for (sums, row) in sums.iter_mut().zip(row..tile.rows) {
                let from = tile.out.get(row.saturating_mul(tile.out_stride)..).unwrap_or_default();
                pieces::copy(sums, from.get(..tile.columns).unwrap_or_default());
            }
        }
        add_segments(tile, row, &mut sums);
        let first = row.saturating_mul(tile.out_stride);
        let out = tile.out.get_mut(first..).unwrap_or_default();
        let mut places = &mut *out;
        for sums in sums.iter().take(rows) {
            pieces::copy(places.get_mut(..tile.columns).unwrap_or_default(), sums);
            places = places.get_mut(tile.out_stride..).unwrap_or_default();
        }
        if let Some(epilogue) = tile.epilogue {
            let (columns, stride) = (tile.columns, tile.out_stride);
            let rows = Rows { data: out, rows, columns, stride };
            finish_portable(&epilogue.from(row, 0), rows);
        }
        row += PORTABLE_ROWS;
    }
}

fn add_segments(tile: &Tile<'_>, row: usize, sums: &mut [[f32; BLOCK]; PORTABLE_ROWS]) {
    for (index, segment) in tile.panel.segments() {
        let Some((offsets, _)) = tile.panel.rows(index, tile.first_row.saturating_add(row)) else {
            continue;
        };
        let rows = offsets.map(|offset| {
            let from =
                if offset == ZEROS { Some(tile.zeros) } else { tile.left.get(offset as usize..) };
            from.and_then(|from| from.get(..segment.len)).unwrap_or_default()
        });
        let start = segment.start.saturating_mul(BLOCK);
        match tile.weights {
            Weights::F32(weights) => {
                let (lines, _) = weights.get(start..).unwrap_or_default().as_chunks::<BLOCK>();
                add_lines(lines.iter().copied(), segment.len, rows, sums);
            }
            Weights::F16(weights) => {
                let (lines, _) = weights.get(start..).unwrap_or_default().as_chunks::<BLOCK>();
                let widen = |bits: &[u16; BLOCK]| bits.map(|b| half::f16::from_bits(b).to_f32());
                add_lines(lines.iter().map(widen), segment.len, rows, sums);
            }
        }
    }
}

/// Adds the products of a segment. A row shorter than the segment counts as zeros.
#[inline(always)]
fn add_lines(
    lines: impl Iterator<Item = [f32; BLOCK]>,
    len: usize,
    rows: [&[f32]; PORTABLE_ROWS],
    sums: &mut [[f32; BLOCK]; PORTABLE_ROWS],
) {
    let mut total = *sums;
    for (at, line) in lines.take(len).enumerate() {
        for (sums, row) in total.iter_mut().zip(rows) {
            let left = row.get(at).copied().unwrap_or_default();
            for (sum, weight) in sums.iter_mut().zip(line) {
                *sum += left * weight;
            }
        }
    }
    *sums = total;
}
