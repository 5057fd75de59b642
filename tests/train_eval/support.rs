//! Predictors in memory.

use zsseg::spec::Stacking;
use zsseg::train::data::{ClassList, Label, LabelMap, Roles};
use zsseg::train::eval::{Evaluation, Found, NO_CLASS, Predictor, Protocol, Setup, Space, Subject};
use zsseg::train::{Error, Result};

pub const VOID: u16 = 255;

/// A picture of one row: true labels, found labels and confidences.
#[derive(Clone, Debug)]
pub struct Row {
    pub truth: Vec<u16>,
    pub found: Vec<u16>,
    pub confidences: Vec<u16>,
}

impl Row {
    pub fn new(truth: &[u16], found: &[u16]) -> Row {
        let confidences = vec![u16::MAX; truth.len()];
        Row { truth: truth.to_vec(), found: found.to_vec(), confidences }
    }
}

/// Answers that are known beforehand. A handicap is not heeded.
pub struct Known {
    pub classes: usize,
    pub rows: Vec<Row>,
    pub at: Option<usize>,
}

impl Known {
    pub fn new(classes: usize, rows: Vec<Row>) -> Known {
        Known { classes, rows, at: None }
    }
}

impl Predictor for Known {
    fn look(&mut self, picture: usize) -> Result<LabelMap> {
        let row = self.rows.get(picture).ok_or_else(|| Error::config("no such picture"))?;
        self.at = Some(picture);
        Ok(labels(self.classes, &row.truth))
    }

    fn decide(&mut self, _: Option<Stacking>, found: &mut Found) -> Result<()> {
        let row = &self.rows[self.at.unwrap()];
        found.labels.clone_from(&row.found);
        found.confidences.clone_from(&row.confidences);
        Ok(())
    }
}

pub fn labels(classes: usize, truth: &[u16]) -> LabelMap {
    let label = |&id: &u16| if id == VOID { Label::Void } else { Label::Class(id) };
    let labels: Vec<Label> = truth.iter().map(label).collect();
    LabelMap::new(truth.len() as u32, 1, classes, &labels).unwrap()
}

/// Classes "c0", "c1" and so on, these unseen.
pub fn setup(classes: usize, unseen: &[usize], protocol: Protocol) -> Setup {
    let names: Vec<String> = (0..classes).map(|class| format!("c{class}")).collect();
    let list = ClassList::new(&names).unwrap();
    let unseen: Vec<&String> = unseen.iter().map(|class| &names[*class]).collect();
    let roles = Roles::with_unseen(&list, &unseen).unwrap();
    Setup {
        model: "made up".to_string(),
        subject: Subject::new(&list, &roles, &protocol).unwrap(),
        protocol,
        space: Space::Logits,
        gammas: Vec::new(),
        notes: Vec::new(),
    }
}

pub fn ours() -> Protocol {
    Protocol::named("ours").unwrap()
}

/// Evaluates some pictures of a predictor.
pub fn evaluated(setup: &Setup, predictor: &mut dyn Predictor, pictures: &[usize]) -> Evaluation {
    let mut evaluation = Evaluation::new(setup.clone()).unwrap();
    for &picture in pictures {
        evaluation.add(picture, &format!("picture {picture}"), predictor).unwrap();
    }
    evaluation
}

#[track_caller]
pub fn assert_near(found: Option<f64>, wanted: f64, tolerance: f64) {
    assert!((found.unwrap() - wanted).abs() <= tolerance, "{found:?} is not {wanted}");
}

#[track_caller]
pub fn rows_of(evaluation: &Evaluation) -> Vec<Vec<u64>> {
    let classes = evaluation.setup().subject.class_count();
    let confusion = evaluation.confusion();
    let row = |truth| {
        let found = (0..classes).map(|found| confusion.count(truth, found));
        found.chain([confusion.unlabelled(truth)]).collect()
    };
    assert_eq!(NO_CLASS, u16::MAX);
    (0..classes).map(row).collect()
}
