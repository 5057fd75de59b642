//! Reads a store.

use super::file::RowFile;
use super::meta::StoreMeta;
use crate::train::engine::Matrix;
use crate::train::error::{Error, Result};
use half::f16;
use std::format;
use std::path::Path;
use std::vec::Vec;

/// A store that is read. Threads may share it. Nothing is kept in memory but the header.
pub struct StoreReader {
    file: RowFile<StoreMeta>,
}

impl StoreReader {
    /// Opens a store, which may still lack features.
    ///
    /// # Errors
    /// [`Error::Broken`] if the file is no store or was cut off; [`Error::File`].
    pub fn open(path: &Path) -> Result<StoreReader> {
        Ok(StoreReader { file: RowFile::open(path)? })
    }

    /// Opens a store that has the features of all its pictures.
    ///
    /// # Errors
    /// As [`StoreReader::open`]; [`Error::Broken`] naming the first picture that is missing.
    pub fn open_complete(path: &Path) -> Result<StoreReader> {
        let store = StoreReader::open(path)?;
        let meta = store.meta();
        for (picture, name) in meta.pictures().iter().enumerate() {
            for view in 0..meta.views().len() {
                if !store.file.is_done(picture, view)? {
                    let reason = format!("it lacks picture \"{name}\", view {view}");
                    return Err(Error::broken(path, format!("{reason}: carry on with it first")));
                }
            }
        }
        Ok(store)
    }

    /// The file.
    pub fn path(&self) -> &Path {
        self.file.path()
    }

    /// What the store says about itself.
    pub fn meta(&self) -> &StoreMeta {
        self.file.contents()
    }

    /// Features `[rows * columns, channels]` of a tap.
    ///
    /// # Errors
    /// [`Error::Config`] if there is no such picture, view or tap; [`Error::Broken`] for a number
    /// that is not finite; [`Error::File`].
    pub fn tap(&self, picture: usize, view: usize, tap: usize) -> Result<Matrix<f32>> {
        let bytes = self.bytes(picture, view, tap)?;
        let meta = self.meta();
        let taps = meta.taps();
        let shape = taps.get(tap).map_or([0, 0], |tap| [tap.height * tap.width, tap.channels]);
        let (pairs, _) = bytes.as_chunks::<2>();
        let values: Vec<f32> =
            pairs.iter().map(|pair| f16::from_le_bytes(*pair).to_f32()).collect();
        if !values.iter().all(|value| value.is_finite()) {
            let name = meta.pictures().get(picture).map_or("", |name| name.as_str());
            let reason = format!("picture \"{name}\" has a feature that is not finite");
            return Err(Error::broken(self.path(), reason));
        }
        Ok(Matrix::new(shape, values)?)
    }

    /// The features as they lie in the file.
    pub(super) fn bytes(&self, picture: usize, view: usize, tap: usize) -> Result<Vec<u8>> {
        self.file.read(tap, picture, view)
    }
}
