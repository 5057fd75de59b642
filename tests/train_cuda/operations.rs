//! Products, sums, copies, lengths and steps.

use crate::support::{
    GRADIENT, Pair, cpu, exact, figure, near, of, random, same_bits, tested, values, weights,
};
use zsseg::train::engine::{
    Adam, AdamPart, AdamState, Engine, Matrix, Normalised, Product, Sgd, SgdPart,
};

/// Sizes around the edges of blocks.
const SIZES: [usize; 5] = [1, 63, 64, 65, 131];

#[test]
fn products() {
    let engine = tested();
    for (m, n, k) in [(1, 1, 1), (63, 65, 131), (64, 1, 7), (5, 131, 64), (3, 4, 0), (0, 4, 3)] {
        let bias = random(&engine, [1, n], 3);
        for (form, a, b) in [
            (Product::Nn, [m, k], [k, n]),
            (Product::Nt, [m, k], [n, k]),
            (Product::Tn, [k, m], [k, n]),
        ] {
            if a[1] == 0 || b[1] == 0 {
                continue;
            }
            let (a, b) = (random(&engine, a, 1), random(&engine, b, 2));
            for with_bias in [false, true] {
                let device = with_bias.then_some(&bias.device);
                let found = engine.product(form, &a.device, &b.device, device).unwrap();
                let bias = with_bias.then_some(&bias.exact);
                let wanted = cpu().product(form, &a.exact, &b.exact, bias).unwrap();
                near(&engine, &found, &wanted, 1e-6);
            }
        }
    }
}

#[test]
fn column_sums() {
    let engine = tested();
    let mut most = 0.0f64;
    for rows in [0, 1, 2, 7, 511, 512, 513, 5_000] {
        for columns in [1, 31, 32, 33, 70] {
            // Of one sign: a sum that cancels says little about its terms.
            let x = of(&engine, [rows, columns], weights(rows * columns, 5));
            let found = engine.column_sums(&x.device).unwrap();
            let wanted = cpu().column_sums(&x.exact).unwrap();
            most = most.max(near(&engine, &found, &wanted, 1e-6));
        }
    }
    figure("sums of columns", most);
}

#[test]
fn rows_and_columns_have_the_same_bits() {
    let engine = tested();
    for rows in SIZES {
        let x = random(&engine, [rows, 33], 1);
        let mut y = random(&engine, [rows, 33], 2);
        let before = y.device.clone();
        engine.add_scaled(&mut y.device, 0.3, &x.device).unwrap();
        same_bits(&engine, &before, &y.plain);
        cpu().add_scaled(&mut y.plain, 0.3, &x.plain).unwrap();
        same_bits(&engine, &y.device, &y.plain);

        let indices: Vec<usize> = (0..rows * 2).map(|index| index * 7 % rows).collect();
        let found = engine.gather_rows(&x.device, &indices).unwrap();
        same_bits(&engine, &found, &cpu().gather_rows(&x.plain, &indices).unwrap());
        let dy = random(&engine, [indices.len(), 5], 3);
        let found = engine.scatter_rows(&dy.device, &indices, rows + 2).unwrap();
        same_bits(&engine, &found, &cpu().scatter_rows(&dy.plain, &indices, rows + 2).unwrap());

        let narrow = random(&engine, [rows, 2], 4);
        let parts = [&x.device, &narrow.device, &x.device];
        let found = engine.join_columns(&parts).unwrap();
        let wanted = cpu().join_columns(&[&x.plain, &narrow.plain, &x.plain]).unwrap();
        same_bits(&engine, &found, &wanted);
        let found = engine.columns(&found, 31, 6).unwrap();
        same_bits(&engine, &found, &cpu().columns(&wanted, 31, 6).unwrap());
    }
    let none = engine.gather_rows(&random(&engine, [3, 2], 1).device, &[]).unwrap();
    assert_eq!(engine.shape(&none), [0, 2]);
    let zeros = engine.scatter_rows(&none, &[], 2).unwrap();
    assert_eq!(values(&engine, &zeros), [0.0; 4]);
}

