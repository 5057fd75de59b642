//! The arena of a step, split into what it writes and what it reads.

use core::ops::Range;

/// The bytes of a step: its output and working memory, to be written, and all others.
pub struct Regions<'m> {
    /// The output.
    pub output: &'m mut [u8],
    /// Working memory; empty where there is none.
    pub scratch: &'m mut [u8],
    others: [Shared<'m>; 3],
}

/// Bytes, and where they start in the arena.
#[derive(Clone, Copy)]
struct Shared<'m> {
    start: usize,
    bytes: &'m [u8],
}

impl<'m> Regions<'m> {
    /// Splits the arena; `None` where the two ranges overlap or reach beyond it. An empty `scratch`
    /// may be anywhere.
    pub fn split(
        arena: &'m mut [u8],
        output: Range<usize>,
        scratch: Range<usize>,
    ) -> Option<Regions<'m>> {
        let swap = !scratch.is_empty() && scratch.start < output.start;
        let scratch = if scratch.is_empty() { output.end..output.end } else { scratch };
        let (one, two) = if swap { (scratch, output) } else { (output, scratch) };
        let (before, rest) = arena.split_at_mut_checked(one.start)?;
        let (first, rest) = rest.split_at_mut_checked(one.len())?;
        let (between, rest) = rest.split_at_mut_checked(two.start.checked_sub(one.end)?)?;
        let (second, after) = rest.split_at_mut_checked(two.len())?;
        let others = [
            Shared { start: 0, bytes: before },
            Shared { start: one.end, bytes: between },
            Shared { start: two.end, bytes: after },
        ];
        let (output, scratch) = if swap { (second, first) } else { (first, second) };
        Some(Regions { output, scratch, others })
    }

    /// The regions of a part of the step: the next `output_bytes` of the output, which these lose,
    /// and working memory of its own.
    pub fn split_off(&mut self, output_bytes: usize, scratch: &'m mut [u8]) -> Option<Regions<'m>> {
        let whole = core::mem::take(&mut self.output);
        let (output, rest) = whole.split_at_mut_checked(output_bytes)?;
        self.output = rest;
        Some(Regions { output, scratch, others: self.others })
    }

    /// Bytes that are read; `None` where some of them are written.
    pub fn input(&self, range: Range<usize>) -> Option<&'m [u8]> {
        self.others.iter().find_map(|shared| {
            let start = range.start.checked_sub(shared.start)?;
            shared.bytes.get(start..)?.get(..range.len())
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::vec::Vec;

    proptest! {
        #[test]
        fn every_byte_is_in_one_region(
            output in (0usize..40, 1usize..20),
            scratch in (0usize..40, 0usize..20),
            read in (0usize..40, 1usize..20),
        ) {
            let range = |(start, len): (usize, usize)| start..start + len;
            let (output, scratch, read) = (range(output), range(scratch), range(read));
            let apart = |one: &Range<usize>, other: &Range<usize>| {
                one.is_empty() || other.is_empty() || one.end <= other.start || other.end <= one.start
            };
            let mut arena: Vec<u8> = (0..48).collect();
            let fits = |range: &Range<usize>| range.is_empty() || range.end <= 48;
            let valid = apart(&output, &scratch) && fits(&output) && fits(&scratch);
            let Some(regions) = Regions::split(&mut arena, output.clone(), scratch.clone()) else {
                prop_assert!(!valid);
                return Ok(());
            };
            prop_assert!(valid);
            prop_assert!(regions.output.iter().copied().eq(output.clone().map(|i| i as u8)));
            prop_assert!(regions.scratch.iter().copied().eq(scratch.clone().map(|i| i as u8)));
            let readable = apart(&read, &output) && apart(&read, &scratch) && fits(&read);
            match regions.input(read.clone()) {
                None => prop_assert!(!readable),
                Some(bytes) => {
                    prop_assert!(readable);
                    prop_assert!(bytes.iter().copied().eq(read.map(|i| i as u8)));
                }
            }
        }
    }
}
