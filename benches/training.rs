//! How long the training engine takes for the steps that trainings are made of.
//!
//! ```text
//! cargo run --release --example bench_training -- [THREADS|cuda] [ROUNDS]
//! ```
//!
//! Prints a line per case: its name, a tab, and the milliseconds of the fastest round.
//! `python benches/compare_training.py` runs it beside PyTorch. With `cuda` (feature `train-cuda`)
//! it runs on the first GPU, and the losses of pairs at larger sizes as well.

use std::error::Error;
use std::num::NonZeroUsize;
use std::time::Instant;
use zsseg::train::engine::{
    Activation, Adam, AdamPart, AdamState, Contrastive, CpuEngine, Denominator, Draw, Engine,
    Kernel, Labelled, Mmd, MmdGroup, Noise, Pairs, Product, Repeated, Resize, Targets,
};

type Outcome<T> = Result<T, Box<dyn Error>>;

/// Channels of the features: the taps of EfficientNet-Lite0.
const CHANNELS: usize = 472;
/// Of the class embedding, and as many of the noise.
const EMBEDDING: usize = 300;
const HIDDEN: usize = 256;
const BATCH: usize = 128;
/// Pixels and classes of a step of the classifier.
const PIXELS: usize = 4096;
const CLASSES: usize = 13;
/// Channels of a projection head.
const PROJECTED: usize = 128;

fn main() -> Outcome<()> {
    let mut arguments = std::env::args().skip(1);
    let device = arguments.next().unwrap_or_else(|| "1".to_string());
    let rounds = arguments.next().map_or(Ok(15), |text| text.parse())?;
    if device == "cuda" {
        return on_gpu(rounds);
    }
    Bench::new(CpuEngine::new(device.parse::<NonZeroUsize>()?), rounds)?.steps()
}

#[cfg(feature = "train-cuda")]
fn on_gpu(rounds: usize) -> Outcome<()> {
    use zsseg::train::cuda::{CudaEngine, Driver};
    /// Channels of features whose pairs are compared at larger sizes.
    const WIDE: usize = 256;
    let bench = Bench::new(CudaEngine::new(Driver::new(0)?), rounds)?;
    bench.steps()?;
    for rows in [128, 1_024, 4_225, 16_900] {
        bench.discrepancy(rows, WIDE)?;
    }
    for (name, form) in FORMS {
        for pixels in [65 * 65, 10_000] {
            bench.contrastive(name, form, pixels, WIDE)?;
        }
    }
    Ok(())
}

#[cfg(not(feature = "train-cuda"))]
fn on_gpu(_rounds: usize) -> Outcome<()> {
    Err("this program was built without the feature train-cuda".into())
}

const FORMS: [(&str, Denominator); 2] =
    [("paper", Denominator::AllKeys), ("code", Denominator::PositiveAndNegatives)];

struct Bench<E: Engine<f32>> {
    engine: E,
    rounds: usize,
    /// Reading it waits until all work on the device is done.
    last: E::Tensor,
}

impl<E: Engine<f32>> Bench<E> {
    fn new(engine: E, rounds: usize) -> Outcome<Bench<E>> {
        let last = engine.upload([1, 1], &[0.0])?;
        Ok(Bench { engine, rounds, last })
    }

    fn steps(&self) -> Outcome<()> {
        self.products()?;
        self.discrepancy(BATCH, CHANNELS)?;
        self.generator()?;
        self.classifier()?;
        for (name, form) in FORMS {
            for side in [32, 65] {
                self.contrastive(name, form, side * side, PROJECTED)?;
            }
        }
        self.resizing("logits", [64, 64], [512, 512], CLASSES)?;
        self.resizing("features", [32, 32], [64, 64], PROJECTED)
    }

    fn time(&self, name: &str, mut run: impl FnMut() -> Outcome<()>) -> Outcome<()> {
        let mut run = || {
            run()?;
            self.engine.download(&self.last)?;
            Outcome::Ok(())
        };
        run()?;
        let mut fastest = f64::INFINITY;
        for _ in 0..self.rounds {
            let start = Instant::now();
            run()?;
            fastest = fastest.min(start.elapsed().as_secs_f64() * 1e3);
        }
        println!("{name}\t{fastest:.3}");
        Ok(())
    }

