//! Fusion of stored features' logits with spectral segments, by the code of the device.

use crate::arena::{AlignedBytes, Arena};
use crate::limits::AffinityShape;
use crate::map::{Layout, Map};
use crate::math::kernels::Kernels;
use crate::segmenter::FusionSettings;
use crate::segmenter::shapes::{Logits, Shapes};
use crate::spectral::Shape;
use crate::train::engine::Matrix;
use crate::train::error::{Error, Result};
use crate::train::pictures::{Features, Pictures};
use std::format;
use std::vec::Vec;

/// A tap that segments are found from, such as the tokens of another network.
#[derive(Clone, Copy)]
pub struct AffinityTap<'a> {
    /// The pictures of the evaluation, in their order. Their frames show the same parts of them.
    pub pictures: &'a dyn Pictures,
    /// Number of the tap.
    pub tap: usize,
}

/// Finds segments of pictures and fuses logits with them.
pub struct Fusing<'a> {
    features: &'a dyn Features,
    tap: Option<AffinityTap<'a>>,
    source: AffinityShape,
    classes: usize,
    shapes: Shapes<'a>,
    /// What the segments of the picture at hand are found from.
    affinity: Option<Matrix<f32>>,
}

impl<'a> Fusing<'a> {
    /// Memory for [`Fusing::new`].
    ///
    /// # Errors
    /// [`Error::Config`] for a tap that is not there, or other pictures; [`Error::Compute`] for
    /// grids beyond the limits of [`crate::spectral`].
    pub fn memory(
        features: &dyn Features,
        tap: Option<AffinityTap<'_>>,
        classes: usize,
    ) -> Result<AlignedBytes> {
        let mut arena = Arena::counting();
        carve(&mut arena, (source_of(features, tap)?, features.grid()), classes)?;
        Ok(AlignedBytes::zeros(arena.used_bytes()))
    }

    /// For logits of `classes` classes at the grid of `features`. Segments are found from the
    /// tap, or else from the features themselves, as on a device whose network has one output.
    ///
    /// # Errors
    /// As [`Fusing::memory`].
    pub fn new(
        features: &'a dyn Features,
        tap: Option<AffinityTap<'a>>,
        classes: usize,
        memory: &'a mut AlignedBytes,
    ) -> Result<Fusing<'a>> {
        let source = source_of(features, tap)?;
        let mut arena = Arena::over(memory.as_mut_slice())?;
        let shapes = carve(&mut arena, (source, features.grid()), classes)?;
        Ok(Fusing { features, tap, source, classes, shapes, affinity: None })
    }

    /// Turns to a picture, whose features have been read.
    pub(super) fn begin(&mut self, picture: usize, own: &Matrix<f32>) -> Result<()> {
        self.affinity = Some(match self.tap {
            None => own.clone(),
            Some(AffinityTap { pictures, tap }) => pictures.tap(picture, 0, tap)?,
        });
        let pictures = self.features.pictures();
        let [rows, columns] = pictures.shown(picture)?;
        let [height, width] = pictures.frame().map(|side| side as u32);
        self.shapes.begin((rows, height), (columns, width));
        Ok(())
    }

    /// Changes the logits `[cells, classes]` of the picture at hand.
    pub(super) fn run(&mut self, by: FusionSettings, logits: &mut Matrix<f32>) -> Result<()> {
        let affinity = self.affinity.as_ref();
        let affinity = affinity.ok_or_else(|| Error::config("no picture was looked at"))?;
        let AffinityShape { height, width, channels } = self.source;
        let map = Map::new(affinity.values(), height, width, channels, Layout::Hwc)?;
        self.shapes.set(Some(by))?;
        let (values, classes, layout) = (logits.values_mut(), self.classes, Layout::Hwc);
        let mut logits = Logits { values, classes, layout };
        while !self.shapes.step(&map, &mut logits)? {}
        Ok(())
    }

    /// The segments that logits were fused with last, at the grid: whether each cell lies in it.
    pub(super) fn segments(&self) -> impl Iterator<Item = Vec<bool>> + '_ {
        self.shapes.lifted().map(|plane| plane.iter().map(|value| *value > 0.0).collect())
    }
}

fn carve<'a>(
    arena: &mut Arena<'a>,
    (source, grid): (AffinityShape, [usize; 2]),
    classes: usize,
) -> Result<Shapes<'a>> {
    let scores = Shape { height: grid[0], width: grid[1], channels: classes };
    Ok(Shapes::carve(arena, source, scores, Kernels::detect())?)
}

fn source_of(features: &dyn Features, tap: Option<AffinityTap<'_>>) -> Result<AffinityShape> {
    let Some(AffinityTap { pictures, tap }) = tap else {
        let [height, width] = features.grid();
        return Ok(AffinityShape { height, width, channels: features.channels() });
    };
    check_same(features.pictures(), pictures)?;
    let taps = pictures.taps();
    let found = taps.get(tap);
    let found = found.ok_or_else(|| Error::config(format!("tap {tap} of {}", taps.len())))?;
    Ok(AffinityShape { height: found.height, width: found.width, channels: found.channels })
}

/// Refuses other pictures, by number and names, than those that are evaluated.
pub(crate) fn check_same(evaluated: &dyn Pictures, others: &dyn Pictures) -> Result<()> {
    let count = evaluated.len();
    let same = |picture: usize| others.name(picture) == evaluated.name(picture);
    match others.len() == count && (0..count).all(same) {
        true => Ok(()),
        false => Err(Error::config(
            "segments are to be found from features of other pictures than are evaluated",
        )),
    }
}
