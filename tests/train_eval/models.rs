//! Models over stored features.

use super::support::{assert_near, evaluated, labels, ours, setup};
use std::num::NonZeroUsize;
use zsseg::spec::{Decision, Stacking};
use zsseg::train::data::LabelMap;
use zsseg::train::engine::{CpuEngine, Draw, Engine, Matrix, Noise};
use zsseg::train::eval::{
    Evaluation, Found, ModelPredictor, Predictor, Protocol, Resolution, Setup, Space, best, sweep,
};
use zsseg::train::{Features, Head, HeadForm, Model, Pictures, Result, Tap, View};

/// Pictures of one row of cells, each a pixel wide, or two.
struct Cells {
    width: usize,
    features: Vec<Matrix<f32>>,
    truth: Vec<LabelMap>,
    views: [View; 1],
}

impl Cells {
    fn new(features: Vec<Matrix<f32>>, classes: usize, truth: &[&[u16]]) -> Cells {
        let truth: Vec<LabelMap> = truth.iter().map(|truth| labels(classes, truth)).collect();
        let width = truth[0].width() as usize;
        Cells { width, features, truth, views: [View::PLAIN] }
    }
}

impl Pictures for Cells {
    fn len(&self) -> usize {
        self.truth.len()
    }

    fn name(&self, _: usize) -> &str {
        ""
    }

    fn frame(&self) -> [usize; 2] {
        [1, self.width]
    }

    fn taps(&self) -> &[Tap] {
        &[]
    }

    fn views(&self) -> &[View] {
        &self.views
    }

    fn tap(&self, picture: usize, _: usize, _: usize) -> Result<Matrix<f32>> {
        Ok(self.features[picture].clone())
    }

    fn labels(&self, picture: usize) -> Result<LabelMap> {
        Ok(self.truth[picture].clone())
    }
}

impl Features for Cells {
    fn grid(&self) -> [usize; 2] {
        [1, self.features[0].shape()[0]]
    }

    fn channels(&self) -> usize {
        self.features[0].shape()[1]
    }

    fn pictures(&self) -> &dyn Pictures {
        self
    }

    fn rows(&self, picture: usize, _: usize) -> Result<Matrix<f32>> {
        Ok(self.features[picture].clone())
    }
}

fn engine() -> CpuEngine {
    CpuEngine::new(NonZeroUsize::MIN)
}

fn matrix(shape: [usize; 2], values: &[f32]) -> Matrix<f32> {
    Matrix::new(shape, values.to_vec()).unwrap()
}

/// Features are the logits.
fn model(classes: usize, unseen: &[usize], form: HeadForm) -> Model {
    let mut weights = Matrix::zeros([classes, classes]).unwrap();
    for class in 0..classes {
        weights.row_mut(class).unwrap()[class] = 1.0;
    }
    Model {
        classes: (0..classes).collect(),
        seen: (0..classes).map(|class| !unseen.contains(&class)).collect(),
        head: Head { form, weights, bias: Matrix::zeros([1, classes]).unwrap() },
        decoder: None,
        alignment: None,
        decision: Decision::PLAIN,
        projection: None,
        generator: None,
        statistics: None,
    }
}

fn predictor<'a>(model: &Model, cells: &'a Cells) -> ModelPredictor<'a> {
    ModelPredictor::new(model, cells, Resolution::Frame, |_| true, engine()).unwrap()
}

fn frame() -> Protocol {
    Protocol { resolution: Resolution::Frame, ..ours() }
}

fn decided(predictor: &mut dyn Predictor, stacking: Option<Stacking>) -> Found {
    let mut found = Found::default();
    predictor.decide(stacking, &mut found).unwrap();
    found
}

