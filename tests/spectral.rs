//! Eigensegments, fusion and object masks: golden vectors, laws, bad input, and comparison with
//! NumPy and SciPy (`tests/reference/spectral/`, made by `make_spectral.py`).

#[path = "spectral/fusion.rs"]
mod fusion;
#[path = "spectral/graph.rs"]
mod graph;
#[path = "spectral/object.rs"]
mod object;
#[cfg(feature = "cli")]
#[path = "spectral/pictures.rs"]
mod pictures;
#[path = "spectral/support.rs"]
mod support;

#[cfg(feature = "cli")]
mod common;
