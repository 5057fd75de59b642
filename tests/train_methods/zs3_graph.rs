//! The generator's derivatives, and graphs of regions.

use crate::support::{CLASSES, DIM, Synthetic, embeddings, engine, roles};
use crate::zs3::{UNSEEN, brief, run_stage};
use zsseg::train::data::EmbeddingTable;
use zsseg::train::engine::{Activation, Draw, Engine, Kernel, Matrix, Mmd, MmdGroup, Noise};
use zsseg::train::layers::{Chain, convolve, convolve_backward};
use zsseg::train::methods::{GraphSettings, Regions, Zs3};
use zsseg::train::{Method, State, Task, View};

/// Weight and bias.
type Layer<'a> = [&'a Matrix<f64>; 2];

fn random(shape: [usize; 2], stream: u32) -> Matrix<f64> {
    engine().noise(shape, Noise::Normal, Draw { seed: 4, step: 0, stream }).unwrap()
}

fn matrix(shape: [usize; 2], values: &[f64]) -> Matrix<f64> {
    Matrix::new(shape, values.to_vec()).unwrap()
}

/// Checks a gradient against central differences in every coordinate, relative error 1e-4.
fn check(x: &Matrix<f64>, gradient: &Matrix<f64>, value: impl Fn(&Matrix<f64>) -> f64) {
    const STEP: f64 = 1e-5;
    assert_eq!(x.shape(), gradient.shape());
    let (mut error, mut size) = (0.0f64, 0.0f64);
    for (index, found) in gradient.values().iter().enumerate() {
        let at = |step: f64| {
            let mut moved = x.clone();
            moved.values_mut()[index] += step;
            value(&moved)
        };
        let wanted = (at(STEP) - at(-STEP)) / (2.0 * STEP);
        error += (found - wanted).powi(2);
        size += found.powi(2) + wanted.powi(2);
    }
    assert!(size > 0.0 && (error / size).sqrt() < 1e-4, "{error} of {size}");
}

/// G10 of methods.md 12.
#[test]
fn a_layer_of_a_graph_gives_the_golden_values() {
    let adjacency = matrix([2, 2], &[0.0, 1.0, 1.0, 0.0]);
    let x = matrix([2, 2], &[1.0, 2.0, 3.0, 4.0]);
    let (weight, bias) = (matrix([2, 2], &[1.0, 0.0, 0.0, 1.0]), matrix([1, 2], &[0.5, -0.5]));
    let found = convolve(&engine(), &x, [&weight, &bias], Some(&adjacency)).unwrap();
    assert_eq!(found.values(), [3.5, 3.5, 1.5, 1.5]);
}

#[test]
fn a_layer_of_a_graph_has_the_gradients_of_differences() {
    let (x, weight, bias) = (random([4, 3], 1), random([5, 3], 2), random([1, 5], 3));
    // Not symmetric, so that a transposition would show.
    let (adjacency, dy) = (random([4, 4], 4), random([4, 5], 5));
    let engine = engine();
    for adjacency in [None, Some(&adjacency)] {
        let value = |x: &Matrix<f64>, weight: &Matrix<f64>, bias: &Matrix<f64>| -> f64 {
            let y = convolve(&engine, x, [weight, bias], adjacency).unwrap();
            y.values().iter().zip(dy.values()).map(|(a, b)| a * b).sum()
        };
        let (found, dx) = convolve_backward(&engine, &x, &weight, adjacency, &dy).unwrap();
        check(&x, &dx, |x| value(x, &weight, &bias));
        check(&weight, &found.weight, |weight| value(&x, weight, &bias));
        check(&bias, &found.bias, |bias| value(&x, &weight, bias));
    }
}

