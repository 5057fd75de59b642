//! Whole trainings, from a configuration's file to the metrics, and sweeps over them.

use crate::configs::TOML;
use crate::support::{CLASSES, DIM, Synthetic, embeddings};
use crate::toy::{PAPER, PRESET, Toy, ToySettings};
use crate::trainee::Heard;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use zsseg::train::data::{DataSet, FileSet};
use zsseg::train::methods::{Entry, Preset, Presets, Registry};
use zsseg::train::run::{
    Config, Device, Environment, Request, Setting, Start, Summary, SweepRequest, Vary, session,
    sweep,
};
use zsseg::train::{Pictures, Result, View};

pub fn registry() -> Registry {
    let presets = Presets { default: PRESET, paper: Some(PAPER) };
    Registry::new().with(Entry::new::<ToySettings>("toy", presets, |engine, task, settings| {
        Toy::boxed(engine, task, settings)
    }))
}

fn open(stores: &[PathBuf], set: FileSet) -> Result<Box<dyn Pictures>> {
    assert!(stores.iter().all(|path| path.is_file()));
    Ok(Box::new(Synthetic::new(set.len(), 0.3, &[View::PLAIN], 3)))
}

/// A configuration with all its files.
pub fn files(folder: &Path) -> PathBuf {
    std::fs::create_dir(folder.join("pictures")).unwrap();
    std::fs::write(folder.join("pictures/classes.txt"), CLASSES.join("\n")).unwrap();
    std::fs::write(folder.join("pictures/train.txt"), lines(12)).unwrap();
    std::fs::write(folder.join("pictures/val.txt"), lines(4)).unwrap();
    std::fs::write(folder.join("features.store"), "features").unwrap();
    let table = embeddings();
    let mut words = String::new();
    for (name, row) in table.names().iter().zip(table.values().chunks(DIM)) {
        let numbers: Vec<String> = row.iter().map(f32::to_string).collect();
        words += &format!("{name} {}\n", numbers.join(" "));
    }
    std::fs::write(folder.join("words.txt"), words).unwrap();
    let text = TOML.replace(
        "[classes]",
        "[validation]\nlayout = \"folder\"\nroot = \"pictures\"\nlists = [\"val\"]\n[classes]",
    );
    let text = text.replace("grid =", "validation_stores = [\"features.store\"]\ngrid =");
    std::fs::write(folder.join("toy.toml"), text).unwrap();
    folder.join("toy.toml")
}

fn lines(count: usize) -> String {
    (0..count).map(|picture| format!("picture{picture}\n")).collect()
}

pub fn request(config: &Path, start: Start, settings: &[&str]) -> Request {
    let settings: Vec<Setting> = settings.iter().map(|it| Setting::parse(it).unwrap()).collect();
    Request {
        method: "toy".into(),
        preset: Preset::Default,
        config: Config::read(config, &settings).unwrap(),
        folder: config.with_file_name("run"),
        start,
    }
}

fn trained(request: &Request, heard: &mut Heard) -> Result<Summary> {
    let methods = registry();
    let environment = Environment { methods: &methods, open: &open };
    session(request, &environment, heard)
}

#[test]
fn a_run_leaves_everything_in_its_folder() {
    let folder = tempfile::tempdir().unwrap();
    let config = files(folder.path());
    let new = request(&config, Start::New, &[]);
    let summary = trained(&new, &mut Heard::default()).unwrap();
    assert_eq!((summary.pictures, summary.inductive_pictures), (12, 8));
    assert_eq!((summary.stages[0].steps, summary.stages[1].steps), (8, 60));
    let validation = summary.validation.as_ref().unwrap();
    assert_eq!(
        (&validation["pictures"], &validation["counts"]),
        (&4.into(), &serde_json::Value::Null)
    );
    for name in ["losses.csv", "losses.svg", "losses.png", "model.safetensors", "metrics.json"] {
        assert!(new.folder.join(name).is_file(), "{name}");
    }
    let text = std::fs::read_to_string(new.folder.join("config.toml")).unwrap();
    let resolved = Config::parse(&text, &[]).unwrap();
    assert_eq!(resolved.method["rate"].as_float(), Some(0.05), "the file's");
    assert_eq!(resolved.method["steps"].as_integer(), Some(60), "the preset's");
    let versions = std::fs::read_to_string(new.folder.join("versions.json")).unwrap();
    let versions: serde_json::Value = serde_json::from_str(&versions).unwrap();
    assert!(versions["rustc"].as_str().unwrap().starts_with("rustc 1."));
    assert_eq!(versions["inputs"].as_object().unwrap().len(), 2);

    let again = trained(&new, &mut Heard::default()).map(|_| ()).unwrap_err().to_string();
    assert!(again.contains("--resume"), "{again}");
    let mut heard = Heard::default();
    trained(&request(&config, Start::Resume, &["threads=2"]), &mut heard).unwrap();
    assert_eq!((heard.steps, heard.warnings.len()), (0, 0), "done, whatever the threads");
}

