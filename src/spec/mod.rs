//! What a model says about itself: plain data, shared by the bundle, the image code and the head.
//!
//! The preprocessing profiles of methods.md section 1.5 are values of [`Preprocess`], stored in
//! the bundle; no profile is code.

mod zero_shot;

pub use zero_shot::{
    Decision, EmbeddingSpace, FeatureStatistics, Generator, Noise, Projection, SecondOutput,
    Stacking, UnknownScore, Words, check_name,
};

use crate::limits::{MAX_CLASSES, MAX_FEATURES, MAX_INPUT_SIDE};
use crate::map::Layout;
use crate::status::{Result, Status};
use zerocopy::little_endian::{F32, U16};

/// Order of the three colour channels that a network reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ChannelOrder {
    /// Red, green, blue.
    Rgb,
    /// Blue, green, red (Caffe-style networks).
    Bgr,
}

/// Where resized content that does not fill the network's input is placed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Anchor {
    /// Centred; an odd remainder goes to the right and bottom.
    Center,
    /// At the top left; all padding (or cropping) is at the right and bottom.
    TopLeft,
}

/// How a frame is brought to the network's input size.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fit {
    /// Both axes scaled independently to fill the input.
    Stretch,
    /// Largest size that fits inside the input at the frame's aspect ratio; the rest is padded.
    Letterbox(Anchor),
    /// Shorter side scaled to `size` pixels at the frame's aspect ratio; what overhangs the input
    /// is cropped (those frame pixels come back unlabelled), what is missing is padded.
    ShortSide {
        /// Length of the shorter side after scaling, in pixels.
        size: u32,
        /// Placement of the content.
        anchor: Anchor,
    },
}

/// Resampling filter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Filter {
    /// Triangle filter (bilinear).
    Bilinear,
    /// Keys' cubic with a = -0.5 (Pillow, and torch with antialias).
    Bicubic,
}

/// Resize, colour order and normalisation: `(value * scale - mean) / std` per channel.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Preprocess {
    /// Geometry.
    pub fit: Fit,
    /// Filter of the resize.
    pub filter: Filter,
    /// When scaling down, widen the filter by the scale (Pillow); otherwise sample it as it is
    /// (OpenCV, torch's default).
    pub antialias: bool,
    /// Order in which the channels are written.
    pub order: ChannelOrder,
    /// Factor applied to the 0..255 pixel values first, usually 1/255 or 1.
    pub scale: f32,
    /// Subtracted after scaling, in the order of `order`.
    pub mean: [f32; 3],
    /// Divides after subtraction, in the order of `order`; greater than 0.
    pub std: [f32; 3],
    /// Padding colour in 0..255 pixel units, in the order of `order`, normalised like a pixel.
    pub pad: [f32; 3],
}

impl Preprocess {
    /// Checks that every number is finite and every divisor positive.
    pub fn check(&self) -> Result<()> {
        let numbers = [&self.mean, &self.std, &self.pad];
        let finite = numbers.iter().all(|triple| triple.iter().all(|v| v.is_finite()));
        if !finite || !self.scale.is_finite() {
            return Err(
                Status::BundleContent.about("preprocessing has a number that is not finite")
            );
        }
        if self.scale <= 0.0 || self.std.iter().any(|&std| std <= 0.0) {
            return Err(Status::BundleContent.about("preprocessing scale or std is not positive"));
        }
        let Fit::ShortSide { size, .. } = self.fit else { return Ok(()) };
        if size == 0 || size > MAX_INPUT_SIDE {
            let error = Status::BundleContent.about("preprocessing short side");
            return Err(error.numbers(size.into(), MAX_INPUT_SIDE.into()));
        }
        Ok(())
    }
}

/// Element type of a network's input.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum InputType {
    /// Normalised values.
    F32,
    /// `round(value / scale) + zero_point`, clamped to 0..=255.
    U8(Quantization),
    /// `round(value / scale) + zero_point`, clamped to -128..=127.
    I8(Quantization),
}

