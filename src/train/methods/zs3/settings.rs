//! Settings of ZS3Net.

use crate::train::engine::{Adam, Kernel, Noise, poly_rate};
use crate::train::error::{Error, Result};
use crate::train::layers::Optimiser;
use crate::train::methods::OptimiserKind;
use serde::{Deserialize, Serialize};
use std::format;

/// Settings of ZS3Net (methods.md 2). The defaults are this library's (methods.md 10); the
/// published ones are the preset `zs3net-paper.toml`.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct Zs3Settings {
    /// Whether generator and classifier work on features of mean 0 and deviation 1 by channel.
    /// The model is in terms of features as they are. Default true; published false.
    pub standardise: bool,
    /// Cells that are kept in memory of each seen class, 1 or more. Default 20,000, which
    /// is 0.8 GB for 21 classes of 472 channels.
    pub bag_limit: usize,
    /// The kernel of the discrepancy. Default `scaled`; published `code`.
    pub kernel: KernelChoice,
    /// What the classifier is trained on. Default `bag`; published `gt-map`.
    pub layout: Layout,
    /// The generator.
    pub generator: GeneratorSettings,
    /// The classifier.
    pub classifier: ClassifierSettings,
    /// A second generator over a graph of regions (methods.md 2.7); none without.
    pub graph: Option<GraphSettings>,
}

/// The kernel of the discrepancy.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum KernelChoice {
    /// Variances 2, 5, 10, 20, 40 and 80 (the published code).
    Code,
    /// Deviations 2, 5, 10, 20, 40 and 60 (the paper's text).
    Paper,
    /// The code's variances times channels / 16: squared distances of standardised features grow
    /// with the channels. Not published.
    Scaled,
}

/// What the classifier is trained on (methods.md 2.6).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Layout {
    /// Random cells without their places.
    Bag,
    /// Whole pictures, where generated features of unseen classes take the place of a region of a
    /// seen one.
    Synthetic,
    /// Whole pictures, where those with unseen classes are generated along their true labels. To
    /// reproduce published numbers only: it uses labels that the zero-shot setting forbids.
    GtMap,
}

/// What a step of the generator looks at.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum GeneratorSampling {
    /// Cells of random seen classes of all pictures.
    Bag,
    /// One picture: an Adam step for every seen class in it (the published code).
    Pictures,
}

/// Distribution of noise.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum NoiseChoice {
    /// Uniform in 0 to 1 (the published code).
    Uniform,
    /// Gaussian (the paper's text).
    Normal,
    /// The generator makes a class's mean of its embedding alone, and the noise is what a random
    /// cell of a random seen class differs by from that class's mean. Generated features then
    /// have the real ones' covariance within a class, and the discrepancy moves the mean only.
    /// Not published.
    Residual,
}

/// The generator and its training (methods.md 2.4 and 2.5).
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct GeneratorSettings {
    /// What a step looks at. Default `bag`; published `pictures`.
    pub sampling: GeneratorSampling,
    /// Steps, 1 or more. Default 2,000.
    pub steps: u64,
    /// Real features of a class per step, and as many generated ones; 2 or more. Published and
    /// default 128.
    pub batch: usize,
    /// Classes per step in `bag` sampling, 1 or more. Default 1.
    pub classes_per_step: usize,
    /// Numbers of the hidden layer; 0 for one linear layer. Published and default 256.
    pub hidden_size: usize,
    /// Numbers of noise; 0 for as many as an embedding has. Published 300 (which is as many). With
    /// noise `residual` they are those of the generator in the bundle, which has Gaussian noise
    /// with the covariance of that many residuals, and of the graph's.
    pub noise_size: usize,
    /// Distribution of the noise. Default `residual`; published `uniform`.
    pub noise: NoiseChoice,
    /// Share of the hidden layer that dropout sets to 0: 0 to below 1. Published and default 0.5.
    /// It stays on while features are generated for the classifier.
    pub dropout: f64,
    /// Whether generated features below 0 become 0; not with `standardise`. Default false.
    pub relu: bool,
    /// Weight of the reconstruction of embedding and noise: 0 (off, default) or more. Published
    /// as an option with 1e-4.
    pub reconstruction: f64,
    /// Learning rate of Adam, above 0. Published and default 2e-4.
    pub rate: f64,
}

/// First weights of the classifier.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum InitChoice {
    /// All 0.
    Zeros,
    /// Weights and biases uniform in 0 to 1 (the published code).
    Unit,
}

