//! What a mistyped name may have meant.

use crate::spec::Words;
use core::cmp::Reverse;
use std::format;
use std::string::String;
use std::vec::Vec;

/// Most names that are offered.
const MAX_OFFERED: usize = 5;
/// Most letters that an offered name differs by.
const MAX_DISTANCE: usize = 3;

/// The names of `known` that are nearest to `name` by letters added, left out, exchanged or
/// swapped: at most one letter in three, and at most five names. Of equals those come first that
/// begin like it. Takes one comparison per known name of similar length.
pub fn nearest<'k>(name: &str, known: impl Iterator<Item = &'k str>) -> Vec<&'k str> {
    let name = name.to_lowercase();
    let letters = name.chars().count();
    let most = (letters / 3).clamp(1, MAX_DISTANCE);
    let near = known.filter_map(|other| {
        if other.chars().count().abs_diff(letters) > most {
            return None;
        }
        let lower = other.to_lowercase();
        let distance = strsim::osa_distance(&name, &lower);
        let common = name.chars().zip(lower.chars()).take_while(|(a, b)| a == b).count();
        (distance <= most).then_some((distance, Reverse(common), other))
    });
    let mut near: Vec<(usize, Reverse<usize>, &str)> = near.collect();
    near.sort_unstable();
    near.truncate(MAX_OFFERED);
    near.into_iter().map(|(_, _, other)| other).collect()
}

/// The first word of `phrase` that the table lacks, divided as the segmenter divides it.
pub fn unknown_word<'p>(words: &Words<'_>, phrase: &'p str) -> Option<&'p str> {
    let mut parts = phrase.split([' ', '-', '_']).filter(|part| !part.is_empty());
    parts.find(|part| words.find(&part.to_ascii_lowercase()).is_none())
}

/// The words of the table that are nearest to `word`.
pub fn nearest_words<'a>(words: &Words<'a>, word: &str) -> Vec<&'a str> {
    nearest(word, (0..words.len()).filter_map(|index| words.word(index)))
}

/// The end of an error message that offers names; empty if there are none.
pub fn offer(names: &[&str]) -> String {
    match names {
        [] => String::new(),
        names => format!("; did you mean {}?", names.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_names_come_first_and_far_ones_never() {
        let known = ["aeroplane", "bat", "bird", "cat", "coat", "cow", "zebra"];
        let found = |name| nearest(name, known.into_iter());
        assert_eq!(found("catt"), ["cat"]);
        assert_eq!(found("act"), ["cat"], "two letters swapped");
        assert_eq!(found("COAT"), ["coat", "cat"]);
        assert_eq!(found("caz"), ["cat"]);
        assert_eq!(found("cam"), ["cat"]);
        assert_eq!(found("ca"), ["cat"]);
        assert_eq!(found("caw"), ["cat", "cow"], "of equals the one that begins alike");
        assert_eq!(found("airplane"), ["aeroplane"]);
        assert!(found("submarine").is_empty());
        assert_eq!(offer(&found("cta")), "; did you mean cat?");
        assert_eq!(offer(&[]), "");
    }
}
