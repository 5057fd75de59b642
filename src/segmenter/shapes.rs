//! Spectral segments of a frame and their fusion with its logits.

use crate::arena::Arena;
use crate::bundle::Bundle;
use crate::limits::{AffinityShape, product};
use crate::map::{Layout, Map};
use crate::math::kernels::Kernels;
use crate::math::pieces::{piece, pieces, pieces_mut};
use crate::spectral::{Fuser, Fusion, Inputs, Scores, Segments, Settings, Shape, Spectral};
use crate::status::{Result, Status};
use core::ops::Range;

/// Most cells of the graph; finer features are averaged over blocks of cells.
const MAX_GRAPH_CELLS: usize = 1_024;
/// Most segments (methods.md 6.9).
const MAX_SEGMENTS: usize = 5;

/// Whether this build has fusion.
const IS_BUILT: bool = cfg!(feature = "fusion");

/// How masks are moved towards spectral segments.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct FusionSettings {
    /// The rule (methods.md 6.10).
    pub fusion: Fusion,
    /// Segments: 0 (nothing changes) to 5.
    pub segments: u32,
}

impl FusionSettings {
    /// A rule with all five segments.
    pub const fn of(fusion: Fusion) -> FusionSettings {
        FusionSettings { fusion, segments: MAX_SEGMENTS as u32 }
    }
}

/// What the next step will do.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Stage {
    /// Average the features of a row of the graph's grid.
    Pool(usize),
    Search,
    Fuse,
}

/// Logits of the cells of a grid, to be changed in place.
pub(crate) struct Logits<'l> {
    /// `classes` numbers per cell.
    pub(crate) values: &'l mut [f32],
    pub(crate) classes: usize,
    pub(crate) layout: Layout,
}

/// How much of the pixels of an axis shows the frame, not padding, and how many there are.
pub(crate) type Filled = (Range<u32>, u32);

/// Finds segments and fuses them with the logits.
///
/// # Memory
/// That of [`Spectral`] on at most 1,024 cells and of [`Fuser`], the averaged features, and 20
/// bytes per cell of the network's output.
pub(crate) struct Shapes<'a> {
    settings: Option<FusionSettings>,
    /// Of the features.
    source: AffinityShape,
    /// Sides of the blocks that features are averaged over.
    block: usize,
    /// Of the graph.
    graph: Shape,
    grid: (usize, usize),
    spectral: Spectral<'a>,
    fuser: Fuser<'a>,
    /// Averaged features, planar: (channels, graph cells).
    pooled: &'a mut [f32],
    /// Eigenvectors on the grid of the logits: (segments, grid cells).
    lifted: &'a mut [f32],
    /// Rows and columns of the features that show the frame, not padding.
    visible: (Range<usize>, Range<usize>),
    stage: Stage,
}

