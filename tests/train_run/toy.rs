//! A small method that learns something, with a stage in closed form and one of many steps: the
//! features' means, then a linear classifier by stochastic gradient descent on rows drawn at
//! random.

use serde::{Deserialize, Serialize};
use zsseg::spec::Decision;
use zsseg::train::data::Role;
use zsseg::train::engine::{CpuEngine, Draw, Engine, Matrix, Noise, Product, Sgd, Targets};
use zsseg::train::{
    Error, Head, HeadForm, Method, Model, Report, Result, Stage, State, Task, targets,
};

/// Settings of [`Toy`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ToySettings {
    pub rate: f64,
    pub steps: u64,
    /// The loss of this step is no number.
    pub broken_at: Option<u64>,
    /// Every step takes so much longer.
    pub pause_ms: u64,
}

impl Default for ToySettings {
    fn default() -> ToySettings {
        ToySettings { rate: 0.1, steps: 60, broken_at: None, pause_ms: 0 }
    }
}

pub const PRESET: &str = "rate = 0.1\nsteps = 60\npause_ms = 0\n";
pub const PAPER: &str = "rate = 0.02\n";

/// The method.
pub struct Toy<'a> {
    engine: &'a CpuEngine,
    task: &'a Task<'a>,
    settings: ToySettings,
}

impl<'a> Toy<'a> {
    pub fn new(engine: &'a CpuEngine, task: &'a Task<'a>, settings: ToySettings) -> Result<Self> {
        if settings.rate <= 0.0 {
            return Err(Error::config("`rate` must be above 0"));
        }
        Ok(Toy { engine, task, settings })
    }

    pub fn boxed(
        engine: &'a CpuEngine,
        task: &'a Task<'a>,
        settings: ToySettings,
    ) -> Result<Box<dyn Method + 'a>> {
        Ok(Box::new(Toy::new(engine, task, settings)?))
    }

    fn shape(&self) -> [usize; 2] {
        [self.task.class_count(), self.task.features.channels()]
    }
}

impl Method for Toy<'_> {
    fn stages(&self) -> Vec<String> {
        vec!["means".into(), "classifier".into()]
    }

    fn begin<'s>(&'s self, stage: usize, done: &[State]) -> Result<Box<dyn Stage + 's>> {
        let [classes, channels] = self.shape();
        if stage == 0 {
            return Ok(Box::new(Means { toy: self, sums: Matrix::zeros([1, channels])?, rows: 0 }));
        }
        let means = done[0].get_shaped("means", [1, channels])?.clone();
        let zeros = || Matrix::zeros([classes, channels]);
        Ok(Box::new(Classifier { toy: self, means, weights: zeros()?, velocity: zeros()? }))
    }

    fn finish(&self, done: &[State]) -> Result<Model> {
        let weights = done[1].get_shaped("weights", self.shape())?.clone();
        let means = done[0].get("means")?;
        let shift = self.engine.product(Product::Nt, means, &weights, None)?;
        let mut bias = Matrix::zeros(shift.shape())?;
        self.engine.add_scaled(&mut bias, -1.0, &shift)?;
        let roles = self.task.roles.as_slice();
        Ok(Model {
            classes: (0..roles.len()).collect(),
            seen: roles.iter().map(|role| *role == Role::Seen).collect(),
            head: Head { form: HeadForm::Linear, weights, bias },
            decoder: None,
            alignment: None,
            decision: Decision::PLAIN,
            projection: None,
            generator: None,
            statistics: None,
        })
    }
}

struct Means<'s> {
    toy: &'s Toy<'s>,
    sums: Matrix<f32>,
    rows: u64,
}

impl Stage for Means<'_> {
    fn steps(&self) -> u64 {
        self.toy.task.inductive().len() as u64
    }

    fn step(&mut self, step: u64) -> Result<Report> {
        let picture = self.toy.task.inductive()[step as usize];
        let rows = self.toy.task.features.rows(picture, 0)?;
        let sums = self.toy.engine.column_sums(&rows)?;
        self.toy.engine.add_scaled(&mut self.sums, 1.0, &sums)?;
        self.rows += rows.shape()[0] as u64;
        pause(self.toy);
        Ok(vec![])
    }

    fn state(&self) -> Result<State> {
        let mut means = Matrix::zeros(self.sums.shape())?;
        self.toy.engine.add_scaled(&mut means, 1.0 / self.rows.max(1) as f32, &self.sums)?;
        let mut state = State::default();
        state.put("means", means);
        state.put("sums", self.sums.clone());
        state.put_numbers("rows", vec![self.rows]);
        Ok(state)
    }

    fn restore(&mut self, state: &State) -> Result<()> {
        self.rows = state.get_numbers("rows")?[0];
        self.sums = state.get_shaped("sums", self.sums.shape())?.clone();
        Ok(())
    }
}

struct Classifier<'s> {
    toy: &'s Toy<'s>,
    means: Matrix<f32>,
    weights: Matrix<f32>,
    velocity: Matrix<f32>,
}

impl Stage for Classifier<'_> {
    fn steps(&self) -> u64 {
        self.toy.settings.steps
    }

    fn step(&mut self, step: u64) -> Result<Report> {
        let (engine, task) = (self.toy.engine, self.toy.task);
        let draw = Draw { seed: task.seed, step: step as u32, stream: 0 };
        let drawn: f32 = engine.noise([1, 1], Noise::Uniform, draw)?.values()[0];
        let pictures = task.inductive();
        let picture = pictures[(drawn * pictures.len() as f32) as usize % pictures.len()];
        let mut rows = task.features.rows(picture, 0)?;
        for row in rows.rows_mut() {
            row.iter_mut().zip(self.means.values()).for_each(|(value, mean)| *value -= mean);
        }
        let labels = targets(&task.labels(picture)?);
        let logits = engine.product(Product::Nt, &rows, &self.weights, None)?;
        let wanted = Targets { labels: &labels, class_weights: None, row_weights: None };
        let loss = engine.cross_entropy(&logits, &wanted)?;
        let gradient = engine.product(Product::Tn, &loss.gradient, &rows, None)?;
        let sgd = Sgd { rate: self.toy.settings.rate, momentum: 0.9, weight_decay: 1e-4 };
        engine.sgd_step(&mut self.weights, &gradient, &mut self.velocity, &sgd)?;
        pause(self.toy);
        let broken = self.toy.settings.broken_at == Some(step);
        Ok(vec![("cross entropy", if broken { f64::NAN } else { loss.value })])
    }

    fn state(&self) -> Result<State> {
        let mut state = State::default();
        state.put("weights", self.weights.clone());
        state.put("velocity", self.velocity.clone());
        Ok(state)
    }

    fn restore(&mut self, state: &State) -> Result<()> {
        let shape = self.weights.shape();
        let velocity = state.get_shaped("velocity", shape)?.clone();
        self.weights = state.get_shaped("weights", shape)?.clone();
        self.velocity = velocity;
        Ok(())
    }
}

fn pause(toy: &Toy<'_>) {
    std::thread::sleep(std::time::Duration::from_millis(toy.settings.pause_ms));
}
