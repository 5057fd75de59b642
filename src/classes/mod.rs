//! The list of classes, which stays open at run time.
//!
//! [`ClassTable`] has a fixed number of places: one for each class of the model and one for each
//! that may be added. A place's number is the label in masks. The classifier's rows lie elsewhere
//! (`head`); the table knows which of them are free.

pub mod generator;
mod words;

pub use words::embed;

use crate::arena::Arena;
use crate::limits::{MAX_CLASSES, MAX_NAME_BYTES};
use crate::spec::{Class, check_name};
use crate::status::{Result, Status};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// Where a class's row comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// The model's own classifier.
    Bundle,
    /// A row of weights that was handed in.
    Row,
    /// An embedding.
    Embedding,
    /// A word's embedding.
    Word,
    /// Features generated from an embedding.
    Generator,
}

const ORIGINS: [Origin; 5] =
    [Origin::Bundle, Origin::Row, Origin::Embedding, Origin::Word, Origin::Generator];

/// One class of the table.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ClassInfo<'t> {
    /// Its value in masks.
    pub label: u16,
    /// Its name, followed by a NUL in memory.
    pub name: &'t str,
    /// Display colour: red, green, blue.
    pub color: [u8; 3],
    /// Whether pixels of this class were labelled in training.
    pub seen: bool,
    /// Whether the class stands for "none of the others".
    pub background: bool,
    /// Whether it takes part.
    pub enabled: bool,
    /// Added to its logits.
    pub bias: f32,
    /// How likely the class is beforehand, in any unit; greater than 0.
    pub prior: f32,
    /// Where its row comes from.
    pub origin: Origin,
}

/// What is told about a class that is to be added.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct NewClass<'n> {
    /// 1 to [`MAX_NAME_BYTES`] bytes without control characters, unlike all others.
    pub name: &'n str,
    /// Its label, a free one; the lowest free one if not given.
    pub label: Option<u16>,
    /// Display colour; if not given the first of [`voc_color`], from its label on, that no other
    /// class has.
    pub color: Option<[u8; 3]>,
    /// Whether pixels of this class were labelled in training.
    pub seen: bool,
    /// Added to its logits; finite.
    pub bias: f32,
}

impl<'n> NewClass<'n> {
    /// An unseen class with the lowest free label.
    pub const fn named(name: &'n str) -> NewClass<'n> {
        NewClass { name, label: None, color: None, seen: false, bias: 0.0 }
    }
}

/// A place for a class: 84 bytes.
#[derive(Clone, Copy, FromBytes, IntoBytes, KnownLayout, Immutable)]
#[repr(C)]
struct Slot {
    /// UTF-8, filled up with NULs.
    name: [u8; MAX_NAME_BYTES + 1],
    color: [u8; 3],
    /// Place in [`ORIGINS`].
    origin: u8,
    /// Bits of the constants below.
    flags: u32,
    /// The added row that belongs to this class, or [`NO_ROW`].
    row: u32,
    bias: f32,
    prior: f32,
}

const PRESENT: u32 = 1;
const ENABLED: u32 = 2;
const SEEN: u32 = 4;
const BACKGROUND: u32 = 8;
const NO_ROW: u32 = u32::MAX;

impl Slot {
    fn is(&self, flag: u32) -> bool {
        self.flags & flag != 0
    }

    fn set(&mut self, flag: u32, on: bool) {
        self.flags = if on { self.flags | flag } else { self.flags & !flag };
    }

    fn name(&self) -> &str {
        let end = self.name.iter().position(|&byte| byte == 0).unwrap_or(0);
        core::str::from_utf8(self.name.get(..end).unwrap_or_default()).unwrap_or_default()
    }

    fn info(&self, label: u16) -> ClassInfo<'_> {
        ClassInfo {
            label,
            name: self.name(),
            color: self.color,
            seen: self.is(SEEN),
            background: self.is(BACKGROUND),
            enabled: self.is(ENABLED),
            bias: self.bias,
            prior: self.prior,
            origin: ORIGINS.get(usize::from(self.origin)).copied().unwrap_or(Origin::Bundle),
        }
    }
}

/// A place in the table and an added row for a class, found but not yet taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Vacancy {
    /// The class's label.
    pub label: u16,
    /// Number of the added row.
    pub row: usize,
}

/// Classes by label.
///
/// # Memory
/// 84 bytes per place and 2 per added row.
pub struct ClassTable<'a> {
    slots: &'a mut [Slot],
    /// For each added row one more than the label it belongs to; 0 while it is free.
    owners: &'a mut [u16],
}

