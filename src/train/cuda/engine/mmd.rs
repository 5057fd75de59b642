//! Maximum mean discrepancy: which block of threads computes which pairs.

use super::super::backend::Backend;
use super::super::sources::MMD;
use super::pairs::{Tile, choose, defines, kernel_defines, wanted_blocks, width_of};
use super::{CudaEngine, Numbers, Tensor};
use crate::status::{Result, Status};
use crate::train::engine::common::{check, check_weights, invalid, weight_at};
use crate::train::engine::{Mmd, MmdGroup, MmdLoss};
use std::sync::Arc;
use std::vec::Vec;

/// Most blocks that share the points of a tile: each has its own part of the gradient in memory.
const MOST_SPLITS: usize = 16;
/// Numbers of a group and of a task.
const GROUP_NUMBERS: usize = 8;
const TASK_NUMBERS: usize = 5;

/// A number as the kernels read it.
fn int(number: usize) -> Result<i32> {
    i32::try_from(number).map_err(|_| invalid("rows of the features"))
}

fn check_range(range: &core::ops::Range<usize>, rows: usize, what: &'static str) -> Result<()> {
    if range.is_empty() {
        return Err(invalid(what).numbers(0, 1));
    }
    if range.end > rows {
        return Err(invalid(what).numbers(range.end as u64, rows as u64));
    }
    Ok(())
}

fn check_group(
    group: &MmdGroup,
    [generated, real]: [usize; 2],
    weights: Option<&[f32]>,
) -> Result<()> {
    check_range(&group.generated, generated, "rows of a generated group")?;
    check_range(&group.real, real, "rows of a real group")?;
    let weights = group.real.clone().map(|row| f64::from(weight_at(weights, row)));
    if weights.sum::<f64>() <= 0.0 {
        return Err(Status::InvalidArgument.about("sum of the weights of a real group"));
    }
    Ok(())
}

/// Which block computes what.
struct Plan {
    tile: Tile,
    splits: usize,
    /// `GROUP_NUMBERS` each.
    groups: Vec<i32>,
    /// `TASK_NUMBERS` each.
    tasks: Vec<i32>,
    /// Generated and real rows of all groups.
    points: usize,
    /// Generated rows of all groups.
    slopes: usize,
    /// Those of the largest group.
    most_points: usize,
}

/// How many tiles the generated rows make.
fn generated_tiles(groups: &[MmdGroup], tile: Tile) -> usize {
    groups.iter().map(|group| group.generated.len().div_ceil(tile.rows)).sum()
}

fn points_of(group: &MmdGroup) -> usize {
    group.generated.len() + group.real.len()
}

impl Plan {
    fn new(groups: &[MmdGroup], tile: Tile, wanted: usize) -> Result<Plan> {
        let most_points = groups.iter().map(points_of).max().unwrap_or(0);
        let splits = wanted
            .div_ceil(generated_tiles(groups, tile).max(1))
            .min(most_points.div_ceil(tile.columns))
            .clamp(1, MOST_SPLITS);
        let (groups_list, tasks) = (Vec::new(), Vec::new());
        let (points, slopes) = (0, 0);
        let mut plan =
            Plan { tile, splits, groups: groups_list, tasks, points, slopes, most_points };
        for (index, group) in groups.iter().enumerate() {
            plan.add(index, group)?;
        }
        Ok(plan)
    }

    fn task_count(&self) -> usize {
        self.tasks.len() / TASK_NUMBERS
    }

    fn add(&mut self, index: usize, group: &MmdGroup) -> Result<()> {
        let (generated, all) = (group.generated.len(), points_of(group));
        let first_task = self.task_count();
        // A share of the points, in whole tiles.
        let share = all.div_ceil(self.splits).next_multiple_of(self.tile.columns);
        for row in (0..generated).step_by(self.tile.rows) {
            for split in 0..self.splits {
                let [first, end] = [split, split + 1].map(|place| (place * share).min(all));
                self.task([index, row, first, end, split])?;
            }
        }
        for row in (generated..all).step_by(self.tile.rows) {
            for first in (row..all).step_by(share) {
                self.task([index, row, first, (first + share).min(all), 0])?;
            }
        }
        let tasks = self.task_count() - first_task;
        let numbers: [usize; GROUP_NUMBERS] = [
            group.generated.start,
            generated,
            group.real.start,
            group.real.len(),
            self.points,
            first_task,
            tasks,
            self.slopes,
        ];
        for number in numbers {
            self.groups.push(int(number)?);
        }
        self.points += all;
        self.slopes += generated;
        int(self.points).map(|_| ())
    }

