//! Segments from features alone: which cells belong together, whatever their class.
//!
//! [`Spectral`] builds a graph over the cells of a feature map, in which like cells are joined
//! by strong edges, and finds the smoothest functions on it: the generalised eigenvectors of its
//! Laplacian with the smallest eigenvalues (methods.md 6.9). Where such a function is positive
//! lies one side of a natural cut. [`Fuser`] then moves class scores towards these segments
//! (6.10), and [`ObjectMask`] finds the one object that a vision transformer looks at (7.1).
//!
//! All memory comes from the caller's arena, all work is bounded, and every processor gives the
//! same bits.
//!
//! # Memory
//! In bytes, for N cells, D channels, m iterations (at most N - 1), K segments, each buffer
//! rounded up to 64:
//!
//! | what | bytes |
//! |---|---|
//! | W, [`Storage::Dense`] only | 4 N^2 |
//! | colour graph, if its weight is not 0 | 2 N (min(N, 20) + min(N, 10)) |
//! | tile and rows of features | 144 D |
//! | Lanczos basis | 4 N m |
//! | tridiagonal matrix and its eigenvectors | 8 m (m + 4) |
//! | eigenvectors | 4 N K |
//! | vectors | 20 N |
//!
//! For N = 1024, D = 384, m = 60, K = 5: 4.6 MB dense, 0.4 MB matrix-free.
//!
//! # Cost
//! In multiply-adds: W takes N^2 D / 2, the colour graph 10 N^2; a step of Lanczos N^2 (dense)
//! or N^2 D / 2 + N^2 (matrix-free), and 4 N j for step j's orthogonalisation. 12 to 22
//! steps are usual, with colour 40 to 50.
//!
//! # Limits
//! Of eigenvectors that share one eigenvalue any mixture may be found, and, unless the graph falls
//! into parts that the search can tell apart, fewer than there are.

mod affinity;
mod attention;
mod cells;
mod color;
mod fusion;
mod lanczos;
mod regions;
mod tridiagonal;
mod vector;

pub use attention::{ClassToken, FoundObject, ObjectMask, ObjectSettings, Scoring, keep_top_mass};
pub use fusion::{Fuser, Fusion, Scores};

use crate::arena::Arena;
use crate::limits::{MAX_FEATURES, product};
use crate::map::Map;
use crate::math::kernels::Kernels;
use crate::math::pieces::{piece, piece_mut};
use crate::status::{Result, Status};
use affinity::Affinity;
use cells::{check_map, check_range, check_shape};
use lanczos::Lanczos;

/// Most cells of a grid.
pub const MAX_CELLS: usize = 16_384;
/// Most segments.
pub const MAX_SEGMENTS: usize = 8;
/// Most steps of the eigenvalue search.
pub const MAX_ITERATIONS: usize = 256;
/// Cells joined to nothing (row sum below this) count as joined to themselves with weight 1.
const MIN_DEGREE: f32 = 1e-12;

/// Where the affinity matrix is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Storage {
    /// In the arena: fast.
    Dense,
    /// Nowhere; it is computed anew in each step: small.
    MatrixFree,
}

/// Shape of a feature map.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shape {
    /// Rows of the grid.
    pub height: usize,
    /// Columns of the grid.
    pub width: usize,
    /// Features per cell: 1 to [`MAX_FEATURES`].
    pub channels: usize,
}

impl Shape {
    /// Cells of the grid: 1 to [`MAX_CELLS`].
    ///
    /// # Errors
    /// [`Status::InvalidArgument`] or [`Status::LimitExceeded`] outside the ranges stated here.
    pub fn cells(&self) -> Result<usize> {
        let cells = product("cells of the grid", &[self.height, self.width])?;
        check_range("cells of the grid", cells, 1, MAX_CELLS)?;
        check_range("channels of the features", self.channels, 1, MAX_FEATURES as usize)?;
        Ok(cells)
    }
}

