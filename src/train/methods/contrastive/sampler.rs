//! Which pictures, views and labels a step sees.

use super::settings::ContrastiveSettings;
use super::teacher::Teacher;
use crate::math::random::Random;
use crate::train::data::{Label, LabelMap};
use crate::train::engine::Engine;
use crate::train::error::Result;
use crate::train::pictures::{Pictures, View};
use crate::train::task::{IGNORED, Task};
use std::vec::Vec;

/// Random numbers of the split into labelled and unlabelled pictures.
const SPLIT_STREAM: u32 = 0x0c5_0000;
/// Random numbers of a stage: its place times this after [`SPLIT_STREAM`].
const STAGE_STREAMS: u32 = 16;

/// Numbers between 0 and 1 by counter.
fn number(seed: u64, index: usize, sample: u32, stream: u32) -> f32 {
    let four = Random::new(seed, &[]).uniform((index / 4) as u32, sample, stream);
    four.get(index % 4).copied().unwrap_or(0.0)
}

/// `items` in a random order.
fn shuffled(items: &[usize], seed: u64, sample: u32, stream: u32) -> Vec<usize> {
    let key = |(place, item): (usize, &usize)| {
        (number(seed, place, sample, stream).to_bits(), place, *item)
    };
    let mut keys: Vec<_> = items.iter().enumerate().map(key).collect();
    keys.sort_unstable();
    keys.into_iter().map(|key| key.2).collect()
}

/// The pictures whose labels are used, and the others, ascending each.
pub(super) fn split(task: &Task<'_>, share: f64) -> (Vec<usize>, Vec<usize>) {
    let order = shuffled(task.inductive(), task.seed, 0, SPLIT_STREAM);
    let count = (share * order.len() as f64).round_ties_even() as usize;
    let (labelled, others) = order.split_at(count.clamp(1, order.len().max(1)).min(order.len()));
    let sorted = |pictures: &[usize]| {
        let mut pictures = pictures.to_vec();
        pictures.sort_unstable();
        pictures
    };
    (sorted(labelled), sorted(others))
}

/// What a step looks at of one picture.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sight {
    pub(super) picture: usize,
    /// Number of the view.
    pub(super) view: usize,
    /// Number of a view with the same geometry in other colours, if there is one.
    pub(super) recoloured: Option<usize>,
}

/// The pictures of a stage.
pub(super) struct Sampler<'a, E: Engine<f32>> {
    pub(super) engine: &'a E,
    pub(super) task: &'a Task<'a>,
    pub(super) settings: &'a ContrastiveSettings,
    /// Pictures with labels, then those that the teacher labels.
    pictures: Vec<usize>,
    /// Numbers of the seen classes; a target is a place in here.
    seen: Vec<usize>,
    labelled: Vec<usize>,
    teacher: Option<Teacher<'a, E>>,
    stream: u32,
}