impl<'a> Shapes<'a> {
    /// For features of the shape `source` and logits of the shape `scores`, whose channels are the
    /// most classes there may be.
    pub(crate) fn carve(
        arena: &mut Arena<'a>,
        source: AffinityShape,
        scores: Shape,
        kernels: &'static Kernels,
    ) -> Result<Shapes<'a>> {
        if !IS_BUILT {
            return Err(Status::Unsupported.about("fusion, which this build leaves out"));
        }
        let (height, width) = (scores.height, scores.width);
        let block = block_side(source.height, source.width);
        let graph = Shape {
            height: source.height.div_ceil(block),
            width: source.width.div_ceil(block),
            channels: source.channels,
        };
        let settings = Settings { segments: MAX_SEGMENTS.min(graph.cells()?), ..Settings::DEFAULT };
        let pooled = product("averaged features", &[graph.cells()?, graph.channels])?;
        let lifted = product("segments", &[MAX_SEGMENTS, height, width])?;
        Ok(Shapes {
            settings: None,
            source,
            block,
            graph,
            grid: (height, width),
            spectral: Spectral::carve(arena, &graph, &settings, kernels)?,
            fuser: Fuser::carve(arena, &scores)?,
            pooled: arena.take(pooled)?,
            lifted: arena.take(lifted)?,
            visible: (0..0, 0..0),
            stage: Stage::Pool(0),
        })
    }

    pub(crate) fn set(&mut self, settings: Option<FusionSettings>) -> Result<()> {
        if let Some(FusionSettings { fusion, segments }) = settings {
            fusion.check()?;
            if segments as usize > MAX_SEGMENTS {
                let error = Status::InvalidArgument.about("segments");
                return Err(error.numbers(segments.into(), MAX_SEGMENTS as u64));
            }
        }
        self.settings = settings;
        Ok(())
    }

    /// Begins with a frame that fills so much of the rows and columns of the network's input.
    pub(crate) fn begin(&mut self, (rows, height): Filled, (columns, width): Filled) {
        self.stage = Stage::Pool(0);
        self.visible = (
            cells_inside(rows.clone(), height, self.source.height),
            cells_inside(columns.clone(), width, self.source.width),
        );
        self.fuser.set_window(
            cells_inside(rows, height, self.grid.0),
            cells_inside(columns, width, self.grid.1),
        );
    }

    /// One bounded piece of work; `true` when the logits have been changed. Given again after
    /// that, it changes other logits by the same segments.
    pub(crate) fn step(
        &mut self,
        features: &Map<'_, f32>,
        logits: &mut Logits<'_>,
    ) -> Result<bool> {
        if !IS_BUILT {
            return Ok(true);
        }
        match self.stage {
            Stage::Pool(y) => {
                self.check(features)?;
                self.pool_row(features, y);
                self.stage = Stage::Pool(y + 1);
                if y + 1 >= self.graph.height {
                    let inputs = inputs(self.pooled, &self.graph)?;
                    self.spectral.begin(&inputs)?;
                    self.stage = Stage::Search;
                }
            }
            Stage::Search => {
                let inputs = inputs(self.pooled, &self.graph)?;
                if self.spectral.step(&inputs)?.is_some() {
                    self.stage = Stage::Fuse;
                }
            }
            Stage::Fuse => {
                self.fuse(logits)?;
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// The segments that logits were fused with last, on their grid.
    #[cfg(feature = "train")]
    pub(crate) fn lifted(&self) -> impl Iterator<Item = &[f32]> {
        let most = self.settings.map_or(0, |settings| settings.segments as usize);
        let count = self.spectral.segments().count().min(most);
        pieces(self.lifted, self.grid.0 * self.grid.1).take(count)
    }

    fn check(&self, features: &Map<'_, f32>) -> Result<()> {
        let AffinityShape { height, width, channels } = self.source;
        if (features.height(), features.width(), features.channels()) != (height, width, channels) {
            return Err(Status::ModelShape.about("features of the segments"));
        }
        Ok(())
    }

    /// Averages the visible cells of each block in row `y` of the graph's grid; zeros, which join
    /// a cell to nothing, where there are none.
    fn pool_row(&mut self, features: &Map<'_, f32>, y: usize) {
        let Shapes { graph, block, visible, pooled, .. } = self;
        let cells = graph.height * graph.width;
        let rows = y * *block..(y + 1) * *block;
        let rows = rows.start.max(visible.0.start)..rows.end.min(visible.0.end);
        for (channel, plane) in pieces_mut(pooled, cells).enumerate() {
            let places = plane.iter_mut().skip(y * graph.width).take(graph.width);
            for (x, place) in places.enumerate() {
                let columns = x * *block..(x + 1) * *block;
                let columns = columns.start.max(visible.1.start)..columns.end.min(visible.1.end);
                let count = rows.len() * columns.len();
                let mut sum = 0.0;
                for row in rows.clone() {
                    for column in columns.clone() {
                        sum += value(features, channel, row, column);
                    }
                }
                *place = if count == 0 { 0.0 } else { sum / count as f32 };
            }
        }
    }

    fn fuse(&mut self, logits: &mut Logits<'_>) -> Result<()> {
        let Some(settings) = self.settings else { return Ok(()) };
        let Logits { values, classes, layout } = logits;
        let (classes, layout) = (*classes, *layout);
        if classes == 0 {
            return Ok(());
        }
        let cells = self.grid.0 * self.grid.1;
        let found = self.spectral.segments();
        let block = self.block as f32;
        let rows = (self.graph.height, self.source.height as f32 / block);
        let columns = (self.graph.width, self.source.width as f32 / block);
        let count = found.count().min(settings.segments as usize);
        for (index, plane) in pieces_mut(self.lifted, cells).enumerate().take(count) {
            let vector = found.vector(index);
            lift(vector, (rows, columns), plane, self.grid);
        }
        let lifted = self.lifted.get(..count * cells).unwrap_or_default();
        let segments = Segments::new(lifted, cells)?;
        let shape = Shape { height: self.grid.0, width: self.grid.1, channels: classes };
        let mut scores = Scores::new(values, &shape, layout)?;
        self.fuser.run(settings.fusion, &segments, &mut scores)?;
        Ok(())
    }
}

fn inputs<'i>(pooled: &'i [f32], graph: &Shape) -> Result<Inputs<'i>> {
    let Shape { height, width, channels } = *graph;
    Ok(Inputs { features: Map::new(pooled, height, width, channels, Layout::Chw)?, color: None })
}

/// Shape of the features that the network itself gives: its second output, or its only one.
pub(super) fn affinity_of(bundle: &Bundle<'_>) -> AffinityShape {
    let manifest = bundle.manifest();
    match bundle.second_output() {
        Some(second) => AffinityShape {
            height: second.grid_height as usize,
            width: second.grid_width as usize,
            channels: second.channels as usize,
        },
        None => AffinityShape {
            height: manifest.grid_height as usize,
            width: manifest.grid_width as usize,
            channels: manifest.head.channels as usize,
        },
    }
}

