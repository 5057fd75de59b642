//! The contrastive loss in all its forms.

use crate::support::{
    CARD, Device, GRADIENT, LOSS, Pair, SERVER, Tested, close, cpu, distance, figure, labels,
    normal, of, random, values, with,
};
use zsseg::train::cuda::{Limits, Precision};
use zsseg::train::engine::{
    Contrastive, ContrastiveLoss, Denominator, Engine, Labelled, Matrix, Pairs,
};

/// What a precision may be off by: values, gradients.
fn most(precision: Precision) -> [f64; 2] {
    match precision {
        Precision::Fp32 | Precision::Tf32x3 => [LOSS, GRADIENT],
        Precision::Tf32 => [1e-3, 1e-3],
    }
}

/// Rows of length 1.
fn unit(engine: &Tested, shape: [usize; 2], seed: u64) -> Pair {
    let mut numbers = normal(shape, seed);
    for row in numbers.chunks_exact_mut(shape[1]) {
        let length = row.iter().map(|value| value * value).sum::<f32>().sqrt();
        row.iter_mut().for_each(|value| *value /= length);
    }
    of(engine, shape, numbers)
}

/// Features with labels, on the device and in f64.
struct Set {
    rows: Pair,
    labels: Vec<i32>,
}

impl Set {
    fn new(engine: &Tested, count: usize, columns: usize, classes: i32, seed: u64) -> Set {
        let labels = labels(count, classes, seed);
        Set { rows: unit(engine, [count, columns], seed), labels }
    }
}

fn run<T, F: zsseg::train::engine::Real, E: Engine<F, Tensor = T>>(
    engine: &E,
    sets: [Option<(&T, &[i32])>; 3],
    settings: &Contrastive,
) -> ContrastiveLoss<T> {
    let of = |(rows, labels)| Labelled { rows, labels };
    let [anchors, keys, other] = sets.map(|set| set.map(of));
    let pairs = Pairs { anchors: anchors.unwrap(), keys: keys.unwrap(), other };
    engine.contrastive(&pairs, settings).unwrap()
}

/// The largest errors of the value and of the gradients.
fn check(
    engine: &Tested,
    sets: [Option<&Set>; 3],
    settings: &Contrastive,
    [value_most, gradient_most]: [f64; 2],
) -> [f64; 2] {
    let device = sets.map(|set| set.map(|set| (&set.rows.device, &*set.labels)));
    let exact = sets.map(|set| set.map(|set| (&set.rows.exact, &*set.labels)));
    let found = run(engine, device, settings);
    let wanted = run(&cpu(), exact, settings);
    assert_eq!(found.anchor_count, wanted.anchor_count);
    let value = close(found.value, wanted.value, value_most);
    assert_eq!(found.other.is_some(), wanted.other.is_some());
    let mut pairs = vec![(&found.anchors, &wanted.anchors), (&found.keys, &wanted.keys)];
    pairs.extend(found.other.as_ref().zip(wanted.other.as_ref()));
    // The pulls of an anchor's pairs, before they cancel: where little is left of them, as with a
    // single key, their rounding is what counts.
    let pulls = 1.0 / (settings.temperature * (wanted.anchor_count.max(1) as f64).sqrt());
    let error = |(found, wanted): (&Device, &Matrix<f64>)| {
        assert_eq!(engine.shape(found), wanted.shape());
        let length = wanted.values().iter().map(|value| value * value).sum::<f64>().sqrt();
        let error = distance(&values(engine, found), wanted.values());
        let error = if length == 0.0 { error.sqrt() } else { error * length };
        error / length.max(pulls)
    };
    let gradient = pairs.into_iter().map(error).fold(0.0, f64::max);
    let sizes = sets.map(|set| set.map_or(0, |set| set.labels.len()));
    assert!(gradient <= gradient_most, "{sizes:?}, {settings:?}: a distance of {gradient:e}");
    [value, gradient]
}

const FORMS: [Denominator; 2] = [Denominator::AllKeys, Denominator::PositiveAndNegatives];

fn settings(denominator: Denominator, without_self: bool) -> Contrastive {
    Contrastive { temperature: 0.07, denominator, without_self }
}

