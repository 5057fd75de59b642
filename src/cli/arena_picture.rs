//! The arena of a plan over time, as a picture (SVG).

use crate::plan::{Element, NO_TENSOR, Plan, Tensor, TensorIndex};
use anyhow::{Error, Result};
use core::ops::Range;
use plotters::prelude::*;
use std::format;
use std::string::String;
use std::vec::Vec;

/// Width and height in pixels.
const SIZE: (u32, u32) = (1200, 700);
/// Golden angle as a part of the circle: colours that follow one another look different.
const HUE_STEP: f64 = 0.381_966;
/// A tensor that takes a smaller part of the arena, or of the steps, has no label.
const LEAST_LABELLED: (f64, f64) = (0.03, 0.06);

/// A tensor that owns bytes: when, and which.
struct Block {
    index: TensorIndex,
    tensor: Tensor,
    steps: Range<u32>,
    bytes: Range<u64>,
}

/// Steps to the right, bytes upwards, a rectangle for every tensor that owns bytes.
///
/// # Errors
/// What the plotter says.
pub fn svg(plan: &Plan<'_>) -> Result<String> {
    let blocks = blocks(plan)?;
    let mut text = String::new();
    let area = SVGBackend::with_string(&mut text, SIZE).into_drawing_area();
    draw(&area, plan, &blocks)
        .map_err(|error| Error::msg(format!("the arena cannot be drawn: {error}")))?;
    drop(area);
    Ok(text)
}

fn blocks(plan: &Plan<'_>) -> Result<Vec<Block>> {
    let mut blocks = Vec::new();
    for index in 0..plan.tensor_count() as TensorIndex {
        let tensor = plan.tensor(index)?;
        let Some(lifetime) = plan.lifetime(index).filter(|_| tensor.parent == NO_TENSOR) else {
            continue;
        };
        let end = tensor.offset_bytes + tensor.footprint_bytes();
        let steps = u32::from(lifetime.first)..u32::from(lifetime.last) + 1;
        blocks.push(Block { index, tensor, steps, bytes: tensor.offset_bytes..end });
    }
    Ok(blocks)
}

type Drawing<'a, T> =
    core::result::Result<T, DrawingAreaErrorKind<<SVGBackend<'a> as DrawingBackend>::ErrorType>>;

fn draw<'a>(
    area: &DrawingArea<SVGBackend<'a>, plotters::coord::Shift>,
    plan: &Plan<'_>,
    blocks: &[Block],
) -> Drawing<'a, ()> {
    area.fill(&WHITE)?;
    let (moments, bytes) = (plan.step_count() as u32 + 2, plan.arena_bytes() as u64);
    let mut chart = ChartBuilder::on(area);
    chart.margin(12).x_label_area_size(40).y_label_area_size(96);
    chart.caption(
        format!("{bytes} bytes of arena, {} steps", plan.step_count()),
        ("sans-serif", 18),
    );
    let mut chart = chart.build_cartesian_2d(0..moments, 0..bytes.max(1))?;
    let mut mesh = chart.configure_mesh();
    mesh.disable_mesh().x_desc("moment: 0 input, step + 1, last outputs").y_desc("bytes");
    mesh.draw()?;
    for block in blocks {
        let corners = [(block.steps.start, block.bytes.start), (block.steps.end, block.bytes.end)];
        let color = HSLColor((f64::from(block.index) * HUE_STEP).fract(), 0.55, 0.7);
        let outline = BLACK.mix(0.4).stroke_width(1);
        chart.draw_series([Rectangle::new(corners, color.filled())])?;
        chart.draw_series([Rectangle::new(corners, outline)])?;
        let steps = f64::from(block.steps.end - block.steps.start) / f64::from(moments);
        let share = (block.bytes.end - block.bytes.start) as f64 / bytes.max(1) as f64;
        if share < LEAST_LABELLED.0 || steps < LEAST_LABELLED.1 {
            continue;
        }
        let place = (block.steps.start, block.bytes.end);
        chart.draw_series([Text::new(format!(" {}", label(block)), place, ("sans-serif", 12))])?;
    }
    area.present()
}

fn label(block: &Block) -> String {
    let [height, width, channels] = block.tensor.shape();
    let element = match block.tensor.element {
        Element::U8 => "u8",
        Element::F32 => "f32",
    };
    format!("{height}x{width}x{channels} {element}")
}
