use crate::support::{Config, Memory, Scene};
use proptest::prelude::*;
use std::path::Path;
use zsseg::arena::Arena;
use zsseg::classes::generator::{Fitted, Fitter, Settings, Work};
use zsseg::spec::Noise;

/// Weights, bias and least loss of a scene.
fn reference(name: &str) -> (Vec<f64>, f64, f64) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/reference/generator");
    let bytes = std::fs::read(folder.join(name).with_extension("f64")).unwrap();
    let (numbers, rest) = bytes.as_chunks::<8>();
    assert!(rest.is_empty());
    let mut row: Vec<f64> = numbers.iter().map(|&number| f64::from_le_bytes(number)).collect();
    let loss = row.pop().unwrap();
    let bias = row.pop().unwrap();
    (row, bias, loss)
}

fn dot(left: &[f64], right: &[f64]) -> f64 {
    left.iter().zip(right).map(|(a, b)| a * b).sum()
}

fn widen(row: &[f32]) -> Vec<f64> {
    row.iter().map(|&value| f64::from(value)).collect()
}

fn cosine(left: &[f32], right: &[f32]) -> f64 {
    let (left, right) = (widen(left), widen(right));
    dot(&left, &right) / (dot(&left, &left) * dot(&right, &right)).sqrt()
}

fn fit(scene: &Scene, settings: &Settings) -> (Vec<f32>, f32, Fitted, Work) {
    scene.fit(settings, &mut Memory::new(scene.arena_bytes(settings)))
}

#[test]
fn rows_are_those_that_scipy_finds() {
    for name in ["toy", "lite", "ade"] {
        let config = Config::named(name);
        let scene = Scene::new(&config);
        let (row, bias, fitted, _) = fit(&scene, &config.settings);
        let (want, want_bias, least) = reference(name);
        let got = widen(&row);
        let lengths = (dot(&got, &got) * dot(&want, &want)).sqrt();
        let cosine = dot(&got, &want) / lengths;
        let excess = fitted.loss / least - 1.0;
        let logits = |x: &Vec<f64>| {
            let wanted = dot(&want, x) + want_bias;
            (dot(&got, x) + f64::from(bias) - wanted).abs() / (1.0 + wanted.abs())
        };
        let features = scene.old_means().into_iter().chain((0..50).map(|at| scene.generated(at)));
        let apart = features.map(|x| logits(&x)).fold(0.0, f64::max);
        println!("{name}: cosine {cosine:.6}, loss {excess:+.1e}, logits {apart:.1e} apart");
        assert!(fitted.converged && excess.abs() < 1e-3, "{name}: {fitted:?}, least {least}");
        assert!(cosine > 0.999 && apart < 0.02, "{name}: {cosine} {apart}");
    }
}

/// Bits of a row, as one number (FNV-1a).
fn hash(row: &[f32], bias: f32) -> u64 {
    let values = row.iter().chain([&bias]);
    let bytes = values.flat_map(|value| value.to_bits().to_le_bytes());
    bytes.fold(0xcbf2_9ce4_8422_2325, |hash: u64, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    })
}

#[test]
fn bits_are_the_same_on_every_processor_and_at_every_optimisation_level() {
    let (row, bias, _, _) = fit(&Scene::new(&Config::named("toy")), &Config::named("toy").settings);
    assert_eq!(format!("{:016x}", hash(&row, bias)), "91809f4a99ca0116");
    let config = Config::named("lite");
    let (row, bias, _, _) = fit(&Scene::new(&config), &config.settings);
    assert_eq!(format!("{:016x}", hash(&row, bias)), "21338c36c388bdd9");
}

