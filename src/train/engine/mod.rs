//! The operations that heads are trained with, each with its derivative written by hand.
//!
//! Every tensor is a matrix: a row is a pixel, a sample or a node, a column is a channel. A
//! picture of height `h` and width `w` is `h * w` rows, row after row. All sums have a fixed
//! order, whatever the number of threads, so a run repeats bit for bit on the same type of
//! processor. (Matrix products use fused multiply-adds where the processor has them; everything
//! else gives the same bits everywhere.)
//!
//! A loss gives its value and its gradient in one call. Values come from numbers that are not
//! finite as such numbers: the caller looks at the loss.

mod cpu;
mod kernel;
mod rate;
mod real;
mod types;

#[cfg(feature = "train-cuda")]
pub(in crate::train) use cpu::common;
pub use cpu::{CpuEngine, Matrix};
pub use kernel::Kernel;
pub use rate::{cosine_rate, poly_rate};
pub use real::Real;
pub use types::{
    Activation, Adam, AdamPart, AdamState, Contrastive, ContrastiveLoss, CrossEntropy, Denominator,
    Depthwise, Draw, Labelled, Loss, Mmd, MmdGroup, MmdLoss, Noise, Normalised, Pairs, Product,
    Repeated, Resize, Sgd, SgdPart, Targets,
};

use crate::status::{self, Result};
use std::vec::Vec;

/// Something that computes, over numbers of type `F`.
///
/// # Errors
/// Every operation: `Status::InvalidArgument` for tensors whose shapes do not fit together or to
/// the settings, for labels that are no class, and for settings outside their range. Nothing has
/// changed then.
pub trait Engine<F: Real> {
    /// A matrix where the engine keeps it.
    type Tensor: Clone;

    /// Numbers in f64, as the engine has them or will have them.
    type Values;

    /// Reads numbers, once they are there.
    fn read(&self, values: &Self::Values) -> Result<Vec<f64>>;

    /// Does work that comes again and again with tensors of the same shapes. The result is that of
    /// the work; an engine for which every call has a price may record the calls, and make them at
    /// once the next time. It is of most use where nothing is read inside, and where tensors that
    /// are new every time are uploaded inside.
    fn repeated<R, X: From<status::Error>>(
        &self,
        what: &Repeated<'_>,
        work: impl FnOnce() -> core::result::Result<R, X>,
    ) -> core::result::Result<R, X> {
        let _ = what;
        work()
    }

    /// A tensor of `[rows, columns]` from its values, row after row. There is at least one column.
    fn upload(&self, shape: [usize; 2], values: &[F]) -> Result<Self::Tensor>;

    /// A tensor on its way to where the engine keeps it.
    type Sent;

    /// Starts an upload, as [`Engine::upload`]. An engine with memory of its own goes on with its
    /// work meanwhile.
    fn send(&self, shape: [usize; 2], values: &[F]) -> Result<Self::Sent>;

    /// The tensor of an upload that was started; what is asked for from now on waits for it.
    fn receive(&self, sent: Self::Sent) -> Result<Self::Tensor>;

    /// The values of a tensor, row after row.
    fn download(&self, tensor: &Self::Tensor) -> Result<Vec<F>>;

    /// Rows and columns.
    fn shape(&self, tensor: &Self::Tensor) -> [usize; 2];

    /// Random numbers. Number `i` is number `i % 4` of block `i / 4` of the draw.
    fn noise(&self, shape: [usize; 2], noise: Noise, draw: Draw) -> Result<Self::Tensor>;

    /// The product of two matrices, plus `bias` (`[1, n]`) in every row. `2 m n k` operations.
    fn product(
        &self,
        form: Product,
        a: &Self::Tensor,
        b: &Self::Tensor,
        bias: Option<&Self::Tensor>,
    ) -> Result<Self::Tensor>;

    /// `[1, columns]`: the sum of all rows, which is the gradient of a bias.
    fn column_sums(&self, x: &Self::Tensor) -> Result<Self::Tensor>;

    /// `y += factor * x`.
    fn add_scaled(&self, y: &mut Self::Tensor, factor: F, x: &Self::Tensor) -> Result<()>;

    /// The rows with the numbers `indices`, in that order; repeats are allowed.
    fn gather_rows(&self, x: &Self::Tensor, indices: &[usize]) -> Result<Self::Tensor>;

    /// The gradient of [`Engine::gather_rows`]: row `i` of `dy` is added to row `indices[i]` of
    /// `rows` rows.
    fn scatter_rows(
        &self,
        dy: &Self::Tensor,
        indices: &[usize],
        rows: usize,
    ) -> Result<Self::Tensor>;

    /// Leaky ReLU and dropout.
    fn activate(&self, x: &Self::Tensor, activation: &Activation) -> Result<Self::Tensor>;

    /// The gradient by `x` of [`Engine::activate`] of `x`, given that by its result.
    fn activate_backward(
        &self,
        x: &Self::Tensor,
        dy: &Self::Tensor,
        activation: &Activation,
    ) -> Result<Self::Tensor>;

    /// Softmax cross-entropy of `[rows, classes]`, divided by the sum of the weights
    /// (methods.md 2.6).
    fn cross_entropy(
        &self,
        logits: &Self::Tensor,
        targets: &Targets<'_, F>,
    ) -> Result<CrossEntropy<Self::Tensor>>;

    /// Row weights (1 and 0) of the hardest rows: the `min(floor(share * rows), valid rows)` rows
    /// with the largest loss, ignored rows counted in `rows` (methods.md 7.5). Of equal ones the
    /// earlier goes first. `losses` is [`CrossEntropy::rows`]; `share` is 0 to 1.
    fn hardest_rows(&self, losses: &Self::Tensor, labels: &[i32], share: f64) -> Result<Vec<F>>;