    fn task(&mut self, numbers: [usize; TASK_NUMBERS]) -> Result<()> {
        for number in numbers {
            self.tasks.push(int(number)?);
        }
        Ok(())
    }
}

pub(super) fn mmd<B: Backend>(
    engine: &CudaEngine<B>,
    generated: &Tensor<B>,
    real: &Tensor<B>,
    settings: &Mmd<'_, f32>,
) -> Result<MmdLoss<Tensor<B>, Numbers<B>>> {
    let [count, columns] = generated.shape();
    check("columns of the real features", real.shape()[1], columns)?;
    check_weights(settings.real_weights, real.shape()[0], "weights of the real features")?;
    for group in settings.groups {
        check_group(group, [count, real.shape()[0]], settings.real_weights)?;
    }
    if settings.groups.is_empty() {
        let gradient = engine.zeros([count, columns])?;
        let none = || -> Result<_> { Ok(Numbers::new(engine.room::<f64>(0)?, 0)) };
        return Ok(MmdLoss { squares: none()?, values: none()?, gradient });
    }
    let width = width_of(columns)?;
    let limits = engine.backend().limits();
    let blocks = |tile: Tile| {
        let splits = |group: &MmdGroup| points_of(group).div_ceil(tile.columns).min(MOST_SPLITS);
        let tiles = |group: &MmdGroup| group.generated.len().div_ceil(tile.rows) * splits(group);
        settings.groups.iter().map(tiles).sum()
    };
    let tile = choose(width, limits, blocks)?;
    let plan = Plan::new(settings.groups, tile, wanted_blocks(limits))?;
    Launches::new(engine, width, &plan, settings)?.run([generated, real])
}

/// The launches of a plan, and the memory that they share.
struct Launches<'a, B: Backend> {
    engine: &'a CudaEngine<B>,
    width: usize,
    plan: &'a Plan,
    defines: Vec<super::Define>,
    group_count: usize,
    groups: Arc<B::Memory>,
    weights: Option<(Arc<B::Memory>, usize)>,
}