/// Least side of square blocks that divide a grid into few enough parts.
fn block_side(height: usize, width: usize) -> usize {
    let parts = |side: usize| height.div_ceil(side).saturating_mul(width.div_ceil(side));
    (1..=height.max(width)).find(|&side| parts(side.max(1)) <= MAX_GRAPH_CELLS).unwrap_or(1).max(1)
}

/// The cells of a grid whose middles lie inside `filled`, which counts pixels of `side`.
fn cells_inside(filled: Range<u32>, side: u32, cells: usize) -> Range<usize> {
    // Middle of cell i: (2 i + 1) side / (2 cells).
    let first_at_or_after = |edge: u32| {
        let twice = 2 * u64::from(edge) * cells as u64;
        let rest = twice.saturating_sub(u64::from(side));
        rest.div_ceil(2 * u64::from(side).max(1)).min(cells as u64) as usize
    };
    first_at_or_after(filled.start)..first_at_or_after(filled.end)
}

fn value(features: &Map<'_, f32>, channel: usize, y: usize, x: usize) -> f32 {
    let found = match features.layout() {
        Layout::Chw => features.plane_row(channel, y).get(x),
        Layout::Hwc => {
            piece(features.pixel_row(y), x, features.channels()).and_then(|cell| cell.get(channel))
        }
    };
    found.copied().unwrap_or(0.0)
}

/// Bilinear resampling, half-pixel convention, between grids that begin at the same corner. Given
/// are the rows and columns of `from`, and how many of them it takes to cover `to`: the last may
/// reach beyond.
fn lift(
    from: &[f32],
    ((rows, row_span), (columns, column_span)): ((usize, f32), (usize, f32)),
    to: &mut [f32],
    (height, width): (usize, usize),
) {
    for (y, out) in pieces_mut(to, width).enumerate() {
        let (top, down) = tap(y, height, (rows, row_span));
        let mut around = pieces(from, columns).skip(top);
        let upper = around.next().unwrap_or_default();
        let lower = around.next().unwrap_or(upper);
        for (x, place) in out.iter_mut().enumerate() {
            let (left, right) = tap(x, width, (columns, column_span));
            let across = |row: &[f32]| {
                let first = row.get(left).copied().unwrap_or(0.0);
                let second = row.get(left + 1).copied().unwrap_or(first);
                first + right * (second - first)
            };
            let (above, below) = (across(upper), across(lower));
            *place = above + down * (below - above);
        }
    }
}

/// Place of output `index` of `outputs` on `inputs`, of which `span` cover the outputs: the element
/// before it and the distance.
fn tap(index: usize, outputs: usize, (inputs, span): (usize, f32)) -> (usize, f32) {
    let place = (index as f32 + 0.5) * span / outputs as f32 - 0.5;
    let place = place.clamp(0.0, inputs.saturating_sub(1) as f32);
    let before = place as usize;
    (before, place - before as f32)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::vec::Vec;

    #[test]
    fn padding_is_told_from_the_frame() {
        assert_eq!(cells_inside(0..512, 512, 64), 0..64);
        assert_eq!(cells_inside(128..384, 512, 64), 16..48);
        assert_eq!(cells_inside(131..384, 512, 64), 16..48, "middle at 132");
        assert_eq!(cells_inside(133..381, 512, 64), 17..48, "middles at 132 and 380");
        assert_eq!(cells_inside(133..380, 512, 64), 17..47);
    }

    #[test]
    fn blocks_leave_few_enough_cells() {
        assert_eq!(block_side(64, 64), 2);
        assert_eq!(block_side(32, 32), 1);
        assert_eq!(block_side(33, 33), 2);
        assert_eq!(block_side(128, 128), 4);
        assert_eq!(block_side(1, 4096), 4);
    }

    #[test]
    fn lifting_keeps_lines_straight() {
        let from: Vec<f32> =
            (0..4).flat_map(|y| (0..4).map(move |x| (x + 10 * y) as f32)).collect();
        let mut to = [0.0; 64];
        lift(&from, ((4, 4.0), (4, 4.0)), &mut to, (8, 8));
        let want = |y: usize, x: usize| {
            let at = |i: usize| ((i as f32 + 0.5) / 2.0 - 0.5).clamp(0.0, 3.0);
            at(x) + 10.0 * at(y)
        };
        for (index, &value) in to.iter().enumerate() {
            assert!((value - want(index / 8, index % 8)).abs() < 1e-5, "{index}");
        }
    }

    #[test]
    fn blocks_that_reach_beyond_the_grid_shift_nothing() {
        // 33 cells in 17 blocks of two.
        let from: Vec<f32> = (0..17).map(|x| x as f32).collect();
        let mut to = [0.0; 33];
        lift(&from, ((1, 1.0), (17, 16.5)), &mut to, (1, 33));
        for (x, &value) in to.iter().enumerate() {
            let want = ((x as f32 + 0.5) / 2.0 - 0.5).max(0.0);
            assert!((value - want).abs() < 1e-5, "{x}: {value}");
        }
    }
}
