//! Class scores moved towards segments (methods.md 6.10).
//!
//! The scores stay scores, so that whatever follows (upsampling, confidence, margin) needs to
//! know nothing of the segments. Where a cell is given another class, the scores of the old and
//! the new class are exchanged: the best and second best score stay what they were, and so does
//! the softmax's largest probability. If the new class would then lose a tie, its score is raised
//! by one step of f32.
//!
//! A score of minus infinity says "not this class"; a cell never gets a class that it says this
//! of, and such scores stay as they are.

use super::cells::check_range;
use super::regions::{MAX_REGIONS, Regions, Window, largest};
use super::{MAX_CELLS, Segments, Shape};
use crate::arena::Arena;
use crate::limits::{MAX_CLASSES, product};
use crate::map::Layout;
use crate::status::{Error, Result, Status};
use core::fmt;
use core::ops::Range;
use core::str::FromStr;

/// Classes with no more than one cell in this many keep their shape in [`Fusion::Select`].
const SELECT_AREA_INVERSE: usize = 200;
/// Stands for "no class": all of a cell's scores are minus infinity.
const NO_CLASS: u16 = u16::MAX;
/// Label of a cell that takes no part.
const OUTSIDE: u16 = u16::MAX - 1;

/// How segments change the scores. Without segments none of them changes anything.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Fusion {
    /// Each class that wins more than 0.5 % of the cells is given the shape of the segment, or of
    /// the rest of the grid, that fits its own shape best. A cell that two classes claim goes to
    /// the one with the higher mean score over its shape (the lower class on ties); one that its
    /// class gave up and none claims goes to its second best class.
    Select {
        /// Least intersection over union between old and new shape; the usual value is 0.5,
        /// above 1 nothing changes. At least 0.
        threshold: f32,
    },
    /// The signs of all segments divide the grid into regions, those below 1 % of the grid
    /// merged with a neighbour. A region in which enough cells have the same class gets that class.
    Vote {
        /// Least share of the region's cells; the usual value is 0.6. At least 0, above 1 nothing
        /// changes.
        agreement: f32,
    },
    /// Scores are mixed with their mean over the region (as for `Vote`).
    Soft {
        /// Share of the mean, 0 to 1; the usual value is 0.5.
        mix: f32,
    },
}

impl Fusion {
    /// Checks the ranges stated at the fields.
    ///
    /// # Errors
    /// [`Status::InvalidArgument`].
    pub fn check(&self) -> Result<()> {
        let (what, value, most) = match *self {
            Fusion::Select { threshold } => ("threshold of select", threshold, f32::MAX),
            Fusion::Vote { agreement } => ("agreement of vote", agreement, f32::MAX),
            Fusion::Soft { mix } => ("mix of soft", mix, 1.0),
        };
        if !(0.0..=most).contains(&value) {
            return Err(Status::InvalidArgument.about(what));
        }
        Ok(())
    }
}

/// "select", "vote" or "soft" with its usual number, or with another as in "vote=0.7".
impl FromStr for Fusion {
    type Err = Error;

    fn from_str(text: &str) -> Result<Fusion> {
        let (name, number) = match text.split_once('=') {
            None => (text, None),
            Some((name, number)) => {
                let wrong = |_| Status::InvalidArgument.about("number of a fusion rule");
                (name, Some(number.parse::<f32>().map_err(wrong)?))
            }
        };
        let fusion = match name {
            "select" => Fusion::Select { threshold: number.unwrap_or(0.5) },
            "vote" => Fusion::Vote { agreement: number.unwrap_or(0.6) },
            "soft" => Fusion::Soft { mix: number.unwrap_or(0.5) },
            _ => {
                let about = "a fusion rule, which is one of select, vote and soft";
                return Err(Status::InvalidArgument.about(about));
            }
        };
        fusion.check()?;
        Ok(fusion)
    }
}

impl fmt::Display for Fusion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Fusion::Select { threshold } => write!(f, "select={threshold}"),
            Fusion::Vote { agreement } => write!(f, "vote={agreement}"),
            Fusion::Soft { mix } => write!(f, "soft={mix}"),
        }
    }
}

/// Class scores of a grid's cells, to be changed in place.
#[derive(Debug)]
pub struct Scores<'s> {
    data: &'s mut [f32],
    cells: usize,
    classes: usize,
    layout: Layout,
}

