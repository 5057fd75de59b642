//! `zsseg eval`.

use super::class_options::ClassArgs;
use super::data_options::DataOptions;
use super::decision_options::DecisionArgs;
use super::failure::{self, Usage};
use super::fusion_options::RuleArgs;
use super::model::{ModelFile, arena_for};
use super::segment::hex;
use super::{Outcome, png, write};
use crate::limits::{Limits, MAX_THREADS};
use crate::segmenter::{FusionSettings, Segmenter};
use crate::spec::{Decision, Stacking};
use crate::threads::Workers;
use crate::train::data::{ClassList, DataSet, FileSet, Role, Roles, Split, picture_size};
use crate::train::eval::{
    BundlePredictor, Common, Evaluation, Protocol, Report, Resolution, Scored, Setup, Space,
    Subject, confusion_chart, markdown, reliability_chart,
};
use anyhow::{Context, Error, Result, anyhow, bail};
use indicatif::{ProgressBar, ProgressStyle};
use std::format;
use std::fs;
use std::io::{IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::string::{String, ToString};
use std::vec::Vec;

/// Most numbers of a sweep.
const MAX_GAMMAS: usize = 200;

/// Measure a model on pictures whose truth is known.
///
/// Scores of seen, unseen and all classes under a protocol whose every switch is named in the
/// report. Classes of model and data set are matched by name. A class of the data set that the
/// model lacks counts as missed, and as unseen unless --unseen or --split says otherwise.
#[derive(clap::Args)]
#[command(
    mut_arg("data", |data| data.required(false).required_unless_present("merge")),
    mut_arg("lists", |lists| lists.required(false).required_unless_present("merge")),
)]
pub struct Args {
    /// The model; default as for `zsseg segment`.
    #[arg(value_name = "BUNDLE")]
    bundle: Option<PathBuf>,
    #[command(flatten, next_help_heading = "Data set")]
    data: Option<DataOptions>,
    /// Merge the counts of shards of one evaluation instead: metrics.json of their reports, or
    /// what they printed with --json.
    #[arg(long, value_name = "JSON", num_args = 1.., conflicts_with_all = ["bundle", "data", "shard"])]
    merge: Vec<PathBuf>,
    /// How to measure: ours, zs3, spnet, strict, sazs, or a TOML file with every switch.
    #[arg(long, value_name = "NAME|TOML", default_value = "ours")]
    protocol: String,
    /// Score these classes as unseen and all others as seen. Default: as the model says.
    #[arg(long, value_name = "NAME", value_delimiter = ',', conflicts_with = "split")]
    unseen: Vec<String>,
    /// Score the classes as a published split has them.
    #[arg(long, value_name = "NAME")]
    split: Option<String>,
    /// Leave out pixels of classes that the model lacks.
    #[arg(long)]
    ignore_missing: bool,
    /// Leave classes that the data set lacks out of the model.
    #[arg(long)]
    ignore_extra: bool,
    /// Score these handicaps of the seen classes too. The best on these pictures is no choice:
    /// use validation pictures of held-out seen classes for that, never the unseen test classes.
    #[arg(long, value_name = "GAMMA", value_delimiter = ',', allow_negative_numbers = true)]
    gamma_sweep: Vec<f32>,
    /// What the handicaps of the sweep are taken from. Default: as the model's own, else
    /// probabilities.
    #[arg(long, value_enum, value_name = "SPACE")]
    gamma_space: Option<Space>,
    /// Rounds of the bootstrap for the 95 % intervals; 0: none.
    #[arg(long, value_name = "N", default_value_t = crate::train::eval::ROUNDS,
          value_parser = clap::value_parser!(u32).range(..=100_000))]
    bootstrap: u32,
    /// Number that the bootstrap's draws follow from.
    #[arg(long, value_name = "N", default_value_t = 1)]
    seed: u64,
    /// Only the first N pictures.
    #[arg(long, value_name = "N")]
    limit: Option<usize>,
    /// Only part I of N equal parts, I from 1.
    #[arg(long, value_name = "I/N", value_parser = shard)]
    shard: Option<Shard>,
    /// Folder for metrics.json, report.md, confusion.png and reliability.png; created.
    #[arg(long, value_name = "DIR")]
    report: Option<PathBuf>,
    /// Print one JSON document instead of the tables.
    #[arg(long)]
    json: bool,
    /// Threads for the network, the calling one among them.
    #[arg(long, value_name = "N", default_value_t = 1,
          value_parser = clap::value_parser!(u32).range(1..=i64::from(MAX_THREADS)))]
    threads: u32,
    #[command(flatten, next_help_heading = "Classes")]
    classes: ClassArgs,
    #[command(flatten, next_help_heading = "Decision")]
    decision: DecisionArgs,
    #[command(flatten, next_help_heading = "Shapes")]
    shapes: RuleArgs,
}