/// The classifier's training (methods.md 2.6).
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct ClassifierSettings {
    /// Steps with real and generated features, 1 or more. Default 400.
    pub steps: u64,
    /// Steps before those, in which only the rows of seen classes are trained; 0 for none
    /// (published). Default 2,000. Not used with the published first weights.
    pub warm_steps: u64,
    /// Real cells per step of a bag, 1 or more. Default 1,024 (methods.md 2.6 has 4,096).
    pub real_batch: usize,
    /// Generated cells per step of a bag, for all unseen classes together, 1 or more. Default
    /// 1,024.
    pub generated_batch: usize,
    /// How much rare classes are drawn more often than they are, for a bag: 0 (not at all) to 1
    /// (all equally often). Default 0.25.
    pub balance: f64,
    /// Weight of unseen classes in the loss, above 0; seen ones have 1. Default 1; published 100.
    pub unseen_weight: f32,
    /// Default `adam`; published `sgd`.
    pub optimiser: OptimiserKind,
    /// Learning rate at the first step, above 0, then by the poly rule. Default 0.001; published
    /// 0.07.
    pub rate: f64,
    /// Power of the poly rule, 0 or more. Published and default 0.9.
    pub poly_power: f64,
    /// Momentum of `sgd`: 0 to below 1. Published and default 0.9.
    pub momentum: f64,
    /// Weight decay, 0 or more, added to the gradient: of weights with `adam`, of biases as well
    /// with `sgd`. Default 0.003; published 5e-4.
    pub weight_decay: f64,
    /// Default `zeros`; published `unit`.
    pub init: InitChoice,
    /// Pictures per step of a layout, 1 or more. Published and default 8.
    pub pictures_per_step: usize,
    /// Share of the pictures of layout `synthetic` that get an unseen class: 0 to 1. Default 0.5.
    pub unseen_share: f32,
    /// Whether logits of a layout are upsampled to the frame before the loss. Default false;
    /// published true.
    pub upsample: bool,
    /// Whether that keeps the corners' centres in the corners. Published and default true.
    pub align_corners: bool,
    /// Whether the loss of a layout is divided by the number of pictures as well. Default false;
    /// published true.
    pub ce_batch_average: bool,
}

/// The graph of regions and its generator (methods.md 2.7).
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct GraphSettings {
    /// Steps of its generator, each of one picture; 1 or more. Default 4,000.
    pub steps: u64,
    /// Whether a region's feature is that of its first cell (published) rather than the mean.
    /// Default false.
    pub first_pixel: bool,
    /// Whether neighbours are mixed by `D^-1/2 (A + I) D^-1/2` rather than `A` (published).
    /// Default true.
    pub normalised: bool,
    /// Whether each region has the mean embedding of its picture's labelled cells in place of
    /// noise; unseen classes that were put into the picture count. The mean is as long as an
    /// embedding, so `generator.noise_size` must be 0. Published as an option; default false.
    pub context_aware: bool,
    /// Weight of the regions' cross-entropy in the classifier's loss, 0 or more. Published and
    /// default 0.1.
    pub weight: f32,
    /// Graphs per step of the classifier, 1 or more. Published and default 8.
    pub pictures_per_step: usize,
}

impl Default for Zs3Settings {
    fn default() -> Zs3Settings {
        Zs3Settings {
            standardise: true,
            bag_limit: 20_000,
            kernel: KernelChoice::Scaled,
            layout: Layout::Bag,
            generator: GeneratorSettings::default(),
            classifier: ClassifierSettings::default(),
            graph: None,
        }
    }
}

impl Default for GeneratorSettings {
    fn default() -> GeneratorSettings {
        GeneratorSettings {
            sampling: GeneratorSampling::Bag,
            steps: 2_000,
            batch: 128,
            classes_per_step: 1,
            hidden_size: 256,
            noise_size: 0,
            noise: NoiseChoice::Residual,
            dropout: 0.5,
            relu: false,
            reconstruction: 0.0,
            rate: 2e-4,
        }
    }
}

impl Default for ClassifierSettings {
    fn default() -> ClassifierSettings {
        ClassifierSettings {
            steps: 400,
            warm_steps: 2_000,
            real_batch: 1_024,
            generated_batch: 1_024,
            balance: 0.25,
            unseen_weight: 1.0,
            optimiser: OptimiserKind::Adam,
            rate: 0.001,
            poly_power: 0.9,
            momentum: 0.9,
            weight_decay: 3e-3,
            init: InitChoice::Zeros,
            pictures_per_step: 8,
            unseen_share: 0.5,
            upsample: false,
            align_corners: true,
            ce_batch_average: false,
        }
    }
}

impl Default for GraphSettings {
    fn default() -> GraphSettings {
        GraphSettings {
            steps: 4_000,
            first_pixel: false,
            normalised: true,
            context_aware: false,
            weight: 0.1,
            pictures_per_step: 8,
        }
    }
}

