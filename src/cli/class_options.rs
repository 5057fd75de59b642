//! Options about the list of classes: `--add-class` and its relatives.

use super::failure::Usage;
use super::model::read_capped;
use super::suggest::{nearest, nearest_words, offer, unknown_word};
use crate::bundle::{ClassRow, RowSource, WeightValues};
use crate::classes::NewClass;
use crate::convert::read_vector;
use crate::limits::{Limits, MAX_EMBEDDING};
use crate::segmenter::{ClassSource, Meaning, Segmenter};
use crate::spec::{Class, check_name};
use crate::status::{Error, Status};
use anyhow::{Context, Result, anyhow, bail};
use core::str::FromStr;
use std::format;
use std::path::PathBuf;
use std::string::{String, ToString};
use std::vec;
use std::vec::Vec;

/// Largest file with an embedding: the longest one as f64, and a header.
const MAX_VECTOR_BYTES: u64 = 8 * MAX_EMBEDDING as u64 + 65_536;

/// Classes that come, change and go before the first picture.
#[derive(clap::Args, Clone, Debug, Default)]
pub struct ClassArgs {
    /// Add a class that no training mask showed: by its name, found in the model's word table; by
    /// other words (tabby="striped cat"); or by an embedding (tabby=VECTOR.npy, one dimension).
    #[arg(long, value_name = "NAME[=MEANING]")]
    add_class: Vec<ClassSpec>,
    /// Give a class of the model another meaning, written as for --add-class.
    #[arg(long, value_name = "NAME[=MEANING]")]
    replace_class: Vec<ClassSpec>,
    /// Fit the rows of these classes to features from the model's generator, instead of
    /// projecting their embeddings.
    #[arg(long)]
    generate: bool,
    /// Take only the classes named so, this one and others.
    #[arg(long, value_name = "NAME")]
    only_class: Vec<String>,
    /// Leave a class out.
    #[arg(long, value_name = "NAME")]
    disable_class: Vec<String>,
    /// Add a number to the logits of a class.
    #[arg(long, value_name = "NAME=NUMBER")]
    class_bias: Vec<ClassNumber>,
    /// How likely a class is beforehand, in any unit; 1 for classes that are not named.
    #[arg(long, value_name = "NAME=NUMBER")]
    class_prior: Vec<ClassNumber>,
}

/// A class's name and what it means.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClassSpec {
    name: String,
    meaning: Told,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Told {
    Words(String),
    File(PathBuf),
}

impl FromStr for ClassSpec {
    type Err = String;

    fn from_str(text: &str) -> core::result::Result<ClassSpec, String> {
        let (name, meaning) = text.split_once('=').unwrap_or((text, text));
        check_name(name).map_err(|error| error.to_string())?;
        if meaning.trim().is_empty() {
            return Err("nothing stands behind the equals sign".to_string());
        }
        let is_file = text.contains('=') && meaning.ends_with(".npy");
        let meaning = match is_file {
            true => Told::File(meaning.into()),
            false => Told::Words(meaning.to_string()),
        };
        Ok(ClassSpec { name: name.to_string(), meaning })
    }
}

/// A class and a number: `NAME=NUMBER`.
#[derive(Clone, Debug, PartialEq)]
struct ClassNumber {
    name: String,
    number: f32,
}

impl FromStr for ClassNumber {
    type Err = String;

    fn from_str(text: &str) -> core::result::Result<ClassNumber, String> {
        let (name, number) = text.rsplit_once('=').ok_or("write it like NAME=0.5")?;
        let number: f32 = number.parse().map_err(|_| format!("{number} is not a number"))?;
        if !number.is_finite() {
            return Err(format!("{number} is not finite"));
        }
        Ok(ClassNumber { name: name.to_string(), number })
    }
}

/// A class that is to be added, its files read.
#[derive(Clone, Debug, PartialEq)]
pub struct ClassToAdd {
    /// Its name.
    pub name: String,
    meaning: OwnedMeaning,
    /// Whether its row comes from the generator.
    generate: bool,
}