#[test]
fn lengths() {
    let engine = tested();
    let mut most = 0.0f64;
    for rows in SIZES {
        for columns in [1, 31, 33, 256] {
            let mut x = random(&engine, [rows, columns], 1);
            if rows > 1 {
                x = {
                    let mut values = x.plain.into_values();
                    // A row of zeros, one that is too short, one that is very long.
                    values[..columns].fill(0.0);
                    values[columns..2 * columns].fill(1e-20);
                    let last = values.len() - columns;
                    values[last..].iter_mut().for_each(|value| *value *= 1e15);
                    of(&engine, [rows, columns], values)
                };
            }
            let dy = random(&engine, [rows, columns], 2);
            let found = engine.normalise(&x.device).unwrap();
            let wanted: Normalised<Matrix<f64>> = cpu().normalise(&x.exact).unwrap();
            most = most.max(near(&engine, &found.rows, &wanted.rows, 1e-6));
            near(&engine, &found.norms, &wanted.norms, 1e-6);
            let found = engine.normalise_backward(&found, &dy.device).unwrap();
            let wanted = cpu().normalise_backward(&wanted, &dy.exact).unwrap();
            if columns > 1 {
                most = most.max(near(&engine, &found, &wanted, GRADIENT));
            }
        }
    }
    figure("lengths", most);
}

#[test]
fn steps_have_the_same_bits() {
    let engine = tested();
    let shape = [37, 11];
    let (mut w, g) = (random(&engine, shape, 1), random(&engine, shape, 2));
    let start = w.device.clone();
    let mut device: AdamState<_> = engine.adam_state(shape).unwrap();
    let mut plain: AdamState<Matrix<f32>> = cpu().adam_state(shape).unwrap();
    let adam = Adam { rate: 0.01, ..Adam::default() };
    for _ in 0..5 {
        engine.adam_step(&mut w.device, &g.device, &mut device, &adam).unwrap();
        cpu().adam_step(&mut w.plain, &g.plain, &mut plain, &adam).unwrap();
    }
    assert_eq!(device.steps, 5);
    same_bits(&engine, &w.device, &w.plain);
    same_bits(&engine, &device.second, &plain.second);

    let mut velocity = random(&engine, shape, 3);
    let sgd = Sgd { rate: 0.1, momentum: 0.9, weight_decay: 5e-4 };
    for _ in 0..3 {
        engine.sgd_step(&mut w.device, &g.device, &mut velocity.device, &sgd).unwrap();
        cpu().sgd_step(&mut w.plain, &g.plain, &mut velocity.plain, &sgd).unwrap();
    }
    same_bits(&engine, &w.device, &w.plain);
    same_bits(&engine, &velocity.device, &velocity.plain);
    // A clone that was taken before has not changed with it.
    same_bits(&engine, &start, &random(&engine, shape, 1).plain);
}

/// Sizes of parameters around the edges of the blocks that step them.
const PARAMETERS: [[usize; 2]; 6] = [[1, 1], [0, 4], [31, 33], [32, 32], [25, 41], [77, 40]];

