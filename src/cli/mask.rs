//! A picture's mask and what is in it.

use super::report::ClassShare;
use crate::bundle::Bundle;
use crate::head::{Labels, Output, PlaneMut, UNLABELED_U8};
use crate::image::Image;
use crate::segmenter::Segmenter;
use crate::spec::Class;
use crate::status::Result;
use crate::viz::{Palette, Picture, blend};
use sha2::{Digest, Sha256};
use std::string::ToString;
use std::vec;
use std::vec::Vec;

/// One label per pixel, in the smallest type that holds the model's classes.
pub enum LabelPlane {
    /// Up to 255 classes.
    U8(Vec<u8>),
    /// More.
    U16(Vec<u16>),
}

impl LabelPlane {
    fn new(classes: u32, pixels: usize) -> LabelPlane {
        match classes <= UNLABELED_U8.into() {
            true => LabelPlane::U8(vec![0; pixels]),
            false => LabelPlane::U16(vec![0; pixels]),
        }
    }

    fn view(&mut self, width: usize) -> Labels<'_> {
        match self {
            LabelPlane::U8(labels) => Labels::U8(PlaneMut::new(labels, width)),
            LabelPlane::U16(labels) => Labels::U16(PlaneMut::new(labels, width)),
        }
    }

    /// The picture with the mask over it.
    pub fn blend(&self, picture: &Picture, classes: usize, palette: &Palette) -> Result<Picture> {
        match self {
            LabelPlane::U8(labels) => blend(picture, labels, classes, palette),
            LabelPlane::U16(labels) => blend(picture, labels, classes, palette),
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

/// What segmenting a picture gives.
pub struct Mask {
    /// The class of every pixel.
    pub labels: LabelPlane,
    /// Probability of that class, 255 = 1.
    pub confidence: Vec<u8>,
    /// Lead over the second best class, if it was asked for.
    pub margin: Option<Vec<u8>>,
}

impl Mask {
    /// Segments a picture.
    pub fn of(segmenter: &mut Segmenter<'_>, picture: &Picture, margin: bool) -> Result<Mask> {
        let (width, height) = (picture.width(), picture.height());
        let pixels = width as usize * height as usize;
        let classes = segmenter.bundle().head().classes;
        let mut mask = Mask {
            labels: LabelPlane::new(classes, pixels),
            confidence: vec![0; pixels],
            margin: margin.then(|| vec![0; pixels]),
        };
        let width = width as usize;
        let plane = |values| PlaneMut::new(values, width);
        let mut output = Output {
            labels: mask.labels.view(width),
            confidence: Some(plane(&mut mask.confidence)),
            margin: mask.margin.as_deref_mut().map(plane),
        };
        let frame = Image::rgb8(picture.rgb(), picture.width(), height)?;
        segmenter.segment(&frame, &mut output)?;
        Ok(mask)
    }

    /// The classes that occur, the largest first, and the number of unlabelled pixels.
    pub fn shares(&self, bundle: &Bundle<'_>) -> (Vec<ClassShare>, u64) {
        match &self.labels {
            LabelPlane::U8(labels) => self.shares_of(labels, bundle),
            LabelPlane::U16(labels) => self.shares_of(labels, bundle),
        }
    }

    fn shares_of<L: Copy + Into<usize>>(
        &self,
        labels: &[L],
        bundle: &Bundle<'_>,
    ) -> (Vec<ClassShare>, u64) {
        let classes = bundle.head().classes as usize;
        let mut sums = vec![(0u64, 0u64); classes];
        let mut unlabeled = 0;
        for (&label, &confidence) in labels.iter().zip(&self.confidence) {
            let Some((pixels, sum)) = sums.get_mut(label.into()) else {
                unlabeled += 1;
                continue;
            };
            *pixels += 1;
            *sum += u64::from(confidence);
        }
        let found = bundle.classes().zip(0..).zip(sums).filter(|(_, (pixels, _))| *pixels > 0);
        let share = |((class, index), (pixels, sum)): ((Class<'_>, u32), (u64, u64))| ClassShare {
            index,
            name: class.name.to_string(),
            pixels,
            share: pixels as f64 / labels.len() as f64,
            mean_confidence: sum as f64 / (255.0 * pixels as f64),
        };
        let mut shares: Vec<ClassShare> = found.map(share).collect();
        shares.sort_by_key(|share| (core::cmp::Reverse(share.pixels), share.index));
        (shares, unlabeled)
    }
}
