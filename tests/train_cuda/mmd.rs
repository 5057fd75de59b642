//! The maximum mean discrepancy in every precision and with tiles of every kind of device.

use crate::support::{
    CARD, GRADIENT, LOSS, SERVER, Tested, close, cpu, distance, exact, figure, normal, of, random,
    values, weights, with,
};
use zsseg::train::cuda::{Limits, Precision};
use zsseg::train::engine::{Engine, Kernel, Mmd, MmdGroup};

/// What a precision may be off by: values, gradients.
fn most(precision: Precision) -> [f64; 2] {
    match precision {
        Precision::Fp32 | Precision::Tf32x3 => [LOSS, GRADIENT],
        Precision::Tf32 => [1e-3, 1e-3],
    }
}

/// Features, what they are compared to, and the errors.
struct Case {
    generated: [usize; 2],
    real: usize,
    groups: Vec<MmdGroup>,
    is_weighted: bool,
    kernel: Kernel,
    /// What the numbers are multiplied with, and moved by.
    scale: f32,
    shift: f32,
}

impl Case {
    fn one(generated: usize, real: usize, columns: usize) -> Case {
        Case {
            generated: [generated, columns],
            real,
            groups: vec![MmdGroup { generated: 0..generated, real: 0..real }],
            is_weighted: false,
            kernel: Kernel::zs3_code(),
            scale: 3.0 / (columns as f32).sqrt(),
            shift: 0.5,
        }
    }

    fn numbers(&self, shape: [usize; 2], seed: u64) -> Vec<f32> {
        normal(shape, seed).iter().map(|value| value * self.scale + self.shift).collect()
    }

    /// The largest errors of values and gradient.
    fn check(&self, engine: &Tested, [value_most, gradient_most]: [f64; 2]) -> [f64; 2] {
        let columns = self.generated[1];
        let mut made = self.numbers(self.generated, 1);
        // Another mean than that of the real ones.
        made.iter_mut().for_each(|value| *value += 0.3 * self.scale);
        let generated = of(engine, self.generated, made);
        let real = of(engine, [self.real, columns], self.numbers([self.real, columns], 2));
        let weights = weights(self.real, 3);
        let real_weights = self.is_weighted.then_some(&*weights);
        let settings = Mmd { kernel: &self.kernel, groups: &self.groups, real_weights };
        let found = engine.mmd(&generated.device, &real.device, &settings).unwrap();
        let weights = exact(&weights);
        let real_weights = self.is_weighted.then_some(&*weights);
        let settings = Mmd { kernel: &self.kernel, groups: &self.groups, real_weights };
        let wanted = cpu().mmd(&generated.exact, &real.exact, &settings).unwrap();
        let mut errors = [0.0f64; 2];
        let losses = engine.read(&found.values).unwrap();
        assert_eq!(losses.len(), wanted.values.len());
        for (found, wanted) in losses.iter().zip(&wanted.values) {
            errors[0] = errors[0].max(close(*found, *wanted, value_most));
        }
        errors[1] = distance(&values(engine, &found.gradient), wanted.gradient.values());
        assert!(
            errors[1] <= gradient_most,
            "{:?} and {} rows: a relative distance of {:e}",
            self.generated,
            self.real,
            errors[1]
        );
        errors
    }
}

fn check_all(limits: Limits, cases: &[Case]) {
    for precision in Precision::ALL {
        let engine = with(limits, precision);
        let mut errors = [0.0f64; 2];
        for case in cases {
            let [value, gradient] = case.check(&engine, most(precision));
            errors = [errors[0].max(value), errors[1].max(gradient)];
        }
        let kibibytes = limits.shared_bytes >> 10;
        figure(&format!("mmd {precision:?}, {kibibytes} KiB, value"), errors[0]);
        figure(&format!("mmd {precision:?}, {kibibytes} KiB, gradient"), errors[1]);
    }
}

#[test]
fn ragged_sizes() {
    let sizes = [1, 63, 64, 65, 131];
    let pairs = sizes.into_iter().flat_map(|m| sizes.map(|n| (m, n)));
    let cases: Vec<Case> = pairs.map(|(m, n)| Case::one(m, n, 37)).collect();
    check_all(CARD, &cases);
}

#[test]
fn widths() {
    let cases: Vec<Case> =
        [1, 63, 64, 65, 131, 256].map(|columns| Case::one(40, 70, columns)).into();
    check_all(CARD, &cases);
    check_all(SERVER, &cases);
}

