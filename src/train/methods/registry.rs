//! The methods by name, with their presets.

use super::{
    Codistill, CodistillSettings, ContrastiveSettings, ContrastiveTraining, Layout, MaskDistill,
    MaskDistillSettings, Ridge, RidgeSettings, Sazs, SazsSettings, SpNet, SpNetSettings, Strict,
    StrictSettings, Supervised, SupervisedSettings, Zs3, Zs3Settings, Zs5, Zs5Settings, ZsMmd,
    ZsMmdSettings,
};
use crate::train::engine::{CpuEngine, Engine};
use crate::train::error::{Error, Result};
use crate::train::stage::Method;
use crate::train::task::Task;
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::boxed::Box;
use std::format;
use std::string::String;
use std::vec::Vec;
use toml::{Table, Value};

/// Which settings a method starts from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum Preset {
    /// Those that were found best here.
    #[default]
    Default,
    /// Those of the paper.
    Paper,
}

impl Preset {
    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Preset::Default => "default",
            Preset::Paper => "paper",
        }
    }
}

/// Texts of the presets of a method, in TOML.
#[derive(Clone, Copy, Debug)]
pub struct Presets {
    /// All settings.
    pub default: &'static str,
    /// Those in which the paper differs, if one says any.
    pub paper: Option<&'static str>,
}

/// Makes a method of its settings, on an engine.
pub type Build<S, E> = for<'a> fn(&'a E, &'a Task<'a>, S) -> Result<Box<dyn Method + 'a>>;

/// [`Build`] without the settings' type.
trait Recipe<E>: Send + Sync {
    fn build<'a>(
        &self,
        engine: &'a E,
        task: &'a Task<'a>,
        settings: Table,
    ) -> Result<Box<dyn Method + 'a>>;
}

struct RecipeOf<S, E>(Build<S, E>);

impl<S: DeserializeOwned, E> Recipe<E> for RecipeOf<S, E> {
    fn build<'a>(
        &self,
        engine: &'a E,
        task: &'a Task<'a>,
        settings: Table,
    ) -> Result<Box<dyn Method + 'a>> {
        self.0(engine, task, read(settings)?)
    }
}

/// A method, on an engine.
pub struct Entry<E = CpuEngine> {
    name: &'static str,
    presets: Presets,
    complete: fn(Table) -> Result<Table>,
    recipe: Box<dyn Recipe<E>>,
}

impl<E: 'static> Entry<E> {
    /// A method whose settings are an `S`, which TOML can say.
    pub fn new<S>(name: &'static str, presets: Presets, build: Build<S, E>) -> Entry<E>
    where
        S: Serialize + DeserializeOwned + 'static,
    {
        let recipe = Box::new(RecipeOf(build));
        Entry { name, presets, complete: complete::<S>, recipe }
    }

    /// Its name on the command line.
    pub fn name(&self) -> &'static str {
        self.name
    }

    /// All settings: the preset's, where `over` has no others.
    ///
    /// # Errors
    /// [`Error::Config`] naming the field that is unknown or of another type.
    pub fn settings(&self, preset: Preset, over: &Table) -> Result<Table> {
        let mut table = self.preset(self.presets.default)?;
        if preset == Preset::Paper {
            let missing = || Error::config(format!("{} has no preset of a paper", self.name));
            lay_over(&mut table, &self.preset(self.presets.paper.ok_or_else(missing)?)?);
        }
        lay_over(&mut table, over);
        let about = |error| Error::config(format!("[method] of {}: {error}", self.name));
        (self.complete)(table).map_err(about)
    }

    /// The method with these settings, all of them.
    ///
    /// # Errors
    /// [`Error::Config`] if they do not fit, to one another or to the task.
    pub fn build<'a>(
        &self,
        engine: &'a E,
        task: &'a Task<'a>,
        settings: &Table,
    ) -> Result<Box<dyn Method + 'a>> {
        self.recipe.build(engine, task, settings.clone())
    }

    fn preset(&self, text: &str) -> Result<Table> {
        text.parse().map_err(|error| Error::config(format!("preset of {}: {error}", self.name)))
    }
}

/// Methods on an engine, by default the processor.
pub struct Registry<E = CpuEngine>(Vec<Entry<E>>);

impl Registry {
    /// The methods of this library.
    pub fn all() -> Registry {
        let mut all = Registry::new().with(Entry::new::<RidgeSettings>(
            "ridge",
            Presets { default: include_str!("../presets/ridge.toml"), paper: None },
            |engine, task, settings: RidgeSettings| {
                Ok(Box::new(Ridge::new(engine, task, settings)?))
            },
        ));
        all.0.extend(Registry::of_f32().0);
        all
    }
}

