//! Scenes as `tests/reference/make_generator.py` makes them, and memory to fit rows in.

use half::f16;
use zerocopy::little_endian::{F32, U16, U32};
use zsseg::arena::{ALIGN_BYTES, Arena};
use zsseg::classes::generator::{Fitted, Fitter, OldRows, Settings, Sources, Work};
use zsseg::spec::{FeatureStatistics, Generator, Noise};

const SLOPE: f32 = 0.2;

#[derive(Clone, Copy)]
pub struct Config {
    pub seed: u64,
    pub dim: usize,
    pub noise_dim: usize,
    pub hidden: usize,
    pub channels: usize,
    pub classes: usize,
    pub relu: bool,
    pub noise: Noise,
    pub settings: Settings,
}

impl Config {
    /// The scene of this name in the reference script.
    pub fn named(name: &str) -> Config {
        let lite = Config {
            seed: 2,
            dim: 50,
            noise_dim: 50,
            hidden: 128,
            channels: 472,
            classes: 11,
            relu: true,
            noise: Noise::Uniform,
            settings: Settings::DEFAULT,
        };
        let ade = Settings { positives: 1024, negatives: 4096, l2: 1e-3, ..Settings::DEFAULT };
        match name {
            "toy" => Config {
                seed: 1,
                dim: 3,
                noise_dim: 5,
                hidden: 7,
                channels: 13,
                classes: 2,
                relu: false,
                noise: Noise::Normal,
                settings: Settings {
                    positives: 50,
                    negatives: 75,
                    l2: 1e-2,
                    weight: 2.0,
                    ..Settings::DEFAULT
                },
            },
            "lite" => lite,
            "ade" => {
                Config { seed: 3, channels: 256, classes: 150, relu: false, settings: ade, ..lite }
            }
            _ => panic!("no scene {name}"),
        }
    }
}

/// A linear congruential sequence as multiples of 1/1024 from -1 to 1: exact in 16 bits.
struct Integers(u64);

impl Integers {
    fn take(&mut self, len: usize, scale: f32) -> Vec<f32> {
        let next = |state: &mut u64| {
            *state = state.wrapping_mul(6_364_136_223_846_793_005);
            *state = state.wrapping_add(1_442_695_040_888_963_407);
            ((*state >> 53) as f32 / 1024.0 - 1.0) * scale
        };
        (0..len).map(|_| next(&mut self.0)).collect()
    }
}

pub struct Scene {
    pub config: Config,
    pub hidden_weights: Vec<U16>,
    pub hidden_bias: Vec<F32>,
    pub output_weights: Vec<U16>,
    pub output_bias: Vec<F32>,
    pub embedding: Vec<f32>,
    pub classes: Vec<U32>,
    pub mean: Vec<F32>,
    pub deviation: Vec<F32>,
    pub rows: Rows,
}

/// Old rows and how often each was read.
pub struct Rows {
    pub weights: Vec<f32>,
    pub bias: Vec<f32>,
    pub removed: Option<u32>,
    pub reads: std::cell::Cell<usize>,
}

impl OldRows for Rows {
    fn count(&self) -> usize {
        self.bias.len()
    }

    fn holds(&self, class: u32) -> bool {
        self.removed != Some(class)
    }

    fn read(&self, index: usize, weights: &mut [f32]) -> f32 {
        self.reads.set(self.reads.get() + 1);
        let len = weights.len();
        weights.copy_from_slice(&self.weights[index * len..][..len]);
        self.bias[index]
    }
}

fn floats(values: &[f32]) -> Vec<F32> {
    values.iter().map(|&value| F32::new(value)).collect()
}

fn halves(values: &[f32]) -> Vec<U16> {
    let exact = |value: f32| {
        let half = f16::from_f32(value);
        assert_eq!(half.to_f32(), value);
        U16::new(half.to_bits())
    };
    values.iter().map(|&value| exact(value)).collect()
}

/// The generator's output for noise that is `noise` everywhere.
fn generate(parts: [&[f32]; 4], embedding: &[f32], noise: f64) -> Vec<f64> {
    let [first, bias, second, output_bias] = parts;
    let width = first.len() / bias.len();
    let hidden = first.chunks(width).zip(bias).map(|(row, &bias)| {
        let (left, right) = row.split_at(embedding.len());
        let left: f64 =
            left.iter().zip(embedding).map(|(&w, &a)| f64::from(w) * f64::from(a)).sum();
        let right: f64 = right.iter().map(|&w| f64::from(w) * noise).sum();
        let value = left + right + f64::from(bias);
        if value < 0.0 { f64::from(SLOPE) * value } else { value }
    });
    let hidden: Vec<f64> = hidden.collect();
    let output = second.chunks(hidden.len()).zip(output_bias).map(|(row, &bias)| {
        row.iter().zip(&hidden).map(|(&w, &h)| f64::from(w) * h).sum::<f64>() + f64::from(bias)
    });
    output.collect()
}

