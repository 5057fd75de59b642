//! Rows of a mask, and the working memory that one thread needs to make them.

use super::classifier::Classifier;
use super::evidence::Evidence;
use super::pruning::Pruning;
use super::rows::Rows;
use super::verdict::{Pixels, Positions, Verdict};
use super::{Grid, Output, Placements};
use crate::arena::Arena;
use crate::limits::product;
use crate::map::Map;
use crate::math::kernels::{BlendedRow, GridRow, Kernels, RowPair, row_stride};
use crate::math::pieces::pieces_mut;
use crate::spec::{Decision, Head};
use crate::status::Result;
use crate::trace::Clock;

/// What does not change within a frame.
pub(super) struct Setup<'a> {
    pub(super) head: Head,
    pub(super) grid: Grid,
    pub(super) kernels: &'static Kernels,
    pub(super) rows: Rows<'a>,
    /// Labels of the classes that take part, and what is added to their logits: the first
    /// `active` of (classes) each. If seen classes have a handicap in probabilities they come
    /// first, and there are `seen` of them.
    pub(super) order: &'a mut [u16],
    pub(super) terms: &'a mut [f32],
    pub(super) active: usize,
    pub(super) seen: usize,
    /// One more than the highest label that takes part.
    pub(super) label_limit: usize,
    pub(super) decision: Decision,
    pub(super) positions: Positions<'a>,
}

impl Setup<'_> {
    fn labels(&self) -> &[u16] {
        self.order.get(..self.active).unwrap_or_default()
    }
}

/// What a mask is made of.
#[derive(Clone, Copy)]
pub(super) struct Scene<'s, 'a> {
    pub(super) setup: &'s Setup<'a>,
    pub(super) map: &'s Map<'s, f32>,
    pub(super) placements: Placements<'s>,
    /// The logits of the whole grid, where they were kept.
    pub(super) kept: Option<&'s Evidence<'a>>,
}

/// Makes rows of a mask. Going down them, each grid row is classified once.
pub(super) struct Painter<'a> {
    classifier: Classifier<'a>,
    /// Logits of two neighbouring grid rows, the blend between them, and the steps from its columns
    /// to the next: `classes * row_stride(grid.width)` each.
    upper: &'a mut [f32],
    lower: &'a mut [f32],
    blend: &'a mut [f32],
    steps: &'a mut [f32],
    /// One element per frame pixel of a row, padded for whole vectors.
    pixels: Pixels<'a>,
    pruning: Pruning<'a>,
    /// The grid row in `upper`.
    loaded: Option<usize>,
    pub(super) clock: Clock,
    head_ns: u64,
}

