//! SAZS: edges, losses against finite differences, and training on made-up pictures.

use crate::support::{CLASSES, DIM, Synthetic, embeddings, engine, normal, roles};
use zsseg::train::data::{Label, LabelMap};
use zsseg::train::engine::{CpuEngine, Draw, Engine, Matrix, Noise, Product};
use zsseg::train::methods::OptimiserKind;
use zsseg::train::methods::sazs::{
    EdgeInput, EdgeMaps, EdgeRule, Episode, Example, InverseForm, LossSettings, Losses, Parameters,
    Sazs, SazsSettings, ShapeMode, Shapes, attention_weights, edge_targets, inverse_form_distance,
    losses, moment_loss,
};
use zsseg::train::{Error, Features, HeadForm, Method, Model, Task, View, run_method, targets};

const LIST: [Label; 4] = [Label::Class(0), Label::Class(1), Label::Class(2), Label::Void];

fn map(rows: &[&str]) -> LabelMap {
    let label = |letter: char| LIST["012.".find(letter).unwrap()];
    let labels: Vec<Label> = rows.iter().flat_map(|row| row.chars().map(label)).collect();
    LabelMap::new(rows[0].len() as u32, rows.len() as u32, 3, &labels).unwrap()
}

fn random64(shape: [usize; 2], seed: u64) -> Matrix<f64> {
    engine().noise(shape, Noise::Normal, Draw { seed, step: 0, stream: 0 }).unwrap()
}

/// Checks a gradient against central differences in every coordinate.
#[track_caller]
fn check_gradient(x: &[f64], gradient: &[f64], value: impl Fn(&[f64]) -> f64) {
    const STEP: f64 = 1e-5;
    let found = (0..x.len()).map(|index| {
        let at = |step: f64| {
            let mut moved = x.to_vec();
            moved[index] += step;
            value(&moved)
        };
        (at(STEP) - at(-STEP)) / (2.0 * STEP)
    });
    let found: Vec<f64> = found.collect();
    let error: f64 = found.iter().zip(gradient).map(|(a, b)| (a - b) * (a - b)).sum();
    let size: f64 = found.iter().zip(gradient).map(|(a, b)| a * a + b * b).sum();
    assert!(size > 1e-12, "no gradient at all");
    let error = (error / size).sqrt();
    assert!(error < 1e-4, "{error}: {gradient:?} instead of {found:?}");
}

#[test]
fn g7_inverse_form_distance() {
    let rows = [3.0, 4.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0];
    assert_eq!(inverse_form_distance(&rows, 4).value, 2.5);
    assert_eq!(inverse_form_distance(&rows.map(|x| x as f32), 4).value, 2.5);
}

#[test]
fn g12_weights_at_edges() {
    assert_eq!(attention_weights(&[0, 0, 0, 1], 2), [1.25, 1.75]);
    assert_eq!(attention_weights(&[-1, 2, -1], 3), [1.0, 1.0, 1.0]);
    assert_eq!(attention_weights(&[], 2), [1.0, 1.0]);
}

#[test]
fn boundaries_lie_where_labels_meet() {
    let plain = map(&["0000000000001111"; 2]);
    let found = edge_targets(&plain, [1, 16], EdgeRule::Boundary, 0);
    assert_eq!(found, [0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 1, 1, 0]);
    // Pooling keeps thin edges, nearest neighbours lose them.
    let found = edge_targets(&plain, [1, 2], EdgeRule::Boundary, 0);
    assert_eq!(found, [0, 1]);
    // The border of VOC is void; the edge lies in its middle.
    let void = map(&["000000....111111"; 2]);
    let found = edge_targets(&void, [1, 16], EdgeRule::Boundary, 2);
    assert_eq!(found, [0, 0, 0, 0, 0, 1, 1, 1, 1, 1, 1, 0, 0, 0, 0, 0]);
    // Padding has no edge, and says nothing.
    let padded = map(&["00000000........"; 2]);
    let found = edge_targets(&padded, [1, 4], EdgeRule::Boundary, 2);
    assert_eq!(found, [0, 0, -1, -1]);
}