/// Affine quantisation: `value = (q - zero_point) * scale`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Quantization {
    /// Step between neighbouring integers; greater than 0.
    pub scale: f32,
    /// Integer that stands for 0.
    pub zero_point: i32,
}

/// Shape and type of a network's input (batch 1, three channels).
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Input {
    /// Columns: 1 to [`MAX_INPUT_SIDE`].
    pub width: u32,
    /// Rows: 1 to [`MAX_INPUT_SIDE`].
    pub height: u32,
    /// Order of the elements.
    pub layout: Layout,
    /// Element type.
    pub element: InputType,
}

impl Input {
    /// Checks the ranges stated at the fields.
    pub fn check(&self) -> Result<()> {
        for side in [self.width, self.height] {
            if side == 0 || side > MAX_INPUT_SIDE {
                let error = Status::BundleContent.about("side of the network's input");
                return Err(error.numbers(side.into(), MAX_INPUT_SIDE.into()));
            }
        }
        let (quantization, low, high) = match self.element {
            InputType::F32 => return Ok(()),
            InputType::U8(quantization) => (quantization, 0, 255),
            InputType::I8(quantization) => (quantization, -128, 127),
        };
        let scale_ok = quantization.scale.is_finite() && quantization.scale > 0.0;
        if !scale_ok || !(low..=high).contains(&quantization.zero_point) {
            return Err(Status::BundleContent.about("quantisation of the network's input"));
        }
        Ok(())
    }
}

/// Storage of a classifier's weights.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WeightType {
    /// 32-bit floats.
    F32,
    /// 16-bit floats, widened when read.
    F16,
    /// 8-bit integers with one positive f32 scale per class.
    I8,
}

impl WeightType {
    /// Bytes of one weight.
    pub const fn size_bytes(self) -> usize {
        match self {
            WeightType::F32 => 4,
            WeightType::F16 => 2,
            WeightType::I8 => 1,
        }
    }
}

/// A view of a classifier's weights as they lie in the bundle: `classes * channels` values, class
/// after class. Little endian, any alignment.
#[derive(Clone, Copy, Debug)]
pub enum Weights<'a> {
    /// 32-bit floats.
    F32(&'a [F32]),
    /// Bits of 16-bit floats.
    F16(&'a [U16]),
    /// Integers to be multiplied by their class's scale.
    I8(&'a [i8]),
}

impl Weights<'_> {
    /// Storage of one weight.
    pub const fn weight_type(&self) -> WeightType {
        match self {
            Weights::F32(_) => WeightType::F32,
            Weights::F16(_) => WeightType::F16,
            Weights::I8(_) => WeightType::I8,
        }
    }
}

/// What turns the network's output into one logit per class and cell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HeadKind {
    /// The network's output already is the logits.
    Logits,
    /// 1x1 classifier over the network's features: `logits = W x + b` (ZS3Net, methods.md 2.10).
    Linear(WeightType),
    /// Product of the features with one embedding per class, neither normalised, and no bias
    /// (SPNet, methods.md 3.1).
    Dot(WeightType),
    /// Cosine between the features and one embedding per class, times [`Head::cosine_scale`]
    /// (SAZS, methods.md 6.4).
    Cosine(WeightType),
}

impl HeadKind {
    /// Storage of the classifier's weights; `None` if there is no classifier.
    pub const fn weight_type(self) -> Option<WeightType> {
        match self {
            HeadKind::Logits => None,
            HeadKind::Linear(stored) | HeadKind::Dot(stored) | HeadKind::Cosine(stored) => {
                Some(stored)
            }
        }
    }
}

/// Head and upsampling.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Head {
    /// Kind of classifier.
    pub kind: HeadKind,
    /// Number of classes: 1 to [`MAX_CLASSES`].
    pub classes: u32,
    /// Channels of the network's output: the number of classes for [`HeadKind::Logits`].
    pub channels: u32,
    /// Convention of the upsampling from the grid to the network's input (methods.md 1.9).
    pub align_corners: bool,
    /// Factor on the logits before the softmax that gives the confidence; greater than 0.
    pub confidence_scale: f32,
    /// Factor on the cosines of a [`HeadKind::Cosine`], greater than 0; 1 for other kinds.
    pub cosine_scale: f32,
}

