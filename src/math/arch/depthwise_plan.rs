//! How the vector depthwise kernels of x86-64 divide their work. Other processors have it too:
//! there the memory is counted of a plan that is compiled for x86-64.
//!
//! A group of four vertical taps of one channel makes a dword. Interleaving four input rows once
//! serves `row_count` output rows: output row `j` of a set meets the same dwords with its weights
//! moved down by `row_shift * j` taps. Positions are bytes of an interleaved row. Two modes:
//! - blocks: as many channels of a pixel as a vector has bytes are a block, gaps between pixels are
//!   fine;
//! - flat: a row is a run of bytes without regard to pixels, so that no lane is empty whatever the
//!   channel count; weights, biases and scales are repeated for each phase of a vector within the
//!   least common multiple of vector and channels. Horizontal stride 2 puts even and odd columns
//!   into two planes.

use crate::math::network::window::Window;

/// Bytes that the interleaved rows of a tile shall take at most, where a tile can be that small.
const TILE_BYTES: usize = 24 << 10;
/// No dimension is larger than this, so that no product of four overflows.
const LIMIT: usize = 1 << 15;

/// What the division depends on in a processor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Vectors {
    /// Bytes in a vector.
    pub bytes: usize,
    /// Bytes of the weights of one value and tap group.
    pub weight_bytes: usize,
    /// Output rows at most that the registers hold the sums of.
    pub rows: usize,
}

/// AVX-512 VNNI.
pub const AVX512: Vectors = Vectors { bytes: 64, weight_bytes: 4, rows: 4 };
/// AVX-VNNI, 256 bits.
pub const AVX_VNNI: Vectors = Vectors { bytes: 32, weight_bytes: 4, rows: 2 };
/// AVX2: weights are 16 bits wide.
pub const AVX2: Vectors = Vectors { bytes: 32, weight_bytes: 8, rows: 2 };

/// The division of one layer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Plan {
    /// What it is for.
    pub vectors: Vectors,
    /// Whether rows are taken as runs of bytes.
    pub flat: bool,
    /// Positions per column: the channels if flat, a vector's bytes if not.
    pub positions: usize,
    /// Weight tables: phases if flat, channel blocks if not.
    pub tables: usize,
    /// Output rows made from one interleaving: 1, 2 or 4.
    pub row_count: usize,
    /// Distance of these rows in the output.
    pub row_step: usize,
    /// Distance of these rows in vertical taps.
    pub row_shift: usize,
    /// Groups of four vertical taps.
    pub groups: usize,
    /// Planes of columns.
    pub planes: usize,
    /// Output columns in a tile.
    pub tile_columns: usize,
    /// Bytes of one plane of one group.
    pub plane_len: usize,
    /// Bytes of a table.
    pub table_len: usize,
}

impl Plan {
    /// The plan for rows of `columns` output columns; `dense` if neither map has gaps between
    /// pixels. `None` if a size is out of range.
    pub const fn new(
        vectors: Vectors,
        window: &Window,
        channels: usize,
        columns: usize,
        dense: bool,
    ) -> Option<Plan> {
        let [kernel_rows, kernel_columns] = window.kernel;
        let [stride_y, stride] = window.stride;
        let [dilation_y, dilation] = window.dilation;
        if !usable(window) || out_of(channels, LIMIT) || out_of(columns, LIMIT) {
            return None;
        }
        let bytes = vectors.bytes;
        let phases = channels / max(gcd(channels, bytes), 1);
        let blocks = channels.div_ceil(max(bytes, 1));
        let splits = stride == 1 || (stride == 2 && channels.is_multiple_of(8));
        let wasteful = phases <= 16 && blocks * bytes * 10 > channels * 11;
        // A run of bytes comes faster from memory than a part of each pixel, but the weights of
        // all phases and whole columns at the sides of tiles must stay in the cache.
        let light = stride == 1 && kernel_rows * kernel_columns <= 9 && phases <= 6;
        let flat = dense && splits && (wasteful || light);
        let common = max(gcd(stride_y, dilation_y), 1);
        let row_shift = stride_y / common;
        let row_count = best_row_count(window, row_shift, vectors.rows);
        let groups = (kernel_rows + row_shift * (row_count - 1)).div_ceil(4);
        let positions = if flat { channels } else { bytes };
        let planes = if flat { stride } else { 1 };
        let period = if flat { phases * bytes / max(channels, 1) } else { 1 };
        let halo = (kernel_columns - 1) * dilation + 1;
        let halo_bytes = halo * positions * 4 * groups;
        let column_bytes = stride * positions * 4 * groups;
        let fitting = TILE_BYTES.saturating_sub(halo_bytes) / max(column_bytes, 1);
        let tile_columns = max(min(fitting, columns), 4).next_multiple_of(max(period, 1));
        let per_plane = (tile_columns * stride + halo).div_ceil(max(planes, 1)) + 1;
        Some(Plan {
            vectors,
            flat,
            positions,
            tables: if flat { phases } else { blocks },
            row_count,
            row_step: dilation_y / common,
            row_shift,
            groups,
            planes,
            tile_columns,
            plane_len: (per_plane * positions * 4).next_multiple_of(64) + 256,
            table_len: bytes * (8 + row_count * groups * kernel_columns * vectors.weight_bytes),
        })
    }

