//! Stores as a training sees them.

use super::geometry::{labels_in_frame, shown_in_frame};
use super::reader::StoreReader;
use crate::spec::Fit;
use crate::train::data::{DataSet, FileSet, LabelMap};
use crate::train::engine::Matrix;
use crate::train::error::{Error, Result};
use crate::train::pictures::{Pictures, Tap, View};
use core::ops::Range;
use std::collections::BTreeMap;
use std::format;
use std::path::PathBuf;
use std::sync::OnceLock;
use std::vec::Vec;

/// Pictures of one or several complete stores, with the labels of a data set.
///
/// Taps of the second store follow those of the first. Labels are kept in memory once they were
/// read: a byte per pixel of the frame (two for more than 254 classes). Features are read from
/// the files each time.
pub struct Stored {
    stores: Vec<StoreReader>,
    taps: Vec<Tap>,
    /// Store and place in it, of each tap.
    places: Vec<(usize, usize)>,
    views: Vec<View>,
    fit: Fit,
    set: FileSet,
    /// Place in the data set, of each picture.
    samples: Vec<usize>,
    labels: Vec<OnceLock<Framed>>,
}

/// Labels in the frame, and the rows and columns that show the picture.
type Framed = (LabelMap, [Range<u32>; 2]);

impl Stored {
    /// Opens stores of the same pictures, and finds their labels in `set` by name. Labels lie in
    /// the frame of the first store; other stores may have frames of other sizes, but show the
    /// same part of the pictures.
    ///
    /// # Errors
    /// [`Error::Config`] without a store or pictures, for a picture that `set` lacks, and for
    /// stores that differ in pictures, views, seeds or in the part of a picture that they show;
    /// those of [`StoreReader::open_complete`].
    pub fn open(stores: &[PathBuf], set: FileSet) -> Result<Stored> {
        let opened: Result<Vec<StoreReader>> =
            stores.iter().map(|path| StoreReader::open_complete(path)).collect();
        let stores = opened?;
        let Some(first) = stores.first() else { return Err(Error::config("no feature store")) };
        for store in stores.iter().skip(1) {
            check_same(first, store)?;
        }
        let unfit = || Error::broken(first.path(), "it says not how pictures fit its frame");
        let fit = first.meta().backbone().fit().ok_or_else(unfit)?;
        let samples = samples(first, &set)?;
        let labels = samples.iter().map(|_| OnceLock::new()).collect();
        let views = first.meta().views();
        let (mut taps, mut places) = (Vec::new(), Vec::new());
        for (index, store) in stores.iter().enumerate() {
            for (place, tap) in store.meta().taps().into_iter().enumerate() {
                taps.push(tap);
                places.push((index, place));
            }
        }
        Ok(Stored { stores, taps, places, views, fit, set, samples, labels })
    }

    /// The data set that labels are read from.
    pub fn set(&self) -> &FileSet {
        &self.set
    }

    /// Place of a picture in the data set.
    pub fn sample(&self, picture: usize) -> Option<usize> {
        self.samples.get(picture).copied()
    }

    /// The stores.
    pub fn stores(&self) -> &[StoreReader] {
        &self.stores
    }

    fn framed(&self, picture: usize) -> Result<&Framed> {
        let kept = self.labels.get(picture).ok_or_else(|| self.no_picture(picture))?;
        if let Some(framed) = kept.get() {
            return Ok(framed);
        }
        let sample = self.sample(picture).ok_or_else(|| self.no_picture(picture))?;
        let (labels, frame) = (self.set.load_labels(sample)?, self.frame());
        let shown = shown_in_frame(&labels, self.fit, frame)?;
        let framed = (labels_in_frame(&labels, self.fit, frame)?, shown);
        Ok(kept.get_or_init(|| framed))
    }

    fn no_picture(&self, picture: usize) -> Error {
        Error::config(format!("picture {picture} of {}", self.samples.len()))
    }
}

impl Pictures for Stored {
    fn len(&self) -> usize {
        self.samples.len()
    }

    fn name(&self, picture: usize) -> &str {
        let store = self.stores.first();
        let name = store.and_then(|store| store.meta().pictures().get(picture));
        name.map_or("", |name| name.as_str())
    }

    fn frame(&self) -> [usize; 2] {
        self.stores.first().map_or([0; 2], |store| store.meta().backbone().frame())
    }

    fn taps(&self) -> &[Tap] {
        &self.taps
    }

    fn views(&self) -> &[View] {
        &self.views
    }

    fn tap(&self, picture: usize, view: usize, tap: usize) -> Result<Matrix<f32>> {
        let found = self.places.get(tap);
        let found = found.and_then(|(store, place)| Some((self.stores.get(*store)?, *place)));
        let Some((store, place)) = found else {
            return Err(Error::config(format!("tap {tap} of {}", self.taps.len())));
        };
        store.tap(picture, view, place)
    }

    fn labels(&self, picture: usize) -> Result<LabelMap> {
        self.framed(picture).map(|(labels, _)| labels.clone())
    }

    fn shown(&self, picture: usize) -> Result<[Range<u32>; 2]> {
        self.framed(picture).map(|(_, shown)| shown.clone())
    }
}

/// Places of the store's pictures in the data set.
fn samples(store: &StoreReader, set: &FileSet) -> Result<Vec<usize>> {
    let all = (0..set.len()).filter_map(|sample| Some((set.name(sample)?, sample)));
    let places: BTreeMap<&str, usize> = all.collect();
    let mut samples = Vec::new();
    for name in store.meta().pictures() {
        let Some(sample) = places.get(name.as_str()) else {
            let reason = format!("picture \"{name}\" is not in the data set");
            return Err(Error::broken(store.path(), reason));
        };
        samples.push(*sample);
    }
    match samples.is_empty() {
        true => Err(Error::broken(store.path(), "it has no pictures")),
        false => Ok(samples),
    }
}

fn check_same(first: &StoreReader, other: &StoreReader) -> Result<()> {
    let differs = |what: &str| {
        let (first, other) = (first.path().display(), other.path().display());
        Err(Error::config(format!("{first} and {other} have different {what}")))
    };
    let (a, b) = (first.meta(), other.meta());
    if a.pictures() != b.pictures() {
        return differs("pictures");
    }
    if a.views() != b.views() || a.seed() != b.seed() {
        return differs("views, or views of different seeds");
    }
    match a.backbone().shows_the_same_as(b.backbone()) {
        true => Ok(()),
        false => differs("parts of the pictures in their frames"),
    }
}
