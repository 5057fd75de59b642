//! The engine that computes on a device: shapes are checked as the CPU engine checks them, and
//! kernels launched.

mod call;
mod contrastive;
mod losses;
mod mmd;
mod noise;
mod optimiser;
mod pairs;
mod pictures;
mod repeat;
mod rows;
mod tensor;

pub use pairs::{PairDefines, Precision, pair_defines};
pub use tensor::{Numbers, Sent, Tensor};

use super::backend::{Backend, Define};
use super::sources::Source;
use crate::status::{self, Result};
use crate::train::engine::{
    Activation, Adam, AdamPart, AdamState, Contrastive, ContrastiveLoss, CrossEntropy, Depthwise,
    Draw, Engine, Loss, Mmd, MmdLoss, Noise, Normalised, Pairs, Product, Repeated, Resize, Sgd,
    SgdPart, Targets,
};
use core::fmt;
use repeat::Repeats;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::vec::Vec;

/// The engine that computes on a device, in f32. Results repeat bit for bit on the same device;
/// they are those of the CPU engine up to rounding, and random numbers to the last bit.
pub struct CudaEngine<B: Backend> {
    backend: B,
    modules: Mutex<BTreeMap<Key, Arc<B::Module>>>,
    precision: Precision,
    repeats: Mutex<Repeats<B>>,
}

/// What a module is compiled from: the source's name and its constants.
type Key = (&'static str, Vec<Define>);

impl<B: Backend> CudaEngine<B> {
    /// An engine on a device. Sources are compiled when they are first needed.
    pub fn new(backend: B) -> CudaEngine<B> {
        let (modules, precision) = (Mutex::new(BTreeMap::new()), Precision::default());
        CudaEngine { backend, modules, precision, repeats: Mutex::new(Repeats::new()) }
    }

    /// The same engine with products of pairs of rows in another precision.
    #[must_use]
    pub fn with_precision(mut self, precision: Precision) -> CudaEngine<B> {
        self.precision = precision;
        self
    }

    /// The device.
    pub fn backend(&self) -> &B {
        &self.backend
    }

    fn module(&self, source: &Source, defines: &[Define]) -> Result<Arc<B::Module>> {
        let key = (source.name, defines.to_vec());
        // A panic elsewhere leaves the map as it was.
        let mut modules = self.modules.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(module) = modules.get(&key) {
            return Ok(module.clone());
        }
        let module = Arc::new(self.backend.load(source, defines)?);
        modules.insert(key, module.clone());
        Ok(module)
    }
}

impl<B: Backend + fmt::Debug> fmt::Debug for CudaEngine<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CudaEngine").field("backend", &self.backend).finish_non_exhaustive()
    }
}

impl<B: Backend> Engine<f32> for CudaEngine<B> {
    type Tensor = Tensor<B>;
    type Values = Numbers<B>;
    type Sent = Sent<B>;

    fn send(&self, shape: [usize; 2], values: &[f32]) -> Result<Sent<B>> {
        self.send_tensor(shape, values)
    }

    fn receive(&self, sent: Sent<B>) -> Result<Tensor<B>> {
        self.receive_tensor(sent)
    }

    fn read(&self, values: &Numbers<B>) -> Result<Vec<f64>> {
        values.read(self)
    }

    fn repeated<R, X: From<status::Error>>(
        &self,
        what: &Repeated<'_>,
        work: impl FnOnce() -> core::result::Result<R, X>,
    ) -> core::result::Result<R, X> {
        self.repeat(what, work)
    }

    fn upload(&self, shape: [usize; 2], values: &[f32]) -> Result<Tensor<B>> {
        self.upload_tensor(shape, values)
    }

    fn download(&self, tensor: &Tensor<B>) -> Result<Vec<f32>> {
        self.download_numbers(tensor.memory(), tensor.count())
    }

    fn shape(&self, tensor: &Tensor<B>) -> [usize; 2] {
        tensor.shape()
    }

    fn noise(&self, shape: [usize; 2], noise: Noise, draw: Draw) -> Result<Tensor<B>> {
        noise::noise(self, shape, noise, draw)
    }

    fn product(
        &self,
        form: Product,
        a: &Tensor<B>,
        b: &Tensor<B>,
        bias: Option<&Tensor<B>>,
    ) -> Result<Tensor<B>> {
        rows::product(self, form, a, b, bias)
    }

    fn column_sums(&self, x: &Tensor<B>) -> Result<Tensor<B>> {
        rows::column_sums(self, x)
    }

    fn add_scaled(&self, y: &mut Tensor<B>, factor: f32, x: &Tensor<B>) -> Result<()> {
        rows::add_scaled(self, y, factor, x)
    }

    fn gather_rows(&self, x: &Tensor<B>, indices: &[usize]) -> Result<Tensor<B>> {
        rows::gather(self, x, indices)
    }

    fn scatter_rows(&self, dy: &Tensor<B>, indices: &[usize], rows: usize) -> Result<Tensor<B>> {
        rows::scatter(self, dy, indices, rows)
    }

