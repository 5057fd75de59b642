//! Taps brought to one grid and put side by side: the features of heads without a decoder.

use super::engine::{CpuEngine, Engine, Matrix, Resize};
use super::error::{Error, Result};
use super::pictures::{Features, Pictures};
use std::num::NonZeroUsize;

/// All taps of pictures, resized bilinearly (half-pixel centres) to one grid, the channels of the
/// first tap first.
pub struct Joined<'a> {
    pictures: &'a dyn Pictures,
    grid: [usize; 2],
    channels: usize,
}

impl<'a> Joined<'a> {
    /// The taps of `pictures` at a grid of `[rows, columns]`.
    ///
    /// # Errors
    /// [`Error::Config`] without taps, and for a grid without cells.
    pub fn new(pictures: &'a dyn Pictures, grid: [usize; 2]) -> Result<Joined<'a>> {
        let channels = pictures.taps().iter().map(|tap| tap.channels).sum();
        if channels == 0 || grid.contains(&0) {
            return Err(Error::config("features need a tap, and a grid with cells"));
        }
        Ok(Joined { pictures, grid, channels })
    }
}

impl Features for Joined<'_> {
    fn grid(&self) -> [usize; 2] {
        self.grid
    }

    fn channels(&self) -> usize {
        self.channels
    }

    fn pictures(&self) -> &dyn Pictures {
        self.pictures
    }

    fn rows(&self, picture: usize, view: usize) -> Result<Matrix<f32>> {
        let engine = CpuEngine::new(NonZeroUsize::MIN);
        let mut joined = Matrix::zeros([self.grid[0] * self.grid[1], self.channels])?;
        let mut start = 0;
        for (index, tap) in self.pictures.taps().iter().enumerate() {
            let mut part = self.pictures.tap(picture, view, index)?;
            let from = [tap.height, tap.width];
            if from != self.grid {
                let to = self.grid;
                let resize = Resize { pictures: 1, from, to, align_corners: false };
                part = engine.resize(&part, &resize)?;
            }
            for (row, values) in joined.rows_mut().zip(part.rows()) {
                let place = row.get_mut(start..start + tap.channels);
                place.unwrap_or_default().copy_from_slice(values);
            }
            start += tap.channels;
        }
        Ok(joined)
    }
}