impl<'a, B: Backend> Launches<'a, B> {
    fn new(
        engine: &'a CudaEngine<B>,
        width: usize,
        plan: &'a Plan,
        settings: &Mmd<'_, f32>,
    ) -> Result<Launches<'a, B>> {
        let mut defines = defines(width, plan.tile, engine.precision);
        defines.extend(kernel_defines(settings.kernel));
        let upload =
            |weights: &[f32]| -> Result<_> { Ok((engine.upload_numbers(weights)?, weights.len())) };
        Ok(Launches {
            engine,
            width,
            plan,
            defines,
            group_count: settings.groups.len(),
            groups: engine.upload_constant(&plan.groups)?,
            weights: settings.real_weights.map(upload).transpose()?,
        })
    }

    fn call<'c>(&'c self, kernel: &'static str) -> super::call::Call<'c, B> {
        let groups = self.group_count * GROUP_NUMBERS;
        self.engine.call(&MMD, kernel).defined(&self.defines).array::<i32>(&self.groups, groups)
    }

    fn run(&self, [generated, real]: [&Tensor<B>; 2]) -> Result<MmdLoss<Tensor<B>, Numbers<B>>> {
        let Plan { splits, slopes: slope_rows, .. } = *self.plan;
        let points = self.points([generated, real])?;
        let tasks = self.engine.upload_constant(&self.plan.tasks)?;
        let slopes = self.engine.room::<f32>(splits * slope_rows * self.width)?;
        let parts = self.engine.room::<f64>(self.plan.task_count())?;
        self.call("mmd_pass")
            .array::<i32>(&tasks, self.plan.tasks.len())
            .array::<f32>(&points.rows, self.plan.points * self.width)
            .array::<f32>(&points.squares, self.plan.points)
            .array::<f32>(&points.weights, self.plan.points)
            .long(slope_rows)
            .array::<f32>(&slopes, splits * slope_rows * self.width)
            .array::<f64>(&parts, self.plan.task_count())
            .blocks(
                [self.plan.task_count(), 1, 1],
                [256, 1, 1],
                self.plan.tile.shared_bytes(self.width),
            )?;
        self.loss(&slopes, &parts, generated.shape())
    }

    /// Moves the rows by their centres.
    fn points(&self, [generated, real]: [&Tensor<B>; 2]) -> Result<Points<B>> {
        let (engine, groups, plan) = (self.engine, self.group_count, self.plan);
        let columns = real.shape()[1];
        let (weights, weight_count) =
            self.weights.as_ref().map_or((None, 0), |(memory, count)| (Some(memory), *count));
        let centres = engine.room::<f32>(groups * self.width)?;
        let sums = engine.room::<f64>(groups)?;
        self.call("mmd_centres")
            .tensor(real)
            .array_or_null::<f32>(weights, weight_count)
            .size(columns)
            .array::<f32>(&centres, groups * self.width)
            .array::<f64>(&sums, groups)
            .blocks([groups, self.width / 32, 1], [1_024, 1, 1], 0)?;
        let points = Points {
            rows: engine.room::<f32>(plan.points * self.width)?,
            squares: engine.room::<f32>(plan.points)?,
            weights: engine.room::<f32>(plan.points)?,
        };
        // Points that a block moves at a time.
        let together = plan.tile.rows.min(plan.tile.columns);
        self.call("mmd_points")
            .tensor(generated)
            .tensor(real)
            .array_or_null::<f32>(weights, weight_count)
            .size(columns)
            .array::<f32>(&centres, groups * self.width)
            .array::<f64>(&sums, groups)
            .array::<f32>(&points.rows, plan.points * self.width)
            .array::<f32>(&points.squares, plan.points)
            .array::<f32>(&points.weights, plan.points)
            .blocks(
                [groups, plan.most_points.div_ceil(together).min(65_535), 1],
                [256, 1, 1],
                plan.tile.shared_bytes(self.width),
            )?;
        Ok(points)
    }

    fn loss(
        &self,
        slopes: &Arc<B::Memory>,
        parts: &Arc<B::Memory>,
        shape: [usize; 2],
    ) -> Result<MmdLoss<Tensor<B>, Numbers<B>>> {
        let (engine, groups, plan) = (self.engine, self.group_count, self.plan);
        let (squares, values) = (engine.room::<f64>(groups)?, engine.room::<f64>(groups)?);
        let factors = engine.room::<f32>(groups)?;
        self.call("mmd_values")
            .array::<f64>(parts, plan.task_count())
            .array::<f64>(&squares, groups)
            .array::<f64>(&values, groups)
            .array::<f32>(&factors, groups)
            .blocks([groups, 1, 1], [256, 1, 1], 0)?;
        let gradient = engine.blank(shape)?;
        self.call("mmd_gradient")
            .size(groups)
            .array::<f32>(slopes, plan.splits * plan.slopes * self.width)
            .size(plan.splits)
            .long(plan.slopes)
            .array::<f32>(&factors, groups)
            .size(shape[1])
            .tensor(&gradient)
            .blocks([shape[0], self.width / 64, 1], [64, 1, 1], 0)?;
        Ok(MmdLoss {
            squares: Numbers::new(squares, groups),
            values: Numbers::new(values, groups),
            gradient,
        })
    }
}

/// All groups' rows, less the centre of their group.
struct Points<B: Backend> {
    rows: Arc<B::Memory>,
    squares: Arc<B::Memory>,
    weights: Arc<B::Memory>,
}
