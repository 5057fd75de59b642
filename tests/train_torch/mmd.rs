//! Maximum mean discrepancy, plain, weighted and by groups, with both kernels.

use crate::golden::{Case, Golden, engine};
use zsseg::train::engine::{Engine, Kernel, Matrix, Mmd, MmdGroup, MmdLoss, Real};

fn compare<F: Real>(case: Case<'_>, kernel: &Kernel, groups: &[MmdGroup]) -> MmdLoss<Matrix<F>> {
    let weights = case.has("weights").then(|| case.values("weights"));
    let settings = Mmd { kernel, groups, real_weights: weights.as_deref() };
    engine().mmd(&case.matrix("generated"), &case.matrix("real"), &settings).unwrap()
}

fn meets<F: Real>(bound: f64) {
    let golden = Golden::open("mmd");
    let cases = golden.cases("gradient");
    assert_eq!(cases.len(), 14);
    for name in cases {
        let case = golden.case(&name);
        let kernel =
            if name.starts_with("code") { Kernel::zs3_code() } else { Kernel::zs3_paper() };
        let starts: Vec<[usize; 2]> = case
            .whole("starts")
            .as_chunks()
            .0
            .iter()
            .map(|pair: &[i32; 2]| pair.map(|start| start.try_into().unwrap()))
            .collect();
        let group = |pair: &[[usize; 2]]| MmdGroup {
            generated: pair[0][0]..pair[1][0],
            real: pair[0][1]..pair[1][1],
        };
        let groups: Vec<_> = starts.windows(2).map(group).collect();
        let found = compare::<F>(case, &kernel, &groups);
        case.meets_numbers("squares", &found.squares, bound);
        case.meets_numbers("values", &found.values, bound);
        case.meets("gradient", &found.gradient, bound);
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

/// Equal sets: the value is the clamp's, and the gradient 0 by design (methods.md 2.5), where the
/// root's own would be without bound.
#[test]
fn below_the_clamp_there_is_no_gradient() {
    let golden = Golden::open("mmd");
    let case = golden.case("same");
    assert!(case.number("square").abs() < 1e-12);
    let groups = [MmdGroup { generated: 0..7, real: 0..7 }];
    let found = compare::<f64>(case, &Kernel::zs3_code(), &groups);
    case.meets_numbers("value", &found.values, 1e-13);
    assert!(found.squares[0].abs() < 1e-12);
    assert!(found.gradient.values().iter().all(|slope| *slope == 0.0));
}