impl Head {
    /// Checks the ranges stated at the fields.
    pub fn check(&self) -> Result<()> {
        if self.classes == 0 || self.classes > MAX_CLASSES {
            let error = Status::BundleContent.about("number of classes");
            return Err(error.numbers(self.classes.into(), MAX_CLASSES.into()));
        }
        if self.channels == 0 || self.channels > MAX_FEATURES {
            let error = Status::BundleContent.about("channels of the network's output");
            return Err(error.numbers(self.channels.into(), MAX_FEATURES.into()));
        }
        if self.kind == HeadKind::Logits && self.channels != self.classes {
            let error = Status::BundleContent.about("channels of a network that gives logits");
            return Err(error.numbers(self.channels.into(), self.classes.into()));
        }
        if !(self.confidence_scale.is_finite() && self.confidence_scale > 0.0) {
            return Err(Status::BundleContent.about("confidence scale"));
        }
        if !(self.cosine_scale.is_finite() && self.cosine_scale > 0.0) {
            return Err(Status::BundleContent.about("scale of the cosines"));
        }
        Ok(())
    }
}

/// One class of a model.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Class<'a> {
    /// Name: 1 to 63 bytes of UTF-8 without control characters, unique in its model.
    pub name: &'a str,
    /// Display colour: red, green, blue.
    pub color: [u8; 3],
    /// Whether pixels of this class were labelled in training; `false` for a class known only by
    /// its embedding.
    pub seen: bool,
    /// Whether the class stands for "none of the others".
    pub background: bool,
    /// Added to the class's logit; finite.
    pub bias: f32,
}

/// What computes the network's output.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Backbone {
    /// Something outside, such as an NPU: the caller hands in the features.
    External,
    /// The ONNX network in the bundle.
    Onnx,
    /// The compiled network in the bundle.
    Plan,
}

/// Arithmetic between the network's layers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Precision {
    /// As the network says, quantisation of activations included.
    AsModel,
    /// Activations stay floats: pairs of quantise and dequantise on them are ignored.
    FloatActivations,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn preprocess() -> Preprocess {
        Preprocess {
            fit: Fit::Stretch,
            filter: Filter::Bilinear,
            antialias: false,
            order: ChannelOrder::Rgb,
            scale: 1.0 / 255.0,
            mean: [0.5; 3],
            std: [0.5; 3],
            pad: [0.0; 3],
        }
    }

    #[test]
    fn preprocessing_refuses_impossible_numbers() {
        assert!(preprocess().check().is_ok());
        assert!(Preprocess { std: [1.0, 0.0, 1.0], ..preprocess() }.check().is_err());
        assert!(Preprocess { mean: [f32::NAN, 0.0, 0.0], ..preprocess() }.check().is_err());
        assert!(Preprocess { scale: -1.0, ..preprocess() }.check().is_err());
        let fit = Fit::ShortSide { size: 0, anchor: Anchor::Center };
        assert!(Preprocess { fit, ..preprocess() }.check().is_err());
    }

    #[test]
    fn input_refuses_impossible_quantisation() {
        let quantization = Quantization { scale: 0.1, zero_point: 200 };
        let element = InputType::U8(quantization);
        let input = Input { width: 8, height: 8, layout: Layout::Chw, element };
        assert!(input.check().is_ok());
        assert!(Input { element: InputType::I8(quantization), ..input }.check().is_err());
        assert!(Input { width: 0, ..input }.check().is_err());
    }

    #[test]
    fn head_refuses_logits_of_another_width() {
        let head = Head {
            kind: HeadKind::Logits,
            classes: 21,
            channels: 21,
            align_corners: false,
            confidence_scale: 1.0,
            cosine_scale: 1.0,
        };
        assert!(head.check().is_ok());
        assert!(Head { channels: 20, ..head }.check().is_err());
        assert!(Head { classes: 0, channels: 0, ..head }.check().is_err());
        assert!(Head { confidence_scale: f32::NAN, ..head }.check().is_err());
    }
}
