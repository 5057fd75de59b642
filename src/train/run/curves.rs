//! The losses of a run: kept in memory for the plots, and in `losses.csv`.

use crate::train::error::{Error, Result};
use crate::train::stage::Report;
use std::borrow::ToOwned;
use std::format;
use std::path::Path;
use std::string::String;
use std::vec::Vec;

/// First line of the file.
pub(super) const HEADER: &str = "stage,step,loss,value\n";

/// One loss of one stage.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Curve {
    pub(super) stage: String,
    pub(super) loss: String,
    /// Step and value.
    pub(super) points: Vec<(u64, f64)>,
}

/// All losses in the order in which they first came.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Curves(pub(super) Vec<Curve>);

impl Curves {
    /// Adds what a step told; the lines of the file for it.
    pub(super) fn add(&mut self, stage: &str, step: u64, report: &Report) -> String {
        let (stage, mut lines) = (field(stage), String::new());
        for (loss, value) in report {
            let loss = field(loss);
            self.push(&stage, &loss, (step, *value));
            lines += &format!("{stage},{step},{loss},{value}\n");
        }
        lines
    }

    fn push(&mut self, stage: &str, loss: &str, point: (u64, f64)) {
        let is_it = |curve: &&mut Curve| curve.stage == stage && curve.loss == loss;
        // The latest curves are those that grow.
        match self.0.iter_mut().rev().find(is_it) {
            Some(curve) => curve.points.push(point),
            None => self.0.push(Curve {
                stage: stage.to_owned(),
                loss: loss.to_owned(),
                points: std::vec![point],
            }),
        }
    }

    /// What a file says.
    ///
    /// # Errors
    /// [`Error::Broken`] with the line.
    pub(super) fn parse(path: &Path, text: &str) -> Result<Curves> {
        let mut curves = Curves::default();
        for (number, line) in text.lines().enumerate().skip(1) {
            let row = row(line)
                .ok_or_else(|| Error::broken(path, format!("line {} is no loss", number + 1)))?;
            curves.push(row.0, row.2, (row.1, row.3));
        }
        Ok(curves)
    }

    /// The last value of each loss.
    pub(super) fn last(&self) -> impl Iterator<Item = (&str, &str, f64)> {
        self.0.iter().filter_map(|curve| {
            Some((curve.stage.as_str(), curve.loss.as_str(), curve.points.last()?.1))
        })
    }
}

/// Names have no place for what divides fields and lines.
fn field(name: &str) -> String {
    name.replace([',', '\n', '\r', '"'], "_")
}

fn row(line: &str) -> Option<(&str, u64, &str, f64)> {
    let mut fields = line.split(',');
    let (stage, step) = (fields.next()?, fields.next()?.parse().ok()?);
    let (loss, value) = (fields.next()?, fields.next()?.parse().ok()?);
    fields.next().is_none().then_some((stage, step, loss, value))
}
