//! What is known about every pixel of a picture.

use super::error::{DataError, Result};
use std::format;
use std::vec;
use std::vec::Vec;

/// What is known about a pixel.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Label {
    /// It shows this class.
    Class(u16),
    /// It shows something whose class is not known, or hidden from the training: self-training
    /// may guess it, and no score counts it.
    Unlabelled,
    /// It shows nothing certain, such as the border of an object: neither training nor a score
    /// looks at it.
    Void,
}

/// Most classes of a map of bytes; above are the two sentinels.
const MAX_CLASSES_U8: usize = 254;
/// Most classes at all.
pub const MAX_CLASSES: usize = 65_534;

/// One label per pixel, row by row: a byte each for up to 254 classes, two bytes for more.
///
/// Beside the classes there are two sentinels, the two largest numbers of the type. Both are
/// larger than any class, so that [`crate::metrics::Confusion::add`] ignores such pixels.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LabelMap {
    width: u32,
    height: u32,
    classes: usize,
    plane: LabelPlane,
}

/// The labels as numbers, for loops that want no enum.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LabelPlane {
    /// Up to 254 classes: 254 is unlabelled, 255 void.
    U8(Vec<u8>),
    /// More: 65,534 is unlabelled, 65,535 void.
    U16(Vec<u16>),
}

/// How many pixels have each label.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Histogram {
    /// Pixels of each class.
    pub classes: Vec<u64>,
    /// Pixels without a label.
    pub unlabelled: u64,
    /// Void pixels.
    pub void: u64,
}

impl LabelMap {
    /// A map of the given labels, `width * height` of them.
    ///
    /// # Errors
    /// [`DataError::Argument`] for another number of labels, more than [`MAX_CLASSES`] classes,
    /// or a label that is no class.
    pub fn new(width: u32, height: u32, classes: usize, labels: &[Label]) -> Result<LabelMap> {
        let pixels = u64::from(width) * u64::from(height);
        if labels.len() as u64 != pixels {
            let reason = format!("{} labels for {width}x{height} pixels", labels.len());
            return Err(DataError::argument(reason));
        }
        if classes > MAX_CLASSES {
            let reason = format!("{classes} classes; at most {MAX_CLASSES} are possible");
            return Err(DataError::argument(reason));
        }
        let wrong = |label: &&Label| matches!(label, Label::Class(id) if *id as usize >= classes);
        if let Some(label) = labels.iter().find(wrong) {
            return Err(DataError::argument(format!("{label:?} of {classes} classes")));
        }
        let plane = match classes <= MAX_CLASSES_U8 {
            true => LabelPlane::U8(labels.iter().map(|label| label.to_u8()).collect()),
            false => LabelPlane::U16(labels.iter().map(|label| label.to_u16()).collect()),
        };
        Ok(LabelMap { width, height, classes, plane })
    }

    /// Columns.
    pub fn width(&self) -> u32 {
        self.width
    }

    /// Rows.
    pub fn height(&self) -> u32 {
        self.height
    }

    /// Number of classes that labels may name.
    pub fn classes(&self) -> usize {
        self.classes
    }

    /// The labels as numbers.
    pub fn plane(&self) -> &LabelPlane {
        &self.plane
    }

    /// Label of a pixel; `None` outside.
    pub fn get(&self, x: u32, y: u32) -> Option<Label> {
        if x >= self.width {
            return None;
        }
        let at = y as usize * self.width as usize + x as usize;
        match &self.plane {
            LabelPlane::U8(plane) => plane.get(at).map(|&raw| Label::from_u8(raw)),
            LabelPlane::U16(plane) => plane.get(at).map(|&raw| Label::from_u16(raw)),
        }
    }

