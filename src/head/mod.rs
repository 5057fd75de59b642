//! From the network's output to the mask, without full-size logits.
//!
//! [`Decoder`] walks the frame row by row. For each row it blends the two grid rows around it
//! vertically, then interpolates, compares and keeps the best classes pixel by pixel. Its scratch
//! is a few rows of the grid and of the frame. Because the class scores of a pixel are linear in
//! the grid's logits, classifying the grid first and upsampling second is exact (methods.md
//! section 2.10).

mod bands;
mod classifier;
mod evidence;
mod output;
mod painter;
mod pruning;
mod rows;
mod verdict;

pub use evidence::Smoothing;
pub use output::{Labels, Output, PlaneMut, UNLABELED_U8, UNLABELED_U16};
pub use rows::{Linear, Rows};

use crate::arena::Arena;
use crate::limits::Limits;
use crate::map::{Layout, Map};
use crate::math::kernels::Kernels;
use crate::math::resample::Placement;
use crate::spec::{Decision, Head, Stacking};
use crate::status::{Result, Status};
use crate::threads::{Crew, ThreadPool};
use crate::trace::Clock;
use evidence::Evidence;
use painter::{Painter, Scene, Setup};
use verdict::Positions;

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
    setup: Setup<'a>,
    painter: Painter<'a>,
    evidence: Evidence<'a>,
    smoothing: Smoothing,
    keeps_evidence: bool,
    stage: Stage,
    /// Threads with a painter each.
    crew: Crew<'a>,
    max_width: usize,
    head_ns: u64,
}