/// An error that names the setting unless `holds`.
pub(in crate::train::methods) fn require(holds: bool, setting: &str, range: &str) -> Result<()> {
    if holds {
        return Ok(());
    }
    Err(Error::config(format!("setting {setting} must be {range}")))
}

fn is_positive(value: f64) -> bool {
    value.is_finite() && value > 0.0
}

fn is_not_negative(value: f64) -> bool {
    value.is_finite() && value >= 0.0
}

impl Zs3Settings {
    /// Checks the ranges stated at the fields.
    ///
    /// # Errors
    /// [`Error::Config`] naming the setting.
    pub fn check(&self) -> Result<()> {
        require(self.bag_limit >= 1, "bag_limit", "1 or more")?;
        let relu = self.generator.relu && self.standardise;
        require(!relu, "generator.relu", "false with standardise")?;
        let residual = self.generator.noise == NoiseChoice::Residual;
        require(!(self.generator.relu && residual), "generator.relu", "false with residuals")?;
        self.generator.check()?;
        self.classifier.check()?;
        let context = self.has_context() && self.generator.noise_size != 0;
        require(!context, "generator.noise_size", "0 with graph.context_aware")?;
        self.graph.as_ref().map_or(Ok(()), GraphSettings::check)
    }

    /// Whether regions have the mean embedding of their picture in place of noise.
    pub(super) fn has_context(&self) -> bool {
        self.graph.as_ref().is_some_and(|graph| graph.context_aware)
    }

    /// The kernel for features of that many channels.
    ///
    /// # Errors
    /// Those of the engine.
    pub(super) fn kernel_for(&self, channels: usize) -> Result<Kernel> {
        let scaled = [2.0, 5.0, 10.0, 20.0, 40.0, 80.0].map(|v| v * channels as f64 / 16.0);
        match self.kernel {
            KernelChoice::Code => Ok(Kernel::zs3_code()),
            KernelChoice::Paper => Ok(Kernel::zs3_paper()),
            KernelChoice::Scaled => Ok(Kernel::variances(&scaled)?),
        }
    }
}

impl GeneratorSettings {
    fn check(&self) -> Result<()> {
        require(self.steps >= 1, "generator.steps", "1 or more")?;
        require(self.batch >= 2, "generator.batch", "2 or more")?;
        require(self.classes_per_step >= 1, "generator.classes_per_step", "1 or more")?;
        require((0.0..1.0).contains(&self.dropout), "generator.dropout", "0 to below 1")?;
        require(is_not_negative(self.reconstruction), "generator.reconstruction", "0 or more")?;
        require(is_positive(self.rate), "generator.rate", "above 0")
    }

    pub(super) fn adam(&self) -> Adam {
        Adam { rate: self.rate, ..Adam::default() }
    }

    pub(super) fn noise_kind(&self) -> Noise {
        match self.noise {
            NoiseChoice::Uniform | NoiseChoice::Residual => Noise::Uniform,
            NoiseChoice::Normal => Noise::Normal,
        }
    }
}

impl ClassifierSettings {
    fn check(&self) -> Result<()> {
        require(self.steps >= 1, "classifier.steps", "1 or more")?;
        require(self.real_batch >= 1, "classifier.real_batch", "1 or more")?;
        require((0.0..=1.0).contains(&self.balance), "classifier.balance", "from 0 to 1")?;
        require(self.generated_batch >= 1, "classifier.generated_batch", "1 or more")?;
        let weight = f64::from(self.unseen_weight);
        require(is_positive(weight), "classifier.unseen_weight", "above 0")?;
        require(is_positive(self.rate), "classifier.rate", "above 0")?;
        require(is_not_negative(self.poly_power), "classifier.poly_power", "0 or more")?;
        require((0.0..1.0).contains(&self.momentum), "classifier.momentum", "0 to below 1")?;
        require(is_not_negative(self.weight_decay), "classifier.weight_decay", "0 or more")?;
        require(self.pictures_per_step >= 1, "classifier.pictures_per_step", "1 or more")?;
        let share = (0.0..=1.0).contains(&self.unseen_share);
        require(share, "classifier.unseen_share", "0 to 1")
    }

    /// The optimiser at a step.
    pub(super) fn optimiser_at(&self, step: u64, steps: u64) -> Optimiser {
        let rate = poly_rate(self.rate, step, steps, self.poly_power);
        self.optimiser.at(rate, self.momentum, self.weight_decay)
    }
}

impl GraphSettings {
    fn check(&self) -> Result<()> {
        require(self.steps >= 1, "graph.steps", "1 or more")?;
        require(is_not_negative(f64::from(self.weight)), "graph.weight", "0 or more")?;
        require(self.pictures_per_step >= 1, "graph.pictures_per_step", "1 or more")
    }
}