impl<'a, E: Engine<f32>> Sampler<'a, E> {
    /// The pictures `labelled`, and `others` if there is a teacher. `stage` tells random numbers
    /// apart.
    pub(super) fn new(
        engine: &'a E,
        task: &'a Task<'a>,
        settings: &'a ContrastiveSettings,
        [labelled, others]: [&[usize]; 2],
        teacher: Option<Teacher<'a, E>>,
        stage: usize,
    ) -> Sampler<'a, E> {
        let mut pictures = labelled.to_vec();
        if teacher.is_some() {
            pictures.extend_from_slice(others);
        }
        let stream = SPLIT_STREAM + STAGE_STREAMS * (stage as u32 + 1);
        let (seen, labelled) = (task.seen(), labelled.to_vec());
        Sampler { engine, task, settings, pictures, seen, labelled, teacher, stream }
    }

    pub(super) fn store(&self) -> &'a dyn Pictures {
        self.task.features.pictures()
    }

    /// What a step looks at: every picture once before any comes again, in a new order each time.
    pub(super) fn batch(&self, step: u64) -> Vec<Sight> {
        let (count, len) = (self.settings.pictures as u64, self.pictures.len().max(1) as u64);
        let mut order = (u64::MAX, Vec::new());
        let mut sights = Vec::with_capacity(self.settings.pictures);
        for index in 0..count {
            let position = step * count + index;
            let epoch = position / len;
            if order.0 != epoch {
                let shuffled = shuffled(&self.pictures, self.task.seed, epoch as u32, self.stream);
                order = (epoch, shuffled);
            }
            let picture = order.1.get((position % len) as usize).copied().unwrap_or(0);
            sights.push(self.sight(picture, step as u32, index as usize));
        }
        sights
    }

    fn sight(&self, picture: usize, step: u32, index: usize) -> Sight {
        let views = self.store().views();
        let drawn = |what: usize| number(self.task.seed, 2 * index + what, step, self.stream + 1);
        let of = |number: f32, choices: &[usize]| {
            choices.get((number * choices.len() as f32) as usize).copied()
        };
        let same_colours = |(_, view): &(usize, &View)| view.colour == 0.0;
        let geometries: Vec<usize> =
            views.iter().enumerate().filter(same_colours).map(|(index, _)| index).collect();
        let geometries = if self.settings.augment { geometries.as_slice() } else { &[] };
        let view = of(drawn(0), geometries).unwrap_or(0);
        let geometry = views.get(view).copied().unwrap_or(View::PLAIN);
        let fits = |view: &View| {
            view.colour > 0.0 && view.window == geometry.window && view.flip == geometry.flip
        };
        let coloured: Vec<usize> =
            (0..views.len()).filter(|&index| views.get(index).is_some_and(fits)).collect();
        Sight { picture, view, recoloured: of(drawn(1), &coloured) }
    }

    /// Targets of a view of a picture at a grid: the place of the class among the seen ones, or
    /// [`IGNORED`].
    pub(super) fn targets(&self, sight: &Sight, grid: [usize; 2]) -> Result<Vec<i32>> {
        let labels = match &self.teacher {
            Some(teacher) if self.labelled.binary_search(&sight.picture).is_err() => {
                teacher.labels(self.store(), sight.picture)?
            }
            _ => self.task.frame_labels(sight.picture)?,
        };
        let view = self.store().views().get(sight.view).copied().unwrap_or(View::PLAIN);
        let target = |label| match label {
            Label::Class(class) => self.seen.binary_search(&usize::from(class)).ok(),
            Label::Unlabelled | Label::Void => None,
        };
        let place = |label| target(label).map_or(IGNORED, |place| place as i32);
        Ok(shown(&labels, &view, grid).into_iter().map(place).collect())
    }

    /// A random choice of `count` of `items`, in their order.
    pub(super) fn choose(&self, items: &[usize], count: usize, step: u64) -> Vec<usize> {
        let mut chosen = shuffled(items, self.task.seed, step as u32, self.stream + 2);
        chosen.truncate(count);
        chosen.sort_unstable();
        chosen
    }

    /// Number of seen classes.
    pub(super) fn class_count(&self) -> usize {
        self.seen.len()
    }
}

/// The labels that a view shows at a grid: of each cell the nearest pixel by torch's rule, which
/// is that at its upper left corner (methods.md 2.3), before left and right are swapped.
fn shown(labels: &LabelMap, view: &View, grid: [usize; 2]) -> Vec<Label> {
    let place = |cell: usize, cells: usize, start: f32, side: u32| -> u32 {
        let (start, share, side) = (f64::from(start), f64::from(view.window.side), f64::from(side));
        // The product first: it is exact, so that the quotient is never rounded up to a pixel.
        (start * side + cell as f64 * share * side / cells as f64) as u32
    };
    let mut cells = Vec::with_capacity(grid[0] * grid[1]);
    for row in 0..grid[0] {
        let y = place(row, grid[0], view.window.top, labels.height());
        for column in 0..grid[1] {
            let column = if view.flip { grid[1] - 1 - column } else { column };
            let x = place(column, grid[1], view.window.left, labels.width());
            cells.push(labels.get(x, y).unwrap_or(Label::Void));
        }
    }
    cells
}
