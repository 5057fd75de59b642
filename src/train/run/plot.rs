//! The losses of a run as pictures.

use super::canvas::Canvas;
use super::curves::{Curve, Curves};
use crate::train::error::{Error, Result};
use crate::viz::Picture;
use image::ImageEncoder;
use plotters::prelude::*;
use std::borrow::ToOwned;
use std::format;
use std::string::{String, ToString};
use std::vec::Vec;

/// Width of a plot in pixels.
const WIDTH: u32 = 900;
/// Height of the panel of a stage.
const PANEL: u32 = 320;
/// Points of a curve that are drawn; others are averaged.
const POINTS: usize = 600;
/// A loss whose largest value is so many times its smallest is drawn over a logarithmic axis.
const LOGARITHMIC_FROM: f64 = 20.0;
/// Colours that people tell apart (Okabe and Ito).
const COLORS: [RGBColor; 7] = [
    RGBColor(0, 114, 178),
    RGBColor(213, 94, 0),
    RGBColor(0, 158, 115),
    RGBColor(204, 121, 167),
    RGBColor(86, 180, 233),
    RGBColor(230, 159, 0),
    RGBColor(0, 0, 0),
];

/// The plot as SVG.
///
/// # Errors
/// [`Error::Config`] with what the plotter says.
pub(super) fn svg(curves: &Curves) -> Result<String> {
    let (stages, mut text) = (by_stage(curves), String::new());
    let backend = SVGBackend::with_string(&mut text, size(&stages));
    draw(&backend.into_drawing_area(), &stages)?;
    Ok(text)
}

/// The plot as PNG.
///
/// # Errors
/// As [`svg`].
pub(super) fn png(curves: &Curves) -> Result<Vec<u8>> {
    let stages = by_stage(curves);
    let (width, height) = size(&stages);
    let mut picture = Picture::filled(width, height, [255; 3])?;
    draw(&Canvas(&mut picture).into_drawing_area(), &stages)?;
    let mut bytes = Vec::new();
    let encoder = image::codecs::png::PngEncoder::new(&mut bytes);
    let color = image::ExtendedColorType::Rgb8;
    encoder.write_image(picture.rgb(), width, height, color).map_err(Error::config)?;
    Ok(bytes)
}

/// The curves of one stage.
struct Panel<'a> {
    stage: &'a str,
    curves: Vec<&'a Curve>,
}

fn by_stage(curves: &Curves) -> Vec<Panel<'_>> {
    let mut panels: Vec<Panel<'_>> = Vec::new();
    for curve in &curves.0 {
        match panels.iter_mut().find(|panel| panel.stage == curve.stage) {
            Some(panel) => panel.curves.push(curve),
            None => panels.push(Panel { stage: &curve.stage, curves: std::vec![curve] }),
        }
    }
    panels
}

