//! Gives a bundle another list of classes and leaves everything else as it is.

use super::zero_shot::{ClassStatistics, statistics};
use super::{Payload, StoredWeights, WeightValues, assemble, class_records, weight_bytes};
use crate::bundle::layout::{FLAG_OPTIONAL, ManifestRecord, kind};
use crate::bundle::reader::Bundle;
use crate::limits::MAX_CLASSES;
use crate::spec::{Class, HeadKind};
use crate::status::{Result, Status};
use std::borrow::Cow;
use std::vec::Vec;
use zerocopy::little_endian::F32;
use zerocopy::{FromBytes, IntoBytes};

/// A class of the new list.
#[derive(Clone, Copy, Debug)]
pub struct ClassRow<'a> {
    /// The class; its name unique in the list.
    pub class: Class<'a>,
    /// Its row of the classifier.
    pub source: RowSource<'a>,
}

/// Where the row of a class comes from.
#[derive(Clone, Copy, Debug)]
pub enum RowSource<'a> {
    /// From the class of the bundle with this index: weights, scale and bias bit for bit, and
    /// its feature statistics if it has some.
    Kept(u32),
    /// From outside. The class has no feature statistics.
    New {
        /// As many weights as there are channels, in the bundle's type, or as f32, which are then
        /// rounded as by [`StoredWeights::round`].
        weights: WeightValues<'a>,
        /// Bias of a linear head, finite; 0 for other heads, which have none.
        bias: f32,
    },
}

/// The bundle with another list of classes, as a new file. Every section that does not depend on
/// the classes is kept byte for byte, those of unknown kind included.
///
/// # Errors
/// [`Status::Unsupported`] if the network gives logits and the list is not as long as before
/// with every class in its place: then only names, colours, flags and biases can change.
/// [`Status::InvalidArgument`] if a kept class does not exist, a row has another length or type,
/// or another head than a linear one is given a bias. [`Status::LimitExceeded`] for more than
/// [`MAX_CLASSES`]. [`Status::BundleContent`] if the reader refuses the result: no classes, a
/// name twice, a number that is not finite, a zero row.
pub fn rewrite_classes(bundle: &Bundle<'_>, classes: &[ClassRow<'_>]) -> Result<Vec<u8>> {
    let too_many = || Status::LimitExceeded.about("number of classes");
    let count = u32::try_from(classes.len()).map_err(|_| too_many())?;
    if count > MAX_CLASSES {
        return Err(too_many().numbers(count.into(), MAX_CLASSES.into()));
    }
    if count == 0 {
        return Err(Status::BundleContent.about("number of classes").numbers(0, 1));
    }
    check_places(bundle, classes)?;
    let rows = Rows::collect(bundle, classes)?;
    let mut sections = Vec::new();
    for section in bundle.sections() {
        let bytes: Cow<'_, [u8]> = match section.kind {
            kind::MANIFEST => manifest(section.bytes, count)?.into(),
            kind::CLASSES => {
                class_records(classes.iter().map(|row| &row.class))?.as_bytes().to_vec().into()
            }
            kind::HEAD_WEIGHTS => Cow::Borrowed(&rows.weights),
            kind::HEAD_BIAS => Cow::Borrowed(rows.bias.as_bytes()),
            kind::HEAD_SCALES => Cow::Borrowed(rows.scales.as_bytes()),
            kind::FEATURE_STATISTICS => kept_statistics(bundle, classes)?.into(),
            _ => Cow::Borrowed(section.bytes),
        };
        let flags = if section.optional { FLAG_OPTIONAL } else { 0 };
        sections.push(Payload { kind: section.kind, flags, bytes });
    }
    let bytes = assemble(&sections)?;
    Bundle::open(&bytes)?;
    Ok(bytes)
}

/// A network that gives logits has one channel per class, which nothing can add or move.
fn check_places(bundle: &Bundle<'_>, classes: &[ClassRow<'_>]) -> Result<()> {
    if bundle.head().kind != HeadKind::Logits {
        return Ok(());
    }
    let in_place = |(row, index): (&ClassRow<'_>, u32)| match row.source {
        RowSource::Kept(from) => from == index,
        RowSource::New { .. } => false,
    };
    let same = classes.len() == bundle.head().classes as usize;
    if !same || !classes.iter().zip(0..).all(in_place) {
        return Err(Status::Unsupported.about("classes of a network that gives logits"));
    }
    Ok(())
}

