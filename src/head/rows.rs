//! The classifier's rows: those in the bundle, and those that came later.

use crate::arena::Arena;
use crate::limits::product;
use crate::math::linear_i8::weights_total;
use crate::math::pieces::{piece, piece_mut};
use crate::spec::{Head, HeadKind, WeightType, Weights};
use crate::status::{Result, Status};
use half::f16;
use zerocopy::little_endian::F32;

/// The numbers of a classifier, in place in the bundle.
#[derive(Clone, Copy, Debug)]
pub struct Linear<'a> {
    /// `classes * channels` weights, class after class.
    pub weights: Weights<'a>,
    /// One factor per class for 8-bit weights, else empty.
    pub scales: &'a [F32],
    /// One bias per class for a linear head, else empty.
    pub bias: &'a [F32],
}

/// Largest magnitude of an 8-bit weight.
const MAX_I8: f32 = 127.0;
/// Place of a label whose row is the bundle's, or that has none.
const IN_BUNDLE: u32 = u32::MAX;

/// Rows of weights by label: each either in the bundle or in the arena.
///
/// # Memory
/// In bytes, per label 4 (8 with 8-bit weights), and per row in the arena the weights in the
/// head's own type and 8.
pub struct Rows<'a> {
    kind: HeadKind,
    channels: usize,
    linear: Option<Linear<'a>>,
    /// Row in `own` of each label: (labels).
    place: &'a mut [u32],
    own: Own<'a>,
    /// Of each own row: (rows).
    scale: &'a mut [f32],
    bias: &'a mut [f32],
    /// Sum of the 8-bit weights of each label: (labels), else empty.
    total: &'a mut [i32],
}

/// Where a label's row lies.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Place {
    Bundle(usize),
    Arena(usize),
}

impl Place {
    fn next(self) -> Place {
        match self {
            Place::Bundle(row) => Place::Bundle(row + 1),
            Place::Arena(row) => Place::Arena(row + 1),
        }
    }
}

