//! Rows fitted from generated features: comparison with SciPy (`tests/reference/generator/`, made
//! by `make_generator.py`), laws, and bad input.

#[path = "generator/fit.rs"]
mod fit;
#[path = "generator/input.rs"]
mod input;
#[path = "generator/support.rs"]
mod support;
