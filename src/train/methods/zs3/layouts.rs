//! Whole pictures for the classifier, with generated features in place of real ones
//! (methods.md 2.6).

use super::classify::ClassifierStage;
use super::graph::Regions;
use super::prepared::{Purpose, place, shares};
use super::settings::Layout;
use crate::train::data::LabelMap;
use crate::train::engine::{Engine, Resize};
use crate::train::error::{Error, Result};
use crate::train::pictures::labels_at;
use crate::train::task::{IGNORED, targets};
use std::vec::Vec;

/// What a step of the classifier looks at.
pub(super) struct Batch<T> {
    /// `[rows, channels]`, scaled.
    pub features: T,
    /// Classes of the data set, one per row of the logits after resizing.
    pub classes: Vec<i32>,
    /// What is done to the logits.
    pub resize: Option<Resize>,
    /// What the loss is divided by.
    pub divisor: f32,
}

/// A picture of which some cells are to be generated.
struct Composed {
    /// Classes at the grid, or in the frame if logits are upsampled.
    classes: Vec<i32>,
    /// Cells and what is generated there.
    replaced: Vec<(usize, usize)>,
}

/// Random numbers that a picture takes.
const SHARES: usize = 8;

/// Whole pictures.
pub(super) fn layout_batch<E: Engine<f32>>(
    stage: &ClassifierStage<'_, '_, E>,
    step: u64,
) -> Result<Batch<E::Tensor>> {
    let zs3 = stage.zs3;
    let settings = &zs3.settings.classifier;
    let count = settings.pictures_per_step;
    let all: Vec<usize> = (0..zs3.task.features.pictures().len()).collect();
    let pictures = match stage.plan.layout {
        Layout::GtMap => all.as_slice(),
        _ => zs3.task.inductive(),
    };
    let choices = shares(stage.draw(step, Purpose::Pictures)?, count);
    let places = shares(stage.draw(step, Purpose::Places)?, count * SHARES);
    let (mut values, mut classes) = (Vec::new(), Vec::new());
    let (mut cells, mut wanted) = (Vec::new(), Vec::new());
    let channels = zs3.task.features.channels();
    for (choice, places) in choices.iter().zip(places.chunks_exact(SHARES)) {
        let picture = pictures.get(place(*choice, pictures.len())).copied().unwrap_or_default();
        let composed = match stage.plan.layout {
            Layout::GtMap => true_layout(stage, picture)?,
            _ => synthetic(stage, picture, places)?,
        };
        let first = values.len() / channels;
        values.extend(stage.prepared.rows(zs3.task, picture)?.into_values());
        classes.extend(composed.classes);
        cells.extend(composed.replaced.iter().map(|(cell, _)| first + cell));
        wanted.extend(composed.replaced.iter().map(|(_, class)| *class));
    }
    let generated = stage.generated(&wanted, step)?;
    for (cell, row) in cells.iter().zip(generated.rows()) {
        if let Some(to) = values.get_mut(cell * channels..(cell + 1) * channels) {
            to.copy_from_slice(row);
        }
    }
    let features = zs3.engine.upload([values.len() / channels, channels], &values)?;
    let resize = settings.upsample.then(|| Resize {
        pictures: count,
        from: zs3.task.features.grid(),
        to: zs3.task.features.pictures().frame(),
        align_corners: settings.align_corners,
    });
    let divisor = if settings.ce_batch_average { count as f32 } else { 1.0 };
    Ok(Batch { features, classes, resize, divisor })
}

/// Classes at the grid or, for logits in the frame, in the frame.
fn classes_of<E: Engine<f32>>(
    stage: &ClassifierStage<'_, '_, E>,
    frame: &LabelMap,
) -> Result<Vec<i32>> {
    if stage.zs3.settings.classifier.upsample {
        return Ok(targets(frame));
    }
    Ok(targets(&labels_at(frame, stage.zs3.task.features.grid())?))
}

