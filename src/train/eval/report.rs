//! What an evaluation tells: one document, as JSON and as Markdown.

use super::bootstrap::{Interval, Intervals, bootstrap};
use super::episodes::{FewShot, few_shot};
use super::evaluation::Evaluation;
use super::predictor::Space;
use super::protocol::Protocol;
use super::reliability::{BinRow, Reliability};
use super::scores::{Means, Scores};
use super::subject::Scored;
use super::sweep::{SWEEP_NOTE, SweepRow, best, sweep};
use serde::Serialize;
use std::collections::BTreeMap;
use std::fmt::Write;
use std::format;
use std::string::{String, ToString};
use std::vec::Vec;

/// What an evaluation tells.
#[derive(Clone, Debug, Serialize)]
pub struct Report<'e> {
    /// Version of this library.
    pub version: &'static str,
    /// The model.
    pub model: &'e str,
    /// The protocol, switch by switch.
    pub protocol: &'e Protocol,
    /// Pictures that were evaluated.
    pub pictures: usize,
    /// Those that could not be, and why.
    pub failed: &'e BTreeMap<String, String>,
    /// What else has to be known to read the figures.
    pub notes: &'e [String],
    /// The scores of the model's own decision.
    pub scores: Scores,
    /// 95 % intervals over the choice of pictures.
    pub intervals: Option<Intervals>,
    /// Scores by the handicap of seen classes; `None` if none was tried.
    pub sweep: Option<Sweep>,
    /// Whether confidences mean what they say.
    pub reliability: Calibration,
    /// Few-shot scores, if the protocol asks for them.
    pub few_shot: Option<FewShot>,
    /// Everything that other parts of the data set can be merged with.
    pub counts: &'e Evaluation,
}

/// Scores by handicap.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Sweep {
    /// What the handicap is taken from.
    pub space: Space,
    /// [`SWEEP_NOTE`].
    pub note: &'static str,
    /// The handicap with the highest harmonic mean on these very pictures.
    pub best_here: Option<f32>,
    /// One row per handicap.
    pub rows: Vec<SweepRow>,
}

/// Reliability of the confidences of labelled pixels, by what they truly are.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Calibration {
    /// Expected calibration error of all pixels.
    pub error: Option<f64>,
    /// That of pixels of seen classes.
    pub error_seen: Option<f64>,
    /// That of pixels of unseen classes.
    pub error_unseen: Option<f64>,
    /// All pixels by confidence.
    pub bins: Vec<BinRow>,
}

