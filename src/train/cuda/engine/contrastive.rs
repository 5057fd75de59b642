//! The label-based contrastive loss: which block of threads computes which pairs.

use super::super::backend::{Backend, Define};
use super::super::sources::CONTRASTIVE;
use super::call::Call;
use super::pairs::{Tile, choose, defines, wanted_blocks, width_of};
use super::{CudaEngine, Tensor};
use crate::status::Result;
use crate::train::engine::common::{check, invalid, positive_counts, require};
use crate::train::engine::{Contrastive, ContrastiveLoss, Denominator, Labelled, Pairs};
use std::sync::Arc;
use std::vec::Vec;

/// Most blocks that share the columns of a tile: each has its own part of the gradient in memory.
const MOST_SPLITS: usize = 16;
/// Threads of a block, but for those of the gradient.
const THREADS: u32 = 256;
/// Numbers of an anchor's stats.
const STATS: usize = 4;

/// What the kernels are told about pairs.
mod kind {
    pub(super) const AGAINST_NEGATIVES: u32 = 1;
    pub(super) const OTHER: u32 = 2;
    pub(super) const WITHOUT_SELF: u32 = 4;
    pub(super) const TRANSPOSED: u32 = 8;
}

/// Rows with their labels on the device.
struct Side<'a, B: Backend> {
    rows: &'a Tensor<B>,
    labels: Arc<B::Memory>,
}

impl<'a, B: Backend> Side<'a, B> {
    fn new(
        engine: &CudaEngine<B>,
        side: &Labelled<'a, Tensor<B>>,
        columns: usize,
    ) -> Result<Side<'a, B>> {
        check("columns of the features", side.rows.shape()[1], columns)?;
        check("number of labels", side.labels.len(), side.rows.shape()[0])?;
        i32::try_from(side.labels.len()).map_err(|_| invalid("rows of the features"))?;
        Ok(Side { rows: side.rows, labels: engine.upload_numbers(side.labels)? })
    }

    fn count(&self) -> usize {
        self.rows.shape()[0]
    }
}

/// How columns are shared out to blocks of threads.
#[derive(Clone, Copy)]
struct Shares {
    splits: usize,
    /// Columns of each.
    share: usize,
}

impl Shares {
    fn new(rows: usize, columns: usize, tile: Tile, wanted: usize) -> Shares {
        let splits = wanted
            .div_ceil(rows.div_ceil(tile.rows).max(1))
            .min(columns.div_ceil(tile.columns))
            .clamp(1, MOST_SPLITS);
        let share = columns.div_ceil(splits).next_multiple_of(tile.columns).max(tile.columns);
        Shares { splits: columns.div_ceil(share).max(1), share }
    }
}

pub(super) fn contrastive<B: Backend>(
    engine: &CudaEngine<B>,
    pairs: &Pairs<'_, Tensor<B>>,
    settings: &Contrastive,
) -> Result<ContrastiveLoss<Tensor<B>>> {
    let temperature = settings.temperature;
    require(temperature.is_finite() && temperature > 0.0, "temperature")?;
    let [count, columns] = pairs.anchors.rows.shape();
    let anchors = Side::new(engine, &pairs.anchors, columns)?;
    let keys = Side::new(engine, &pairs.keys, columns)?;
    let other = pairs.other.as_ref().map(|other| Side::new(engine, other, columns)).transpose()?;
    if settings.without_self {
        check("number of keys", keys.count(), count)?;
    }
    let others = pairs.other.as_ref().map(|other| other.labels);
    let (labels, key_labels) = (pairs.anchors.labels, pairs.keys.labels);
    let counts = positive_counts(labels, key_labels, others, settings.without_self);
    let anchor_count = counts.iter().filter(|count| **count > 0).count();
    if anchor_count == 0 {
        return nothing(engine, pairs);
    }
    let width = width_of(columns)?;
    let limits = engine.backend().limits();
    let blocks = |tile: Tile| {
        count.div_ceil(tile.rows) * keys.count().div_ceil(tile.columns).min(MOST_SPLITS)
    };
    let tile = choose(width, limits, blocks)?;
    let counts: Vec<i32> = counts.iter().map(|count| *count as i32).collect();
    let task = Task {
        engine,
        width,
        tile,
        wanted: wanted_blocks(limits),
        defines: defines(width, tile, engine.precision),
        settings,
        share_of_anchor: 1.0 / anchor_count as f64,
        positives: engine.upload_numbers(&counts)?,
        anchors,
        keys,
        other,
    };
    task.run(anchor_count)
}