#[test]
fn a_fit_does_not_depend_on_what_was_fitted_before() {
    let config = Config::named("toy");
    let scene = Scene::new(&config);
    let first = fit(&scene, &config.settings);
    let mut memory = Memory::new(scene.arena_bytes(&config.settings));
    let mut arena = Arena::over(memory.bytes()).unwrap();
    let mut fitter = Fitter::carve(&mut arena, scene.sources(), &config.settings).unwrap();
    fitter.run(&[0.3, -2.0, 0.5], &scene.rows).unwrap();
    fitter.begin(&[0.4, -2.0, 0.5], &scene.rows).unwrap();
    for _ in 0..9 {
        assert!(fitter.step(&scene.rows).unwrap().is_none());
    }
    let fitted = fitter.run(&scene.embedding, &scene.rows).unwrap();
    let mut row = vec![0.0; config.channels];
    let bias = fitter.write_row(&mut row).unwrap();
    assert_eq!((row, bias, fitted, fitter.work()), first);
}

#[test]
fn seeds_change_the_samples_and_little_else() {
    let config = Config::named("lite");
    let scene = Scene::new(&config);
    let (first, ..) = fit(&scene, &config.settings);
    let (other, ..) = fit(&scene, &Settings { seed: 1, ..config.settings });
    assert_ne!(first, other);
    assert!(cosine(&first, &other) > 0.95, "{}", cosine(&first, &other));
}

#[test]
fn the_arena_is_exact() {
    let config = Config::named("toy");
    let scene = Scene::new(&config);
    let need = scene.arena_bytes(&config.settings);
    let mut short = Memory::new(need - 1);
    let mut arena = Arena::over(short.bytes()).unwrap();
    assert!(Fitter::carve(&mut arena, scene.sources(), &config.settings).is_err());
    fit(&scene, &config.settings);
    // The formula of the module's text, but for the rounding of 17 buffers.
    let lite = Config::named("lite");
    let need = Scene::new(&lite).arena_bytes(&lite.settings);
    let (d, n) = (lite.channels, 512 + 187 * lite.classes);
    let formula = 2 * n * d + 8 * n + 64 * lite.noise_dim + 68 * lite.hidden + 88 * d;
    assert!((formula..formula + 17 * 64).contains(&need), "{need} {formula}");
}

#[test]
fn work_is_what_was_foretold() {
    for name in ["toy", "lite", "ade"] {
        let config = Config::named(name);
        let scene = Scene::new(&config);
        let (_, _, fitted, work) = fit(&scene, &config.settings);
        let most = |iterations| {
            let settings = Settings { iterations, ..config.settings };
            Fitter::most_work(&scene.sources(), &settings, config.classes).unwrap()
        };
        let exact = most(fitted.iterations);
        assert_eq!(work.multiply_adds, exact.multiply_adds, "{name}");
        assert_eq!(work.random_numbers, exact.random_numbers, "{name}");
        assert!(work.exponentials <= exact.exponentials, "{name}");
        assert!(work.multiply_adds < most(config.settings.iterations).multiply_adds, "{name}");
        assert_eq!(scene.rows.reads.get(), config.classes, "{name}");
    }
}

#[test]
fn no_step_does_more_than_is_stated() {
    let config = Config::named("lite");
    let scene = Scene::new(&config);
    let mut memory = Memory::new(scene.arena_bytes(&config.settings));
    let mut arena = Arena::over(memory.bytes()).unwrap();
    let mut fitter = Fitter::carve(&mut arena, scene.sources(), &config.settings).unwrap();
    fitter.begin(&scene.embedding, &scene.rows).unwrap();
    let generated = 16 * config.hidden * (config.noise_dim + config.channels);
    let samples = 512 + 187 * config.classes;
    loop {
        let before = fitter.work();
        let done = fitter.step(&scene.rows).unwrap().is_some();
        let after = fitter.work();
        let products = (after.multiply_adds - before.multiply_adds) as usize;
        let numbers = (after.random_numbers - before.random_numbers) as usize;
        assert!(products <= generated.max(256 * config.channels), "{products}");
        assert!(numbers <= 16 * config.channels.max(config.noise_dim + 3), "{numbers}");
        assert!((after.exponentials - before.exponentials) as usize <= samples);
        if done {
            break;
        }
    }
}

