//! Many trainings that differ in a few values.

use super::config::{Config, Setting};
use super::runner::Silent;
use super::session::{Environment, METRICS, Request, Start, is_finished, session};
use crate::train::error::{Error, Result};
use crate::train::methods::Preset;
use core::num::NonZeroUsize;
use core::sync::atomic::{AtomicUsize, Ordering};
use serde::Serialize;
use std::collections::BTreeMap;
use std::format;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::string::{String, ToString};
use std::sync::Mutex;
use std::vec::Vec;
use toml::Value;

/// Most runs of a sweep.
const MAX_RUNS: usize = 10_000;
/// Scores that the table of a sweep shows, and their titles there.
const HEADLINES: [(&str, &str); 4] = [
    ("scores.seen.mean_iou", "seen mIoU"),
    ("scores.unseen.mean_iou", "unseen mIoU"),
    ("scores.harmonic.iou", "hIoU"),
    ("scores.all.mean_iou", "mIoU"),
];
/// Name of the value that only changes the random numbers.
const SEED: &str = "seed";

/// A field and the values that it takes in turn.
#[derive(Clone, Debug, PartialEq)]
pub struct Vary {
    /// The field, such as `method.rate`.
    pub field: String,
    /// Its values, one or more.
    pub values: Vec<Setting>,
}

impl Vary {
    /// Reads `method.rate=0.01,0.1`; values that have commas stand in quotes or brackets.
    ///
    /// # Errors
    /// [`Error::Config`] for another form, and without a value.
    pub fn parse(text: &str) -> Result<Vary> {
        let Setting { path, .. } = Setting::parse(text)?;
        let (_, values) = text.split_once('=').unwrap_or_default();
        let values = match Setting::value(&format!("[{values}]")) {
            Value::Array(values) => values,
            _ => values.split(',').map(Setting::value).collect(),
        };
        let field = path.join(".");
        if values.is_empty() || values.contains(&Value::String(String::new())) {
            return Err(Error::config(format!("{field} has an empty value")));
        }
        let setting = |value| Setting { path: path.clone(), value };
        Ok(Vary { field, values: values.into_iter().map(setting).collect() })
    }
}

/// What is to be trained.
#[derive(Clone, Debug)]
pub struct SweepRequest {
    /// Name of the method.
    pub method: String,
    /// Settings that it starts from.
    pub preset: Preset,
    /// The configuration's file.
    pub config: PathBuf,
    /// What is the same in all runs, but not as in the file.
    pub settings: Vec<Setting>,
    /// What differs.
    pub vary: Vec<Vary>,
    /// Runs at a time.
    pub jobs: NonZeroUsize,
    /// Folder of the runs' folders.
    pub folder: PathBuf,
}

/// One run.
#[derive(Clone, Debug, Serialize)]
pub struct Member {
    /// Name of its folder, made of the values.
    pub name: String,
    /// Its values by field.
    pub values: BTreeMap<String, String>,
    /// Whether it was done already.
    pub skipped: bool,
    /// Why it failed.
    pub error: Option<String>,
    /// The numbers of its `metrics.json`.
    pub metrics: BTreeMap<String, f64>,
}

/// Runs that differ in their seed only.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Group {
    /// What they share.
    pub values: BTreeMap<String, String>,
    /// Runs that are done.
    pub runs: usize,
    /// Mean and standard deviation (with `runs - 1`; none for a single run) of each number that
    /// all of them have.
    pub metrics: BTreeMap<String, (f64, Option<f64>)>,
}

/// What came of a sweep.
#[derive(Clone, Debug, Serialize)]
pub struct Sweep {
    /// All runs in the order of their values.
    pub runs: Vec<Member>,
    /// Without their seeds.
    pub groups: Vec<Group>,
}

/// Trains every combination of the values in a folder of its own. What is done is skipped, what
/// was broken off goes on, and a run that fails does not keep the others from being done.
/// `told` hears of every run that ends. Writes `sweep.json` and `sweep.md`.
///
/// # Errors
/// [`Error::Config`] if there is nothing to vary, or too much; those of writing the tables.
pub fn sweep(
    request: &SweepRequest,
    environment: &Environment<'_>,
    told: &(dyn Fn(&Member) + Sync),
) -> Result<Sweep> {
    let plans = plans(&request.vary)?;
    std::fs::create_dir_all(&request.folder).map_err(Error::file(&request.folder))?;
    let next = AtomicUsize::new(0);
    let done: Mutex<BTreeMap<usize, Member>> = Mutex::new(BTreeMap::new());
    let work = || {
        while let Some((place, plan)) = take(&next, &plans) {
            let member = member(request, environment, plan);
            told(&member);
            let mut done = done.lock().unwrap_or_else(|broken| broken.into_inner());
            done.insert(place, member);
        }
    };
    std::thread::scope(|scope| {
        for _ in 0..request.jobs.get().min(plans.len()) {
            scope.spawn(work);
        }
    });
    let done = done.into_inner().unwrap_or_else(|broken| broken.into_inner());
    let runs: Vec<Member> = done.into_values().collect();
    let sweep = Sweep { groups: groups(&runs), runs };
    let json = serde_json::to_string_pretty(&sweep).map_err(Error::config)?;
    super::files::write_whole(&request.folder.join("sweep.json"), json.as_bytes())?;
    super::files::write_whole(&request.folder.join("sweep.md"), sweep.markdown().as_bytes())?;
    Ok(sweep)
}

