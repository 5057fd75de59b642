//! Classes as Python sees them.

use numpy::PyReadonlyArray1;
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use zsseg::classes::{ClassInfo, Origin};
use zsseg::segmenter::{ClassSource, Meaning};

/// A class of a segmenter: what it was when it was asked for.
#[pyclass(frozen, get_all, module = "zsseg")]
#[derive(Clone)]
pub struct Class {
    /// Its value in masks.
    label: u16,
    name: String,
    /// Display colour: red, green, blue.
    color: (u8, u8, u8),
    /// Whether pixels of this class were labelled in training.
    seen: bool,
    /// Whether the class stands for "none of the others".
    background: bool,
    /// Whether it takes part.
    enabled: bool,
    /// Added to its logits.
    bias: f32,
    /// How likely the class is beforehand, in any unit.
    prior: f32,
    /// Where its row comes from: "bundle", "row", "embedding", "word" or "generator".
    origin: &'static str,
}

impl Class {
    pub fn of(info: &ClassInfo<'_>) -> Class {
        let [red, green, blue] = info.color;
        Class {
            label: info.label,
            name: info.name.to_string(),
            color: (red, green, blue),
            seen: info.seen,
            background: info.background,
            enabled: info.enabled,
            bias: info.bias,
            prior: info.prior,
            origin: match info.origin {
                Origin::Bundle => "bundle",
                Origin::Row => "row",
                Origin::Embedding => "embedding",
                Origin::Word => "word",
                Origin::Generator => "generator",
            },
        }
    }
}

#[pymethods]
impl Class {
    fn __repr__(&self) -> String {
        let unseen = if self.seen { "" } else { ", unseen" };
        format!("<zsseg.Class {} {:?}{unseen}>", self.label, self.name)
    }
}

/// From where a class is made, copied out of Python's objects.
pub enum OwnedSource {
    Row { weights: Vec<f32>, bias: f32 },
    Meaning { meaning: OwnedMeaning, generate: bool },
}

/// [`Meaning`] with its own memory.
pub enum OwnedMeaning {
    Embedding(Vec<f32>),
    Word(String),
}

impl OwnedSource {
    /// From the arguments of `add_class`: a row, an embedding, or words; the class's own name where
    /// nothing is given.
    pub fn of(
        name: &str,
        word: Option<String>,
        embedding: Option<PyReadonlyArray1<'_, f32>>,
        row: Option<(PyReadonlyArray1<'_, f32>, f32)>,
        generate: bool,
    ) -> PyResult<OwnedSource> {
        let given = [word.is_some(), embedding.is_some(), row.is_some()];
        if given.into_iter().filter(|&given| given).count() > 1 {
            return Err(PyValueError::new_err("give one of word, embedding and row"));
        }
        if let Some((weights, bias)) = row {
            if generate {
                return Err(PyValueError::new_err("a row is not generated"));
            }
            return Ok(OwnedSource::Row { weights: weights.as_array().to_vec(), bias });
        }
        let meaning = match (embedding, word) {
            (Some(embedding), _) => OwnedMeaning::Embedding(embedding.as_array().to_vec()),
            (None, word) => OwnedMeaning::Word(word.unwrap_or_else(|| name.to_string())),
        };
        Ok(OwnedSource::Meaning { meaning, generate })
    }

    /// The library's form of the same.
    pub fn source(&self) -> ClassSource<'_> {
        match self {
            OwnedSource::Row { weights, bias } => ClassSource::Row { weights, bias: *bias },
            OwnedSource::Meaning { meaning, generate: false } => {
                ClassSource::Meaning(meaning.meaning())
            }
            OwnedSource::Meaning { meaning, generate: true } => {
                ClassSource::Generated(meaning.meaning())
            }
        }
    }
}

impl OwnedMeaning {
    fn meaning(&self) -> Meaning<'_> {
        match self {
            OwnedMeaning::Embedding(embedding) => Meaning::Embedding(embedding),
            OwnedMeaning::Word(word) => Meaning::Word(word),
        }
    }
}
