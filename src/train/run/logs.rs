//! Files that grow with the run, and go back to where a checkpoint left them.

use crate::train::error::{Error, Result};
use std::format;
use std::fs::{File, OpenOptions};
use std::io::{BufWriter, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

/// A file that is added to.
pub(super) struct Log {
    path: PathBuf,
    file: BufWriter<File>,
    length: u64,
}

impl Log {
    /// Opens or makes a file, and cuts it to a length in bytes.
    ///
    /// # Errors
    /// [`Error::Broken`] if it is shorter.
    pub(super) fn open(path: PathBuf, length: u64) -> Result<Log> {
        let mut options = OpenOptions::new();
        let opened = options.create(true).truncate(false).write(true).open(&path);
        let mut file = opened.map_err(Error::file(&path))?;
        let found = file.metadata().map_err(Error::file(&path))?.len();
        if found < length {
            let reason = format!("it has {found} bytes, but had {length} at the checkpoint");
            return Err(Error::broken(&path, reason));
        }
        file.set_len(length).map_err(Error::file(&path))?;
        file.seek(SeekFrom::End(0)).map_err(Error::file(&path))?;
        Ok(Log { path, file: BufWriter::new(file), length })
    }

    /// Adds bytes.
    pub(super) fn add(&mut self, bytes: &[u8]) -> Result<()> {
        self.file.write_all(bytes).map_err(Error::file(&self.path))?;
        self.length += bytes.len() as u64;
        Ok(())
    }

    /// Makes what was added visible to readers.
    pub(super) fn flush(&mut self) -> Result<()> {
        self.file.flush().map_err(Error::file(&self.path))
    }

    /// Brings everything to the disk; the length.
    pub(super) fn sync(&mut self) -> Result<u64> {
        self.flush()?;
        self.file.get_ref().sync_data().map_err(Error::file(&self.path))?;
        Ok(self.length)
    }

    /// Length in bytes.
    pub(super) fn length(&self) -> u64 {
        self.length
    }

    /// The file.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }
}
