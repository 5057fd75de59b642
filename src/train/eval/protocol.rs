//! How results are measured: every switch that changes published figures (methods.md 1.2).

use crate::metrics::Absent;
use crate::train::error::{Error, Result};
use serde::{Deserialize, Serialize};
use std::format;
use std::path::Path;
use std::string::{String, ToString};

/// How results are measured. A file of these names every switch: none has a default.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Protocol {
    /// What it is called in reports.
    pub name: String,
    /// How a class that occurs neither in the truth nor in the masks enters a mean.
    pub absent_class: AbsentClass,
    /// What becomes of the class called "background".
    pub background: Background,
    /// At which size truth and prediction are compared.
    pub resolution: Resolution,
    /// Which classes compete.
    pub set: ClassSet,
    /// How few-shot scores count pixels whose truth is void. All others leave them out.
    pub void: Void,
    /// Whether few-shot scores are given as well (see [`super::FewShot`]).
    pub few_shot: bool,
    /// Whether the truth chooses among several masks, as SAZS's published figures have it
    /// (methods.md 6.10). Only [`super::Episodes`] can: an evaluation refuses it, because a
    /// [`super::Predictor`] gives one mask a picture.
    pub oracle: bool,
    /// Batch of a loader that drops an incomplete last batch (STRICT's, methods.md 3.6); 0 drops
    /// nothing.
    pub drop_last: usize,
}

/// How a class that occurs nowhere enters a mean.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum AbsentClass {
    /// Not at all.
    Nan,
    /// As 0 (ZS3).
    Zero,
}

impl From<AbsentClass> for Absent {
    fn from(absent: AbsentClass) -> Absent {
        match absent {
            AbsentClass::Nan => Absent::Skip,
            AbsentClass::Zero => Absent::Zero,
        }
    }
}

/// What becomes of the class called "background".
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Background {
    /// It is a class like the others, and a seen one.
    Class0Seen,
    /// Its pixels are void, and it does not compete.
    Ignored,
}

/// At which size truth and prediction are compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Resolution {
    /// At the picture's own: what a product is asked for.
    Native,
    /// In the frame of the network's input, padding void: for sweeps over stored features.
    Frame,
    /// Picture and truth squashed to a square of this side, before the network.
    Warp(u32),
    /// Picture and truth brought to this shorter side, before the network.
    ShortSide(u32),
}

/// Which classes compete.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum ClassSet {
    /// Seen and unseen ones.
    Generalized,
    /// Unseen ones only; pixels of seen ones are void.
    NovelOnly,
}

/// How few-shot scores count pixels whose truth is void.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Void {
    /// Not at all.
    Masked,
    /// As wrong for whichever side was predicted, as SAZS's published evaluator does
    /// (methods.md 6.11).
    AlwaysWrong,
}

/// Longest side that a picture is brought to.
const MAX_SIDE: u32 = crate::limits::MAX_FRAME_SIDE;

/// Name and text of the presets.
const PRESETS: [(&str, &str); 5] = [
    ("ours", include_str!("presets/ours.toml")),
    ("zs3", include_str!("presets/zs3.toml")),
    ("spnet", include_str!("presets/spnet.toml")),
    ("strict", include_str!("presets/strict.toml")),
    ("sazs", include_str!("presets/sazs.toml")),
];

impl Protocol {
    /// Names of the presets.
    pub fn names() -> impl Iterator<Item = &'static str> {
        PRESETS.iter().map(|(name, _)| *name)
    }

    /// The preset of this name.
    ///
    /// # Errors
    /// [`Error::Config`] with all names, if there is none.
    pub fn named(name: &str) -> Result<Protocol> {
        let Some((_, text)) = PRESETS.iter().find(|(found, _)| *found == name) else {
            let names: std::vec::Vec<_> = Protocol::names().collect();
            let reason = format!("no protocol is named \"{name}\", only {}", names.join(", "));
            return Err(Error::config(reason));
        };
        Protocol::parse(text)
    }

    /// Reads a protocol from TOML.
    ///
    /// # Errors
    /// [`Error::Config`] for a switch that is missing, unknown or outside its range.
    pub fn parse(text: &str) -> Result<Protocol> {
        let protocol: Protocol =
            toml::from_str(text).map_err(|error| Error::config(error.to_string().trim_end()))?;
        if let Resolution::Warp(side) | Resolution::ShortSide(side) = protocol.resolution
            && !(1..=MAX_SIDE).contains(&side)
        {
            return Err(Error::config(format!("a side of {side}: it has to be 1 to {MAX_SIDE}")));
        }
        Ok(protocol)
    }

    /// Reads a protocol from a file.
    ///
    /// # Errors
    /// [`Error::File`]; [`Error::Broken`] as [`Protocol::parse`].
    pub fn read(path: &Path) -> Result<Protocol> {
        let text = std::fs::read_to_string(path).map_err(Error::file(path))?;
        Protocol::parse(&text).map_err(|error| Error::broken(path, error))
    }

    /// How many of `pictures` pictures are looked at.
    pub fn pictures(&self, pictures: usize) -> usize {
        match self.drop_last {
            0 => pictures,
            batch => pictures - pictures % batch,
        }
    }
}

impl Resolution {
    /// Width and height at which a picture of this size is compared; `None` for
    /// [`Resolution::Frame`], which depends on the network. The longer side of
    /// [`Resolution::ShortSide`] is cut off to whole pixels, as ZS3's loader does.
    pub fn size(self, (width, height): (u32, u32)) -> Option<(u32, u32)> {
        let longer = |side: u32, long: u32, short: u32| {
            let scaled = u64::from(side) * u64::from(long) / u64::from(short.max(1));
            u32::try_from(scaled).unwrap_or(u32::MAX)
        };
        match self {
            Resolution::Native => Some((width, height)),
            Resolution::Frame => None,
            Resolution::Warp(side) => Some((side, side)),
            Resolution::ShortSide(side) if width > height => {
                Some((longer(side, width, height), side))
            }
            Resolution::ShortSide(side) => Some((side, longer(side, height, width))),
        }
    }
}