fn take<'p>(next: &AtomicUsize, plans: &'p [Plan<'p>]) -> Option<(usize, &'p Plan<'p>)> {
    let place = next.fetch_add(1, Ordering::Relaxed);
    Some((place, plans.get(place)?))
}

/// The settings of one run.
type Plan<'a> = Vec<(&'a str, &'a Setting)>;

/// All combinations, the last field changing fastest.
fn plans(vary: &[Vary]) -> Result<Vec<Plan<'_>>> {
    if vary.is_empty() {
        return Err(Error::config("nothing varies"));
    }
    let mut plans: Vec<Plan<'_>> = std::vec![Vec::new()];
    for (place, field) in vary.iter().enumerate() {
        if vary.iter().skip(place + 1).any(|other| other.field == field.field) {
            return Err(Error::config(format!("{} varies twice", field.field)));
        }
        if plans.len().saturating_mul(field.values.len()) > MAX_RUNS {
            return Err(Error::config(format!("more than {MAX_RUNS} runs")));
        }
        plans = plans
            .iter()
            .flat_map(|plan| field.values.iter().map(move |setting| (plan, setting)))
            .map(|(plan, setting)| {
                let mut plan = plan.clone();
                plan.push((field.field.as_str(), setting));
                plan
            })
            .collect();
    }
    let names: std::collections::BTreeSet<String> = plans.iter().map(|plan| name(plan)).collect();
    if names.len() != plans.len() {
        return Err(Error::config("two runs would have the same name: a value occurs twice"));
    }
    Ok(plans)
}

/// Name of a run's folder.
fn name(plan: &Plan<'_>) -> String {
    let parts: Vec<String> =
        plan.iter().map(|(field, setting)| format!("{field}={}", shown(&setting.value))).collect();
    let plain = |letter: char| match letter {
        letter if letter.is_alphanumeric() || "=._-+".contains(letter) => letter,
        _ => '_',
    };
    parts.join("+").chars().map(plain).collect()
}

fn shown(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        value => value.to_string(),
    }
}

fn member(request: &SweepRequest, environment: &Environment<'_>, plan: &Plan<'_>) -> Member {
    let values = plan.iter().map(|(field, setting)| (field.to_string(), shown(&setting.value)));
    let (name, values) = (name(plan), values.collect());
    let folder = request.folder.join(&name);
    // A fault of this library's own in one run is no reason to lose the others.
    let run = AssertUnwindSafe(|| run(request, environment, plan, &folder));
    let went = catch_unwind(run).unwrap_or_else(|_| Err(Error::config("internal error")));
    let went = went.and_then(|skipped| Ok((skipped, metrics(&folder.join(METRICS))?)));
    match went {
        Ok((skipped, metrics)) => Member { name, values, skipped, error: None, metrics },
        Err(error) => {
            let error = Some(error.to_string());
            Member { name, values, skipped: false, error, metrics: BTreeMap::new() }
        }
    }
}

/// Does a run; whether it was done already.
fn run(
    request: &SweepRequest,
    environment: &Environment<'_>,
    plan: &Plan<'_>,
    folder: &Path,
) -> Result<bool> {
    let mut settings = request.settings.clone();
    settings.extend(plan.iter().map(|(_, setting)| (*setting).clone()));
    let one = Request {
        method: request.method.clone(),
        preset: request.preset,
        config: Config::read(&request.config, &settings)?,
        folder: folder.to_path_buf(),
        start: Start::NewOrResume,
    };
    if is_finished(&one, environment)? {
        return Ok(true);
    }
    session(&one, environment, &mut Silent)?;
    Ok(false)
}

