//! One training from its configuration to its bundle.

use super::bundle::{BundleParts, bundle};
use super::chosen::{Chosen, chosen};
use super::config::Config;
use super::folder::Folder;
use super::inputs::{class_embeddings, class_roles, fingerprint, hashes};
use super::model_file::{decode_model, encode_model};
use super::runner::{Reporter, Silent, Trained, train};
use super::validation::{Validation, open_data};
use super::versions::Versions;
use crate::train::data::{ClassList, DataSet, EmbeddingTable, FileSet, Roles};
use crate::train::decoded::Decoded;
use crate::train::engine::{CpuEngine, Engine};
use crate::train::error::{Error, Result};
use crate::train::joined::Joined;
use crate::train::layers::Decoder;
use crate::train::methods::{Choice, Preset, Registry, choose_gamma, default_folds};
use crate::train::model::Model;
use crate::train::pictures::{Features, Pictures};
use crate::train::stage::run as run_method;
use crate::train::task::Task;
use core::num::NonZeroUsize;
use serde::Serialize;
use std::boxed::Box;
use std::collections::BTreeMap;
use std::format;
use std::path::{Path, PathBuf};
use std::string::{String, ToString};
use std::vec::Vec;

/// What the processor is called in a run's folder.
pub(super) const PROCESSOR: &str = "cpu";
/// The file that a run is done with.
pub(super) const METRICS: &str = "metrics.json";

/// Opens stores of features for pictures with labels.
pub type OpenPictures = dyn Fn(&[PathBuf], FileSet) -> Result<Box<dyn Pictures>> + Sync;

/// What a training on an engine needs of the program around it.
pub struct Environment<'a, E = CpuEngine> {
    /// The methods.
    pub methods: &'a Registry<E>,
    /// Opens stores.
    pub open: &'a OpenPictures,
}

/// How a folder is taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Start {
    /// There must be none.
    New,
    /// There must be one.
    Resume,
    /// Either.
    NewOrResume,
}

/// What is to be trained.
#[derive(Clone, Debug)]
pub struct Request {
    /// Name of the method.
    pub method: String,
    /// Settings that it starts from.
    pub preset: Preset,
    /// Everything else.
    pub config: Config,
    /// Folder of the run.
    pub folder: PathBuf,
    /// Whether that is there.
    pub start: Start,
}

/// What `metrics.json` says.
#[derive(Clone, Debug, Serialize)]
pub struct Summary {
    /// Version of zsseg.
    pub version: &'static str,
    /// The method.
    pub method: String,
    /// Number of every random choice.
    pub seed: u64,
    /// Pictures that could be trained on.
    pub pictures: usize,
    /// Those of them without an unseen class.
    pub inductive_pictures: usize,
    /// Numbers of a feature vector.
    pub channels: usize,
    /// The model's classes, and whether each was seen.
    pub classes: BTreeMap<String, bool>,
    /// Steps of the stages.
    pub stages: Vec<StageSummary>,
    /// How gamma was chosen.
    pub hold_out: Option<Choice>,
    /// What the model reaches on the validation pictures.
    pub validation: Option<serde_json::Value>,
    /// The model's file.
    pub model: PathBuf,
    /// The bundle, if one was asked for.
    pub bundle: Option<PathBuf>,
}

/// A stage that is done.
#[derive(Clone, Debug, Serialize)]
pub struct StageSummary {
    /// Its name.
    pub name: String,
    /// Its steps.
    pub steps: u64,
    /// The last value of each loss.
    pub losses: BTreeMap<String, f64>,
}

/// Trains, keeps everything in the folder, and says what came of it. The same request resumes a
/// run that ended early.
///
/// # Errors
/// Naming the file and the field for whatever does not fit; [`Error::Stopped`] for a training
/// that broke off.
pub fn session(
    request: &Request,
    environment: &Environment<'_>,
    reporter: &mut dyn Reporter,
) -> Result<Summary> {
    let engine = CpuEngine::new(threads(&request.config));
    session_on(&engine, PROCESSOR, request, environment, reporter)
}

