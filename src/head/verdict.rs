//! From a row of logits to labels, confidence, margin and unknown score, pixel by pixel.

use crate::arena::Arena;
use crate::math::kernels::{Columns, GridRow, Kernels, MAX_LANES, Ranking, Softmax};
use crate::math::pieces::copy;
use crate::math::prune::Survivors;
use crate::math::resample::Placement;
use crate::spec::{Decision, Stacking, UnknownScore};
use crate::status::{Result, Status};

/// How pixels are decided.
pub(super) struct Verdict {
    pub(super) kernels: &'static Kernels,
    pub(super) decision: Decision,
    /// Factor on the logits before the softmax.
    pub(super) scale: f32,
    /// Classes at the front that have a handicap in probabilities; 0 if none has.
    pub(super) seen: usize,
}

/// Best classes of each pixel among some of the classes.
struct Ranks<'a> {
    label: &'a mut [f32],
    best: &'a mut [f32],
    second: &'a mut [f32],
}

impl<'a> Ranks<'a> {
    fn carve(arena: &mut Arena<'a>, len: usize) -> Result<Ranks<'a>> {
        Ok(Ranks { label: arena.take(len)?, best: arena.take(len)?, second: arena.take(len)? })
    }

    fn fill(&mut self, kernels: &Kernels, grid: GridRow<'_>, columns: Columns<'_>) {
        let ranking = Ranking { label: self.label, best: self.best, second: self.second };
        (kernels.rank)(grid, columns, ranking);
    }
}

/// Where the pixels of a row lie on the grid, padded for whole vectors.
pub(super) struct Positions<'a> {
    index: &'a mut [u32],
    fraction: &'a mut [f32],
}

impl<'a> Positions<'a> {
    pub(super) fn carve(arena: &mut Arena<'a>, max_width: usize) -> Result<Positions<'a>> {
        let len = max_width.next_multiple_of(MAX_LANES);
        Ok(Positions { index: arena.take(len)?, fraction: arena.take(len)? })
    }

    /// Fills the positions of the visible pixels; the padding repeats the last one.
    pub(super) fn place(
        &mut self,
        columns: &Placement,
        grid_width: usize,
        align_corners: bool,
    ) -> Result<()> {
        if columns.frame() as usize > self.index.len() {
            let error = Status::FrameSize.about("frame width");
            return Err(error.numbers(columns.frame().into(), self.index.len() as u64));
        }
        let visible = columns.visible();
        let last = visible.end.saturating_sub(1);
        let places = self.index.iter_mut().zip(self.fraction.iter_mut());
        for ((index, fraction), pixel) in places.zip(visible.start..) {
            let tap = columns.grid_tap(pixel.min(last), grid_width as u32, align_corners);
            *index = tap.index;
            *fraction = tap.fraction;
        }
        Ok(())
    }

    /// Those of the first `len` visible pixels.
    pub(super) fn columns(&self, len: usize) -> Columns<'_> {
        let padded = len.next_multiple_of(MAX_LANES);
        Columns {
            index: self.index.get(..padded).unwrap_or_default(),
            fraction: self.fraction.get(..padded).unwrap_or_default(),
        }
    }
}

/// Results of a row's pixels, padded for whole vectors.
pub(super) struct Pixels<'a> {
    /// Among all classes, or those at the front; at last the results: label, confidence, margin.
    ranks: Ranks<'a>,
    /// Among the classes behind.
    others: Ranks<'a>,
    /// Highest logit.
    top: &'a mut [f32],
    /// Sum of the softmax's exponentials relative to the highest; at last the unknown score.
    sum: &'a mut [f32],
    /// Operand of the unknown score.
    low: &'a mut [f32],
}