#[test]
fn wide_features() {
    let engine = with(CARD, Precision::default());
    for columns in [320, 512, 900, 1_024] {
        Case::one(19, 33, columns).check(&engine, most(Precision::default()));
    }
}

#[test]
fn groups_and_weights() {
    let group = |generated, real| MmdGroup { generated, real };
    let groups = vec![
        group(0..1, 0..1),
        group(1..40, 0..1),
        group(40..41, 1..90),
        // Rows may be in two groups, and rows in none.
        group(30..100, 80..150),
    ];
    for kernel in [Kernel::zs3_code(), Kernel::variances(&[3.0, 7.5]).unwrap()] {
        let case = Case {
            generated: [110, 20],
            real: 160,
            groups: groups.clone(),
            is_weighted: true,
            kernel,
            ..Case::one(1, 1, 20)
        };
        check_all(CARD, &[case]);
    }
    let case = Case { kernel: Kernel::zs3_paper(), scale: 10.0, ..Case::one(30, 50, 20) };
    check_all(SERVER, &[case]);
}

/// Sizes that several blocks of threads share.
#[test]
fn shared_work() {
    let limits = Limits { shared_bytes: 99 << 10, processors: 16 };
    check_all(limits, &[Case::one(128, 128, 256), Case::one(90, 131, 64)]);
}

/// Distances that are small beside the features' lengths.
#[test]
fn huge_norms() {
    let case = Case { shift: 100.0, scale: 1.0, ..Case::one(65, 131, 16) };
    check_all(CARD, &[case]);
}

#[test]
fn identical_sets() {
    for precision in Precision::ALL {
        let engine = with(CARD, precision);
        let x = random(&engine, [70, 20], 1);
        let groups = [MmdGroup { generated: 0..70, real: 0..70 }];
        let kernel = Kernel::zs3_code();
        let settings = Mmd { kernel: &kernel, groups: &groups, real_weights: None };
        let found = engine.mmd(&x.device, &x.device, &settings).unwrap();
        let wanted = cpu().mmd(&x.exact, &x.exact, &settings_f64(&kernel, &groups)).unwrap();
        let read = |numbers| engine.read(numbers).unwrap()[0];
        let (square, value) = (read(&found.squares), read(&found.values));
        assert!(square.abs() < 1e-6, "{square:e}");
        assert_eq!(wanted.values, [1e-6]);
        assert!((1e-6..1e-3).contains(&value));
        assert!(values(&engine, &found.gradient).iter().all(|value| value.is_finite()));
    }
}

fn settings_f64<'a>(kernel: &'a Kernel, groups: &'a [MmdGroup]) -> Mmd<'a, f64> {
    Mmd { kernel, groups, real_weights: None }
}

#[test]
fn nothing_and_not_a_number() {
    let engine = with(CARD, Precision::default());
    let mut numbers = normal([5, 3], 1);
    numbers[4] = f32::NAN;
    let (x, y) = (of(&engine, [5, 3], numbers), random(&engine, [4, 3], 2));
    let kernel = Kernel::zs3_code();
    let settings = Mmd { kernel: &kernel, groups: &[], real_weights: None };
    let found = engine.mmd(&x.device, &y.device, &settings).unwrap();
    assert!(engine.read(&found.values).unwrap().is_empty());
    assert_eq!(values(&engine, &found.gradient), [0.0; 15]);
    let groups = [MmdGroup { generated: 0..5, real: 0..4 }];
    let settings = Mmd { kernel: &kernel, groups: &groups, real_weights: None };
    let found = engine.mmd(&x.device, &y.device, &settings).unwrap();
    assert!(engine.read(&found.values).unwrap()[0].is_nan());
}

#[test]
fn runs_repeat_bit_for_bit() {
    for precision in Precision::ALL {
        let engine = with(SERVER, precision);
        let (x, y) = (random(&engine, [90, 70], 1), random(&engine, [131, 70], 2));
        let kernel = Kernel::zs3_code();
        let groups = [MmdGroup { generated: 0..90, real: 0..131 }];
        let settings = Mmd { kernel: &kernel, groups: &groups, real_weights: None };
        let run = || {
            let found = engine.mmd(&x.device, &y.device, &settings).unwrap();
            let bits: Vec<u32> =
                values(&engine, &found.gradient).iter().map(|value| value.to_bits()).collect();
            (engine.read(&found.values).unwrap()[0].to_bits(), bits)
        };
        assert_eq!(run(), run());
    }
}
