//! Tables of word vectors, and class embeddings from them.

use super::npy;
use crate::classes::embed;
use crate::spec::{EmbeddingSpace, Words, check_name};
use crate::status::Status;
use anyhow::{Context, Result, bail, ensure};
use half::f16;
use std::collections::{BTreeMap, BTreeSet};
use std::format;
use std::string::{String, ToString};
use std::vec::Vec;
use zerocopy::little_endian::{U16, U32};

/// Word vectors in the order of their file.
#[derive(Clone, Debug)]
pub struct WordTable {
    words: Vec<String>,
    vectors: Vec<f16>,
    dim: usize,
    skipped: usize,
}

impl WordTable {
    /// Reads lines of a word and its numbers with one blank between them, as GloVe has them.
    ///
    /// # Errors
    /// With the line: a number that is none or does not fit in an f16, another number of
    /// numbers than in the first line, a word that was there before.
    pub fn from_text(bytes: &[u8]) -> Result<WordTable> {
        let text = core::str::from_utf8(bytes).context("not UTF-8")?;
        let lines = || text.split('\n').map(|line| line.strip_suffix('\r').unwrap_or(line));
        let first = lines().next().unwrap_or_default();
        let mut table = Collector::new(first.split(' ').count().saturating_sub(1));
        for (line, number) in lines().zip(1..) {
            if line.is_empty() && number > 1 && number == lines().count() {
                continue;
            }
            let mut fields = line.split(' ');
            let word = fields.next().unwrap_or_default();
            let numbers = fields.map(|field| {
                field
                    .parse::<f32>()
                    .with_context(|| format!("line {number}: \"{field}\" is not a number"))
            });
            let vector: Vec<f32> = numbers.collect::<Result<_>>()?;
            table.add(word, &vector).with_context(|| format!("line {number}"))?;
        }
        table.finish()
    }

    /// Reads a matrix of f16 or f32 in NumPy's format, and as many words, one per line.
    ///
    /// # Errors
    /// As [`WordTable::from_text`], and if there are not as many words as rows.
    pub fn from_npy(matrix: &[u8], words: &str) -> Result<WordTable> {
        let matrix = npy::read(matrix)?;
        let lines = words.strip_suffix('\n').unwrap_or(words).split('\n');
        let words: Vec<&str> = lines.map(|line| line.strip_suffix('\r').unwrap_or(line)).collect();
        ensure!(
            words.len() == matrix.rows,
            "the table has {} rows, but there are {} words",
            matrix.rows,
            words.len()
        );
        let mut table = Collector::new(matrix.columns);
        for ((word, vector), row) in words.iter().zip(matrix.values.chunks(matrix.columns)).zip(1..)
        {
            table.add(word, vector).with_context(|| format!("row {row}"))?;
        }
        table.finish()
    }

    /// Number of words.
    pub fn len(&self) -> usize {
        self.words.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.words.is_empty()
    }

    /// Numbers of a vector.
    pub fn dim(&self) -> usize {
        self.dim
    }

    /// Words of the file that a bundle cannot hold: longer than 63 bytes, or with control
    /// characters.
    pub fn skipped(&self) -> usize {
        self.skipped
    }

    /// The first `limit` words, and those further down that occur in the names of classes.
    pub(super) fn first<'a>(
        &'a self,
        limit: Option<usize>,
        names: impl Iterator<Item = &'a str>,
    ) -> Vec<(&'a str, &'a [f16])> {
        let limit = limit.unwrap_or(usize::MAX);
        let wanted: BTreeSet<String> = names.flat_map(words_of).collect();
        let rows = self.words.iter().zip(self.vectors.chunks(self.dim)).enumerate();
        let kept = rows.filter(|(index, (word, _))| *index < limit || wanted.contains(*word));
        kept.map(|(_, (word, vector))| (word.as_str(), vector)).collect()
    }
}

/// What [`embed`] looks up for a name: the whole and its words, in small letters.
fn words_of(name: &str) -> Vec<String> {
    let small = name.to_ascii_lowercase();
    let mut words: Vec<String> = small.split([' ', '-', '_']).map(str::to_string).collect();
    words.push(small);
    words
}

/// A table that grows word by word.
struct Collector {
    table: WordTable,
    seen: BTreeSet<String>,
}

impl Collector {
    fn new(dim: usize) -> Collector {
        let table = WordTable { words: Vec::new(), vectors: Vec::new(), dim, skipped: 0 };
        Collector { table, seen: BTreeSet::new() }
    }

    fn add(&mut self, word: &str, vector: &[f32]) -> Result<()> {
        let dim = self.table.dim;
        ensure!(!vector.is_empty(), "no numbers follow the word");
        ensure!(vector.len() == dim, "{} numbers, but the first has {dim}", vector.len());
        ensure!(!word.is_empty(), "the word is empty");
        if check_name(word).is_err() {
            self.table.skipped += 1;
            return Ok(());
        }
        ensure!(self.seen.insert(word.to_string()), "\"{word}\" was there before");
        for value in vector {
            let half = f16::from_f32(*value);
            ensure!(half.is_finite(), "{value} of \"{word}\" does not fit in an f16");
            self.table.vectors.push(half);
        }
        self.table.words.push(word.to_string());
        Ok(())
    }

    fn finish(self) -> Result<WordTable> {
        ensure!(!self.table.is_empty(), "there are no words");
        Ok(self.table)
    }
}

