//! Cross-entropies, divergences, and the normalisation of rows.

use crate::golden::{Case, Golden, engine};
use zsseg::train::engine::{Engine, Matrix, Real, Targets};

const ROWS: [usize; 3] = [1, 7, 65];

fn entropy_meets<F: Real>(case: Case<'_>, bound: f64) {
    let labels = case.whole("labels");
    let logits: Matrix<F> = case.matrix("logits");
    let weights = case.values("weights");
    for (name, class_weights) in [("plain", None), ("weighted", Some(weights.as_slice()))] {
        let targets = Targets { labels: &labels, class_weights, row_weights: None };
        let found = engine().cross_entropy(&logits, &targets).unwrap();
        case.meets_numbers(name, &[found.value], bound);
        case.meets(&format!("{name}_gradient"), &found.gradient, bound);
        case.meets("rows", &found.rows, bound);
    }
}

fn divergence_meets<F: Real>(case: Case<'_>, bound: f64) {
    let (teacher, student): (Matrix<F>, Matrix<F>) =
        (case.matrix("teacher"), case.matrix("student"));
    let weights = case.values("weights");
    let engine = engine();
    for (name, loss) in [
        ("plain", engine.divergence(&teacher, &student, None)),
        ("weighted", engine.divergence(&teacher, &student, Some(&weights))),
        ("squared", engine.squared_error(&teacher, &student)),
    ] {
        let loss = loss.unwrap();
        case.meets_numbers(name, &[loss.value], bound);
        case.meets(&format!("{name}_gradient"), &loss.gradient, bound);
    }
}

fn meets<F: Real>(bound: f64) {
    let golden = Golden::open("losses");
    for rows in ROWS {
        entropy_meets::<F>(golden.case(&format!("entropy_{rows}")), bound);
        divergence_meets::<F>(golden.case(&format!("divergence_{rows}")), bound);

        let name = format!("balanced_{rows}");
        let case = golden.case(&name);
        let targets = case.whole("targets");
        let found = engine().balanced_cross_entropy(&case.matrix::<F>("logits"), &targets).unwrap();
        case.meets_numbers("value", &[found.value], bound);
        case.meets("gradient", &found.gradient, bound);

        let name = format!("normalised_{rows}");
        let case = golden.case(&name);
        let found = engine().normalise(&case.matrix::<F>("x")).unwrap();
        case.meets("y", &found.rows, bound);
        let dx = engine().normalise_backward(&found, &case.matrix("dy")).unwrap();
        case.meets("dx", &dx, bound);
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
