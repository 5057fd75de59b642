//! The decoder over several taps.

use crate::support::{GRID, engine};
use crate::two_taps::TwoTaps;
use std::num::NonZeroUsize;
use zsseg::train::engine::{Adam, CpuEngine, Draw, Engine, Matrix, Noise, Real};
use zsseg::train::layers::Optimiser;
use zsseg::train::layers::decoder::{
    Decoder, DecoderSettings, DecoderShape, DecoderTraining, Layers, backward, forward,
};
use zsseg::train::{Decoded, Error, Features, Pictures, State, Tap, View};

const DRAW: Draw = Draw { seed: 3, step: 0, stream: 50 };

fn random<F: Real>(shape: [usize; 2], stream: u32) -> Matrix<F> {
    engine().noise(shape, Noise::Normal, Draw { seed: 8, step: 1, stream }).unwrap()
}

fn tap(name: &str, height: usize, width: usize, channels: usize) -> Tap {
    Tap { name: name.to_string(), height, width, channels }
}

fn shape(settings: &DecoderSettings) -> DecoderShape {
    settings.shape(&[tap("a", 6, 4, 3), tap("b", 3, 2, 5), tap("c", 2, 2, 2)]).unwrap()
}

fn layers(shape: &DecoderShape) -> Layers<Matrix<f64>> {
    let mut stream = 100;
    let draw = |_: &str, shape: &[usize; 2]| -> Result<Matrix<f64>, Error> {
        stream += 1;
        Ok(random(*shape, stream))
    };
    shape.parameters().try_map(draw).unwrap()
}

/// Every parameter of every form, a sample of its numbers each.
#[test]
fn gradients_are_differences() {
    let plain = DecoderSettings { tap_channels: 4, channels: 5, ..DecoderSettings::default() };
    let residual = DecoderSettings { blocks: 3, residual: true, final_relu: true, ..plain.clone() };
    let wide = DecoderSettings { grid: Some([3, 2]), blocks: 1, dilation: 2, ..plain.clone() };
    for settings in [plain, residual, wide] {
        check_gradients(&shape(&settings));
    }
}

fn check_gradients(shape: &DecoderShape) {
    const PICTURES: usize = 2;
    let mut layers = layers(shape);
    let read = |(index, tap): (usize, &Tap)| -> Matrix<f64> {
        random([PICTURES * tap.height * tap.width, tap.channels], index as u32)
    };
    let taps: Vec<Matrix<f64>> = shape.taps.iter().enumerate().map(read).collect();
    let dy = random([PICTURES * shape.cells(), shape.channels()], 9);
    let pass = forward(&engine(), shape, &layers.as_ref(), &taps, PICTURES).unwrap();
    assert_eq!(pass.features().shape(), dy.shape());
    let found = backward(&engine(), shape, &layers.as_ref(), &taps, &pass, &dy).unwrap();
    let value = |layers: &Layers<Matrix<f64>>| -> f64 {
        let pass = forward(&engine(), shape, &layers.as_ref(), &taps, PICTURES).unwrap();
        pass.features().values().iter().zip(dy.values()).map(|(y, dy)| y * dy).sum()
    };
    let gradients: Vec<Matrix<f64>> = found.named().into_iter().map(|one| one.1.clone()).collect();
    let (mut error, mut size) = (0.0, 0.0);
    for (place, gradient) in gradients.iter().enumerate() {
        for index in (0..gradient.values().len()).step_by(7) {
            let mut at = |step: f64| {
                layers.each_mut().nth(place).unwrap().values_mut()[index] += step;
                let value = value(&layers);
                layers.each_mut().nth(place).unwrap().values_mut()[index] -= step;
                value
            };
            let difference = (at(1e-6) - at(-1e-6)) / 2e-6;
            error += (gradient.values()[index] - difference).powi(2);
            size += difference * difference;
        }
        assert!(size > 0.0 && (error / size).sqrt() < 1e-4, "parameter {place}: {error} of {size}");
    }
}

#[test]
fn the_grid_follows_from_the_taps() {
    let grid = |taps: &[Tap]| DecoderSettings::default().shape(taps).map(|shape| shape.grid);
    let [a, b, c] = [tap("a", 64, 64, 1), tap("b", 32, 32, 1), tap("c", 16, 16, 1)];
    assert_eq!(grid(&[a.clone(), b.clone(), c]).unwrap(), [32, 32]);
    assert_eq!(grid(&[a, tap("d", 90, 60, 1)]).unwrap(), [64, 64]);
    assert!(matches!(grid(&[]), Err(Error::Config { .. })));
    let stated = DecoderSettings { grid: Some([7, 9]), ..DecoderSettings::default() };
    assert_eq!(stated.shape(&[b]).unwrap().grid, [7, 9]);
}

#[test]
fn settings_out_of_range_are_refused() {
    let good = DecoderSettings::default();
    for wrong in [
        DecoderSettings { tap_channels: 0, ..good.clone() },
        DecoderSettings { blocks: 0, ..good.clone() },
        DecoderSettings { blocks: 17, ..good.clone() },
        DecoderSettings { channels: 5000, ..good.clone() },
        DecoderSettings { dilation: 0, ..good.clone() },
        DecoderSettings { grid: Some([0, 4]), ..good.clone() },
    ] {
        let refused = wrong.shape(&[tap("a", 4, 4, 2)]);
        assert!(matches!(refused, Err(Error::Config { .. })), "{wrong:?}");
    }
}