fn size(panels: &[Panel<'_>]) -> (u32, u32) {
    (WIDTH, PANEL * panels.len().clamp(1, 16) as u32)
}

fn draw<B: DrawingBackend>(
    area: &DrawingArea<B, plotters::coord::Shift>,
    panels: &[Panel<'_>],
) -> Result<()> {
    area.fill(&WHITE).map_err(told)?;
    for (part, panel) in area.split_evenly((panels.len().clamp(1, 16), 1)).iter().zip(panels) {
        draw_panel(part, panel)?;
    }
    area.present().map_err(told)
}

fn draw_panel<B: DrawingBackend>(
    area: &DrawingArea<B, plotters::coord::Shift>,
    panel: &Panel<'_>,
) -> Result<()> {
    let curves: Vec<Vec<(f64, f64)>> = panel.curves.iter().map(|curve| thinned(curve)).collect();
    let logarithmic = spans_decades(&curves);
    let height = |value: f64| if logarithmic { libm::log10(value) } else { value };
    let (steps, heights) = ranges(&curves, height);
    let mut chart = ChartBuilder::on(area);
    chart.margin(12).x_label_area_size(40).y_label_area_size(72);
    chart.caption(panel.stage, ("sans-serif", 18));
    let mut chart = chart.build_cartesian_2d(steps, heights).map_err(told)?;
    let label = |value: &f64| match logarithmic {
        true => number(libm::pow(10.0, *value)),
        false => number(*value),
    };
    let mut mesh = chart.configure_mesh();
    mesh.x_desc("step").y_desc(if logarithmic { "loss (log scale)" } else { "loss" });
    mesh.x_label_formatter(&|step| format!("{step:.0}")).y_label_formatter(&label);
    mesh.light_line_style(TRANSPARENT).draw().map_err(told)?;
    for ((curve, points), color) in panel.curves.iter().zip(&curves).zip(COLORS.iter().cycle()) {
        let points = points.iter().map(|(step, value)| (*step, height(*value)));
        let series = chart.draw_series(LineSeries::new(points, color)).map_err(told)?;
        let swatch = |(x, y)| PathElement::new([(x, y), (x + 16, y)], color.stroke_width(2));
        series.label(curve.loss.to_owned()).legend(swatch);
    }
    let mut legend = chart.configure_series_labels();
    legend.position(SeriesLabelPosition::UpperRight).background_style(WHITE.mix(0.8));
    legend.border_style(BLACK.mix(0.3)).draw().map_err(told)
}

fn told(error: impl core::fmt::Display) -> Error {
    Error::config(format!("the losses cannot be drawn: {error}"))
}

/// At most [`POINTS`] points, each the mean of those around it; without numbers that are not
/// finite.
fn thinned(curve: &Curve) -> Vec<(f64, f64)> {
    let finite: Vec<&(u64, f64)> =
        curve.points.iter().filter(|(_, value)| value.is_finite()).collect();
    let group = finite.len().div_ceil(POINTS).max(1);
    let mean = |points: &[&(u64, f64)]| {
        let count = points.len() as f64;
        let sums = points.iter().fold((0.0, 0.0), |(steps, values), (step, value)| {
            (steps + *step as f64, values + value / count)
        });
        (sums.0 / count, sums.1)
    };
    finite.chunks(group).map(mean).collect()
}

fn spans_decades(curves: &[Vec<(f64, f64)>]) -> bool {
    let values = || curves.iter().flatten().map(|(_, value)| *value);
    let (low, high) = (values().fold(f64::MAX, f64::min), values().fold(f64::MIN, f64::max));
    low > 0.0 && high / low >= LOGARITHMIC_FROM
}

type Axis = core::ops::Range<f64>;

/// The ranges of both axes, neither empty.
fn ranges(curves: &[Vec<(f64, f64)>], height: impl Fn(f64) -> f64) -> (Axis, Axis) {
    let axis = |numbers: &mut dyn Iterator<Item = f64>, margin: f64| {
        let (low, high) = numbers
            .fold((f64::MAX, f64::MIN), |(low, high), number| (low.min(number), high.max(number)));
        if low > high {
            return 0.0..1.0;
        }
        let spread = (high - low).max(high.abs() * 1e-3).max(1e-9);
        low - spread * margin..high + spread * margin.max(1e-3)
    };
    let points = || curves.iter().flatten();
    let steps = axis(&mut points().map(|(step, _)| *step), 0.0);
    let heights = axis(&mut points().map(|(_, value)| height(*value)), 0.05);
    (steps, heights)
}

/// A number with three digits that say something.
fn number(value: f64) -> String {
    let size = value.abs();
    match size {
        0.0 => "0".to_string(),
        _ if !(1e-3..1e5).contains(&size) => format!("{value:.1e}"),
        _ if size >= 100.0 => format!("{value:.0}"),
        _ if size >= 1.0 => format!("{value:.2}"),
        _ => format!("{value:.4}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::vec;

    fn curves(values: impl Fn(u64) -> f64) -> Curves {
        let points = |factor: f64| (0..3000).map(|step| (step, values(step) * factor)).collect();
        let curve = |stage: &str, loss: &str, factor| Curve {
            stage: stage.to_owned(),
            loss: loss.to_owned(),
            points: points(factor),
        };
        Curves(vec![
            curve("generator", "mmd", 1.0),
            curve("generator", "total", 2.0),
            curve("classifier", "cross entropy", 0.5),
        ])
    }

    #[test]
    fn plots_say_what_they_show() {
        let falling = curves(|step| 10.0 / (1.0 + step as f64));
        let text = svg(&falling).unwrap();
        for word in ["generator", "classifier", "mmd", "total", "loss (log scale)", "step"] {
            assert!(text.contains(word), "no \"{word}\"");
        }
        let text = svg(&curves(|step| 1.0 + step as f64 / 3000.0)).unwrap();
        assert!(text.contains("loss") && !text.contains("log scale"));
    }

    #[test]
    fn the_picture_has_every_colour_and_letters() {
        let bytes = png(&curves(|step| 3.0 - step as f64 / 2000.0)).unwrap();
        let picture = image::load_from_memory(&bytes).unwrap().into_rgb8();
        assert_eq!(picture.dimensions(), (WIDTH, 2 * PANEL));
        let count = |color: [u8; 3]| picture.pixels().filter(|pixel| pixel.0 == color).count();
        assert!(count([0, 114, 178]) > 500 && count([213, 94, 0]) > 200);
        assert!(count([0, 0, 0]) > 500, "letters and axes");
    }

    #[test]
    fn odd_losses_are_drawn_too() {
        for value in [0.0, -3.0, f64::NAN, f64::INFINITY, 1e-300, 1e300] {
            assert!(svg(&curves(|_| value)).is_ok(), "{value}");
            assert!(png(&curves(|_| value)).is_ok(), "{value}");
        }
        assert!(png(&Curves::default()).is_ok());
    }
}