impl<'a> ClassTable<'a> {
    /// Takes memory for the model's `count` classes and `extra` more, and enters the model's.
    ///
    /// # Errors
    /// [`Status::LimitExceeded`] for more than [`MAX_CLASSES`] together; those of
    /// [`Arena::take`].
    pub fn carve<'c>(
        arena: &mut Arena<'a>,
        count: u32,
        classes: impl Iterator<Item = Class<'c>>,
        extra: usize,
    ) -> Result<ClassTable<'a>> {
        let places = (count as usize).saturating_add(extra);
        if places > MAX_CLASSES as usize {
            let error = Status::LimitExceeded.about("classes with those to be added");
            return Err(error.numbers(places as u64, MAX_CLASSES.into()));
        }
        let slots = arena.take::<Slot>(places)?;
        for (slot, class) in slots.iter_mut().zip(classes) {
            enter(slot, &NewClass { bias: class.bias, ..NewClass::named(class.name) });
            slot.color = class.color;
            slot.set(SEEN, class.seen);
            slot.set(BACKGROUND, class.background);
        }
        Ok(ClassTable { slots, owners: arena.take(extra)? })
    }

    /// Places: labels are smaller than this.
    pub fn capacity(&self) -> usize {
        self.slots.len()
    }

    /// Classes that can still be added.
    pub fn vacancies(&self) -> usize {
        self.owners.iter().filter(|owner| **owner == 0).count()
    }

    /// The classes in the order of their labels.
    pub fn iter(&self) -> impl Iterator<Item = ClassInfo<'_>> + Clone {
        let present = (0..).zip(self.slots.iter()).filter(|(_, slot)| slot.is(PRESENT));
        present.map(|(label, slot)| slot.info(label))
    }

    /// The class with this label.
    ///
    /// # Errors
    /// [`Status::InvalidArgument`] if there is none.
    pub fn get(&self, label: u16) -> Result<ClassInfo<'_>> {
        self.slot(label).map(|slot| slot.info(label))
    }

    /// Label of the class called `name`.
    pub fn find(&self, name: &str) -> Option<u16> {
        self.iter().find(|class| class.name == name).map(|class| class.label)
    }

    fn slot(&self, label: u16) -> Result<&Slot> {
        let found = self.slots.get(usize::from(label)).filter(|slot| slot.is(PRESENT));
        found.ok_or(no_class(label, self.slots.len()))
    }

    fn slot_mut(&mut self, label: u16) -> Result<&mut Slot> {
        let places = self.slots.len();
        let found = self.slots.get_mut(usize::from(label)).filter(|slot| slot.is(PRESENT));
        found.ok_or(no_class(label, places))
    }

    /// Checks a new class and finds it a place and a row. Nothing is taken yet.
    ///
    /// # Errors
    /// Those of [`check_name`]; [`Status::InvalidArgument`] for a bias that is not finite or a
    /// label beyond the table; [`Status::ClassExists`] if name or label are taken;
    /// [`Status::ClassTableFull`].
    pub fn vacancy(&self, class: &NewClass<'_>) -> Result<Vacancy> {
        check_name(class.name)?;
        if !class.bias.is_finite() {
            return Err(Status::InvalidArgument.about("bias of a class"));
        }
        if let Some(holder) = self.find(class.name) {
            let error = Status::ClassExists.about("name of a class");
            return Err(error.numbers(holder.into(), self.slots.len() as u64));
        }
        let row = self.free_row()?;
        let label = match class.label {
            Some(label) => self.free_label(label)?,
            None => {
                let free = self.slots.iter().position(|slot| !slot.is(PRESENT));
                free.ok_or(self.full())? as u16
            }
        };
        Ok(Vacancy { label, row })
    }

    /// Finds a row for a class of the table that is to be given a new one.
    ///
    /// # Errors
    /// [`Status::InvalidArgument`] if there is no such class; [`Status::ClassTableFull`].
    pub fn vacancy_for(&self, label: u16) -> Result<Vacancy> {
        let row = match self.slot(label)?.row {
            NO_ROW => self.free_row()?,
            row => row as usize,
        };
        Ok(Vacancy { label, row })
    }

    fn free_row(&self) -> Result<usize> {
        self.owners.iter().position(|owner| *owner == 0).ok_or(self.full())
    }

    fn free_label(&self, label: u16) -> Result<u16> {
        match self.slots.get(usize::from(label)) {
            None => Err(no_class(label, self.slots.len())),
            Some(slot) if slot.is(PRESENT) => {
                let error = Status::ClassExists.about("label of a class");
                Err(error.numbers(label.into(), self.slots.len() as u64))
            }
            Some(_) => Ok(label),
        }
    }

    fn full(&self) -> crate::status::Error {
        let used = self.owners.len() - self.vacancies();
        Status::ClassTableFull.about("added classes").numbers(used as u64 + 1, used as u64)
    }

    /// Enters a class at the vacancy found for it.
    pub fn add(&mut self, class: &NewClass<'_>, vacancy: Vacancy, origin: Origin) {
        let label = usize::from(vacancy.label);
        let color = class.color.unwrap_or_else(|| self.free_color(label));
        let Some(slot) = self.slots.get_mut(label) else { return };
        enter(slot, class);
        slot.color = color;
        slot.set(SEEN, class.seen);
        self.own(vacancy, origin);
    }

    /// The first of [`voc_color`] from `label` on that no class has.
    pub fn free_color(&self, label: usize) -> [u8; 3] {
        let taken = |color: &[u8; 3]| self.iter().any(|class| class.color == *color);
        let places = label..=label.saturating_add(self.slots.len());
        places.map(voc_color).find(|color| !taken(color)).unwrap_or(voc_color(label))
    }

    /// Notes that a class has a new row, at the vacancy found for it.
    pub fn own(&mut self, vacancy: Vacancy, origin: Origin) {
        let Vacancy { label, row } = vacancy;
        let slot = self.slots.get_mut(usize::from(label));
        if let (Some(slot), Some(owner)) = (slot, self.owners.get_mut(row)) {
            slot.row = row as u32;
            let place = ORIGINS.iter().position(|known| *known == origin);
            slot.origin = place.unwrap_or(0) as u8;
            *owner = label + 1;
        }
    }

    /// Removes a class; its label and its row are free again.
    ///
    /// # Errors
    /// [`Status::InvalidArgument`] if there is no such class.
    pub fn remove(&mut self, label: u16) -> Result<()> {
        let slot = self.slot_mut(label)?;
        let row = slot.row;
        slot.flags = 0;
        slot.row = NO_ROW;
        if let Some(owner) = self.owners.get_mut(row as usize) {
            *owner = 0;
        }
        Ok(())
    }

    /// Gives a class another name.
    ///
    /// # Errors
    /// Those of [`check_name`]; [`Status::ClassExists`] if another class has the name;
    /// [`Status::InvalidArgument`] if there is no such class.
    pub fn rename(&mut self, label: u16, name: &str) -> Result<()> {
        check_name(name)?;
        self.slot(label)?;
        if let Some(holder) = self.find(name).filter(|holder| *holder != label) {
            let error = Status::ClassExists.about("name of a class");
            return Err(error.numbers(holder.into(), self.slots.len() as u64));
        }
        write_name(self.slot_mut(label)?, name);
        Ok(())
    }

    /// Lets a class take part, or not.
    ///
    /// # Errors
    /// [`Status::InvalidArgument`] if there is no such class.
    pub fn set_enabled(&mut self, label: u16, enabled: bool) -> Result<()> {
        self.slot_mut(label)?.set(ENABLED, enabled);
        Ok(())
    }

    /// Sets what is added to a class's logits.
    ///
    /// # Errors
    /// [`Status::InvalidArgument`] if there is no such class or the bias is not finite.
    pub fn set_bias(&mut self, label: u16, bias: f32) -> Result<()> {
        if !bias.is_finite() {
            return Err(Status::InvalidArgument.about("bias of a class"));
        }
        self.slot_mut(label)?.bias = bias;
        Ok(())
    }

    /// Sets how likely a class is beforehand.
    ///
    /// # Errors
    /// [`Status::InvalidArgument`] if there is no such class or the prior is not finite and
    /// greater than 0.
    pub fn set_prior(&mut self, label: u16, prior: f32) -> Result<()> {
        if !(prior.is_finite() && prior > 0.0) {
            return Err(Status::InvalidArgument.about("prior of a class"));
        }
        self.slot_mut(label)?.prior = prior;
        Ok(())
    }
}

