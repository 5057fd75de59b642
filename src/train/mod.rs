//! Training of heads on the host, over the frozen features of a backbone.
//!
//! [`data`] reads pictures, masks and embeddings; [`store`] keeps features; a [`Task`] says which
//! classes are seen; [`methods`] train heads step by step with the operations of [`engine`];
//! [`run`](mod@run) keeps a training in a folder; [`eval`] measures what came of it.

mod aligned;
#[cfg(feature = "train-cuda")]
pub mod cuda;
pub mod data;
mod decoded;
pub mod engine;
mod error;
pub mod eval;
mod joined;
pub mod layers;
pub mod methods;
mod model;
mod pictures;
pub mod run;
mod stage;
pub mod store;
mod task;
pub mod view;

pub use aligned::Aligned;
pub use decoded::{Decoded, DecodedInMemory};
pub use error::{Error, Result};
pub use joined::Joined;
pub use model::{GeneratorParts, Head, HeadForm, Model};
pub use pictures::{Features, Pictures, Tap, View, Window, labels_at};
pub use stage::{Method, Report, Stage, State, run as run_method};
pub use task::{IGNORED, LabelSetting, Task, targets};
