//! Features that a decoder makes of the taps.

use super::engine::{CpuEngine, Matrix};
use super::error::{Error, Result};
use super::layers::Decoder;
use super::layers::decoder::read_taps;
use super::pictures::{Features, Pictures};
use half::f16;
use std::format;
use std::vec::Vec;

/// The features of a decoder, computed whenever they are asked for. Heads of any method can be
/// trained on them.
pub struct Decoded<'a> {
    pictures: &'a dyn Pictures,
    decoder: &'a Decoder,
    engine: CpuEngine,
}

impl<'a> Decoded<'a> {
    /// What `decoder` makes of the taps of `pictures`.
    ///
    /// # Errors
    /// [`Error::Config`] for a decoder of other taps.
    pub fn new(
        pictures: &'a dyn Pictures,
        decoder: &'a Decoder,
        engine: CpuEngine,
    ) -> Result<Decoded<'a>> {
        if pictures.taps() != decoder.shape().taps {
            return Err(Error::config("the decoder is one of other taps than the pictures have"));
        }
        Ok(Decoded { pictures, decoder, engine })
    }

    /// Computes the features of all pictures in these views (by number), and keeps them in memory
    /// as f16: 2 bytes times pictures, views, cells and channels.
    ///
    /// # Errors
    /// [`Error::Config`] for a feature that f16 cannot hold; those of reading taps.
    pub fn materialise(&self, views: &[usize]) -> Result<DecodedInMemory<'a>> {
        let mut values = Vec::with_capacity(self.pictures.len());
        for picture in 0..self.pictures.len() {
            let mut of_picture = Vec::with_capacity(views.len());
            for &view in views {
                let rows = self.rows(picture, view)?;
                let narrow: Vec<f16> = rows.values().iter().map(|x| f16::from_f32(*x)).collect();
                if !narrow.iter().all(|value| value.is_finite()) {
                    let name = self.pictures.name(picture);
                    let reason = format!("a feature of \"{name}\" is too large for f16");
                    return Err(Error::config(reason));
                }
                of_picture.push(narrow);
            }
            values.push(of_picture);
        }
        let (grid, channels) = (self.grid(), self.channels());
        Ok(DecodedInMemory {
            pictures: self.pictures,
            grid,
            channels,
            views: views.to_vec(),
            values,
        })
    }
}

impl Features for Decoded<'_> {
    fn grid(&self) -> [usize; 2] {
        self.decoder.shape().grid
    }

    fn channels(&self) -> usize {
        self.decoder.shape().channels()
    }

    fn pictures(&self) -> &dyn Pictures {
        self.pictures
    }

    fn rows(&self, picture: usize, view: usize) -> Result<Matrix<f32>> {
        let taps = read_taps(self.decoder.shape(), self.pictures, picture, view)?;
        self.decoder.forward(&self.engine, &taps, 1)
    }
}

/// What [`Decoded::materialise`] computed.
pub struct DecodedInMemory<'a> {
    pictures: &'a dyn Pictures,
    grid: [usize; 2],
    channels: usize,
    /// Numbers of the views that are kept.
    views: Vec<usize>,
    /// By picture, then place in `views`.
    values: Vec<Vec<Vec<f16>>>,
}

impl Features for DecodedInMemory<'_> {
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
        let place = self.views.iter().position(|kept| *kept == view);
        let found = place.and_then(|place| self.values.get(picture)?.get(place));
        let found = found.ok_or_else(|| {
            Error::config(format!("view {view} of picture {picture} was not computed"))
        })?;
        let values = found.iter().map(|value| value.to_f32()).collect();
        Ok(Matrix::new([self.grid[0] * self.grid[1], self.channels], values)?)
    }
}
