//! What the operations take beside tensors, and what they give back.

use super::Kernel;
use std::ops::Range;
use std::vec::Vec;

/// Which of the factors of a product is transposed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Product {
    /// `A B`: `[m, k]` and `[k, n]`.
    Nn,
    /// `A B^T`: `[m, k]` and `[n, k]`.
    Nt,
    /// `A^T B`: `[k, m]` and `[k, n]`.
    Tn,
}

/// Names random numbers by counter: equal ones are equal numbers, on every engine and with any
/// number of threads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Draw {
    /// Of the run.
    pub seed: u64,
    /// Of the training.
    pub step: u32,
    /// Of the operation within the step.
    pub stream: u32,
}

/// Distribution of noise.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Noise {
    /// Uniform in `[0, 1)` (the published code of ZS3Net, methods.md 2.4).
    Uniform,
    /// Gaussian with mean 0 and deviation 1 (its paper).
    Normal,
}

/// Leaky ReLU, then dropout (methods.md 2.4).
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Activation {
    /// Factor for numbers below 0; finite.
    pub slope: f64,
    /// Share of the numbers that dropout sets to 0: 0 to below 1. The others are divided by
    /// `1 - dropout`.
    pub dropout: f64,
    /// Which numbers those are.
    pub draw: Draw,
}

/// What the rows of logits should say.
#[derive(Clone, Copy, Debug)]
pub struct Targets<'a, F> {
    /// Class of every row; a negative one is ignored.
    pub labels: &'a [i32],
    /// One per class, finite and not negative; 1 without.
    pub class_weights: Option<&'a [F]>,
    /// One per row, finite and not negative; 1 without.
    pub row_weights: Option<&'a [F]>,
}

/// A cross-entropy.
#[derive(Clone, Debug)]
pub struct CrossEntropy<T> {
    /// Mean over the rows by weight; 0 if all weights are 0.
    pub value: f64,
    /// Sum of the weights of the rows that are not ignored.
    pub weight: f64,
    /// `[rows, 1]`: each row's cross-entropy without weight; 0 where ignored.
    pub rows: T,
    /// `d value / d logits`.
    pub gradient: T,
}

/// A loss of one tensor.
#[derive(Clone, Debug)]
pub struct Loss<T> {
    /// The loss.
    pub value: f64,
    /// Its derivative.
    pub gradient: T,
}

/// Rows of length 1, or 0 where the row was 0.
#[derive(Clone, Debug)]
pub struct Normalised<T> {
    /// As many as there were.
    pub rows: T,
    /// `[rows, 1]`: lengths before.
    pub norms: T,
}

/// Names work that is done again and again ([`super::Engine::repeated`]).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Repeated<'a> {
    /// What it is.
    pub name: &'a str,
    /// What the shapes of its tensors depend on.
    pub sizes: &'a [usize],
}

/// Rows that are compared with one another, such as those of one class of one picture.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MmdGroup {
    /// Rows of the generated features; at least one.
    pub generated: Range<usize>,
    /// Rows of the real features; at least one.
    pub real: Range<usize>,
}

/// How generated and real features are compared.
#[derive(Clone, Copy, Debug)]
pub struct Mmd<'a, F> {
    /// The kernel.
    pub kernel: &'a Kernel,
    /// The groups; any number, 0 included.
    pub groups: &'a [MmdGroup],
    /// One per real row, finite and not negative, in each group with a sum above 0 by which they
    /// are divided (methods.md 4.2); equal ones without.
    pub real_weights: Option<&'a [F]>,
}

/// Discrepancies of groups. `V` are numbers as the engine has them.
#[derive(Clone, Debug)]
pub struct MmdLoss<T, V = Vec<f64>> {
    /// Of each group `MMD^2`, as computed; rounding can make it slightly negative.
    pub squares: V,
    /// Of each group `sqrt(max(MMD^2, 1e-12))`.
    pub values: V,
    /// Derivative of the sum of `values` by the generated features. 0 for a group whose `MMD^2` is
    /// below 1e-12.
    pub gradient: T,
}

/// What a positive pair stands against (methods.md 5.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Denominator {
    /// All keys: the paper's form.
    AllKeys,
    /// That pair and the keys of other classes: the published code's form.
    PositiveAndNegatives,
}

