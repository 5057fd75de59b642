//! Compiled sources on disk, by what they were made of.

use crate::status::Result;
use sha2::{Digest, Sha256};
use std::env;
use std::format;
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::string::String;
use std::vec::Vec;

const HASH_BYTES: usize = 32;

/// A name for what is made of all these parts.
pub(super) fn name_of(parts: &[&str]) -> String {
    let mut hash = Sha256::new();
    for part in parts {
        // With lengths, so that no two lists of parts read the same.
        hash.update((part.len() as u64).to_le_bytes());
        hash.update(part.as_bytes());
    }
    hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The folder of compiled sources: `zsseg/kernels` in `XDG_CACHE_HOME`, `LOCALAPPDATA` or
/// `~/.cache`. None where the environment names none.
pub(super) fn folder() -> Option<PathBuf> {
    let of = |name: &str| env::var_os(name).filter(|path| !path.is_empty()).map(PathBuf::from);
    let base = of("XDG_CACHE_HOME")
        .or_else(|| of("LOCALAPPDATA"))
        .or_else(|| of("HOME").map(|home| home.join(".cache")));
    Some(base?.join("zsseg").join("kernels"))
}

/// What `make` makes, from the file of that name if it is there and whole. A folder that cannot be
/// written to only costs time.
pub(super) fn fetch(
    folder: Option<&Path>,
    name: &str,
    make: impl FnOnce() -> Result<Vec<u8>>,
) -> Result<Vec<u8>> {
    let file = folder.map(|folder| folder.join(name));
    if let Some(bytes) = file.as_deref().and_then(read) {
        return Ok(bytes);
    }
    let bytes = make()?;
    if let Some(file) = file {
        // The next run tries again.
        let _ = write(&file, &bytes);
    }
    Ok(bytes)
}

/// The contents of a file, behind their hash. None if they are not those that were written: a
/// driver believes the lengths in machine code.
fn read(file: &Path) -> Option<Vec<u8>> {
    let bytes = fs::read(file).ok()?;
    let (hash, contents) = bytes.split_first_chunk::<HASH_BYTES>()?;
    (Sha256::digest(contents).as_slice() == hash).then(|| contents.to_vec())
}

/// Writes under another name and renames, so that nobody reads half a file.
fn write(file: &Path, bytes: &[u8]) -> std::io::Result<()> {
    let folder = file.parent().unwrap_or(Path::new("."));
    fs::create_dir_all(folder)?;
    let mut half = tempfile::NamedTempFile::new_in(folder)?;
    half.write_all(&Sha256::digest(bytes))?;
    half.write_all(bytes)?;
    half.persist(file).map(|_| ()).map_err(|error| error.error)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::status::Status;
    use std::string::ToString;
    use std::vec;

    fn never() -> Result<Vec<u8>> {
        Err(Status::InvalidState.about("a file that is there was made again"))
    }

    #[test]
    fn files_are_made_once_and_damaged_ones_anew() {
        let folder = tempfile::tempdir().unwrap();
        let inner = folder.path().join("not yet");
        let fetch = |make: fn() -> Result<Vec<u8>>| fetch(Some(&inner), "a", make).unwrap();
        assert_eq!(fetch(|| Ok(vec![1, 2, 3])), [1, 2, 3]);
        assert_eq!(fetch(never), [1, 2, 3]);
        let whole = fs::read(inner.join("a")).unwrap();
        let mut changed = whole.clone();
        changed[HASH_BYTES] ^= 1;
        for damaged in [&changed[..], &whole[..whole.len() - 1], &whole[..5], &[]] {
            fs::write(inner.join("a"), damaged).unwrap();
            assert_eq!(fetch(|| Ok(vec![4])), [4]);
        }
        assert_eq!(fs::read_dir(&inner).unwrap().count(), 1);
    }

    #[test]
    fn a_folder_is_not_needed() {
        assert_eq!(fetch(None, "a", || Ok(vec![1])).unwrap(), [1]);
        assert_eq!(fetch(Some(Path::new("/dev/null/x")), "a", || Ok(vec![1])).unwrap(), [1]);
        assert!(fetch(None, "a", never).is_err());
    }

    #[test]
    fn names_tell_parts_apart() {
        let names = [&["ab", "c"][..], &["a", "bc"], &["abc"], &["abc", ""]].map(name_of);
        for (index, name) in names.iter().enumerate() {
            assert_eq!(name.len(), 64);
            assert_eq!(names.iter().position(|other| other == name), Some(index));
        }
        assert_eq!(name_of(&["ab", "c"]), names[0].to_string());
    }
}
