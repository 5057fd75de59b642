//! Classes that come, change and go while the device runs.

use super::Segmenter;
use crate::arena::Arena;
use crate::bundle::Bundle;
use crate::classes::generator::{Fitter, OldRows, Settings, Sources};
use crate::classes::{ClassInfo, ClassTable, NewClass, Origin, embed};
use crate::head::{ActiveClass, Rows};
use crate::limits::{Limits, MAX_CLASSES};
use crate::math::pieces::{copy, pieces};
use crate::spec::{EmbeddingSpace, HeadKind, Projection};
use crate::status::{Result, Status};
use zerocopy::little_endian::F32;

/// What a class means, in the bundle's embedding space.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Meaning<'s> {
    /// Its embedding: as many finite numbers as the space has, not all zero.
    Embedding(&'s [f32]),
    /// A word, or several, of the bundle's word table.
    Word(&'s str),
}

/// Where the row of a class comes from.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum ClassSource<'s> {
    /// The row itself, as a trainer made it: one weight per channel of the network's output. For
    /// dot and cosine heads that is an embedding, and `bias` is 0.
    Row {
        /// Weights.
        weights: &'s [f32],
        /// Bias.
        bias: f32,
    },
    /// The class's meaning: for dot and cosine heads the row is its embedding, for linear heads
    /// the bundle's projection makes the row.
    Meaning(Meaning<'s>),
    /// The class's meaning, from which the bundle's generator makes features; a row is fitted to
    /// them on the device (ZS3Net, methods.md 2.4 and 9.1). For linear heads.
    Generated(Meaning<'s>),
}

/// What a class costs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ClassCost {
    /// Bytes of the arena for each class that may be added. Buffers are rounded up to cache lines,
    /// so that a whole table takes at most 1 KiB more, beside the scratch for making rows.
    pub bytes: u64,
    /// Multiply-adds in each frame, before the frame's own pixels: one product per channel and
    /// cell of the grid.
    pub grid_multiply_adds: u64,
    /// Multiply-adds to make its row from an embedding; 0 where the row is the embedding.
    pub meaning_multiply_adds: u64,
    /// Most multiply-adds to fit its row to generated features, against as many classes as there
    /// is room for; 0 where the bundle has no generator.
    pub generator_multiply_adds: u64,
}

/// Scratch for making rows.
///
/// # Memory
/// 4 bytes per channel and per number of an embedding, if classes may be added; that of
/// [`Fitter`] if the limits ask for the generator.
pub(super) struct Desk<'a> {
    embedding: &'a mut [f32],
    row: &'a mut [f32],
    fitter: Option<Fitter<'a>>,
}

impl<'a> Desk<'a> {
    pub(super) fn carve(
        arena: &mut Arena<'a>,
        bundle: &Bundle<'a>,
        limits: &Limits,
    ) -> Result<Desk<'a>> {
        let adds = limits.extra_classes > 0 && bundle.head().kind != HeadKind::Logits;
        let of_adding = |len: u32| if adds { len as usize } else { 0 };
        let dim = bundle.embedding().map_or(0, |space| space.dim);
        Ok(Desk {
            embedding: arena.take(of_adding(dim))?,
            row: arena.take(of_adding(bundle.head().channels))?,
            fitter: match limits.generator {
                true => Some(Fitter::carve(arena, sources_of(bundle)?, &Settings::DEFAULT)?),
                false => None,
            },
        })
    }
}

fn sources_of<'a>(bundle: &Bundle<'a>) -> Result<Sources<'a>> {
    let missing = Status::Unsupported.about("a generator, which this bundle has not");
    let (Some(generator), Some(statistics)) = (bundle.generator(), bundle.feature_statistics())
    else {
        return Err(missing);
    };
    Ok(Sources { generator, statistics })
}

/// The rows of the classes that take part, but for one that is to get a new row.
struct Rivals<'r, 'a> {
    table: &'r ClassTable<'a>,
    rows: &'r Rows<'a>,
    without: Option<u16>,
}

impl Rivals<'_, '_> {
    fn classes(&self) -> impl Iterator<Item = ClassInfo<'_>> {
        let others = self.table.iter().filter(|class| class.enabled);
        others.filter(|class| Some(class.label) != self.without)
    }
}