/// From the layers through dropout, activation and graph to the discrepancy.
#[test]
fn the_whole_generator_has_the_gradients_of_differences() {
    let engine = engine();
    let (rows, inputs, hidden, channels) = (6, 5, 7, 4);
    let (input, real) = (random([rows, inputs], 1), random([8, channels], 2));
    let (w1, b1) = (random([hidden, inputs], 3), random([1, hidden], 4));
    let (w2, b2) = (random([channels, hidden], 5), random([1, channels], 6));
    let single = random([channels, inputs], 7);
    let graph = random([rows, rows], 8);
    let draw = Draw { seed: 1, step: 2, stream: 3 };
    let activation = Activation { slope: 0.2, dropout: 0.5, draw };
    let groups = [MmdGroup { generated: 0..rows, real: 0..8 }];
    let kernel = Kernel::zs3_code();
    let mmd = Mmd { kernel: &kernel, groups: &groups, real_weights: None };
    let loss = |hidden: Option<Layer<'_>>, output: Layer<'_>, graph: Option<&_>, relu: bool| {
        let chain = Chain { hidden, output, adjacency: graph, activation, relu };
        let trace = chain.forward(&engine, input.clone()).unwrap();
        let found = engine.mmd(&trace.output, &real, &mmd).unwrap();
        (found.values[0], chain.backward(&engine, &trace, &found.gradient).unwrap())
    };
    for (graph, relu) in [(None, false), (None, true), (Some(&graph), false)] {
        let gradients = loss(Some([&w1, &b1]), [&w2, &b2], graph, relu).1;
        let first = gradients.hidden.unwrap();
        check(&w1, &first.weight, |w1| loss(Some([w1, &b1]), [&w2, &b2], graph, relu).0);
        check(&b1, &first.bias, |b1| loss(Some([&w1, b1]), [&w2, &b2], graph, relu).0);
        let last = gradients.output;
        check(&w2, &last.weight, |w2| loss(Some([&w1, &b1]), [w2, &b2], graph, relu).0);
        check(&b2, &last.bias, |b2| loss(Some([&w1, &b1]), [&w2, b2], graph, relu).0);
    }
    let gradients = loss(None, [&single, &b2], None, false).1;
    assert!(gradients.hidden.is_none());
    check(&single, &gradients.output.weight, |one| loss(None, [one, &b2], None, false).0);
}

/// ```text
/// 0 0 1 -
/// 0 1 0 -
/// 2 2 0 0
/// ```
/// The zeros touch by corners, and so do the ones.
#[test]
fn regions_touch_by_corners() {
    let labels = [0, 0, 1, -1, 0, 1, 0, -1, 2, 2, 0, 0];
    let regions = Regions::of(&labels, [3, 4]);
    assert_eq!(regions.labels(), [0, 1, -1, 2]);
    assert_eq!(regions.of_cell(), [0, 0, 1, 2, 0, 1, 0, 2, 3, 3, 0, 0]);
    let edges = [(0, 1), (0, 2), (0, 3), (1, 2), (1, 3)];
    let raw = regions.adjacency(false).unwrap();
    for one in 0..4 {
        for other in 0..4 {
            let touch = edges.contains(&(one, other)) || edges.contains(&(other, one));
            assert_eq!(raw.row(one).unwrap()[other], f32::from(u8::from(touch)), "{one} {other}");
        }
    }
    let normalised = regions.adjacency(true).unwrap();
    // Degrees with the loop: 4, 4, 3, 3.
    assert!((normalised.row(0).unwrap()[0] - 0.25).abs() < 1e-6);
    assert!((normalised.row(0).unwrap()[2] - 1.0 / 12f32.sqrt()).abs() < 1e-6);
    assert_eq!(normalised.row(2).unwrap()[3], 0.0);
    let rows = Matrix::new([12, 1], (0..12).map(|cell| cell as f32).collect()).unwrap();
    let mean = regions.features(&rows, false).unwrap();
    assert_eq!(mean.values(), [32.0 / 6.0, 3.5, 5.0, 8.5].map(|mean: f64| mean as f32));
    assert_eq!(regions.features(&rows, true).unwrap().values(), [0.0, 2.0, 3.0, 8.0]);
    let table = Matrix::new([3, 2], vec![1.0f32, 0.0, 0.0, 4.0, 2.0, 2.0]).unwrap();
    // Six cells, two and two; two without a label do not count.
    assert_eq!(regions.context(regions.labels(), &table), [1.0, 1.2]);
    assert_eq!(regions.context(&[0, 1, -1, 1], &table), [0.6, 1.6]);
    assert_eq!(regions.context(&[-1; 4], &table), [0.0, 0.0]);
}

