//! Products of f32 matrices: rows of an activation times packed weights.
//!
//! Weights are packed `[column block of 16][depth][16]`, the last block filled up with zeros. The
//! driver here cuts a product into chunks whose weights fit the second-level cache, and these into
//! tiles that a kernel of the processor computes in registers ([`TileKernel`]).

use super::activation_f32::Epilogue;
use core::ops::Range;

mod pack;
mod portable;

pub(super) use pack::pack;
pub use pack::{
    pack_gemm_f16, pack_gemm_f32, pack_gemm_transposed_f16, pack_gemm_transposed_f32, packed_len,
};

/// Columns of a block of packed weights.
pub const BLOCK: usize = 16;
/// Rows whose offsets are worked out at a time; every kernel's rows per tile divide it.
pub const PANEL: usize = 24;
/// An offset that means a row of zeros.
pub const ZEROS: u32 = u32::MAX;
/// Segments at a time.
const SEGMENTS: usize = 32;
/// Greatest depth of a chunk.
const CHUNK_DEPTH: usize = 1024;
/// Greatest number of weights of a chunk: 1 MiB of f32.
const CHUNK_WEIGHTS: usize = 1 << 18;

/// Weights in packed order.
#[derive(Clone, Copy, Debug)]
pub enum Weights<'a> {
    /// As they are.
    F32(&'a [f32]),
    /// The bits of f16 values, widened when they are used.
    F16(&'a [u16]),
}

impl<'a> Weights<'a> {
    /// Number of values.
    pub fn len(&self) -> usize {
        match self {
            Weights::F32(values) => values.len(),
            Weights::F16(values) => values.len(),
        }
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The values from `first` on.
    pub fn from(self, first: usize) -> Weights<'a> {
        match self {
            Weights::F32(values) => Weights::F32(values.get(first..).unwrap_or_default()),
            Weights::F16(values) => Weights::F16(values.get(first..).unwrap_or_default()),
        }
    }
}

/// A run of the depth that is contiguous in the left operand's rows.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Segment {
    /// First position in the depth.
    pub start: usize,
    /// Number of positions.
    pub len: usize,
}

/// Segments, and where some rows of the left operand start for each. Whatever the offsets say,
/// [`Panel::fits`] tells whether all rows lie inside a slice.
#[derive(Debug)]
pub struct Panel {
    offsets: [[u32; PANEL]; SEGMENTS],
    /// A bit per row that is not of zeros.
    present: [u32; SEGMENTS],
    segments: [Segment; SEGMENTS],
    used: usize,
    /// Elements of the left operand that the rows reach over.
    reach: usize,
    /// Zeros needed.
    zeros: usize,
    /// End of the last segment.
    depth: usize,
}

impl Panel {
    /// Without segments.
    fn new() -> Panel {
        Panel {
            offsets: [[ZEROS; PANEL]; SEGMENTS],
            present: [0; SEGMENTS],
            segments: [Segment::default(); SEGMENTS],
            used: 0,
            reach: 0,
            zeros: 0,
            depth: 0,
        }
    }

    /// With these segments, at most `SEGMENTS`, and the rows that `locate` writes for each, at most
    /// [`PANEL`].
    pub fn of(segments: &[Segment], mut locate: impl FnMut(Segment, &mut [u32])) -> Panel {
        let mut panel = Panel::new();
        for (place, &segment) in panel.segments.iter_mut().zip(segments) {
            *place = segment;
            panel.used += 1;
        }
        panel.locate(PANEL, &mut locate);
        panel
    }

    /// Takes the rows that `locate` writes; places beyond `rows` repeat the first.
    fn locate(&mut self, rows: usize, locate: &mut impl FnMut(Segment, &mut [u32])) {
        (self.reach, self.zeros, self.depth) = (0, 0, 0);
        let lines = self.offsets.iter_mut().zip(&mut self.present).zip(&self.segments);
        for ((offsets, present), &segment) in lines.take(self.used) {
            let (used, others) = offsets.split_at_mut_checked(rows).unwrap_or_default();
            locate(segment, used);
            others.fill(used.first().copied().unwrap_or(ZEROS));
            // The end of zeros is 0.
            let last = offsets.iter().fold(0, |last, offset| offset.wrapping_add(1).max(last));
            *present = u32::MAX;
            if last > 0 {
                self.reach = self.reach.max((last as usize - 1).saturating_add(segment.len));
            }
            if offsets.contains(&ZEROS) {
                let bits = offsets.iter().rev();
                *present = bits.fold(0, |bits, &offset| bits << 1 | u32::from(offset != ZEROS));
                self.zeros = self.zeros.max(segment.len);
            }
            self.depth = self.depth.max(segment.start.saturating_add(segment.len));
        }
    }

    /// The segments' numbers and themselves.
    #[inline(always)]
    pub fn segments(&self) -> impl Iterator<Item = (usize, Segment)> {
        self.segments.iter().take(self.used).copied().enumerate()
    }

