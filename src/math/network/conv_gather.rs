//! The input of a convolution gathered into rows, one per output pixel (im2col).

use super::conv_shape::{ConvDepth, ConvShape, ceil_div};
use super::view::View;
use crate::math::pieces::{copy, pieces_mut};
use core::ops::Range;

/// What is gathered from.
pub struct Gather<'a> {
    /// Geometry.
    pub shape: &'a ConvShape,
    /// Order of a row.
    pub depth: ConvDepth,
    /// The channels of one group.
    pub input: View<'a, u8>,
    /// What the padding holds.
    pub zero_point: u8,
}

/// Neighbouring taps that are one copy.
struct Piece {
    /// Taps, from `column` on.
    taps: usize,
    /// Kernel column of the first.
    column: usize,
    /// Place in the row of the first.
    place: usize,
}

impl Gather<'_> {
    /// Gathers output pixels (`y`, `xs`), only the given taps (vertical, horizontal), into rows of
    /// `depth.row_stride()` bytes. Ranges of other taps keep any content.
    pub fn run(&self, y: usize, xs: Range<usize>, taps: &[Range<usize>; 2], rows: &mut [u8]) {
        let [_, kernel_columns] = self.shape.kernel;
        let [vertical, horizontal] = taps;
        let whole_rows =
            self.depth.chunk_taps > 1 && self.input.pixel_stride == self.shape.channels;
        for row in vertical.clone() {
            let line = self.line(y, row);
            if whole_rows {
                let place = self.depth.tap_start(kernel_columns, row, 0);
                let piece = Piece { taps: kernel_columns, column: 0, place };
                self.piece(line, &xs, &piece, rows);
                continue;
            }
            for column in horizontal.clone() {
                let place = self.depth.tap_start(kernel_columns, row, column);
                self.piece(line, &xs, &Piece { taps: 1, column, place }, rows);
            }
        }
    }

    /// The input row that a kernel row meets, from its first pixel on; none in the padding.
    fn line(&self, y: usize, kernel_row: usize) -> Option<&[u8]> {
        let below = y * self.shape.stride[0] + kernel_row * self.shape.dilation[0];
        let row = below.checked_sub(self.shape.padding[0])?;
        if row >= self.input.height {
            return None;
        }
        self.input.data.get(row.checked_mul(self.input.width * self.input.pixel_stride)?..)
    }

    fn piece(&self, line: Option<&[u8]>, xs: &Range<usize>, piece: &Piece, rows: &mut [u8]) {
        let row_stride = self.depth.row_stride();
        let len = piece.taps * self.shape.channels;
        let Some(line) = line else {
            for row in pieces_mut(rows, row_stride).take(xs.len()) {
                fill(row, piece.place, len, self.zero_point);
            }
            return;
        };
        let inner = self.inner(piece, xs);
        let before = xs.start..inner.start;
        let (left, rest) = rows.split_at_mut_checked(before.len() * row_stride).unwrap_or_default();
        let (middle, right) =
            rest.split_at_mut_checked(inner.len() * row_stride).unwrap_or_default();
        self.border(line, before, piece, left);
        let step = self.shape.stride[1] * self.input.pixel_stride;
        let start = self.column(inner.start, piece.column).unwrap_or(0) * self.input.pixel_stride;
        let source = line.get(start..).unwrap_or_default();
        copy_run(middle, row_stride, piece.place, Run { source, step, len });
        self.border(line, inner.end..xs.end, piece, right);
    }

    /// The part of `xs` at which all taps of a piece meet the input.
    fn inner(&self, piece: &Piece, xs: &Range<usize>) -> Range<usize> {
        let [_, stride] = self.shape.stride;
        let [_, dilation] = self.shape.dilation;
        let [_, padding] = self.shape.padding;
        let last = (piece.column + piece.taps.saturating_sub(1)) * dilation;
        let start = ceil_div(padding.saturating_sub(piece.column * dilation), stride);
        let end = ceil_div((self.input.width + padding).saturating_sub(last), stride);
        let start = start.clamp(xs.start, xs.end.max(xs.start));
        start..end.clamp(start, xs.end.max(start))
    }

    /// The input column that a kernel column meets at output column `x`; may lie behind the input.
    fn column(&self, x: usize, kernel_column: usize) -> Option<usize> {
        let place = x * self.shape.stride[1] + kernel_column * self.shape.dilation[1];
        place.checked_sub(self.shape.padding[1])
    }

    /// Pixels at which some taps of the piece lie in the padding: tap by tap.
    fn border(&self, line: &[u8], xs: Range<usize>, piece: &Piece, rows: &mut [u8]) {
        let channels = self.shape.channels;
        for (x, row) in xs.zip(pieces_mut(rows, self.depth.row_stride())) {
            for tap in 0..piece.taps {
                let place = piece.place + tap * channels;
                let column = self.column(x, piece.column + tap);
                let Some(column) = column.filter(|column| *column < self.input.width) else {
                    fill(row, place, channels, self.zero_point);
                    continue;
                };
                let source = line.get(column * self.input.pixel_stride..).unwrap_or_default();
                let source = source.get(..channels).unwrap_or_default();
                copy(row.get_mut(place..).unwrap_or_default(), source);
            }
        }
    }
}

fn fill(row: &mut [u8], place: usize, len: usize, value: u8) {
    let end = place.saturating_add(len);
    row.get_mut(place..end).unwrap_or_default().fill(value);
}

/// Copies of `len` bytes, `step` apart.
#[derive(Clone, Copy)]
struct Run<'a> {
    source: &'a [u8],
    step: usize,
    len: usize,
}

/// Copies to `place` of each row. Short copies write more than `len` bytes: what comes behind is
/// written later or never read (rows have room for it).
fn copy_run(rows: &mut [u8], row_stride: usize, place: usize, run: Run<'_>) {
    let done = match run.len {
        // Without vector registers a copy of fixed length is no better.
        _ if cfg!(target_arch = "arm") => 0,
        0..=16 => copy_fixed::<16>(rows, row_stride, place, run),
        17..=32 => copy_fixed::<32>(rows, row_stride, place, run),
        _ => 0,
    };
    let rows = rows.get_mut(done * row_stride..).unwrap_or_default();
    let mut source = run.source.get(done * run.step..).unwrap_or_default();
    for row in pieces_mut(rows, row_stride) {
        let from = source.get(..run.len).unwrap_or_default();
        copy(row.get_mut(place..).unwrap_or_default(), from);
        source = source.get(run.step..).unwrap_or_default();
    }
}

/// As [`copy_run`], always `N` bytes, as long as the source has them. Returns the rows done.
fn copy_fixed<const N: usize>(
    rows: &mut [u8],
    row_stride: usize,
    place: usize,
    run: Run<'_>,
) -> usize {
    let mut source = run.source;
    let mut done = 0;
    for row in pieces_mut(rows, row_stride) {
        let Some(from) = source.first_chunk::<N>() else { break };
        let to = row.get_mut(place..).and_then(|row| row.first_chunk_mut::<N>());
        let Some(to) = to else { break };
        *to = *from;
        done += 1;
        source = source.get(run.step..).unwrap_or_default();
    }
    done
}