/// Golden vector G3, by way of the predictor and of the sweep.
#[test]
fn golden_vector_g3() {
    let features = vec![matrix([1, 3], &[2.0, 1.5, 1.0])];
    let cells = Cells::new(features, 3, &[&[2]]);
    let model = model(3, &[2], HeadForm::Linear);
    let mut predictor = predictor(&model, &cells);
    predictor.look(0).unwrap();
    for (gamma, class, probability) in [(0.3, 0, 0.506_480_4), (0.35, 2, 0.186_323_7)] {
        let found = decided(&mut predictor, Some(Stacking::Probabilities(gamma)));
        assert_eq!(found.labels, [class]);
        assert_near(Some(f64::from(found.confidences[0]) / 65_535.0), probability, 1e-5);
    }
    let setup = Setup {
        space: Space::Probabilities,
        gammas: vec![0.0, 0.3, 0.35],
        ..setup(3, &[2], frame())
    };
    let evaluation = evaluated(&setup, &mut predictor, &[0]);
    let found: Vec<u64> = (0..3).map(|gamma| evaluation.confusion_at(gamma).correct(2)).collect();
    assert_eq!(found, [0, 0, 1]);
}

/// Every handicap against the argmax over all classes, pixel by pixel; 0 is plain and a huge one
/// leaves unseen classes only.
#[test]
fn handicaps_are_those_of_the_formula() {
    let (classes, cells_count) = (6, 200);
    let draw = Draw { seed: 4, step: 0, stream: 0 };
    let features: Matrix<f32> =
        engine().noise([cells_count, classes], Noise::Normal, draw).unwrap();
    let truth: Vec<u16> = (0..cells_count as u16).map(|pixel| pixel % 6).collect();
    let cells = Cells::new(vec![features.clone()], classes, &[&truth]);
    let model = model(classes, &[1, 4], HeadForm::Dot);
    let mut predictor = predictor(&model, &cells);
    predictor.look(0).unwrap();
    let argmax = |scores: Vec<f32>| -> u16 {
        let order = |a: &usize, b: &usize| scores[*a].total_cmp(&scores[*b]).then(b.cmp(a));
        (0..scores.len()).max_by(order).unwrap() as u16
    };
    let less = |gamma: f32, class: usize| if [1, 4].contains(&class) { 0.0 } else { gamma };
    for gamma in [0.0, 0.2, 0.5, 1.0] {
        let logits = |row: &[f32]| {
            argmax((0..classes).map(|class| row[class] - less(gamma, class)).collect())
        };
        let shares = |row: &[f32]| {
            let sum: f32 = row.iter().map(|logit| logit.exp()).sum();
            let share = |class: usize| row[class].exp() / sum - less(gamma, class);
            argmax((0..classes).map(share).collect())
        };
        let by_logits: Vec<u16> = features.rows().map(logits).collect();
        let by_shares: Vec<u16> = features.rows().map(shares).collect();
        let found = |space: Space| decided_labels(&model, &cells, space, gamma);
        assert_eq!(found(Space::Logits), by_logits, "{gamma}");
        assert_eq!(found(Space::Probabilities), by_shares, "{gamma}");
    }
    let plain = decided(&mut predictor, None);
    assert_eq!(decided(&mut predictor, Some(Space::Logits.stacking(0.0))), plain);
    let only = decided(&mut predictor, Some(Stacking::Logits(1e6)));
    assert!(only.labels.iter().all(|label| [1, 4].contains(label)));
    let none = decided(&mut predictor, Some(Stacking::Logits(-1e6)));
    assert!(none.labels.iter().all(|label| ![1, 4].contains(label)));
}

fn decided_labels(model: &Model, cells: &Cells, space: Space, gamma: f32) -> Vec<u16> {
    let mut predictor = predictor(model, cells);
    predictor.look(0).unwrap();
    decided(&mut predictor, Some(space.stacking(gamma))).labels
}

