//! The report as text.

use crate::convert::{LayerReport, Report};
use std::fmt::Write;
use std::format;
use std::string::String;

/// The report for people.
pub fn text(report: &Report) -> String {
    let names = report.layers.iter().map(|layer| layer.name.chars().count());
    let column = names.chain([5]).max().unwrap_or(0).min(60);
    let mut text = format!(
        "{:column$}  {:17}  {:>8}  {:>8}  {:>9}\n{:column$}  {:17}  {:>8}  {:>8}  {:>9}\n",
        "layer", "operator", "SQNR dB", "alone:", "alone:", "", "", "", "SQNR dB", "masks"
    );
    for LayerReport { name, operator, tensor, sqnr_db, output_sqnr_db, mask_disagreement } in
        &report.layers
    {
        let own = match tensor {
            Some(_) => decibels(*sqnr_db),
            None => "float".into(),
        };
        let (alone, masks) = match mask_disagreement {
            Some(share) => (decibels(*output_sqnr_db), percent(*share)),
            None => ("-".into(), "-".into()),
        };
        // Nothing can go wrong in writing to a string.
        let _ = writeln!(text, "{name:column$}  {operator:17}  {own:>8}  {alone:>8}  {masks:>9}");
    }
    for node in &report.float_nodes {
        let _ = writeln!(text, "in floats: {} ({}): {}", node.name, node.operator, node.reason);
    }
    for pair in &report.equalized {
        let (first, second) = (&pair.first, &pair.second);
        let kept = if pair.kept { "kept" } else { "not kept" };
        let (before, after) = (pair.error_before, pair.error_after);
        let _ = writeln!(text, "equalised: {first}, {second}: {before:.3e} to {after:.3e}, {kept}");
    }
    for norm in &report.smoothed {
        let (before, after) = (norm.error_before, norm.error_after);
        let (tensor, strength) = (&norm.tensor, norm.strength);
        let _ = writeln!(text, "smoothed: {tensor}: {before:.3e} to {after:.3e}, power {strength}");
    }
    let which = if report.held_out { "other pictures" } else { "of the same pictures" };
    let _ = writeln!(
        text,
        "ranges by {} from {} pictures; on {} {which} (run by {}): output SQNR {} dB, masks differ \
         in {}",
        report.method,
        report.calibration_pictures,
        report.check_pictures,
        report.engine,
        decibels(report.output_sqnr_db),
        percent(report.mask_disagreement)
    );
    text
}

/// The layers, one a line.
pub fn csv(report: &Report) -> String {
    let mut text = String::from(
        "layer,operator,tensor,sqnr_db,alone_output_sqnr_db,alone_mask_disagreement\n",
    );
    let number = |value: Option<f64>| value.map_or(String::new(), |value| format!("{value}"));
    for layer in &report.layers {
        let _ = writeln!(
            text,
            "{},{},{},{},{},{}",
            quoted(&layer.name),
            quoted(&layer.operator),
            quoted(layer.tensor.as_deref().unwrap_or("")),
            number(layer.sqnr_db),
            number(layer.output_sqnr_db),
            number(layer.mask_disagreement)
        );
    }
    text
}

fn quoted(text: &str) -> String {
    match text.contains([',', '"', '\n', '\r']) {
        true => format!("\"{}\"", text.replace('"', "\"\"")),
        false => text.into(),
    }
}

fn decibels(value: Option<f64>) -> String {
    value.map_or("exact".into(), |value| format!("{value:.1}"))
}

fn percent(share: f64) -> String {
    format!("{:.2} %", share * 100.0)
}
