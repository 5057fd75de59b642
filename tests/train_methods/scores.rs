//! What linear models say about made-up pictures, and stages that are put down and taken up.

use crate::altered::{Alter, Altered};
use crate::support::{GRID, Synthetic, embeddings, engine, roles};
use zsseg::spec::Stacking;
use zsseg::train::data::{EmbeddingTable, Label, Roles};
use zsseg::train::engine::{Engine, Product};
use zsseg::train::{Features, HeadForm, Joined, Method, Model, Result, State, Task, labels_at};

/// Everything that a task borrows.
pub struct World {
    pub pictures: Altered<Synthetic>,
    pub roles: Roles,
    pub embeddings: EmbeddingTable,
}

impl World {
    pub fn new(pictures: Synthetic, unseen: &[&str]) -> World {
        World::relabelled(pictures, unseen, |label| label)
    }

    /// With other labels in the truth.
    pub fn relabelled(pictures: Synthetic, unseen: &[&str], replace: fn(Label) -> Label) -> World {
        let alter: Alter = Box::new(move |_, _, label| replace(label));
        let pictures = Altered { pictures, alter };
        World { pictures, roles: roles(unseen), embeddings: embeddings() }
    }

    /// Calls `f` with a task.
    pub fn with<T>(&self, f: impl FnOnce(&Task<'_>) -> T) -> T {
        let joined = Joined::new(&self.pictures, GRID).unwrap();
        f(&Task::new(&self.roles, &self.embeddings, &joined, 3).unwrap())
    }
}

/// Class of every cell of a picture, of those allowed.
pub fn classes_of(
    model: &Model,
    features: &dyn Features,
    picture: usize,
    allowed: &[usize],
) -> Vec<usize> {
    assert_eq!(model.head.form, HeadForm::Linear);
    assert_eq!(model.decision.stacking, Stacking::Off);
    let rows = features.rows(picture, 0).unwrap();
    let head = &model.head;
    let logits = engine().product(Product::Nt, &rows, &head.weights, Some(&head.bias)).unwrap();
    let best = |row: &[f32]| {
        let places = (0..row.len()).filter(|&place| allowed.contains(&model.classes[place]));
        let place = places.max_by(|&a, &b| row[a].total_cmp(&row[b])).unwrap();
        model.classes[place]
    };
    logits.rows().map(best).collect()
}

/// Share of the cells of these classes that are found among all classes, over all pictures.
pub fn accuracy(model: &Model, features: &dyn Features, classes: &[usize]) -> f64 {
    accuracy_among(model, features, classes, &model.classes)
}

/// As [`accuracy`], where only some classes are allowed as answers.
pub fn accuracy_among(
    model: &Model,
    features: &dyn Features,
    classes: &[usize],
    allowed: &[usize],
) -> f64 {
    let (mut right, mut count) = (0, 0);
    for picture in 0..features.pictures().len() {
        let truth = labels_at(&features.pictures().labels(picture).unwrap(), features.grid());
        let truth = truth.unwrap();
        for (truth, found) in truth.iter().zip(classes_of(model, features, picture, allowed)) {
            if let Label::Class(class) = truth
                && classes.contains(&usize::from(class))
            {
                count += 1;
                right += usize::from(usize::from(class) == found);
            }
        }
    }
    f64::from(right as u32) / f64::from(count as u32)
}

/// Last states of all stages, without a stop.
pub fn states(method: &dyn Method) -> Vec<State> {
    let mut done = Vec::new();
    for index in 0..method.stages().len() {
        let mut stage = method.begin(index, &done).unwrap();
        (0..stage.steps()).for_each(|step| drop(stage.step(step).unwrap()));
        let state = stage.state().unwrap();
        drop(stage);
        done.push(state);
    }
    done
}

/// Puts every stage down after each step but few, and takes it up again; the last states must be
/// those without a stop, bit for bit.
pub fn assert_resumes(method: &dyn Method) {
    let wanted = states(method);
    for (index, want) in wanted.iter().enumerate() {
        let mut state = method.begin(index, &wanted[..index]).unwrap().state().unwrap();
        let steps = method.begin(index, &wanted[..index]).unwrap().steps();
        for step in 0..steps {
            let mut stage = method.begin(index, &wanted[..index]).unwrap();
            stage.restore(&state).unwrap();
            stage.step(step).unwrap();
            state = stage.state().unwrap();
        }
        assert!(state == *want, "stage {} of {:?}", index, method.stages());
        let mut stage = method.begin(index, &wanted[..index]).unwrap();
        assert!(stage.restore(&State::default()).is_err());
        assert_ne!(stage.state().unwrap(), *want);
    }
}

/// Whether two models have the same bits.
pub fn same(one: &Model, other: &Model) -> bool {
    one.classes == other.classes
        && one.head.weights == other.head.weights
        && one.head.bias == other.head.bias
        && one.projection == other.projection
}

/// The reason of an error.
pub fn reason<T>(result: Result<T>) -> String {
    match result {
        Ok(_) => String::new(),
        Err(error) => error.to_string(),
    }
}
