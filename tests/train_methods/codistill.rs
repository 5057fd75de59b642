//! Codistillation between workers.

use crate::scores::{World, accuracy, accuracy_among, assert_resumes, same, states};
use crate::support::{Synthetic, engine};
use zsseg::train::engine::{CpuEngine, Engine, Matrix};
use zsseg::train::methods::{
    Codistill, CodistillSettings, Codistilled, Descent, Distance, Preset, Registry, SpNet,
    SpNetSettings, Supervised, SupervisedSettings,
};
use zsseg::train::{Method, Task, View, run_method};

const UNSEEN: [&str; 1] = ["sheep"];

fn world() -> World {
    World::new(Synthetic::new(120, 0.5, &[View::PLAIN], 2), &UNSEEN)
}

fn descent(steps: u64) -> Descent {
    Descent { steps, rate: 0.02, ..Descent::default() }
}

fn supervised(steps: u64) -> SupervisedSettings {
    let descent = descent(steps);
    SupervisedSettings { descent, batch: 32, ..SupervisedSettings::default() }
}

fn spnet(steps: u64) -> SpNetSettings {
    SpNetSettings { descent: descent(steps), batch: 32, ..SpNetSettings::default() }
}

fn settings(steps: u64) -> CodistillSettings {
    let head = Codistilled::Supervised(supervised(steps));
    CodistillSettings { exchange_every: 5, head, ..CodistillSettings::default() }
}

#[test]
fn without_the_term_workers_are_alone() {
    world().with(|task| {
        let engine = engine();
        for head in [Codistilled::Supervised(supervised(12)), Codistilled::Spnet(spnet(12))] {
            let settings = CodistillSettings { alpha: 0.0, head: head.clone(), ..settings(12) };
            let method = Codistill::new(&engine, task, settings).unwrap();
            let together = states(&method).remove(0);
            let shards = method.shards();
            let mut all = shards.concat();
            all.sort_unstable();
            assert_eq!(all, task.inductive());
            for (worker, shard) in shards.iter().enumerate() {
                let task = task.with_pictures(shard).unwrap();
                let alone = match &head {
                    Codistilled::Supervised(settings) => {
                        states(&Supervised::new(&engine, &task, settings.clone()).unwrap())
                    }
                    Codistilled::Spnet(settings) => {
                        states(&SpNet::new(&engine, &task, settings.clone()).unwrap())
                    }
                };
                for (name, matrix) in &alone[0].matrices {
                    let found = together.get(&format!("worker{worker}.{name}")).unwrap();
                    assert!(found == matrix, "{name} of worker {worker}");
                }
            }
        }
    });
}

/// Mean distance of the workers' predictions after a training, by the report of its last step.
fn last_distance(task: &Task<'_>, settings: CodistillSettings) -> f64 {
    let engine = engine();
    let method = Codistill::new(&engine, task, settings).unwrap();
    let method: &dyn Method = &method;
    let mut stage = method.begin(0, &[]).unwrap();
    let mut last = 0.0;
    for step in 0..stage.steps() {
        let report = stage.step(step).unwrap();
        assert_eq!(report.len(), 2);
        last = report[1].1;
        assert_eq!(step < 5, last == 0.0, "nothing is exchanged before step 5: {step} {last}");
    }
    last
}

#[test]
fn workers_come_to_agree() {
    world().with(|task| {
        for distance in [Distance::Kl, Distance::Mse] {
            let by_alpha = [1e-6, 5.0].map(|alpha| {
                last_distance(task, CodistillSettings { alpha, distance, ..settings(60) })
            });
            println!("{distance:?}: {by_alpha:?}");
            assert!(by_alpha[1] < 0.7 * by_alpha[0], "{distance:?} {by_alpha:?}");
        }
    });
}

