//! Names of classes in an order.

use super::error::{DataError, Result};
use super::lists::lines_of;
use std::collections::BTreeMap;
use std::format;
use std::path::Path;
use std::string::{String, ToString};
use std::vec::Vec;

/// The classes of a data set. A class's number is its place here; between data sets, splits and
/// tables of embeddings classes are matched by name only (methods.md 1.3).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClassList {
    names: Vec<String>,
    places: BTreeMap<String, usize>,
}

impl ClassList {
    /// A list of the names.
    ///
    /// # Errors
    /// [`DataError::Argument`] for no names, an empty one, one that occurs twice, or more than a
    /// [`super::LabelMap`] holds.
    pub fn new(names: &[impl AsRef<str>]) -> Result<ClassList> {
        if names.is_empty() || names.len() > super::label::MAX_CLASSES {
            return Err(DataError::argument(format!("{} classes", names.len())));
        }
        let mut list = ClassList { names: Vec::new(), places: BTreeMap::new() };
        for (place, name) in names.iter().map(AsRef::as_ref).enumerate() {
            if name.is_empty() {
                return Err(DataError::argument(format!("class {place} has no name")));
            }
            if let Some(before) = list.places.insert(name.to_string(), place) {
                let reason = format!("classes {before} and {place} are both \"{name}\"");
                return Err(DataError::argument(reason));
            }
            list.names.push(name.to_string());
        }
        Ok(list)
    }

    /// Reads one name a line. The number of the line, counted from 0, is the class's number in
    /// the masks, so that an empty line is an error except at the end of the file.
    ///
    /// # Errors
    /// Naming the file.
    pub fn read(path: &Path) -> Result<ClassList> {
        let text = std::fs::read_to_string(path).map_err(DataError::file(path))?;
        let names: Vec<&str> = lines_of(text.trim_end()).collect();
        ClassList::new(&names).map_err(|error| DataError::list(path, None, error))
    }

    /// Number of classes, 1 or more.
    pub fn len(&self) -> usize {
        self.names.len()
    }

    /// Whether there are none: never.
    pub fn is_empty(&self) -> bool {
        self.names.is_empty()
    }

    /// The names in order.
    pub fn names(&self) -> &[String] {
        &self.names
    }

    /// Number of the class of this name.
    pub fn place(&self, name: &str) -> Option<usize> {
        self.places.get(name).copied()
    }

    /// Numbers of the classes of these names.
    ///
    /// # Errors
    /// [`DataError::UnknownClasses`] with all that are not in the list.
    pub fn places(&self, names: &[impl AsRef<str>]) -> Result<Vec<usize>> {
        let names = || names.iter().map(AsRef::as_ref);
        let unknown = names().filter(|name| !self.places.contains_key(*name));
        let unknown: Vec<String> = unknown.map(str::to_string).collect();
        if !unknown.is_empty() {
            return Err(DataError::UnknownClasses { names: unknown });
        }
        Ok(names().filter_map(|name| self.place(name)).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_found_or_all_unknown_ones_listed() {
        let list = ClassList::new(&["sky", "road", "car"]).unwrap();
        assert_eq!(list.places(&["car", "sky"]).unwrap(), [2, 0]);
        let error = list.places(&["cow", "sky", "Car"]).unwrap_err().to_string();
        assert!(error.ends_with("cow, Car"), "{error}");
    }

    #[test]
    fn lists_need_different_names() {
        let error = |names: &[&str]| ClassList::new(names).unwrap_err().to_string();
        assert!(error(&[]).contains("0 classes"));
        assert!(error(&["a", ""]).contains("class 1"));
        assert!(error(&["a", "b", "a"]).contains("classes 0 and 2"));
    }
}