/// All forms with sets of these sizes: anchors, keys, keys of another picture.
fn check_all(limits: Limits, sizes: &[[usize; 3]], columns: usize) {
    for precision in Precision::ALL {
        let engine = with(limits, precision);
        let mut errors = [0.0f64; 2];
        for &[count, keys, others] in sizes {
            let anchors = Set::new(&engine, count, columns, 4, 1);
            let keys = Set::new(&engine, keys, columns, 4, 2);
            let other = Set::new(&engine, others, columns, 5, 3);
            for denominator in FORMS {
                for (keys, other, without_self) in [
                    (&keys, None, false),
                    (&keys, Some(&other), false),
                    (&anchors, None, true),
                    (&anchors, Some(&other), true),
                ] {
                    let sets = [Some(&anchors), Some(keys), other];
                    let settings = settings(denominator, without_self);
                    let [value, gradient] = check(&engine, sets, &settings, most(precision));
                    errors = [errors[0].max(value), errors[1].max(gradient)];
                }
            }
        }
        let kibibytes = limits.shared_bytes >> 10;
        figure(&format!("contrastive {precision:?}, {kibibytes} KiB, value"), errors[0]);
        figure(&format!("contrastive {precision:?}, {kibibytes} KiB, gradient"), errors[1]);
    }
}

#[test]
fn ragged_sizes() {
    let sizes = [
        [1, 1, 1],
        [1, 131, 63],
        [63, 64, 1],
        [64, 65, 65],
        [65, 63, 131],
        [131, 1, 64],
        [131, 131, 5],
    ];
    check_all(CARD, &sizes, 37);
}

#[test]
fn widths() {
    for columns in [1, 64, 65, 256] {
        check_all(SERVER, &[[40, 70, 30]], columns);
    }
}

#[test]
fn shared_work() {
    let limits = Limits { shared_bytes: 99 << 10, processors: 16 };
    check_all(limits, &[[131, 200, 90]], 64);
}

#[test]
fn one_class_and_lone_pixels() {
    let engine = with(CARD, Precision::default());
    let mut set = Set::new(&engine, 65, 16, 3, 1);
    for denominator in FORMS {
        // Without a negative pair; each pixel a class of its own; nobody takes part.
        let lists: [Vec<i32>; 3] = [vec![2; 65], (0..65).collect(), vec![-1; 65]];
        for labels in lists {
            set.labels = labels;
            for without_self in [false, true] {
                let sets = [Some(&set), Some(&set), None];
                check(&engine, sets, &settings(denominator, without_self), [LOSS, GRADIENT]);
            }
        }
    }
}

#[test]
fn features_of_any_length() {
    let engine = with(CARD, Precision::default());
    let numbers = normal([70, 20], 1).iter().map(|value| value * 30.0).collect();
    let set = Set { rows: of(&engine, [70, 20], numbers), labels: labels(70, 3, 2) };
    for denominator in FORMS {
        let settings = settings(denominator, true);
        check(&engine, [Some(&set), Some(&set), None], &settings, [1e-5, 1e-4]);
    }
}

#[test]
fn runs_repeat_bit_for_bit() {
    for precision in Precision::ALL {
        let engine = with(SERVER, precision);
        let set = Set::new(&engine, 131, 70, 4, 1);
        for denominator in FORMS {
            let run = || {
                let side = Some((&set.rows.device, &*set.labels));
                let found = run(&engine, [side, side, None], &settings(denominator, true));
                let bits = |values: Vec<f32>| {
                    values.iter().map(|value| value.to_bits()).collect::<Vec<u32>>()
                };
                let anchors = bits(values(&engine, &found.anchors));
                (found.value.to_bits(), anchors, bits(values(&engine, &found.keys)))
            };
            assert_eq!(run(), run());
        }
    }
}

#[test]
fn what_does_not_fit_is_refused() {
    let engine = with(CARD, Precision::default());
    let (a, b) = (random(&engine, [3, 4], 1), random(&engine, [3, 5], 2));
    let c = random(&engine, [2, 4], 3);
    let cases = [
        (&b, &[0, 1, 2][..], 0.1, false),
        (&a, &[0, 1][..], 0.1, false),
        (&a, &[0, 1, 2][..], 0.0, false),
        (&a, &[0, 1, 2][..], f64::NAN, false),
        (&c, &[0, 1][..], 0.1, true),
    ];
    for (keys, labels, temperature, without_self) in cases {
        let denominator = Denominator::AllKeys;
        let settings = Contrastive { temperature, denominator, without_self };
        let own = [0, 1, 2];
        let device = Pairs {
            anchors: Labelled { rows: &a.device, labels: &own },
            keys: Labelled { rows: &keys.device, labels },
            other: None,
        };
        let plain = Pairs {
            anchors: Labelled { rows: &a.plain, labels: &own },
            keys: Labelled { rows: &keys.plain, labels },
            other: None,
        };
        let found = engine.contrastive(&device, &settings).map(|loss| loss.value);
        assert_eq!(
            found.unwrap_err(),
            cpu().contrastive(&plain, &settings).map(|loss| loss.value).unwrap_err()
        );
    }
}
