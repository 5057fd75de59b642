//! A picture's mask and what is in it.

use super::report::ClassShare;
use crate::classes::ClassInfo;
use crate::head::{Labels, Output, PlaneMut, UNLABELED_U8};
use crate::image::Image;
use crate::map::Map;
use crate::segmenter::{Frame, Segmenter, Source};
use crate::status::Result;
use crate::viz::{Palette, Picture, blend};
use sha2::{Digest, Sha256};
use std::vec;
use std::vec::Vec;

/// One label per pixel, in the smallest type that holds the segmenter's labels.
pub enum LabelPlane {
    /// Up to 255 classes.
    U8(Vec<u8>),
    /// More.
    U16(Vec<u16>),
}

impl LabelPlane {
    /// A plane for labels smaller than `capacity`.
    pub fn new(capacity: usize, pixels: usize) -> LabelPlane {
        match capacity <= UNLABELED_U8.into() {
            true => LabelPlane::U8(vec![0; pixels]),
            false => LabelPlane::U16(vec![0; pixels]),
        }
    }

    /// The plane as an output, in rows of `width` pixels.
    pub fn view(&mut self, width: usize) -> Labels<'_> {
        match self {
            LabelPlane::U8(labels) => Labels::U8(PlaneMut::new(labels, width)),
            LabelPlane::U16(labels) => Labels::U16(PlaneMut::new(labels, width)),
        }
    }

    /// The picture with the mask over it; labels are smaller than `capacity`.
    pub fn blend(&self, picture: &Picture, capacity: usize, palette: &Palette) -> Result<Picture> {
        match self {
            LabelPlane::U8(labels) => blend(picture, labels, capacity, palette),
            LabelPlane::U16(labels) => blend(picture, labels, capacity, palette),
        }
    }

    /// SHA-256 of the labels, row by row; those of 16 bits are little endian.
    pub fn sha256(&self) -> [u8; 32] {
        match self {
            LabelPlane::U8(labels) => Sha256::digest(labels).into(),
            LabelPlane::U16(labels) => {
                let bytes: Vec<u8> = labels.iter().flat_map(|label| label.to_le_bytes()).collect();
                Sha256::digest(&bytes).into()
            }
        }
    }
}

/// What is wanted beside labels and confidence.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Wanted {
    /// The margin.
    pub margin: bool,
    /// The unknown score.
    pub unknown: bool,
}

/// What segmenting a picture gives.
pub struct Mask {
    /// The class of every pixel.
    pub labels: LabelPlane,
    /// Probability of that class, 255 = 1.
    pub confidence: Vec<u8>,
    /// Lead over the second best class, if it was asked for.
    pub margin: Option<Vec<u8>>,
    /// How much each pixel looks like none of the classes, if it was asked for.
    pub unknown: Option<Vec<u8>>,
}

impl Mask {
    /// Segments a picture. `affinity` is as in [`Frame`].
    pub fn of(
        segmenter: &mut Segmenter<'_>,
        picture: &Picture,
        wanted: Wanted,
        affinity: Option<&Map<'_, f32>>,
    ) -> Result<Mask> {
        let width = picture.width() as usize;
        let pixels = width * picture.height() as usize;
        let mut mask = Mask {
            labels: LabelPlane::new(segmenter.label_capacity(), pixels),
            confidence: vec![0; pixels],
            margin: wanted.margin.then(|| vec![0; pixels]),
            unknown: wanted.unknown.then(|| vec![0; pixels]),
        };
        let plane = |values| PlaneMut::new(values, width);
        let mut output = Output {
            labels: mask.labels.view(width),
            confidence: Some(plane(&mut mask.confidence)),
            margin: mask.margin.as_deref_mut().map(plane),
            unknown: mask.unknown.as_deref_mut().map(plane),
        };
        let image = Image::rgb8(picture.rgb(), picture.width(), picture.height())?;
        let frame = Frame { source: Source::Image(&image), affinity };
        segmenter.begin(&frame, &output)?;
        while !segmenter.step(&frame, &mut output, u32::MAX)? {}
        Ok(mask)
    }

    /// The classes that occur, the largest first, and the number of unlabelled pixels.
    pub fn shares(&self, segmenter: &Segmenter<'_>) -> (Vec<ClassShare>, u64) {
        match &self.labels {
            LabelPlane::U8(labels) => self.shares_of(labels, segmenter),
            LabelPlane::U16(labels) => self.shares_of(labels, segmenter),
        }
    }

    fn shares_of<L: Copy + Into<usize>>(
        &self,
        labels: &[L],
        segmenter: &Segmenter<'_>,
    ) -> (Vec<ClassShare>, u64) {
        let mut sums = vec![(0u64, 0u64); segmenter.label_capacity()];
        let mut unlabeled = 0;
        for (&label, &confidence) in labels.iter().zip(&self.confidence) {
            let Some((pixels, sum)) = sums.get_mut(label.into()) else {
                unlabeled += 1;
                continue;
            };
            *pixels += 1;
            *sum += u64::from(confidence);
        }
        let share = |class: ClassInfo<'_>| {
            let (pixels, sum) = sums.get(usize::from(class.label)).copied().unwrap_or_default();
            let share = pixels as f64 / labels.len() as f64;
            ClassShare::of(&class, pixels, share, sum as f64 / (255.0 * pixels as f64))
        };
        let all = segmenter.classes().map(share);
        let mut shares: Vec<ClassShare> = all.filter(|share| share.pixels > 0).collect();
        shares.sort_by_key(|share| (core::cmp::Reverse(share.pixels), share.index));
        (shares, unlabeled)
    }
}
