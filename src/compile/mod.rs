//! From a network to a plan: what `zsseg compile` does.
//!
//! A front end gives a [`Graph`]; then
//!
//! 1. `fuse` takes together what kernels do in one pass,
//! 2. `parts` takes apart what no kernel does,
//! 3. `quantized` finds the integer arithmetic of QDQ networks,
//! 4. `transposed` makes ordinary convolutions of transposed ones,
//! 5. `emit` packs weights, turns nodes into steps and places tensors in the arena (`memory`).
//!
//! Nothing falls back silently: a node that no step can do is an error that names it.

pub mod graph;

mod emit;
mod functions;
mod fuse;
mod memory;
mod parts;
mod quantized;
mod tables;
mod transposed;
mod weights;

use crate::plan::{Plan, Target};
use crate::status::{Error, Place, Result, Status};
pub use emit::Compiled;
use graph::Graph;
use std::format;
use std::string::String;

/// What a plan is compiled for. A [`Target`] alone leaves the rest as it usually is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settings {
    /// The processor.
    pub target: Target,
    /// Whether weights of dense layers in floats are stored as f16: half the bytes, rounded to 11
    /// bits, computed with in f32.
    pub weights_f16: bool,
    /// Whether layers may take turns, strip by strip, where that makes the arena smaller
    /// ([`crate::plan::Step::strip_rows`]); results are the same, but not every layer's output is
    /// in memory as a whole.
    pub chains: bool,
}

impl From<Target> for Settings {
    fn from(target: Target) -> Settings {
        Settings { target, weights_f16: false, chains: true }
    }
}

/// Compiles `graph`. The plan reads the picture channels last: in floats, or in 8-bit
/// numbers where the network begins by quantising it. `source_sha256` says which network it was
/// made from.
///
/// # Errors
/// [`Status::Unsupported`] with the name of a node that no step can do, or whose weights are beyond
/// f16; [`Status::LimitExceeded`] if a number outgrows its field.
pub fn compile(
    mut graph: Graph,
    settings: impl Into<Settings>,
    source_sha256: [u8; 32],
) -> Result<Compiled> {
    fuse::fuse(&mut graph);
    parts::take_apart(&mut graph);
    quantized::quantize(&mut graph);
    transposed::expand(&mut graph);
    let compiled = emit::emit(&graph, settings.into(), source_sha256)?;
    match Plan::new(&compiled.bytes) {
        Ok(_) => Ok(compiled),
        Err(error) => Err(refusal(&error, &compiled.names)),
    }
}

/// What the reader says of a step, with the name of the node that it was made of.
fn refusal(error: &Error, names: &[String]) -> Error {
    let name = match error.place() {
        Some(Place::Step(step)) => names.get(usize::from(step)).map_or("", |name| name),
        _ => "",
    };
    let text = format!("\"{name}\" cannot be compiled: no step does this: {error}");
    Status::Unsupported.about("node of the network").text(text)
}
