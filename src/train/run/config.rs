//! What a run is told: a TOML file, described in `docs/training.md`.

use super::table::{differences, read, set, text};
use crate::convert::WeightTypeName;
use crate::segmenter::FusionSettings;
use crate::spectral::Fusion;
use crate::train::data::DataSource;
use crate::train::error::{Error, Result};
use crate::train::eval::Space;
use crate::train::methods::HoldOut;
use crate::train::task::LabelSetting;
use core::num::NonZeroUsize;
use core::time::Duration;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::format;
use std::path::{Path, PathBuf};
use std::string::{String, ToString};
use std::vec::Vec;
use toml::{Table, Value};

/// Most segments, as on a device.
const MAX_SEGMENTS: u32 = FusionSettings::of(Fusion::Soft { mix: 0.0 }).segments;

/// A configuration. Paths are relative to its file until [`Config::read`] has resolved them.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Number of every random choice.
    #[serde(default)]
    pub seed: u64,
    /// Threads; as many as there are processors without. The model does not depend on it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub threads: Option<NonZeroUsize>,
    /// Pictures that are trained on.
    pub data: DataSource,
    /// Pictures that the model is measured on.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub validation: Option<DataSource>,
    /// Which classes are seen.
    pub classes: ClassesConfig,
    /// Features of the pictures.
    pub features: FeaturesConfig,
    /// Embeddings of the classes.
    pub embeddings: EmbeddingsConfig,
    /// Settings of the method that differ from its preset; all of them once resolved.
    #[serde(default)]
    pub method: Table,
    /// How gamma is chosen; without, the method's own decision stays.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hold_out: Option<HoldOutConfig>,
    /// How the model is measured on the validation pictures.
    #[serde(default)]
    pub evaluation: EvaluationConfig,
    /// How often a checkpoint is written.
    #[serde(default)]
    pub checkpoints: Pace,
    /// What makes a bundle of the model; without it the run ends with the model's file.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bundle: Option<BundleConfig>,
}

/// Which classes are seen: `unseen` or `split`, one of them.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct ClassesConfig {
    /// Names of the unseen classes; all others are seen.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub unseen: Option<Vec<String>>,
    /// A published split (methods.md 1.4), such as "zs3-voc-4".
    #[serde(skip_serializing_if = "Option::is_none")]
    pub split: Option<String>,
    /// Classes whose pixels are void, such as "background" where it is not to be scored. With
    /// `unseen` only: a split says it itself.
    #[serde(default)]
    pub ignored: Vec<String>,
    /// What becomes of training pictures that show an unseen class.
    #[serde(default)]
    pub setting: LabelSetting,
    /// The class that stands for "none of the others" in the bundle; "background" if there is
    /// such a class.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub background: Option<String>,
}

/// Features of the pictures.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct FeaturesConfig {
    /// Files of `zsseg features` with the training pictures, one or more.
    pub stores: Vec<PathBuf>,
    /// Those with the validation pictures.
    #[serde(default)]
    pub validation_stores: Vec<PathBuf>,
    /// Names of the taps, in the order in which they are joined; all without.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub taps: Option<Vec<String>>,
    /// Rows and columns that the taps are brought to.
    pub grid: [usize; 2],
    /// File of a model with a decoder, such as that of a `contrastive` run: heads are then trained
    /// on what its decoder makes of the taps, and the decoder becomes part of the new model.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub decoder: Option<PathBuf>,
}

/// How gamma (methods.md 1.11) is chosen after training: seen classes play unseen ones in turn.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct HoldOutConfig {
    /// Most folds of two classes each; a training of the whole method per fold. 1 or more.
    pub folds: usize,
    /// How the folds are measured.
    pub measure: HoldOut,
}

impl Default for HoldOutConfig {
    fn default() -> HoldOutConfig {
        HoldOutConfig { folds: 4, measure: HoldOut::default() }
    }
}

