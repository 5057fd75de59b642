//! Resizing and depthwise convolution.

use crate::support::{GRADIENT, cpu, figure, near, random, same_bits, tested};
use zsseg::train::engine::{Depthwise, Engine, Resize};

#[test]
fn resizing_has_the_same_bits() {
    let engine = tested();
    let sides = [([1, 1], [3, 5]), ([7, 9], [7, 9]), ([5, 4], [13, 11]), ([13, 11], [5, 1])];
    for (from, to) in sides {
        for align_corners in [false, true] {
            for (pictures, columns) in [(1, 1), (3, 33)] {
                let resize = Resize { pictures, from, to, align_corners };
                let x = random(&engine, [pictures * from[0] * from[1], columns], 1);
                let found = engine.resize(&x.device, &resize).unwrap();
                same_bits(&engine, &found, &cpu().resize(&x.plain, &resize).unwrap());
                let dy = random(&engine, [pictures * to[0] * to[1], columns], 2);
                let found = engine.resize_backward(&dy.device, &resize).unwrap();
                same_bits(&engine, &found, &cpu().resize_backward(&dy.plain, &resize).unwrap());
                let wanted = cpu().resize_backward(&dy.exact, &resize).unwrap();
                near(&engine, &found, &wanted, GRADIENT);
            }
        }
    }
}

#[test]
fn depthwise_convolutions() {
    let engine = tested();
    let mut most = 0.0f64;
    for (pictures, grid, columns, dilation) in
        [(1, [1, 1], 1, 1), (2, [7, 9], 33, 1), (1, [13, 5], 8, 2), (3, [30, 31], 5, 40)]
    {
        let settings = Depthwise { pictures, grid, dilation };
        let shape = [pictures * grid[0] * grid[1], columns];
        let (x, dy) = (random(&engine, shape, 1), random(&engine, shape, 2));
        let (w, bias) = (random(&engine, [9, columns], 3), random(&engine, [1, columns], 4));
        let found = engine.depthwise(&x.device, &w.device, Some(&bias.device), &settings).unwrap();
        let wanted = cpu().depthwise(&x.plain, &w.plain, Some(&bias.plain), &settings).unwrap();
        same_bits(&engine, &found, &wanted);
        let found = engine.depthwise_backward(&dy.device, &w.device, &settings).unwrap();
        let wanted = cpu().depthwise_backward(&dy.plain, &w.plain, &settings).unwrap();
        same_bits(&engine, &found, &wanted);
        let found = engine.depthwise_gradient(&x.device, &dy.device, &settings).unwrap();
        let wanted = cpu().depthwise_gradient(&x.exact, &dy.exact, &settings).unwrap();
        most = most.max(near(&engine, &found, &wanted, GRADIENT));
    }
    figure("depthwise convolution, gradient by the weights", most);
}
