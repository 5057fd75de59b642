//! A manifest in words.

use crate::bundle::Manifest;
use crate::map::Layout;
use crate::spec::{
    Anchor, Backbone, ChannelOrder, Decision, Filter, Fit, HeadKind, InputType, Precision,
    SecondOutput, Stacking, UnknownScore, WeightType,
};
use std::format;
use std::string::{String, ToString};
use std::vec::Vec;

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

/// The network's output for the spectral affinity.
pub fn second_output(output: &SecondOutput<'_>) -> String {
    let SecondOutput { name, grid_height, grid_width, channels, .. } = output;
    let layout = layout(output.layout);
    format!("\"{name}\", {grid_width}x{grid_height} cells, {channels} channels, {layout}")
}

/// What turns the output into classes.
pub fn head(manifest: &Manifest<'_>) -> String {
    let head = &manifest.head;
    let weights = |stored: WeightType| match stored {
        WeightType::F32 => "f32 weights",
        WeightType::F16 => "f16 weights",
        WeightType::I8 => "i8 weights",
    };
    let kind = match head.kind {
        HeadKind::Logits => "none: the network gives logits".to_string(),
        HeadKind::Linear(stored) => format!("linear, {}", weights(stored)),
        HeadKind::Dot(stored) => format!("dot products with embeddings, {}", weights(stored)),
        HeadKind::Cosine(stored) => {
            format!("cosines to embeddings times {}, {}", head.cosine_scale, weights(stored))
        }
    };
    let corners = if head.align_corners { "aligned" } else { "not aligned" };
    let confidence = match head.confidence_scale {
        1.0 => String::new(),
        scale => format!("; logits times {scale} for the confidence"),
    };
    format!("{kind}; upsampling with corners {corners}{confidence}")
}

/// From logits to a class, or to none.
pub fn decision(decision: &Decision) -> String {
    let stacking = match decision.stacking {
        Stacking::Off => None,
        Stacking::Logits(gamma) => Some(format!("seen classes give up {gamma} of their logits")),
        Stacking::Probabilities(gamma) => {
            Some(format!("seen classes give up {gamma} of their probabilities"))
        }
    };
    let least = |what: &str, share: f32| {
        (share > 0.0).then(|| format!("no class where the {what} is below {share}"))
    };
    let score = match decision.unknown {
        UnknownScore::Margin => "one minus the margin".to_string(),
        UnknownScore::Energy { reference } => format!("energy against a logit of {reference}"),
    };
    let most = decision.max_unknown;
    let parts = [
        stacking.or(Some("the highest logit wins".to_string())),
        least("confidence", decision.min_confidence),
        least("margin", decision.min_margin),
        (most < 1.0).then(|| format!("no class where the unknown score is above {most}")),
        Some(format!("unknown score: {score}")),
    ];
    parts.into_iter().flatten().collect::<Vec<_>>().join("; ")
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
        Backbone::Plan => "plan, in the arena".to_string(),
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