/// The distance of each pixel of `inside` to the nearest pixel that is not, as SciPy's
/// `distance_transform_edt` has it; 0 elsewhere.
fn distances(inside: &[bool], width: usize) -> Vec<f64> {
    let place = |pixel: usize| ((pixel / width) as f64, (pixel % width) as f64);
    let outside: Vec<usize> = (0..inside.len()).filter(|&pixel| !inside[pixel]).collect();
    let nearest = |pixel: usize| {
        let (y, x) = place(pixel);
        let to = |other: &usize| (place(*other).0 - y).hypot(place(*other).1 - x);
        outside.iter().map(to).fold(f64::INFINITY, f64::min)
    };
    (0..inside.len()).map(|pixel| if inside[pixel] { nearest(pixel) } else { 0.0 }).collect()
}

#[test]
fn edges_by_distance_are_those_of_distance_transforms() {
    let noise = normal([7, 9], 4, 0);
    let coarse = |value: &f32| LIST[((value + 2.0).clamp(0.0, 3.9)) as usize];
    let mut labels: Vec<Label> = noise.values().iter().map(coarse).collect();
    // A part that is quiet, so that not everything is an edge.
    for pixel in (0..63).filter(|pixel| pixel % 9 > 2) {
        labels[pixel] = LIST[2];
    }
    let labels = LabelMap::new(9, 7, 3, &labels).unwrap();
    let mut wanted = vec![0; 63];
    let (height, width) = (9, 11);
    for class in &LIST[..2] {
        let mut inside = vec![false; height * width];
        for (pixel, label) in labels.iter().enumerate() {
            inside[(pixel / 9 + 1) * width + pixel % 9 + 1] = label == *class;
        }
        let not: Vec<bool> = inside.iter().map(|inside| !inside).collect();
        if !inside.contains(&true) {
            continue;
        }
        let sums = distances(&inside, width).into_iter().zip(distances(&not, width));
        for (pixel, (one, other)) in sums.enumerate() {
            let (row, column) = (pixel / width, pixel % width);
            let inner = (1..=7).contains(&row) && (1..=9).contains(&column);
            if inner && one + other > 0.0 && one + other <= 2.0 {
                wanted[(row - 1) * 9 + column - 1] = 1;
            }
        }
    }
    assert!(wanted.contains(&0) && wanted.contains(&1));
    assert_eq!(edge_targets(&labels, [7, 9], EdgeRule::Distance, 0), wanted);
}

/// Two pictures of 6 x 8 cells with a frame of edges each.
fn edge_maps() -> Vec<i32> {
    let cell = |index: usize| {
        let (row, column) = (index % 48 / 8, index % 8);
        match (row, column) {
            (0, 0) => -1,
            (1, 1..=5) | (4, 1..=5) | (_, 1) => 1,
            (1..=4, 5) => 1,
            _ => 0,
        }
    };
    (0..96).map(cell).collect()
}

#[test]
fn edges_that_are_right_have_the_right_shape() {
    let targets = edge_maps();
    let right: Vec<f64> =
        targets.iter().map(|&target| if target == 1 { 60.0 } else { -60.0 }).collect();
    let value = |logits: &[f64]| {
        moment_loss(&EdgeMaps { grid: [6, 8], logits, targets: &targets }, [2, 2], 2.0).value
    };
    assert!(value(&right) < 1e-12, "{}", value(&right));
    let mut moved = right.clone();
    moved.rotate_right(1);
    assert!(value(&moved) > 0.1, "{}", value(&moved));
    assert!(value(&[0.0; 96]) > 0.1);
    let none = EdgeMaps { grid: [6, 8], logits: &right, targets: &[0; 96] };
    assert_eq!(moment_loss(&none, [2, 2], 2.0).value, 0.0);
}