/// As [`session()`], with the steps on an engine, whose device is called `device` in the folder.
/// What comes before and after the steps is done by the processor.
///
/// # Errors
/// Those of [`session()`].
pub fn session_on<E: Engine<f32> + 'static>(
    engine: &E,
    device: &str,
    request: &Request,
    environment: &Environment<'_, E>,
    reporter: &mut dyn Reporter,
) -> Result<Summary> {
    let (config, versions) = resolve(request, environment, device)?;
    let entry = environment.methods.find(&request.method)?;
    // Reading the data takes long: first see whether the folder will do.
    let taken = taken_up(request, &config, &versions, reporter)?;
    let inputs = Inputs::open(&config, environment.open)?;
    let processor = CpuEngine::new(threads(&config));
    let decoder = config.features.decoder.as_deref().map(read_decoder).transpose()?;
    let features = features(&inputs.pictures, config.features.grid, decoder.as_ref(), processor)?;
    let (roles, setting) = (&inputs.roles, config.classes.setting);
    let (table, shown) = (&inputs.embeddings, features.as_ref());
    let task = Task::with_setting(roles, table, shown, config.seed, setting)?;
    let method = entry.build(engine, &task, &config.method)?;
    if let Some(text) = method.warning() {
        reporter.warning(text);
    }
    let folder = match taken {
        Some(folder) => folder,
        None => new_folder(&request.folder, &config, &versions)?,
    };

    let essential = config.essential().text()?;
    let print = fingerprint(&format!("{}\n{essential}", request.method));
    let mut trained = train(method.as_ref(), &folder, &print, &config.checkpoints, reporter)?;
    let hold_out = match &config.hold_out {
        None => None,
        Some(asked) => {
            let build =
                |task: &Task<'_>| run_method(entry.build(engine, task, &config.method)?.as_ref());
            let without: Vec<String> = inputs.background.iter().cloned().collect();
            let folds = default_folds(&task, asked.folds, &without)?;
            let choice =
                choose_gamma(&processor, &task, &asked.measure, &folds, &trained.model, &build)?;
            trained.model.decision = choice.calibration.decision()?;
            Some(choice)
        }
    };
    give_decoder(&mut trained.model, decoder.clone())?;
    let names = inputs.classes.names();
    let model = folder.write("model.safetensors", &encode_model(&trained.model, names)?)?;
    let bundle = inputs.bundle(&config, &trained.model, &folder)?;
    let of_classes = (&inputs.classes, &inputs.roles);
    let validation = inputs.validation.as_ref();
    let validation = validation
        .map(|it| it.measure(&config, &trained.model, of_classes, processor))
        .transpose()?;
    let summary = Summary {
        version: env!("CARGO_PKG_VERSION"),
        method: request.method.clone(),
        seed: config.seed,
        pictures: inputs.pictures.len(),
        inductive_pictures: task.inductive().len(),
        channels: features.channels(),
        classes: classes(&trained.model, names),
        stages: stages(&trained),
        hold_out,
        validation,
        model,
        bundle,
    };
    let text = serde_json::to_string_pretty(&summary).map_err(Error::config)?;
    // Last: with this file a run is done.
    folder.write(METRICS, text.as_bytes())?;
    Ok(summary)
}

/// Whether the folder has a run of this very request that is done.
///
/// # Errors
/// [`Error::Config`] for a run of another one.
pub(super) fn is_finished(request: &Request, environment: &Environment<'_>) -> Result<bool> {
    if !request.folder.join(METRICS).exists() {
        return Ok(false);
    }
    let (config, versions) = resolve(request, environment, PROCESSOR)?;
    take_up(&request.folder, &config, &versions, &mut Silent).map(|_| true)
}

/// All settings, and what the run is made with.
fn resolve<E: 'static>(
    request: &Request,
    environment: &Environment<'_, E>,
    device: &str,
) -> Result<(Config, Versions)> {
    let entry = environment.methods.find(&request.method)?;
    let mut config = request.config.clone();
    config.method = entry.settings(request.preset, &config.method)?;
    let versions = Versions::here(entry.name(), device, hashes(&config)?);
    Ok((config, versions))
}

fn threads(config: &Config) -> NonZeroUsize {
    let all = || std::thread::available_parallelism().unwrap_or(NonZeroUsize::MIN);
    config.threads.unwrap_or_else(all)
}

/// What the configuration names, opened.
struct Inputs {
    classes: ClassList,
    roles: Roles,
    embeddings: EmbeddingTable,
    pictures: Chosen,
    background: Option<String>,
    validation: Option<Validation>,
}

impl Inputs {
    fn open(config: &Config, open: &OpenPictures) -> Result<Inputs> {
        let set = open_data("data", &config.data)?;
        let classes = set.classes().clone();
        let about = |error| Error::config(format!("[classes]: {error}"));
        let roles = class_roles(&config.classes, &classes).map_err(about)?;
        let background = background(config, &classes).map_err(about)?;
        let embeddings = class_embeddings(&config.embeddings, &classes, &roles)
            .map_err(|error| Error::config(format!("[embeddings]: {error}")))?;
        let pictures = open(&config.features.stores, set)?;
        let pictures = chosen(config, pictures)?;
        let validation = Validation::open(config, &classes, open)?;
        Ok(Inputs { classes, roles, embeddings, pictures, background, validation })
    }

