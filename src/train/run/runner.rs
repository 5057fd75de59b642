//! Does the steps of a method, and writes down what is needed to go on after any end.

use super::checkpoint::{Checkpoints, Mark};
use super::config::Pace;
use super::curves::{Curves, HEADER};
use super::events::{Event, record};
use super::folder::Folder;
use super::logs::Log;
use super::{files, plot};
use crate::train::error::{Error, Result};
use crate::train::model::Model;
use crate::train::stage::{Method, Report, Stage, State};
use std::boxed::Box;
use std::format;
use std::path::{Path, PathBuf};
use std::string::String;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};
use std::vec::Vec;

/// Time between two drawings of the losses.
const PLOT_EVERY: Duration = Duration::from_secs(5);
/// The file of losses.
const LOSSES: &str = "losses.csv";
/// The event file of TensorBoard, which knows its own by this start.
const EVENTS: &str = "events.out.tfevents.0.zsseg";

/// Hears how a run goes.
pub trait Reporter {
    /// A stage begins, or goes on at step `first`.
    fn stage(&mut self, name: &str, steps: u64, first: u64);
    /// A step is done.
    fn step(&mut self, step: u64, report: &Report);
    /// Something is wrong, but the run goes on.
    fn warning(&mut self, text: &str);
}

/// Tells nobody.
pub struct Silent;

impl Reporter for Silent {
    fn stage(&mut self, _name: &str, _steps: u64, _first: u64) {}
    fn step(&mut self, _step: u64, _report: &Report) {}
    fn warning(&mut self, _text: &str) {}
}

/// What a run has come to.
#[derive(Clone, Debug)]
pub struct Trained {
    /// The model.
    pub model: Model,
    /// Stages and their steps, in order.
    pub stages: Vec<(String, u64)>,
    /// The last value of each loss: stage, loss, value.
    pub losses: Vec<(String, String, f64)>,
}

/// Runs a method in a folder: from its first step, or from where the folder's checkpoints are.
/// A stage that is done is not done again. `fingerprint` is of everything that the steps depend
/// on beside the method itself; checkpoints of another one are not used.
///
/// # Errors
/// [`Error::Stopped`] with stage and step for whatever a step says, for a loss that is no finite
/// number, and for a full disk; the last checkpoint is whole then.
pub fn train(
    method: &dyn Method,
    folder: &Folder,
    fingerprint: &str,
    pace: &Pace,
    reporter: &mut dyn Reporter,
) -> Result<Trained> {
    let names = method.stages();
    let path = folder.path();
    let checkpoints = Checkpoints::open(path)?;
    let mut done: Vec<State> = Vec::new();
    let (mut ends, mut stages) = (Vec::new(), Vec::new());
    for (index, name) in names.iter().enumerate() {
        let warn = &mut |text: &str| reporter.warning(text);
        let Some((mark, state)) = checkpoints.finished(index, (name, fingerprint), warn) else {
            break;
        };
        checkpoints.forget(index)?;
        stages.push((name.clone(), mark.step));
        ends = mark.logs;
        done.push(state);
    }
    // What comes after a stage that is done again is done again too.
    (done.len() + 1..names.len()).try_for_each(|index| checkpoints.discard(index))?;
    let mut logs = None;
    for (index, name) in names.iter().enumerate().skip(done.len()) {
        let mut run = Running { checkpoints: &checkpoints, index, name, fingerprint, last: None };
        let mut stage = method.begin(index, &done)?;
        let taken = run.take_up(stage.as_mut(), reporter)?;
        let first = taken.as_ref().map_or(0, |mark| mark.step);
        // The logs go back to the checkpoint, or to the end of the last stage that is done.
        let logs = match (taken, &mut logs) {
            (None, Some(logs)) => logs,
            (taken, logs) => {
                let lengths = taken.map_or(ends.clone(), |mark| mark.logs);
                logs.insert(Logs::open(path, &lengths)?)
            }
        };
        stages.push((name.clone(), stage.steps()));
        let ended = run.stage(stage.as_mut(), first, (pace, path), logs, reporter);
        drop(stage);
        done.push(ended?);
    }
    let mut logs = logs.map_or_else(|| Logs::open(path, &ends), Ok)?;
    logs.draw(path)?;
    let model = method.finish(&done)?;
    let owned = |(stage, loss, value): (&str, &str, f64)| (stage.into(), loss.into(), value);
    Ok(Trained { model, stages, losses: logs.curves.last().map(owned).collect() })
}

/// A stage at work.
struct Running<'a> {
    checkpoints: &'a Checkpoints,
    index: usize,
    name: &'a str,
    fingerprint: &'a str,
    /// The newest checkpoint.
    last: Option<PathBuf>,
}

