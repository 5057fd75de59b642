//! The folder of a run, which only one process works in.

use super::files;
use crate::train::error::{Error, Result};
use std::format;
use std::fs::{self, File, OpenOptions, TryLockError};
use std::path::{Path, PathBuf};
use std::string::String;

/// File that is locked while a process works in the folder. The system lifts the lock when the
/// process ends, however it ends.
const LOCK: &str = "run.lock";

/// A run's folder, locked until this is dropped.
#[derive(Debug)]
pub struct Folder {
    path: PathBuf,
    _lock: File,
}

impl Folder {
    /// Makes a folder with files in it: all of it at once, or nothing.
    ///
    /// # Errors
    /// [`Error::Config`] if there is a folder with something in it.
    pub fn create(path: &Path, contents: &[(&str, &str)]) -> Result<Folder> {
        Folder::check_free(path)?;
        files::create_folder(path, |folder| {
            for (name, text) in contents {
                files::write_whole(&folder.join(name), text.as_bytes())?;
            }
            Ok(())
        })?;
        Folder::open(path)
    }

    /// Checks that [`Folder::create`] has nothing in its way.
    ///
    /// # Errors
    /// [`Error::Config`] if there is a folder with something in it.
    pub fn check_free(path: &Path) -> Result<()> {
        if path.exists() && !is_empty_folder(path)? {
            let path = path.display();
            let reason = format!("{path} is there already: use --resume, or another folder");
            return Err(Error::config(reason));
        }
        Ok(())
    }

    /// Takes a folder for this process alone.
    ///
    /// # Errors
    /// [`Error::Config`] if another process works in it, [`Error::File`] if there is none.
    pub fn open(path: &Path) -> Result<Folder> {
        let lock = path.join(LOCK);
        let mut options = OpenOptions::new();
        let opened = options.create(true).truncate(false).write(true).open(&lock);
        let file = opened.map_err(Error::file(&lock))?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let path = path.display();
                return Err(Error::config(format!("another process is at work in {path}")));
            }
            Err(TryLockError::Error(error)) => return Err(Error::File { path: lock, error }),
        }
        files::remove_unfinished(path)?;
        Ok(Folder { path: path.to_path_buf(), _lock: file })
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Writes a file in it, as a whole or not at all.
    ///
    /// # Errors
    /// [`Error::File`].
    pub fn write(&self, name: &str, bytes: &[u8]) -> Result<PathBuf> {
        let path = self.path.join(name);
        files::write_whole(&path, bytes)?;
        Ok(path)
    }

    /// The text of a file in it.
    ///
    /// # Errors
    /// [`Error::File`].
    pub fn read_text(&self, name: &str) -> Result<String> {
        let path = self.path.join(name);
        fs::read_to_string(&path).map_err(Error::file(&path))
    }
}

fn is_empty_folder(path: &Path) -> Result<bool> {
    Ok(path.is_dir() && files::list(path)?.is_empty())
}