impl<E: Engine<f32> + 'static> Registry<E> {
    /// The methods of this library that compute in f32: all but `ridge`.
    pub fn of_f32() -> Registry<E> {
        Registry::new()
            .with(Entry::new::<SupervisedSettings>(
                "supervised",
                Presets { default: include_str!("../presets/supervised.toml"), paper: None },
                |engine, task, settings: SupervisedSettings| {
                    Ok(Box::new(Supervised::new(engine, task, settings)?))
                },
            ))
            .with(Entry::new::<SpNetSettings>(
                "spnet",
                Presets {
                    default: include_str!("../presets/spnet.toml"),
                    paper: Some(include_str!("../presets/spnet-paper.toml")),
                },
                |engine, task, settings: SpNetSettings| {
                    Ok(Box::new(SpNet::new(engine, task, settings)?))
                },
            ))
            .with(Entry::new::<StrictSettings>(
                "strict",
                Presets {
                    default: include_str!("../presets/strict.toml"),
                    paper: Some(include_str!("../presets/strict-paper.toml")),
                },
                |engine, task, settings: StrictSettings| {
                    Ok(Box::new(Strict::new(engine, task, settings)?))
                },
            ))
            .with(Entry::new::<CodistillSettings>(
                "codistill",
                Presets { default: include_str!("../presets/codistill.toml"), paper: None },
                |engine, task, settings: CodistillSettings| {
                    Ok(Box::new(Codistill::new(engine, task, settings)?))
                },
            ))
            .with(Entry::new::<Zs3Settings>(
                "zs3net",
                Presets {
                    default: include_str!("../presets/zs3net.toml"),
                    paper: Some(include_str!("../presets/zs3net-paper.toml")),
                },
                zs3,
            ))
            .with(Entry::new::<Zs3Settings>(
                "zs3net-graph",
                Presets { default: include_str!("../presets/zs3net-graph.toml"), paper: None },
                zs3,
            ))
            .with(Entry::new::<Zs5Settings>(
                "zs5net",
                Presets {
                    default: include_str!("../presets/zs5net.toml"),
                    paper: Some(include_str!("../presets/zs5net-paper.toml")),
                },
                zs5,
            ))
            .with(Entry::new::<ZsMmdSettings>(
                "zs-mmd",
                Presets { default: include_str!("../presets/zs-mmd.toml"), paper: None },
                |engine, task, settings: ZsMmdSettings| {
                    Ok(Box::new(ZsMmd::new(engine, task, settings)?))
                },
            ))
            .with(Entry::new::<ContrastiveSettings>(
                "contrastive",
                Presets {
                    default: include_str!("../presets/contrastive.toml"),
                    paper: Some(include_str!("../presets/contrastive-paper.toml")),
                },
                |engine, task, settings: ContrastiveSettings| {
                    Ok(Box::new(ContrastiveTraining::new(engine, task, settings)?))
                },
            ))
            .with(Entry::new::<SazsSettings>(
                "sazs",
                Presets {
                    default: include_str!("../presets/sazs.toml"),
                    paper: Some(include_str!("../presets/sazs-paper.toml")),
                },
                |engine, task, settings: SazsSettings| {
                    Ok(Box::new(Sazs::new(engine, task, settings)?))
                },
            ))
            .with(Entry::new::<MaskDistillSettings>(
                "mask-distill",
                Presets {
                    default: include_str!("../presets/mask-distill.toml"),
                    paper: Some(include_str!("../presets/mask-distill-paper.toml")),
                },
                |engine, task, settings: MaskDistillSettings| {
                    Ok(Box::new(MaskDistill::new(engine, task, settings)?))
                },
            ))
    }
}

impl<E> Default for Registry<E> {
    fn default() -> Registry<E> {
        Registry(Vec::new())
    }
}

impl<E: 'static> Registry<E> {
    /// No methods.
    pub fn new() -> Registry<E> {
        Registry::default()
    }

    /// Adds a method, in place of one of the same name.
    #[must_use]
    pub fn with(mut self, entry: Entry<E>) -> Registry<E> {
        self.0.retain(|other| other.name != entry.name);
        self.0.push(entry);
        self
    }

    /// The method of a name.
    ///
    /// # Errors
    /// [`Error::Config`] with all names, if there is none.
    pub fn find(&self, name: &str) -> Result<&Entry<E>> {
        let found = self.0.iter().find(|entry| entry.name == name);
        found.ok_or_else(|| {
            let names: Vec<&str> = self.0.iter().map(|entry| entry.name).collect();
            let names: String = names.join(", ");
            Error::config(format!("there is no method \"{name}\", only: {names}"))
        })
    }

    /// The names in order.
    pub fn names(&self) -> impl Iterator<Item = &'static str> {
        self.0.iter().map(|entry| entry.name)
    }
}

fn zs3<'a, E: Engine<f32>>(
    engine: &'a E,
    task: &'a Task<'a>,
    settings: Zs3Settings,
) -> Result<Box<dyn Method + 'a>> {
    let truths = task.features.pictures();
    Ok(Box::new(match settings.layout {
        Layout::GtMap => Zs3::with_true_layout(engine, task, truths, settings)?,
        _ => Zs3::new(engine, task, settings)?,
    }))
}

fn zs5<'a, E: Engine<f32>>(
    engine: &'a E,
    task: &'a Task<'a>,
    settings: Zs5Settings,
) -> Result<Box<dyn Method + 'a>> {
    let truths = task.features.pictures();
    Ok(Box::new(match settings.zs3.layout {
        Layout::GtMap => Zs5::with_true_layout(engine, task, truths, settings)?,
        _ => Zs5::new(engine, task, settings)?,
    }))
}

fn complete<S: Serialize + DeserializeOwned>(table: Table) -> Result<Table> {
    Table::try_from(read::<S>(table)?).map_err(Error::config)
}

fn read<S: DeserializeOwned>(table: Table) -> Result<S> {
    table.try_into().map_err(|error: toml::de::Error| {
        let text = format!("{error}");
        Error::config(text.trim_end())
    })
}

/// Lays a table over another: tables within are laid over those of the same name, anything else
/// takes the place.
fn lay_over(base: &mut Table, over: &Table) {
    for (name, value) in over {
        match (base.get_mut(name), value) {
            (Some(Value::Table(base)), Value::Table(over)) => lay_over(base, over),
            _ => {
                base.insert(name.clone(), value.clone());
            }
        }
    }
}
