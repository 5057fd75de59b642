//! From the network's output to the mask, without full-size logits.
//!
//! [`Decoder`] walks the frame row by row. For each row it blends the two grid rows around it
//! vertically, then interpolates, compares and keeps the best classes pixel by pixel. Its scratch
//! is a few rows of the grid and of the frame. Because the class scores of a pixel are linear in
//! the grid's logits, classifying the grid first and upsampling second is exact (methods.md
//! section 2.10).

mod classifier;
mod output;

pub use classifier::Linear;
pub use output::{Labels, Output, PlaneMut, UNLABELED_U8, UNLABELED_U16};

use crate::arena::Arena;
use crate::limits::{Limits, product};
use crate::map::{Layout, Map};
use crate::math::kernels::{
    BlendedRow, Columns, Evidence, GridRow, Kernels, MAX_LANES, Ranking, RowPair, row_stride,
};
use crate::math::pieces::pieces_mut;
use crate::math::resample::Placement;
use crate::spec::Head;
use crate::status::{Result, Status};
use crate::trace::Clock;
use classifier::Classifier;

/// Shape of the network's output.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Grid {
    /// Rows.
    pub height: usize,
    /// Columns.
    pub width: usize,
    /// Order of the elements.
    pub layout: Layout,
}

/// Turns features or logits into a mask of the frame's size.
pub struct Decoder<'a> {
    head: Head,
    grid: Grid,
    kernels: &'static Kernels,
    classifier: Classifier<'a>,
    /// Logits of two neighbouring grid rows, the blend between them, and the steps from its columns
    /// to the next: `classes * row_stride(grid.width)` each.
    upper: &'a mut [f32],
    lower: &'a mut [f32],
    blend: &'a mut [f32],
    steps: &'a mut [f32],
    /// Added to each class's logits.
    class_bias: &'a mut [f32],
    /// One element per frame pixel of a row, padded for whole vectors.
    pixels: Pixels<'a>,
    clock: Clock,
    head_ns: u64,
}

struct Pixels<'a> {
    index: &'a mut [u32],
    fraction: &'a mut [f32],
    label: &'a mut [f32],
    best: &'a mut [f32],
    second: &'a mut [f32],
    sum: &'a mut [f32],
}

impl<'a> Pixels<'a> {
    fn carve(arena: &mut Arena<'a>, limits: &Limits) -> Result<Pixels<'a>> {
        let len = (limits.max_frame_width as usize).next_multiple_of(MAX_LANES);
        Ok(Pixels {
            index: arena.take(len)?,
            fraction: arena.take(len)?,
            label: arena.take(len)?,
            best: arena.take(len)?,
            second: arena.take(len)?,
            sum: arena.take(len)?,
        })
    }

    /// Fills the positions of the visible pixels; the padding repeats the last one.
    fn place(&mut self, columns: &Placement, grid_width: usize, align_corners: bool) {
        let visible = columns.visible();
        let last = visible.end.saturating_sub(1);
        let places = self.index.iter_mut().zip(self.fraction.iter_mut());
        for ((index, fraction), pixel) in places.zip(visible.start..) {
            let tap = columns.grid_tap(pixel.min(last), grid_width as u32, align_corners);
            *index = tap.index;
            *fraction = tap.fraction;
        }
    }
}

impl<'a> Decoder<'a> {
    /// Takes the scratch from the arena: `4 * classes * row_stride(grid.width)` floats for
    /// logits, for a linear head `channels * (row_stride(grid.width) + 4)` for features and
    /// weights, and 24 bytes per pixel of the widest frame. `linear` is given exactly for a
    /// linear head; `class_biases` yields one number per class.
    pub fn carve(
        arena: &mut Arena<'a>,
        head: &Head,
        grid: Grid,
        linear: Option<Linear<'a>>,
        class_biases: impl Iterator<Item = f32>,
        limits: &Limits,
        kernels: &'static Kernels,
    ) -> Result<Decoder<'a>> {
        let classes = head.classes as usize;
        let row_len = product("grid row", &[classes, row_stride(grid.width)])?;
        let classifier = Classifier::carve(arena, head, grid.width, linear, kernels)?;
        let upper = arena.take(row_len)?;
        let lower = arena.take(row_len)?;
        let blend = arena.take(row_len)?;
        let steps = arena.take(row_len)?;
        let class_bias = arena.take::<f32>(classes)?;
        for (place, value) in class_bias.iter_mut().zip(class_biases) {
            *place = value;
        }
        let pixels = Pixels::carve(arena, limits)?;
        Ok(Decoder {
            head: *head,
            grid,
            kernels,
            classifier,
            upper,
            lower,
            blend,
            steps,
            class_bias,
            pixels,
            clock: Clock::NONE,
            head_ns: 0,
        })
    }

