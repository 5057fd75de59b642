//! The `zsseg` command.
//!
//! Exit codes: 0 all done, 1 some work failed, 2 the command line is wrong. Results go to standard
//! output, errors and progress to standard error.

mod arena_picture;
mod bench;
mod bench_classes;
mod class_options;
mod classes;
mod compile;
#[cfg(feature = "train")]
mod data_options;
mod decision_options;
mod demo;
mod description;
#[cfg(feature = "train")]
mod eval;
mod failure;
#[cfg(feature = "train")]
mod features;
mod fusion_options;
mod inspect;
mod mask;
mod model;
mod pack;
mod picture;
mod plan;
mod png;
mod quantize;
mod report;
mod segment;
mod steps;
mod suggest;
#[cfg(feature = "train")]
mod sweep;
#[cfg(feature = "train")]
mod train;
mod words;
mod write;
mod zero_shot;

use clap::{Parser, Subcommand};
use std::ffi::OsString;
use std::format;
use std::io::Write;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::ExitCode;

/// Zero-shot semantic segmentation on edge devices: a picture in, a mask out.
#[derive(Parser)]
#[command(name = "zsseg", version, arg_required_else_help = true)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    Segment(segment::Args),
    Inspect(inspect::Args),
    Classes(classes::Args),
    Pack(pack::Args),
    Quantize(quantize::Args),
    Compile(compile::Args),
    Bench(bench::Args),
    Demo(demo::Args),
    #[cfg(feature = "train")]
    Features(features::Args),
    #[cfg(feature = "train")]
    Train(train::Args),
    #[cfg(feature = "train")]
    Eval(eval::Args),
    #[cfg(feature = "train")]
    Sweep(sweep::Args),
}

/// How a command that did not break off went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Outcome {
    /// All of it was done.
    Done,
    /// Some of it failed; that was reported.
    SomeFailed,
}

/// Runs the command with the arguments of the process.
pub fn main() -> ExitCode {
    ExitCode::from(run_from(std::env::args_os()))
}

/// The command with these arguments, the first of which is its own name; the exit code. For those
/// that ship the command inside something else.
pub fn run_from(arguments: impl IntoIterator<Item = OsString>) -> u8 {
    failure::silence_panics();
    let cli = match Cli::try_parse_from(arguments) {
        Ok(cli) => cli,
        Err(error) => {
            // Nothing is left to tell if even this cannot be written.
            let _ = error.print();
            return error.exit_code() as u8;
        }
    };
    let outcome = catch_unwind(AssertUnwindSafe(|| run(&cli.command)));
    let outcome = outcome.unwrap_or_else(|panic| Err(failure::of_panic(panic.as_ref())));
    match outcome {
        Ok(Outcome::Done) => 0,
        Ok(Outcome::SomeFailed) => 1,
        Err(error) if failure::is_broken_pipe(&error) => 0,
        Err(error) => {
            failure::report(&error);
            failure::exit_code(&error)
        }
    }
}

fn run(command: &Command) -> anyhow::Result<Outcome> {
    let mut out = std::io::stdout().lock();
    let outcome = match command {
        Command::Segment(args) => segment::run(args, &mut out),
        Command::Inspect(args) => inspect::run(args, &mut out),
        Command::Classes(args) => classes::run(args, &mut out),
        Command::Pack(args) => pack::run(args, &mut out),
        Command::Quantize(args) => quantize::run(args, &mut out),
        Command::Compile(args) => compile::run(args, &mut out),
        Command::Bench(args) => bench::run(args, &mut out),
        Command::Demo(args) => demo::run(args, &mut out),
        #[cfg(feature = "train")]
        Command::Features(args) => features::run(args, &mut out),
        #[cfg(feature = "train")]
        Command::Train(args) => train::run(args, &mut out),
        #[cfg(feature = "train")]
        Command::Eval(args) => eval::run(args, &mut out),
        #[cfg(feature = "train")]
        Command::Sweep(args) => sweep::run(args, &mut out),
    }?;
    out.flush()?;
    Ok(outcome)
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }
}
