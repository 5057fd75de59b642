//! Which classes are scored, and as what.

use super::protocol::{Background, ClassSet, Protocol};
use crate::train::data::{ClassList, Role, Roles};
use crate::train::error::{Error, Result};
use serde::{Deserialize, Serialize};
use std::format;
use std::string::String;
use std::vec::Vec;

/// Name of the class that [`Background`] is about.
const BACKGROUND: &str = "background";

/// As what a class is scored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Scored {
    /// As a seen class.
    Seen,
    /// As an unseen class.
    Unseen,
    /// Not at all: its pixels are void, and it does not compete.
    No,
}

/// The classes of a data set, and as what they are scored.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub struct Subject {
    names: Vec<String>,
    scored: Vec<Scored>,
}

impl Subject {
    /// The classes of a data set as the protocol has them.
    ///
    /// # Errors
    /// [`Error::Config`] if there are not as many roles as classes, or no class is left.
    pub fn new(classes: &ClassList, roles: &Roles, protocol: &Protocol) -> Result<Subject> {
        let roles = roles.as_slice();
        if roles.len() != classes.len() {
            let reason = format!("{} roles for {} classes", roles.len(), classes.len());
            return Err(Error::config(reason));
        }
        let scored = |(name, role): (&String, &Role)| match role {
            _ if name == BACKGROUND && protocol.background == Background::Ignored => Scored::No,
            Role::Seen if protocol.set == ClassSet::NovelOnly => Scored::No,
            Role::Seen => Scored::Seen,
            Role::Unseen => Scored::Unseen,
            Role::HeldOut | Role::Outside => Scored::No,
        };
        let scored: Vec<Scored> = classes.names().iter().zip(roles).map(scored).collect();
        let subject = Subject { names: classes.names().to_vec(), scored };
        if subject.counted().next().is_none() {
            return Err(Error::config("the protocol leaves no class to be scored"));
        }
        Ok(subject)
    }

    /// Takes a class out of the scores: its pixels are void.
    pub fn leave_out(&mut self, class: usize) {
        if let Some(scored) = self.scored.get_mut(class) {
            *scored = Scored::No;
        }
    }

    /// Number of classes of the data set.
    pub fn class_count(&self) -> usize {
        self.names.len()
    }

    /// Name of a class; empty if there is none of this number.
    pub fn name(&self, class: usize) -> &str {
        self.names.get(class).map_or("", String::as_str)
    }

    /// As what a class is scored; not at all if there is none of this number.
    pub fn scored(&self, class: usize) -> Scored {
        self.scored.get(class).copied().unwrap_or(Scored::No)
    }

    /// Numbers of the classes scored so, ascending.
    pub fn places(&self, wanted: Scored) -> impl Iterator<Item = usize> + Clone + '_ {
        let all = self.scored.iter().enumerate();
        all.filter(move |(_, scored)| **scored == wanted).map(|(class, _)| class)
    }

    /// Numbers of the classes that are scored at all, ascending.
    pub fn counted(&self) -> impl Iterator<Item = usize> + Clone + '_ {
        (0..self.class_count()).filter(|class| self.scored(*class) != Scored::No)
    }

    /// Whether lists have the same length, as those of a file may not.
    pub(super) fn is_whole(&self) -> bool {
        self.names.len() == self.scored.len()
    }
}
