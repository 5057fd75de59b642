//! Pictures decoded and brought to a network's frame, kept in a file.

use super::extract::Prepared;
use super::file::{Contents, Plane, RowFile};
use super::meta::BackboneRecord;
use crate::limits::MAX_INPUT_SIDE;
use crate::train::error::{Error, Result};
use safetensors::Dtype;
use serde::{Deserialize, Serialize};
use std::format;
use std::path::Path;
use std::string::{String, ToString};
use std::time::UNIX_EPOCH;
use std::vec;
use std::vec::Vec;

/// Version of the format.
const FORMAT: u32 = 1;

/// What a cache says about itself.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CacheMeta {
    format: u32,
    backbone: BackboneRecord,
    pictures: Vec<PictureRecord>,
}

/// A picture's file as it was.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct PictureRecord {
    name: String,
    bytes: u64,
    /// Nanoseconds since 1970; 0 where the system does not tell.
    changed_ns: u64,
}

impl CacheMeta {
    /// Metadata for pictures that are given to networks in this way. A picture whose file cannot
    /// be looked at counts as empty, until it is repaired.
    pub fn new<'p>(
        backbone: BackboneRecord,
        pictures: impl Iterator<Item = (&'p str, Option<&'p Path>)>,
    ) -> CacheMeta {
        let record = |(name, path): (&str, Option<&Path>)| {
            let found = path.and_then(|path| std::fs::metadata(path).ok());
            let changed = found.as_ref().and_then(|found| found.modified().ok());
            let changed = changed.and_then(|changed| changed.duration_since(UNIX_EPOCH).ok());
            PictureRecord {
                name: name.to_string(),
                bytes: found.map_or(0, |found| found.len()),
                changed_ns: changed.map_or(0, |since| since.as_nanos() as u64),
            }
        };
        CacheMeta { format: FORMAT, backbone, pictures: pictures.map(record).collect() }
    }
}

impl Contents for CacheMeta {
    const KIND: &'static str = "picture cache";

    fn rows(&self) -> [usize; 2] {
        [self.pictures.len(), 1]
    }

    fn planes(&self) -> Vec<Plane> {
        let [height, width] = self.backbone.frame();
        let sides = match self.backbone.channels_last() {
            true => vec![height, width, 3],
            false => vec![3, height, width],
        };
        let input = Plane { name: "input".to_string(), dtype: self.backbone.dtype(), sides };
        let sides = vec![height, width, 3];
        vec![input, Plane { name: "rgb".to_string(), dtype: Dtype::U8, sides }]
    }

    fn check(&self) -> core::result::Result<(), String> {
        let sides = self.backbone.frame();
        if self.format != FORMAT {
            return Err(format!("format {}; this library reads {FORMAT}", self.format));
        }
        match sides.iter().all(|side| (1..=MAX_INPUT_SIDE as usize).contains(side)) {
            true => Ok(()),
            false => Err("a frame of impossible sides".to_string()),
        }
    }

    fn difference(&self, wanted: &CacheMeta) -> Option<String> {
        if self.backbone != wanted.backbone {
            return Some("made for another preprocessing".to_string());
        }
        let mut pairs = self.pictures.iter().zip(&wanted.pictures);
        if let Some((found, other)) = pairs.find(|(found, other)| found != other) {
            let (found, other) = (&found.name, &other.name);
            return Some(match found == other {
                true => format!("picture \"{found}\" was changed since; remove the cache"),
                false => format!("it has other pictures: \"{found}\" in place of \"{other}\""),
            });
        }
        let (found, other) = (self.pictures.len(), wanted.pictures.len());
        (found != other).then(|| format!("it has {found} pictures, not {other}"))
    }
}

/// Pictures in the forms that an [`super::Extractor`] makes of them. Threads may share it; one
/// process at a time can.
pub struct PictureCache {
    file: RowFile<CacheMeta>,
}

impl PictureCache {
    /// Makes a cache, or opens the one that is there.
    ///
    /// # Errors
    /// [`Error::Broken`] if the file is no cache, if it is one of other pictures, of other
    /// preprocessing or of files that were changed since, or if another process has it open;
    /// [`Error::File`].
    pub fn create(path: &Path, meta: CacheMeta) -> Result<PictureCache> {
        meta.check().map_err(Error::config)?;
        Ok(PictureCache { file: RowFile::create(path, meta)? })
    }

    /// A picture, if it is there.
    ///
    /// # Errors
    /// [`Error::Config`] if there is no such picture; [`Error::File`].
    pub fn get(&self, picture: usize) -> Result<Option<Prepared>> {
        if !self.file.is_done(picture, 0)? {
            return Ok(None);
        }
        let (input, rgb) = (self.file.read(0, picture, 0)?, self.file.read(1, picture, 0)?);
        Ok(Some(Prepared { input, rgb }))
    }

    /// Keeps a picture.
    ///
    /// # Errors
    /// As [`PictureCache::get`].
    pub fn put(&self, picture: usize, prepared: &Prepared) -> Result<()> {
        self.file.write(picture, 0, &[prepared.input.clone(), prepared.rgb.clone()])
    }
}
