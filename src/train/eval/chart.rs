//! Pictures of an evaluation.

use super::reliability::{BINS, Bin, Reliability};
use super::subject::Subject;
use crate::metrics::Confusion;
use crate::train::error::Result;
use crate::viz::{Color, Picture, Surface};
use embedded_graphics::mono_font::iso_8859_1::{FONT_6X10, FONT_7X13};
use embedded_graphics::mono_font::{MonoFont, MonoTextStyle};
use embedded_graphics::pixelcolor::Rgb888;
use embedded_graphics::prelude::*;
use embedded_graphics::primitives::{Line, PrimitiveStyle, Rectangle};
use embedded_graphics::text::{Baseline, Text};
use std::format;
use std::string::{String, ToString};
use std::vec::Vec;

const PAPER: Color = [255, 255, 255];
const INK: Color = [20, 20, 20];
const GRID: Color = [205, 205, 205];
const FAINT: Color = [222, 206, 186];
const GOOD: Color = [42, 98, 160];
const BAD: Color = [196, 78, 58];
const LARGE: MonoFont<'_> = FONT_7X13;
const SMALL: MonoFont<'_> = FONT_6X10;
const GAP: i32 = 10;
/// Longest name that is shown whole.
const NAME: usize = 24;

/// The confusion matrix as a heat map: a row per true class, a column per found class and one for
/// pixels without a class. Each row sums up to 100 %; up to 30 classes have their whole per cents
/// written in.
///
/// # Errors
/// Those of [`Picture::filled`].
pub fn confusion_chart(confusion: &Confusion, subject: &Subject) -> Result<Picture> {
    let classes: Vec<usize> = subject.counted().collect();
    let names: Vec<String> = classes.iter().map(|class| short(subject.name(*class))).collect();
    let is_few = classes.len() <= 30;
    let cell = if is_few { 30 } else { 12 };
    let margin = names.iter().map(String::len).max().unwrap_or(0).max(8) as i32 * 7 + 4 * GAP;
    let (rows, columns) = (classes.len() as i32, classes.len() as i32 + 1);
    let size = (margin + columns * cell + GAP, margin + rows * cell + 4 * GAP);
    let mut chart = Chart::new(size)?;
    for (row, (&truth, name)) in classes.iter().zip(&names).enumerate() {
        let y = margin + row as i32 * cell;
        let x = margin - GAP - width(name, &LARGE);
        chart.text(name, (x, y + (cell - 13) / 2), &LARGE, INK);
        let total = confusion.truth(truth);
        let found = classes.iter().map(|class| confusion.count(truth, *class));
        for (column, pixels) in found.chain([confusion.unlabelled(truth)]).enumerate() {
            let share = if total == 0 { 0.0 } else { pixels as f64 / total as f64 };
            let corner = (margin + column as i32 * cell, y);
            chart.cell(corner, cell, (share, row == column), is_few && total > 0);
        }
    }
    for (column, name) in names.iter().map(String::as_str).chain(["(none)"]).enumerate() {
        let x = margin + column as i32 * cell + (cell - 13) / 2;
        chart.vertical_text(name, (x, margin - GAP))?;
    }
    chart.text("true class", (GAP, margin - 3 * GAP), &LARGE, INK);
    let below = margin + rows * cell + GAP;
    chart.text("found class, per cent of the true pixels", (margin, below), &LARGE, INK);
    Ok(chart.0)
}

/// Accuracy by confidence, as bars, against the diagonal where both are equal; below, how many
/// pixels each bar stands for.
///
/// # Errors
/// Those of [`Picture::filled`].
pub fn reliability_chart(reliability: &Reliability) -> Result<Picture> {
    const SIDE: i32 = 450;
    const BELOW: i32 = 90;
    let (left, top) = (64, 34);
    let mut chart = Chart::new((left + SIDE + 30, top + SIDE + BELOW + 70))?;
    let error = reliability.calibration_error();
    let title = error
        .map_or("no pixels".to_string(), |error| format!("expected calibration error {error:.4}"));
    chart.text(&title, (left, 10), &LARGE, INK);
    for tenth in 0..=5 {
        let (at, share) = (SIDE * tenth / 5, format!("{:.1}", f64::from(tenth) / 5.0));
        chart.line((left, top + SIDE - at), (left + SIDE, top + SIDE - at), GRID);
        chart.text(&share, (left - 30, top + SIDE - at - 6), &LARGE, INK);
        chart.text(&share, (left + at - 10, top + SIDE + BELOW + 24), &LARGE, INK);
    }
    let most = reliability.bins.iter().map(|bin| bin.pixels).max().unwrap_or(0).max(1);
    for (place, bin) in reliability.bins.iter().enumerate() {
        chart.bar(bin, (left + place as i32 * SIDE / BINS as i32, top + SIDE), (SIDE, BELOW), most);
    }
    chart.line((left, top + SIDE), (left + SIDE, top), INK);
    chart.line((left, top), (left, top + SIDE + BELOW + 16), INK);
    chart.line((left, top + SIDE), (left + SIDE, top + SIDE), INK);
    chart.vertical_text("accuracy", (14, top + SIDE / 2 + 28))?;
    chart.vertical_text("pixels", (14, top + SIDE + BELOW))?;
    chart.text("confidence", (left + SIDE / 2 - 35, top + SIDE + BELOW + 46), &LARGE, INK);
    Ok(chart.0)
}

