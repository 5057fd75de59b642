//! A round: a student learns from labels and from its teacher's guesses.

use super::StrictSettings;
use super::pseudo::{class_weights, completed, pseudo_labels};
use super::views::to_base;
use crate::train::engine::{Draw, Engine, Matrix, Noise, Targets};
use crate::train::error::{Error, Result};
use crate::train::layers::Linear;
use crate::train::methods::linear_model::all_classes;
use crate::train::methods::scaling::Scaling;
use crate::train::methods::softmax::{Space, scaling_of};
use crate::train::pictures::{View, Window};
use crate::train::stage::{Report, Stage, State};
use crate::train::task::Task;
use std::collections::BTreeMap;
use std::vec;
use std::vec::Vec;

/// Streams of random numbers of this module; the round is added.
const ORDER: u32 = 0x5f10_0000;
const FLIP: u32 = 0x5f20_0000;

/// Embeddings of the classes that logits are over.
struct Spaces<T> {
    seen: Space<T>,
    unseen: Space<T>,
    all: Space<T>,
}

pub(super) struct Round<'s, E: Engine<f32>> {
    engine: &'s E,
    task: &'s Task<'s>,
    settings: &'s StrictSettings,
    /// Numbers of the views that must agree.
    views: &'s [usize],
    /// Number of the mirrored picture's view.
    mirrored: Option<usize>,
    round: u32,
    teacher: Linear<E::Tensor>,
    student: Linear<E::Tensor>,
    scaling: Scaling,
    spaces: Spaces<E::Tensor>,
    /// Place of each class of the data set among all seen and unseen ones.
    places: Vec<i32>,
    /// What the student should say, by picture: it stays the same for a round.
    targets: BTreeMap<usize, Vec<i32>>,
    /// The order of the pictures in an epoch.
    order: (u64, Vec<usize>),
}