impl<'a> Painter<'a> {
    /// For a head, columns of the grid and classes; and columns of the widest frame.
    pub(super) fn carve(
        arena: &mut Arena<'a>,
        (head, grid_width, classes): (&Head, usize, usize),
        max_width: usize,
        kernels: &'static Kernels,
    ) -> Result<Painter<'a>> {
        let row_len = product("grid row", &[classes, row_stride(grid_width)])?;
        Ok(Painter {
            classifier: Classifier::carve(arena, head, grid_width, kernels)?,
            upper: arena.take(row_len)?,
            lower: arena.take(row_len)?,
            blend: arena.take(row_len)?,
            steps: arena.take(row_len)?,
            pixels: Pixels::carve(arena, max_width)?,
            pruning: Pruning::carve(arena, grid_width)?,
            loaded: None,
            clock: Clock::NONE,
            head_ns: 0,
        })
    }

    /// Begins a frame; `prunes` if several of its rows lie between two grid rows.
    pub(super) fn begin(&mut self, prunes: bool) {
        self.loaded = None;
        self.pruning.begin(prunes);
    }

    /// Time spent on logits since the last call.
    pub(super) fn take_head_ns(&mut self) -> u64 {
        core::mem::take(&mut self.head_ns)
    }

    /// Writes row `y` of the mask to row `row` of `output`.
    pub(super) fn write_row(
        &mut self,
        scene: &Scene<'_, '_>,
        y: u32,
        row: usize,
        output: &mut Output<'_>,
    ) {
        let (Placements { rows, columns }, setup) = (scene.placements, scene.setup);
        let width = columns.frame() as usize;
        let visible = columns.visible();
        let (from, to) = (visible.start as usize, visible.end as usize);
        if !rows.visible().contains(&y) || setup.active == 0 {
            output.clear(row, 0, width);
            return;
        }
        let tap = rows.grid_tap(y, setup.grid.height as u32, setup.head.align_corners);
        let index = tap.index as usize;
        if self.loaded != Some(index) {
            let start = self.clock.now_ns();
            self.load_rows(scene, index);
            self.head_ns += self.clock.now_ns().saturating_sub(start);
        }
        output.clear(row, 0, from);
        output.clear(row, to, width);
        self.decide_row(setup, (row, tap.fraction), (from, to), output);
    }

    /// Makes `upper` grid row `index` and `lower` the one below it (or the same at the edge).
    fn load_rows(&mut self, scene: &Scene<'_, '_>, index: usize) {
        let below = (index + 1).min(scene.setup.grid.height.saturating_sub(1));
        if self.loaded.is_some_and(|loaded| loaded + 1 == index) {
            core::mem::swap(&mut self.upper, &mut self.lower);
        } else {
            self.load_row(scene, index);
            core::mem::swap(&mut self.upper, &mut self.lower);
        }
        self.load_row(scene, below);
        self.loaded = Some(index);
        self.pruning.forget();
    }

    /// Makes `lower` grid row `y`.
    fn load_row(&mut self, scene: &Scene<'_, '_>, y: usize) {
        match scene.kept {
            Some(evidence) => evidence.get(y, self.lower),
            None => _ = self.classify(scene, y),
        }
    }

    /// The logits of grid row `y`, biases included.
    pub(super) fn classify(&mut self, scene: &Scene<'_, '_>, y: usize) -> &[f32] {
        let Scene { setup, map, .. } = scene;
        self.classifier.row(map, y, (&setup.rows, setup.labels()), self.lower);
        let stride = row_stride(map.width());
        for (row, &term) in pieces_mut(self.lower, stride).zip(setup.terms.iter()) {
            if term != 0.0 {
                row.iter_mut().take(map.width()).for_each(|logit| *logit += term);
            }
        }
        self.lower
    }

    fn decide_row(
        &mut self,
        setup: &Setup<'_>,
        (y, fraction): (usize, f32),
        (from, to): (usize, usize),
        output: &mut Output<'_>,
    ) {
        let len = to.saturating_sub(from);
        let stride = row_stride(setup.grid.width);
        let used = stride.saturating_mul(setup.active);
        let (kernels, labels, at) = (setup.kernels, setup.labels(), setup.positions.columns(len));
        let pair = RowPair {
            upper: self.upper.get(..used).unwrap_or_default(),
            lower: self.lower.get(..used).unwrap_or_default(),
            fraction,
        };
        let cells = at.index.last().map_or(0, |&column| column as usize + 1);
        let plain = !setup.decision.rejects() && setup.seen == 0 && !output.wants_evidence();
        if plain && self.pruning.applies(kernels, pair, (stride, cells)) {
            let survivors = self.pruning.survivors();
            let blended = BlendedRow { values: self.blend, steps: self.steps };
            (kernels.blend_active)(pair, stride, survivors.active, blended);
            let left = stride.saturating_mul(survivors.active.len());
            let grid = grid_row(self.blend, self.steps, stride, left);
            self.pixels.decide_pruned(kernels, grid, survivors, at);
            output.write_labels(y, (from, len), self.pixels.labels(), labels);
            return;
        }
        (kernels.blend)(pair, BlendedRow { values: self.blend, steps: self.steps });
        let grid = grid_row(self.blend, self.steps, stride, used);
        if plain {
            self.pixels.decide(kernels, grid, at);
            output.write_labels(y, (from, len), self.pixels.labels(), labels);
            return;
        }
        let verdict = Verdict {
            kernels,
            decision: setup.decision,
            scale: setup.head.confidence_scale,
            seen: setup.seen,
        };
        self.pixels.judge(&verdict, grid, labels, at);
        output.write_labels(y, (from, len), self.pixels.labels(), labels);
        let (confidence, margin, unknown) = self.pixels.evidence();
        output.write_evidence(y, (from, len), [confidence, margin, unknown]);
    }
}

/// The first `used` elements of a blended row.
fn grid_row<'g>(values: &'g [f32], steps: &'g [f32], stride: usize, used: usize) -> GridRow<'g> {
    GridRow {
        values: values.get(..used).unwrap_or_default(),
        steps: steps.get(..used).unwrap_or_default(),
        stride,
    }
}
