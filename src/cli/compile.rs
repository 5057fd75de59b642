//! `zsseg compile`.

use super::model::ModelFile;
use super::{Outcome, pack, write};
use crate::convert::compile_bundle;
use crate::plan::Target;
use anyhow::{Context, Result};
use std::io::Write;
use std::path::PathBuf;
use std::string::ToString;

/// Compile the network of a bundle to a plan, which runs in the arena and needs no tract.
///
/// The finished bundle is opened and a grey frame segmented before anything is written. A node
/// that no step of a plan can do is an error that names it.
#[derive(clap::Args)]
pub struct Args {
    /// A bundle with an ONNX network.
    bundle: PathBuf,
    /// The bundle to write.
    #[arg(short = 'o', long = "output", value_name = "BUNDLE.zsb")]
    output: PathBuf,
    /// Write the bundle without trying it.
    #[arg(long)]
    no_check: bool,
}

/// Runs the command.
pub fn run(args: &Args, out: &mut dyn Write) -> Result<Outcome> {
    let file = ModelFile::read(Some(&args.bundle))?;
    let bundle = file.bundle()?;
    bundle.verify()?;
    let compiled = compile_bundle(&bundle, Target::X86_64);
    let compiled = compiled.with_context(|| file.path.display().to_string())?;
    if !args.no_check {
        pack::check_runs(&compiled.bytes)
            .context("the finished bundle does not run; nothing was written")?;
    }
    write::atomically(&args.output, &compiled.bytes)?;
    let share = compiled.arena_bytes as f64 / compiled.bound_bytes.max(1) as f64;
    writeln!(
        out,
        "{}: {} steps, {} bytes of plan, works in {} bytes ({share:.3} of the least possible){}",
        args.output.display(),
        compiled.steps,
        compiled.plan_bytes,
        compiled.arena_bytes,
        if args.no_check { " (not tried)" } else { ", runs" }
    )?;
    Ok(Outcome::Done)
}