/// Two cells over four pixels: at half-pixel centres the weights are 1, 3/4, 1/4, 0.
#[test]
fn logits_are_interpolated_to_the_frame() {
    let features = vec![matrix([2, 2], &[1.0, 0.0, 0.0, 2.0])];
    let cells = Cells::new(features, 2, &[&[0, 0, 1, 1]]);
    let model = model(2, &[1], HeadForm::Linear);
    let mut predictor = predictor(&model, &cells);
    predictor.look(0).unwrap();
    // Class 0: 1, .75, .25, 0; class 1: 0, .5, 1.5, 2.
    let found = decided(&mut predictor, None);
    assert_eq!(found.labels, [0, 0, 1, 1]);
    let share = |difference: f64| 1.0 / (1.0 + (-difference).exp());
    for (confidence, difference) in found.confidences.iter().zip([1.0, 0.25, 1.25, 2.0]) {
        assert_near(Some(f64::from(*confidence) / 65_535.0), share(difference), 1e-5);
    }
}

#[test]
fn cosines_heed_no_length() {
    let features = vec![matrix([2, 2], &[30.0, 40.0, 0.003, 0.004])];
    let cells = Cells::new(features, 2, &[&[0, 1]]);
    let model = model(2, &[1], HeadForm::Cosine { scale: 10.0 });
    let mut predictor = predictor(&model, &cells);
    predictor.look(0).unwrap();
    let found = decided(&mut predictor, None);
    assert_eq!(found.labels, [1, 1]);
    let share = 1.0 / (1.0 + (-2.0f64).exp());
    for confidence in found.confidences {
        assert_near(Some(f64::from(confidence) / 65_535.0), share, 1e-5);
    }
}

#[test]
fn the_best_handicap_is_that_of_the_highest_harmonic_mean() {
    // Unseen class 1 falls behind by 1, 2 and 3; class 0 leads by 2.5 where it is true.
    let features = matrix([5, 2], &[1.0, 0.0, 2.0, 0.0, 3.0, 0.0, 2.5, 0.0, 9.0, 0.0]);
    let cells = Cells::new(vec![features], 2, &[&[1, 1, 1, 0, 0]]);
    let model = model(2, &[1], HeadForm::Linear);
    let gammas = vec![0.0, 1.5, 2.2, 2.7, 3.5];
    let setup = Setup { gammas, ..setup(2, &[1], frame()) };
    let evaluation = evaluated(&setup, &mut predictor(&model, &cells), &[0]);
    let rows = sweep(&evaluation);
    let harmonic: Vec<f64> = rows.iter().map(|row| row.harmonic.unwrap()).collect();
    // Seen IoU 2/5, 2/4, 2/3, 1/3, 1/2; unseen IoU 0, 1/3, 2/3, 2/4, 3/4.
    for (found, wanted) in harmonic.iter().zip([0.0, 0.4, 2.0 / 3.0, 0.4, 0.6]) {
        assert_near(Some(*found), wanted, 1e-12);
    }
    assert_eq!(best(&rows).unwrap().gamma, 2.2);
    assert_eq!(best(&[]), None);
}

#[test]
fn what_does_not_fit_is_refused() {
    let cells = Cells::new(vec![matrix([1, 3], &[1.0, 2.0, 3.0])], 3, &[&[0]]);
    let good = model(3, &[2], HeadForm::Linear);
    let new = |model: &Model, resolution, competes: fn(usize) -> bool| {
        ModelPredictor::new(model, &cells, resolution, competes, engine()).map(|_| ())
    };
    assert!(new(&good, Resolution::Frame, |_| true).is_ok());
    assert!(new(&good, Resolution::Native, |_| true).is_err());
    assert!(new(&good, Resolution::Frame, |_| false).is_err());
    let four = model(4, &[2], HeadForm::Linear);
    assert!(new(&four, Resolution::Frame, |_| true).is_err());
    let rejects =
        Model { decision: Decision { min_margin: 0.1, ..Decision::PLAIN }, ..good.clone() };
    assert!(new(&rejects, Resolution::Frame, |_| true).is_err());

    let mut predictor = predictor(&good, &cells);
    let mut found = Found::default();
    assert!(predictor.decide(None, &mut found).is_err());
    assert!(predictor.look(0).is_ok());
    assert!(predictor.decide(Some(Stacking::Probabilities(1.5)), &mut found).is_err());
    assert!(Evaluation::new(setup(3, &[2], frame())).is_ok());
}