/// Embeddings whose first number is 1 in all classes.
fn with_ones() -> EmbeddingTable {
    let mut values = embeddings().values().to_vec();
    values.iter_mut().step_by(DIM).for_each(|value| *value = 1.0);
    EmbeddingTable::new(CLASSES.map(String::from).to_vec(), DIM, values).unwrap()
}

/// A generator over graphs that looks at one of its inputs only.
fn looking_at(input: usize, graph: &State) -> State {
    let mut state = graph.clone();
    let weights = state.matrices.get_mut("graph generator.hidden.weight").unwrap();
    assert_eq!(weights.shape()[1], 2 * DIM);
    for (unit, row) in weights.rows_mut().enumerate() {
        row.fill(0.0);
        row[input] = 0.1 * (unit + 1) as f32;
    }
    state
}

/// A number that all classes have in common is the context's as well. So it makes no difference,
/// to the generator's discrepancy and to the classifier, whether a generator looks at that number
/// of the regions or at that of the context; it would with noise in the context's place.
#[test]
fn the_context_has_what_all_classes_have_in_common() {
    let pictures = Synthetic::new(10, 0.3, &[View::PLAIN], 1);
    let (joined, roles, table, engine) = (pictures.joined(), roles(&UNSEEN), with_ones(), engine());
    let task = Task::new(&roles, &table, &joined, 3).unwrap();
    let mut settings = brief();
    settings.classifier.unseen_share = 1.0;
    let graph =
        GraphSettings { steps: 3, pictures_per_step: 2, context_aware: true, ..Default::default() };
    settings.graph = Some(graph);
    let method = Zs3::new(&engine, &task, settings).unwrap();
    let mut done = Vec::new();
    for stage in 0..method.stages().len() - 1 {
        done.push(run_stage(&method, stage, &done, &[]));
    }
    assert_eq!(method.stages()[1], "graph");
    let [own, context, other] = [0, DIM, DIM + 1].map(|input| looking_at(input, &done[1]));
    let report = |generator: &State| {
        let mut stage = method.begin(1, &done).unwrap();
        stage.restore(generator).unwrap();
        stage.step(0).unwrap()
    };
    assert!(!report(&own).is_empty());
    assert_eq!(report(&own), report(&context));
    assert_ne!(report(&own), report(&other));
    let classifier = |generator: &State| {
        let mut done = done.clone();
        done[1] = generator.clone();
        run_stage(&method, done.len(), &done, &[])
    };
    assert_eq!(classifier(&own), classifier(&context));
    assert_ne!(classifier(&own), classifier(&other));
}

/// Against filling, cell by cell.
#[test]
fn regions_are_those_of_filling() {
    for seed in 0..40u32 {
        let grid = [1 + seed as usize % 7, 1 + seed as usize / 6];
        let numbers = random(grid, 100 + seed);
        let labels: Vec<i32> =
            numbers.values().iter().map(|number| (number.abs() * 2.0) as i32 - 1).collect();
        let regions = Regions::of(&labels, grid);
        let mut filled = vec![usize::MAX; labels.len()];
        let mut count = 0;
        for start in 0..labels.len() {
            if filled[start] != usize::MAX {
                continue;
            }
            let mut open = vec![start];
            while let Some(cell) = open.pop() {
                filled[cell] = count;
                let (row, column) = (cell / grid[1], cell % grid[1]);
                for other in 0..labels.len() {
                    let near = (other / grid[1]).abs_diff(row) < 2
                        && (other % grid[1]).abs_diff(column) < 2;
                    if near && filled[other] == usize::MAX && labels[other] == labels[cell] {
                        open.push(other);
                    }
                }
            }
            count += 1;
        }
        assert_eq!(regions.of_cell(), filled, "{labels:?} {grid:?}");
        assert_eq!(regions.labels().len(), count);
    }
}
