//! Some of the taps of pictures.

use super::config::Config;
use crate::train::data::LabelMap;
use crate::train::engine::Matrix;
use crate::train::error::{Error, Result};
use crate::train::pictures::{Pictures, Tap, View};
use core::ops::Range;
use std::boxed::Box;
use std::format;
use std::string::String;
use std::vec::Vec;

/// Pictures with some of their taps, in an order of one's own.
pub struct Chosen {
    pictures: Box<dyn Pictures>,
    taps: Vec<Tap>,
    places: Vec<usize>,
}

/// The pictures with the taps that the configuration names.
pub(super) fn chosen(config: &Config, pictures: Box<dyn Pictures>) -> Result<Chosen> {
    Chosen::new(pictures, config.features.taps.as_deref())
        .map_err(|error| Error::config(format!("[features] `taps`: {error}")))
}

impl Chosen {
    /// The taps of these names; all of them without names.
    ///
    /// # Errors
    /// [`Error::Config`] for a name that no tap has or that occurs twice, and without a tap.
    pub fn new(pictures: Box<dyn Pictures>, names: Option<&[String]>) -> Result<Chosen> {
        let all = pictures.taps();
        let Some(names) = names else {
            let (taps, places) = (all.to_vec(), (0..all.len()).collect());
            return Ok(Chosen { pictures, taps, places });
        };
        let (mut taps, mut places) = (Vec::new(), Vec::new());
        for name in names {
            let found = all.iter().enumerate().find(|(_, tap)| tap.name == *name);
            let Some((place, tap)) = found else {
                let known: Vec<&str> = all.iter().map(|tap| tap.name.as_str()).collect();
                let reason = format!("there is no tap \"{name}\", only {}", known.join(", "));
                return Err(Error::config(reason));
            };
            if places.contains(&place) {
                return Err(Error::config(format!("tap \"{name}\" is named twice")));
            }
            taps.push(tap.clone());
            places.push(place);
        }
        if taps.is_empty() {
            return Err(Error::config("no tap is named"));
        }
        Ok(Chosen { pictures, taps, places })
    }
}

impl Pictures for Chosen {
    fn len(&self) -> usize {
        self.pictures.len()
    }

    fn name(&self, picture: usize) -> &str {
        self.pictures.name(picture)
    }

    fn frame(&self) -> [usize; 2] {
        self.pictures.frame()
    }

    fn taps(&self) -> &[Tap] {
        &self.taps
    }

    fn views(&self) -> &[View] {
        self.pictures.views()
    }

    fn tap(&self, picture: usize, view: usize, tap: usize) -> Result<Matrix<f32>> {
        let place = self.places.get(tap);
        let place = place.ok_or_else(|| Error::config(format!("there is no tap {tap}")))?;
        self.pictures.tap(picture, view, *place)
    }

    fn labels(&self, picture: usize) -> Result<LabelMap> {
        self.pictures.labels(picture)
    }

    fn shown(&self, picture: usize) -> Result<[Range<u32>; 2]> {
        self.pictures.shown(picture)
    }
}
