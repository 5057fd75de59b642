//! What can go wrong while heads are trained.

use super::data::DataError;
use crate::status;
use core::fmt;
use std::boxed::Box;
use std::format;
use std::path::{Path, PathBuf};
use std::string::{String, ToString};

/// `Result` with this module's [`Error`].
pub type Result<T> = core::result::Result<T, Error>;

/// What can go wrong while heads are trained.
#[derive(Debug)]
#[non_exhaustive]
pub enum Error {
    /// About pictures, masks, lists or embeddings.
    Data(DataError),
    /// An operation was given what it cannot compute.
    Compute(status::Error),
    /// A file cannot be read or written.
    File {
        /// The file.
        path: PathBuf,
        /// The reason.
        error: std::io::Error,
    },
    /// A file of this library's own, such as a feature store or a checkpoint, is not what it
    /// should be.
    Broken {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// What was asked for does not fit together.
    Config {
        /// What does not.
        reason: String,
    },
    /// The steps cannot be computed on what was asked for.
    Device {
        /// What was asked for, such as `cuda:0`.
        device: String,
        /// Why not.
        reason: String,
    },
    /// A loss is no finite number: the learning rate is too high, or features are not finite.
    NotFinite {
        /// The loss.
        loss: &'static str,
        /// The step, counted from 0.
        step: u64,
    },
    /// A run ended before its end.
    Stopped {
        /// The stage.
        stage: String,
        /// The step, counted from 0.
        step: u64,
        /// The newest checkpoint of the stage, from which the run can go on.
        checkpoint: Option<PathBuf>,
        /// The reason.
        error: Box<Error>,
    },
}

impl Error {
    /// Makes an [`Error::File`] of what the operating system says about `path`.
    pub fn file(path: &Path) -> impl FnOnce(std::io::Error) -> Error + '_ {
        |error| Error::File { path: path.to_path_buf(), error }
    }

    /// A file of this library's own that is not what it should be.
    pub fn broken(path: &Path, reason: impl ToString) -> Error {
        Error::Broken { path: path.to_path_buf(), reason: reason.to_string() }
    }

    /// Something that does not fit together.
    pub fn config(reason: impl ToString) -> Error {
        Error::Config { reason: reason.to_string() }
    }
}

impl From<DataError> for Error {
    fn from(error: DataError) -> Error {
        Error::Data(error)
    }
}

impl From<status::Error> for Error {
    fn from(error: status::Error) -> Error {
        Error::Compute(error)
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Error::Data(error) => error.fmt(f),
            Error::Compute(error) => error.fmt(f),
            Error::File { path, error } => write!(f, "{}: {error}", path.display()),
            Error::Broken { path, reason } => write!(f, "{}: {reason}", path.display()),
            Error::Config { reason } => f.write_str(reason),
            Error::Device { device, reason } => write!(f, "device \"{device}\": {reason}"),
            Error::NotFinite { loss, step } => {
                let text = format!("the loss \"{loss}\" is no finite number at step {step}");
                f.write_str(&text)
            }
            Error::Stopped { stage, step, checkpoint, error } => {
                write!(f, "stage \"{stage}\" stopped at step {step}: {error}")?;
                match checkpoint {
                    Some(path) => write!(f, "; the last checkpoint is {}", path.display()),
                    None => f.write_str("; the stage has no checkpoint yet"),
                }
            }
        }
    }
}

// Texts already say the causes.
impl core::error::Error for Error {}