    /// Where so many rows from `first` on start for a segment, and a bit for each that is not of
    /// zeros. `None` where all are, or where the panel has not that many.
    #[inline(always)]
    pub fn rows<const ROWS: usize>(
        &self,
        segment: usize,
        first: usize,
    ) -> Option<(&[u32; ROWS], u32)> {
        let offsets = self.offsets.get(segment)?.get(first..)?.first_chunk()?;
        let present = self.present.get(segment)? >> first & (u32::MAX >> (32 - ROWS));
        (present != 0).then_some((offsets, present))
    }

    /// Whether all rows lie inside a left operand of this length, zeros inside one of that length,
    /// and segments inside this depth.
    #[inline(always)]
    pub fn fits(&self, left: usize, zeros: usize, depth: usize) -> bool {
        self.reach <= left && self.zeros <= zeros && self.depth <= depth
    }
}

/// What a kernel computes at once: some rows times some column blocks, over some segments.
#[derive(Debug)]
pub struct Tile<'a> {
    /// The left operand.
    pub left: &'a [f32],
    /// Zeros for rows that are missing in it.
    pub zeros: &'a [f32],
    /// Where the rows are.
    pub panel: &'a Panel,
    /// The first row in the panel.
    pub first_row: usize,
    /// Rows, at most the kernel's.
    pub rows: usize,
    /// Weights from the first column block on.
    pub weights: Weights<'a>,
    /// Depth of the packed weights.
    pub depth: usize,
    /// Columns to be written: `(blocks - 1) * 16 + 1` up to `blocks * 16`.
    pub columns: usize,
    /// Where the first row's results go.
    pub out: &'a mut [f32],
    /// Elements from row to row of `out`.
    pub out_stride: usize,
    /// Whether sums start from those in `out`, not from 0.
    pub accumulate: bool,
    /// What is done to the sums; `None` where more depth follows.
    pub epilogue: Option<Epilogue<'a>>,
}

impl Tile<'_> {
    /// Column blocks.
    #[inline(always)]
    pub fn blocks(&self) -> usize {
        self.columns.div_ceil(BLOCK)
    }

    /// Whether everything that a kernel touches lies inside the slices.
    #[inline(always)]
    pub fn fits(&self, most_rows: usize, most_blocks: usize) -> bool {
        let last = self.rows.saturating_sub(1).saturating_mul(self.out_stride);
        (1..=most_rows).contains(&self.rows)
            && (1..=most_blocks).contains(&self.blocks())
            && self.weights.len() >= packed_len(self.columns, self.depth)
            && self.out.len() >= last.saturating_add(self.columns)
            && self.panel.fits(self.left.len(), self.zeros.len(), self.depth)
    }
}

/// A kernel that computes tiles.
#[derive(Clone, Copy, Debug)]
pub struct TileKernel {
    /// Computes a tile; writes nothing where a slice is too short for it.
    pub run: fn(&mut Tile<'_>),
    /// Rows of a tile of one column block, of two, and so on.
    pub rows: &'static [usize],
}

/// The portable kernel.
pub const PORTABLE: TileKernel = TileKernel { run: portable::tile, rows: &[PANEL] };

/// Rows of the left operand, wherever they lie.
pub trait LeftRows {
    /// Positions of the depth that lie side by side.
    fn run_len(&self) -> usize;
    /// Where the rows from `first` on start for a segment, which lies inside one run; [`ZEROS`] for
    /// rows of zeros.
    fn offsets(&self, segment: Segment, first: usize, offsets: &mut [u32]);
}

/// Rows at a uniform stride.
#[derive(Clone, Copy, Debug)]
pub struct Uniform {
    /// Values per row.
    pub depth: usize,
    /// Elements from row to row.
    pub stride: usize,
}

impl LeftRows for Uniform {
    fn run_len(&self) -> usize {
        self.depth
    }

    fn offsets(&self, segment: Segment, first: usize, offsets: &mut [u32]) {
        let mut offset = first.saturating_mul(self.stride).saturating_add(segment.start);
        for place in offsets {
            *place = u32::try_from(offset).unwrap_or(ZEROS);
            offset = offset.saturating_add(self.stride);
        }
    }
}

/// A product of left rows and packed weights.
#[derive(Clone, Copy, Debug)]
pub struct Product<'a> {
    /// The left operand.
    pub left: &'a [f32],
    /// Zeros for missing rows, as many as a run has.
    pub zeros: &'a [f32],
    /// Number of rows.
    pub rows: usize,
    /// Values per row.
    pub depth: usize,
    /// Number of columns.
    pub columns: usize,
    /// Packed weights.
    pub weights: Weights<'a>,
    /// What is done to the sums.
    pub epilogue: Epilogue<'a>,
}

/// `out = epilogue(left * weights)`, rows of `left` at `left_stride` elements, rows of `out` at
/// `out_stride`. False, with nothing written, where a slice is too short, or `left` has more than
/// `u32::MAX` elements.
pub fn gemm_f32(
    kernel: &TileKernel,
    product: &Product<'_>,
    left_stride: usize,
    out: &mut [f32],
    out_stride: usize,
) -> bool {
    let rows = Uniform { depth: product.depth, stride: left_stride };
    let last = product.rows.saturating_sub(1).saturating_mul(left_stride);
    if product.rows > 0 && product.left.len() < last.saturating_add(product.depth) {
        return false;
    }
    multiply(kernel, &rows, product, out, out_stride)
}