#[test]
fn the_surrogate_has_the_gradient_of_its_value() {
    let targets = edge_maps();
    for tiles in [[1, 1], [2, 3], [6, 8]] {
        let x = random64([96, 1], 3);
        let least = if tiles == [6, 8] { 0.5 } else { 2.0 };
        let loss = |logits: &[f64]| {
            moment_loss(&EdgeMaps { grid: [6, 8], logits, targets: &targets }, tiles, least)
        };
        let found = loss(x.values());
        assert!(found.value > 0.0 || tiles == [6, 8]);
        if tiles != [6, 8] {
            check_gradient(x.values(), &found.gradient, |x| loss(x).value);
        }
    }
}

fn inverse_form(side: usize) -> InverseForm<Matrix<f64>> {
    let layer = |outputs: usize, inputs: usize, seed: u64| {
        [random64([outputs, inputs], seed), random64([1, outputs], seed + 1)]
    };
    let layers = [layer(7, 2 * side * side, 21), layer(5, 7, 23), layer(4, 5, 25)];
    InverseForm::new(&engine(), layers).unwrap()
}

#[test]
fn inverse_form_has_the_gradient_of_its_value() {
    let targets = edge_maps();
    let network = inverse_form(4);
    let x = random64([96, 1], 3);
    let loss = |logits: &[f64]| {
        let maps = EdgeMaps { grid: [6, 8], logits, targets: &targets };
        network.loss(&engine(), &maps, [2, 3]).unwrap()
    };
    check_gradient(x.values(), &loss(x.values()).gradient, |x| loss(x).value);
    let wrong = [random64([7, 30], 1), random64([1, 7], 2)];
    let ok = |outputs, inputs| [random64([outputs, inputs], 1), random64([1, outputs], 2)];
    InverseForm::<Matrix<f64>>::new(&engine(), [wrong, ok(5, 7), ok(4, 5)]).unwrap_err();
    InverseForm::<Matrix<f64>>::new(&engine(), [ok(7, 32), ok(5, 6), ok(4, 5)]).unwrap_err();
}

/// A step of two pictures with 5 channels, 3 classes and embeddings of 4 numbers.
fn examples() -> Vec<Example<Matrix<f64>>> {
    let edges = edge_maps();
    let example = |picture: usize| Example {
        features: random64([48, 5], 30 + picture as u64),
        embeddings: random64([3, 4], 40),
        labels: (0..48).map(|cell| ((cell * 7 + cell / 5 + picture) % 4) as i32 - 1).collect(),
        edges: edges[48 * picture..48 * (picture + 1)].to_vec(),
    };
    vec![example(0), example(1)]
}

fn parameters(values: &[f64], edge_inputs: usize) -> Parameters<Matrix<f64>> {
    let take = |start: usize, shape: [usize; 2]| {
        Matrix::new(shape, values[start..start + shape[0] * shape[1]].to_vec()).unwrap()
    };
    Parameters {
        weight: take(0, [4, 5]),
        bias: take(20, [1, 4]),
        edge_weight: take(24, [1, edge_inputs]),
        edge_bias: take(24 + edge_inputs, [1, 1]),
    }
}

#[test]
fn the_loss_has_the_gradient_of_its_value_by_all_parameters() {
    let network = inverse_form(4);
    let examples = examples();
    let shapes = [Shapes::Surrogate(2.0), Shapes::Sigmoid(&network), Shapes::Dead];
    for shapes in shapes {
        for (normalize, edge_input, inputs) in [
            (true, EdgeInput::Aligned, 4),
            (false, EdgeInput::Aligned, 4),
            (true, EdgeInput::Features, 5),
        ] {
            let settings = LossSettings {
                normalize,
                edge_input,
                attention_threshold: 0.3,
                weights: [1.0, 0.3, 0.1, 0.3],
                shapes: shapes.clone(),
                tiles: [2, 2],
                grid: [6, 8],
            };
            let of = |values: &[f64]| -> (Losses, Parameters<Matrix<f64>>) {
                losses(&engine(), &parameters(values, inputs), &examples, &settings).unwrap()
            };
            let x = random64([25 + inputs, 1], 50);
            let (found, gradients) = of(x.values());
            assert!(found.attention > 0.0 && found.edge > 0.0 && found.segmentation > 0.0);
            let Parameters { weight, bias, edge_weight, edge_bias } = gradients;
            let gradient: Vec<f64> = [weight, bias, edge_weight, edge_bias]
                .into_iter()
                .flat_map(Matrix::into_values)
                .collect();
            check_gradient(x.values(), &gradient, |x| of(x).0.total);
        }
    }
}