    fn activate(&self, x: &Tensor<B>, activation: &Activation) -> Result<Tensor<B>> {
        noise::activate(self, x, x, activation)
    }

    fn activate_backward(
        &self,
        x: &Tensor<B>,
        dy: &Tensor<B>,
        activation: &Activation,
    ) -> Result<Tensor<B>> {
        noise::activate(self, x, dy, activation)
    }

    fn cross_entropy(
        &self,
        logits: &Tensor<B>,
        targets: &Targets<'_, f32>,
    ) -> Result<CrossEntropy<Tensor<B>>> {
        losses::cross_entropy(self, logits, targets)
    }

    fn hardest_rows(&self, losses: &Tensor<B>, labels: &[i32], share: f64) -> Result<Vec<f32>> {
        losses::hardest(self, losses, labels, share)
    }

    fn balanced_cross_entropy(
        &self,
        logits: &Tensor<B>,
        targets: &[i32],
    ) -> Result<Loss<Tensor<B>>> {
        losses::balanced(self, logits, targets)
    }

    fn divergence(
        &self,
        teacher: &Tensor<B>,
        student: &Tensor<B>,
        row_weights: Option<&[f32]>,
    ) -> Result<Loss<Tensor<B>>> {
        losses::divergence(self, teacher, student, row_weights)
    }

    fn squared_error(&self, teacher: &Tensor<B>, student: &Tensor<B>) -> Result<Loss<Tensor<B>>> {
        losses::squared_error(self, teacher, student)
    }

    fn normalise(&self, x: &Tensor<B>) -> Result<Normalised<Tensor<B>>> {
        rows::normalise(self, x)
    }

    fn normalise_backward(
        &self,
        normalised: &Normalised<Tensor<B>>,
        dy: &Tensor<B>,
    ) -> Result<Tensor<B>> {
        rows::normalise_backward(self, normalised, dy)
    }

    fn mmd(
        &self,
        generated: &Tensor<B>,
        real: &Tensor<B>,
        settings: &Mmd<'_, f32>,
    ) -> Result<MmdLoss<Tensor<B>, Numbers<B>>> {
        mmd::mmd(self, generated, real, settings)
    }

    fn contrastive(
        &self,
        pairs: &Pairs<'_, Tensor<B>>,
        settings: &Contrastive,
    ) -> Result<ContrastiveLoss<Tensor<B>>> {
        contrastive::contrastive(self, pairs, settings)
    }

    fn resize(&self, x: &Tensor<B>, resize: &Resize) -> Result<Tensor<B>> {
        pictures::resize(self, x, resize)
    }

    fn resize_backward(&self, dy: &Tensor<B>, resize: &Resize) -> Result<Tensor<B>> {
        pictures::resize_backward(self, dy, resize)
    }

    fn depthwise(
        &self,
        x: &Tensor<B>,
        weights: &Tensor<B>,
        bias: Option<&Tensor<B>>,
        depthwise: &Depthwise,
    ) -> Result<Tensor<B>> {
        pictures::depthwise(self, x, weights, bias, depthwise)
    }

    fn depthwise_backward(
        &self,
        dy: &Tensor<B>,
        weights: &Tensor<B>,
        depthwise: &Depthwise,
    ) -> Result<Tensor<B>> {
        pictures::depthwise_backward(self, dy, weights, depthwise)
    }

    fn depthwise_gradient(
        &self,
        x: &Tensor<B>,
        dy: &Tensor<B>,
        depthwise: &Depthwise,
    ) -> Result<Tensor<B>> {
        pictures::depthwise_gradient(self, x, dy, depthwise)
    }

    fn join_columns(&self, parts: &[&Tensor<B>]) -> Result<Tensor<B>> {
        rows::join(self, parts)
    }

    fn columns(&self, x: &Tensor<B>, start: usize, count: usize) -> Result<Tensor<B>> {
        rows::columns(self, x, start, count)
    }

    fn adam_state(&self, shape: [usize; 2]) -> Result<AdamState<Tensor<B>>> {
        Ok(AdamState { first: self.zeros(shape)?, second: self.zeros(shape)?, steps: 0 })
    }

    fn adam_step(
        &self,
        parameters: &mut Tensor<B>,
        gradient: &Tensor<B>,
        state: &mut AdamState<Tensor<B>>,
        adam: &Adam,
    ) -> Result<()> {
        self.adam_steps(&mut [AdamPart { parameters, gradient, state, adam: *adam }])
    }

    fn sgd_step(
        &self,
        parameters: &mut Tensor<B>,
        gradient: &Tensor<B>,
        velocity: &mut Tensor<B>,
        sgd: &Sgd,
    ) -> Result<()> {
        self.sgd_steps(&mut [SgdPart { parameters, gradient, velocity, sgd: *sgd }])
    }

    fn adam_steps(&self, parts: &mut [AdamPart<'_, Tensor<B>>]) -> Result<()> {
        optimiser::adam(self, parts)
    }

    fn sgd_steps(&self, parts: &mut [SgdPart<'_, Tensor<B>>]) -> Result<()> {
        optimiser::sgd(self, parts)
    }
}