    /// Bytes of all weight tables.
    pub const fn tables_len(&self) -> usize {
        self.tables * self.table_len
    }

    /// Bytes of the biases and the scales at the start of a table.
    pub const fn constants_len(&self) -> usize {
        8 * self.vectors.bytes
    }

    /// Bytes of the weights of a vector and tap.
    pub const fn tap_len(&self) -> usize {
        self.vectors.bytes * self.vectors.weight_bytes
    }

    /// Bytes of the interleaved rows of a tile.
    pub const fn buffer_len(&self) -> usize {
        self.groups * self.planes * self.plane_len
    }

    /// Bytes of the weights of one tap, repeated for every phase or filled up to whole blocks.
    pub const fn repeated_len(&self) -> usize {
        self.tables * self.vectors.bytes
    }
}

/// Bytes of scratch that suffice for a layer whatever vectors the processor has; 0 if no vector
/// kernel takes the layer.
pub const fn depthwise_u8_scratch_len(window: &Window, channels: usize, columns: usize) -> usize {
    let wide = most_scratch(AVX512, window, channels, columns);
    let vnni = most_scratch(AVX_VNNI, window, channels, columns);
    max(max(wide, vnni), most_scratch(AVX2, window, channels, columns))
}

/// Bytes of scratch with and without gaps between pixels.
const fn most_scratch(vectors: Vectors, window: &Window, channels: usize, columns: usize) -> usize {
    let dense = Plan::new(vectors, window, channels, columns, true);
    let sparse = Plan::new(vectors, window, channels, columns, false);
    max(scratch_len(window, dense), scratch_len(window, sparse))
}

/// Bytes of scratch of one plan: tables, rows, padding, repeated weights, alignment.
pub const fn scratch_len(window: &Window, plan: Option<Plan>) -> usize {
    let Some(plan) = plan else { return 0 };
    let taps = window.kernel[0] * window.kernel[1];
    plan.tables_len() + plan.buffer_len() + 64 + plan.repeated_len() * taps + 64
}

const fn usable(window: &Window) -> bool {
    let mut axis = 0;
    while axis < 2 {
        let [kernel, stride] = [window.kernel, window.stride];
        let [dilation, padding] = [window.dilation, window.padding];
        let bad = out_of(kernel[axis], 15) || out_of(stride[axis], 15) || padding[axis] > LIMIT;
        if bad || out_of(dilation[axis], 1 << 10) {
            return false;
        }
        axis += 1;
    }
    true
}

/// The row count of least work per output row, in instructions per 64 values: 12 to interleave four
/// rows, 4 to multiply.
const fn best_row_count(window: &Window, row_shift: usize, most: usize) -> usize {
    let [rows, columns] = window.kernel;
    let mut best = 1;
    let mut count = 1;
    while count <= most {
        if cost(rows, columns, window.stride[1], row_shift, count) * best
            < cost(rows, columns, window.stride[1], row_shift, best) * count
        {
            best = count;
        }
        count *= 2;
    }
    best
}

const fn cost(rows: usize, columns: usize, stride: usize, row_shift: usize, count: usize) -> usize {
    (rows + row_shift * (count - 1)).div_ceil(4) * (12 * stride + 4 * columns * count)
}

const fn out_of(value: usize, limit: usize) -> bool {
    value == 0 || value > limit
}

const fn min(a: usize, b: usize) -> usize {
    if a < b { a } else { b }
}

const fn max(a: usize, b: usize) -> usize {
    if a < b { b } else { a }
}

const fn gcd(a: usize, b: usize) -> usize {
    let (mut a, mut b) = (a, b);
    while b != 0 {
        (a, b) = (b, a % b);
    }
    a
}