#[test]
fn classes_at_edges_are_looked_at_twice() {
    let examples = examples();
    let x = random64([29, 1], 50);
    let of = |threshold: f64| {
        let settings = LossSettings {
            normalize: true,
            edge_input: EdgeInput::Aligned,
            attention_threshold: threshold,
            weights: [1.0, 0.0, 0.0, 0.0],
            shapes: Shapes::Dead,
            tiles: [2, 2],
            grid: [6, 8],
        };
        losses(&engine(), &parameters(x.values(), 4), &examples, &settings).unwrap().0
    };
    // Above all logits nothing is kept; below all of them everything is, once for each picture.
    assert_eq!(of(1e9).attention, 0.0);
    let everything = of(-1e9);
    let ratio = everything.attention / everything.segmentation;
    assert!((ratio - 2.0).abs() < 0.1, "{ratio}");
    assert_eq!(everything.total, everything.segmentation);
}

fn settings() -> SazsSettings {
    SazsSettings { scale: 10.0, epochs: 30, rate: 0.01, tiles: [2, 2], ..SazsSettings::default() }
}

/// Share of the labelled cells of these classes whose highest logit, of those of the classes
/// `among`, is that of their class.
fn accuracy(model: &Model, features: &dyn Features, classes: &[usize], among: &[usize]) -> f64 {
    let engine: CpuEngine = engine();
    let (mut right, mut all) = (0, 0);
    for picture in 0..features.pictures().len() {
        let mut rows = features.rows(picture, 0).unwrap();
        if let Some([weight, bias]) = &model.alignment {
            rows = engine.product(Product::Nt, &rows, weight, Some(bias)).unwrap();
        }
        if matches!(model.head.form, HeadForm::Cosine { .. }) {
            rows = engine.normalise(&rows).unwrap().rows;
        }
        let (weights, bias) = (&model.head.weights, &model.head.bias);
        let logits = engine.product(Product::Nt, &rows, weights, Some(bias)).unwrap();
        let labels = features.pictures().labels(picture).unwrap();
        let labels = zsseg::train::labels_at(&labels, features.grid()).unwrap();
        for (logits, label) in logits.rows().zip(targets(&labels)) {
            if !classes.contains(&(label as usize)) {
                continue;
            }
            let best = among.iter().max_by(|&&a, &&b| logits[a].total_cmp(&logits[b]));
            right += usize::from(*best.unwrap() as i32 == label);
            all += 1;
        }
    }
    right as f64 / all as f64
}

#[test]
fn an_unseen_class_is_found_by_its_name() {
    let pictures = Synthetic::new(20, 0.1, &[View::PLAIN], 1);
    let (joined, embeddings, roles) = (pictures.joined(), embeddings(), roles(&["sheep"]));
    let task = Task::new(&roles, &embeddings, &joined, 1).unwrap();
    let engine = engine();
    let model = run_method(&Sazs::new(&engine, &task, settings()).unwrap()).unwrap();
    assert_eq!(model.classes, [0, 1, 2, 3, 4, 5]);
    assert_eq!(model.seen, [true, true, true, true, true, false]);
    let seen = accuracy(&model, &joined, &[0, 1, 2, 3, 4], &[0, 1, 2, 3, 4]);
    assert!(seen > 0.95, "{seen}");
    // One of six classes by chance.
    let all = [0, 1, 2, 3, 4, 5];
    let unseen = accuracy(&model, &joined, &[5], &all);
    assert!(unseen > 0.5, "{unseen}");
    let mean = all.iter().map(|&class| accuracy(&model, &joined, &[class], &all)).sum::<f64>();
    assert!(mean / 6.0 > 0.6, "{mean}");
}