/// Embeddings of the names, one after another: the vector of each, or the mean of those of its
/// words (methods.md 1.8), of unit length if the space asks for it.
///
/// # Errors
/// Naming the class and its word that is not in the table, or whose embedding is zero.
pub(super) fn embeddings(
    words: &[(&str, &[f16])],
    names: &[&str],
    space: EmbeddingSpace,
) -> Result<Vec<f32>> {
    let sorted: BTreeMap<&str, &[f16]> = words.iter().copied().collect();
    let text: String = sorted.keys().copied().collect();
    let mut end = 0;
    let ends: Vec<U32> = sorted
        .keys()
        .map(|word| {
            end += word.len() as u32;
            U32::new(end)
        })
        .collect();
    let bits = sorted.values().copied().flatten();
    let vectors: Vec<U16> = bits.map(|half| U16::new(half.to_bits())).collect();
    let dim = space.dim as usize;
    let words = Words { ends: &ends, text: text.as_bytes(), vectors: &vectors, dim };
    let mut rows = Vec::new();
    for name in names {
        let mut row = std::vec![0.0f32; dim];
        if let Err(error) = embed(&words, name, &mut row) {
            bail!("class \"{name}\": {}", missing(&words, name, &error));
        }
        let squares: f64 = row.iter().map(|&value| f64::from(value).powi(2)).sum();
        ensure!(squares > 0.0, "class \"{name}\": its words' mean is zero");
        if space.unit {
            row.iter_mut().for_each(|value| *value = (f64::from(*value) / squares.sqrt()) as f32);
        }
        rows.extend(row);
    }
    Ok(rows)
}

fn missing(words: &Words<'_>, name: &str, error: &crate::status::Error) -> String {
    if error.status() != Status::UnknownWord {
        return error.to_string();
    }
    let small = name.to_ascii_lowercase();
    let parts = small.split([' ', '-', '_']).filter(|part| !part.is_empty());
    let unknown: Vec<&str> = parts.filter(|part| words.find(part).is_none()).collect();
    format!("not in the word table: {}", unknown.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "cat 1 0\ndining 2 2\ntable 0 4.5\nzebra -1 1e-3\n";

    fn error(text: &str) -> String {
        format!("{:#}", WordTable::from_text(text.as_bytes()).unwrap_err())
    }

    #[test]
    fn text_tables_are_read() {
        let table = WordTable::from_text(TEXT.as_bytes()).unwrap();
        assert_eq!((table.len(), table.dim(), table.skipped()), (4, 2, 0));
        let kept = table.first(Some(1), ["dining table", "Zebra"].into_iter());
        let names: Vec<&str> = kept.iter().map(|(word, _)| *word).collect();
        assert_eq!(names, ["cat", "dining", "table", "zebra"]);
        assert_eq!(table.first(Some(2), [].into_iter()).len(), 2);
        assert_eq!(table.first(None, [].into_iter()).len(), 4);
        let long = format!("{} 1 1\na 1 2\r\n", "w".repeat(64));
        let table = WordTable::from_text(long.as_bytes()).unwrap();
        assert_eq!((table.len(), table.skipped()), (1, 1));
    }

    #[test]
    fn bad_text_tables_are_explained() {
        assert!(error("").contains("line 1"));
        assert!(error("cat").contains("no numbers"));
        assert!(error("cat 1\ndog x").contains("line 2: \"x\""));
        assert!(error("cat 1\ndog 1 2").contains("line 2: 2 numbers"));
        assert!(error("cat 1\n\ndog 1").contains("line 2"));
        assert!(error("cat 1\ncat 2").contains("\"cat\" was there before"));
        assert!(error("cat nan").contains("NaN"));
        assert!(error("cat 1e6").contains("1000000"));
        assert!(error(" 1").contains("empty"));
        assert!(error("\u{7} 1").contains("no words"));
        assert!(WordTable::from_text(b"caf\xE9 1").is_err());
    }

    #[test]
    fn npy_tables_need_a_word_per_row() {
        let header = "{'descr': '<f2', 'fortran_order': False, 'shape': (2, 1), }";
        let mut file = b"\x93NUMPY\x01\x00".to_vec();
        file.extend((header.len() as u16).to_le_bytes());
        file.extend(header.as_bytes());
        file.extend([0, 0x3C, 0, 0x40]);
        let table = WordTable::from_npy(&file, "cat\r\ndining table\n").unwrap();
        assert_eq!(
            (table.words, table.dim),
            (["cat", "dining table"].map(String::from).to_vec(), 1)
        );
        assert_eq!(table.vectors, [f16::ONE, f16::from_f32(2.0)]);
        let error = |words| format!("{:#}", WordTable::from_npy(&file, words).unwrap_err());
        assert!(error("cat").contains("2 rows, but there are 1 words"));
        assert!(error("cat\ncat").contains("row 2"));
        assert!(error("cat\n\n").contains("row 2: the word is empty"));
    }

    #[test]
    fn names_become_embeddings() {
        let table = WordTable::from_text(TEXT.as_bytes()).unwrap();
        let words = table.first(None, [].into_iter());
        let embedded =
            |names: &[&str], unit| embeddings(&words, names, EmbeddingSpace { dim: 2, unit });
        assert_eq!(embedded(&["dining table", "Cat"], false).unwrap(), [1.0, 3.25, 1.0, 0.0]);
        let unit = embedded(&["dining"], true).unwrap();
        assert_eq!(unit, [core::f32::consts::FRAC_1_SQRT_2; 2]);
        let error = |name| format!("{:#}", embedded(&[name], false).unwrap_err());
        assert_eq!(
            error("traffic light"),
            "class \"traffic light\": not in the word table: traffic, light"
        );
        assert!(error("--").contains("without words"));
    }
}