/// A picture that is drawn on.
struct Chart(Picture);

impl Chart {
    fn new((width, height): (i32, i32)) -> Result<Chart> {
        Ok(Chart(Picture::filled(width.max(1) as u32, height.max(1) as u32, PAPER)?))
    }

    fn text(&mut self, text: &str, (x, y): (i32, i32), font: &MonoFont<'_>, color: Color) {
        let style = MonoTextStyle::new(font, rgb(color));
        let text = Text::with_baseline(text, Point::new(x, y), style, Baseline::Top);
        let Ok(_) = text.draw(&mut Surface(&mut self.0));
    }

    /// Text that is read upwards; `start` is its lower left corner.
    fn vertical_text(&mut self, text: &str, start: (i32, i32)) -> Result<()> {
        let mut strip = Chart::new((width(text, &LARGE), LARGE.character_size.height as i32))?;
        strip.text(text, (0, 0), &LARGE, INK);
        for y in 0..strip.0.height() {
            for x in 0..strip.0.width() {
                let (to_x, to_y) = (start.0 + y as i32, start.1 - 1 - x as i32);
                if let (Ok(to_x), Ok(to_y), Some(color)) =
                    (u32::try_from(to_x), u32::try_from(to_y), strip.0.pixel(x, y))
                {
                    self.0.set_pixel(to_x, to_y, color);
                }
            }
        }
        Ok(())
    }

    fn line(&mut self, from: (i32, i32), to: (i32, i32), color: Color) {
        let line = Line::new(Point::new(from.0, from.1), Point::new(to.0, to.1));
        let style = PrimitiveStyle::with_stroke(rgb(color), 1);
        let Ok(()) = line.into_styled(style).draw(&mut Surface(&mut self.0));
    }

    fn area(&mut self, corner: (i32, i32), (width, height): (i32, i32), color: Color) {
        let size = Size::new(width.max(0) as u32, height.max(0) as u32);
        let area = Rectangle::new(Point::new(corner.0, corner.1), size);
        let style = PrimitiveStyle::with_fill(rgb(color));
        let Ok(()) = area.into_styled(style).draw(&mut Surface(&mut self.0));
    }

    fn cell(&mut self, corner: (i32, i32), side: i32, (share, is_right): (f64, bool), text: bool) {
        let color = mixed(if is_right { GOOD } else { BAD }, share);
        self.area(corner, (side, side), GRID);
        self.area(corner, (side - 1, side - 1), color);
        let per_cent = format!("{:.0}", 100.0 * share);
        if text && per_cent != "0" {
            let x = corner.0 + (side - width(&per_cent, &SMALL)) / 2;
            let ink = if share > 0.5 { PAPER } else { INK };
            self.text(&per_cent, (x, corner.1 + (side - 10) / 2), &SMALL, ink);
        }
    }

    /// A bar of accuracy above the base line, with a mark at the mean confidence, and a bar of
    /// pixels below it.
    fn bar(&mut self, bin: &Bin, base: (i32, i32), (side, below): (i32, i32), most: u64) {
        let (Some(accuracy), Some(confidence)) = (bin.accuracy(), bin.mean_confidence()) else {
            return;
        };
        let wide = side / BINS as i32 - 2;
        let height = (accuracy * f64::from(side)) as i32;
        self.area((base.0 + 1, base.1 - height), (wide, height), GOOD);
        let mark = base.1 - (confidence * f64::from(side)) as i32;
        self.area((base.0 + 1, mark - 1), (wide, 3), BAD);
        let depth = (bin.pixels as f64 / most as f64 * f64::from(below)) as i32;
        self.area((base.0 + 1, base.1 + 8), (wide, depth.max(1)), FAINT);
    }
}

fn rgb([red, green, blue]: Color) -> Rgb888 {
    Rgb888::new(red, green, blue)
}

/// From paper to the colour.
fn mixed(color: Color, share: f64) -> Color {
    let mut mixed = PAPER;
    for (mixed, color) in mixed.iter_mut().zip(color) {
        let paper = f64::from(*mixed);
        *mixed = (paper + (f64::from(color) - paper) * share.clamp(0.0, 1.0)) as u8;
    }
    mixed
}

fn width(text: &str, font: &MonoFont<'_>) -> i32 {
    (text.chars().count() * font.character_size.width as usize) as i32
}

fn short(name: &str) -> String {
    match name.chars().count() <= NAME {
        true => name.to_string(),
        false => name.chars().take(NAME - 2).chain("..".chars()).collect(),
    }
}