    fn random(&self, shape: [usize; 2], seed: u64) -> Outcome<E::Tensor> {
        Ok(self.engine.noise(shape, Noise::Normal, Draw { seed, step: 0, stream: 0 })?)
    }

    fn products(&self) -> Outcome<()> {
        let (x, w) = (self.random([BATCH, 2 * EMBEDDING], 1)?, self.random([600, HIDDEN], 2)?);
        self.time("product 128x600x256", || {
            self.engine.product(Product::Nn, &x, &w, None)?;
            Ok(())
        })
    }

    fn discrepancy(&self, rows: usize, columns: usize) -> Outcome<()> {
        let (g, x) = (self.random([rows, columns], 1)?, self.random([rows, columns], 2)?);
        let kernel = Kernel::zs3_code();
        let groups = [MmdGroup { generated: 0..rows, real: 0..rows }];
        let settings = Mmd { kernel: &kernel, groups: &groups, real_weights: None };
        self.time(&format!("mmd {rows} and {rows} of {columns}"), || {
            self.engine.mmd(&g, &x, &settings)?;
            Ok(())
        })
    }

    fn generator(&self) -> Outcome<()> {
        let mut generator = Generator::new(self)?;
        self.time("generator step", || generator.step(&self.engine))
    }

    fn classifier(&self) -> Outcome<()> {
        let engine = &self.engine;
        let x = self.random([PIXELS, CHANNELS], 1)?;
        let labels: Vec<i32> = (0..PIXELS).map(|pixel| (pixel * 7 % CLASSES) as i32).collect();
        let mut layer = Layer::new(self, [CHANNELS, CLASSES])?;
        self.time("classifier step", || {
            let logits = engine.product(Product::Nn, &x, &layer.w, Some(&layer.b))?;
            let targets = Targets { labels: &labels, class_weights: None, row_weights: None };
            let loss = engine.cross_entropy(&logits, &targets)?;
            layer.learn(engine, &x, &loss.gradient)
        })
    }

    fn contrastive(
        &self,
        name: &str,
        form: Denominator,
        pixels: usize,
        columns: usize,
    ) -> Outcome<()> {
        let unit = |seed| -> Outcome<E::Tensor> {
            Ok(self.engine.normalise(&self.random([pixels, columns], seed)?)?.rows)
        };
        let (a, b) = (unit(1)?, unit(2)?);
        let labels: Vec<i32> = (0..pixels).map(|pixel| (pixel / 50 % CLASSES) as i32).collect();
        let settings = Contrastive { temperature: 0.07, denominator: form, without_self: false };
        self.time(&format!("contrastive {name} {pixels} of {columns}"), || {
            let anchors = Labelled { rows: &a, labels: &labels };
            let keys = Labelled { rows: &b, labels: &labels };
            self.engine.contrastive(&Pairs { anchors, keys, other: None }, &settings)?;
            Ok(())
        })
    }

    fn resizing(
        &self,
        name: &str,
        from: [usize; 2],
        to: [usize; 2],
        channels: usize,
    ) -> Outcome<()> {
        let resize = Resize { pictures: 1, from, to, align_corners: false };
        let x = self.random([from[0] * from[1], channels], 1)?;
        let dy = self.random([to[0] * to[1], channels], 2)?;
        self.time(&format!("resize {name}"), || {
            self.engine.resize(&x, &resize)?;
            Ok(())
        })?;
        self.time(&format!("resize {name} backward"), || {
            self.engine.resize_backward(&dy, &resize)?;
            Ok(())
        })
    }
}

/// A linear layer that learns by Adam.
struct Layer<T> {
    w: T,
    b: T,
    states: [AdamState<T>; 2],
}

impl<T: Clone> Layer<T> {
    fn new<E: Engine<f32, Tensor = T>>(bench: &Bench<E>, shape: [usize; 2]) -> Outcome<Layer<T>> {
        let engine = &bench.engine;
        let zeros = |shape: [usize; 2]| engine.upload(shape, &vec![0.0; shape[0] * shape[1]]);
        let (mut w, of_bias) = (zeros(shape)?, [1, shape[1]]);
        engine.add_scaled(&mut w, 0.05, &bench.random(shape, 3)?)?;
        let states = [engine.adam_state(shape)?, engine.adam_state(of_bias)?];
        Ok(Layer { w, b: zeros(of_bias)?, states })
    }