/// All numbers of a JSON file, by the names that lead to them. Lists are left out.
fn metrics(path: &Path) -> Result<BTreeMap<String, f64>> {
    let text = std::fs::read_to_string(path).map_err(Error::file(path))?;
    let json: serde_json::Value =
        serde_json::from_str(&text).map_err(|error| Error::broken(path, error))?;
    let mut found = BTreeMap::new();
    if let Some(validation) = json.get("validation") {
        numbers("", validation, &mut found);
    }
    for stage in json.get("stages").and_then(|stages| stages.as_array()).into_iter().flatten() {
        let name = stage.get("name").and_then(|name| name.as_str()).unwrap_or_default();
        if let Some(losses) = stage.get("losses") {
            numbers(&format!("last loss.{name}."), losses, &mut found);
        }
    }
    Ok(found)
}

fn numbers(start: &str, value: &serde_json::Value, found: &mut BTreeMap<String, f64>) {
    for (name, value) in value.as_object().into_iter().flatten() {
        match value.as_f64() {
            Some(number) => {
                found.insert(format!("{start}{name}"), number);
            }
            None => numbers(&format!("{start}{name}."), value, found),
        }
    }
}

fn groups(runs: &[Member]) -> Vec<Group> {
    let mut groups: Vec<(BTreeMap<String, String>, Vec<&Member>)> = Vec::new();
    for run in runs {
        let mut values = run.values.clone();
        values.remove(SEED);
        match groups.iter_mut().find(|(shared, _)| *shared == values) {
            Some((_, members)) => members.push(run),
            None => groups.push((values, std::vec![run])),
        }
    }
    groups.into_iter().map(|(values, members)| group(values, &members)).collect()
}

fn group(values: BTreeMap<String, String>, members: &[&Member]) -> Group {
    let done: Vec<&&Member> = members.iter().filter(|member| member.error.is_none()).collect();
    let mut metrics = BTreeMap::new();
    for name in done.first().iter().flat_map(|first| first.metrics.keys()) {
        let numbers: Option<Vec<f64>> =
            done.iter().map(|member| member.metrics.get(name).copied()).collect();
        if let Some(numbers) = numbers {
            metrics.insert(name.clone(), mean_and_spread(&numbers));
        }
    }
    Group { values, runs: done.len(), metrics }
}

fn mean_and_spread(numbers: &[f64]) -> (f64, Option<f64>) {
    let count = numbers.len() as f64;
    let mean = numbers.iter().sum::<f64>() / count;
    let squares: f64 = numbers.iter().map(|number| (number - mean) * (number - mean)).sum();
    (mean, (numbers.len() > 1).then(|| libm::sqrt(squares / (count - 1.0))))
}

impl Sweep {
    /// Whether a run failed.
    pub fn has_failures(&self) -> bool {
        self.runs.iter().any(|run| run.error.is_some())
    }

    /// A table with a line for each group, and a list of what failed. Mean IoUs and losses only;
    /// all other numbers are in the JSON.
    pub fn markdown(&self) -> String {
        let fields: Vec<&String> = self.groups.iter().flat_map(|it| it.values.keys()).collect();
        let fields = in_order(fields);
        let names = in_order(self.groups.iter().flat_map(|it| it.metrics.keys()).collect());
        let losses = names.iter().filter(|name| name.starts_with("last loss."));
        let is_known = |(name, _): &(&str, &str)| names.iter().any(|other| *other == name);
        let metrics = HEADLINES.into_iter().filter(is_known);
        let metrics = metrics.chain(losses.map(|name| (name.as_str(), name.as_str())));
        let metrics: Vec<(&str, &str)> = metrics.collect();
        let head = fields.iter().map(|name| name.as_str()).chain(["runs"]);
        let head = head.chain(metrics.iter().map(|(_, title)| *title));
        let head: Vec<String> = head.map(cell).collect();
        let mut text = format!("| {} |\n|{}\n", head.join(" | "), " --- |".repeat(head.len()));
        for group in &self.groups {
            let value =
                |field: &&String| group.values.get(*field).map_or(String::new(), |v| cell(v));
            let metric = |(name, _): &(&str, &str)| match group.metrics.get(*name) {
                Some((mean, Some(spread))) => format!("{mean:.4} ± {spread:.4}"),
                Some((mean, None)) => format!("{mean:.4}"),
                None => String::new(),
            };
            let cells = fields.iter().map(value).chain([group.runs.to_string()]);
            let cells: Vec<String> = cells.chain(metrics.iter().map(metric)).collect();
            text += &format!("| {} |\n", cells.join(" | "));
        }
        for run in &self.runs {
            if let Some(error) = &run.error {
                text += &format!("\n- {} failed: {}\n", cell(&run.name), cell(error));
            }
        }
        text
    }
}

fn in_order(names: Vec<&String>) -> Vec<&String> {
    names.into_iter().collect::<std::collections::BTreeSet<_>>().into_iter().collect()
}

/// Text that does not end a cell or a line.
fn cell(text: &str) -> String {
    text.replace('|', "\\|").replace('\n', " ")
}