#[derive(Clone, Debug, PartialEq)]
enum OwnedMeaning {
    Words(String),
    Embedding { file: PathBuf, numbers: Vec<f32> },
}

/// A class that was added, as it goes into a bundle.
pub struct KeptClass {
    name: String,
    color: [u8; 3],
    weights: Vec<f32>,
    bias: f32,
}

impl KeptClass {
    /// The class for the writer.
    pub fn row(&self) -> ClassRow<'_> {
        let KeptClass { name, color, weights, bias } = self;
        let class = Class { name, color: *color, seen: false, background: false, bias: 0.0 };
        let source = RowSource::New { weights: WeightValues::F32(weights), bias: *bias };
        ClassRow { class, source }
    }
}

impl ClassSpec {
    /// Reads what the class needs.
    pub fn read(&self, generate: bool) -> Result<ClassToAdd> {
        let meaning = match &self.meaning {
            Told::Words(words) => OwnedMeaning::Words(words.clone()),
            Told::File(path) => {
                let bytes = read_capped(path, MAX_VECTOR_BYTES)?;
                let numbers = read_vector(&bytes).with_context(|| path.display().to_string())?;
                OwnedMeaning::Embedding { file: path.clone(), numbers }
            }
        };
        Ok(ClassToAdd { name: self.name.clone(), meaning, generate })
    }
}

impl ClassToAdd {
    /// Where its row comes from.
    pub fn source(&self) -> ClassSource<'_> {
        let meaning = match &self.meaning {
            OwnedMeaning::Words(words) => Meaning::Word(words),
            OwnedMeaning::Embedding { numbers, .. } => Meaning::Embedding(numbers),
        };
        match self.generate {
            true => ClassSource::Generated(meaning),
            false => ClassSource::Meaning(meaning),
        }
    }

    /// Adds the class, in a colour that no other has, and returns its label.
    ///
    /// # Errors
    /// Naming the class; for an unknown word, the word and known ones that resemble it.
    pub fn add(&self, segmenter: &mut Segmenter<'_>) -> Result<u16> {
        let class = NewClass::named(&self.name);
        let added = segmenter.add_class(&class, &self.source());
        added.map_err(|error| self.explain(segmenter, error))
    }

    /// As [`ClassToAdd::add`]; returns the class with its row as well, for a bundle.
    pub fn add_and_keep(&self, segmenter: &mut Segmenter<'_>) -> Result<KeptClass> {
        let mut weights = vec![0.0; segmenter.bundle().head().channels as usize];
        let made = segmenter.class_row(&self.source(), &mut weights);
        let bias = made.map_err(|error| self.explain(segmenter, error))?;
        let color = segmenter.free_color();
        let class = NewClass { color: Some(color), ..NewClass::named(&self.name) };
        let added = segmenter.add_class(&class, &ClassSource::Row { weights: &weights, bias });
        added.map_err(|error| self.explain(segmenter, error))?;
        Ok(KeptClass { name: self.name.clone(), color, weights, bias })
    }

    fn replace(&self, segmenter: &mut Segmenter<'_>) -> Result<()> {
        let label = label_of(segmenter, &self.name)?;
        let replaced = segmenter.replace_class(label, &self.source());
        replaced.map_err(|error| self.explain(segmenter, error))
    }

    /// An error of [`Segmenter::add_class`] in the words of the command line.
    pub fn explain(&self, segmenter: &Segmenter<'_>, error: Error) -> anyhow::Error {
        let name = &self.name;
        let unknown = match (&self.meaning, segmenter.bundle().words()) {
            (OwnedMeaning::Words(phrase), Some(words)) => {
                unknown_word(&words, phrase).map(|word| (word, nearest_words(&words, word)))
            }
            _ => None,
        };
        match (error.status(), unknown, &self.meaning) {
            (Status::UnknownWord, Some((word, near)), _) => {
                let offered = offer(&near);
                anyhow!("class \"{name}\": the model's table has no word \"{word}\"{offered}")
            }
            (Status::ClassExists, ..) => anyhow!("there is a class called \"{name}\" already"),
            (_, _, OwnedMeaning::Embedding { file, .. }) => anyhow::Error::new(error)
                .context(format!("class \"{name}\" from {}", file.display())),
            _ => anyhow::Error::new(error).context(format!("class \"{name}\"")),
        }
    }
}