impl Running<'_> {
    /// Goes back to the newest checkpoint, if there is one.
    fn take_up(
        &mut self,
        stage: &mut dyn Stage,
        reporter: &mut dyn Reporter,
    ) -> Result<Option<Mark>> {
        let warn = &mut |text: &str| reporter.warning(text);
        let key = (self.name, self.fingerprint);
        let Some((file, mark, state)) = self.checkpoints.newest(self.index, key, warn)? else {
            return Ok(None);
        };
        if mark.step > stage.steps() {
            return Err(Error::broken(&file, format!("the stage has {} steps", stage.steps())));
        }
        stage.restore(&state).map_err(|error| Error::broken(&file, error))?;
        self.last = Some(file);
        Ok(Some(mark))
    }

    /// Does the steps from `first` on; what the stage has learnt.
    fn stage(
        &mut self,
        stage: &mut dyn Stage,
        first: u64,
        (pace, path): (&Pace, &Path),
        logs: &mut Logs,
        reporter: &mut dyn Reporter,
    ) -> Result<State> {
        let steps = stage.steps();
        reporter.stage(self.name, steps, first);
        let mut saved = Instant::now();
        for step in first..steps {
            let next = step + 1;
            let went = self.step(stage, step, logs).and_then(|report| {
                reporter.step(step, &report);
                if next < steps && pace.is_due(next, saved.elapsed()) {
                    self.save(stage, next, logs)?;
                    saved = Instant::now();
                }
                logs.draw_if_due(path)
            });
            went.map_err(|error| self.stopped(step, error))?;
        }
        self.finish(stage, steps, logs).map_err(|error| self.stopped(steps, error))
    }

    fn step(&self, stage: &mut dyn Stage, step: u64, logs: &mut Logs) -> Result<Report> {
        let report = stage.step(step)?;
        if let Some((loss, _)) = report.iter().find(|(_, value)| !value.is_finite()) {
            return Err(Error::NotFinite { loss, step });
        }
        logs.add(self.name, step, &report)?;
        Ok(report)
    }

    fn mark(&self, step: u64, logs: &mut Logs) -> Result<Mark> {
        let (stage, fingerprint) = (self.name.into(), self.fingerprint.into());
        Ok(Mark { stage, step, fingerprint, logs: logs.sync()? })
    }

    fn save(&mut self, stage: &dyn Stage, step: u64, logs: &mut Logs) -> Result<()> {
        let mark = self.mark(step, logs)?;
        self.last = Some(self.checkpoints.save(self.index, &mark, &stage.state()?)?);
        Ok(())
    }

    fn finish(&mut self, stage: &dyn Stage, steps: u64, logs: &mut Logs) -> Result<State> {
        let (mark, state) = (self.mark(steps, logs)?, stage.state()?);
        self.checkpoints.finish(self.index, &mark, &state)?;
        Ok(state)
    }

    fn stopped(&self, step: u64, error: Error) -> Error {
        Error::Stopped {
            stage: self.name.into(),
            step,
            checkpoint: self.last.clone(),
            error: Box::new(error),
        }
    }
}

/// What grows with the run.
struct Logs {
    losses: Log,
    events: Log,
    curves: Curves,
    drawn: Instant,
}

impl Logs {
    /// The logs as they were at a checkpoint; new ones without lengths.
    fn open(folder: &Path, lengths: &[u64]) -> Result<Logs> {
        let length = |place: usize| lengths.get(place).copied().unwrap_or(0);
        let mut losses = Log::open(folder.join(LOSSES), length(0))?;
        let mut events = Log::open(folder.join(EVENTS), length(1))?;
        if losses.length() == 0 {
            losses.add(HEADER.as_bytes())?;
        }
        if events.length() == 0 {
            events.add(&record(now(), &Event::Version))?;
        }
        losses.flush()?;
        let text = std::fs::read_to_string(losses.path()).map_err(Error::file(losses.path()))?;
        let curves = Curves::parse(losses.path(), &text)?;
        Ok(Logs { losses, events, curves, drawn: Instant::now() })
    }

    fn add(&mut self, stage: &str, step: u64, report: &Report) -> Result<()> {
        let lines = self.curves.add(stage, step, report);
        self.losses.add(lines.as_bytes())?;
        let seconds = now();
        for (loss, value) in report {
            let tag = format!("{stage}/{loss}");
            self.events.add(&record(seconds, &Event::Scalar { tag: &tag, step, value: *value }))?;
        }
        Ok(())
    }

    fn sync(&mut self) -> Result<Vec<u64>> {
        Ok(std::vec![self.losses.sync()?, self.events.sync()?])
    }

    fn draw_if_due(&mut self, folder: &Path) -> Result<()> {
        if self.drawn.elapsed() < PLOT_EVERY {
            return Ok(());
        }
        self.losses.flush()?;
        self.events.flush()?;
        self.draw(folder)
    }

    fn draw(&mut self, folder: &Path) -> Result<()> {
        files::write_whole(&folder.join("losses.svg"), plot::svg(&self.curves)?.as_bytes())?;
        files::write_whole(&folder.join("losses.png"), &plot::png(&self.curves)?)?;
        self.drawn = Instant::now();
        Ok(())
    }
}

/// Seconds since 1970, for people who look at events; nothing depends on it.
fn now() -> f64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs_f64()
}
