//! `zsseg train`.

use super::Outcome;
use super::failure::Usage;
use crate::train::data::FileSet;
use crate::train::methods::{Preset, Registry};
use crate::train::run::{
    Config, Device, Environment, Reporter, Request, Setting, Start, Summary, session_with,
};
use crate::train::store::Stored;
use crate::train::{Pictures, Report};
use anyhow::Result;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use std::boxed::Box;
use std::format;
use std::io::Write;
use std::path::PathBuf;
use std::string::String;
use std::vec::Vec;

/// Train a head, and make a bundle of it.
///
/// The configuration is described in docs/training.md. Everything is kept in the run's folder:
/// killed at any moment, the run goes on with --resume and ends with the same bits.
#[derive(clap::Args)]
pub struct Args {
    /// The method.
    #[arg(value_name = "METHOD")]
    method: String,
    /// The configuration.
    #[arg(long, value_name = "CONFIG.toml")]
    config: PathBuf,
    /// Settings of the method that the configuration leaves open.
    #[arg(long, value_enum, default_value = "default")]
    preset: Preset,
    /// Change a value of the configuration; may be given several times.
    #[arg(long = "set", value_name = "TABLE.FIELD=VALUE")]
    settings: Vec<String>,
    /// Number of every random choice; overrides the configuration.
    #[arg(long, value_name = "N")]
    seed: Option<u64>,
    /// Folder of the run.
    #[arg(short = 'o', long = "output", value_name = "DIR")]
    output: PathBuf,
    /// Go on with the run that is in the folder.
    #[arg(long)]
    resume: bool,
    /// What the steps are computed on: cpu; cuda or cuda:N, an NVIDIA GPU (docs/cuda.md); or auto,
    /// a GPU if there is one that can do it, and else the processor.
    #[arg(long, value_name = "DEVICE", default_value = "cpu")]
    device: Device,
    /// Print what metrics.json says.
    #[arg(long)]
    json: bool,
    /// Show no progress.
    #[arg(long, short)]
    quiet: bool,
}

/// Runs the command.
pub fn run(args: &Args, out: &mut dyn Write) -> Result<Outcome> {
    let mut settings = parsed(&args.settings)?;
    if let Some(seed) = args.seed {
        settings.push(Setting::parse(&format!("seed={seed}"))?);
    }
    let request = Request {
        method: args.method.clone(),
        preset: args.preset,
        config: Config::read(&args.config, &settings)?,
        folder: args.output.clone(),
        start: if args.resume { Start::Resume } else { Start::New },
    };
    let summary = session_with(args.device, &request, &open, &mut Progress::new(args.quiet))?;
    match args.json {
        true => writeln!(out, "{}", serde_json::to_string_pretty(&summary)?)?,
        false => out.write_all(text(&summary).as_bytes())?,
    }
    Ok(Outcome::Done)
}

/// What trainings of this command read features with.
pub(super) fn environment(methods: &Registry) -> Environment<'_> {
    Environment { methods, open: &open }
}

fn open(stores: &[PathBuf], labels: FileSet) -> crate::train::Result<Box<dyn Pictures>> {
    Ok(Box::new(Stored::open(stores, labels)?))
}

/// Settings of the command line.
pub(super) fn parsed(settings: &[String]) -> Result<Vec<Setting>> {
    let parse =
        |text: &String| Setting::parse(text).map_err(|error| Usage(format!("--set: {error}")));
    Ok(settings.iter().map(parse).collect::<Result<_, _>>()?)
}

fn text(summary: &Summary) -> String {
    let unseen = summary.classes.values().filter(|seen| !**seen).count();
    let (classes, method) = (summary.classes.len(), &summary.method);
    let mut text = format!(
        "{method}: {classes} classes, {unseen} unseen, {} of {} pictures without an unseen one\n",
        summary.inductive_pictures, summary.pictures
    );
    for stage in &summary.stages {
        let loss = |(name, value): (&String, &f64)| format!(", {name} {value:.4}");
        let losses: String = stage.losses.iter().map(loss).collect();
        text += &format!("  {}: {} steps{losses}\n", stage.name, stage.steps);
    }
    text += &format!("  model: {}\n", summary.model.display());
    if let Some(bundle) = &summary.bundle {
        text += &format!("  bundle: {}\n", bundle.display());
    }
    text
}

/// A bar per stage, with its losses.
struct Progress {
    bar: ProgressBar,
    quiet: bool,
}

impl Progress {
    fn new(quiet: bool) -> Progress {
        Progress { bar: ProgressBar::hidden(), quiet }
    }
}

impl Reporter for Progress {
    fn stage(&mut self, name: &str, steps: u64, first: u64) {
        self.bar.finish();
        let target = match self.quiet {
            true => ProgressDrawTarget::hidden(),
            false => ProgressDrawTarget::stderr(),
        };
        self.bar = ProgressBar::with_draw_target(Some(steps), target);
        let template = "{prefix} [{bar:30}] {pos}/{len} {eta} {msg}";
        if let Ok(style) = ProgressStyle::with_template(template) {
            self.bar.set_style(style.progress_chars("=> "));
        }
        self.bar.set_prefix(String::from(name));
        self.bar.set_position(first);
    }

    fn step(&mut self, _step: u64, report: &Report) {
        self.bar.inc(1);
        if !self.bar.is_hidden() {
            let loss = |(name, value): &(&str, f64)| format!("{name} {value:.4} ");
            self.bar.set_message(report.iter().map(loss).collect::<String>());
        }
    }

    fn warning(&mut self, text: &str) {
        self.bar.suspend(|| {
            let mut stderr = std::io::stderr().lock();
            // Where standard error is closed there is nobody to tell.
            let _ = writeln!(stderr, "warning: {text}");
        });
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.bar.finish();
    }
}
