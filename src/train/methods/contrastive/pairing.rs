//! Which features of a step are compared with which, and the loss of it.

use super::pretrain::Shown;
use super::sampler::Sampler;
use super::settings::{Form, Variant};
use super::sum::Sum;
use crate::train::engine::{ContrastiveLoss, Engine, Labelled, Pairs};
use crate::train::error::Result;
use crate::train::task::IGNORED;
use std::vec::Vec;

/// Places of the two views of a picture among all that are shown; equal ones if there is only one.
pub(super) type Couple = [usize; 2];

/// The loss of a step, and its derivatives by the features of each shown view.
pub(super) struct StepLoss<T> {
    pub(super) value: f64,
    /// None where it is 0.
    pub(super) gradients: Vec<Option<T>>,
}

/// Sums of gradients, one per shown view.
struct Gradients<T>(Vec<Sum<T>>);

impl<T: Clone> Gradients<T> {
    fn add<E>(&mut self, engine: &E, place: usize, share: f32, x: &T) -> Result<()>
    where
        E: Engine<f32, Tensor = T>,
    {
        self.0.get_mut(place).map_or(Ok(()), |sum| sum.add(engine, share, x))
    }
}

/// The loss of a step.
pub(super) fn step_loss<E: Engine<f32>>(
    sampler: &Sampler<'_, E>,
    shown: &[Shown<E::Tensor>],
    couples: &[Couple],
    step: u64,
) -> Result<StepLoss<E::Tensor>> {
    let mut gradients = Gradients(shown.iter().map(|_| Sum::new()).collect());
    let value = match sampler.settings.variant {
        Variant::Batch => bag_loss(sampler, shown, couples, step, &mut gradients)?,
        _ => image_losses(sampler, shown, couples, &mut gradients)?,
    };
    let gradients = gradients.0.iter().map(|sum| sum.get().cloned()).collect();
    Ok(StepLoss { value, gradients })
}

/// Pairs of places that are compared: anchors with keys.
fn comparisons(form: Form, [one, other]: Couple) -> Vec<Couple> {
    match form {
        Form::Paper => [[one, other]].to_vec(),
        Form::Google if one == other => [[one, one]].to_vec(),
        Form::Google => [[one, one], [other, other]].to_vec(),
    }
}

/// The mean of the losses of all pictures.
fn image_losses<E: Engine<f32>>(
    sampler: &Sampler<'_, E>,
    shown: &[Shown<E::Tensor>],
    couples: &[Couple],
    gradients: &mut Gradients<E::Tensor>,
) -> Result<f64> {
    let settings = sampler.settings;
    let share = 1.0 / couples.len().max(1) as f32;
    let mut value = 0.0;
    for (index, couple) in couples.iter().enumerate() {
        let crossed = settings.variant == Variant::CrossImage;
        let next = couples.get((index + 1) % couples.len()).filter(|_| crossed);
        for [anchors, keys] in comparisons(settings.form, *couple) {
            let other = next.map(|next| next[1]);
            let places = [Some(anchors), Some(keys), other];
            let [Some(a), Some(k), o] = places.map(|place| shown.get(place?)) else { continue };
            let loss = compare(sampler, a.labelled(), k.labelled(), o.map(Shown::labelled))?;
            value += loss.value * f64::from(share);
            gradients.add(sampler.engine, anchors, share, &loss.anchors)?;
            gradients.add(sampler.engine, keys, share, &loss.keys)?;
            if let (Some(place), Some(gradient)) = (other, &loss.other) {
                gradients.add(sampler.engine, place, share, gradient)?;
            }
        }
    }
    Ok(value)
}

fn compare<E: Engine<f32>>(
    sampler: &Sampler<'_, E>,
    anchors: Labelled<'_, E::Tensor>,
    keys: Labelled<'_, E::Tensor>,
    other: Option<Labelled<'_, E::Tensor>>,
) -> Result<ContrastiveLoss<E::Tensor>> {
    let pairs = Pairs { anchors, keys, other };
    Ok(sampler.engine.contrastive(&pairs, &sampler.settings.loss())?)
}

/// The loss of random pixels of all pictures together.
fn bag_loss<E: Engine<f32>>(
    sampler: &Sampler<'_, E>,
    shown: &[Shown<E::Tensor>],
    couples: &[Couple],
    step: u64,
    gradients: &mut Gradients<E::Tensor>,
) -> Result<f64> {
    let firsts: Vec<usize> = couples.iter().map(|couple| couple[0]).collect();
    let seconds: Vec<usize> = couples.iter().map(|couple| couple[1]).collect();
    let of = |place: &usize| shown.get(*place).map(|shown| shown.targets.as_slice());
    let targets: Vec<i32> = firsts.iter().filter_map(of).flatten().copied().collect();
    let valid = targets.iter().enumerate().filter(|(_, target)| **target != IGNORED);
    let valid: Vec<usize> = valid.map(|(index, _)| index).collect();
    let chosen = sampler.choose(&valid, sampler.settings.batch_pixels, step);
    let labels: Vec<i32> = chosen.iter().filter_map(|index| targets.get(*index)).copied().collect();
    let mut value = 0.0;
    let both = firsts != seconds;
    let sides = match sampler.settings.form {
        Form::Paper => [[&firsts, &seconds]].to_vec(),
        Form::Google if both => [[&firsts, &firsts], [&seconds, &seconds]].to_vec(),
        Form::Google => [[&firsts, &firsts]].to_vec(),
    };
    for [anchors, keys] in sides {
        let a = joined(sampler.engine, shown, anchors, &chosen)?;
        let k = joined(sampler.engine, shown, keys, &chosen)?;
        let labelled = |rows| Labelled { rows, labels: &labels };
        let loss = compare(sampler, labelled(&a), labelled(&k), None)?;
        value += loss.value;
        for (places, gradient) in [(anchors, &loss.anchors), (keys, &loss.keys)] {
            spread(sampler.engine, shown, places, &chosen, gradient, gradients)?;
        }
    }
    Ok(value)
}

/// The rows `chosen` of the features of several views, one view after the other.
fn joined<E: Engine<f32>>(
    engine: &E,
    shown: &[Shown<E::Tensor>],
    places: &[usize],
    chosen: &[usize],
) -> Result<E::Tensor> {
    let views = || places.iter().filter_map(|place| shown.get(*place));
    let total = views().map(|shown| shown.targets.len()).sum();
    let mut all = Sum::new();
    let mut start = 0;
    for view in views() {
        let end = start + view.targets.len();
        let indices: Vec<usize> = (start..end).collect();
        all.add(engine, 1.0, &engine.scatter_rows(&view.rows.rows, &indices, total)?)?;
        start = end;
    }
    match all.get() {
        Some(all) => Ok(engine.gather_rows(all, chosen)?),
        None => Err(crate::train::Error::config("a bag of no pictures")),
    }
}

/// The transpose of [`joined`].
fn spread<E: Engine<f32>>(
    engine: &E,
    shown: &[Shown<E::Tensor>],
    places: &[usize],
    chosen: &[usize],
    gradient: &E::Tensor,
    gradients: &mut Gradients<E::Tensor>,
) -> Result<()> {
    let len = |place: &usize| shown.get(*place).map_or(0, |shown| shown.targets.len());
    let all = engine.scatter_rows(gradient, chosen, places.iter().map(len).sum())?;
    let mut start = 0;
    for place in places {
        let end = start + len(place);
        let indices: Vec<usize> = (start..end).collect();
        gradients.add(engine, *place, 1.0, &engine.gather_rows(&all, &indices)?)?;
        start = end;
    }
    Ok(())
}