/// How the model is measured on the validation pictures.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct EvaluationConfig {
    /// A protocol of `docs/evaluation.md` by name; measured in the network's frame.
    pub protocol: String,
    /// What the handicaps of the sweep are taken from.
    pub space: Space,
    /// Handicaps of the sweep, for information.
    pub gammas: Vec<f32>,
    /// Rounds of the bootstrap for the intervals; 0: none.
    pub bootstrap: u32,
    /// Rules of fusion that the model is measured with as well.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fusion: Option<FusionConfig>,
}

/// Masks moved towards spectral segments (methods.md 6.9, 6.10) before they are measured.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct FusionConfig {
    /// Rules, one or more: "select", "vote" or "soft", or with a number as in "vote=0.7".
    pub rules: Vec<FusionRule>,
    /// Segments: 0 (nothing changes) to 5.
    pub segments: u32,
    /// Stores with the validation pictures that segments are found from, such as those of another
    /// network; `validation_stores` without.
    pub stores: Vec<PathBuf>,
    /// The tap that segments are found from. Needed if `stores` have several; without `stores` and
    /// `tap` it is the features that the head works on.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tap: Option<String>,
    /// Most pixels of the frame between a border and what is scored as near it; 0: no such scores.
    pub border: u32,
}

impl Default for FusionConfig {
    fn default() -> FusionConfig {
        let rules = [
            Fusion::Select { threshold: 0.5 },
            Fusion::Vote { agreement: 0.6 },
            Fusion::Soft { mix: 0.5 },
        ];
        let rules = rules.map(FusionRule).to_vec();
        FusionConfig { rules, segments: 5, stores: Vec::new(), tap: None, border: 8 }
    }
}

impl FusionConfig {
    fn check(&self, has_validation: bool) -> Result<()> {
        let wrong = |reason: &str| Err(Error::config(format!("[evaluation.fusion] {reason}")));
        if !has_validation {
            return wrong("needs [validation]");
        }
        if self.rules.is_empty() {
            return wrong("`rules` is empty");
        }
        if self.segments > MAX_SEGMENTS {
            return wrong("`segments` must be 0 to 5");
        }
        Ok(())
    }
}

/// A rule of fusion, in a file a text.
#[derive(Clone, Copy, Debug, PartialEq, Deserialize, Serialize)]
#[serde(try_from = "String", into = "String")]
pub struct FusionRule(pub Fusion);

impl TryFrom<String> for FusionRule {
    type Error = crate::status::Error;

    fn try_from(text: String) -> core::result::Result<FusionRule, Self::Error> {
        text.parse().map(FusionRule)
    }
}

impl From<FusionRule> for String {
    fn from(rule: FusionRule) -> String {
        rule.0.to_string()
    }
}

impl Default for EvaluationConfig {
    fn default() -> EvaluationConfig {
        let protocol = "ours".to_string();
        let (space, gammas) = (Space::Logits, Vec::new());
        EvaluationConfig { protocol, space, gammas, bootstrap: 0, fusion: None }
    }
}

/// Embeddings of the classes.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct EmbeddingsConfig {
    /// Tables, whose vectors are put one behind another; one or more.
    pub tables: Vec<TableConfig>,
    /// Whether the vectors are divided by their lengths in the end.
    #[serde(default)]
    pub normalize: bool,
    /// Under which other names classes are looked up.
    #[serde(default)]
    pub aliases: Aliases,
}

/// A table of word vectors.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct TableConfig {
    /// Format of the file.
    pub format: Format,
    /// The file.
    pub file: PathBuf,
    /// The names of the rows, one a line, for [`Format::Npy`] only; without, the file's name with
    /// the ending `txt`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub names: Option<PathBuf>,
}

/// Format of a table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Format {
    /// A NumPy matrix, and a text file of names.
    Npy,
    /// Lines of a word and its numbers: GloVe, fastText, word2vec.
    Text,
    /// word2vec's binary form.
    Binary,
}

