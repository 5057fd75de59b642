//! The contrastive loss in all its forms, through the normalisation of the rows.

use crate::golden::{Case, Golden, engine};
use zsseg::train::engine::{
    Contrastive, ContrastiveLoss, Denominator, Engine, Labelled, Matrix, Normalised, Pairs, Real,
};

fn unit<F: Real>(case: Case<'_>, name: &str) -> Normalised<Matrix<F>> {
    engine().normalise(&case.matrix(name)).unwrap()
}

/// The gradient by the rows before they were normalised.
fn raw<F: Real>(normalised: &Normalised<Matrix<F>>, gradient: &Matrix<F>) -> Matrix<F> {
    engine().normalise_backward(normalised, gradient).unwrap()
}

fn sum<F: Real>(a: &Matrix<F>, b: &Matrix<F>) -> Matrix<F> {
    let mut sum = a.clone();
    engine().add_scaled(&mut sum, F::ONE, b).unwrap();
    sum
}

fn check_case<F: Real>(name: &str, case: Case<'_>, bound: f64) {
    let denominator = match name.starts_with("paper") {
        true => Denominator::AllKeys,
        false => Denominator::PositiveAndNegatives,
    };
    let settings = Contrastive {
        temperature: case.number("temperature"),
        denominator,
        without_self: name.ends_with("without_self"),
    };
    let two = case.has("keys");
    let anchors = unit::<F>(case, "anchors");
    let keys = if two { unit(case, "keys") } else { anchors.clone() };
    let labels = case.whole("anchors_labels");
    let key_labels = if two { case.whole("keys_labels") } else { labels.clone() };
    let other = case.has("other").then(|| (unit::<F>(case, "other"), case.whole("other_labels")));
    let pairs = Pairs {
        anchors: Labelled { rows: &anchors.rows, labels: &labels },
        keys: Labelled { rows: &keys.rows, labels: &key_labels },
        other: other.as_ref().map(|(rows, labels)| Labelled { rows: &rows.rows, labels }),
    };
    let found = engine().contrastive(&pairs, &settings).unwrap();
    case.meets_numbers("value", &[found.value], bound);
    if !two {
        let both = sum(&found.anchors, &found.keys);
        case.meets("anchors_unit_gradient", &both, bound);
        case.meets("anchors_gradient", &raw(&anchors, &both), bound);
        return;
    }
    case.meets("anchors_unit_gradient", &found.anchors, bound);
    case.meets("keys_unit_gradient", &found.keys, bound);
    case.meets("anchors_gradient", &raw(&anchors, &found.anchors), bound);
    case.meets("keys_gradient", &raw(&keys, &found.keys), bound);
    if let (Some((rows, _)), Some(gradient)) = (other, found.other) {
        case.meets("other_gradient", &raw(&rows, &gradient), bound);
    }
}

fn meets<F: Real>(bound: f64) {
    let golden = Golden::open("contrastive");
    let cases = golden.cases("temperature");
    assert_eq!(cases.len(), 14);
    for name in cases {
        check_case::<F>(&name, golden.case(&name), bound);
    }
}

#[test]
fn in_f64() {
    meets::<f64>(1e-13);
}

#[test]
fn in_f32() {
    meets::<f32>(1e-5);
}

/// The published code's loss: of the picture, and of its distorted version, each against itself.
fn published_meets<F: Real>(bound: f64) {
    let golden = Golden::open("contrastive");
    let case = golden.case("published");
    let labels = case.whole("labels");
    let denominator = Denominator::PositiveAndNegatives;
    let settings = Contrastive { temperature: 0.07, denominator, without_self: false };
    let run = |name: &str| {
        let normalised = unit::<F>(case, name);
        let set = || Labelled { rows: &normalised.rows, labels: &labels };
        let pairs = Pairs { anchors: set(), keys: set(), other: None };
        let ContrastiveLoss { value, anchors, keys, .. } =
            engine().contrastive(&pairs, &settings).unwrap();
        case.meets(&format!("{name}_gradient"), &raw(&normalised, &sum(&anchors, &keys)), bound);
        value
    };
    case.meets_numbers("value", &[run("first") + run("second")], bound);
}

#[test]
fn the_published_sum_of_both_versions() {
    published_meets::<f64>(1e-13);
    published_meets::<f32>(1e-5);
}
