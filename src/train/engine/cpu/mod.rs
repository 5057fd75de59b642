//! The engine that computes on the CPU.

mod bilinear;
mod contrastive;
mod depthwise;
mod entropy;
mod matrix;
mod mmd;
mod optimiser;
mod product;
mod simple;
mod workers;

pub use matrix::Matrix;

/// What the engine on a GPU checks and lays out in the same way.
#[cfg(feature = "train-cuda")]
pub(in crate::train) mod common {
    pub(in crate::train) use super::bilinear::{pixels, readers, taps};
    pub(in crate::train) use super::contrastive::positive_counts;
    pub(in crate::train) use super::depthwise::check_pictures;
    pub(in crate::train) use super::matrix::{
        check, check_shape, check_weights, count, invalid, require, weight_at,
    };
    pub(in crate::train) use super::optimiser::AdamStep;
}

use super::{
    Activation, Adam, AdamState, Contrastive, ContrastiveLoss, CrossEntropy, Depthwise, Draw,
    Engine, Loss, Mmd, MmdLoss, Noise, Normalised, Pairs, Product, Real, Resize, Sgd, Targets,
};
use crate::status::Result;
use std::num::NonZeroUsize;
use std::vec::Vec;

/// The engine that computes on the CPU. The number of threads changes no bit of a result.
#[derive(Clone, Copy, Debug)]
pub struct CpuEngine {
    threads: NonZeroUsize,
}

impl CpuEngine {
    /// An engine with that many threads for large products, discrepancies, contrasts and pictures.
    pub fn new(threads: NonZeroUsize) -> CpuEngine {
        CpuEngine { threads }
    }
}

impl<F: Real> Engine<F> for CpuEngine {
    type Tensor = Matrix<F>;
    type Values = Vec<f64>;
    type Sent = Matrix<F>;

    fn send(&self, shape: [usize; 2], values: &[F]) -> Result<Matrix<F>> {
        self.upload(shape, values)
    }

    fn receive(&self, sent: Matrix<F>) -> Result<Matrix<F>> {
        Ok(sent)
    }

    fn read(&self, values: &Vec<f64>) -> Result<Vec<f64>> {
        Ok(values.clone())
    }

    fn upload(&self, shape: [usize; 2], values: &[F]) -> Result<Matrix<F>> {
        Matrix::new(shape, values.to_vec())
    }

    fn download(&self, tensor: &Matrix<F>) -> Result<Vec<F>> {
        Ok(tensor.values().to_vec())
    }

    fn shape(&self, tensor: &Matrix<F>) -> [usize; 2] {
        tensor.shape()
    }

    fn noise(&self, shape: [usize; 2], noise: Noise, draw: Draw) -> Result<Matrix<F>> {
        simple::noise(shape, noise, draw)
    }

    fn product(
        &self,
        form: Product,
        a: &Matrix<F>,
        b: &Matrix<F>,
        bias: Option<&Matrix<F>>,
    ) -> Result<Matrix<F>> {
        product::product(self.threads, form, a, b, bias)
    }

    fn column_sums(&self, x: &Matrix<F>) -> Result<Matrix<F>> {
        simple::column_sums(x)
    }

    fn add_scaled(&self, y: &mut Matrix<F>, factor: F, x: &Matrix<F>) -> Result<()> {
        matrix::check_shape(x.shape(), y.shape())?;
        simple::add(y.values_mut(), factor, x.values());
        Ok(())
    }

    fn gather_rows(&self, x: &Matrix<F>, indices: &[usize]) -> Result<Matrix<F>> {
        simple::gather(x, indices)
    }

    fn scatter_rows(&self, dy: &Matrix<F>, indices: &[usize], rows: usize) -> Result<Matrix<F>> {
        simple::scatter(dy, indices, rows)
    }

    fn activate(&self, x: &Matrix<F>, activation: &Activation) -> Result<Matrix<F>> {
        simple::activate(x, activation)
    }

    fn activate_backward(
        &self,
        x: &Matrix<F>,
        dy: &Matrix<F>,
        activation: &Activation,
    ) -> Result<Matrix<F>> {
        simple::activate_backward(x, dy, activation)
    }

