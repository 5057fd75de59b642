//! From the network's output to the mask, without full-size logits.
//!
//! [`Decoder`] walks the frame row by row. For each row it blends the two grid rows around it
//! vertically, then interpolates, compares and keeps the best classes pixel by pixel. Its scratch
//! is a few rows of the grid and of the frame. Because the class scores of a pixel are linear in
//! the grid's logits, classifying the grid first and upsampling second is exact (methods.md
//! section 2.10).

mod classifier;
mod evidence;
mod output;
mod pruning;
mod rows;
mod verdict;

pub use evidence::Smoothing;
pub use output::{Labels, Output, PlaneMut, UNLABELED_U8, UNLABELED_U16};
pub use rows::{Linear, Rows};

use crate::arena::Arena;
use crate::limits::{Limits, product};
use crate::map::{Layout, Map};
use crate::math::kernels::{BlendedRow, GridRow, Kernels, RowPair, row_stride};
use crate::math::pieces::pieces_mut;
use crate::math::resample::Placement;
use crate::spec::{Decision, Head, Stacking};
use crate::status::{Result, Status};
use crate::trace::Clock;
use classifier::Classifier;
use evidence::Evidence;
use pruning::Pruning;
use verdict::{Pixels, Verdict};

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

/// A class that takes part.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ActiveClass {
    /// Its label.
    pub label: u16,
    /// Added to its logits.
    pub bias: f32,
    /// Whether it was seen in training.
    pub seen: bool,
}

/// Where a frame lies on the network's input.
#[derive(Clone, Copy, Debug)]
pub struct Placements<'p> {
    /// Vertically.
    pub rows: &'p Placement,
    /// Horizontally.
    pub columns: &'p Placement,
}

/// How far a mask is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Progress {
    /// There is more to do.
    More,
    /// The logits of the whole grid are complete and may be changed through
    /// [`Decoder::evidence_mut`] before the next step. Told once, and only where they are kept.
    Evidence,
    /// The mask is complete.
    Done,
}

/// What the next step will do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    Idle,
    /// Classify a grid row and keep it.
    Keep(usize),
    /// Compare a grid row with the past.
    Compare(usize),
    /// Mix a grid row with the past.
    Mix(usize),
    /// Write an output row.
    Write(u32),
}

/// Turns features or logits into a mask of the frame's size.
pub struct Decoder<'a> {
    head: Head,
    grid: Grid,
    kernels: &'static Kernels,
    classifier: Classifier<'a>,
    rows: Rows<'a>,
    /// Logits of two neighbouring grid rows, the blend between them, and the steps from its columns
    /// to the next: `classes * row_stride(grid.width)` each.
    upper: &'a mut [f32],
    lower: &'a mut [f32],
    blend: &'a mut [f32],
    steps: &'a mut [f32],
    /// Labels of the classes that take part, and what is added to their logits: the first
    /// `active` of (classes) each. If seen classes have a handicap in probabilities they come
    /// first, and there are `seen` of them.
    order: &'a mut [u16],
    terms: &'a mut [f32],
    active: usize,
    seen: usize,
    /// One more than the highest label that takes part.
    label_limit: usize,
    decision: Decision,
    evidence: Evidence<'a>,
    smoothing: Smoothing,
    keeps_evidence: bool,
    /// One element per frame pixel of a row, padded for whole vectors.
    pixels: Pixels<'a>,
    pruning: Pruning<'a>,
    stage: Stage,
    /// The grid row in `upper`.
    loaded: Option<usize>,
    clock: Clock,
    head_ns: u64,
}

