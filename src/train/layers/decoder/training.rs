//! A decoder while it is trained.

use super::parts::{Dense, Layers};
use super::pass::{Pass, backward, forward};
use super::settings::DecoderShape;
use super::{Decoder, read_taps};
use crate::train::engine::{Draw, Engine, Matrix, Noise};
use crate::train::error::Result;
use crate::train::layers::{Optimiser, Parameter, Update, step_all};
use crate::train::methods::Scaling;
use crate::train::pictures::{Pictures, Tap};
use crate::train::stage::State;
use std::format;
use std::vec;
use std::vec::Vec;

/// A decoder while it is trained: its taps are brought to mean 0 and deviation 1 first, which
/// [`DecoderTraining::decoder`] folds into the first layers.
#[derive(Clone, Debug)]
pub struct DecoderTraining<T> {
    shape: DecoderShape,
    scalings: Vec<Scaling>,
    layers: Layers<Parameter<T>>,
}

/// Taps of some pictures, as the first layers take them.
#[derive(Clone, Debug)]
pub struct ScaledTaps<T>(Vec<T>);

/// Taps on their way to the engine.
#[derive(Debug)]
pub struct SentTaps<S>(Vec<S>);

impl<S> SentTaps<S> {
    /// The taps; what the engine is asked for from now on waits for them.
    ///
    /// # Errors
    /// Those of the engine.
    pub fn receive<E: Engine<f32, Sent = S>>(self, engine: &E) -> Result<ScaledTaps<E::Tensor>> {
        let taps = self.0.into_iter().map(|sent| engine.receive(sent));
        Ok(ScaledTaps(taps.collect::<core::result::Result<_, _>>()?))
    }
}

impl<T: Clone> DecoderTraining<T> {
    /// A decoder with random weights: those of He and others (2015), normal, where a ReLU
    /// follows, else those of Glorot and Bengio (2010); biases are 0. The taps' means and
    /// deviations are those of `samples` (picture numbers, in the plain view).
    ///
    /// # Errors
    /// [`crate::train::Error::Config`] without samples; those of reading taps and of the engine.
    pub fn new<E>(
        engine: &E,
        shape: DecoderShape,
        pictures: &dyn Pictures,
        samples: &[usize],
        draw: Draw,
    ) -> Result<DecoderTraining<T>>
    where
        E: Engine<f32, Tensor = T>,
    {
        let scalings = scalings(&shape, pictures, samples)?;
        let mut stream = draw.stream;
        let shapes = shape.parameters();
        let last = format!("block{}.pointwise.weight", shape.settings.blocks.saturating_sub(1));
        let layers = shapes.try_map(|name, &shape_of| -> Result<Parameter<T>> {
            stream = stream.wrapping_add(1);
            let deviation = deviation(name, shape_of, name == last && !shape.settings.final_relu);
            let draw = Draw { stream, ..draw };
            Ok(Parameter::new(random(engine, shape_of, deviation, draw)?))
        })?;
        Ok(DecoderTraining { shape, scalings, layers })
    }

    /// What it looks like.
    pub fn shape(&self) -> &DecoderShape {
        &self.shape
    }

    /// Reads and scales the taps of a view of a picture.
    ///
    /// # Errors
    /// Those of reading taps and of the engine.
    pub fn read<E>(
        &self,
        engine: &E,
        pictures: &dyn Pictures,
        picture: usize,
        view: usize,
    ) -> Result<ScaledTaps<T>>
    where
        E: Engine<f32, Tensor = T>,
    {
        self.send(engine, pictures, [picture, view])?.receive(engine)
    }

    /// Reads and scales the taps of a view of a picture, and sends them to the engine.
    ///
    /// # Errors
    /// Those of reading taps and of the engine.
    pub fn send<E>(
        &self,
        engine: &E,
        pictures: &dyn Pictures,
        [picture, view]: [usize; 2],
    ) -> Result<SentTaps<E::Sent>>
    where
        E: Engine<f32, Tensor = T>,
    {
        let mut taps = read_taps(&self.shape, pictures, picture, view)?;
        let mut sent = Vec::with_capacity(taps.len());
        for (tap, scaling) in taps.iter_mut().zip(&self.scalings) {
            scaling.apply(tap);
            sent.push(engine.send(tap.shape(), tap.values())?);
        }
        Ok(SentTaps(sent))
    }

    /// Does something with the taps of each of these pictures and views, one after the other.
    /// While the engine works on those of one, those of the next are read and sent.
    ///
    /// # Errors
    /// Those of reading taps, of the engine, and of what is done.
    pub fn stream<E>(
        &self,
        engine: &E,
        pictures: &dyn Pictures,
        places: &[[usize; 2]],
        mut work: impl FnMut(ScaledTaps<T>) -> Result<()>,
    ) -> Result<()>
    where
        E: Engine<f32, Tensor = T>,
    {
        let send = |place: &[usize; 2]| self.send(engine, pictures, *place);
        let mut places = places.iter();
        let mut next = places.next().map(send).transpose()?;
        while let Some(sent) = next {
            let taps = sent.receive(engine)?;
            next = places.next().map(send).transpose()?;
            work(taps)?;
        }
        Ok(())
    }

    fn values(&self) -> Layers<&T> {
        self.layers.map(Parameter::value)
    }

    /// Features of one picture, `[cells, channels]`.
    ///
    /// # Errors
    /// Those of the engine.
    pub fn forward<E>(&self, engine: &E, taps: &ScaledTaps<T>) -> Result<Pass<T>>
    where
        E: Engine<f32, Tensor = T>,
    {
        forward(engine, &self.shape, &self.values(), &taps.0, 1)
    }

