//! Lists in a random order.

use crate::math::random::Random;
use std::vec::Vec;

/// The items in a random order that depends on seed and stream only. Pictures of a set may take
/// turns in what they show, so that every n-th of them would be no fair sample.
pub(super) fn shuffled(items: &[usize], seed: u64, stream: u32) -> Vec<usize> {
    let random = Random::new(seed, &[]);
    let keyed = (0u32..).zip(items).map(|(place, &item)| {
        let [key, ..] = random.uniform(place, 0, stream);
        (key.to_bits(), item)
    });
    let mut keyed: Vec<(u32, usize)> = keyed.collect();
    keyed.sort_unstable();
    keyed.into_iter().map(|(_, item)| item).collect()
}
