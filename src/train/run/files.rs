//! Files that are there as a whole or not at all, whatever happens meanwhile.

use crate::train::error::{Error, Result};
use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};

/// How names of unfinished files start.
const UNFINISHED: &str = ".zsseg-";

/// Writes a file under another name in the same folder, and renames it when it is complete and on
/// the disk.
pub(super) fn write_whole(path: &Path, bytes: &[u8]) -> Result<()> {
    replace(path, bytes).map_err(Error::file(path))
}

fn replace(path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    let folder = folder_of(path);
    let mut builder = tempfile::Builder::new();
    builder.prefix(UNFINISHED);
    with_umask(&mut builder, 0o666);
    let mut file = builder.tempfile_in(folder)?;
    file.write_all(bytes)?;
    file.as_file().sync_all()?;
    file.persist(path).map_err(|error| error.error)?;
    sync_folder(folder)
}

/// Moves a folder that was put together under another name to its place.
///
/// # Errors
/// [`Error::File`] if there is something at that place already that is no empty folder.
pub(super) fn create_folder(path: &Path, fill: impl FnOnce(&Path) -> Result<()>) -> Result<()> {
    let parent = folder_of(path);
    fs::create_dir_all(parent).map_err(Error::file(parent))?;
    let mut builder = tempfile::Builder::new();
    builder.prefix(UNFINISHED);
    with_umask(&mut builder, 0o777);
    let folder = builder.tempdir_in(parent).map_err(Error::file(parent))?;
    fill(folder.path())?;
    fs::rename(folder.path(), path).map_err(Error::file(path))?;
    // It has another name now, and is no longer to be removed.
    let _ = folder.keep();
    sync_folder(parent).map_err(Error::file(parent))
}

/// Removes what a killed run left unfinished in a folder.
pub(super) fn remove_unfinished(folder: &Path) -> Result<()> {
    for path in list(folder)? {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        if name.starts_with(UNFINISHED) && path.is_file() {
            fs::remove_file(&path).map_err(Error::file(&path))?;
        }
    }
    Ok(())
}

/// The paths in a folder, sorted by name.
pub(super) fn list(folder: &Path) -> Result<std::vec::Vec<PathBuf>> {
    let entries = fs::read_dir(folder).map_err(Error::file(folder))?;
    let paths = entries.map(|entry| entry.map(|entry| entry.path()));
    let mut paths: std::vec::Vec<PathBuf> =
        paths.collect::<std::io::Result<_>>().map_err(Error::file(folder))?;
    paths.sort();
    Ok(paths)
}

fn folder_of(path: &Path) -> &Path {
    match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    }
}

/// New files and folders get the user's umask, as any others.
fn with_umask(builder: &mut tempfile::Builder<'_, '_>, mode: u32) {
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        builder.permissions(fs::Permissions::from_mode(mode));
    }
    #[cfg(not(unix))]
    let _ = (builder, mode);
}

/// Brings a renaming to the disk. Windows has no such call, and needs none.
fn sync_folder(folder: &Path) -> std::io::Result<()> {
    match cfg!(unix) {
        true => File::open(folder)?.sync_all(),
        false => Ok(()),
    }
}