    /// A step, given the input and the gradient by the result.
    fn learn<E: Engine<f32, Tensor = T>>(&mut self, engine: &E, x: &T, dy: &T) -> Outcome<()> {
        let gradients = Layer::gradients(engine, x, dy)?;
        Ok(engine.adam_steps(&mut self.parts(&gradients))?)
    }

    /// By weights and bias, given the input and the gradient by the result.
    fn gradients<E: Engine<f32, Tensor = T>>(engine: &E, x: &T, dy: &T) -> Outcome<[T; 2]> {
        Ok([engine.product(Product::Tn, x, dy, None)?, engine.column_sums(dy)?])
    }

    fn parts<'a>(&'a mut self, [by_w, by_b]: &'a [T; 2]) -> [AdamPart<'a, T>; 2] {
        let [of_w, of_b] = &mut self.states;
        let adam = Adam::default();
        [
            AdamPart { parameters: &mut self.w, gradient: by_w, state: of_w, adam },
            AdamPart { parameters: &mut self.b, gradient: by_b, state: of_b, adam },
        ]
    }
}

/// ZS3Net's generator: methods.md 2.4.
struct Generator<T> {
    first: Layer<T>,
    second: Layer<T>,
    /// The class's, in each row.
    embeddings: T,
    real: T,
    kernel: Kernel,
    step: u32,
}

impl<T: Clone> Generator<T> {
    fn new<E: Engine<f32, Tensor = T>>(bench: &Bench<E>) -> Outcome<Generator<T>> {
        let embedding = bench.random([1, EMBEDDING], 4)?;
        Ok(Generator {
            first: Layer::new(bench, [2 * EMBEDDING, HIDDEN])?,
            second: Layer::new(bench, [HIDDEN, CHANNELS])?,
            embeddings: bench.engine.gather_rows(&embedding, &[0; BATCH])?,
            real: bench.random([BATCH, CHANNELS], 5)?,
            kernel: Kernel::zs3_code(),
            step: 0,
        })
    }

    fn step<E: Engine<f32, Tensor = T>>(&mut self, engine: &E) -> Outcome<()> {
        let what = Repeated { name: "step of a generator", sizes: &[BATCH] };
        engine.repeated(&what, || self.step_once(engine))
    }

    fn step_once<E: Engine<f32, Tensor = T>>(&mut self, engine: &E) -> Outcome<()> {
        let draw = Draw { seed: 1, step: self.step, stream: 0 };
        let noise = engine.noise([BATCH, EMBEDDING], Noise::Uniform, draw)?;
        let x = engine.join_columns(&[&self.embeddings, &noise])?;
        let draw = Draw { stream: 1, ..draw };
        let activation = Activation { slope: 0.2, dropout: 0.5, draw };
        let hidden = engine.product(Product::Nn, &x, &self.first.w, Some(&self.first.b))?;
        let active = engine.activate(&hidden, &activation)?;
        let y = engine.product(Product::Nn, &active, &self.second.w, Some(&self.second.b))?;
        let groups = [MmdGroup { generated: 0..BATCH, real: 0..BATCH }];
        let settings = Mmd { kernel: &self.kernel, groups: &groups, real_weights: None };
        let loss = engine.mmd(&y, &self.real, &settings)?;
        let d_active = engine.product(Product::Nt, &loss.gradient, &self.second.w, None)?;
        let d_hidden = engine.activate_backward(&hidden, &d_active, &activation)?;
        let by_second = Layer::gradients(engine, &active, &loss.gradient)?;
        let by_first = Layer::gradients(engine, &x, &d_hidden)?;
        self.step += 1;
        let [w2, b2] = self.second.parts(&by_second);
        let [w1, b1] = self.first.parts(&by_first);
        Ok(engine.adam_steps(&mut [w2, b2, w1, b1])?)
    }
}