fn manifest(section: &[u8], classes: u32) -> Result<Vec<u8>> {
    let record = ManifestRecord::read_from_bytes(section);
    let mut record = record.map_err(|_| Status::BundleContent.about("length of MANIFEST"))?;
    record.classes = classes.into();
    Ok(record.as_bytes().to_vec())
}

/// The classifier's sections.
#[derive(Default)]
struct Rows {
    weights: Vec<u8>,
    bias: Vec<F32>,
    scales: Vec<F32>,
}

impl Rows {
    fn collect(bundle: &Bundle<'_>, classes: &[ClassRow<'_>]) -> Result<Rows> {
        let mut rows = Rows::default();
        for row in classes {
            match row.source {
                RowSource::Kept(index) => rows.keep(bundle, index)?,
                RowSource::New { weights, bias } => rows.add(bundle, weights, bias)?,
            }
        }
        Ok(rows)
    }

    fn keep(&mut self, bundle: &Bundle<'_>, index: u32) -> Result<()> {
        bundle.class(index)?;
        let index = index as usize;
        let head = bundle.head();
        let size_bytes = head.kind.weight_type().map_or(0, |stored| stored.size_bytes());
        let row_bytes = size_bytes * head.channels as usize;
        let mut sections = bundle.sections();
        let stored = sections.find(|section| section.kind == kind::HEAD_WEIGHTS);
        let stored = stored.map_or(&[][..], |section| section.bytes);
        let row = stored.get(index * row_bytes..(index + 1) * row_bytes);
        self.weights.extend_from_slice(row.unwrap_or_default());
        self.bias.extend(bundle.head_bias().and_then(|bias| bias.get(index)));
        self.scales.extend(bundle.head_scales().and_then(|scales| scales.get(index)));
        Ok(())
    }

    fn add(&mut self, bundle: &Bundle<'_>, weights: WeightValues<'_>, bias: f32) -> Result<()> {
        let head = bundle.head();
        let (len, scales) = match weights {
            WeightValues::F32(values) => (values.len(), 1),
            WeightValues::F16(values) => (values.len(), 1),
            WeightValues::I8 { values, scales } => (values.len(), scales.len()),
        };
        if len != head.channels as usize || scales != 1 {
            let error = Status::InvalidArgument.about("weights of a new class");
            return Err(error.numbers(len as u64, head.channels.into()));
        }
        if let WeightValues::F32(values) = weights {
            self.push(StoredWeights::round(head.kind, values, values.len())?.values());
        } else if Some(weights.weight_type()) == head.kind.weight_type() {
            self.push(weights);
        } else {
            return Err(Status::InvalidArgument.about("weight type of a new class"));
        }
        if bundle.head_bias().is_some() {
            self.bias.push(F32::new(bias));
        } else if bias != 0.0 {
            return Err(Status::InvalidArgument.about("bias of a class of a head without biases"));
        }
        Ok(())
    }

    fn push(&mut self, weights: WeightValues<'_>) {
        self.weights.extend_from_slice(&weight_bytes(weights));
        if let WeightValues::I8 { scales, .. } = weights {
            self.scales.extend(scales.iter().map(|&scale| F32::new(scale)));
        }
    }
}

fn kept_statistics(bundle: &Bundle<'_>, classes: &[ClassRow<'_>]) -> Result<Vec<u8>> {
    let mut kept: Vec<(u32, Vec<f32>, Vec<f32>)> = Vec::new();
    for (row, class) in classes.iter().zip(0..) {
        let RowSource::Kept(from) = row.source else { continue };
        let found = bundle.feature_statistics().and_then(|statistics| statistics.find(from));
        let Some((mean, deviation)) = found else { continue };
        let floats = |values: &[F32]| values.iter().map(|value| value.get()).collect();
        kept.push((class, floats(mean), floats(deviation)));
    }
    let row = |(class, mean, deviation)| ClassStatistics { class, mean, deviation };
    let rows: Vec<ClassStatistics<'_>> =
        kept.iter().map(|(class, mean, deviation)| row((*class, mean, deviation))).collect();
    statistics(&rows, bundle.head().channels as usize)
}
