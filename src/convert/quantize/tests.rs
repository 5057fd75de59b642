//! Laws of the arithmetic.