    fn bundle(&self, config: &Config, model: &Model, folder: &Folder) -> Result<Option<PathBuf>> {
        let Some(asked) = &config.bundle else { return Ok(None) };
        let parts = BundleParts {
            config: asked,
            taps: self.pictures.taps(),
            grid: config.features.grid,
            embeddings: &self.embeddings,
            background: self.background.as_deref(),
        };
        Ok(Some(folder.write("model.zsb", &bundle(model, &parts)?)?))
    }
}

/// What heads are trained on.
fn features<'a>(
    pictures: &'a Chosen,
    grid: [usize; 2],
    decoder: Option<&'a Decoder>,
    engine: CpuEngine,
) -> Result<Box<dyn Features + 'a>> {
    let Some(decoder) = decoder else { return Ok(Box::new(Joined::new(pictures, grid)?)) };
    let views: Vec<usize> = (0..pictures.views().len()).collect();
    Ok(Box::new(Decoded::new(pictures, decoder, engine)?.materialise(&views)?))
}

/// The decoder of a model's file.
fn read_decoder(path: &Path) -> Result<Decoder> {
    let bytes = std::fs::read(path).map_err(Error::file(path))?;
    let (model, _) = decode_model(path, &bytes)?;
    model.decoder.ok_or_else(|| Error::broken(path, "the model has no decoder"))
}

/// Makes the decoder that features came through part of the model.
fn give_decoder(model: &mut Model, decoder: Option<Decoder>) -> Result<()> {
    let Some(decoder) = decoder else { return Ok(()) };
    if model.decoder.is_some() {
        let reason = "[features] `decoder` is not for methods that train one of their own";
        return Err(Error::config(reason));
    }
    model.decoder = Some(decoder);
    Ok(())
}

fn background(config: &Config, classes: &ClassList) -> Result<Option<String>> {
    match &config.classes.background {
        Some(name) => {
            classes.places(&[name])?;
            Ok(Some(name.clone()))
        }
        None => Ok(classes.place("background").map(|_| "background".to_string())),
    }
}

/// The folder that is there if it is to be gone on with; none if there is to be a new one.
fn taken_up(
    request: &Request,
    config: &Config,
    versions: &Versions,
    reporter: &mut dyn Reporter,
) -> Result<Option<Folder>> {
    let path = &request.folder;
    let is_there = path.join("config.toml").exists();
    match request.start {
        Start::NewOrResume if !is_there => {}
        Start::New => {}
        _ => return take_up(path, config, versions, reporter).map(Some),
    }
    Folder::check_free(path).map(|()| None)
}

fn new_folder(path: &Path, config: &Config, versions: &Versions) -> Result<Folder> {
    let text = serde_json::to_string_pretty(versions).map_err(Error::config)?;
    Folder::create(path, &[("config.toml", &config.text()?), ("versions.json", &text)])
}

fn take_up(
    path: &Path,
    config: &Config,
    versions: &Versions,
    reporter: &mut dyn Reporter,
) -> Result<Folder> {
    let shown = path.display();
    if !path.join("config.toml").exists() {
        return Err(Error::config(format!(
            "{shown} is not the folder of a run: nothing to resume"
        )));
    }
    let folder = Folder::open(path)?;
    let before = Config::parse(&folder.read_text("config.toml")?, &[])
        .map_err(|error| Error::broken(&path.join("config.toml"), error))?;
    let made: Versions = serde_json::from_str(&folder.read_text("versions.json")?)
        .map_err(|error| Error::broken(&path.join("versions.json"), error))?;
    let mut others = config.differences(&before)?;
    if made.method != versions.method {
        others.insert(0, format!("the method, which was {}", made.method));
    }
    others.extend(made.other_inputs(versions).iter().map(|path| format!("the contents of {path}")));
    if !others.is_empty() {
        let others = others.join(", ");
        let reason = format!("{shown} is a run of another configuration; what differs: {others}");
        return Err(Error::config(reason));
    }
    let programs = made.other_programs(versions).join(", ");
    if !programs.is_empty() {
        reporter.warning(&format!(
            "the run began with another {programs}: the model may differ in its last bits"
        ));
    }
    Ok(folder)
}

fn classes(model: &Model, names: &[String]) -> BTreeMap<String, bool> {
    let name = |class: usize| names.get(class).cloned().unwrap_or_default();
    model.classes.iter().zip(&model.seen).map(|(class, seen)| (name(*class), *seen)).collect()
}

fn stages(trained: &Trained) -> Vec<StageSummary> {
    let of = |stage: &str| {
        let losses = trained.losses.iter().filter(|(of, _, _)| of == stage);
        losses.map(|(_, loss, value)| (loss.clone(), *value)).collect()
    };
    let summary = |(name, steps): &(String, u64)| StageSummary {
        name: name.clone(),
        steps: *steps,
        losses: of(name),
    };
    trained.stages.iter().map(summary).collect()
}
