//! The model file (`.zsb`): everything a model is, in one file that is read in place.
//!
//! [`Bundle::open`] turns untrusted bytes into a checked view without allocating and without
//! copying: any byte string gives either a usable model or a typed error. The byte layout is in
//! `docs/bundle.md`.
//!
//! Container (magic, version, table, padding) errors are [`Status::BundleFormat`] and
//! [`Status::BundleVersion`]; errors inside a section are [`Status::BundleContent`]; a hash that
//! does not match is [`Status::BundleChecksum`]; a section that this version must understand but
//! does not know is [`Status::Unsupported`]; a hard cap is [`Status::LimitExceeded`].
//!
//! [`Status::BundleFormat`]: crate::status::Status::BundleFormat
//! [`Status::BundleVersion`]: crate::status::Status::BundleVersion
//! [`Status::BundleContent`]: crate::status::Status::BundleContent
//! [`Status::BundleChecksum`]: crate::status::Status::BundleChecksum
//! [`Status::Unsupported`]: crate::status::Status::Unsupported
//! [`Status::LimitExceeded`]: crate::status::Status::LimitExceeded

mod container;
mod head;
mod layout;
mod manifest;
mod reader;
mod section;
#[cfg(feature = "std")]
mod writer;
mod zero_shot;

pub use manifest::Manifest;
pub use reader::{Bundle, Section};
#[cfg(feature = "std")]
pub use writer::{
    ClassRow, ClassStatistics, Contents, GeneratorValues, LinearHead, RowSource, StoredWeights,
    WeightValues, ZeroShot, rewrite_classes, with_plan, write,
};
