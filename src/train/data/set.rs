//! Pictures with their masks.

use super::classes::ClassList;
use super::error::{DataError, Result};
use super::label::LabelMap;
use super::mask::{MaskCoding, read_mask};
use super::picture::{EXTENSIONS, extensions, picture_size, read_picture};
use crate::viz::Picture;
use std::format;
use std::path::{Path, PathBuf};
use std::string::String;
use std::vec::Vec;

/// A picture and what is known about its pixels; both have the same sides.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sample {
    /// The picture.
    pub picture: Picture,
    /// Its labels.
    pub labels: LabelMap,
}

/// Pictures with labels, in a fixed order. Every sample is read by itself: an error of one says
/// nothing about the others, and nothing is kept between calls.
pub trait DataSet: Sync {
    /// Number of samples.
    fn len(&self) -> usize;

    /// Whether there are none.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The classes; a label's number is the place in this list.
    fn classes(&self) -> &ClassList;

    /// Name of a sample, which no other one has; `None` from [`DataSet::len`] on.
    fn name(&self, index: usize) -> Option<&str>;

    /// Reads a sample.
    ///
    /// # Errors
    /// Naming the file that is missing or broken, or does not fit; [`DataError::Argument`] if
    /// there is no such sample.
    fn load(&self, index: usize) -> Result<Sample>;

    /// Reads the labels of a sample, and of its picture no more than the size.
    ///
    /// # Errors
    /// As [`DataSet::load`].
    fn load_labels(&self, index: usize) -> Result<LabelMap>;
}

/// Where the two files of a sample are.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Files {
    name: String,
    /// With an ending, or without where it is not known before the files are looked at.
    picture: PathBuf,
    has_ending: bool,
    mask: PathBuf,
}

/// A data set of files: what all readers of this library make.
#[derive(Clone, Debug)]
pub struct FileSet {
    classes: ClassList,
    coding: MaskCoding,
    files: Vec<Files>,
}

impl FileSet {
    pub(super) fn new(classes: ClassList, coding: MaskCoding) -> FileSet {
        FileSet { classes, coding, files: Vec::new() }
    }

    /// Adds a sample of a picture whose ending is not known.
    pub(super) fn add(&mut self, name: String, picture: PathBuf, mask: PathBuf) {
        self.files.push(Files { name, picture, has_ending: false, mask });
    }

    /// Adds a sample.
    pub(super) fn add_exact(&mut self, name: String, picture: PathBuf, mask: PathBuf) {
        self.files.push(Files { name, picture, has_ending: true, mask });
    }

    /// Adds the samples of another set of the same classes.
    pub(super) fn append(&mut self, other: FileSet) -> Result<()> {
        if self.classes != other.classes {
            return Err(DataError::argument("the lists have different classes"));
        }
        self.files.extend(other.files);
        Ok(())
    }

    /// File of a sample's picture.
    ///
    /// # Errors
    /// [`DataError::File`] if it is not there under any ending that is known (jpg, png, jpeg,
    /// ppm, webp, bmp; jpg, if there are several).
    pub fn picture_path(&self, index: usize) -> Result<PathBuf> {
        let files = self.files(index)?;
        if files.has_ending {
            return Ok(files.picture.clone());
        }
        let mut candidates = EXTENSIONS.iter().map(|ending| with_ending(&files.picture, ending));
        candidates.find(|path| path.is_file()).ok_or_else(|| {
            let reason = format!("there is no such picture (of {})", extensions());
            let error = std::io::Error::new(std::io::ErrorKind::NotFound, reason);
            DataError::File { path: files.picture.clone(), error }
        })
    }

    /// File of a sample's mask, which may be missing.
    ///
    /// # Errors
    /// [`DataError::Argument`] if there is no such sample.
    pub fn mask_path(&self, index: usize) -> Result<&Path> {
        Ok(&self.files(index)?.mask)
    }

    /// Names of the samples of which a file is missing: a look at the folders before hours of
    /// work.
    pub fn missing(&self) -> Vec<&str> {
        let is_missing = |index: usize, files: &Files| {
            let picture = self.picture_path(index);
            !picture.is_ok_and(|path| path.is_file()) || !files.mask.is_file()
        };
        let missing =
            self.files.iter().enumerate().filter(|(index, files)| is_missing(*index, files));
        missing.map(|(_, files)| files.name.as_str()).collect()
    }

    fn files(&self, index: usize) -> Result<&Files> {
        self.files
            .get(index)
            .ok_or_else(|| DataError::argument(format!("sample {index} of {}", self.files.len())))
    }
}

impl DataSet for FileSet {
    fn len(&self) -> usize {
        self.files.len()
    }

    fn classes(&self) -> &ClassList {
        &self.classes
    }

    fn name(&self, index: usize) -> Option<&str> {
        self.files.get(index).map(|files| files.name.as_str())
    }

    fn load(&self, index: usize) -> Result<Sample> {
        let picture = read_picture(&self.picture_path(index)?)?;
        let size = (picture.width(), picture.height());
        let labels = read_mask(self.mask_path(index)?, size, &self.coding)?;
        Ok(Sample { picture, labels })
    }

    fn load_labels(&self, index: usize) -> Result<LabelMap> {
        let size = picture_size(&self.picture_path(index)?)?;
        read_mask(self.mask_path(index)?, size, &self.coding)
    }
}

/// The path with an ending more; dots of its own stay.
pub(super) fn with_ending(path: &Path, ending: &str) -> PathBuf {
    let mut path = path.as_os_str().to_os_string();
    path.push(".");
    path.push(ending);
    path.into()
}