    fn cross_entropy(
        &self,
        logits: &Matrix<F>,
        targets: &Targets<'_, F>,
    ) -> Result<CrossEntropy<Matrix<F>>> {
        entropy::cross_entropy(logits, targets)
    }

    fn hardest_rows(&self, losses: &Matrix<F>, labels: &[i32], share: f64) -> Result<Vec<F>> {
        entropy::hardest(losses, labels, share)
    }

    fn balanced_cross_entropy(
        &self,
        logits: &Matrix<F>,
        targets: &[i32],
    ) -> Result<Loss<Matrix<F>>> {
        entropy::balanced(logits, targets)
    }

    fn divergence(
        &self,
        teacher: &Matrix<F>,
        student: &Matrix<F>,
        row_weights: Option<&[F]>,
    ) -> Result<Loss<Matrix<F>>> {
        entropy::divergence(teacher, student, row_weights)
    }

    fn squared_error(&self, teacher: &Matrix<F>, student: &Matrix<F>) -> Result<Loss<Matrix<F>>> {
        entropy::squared_error(teacher, student)
    }

    fn normalise(&self, x: &Matrix<F>) -> Result<Normalised<Matrix<F>>> {
        simple::normalise(x)
    }

    fn normalise_backward(
        &self,
        normalised: &Normalised<Matrix<F>>,
        dy: &Matrix<F>,
    ) -> Result<Matrix<F>> {
        simple::normalise_backward(normalised, dy)
    }

    fn mmd(
        &self,
        generated: &Matrix<F>,
        real: &Matrix<F>,
        settings: &Mmd<'_, F>,
    ) -> Result<MmdLoss<Matrix<F>>> {
        mmd::mmd(self.threads, generated, real, settings)
    }

    fn contrastive(
        &self,
        pairs: &Pairs<'_, Matrix<F>>,
        settings: &Contrastive,
    ) -> Result<ContrastiveLoss<Matrix<F>>> {
        contrastive::contrastive(self.threads, pairs, settings)
    }

    fn resize(&self, x: &Matrix<F>, resize: &Resize) -> Result<Matrix<F>> {
        bilinear::resize(self.threads, x, resize)
    }

    fn resize_backward(&self, dy: &Matrix<F>, resize: &Resize) -> Result<Matrix<F>> {
        bilinear::resize_backward(self.threads, dy, resize)
    }

    fn depthwise(
        &self,
        x: &Matrix<F>,
        weights: &Matrix<F>,
        bias: Option<&Matrix<F>>,
        settings: &Depthwise,
    ) -> Result<Matrix<F>> {
        depthwise::forward(self.threads, x, weights, bias, settings)
    }

    fn depthwise_backward(
        &self,
        dy: &Matrix<F>,
        weights: &Matrix<F>,
        settings: &Depthwise,
    ) -> Result<Matrix<F>> {
        depthwise::backward(self.threads, dy, weights, settings)
    }

    fn depthwise_gradient(
        &self,
        x: &Matrix<F>,
        dy: &Matrix<F>,
        settings: &Depthwise,
    ) -> Result<Matrix<F>> {
        depthwise::gradient(self.threads, x, dy, settings)
    }

    fn join_columns(&self, parts: &[&Matrix<F>]) -> Result<Matrix<F>> {
        depthwise::join(parts)
    }

    fn columns(&self, x: &Matrix<F>, start: usize, count: usize) -> Result<Matrix<F>> {
        depthwise::columns(x, start, count)
    }

    fn adam_state(&self, shape: [usize; 2]) -> Result<AdamState<Matrix<F>>> {
        optimiser::adam_state(shape)
    }

    fn adam_step(
        &self,
        parameters: &mut Matrix<F>,
        gradient: &Matrix<F>,
        state: &mut AdamState<Matrix<F>>,
        adam: &Adam,
    ) -> Result<()> {
        optimiser::adam(parameters, gradient, state, adam)
    }

    fn sgd_step(
        &self,
        parameters: &mut Matrix<F>,
        gradient: &Matrix<F>,
        velocity: &mut Matrix<F>,
        sgd: &Sgd,
    ) -> Result<()> {
        optimiser::sgd(parameters, gradient, velocity, sgd)
    }
}