impl Scene {
    pub fn new(config: &Config) -> Scene {
        let Config { dim, noise_dim, hidden, channels, classes, .. } = *config;
        let mut integers = Integers(config.seed);
        let hidden_weights = integers.take(hidden * (dim + noise_dim), 0.25);
        let hidden_bias = integers.take(hidden, 1.0 / 64.0);
        let output_weights = integers.take(channels * hidden, 1.0);
        let output_bias = integers.take(channels, 0.5);
        let mut embeddings = integers.take((classes + 1) * dim, 1.0);
        let embedding = embeddings.split_off(classes * dim);
        let near = embedding.iter().zip(&embeddings).map(|(own, first)| (3.0 * first + own) / 4.0);
        let embedding = near.collect();
        let spread = integers.take(classes * channels, 1.0);
        let deviation: Vec<f32> = spread.iter().map(|value| 0.25 + (value + 1.0) / 4.0).collect();
        let parts = [&hidden_weights[..], &hidden_bias, &output_weights, &output_bias];
        let noise = if config.noise == Noise::Normal { 0.0 } else { 0.5 };
        let old = embeddings.chunks(dim);
        let mean = old.flat_map(|embedding| generate(parts, embedding, noise));
        let mean = mean.map(|value| if config.relu { value.max(0.0) } else { value } as f32);
        let mean: Vec<f32> = mean.collect();
        Scene {
            config: *config,
            hidden_weights: halves(&hidden_weights),
            hidden_bias: floats(&hidden_bias),
            output_weights: halves(&output_weights),
            output_bias: floats(&output_bias),
            embedding,
            rows: discriminant(&mean, &deviation, channels),
            classes: (0..classes as u32).map(U32::new).collect(),
            mean: floats(&mean),
            deviation: floats(&deviation),
        }
    }

    pub fn sources(&self) -> Sources<'_> {
        let Config { dim, noise_dim, hidden, channels, noise, relu, .. } = self.config;
        Sources {
            generator: Generator {
                dim,
                noise_dim,
                hidden,
                channels,
                noise,
                slope: SLOPE,
                relu,
                hidden_weights: &self.hidden_weights,
                hidden_bias: &self.hidden_bias,
                output_weights: &self.output_weights,
                output_bias: &self.output_bias,
            },
            statistics: FeatureStatistics {
                classes: &self.classes,
                mean: &self.mean,
                deviation: &self.deviation,
                channels,
            },
        }
    }

    /// A feature of the new class, by plain arithmetic, for noise of the test's own.
    pub fn generated(&self, seed: u64) -> Vec<f64> {
        let mut integers = Integers(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15));
        let noise = integers.take(self.config.noise_dim, 0.5);
        let noise: Vec<f32> = noise.iter().map(|value| value + 0.5).collect();
        let widen = |values: &[U16]| -> Vec<f32> {
            values.iter().map(|bits| f16::from_bits(bits.get()).to_f32()).collect()
        };
        let (first, second) = (widen(&self.hidden_weights), widen(&self.output_weights));
        let plain =
            |values: &[F32]| -> Vec<f32> { values.iter().map(|value| value.get()).collect() };
        let (bias, output_bias) = (plain(&self.hidden_bias), plain(&self.output_bias));
        let input = [&self.embedding[..], &noise].concat();
        // The noise is part of the input, and what follows it is empty.
        let output = generate([&first, &bias, &second, &output_bias], &input, 0.0);
        output
            .into_iter()
            .map(|value| if self.config.relu { value.max(0.0) } else { value })
            .collect()
    }

    /// Mean features of the old classes.
    pub fn old_means(&self) -> Vec<Vec<f64>> {
        let rows = self.mean.chunks(self.config.channels);
        rows.map(|row| row.iter().map(|value| f64::from(value.get())).collect()).collect()
    }

    pub fn arena_bytes(&self, settings: &Settings) -> usize {
        let mut arena = Arena::counting();
        Fitter::carve(&mut arena, self.sources(), settings).unwrap();
        arena.used_bytes()
    }

    pub fn fit(&self, settings: &Settings, memory: &mut Memory) -> (Vec<f32>, f32, Fitted, Work) {
        let mut arena = Arena::over(memory.bytes()).unwrap();
        let mut fitter = Fitter::carve(&mut arena, self.sources(), settings).unwrap();
        let fitted = fitter.run(&self.embedding, &self.rows).unwrap();
        let mut row = vec![0.0; self.config.channels];
        let bias = fitter.write_row(&mut row).unwrap();
        (row, bias, fitted, fitter.work())
    }
}

/// Rows of a linear discriminant, softened.
fn discriminant(mean: &[f32], deviation: &[f32], channels: usize) -> Rows {
    let count = (mean.len() / channels) as f64;
    let square = |value: &f32| f64::from(*value) * f64::from(*value);
    let variance =
        |d: usize| deviation[d..].iter().step_by(channels).map(square).sum::<f64>() / count;
    let variance: Vec<f64> = (0..channels).map(variance).collect();
    let weight = |(d, &value): (usize, &f32)| f64::from(value) / variance[d % channels] / 32.0;
    let bias = |means: &[f32]| {
        let terms =
            means.iter().zip(&variance).map(|(value, variance)| square(value) / variance / 32.0);
        (-0.5 * terms.sum::<f64>()) as f32
    };
    Rows {
        weights: mean.iter().enumerate().map(|at| weight(at) as f32).collect(),
        bias: mean.chunks(channels).map(bias).collect(),
        removed: None,
        reads: std::cell::Cell::new(0),
    }
}

/// Aligned bytes.
pub struct Memory {
    bytes: Vec<u8>,
    len: usize,
}

impl Memory {
    pub fn new(len: usize) -> Memory {
        Memory { bytes: vec![0xaa; len + ALIGN_BYTES], len }
    }

    pub fn bytes(&mut self) -> &mut [u8] {
        let start = self.bytes.as_ptr().align_offset(ALIGN_BYTES);
        &mut self.bytes[start..start + self.len]
    }
}