    /// Gradients by the parameters, given that by the features.
    ///
    /// # Errors
    /// Those of the engine.
    pub fn backward<E>(
        &self,
        engine: &E,
        taps: &ScaledTaps<T>,
        pass: &Pass<T>,
        dy: &T,
    ) -> Result<Layers<T>>
    where
        E: Engine<f32, Tensor = T>,
    {
        backward(engine, &self.shape, &self.values(), &taps.0, pass, dy)
    }

    /// Steps all parameters.
    ///
    /// # Errors
    /// Those of the engine.
    pub fn step<E>(&mut self, engine: &E, by: &Layers<T>, optimiser: &Optimiser) -> Result<()>
    where
        E: Engine<f32, Tensor = T>,
    {
        let gradients = by.named();
        let pairs = self.layers.each_mut().zip(gradients);
        let update =
            |(parameter, (_, gradient))| Update { parameter, gradient, optimiser: *optimiser };
        step_all(engine, pairs.map(update))
    }

    /// The decoder as it is now, in terms of the taps as they are.
    ///
    /// # Errors
    /// Those of the engine; [`crate::train::Error::Config`] if a weight is not finite.
    pub fn decoder<E>(&self, engine: &E) -> Result<Decoder>
    where
        E: Engine<f32, Tensor = T>,
    {
        let mut layers = self.layers.try_map(|_, parameter| -> Result<Matrix<f32>> {
            let value = parameter.value();
            Ok(Matrix::new(engine.shape(value), engine.download(value)?)?)
        })?;
        for (tap, scaling) in layers.taps.iter_mut().zip(&self.scalings) {
            let (weight, bias) = scaling.folded(&tap.weight, &tap.bias)?;
            *tap = Dense { weight, bias };
        }
        Decoder::new(self.shape.clone(), layers)
    }

    /// Writes everything into a state, under names that start with `name`.
    ///
    /// # Errors
    /// Those of the engine.
    pub fn save<E>(&self, engine: &E, name: &str, state: &mut State) -> Result<()>
    where
        E: Engine<f32, Tensor = T>,
    {
        self.layers
            .try_map(|part, parameter| parameter.save(engine, &format!("{name}.{part}"), state))?;
        for (index, scaling) in self.scalings.iter().enumerate() {
            state.put(&format!("{name}.tap{index}.mean"), scaling.mean.clone());
            state.put(&format!("{name}.tap{index}.deviation"), scaling.deviation.clone());
        }
        Ok(())
    }

    /// Reads what [`DecoderTraining::save`] wrote for a decoder of this shape.
    ///
    /// # Errors
    /// [`crate::train::Error::Config`] if there is no such decoder, or one of another shape.
    pub fn load<E>(
        engine: &E,
        name: &str,
        shape: DecoderShape,
        state: &State,
    ) -> Result<DecoderTraining<T>>
    where
        E: Engine<f32, Tensor = T>,
    {
        shape.check()?;
        let layers = shape.parameters().try_map(|part, &shape| {
            Parameter::load(engine, &format!("{name}.{part}"), shape, state)
        })?;
        let read = |(index, tap): (usize, &Tap)| -> Result<Scaling> {
            let read = |part: &str| {
                state.get_shaped(&format!("{name}.tap{index}.{part}"), [1, tap.channels]).cloned()
            };
            Ok(Scaling { mean: read("mean")?, deviation: read("deviation")? })
        };
        let scalings = shape.taps.iter().enumerate().map(read).collect::<Result<_>>()?;
        Ok(DecoderTraining { shape, scalings, layers })
    }

    /// The same decoder, whose optimiser remembers nothing.
    pub fn restarted(&self) -> DecoderTraining<T> {
        let layers = self.layers.map(|parameter| Parameter::new(parameter.value().clone()));
        DecoderTraining { shape: self.shape.clone(), scalings: self.scalings.clone(), layers }
    }
}

/// Mean and deviation of each tap over some pictures.
fn scalings(
    shape: &DecoderShape,
    pictures: &dyn Pictures,
    samples: &[usize],
) -> Result<Vec<Scaling>> {
    let mut values: Vec<Vec<f32>> = vec![Vec::new(); shape.taps.len()];
    for &picture in samples {
        for (values, tap) in values.iter_mut().zip(read_taps(shape, pictures, picture, 0)?) {
            values.extend_from_slice(tap.values());
        }
    }
    let mut scalings = Vec::with_capacity(values.len());
    for (values, tap) in values.into_iter().zip(&shape.taps) {
        let rows = values.len() / tap.channels;
        scalings.push(Scaling::of(&Matrix::new([rows, tap.channels], values)?)?);
    }
    Ok(scalings)
}

/// Deviation of the first weights of a parameter; 0 for a bias.
fn deviation(name: &str, shape: [usize; 2], is_linear: bool) -> f32 {
    let [outputs, inputs] = shape;
    let variance = match name.rsplit('.').nth(1) {
        _ if name.ends_with("bias") => 0.0,
        // Nine numbers make one, and no ReLU follows.
        Some("depthwise") => 1.0 / 9.0,
        _ if is_linear => 2.0 / (inputs + outputs) as f32,
        _ => 2.0 / inputs as f32,
    };
    libm::sqrtf(variance)
}

fn random<T, E>(engine: &E, shape: [usize; 2], deviation: f32, draw: Draw) -> Result<T>
where
    E: Engine<f32, Tensor = T>,
{
    let numbers = engine.download(&engine.noise(shape, Noise::Normal, draw)?)?;
    let values: Vec<f32> = numbers.iter().map(|number| number * deviation).collect();
    Ok(engine.upload(shape, &values)?)
}
