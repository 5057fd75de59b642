//! The samples that a row is fitted to: generated features of the new class, and Gaussian ones of
//! the old classes. Each channel is centred and scaled by the old classes' joint mean and
//! deviation, then kept as a bf16; the problem is posed, and solved, for the rounded samples.

use super::settings::{Sources, bad_sources};
use super::solver::TILE;
use super::vector::narrow;
use super::{Mix, OldRows, Work};
use crate::arena::Arena;
use crate::limits::product;
use crate::math::pieces::pieces;
use crate::math::random::Random;
use crate::status::{Result, Status};
use half::f16;
use zerocopy::little_endian::U16;

/// Samples that are made together.
pub(super) const BLOCK: usize = 16;
/// Share of the mean deviation of all channels below which no channel's deviation goes: a
/// channel that is dead in the old classes would let the generator's errors decide.
const LEAST_DEVIATION: f64 = 0.01;

/// Features further than this many deviations from the old classes' mean are refused.
const LARGEST: f32 = 1e6;

/// One value of each of a block's samples.
type Lane = [f32; BLOCK];

pub(super) struct Samples<'a> {
    sources: Sources<'a>,
    mix: Mix,
    random: Random,
    /// Of all old classes together: (channels) each.
    mean: &'a mut [f32],
    deviation: &'a mut [f32],
    /// The hidden layer but for the noise: (hidden).
    base: &'a mut [f32],
    /// Noise and hidden layer of a block: (noise, block), (hidden, block).
    noise: &'a mut [f32],
    active: &'a mut [f32],
    /// The samples, positives first: (samples, channels).
    values: &'a mut [u16],
}

impl<'a> Samples<'a> {
    pub(super) fn carve(arena: &mut Arena<'a>, sources: Sources<'a>, mix: Mix) -> Result<Self> {
        let generator = &sources.generator;
        let (hidden, channels) = (generator.hidden, generator.channels);
        Ok(Samples {
            sources,
            mix,
            random: Random::default(),
            mean: arena.take(channels)?,
            deviation: arena.take(channels)?,
            base: arena.take(hidden)?,
            noise: arena.take(product("noise", &[generator.noise_dim, BLOCK])?)?,
            active: arena.take(product("hidden layer", &[hidden, BLOCK])?)?,
            values: arena.take(product("samples", &[mix.count(), channels])?)?,
        })
    }

    /// Mean and deviation of each channel over all old classes.
    pub(super) fn scales(&self) -> impl Iterator<Item = (f32, f32)> {
        self.mean.iter().copied().zip(self.deviation.iter().copied())
    }

    /// Samples `tile * TILE..`, at most [`TILE`] of them.
    pub(super) fn tile(&self, tile: usize) -> &[u16] {
        let width = self.mean.len();
        let end = self.mix.count().min((tile + 1) * TILE);
        self.values.get(tile * TILE * width..end * width).unwrap_or_default()
    }

    /// Prepares for the class of `embedding`.
    pub(super) fn begin(
        &mut self,
        embedding: &[f32],
        seed: u64,
        mix: Mix,
        rows: &impl OldRows,
        work: &mut Work,
    ) -> Result<()> {
        self.mix = mix;
        self.random = Random::new(seed, embedding);
        self.pool(rows);
        if !self.scales().all(|(mean, deviation)| mean.is_finite() && deviation.is_finite()) {
            return Err(Status::BundleContent.about("feature statistics"));
        }
        let generator = &self.sources.generator;
        let rows = pieces(generator.hidden_weights, generator.dim + generator.noise_dim);
        for ((value, row), bias) in self.base.iter_mut().zip(rows).zip(generator.hidden_bias) {
            let products = row.iter().zip(embedding).map(|(&w, &a)| widen(w) * a);
            *value = products.fold(bias.get(), |sum, product| sum + product);
            work.multiply_adds += embedding.len() as u64;
        }
        all_finite(self.base, "hidden layer of the generator")
    }

    /// Joint mean and deviation of the old classes, all of one weight (Welford's method).
    fn pool(&mut self, rows: &impl OldRows) {
        let statistics = &self.sources.statistics;
        self.mean.fill(0.0);
        self.deviation.fill(0.0);
        let held = statistics.classes.iter().filter(|class| rows.holds(class.get()));
        for (before, class) in held.enumerate() {
            let count = (before + 1) as f32;
            let (means, deviations) = statistics.find(class.get()).unwrap_or_default();
            let joint = self.mean.iter_mut().zip(self.deviation.iter_mut());
            for ((mean, deviation), (joint, variance)) in means.iter().zip(deviations).zip(joint) {
                let difference = mean.get() - *joint;
                *joint += difference / count;
                let square = deviation.get() * deviation.get();
                let spread = difference * (mean.get() - *joint);
                *variance += (square + spread - *variance) / count;
            }
        }
        let mut total = 0.0;
        for value in self.deviation.iter_mut() {
            *value = libm::sqrtf(*value);
            total += f64::from(*value);
        }
        let floor = (total / self.deviation.len() as f64 * LEAST_DEVIATION) as f32;
        let floor = if floor > 0.0 { floor } else { 1.0 };
        self.deviation.iter_mut().for_each(|value| *value = value.max(floor));
    }