/// Share of generated features, of noise from a sequence of the test's own, at which the row
/// beats all old ones; and the share of the old classes' means at which it does.
fn wins(scene: &Scene, row: &[f32], bias: f32) -> (f64, f64) {
    let logit = |weights: &[f32], bias: f32, x: &[f64]| dot(&widen(weights), x) + f64::from(bias);
    let beats = |x: &[f64]| {
        let old = scene.rows.weights.chunks(x.len()).zip(&scene.rows.bias);
        old.map(|(row, &bias)| logit(row, bias, x)).fold(f64::MIN, f64::max) < logit(row, bias, x)
    };
    let generated: Vec<_> = (0..200).map(|seed| scene.generated(seed)).collect();
    let share =
        |list: &[Vec<f64>]| list.iter().filter(|x| beats(x)).count() as f64 / list.len() as f64;
    let means = scene.old_means();
    (share(&generated), share(&means))
}

#[test]
fn a_class_unlike_the_others_gets_its_own_features_and_none_of_theirs() {
    for name in ["lite", "ade"] {
        let config = Config::named(name);
        let mut scene = Scene::new(&config);
        scene.embedding.reverse();
        scene.embedding.iter_mut().for_each(|value| *value *= 3.0);
        let (row, bias, _, _) = fit(&scene, &config.settings);
        let (own, others) = wins(&scene, &row, bias);
        println!("{name}: {own} of its own, {others} of the others'");
        assert!(own > 0.95 && others == 0.0, "{name}: {own} {others}");
    }
}

#[test]
fn a_removed_class_is_as_one_that_never_was() {
    let config = Config { classes: 3, ..Config::named("toy") };
    let settings = Settings { negatives: 90, ..config.settings };
    let mut scene = Scene::new(&config);
    let len = config.channels;
    let keep = |values: &mut Vec<f32>, width: usize| drop(values.drain(width..2 * width));
    keep(&mut scene.rows.weights, len);
    keep(&mut scene.rows.bias, 1);
    scene.rows.removed = Some(1);
    let removed = fit(&scene, &settings);
    scene.rows.removed = None;
    scene.classes.remove(1);
    scene.mean.drain(len..2 * len);
    scene.deviation.drain(len..2 * len);
    let absent = fit(&scene, &Settings { negatives: 60, ..settings });
    assert_eq!(removed, absent);
}

#[test]
fn dead_channels_keep_a_row_finite() {
    let config = Config::named("toy");
    for zeros in [1, config.channels] {
        let mut scene = Scene::new(&config);
        for (at, (mean, deviation)) in scene.mean.iter_mut().zip(&mut scene.deviation).enumerate() {
            if at % config.channels < zeros {
                (*mean, *deviation) = (0.0.into(), 0.0.into());
            }
        }
        let (row, bias, fitted, _) = fit(&scene, &config.settings);
        assert!(row.iter().chain([&bias]).all(|value| value.is_finite()), "{fitted:?}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]
    #[test]
    fn the_loss_is_near_the_least_for_any_shape(
        seed: u64,
        sides in (1usize..6, 1usize..9, 1usize..20, 1usize..40, 1usize..9),
        counts in (1usize..300, 1usize..600),
        (relu, normal) in (any::<bool>(), any::<bool>()),
        (l2, weight) in (-4.0f32..1.0, -1.0f32..1.0),
    ) {
        let (dim, noise_dim, hidden, channels, classes) = sides;
        let settings = Settings {
            positives: counts.0,
            negatives: counts.1,
            l2: 10f32.powf(l2),
            weight: 10f32.powf(weight),
            iterations: 200,
            ..Settings::DEFAULT
        };
        let noise = if normal { Noise::Normal } else { Noise::Uniform };
        let config =
            Config { seed, dim, noise_dim, hidden, channels, classes, relu, noise, settings };
        let scene = Scene::new(&config);
        let (_, _, fitted, _) = fit(&scene, &settings);
        let patient = Settings { tolerance: 0.0, iterations: 1000, ..settings };
        let (_, _, best, _) = fit(&scene, &patient);
        prop_assert!(fitted.loss <= 1.001 * best.loss + 1e-9, "{:?} {:?}", fitted, best);
    }
}