impl<'a> Decoder<'a> {
    /// Takes the scratch from the arena. For C classes (the head's and `limits.extra_classes`), a
    /// stride S = [`row_stride`]`(grid.width)` and D channels, in bytes: 16 C S for logits and 6 C
    /// for their order; with a classifier 4 D (S + 4) for features and weights and the memory of
    /// [`Rows`], for cosines 4 S; 44 per pixel of the widest frame; and 4 C per cell of the grid
    /// if the limits ask for fusion, 8 C if they ask for smoothing. `linear` is given exactly for
    /// a head with a classifier. No class takes part until [`Decoder::arrange`].
    ///
    /// # Errors
    /// Those of [`Arena::take`].
    pub fn carve(
        arena: &mut Arena<'a>,
        head: &Head,
        grid: Grid,
        linear: Option<Linear<'a>>,
        limits: &Limits,
        kernels: &'static Kernels,
    ) -> Result<Decoder<'a>> {
        let extra = limits.extra_classes as usize;
        let classes = (head.classes as usize).saturating_add(extra);
        let row_len = product("grid row", &[classes, row_stride(grid.width)])?;
        let kept = (limits.fusion, limits.smoothing);
        Ok(Decoder {
            head: *head,
            grid,
            kernels,
            classifier: Classifier::carve(arena, head, grid.width, kernels)?,
            rows: Rows::carve(arena, head, linear, extra)?,
            upper: arena.take(row_len)?,
            lower: arena.take(row_len)?,
            blend: arena.take(row_len)?,
            steps: arena.take(row_len)?,
            order: arena.take(classes)?,
            terms: arena.take(classes)?,
            active: 0,
            seen: 0,
            label_limit: 0,
            decision: Decision::PLAIN,
            evidence: Evidence::carve(arena, (classes, grid.height, grid.width), kept)?,
            smoothing: Smoothing::OFF,
            keeps_evidence: false,
            pixels: Pixels::carve(arena, limits.max_frame_width as usize)?,
            pruning: Pruning::carve(arena, grid.width)?,
            stage: Stage::Idle,
            loaded: None,
            clock: Clock::NONE,
            head_ns: 0,
        })
    }

    /// Measures the time spent on classification with `clock`.
    pub fn set_clock(&mut self, clock: Clock) {
        self.clock = clock;
    }

    /// Time that the latest frame spent on turning features into logits, in nanoseconds.
    pub fn head_ns(&self) -> u64 {
        self.head_ns
    }

    /// The classifier's rows.
    pub fn rows(&self) -> &Rows<'a> {
        &self.rows
    }

    pub(crate) fn rows_mut(&mut self) -> &mut Rows<'a> {
        &mut self.rows
    }

    /// Settles which classes take part and how pixels are decided. A frame at work is given up,
    /// and the past that frames are smoothed with is forgotten. Classes beyond the number that
    /// was carved for are left out. `decision` is a checked one; where classes tie, the first
    /// wins.
    pub fn arrange(
        &mut self,
        classes: impl Iterator<Item = ActiveClass> + Clone,
        decision: Decision,
    ) {
        self.stage = Stage::Idle;
        self.evidence.reset();
        self.decision = decision;
        let seen = classes.clone().filter(|class| class.seen).count();
        let both = seen > 0 && classes.clone().any(|class| !class.seen);
        let separate = both
            && matches!(decision.stacking, Stacking::Probabilities(handicap) if handicap > 0.0);
        self.active = 0;
        if separate {
            self.append(classes.clone().filter(|class| class.seen));
            self.append(classes.filter(|class| !class.seen));
        } else {
            self.append(classes);
        }
        self.seen = if separate { seen } else { 0 };
        let labels = self.order.iter().take(self.active);
        self.label_limit = labels.max().map_or(0, |label| usize::from(*label) + 1);
    }

    fn append(&mut self, classes: impl Iterator<Item = ActiveClass>) {
        let handicap = match self.decision.stacking {
            Stacking::Logits(handicap) => handicap,
            _ => 0.0,
        };
        let places = self.order.iter_mut().zip(self.terms.iter_mut()).skip(self.active);
        for (class, (label, term)) in classes.zip(places) {
            *label = class.label;
            *term = if class.seen { class.bias - handicap } else { class.bias };
            self.active += 1;
        }
    }

    /// Smooths frames from the next one on; the past is forgotten.
    ///
    /// # Errors
    /// Those of [`Smoothing::check`]; [`Status::Unsupported`] if the limits did not ask for it.
    pub fn set_smoothing(&mut self, smoothing: Smoothing) -> Result<()> {
        smoothing.check()?;
        if !smoothing.is_off() && !self.evidence.can_smooth() {
            return Err(Status::Unsupported.about("smoothing, which the limits left out"));
        }
        self.smoothing = smoothing;
        self.evidence.reset();
        Ok(())
    }

    /// Forgets the past that frames are smoothed with.
    pub fn forget(&mut self) {
        self.evidence.reset();
    }

    /// Stops at [`Progress::Evidence`] in each frame from the next one on.
    ///
    /// # Errors
    /// [`Status::Unsupported`] if the limits asked for neither fusion nor smoothing.
    pub fn keep_evidence(&mut self, keep: bool) -> Result<()> {
        if keep && !self.evidence.is_kept() {
            return Err(Status::Unsupported.about("fusion, which the limits left out"));
        }
        self.keeps_evidence = keep;
        Ok(())
    }

    /// Number of classes that take part, and their logits: class after class in the order of
    /// [`Decoder::arrange`] (seen classes first if they have a handicap in probabilities), each
    /// in row-major order of the grid.
    pub fn evidence_mut(&mut self) -> (usize, &mut [f32]) {
        (self.active, self.evidence.present_mut(self.active))
    }

    /// Writes the mask of a frame that `placements` put on the network's input. `map` is the
    /// network's output. Nothing is written when an error is returned.
    ///
    /// # Errors
    /// Those of [`Decoder::begin`].
    pub fn run(
        &mut self,
        map: &Map<'_, f32>,
        placements: Placements<'_>,
        output: &mut Output<'_>,
    ) -> Result<()> {
        self.begin(placements, output)?;
        while self.step(map, placements, output)? != Progress::Done {}
        Ok(())
    }

    /// Begins a mask.
    ///
    /// # Errors
    /// [`Status::FrameSize`] for a frame wider than the limits; those of [`Output::check`].
    pub fn begin(&mut self, placements: Placements<'_>, output: &Output<'_>) -> Result<()> {
        let Placements { rows, columns } = placements;
        let (width, height) = (self.grid.width, self.grid.height);
        // A frame that was given up half mixed has left a past that is none.
        if matches!(self.stage, Stage::Mix(y) if y > 0) {
            self.evidence.reset();
        }
        self.stage = Stage::Idle;
        self.pixels.place(columns, width, self.head.align_corners)?;
        self.check_output(placements, output)?;
        self.head_ns = 0;
        self.loaded = None;
        self.pruning.begin(rows.frame() as usize >= 2 * self.grid.height);
        let smooths = !self.smoothing.is_off();
        let keeps = (self.keeps_evidence || smooths) && height > 0 && rows.frame() > 0;
        self.stage = if keeps { Stage::Keep(0) } else { Stage::Write(0) };
        Ok(())
    }

    /// Does one piece of the work: a row of the grid or of the frame. `map`, `placements` and
    /// `output` are the same in every step of a mask; what is in `output` before
    /// [`Progress::Done`] has no meaning.
    ///
    /// # Errors
    /// [`Status::InvalidState`] if no mask has begun; [`Status::ModelShape`] for a map of another
    /// shape; those of [`Output::check`].
    pub fn step(
        &mut self,
        map: &Map<'_, f32>,
        placements: Placements<'_>,
        output: &mut Output<'_>,
    ) -> Result<Progress> {
        self.check_map(map)?;
        self.check_output(placements, output)?;
        let start = self.clock.now_ns();
        let last = self.grid.height.saturating_sub(1);
        match self.stage {
            Stage::Idle => return Err(Status::InvalidState.about("no mask has begun")),
            Stage::Keep(y) => {
                self.keep_row(map, y);
                self.head_ns += self.clock.now_ns().saturating_sub(start);
                if y < last {
                    self.stage = Stage::Keep(y + 1);
                    return Ok(Progress::More);
                }
                let compares = self.evidence.has_past();
                return Ok(match (self.smoothing.is_off(), compares) {
                    (true, _) => self.tell_evidence(),
                    (false, true) => self.proceed(Stage::Compare(0)),
                    (false, false) => self.proceed(Stage::Mix(0)),
                });
            }
            Stage::Compare(y) => {
                self.evidence.compare(y, self.active);
                let next = if y < last { Stage::Compare(y + 1) } else { Stage::Mix(0) };
                return Ok(self.proceed(next));
            }
            Stage::Mix(y) => {
                self.evidence.mix(y, self.smoothing);
                return Ok(match y < last {
                    true => self.proceed(Stage::Mix(y + 1)),
                    false => self.tell_evidence(),
                });
            }
            Stage::Write(y) => {
                self.write_row(map, placements, y, output);
                if y + 1 < placements.rows.frame() {
                    return Ok(self.proceed(Stage::Write(y + 1)));
                }
                self.stage = Stage::Idle;
            }
        }
        Ok(Progress::Done)
    }

    fn proceed(&mut self, stage: Stage) -> Progress {
        self.stage = stage;
        Progress::More
    }

    fn tell_evidence(&mut self) -> Progress {
        self.stage = Stage::Write(0);
        if self.keeps_evidence { Progress::Evidence } else { Progress::More }
    }

    /// Whether a mask is made from kept logits.
    fn is_kept(&self) -> bool {
        self.keeps_evidence || !self.smoothing.is_off()
    }

    fn check_map(&self, map: &Map<'_, f32>) -> Result<()> {
        let found = (map.height(), map.width(), map.channels(), map.layout());
        let channels = self.head.channels as usize;
        if found != (self.grid.height, self.grid.width, channels, self.grid.layout) {
            return Err(Status::ModelShape.about("the network's output"));
        }
        Ok(())
    }

    fn check_output(&self, placements: Placements<'_>, output: &Output<'_>) -> Result<()> {
        let Placements { rows, columns } = placements;
        output.check(columns.frame() as usize, rows.frame() as usize, self.label_limit())
    }

    /// One more than the highest label that takes part.
    pub fn label_limit(&self) -> usize {
        self.label_limit
    }

    fn write_row(
        &mut self,
        map: &Map<'_, f32>,
        placements: Placements<'_>,
        y: u32,
        output: &mut Output<'_>,
    ) {
        let Placements { rows, columns } = placements;
        let (row, width) = (y as usize, columns.frame() as usize);
        let visible = columns.visible();
        let (from, to) = (visible.start as usize, visible.end as usize);
        if !rows.visible().contains(&y) || self.active == 0 {
            output.clear(row, 0, width);
            return;
        }
        let tap = rows.grid_tap(y, self.grid.height as u32, self.head.align_corners);
        let index = tap.index as usize;
        if self.loaded != Some(index) {
            let start = self.clock.now_ns();
            self.load_rows(map, index);
            self.head_ns += self.clock.now_ns().saturating_sub(start);
        }
        output.clear(row, 0, from);
        output.clear(row, to, width);
        self.decide_row(row, tap.fraction, (from, to), output);
    }

    /// Makes `upper` grid row `index` and `lower` the one below it (or the same at the edge).
    /// Walking down, each grid row is classified once.
    fn load_rows(&mut self, map: &Map<'_, f32>, index: usize) {
        let below = (index + 1).min(self.grid.height.saturating_sub(1));
        if self.loaded.is_some_and(|loaded| loaded + 1 == index) {
            core::mem::swap(&mut self.upper, &mut self.lower);
        } else {
            self.load_row(map, index);
            core::mem::swap(&mut self.upper, &mut self.lower);
        }
        self.load_row(map, below);
        self.loaded = Some(index);
        self.pruning.forget();
    }

    /// Makes `lower` grid row `y`.
    fn load_row(&mut self, map: &Map<'_, f32>, y: usize) {
        match self.is_kept() {
            true => self.evidence.get(y, self.lower),
            false => self.classify(map, y),
        }
    }

    fn keep_row(&mut self, map: &Map<'_, f32>, y: usize) {
        self.classify(map, y);
        self.evidence.put(y, self.lower);
    }

    /// Writes the logits of grid row `y`, biases included, into `lower`.
    fn classify(&mut self, map: &Map<'_, f32>, y: usize) {
        let labels = self.order.get(..self.active).unwrap_or_default();
        self.classifier.row(map, y, (&self.rows, labels), self.lower);
        let stride = row_stride(map.width());
        for (row, &term) in pieces_mut(self.lower, stride).zip(self.terms.iter()) {
            if term != 0.0 {
                row.iter_mut().take(map.width()).for_each(|logit| *logit += term);
            }
        }
    }

    fn decide_row(
        &mut self,
        y: usize,
        fraction: f32,
        (from, to): (usize, usize),
        output: &mut Output<'_>,
    ) {
        let len = to.saturating_sub(from);
        let stride = row_stride(self.grid.width);
        let used = stride.saturating_mul(self.active);
        let labels = self.order.get(..self.active).unwrap_or_default();
        let pair = RowPair {
            upper: self.upper.get(..used).unwrap_or_default(),
            lower: self.lower.get(..used).unwrap_or_default(),
            fraction,
        };
        let plain = !self.decision.rejects() && self.seen == 0 && !output.wants_evidence();
        if plain && self.pruning.applies(self.kernels, pair, (stride, self.pixels.cells(len))) {
            let survivors = self.pruning.survivors();
            let blended = BlendedRow { values: self.blend, steps: self.steps };
            (self.kernels.blend_active)(pair, stride, survivors.active, blended);
            let left = stride.saturating_mul(survivors.active.len());
            let grid = grid_row(self.blend, self.steps, stride, left);
            self.pixels.decide_pruned(self.kernels, grid, survivors, len);
            output.write_labels(y, (from, len), self.pixels.labels(), labels);
            return;
        }
        (self.kernels.blend)(pair, BlendedRow { values: self.blend, steps: self.steps });
        let grid = grid_row(self.blend, self.steps, stride, used);
        if plain {
            self.pixels.decide(self.kernels, grid, len);
            output.write_labels(y, (from, len), self.pixels.labels(), labels);
            return;
        }
        let verdict = Verdict {
            kernels: self.kernels,
            decision: self.decision,
            scale: self.head.confidence_scale,
            seen: self.seen,
        };
        self.pixels.judge(&verdict, grid, labels, len);
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
