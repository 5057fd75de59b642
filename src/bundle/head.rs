//! Reads the classifier.

use super::container::Container;
use super::layout::kind;
use super::section::{absent, all, elements, finite, finite_halves};
use crate::limits::product;
use crate::math::pieces::pieces;
use crate::spec::{Head, HeadKind, WeightType, Weights};
use crate::status::{Result, Status};
use half::f16;
use zerocopy::little_endian::F32;

/// Bounds of the squared length of a cosine head's rows: lengths 0.98 and 1.02. Rounding to 8
/// bits changes the length of a row by less.
const UNIT_SQUARES: core::ops::RangeInclusive<f32> = 0.98 * 0.98..=1.02 * 1.02;

/// The classifier as it lies in the bundle.
#[derive(Clone, Copy, Default)]
pub struct HeadParts<'a> {
    /// Classes x channels.
    pub weights: Option<Weights<'a>>,
    /// One per class.
    pub bias: Option<&'a [F32]>,
    /// One per class.
    pub scales: Option<&'a [F32]>,
}

/// Weights, biases and scales: present exactly when the kind of head needs them.
pub fn read<'a>(head: &Head, container: &Container<'a>) -> Result<HeadParts<'a>> {
    let section = |kind| container.find(kind);
    let Some(weight_type) = head.kind.weight_type() else {
        for unwanted in [kind::HEAD_WEIGHTS, kind::HEAD_BIAS, kind::HEAD_SCALES] {
            absent(unwanted, section(unwanted))?;
        }
        return Ok(HeadParts::default());
    };
    let classes = head.classes as usize;
    let len = product("HEAD_WEIGHTS", &[classes, head.channels as usize])?;
    let weights = read_weights(section(kind::HEAD_WEIGHTS), weight_type, len)?;
    let bias = read_bias(head, section(kind::HEAD_BIAS))?;
    let scales = read_scales(weight_type, section(kind::HEAD_SCALES), classes)?;
    check_rows(head, weights, scales)?;
    Ok(HeadParts { weights: Some(weights), bias, scales })
}

fn read_weights(
    section: Option<&[u8]>,
    weight_type: WeightType,
    len: usize,
) -> Result<Weights<'_>> {
    let (name, what) = ("HEAD_WEIGHTS", "a weight of the head is not finite");
    match weight_type {
        WeightType::F32 => {
            let weights = elements(name, section, len)?;
            finite(what, weights)?;
            Ok(Weights::F32(weights))
        }
        WeightType::F16 => {
            let weights = elements(name, section, len)?;
            finite_halves(what, weights)?;
            Ok(Weights::F16(weights))
        }
        WeightType::I8 => Ok(Weights::I8(elements(name, section, len)?)),
    }
}

fn read_bias<'a>(head: &Head, section: Option<&'a [u8]>) -> Result<Option<&'a [F32]>> {
    if !matches!(head.kind, HeadKind::Linear(_)) {
        absent(kind::HEAD_BIAS, section)?;
        return Ok(None);
    }
    let bias = elements("HEAD_BIAS", section, head.classes as usize)?;
    finite("a bias of the head is not finite", bias)?;
    Ok(Some(bias))
}

fn read_scales(
    weight_type: WeightType,
    section: Option<&[u8]>,
    classes: usize,
) -> Result<Option<&[F32]>> {
    if weight_type != WeightType::I8 {
        absent(kind::HEAD_SCALES, section)?;
        return Ok(None);
    }
    let scales = elements("HEAD_SCALES", section, classes)?;
    let positive = |scale: &F32| scale.get().is_finite() && scale.get() > 0.0;
    all("a scale of the head is not finite and positive", scales, positive)?;
    Ok(Some(scales))
}

/// Rows of dot heads must not vanish, those of cosine heads must have unit length.
fn check_rows(head: &Head, weights: Weights<'_>, scales: Option<&[F32]>) -> Result<()> {
    let channels = head.channels as usize;
    match weights {
        Weights::F32(values) => {
            check_each(head, pieces(values, channels).map(|row| Size::of(row, |v| v.get())))
        }
        Weights::F16(values) => {
            let widen = |bits: &zerocopy::little_endian::U16| f16::from_bits(bits.get()).to_f32();
            check_each(head, pieces(values, channels).map(|row| Size::of(row, widen)))
        }
        Weights::I8(values) => {
            let scales = scales.unwrap_or_default();
            let rows = pieces(values, channels).zip(scales);
            let sizes = rows.map(|(row, scale)| Size::of(row, |&v| f32::from(v) * scale.get()));
            check_each(head, sizes)
        }
    }
}

fn check_each(head: &Head, rows: impl Iterator<Item = Size>) -> Result<()> {
    let (what, valid): (_, fn(&Size) -> bool) = match head.kind {
        HeadKind::Logits | HeadKind::Linear(_) => return Ok(()),
        HeadKind::Dot(_) => ("a row of a dot head is zero", |size| size.nonzero),
        HeadKind::Cosine(_) => ("a row of a cosine head is not of unit length", |size| {
            UNIT_SQUARES.contains(&size.squares)
        }),
    };
    for (index, size) in rows.enumerate() {
        if !valid(&size) {
            let error = Status::BundleContent.about(what);
            return Err(error.numbers(index as u64, head.classes.into()));
        }
    }
    Ok(())
}

/// Size of a row.
struct Size {
    nonzero: bool,
    squares: f32,
}

impl Size {
    fn of<T>(row: &[T], value: impl Fn(&T) -> f32) -> Size {
        let mut size = Size { nonzero: false, squares: 0.0 };
        for value in row.iter().map(value) {
            size.nonzero |= value != 0.0;
            size.squares += value * value;
        }
        size
    }
}