/// Parameters of a list are stepped as each by itself, with settings and steps of its own.
#[test]
fn steps_of_many_parameters_have_the_same_bits() {
    let engine = tested();
    let of_seed = |seed| -> Vec<_> {
        PARAMETERS.map(|shape| random(&engine, shape, seed)).into_iter().collect()
    };
    let (mut w, mut velocities, g) = (of_seed(1), of_seed(2), of_seed(3));
    let settings = |index: usize| Adam { rate: 0.01 * (index + 1) as f64, ..Adam::default() };
    let slowed = |index: usize| Sgd {
        rate: 0.1 / (index + 1) as f64,
        momentum: 0.9,
        weight_decay: 1e-3 * index as f64,
    };
    let mut device: Vec<AdamState<_>> =
        PARAMETERS.map(|shape| engine.adam_state(shape).unwrap()).into();
    let mut plain: Vec<AdamState<Matrix<f32>>> =
        PARAMETERS.map(|shape| cpu().adam_state(shape).unwrap()).into();
    device[2].steps = 7;
    plain[2].steps = 7;
    for _ in 0..3 {
        let states = w.iter_mut().zip(&mut device).zip(&g).enumerate();
        let part = |(index, ((w, state), g))| {
            let (w, g): (&mut Pair, &Pair) = (w, g);
            let (parameters, gradient) = (&mut w.device, &g.device);
            AdamPart { parameters, gradient, state, adam: settings(index) }
        };
        engine.adam_steps(&mut states.map(part).collect::<Vec<_>>()).unwrap();
        for (index, ((w, state), g)) in w.iter_mut().zip(&mut plain).zip(&g).enumerate() {
            cpu().adam_step(&mut w.plain, &g.plain, state, &settings(index)).unwrap();
        }
        let speeds = w.iter_mut().zip(&mut velocities).zip(&g).enumerate();
        let part = |(index, ((w, v), g))| {
            let (w, g): (&mut Pair, &Pair) = (w, g);
            let v: &mut Pair = v;
            let (parameters, gradient, velocity) = (&mut w.device, &g.device, &mut v.device);
            SgdPart { parameters, gradient, velocity, sgd: slowed(index) }
        };
        engine.sgd_steps(&mut speeds.map(part).collect::<Vec<_>>()).unwrap();
        for (index, ((w, v), g)) in w.iter_mut().zip(&mut velocities).zip(&g).enumerate() {
            cpu().sgd_step(&mut w.plain, &g.plain, &mut v.plain, &slowed(index)).unwrap();
        }
    }
    for (index, (w, v)) in w.iter().zip(&velocities).enumerate() {
        same_bits(&engine, &w.device, &w.plain);
        same_bits(&engine, &v.device, &v.plain);
        same_bits(&engine, &device[index].first, &plain[index].first);
        same_bits(&engine, &device[index].second, &plain[index].second);
        assert_eq!(device[index].steps, plain[index].steps);
    }
    engine.adam_steps(&mut []).unwrap();
}

/// Two workers have half of a batch each; what they add up in one piece gives the gradients of the
/// whole batch.
#[test]
fn flat_gradients_of_two_workers() {
    let engine = tested();
    let (x, y) = (random(&engine, [24, 5], 1), random(&engine, [24, 3], 2));
    let w = random(&engine, [3, 5], 3);
    // Of the sum of squares, so that halves add up.
    let gradients = |rows: core::ops::Range<usize>| {
        let rows: Vec<usize> = rows.collect();
        let [x, y] = [&x, &y].map(|pair| engine.gather_rows(&pair.device, &rows).unwrap());
        let mut error = engine.product(Product::Nt, &x, &w.device, None).unwrap();
        engine.add_scaled(&mut error, -1.0, &y).unwrap();
        let by_w = engine.product(Product::Tn, &error, &x, None).unwrap();
        (by_w, engine.gather_rows(&x, &[]).unwrap(), engine.column_sums(&error).unwrap())
    };
    let flat = |(w, nothing, b): &(_, _, _)| engine.flat(&[w, nothing, b]).unwrap();
    let mut sum = flat(&gradients(0..12));
    assert_eq!(engine.shape(&sum), [18, 1]);
    let shapes = [[3, 5], [0, 5], [1, 3]];
    let parts = engine.unflat(&sum, &shapes).unwrap();
    assert_eq!(values(&engine, &parts[0]), values(&engine, &gradients(0..12).0));
    engine.add_scaled(&mut sum, 1.0, &flat(&gradients(12..24))).unwrap();
    let parts = engine.unflat(&sum, &shapes).unwrap();
    let whole = gradients(0..24);
    for (part, whole) in [(&parts[0], &whole.0), (&parts[2], &whole.2)] {
        let numbers = exact(&values(&engine, whole));
        let wanted = Matrix::new(engine.shape(whole), numbers).unwrap();
        near(&engine, part, &wanted, 1e-6);
    }
    assert!(engine.unflat(&sum, &shapes[..2]).is_err());
    let none = engine.flat(&[]).unwrap();
    assert!(engine.unflat(&none, &[]).unwrap().is_empty());
}