/// The label of a class of the table.
///
/// # Errors
/// Naming the classes that are called nearly so.
pub fn label_of(segmenter: &Segmenter<'_>, name: &str) -> Result<u16> {
    segmenter.find_class(name).ok_or_else(|| {
        let offered = offer(&nearest(name, segmenter.classes().map(|class| class.name)));
        anyhow!("there is no class called \"{name}\"{offered}")
    })
}

impl ClassArgs {
    /// The limits with room for these classes.
    pub fn limits(&self, limits: Limits) -> Limits {
        let count = self.add_class.len() + self.replace_class.len();
        let extra_classes = u32::try_from(count).unwrap_or(u32::MAX);
        Limits { extra_classes, generator: self.generate, ..limits }
    }

    /// Changes the classes.
    ///
    /// # Errors
    /// Naming the class, and for a word or class that is not known others that resemble it.
    pub fn apply(&self, segmenter: &mut Segmenter<'_>) -> Result<()> {
        if self.generate && self.add_class.is_empty() && self.replace_class.is_empty() {
            let text = "--generate has no use without --add-class or --replace-class";
            bail!(Usage(text.to_string()));
        }
        for class in &self.replace_class {
            class.read(self.generate)?.replace(segmenter)?;
        }
        for class in &self.add_class {
            class.read(self.generate)?.add(segmenter)?;
        }
        for ClassNumber { name, number } in &self.class_bias {
            segmenter.set_class_bias(label_of(segmenter, name)?, *number)?;
        }
        for ClassNumber { name, number } in &self.class_prior {
            let set = segmenter.set_class_prior(label_of(segmenter, name)?, *number);
            set.with_context(|| format!("--class-prior {name}={number}"))?;
        }
        self.choose(segmenter)
    }

    /// Lets only some of the classes take part.
    fn choose(&self, segmenter: &mut Segmenter<'_>) -> Result<()> {
        let labels = |names: &[String]| -> Result<Vec<u16>> {
            names.iter().map(|name| label_of(segmenter, name)).collect()
        };
        let (only, disabled) = (labels(&self.only_class)?, labels(&self.disable_class)?);
        let all: Vec<u16> = segmenter.classes().map(|class| class.label).collect();
        for label in all {
            let left_out = !only.is_empty() && !only.contains(&label);
            if left_out || disabled.contains(&label) {
                segmenter.enable_class(label, false)?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn classes_are_told_by_name_words_or_file() {
        let told = |text: &str| text.parse::<ClassSpec>().map(|spec| (spec.name, spec.meaning));
        let words = |text: &str| Told::Words(text.to_string());
        assert_eq!(told("cat"), Ok(("cat".into(), words("cat"))));
        assert_eq!(told("tabby=striped cat"), Ok(("tabby".into(), words("striped cat"))));
        assert_eq!(told("a=b=c"), Ok(("a".into(), words("b=c"))));
        assert_eq!(told("a=x/b.npy"), Ok(("a".into(), Told::File("x/b.npy".into()))));
        assert_eq!(told("a.npy"), Ok(("a.npy".into(), words("a.npy"))));
        for wrong in ["", "=cat", "cat=", "cat= ", "c\nat", &"c".repeat(64)] {
            assert!(told(wrong).is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn numbers_stand_behind_the_last_equals_sign() {
        let told = |text: &str| text.parse::<ClassNumber>().map(|told| (told.name, told.number));
        assert_eq!(told("a=b=-0.5"), Ok(("a=b".into(), -0.5)));
        for wrong in ["a", "a=", "a=x", "a=nan", "a=inf"] {
            assert!(told(wrong).is_err(), "{wrong}");
        }
    }
}
