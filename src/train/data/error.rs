//! What can be wrong with a data set.

use core::fmt;
use std::path::{Path, PathBuf};
use std::string::{String, ToString};
use std::vec::Vec;

/// Result of reading data.
pub type Result<T> = core::result::Result<T, DataError>;

/// What is wrong, and with which file.
#[derive(Debug)]
#[non_exhaustive]
pub enum DataError {
    /// A file or folder cannot be opened or read.
    File {
        /// Which one.
        path: PathBuf,
        /// What the system said.
        error: std::io::Error,
    },
    /// A picture cannot be decoded.
    Picture {
        /// Its file.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// A mask cannot be decoded, or is of a kind that holds no class numbers.
    Mask {
        /// Its file.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// A mask has other sides than its picture.
    MaskSize {
        /// File of the mask.
        path: PathBuf,
        /// Width and height of the mask, in pixels.
        found: (u32, u32),
        /// Width and height of the picture, in pixels.
        wanted: (u32, u32),
    },
    /// A pixel of a mask has a number that means neither a class nor "unlabelled" nor "void".
    MaskValue {
        /// File of the mask.
        path: PathBuf,
        /// Column of the first such pixel.
        x: u32,
        /// Row of the first such pixel.
        y: u32,
        /// The number.
        value: u16,
        /// Number of classes.
        classes: usize,
    },
    /// A list of names, of classes or of words.
    List {
        /// File of the list.
        path: PathBuf,
        /// Line, counted from 1; `None` for the list as a whole.
        line: Option<usize>,
        /// What is wrong.
        reason: String,
    },
    /// Class names that a class list does not have.
    UnknownClasses {
        /// All of them.
        names: Vec<String>,
    },
    /// Classes that have no embedding.
    NoEmbedding {
        /// All of them.
        names: Vec<String>,
    },
    /// A table of embeddings that is no such table.
    Table {
        /// What is wrong.
        reason: String,
    },
    /// An argument outside its range.
    Argument {
        /// What is wrong.
        reason: String,
    },
}

impl DataError {
    /// Turns an error of the system into one about `path`.
    pub(super) fn file(path: &Path) -> impl FnOnce(std::io::Error) -> DataError + use<'_> {
        |error| DataError::File { path: path.to_path_buf(), error }
    }

    pub(super) fn mask(path: &Path, reason: impl ToString) -> DataError {
        DataError::Mask { path: path.to_path_buf(), reason: reason.to_string() }
    }

    pub(super) fn picture(path: &Path, reason: impl ToString) -> DataError {
        DataError::Picture { path: path.to_path_buf(), reason: reason.to_string() }
    }

    pub(super) fn list(path: &Path, line: Option<usize>, reason: impl ToString) -> DataError {
        DataError::List { path: path.to_path_buf(), line, reason: reason.to_string() }
    }

    pub(super) fn table(reason: impl ToString) -> DataError {
        DataError::Table { reason: reason.to_string() }
    }

    pub(super) fn argument(reason: impl ToString) -> DataError {
        DataError::Argument { reason: reason.to_string() }
    }
}

impl fmt::Display for DataError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            DataError::File { path, error } => write!(f, "{}: {error}", path.display()),
            DataError::Picture { path, reason } => {
                write!(f, "{} cannot be read as a picture: {reason}", path.display())
            }
            DataError::Mask { path, reason } => {
                write!(f, "{} cannot be read as a mask: {reason}", path.display())
            }
            DataError::MaskSize { path, found, wanted } => write!(
                f,
                "{} has {}x{} pixels, but its picture {}x{}",
                path.display(),
                found.0,
                found.1,
                wanted.0,
                wanted.1
            ),
            DataError::MaskValue { path, x, y, value, classes } => write!(
                f,
                "{}: pixel ({x}, {y}) has {value}, which means none of the {classes} classes, \
                 nor unlabelled, nor void",
                path.display()
            ),
            DataError::List { path, line: Some(line), reason } => {
                write!(f, "{}, line {line}: {reason}", path.display())
            }
            DataError::List { path, line: None, reason } => {
                write!(f, "{}: {reason}", path.display())
            }
            DataError::UnknownClasses { names } => {
                write!(f, "there are no such classes: {}", names.join(", "))
            }
            DataError::NoEmbedding { names } => {
                write!(f, "classes without an embedding: {}", names.join(", "))
            }
            DataError::Table { reason } | DataError::Argument { reason } => f.write_str(reason),
        }
    }
}

// Texts already say the causes.
impl core::error::Error for DataError {}
