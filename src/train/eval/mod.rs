//! Evaluation: predictions against the truth, under a protocol that leaves nothing open.
//!
//! A [`Predictor`] looks at one picture at a time and tells the class of every pixel; an
//! [`Evaluation`] keeps the counts. [`Report`] makes scores of them, with intervals, a sweep of
//! the seen classes' handicap and the reliability of the confidences.

mod bootstrap;
mod borders;
mod bundle_predictor;
mod chart;
mod episodes;
mod evaluation;
mod fused;
mod fusing;
pub mod matching;
mod model_predictor;
mod of_model;
mod predictor;
mod protocol;
mod reliability;
mod report;
mod scores;
mod subject;
mod sweep;

pub use bootstrap::{Interval, Intervals, ROUNDS, SHARE, bootstrap};
pub use borders::near_borders;
pub use bundle_predictor::{BundlePredictor, Common};
pub use chart::{confusion_chart, reliability_chart};
pub use episodes::{Episodes, FewShot, few_shot};
pub use evaluation::{Cell, Evaluation, Setup};
pub use fused::{Fused, FusedScores, FusionPlan, GivenClass, ORACLE_NOTE, Oracle, measure_fused};
pub(crate) use fusing::check_same;
pub use fusing::{AffinityTap, Fusing};
pub use model_predictor::ModelPredictor;
pub use of_model::{Measured, measure_model};
pub use predictor::{Found, NO_CLASS, Predictor, Space};
pub use protocol::{AbsentClass, Background, ClassSet, Protocol, Resolution, Void};
pub use reliability::{BINS, Bin, BinRow, Reliability};
pub use report::{Report, markdown};
pub use scores::{ClassScores, Harmonic, Means, Scores};
pub use subject::{Scored, Subject};
pub use sweep::{SWEEP_NOTE, SweepRow, best, sweep};