impl<'a> Decoder<'a> {
    /// Takes the scratch from the arena. For C classes (the head's and `limits.extra_classes`), a
    /// stride S = [`row_stride`](crate::math::kernels::row_stride)`(grid.width)` and D channels, in
    /// bytes: 16 C S for logits and 6 C for their order; with a classifier 4 D (S + 4) for features
    /// and weights and the memory of [`Rows`], for cosines 4 S; 44 per pixel of the widest frame;
    /// and 4 C per cell of the grid if the limits ask for fusion, 8 C if they ask for smoothing.
    /// For each thread beyond the first as much again, without the order, [`Rows`], cells and 8 of
    /// the 44. `linear` is given exactly for a head with a classifier. No class takes part until
    /// [`Decoder::arrange`].
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
        let kept = (limits.fusion, limits.smoothing);
        let shape = (head, grid.width, classes);
        let max_width = limits.max_frame_width as usize;
        Ok(Decoder {
            painter: Painter::carve(arena, shape, max_width, kernels)?,
            setup: Setup {
                head: *head,
                grid,
                kernels,
                rows: Rows::carve(arena, head, linear, extra)?,
                order: arena.take(classes)?,
                terms: arena.take(classes)?,
                active: 0,
                seen: 0,
                label_limit: 0,
                decision: Decision::PLAIN,
                positions: Positions::carve(arena, max_width)?,
            },
            evidence: Evidence::carve(arena, (classes, grid.height, grid.width), kept)?,
            smoothing: Smoothing::OFF,
            keeps_evidence: false,
            stage: Stage::Idle,
            crew: Crew::carve(arena, limits.threads, |arena| {
                Painter::carve(arena, shape, max_width, kernels).map(|_| ())
            })?,
            max_width,
            head_ns: 0,
        })
    }

    /// Has [`Decoder::step_in_bands`] work with `pool`, or with `None` on the caller's thread
    /// alone.
    pub fn set_thread_pool(&mut self, pool: Option<&'a dyn ThreadPool>) {
        self.crew.set_pool(pool);
    }

    /// Measures the time spent on classification with `clock`.
    pub fn set_clock(&mut self, clock: Clock) {
        self.painter.clock = clock;
    }

    /// Time that the latest frame spent on turning features into logits, in nanoseconds. What is
    /// done side by side is not measured: clocks are for one thread.
    pub fn head_ns(&self) -> u64 {
        self.head_ns
    }

    /// The classifier's rows.
    pub fn rows(&self) -> &Rows<'a> {
        &self.setup.rows
    }

    pub(crate) fn rows_mut(&mut self) -> &mut Rows<'a> {
        &mut self.setup.rows
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
        self.setup.decision = decision;
        let seen = classes.clone().filter(|class| class.seen).count();
        let both = seen > 0 && classes.clone().any(|class| !class.seen);
        let separate = both
            && matches!(decision.stacking, Stacking::Probabilities(handicap) if handicap > 0.0);
        self.setup.active = 0;
        if separate {
            self.append(classes.clone().filter(|class| class.seen));
            self.append(classes.filter(|class| !class.seen));
        } else {
            self.append(classes);
        }
        self.setup.seen = if separate { seen } else { 0 };
        let labels = self.setup.order.iter().take(self.setup.active);
        self.setup.label_limit = labels.max().map_or(0, |label| usize::from(*label) + 1);
    }

    fn append(&mut self, classes: impl Iterator<Item = ActiveClass>) {
        let handicap = match self.setup.decision.stacking {
            Stacking::Logits(handicap) => handicap,
            _ => 0.0,
        };
        let places =
            self.setup.order.iter_mut().zip(self.setup.terms.iter_mut()).skip(self.setup.active);
        for (class, (label, term)) in classes.zip(places) {
            *label = class.label;
            *term = if class.seen { class.bias - handicap } else { class.bias };
            self.setup.active += 1;
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
        (self.setup.active, self.evidence.present_mut(self.setup.active))
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
        while self.step_in_bands(map, placements, output)? != Progress::Done {}
        Ok(())
    }

    /// Begins a mask.
    ///
    /// # Errors
    /// [`Status::FrameSize`] for a frame wider than the limits; those of [`Output::check`].
    pub fn begin(&mut self, placements: Placements<'_>, output: &Output<'_>) -> Result<()> {
        let Placements { rows, columns } = placements;
        let (width, height) = (self.setup.grid.width, self.setup.grid.height);
        // A frame that was given up half mixed has left a past that is none.
        if matches!(self.stage, Stage::Mix(y) if y > 0) {
            self.evidence.reset();
        }
        self.stage = Stage::Idle;
        self.setup.positions.place(columns, width, self.setup.head.align_corners)?;
        self.check_output(placements, output)?;
        self.head_ns = 0;
        self.painter.begin(self.prunes(rows));
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
        let start = self.painter.clock.now_ns();
        let last = self.setup.grid.height.saturating_sub(1);
        match self.stage {
            Stage::Idle => return Err(Status::InvalidState.about("no mask has begun")),
            Stage::Keep(y) => {
                let Decoder { setup, painter, evidence, .. } = self;
                let scene = Scene { setup, map, placements, kept: None };
                evidence.put(y, painter.classify(&scene, y));
                self.head_ns += self.painter.clock.now_ns().saturating_sub(start);
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
                self.evidence.compare(y, self.setup.active);
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
                self.head_ns += self.painter.take_head_ns();
                if y + 1 < placements.rows.frame() {
                    return Ok(self.proceed(Stage::Write(y + 1)));
                }
                self.stage = Stage::Idle;
            }
        }
        Ok(Progress::Done)
    }

    fn write_row(
        &mut self,
        map: &Map<'_, f32>,
        placements: Placements<'_>,
        y: u32,
        output: &mut Output<'_>,
    ) {
        let is_kept = self.is_kept();
        let Decoder { setup, painter, evidence, .. } = self;
        let kept = is_kept.then_some(&*evidence);
        painter.write_row(&Scene { setup, map, placements, kept }, y, y as usize, output);
    }

    fn proceed(&mut self, stage: Stage) -> Progress {
        self.stage = stage;
        Progress::More
    }

    fn tell_evidence(&mut self) -> Progress {
        self.stage = Stage::Write(0);
        if self.keeps_evidence { Progress::Evidence } else { Progress::More }
    }

    /// Whether several rows of the frame lie between two grid rows.
    fn prunes(&self, rows: &Placement) -> bool {
        rows.frame() as usize >= 2 * self.setup.grid.height
    }

    /// Whether a mask is made from kept logits.
    fn is_kept(&self) -> bool {
        self.keeps_evidence || !self.smoothing.is_off()
    }

    fn check_map(&self, map: &Map<'_, f32>) -> Result<()> {
        let found = (map.height(), map.width(), map.channels(), map.layout());
        let channels = self.setup.head.channels as usize;
        if found
            != (self.setup.grid.height, self.setup.grid.width, channels, self.setup.grid.layout)
        {
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
        self.setup.label_limit
    }
}