#[test]
fn products_give_a_linear_head_with_a_projection() {
    let pictures = Synthetic::new(10, 0.1, &[View::PLAIN], 1);
    let (joined, embeddings, roles) = (pictures.joined(), embeddings(), roles(&["sheep"]));
    let task = Task::new(&roles, &embeddings, &joined, 1).unwrap();
    let engine = engine();
    let settings = SazsSettings { normalize: false, scale: 2.0, epochs: 60, ..settings() };
    let model = run_method(&Sazs::new(&engine, &task, settings).unwrap()).unwrap();
    assert!(model.alignment.is_none());
    assert_eq!(model.head.form, HeadForm::Linear);
    let seen = accuracy(&model, &joined, &[0, 1, 2, 3, 4], &[0, 1, 2, 3, 4]);
    assert!(seen > 0.9, "{seen}");
    let projection = model.projection.as_ref().unwrap();
    for (class, name) in CLASSES.iter().enumerate() {
        let embedding = embeddings.get(name).unwrap();
        let product = |row: &[f32]| row.iter().zip(embedding).map(|(a, b)| a * b).sum::<f32>();
        let row: Vec<f32> = projection.rows().map(product).collect();
        assert_eq!(projection.shape()[1], DIM);
        let wanted = model.head.weights.row(class).unwrap();
        let bias = model.head.bias.values()[class];
        for (found, wanted) in row.iter().zip(wanted.iter().chain([&bias])) {
            assert!((found - wanted).abs() < 1e-4, "{found} {wanted}");
        }
    }
}

#[test]
fn pairs_learn_classes_against_others() {
    let pictures = Synthetic::new(20, 0.1, &[View::PLAIN], 1);
    let (joined, embeddings, roles) = (pictures.joined(), embeddings(), roles(&["sheep"]));
    let task = Task::new(&roles, &embeddings, &joined, 1).unwrap();
    let engine = engine();
    let pairs = SazsSettings {
        episode: Episode::Pairs,
        others: Some("ground".into()),
        others_take_all: true,
        edge_rule: EdgeRule::Distance,
        ..settings()
    };
    let model = run_method(&Sazs::new(&engine, &task, pairs.clone()).unwrap()).unwrap();
    for class in 1..5 {
        let found = accuracy(&model, &joined, &[0, class], &[0, class]);
        assert!(found > 0.9, "{class}: {found}");
    }
    let unknown = SazsSettings { others: Some("others".into()), ..pairs };
    assert!(matches!(Sazs::new(&engine, &task, unknown), Err(Error::Config { .. })));
}

#[test]
fn stopping_anywhere_changes_no_bit() {
    let pictures = Synthetic::new(10, 0.1, &[View::PLAIN], 1);
    let (joined, embeddings, roles) = (pictures.joined(), embeddings(), roles(&["sheep"]));
    let task = Task::new(&roles, &embeddings, &joined, 7).unwrap();
    let engine = engine();
    for optimiser in [OptimiserKind::Adam, OptimiserKind::Sgd] {
        let settings = SazsSettings { optimiser, epochs: 3, batch: 3, ..settings() };
        let method = Sazs::new(&engine, &task, settings).unwrap();
        let mut whole = method.begin(0, &[]).unwrap();
        assert_eq!(whole.steps(), 9);
        let mut stopped = method.begin(0, &[]).unwrap();
        for step in 0..whole.steps() {
            let report = whole.step(step).unwrap();
            let state = stopped.state().unwrap();
            stopped = method.begin(0, &[]).unwrap();
            stopped.restore(&state).unwrap();
            assert_eq!(stopped.step(step).unwrap(), report);
            assert_eq!(stopped.state().unwrap(), whole.state().unwrap());
        }
        method.begin(1, &[]).err().unwrap();
        assert!(stopped.restore(&zsseg::train::State::default()).is_err());
    }
}