    /// Binary cross-entropy of logits (any shape), balanced by class (methods.md 6.7): a positive
    /// weighs the share of negatives and the other way round, anything but 0 and 1 weighs nothing;
    /// the mean is over all numbers.
    fn balanced_cross_entropy(
        &self,
        logits: &Self::Tensor,
        targets: &[i32],
    ) -> Result<Loss<Self::Tensor>>;

    /// Kullback-Leibler divergence of the softmax of `student` from that of `teacher`
    /// (methods.md 8), the mean over the rows by `row_weights`; the gradient is the student's.
    fn divergence(
        &self,
        teacher: &Self::Tensor,
        student: &Self::Tensor,
        row_weights: Option<&[F]>,
    ) -> Result<Loss<Self::Tensor>>;

    /// Mean of the squared differences; the gradient is the student's.
    fn squared_error(
        &self,
        teacher: &Self::Tensor,
        student: &Self::Tensor,
    ) -> Result<Loss<Self::Tensor>>;

    /// Rows divided by their lengths.
    fn normalise(&self, x: &Self::Tensor) -> Result<Normalised<Self::Tensor>>;

    /// The gradient by `x` of [`Engine::normalise`], given that by its rows
    /// (methods.md 5.5); 0 for a row of zeros.
    fn normalise_backward(
        &self,
        normalised: &Normalised<Self::Tensor>,
        dy: &Self::Tensor,
    ) -> Result<Self::Tensor>;

    /// Maximum mean discrepancy of generated from real features (methods.md 2.5, 4.2). Memory
    /// grows with the rows, not with their square.
    fn mmd(
        &self,
        generated: &Self::Tensor,
        real: &Self::Tensor,
        settings: &Mmd<'_, F>,
    ) -> Result<MmdLoss<Self::Tensor, Self::Values>>;

    /// Label-based contrastive loss (methods.md 5.2 to 5.5). Memory for a block of anchors by
    /// all keys.
    fn contrastive(
        &self,
        pairs: &Pairs<'_, Self::Tensor>,
        settings: &Contrastive,
    ) -> Result<ContrastiveLoss<Self::Tensor>>;

    /// Bilinear resizing without antialiasing, as PyTorch's `interpolate`.
    fn resize(&self, x: &Self::Tensor, resize: &Resize) -> Result<Self::Tensor>;

    /// The gradient of [`Engine::resize`] by its input, given that by its result.
    fn resize_backward(&self, dy: &Self::Tensor, resize: &Resize) -> Result<Self::Tensor>;

    /// Depthwise 3x3 convolution of every column by itself, stride 1, zeros beyond the border, plus
    /// `bias` (`[1, columns]`). `weights` is `[9, columns]`: a row per place of the kernel, row
    /// after row (as ONNX's `Conv`, a correlation). `18 m n` operations.
    fn depthwise(
        &self,
        x: &Self::Tensor,
        weights: &Self::Tensor,
        bias: Option<&Self::Tensor>,
        depthwise: &Depthwise,
    ) -> Result<Self::Tensor>;

    /// The gradient of [`Engine::depthwise`] by `x`, given that by its result.
    fn depthwise_backward(
        &self,
        dy: &Self::Tensor,
        weights: &Self::Tensor,
        depthwise: &Depthwise,
    ) -> Result<Self::Tensor>;

    /// The gradient of [`Engine::depthwise`] by `weights`, given that by its result. That by
    /// `bias` is [`Engine::column_sums`].
    fn depthwise_gradient(
        &self,
        x: &Self::Tensor,
        dy: &Self::Tensor,
        depthwise: &Depthwise,
    ) -> Result<Self::Tensor>;

    /// Matrices of as many rows side by side; at least one.
    fn join_columns(&self, parts: &[&Self::Tensor]) -> Result<Self::Tensor>;

    /// Columns `start..start + count`, which is the gradient of [`Engine::join_columns`] by one
    /// part.
    fn columns(&self, x: &Self::Tensor, start: usize, count: usize) -> Result<Self::Tensor>;

    /// A state of Adam for parameters of this shape.
    fn adam_state(&self, shape: [usize; 2]) -> Result<AdamState<Self::Tensor>>;

    /// One step of Adam, with bias correction as PyTorch has it.
    fn adam_step(
        &self,
        parameters: &mut Self::Tensor,
        gradient: &Self::Tensor,
        state: &mut AdamState<Self::Tensor>,
        adam: &Adam,
    ) -> Result<()>;

    /// One step of stochastic gradient descent; `velocity` starts at 0.
    fn sgd_step(
        &self,
        parameters: &mut Self::Tensor,
        gradient: &Self::Tensor,
        velocity: &mut Self::Tensor,
        sgd: &Sgd,
    ) -> Result<()>;

    /// One step of Adam of several parameters, each as [`Engine::adam_step`] makes it. An engine
    /// for which every call has a price makes them all at once. After an error some may have been
    /// stepped.
    fn adam_steps(&self, parts: &mut [AdamPart<'_, Self::Tensor>]) -> Result<()> {
        for part in parts {
            self.adam_step(part.parameters, part.gradient, part.state, &part.adam)?;
        }
        Ok(())
    }

    /// One step of stochastic gradient descent of several parameters, as [`Engine::adam_steps`].
    fn sgd_steps(&self, parts: &mut [SgdPart<'_, Self::Tensor>]) -> Result<()> {
        for part in parts {
            self.sgd_step(part.parameters, part.gradient, part.velocity, &part.sgd)?;
        }
        Ok(())
    }
}
