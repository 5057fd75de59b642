//! The properties' values, and the classes they name.

use crate::problem::Problem;
use gst::glib;
use std::path::PathBuf;
use zsseg::classes::{NewClass, Origin};
use zsseg::head::UNLABELED_U8;
use zsseg::limits::Limits;
use zsseg::segmenter::{ClassSource, Meaning, Segmenter};
use zsseg::status::Status;

/// What comes out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, glib::Enum)]
#[enum_type(name = "GstZssegOutput")]
#[repr(i32)]
pub enum Output {
    /// One label per pixel.
    #[default]
    #[enum_value(name = "One label per pixel (GRAY8); 255 where there is none", nick = "labels")]
    Labels = 0,
    /// The frame in the colours of its classes.
    #[enum_value(name = "The frame, tinted in the colours of its classes (RGB)", nick = "overlay")]
    Overlay = 1,
}

/// The element's properties.
#[derive(Clone, Debug)]
pub struct Settings {
    pub bundle: Option<PathBuf>,
    pub output: Output,
    /// Share of the classes' colours in overlays: 0 to 1.
    pub opacity: f64,
    /// `NAME` or `NAME=WORDS`, with commas between.
    pub add_class: Option<String>,
    /// Names with commas between; none for all.
    pub only_class: Option<String>,
    /// Names with commas between.
    pub disable_class: Option<String>,
    /// Room for classes that are added while the element runs.
    pub extra_classes: u32,
    /// Weight of the newest frame: 1 for frames on their own.
    pub smoothing: f64,
    /// Threads for the network, the streaming one among them.
    pub threads: u32,
    /// Whether the classes are no longer those of the segmenter.
    pub classes_changed: bool,
}

impl Settings {
    /// Room in [`Settings::extra_classes`] at first.
    pub const EXTRA_CLASSES: u32 = 16;
    /// [`Settings::opacity`] at first.
    pub const OPACITY: f64 = 0.5;

    /// Limits of a segmenter for frames of this size and a model with so many classes. All labels
    /// fit in a byte, whatever is asked for.
    pub fn limits(&self, (width, height): (u32, u32), classes: u32) -> Limits {
        let named = u32::try_from(items(&self.add_class).count()).unwrap_or(u32::MAX);
        let room = u32::from(UNLABELED_U8).saturating_sub(classes);
        Limits {
            extra_classes: self.extra_classes.max(named).min(room),
            smoothing: self.smoothing < 1.0,
            threads: self.threads,
            ..Limits::for_frames(width, height)
        }
    }

    /// Adds, removes and switches classes, so that they are those that the properties name.
    ///
    /// # Errors
    /// Naming the class. The classes before it are as wanted then.
    pub fn apply(&self, segmenter: &mut Segmenter<'_>) -> Result<(), Problem> {
        let added = segmenter.classes().filter(|class| class.origin != Origin::Bundle);
        let added: Vec<u16> = added.map(|class| class.label).collect();
        for label in added {
            segmenter.remove_class(label).map_err(|error| Problem::running(&error))?;
        }
        for item in items(&self.add_class) {
            add(segmenter, item)?;
        }
        let only = labels(segmenter, &self.only_class)?;
        let disabled = labels(segmenter, &self.disable_class)?;
        let all: Vec<u16> = segmenter.classes().map(|class| class.label).collect();
        for label in all {
            let wanted = only.is_empty() || only.contains(&label);
            let enabled = wanted && !disabled.contains(&label);
            let switched = segmenter.enable_class(label, enabled);
            switched.map_err(|error| Problem::running(&error))?;
        }
        Ok(())
    }
}

impl Default for Settings {
    fn default() -> Settings {
        Settings {
            bundle: None,
            output: Output::default(),
            opacity: Settings::OPACITY,
            add_class: None,
            only_class: None,
            disable_class: None,
            extra_classes: Settings::EXTRA_CLASSES,
            smoothing: 1.0,
            threads: 1,
            classes_changed: false,
        }
    }
}

/// The entries of a list with commas, without the spaces around them.
fn items(list: &Option<String>) -> impl Iterator<Item = &str> {
    let entries = list.as_deref().unwrap_or_default().split(',');
    entries.map(str::trim).filter(|entry| !entry.is_empty())
}

fn add(segmenter: &mut Segmenter<'_>, item: &str) -> Result<(), Problem> {
    let (name, words) = item.split_once('=').unwrap_or((item, item));
    let source = ClassSource::Meaning(Meaning::Word(words));
    match segmenter.add_class(&NewClass::named(name), &source) {
        Ok(_) => Ok(()),
        Err(error) if error.status() == Status::ClassTableFull => {
            let room = segmenter.vacancies();
            Err(Problem::setting(format!(
                "add-class {item}: {error}; extra-classes makes room, {room} is left"
            )))
        }
        Err(error) => Err(Problem::setting(format!("add-class {item}: {error}"))),
    }
}

fn labels(segmenter: &Segmenter<'_>, list: &Option<String>) -> Result<Vec<u16>, Problem> {
    let label = |name: &str| {
        let missing = || Problem::setting(format!("there is no class called {name:?}"));
        segmenter.find_class(name).ok_or_else(missing)
    };
    items(list).map(label).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_have_commas() {
        let of = |text: &str| {
            let list = Some(text.to_string());
            items(&list).map(str::to_string).collect::<Vec<_>>()
        };
        assert_eq!(of("cat, tabby=striped cat ,"), ["cat", "tabby=striped cat"]);
        assert!(of(" ,").is_empty());
        assert_eq!(items(&None).count(), 0);
    }

    #[test]
    fn there_is_room_for_all_that_are_named() {
        let settings = Settings {
            add_class: Some("a,b,c".to_string()),
            extra_classes: 2,
            ..Settings::default()
        };
        assert_eq!(settings.limits((8, 8), 11).extra_classes, 3);
        assert_eq!(settings.limits((8, 8), 253).extra_classes, 2);
        assert_eq!(settings.limits((8, 8), 300).extra_classes, 0);
        assert!(!settings.limits((8, 8), 11).smoothing);
    }
}
