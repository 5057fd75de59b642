//! Tables of embeddings, and the embeddings of classes from them (methods.md 1.8).

use super::classes::ClassList;
use super::embedding_files::Rows;
use super::error::{DataError, Result};
use super::lists::lines_of;
use crate::convert::read_matrix;
use std::collections::{BTreeMap, BTreeSet};
use std::format;
use std::path::Path;
use std::string::{String, ToString};
use std::vec;
use std::vec::Vec;

/// By how much the length of a vector may differ from 1 to count as a unit vector: rounding to
/// f16 moves it by less than 0.0006.
const UNIT_TOLERANCE: f64 = 1e-3;

/// Vectors with names, in an order.
#[derive(Clone, Debug, PartialEq)]
pub struct EmbeddingTable {
    names: Vec<String>,
    places: BTreeMap<String, usize>,
    dim: usize,
    values: Vec<f32>,
}

/// Another name under which a class is looked up: (class, name in the table).
pub type Alias<'a> = (&'a str, &'a str);

/// Names of VOC that are two words or uncommon, as word tables have them.
pub const VOC_ALIASES: [Alias<'static>; 3] =
    [("diningtable", "dining table"), ("pottedplant", "potted plant"), ("tvmonitor", "tv monitor")];

impl EmbeddingTable {
    /// A table of `names.len()` rows of `dim` numbers.
    ///
    /// # Errors
    /// [`DataError::Table`] for another number of numbers, no rows, a name that is empty or occurs
    /// twice, and a number that is not finite.
    pub fn new(names: Vec<String>, dim: usize, values: Vec<f32>) -> Result<EmbeddingTable> {
        if names.is_empty() || dim == 0 {
            let reason = format!("the table has {} rows of {dim} numbers", names.len());
            return Err(DataError::table(reason));
        }
        if names.len().checked_mul(dim) != Some(values.len()) {
            let reason =
                format!("{} names, but {} numbers in rows of {dim}", names.len(), values.len());
            return Err(DataError::table(reason));
        }
        let mut places = BTreeMap::new();
        for (place, (name, row)) in names.iter().zip(values.chunks(dim)).enumerate() {
            if name.is_empty() {
                return Err(DataError::table(format!("row {} has no name", place + 1)));
            }
            if let Some(before) = places.insert(name.clone(), place) {
                let (before, place) = (before + 1, place + 1);
                let reason = format!("rows {before} and {place} are both \"{name}\"");
                return Err(DataError::table(reason));
            }
            if let Some(value) = row.iter().find(|value| !value.is_finite()) {
                return Err(DataError::table(format!("a number of \"{name}\" is {value}")));
            }
        }
        Ok(EmbeddingTable { names, places, dim, values })
    }

    /// Reads a NumPy matrix (f16, f32 or f64) and a text file with the name of each row in a line.
    ///
    /// # Errors
    /// Naming the file; as [`EmbeddingTable::new`].
    pub fn read_npy(matrix: &Path, names: &Path) -> Result<EmbeddingTable> {
        let bytes = std::fs::read(matrix).map_err(DataError::file(matrix))?;
        let text = std::fs::read_to_string(names).map_err(DataError::file(names))?;
        let about = |reason: String| DataError::table(format!("{}: {reason}", matrix.display()));
        let matrix = read_matrix(&bytes).map_err(|error| about(format!("{error:#}")))?;
        let text = text.strip_suffix('\n').unwrap_or(&text);
        let names: Vec<String> = lines_of(text).map(str::to_string).collect();
        if names.len() != matrix.rows {
            let reason = format!("{} rows, but {} names", matrix.rows, names.len());
            return Err(about(reason));
        }
        EmbeddingTable::new(names, matrix.columns, matrix.values)
            .map_err(|error| about(error.to_string()))
    }

    pub(super) fn from_rows(rows: Rows) -> Result<EmbeddingTable> {
        EmbeddingTable::new(rows.names, rows.dim, rows.values)
    }

    /// Number of rows, 1 or more.
    pub fn len(&self) -> usize {
        self.names.len()
    }

    /// Whether there are none: never.
    pub fn is_empty(&self) -> bool {
        self.names.is_empty()
    }

    /// Numbers of a row.
    pub fn dim(&self) -> usize {
        self.dim
    }

    /// The names in order.
    pub fn names(&self) -> &[String] {
        &self.names
    }

    /// All numbers, row by row.
    pub fn values(&self) -> &[f32] {
        &self.values
    }

    /// The vector of exactly this name.
    pub fn get(&self, name: &str) -> Option<&[f32]> {
        let start = self.places.get(name)?.checked_mul(self.dim)?;
        self.values.get(start..start.checked_add(self.dim)?)
    }

    /// Length of every row.
    pub fn norms(&self) -> impl Iterator<Item = f64> + '_ {
        self.values.chunks(self.dim).map(norm)
    }

    /// Whether every row has length 1, to within 0.001. It is measured, never taken from a file's
    /// name: ZS3's "norm_embed" has lengths from 0.68.
    pub fn is_normalized(&self) -> bool {
        self.norms().all(|norm| (norm - 1.0).abs() <= UNIT_TOLERANCE)
    }

    /// The table with every row divided by its length.
    ///
    /// # Errors
    /// [`DataError::Table`] naming a row that is zero.
    pub fn normalized(&self) -> Result<EmbeddingTable> {
        let mut table = self.clone();
        for (row, name) in table.values.chunks_mut(self.dim).zip(&self.names) {
            let norm = norm(row);
            if norm == 0.0 {
                return Err(DataError::table(format!("the vector of \"{name}\" is zero")));
            }
            row.iter_mut().for_each(|value| *value = (f64::from(*value) / norm) as f32);
        }
        Ok(table)
    }

    /// This table's rows, each followed by the row of the same name of `other`. SPNet's 600
    /// numbers are those of fastText beside those of word2vec, then [`EmbeddingTable::normalized`].
    ///
    /// # Errors
    /// [`DataError::NoEmbedding`] with all names that `other` lacks.
    pub fn beside(&self, other: &EmbeddingTable) -> Result<EmbeddingTable> {
        let missing = self.names.iter().filter(|name| other.get(name).is_none());
        let missing: Vec<String> = missing.cloned().collect();
        if !missing.is_empty() {
            return Err(DataError::NoEmbedding { names: missing });
        }
        let mut values = Vec::with_capacity(self.len() * (self.dim + other.dim));
        for (name, row) in self.names.iter().zip(self.values.chunks(self.dim)) {
            values.extend_from_slice(row);
            values.extend_from_slice(other.get(name).unwrap_or_default());
        }
        EmbeddingTable::new(self.names.clone(), self.dim + other.dim, values)
    }

    /// The embeddings of classes, in their order and under their names: the vector of the name,
    /// or the mean of the vectors of its words, which blanks, hyphens and underscores divide
    /// (methods.md 1.8). Each is looked up as it is written, then in small letters; a name of
    /// several words also with underscores, as word2vec has phrases. Nothing is normalised.
    ///
    /// # Errors
    /// [`DataError::NoEmbedding`] with all classes of which a word is missing.
    pub fn of_classes(&self, classes: &ClassList, aliases: &[Alias<'_>]) -> Result<EmbeddingTable> {
        let mut values = Vec::with_capacity(classes.len() * self.dim);
        let mut missing = Vec::new();
        for name in classes.names() {
            match self.of_phrase(looked_up(name, aliases)) {
                Some(vector) => values.extend(vector),
                None => missing.push(name.clone()),
            }
        }
        if !missing.is_empty() {
            return Err(DataError::NoEmbedding { names: missing });
        }
        EmbeddingTable::new(classes.names().to_vec(), self.dim, values)
    }

    fn of_phrase(&self, phrase: &str) -> Option<Vec<f32>> {
        if let Some(vector) = spellings(phrase).iter().find_map(|name| self.get(name)) {
            return Some(vector.to_vec());
        }
        let mut sums = vec![0.0f64; self.dim];
        let mut count = 0u32;
        for part in parts(phrase) {
            let vector = spellings(part).iter().find_map(|name| self.get(name))?;
            sums.iter_mut().zip(vector).for_each(|(sum, &value)| *sum += f64::from(value));
            count += 1;
        }
        let mean = |sum: f64| (sum / f64::from(count)) as f32;
        (count > 0).then(|| sums.into_iter().map(mean).collect())
    }
}

/// All words that [`EmbeddingTable::of_classes`] may look up: what to keep of a large file.
pub fn wanted_words(classes: &ClassList, aliases: &[Alias<'_>]) -> BTreeSet<String> {
    let mut wanted = BTreeSet::new();
    for name in classes.names() {
        let phrase = looked_up(name, aliases);
        wanted.extend(spellings(phrase));
        wanted.extend(parts(phrase).flat_map(spellings));
    }
    wanted
}

fn looked_up<'a>(name: &'a str, aliases: &[Alias<'a>]) -> &'a str {
    aliases.iter().find(|(class, _)| *class == name).map_or(name, |(_, other)| other)
}

fn parts(phrase: &str) -> impl Iterator<Item = &str> {
    phrase.split([' ', '-', '_']).filter(|part| !part.is_empty())
}

/// How a word or phrase may stand in a table, the likeliest first.
fn spellings(phrase: &str) -> [String; 4] {
    let joined = phrase.replace(' ', "_");
    let small = [phrase.to_lowercase(), joined.to_lowercase()];
    let [small, small_joined] = small;
    [phrase.to_string(), small, joined, small_joined]
}

fn norm(row: &[f32]) -> f64 {
    row.iter().map(|&value| f64::from(value).powi(2)).sum::<f64>().sqrt()
}
