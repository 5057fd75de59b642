//! The methods, and what they share.

mod bag;
mod cholesky;
mod codistill;
pub mod contrastive;
mod descent;
mod discriminant;
mod hold_out;
mod linear_model;
pub mod mask_distill;
mod order;
mod pseudo;
mod registry;
mod ridge;
pub mod sazs;
mod scaling;
mod shuffle;
mod softmax;
mod spnet;
pub mod strict;
mod supervised;
mod zs3;
mod zs5;
mod zs_mmd;

pub use bag::Bag;
pub use codistill::{Codistill, CodistillSettings, Codistilled, Distance};
pub use contrastive::{ContrastiveSettings, ContrastiveTraining};
pub use descent::{Descent, OptimiserKind};
pub use hold_out::{Carry, Choice, HoldOut, Score, choose_gamma, default_folds};
pub use linear_model::{Calibration, ScoreSpace, row_projection};
pub use mask_distill::{MaskDistill, MaskDistillSettings};
pub use pseudo::{Candidates, PseudoLabel, PseudoLabeler, candidates};
pub use registry::{Build, Entry, Preset, Presets, Registry};
pub use ridge::{Ridge, RidgeForm, RidgeSettings};
pub use sazs::{Sazs, SazsSettings};
pub use scaling::Scaling;
pub use spnet::{SpNet, SpNetHead, SpNetSettings};
pub use strict::{Strict, StrictSettings};
pub use supervised::{Supervised, SupervisedSettings};
pub use zs_mmd::{Feedback, ZsMmd, ZsMmdSettings};
pub use zs3::{
    ClassifierSettings, GeneratorSampling, GeneratorSettings, GraphSettings, InitChoice,
    KernelChoice, Layout, NoiseChoice, Regions, Zs3, Zs3Settings,
};
pub use zs5::{Zs5, Zs5Settings};
