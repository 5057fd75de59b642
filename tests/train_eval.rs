//! Evaluation: scores, laws that counts keep, and the two predictors.
#![cfg(feature = "train")]

#[path = "common/external.rs"]
mod external;
#[path = "train_eval/fusion.rs"]
mod fusion;
#[path = "train_eval/laws.rs"]
mod laws;
#[path = "train_eval/matching.rs"]
mod matching;
#[path = "train_eval/models.rs"]
mod models;
#[path = "train_eval/scores.rs"]
mod scores;
#[path = "train_eval/support.rs"]
mod support;