#[test]
fn another_configuration_is_refused_by_its_fields() {
    let folder = tempfile::tempdir().unwrap();
    let config = files(folder.path());
    let broken = ["method.broken_at=20"];
    let stopped = trained(&request(&config, Start::New, &broken), &mut Heard::default());
    assert!(stopped.unwrap_err().to_string().contains("step 20"));
    let refused = |settings: &[&str]| {
        let resume = request(&config, Start::Resume, &[&broken[..], settings].concat());
        trained(&resume, &mut Heard::default()).map(|_| ()).unwrap_err().to_string()
    };
    assert!(refused(&["method.rate=0.5"]).ends_with("what differs: method.rate"));
    assert!(refused(&["seed=4", "method.steps=5"]).ends_with("differs: method.steps, seed"));
    assert!(refused(&[]).contains("stopped at step 20"), "the same");
    std::fs::write(folder.path().join("features.store"), "others").unwrap();
    let told = refused(&[]);
    assert!(told.contains("contents of") && told.contains("features.store"), "{told}");
    let elsewhere =
        Request { folder: folder.path().join("none"), ..request(&config, Start::Resume, &[]) };
    let told = trained(&elsewhere, &mut Heard::default()).map(|_| ()).unwrap_err().to_string();
    assert!(told.contains("nothing to resume"), "{told}");
}

#[test]
fn methods_and_their_settings_are_checked_before_a_folder_is_made() {
    let folder = tempfile::tempdir().unwrap();
    let config = files(folder.path());
    let refused = |request: &Request, texts: &[&str]| {
        let told = trained(request, &mut Heard::default()).map(|_| ()).unwrap_err().to_string();
        texts.iter().for_each(|text| assert!(told.contains(text), "no \"{text}\" in {told}"));
        assert!(!request.folder.exists());
    };
    let new = |settings: &[&str]| request(&config, Start::New, settings);
    refused(&Request { method: "tony".into(), ..new(&[]) }, &["tony", "toy"]);
    refused(&new(&["method.speed=1"]), &["[method] of toy", "speed"]);
    refused(&new(&["method.rate=fast"]), &["[method] of toy", "rate"]);
    refused(&new(&["method.rate=-1"]), &["`rate` must be above 0"]);
    refused(&new(&["classes.unseen=[\"cow\", \"gnu\"]"]), &["[classes]", "gnu"]);
    refused(&new(&["features.taps=[\"nonesuch\"]"]), &["[features]", "nonesuch", "taps"]);
    refused(&new(&["data.lists=[\"nonesuch\"]"]), &["[data]", "nonesuch.txt"]);
    refused(&new(&["embeddings.aliases={ cat = \"lynx\" }"]), &["words.txt", "cat"]);
    std::fs::remove_file(folder.path().join("features.store")).unwrap();
    refused(&new(&[]), &["features.store"]);
}

#[test]
fn a_folder_in_the_way_is_told_of_before_data_are_read() {
    let folder = tempfile::tempdir().unwrap();
    let config = files(folder.path());
    let without_data = |start| Request {
        folder: folder.path().join("run"),
        ..request(&config, start, &["data.root=\"nowhere\""])
    };
    let told = |start| trained(&without_data(start), &mut Heard::default()).unwrap_err();
    assert!(told(Start::New).to_string().contains("nowhere"));
    assert!(!folder.path().join("run").exists(), "nothing is left behind");
    std::fs::create_dir(folder.path().join("run")).unwrap();
    std::fs::write(folder.path().join("run/notes.txt"), "mine").unwrap();
    for start in [Start::New, Start::NewOrResume] {
        assert!(told(start).to_string().contains("is there already"));
    }
    assert!(told(Start::Resume).to_string().contains("nothing to resume"));
    assert_eq!(std::fs::read_dir(folder.path().join("run")).unwrap().count(), 1);
}

#[test]
fn presets_are_laid_under_the_configuration() {
    let methods = registry();
    let entry = methods.find("toy").unwrap();
    let over = "steps = 7".parse().unwrap();
    let rate = |preset| entry.settings(preset, &over).unwrap()["rate"].as_float().unwrap();
    assert_eq!((rate(Preset::Default), rate(Preset::Paper)), (0.1, 0.02));
    assert_eq!(entry.settings(Preset::Paper, &over).unwrap()["steps"].as_integer(), Some(7));
}