impl<'s> Scores<'s> {
    /// Wraps `data`, whose length must be exactly `shape.height * shape.width * shape.channels`;
    /// the channels are the classes.
    ///
    /// # Errors
    /// Those of [`Shape::cells`]; [`Status::InvalidArgument`] for another length.
    pub fn new(data: &'s mut [f32], shape: &Shape, layout: Layout) -> Result<Scores<'s>> {
        let (cells, classes) = (shape.cells()?, shape.channels);
        let wanted = product("scores", &[cells, classes])?;
        if data.len() != wanted {
            let error = Status::InvalidArgument.about("length of the scores");
            return Err(error.numbers(data.len() as u64, wanted as u64));
        }
        Ok(Scores { data, cells, classes, layout })
    }

    fn check(&self, cells: usize, most_classes: usize) -> Result<()> {
        if self.cells != cells || self.classes > most_classes {
            let error = Status::ModelShape.about("scores");
            return Err(error.numbers(self.data.len() as u64, (cells * most_classes) as u64));
        }
        let bad = self.data.iter().position(|score| score.is_nan() || *score == f32::INFINITY);
        match bad {
            Some(at) => Err(Status::InvalidArgument.about("scores").numbers(at as u64, 0)),
            None => Ok(()),
        }
    }

    #[inline(always)]
    fn index(&self, class: usize, cell: usize) -> usize {
        match self.layout {
            Layout::Chw => class * self.cells + cell,
            Layout::Hwc => cell * self.classes + class,
        }
    }

    #[inline(always)]
    fn get(&self, class: usize, cell: usize) -> f32 {
        self.data.get(self.index(class, cell)).copied().unwrap_or(f32::NEG_INFINITY)
    }

    fn set(&mut self, class: usize, cell: usize, score: f32) {
        let index = self.index(class, cell);
        if let Some(place) = self.data.get_mut(index) {
            *place = score;
        }
    }

    /// The class with the highest score (the lowest such class on ties) but for `without`.
    fn best(&self, cell: usize, without: u16) -> u16 {
        let mut best = (f32::NEG_INFINITY, NO_CLASS);
        for class in 0..self.classes {
            let score = self.get(class, cell);
            if score > best.0 && class != usize::from(without) {
                best = (score, class as u16);
            }
        }
        best.1
    }

    /// Makes `to` the best class of a cell whose best class is `from`. Whether it could.
    fn assign(&mut self, cell: usize, from: u16, to: u16) -> bool {
        let (old, new) = (usize::from(from), usize::from(to));
        let (high, low) = (self.get(old, cell), self.get(new, cell));
        if from == to || from == NO_CLASS || to == NO_CLASS || low == f32::NEG_INFINITY {
            return false;
        }
        self.set(old, cell, low);
        self.set(new, cell, high);
        if self.best(cell, NO_CLASS) != to {
            self.set(new, cell, high.next_up());
        }
        true
    }
}

/// The shape that a class is given: its own, or a segment, or the rest of the grid.
#[derive(Clone, Copy)]
struct Choice(u16);

impl Choice {
    const KEEP: Choice = Choice(0);

    fn segment(index: usize, inside: bool) -> Choice {
        Choice(2 * index as u16 + 1 + u16::from(!inside))
    }

    fn holds(self, segments: &Segments<'_>, cell: usize) -> bool {
        let index = usize::from(self.0.saturating_sub(1));
        segments.contains(index / 2, cell) == index.is_multiple_of(2)
    }
}

/// Moves class scores towards segments.
///
/// # Memory
/// `4 N + 10 C + 4.5 KiB`, for N cells and C classes, in bytes, but for rounding each buffer up.
pub struct Fuser<'a> {
    height: usize,
    width: usize,
    classes: usize,
    window: Window,
    regions: Regions<'a>,
    /// Sum of scores of each region: (MAX_REGIONS).
    sums: &'a mut [f64],
    /// Best class of each cell: (cells).
    labels: &'a mut [u16],
    /// Cells of each class, mean score over its shape, number of its [`Choice`]: (classes).
    area: &'a mut [u32],
    mean: &'a mut [f32],
    choice: &'a mut [u16],
    /// Classes that are given another shape: fewer than [`SELECT_AREA_INVERSE`].
    moved: &'a mut [u16],
}

