//! The pictures of the command: files of a folder.

use crate::arena::{AlignedBytes, Arena};
use crate::cli::model::read_capped;
use crate::cli::picture;
use crate::convert::{Samples, read_array};
use crate::image::{Image, PixelFormat, Preprocessor, Target};
use crate::limits::{Limits, MAX_BUNDLE_BYTES};
use crate::spec::{Input, InputType, Preprocess};
use anyhow::{Context, Result, bail, ensure};
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::string::{String, ToString};
use std::vec::Vec;

/// Endings of the files that are taken.
const PICTURES: [&str; 10] =
    ["png", "jpg", "jpeg", "bmp", "webp", "tif", "tiff", "ppm", "pgm", "pnm"];

/// Files that are read when they are needed.
pub struct Pictures {
    files: Vec<(PathBuf, String)>,
    how: Option<(Input, Preprocess)>,
}

impl Pictures {
    /// Finds the files of a folder, those to calibrate with and those to check with: each evenly
    /// spread over what there is, in the order of their names. Where too few are there for both,
    /// the latter are among the former.
    ///
    /// # Errors
    /// A folder that cannot be read or has no such file; pictures without preprocessing.
    pub fn open(
        folder: &Path,
        how: Option<(Input, Preprocess)>,
        most: NonZeroUsize,
        most_check: NonZeroUsize,
    ) -> Result<(Pictures, Pictures)> {
        let files = files_of(folder).with_context(|| folder.display().to_string())?;
        ensure!(!files.is_empty(), "{}: there are no pictures and no .npy files", folder.display());
        if let (Some((path, _)), None) = (files.iter().find(|(path, _)| !is_array(path)), how) {
            bail!("{}: pictures need a pack file (--config)", path.display());
        }
        let chosen = spread(files.len(), most.get());
        let rest: Vec<usize> = (0..files.len()).filter(|at| !chosen.contains(at)).collect();
        let pool = if rest.is_empty() { &chosen } else { &rest };
        let check = spread(pool.len(), most_check.get()).into_iter().map(|at| pool[at]);
        let of = |places: &mut dyn Iterator<Item = usize>| Pictures {
            files: places.map(|at| files[at].clone()).collect(),
            how,
        };
        Ok((of(&mut chosen.iter().copied()), of(&mut check.into_iter())))
    }
}

/// At most `most` of `count` places, evenly spread.
fn spread(count: usize, most: usize) -> Vec<usize> {
    let taken = count.min(most);
    (0..taken).map(|at| at * count / taken).collect()
}

fn extension(path: &Path) -> String {
    path.extension().map_or(String::new(), |one| one.to_string_lossy().to_lowercase())
}

fn is_array(path: &Path) -> bool {
    extension(path) == "npy"
}

fn files_of(folder: &Path) -> Result<Vec<(PathBuf, String)>> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        let known = is_array(&path) || PICTURES.contains(&&*extension(&path));
        if known && path.is_file() {
            let name = path.display().to_string();
            files.push((path, name));
        }
    }
    files.sort();
    Ok(files)
}

impl Samples for Pictures {
    fn len(&self) -> usize {
        self.files.len()
    }

    fn name(&self, index: usize) -> &str {
        self.files.get(index).map_or("", |(_, name)| name)
    }

    fn read(&self, index: usize, values: &mut [f32]) -> Result<()> {
        let (path, name) = self.files.get(index).context("no such picture")?;
        match (is_array(path), &self.how) {
            (true, _) => read_values(path, values).with_context(|| name.clone()),
            (false, Some((input, how))) => read_picture(path, input, how, values),
            (false, None) => bail!("{name}: pictures need a pack file (--config)"),
        }
    }
}

fn read_values(path: &Path, values: &mut [f32]) -> Result<()> {
    let array = read_array(&read_capped(path, MAX_BUNDLE_BYTES)?)?;
    ensure!(
        array.values.len() == values.len(),
        "the array has sides {:?}: {} numbers, but the network reads {} (one picture a file)",
        array.sides,
        array.values.len(),
        values.len()
    );
    ensure!(array.values.iter().all(|value| value.is_finite()), "the array has NaN or infinity");
    values.copy_from_slice(&array.values);
    Ok(())
}

fn read_picture(path: &Path, input: &Input, how: &Preprocess, values: &mut [f32]) -> Result<()> {
    let decoded = picture::read(path)?;
    let (width, height) = (decoded.width(), decoded.height());
    let limits = Limits::for_frames(width, height);
    let input = Input { element: InputType::F32, ..*input };
    let mut counting = Arena::counting();
    Preprocessor::carve(&mut counting, &input, how, &limits)?;
    let mut memory = AlignedBytes::zeros(counting.used_bytes());
    let mut arena = Arena::over(memory.as_mut_slice())?;
    let mut preprocessor = Preprocessor::carve(&mut arena, &input, how, &limits)?;
    let frame = Image::packed(PixelFormat::Rgb8, decoded.rgb(), width, height)?;
    let found = preprocessor.run(&frame, Target::F32(values));
    found.map(|_| ()).with_context(|| path.display().to_string())
}
