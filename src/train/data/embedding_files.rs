//! Files of word vectors: the text form of GloVe, fastText and word2vec, and word2vec's binary
//! form. They are read as a stream, since some have millions of words, and only the words that
//! are wanted are kept.

use super::embedding::EmbeddingTable;
use super::error::{DataError, Result};
use std::format;
use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::path::Path;
use std::string::{String, ToString};
use std::vec;
use std::vec::Vec;

/// Longest word or line header of a binary file, in bytes.
const MAX_WORD_BYTES: usize = 4096;
/// Longest line of a text file, in bytes.
const MAX_LINE_BYTES: u64 = 1 << 22;
/// Most numbers of a vector.
const MAX_DIM: usize = 1 << 16;

/// The rows of a table, as they come.
pub(super) struct Rows {
    pub(super) names: Vec<String>,
    pub(super) dim: usize,
    pub(super) values: Vec<f32>,
}

impl EmbeddingTable {
    /// Reads lines of a word and its numbers. A first line of two whole numbers, as fastText and
    /// word2vec have it, tells the number of words and of numbers; without it, the first line
    /// tells the number of numbers. Only words for which `keep` says so are kept; words that are
    /// not UTF-8 never are.
    ///
    /// # Errors
    /// Naming the file and the line: something that is no finite number, too few numbers, fewer
    /// words than the first line tells, a kept word that occurs twice, and if no word is kept.
    pub fn read_text(path: &Path, keep: impl Fn(&str) -> bool) -> Result<EmbeddingTable> {
        let file = File::open(path).map_err(DataError::file(path))?;
        let rows = text_rows(BufReader::new(file), keep).map_err(about(path))?;
        finish(path, rows)
    }

    /// Reads word2vec's binary form: a line with the number of words and of numbers, then each
    /// word, a blank, and its numbers as little-endian f32, with or without a line end.
    ///
    /// # Errors
    /// Naming the file and the word: a file that is cut off or goes on, a number that is not
    /// finite, a kept word that occurs twice, and if no word is kept.
    pub fn read_binary(path: &Path, keep: impl Fn(&str) -> bool) -> Result<EmbeddingTable> {
        let file = File::open(path).map_err(DataError::file(path))?;
        let rows = binary_rows(BufReader::new(file), keep).map_err(about(path))?;
        finish(path, rows)
    }
}

fn about(path: &Path) -> impl Fn(String) -> DataError + '_ {
    |reason| DataError::table(format!("{}: {reason}", path.display()))
}

fn finish(path: &Path, rows: Rows) -> Result<EmbeddingTable> {
    if rows.names.is_empty() {
        return Err(about(path)("it has none of the words".to_string()));
    }
    EmbeddingTable::from_rows(rows).map_err(|error| about(path)(error.to_string()))
}

type Outcome<T> = core::result::Result<T, String>;

fn text_rows(mut file: impl BufRead, keep: impl Fn(&str) -> bool) -> Outcome<Rows> {
    let mut rows = Rows { names: Vec::new(), dim: 0, values: Vec::new() };
    let mut line = Vec::new();
    let mut promised = None;
    let mut words = 0usize;
    for number in 1.. {
        line.clear();
        let read = (&mut file).take(MAX_LINE_BYTES).read_until(b'\n', &mut line);
        if read.map_err(|error| error.to_string())? == 0 {
            break;
        }
        if line.len() as u64 == MAX_LINE_BYTES {
            return Err(format!("line {number} is too long"));
        }
        let text = line.trim_ascii_end();
        if number == 1
            && let Some((count, dim)) = counts(text)
        {
            promised = Some(count);
            rows.dim = dim;
            continue;
        }
        if text.is_empty() {
            continue;
        }
        if rows.dim == 0 {
            rows.dim = text.split(|&byte| byte == b' ').count().saturating_sub(1);
        }
        words += 1;
        text_row(&mut rows, text, &keep).map_err(|reason| format!("line {number}: {reason}"))?;
    }
    match promised {
        Some(count) if count != words => {
            Err(format!("its first line tells of {count} words, but there are {words}"))
        }
        _ => Ok(rows),
    }
}

/// Adds a line's row. The numbers are the last fields: some words of GloVe have blanks.
fn text_row(rows: &mut Rows, text: &[u8], keep: impl Fn(&str) -> bool) -> Outcome<()> {
    if rows.dim == 0 || rows.dim > MAX_DIM {
        return Err(format!("{} numbers follow the word", rows.dim));
    }
    let mut fields: Vec<&[u8]> = text.rsplitn(rows.dim + 1, |&byte| byte == b' ').collect();
    if fields.len() != rows.dim + 1 {
        return Err(format!("{} numbers, wanted are {}", fields.len() - 1, rows.dim));
    }
    let word = fields.pop().unwrap_or_default();
    let Ok(word) = core::str::from_utf8(word) else { return Ok(()) };
    if !keep(word) {
        return Ok(());
    }
    for field in fields.into_iter().rev() {
        let number = core::str::from_utf8(field).ok().and_then(|text| text.parse().ok());
        let number = number.filter(|number: &f32| number.is_finite());
        rows.values.push(number.ok_or_else(|| {
            format!("\"{}\" of \"{word}\" is no number", String::from_utf8_lossy(field))
        })?);
    }
    rows.names.push(word.to_string());
    Ok(())
}

/// The two whole numbers of a first line.
fn counts(line: &[u8]) -> Option<(usize, usize)> {
    let (words, dim) = core::str::from_utf8(line).ok()?.split_once(' ')?;
    Some((words.parse().ok()?, dim.parse().ok()?))
}

fn binary_rows(mut file: impl BufRead, keep: impl Fn(&str) -> bool) -> Outcome<Rows> {
    let header = until(&mut file, b'\n')?;
    let counts = counts(header.trim_ascii_end()).filter(|&(_, dim)| (1..=MAX_DIM).contains(&dim));
    let (words, dim) = counts.ok_or("its first line is not the number of words and of numbers")?;
    let mut rows = Rows { names: Vec::new(), dim, values: Vec::new() };
    let mut raw = vec![0; dim * size_of::<f32>()];
    for number in 1..=words {
        let cut = |reason: String| format!("word {number} of {words}: {reason}");
        let word = until(&mut file, b' ').map_err(cut)?;
        file.read_exact(&mut raw).map_err(|error| cut(error.to_string()))?;
        let word = word.strip_prefix(b"\n").unwrap_or(&word);
        let Ok(word) = core::str::from_utf8(word) else { continue };
        if keep(word) {
            rows.names.push(word.to_string());
            let numbers = raw.as_chunks().0.iter().map(|&bytes| f32::from_le_bytes(bytes));
            rows.values.extend(numbers);
        }
    }
    let mut rest = Vec::new();
    file.take(2).read_to_end(&mut rest).map_err(|error| error.to_string())?;
    match rest.trim_ascii() {
        [] => Ok(rows),
        _ => Err(format!("it goes on after its {words} words")),
    }
}

/// Bytes up to `end`, which is read too.
fn until(file: &mut impl BufRead, end: u8) -> Outcome<Vec<u8>> {
    let mut bytes = Vec::new();
    let read = file.take(MAX_WORD_BYTES as u64).read_until(end, &mut bytes);
    read.map_err(|error| error.to_string())?;
    match bytes.pop() {
        Some(last) if last == end => Ok(bytes),
        _ => Err("the file ends too early, or the word is too long".to_string()),
    }
}