impl<'a> Fuser<'a> {
    /// Takes all memory for scores of `shape`, whose channels are the most classes there may be.
    ///
    /// # Errors
    /// Those of [`Shape::cells`] and [`Arena::take`]; [`Status::LimitExceeded`] for more classes
    /// than [`MAX_CLASSES`].
    pub fn carve(arena: &mut Arena<'a>, shape: &Shape) -> Result<Fuser<'a>> {
        let (cells, classes) = (shape.cells()?, shape.channels);
        check_range("classes", classes, 1, MAX_CLASSES as usize)?;
        Ok(Fuser {
            height: shape.height,
            width: shape.width,
            classes,
            window: Window::whole(shape.height, shape.width),
            regions: Regions::carve(arena, shape.height, shape.width)?,
            sums: arena.take(MAX_REGIONS)?,
            labels: arena.take(cells)?,
            area: arena.take(classes)?,
            mean: arena.take(classes)?,
            choice: arena.take(classes)?,
            moved: arena.take(SELECT_AREA_INVERSE)?,
        })
    }

    /// Lets only these rows and columns of the grid take part from now on; at first all do. The
    /// others, such as padding around a frame, are not counted, and their scores stay as they are.
    pub fn set_window(&mut self, rows: Range<usize>, columns: Range<usize>) {
        let rows = rows.start..rows.end.min(self.height);
        let columns = columns.start..columns.end.min(self.width);
        self.window = self.window.part(rows, columns);
    }

    /// Changes `scores` and returns how many cells have another best class than before. On an
    /// error nothing is changed.
    ///
    /// # Errors
    /// [`Status::InvalidArgument`] if a parameter of `fusion` is out of its range or a score is
    /// NaN or plus infinity; [`Status::ModelShape`] if segments or scores are of another shape.
    ///
    /// # Complexity
    /// At most, for K segments, P classes that win a cell and G regions: `C N + P N K` steps for
    /// `Select`, `C N + G (N + C)` for `Vote`, `3 C N + G N` for `Soft`. P is at most N, G at most
    /// 2^K; only the 199 largest classes count K times.
    pub fn run(
        &mut self,
        fusion: Fusion,
        segments: &Segments<'_>,
        scores: &mut Scores<'_>,
    ) -> Result<usize> {
        fusion.check()?;
        let cells = self.height * self.width;
        scores.check(cells, self.classes)?;
        if segments.count() == 0 {
            return Ok(0);
        }
        if segments.cells() != cells {
            let error = Status::ModelShape.about("segments");
            return Err(error.numbers(segments.cells() as u64, cells as u64));
        }
        for (cell, label) in self.labels.iter_mut().enumerate() {
            *label = if self.window.holds(cell) { scores.best(cell, NO_CLASS) } else { OUTSIDE };
        }
        Ok(match fusion {
            Fusion::Select { threshold } => self.select(threshold, segments, scores),
            Fusion::Vote { agreement } => self.vote(agreement, segments, scores),
            Fusion::Soft { mix } => self.soften(mix, segments, scores),
        })
    }

    fn select(
        &mut self,
        threshold: f32,
        segments: &Segments<'_>,
        scores: &mut Scores<'_>,
    ) -> usize {
        let count = self.choose(threshold, segments, scores);
        let mut changed = 0;
        for (cell, &label) in self.labels.iter().enumerate() {
            if label == NO_CLASS || label == OUTSIDE {
                continue;
            }
            let mean = |class: u16| self.mean.get(usize::from(class)).copied().unwrap_or(0.0);
            let choice =
                |class: u16| Choice(self.choice.get(usize::from(class)).copied().unwrap_or(0));
            let keeps = choice(label).0 == Choice::KEEP.0;
            let mut winner = keeps.then(|| (mean(label), label));
            for &class in self.moved.iter().take(count) {
                let claims = choice(class).holds(segments, cell)
                    && scores.get(usize::from(class), cell) > f32::NEG_INFINITY;
                let claim = (mean(class), class);
                let beats = |(best, holder): (f32, u16)| {
                    claim.0 > best || claim.0 == best && class < holder
                };
                if claims && winner.is_none_or(beats) {
                    winner = Some(claim);
                }
            }
            let to = winner.map_or_else(|| scores.best(cell, label), |(_, class)| class);
            changed += usize::from(scores.assign(cell, label, to));
        }
        changed
    }

    /// Chooses every class's shape and takes its mean score over it. How many were moved.
    fn choose(&mut self, threshold: f32, segments: &Segments<'_>, scores: &Scores<'_>) -> usize {
        self.count_labels();
        self.choice.fill(Choice::KEEP.0);
        let mut count = 0;
        for class in 0..scores.classes {
            let area = self.area.get(class).copied().unwrap_or(0) as usize;
            let mut shape = Choice::KEEP;
            if area * SELECT_AREA_INVERSE > self.window.cells() {
                let cells = (&*self.labels, self.window.cells());
                let (choice, overlap) = best_shape(segments, cells, class as u16, area);
                let place = self.moved.get_mut(count).filter(|_| overlap >= f64::from(threshold));
                if let Some(place) = place {
                    (*place, shape) = (class as u16, choice);
                    count += 1;
                }
            }
            if area > 0 {
                let inside = |(cell, label): (usize, &u16)| match shape.0 == Choice::KEEP.0 {
                    true => usize::from(*label) == class,
                    false => shape.holds(segments, cell),
                };
                let cells = self.labels.iter().enumerate();
                let cells = cells.filter(|(_, label)| **label != OUTSIDE);
                let cells = cells.filter(|&item| inside(item)).map(|(cell, _)| cell);
                let places = self.choice.get_mut(class).zip(self.mean.get_mut(class));
                if let Some((choice, mean)) = places {
                    (*choice, *mean) = (shape.0, mean_score(scores, class, cells));
                }
            }
        }
        count
    }

    fn count_labels(&mut self) {
        self.area.fill(0);
        for &label in self.labels.iter() {
            if let Some(area) = self.area.get_mut(usize::from(label)) {
                *area += 1;
            }
        }
    }

    fn vote(&mut self, agreement: f32, segments: &Segments<'_>, scores: &mut Scores<'_>) -> usize {
        self.regions.divide(segments, &self.window);
        let mut changed = 0;
        for (region, &size) in (0..).zip(self.regions.areas()) {
            if size == 0 {
                continue;
            }
            let members = || {
                let cells = self.regions.of_cells().iter().zip(self.labels.iter()).enumerate();
                cells.filter(move |(_, (own, _))| **own == region)
            };
            self.area.fill(0);
            for (_, (_, &label)) in members() {
                if let Some(votes) = self.area.get_mut(usize::from(label)) {
                    *votes += 1;
                }
            }
            let Some(winner) = largest(self.area) else { continue };
            let votes = self.area.get(usize::from(winner)).copied().unwrap_or(0);
            if f64::from(votes) < f64::from(agreement) * f64::from(size) {
                continue;
            }
            for (cell, (_, &label)) in members() {
                changed += usize::from(scores.assign(cell, label, winner));
            }
        }
        changed
    }

    fn soften(&mut self, mix: f32, segments: &Segments<'_>, scores: &mut Scores<'_>) -> usize {
        if mix == 0.0 {
            return 0;
        }
        self.regions.divide(segments, &self.window);
        // Of each region: cells with a score of the class at hand.
        let mut counts = [0u32; MAX_REGIONS];
        for class in 0..scores.classes {
            self.sums.fill(0.0);
            counts.fill(0);
            for (cell, &region) in self.regions.of_cells().iter().enumerate() {
                let score = scores.get(class, cell);
                let region = usize::from(region);
                let places = self.sums.get_mut(region).zip(counts.get_mut(region));
                if let (true, Some((sum, count))) = (score > f32::NEG_INFINITY, places) {
                    *sum += f64::from(score);
                    *count += 1;
                }
            }
            for (sum, &count) in self.sums.iter_mut().zip(&counts) {
                *sum /= f64::from(count.max(1));
            }
            for (cell, &region) in self.regions.of_cells().iter().enumerate() {
                let score = scores.get(class, cell);
                let mean = self.sums.get(usize::from(region));
                if let (true, Some(&mean)) = (score > f32::NEG_INFINITY, mean) {
                    scores.set(class, cell, (1.0 - mix) * score + mix * mean as f32);
                }
            }
        }
        let labels = self.labels.iter().enumerate();
        let labels = labels.filter(|(_, label)| **label != OUTSIDE);
        labels.filter(|(cell, label)| scores.best(*cell, NO_CLASS) != **label).count()
    }
}

/// The shape with the greatest intersection over union with the cells of `class`, the first of
/// equals; a segment before its complement. `cells` are those that take part.
fn best_shape(
    segments: &Segments<'_>,
    (labels, cells): (&[u16], usize),
    class: u16,
    area: usize,
) -> (Choice, f64) {
    let mut best = (Choice::KEEP, -1.0);
    for index in 0..segments.count() {
        let (mut size, mut shared) = (0, 0);
        for (cell, &label) in labels.iter().enumerate() {
            let inside = label != OUTSIDE && segments.contains(index, cell);
            size += usize::from(inside);
            shared += usize::from(inside && label == class);
        }
        let rest = cells - size;
        for (inside, size, shared) in [(true, size, shared), (false, rest, area - shared)] {
            let overlap = shared as f64 / (size + area - shared).max(1) as f64;
            if overlap > best.1 {
                best = (Choice::segment(index, inside), overlap);
            }
        }
    }
    best
}

/// Mean of a class's scores over `cells`, those of minus infinity left out.
fn mean_score(scores: &Scores<'_>, class: usize, cells: impl Iterator<Item = usize>) -> f32 {
    let (mut sum, mut count) = (0.0, 0u32);
    for score in cells.map(|cell| scores.get(class, cell)).filter(|s| *s > f32::NEG_INFINITY) {
        sum += f64::from(score);
        count += 1;
    }
    if count == 0 { f32::NEG_INFINITY } else { (sum / f64::from(count)) as f32 }
}

const _: () = assert!(MAX_CELLS < OUTSIDE as usize && MAX_CLASSES < OUTSIDE as u32);
