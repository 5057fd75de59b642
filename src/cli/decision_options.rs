//! Options about how pixels are decided.

use super::failure::Usage;
use crate::spec::{Decision, Stacking};
use anyhow::Result;
use std::format;
use std::string::{String, ToString};

/// From logits to a class, or to none; what is not given is as the model says.
#[derive(clap::Args, Clone, Debug, Default)]
pub struct DecisionArgs {
    /// Handicap of the classes seen in training: taken from their probabilities (0 to 1), or
    /// from their logits if the model's own handicap is one of logits. 0: none.
    #[arg(long, value_name = "GAMMA", value_parser = finite, allow_negative_numbers = true)]
    unseen_bias: Option<f32>,
    /// Give no class to pixels whose confidence is lower: 0 (none) to 1.
    #[arg(long, value_name = "SHARE", value_parser = share, allow_negative_numbers = true)]
    reject: Option<f32>,
    /// Give no class to pixels whose margin is lower: 0 (none) to 1.
    #[arg(long, value_name = "SHARE", value_parser = share, allow_negative_numbers = true)]
    reject_margin: Option<f32>,
    /// Give no class to pixels whose unknown score is higher: 0 to 1 (none).
    #[arg(long, value_name = "SHARE", value_parser = share, allow_negative_numbers = true)]
    reject_unknown: Option<f32>,
}

fn finite(text: &str) -> core::result::Result<f32, String> {
    let number: f32 = text.parse().map_err(|_| "not a number".to_string())?;
    if number.is_finite() { Ok(number) } else { Err("not finite".to_string()) }
}

fn share(text: &str) -> core::result::Result<f32, String> {
    let number = finite(text)?;
    if (0.0..=1.0).contains(&number) { Ok(number) } else { Err("not from 0 to 1".to_string()) }
}

impl DecisionArgs {
    /// The model's decision, changed as the options say.
    ///
    /// # Errors
    /// [`Usage`] for a handicap that is no share of a probability where it has to be one.
    pub fn of(&self, of_model: Decision) -> Result<Decision> {
        let stacking = match (self.unseen_bias, of_model.stacking) {
            (None, stacking) => stacking,
            (Some(0.0), _) => Stacking::Off,
            (Some(gamma), Stacking::Logits(_)) => Stacking::Logits(gamma),
            (Some(gamma), _) => Stacking::Probabilities(gamma),
        };
        let decision = Decision {
            stacking,
            min_confidence: self.reject.unwrap_or(of_model.min_confidence),
            min_margin: self.reject_margin.unwrap_or(of_model.min_margin),
            max_unknown: self.reject_unknown.unwrap_or(of_model.max_unknown),
            unknown: of_model.unknown,
        };
        let checked = decision.check();
        checked.map_err(|error| Usage(format!("--unseen-bias: {error}")))?;
        Ok(decision)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn gamma(gamma: f32, stacking: Stacking) -> Result<Stacking> {
        let args = DecisionArgs { unseen_bias: Some(gamma), ..DecisionArgs::default() };
        Ok(args.of(Decision { stacking, ..Decision::PLAIN })?.stacking)
    }

    #[test]
    fn the_handicap_stays_in_the_space_of_the_model() {
        assert_eq!(gamma(3.0, Stacking::Logits(1.0)).unwrap(), Stacking::Logits(3.0));
        assert_eq!(gamma(0.3, Stacking::Off).unwrap(), Stacking::Probabilities(0.3));
        let own = Stacking::Probabilities(0.5);
        assert_eq!(gamma(0.3, own).unwrap(), Stacking::Probabilities(0.3));
        for stacking in [Stacking::Off, own, Stacking::Logits(1.0)] {
            assert_eq!(gamma(0.0, stacking).unwrap(), Stacking::Off);
        }
        assert!(gamma(1.5, Stacking::Off).unwrap_err().is::<Usage>());
    }

    #[test]
    fn what_is_not_given_is_the_models() {
        let own = Decision { min_confidence: 0.2, max_unknown: 0.9, ..Decision::PLAIN };
        assert_eq!(DecisionArgs::default().of(own).unwrap(), own);
        let args = DecisionArgs { reject_margin: Some(0.4), ..DecisionArgs::default() };
        assert_eq!(args.of(own).unwrap(), Decision { min_margin: 0.4, ..own });
        assert!(share("1.1").is_err() && share("nan").is_err() && finite("inf").is_err());
    }
}
