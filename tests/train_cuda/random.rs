//! Random numbers are the CPU engine's, bit for bit.

use crate::support::{cpu, random, same_bits, tested};
use zsseg::train::engine::{Activation, Draw, Engine, Noise};

#[test]
fn noise_has_the_same_bits() {
    let engine = tested();
    for noise in [Noise::Uniform, Noise::Normal] {
        for (count, seed) in [(1, 0), (3, 1), (4, 2), (1_025, u64::MAX), (40_000, 7)] {
            let draw = Draw { seed, step: seed as u32, stream: u32::MAX - 3 };
            let found = engine.noise([count, 1], noise, draw).unwrap();
            same_bits(&engine, &found, &cpu().noise([count, 1], noise, draw).unwrap());
        }
    }
}

#[test]
fn activation_and_dropout_have_the_same_bits() {
    let engine = tested();
    for dropout in [0.0, 0.3, 0.5] {
        for shape in [[1, 1], [7, 9], [65, 131]] {
            let draw = Draw { seed: 11, step: 2, stream: 8 };
            let settings = Activation { slope: 0.2, dropout, draw };
            let (x, dy) = (random(&engine, shape, 1), random(&engine, shape, 2));
            let found = engine.activate(&x.device, &settings).unwrap();
            same_bits(&engine, &found, &cpu().activate(&x.plain, &settings).unwrap());
            let found = engine.activate_backward(&x.device, &dy.device, &settings).unwrap();
            let wanted = cpu().activate_backward(&x.plain, &dy.plain, &settings).unwrap();
            same_bits(&engine, &found, &wanted);
        }
    }
}