impl<'s, E: Engine<f32>> Round<'s, E> {
    pub fn new(
        engine: &'s E,
        task: &'s Task<'s>,
        settings: &'s StrictSettings,
        views: &'s [usize],
        round: usize,
        before: &State,
    ) -> Result<Round<'s, E>> {
        let softmax = settings.spnet.softmax();
        let shape = softmax.shape(task);
        let weight = before.get_shaped("layer.weight", shape)?;
        let bias = before.get_shaped("layer.bias", [1, shape[0]])?;
        let teacher = Linear::of(engine, weight, bias)?;
        let space = |classes: &[usize]| {
            let space = Space::new(engine, task, classes, softmax.outputs)?;
            space.ok_or_else(|| Error::config("self-training needs embeddings"))
        };
        let all = all_classes(task);
        let mut places = vec![-1; task.class_count()];
        for (place, &class) in (0..).zip(&all) {
            places.iter_mut().skip(class).take(1).for_each(|value| *value = place);
        }
        let is_mirrored =
            |view: &View| view.flip && view.window == Window::WHOLE && view.colour == 0.0;
        Ok(Round {
            engine,
            task,
            settings,
            views,
            mirrored: task.features.pictures().views().iter().position(is_mirrored),
            round: round as u32,
            student: teacher.clone(),
            teacher,
            scaling: scaling_of(before, shape[1])?,
            spaces: Spaces {
                seen: space(&task.seen())?,
                unseen: space(&task.unseen())?,
                all: space(&all)?,
            },
            places,
            targets: BTreeMap::new(),
            order: (u64::MAX, Vec::new()),
        })
    }

    fn scaled(&self, picture: usize, view: usize) -> Result<Matrix<f32>> {
        let mut rows = self.task.features.rows(picture, view)?;
        self.scaling.apply(&mut rows);
        Ok(rows)
    }

    fn upload(&self, rows: &Matrix<f32>) -> Result<E::Tensor> {
        Ok(self.engine.upload(rows.shape(), rows.values())?)
    }

    fn download(&self, tensor: &E::Tensor) -> Result<Matrix<f32>> {
        Ok(Matrix::new(self.engine.shape(tensor), self.engine.download(tensor)?)?)
    }

    /// What the student should say about a picture, as places among all classes.
    fn targets_of(&self, picture: usize) -> Result<Vec<i32>> {
        let views = self.task.features.pictures().views();
        let grid = self.task.features.grid();
        let mut logits = Vec::with_capacity(self.views.len());
        let mut seen = None;
        for &index in self.views {
            let x = self.upload(&self.scaled(picture, index)?)?;
            let unseen = self.spaces.unseen.logits(self.engine, &self.teacher, &x)?.values;
            let view = views.get(index).unwrap_or(&View::PLAIN);
            logits.push(to_base(&self.download(&unseen)?, grid, view)?);
            if seen.is_none() {
                let values = self.spaces.seen.logits(self.engine, &self.teacher, &x)?.values;
                seen = Some(self.download(&values)?);
            }
        }
        let seen = seen.ok_or_else(|| Error::config("pseudo-labels need a view"))?;
        let pseudo = pseudo_labels(&logits, &seen, &self.settings.rules())?;
        let labels = self.task.labels(picture)?;
        let void = self.settings.void_as_unlabelled;
        let found = completed(&labels, &pseudo, &self.task.unseen(), void);
        let place = |class: i32| {
            let place = usize::try_from(class).ok().and_then(|class| self.places.get(class));
            place.copied().unwrap_or(-1)
        };
        Ok(found.into_iter().map(place).collect())
    }

    /// The pictures of a step, ascending: each once per epoch, in a random order.
    fn pictures_of(&mut self, step: u64) -> Result<Vec<usize>> {
        let pictures = self.task.pictures();
        let count = pictures.len() as u64;
        let per_step = self.settings.pictures_per_step.min(pictures.len()) as u64;
        let mut chosen = Vec::new();
        for place in step * per_step..(step + 1) * per_step {
            let epoch = place / count;
            if self.order.0 != epoch {
                let stream = ORDER + self.round;
                let draw = Draw { seed: self.task.seed, step: epoch as u32, stream };
                let keys = self.engine.noise([1, pictures.len()], Noise::Uniform, draw)?;
                let keys = self.engine.download(&keys)?;
                let mut order: Vec<(u32, usize)> =
                    keys.iter().map(|key| key.to_bits()).zip(pictures.iter().copied()).collect();
                order.sort_unstable();
                self.order = (epoch, order.into_iter().map(|(_, picture)| picture).collect());
            }
            chosen.extend(self.order.1.get((place % count) as usize));
        }
        chosen.sort_unstable();
        Ok(chosen)
    }

    /// Scaled features of a picture as the student sees it.
    fn student_rows(&self, picture: usize, chance: f32) -> Result<Matrix<f32>> {
        match self.mirrored {
            Some(view) if chance < self.settings.flip_p => {
                let views = self.task.features.pictures().views();
                let mirrored = views.get(view).unwrap_or(&View::PLAIN);
                let rows = self.scaled(picture, view)?;
                Ok(to_base(&rows, self.task.features.grid(), mirrored)?.0)
            }
            _ => self.scaled(picture, 0),
        }
    }

    /// Features and targets of a step.
    fn batch(&mut self, step: u64) -> Result<(Matrix<f32>, Vec<i32>)> {
        let pictures = self.pictures_of(step)?;
        let draw = Draw { seed: self.task.seed, step: step as u32, stream: FLIP + self.round };
        let chances = self.engine.noise([1, pictures.len().max(1)], Noise::Uniform, draw)?;
        let chances = self.engine.download(&chances)?;
        let (mut values, mut labels) = (Vec::new(), Vec::new());
        for (&picture, chance) in pictures.iter().zip(chances) {
            if !self.targets.contains_key(&picture) {
                let targets = self.targets_of(picture)?;
                self.targets.insert(picture, targets);
            }
            values.extend(self.student_rows(picture, chance)?.into_values());
            labels.extend(self.targets.get(&picture).into_iter().flatten());
        }
        let channels = self.task.features.channels();
        Ok((Matrix::new([labels.len(), channels], values)?, labels))
    }

    /// Share of the cells of a batch whose label is a guess.
    fn guessed(&self, labels: &[i32]) -> f64 {
        let unseen = self.task.unseen();
        let places = unseen.iter().filter_map(|&class| self.places.get(class));
        let places: Vec<i32> = places.copied().collect();
        let count = labels.iter().filter(|label| places.contains(label)).count();
        count as f64 / labels.len().max(1) as f64
    }
}

impl<E: Engine<f32>> Stage for Round<'_, E> {
    fn steps(&self) -> u64 {
        self.settings.descent.steps
    }

    fn step(&mut self, step: u64) -> Result<Report> {
        let (rows, labels) = self.batch(step)?;
        let engine = self.engine;
        let x = self.upload(&rows)?;
        let logits = self.spaces.all.logits(engine, &self.student, &x)?;
        let classes = engine.shape(&logits.values)[1];
        let balance = self.settings.balance;
        let weights = (balance > 0.0).then(|| class_weights(&labels, classes, balance));
        let class_weights = weights.as_deref();
        let targets = Targets { labels: &labels, class_weights, row_weights: None };
        let loss = engine.cross_entropy(&logits.values, &targets)?;
        if !loss.value.is_finite() {
            return Err(Error::NotFinite { loss: "loss", step });
        }
        let found = (&logits, &loss.gradient);
        let gradients = self.spaces.all.gradients(engine, &self.student, &x, found)?;
        self.settings.descent.step(engine, &mut self.student, &gradients, step)?;
        Ok(vec![("loss", loss.value), ("guessed", self.guessed(&labels))])
    }

    fn state(&self) -> Result<State> {
        let mut state = State::default();
        self.student.save(self.engine, "layer", &mut state)?;
        state.put("mean", self.scaling.mean.clone());
        state.put("deviation", self.scaling.deviation.clone());
        Ok(state)
    }

    fn restore(&mut self, state: &State) -> Result<()> {
        let student = Linear::load(self.engine, "layer", self.student.shape(), state)?;
        self.scaling = scaling_of(state, student.shape()[1])?;
        self.student = student;
        Ok(())
    }
}
