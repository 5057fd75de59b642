//! The model of a command: its file, and memory to run it in.

use crate::arena::AlignedBytes;
use crate::bundle::Bundle;
use crate::limits::{Limits, MAX_BUNDLE_BYTES};
use crate::segmenter::Segmenter;
use crate::trace::Clock;
use anyhow::{Context, Result, bail, ensure};
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::string::ToString;
use std::sync::OnceLock;
use std::time::Instant;
use std::vec::Vec;
use std::{env, format, vec};

/// File name of the model that is used when none is named.
const DEFAULT_NAME: &str = "voc11-lite0-zs.zsb";
/// Environment variable that names the model.
const VARIABLE: &str = "ZSSEG_BUNDLE";

/// A bundle in memory.
pub struct ModelFile {
    /// Where it was read from.
    pub path: PathBuf,
    memory: AlignedBytes,
}

impl ModelFile {
    /// Reads the named bundle, or else the one that `ZSSEG_BUNDLE` names, or else the model that
    /// ships with the project.
    pub fn read(named: Option<&Path>) -> Result<ModelFile> {
        let path = match named {
            Some(path) => path.to_path_buf(),
            None => find_default()?,
        };
        let memory = AlignedBytes::read(&path, MAX_BUNDLE_BYTES)
            .with_context(|| format!("{} cannot be read", path.display()))?;
        Ok(ModelFile { path, memory })
    }

    /// The whole file, at a multiple of 64.
    pub fn bytes(&self) -> &[u8] {
        self.memory.as_slice()
    }

    /// The checked bundle; checksums are compared when a [`Segmenter`] is made of it.
    pub fn bundle(&self) -> Result<Bundle<'_>> {
        Bundle::parse(self.bytes()).with_context(|| self.path.display().to_string())
    }
}

fn find_default() -> Result<PathBuf> {
    if let Some(path) = env::var_os(VARIABLE).filter(|path| !path.is_empty()) {
        return Ok(path.into());
    }
    let mut places = vec![PathBuf::from("models")];
    let executable = env::current_exe().unwrap_or_default();
    if let Some(folder) = executable.parent() {
        places.extend([folder.into(), folder.join("models"), folder.join("../share/zsseg")]);
    }
    let candidates = places.iter().map(|place| place.join(DEFAULT_NAME));
    if let Some(found) = candidates.clone().find(|path| path.is_file()) {
        return Ok(found);
    }
    let tried: Vec<_> = candidates.map(|path| format!("\n    {}", path.display())).collect();
    bail!(
        "no model is named: give --bundle FILE or set {VARIABLE}. The default is in none of{}",
        tried.concat()
    );
}

/// Reads a file of at most `max_bytes`.
pub fn read_capped(path: &Path, max_bytes: u64) -> Result<Vec<u8>> {
    let read = || -> Result<Vec<u8>> {
        let mut bytes = Vec::new();
        File::open(path)?.take(max_bytes + 1).read_to_end(&mut bytes)?;
        ensure!(bytes.len() as u64 <= max_bytes, "the file has more than {max_bytes} bytes");
        Ok(bytes)
    };
    read().with_context(|| format!("{} cannot be read", path.display()))
}

/// Memory as large as this model needs it for these limits.
pub fn arena_for(bundle: &Bundle<'_>, limits: &Limits) -> Result<AlignedBytes> {
    Ok(AlignedBytes::zeros(Segmenter::arena_bytes(bundle, limits)?))
}

/// Nanoseconds since the first reading.
pub fn clock() -> Clock {
    fn now_ns() -> u64 {
        static START: OnceLock<Instant> = OnceLock::new();
        START.get_or_init(Instant::now).elapsed().as_nanos() as u64
    }
    Clock::new(now_ns)
}
