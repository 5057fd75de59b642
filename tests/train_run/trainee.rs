//! A training of the toy method on made-up pictures, in this process or in one of its own.

use crate::support::{Synthetic, embeddings, engine, roles};
use crate::toy::{Toy, ToySettings};
use std::num::NonZeroU64;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use zsseg::train::run::{Folder, Pace, Reporter, Trained, train};
use zsseg::train::{Report, Result, Task, View};

/// Where the child works.
const FOLDER: &str = "ZSSEG_TEST_FOLDER";
/// Pause of the child between steps, in milliseconds.
const PAUSE: &str = "ZSSEG_TEST_PAUSE";

/// Keeps what it hears.
#[derive(Default)]
pub struct Heard {
    pub stages: Vec<(String, u64)>,
    pub steps: u64,
    pub warnings: Vec<String>,
}

impl Reporter for Heard {
    fn stage(&mut self, name: &str, _steps: u64, first: u64) {
        self.stages.push((name.into(), first));
    }

    fn step(&mut self, _step: u64, _report: &Report) {
        self.steps += 1;
    }

    fn warning(&mut self, text: &str) {
        self.warnings.push(text.into());
    }
}

/// A checkpoint after every seven steps.
pub fn pace() -> Pace {
    Pace { seconds: 1e9, steps: NonZeroU64::new(7) }
}

/// Takes up the run in a folder, or begins one.
pub fn run(folder: &Path, settings: &ToySettings, heard: &mut Heard) -> Result<Trained> {
    let folder = match folder.exists() {
        true => Folder::open(folder)?,
        false => Folder::create(folder, &[("note.txt", "toy")])?,
    };
    let pictures = Synthetic::new(12, 0.3, &[View::PLAIN], 3);
    let (joined, embeddings, roles) = (pictures.joined(), embeddings(), roles(&["cow", "sheep"]));
    let task = Task::new(&roles, &embeddings, &joined, 5)?;
    let engine = engine();
    let toy = Toy::new(&engine, &task, settings.clone())?;
    train(&toy, &folder, "toy", &pace(), heard)
}

/// What must be the same however often a run was broken off.
pub fn results(folder: &Path) -> Vec<(String, Vec<u8>)> {
    let names = ["stages/00.safetensors", "stages/01.safetensors", "losses.csv"];
    let read = |name: &str| (name.to_string(), std::fs::read(folder.join(name)).unwrap());
    names.map(read).to_vec()
}

/// This test binary as a child that trains.
pub fn child(folder: &Path, pause_ms: u64) -> Command {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["trainee::works_for_other_tests", "--exact", "--nocapture"]);
    command.env(FOLDER, folder).env(PAUSE, pause_ms.to_string());
    command.stdin(Stdio::null()).stdout(Stdio::null());
    command
}

/// The training of the child. By itself it has nothing to do.
#[test]
fn works_for_other_tests() {
    let Some(folder) = std::env::var_os(FOLDER) else { return };
    let pause_ms = std::env::var(PAUSE).unwrap().parse().unwrap();
    let settings = ToySettings { pause_ms, ..ToySettings::default() };
    if let Err(error) = run(&PathBuf::from(folder), &settings, &mut Heard::default()) {
        eprintln!("trainee: {error}");
        std::process::exit(3);
    }
}