/// Part of a list: every `count`-th picture from `part` on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Shard {
    part: usize,
    count: usize,
}

fn shard(text: &str) -> core::result::Result<Shard, String> {
    let wrong = || "write it like 2/8".to_string();
    let (part, count) = text.split_once('/').ok_or_else(wrong)?;
    let (part, count): (usize, usize) =
        part.parse().ok().zip(count.parse().ok()).ok_or_else(wrong)?;
    match (1..=count).contains(&part) {
        true => Ok(Shard { part: part - 1, count }),
        false => Err(format!("there is no part {part} of {count}")),
    }
}

/// Runs the command.
pub fn run(args: &Args, out: &mut dyn Write) -> Result<Outcome> {
    if let Some(folder) = &args.report {
        let made = fs::create_dir_all(folder);
        made.with_context(|| format!("{} cannot be created", folder.display()))?;
    }
    let evaluation = match (&args.data, args.merge.is_empty()) {
        (None, false) => merged(&args.merge)?,
        (Some(data), true) => evaluated(args, &data.source().open()?)?,
        _ => bail!(Usage("give either --data and --list, or --merge".to_string())),
    };
    if evaluation.pictures().len() == 0 {
        bail!("no picture could be evaluated");
    }
    let report = Report::new(&evaluation, args.bootstrap, args.seed);
    let json = || serde_json::to_string(&report).context("writing JSON");
    if let Some(folder) = &args.report {
        write_report(folder, &report, &json()?, &evaluation)?;
    }
    match args.json {
        true => writeln!(out, "{}", json()?)?,
        false => out.write_all(markdown(&report).as_bytes())?,
    }
    Ok(match evaluation.failed().is_empty() {
        true => Outcome::Done,
        false => Outcome::SomeFailed,
    })
}

/// Makes every file before the first is written.
fn write_report(
    folder: &Path,
    report: &Report<'_>,
    json: &str,
    evaluation: &Evaluation,
) -> Result<()> {
    let subject = &evaluation.setup().subject;
    let confusion = confusion_chart(&evaluation.confusion(), subject)?;
    let [_, _, all] = evaluation.reliability();
    let files = [
        ("metrics.json", json.as_bytes().to_vec()),
        ("report.md", markdown(report).into_bytes()),
        ("confusion.png", png::of_picture(&confusion)?),
        ("reliability.png", png::of_picture(&reliability_chart(&all)?)?),
    ];
    files.iter().try_for_each(|(name, bytes)| write::atomically(&folder.join(name), bytes))
}

/// The counts of shards together.
fn merged(paths: &[PathBuf]) -> Result<Evaluation> {
    let mut total: Option<Evaluation> = None;
    for path in paths {
        let read = || -> Result<Evaluation> {
            let text = fs::read_to_string(path)?;
            let mut report: serde_json::Value = serde_json::from_str(&text)?;
            let counts = report.get_mut("counts").map(serde_json::Value::take);
            let counts = counts.ok_or_else(|| anyhow!("it has no \"counts\""))?;
            Ok(Evaluation::from_json(&counts.to_string())?)
        };
        let part = read().with_context(|| path.display().to_string())?;
        match &mut total {
            None => total = Some(part),
            Some(total) => total.merge(part).with_context(|| path.display().to_string())?,
        }
    }
    total.ok_or_else(|| anyhow!("nothing to merge"))
}