impl OldRows for Rivals<'_, '_> {
    fn count(&self) -> usize {
        self.classes().count()
    }

    fn holds(&self, class: u32) -> bool {
        let own = |found: &ClassInfo<'_>| found.origin == Origin::Bundle;
        self.classes().filter(own).any(|found| u32::from(found.label) == class)
    }

    fn read(&self, index: usize, weights: &mut [f32]) -> f32 {
        let class = self.classes().nth(index);
        class.map_or(0.0, |class| self.rows.read(class.label.into(), weights))
    }
}

impl Segmenter<'_> {
    /// The classes in the order of their labels.
    pub fn classes(&self) -> impl Iterator<Item = ClassInfo<'_>> + Clone {
        self.table.iter()
    }

    /// The class with this label.
    ///
    /// # Errors
    /// [`Status::InvalidArgument`] if there is none.
    pub fn class(&self, label: u16) -> Result<ClassInfo<'_>> {
        self.table.get(label)
    }

    /// Label of the class called `name`.
    pub fn find_class(&self, name: &str) -> Option<u16> {
        self.table.find(name)
    }

    /// Classes that can still be added.
    pub fn vacancies(&self) -> usize {
        self.table.vacancies()
    }

    /// The colour that a class with the lowest free label is given if it brings none.
    pub fn free_color(&self) -> [u8; 3] {
        let taken =
            |label: &usize| self.table.iter().any(|class| usize::from(class.label) == *label);
        let label = (0..self.table.capacity()).find(|label| !taken(label));
        self.table.free_color(label.unwrap_or(self.table.capacity()))
    }

    /// Labels are smaller than this, whatever is added.
    pub fn label_capacity(&self) -> usize {
        self.table.capacity()
    }

    /// Adds a class from the next frame on and returns its label. A frame at work is given up,
    /// and so is the past that frames are smoothed with. Nothing is allocated.
    ///
    /// # Errors
    /// Those of [`ClassTable::vacancy`](crate::classes::ClassTable::vacancy);
    /// [`Status::InvalidArgument`] for a row or an embedding of another length or with numbers
    /// that are not finite; [`Status::UnknownWord`]; [`Status::Unsupported`] if the bundle has no
    /// word table, no embedding space or no classifier. Nothing is changed then.
    pub fn add_class(&mut self, class: &NewClass<'_>, source: &ClassSource<'_>) -> Result<u16> {
        let vacancy = self.table.vacancy(class)?;
        let (bias, origin) = self.make_row(source, None)?;
        self.decoder.rows_mut().set(vacancy.label.into(), vacancy.row, self.desk.row, bias);
        self.table.add(class, vacancy, origin);
        self.arrange();
        Ok(vacancy.label)
    }

    /// Makes the row that [`Segmenter::add_class`] would give a class: writes its weights to
    /// `row`, not yet rounded to the head's type, and returns its bias. The classes stay as they
    /// are. Written into a bundle, or handed in as [`ClassSource::Row`], it makes the same class.
    ///
    /// # Errors
    /// Those of [`Segmenter::add_class`] about the source; [`Status::InvalidArgument`] if `row`
    /// has not one place per channel.
    pub fn class_row(&mut self, source: &ClassSource<'_>, row: &mut [f32]) -> Result<f32> {
        let (bias, _) = self.make_row(source, None)?;
        if row.len() != self.desk.row.len() {
            let error = Status::InvalidArgument.about("length of a class's row");
            return Err(error.numbers(row.len() as u64, self.desk.row.len() as u64));
        }
        for (place, weight) in row.iter_mut().zip(self.desk.row.iter()) {
            *place = *weight;
        }
        Ok(bias)
    }

    /// Gives a class another row.
    ///
    /// # Errors
    /// As for [`Segmenter::add_class`]; [`Status::InvalidArgument`] if there is no such class.
    pub fn replace_class(&mut self, label: u16, source: &ClassSource<'_>) -> Result<()> {
        let vacancy = self.table.vacancy_for(label)?;
        let (bias, origin) = self.make_row(source, Some(label))?;
        self.decoder.rows_mut().set(label.into(), vacancy.row, self.desk.row, bias);
        self.table.own(vacancy, origin);
        self.arrange();
        Ok(())
    }

    /// Removes a class: no pixel has its label any more. Its label may be given to another.
    ///
    /// # Errors
    /// [`Status::InvalidArgument`] if there is no such class.
    pub fn remove_class(&mut self, label: u16) -> Result<()> {
        self.table.remove(label)?;
        self.arrange();
        Ok(())
    }

    /// Gives a class another name.
    ///
    /// # Errors
    /// Those of [`ClassTable::rename`](crate::classes::ClassTable::rename).
    pub fn rename_class(&mut self, label: u16, name: &str) -> Result<()> {
        self.table.rename(label, name)
    }

    /// Lets a class take part, or not, from the next frame on.
    ///
    /// # Errors
    /// [`Status::InvalidArgument`] if there is no such class.
    pub fn enable_class(&mut self, label: u16, enabled: bool) -> Result<()> {
        self.table.set_enabled(label, enabled)?;
        self.arrange();
        Ok(())
    }

    /// Sets what is added to a class's logits.
    ///
    /// # Errors
    /// [`Status::InvalidArgument`] if there is no such class or the bias is not finite.
    pub fn set_class_bias(&mut self, label: u16, bias: f32) -> Result<()> {
        self.table.set_bias(label, bias)?;
        self.arrange();
        Ok(())
    }

    /// Sets how likely a class is beforehand, in any unit that is the same for all classes; 1 at
    /// first. Probabilities are multiplied by priors.
    ///
    /// # Errors
    /// [`Status::InvalidArgument`] if there is no such class or the prior is not greater than 0.
    pub fn set_class_prior(&mut self, label: u16, prior: f32) -> Result<()> {
        self.table.set_prior(label, prior)?;
        self.arrange();
        Ok(())
    }

    /// What each class that may be added costs.
    ///
    /// # Errors
    /// Those of [`Segmenter::arena_bytes`]; [`Status::Unsupported`] if the bundle's head takes no
    /// classes.
    pub fn class_cost(bundle: &Bundle<'_>, limits: &Limits) -> Result<ClassCost> {
        Segmenter::arena_bytes(bundle, limits)?;
        if bundle.head().kind == HeadKind::Logits {
            return Err(Status::Unsupported.about("classes, with a head of logits"));
        }
        let room = MAX_CLASSES.saturating_sub(bundle.head().classes) / 2;
        let many = room.min(64);
        if many == 0 {
            let error = Status::LimitExceeded.about("classes with those to be added");
            return Err(error.numbers(u64::from(MAX_CLASSES) + 1, MAX_CLASSES.into()));
        }
        let with = |extra_classes| {
            let limits = Limits { extra_classes, ..*limits };
            Segmenter::arena_bytes(bundle, &limits)
        };
        // The rows of 64 classes fill whole cache lines: their difference is not rounded.
        let bytes = (with(2 * many)? as u64).saturating_sub(with(many)? as u64);
        let manifest = bundle.manifest();
        let cells = u64::from(manifest.grid_height) * u64::from(manifest.grid_width);
        let channels = u64::from(manifest.head.channels);
        let space = bundle.embedding().map_or(0, |space| u64::from(space.dim));
        let places = bundle.head().classes.saturating_add(limits.extra_classes) as usize;
        let generator_multiply_adds = match sources_of(bundle) {
            Ok(sources) => Fitter::most_work(&sources, &Settings::DEFAULT, places)?.multiply_adds,
            Err(_) => 0,
        };
        Ok(ClassCost {
            generator_multiply_adds,
            bytes: bytes.div_ceil(many.into()),
            grid_multiply_adds: channels * cells,
            meaning_multiply_adds: bundle.projection().map_or(0, |_| (channels + 1) * space),
        })
    }

    /// Tells the decoder which classes take part.
    pub(super) fn arrange(&mut self) {
        let scale = self.bundle.head().confidence_scale;
        let active = self.table.iter().filter(|class| class.enabled).map(|class| ActiveClass {
            label: class.label,
            bias: class.bias + libm::logf(class.prior) / scale,
            seen: class.seen,
        });
        self.decoder.arrange(active, self.decision);
        self.cancel_frame();
    }

    /// Makes a row in the desk and checks it; returns its bias and origin. A row that is fitted
    /// stands against those of all classes that take part but `without`.
    fn make_row(
        &mut self,
        source: &ClassSource<'_>,
        without: Option<u16>,
    ) -> Result<(f32, Origin)> {
        let (bias, origin) = match *source {
            ClassSource::Row { weights, bias } => {
                self.decoder.rows().check(weights, bias)?;
                copy(self.desk.row, weights);
                (bias, Origin::Row)
            }
            ClassSource::Meaning(meaning) => {
                let origin = self.make_embedding(meaning)?;
                (self.project()?, origin)
            }
            ClassSource::Generated(meaning) => {
                self.make_embedding(meaning)?;
                (self.generate(without)?, Origin::Generator)
            }
        };
        self.decoder.rows().check(self.desk.row, bias)?;
        Ok((bias, origin))
    }

    fn make_embedding(&mut self, meaning: Meaning<'_>) -> Result<Origin> {
        let no_space = Status::Unsupported.about("embeddings, with this bundle");
        let space = self.bundle.embedding().ok_or(no_space)?;
        let place = &mut *self.desk.embedding;
        let origin = match meaning {
            Meaning::Embedding(embedding) => {
                check_embedding(embedding, space)?;
                copy(place, embedding);
                Origin::Embedding
            }
            Meaning::Word(phrase) => {
                let no_words = Status::Unsupported.about("words, with this bundle");
                embed(&self.bundle.words().ok_or(no_words)?, phrase, place)?;
                Origin::Word
            }
        };
        // Words may cancel out.
        let is_zero = place.iter().all(|value| *value == 0.0);
        if is_zero || space.unit && !bring_to_unit_length(place) {
            return Err(Status::InvalidArgument.about("length of an embedding"));
        }
        Ok(origin)
    }

    /// Fits a row to features generated from the embedding; returns the bias.
    fn generate(&mut self, without: Option<u16>) -> Result<f32> {
        let super::Desk { embedding, row, fitter } = &mut self.desk;
        let fitter = fitter.as_mut().ok_or(no_generator())?;
        let rivals = Rivals { table: &self.table, rows: self.decoder.rows(), without };
        fitter.run(embedding, &rivals)?;
        fitter.write_row(row)
    }

    /// Turns the embedding into a row; returns the bias.
    fn project(&mut self) -> Result<f32> {
        let super::Desk { embedding, row, .. } = &mut self.desk;
        match (self.bundle.head().kind, self.bundle.projection()) {
            (HeadKind::Dot(_) | HeadKind::Cosine(_), _) => {
                copy(row, embedding);
                Ok(0.0)
            }
            (_, Some(projection)) => Ok(apply(&projection, embedding, row)),
            _ => Err(Status::Unsupported.about("rows from embeddings, with this bundle")),
        }
    }
}

