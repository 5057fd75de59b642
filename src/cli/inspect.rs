//! `zsseg inspect`.

use super::description::{Arena, Description, Integers};
use super::failure::Usage;
use super::model::{ModelFile, arena_for};
use super::{Outcome, arena_picture, steps, write};
use crate::bundle::Bundle;
use crate::limits::{Limits, MAX_CLASSES};
use crate::plan::Plan;
use crate::segmenter::Segmenter;
use crate::spec::Backbone;
use anyhow::{Context, Error, Result, bail};
use std::ffi::OsString;
use std::format;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::string::String;
use std::vec::Vec;

/// Show what is in a bundle, check it, and say what it needs.
///
/// Compares every checksum and loads the network. Exit code 1 if a checksum differs or the
/// network cannot be loaded.
#[derive(clap::Args)]
pub struct Args {
    /// The bundle.
    bundle: PathBuf,
    /// Print one JSON document.
    #[arg(long)]
    json: bool,
    /// Print the steps of a compiled network and nothing else.
    #[arg(long, conflicts_with_all = ["json", "extract"])]
    plan: bool,
    /// Draw the arena of a compiled network over its steps (SVG; "-" for standard output) and print
    /// nothing else.
    #[arg(long, value_name = "FILE.svg", conflicts_with_all = ["json", "extract", "plan"])]
    arena_picture: Option<PathBuf>,
    /// Largest frame that the arena's size is stated for.
    #[arg(long, value_name = "WxH", default_value = "1920x1080", value_parser = parse_frame)]
    max_frame: (u32, u32),
    /// Classes to be added that the arena's size is stated for.
    #[arg(long, value_name = "N", default_value_t = 0,
          value_parser = clap::value_parser!(u32).range(0..=i64::from(MAX_CLASSES)))]
    extra_classes: u32,
    /// Write the bytes of a section to a file ("-" for standard output) and nothing else, for
    /// example BACKBONE_ONNX.
    #[arg(long, num_args = 2, value_names = ["SECTION", "FILE"])]
    extract: Option<Vec<OsString>>,
}

fn parse_frame(text: &str) -> core::result::Result<(u32, u32), String> {
    let sides = text.split_once(['x', 'X']);
    let parsed =
        sides.and_then(|(width, height)| Some((width.parse().ok()?, height.parse().ok()?)));
    let (width, height) = parsed.ok_or("write it like 640x480")?;
    Limits::for_frames(width, height).check().map_err(|error| format!("{error}"))?;
    Ok((width, height))
}

/// Runs the command.
pub fn run(args: &Args, out: &mut dyn Write) -> Result<Outcome> {
    let file = ModelFile::read(Some(&args.bundle))?;
    let bundle = file.bundle()?;
    if let Some([section, target]) = args.extract.as_deref() {
        extract(&bundle, &section.to_string_lossy(), Path::new(target), out)?;
        return Ok(Outcome::Done);
    }
    if args.plan {
        out.write_all(steps::text(&plan_of(&bundle)?, None)?.as_bytes())?;
        return Ok(Outcome::Done);
    }
    if let Some(target) = &args.arena_picture {
        put(target, arena_picture::svg(&plan_of(&bundle)?)?.as_bytes(), out)?;
        return Ok(Outcome::Done);
    }
    let frames = Limits::for_frames(args.max_frame.0, args.max_frame.1);
    let limits = Limits { extra_classes: args.extra_classes, ..frames };
    let mut description = Description::of(&file, &bundle, &limits);
    description.arena = Some(Arena::of(&bundle, &limits)?);
    if description.intact {
        match load(&bundle) {
            Ok(integers) => description.integers = integers,
            Err(error) => description.load_error = Some(format!("{error:#}")),
        }
    }
    match args.json {
        true => writeln!(out, "{}", serde_json::to_string_pretty(&description)?)?,
        false => out.write_all(description.text().as_bytes())?,
    }
    if !description.intact {
        bail!("{}: a checksum does not match", file.path.display());
    }
    if let Some(error) = description.load_error {
        return Err(Error::msg(error)).context("the network cannot be loaded");
    }
    Ok(Outcome::Done)
}

/// Loads the network to see what of it runs in integers; `None` if the bundle has no network.
fn load(bundle: &Bundle<'_>) -> Result<Option<Integers>> {
    if bundle.backbone() == Backbone::External {
        return Ok(None);
    }
    if bundle.plan().is_some() {
        return Ok(Some(Integers::of_plan(&plan_of(bundle)?)?));
    }
    let limits = Limits::for_frames(1, 1);
    let mut memory = arena_for(bundle, &limits)?;
    let segmenter = Segmenter::new(bundle, &limits, memory.as_mut_slice())?;
    Ok(segmenter.coverage().map(Integers::from))
}

fn extract(bundle: &Bundle<'_>, name: &str, target: &Path, out: &mut dyn Write) -> Result<()> {
    let found = bundle.sections().find(|section| section.name.eq_ignore_ascii_case(name));
    let Some(section) = found else {
        let names: Vec<&str> = bundle.sections().map(|section| section.name).collect();
        let names = names.join(", ");
        bail!(Usage(format!("the bundle has no section {name}; it has {names}")));
    };
    bundle.verify()?;
    put(target, section.bytes, out)
}

fn put(target: &Path, bytes: &[u8], out: &mut dyn Write) -> Result<()> {
    match target == Path::new("-") {
        true => out.write_all(bytes)?,
        false => write::atomically(target, bytes)?,
    }
    Ok(())
}

/// The plan of a bundle whose checksums match.
pub fn plan_of<'a>(bundle: &Bundle<'a>) -> Result<Plan<'a>> {
    bundle.verify()?;
    let Some(bytes) = bundle.plan() else {
        bail!("the bundle holds no plan; `zsseg compile` makes one");
    };
    Ok(Plan::new(bytes)?)
}
