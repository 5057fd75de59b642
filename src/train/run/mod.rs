//! Trainings that are kept in a folder: configuration, checkpoints, curves, and the bundle at the
//! end. A run may be killed at any moment; taken up again it ends with the same bits.
//!
//! [`Config`] says what is trained on what, [`session()`] runs it, [`train()`] is the part of it
//! that does the steps, and [`sweep()`] runs many.

mod bundle;
mod canvas;
mod checkpoint;
mod chosen;
mod config;
mod curves;
mod device;
mod events;
mod files;
mod folder;
mod inputs;
mod logs;
mod model_file;
mod plot;
mod runner;
mod session;
mod sweep;
mod table;
mod tensor_file;
mod validation;
mod versions;

pub use bundle::{BundleParts, bundle};
pub use chosen::Chosen;
pub use config::{
    Aliases, BundleConfig, ClassesConfig, Config, EmbeddingsConfig, FeaturesConfig, Format,
    FusionConfig, FusionRule, Pace, Setting, TableConfig,
};
pub use device::{Device, session_with};
pub use folder::Folder;
pub use inputs::{class_embeddings, class_roles};
pub use model_file::{decode_model, encode_model};
pub use runner::{Reporter, Silent, Trained, train};
pub use session::{
    Environment, OpenPictures, Request, StageSummary, Start, Summary, session, session_on,
};
pub use sweep::{Group, Member, Sweep, SweepRequest, Vary, sweep};