#[test]
fn the_dead_shape_term_changes_nothing() {
    let pictures = Synthetic::new(5, 0.1, &[View::PLAIN], 1);
    let (joined, embeddings, roles) = (pictures.joined(), embeddings(), roles(&["sheep"]));
    let task = Task::new(&roles, &embeddings, &joined, 7).unwrap();
    let engine = engine();
    let run = |shape: ShapeMode, shape_weight: f64| {
        let settings = SazsSettings { shape, shape_weight, epochs: 2, ..settings() };
        run_method(&Sazs::new(&engine, &task, settings).unwrap()).unwrap().alignment
    };
    let without = run(ShapeMode::Surrogate, 0.0);
    assert_eq!(run(ShapeMode::Dead, 0.3), without);
    assert_ne!(run(ShapeMode::Surrogate, 0.3), without);
}

#[test]
fn weights_of_inverse_form_are_read_from_a_file() {
    use safetensors::tensor::{Dtype, TensorView};
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("inverse.safetensors");
    let shapes = [
        ("w1", vec![6, 32]),
        ("b1", vec![6]),
        ("w2", vec![5, 6]),
        ("b2", vec![5]),
        ("w3", vec![4, 5]),
        ("b3", vec![4]),
    ];
    let tensors: Vec<(&str, Vec<usize>, Vec<u8>)> = shapes
        .into_iter()
        .map(|(name, shape)| {
            let count = shape.iter().product();
            let values = normal([count, 1], 60, count as u32).into_values();
            (name, shape, values.iter().flat_map(|value| value.to_le_bytes()).collect())
        })
        .collect();
    let write = |tensors: &[(&str, Vec<usize>, Vec<u8>)]| {
        let views = tensors.iter().map(|(name, shape, bytes)| {
            (*name, TensorView::new(Dtype::F32, shape.clone(), bytes).unwrap())
        });
        std::fs::write(&path, safetensors::serialize(views, None).unwrap()).unwrap();
    };
    write(&tensors);
    let pictures = Synthetic::new(5, 0.1, &[View::PLAIN], 1);
    let (joined, embeddings, roles) = (pictures.joined(), embeddings(), roles(&["sheep"]));
    let task = Task::new(&roles, &embeddings, &joined, 7).unwrap();
    let engine = engine();
    let shape = ShapeMode::Sigmoid;
    let settings = SazsSettings { shape, inverse_form: Some(path.clone()), ..settings() };
    let method = Sazs::new(&engine, &task, settings.clone()).unwrap();
    let report = method.begin(0, &[]).unwrap().step(0).unwrap();
    let value = report.iter().find(|(name, _)| *name == "shape").unwrap().1;
    assert!(value > 0.0);
    write(&tensors[..5]);
    assert!(matches!(method.begin(0, &[]), Err(Error::Broken { .. })));
    std::fs::remove_file(&path).unwrap();
    assert!(matches!(method.begin(0, &[]), Err(Error::File { .. })));
    let without = SazsSettings { inverse_form: None, ..settings };
    assert!(Sazs::new(&engine, &task, without).is_err());
}

#[test]
fn presets_are_settings() {
    let ours: SazsSettings =
        toml::from_str(include_str!("../../src/train/presets/sazs.toml")).unwrap();
    assert_eq!(ours, SazsSettings::default());
    let paper: SazsSettings =
        toml::from_str(include_str!("../../src/train/presets/sazs-paper.toml")).unwrap();
    paper.check().unwrap();
    assert_eq!((paper.normalize, paper.optimiser), (false, OptimiserKind::Sgd));
    assert!(toml::from_str::<SazsSettings>("speed = 1").is_err());
    for wrong in ["scale = 0.0", "epochs = 0", "batch = 0", "tiles = [0, 1]", "rate = nan"] {
        toml::from_str::<SazsSettings>(wrong).unwrap().check().unwrap_err();
    }
}
