//! How long the training engine takes for the steps that trainings are made of.
//!
//! ```text
//! cargo run --release --example bench_training -- [THREADS] [ROUNDS]
//! ```
//!
//! Prints a line per case: its name, a tab, and the milliseconds of the fastest round.
//! `python benches/compare_training.py` runs it beside PyTorch.

use std::error::Error;
use std::num::NonZeroUsize;
use std::time::Instant;
use zsseg::train::engine::{
    Activation, Adam, AdamState, Contrastive, CpuEngine, Denominator, Draw, Engine, Kernel,
    Labelled, Matrix, Mmd, MmdGroup, Noise, Pairs, Product, Resize, Targets,
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
    let threads = arguments.next().map_or(Ok(NonZeroUsize::MIN), |text| text.parse())?;
    let rounds = arguments.next().map_or(Ok(15), |text| text.parse())?;
    let bench = Bench { engine: CpuEngine::new(threads), rounds };
    bench.products()?;
    bench.discrepancy()?;
    bench.generator()?;
    bench.classifier()?;
    for (name, form) in
        [("paper", Denominator::AllKeys), ("code", Denominator::PositiveAndNegatives)]
    {
        for side in [32, 65] {
            bench.contrastive(name, form, side * side)?;
        }
    }
    bench.resizing("logits", [64, 64], [512, 512], CLASSES)?;
    bench.resizing("features", [32, 32], [64, 64], PROJECTED)
}

struct Bench {
    engine: CpuEngine,
    rounds: usize,
}

impl Bench {
    fn time(&self, name: &str, mut run: impl FnMut() -> Outcome<()>) -> Outcome<()> {
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

    fn random(&self, shape: [usize; 2], seed: u64) -> Outcome<Matrix<f32>> {
        Ok(self.engine.noise(shape, Noise::Normal, Draw { seed, step: 0, stream: 0 })?)
    }

    fn products(&self) -> Outcome<()> {
        let (x, w) = (self.random([BATCH, 2 * EMBEDDING], 1)?, self.random([600, HIDDEN], 2)?);
        self.time("product 128x600x256", || {
            self.engine.product(Product::Nn, &x, &w, None)?;
            Ok(())
        })
    }

    fn discrepancy(&self) -> Outcome<()> {
        let (g, x) = (self.random([BATCH, CHANNELS], 1)?, self.random([BATCH, CHANNELS], 2)?);
        let kernel = Kernel::zs3_code();
        let groups = [MmdGroup { generated: 0..BATCH, real: 0..BATCH }];
        let settings = Mmd { kernel: &kernel, groups: &groups, real_weights: None };
        self.time("mmd 128 and 128 of 472", || {
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

    fn contrastive(&self, name: &str, form: Denominator, pixels: usize) -> Outcome<()> {
        let unit = |seed| -> Outcome<Matrix<f32>> {
            Ok(self.engine.normalise(&self.random([pixels, PROJECTED], seed)?)?.rows)
        };
        let (a, b) = (unit(1)?, unit(2)?);
        let labels: Vec<i32> = (0..pixels).map(|pixel| (pixel / 50 % CLASSES) as i32).collect();
        let settings = Contrastive { temperature: 0.07, denominator: form, without_self: false };
        self.time(&format!("contrastive {name} {pixels} of 128"), || {
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
struct Layer {
    w: Matrix<f32>,
    b: Matrix<f32>,
    states: [AdamState<Matrix<f32>>; 2],
}

impl Layer {
    fn new(bench: &Bench, shape: [usize; 2]) -> Outcome<Layer> {
        let state = |shape| Engine::<f32>::adam_state(&bench.engine, shape);
        let mut w = Matrix::zeros(shape)?;
        bench.engine.add_scaled(&mut w, 0.05, &bench.random(shape, 3)?)?;
        let states = [state(shape)?, state([1, shape[1]])?];
        Ok(Layer { w, b: Matrix::zeros([1, shape[1]])?, states })
    }

    /// A step, given the input and the gradient by the result.
    fn learn(&mut self, engine: &CpuEngine, x: &Matrix<f32>, dy: &Matrix<f32>) -> Outcome<()> {
        let dw = engine.product(Product::Tn, x, dy, None)?;
        let db = engine.column_sums(dy)?;
        let [of_w, of_b] = &mut self.states;
        engine.adam_step(&mut self.w, &dw, of_w, &Adam::default())?;
        Ok(engine.adam_step(&mut self.b, &db, of_b, &Adam::default())?)
    }
}

/// ZS3Net's generator: methods.md 2.4.
struct Generator {
    first: Layer,
    second: Layer,
    embeddings: Matrix<f32>,
    real: Matrix<f32>,
    kernel: Kernel,
    step: u32,
}

impl Generator {
    fn new(bench: &Bench) -> Outcome<Generator> {
        Ok(Generator {
            first: Layer::new(bench, [2 * EMBEDDING, HIDDEN])?,
            second: Layer::new(bench, [HIDDEN, CHANNELS])?,
            embeddings: bench.random([1, EMBEDDING], 4)?,
            real: bench.random([BATCH, CHANNELS], 5)?,
            kernel: Kernel::zs3_code(),
            step: 0,
        })
    }

    fn step(&mut self, engine: &CpuEngine) -> Outcome<()> {
        let draw = Draw { seed: 1, step: self.step, stream: 0 };
        let noise: Matrix<f32> = engine.noise([BATCH, EMBEDDING], Noise::Uniform, draw)?;
        let mut input = Vec::with_capacity(BATCH * 2 * EMBEDDING);
        for row in noise.rows() {
            input.extend_from_slice(self.embeddings.values());
            input.extend_from_slice(row);
        }
        let x = Matrix::new([BATCH, 2 * EMBEDDING], input)?;
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
        self.second.learn(engine, &active, &loss.gradient)?;
        self.step += 1;
        self.first.learn(engine, &x, &d_hidden)
    }
}