/// Settings of the contrastive loss.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Contrastive {
    /// Divides the products; finite and above 0. The paper's is 0.07.
    pub temperature: f64,
    /// What a positive pair stands against.
    pub denominator: Denominator,
    /// Whether key `i` is left out for anchor `i`: for anchors that are the keys themselves, in
    /// the form of Khosla and others.
    pub without_self: bool,
}

/// Feature rows and their classes.
#[derive(Debug)]
pub struct Labelled<'a, T> {
    /// `[rows, channels]`, usually of length 1.
    pub rows: &'a T,
    /// One per row; a row with a negative one takes no part.
    pub labels: &'a [i32],
}

/// Which features are compared.
#[derive(Debug)]
pub struct Pairs<'a, T> {
    /// Those that the loss is the mean over.
    pub anchors: Labelled<'a, T>,
    /// Those of the same picture, usually in other colours; or of the batch.
    pub keys: Labelled<'a, T>,
    /// Those of another picture, which give positive pairs but no negative ones (methods.md 5.3).
    pub other: Option<Labelled<'a, T>>,
}

/// A contrastive loss.
#[derive(Clone, Debug)]
pub struct ContrastiveLoss<T> {
    /// Mean over the anchors that have a positive pair; 0 if none has.
    pub value: f64,
    /// Their number.
    pub anchor_count: usize,
    /// `d value / d anchors`, the keys held.
    pub anchors: T,
    /// `d value / d keys`, the anchors held. Add both where anchors and keys are one tensor.
    pub keys: T,
    /// `d value / d other`.
    pub other: Option<T>,
}

/// Bilinear resizing of pictures whose pixels are rows, picture after picture, row after row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Resize {
    /// Number of pictures.
    pub pictures: usize,
    /// Height and width before; at least 1.
    pub from: [usize; 2],
    /// Height and width after; at least 1.
    pub to: [usize; 2],
    /// Whether the corner pixels' centres stay in the corners (methods.md 1.9).
    pub align_corners: bool,
}

/// Depthwise 3x3 convolution of pictures whose pixels are rows, picture after picture, row after
/// row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Depthwise {
    /// Number of pictures.
    pub pictures: usize,
    /// Height and width; at least 1.
    pub grid: [usize; 2],
    /// Distance of the kernel's places, in pixels; at least 1.
    pub dilation: usize,
}

/// Settings of an Adam step (Kingma and Ba, 2015).
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Adam {
    /// Learning rate.
    pub rate: f64,
    /// Decay of the first moment: 0 to below 1.
    pub beta1: f64,
    /// Decay of the second moment: 0 to below 1.
    pub beta2: f64,
    /// Added to the root of the second moment; above 0.
    pub epsilon: f64,
}

impl Default for Adam {
    /// As ZS3Net's generator (methods.md 2.4).
    fn default() -> Adam {
        Adam { rate: 2e-4, beta1: 0.9, beta2: 0.999, epsilon: 1e-8 }
    }
}

/// What Adam remembers of one parameter.
#[derive(Clone, Debug)]
pub struct AdamState<T> {
    /// First moment.
    pub first: T,
    /// Second moment.
    pub second: T,
    /// Steps made.
    pub steps: u32,
}

/// A parameter of a step of Adam.
#[derive(Debug)]
pub struct AdamPart<'a, T> {
    /// What is stepped.
    pub parameters: &'a mut T,
    /// As the parameters.
    pub gradient: &'a T,
    /// What Adam remembers of them.
    pub state: &'a mut AdamState<T>,
    /// Their settings.
    pub adam: Adam,
}

/// A parameter of a step of stochastic gradient descent.
#[derive(Debug)]
pub struct SgdPart<'a, T> {
    /// What is stepped.
    pub parameters: &'a mut T,
    /// As the parameters.
    pub gradient: &'a T,
    /// As the parameters; starts at 0.
    pub velocity: &'a mut T,
    /// Their settings.
    pub sgd: Sgd,
}

/// Settings of a step of stochastic gradient descent (methods.md 1.6):
/// `g += decay * w; v = momentum * v + g; w -= rate * v`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Sgd {
    /// Learning rate.
    pub rate: f64,
    /// Momentum.
    pub momentum: f64,
    /// Weight decay.
    pub weight_decay: f64,
}
