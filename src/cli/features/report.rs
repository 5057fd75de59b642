//! What `features` tells, and its progress.

use crate::cli::Outcome;
use crate::cli::failure;
use crate::train::Tap;
use anyhow::{Error, Result};
use indicatif::{ProgressBar, ProgressStyle};
use serde::Serialize;
use std::io::{IsTerminal, Write};
use std::string::String;
use std::vec::Vec;

/// The document of `features --json`.
#[derive(Serialize)]
pub struct Report {
    /// Version of zsseg.
    pub version: &'static str,
    /// The store.
    pub store: String,
    /// SHA-256 in hexadecimal of the network and of how pictures are given to it.
    pub backbone_sha256: String,
    /// Pictures that the store is for.
    pub pictures: usize,
    /// Those that it had before.
    pub done_before: usize,
    /// Those that it has now.
    pub done: usize,
    /// The tensors.
    pub taps: Vec<TapReport>,
    /// Views of each picture, the plain one included.
    pub views: usize,
    /// How long it took.
    pub seconds: f64,
    /// The pictures that it lacks, in the order of the list.
    pub failed: Vec<FailedPicture>,
}

/// A tensor.
#[derive(Serialize)]
pub struct TapReport {
    /// Its name in the network.
    pub name: String,
    /// Rows of its grid.
    pub rows: usize,
    /// Columns of its grid.
    pub columns: usize,
    /// Channels.
    pub channels: usize,
}

/// A picture without features.
#[derive(Serialize)]
pub struct FailedPicture {
    /// Its name.
    pub name: String,
    /// Why.
    pub error: String,
}

impl TapReport {
    /// Of a tap.
    pub fn new(tap: &Tap) -> TapReport {
        let Tap { name, height, width, channels } = tap.clone();
        TapReport { name, rows: height, columns: width, channels }
    }
}

impl Report {
    /// Prints the report; pictures that failed were reported before.
    pub fn print(self, json: bool, out: &mut dyn Write) -> Result<Outcome> {
        if json {
            writeln!(out, "{}", serde_json::to_string_pretty(&self)?)?;
        } else {
            let Report { store, pictures, done, done_before, seconds, .. } = &self;
            let new = done.saturating_sub(*done_before);
            writeln!(out, "{store}: {done} of {pictures} pictures, {new} new, {seconds:.1} s")?;
            for TapReport { name, rows, columns, channels } in &self.taps {
                writeln!(out, "  {name}: {rows} x {columns} cells of {channels} channels")?;
            }
            writeln!(out, "  views: {}", self.views)?;
        }
        Ok(match self.failed.is_empty() {
            true => Outcome::Done,
            false => Outcome::SomeFailed,
        })
    }
}

/// A bar on a terminal.
pub struct Progress(ProgressBar);

impl Progress {
    /// For so many pictures.
    pub fn new(pictures: usize, quiet: bool) -> Progress {
        let visible = !quiet && std::io::stderr().is_terminal();
        let bar = if visible { ProgressBar::new(pictures as u64) } else { ProgressBar::hidden() };
        let template = "{bar:30} {pos}/{len} pictures, {per_sec}, {eta} left";
        if let Ok(style) = ProgressStyle::with_template(template) {
            bar.set_style(style);
        }
        Progress(bar)
    }

    /// One more is through.
    pub fn done(&self) {
        self.0.inc(1);
    }

    /// One more failed.
    pub fn failed(&self, error: &Error) {
        self.0.inc(1);
        self.0.suspend(|| failure::report(error));
    }

    /// Takes the bar away.
    pub fn finish(&self) {
        self.0.finish_and_clear();
    }
}
