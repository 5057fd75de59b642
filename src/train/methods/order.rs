//! The order in which a training sees its pictures.

use crate::math::random::Random;
use std::vec::Vec;

/// The pictures in an order of the epoch's own: any is equally likely. Which depends on `seed`,
/// `epoch` and `stream` only.
pub(super) fn shuffled(pictures: &[usize], seed: u64, epoch: u64, stream: u32) -> Vec<usize> {
    let random = Random::new(seed, &[]);
    let mut keys: Vec<(u32, usize)> = (0u32..)
        .zip(pictures)
        .map(|(index, &picture)| {
            let four = random.uniform(index / 4, epoch as u32, stream);
            let key = four.get(index as usize % 4).copied().unwrap_or(0.0);
            (key.to_bits(), picture)
        })
        .collect();
    keys.sort_unstable();
    keys.into_iter().map(|(_, picture)| picture).collect()
}

/// The pictures of step `step`, `batch` of them but for the last of an epoch: each once in an
/// epoch.
pub(super) fn of_step(
    pictures: &[usize],
    batch: usize,
    seed: u64,
    step: u64,
    stream: u32,
) -> Vec<usize> {
    let steps = steps_per_epoch(pictures.len(), batch);
    let place = usize::try_from(step % steps).unwrap_or(usize::MAX);
    let shuffled = shuffled(pictures, seed, step / steps, stream);
    shuffled.into_iter().skip(place.saturating_mul(batch)).take(batch).collect()
}

/// Steps that see each picture once; at least 1.
pub(super) fn steps_per_epoch(pictures: usize, batch: usize) -> u64 {
    pictures.div_ceil(batch.max(1)).max(1) as u64
}
