//! Bilinear resizing, up and down, with both conventions of corners.

use crate::golden::{Golden, engine};
use zsseg::train::engine::{Engine, Real, Resize};

fn meets<F: Real>(bound: f64) {
    let golden = Golden::open("resize");
    let cases = golden.cases("sizes");
    assert_eq!(cases.len(), 14);
    for name in cases {
        let case = golden.case(&name);
        let sizes: Vec<usize> =
            case.whole("sizes").into_iter().map(|size| size.try_into().unwrap()).collect();
        let resize = Resize {
            pictures: 2,
            from: [sizes[0], sizes[1]],
            to: [sizes[2], sizes[3]],
            align_corners: name.ends_with("corners"),
        };
        let y = engine().resize(&case.matrix::<F>("x"), &resize).unwrap();
        case.meets("y", &y, bound);
        let dx = engine().resize_backward(&case.matrix::<F>("dy"), &resize).unwrap();
        case.meets("dx", &dx, bound);
    }
}

#[test]
fn in_f64() {
    meets::<f64>(1e-13);
}

#[test]
fn in_f32() {
    meets::<f32>(2e-6);
}
