//! Work that is recorded and done at once gives the bits of work that is done piece by piece.

use crate::device::Chosen;
use crate::support::{Device, Tested, cpu, normal, tested, values};
use zsseg::train::cuda::Numbers;
use zsseg::train::engine::{Adam, Draw, Engine, Kernel, Matrix, Mmd, MmdGroup, Noise, Repeated};
use zsseg::train::layers::{Generator, GeneratorForm};
use zsseg::train::{Error, State};

const FORM: GeneratorForm = GeneratorForm {
    dim: 5,
    noise_size: 4,
    noise: Noise::Uniform,
    hidden_size: 12,
    channels: 10,
    dropout: 0.5,
    relu: false,
    reconstruction: 0.0,
};
type Losses = Numbers<Chosen>;
/// Steps before a record is done: of the first one Adam's memory is new, and the second one is
/// compared with it.
const BEFORE: usize = 2;

/// A generator that is trained by discrepancies.
struct Training<'e> {
    engine: &'e Tested,
    generator: Generator<Device>,
    kernel: Kernel,
    step: u32,
}

impl<'e> Training<'e> {
    fn new(engine: &'e Tested) -> Training<'e> {
        let draw = Draw { seed: 3, step: 0, stream: 0 };
        let generator = Generator::new(engine, FORM, draw).unwrap();
        Training { engine, generator, kernel: Kernel::zs3_code(), step: 0 }
    }

    /// A step on `rows` rows, which differ from step to step. Its losses, still on the device.
    fn work(&mut self, rows: usize) -> Result<Losses, Error> {
        let (engine, seed) = (self.engine, u64::from(self.step));
        let matrix = |columns, seed| Matrix::new([rows, columns], normal([rows, columns], seed));
        let (embeddings, real) = (matrix(FORM.dim, 10 + seed)?, matrix(FORM.channels, 90 + seed)?);
        let draw = Draw { seed: 8, step: self.step, stream: 0 };
        let trace = self.generator.generate(engine, &embeddings, draw, None)?;
        let real = engine.upload(real.shape(), real.values())?;
        let groups = [
            MmdGroup { generated: 0..rows / 2, real: 0..rows / 2 },
            MmdGroup { generated: rows / 2..rows, real: rows / 2..rows },
        ];
        let settings = Mmd { kernel: &self.kernel, groups: &groups, real_weights: None };
        let found = engine.mmd(&trace.output, &real, &settings)?;
        let gradients = self.generator.gradients(engine, &trace, &found.gradient, draw, None)?;
        // Another rate in every step, as schedules have it.
        let adam = Adam { rate: 0.01 / f64::from(1 + self.step), ..Adam::default() };
        self.generator.step(engine, &gradients, adam)?;
        self.step += 1;
        Ok(found.values)
    }

    /// The losses of a step and all numbers that the generator has after it.
    fn bits(&self, losses: &Losses) -> (Vec<u64>, Vec<u32>) {
        let losses = self.engine.read(losses).unwrap();
        let mut state = State::default();
        self.generator.save(self.engine, "g", &mut state).unwrap();
        let numbers = state.matrices.values().flat_map(|matrix| matrix.values());
        let numbers = numbers.map(|value| value.to_bits()).collect();
        (losses.iter().map(|loss| loss.to_bits()).collect(), numbers)
    }

    fn piecemeal(&mut self, rows: usize) -> (Vec<u64>, Vec<u32>) {
        let losses = self.work(rows).unwrap();
        self.bits(&losses)
    }

    fn repeated(&mut self, rows: usize, sizes: &[usize]) -> (Vec<u64>, Vec<u32>) {
        let what = Repeated { name: "step", sizes };
        let losses = self.engine.repeated(&what, || self.work(rows)).unwrap();
        self.bits(&losses)
    }
}

#[test]
fn steps_of_a_generator() {
    let (engine, plain) = (tested(), tested());
    let (mut found, mut wanted) = (Training::new(&engine), Training::new(&plain));
    for _ in 0..7 {
        assert_eq!(found.repeated(16, &[16]), wanted.piecemeal(16));
    }
    assert_eq!(engine.records(), [1, 7 - BEFORE]);
    assert_eq!(plain.records(), [0, 0]);
}

/// Each size has its record; where the sizes that are told are not all that differs, the record is
/// made anew.
#[test]
fn other_shapes() {
    let (engine, plain) = (tested(), tested());
    let (mut found, mut wanted) = (Training::new(&engine), Training::new(&plain));
    let mut records = Vec::new();
    for rows in [16, 16, 16, 16, 22, 22, 16, 22] {
        assert_eq!(found.repeated(rows, &[rows]), wanted.piecemeal(rows));
        records.push(engine.records());
    }
    let done = [[0, 0], [0, 0], [1, 1], [1, 2], [1, 2], [2, 3], [2, 4], [2, 5]];
    assert_eq!(records, done);

    let before = engine.records();
    for rows in [16, 16, 16, 22, 22, 22] {
        assert_eq!(found.repeated(rows, &[1]), wanted.piecemeal(rows));
    }
    assert_eq!(engine.records(), [before[0] + 2, before[1] + 4]);
}

/// Groups of other sizes but as many: only bytes differ that are not uploaded again.
#[test]
fn other_groups() {
    let engine = tested();
    let kernel = Kernel::zs3_code();
    let (x, y) = (normal([20, 6], 1), normal([20, 6], 2));
    let step = |middle: usize| {
        let (x, y) = (engine.upload([20, 6], &x)?, engine.upload([20, 6], &y)?);
        let group =
            |rows: core::ops::Range<usize>| MmdGroup { generated: rows.clone(), real: rows };
        let groups = [group(0..middle), group(middle..20)];
        engine.mmd(&x, &y, &Mmd { kernel: &kernel, groups: &groups, real_weights: None })
    };
    let what = Repeated { name: "groups", sizes: &[] };
    for middle in [9, 9, 9, 11, 9, 9, 11, 11, 11] {
        let found = engine.repeated(&what, || step(middle)).unwrap();
        let wanted = step(middle).unwrap();
        let [found, wanted] = [found, wanted].map(|loss| engine.read(&loss.values).unwrap());
        assert_eq!(found, wanted);
    }
    assert_eq!(engine.records(), [3, 5]);
}

/// More kinds of work than are remembered.
#[test]
fn the_oldest_record_goes() {
    let (engine, plain) = (tested(), tested());
    let (mut found, mut wanted) = (Training::new(&engine), Training::new(&plain));
    for size in (0..9).chain([0]) {
        for _ in 0..2 {
            assert_eq!(found.repeated(4, &[size]), wanted.piecemeal(4));
        }
    }
    // The very first time was that of new memory.
    assert_eq!(engine.records(), [9, 9]);
}

/// A tensor that is kept does not change when its work comes again, nor does a clone of one that
/// is changed in place.
#[test]
fn tensors_that_are_kept() {
    let engine = tested();
    let what = Repeated { name: "sums", sizes: &[] };
    let add = |x: &Device, numbers: &[f32]| {
        engine.repeated(&what, || -> zsseg::status::Result<_> {
            let mut y = engine.upload([2, 2], numbers)?;
            engine.add_scaled(&mut y, 2.0, x)?;
            Ok(y)
        })
    };
    let x = engine.upload([2, 2], &[1.0, 2.0, 3.0, 4.0]).unwrap();
    let mut kept = Vec::new();
    for step in 0..6 {
        kept.push(add(&x, &[step as f32; 4]).unwrap());
    }
    for (step, kept) in kept.iter().enumerate() {
        let step = step as f32;
        assert_eq!(values(&engine, kept), [2.0 + step, 4.0 + step, 6.0 + step, 8.0 + step]);
    }
    // Nothing was recorded, since every list needed other memory.
    assert_eq!(engine.records(), [0, 0]);

    let mut y = engine.upload([2, 2], &[0.0; 4]).unwrap();
    let what = Repeated { name: "in place", sizes: &[] };
    let mut clones = Vec::new();
    for step in 0..6 {
        if step == 4 {
            clones.push(y.clone());
        }
        engine.repeated(&what, || engine.add_scaled(&mut y, 1.0, &x)).unwrap();
    }
    assert_eq!(values(&engine, &y), [6.0, 12.0, 18.0, 24.0]);
    assert_eq!(values(&engine, &clones[0]), [4.0, 8.0, 12.0, 16.0]);
    assert_eq!(engine.records()[0], 1);
}

/// Numbers that are read inside are those of now, and what depends on them is not recorded away.
#[test]
fn reading_inside() {
    let engine = tested();
    let what = Repeated { name: "reading", sizes: &[] };
    for step in 0..5 {
        let start = [step as f32, 1.0];
        let found = engine.repeated(&what, || -> zsseg::status::Result<_> {
            let mut y = engine.upload([1, 2], &start)?;
            let x = engine.upload([1, 2], &[1.0, 1.0])?;
            engine.add_scaled(&mut y, 3.0, &x)?;
            let read = engine.download(&y)?;
            // Told to the kernel as it is: the second list is another one every time.
            engine.add_scaled(&mut y, read[0], &x)?;
            Ok((read, y))
        });
        let (read, y) = found.unwrap();
        assert_eq!(read, [start[0] + 3.0, 4.0]);
        assert_eq!(values(&engine, &y), [2.0 * read[0], 4.0 + read[0]]);
    }
    assert_eq!(engine.records(), [1, 4]);
}

/// What was asked for before an error is done, as without repeating; the engine goes on.
#[test]
fn errors_inside() {
    let engine = tested();
    let x = engine.upload([1, 2], &[1.0, 2.0]).unwrap();
    let mut y = engine.upload([1, 2], &[0.0; 2]).unwrap();
    let what = Repeated { name: "wrong", sizes: &[] };
    for _ in 0..3 {
        let wrong = engine.repeated(&what, || {
            engine.add_scaled(&mut y, 1.0, &x)?;
            engine.columns(&x, 1, 5)
        });
        let wanted = cpu().columns(&Matrix::new([1, 2], vec![1.0f32, 2.0]).unwrap(), 1, 5);
        assert_eq!(wrong.unwrap_err(), wanted.unwrap_err());
    }
    assert_eq!(values(&engine, &y), [3.0, 6.0]);
    // Inside of itself it is one piece of work.
    let nested = engine.repeated(&what, || {
        engine.repeated(&what, || engine.add_scaled(&mut y, 1.0, &x))?;
        engine.download(&y)
    });
    assert_eq!(nested.unwrap(), [4.0, 8.0]);
}
