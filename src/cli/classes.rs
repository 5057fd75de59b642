//! `zsseg classes`.

use super::class_options::{ClassSpec, KeptClass};
use super::failure::Usage;
use super::model::{ModelFile, arena_for};
use super::segment::hex;
use super::suggest::{nearest, offer};
use super::{Outcome, words, write};
use crate::bundle::{Bundle, ClassRow, RowSource, rewrite_classes};
use crate::limits::Limits;
use crate::segmenter::Segmenter;
use crate::spec::{Class, check_name};
use anyhow::{Context, Result, anyhow, bail};
use clap::Subcommand;
use serde::Serialize;
use std::format;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::string::{String, ToString};
use std::vec::Vec;

/// Show or change the classes of a bundle.
///
/// Changes are written as a new bundle, complete or not at all; everything that does not depend
/// on the classes stays as it is, byte for byte.
#[derive(clap::Args)]
#[command(arg_required_else_help = true)]
pub struct Args {
    #[command(subcommand)]
    action: Action,
}

#[derive(Subcommand)]
enum Action {
    /// Show the classes, and how pixels are decided if nothing else is said.
    List {
        /// The bundle.
        bundle: PathBuf,
        /// Print one JSON document.
        #[arg(long)]
        json: bool,
    },
    /// Add classes that no training mask showed, as `segment --add-class` does.
    Add {
        /// The bundle.
        bundle: PathBuf,
        /// Name of a class, its meaning by other words (tabby="striped cat"), or by an embedding
        /// (tabby=VECTOR.npy).
        #[arg(required = true, value_name = "NAME[=MEANING]")]
        classes: Vec<ClassSpec>,
        /// Fit the rows to features from the model's generator.
        #[arg(long)]
        generate: bool,
        #[command(flatten)]
        target: Target,
    },
    /// Remove classes. The labels of those behind move up.
    Remove {
        /// The bundle.
        bundle: PathBuf,
        /// Names of the classes.
        #[arg(required = true, value_name = "NAME")]
        classes: Vec<String>,
        #[command(flatten)]
        target: Target,
    },
    /// Give a class another name. Its meaning stays.
    Rename {
        /// The bundle.
        bundle: PathBuf,
        /// Its name.
        name: String,
        /// Its new name.
        new_name: String,
        #[command(flatten)]
        target: Target,
    },
}

/// Where the changed bundle goes.
#[derive(clap::Args)]
#[group(required = true, multiple = false)]
struct Target {
    /// The bundle to write.
    #[arg(short = 'o', long = "output", value_name = "BUNDLE.zsb")]
    output: Option<PathBuf>,
    /// Replace the bundle.
    #[arg(long)]
    in_place: bool,
}

/// The document of `classes list --json`.
#[derive(Serialize)]
struct List {
    /// Name of the model.
    model: String,
    /// How pixels are decided, in words.
    decision: String,
    classes: Vec<Entry>,
}

#[derive(Serialize)]
struct Entry {
    /// Its value in masks.
    label: u32,
    name: String,
    /// Whether it was labelled in training.
    seen: bool,
    /// Where its row of the classifier comes from: always `bundle`.
    origin: &'static str,
    /// Whether it stands for "none of the others".
    background: bool,
    /// Red, green, blue.
    color: [u8; 3],
    /// Added to its logits.
    bias: f32,
}

/// Runs the command.
pub fn run(args: &Args, out: &mut dyn Write) -> Result<Outcome> {
    match &args.action {
        Action::List { bundle, json } => list(&ModelFile::read(Some(bundle))?, *json, out)?,
        Action::Add { bundle, classes, generate, target } => {
            let file = ModelFile::read(Some(bundle))?;
            let changed = with_added(&file, classes, *generate)?;
            save(&file, target, &changed, out)?;
        }
        Action::Remove { bundle, classes, target } => {
            let file = ModelFile::read(Some(bundle))?;
            save(&file, target, &with_removed(&file, classes)?, out)?;
        }
        Action::Rename { bundle, name, new_name, target } => {
            let file = ModelFile::read(Some(bundle))?;
            save(&file, target, &with_renamed(&file, name, new_name)?, out)?;
        }
    }
    Ok(Outcome::Done)
}