/// As [`gemm_f32`], with rows wherever `rows` says.
pub fn multiply(
    kernel: &TileKernel,
    rows: &impl LeftRows,
    product: &Product<'_>,
    out: &mut [f32],
    out_stride: usize,
) -> bool {
    let Product { left, columns, depth, weights, .. } = *product;
    if product.rows == 0 || columns == 0 {
        return true;
    }
    let last = product.rows.saturating_sub(1).saturating_mul(out_stride);
    if out.len() < last.saturating_add(columns)
        || weights.len() < packed_len(columns, depth)
        || u32::try_from(left.len()).is_err()
    {
        return false;
    }
    let chunk_depth = depth.clamp(1, CHUNK_DEPTH);
    let chunk = (CHUNK_WEIGHTS.checked_div(chunk_depth).unwrap_or(1) / 64).max(1) * 64;
    let chunks = columns.div_ceil(chunk).max(1);
    let chunk = columns.div_ceil(chunks).div_ceil(64).saturating_mul(64);
    let mut first = 0;
    while first < columns {
        let columns = first..columns.min(first.saturating_add(chunk));
        let mut work = Work { kernel, product, columns, out: &mut *out, out_stride };
        work.columns(rows);
        first = first.saturating_add(chunk);
    }
    true
}

/// A chunk of columns.
struct Work<'a, 'b> {
    kernel: &'a TileKernel,
    product: &'a Product<'b>,
    columns: Range<usize>,
    out: &'a mut [f32],
    out_stride: usize,
}

impl Work<'_, '_> {
    /// All of the depth, chunk by chunk.
    fn columns(&mut self, rows: &impl LeftRows) {
        let depth = self.product.depth;
        // Chunks of equal depth rather than a short last one.
        let chunks = depth.div_ceil(CHUNK_DEPTH).max(1);
        let most = depth.div_ceil(chunks).max(1);
        let mut panel = Panel::new();
        let mut start = 0;
        loop {
            let run = rows.run_len().max(1);
            panel.used = cut(start..depth, most, run, &mut panel.segments);
            let end = panel.segments().last().map_or(depth, |(_, last)| last.start + last.len);
            self.rows(rows, &mut panel, start > 0, end >= depth);
            if end >= depth {
                return;
            }
            start = end;
        }
    }

    /// All rows, panel by panel.
    fn rows(&mut self, rows: &impl LeftRows, panel: &mut Panel, accumulate: bool, last: bool) {
        let mut first = 0;
        while first < self.product.rows {
            let here = first..self.product.rows.min(first + PANEL);
            panel.locate(here.len(), &mut |segment, places| rows.offsets(segment, first, places));
            let mut column = self.columns.start;
            while column < self.columns.end {
                let blocks = self.group((self.columns.end - column).div_ceil(BLOCK));
                let columns = column..self.columns.end.min(column + blocks * BLOCK);
                self.tiles(panel, here.clone(), columns, (accumulate, last));
                column += blocks * BLOCK;
            }
            first += PANEL;
        }
    }

    /// Column blocks to be computed together where so many are left: never one alone if it can be
    /// helped, since it uses the left operand's loads only once.
    fn group(&self, left: usize) -> usize {
        let most = self.kernel.rows.len().max(1);
        if left == most + 1 && most > 2 { most - 1 } else { left.min(most) }
    }

    fn tiles(
        &mut self,
        panel: &Panel,
        rows: Range<usize>,
        columns: Range<usize>,
        (accumulate, last): (bool, bool),
    ) {
        let Product { left, zeros, weights, depth, epilogue, .. } = *self.product;
        let blocks = columns.len().div_ceil(BLOCK);
        let most = self.kernel.rows.get(blocks - 1).copied().unwrap_or(1).max(1);
        let weights = weights.from(columns.start.saturating_mul(depth));
        let mut row = rows.start;
        while row < rows.end {
            let place = row.saturating_mul(self.out_stride).saturating_add(columns.start);
            (self.kernel.run)(&mut Tile {
                left,
                zeros,
                panel,
                first_row: row - rows.start,
                rows: most.min(rows.end - row),
                weights,
                depth,
                columns: columns.len(),
                out: self.out.get_mut(place..).unwrap_or_default(),
                out_stride: self.out_stride,
                accumulate,
                epilogue: last.then(|| epilogue.from(row, columns.start)),
            });
            row += most;
        }
    }
}

/// Cuts the depth into segments that lie inside one run each, `most` positions in all; the number
/// of segments.
fn cut(depth: Range<usize>, most: usize, run: usize, segments: &mut [Segment]) -> usize {
    let (mut start, mut used) = (depth.start, 0);
    let end = depth.end.min(depth.start.saturating_add(most));
    for place in segments {
        if start >= end {
            break;
        }
        let rest = run - start.checked_rem(run).unwrap_or(0);
        let len = rest.min(end - start);
        *place = Segment { start, len };
        start += len;
        used += 1;
    }
    used
}

#[cfg(test)]
mod tests;