/// What is looked for, and how hard.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Settings {
    /// Segments K: 0 to [`MAX_SEGMENTS`]. The constant eigenvector is not one of them.
    pub segments: usize,
    /// Most steps of the eigenvalue search: `segments` (at least 1) to [`MAX_ITERATIONS`].
    pub iterations: usize,
    /// The search ends when each wanted pair satisfies `|M u - theta u| <= tolerance`, as far as
    /// the search can tell; greater than 0. Below about 1e-6 rounding keeps the true residual up.
    pub tolerance: f32,
    /// Weight of the colour graph: 0 (none) to 1e6.
    pub color_weight: f32,
    /// Where the affinity matrix is kept.
    pub storage: Storage,
}

impl Settings {
    /// Five segments, 60 steps, tolerance 1e-6, no colour, dense.
    pub const DEFAULT: Settings = Settings {
        segments: 5,
        iterations: 60,
        tolerance: 1e-6,
        color_weight: 0.0,
        storage: Storage::Dense,
    };

    /// Checks the ranges stated at the fields.
    ///
    /// # Errors
    /// [`Status::InvalidArgument`] or [`Status::LimitExceeded`].
    pub fn check(&self) -> Result<()> {
        check_range("segments", self.segments, 0, MAX_SEGMENTS)?;
        check_range("iterations", self.iterations, self.segments.max(1), MAX_ITERATIONS)?;
        if !(self.tolerance.is_finite() && self.tolerance > 0.0) {
            return Err(Status::InvalidArgument.about("tolerance of the eigenvalue search"));
        }
        if !(0.0..=1e6).contains(&self.color_weight) {
            return Err(Status::InvalidArgument.about("weight of the colour graph"));
        }
        Ok(())
    }
}

impl Default for Settings {
    fn default() -> Settings {
        Settings::DEFAULT
    }
}

/// What the segments are found from.
#[derive(Clone, Copy, Debug)]
pub struct Inputs<'i> {
    /// Features of any length, such as a vision transformer's keys, of the carved shape.
    pub features: Map<'i, f32>,
    /// Red, green and blue from 0 to 1 on the same grid; needed if colour has a weight.
    pub color: Option<Map<'i, f32>>,
}

/// How a search ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Outcome {
    /// Segments found: K, or fewer on a grid of fewer than K + 1 cells.
    pub found: usize,
    /// How many of them satisfy the tolerance.
    pub converged: usize,
    /// Steps taken.
    pub steps: usize,
}

/// Where a search stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    Idle,
    Color(usize),
    Tile(usize),
    Scale,
    Search,
    Done,
}

/// Finds segments. See the module's text for memory and cost.
pub struct Spectral<'a> {
    shape: Shape,
    tolerance: f64,
    affinity: Affinity<'a>,
    lanczos: Lanczos<'a>,
    /// `D^-1/2`, the diagonal of row sums to the power -1/2: (cells).
    scale: &'a mut [f32],
    /// An operand of W: (cells).
    scaled: &'a mut [f32],
    /// Eigenvectors y: (segments, cells), and their numbers: (segments) each.
    vectors: &'a mut [f32],
    values: &'a mut [f32],
    residuals: &'a mut [f32],
    stage: Stage,
    outcome: Outcome,
}

