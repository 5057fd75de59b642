//! Runs that are taken up after they ended early, or were damaged.

use crate::toy::ToySettings;
use crate::trainee::{Heard, results, run};
use std::path::{Path, PathBuf};
use zsseg::train::Error;
use zsseg::train::run::Folder;

/// A run that broke off at a step, because its loss was no number.
fn broken_off(path: &Path, step: u64) -> Error {
    let settings = ToySettings { broken_at: Some(step), ..ToySettings::default() };
    run(path, &settings, &mut Heard::default()).unwrap_err()
}

fn resumed(path: &Path) -> Heard {
    let mut heard = Heard::default();
    run(path, &ToySettings::default(), &mut heard).unwrap();
    heard
}

fn checkpoints(path: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(path.join("checkpoints")).unwrap();
    let mut paths: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    paths
}

#[test]
fn resuming_equals_not_stopping() {
    let folder = tempfile::tempdir().unwrap();
    let whole = folder.path().join("whole");
    resumed(&whole);
    let lines = std::fs::read_to_string(whole.join("losses.csv")).unwrap();
    assert_eq!(lines.lines().next(), Some("stage,step,loss,value"));
    for (step, line) in lines.lines().skip(1).enumerate() {
        assert!(line.starts_with(&format!("classifier,{step},cross entropy,")), "{line}");
    }
    assert_eq!(lines.lines().count(), 61);
    for step in [0, 3, 7, 8, 30, 59] {
        let path = folder.path().join(format!("broken{step}"));
        broken_off(&path, step);
        let heard = resumed(&path);
        assert_eq!(heard.stages, [("classifier".to_string(), step / 7 * 7)]);
        assert_eq!(heard.steps, 60 - step / 7 * 7);
        assert!(results(&path) == results(&whole), "broken at {step}");
    }
}

#[test]
fn a_loss_that_is_no_number_names_stage_step_and_checkpoint() {
    let folder = tempfile::tempdir().unwrap();
    let error = broken_off(&folder.path().join("run"), 30);
    let Error::Stopped { stage, step, checkpoint, error: reason } = &error else {
        panic!("{error}");
    };
    assert_eq!((stage.as_str(), *step), ("classifier", 30));
    assert!(matches!(**reason, Error::NotFinite { step: 30, loss: "cross entropy" }));
    assert!(checkpoint.as_ref().unwrap().exists());
    let text = error.to_string();
    assert!(text.contains("cross entropy") && text.contains("28.safetensors"), "{text}");
    let early = broken_off(&folder.path().join("early"), 2).to_string();
    assert!(early.contains("no checkpoint yet"), "{early}");
}

#[test]
fn a_run_that_is_done_is_not_done_again() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("run");
    assert_eq!(resumed(&path).steps, 68);
    let before = results(&path);
    assert_eq!(resumed(&path).steps, 0);
    assert!(results(&path) == before);
    assert_eq!(checkpoints(&path), Vec::<PathBuf>::new());
}

/// Cuts the newest checkpoint, and turns each of many of its bits: the one before is used.
#[test]
fn a_broken_checkpoint_falls_back_to_the_one_before() {
    let folder = tempfile::tempdir().unwrap();
    let (path, whole) = (folder.path().join("run"), folder.path().join("whole"));
    resumed(&whole);
    broken_off(&path, 30);
    let kept = checkpoints(&path);
    assert_eq!(kept.len(), 2);
    let bytes = std::fs::read(&kept[1]).unwrap();
    let mut damages: Vec<Vec<u8>> = vec![vec![], bytes[..bytes.len() / 2].to_vec()];
    damages.push(bytes[..bytes.len() - 1].to_vec());
    for place in (0..bytes.len()).step_by(bytes.len() / 12) {
        let mut turned = bytes.clone();
        turned[place] ^= 1 << (place % 8);
        damages.push(turned);
    }
    let copy = folder.path().join("copy");
    for (number, damage) in damages.iter().enumerate() {
        let _ = std::fs::remove_dir_all(&copy);
        copy_folder(&path, &copy);
        std::fs::write(copy.join("checkpoints").join(kept[1].file_name().unwrap()), damage)
            .unwrap();
        let heard = resumed(&copy);
        assert_eq!(heard.stages, [("classifier".to_string(), 21)], "damage {number}");
        let warning = heard.warnings.join("\n");
        assert!(warning.contains("028.safetensors") && warning.contains("older"), "{warning}");
        assert!(results(&copy) == results(&whole), "damage {number}");
    }
}

#[test]
fn without_a_whole_checkpoint_a_stage_starts_again() {
    let folder = tempfile::tempdir().unwrap();
    let (path, whole) = (folder.path().join("run"), folder.path().join("whole"));
    resumed(&whole);
    broken_off(&path, 30);
    checkpoints(&path).iter().for_each(|path| std::fs::write(path, b"?").unwrap());
    std::fs::write(path.join("stages/00.safetensors"), b"?").unwrap();
    let heard = resumed(&path);
    assert_eq!(heard.stages, [("means".to_string(), 0), ("classifier".to_string(), 0)]);
    assert_eq!(heard.warnings.len(), 1, "the second stage's are not asked for");
    assert!(results(&path) == results(&whole));
}

#[test]
fn folders_with_something_in_them_are_not_taken() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("run");
    std::fs::create_dir(&path).unwrap();
    drop(Folder::create(&path, &[("a.txt", "a")]).unwrap());
    let error = Folder::create(&path, &[("a.txt", "b")]).unwrap_err().to_string();
    assert!(error.contains("--resume"), "{error}");
    assert_eq!(std::fs::read_to_string(path.join("a.txt")).unwrap(), "a");
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1, "nothing is left behind");
}

#[test]
fn plots_and_events_are_written() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("run");
    broken_off(&path, 30);
    resumed(&path);
    let svg = std::fs::read_to_string(path.join("losses.svg")).unwrap();
    assert!(svg.contains("classifier") && svg.contains("cross entropy"));
    assert!(image::open(path.join("losses.png")).unwrap().width() > 500);
    let events = std::fs::read(path.join("events.out.tfevents.0.zsseg")).unwrap();
    let (mut rest, mut records) = (events.as_slice(), 0);
    while let Some((length, after)) = rest.split_first_chunk::<8>() {
        let length = u64::from_le_bytes(*length) as usize;
        rest = &after[4 + length + 4..];
        records += 1;
    }
    assert_eq!(records, 61, "the version and 60 losses");
}

fn copy_folder(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let path = entry.unwrap().path();
        let target = to.join(path.file_name().unwrap());
        match path.is_dir() {
            true => copy_folder(&path, &target),
            false => std::fs::copy(&path, &target).map(|_| ()).unwrap(),
        }
    }
}
