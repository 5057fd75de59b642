//! Training that goes step by step, and can be put down after any step.

use super::engine::Matrix;
use super::error::{Error, Result};
use super::model::Model;
use std::borrow::ToOwned;
use std::collections::BTreeMap;
use std::format;
use std::string::String;
use std::vec::Vec;

/// Everything that the rest of a training depends on: named matrices and named lists of whole
/// numbers. Bits survive being written and read.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct State {
    /// Parameters, moments and the like.
    pub matrices: BTreeMap<String, Matrix<f32>>,
    /// Counters, choices and the like.
    pub numbers: BTreeMap<String, Vec<u64>>,
}

impl State {
    /// Adds a matrix, in place of one of the same name.
    pub fn put(&mut self, name: &str, matrix: Matrix<f32>) {
        self.matrices.insert(name.to_owned(), matrix);
    }

    /// Adds whole numbers, in place of ones of the same name.
    pub fn put_numbers(&mut self, name: &str, numbers: Vec<u64>) {
        self.numbers.insert(name.to_owned(), numbers);
    }

    /// The matrix of a name.
    ///
    /// # Errors
    /// [`Error::Config`] if there is none.
    pub fn get(&self, name: &str) -> Result<&Matrix<f32>> {
        self.matrices
            .get(name)
            .ok_or_else(|| Error::config(format!("the state has no matrix \"{name}\"")))
    }

    /// The matrix of a name, which must have this shape.
    ///
    /// # Errors
    /// [`Error::Config`] if there is none, or one of another shape.
    pub fn get_shaped(&self, name: &str, shape: [usize; 2]) -> Result<&Matrix<f32>> {
        let matrix = self.get(name)?;
        if matrix.shape() != shape {
            let found = matrix.shape();
            let reason = format!("matrix \"{name}\" is {found:?}, and should be {shape:?}");
            return Err(Error::config(reason));
        }
        Ok(matrix)
    }

    /// The whole numbers of a name.
    ///
    /// # Errors
    /// [`Error::Config`] if there are none.
    pub fn get_numbers(&self, name: &str) -> Result<&[u64]> {
        let found = self.numbers.get(name).map(Vec::as_slice);
        found.ok_or_else(|| Error::config(format!("the state has no numbers \"{name}\"")))
    }
}

/// What a step tells: losses and the like, by name. Names are the same at every step that has
/// them.
pub type Report = Vec<(&'static str, f64)>;

/// A part of a training with one kind of step. All random numbers come from the seed, the step's
/// number and what they are for, so that a stage put down and taken up again ends with the same
/// bits.
pub trait Stage {
    /// Number of steps. A stage in closed form has one per picture that it reads.
    fn steps(&self) -> u64;

    /// Does step `step`; steps come in their order.
    ///
    /// # Errors
    /// [`Error::NotFinite`] for a loss that is no finite number, and those of reading features.
    fn step(&mut self, step: u64) -> Result<Report>;

    /// Everything that later steps depend on; after the last step, what the stage has learnt.
    ///
    /// # Errors
    /// Those of the engine.
    fn state(&self) -> Result<State>;

    /// Takes up a state of this very stage.
    ///
    /// # Errors
    /// [`Error::Config`] for a state of something else; nothing is changed then.
    fn restore(&mut self, state: &State) -> Result<()>;
}

/// A method: stages, each of which may use what those before it have learnt, and the model that
/// comes of them.
pub trait Method {
    /// Names of the stages in their order, at least one; all differ.
    fn stages(&self) -> Vec<String>;

    /// A stage before its first step. `done` has the last states of all stages before it.
    ///
    /// # Errors
    /// [`Error::Config`] if settings do not fit to the task.
    fn begin<'s>(&'s self, stage: usize, done: &[State])
    -> Result<std::boxed::Box<dyn Stage + 's>>;

    /// What whoever reads its results has to know, such as that it is no zero-shot training.
    fn warning(&self) -> Option<&'static str> {
        None
    }

    /// The model, from the last states of all stages.
    ///
    /// # Errors
    /// [`Error::Config`] for states of something else.
    fn finish(&self, done: &[State]) -> Result<Model>;
}

/// Runs a method from its first step to its last, without files.
///
/// # Errors
/// Those of the method.
pub fn run(method: &dyn Method) -> Result<Model> {
    let mut done = Vec::new();
    for index in 0..method.stages().len() {
        let mut stage = method.begin(index, &done)?;
        for step in 0..stage.steps() {
            stage.step(step)?;
        }
        done.push(stage.state()?);
    }
    method.finish(&done)
}