#[test]
fn a_sweep_skips_resumes_and_reports() {
    let folder = tempfile::tempdir().unwrap();
    let config = files(folder.path());
    let vary = ["method.rate=0.01,-1", "seed=1,2,3"].map(|text| Vary::parse(text).unwrap());
    let request = SweepRequest {
        method: "toy".into(),
        preset: Preset::Default,
        config,
        settings: vec![],
        vary: vary.to_vec(),
        jobs: NonZeroUsize::new(2).unwrap(),
        folder: folder.path().join("sweep"),
    };
    let methods = registry();
    let environment = Environment { methods: &methods, open: &open };
    let told = Mutex::new(0);
    let run = || sweep(&request, &environment, &|_| *told.lock().unwrap() += 1).unwrap();
    let first = run();
    assert_eq!((first.runs.len(), first.groups.len(), *told.lock().unwrap()), (6, 2, 6));
    assert!(first.has_failures());
    assert_eq!(first.runs[2].name, "method.rate=0.01+seed=3");
    assert!(first.runs[..3].iter().all(|run| run.error.is_none() && !run.skipped));
    assert!(first.runs[3..].iter().all(|run| run.error.as_ref().unwrap().contains("`rate`")));
    let sizes: Vec<f64> =
        first.runs[..3].iter().map(|run| run.metrics["scores.all.mean_iou"]).collect();
    assert!(sizes[0] != sizes[1], "seeds differ");
    let mean = sizes.iter().sum::<f64>() / 3.0;
    let spread = (sizes.iter().map(|size| (size - mean).powi(2)).sum::<f64>() / 2.0).sqrt();
    let (found_mean, found_spread) = first.groups[0].metrics["scores.all.mean_iou"];
    assert!((found_mean - mean).abs() < 1e-12 && (found_spread.unwrap() - spread).abs() < 1e-12);
    assert_eq!((first.groups[0].runs, first.groups[1].runs), (3, 0));
    let table = std::fs::read_to_string(request.folder.join("sweep.md")).unwrap();
    assert!(table.contains(&format!("{mean:.4} ± {spread:.4}")), "{table}");
    assert!(table.contains("seed=1 failed") && !table.contains("pixels"), "{table}");

    std::fs::remove_file(request.folder.join("method.rate=0.01+seed=2/metrics.json")).unwrap();
    let second = run();
    let skipped: Vec<bool> = second.runs[..3].iter().map(|run| run.skipped).collect();
    assert_eq!(skipped, [true, false, true]);
    assert_eq!(second.groups, first.groups);
}

#[test]
fn what_varies_is_read() {
    let values = |text| Vary::parse(text).unwrap().values.len();
    assert_eq!(values("method.rate=0.01,0.1"), 2);
    assert_eq!(values("features.grid=[1, 2],[3, 4]"), 2);
    assert_eq!(values("method.mode=bag,layout"), 2);
    for text in ["method.rate", "method.rate=", "a=b,,c", "=1"] {
        assert!(Vary::parse(text).is_err(), "{text}");
    }
}

#[test]
fn devices_have_names() {
    let of = |text: &str| text.parse::<Device>();
    assert_eq!(of("auto").unwrap(), Device::Auto);
    assert_eq!(of("cpu").unwrap(), Device::Cpu);
    assert_eq!(of("cuda").unwrap(), Device::Cuda(0));
    assert_eq!(of("cuda:12").unwrap(), Device::Cuda(12));
    assert_eq!(Device::Cuda(12).to_string(), "cuda:12");
    for wrong in ["", "gpu", "cuda:", "cuda:-1", "CPU"] {
        assert!(of(wrong).is_err(), "{wrong}");
    }
}

/// In a program without it.
#[cfg(not(feature = "train-cuda"))]
#[test]
fn a_gpu_needs_its_feature() {
    use zsseg::train::run::session_with;
    let folder = tempfile::tempdir().unwrap();
    let new = request(&files(folder.path()), Start::New, &[]);
    let mut heard = Heard::default();
    let error = session_with(Device::Cuda(1), &new, &open, &mut heard).unwrap_err();
    let text = "device \"cuda:1\": this program was built without the feature train-cuda";
    assert_eq!(error.to_string(), text);
    assert!(matches!(error, zsseg::train::Error::Device { .. }));
    // There it goes on with the processor, which has no such method.
    let error = session_with(Device::Auto, &new, &open, &mut heard).unwrap_err();
    assert!(error.to_string().contains("there is no method \"toy\""), "{error}");
    assert!(heard.warnings[0].contains("training on the processor: "), "{:?}", heard.warnings);
}