#[test]
fn the_model_is_the_mean_of_the_workers() {
    world().with(|task| {
        let engine = engine();
        let alone = CodistillSettings { alpha: 0.0, workers: 3, ..settings(40) };
        let method = Codistill::new(&engine, task, alone).unwrap();
        let model = run_method(&method).unwrap();
        let mut sum = Matrix::<f32>::zeros(model.head.weights.shape()).unwrap();
        for shard in method.shards() {
            let task = task.with_pictures(&shard).unwrap();
            let one = run_method(&Supervised::new(&engine, &task, supervised(40)).unwrap());
            let third = 1.0 / 3.0;
            let weights = one.unwrap().head.weights;
            <CpuEngine as Engine<f32>>::add_scaled(&engine, &mut sum, third, &weights).unwrap();
        }
        for (found, want) in model.head.weights.values().iter().zip(sum.values()) {
            assert!((found - want).abs() < 1e-5, "{found} {want}");
        }
        let seen = accuracy(&model, task.features, &[0, 1, 2, 3, 4]);
        assert!(seen > 0.9, "{seen}");
    });
}

#[test]
fn projections_of_workers_can_be_averaged() {
    world().with(|task| {
        let engine = engine();
        let head = Codistilled::Spnet(spnet(120));
        let settings = CodistillSettings { head, ..settings(120) };
        let method = Codistill::new(&engine, task, settings).unwrap();
        let model = run_method(&method).unwrap();
        assert_eq!(model.classes, [0, 1, 2, 3, 4, 5]);
        let seen = accuracy_among(&model, task.features, &task.seen(), &task.seen());
        assert!(seen > 0.9, "{seen}");
        assert!(same(&model, &run_method(&method).unwrap()));
    });
}

#[test]
fn resuming_equals_not_stopping() {
    world().with(|task| {
        let engine = engine();
        for distance in [Distance::Kl, Distance::Mse] {
            let settings = CodistillSettings { distance, exchange_every: 3, ..settings(8) };
            assert_resumes(&Codistill::new(&engine, task, settings).unwrap());
        }
    });
}

#[test]
fn what_does_not_fit_is_refused() {
    let wrong: [fn(&mut CodistillSettings); 5] = [
        |settings| settings.workers = 1,
        |settings| settings.workers = 65,
        |settings| settings.exchange_every = 0,
        |settings| settings.alpha = -1.0,
        |settings| settings.head = Codistilled::Supervised(supervised(0)),
    ];
    CodistillSettings::default().check().unwrap();
    for change in wrong {
        let mut settings = CodistillSettings::default();
        change(&mut settings);
        assert!(settings.check().is_err());
    }
    world().with(|task| {
        // More workers than pictures of every class: a shard lacks one.
        let engine = engine();
        let settings = CodistillSettings { workers: 64, ..settings(4) };
        let method = Codistill::new(&engine, task, settings).unwrap();
        assert!(run_method(&method).is_err());
    });
}

#[test]
fn settings_can_be_read() {
    let text = "workers = 3\nalpha = 0.5\ndistance = \"mse\"\n[head.supervised]\nbatch = 7\n";
    let found: CodistillSettings = toml::from_str(text).unwrap();
    let head = SupervisedSettings { batch: 7, ..SupervisedSettings::default() };
    assert_eq!(found.head, Codistilled::Supervised(head));
    assert_eq!((found.workers, found.alpha, found.distance), (3, 0.5, Distance::Mse));
}

#[test]
fn the_command_trains_either_head() {
    let registry = Registry::all();
    let entry = registry.find("codistill").unwrap();
    let of = |text: &str| entry.settings(Preset::Default, &text.parse().unwrap());
    let whole: CodistillSettings = of("").unwrap().try_into().unwrap();
    assert_eq!(whole, CodistillSettings::default());
    let brief = "[head.supervised]\nproject_rows = true\n[head.supervised.descent]\nsteps = 5";
    let brief = of(brief).unwrap();
    let settings: CodistillSettings = brief.clone().try_into().unwrap();
    let Codistilled::Supervised(head) = &settings.head else { panic!("{settings:?}") };
    assert!(head.project_rows && head.descent.steps == 5);
    world().with(|task| {
        let engine = engine();
        let method = entry.build(&engine, task, &brief).unwrap();
        let [named, direct] = [
            run_method(method.as_ref()).unwrap(),
            run_method(&Codistill::new(&engine, task, settings.clone()).unwrap()).unwrap(),
        ];
        assert_eq!(named.head.weights, direct.head.weights);
    });
    assert!(of("[head.spnet]\n[head.supervised]").is_err(), "one of them only");
    assert!(of("pupils = 2").unwrap_err().to_string().contains("pupils"));
}