impl<'a> Spectral<'a> {
    /// Checks the arguments and takes all memory. From a counting arena it takes none; such an
    /// object can only be dropped.
    ///
    /// # Errors
    /// Those of [`Shape::cells`], [`Settings::check`] and [`Arena::take`].
    pub fn carve(
        arena: &mut Arena<'a>,
        shape: &Shape,
        settings: &Settings,
        kernels: &'static Kernels,
    ) -> Result<Spectral<'a>> {
        let cells = shape.cells()?;
        settings.check()?;
        let Settings { segments, storage, color_weight, .. } = *settings;
        let grid = (shape.height, shape.width, shape.channels);
        Ok(Spectral {
            shape: *shape,
            tolerance: f64::from(settings.tolerance),
            affinity: Affinity::carve(arena, grid, storage, color_weight, kernels)?,
            lanczos: Lanczos::carve(arena, cells, settings)?,
            scale: arena.take(cells)?,
            scaled: arena.take(cells)?,
            vectors: arena.take(product("eigenvectors", &[segments, cells])?)?,
            values: arena.take(segments)?,
            residuals: arena.take(segments)?,
            stage: Stage::Idle,
            outcome: Outcome::default(),
        })
    }

    /// Finds the segments of `inputs`.
    ///
    /// # Errors
    /// Those of [`Spectral::begin`]; what was found before is then gone.
    pub fn run(&mut self, inputs: &Inputs<'_>) -> Result<Outcome> {
        self.begin(inputs)?;
        loop {
            if let Some(outcome) = self.step(inputs)? {
                return Ok(outcome);
            }
        }
    }

    /// Begins a search that [`Spectral::step`] carries on. Reads each input once.
    ///
    /// # Errors
    /// [`Status::ModelShape`] for maps of another shape; [`Status::InvalidArgument`] for a number
    /// that is not finite (its place is told), a cell whose features are longer than 1e30, or a
    /// colour map that is missing.
    pub fn begin(&mut self, inputs: &Inputs<'_>) -> Result<()> {
        self.stage = Stage::Idle;
        self.outcome = Outcome::default();
        let Shape { height, width, channels } = self.shape;
        check_map("features", &inputs.features, (height, width, channels))?;
        self.stage = Stage::Tile(0);
        if self.affinity.wants_color() {
            let color = inputs.color.as_ref();
            let color = color.ok_or(Status::InvalidArgument.about("missing colour map"));
            let checked = color.and_then(|color| check_map("colour", color, (height, width, 3)));
            self.stage = Stage::Color(0);
            if checked.is_err() {
                self.stage = Stage::Idle;
                return checked;
            }
        }
        let measured = self.affinity.measure(&inputs.features);
        if measured.is_err() {
            self.stage = Stage::Idle;
        }
        measured
    }

    /// Carries a search on by one bounded piece of work: the colour neighbours of 32 cells, 32
    /// columns of W (at most `32 N D` multiply-adds), the row sums, or one step of the eigenvalue
    /// search. At most `N / 16 + iterations + 5` calls. `inputs` must be the same as at the
    /// beginning. The outcome when the search is done.
    ///
    /// # Errors
    /// [`Status::InvalidState`] if no search has begun; [`Status::ModelShape`] for maps of
    /// another shape.
    pub fn step(&mut self, inputs: &Inputs<'_>) -> Result<Option<Outcome>> {
        let Shape { height, width, channels } = self.shape;
        let features = &inputs.features;
        check_shape("features", features, (height, width, channels))?;
        let tiles = self.affinity.tiles();
        let stage = self.stage;
        self.stage = match stage {
            Stage::Idle => return Err(Status::InvalidState.about("no search has begun")),
            Stage::Color(tile) if tile < tiles => {
                let color = inputs.color.as_ref();
                let color = color.ok_or(Status::InvalidArgument.about("missing colour map"))?;
                check_shape("colour", color, (height, width, 3))?;
                self.affinity.find_color(color, tile);
                Stage::Color(tile + 1)
            }
            Stage::Color(_) => Stage::Tile(0),
            Stage::Tile(tile) if tile < tiles && self.affinity.is_dense() => {
                self.affinity.fill_tile(features, tile);
                Stage::Tile(tile + 1)
            }
            Stage::Tile(_) => {
                self.affinity.add_color();
                Stage::Scale
            }
            Stage::Scale => {
                self.measure_degrees(features);
                Stage::Search
            }
            Stage::Search if !self.search(features) => Stage::Search,
            Stage::Search => {
                self.collect();
                Stage::Done
            }
            Stage::Done => Stage::Done,
        };
        Ok((self.stage == Stage::Done).then_some(self.outcome))
    }

    /// Row sums of W, their inverse roots, and the known eigenvector.
    fn measure_degrees(&mut self, features: &Map<'_, f32>) {
        self.scale.fill(1.0);
        self.affinity.apply(features, self.scale, self.scaled);
        for (scale, degree) in self.scale.iter_mut().zip(self.scaled.iter_mut()) {
            *degree = libm::sqrtf(if *degree < MIN_DEGREE { 1.0 } else { *degree });
            *scale = 1.0 / *degree;
        }
        let roots = &*self.scaled;
        self.lanczos.begin(|cell| roots.get(cell).copied().unwrap_or(0.0));
    }

    /// One step of the search; `true` when done.
    fn search(&mut self, features: &Map<'_, f32>) -> bool {
        let Spectral { affinity, lanczos, scale, scaled, .. } = self;
        lanczos.step(|x, out| {
            for ((scaled, &scale), &x) in scaled.iter_mut().zip(scale.iter()).zip(x) {
                *scaled = scale * x;
            }
            affinity.apply(features, scaled, out);
            for (value, &scale) in out.iter_mut().zip(scale.iter()) {
                *value *= scale;
            }
        })
    }

    fn collect(&mut self) {
        let Spectral { lanczos, scale, vectors, values, residuals, tolerance, .. } = self;
        let cells = scale.len();
        let mut converged = 0;
        let found = lanczos.finish(|at, pair, eigenvector| {
            let Some(vector) = piece_mut(vectors, at, cells) else { return };
            for ((y, &u), &scale) in vector.iter_mut().zip(eigenvector).zip(scale.iter()) {
                *y = u * scale;
            }
            make_minority(vector);
            let numbers = values.get_mut(at).zip(residuals.get_mut(at));
            if let Some((value, residual)) = numbers {
                *value = (1.0 - pair.value) as f32;
                *residual = pair.residual as f32;
            }
            converged += usize::from(pair.residual <= *tolerance);
        });
        self.outcome = Outcome { found, converged, steps: lanczos.steps() };
    }

    /// Eigenvalues of the Laplacian, ascending, the 0 of the constant vector not among them. As
    /// many as were found.
    pub fn values(&self) -> &[f32] {
        self.values.get(..self.outcome.found).unwrap_or_default()
    }

    /// Estimates of `|M u - theta u|`, in the order of the values.
    pub fn residuals(&self) -> &[f32] {
        self.residuals.get(..self.outcome.found).unwrap_or_default()
    }

    /// The eigenvectors found: none before a search is done.
    pub fn segments(&self) -> Segments<'_> {
        let cells = self.scale.len();
        let len = self.outcome.found * cells;
        Segments { vectors: self.vectors.get(..len).unwrap_or_default(), cells }
    }
}

