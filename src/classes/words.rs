//! From a class's name to its embedding.

use crate::math::pieces::copy;
use crate::spec::Words;
use crate::status::{Result, Status};

/// Longest word that is looked up, in bytes.
const MAX_WORD_BYTES: usize = 63;

/// Writes the embedding of `phrase`: its vector if the table has it as one word, else the mean
/// of the vectors of its words, which blanks, hyphens and underscores divide (methods.md 1.8).
/// Capital letters of ASCII are taken as small ones, as word tables have them. `embedding` has
/// as many numbers as the table's vectors. Nothing is written on an error.
///
/// # Errors
/// [`Status::UnknownWord`] with the place and the number of the word that the table lacks;
/// [`Status::InvalidArgument`] for a phrase without words.
///
/// # Complexity
/// `O(log n)` comparisons per word and as many additions as the embedding has numbers.
pub fn embed(words: &Words<'_>, phrase: &str, embedding: &mut [f32]) -> Result<()> {
    if let Some(index) = lookup(words, phrase) {
        embedding.fill(0.0);
        add(words, index, embedding);
        return Ok(());
    }
    let parts = || phrase.split([' ', '-', '_']).filter(|part| !part.is_empty());
    let count = parts().count();
    if count == 0 {
        return Err(Status::InvalidArgument.about("a phrase without words"));
    }
    if let Some(unknown) = parts().position(|part| lookup(words, part).is_none()) {
        let error = Status::UnknownWord.about("word of the phrase, counted from 1");
        return Err(error.numbers(unknown as u64 + 1, count as u64));
    }
    embedding.fill(0.0);
    for index in parts().filter_map(|part| lookup(words, part)) {
        add(words, index, embedding);
    }
    embedding.iter_mut().for_each(|value| *value /= count as f32);
    Ok(())
}

/// Place of a word in the table, its ASCII letters made small.
fn lookup(words: &Words<'_>, word: &str) -> Option<usize> {
    let mut bytes = [0; MAX_WORD_BYTES];
    let small = bytes.get_mut(..word.len())?;
    copy(small, word.as_bytes());
    small.make_ascii_lowercase();
    words.find(core::str::from_utf8(small).ok()?)
}

fn add(words: &Words<'_>, index: usize, embedding: &mut [f32]) {
    for (place, value) in embedding.iter_mut().zip(words.vector(index)) {
        *place += value;
    }
}