/// Other names of classes. Those of a list that comes along are for tables that lack a class under
/// its own name.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(untagged)]
pub enum Aliases {
    /// A list that comes along: "voc" or "none".
    Named(String),
    /// Name in the table by name of the class.
    Listed(BTreeMap<String, String>),
}

impl Aliases {
    /// Whether it is a list that comes along.
    pub(super) fn is_named(&self) -> bool {
        matches!(self, Aliases::Named(_))
    }
}

impl Default for Aliases {
    fn default() -> Aliases {
        Aliases::Listed(BTreeMap::new())
    }
}

/// How often a checkpoint is written: whichever comes first.
#[derive(Clone, Copy, Debug, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct Pace {
    /// After so many seconds; above 0.
    pub seconds: f64,
    /// After every so many steps of a stage.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub steps: Option<core::num::NonZeroU64>,
}

impl Default for Pace {
    fn default() -> Pace {
        Pace { seconds: 30.0, steps: None }
    }
}

impl Pace {
    /// Whether a checkpoint is due after `step` steps, and so long after the one before.
    pub(super) fn is_due(&self, step: u64, elapsed: Duration) -> bool {
        let by_steps = self.steps.is_some_and(|steps| step.is_multiple_of(steps.get()));
        by_steps || elapsed.as_secs_f64() >= self.seconds
    }
}

/// What makes a bundle of the model.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct BundleConfig {
    /// The network that the features came from.
    pub onnx: PathBuf,
    /// A pack file (`docs/pack.md`) with name, licence, provenance, input and preprocessing.
    pub pack: PathBuf,
    /// Word vectors for classes that come later: lines of a word and its numbers, or a NumPy
    /// table with the words in a text file beside it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub words: Option<PathBuf>,
    /// Only so many words, the first ones.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub word_limit: Option<usize>,
    /// Model card, Markdown.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub card: Option<PathBuf>,
    /// How the classifier's weights are stored.
    #[serde(default = "f32_weights")]
    pub weights: WeightTypeName,
}

fn f32_weights() -> WeightTypeName {
    WeightTypeName::F32
}

/// A value given on the command line, such as `method.rate=0.01`.
#[derive(Clone, Debug, PartialEq)]
pub struct Setting {
    /// Names of tables and of the field in them.
    pub path: Vec<String>,
    /// The value.
    pub value: Value,
}

impl Setting {
    /// Reads `table.field=value`. A value that is no TOML is a text.
    ///
    /// # Errors
    /// [`Error::Config`] without a name or without `=`.
    pub fn parse(given: &str) -> Result<Setting> {
        let wrong = || Error::config(format!("\"{given}\" is not of the form table.field=value"));
        let (path, value) = given.split_once('=').ok_or_else(wrong)?;
        let path: Vec<String> = path.trim().split('.').map(str::to_string).collect();
        if path.iter().any(String::is_empty) {
            return Err(wrong());
        }
        Ok(Setting { path, value: Setting::value(value) })
    }

    /// A value as TOML has it, or else a text.
    pub fn value(text: &str) -> Value {
        let text = text.trim();
        let table: Option<Table> = format!("value = {text}").parse().ok();
        let value = table.filter(|table| table.len() == 1).and_then(|mut it| it.remove("value"));
        value.unwrap_or_else(|| Value::String(text.to_string()))
    }
}

impl Config {
    /// Reads a file, changes what `settings` say, and makes its paths those seen from here.
    ///
    /// # Errors
    /// Naming the file and the field: no TOML, an unknown or missing field, a value of another
    /// type.
    pub fn read(path: &Path, settings: &[Setting]) -> Result<Config> {
        let text = std::fs::read_to_string(path).map_err(Error::file(path))?;
        let mut config = Config::parse(&text, settings).map_err(|error| {
            let about = format!("{}: {error}", path.display());
            Error::config(about)
        })?;
        let absolute = std::path::absolute(path).map_err(Error::file(path))?;
        config.resolve(absolute.parent().unwrap_or(Path::new("")));
        config.check().map_err(|error| Error::config(format!("{}: {error}", path.display())))?;
        Ok(config)
    }

