//! What can be known about the CUDA path on a machine without a GPU: that every kernel compiles for
//! every device without spilled registers, and that what is missing gives an error.

mod compiled;
mod missing;
