//! From logits to a class or to none: golden vectors, NumPy in float64, laws, bad input.

#[path = "../common/external.rs"]
mod external;
mod laws;
mod numpy;
mod refused;