/// Evaluates the pictures of a data set.
fn evaluated(args: &Args, data: &FileSet) -> Result<Evaluation> {
    let protocol = protocol(&args.protocol)?;
    if args.gamma_sweep.len() > MAX_GAMMAS {
        bail!(Usage(format!("--gamma-sweep: at most {MAX_GAMMAS} handicaps")));
    }
    let indices = chosen(args, data, &protocol);
    let file = ModelFile::read(args.bundle.as_deref())?;
    let bundle = file.bundle()?;
    let limits = Limits { threads: args.threads, ..measured(data, &indices, protocol.resolution) };
    let fusion = args.shapes.settings();
    let limits = Limits { fusion: fusion.is_some(), ..args.classes.limits(limits) };
    let mut memory = arena_for(&bundle, &limits)?;
    let workers = Workers::new(limits.threads)?;
    let mut segmenter = Segmenter::new(&bundle, &limits, memory.as_mut_slice())
        .map_err(|error| Error::new(error).context(file.path.display().to_string()))?;
    segmenter.set_thread_pool(Some(&workers));
    segmenter.set_decision(args.decision.of(bundle.decision())?)?;
    segmenter.set_fusion(fusion)?;
    args.classes.apply(&mut segmenter)?;

    let mut notes = Vec::new();
    let common = fit_extra(args, data, &mut segmenter, &mut notes)?;
    let roles = roles(args, data.classes(), &segmenter, &common, &mut notes)?;
    let mut subject = Subject::new(data.classes(), &roles, &protocol)?;
    fit_missing(args, &common, &mut subject, &mut notes);
    compete(&mut segmenter, &common, &subject)?;

    let stacking = segmenter.decision().stacking;
    let name = bundle.model_name();
    let model = described(name, &hex(&bundle.sha256()), &segmenter, fusion);
    let space = args.gamma_space.unwrap_or(match stacking {
        Stacking::Logits(_) => Space::Logits,
        Stacking::Off | Stacking::Probabilities(_) => Space::Probabilities,
    });
    let gammas = args.gamma_sweep.clone();
    let setup = Setup { model, subject, protocol: protocol.clone(), space, gammas, notes };
    let evaluation = Evaluation::new(setup)?;
    let predictor = BundlePredictor::new(data, &mut segmenter, protocol.resolution)?;
    Ok(look_at_all(evaluation, predictor, data, &indices))
}

fn protocol(name: &str) -> Result<Protocol> {
    let is_file = name.ends_with(".toml") || name.contains(std::path::MAIN_SEPARATOR);
    match is_file {
        true => Ok(Protocol::read(Path::new(name))?),
        false => Protocol::named(name)
            .map_err(|error| Error::new(Usage(format!("--protocol: {error}, or a TOML file")))),
    }
}

/// Numbers of the pictures that are looked at: what the protocol drops is dropped first.
fn chosen(args: &Args, data: &FileSet, protocol: &Protocol) -> Vec<usize> {
    let count = protocol.pictures(data.len()).min(args.limit.unwrap_or(usize::MAX));
    let Shard { part, count: parts } = args.shard.unwrap_or(Shard { part: 0, count: 1 });
    (part..count).step_by(parts).collect()
}

/// Limits for all pictures whose size can be read; the others fail when their turn comes.
fn measured(data: &FileSet, indices: &[usize], resolution: Resolution) -> Limits {
    let mut limits = Limits::for_frames(1, 1);
    for &index in indices {
        let size = data.picture_path(index).and_then(|path| picture_size(&path));
        let Some((width, height)) = size.ok().and_then(|size| resolution.size(size)) else {
            continue;
        };
        limits.max_frame_width = limits.max_frame_width.max(width);
        limits.max_frame_height = limits.max_frame_height.max(height);
    }
    limits
}

/// Takes classes that the data set lacks out of the model, if that was asked for.
fn fit_extra(
    args: &Args,
    data: &FileSet,
    segmenter: &mut Segmenter<'_>,
    notes: &mut Vec<String>,
) -> Result<Common> {
    let common = Common::of(segmenter, data);
    if common.extra.is_empty() {
        return Ok(common);
    }
    let names: Vec<&str> = common.extra.iter().map(|(name, _)| name.as_str()).collect();
    let names = names.join(", ");
    if !args.ignore_extra {
        bail!(
            "the data set lacks classes of the model: {names}. Pixels that they win would all be \
             wrong; --ignore-extra leaves them out of the model"
        );
    }
    for (_, label) in &common.extra {
        segmenter.enable_class(*label, false)?;
    }
    notes.push(format!("left out of the model, because the data set lacks them: {names}"));
    Ok(common)
}

/// Which classes are seen: as asked for, or as the model says.
fn roles(
    args: &Args,
    classes: &ClassList,
    segmenter: &Segmenter<'_>,
    common: &Common,
    notes: &mut Vec<String>,
) -> Result<Roles> {
    let unseen = segmenter.classes().filter(|class| !class.seen);
    let unseen = unseen.filter_map(|class| common.shared.get(&class.label).copied());
    let mut of_model: Vec<usize> = unseen.collect();
    let roles = match (&args.split, args.unseen.is_empty()) {
        (Some(split), _) => Split::named(split)?.roles(classes)?,
        (None, false) => Roles::with_unseen(classes, &args.unseen)?,
        (None, true) => {
            let places = of_model.iter().chain(&common.missing);
            let names: Vec<&String> =
                places.filter_map(|place| classes.names().get(*place)).collect();
            return Ok(Roles::with_unseen(classes, &names)?);
        }
    };
    of_model.sort_unstable();
    let asked = roles.places(Role::Unseen);
    let shared = |class: &usize| common.shared.values().any(|shared| shared == class);
    let differs = |class: &usize| of_model.contains(class) != asked.contains(class);
    let differing = (0..classes.len()).filter(shared).filter(differs);
    let names: Vec<&str> =
        differing.filter_map(|class| classes.names().get(class).map(String::as_str)).collect();
    if !names.is_empty() {
        let names = names.join(", ");
        notes.push(format!(
            "the model itself says otherwise about which of these were seen, and its handicap \
             follows that: {names}"
        ));
    }
    Ok(roles)
}