fn training(pictures: &TwoTaps) -> DecoderTraining<Matrix<f32>> {
    let settings = DecoderSettings { tap_channels: 8, channels: 12, ..DecoderSettings::default() };
    let shape = settings.shape(pictures.taps()).unwrap();
    DecoderTraining::new(&engine(), shape, pictures, &[0, 1, 2], DRAW).unwrap()
}

#[test]
fn scaling_is_folded_into_the_first_layers() {
    let pictures = TwoTaps::new(4, 0.3, &[View::PLAIN], 1);
    let training = training(&pictures);
    let taps = training.read(&engine(), &pictures, 3, 0).unwrap();
    let wanted = training.forward(&engine(), &taps).unwrap().into_features();
    let decoder = training.decoder(&engine()).unwrap();
    let decoded = Decoded::new(&pictures, &decoder, engine()).unwrap();
    assert_eq!((decoded.grid(), decoded.channels()), (GRID, 12));
    let found = decoded.rows(3, 0).unwrap();
    near(&found, &wanted, 1e-4);
    // The coarse tap's mean of 40 does not reach the features.
    assert!(found.values().iter().all(|value| value.abs() < 30.0));
}

#[track_caller]
fn near(found: &Matrix<f32>, wanted: &Matrix<f32>, tolerance: f32) {
    assert_eq!(found.shape(), wanted.shape());
    let largest = wanted.values().iter().fold(0.0f32, |most, value| most.max(value.abs()));
    for (found, wanted) in found.values().iter().zip(wanted.values()) {
        assert!((found - wanted).abs() <= tolerance * largest, "{found} {wanted} of {largest}");
    }
}

#[test]
fn features_of_pictures_together_and_alone_are_the_same() {
    let pictures = TwoTaps::new(3, 0.3, &[View::PLAIN], 1);
    let decoder = training(&pictures).decoder(&engine()).unwrap();
    let read = |tap: usize| -> Matrix<f32> {
        let parts: Vec<Matrix<f32>> = (0..3).map(|at| pictures.tap(at, 0, tap).unwrap()).collect();
        let values: Vec<f32> = parts.iter().flat_map(|part| part.values().to_vec()).collect();
        Matrix::new([3 * parts[0].shape()[0], parts[0].shape()[1]], values).unwrap()
    };
    let together = decoder.forward(&engine(), &[read(0), read(1)], 3).unwrap();
    let two = CpuEngine::new(NonZeroUsize::new(2).unwrap());
    assert_eq!(decoder.forward(&two, &[read(0), read(1)], 3).unwrap(), together);
    let decoded = Decoded::new(&pictures, &decoder, engine()).unwrap();
    let cells = GRID[0] * GRID[1];
    for picture in 0..3 {
        let rows = together.values().chunks(cells * 12).nth(picture).unwrap();
        near(
            &decoded.rows(picture, 0).unwrap(),
            &Matrix::new([cells, 12], rows.to_vec()).unwrap(),
            1e-6,
        );
    }
}

#[test]
fn features_can_be_kept_in_memory() {
    let pictures = TwoTaps::new(3, 0.3, &[View::PLAIN], 1);
    let decoder = training(&pictures).decoder(&engine()).unwrap();
    let decoded = Decoded::new(&pictures, &decoder, engine()).unwrap();
    let kept = decoded.materialise(&[0]).unwrap();
    near(&kept.rows(2, 0).unwrap(), &decoded.rows(2, 0).unwrap(), 1e-3);
    assert!(matches!(kept.rows(2, 1), Err(Error::Config { .. })));
    assert!(matches!(kept.rows(3, 0), Err(Error::Config { .. })));
    // Other taps are refused.
    assert!(Decoded::new(&pictures.inner, &decoder, engine()).is_err());
}

/// Steps towards given features, and a state in between.
#[test]
fn a_state_keeps_every_bit() {
    let pictures = TwoTaps::new(3, 0.3, &[View::PLAIN], 1);
    let mut training = training(&pictures);
    let taps = training.read(&engine(), &pictures, 0, 0).unwrap();
    let wanted: Matrix<f32> = random([GRID[0] * GRID[1], 12], 3);
    let optimiser = Optimiser::Adam(Adam { rate: 1e-2, ..Adam::default() });
    let step = |training: &mut DecoderTraining<Matrix<f32>>| -> f64 {
        let pass = training.forward(&engine(), &taps).unwrap();
        let loss = engine().squared_error(&wanted, pass.features()).unwrap();
        let by = training.backward(&engine(), &taps, &pass, &loss.gradient).unwrap();
        training.step(&engine(), &by, &optimiser).unwrap();
        loss.value
    };
    let first = step(&mut training);
    let mut state = State::default();
    training.save(&engine(), "decoder", &mut state).unwrap();
    let shape = training.shape().clone();
    let mut other = DecoderTraining::load(&engine(), "decoder", shape, &state).unwrap();
    let mut last = first;
    for _ in 0..20 {
        last = step(&mut training);
        assert_eq!(step(&mut other).to_bits(), last.to_bits());
    }
    assert!(last < 0.8 * first, "{first} {last}");
    let decoder = training.decoder(&engine()).unwrap();
    let mut plain = State::default();
    decoder.save("plain", &mut plain);
    assert_eq!(Decoder::load("plain", decoder.shape().clone(), &plain).unwrap(), decoder);
    let narrow = DecoderSettings { channels: 11, ..decoder.shape().settings.clone() };
    let narrow = narrow.shape(pictures.taps()).unwrap();
    assert!(matches!(Decoder::load("plain", narrow, &plain), Err(Error::Config { .. })));
}