/// A picture without unseen classes, in part of which one is put if the dice say so.
fn synthetic<E: Engine<f32>>(
    stage: &ClassifierStage<'_, '_, E>,
    picture: usize,
    shares: &[f32],
) -> Result<Composed> {
    let task = stage.zs3.task;
    let frame = task.frame_labels(picture)?;
    let mut classes = classes_of(stage, &frame)?;
    let unseen = task.unseen();
    let &[whether, which, how, one, two, three, four, _] = shares else {
        return Err(Error::config("a picture without random numbers"));
    };
    let class = unseen.get(place(which, unseen.len())).copied();
    let settings = &stage.zs3.settings.classifier;
    let (Some(class), true) = (class, whether < settings.unseen_share) else {
        return Ok(Composed { classes, replaced: Vec::new() });
    };
    let grid = task.features.grid();
    let labels = targets(&labels_at(&frame, grid)?);
    let chosen = match how < 0.5 {
        true => region(&labels, grid, [one, two]),
        false => rectangle(grid, [one, two, three, four]),
    };
    let cells = || chosen.iter().zip(&labels).zip(0usize..);
    let replaced: Vec<(usize, usize)> = cells()
        .filter(|((chosen, label), _)| **chosen && **label != IGNORED)
        .map(|(_, cell)| (cell, class))
        .collect();
    let sides = match settings.upsample {
        true => task.features.pictures().frame(),
        false => grid,
    };
    for (pixel, label) in classes.iter_mut().enumerate() {
        let cell = cell_of(pixel, sides, grid);
        if *label != IGNORED && chosen.get(cell).copied().unwrap_or(false) {
            *label = class as i32;
        }
    }
    Ok(Composed { classes, replaced })
}

/// The cell that a pixel of a plane lies in.
fn cell_of(pixel: usize, sides: [usize; 2], grid: [usize; 2]) -> usize {
    let [rows, columns] = sides.map(|side| side.max(1));
    let (y, x) = (pixel / columns, pixel % columns);
    (y * grid[0] / rows) * grid[1] + x * grid[1] / columns
}

/// The cells of a random region of a random class.
fn region(labels: &[i32], grid: [usize; 2], shares: [f32; 2]) -> Vec<bool> {
    let regions = Regions::of(labels, grid);
    let mut present: Vec<i32> =
        regions.labels().iter().copied().filter(|label| *label != IGNORED).collect();
    present.sort_unstable();
    present.dedup();
    let Some(&class) = present.get(place(shares[0], present.len())) else {
        return std::vec![false; labels.len()];
    };
    let of_class = regions.labels().iter().zip(0usize..).filter(|(label, _)| **label == class);
    let of_class: Vec<usize> = of_class.map(|(_, region)| region).collect();
    let chosen = of_class.get(place(shares[1], of_class.len())).copied();
    regions.of_cell().iter().map(|region| Some(*region) == chosen).collect()
}

/// The cells of a rectangle whose sides are 30 to 60 percent of the grid's.
fn rectangle(grid: [usize; 2], shares: [f32; 4]) -> Vec<bool> {
    let side = |side: usize, size: f32, start: f32| {
        let length = (libm::roundf(side as f32 * (0.3 + 0.3 * size)) as usize).clamp(1, side);
        let start = place(start, side - length + 1);
        start..start + length
    };
    let rows = side(grid[0], shares[0], shares[1]);
    let columns = side(grid[1], shares[2], shares[3]);
    let cells = 0..grid[0] * grid[1];
    cells.map(|at| rows.contains(&(at / grid[1])) && columns.contains(&(at % grid[1]))).collect()
}

/// A picture as it is, or wholly generated along its true labels if it shows unseen classes.
fn true_layout<E: Engine<f32>>(
    stage: &ClassifierStage<'_, '_, E>,
    picture: usize,
) -> Result<Composed> {
    let (task, zs3) = (stage.zs3.task, stage.zs3);
    if task.dropped().binary_search(&picture).is_err() {
        let classes = classes_of(stage, &task.frame_labels(picture)?)?;
        return Ok(Composed { classes, replaced: Vec::new() });
    }
    let truth = zs3.truths.ok_or_else(|| Error::config("there is no true layout"))?;
    let frame = task.roles.for_evaluation(&truth.labels(picture)?)?;
    let labels = targets(&labels_at(&frame, task.features.grid())?);
    // Void cells are generated as class 0, as published; no loss looks at them.
    let class = |label: i32| usize::try_from(label).unwrap_or(0);
    let replaced = labels.iter().enumerate().map(|(cell, label)| (cell, class(*label)));
    Ok(Composed { classes: classes_of(stage, &frame)?, replaced: replaced.collect() })
}