    /// Generates positives `block * BLOCK..`.
    pub(super) fn generate(&mut self, block: usize, work: &mut Work) -> Result<()> {
        self.draw_noise(block, work);
        self.fill_hidden(work);
        let generator = &self.sources.generator;
        let width = generator.channels.max(1);
        let first = block * BLOCK;
        let count = BLOCK.min(self.mix.positives.saturating_sub(first));
        let places = self.values.get_mut(first * width..(first + count) * width);
        let places = places.unwrap_or_default();
        let rows = pieces(generator.output_weights, generator.hidden).zip(generator.output_bias);
        let scales = self.mean.iter().zip(self.deviation.iter());
        let mut sound = true;
        for (channel, ((row, bias), (&mean, &deviation))) in rows.zip(scales).enumerate() {
            let lane = weigh([bias.get(); BLOCK], row, self.active, work);
            for (value, place) in lane.iter().zip(places.iter_mut().skip(channel).step_by(width)) {
                let value = if generator.relu { value.max(0.0) } else { *value };
                let value = (value - mean) / deviation;
                *place = narrow(value);
                sound &= value.abs() < LARGEST;
            }
        }
        if sound { Ok(()) } else { Err(Status::InvalidArgument.about("generated features")) }
    }

    fn draw_noise(&mut self, block: usize, work: &mut Work) {
        let normal = self.sources.generator.noise == crate::spec::Noise::Normal;
        let (lanes, _) = self.noise.as_chunks_mut::<BLOCK>();
        for (at, rows) in lanes.chunks_mut(4).enumerate() {
            for lane in 0..BLOCK {
                let sample = (block * BLOCK + lane) as u32;
                let numbers = match normal {
                    true => self.random.normal(at as u32, sample, 0),
                    false => self.random.uniform(at as u32, sample, 0),
                };
                work.random_numbers += 4;
                for (row, number) in rows.iter_mut().zip(numbers) {
                    if let Some(place) = row.get_mut(lane) {
                        *place = number;
                    }
                }
            }
        }
    }

    fn fill_hidden(&mut self, work: &mut Work) {
        let generator = &self.sources.generator;
        let rows = pieces(generator.hidden_weights, generator.dim + generator.noise_dim);
        let (places, _) = self.active.as_chunks_mut::<BLOCK>();
        for ((place, row), &base) in places.iter_mut().zip(rows).zip(self.base.iter()) {
            let row = row.get(generator.dim..).unwrap_or_default();
            *place = weigh([base; BLOCK], row, self.noise, work);
            for value in place {
                *value = if *value < 0.0 { *value * generator.slope } else { *value };
            }
        }
    }

    /// Draws samples `block * BLOCK..` of the bundle's class `old`, which is the `class`-th to be
    /// drawn of.
    pub(super) fn draw(
        &mut self,
        old: u32,
        class: usize,
        block: usize,
        work: &mut Work,
    ) -> Result<()> {
        let Samples { sources, mix, random, mean, deviation, values, .. } = self;
        let (statistics, relu) = (&sources.statistics, sources.generator.relu);
        let width = statistics.channels;
        let (means, deviations) = statistics.find(old).ok_or_else(bad_sources)?;
        let first = mix.positives + class * mix.per_class;
        let end = mix.per_class.min((block + 1) * BLOCK);
        for sample in block * BLOCK..end {
            let start = (first + sample) * width;
            let places = values.get_mut(start..start + width).ok_or_else(bad_sources)?;
            let own = means.iter().zip(deviations);
            let mut scales = own.zip(mean.iter().zip(deviation.iter()));
            for (four, places) in places.chunks_mut(4).enumerate() {
                let numbers = random.normal(four as u32, sample as u32, old.wrapping_add(1));
                work.random_numbers += 4;
                // `places` ends first, so that no scale is lost.
                let places = places.iter_mut().zip(numbers).zip(scales.by_ref());
                for ((place, number), ((own_mean, own_deviation), (mean, deviation))) in places {
                    let value = own_mean.get() + own_deviation.get() * number;
                    let value = if relu { value.max(0.0) } else { value };
                    *place = narrow((value - mean) / deviation);
                }
            }
        }
        Ok(())
    }
}

/// `sums + sum over i of row[i] * lanes[i]`.
fn weigh(mut sums: Lane, row: &[U16], lanes: &[f32], work: &mut Work) -> Lane {
    let (lanes, _) = lanes.as_chunks::<BLOCK>();
    for (&weight, lane) in row.iter().zip(lanes) {
        let weight = widen(weight);
        for (sum, value) in sums.iter_mut().zip(lane) {
            *sum += weight * value;
        }
    }
    work.multiply_adds += (row.len() * BLOCK) as u64;
    sums
}

fn widen(bits: U16) -> f32 {
    f16::from_bits(bits.get()).to_f32()
}

fn all_finite(values: &[f32], what: &'static str) -> Result<()> {
    match values.iter().all(|value| value.is_finite()) {
        true => Ok(()),
        false => Err(Status::InvalidArgument.about(what)),
    }
}
