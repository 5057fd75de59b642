//! `zsseg sweep`.

use super::Outcome;
use super::failure::Usage;
use super::train::{environment, parsed};
use crate::train::methods::{Preset, Registry};
use crate::train::run::{Member, SweepRequest, Vary, sweep};
use anyhow::Result;
use core::num::NonZeroUsize;
use std::format;
use std::io::Write;
use std::path::PathBuf;
use std::string::String;
use std::vec::Vec;

/// Train with every combination of some values.
///
/// Each run has a folder of its own within the given one. Given again, runs that are done are
/// skipped and others go on. The table, also in sweep.md and sweep.json, has mean and standard
/// deviation over runs that differ in their seed only.
#[derive(clap::Args)]
pub struct Args {
    /// The method.
    #[arg(value_name = "METHOD")]
    method: String,
    /// The configuration.
    #[arg(long, value_name = "CONFIG.toml")]
    config: PathBuf,
    /// Settings of the method that the configuration leaves open.
    #[arg(long, value_enum, default_value = "default")]
    preset: Preset,
    /// A field and its values, such as `method.rate=0.01,0.1` or `seed=1,2,3`; may be given
    /// several times.
    #[arg(long, value_name = "TABLE.FIELD=VALUES", required = true)]
    vary: Vec<String>,
    /// Change a value of the configuration for all runs; may be given several times.
    #[arg(long = "set", value_name = "TABLE.FIELD=VALUE")]
    settings: Vec<String>,
    /// Runs at a time. Each has the threads that the configuration says.
    #[arg(long, value_name = "N", default_value = "1")]
    jobs: NonZeroUsize,
    /// Folder of the runs' folders.
    #[arg(short = 'o', long = "output", value_name = "DIR")]
    output: PathBuf,
    /// Print what sweep.json says.
    #[arg(long)]
    json: bool,
    /// Tell of no run before the end.
    #[arg(long, short)]
    quiet: bool,
}

/// Runs the command.
pub fn run(args: &Args, out: &mut dyn Write) -> Result<Outcome> {
    let parse =
        |text: &String| Vary::parse(text).map_err(|error| Usage(format!("--vary: {error}")));
    let request = SweepRequest {
        method: args.method.clone(),
        preset: args.preset,
        config: args.config.clone(),
        settings: parsed(&args.settings)?,
        vary: args.vary.iter().map(parse).collect::<Result<_, _>>()?,
        jobs: args.jobs,
        folder: args.output.clone(),
    };
    let methods = Registry::all();
    methods.find(&request.method)?;
    let told = |member: &Member| tell(member, args.quiet);
    let done = sweep(&request, &environment(&methods), &told)?;
    match args.json {
        true => writeln!(out, "{}", serde_json::to_string_pretty(&done)?)?,
        false => out.write_all(done.markdown().as_bytes())?,
    }
    Ok(if done.has_failures() { Outcome::SomeFailed } else { Outcome::Done })
}

/// Tells how a run ended; failures always.
fn tell(member: &Member, quiet: bool) {
    let text = match (&member.error, member.skipped) {
        (Some(error), _) => format!("error: {}: {error}", member.name),
        _ if quiet => return,
        (None, true) => format!("{}: done before", member.name),
        (None, false) => format!("{}: done", member.name),
    };
    // Where standard error is closed there is nobody to tell.
    let _ = writeln!(std::io::stderr().lock(), "{text}");
}
