//! Writes a store, picture by picture.

use super::file::RowFile;
use super::meta::StoreMeta;
use crate::train::engine::Matrix;
use crate::train::error::{Error, Result};
use half::f16;
use std::format;
use std::path::Path;
use std::vec::Vec;

/// A store that is being written. Threads may share it.
pub struct StoreWriter {
    file: RowFile<StoreMeta>,
}

impl StoreWriter {
    /// Makes a store, or opens the one that is there to do what is missing in it. It is locked
    /// for other writers until this is dropped, or the process ends in any way.
    ///
    /// # Errors
    /// [`Error::Config`] for metadata that make no sense; [`Error::Broken`] if the file is no
    /// store, if it is one of another backbone or of other taps, views or pictures (which ones is
    /// said), or if another process writes to it; [`Error::File`].
    pub fn create(path: &Path, meta: StoreMeta) -> Result<StoreWriter> {
        super::file::Contents::check(&meta).map_err(Error::config)?;
        Ok(StoreWriter { file: RowFile::create(path, meta)? })
    }

    /// What the store says about itself.
    pub fn meta(&self) -> &StoreMeta {
        self.file.contents()
    }

    /// Whether the features of a picture's view are there.
    ///
    /// # Errors
    /// [`Error::Config`] if there is no such picture or view; [`Error::File`].
    pub fn is_done(&self, picture: usize, view: usize) -> Result<bool> {
        self.file.is_done(picture, view)
    }

    /// Writes the features of a picture's view, a matrix `[rows * columns, channels]` per tap.
    /// When this returns they are on the disk.
    ///
    /// # Errors
    /// [`Error::Config`] naming picture and tap for a number that f16 cannot hold (not finite, or
    /// beyond 65,504), and for features of other sizes; [`Error::File`], with what was written
    /// before kept.
    pub fn put(&self, picture: usize, view: usize, taps: &[Matrix<f32>]) -> Result<()> {
        let meta = self.meta();
        let mut planes = Vec::with_capacity(taps.len());
        for (features, tap) in taps.iter().zip(meta.taps()) {
            let bytes = halves(features.values()).map_err(|value| {
                let name = meta.pictures().get(picture).map_or("", |name| name.as_str());
                Error::config(format!(
                    "picture \"{name}\", view {view}: tap \"{}\" has a feature of {value}, which \
                     f16 cannot hold",
                    tap.name
                ))
            })?;
            planes.push(bytes);
        }
        self.file.write(picture, view, &planes)
    }

    /// Writes a row of another store of the same taps.
    pub(super) fn put_bytes(&self, picture: usize, view: usize, taps: &[Vec<u8>]) -> Result<()> {
        self.file.write(picture, view, taps)
    }

    /// Number of pictures all of whose views are there.
    ///
    /// # Errors
    /// [`Error::File`].
    pub fn done(&self) -> Result<usize> {
        let mut done = 0;
        for picture in 0..self.meta().pictures().len() {
            done += usize::from(self.missing_views(picture)?.is_empty());
        }
        Ok(done)
    }

    /// The views of a picture that are not there yet.
    ///
    /// # Errors
    /// As [`StoreWriter::is_done`].
    pub fn missing_views(&self, picture: usize) -> Result<Vec<usize>> {
        let mut missing = Vec::new();
        for view in 0..self.meta().views().len() {
            if !self.is_done(picture, view)? {
                missing.push(view);
            }
        }
        Ok(missing)
    }

    /// Brings the flags to the disk too, and lets go of the store.
    ///
    /// # Errors
    /// [`Error::File`].
    pub fn finish(self) -> Result<()> {
        self.file.sync()
    }
}

/// Little-endian f16, or the first number that has none.
fn halves(values: &[f32]) -> core::result::Result<Vec<u8>, f32> {
    let mut bytes = Vec::with_capacity(2 * values.len());
    for &value in values {
        let half = f16::from_f32(value);
        if !half.is_finite() {
            return Err(value);
        }
        bytes.extend(half.to_le_bytes());
    }
    Ok(bytes)
}