impl<'a> Pixels<'a> {
    pub(super) fn carve(arena: &mut Arena<'a>, max_width: usize) -> Result<Pixels<'a>> {
        let len = max_width.next_multiple_of(MAX_LANES);
        Ok(Pixels {
            ranks: Ranks::carve(arena, len)?,
            others: Ranks::carve(arena, len)?,
            top: arena.take(len)?,
            sum: arena.take(len)?,
            low: arena.take(len)?,
        })
    }

    /// Positions of classes as whole numbers; their count for "none".
    pub(super) fn labels(&self) -> &[f32] {
        self.ranks.label
    }

    /// Confidence, margin and unknown score after [`Pixels::judge`].
    pub(super) fn evidence(&self) -> (&[f32], &[f32], &[f32]) {
        (self.ranks.best, self.ranks.second, self.sum)
    }

    /// Labels alone: the best class of each pixel.
    pub(super) fn decide(&mut self, kernels: &Kernels, grid: GridRow<'_>, at: Columns<'_>) {
        (kernels.decide)(grid, at, self.ranks.label);
    }

    /// As [`Pixels::decide`], among the classes that may win.
    pub(super) fn decide_pruned(
        &mut self,
        kernels: &Kernels,
        grid: GridRow<'_>,
        survivors: Survivors<'_>,
        at: Columns<'_>,
    ) {
        (kernels.decide_pruned)(grid, at, survivors, self.ranks.label);
    }

    /// Labels and everything that is told about them.
    pub(super) fn judge(
        &mut self,
        verdict: &Verdict,
        grid: GridRow<'_>,
        labels: &[u16],
        at: Columns<'_>,
    ) {
        let handicap = match verdict.decision.stacking {
            Stacking::Probabilities(handicap) if verdict.seen > 0 => Some(handicap),
            _ => None,
        };
        match handicap {
            None => self.judge_all(verdict, grid, at),
            Some(handicap) => self.judge_groups(verdict, grid, at, (handicap, labels)),
        }
        self.score_unknown(verdict);
        self.distrust_infinite();
        self.reject(&verdict.decision, labels.len());
    }

    fn judge_all(&mut self, verdict: &Verdict, grid: GridRow<'_>, at: Columns<'_>) {
        self.ranks.fill(verdict.kernels, grid, at);
        copy(self.top, self.ranks.best);
        let softmax = Softmax { best: self.top, scale: verdict.scale };
        (verdict.kernels.total)(grid, at, softmax, self.sum);
        (verdict.kernels.relative)(softmax, self.ranks.second);
        let values = self.ranks.best.iter_mut().zip(self.ranks.second.iter_mut());
        for ((confidence, margin), &sum) in values.zip(self.sum.iter()) {
            *confidence = 1.0 / sum;
            *margin = (1.0 - *margin) / sum;
        }
    }

    /// Seen classes give up `handicap` of their probability (methods.md 1.11). Everything is
    /// relative to the most probable class, whose probability is 1 / sum.
    fn judge_groups(
        &mut self,
        verdict: &Verdict,
        grid: GridRow<'_>,
        at: Columns<'_>,
        (handicap, labels): (f32, &[u16]),
    ) {
        let kernels = verdict.kernels;
        let (seen, unseen) = grid.split(verdict.seen);
        self.ranks.fill(kernels, seen, at);
        self.others.fill(kernels, unseen, at);
        let bests = self.ranks.best.iter().zip(self.others.best.iter());
        for (top, (&seen, &unseen)) in self.top.iter_mut().zip(bests) {
            *top = if seen > unseen { seen } else { unseen };
        }
        let softmax = Softmax { best: self.top, scale: verdict.scale };
        (kernels.total)(grid, at, softmax, self.sum);
        for values in
            [&mut *self.ranks.best, self.ranks.second, self.others.best, self.others.second]
        {
            (kernels.relative)(softmax, values);
        }
        let offset = verdict.seen as f32;
        let front = self.ranks.label.iter_mut();
        let front = front.zip(self.ranks.best.iter_mut().zip(self.ranks.second.iter_mut()));
        let back = self.others.label.iter();
        let back = back.zip(self.others.best.iter().zip(self.others.second.iter()));
        for (((label, (best, second)), (&other, (&rival, &third))), &sum) in
            front.zip(back).zip(self.sum.iter())
        {
            let loss = handicap * sum;
            let (score, behind) = (*best - loss, *second - loss);
            let other = other + offset;
            let lead = if score == rival { lower(labels, *label, other) } else { score > rival };
            let (confidence, margin) = match lead {
                true => (*best, score - larger(behind, rival)),
                false => (rival, rival - larger(score, third)),
            };
            *label = if lead { *label } else { other };
            (*best, *second) = (confidence / sum, margin / sum);
        }
    }

    /// Turns sums into unknown scores.
    fn score_unknown(&mut self, verdict: &Verdict) {
        let reference = match verdict.decision.unknown {
            UnknownScore::Energy { reference } => reference,
            UnknownScore::Margin => {
                for (unknown, &margin) in self.sum.iter_mut().zip(self.ranks.second.iter()) {
                    *unknown = 1.0 - margin;
                }
                return;
            }
        };
        // The larger of the two logits goes to `others.best`, the smaller to `low`.
        let operands = self.low.iter_mut().zip(self.others.best.iter_mut());
        for ((low, high), &top) in operands.zip(self.top.iter()) {
            (*low, *high) = if reference > top { (top, reference) } else { (reference, top) };
        }
        let softmax = Softmax { best: self.others.best, scale: verdict.scale };
        (verdict.kernels.relative)(softmax, self.low);
        for ((sum, &ratio), &top) in self.sum.iter_mut().zip(self.low.iter()).zip(self.top.iter()) {
            *sum = match reference > top {
                true => 1.0 / (1.0 + ratio * *sum),
                false => ratio / (ratio + *sum),
            };
        }
    }

    /// Nothing is known of a pixel whose highest logit is no finite number.
    fn distrust_infinite(&mut self) {
        let results = self.ranks.best.iter_mut().zip(self.ranks.second.iter_mut());
        let tops = self.sum.iter_mut().zip(self.top.iter());
        for ((confidence, margin), (unknown, top)) in results.zip(tops) {
            if !top.is_finite() {
                (*confidence, *margin, *unknown) = (0.0, 0.0, 1.0);
            }
        }
    }

    fn reject(&mut self, decision: &Decision, none: usize) {
        if !decision.rejects() {
            return;
        }
        let scores = self.ranks.best.iter().zip(self.ranks.second.iter()).zip(self.sum.iter());
        for (label, ((&confidence, &margin), &unknown)) in self.ranks.label.iter_mut().zip(scores) {
            let unsure = confidence < decision.min_confidence || margin < decision.min_margin;
            if unsure || unknown > decision.max_unknown {
                *label = none as f32;
            }
        }
    }
}

fn larger(a: f32, b: f32) -> f32 {
    if a > b { a } else { b }
}

/// Whether the label at position `a` is lower than that at position `b`.
fn lower(labels: &[u16], a: f32, b: f32) -> bool {
    let label = |position: f32| labels.get(position as usize).copied().unwrap_or(u16::MAX);
    label(a) < label(b)
}