    /// All labels, row by row.
    pub fn iter(&self) -> impl Iterator<Item = Label> + '_ {
        let (narrow, wide): (&[u8], &[u16]) = match &self.plane {
            LabelPlane::U8(plane) => (plane, &[]),
            LabelPlane::U16(plane) => (&[], plane),
        };
        let narrow = narrow.iter().map(|&raw| Label::from_u8(raw));
        narrow.chain(wide.iter().map(|&raw| Label::from_u16(raw)))
    }

    /// Counts the labels.
    pub fn histogram(&self) -> Histogram {
        let mut found = Histogram { classes: vec![0; self.classes], unlabelled: 0, void: 0 };
        for label in self.iter() {
            match label {
                Label::Class(id) => {
                    if let Some(count) = found.classes.get_mut(usize::from(id)) {
                        *count += 1;
                    }
                }
                Label::Unlabelled => found.unlabelled += 1,
                Label::Void => found.void += 1,
            }
        }
        found
    }

    /// Whether a pixel has one of the classes for which `wanted` says so. Pictures for which it
    /// does about the unseen classes are left out by the zero-shot protocol (methods.md 1.1).
    pub fn contains(&self, wanted: impl Fn(u16) -> bool) -> bool {
        self.iter().any(|label| matches!(label, Label::Class(id) if wanted(id)))
    }

    /// The map with every class replaced by what `replace` makes of it; unlabelled and void
    /// pixels stay.
    ///
    /// # Errors
    /// As [`LabelMap::new`], if a new label is none of `classes` classes.
    pub fn relabelled(&self, classes: usize, replace: impl Fn(u16) -> Label) -> Result<LabelMap> {
        let labels: Vec<Label> = self
            .iter()
            .map(|label| match label {
                Label::Class(id) => replace(id),
                other => other,
            })
            .collect();
        LabelMap::new(self.width, self.height, classes, &labels)
    }

    /// A map of other pixels of this one; the plane has `width * height` labels.
    pub(super) fn with_plane(&self, width: u32, height: u32, plane: LabelPlane) -> LabelMap {
        LabelMap { width, height, classes: self.classes, plane }
    }
}

impl Label {
    fn to_u8(self) -> u8 {
        match self {
            Label::Class(id) => id as u8,
            Label::Unlabelled => u8::MAX - 1,
            Label::Void => u8::MAX,
        }
    }

    fn to_u16(self) -> u16 {
        match self {
            Label::Class(id) => id,
            Label::Unlabelled => u16::MAX - 1,
            Label::Void => u16::MAX,
        }
    }

    fn from_u8(raw: u8) -> Label {
        match raw {
            u8::MAX => Label::Void,
            254 => Label::Unlabelled,
            id => Label::Class(id.into()),
        }
    }

    fn from_u16(raw: u16) -> Label {
        match raw {
            u16::MAX => Label::Void,
            65_534 => Label::Unlabelled,
            id => Label::Class(id),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use Label::{Class, Unlabelled, Void};

    #[test]
    fn both_widths_keep_all_three_states() {
        for (classes, last) in [(254, 253), (255, 254), (300, 255), (MAX_CLASSES, 65_533)] {
            let labels = [Class(0), Class(last), Unlabelled, Void, Class(1), Void];
            let map = LabelMap::new(3, 2, classes, &labels).unwrap();
            assert_eq!(matches!(map.plane(), LabelPlane::U8(_)), classes <= 254);
            assert_eq!(map.iter().collect::<Vec<_>>(), labels);
            assert_eq!((map.get(1, 0), map.get(0, 1)), (Some(Class(last)), Some(Void)));
            assert_eq!((map.get(3, 0), map.get(0, 2)), (None, None));
            let counts = map.histogram();
            assert_eq!((counts.unlabelled, counts.void), (1, 2));
            assert_eq!(counts.classes.iter().sum::<u64>(), 3);
            assert_eq!(counts.classes.get(usize::from(last)), Some(&1));
        }
    }

    #[test]
    fn classes_can_be_hidden() {
        let map = LabelMap::new(4, 1, 3, &[Class(0), Class(2), Void, Class(1)]).unwrap();
        assert!(map.contains(|id| id == 2) && !map.contains(|id| id == 3));
        let hide = |id| if id == 2 { Unlabelled } else { Class(id) };
        let hidden = map.relabelled(3, hide).unwrap();
        let found: Vec<Label> = hidden.iter().collect();
        assert_eq!(found, [Class(0), Unlabelled, Void, Class(1)]);
        assert!(!hidden.contains(|id| id == 2));
        assert!(map.relabelled(2, Class).is_err());
    }

    #[test]
    fn maps_that_do_not_fit_are_refused() {
        assert!(LabelMap::new(2, 1, 3, &[Void]).is_err());
        assert!(LabelMap::new(1, 1, 3, &[Class(3)]).is_err());
        assert!(LabelMap::new(1, 1, MAX_CLASSES + 1, &[Void]).is_err());
        assert!(LabelMap::new(u32::MAX, u32::MAX, 3, &[]).is_err());
    }
}
