//! Bundles on pictures: what a device would answer.

use super::predictor::{Found, NO_CLASS, Predictor};
use super::protocol::Resolution;
use crate::head::Output;
use crate::image::Image;
use crate::map::{Layout, Map};
use crate::segmenter::Segmenter;
use crate::spec::{Decision, Stacking};
use crate::train::data::{DataSet, LabelMap, Nearest};
use crate::train::error::{Error, Result};
use crate::viz::Picture;
use image::imageops::{FilterType, resize};
use image::{ImageBuffer, Rgb};
use std::collections::BTreeMap;
use std::string::String;
use std::vec;
use std::vec::Vec;

/// Predicts with a [`Segmenter`] at the size that the protocol asks for, as the product does.
/// Other sizes than the picture's own are made before the network sees it: the picture as Pillow's
/// BILINEAR, the truth by torch's nearest (methods.md 1.9).
pub struct BundlePredictor<'s, 'a> {
    data: &'s dyn DataSet,
    segmenter: &'s mut Segmenter<'a>,
    resolution: Resolution,
    /// Number in the data set of every label of the segmenter.
    numbers: Vec<u16>,
    decision: Decision,
    size: Option<(u32, u32)>,
    /// What the model decided of itself.
    own: Found,
    features: Option<Features>,
}

/// A copy of the network's output.
struct Features {
    values: Vec<f32>,
    size: [usize; 3],
    layout: Layout,
}

/// Which classes bundle and data set have in common, by their names.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Common {
    /// By the segmenter's label: number and name.
    pub shared: BTreeMap<u16, usize>,
    /// Numbers of the data set's classes that the bundle lacks, ascending.
    pub missing: Vec<usize>,
    /// Names and labels of the bundle's classes that the data set lacks, by label.
    pub extra: Vec<(String, u16)>,
}

impl Common {
    /// Compares the classes of a segmenter that take part with those of a data set.
    pub fn of(segmenter: &Segmenter<'_>, data: &dyn DataSet) -> Common {
        let mut common = Common::default();
        for class in segmenter.classes().filter(|class| class.enabled) {
            match data.classes().place(class.name) {
                Some(number) => {
                    common.shared.insert(class.label, number);
                }
                None => common.extra.push((String::from(class.name), class.label)),
            }
        }
        let is_missing = |number: &usize| !common.shared.values().any(|found| found == number);
        common.missing = (0..data.classes().len()).filter(is_missing).collect();
        common
    }
}

impl<'s, 'a> BundlePredictor<'s, 'a> {
    /// Predicts with the classes of `segmenter` that take part. Its limits hold for the size at
    /// which every picture is looked at ([`Resolution::size`]).
    ///
    /// # Errors
    /// [`Error::Config`] for a resolution of the network's frame, and if bundle and data set have
    /// no class in common.
    pub fn new(
        data: &'s dyn DataSet,
        segmenter: &'s mut Segmenter<'a>,
        resolution: Resolution,
    ) -> Result<BundlePredictor<'s, 'a>> {
        if resolution == Resolution::Frame {
            return Err(Error::config(
                "a bundle is evaluated at a size of pictures, not its frame",
            ));
        }
        let common = Common::of(segmenter, data);
        if common.shared.is_empty() {
            return Err(Error::config("the model and the data set have no class in common"));
        }
        let mut numbers = vec![NO_CLASS; segmenter.label_capacity()];
        for (&label, &number) in &common.shared {
            if let Some(place) = numbers.get_mut(usize::from(label)) {
                *place = u16::try_from(number).unwrap_or(NO_CLASS);
            }
        }
        let decision = segmenter.decision();
        let own = Found::default();
        Ok(BundlePredictor {
            data,
            segmenter,
            resolution,
            numbers,
            decision,
            size: None,
            own,
            features: None,
        })
    }

    fn sized(&self, picture: Picture, truth: LabelMap) -> Result<(Picture, LabelMap)> {
        let size = (picture.width(), picture.height());
        let (width, height) = self.resolution.size(size).unwrap_or(size);
        if (width, height) == size {
            return Ok((picture, truth));
        }
        let no_pixels = || Error::config("a picture without pixels");
        let whole: ImageBuffer<Rgb<u8>, &[u8]> =
            ImageBuffer::from_raw(size.0, size.1, picture.rgb()).ok_or_else(no_pixels)?;
        let smaller = resize(&whole, width, height, FilterType::Triangle);
        let picture = Picture::new(width, height, smaller.into_raw())?;
        Ok((picture, truth.resized(width, height, Nearest::Torch)?))
    }

    /// The network's output for the picture, copied once.
    fn copy_features(&mut self) -> Result<()> {
        if self.features.is_none() {
            let map = self.segmenter.features()?;
            self.features = Some(Features {
                values: map.data().to_vec(),
                size: [map.height(), map.width(), map.channels()],
                layout: map.layout(),
            });
        }
        Ok(())
    }
}

/// Makes data-set numbers of labels and finer units of confidences.
fn translate(numbers: &[u16], labels: &mut [u16], confidences: &[u8]) -> Vec<u16> {
    for label in labels.iter_mut() {
        *label = numbers.get(usize::from(*label)).copied().unwrap_or(NO_CLASS);
    }
    confidences.iter().map(|&confidence| u16::from(confidence) * 257).collect()
}

fn no_picture() -> Error {
    Error::config("no picture was looked at")
}

impl Predictor for BundlePredictor<'_, '_> {
    fn look(&mut self, index: usize) -> Result<LabelMap> {
        (self.size, self.features) = (None, None);
        let sample = self.data.load(index)?;
        let (picture, truth) = self.sized(sample.picture, sample.labels)?;
        let (width, height) = (picture.width(), picture.height());
        let pixels = width as usize * height as usize;
        let (mut labels, mut confidences) = (vec![0u16; pixels], vec![0u8; pixels]);
        let image = Image::rgb8(picture.rgb(), width, height)?;
        let mut output = Output::labels_u16(&mut labels, width as usize)
            .with_confidence(&mut confidences, width as usize);
        self.segmenter.forget();
        self.segmenter.segment(&image, &mut output)?;
        let confidences = translate(&self.numbers, &mut labels, &confidences);
        self.own = Found { labels, confidences };
        self.size = Some((width, height));
        Ok(truth)
    }

    fn decide(&mut self, handicap: Option<Stacking>, found: &mut Found) -> Result<()> {
        let (width, height) = self.size.ok_or_else(no_picture)?;
        let Some(stacking) = handicap else {
            found.clone_from(&self.own);
            return Ok(());
        };
        self.copy_features()?;
        let Some(Features { values, size, layout }) = &self.features else {
            return Err(no_picture());
        };
        let [rows, columns, channels] = *size;
        let map = Map::new(values, rows, columns, channels, *layout)?;
        let pixels = width as usize * height as usize;
        let mut confidences = vec![0u8; pixels];
        found.labels.clear();
        found.labels.resize(pixels, 0);
        let mut output = Output::labels_u16(&mut found.labels, width as usize)
            .with_confidence(&mut confidences, width as usize);
        self.segmenter.set_decision(Decision { stacking, ..self.decision })?;
        let done = self.segmenter.segment_features(&map, width, height, &mut output);
        self.segmenter.set_decision(self.decision)?;
        done?;
        found.confidences = translate(&self.numbers, &mut found.labels, &confidences);
        Ok(())
    }
}
