//! Short trainings on made-up pictures: step by step the CPU engine's, up to rounding.

use crate::made_up::{Synthetic, embeddings, roles};
use crate::support::{Tested, cpu, distance, exact, figure, tested};
use std::cell::Cell;
use zsseg::train::engine::{CpuEngine, Engine};
use zsseg::train::methods::{Preset, Registry};
use zsseg::train::{Model, State, Task, View};

/// A loss, and where it was.
type Step = (String, f64);

/// All losses and the model of a method with these settings.
fn trained<E: Engine<f32> + 'static>(
    engine: &E,
    method: &str,
    settings: &str,
) -> (Vec<Step>, Model) {
    let pictures = Synthetic::new(20, 0.3, &[View::PLAIN], 1);
    let (joined, roles, table) = (pictures.joined(), roles(&["cow", "sheep"]), embeddings());
    let task = Task::new(&roles, &table, &joined, 7).unwrap();
    let registry = Registry::<E>::of_f32();
    let entry = registry.find(method).unwrap();
    let settings = entry.settings(Preset::Default, &settings.parse().unwrap()).unwrap();
    let method = entry.build(engine, &task, &settings).unwrap();
    let (mut done, mut losses): (Vec<State>, Vec<Step>) = (Vec::new(), Vec::new());
    for (index, name) in method.stages().into_iter().enumerate() {
        let mut stage = method.begin(index, &done).unwrap();
        for step in 0..stage.steps() {
            for (loss, value) in stage.step(step).unwrap() {
                losses.push((format!("{name} {loss}, step {step}"), value));
            }
        }
        done.push(stage.state().unwrap());
    }
    (losses, method.finish(&done).unwrap())
}

/// The numbers of a model that steps change.
fn numbers(model: &Model) -> Vec<f32> {
    let parts = [&model.head.weights, &model.head.bias];
    let parts = parts.into_iter().chain(model.alignment.iter().flatten());
    parts.flat_map(|part| part.values().to_vec()).collect()
}

/// Trains on both engines. Losses may differ by `most`, and so may the model's numbers by their
/// length.
fn check(method: &str, settings: &str, most: f64) {
    let engine: Tested = tested();
    let (found, model) = trained(&engine, method, settings);
    let (wanted, exact_model) = trained::<CpuEngine>(&cpu(), method, settings);
    assert!(!found.is_empty(), "{method} tells no loss");
    let worst = Cell::new(0.0f64);
    let differ = |place: &str, found: f64, wanted: f64| {
        let error = (found - wanted).abs() / wanted.abs().max(1e-3);
        worst.set(worst.get().max(error));
        assert!(error <= most, "{method}, {place}: {found} instead of {wanted}");
    };
    assert_eq!(found.len(), wanted.len());
    for ((place, found), (same_place, wanted)) in found.iter().zip(&wanted) {
        assert_eq!(place, same_place);
        differ(place, *found, *wanted);
    }
    let model = distance(&numbers(&model), &exact(&numbers(&exact_model)));
    assert!(model <= most, "{method}: the models differ by {model:e}");
    figure(&format!("{method}, {} losses", found.len()), worst.get());
    figure(&format!("{method}, model"), model);
}

#[test]
fn zs3net() {
    let settings = "
        bag_limit = 200
        [generator]
        steps = 8
        batch = 32
        classes_per_step = 2
        hidden_size = 24
        [classifier]
        steps = 6
        warm_steps = 4
        real_batch = 64
        generated_batch = 64
    ";
    check("zs3net", settings, 1e-4);
}

#[test]
fn zs3net_as_published() {
    let settings = "
        bag_limit = 200
        kernel = \"code\"
        [generator]
        steps = 8
        batch = 32
        hidden_size = 24
        noise = \"uniform\"
        [classifier]
        steps = 4
        warm_steps = 0
        real_batch = 64
        generated_batch = 64
        optimiser = \"sgd\"
        upsample = true
    ";
    check("zs3net", settings, 1e-4);
}

#[test]
fn spnet() {
    check("spnet", "batch = 64\n[descent]\nsteps = 20\n", 1e-4);
    check("spnet", "head = \"cosine\"\nbatch = 64\n[descent]\nsteps = 20\n", 1e-4);
}

#[test]
fn codistillation() {
    let settings =
        "exchange_every = 3\n[head.spnet]\nbatch = 64\n[head.spnet.descent]\nsteps = 9\n";
    check("codistill", settings, 1e-4);
}

#[test]
fn contrastive_training() {
    let settings = "
        projection_channels = 16
        pictures = 2
        batch_pixels = 60
        pretrain_steps = 4
        finetune_steps = 4
        upsample = 2
        [decoder]
        grid = [8, 10]
        tap_channels = 8
        channels = 12
    ";
    for variant in ["within_image", "cross_image", "batch"] {
        check("contrastive", &format!("variant = \"{variant}\"\n{settings}"), 1e-3);
    }
}

#[test]
fn shapes_and_boundaries() {
    check("sazs", "epochs = 1\nbatch = 4\n", 1e-3);
}