fn no_generator() -> crate::status::Error {
    Status::Unsupported.about("a generator, which the limits left out")
}

fn check_embedding(embedding: &[f32], space: EmbeddingSpace) -> Result<()> {
    if embedding.len() != space.dim as usize {
        let error = Status::InvalidArgument.about("numbers of an embedding");
        return Err(error.numbers(embedding.len() as u64, space.dim.into()));
    }
    if embedding.iter().any(|value| !value.is_finite()) {
        return Err(Status::InvalidArgument.about("a number of an embedding that is not finite"));
    }
    Ok(())
}

/// Divides by the length; `false`, and nothing done, if there is none.
fn bring_to_unit_length(embedding: &mut [f32]) -> bool {
    let sum: f64 = embedding.iter().map(|&value| f64::from(value) * f64::from(value)).sum();
    let length = libm::sqrt(sum);
    if !(length.is_finite() && length > 0.0) {
        return false;
    }
    embedding.iter_mut().for_each(|value| *value = (f64::from(*value) / length) as f32);
    true
}

/// Writes the row of an embedding and returns its bias.
fn apply(projection: &Projection<'_>, embedding: &[f32], row: &mut [f32]) -> f32 {
    let product = |weights: &[F32]| -> f32 {
        let terms = weights.iter().zip(embedding);
        terms.map(|(weight, &value)| f64::from(weight.get()) * f64::from(value)).sum::<f64>() as f32
    };
    let mut weights = pieces(projection.weights, projection.dim);
    for (place, weights) in row.iter_mut().zip(weights.by_ref()) {
        *place = product(weights);
    }
    weights.next().map_or(0.0, product)
}
