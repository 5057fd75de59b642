//! Real pipelines with the element `zsseg`. What comes out is compared with the Rust API's masks.

mod classes;
mod errors;
mod labels;
mod overlay;
mod streams;
mod support;