/// The loss without an anchor that has a positive pair.
fn nothing<B: Backend>(
    engine: &CudaEngine<B>,
    pairs: &Pairs<'_, Tensor<B>>,
) -> Result<ContrastiveLoss<Tensor<B>>> {
    let zeros = |side: &Labelled<'_, Tensor<B>>| engine.zeros(side.rows.shape());
    Ok(ContrastiveLoss {
        value: 0.0,
        anchor_count: 0,
        anchors: zeros(&pairs.anchors)?,
        keys: zeros(&pairs.keys)?,
        other: pairs.other.as_ref().map(zeros).transpose()?,
    })
}

/// What the launches have in common.
struct Task<'a, B: Backend> {
    engine: &'a CudaEngine<B>,
    width: usize,
    tile: Tile,
    wanted: usize,
    defines: Vec<Define>,
    settings: &'a Contrastive,
    share_of_anchor: f64,
    /// The number of positive pairs of each anchor.
    positives: Arc<B::Memory>,
    anchors: Side<'a, B>,
    keys: Side<'a, B>,
    other: Option<Side<'a, B>>,
}

impl<B: Backend> Task<'_, B> {
    fn run(&self, anchor_count: usize) -> Result<ContrastiveLoss<Tensor<B>>> {
        let losses = self.engine.room::<f64>(self.anchors.count())?;
        let stats = self.stats(&losses)?;
        if self.is_against_negatives() {
            self.pulls(&stats, &losses)?;
        }
        let value = self.engine.room::<f64>(1)?;
        self.call("contrastive_value")
            .array::<f64>(&losses, self.anchors.count())
            .size(self.anchors.count())
            .double(self.share_of_anchor)
            .array::<f64>(&value, 1)
            .blocks([1, 1, 1], [THREADS, 1, 1], 0)?;
        let by_key =
            |side, kind| self.gradient(side, &[(&self.anchors, kind | kind::TRANSPOSED)], &stats);
        let other = self.other.as_ref();
        let with_keys: Vec<_> = self.all_keys().collect();
        Ok(ContrastiveLoss {
            value: self.engine.sum(&value, 1)?,
            anchor_count,
            anchors: self.gradient(&self.anchors, &with_keys, &stats)?,
            keys: by_key(&self.keys, 0)?,
            other: other.map(|other| by_key(other, kind::OTHER)).transpose()?,
        })
    }

    fn is_against_negatives(&self) -> bool {
        self.settings.denominator == Denominator::PositiveAndNegatives
    }

    /// What the kernels are told about pairs beside whose keys they are.
    fn kind(&self) -> u32 {
        let negatives = if self.is_against_negatives() { kind::AGAINST_NEGATIVES } else { 0 };
        negatives | if self.settings.without_self { kind::WITHOUT_SELF } else { 0 }
    }

    fn call<'c>(&'c self, kernel: &'static str) -> Call<'c, B> {
        self.engine.call(&CONTRASTIVE, kernel).defined(&self.defines)
    }

    fn shares(&self, rows: &Side<'_, B>, columns: &Side<'_, B>) -> Shares {
        Shares::new(rows.count(), columns.count(), self.tile, self.wanted)
    }

    /// The keys of the own picture, then those of the other one.
    fn all_keys(&self) -> impl Iterator<Item = (&Side<'_, B>, u32)> {
        let other = self.other.as_ref().map(|other| (other, kind::OTHER));
        [(&self.keys, 0)].into_iter().chain(other)
    }

    /// A call of a kernel that compares rows with columns, up to its slot.
    fn compare<'c>(
        &'c self,
        kernel: &'static str,
        rows: &'c Side<'_, B>,
        columns: &'c Side<'_, B>,
        kind: u32,
        slot: usize,
    ) -> Call<'c, B> {
        let scale = core::f64::consts::LOG2_E / self.settings.temperature;
        self.call(kernel)
            .tensor(rows.rows)
            .array::<i32>(&rows.labels, rows.count())
            .size(rows.count())
            .tensor(columns.rows)
            .array::<i32>(&columns.labels, columns.count())
            .size(columns.count())
            .size(rows.rows.shape()[1])
            .float(scale as f32)
            .word(self.kind() | kind)
            .size(self.shares(rows, columns).share)
            .size(slot)
    }

    /// Launches what [`Task::compare`] began.
    fn launch(&self, call: Call<'_, B>, rows: &Side<'_, B>, shares: Shares) -> Result<()> {
        let grid = [rows.count().div_ceil(self.tile.rows), shares.splits, 1];
        call.blocks(grid, [THREADS, 1, 1], self.tile.shared_bytes(self.width))
    }

    /// Each anchor's sum over its keys.
    fn stats(&self, losses: &Arc<B::Memory>) -> Result<Arc<B::Memory>> {
        let count = self.anchors.count();
        // Against negatives those of the other picture add nothing.
        let sides = if self.is_against_negatives() { 1 } else { 2 };
        let slots: usize =
            self.all_keys().take(sides).map(|(keys, _)| self.anchor_shares(keys).splits).sum();
        let room = || self.engine.room::<f32>(slots * count);
        let (most, sums, positive_sums) = (room()?, room()?, room()?);
        let mut slot = 0;
        for (keys, kind) in self.all_keys().take(sides) {
            let call = self
                .compare("contrastive_sums", &self.anchors, keys, kind, slot)
                .array::<f32>(&most, slots * count)
                .array::<f32>(&sums, slots * count)
                .array::<f32>(&positive_sums, slots * count);
            self.launch(call, &self.anchors, self.anchor_shares(keys))?;
            slot += self.anchor_shares(keys).splits;
        }
        let stats = self.engine.room::<f32>(count * STATS)?;
        self.call("contrastive_stats")
            .array::<f32>(&most, slots * count)
            .array::<f32>(&sums, slots * count)
            .array::<f32>(&positive_sums, slots * count)
            .size(slots)
            .array::<i32>(&self.positives, count)
            .size(count)
            .word(self.kind())
            .double(self.share_of_anchor)
            .array::<f32>(&stats, count * STATS)
            .array::<f64>(losses, count)
            .each(count)?;
        Ok(stats)
    }

    fn anchor_shares(&self, keys: &Side<'_, B>) -> Shares {
        self.shares(&self.anchors, keys)
    }

    /// Against negatives: the losses, and the rest of the stats.
    fn pulls(&self, stats: &Arc<B::Memory>, losses: &Arc<B::Memory>) -> Result<()> {
        let count = self.anchors.count();
        let slots: usize = self.all_keys().map(|(keys, _)| self.anchor_shares(keys).splits).sum();
        let room = || self.engine.room::<f32>(slots * count);
        let (loss_sums, pull_sums) = (room()?, room()?);
        let mut slot = 0;
        for (keys, kind) in self.all_keys() {
            let call = self
                .compare("contrastive_pulls", &self.anchors, keys, kind, slot)
                .array::<f32>(stats, count * STATS)
                .array::<f32>(&loss_sums, slots * count)
                .array::<f32>(&pull_sums, slots * count);
            self.launch(call, &self.anchors, self.anchor_shares(keys))?;
            slot += self.anchor_shares(keys).splits;
        }
        self.call("contrastive_pulled")
            .array::<f32>(&loss_sums, slots * count)
            .array::<f32>(&pull_sums, slots * count)
            .size(slots)
            .array::<i32>(&self.positives, count)
            .size(count)
            .array::<f32>(stats, count * STATS)
            .array::<f64>(losses, count)
            .each(count)
    }

    /// The derivative by rows that are compared with these columns.
    fn gradient(
        &self,
        rows: &Side<'_, B>,
        columns: &[(&Side<'_, B>, u32)],
        stats: &Arc<B::Memory>,
    ) -> Result<Tensor<B>> {
        let slots: usize = columns.iter().map(|(side, _)| self.shares(rows, side).splits).sum();
        let numbers = slots * rows.count() * self.width;
        let slopes = self.engine.room::<f32>(numbers)?;
        let mut slot = 0;
        for (side, kind) in columns {
            let call = self
                .compare("contrastive_slopes", rows, side, *kind, slot)
                .array::<f32>(stats, self.anchors.count() * STATS)
                .array::<f32>(&slopes, numbers);
            self.launch(call, rows, self.shares(rows, side))?;
            slot += self.shares(rows, side).splits;
        }
        let gradient = self.engine.blank(rows.rows.shape())?;
        self.call("contrastive_gradient")
            .array::<f32>(&slopes, numbers)
            .size(slots)
            .size(rows.count())
            .size(rows.rows.shape()[1])
            .float((1.0 / self.settings.temperature) as f32)
            .tensor(&gradient)
            .blocks([rows.count(), self.width / 64, 1], [64, 1, 1], 0)?;
        Ok(gradient)
    }
}