    /// Measures the time spent on classification with `clock`.
    pub fn set_clock(&mut self, clock: Clock) {
        self.clock = clock;
    }

    /// Time that the latest run spent on turning features into logits, in nanoseconds.
    pub fn head_ns(&self) -> u64 {
        self.head_ns
    }

    /// Writes the mask of a frame that `rows` and `columns` placed on the network's input.
    /// `map` is the network's output. Nothing is written when an error is returned.
    pub fn run(
        &mut self,
        map: &Map<'_, f32>,
        rows: &Placement,
        columns: &Placement,
        output: &mut Output<'_>,
    ) -> Result<()> {
        self.check(map, columns)?;
        let (width, height) = (columns.frame() as usize, rows.frame() as usize);
        output.check(width, height, self.head.classes as usize)?;
        self.pixels.place(columns, self.grid.width, self.head.align_corners);
        let visible = columns.visible();
        let span = (visible.start as usize, visible.end as usize);
        let mut loaded = None;
        self.head_ns = 0;
        for y in 0..rows.frame() {
            if !rows.visible().contains(&y) {
                output.clear(y as usize, 0, width);
                continue;
            }
            let tap = rows.grid_tap(y, self.grid.height as u32, self.head.align_corners);
            let index = tap.index as usize;
            if loaded != Some(index) {
                let start = self.clock.now_ns();
                self.load_rows(map, index, loaded);
                self.head_ns += self.clock.now_ns().saturating_sub(start);
                loaded = Some(index);
            }
            let fraction = tap.fraction;
            let rows = RowPair { upper: self.upper, lower: self.lower, fraction };
            let blended = BlendedRow { values: self.blend, steps: self.steps };
            (self.kernels.blend)(rows, blended);
            output.clear(y as usize, 0, span.0);
            output.clear(y as usize, span.1, width);
            self.decide_row(y as usize, span, output);
        }
        Ok(())
    }

    fn check(&self, map: &Map<'_, f32>, columns: &Placement) -> Result<()> {
        let found = (map.height(), map.width(), map.channels(), map.layout());
        let channels = self.head.channels as usize;
        if found != (self.grid.height, self.grid.width, channels, self.grid.layout) {
            return Err(Status::ModelShape.about("the network's output"));
        }
        if columns.frame() as usize > self.pixels.index.len() {
            let error = Status::FrameSize.about("frame width");
            return Err(error.numbers(columns.frame().into(), self.pixels.index.len() as u64));
        }
        Ok(())
    }

    /// Makes `upper` grid row `index` and `lower` the one below it (or the same at the edge).
    /// Walking down, each grid row is classified once.
    fn load_rows(&mut self, map: &Map<'_, f32>, index: usize, loaded: Option<usize>) {
        let below = (index + 1).min(self.grid.height.saturating_sub(1));
        if loaded.is_some_and(|loaded| loaded + 1 == index) {
            core::mem::swap(&mut self.upper, &mut self.lower);
        } else {
            Self::load_row(&mut self.classifier, map, index, self.upper, self.class_bias);
        }
        Self::load_row(&mut self.classifier, map, below, self.lower, self.class_bias);
    }

    fn load_row(
        classifier: &mut Classifier<'_>,
        map: &Map<'_, f32>,
        y: usize,
        out: &mut [f32],
        class_bias: &[f32],
    ) {
        let stride = row_stride(map.width());
        classifier.row(map, y, out);
        for (row, &bias) in pieces_mut(out, stride).zip(class_bias) {
            if bias != 0.0 {
                row.iter_mut().for_each(|logit| *logit += bias);
            }
        }
    }

    fn decide_row(&mut self, y: usize, (from, to): (usize, usize), output: &mut Output<'_>) {
        let len = to.saturating_sub(from);
        let padded = len.next_multiple_of(MAX_LANES);
        let pixels = &mut self.pixels;
        let stride = row_stride(self.grid.width);
        let grid = GridRow { values: self.blend, steps: self.steps, stride };
        let columns = Columns {
            index: pixels.index.get(..padded).unwrap_or_default(),
            fraction: pixels.fraction.get(..padded).unwrap_or_default(),
        };
        if !output.wants_evidence() {
            (self.kernels.decide)(grid, columns, pixels.label);
            output.write_labels(y, from, len, pixels.label);
            return;
        }
        let ranking = Ranking { label: pixels.label, best: pixels.best, second: pixels.second };
        (self.kernels.rank)(grid, columns, ranking);
        output.write_labels(y, from, len, pixels.label);
        let evidence = Evidence { best: pixels.best, rival: pixels.second, sum: pixels.sum };
        (self.kernels.evidence)(grid, columns, self.head.confidence_scale, evidence);
        output.write_evidence(y, from, len, pixels.sum, pixels.second);
    }
}
