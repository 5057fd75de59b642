//! Lists of pictures, and folders in place of lists.

use super::error::{DataError, Result};
use std::collections::BTreeMap;
use std::format;
use std::path::{Component, Path, PathBuf};
use std::string::{String, ToString};
use std::vec::Vec;

/// Lines without their ends, which may be those of Windows.
pub(super) fn lines_of(text: &str) -> impl Iterator<Item = &str> {
    text.split('\n').map(|line| line.strip_suffix('\r').unwrap_or(line))
}

/// How the lines of a list name a picture.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Naming {
    /// The name is the file name without folder and ending in the first column: lists of VOC and
    /// CamVid have bare names, or the paths of picture and mask.
    Stem,
    /// The name is the whole line: a path below the folder of pictures, with or without ending.
    Line,
}

/// Names in a list, in its order. Empty lines and blanks around a name mean nothing.
///
/// # Errors
/// [`DataError::List`] with the line: a name that occurs twice, or leads out of the folder;
/// and for a list without names.
pub(super) fn read_list(path: &Path, naming: Naming) -> Result<Vec<String>> {
    let text = std::fs::read_to_string(path).map_err(DataError::file(path))?;
    let text = text.strip_prefix('\u{FEFF}').unwrap_or(&text);
    let mut names = Vec::new();
    let mut lines = BTreeMap::new();
    for (line, number) in lines_of(text).map(str::trim).zip(1..) {
        if line.is_empty() {
            continue;
        }
        let name = match naming {
            Naming::Stem => {
                let first = line.split_ascii_whitespace().next().unwrap_or(line);
                without_extension(first.rsplit(['/', '\\']).next().unwrap_or(first))
            }
            Naming::Line => without_extension(line),
        };
        let inside = Path::new(name).components().all(|part| matches!(part, Component::Normal(_)));
        if name.is_empty() || !inside {
            let reason = format!("\"{line}\" is not a name below the folder of pictures");
            return Err(DataError::list(path, Some(number), reason));
        }
        if let Some(before) = lines.insert(name.to_string(), number) {
            let reason = format!("\"{name}\" was in line {before} before");
            return Err(DataError::list(path, Some(number), reason));
        }
        names.push(name.to_string());
    }
    if names.is_empty() {
        return Err(DataError::list(path, None, "the list has no names"));
    }
    Ok(names)
}

/// A file name without the ending of a picture; other dots belong to the name.
fn without_extension(name: &str) -> &str {
    match name.rsplit_once('.') {
        Some((stem, ending)) if super::picture::EXTENSIONS.contains(&ending) => stem,
        _ => name,
    }
}

/// Names of the files in `folder` that end with `ending`, without it, sorted.
///
/// # Errors
/// [`DataError::File`] if the folder cannot be read; [`DataError::List`] if it has no such file.
pub(super) fn names_in(folder: &Path, ending: &str) -> Result<Vec<String>> {
    let mut names = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(DataError::file(folder))? {
        let entry = entry.map_err(DataError::file(folder))?;
        let file = entry.file_name();
        if let Some(name) = file.to_str().and_then(|name| name.strip_suffix(ending)) {
            names.push(name.to_string());
        }
    }
    if names.is_empty() {
        return Err(DataError::list(folder, None, format!("it has no files *{ending}")));
    }
    names.sort();
    Ok(names)
}

/// The first of `candidates` below `root` that is there.
///
/// # Errors
/// [`DataError::List`] naming all of them.
pub(super) fn first_folder(root: &Path, candidates: &[String]) -> Result<PathBuf> {
    let found = candidates.iter().map(|name| root.join(name)).find(|path| path.exists());
    found.ok_or_else(|| {
        DataError::list(root, None, format!("there is none of {}", candidates.join(", ")))
    })
}
