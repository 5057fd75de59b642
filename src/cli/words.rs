//! A manifest in words.

use crate::bundle::Manifest;
use crate::map::Layout;
use crate::spec::{
    Anchor, Backbone, ChannelOrder, Filter, Fit, HeadKind, InputType, Precision, WeightType,
};
use std::format;
use std::string::{String, ToString};

/// The network's input.
pub fn input(manifest: &Manifest<'_>) -> String {
    let input = &manifest.input;
    let element = match input.element {
        InputType::F32 => "f32".to_string(),
        InputType::U8(q) => format!("u8, (value - {}) * {}", q.zero_point, q.scale),
        InputType::I8(q) => format!("i8, (value - {}) * {}", q.zero_point, q.scale),
    };
    let (width, height, layout) = (input.width, input.height, layout(input.layout));
    format!("\"{}\", {width}x{height} pixels, {layout}, {element}", manifest.input_name)
}

/// How a frame becomes the network's input.
pub fn preprocessing(manifest: &Manifest<'_>) -> String {
    let preprocess = &manifest.preprocess;
    let fit = match preprocess.fit {
        Fit::Stretch => "stretched to the input".to_string(),
        Fit::Letterbox(anchor) => {
            format!("fitted into the input at its own shape, {}", placement(anchor))
        }
        Fit::ShortSide { size, anchor } => {
            format!("shorter side to {size} pixels, {}", placement(anchor))
        }
    };
    let filter = match preprocess.filter {
        Filter::Bilinear => "bilinear",
        Filter::Bicubic => "bicubic",
    };
    let antialias = if preprocess.antialias { "with" } else { "without" };
    let order = match preprocess.order {
        ChannelOrder::Rgb => "RGB",
        ChannelOrder::Bgr => "BGR",
    };
    let (scale, mean, std) = (preprocess.scale, preprocess.mean, preprocess.std);
    let pad = match preprocess.fit {
        Fit::Stretch => String::new(),
        _ => format!(", padding {:?}", preprocess.pad),
    };
    format!(
        "{fit}, {filter} {antialias} antialias; {order}, (value * {scale} - {mean:?}) / {std:?}{pad}"
    )
}

/// The network's output.
pub fn output(manifest: &Manifest<'_>) -> String {
    let (height, width) = (manifest.grid_height, manifest.grid_width);
    let (channels, layout) = (manifest.head.channels, layout(manifest.output_layout));
    format!("\"{}\", {width}x{height} cells, {channels} channels, {layout}", manifest.output_name)
}

/// What turns the output into classes.
pub fn head(manifest: &Manifest<'_>) -> String {
    let head = &manifest.head;
    let kind = match head.kind {
        HeadKind::Logits => "none: the network gives logits",
        HeadKind::Linear(WeightType::F32) => "linear, f32 weights",
        HeadKind::Linear(WeightType::F16) => "linear, f16 weights",
        HeadKind::Linear(WeightType::I8) => "linear, i8 weights",
    };
    let corners = if head.align_corners { "aligned" } else { "not aligned" };
    let confidence = match head.confidence_scale {
        1.0 => String::new(),
        scale => format!("; logits times {scale} for the confidence"),
    };
    format!("{kind}; upsampling with corners {corners}{confidence}")
}

/// What runs the network.
pub fn backbone(manifest: &Manifest<'_>) -> String {
    let precision = match manifest.precision {
        Precision::AsModel => "activations as the network says",
        Precision::FloatActivations => "activations stay floats",
    };
    match manifest.backbone {
        Backbone::External => "outside the bundle; its output is handed in".to_string(),
        Backbone::Onnx => format!("ONNX, {precision}"),
    }
}

fn layout(layout: Layout) -> &'static str {
    match layout {
        Layout::Chw => "channels first",
        Layout::Hwc => "channels last",
    }
}

fn placement(anchor: Anchor) -> &'static str {
    match anchor {
        Anchor::Center => "centred",
        Anchor::TopLeft => "at the top left",
    }
}
