//! Laws of what is written.