impl<'e> Report<'e> {
    /// Scores the counts, with intervals from `rounds` rounds (0: none).
    pub fn new(evaluation: &'e Evaluation, rounds: u32, seed: u64) -> Report<'e> {
        let setup = evaluation.setup();
        let absent = setup.protocol.absent_class.into();
        let rows = sweep(evaluation);
        let [seen, unseen, all] = evaluation.reliability();
        let error = |reliability: &Reliability| reliability.calibration_error();
        Report {
            version: env!("CARGO_PKG_VERSION"),
            model: &setup.model,
            protocol: &setup.protocol,
            pictures: evaluation.pictures().len(),
            failed: evaluation.failed(),
            notes: &setup.notes,
            scores: Scores::new(&evaluation.confusion(), &setup.subject, absent),
            intervals: bootstrap(evaluation, rounds, seed),
            sweep: (!rows.is_empty()).then(|| Sweep {
                space: setup.space,
                note: SWEEP_NOTE,
                best_here: best(&rows).map(|row| row.gamma),
                rows,
            }),
            reliability: Calibration {
                error: error(&all),
                error_seen: error(&seen),
                error_unseen: error(&unseen),
                bins: all.rows(),
            },
            few_shot: setup.protocol.few_shot.then(|| few_shot(evaluation)),
            counts: evaluation,
        }
    }
}

/// The report for people to read: Markdown with tables.
pub fn markdown(report: &Report<'_>) -> String {
    let mut text = format!("# Evaluation of {}\n\n", report.model);
    let failed = report.failed.len();
    text += &format!("{} pictures; {failed} left out because of errors.\n", report.pictures);
    text += &protocol_line(report.protocol);
    for note in report.notes {
        text += &format!("\n* {note}");
    }
    if !report.notes.is_empty() {
        text.push('\n');
    }
    text += &means(report);
    text += &classes(report);
    text += &sweep_table(report);
    text += &few_shot_table(report);
    text += &reliability_table(report);
    if failed > 0 {
        text += "\n## Left out\n\n";
        let lines = report.failed.iter().map(|(name, why)| format!("* {name}: {why}\n"));
        text.extend(lines);
    }
    text
}

fn protocol_line(protocol: &Protocol) -> String {
    let written = toml::to_string(protocol).unwrap_or_default();
    let switches: Vec<&str> = written.lines().filter(|line| line.contains('=')).collect();
    format!("\nProtocol: `{}`\n", switches.join("`, `"))
}

fn means(report: &Report<'_>) -> String {
    let Scores { seen, unseen, all, harmonic, .. } = &report.scores;
    let intervals = report.intervals.as_ref();
    let mut rows = Vec::new();
    let intervals_of = [
        intervals.and_then(|found| found.seen),
        intervals.and_then(|found| found.unseen),
        intervals.and_then(|found| found.all),
    ];
    let names = ["seen", "unseen", "all"];
    for ((name, means), interval) in names.iter().zip([seen, unseen, all]).zip(intervals_of) {
        rows.push(means_row(name, means, interval));
    }
    rows.push(Vec::from([
        "harmonic".to_string(),
        String::new(),
        number(harmonic.pixel_accuracy),
        number(harmonic.mean_accuracy),
        number(harmonic.iou),
        range(intervals.and_then(|found| found.harmonic)),
        String::new(),
    ]));
    let heads = ["classes", "number", "pAcc", "mAcc", "mIoU", "95 %", "fwIoU"];
    let mut text = format!("\n## Scores\n\n{}", table(&heads, &rows));
    if let Some(Intervals { rounds, seed, .. }) = intervals {
        let _ = write!(
            text,
            "\n95 %: what the score would be with other pictures of the same kind: percentiles of \
             {rounds} rounds of\ndrawing as many pictures with replacement (seed {seed}).\n"
        );
    }
    text
}

fn means_row(name: &str, means: &Means, interval: Option<Interval>) -> Vec<String> {
    Vec::from([
        name.to_string(),
        means.classes.to_string(),
        number(means.pixel_accuracy),
        number(means.mean_accuracy),
        number(means.mean_iou),
        range(interval),
        number(means.frequency_weighted_iou),
    ])
}

fn classes(report: &Report<'_>) -> String {
    let intervals = report.intervals.as_ref().map(|found| found.classes.as_slice());
    let row = |(place, class): (usize, &super::ClassScores)| {
        let interval = intervals.and_then(|found| found.get(place).copied().flatten());
        let role = if class.scored == Scored::Unseen { "unseen" } else { "seen" };
        Vec::from([
            class.name.clone(),
            role.to_string(),
            number(class.iou),
            range(interval),
            number(class.accuracy),
            class.pixels.to_string(),
            class.found.to_string(),
        ])
    };
    let rows: Vec<Vec<String>> = report.scores.classes.iter().enumerate().map(row).collect();
    let heads = ["class", "as", "IoU", "95 %", "accuracy", "true pixels", "found pixels"];
    format!("\n## Classes\n\n{}", table(&heads, &rows))
}

fn sweep_table(report: &Report<'_>) -> String {
    let Some(Sweep { space, note, best_here, rows }) = &report.sweep else {
        return String::new();
    };
    let space = match space {
        Space::Logits => "logits",
        Space::Probabilities => "probabilities",
    };
    let row = |row: &SweepRow| {
        let mark = if Some(row.gamma) == *best_here { " (best here)" } else { "" };
        Vec::from([
            format!("{}{mark}", row.gamma),
            number(row.seen),
            number(row.unseen),
            number(row.harmonic),
            number(row.pixel_accuracy),
        ])
    };
    let rows: Vec<Vec<String>> = rows.iter().map(row).collect();
    let heads = ["handicap", "seen mIoU", "unseen mIoU", "H", "pAcc"];
    let table = table(&heads, &rows);
    format!("\n## Handicap of seen classes, taken from their {space}\n\n{note}\n\n{table}")
}

fn few_shot_table(report: &Report<'_>) -> String {
    let Some(FewShot { mean_iou, fb_iou, classes }) = &report.few_shot else {
        return String::new();
    };
    let mut rows: Vec<Vec<String>> =
        classes.iter().map(|(name, iou)| Vec::from([name.clone(), number(*iou)])).collect();
    rows.push(Vec::from(["mean".to_string(), number(*mean_iou)]));
    rows.push(Vec::from(["FB-IoU".to_string(), number(*fb_iou)]));
    let table = table(&["class against the rest", "IoU"], &rows);
    format!("\n## Few-shot scores\n\nOver the pictures that show the class.\n\n{table}")
}

fn reliability_table(report: &Report<'_>) -> String {
    let Calibration { error, error_seen, error_unseen, bins } = &report.reliability;
    let row = |bin: &BinRow| {
        Vec::from([
            format!("{:.2} to {:.2}", bin.from, bin.to),
            bin.pixels.to_string(),
            number(bin.confidence),
            number(bin.accuracy),
        ])
    };
    let rows: Vec<Vec<String>> = bins.iter().map(row).collect();
    let heads = ["confidence", "pixels", "mean confidence", "accuracy"];
    format!(
        "\n## Reliability\n\nExpected calibration error {} (pixels of seen classes {}, of unseen \
         ones {}).\n\n{}",
        number(*error),
        number(*error_seen),
        number(*error_unseen),
        table(&heads, &rows)
    )
}

fn number(value: Option<f64>) -> String {
    value.map_or_else(|| "-".to_string(), |value| format!("{value:.3}"))
}

fn range(interval: Option<Interval>) -> String {
    interval.map_or_else(String::new, |found| format!("{:.3} to {:.3}", found.low, found.high))
}

/// A table whose columns are aligned in plain text too; the first is flush left.
fn table(heads: &[&str], rows: &[Vec<String>]) -> String {
    let len = |text: &str| text.chars().count();
    let width = |column: usize| {
        let cells = rows.iter().filter_map(|row| row.get(column)).map(|cell| len(cell));
        cells.chain(heads.get(column).map(|head| len(head))).max().unwrap_or(0).max(3)
    };
    let widths: Vec<usize> = (0..heads.len()).map(width).collect();
    let line = |cells: &mut dyn Iterator<Item = &str>| {
        let mut text = String::from("|");
        for (place, (cell, &width)) in cells.zip(&widths).enumerate() {
            let cell = cell.replace('|', "\\|");
            let _ = match place {
                0 => write!(text, " {cell:<width$} |"),
                _ => write!(text, " {cell:>width$} |"),
            };
        }
        text.push('\n');
        text
    };
    let mut text = line(&mut heads.iter().copied());
    text.push('|');
    for (place, &width) in widths.iter().enumerate() {
        let rule = "-".repeat(width);
        text += &if place == 0 { format!(" {rule} |") } else { format!(" {rule}:|") };
    }
    text.push('\n');
    text.extend(rows.iter().map(|row| line(&mut row.iter().map(String::as_str))));
    text
}
