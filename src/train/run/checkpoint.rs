//! What a run writes down to be taken up again: states of stages in the middle, and at their end.

use super::files;
use super::tensor_file::{decode, encode};
use crate::train::error::{Error, Result};
use crate::train::stage::State;
use serde::{Deserialize, Serialize};
use std::format;
use std::fs;
use std::path::{Path, PathBuf};
use std::string::String;
use std::vec::Vec;

/// Checkpoints that are kept of a stage: the newest, and one in case that it is broken.
const KEPT: usize = 2;

/// What a state is of.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Mark {
    /// Name of the stage.
    pub(super) stage: String,
    /// Steps that are done.
    pub(super) step: u64,
    /// Of the run's configuration.
    pub(super) fingerprint: String,
    /// Lengths in bytes that the logs had.
    pub(super) logs: Vec<u64>,
}

/// The states in a run's folder.
pub(super) struct Checkpoints {
    stages: PathBuf,
    middle: PathBuf,
}

impl Checkpoints {
    /// Of a run's folder. Removes what is unfinished.
    pub(super) fn open(folder: &Path) -> Result<Checkpoints> {
        let (stages, middle) = (folder.join("stages"), folder.join("checkpoints"));
        for folder in [&stages, &middle] {
            fs::create_dir_all(folder).map_err(Error::file(folder))?;
            files::remove_unfinished(folder)?;
        }
        Ok(Checkpoints { stages, middle })
    }

    /// The end of a stage, if it has come to it. A broken file is told to `warn`, and left where
    /// it is: it will be written anew.
    pub(super) fn finished(
        &self,
        index: usize,
        (stage, fingerprint): (&str, &str),
        warn: &mut dyn FnMut(&str),
    ) -> Option<(Mark, State)> {
        let path = self.end(index);
        if !path.exists() {
            return None;
        }
        match read(&path, stage, fingerprint) {
            Ok(found) => Some(found),
            Err(error) => {
                warn(&format!("{error}; stage \"{stage}\" is done again"));
                None
            }
        }
    }

    /// The newest state in the middle of a stage that is whole. Broken ones are told to `warn`.
    pub(super) fn newest(
        &self,
        index: usize,
        (stage, fingerprint): (&str, &str),
        warn: &mut dyn FnMut(&str),
    ) -> Result<Option<(PathBuf, Mark, State)>> {
        for path in self.of_stage(index)?.into_iter().rev() {
            match read(&path, stage, fingerprint) {
                Ok((mark, state)) => return Ok(Some((path, mark, state))),
                Err(error) => warn(&format!("{error}; an older checkpoint is used")),
            }
        }
        Ok(None)
    }

    /// Writes a state in the middle of a stage; older ones go once it is on the disk.
    pub(super) fn save(&self, index: usize, mark: &Mark, state: &State) -> Result<PathBuf> {
        let path = self.middle.join(format!("{index:02}-{:020}.safetensors", mark.step));
        files::write_whole(&path, &encode(mark, state)?)?;
        let of_stage = self.of_stage(index)?;
        let newer = of_stage.iter().position(|found| *found == path).unwrap_or(0);
        // Those after this one are broken, or it would have been taken up at one of them.
        remove(of_stage.get(newer + 1..).unwrap_or_default())?;
        remove(of_stage.get(..(newer + 1).saturating_sub(KEPT)).unwrap_or_default())?;
        Ok(path)
    }

    /// Writes the end of a stage; its checkpoints go once it is on the disk.
    pub(super) fn finish(&self, index: usize, mark: &Mark, state: &State) -> Result<PathBuf> {
        let path = self.end(index);
        files::write_whole(&path, &encode(mark, state)?)?;
        self.forget(index)?;
        Ok(path)
    }

    /// Removes the checkpoints in the middle of a stage.
    pub(super) fn forget(&self, index: usize) -> Result<()> {
        remove(&self.of_stage(index)?)
    }

    /// Removes all that is there of a stage.
    pub(super) fn discard(&self, index: usize) -> Result<()> {
        let end = self.end(index);
        if end.exists() {
            fs::remove_file(&end).map_err(Error::file(&end))?;
        }
        self.forget(index)
    }

    fn end(&self, index: usize) -> PathBuf {
        self.stages.join(format!("{index:02}.safetensors"))
    }

    /// Checkpoints of a stage, the oldest first.
    fn of_stage(&self, index: usize) -> Result<Vec<PathBuf>> {
        let start = format!("{index:02}-");
        let is_ours = |path: &PathBuf| {
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            name.starts_with(&start) && name.ends_with(".safetensors")
        };
        Ok(files::list(&self.middle)?.into_iter().filter(is_ours).collect())
    }
}

fn remove(paths: &[PathBuf]) -> Result<()> {
    paths.iter().try_for_each(|path| fs::remove_file(path).map_err(Error::file(path)))
}

fn read(path: &Path, stage: &str, fingerprint: &str) -> Result<(Mark, State)> {
    let bytes = fs::read(path).map_err(Error::file(path))?;
    let (mark, state): (Mark, State) = decode(path, &bytes)?;
    if mark.stage != stage || mark.fingerprint != fingerprint {
        return Err(Error::broken(path, "it is of another run"));
    }
    Ok((mark, state))
}
