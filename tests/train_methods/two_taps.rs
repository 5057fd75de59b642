//! Made-up pictures with two taps: the features as they are, and others at half the grid.

use crate::support::{CHANNELS, GRID, Synthetic, engine, normal};
use zsseg::train::data::LabelMap;
use zsseg::train::engine::{Engine, Matrix, Product, Resize};
use zsseg::train::{Pictures, Result, Tap, View};

/// Channels of the second tap.
pub const COARSE: usize = 6;

/// Pictures with two taps.
pub struct TwoTaps {
    pub inner: Synthetic,
    taps: Vec<Tap>,
    mix: Matrix<f32>,
}

impl TwoTaps {
    pub fn new(count: usize, noise: f32, views: &[View], seed: u64) -> TwoTaps {
        let tap = |name: &str, height: usize, width: usize, channels: usize| Tap {
            name: name.to_string(),
            height,
            width,
            channels,
        };
        let taps = vec![
            tap("fine", GRID[0], GRID[1], CHANNELS),
            tap("coarse", GRID[0] / 2, GRID[1] / 2, COARSE),
        ];
        let inner = Synthetic::new(count, noise, views, seed);
        TwoTaps { inner, taps, mix: normal([COARSE, CHANNELS], 4, 4) }
    }
}

impl Pictures for TwoTaps {
    fn len(&self) -> usize {
        self.inner.len()
    }

    fn name(&self, picture: usize) -> &str {
        self.inner.name(picture)
    }

    fn frame(&self) -> [usize; 2] {
        self.inner.frame()
    }

    fn taps(&self) -> &[Tap] {
        &self.taps
    }

    fn views(&self) -> &[View] {
        self.inner.views()
    }

    fn tap(&self, picture: usize, view: usize, tap: usize) -> Result<Matrix<f32>> {
        let fine = self.inner.tap(picture, view, 0)?;
        if tap == 0 {
            return Ok(fine);
        }
        let to = [GRID[0] / 2, GRID[1] / 2];
        let resize = Resize { pictures: 1, from: GRID, to, align_corners: false };
        let coarse = engine().resize(&fine, &resize)?;
        // Another scale and another mean, which a decoder has to take away.
        let bias = Matrix::new([1, COARSE], vec![40.0; COARSE])?;
        Ok(engine().product(Product::Nt, &coarse, &self.mix, Some(&bias))?)
    }

    fn labels(&self, picture: usize) -> Result<LabelMap> {
        self.inner.labels(picture)
    }
}