/// Flips the sign if more than half of the cells, but not all, are positive: what stands out is
/// usually the smaller part (methods.md 6.9 step 5).
fn make_minority(vector: &mut [f32]) {
    let positive = vector.iter().filter(|value| **value > 0.0).count();
    if positive * 2 > vector.len() && positive < vector.len() {
        vector.iter_mut().for_each(|value| *value = -*value);
    }
}

/// Functions on the cells of a grid, in row-major order; each divides them in two.
#[derive(Clone, Copy, Debug)]
pub struct Segments<'v> {
    vectors: &'v [f32],
    cells: usize,
}

impl<'v> Segments<'v> {
    /// Wraps functions, `cells` numbers each.
    ///
    /// # Errors
    /// [`Status::InvalidArgument`] if the length is no multiple of `cells`, which is 1 to
    /// [`MAX_CELLS`], or if a number is NaN; [`Status::LimitExceeded`] for more than
    /// [`MAX_SEGMENTS`] of them.
    pub fn new(vectors: &'v [f32], cells: usize) -> Result<Segments<'v>> {
        check_range("cells of the grid", cells, 1, MAX_CELLS)?;
        let (count, rest) = (vectors.len().checked_div(cells), vectors.len().checked_rem(cells));
        if rest != Some(0) || vectors.iter().any(|value| value.is_nan()) {
            return Err(Status::InvalidArgument.about("segments"));
        }
        check_range("segments", count.unwrap_or(0), 0, MAX_SEGMENTS)?;
        Ok(Segments { vectors, cells })
    }

    /// How many there are.
    pub fn count(&self) -> usize {
        self.vectors.len() / self.cells.max(1)
    }

    /// Cells of the grid.
    pub fn cells(&self) -> usize {
        self.cells
    }

    /// Function `index`, from 0; empty out of range.
    pub fn vector(&self, index: usize) -> &'v [f32] {
        piece(self.vectors, index, self.cells).unwrap_or_default()
    }

    /// Whether `cell` lies in segment `index`: whether the function is positive there.
    #[inline(always)]
    pub fn contains(&self, index: usize, cell: usize) -> bool {
        self.vectors.get(index * self.cells + cell).is_some_and(|value| *value > 0.0)
    }
}
