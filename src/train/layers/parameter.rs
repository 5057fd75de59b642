//! A matrix that is learnt, with what its optimiser remembers of it.

use crate::train::engine::{Adam, AdamPart, AdamState, Engine, Matrix, Sgd, SgdPart};
use crate::train::error::Result;
use crate::train::stage::State;
use std::format;
use std::vec;
use std::vec::Vec;

/// How a parameter is stepped.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Optimiser {
    /// Adam.
    Adam(Adam),
    /// Stochastic gradient descent with momentum.
    Sgd(Sgd),
}

/// A matrix that is learnt.
#[derive(Clone, Debug)]
pub struct Parameter<T> {
    value: T,
    memory: Memory<T>,
}

/// What an optimiser remembers. Made at the first step.
#[derive(Clone, Debug)]
enum Memory<T> {
    None,
    Adam(AdamState<T>),
    Sgd(T),
}

impl<T: Clone> Parameter<T> {
    /// A parameter that has not been stepped.
    pub fn new(value: T) -> Parameter<T> {
        Parameter { value, memory: Memory::None }
    }

    /// What it is now.
    pub fn value(&self) -> &T {
        &self.value
    }

    /// Steps along a gradient. An optimiser of another kind than before starts anew.
    ///
    /// # Errors
    /// Those of the engine; the value is not changed then.
    pub fn step<E>(&mut self, engine: &E, gradient: &T, optimiser: &Optimiser) -> Result<()>
    where
        E: Engine<f32, Tensor = T>,
    {
        step_all(engine, [Update { parameter: self, gradient, optimiser: *optimiser }])
    }

    /// Makes room for what an optimiser remembers, unless it has been there before.
    fn prepare<E>(&mut self, engine: &E, optimiser: &Optimiser) -> Result<()>
    where
        E: Engine<f32, Tensor = T>,
    {
        let shape = engine.shape(&self.value);
        match (optimiser, &self.memory) {
            (Optimiser::Adam(_), Memory::Adam(_)) | (Optimiser::Sgd(_), Memory::Sgd(_)) => {}
            (Optimiser::Adam(_), _) => self.memory = Memory::Adam(engine.adam_state(shape)?),
            (Optimiser::Sgd(_), _) => {
                let zeros = vec![0.0; shape[0] * shape[1]];
                self.memory = Memory::Sgd(engine.upload(shape, &zeros)?);
            }
        }
        Ok(())
    }

    /// Writes value and memory into a state, under names that start with `name`.
    ///
    /// # Errors
    /// Those of the engine.
    pub fn save<E>(&self, engine: &E, name: &str, state: &mut State) -> Result<()>
    where
        E: Engine<f32, Tensor = T>,
    {
        let mut put = |name: &str, tensor: &T| -> Result<()> {
            let matrix = Matrix::new(engine.shape(tensor), engine.download(tensor)?)?;
            state.put(name, matrix);
            Ok(())
        };
        put(name, &self.value)?;
        match &self.memory {
            Memory::None => {}
            Memory::Sgd(velocity) => put(&format!("{name}.velocity"), velocity)?,
            Memory::Adam(adam) => {
                put(&format!("{name}.first"), &adam.first)?;
                put(&format!("{name}.second"), &adam.second)?;
                state.put_numbers(&format!("{name}.steps"), vec![adam.steps.into()]);
            }
        }
        Ok(())
    }

    /// Reads what [`Parameter::save`] wrote; `shape` is the parameter's.
    ///
    /// # Errors
    /// [`crate::train::Error::Config`] if there is no such parameter, or one of another shape.
    pub fn load<E>(engine: &E, name: &str, shape: [usize; 2], state: &State) -> Result<Parameter<T>>
    where
        E: Engine<f32, Tensor = T>,
    {
        let read = |name: &str| -> Result<T> {
            Ok(engine.upload(shape, state.get_shaped(name, shape)?.values())?)
        };
        let value = read(name)?;
        let (velocity, first) = (format!("{name}.velocity"), format!("{name}.first"));
        let memory = if state.matrices.contains_key(&velocity) {
            Memory::Sgd(read(&velocity)?)
        } else if state.matrices.contains_key(&first) {
            let second = read(&format!("{name}.second"))?;
            let steps = state.get_numbers(&format!("{name}.steps"))?;
            let steps = steps.first().copied().unwrap_or(0);
            let steps = u32::try_from(steps).unwrap_or(u32::MAX);
            Memory::Adam(AdamState { first: read(&first)?, second, steps })
        } else {
            Memory::None
        };
        Ok(Parameter { value, memory })
    }
}

/// A parameter, the gradient that it is stepped along, and how.
#[derive(Debug)]
pub struct Update<'a, T> {
    /// What is stepped.
    pub parameter: &'a mut Parameter<T>,
    /// As the parameter.
    pub gradient: &'a T,
    /// How it is stepped.
    pub optimiser: Optimiser,
}

/// Steps several parameters, as [`Parameter::step`] does each, in as few calls of the engine as
/// there are kinds of optimisers.
///
/// # Errors
/// Those of the engine; some may have been stepped then.
pub fn step_all<'a, T, E>(
    engine: &E,
    updates: impl IntoIterator<Item = Update<'a, T>>,
) -> Result<()>
where
    T: Clone + 'a,
    E: Engine<f32, Tensor = T>,
{
    let (mut adams, mut sgds) = (Vec::new(), Vec::new());
    for Update { parameter, gradient, optimiser } in updates {
        parameter.prepare(engine, &optimiser)?;
        let Parameter { value: parameters, memory } = parameter;
        match (optimiser, memory) {
            (Optimiser::Adam(adam), Memory::Adam(state)) => {
                adams.push(AdamPart { parameters, gradient, state, adam });
            }
            (Optimiser::Sgd(sgd), Memory::Sgd(velocity)) => {
                sgds.push(SgdPart { parameters, gradient, velocity, sgd });
            }
            // The memory is that of the optimiser since it was prepared.
            _ => {}
        }
    }
    engine.adam_steps(&mut adams)?;
    Ok(engine.sgd_steps(&mut sgds)?)
}
