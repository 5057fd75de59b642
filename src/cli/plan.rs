//! Which picture goes into which files: settled, and checked, before any work is done.

use super::failure::Usage;
use anyhow::{Context, Result, bail};
use std::collections::BTreeMap;
use std::format;
use std::fs;
use std::path::{Path, PathBuf};
use std::string::String;
use std::vec::Vec;

/// The outputs of a picture, or what the command line says about them.
#[derive(Clone, Debug, Default)]
pub struct Outputs {
    /// Mask.
    pub mask: Option<PathBuf>,
    /// Mask over the picture.
    pub overlay: Option<PathBuf>,
    /// Confidence.
    pub confidence: Option<PathBuf>,
    /// Margin.
    pub margin: Option<PathBuf>,
    /// Unknown score.
    pub unknown: Option<PathBuf>,
}

impl Outputs {
    /// The same transformation for every kind of output.
    fn try_map(&self, map: impl Fn(&PathBuf) -> Result<PathBuf>) -> Result<Outputs> {
        let each = |path: &Option<PathBuf>| path.as_ref().map(&map).transpose();
        Ok(Outputs {
            mask: each(&self.mask)?,
            overlay: each(&self.overlay)?,
            confidence: each(&self.confidence)?,
            margin: each(&self.margin)?,
            unknown: each(&self.unknown)?,
        })
    }

    /// Every output there is, with its kind.
    pub fn iter(&self) -> impl Iterator<Item = (&'static str, &PathBuf)> {
        let kinds = [
            ("mask", &self.mask),
            ("overlay", &self.overlay),
            ("confidence", &self.confidence),
            ("margin", &self.margin),
            ("unknown", &self.unknown),
        ];
        kinds.into_iter().filter_map(|(kind, path)| Some((kind, path.as_ref()?)))
    }
}

/// A picture and where its outputs go.
#[derive(Clone, Debug)]
pub struct Job {
    /// The picture.
    pub image: PathBuf,
    /// Files, never folders.
    pub outputs: Outputs,
}

/// One job per picture. Where there are several pictures, each of `wanted` is a folder, and so is
/// one that exists as a folder or ends with a slash; folders are created.
///
/// # Errors
/// [`Usage`] if an output would overwrite another or a picture.
pub fn jobs(images: &[PathBuf], wanted: &Outputs) -> Result<Vec<Job>> {
    let several = images.len() > 1;
    let mut jobs = Vec::new();
    for image in images {
        let outputs = wanted.try_map(|path| destination(image, path, several))?;
        jobs.push(Job { image: image.clone(), outputs });
    }
    check_collisions(&jobs)?;
    for (_, path) in wanted.iter().filter(|(_, path)| is_folder(path, several)) {
        fs::create_dir_all(path)
            .with_context(|| format!("folder {} cannot be created", path.display()))?;
    }
    Ok(jobs)
}

fn is_folder(path: &Path, several: bool) -> bool {
    let slash = path.as_os_str().to_string_lossy().ends_with(std::path::is_separator);
    several || slash || path.is_dir()
}

fn destination(image: &Path, path: &Path, several: bool) -> Result<PathBuf> {
    if !is_folder(path, several) {
        return Ok(path.into());
    }
    if path.is_file() {
        let text = format!("{} is a file; for several images a folder is needed", path.display());
        bail!(Usage(text));
    }
    let Some(stem) = image.file_stem() else {
        bail!(Usage(format!("{} has no file name", image.display())));
    };
    let mut name = stem.to_os_string();
    name.push(".png");
    Ok(path.join(name))
}

fn check_collisions(jobs: &[Job]) -> Result<()> {
    let mut taken: BTreeMap<PathBuf, String> = BTreeMap::new();
    for job in jobs {
        taken.insert(resolve(&job.image), format!("the picture {}", job.image.display()));
    }
    for job in jobs {
        for (kind, path) in job.outputs.iter() {
            let user = format!("the {kind} of {}", job.image.display());
            if let Some(other) = taken.insert(resolve(path), user.clone()) {
                let path = path.display();
                bail!(Usage(format!("{path} would be both {other} and {user}: nothing was done")));
            }
        }
    }
    Ok(())
}

/// One spelling for every path to a file, whether or not it exists.
fn resolve(path: &Path) -> PathBuf {
    if let Ok(found) = fs::canonicalize(path) {
        return found;
    }
    let absolute = std::path::absolute(path).unwrap_or(path.into());
    let parts = absolute.parent().zip(absolute.file_name());
    match parts.and_then(|(folder, name)| Some(fs::canonicalize(folder).ok()?.join(name))) {
        Some(found) => found,
        None => absolute,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn paths(names: &[&str]) -> Vec<PathBuf> {
        names.iter().map(PathBuf::from).collect()
    }

    #[test]
    fn one_picture_names_files_and_several_name_folders() {
        let folder = tempfile::tempdir().unwrap();
        let target = folder.path().join("masks");
        let wanted = Outputs { mask: Some(target.clone()), ..Outputs::default() };
        let one = jobs(&paths(&["a.jpg"]), &wanted).unwrap();
        assert_eq!(one[0].outputs.mask, Some(target.clone()));
        assert!(!target.exists());
        let two = jobs(&paths(&["x/a.jpg", "b.c.png"]), &wanted).unwrap();
        assert_eq!(two[0].outputs.mask, Some(target.join("a.png")));
        assert_eq!(two[1].outputs.mask, Some(target.join("b.c.png")));
        assert!(target.is_dir());
        let into = jobs(&paths(&["a.jpg"]), &wanted).unwrap();
        assert_eq!(into[0].outputs.mask, Some(target.join("a.png")));
    }

    #[test]
    fn collisions_are_found_before_anything_is_created() {
        let folder = tempfile::tempdir().unwrap();
        let target = folder.path().join("masks");
        let mask = Outputs { mask: Some(target.clone()), ..Outputs::default() };
        let error = jobs(&paths(&["x/a.jpg", "y/a.png"]), &mask).unwrap_err();
        assert!(error.is::<Usage>(), "{error}");
        assert!(!target.exists());
        let both = Outputs { overlay: Some(target.clone()), ..mask };
        assert!(jobs(&paths(&["a.jpg"]), &both).is_err());
        let own = Outputs { mask: Some("./q/../a.png".into()), ..Outputs::default() };
        assert!(jobs(&paths(&["a.png"]), &own).is_ok(), "q does not exist, so these differ");
        let own = Outputs { mask: Some("./a.png".into()), ..Outputs::default() };
        assert!(jobs(&paths(&["a.png"]), &own).is_err());
    }
}