fn fit_missing(args: &Args, common: &Common, subject: &mut Subject, notes: &mut Vec<String>) {
    let scored: Vec<usize> = common
        .missing
        .iter()
        .copied()
        .filter(|class| subject.scored(*class) != Scored::No)
        .collect();
    if scored.is_empty() {
        return;
    }
    let names: Vec<&str> = scored.iter().map(|class| subject.name(*class)).collect();
    let names = names.join(", ");
    if args.ignore_missing {
        scored.iter().for_each(|class| subject.leave_out(*class));
        notes.push(format!("pixels left out, because the model lacks their classes: {names}"));
    } else {
        notes.push(format!("counted as missed, because the model lacks their classes: {names}"));
    }
}

/// Lets only classes compete that are scored.
fn compete(segmenter: &mut Segmenter<'_>, common: &Common, subject: &Subject) -> Result<()> {
    for (&label, &class) in &common.shared {
        if subject.scored(class) == Scored::No {
            segmenter.enable_class(label, false)?;
        }
    }
    if segmenter.classes().any(|class| class.enabled) {
        return Ok(());
    }
    bail!("none of the model's classes is scored");
}

/// Everything of the model that changes masks: only equal ones are merged.
fn described(
    name: &str,
    sha256: &str,
    segmenter: &Segmenter<'_>,
    fusion: Option<FusionSettings>,
) -> String {
    let Decision { stacking, min_confidence, min_margin, max_unknown, .. } = segmenter.decision();
    let handicap = match stacking {
        Stacking::Off => "none".to_string(),
        Stacking::Logits(gamma) => format!("{gamma} of logits"),
        Stacking::Probabilities(gamma) => format!("{gamma} of probabilities"),
    };
    let mut text = format!("{name}, SHA-256 {sha256}, handicap {handicap}");
    if min_confidence > 0.0 || min_margin > 0.0 || max_unknown < 1.0 {
        text += &format!(", no class below confidence {min_confidence} or margin {min_margin}");
        text += &format!(", or above unknown score {max_unknown}");
    }
    let added = segmenter.classes().filter(|class| class.enabled && !class.seen);
    let added: Vec<String> =
        added.map(|class| format!("{} ({:?})", class.name, class.origin)).collect();
    if !added.is_empty() {
        text += &format!(", unseen classes {}", added.join(", "));
    }
    if let Some(FusionSettings { fusion, segments }) = fusion {
        text += &format!(", fused with {segments} segments by {fusion}");
    }
    text
}

/// Evaluates picture after picture. One that fails is named, and the others go on.
fn look_at_all(
    mut evaluation: Evaluation,
    mut predictor: BundlePredictor<'_, '_>,
    data: &FileSet,
    indices: &[usize],
) -> Evaluation {
    let bar = bar(indices.len());
    for &index in indices {
        let name = data.name(index).unwrap_or_default();
        if let Err(error) = evaluation.add(index, name, &mut predictor) {
            evaluation.add_failed(name, &error.to_string());
            let error = Error::new(error).context(format!("picture \"{name}\" is left out"));
            bar.suspend(|| failure::report(&error));
        }
        bar.inc(1);
    }
    bar.finish_and_clear();
    evaluation
}

fn bar(pictures: usize) -> ProgressBar {
    let is_shown = pictures > 1 && std::io::stderr().is_terminal();
    let bar = if is_shown { ProgressBar::new(pictures as u64) } else { ProgressBar::hidden() };
    if let Ok(style) = ProgressStyle::with_template("{bar:30} {pos}/{len} pictures, {eta} left") {
        bar.set_style(style);
    }
    bar
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shards_are_counted_from_one() {
        assert_eq!(shard("1/1"), Ok(Shard { part: 0, count: 1 }));
        assert_eq!(shard("3/8"), Ok(Shard { part: 2, count: 8 }));
        for wrong in ["", "1", "0/2", "3/2", "a/b", "1/0", "-1/2"] {
            assert!(shard(wrong).is_err(), "{wrong}");
        }
    }
}
