//! What a training gives.

use super::aligned::Aligned;
use super::decoded::Decoded;
use super::engine::{CpuEngine, Engine, Matrix, Product};
use super::error::Result;
use super::joined::Joined;
use super::layers::Decoder;
use super::pictures::{Features, Pictures};
use crate::spec::Decision;
use std::boxed::Box;
use std::vec::Vec;

/// A trained head, with what makes rows of classes that come later. Everything is in terms of the
/// frozen features as they are: whatever a method does to them (standardising, for instance) is
/// folded into these numbers.
#[derive(Clone, Debug)]
pub struct Model {
    /// Numbers of its classes in the data set, ascending: seen and unseen ones.
    pub classes: Vec<usize>,
    /// For each, whether its masks were seen.
    pub seen: Vec<bool>,
    /// The classifier.
    pub head: Head,
    /// What stands between the taps and the classifier; without one the classifier works on the
    /// joined taps.
    pub decoder: Option<Decoder>,
    /// A linear layer before the classifier: weight `[outputs, channels]` and bias `[1, outputs]`
    /// (SAZS, methods.md 6.4).
    pub alignment: Option<[Matrix<f32>; 2]>,
    /// How logits are decided.
    pub decision: Decision,
    /// `[channels + 1, dim]`: from embeddings to rows of the classifier, the bias last
    /// (`zsseg pack --projection`).
    pub projection: Option<Matrix<f32>>,
    /// From embeddings and noise to features (`zsseg pack --generator`).
    pub generator: Option<GeneratorParts>,
    /// Mean and deviation of the features of each class, `[classes, channels]` each.
    pub statistics: Option<[Matrix<f32>; 2]>,
}

impl Model {
    /// What the head works on: the taps of `pictures`, joined at `grid` or through the decoder,
    /// and the alignment if there is one.
    ///
    /// # Errors
    /// [`super::Error::Config`] for pictures with other taps than the decoder's.
    pub fn features<'a>(
        &'a self,
        pictures: &'a dyn Pictures,
        grid: [usize; 2],
        engine: CpuEngine,
    ) -> Result<Box<dyn Features + 'a>> {
        let joined: Box<dyn Features + 'a> = match &self.decoder {
            Some(decoder) => Box::new(Decoded::new(pictures, decoder, engine)?),
            None => Box::new(Joined::new(pictures, grid)?),
        };
        Ok(self.aligned(joined, engine))
    }

    /// What the head works on: `features`, or what the model's own decoder makes of their
    /// pictures, and the alignment if there is one.
    ///
    /// # Errors
    /// As [`Model::features`].
    pub fn features_from<'a>(
        &'a self,
        features: &'a dyn Features,
        engine: CpuEngine,
    ) -> Result<Box<dyn Features + 'a>> {
        let decoded: Box<dyn Features + 'a> = match &self.decoder {
            Some(decoder) => Box::new(Decoded::new(features.pictures(), decoder, engine)?),
            None => Box::new(features),
        };
        Ok(self.aligned(decoded, engine))
    }

    fn aligned<'a>(
        &'a self,
        features: Box<dyn Features + 'a>,
        engine: CpuEngine,
    ) -> Box<dyn Features + 'a> {
        match &self.alignment {
            Some(alignment) => Box::new(Aligned::new(features, alignment, engine)),
            None => features,
        }
    }
}

/// A classifier.
#[derive(Clone, Debug)]
pub struct Head {
    /// What logits are.
    pub form: HeadForm,
    /// `[classes, channels]`.
    pub weights: Matrix<f32>,
    /// `[1, classes]`; zeros for dot and cosine.
    pub bias: Matrix<f32>,
}

impl Head {
    /// Logits `[rows, classes]` of features `[rows, channels]`.
    ///
    /// # Errors
    /// Those of the engine, for features of another width.
    pub fn logits(&self, engine: &CpuEngine, rows: &Matrix<f32>) -> Result<Matrix<f32>> {
        let product =
            |rows: &Matrix<f32>, weights, bias| engine.product(Product::Nt, rows, weights, bias);
        Ok(match self.form {
            HeadForm::Linear => product(rows, &self.weights, Some(&self.bias))?,
            HeadForm::Dot => product(rows, &self.weights, None)?,
            HeadForm::Cosine { scale } => {
                let weights = engine.normalise(&self.weights)?.rows;
                let mut logits = product(&engine.normalise(rows)?.rows, &weights, None)?;
                logits.values_mut().iter_mut().for_each(|logit| *logit *= scale);
                logits
            }
        })
    }
}

/// What the logits of a head are.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum HeadForm {
    /// `W x + b` (ZS3Net, methods.md 2.10).
    Linear,
    /// `W x`, where rows are embeddings (SPNet, methods.md 3.1).
    Dot,
    /// The cosine of features and embeddings, times `scale` (SAZS, methods.md 6.4).
    Cosine {
        /// Finite and above 0.
        scale: f32,
    },
}

/// ZS3Net's generator (methods.md 2.4): `w2 leaky(w1 [a; z] + b1) + b2`.
#[derive(Clone, Debug)]
pub struct GeneratorParts {
    /// `[hidden, dim + noise]`.
    pub w1: Matrix<f32>,
    /// `[1, hidden]`.
    pub b1: Matrix<f32>,
    /// `[channels, hidden]`.
    pub w2: Matrix<f32>,
    /// `[1, channels]`.
    pub b2: Matrix<f32>,
    /// Factor for numbers below 0.
    pub slope: f32,
    /// Whether noise is Gaussian rather than uniform in 0 to 1.
    pub normal_noise: bool,
    /// Whether negative features become 0.
    pub relu: bool,
}
