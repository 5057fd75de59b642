//! `zsseg compile`.

use super::model::ModelFile;
use super::{Outcome, pack, write};
use crate::compile::Settings;
use crate::convert::{CompiledBundle, compile_bundle};
use crate::plan::Target;
use anyhow::{Context, Result};
use clap::builder::{PossibleValuesParser, TypedValueParser};
use std::format;
use std::io::Write;
use std::path::PathBuf;
use std::string::{String, ToString};

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
    #[command(flatten)]
    settings: PlanOptions,
    /// Write the bundle without trying it.
    #[arg(long)]
    no_check: bool,
}

/// What a plan is compiled for.
#[derive(clap::Args)]
pub struct PlanOptions {
    /// The processor that a plan is for.
    #[arg(long, value_parser = target_parser(), default_value = Target::host().name())]
    target: Target,
    /// Store the weights of float layers in 16 bits: half the bytes, computed with in 32.
    #[arg(long)]
    weights_f16: bool,
    /// Run one layer after the other as a whole, also where less memory would be needed if layers
    /// took turns on a few rows each. Results are the same.
    #[arg(long)]
    whole_layers: bool,
}

impl PlanOptions {
    /// As the compiler takes them.
    pub fn settings(&self) -> Settings {
        Settings { target: self.target, weights_f16: self.weights_f16, chains: !self.whole_layers }
    }
}

/// From the name of a target to the target.
fn target_parser() -> impl TypedValueParser<Value = Target> {
    let names = PossibleValuesParser::new(Target::ALL.map(Target::name));
    names.map(|name| {
        Target::ALL.into_iter().find(|target| target.name() == name).unwrap_or(Target::host())
    })
}

/// What `pack` and `compile` say of a plan.
pub fn summary(compiled: &CompiledBundle, settings: Settings) -> String {
    let share = compiled.arena_bytes as f64 / compiled.bound_bytes.max(1) as f64;
    format!(
        "{} steps for {}, {} bytes of plan, works in {} bytes ({share:.3} of the least possible)",
        compiled.steps,
        settings.target.name(),
        compiled.plan_bytes,
        compiled.arena_bytes,
    )
}

/// Runs the command.
pub fn run(args: &Args, out: &mut dyn Write) -> Result<Outcome> {
    let file = ModelFile::read(Some(&args.bundle))?;
    let bundle = file.bundle()?;
    bundle.verify()?;
    let compiled = compile_bundle(&bundle, args.settings.settings());
    let compiled = compiled.with_context(|| file.path.display().to_string())?;
    if !args.no_check {
        pack::check_runs(&compiled.bytes)
            .context("the finished bundle does not run; nothing was written")?;
    }
    write::atomically(&args.output, &compiled.bytes)?;
    let summary = summary(&compiled, args.settings.settings());
    let tried = if args.no_check { " (not tried)" } else { ", runs" };
    writeln!(out, "{}: {summary}{tried}", args.output.display())?;
    Ok(Outcome::Done)
}