fn list(file: &ModelFile, json: bool, out: &mut dyn Write) -> Result<()> {
    let bundle = file.bundle()?;
    let entry = |(class, label): (Class<'_>, u32)| Entry {
        label,
        name: class.name.to_string(),
        seen: class.seen,
        origin: "bundle",
        background: class.background,
        color: class.color,
        bias: class.bias,
    };
    let list = List {
        model: bundle.model_name().to_string(),
        decision: words::decision(&bundle.decision()),
        classes: bundle.classes().zip(0..).map(entry).collect(),
    };
    match json {
        true => writeln!(out, "{}", serde_json::to_string_pretty(&list)?)?,
        false => out.write_all(list.text().as_bytes())?,
    }
    Ok(())
}

impl List {
    fn text(&self) -> String {
        let names = self.classes.iter().map(|class| class.name.chars().count());
        let column = names.chain([5]).max().unwrap_or(0);
        let mut text = format!("{:>5}  {:column$}  color    training  bias\n", "label", "name");
        for Entry { label, name, seen, background, color, bias, .. } in &self.classes {
            let (seen, color) = (if *seen { "seen" } else { "unseen" }, hex(color));
            let note = if *background { "  background" } else { "" };
            let line = format!("{label:>5}  {name:column$}  #{color}  {seen:8}  {bias}{note}");
            text += &line;
            text += "\n";
        }
        text + &format!("decision: {}\n", self.decision)
    }
}

/// The classes of the bundle with rows as they are.
fn kept<'a>(bundle: &Bundle<'a>) -> Vec<ClassRow<'a>> {
    let row = |(class, index)| ClassRow { class, source: RowSource::Kept(index) };
    bundle.classes().zip(0..).map(row).collect()
}

fn rewrite(file: &ModelFile, bundle: &Bundle<'_>, classes: &[ClassRow<'_>]) -> Result<Vec<u8>> {
    rewrite_classes(bundle, classes).with_context(|| file.path.display().to_string())
}

/// Index of a class.
fn index_of(bundle: &Bundle<'_>, name: &str) -> Result<u32> {
    bundle.class_index(name).ok_or_else(|| {
        let offered = offer(&nearest(name, bundle.classes().map(|class| class.name)));
        anyhow!("there is no class called \"{name}\"{offered}")
    })
}

/// The bundle with more classes. Their rows are made by a segmenter, as at run time.
fn with_added(file: &ModelFile, specs: &[ClassSpec], generate: bool) -> Result<Vec<u8>> {
    let bundle = file.bundle()?;
    let extra_classes = u32::try_from(specs.len()).unwrap_or(u32::MAX);
    let limits = Limits { extra_classes, generator: generate, ..Limits::for_frames(1, 1) };
    let mut memory = arena_for(&bundle, &limits)?;
    let mut segmenter = Segmenter::new(&bundle, &limits, memory.as_mut_slice())
        .with_context(|| file.path.display().to_string())?;
    let add = |spec: &ClassSpec| spec.read(generate)?.add_and_keep(&mut segmenter);
    let added = specs.iter().map(add).collect::<Result<Vec<KeptClass>>>()?;
    let mut classes = kept(&bundle);
    classes.extend(added.iter().map(KeptClass::row));
    rewrite(file, &bundle, &classes)
}

fn with_removed(file: &ModelFile, names: &[String]) -> Result<Vec<u8>> {
    let bundle = file.bundle()?;
    for name in names {
        index_of(&bundle, name)?;
    }
    let mut classes = kept(&bundle);
    classes.retain(|row| !names.iter().any(|name| name == row.class.name));
    rewrite(file, &bundle, &classes)
}

fn with_renamed(file: &ModelFile, name: &str, new_name: &str) -> Result<Vec<u8>> {
    check_name(new_name).map_err(|error| Usage(format!("\"{new_name}\": {error}")))?;
    let bundle = file.bundle()?;
    let index = index_of(&bundle, name)?;
    if bundle.class_index(new_name).is_some_and(|other| other != index) {
        bail!("there is a class called \"{new_name}\" already");
    }
    let mut classes = kept(&bundle);
    for row in classes.iter_mut().filter(|row| row.class.name == name) {
        row.class.name = new_name;
    }
    rewrite(file, &bundle, &classes)
}

/// Writes the changed bundle and says what it is.
fn save(file: &ModelFile, target: &Target, bytes: &[u8], out: &mut dyn Write) -> Result<()> {
    let path: &Path = target.output.as_deref().unwrap_or(&file.path);
    write::atomically(path, bytes)?;
    let (count, len) = (Bundle::parse(bytes)?.head().classes, bytes.len());
    writeln!(out, "{}: {count} classes, {len} bytes", path.display())?;
    Ok(())
}