fn no_class(label: u16, places: usize) -> crate::status::Error {
    Status::InvalidArgument.about("label of a class").numbers(label.into(), places as u64)
}

fn enter(slot: &mut Slot, class: &NewClass<'_>) {
    write_name(slot, class.name);
    slot.flags = PRESENT | ENABLED;
    slot.row = NO_ROW;
    slot.origin = 0;
    slot.bias = class.bias;
    slot.prior = 1.0;
}

fn write_name(slot: &mut Slot, name: &str) {
    slot.name = [0; MAX_NAME_BYTES + 1];
    for (place, byte) in slot.name.iter_mut().zip(name.bytes().take(MAX_NAME_BYTES)) {
        *place = byte;
    }
}

/// The PASCAL VOC colour map, which goes on for ever: three bits of the index make the highest
/// bits of red, green and blue, the next three the second highest, and so on.
pub fn voc_color(index: usize) -> [u8; 3] {
    let mut color = [0; 3];
    for level in 0..8 {
        let bits = index >> (3 * level);
        for (channel, value) in color.iter_mut().enumerate() {
            *value |= (((bits >> channel) & 1) as u8) << (7 - level);
        }
    }
    color
}

const _: () = assert!(size_of::<Slot>() == 84);
const _: () = assert!(MAX_CLASSES < u16::MAX as u32);
