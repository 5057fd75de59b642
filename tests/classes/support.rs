//! Scenes and what is compared in them.

use crate::external::*;
use zsseg::classes::{NewClass, Origin};
use zsseg::limits::Limits;
use zsseg::map::Map;
use zsseg::segmenter::{ClassSource, Segmenter};
use zsseg::spec::{HeadKind, WeightType};

pub const FRAME: (u32, u32) = (31, 22);

pub fn limits(extra_classes: u32) -> Limits {
    Limits { extra_classes, ..Limits::for_frames(FRAME.0, FRAME.1) }
}

/// A linear head of six classes in 16 channels.
pub fn model() -> Model {
    Model::new(HeadKind::Linear(WeightType::F32), 6, 16, (5, 6))
}

pub fn features(model: &Model) -> Vec<f32> {
    Random(21).take(model.channels * model.cells(), 2.0)
}

pub fn row(seed: u64, channels: usize) -> Vec<f32> {
    Random(seed).take(channels, 0.37)
}

/// Adds a class by its row.
pub fn add(segmenter: &mut Segmenter<'_>, name: &str, row: &[f32]) -> u16 {
    let source = ClassSource::Row { weights: row, bias: 0.25 };
    segmenter.add_class(&NewClass::named(name), &source).unwrap()
}

pub fn run(segmenter: &mut Segmenter<'_>, map: &Map<'_, f32>) -> Mask {
    mask(segmenter, map, FRAME)
}

/// Label, name, colour, flags, bits of bias and prior, origin.
pub type Row = (u16, String, [u8; 3], [bool; 3], [u32; 2], Origin);

/// Everything that is told about the classes.
#[derive(Clone, Debug, PartialEq)]
pub struct Listed {
    pub classes: Vec<Row>,
    pub vacancies: usize,
}

pub fn list(segmenter: &Segmenter<'_>) -> Listed {
    let classes = segmenter.classes().map(|class| {
        let flags = [class.seen, class.background, class.enabled];
        let numbers = [class.bias.to_bits(), class.prior.to_bits()];
        (class.label, class.name.to_string(), class.color, flags, numbers, class.origin)
    });
    Listed { classes: classes.collect(), vacancies: segmenter.vacancies() }
}
