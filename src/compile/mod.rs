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
mod transposed;
mod weights;

use crate::plan::Target;
use crate::status::Result;
pub use emit::Compiled;
use graph::Graph;

/// Compiles `graph` for `target`. The plan reads the picture channels last: in floats, or in 8-bit
/// numbers where the network begins by quantising it. `source_sha256` says which network it was made from.
///
/// # Errors
/// [`Status::Unsupported`](crate::status::Status::Unsupported) with the name of a node that no
/// step can do; [`Status::LimitExceeded`](crate::status::Status::LimitExceeded) if a number
/// outgrows its field.
pub fn compile(mut graph: Graph, target: Target, source_sha256: [u8; 32]) -> Result<Compiled> {
    fuse::fuse(&mut graph);
    parts::take_apart(&mut graph);
    quantized::quantize(&mut graph);
    transposed::expand(&mut graph);
    emit::emit(&graph, target, source_sha256)
}