    /// Reads the text of a file; paths stay as they are.
    ///
    /// # Errors
    /// As [`Config::read`], without the file's name.
    pub fn parse(text: &str, settings: &[Setting]) -> Result<Config> {
        let mut table: Table = text.parse().map_err(Error::config)?;
        if settings.is_empty() {
            // Errors of a text show the line.
            return toml::from_str(text).map_err(Error::config);
        }
        settings.iter().try_for_each(|setting| set(&mut table, &setting.path, &setting.value))?;
        read(table)
    }

    /// The text of a file with everything resolved.
    ///
    /// # Errors
    /// [`Error::Config`] for a number that TOML does not have.
    pub fn text(&self) -> Result<String> {
        text(self)
    }

    /// Names of the fields in which another configuration differs. Threads and how often
    /// checkpoints are written make no difference to the model, and are left out.
    ///
    /// # Errors
    /// As [`Config::text`].
    pub fn differences(&self, other: &Config) -> Result<Vec<String>> {
        let table = |config: &Config| -> Result<Table> {
            Table::try_from(config.essential()).map_err(Error::config)
        };
        Ok(differences(&table(self)?, &table(other)?))
    }

    /// What the model depends on.
    pub(super) fn essential(&self) -> Config {
        Config { threads: None, checkpoints: Pace::default(), ..self.clone() }
    }

    fn resolve(&mut self, folder: &Path) {
        let here = |path: &mut PathBuf| *path = folder.join(&*path);
        here(&mut self.data.root);
        self.validation.iter_mut().for_each(|data| here(&mut data.root));
        self.features.stores.iter_mut().for_each(here);
        self.features.validation_stores.iter_mut().for_each(here);
        self.features.decoder.iter_mut().for_each(here);
        if let Some(fusion) = &mut self.evaluation.fusion {
            fusion.stores.iter_mut().for_each(here);
        }
        for table in &mut self.embeddings.tables {
            here(&mut table.file);
            table.names.iter_mut().for_each(here);
        }
        if let Some(bundle) = &mut self.bundle {
            here(&mut bundle.onnx);
            here(&mut bundle.pack);
            bundle.words.iter_mut().chain(&mut bundle.card).for_each(here);
        }
    }

    fn check(&self) -> Result<()> {
        let wrong = |reason: &str| Err(Error::config(reason));
        match (&self.classes.unseen, &self.classes.split) {
            (None, None) => return wrong("[classes] needs `unseen` or `split`"),
            (Some(_), Some(_)) => return wrong("[classes] has both `unseen` and `split`"),
            (None, Some(_)) if !self.classes.ignored.is_empty() => {
                return wrong("[classes] `ignored` is for `unseen`; a split says it itself");
            }
            _ => {}
        }
        if self.hold_out.as_ref().is_some_and(|hold_out| hold_out.folds == 0) {
            return wrong("[hold_out] `folds` must be 1 or more");
        }
        if self.features.stores.is_empty() {
            return wrong("[features] `stores` is empty");
        }
        if self.validation.is_some() == self.features.validation_stores.is_empty() {
            return wrong("[validation] and [features] `validation_stores` go together");
        }
        if let Some(fusion) = &self.evaluation.fusion {
            fusion.check(self.validation.is_some())?;
        }
        if self.embeddings.tables.is_empty() {
            return wrong("[embeddings] `tables` is empty");
        }
        let named = self
            .embeddings
            .tables
            .iter()
            .find(|table| table.format != Format::Npy && table.names.is_some());
        if named.is_some() {
            return wrong("[embeddings] `names` is for `format = \"npy\"` only");
        }
        if self.checkpoints.seconds.is_nan() || self.checkpoints.seconds <= 0.0 {
            return wrong("[checkpoints] `seconds` must be above 0");
        }
        Ok(())
    }
}