enum Own<'a> {
    F32(&'a mut [f32]),
    F16(&'a mut [u16]),
    I8(&'a mut [i8]),
}

impl<'a> Rows<'a> {
    /// Takes memory for `extra` rows beside the bundle's. A head without a classifier has none.
    ///
    /// # Errors
    /// Those of [`Arena::take`].
    pub(super) fn carve(
        arena: &mut Arena<'a>,
        head: &Head,
        linear: Option<Linear<'a>>,
        extra: usize,
    ) -> Result<Rows<'a>> {
        let channels = head.channels as usize;
        let labels = (head.classes as usize).saturating_add(extra);
        let place = arena.take::<u32>(labels)?;
        place.fill(IN_BUNDLE);
        let count = if head.kind == HeadKind::Logits { 0 } else { extra };
        let len = product("rows of added classes", &[count, channels])?;
        let own = match head.kind.weight_type().unwrap_or(WeightType::F32) {
            WeightType::F32 => Own::F32(arena.take(len)?),
            WeightType::F16 => Own::F16(arena.take(len)?),
            WeightType::I8 => Own::I8(arena.take(len)?),
        };
        let (scale, bias) = (arena.take(count)?, arena.take(count)?);
        let totals = if matches!(own, Own::I8(_)) { labels } else { 0 };
        let total = arena.take(totals)?;
        let mut rows = Rows { kind: head.kind, channels, linear, place, own, scale, bias, total };
        (0..head.classes as usize).for_each(|label| rows.add_up(label));
        Ok(rows)
    }

    /// Notes the sum of a label's 8-bit weights.
    fn add_up(&mut self, label: usize) {
        let sum = weights_total(self.rows_i8(label, 1));
        if let Some(total) = self.total.get_mut(label) {
            *total = sum;
        }
    }

    /// Weights of a row.
    pub fn channels(&self) -> usize {
        self.channels
    }

    /// Checks a row that is to be stored: as many finite numbers as there are channels, not all
    /// zero for a dot or cosine head (which have no bias either), and inside the range of f16
    /// where rows are stored so.
    ///
    /// # Errors
    /// [`Status::Unsupported`] for a head without a classifier; [`Status::InvalidArgument`].
    pub fn check(&self, row: &[f32], bias: f32) -> Result<()> {
        if self.kind == HeadKind::Logits {
            return Err(Status::Unsupported.about("a row of weights, without a classifier"));
        }
        if row.len() != self.channels {
            let error = Status::InvalidArgument.about("length of a class's row");
            return Err(error.numbers(row.len() as u64, self.channels as u64));
        }
        if row.iter().any(|weight| !weight.is_finite()) || !bias.is_finite() {
            return Err(Status::InvalidArgument.about("a number of a class that is not finite"));
        }
        let linear = matches!(self.kind, HeadKind::Linear(_));
        if !linear && bias != 0.0 {
            return Err(Status::InvalidArgument.about("bias of a class without one"));
        }
        // Unit rows fit into any type.
        let halves = matches!(self.own, Own::F16(_)) && !matches!(self.kind, HeadKind::Cosine(_));
        let half = |weight: &f32| f16::from_f32(*weight);
        if halves && !row.iter().all(|weight| half(weight).is_finite()) {
            return Err(Status::InvalidArgument.about("a weight beyond the range of f16"));
        }
        let is_zero = |weight: &f32| *weight == 0.0 || halves && half(weight) == f16::ZERO;
        if !linear && row.iter().all(is_zero) {
            return Err(Status::InvalidArgument.about("length of a class's embedding"));
        }
        Ok(())
    }

    /// Stores a checked row in place `at` of the arena and gives it to `label`: rounded as the
    /// bundle's writer rounds rows, to the same bits. Rows of cosine heads are brought to unit
    /// length. Of 8-bit rows the largest weight becomes 127.
    pub(crate) fn set(&mut self, label: usize, at: usize, row: &[f32], bias: f32) {
        let unit = matches!(self.kind, HeadKind::Cosine(_));
        let length = if unit { norm(row) } else { 1.0 };
        let value = |weight: f32| (f64::from(weight) / length) as f32;
        let mut scale = 1.0;
        match &mut self.own {
            Own::F32(all) => store(all, at, row, value),
            Own::F16(all) => store(all, at, row, |weight| f16::from_f32(value(weight)).to_bits()),
            Own::I8(all) => {
                let step = row.iter().fold(0.0, |most: f32, &w| most.max(value(w).abs())) / MAX_I8;
                scale = if step > 0.0 { step } else { f32::MIN_POSITIVE };
                store(all, at, row, |weight| libm::rintf(value(weight) / scale) as i8);
                // Rounding changes the length of a row; the scale makes up for it.
                if unit {
                    scale = 1.0 / norm_i8(piece(all, at, row.len()).unwrap_or_default());
                }
            }
        }
        if let (Some(own_scale), Some(place)) = (self.scale.get_mut(at), self.bias.get_mut(at)) {
            (*own_scale, *place) = (scale, bias);
        }
        if let Some(place) = self.place.get_mut(label) {
            *place = at as u32;
        }
        self.add_up(label);
    }

    fn own_row(&self, label: usize) -> Option<usize> {
        let place = self.place.get(label).copied().filter(|place| *place != IN_BUNDLE)?;
        Some(place as usize)
    }

    fn place(&self, label: usize) -> Place {
        self.own_row(label).map_or(Place::Bundle(label), Place::Arena)
    }

    /// Writes the weights of a label without their scale; zeros for a label without a row.
    pub(super) fn unpack(&self, label: usize, row: &mut [f32]) {
        match (self.own_row(label), &self.own, self.linear) {
            (Some(at), Own::F32(all), _) => widen(all, at, row, |weight| *weight),
            (Some(at), Own::F16(all), _) => {
                widen(all, at, row, |bits| f16::from_bits(*bits).to_f32());
            }
            (Some(at), Own::I8(all), _) => widen(all, at, row, |weight| f32::from(*weight)),
            (None, _, Some(linear)) => match linear.weights {
                Weights::F32(all) => widen(all, label, row, |weight| weight.get()),
                Weights::F16(all) => {
                    widen(all, label, row, |bits| f16::from_bits(bits.get()).to_f32());
                }
                Weights::I8(all) => widen(all, label, row, |weight| f32::from(*weight)),
            },
            (None, _, None) => row.fill(0.0),
        }
    }

    /// The weights of a label as the row of a classifier: scale included. Returns the bias.
    pub fn read(&self, label: usize, row: &mut [f32]) -> f32 {
        self.unpack(label, row);
        let (scale, bias) = self.affine(label);
        row.iter_mut().for_each(|weight| *weight *= scale);
        bias
    }

    /// Whether the rows are kept in 8 bits.
    pub(super) fn are_i8(&self) -> bool {
        matches!(self.own, Own::I8(_))
    }

    /// How many of `labels`, from the first on, have rows that follow one another in memory.
    pub(super) fn run(&self, labels: &[u16]) -> usize {
        let mut places = labels.iter().map(|&label| self.place(label.into()));
        let Some(mut last) = places.next() else { return 0 };
        let following = places.take_while(|&place| {
            let follows = place == last.next();
            last = place;
            follows
        });
        1 + following.count()
    }

    /// The 8-bit weights of `count` rows that follow one another, from that of `label` on; empty
    /// if there are none.
    pub(super) fn rows_i8(&self, label: usize, count: usize) -> &[i8] {
        let (all, first): (&[i8], usize) = match (self.place(label), &self.own, self.linear) {
            (Place::Arena(row), Own::I8(all), _) => (all, row),
            (Place::Bundle(row), _, Some(Linear { weights: Weights::I8(all), .. })) => (all, row),
            _ => (&[], 0),
        };
        let start = first.saturating_mul(self.channels);
        let end = start.saturating_add(count.saturating_mul(self.channels));
        all.get(start..end).unwrap_or_default()
    }

    /// Sum of a label's 8-bit weights.
    pub(super) fn total(&self, label: usize) -> i32 {
        self.total.get(label).copied().unwrap_or(0)
    }

    /// Scale and bias of a label's row.
    pub(super) fn affine(&self, label: usize) -> (f32, f32) {
        if let Some(at) = self.own_row(label) {
            let number = |all: &[f32], default| all.get(at).copied().unwrap_or(default);
            return (number(self.scale, 1.0), number(self.bias, 0.0));
        }
        let Some(linear) = self.linear else { return (1.0, 0.0) };
        let number = |all: &[F32], default| all.get(label).map_or(default, |value| value.get());
        (number(linear.scales, 1.0), number(linear.bias, 0.0))
    }
}

fn norm(row: &[f32]) -> f64 {
    libm::sqrt(row.iter().map(|&weight| f64::from(weight) * f64::from(weight)).sum())
}

fn norm_i8(row: &[i8]) -> f32 {
    let squares: u32 = row.iter().map(|weight| u32::from(weight.unsigned_abs()).pow(2)).sum();
    libm::sqrt(f64::from(squares)) as f32
}

fn store<T>(all: &mut [T], at: usize, row: &[f32], convert: impl Fn(f32) -> T) {
    let places = piece_mut(all, at, row.len()).unwrap_or_default();
    for (place, &weight) in places.iter_mut().zip(row) {
        *place = convert(weight);
    }
}

fn widen<T>(all: &[T], at: usize, row: &mut [f32], convert: impl Fn(&T) -> f32) {
    let Some(stored) = piece(all, at, row.len()) else {
        row.fill(0.0);
        return;
    };
    for (place, weight) in row.iter_mut().zip(stored) {
        *place = convert(weight);
    }
}
