//! Training of heads on the host: so far the data it reads and the operations it is made of.

pub mod data;
pub mod engine;
